//! What staff do on the day: record who walked in, correct what they marked by mistake, free what is left of an
//! appointment, give appointments to a colleague, and approve what lies in time off.

use daybook::grpc::proto::booking::{
    Answer, Appointment, AppointmentType, ApproveAppointmentRequest, ApproveAppointmentResponse,
    BookAppointmentRequest, CompleteAppointmentRequest, CorrectAppointmentRequest, IntakeQuestion,
    MarkNoShowRequest, ReassignAppointmentRequest, RescheduleAppointmentRequest, answer::Value,
    appointment::State, appointment_event::Kind, appointment_type::Horizon, intake_question,
};
use tonic::Status;

use super::behaviours;
use crate::support::{
    World, berlin, books,
    people::{Person, booking, uuid},
    refusal::{invalid, refused},
    types::{anybodys, holding, kind, local, minutes, typed},
};

behaviours!(
    an_outcome_is_corrected_for_a_week,
    what_comes_back_finds_its_time_given_away,
    only_staff_correct_and_say_why,
    the_rest_of_a_missed_one_is_free,
    the_rest_of_a_shortened_one_is_free_after_its_buffer,
    who_walked_in_is_recorded_up_to_the_length_ago,
    a_colleague_takes_over_without_the_customers_notice,
    a_request_is_not_moved_to_where_it_would_have_ended,
    approving_into_time_off_or_a_closure_warns,
    staff_leave_questions_open,
);

async fn correct(
    world: &World,
    caller: &Person,
    name: &str,
    to: State,
) -> Result<Appointment, Status> {
    let request = CorrectAppointmentRequest {
        name: name.to_owned(),
        state: to.into(),
        reason: "a mistake".to_owned(),
        ..Default::default()
    };
    let answer = world.booking().correct_appointment(caller.asks(request)).await?;
    Ok(answer.into_inner().appointment.unwrap())
}

async fn miss(
    world: &World,
    caller: &Person,
    name: &str,
    free_rest: bool,
) -> Result<Appointment, Status> {
    let request = MarkNoShowRequest { name: name.to_owned(), free_rest, ..Default::default() };
    let answer = world.booking().mark_no_show(caller.asks(request)).await?;
    Ok(answer.into_inner().appointment.unwrap())
}

async fn complete(
    world: &World,
    caller: &Person,
    name: &str,
    free_rest: bool,
) -> Result<Appointment, Status> {
    let request =
        CompleteAppointmentRequest { name: name.to_owned(), free_rest, ..Default::default() };
    let answer = world.booking().complete_appointment(caller.asks(request)).await?;
    Ok(answer.into_inner().appointment.unwrap())
}

async fn an_outcome_is_corrected_for_a_week(world: World) {
    let (provider, customer) = (world.provider().await, world.customer().await);
    let plain = world.own_type(&provider, kind(&[30])).await;
    let name =
        world.book_type(&customer, &provider, &plain, "2026-11-23 10:00").await.unwrap().name;
    refused(correct(&world, &provider, &name, State::NoShow).await, "WRONG_STATE");
    world.move_to("2026-11-23 10:40", "Europe/Berlin");
    miss(&world, &provider, &name, false).await.unwrap();
    let steps = [State::Completed, State::NoShow, State::Booked];
    for to in steps {
        let corrected = correct(&world, &provider, &name, to).await.unwrap();
        assert_eq!(corrected.state(), to);
        assert_eq!(local(corrected.end_time), "2026-11-23 10:30");
        assert_eq!(world.get(&customer, &name).await.unwrap().state(), to);
        if to != State::Booked {
            refused(correct(&world, &provider, &name, to).await, "WRONG_STATE");
        }
    }
    // Booked again, it is marked anew, and the week begins anew.
    refused(correct(&world, &provider, &name, State::Completed).await, "WRONG_STATE");
    world.move_to("2026-11-23 10:45", "Europe/Berlin");
    complete(&world, &provider, &name, false).await.unwrap();
    let events = world.events_of(&customer, &name).await.unwrap();
    let told: Vec<_> = events.iter().map(|each| (each.kind(), each.state())).collect();
    assert_eq!(
        told,
        [
            (Kind::Booked, State::Unspecified),
            (Kind::NoShow, State::Unspecified),
            (Kind::Corrected, State::Completed),
            (Kind::Corrected, State::NoShow),
            (Kind::Corrected, State::Booked),
            (Kind::Completed, State::Unspecified),
        ]
    );
    assert_eq!((&*events[2].reason, &events[2].actor), ("a mistake", &provider.user.name));
    // A correction does not make it longer. Tokens last a day.
    world.move_to("2026-11-30 10:45", "Europe/Berlin");
    let (provider, customer) =
        (world.log_in(&provider.user.email).await, world.log_in(&customer.user.email).await);
    correct(&world, &provider, &name, State::NoShow).await.unwrap();
    world.move_to("2026-11-30 10:45:01", "Europe/Berlin");
    refused(correct(&world, &provider, &name, State::Completed).await, "TOO_LATE");
    // What was called off stays so.
    let name = world.book_type(&customer, &provider, &plain, "2026-12-01 10:00").await.unwrap();
    world.cancel(&provider, &name.name).await.unwrap();
    refused(correct(&world, &provider, &name.name, State::Booked).await, "WRONG_STATE");
    books::check(&world.sql().await).await;
}

