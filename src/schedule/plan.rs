//! Plans: what a provider has beside the default schedule, and the form in which all of it is stored.

use std::collections::BTreeMap;

use chrono::TimeDelta;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};

use super::{
    Schedule,
    dates::{DateOverrides, Stays},
    hours::Hours,
};
use crate::kernel::{
    id::TimeOffId,
    time::{Instant, Interval},
};

/// The most named schedules that a provider may have.
pub const MAX_NAMED: usize = 20;
/// The most stretches of time off that a provider may have, of those that are not over; and of those that are.
pub const MAX_TIME_OFF: usize = 500;
/// How long a plan may be in the form in which it is stored, in bytes: some two thousand dates with windows of
/// their own, in all schedules together.
pub const MAX_PLAN_BYTES: usize = 256 * 1024;
/// How long time off is kept after its end, unless there is much of it.
const KEPT: TimeDelta = TimeDelta::days(400);

/// A stretch of time in which a provider cannot be booked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TimeOff {
    /// Unique id.
    pub id: TimeOffId,
    /// From when until when there are no bookings; the end is excluded.
    pub interval: Interval,
    /// Why; for the provider and for admins.
    pub reason: String,
}

/// Time off as data.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct PlainTimeOff {
    id: TimeOffId,
    start: Instant,
    end: Instant,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    reason: String,
}

impl Serialize for TimeOff {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let (start, end) = (self.interval.start(), self.interval.end());
        PlainTimeOff { id: self.id, start, end, reason: self.reason.clone() }.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for TimeOff {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let PlainTimeOff { id, start, end, reason } = PlainTimeOff::deserialize(deserializer)?;
        let interval = Interval::new(start, end)
            .ok_or_else(|| D::Error::custom("time off must end after it starts"))?;
        Ok(Self { id, interval, reason })
    }
}

/// What a provider has beside the default schedule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    /// The named schedules, by name; at most [`MAX_NAMED`].
    pub named: BTreeMap<String, Hours>,
    /// The time off, sorted by start and then by id; at most [`MAX_TIME_OFF`] to come, and as many that are over.
    pub time_off: Vec<TimeOff>,
    /// Whether intervals can be booked without an appointment type.
    pub accepts_intervals: bool,
}

impl Default for Plan {
    fn default() -> Self {
        Self { named: BTreeMap::new(), time_off: Vec::new(), accepts_intervals: true }
    }
}

/// There are as many of these as are allowed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Full;

impl Plan {
    /// Adds time off, and forgets what ended long ago. What is over counts for nothing.
    pub fn add_time_off(&mut self, new: TimeOff, now: Instant) -> Result<(), Full> {
        self.time_off.retain(|old| old.interval.end() > now - KEPT);
        let over = self.over(now).len();
        if self.time_off.len() - over >= MAX_TIME_OFF {
            return Err(Full);
        }
        self.forget(over.saturating_sub(MAX_TIME_OFF), now);
        self.time_off.push(new);
        self.time_off.sort_by_key(|each| (each.interval.start(), each.id));
        Ok(())
    }

    /// The ends of the time off that is over, the earliest first.
    fn over(&self, now: Instant) -> Vec<Instant> {
        let ends = self.time_off.iter().map(|each| each.interval.end());
        let mut over: Vec<Instant> = ends.filter(|end| *end <= now).collect();
        over.sort_unstable();
        over
    }

    /// Forgets so much of the time off that is over, what ended first, and what ended with the last of it.
    fn forget(&mut self, count: usize, now: Instant) {
        let last = count.checked_sub(1).and_then(|place| self.over(now).get(place).copied());
        self.time_off.retain(|each| last.is_none_or(|last| each.interval.end() > last));
    }

    /// Forgets the older half of the time off that is over; whether there was any.
    pub fn forget_half(&mut self, now: Instant) -> bool {
        let over = self.over(now).len();
        self.forget(over.div_ceil(2), now);
        over > 0
    }

    /// Takes time off out of the plan.
    pub fn remove_time_off(&mut self, id: TimeOffId) -> Option<TimeOff> {
        let place = self.time_off.iter().position(|each| each.id == id)?;
        Some(self.time_off.remove(place))
    }
}

/// The form in which a plan is stored, with the dates of the default schedule. What is absent is empty,
/// so `{}` is the plan of a provider without any of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct StoredPlan {
    /// The default schedule's dates with windows of their own.
    #[serde(skip_serializing_if = "DateOverrides::is_empty")]
    pub overrides: DateOverrides,
    /// The default schedule's stays.
    #[serde(skip_serializing_if = "Stays::is_empty")]
    pub stays: Stays,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    named: BTreeMap<String, Hours>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    time_off: Vec<TimeOff>,
    // True is what absence means.
    #[serde(skip_serializing_if = "Clone::clone")]
    accepts_intervals: bool,
}

impl Default for StoredPlan {
    fn default() -> Self {
        Self::new(None, Plan::default())
    }
}

impl StoredPlan {
    /// The form of a plan, with the dates of this default schedule.
    pub fn new(schedule: Option<&Schedule>, plan: Plan) -> Self {
        let hours = schedule.map(Schedule::hours);
        Self {
            overrides: hours.map(|hours| hours.overrides().clone()).unwrap_or_default(),
            stays: hours.map(|hours| hours.stays().clone()).unwrap_or_default(),
            named: plan.named,
            time_off: plan.time_off,
            accepts_intervals: plan.accepts_intervals,
        }
    }

    /// The plan in it, and the dates of the default schedule.
    pub fn into_parts(self) -> (Plan, DateOverrides, Stays) {
        let Self { overrides, stays, named, time_off, accepts_intervals } = self;
        (Plan { named, time_off, accepts_intervals }, overrides, stays)
    }
}

#[cfg(test)]
#[path = "plan_tests.rs"]
mod tests;
