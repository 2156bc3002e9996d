//! Holds: a slot that is a customer's for some minutes.

use daybook::grpc::proto::booking::{
    AppointmentType, BookAppointmentRequest, ExtendHoldRequest, Hold, HoldSlotRequest,
    ReleaseHoldRequest, appointment::State,
};
use prost_types::Duration;
use tonic::Status;

use super::behaviours;
use crate::support::{
    World, berlin, books,
    people::{Person, uuid},
    raw::seen,
    refusal::{invalid, reason_of, refused},
    types::{holding, kind, local, minutes, typed},
};

behaviours!(
    a_hold_keeps_everybody_else_out,
    what_is_taken_is_not_held,
    a_hold_keeps_the_rules,
    a_hold_ends_by_itself,
    an_ended_hold_frees_the_time_for_whoever_comes,
    a_hold_is_extended_once_and_never_ends_sooner,
    a_released_hold_is_free_at_once,
    a_customer_has_five_holds,
    a_hold_is_nobody_elses,
    a_hold_becomes_the_appointment,
    a_hold_of_a_type_with_approval_becomes_a_request,
    a_bare_interval_is_held_as_well,
    holds_are_retried_by_request_id,
    a_hold_is_no_appointment,
    bad_holds_are_told_by_field,
);

async fn extend(world: &World, caller: &Person, hold: &str, seconds: i64) -> Result<Hold, Status> {
    let request = ExtendHoldRequest {
        name: hold.to_owned(),
        hold_duration: Some(Duration { seconds, nanos: 0 }),
        ..Default::default()
    };
    Ok(world.booking().extend_hold(caller.asks(request)).await?.into_inner().hold.unwrap())
}

async fn release(world: &World, caller: &Person, hold: &str) -> Result<(), Status> {
    let request = ReleaseHoldRequest { name: hold.to_owned(), ..Default::default() };
    world.booking().release_hold(caller.asks(request)).await.map(|_| ())
}

async fn a_hold_keeps_everybody_else_out(world: World) {
    let (provider, customer, other) =
        (world.provider().await, world.customer().await, world.customer().await);
    let buffered =
        AppointmentType { buffer_after: minutes(15), slot_step: minutes(15), ..kind(&[30]) };
    let buffered = world.own_type(&provider, buffered).await;
    let asked = AppointmentType { requires_approval: true, ..kind(&[30]) };
    let asked = world.own_type(&provider, asked).await;
    let hold = world.hold(&customer, holding(&provider, &buffered, "2026-11-23 10:00")).await;
    let hold = hold.unwrap();
    assert_eq!(hold.appointment_type, buffered.name);
    assert_eq!(hold.provider, provider.provider());
    assert!(hold.name.starts_with(&format!("{}/holds/", provider.provider())));
    assert_eq!(local(hold.end_time), "2026-11-23 10:30");
    assert_eq!(local(hold.expire_time), "2026-11-22 13:05");
    assert!(!hold.extended);

    let before = world.state().await;
    for start in ["2026-11-23 10:00", "2026-11-23 10:15", "2026-11-23 10:30"] {
        let again = holding(&provider, &buffered, start);
        refused(world.hold(&other, again).await, "SLOT_TAKEN");
        refused(world.book_type(&other, &provider, &buffered, start).await, "SLOT_TAKEN");
    }
    refused(world.book_type(&other, &provider, &asked, "2026-11-23 10:00").await, "SLOT_TAKEN");
    let (start, end) = (berlin("2026-11-23 10:40"), berlin("2026-11-23 10:50"));
    refused(world.book(&other, &provider, start, end).await, "SLOT_TAKEN");
    assert_eq!(world.state().await, before);
    let free = world.starts_of(&other, &asked, "2026-11-23").await;
    assert!(!free.contains(&"10:00".to_owned()) && !free.contains(&"10:30".to_owned()));
    let free = world.availability(&other, &provider, (2026, 11, 23)).await;
    assert_eq!(free.slots.len(), 14);
    // What touches it is free.
    world
        .book(&other, &provider, berlin("2026-11-23 10:45"), berlin("2026-11-23 11:00"))
        .await
        .unwrap();
    books::check(&world.sql().await).await;
}

