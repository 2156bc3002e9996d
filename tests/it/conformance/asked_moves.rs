//! A customer who moves what was approved asks for another time, and loses nothing by asking.

use daybook::grpc::proto::booking::{
    Appointment, AppointmentType, ApproveAppointmentRequest, BookingLimits,
    CancelAppointmentRequest, DeclineAppointmentRequest, HoldSlotRequest, ListAppointmentsRequest,
    ListSlotsRequest, ReassignAppointmentRequest, appointment::State, appointment_event::Kind,
};
use tonic::Status;

use super::behaviours;
use crate::support::{
    World, berlin, books,
    people::Person,
    refusal::{invalid, refused},
    types::{holding, kind, local, minutes, on_day},
};

behaviours!(
    both_times_are_claimed_until_it_is_approved,
    decline_silence_and_withdrawal_leave_what_was_agreed,
    it_may_overlap_what_was_agreed,
    staff_move_at_once,
    another_time_is_asked_for_instead,
    it_ends_with_what_was_agreed,
    colleagues_keep_both_times_too,
    another_time_is_offered_and_held_as_if_nothing_were_asked,
    it_counts_once_for_the_customers_limit,
);

/// A type of the provider's that takes approval within an hour, and an approved appointment of it on Monday at
/// 10:00.
async fn approved(
    world: &World,
    provider: &Person,
    customer: &Person,
) -> (AppointmentType, String) {
    let asked = AppointmentType {
        requires_approval: true,
        request_expiry: minutes(60),
        buffer_after: minutes(10),
        slot_step: minutes(30),
        ..kind(&[60])
    };
    let asked = world.own_type(provider, asked).await;
    let name = world.book_type(customer, provider, &asked, "2026-11-23 10:00").await.unwrap().name;
    approve(world, provider, &name).await.unwrap();
    (asked, name)
}

async fn approve(world: &World, by: &Person, name: &str) -> Result<Appointment, Status> {
    let request = ApproveAppointmentRequest { name: name.to_owned(), ..Default::default() };
    let answer = world.booking().approve_appointment(by.asks(request)).await?;
    Ok(answer.into_inner().appointment.unwrap())
}

async fn decline(world: &World, by: &Person, name: &str) -> Result<Appointment, Status> {
    let (name, reason) = (name.to_owned(), "not then".to_owned());
    let request = DeclineAppointmentRequest { name, reason, ..Default::default() };
    let answer = world.booking().decline_appointment(by.asks(request)).await?;
    Ok(answer.into_inner().appointment.unwrap())
}

async fn take_back(world: &World, by: &Person, name: &str) -> Result<Appointment, Status> {
    let name = name.to_owned();
    let request = CancelAppointmentRequest { name, only_move: true, ..Default::default() };
    let answer = world.booking().cancel_appointment(by.asks(request)).await?;
    Ok(answer.into_inner().appointment.unwrap())
}

/// Whether half an hour at this time is free, for somebody new.
async fn is_free(world: &World, provider: &Person, start: &str) -> bool {
    let other = world.customer().await;
    let start = berlin(start);
    let end = prost_types::Timestamp { seconds: start.seconds + 1800, nanos: 0 };
    match world.book(&other, provider, start, end).await {
        Ok(booked) => {
            world.cancel(&other, &booked.name).await.unwrap();
            true
        }
        answer => {
            refused(answer, "SLOT_TAKEN");
            false
        }
    }
}

async fn last(world: &World, by: &Person, name: &str) -> Kind {
    world.events_of(by, name).await.unwrap().last().unwrap().kind()
}

