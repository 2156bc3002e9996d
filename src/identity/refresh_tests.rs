use chrono::DateTime;
use proptest::prelude::*;

use super::*;

fn tokens(key: u8) -> RefreshTokens {
    RefreshTokens::new(&[[key; 32]])
}

fn at(seconds: i64) -> Instant {
    DateTime::from_timestamp(1_800_000_000 + seconds, 0).unwrap()
}

fn token(secret: u8) -> RefreshToken {
    RefreshToken::first(UserId(Uuid::from_u128(1)), Uuid::from_u128(2), [secret; 32])
}

#[test]
fn a_token_reads_back_and_proves_where_it_is_from() {
    let text = tokens(1).write(&token(7));
    assert_eq!(tokens(1).read(&text), Some((token(7), true)));
    assert_eq!(tokens(2).read(&text), Some((token(7), false)));
    assert!(text.len() < 120);
    assert!(!format!("{:?}", token(7)).contains('7'));
}

#[test]
fn a_repeated_rotation_gives_the_same_successor_and_another_salt_another() {
    let old = token(7);
    assert_eq!(old.successor(&[1; 32]), old.successor(&[1; 32]));
    assert_ne!(old.successor(&[1; 32]), old.successor(&[2; 32]));
    assert_ne!(old.successor(&[1; 32]).hash(), old.hash());
    assert_eq!(old.successor(&[1; 32]).session, old.session);
}

#[test]
fn the_verdicts() {
    let (first, salt) = (token(7), [3; 32]);
    let second = first.successor(&salt);
    let standing = Standing { present: second.hash(), previous: Some(first.hash()), since: at(0) };
    assert_eq!(judge(&standing, &second, true, at(0)), Verdict::Rotate);
    // Its hash is enough, so that a change of the tags' key logs nobody out.
    assert_eq!(judge(&standing, &second, false, at(9_999)), Verdict::Rotate);
    assert_eq!(judge(&standing, &first, true, at(29)), Verdict::Again);
    assert_eq!(judge(&standing, &first, true, at(30)), Verdict::Reused);
    assert_eq!(judge(&standing, &token(9), true, at(0)), Verdict::Reused);
    assert_eq!(judge(&standing, &token(9), false, at(0)), Verdict::Foreign);
}

proptest! {
    #[test]
    fn nothing_else_reads(text in "\\PC{0,200}") {
        if let Some((_, given_out)) = tokens(1).read(&text) {
            prop_assert!(!given_out);
        }
    }

    #[test]
    fn a_changed_token_was_never_given_out(at in 0usize..80, with in 1u8..=255) {
        let text = tokens(1).write(&token(7));
        let mut bytes = URL_SAFE_NO_PAD.decode(text).unwrap();
        bytes[at] ^= with;
        let read = tokens(1).read(&URL_SAFE_NO_PAD.encode(bytes));
        prop_assert!(read.is_none_or(|(_, given_out)| !given_out));
    }
}
