//! Accounts: signing up, logging in, changing oneself, and what admins do with others.

use daybook::grpc::proto::{
    auth::{
        ChangePasswordRequest, DisableUserRequest, EnableUserRequest, GetMeRequest, GetUserRequest,
        ListUsersRequest, LogInRequest, Role, SetUserRoleRequest, UpdateMeRequest, User,
    },
    booking::{
        CancelAppointmentRequest, GetAppointmentRequest, GetProviderRequest, GetScheduleRequest,
        ListProvidersRequest, Provider, appointment::State,
    },
};
use prost_types::FieldMask;
use tonic::{Response, Status};
use tonic_types::StatusExt;

use super::behaviours;
use crate::support::{
    World, berlin,
    people::{PASSWORD, Person, sign_up},
    raw::seen,
    refusal::{fields_of, refused},
};

behaviours!(
    a_new_account_logs_in_and_sees_itself,
    one_mailbox_is_one_account_in_every_spelling,
    a_failed_log_in_does_not_say_what_was_wrong,
    people_change_their_own_name_and_zone,
    a_profile_is_changed_only_as_it_was_seen,
    a_new_password_ends_other_log_ins,
    admins_see_all_accounts_page_by_page,
    a_customer_who_becomes_a_provider_can_be_booked,
    a_provider_who_becomes_a_customer_cannot_be_booked,
    a_disabled_account_is_shut_out_at_once,
    appointments_with_a_disabled_provider_stay,
    admins_do_not_change_their_own_account,
    strangers_become_providers_only_where_it_is_allowed,
    every_change_of_an_account_has_one_event_without_gaps,
);

async fn me(world: &World, person: &Person) -> Result<User, Status> {
    let answer = world.auth().get_me(person.asks(GetMeRequest {})).await?;
    Ok(answer.into_inner().user.unwrap())
}

async fn try_to_log_in(world: &World, email: &str, password: &str) -> Result<Person, Status> {
    let request = LogInRequest {
        email: email.to_owned(),
        password: password.to_owned(),
        ..LogInRequest::default()
    };
    let answer = world.auth().log_in(request).await?.into_inner();
    Ok(Person { user: answer.user.unwrap(), token: answer.access_token })
}

async fn providers(world: &World, caller: &Person) -> Vec<Provider> {
    let request = ListProvidersRequest::default();
    let answer = world.schedule().list_providers(caller.asks(request)).await.unwrap();
    answer.into_inner().providers
}

async fn disable(world: &World, admin: &Person, person: &Person) -> Result<User, Status> {
    let name = person.user.name.clone();
    let request = DisableUserRequest { name, ..Default::default() };
    let answer = world.auth().disable_user(admin.asks(request)).await?;
    Ok(answer.into_inner().user.unwrap())
}

async fn enable(world: &World, admin: &Person, person: &Person) -> Result<User, Status> {
    let name = person.user.name.clone();
    let request = EnableUserRequest { name, ..Default::default() };
    let answer = world.auth().enable_user(admin.asks(request)).await?;
    Ok(answer.into_inner().user.unwrap())
}

async fn set_role(
    world: &World,
    admin: &Person,
    person: &Person,
    role: Role,
) -> Result<User, Status> {
    let name = person.user.name.clone();
    let request = SetUserRoleRequest { name, role: role.into(), ..Default::default() };
    let answer = world.auth().set_user_role(admin.asks(request)).await?;
    Ok(answer.into_inner().user.unwrap())
}

async fn a_new_account_logs_in_and_sees_itself(world: World) {
    for role in [Role::Customer, Role::Provider] {
        let mut request = sign_up(role);
        request.display_name = "  Dr. Ada Lovelace ".to_owned();
        let made = world.auth().sign_up(request.clone()).await.unwrap().into_inner().user.unwrap();
        assert_eq!(made.display_name, "Dr. Ada Lovelace");
        assert_eq!(made.email, request.email);
        assert_eq!(made.role(), role);
        assert_eq!(made.time_zone, "Europe/Berlin");
        assert!(!made.disabled);
        assert!(made.name.starts_with("users/"));
        let provider = made.name.replace("users/", "providers/");
        assert_eq!(made.provider, if role == Role::Provider { provider } else { String::new() });
        let now = world.clock.now().timestamp();
        assert_eq!(made.create_time.unwrap().seconds, now);
        assert_eq!(made.update_time, made.create_time);

        let log_in = LogInRequest {
            email: request.email,
            password: request.password,
            ..LogInRequest::default()
        };
        let answer = world.auth().log_in(log_in).await.unwrap().into_inner();
        assert_eq!(answer.expire_time.unwrap().seconds, now + 86_400);
        assert_eq!(answer.user.as_ref(), Some(&made));
        let person = Person { user: made.clone(), token: answer.access_token };
        assert_eq!(me(&world, &person).await.unwrap(), made);
    }
}