async fn both_times_are_claimed_until_it_is_approved(world: World) {
    let (provider, customer) = (world.provider().await, world.customer().await);
    let elsewhere = world.provider().await;
    let (asked, name) = approved(&world, &provider, &customer).await;
    let agreed = world.get(&customer, &name).await.unwrap();
    world.move_to("2026-11-22 13:30", "Europe/Berlin");
    let moved = world.reschedule(&customer, &name, "2026-11-24 12:00").await.unwrap();
    let expected = Appointment {
        move_start_time: Some(berlin("2026-11-24 12:00")),
        move_end_time: Some(berlin("2026-11-24 13:00")),
        move_expire_time: Some(berlin("2026-11-22 14:30")),
        update_time: moved.update_time,
        etag: moved.etag.clone(),
        ..agreed.clone()
    };
    assert_eq!(moved, expected);
    assert_ne!(moved.etag, agreed.etag);
    for caller in [&customer, &provider] {
        assert_eq!(world.get(caller, &name).await.unwrap(), moved);
    }
    // Once, with what is to be answered and with what is agreed.
    assert_eq!(world.list(&customer, &[]).await, std::slice::from_ref(&moved));
    assert_eq!(world.list(&customer, &[State::Booked]).await, std::slice::from_ref(&moved));
    assert_eq!(world.list(&customer, &[State::Pending]).await, std::slice::from_ref(&moved));
    for start in ["2026-11-23 10:00", "2026-11-24 12:00", "2026-11-24 12:30"] {
        assert!(!is_free(&world, &provider, start).await, "{start}");
        let start = berlin(start);
        let end = prost_types::Timestamp { seconds: start.seconds + 600, nanos: 0 };
        refused(world.book(&customer, &elsewhere, start, end).await, "CUSTOMER_BUSY");
    }
    let other = world.customer().await;
    let slots = world.starts_of(&other, &asked, "2026-11-24").await;
    assert!(!slots.contains(&"12:00".to_owned()) && slots.contains(&"13:30".to_owned()));
    let events = world.events_of(&provider, &name).await.unwrap();
    let event = events.last().unwrap();
    assert_eq!((event.kind(), event.start_time), (Kind::MoveRequested, moved.move_start_time));
    assert_eq!(event.previous_start_time, agreed.start_time);

    let there = approve(&world, &provider, &name).await.unwrap();
    assert_eq!(
        (there.state(), local(there.start_time)),
        (State::Booked, "2026-11-24 12:00".into())
    );
    assert_eq!((there.move_start_time, there.move_expire_time), (None, None));
    assert_eq!(there.local_start_time, "2026-11-24T12:00:00");
    assert_eq!(last(&world, &customer, &name).await, Kind::Approved);
    assert!(is_free(&world, &provider, "2026-11-23 10:00").await);
    assert!(!is_free(&world, &provider, "2026-11-24 12:00").await);
    world.move_to("2026-11-22 15:00", "Europe/Berlin");
    assert_eq!(world.get(&customer, &name).await.unwrap(), there);
    books::check(&world.sql().await).await;
}

async fn decline_silence_and_withdrawal_leave_what_was_agreed(world: World) {
    let (provider, customer) = (world.provider().await, world.customer().await);
    let (_, name) = approved(&world, &provider, &customer).await;
    let agreed = world.get(&customer, &name).await.unwrap();
    let is_agreed = async |found: &Appointment| {
        let (etag, update_time) = (agreed.etag.clone(), agreed.update_time);
        assert_eq!(Appointment { etag, update_time, ..found.clone() }, agreed);
        assert!(!is_free(&world, &provider, "2026-11-23 10:00").await);
        assert!(is_free(&world, &provider, "2026-11-24 12:00").await);
    };
    refused(take_back(&world, &customer, &name).await, "WRONG_STATE");
    refused(decline(&world, &provider, &name).await, "WRONG_STATE");
    world.reschedule(&customer, &name, "2026-11-24 12:00").await.unwrap();
    is_agreed(&decline(&world, &provider, &name).await.unwrap()).await;
    let events = world.events_of(&customer, &name).await.unwrap();
    let event = events.last().unwrap();
    assert_eq!((event.kind(), &*event.reason), (Kind::MoveDeclined, "not then"));
    world.reschedule(&customer, &name, "2026-11-24 12:00").await.unwrap();
    is_agreed(&take_back(&world, &customer, &name).await.unwrap()).await;
    assert_eq!(last(&world, &customer, &name).await, Kind::MoveWithdrawn);
    let moved = world.reschedule(&customer, &name, "2026-11-24 12:00").await.unwrap();
    world.move_to("2026-11-22 13:59:59", "Europe/Berlin");
    assert_eq!(world.get(&customer, &name).await.unwrap(), moved);
    world.move_to("2026-11-22 14:00", "Europe/Berlin");
    let before = world.state().await;
    let seen = world.get(&customer, &name).await.unwrap();
    assert_eq!(local(seen.update_time), "2026-11-22 14:00");
    assert_eq!(last(&world, &customer, &name).await, Kind::MoveExpired);
    for caller in [&customer, &provider] {
        let request = ListAppointmentsRequest {
            customer: customer.user.name.clone(),
            provider: provider.provider(),
            order_by: "update_time".to_owned(),
            update_start_time: seen.update_time,
            ..Default::default()
        };
        let page = world.booking().list_appointments(caller.asks(request)).await.unwrap();
        let found = page.into_inner().appointments;
        assert_eq!(found.iter().map(|each| &each.name).collect::<Vec<_>>(), [&name]);
    }
    assert_eq!(world.list(&customer, &[State::Pending]).await, []);
    assert_eq!(world.state().await, before);
    is_agreed(&seen).await;
    // Written down by now; as it was seen it is called off.
    let found = world.get(&customer, &name).await.unwrap();
    assert_eq!(Appointment { etag: seen.etag.clone(), ..found }, seen);
    assert_eq!(last(&world, &customer, &name).await, Kind::MoveExpired);
    refused(approve(&world, &provider, &name).await, "WRONG_STATE");
    world.cancel(&customer, &name).await.unwrap();
    books::check(&world.sql().await).await;
}

