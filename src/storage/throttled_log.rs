//! What operators are told about the database, once an hour each: whoever asks again for the same row would
//! otherwise fill the log.

use std::{
    hash::{BuildHasher as _, BuildHasherDefault, DefaultHasher, Hash},
    sync::LazyLock,
    time::Duration,
};

use quick_cache::sync::Cache;
use tokio::time::Instant as Moment;

/// After how long the same is told again.
const AGAIN: Duration = Duration::from_hours(1);
/// How much is remembered to have been told.
const TOLD: usize = 10_000;

static LAST: LazyLock<Cache<u64, Moment>> = LazyLock::new(|| Cache::new(TOLD));

/// Whether this was not told within the last hour. It counts as told from now on.
pub fn is_news(of: &impl Hash) -> bool {
    let hash = BuildHasherDefault::<DefaultHasher>::default().hash_one(of);
    let told = LAST.get(&hash).is_some_and(|at| at.elapsed() < AGAIN);
    if !told {
        LAST.insert(hash, Moment::now());
    }
    !told
}

/// Tells that the database says something else than it said before, and not something later: it is another
/// history, as after a failover that lost commits, or after a restore.
pub fn went_back(what: &'static str) {
    if is_news(&("went back", what)) {
        tracing::warn!(
            what,
            "the database went back to an earlier state: what was lost is forgotten here too; see docs/restore.md"
        );
    }
}
