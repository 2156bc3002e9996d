//! Units of work on providers and schedules.

use std::sync::Arc;

use chrono::TimeDelta;
use chrono_tz::Tz;
use serde_json::json;

use super::{
    HoursViolation, LONGEST_RANGE, SLOT_RANGE, Schedule, ScheduleViolation, WeeklyHours, Window,
    provider::Provider, store,
};
use crate::{
    events::{self, Event, Kind},
    identity::permit::EditSchedule,
    kernel::{
        fault::{Fault, Violations},
        id::{ProviderId, UserId},
        time::Instant,
    },
    storage::{Tx, UnitOfWork, request::Once},
};

/// What to change in a schedule; what is absent stays.
#[derive(Debug, Clone, Default)]
pub struct Changes {
    /// The zone.
    pub zone: Option<Tz>,
    /// The weekly windows.
    pub windows: Option<Vec<Window>>,
    /// The distance of the starts on offer.
    pub slot: Option<TimeDelta>,
    /// The longest bookable interval.
    pub longest: Option<TimeDelta>,
}

impl Changes {
    /// Notes what is wrong with these values whatever the schedule is that they change.
    pub fn check(&self, violations: &mut Violations) {
        const LENGTH: &str = "must be 5 minutes to 24 hours in whole minutes";
        if self.slot.is_some_and(|slot| !SLOT_RANGE.contains(&slot)) {
            violations.add("schedule.slot_duration", LENGTH);
        }
        if self.longest.is_some_and(|longest| !LONGEST_RANGE.contains(&longest)) {
            violations.add("schedule.longest_booking", LENGTH);
        }
        if let Some(Err(all)) = self.windows.clone().map(WeeklyHours::new) {
            for violation in all {
                add_hours_violation(violations, violation);
            }
        }
        if let Some((slot, longest)) = self.slot.zip(self.longest)
            && LONGEST_RANGE.contains(&longest)
            && SLOT_RANGE.contains(&slot)
            && slot > longest
        {
            add_slot_over_longest(violations);
        }
    }

    /// The schedule with these changes, which were checked before.
    pub fn apply(&self, to: &Schedule) -> Result<Schedule, Fault> {
        let hours = match &self.windows {
            None => to.hours().clone(),
            Some(windows) => WeeklyHours::new(windows.clone())
                .map_err(|v| Fault::internal(format!("unchecked weekly hours: {v:?}")))?,
        };
        let zone = self.zone.unwrap_or_else(|| to.zone());
        let slot = self.slot.unwrap_or_else(|| to.slot());
        let longest = self.longest.unwrap_or_else(|| to.longest());
        Schedule::new(zone, hours, slot, longest).map_err(|all| {
            if all != [ScheduleViolation::SlotOverLongest] {
                return Fault::internal(format!("an unchecked schedule: {all:?}"));
            }
            // Only one of the two was given; the other is the stored one.
            let mut violations = Violations::new();
            add_slot_over_longest(&mut violations);
            violations.into_fault()
        })
    }
}

fn add_slot_over_longest(violations: &mut Violations) {
    violations.add("schedule.slot_duration", "must not be longer than longest_booking");
}

fn add_hours_violation(violations: &mut Violations, violation: HoursViolation) {
    let (index, text) = match violation {
        HoursViolation::Empty { index } => (index, "must end after it starts".to_owned()),
        HoursViolation::Overlap { index, with } => {
            (index, format!("must not overlap weekly_windows[{with}]"))
        }
        HoursViolation::TooMany { .. } => {
            return violations.add("schedule.weekly_windows", "must have at most 100 windows");
        }
    };
    violations.add(format!("schedule.weekly_windows[{index}]"), text);
}

/// Changes a schedule.
#[derive(Debug, Clone)]
pub struct Update {
    /// The right to.
    pub permit: EditSchedule,
    /// What to change.
    pub changes: Changes,
    /// The schedule's version that the editor saw, if told.
    pub expected: Option<i64>,
    /// The request, for retries.
    pub once: Once,
    /// The time of the change.
    pub now: Instant,
}

impl UnitOfWork for Update {
    type Output = Provider;

    async fn run(&self, tx: &Tx) -> Result<Provider, Fault> {
        let id = self.permit.provider;
        let Some(mut provider) = store::lock(tx, id).await? else {
            return Err(Fault::not_found(id.schedule_name()));
        };
        if let Some((earlier, _)) = self.once.earlier(tx).await? {
            return Ok(earlier);
        }
        if self.expected.is_some_and(|version| version != provider.schedule_version) {
            return Err(stale());
        }
        provider.schedule = Arc::new(self.changes.apply(&provider.schedule)?);
        provider.version += 1;
        provider.schedule_version = provider.version;
        provider.schedule_updated_at = self.now;
        store::update(tx, &provider).await?;
        let detail = json!({
            "time_zone": provider.schedule.zone().name(),
            "weekly_hours": provider.schedule.hours(),
            "slot_minutes": provider.schedule.slot().num_minutes(),
            "longest_minutes": provider.schedule.longest().num_minutes(),
        });
        record(tx, &provider, Kind::ScheduleChanged, Some(self.permit.editor), self.now, detail)
            .await?;
        self.once.keep(tx, id.0, provider.version, &provider, self.now).await?;
        Ok(provider)
    }
}

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
    if store::lock(tx, id).await?.is_some() {
        return change(tx, id, display_name, true, actor, now).await;
    }
    let provider = Provider {
        id,
        display_name: display_name.to_owned(),
        enabled: true,
        schedule: Arc::clone(schedule),
        version: 1,
        schedule_version: 1,
        schedule_updated_at: now,
    };
    store::insert(tx, &provider).await?;
    let detail = json!({ "display_name": display_name });
    record(tx, &provider, Kind::ProviderOpened, actor, now, detail).await
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
    let Some(mut provider) = store::lock(tx, id).await? else { return Ok(()) };
    if provider.display_name == display_name && provider.enabled == enabled {
        return Ok(());
    }
    display_name.clone_into(&mut provider.display_name);
    provider.enabled = enabled;
    provider.version += 1;
    store::update(tx, &provider).await?;
    let detail = json!({ "display_name": display_name, "enabled": enabled });
    record(tx, &provider, Kind::ProviderChanged, actor, now, detail).await
}

/// The etag is of another version.
pub fn stale() -> Fault {
    Fault::stale()
}

pub(super) async fn record(
    tx: &Tx,
    provider: &Provider,
    kind: Kind,
    actor: Option<UserId>,
    at: Instant,
    detail: serde_json::Value,
) -> Result<(), Fault> {
    let event = Event {
        provider: provider.id,
        version: provider.version,
        kind,
        appointment: None,
        actor,
        at,
        detail,
    };
    events::store::insert(tx, event).await
}
