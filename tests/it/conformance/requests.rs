//! Requests: appointments that wait for an answer.

use daybook::grpc::proto::booking::{
    Appointment, AppointmentType, ApproveAppointmentRequest, BookAppointmentRequest,
    DeclineAppointmentRequest, MarkNoShowRequest, UpdateAppointmentRequest, appointment::State,
    appointment_event::Kind,
};
use tonic::Status;
use tonic_types::StatusExt;

use super::behaviours;
use crate::support::{
    World, berlin, books,
    people::{Person, uuid},
    refusal::refused,
    types::{holding, kind, local, minutes, typed},
};

behaviours!(
    a_request_keeps_others_out_until_it_is_answered,
    a_declined_request_frees_its_time,
    an_unanswered_request_is_declined_whoever_looks,
    the_next_write_settles_what_expired,
    a_request_ends_at_its_start_at_the_latest,
    an_answer_is_given_once,
    an_expired_request_is_not_answered,
    an_expired_request_is_annotated_as_it_was_seen,
    a_pending_request_is_cancelled_by_either,
    a_request_is_withdrawn_until_it_ends_whatever_the_cut_off,
    only_the_providers_side_answers,
    an_expired_request_elsewhere_keeps_nobody_busy,
    answers_are_retried_by_request_id,
    what_staff_book_needs_no_approval,
    a_missed_appointment_is_marked,
);

/// A type of the provider's that takes approval, within so many minutes.
async fn asked(world: &World, provider: &Person, expiry: i64) -> AppointmentType {
    let asked =
        AppointmentType { requires_approval: true, request_expiry: minutes(expiry), ..kind(&[30]) };
    world.own_type(provider, asked).await
}

async fn approve(world: &World, caller: &Person, name: &str) -> Result<Appointment, Status> {
    let request = ApproveAppointmentRequest { name: name.to_owned(), ..Default::default() };
    let answer = world.booking().approve_appointment(caller.asks(request)).await?;
    Ok(answer.into_inner().appointment.unwrap())
}

async fn decline(
    world: &World,
    caller: &Person,
    name: &str,
    reason: &str,
) -> Result<Appointment, Status> {
    let (name, reason) = (name.to_owned(), reason.to_owned());
    let request = DeclineAppointmentRequest { name, reason, ..Default::default() };
    let answer = world.booking().decline_appointment(caller.asks(request)).await?;
    Ok(answer.into_inner().appointment.unwrap())
}

/// The state that a refusal says the appointment is in.
#[track_caller]
fn state_of<T: std::fmt::Debug>(answer: Result<T, Status>) -> String {
    let status = refused(answer, "WRONG_STATE");
    status.get_error_details().error_info().unwrap().metadata["state"].clone()
}

async fn kinds(world: &World, caller: &Person, name: &str) -> Vec<Kind> {
    let events = world.events_of(caller, name).await.unwrap();
    events.iter().map(|event| event.kind()).collect()
}

async fn a_request_keeps_others_out_until_it_is_answered(world: World) {
    let (provider, customer, other) =
        (world.provider().await, world.customer().await, world.customer().await);
    let asked = asked(&world, &provider, 60).await;
    let plain = world.own_type(&provider, kind(&[30])).await;
    let pending = world.book_type(&customer, &provider, &asked, "2026-11-23 10:00").await.unwrap();
    assert_eq!(pending.state(), State::Pending);
    assert_eq!(local(pending.expire_time), "2026-11-22 14:00");
    let elsewhere = world.provider().await;
    let before = world.state().await;
    for kind in [&asked, &plain] {
        let start = "2026-11-23 10:00";
        refused(world.book_type(&other, &provider, kind, start).await, "SLOT_TAKEN");
        refused(world.hold(&other, holding(&provider, kind, start)).await, "SLOT_TAKEN");
        assert_eq!(world.starts_of(&other, kind, "2026-11-23").await.len(), 15);
    }
    let (start, end) = (berlin("2026-11-23 10:10"), berlin("2026-11-23 10:20"));
    refused(world.book(&other, &provider, start, end).await, "SLOT_TAKEN");
    refused(world.book(&customer, &elsewhere, start, end).await, "CUSTOMER_BUSY");
    assert_eq!(world.state().await, before);

    let booked = approve(&world, &provider, &pending.name).await.unwrap();
    assert_eq!(booked.state(), State::Booked);
    assert_eq!(booked.expire_time, None);
    assert_ne!(booked.etag, pending.etag);
    assert_eq!(kinds(&world, &customer, &booked.name).await, [Kind::Requested, Kind::Approved]);
    // It is a booking like others now, and does not expire.
    world.move_to("2026-11-22 15:00", "Europe/Berlin");
    assert_eq!(world.get(&customer, &booked.name).await.unwrap(), booked);
    refused(world.book_type(&other, &provider, &plain, "2026-11-23 10:00").await, "SLOT_TAKEN");
    books::check(&world.sql().await).await;
}