async fn what_is_taken_is_not_held(world: World) {
    let (provider, customer, other) =
        (world.provider().await, world.customer().await, world.customer().await);
    let plain = world.own_type(&provider, kind(&[30])).await;
    let asked = AppointmentType { requires_approval: true, ..kind(&[30]) };
    let asked = world.own_type(&provider, asked).await;
    world
        .book(&other, &provider, berlin("2026-11-23 09:00"), berlin("2026-11-23 09:30"))
        .await
        .unwrap();
    world.book_type(&other, &provider, &plain, "2026-11-23 10:00").await.unwrap();
    world.book_type(&other, &provider, &asked, "2026-11-23 11:00").await.unwrap();
    world.hold(&other, holding(&provider, &plain, "2026-11-23 12:00")).await.unwrap();
    let before = world.state().await;
    for taken in ["09:00", "10:00", "11:00", "12:00"] {
        let hold = holding(&provider, &plain, &format!("2026-11-23 {taken}"));
        refused(world.hold(&customer, hold).await, "SLOT_TAKEN");
    }
    assert_eq!(world.state().await, before);
}

async fn a_hold_keeps_the_rules(world: World) {
    let (provider, customer) = (world.provider().await, world.customer().await);
    let plain = world.own_type(&provider, kind(&[30])).await;
    let hold = async |start| world.hold(&customer, holding(&provider, &plain, start)).await;
    let before = world.state().await;
    refused(hold("2026-11-23 10:10").await, "OFF_GRID");
    refused(hold("2026-11-23 18:00").await, "OUTSIDE_HOURS");
    refused(hold("2026-11-20 10:00").await, "IN_THE_PAST");
    refused(
        world.hold(&provider, holding(&provider, &plain, "2026-11-23 10:00")).await,
        "OWN_TIME",
    );
    assert_eq!(world.state().await, before);
}

async fn a_hold_ends_by_itself(world: World) {
    let (provider, customer, other) =
        (world.provider().await, world.customer().await, world.customer().await);
    let plain = world.own_type(&provider, kind(&[30])).await;
    let hold = world.hold(&customer, holding(&provider, &plain, "2026-11-23 10:00")).await.unwrap();
    world.move_to("2026-11-22 13:04:59", "Europe/Berlin");
    assert_eq!(world.starts_of(&other, &plain, "2026-11-23").await.len(), 15);
    assert_eq!(world.starts_of(&customer, &plain, "2026-11-23").await.len(), 16);
    world.move_to("2026-11-22 13:05", "Europe/Berlin");
    // Nothing was written, and it is free.
    let before = world.state().await;
    assert_eq!(world.starts_of(&other, &plain, "2026-11-23").await.len(), 16);
    let free = world.availability(&other, &provider, (2026, 11, 23)).await;
    assert_eq!(free.slots.len(), 16);
    let start = berlin("2026-11-23 10:00");
    assert!(world.explain(&customer, &provider, &plain, start).await.is_empty());
    refused(world.book_hold(&customer, &hold).await, "HOLD_ENDED");
    refused(extend(&world, &customer, &hold.name, 300).await, "HOLD_ENDED");
    refused(release(&world, &customer, &hold.name).await, "HOLD_ENDED");
    assert_eq!(world.state().await, before);
}

