//! Tests of the choice among sources, and of folders that cannot be used.

use std::{fs, path::Path, time::Duration};

use chrono::TimeDelta;
use tempfile::TempDir;

use super::*;
use crate::kernel::zone::Zone;

/// A compiled zone file (`TZif` version 2) whose only rule is the POSIX one at its end.
fn tzif(posix: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    for _ in 0..2 {
        bytes.extend(b"TZif2");
        bytes.extend([0; 15]);
        for count in [0_u32, 0, 0, 0, 1, 4] {
            bytes.extend(count.to_be_bytes());
        }
        bytes.extend([0; 6]);
        bytes.extend(b"UTC\0");
    }
    bytes.extend(format!("\n{posix}\n").as_bytes());
    bytes
}

fn put(folder: &TempDir, name: &str, bytes: impl AsRef<[u8]>) {
    let path = folder.path().join(name);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, bytes).unwrap();
}

/// A folder in which Vancouver is so many hours west of UTC; with a version if one is given.
fn folder(version: Option<&str>, west: i64) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    put(&folder, "America/Vancouver", tzif(&format!("<-{west:02}>{west}")));
    if let Some(version) = version {
        put(&folder, "tzdata.zi", format!("# version {version}\n"));
    }
    folder
}

fn sources(named: Option<&Path>, system: Option<&Path>) -> Sources {
    Sources::new(&ZonesConfig {
        folder: named.map(Path::to_owned),
        system_folder: system.map(Path::to_owned),
        look: Duration::from_mins(1),
    })
}

/// How many hours Vancouver is west of UTC by what serves.
fn west(found: &Found) -> i64 {
    let vancouver = found.serving.rules(Zone::named("America/Vancouver").unwrap()).unwrap();
    -vancouver.offset("2026-12-07T12:00:00Z".parse().unwrap()).num_hours()
}

/// The version that serves, and how far west Vancouver is by it.
fn served(named: Option<&TempDir>, system: Option<&TempDir>) -> (String, i64) {
    let found = sources(named.map(TempDir::path), system.map(TempDir::path)).look();
    assert_eq!(found.problems, Vec::<String>::new());
    (found.serving.about().version_text(), west(&found))
}

#[test]
fn the_newest_stated_version_serves() {
    let own = |version| Some(folder(Some(version), 1));
    let is = |version: &str, west| (version.to_owned(), west);
    let served =
        |named: Option<TempDir>, system: Option<TempDir>| served(named.as_ref(), system.as_ref());
    // Alone, older, the same, newer.
    assert_eq!(served(None, None), is("2026f", 7));
    assert_eq!(served(own("2025b"), None), is("2026f", 7));
    assert_eq!(served(own("2026f"), None), is("2026f", 1));
    assert_eq!(served(own("2026g"), None), is("2026g", 1));
    assert_eq!(served(None, own("2025b")), is("2026f", 7));
    assert_eq!(served(None, own("2026f")), is("2026f", 7));
    assert_eq!(served(None, own("2026za")), is("2026za", 1));
    // One that states none serves only where it is named, and then before all.
    assert_eq!(served(None, Some(folder(None, 1))), is("2026f", 7));
    assert_eq!(served(Some(folder(None, 1)), None), is("unknown", 1));
    assert_eq!(served(Some(folder(None, 1)), own("2090a")), is("unknown", 1));
    // Of two the newer one.
    let system = folder(Some("2027b"), 3);
    assert_eq!(served(own("2027a"), Some(system)), is("2027b", 3));
    let system = folder(Some("2027b"), 3);
    assert_eq!(served(own("2027b"), Some(system)), is("2027b", 1));
}

#[test]
fn a_version_is_stated_in_either_file() {
    let other = folder(None, 4);
    put(&other, "+VERSION", "2027c\n");
    assert_eq!(served(Some(&other), None), ("2027c".to_owned(), 4));
    // What stands first is what counts.
    put(&other, "tzdata.zi", "# version 2027d\nZ America/Vancouver -8 - PST\n");
    assert_eq!(served(Some(&other), None), ("2027d".to_owned(), 4));
    put(&other, "tzdata.zi", "# version unknown\n");
    assert_eq!(served(Some(&other), None), ("2027c".to_owned(), 4));
}

#[test]
fn zones_that_a_folder_lacks_keep_the_compiled_in_rules() {
    let own = folder(Some("2027a"), 1);
    let found = sources(Some(own.path()), None).look();
    for zone in ["Europe/Berlin", "US/Pacific", "UTC"] {
        let zone = found.serving.parse(zone).unwrap();
        assert!(found.serving.rules(zone).is_ok(), "{zone}");
    }
    // And what only the folder has is a zone, too.
    put(&own, "America/Cascadia", tzif("<-07>7"));
    let found = sources(Some(own.path()), None).look();
    assert!(found.serving.parse("America/Cascadia").is_some());
    assert_eq!(ZoneData::bundled().parse("America/Cascadia"), None);
}

