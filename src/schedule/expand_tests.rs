//! Tests of local time: by first principles on every change of every zone, against a model that
//! walks the clock minute by minute, and as plain examples.

use std::collections::HashSet;

use chrono::{TimeDelta, Weekday};
use proptest::prelude::*;

use super::*;
use crate::kernel::{
    time::{
        IntervalSet,
        tests::{at, cases, span},
    },
    zone::Zone,
};
use crate::schedule::{TimeOfDay, WeeklyHours, Window};

/// The windows of weekly hours without exceptions.
fn windows(hours: &WeeklyHours, zone: &ZoneRules, range: Interval) -> Vec<Interval> {
    let hours = Hours::weekly_only(zone.zone(), hours.clone());
    super::windows(&ZoneData::bundled(), &hours, range).unwrap()
}

/// One change of a zone's offset, in seconds east of UTC.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Change {
    pub(crate) at: Instant,
    before: i64,
    after: i64,
}

fn offset(zone: &ZoneRules, instant: Instant) -> i64 {
    zone.offset(instant).num_seconds()
}

/// What the clock on the wall shows. UTC to local is the direction without traps.
fn wall(zone: &ZoneRules, instant: Instant) -> NaiveDateTime {
    instant.naive_utc() + TimeDelta::seconds(offset(zone, instant))
}

/// The zone's changes in `[from, to)`, found by looking twice a day.
pub(crate) fn changes(zone: &ZoneRules, from: Instant, to: Instant) -> Vec<Change> {
    let step = TimeDelta::hours(12);
    let (mut found, mut start, mut before) = (vec![], from, offset(zone, from));
    while start < to {
        let after = offset(zone, start + step);
        if after != before {
            let (mut low, mut high) = (start, start + step);
            while high - low > TimeDelta::seconds(1) {
                let middle = low + TimeDelta::seconds((high - low).num_seconds() / 2);
                if offset(zone, middle) == before { low = middle } else { high = middle }
            }
            found.push(Change { at: high, before, after });
        }
        (start, before) = (start + step, after);
    }
    found
}

pub(crate) fn date(text: &str) -> NaiveDate {
    text.parse().unwrap()
}

pub(crate) fn zone(name: &str) -> ZoneRules {
    rules(Zone::named(name).unwrap())
}

/// A zone by its name alone.
pub(crate) fn named(name: &str) -> Zone {
    Zone::named(name).unwrap()
}

/// The compiled-in rules of a zone.
pub(crate) fn rules(zone: Zone) -> ZoneRules {
    ZoneData::bundled().rules(zone).unwrap()
}

/// The same window on every day.
pub(crate) fn daily(windows: &[(&str, &str)]) -> WeeklyHours {
    let time = |text| TimeOfDay::parse(text).unwrap();
    let week = (0..7).map(|day| Weekday::try_from(day).unwrap());
    let windows = week.flat_map(|day| {
        windows.iter().map(move |(start, end)| Window { day, start: time(start), end: time(end) })
    });
    WeeklyHours::new(windows.collect()).unwrap()
}

/// By first principles: a gap leads to the change, a fold to one of two readings, and the instants
/// around are as they read.
fn check_change(zone: &ZoneRules, change: Change) {
    let seconds = TimeDelta::seconds;
    let Change { at, before, after } = change;
    let read = |offset| at.naive_utc() + seconds(offset);
    let (low, high) = (read(before.min(after)), read(before.max(after)));
    let mut walls = vec![low, low + seconds(1), high - seconds(1), low + (high - low) / 2];
    walls.extend([low + seconds(900), high - seconds(900)]);
    for wall in walls.into_iter().filter(|wall| (low..high).contains(wall)) {
        let (start, end) = if before < after {
            (at, at)
        } else {
            let reading = |offset| (wall - seconds(offset)).and_utc();
            (reading(before), reading(after))
        };
        assert_eq!(resolve_start(zone, wall), Some(start), "{zone:?} {change:?} start {wall}");
        assert_eq!(resolve_end(zone, wall), Some(end), "{zone:?} {change:?} end {wall}");
    }
    for (wall, offset) in [(low - seconds(1), before), (high, after), (high + seconds(1), after)] {
        let reading = Some((wall - seconds(offset)).and_utc());
        assert_eq!(resolve_start(zone, wall), reading, "{zone:?} {change:?} start {wall}");
        assert_eq!(resolve_end(zone, wall), reading, "{zone:?} {change:?} end {wall}");
    }
}