async fn an_ended_hold_frees_the_time_for_whoever_comes(world: World) {
    let (provider, customer, other) =
        (world.provider().await, world.customer().await, world.customer().await);
    let plain = world.own_type(&provider, kind(&[30])).await;
    let starts = ["10:00", "11:00", "12:00", "13:00"].map(|start| format!("2026-11-23 {start}"));
    let mut held = Vec::new();
    for start in &starts {
        held.push(world.hold(&customer, holding(&provider, &plain, start)).await.unwrap());
    }
    world.move_to("2026-11-22 13:05", "Europe/Berlin");
    // A bare interval, which on one engine goes a way of its own.
    let bare = async |from, until| world.book(&other, &provider, berlin(from), berlin(until)).await;
    bare("2026-11-23 10:00", "2026-11-23 10:30").await.unwrap();
    world.book_type(&other, &provider, &plain, &starts[1]).await.unwrap();
    world.hold(&other, holding(&provider, &plain, &starts[2])).await.unwrap();
    let moved = bare("2026-11-23 15:00", "2026-11-23 15:30").await.unwrap();
    world.reschedule(&other, &moved.name, &starts[3]).await.unwrap();
    for hold in held {
        refused(world.book_hold(&customer, &hold).await, "HOLD_ENDED");
    }
    assert_eq!(books::check(&world.sql().await).await.len(), 4);
    let ended = "SELECT count(*) FROM events WHERE kind = 'hold_expired' AND actor_id IS NULL";
    assert_eq!(world.count(ended).await, 4);
}

async fn a_hold_is_extended_once_and_never_ends_sooner(world: World) {
    let (provider, customer) = (world.provider().await, world.customer().await);
    let plain = world.own_type(&provider, kind(&[30])).await;
    let long = HoldSlotRequest {
        hold_duration: minutes(15),
        ..holding(&provider, &plain, "2026-11-23 10:00")
    };
    let long = world.hold(&customer, long).await.unwrap();
    assert_eq!(local(long.expire_time), "2026-11-22 13:15");
    let extended = extend(&world, &customer, &long.name, 60).await.unwrap();
    assert_eq!(Hold { extended: true, ..long.clone() }, extended);
    refused(extend(&world, &customer, &long.name, 900).await, "HOLD_EXTENDED");

    let short = holding(&provider, &plain, "2026-11-23 11:00");
    let short = world.hold(&customer, short).await.unwrap();
    world.move_to("2026-11-22 13:04", "Europe/Berlin");
    let extended = extend(&world, &customer, &short.name, 360).await.unwrap();
    assert_eq!(local(extended.expire_time), "2026-11-22 13:10");
    world.move_to("2026-11-22 13:09:59", "Europe/Berlin");
    let other = world.customer().await;
    refused(world.book_type(&other, &provider, &plain, "2026-11-23 11:00").await, "SLOT_TAKEN");
    world.book_hold(&customer, &short).await.unwrap();
    books::check(&world.sql().await).await;
}

async fn a_released_hold_is_free_at_once(world: World) {
    let (provider, customer, other) =
        (world.provider().await, world.customer().await, world.customer().await);
    let plain = world.own_type(&provider, kind(&[30])).await;
    let hold = world.hold(&customer, holding(&provider, &plain, "2026-11-23 10:00")).await.unwrap();
    release(&world, &customer, &hold.name).await.unwrap();
    assert_eq!(world.starts_of(&other, &plain, "2026-11-23").await.len(), 16);
    let before = world.state().await;
    refused(release(&world, &customer, &hold.name).await, "HOLD_ENDED");
    refused(extend(&world, &customer, &hold.name, 300).await, "HOLD_ENDED");
    refused(world.book_hold(&customer, &hold).await, "HOLD_ENDED");
    assert_eq!(world.state().await, before);
    world.book_type(&other, &provider, &plain, "2026-11-23 10:00").await.unwrap();
    books::check(&world.sql().await).await;
}

async fn a_customer_has_five_holds(world: World) {
    let (one, two) = (world.provider().await, world.provider().await);
    let (customer, other) = (world.customer().await, world.customer().await);
    let plain = world.shared_type(&world.admin().await, kind(&[30]), &[&one, &two]).await;
    let hold = async |provider, hour: usize| {
        let start = format!("2026-11-23 {hour:02}:00");
        world.hold(&customer, holding(provider, &plain, &start)).await
    };
    let mut held = Vec::new();
    for hour in 9..14 {
        held.push(hold([&one, &two][hour % 2], hour).await.unwrap());
    }
    let before = world.state().await;
    refused(hold(&one, 14).await, "TOO_MANY_HOLDS");
    refused(hold(&two, 15).await, "TOO_MANY_HOLDS");
    assert_eq!(world.state().await, before);
    world.hold(&other, holding(&one, &plain, "2026-11-23 14:00")).await.unwrap();
    // Booked ones are no holds any more, nor released ones, nor ended ones.
    world.book_hold(&customer, &held[0]).await.unwrap();
    hold(&two, 14).await.unwrap();
    release(&world, &customer, &held[1].name).await.unwrap();
    hold(&two, 15).await.unwrap();
    refused(hold(&two, 16).await, "TOO_MANY_HOLDS");
    world.move_to("2026-11-22 13:05", "Europe/Berlin");
    hold(&two, 16).await.unwrap();
    books::check(&world.sql().await).await;
}

