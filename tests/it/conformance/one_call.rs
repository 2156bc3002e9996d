//! What a page needs comes in one call: lists in their order, several appointments, names, tokens.

use chrono::TimeDelta;
use daybook::grpc::proto::{
    auth::{
        DisableUserRequest, GetMeRequest, ListAuditEventsRequest, ListUsersRequest, LogInResponse,
        Role, SignUpRequest, SignUpResponse, UpdateMeRequest, User, list_users_request,
    },
    booking::{
        Appointment, BatchGetAppointmentsRequest, CancelAppointmentRequest, FindFirstSlotRequest,
        GetAppointmentRequest, GetProviderRequest, ListAppointmentsRequest, ListOfferingsRequest,
        ListSlotsRequest, Provider, appointment::State,
    },
};
use prost_types::Timestamp;
use tonic::Status;
use tonic_types::StatusExt as _;

use super::behaviours;
use crate::support::{
    World, berlin,
    people::{Person, sign_up, uuid, with_token},
    refusal::{invalid, reason_of, refused},
    types::{kind, typed},
};

behaviours!(
    appointments_are_listed_in_each_order,
    appointments_are_narrowed_by_type_and_change,
    an_expired_request_is_listed_by_when_it_expired,
    filters_take_fractions_of_a_second,
    users_are_found_by_prefix_role_and_state,
    several_appointments_come_at_once_or_not_at_all,
    appointments_slots_and_offerings_carry_names,
    a_disabled_provider_is_shown_to_its_customers,
    a_sign_up_answers_with_tokens_where_nothing_stands_between,
    a_retried_sign_up_logs_in_by_its_password,
    each_violation_has_its_reason,
);

async fn list(
    world: &World,
    caller: &Person,
    request: ListAppointmentsRequest,
) -> Vec<Appointment> {
    // Page by page, so that each order goes on where it ended.
    let (mut found, mut request) =
        (Vec::new(), ListAppointmentsRequest { page_size: 2, ..request });
    loop {
        let answer = world.booking().list_appointments(caller.asks(request.clone())).await.unwrap();
        let answer = answer.into_inner();
        found.extend(answer.appointments);
        if answer.next_page_token.is_empty() {
            return found;
        }
        request.page_token = answer.next_page_token;
    }
}

fn names(all: &[Appointment]) -> Vec<&str> {
    all.iter().map(|each| &*each.name).collect()
}

async fn appointments_are_listed_in_each_order(world: World) {
    let (provider, customer) = (world.provider().await, world.customer().await);
    let mut made = Vec::new();
    // Two of one instant, so that their ids decide.
    for (hour, pause) in [(11, 60), (9, 60), (14, 0), (10, 60), (13, 60)] {
        let at = |minute: u32| berlin(&format!("2026-11-24 {hour}:{minute:02}"));
        made.push(world.book(&customer, &provider, at(0), at(30)).await.unwrap());
        world.forward(TimeDelta::seconds(pause));
    }
    let cancel = CancelAppointmentRequest { name: made[1].name.clone(), ..Default::default() };
    world.booking().cancel_appointment(customer.asks(cancel)).await.unwrap();
    let cancelled = world.get(&customer, &made[1].name).await.unwrap();
    made[1] = cancelled;
    let seconds = |at: Option<Timestamp>| at.map(|at| (at.seconds, at.nanos));
    type Key = fn(&Appointment) -> Option<Timestamp>;
    let orders: [(&str, Key); 3] = [
        ("start_time", |a| a.start_time),
        ("create_time", |a| a.create_time),
        ("update_time", |a| a.update_time),
    ];
    for (order_by, key) in orders {
        let mut expected = made.clone();
        expected.sort_by_key(|each| (seconds(key(each)), each.name.clone()));
        let ask = async |order_by: String| {
            let request = ListAppointmentsRequest { order_by, ..Default::default() };
            list(&world, &customer, request).await
        };
        assert_eq!(ask(format!("  {order_by} ")).await, expected, "{order_by}");
        expected.reverse();
        assert_eq!(ask(format!("{order_by}   desc")).await, expected, "{order_by}");
    }
    let first = list(&world, &customer, ListAppointmentsRequest::default()).await;
    assert_eq!(first[0].start_time, Some(berlin("2026-11-24 09:00")));
    let ask = async |order_by: &str, page_token: &str| {
        let request = ListAppointmentsRequest {
            order_by: order_by.to_owned(),
            page_token: page_token.to_owned(),
            page_size: 2,
            ..Default::default()
        };
        world.booking().list_appointments(customer.asks(request)).await
    };
    for bad in
        ["state", "start_time asc", "start_time desc desc", "start_time, create_time", "desc"]
    {
        invalid(ask(bad, "").await, &["order_by"]);
    }
    let token = ask("create_time", "").await.unwrap().into_inner().next_page_token;
    invalid(ask("update_time", &token).await, &["page_token"]);
}

