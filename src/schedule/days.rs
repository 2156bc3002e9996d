//! Days: to which date and which week an instant belongs, by the hours of a schedule.
//!
//! Limits, horizons and weeks count the days on which a provider works. A date is meant in the zone of its
//! hours: that of its stay, or else the schedule's.

use chrono::{Datelike as _, Days as CalendarDays, NaiveDate, TimeDelta, Weekday};

use super::{
    expand::{local_date, local_day},
    hours::Hours,
};
use crate::kernel::{
    time::{Instant, Interval},
    zone::{UnknownZone, ZoneData, ZoneRules},
};

/// How much further than a stay's dates its borders are looked for, in days: no two zones are further apart.
const MARGIN: i64 = 3;

/// The days of a schedule around some time.
///
/// An instant in a window has the date of that window. Where a stay begins or ends, the days of two zones
/// overlap or leave a gap: outside the windows an instant there has the date of the earlier stay whose
/// zone's calendar shows one of its dates then, or else the date in the schedule's zone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Days {
    /// The zone of the dates outside stays.
    zone: ZoneRules,
    /// The first day of a week.
    first_day: Weekday,
    /// The stays that matter.
    stays: Vec<Stay>,
    /// The windows of the dates around the beginning and the end of each stay, sorted, with their dates.
    borders: Vec<(Interval, NaiveDate)>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Stay {
    first: NaiveDate,
    last: NaiveDate,
    zone: ZoneRules,
}

impl Default for Days {
    fn default() -> Self {
        Self::in_zone(ZoneRules::default(), Weekday::Mon)
    }
}

impl Days {
    /// The days of one zone's calendar.
    pub fn in_zone(zone: ZoneRules, first_day: Weekday) -> Self {
        Self { zone, first_day, stays: Vec::new(), borders: Vec::new() }
    }

    /// The days of a schedule from one instant to another.
    pub fn of(
        hours: &Hours,
        zones: &ZoneData,
        first_day: Weekday,
        (from, until): (Instant, Instant),
    ) -> Result<Self, UnknownZone> {
        let mut days = Self::in_zone(zones.rules(hours.zone())?, first_day);
        let near = |date: NaiveDate, by: i64| date.checked_add_signed(TimeDelta::days(by));
        for stay in hours.stays().as_slice() {
            let begins = near(stay.first, -MARGIN).is_none_or(|date| date <= until.date_naive());
            let ends = near(stay.last, MARGIN).is_none_or(|date| date >= from.date_naive());
            if !begins || !ends {
                continue;
            }
            let zone = zones.rules(stay.zone)?;
            days.stays.push(Stay { first: stay.first, last: stay.last, zone });
            let borders = [(stay.first, -2), (stay.first, -1), (stay.first, 0), (stay.first, 1)];
            let borders = borders.into_iter().chain([
                (stay.last, -1),
                (stay.last, 0),
                (stay.last, 1),
                (stay.last, 2),
            ]);
            for date in borders.filter_map(|(date, by)| near(date, by)) {
                let found = super::expand::windows_of(zones, hours, date)?;
                days.borders.extend(found.into_iter().map(|window| (window, date)));
            }
        }
        days.borders.sort_unstable();
        days.borders.dedup();
        Ok(days)
    }

    /// The date of an instant; `None` at the ends of chrono's calendar.
    pub fn date(&self, instant: Instant) -> Option<NaiveDate> {
        let window = self.borders.iter().find(|(window, _)| window.contains_instant(instant));
        match window {
            Some((_, date)) => Some(*date),
            None => match self.stay(instant) {
                Some((_, date)) => Some(date),
                None => local_date(&self.zone, instant),
            },
        }
    }

    /// The zone in which an instant's date is meant.
    pub fn zone(&self, instant: Instant) -> &ZoneRules {
        let window = self.borders.iter().find(|(window, _)| window.contains_instant(instant));
        match window {
            Some((_, date)) => self.zone_on(*date),
            None => self.stay(instant).map_or(&self.zone, |(stay, _)| &stay.zone),
        }
    }

    /// The first day of the week of a date.
    pub fn week(&self, date: NaiveDate) -> NaiveDate {
        let since = date.weekday().days_since(self.first_day);
        date.checked_sub_days(CalendarDays::new(since.into())).unwrap_or(date)
    }

    /// The week of an instant, told by its first day.
    pub fn week_at(&self, instant: Instant) -> Option<NaiveDate> {
        self.date(instant).map(|date| self.week(date))
    }

    /// From when until when the week of an instant lies at most: no instant outside belongs to it.
    pub fn around_week(&self, instant: Instant) -> Option<Interval> {
        let first = self.week_at(instant)?;
        self.span(first, first.checked_add_days(CalendarDays::new(6))?)
    }

    /// From when until when these dates lie at most, both included: no instant outside belongs to one of them.
    /// Where there are no stays it is exact.
    pub fn span(&self, first: NaiveDate, last: NaiveDate) -> Option<Interval> {
        let mut span: Option<Interval> = None;
        let mut join = |found: Interval| {
            span = match span {
                None => Some(found),
                Some(span) => {
                    Interval::new(span.start().min(found.start()), span.end().max(found.end()))
                }
            };
        };
        for zone in self.zones() {
            super::expand::local_days(zone, first, last).into_iter().for_each(&mut join);
        }
        let inside = self.borders.iter().filter(|(_, date)| (first..=last).contains(date));
        inside.for_each(|(window, _)| join(*window));
        span
    }

    /// Until when all instants from this one on belong to the same date, at least.
    pub fn same_date_until(&self, instant: Instant) -> Option<Instant> {
        let midnights = self.zones().filter_map(|zone| {
            let day = local_date(zone, instant).and_then(|date| local_day(zone, date))?;
            Some(day.end())
        });
        let edges = self.borders.iter().flat_map(|(window, _)| [window.start(), window.end()]);
        midnights.chain(edges).filter(|edge| *edge > instant).min()
    }

    /// Whether every date lies in one piece, as it does without stays.
    pub fn is_plain(&self) -> bool {
        self.stays.is_empty()
    }

    fn zones(&self) -> impl Iterator<Item = &ZoneRules> {
        std::iter::once(&self.zone).chain(self.stays.iter().map(|stay| &stay.zone))
    }

    fn zone_on(&self, date: NaiveDate) -> &ZoneRules {
        let stay = self.stays.iter().find(|stay| (stay.first..=stay.last).contains(&date));
        stay.map_or(&self.zone, |stay| &stay.zone)
    }

    /// The stay whose zone's calendar shows one of its dates at an instant, and that date.
    fn stay(&self, instant: Instant) -> Option<(&Stay, NaiveDate)> {
        self.stays.iter().find_map(|stay| {
            let date = local_date(&stay.zone, instant)?;
            (stay.first..=stay.last).contains(&date).then_some((stay, date))
        })
    }
}

#[cfg(test)]
#[path = "days_tests.rs"]
mod tests;
