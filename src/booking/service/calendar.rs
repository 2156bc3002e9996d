//! What callers can ask about a provider's calendar.

use super::Bookings;
use crate::{
    booking::{calendar::Calendar, store::calendar::Ask},
    bulkhead::Stop,
    identity::permit::SeeCalendar,
    kernel::{fault::Fault, time::Interval},
    storage::Deadline,
};

impl Bookings {
    /// The calendar of a provider in a range, as `finish` makes an answer of it. It may be much: other such
    /// calls are waited for.
    pub async fn calendar<T: Send + 'static>(
        &self,
        deadline: Deadline,
        permit: SeeCalendar,
        range: Interval,
        finish: impl FnOnce(Calendar) -> T + Send + 'static,
    ) -> Result<T, Fault> {
        let SeeCalendar { provider } = permit;
        let bulkhead = &self.slots.bulkhead;
        let turn = bulkhead.turn(deadline).await?;
        let now = self.ambient.now();
        let found = self.store.read(deadline, Ask { provider, range, now }).await?;
        let found = found.ok_or_else(|| Fault::not_found(provider.name()))?;
        let zones = self.ambient.zones();
        let job = move |_: &Stop| {
            let calendar = Calendar::of(found, range, &zones, now);
            Some(calendar.map(finish).map_err(Fault::from))
        };
        bulkhead.compute(deadline, &turn, job).await?
    }
}
