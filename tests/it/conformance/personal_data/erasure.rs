//! Customers who are forgotten.

use chrono::TimeDelta;
use daybook::grpc::proto::{
    auth::{
        EnableUserRequest, GetUserRequest, ListUsersRequest, LogInRequest,
        RequestEmailChangeRequest, RequestPasswordResetRequest, Role, SetUserRoleRequest,
        UpdateMeRequest, User,
    },
    booking::{
        Answer, AppointmentType, BookAppointmentRequest, CancelAppointmentRequest, HoldSlotRequest,
        IntakeQuestion, ReassignAppointmentRequest, UpdateAppointmentRequest, answer::Value,
        appointment::State, appointment_event, intake_question::Kind,
    },
};

use crate::{
    conformance::behaviours,
    support::{
        World, berlin,
        dump::{digits, dump},
        people::{PASSWORD, Person, booking, sign_up, uuid},
        refusal::refused,
        rounds,
        types::{kind, typed},
    },
};

behaviours!(
    nothing_that_a_deleted_customer_wrote_or_was_called_is_stored,
    what_the_provider_needs_stays,
    letters_that_wait_are_not_sent_any_more,
    the_address_is_free_for_somebody_else,
    password_and_code_are_asked_for,
    an_admin_erases_somebody_who_asks,
    the_last_admin_stays,
    many_appointments_are_looked_after_in_batches,
    what_a_process_left_behind_is_ended_by_itself,
);

/// A word that is found wherever it is stored. In the places it may be in there is a number behind it.
const CANARY: &str = "Xylocopa";

fn canary(number: u8) -> String {
    format!("{CANARY}{number}")
}

/// Somebody called by the canary, in name and address.
async fn named(world: &World, role: Role) -> Person {
    let request = sign_up(role);
    let email = format!("{}.{}", CANARY.to_lowercase(), request.email);
    let request = daybook::grpc::proto::auth::SignUpRequest {
        display_name: canary(0),
        email: email.clone(),
        request_id: uuid(),
        ..request
    };
    world.auth().sign_up(request).await.unwrap();
    world.log_in(&email).await
}

/// Every value that is stored, with the canary nowhere in it.
async fn gone(world: &World) {
    let stored = dump(world).await;
    for word in [CANARY.to_owned(), CANARY.to_lowercase()] {
        let found = stored.lines().filter(|value| value.contains(&digits(word.as_bytes())));
        let found: Vec<_> = found.map(text).collect();
        assert!(found.is_empty(), "{found:#?}");
    }
}

fn text(digits: &str) -> String {
    let byte = |at: usize| u8::from_str_radix(&digits[at..at + 2], 16).unwrap();
    let bytes: Vec<u8> = (0..digits.len() / 2).map(|at| byte(at * 2)).collect();
    String::from_utf8_lossy(&bytes).into_owned()
}

fn with_question() -> AppointmentType {
    let question = IntakeQuestion {
        id: "why".to_owned(),
        text: "Why?".to_owned(),
        kind: Kind::Text.into(),
        ..Default::default()
    };
    AppointmentType { questions: vec![question], price: "40 EUR".to_owned(), ..kind(&[30]) }
}

fn answered(request: BookAppointmentRequest) -> BookAppointmentRequest {
    let answer = Answer {
        question: "why".to_owned(),
        value: Some(Value::TextValue(canary(1))),
        ..Default::default()
    };
    BookAppointmentRequest { answers: vec![answer], note: canary(2), request_id: uuid(), ..request }
}

