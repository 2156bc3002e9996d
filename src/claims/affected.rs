//! Claims in a stretch of time that was taken away, or outside new hours.

use serde::{Deserialize, Serialize};

use super::kind::Kind;
use crate::kernel::{
    id::{AppointmentId, ProviderId},
    time::Instant,
};

/// The appointments that overlap what was taken away. They stay; somebody has to look after them.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct AffectedAppointments {
    /// The first of them, by start.
    pub first: Vec<(ProviderId, AppointmentId)>,
    /// How many there are.
    pub count: i64,
    /// All that claims the time, also by asking and by holding it.
    #[serde(default)]
    pub times: Times,
}

/// Claimed time, the first of it by start, and how much there is.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Times {
    /// The first of it.
    pub first: Vec<ClaimedTime>,
    /// How many there are.
    pub count: i64,
}

/// What claims time of what is taken away. A stable form: answers are stored for retries.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Claim {
    /// A booked appointment.
    Appointment,
    /// A pending one.
    Request,
    /// The move that is asked for of a booked one.
    Move,
    /// A hold.
    Hold,
}

impl Claim {
    /// What is told of a claim, unless the provider attends something themselves then.
    pub fn of(kind: Kind) -> Option<Self> {
        match kind {
            Kind::Appointment => Some(Self::Appointment),
            Kind::Request => Some(Self::Request),
            Kind::Move(_) => Some(Self::Move),
            Kind::Hold => Some(Self::Hold),
            Kind::Attended => None,
        }
    }
}

/// A stretch of a provider's time that is claimed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClaimedTime {
    /// What claims it.
    pub claim: Claim,
    /// Whose time it is.
    pub provider: ProviderId,
    /// The appointment; of a hold the id that its appointment would have.
    pub id: AppointmentId,
    /// The first instant.
    pub start: Instant,
    /// The first instant after it.
    pub end: Instant,
    /// When it ends by itself, if it does.
    pub expires_at: Option<Instant>,
}
