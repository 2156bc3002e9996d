//! Booking, cancelling, completing, and what is free meanwhile.

use daybook::grpc::proto::booking::{
    CancelAppointmentRequest, CompleteAppointmentRequest, GetAppointmentRequest,
    GetAvailabilityRequest, appointment::State,
};
use prost_types::{Duration, Timestamp};
use tonic::Code;
use tonic_types::StatusExt;

use super::behaviours;
use crate::support::{
    World, at, berlin,
    people::{booking, date},
    refusal::{invalid, reason_of, refused},
};

behaviours!(
    a_booking_takes_the_time_and_cancelling_returns_it,
    overlaps_are_refused_and_touching_is_fine,
    the_rules_of_the_schedule_are_kept,
    nobody_books_themselves_or_two_things_at_once,
    only_booked_appointments_change,
    completion_waits_for_the_start,
    parties_see_an_appointment_and_others_do_not,
    availability_keeps_zones_spans_and_durations,
    bad_bookings_are_told_by_field,
    bad_questions_for_availability_are_told_by_field,
    every_change_has_one_event_without_gaps,
    slot_taken_does_not_say_by_whom,
);

const MONDAY: (i32, i32, i32) = (2026, 11, 23);

async fn a_booking_takes_the_time_and_cancelling_returns_it(world: World) {
    let (provider, customer) = (world.provider().await, world.customer().await);
    let before = world.availability(&customer, &provider, MONDAY).await;
    assert_eq!(before.slots.len(), 16);
    assert_eq!(before.free_intervals.len(), 1);
    assert_eq!(before.time_zone, "Europe/Berlin");

    let (start, end) = (berlin("2026-11-23 10:00"), berlin("2026-11-23 10:30"));
    let booked = world.book(&customer, &provider, start, end).await.unwrap();
    assert_eq!(booked.state(), State::Booked);
    assert_eq!(booked.start_time, Some(start));
    assert_eq!(booked.end_time, Some(end));
    assert_eq!(booked.customer, customer.user.name);
    assert_eq!(booked.customer_display_name, customer.user.display_name);
    assert_eq!(booked.provider, provider.provider());
    assert_eq!(booked.local_start_time, "2026-11-23T10:00:00");
    assert_eq!(booked.time_zone, "Europe/Berlin");

    let during = world.availability(&customer, &provider, MONDAY).await;
    assert_eq!(during.slots.len(), 15);
    assert!(during.slots.iter().all(|slot| slot.start_time != Some(start)));
    assert_eq!(during.free_intervals.len(), 2);

    let request = CancelAppointmentRequest {
        name: booked.name.clone(),
        reason: "a cold".to_owned(),
        ..CancelAppointmentRequest::default()
    };
    let answer = world.booking().cancel_appointment(customer.asks(request)).await.unwrap();
    let cancelled = answer.into_inner().appointment.unwrap();
    assert_eq!(cancelled.state(), State::Cancelled);
    assert_eq!(cancelled.cancel_reason, "a cold");
    assert_ne!(cancelled.etag, booked.etag);

    assert_eq!(world.availability(&customer, &provider, MONDAY).await, before);
    world.book(&customer, &provider, start, end).await.unwrap();
}

async fn overlaps_are_refused_and_touching_is_fine(world: World) {
    let provider = world.provider().await;
    let mut customers = Vec::new();
    for _ in 0..6 {
        customers.push(world.customer().await);
    }
    let book = async |who: usize, from: &str, until: &str| {
        let (start, end) = (format!("2026-11-23 {from}"), format!("2026-11-23 {until}"));
        world.book(&customers[who], &provider, berlin(&start), berlin(&end)).await
    };
    book(0, "10:00", "11:00").await.unwrap();
    for (from, until) in [
        ("10:00", "11:00"),
        ("09:30", "10:01"),
        ("10:59", "11:30"),
        ("10:15", "10:45"),
        ("09:00", "12:00"),
    ] {
        refused(book(1, from, until).await, "SLOT_TAKEN");
    }
    book(2, "11:00", "11:30").await.unwrap();
    book(3, "09:30", "10:00").await.unwrap();
    // A booking off the grid does not shift the grid.
    book(4, "13:10", "13:20").await.unwrap();
    let free = world.availability(&customers[5], &provider, MONDAY).await;
    assert!(free.slots.iter().all(|s| s.start_time.unwrap().seconds % 1800 == 0));
    assert_eq!(free.slots.len(), 16 - 5);
}