async fn it_may_overlap_what_was_agreed(world: World) {
    let (provider, customer) = (world.provider().await, world.customer().await);
    let (_, name) = approved(&world, &provider, &customer).await;
    for (start, taken, free) in [
        ("2026-11-23 10:30", ["2026-11-23 10:00", "2026-11-23 11:10"], "2026-11-23 11:40"),
        ("2026-11-23 09:30", ["2026-11-23 09:30", "2026-11-23 10:30"], "2026-11-23 11:40"),
        ("2026-11-23 11:00", ["2026-11-23 10:00", "2026-11-23 11:30"], "2026-11-23 12:10"),
    ] {
        let moved = world.reschedule(&customer, &name, start).await.unwrap();
        assert_eq!(local(moved.move_start_time), start);
        for taken in taken {
            assert!(!is_free(&world, &provider, taken).await, "{start}: {taken}");
        }
        assert!(is_free(&world, &provider, free).await, "{start}: {free}");
    }
    let there = approve(&world, &provider, &name).await.unwrap();
    assert_eq!(local(there.start_time), "2026-11-23 11:00");
    assert!(is_free(&world, &provider, "2026-11-23 10:00").await);
    books::check(&world.sql().await).await;
}

async fn staff_move_at_once(world: World) {
    let (provider, customer, admin) =
        (world.provider().await, world.customer().await, world.admin().await);
    let (asked, name) = approved(&world, &provider, &customer).await;
    world.reschedule(&customer, &name, "2026-11-24 12:00").await.unwrap();
    let moved = world.reschedule(&provider, &name, "2026-11-25 12:00").await.unwrap();
    assert_eq!(
        (moved.state(), local(moved.start_time)),
        (State::Booked, "2026-11-25 12:00".into())
    );
    assert_eq!(moved.move_start_time, None);
    assert!(is_free(&world, &provider, "2026-11-24 12:00").await);
    assert_eq!(last(&world, &customer, &name).await, Kind::Rescheduled);
    // What asks for no approval any more is moved at once, too.
    world.reschedule(&customer, &name, "2026-11-24 12:00").await.unwrap();
    let free = AppointmentType { requires_approval: false, ..asked };
    world.change_type(&provider, free, &["requires_approval"]).await;
    let moved = world.reschedule(&customer, &name, "2026-11-26 12:00").await.unwrap();
    assert_eq!((local(moved.start_time), moved.move_start_time), ("2026-11-26 12:00".into(), None));
    world.reschedule(&admin, &name, "2026-11-24 12:00").await.unwrap();
    books::check(&world.sql().await).await;
}

