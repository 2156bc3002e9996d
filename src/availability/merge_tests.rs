//! Tests of the merge: the same pages as by the plain computation, for no more work than they need.

use chrono::Weekday;
use proptest::prelude::*;
use uuid::Uuid;

use super::*;
use crate::{
    availability::{
        ProviderTime, SlotRules,
        compute::{
            reach, slots,
            tests::{asked, chain, plain},
        },
    },
    kernel::{
        time::{
            LATEST,
            tests::{at, cases, span},
        },
        zone::{ZoneData, ZoneRules},
    },
    schedule::{
        Schedule, WeeklyHours,
        days::Days,
        expand::tests::{daily, named, place, rules, weekly_hours},
    },
};

/// A provider in a test: hours, and what stands against them in minutes as `chain` takes it.
type Parts = (usize, WeeklyHours, Vec<(i64, i64)>, Vec<(i64, i64)>, Vec<(i64, i64)>);

fn parts() -> impl Strategy<Value = Parts> {
    (
        0..4usize,
        weekly_hours(),
        prop::collection::vec((0..400i64, 5..180i64), 0..10),
        prop::collection::vec((0..2000i64, 5..600i64), 0..3),
        prop::collection::vec((0..2000i64, 5..120i64), 0..6),
    )
}

/// A provider's time as it is read for a range.
fn time(
    zone: &ZoneRules,
    (_, hours, claims, away, counted): &Parts,
    whole: Interval,
    range: Interval,
) -> ProviderTime {
    let schedule = Schedule::new(zone.zone(), hours.clone(), minutes(5), minutes(24 * 60)).unwrap();
    let origin = whole.start() - minutes(300);
    ProviderTime {
        days: Days::in_zone(zone.clone(), Weekday::Mon),
        windows: schedule.windows(&ZoneData::bundled(), range).unwrap(),
        time_off: chain(origin, away),
        claims: chain(origin, claims),
        counted: chain(origin - minutes(3000), counted),
        ..ProviderTime::default()
    }
}

fn minutes(n: i64) -> TimeDelta {
    TimeDelta::minutes(n)
}

fn id(place: usize) -> ProviderId {
    ProviderId(Uuid::from_u128(place as u128))
}

/// All slots by the plain computation, joined by sorting.
fn whole(
    all: &[(ZoneRules, Parts)],
    asked: &SlotRules,
    range: Interval,
    now: Instant,
) -> Vec<Slot> {
    let mut found = Vec::new();
    for (place, (zone, parts)) in all.iter().enumerate() {
        let time = time(zone, parts, range, reach(range, asked.duration));
        let slots = plain(&time, asked, range, now, usize::MAX);
        found.extend(slots.into_iter().map(|slot| (slot, id(place))));
    }
    found.sort_unstable();
    let joined = found.chunk_by(|(one, _), (next, _)| one == next);
    let slot = |same: &[(Interval, ProviderId)]| Slot {
        interval: same[0].0,
        providers: same.iter().map(|(_, provider)| *provider).collect(),
    };
    joined.map(slot).collect()
}

/// A page after a start, read in stretches of so many days.
fn page(
    all: &[(ZoneRules, Parts)],
    asked: &SlotRules,
    (range, now, days): (Interval, Instant, i64),
    after: Option<Instant>,
    mut page: Page,
) -> Vec<Slot> {
    let mut from = after.map_or(range.start(), |after| after + TimeDelta::seconds(1));
    while let Some(stretch) = Stretch::of(range, from, days, asked.duration) {
        let times: Vec<ProviderTime> =
            all.iter().map(|(zone, parts)| time(zone, parts, range, stretch.range)).collect();
        let sources = times
            .iter()
            .enumerate()
            .map(|(place, time)| (id(place), slots(time, asked, stretch.starts, now)));
        let mut merged = Merged::new(sources.collect());
        let mut passed = 0;
        while !page.is_full()
            && let Some(slot) = merged.next()
        {
            passed += slot.providers.len();
            page.push(slot);
        }
        // No more work than the page and one look ahead at each provider.
        assert!(merged.pulled() <= passed + all.len());
        if page.is_full() || stretch.is_last {
            break;
        }
        from = stretch.starts.end();
    }
    page.into_slots()
}

