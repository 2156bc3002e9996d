//! A provider's calendar: hours, what is free, and what claims the time, of one moment.

use chrono::NaiveDate;

use super::Appointment;
use crate::{
    availability::{ProviderTime, compute},
    kernel::{
        time::{Instant, Interval},
        zone::{UnknownZone, Zone, ZoneData},
    },
    schedule::{
        commands::Closure,
        expand::{local_day, windows_of},
        hours::Hours,
        plan::TimeOff,
        provider::Provider,
    },
};

/// What is stored of a provider's time, as of one moment.
#[derive(Debug, Clone)]
pub struct Found {
    /// The provider, with all schedules and time off.
    pub provider: Provider,
    /// The closures that are told, by start.
    pub closures: Vec<Closure>,
    /// When the practice is closed, also by closures that cannot be read.
    pub closed: Vec<Interval>,
    /// What is claimed until then, buffers included, by start.
    pub claims: Vec<Interval>,
    /// What claims it.
    pub claimed: Vec<Claimed>,
    /// Until when claims were read.
    pub until: Instant,
}

/// What claims a stretch of a provider's time.
#[derive(Debug, Clone)]
pub enum Claimed {
    /// An appointment, or the move that is asked for of one.
    Appointment(Box<Appointment>),
    /// A hold.
    Hold(Box<Appointment>),
    /// The provider is somebody's customer then.
    Attended(Interval),
}

/// Calendar of one provider over a time range.
#[derive(Debug, Clone)]
pub struct Calendar {
    /// Whose it is.
    pub provider: Provider,
    /// From when until when it tells.
    pub covered: Interval,
    /// When the provider is open: by the default schedule, and by each named one.
    pub openings: Vec<Opening>,
    /// The appointments, by start and then by id.
    pub appointments: Vec<Appointment>,
    /// The holds, by start and then by id.
    pub holds: Vec<Appointment>,
    /// When the provider is somebody's customer, by start.
    pub attended: Vec<Interval>,
    /// The time off, by start.
    pub time_off: Vec<TimeOff>,
    /// The closures, by start.
    pub closures: Vec<Closure>,
}

/// When a provider is open by one schedule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Opening {
    /// The name of the schedule; none is the default one.
    pub schedule: Option<String>,
    /// The zone of the dates outside stays.
    pub zone: Zone,
    /// The days on which it is open, or closed by an override.
    pub days: Vec<Day>,
    /// What is free of it from now on.
    pub free: Vec<Interval>,
}

/// One local date of a schedule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Day {
    /// Local date in the schedule's zone.
    pub date: NaiveDate,
    /// The zone in which it is meant.
    pub zone: Zone,
    /// Whether the windows are the date's own.
    pub is_override: bool,
    /// The windows, whole.
    pub windows: Vec<Interval>,
}

impl Calendar {
    /// The calendar of a range, of what is stored.
    pub fn of(
        found: Found,
        range: Interval,
        zones: &ZoneData,
        now: Instant,
    ) -> Result<Self, UnknownZone> {
        let Found { provider, closures, closed, claims, claimed, until } = found;
        let covered = Interval::new(range.start(), until).unwrap_or(range);
        let inside = |interval: &Interval| interval.overlaps(&covered);
        let time_off: Vec<TimeOff> =
            provider.time_off().iter().filter(|off| inside(&off.interval)).cloned().collect();
        let mut time = ProviderTime {
            time_off: time_off.iter().map(|off| off.interval).collect(),
            closures: closed,
            claims,
            ..ProviderTime::default()
        };
        let named = provider.plan.named.iter().map(|(name, hours)| (Some(name.clone()), hours));
        let all = std::iter::once((None, provider.schedule.hours())).chain(named);
        let mut openings = Vec::new();
        for (schedule, hours) in all {
            time.windows = hours.windows(zones, covered)?;
            openings.push(Opening {
                schedule,
                zone: hours.zone(),
                days: days(hours, zones, covered)?,
                free: compute::free(&time, covered, now).into(),
            });
        }
        let mut calendar = Self {
            covered,
            openings,
            appointments: Vec::new(),
            holds: Vec::new(),
            attended: Vec::new(),
            time_off,
            closures: closures.into_iter().filter(|each| inside(&each.interval)).collect(),
            provider,
        };
        calendar.take(claimed, now);
        Ok(calendar)
    }

