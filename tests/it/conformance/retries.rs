//! Retries: the same `request_id` and request give the same answer and one effect, for every write.

use std::collections::BTreeSet;

use daybook::grpc::proto::{
    auth::{ChangePasswordRequest, DisableUserRequest, Role, SignUpRequest, UpdateMeRequest, User},
    booking::{BookAppointmentRequest, CancelAppointmentRequest, Schedule, UpdateScheduleRequest},
};
use futures_util::future::join_all;
use prost::Message;

use super::{
    behaviours,
    schedules::{minutes, schedule_of},
    writes::{Case, cases, cast},
};
use crate::support::{
    World, berlin,
    people::{PASSWORD, booking, sign_up, uuid},
    refusal::{fields_of, refused},
};

behaviours!(
    every_write_has_one_effect_and_one_answer,
    an_id_is_refused_for_any_other_request,
    the_first_answer_is_given_whatever_happened_since,
    an_id_belongs_to_the_caller_who_gave_it,
    an_id_belongs_to_one_method,
    sixty_four_twins_book_once,
    sixty_four_twins_sign_up_once,
    twins_of_other_writes_have_one_effect,
    a_refused_request_keeps_nothing,
    a_booking_is_retried_after_the_hours_changed,
);

async fn every_write_has_one_effect_and_one_answer(world: World) {
    let (world, _) = world.mailing(&[]).await;
    let cast = cast(&world).await;
    for case in cases(&world, &cast).await {
        let before = world.state().await;
        let first = case.call(&world).await;
        let after = world.state().await;
        assert_ne!(after, before, "{}", case.path);
        for _ in 0..3 {
            assert_eq!(case.call(&world).await, first, "{}", case.path);
        }
        assert_eq!(world.state().await, after, "{}", case.path);
    }
}

async fn an_id_is_refused_for_any_other_request(world: World) {
    let (world, _) = world.mailing(&[]).await;
    let cast = cast(&world).await;
    for case in cases(&world, &cast).await {
        let first = case.call(&world).await;
        let before = world.state().await;
        for (field, request) in &case.changed {
            let answer = case.send(&world, request).await;
            assert!(answer.is_err(), "{} with another {field}", case.path);
            let status = refused(answer, "REQUEST_ID_REUSED");
            assert_eq!(fields_of(&status), ["request_id"]);
        }
        assert_eq!(world.state().await, before, "{}", case.path);
        assert_eq!(case.call(&world).await, first, "{}", case.path);
    }
}

async fn the_first_answer_is_given_whatever_happened_since(world: World) {
    let (world, _) = world.mailing(&[]).await;
    let cast = cast(&world).await;
    let cases = cases(&world, &cast).await;
    let mut answers = Vec::new();
    for case in &cases {
        answers.push(case.call(&world).await);
    }
    // Everything that was changed changes again.
    let [renamed, repassworded, promoted, disabled, ..] = &cast.people[..] else { panic!() };
    let user = User { display_name: "Later".to_owned(), ..Default::default() };
    let request = UpdateMeRequest { user: Some(user), ..Default::default() };
    world.auth().update_me(renamed.asks(request)).await.unwrap();
    let request = ChangePasswordRequest {
        current_password: "a new password".to_owned(),
        new_password: PASSWORD.to_owned(),
        ..Default::default()
    };
    world.auth().change_password(repassworded.asks(request)).await.unwrap();
    world.promote(&cast.admin, promoted, Role::Admin).await;
    let name = disabled.user.name.clone();
    let request = DisableUserRequest { name, ..Default::default() };
    world.auth().disable_user(cast.admin.asks(request)).await.unwrap();
    let place = cases.iter().position(|case| case.path.ends_with("/BookAppointment")).unwrap();
    let booked = daybook::grpc::proto::booking::BookAppointmentResponse::decode(&*answers[place]);
    let name = booked.unwrap().appointment.unwrap().name;
    let request = CancelAppointmentRequest { name, ..Default::default() };
    world.booking().cancel_appointment(cast.provider.asks(request)).await.unwrap();
    let schedule = Schedule {
        slot_duration: minutes(35),
        etag: String::new(),
        ..schedule_of(&world, &cast.provider).await
    };
    let request = UpdateScheduleRequest { schedule: Some(schedule), ..Default::default() };
    world.schedule().update_schedule(cast.provider.asks(request)).await.unwrap();
    let name = cast.provider.user.name.clone();
    let request = DisableUserRequest { name, ..Default::default() };
    world.auth().disable_user(cast.admin.asks(request)).await.unwrap();
    world.move_to("2026-11-23 12:59", "Europe/Berlin");

    let before = world.state().await;
    for (case, first) in cases.iter().zip(&answers) {
        assert_eq!(&case.call(&world).await, first, "{}", case.path);
    }
    assert_eq!(world.state().await, before);
}

