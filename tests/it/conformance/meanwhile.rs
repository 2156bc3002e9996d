//! What came between: a hold, a request or an appointment after the rules round it have changed.

use daybook::grpc::proto::booking::{
    Appointment, AppointmentType, BookAppointmentRequest, Hold, ListAppointmentEventsRequest,
    ReassignAppointmentRequest, RescheduleAppointmentRequest, Schedule, UpdateAppointmentRequest,
    appointment::State, appointment_event::Kind,
};
use tonic::Status;

use super::{behaviours, offerings::withdraw, schedules::update};
use crate::support::{
    World, berlin, books,
    people::Person,
    refusal::{reasons_of, refused},
    types::{anybodys, holding, kind, local, minutes},
};

behaviours!(
    a_hold_is_booked_by_the_rules_of_its_booking,
    a_held_interval_is_booked_while_intervals_are_accepted,
    an_admin_books_their_hold_against_the_rules,
    a_request_that_is_moved_keeps_its_deadline,
    who_takes_no_intervals_is_given_none,
    an_expiry_is_history_from_its_moment_on,
    the_expiry_is_on_the_last_page,
);

async fn accept_intervals(world: &World, provider: &Person, accepts: bool) {
    let schedule = Schedule {
        name: provider.schedule(),
        accepts_intervals: Some(accepts),
        ..Default::default()
    };
    update(world, provider, schedule, &["accepts_intervals"]).await.unwrap();
}

async fn a_hold_is_booked_by_the_rules_of_its_booking(world: World) {
    let (provider, customer, admin) =
        (world.provider().await, world.customer().await, world.admin().await);
    let rules = AppointmentType { minimum_notice: minutes(60), ..kind(&[30]) };
    let shared = world.shared_type(&admin, rules, &[&provider]).await;
    let hold = async |start: &str| {
        world.hold(&customer, holding(&provider, &shared, start)).await.unwrap()
    };
    let off = hold("2026-11-23 09:00").await;
    let closed = hold("2026-11-24 09:00").await;
    let kept = hold("2026-11-25 09:00").await;
    let gone = hold("2026-11-26 09:00").await;
    world.time_off(&provider, "2026-11-23 08:00", "2026-11-23 09:10").await;
    world.closure(&admin, "2026-11-24 00:00", "2026-11-25 00:00").await;
    world.closure(&admin, "2026-11-23 09:29", "2026-11-23 09:30").await;
    let before = world.state().await;
    let refusal = refused(world.book_hold(&customer, &off).await, "TIME_OFF");
    assert_eq!(reasons_of(&refusal), ["TIME_OFF", "PRACTICE_CLOSED"]);
    refused(world.book_hold(&customer, &closed).await, "PRACTICE_CLOSED");
    assert_eq!(world.state().await, before);
    // What the hold settled stays settled: hours, notice, limits and the grid.
    let strict = AppointmentType {
        minimum_notice: minutes(60 * 24 * 30),
        slot_step: minutes(7),
        ..shared.clone()
    };
    world.change_type(&admin, strict, &["minimum_notice", "slot_step"]).await;
    let closed =
        Schedule { name: provider.schedule(), weekly_windows: Vec::new(), ..Default::default() };
    update(&world, &provider, closed, &["weekly_windows"]).await.unwrap();
    world.book_hold(&customer, &kept).await.unwrap();
    // An archived type, or one that is not offered any more, is not booked.
    world.archive(&admin, &shared, true).await;
    refused(world.book_hold(&customer, &gone).await, "TYPE_ARCHIVED");
    world.archive(&admin, &shared, false).await;
    withdraw(&world, &admin, &shared, &provider).await.unwrap();
    let before = world.state().await;
    refused(world.book_hold(&customer, &gone).await, "NOT_OFFERED");
    assert_eq!(world.state().await, before);
    books::check(&world.sql().await).await;
}

async fn a_held_interval_is_booked_while_intervals_are_accepted(world: World) {
    let (provider, customer) = (world.provider().await, world.customer().await);
    let held = async |from: &str, until: &str| Hold {
        name: world.hold_interval(&customer, &provider, from, until).await,
        ..Default::default()
    };
    let first = held("2026-11-23 09:00", "2026-11-23 10:00").await;
    let second = held("2026-11-23 10:00", "2026-11-23 11:00").await;
    world.book_hold(&customer, &first).await.unwrap();
    accept_intervals(&world, &provider, false).await;
    let before = world.state().await;
    refused(world.book_hold(&customer, &second).await, "INTERVALS_NOT_ACCEPTED");
    assert_eq!(world.state().await, before);
    accept_intervals(&world, &provider, true).await;
    world.book_hold(&customer, &second).await.unwrap();
}