async fn a_declined_request_frees_its_time(world: World) {
    let (provider, customer, other) =
        (world.provider().await, world.customer().await, world.customer().await);
    let asked = asked(&world, &provider, 60).await;
    let pending = world.book_type(&customer, &provider, &asked, "2026-11-23 10:00").await.unwrap();
    let declined = decline(&world, &provider, &pending.name, "not on Mondays").await.unwrap();
    assert_eq!(declined.state(), State::Declined);
    assert_eq!(declined.cancel_reason, "not on Mondays");
    assert_eq!(declined.expire_time, None);
    assert_eq!(world.get(&customer, &pending.name).await.unwrap(), declined);
    assert_eq!(world.starts_of(&other, &asked, "2026-11-23").await.len(), 16);
    let events = world.events_of(&customer, &pending.name).await.unwrap();
    assert_eq!(events.last().unwrap().kind(), Kind::Declined);
    assert_eq!(events.last().unwrap().reason, "not on Mondays");
    assert_eq!(events.last().unwrap().actor, provider.user.name);
    world.book_type(&other, &provider, &asked, "2026-11-23 10:00").await.unwrap();
    books::check(&world.sql().await).await;
}

async fn an_unanswered_request_is_declined_whoever_looks(world: World) {
    let (provider, customer) = (world.provider().await, world.customer().await);
    let asked = asked(&world, &provider, 60).await;
    let pending = world.book_type(&customer, &provider, &asked, "2026-11-23 10:00").await.unwrap();
    let booked = world
        .book(&customer, &provider, berlin("2026-11-23 11:00"), berlin("2026-11-23 11:30"))
        .await
        .unwrap();
    world.move_to("2026-11-22 13:59:59", "Europe/Berlin");
    assert_eq!(world.get(&customer, &pending.name).await.unwrap(), pending);
    world.move_to("2026-11-22 14:00", "Europe/Berlin");
    let before = world.state().await;
    for caller in [&customer, &provider] {
        let found = world.get(caller, &pending.name).await.unwrap();
        assert_eq!(found.state(), State::Declined);
        assert_eq!(found.cancel_reason, "nobody answered in time");
        assert_eq!(
            (found.expire_time, local(found.update_time)),
            (None, "2026-11-22 14:00".into())
        );
    }
    let listed = async |states: &[State]| {
        let found = world.list(&customer, states).await;
        found.into_iter().map(|each| (each.name.clone(), each.state())).collect::<Vec<_>>()
    };
    let (gone, kept) =
        ((pending.name.clone(), State::Declined), (booked.name.clone(), State::Booked));
    assert_eq!(listed(&[]).await, [gone.clone(), kept.clone()]);
    assert_eq!(listed(&[State::Declined]).await, std::slice::from_ref(&gone));
    assert_eq!(listed(&[State::Pending]).await, []);
    assert_eq!(listed(&[State::Pending, State::Booked]).await, std::slice::from_ref(&kept));
    assert_eq!(listed(&[State::Declined, State::Booked]).await, [gone, kept]);
    assert_eq!(listed(&[State::Cancelled, State::Completed, State::NoShow]).await, []);
    assert_eq!(world.starts_of(&customer, &asked, "2026-11-23").await.len(), 15);
    let start = berlin("2026-11-23 10:00");
    assert!(world.explain(&customer, &provider, &asked, start).await.is_empty());
    // Looking writes nothing.
    assert_eq!(world.state().await, before);
}

