//! Tests of hours with exceptions: against a model that walks the clocks of all zones minute by minute,
//! and as plain examples.

use std::collections::BTreeMap;

use chrono::{Datelike, NaiveDateTime, TimeDelta};
use proptest::prelude::*;

use super::*;
use crate::{
    kernel::time::{
        IntervalSet,
        tests::{at, cases, span},
    },
    schedule::{
        dates::{DateOverride, Stay, TimeWindow},
        expand::tests::{daily, date, named as zone, place, rules, walk, weekly_hours},
    },
};

type Clock = Vec<(Instant, NaiveDateTime)>;

/// The slow, obvious windows: for each date look up its windows and its zone in plain lists, and watch
/// that zone's clock.
fn model(
    (home, weekly): (Zone, &WeeklyHours),
    overrides: &[DateOverride],
    stays: &[Stay],
    range: Interval,
) -> Vec<Interval> {
    let margin = TimeDelta::hours(80);
    let mut clocks: BTreeMap<&str, Clock> = BTreeMap::new();
    let mut found = vec![];
    let first = range.start().date_naive() - TimeDelta::days(3);
    for date in
        first.iter_days().take_while(|d| *d <= range.end().date_naive() + TimeDelta::days(3))
    {
        let stay = stays.iter().find(|stay| stay.first <= date && date <= stay.last);
        let zone = stay.map_or(home, |stay| stay.zone);
        let clock = clocks
            .entry(zone.name())
            .or_insert_with(|| walk(&rules(zone), range.start() - margin, range.end() + margin));
        let own = overrides.iter().find(|each| each.date == date);
        let windows: Vec<(TimeOfDay, TimeOfDay)> = if let Some(own) = own {
            own.windows.iter().map(|w| (w.start, w.end)).collect()
        } else {
            let windows = weekly.windows().iter().filter(|w| w.day == date.weekday());
            windows.map(|w| (w.start, w.end)).collect()
        };
        for (start, end) in windows {
            let (from, to) = (start.on(date).unwrap(), end.on(date).unwrap());
            let skipped = |wall| clock.iter().find(|sample| sample.1 > wall);
            let start = clock.iter().find(|sample| sample.1 == from).or(skipped(from));
            let end = clock.iter().rfind(|sample| sample.1 == to).or(skipped(to));
            if let Some(((start, _), (end, _))) = start.zip(end) {
                found.extend(Interval::new(*start, *end).filter(|w| w.overlaps(&range)));
            }
        }
    }
    found.sort();
    found.dedup();
    found
}

fn time_windows() -> impl Strategy<Value = Vec<TimeWindow>> {
    prop::collection::btree_set(0..=288u16, 0..=5).prop_map(|times| {
        let times: Vec<u16> = times.into_iter().collect();
        let time = |n: u16| TimeOfDay::new(n * 5).unwrap();
        // Every second gap is a window; with an odd number the last two touch.
        let windows = times.chunks(2).filter(|pair| pair.len() == 2);
        windows.map(|pair| TimeWindow { start: time(pair[0]), end: time(pair[1]) }).collect()
    })
}

/// Overrides in the days around, as days from a date.
fn overrides() -> impl Strategy<Value = BTreeMap<i64, Vec<TimeWindow>>> {
    prop::collection::btree_map(-3..7i64, time_windows(), 0..6)
}

/// Stays that touch or not, as days from a date.
fn stays() -> impl Strategy<Value = Vec<(i64, i64, Zone)>> {
    let far =
        ["Pacific/Kiritimati", "Etc/GMT+12", "Asia/Tokyo", "America/New_York", "Africa/Cairo"];
    let zone = prop_oneof![
        prop::sample::select(far.to_vec()).prop_map(zone),
        prop::sample::select(ZoneData::bundled().all()),
    ];
    let borders = prop::collection::btree_set(-4..8i64, 0..5);
    (borders, prop::collection::vec(prop::option::weighted(0.7, zone), 5)).prop_map(
        |(borders, zones)| {
            let borders: Vec<i64> = borders.into_iter().collect();
            let stays = borders.windows(2).zip(zones);
            stays.filter_map(|(pair, zone)| Some((pair[0], pair[1] - 1, zone?))).collect()
        },
    )
}

