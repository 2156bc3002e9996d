//! File descriptors: as many as connections need.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::config::Config;

/// What is open beside connections of callers: files, the connections on their way out and those of probes.
const BESIDE: u64 = 512;

/// Raises this process's limit of open files to what the settings need, as far as the system lets it, and tells
/// when that is not enough: many systems begin with 1,024.
pub(crate) fn raise(config: &Config) {
    let counts = [config.server.max_connections, config.server.max_connections / 8];
    let connections: u64 =
        counts.iter().map(|count| u64::try_from(*count).unwrap_or(u64::MAX)).sum();
    let database = u64::from(config.database.max_connections) * 3;
    let needed = connections.saturating_add(database).saturating_add(BESIDE);
    let limit = getrlimit(Resource::Nofile);
    // None is no limit.
    let Some(current) = limit.current.filter(|current| *current < needed) else { return };
    let wanted = limit.maximum.map_or(needed, |most| most.min(needed));
    let raised = wanted > current
        && setrlimit(Resource::Nofile, Rlimit { current: Some(wanted), ..limit }).is_ok();
    let has = if raised { wanted } else { current };
    if has < needed {
        tracing::warn!(
            has,
            needed,
            "there are fewer file descriptors than server.max_connections needs: connections give way \
             earlier; raise the limit (LimitNOFILE, ulimit -n)"
        );
    }
}
