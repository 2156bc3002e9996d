//! Providers: a schedule, and the versions that number its changes.

use std::sync::Arc;

use chrono::{NaiveDate, TimeDelta};
use serde::{Deserialize, Serialize};

use super::{
    Schedule, WeeklyHours,
    hours::Hours,
    plan::{Plan, StoredPlan, TimeOff},
};
use crate::kernel::{
    fault::Fault,
    id::ProviderId,
    stamp::{Revision, Stamp},
    time::Instant,
    zone::Zone,
};

/// A user whose time can be booked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Plain", into = "Plain")]
pub struct Provider {
    /// The id, which is the user's.
    pub id: ProviderId,
    /// What customers see.
    pub display_name: String,
    /// Whether it can be booked.
    pub enabled: bool,
    /// When it is open by default.
    pub schedule: Arc<Schedule>,
    /// What it has beside that.
    pub plan: Arc<Plan>,
    /// The number of the last event.
    pub version: i64,
    /// Of the write that made this version.
    pub stamp: Stamp,
    /// The number of the event that last changed the schedules, the time off or the closures.
    pub schedule_version: i64,
    /// Of the write that did.
    pub schedule_stamp: Stamp,
    /// When that was.
    pub schedule_updated_at: Instant,
    /// When it was last given an appointment that was for whoever is free.
    pub last_assigned_at: Option<Instant>,
}

impl Provider {
    /// Which state of it this is: whatever changes it, its time off, what it offers or its claims makes
    /// another.
    pub const fn revision(&self) -> Revision {
        Revision::new(self.version, self.stamp)
    }

    /// The next version, which is one of its schedules too.
    pub fn reschedule(&mut self, stamp: Stamp, now: Instant) {
        self.version += 1;
        self.stamp = stamp;
        self.schedule_version = self.version;
        self.schedule_stamp = stamp;
        self.schedule_updated_at = now;
    }

    /// Which state of its schedules this is.
    pub const fn schedule_revision(&self) -> Revision {
        Revision::new(self.schedule_version, self.schedule_stamp)
    }

    /// The hours of a schedule: the default one's, or those of the one with this name.
    pub fn hours(&self, schedule: Option<&str>) -> Option<&Hours> {
        match schedule {
            None => Some(self.schedule.hours()),
            Some(name) => self.plan.named.get(name),
        }
    }

    /// When it cannot be booked whatever the hours are, sorted by start; some may be over.
    pub fn time_off(&self) -> &[TimeOff] {
        &self.plan.time_off
    }

    /// How long the plan is in the form in which it is stored, in bytes.
    pub fn plan_bytes(&self) -> Result<usize, Fault> {
        let stored = StoredPlan::new(Some(&self.schedule), Plan::clone(&self.plan));
        let bytes = serde_json::to_vec(&stored);
        let failed = |e| Fault::internal(format!("a schedule does not encode: {e}"));
        bytes.map(|bytes| bytes.len()).map_err(failed)
    }

    /// Forgets the overrides and the stays of all schedules that are over on this date.
    pub fn forget_dates(&mut self, today: NaiveDate) {
        self.schedule = Arc::new(self.schedule.since(today));
        for hours in Arc::make_mut(&mut self.plan).named.values_mut() {
            *hours = hours.since(today);
        }
    }

    /// Whether intervals can be booked without an appointment type.
    pub fn accepts_intervals(&self) -> bool {
        self.plan.accepts_intervals
    }
}

/// A provider as data.
#[derive(Serialize, Deserialize)]
struct Plain {
    id: ProviderId,
    display_name: String,
    enabled: bool,
    time_zone: Zone,
    hours: WeeklyHours,
    slot_minutes: i64,
    longest_minutes: i64,
    version: i64,
    schedule_version: i64,
    schedule_updated_at: Instant,
    // Answers that were stored before there were stamps have neither.
    #[serde(default)]
    stamp: Stamp,
    #[serde(default)]
    schedule_stamp: Stamp,
    // Answers that were stored before there were plans have neither.
    #[serde(default)]
    plan: StoredPlan,
    #[serde(default)]
    last_assigned_at: Option<Instant>,
}

impl From<Provider> for Plain {
    fn from(provider: Provider) -> Self {
        let schedule = &provider.schedule;
        Self {
            id: provider.id,
            enabled: provider.enabled,
            time_zone: schedule.zone(),
            hours: schedule.hours().weekly().clone(),
            slot_minutes: schedule.slot().num_minutes(),
            longest_minutes: schedule.longest().num_minutes(),
            version: provider.version,
            schedule_version: provider.schedule_version,
            stamp: provider.stamp,
            schedule_stamp: provider.schedule_stamp,
            schedule_updated_at: provider.schedule_updated_at,
            plan: StoredPlan::new(Some(schedule), Plan::clone(&provider.plan)),
            last_assigned_at: provider.last_assigned_at,
            display_name: provider.display_name,
        }
    }
}

impl TryFrom<Plain> for Provider {
    type Error = String;

    fn try_from(plain: Plain) -> Result<Self, String> {
        let (plan, overrides, stays) = plain.plan.into_parts();
        let schedule = Schedule::of(
            Hours::new(plain.time_zone, plain.hours, overrides, stays),
            TimeDelta::minutes(plain.slot_minutes),
            TimeDelta::minutes(plain.longest_minutes),
        )
        .map_err(|violations| format!("{violations:?}"))?;
        Ok(Self {
            id: plain.id,
            display_name: plain.display_name,
            enabled: plain.enabled,
            schedule: Arc::new(schedule),
            plan: Arc::new(plan),
            version: plain.version,
            schedule_version: plain.schedule_version,
            stamp: plain.stamp,
            schedule_stamp: plain.schedule_stamp,
            schedule_updated_at: plain.schedule_updated_at,
            last_assigned_at: plain.last_assigned_at,
        })
    }
}