async fn appointments_are_narrowed_by_type_and_change(world: World) {
    let (provider, customer) = (world.provider().await, world.customer().await);
    let one = world.own_type(&provider, kind(&[30])).await;
    let other = world.own_type(&provider, kind(&[30])).await;
    let mut made = Vec::new();
    for (kind, hour) in [(&one, 9), (&other, 10), (&one, 11)] {
        let start = format!("2026-11-24 {hour:02}:00");
        made.push(world.book_type(&customer, &provider, kind, &start).await.unwrap());
        world.forward(TimeDelta::minutes(1));
    }
    let of = ListAppointmentsRequest { appointment_type: one.name.clone(), ..Default::default() };
    let found =
        list(&world, &provider, ListAppointmentsRequest { provider: provider.provider(), ..of });
    assert_eq!(names(&found.await), [&*made[0].name, &made[2].name]);
    let changed = async |from: Option<Timestamp>, until: Option<Timestamp>| {
        let request = ListAppointmentsRequest {
            update_start_time: from,
            update_end_time: until,
            order_by: "update_time".to_owned(),
            ..Default::default()
        };
        list(&world, &customer, request).await
    };
    let at = |place: usize| made[place].update_time;
    assert_eq!(names(&changed(at(1), None).await), [&*made[1].name, &made[2].name]);
    assert_eq!(names(&changed(None, at(1)).await), [&*made[0].name]);
    assert_eq!(names(&changed(at(1), at(2)).await), [&*made[1].name]);
    let request = ListAppointmentsRequest {
        appointment_type: "x".to_owned(),
        update_start_time: at(1),
        update_end_time: at(1),
        ..Default::default()
    };
    let answer = world.booking().list_appointments(customer.asks(request)).await;
    invalid(answer, &["appointment_type", "update_end_time"]);
}

async fn an_expired_request_is_listed_by_when_it_expired(world: World) {
    let (provider, customer) = (world.provider().await, world.customer().await);
    let asked = daybook::grpc::proto::booking::AppointmentType {
        requires_approval: true,
        request_expiry: crate::support::types::minutes(60),
        ..kind(&[30])
    };
    let asked = world.own_type(&provider, asked).await;
    let pending = world.book_type(&customer, &provider, &asked, "2026-11-24 09:00").await.unwrap();
    world.forward(TimeDelta::minutes(30));
    let (from, until) = (berlin("2026-11-24 11:00"), berlin("2026-11-24 11:30"));
    let booked = world.book(&customer, &provider, from, until).await.unwrap();
    world.forward(TimeDelta::minutes(31));
    let customer = world.log_in(&customer.user.email).await;
    let request = |update_start_time| ListAppointmentsRequest {
        update_start_time,
        order_by: "update_time desc".to_owned(),
        ..Default::default()
    };
    // Nobody wrote it down yet.
    let found = list(&world, &customer, request(None)).await;
    assert_eq!((&found[0].name, found[0].state()), (&pending.name, State::Declined));
    assert_eq!(found[0].update_time, Some(Timestamp { nanos: 0, ..found[0].update_time.unwrap() }));
    assert_eq!(names(&found)[1], booked.name);
    let later = list(&world, &customer, request(found[0].update_time)).await;
    assert_eq!(names(&later), [names(&found)[0]]);
}