async fn an_id_belongs_to_the_caller_who_gave_it(world: World) {
    let provider = world.provider().await;
    let request_id = uuid();
    let mut names = BTreeSet::new();
    for hour in 9..12 {
        let customer = world.customer().await;
        let (start, end) = (format!("2026-11-23 {hour:02}:00"), format!("2026-11-23 {hour:02}:30"));
        let request = BookAppointmentRequest {
            request_id: request_id.clone(),
            ..booking(&provider, berlin(&start), berlin(&end))
        };
        let booked = world.booking().book_appointment(customer.asks(request)).await.unwrap();
        names.insert(booked.into_inner().appointment.unwrap().name);
    }
    assert_eq!(names.len(), 3);
    // Also on the other methods, and for strangers.
    let stranger = SignUpRequest { request_id: request_id.clone(), ..sign_up(Role::Customer) };
    world.auth().sign_up(stranger.clone()).await.unwrap();
    let other = SignUpRequest { request_id: request_id.clone(), ..sign_up(Role::Customer) };
    refused(world.auth().sign_up(other).await, "REQUEST_ID_REUSED");
    let user = Some(User { display_name: "Grace".to_owned(), ..Default::default() });
    let request = UpdateMeRequest { user, request_id, ..Default::default() };
    let person = world.log_in(&stranger.email).await;
    world.auth().update_me(person.asks(request.clone())).await.unwrap();
    world.auth().update_me(provider.asks(request)).await.unwrap();
}

async fn an_id_belongs_to_one_method(world: World) {
    let (provider, customer) = (world.provider().await, world.customer().await);
    let (start, end) = (berlin("2026-11-23 10:00"), berlin("2026-11-23 10:30"));
    let request_id = uuid();
    let request =
        BookAppointmentRequest { request_id: request_id.clone(), ..booking(&provider, start, end) };
    let booked = world.booking().book_appointment(customer.asks(request)).await.unwrap();
    let name = booked.into_inner().appointment.unwrap().name;
    let before = world.state().await;
    let cancel =
        CancelAppointmentRequest { name, request_id: request_id.clone(), ..Default::default() };
    let answer = world.booking().cancel_appointment(customer.asks(cancel)).await;
    refused(answer, "REQUEST_ID_REUSED");
    let user = Some(User { display_name: "Grace".to_owned(), ..Default::default() });
    let update = UpdateMeRequest { user, request_id: request_id.clone(), ..Default::default() };
    refused(world.auth().update_me(customer.asks(update)).await, "REQUEST_ID_REUSED");
    let change = ChangePasswordRequest {
        current_password: PASSWORD.to_owned(),
        new_password: "a new password".to_owned(),
        request_id,
    };
    refused(world.auth().change_password(customer.asks(change)).await, "REQUEST_ID_REUSED");
    assert_eq!(world.state().await, before);
}

/// Sends the same request 64 times at once, and returns the one answer.
async fn twins(world: &World, case: &Case) -> Vec<u8> {
    let mut answers = join_all((0..64).map(|_| case.call(world))).await;
    let first = answers.pop().unwrap();
    assert!(answers.iter().all(|answer| *answer == first), "{}", case.path);
    first
}

async fn sixty_four_twins_book_once(world: World) {
    let (provider, customer) = (world.provider().await, world.customer().await);
    for (hour, expected) in (9..12).zip(1..) {
        let (start, end) = (format!("2026-11-23 {hour:02}:00"), format!("2026-11-23 {hour:02}:30"));
        let request = BookAppointmentRequest {
            request_id: uuid(),
            ..booking(&provider, berlin(&start), berlin(&end))
        };
        let path = "/daybook.booking.v1.BookingService/BookAppointment";
        twins(&world, &Case::new(path, Some(&customer), &request, Vec::new())).await;
        assert_eq!(world.count("SELECT count(*) FROM appointments").await, expected);
        assert_eq!(world.count("SELECT count(*) FROM requests").await, expected);
        assert_eq!(world.count("SELECT max(version) FROM events").await, expected + 1);
        assert_eq!(world.count("SELECT count(*) FROM events").await, expected + 1);
    }
}

