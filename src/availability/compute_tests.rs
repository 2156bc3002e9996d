//! Tests of availability: properties that callers rely on, a slow model, and plain examples.

use chrono::Weekday;
use proptest::prelude::*;

use super::*;
use crate::availability::{Availability, days_tests::clock, explain};
use crate::catalogue::{Horizon, Limits};
use crate::kernel::time::tests::{at, cases, span};
use crate::kernel::zone::ZoneData;
use crate::schedule::days::Days;
use crate::schedule::expand::local_days;
use crate::schedule::expand::tests::{
    daily, model_windows, named as zone, place, rules, weekly_hours,
};
use crate::schedule::{Schedule, WeeklyHours};

/// All slots by the plain computation: every window's grid whole, sorted, cut.
pub(in crate::availability) fn plain(
    time: &ProviderTime,
    asked: &SlotRules,
    range: Interval,
    now: Instant,
    most: usize,
) -> Vec<Interval> {
    let horizon = asked.reach(&time.days, now);
    let Some(starts) = super::starts(&horizon, asked, range, now) else { return Vec::new() };
    let open = open(time, reach(range, asked.duration));
    let limits = Ledger::new(time, asked);
    let mut slots = Vec::new();
    let mut pieces = open.as_slice();
    let mut last = None;
    for window in &time.windows {
        // Where windows overlap, a later one may begin before an earlier one's last slots.
        if slots.len() >= most && last.is_some_and(|last| window.start() > last) {
            break;
        }
        // Starts of windows ascend, so what ends before this one is of no use to the next.
        while let Some((piece, later)) = pieces.split_first()
            && piece.end() <= window.start()
        {
            pieces = later;
        }
        let before = slots.len();
        for piece in pieces.iter().take_while(|piece| piece.start() < window.end()) {
            let walk =
                PlainWalk { time, asked, window, piece, starts, most: before.saturating_add(most) };
            walk.push(&mut slots, &limits);
        }
        last = slots.last().map(Interval::start).max(last);
    }
    // Only windows that overlap break the order; a sorted list costs one pass.
    slots.sort_unstable();
    slots.dedup();
    slots.truncate(most);
    slots
}

/// The way along one window's grid through one piece of open time.
struct PlainWalk<'a> {
    time: &'a ProviderTime,
    asked: &'a SlotRules,
    window: &'a Interval,
    piece: &'a Interval,
    starts: Interval,
    most: usize,
}

impl PlainWalk<'_> {
    fn push(&self, slots: &mut Vec<Interval>, limits: &Ledger) {
        let asked = self.asked;
        let mut next = self.on_grid(self.piece.start().max(self.starts.start()));
        while let Some(start) = next
            && start < self.window.end()
            && start < self.starts.end()
            && slots.len() < self.most
            && let Some(end) = start.checked_add_signed(asked.duration)
            && end <= self.piece.end()
            // None is empty, so a duration of zero or less gives no slots.
            && let Some(slot) = Interval::new(start, end)
        {
            if let Some(claim) = self.claimed(&asked.claim(slot)) {
                let behind = claim.end().checked_add_signed(asked.buffer_before);
                next = behind.and_then(|from| self.on_grid(from));
            } else {
                if limits.room(slot) == (true, true) {
                    slots.push(slot);
                }
                next = start.checked_add_signed(asked.step);
            }
        }
    }

    /// The first claim in the way.
    fn claimed(&self, wanted: &Interval) -> Option<Interval> {
        let claims = &self.time.claims;
        // They do not overlap, so their ends ascend as their starts do.
        let at = claims.partition_point(|claim| claim.end() <= wanted.start());
        claims.get(at).filter(|claim| claim.start() < wanted.end()).copied()
    }

    /// The first instant of the grid from this one on; it may lie past the window's end.
    fn on_grid(&self, from: Instant) -> Option<Instant> {
        let first = self.window.start().checked_add_signed(self.asked.offset)?;
        let behind = ceil_to_second(from).signed_duration_since(first).num_seconds();
        if behind <= 0 {
            return Some(first);
        }
        let step = self.asked.step.num_seconds();
        let past = behind.checked_rem(step)?;
        let ahead = if past == 0 { behind } else { behind.checked_add(step - past)? };
        first.checked_add_signed(TimeDelta::try_seconds(ahead)?)
    }
}

