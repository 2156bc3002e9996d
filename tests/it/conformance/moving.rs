//! Moving an appointment: to another time, and to another provider.

use daybook::grpc::proto::booking::{
    Appointment, AppointmentType, BookAppointmentRequest, CompleteAppointmentRequest,
    ReassignAppointmentRequest, RescheduleAppointmentRequest, appointment::State,
    appointment_event::Kind,
};
use tonic::Status;

use super::behaviours;
use crate::support::{
    World, berlin, books,
    people::{Person, uuid},
    refusal::{invalid, reasons_of, refused},
    types::{holding, kind, local, minutes, typed},
};

behaviours!(
    an_appointment_moves_in_one_act,
    it_does_not_stand_in_its_own_way,
    a_refused_move_changes_nothing,
    the_length_stays_unless_it_is_a_bare_interval,
    customers_move_and_cancel_until_the_cut_off,
    staff_move_against_the_rules_with_a_reason,
    a_pending_one_stays_pending,
    only_parties_move_an_appointment,
    moves_are_retried_and_made_as_they_were_seen,
    an_appointment_is_given_to_another_provider,
    it_is_given_back,
    not_everybody_can_take_it,
    a_pending_one_is_given_as_it_is,
    bad_moves_are_told_by_field,
);

async fn change(
    world: &World,
    caller: &Person,
    request: RescheduleAppointmentRequest,
) -> Result<Appointment, Status> {
    let answer = world.booking().reschedule_appointment(caller.asks(request)).await?;
    Ok(answer.into_inner().appointment.unwrap())
}

fn to(name: &str, start: &str) -> RescheduleAppointmentRequest {
    RescheduleAppointmentRequest {
        name: name.to_owned(),
        start_time: Some(berlin(start)),
        ..Default::default()
    }
}

async fn give(
    world: &World,
    caller: &Person,
    request: ReassignAppointmentRequest,
) -> Result<Appointment, Status> {
    let answer = world.booking().reassign_appointment(caller.asks(request)).await?;
    Ok(answer.into_inner().appointment.unwrap())
}

fn with(name: &str, provider: &Person) -> ReassignAppointmentRequest {
    let (name, provider) = (name.to_owned(), provider.provider());
    ReassignAppointmentRequest { name, provider, ..Default::default() }
}

async fn an_appointment_moves_in_one_act(world: World) {
    let (provider, customer, other) =
        (world.provider().await, world.customer().await, world.customer().await);
    let plain = world.own_type(&provider, kind(&[30])).await;
    let old = world.book_type(&customer, &provider, &plain, "2026-11-23 10:00").await.unwrap();
    world.move_to("2026-11-22 14:00", "Europe/Berlin");
    let request = RescheduleAppointmentRequest {
        reason: "a train strike".to_owned(),
        ..to(&old.name, "2026-11-24 15:00")
    };
    let moved = change(&world, &customer, request).await.unwrap();
    let expected = Appointment {
        start_time: Some(berlin("2026-11-24 15:00")),
        end_time: Some(berlin("2026-11-24 15:30")),
        local_start_time: "2026-11-24T15:00:00".to_owned(),
        update_time: moved.update_time,
        etag: moved.etag.clone(),
        ..old.clone()
    };
    assert_eq!(moved, expected);
    assert_eq!(local(moved.update_time), "2026-11-22 14:00");
    assert_ne!(moved.etag, old.etag);
    assert_eq!(world.get(&provider, &old.name).await.unwrap(), moved);

    let events = world.events_of(&customer, &old.name).await.unwrap();
    assert_eq!(events.len(), 2);
    let event = &events[1];
    assert_eq!((event.kind(), event.actor.as_str()), (Kind::Rescheduled, &*customer.user.name));
    assert_eq!((event.start_time, event.end_time), (moved.start_time, moved.end_time));
    assert_eq!(event.previous_start_time, old.start_time);
    assert_eq!(event.previous_end_time, old.end_time);
    assert_eq!(event.reason, "a train strike");
    // The old time is free at once, the new one taken.
    world.book_type(&other, &provider, &plain, "2026-11-23 10:00").await.unwrap();
    let taken = world.book_type(&other, &provider, &plain, "2026-11-24 15:00").await;
    refused(taken, "SLOT_TAKEN");
    books::check(&world.sql().await).await;
}