async fn what_comes_back_finds_its_time_given_away(world: World) {
    let (provider, customer, other) =
        (world.provider().await, world.customer().await, world.customer().await);
    let plain = world.own_type(&provider, kind(&[60])).await;
    let name =
        world.book_type(&customer, &provider, &plain, "2026-11-23 10:00").await.unwrap().name;
    world.move_to("2026-11-23 10:20", "Europe/Berlin");
    miss(&world, &provider, &name, true).await.unwrap();
    let (start, end) = (berlin("2026-11-23 10:30"), berlin("2026-11-23 10:45"));
    let taken = world.book(&other, &provider, start, end).await.unwrap().name;
    let before = world.state().await;
    refused(correct(&world, &provider, &name, State::Booked).await, "SLOT_TAKEN");
    assert_eq!(world.state().await, before);
    // What needs no time is corrected all the same.
    let corrected = correct(&world, &provider, &name, State::Completed).await.unwrap();
    assert_eq!(local(corrected.end_time), "2026-11-23 10:20");
    world.cancel(&provider, &taken).await.unwrap();
    // The customer went elsewhere.
    let elsewhere = world.provider().await;
    let elsewhere = world.book(&customer, &elsewhere, start, end).await.unwrap();
    refused(correct(&world, &provider, &name, State::Booked).await, "CUSTOMER_BUSY");
    world.cancel(&customer, &elsewhere.name).await.unwrap();
    let back = correct(&world, &provider, &name, State::Booked).await.unwrap();
    assert_eq!((local(back.end_time), back.agreed_end_time), ("2026-11-23 11:00".into(), None));
    refused(world.book(&other, &provider, start, end).await, "SLOT_TAKEN");
    books::check(&world.sql().await).await;
}

async fn only_staff_correct_and_say_why(world: World) {
    let (provider, customer, admin) =
        (world.provider().await, world.customer().await, world.admin().await);
    let stranger = world.provider().await;
    let (start, end) = (berlin("2026-11-23 10:00"), berlin("2026-11-23 10:30"));
    let name = world.book(&customer, &provider, start, end).await.unwrap().name;
    world.move_to("2026-11-23 10:40", "Europe/Berlin");
    let marked = miss(&world, &provider, &name, false).await.unwrap();
    let before = world.state().await;
    refused(correct(&world, &customer, &name, State::Completed).await, "ROLE_NOT_ALLOWED");
    refused(correct(&world, &stranger, &name, State::Completed).await, "NOT_FOUND");
    let call = async |request| world.booking().correct_appointment(admin.asks(request)).await;
    for state in [State::Unspecified, State::Cancelled, State::Pending, State::Declined] {
        let bad = CorrectAppointmentRequest {
            name: "x".to_owned(),
            state: state.into(),
            reason: " ".to_owned(),
            etag: "x".to_owned(),
            request_id: "x".to_owned(),
        };
        invalid(call(bad).await, &["request_id", "name", "state", "reason", "etag"]);
    }
    assert_eq!(world.state().await, before);
    let request = CorrectAppointmentRequest {
        name: name.clone(),
        state: State::Completed.into(),
        reason: "they came late".to_owned(),
        etag: marked.etag.clone(),
        request_id: uuid(),
    };
    let first = call(request.clone()).await.unwrap().into_inner();
    let before = world.state().await;
    assert_eq!(call(request.clone()).await.unwrap().into_inner(), first);
    let stale = CorrectAppointmentRequest { request_id: uuid(), ..request };
    refused(call(stale).await, "ETAG_STALE");
    assert_eq!(world.state().await, before);
}

