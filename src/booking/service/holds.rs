//! What callers can ask about holds.

use super::Bookings;
use crate::{
    booking::{
        Appointment,
        commands::hold_to_move::HoldToMove,
        store::{
            AppointmentCursor,
            holds::{self, Filter},
        },
    },
    kernel::fault::Fault,
    storage::{Deadline, Query, Reader},
};

impl Bookings {
    /// Holds a slot to which an appointment shall be moved, if the caller may move it.
    pub async fn hold_to_move(
        &self,
        deadline: Deadline,
        unit: HoldToMove,
    ) -> Result<Appointment, Fault> {
        self.store.run(deadline, unit).await
    }

    /// A page of holds within the bounds of a permit, which the filter holds.
    pub async fn list_holds(
        &self,
        deadline: Deadline,
        filter: Filter,
        after: Option<AppointmentCursor>,
        limit: u64,
    ) -> Result<Vec<Appointment>, Fault> {
        self.store.read(deadline, List { filter, after, limit }).await
    }
}

struct List {
    filter: Filter,
    after: Option<AppointmentCursor>,
    limit: u64,
}

impl Query for List {
    type Output = Vec<Appointment>;

    async fn run(&self, at: &Reader) -> Result<Self::Output, Fault> {
        holds::list(at, &self.filter, self.after, self.limit).await
    }
}
