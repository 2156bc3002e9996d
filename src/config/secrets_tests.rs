//! Secrets in the settings: by value, or as the path of a file.

use std::fs;

use secrecy::ExposeSecret as _;

use super::layers::{SECRETS, environment_name};
use super::tests::{HUSH, load, problems};
use super::*;

#[test]
fn the_reference_names_every_secret_and_its_variable() {
    let (_, told) = DEFAULTS.split_once("# The three secrets, ").unwrap();
    let (told, _) = told.split_once("\n\n").unwrap();
    assert_eq!(SECRETS.len(), 3);
    for secret in SECRETS {
        assert!(told.contains(secret), "{secret}");
        assert!(told.contains(&environment_name(&format!("{secret}_file"))), "{secret}");
    }
}

#[test]
fn a_secret_comes_from_a_file_in_every_layer_without_its_line_end() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("url");
    let path = path.to_str().unwrap();
    for text in [
        "postgres://u:hush-hush@h/d",
        "postgres://u:hush-hush@h/d\n",
        "postgres://u:hush-hush@h/d\r\n",
    ] {
        fs::write(path, text).unwrap();
        let quoted = format!("database.url_file = {path:?}");
        for (text, variables, given) in [
            (quoted.as_str(), &[][..], &[][..]),
            ("database.url = \"sqlite:low\"", &[("DAYBOOK_DATABASE_URL_FILE", path)], &[]),
            ("", &[("DAYBOOK_DATABASE_URL", "sqlite:low")], &[("database.url_file", path)]),
        ] {
            let (config, origins) = load(text, variables, given).unwrap();
            assert_eq!(config.database.url.expose(), "postgres://u:hush-hush@h/d");
            assert!(origins.get("database.url_file").is_some());
            assert!(origins.get("database.url").is_none());
            let shown = format!("{config:?}{}", config.render(&origins));
            assert!(!shown.contains(HUSH) && shown.contains("postgres://u:***@h/d"), "{shown}");
            assert!(shown.contains(", by url_file\n"), "{shown}");
        }
    }
}

#[test]
fn a_value_wins_over_a_file_of_a_lower_layer() {
    let below = "database.url_file = \"does-not-exist\"";
    let (config, _) = load(below, &[("DAYBOOK_DATABASE_URL", "sqlite:high")], &[]).unwrap();
    assert_eq!(config.database.url.expose(), "sqlite:high");
}

#[test]
fn both_forms_of_a_secret_in_one_layer_are_refused() {
    let both = [("DAYBOOK_DATABASE_URL", "sqlite:x"), ("DAYBOOK_DATABASE_URL_FILE", "x")];
    for found in [
        problems("[database]\nurl = \"sqlite:x\"\nurl_file = \"x\"", &[], &[]),
        problems("", &both, &[]),
        problems("", &[], &[("database.url", "sqlite:x"), ("database.url_file", "x")]),
        problems("[auth]\nmaster_key = \"x\"\nmaster_key_file = \"x\"", &[], &[]),
    ] {
        assert_eq!(found.len(), 1, "{found:?}");
        assert!(found[0].contains("is given together with"), "{found:?}");
    }
}

#[test]
fn a_secret_file_that_is_missing_empty_or_endless_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("url");
    let refused = |fault: &str| {
        let found = problems("", &[("DAYBOOK_DATABASE_URL_FILE", path.to_str().unwrap())], &[]);
        assert!(found.len() == 1 && found[0].contains(fault), "{found:?}");
        assert!(
            found[0].starts_with("database.url_file (environment DAYBOOK_DATABASE_URL_FILE): ")
        );
    };
    refused("cannot be read");
    fs::write(&path, "\n").unwrap();
    refused("is empty");
    fs::write(&path, "x".repeat(70_000)).unwrap();
    refused("has more than");
    fs::write(&path, HUSH).unwrap();
    refused("is not a database URL");
}

#[test]
fn the_master_key_is_handed_on_as_text_or_as_a_path() {
    let (config, _) = load("", &[], &[]).unwrap();
    assert!(matches!(&config.auth.master_key,
        MasterKeySource::File(path) if path.to_str() == Some("daybook-master-key")));
    let (config, origins) = load("", &[("DAYBOOK_AUTH_MASTER_KEY", HUSH)], &[]).unwrap();
    assert!(matches!(&config.auth.master_key,
        MasterKeySource::Text(text) if text.expose_secret() == HUSH));
    let shown = format!("{config:?}{}", config.render(&origins));
    assert!(!shown.contains(HUSH), "{shown}");
    assert!(shown.contains("master_key = \"***\"  # from environment DAYBOOK_AUTH_MASTER_KEY\n"));
}
