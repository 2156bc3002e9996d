//! The data of events of providers, schedules, time off, closures and offerings. The names of the fields are the keys of
//! the stored JSON: they are read in rows of all versions, and never change.

use serde::{Deserialize, Serialize};

use super::table::Document;
use crate::kernel::{
    id::{ClosureId, TimeOffId, TypeId},
    time::Instant,
    zone::Zone,
};

/// A new provider.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProviderOpened {
    /// What customers see.
    pub display_name: String,
}

/// What a provider is beside its schedules.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProviderChanged {
    /// What customers see.
    pub display_name: String,
    /// Whether the provider can be booked.
    pub enabled: bool,
}

/// A schedule after a change, or before it was deleted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum ScheduleChanged {
    /// A named schedule.
    Named(NamedSchedule),
    /// The default schedule of the provider.
    Default(DefaultSchedule),
}

/// A named schedule.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NamedSchedule {
    /// When it is open.
    #[serde(flatten)]
    pub hours: Hours,
    /// Its id.
    pub schedule: String,
    /// What was done with it.
    pub what: What,
}

/// What is done with a named schedule.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum What {
    /// It was added.
    Created,
    /// Its hours changed.
    Changed,
    /// It was deleted; the hours are those that it had.
    Deleted,
}

/// The default schedule of a provider.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DefaultSchedule {
    /// When it is open.
    #[serde(flatten)]
    pub hours: Hours,
    /// The distance of the starts of bare intervals, in minutes.
    pub slot_minutes: i64,
    /// The longest bare interval, in minutes.
    pub longest_minutes: i64,
    /// Whether bare intervals can be booked; rows of old versions lack it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub accepts_intervals: Option<bool>,
}

/// When a schedule is open, as the schedule room stores it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hours {
    /// The zone of the dates outside stays.
    pub time_zone: Zone,
    /// The windows of the week.
    pub weekly_hours: Document,
    /// The dates that have windows of their own; rows of old versions lack it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub date_overrides: Option<Document>,
    /// The dates spent elsewhere; rows of old versions lack it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stays: Option<Document>,
}

/// Time off. Its reason is not told.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TimeOff {
    /// The id.
    pub time_off: TimeOffId,
    /// The start, inclusive.
    pub start: Instant,
    /// The end, exclusive.
    pub end: Instant,
}

/// Time in which the practice is closed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Closure {
    /// The id.
    pub closure: ClosureId,
    /// The start, inclusive.
    pub start: Instant,
    /// The end, exclusive.
    pub end: Instant,
}

/// A type that a provider offers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Offered {
    /// The type.
    pub appointment_type: TypeId,
    /// By which named schedule; none is the default one.
    pub schedule: Option<String>,
}

/// A type that a provider offers no more.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Withdrawn {
    /// The type.
    pub appointment_type: TypeId,
}

/// A provider's own time as somebody's customer.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attendance {
    /// The sentence that says so, where a claim of it expired.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}
