//! Answers to a type's questions, and what is wrong with a booking, told by field and all at once.

use daybook::grpc::proto::booking::{
    Answer, AppointmentType, BookAppointmentRequest, BookAppointmentResponse, IntakeQuestion,
    answer::Value, intake_question::Kind,
};
use prost_types::{Duration, Timestamp};
use tonic::{Response, Status};

use super::behaviours;
use crate::support::{
    World, berlin, books,
    people::{Person, booking},
    refusal::invalid,
    types::{holding, kind, minutes, typed},
};

behaviours!(
    answers_are_kept_in_the_order_of_the_questions,
    wrong_answers_are_told_by_path,
    a_hold_is_booked_with_answers,
    bad_bookings_of_types_are_told_by_field,
    everything_is_told_at_once,
);

fn question(id: &str, kind: Kind, required: bool, choices: &[&str]) -> IntakeQuestion {
    IntakeQuestion {
        id: id.to_owned(),
        text: format!("What about {id}?"),
        kind: kind.into(),
        required,
        choices: choices.iter().map(|choice| (*choice).to_owned()).collect(),
    }
}

fn answer(question: &str, value: Value) -> Answer {
    Answer { question: question.to_owned(), value: Some(value), ..Default::default() }
}

fn text(text: &str) -> Value {
    Value::TextValue(text.to_owned())
}

fn choice(choice: &str) -> Value {
    Value::ChoiceValue(choice.to_owned())
}

/// A type that asks four questions, the first and the last of which must be answered.
async fn curious(world: &World, provider: &Person) -> AppointmentType {
    let questions = vec![
        question("why", Kind::Text, true, &[]),
        question("age", Kind::Number, false, &[]),
        question("colour", Kind::Choice, false, &["red", "blue"]),
        question("agreed", Kind::YesNo, true, &[]),
    ];
    world.own_type(provider, AppointmentType { questions, ..kind(&[30]) }).await
}

async fn call(
    world: &World,
    caller: &Person,
    request: BookAppointmentRequest,
) -> Result<Response<BookAppointmentResponse>, Status> {
    world.booking().book_appointment(caller.asks(request)).await
}

async fn answers_are_kept_in_the_order_of_the_questions(world: World) {
    let (provider, customer) = (world.provider().await, world.customer().await);
    let curious = curious(&world, &provider).await;
    let request = BookAppointmentRequest {
        answers: vec![
            answer("agreed", Value::YesNoValue(false)),
            answer("colour", choice("blue")),
            Answer { text: "a lie".to_owned(), ..answer("why", text("my\nback")) },
            answer("age", Value::NumberValue(-0.5)),
        ],
        ..typed(&provider, &curious, "2026-11-23 10:00")
    };
    let booked = world.send(&customer, request).await.unwrap();
    let told = |id: &str, value| Answer { text: format!("What about {id}?"), ..answer(id, value) };
    let expected = [
        told("why", text("my\nback")),
        told("age", Value::NumberValue(-0.5)),
        told("colour", choice("blue")),
        told("agreed", Value::YesNoValue(false)),
    ];
    assert_eq!(booked.answers, expected);
    // Those that need none may be left out.
    let request = BookAppointmentRequest {
        answers: vec![answer("agreed", Value::YesNoValue(true)), answer("why", text("x"))],
        ..typed(&provider, &curious, "2026-11-23 11:00")
    };
    let second = world.send(&customer, request).await.unwrap();
    assert_eq!(second.answers, [told("why", text("x")), told("agreed", Value::YesNoValue(true))]);
    // They stay as they were given, whatever is asked later.
    let changed = AppointmentType {
        questions: vec![question("why", Kind::YesNo, false, &[])],
        ..curious.clone()
    };
    world.change_type(&provider, changed, &["questions"]).await;
    for caller in [&customer, &provider] {
        assert_eq!(world.get(caller, &booked.name).await.unwrap(), booked);
    }
    let moved = world.reschedule(&customer, &booked.name, "2026-11-23 15:00").await.unwrap();
    assert_eq!(moved.answers, expected);
    world.book_type(&customer, &provider, &curious, "2026-11-23 10:00").await.unwrap();
    books::check(&world.sql().await).await;
}