async fn filters_take_fractions_of_a_second(world: World) {
    let (provider, customer) = (world.provider().await, world.customer().await);
    let own = world.own_type(&provider, kind(&[30])).await;
    let nine = berlin("2026-11-24 09:00");
    world.book(&customer, &provider, nine, berlin("2026-11-24 09:30")).await.unwrap();
    let later = |at: Timestamp, nanos| Some(Timestamp { nanos, ..at });
    let before = |at: Timestamp| Some(Timestamp { seconds: at.seconds - 1, nanos: 999_999_999 });
    let found = async |start_time, end_time| {
        let request = ListAppointmentsRequest { start_time, end_time, ..Default::default() };
        list(&world, &customer, request).await.len()
    };
    // It ends at half past and starts at nine, exactly.
    assert_eq!(found(before(berlin("2026-11-24 09:30")), None).await, 1);
    assert_eq!(found(later(berlin("2026-11-24 09:30"), 1), None).await, 0);
    assert_eq!(found(None, later(nine, 1)).await, 1);
    assert_eq!(found(None, before(nine)).await, 0);
    let slots = async |start_time, end_time| {
        let request = ListSlotsRequest {
            appointment_type: own.name.clone(),
            start_time,
            end_time,
            ..Default::default()
        };
        let answer = world.slots().list_slots(customer.asks(request)).await.unwrap();
        answer
            .into_inner()
            .slots
            .into_iter()
            .map(|slot| slot.start_time.unwrap())
            .collect::<Vec<_>>()
    };
    let (ten, half) = (berlin("2026-11-24 10:00"), berlin("2026-11-24 10:30"));
    assert_eq!(slots(before(ten), Some(half)).await, [ten]);
    assert_eq!(slots(later(ten, 1), Some(berlin("2026-11-24 11:00"))).await, [half]);
    // The trail, to the microsecond.
    let admin = world.admin().await;
    let trail = async |start_time, end_time| {
        let request = ListAuditEventsRequest { start_time, end_time, ..Default::default() };
        let answer = world.auth().list_audit_events(admin.asks(request)).await.unwrap();
        answer.into_inner().audit_events.len()
    };
    let made = provider.user.create_time.unwrap();
    let at_once = trail(Some(made), later(made, made.nanos + 1)).await;
    let since = trail(Some(made), None).await;
    assert!(at_once > 0);
    assert_eq!(trail(later(made, made.nanos + 1), None).await, since - at_once);
}

async fn users_are_found_by_prefix_role_and_state(world: World) {
    let admin = world.admin().await;
    let mut people = Vec::new();
    for (name, email, role) in [
        ("\u{d6}zlem Kaya", "ozlem@example.org", Role::Customer),
        ("Anna-Lena O'Brien", "anna@example.org", Role::Customer),
        ("Dr. Ada \u{d6}zt\u{fc}rk", "oe@example.org", Role::Provider),
    ] {
        let request = SignUpRequest {
            display_name: name.to_owned(),
            email: email.to_owned(),
            ..sign_up(role)
        };
        let answer = world.auth().sign_up(request).await.unwrap().into_inner();
        people.push(answer.user.unwrap().name);
    }
    let request = DisableUserRequest { name: people[1].clone(), ..Default::default() };
    world.auth().disable_user(admin.asks(request)).await.unwrap();
    let find = async |prefix: &str, role: Role, state: list_users_request::State| {
        let mut request = ListUsersRequest {
            prefix: prefix.to_owned(),
            role: role.into(),
            state: state.into(),
            page_size: 1,
            ..Default::default()
        };
        let mut found = Vec::new();
        loop {
            let answer = world.auth().list_users(admin.asks(request.clone())).await.unwrap();
            let answer = answer.into_inner();
            let places = answer.users.iter();
            found.extend(places.filter_map(|user| people.iter().position(|p| *p == user.name)));
            if answer.next_page_token.is_empty() {
                found.sort_unstable();
                return found;
            }
            request.page_token = answer.next_page_token;
        }
    };
    use list_users_request::State::{Disabled, Enabled, Unspecified as Any};
    let all = Role::Unspecified;
    for (prefix, found) in [
        ("", vec![0, 1, 2]),
        ("\u{f6}z", vec![0, 2]),
        ("O\u{308}Z", vec![0, 2]),
        ("ozlem@", vec![0]),
        (" kaya", vec![0]),
        ("lena", vec![1]),
        ("brien", vec![1]),
        ("anna-lena o", vec![1]),
        ("ada \u{f6}z", vec![2]),
        ("zlem", vec![]),
        ("example", vec![]),
        ("%", vec![]),
        ("_", vec![]),
    ] {
        assert_eq!(find(prefix, all, Any).await, found, "{prefix:?}");
    }
    assert_eq!(find("", Role::Provider, Any).await, [2]);
    assert_eq!(find("", all, Disabled).await, [1]);
    assert_eq!(find("", Role::Customer, Enabled).await, [0]);
    assert!(find("anna", Role::Customer, Enabled).await.is_empty());
    let bad = ListUsersRequest { prefix: "\0".to_owned(), role: 9, state: 9, ..Default::default() };
    invalid(world.auth().list_users(admin.asks(bad)).await, &["prefix", "role", "state"]);
}