/// The first so many slots.
fn first_slots(
    time: &ProviderTime,
    asked: &SlotRules,
    range: Interval,
    now: Instant,
    most: usize,
) -> Vec<Interval> {
    slots(time, asked, range, now).take(most).collect()
}

/// What a caller wants to know.
#[derive(Clone, Copy)]
struct Query {
    range: Interval,
    duration: TimeDelta,
    now: Instant,
}

/// Free time and slots of bare intervals.
fn availability(schedule: &Schedule, claims: &IntervalSet, query: &Query) -> Availability {
    let time = ProviderTime {
        days: Days::in_zone(rules(schedule.zone()), Weekday::Mon),
        windows: schedule
            .windows(&ZoneData::bundled(), reach(query.range, query.duration))
            .unwrap(),
        claims: claims.clone().into(),
        ..ProviderTime::default()
    };
    let asked = SlotRules::interval(query.duration, schedule.slot());
    Availability {
        free: free(&time, query.range, query.now).into(),
        slots: first_slots(&time, &asked, query.range, query.now, usize::MAX),
    }
}

fn minutes(n: i64) -> TimeDelta {
    TimeDelta::minutes(n)
}

fn schedule(name: &str, hours: WeeklyHours, slot: i64) -> Schedule {
    Schedule::new(zone(name), hours, minutes(slot), minutes(24 * 60)).unwrap()
}

/// Claims, in minutes from the start of the range minus an hour: start, length.
fn claims() -> impl Strategy<Value = Vec<(i64, i64)>> {
    prop::collection::vec((0..4500i64, 1..240i64), 0..12)
}

proptest! {
    #![proptest_config(cases())]

    #[test]
    fn agrees_with_the_model(
        (zone, range) in place(),
        hours in weekly_hours(),
        claims in claims(),
        slot in (1..=24i64).prop_map(|n| n * 5),
        duration in 1..=300i64,
        // Mostly before the range, sometimes within, sometimes after.
        now in -100_000..300_000i64,
        fraction in prop::sample::select(&[0, 1, 999_999_999][..]),
    ) {
        let origin = range.start() - minutes(60);
        let claims: Vec<Interval> = claims.into_iter().map(|(start, length)| {
            let start = origin + minutes(start);
            Interval::new(start, start + minutes(length)).unwrap()
        }).collect();
        let now = range.start() + TimeDelta::seconds(now) + TimeDelta::nanoseconds(fraction);
        let schedule = Schedule::new(zone.zone(), hours, minutes(slot), minutes(24 * 60)).unwrap();
        let query = Query { range, duration: minutes(duration), now };
        let set = claims.iter().copied().collect();
        let Availability { free, slots } = availability(&schedule, &set, &query);

        // What callers rely on.
        let whole = reach(range, query.duration);
        let windows = model_windows(schedule.hours().weekly(), &zone, whole);
        for slot in &slots {
            prop_assert_eq!(slot.duration(), query.duration);
            prop_assert!(slot.start() > now && slot.start().timestamp_subsec_nanos() == 0);
            prop_assert!(range.contains_instant(slot.start()), "{} leaves the range", slot);
            prop_assert!(claims.iter().all(|claim| !claim.overlaps(slot)), "{} is claimed", slot);
            let is_free = free.iter().any(|piece| piece.contains(slot));
            prop_assert!(is_free || slot.end() > range.end(), "{} is not free", slot);
        }
        prop_assert!(slots.windows(2).all(|pair| pair[0].start() < pair[1].start()));
        prop_assert!(free.windows(2).all(|pair| pair[0].end() < pair[1].start()));

        // Free, minute by minute.
        let is_open = |t: Instant| windows.iter().any(|w| w.contains_instant(t));
        let mut minute = range.start();
        while minute < range.end() {
            let model = is_open(minute)
                && minute >= now
                && !claims.iter().any(|claim| claim.contains_instant(minute));
            prop_assert_eq!(free.iter().any(|f| f.contains_instant(minute)), model, "{}", minute);
            minute += minutes(1);
        }

        // Slots, one candidate after the other.
        let mut model = std::collections::BTreeSet::new();
        for window in &windows {
            let mut start = window.start();
            while start < window.end() {
                let slot = Interval::new(start, start + query.duration).unwrap();
                if start > now
                    && range.contains_instant(start)
                    && (0..duration).all(|n| is_open(start + minutes(n)))
                    && !claims.iter().any(|claim| claim.overlaps(&slot))
                {
                    model.insert(slot);
                }
                start += schedule.slot();
            }
        }
        prop_assert_eq!(slots, model.into_iter().collect::<Vec<_>>());
    }

    /// One more claim never adds a slot and never moves one.
    #[test]
    fn a_claim_only_takes((zone, range) in place(), hours in weekly_hours(), n in 0..4000i64) {
        let start = range.start() + TimeDelta::seconds(n * 61);
        let claim = Interval::new(start, start + minutes(50)).unwrap();
        let schedule = Schedule::new(zone.zone(), hours, minutes(15), minutes(60)).unwrap();
        let now = range.start() - minutes(1);
        let query = Query { range, duration: minutes(45), now };
        let before = availability(&schedule, &IntervalSet::default(), &query).slots;
        let after = availability(&schedule, &claim.into(), &query).slots;
        let kept: Vec<_> = before.into_iter().filter(|slot| !slot.overlaps(&claim)).collect();
        prop_assert_eq!(after, kept);
    }
}