async fn another_time_is_asked_for_instead(world: World) {
    let (provider, customer, other) =
        (world.provider().await, world.customer().await, world.customer().await);
    let (asked, name) = approved(&world, &provider, &customer).await;
    let theirs = world.book_type(&other, &provider, &asked, "2026-11-24 10:00").await.unwrap().name;
    world.reschedule(&customer, &name, "2026-11-24 12:00").await.unwrap();
    world.move_to("2026-11-22 13:30", "Europe/Berlin");
    let before = world.state().await;
    refused(world.reschedule(&customer, &name, "2026-11-24 10:30").await, "SLOT_TAKEN");
    refused(world.reschedule(&other, &theirs, "2026-11-24 12:00").await, "SLOT_TAKEN");
    let again = crate::support::types::typed(&provider, &asked, "2026-11-24 12:00");
    refused(world.send(&other, again).await, "SLOT_TAKEN");
    assert_eq!(world.state().await, before);
    // Whoever asks for yet another time waits no longer for it.
    let moved = world.reschedule(&customer, &name, "2026-11-24 12:30").await.unwrap();
    assert_eq!(local(moved.move_expire_time), "2026-11-22 14:00");
    let moved = world.reschedule(&customer, &name, "2026-11-24 14:00").await.unwrap();
    assert_eq!(local(moved.move_start_time), "2026-11-24 14:00");
    assert!(is_free(&world, &provider, "2026-11-24 12:00").await);
    let request = daybook::grpc::proto::booking::RescheduleAppointmentRequest {
        name: name.clone(),
        start_time: Some(berlin("2026-11-24 14:00")),
        ..Default::default()
    };
    invalid(world.booking().reschedule_appointment(customer.asks(request)).await, &["start_time"]);
    // It ends at the agreed start at the latest.
    let far = AppointmentType { request_expiry: minutes(60 * 24 * 7), ..asked };
    world.change_type(&provider, far, &["request_expiry"]).await;
    take_back(&world, &customer, &name).await.unwrap();
    let moved = world.reschedule(&customer, &name, "2026-11-24 14:00").await.unwrap();
    assert_eq!(local(moved.move_expire_time), "2026-11-23 10:00");
    books::check(&world.sql().await).await;
}

async fn it_ends_with_what_was_agreed(world: World) {
    let (provider, two, customer, admin) = (
        world.provider().await,
        world.provider().await,
        world.customer().await,
        world.admin().await,
    );
    let (_, name) = approved(&world, &provider, &customer).await;
    world.reschedule(&customer, &name, "2026-11-24 12:00").await.unwrap();
    let gone = world.cancel(&customer, &name).await.unwrap();
    assert_eq!((gone.state(), gone.move_start_time), (State::Cancelled, None));
    assert!(is_free(&world, &provider, "2026-11-23 10:00").await);
    assert!(is_free(&world, &provider, "2026-11-24 12:00").await);
    let asked = AppointmentType { requires_approval: true, ..kind(&[60]) };
    let asked = world.shared_type(&admin, asked, &[&provider, &two]).await;
    let name =
        world.book_type(&customer, &provider, &asked, "2026-11-23 10:00").await.unwrap().name;
    approve(&world, &provider, &name).await.unwrap();
    world.reschedule(&customer, &name, "2026-11-24 12:00").await.unwrap();
    let request =
        ReassignAppointmentRequest { name, provider: two.provider(), ..Default::default() };
    let given = world.booking().reassign_appointment(provider.asks(request)).await.unwrap();
    let given = given.into_inner().appointment.unwrap();
    assert_eq!((local(given.start_time), given.move_start_time), ("2026-11-23 10:00".into(), None));
    assert!(is_free(&world, &provider, "2026-11-24 12:00").await);
    books::check(&world.sql().await).await;
}