async fn the_next_write_settles_what_expired(world: World) {
    let (provider, customer, other) =
        (world.provider().await, world.customer().await, world.customer().await);
    let asked = asked(&world, &provider, 60).await;
    let pending = world.book_type(&customer, &provider, &asked, "2026-11-23 10:00").await.unwrap();
    world.move_to("2026-11-22 14:30", "Europe/Berlin");
    let seen = world.get(&customer, &pending.name).await.unwrap();
    world.book_type(&other, &provider, &asked, "2026-11-23 10:00").await.unwrap();
    let states = books::check(&world.sql().await).await;
    assert_eq!(states[&pending.name], "declined");
    let found = world.get(&customer, &pending.name).await.unwrap();
    assert_eq!(Appointment { etag: seen.etag.clone(), ..found }, seen);
    let events = world.events_of(&customer, &pending.name).await.unwrap();
    assert_eq!(events.len(), 2);
    assert_eq!((events[1].kind(), events[1].actor.as_str()), (Kind::Expired, ""));
    assert_eq!(local(events[1].occur_time), "2026-11-22 14:00");
    assert_eq!(events[1].reason, "nobody answered in time");
}

async fn a_request_ends_at_its_start_at_the_latest(world: World) {
    let (provider, customer) = (world.provider().await, world.customer().await);
    let slow = asked(&world, &provider, 30 * 24 * 60).await;
    let usual = AppointmentType { requires_approval: true, ..kind(&[30]) };
    let usual = world.own_type(&provider, usual).await;
    let near = world.book_type(&customer, &provider, &slow, "2026-11-23 10:00").await.unwrap();
    assert_eq!(near.expire_time, Some(berlin("2026-11-23 10:00")));
    let far = world.book_type(&customer, &provider, &usual, "2026-11-27 10:00").await.unwrap();
    assert_eq!(local(far.expire_time), "2026-11-24 13:00");
    // Moved to an earlier time, it ends earlier.
    let moved = world.reschedule(&customer, &far.name, "2026-11-24 09:00").await.unwrap();
    assert_eq!(moved.state(), State::Pending);
    assert_eq!(local(moved.expire_time), "2026-11-24 09:00");
    world.move_to("2026-11-23 10:00", "Europe/Berlin");
    assert_eq!(state_of(approve(&world, &provider, &near.name).await), "declined");
}

async fn an_answer_is_given_once(world: World) {
    let (provider, customer, admin) =
        (world.provider().await, world.customer().await, world.admin().await);
    let asked = asked(&world, &provider, 60).await;
    let first = world.book_type(&customer, &provider, &asked, "2026-11-23 10:00").await.unwrap();
    let second = world.book_type(&customer, &provider, &asked, "2026-11-23 11:00").await.unwrap();
    let etag = first.etag.clone();
    approve(&world, &admin, &first.name).await.unwrap();
    decline(&world, &admin, &second.name, "").await.unwrap();
    let before = world.state().await;
    assert_eq!(state_of(approve(&world, &provider, &first.name).await), "booked");
    assert_eq!(state_of(decline(&world, &provider, &first.name, "").await), "booked");
    assert_eq!(state_of(approve(&world, &provider, &second.name).await), "declined");
    assert_eq!(state_of(decline(&world, &provider, &second.name, "").await), "declined");
    assert_eq!(state_of(world.cancel(&customer, &second.name).await), "declined");
    let stale = DeclineAppointmentRequest { name: first.name, etag, ..Default::default() };
    let answer = world.booking().decline_appointment(provider.asks(stale)).await;
    refused(answer, "ETAG_STALE");
    assert_eq!(world.state().await, before);
    books::check(&world.sql().await).await;
}

