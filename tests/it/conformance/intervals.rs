//! Bookings without an appointment type: how short, on which grid and how far ahead.

use daybook::grpc::proto::booking::{
    Appointment, BookAppointmentRequest, GetAvailabilityRequest, RescheduleAppointmentRequest,
};
use prost_types::Timestamp;
use tonic::Status;

use super::behaviours;
use crate::support::{
    World, berlin, books,
    people::{Person, booking, date},
    refusal::{invalid, reason_of, reasons_of, refused},
    types::minutes,
};

behaviours!(
    bare_intervals_have_a_least_length_a_grid_and_a_horizon,
    without_settings_a_bare_interval_is_a_minute_long_and_within_ten_years,
    what_was_agreed_is_moved_with_its_length,
    what_is_offered_without_a_type_is_accepted,
);

const STRICT: [(&str, &str); 3] = [
    ("schedule.interval_least_minutes", "10"),
    ("schedule.interval_grid_minutes", "20"),
    ("schedule.interval_horizon_days", "30"),
];

async fn try_to(
    world: &World,
    (customer, provider): (&Person, &Person),
    from: &str,
    until: &str,
) -> Result<Appointment, Status> {
    world.book(customer, provider, berlin(from), berlin(until)).await
}

async fn bare_intervals_have_a_least_length_a_grid_and_a_horizon(world: World) {
    let strict = world.beside_with(&STRICT).await;
    let (provider, customer) = (world.provider().await, world.customer().await);
    let both = (&customer, &provider);
    let before = world.state().await;
    for (from, until, reason) in [
        ("2026-11-23 09:00", "2026-11-23 09:09:59", "TOO_SHORT"),
        ("2026-11-23 09:00", "2026-11-23 09:00:01", "TOO_SHORT"),
        ("2026-11-23 09:10", "2026-11-23 09:30", "OFF_GRID"),
        ("2026-11-23 09:00:01", "2026-11-23 09:30", "OFF_GRID"),
        // 30 days after Sunday 22 November is Tuesday 22 December.
        ("2026-12-23 09:00", "2026-12-23 09:30", "BEYOND_HORIZON"),
        ("2199-11-25 09:00", "2199-11-25 09:30", "BEYOND_HORIZON"),
    ] {
        let status = refused(try_to(&strict, both, from, until).await, reason);
        assert_eq!(reasons_of(&status), [reason], "{from}");
        let held = hold(&strict, both, from, until).await;
        assert_eq!(reason_of(&held.unwrap_err()), reason, "{from}");
    }
    assert_eq!(world.state().await, before);
    for (from, until) in [
        ("2026-11-23 09:00", "2026-11-23 09:10"),
        ("2026-11-23 09:20", "2026-11-23 09:30:01"),
        ("2026-12-22 16:40", "2026-12-22 17:00"),
    ] {
        try_to(&strict, both, from, until).await.unwrap();
    }
    // Staff may against all three.
    let request = BookAppointmentRequest {
        customer: customer.user.name.clone(),
        override_reason: "a quick look".to_owned(),
        ..booking(&provider, berlin("2027-11-23 10:11"), berlin("2027-11-23 10:12"))
    };
    strict.send(&provider, request).await.unwrap();
    books::check(&world.sql().await).await;
}

async fn hold(
    world: &World,
    (customer, provider): (&Person, &Person),
    from: &str,
    until: &str,
) -> Result<(), Status> {
    let request = daybook::grpc::proto::booking::HoldSlotRequest {
        provider: provider.provider(),
        start_time: Some(berlin(from)),
        end_time: Some(berlin(until)),
        ..Default::default()
    };
    world.hold(customer, request).await.map(|_| ())
}

