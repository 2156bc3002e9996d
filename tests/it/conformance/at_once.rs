//! Everything that is wrong with a request is told at once, also what takes a look at the database.

use daybook::grpc::proto::{
    booking::{
        Answer, AppointmentType, BookAppointmentRequest, Closure, CreateClosureRequest,
        CreateScheduleRequest, CreateTimeOffRequest, DateOverride, HoldSlotRequest, IntakeQuestion,
        ReassignAppointmentRequest, RescheduleAppointmentRequest, Schedule, TimeOff,
        UpdateScheduleRequest, answer::Value, intake_question::Kind,
    },
    google::r#type::DayOfWeek,
};

use super::{behaviours, catalogue::private, schedules::window};
use crate::support::{
    World, berlin,
    people::{Person, date},
    refusal::invalid,
    types::{anybodys, holding, kind, minutes, typed},
};

behaviours!(
    a_length_and_answers_are_told_together,
    what_the_type_knows_is_told_with_what_it_does_not,
    of_a_hidden_type_nothing_is_told,
    hours_and_dates_that_are_over_are_told_together,
    time_that_is_over_and_a_long_reason_are_told_together,
    a_blank_reason_is_none,
);

fn with_question() -> AppointmentType {
    let question = IntakeQuestion {
        id: "why".to_owned(),
        text: "Why?".to_owned(),
        kind: Kind::Text.into(),
        required: true,
        ..Default::default()
    };
    AppointmentType { questions: vec![question], ..kind(&[30]) }
}

fn unknown() -> Answer {
    Answer {
        question: "who".to_owned(),
        value: Some(Value::TextValue("me".to_owned())),
        ..Default::default()
    }
}

async fn a_length_and_answers_are_told_together(world: World) {
    let (provider, customer) = (world.provider().await, world.customer().await);
    let asked = world.own_type(&provider, with_question()).await;
    let send = async |request| world.booking().book_appointment(customer.asks(request)).await;
    // Also where a rule is against it.
    for start in ["2026-11-23 10:00", "2026-11-23 22:00"] {
        for request in [typed(&provider, &asked, start), anybodys(&asked, start)] {
            invalid(send(request.clone()).await, &["answers[why]"]);
            let bad = BookAppointmentRequest { answers: vec![unknown()], ..request };
            invalid(send(bad.clone()).await, &["answers[0].question", "answers[why]"]);
            let bad = BookAppointmentRequest { duration: minutes(45), ..bad };
            invalid(send(bad).await, &["duration", "answers[0].question", "answers[why]"]);
        }
    }
}

async fn what_the_type_knows_is_told_with_what_it_does_not(world: World) {
    let (provider, customer) = (world.provider().await, world.customer().await);
    let asked = world.own_type(&provider, with_question()).await;
    let hold = world.hold(&customer, holding(&provider, &asked, "2026-11-23 09:00")).await.unwrap();
    let before = world.state().await;
    let send = async |request| world.booking().book_appointment(customer.asks(request)).await;
    let note = "x".repeat(2001);
    for request in
        [typed(&provider, &asked, "2026-11-23 10:00"), anybodys(&asked, "2026-11-23 10:00")]
    {
        let bad = BookAppointmentRequest {
            note: note.clone(),
            duration: minutes(45),
            answers: vec![unknown()],
            ..request
        };
        invalid(send(bad).await, &["note", "duration", "answers[0].question", "answers[why]"]);
    }
    let bad = BookAppointmentRequest {
        hold: hold.name.clone(),
        note,
        answers: vec![unknown()],
        ..Default::default()
    };
    invalid(send(bad.clone()).await, &["answers[0].question", "answers[why]", "note"]);
    // Of another's hold the answers are not looked at.
    let others = world.booking().book_appointment(provider.asks(bad)).await;
    invalid(others, &["note"]);
    let held = HoldSlotRequest {
        duration: minutes(45),
        hold_duration: minutes(60),
        ..holding(&provider, &asked, "2026-11-23 11:00")
    };
    let answer = world.booking().hold_slot(customer.asks(held)).await;
    invalid(answer, &["duration", "hold_duration"]);
    assert_eq!(world.state().await, before);
}

async fn of_a_hidden_type_nothing_is_told(world: World) {
    let (provider, customer) = (world.provider().await, world.customer().await);
    let hidden = world.own_type(&provider, private(with_question())).await;
    let bad = BookAppointmentRequest {
        note: "x".repeat(2001),
        answers: vec![unknown()],
        ..typed(&provider, &hidden, "2026-11-23 10:00")
    };
    let send = async |request| world.booking().book_appointment(customer.asks(request)).await;
    invalid(send(bad.clone()).await, &["note"]);
    let opened = BookAppointmentRequest { link_code: hidden.link_code.clone(), ..bad.clone() };
    invalid(send(opened).await, &["answers[0].question", "answers[why]", "note"]);
    // Who holds it had the code.
    let held = HoldSlotRequest {
        link_code: hidden.link_code.clone(),
        ..holding(&provider, &hidden, "2026-11-23 10:00")
    };
    let hold = world.hold(&customer, held).await.unwrap().name;
    let booked =
        BookAppointmentRequest { hold, note: bad.note, answers: bad.answers, ..Default::default() };
    invalid(send(booked).await, &["answers[0].question", "answers[why]", "note"]);
}