/// The days around a change, against the dates that the clock shows minute by minute.
fn check_days(zone: &ZoneRules, change: Change) {
    let middle = wall(zone, change.at).date();
    let days = [-2, -1, 0, 1, 2].map(|n| middle + TimeDelta::days(n));
    let samples = walk(zone, change.at - TimeDelta::hours(84), change.at + TimeDelta::hours(84));
    for day in days {
        let first = |reached: &dyn Fn(NaiveDate) -> bool| {
            samples.iter().find(|(_, wall)| reached(wall.date())).unwrap().0
        };
        let start = first(&|date| date >= day);
        let model = Interval::new(start, first(&|date| date > day));
        assert_eq!(local_day(zone, day), model, "{zone:?} {day}");
        if let Some(model) = model {
            assert_eq!(wall(zone, model.start()).date(), day, "{zone:?}");
        }
    }
    let joined: Option<IntervalSet> =
        Some(days.iter().filter_map(|d| local_day(zone, *d)).collect());
    assert_eq!(local_days(zone, days[0], days[4]).map(IntervalSet::from), joined, "{zone:?}");
}

/// The clock from minute to minute.
pub(crate) fn walk(zone: &ZoneRules, from: Instant, to: Instant) -> Vec<(Instant, NaiveDateTime)> {
    let minutes = (to - from).num_minutes();
    (0..minutes).map(|n| from + TimeDelta::minutes(n)).map(|t| (t, wall(zone, t))).collect()
}

/// The slow, obvious windows: watch the clock, start when it first shows the start or has skipped
/// it, end when it last shows the end or has skipped it.
pub(crate) fn model_windows(
    hours: &WeeklyHours,
    zone: &ZoneRules,
    range: Interval,
) -> Vec<Interval> {
    let margin = TimeDelta::hours(80);
    let samples = walk(zone, range.start() - margin, range.end() + margin);
    let mut dates: Vec<_> = samples.iter().map(|(_, wall)| wall.date()).collect();
    dates.dedup();
    let (first, last) = (dates[0], dates[dates.len() - 1]);
    let mut found = vec![];
    // A skipped date is looked at as well: its windows must vanish by themselves.
    for date in first.iter_days().skip(1).take_while(|date| *date < last) {
        for window in hours.windows().iter().filter(|w| w.day == chrono::Datelike::weekday(&date)) {
            let (from, to) = (window.start.on(date).unwrap(), window.end.on(date).unwrap());
            let skipped = |wall| samples.iter().find(|sample| sample.1 > wall);
            let start = samples.iter().find(|sample| sample.1 == from).or(skipped(from));
            let end = samples.iter().rfind(|sample| sample.1 == to).or(skipped(to));
            if let Some(((start, _), (end, _))) = start.zip(end) {
                found.extend(Interval::new(*start, *end).filter(|w| w.overlaps(&range)));
            }
        }
    }
    found
}

pub(crate) fn weekly_hours() -> impl Strategy<Value = WeeklyHours> {
    // Up to four sorted times make up to two windows a day; multiples of five minutes.
    let day = prop::collection::btree_set(0..=288u16, 0..=4);
    prop::collection::vec(day, 7).prop_map(|days| {
        let time = |n: u16| TimeOfDay::new(n * 5).unwrap();
        let windows = days.into_iter().zip(0..).flat_map(|(times, day)| {
            let day = Weekday::try_from(day).unwrap();
            let times: Vec<u16> = times.into_iter().collect();
            let pairs = times.chunks_exact(2).map(|pair| (time(pair[0]), time(pair[1])));
            pairs.map(|(start, end)| Window { day, start, end }).collect::<Vec<_>>()
        });
        WeeklyHours::new(windows.collect()).unwrap()
    })
}

