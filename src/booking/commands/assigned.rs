//! Providers who were chosen from those who are free, compared again while they are locked.

use super::{
    book::{Assigned, Book},
    own_holds::OwnHolds,
};
use crate::{
    booking::{
        Appointment,
        fairness::{self, ProviderLoad},
    },
    claims,
    kernel::{fault::Fault, time::Interval},
    schedule::provider::Provider,
    storage::Tx,
};

impl Book {
    /// What a locked provider who was chosen from those who are free has to do by now, if that is more than the
    /// next one had: others were assigned since that was read. The others can only have got more, so that who
    /// has not is still first.
    pub(super) async fn gives_way(
        &self,
        tx: &Tx,
        provider: &Provider,
        a: &Appointment,
        own: &OwnHolds,
    ) -> Result<Option<ProviderLoad>, Fault> {
        let Some(Assigned { next: Some(next) }) = self.assigned else { return Ok(None) };
        // What the customer holds is the customer's before anybody else's.
        if !own.is_empty() {
            return Ok(None);
        }
        let interval = Interval::new(a.start, a.end).ok_or_else(Fault::unchecked)?;
        let days =
            self.practice.days(provider.schedule.hours(), &self.zones, interval, self.now)?;
        let booked = match days.around_week(a.start) {
            Some(week) => claims::store::counted::booked(tx, provider.id, week).await?,
            None => Vec::new(),
        };
        let load = ProviderLoad {
            minutes: fairness::minutes_of_week(&booked, a.start, &days),
            last_assigned_at: provider.last_assigned_at,
            provider: provider.id,
        };
        Ok((load > next).then_some(load))
    }
}
