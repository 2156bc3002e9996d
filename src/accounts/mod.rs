//! Accounts: signing up, logging in, roles, shutting out.
//!
//! To the right of `schedule`, because an account that becomes a provider gets a schedule in the same
//! transaction.

pub mod audit;
pub mod commands;
pub mod customers;
pub mod emails;
pub mod master_keys;
pub mod passwords;
pub mod second_factor;
pub mod service;
pub mod service_accounts;
pub mod services;
pub mod sessions;
pub mod signing;
pub mod store;
pub mod throttling;

use secrecy::SecretString;
use serde::{Deserialize, Serialize};
use unicode_normalization::UnicodeNormalization as _;

use crate::{
    identity::{Role, email::Email, phone::Phone},
    kernel::{
        id::{ProviderId, UserId},
        stamp::{Revision, Stamp},
        time::Instant,
        zone::Zone,
    },
};

/// The longest display name, in characters.
pub const LONGEST_NAME: usize = 100;

/// An account, without its password.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct User {
    /// Unique id.
    pub id: UserId,
    /// What others see.
    pub display_name: String,
    /// What logs in; [`Email::none`] where there is no address.
    pub email: Email,
    /// When it was shown that the address is its owner's, if it was.
    #[serde(default)]
    pub email_verified_at: Option<Instant>,
    /// Where the person is called, if that is known. Families share one.
    #[serde(default)]
    pub phone: Option<Phone>,
    /// What it may do.
    pub role: Role,
    /// The zone in which this person reads times.
    pub time_zone: Zone,
    /// Whether it is shut out.
    pub disabled: bool,
    /// Whether it has a password. One that somebody else made has none until its owner takes it over.
    #[serde(default = "yes")]
    pub has_password: bool,
    /// The number of the last event of this account.
    pub version: i64,
    /// Of the write that made this version.
    #[serde(default)]
    pub stamp: Stamp,
    /// When it was made.
    pub created_at: Instant,
    /// When it was last changed.
    pub updated_at: Instant,
}

/// Answers that were stored before there were accounts without a password.
fn yes() -> bool {
    true
}

impl User {
    /// Which state of it this is.
    pub const fn revision(&self) -> Revision {
        Revision::new(self.version, self.stamp)
    }

    /// The provider that this user is, if it is one now.
    pub fn provider(&self) -> Option<ProviderId> {
        (self.role == Role::Provider).then(|| self.id.as_provider())
    }

    /// What is left of it once it is closed for good: nothing about the person.
    #[must_use]
    pub fn closed(&self) -> Self {
        Self {
            display_name: String::new(),
            // No address: nobody can sign up with it, before or after, and be in the way.
            email: Email::stored(format!("erased {}", self.id.0)),
            email_verified_at: None,
            phone: None,
            has_password: false,
            role: Role::Customer,
            time_zone: Zone::UTC,
            disabled: true,
            ..self.clone()
        }
    }

    /// Whether its time can be booked.
    pub fn bookable(&self) -> bool {
        self.role == Role::Provider && !self.disabled
    }

    /// Whether it may look after accounts now, whatever an older token says.
    pub fn administers(&self) -> bool {
        self.role == Role::Admin && !self.disabled
    }
}

/// Who signs up.
#[derive(Debug, Clone)]
pub struct NewUser {
    /// The id that the account gets, if it is made.
    pub id: UserId,
    /// What others will see.
    pub display_name: String,
    /// What will log in.
    pub email: Email,
    /// The password in clear text; never logged.
    pub password: SecretString,
    /// Role of the account.
    pub role: Role,
    /// Time zone.
    pub time_zone: Zone,
}

/// What somebody who looks for a person types: the beginning of an address, a name or a word of a name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Prefix(String);

impl Prefix {
    /// Compared without case, with accents in their letters or beside them alike.
    pub fn new(text: &str) -> Self {
        Self(folded(text.trim()))
    }

    /// Whether an account's address, its name or a word of the name begins so.
    pub fn begins(&self, user: &User) -> bool {
        if user.email.address().starts_with(&self.0) {
            return true;
        }
        let name = folded(&user.display_name);
        let is_start = |(place, _): &(usize, char)| {
            let before = name.get(..*place).and_then(|before| before.chars().next_back());
            before.is_none_or(|before| !before.is_alphanumeric())
        };
        let mut starts = name.char_indices().filter(is_start);
        starts.any(|(place, _)| name.get(place..).is_some_and(|rest| rest.starts_with(&self.0)))
    }
}

fn folded(text: &str) -> String {
    text.nfc().flat_map(char::to_lowercase).nfc().collect()
}
