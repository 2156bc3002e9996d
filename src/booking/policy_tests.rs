//! Tests of the rules of booking.

use chrono::TimeDelta;
use proptest::prelude::*;
use uuid::Uuid;

use super::*;
use crate::{
    kernel::id::{AppointmentId, ProviderId, UserId},
    schedule::WeeklyHours,
};

fn at(text: &str) -> Instant {
    text.parse().unwrap()
}

fn reasons(start: &str, end: &str, now: &str) -> Vec<&'static str> {
    let schedule = Schedule::new(
        chrono_tz::Europe::Berlin,
        WeeklyHours::office_hours(),
        TimeDelta::minutes(30),
        TimeDelta::hours(2),
    )
    .unwrap();
    let interval = Interval::new(at(start), at(end)).unwrap();
    match may_book(&schedule, interval, at(now)) {
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

proptest! {
    #[test]
    fn only_booked_changes_and_only_once(
        state in prop::sample::select(State::ALL.to_vec()),
        changes in prop::collection::vec(prop::bool::ANY, 1..6),
        now in -100_i64..100,
    ) {
        let start = at("2026-11-23T08:00:00Z");
        let mut appointment = Appointment {
            provider: ProviderId(Uuid::nil()),
            id: AppointmentId(Uuid::nil()),
            customer: UserId(Uuid::nil()),
            customer_display_name: String::new(),
            start,
            end: start + TimeDelta::minutes(30),
            state,
            note: String::new(),
            time_zone: chrono_tz::UTC,
            local_start: String::new(),
            cancel_reason: String::new(),
            version: 1,
            created_at: start,
            updated_at: start,
        };
        let now = start + TimeDelta::seconds(now);
        for complete in changes {
            let change = if complete { Change::Complete } else { Change::Cancel };
            let before = appointment.state;
            match next(&appointment, change, now) {
                Ok(after) => {
                    prop_assert_eq!(before, State::Booked);
                    prop_assert_ne!(after, State::Booked);
                    prop_assert!(after == State::Cancelled || now >= start);
                    appointment.state = after;
                }
                Err(fault) => prop_assert!(
                    before != State::Booked
                        || (fault.reason() == Reason::NotStarted && now < start)
                ),
            }
        }
    }
}