/// A customer who wrote the canary wherever something can be written, and about whom others did.
async fn talkative(world: &World, admin: &Person, provider: &Person, other: &Person) -> Person {
    let customer = named(world, Role::Customer).await;
    let user = Some(User { display_name: canary(3), ..Default::default() });
    let rename = UpdateMeRequest { user, request_id: uuid(), ..Default::default() };
    world.auth().update_me(customer.asks(rename)).await.unwrap();
    let of = world.shared_type(admin, with_question(), &[provider, other]).await;
    let book = async |start: &str| {
        world.send(&customer, answered(typed(provider, &of, start))).await.unwrap().name
    };
    let cancelled = book("2026-11-23 09:00").await;
    let (reason, name) = (canary(4), cancelled.clone());
    let cancel =
        CancelAppointmentRequest { name, reason, request_id: uuid(), ..Default::default() };
    world.booking().cancel_appointment(customer.asks(cancel)).await.unwrap();
    let annotated = book("2026-11-23 10:00").await;
    let annotate = UpdateAppointmentRequest {
        appointment: Some(daybook::grpc::proto::booking::Appointment {
            name: annotated,
            customer_message: canary(5),
            private_note: canary(6),
            ..Default::default()
        }),
        request_id: uuid(),
        ..Default::default()
    };
    world.booking().update_appointment(provider.asks(annotate)).await.unwrap();
    let moved = book("2026-11-23 11:00").await;
    let to = ReassignAppointmentRequest {
        name: moved,
        provider: other.provider(),
        reason: canary(7),
        request_id: uuid(),
        ..Default::default()
    };
    world.booking().reassign_appointment(provider.asks(to)).await.unwrap();
    // Against the rules, by staff, for the customer.
    let forced = BookAppointmentRequest {
        customer: customer.user.name.clone(),
        override_reason: canary(8),
        ..answered(typed(provider, &of, "2026-11-23 20:00"))
    };
    world.send(provider, forced).await.unwrap();
    let hold = HoldSlotRequest {
        provider: provider.provider(),
        appointment_type: of.name.clone(),
        start_time: Some(berlin("2026-11-23 13:00")),
        request_id: uuid(),
        ..Default::default()
    };
    world.hold(&customer, hold).await.unwrap();
    // The id of a call is the caller's to choose.
    let (email, password) = (customer.user.email.clone(), PASSWORD.to_owned());
    let again = LogInRequest { email, password, ..Default::default() };
    let mut again = tonic::Request::new(again);
    again.metadata_mut().insert("x-request-id", canary(9).parse().unwrap());
    world.auth().log_in(again).await.unwrap();
    customer
}

async fn nothing_that_a_deleted_customer_wrote_or_was_called_is_stored(world: World) {
    let (admin, provider) = (world.admin().await, world.provider().await);
    // Codes are stored with their addresses.
    let (world, mail) = world.mailing(&[]).await;
    let customer = talkative(&world, &admin, &provider, &world.provider().await).await;
    let email = customer.user.email.clone();
    let forgotten = RequestPasswordResetRequest { email: email.clone(), request_id: uuid() };
    world.email().request_password_reset(forgotten).await.unwrap();
    let elsewhere = RequestEmailChangeRequest {
        new_email: format!("new.{email}"),
        current_password: PASSWORD.to_owned(),
        request_id: uuid(),
    };
    world.email().request_email_change(customer.asks(elsewhere)).await.unwrap();
    mail.letter(&format!("new.{email}")).await;
    world.nothing_waits().await;
    // The control: all of it is there before.
    let stored = dump(&world).await;
    for number in 0..=9 {
        assert!(stored.contains(&digits(canary(number).as_bytes())), "{number}");
    }
    world.leaves(&customer).await.unwrap();
    gone(&world).await;
    let id = customer.user.name.trim_start_matches("users/").replace('-', "");
    for table in ["sessions", "email_codes", "second_factors", "recovery_codes"] {
        let column = match world.engine {
            crate::support::Engine::Sqlite => "lower(hex(user_id))",
            crate::support::Engine::Postgres => "replace(user_id::text, '-', '')",
        };
        let rows = format!("SELECT count(*) FROM {table} WHERE {column} = '{id}'");
        assert_eq!(world.count(&rows).await, 0, "{table}");
    }
    world.nothing_is_amiss().await;
}