async fn without_settings_a_bare_interval_is_a_minute_long_and_within_ten_years(world: World) {
    let (provider, customer) = (world.provider().await, world.customer().await);
    let both = (&customer, &provider);
    // Twice, since a schedule that was met before goes a way of its own on one engine.
    for second in (0..30).chain(0..30) {
        let (from, until) = (
            format!("2026-11-23 09:00:{second:02}"),
            format!("2026-11-23 09:00:{:02}", second + 1),
        );
        refused(try_to(&world, both, &from, &until).await, "TOO_SHORT");
    }
    refused(try_to(&world, both, "2026-11-23 09:00", "2026-11-23 09:00:59").await, "TOO_SHORT");
    refused(try_to(&world, both, "2026-11-23 09:00:30", "2026-11-23 09:30").await, "OFF_GRID");
    refused(try_to(&world, both, "2199-11-25 09:00", "2199-11-25 09:30").await, "BEYOND_HORIZON");
    // 3650 days after Sunday 22 November 2026 is Wednesday 19 November 2036.
    refused(try_to(&world, both, "2036-11-20 09:00", "2036-11-20 09:30").await, "BEYOND_HORIZON");
    try_to(&world, both, "2036-11-19 16:30", "2036-11-19 17:00").await.unwrap();
    try_to(&world, both, "2026-11-23 09:00", "2026-11-23 09:01").await.unwrap();
    books::check(&world.sql().await).await;
}

async fn what_was_agreed_is_moved_with_its_length(world: World) {
    let strict = world.beside_with(&STRICT).await;
    let (provider, customer) = (world.provider().await, world.customer().await);
    let both = (&customer, &provider);
    let old = try_to(&world, both, "2026-11-23 09:07", "2026-11-23 09:12").await.unwrap();
    let to = async |start: &str, end: Option<Timestamp>| {
        let request = RescheduleAppointmentRequest {
            name: old.name.clone(),
            start_time: Some(berlin(start)),
            end_time: end,
            ..Default::default()
        };
        let answer = strict.booking().reschedule_appointment(customer.asks(request)).await?;
        Ok(answer.into_inner().appointment.unwrap())
    };
    refused(to("2026-11-23 10:07", None).await, "OFF_GRID");
    refused(to("2026-12-23 10:00", None).await, "BEYOND_HORIZON");
    let shorter = Some(berlin("2026-11-23 10:04"));
    refused(to("2026-11-23 10:00", shorter).await, "TOO_SHORT");
    let moved: Appointment = to("2026-11-23 10:00", None).await.unwrap();
    assert_eq!(moved.end_time, Some(berlin("2026-11-23 10:05")));
    // What stays where it is may become longer, whatever the grid is.
    let longer = Some(berlin("2026-11-23 10:20"));
    to("2026-11-23 10:00", longer).await.unwrap();
}

async fn what_is_offered_without_a_type_is_accepted(world: World) {
    let strict = world.beside_with(&STRICT).await;
    let (provider, customer) = (world.provider().await, world.customer().await);
    let ask = async |length: Option<i64>, days: ((i32, i32, i32), (i32, i32, i32))| {
        let request = GetAvailabilityRequest {
            provider: provider.provider(),
            start_date: Some(date(days.0)),
            end_date: Some(date(days.1)),
            duration: length.and_then(minutes),
            ..Default::default()
        };
        strict.booking().get_availability(customer.asks(request)).await
    };
    let monday = ((2026, 11, 23), (2026, 11, 23));
    invalid(ask(Some(9), monday).await, &["duration"]);
    // The provider's slots are 30 minutes apart: every second of them is on the grid of 20.
    let slots = ask(None, monday).await.unwrap().into_inner().slots;
    assert_eq!(slots.len(), 8);
    for slot in slots {
        let (start, end) = (slot.start_time.unwrap(), slot.end_time.unwrap());
        strict.book(&customer, &provider, start, end).await.unwrap();
    }
    // Nothing beyond the horizon is on offer.
    let edge = ask(Some(10), ((2026, 12, 22), (2026, 12, 25))).await.unwrap().into_inner().slots;
    assert_eq!(edge.len(), 8);
    assert!(
        edge.iter()
            .all(|slot| slot.start_time.unwrap().seconds < berlin("2026-12-23 00:00").seconds)
    );
}