async fn hours_and_dates_that_are_over_are_told_together(world: World) {
    let (provider, stranger) = (world.provider().await, world.provider().await);
    let over = DateOverride { date: Some(date((2026, 11, 20))), ..Default::default() };
    let bad = Schedule {
        time_zone: "Europe/Berlin".to_owned(),
        weekly_windows: vec![window(DayOfWeek::Monday, (12, 0), (9, 0))],
        date_overrides: vec![over],
        ..Default::default()
    };
    let before = world.state().await;
    let change = async |caller: &Person, schedule: Schedule, paths: &[&str]| {
        let paths = paths.iter().map(|path| (*path).to_owned()).collect();
        let request = UpdateScheduleRequest {
            schedule: Some(Schedule { name: provider.schedule(), ..schedule }),
            update_mask: Some(prost_types::FieldMask { paths }),
            ..Default::default()
        };
        world.schedule().update_schedule(caller.asks(request)).await
    };
    let both = ["schedule.weekly_windows[0]", "schedule.date_overrides[0].date"];
    let mask = ["weekly_windows", "date_overrides"];
    invalid(change(&provider, bad.clone(), &mask).await, &both);
    // A slot longer than the stored longest booking, too.
    let slot = Schedule { slot_duration: minutes(9 * 60), ..bad.clone() };
    let mask = ["weekly_windows", "date_overrides", "slot_duration"];
    let all = [both[0], both[1], "schedule.slot_duration"];
    invalid(change(&provider, slot, &mask).await, &all);
    // What is stored is nobody else's to learn.
    invalid(change(&stranger, bad.clone(), &mask[..2]).await, &both[..1]);
    let request = CreateScheduleRequest {
        parent: provider.provider(),
        schedule_id: "new".to_owned(),
        schedule: Some(bad),
        ..Default::default()
    };
    invalid(world.schedule().create_schedule(provider.asks(request)).await, &both);
    assert_eq!(world.state().await, before);
}

async fn time_that_is_over_and_a_long_reason_are_told_together(world: World) {
    let (provider, admin) = (world.provider().await, world.admin().await);
    let (start_time, end_time) =
        (Some(berlin("2026-11-20 10:00")), Some(berlin("2026-11-20 12:00")));
    let reason = "x".repeat(501);
    let before = world.state().await;
    let time_off = TimeOff { start_time, end_time, reason: reason.clone(), ..Default::default() };
    let request = CreateTimeOffRequest {
        parent: provider.provider(),
        time_off: Some(time_off),
        ..Default::default()
    };
    let answer = world.schedule().create_time_off(provider.asks(request)).await;
    invalid(answer, &["time_off.end_time", "time_off.reason"]);
    let closure = Closure { start_time, end_time, reason, ..Default::default() };
    let request = CreateClosureRequest { closure: Some(closure), ..Default::default() };
    let answer = world.schedule().create_closure(admin.asks(request)).await;
    invalid(answer, &["closure.end_time", "closure.reason"]);
    assert_eq!(world.state().await, before);
}

async fn a_blank_reason_is_none(world: World) {
    let (provider, two, customer) =
        (world.provider().await, world.provider().await, world.customer().await);
    let plain = world.own_type(&provider, kind(&[30])).await;
    let name =
        world.book_type(&customer, &provider, &plain, "2026-11-23 10:00").await.unwrap().name;
    let before = world.state().await;
    for blank in [" ", "\n\t", "\u{200B}", "\u{3164} "] {
        let override_reason = blank.to_owned();
        let request = BookAppointmentRequest {
            customer: customer.user.name.clone(),
            override_reason: override_reason.clone(),
            ..typed(&provider, &plain, "2026-11-23 22:00")
        };
        let booked = world.booking().book_appointment(provider.asks(request)).await;
        invalid(booked, &["override_reason"]);
        let request = RescheduleAppointmentRequest {
            name: name.clone(),
            start_time: Some(berlin("2026-11-23 22:00")),
            override_reason: override_reason.clone(),
            ..Default::default()
        };
        let moved = world.booking().reschedule_appointment(provider.asks(request)).await;
        invalid(moved, &["override_reason"]);
        let request = ReassignAppointmentRequest {
            name: name.clone(),
            provider: two.provider(),
            override_reason,
            ..Default::default()
        };
        let given = world.booking().reassign_appointment(provider.asks(request)).await;
        invalid(given, &["override_reason"]);
    }
    assert_eq!(world.state().await, before);
}
