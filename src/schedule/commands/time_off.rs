//! Time off: taken and given back.

use std::sync::Arc;

use super::{EventDraft, make_fit, not_over, reschedule};
use crate::{
    claims::{self, affected::AffectedAppointments},
    events::{self, EventData},
    identity::permit::EditSchedule,
    kernel::{
        fault::{Fault, Reason},
        id::TimeOffId,
        time::{Instant, Interval},
    },
    schedule::{
        plan::{MAX_TIME_OFF, TimeOff},
        store,
    },
    storage::{Authority, Tx, UnitOfWork, idempotency::IdempotencyKey},
};

/// Takes time off.
#[derive(Debug, Clone)]
pub struct Take {
    /// The right to.
    pub permit: EditSchedule,
    /// When, and why.
    pub time_off: TimeOff,
    /// The request, for retries.
    pub idempotency_key: IdempotencyKey,
    /// The time of the change.
    pub now: Instant,
}

impl UnitOfWork for Take {
    type Output = (TimeOff, AffectedAppointments);
    const AUTHORITY: Authority = Authority::Caller;

    async fn run(&self, tx: &Tx) -> Result<Self::Output, Fault> {
        let id = self.permit.provider;
        let absent = || Fault::not_found(id.name());
        let mut provider = store::lock(tx, id).await?.ok_or_else(absent)?;
        if let Some((earlier, _)) = self.idempotency_key.earlier(tx).await? {
            return Ok(earlier);
        }
        let interval = self.time_off.interval;
        not_over(interval, "time_off.end_time", self.now)?;
        let before = provider.clone();
        let plan = Arc::make_mut(&mut provider.plan);
        plan.add_time_off(self.time_off.clone(), self.now).map_err(|_| {
            Fault::new(
                Reason::TooMany,
                format!(
                    "a provider has at most {MAX_TIME_OFF} stretches of time off that are not over; delete \
                     one"
                ),
            )
        })?;
        make_fit(&before, &mut provider, self.now)?;
        // The reason is the provider's own business, and events are for everybody who follows them.
        let data = EventData::TimeOffCreated(told(self.time_off.id, interval));
        let act = EventDraft { data, actor: self.permit.editor, now: self.now };
        reschedule(tx, &mut provider, act).await?;
        let touched = claims::store::affected::find(tx, Some(id), interval, self.now).await?;
        let answer = (self.time_off.clone(), touched);
        self.idempotency_key.keep(tx, id.0, provider.version, &answer, self.now).await?;
        Ok(answer)
    }
}

/// Gives time off back.
#[derive(Debug, Clone)]
pub struct Give {
    /// The right to.
    pub permit: EditSchedule,
    /// The id of the time off.
    pub id: TimeOffId,
    /// The request, for retries.
    pub idempotency_key: IdempotencyKey,
    /// The time of the change.
    pub now: Instant,
}

impl UnitOfWork for Give {
    type Output = ();
    const AUTHORITY: Authority = Authority::Caller;

    async fn run(&self, tx: &Tx) -> Result<(), Fault> {
        let id = self.permit.provider;
        let absent = || Fault::not_found(self.id.name(id));
        let mut provider = store::lock(tx, id).await?.ok_or_else(absent)?;
        if let Some(((), _)) = self.idempotency_key.earlier(tx).await? {
            return Ok(());
        }
        let plan = Arc::make_mut(&mut provider.plan);
        let removed = plan.remove_time_off(self.id).ok_or_else(absent)?;
        let data = EventData::TimeOffDeleted(told(self.id, removed.interval));
        let act = EventDraft { data, actor: self.permit.editor, now: self.now };
        reschedule(tx, &mut provider, act).await?;
        self.idempotency_key.keep(tx, id.0, provider.version, &(), self.now).await
    }
}

/// What events tell of time off.
fn told(id: TimeOffId, interval: Interval) -> events::schedule::TimeOff {
    let (start, end) = (interval.start(), interval.end());
    events::schedule::TimeOff { time_off: id, start, end }
}