async fn one_mailbox_is_one_account_in_every_spelling(world: World) {
    let spellings = [
        "Ada@b\u{fc}cher.example",
        "ada@xn--bcher-kva.example",
        "ADA@B\u{dc}CHER.EXAMPLE",
        "ada@bu\u{308}cher.example",
        "\u{ff41}da@b\u{fc}cher\u{3002}example",
    ];
    let mut request = sign_up(Role::Customer);
    request.email = spellings[0].to_owned();
    let made = world.auth().sign_up(request.clone()).await.unwrap().into_inner().user.unwrap();
    assert_eq!(made.email, "ada@xn--bcher-kva.example");
    let before = world.state().await;
    for spelling in spellings {
        request.email = spelling.to_owned();
        let status = refused(world.auth().sign_up(request.clone()).await, "EMAIL_TAKEN");
        assert_eq!(fields_of(&status), ["email"]);
        let person = try_to_log_in(&world, spelling, PASSWORD).await.unwrap();
        assert_eq!(person.user.name, made.name, "{spelling}");
    }
    assert_eq!(world.state().await, before);
    // Another mailbox is another account.
    request.email = "ada@bucher.example".to_owned();
    world.auth().sign_up(request).await.unwrap();
}

async fn a_failed_log_in_does_not_say_what_was_wrong(world: World) {
    let (admin, known, shut_out) =
        (world.admin().await, world.customer().await, world.customer().await);
    disable(&world, &admin, &shut_out).await.unwrap();
    let mut answers = Vec::new();
    for (email, password) in [
        (known.user.email.as_str(), "another password"),
        (&known.user.email, "Correct horse battery"),
        ("nobody@example.org", PASSWORD),
        (&shut_out.user.email, PASSWORD),
        (&shut_out.user.email, "another password"),
    ] {
        let status = refused(try_to_log_in(&world, email, password).await, "LOG_IN_FAILED");
        answers.push(seen(&status));
    }
    assert!(answers.iter().all(|answer| *answer == answers[0]), "{answers:?}");
    try_to_log_in(&world, &known.user.email, PASSWORD).await.unwrap();
}

async fn people_change_their_own_name_and_zone(world: World) {
    let provider = world.provider().await;
    let ask = async |user: User, mask: Option<&[&str]>| {
        let paths = |paths: &[&str]| FieldMask {
            paths: paths.iter().map(|path| (*path).to_owned()).collect(),
        };
        let request = UpdateMeRequest {
            user: Some(user),
            update_mask: mask.map(paths),
            ..Default::default()
        };
        world.auth().update_me(provider.asks(request)).await.unwrap().into_inner().user.unwrap()
    };
    let both = User {
        display_name: "Grace".to_owned(),
        time_zone: "Asia/Tokyo".to_owned(),
        ..Default::default()
    };
    // Only what the mask names.
    let changed = ask(both.clone(), Some(&["display_name"])).await;
    assert_eq!(
        (changed.display_name.as_str(), changed.time_zone.as_str()),
        ("Grace", "Europe/Berlin")
    );
    assert_ne!(changed.etag, provider.user.etag);
    // Without a mask, what is not empty.
    let zone = User { time_zone: "Asia/Tokyo".to_owned(), ..Default::default() };
    let changed = ask(zone, None).await;
    assert_eq!(
        (changed.display_name.as_str(), changed.time_zone.as_str()),
        ("Grace", "Asia/Tokyo")
    );
    let both = User { display_name: "Grace H.".to_owned(), time_zone: "UTC".to_owned(), ..both };
    let changed = ask(both, Some(&["time_zone", "display_name"])).await;
    assert_eq!((changed.display_name.as_str(), changed.time_zone.as_str()), ("Grace H.", "UTC"));
    assert_eq!(me(&world, &provider).await.unwrap(), changed);
    // The name is what customers see from now on; the schedule keeps its own zone.
    let request = GetProviderRequest { name: provider.provider() };
    let seen = world.schedule().get_provider(provider.asks(request)).await.unwrap().into_inner();
    assert_eq!(seen.provider.as_ref().unwrap().display_name, "Grace H.");
    assert_eq!(seen.provider.unwrap().time_zone, "Europe/Berlin");
    assert_eq!(providers(&world, &provider).await[0].display_name, "Grace H.");
}