async fn a_hold_is_nobody_elses(world: World) {
    let (provider, customer, other, admin) = (
        world.provider().await,
        world.customer().await,
        world.customer().await,
        world.admin().await,
    );
    let plain = world.own_type(&provider, kind(&[30])).await;
    let hold = world.hold(&customer, holding(&provider, &plain, "2026-11-23 10:00")).await.unwrap();
    let gone = world.hold(&customer, holding(&provider, &plain, "2026-11-23 11:00")).await.unwrap();
    release(&world, &customer, &gone.name).await.unwrap();
    let absent = hold.name.replace("holds/0", "holds/1");
    let before = world.state().await;
    for stranger in [&other, &provider, &admin] {
        let missing = release(&world, stranger, &absent).await.unwrap_err();
        for name in [&hold.name, &gone.name] {
            let foreign = release(&world, stranger, name).await.unwrap_err();
            assert_eq!(reason_of(&foreign), "NOT_FOUND");
            assert_eq!(seen(&foreign).1, seen(&missing).1);
            refused(extend(&world, stranger, name, 300).await, "NOT_FOUND");
            let book = BookAppointmentRequest { hold: name.clone(), ..Default::default() };
            refused(world.send(stranger, book).await, "NOT_FOUND");
        }
    }
    assert_eq!(world.state().await, before);
    world.book_hold(&customer, &hold).await.unwrap();
}

async fn a_hold_becomes_the_appointment(world: World) {
    let (provider, customer) = (world.provider().await, world.customer().await);
    let dear = AppointmentType {
        price: "80 EUR".to_owned(),
        buffer_before: minutes(5),
        ..kind(&[30, 60])
    };
    let dear = world.own_type(&provider, dear).await;
    let hold =
        HoldSlotRequest { duration: minutes(60), ..holding(&provider, &dear, "2026-11-23 10:00") };
    let hold = world.hold(&customer, hold).await.unwrap();
    world.move_to("2026-11-22 13:03", "Europe/Berlin");
    let request = BookAppointmentRequest {
        hold: hold.name.clone(),
        appointment_type: dear.name.clone(),
        note: "with a dog".to_owned(),
        ..Default::default()
    };
    let booked = world.send(&customer, request).await.unwrap();
    assert_eq!(booked.name, hold.name.replace("/holds/", "/appointments/"));
    assert_eq!(booked.state(), State::Booked);
    assert_eq!((booked.start_time, booked.end_time), (hold.start_time, hold.end_time));
    assert_eq!((booked.note.as_str(), booked.price.as_str()), ("with a dog", "80 EUR"));
    assert_eq!((booked.buffer_before, booked.expire_time), (minutes(5), None));
    assert_eq!(booked.customer_display_name, customer.user.display_name);
    assert_eq!(local(booked.create_time), "2026-11-22 13:03");
    assert_eq!(world.get(&customer, &booked.name).await.unwrap(), booked);
    refused(world.book_hold(&customer, &hold).await, "HOLD_ENDED");
    refused(release(&world, &customer, &hold.name).await, "HOLD_ENDED");
    // It does not end when the hold would have.
    world.move_to("2026-11-22 14:00", "Europe/Berlin");
    assert_eq!(world.get(&customer, &booked.name).await.unwrap(), booked);
    // Another type than the held one is a contradiction.
    let other = world.own_type(&provider, kind(&[30])).await;
    let hold = world.hold(&customer, holding(&provider, &dear, "2026-11-23 12:00")).await.unwrap();
    let request = BookAppointmentRequest {
        hold: hold.name.clone(),
        appointment_type: other.name,
        ..Default::default()
    };
    let before = world.state().await;
    let answer = world.booking().book_appointment(customer.asks(request)).await;
    invalid(answer, &["appointment_type"]);
    assert_eq!(world.state().await, before);
    // An archived type is not booked, whoever held it.
    world.archive(&provider, &dear, true).await;
    refused(world.book_hold(&customer, &hold).await, "TYPE_ARCHIVED");
    books::check(&world.sql().await).await;
}