/// Zones whose changes are unusual: half an hour, at or around midnight, in Ramadan, of two or
/// three hours.
const ODD: [&str; 12] = [
    "Australia/Lord_Howe",
    "Africa/Casablanca",
    "Asia/Kathmandu",
    "Africa/Cairo",
    "Asia/Beirut",
    "America/Havana",
    "America/Scoresbysund",
    "America/Nuuk",
    "America/Asuncion",
    "Antarctica/Troll",
    "Antarctica/Casey",
    "Asia/Gaza",
];

/// Any zone, and a range of up to three days in 2020 to 2035, mostly around a change of the zone.
pub(crate) fn place() -> impl Strategy<Value = (ZoneRules, Interval)> {
    let zone = prop_oneof![
        prop::sample::select(ZoneData::bundled().all()).prop_map(rules),
        prop::sample::select(&ODD[..]).prop_map(zone),
    ];
    let day = 0..16 * 365i64;
    (zone, day, -3000..60i64, 1..4320i64, prop::bool::weighted(0.8)).prop_map(
        |(zone, day, shift, length, near)| {
            let any = at("2020-01-01T00:00Z") + TimeDelta::days(day);
            let year = TimeDelta::days(370);
            let change = changes(&zone, any, any + year).first().map(|change| change.at);
            let middle = change.filter(|_| near).unwrap_or(any);
            let start = middle + TimeDelta::minutes(shift);
            (zone, Interval::new(start, start + TimeDelta::minutes(length)).unwrap())
        },
    )
}

#[test]
fn every_change_of_every_zone() {
    // Zones share changes, and the slow model of one is the slow model of all.
    let mut seen = HashSet::new();
    for zone in ZoneData::bundled().all() {
        let zone = &rules(zone);
        for change in changes(zone, at("2020-01-01T00:00Z"), at("2036-01-01T00:00Z")) {
            check_change(zone, change);
            if seen.insert(change) {
                check_days(zone, change);
            }
        }
    }
    assert!(seen.len() > 300, "{}", seen.len());
}

proptest! {
    #![proptest_config(cases())]

    #[test]
    fn windows_agree_with_a_walk_along_the_clock(
        (zone, range) in place(),
        hours in weekly_hours(),
    ) {
        let found = windows(&hours, &zone, range);
        prop_assert_eq!(&found, &model_windows(&hours, &zone, range), "{:?} {}", zone, range);
        let ascends = |a: Interval, b: Interval| a.start() < b.start() && a.end() <= b.end();
        prop_assert!(found.windows(2).all(|pair| ascends(pair[0], pair[1])), "{:?}", found);
    }

    /// A minute that the clock shows inside a window is open; the other way round too, except that
    /// a window which meets a fold lasts from its first start to its last end.
    #[test]
    fn open_is_what_the_clock_shows((zone, range) in place(), hours in weekly_hours()) {
        let open: IntervalSet = windows(&hours, &zone, range).into_iter().collect();
        let day = TimeDelta::hours(30);
        let folds = changes(&zone, range.start() - day, range.end() + day)
            .iter()
            .any(|change| change.after < change.before);
        for (instant, wall) in walk(&zone, range.start(), range.end()) {
            let shown = hours.on(chrono::Datelike::weekday(&wall)).iter().any(|window| {
                let on = |time: TimeOfDay| time.on(wall.date()).unwrap();
                on(window.start) <= wall && wall < on(window.end)
            });
            let is_open = open.iter().any(|window| window.contains_instant(instant));
            prop_assert!(is_open == shown || (folds && is_open), "{zone:?} {instant} {wall}");
        }
    }

    #[test]
    fn days_follow_each_other((zone, range) in place()) {
        let first = wall(&zone, range.start()).date();
        let days: Vec<_> = first.iter_days().take(5).map(|d| local_day(&zone, d).unwrap()).collect();
        prop_assert!(days.windows(2).all(|pair| pair[0].end() == pair[1].start()));
        let joined = Interval::new(days[0].start(), days[4].end());
        prop_assert_eq!(local_days(&zone, first, first + TimeDelta::days(4)), joined);
    }
}

