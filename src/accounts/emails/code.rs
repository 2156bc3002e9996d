//! Codes that go out by mail: opaque, good once and not for long.
//!
//! A code is 256 random bits in base64url. What it is good for, for whom and for which address, is stored
//! beside its hash, so that no part of that can be changed by whoever has the code.

use std::fmt;

use aws_lc_rs::digest;
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use chrono::TimeDelta;

const SECRET: usize = 32;

/// The hash that is stored of a code.
pub type Hash = [u8; 32];

/// A code. Does not print itself.
#[derive(Clone, PartialEq, Eq)]
pub struct Code([u8; SECRET]);

impl fmt::Debug for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Code")
    }
}

impl Code {
    /// From fresh randomness.
    pub fn new(random: [u8; SECRET]) -> Self {
        Self(random)
    }

    /// Reads a code as people paste it, with space around it; nothing if it cannot be one.
    pub fn parse(text: &str) -> Option<Self> {
        let bytes = URL_SAFE_NO_PAD.decode(text.trim()).ok()?;
        bytes.try_into().ok().map(Self)
    }

    /// The text that goes into the mail, 43 characters.
    pub fn text(&self) -> String {
        URL_SAFE_NO_PAD.encode(self.0)
    }

    /// What is stored of it. One pass of SHA-256 is enough for what nobody can guess.
    pub fn hash(&self) -> Hash {
        let mut bytes = [0; 32];
        let hash = digest::digest(&digest::SHA256, &self.0);
        bytes.iter_mut().zip(hash.as_ref()).for_each(|(to, from)| *to = *from);
        bytes
    }
}

/// What a code is good for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// Makes the account that somebody signed up for.
    SignUp,
    /// Shows that an account's address is its owner's.
    Verify,
    /// Sets a new password.
    Reset,
    /// Gives an account this address.
    Change,
    /// Sets the first password of an account that somebody else made.
    Invite,
    /// Nothing: where there is no such account, so that as much is done as where there is one.
    Nothing,
}

impl Purpose {
    const ALL: [Self; 6] =
        [Self::SignUp, Self::Verify, Self::Reset, Self::Change, Self::Invite, Self::Nothing];

    /// The word used in the table.
    pub const fn word(self) -> &'static str {
        match self {
            Self::SignUp => "sign_up",
            Self::Verify => "verify",
            Self::Reset => "reset",
            Self::Change => "change",
            Self::Invite => "invite",
            Self::Nothing => "nothing",
        }
    }

    /// Reads the word.
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|purpose| purpose.word() == word)
    }

    /// How long a code is good: shorter for what it opens, long enough for mail that is late.
    pub const fn lifetime(self) -> TimeDelta {
        match self {
            Self::SignUp | Self::Verify => TimeDelta::hours(24),
            Self::Reset | Self::Nothing => TimeDelta::minutes(30),
            Self::Change => TimeDelta::hours(1),
            // Its owner did not ask for it just now.
            Self::Invite => TimeDelta::days(7),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_code_reads_back_and_nothing_else_does() {
        let code = Code::new([7; 32]);
        assert_eq!(Code::parse(&format!(" {}\n", code.text())), Some(code.clone()));
        assert_eq!(code.text().len(), 43);
        assert_ne!(code.hash(), Code::new([8; 32]).hash());
        for bad in ["", "x", &code.text()[1..], &format!("{}A", code.text()), "ä"] {
            assert_eq!(Code::parse(bad), None, "{bad}");
        }
        assert_eq!(format!("{code:?}"), "Code");
    }

    #[test]
    fn purposes_read_back() {
        for purpose in Purpose::ALL {
            assert_eq!(Purpose::parse(purpose.word()), Some(purpose));
        }
        assert_eq!(Purpose::parse("other"), None);
    }
}
