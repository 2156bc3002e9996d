//! Tests of plans and dates: what they hold, and what of old data still reads.

use serde_json::json;
use uuid::Uuid;

use super::*;
use crate::{
    kernel::time::tests::{at, span},
    schedule::{
        TimeOfDay, WeeklyHours,
        dates::{DateOverride, OverrideViolation, Stay, StayViolation, TimeWindow},
        expand::tests::{date, named as zone},
        provider::Provider,
    },
};

fn time_off(number: u128, start: &str, end: &str) -> TimeOff {
    TimeOff {
        id: TimeOffId(Uuid::from_u128(number)),
        interval: span(start, end),
        reason: String::new(),
    }
}

fn window(start: &str, end: &str) -> TimeWindow {
    let time = |text| TimeOfDay::parse(text).unwrap();
    TimeWindow { start: time(start), end: time(end) }
}

fn own(day: &str, windows: &[(&str, &str)]) -> DateOverride {
    let windows = windows.iter().map(|(start, end)| window(start, end)).collect();
    DateOverride { date: date(day), windows }
}

#[test]
fn nothing_is_the_plan_of_a_provider_without_one() {
    let stored: StoredPlan = serde_json::from_value(json!({})).unwrap();
    assert_eq!(stored, StoredPlan::default());
    assert_eq!(serde_json::to_value(&stored).unwrap(), json!({}));
    let (plan, overrides, stays) = stored.into_parts();
    assert!(plan.accepts_intervals && plan.named.is_empty() && plan.time_off.is_empty());
    assert!(overrides.is_empty() && stays.is_empty());
    assert!(serde_json::from_value::<StoredPlan>(json!({ "else": 1 })).is_err());
}

#[test]
fn a_plan_is_stored_in_this_form() {
    let hours = Hours::new(
        zone("Asia/Tokyo"),
        WeeklyHours::default(),
        DateOverrides::new(vec![own("2026-11-24", &[])]).unwrap(),
        Stays::default(),
    );
    let mut plan = Plan { accepts_intervals: false, ..Plan::default() };
    plan.named.insert("night".to_owned(), hours);
    let mut off = time_off(7, "2026-11-23T09:00Z", "2026-11-23T10:00Z");
    off.reason = "rest".to_owned();
    plan.add_time_off(off, at("2026-11-22T00:00Z")).unwrap();
    let default = Hours::new(
        zone("Europe/Berlin"),
        WeeklyHours::office_hours(),
        DateOverrides::new(vec![own("2026-12-24", &[("09:00", "12:00")])]).unwrap(),
        Stays::new(vec![Stay {
            first: date("2027-01-01"),
            last: date("2027-01-02"),
            zone: zone("UTC"),
        }])
        .unwrap(),
    );
    let minutes = TimeDelta::minutes;
    let schedule = Schedule::of(default, minutes(30), minutes(60)).unwrap();
    let stored = StoredPlan::new(Some(&schedule), plan.clone());
    let value = serde_json::to_value(&stored).unwrap();
    assert_eq!(
        value,
        json!({
            "overrides": [
                { "date": "2026-12-24", "windows": [{ "start": "09:00", "end": "12:00" }] }
            ],
            "stays": [{ "first": "2027-01-01", "last": "2027-01-02", "zone": "UTC" }],
            "named": { "night": {
                "zone": "Asia/Tokyo", "weekly": [],
                "overrides": [{ "date": "2026-11-24", "windows": [] }]
            } },
            "time_off": [{
                "id": "00000000-0000-0000-0000-000000000007",
                "start": "2026-11-23T09:00:00Z", "end": "2026-11-23T10:00:00Z", "reason": "rest"
            }],
            "accepts_intervals": false,
        })
    );
    let back: StoredPlan = serde_json::from_value(value).unwrap();
    let (read, overrides, stays) = back.into_parts();
    assert_eq!(read, plan);
    assert_eq!(&overrides, schedule.hours().overrides());
    assert_eq!(&stays, schedule.hours().stays());
}

#[test]
fn stored_plans_are_validated() {
    let error = |value| serde_json::from_value::<StoredPlan>(value).unwrap_err().to_string();
    let day = json!({ "date": "2026-12-24", "windows": [] });
    assert!(error(json!({ "overrides": [day, day] })).contains("the date of override 0"));
    let stay = json!({ "first": "2027-01-02", "last": "2027-01-01", "zone": "UTC" });
    assert!(error(json!({ "stays": [stay] })).contains("must not end before it starts"));
    let off = json!({ "id": Uuid::nil(), "start": "2026-11-23T09:00:00Z", "end": "2026-11-23T09:00:00Z" });
    assert!(error(json!({ "time_off": [off] })).contains("must end after it starts"));
}