/// The length of a day, in minutes.
fn length(name: &str, day: &str) -> Option<i64> {
    local_day(&zone(name), date(day)).map(|day| day.duration().num_minutes())
}

#[test]
fn days_of_odd_length() {
    assert_eq!(length("Europe/Berlin", "2026-03-28"), Some(24 * 60));
    assert_eq!(length("Europe/Berlin", "2026-03-29"), Some(23 * 60));
    assert_eq!(length("Europe/Berlin", "2026-10-25"), Some(25 * 60));
    assert_eq!(length("Australia/Lord_Howe", "2026-10-04"), Some(23 * 60 + 30));
    assert_eq!(length("Australia/Lord_Howe", "2026-04-05"), Some(24 * 60 + 30));
    assert_eq!(length("Asia/Kathmandu", "2026-03-29"), Some(24 * 60));
    assert_eq!(length("Africa/Casablanca", "2026-02-15"), Some(25 * 60));
    assert_eq!(length("Africa/Casablanca", "2026-03-22"), Some(23 * 60));
    assert_eq!(length("Antarctica/Troll", "2026-10-25"), Some(26 * 60));
}

#[test]
fn a_date_that_was_skipped_is_no_day() {
    let apia = zone("Pacific/Apia");
    assert_eq!(length("Pacific/Apia", "2011-12-30"), None);
    assert_eq!(
        local_day(&apia, date("2011-12-29")),
        Some(span("2011-12-29T00:00-10:00", "2011-12-30T00:00-10:00"))
    );
    assert_eq!(
        local_day(&apia, date("2011-12-31")),
        Some(span("2011-12-31T00:00+14:00", "2012-01-01T00:00+14:00"))
    );
    assert_eq!(
        local_days(&apia, date("2011-12-29"), date("2011-12-31")).unwrap().duration(),
        TimeDelta::hours(48)
    );
    assert_eq!(local_days(&apia, date("2011-12-31"), date("2011-12-29")), None);
    // Its windows vanish, those around it stay.
    let week = span("2011-12-28T12:00Z", "2012-01-01T00:00Z");
    assert_eq!(
        windows(&daily(&[("09:00", "17:00")]), &apia, week),
        [
            span("2011-12-28T09:00-10:00", "2011-12-28T17:00-10:00"),
            span("2011-12-29T09:00-10:00", "2011-12-29T17:00-10:00"),
            span("2011-12-31T09:00+14:00", "2011-12-31T17:00+14:00"),
            span("2012-01-01T09:00+14:00", "2012-01-01T17:00+14:00"),
        ]
    );
}

#[test]
fn days_that_change_at_midnight() {
    // The gap takes 00:00 to 01:00: the day starts at 01:00.
    let beirut = local_day(&zone("Asia/Beirut"), date("2026-03-29")).unwrap();
    assert_eq!(beirut, span("2026-03-29T01:00+03:00", "2026-03-30T00:00+03:00"));
    assert_eq!(length("Asia/Beirut", "2026-10-24"), Some(25 * 60));
    assert_eq!(length("America/Sao_Paulo", "2018-11-04"), Some(23 * 60));
    assert_eq!(length("America/Sao_Paulo", "2019-02-16"), Some(25 * 60));
    assert_eq!(length("Africa/Cairo", "2026-04-24"), Some(23 * 60));
    assert_eq!(length("America/Scoresbysund", "2026-03-28"), Some(23 * 60));
    // Havana shows 00:00 to 01:00 twice: the day starts with the first.
    let havana = local_day(&zone("America/Havana"), date("2027-11-07")).unwrap();
    assert_eq!(havana, span("2027-11-07T00:00-04:00", "2027-11-08T00:00-05:00"));
    // Cuba kept its summer time through the winter of 2026 (IANA 2026f).
    assert_eq!(length("America/Havana", "2026-11-01"), Some(24 * 60));
    // St. John's went from 00:01 back to 23:01 the day before; that stretch is the later day's.
    let johns = local_day(&zone("America/St_Johns"), date("2010-11-07")).unwrap();
    assert_eq!(johns, span("2010-11-07T00:00-02:30", "2010-11-08T00:00-03:30"));
}