async fn an_admin_books_their_hold_against_the_rules(world: World) {
    let (provider, customer, admin) =
        (world.provider().await, world.customer().await, world.admin().await);
    let shared = world.shared_type(&admin, kind(&[30]), &[&provider]).await;
    let hold = async |caller: &Person, start: &str| {
        world.hold(caller, holding(&provider, &shared, start)).await.unwrap().name
    };
    let mine = hold(&admin, "2026-11-23 09:00").await;
    let theirs = hold(&customer, "2026-11-23 10:00").await;
    world.time_off(&provider, "2026-11-23 00:00", "2026-11-24 00:00").await;
    let against = |hold: &str| BookAppointmentRequest {
        hold: hold.to_owned(),
        override_reason: "agreed by telephone".to_owned(),
        ..Default::default()
    };
    let before = world.state().await;
    refused(world.send(&customer, against(&theirs)).await, "ROLE_NOT_ALLOWED");
    assert_eq!(world.state().await, before);
    let booked = world.send(&admin, against(&mine)).await.unwrap();
    assert_eq!(booked.override_reason, "agreed by telephone");
    let events = world.events_of(&provider, &booked.name).await.unwrap();
    assert_eq!(events[0].override_reason, "agreed by telephone");
    books::check(&world.sql().await).await;
}

async fn a_request_that_is_moved_keeps_its_deadline(world: World) {
    let (provider, customer) = (world.provider().await, world.customer().await);
    let asked = AppointmentType { requires_approval: true, ..kind(&[30]) };
    let asked = world.own_type(&provider, asked).await;
    // Asked for on Sunday at 13:00, within 48 hours: until Tuesday at 13:00, or its start.
    let pending = world.book_type(&customer, &provider, &asked, "2026-11-23 10:00").await.unwrap();
    let held = world.hold(&customer, holding(&provider, &asked, "2026-11-23 11:00")).await.unwrap();
    let of_hold = world.book_hold(&customer, &held).await.unwrap();
    for pending in [pending, of_hold] {
        assert_eq!(pending.expire_time, pending.start_time);
        for (caller, start, expires) in [
            (&customer, "2026-11-24 09:00", "2026-11-24 09:00"),
            (&provider, "2026-11-27 10:00", "2026-11-24 13:00"),
            (&customer, "2026-11-24 10:00", "2026-11-24 10:00"),
            (&customer, "2026-11-30 10:00", "2026-11-24 13:00"),
        ] {
            let moved = world.reschedule(caller, &pending.name, start).await.unwrap();
            assert_eq!((moved.state(), &*local(moved.expire_time)), (State::Pending, expires));
        }
        world.cancel(&customer, &pending.name).await.unwrap();
    }
    // Another expiry of the type is for requests that are made then.
    let pending = world.book_type(&customer, &provider, &asked, "2026-11-23 10:00").await.unwrap();
    let later = AppointmentType { request_expiry: minutes(60 * 24 * 20), ..asked };
    world.change_type(&provider, later, &["request_expiry"]).await;
    let moved = world.reschedule(&customer, &pending.name, "2026-11-30 10:00").await.unwrap();
    assert_eq!(local(moved.expire_time), "2026-11-24 13:00");
    world.move_to("2026-11-24 13:00", "Europe/Berlin");
    let customer = world.log_in(&customer.user.email).await;
    let found = world.get(&customer, &pending.name).await.unwrap();
    assert_eq!(found.state(), State::Declined);
    books::check(&world.sql().await).await;
}

async fn who_takes_no_intervals_is_given_none(world: World) {
    let (one, two, customer, admin) = (
        world.provider().await,
        world.provider().await,
        world.customer().await,
        world.admin().await,
    );
    let (start, end) = (berlin("2026-11-23 10:00"), berlin("2026-11-23 10:30"));
    let name = world.book(&customer, &one, start, end).await.unwrap().name;
    accept_intervals(&world, &one, false).await;
    accept_intervals(&world, &two, false).await;
    let give = async |caller: &Person, override_reason: &str| {
        let request = ReassignAppointmentRequest {
            name: name.clone(),
            provider: two.provider(),
            override_reason: override_reason.to_owned(),
            ..Default::default()
        };
        world.booking().reassign_appointment(caller.asks(request)).await
    };
    let change = async |caller: &Person, until: &str, override_reason: &str| {
        let request = RescheduleAppointmentRequest {
            name: name.clone(),
            start_time: Some(berlin("2026-11-23 11:00")),
            end_time: Some(berlin(until)),
            override_reason: override_reason.to_owned(),
            ..Default::default()
        };
        let answer = world.booking().reschedule_appointment(caller.asks(request)).await?;
        Ok::<_, Status>(answer.into_inner().appointment.unwrap())
    };
    let before = world.state().await;
    refused(give(&one, "").await, "INTERVALS_NOT_ACCEPTED");
    refused(give(&admin, "").await, "INTERVALS_NOT_ACCEPTED");
    for caller in [&customer, &one] {
        let longer = change(caller, "2026-11-23 11:31", "").await;
        refused(longer, "INTERVALS_NOT_ACCEPTED");
    }
    assert_eq!(world.state().await, before);
    // What was agreed can be moved, and be shorter.
    change(&customer, "2026-11-23 11:30", "").await.unwrap();
    world.reschedule(&customer, &name, "2026-11-23 12:00").await.unwrap();
    change(&customer, "2026-11-23 11:20", "").await.unwrap();
    refused(change(&customer, "2026-11-23 11:30", "").await, "INTERVALS_NOT_ACCEPTED");
    change(&one, "2026-11-23 12:00", "it takes longer").await.unwrap();
    give(&admin, "both agreed").await.unwrap();
    books::check(&world.sql().await).await;
}

