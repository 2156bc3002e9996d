//! Tests of the rules of booking.

use chrono::{TimeDelta, Weekday};
use proptest::prelude::*;
use uuid::Uuid;

use super::*;
use crate::{
    kernel::{
        id::{AppointmentId, ProviderId, UserId},
        stamp::Stamp,
        zone::{Zone, ZoneData},
    },
    schedule::{
        Schedule, WeeklyHours,
        days::Days,
        expand::tests::{rules, zone},
    },
};

fn at(text: &str) -> Instant {
    text.parse().unwrap()
}

fn reasons(start: &str, end: &str, now: &str) -> Vec<&'static str> {
    let schedule = Schedule::new(
        zone("Europe/Berlin").zone(),
        WeeklyHours::office_hours(),
        TimeDelta::minutes(30),
        TimeDelta::hours(2),
    )
    .unwrap();
    let interval = Interval::new(at(start), at(end)).unwrap();
    let sensible = interval.duration() <= TimeDelta::days(1);
    let windows = sensible.then(|| schedule.windows(&ZoneData::bundled(), interval).unwrap());
    let windows = windows.unwrap_or_default();
    let time = ProviderTime {
        days: Days::in_zone(rules(schedule.zone()), Weekday::Mon),
        windows,
        ..ProviderTime::default()
    };
    let bounds = (&Intervals::default(), schedule.longest());
    match may_book_interval(&time, bounds, interval, None, (at(now), RuleSet::Whole)) {
        Ok(()) => Vec::new(),
        Err(fault) => std::iter::once(fault.reason().name())
            .chain(fault.others().iter().map(|(reason, _)| reason.name()))
            .collect(),
    }
}

#[test]
fn every_reason_is_named() {
    const NOW: &str = "2026-11-20T12:00:00Z";
    // Monday 09:00 in Berlin is 08:00 UTC in November.
    assert!(reasons("2026-11-23T08:00:00Z", "2026-11-23T10:00:00Z", NOW).is_empty());
    assert!(reasons("2026-11-23T15:30:00Z", "2026-11-23T16:00:00Z", NOW).is_empty());
    assert_eq!(reasons("2026-11-23T07:59:59Z", "2026-11-23T08:30:00Z", NOW), ["OUTSIDE_HOURS"]);
    assert_eq!(reasons("2026-11-23T08:00:00Z", "2026-11-23T10:00:01Z", NOW), ["TOO_LONG"]);
    assert_eq!(
        reasons("2026-11-16T02:00:00Z", "2026-11-16T18:00:00Z", NOW),
        ["IN_THE_PAST", "TOO_LONG", "OUTSIDE_HOURS"]
    );
    let start = "2026-11-23T08:00:00Z";
    assert_eq!(reasons(start, "2026-11-23T08:30:00Z", start), ["IN_THE_PAST"]);
    assert_eq!(
        reasons(start, "2199-11-23T08:30:00Z", NOW),
        ["TOO_LONG", "OUTSIDE_HOURS"],
        "and it does not take long"
    );
}

fn appointment(state: State) -> Appointment {
    let start = at("2026-11-23T08:00:00Z");
    Appointment {
        provider: ProviderId(Uuid::nil()),
        id: AppointmentId(Uuid::nil()),
        customer: UserId(Uuid::nil()),
        provider_display_name: String::new(),
        customer_display_name: String::new(),
        start,
        end: start + TimeDelta::minutes(30),
        state,
        note: String::new(),
        time_zone: Zone::UTC,
        local_start: String::new(),
        cancel_reason: String::new(),
        version: 1,
        stamp: Stamp::default(),
        created_at: start,
        updated_at: start,
        type_id: None,
        expires_at: matches!(state, State::Held | State::Pending).then_some(start),
        terms: crate::booking::AgreedTerms::default(),
    }
}

const CHANGES: [StateChange; 5] = [
    StateChange::Cancel,
    StateChange::Complete,
    StateChange::NoShow,
    StateChange::Approve,
    StateChange::Decline,
];

proptest! {
    /// The arrows of the life cycle, and no others.
    #[test]
    fn states_change_only_along_the_arrows(
        state in prop::sample::select(State::ALL.to_vec()),
        changes in prop::collection::vec(prop::sample::select(CHANGES.to_vec()), 1..6),
        now in -100_i64..100,
    ) {
        let mut appointment = appointment(state);
        let now = appointment.start + TimeDelta::seconds(now);
        for change in changes {
            let before = appointment.state;
            let arrow = match (before, change) {
                (State::Pending | State::Booked, StateChange::Cancel) => Some(State::Cancelled),
                (State::Pending, StateChange::Approve) => Some(State::Booked),
                (State::Pending, StateChange::Decline) => Some(State::Declined),
                (State::Booked, StateChange::Complete) => Some(State::Completed),
                (State::Booked, StateChange::NoShow) => Some(State::NoShow),
                _ => None,
            };
            let outcome = matches!(change, StateChange::Complete | StateChange::NoShow);
            match next(&appointment, change, now) {
                Ok(after) => {
                    prop_assert_eq!(Some(after), arrow);
                    prop_assert!(!outcome || now >= appointment.start);
                    appointment.state = after;
                }
                Err(fault) if fault.reason() == Reason::NotStarted => {
                    prop_assert!(outcome && now < appointment.start && arrow.is_some());
                }
                Err(fault) => {
                    prop_assert_eq!(fault.reason(), Reason::WrongState);
                    prop_assert_eq!(arrow, None);
                }
            }
        }
    }
}

#[test]
fn cut_offs_end_at_their_minute() {
    let appointment = appointment(State::Booked);
    let day = 24 * 60;
    assert!(in_time(&appointment, day, at("2026-11-22T08:00:00Z")).is_ok());
    let late = in_time(&appointment, day, at("2026-11-22T08:00:01Z")).unwrap_err();
    assert_eq!(late.reason(), Reason::TooLate);
    // Without a cut-off it is the start that ends it.
    assert!(in_time(&appointment, 0, at("2026-11-23T07:59:59Z")).is_ok());
    let begun = in_time(&appointment, 0, at("2026-11-23T08:00:00Z")).unwrap_err();
    assert_eq!(begun.reason(), Reason::TooLate);
}

#[test]
fn an_unanswered_request_is_declined_from_its_expiry_on() {
    let pending = appointment(State::Pending);
    let expiry = pending.expires_at.unwrap();
    let before = pending.clone().as_of(expiry - TimeDelta::nanoseconds(1));
    assert_eq!(before, pending);
    let after = pending.as_of(expiry);
    assert_eq!((after.state, after.expires_at), (State::Declined, None));
    assert_eq!(after.cancel_reason, crate::booking::EXPIRED);
}