/// The starts of the slots, as the clock in the zone shows them.
fn starts(schedule: &Schedule, claims: &[Interval], query: &Query) -> Vec<String> {
    let claims = claims.iter().copied().collect();
    let slots = availability(schedule, &claims, query).slots;
    let zone = rules(schedule.zone());
    let wall = |slot: &Interval| clock(&zone, slot.start());
    slots.iter().map(|slot| wall(slot).format("%H:%M %:z").to_string()).collect()
}

#[test]
fn a_morning_with_one_claim() {
    let schedule = schedule("Europe/Berlin", daily(&[("09:00", "12:00")]), 30);
    let day = span("2026-01-05T00:00+01:00", "2026-01-06T00:00+01:00");
    let query = Query { range: day, duration: minutes(60), now: at("2026-01-01T00:00Z") };
    // The claim ends at 10:10; the grid stays on the half hours.
    let claim = span("2026-01-05T09:40+01:00", "2026-01-05T10:10+01:00");
    assert_eq!(starts(&schedule, &[claim], &query), ["10:30 +01:00", "11:00 +01:00"]);
    let free = availability(&schedule, &claim.into(), &query).free;
    assert_eq!(
        free,
        [
            span("2026-01-05T09:00+01:00", "2026-01-05T09:40+01:00"),
            span("2026-01-05T10:10+01:00", "2026-01-05T12:00+01:00"),
        ]
    );
}

#[test]
fn now_hides_what_has_begun() {
    let schedule = schedule("Europe/Berlin", daily(&[("09:00", "11:00")]), 30);
    let range = span("2026-01-05T00:00+01:00", "2026-01-06T00:00+01:00");
    let query = |now| Query { range, duration: minutes(30), now };
    let nine = at("2026-01-05T09:00+01:00");
    // What starts this very moment is not in the future, and would be refused.
    assert_eq!(starts(&schedule, &[], &query(nine)).len(), 3);
    let just_after = query(nine + TimeDelta::nanoseconds(1));
    assert_eq!(
        starts(&schedule, &[], &just_after),
        ["09:30 +01:00", "10:00 +01:00", "10:30 +01:00"]
    );
    let free = availability(&schedule, &IntervalSet::default(), &just_after).free;
    assert_eq!(free, [span("2026-01-05T09:00:01+01:00", "2026-01-05T11:00:00+01:00")]);
    let over = availability(&schedule, &IntervalSet::default(), &query(range.end()));
    assert_eq!(over, Availability::default());
}

#[test]
fn the_grid_counts_elapsed_time() {
    // Clocks go from 02:00 CET to 03:00 CEST, and from 03:00 CEST back to 02:00 CET.
    let schedule = schedule("Europe/Berlin", daily(&[("00:30", "04:00")]), 60);
    let now = at("2026-01-01T00:00Z");
    let range = span("2026-03-29T00:00+01:00", "2026-03-30T00:00+02:00");
    let spring = Query { range, duration: minutes(30), now };
    assert_eq!(starts(&schedule, &[], &spring), ["00:30 +01:00", "01:30 +01:00", "03:30 +02:00"]);
    let range = span("2026-10-25T00:00+02:00", "2026-10-26T00:00+01:00");
    let autumn = Query { range, duration: minutes(30), now };
    assert_eq!(
        starts(&schedule, &[], &autumn),
        ["00:30 +02:00", "01:30 +02:00", "02:30 +02:00", "02:30 +01:00", "03:30 +01:00"]
    );
}

