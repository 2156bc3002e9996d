//! Log-ins that go on: each is a session, with a refresh token that is exchanged for the next one and a
//! fresh access token, until the session ends.

pub mod commands;
pub mod log_in_service;
pub mod refresh;
pub mod service;
pub mod store;

use chrono::TimeDelta;
use uuid::Uuid;

use crate::{
    accounts::sessions::refresh::{Hash, Used},
    kernel::{id::UserId, time::Instant},
};

/// How many live sessions an account has at most; one more ends the one that was used least recently.
pub const MOST: usize = 100;
/// How much is kept of what a client says that it is, in characters.
pub const LONGEST_USER_AGENT: usize = 200;

/// How long sessions last.
#[derive(Debug, Clone, Copy)]
pub struct Lifetimes {
    /// Without being used.
    pub idle: TimeDelta,
    /// Longest lifetime of a session, counted from log-in.
    pub absolute: TimeDelta,
}

/// A session: one log-in of one user on one device.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Session {
    /// The id of the account that is logged in.
    pub user: UserId,
    /// The id; access tokens have it as `sid`.
    pub id: Uuid,
    /// What is stored of the present refresh token.
    pub token_hash: Hash,
    /// The tokens that were used up: the last one, and before it those that could be used again when it was
    /// used, oldest first.
    pub used: Vec<Used>,
    /// When the log-in was.
    pub created_at: Instant,
    /// When it was last refreshed; at first, when it began.
    pub used_at: Instant,
    /// When it ends whatever happens.
    pub expires_at: Instant,
    /// When and why it ended before that.
    pub ended: Option<(Instant, End)>,
    /// From where it was last used.
    pub address: String,
    /// What the client said that it is.
    pub user_agent: String,
}

/// Why a session ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// Its owner logged out.
    LoggedOut,
    /// Its owner or an admin ended it.
    Revoked,
    /// A refresh token came a second time.
    Reused,
    /// The account changed in a way that ends log-ins.
    AccountChanged,
    /// The account had too many.
    TooMany,
}

impl End {
    const ALL: [Self; 5] =
        [Self::LoggedOut, Self::Revoked, Self::Reused, Self::AccountChanged, Self::TooMany];

    /// The word used in the table.
    pub const fn word(self) -> &'static str {
        match self {
            Self::LoggedOut => "logged_out",
            Self::Revoked => "revoked",
            Self::Reused => "reused",
            Self::AccountChanged => "account_changed",
            Self::TooMany => "too_many",
        }
    }

    fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|end| end.word() == word)
    }
}

impl Session {
    /// When it ends if it is not used before.
    pub fn due(&self, lifetimes: Lifetimes) -> Instant {
        self.expires_at.min(self.used_at + lifetimes.idle)
    }

    /// Whether it goes on at this time.
    pub fn is_live(&self, lifetimes: Lifetimes, now: Instant) -> bool {
        self.ended.is_none() && now < self.due(lifetimes)
    }
}