async fn what_the_provider_needs_stays(world: World) {
    let (admin, provider) = (world.admin().await, world.provider().await);
    let of = world.shared_type(&admin, with_question(), &[&provider]).await;
    let customer = named(&world, Role::Customer).await;
    let book = async |start: &str| {
        world.send(&customer, answered(typed(&provider, &of, start))).await.unwrap()
    };
    let (past, to_come) = (book("2026-11-23 09:00").await, book("2026-11-24 09:00").await);
    world.move_to("2026-11-23 09:15", "Europe/Berlin");
    let held =
        world.hold_interval(&customer, &provider, "2026-11-24 15:00", "2026-11-24 15:30").await;
    world.leaves(&customer).await.unwrap();

    let seen = world.get(&provider, &past.name).await.unwrap();
    assert_eq!(seen.state(), State::Booked);
    assert_eq!((seen.start_time, seen.end_time), (past.start_time, past.end_time));
    assert_eq!(seen.appointment_type, of.name);
    assert_eq!((&*seen.price, &*seen.customer), ("40 EUR", &*customer.user.name));
    assert_eq!((&*seen.customer_display_name, &*seen.note), ("", ""));
    assert_eq!(seen.answers, []);
    assert_ne!(seen.etag, past.etag);
    let seen = world.get(&provider, &to_come.name).await.unwrap();
    assert_eq!(seen.state(), State::Cancelled);
    assert_eq!(seen.cancel_reason, "the customer's account was deleted");
    let events = world.events_of(&provider, &to_come.name).await.unwrap();
    let last = events.last().unwrap();
    assert_eq!(last.kind(), appointment_event::Kind::Cancelled);
    assert_eq!(last.actor, customer.user.name);
    // The time is free again, held or booked, for somebody else.
    assert!(!held.is_empty());
    let next = world.customer().await;
    world.book_type(&next, &provider, &of, "2026-11-24 09:00").await.unwrap();
    let (start, end) = (berlin("2026-11-24 15:00"), berlin("2026-11-24 15:30"));
    world.book(&next, &provider, start, end).await.unwrap();
    // And the one that took place can still be marked.
    let name = past.name.clone();
    let done =
        daybook::grpc::proto::booking::CompleteAppointmentRequest { name, ..Default::default() };
    world.booking().complete_appointment(provider.asks(done)).await.unwrap();
    world.nothing_is_amiss().await;
}

async fn letters_that_wait_are_not_sent_any_more(world: World) {
    // Nobody listens there, so that letters wait.
    let nowhere = [("mail.transport", "smtp"), ("mail.smtp_url", "smtp://127.0.0.1:1")];
    let world = world.beside_with(&nowhere).await;
    let (customer, other) = (world.customer().await, world.customer().await);
    let waiting = "SELECT count(*) FROM letters";
    for person in [&customer, &other] {
        let email = person.user.email.clone();
        let forgotten = RequestPasswordResetRequest { email, request_id: uuid() };
        world.email().request_password_reset(forgotten).await.unwrap();
    }
    let before = world.count(waiting).await;
    assert!(before >= 2 && before % 2 == 0, "{before}");
    world.leaves(&customer).await.unwrap();
    assert_eq!(world.count(waiting).await, before / 2);
}

async fn the_address_is_free_for_somebody_else(world: World) {
    let (provider, customer) = (world.provider().await, world.customer().await);
    let (start, end) = (berlin("2026-11-23 10:00"), berlin("2026-11-23 10:30"));
    let booked = world.book(&customer, &provider, start, end).await.unwrap();
    let email = customer.user.email.clone();
    world.leaves(&customer).await.unwrap();
    assert!(!world.is_logged_in(&customer).await);
    refused(world.leaves(&customer).await, "NOT_AUTHENTICATED");
    let log_in = |email: &str| LogInRequest {
        email: email.to_owned(),
        password: PASSWORD.to_owned(),
        ..Default::default()
    };
    refused(world.auth().log_in(log_in(&email)).await, "LOG_IN_FAILED");
    let placeholder = customer.user.name.trim_start_matches("users/");
    let placeholder = format!("erased {placeholder}");
    refused(world.auth().log_in(log_in(&placeholder)).await, "INVALID_FIELDS");
    let request = daybook::grpc::proto::auth::SignUpRequest {
        email: email.clone(),
        ..sign_up(Role::Customer)
    };
    world.auth().sign_up(request).await.unwrap();
    let other = world.log_in(&email).await;
    assert_ne!(other.user.name, customer.user.name);
    assert_eq!(world.list(&other, &[]).await, []);
    refused(world.get(&other, &booked.name).await, "NOT_FOUND");
}

