//! Hours: when a schedule is open, on every date and in the zone of that date.

use chrono::{NaiveDate, TimeDelta, Weekday};
use serde::{Deserialize, Serialize};

use super::{
    TimeOfDay, WeeklyHours,
    dates::{DateOverrides, Stays},
    days::Days,
    expand,
};
use crate::kernel::{
    time::{Instant, Interval, IntervalSet},
    zone::{UnknownZone, Zone, ZoneData, ZoneRules},
};

/// Weekly windows in a zone, the dates that have windows of their own, and the dates spent elsewhere.
///
/// A date has the windows of its override or else of its weekday, meant in the zone of its stay or else
/// in the schedule's. That is decided date by date: where a stay begins or ends, two dates follow each
/// other whose midnights may be many hours apart, or overlap; nothing is cut or moved there.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Hours {
    zone: Zone,
    weekly: WeeklyHours,
    #[serde(default, skip_serializing_if = "DateOverrides::is_empty")]
    overrides: DateOverrides,
    #[serde(default, skip_serializing_if = "Stays::is_empty")]
    stays: Stays,
}

impl Hours {
    /// Weekly hours, the same on all dates and always in one zone.
    pub fn weekly_only(zone: Zone, weekly: WeeklyHours) -> Self {
        Self::new(zone, weekly, DateOverrides::default(), Stays::default())
    }

    /// Hours with exceptions.
    pub fn new(zone: Zone, weekly: WeeklyHours, overrides: DateOverrides, stays: Stays) -> Self {
        Self { zone, weekly, overrides, stays }
    }

    /// The same hours with another zone for the dates outside stays.
    #[must_use]
    pub fn in_zone(&self, zone: Zone) -> Self {
        Self { zone, ..self.clone() }
    }

    /// The zone of the dates outside stays.
    pub fn zone(&self) -> Zone {
        self.zone
    }

    /// The zone of a date.
    pub fn zone_on(&self, date: NaiveDate) -> Zone {
        self.stays.on(date).map_or(self.zone, |stay| stay.zone)
    }

    /// The zone at an instant: that of its day, see [`Days`].
    pub fn zone_at(&self, zones: &ZoneData, instant: Instant) -> Result<ZoneRules, UnknownZone> {
        let days = Days::of(self, zones, Weekday::Mon, (instant, instant))?;
        Ok(days.zone(instant).clone())
    }

    /// The weekly windows.
    pub fn weekly(&self) -> &WeeklyHours {
        &self.weekly
    }

    /// The dates that have windows of their own.
    pub fn overrides(&self) -> &DateOverrides {
        &self.overrides
    }

    /// The dates spent elsewhere.
    pub fn stays(&self) -> &Stays {
        &self.stays
    }

    /// The same hours without what is over on this date: overrides and stays.
    #[must_use]
    pub fn since(&self, date: NaiveDate) -> Self {
        let (overrides, stays) = (self.overrides.since(date), self.stays.since(date));
        Self { overrides, stays, ..self.clone() }
    }

    /// The windows of a date in wall-clock time, sorted.
    pub fn on(&self, date: NaiveDate) -> impl Iterator<Item = (TimeOfDay, TimeOfDay)> {
        let own = self.overrides.on(date);
        let weekly = match own {
            Some(_) => &[],
            None => self.weekly.on(chrono::Datelike::weekday(&date)),
        };
        let own = own.unwrap_or_default().iter().map(|window| (window.start, window.end));
        own.chain(weekly.iter().map(|window| (window.start, window.end)))
    }

    /// The longest stretch that is open without a break from a date on, by the wall and as far as a day:
    /// windows that touch, also at midnight, are one.
    pub fn longest_open(&self, today: NaiveDate) -> TimeDelta {
        let own = self.overrides.as_slice().iter().map(|each| each.date).filter(|d| *d >= today);
        let last = own.clone().max().unwrap_or(today);
        // A week of usual dates, and each date of its own with the one before it.
        let usual = last.iter_days().skip(1).take(7);
        let special = own.flat_map(|date| [date.pred_opt().filter(|d| *d >= today), Some(date)]);
        let longest = usual.chain(special.flatten()).map(|date| self.longest_on(date)).max();
        TimeDelta::minutes(longest.unwrap_or_default().min(24 * 60))
    }

    /// The longest stretch on a date and the next one, in minutes.
    fn longest_on(&self, date: NaiveDate) -> i64 {
        let (mut longest, mut open) = (0, None::<(i64, i64)>);
        let dates = [Some(date), date.succ_opt()].into_iter().zip([0, 24 * 60]);
        for (date, midnight) in dates.filter_map(|(date, midnight)| Some((date?, midnight))) {
            for (start, end) in self.on(date) {
                let (start, end) = (i64::from(start.minutes()), i64::from(end.minutes()));
                let from = open.filter(|before| before.1 >= midnight + start);
                let from = from.map_or(midnight + start, |before| before.0);
                open = Some((from, midnight + end));
                longest = longest.max(midnight + end - from);
            }
        }
        longest
    }

    /// Every occurrence of a window that overlaps the range; see [`expand::windows`].
    pub fn windows(&self, zones: &ZoneData, range: Interval) -> Result<Vec<Interval>, UnknownZone> {
        expand::windows(zones, self, range)
    }

    /// Whether an interval lies inside windows; those that touch are one.
    pub fn is_open(&self, zones: &ZoneData, interval: Interval) -> Result<bool, UnknownZone> {
        let open: IntervalSet = self.windows(zones, interval)?.into_iter().collect();
        Ok(open.contains(&interval))
    }
}

#[cfg(test)]
#[path = "hours_tests.rs"]
mod tests;