async fn an_expired_request_is_not_answered(world: World) {
    let (provider, customer) = (world.provider().await, world.customer().await);
    let asked = asked(&world, &provider, 60).await;
    let pending = world.book_type(&customer, &provider, &asked, "2026-11-23 10:00").await.unwrap();
    world.move_to("2026-11-22 14:00", "Europe/Berlin");
    assert_eq!(state_of(approve(&world, &provider, &pending.name).await), "declined");
    assert_eq!(state_of(decline(&world, &provider, &pending.name, "no").await), "declined");
    assert_eq!(state_of(world.cancel(&customer, &pending.name).await), "declined");
    let moved = world.reschedule(&customer, &pending.name, "2026-11-23 12:00").await;
    assert_eq!(state_of(moved), "declined");
    books::check(&world.sql().await).await;
}

async fn an_expired_request_is_annotated_as_it_was_seen(world: World) {
    let (provider, customer) = (world.provider().await, world.customer().await);
    let asked = asked(&world, &provider, 60).await;
    let pending = world.book_type(&customer, &provider, &asked, "2026-11-23 10:00").await.unwrap();
    world.move_to("2026-11-22 14:00", "Europe/Berlin");
    // What was read is the present version, though nothing of the expiry is written yet.
    let seen = world.get(&provider, &pending.name).await.unwrap();
    let request = ApproveAppointmentRequest {
        name: seen.name.clone(),
        etag: seen.etag.clone(),
        ..Default::default()
    };
    let answer = world.booking().approve_appointment(provider.asks(request)).await;
    assert_eq!(state_of(answer), "declined");
    let appointment = Appointment { customer_message: "I was away".to_owned(), ..seen };
    let request = UpdateAppointmentRequest { appointment: Some(appointment), ..Default::default() };
    let answer = world.booking().update_appointment(provider.asks(request)).await.unwrap();
    let changed = answer.into_inner().appointment.unwrap();
    assert_eq!(
        (changed.state(), changed.customer_message.as_str()),
        (State::Declined, "I was away")
    );
    books::check(&world.sql().await).await;
}

async fn a_pending_request_is_cancelled_by_either(world: World) {
    let (provider, customer) = (world.provider().await, world.customer().await);
    let asked = asked(&world, &provider, 60).await;
    for caller in [&customer, &provider] {
        let start = "2026-11-23 10:00";
        let pending = world.book_type(&customer, &provider, &asked, start).await.unwrap();
        let cancelled = world.cancel(caller, &pending.name).await.unwrap();
        assert_eq!((cancelled.state(), cancelled.expire_time), (State::Cancelled, None));
        // It stays cancelled when it would have expired.
        let events = kinds(&world, caller, &pending.name).await;
        assert_eq!(events, [Kind::Requested, Kind::Cancelled]);
    }
    world.move_to("2026-11-22 15:00", "Europe/Berlin");
    assert_eq!(world.list(&customer, &[State::Cancelled]).await.len(), 2);
    assert_eq!(world.list(&customer, &[State::Declined]).await.len(), 0);
    books::check(&world.sql().await).await;
}

async fn a_request_is_withdrawn_until_it_ends_whatever_the_cut_off(world: World) {
    let (provider, customer) = (world.provider().await, world.customer().await);
    let firm = AppointmentType {
        requires_approval: true,
        request_expiry: minutes(24 * 60),
        cancel_cutoff: minutes(24 * 60),
        ..kind(&[30])
    };
    let firm = world.own_type(&provider, firm).await;
    let book = async |start| world.book_type(&customer, &provider, &firm, start).await.unwrap();
    let (first, last) = (book("2026-11-23 10:00").await, book("2026-11-23 11:00").await);
    let agreed = book("2026-11-23 12:00").await;
    // Inside the cut-off from the beginning.
    let cancelled = world.cancel(&customer, &first.name).await.unwrap();
    assert_eq!(cancelled.state(), State::Cancelled);
    assert_eq!(world.starts_of(&customer, &firm, "2026-11-23").await.len(), 14);
    // What was agreed is bound by it.
    approve(&world, &provider, &agreed.name).await.unwrap();
    refused(world.cancel(&customer, &agreed.name).await, "TOO_LATE");
    // To the last second of the request, and no longer.
    let over = book("2026-11-23 10:30").await;
    world.move_to("2026-11-23 10:30", "Europe/Berlin");
    assert_eq!(state_of(world.cancel(&customer, &over.name).await), "declined");
    world.move_to("2026-11-23 10:59:59", "Europe/Berlin");
    assert_eq!(world.cancel(&customer, &last.name).await.unwrap().state(), State::Cancelled);
    books::check(&world.sql().await).await;
}

