//! Refresh tokens: opaque, single-use, and each the parent of one successor.
//!
//! A token is `user · session · secret · tag` in base64url. The first secret of a session is 256 random
//! bits. The next one is HMAC-SHA-256 of the one before under a salt of 256 random bits, made at that
//! rotation: whoever repeats a rotation is led to the present token by the salts since, and whoever has an old
//! token alone, or the database alone, cannot make one. The tag proves that a token was once given out, so that a guess with
//! somebody's session id ends nobody's session.

use std::fmt;

use aws_lc_rs::{constant_time, digest, hmac};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use chrono::TimeDelta;
use uuid::Uuid;

use crate::kernel::{id::UserId, time::Instant};

/// For how long after its own first use a token may be used again, by a client whose answer was lost.
pub const RETRY: TimeDelta = TimeDelta::seconds(30);
/// How many tokens of a session are used up in [`RETRY`] at most. One more use of the present token gives the
/// present token again.
pub const MOST_USED: usize = 256;

const ID: usize = 16;
const SECRET: usize = 32;
const TAG: usize = 16;

/// What a session's token says. Does not print its secret.
#[derive(Clone, PartialEq, Eq)]
pub struct RefreshToken {
    /// Id of the user.
    pub user: UserId,
    /// Id of the session.
    pub session: Uuid,
    secret: [u8; SECRET],
}

impl fmt::Debug for RefreshToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RefreshToken").field("session", &self.session).finish_non_exhaustive()
    }
}

/// The hash that is stored of a token.
pub type Hash = [u8; 32];

impl RefreshToken {
    /// The first token of a session; `secret` is fresh randomness.
    pub fn first(user: UserId, session: Uuid, secret: [u8; 32]) -> Self {
        Self { user, session, secret }
    }

    /// What is stored of it. One pass of SHA-256 is enough for what nobody can guess.
    pub fn hash(&self) -> Hash {
        let mut bytes = [0; 32];
        let hash = digest::digest(&digest::SHA256, &self.secret);
        bytes.iter_mut().zip(hash.as_ref()).for_each(|(to, from)| *to = *from);
        bytes
    }

    /// The token that follows it by this salt.
    #[must_use]
    pub fn successor(&self, salt: &[u8]) -> Self {
        let key = hmac::Key::new(hmac::HMAC_SHA256, salt);
        let mut secret = [0; SECRET];
        let made = hmac::sign(&key, &self.secret);
        secret.iter_mut().zip(made.as_ref()).for_each(|(to, from)| *to = *from);
        Self { secret, ..self.clone() }
    }
}

/// Writes and reads tokens.
#[derive(Debug, Clone)]
pub struct RefreshTokens(Vec<hmac::Key>);

impl RefreshTokens {
    /// With the keys of the tags: the first one makes them, all of them are known.
    pub fn new(keys: &[[u8; 32]]) -> Self {
        Self(keys.iter().map(|key| hmac::Key::new(hmac::HMAC_SHA256, key)).collect())
    }

    /// The text of a token.
    pub fn write(&self, token: &RefreshToken) -> String {
        let mut bytes =
            [token.user.0.as_bytes().as_slice(), token.session.as_bytes(), &token.secret].concat();
        let tag = self.tags(&bytes).next().unwrap_or_default();
        bytes.extend(tag);
        URL_SAFE_NO_PAD.encode(bytes)
    }

    /// Reads a text, and tells whether the token was given out by this server; nothing if it cannot be
    /// one at all.
    pub fn read(&self, text: &str) -> Option<(RefreshToken, bool)> {
        let bytes = URL_SAFE_NO_PAD.decode(text).ok()?;
        let (said, tag) = bytes.split_at_checked(ID + ID + SECRET)?;
        if tag.len() != TAG {
            return None;
        }
        let (user, rest) = said.split_at_checked(ID)?;
        let (session, secret) = rest.split_at_checked(ID)?;
        let token = RefreshToken {
            user: UserId(Uuid::from_slice(user).ok()?),
            session: Uuid::from_slice(session).ok()?,
            secret: secret.try_into().ok()?,
        };
        let is = |made: Vec<u8>| constant_time::verify_slices_are_equal(&made, tag).is_ok();
        let given_out = self.tags(said).any(is);
        Some((token, given_out))
    }

    fn tags<'a>(&'a self, said: &'a [u8]) -> impl Iterator<Item = Vec<u8>> + 'a {
        self.0.iter().map(|key| hmac::sign(key, said).as_ref().iter().copied().take(TAG).collect())
    }
}

/// A salt of a rotation.
pub type Salt = [u8; 32];

/// A token that was used up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Used {
    /// SHA-256 of the token's secret.
    pub hash: Hash,
    /// The salt by which its successor follows from it.
    pub salt: Salt,
    /// When it was first used.
    pub at: Instant,
}

impl Used {
    /// Whether it may be used again at this time.
    pub fn may_be_retried(&self, now: Instant) -> bool {
        now < self.at + RETRY
    }
}

/// What follows from presenting a token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// It is the present one: it is used up now and gets a successor.
    Rotate,
    /// It was used up not long ago, by somebody whose answer may have been lost: the present token again.
    Again(RefreshToken),
    /// It was used up before: two hold it, and one of them is a thief.
    Reused,
    /// It was never given out.
    Foreign,
}

/// Judges a token of a live session by the hash of the present token and by those that were used up, oldest
/// first.
pub fn judge(
    present: &Hash,
    used: &[Used],
    token: &RefreshToken,
    given_out: bool,
    now: Instant,
) -> Verdict {
    let hash = token.hash();
    let is = |other: &Hash| constant_time::verify_slices_are_equal(other, &hash).is_ok();
    if is(present) {
        return Verdict::Rotate;
    }
    let place = used.iter().position(|used| is(&used.hash));
    let since = place.and_then(|place| used.get(place..)).unwrap_or_default();
    match since.first() {
        Some(first) if first.may_be_retried(now) => {
            let last = since.iter().fold(token.clone(), |token, used| token.successor(&used.salt));
            // Where a rotation between is missing, the salts lead nowhere.
            if last.hash() == *present { Verdict::Again(last) } else { Verdict::Reused }
        }
        Some(_) => Verdict::Reused,
        None if given_out => Verdict::Reused,
        None => Verdict::Foreign,
    }
}

#[cfg(test)]
#[path = "refresh_tests.rs"]
mod tests;