async fn a_profile_is_changed_only_as_it_was_seen(world: World) {
    let person = world.customer().await;
    let rename = async |name: &str, etag: &str| {
        let user = User {
            name: person.user.name.clone(),
            display_name: name.to_owned(),
            etag: etag.to_owned(),
            ..Default::default()
        };
        let request = UpdateMeRequest { user: Some(user), ..Default::default() };
        world.auth().update_me(person.asks(request)).await
    };
    let first = rename("One", &person.user.etag).await.unwrap().into_inner().user.unwrap();
    let before = world.state().await;
    refused(rename("Two", &person.user.etag).await, "ETAG_STALE");
    refused(rename("Two", "\"9223372036854775807\"").await, "ETAG_STALE");
    assert_eq!(world.state().await, before);
    assert_eq!(me(&world, &person).await.unwrap(), first);
    rename("Two", &first.etag).await.unwrap();

    // The same holds for what admins change.
    let admin = world.admin().await;
    let (name, etag) = (person.user.name.clone(), first.etag);
    let role = SetUserRoleRequest {
        name: name.clone(),
        role: Role::Provider.into(),
        etag: etag.clone(),
        ..Default::default()
    };
    refused(world.auth().set_user_role(admin.asks(role)).await, "ETAG_STALE");
    let shut = DisableUserRequest { name: name.clone(), etag: etag.clone(), ..Default::default() };
    refused(world.auth().disable_user(admin.asks(shut)).await, "ETAG_STALE");
    let open = EnableUserRequest { name, etag, ..Default::default() };
    refused(world.auth().enable_user(admin.asks(open)).await, "ETAG_STALE");
}

async fn a_new_password_ends_other_log_ins(world: World) {
    const NEW: &str = "a new and better password";
    let here = world.customer().await;
    let there = world.log_in(&here.user.email).await;
    let change = async |current: &str, new: &str| {
        let request = ChangePasswordRequest {
            current_password: current.to_owned(),
            new_password: new.to_owned(),
            ..Default::default()
        };
        world.auth().change_password(here.asks(request)).await.map(Response::into_inner)
    };
    let before = world.state().await;
    let status = refused(change("not this one", NEW).await, "CURRENT_PASSWORD_WRONG");
    assert_eq!(fields_of(&status), ["current_password"]);
    assert_eq!(world.state().await, before);
    me(&world, &there).await.unwrap();

    change(PASSWORD, NEW).await.unwrap();
    refused(me(&world, &there).await, "NOT_AUTHENTICATED");
    me(&world, &here).await.unwrap();
    refused(try_to_log_in(&world, &here.user.email, PASSWORD).await, "LOG_IN_FAILED");
    let again = try_to_log_in(&world, &here.user.email, NEW).await.unwrap();
    me(&world, &again).await.unwrap();
    // Once more from here: now the log-in in between ends.
    change(NEW, PASSWORD).await.unwrap();
    refused(me(&world, &again).await, "NOT_AUTHENTICATED");
    me(&world, &here).await.unwrap();
}

async fn admins_see_all_accounts_page_by_page(world: World) {
    let admin = world.admin().await;
    let mut all = vec![admin.user.clone()];
    for _ in 0..6 {
        all.push(world.customer().await.user);
    }
    all.sort_by(|a, b| a.name.cmp(&b.name));
    for size in 1..=8 {
        let (mut found, mut token) = (Vec::new(), String::new());
        loop {
            let request =
                ListUsersRequest { page_size: size, page_token: token, ..Default::default() };
            let page = world.auth().list_users(admin.asks(request)).await.unwrap().into_inner();
            assert!(page.users.len() <= usize::try_from(size).unwrap());
            found.extend(page.users);
            token = page.next_page_token;
            if token.is_empty() {
                break;
            }
        }
        assert_eq!(found, all, "in pages of {size}");
    }
    for user in all {
        let request = GetUserRequest { name: user.name.clone() };
        let found = world.auth().get_user(admin.asks(request)).await.unwrap().into_inner();
        assert_eq!(found.user, Some(user));
    }
    let absent = "users/01980000-0000-7000-8000-000000000000".to_owned();
    let request = GetUserRequest { name: absent.clone() };
    let status = refused(world.auth().get_user(admin.asks(request)).await, "NOT_FOUND");
    assert_eq!(status.get_error_details().resource_info().unwrap().resource_name, absent);
}