async fn it_does_not_stand_in_its_own_way(world: World) {
    let (provider, customer) = (world.provider().await, world.customer().await);
    let buffered = AppointmentType {
        buffer_before: minutes(15),
        buffer_after: minutes(15),
        slot_step: minutes(15),
        ..kind(&[60])
    };
    let buffered = world.own_type(&provider, buffered).await;
    let name =
        world.book_type(&customer, &provider, &buffered, "2026-11-23 10:00").await.unwrap().name;
    for start in ["2026-11-23 10:30", "2026-11-23 10:15", "2026-11-23 09:15"] {
        let moved = world.reschedule(&customer, &name, start).await.unwrap();
        assert_eq!(local(moved.start_time), start);
        assert_eq!((moved.buffer_before, moved.buffer_after), (minutes(15), minutes(15)));
    }
    let (start, end) = (berlin("2026-11-23 13:00"), berlin("2026-11-23 14:00"));
    let bare = world.book(&customer, &provider, start, end).await.unwrap();
    world.reschedule(&provider, &bare.name, "2026-11-23 13:30").await.unwrap();
    world.reschedule(&customer, &bare.name, "2026-11-23 13:29").await.unwrap();
    books::check(&world.sql().await).await;
}

async fn a_refused_move_changes_nothing(world: World) {
    let (provider, elsewhere, customer, other) = (
        world.provider().await,
        world.provider().await,
        world.customer().await,
        world.customer().await,
    );
    let noticed = AppointmentType { minimum_notice: minutes(18 * 60), ..kind(&[30]) };
    let noticed = world.own_type(&provider, noticed).await;
    let plain = world.own_type(&provider, kind(&[30])).await;
    let mine = world.book_type(&customer, &provider, &noticed, "2026-11-23 10:00").await.unwrap();
    world.book_type(&other, &provider, &noticed, "2026-11-23 11:00").await.unwrap();
    world.hold(&other, holding(&provider, &plain, "2026-11-23 12:00")).await.unwrap();
    let (start, end) = (berlin("2026-11-23 14:00"), berlin("2026-11-23 15:00"));
    world.book(&customer, &elsewhere, start, end).await.unwrap();
    world.time_off(&provider, "2026-11-24 00:00", "2026-11-25 00:00").await;
    let admin = world.admin().await;
    world.closure(&admin, "2026-11-25 00:00", "2026-11-26 00:00").await;
    let before = world.state().await;
    let slots = world.starts_of(&customer, &noticed, "2026-11-23").await;
    for (start, reason) in [
        ("2026-11-23 11:00", "SLOT_TAKEN"),
        ("2026-11-23 12:00", "SLOT_TAKEN"),
        ("2026-11-23 14:30", "CUSTOMER_BUSY"),
        ("2026-11-23 10:10", "OFF_GRID"),
        ("2026-11-23 18:00", "OUTSIDE_HOURS"),
        ("2026-11-24 10:00", "TIME_OFF"),
        ("2026-11-25 10:00", "PRACTICE_CLOSED"),
        ("2026-11-20 10:00", "IN_THE_PAST"),
        ("2026-11-22 20:00", "NOTICE_TOO_SHORT"),
    ] {
        refused(world.reschedule(&customer, &mine.name, start).await, reason);
        refused(world.reschedule(&provider, &mine.name, start).await, reason);
    }
    assert_eq!(world.state().await, before);
    assert_eq!(world.get(&customer, &mine.name).await.unwrap(), mine);
    assert_eq!(world.starts_of(&customer, &noticed, "2026-11-23").await, slots);
    books::check(&world.sql().await).await;
}