async fn kinds(world: &World, caller: &Person, name: &str) -> Vec<Kind> {
    let events = world.events_of(caller, name).await.unwrap();
    events.iter().map(|event| event.kind()).collect()
}

async fn an_expiry_is_history_from_its_moment_on(world: World) {
    let (provider, customer, other) =
        (world.provider().await, world.customer().await, world.customer().await);
    let asked =
        AppointmentType { requires_approval: true, request_expiry: minutes(60), ..kind(&[30]) };
    let asked = world.own_type(&provider, asked).await;
    let pending = world.book_type(&customer, &provider, &asked, "2026-11-23 10:00").await.unwrap();
    world.move_to("2026-11-22 13:59:59", "Europe/Berlin");
    assert_eq!(kinds(&world, &customer, &pending.name).await, [Kind::Requested]);
    world.move_to("2026-11-22 14:30", "Europe/Berlin");
    let before = world.state().await;
    for caller in [&customer, &provider] {
        let found = world.get(caller, &pending.name).await.unwrap();
        assert_eq!(found.state(), State::Declined);
        let events = world.events_of(caller, &pending.name).await.unwrap();
        assert_eq!(events.len(), 2);
        assert_eq!((events[1].kind(), events[1].actor.as_str()), (Kind::Expired, ""));
        assert_eq!(local(events[1].occur_time), "2026-11-22 14:00");
        assert_eq!(events[1].reason, "nobody answered in time");
        // It has no number before it is written down.
        assert_eq!(events[1].version, 0);
    }
    assert_eq!(world.state().await, before);
    // Written down it is the same, with a number.
    world.book_type(&other, &provider, &asked, "2026-11-23 10:00").await.unwrap();
    let events = world.events_of(&customer, &pending.name).await.unwrap();
    assert_eq!(kinds(&world, &customer, &pending.name).await, [Kind::Requested, Kind::Expired]);
    assert_eq!(local(events[1].occur_time), "2026-11-22 14:00");
    assert!(events[1].version > events[0].version);
}

async fn the_expiry_is_on_the_last_page(world: World) {
    let (provider, customer) = (world.provider().await, world.customer().await);
    let asked =
        AppointmentType { requires_approval: true, request_expiry: minutes(60), ..kind(&[30]) };
    let asked = world.own_type(&provider, asked).await;
    let pending = world.send(&customer, anybodys(&asked, "2026-11-23 10:00")).await.unwrap();
    for message in ["soon", "sooner"] {
        let customer_message = message.to_owned();
        let etag = String::new();
        let appointment = Some(Appointment { customer_message, etag, ..pending.clone() });
        let request = UpdateAppointmentRequest { appointment, ..Default::default() };
        world.booking().update_appointment(provider.asks(request)).await.unwrap();
    }
    world.move_to("2026-11-22 14:00", "Europe/Berlin");
    let expected = [Kind::Requested, Kind::Updated, Kind::Updated, Kind::Expired];
    for page_size in 1..=5 {
        let mut request = ListAppointmentEventsRequest {
            parent: pending.name.clone(),
            page_size,
            ..Default::default()
        };
        let mut found = Vec::new();
        loop {
            let asked = customer.asks(request.clone());
            let page = world.booking().list_appointment_events(asked).await.unwrap().into_inner();
            assert!(page.events.len() <= usize::try_from(page_size).unwrap());
            found.extend(page.events.iter().map(|event| event.kind()));
            request.page_token = page.next_page_token;
            if request.page_token.is_empty() {
                break;
            }
        }
        assert_eq!(found, expected, "{page_size}");
    }
}
