//! The promise: appointments, their states, and that no two of them overlap.

pub mod commands;
pub mod policy;
pub mod service;
pub mod store;

use chrono_tz::Tz;
use serde::{Deserialize, Serialize};

use crate::kernel::{
    id::{AppointmentId, ProviderId, UserId},
    time::{Instant, Interval},
};

/// The longest note, in characters.
pub const LONGEST_NOTE: usize = 2000;
/// The longest reason for a cancellation, in characters.
pub const LONGEST_REASON: usize = 500;

/// Where an appointment stands in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// Agreed, and still to come or not yet marked as done.
    Booked,
    /// It took place.
    Completed,
    /// It was called off; its time is free again.
    Cancelled,
}

impl State {
    /// All states.
    pub const ALL: [Self; 3] = [Self::Booked, Self::Completed, Self::Cancelled];

    /// The word used in the table.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Booked => "booked",
            Self::Completed => "completed",
            Self::Cancelled => "cancelled",
        }
    }

    /// Reads the word.
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.word() == word)
    }
}

/// A customer's booking of a provider's time.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Appointment {
    /// Whose time it is.
    pub provider: ProviderId,
    /// The id.
    pub id: AppointmentId,
    /// Who comes.
    pub customer: UserId,
    /// The customer's name when it was booked.
    pub customer_display_name: String,
    /// The first instant.
    pub start: Instant,
    /// The first instant after it.
    pub end: Instant,
    /// Where it stands in its life.
    pub state: State,
    /// What the customer wrote.
    pub note: String,
    /// The provider's zone when it was booked.
    pub time_zone: Tz,
    /// The wall-clock time that was promised.
    pub local_start: String,
    /// Why it was cancelled; empty unless it was.
    pub cancel_reason: String,
    /// The number of the event that last changed it.
    pub version: i64,
    /// When it was booked.
    pub created_at: Instant,
    /// When it was last changed.
    pub updated_at: Instant,
}

/// The wall-clock time that is promised for a start, such as `2026-11-23T09:00:00`.
pub fn promised(interval: Interval, zone: Tz) -> String {
    interval.start().with_timezone(&zone).format("%Y-%m-%dT%H:%M:%S").to_string()
}