async fn only_the_providers_side_answers(world: World) {
    let (provider, customer) = (world.provider().await, world.customer().await);
    let stranger = world.provider().await;
    let asked = asked(&world, &provider, 60).await;
    // A provider who is the customer here is told that the role does not allow it.
    let pending = world.book_type(&stranger, &provider, &asked, "2026-11-23 10:00").await.unwrap();
    let others = world.book_type(&customer, &provider, &asked, "2026-11-23 11:00").await.unwrap();
    let before = world.state().await;
    refused(approve(&world, &customer, &others.name).await, "ROLE_NOT_ALLOWED");
    refused(decline(&world, &customer, &others.name, "").await, "ROLE_NOT_ALLOWED");
    refused(approve(&world, &stranger, &pending.name).await, "ROLE_NOT_ALLOWED");
    refused(decline(&world, &stranger, &pending.name, "").await, "ROLE_NOT_ALLOWED");
    refused(approve(&world, &stranger, &others.name).await, "NOT_FOUND");
    refused(decline(&world, &stranger, &others.name, "").await, "NOT_FOUND");
    assert_eq!(world.state().await, before);
}

async fn an_expired_request_elsewhere_keeps_nobody_busy(world: World) {
    let (one, two, customer) =
        (world.provider().await, world.provider().await, world.customer().await);
    let first = asked(&world, &one, 60).await;
    let plain = world.own_type(&two, kind(&[30])).await;
    for start in ["10:00", "11:00", "12:00", "13:00"] {
        let start = format!("2026-11-23 {start}");
        world.book_type(&customer, &one, &first, &start).await.unwrap();
    }
    let early = world.book_type(&customer, &two, &plain, "2026-11-23 09:00").await.unwrap();
    let request = typed(&two, &plain, "2026-11-23 10:00");
    refused(world.send(&customer, request.clone()).await, "CUSTOMER_BUSY");
    let held = holding(&two, &plain, "2026-11-23 11:00");
    refused(world.hold(&customer, held).await, "CUSTOMER_BUSY");
    world.move_to("2026-11-22 14:00", "Europe/Berlin");
    // The first booking settles all of that provider's; each begins with new ones.
    world.send(&customer, request).await.unwrap();
    let again = async |start: &str, now: &str, later: &str| {
        world.move_to(now, "Europe/Berlin");
        let pending = world.book_type(&customer, &one, &first, start).await.unwrap();
        world.move_to(later, "Europe/Berlin");
        pending
    };
    again("2026-11-23 11:00", "2026-11-22 14:01", "2026-11-22 15:01").await;
    let hold = world.hold(&customer, holding(&two, &plain, "2026-11-23 11:00")).await.unwrap();
    world.move_to("2026-11-22 15:04", "Europe/Berlin");
    world.book_hold(&customer, &hold).await.unwrap();
    again("2026-11-23 12:00", "2026-11-22 15:05", "2026-11-22 17:00").await;
    world.reschedule(&customer, &early.name, "2026-11-23 12:00").await.unwrap();
    again("2026-11-23 13:00", "2026-11-22 17:05", "2026-11-22 19:00").await;
    // Bare intervals, which on one engine go a way of their own.
    let (start, end) = (berlin("2026-11-23 13:00"), berlin("2026-11-23 13:30"));
    world.book(&customer, &two, start, end).await.unwrap();
    books::check(&world.sql().await).await;
}