#[test]
fn a_slot_may_run_on_into_a_touching_window() {
    let schedule = schedule("UTC", daily(&[("09:00", "10:00"), ("10:00", "11:00")]), 45);
    let range = span("2026-01-05T00:00Z", "2026-01-06T00:00Z");
    let query = Query { range, duration: minutes(60), now: range.start() };
    assert_eq!(starts(&schedule, &[], &query), ["09:00 +00:00", "09:45 +00:00", "10:00 +00:00"]);
}

#[test]
fn windows_that_overlap_in_a_fold_offer_each_slot_once() {
    // On 25 October the first lasts until the second 02:30 and the other starts at the first.
    let schedule = schedule("Europe/Berlin", daily(&[("02:00", "02:30"), ("02:30", "03:00")]), 30);
    let range = span("2026-10-25T00:00+02:00", "2026-10-26T00:00+01:00");
    let query = Query { range, duration: minutes(30), now: range.start() };
    assert_eq!(
        starts(&schedule, &[], &query),
        ["02:00 +02:00", "02:30 +02:00", "02:00 +01:00", "02:30 +01:00"]
    );
    // With another grid the end of the first window, 02:30 CET, is a start on neither.
    let schedule =
        Schedule::new(schedule.zone(), schedule.hours().weekly().clone(), minutes(45), minutes(60));
    let query = Query { duration: minutes(15), ..query };
    assert_eq!(
        starts(&schedule.unwrap(), &[], &query),
        ["02:00 +02:00", "02:30 +02:00", "02:45 +02:00", "02:15 +01:00"]
    );
}

#[test]
fn no_duration_no_slots() {
    let schedule = schedule("UTC", daily(&[("09:00", "10:00")]), 30);
    let range = span("2026-01-05T00:00Z", "2026-01-06T00:00Z");
    for duration in [minutes(0), minutes(-30), TimeDelta::MIN] {
        let query = Query { range, duration, now: range.start() };
        let answer = availability(&schedule, &IntervalSet::default(), &query);
        assert!(answer.slots.is_empty() && answer.free.len() == 1);
    }
    let query = Query { range, duration: TimeDelta::MAX, now: range.start() };
    assert!(starts(&schedule, &[], &query).is_empty());
}

/// Intervals of so many minutes' distance and length, from an origin, disjoint.
pub(in crate::availability) fn chain(origin: Instant, parts: &[(i64, i64)]) -> Vec<Interval> {
    let mut from = origin;
    let step = |(gap, length): &(i64, i64)| {
        let start = from + minutes(*gap);
        from = start + minutes(*length);
        Interval::new(start, from).unwrap()
    };
    parts.iter().map(step).collect()
}

pub(in crate::availability) fn asked() -> impl Strategy<Value = SlotRules> {
    let lengths = (1..=24i64, 0..=6i64, 0..=6i64, 1..=18i64, 0..=17i64, 0..=3000i64);
    let horizon = prop::option::of((0..4u32).prop_map(Horizon::RollingDays));
    let most = || prop::option::of(1..6u32);
    let limits = (most(), most(), prop::option::of(30..400u32), prop::option::of(30..800u32));
    (lengths, horizon, limits).prop_map(|(lengths, horizon, limits)| {
        let (duration, before, after, step, offset, notice) = lengths;
        SlotRules {
            duration: minutes(duration * 5),
            buffer_before: minutes(before * 5),
            buffer_after: minutes(after * 5),
            step: minutes(step * 5),
            offset: minutes((offset * 5) % (step * 5)),
            notice: minutes(notice),
            horizon,
            limits: Limits {
                per_day: limits.0,
                per_week: limits.1,
                minutes_per_day: limits.2,
                minutes_per_week: limits.3,
                open_per_customer: None,
            },
        }
    })
}

