//! What living processes and clients do when the database went back to an earlier state: after a failover that
//! lost commits, or a restore. The same version numbers then name something else.

use chrono::TimeDelta;
use daybook::grpc::proto::{
    auth::{
        ChangePasswordRequest, GetMeRequest, LogInRequest, LogOutRequest, RefreshTokensRequest,
        RevokeAllSessionsRequest, Role, SetUserRoleRequest, UpdateMeRequest,
        UpdateServiceAccountRequest, User,
    },
    booking::{
        Appointment, AppointmentType, CancelAppointmentRequest, ListAppointmentsRequest, Schedule,
        UpdateAppointmentRequest, UpdateAppointmentTypeRequest,
    },
    google::r#type::DayOfWeek,
};
use prost_types::FieldMask;

use super::{
    behaviours,
    schedules::{update, window},
};
use crate::support::{
    World, berlin, books,
    people::{PASSWORD, Person, booking, uuid, with_token},
    refusal::{reason_of, refused},
    restore::Dump,
    services::{BOOKING, Backend, any_customer},
    types::{anybodys, kind, local, minutes, on_day, typed},
    version,
};

behaviours!(
    claims_of_a_lost_history_are_forgotten,
    a_schedule_of_a_lost_history_is_forgotten,
    a_type_of_a_lost_history_is_forgotten,
    an_etag_of_a_lost_history_is_stale,
    a_request_that_was_lost_is_carried_out_again,
    who_was_shut_out_by_what_was_lost_logs_in_again,
    a_token_of_a_lost_history_ends_with_the_next_change,
    a_session_that_went_on_in_a_lost_history_ends,
    an_api_key_of_a_lost_history_is_refused,
    a_session_whose_end_was_lost_lives_again,
);

const MONDAY: (i32, i32, i32) = (2026, 11, 23);

fn mask(field: &str) -> Option<FieldMask> {
    Some(FieldMask { paths: vec![field.to_owned()] })
}

async fn book(world: &World, by: &Person, with: &Person, at: &str) -> Result<Appointment, String> {
    let (start, end) = (format!("2026-11-23 {at}:00"), format!("2026-11-23 {at}:30"));
    let booked = world.book(by, with, berlin(&start), berlin(&end)).await;
    booked.map_err(|status| reason_of(&status))
}

async fn slots(world: &World, by: &Person, with: &Person) -> Vec<String> {
    let slots = world.availability(by, with, MONDAY).await.slots;
    slots.iter().map(|slot| local(slot.start_time)[11..].to_owned()).collect()
}

async fn hours(world: &World, provider: &Person, from: i32, until: i32) -> Schedule {
    let schedule = Schedule {
        name: provider.schedule(),
        weekly_windows: vec![window(DayOfWeek::Monday, (from, 0), (until, 0))],
        ..Default::default()
    };
    update(world, provider, schedule, &["weekly_windows"]).await.unwrap()
}

