//! What callers can ask about holds.

use super::Bookings;
use crate::{
    booking::{
        Appointment,
        store::{
            Cursor,
            holds::{self, Filter},
        },
    },
    kernel::fault::Fault,
    storage::{Deadline, Query, Snapshot},
};

impl Bookings {
    /// A page of holds within the bounds of a permit, which the filter holds.
    pub async fn list_holds(
        &self,
        deadline: Deadline,
        filter: Filter,
        after: Option<Cursor>,
        limit: u64,
    ) -> Result<Vec<Appointment>, Fault> {
        self.store.read(deadline, List { filter, after, limit }).await
    }
}

struct List {
    filter: Filter,
    after: Option<Cursor>,
    limit: u64,
}

impl Query for List {
    type Output = Vec<Appointment>;

    async fn run(&self, at: &Snapshot) -> Result<Self::Output, Fault> {
        holds::list(at, &self.filter, self.after, self.limit).await
    }
}