async fn wrong_answers_are_told_by_path(world: World) {
    let (provider, customer) = (world.provider().await, world.customer().await);
    let curious = curious(&world, &provider).await;
    let (why, agreed) = (answer("why", text("x")), answer("agreed", Value::YesNoValue(true)));
    let before = world.state().await;
    let with = async |answers: Vec<Answer>| {
        let request =
            BookAppointmentRequest { answers, ..typed(&provider, &curious, "2026-11-23 10:00") };
        call(&world, &customer, request).await
    };
    invalid(with(vec![]).await, &["answers[agreed]", "answers[why]"]);
    invalid(with(vec![why.clone()]).await, &["answers[agreed]"]);
    for (bad, field) in [
        (answer("who", text("x")), "answers[2].question"),
        (answer("", text("x")), "answers[2].question"),
        (why.clone(), "answers[2].question"),
        (answer("age", Value::NumberValue(f64::NAN)), "answers[2].number_value"),
        (answer("age", Value::NumberValue(f64::INFINITY)), "answers[2].number_value"),
        (answer("age", text("12")), "answers[2]"),
        (answer("colour", choice("green")), "answers[2].choice_value"),
        (answer("colour", choice("Red")), "answers[2].choice_value"),
        (answer("colour", text("red")), "answers[2]"),
        (Answer { value: None, ..answer("age", text("")) }, "answers[2]"),
    ] {
        invalid(with(vec![why.clone(), agreed.clone(), bad]).await, &[field]);
    }
    for bad in ["", " ", "a\0b", &"x".repeat(2001)] {
        let answers = vec![agreed.clone(), answer("why", text(bad))];
        invalid(with(answers).await, &["answers[1].text_value"]);
    }
    let all = vec![
        answer("who", text("x")),
        answer("colour", choice("green")),
        answer("age", Value::YesNoValue(true)),
        answer("why", text("")),
    ];
    let fields = [
        "answers[agreed]",
        "answers[0].question",
        "answers[1].choice_value",
        "answers[2]",
        "answers[3].text_value",
    ];
    invalid(with(all).await, &fields);
    invalid(with(vec![why.clone(); 51]).await, &["answers"]);
    // A type that asks nothing, and no type at all.
    let silent = world.own_type(&provider, kind(&[30])).await;
    let request = BookAppointmentRequest {
        answers: vec![why.clone()],
        ..typed(&provider, &silent, "2026-11-23 10:00")
    };
    invalid(call(&world, &customer, request).await, &["answers[0].question"]);
    let request = BookAppointmentRequest {
        answers: vec![why],
        ..booking(&provider, berlin("2026-11-23 10:00"), berlin("2026-11-23 10:30"))
    };
    invalid(call(&world, &customer, request).await, &["answers"]);
    assert_eq!(world.count("SELECT count(*) FROM appointments").await, 0, "{before}");
    assert_eq!(world.starts_of(&customer, &silent, "2026-11-23").await.len(), 16);
}

async fn a_hold_is_booked_with_answers(world: World) {
    let (provider, customer) = (world.provider().await, world.customer().await);
    let curious = curious(&world, &provider).await;
    // Holding asks nothing.
    let hold = world.hold(&customer, holding(&provider, &curious, "2026-11-23 10:00")).await;
    let request =
        BookAppointmentRequest { hold: hold.unwrap().name, ..BookAppointmentRequest::default() };
    let before = world.state().await;
    invalid(call(&world, &customer, request.clone()).await, &["answers[agreed]", "answers[why]"]);
    let wrong = vec![answer("why", text("x")), answer("agreed", text("yes"))];
    let wrong = BookAppointmentRequest { answers: wrong, ..request.clone() };
    invalid(call(&world, &customer, wrong).await, &["answers[1]"]);
    let long = BookAppointmentRequest { note: "x".repeat(2001), ..request.clone() };
    invalid(call(&world, &customer, long).await, &["note", "answers[agreed]", "answers[why]"]);
    assert_eq!(world.state().await, before);
    // The hold is as good as before.
    let answers = vec![answer("agreed", Value::YesNoValue(true)), answer("why", text("x"))];
    let booked =
        world.send(&customer, BookAppointmentRequest { answers, ..request }).await.unwrap();
    let ids: Vec<_> = booked.answers.iter().map(|each| each.question.as_str()).collect();
    assert_eq!(ids, ["why", "agreed"]);
    books::check(&world.sql().await).await;
}