#[test]
fn windows_in_a_gap_and_in_a_fold() {
    let berlin = zone("Europe/Berlin");
    let hours = daily(&[("01:00", "02:15"), ("02:20", "02:40"), ("02:45", "04:00")]);
    // 02:00 to 03:00 is skipped.
    let spring = local_day(&berlin, date("2026-03-29")).unwrap();
    assert_eq!(
        windows(&hours, &berlin, spring),
        [
            span("2026-03-29T01:00+01:00", "2026-03-29T03:00+02:00"),
            span("2026-03-29T03:00+02:00", "2026-03-29T04:00+02:00"),
        ]
    );
    // 02:00 to 03:00 comes twice.
    let autumn = local_day(&berlin, date("2026-10-25")).unwrap();
    assert_eq!(
        windows(&hours, &berlin, autumn),
        [
            span("2026-10-25T01:00+02:00", "2026-10-25T02:15+01:00"),
            span("2026-10-25T02:20+02:00", "2026-10-25T02:40+01:00"),
            span("2026-10-25T02:45+02:00", "2026-10-25T04:00+01:00"),
        ]
    );
}

#[test]
fn windows_are_whole_and_only_those_that_overlap() {
    let (berlin, hours) = (zone("Europe/Berlin"), WeeklyHours::office_hours());
    let friday = span("2026-01-09T09:00+01:00", "2026-01-09T17:00+01:00");
    let monday = span("2026-01-12T09:00+01:00", "2026-01-12T17:00+01:00");
    let found = |from, to| windows(&hours, &berlin, span(from, to));
    assert_eq!(found("2026-01-09T16:59+01:00", "2026-01-12T09:01+01:00"), [friday, monday]);
    assert_eq!(found("2026-01-09T17:00+01:00", "2026-01-12T09:00+01:00"), []);
}

#[test]
fn windows_are_found_where_the_clock_shows_another_date() {
    // Saturday's window ends at the second 00:00, an hour after Sunday has begun.
    let found = windows(
        &daily(&[("20:00", "24:00")]),
        &zone("America/Havana"),
        span("2027-11-07T00:30-04:00", "2027-11-07T00:45-04:00"),
    );
    assert_eq!(found, [span("2027-11-06T20:00-04:00", "2027-11-07T00:00-05:00")]);
    // Sunday's window starts at the first 00:00, and then it is Saturday again for an hour.
    let found = windows(
        &daily(&[("00:00", "24:00")]),
        &zone("America/St_Johns"),
        span("2010-11-06T23:30-03:30", "2010-11-06T23:45-03:30"),
    );
    let saturday = span("2010-11-06T00:00-02:30", "2010-11-07T00:00-03:30");
    assert_eq!(found, [saturday, span("2010-11-07T00:00-02:30", "2010-11-08T00:00-03:30")]);
}

#[test]
fn nothing_breaks_at_the_ends_of_the_calendar() {
    let hours = daily(&[("00:00", "24:00")]);
    for zone in [zone("Pacific/Kiritimati"), zone("Etc/GMT+12")] {
        let (first, last) = (Instant::MIN_UTC, Instant::MAX_UTC);
        let day = TimeDelta::days(1);
        for range in [Interval::new(first, first + day), Interval::new(last - day, last)] {
            assert!(windows(&hours, &zone, range.unwrap()).len() < 4);
        }
        assert_eq!(local_day(&zone, NaiveDate::MAX), None);
    }
}