async fn the_rest_of_a_missed_one_is_free(world: World) {
    let (provider, customer, other) =
        (world.provider().await, world.customer().await, world.customer().await);
    let buffered =
        AppointmentType { buffer_after: minutes(15), slot_step: minutes(10), ..kind(&[60]) };
    let buffered = world.own_type(&provider, buffered).await;
    let short = AppointmentType { slot_step: minutes(10), ..kind(&[30]) };
    let short = world.own_type(&provider, short).await;
    let book = async |start| world.book_type(&customer, &provider, &buffered, start).await.unwrap();
    let (first, second) = (book("2026-11-23 10:00").await, book("2026-11-23 13:00").await);
    world.move_to("2026-11-23 10:19:30", "Europe/Berlin");
    // Marked first, and freed later.
    let missed = miss(&world, &provider, &first.name, false).await.unwrap();
    assert_eq!((missed.end_time, missed.agreed_end_time), (first.end_time, None));
    refused(world.book_type(&other, &provider, &short, "2026-11-23 10:20").await, "SLOT_TAKEN");
    let freed = miss(&world, &provider, &first.name, true).await.unwrap();
    assert_eq!(freed.end_time, Some(berlin("2026-11-23 10:19:30")));
    assert_eq!((freed.agreed_end_time, freed.buffer_after), (first.end_time, None));
    let before = world.state().await;
    refused(miss(&world, &provider, &first.name, true).await, "TOO_LATE");
    assert_eq!(world.state().await, before);
    world.book_type(&other, &provider, &short, "2026-11-23 10:20").await.unwrap();
    let events = world.events_of(&customer, &first.name).await.unwrap();
    let last = events.last().unwrap();
    assert_eq!((last.kind(), last.previous_end_time), (Kind::NoShow, first.end_time));
    assert_eq!(last.end_time, freed.end_time);
    // At the very start a second remains.
    world.move_to("2026-11-23 13:00", "Europe/Berlin");
    let freed = miss(&world, &provider, &second.name, true).await.unwrap();
    assert_eq!(freed.end_time, Some(berlin("2026-11-23 13:00:01")));
    world.book_type(&other, &provider, &short, "2026-11-23 13:10").await.unwrap();
    books::check(&world.sql().await).await;
}

