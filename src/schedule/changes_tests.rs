//! Tests of changes: what stays, and what a date that is over may be.

use super::*;
use crate::{
    kernel::time::tests::at,
    schedule::{
        TimeOfDay,
        expand::tests::{date, named as zone},
    },
};

/// In Auckland it is the 23rd already, in Berlin the 22nd.
const NOW: &str = "2026-11-22T12:00Z";

fn own(day: &str, end: u16) -> DateOverride {
    let time = |minutes| TimeOfDay::new(minutes).unwrap();
    let windows = [(0, 10), (20, end)];
    let windows = windows.map(|(start, end)| TimeWindow { start: time(start), end: time(end) });
    DateOverride { date: date(day), windows: windows.to_vec() }
}

fn schedule(overrides: Vec<DateOverride>) -> Schedule {
    let hours = Hours::new(
        zone("Europe/Berlin"),
        WeeklyHours::office_hours(),
        DateOverrides::new(overrides).unwrap(),
        Stays::default(),
    );
    Schedule::of(hours, TimeDelta::minutes(30), TimeDelta::minutes(60)).unwrap()
}

fn fields(result: Result<Schedule, Fault>) -> Vec<String> {
    let fault = result.err();
    fault.map(|f| f.fields().iter().map(|v| v.field.clone()).collect()).unwrap_or_default()
}

#[test]
fn a_date_that_is_over_can_be_kept_and_left_out_but_not_added_or_changed() {
    let stored = schedule(vec![own("2026-11-20", 60), own("2026-11-21", 60)]);
    let change = |overrides: Vec<DateOverride>| {
        let changes = Changes { overrides: Some(overrides), ..Changes::default() };
        changes.apply(&stored, (at(NOW), &ZoneData::bundled()))
    };
    assert_eq!(change(vec![]).unwrap().hours().overrides().as_slice(), []);
    let mut turned = own("2026-11-21", 60);
    turned.windows.reverse();
    change(vec![own("2026-12-24", 60), turned]).unwrap();
    change(vec![own("2026-11-22", 60)]).unwrap();
    let bad = vec![
        own("2026-12-24", 60),
        own("2026-11-21", 61),
        own("2026-11-19", 60),
        own("2026-11-20", 60),
    ];
    assert_eq!(
        fields(change(bad)),
        ["schedule.date_overrides[1].date", "schedule.date_overrides[2].date"]
    );
}

#[test]
fn over_is_before_today_in_the_new_zone() {
    let changes = |zone_name: Option<&str>| Changes {
        zone: zone_name.map(zone),
        overrides: Some(vec![own("2026-11-22", 60)]),
        ..Changes::default()
    };
    let stored = schedule(vec![]);
    assert_eq!(
        fields(changes(None).apply(&stored, (at(NOW), &ZoneData::bundled()))),
        Vec::<String>::new()
    );
    assert_eq!(
        fields(changes(Some("Pacific/Auckland")).apply(&stored, (at(NOW), &ZoneData::bundled()))),
        ["schedule.date_overrides[0].date"]
    );
}

#[test]
fn what_is_absent_stays() {
    let stored = schedule(vec![own("2026-12-24", 60)]);
    assert_eq!(Changes::default().apply(&stored, (at(NOW), &ZoneData::bundled())).unwrap(), stored);
    let named = Changes::default()
        .apply_named(Some(stored.hours()), (at(NOW), &ZoneData::bundled()))
        .unwrap();
    assert_eq!(&named, stored.hours());
    let stays =
        vec![Stay { first: date("2020-01-01"), last: date("2020-01-02"), zone: zone("UTC") }];
    let changes = Changes { stays: Some(stays.clone()), ..Changes::default() };
    let changed = changes.apply(&stored, (at(NOW), &ZoneData::bundled())).unwrap();
    assert_eq!(changed.hours().stays().as_slice(), stays);
    assert_eq!(changed.hours().overrides(), stored.hours().overrides());
    assert!(
        Changes::default().apply_named(None, (at(NOW), &ZoneData::bundled())).is_err(),
        "new hours need a zone"
    );
}

#[test]
fn rules_of_two_fields_are_told_with_the_others() {
    let stored = schedule(vec![]);
    let changes = Changes {
        slot: Some(TimeDelta::minutes(90)),
        overrides: Some(vec![own("2026-11-01", 60)]),
        ..Changes::default()
    };
    assert_eq!(
        fields(changes.apply(&stored, (at(NOW), &ZoneData::bundled()))),
        ["schedule.date_overrides[0].date", "schedule.slot_duration"]
    );
}