async fn several_appointments_come_at_once_or_not_at_all(world: World) {
    let (provider, customer) = (world.provider().await, world.customer().await);
    let (other, stranger) = (world.provider().await, world.customer().await);
    let (from, until) = (berlin("2026-11-24 09:00"), berlin("2026-11-24 09:30"));
    let one = world.book(&customer, &provider, from, until).await.unwrap();
    let (from, until) = (berlin("2026-11-24 10:00"), berlin("2026-11-24 10:30"));
    let two = world.book(&customer, &other, from, until).await.unwrap();
    let ask = async |caller: &Person, names: Vec<String>| {
        let request = BatchGetAppointmentsRequest { names };
        world.booking().batch_get_appointments(caller.asks(request)).await
    };
    let both = || vec![two.name.clone(), one.name.clone()];
    let found = ask(&customer, both()).await.unwrap().into_inner().appointments;
    assert_eq!(found, [two.clone(), one.clone()]);
    // Each is asked for by itself.
    for caller in [&provider, &stranger] {
        refused(ask(caller, both()).await, "NOT_FOUND");
    }
    assert_eq!(
        ask(&provider, vec![one.name.clone()]).await.unwrap().into_inner().appointments,
        std::slice::from_ref(&one)
    );
    let absent = format!("{}/appointments/{}", provider.provider(), uuid::Uuid::nil());
    refused(ask(&customer, vec![one.name.clone(), absent]).await, "NOT_FOUND");
    invalid(ask(&customer, Vec::new()).await, &["names"]);
    let twice = vec![one.name.clone(), "x".to_owned(), one.name.clone()];
    invalid(ask(&customer, twice).await, &["names[1]", "names[2]"]);
    let name = || format!("{}/appointments/{}", provider.provider(), uuid());
    invalid(ask(&customer, (0..101).map(|_| name()).collect()).await, &["names"]);
    refused(ask(&customer, (0..100).map(|_| name()).collect()).await, "NOT_FOUND");
}

async fn rename(world: &World, person: &Person, name: &str) {
    let user = Some(User { display_name: name.to_owned(), ..Default::default() });
    let request = UpdateMeRequest { user, ..Default::default() };
    world.auth().update_me(person.asks(request)).await.unwrap();
}

