//! Days of one zone over the hours of another.

use std::collections::BTreeMap;

use chrono::TimeDelta;

use super::{
    ProviderTime, SlotRules,
    compute::{reach, slots},
};
use crate::{
    kernel::{
        time::{
            Instant, Interval,
            tests::{at, span},
        },
        zone::{ZoneData, ZoneRules},
    },
    schedule::{
        expand::{
            local_date, local_day, local_days,
            tests::{daily, date, rules},
        },
        hours::Hours,
    },
};

/// One zone of all that have the same offsets around these days, on which several zones change clocks.
fn zones(range: Interval) -> Vec<ZoneRules> {
    let mut found = BTreeMap::new();
    for zone in ZoneData::bundled().all() {
        let zone = rules(zone);
        let mut at = range.start() - TimeDelta::days(2);
        let mut offsets = Vec::new();
        while at < range.end() + TimeDelta::days(2) {
            offsets.push(zone.offset(at));
            at += TimeDelta::hours(1);
        }
        found.entry(offsets).or_insert(zone);
    }
    found.into_values().collect()
}

/// What is on offer of a range, of the time that a question for this range reads.
fn offered(
    windows: &[Interval],
    asked: &SlotRules,
    range: Interval,
    now: Instant,
) -> Vec<Interval> {
    let read = reach(range, asked.duration);
    let windows = windows.iter().filter(|window| window.overlaps(&read)).copied().collect();
    let time = ProviderTime { windows, ..ProviderTime::default() };
    slots(&time, asked, range, now).collect()
}

#[test]
fn for_every_pair_of_zones_the_days_have_each_slot_of_the_range_once() {
    let whole = span("2026-10-24T00:00Z", "2026-10-27T00:00Z");
    let (first, last) = (date("2026-10-24"), date("2026-10-26"));
    let zones = zones(whole);
    assert!(zones.len() > 35, "{}", zones.len());
    // A practice of the night: its last slots run on over midnight.
    let hours = daily(&[("00:00", "02:00"), ("21:30", "24:00")]);
    let asked = SlotRules::interval(TimeDelta::minutes(90), TimeDelta::minutes(30));
    let (now, margin) = (at("2026-10-01T00:00Z"), TimeDelta::days(3));
    let around = Interval::new(whole.start() - margin, whole.end() + margin).unwrap();
    let (mut seen, mut over) = (0, 0);
    for provider in &zones {
        let hours = Hours::weekly_only(provider.zone(), hours.clone());
        let windows = hours.windows(&ZoneData::bundled(), around).unwrap();
        for customer in &zones {
            let pair = || format!("{} asks {}", customer.zone(), provider.zone());
            let range = local_days(customer, first, last).unwrap();
            let whole = offered(&windows, &asked, range, now);
            let mut days = Vec::new();
            for day in first.iter_days().take_while(|day| *day <= last) {
                let found = offered(&windows, &asked, local_day(customer, day).unwrap(), now);
                for slot in &found {
                    assert_eq!(local_date(customer, slot.start()), Some(day), "{}", pair());
                    over += usize::from(local_date(customer, slot.end()) != Some(day));
                }
                days.extend(found);
            }
            assert_eq!(days, whole, "{}", pair());
            seen += whole.len();
        }
    }
    // Some slots of each provider run over somebody's midnight.
    assert!(seen > zones.len() * zones.len() * 15 && over > zones.len(), "{seen} {over}");
}
