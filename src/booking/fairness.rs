//! Who gets an appointment that is for whoever is free.

use super::commands::slot_taken;
use crate::{
    availability::{
        slots_service::{RequestedType, against},
        store::Offered,
    },
    kernel::{
        fault::{Fault, Reason},
        id::{ProviderId, UserId},
        time::{Instant, Interval},
    },
    schedule::days::Days,
};

/// How much somebody has to do, as far as that decides who gets an appointment: fewest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct ProviderLoad {
    /// The minutes that are booked, asked for or held in the local week of the start.
    pub minutes: i64,
    /// When they were last given an appointment in this way.
    pub last_assigned_at: Option<Instant>,
    /// Who it is, which decides among equals.
    pub provider: ProviderId,
}

/// Those who are free, fairest first: the fewest minutes booked, asked for or held in the local week of the
/// start, then the least recently assigned, then the smallest id. If nobody is, why not.
pub fn order(
    all: &[Offered],
    kind: &RequestedType,
    interval: Interval,
    customer: UserId,
    now: Instant,
) -> Result<Vec<ProviderLoad>, Fault> {
    let others = || all.iter().filter(|each| each.provider != customer.as_provider());
    let mut free: Vec<_> = others()
        .filter(|each| against(kind, each, interval, now).is_empty())
        .map(|each| ProviderLoad {
            minutes: minutes_of_week(&each.booked, interval.start(), &each.time.days),
            last_assigned_at: each.last_assigned_at,
            provider: each.provider,
        })
        .collect();
    free.sort_unstable();
    if !free.is_empty() {
        return Ok(free);
    }
    Err(nobody(others().map(|each| against(kind, each, interval, now))))
}

/// The refusal where nobody is free: that the time is taken, if a rule excludes it with everybody else, or
/// else the rules of the provider who has the fewest against it.
fn nobody(all: impl Iterator<Item = Vec<crate::availability::explain::Exclusion>>) -> Fault {
    let fewest = all.min_by_key(|against| {
        let rules = against.iter().filter(|each| each.reason != Reason::SlotTaken).count();
        (rules, against.len())
    });
    let Some(against) = fewest else {
        return Fault::new(Reason::NotOffered, "nobody offers this appointment type");
    };
    let mut rules = against.into_iter().filter(|each| each.reason != Reason::SlotTaken);
    let Some(first) = rules.next() else { return slot_taken() };
    rules.fold(Fault::new(first.reason, first.message), |fault, each| {
        fault.also(each.reason, each.message)
    })
}

/// How many minutes of these start in the week of an instant.
pub fn minutes_of_week(booked: &[Interval], of: Instant, days: &Days) -> i64 {
    let Some(week) = days.week_at(of) else { return i64::MAX };
    let inside = booked.iter().filter(|each| days.week_at(each.start()) == Some(week));
    inside.map(|each| each.duration().num_minutes()).sum()
}

#[cfg(test)]
mod tests {
    use chrono::Weekday;

    use super::*;

    fn at(text: &str) -> Instant {
        text.parse().unwrap()
    }

    fn span(start: &str, end: &str) -> Interval {
        Interval::new(at(start), at(end)).unwrap()
    }

    fn days(name: &str, first_day: Weekday) -> Days {
        let zones = crate::kernel::zone::ZoneData::bundled();
        Days::in_zone(zones.rules(zones.parse(name).unwrap()).unwrap(), first_day)
    }

    #[test]
    fn a_week_is_local_and_begins_on_its_first_day() {
        // In Berlin the week of Monday 23 November begins on Sunday at 23:00 UTC.
        let sunday_evening = span("2026-11-22T22:30:00Z", "2026-11-22T22:59:00Z");
        let monday_night = span("2026-11-22T23:00:00Z", "2026-11-22T23:45:00Z");
        let sunday_after = span("2026-11-29T22:59:00Z", "2026-11-29T23:29:00Z");
        let next_monday = span("2026-11-29T23:00:00Z", "2026-11-29T23:10:00Z");
        let all = [sunday_evening, monday_night, sunday_after, next_monday];
        let week_from = |of: &str, zone: &str, first: Weekday| {
            minutes_of_week(&all, at(of), &days(zone, first))
        };
        let week = |of: &str, zone: &str| week_from(of, zone, Weekday::Mon);
        assert_eq!(week("2026-11-25T09:00:00Z", "Europe/Berlin"), 45 + 30);
        assert_eq!(week("2026-11-25T09:00:00Z", "UTC"), 30 + 10);
        let from_sunday = week_from("2026-11-25T09:00:00Z", "UTC", Weekday::Sun);
        assert_eq!(from_sunday, 29 + 45);
    }
}