async fn a_customer_who_becomes_a_provider_can_be_booked(world: World) {
    let (admin, customer, other) =
        (world.admin().await, world.customer().await, world.customer().await);
    assert_eq!(providers(&world, &other).await, []);
    let changed = set_role(&world, &admin, &customer, Role::Provider).await.unwrap();
    assert_eq!(changed.role(), Role::Provider);
    assert_eq!(changed.provider, customer.provider());
    // The token still says customer, so it ends.
    refused(me(&world, &customer).await, "NOT_AUTHENTICATED");
    let listed = providers(&world, &other).await;
    assert_eq!(listed.len(), 1);
    assert_eq!(listed[0].name, customer.provider());
    assert_eq!(listed[0].display_name, customer.user.display_name);
    let request = GetScheduleRequest { name: customer.schedule() };
    let schedule = world.schedule().get_schedule(other.asks(request)).await.unwrap().into_inner();
    assert_eq!(schedule.schedule.unwrap().weekly_windows.len(), 5);
    let (start, end) = (berlin("2026-11-23 10:00"), berlin("2026-11-23 10:30"));
    world.book(&other, &customer, start, end).await.unwrap();
    // What it has already is no change, and ends nothing.
    let provider = world.log_in(&customer.user.email).await;
    let before = world.state().await;
    assert_eq!(set_role(&world, &admin, &provider, Role::Provider).await.unwrap(), changed);
    assert_eq!(world.state().await, before);
    me(&world, &provider).await.unwrap();
}

async fn a_provider_who_becomes_a_customer_cannot_be_booked(world: World) {
    let (admin, provider, customer) =
        (world.admin().await, world.provider().await, world.customer().await);
    let (start, end) = (berlin("2026-11-23 10:00"), berlin("2026-11-23 10:30"));
    let booked = world.book(&customer, &provider, start, end).await.unwrap();
    let changed = set_role(&world, &admin, &provider, Role::Customer).await.unwrap();
    assert_eq!((changed.role(), changed.provider.as_str()), (Role::Customer, ""));
    refused(me(&world, &provider).await, "NOT_AUTHENTICATED");
    assert_eq!(providers(&world, &customer).await, []);
    let later = (berlin("2026-11-23 11:00"), berlin("2026-11-23 11:30"));
    refused(world.book(&customer, &provider, later.0, later.1).await, "NOT_FOUND");
    let get = GetAppointmentRequest { name: booked.name.clone() };
    let found = world.booking().get_appointment(customer.asks(get)).await.unwrap().into_inner();
    assert_eq!(found.appointment, Some(booked));
    // Back again, with the schedule it had.
    set_role(&world, &admin, &provider, Role::Provider).await.unwrap();
    assert_eq!(providers(&world, &customer).await.len(), 1);
    refused(world.book(&world.customer().await, &provider, start, end).await, "SLOT_TAKEN");
    world.book(&customer, &provider, later.0, later.1).await.unwrap();
}

async fn a_disabled_account_is_shut_out_at_once(world: World) {
    let (admin, person) = (world.admin().await, world.customer().await);
    let second = world.log_in(&person.user.email).await;
    let disabled = disable(&world, &admin, &person).await.unwrap();
    assert!(disabled.disabled);
    for token in [&person, &second] {
        refused(me(&world, token).await, "NOT_AUTHENTICATED");
    }
    refused(try_to_log_in(&world, &person.user.email, PASSWORD).await, "LOG_IN_FAILED");
    // Once more is no change.
    let before = world.state().await;
    assert_eq!(disable(&world, &admin, &person).await.unwrap(), disabled);
    assert_eq!(world.state().await, before);
    let enabled = enable(&world, &admin, &person).await.unwrap();
    assert!(!enabled.disabled);
    // Tokens that ended do not come back; a new log-in does.
    refused(me(&world, &person).await, "NOT_AUTHENTICATED");
    let person = world.log_in(&person.user.email).await;
    assert_eq!(me(&world, &person).await.unwrap(), enabled);
}

async fn appointments_with_a_disabled_provider_stay(world: World) {
    let (admin, provider, customer) =
        (world.admin().await, world.provider().await, world.customer().await);
    let (start, end) = (berlin("2026-11-23 10:00"), berlin("2026-11-23 10:30"));
    let booked = world.book(&customer, &provider, start, end).await.unwrap();
    disable(&world, &admin, &provider).await.unwrap();
    assert_eq!(providers(&world, &customer).await, []);
    let later = (berlin("2026-11-23 11:00"), berlin("2026-11-23 11:30"));
    refused(world.book(&customer, &provider, later.0, later.1).await, "NOT_FOUND");
    let get = GetProviderRequest { name: provider.provider() };
    let stranger = world.customer().await;
    refused(world.schedule().get_provider(stranger.asks(get.clone())).await, "NOT_FOUND");
    let shown = world.schedule().get_provider(customer.asks(get)).await.unwrap().into_inner();
    assert!(shown.provider.unwrap().disabled);
    let get = GetScheduleRequest { name: provider.schedule() };
    refused(world.schedule().get_schedule(customer.asks(get.clone())).await, "NOT_FOUND");
    world.schedule().get_schedule(admin.asks(get)).await.unwrap();
    let get = GetAppointmentRequest { name: booked.name.clone() };
    let found = world.booking().get_appointment(customer.asks(get)).await.unwrap().into_inner();
    assert_eq!(found.appointment.as_ref(), Some(&booked));
    let cancel = CancelAppointmentRequest { name: booked.name, ..Default::default() };
    let cancelled = world.booking().cancel_appointment(customer.asks(cancel)).await.unwrap();
    assert_eq!(cancelled.into_inner().appointment.unwrap().state(), State::Cancelled);
    enable(&world, &admin, &provider).await.unwrap();
    world.book(&customer, &provider, start, end).await.unwrap();
}

