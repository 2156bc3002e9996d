//! The tests that documents name are there.

use std::{collections::BTreeSet, fs, path::Path};

use crate::architecture::sources;

/// Every function of the tests and of the sources, and every module that holds some.
fn names() -> (BTreeSet<String>, BTreeSet<String>) {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let (mut functions, mut modules) = (BTreeSet::new(), BTreeSet::new());
    for folder in ["tests/it", "src"] {
        for (path, text) in sources(folder) {
            for part in text.split("fn ").skip(1) {
                let is_word = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
                functions.insert(part.split(|c| !is_word(c)).next().unwrap().to_owned());
            }
            let path = root.join(path).with_extension("");
            let path = path.strip_prefix(root.join(folder)).unwrap();
            let path = path.display().to_string().replace('/', "::");
            modules.insert(format!("::{}", path.trim_end_matches("::mod")));
        }
    }
    (functions, modules)
}

/// `…` stands for the rest of a name, or for what was named before it.
#[test]
fn the_tests_that_security_names_are_there() {
    let (functions, modules) = names();
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let text = fs::read_to_string(root.join("docs/security.md")).unwrap();
    let mut seen = 0;
    for row in text.lines().filter(|line| line.starts_with("| ") && !line.starts_with("| row")) {
        let Some(tests) = row.split('|').nth(4) else { continue };
        for name in tests.split('`').skip(1).step_by(2) {
            if name.starts_with("cargo ") || name.ends_with(".rs") || name.ends_with('/') {
                continue;
            }
            seen += 1;
            let (before, last) = name.rsplit_once("::").unwrap_or(("", name));
            let is_module = |name: &str| {
                let name = name.trim_matches('…').trim_start_matches("::");
                modules.iter().any(|module| module.ends_with(&format!("::{name}")))
            };
            let part = last.trim_matches('…');
            let is_there = match (last.starts_with('…'), last.ends_with('…')) {
                _ if part.is_empty() => is_module(before),
                (false, true) => functions.iter().any(|f| f.starts_with(part)),
                (true, false) => functions.iter().any(|f| f.ends_with(part)),
                (true, true) => functions.iter().any(|f| f.contains(part)),
                (false, false) => functions.contains(last) || is_module(name),
            };
            assert!(is_there, "docs/security.md names {name}: {row}");
        }
    }
    assert!(seen > 80, "{seen}");
}
