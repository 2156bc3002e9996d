//! Schedules: changed, added, deleted.

use std::{collections::BTreeMap, sync::Arc};

use serde::{Deserialize, Serialize};

use super::{EventDraft, make_fit, reschedule};
use crate::{
    claims::{self, affected::Times},
    events::{
        self, EventData,
        schedule::{DefaultSchedule, NamedSchedule, ScheduleChanged, What},
        table::Document,
    },
    identity::permit::EditSchedule,
    kernel::{
        fault::{Fault, Reason},
        stamp::Revision,
        time::Instant,
        zone::ZoneData,
    },
    schedule::{
        changes::Changes,
        hours::Hours,
        name::ScheduleName,
        plan::{MAX_NAMED, Plan},
        provider::Provider,
        store,
    },
    storage::{Authority, Tx, UnitOfWork, idempotency::IdempotencyKey},
};

/// Changes a schedule.
#[derive(Debug, Clone)]
pub struct Update {
    /// The right to.
    pub permit: EditSchedule,
    /// The id of a named schedule; none means the default one.
    pub id: Option<String>,
    /// What to change.
    pub changes: Changes,
    /// The state of the provider's schedules that the editor saw, if told.
    pub expected: Option<Revision>,
    /// The request, for retries.
    pub idempotency_key: IdempotencyKey,
    /// The time of the change.
    pub now: Instant,
    /// The zone data of that time.
    pub zones: ZoneData,
}

/// A changed schedule.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Updated {
    /// The provider, with nothing but this schedule in its plan.
    #[serde(flatten)]
    pub provider: Provider,
    /// What goes by the schedule and lies outside its hours now.
    #[serde(default)]
    pub outside: Times,
}

impl UnitOfWork for Update {
    type Output = Updated;
    const AUTHORITY: Authority = Authority::Caller;

    async fn run(&self, tx: &Tx) -> Result<Updated, Fault> {
        let name = ScheduleName { provider: self.permit.provider, id: self.id.clone() };
        let absent = || Fault::not_found(name.to_string());
        let mut provider = store::lock(tx, name.provider).await?.ok_or_else(absent)?;
        if let Some((earlier, _)) = self.idempotency_key.earlier(tx).await? {
            return Ok(earlier);
        }
        let hours = provider.hours(self.id.as_deref()).ok_or_else(absent)?;
        if self.expected.is_some_and(|seen| seen != provider.schedule_revision()) {
            return Err(Fault::stale());
        }
        if self.changes.is_empty() {
            return self.answer(tx, provider, Times::default()).await;
        }
        let before = provider.clone();
        let changed = match &self.id {
            None => {
                let accepts = self.changes.accepts_intervals;
                provider.schedule =
                    Arc::new(self.changes.apply(&provider.schedule, (self.now, &self.zones))?);
                if let Some(accepts) = accepts.filter(|new| *new != provider.accepts_intervals()) {
                    Arc::make_mut(&mut provider.plan).accepts_intervals = accepts;
                }
                default_schedule(&provider)?
            }
            Some(id) => {
                let hours = self.changes.apply_named(Some(hours), (self.now, &self.zones))?;
                let changed = named_schedule(id, What::Changed, &hours)?;
                Arc::make_mut(&mut provider.plan).named.insert(id.clone(), hours);
                changed
            }
        };
        make_fit(&before, &mut provider, self.now)?;
        reschedule(tx, &mut provider, act(changed, self.permit, self.now)).await?;
        let outside = match provider.hours(self.id.as_deref()) {
            Some(hours) if self.changes.hours_change() => {
                let of = (self.id.as_deref(), None);
                let is_open = |interval| Ok(hours.is_open(&self.zones, interval)?);
                claims::store::affected::outside(tx, provider.id, of, self.now, is_open).await?
            }
            _ => Times::default(),
        };
        self.answer(tx, provider, outside).await
    }
}

impl Update {
    async fn answer(&self, tx: &Tx, provider: Provider, outside: Times) -> Result<Updated, Fault> {
        let updated = Updated { provider: with(provider, self.id.as_deref()), outside };
        let (id, version) = (updated.provider.id.0, updated.provider.version);
        self.idempotency_key.keep(tx, id, version, &updated, self.now).await?;
        Ok(updated)
    }
}

/// Adds a named schedule.
#[derive(Debug, Clone)]
pub struct Create {
    /// The right to.
    pub permit: EditSchedule,
    /// The id of the new schedule.
    pub id: String,
    /// What it is; with a zone.
    pub changes: Changes,
    /// The request, for retries.
    pub idempotency_key: IdempotencyKey,
    /// The time of the change.
    pub now: Instant,
    /// The zone data of that time.
    pub zones: ZoneData,
}

impl UnitOfWork for Create {
    /// The provider, with nothing but this schedule in its plan.
    type Output = Provider;
    const AUTHORITY: Authority = Authority::Caller;