async fn a_hold_of_a_type_with_approval_becomes_a_request(world: World) {
    let (provider, customer) = (world.provider().await, world.customer().await);
    let asked =
        AppointmentType { requires_approval: true, request_expiry: minutes(60), ..kind(&[30]) };
    let asked = world.own_type(&provider, asked).await;
    let hold = world.hold(&customer, holding(&provider, &asked, "2026-11-23 10:00")).await.unwrap();
    world.move_to("2026-11-22 13:04", "Europe/Berlin");
    let asked = world.book_hold(&customer, &hold).await.unwrap();
    assert_eq!(asked.state(), State::Pending);
    assert_eq!(local(asked.expire_time), "2026-11-22 14:04");
    let state = books::check(&world.sql().await).await;
    assert_eq!(state[&asked.name], "pending");
}

async fn a_bare_interval_is_held_as_well(world: World) {
    let (provider, customer, other) =
        (world.provider().await, world.customer().await, world.customer().await);
    let (start_time, end_time) =
        (Some(berlin("2026-11-23 10:10")), Some(berlin("2026-11-23 10:20")));
    let request = HoldSlotRequest {
        provider: provider.provider(),
        start_time,
        end_time,
        ..Default::default()
    };
    let hold = world.hold(&customer, request.clone()).await.unwrap();
    assert_eq!((hold.start_time, hold.end_time), (start_time, end_time));
    assert_eq!(hold.appointment_type, "");
    refused(world.hold(&other, request).await, "SLOT_TAKEN");
    let booked = world.book_hold(&customer, &hold).await.unwrap();
    assert_eq!((booked.start_time, booked.end_time), (start_time, end_time));
    books::check(&world.sql().await).await;
}

async fn holds_are_retried_by_request_id(world: World) {
    let (provider, customer) = (world.provider().await, world.customer().await);
    let plain = world.own_type(&provider, kind(&[30])).await;
    let request =
        HoldSlotRequest { request_id: uuid(), ..holding(&provider, &plain, "2026-11-23 10:00") };
    let hold = world.hold(&customer, request.clone()).await.unwrap();
    let before = world.state().await;
    assert_eq!(world.hold(&customer, request.clone()).await.unwrap(), hold);
    let changed = HoldSlotRequest { hold_duration: minutes(6), ..request.clone() };
    refused(world.hold(&customer, changed).await, "REQUEST_ID_REUSED");
    assert_eq!(world.state().await, before);

    let lengthen =
        ExtendHoldRequest { name: hold.name.clone(), request_id: uuid(), ..Default::default() };
    let lengthen = async || world.booking().extend_hold(customer.asks(lengthen.clone())).await;
    let extended = lengthen().await.unwrap().into_inner();
    assert_eq!(lengthen().await.unwrap().into_inner(), extended);
    let book = BookAppointmentRequest {
        hold: hold.name.clone(),
        request_id: uuid(),
        ..Default::default()
    };
    let booked = world.send(&customer, book.clone()).await.unwrap();
    // Also when the hold would be over.
    world.move_to("2026-11-22 15:00", "Europe/Berlin");
    let before = world.state().await;
    assert_eq!(world.send(&customer, book).await.unwrap(), booked);
    assert_eq!(world.hold(&customer, request).await.unwrap(), hold);
    assert_eq!(lengthen().await.unwrap().into_inner(), extended);
    assert_eq!(world.state().await, before);

    let hold = world.hold(&customer, holding(&provider, &plain, "2026-11-23 12:00")).await.unwrap();
    let give = ReleaseHoldRequest { name: hold.name, request_id: uuid() };
    world.booking().release_hold(customer.asks(give.clone())).await.unwrap();
    let before = world.state().await;
    world.booking().release_hold(customer.asks(give)).await.unwrap();
    assert_eq!(world.state().await, before);
    books::check(&world.sql().await).await;
}