async fn the_rest_of_a_shortened_one_is_free_after_its_buffer(world: World) {
    let (provider, customer, other) =
        (world.provider().await, world.customer().await, world.customer().await);
    let buffered = AppointmentType { buffer_after: minutes(10), ..kind(&[60]) };
    let buffered = world.own_type(&provider, buffered).await;
    let name =
        world.book_type(&customer, &provider, &buffered, "2026-11-23 10:00").await.unwrap().name;
    let (start, end) = (berlin("2026-11-23 10:29"), berlin("2026-11-23 10:50"));
    refused(complete(&world, &provider, &name, true).await, "NOT_STARTED");
    world.move_to("2026-11-23 10:20", "Europe/Berlin");
    let done = complete(&world, &provider, &name, true).await.unwrap();
    assert_eq!(done.state(), State::Completed);
    assert_eq!(local(done.end_time), "2026-11-23 10:20");
    assert_eq!(local(done.agreed_end_time), "2026-11-23 11:00");
    assert_eq!(done.buffer_after, minutes(10));
    refused(world.book(&other, &provider, start, end).await, "SLOT_TAKEN");
    let start = berlin("2026-11-23 10:30");
    world.book(&other, &provider, start, end).await.unwrap();
    // Nothing is left of one that is over: it is marked, and nothing else.
    let (start, end) = (berlin("2026-11-23 11:00"), berlin("2026-11-23 11:30"));
    let over = world.book(&customer, &provider, start, end).await.unwrap().name;
    world.move_to("2026-11-23 11:30", "Europe/Berlin");
    let done = complete(&world, &provider, &over, true).await.unwrap();
    assert_eq!((done.end_time, done.agreed_end_time), (Some(end), None));
    refused(complete(&world, &provider, &over, true).await, "TOO_LATE");
    refused(complete(&world, &provider, &over, false).await, "WRONG_STATE");
    books::check(&world.sql().await).await;
}

async fn who_walked_in_is_recorded_up_to_the_length_ago(world: World) {
    let (provider, customer, admin) =
        (world.provider().await, world.customer().await, world.admin().await);
    let plain = world.own_type(&provider, kind(&[30])).await;
    let noticed = AppointmentType { minimum_notice: minutes(60), ..kind(&[30]) };
    let noticed = world.own_type(&provider, noticed).await;
    let of = |kind: &AppointmentType, start: &str, why: &str| BookAppointmentRequest {
        customer: customer.user.name.clone(),
        override_reason: why.to_owned(),
        ..typed(&provider, kind, start)
    };
    world.move_to("2026-11-23 10:30:01", "Europe/Berlin");
    let before = world.state().await;
    for why in ["", "a walk-in"] {
        refused(world.send(&provider, of(&plain, "2026-11-23 10:00", why)).await, "IN_THE_PAST");
    }
    let own = typed(&provider, &plain, "2026-11-23 10:30");
    refused(world.send(&customer, own.clone()).await, "IN_THE_PAST");
    refused(
        world.hold(&admin, holding(&provider, &plain, "2026-11-23 10:30")).await,
        "IN_THE_PAST",
    );
    refused(world.send(&provider, of(&noticed, "2026-11-23 11:00", "")).await, "NOTICE_TOO_SHORT");
    assert_eq!(world.state().await, before);
    world.move_to("2026-11-23 10:30", "Europe/Berlin");
    let booked = world.send(&provider, of(&plain, "2026-11-23 10:00", "")).await.unwrap();
    assert_eq!(
        (booked.state(), local(booked.start_time)),
        (State::Booked, "2026-11-23 10:00".into())
    );
    complete(&world, &provider, &booked.name, false).await.unwrap();
    let booked = world.send(&admin, of(&noticed, "2026-11-23 10:30", "a walk-in")).await.unwrap();
    assert_eq!(booked.state(), State::Booked);
    // The time is not taken twice, and a bare interval is its own length.
    refused(world.send(&admin, of(&plain, "2026-11-23 10:15", "again")).await, "SLOT_TAKEN");
    world.move_to("2026-11-23 12:00", "Europe/Berlin");
    let bare = |from: &str, until: &str| BookAppointmentRequest {
        customer: customer.user.name.clone(),
        ..booking(&provider, berlin(from), berlin(until))
    };
    let early = bare("2026-11-23 11:30", "2026-11-23 11:59:59");
    refused(world.send(&provider, early).await, "IN_THE_PAST");
    world.send(&provider, bare("2026-11-23 11:30", "2026-11-23 12:00")).await.unwrap();
    // Neither the notice nor the grid is for somebody who is there.
    world.move_to("2026-11-23 12:37", "Europe/Berlin");
    world.send(&provider, of(&noticed, "2026-11-23 12:35", "")).await.unwrap();
    refused(world.send(&provider, of(&noticed, "2026-11-23 13:45", "")).await, "OFF_GRID");
    books::check(&world.sql().await).await;
}