/// The windows by the compiled-in rules.
fn open(hours: &Hours, range: Interval) -> Vec<Interval> {
    hours.windows(&ZoneData::bundled(), range).unwrap()
}

/// The zone at an instant by the compiled-in rules.
fn zone_at(hours: &Hours, instant: Instant) -> Zone {
    hours.zone_at(&ZoneData::bundled(), instant).unwrap().zone()
}

fn dates_of(
    day: NaiveDate,
    overrides: &BTreeMap<i64, Vec<TimeWindow>>,
    stays: &[(i64, i64, Zone)],
) -> (Vec<DateOverride>, Vec<Stay>) {
    let on = |days: i64| day + TimeDelta::days(days);
    let overrides = overrides.iter();
    let stays = stays.iter();
    (
        overrides
            .map(|(days, windows)| DateOverride { date: on(*days), windows: windows.clone() })
            .collect(),
        stays
            .map(|(first, last, zone)| Stay { first: on(*first), last: on(*last), zone: *zone })
            .collect(),
    )
}

fn hours(zone: Zone, weekly: &WeeklyHours, overrides: &[DateOverride], stays: &[Stay]) -> Hours {
    let overrides = DateOverrides::new(overrides.to_vec()).unwrap();
    Hours::new(zone, weekly.clone(), overrides, Stays::new(stays.to_vec()).unwrap())
}

/// The windows of many days, joined where they touch: the longest of them, as far as a day.
fn longest_by_instants(hours: &Hours, today: NaiveDate) -> TimeDelta {
    let midnight = |date: NaiveDate| date.and_hms_opt(0, 0, 0).unwrap().and_utc();
    let range = Interval::new(midnight(today), midnight(today + TimeDelta::days(20))).unwrap();
    let joined: IntervalSet = open(hours, range).into_iter().collect();
    let longest = joined.as_slice().iter().map(Interval::duration).max();
    longest.unwrap_or_default().min(TimeDelta::days(1))
}

proptest! {
    #![proptest_config(cases())]

    #[test]
    fn the_longest_stretch_is_that_of_the_windows_joined(
        weekly in weekly_hours(),
        overrides in overrides(),
        all_day in prop::collection::btree_set(-3..7i64, 0..4),
    ) {
        let today = date("2026-11-23");
        let midnight = |minutes| TimeOfDay::new(minutes).unwrap();
        let open = vec![TimeWindow { start: midnight(0), end: midnight(24 * 60) }];
        let mut overrides = overrides;
        overrides.extend(all_day.into_iter().map(|day| (day, open.clone())));
        let (overrides, _) = dates_of(today, &overrides, &[]);
        let hours = hours(Zone::UTC, &weekly, &overrides, &[]);
        prop_assert_eq!(hours.longest_open(today), longest_by_instants(&hours, today));
    }

    #[test]
    fn windows_agree_with_a_walk_along_all_clocks(
        (zone, range) in place(),
        weekly in weekly_hours(),
        overrides in overrides(),
        stays in stays(),
    ) {
        let (overrides, stays) = dates_of(range.start().date_naive(), &overrides, &stays);
        let hours = hours(zone.zone(), &weekly, &overrides, &stays);
        let found = open(&hours, range);
        prop_assert_eq!(&found, &model((zone.zone(), &weekly), &overrides, &stays, range), "{:?}", hours);
        prop_assert!(found.windows(2).all(|pair| pair[0] < pair[1]), "{:?}", found);
    }

    /// A part of a range has the windows of the whole that overlap it, wherever it is cut.
    #[test]
    fn a_part_has_its_share_of_the_whole(
        (zone, range) in place(),
        weekly in weekly_hours(),
        overrides in overrides(),
        stays in stays(),
        cut in 1..4320i64,
    ) {
        let (overrides, stays) = dates_of(range.start().date_naive(), &overrides, &stays);
        let hours = hours(zone.zone(), &weekly, &overrides, &stays);
        let whole = open(&hours, range);
        let cut = range.start() + TimeDelta::minutes(cut);
        for part in [Interval::new(range.start(), cut.min(range.end())), Interval::new(cut, range.end())] {
            let Some(part) = part else { continue };
            let share: Vec<_> = whole.iter().copied().filter(|w| w.overlaps(&part)).collect();
            prop_assert_eq!(open(&hours, part), share);
        }
    }

    #[test]
    fn hours_read_back(
        (zone, range) in place(),
        weekly in weekly_hours(),
        overrides in overrides(),
        stays in stays(),
    ) {
        let (overrides, stays) = dates_of(range.start().date_naive(), &overrides, &stays);
        let hours = hours(zone.zone(), &weekly, &overrides, &stays);
        let text = serde_json::to_string(&hours).unwrap();
        prop_assert_eq!(serde_json::from_str::<Hours>(&text).unwrap(), hours);
    }
}

