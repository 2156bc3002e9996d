use chrono::DateTime;
use uuid::Uuid;

use super::*;
use crate::{
    identity::{Role, email::Email, phone::Phone},
    kernel::{id::UserId, stamp::Stamp, zone::Zone},
};

fn user(name: &str, email: &str, phone: &str) -> User {
    let id = UserId(Uuid::from_u128(7));
    User {
        id,
        display_name: name.to_owned(),
        email: Email::parse(email).unwrap_or_else(|_| Email::none(id)),
        email_verified_at: None,
        phone: Phone::parse(phone).ok(),
        role: Role::Customer,
        time_zone: Zone::UTC,
        disabled: false,
        has_password: false,
        version: 1,
        stamp: Stamp::default(),
        created_at: DateTime::UNIX_EPOCH,
        updated_at: DateTime::UNIX_EPOCH,
    }
}

fn finds(needle: &str, user: &User) -> bool {
    let Some(needle) = SearchTerm::new(needle) else { return false };
    let (least, after) = needle.bounds();
    let stored = words(user);
    let found = needle.found(user);
    // What is found is stored, and lies where the index is read.
    if let Some(word) = &found {
        assert!(stored.contains(word) && *word >= least && *word < after, "{word}");
    }
    found.is_some()
}

#[test]
fn people_are_found_by_each_word_whatever_its_case_and_accents() {
    let ada = user("Dr. Ada-Lou  Öztürk O’Brien", "ada@example.org", "");
    for needle in [
        "dr",
        "DR.",
        "ada",
        "Ada-l",
        "lou",
        "lou oz",
        "Özt",
        "oztu",
        "O\u{308}ZT",
        "o'b",
        "O’B",
        "brien",
    ] {
        assert!(finds(needle, &ada), "{needle}");
    }
    for needle in ["da", "rk", "zturk", "lou  x", "oe", "", " ", "\u{301}"] {
        assert!(!finds(needle, &ada), "{needle}");
    }
    assert!(finds("STRASSE", &user("Eva Straße", "", "")));
    assert!(finds("istanbul", &user("İstanbul Ali", "", "")));
    assert!(finds("lod", &user("Łódź", "", "")));
    assert!(finds("김", &user("김민준", "", "")));
    assert!(finds("王", &user("王小明", "", "")));
}

#[test]
fn people_are_found_by_address_and_by_number() {
    let ada = user("Ada", "ada.lovelace+x@example.org", "+49 30 12345678");
    for needle in [
        "ada.l",
        "ADA.LOVELACE+X@EXAMPLE.ORG",
        "+49",
        "+49 30 / 123",
        "0049 30",
        "4930",
        "030 1234-5678",
        "(030) 12",
        "03012345678",
        "+493012345678",
    ] {
        assert!(finds(needle, &ada), "{needle}");
    }
    for needle in ["lovelace", "example", "30 12", "+30", "12345678", "030123456789", "none"] {
        assert!(!finds(needle, &ada), "{needle}");
    }
    // Who has no address is not found by what stands in its place.
    assert!(!finds("none", &user("Ada", "", "")));
}

#[test]
fn long_words_are_stored_in_part_and_compared_whole() {
    let long = user(&"a".repeat(100), "", "");
    assert!(words(&long).iter().all(|word| word.chars().count() == 64));
    assert!(finds(&"a".repeat(100), &long));
    assert!(!finds(&"a".repeat(101), &long));
    assert!(!finds(&format!("{}b", "a".repeat(80)), &long));
}

#[test]
fn who_has_several_words_that_begin_so_is_found_by_the_first() {
    let anna = user("Anna Annas", "anna@example.org", "");
    let found = SearchTerm::new("ann").unwrap().found(&anna);
    assert_eq!(
        found.as_deref(),
        words(&anna).iter().find(|word| word.starts_with("ann")).map(|w| &**w)
    );
}
