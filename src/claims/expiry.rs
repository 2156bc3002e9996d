//! Claims that end by themselves.

use crate::kernel::{id::AppointmentId, time::Instant};

/// Kind of claim that can expire.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Expiring {
    /// A hold.
    Hold,
    /// A pending appointment.
    Request,
    /// Time that something with somebody else claims.
    Attended,
    /// The move that is asked for of this appointment.
    Move(AppointmentId),
}

/// After everything: a held row needs an expiry.
pub fn never() -> Instant {
    Instant::from_timestamp(10_413_792_000, 0).unwrap_or(Instant::UNIX_EPOCH)
}
