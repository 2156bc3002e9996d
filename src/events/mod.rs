//! Events: the record of every change of a provider's time.
//!
//! An event is written in the transaction of the change that it records, and carries the provider's
//! version after it. Versions are taken under the lock of the provider's row, so they are without gaps
//! and in the order of the commits.

pub mod store;

use serde_json::Value;

use crate::kernel::{
    id::{AppointmentId, ProviderId, UserId},
    time::Instant,
};

/// What happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A provider came into being, with a schedule.
    ProviderOpened,
    /// The name, or whether the provider can be booked, changed.
    ProviderChanged,
    /// The schedule changed.
    ScheduleChanged,
    /// A provider offers a type, or by another schedule than before.
    OfferingChanged,
    /// A provider offers a type no more.
    OfferingWithdrawn,
    /// An appointment was booked.
    AppointmentBooked,
    /// An appointment was cancelled.
    AppointmentCancelled,
    /// An appointment was completed.
    AppointmentCompleted,
}

impl Kind {
    /// The word used in the table.
    pub const fn word(self) -> &'static str {
        match self {
            Self::ProviderOpened => "provider_opened",
            Self::ProviderChanged => "provider_changed",
            Self::ScheduleChanged => "schedule_changed",
            Self::OfferingChanged => "offering_changed",
            Self::OfferingWithdrawn => "offering_withdrawn",
            Self::AppointmentBooked => "appointment_booked",
            Self::AppointmentCancelled => "appointment_cancelled",
            Self::AppointmentCompleted => "appointment_completed",
        }
    }
}

/// One change of a provider's time.
#[derive(Debug, Clone)]
pub struct Event {
    /// Whose.
    pub provider: ProviderId,
    /// The provider's version after the change.
    pub version: i64,
    /// What happened.
    pub kind: Kind,
    /// Which appointment it happened to, if one.
    pub appointment: Option<AppointmentId>,
    /// Who did it; nobody for acts at the command line.
    pub actor: Option<UserId>,
    /// When.
    pub at: Instant,
    /// What a listener needs to follow the change.
    pub detail: Value,
}
