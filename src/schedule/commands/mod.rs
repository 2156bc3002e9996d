//! Units of work on providers and schedules.

mod closures;
mod schedules;
mod time_off;

use std::sync::Arc;

use chrono::TimeDelta;

use super::{
    Schedule,
    plan::MAX_PLAN_BYTES,
    provider::Provider,
    store::{self, Head},
};
use crate::{
    claims,
    events::{
        self, Event, EventData,
        schedule::{ProviderChanged, ProviderOpened},
    },
    kernel::{
        fault::{Fault, Reason, Violations},
        id::{ProviderId, UserId},
        time::{Instant, Interval},
    },
    storage::Tx,
};

pub use closures::{Close, Closed, Closure, Reopen};
pub use schedules::{Create, Delete, Update, Updated};
pub use time_off::{Give, Take};

/// Opens a provider for a user, or, when the user was one before, enables it again. A step of the
/// accounts' units of work, not a unit by itself.
pub async fn open(
    tx: &Tx,
    id: ProviderId,
    display_name: &str,
    schedule: &Arc<Schedule>,
    actor: Option<UserId>,
    now: Instant,
) -> Result<(), Fault> {
    if store::lock_head(tx, id).await?.is_some() {
        return change(tx, id, display_name, true, actor, now).await;
    }
    let provider = Provider {
        id,
        display_name: display_name.to_owned(),
        enabled: true,
        schedule: Arc::clone(schedule),
        plan: Arc::default(),
        version: 1,
        stamp: tx.stamp(),
        schedule_version: 1,
        schedule_stamp: tx.stamp(),
        schedule_updated_at: now,
        last_assigned_at: None,
    };
    store::closures::wait_for_closures(tx).await?;
    store::insert(tx, &provider).await?;
    claims::store::new_provider::claim(tx, id).await?;
    let data = EventData::ProviderOpened(ProviderOpened { display_name: display_name.to_owned() });
    record(tx, (id, provider.version), actor, now, data).await
}

/// Takes over a provider's name, and whether it can be booked, from its user. Does nothing for a user
/// who never was a provider, or when both are the same already.
pub async fn change(
    tx: &Tx,
    id: ProviderId,
    display_name: &str,
    enabled: bool,
    actor: Option<UserId>,
    now: Instant,
) -> Result<(), Fault> {
    let Some(before) = store::lock_head(tx, id).await? else { return Ok(()) };
    if before.display_name == display_name && before.enabled == enabled {
        return Ok(());
    }
    let head = Head { display_name: display_name.to_owned(), enabled, version: before.version + 1 };
    store::set_head(tx, id, &head).await?;
    let Head { display_name, enabled, version } = head;
    let data = EventData::ProviderChanged(ProviderChanged { display_name, enabled });
    record(tx, (id, version), actor, now, data).await
}

/// Closes a provider for ever, and takes its name and its schedules, also where those cannot be read. A step
/// of the erasure of its user.
pub async fn close(
    tx: &Tx,
    id: ProviderId,
    schedule: Arc<Schedule>,
    actor: UserId,
    now: Instant,
) -> Result<(), Fault> {
    let Some(before) = store::lock_head(tx, id).await? else { return Ok(()) };
    let version = before.version + 1;
    let closed = Provider {
        id,
        display_name: String::new(),
        enabled: false,
        schedule,
        plan: Arc::default(),
        version,
        stamp: tx.stamp(),
        schedule_version: version,
        schedule_stamp: tx.stamp(),
        schedule_updated_at: now,
        last_assigned_at: None,
    };
    store::update(tx, &closed).await?;
    let changed = ProviderChanged { display_name: String::new(), enabled: false };
    record(tx, (id, version), Some(actor), now, EventData::ProviderChanged(changed)).await
}

/// Refuses a change by which the schedules and the time off of a provider would be too long in all: they are
/// one document, which every change of them reads and writes, and so do most bookings. What is over counts
/// for nothing: where it is in the way it is forgotten, time off before dates and stays.
fn make_fit(before: &Provider, after: &mut Provider, now: Instant) -> Result<(), Fault> {
    let size = after.plan_bytes()?;
    if size <= MAX_PLAN_BYTES || size <= before.plan_bytes()? {
        return Ok(());
    }
    while Arc::make_mut(&mut after.plan).forget_half(now) {
        if after.plan_bytes()? <= MAX_PLAN_BYTES {
            return Ok(());
        }
    }
    // The dates before this one are over in every zone.
    after.forget_dates(now.date_naive() - TimeDelta::days(1));
    if after.plan_bytes()? <= MAX_PLAN_BYTES {
        return Ok(());
    }
    Err(Fault::new(
        Reason::TooMany,
        "the provider's schedules and time off are too long in all; delete some, or write shorter reasons",
    ))
}

/// What somebody did to a provider's schedules.
struct EventDraft {
    data: EventData,
    actor: UserId,
    now: Instant,
}

/// Writes back a locked provider whose schedules, or what is taken from them, changed: one version, one
/// event.
async fn reschedule(tx: &Tx, provider: &mut Provider, act: EventDraft) -> Result<(), Fault> {
    let EventDraft { data, actor, now } = act;
    provider.reschedule(tx.stamp(), now);
    store::update(tx, provider).await?;
    record(tx, (provider.id, provider.version), Some(actor), now, data).await
}

/// What is told of an interval that [`is_over`].
pub const OVER: &str = "must not be over already";

/// Whether it is of no use any more to take this time away.
pub fn is_over(interval: Interval, now: Instant) -> bool {
    interval.end() <= now
}

fn not_over(interval: Interval, field: &str, now: Instant) -> Result<(), Fault> {
    let mut violations = Violations::new();
    if is_over(interval, now) {
        violations.add(field, OVER);
    }
    violations.finish()
}

pub(super) async fn record(
    tx: &Tx,
    (provider, version): (ProviderId, i64),
    actor: Option<UserId>,
    at: Instant,
    data: EventData,
) -> Result<(), Fault> {
    let event = Event { provider, version, appointment: None, actor, via: None, at, data };
    events::store::insert(tx, event).await
}
