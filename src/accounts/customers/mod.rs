//! The front desk: staff find people, make accounts for those who call, and invite them to take these over.
//!
//! An account that somebody else made has no password. Its owner takes it over by a code that goes to its
//! address: the first password is set, and the address is shown to be theirs. What was booked before stays.

pub mod commands;
pub mod search_terms;
pub mod service;
pub mod store;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::{
    identity::{email::Email, phone::Phone},
    kernel::zone::Zone,
};

/// Where a page of a search ended: the word by which its last person was found, and that person.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Cursor {
    /// The search word by which the last person on the page was found.
    pub word: String,
    /// Id of the last person on the page.
    pub id: Uuid,
}

/// What an admin corrects of an account: what is set here.
#[derive(Debug, Clone, Default)]
pub struct Correction {
    /// New display name; `None` keeps the present one.
    pub display_name: Option<String>,
    /// The address, or that there is none.
    pub email: Option<Option<Email>>,
    /// The phone number, or that there is none.
    pub phone: Option<Option<Phone>>,
    /// Time zone.
    pub time_zone: Option<Zone>,
}