proptest! {
    #![proptest_config(cases())]

    #[test]
    fn pages_are_those_of_the_plain_computation_and_together_the_whole(
        (zone, range) in place(),
        all in prop::collection::vec(parts(), 0..5),
        asked in asked(),
        now in -4000..4000i64,
        days in 1..4i64,
        size in 1..40usize,
        names in 1..200usize,
    ) {
        let now = range.start() + minutes(now);
        let rules = |name| rules(named(name));
        let zones = [zone, rules("UTC"), rules("Pacific/Apia"), rules("Europe/Berlin")];
        let all: Vec<_> = all.into_iter().map(|parts| (zones[parts.0].clone(), parts)).collect();
        let expected = whole(&all, &asked, range, now);
        let (mut found, mut after) = (Vec::new(), None);
        loop {
            // One more than asked for, as callers do to know whether others follow.
            let fresh = Page::new(size + 1, names * NAME);
            let mut slots = page(&all, &asked, (range, now, days), after, fresh);
            // The page ends where either bound is reached.
            let mut left = names;
            let fit = slots.iter().take_while(|slot| {
                let rest = left.checked_sub(slot.providers.len());
                left = rest.unwrap_or_default();
                rest.is_some()
            });
            let fit = fit.count().clamp(1, size);
            let more = slots.len() > fit;
            slots.truncate(fit);
            after = slots.last().map(|slot| slot.interval.start());
            found.extend(slots);
            if !more {
                break;
            }
        }
        prop_assert_eq!(found, expected);
    }
}

/// Many providers who are open all day, every five minutes.
fn crowd(count: usize, range: Interval) -> (Vec<ProviderTime>, SlotRules) {
    let hours = daily(&[("00:00", "24:00")]);
    let schedule = Schedule::new(named("UTC"), hours, minutes(5), minutes(60)).unwrap();
    let time = ProviderTime {
        windows: schedule.windows(&ZoneData::bundled(), range).unwrap(),
        ..ProviderTime::default()
    };
    (vec![time; count], SlotRules::interval(minutes(5), minutes(5)))
}

#[test]
fn a_full_page_of_many_providers_pulls_what_is_on_it_and_one_slot_more_of_each() {
    const PROVIDERS: usize = 300;
    let range = span("2026-01-05T00:00Z", "2026-03-08T00:00Z");
    let (times, asked) = crowd(PROVIDERS, range);
    let now = range.start() - minutes(1);
    let sources =
        times.iter().enumerate().map(|(place, time)| (id(place), slots(time, &asked, range, now)));
    let mut merged = Merged::new(sources.collect());
    // What an answer of 2 MiB holds, of 17,856 starts.
    let mut page = Page::new(5001, 2 * 1024 * 1024);
    while !page.is_full()
        && let Some(slot) = merged.next()
    {
        page.push(slot);
    }
    let pulled = merged.pulled();
    let slots = page.into_slots();
    assert_eq!(slots.len(), 2 * 1024 * 1024 / (PROVIDERS * NAME) + 1);
    assert_eq!(pulled, (slots.len() + 1) * PROVIDERS);
}

#[test]
fn the_first_slot_of_many_providers_pulls_two_of_each_at_most() {
    let range = span("2026-01-05T00:00Z", "2026-03-08T00:00Z");
    let (times, asked) = crowd(1000, range);
    let sources = times
        .iter()
        .enumerate()
        .map(|(place, time)| (id(place), slots(time, &asked, range, at("2026-01-01T00:00Z"))));
    let mut merged = Merged::new(sources.collect());
    let first = merged.next().unwrap();
    assert_eq!((first.interval.start(), first.providers.len()), (range.start(), 1000));
    assert_eq!(merged.pulled(), 2000);
}

#[test]
fn stretches_cover_a_range_once() {
    let whole = span("2026-01-05T00:00Z", "2026-03-08T00:00Z");
    let (mut from, mut found) = (whole.start(), Vec::new());
    loop {
        let stretch = Stretch::of(whole, from, 7, minutes(45)).unwrap();
        assert_eq!(stretch.starts.start(), from);
        assert!(whole.contains(&stretch.starts) && stretch.range.contains(&stretch.starts));
        assert_eq!(stretch.range.end(), stretch.starts.end() + minutes(45));
        found.push(stretch);
        if stretch.is_last {
            break;
        }
        from = stretch.starts.end();
    }
    assert_eq!((found.len(), found.last().unwrap().starts.end()), (9, whole.end()));
    assert_eq!(Stretch::of(whole, whole.end(), 7, minutes(45)), None);
    let endless = Stretch::of(whole, whole.start(), i64::MAX, TimeDelta::MAX).unwrap();
    assert_eq!((endless.starts, endless.range.end()), (whole, LATEST));
    assert_eq!([0, 1, 300, 10_000].map(days_at_once), [2000, 2000, 6, 1]);
}