async fn the_rules_of_the_schedule_are_kept(world: World) {
    let (provider, customer) = (world.provider().await, world.customer().await);
    let try_to = async |from: &str, until: &str| {
        world.book(&customer, &provider, berlin(from), berlin(until)).await
    };
    refused(try_to("2026-11-23 08:30", "2026-11-23 09:30").await, "OUTSIDE_HOURS");
    refused(try_to("2026-11-23 16:30", "2026-11-23 17:01").await, "OUTSIDE_HOURS");
    refused(try_to("2026-11-28 10:00", "2026-11-28 10:30").await, "OUTSIDE_HOURS");
    refused(try_to("2026-11-20 10:00", "2026-11-20 10:30").await, "IN_THE_PAST");
    // 8 hours fit; that it is too long as well as outside is told at once.
    let status = refused(try_to("2026-11-23 09:00", "2026-11-23 17:30").await, "TOO_LONG");
    let details = status.get_error_details();
    let all = &details.precondition_failure().unwrap().violations;
    let reasons: Vec<&str> = all.iter().map(|v| v.r#type.as_str()).collect();
    assert_eq!(reasons, ["TOO_LONG", "OUTSIDE_HOURS"]);
    world.move_to("2026-11-23 10:00", "Europe/Berlin");
    refused(try_to("2026-11-23 10:00", "2026-11-23 10:30").await, "IN_THE_PAST");
    try_to("2026-11-23 10:01", "2026-11-23 10:30").await.unwrap();
    let unknown = "providers/01980000-0000-7000-8000-000000000000".to_owned();
    let mut request = booking(&provider, berlin("2026-11-23 11:00"), berlin("2026-11-23 11:30"));
    request.provider = unknown.clone();
    let status =
        refused(world.booking().book_appointment(customer.asks(request)).await, "NOT_FOUND");
    assert_eq!(status.get_error_details().resource_info().unwrap().resource_name, unknown);
    // A customer is nobody's provider.
    let mut request = booking(&provider, berlin("2026-11-23 11:00"), berlin("2026-11-23 11:30"));
    request.provider = world.customer().await.provider();
    refused(world.booking().book_appointment(customer.asks(request)).await, "NOT_FOUND");
}

async fn nobody_books_themselves_or_two_things_at_once(world: World) {
    let (one, two, customer) =
        (world.provider().await, world.provider().await, world.customer().await);
    let (start, end) = (berlin("2026-11-23 10:00"), berlin("2026-11-23 11:00"));
    refused(world.book(&one, &one, start, end).await, "OWN_TIME");
    world.book(&customer, &one, start, end).await.unwrap();
    let inside = (berlin("2026-11-23 10:30"), berlin("2026-11-23 10:45"));
    let status = refused(world.book(&customer, &two, inside.0, inside.1).await, "CUSTOMER_BUSY");
    assert_eq!(status.code(), Code::FailedPrecondition);
    world.book(&customer, &two, end, berlin("2026-11-23 11:30")).await.unwrap();
    // Providers are customers of others, when they treat nobody.
    refused(world.book(&one, &two, start, end).await, "CUSTOMER_BUSY");
    let later = (berlin("2026-11-23 11:30"), berlin("2026-11-23 12:00"));
    world.book(&one, &two, later.0, later.1).await.unwrap();
}

async fn only_booked_appointments_change(world: World) {
    let (provider, customer) = (world.provider().await, world.customer().await);
    let (start, end) = (berlin("2026-11-23 10:00"), berlin("2026-11-23 10:30"));
    let cancel = async |name: &str| {
        let request = CancelAppointmentRequest { name: name.to_owned(), ..Default::default() };
        world.booking().cancel_appointment(customer.asks(request)).await
    };
    let complete = async |name: &str| {
        let request = CompleteAppointmentRequest { name: name.to_owned(), ..Default::default() };
        world.booking().complete_appointment(provider.asks(request)).await
    };
    let first = world.book(&customer, &provider, start, end).await.unwrap().name;
    cancel(&first).await.unwrap();
    let status = refused(cancel(&first).await, "WRONG_STATE");
    let details = status.get_error_details();
    assert_eq!(details.error_info().unwrap().metadata["state"], "cancelled");
    refused(complete(&first).await, "WRONG_STATE");

    let second = world.book(&customer, &provider, start, end).await.unwrap().name;
    world.clock.set(crate::support::instant("2026-11-23 10:00", "Europe/Berlin"));
    // An hour's token is over by now; log in again.
    let (provider, customer) =
        (world.log_in(&provider.user.email).await, world.log_in(&customer.user.email).await);
    let request = CompleteAppointmentRequest { name: second.clone(), ..Default::default() };
    let done = world.booking().complete_appointment(provider.asks(request.clone())).await.unwrap();
    assert_eq!(done.into_inner().appointment.unwrap().state(), State::Completed);
    refused(world.booking().complete_appointment(provider.asks(request)).await, "WRONG_STATE");
    let request = CancelAppointmentRequest { name: second, ..Default::default() };
    refused(world.booking().cancel_appointment(customer.asks(request)).await, "WRONG_STATE");
}

async fn completion_waits_for_the_start(world: World) {
    let (provider, customer) = (world.provider().await, world.customer().await);
    world.move_to("2026-11-23 09:30", "Europe/Berlin");
    let (provider, customer) =
        (world.log_in(&provider.user.email).await, world.log_in(&customer.user.email).await);
    let (start, end) = (berlin("2026-11-23 10:00"), berlin("2026-11-23 10:30"));
    let name = world.book(&customer, &provider, start, end).await.unwrap().name;
    let request = CompleteAppointmentRequest { name, ..Default::default() };
    refused(
        world.booking().complete_appointment(provider.asks(request.clone())).await,
        "NOT_STARTED",
    );
    world.move_to("2026-11-23 09:59:59", "Europe/Berlin");
    refused(
        world.booking().complete_appointment(provider.asks(request.clone())).await,
        "NOT_STARTED",
    );
    world.move_to("2026-11-23 10:00", "Europe/Berlin");
    refused(
        world.booking().complete_appointment(customer.asks(request.clone())).await,
        "ROLE_NOT_ALLOWED",
    );
    world.booking().complete_appointment(provider.asks(request)).await.unwrap();
    // A completed appointment still claims its time.
    let other = world.customer().await;
    let taken = world.book(&other, &provider, berlin("2026-11-23 10:15"), end).await;
    refused(taken, "SLOT_TAKEN");
}

async fn parties_see_an_appointment_and_others_do_not(world: World) {
    let (provider, customer) = (world.provider().await, world.customer().await);
    let (stranger, admin) = (world.provider().await, world.admin().await);
    let (start, end) = (berlin("2026-11-23 10:00"), berlin("2026-11-23 10:30"));
    let booked = world.book(&customer, &provider, start, end).await.unwrap();
    let get = GetAppointmentRequest { name: booked.name.clone() };
    for party in [&provider, &customer, &admin] {
        let found = world.booking().get_appointment(party.asks(get.clone())).await.unwrap();
        assert_eq!(found.into_inner().appointment.unwrap(), booked);
    }
    let absent = booked.name.replace("appointments/0", "appointments/1");
    let foreign = world.booking().get_appointment(stranger.asks(get.clone())).await;
    let missing = GetAppointmentRequest { name: absent.clone() };
    let missing = world.booking().get_appointment(stranger.asks(missing)).await;
    let (foreign, missing) = (foreign.unwrap_err(), missing.unwrap_err());
    assert_eq!(reason_of(&foreign), "NOT_FOUND");
    assert_eq!((foreign.code(), foreign.message()), (missing.code(), missing.message()));
    let cancel = CancelAppointmentRequest { name: booked.name.clone(), ..Default::default() };
    refused(world.booking().cancel_appointment(stranger.asks(cancel.clone())).await, "NOT_FOUND");
    let complete = CompleteAppointmentRequest { name: booked.name, ..Default::default() };
    refused(world.booking().complete_appointment(stranger.asks(complete)).await, "NOT_FOUND");
    world.booking().cancel_appointment(admin.asks(cancel)).await.unwrap();
}

async fn availability_keeps_zones_spans_and_durations(world: World) {
    let (provider, customer) = (world.provider().await, world.customer().await);
    let ask = async |request: GetAvailabilityRequest| {
        let request = GetAvailabilityRequest { provider: provider.provider(), ..request };
        world.booking().get_availability(customer.asks(request)).await
    };
    // A week, and the two working days of it that are left from Thursday 12:00 on.
    let week = GetAvailabilityRequest {
        start_date: Some(date((2026, 11, 23))),
        end_date: Some(date((2026, 11, 29))),
        ..Default::default()
    };
    assert_eq!(ask(week.clone()).await.unwrap().into_inner().slots.len(), 5 * 16);
    world.move_to("2026-11-22 23:30", "Europe/Berlin");
    // Monday in Auckland is Sunday 12:00 to Monday 12:00 in Berlin.
    let there = GetAvailabilityRequest {
        start_date: Some(date((2026, 11, 23))),
        time_zone: "Pacific/Auckland".to_owned(),
        ..Default::default()
    };
    let customer = world.log_in(&customer.user.email).await;
    let request = GetAvailabilityRequest { provider: provider.provider(), ..there };
    let monday =
        world.booking().get_availability(customer.asks(request)).await.unwrap().into_inner();
    assert_eq!(monday.time_zone, "Pacific/Auckland");
    assert_eq!(monday.slots.len(), 6);
    assert_eq!(monday.slots[0].start_time, Some(at("2026-11-23 09:00", "Europe/Berlin")));
    let long = GetAvailabilityRequest {
        provider: provider.provider(),
        start_date: Some(date(MONDAY)),
        duration: Some(Duration { seconds: 7200, nanos: 0 }),
        ..Default::default()
    };
    let long = world.booking().get_availability(customer.asks(long)).await.unwrap().into_inner();
    assert_eq!(long.slots.len(), 13);
    world.move_to("2026-11-23 16:15", "Europe/Berlin");
    let customer = world.log_in(&customer.user.email).await;
    let today = world.availability(&customer, &provider, MONDAY).await;
    assert_eq!(today.slots.len(), 1);
    assert_eq!(today.free_intervals[0].start_time, Some(berlin("2026-11-23 16:15")));
}

async fn bad_bookings_are_told_by_field(world: World) {
    let (provider, customer) = (world.provider().await, world.customer().await);
    let good = booking(&provider, berlin("2026-11-23 10:00"), berlin("2026-11-23 10:30"));
    let try_to =
        async |change: &dyn Fn(&mut daybook::grpc::proto::booking::BookAppointmentRequest)| {
            let mut request = good.clone();
            change(&mut request);
            world.booking().book_appointment(customer.asks(request)).await
        };
    let seconds = |seconds: i64| Some(Timestamp { seconds, nanos: 0 });
    invalid(try_to(&|r| *r = Default::default()).await, &["provider", "start_time", "end_time"]);
    for bad in
        ["providers/", "users/x", "providers/NOPE", "providers/../x", "a\0b", &"x".repeat(9000)]
    {
        invalid(try_to(&|r| r.provider = bad.to_owned()).await, &["provider"]);
    }
    let name = provider.provider();
    invalid(try_to(&|r| r.provider = name.to_uppercase()).await, &["provider"]);
    invalid(try_to(&|r| r.provider = format!("{name}/schedule")).await, &["provider"]);
    invalid(try_to(&|r| r.end_time = r.start_time).await, &["end_time"]);
    invalid(try_to(&|r| std::mem::swap(&mut r.start_time, &mut r.end_time)).await, &["end_time"]);
    invalid(try_to(&|r| r.start_time.as_mut().unwrap().nanos = 1).await, &["start_time"]);
    invalid(try_to(&|r| r.start_time = seconds(-1)).await, &["start_time"]);
    invalid(try_to(&|r| r.end_time = seconds(7_258_118_401)).await, &["end_time"]);
    invalid(try_to(&|r| r.start_time = seconds(i64::MIN)).await, &["start_time"]);
    invalid(try_to(&|r| r.end_time = seconds(i64::MAX)).await, &["end_time"]);
    invalid(try_to(&|r| r.note = "x".repeat(2001)).await, &["note"]);
    invalid(try_to(&|r| r.note = "a\0b".to_owned()).await, &["note"]);
    for bad in ["x", "0", "{01980000-0000-7000-8000-000000000000}", &"0".repeat(36), "a\0"] {
        invalid(try_to(&|r| r.request_id = bad.to_owned()).await, &["request_id"]);
    }
    // All at once.
    let wrong = |r: &mut daybook::grpc::proto::booking::BookAppointmentRequest| {
        r.provider = "x".to_owned();
        r.start_time = None;
        r.end_time = seconds(-5);
        r.note = "\u{7}".to_owned();
        r.request_id = "x".to_owned();
    };
    invalid(try_to(&wrong).await, &["provider", "start_time", "end_time", "note", "request_id"]);
    // Ten years: well-formed, and refused by the rules.
    refused(try_to(&|r| r.end_time = Some(berlin("2036-11-23 10:30"))).await, "TOO_LONG");
    // A note of 1 MiB is more than a message may have.
    refused(try_to(&|r| r.note = "x".repeat(1 << 20)).await, "MESSAGE_TOO_LARGE");
    assert_eq!(world.count("SELECT count(*) FROM appointments").await, 0);
    assert_eq!(world.count("SELECT count(*) FROM requests").await, 0);
}

async fn bad_questions_for_availability_are_told_by_field(world: World) {
    let (provider, customer) = (world.provider().await, world.customer().await);
    let ask = async |request: GetAvailabilityRequest| {
        world.booking().get_availability(customer.asks(request)).await
    };
    let good = GetAvailabilityRequest {
        provider: provider.provider(),
        start_date: Some(date(MONDAY)),
        ..Default::default()
    };
    invalid(ask(Default::default()).await, &["provider", "start_date"]);
    for bad in [(2026, 2, 30), (2026, 0, 0), (0, 1, 1), (1969, 12, 31), (2200, 1, 1), (2026, -1, 5)]
    {
        invalid(
            ask(GetAvailabilityRequest { start_date: Some(date(bad)), ..good.clone() }).await,
            &["start_date"],
        );
    }
    let until = |day| GetAvailabilityRequest { end_date: Some(date(day)), ..good.clone() };
    invalid(ask(until((2026, 11, 22))).await, &["end_date"]);
    invalid(ask(until((2027, 1, 24))).await, &["end_date"]);
    invalid(ask(until((2036, 11, 23))).await, &["end_date"]);
    ask(until((2027, 1, 23))).await.unwrap();
    for bad in ["Berlin", "europe/berlin", "Europe/Berlin\0", "+01:00", &"x".repeat(5000)] {
        let request = GetAvailabilityRequest { time_zone: bad.to_owned(), ..good.clone() };
        invalid(ask(request).await, &["time_zone"]);
    }
    for (seconds, nanos) in
        [(0, 0), (-60, 0), (59, 0), (61, 0), (60, 1), (86_460, 0), (i64::MAX, 0)]
    {
        let request =
            GetAvailabilityRequest { duration: Some(Duration { seconds, nanos }), ..good.clone() };
        invalid(ask(request).await, &["duration"]);
    }
    // Longer than this provider allows.
    let request = GetAvailabilityRequest {
        duration: Some(Duration { seconds: 8 * 3600 + 60, nanos: 0 }),
        ..good.clone()
    };
    invalid(ask(request).await, &["duration"]);
    for edge in [(1970, 1, 1), (2199, 12, 31)] {
        ask(GetAvailabilityRequest { start_date: Some(date(edge)), ..good.clone() }).await.unwrap();
    }
}

async fn every_change_has_one_event_without_gaps(world: World) {
    let (provider, customer) = (world.provider().await, world.customer().await);
    for hour in 9..15 {
        let (start, end) = (format!("2026-11-23 {hour:02}:00"), format!("2026-11-23 {hour:02}:30"));
        let booked = world.book(&customer, &provider, berlin(&start), berlin(&end)).await.unwrap();
        if hour % 2 == 0 {
            let request = CancelAppointmentRequest { name: booked.name, ..Default::default() };
            world.booking().cancel_appointment(provider.asks(request)).await.unwrap();
        }
        refused(world.book(&provider, &provider, berlin(&start), berlin(&end)).await, "OWN_TIME");
    }
    // Opened, six booked, three cancelled.
    assert_eq!(world.count("SELECT count(*) FROM events").await, 10);
    assert_eq!(world.count("SELECT max(version) FROM events").await, 10);
    assert_eq!(world.count("SELECT version FROM providers").await, 10);
    let lost = "SELECT count(*) FROM appointments a LEFT JOIN events e
        ON e.provider_id = a.provider_id AND e.version = a.version AND e.appointment_id = a.appointment_id
        WHERE e.version IS NULL";
    assert_eq!(world.count(lost).await, 0);
}

async fn slot_taken_does_not_say_by_whom(world: World) {
    let (provider, customer) = (world.provider().await, world.customer().await);
    let other = world.customer().await;
    let (start, end) = (berlin("2026-11-23 10:00"), berlin("2026-11-23 10:30"));
    let booked = world.book(&customer, &provider, start, end).await.unwrap();
    let status = refused(world.book(&other, &provider, start, end).await, "SLOT_TAKEN");
    let told = format!("{status:?} {:?}", status.get_error_details());
    let id = booked.name.rsplit('/').next().unwrap();
    for secret in [id, customer.user.name.trim_start_matches("users/"), &customer.user.display_name]
    {
        assert!(!told.contains(secret), "{told}");
    }
}