async fn the_length_stays_unless_it_is_a_bare_interval(world: World) {
    let (provider, customer) = (world.provider().await, world.customer().await);
    let both = world.own_type(&provider, kind(&[30, 90])).await;
    let long = BookAppointmentRequest {
        duration: minutes(90),
        ..typed(&provider, &both, "2026-11-23 10:00")
    };
    let long = world.send(&customer, long).await.unwrap();
    let moved = world.reschedule(&customer, &long.name, "2026-11-24 10:30").await.unwrap();
    assert_eq!(local(moved.end_time), "2026-11-24 12:00");
    let before = world.state().await;
    let call = async |request| world.booking().reschedule_appointment(customer.asks(request)).await;
    let end_time = Some(berlin("2026-11-24 14:00"));
    let request = RescheduleAppointmentRequest { end_time, ..to(&long.name, "2026-11-24 13:00") };
    invalid(call(request).await, &["end_time"]);
    invalid(call(to(&long.name, "2026-11-24 10:30")).await, &["start_time"]);
    assert_eq!(world.state().await, before);

    let (start, end) = (berlin("2026-11-23 10:00"), berlin("2026-11-23 11:00"));
    let bare = world.book(&customer, &provider, start, end).await.unwrap();
    let end_time = Some(berlin("2026-11-23 10:20"));
    let shorter = RescheduleAppointmentRequest { end_time, ..to(&bare.name, "2026-11-23 10:00") };
    let shorter = change(&world, &customer, shorter).await.unwrap();
    assert_eq!((shorter.start_time, shorter.end_time), (Some(start), end_time));
    let moved = world.reschedule(&customer, &bare.name, "2026-11-23 12:07").await.unwrap();
    assert_eq!(local(moved.end_time), "2026-11-23 12:27");
    let before = world.state().await;
    invalid(call(to(&bare.name, "2026-11-23 12:07")).await, &["start_time"]);
    let end_time = Some(berlin("2026-11-24 12:00"));
    let request = RescheduleAppointmentRequest { end_time, ..to(&bare.name, "2026-11-23 12:00") };
    let status = refused(change(&world, &customer, request).await, "TOO_LONG");
    assert_eq!(reasons_of(&status), ["TOO_LONG", "OUTSIDE_HOURS"]);
    assert_eq!(world.state().await, before);
    books::check(&world.sql().await).await;
}

async fn customers_move_and_cancel_until_the_cut_off(world: World) {
    let (provider, customer, admin) =
        (world.provider().await, world.customer().await, world.admin().await);
    let firm = AppointmentType {
        cancel_cutoff: minutes(60),
        reschedule_cutoff: minutes(120),
        ..kind(&[30])
    };
    let firm = world.own_type(&provider, firm).await;
    let name = world.book_type(&customer, &provider, &firm, "2026-11-23 11:00").await.unwrap().name;
    let second =
        world.book_type(&customer, &provider, &firm, "2026-11-23 12:00").await.unwrap().name;
    // What was agreed stays when the type changes.
    let lax = AppointmentType { cancel_cutoff: None, reschedule_cutoff: None, ..firm };
    world.change_type(&provider, lax, &["cancel_cutoff", "reschedule_cutoff"]).await;
    world.move_to("2026-11-23 09:00", "Europe/Berlin");
    world.reschedule(&customer, &name, "2026-11-23 11:30").await.unwrap();
    world.move_to("2026-11-23 09:30:01", "Europe/Berlin");
    let before = world.state().await;
    refused(world.reschedule(&customer, &name, "2026-11-24 11:00").await, "TOO_LATE");
    assert_eq!(world.state().await, before);
    world.reschedule(&provider, &name, "2026-11-23 15:00").await.unwrap();
    world.reschedule(&admin, &name, "2026-11-23 11:30").await.unwrap();
    world.move_to("2026-11-23 10:30", "Europe/Berlin");
    world.cancel(&customer, &name).await.unwrap();
    world.move_to("2026-11-23 11:00:01", "Europe/Berlin");
    let before = world.state().await;
    refused(world.cancel(&customer, &second).await, "TOO_LATE");
    assert_eq!(world.state().await, before);
    world.cancel(&provider, &second).await.unwrap();
    books::check(&world.sql().await).await;
}

