//! The data of events of appointments, requests and holds. The names of the fields, or what they are renamed to, are
//! the keys of the stored JSON: they are read in rows of all versions, and never change.
//!
//! What an erasure takes from a row (`erase.rs`) is optional here, also where it is always written.

use serde::{Deserialize, Serialize};

use super::table::is_false;
use crate::kernel::{
    id::{AppointmentId, HoldId, ProviderId, TypeId, UserId},
    time::Instant,
};

/// Time that an appointment, a request or a hold claims.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Claimed {
    /// The start, inclusive.
    pub start: Instant,
    /// The end, exclusive.
    pub end: Instant,
    /// Whose appointment or hold it is.
    pub customer: UserId,
    /// Of which type, if it has one.
    #[serde(rename = "type", skip_serializing_if = "Option::is_none")]
    pub type_id: Option<TypeId>,
    /// When a request or hold ends by itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expires: Option<Instant>,
    /// The hold that the appointment was made of.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hold: Option<HoldId>,
    /// The provider who had the appointment before a reassignment.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub from: Option<ProviderId>,
    /// The id that the appointment had there.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub predecessor: Option<AppointmentId>,
    /// Why it was reassigned, for the customer to read.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Why staff acted against the rules; empty where they did not, or absent.
    #[serde(rename = "override", skip_serializing_if = "Option::is_none")]
    pub override_reason: Option<String>,
}

impl Claimed {
    /// An interval claimed for a customer, and nothing more.
    pub const fn new(start: Instant, end: Instant, customer: UserId) -> Self {
        Self {
            start,
            end,
            customer,
            type_id: None,
            expires: None,
            hold: None,
            from: None,
            predecessor: None,
            reason: None,
            override_reason: None,
        }
    }
}

/// A hold.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum HoldPlaced {
    /// For the move of an appointment.
    ToMove(HeldToMove),
    /// For a new appointment.
    New(Claimed),
}

/// A hold for the move of an appointment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HeldToMove {
    /// The start, inclusive.
    pub start: Instant,
    /// The end, exclusive.
    pub end: Instant,
    /// Whose appointment it is.
    pub customer: UserId,
    /// Of which type, if it has one.
    #[serde(rename = "type")]
    pub type_id: Option<TypeId>,
    /// When the hold ends by itself.
    pub expires: Option<Instant>,
    /// The appointment that is to be moved.
    pub rescheduling: AppointmentId,
}

/// A decision about an appointment, a request, or a move that is asked for.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Decision {
    /// Why, for the other party to read.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Whether the customer cancelled after the cut-off.
    #[serde(default, skip_serializing_if = "is_false")]
    pub late: bool,
    /// The new start, of a move that was approved.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub start: Option<Instant>,
    /// The new end, of a move that was approved, or of an appointment whose rest was freed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub end: Option<Instant>,
    /// The start before.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub previous_start: Option<Instant>,
    /// The end before.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub previous_end: Option<Instant>,
}

/// The end of something that nobody answered or used in time.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Expiry {
    /// The sentence that readers are told as the reason.
    pub reason: String,
}

/// Another time of an appointment or request, agreed or asked for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Moved {
    /// The new start, inclusive.
    pub start: Instant,
    /// The new end, exclusive.
    pub end: Instant,
    /// The start before.
    pub previous_start: Instant,
    /// The end before.
    pub previous_end: Instant,
    /// Why, for the other party to read; may be empty.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Why staff acted against the rules; empty where they did not.
    #[serde(rename = "override", skip_serializing_if = "Option::is_none")]
    pub override_reason: Option<String>,
}

/// An appointment that another provider has from now on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reassignment {
    /// The provider who has it.
    pub to: ProviderId,
    /// The id that it has there; rows of old versions lack it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub successor: Option<AppointmentId>,
    /// Why, for the other party to read; may be empty.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Why staff acted against the rules; empty where they did not.
    #[serde(rename = "override", skip_serializing_if = "Option::is_none")]
    pub override_reason: Option<String>,
}

/// What became of an appointment, as far as it can be corrected.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// Nothing is marked: it is booked.
    Booked,
    /// It took place.
    Completed,
    /// The customer did not come.
    NoShow,
}

/// The correction of an outcome.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Correction {
    /// The right outcome.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub state: Option<Outcome>,
    /// The outcome that was marked.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub previous_state: Option<Outcome>,
    /// Why it was wrong, for the other party to read.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// The end, where time that was freed is claimed again.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub end: Option<Instant>,
    /// The end before.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub previous_end: Option<Instant>,
}

/// An appointment or hold that is another account's of the same customer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CustomerMerge {
    /// The account that has it.
    pub customer: UserId,
    /// The account that had it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub duplicate: Option<UserId>,
}

/// A hold that ends later.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HoldExtension {
    /// When it ends by itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expires: Option<Instant>,
}

/// A hold that was given up.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct HoldRelease {
    /// The appointment or hold that took its place, if one did.
    #[serde(rename = "for", skip_serializing_if = "Option::is_none")]
    pub successor: Option<AppointmentId>,
}
