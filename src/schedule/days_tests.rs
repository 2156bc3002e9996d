//! Tests of days: against every window of random hours with stays, and as plain examples.

use proptest::prelude::*;

use super::*;
use crate::{
    kernel::time::tests::{at, cases, span},
    schedule::{
        dates::{DateOverrides, Stay, Stays},
        expand::{
            self,
            tests::{daily, date, named, place, rules, weekly_hours},
        },
    },
};

fn hours(home: &str, windows: &[(&str, &str)], stays: &[(&str, &str, &str)]) -> Hours {
    let stays = stays.iter();
    let stays = stays.map(|(first, last, zone)| Stay {
        first: date(first),
        last: date(last),
        zone: named(zone),
    });
    let stays = Stays::new(stays.collect()).unwrap();
    Hours::new(named(home), daily(windows), DateOverrides::default(), stays)
}

fn days(hours: &Hours, range: Interval) -> Days {
    let around = (range.start(), range.end());
    Days::of(hours, &ZoneData::bundled(), Weekday::Mon, around).unwrap()
}

#[test]
fn a_day_in_auckland_is_the_day_of_its_hours() {
    let stays = [("2026-06-05", "2026-06-06", "Pacific/Auckland")];
    let hours = hours("Europe/Berlin", &[("09:00", "17:00")], &stays);
    let days = days(&hours, span("2026-06-01T00:00Z", "2026-06-10T00:00Z"));
    for (instant, expected, zone) in [
        // In Auckland it is the 5th already, and the provider still works on the 4th in Berlin.
        ("2026-06-04T16:59+02:00", "2026-06-04", "Europe/Berlin"),
        // Work is over in Berlin.
        ("2026-06-04T17:00+02:00", "2026-06-05", "Pacific/Auckland"),
        ("2026-06-05T09:00+12:00", "2026-06-05", "Pacific/Auckland"),
        ("2026-06-05T16:59+12:00", "2026-06-05", "Pacific/Auckland"),
        // Late on the 5th in Berlin.
        ("2026-06-06T09:00+12:00", "2026-06-06", "Pacific/Auckland"),
        // Between the end of the stay and the first day at home.
        ("2026-06-06T20:00+02:00", "2026-06-06", "Europe/Berlin"),
        ("2026-06-07T09:00+02:00", "2026-06-07", "Europe/Berlin"),
        ("2026-06-03T23:30+02:00", "2026-06-03", "Europe/Berlin"),
    ] {
        assert_eq!(days.date(at(instant)), Some(date(expected)), "{instant}");
        assert_eq!(days.zone(at(instant)).zone().name(), zone, "{instant}");
        let zone = hours.zone_at(&ZoneData::bundled(), at(instant)).unwrap();
        assert_eq!(&zone, days.zone(at(instant)));
    }
    assert!(!days.is_plain());
}

#[test]
fn a_week_begins_on_the_day_that_is_said() {
    let of = |first_day| Days::in_zone(rules(named("Europe/Berlin")), first_day);
    for (first_day, sunday, monday) in [
        (Weekday::Mon, "2026-11-23", "2026-11-30"),
        (Weekday::Sun, "2026-11-29", "2026-11-29"),
        (Weekday::Sat, "2026-11-28", "2026-11-28"),
    ] {
        let days = of(first_day);
        assert_eq!(days.week(date("2026-11-29")), date(sunday));
        assert_eq!(days.week_at(at("2026-11-30T00:00+01:00")), Some(date(monday)));
    }
    let week = of(Weekday::Sun).around_week(at("2026-11-30T12:00Z"));
    assert_eq!(week, Some(span("2026-11-29T00:00+01:00", "2026-12-06T00:00+01:00")));
}

#[test]
fn without_stays_days_are_those_of_the_zone() {
    let hours = hours("America/New_York", &[("00:00", "24:00")], &[]);
    let days = days(&hours, span("2026-06-01T00:00Z", "2026-06-10T00:00Z"));
    assert!(days.is_plain());
    assert_eq!(
        days.span(date("2026-06-02"), date("2026-06-03")),
        Some(span("2026-06-02T00:00-04:00", "2026-06-04T00:00-04:00"))
    );
    let until = days.same_date_until(at("2026-06-02T12:00-04:00"));
    assert_eq!(until, Some(at("2026-06-03T00:00-04:00")));
}

proptest! {
    #![proptest_config(cases())]

    #[test]
    fn what_starts_in_a_window_has_the_date_of_the_window(
        (home, range) in place(),
        weekly in weekly_hours(),
        stay in (-2..3i64, 0..3i64, prop::sample::select(
            &["Pacific/Kiritimati", "Etc/GMT+12", "Asia/Tokyo", "Pacific/Auckland"][..])),
        minutes in 0..1440i64,
    ) {
        let first = range.start().date_naive() + TimeDelta::days(stay.0);
        let away = Stay { first, last: first + TimeDelta::days(stay.1), zone: named(stay.2) };
        let stays = Stays::new(vec![away]).unwrap();
        let hours = Hours::new(home.zone(), weekly, DateOverrides::default(), stays);
        let zones = ZoneData::bundled();
        let days = days(&hours, range);
        let dates = range.start().date_naive() - TimeDelta::days(2);
        let all: Vec<(Interval, NaiveDate)> = dates
            .iter_days()
            .take(9)
            .flat_map(|date| {
                let windows = expand::windows_of(&zones, &hours, date).unwrap();
                windows.into_iter().map(move |window| (window, date))
            })
            .collect();
        for (window, date) in &all {
            let start = window.start() + TimeDelta::minutes(minutes);
            let others = all.iter().filter(|(other, _)| other.contains_instant(start));
            if !window.contains_instant(start) || others.count() > 1 || !range.contains_instant(start) {
                continue;
            }
            // Where clocks go over midnight the wall may show the next date before the window ends.
            let on_the_wall = local_date(&zones.rules(hours.zone_on(*date)).unwrap(), start);
            if on_the_wall == Some(*date) {
                prop_assert_eq!(days.date(start), Some(*date), "{}", start);
                prop_assert_eq!(days.zone(start).zone(), hours.zone_on(*date));
                prop_assert!(days.span(*date, *date).unwrap().contains_instant(start));
                let week = days.around_week(start).unwrap();
                prop_assert!(week.contains_instant(start));
                let until = days.same_date_until(start).unwrap();
                prop_assert_eq!(days.date(until - TimeDelta::seconds(1)), Some(*date));
            }
        }
    }
}