async fn password_and_code_are_asked_for(world: World) {
    let customer = world.customer().await;
    refused(world.delete(&customer, "not the password", "").await, "CURRENT_PASSWORD_WRONG");
    refused(world.delete(&customer, "", "").await, "INVALID_FIELDS");
    refused(world.delete(&customer, PASSWORD, "12").await, "INVALID_FIELDS");
    let (app, codes) = world.turn_on(&customer).await;
    refused(world.delete(&customer, PASSWORD, "").await, "CODE_WRONG");
    let wrong = app.wrong(world.clock.now()).next().unwrap();
    refused(world.delete(&customer, PASSWORD, &wrong).await, "CODE_WRONG");
    assert!(world.is_logged_in(&customer).await);
    // A token and guesses alone delete nothing: there are only so many of them.
    let guessed = world.customer().await;
    for _ in 0..20 {
        let guess = world.delete(&guessed, "not the password", "").await.unwrap_err();
        if crate::support::refusal::reason_of(&guess) == "TOO_MANY_ATTEMPTS" {
            break;
        }
    }
    refused(world.leaves(&guessed).await, "TOO_MANY_ATTEMPTS");
    world.forward(TimeDelta::days(1) - TimeDelta::minutes(1));
    world.delete(&customer, PASSWORD, &codes[0]).await.unwrap();
    assert!(!world.is_logged_in(&customer).await);
    assert!(world.is_logged_in(&guessed).await);
}

async fn an_admin_erases_somebody_who_asks(world: World) {
    let (admin, provider) = (world.admin().await, world.provider().await);
    let customer = named(&world, Role::Customer).await;
    let (start, end) = (berlin("2026-11-23 10:00"), berlin("2026-11-23 10:30"));
    let booked = world.book(&customer, &provider, start, end).await.unwrap();
    refused(world.erase(&admin, &admin.user.name).await, "OWN_ACCOUNT");
    refused(world.erase(&provider, &customer.user.name).await, "ROLE_NOT_ALLOWED");
    let request = daybook::grpc::proto::auth::EraseUserRequest {
        name: customer.user.name.clone(),
        etag: "\"77\"".to_owned(),
        ..Default::default()
    };
    refused(world.personal().erase_user(admin.asks(request)).await, "ETAG_STALE");
    world.erase(&admin, &customer.user.name).await.unwrap();
    gone(&world).await;
    assert!(!world.is_logged_in(&customer).await);
    let seen = world.get(&provider, &booked.name).await.unwrap();
    assert_eq!(seen.state(), State::Cancelled);
    let events = world.events_of(&provider, &booked.name).await.unwrap();
    assert_eq!(events.last().unwrap().actor, admin.user.name);

    // From here on there is nobody of this name for any act.
    let name = customer.user.name.clone();
    refused(world.erase(&admin, &name).await, "NOT_FOUND");
    let get = GetUserRequest { name: name.clone() };
    refused(world.auth().get_user(admin.asks(get)).await, "NOT_FOUND");
    let enable = EnableUserRequest { name: name.clone(), ..Default::default() };
    refused(world.auth().enable_user(admin.asks(enable)).await, "NOT_FOUND");
    let role = Role::Provider.into();
    let promote = SetUserRoleRequest { name: name.clone(), role, ..Default::default() };
    refused(world.auth().set_user_role(admin.asks(promote)).await, "NOT_FOUND");
    let book = BookAppointmentRequest {
        customer: name.clone(),
        ..booking(&provider, berlin("2026-11-23 12:00"), berlin("2026-11-23 12:30"))
    };
    refused(world.send(&provider, book).await, "NOT_FOUND");
    let all = world.auth().list_users(admin.asks(ListUsersRequest::default())).await.unwrap();
    assert!(all.into_inner().users.iter().all(|user| user.name != name));
    world.nothing_is_amiss().await;
}

