//! Claims of an appointment beside its own row.

use uuid::Uuid;

use super::Subject;
use crate::kernel::{
    id::{AppointmentId, TypeId, UserId},
    time::Instant,
    zone::Zone,
};

/// A claim on a subject's time that an appointment makes in a row of its own: the customer's own time,
/// or the time of a requested move.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ExtraClaim {
    /// Whose time it is.
    pub subject: Subject,
    /// The id of the row, which follows from the appointment's.
    pub id: AppointmentId,
    /// The first instant, and the first one after it.
    pub interval: (Instant, Instant),
    /// The same with buffers.
    pub claim: (Instant, Instant),
    /// Whether it keeps the customer busy as well.
    pub is_customers: bool,
    /// For whose limits it counts.
    pub type_id: Option<TypeId>,
    /// Until when it claims; for good where nothing ends it.
    pub expires_at: Option<Instant>,
}

/// The appointment that an extra claim is of.
#[derive(Debug, Clone, Copy)]
pub struct Owner<'a> {
    /// Its id.
    pub id: AppointmentId,
    /// Its customer.
    pub customer: UserId,
    /// The zone of the provider's hours then.
    pub time_zone: Zone,
    /// The wall-clock time that was promised.
    pub local_start: &'a str,
    /// When the appointment was last changed.
    pub updated_at: Instant,
    /// The version of the locked subject in whose time the claim is made.
    pub version: i64,
}

/// The ids of the rows of further time of an appointment: of itself, and of the move that is asked for.
pub fn ids(of: AppointmentId) -> [AppointmentId; 2] {
    [of, AppointmentId(Uuid::from_u128(of.0.as_u128() ^ 1))]
}
