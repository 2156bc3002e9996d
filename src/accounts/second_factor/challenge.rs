//! Challenges: what stands for a log-in between the password and the second step.
//!
//! A challenge is `user · session · generation · expiry · device · known · tag` in base64url. Nothing is
//! stored: the tag proves that it was given out, the token generation ends it with whatever ends
//! log-ins, and the session that it names can begin only once. It opens nothing by itself.

use aws_lc_rs::{constant_time, hmac};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use chrono::{DateTime, TimeDelta};
use uuid::Uuid;

use crate::{
    accounts::throttling::policy::Device,
    kernel::{id::UserId, time::Instant},
};

/// How long the second step may take.
pub const GOOD: TimeDelta = TimeDelta::minutes(5);

const ID: usize = 16;
const NUMBER: usize = 8;
const DEVICE: usize = 16;

/// A log-in whose password was right.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Challenge {
    /// The id of the account that logs in.
    pub user: UserId,
    /// The session that will begin.
    pub session: Uuid,
    /// The token generation of the account whose password was verified.
    pub generation: i64,
    /// When it stops being good.
    pub expires_at: Instant,
    /// The device that logs in.
    pub device: Device,
}

/// Writes and reads challenges.
#[derive(Debug, Clone)]
pub struct Challenges(Vec<hmac::Key>);

impl Challenges {
    /// With the keys of the tags: the first one makes them, all of them are known.
    pub fn new(keys: &[[u8; 32]]) -> Self {
        Self(keys.iter().map(|key| hmac::Key::new(hmac::HMAC_SHA256, key)).collect())
    }

    /// The text of a challenge.
    pub fn write(&self, challenge: &Challenge) -> String {
        let mut bytes = [
            challenge.user.0.as_bytes().as_slice(),
            challenge.session.as_bytes(),
            &challenge.generation.to_be_bytes(),
            &challenge.expires_at.timestamp_micros().to_be_bytes(),
            &challenge.device.random,
            &[u8::from(challenge.device.known)],
        ]
        .concat();
        let tag = self.0.first().map(|key| hmac::sign(key, &bytes));
        bytes.extend(tag.as_ref().map(AsRef::as_ref).unwrap_or_default());
        URL_SAFE_NO_PAD.encode(bytes)
    }

    /// Reads a text; nothing unless it is a challenge that was given out and has not expired.
    pub fn read(&self, text: &str, now: Instant) -> Option<Challenge> {
        let bytes = URL_SAFE_NO_PAD.decode(text).ok()?;
        let (said, tag) = bytes.split_at_checked(ID + ID + NUMBER + NUMBER + DEVICE + 1)?;
        let made = |key| {
            constant_time::verify_slices_are_equal(hmac::sign(key, said).as_ref(), tag).is_ok()
        };
        self.0.iter().any(made).then_some(())?;
        let (user, rest) = said.split_first_chunk::<ID>()?;
        let (session, rest) = rest.split_first_chunk::<ID>()?;
        let (generation, rest) = rest.split_first_chunk::<NUMBER>()?;
        let (expires, rest) = rest.split_first_chunk::<NUMBER>()?;
        let (random, rest) = rest.split_first_chunk::<DEVICE>()?;
        let challenge = Challenge {
            user: UserId(Uuid::from_bytes(*user)),
            session: Uuid::from_bytes(*session),
            generation: i64::from_be_bytes(*generation),
            expires_at: DateTime::from_timestamp_micros(i64::from_be_bytes(*expires))?,
            device: Device { random: *random, known: rest == [1] },
        };
        (now < challenge.expires_at).then_some(challenge)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_challenge_reads_back_until_it_expires_and_no_other_text_does() {
        let expires_at = DateTime::from_timestamp(1_000_000, 0).unwrap();
        let challenge = Challenge {
            user: UserId(Uuid::from_u128(1)),
            session: Uuid::from_u128(2),
            generation: 3,
            expires_at,
            device: Device { random: [4; 16], known: true },
        };
        let challenges = Challenges::new(&[[5; 32]]);
        let text = challenges.write(&challenge);
        let before = expires_at - TimeDelta::microseconds(1);
        assert_eq!(challenges.read(&text, before), Some(challenge.clone()));
        assert_eq!(challenges.read(&text, expires_at), None);
        assert_eq!(Challenges::new(&[[6; 32]]).read(&text, before), None);
        let both = Challenges::new(&[[6; 32], [5; 32]]);
        assert_eq!(both.read(&text, before), Some(challenge.clone()), "the master key was changed");
        for at in 0..text.len() {
            let mut bytes = text.clone().into_bytes();
            bytes[at] = if bytes[at] == b'A' { b'B' } else { b'A' };
            let changed = String::from_utf8(bytes).unwrap();
            assert_eq!(challenges.read(&changed, before), None, "{at}");
        }
        for bad in ["", "A", &text[4..], &format!("{text}AAAA"), &"A".repeat(5000)] {
            assert_eq!(challenges.read(bad, before), None);
        }
    }
}
