//! The master key: its form, what is derived, what is sealed, and what changes with it.

use std::os::unix::fs::PermissionsExt;

use proptest::prelude::*;

use super::*;

const NEW: &str = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";
const OLD: &str = "ICEiIyQlJicoKSorLC0uLzAxMjM0NTY3ODk6Ozw9Pj8=";

fn key(lines: &[&str]) -> MasterKey {
    MasterKey::parse(&lines.join("\n").into()).unwrap()
}

#[test]
fn a_made_key_reads_back_and_is_private() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("master");
    let (made, new) = MasterKey::read_or_make(&path).unwrap();
    let (read, again) = MasterKey::read_or_make(&path).unwrap();
    assert!(new && !again);
    assert_eq!(made.derived("page"), read.derived("page"));
    assert_ne!(made.derived("page"), made.derived("request"));
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    assert!(fs::read_to_string(&path).unwrap().starts_with(GENERATED));
    let (other, _) = MasterKey::read_or_make(&folder.path().join("other")).unwrap();
    assert_ne!(made.derived("page"), other.derived("page"));
}

#[test]
fn what_is_no_key_is_refused_by_its_line_and_not_shown() {
    let pem = "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n";
    for (text, told) in [
        (String::new(), "is empty"),
        ("# a comment\n\n".to_owned(), "is empty"),
        (format!("\n{NEW}\nhush"), "line 3"),
        (format!("{NEW}\n# old\n{NEW}"), "line 3 of the master key is there twice"),
        (NEW.replace('=', ""), "line 1"),
        (format!("{NEW}{OLD}"), "line 1"),
        ("AAECAwQFBgcICQoLDA0ODw==".to_owned(), "line 1"),
        (pem.to_owned(), "line 1"),
    ] {
        let error = MasterKey::parse(&text.into()).unwrap_err().to_string();
        assert!(error.contains(told) && !error.contains("hush"), "{error}");
    }
    assert_eq!(format!("{:?}", key(&[NEW])), "MasterKey");
}

#[test]
fn what_is_sealed_opens_for_its_purpose_and_context_alone() {
    let key = key(&[NEW]);
    let sealed = key.seal("mail", b"1", b"secret", [7; NONCE]).unwrap();
    assert_eq!(key.open("mail", b"1", &sealed).unwrap().expose_secret(), b"secret");
    assert_eq!(key.open("mail", b"2", &sealed).unwrap_err(), OpenError::Damaged);
    assert_eq!(key.open("codes", b"1", &sealed).unwrap_err(), OpenError::Damaged);
    assert!(!sealed.windows(6).any(|part| part == b"secret"));
    assert_ne!(sealed, key.seal("mail", b"1", b"secret", [8; NONCE]).unwrap());
    let empty = key.seal("mail", b"", b"", [7; NONCE]).unwrap();
    assert_eq!(key.open("mail", b"", &empty).unwrap().expose_secret(), b"");
}

#[test]
fn every_changed_byte_and_every_cut_is_noticed() {
    let key = key(&[NEW]);
    let sealed = key.seal("mail", b"1", b"secret", [7; NONCE]).unwrap();
    for at in 0..sealed.len() {
        let mut changed = sealed.clone();
        changed[at] ^= 1;
        assert!(key.open("mail", b"1", &changed).is_err(), "byte {at}");
        assert!(key.open("mail", b"1", &sealed[..at]).is_err(), "cut at {at}");
    }
    assert!(key.open("mail", b"1", &[sealed.as_slice(), &[0]].concat()).is_err());
}

#[test]
fn older_lines_still_open_and_check() {
    let (before, after) = (key(&[OLD]), key(&[NEW, OLD]));
    let sealed = before.seal("mail", b"1", b"secret", [7; NONCE]).unwrap();
    assert_eq!(after.open("mail", b"1", &sealed).unwrap().expose_secret(), b"secret");
    assert_eq!(key(&[NEW]).open("mail", b"1", &sealed).unwrap_err(), OpenError::OtherKey);
    assert!(after.is_outdated(&sealed) && !before.is_outdated(&sealed));
    let anew = after.seal("mail", b"1", b"secret", [7; NONCE]).unwrap();
    assert!(!after.is_outdated(&anew));
    assert!(key(&[NEW]).open("mail", b"1", &anew).is_ok());
    assert_ne!(after.derived("page"), before.derived("page"));
    assert_eq!(after.all_derived("page"), [after.derived("page"), before.derived("page")]);
    let tag = before.tag("rows", b"row");
    assert!(after.made("rows", b"row", &tag) && !key(&[NEW]).made("rows", b"row", &tag));
    assert!(!after.made("rows", b"another", &tag) && !after.made("other", b"row", &tag));
    // Two processes can have the lines in either order while they are changed one after the other.
    let other = key(&[OLD, NEW]);
    assert!(other.open("mail", b"1", &anew).is_ok() && other.made("rows", b"row", &tag));
}

#[test]
fn no_use_of_the_key_is_another() {
    let key = key(&[NEW]);
    let all = [key.derived("x"), key.tag("x", b""), key.derived("seal\0x"), key.derived("id")];
    for (number, one) in all.iter().enumerate() {
        assert!(all.iter().skip(number + 1).all(|other| other != one));
    }
}

proptest! {
    #[test]
    fn whatever_is_sealed_opens(secret: Vec<u8>, context: Vec<u8>, nonce: [u8; NONCE]) {
        let key = key(&[NEW]);
        let sealed = key.seal("any", &context, &secret, nonce).unwrap();
        let opened = key.open("any", &context, &sealed).unwrap();
        prop_assert_eq!(opened.expose_secret(), secret.as_slice());
    }

    #[test]
    fn whatever_was_not_sealed_does_not_open(bytes: Vec<u8>) {
        prop_assert!(key(&[NEW]).open("any", b"", &bytes).is_err());
    }
}