proptest! {
    #![proptest_config(cases())]

    /// A start is on offer if, and only if, nothing is said against it.
    #[test]
    fn what_is_offered_has_nothing_against_it(
        (zone, range) in place(),
        hours in weekly_hours(),
        asked in asked(),
        claims in prop::collection::vec((0..400i64, 5..180i64), 0..10),
        away in prop::collection::vec((0..2000i64, 5..600i64), 0..4),
        closed in prop::collection::vec((0..4000i64, 5..600i64), 0..2),
        counted in prop::collection::vec((0..2000i64, 5..120i64), 0..8),
        now in -4000..4000i64,
        fraction in prop::sample::select(&[0, 1, 999_999_999][..]),
    ) {
        let origin = range.start() - minutes(300);
        let time = ProviderTime {
            days: Days::in_zone(zone.clone(), Weekday::Mon),
            windows: Schedule::new(zone.zone(), hours, minutes(5), minutes(24 * 60))
                .unwrap()
                .windows(&ZoneData::bundled(), reach(range, asked.duration))
                .unwrap(),
            time_off: chain(origin, &away),
            closures: chain(origin, &closed),
            claims: chain(origin, &claims),
            counted: chain(origin - minutes(3000), &counted),
        };
        let now = range.start() + minutes(now) + TimeDelta::nanoseconds(fraction);
        let offered = first_slots(&time, &asked, range, now, usize::MAX);
        prop_assert!(offered.windows(2).all(|pair| pair[0] < pair[1]));
        let mut expected = Vec::new();
        let mut start = range.start();
        while start < range.end() {
            let slot = Interval::new(start, start + asked.duration).unwrap();
            let against = explain::against(&time, &asked, slot, now);
            if against.is_empty() {
                expected.push(slot);
            } else if offered.binary_search(&slot).is_ok() {
                prop_assert!(false, "{slot} is offered against {against:?}");
            }
            start += minutes(1);
        }
        // Windows that begin in a gap may have a grid of odd seconds; nothing else is off the minute.
        let on_minutes = |slot: &&Interval| (slot.start() - range.start()).num_seconds() % 60 == 0;
        let offered_on_minutes: Vec<_> = offered.iter().filter(on_minutes).copied().collect();
        prop_assert_eq!(&offered_on_minutes, &expected);
        prop_assert_eq!(&offered, &plain(&time, &asked, range, now, usize::MAX));
        // So many first ones are the same as the first so many.
        for most in [0, 1, 3] {
            let first = first_slots(&time, &asked, range, now, most);
            prop_assert_eq!(&first[..], &offered[..most.min(offered.len())]);
        }
    }
}

#[test]
fn the_pause_between_neighbours_is_both_their_buffers() {
    // Before 10, after 5: the pause is the first one's 5 after and the second one's 10 before.
    let schedule = schedule("UTC", daily(&[("09:00", "12:00")]), 30);
    let range = span("2026-01-05T00:00Z", "2026-01-06T00:00Z");
    let asked = SlotRules {
        buffer_before: minutes(10),
        buffer_after: minutes(5),
        ..SlotRules::interval(minutes(30), minutes(5))
    };
    let first = asked.claim(span("2026-01-05T10:00Z", "2026-01-05T10:30Z"));
    assert_eq!(first, span("2026-01-05T09:50Z", "2026-01-05T10:35Z"));
    let time = ProviderTime {
        windows: schedule.windows(&ZoneData::bundled(), range).unwrap(),
        claims: vec![first],
        ..ProviderTime::default()
    };
    let slots = first_slots(&time, &asked, range, at("2026-01-01T00:00Z"), usize::MAX);
    let starts: Vec<_> = slots.iter().map(|s| s.start().format("%H:%M").to_string()).collect();
    // Buffers may reach out of the window: 09:00 is offered.
    assert_eq!(starts[..4], ["09:00", "09:05", "09:10", "09:15"]);
    assert_eq!(starts[4], "10:45");
    assert_eq!(starts.last().unwrap(), "11:30");
}

#[test]
fn a_rolling_horizon_is_whole_local_days() {
    let zone = zone("America/New_York");
    let schedule = Schedule::new(zone, daily(&[("00:00", "24:00")]), minutes(60), minutes(60));
    let range = span("2026-01-05T00:00Z", "2026-01-10T00:00Z");
    // Half past eight in the evening of the 5th in New York.
    let now = at("2026-01-06T01:30Z");
    let asked = SlotRules {
        horizon: Some(Horizon::RollingDays(1)),
        ..SlotRules::interval(minutes(60), minutes(60))
    };
    let zone = rules(zone);
    let time = ProviderTime {
        days: Days::in_zone(zone.clone(), Weekday::Mon),
        windows: schedule.unwrap().windows(&ZoneData::bundled(), range).unwrap(),
        ..ProviderTime::default()
    };
    let slots = first_slots(&time, &asked, range, now, usize::MAX);
    assert_eq!(slots.first().unwrap().start(), at("2026-01-06T02:00Z"));
    let bounds = local_days(&zone, now.date_naive(), now.date_naive()).unwrap();
    assert_eq!(slots.last().unwrap().end(), bounds.end());
}