fn own(day: &str, windows: &[(&str, &str)]) -> DateOverride {
    let time = |text| TimeOfDay::parse(text).unwrap();
    let windows =
        windows.iter().map(|(start, end)| TimeWindow { start: time(start), end: time(end) });
    DateOverride { date: date(day), windows: windows.collect() }
}

fn stay(first: &str, last: &str, name: &str) -> Stay {
    Stay { first: date(first), last: date(last), zone: zone(name) }
}

#[test]
fn an_override_replaces_the_windows_of_its_date_alone() {
    let berlin = zone("Europe/Berlin");
    let overrides = [own("2026-11-24", &[("20:00", "24:00")]), own("2026-11-25", &[])];
    let hours = hours(berlin, &daily(&[("09:00", "17:00")]), &overrides, &[]);
    assert_eq!(
        open(&hours, span("2026-11-23T00:00+01:00", "2026-11-27T00:00+01:00")),
        [
            span("2026-11-23T09:00+01:00", "2026-11-23T17:00+01:00"),
            span("2026-11-24T20:00+01:00", "2026-11-25T00:00+01:00"),
            span("2026-11-26T09:00+01:00", "2026-11-26T17:00+01:00"),
        ]
    );
}

#[test]
fn an_override_on_the_day_of_a_change() {
    let berlin = zone("Europe/Berlin");
    // 02:00 to 03:00 is skipped in March and comes twice in October.
    let overrides = [
        own("2026-03-29", &[("02:15", "02:45"), ("02:50", "04:00")]),
        own("2026-10-25", &[("02:15", "02:45")]),
    ];
    let hours = hours(berlin, &WeeklyHours::default(), &overrides, &[]);
    assert_eq!(
        open(&hours, span("2026-01-01T00:00Z", "2027-01-01T00:00Z")),
        [
            span("2026-03-29T03:00+02:00", "2026-03-29T04:00+02:00"),
            span("2026-10-25T02:15+02:00", "2026-10-25T02:45+01:00"),
        ]
    );
}

#[test]
fn a_stay_moves_the_windows_of_its_dates() {
    let hours = hours(
        zone("Europe/Berlin"),
        &daily(&[("09:00", "17:00")]),
        &[own("2026-11-25", &[("10:00", "11:00")])],
        &[stay("2026-11-24", "2026-11-25", "Asia/Tokyo")],
    );
    assert_eq!(
        open(&hours, span("2026-11-23T00:00+01:00", "2026-11-27T00:00+01:00")),
        [
            span("2026-11-23T09:00+01:00", "2026-11-23T17:00+01:00"),
            span("2026-11-24T09:00+09:00", "2026-11-24T17:00+09:00"),
            span("2026-11-25T10:00+09:00", "2026-11-25T11:00+09:00"),
            span("2026-11-26T09:00+01:00", "2026-11-26T17:00+01:00"),
        ]
    );
    assert_eq!(hours.zone_on(date("2026-11-23")).name(), "Europe/Berlin");
    assert_eq!(hours.zone_on(date("2026-11-24")).name(), "Asia/Tokyo");
    assert_eq!(hours.zone_on(date("2026-11-25")).name(), "Asia/Tokyo");
    assert_eq!(hours.zone_on(date("2026-11-26")).name(), "Europe/Berlin");
}