async fn the_last_admin_stays(world: World) {
    let first = world.admin().await;
    refused(world.leaves(&first).await, "OWN_ACCOUNT");
    assert!(world.is_logged_in(&first).await);
    let second = world.admin().await;
    world.leaves(&first).await.unwrap();
    refused(world.leaves(&second).await, "OWN_ACCOUNT");
    // One who is shut out is no admin that an installation could be left with.
    let third = world.admin().await;
    let disable = daybook::grpc::proto::auth::DisableUserRequest {
        name: third.user.name,
        ..Default::default()
    };
    world.auth().disable_user(second.asks(disable)).await.unwrap();
    refused(world.leaves(&second).await, "OWN_ACCOUNT");
}

/// Books so many half hours from the 23rd of November on, open to the end of each day.
async fn book_many(world: &World, customer: &Person, provider: &Person, count: usize) {
    crate::support::practice::open_every_day(&world.channel, provider, (0, 24), 1).await;
    let first = crate::support::instant("2026-11-24 00:00", "UTC");
    for number in 0..count {
        let start = first + TimeDelta::hours(i64::try_from(number).unwrap());
        let at = |time: chrono::DateTime<chrono::Utc>| prost_types::Timestamp {
            seconds: time.timestamp(),
            nanos: 0,
        };
        let end = start + TimeDelta::hours(1);
        world.book(customer, provider, at(start), at(end)).await.unwrap();
    }
}

async fn many_appointments_are_looked_after_in_batches(world: World) {
    let (one, other, customer) =
        (world.provider().await, world.provider().await, named(&world, Role::Customer).await);
    let count = rounds(110, 500);
    book_many(&world, &customer, &one, count).await;
    crate::support::practice::open_every_day(&world.channel, &other, (0, 24), 1).await;
    let (start, end) = (berlin("2026-11-23 10:00"), berlin("2026-11-23 11:00"));
    world.book(&customer, &other, start, end).await.unwrap();
    let began = std::time::Instant::now();
    world.leaves(&customer).await.unwrap();
    println!("{count} appointments: {:?} on {:?}", began.elapsed(), world.engine);
    world.erasures_end().await;
    let open = "SELECT count(*) FROM appointments WHERE state <> 'cancelled'";
    assert_eq!(world.count(open).await, 0);
    gone(&world).await;
    world.nothing_is_amiss().await;
}

async fn what_a_process_left_behind_is_ended_by_itself(world: World) {
    let (provider, customer) = (world.provider().await, world.customer().await);
    let (start, end) = (berlin("2026-11-23 10:00"), berlin("2026-11-23 10:30"));
    world.book(&customer, &provider, start, end).await.unwrap();
    world.leaves(&customer).await.unwrap();
    // As it would be if the process had ended after the first part.
    let again = "UPDATE appointments SET state = 'booked', customer_display_name = 'Xylocopa'";
    world.execute(again, again).await;
    let open = "INSERT INTO erasures SELECT user_id, user_id, erased_at FROM users
        WHERE erased_at IS NOT NULL";
    world.execute(open, open).await;
    world.erasures_end().await;
    let open = "SELECT count(*) FROM appointments WHERE state <> 'cancelled'";
    assert_eq!(world.count(open).await, 0);
    gone(&world).await;
    world.nothing_is_amiss().await;
}