async fn bad_bookings_of_types_are_told_by_field(world: World) {
    let (provider, customer) = (world.provider().await, world.customer().await);
    let plain = world.own_type(&provider, kind(&[30])).await;
    let good = typed(&provider, &plain, "2026-11-23 10:00");
    let before = world.state().await;
    let try_to = async |change: &dyn Fn(&mut BookAppointmentRequest)| {
        let mut request = good.clone();
        change(&mut request);
        call(&world, &customer, request).await
    };
    let upper = plain.name.to_uppercase();
    for bad in ["x", "appointmentTypes/", "appointmentTypes/x", &upper, &"x".repeat(9000)] {
        invalid(try_to(&|r| r.appointment_type = bad.to_owned()).await, &["appointment_type"]);
    }
    for (seconds, nanos) in [(0, 0), (-1800, 0), (1799, 0), (1800, 1), (86_460, 0), (i64::MIN, 0)] {
        let duration = Some(Duration { seconds, nanos });
        invalid(try_to(&|r| r.duration = duration).await, &["duration"]);
    }
    invalid(try_to(&|r| r.start_time = None).await, &["start_time"]);
    let last = Some(Timestamp { seconds: 7_258_118_399, nanos: 0 });
    invalid(try_to(&|r| r.start_time = last).await, &["start_time"]);
    invalid(try_to(&|r| r.end_time = r.start_time).await, &["end_time"]);
    invalid(try_to(&|r| r.link_code = "x".repeat(101)).await, &["link_code"]);
    invalid(try_to(&|r| r.override_reason = "x".repeat(501)).await, &["override_reason"]);
    for bad in ["x", "users/", "users/X", &provider.provider()] {
        invalid(try_to(&|r| r.customer = bad.to_owned()).await, &["customer"]);
    }
    for bad in ["x", "holds/x", &format!("{}/holds/x", provider.provider())] {
        let request = BookAppointmentRequest { hold: bad.to_owned(), ..Default::default() };
        invalid(call(&world, &customer, request).await, &["hold"]);
    }
    // A length is of a type.
    let mut bare = booking(&provider, berlin("2026-11-23 10:00"), berlin("2026-11-23 10:30"));
    bare.duration = minutes(30);
    invalid(call(&world, &customer, bare).await, &["duration"]);
    assert_eq!(world.state().await, before);
}

async fn everything_is_told_at_once(world: World) {
    let customer = world.customer().await;
    let before = world.state().await;
    let bad = BookAppointmentRequest {
        provider: "x".to_owned(),
        start_time: Some(Timestamp { seconds: -1, nanos: 0 }),
        end_time: Some(Timestamp { seconds: -1, nanos: 0 }),
        note: "\0".to_owned(),
        request_id: "x".to_owned(),
        appointment_type: "x".to_owned(),
        duration: Some(Duration { seconds: 1, nanos: 0 }),
        answers: vec![Answer::default(); 51],
        link_code: "\0".to_owned(),
        hold: String::new(),
        customer: "x".to_owned(),
        override_reason: "\0".to_owned(),
    };
    let of_type = [
        "provider",
        "start_time",
        "end_time",
        "note",
        "request_id",
        "appointment_type",
        "duration",
        "answers",
        "link_code",
        "customer",
        "override_reason",
    ];
    invalid(call(&world, &customer, bad.clone()).await, &of_type);
    // Of a bare interval there are no answers and no length.
    let bare = BookAppointmentRequest {
        appointment_type: String::new(),
        answers: vec![Answer::default()],
        ..bad.clone()
    };
    let fields: Vec<_> =
        of_type.iter().copied().filter(|field| *field != "appointment_type").collect();
    invalid(call(&world, &customer, bare).await, &fields);
    let held = BookAppointmentRequest { hold: "x".to_owned(), ..bad };
    let mut fields: Vec<_> =
        of_type.iter().copied().filter(|field| *field != "link_code").collect();
    fields.extend(["hold", "customer"]);
    invalid(call(&world, &customer, held).await, &fields);
    assert_eq!(world.state().await, before);
}
