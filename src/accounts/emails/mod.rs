//! Addresses that were shown to be their owners', and what goes out by mail to show it: verification after
//! a sign-up, a new password, another address. The codes stand in `code`.

pub mod code;
pub mod commands;
pub mod service;
pub mod store;

use serde::{Deserialize, Serialize};

use crate::{
    accounts::emails::code::{Hash, Purpose},
    identity::{Role, email::Email},
    kernel::{id::UserId, time::Instant, zone::Zone},
};

/// A code as it is stored: what it is good for.
#[derive(Debug, Clone)]
pub struct StoredCode {
    /// The hash of the code.
    pub hash: Hash,
    /// What the code may be used for.
    pub purpose: Purpose,
    /// Whose account, if there is one.
    pub user: Option<UserId>,
    /// The address that it was sent to.
    pub email: Email,
    /// What becomes of a sign-up.
    pub applicant: Option<PendingSignUp>,
    /// When it was made.
    pub created_at: Instant,
    /// Until when it is good.
    pub expires_at: Instant,
}

/// Somebody who signed up and has not shown yet that the address is theirs: there is no account. Several
/// may wait for one address, and the first whose code comes back gets it, so that nobody can keep an
/// address from its owner by signing up with it.
#[derive(Clone, Serialize, Deserialize)]
pub struct PendingSignUp {
    /// What others will see.
    pub display_name: String,
    /// The PHC string of the password.
    pub password_hash: String,
    /// Role of the account.
    pub role: Role,
    /// The zone, by name.
    pub time_zone: String,
}

impl PendingSignUp {
    /// The zone; UTC where the name is not known any more.
    pub fn zone(&self) -> Zone {
        Zone::named(&self.time_zone).unwrap_or(Zone::UTC)
    }
}

impl std::fmt::Debug for PendingSignUp {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Applicant")
    }
}