async fn a_hold_is_no_appointment(world: World) {
    let (provider, customer) = (world.provider().await, world.customer().await);
    let plain = world.own_type(&provider, kind(&[30])).await;
    let hold = world.hold(&customer, holding(&provider, &plain, "2026-11-23 10:00")).await.unwrap();
    assert_eq!(world.list(&customer, &[]).await, []);
    let name = hold.name.replace("/holds/", "/appointments/");
    let before = world.state().await;
    for caller in [&customer, &provider] {
        refused(world.get(caller, &name).await, "NOT_FOUND");
        refused(world.cancel(caller, &name).await, "NOT_FOUND");
        refused(world.reschedule(caller, &name, "2026-11-23 12:00").await, "NOT_FOUND");
        refused(world.events_of(caller, &name).await, "NOT_FOUND");
    }
    assert_eq!(world.state().await, before);
    // A customer may hold at one time what others have of them: nothing is agreed yet.
    let two = world.provider().await;
    let there = world.own_type(&two, kind(&[30])).await;
    world.book_type(&customer, &two, &there, "2026-11-23 10:00").await.unwrap();
    refused(world.book_hold(&customer, &hold).await, "CUSTOMER_BUSY");
    books::check(&world.sql().await).await;
}

async fn bad_holds_are_told_by_field(world: World) {
    let (provider, customer) = (world.provider().await, world.customer().await);
    let plain = world.own_type(&provider, kind(&[30])).await;
    let before = world.state().await;
    let hold = async |request| world.booking().hold_slot(customer.asks(request)).await;
    let good = holding(&provider, &plain, "2026-11-23 10:00");
    for (seconds, nanos) in [(59, 0), (901, 0), (0, 0), (-60, 0), (300, 1), (i64::MAX, 0)] {
        let hold_duration = Some(Duration { seconds, nanos });
        let bad = HoldSlotRequest { hold_duration, ..good.clone() };
        invalid(hold(bad).await, &["hold_duration"]);
    }
    let bad = HoldSlotRequest { duration: minutes(31), ..good.clone() };
    invalid(hold(bad).await, &["duration"]);
    let bad = HoldSlotRequest {
        provider: "x".to_owned(),
        start_time: None,
        end_time: Some(berlin("2026-11-23 10:30")),
        appointment_type: "x".to_owned(),
        link_code: "x".repeat(101),
        hold_duration: minutes(16),
        request_id: "x".to_owned(),
        ..good
    };
    let fields = [
        "provider",
        "start_time",
        "end_time",
        "appointment_type",
        "link_code",
        "hold_duration",
        "request_id",
    ];
    invalid(hold(bad).await, &fields);
    invalid(hold(HoldSlotRequest::default()).await, &["provider", "start_time", "end_time"]);
    for bad in ["", "holds/x", &provider.provider(), "providers/x/holds/y"] {
        let request = ReleaseHoldRequest { name: bad.to_owned(), ..Default::default() };
        invalid(world.booking().release_hold(customer.asks(request)).await, &["name"]);
        let request = ExtendHoldRequest {
            name: bad.to_owned(),
            hold_duration: minutes(16),
            ..Default::default()
        };
        let answer = world.booking().extend_hold(customer.asks(request)).await;
        invalid(answer, &["name", "hold_duration"]);
    }
    // With a hold, what it already says is absent.
    let request = BookAppointmentRequest {
        hold: "x".to_owned(),
        duration: minutes(30),
        end_time: Some(berlin("2026-11-23 10:30")),
        customer: customer.user.name.clone(),
        ..typed(&provider, &plain, "2026-11-23 10:00")
    };
    let fields = ["hold", "provider", "start_time", "end_time", "duration", "customer"];
    invalid(world.booking().book_appointment(customer.asks(request)).await, &fields);
    assert_eq!(world.state().await, before);
}
