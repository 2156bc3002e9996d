//! Service accounts, which are what other backends call as, and their API keys.
//!
//! They are no users: nothing that looks users up finds them, so they cannot log in, be booked or be
//! customers.

pub mod api_key;
pub mod commands;
pub mod service;
pub mod store;

use chrono::TimeDelta;
use serde::{Deserialize, Serialize};

use crate::{
    accounts::service_accounts::api_key::Hash,
    identity::{Role, authority::ActFor},
    kernel::{
        id::{ApiKeyId, ServiceAccountId},
        stamp::{Revision, Stamp},
        time::Instant,
    },
};

/// How many enabled service accounts there are at most.
pub const MOST: usize = 100;
/// How many keys of a service account are good at the same time at most.
pub const MOST_KEYS: usize = 10;
/// How many customers one may be let act for by name.
pub const MOST_CUSTOMERS: usize = 100;
/// How many scopes a key has at most.
pub const MOST_SCOPES: usize = 100;
/// How long a key lasts at most.
pub const LONGEST_LIFE: TimeDelta = TimeDelta::days(400);
/// For how long keys are known that are no longer good, so that their use is noticed.
pub const REMEMBERED: TimeDelta = TimeDelta::days(7);

/// What another backend calls as.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServiceAccount {
    /// Unique id.
    pub id: ServiceAccountId,
    /// What admins call it.
    pub display_name: String,
    /// What it may do as itself: an admin's, or as a customer nothing.
    pub role: Role,
    /// Whom it may act for.
    pub act_for: ActFor,
    /// Whether it is shut out.
    pub disabled: bool,
    /// The number of its last change.
    pub version: i64,
    /// Of the write that last changed it.
    #[serde(default)]
    pub stamp: Stamp,
    /// When it was made.
    pub created_at: Instant,
    /// When it was last changed.
    pub updated_at: Instant,
}

impl ServiceAccount {
    /// Which state of it this is.
    pub const fn revision(&self) -> Revision {
        Revision::new(self.version, self.stamp)
    }
}

/// What is stored of an API key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredApiKey {
    /// Unique id.
    pub id: ApiKeyId,
    /// The id of the service account that has the key.
    pub account: ServiceAccountId,
    /// The hash of its secret.
    pub hash: Hash,
    /// The services and methods that it is good for.
    pub scopes: Vec<String>,
    /// When it was made.
    pub created_at: Instant,
    /// When it ends.
    pub expires_at: Instant,
    /// When it was revoked, if it was.
    pub revoked_at: Option<Instant>,
    /// When it was last used, if it was.
    pub last_used_at: Option<Instant>,
    /// IP address of the last use; empty if it was never used.
    pub last_address: String,
}
