//! Which zone data the processes have that serve one database.

pub mod service;
pub mod store;

use chrono::TimeDelta;
use uuid::Uuid;

use crate::kernel::{time::Instant, zone::ZoneDataVersion};

/// A process that was not heard of for so long does not serve any more.
pub const LIVE: TimeDelta = TimeDelta::minutes(5);
/// How often a process is heard of, at least; well below [`LIVE`].
pub const HEARTBEAT: TimeDelta = TimeDelta::minutes(1);
/// How often appointments are looked through for drift by the same zone data: what a process with other data
/// booked meanwhile is found then.
pub const LOOK_AGAIN: TimeDelta = TimeDelta::hours(24);
/// How long one look may take before another process begins it anew.
pub const LEASE: TimeDelta = TimeDelta::minutes(30);

/// A process and its zone data.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Process {
    /// Id of the server process.
    pub id: Uuid,
    /// The version of its data, if they state one.
    pub version: Option<ZoneDataVersion>,
    /// Tells its data from others.
    pub digest: String,
    /// When it was last heard of.
    pub seen_at: Instant,
}

impl Process {
    /// Whether its zone data count as newer than these: the order in which sources are chosen, where data that
    /// state no version serve before all others because somebody chose them.
    pub fn is_newer_than(&self, other: Option<&ZoneDataVersion>) -> bool {
        match (&self.version, other) {
            (_, None) => false,
            (None, Some(_)) => true,
            (Some(own), Some(other)) => own > other,
        }
    }
}

/// The versions of others that are not this one, in order, each once, as text.
pub fn differing(own: Option<&ZoneDataVersion>, others: &[Process]) -> Vec<String> {
    let others = others.iter().map(|other| other.version.as_ref()).filter(|other| *other != own);
    let mut told: Vec<_> = others
        .map(|version| version.map_or_else(|| "unknown".to_owned(), ToString::to_string))
        .collect();
    told.sort_unstable();
    told.dedup();
    told
}

#[cfg(test)]
mod tests {
    use super::*;

    fn process(version: Option<&str>) -> Process {
        let version = version.map(|version| ZoneDataVersion::parse(version).unwrap());
        Process { id: Uuid::nil(), version, digest: String::new(), seen_at: Instant::UNIX_EPOCH }
    }

    #[test]
    fn other_versions_are_told_once() {
        let all = [Some("2026f"), Some("2025b"), None, Some("2025b")].map(process);
        let own = ZoneDataVersion::parse("2026f");
        assert_eq!(differing(own.as_ref(), &all), ["2025b", "unknown"]);
        assert_eq!(differing(own.as_ref(), &all[..1]), Vec::<String>::new());
        assert_eq!(differing(None, &all[..1]), ["2026f"]);
    }

    #[test]
    fn newer_is_what_would_be_chosen() {
        let own = ZoneDataVersion::parse("2026f");
        let newer = |version| process(version).is_newer_than(own.as_ref());
        assert!(newer(Some("2026g")) && newer(None));
        assert!(!newer(Some("2026f")) && !newer(Some("2025b")));
        assert!(!process(Some("2026f")).is_newer_than(None) && !process(None).is_newer_than(None));
    }
}