async fn a_colleague_takes_over_without_the_customers_notice(world: World) {
    let (one, two, customer, admin) = (
        world.provider().await,
        world.provider().await,
        world.customer().await,
        world.admin().await,
    );
    let strict = AppointmentType {
        minimum_notice: minutes(24 * 60),
        horizon: Some(Horizon::RollingDays(10)),
        ..kind(&[30])
    };
    let strict = world.shared_type(&admin, strict, &[&one, &two]).await;
    let book = async |start| world.book_type(&customer, &one, &strict, start).await.unwrap().name;
    let names = [
        book("2026-11-24 10:00").await,
        book("2026-11-24 11:00").await,
        book("2026-11-27 10:00").await,
        book("2026-11-24 12:00").await,
    ];
    // Of today, of what has begun, and of what lies beyond the horizon that there is now.
    let nearer = AppointmentType { horizon: Some(Horizon::RollingDays(1)), ..strict };
    world.change_type(&admin, nearer, &["horizon"]).await;
    world.move_to("2026-11-24 10:30", "Europe/Berlin");
    // Tokens last a day.
    let (one, two, customer) = (
        world.log_in(&one.user.email).await,
        world.log_in(&two.user.email).await,
        world.log_in(&customer.user.email).await,
    );
    let give = async |name: &str| {
        let (name, provider) = (name.to_owned(), two.provider());
        let request = ReassignAppointmentRequest { name, provider, ..Default::default() };
        let answer = world.booking().reassign_appointment(one.asks(request)).await?;
        Ok::<_, Status>(answer.into_inner().appointment.unwrap())
    };
    for name in &names[..3] {
        assert_eq!(give(name).await.unwrap().provider, two.provider());
    }
    // The customer's own move is bound by it still, and so is what the other provider says.
    refused(world.reschedule(&customer, &names[3], "2026-11-24 15:00").await, "NOTICE_TOO_SHORT");
    world.time_off(&two, "2026-11-24 12:00", "2026-11-24 13:00").await;
    refused(give(&names[3]).await, "TIME_OFF");
    world.move_to("2026-11-24 12:30:01", "Europe/Berlin");
    refused(give(&names[3]).await, "IN_THE_PAST");
    books::check(&world.sql().await).await;
}

async fn a_request_is_not_moved_to_where_it_would_have_ended(world: World) {
    let (provider, customer) = (world.provider().await, world.customer().await);
    let asked = AppointmentType { requires_approval: true, ..kind(&[30]) };
    let asked = world.own_type(&provider, asked).await;
    let booked = world.book_type(&customer, &provider, &asked, "2026-11-23 12:00").await.unwrap();
    world.move_to("2026-11-23 10:05", "Europe/Berlin");
    let request = |start: &str| RescheduleAppointmentRequest {
        name: booked.name.clone(),
        start_time: Some(berlin(start)),
        override_reason: "sooner".to_owned(),
        ..Default::default()
    };
    let call = async |start: &str| {
        world.booking().reschedule_appointment(provider.asks(request(start))).await
    };
    refused(call("2026-11-23 10:00").await, "IN_THE_PAST");
    assert_eq!(world.get(&customer, &booked.name).await.unwrap().state(), State::Pending);
    call("2026-11-23 11:00").await.unwrap();
}