async fn answers_are_retried_by_request_id(world: World) {
    let (provider, customer) = (world.provider().await, world.customer().await);
    let asked = asked(&world, &provider, 60).await;
    let request = BookAppointmentRequest {
        request_id: uuid(),
        ..typed(&provider, &asked, "2026-11-23 10:00")
    };
    let pending = world.send(&customer, request.clone()).await.unwrap();
    let name = pending.name.clone();
    let yes = ApproveAppointmentRequest { name, request_id: uuid(), ..Default::default() };
    let yes = async || world.booking().approve_appointment(provider.asks(yes.clone())).await;
    let approved = yes().await.unwrap().into_inner();
    world.cancel(&customer, &pending.name).await.unwrap();
    let before = world.state().await;
    assert_eq!(yes().await.unwrap().into_inner(), approved);
    assert_eq!(world.send(&customer, request).await.unwrap(), pending);
    assert_eq!(world.state().await, before);
    books::check(&world.sql().await).await;
}

async fn what_staff_book_needs_no_approval(world: World) {
    let (provider, customer, admin) =
        (world.provider().await, world.customer().await, world.admin().await);
    let asked = asked(&world, &provider, 60).await;
    for (caller, start) in [(&provider, "2026-11-23 10:00"), (&admin, "2026-11-23 11:00")] {
        let request = BookAppointmentRequest {
            customer: customer.user.name.clone(),
            ..typed(&provider, &asked, start)
        };
        let booked = world.send(caller, request).await.unwrap();
        assert_eq!((booked.state(), booked.expire_time), (State::Booked, None));
        assert_eq!(booked.customer, customer.user.name);
    }
}

async fn a_missed_appointment_is_marked(world: World) {
    let (provider, customer, other) =
        (world.provider().await, world.customer().await, world.customer().await);
    let (start, end) = (berlin("2026-11-23 10:00"), berlin("2026-11-23 10:30"));
    let name = world.book(&customer, &provider, start, end).await.unwrap().name;
    let asked = asked(&world, &provider, 60 * 24).await;
    let pending = world.book_type(&customer, &provider, &asked, "2026-11-23 11:00").await.unwrap();
    let miss = async |caller: &Person, name: &str| {
        let request = MarkNoShowRequest { name: name.to_owned(), ..Default::default() };
        let answer = world.booking().mark_no_show(caller.asks(request)).await?;
        Ok::<_, Status>(answer.into_inner().appointment.unwrap())
    };
    world.move_to("2026-11-23 09:59:59", "Europe/Berlin");
    let before = world.state().await;
    refused(miss(&provider, &name).await, "NOT_STARTED");
    assert_eq!(state_of(miss(&provider, &pending.name).await), "pending");
    refused(miss(&customer, &name).await, "ROLE_NOT_ALLOWED");
    refused(miss(&world.provider().await, &name).await, "NOT_FOUND");
    assert_eq!(world.count("SELECT count(*) FROM events").await, 5, "{before}");
    world.move_to("2026-11-23 10:00", "Europe/Berlin");
    let missed = miss(&provider, &name).await.unwrap();
    assert_eq!(missed.state(), State::NoShow);
    assert_eq!(kinds(&world, &customer, &name).await, [Kind::Booked, Kind::NoShow]);
    assert_eq!(world.list(&customer, &[State::NoShow]).await, [missed]);
    assert_eq!(state_of(miss(&provider, &name).await), "no_show");
    assert_eq!(state_of(world.cancel(&customer, &name).await), "no_show");
    assert_eq!(state_of(world.reschedule(&provider, &name, "2026-11-23 15:00").await), "no_show");
    // It still claims its time.
    let taken = world.book(&other, &provider, berlin("2026-11-23 10:15"), end).await;
    refused(taken, "SLOT_TAKEN");
    books::check(&world.sql().await).await;
}