    async fn run(&self, tx: &Tx) -> Result<Provider, Fault> {
        let id = self.permit.provider;
        let absent = || Fault::not_found(id.name());
        let mut provider = store::lock(tx, id).await?.ok_or_else(absent)?;
        if let Some((earlier, _)) = self.idempotency_key.earlier(tx).await? {
            return Ok(earlier);
        }
        if provider.plan.named.contains_key(&self.id) {
            return Err(Fault::new(
                Reason::NameTaken,
                "the provider has a schedule of this name; choose another schedule_id",
            )
            .field("schedule_id", "must not be the id of another schedule"));
        }
        if provider.plan.named.len() >= MAX_NAMED {
            return Err(Fault::new(
                Reason::TooMany,
                format!("a provider has at most {MAX_NAMED} named schedules; delete one first"),
            ));
        }
        let hours = self.changes.apply_named(None, (self.now, &self.zones))?;
        let changed = named_schedule(&self.id, What::Created, &hours)?;
        let before = provider.clone();
        Arc::make_mut(&mut provider.plan).named.insert(self.id.clone(), hours);
        make_fit(&before, &mut provider, self.now)?;
        reschedule(tx, &mut provider, act(changed, self.permit, self.now)).await?;
        let answer = with(provider, Some(&self.id));
        self.idempotency_key.keep(tx, answer.id.0, answer.version, &answer, self.now).await?;
        Ok(answer)
    }
}

/// Deletes a named schedule.
#[derive(Debug, Clone)]
pub struct Delete {
    /// The right to.
    pub permit: EditSchedule,
    /// The id of the schedule.
    pub id: String,
    /// The state of the provider's schedules that the editor saw, if told.
    pub expected: Option<Revision>,
    /// The request, for retries.
    pub idempotency_key: IdempotencyKey,
    /// The time of the change.
    pub now: Instant,
}

impl UnitOfWork for Delete {
    type Output = ();
    const AUTHORITY: Authority = Authority::Caller;

    async fn run(&self, tx: &Tx) -> Result<(), Fault> {
        let name = ScheduleName { provider: self.permit.provider, id: Some(self.id.clone()) };
        let absent = || Fault::not_found(name.to_string());
        let mut provider = store::lock(tx, name.provider).await?.ok_or_else(absent)?;
        if let Some(((), _)) = self.idempotency_key.earlier(tx).await? {
            return Ok(());
        }
        let hours = provider.hours(Some(&self.id)).ok_or_else(absent)?;
        if self.expected.is_some_and(|seen| seen != provider.schedule_revision()) {
            return Err(Fault::stale());
        }
        // Offerings change under the same lock.
        if store::is_offered_by(tx, provider.id, &self.id).await? {
            return Err(Fault::new(
                Reason::InUse,
                "an appointment type is offered by this schedule; offer it by another one first",
            ));
        }
        let changed = named_schedule(&self.id, What::Deleted, hours)?;
        Arc::make_mut(&mut provider.plan).named.remove(&self.id);
        reschedule(tx, &mut provider, act(changed, self.permit, self.now)).await?;
        self.idempotency_key.keep(tx, provider.id.0, provider.version, &(), self.now).await
    }
}

fn act(changed: ScheduleChanged, permit: EditSchedule, now: Instant) -> EventDraft {
    EventDraft { data: EventData::ScheduleChanged(changed), actor: permit.editor, now }
}

/// The answer that is kept: the provider with the one schedule that was asked for. Whatever else is in
/// the plan is neither told nor copied into every stored answer.
fn with(provider: Provider, id: Option<&str>) -> Provider {
    let named = provider.plan.named.iter().filter(|(name, _)| Some(name.as_str()) == id);
    let named: BTreeMap<_, _> = named.map(|(name, hours)| (name.clone(), hours.clone())).collect();
    let accepts_intervals = provider.accepts_intervals();
    let plan = Plan { named, time_off: Vec::new(), accepts_intervals };
    Provider { plan: Arc::new(plan), ..provider }
}

fn default_schedule(provider: &Provider) -> Result<ScheduleChanged, Fault> {
    Ok(ScheduleChanged::Default(DefaultSchedule {
        hours: told(provider.schedule.hours())?,
        slot_minutes: provider.schedule.slot().num_minutes(),
        longest_minutes: provider.schedule.longest().num_minutes(),
        accepts_intervals: Some(provider.accepts_intervals()),
    }))
}

fn named_schedule(id: &str, what: What, hours: &Hours) -> Result<ScheduleChanged, Fault> {
    let (hours, schedule) = (told(hours)?, id.to_owned());
    Ok(ScheduleChanged::Named(NamedSchedule { hours, schedule, what }))
}

/// What events tell of hours.
fn told(hours: &Hours) -> Result<events::schedule::Hours, Fault> {
    Ok(events::schedule::Hours {
        time_zone: hours.zone(),
        weekly_hours: Document::of(hours.weekly())?,
        date_overrides: Some(Document::of(hours.overrides())?),
        stays: Some(Document::of(hours.stays())?),
    })
}
