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

/// The tokens of a session that was refreshed at these times, and what is kept of those that were used up.
fn chain(times: &[i64]) -> (Vec<RefreshToken>, Vec<Used>) {
    let (mut tokens, mut used) = (vec![token(7)], Vec::new());
    for (number, time) in (1..).zip(times) {
        let last = tokens.last().unwrap().clone();
        used.push(Used { hash: last.hash(), salt: [number; 32], at: at(*time) });
        tokens.push(last.successor(&[number; 32]));
    }
    (tokens, used)
}

#[test]
fn the_verdicts() {
    let (tokens, used) = chain(&[0, 1, 20]);
    let present = tokens[3].hash();
    let judge =
        |token: &RefreshToken, given_out, now| judge(&present, &used, token, given_out, now);
    assert_eq!(judge(&tokens[3], true, at(20)), Verdict::Rotate);
    // Its hash is enough, so that a change of the tags' key logs nobody out.
    assert_eq!(judge(&tokens[3], false, at(9_999)), Verdict::Rotate);
    // Each for thirty seconds from its own first use, and each leads to the present one.
    for (token, first_use) in tokens.iter().zip([0, 1, 20]) {
        let again = Verdict::Again(tokens[3].clone());
        assert_eq!(judge(token, true, at(first_use + 29)), again);
        assert_eq!(judge(token, true, at(first_use + 30)), Verdict::Reused);
    }
    assert_eq!(judge(&token(9), true, at(0)), Verdict::Reused);
    assert_eq!(judge(&token(9), false, at(0)), Verdict::Foreign);
}

#[test]
fn a_gap_between_used_tokens_leads_nowhere() {
    let (tokens, mut used) = chain(&[0, 1, 2]);
    used.remove(1);
    let present = tokens[3].hash();
    assert_eq!(judge(&present, &used, &tokens[0], true, at(3)), Verdict::Reused);
    assert_eq!(judge(&present, &used, &tokens[2], true, at(3)), Verdict::Again(tokens[3].clone()));
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