#[test]
fn where_a_stay_begins_windows_can_overlap_and_swap() {
    // Flying east: Tuesday in Kiritimati is over before Monday in Niue has begun its evening.
    let hours = hours(
        zone("Pacific/Niue"),
        &daily(&[("18:00", "24:00")]),
        &[],
        &[stay("2026-11-24", "2026-11-24", "Pacific/Kiritimati")],
    );
    let monday = span("2026-11-23T18:00-11:00", "2026-11-24T00:00-11:00");
    let tuesday = span("2026-11-24T18:00+14:00", "2026-11-25T00:00+14:00");
    assert!(tuesday < monday);
    assert_eq!(open(&hours, span("2026-11-24T00:00Z", "2026-11-25T00:00Z")), [tuesday, monday]);
    // A range that only the later date's window reaches into.
    assert_eq!(open(&hours, span("2026-11-24T04:00Z", "2026-11-24T04:01Z")), [tuesday]);
    // The same instants twice are one window.
    let hours = self::hours(
        zone("Pacific/Honolulu"),
        &daily(&[("09:00", "17:00")]),
        &[],
        &[stay("2026-11-24", "2026-11-24", "Pacific/Kiritimati")],
    );
    let both = span("2026-11-23T09:00-10:00", "2026-11-23T17:00-10:00");
    assert_eq!(open(&hours, both), [both]);
}

#[test]
fn the_zone_at_an_instant_is_that_of_the_day_that_is_worked() {
    let hours = hours(
        zone("Europe/Berlin"),
        &WeeklyHours::office_hours(),
        &[],
        &[
            stay("2026-11-24", "2026-11-25", "Asia/Tokyo"),
            stay("2026-11-26", "2026-11-26", "America/New_York"),
        ],
    );
    for (instant, expected) in [
        // It is the 24th in Tokyo, and the 23rd is still worked in Berlin.
        ("2026-11-23T16:59+01:00", "Europe/Berlin"),
        ("2026-11-23T17:00+01:00", "Asia/Tokyo"),
        ("2026-11-25T23:59+09:00", "Asia/Tokyo"),
        // In Tokyo it is the 26th and in New York not yet.
        ("2026-11-26T00:00+09:00", "Europe/Berlin"),
        ("2026-11-26T00:00-05:00", "America/New_York"),
        ("2026-11-27T00:00-05:00", "Europe/Berlin"),
    ] {
        assert_eq!(zone_at(&hours, at(instant)).name(), expected, "{instant}");
    }
}

#[test]
fn nothing_breaks_at_the_ends_of_the_calendar() {
    let hours = hours(
        zone("Etc/GMT+12"),
        &daily(&[("00:00", "24:00")]),
        &[own("1970-01-01", &[])],
        &[stay("1970-01-01", "2199-12-31", "Pacific/Kiritimati")],
    );
    let (first, last, day) = (Instant::MIN_UTC, Instant::MAX_UTC, TimeDelta::days(1));
    for range in [Interval::new(first, first + day), Interval::new(last - day, last)] {
        assert!(open(&hours, range.unwrap()).len() < 5);
    }
    assert_eq!(zone_at(&hours, first).name(), "Etc/GMT+12");
}

#[test]
fn the_longest_stretch_goes_on_over_midnight_and_as_far_as_a_day() {
    let today = date("2026-11-23");
    let longest = |windows: &[(&str, &str)]| {
        let hours = hours(zone("Europe/Berlin"), &daily(windows), &[], &[]);
        hours.longest_open(today).num_minutes()
    };
    assert_eq!(longest(&[]), 0);
    assert_eq!(longest(&[("09:00", "12:00"), ("13:00", "17:00")]), 240);
    assert_eq!(longest(&[("09:00", "12:00"), ("12:00", "17:00")]), 480);
    assert_eq!(longest(&[("00:00", "02:00"), ("20:00", "24:00")]), 360);
    assert_eq!(longest(&[("00:00", "24:00")]), 24 * 60);
}
