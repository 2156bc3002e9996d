//! When a provider is open: weekly hours in the provider's own zone, and what differs from them.
//!
//! This file, [`dates`], [`hours`], [`plan`] and [`name`] hold the words; [`expand`] turns them into
//! instants, [`days`] tells to which date an instant belongs, [`changes`] says what a change may be.

pub mod cache;
pub mod changes;
pub mod commands;
pub mod dates;
pub mod days;
pub mod expand;
pub mod hours;
pub mod name;
pub mod offering;
pub mod plan;
pub mod provider;
pub mod service;
pub mod store;
pub mod zones;

#[cfg(test)]
mod tests;

use std::fmt;
use std::ops::RangeInclusive;

use chrono::{NaiveDate, NaiveDateTime, NaiveTime, TimeDelta, Weekday};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};

use self::hours::Hours;
use crate::kernel::{
    time::Interval,
    zone::{UnknownZone, Zone, ZoneData},
};

/// The most windows that weekly hours may have.
pub const MAX_WINDOWS: usize = 100;
/// The range of the distance between slots: 5 minutes to 24 hours, both included.
pub const SLOT_RANGE: RangeInclusive<TimeDelta> = TimeDelta::minutes(5)..=TimeDelta::hours(24);
/// The range of the longest duration of an appointment: 5 minutes to 24 hours, both included.
pub const LONGEST_RANGE: RangeInclusive<TimeDelta> = TimeDelta::minutes(5)..=TimeDelta::hours(24);
/// A wall-clock time, in whole minutes from 00:00 to 24:00.
///
/// 24:00 is midnight at the end of the day, so it is only of use as the end of a [`Window`].
/// As text, and in serde, `HH:MM`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TimeOfDay(u16);

impl TimeOfDay {
    /// The time so many minutes after 00:00; `None` over 1440, which is 24:00.
    pub fn new(minutes: u16) -> Option<Self> {
        (minutes <= 24 * 60).then_some(Self(minutes))
    }

    /// Reads `HH:MM`, five characters exactly, from 00:00 to 24:00.
    pub fn parse(text: &str) -> Option<Self> {
        let [h1, h0, b':', m1, m0] = text.as_bytes() else { return None };
        let digit = |byte: &u8| byte.is_ascii_digit().then(|| u16::from(byte - b'0'));
        let pair = |tens, ones| Some(digit(tens)? * 10 + digit(ones)?);
        let minute = pair(m1, m0).filter(|minute| *minute < 60)?;
        Self::new(pair(h1, h0)? * 60 + minute)
    }

    /// The minutes since 00:00, from 0 to 1440.
    pub fn minutes(self) -> u16 {
        self.0
    }

    /// The hour, from 0 to 24.
    pub fn hour(self) -> u32 {
        u32::from(self.0 / 60)
    }

    /// The minute of the hour, from 0 to 59.
    pub fn minute(self) -> u32 {
        u32::from(self.0 % 60)
    }

    /// This wall-clock time on a date, where 24:00 is 00:00 of the next.
    ///
    /// `None` at the end of chrono's calendar.
    pub fn on(self, date: NaiveDate) -> Option<NaiveDateTime> {
        date.and_time(NaiveTime::MIN).checked_add_signed(TimeDelta::minutes(self.0.into()))
    }
}

impl fmt::Display for TimeOfDay {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:02}:{:02}", self.hour(), self.minute())
    }
}

impl Serialize for TimeOfDay {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for TimeOfDay {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::parse(&String::deserialize(deserializer)?)
            .ok_or_else(|| D::Error::custom("must be a time from 00:00 to 24:00, written HH:MM"))
    }
}

/// One opening of the week, `[start, end)` in wall-clock time on one day.
///
/// As data `{"day": "mon", "start": "09:00", "end": "17:00"}`. Only [`WeeklyHours`] checks that it
/// is not empty.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Window {
    /// The day of the week on which it starts.
    #[serde(with = "Day")]
    pub day: Weekday,
    /// When it opens.
    pub start: TimeOfDay,
    /// When it closes; 24:00 for midnight at the end of the day.
    pub end: TimeOfDay,
}

/// The days of the week as data: `mon` to `sun`.
#[derive(Serialize, Deserialize)]
#[serde(remote = "Weekday", rename_all = "lowercase")]
enum Day {
    Mon,
    Tue,
    Wed,
    Thu,
    Fri,
    Sat,
    Sun,
}

/// One reason why windows are not weekly hours. `index` counts the windows as they were given.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HoursViolation {
    /// The window does not end after it starts.
    #[error("window {index} must end after it starts")]
    Empty {
        /// The offending window.
        index: usize,
    },
    /// The window starts before an earlier one of the same day has ended.
    #[error("window {index} overlaps window {with}")]
    Overlap {
        /// The offending window: of the two, the one that starts later.
        index: usize,
        /// The window it overlaps.
        with: usize,
    },
    /// There are more than [`MAX_WINDOWS`].
    #[error("must be at most {MAX_WINDOWS} windows, not {count}")]
    TooMany {
        /// How many there are.
        count: usize,
    },
}

/// The windows of a provider's week.
///
/// At most [`MAX_WINDOWS`], none empty, none overlapping (they may touch), sorted by day from
/// Monday and then by start. May have none at all: always closed. As data, the list of windows.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize)]
#[serde(transparent)]
pub struct WeeklyHours(Vec<Window>);