async fn admins_do_not_change_their_own_account(world: World) {
    let admin = world.admin().await;
    let before = world.state().await;
    refused(disable(&world, &admin, &admin).await, "OWN_ACCOUNT");
    refused(enable(&world, &admin, &admin).await, "OWN_ACCOUNT");
    refused(set_role(&world, &admin, &admin, Role::Customer).await, "OWN_ACCOUNT");
    assert_eq!(world.state().await, before);
    me(&world, &admin).await.unwrap();
    // Another admin may.
    let second = world.customer().await;
    let second = world.promote(&admin, &second, Role::Admin).await;
    set_role(&world, &second, &admin, Role::Customer).await.unwrap();
    refused(me(&world, &admin).await, "NOT_AUTHENTICATED");
}

async fn strangers_become_providers_only_where_it_is_allowed(world: World) {
    let closed = World::with(world.engine, &[("auth.provider_sign_up", "false")]).await;
    let before = closed.state().await;
    let request = sign_up(Role::Provider);
    refused(closed.auth().sign_up(request.clone()).await, "PROVIDER_SIGN_UP_CLOSED");
    assert_eq!(closed.state().await, before);
    world.auth().sign_up(request).await.unwrap();
    let (admin, customer) = (closed.admin().await, closed.customer().await);
    let provider = closed.promote(&admin, &customer, Role::Provider).await;
    assert_eq!(providers(&closed, &provider).await.len(), 1);
}

async fn every_change_of_an_account_has_one_event_without_gaps(world: World) {
    let (admin, person) = (world.admin().await, world.provider().await);
    let user = User { display_name: "New".to_owned(), ..Default::default() };
    let request = UpdateMeRequest { user: Some(user), ..Default::default() };
    world.auth().update_me(person.asks(request)).await.unwrap();
    let request = ChangePasswordRequest {
        current_password: PASSWORD.to_owned(),
        new_password: "another password".to_owned(),
        ..Default::default()
    };
    world.auth().change_password(person.asks(request.clone())).await.unwrap();
    refused(world.auth().change_password(person.asks(request)).await, "CURRENT_PASSWORD_WRONG");
    set_role(&world, &admin, &person, Role::Customer).await.unwrap();
    set_role(&world, &admin, &person, Role::Customer).await.unwrap();
    disable(&world, &admin, &person).await.unwrap();
    set_role(&world, &admin, &person, Role::Provider).await.unwrap();
    enable(&world, &admin, &person).await.unwrap();
    refused(set_role(&world, &admin, &admin, Role::Customer).await, "OWN_ACCOUNT");
    for (kind, count) in [
        ("signed_up", 2),
        ("profile_changed", 1),
        ("password_changed", 1),
        ("role_changed", 2),
        ("disabled", 1),
        ("enabled", 1),
    ] {
        let sql = format!("SELECT count(*) FROM user_events WHERE kind = '{kind}'");
        assert_eq!(world.count(&sql).await, count, "{kind}");
    }
    for (table, key) in [("user_events", "user_id"), ("events", "provider_id")] {
        let gaps = format!(
            "SELECT count(*) FROM (SELECT {key} FROM {table} GROUP BY {key}
             HAVING max(version) <> count(*) OR min(version) <> 1) gaps"
        );
        assert_eq!(world.count(&gaps).await, 0, "{table}");
    }
    let behind = "SELECT count(*) FROM users u WHERE version <>
        (SELECT max(version) FROM user_events e WHERE e.user_id = u.user_id)";
    assert_eq!(world.count(behind).await, 0);
    let behind = "SELECT count(*) FROM providers p WHERE version <>
        (SELECT max(version) FROM events e WHERE e.provider_id = p.provider_id)";
    assert_eq!(world.count(behind).await, 0);
}