async fn appointments_slots_and_offerings_carry_names(world: World) {
    let (provider, customer) = (world.provider().await, world.customer().await);
    let other = world.beside().await;
    let own = world.own_type(&provider, kind(&[30])).await;
    let slots = |world: &World| {
        let request = ListSlotsRequest {
            appointment_type: own.name.clone(),
            start_time: Some(berlin("2026-11-25 00:00")),
            end_time: Some(berlin("2026-11-26 00:00")),
            ..Default::default()
        };
        let (request, mut client) = (customer.asks(request), world.slots());
        async move { client.list_slots(request).await.unwrap().into_inner() }
    };
    let mut booked = Vec::new();
    for (number, name) in ["Dr. Ada", "Prof. Ada"].into_iter().enumerate() {
        rename(&world, &provider, name).await;
        for (server, place) in [(&world, 0), (&other, 1)] {
            let hour = 9 + 2 * number + place;
            let at = |minute: u32| berlin(&format!("2026-11-24 {hour:02}:{minute:02}"));
            // Twice, so that the second one meets what was remembered.
            let first = server.book(&customer, &provider, at(0), at(15)).await.unwrap();
            let second = server.book(&customer, &provider, at(15), at(30)).await.unwrap();
            let start = format!("2026-11-24 {hour:02}:30");
            let third = server.book_type(&customer, &provider, &own, &start).await.unwrap();
            assert_eq!(third.appointment_type_display_name, own.display_name);
            for each in [first, second, third] {
                assert_eq!(each.provider_display_name, name);
                booked.push(each);
            }
            let page = slots(server).await;
            let told = std::collections::HashMap::from([(provider.provider(), name.to_owned())]);
            assert_eq!(page.provider_display_names, told);
            let request =
                FindFirstSlotRequest { appointment_type: own.name.clone(), ..Default::default() };
            let first = server.slots().find_first_slot(customer.asks(request)).await.unwrap();
            assert_eq!(first.into_inner().provider_display_names, told);
            let request =
                ListOfferingsRequest { appointment_type: own.name.clone(), ..Default::default() };
            let offered = server.catalogue().list_offerings(customer.asks(request)).await.unwrap();
            assert_eq!(offered.into_inner().offerings[0].provider_display_name, name);
        }
    }
    // What was booked under the former name has the present one.
    let request = GetAppointmentRequest { name: booked[0].name.clone() };
    let found = other.booking().get_appointment(customer.asks(request)).await.unwrap();
    assert_eq!(found.into_inner().appointment.unwrap().provider_display_name, "Prof. Ada");
    for order_by in ["", "create_time desc"] {
        let request =
            ListAppointmentsRequest { order_by: order_by.to_owned(), ..Default::default() };
        let all = list(&world, &customer, request).await;
        assert!(all.len() == 12 && all.iter().all(|a| a.provider_display_name == "Prof. Ada"));
    }
    let empty = ListSlotsRequest {
        appointment_type: own.name.clone(),
        end_time: Some(berlin("2026-11-22 14:00")),
        ..Default::default()
    };
    let none = world.slots().list_slots(customer.asks(empty)).await.unwrap().into_inner();
    assert!(none.slots.is_empty() && none.provider_display_names.is_empty());
}

async fn a_disabled_provider_is_shown_to_its_customers(world: World) {
    let admin = world.admin().await;
    let (provider, customer) = (world.provider().await, world.customer().await);
    let (stranger, colleague) = (world.customer().await, world.provider().await);
    let own = world.own_type(&provider, kind(&[30])).await;
    let request = customer.asks(typed(&provider, &own, "2026-11-24 09:00"));
    let booked = world.booking().book_appointment(request).await.unwrap();
    let booked = booked.into_inner().appointment.unwrap();
    let get = async |caller: &Person| -> Result<Provider, Status> {
        let request = GetProviderRequest { name: provider.provider() };
        let answer = world.schedule().get_provider(caller.asks(request)).await?;
        Ok(answer.into_inner().provider.unwrap())
    };
    assert!(!get(&stranger).await.unwrap().disabled);
    let request = DisableUserRequest { name: provider.user.name.clone(), ..Default::default() };
    world.auth().disable_user(admin.asks(request)).await.unwrap();
    // Admins have its account and its schedule.
    for nobody in [&stranger, &colleague, &admin] {
        refused(get(nobody).await, "NOT_FOUND");
    }
    let found = get(&customer).await.unwrap();
    assert!(found.disabled && found.display_name == provider.user.display_name);
    // Also when it is over.
    let cancel = CancelAppointmentRequest { name: booked.name, ..Default::default() };
    world.booking().cancel_appointment(customer.asks(cancel)).await.unwrap();
    assert!(get(&customer).await.unwrap().disabled);
}