async fn sixty_four_twins_sign_up_once(world: World) {
    let request = SignUpRequest { request_id: uuid(), ..sign_up(Role::Provider) };
    let path = "/daybook.auth.v1.AuthService/SignUp";
    twins(&world, &Case::new(path, None, &request, Vec::new())).await;
    for table in ["users", "providers", "events", "user_events", "requests"] {
        assert_eq!(world.count(&format!("SELECT count(*) FROM {table}")).await, 1, "{table}");
    }
}

async fn twins_of_other_writes_have_one_effect(world: World) {
    let (world, _) = world.mailing(&[]).await;
    let cast = cast(&world).await;
    let cases = cases(&world, &cast).await;
    let chosen = ["UpdateMe", "SetUserRole", "DisableUser", "UpdateSchedule", "CancelAppointment"];
    for name in chosen {
        let case = cases.iter().find(|case| case.path.ends_with(&format!("/{name}"))).unwrap();
        let before = world.count("SELECT count(*) FROM requests").await;
        let answer = twins(&world, case).await;
        assert_eq!(world.count("SELECT count(*) FROM requests").await, before + 1, "{name}");
        let after = world.state().await;
        assert_eq!(case.call(&world).await, answer);
        assert_eq!(world.state().await, after);
    }
}

async fn a_refused_request_keeps_nothing(world: World) {
    let (provider, one, two) =
        (world.provider().await, world.customer().await, world.customer().await);
    let (start, end) = (berlin("2026-11-23 10:00"), berlin("2026-11-23 10:30"));
    let taken = world.book(&one, &provider, start, end).await.unwrap();
    let mut request =
        BookAppointmentRequest { request_id: uuid(), ..booking(&provider, start, end) };
    let before = world.state().await;
    for _ in 0..2 {
        let answer = world.booking().book_appointment(two.asks(request.clone())).await;
        refused(answer, "SLOT_TAKEN");
    }
    request.start_time = Some(berlin("2026-11-23 08:00"));
    let answer = world.booking().book_appointment(two.asks(request.clone())).await;
    refused(answer, "OUTSIDE_HOURS");
    assert_eq!(world.state().await, before);
    // The id is still unused, so it is good for any request.
    request.start_time = Some(start);
    let cancel = CancelAppointmentRequest { name: taken.name, ..Default::default() };
    world.booking().cancel_appointment(one.asks(cancel)).await.unwrap();
    world.booking().book_appointment(two.asks(request)).await.unwrap();
}

async fn a_booking_is_retried_after_the_hours_changed(world: World) {
    let (provider, customer) = (world.provider().await, world.customer().await);
    let path = "/daybook.booking.v1.BookingService/BookAppointment";
    let mut cases = Vec::new();
    // The first goes the long way, the second the fast one.
    for (from, until) in [("10:00", "10:30"), ("10:30", "11:00")] {
        let (from, until) = (format!("2026-11-23 {from}"), format!("2026-11-23 {until}"));
        let request = BookAppointmentRequest {
            request_id: uuid(),
            ..booking(&provider, berlin(&from), berlin(&until))
        };
        let case = Case::new(path, Some(&customer), &request, Vec::new());
        cases.push((case.call(&world).await, case));
    }
    let schedule = Schedule {
        weekly_windows: Vec::new(),
        longest_booking: minutes(5),
        slot_duration: minutes(5),
        time_zone: "Asia/Tokyo".to_owned(),
        ..schedule_of(&world, &provider).await
    };
    let request = UpdateScheduleRequest { schedule: Some(schedule), ..Default::default() };
    world.schedule().update_schedule(provider.asks(request)).await.unwrap();
    // Also when the time itself has passed.
    world.move_to("2026-11-23 12:00", "Europe/Berlin");
    let before = world.state().await;
    for (first, case) in &cases {
        assert_eq!(&case.call(&world).await, first);
    }
    assert_eq!(world.state().await, before);
}