#[test]
fn an_answer_from_before_there_were_plans_still_reads() {
    let old = json!({
        "id": Uuid::from_u128(9), "display_name": "Ada", "enabled": true,
        "time_zone": "Europe/Berlin", "hours": [], "slot_minutes": 30, "longest_minutes": 480,
        "version": 3, "schedule_version": 2, "schedule_updated_at": "2026-11-22T12:00:00Z",
    });
    let provider: Provider = serde_json::from_value(old).unwrap();
    assert_eq!(*provider.plan, Plan::default());
    assert_eq!(provider.last_assigned_at, None);
    assert!(provider.accepts_intervals());
    let again: Provider = serde_json::from_value(serde_json::to_value(&provider).unwrap()).unwrap();
    assert_eq!(again, provider);
}

#[test]
fn a_provider_with_a_plan_reads_back() {
    let mut plan = Plan::default();
    plan.named.insert("a".to_owned(), Hours::weekly_only(zone("UTC"), WeeklyHours::office_hours()));
    plan.time_off.push(time_off(1, "2026-11-23T09:00Z", "2026-11-23T10:00Z"));
    let old = json!({
        "id": Uuid::from_u128(9), "display_name": "Ada", "enabled": true,
        "time_zone": "Europe/Berlin", "hours": [], "slot_minutes": 30, "longest_minutes": 480,
        "version": 3, "schedule_version": 2, "schedule_updated_at": "2026-11-22T12:00:00Z",
        "plan": StoredPlan::new(None, plan.clone()), "last_assigned_at": "2026-11-22T12:00:00Z",
    });
    let provider: Provider = serde_json::from_value(old).unwrap();
    assert_eq!(*provider.plan, plan);
    assert_eq!(provider.hours(Some("a")), plan.named.get("a"));
    assert_eq!(provider.hours(Some("b")), None);
    assert_eq!(provider.hours(None), Some(provider.schedule.hours()));
    assert_eq!(provider.time_off(), plan.time_off);
    let again: Provider = serde_json::from_value(serde_json::to_value(&provider).unwrap()).unwrap();
    assert_eq!(again, provider);
}

#[test]
fn time_off_is_sorted_and_forgotten_after_400_days() {
    let now = at("2026-11-22T12:00Z");
    let mut plan = Plan::default();
    plan.add_time_off(time_off(2, "2026-12-01T00:00Z", "2026-12-02T00:00Z"), now).unwrap();
    plan.add_time_off(time_off(3, "2026-11-30T00:00Z", "2026-12-24T00:00Z"), now).unwrap();
    plan.add_time_off(time_off(1, "2026-12-01T00:00Z", "2026-12-05T00:00Z"), now).unwrap();
    let order = |plan: &Plan| plan.time_off.iter().map(|o| o.id.0.as_u128()).collect::<Vec<_>>();
    assert_eq!(order(&plan), [3, 1, 2]);
    let later = at("2026-12-05T00:00Z") + TimeDelta::days(400);
    let new = time_off(4, "2028-02-01T00:00Z", "2028-02-02T00:00Z");
    plan.clone().add_time_off(new.clone(), later - TimeDelta::seconds(1)).unwrap();
    plan.add_time_off(new, later).unwrap();
    assert_eq!(order(&plan), [3, 4], "what ended 400 days ago is gone");
    assert_eq!(plan.remove_time_off(TimeOffId(Uuid::from_u128(9))), None);
    assert!(plan.remove_time_off(TimeOffId(Uuid::from_u128(3))).is_some());
    assert_eq!(order(&plan), [4]);
}

#[test]
fn time_off_has_a_limit() {
    let now = at("2026-11-22T12:00Z");
    let mut plan = Plan::default();
    for number in 0..500 {
        plan.add_time_off(time_off(number, "2026-12-01T00:00Z", "2026-12-02T00:00Z"), now).unwrap();
    }
    let one_more = time_off(500, "2028-02-01T00:00Z", "2028-02-02T00:00Z");
    assert_eq!(plan.add_time_off(one_more.clone(), now), Err(Full));
    assert_eq!(plan.time_off.len(), 500);
    // What is over counts for nothing, from its end on, and is kept for a while.
    let end = at("2026-12-02T00:00Z");
    let before = end - TimeDelta::microseconds(1);
    assert_eq!(plan.add_time_off(one_more.clone(), before), Err(Full));
    let mut later = plan.clone();
    later.add_time_off(one_more.clone(), end).unwrap();
    assert_eq!(later.time_off.len(), 501);
    plan.add_time_off(one_more, at("2028-01-20T00:00Z")).unwrap();
    assert_eq!(plan.time_off.len(), 1, "what ended long ago is forgotten");
}