async fn staff_move_against_the_rules_with_a_reason(world: World) {
    let (provider, customer, other) =
        (world.provider().await, world.customer().await, world.customer().await);
    let plain = world.own_type(&provider, kind(&[30])).await;
    let name =
        world.book_type(&customer, &provider, &plain, "2026-11-23 10:00").await.unwrap().name;
    world.book_type(&other, &provider, &plain, "2026-11-23 11:00").await.unwrap();
    let against = |start: &str| RescheduleAppointmentRequest {
        override_reason: "an emergency".to_owned(),
        ..to(&name, start)
    };
    let before = world.state().await;
    refused(change(&world, &customer, against("2026-11-23 20:10")).await, "ROLE_NOT_ALLOWED");
    refused(change(&world, &provider, against("2026-11-23 10:50")).await, "SLOT_TAKEN");
    refused(change(&world, &provider, against("2026-11-22 10:50")).await, "IN_THE_PAST");
    assert_eq!(world.state().await, before);
    let moved = change(&world, &provider, against("2026-11-23 20:10")).await.unwrap();
    assert_eq!(moved.override_reason, "an emergency");
    let events = world.events_of(&provider, &name).await.unwrap();
    assert_eq!(events[1].override_reason, "an emergency");
    assert_eq!(events[1].actor, provider.user.name);
    change(&world, &world.admin().await, against("2026-11-29 03:33")).await.unwrap();
    books::check(&world.sql().await).await;
}

async fn a_pending_one_stays_pending(world: World) {
    let (provider, customer) = (world.provider().await, world.customer().await);
    let asked = AppointmentType { requires_approval: true, ..kind(&[30]) };
    let asked = world.own_type(&provider, asked).await;
    let pending = world.book_type(&customer, &provider, &asked, "2026-11-23 10:00").await.unwrap();
    let moved = world.reschedule(&provider, &pending.name, "2026-11-24 10:00").await.unwrap();
    // Cut off by the old start before, by the new one now.
    assert_eq!(pending.expire_time, pending.start_time);
    assert_eq!((moved.state(), moved.expire_time), (State::Pending, moved.start_time));
    books::check(&world.sql().await).await;
}

async fn only_parties_move_an_appointment(world: World) {
    let (provider, customer) = (world.provider().await, world.customer().await);
    let strangers = [world.customer().await, world.provider().await];
    let (start, end) = (berlin("2026-11-23 09:00"), berlin("2026-11-23 10:00"));
    let name = world.book(&customer, &provider, start, end).await.unwrap().name;
    let before = world.state().await;
    for stranger in &strangers {
        let moved = world.reschedule(stranger, &name, "2026-11-23 12:00").await;
        refused(moved, "NOT_FOUND");
    }
    refused(give(&world, &strangers[1], with(&name, &strangers[1])).await, "NOT_FOUND");
    refused(give(&world, &customer, with(&name, &strangers[1])).await, "ROLE_NOT_ALLOWED");
    assert_eq!(world.state().await, before);
    world.move_to("2026-11-23 09:00", "Europe/Berlin");
    let request = CompleteAppointmentRequest { name: name.clone(), ..Default::default() };
    world.booking().complete_appointment(provider.asks(request)).await.unwrap();
    let before = world.state().await;
    refused(world.reschedule(&customer, &name, "2026-11-23 12:00").await, "WRONG_STATE");
    refused(give(&world, &provider, with(&name, &strangers[1])).await, "WRONG_STATE");
    assert_eq!(world.state().await, before);
}

async fn moves_are_retried_and_made_as_they_were_seen(world: World) {
    let (provider, two, customer) =
        (world.provider().await, world.provider().await, world.customer().await);
    let (start, end) = (berlin("2026-11-23 09:00"), berlin("2026-11-23 10:00"));
    let old = world.book(&customer, &provider, start, end).await.unwrap();
    let request = RescheduleAppointmentRequest {
        etag: old.etag.clone(),
        request_id: uuid(),
        ..to(&old.name, "2026-11-23 12:00")
    };
    let moved = change(&world, &customer, request.clone()).await.unwrap();
    let before = world.state().await;
    assert_eq!(change(&world, &customer, request.clone()).await.unwrap(), moved);
    let stale = RescheduleAppointmentRequest { request_id: uuid(), ..request.clone() };
    refused(change(&world, &customer, stale).await, "ETAG_STALE");
    let other = to(&old.name, "2026-11-23 13:00");
    let other = RescheduleAppointmentRequest { request_id: request.request_id.clone(), ..other };
    refused(change(&world, &customer, other).await, "REQUEST_ID_REUSED");
    assert_eq!(world.state().await, before);

    let given = ReassignAppointmentRequest { etag: old.etag, ..with(&old.name, &two) };
    refused(give(&world, &provider, given.clone()).await, "ETAG_STALE");
    let given = ReassignAppointmentRequest { etag: moved.etag, request_id: uuid(), ..given };
    let taken = give(&world, &provider, given.clone()).await.unwrap();
    let before = world.state().await;
    assert_eq!(give(&world, &provider, given).await.unwrap(), taken);
    assert_eq!(change(&world, &customer, request).await.unwrap().start_time, moved.start_time);
    assert_eq!(world.state().await, before);
    books::check(&world.sql().await).await;
}

