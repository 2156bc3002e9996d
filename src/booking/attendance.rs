//! Further time that an appointment claims, beside the row that it is: a person is in one place.

use super::{Appointment, State};
use crate::kernel::{
    id::{AppointmentId, ProviderId},
    time::Instant,
};

/// A stretch of a provider's time that an appointment claims beside its own row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Further {
    /// Whose time.
    pub provider: ProviderId,
    /// The id of the row, which follows from the appointment's.
    pub id: AppointmentId,
    /// The first instant.
    pub start: Instant,
    /// The first instant after it.
    pub end: Instant,
    /// Until when it claims; for good where nothing ends it.
    pub expires_at: Option<Instant>,
}

/// The time of a customer who is a provider too: who is treated then treats nobody. No buffers, which are for
/// what the provider does before and after.
pub fn attended(a: &Appointment) -> Vec<Further> {
    let is_live = a.state.is_open() || matches!(a.state, State::Completed | State::NoShow);
    let own = Further {
        provider: a.customer.as_provider(),
        id: a.id,
        start: a.start,
        end: a.end,
        expires_at: a.expires_at,
    };
    if is_live { vec![own] } else { Vec::new() }
}