    /// Takes in what claims the time, each appointment once. What only reaches in by its buffers is no part of it.
    fn take(&mut self, claimed: Vec<Claimed>, now: Instant) {
        let covered = self.covered;
        let inside = |start, end| {
            Interval::new(start, end).is_some_and(|interval| interval.overlaps(&covered))
        };
        for each in claimed {
            match each {
                Claimed::Attended(interval) if interval.overlaps(&covered) => {
                    self.attended.push(interval);
                }
                Claimed::Hold(hold) if inside(hold.start, hold.end) => self.holds.push(*hold),
                Claimed::Appointment(found) => {
                    let found = found.as_of(now);
                    let asked = found.asked_move(now);
                    let is_asked = asked.is_some_and(|asked| inside(asked.start, asked.end));
                    if is_asked || inside(found.start, found.end) {
                        self.appointments.push(found);
                    }
                }
                Claimed::Attended(_) | Claimed::Hold(_) => {}
            }
        }
        self.appointments.sort_by_key(|each| (each.start, each.id));
        self.appointments.dedup_by_key(|each| each.id);
    }
}

/// The days of a schedule that have a window in a range, or that an override closes.
fn days(hours: &Hours, zones: &ZoneData, range: Interval) -> Result<Vec<Day>, UnknownZone> {
    let mut days = Vec::new();
    // No zone is further from UTC than 16 hours, so that one date more on either side leaves nothing out.
    let (first, last) = (range.start().date_naive(), range.end().date_naive());
    let first = first.pred_opt().unwrap_or(first);
    let last = last.succ_opt().unwrap_or(last);
    for date in first.iter_days().take_while(|date| *date <= last) {
        let zone = hours.zone_on(date);
        let mut windows = windows_of(zones, hours, date)?;
        windows.retain(|window| window.overlaps(&range));
        let is_override = hours.overrides().on(date).is_some();
        let is_closed = is_override
            && hours.on(date).next().is_none()
            && local_day(&zones.rules(zone)?, date).is_some_and(|day| day.overlaps(&range));
        if is_closed || !windows.is_empty() {
            days.push(Day { date, zone, is_override, windows });
        }
    }
    Ok(days)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        kernel::time::tests::span,
        schedule::{
            WeeklyHours,
            dates::{DateOverride, DateOverrides, Stay, Stays},
            expand::tests::{date, named},
        },
    };

    fn hours() -> Hours {
        let closed = DateOverride { date: date("2026-10-27"), windows: Vec::new() };
        let (first, last) = (date("2026-10-28"), date("2026-10-28"));
        let stay = Stay { first, last, zone: named("Pacific/Auckland") };
        Hours::new(
            named("Europe/Berlin"),
            WeeklyHours::office_hours(),
            DateOverrides::new(vec![closed]).unwrap(),
            Stays::new(vec![stay]).unwrap(),
        )
    }

    #[test]
    fn a_day_is_told_with_its_zone_and_its_override() {
        let range = span("2026-10-23T22:00Z", "2026-10-29T23:00Z");
        let zones = ZoneData::bundled();
        let all = days(&hours(), &zones, range).unwrap();
        let told: Vec<_> = all
            .iter()
            .map(|day| (day.date.to_string(), day.zone.name(), day.is_override, &day.windows[..]))
            .collect();
        // Saturday and Sunday are none; clocks go back in the night to Sunday.
        assert_eq!(
            told,
            [
                (
                    "2026-10-26".to_owned(),
                    "Europe/Berlin",
                    false,
                    &[span("2026-10-26T08:00Z", "2026-10-26T16:00Z")][..]
                ),
                ("2026-10-27".to_owned(), "Europe/Berlin", true, &[][..]),
                (
                    "2026-10-28".to_owned(),
                    "Pacific/Auckland",
                    false,
                    &[span("2026-10-27T20:00Z", "2026-10-28T04:00Z")][..]
                ),
                (
                    "2026-10-29".to_owned(),
                    "Europe/Berlin",
                    false,
                    &[span("2026-10-29T08:00Z", "2026-10-29T16:00Z")][..]
                ),
            ]
        );
        let windows: Vec<_> = all.iter().flat_map(|day| day.windows.iter().copied()).collect();
        let mut sorted = windows.clone();
        sorted.sort_unstable();
        assert_eq!(sorted, hours().windows(&zones, range).unwrap());
    }
}