async fn an_appointment_is_given_to_another_provider(world: World) {
    let (one, two, customer, admin) = (
        world.provider().await,
        world.provider().await,
        world.customer().await,
        world.admin().await,
    );
    let dear = AppointmentType { price: "80 EUR".to_owned(), ..kind(&[30]) };
    let dear = world.shared_type(&admin, dear, &[&one, &two]).await;
    let request = BookAppointmentRequest {
        note: "with a dog".to_owned(),
        ..typed(&one, &dear, "2026-11-23 10:00")
    };
    let old = world.send(&customer, request).await.unwrap();
    let request =
        ReassignAppointmentRequest { reason: "I am ill".to_owned(), ..with(&old.name, &two) };
    let new = give(&world, &one, request).await.unwrap();
    assert_eq!((new.provider.clone(), new.state()), (two.provider(), State::Booked));
    assert_eq!((new.start_time, new.end_time), (old.start_time, old.end_time));
    assert_eq!((new.note.as_str(), new.price.as_str()), ("with a dog", "80 EUR"));
    assert_eq!((new.predecessor.as_str(), new.successor.as_str()), (&*old.name, ""));
    assert_eq!(world.get(&customer, &new.name).await.unwrap(), new);
    assert_eq!(world.get(&two, &new.name).await.unwrap(), new);
    let left = world.get(&customer, &old.name).await.unwrap();
    assert_eq!((left.state(), left.cancel_reason.as_str()), (State::Cancelled, "I am ill"));
    assert_eq!((left.predecessor.as_str(), left.successor.as_str()), ("", &*new.name));

    let events = world.events_of(&customer, &old.name).await.unwrap();
    assert_eq!(events.last().unwrap().kind(), Kind::Reassigned);
    assert_eq!(events.last().unwrap().reason, "I am ill");
    let events = world.events_of(&customer, &new.name).await.unwrap();
    assert_eq!(events.len(), 1);
    // Whoever gave it away is a colleague of the provider's, whom the customer knows as the practice.
    assert_eq!((events[0].kind(), events[0].actor.as_str()), (Kind::Booked, ""));
    assert_eq!(events[0].actor_display_name, "the practice");
    assert_eq!(world.events_of(&two, &new.name).await.unwrap()[0].actor, one.user.name);
    assert_eq!(events[0].start_time, new.start_time);
    // The old time is free, the new one taken.
    let other = world.customer().await;
    world.book_type(&other, &one, &dear, "2026-11-23 10:00").await.unwrap();
    let taken = world.book_type(&world.customer().await, &two, &dear, "2026-11-23 10:00").await;
    refused(taken, "SLOT_TAKEN");
    books::check(&world.sql().await).await;
}

async fn it_is_given_back(world: World) {
    let (one, two, customer, admin) = (
        world.provider().await,
        world.provider().await,
        world.customer().await,
        world.admin().await,
    );
    let (start, end) = (berlin("2026-11-23 09:00"), berlin("2026-11-23 10:00"));
    let mut chain = vec![world.book(&customer, &one, start, end).await.unwrap().name];
    for next in [&two, &one, &two, &one] {
        let last = chain.last().unwrap();
        chain.push(give(&world, &admin, with(last, next)).await.unwrap().name);
    }
    for (place, name) in chain.iter().enumerate() {
        let found = world.get(&customer, name).await.unwrap();
        let before = place.checked_sub(1).map(|before| chain[before].clone());
        assert_eq!(found.predecessor, before.unwrap_or_default());
        assert_eq!(found.successor, chain.get(place + 1).cloned().unwrap_or_default());
        let last = place + 1 == chain.len();
        assert_eq!(found.state(), if last { State::Booked } else { State::Cancelled });
    }
    assert_eq!(books::check(&world.sql().await).await.len(), 5);
}