#[test]
fn what_is_no_zone_is_left_out() {
    let own = folder(Some("2027a"), 1);
    put(&own, "right/America/Vancouver", tzif("<-02>2"));
    put(&own, "posix/America/Vancouver", tzif("<-03>3"));
    put(&own, "leapseconds", "# text");
    put(&own, ".hidden/America/Vancouver", "nonsense");
    let found = sources(Some(own.path()), None).look();
    assert_eq!((west(&found), found.problems.len()), (1, 0));
    assert_eq!(found.serving.parse("right/America/Vancouver"), None);
}

#[test]
fn a_folder_that_cannot_be_used_is_told_and_does_not_serve() {
    let problem = |change: &dyn Fn(&TempDir)| {
        let own = folder(Some("2027a"), 1);
        change(&own);
        let found = sources(Some(own.path()), None).look();
        assert_eq!(found.serving.about().version_text(), "2026f");
        assert_eq!(found.problems.len(), 1, "{:?}", found.problems);
        found.problems[0].clone()
    };
    let damaged = problem(&|own| put(own, "Europe/Berlin", &tzif("CET-1")[..40]));
    assert!(damaged.contains("Europe/Berlin is damaged"), "{damaged}");
    let damaged = problem(&|own| put(own, "Europe/Berlin", "nonsense"));
    assert!(damaged.contains("Europe/Berlin is damaged"), "{damaged}");
    let damaged = problem(&|own| put(own, "Europe/Berlin", tzif("<+17>-17")));
    assert!(damaged.contains("is +17 from UTC"), "{damaged}");
    let list =
        "# version 2027a\nR x 1 2 - Ap 1 0 0 -\nZ Europe/Berlin 1 - CET\nL Europe/Berlin Poland\n";
    let missing = problem(&|own| put(own, "tzdata.zi", list));
    assert!(missing.contains("lists Europe/Berlin and does not have it"), "{missing}");
    let empty = problem(&|own| fs::remove_dir_all(own.path().join("America")).unwrap());
    assert!(empty.contains("has no zones"), "{empty}");
    let gone = problem(&|own| fs::remove_dir_all(own.path()).unwrap());
    assert!(gone.contains("cannot be read"), "{gone}");
}

#[test]
fn who_has_no_system_folder_has_nothing_to_mend() {
    let gone = tempfile::tempdir().unwrap();
    fs::remove_dir_all(gone.path()).unwrap();
    assert_eq!(sources(None, Some(gone.path())).look().problems, Vec::<String>::new());
}

#[test]
fn a_changed_folder_is_taken_when_it_is_the_same_at_two_looks() {
    let own = folder(Some("2027a"), 1);
    let mut sources = sources(Some(own.path()), None);
    assert_eq!(west(&sources.look()), 1);
    put(&own, "America/Vancouver", tzif("<-02>2"));
    assert_eq!(west(&sources.look()), 1);
    // It is still being changed.
    put(&own, "America/Edmonton", tzif("<-03>3"));
    assert_eq!(west(&sources.look()), 1);
    let before = sources.look();
    assert_eq!(west(&before), 2);
    // Nothing changed: the same data, by the same digest.
    assert_eq!(sources.look().serving.digest(), before.serving.digest());
    // Damaged: what was good stays, also when the folder goes.
    put(&own, "America/Vancouver", "nonsense");
    for _ in 0..3 {
        assert_eq!(west(&sources.look()), 2);
    }
    assert!(sources.look().problems[0].contains("IANA 2027a, stays in use"));
    fs::remove_dir_all(own.path()).unwrap();
    let gone = sources.look();
    assert_eq!((west(&gone), gone.problems.len()), (2, 1));
}

#[test]
fn an_older_folder_gives_way_to_what_is_newer() {
    let own = folder(Some("2027a"), 1);
    let mut sources = sources(Some(own.path()), None);
    assert_eq!(west(&sources.look()), 1);
    put(&own, "tzdata.zi", "# version 2025b\n");
    sources.look();
    let found = sources.look();
    assert_eq!(west(&found), 7);
    let all: Vec<_> = found.all.iter().map(ZoneDataInfo::version_text).collect();
    assert_eq!(all, ["2026f", "2025b"]);
}

#[test]
fn old_is_more_than_nine_months() {
    let found = sources(None, None).look();
    let since = found.serving.about().since.and_hms_opt(12, 0, 0).unwrap().and_utc();
    let warned = |days| found.warnings(since + TimeDelta::days(days)).len();
    assert_eq!((warned(0), warned(OLD), warned(OLD + 1)), (0, 0, 1));
    let told = found.warnings(since + TimeDelta::days(300)).remove(0);
    assert!(told.contains("older than nine months") && told.contains("300 days old"), "{told}");
    // A copy of old data that was made today is as old as its version at least.
    let old = folder(Some("2026f"), 1);
    let found = sources(Some(old.path()), None).look();
    assert!(found.is_old("2027-12-01T00:00:00Z".parse().unwrap()));
}