async fn tokens_of(world: &World, request: SignUpRequest) -> Result<SignUpResponse, Status> {
    Ok(world.auth().sign_up(request).await?.into_inner())
}

async fn works(world: &World, log_in: &LogInResponse) -> bool {
    let me = world.auth().get_me(with_token(GetMeRequest {}, &log_in.access_token)).await;
    me.is_ok_and(|me| me.into_inner().user == log_in.user)
}

async fn a_sign_up_answers_with_tokens_where_nothing_stands_between(world: World) {
    let request = SignUpRequest { log_in: true, ..sign_up(Role::Customer) };
    let answer = tokens_of(&world, request).await.unwrap();
    let log_in = answer.log_in.unwrap();
    assert_eq!(log_in.user, answer.user);
    assert!(works(&world, &log_in).await && !log_in.device_token.is_empty());
    assert_eq!(tokens_of(&world, sign_up(Role::Customer)).await.unwrap().log_in, None);
    // A second factor stands between: it is asked for.
    let strict = world.beside_with(&[("auth.second_factor_required_for", "provider")]).await;
    let request = SignUpRequest { log_in: true, ..sign_up(Role::Provider) };
    let log_in = tokens_of(&strict, request).await.unwrap().log_in.unwrap();
    assert!(log_in.access_token.is_empty() && log_in.second_step.is_some());
}

async fn a_retried_sign_up_logs_in_by_its_password(world: World) {
    let request = SignUpRequest { log_in: true, request_id: uuid(), ..sign_up(Role::Customer) };
    let first = tokens_of(&world, request.clone()).await.unwrap();
    let second = tokens_of(&world, request.clone()).await.unwrap();
    assert_eq!(second.user, first.user);
    let (first, second) = (first.log_in.unwrap(), second.log_in.unwrap());
    assert_ne!(first.session, second.session);
    assert!(works(&world, &first).await && works(&world, &second).await);
    // Once the password is another one, the request opens nothing any more.
    let change = daybook::grpc::proto::auth::ChangePasswordRequest {
        current_password: request.password.clone(),
        new_password: "tulip-anvil-moss".to_owned(),
        ..Default::default()
    };
    world.auth().change_password(with_token(change, &first.access_token)).await.unwrap();
    refused(tokens_of(&world, request).await, "LOG_IN_FAILED");
}

async fn each_violation_has_its_reason(world: World) {
    let person = world.customer().await;
    let reasons = |status: &Status| -> Vec<(String, String)> {
        let details = status.get_error_details();
        let all = details.bad_request().map(|all| all.field_violations.clone()).unwrap_or_default();
        all.into_iter().map(|violation| (violation.field, violation.reason)).collect()
    };
    let bad = SignUpRequest {
        display_name: String::new(),
        email: "ada".to_owned(),
        password: "1234567".to_owned(),
        time_zone: "Europe/Nowhere".to_owned(),
        request_id: "1".to_owned(),
        ..sign_up(Role::Admin)
    };
    let status = tokens_of(&world, bad).await.unwrap_err();
    assert_eq!(reason_of(&status), "INVALID_FIELDS");
    let mut told = reasons(&status);
    told.sort();
    let told: Vec<_> = told.iter().map(|(field, reason)| (&**field, &**reason)).collect();
    let expected = [
        ("display_name", "REQUIRED"),
        ("email", "MALFORMED"),
        ("password", "WRONG_LENGTH"),
        ("request_id", "MALFORMED"),
        ("role", "UNKNOWN_VALUE"),
        ("time_zone", "UNKNOWN_VALUE"),
    ];
    assert_eq!(told, expected);
    // Where the whole request is refused for a reason of its own, the field has that.
    let taken = SignUpRequest { email: person.user.email, ..sign_up(Role::Customer) };
    let status = tokens_of(&world, taken).await.unwrap_err();
    assert_eq!(reasons(&status), [("email".to_owned(), "EMAIL_TAKEN".to_owned())]);
}