#[test]
fn of_time_off_that_is_over_the_latest_is_kept() {
    let mut plan = Plan::default();
    let mut now = at("2026-11-22T12:00Z");
    for number in 0..600 {
        let interval = Interval::new(now, now + TimeDelta::hours(1)).unwrap();
        let id = TimeOffId(Uuid::from_u128(number));
        plan.add_time_off(TimeOff { id, interval, reason: String::new() }, now).unwrap();
        now += TimeDelta::hours(1);
    }
    assert_eq!(plan.time_off.len(), 501);
    assert_eq!(plan.time_off[0].id.0.as_u128(), 99);
    assert!(plan.forget_half(now));
    assert_eq!(plan.time_off[0].id.0.as_u128(), 99 + 251);
    while plan.forget_half(now) {}
    assert_eq!(plan.time_off, []);
}

#[test]
fn overrides_are_sorted_and_every_violation_is_told() {
    use OverrideViolation::{Empty, Overlap, TooMany, TooManyWindows, Twice};
    let good = DateOverrides::new(vec![
        own("2026-12-25", &[]),
        own("2026-12-24", &[("13:00", "14:00"), ("09:00", "13:00")]),
    ])
    .unwrap();
    assert_eq!(good.as_slice()[0], own("2026-12-24", &[("09:00", "13:00"), ("13:00", "14:00")]));
    assert_eq!(good.on(date("2026-12-25")), Some(&[][..]));
    assert_eq!(good.on(date("2026-12-26")), None);
    let minute = |n: u16| TimeOfDay::new(n).unwrap();
    let touching = |count: u16| DateOverride {
        date: date("2026-12-30"),
        windows: (0..count).map(|n| TimeWindow { start: minute(n), end: minute(n + 1) }).collect(),
    };
    let bad = DateOverrides::new(vec![
        own("2026-12-25", &[("12:00", "12:00"), ("09:00", "11:00"), ("10:00", "12:00")]),
        own("2026-12-24", &[]),
        own("2026-12-25", &[("13:00", "12:00")]),
        touching(25),
        own("2026-12-25", &[]),
    ]);
    assert_eq!(
        bad.unwrap_err(),
        [
            Empty { index: 0, window: 0 },
            Overlap { index: 0, window: 2, with: 1 },
            Twice { index: 2, with: 0 },
            Empty { index: 2, window: 0 },
            TooManyWindows { index: 3 },
            Twice { index: 4, with: 0 },
        ]
    );
    assert!(DateOverrides::new(vec![touching(24)]).is_ok());
    let days = |count| date("2026-01-01").iter_days().take(count);
    let many = |count| days(count).map(|date| DateOverride { date, windows: vec![] }).collect();
    assert!(DateOverrides::new(many(1000)).is_ok());
    assert_eq!(DateOverrides::new(many(1001)).unwrap_err(), [TooMany { count: 1001 }]);
}

#[test]
fn stays_are_sorted_and_every_violation_is_told() {
    use StayViolation::{Overlap, Reversed, TooMany};
    let stay = |first, last| Stay { first: date(first), last: date(last), zone: zone("UTC") };
    let good = Stays::new(vec![
        stay("2026-12-05", "2026-12-05"),
        stay("2026-12-01", "2026-12-04"),
        stay("2026-12-10", "2026-12-11"),
    ])
    .unwrap();
    assert_eq!(good.as_slice()[0], stay("2026-12-01", "2026-12-04"));
    for (day, expected) in [
        ("2026-11-30", None),
        ("2026-12-01", Some(0)),
        ("2026-12-04", Some(0)),
        ("2026-12-05", Some(1)),
        ("2026-12-06", None),
        ("2026-12-11", Some(2)),
        ("2026-12-12", None),
    ] {
        let found = good.on(date(day));
        assert_eq!(found, expected.map(|n: usize| &good.as_slice()[n]), "{day}");
    }
    let bad = Stays::new(vec![
        stay("2026-12-04", "2026-12-06"),
        stay("2026-12-01", "2026-12-04"),
        stay("2026-12-08", "2026-12-07"),
        stay("2026-12-02", "2026-12-03"),
    ]);
    assert_eq!(
        bad.unwrap_err(),
        [Overlap { index: 0, with: 1 }, Reversed { index: 2 }, Overlap { index: 3, with: 1 },]
    );
    let many = |count| date("2026-01-01").iter_days().take(count);
    let many = |count| many(count).map(|d| Stay { first: d, last: d, zone: zone("UTC") }).collect();
    assert!(Stays::new(many(100)).is_ok());
    assert_eq!(Stays::new(many(101)).unwrap_err(), [TooMany { count: 101 }]);
}