/// Waits until a call is answered so; the servers look at the database once a second.
async fn until(what: &str, is_so: impl AsyncFn() -> bool) {
    let wait = async {
        while !is_so().await {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(std::time::Duration::from_secs(20), wait).await.expect(what);
}

async fn claims_of_a_lost_history_are_forgotten(world: World) {
    let (other, provider, admin) =
        (world.beside().await, world.provider().await, world.admin().await);
    let (one, two) = (world.customer().await, world.customer().await);
    let shared = world.shared_type(&admin, kind(&[30]), &[&provider]).await;
    let dump = Dump::of(&world).await;
    // One server alone sees 09:00 go, and remembers it with the version that this took.
    let lost = book(&world, &one, &provider, "09").await.unwrap();
    for _ in 0..2 {
        assert!(!slots(&world, &one, &provider).await.contains(&"09:00".to_owned()));
        let starts = world.starts_of(&one, &shared, "2026-11-23").await;
        assert!(!starts.contains(&"09:00".to_owned()));
    }
    dump.restore(&world).await;
    let kept = book(&other, &two, &provider, "10").await.unwrap();
    assert_eq!(version(&kept.etag), version(&lost.etag));
    let named = daybook::grpc::proto::booking::ListSlotsRequest {
        providers: vec![provider.provider()],
        ..on_day(&shared, "2026-11-23")
    };
    for _ in 0..2 {
        let seen = slots(&world, &one, &provider).await;
        assert_eq!((&*seen[0], &*seen[1], &*seen[2]), ("09:00", "09:30", "10:30"));
        let starts = world.starts_of(&one, &shared, "2026-11-23").await;
        assert_eq!(starts, seen);
        let named: Vec<_> = world.list_slots(&one, named.clone()).await;
        assert_eq!(named.len(), seen.len());
    }
    assert_eq!(book(&world, &one, &provider, "10").await.unwrap_err(), "SLOT_TAKEN");
    let typed = world.send(&one, typed(&provider, &shared, "2026-11-23 10:00")).await;
    refused(typed, "SLOT_TAKEN");
    let anybody = world.send(&one, anybodys(&shared, "2026-11-23 10:00")).await;
    refused(anybody, "SLOT_TAKEN");
    let again = world.send(&one, anybodys(&shared, "2026-11-23 09:00")).await.unwrap();
    assert_eq!(local(again.start_time), "2026-11-23 09:00");
    books::check(&world.sql().await).await;
}

async fn a_schedule_of_a_lost_history_is_forgotten(world: World) {
    let (other, provider, customer) =
        (world.beside().await, world.provider().await, world.customer().await);
    let dump = Dump::of(&world).await;
    let lost = hours(&world, &provider, 6, 8).await;
    // Twice, so that it is remembered when the second one comes.
    book(&world, &customer, &provider, "06").await.unwrap();
    book(&world, &customer, &provider, "07").await.unwrap();
    assert_eq!(slots(&world, &customer, &provider).await, ["06:30", "07:30"]);
    dump.restore(&world).await;
    let kept = hours(&other, &provider, 13, 15).await;
    assert_eq!(version(&kept.etag), version(&lost.etag));
    // A bare interval is what PostgreSQL books in one statement, checked against what is remembered.
    assert_eq!(book(&world, &customer, &provider, "06").await.unwrap_err(), "OUTSIDE_HOURS");
    assert_eq!(book(&world, &customer, &provider, "07").await.unwrap_err(), "OUTSIDE_HOURS");
    book(&world, &customer, &provider, "13").await.unwrap();
    assert_eq!(slots(&world, &customer, &provider).await, ["13:30", "14:00", "14:30"]);
    // Also where the claims alone have another state than is remembered.
    book(&other, &customer, &provider, "14").await.unwrap();
    assert_eq!(slots(&world, &customer, &provider).await, ["13:30", "14:30"]);
    books::check(&world.sql().await).await;
}

async fn a_type_of_a_lost_history_is_forgotten(world: World) {
    let (other, provider, customer) =
        (world.beside().await, world.provider().await, world.customer().await);
    let made = world.own_type(&provider, kind(&[30])).await;
    let change = |length: i64| AppointmentType {
        durations: minutes(length).into_iter().collect(),
        slot_step: minutes(length),
        ..made.clone()
    };
    let fields = ["durations", "slot_step"];
    let dump = Dump::of(&world).await;
    let lost = world.change_type(&provider, change(120), &fields).await;
    for _ in 0..2 {
        let starts = world.starts_of(&customer, &made, "2026-11-23").await;
        assert_eq!(starts, ["09:00", "11:00", "13:00", "15:00"]);
    }
    dump.restore(&world).await;
    let kept = other.change_type(&provider, change(240), &fields).await;
    assert_eq!(version(&kept.etag), version(&lost.etag));
    let starts = world.starts_of(&customer, &made, "2026-11-23").await;
    assert_eq!(starts, ["09:00", "13:00"]);
}

async fn an_etag_of_a_lost_history_is_stale(world: World) {
    let other = world.beside().await;
    let (provider, admin, customer) =
        (world.provider().await, world.admin().await, world.customer().await);
    let made = world.own_type(&provider, kind(&[30])).await;
    let booked = book(&world, &customer, &provider, "11").await.unwrap();
    // Not the customer, whose name stands on the appointment.
    let renamed = world.customer().await;
    let backend = world.service_account(&admin, Role::Customer, None).await;
    let dump = Dump::of(&world).await;
    let schedule =
        Schedule { name: provider.schedule(), slot_duration: minutes(10), ..Default::default() };
    let note =
        Appointment { name: booked.name.clone(), private_note: "a".into(), ..Default::default() };
    let kind = AppointmentType { price: "a".into(), etag: String::new(), ..made };
    let user = User { display_name: "A".into(), ..Default::default() };
    let account = daybook::grpc::proto::auth::ServiceAccount {
        name: backend.name.clone(),
        display_name: "A".into(),
        ..Default::default()
    };
    // With an etag, or without.
    let all = async |world: &World, etags: &[String; 5]| {
        let [of_schedule, of_note, of_kind, of_user, of_account] = etags.clone();
        let schedule = Schedule { etag: of_schedule, ..schedule.clone() };
        let schedule = update(world, &provider, schedule, &["slot_duration"]).await;
        let request = UpdateAppointmentRequest {
            appointment: Some(Appointment { etag: of_note, ..note.clone() }),
            update_mask: mask("private_note"),
            ..Default::default()
        };
        let note = world.booking().update_appointment(provider.asks(request)).await;
        let request = UpdateAppointmentTypeRequest {
            appointment_type: Some(AppointmentType { etag: of_kind, ..kind.clone() }),
            update_mask: mask("price"),
            ..Default::default()
        };
        let kind = world.catalogue().update_appointment_type(provider.asks(request)).await;
        let request = UpdateMeRequest {
            user: Some(User { etag: of_user, ..user.clone() }),
            update_mask: mask("display_name"),
            ..Default::default()
        };
        let user = world.auth().update_me(renamed.asks(request)).await;
        let request = UpdateServiceAccountRequest {
            service_account: Some(daybook::grpc::proto::auth::ServiceAccount {
                etag: of_account,
                ..account.clone()
            }),
            update_mask: mask("display_name"),
            ..Default::default()
        };
        let account = world.services().update_service_account(admin.asks(request)).await;
        [
            schedule.map(|answer| answer.etag),
            note.map(|answer| answer.into_inner().appointment.unwrap().etag),
            kind.map(|answer| answer.into_inner().appointment_type.unwrap().etag),
            user.map(|answer| answer.into_inner().user.unwrap().etag),
            account.map(|answer| answer.into_inner().service_account.unwrap().etag),
        ]
    };
    let none = [const { String::new() }; 5];
    let lost = all(&world, &none).await.map(Result::unwrap);
    dump.restore(&world).await;
    let kept = all(&other, &none).await.map(Result::unwrap);
    assert_eq!(
        kept.each_ref().map(|etag| version(etag)),
        lost.each_ref().map(|etag| version(etag))
    );
    for server in [&world, &other] {
        for answer in all(server, &lost).await {
            refused(answer, "ETAG_STALE");
        }
    }
    // A cancellation with it is refused too.
    let cancel = CancelAppointmentRequest {
        name: booked.name.clone(),
        etag: lost[1].clone(),
        ..Default::default()
    };
    refused(world.booking().cancel_appointment(customer.asks(cancel)).await, "ETAG_STALE");
    for answer in all(&world, &kept).await {
        answer.unwrap();
    }
}

async fn a_request_that_was_lost_is_carried_out_again(world: World) {
    let (provider, customer) = (world.provider().await, world.customer().await);
    let dump = Dump::of(&world).await;
    let mut request = booking(&provider, berlin("2026-11-23 09:00"), berlin("2026-11-23 09:30"));
    request.request_id = uuid();
    let lost = world.send(&customer, request.clone()).await.unwrap();
    dump.restore(&world).await;
    refused(world.get(&customer, &lost.name).await, "NOT_FOUND");
    let again = world.send(&customer, request.clone()).await.unwrap();
    assert_ne!(again.name, lost.name);
    assert_eq!(world.send(&customer, request).await.unwrap(), again);
    books::check(&world.sql().await).await;
}

async fn who_am_i(world: &World, token: &str) -> bool {
    world.auth().get_me(with_token(GetMeRequest {}, token)).await.is_ok()
}

async fn who_was_shut_out_by_what_was_lost_logs_in_again(world: World) {
    let customer = world.customer().await;
    let dump = Dump::of(&world).await;
    world.forward(TimeDelta::minutes(5));
    let request = ChangePasswordRequest {
        current_password: PASSWORD.to_owned(),
        new_password: "quite another staple".to_owned(),
        ..Default::default()
    };
    let mine = world.log_in(&customer.user.email).await;
    world.auth().change_password(mine.asks(request)).await.unwrap();
    assert!(!who_am_i(&world, &customer.token).await);
    dump.restore(&world).await;
    world.forward(TimeDelta::minutes(5));
    // The old password is the right one again, and what is got with it works.
    until("a new log-in is accepted", async || {
        let again = world.log_in(&customer.user.email).await;
        who_am_i(&world, &again.token).await
    })
    .await;
    // What was ended before stays so where that is known.
    assert!(!who_am_i(&world, &customer.token).await);
    // And what is ended from now on is ended.
    let again = world.log_in(&customer.user.email).await;
    world.forward(TimeDelta::seconds(5));
    let all = RevokeAllSessionsRequest { parent: customer.user.name.clone(), ..Default::default() };
    world.auth().revoke_all_sessions(again.asks(all)).await.unwrap();
    assert!(!who_am_i(&world, &again.token).await);
}

async fn a_token_of_a_lost_history_ends_with_the_next_change(world: World) {
    let (other, customer, admin) =
        (world.beside().await, world.customer().await, world.admin().await);
    let role = async |server: &World, role: Role| {
        let request = SetUserRoleRequest {
            name: customer.user.name.clone(),
            role: role.into(),
            ..Default::default()
        };
        server.auth().set_user_role(admin.asks(request)).await.unwrap();
    };
    let dump = Dump::of(&world).await;
    role(&world, Role::Admin).await;
    // A token of the first generation of the lost history, with a role that nobody has in the other one.
    let lost = world.log_in(&customer.user.email).await;
    assert_eq!(lost.user.role(), Role::Admin);
    dump.restore(&world).await;
    for server in [&world, &other] {
        server.forward(TimeDelta::seconds(5));
    }
    role(&other, Role::Provider).await;
    for server in [&other, &world] {
        until("the lost token is refused", async || !who_am_i(server, &lost.token).await).await;
    }
}

async fn a_session_that_went_on_in_a_lost_history_ends(world: World) {
    let customer = world.customer().await;
    let log_in = LogInRequest {
        email: customer.user.email.clone(),
        password: PASSWORD.to_owned(),
        ..Default::default()
    };
    let first = world.auth().log_in(log_in).await.unwrap().into_inner().refresh_token;
    let refresh = async |token: &str| {
        let request = RefreshTokensRequest { refresh_token: token.to_owned() };
        world.auth().refresh_tokens(request).await.map(|answer| answer.into_inner().refresh_token)
    };
    let dump = Dump::of(&world).await;
    let second = refresh(&first).await.unwrap();
    world.forward(TimeDelta::minutes(5));
    let third = refresh(&second).await.unwrap();
    dump.restore(&world).await;
    // It looks like a stolen one: the person logs in again.
    refused(refresh(&third).await, "REFRESH_REFUSED");
    let again = world.log_in(&customer.user.email).await;
    assert!(who_am_i(&world, &again.token).await);
}

async fn an_api_key_of_a_lost_history_is_refused(world: World) {
    let (other, admin, customer) =
        (world.beside().await, world.admin().await, world.customer().await);
    let kept = world.backend(&admin, Role::Customer, any_customer(), &[BOOKING]).await;
    let dump = Dump::of(&world).await;
    let lost = world.backend(&admin, Role::Customer, any_customer(), &[BOOKING]).await;
    let calls = async |server: &World, backend: &Backend| {
        let request =
            ListAppointmentsRequest { customer: customer.user.name.clone(), ..Default::default() };
        let asked = backend.asks_for(request, &customer.user.name);
        server.booking().list_appointments(asked).await.is_ok()
    };
    for server in [&world, &other] {
        until("the new key is known", async || calls(server, &lost).await).await;
    }
    dump.restore(&world).await;
    for server in [&world, &other] {
        until("the lost key is refused", async || !calls(server, &lost).await).await;
        assert!(calls(server, &kept).await);
    }
}

/// Nobody can know of it: `docs/restore.md` says so.
async fn a_session_whose_end_was_lost_lives_again(world: World) {
    let customer = world.customer().await;
    let log_in = LogInRequest {
        email: customer.user.email.clone(),
        password: PASSWORD.to_owned(),
        ..Default::default()
    };
    let mine = world.auth().log_in(log_in).await.unwrap().into_inner();
    let dump = Dump::of(&world).await;
    world.auth().log_out(with_token(LogOutRequest {}, &mine.access_token)).await.unwrap();
    dump.restore(&world).await;
    // The process that knew refuses its tokens; one that starts afterwards does not.
    assert!(!who_am_i(&world, &mine.access_token).await);
    let other = world.beside().await;
    assert!(who_am_i(&other, &mine.access_token).await);
    let request = RefreshTokensRequest { refresh_token: mine.refresh_token };
    other.auth().refresh_tokens(request).await.unwrap();
}