async fn approving_into_time_off_or_a_closure_warns(world: World) {
    let (provider, customer, admin) =
        (world.provider().await, world.customer().await, world.admin().await);
    let asked = AppointmentType { requires_approval: true, ..kind(&[30]) };
    let asked = world.own_type(&provider, asked).await;
    let book = async |start| world.book_type(&customer, &provider, &asked, start).await.unwrap();
    let (off, closed, free) = (
        book("2026-11-23 10:00").await,
        book("2026-11-24 10:00").await,
        book("2026-11-23 11:00").await,
    );
    world.time_off(&provider, "2026-11-23 10:15", "2026-11-23 11:00").await;
    world.closure(&admin, "2026-11-24 00:00", "2026-11-25 00:00").await;
    world.time_off(&provider, "2026-11-24 10:00", "2026-11-24 10:30").await;
    let approve = async |name: &str, request_id: String| -> ApproveAppointmentResponse {
        let request =
            ApproveAppointmentRequest { name: name.to_owned(), request_id, ..Default::default() };
        world.booking().approve_appointment(provider.asks(request)).await.unwrap().into_inner()
    };
    let id = uuid();
    let answer = approve(&off.name, id.clone()).await;
    assert_eq!(answer.appointment.as_ref().unwrap().state(), State::Booked);
    assert_eq!(answer.warnings.len(), 1);
    let warning = &answer.warnings[0];
    assert_eq!(warning.reason, "TIME_OFF");
    assert_eq!(warning.start_time, Some(berlin("2026-11-23 10:15")));
    assert_eq!(warning.end_time, Some(berlin("2026-11-23 11:00")));
    // A retry is told the same.
    assert_eq!(approve(&off.name, id).await, answer);
    let answer = approve(&closed.name, String::new()).await;
    let reasons: Vec<_> = answer.warnings.iter().map(|each| &*each.reason).collect();
    assert_eq!(reasons, ["TIME_OFF", "PRACTICE_CLOSED"]);
    assert_eq!(approve(&free.name, String::new()).await.warnings, []);
    books::check(&world.sql().await).await;
}

async fn staff_leave_questions_open(world: World) {
    let (provider, customer, admin) =
        (world.provider().await, world.customer().await, world.admin().await);
    let question = IntakeQuestion {
        id: "why".to_owned(),
        text: "Why?".to_owned(),
        kind: intake_question::Kind::Text.into(),
        required: true,
        ..Default::default()
    };
    let asked = AppointmentType { questions: vec![question], ..kind(&[30]) };
    let asked = world.shared_type(&admin, asked, &[&provider]).await;
    let of = |start: &str| BookAppointmentRequest {
        customer: customer.user.name.clone(),
        ..typed(&provider, &asked, start)
    };
    invalid(
        world.booking().book_appointment(customer.asks(of("2026-11-23 10:00"))).await,
        &["answers[why]"],
    );
    world.send(&provider, of("2026-11-23 10:00")).await.unwrap();
    world.send(&admin, of("2026-11-23 11:00")).await.unwrap();
    for (caller, start) in [(&admin, "2026-11-23 12:00"), (&provider, "2026-11-23 13:00")] {
        let anybody = BookAppointmentRequest {
            customer: customer.user.name.clone(),
            ..anybodys(&asked, start)
        };
        world.send(caller, anybody).await.unwrap();
    }
    // What they do answer must be an answer, also where something else is wrong.
    let wrong = Answer {
        question: "who".to_owned(),
        value: Some(Value::TextValue("me".to_owned())),
        ..Default::default()
    };
    let bad = BookAppointmentRequest { answers: vec![wrong], ..of("2026-11-23 14:00") };
    let call = async |caller: &Person, request: BookAppointmentRequest| {
        world.booking().book_appointment(caller.asks(request)).await
    };
    invalid(call(&provider, bad.clone()).await, &["answers[0].question"]);
    let long = BookAppointmentRequest { note: "x".repeat(2001), ..bad };
    invalid(call(&provider, long.clone()).await, &["note", "answers[0].question"]);
    invalid(call(&customer, long).await, &["note", "answers[0].question", "answers[why]"]);
    // A colleague's customer is a customer.
    let colleague = world.provider().await;
    invalid(
        call(&colleague, typed(&provider, &asked, "2026-11-23 15:00")).await,
        &["answers[why]"],
    );
    let hold = world.hold(&admin, holding(&provider, &asked, "2026-11-23 16:00")).await.unwrap();
    world.book_hold(&admin, &hold).await.unwrap();
    let hold = world.hold(&customer, holding(&provider, &asked, "2026-11-24 16:00")).await.unwrap();
    let request = BookAppointmentRequest { hold: hold.name, ..Default::default() };
    invalid(call(&customer, request).await, &["answers[why]"]);
    books::check(&world.sql().await).await;
}