impl WeeklyHours {
    /// Checks and sorts the windows.
    ///
    /// Reports every violation, sorted by index; each window that overlaps is reported once. If
    /// there are too many windows, that alone is reported.
    pub fn new(windows: Vec<Window>) -> Result<Self, Vec<HoursViolation>> {
        if windows.len() > MAX_WINDOWS {
            return Err(vec![HoursViolation::TooMany { count: windows.len() }]);
        }
        let mut sorted: Vec<(usize, Window)> = windows.into_iter().enumerate().collect();
        sorted.sort_by_key(|(index, w)| (w.day.num_days_from_monday(), w.start, w.end, *index));

        let mut violations = Vec::new();
        // Among those before, the one whose end reaches furthest: who overlaps any, overlaps it.
        let mut furthest: Option<(usize, Window)> = None;
        for (index, window) in sorted.iter().copied() {
            if window.end <= window.start {
                violations.push((index, HoursViolation::Empty { index }));
                continue;
            }
            let same_day = furthest.filter(|(_, before)| before.day == window.day);
            if let Some((with, before)) = same_day
                && window.start < before.end
            {
                violations.push((index, HoursViolation::Overlap { index, with }));
            }
            if same_day.is_none_or(|(_, before)| before.end < window.end) {
                furthest = Some((index, window));
            }
        }
        if violations.is_empty() {
            return Ok(Self(sorted.into_iter().map(|(_, window)| window).collect()));
        }
        violations.sort_by_key(|(index, _)| *index);
        Err(violations.into_iter().map(|(_, violation)| violation).collect())
    }

    /// Monday to Friday, 09:00 to 17:00: what a new provider starts with.
    pub fn office_hours() -> Self {
        let days = [Weekday::Mon, Weekday::Tue, Weekday::Wed, Weekday::Thu, Weekday::Fri];
        let (start, end) = (TimeOfDay(9 * 60), TimeOfDay(17 * 60));
        Self(days.into_iter().map(|day| Window { day, start, end }).collect())
    }

    /// All windows, sorted by day from Monday and then by start.
    pub fn windows(&self) -> &[Window] {
        &self.0
    }

    /// The windows of one day, sorted by start.
    pub fn on(&self, day: Weekday) -> &[Window] {
        let before = |days| self.0.partition_point(|w| w.day.num_days_from_monday() < days);
        let day = day.num_days_from_monday();
        self.0.get(before(day)..before(day + 1)).unwrap_or_default()
    }
}

impl<'de> Deserialize<'de> for WeeklyHours {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::new(Vec::deserialize(deserializer)?).map_err(|violations| {
            let all: Vec<_> = violations.iter().map(ToString::to_string).collect();
            D::Error::custom(all.join("; "))
        })
    }
}

/// One reason why values are not a schedule; the variant names the field.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ScheduleViolation {
    /// The slot is out of range or not in whole minutes.
    #[error("slot must be 5 minutes to 24 hours, in whole minutes")]
    Slot,
    /// The longest duration is out of range or not in whole minutes.
    #[error("longest must be 5 minutes to 24 hours, in whole minutes")]
    Longest,
    /// Each is fine by itself, but the slot is longer than the longest duration.
    #[error("slot must not be longer than longest")]
    SlotOverLongest,
}

/// When a provider can be booked, unless an appointment type says otherwise: the default hours, the grid
/// and the limit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Schedule {
    hours: Hours,
    slot: TimeDelta,
    longest: TimeDelta,
}

impl Schedule {
    /// A schedule whose week is always the same; see [`Schedule::of`].
    pub fn new(
        zone: Zone,
        weekly: WeeklyHours,
        slot: TimeDelta,
        longest: TimeDelta,
    ) -> Result<Self, Vec<ScheduleViolation>> {
        Self::of(Hours::weekly_only(zone, weekly), slot, longest)
    }

    /// Checks the values and reports every violation.
    ///
    /// `slot` is the distance between two starts and `longest` the limit on an appointment's
    /// duration: whole minutes, in [`SLOT_RANGE`] and [`LONGEST_RANGE`], `slot` at most `longest`.
    pub fn of(
        hours: Hours,
        slot: TimeDelta,
        longest: TimeDelta,
    ) -> Result<Self, Vec<ScheduleViolation>> {
        let is_whole_minutes = |delta: TimeDelta| delta == TimeDelta::minutes(delta.num_minutes());
        let mut violations = Vec::new();
        if !SLOT_RANGE.contains(&slot) || !is_whole_minutes(slot) {
            violations.push(ScheduleViolation::Slot);
        }
        if !LONGEST_RANGE.contains(&longest) || !is_whole_minutes(longest) {
            violations.push(ScheduleViolation::Longest);
        }
        if violations.is_empty() && slot > longest {
            violations.push(ScheduleViolation::SlotOverLongest);
        }
        if !violations.is_empty() {
            return Err(violations);
        }
        Ok(Self { hours, slot, longest })
    }

    /// The same schedule, meant in another zone.
    #[must_use]
    pub fn in_zone(&self, zone: Zone) -> Self {
        Self { hours: self.hours.in_zone(zone), ..self.clone() }
    }

    /// The same schedule without what is over on this date; see [`Hours::since`].
    #[must_use]
    pub fn since(&self, date: NaiveDate) -> Self {
        Self { hours: self.hours.since(date), ..self.clone() }
    }

    /// The zone of the dates outside stays.
    pub fn zone(&self) -> Zone {
        self.hours.zone()
    }

    /// Default opening hours of the provider.
    pub fn hours(&self) -> &Hours {
        &self.hours
    }

    /// Every occurrence of a window that overlaps the range; see [`expand::windows`].
    pub fn windows(&self, zones: &ZoneData, range: Interval) -> Result<Vec<Interval>, UnknownZone> {
        self.hours.windows(zones, range)
    }

    /// The elapsed time between two starts on the grid.
    pub fn slot(&self) -> TimeDelta {
        self.slot
    }

    /// The longest duration of an appointment.
    pub fn longest(&self) -> TimeDelta {
        self.longest
    }
}