async fn colleagues_keep_both_times_too(world: World) {
    let (ada, ben) = (world.provider().await, world.provider().await);
    let (_, name) = approved(&world, &ben, &ada).await;
    world.reschedule(&ada, &name, "2026-11-23 10:30").await.unwrap();
    for start in ["2026-11-23 10:00", "2026-11-23 11:00"] {
        assert!(!is_free(&world, &ada, start).await, "{start}");
    }
    approve(&world, &ben, &name).await.unwrap();
    assert!(is_free(&world, &ada, "2026-11-23 10:00").await);
    assert!(!is_free(&world, &ada, "2026-11-23 11:00").await);
    world.reschedule(&ada, &name, "2026-11-24 12:00").await.unwrap();
    assert!(!is_free(&world, &ada, "2026-11-24 12:00").await);
    world.move_to("2026-11-22 14:00", "Europe/Berlin");
    assert!(is_free(&world, &ada, "2026-11-24 12:00").await);
    assert!(!is_free(&world, &ada, "2026-11-23 11:00").await);
    world.cancel(&ada, &name).await.unwrap();
    assert!(is_free(&world, &ada, "2026-11-23 11:00").await);
    books::check(&world.sql().await).await;
}

/// Neither the time to which it is asked to be moved nor the limit of that day is in its own way.
async fn another_time_is_offered_and_held_as_if_nothing_were_asked(world: World) {
    let (provider, customer) = (world.provider().await, world.customer().await);
    let (of, name) = approved(&world, &provider, &customer).await;
    let limits = Some(BookingLimits { per_provider_day: 1, ..Default::default() });
    let of = world.change_type(&provider, AppointmentType { limits, ..of }, &["limits"]).await;
    for (day, asked, wanted) in [
        ("2026-11-24", "12:00", "12:30"),
        ("2026-11-24", "12:30", "14:00"),
        // Over what was agreed, which is at ten.
        ("2026-11-23", "11:00", "11:30"),
        ("2026-11-23", "09:30", "10:30"),
    ] {
        world.reschedule(&customer, &name, &format!("{day} {asked}")).await.unwrap();
        let moving = ListSlotsRequest { rescheduling: name.clone(), ..on_day(&of, day) };
        let slots = world.list_slots(&customer, moving).await;
        let starts: Vec<_> = slots.iter().map(|slot| local(slot.start_time)).collect();
        // From nine to four, but for where it is asked to be and, on Monday, is.
        let is_there = if day == "2026-11-23" { 2 } else { 1 };
        assert_eq!(starts.len(), 15 - is_there, "{asked}: {starts:?}");
        assert!(!starts.contains(&format!("{day} {asked}")), "{asked}: {starts:?}");
        let start = format!("{day} {wanted}");
        assert!(starts.contains(&start), "{asked}: {starts:?}");
        let hold =
            HoldSlotRequest { rescheduling: name.clone(), ..holding(&provider, &of, &start) };
        let held = world.hold(&customer, hold).await.unwrap();
        assert_eq!(local(held.start_time), start);
        assert_eq!(held.end_time.unwrap().seconds - held.start_time.unwrap().seconds, 3600);
        let moved = world.reschedule(&customer, &name, &start).await.unwrap();
        assert_eq!(local(moved.move_start_time), start);
        take_back(&world, &customer, &name).await.unwrap();
    }
    books::check(&world.sql().await).await;
}

/// An appointment and the time to which it is asked to be moved are one of those that a customer may have open.
async fn it_counts_once_for_the_customers_limit(world: World) {
    let (provider, customer) = (world.provider().await, world.customer().await);
    let (of, name) = approved(&world, &provider, &customer).await;
    let limits = Some(BookingLimits { open_per_customer: 2, ..Default::default() });
    let of = world.change_type(&provider, AppointmentType { limits, ..of }, &["limits"]).await;
    world.reschedule(&customer, &name, "2026-11-24 12:00").await.unwrap();
    let slots = world.list_slots(&customer, on_day(&of, "2026-11-25")).await;
    assert_eq!(slots.len(), 15);
    world.book_type(&customer, &provider, &of, "2026-11-25 09:00").await.unwrap();
    assert!(world.list_slots(&customer, on_day(&of, "2026-11-25")).await.is_empty());
    let third = world.book_type(&customer, &provider, &of, "2026-11-25 12:00").await;
    refused(third, "CUSTOMER_LIMIT");
}