async fn not_everybody_can_take_it(world: World) {
    let (one, two, three, customer) = (
        world.provider().await,
        world.provider().await,
        world.provider().await,
        world.customer().await,
    );
    let admin = world.admin().await;
    let shared = world.shared_type(&admin, kind(&[30]), &[&one, &two]).await;
    let name = world.book_type(&customer, &one, &shared, "2026-11-23 10:00").await.unwrap().name;
    let twos = world.book_type(&two, &one, &shared, "2026-11-23 11:00").await.unwrap().name;
    let (start, end) = (berlin("2026-11-23 10:15"), berlin("2026-11-23 10:20"));
    let blocking = world.book(&world.customer().await, &two, start, end).await.unwrap().name;
    let before = world.state().await;
    let call = async |request| world.booking().reassign_appointment(one.asks(request)).await;
    invalid(call(with(&name, &one)).await, &["provider"]);
    refused(give(&world, &one, with(&name, &three)).await, "NOT_OFFERED");
    refused(give(&world, &one, with(&name, &customer)).await, "OWN_TIME");
    refused(give(&world, &one, with(&name, &admin)).await, "NOT_FOUND");
    refused(give(&world, &one, with(&twos, &two)).await, "OWN_TIME");
    refused(give(&world, &one, with(&name, &two)).await, "SLOT_TAKEN");
    let forced = ReassignAppointmentRequest {
        override_reason: "an emergency".to_owned(),
        ..with(&name, &two)
    };
    refused(give(&world, &admin, forced.clone()).await, "SLOT_TAKEN");
    assert_eq!(world.state().await, before);
    world.cancel(&two, &blocking).await.unwrap();
    world.time_off(&two, "2026-11-23 00:00", "2026-11-24 00:00").await;
    let before = world.state().await;
    refused(give(&world, &one, with(&name, &two)).await, "TIME_OFF");
    assert_eq!(world.state().await, before);
    let new = give(&world, &admin, forced).await.unwrap();
    assert_eq!((new.override_reason.as_str(), new.provider), ("an emergency", two.provider()));
    books::check(&world.sql().await).await;
}

async fn a_pending_one_is_given_as_it_is(world: World) {
    let (one, two, customer) =
        (world.provider().await, world.provider().await, world.customer().await);
    let asked = AppointmentType { requires_approval: true, ..kind(&[30]) };
    let asked = world.shared_type(&world.admin().await, asked, &[&one, &two]).await;
    let pending = world.book_type(&customer, &one, &asked, "2026-11-23 10:00").await.unwrap();
    let new = give(&world, &one, with(&pending.name, &two)).await.unwrap();
    assert_eq!((new.state(), new.expire_time), (State::Pending, pending.expire_time));
    let left = world.get(&customer, &pending.name).await.unwrap();
    assert_eq!((left.state(), left.expire_time), (State::Cancelled, None));
    let events = world.events_of(&two, &new.name).await.unwrap();
    assert_eq!(events[0].kind(), Kind::Requested);
    books::check(&world.sql().await).await;
}

async fn bad_moves_are_told_by_field(world: World) {
    let provider = world.provider().await;
    let before = world.state().await;
    let bad = RescheduleAppointmentRequest {
        name: "x".to_owned(),
        start_time: None,
        end_time: Some(prost_types::Timestamp { seconds: -1, nanos: 0 }),
        reason: "x".repeat(501),
        override_reason: "x".repeat(501),
        etag: "x".to_owned(),
        request_id: "x".to_owned(),
    };
    let fields =
        ["name", "start_time", "end_time", "reason", "override_reason", "etag", "request_id"];
    invalid(world.booking().reschedule_appointment(provider.asks(bad)).await, &fields);
    let bad = ReassignAppointmentRequest {
        name: "x".to_owned(),
        provider: "x".to_owned(),
        reason: "\0".to_owned(),
        override_reason: "\0".to_owned(),
        etag: "x".to_owned(),
        request_id: "x".to_owned(),
    };
    let fields = ["name", "provider", "reason", "override_reason", "etag", "request_id"];
    invalid(world.booking().reassign_appointment(provider.asks(bad)).await, &fields);
    assert_eq!(world.state().await, before);
}
