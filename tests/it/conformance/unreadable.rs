//! Rows that cannot be read, damaged or written by a newer version: each leaves out itself alone. Lists, merges
//! and background work go on; what is asked for by name is an error; a claim still claims.

use std::time::Duration;

use daybook::grpc::proto::{
    auth::{
        DeleteMyAccountRequest, DisableUserRequest, EnableUserRequest, GetMeRequest,
        GetUserRequest, ListApiKeysRequest, ListAuditEventsRequest, ListServiceAccountsRequest,
        ListSessionsRequest, ListUsersRequest, Role, UpdateMeRequest, User,
        personal_data_service_client::PersonalDataServiceClient,
    },
    booking::{
        AppointmentType, GetAppointmentTypeRequest, GetScheduleRequest,
        ListAppointmentEventsRequest, ListAppointmentTypesRequest, ListAppointmentsRequest,
        ListProvidersRequest, ListSlotsRequest,
    },
};
use prost_types::FieldMask;
use sea_orm::ConnectionTrait;

use super::behaviours;
use crate::support::{
    Engine, World, berlin, books,
    people::{PASSWORD, Person},
    refusal::{reason_of, refused},
    services::{BOOKING, any_customer},
    types::{anybodys, holding, kind, local, minutes, on_day},
};

behaviours!(
    lists_go_on_beyond_what_cannot_be_read,
    an_unreadable_provider_keeps_nobody_from_being_booked,
    an_unreadable_appointment_claims_and_is_in_nobodys_way,
    unreadable_keys_and_accounts_shut_nobody_out,
    an_erasure_that_fails_gives_way_to_the_next,
    an_unreadable_closure_closes,
    the_account_of_an_unreadable_provider_can_be_managed,
);

/// Where a resource's row is, from the last id of its name.
fn row(world: &World, column: &str, name: &str) -> String {
    let id = name.rsplit('/').find(|part| part.len() == 36).unwrap();
    match world.engine {
        Engine::Sqlite => format!("{column} = x'{}'", id.replace('-', "")),
        Engine::Postgres => format!("{column} = '{id}'"),
    }
}

/// Changes rows past the server.
async fn damage(world: &World, table: &str, set: &str, which: &str) {
    let sql = format!("UPDATE {table} SET {set} WHERE {which}");
    let done = world.sql().await.execute_unprepared(&sql).await;
    assert!(done.unwrap().rows_affected() > 0, "{sql}");
}

/// All pages of one item each, with the number of pages.
async fn pages<T>(next: impl AsyncFn(String) -> (Vec<T>, String)) -> Vec<T> {
    let (mut all, mut token) = (Vec::new(), String::new());
    for _ in 0..100 {
        let (items, next) = next(token).await;
        assert!(items.len() <= 1);
        all.extend(items);
        token = next;
        if token.is_empty() {
            return all;
        }
    }
    panic!("the list does not end");
}

async fn until(what: &str, is_so: impl AsyncFn() -> bool) {
    let wait = async {
        while !is_so().await {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), wait).await.expect(what);
}

async fn providers(world: &World, by: &Person) -> Vec<String> {
    pages(async |page_token| {
        let request = by.asks(ListProvidersRequest { page_size: 1, page_token });
        let page = world.schedule().list_providers(request).await.unwrap().into_inner();
        (page.providers.into_iter().map(|each| each.name).collect(), page.next_page_token)
    })
    .await
}

async fn lists_go_on_beyond_what_cannot_be_read(world: World) {
    let admin = world.admin().await;
    let mut people = Vec::new();
    let (mut types, mut accounts) = (Vec::new(), Vec::new());
    // The order of ids is that of their making.
    for _ in 0..5 {
        world.forward(chrono::TimeDelta::seconds(1));
        people.push(world.provider().await);
        types.push(world.shared_type(&admin, kind(&[30]), &[]).await);
        accounts.push(world.service_account(&admin, Role::Customer, any_customer()).await);
    }
    let customer = world.customer().await;
    let mut booked = Vec::new();
    for hour in 9..14 {
        let (start, end) = (format!("2026-11-23 {hour:02}:00"), format!("2026-11-23 {hour:02}:30"));
        let made = world.book(&customer, &people[0], berlin(&start), berlin(&end)).await;
        booked.push(made.unwrap());
    }
    for _ in 0..4 {
        world.forward(chrono::TimeDelta::seconds(1));
        let key = world.api_key(&admin, &accounts[0].name, &[BOOKING]).await.unwrap();
        assert!(!key.key.is_empty());
        world.log_in(&customer.user.email).await;
    }
    // Two in the middle of each list, so that pages of one begin at one and end at one.
    let odd = |table: &str, column: &str, set: &str, names: [&str; 2]| {
        let which = names.map(|name| row(&world, column, name)).join(" OR ");
        (table.to_owned(), set.to_owned(), which)
    };
    let keys = {
        let request = ListApiKeysRequest { parent: accounts[0].name.clone(), ..Default::default() };
        world.services().list_api_keys(admin.asks(request)).await.unwrap().into_inner().api_keys
    };
    let rows = [
        odd(
            "providers",
            "provider_id",
            "time_zone = 'no zone'",
            [&people[1].user.name, &people[2].user.name],
        ),
        odd(
            "users",
            "user_id",
            "time_zone = 'no zone'",
            [&people[3].user.name, &people[4].user.name],
        ),
        odd(
            "appointment_types",
            "type_id",
            "terms = '{\"private\": false}'",
            [&types[1].name, &types[2].name],
        ),
        odd(
            "appointments",
            "appointment_id",
            "time_zone = 'no zone'",
            [&booked[1].name, &booked[2].name],
        ),
        odd(
            "service_accounts",
            "service_account_id",
            "act_for = '5'",
            [&accounts[1].name, &accounts[2].name],
        ),
        odd("api_keys", "api_key_id", "scopes = '5'", [&keys[1].name, &keys[2].name]),
    ];
    let before = world.count("SELECT count(*) FROM audit_events").await;
    for (table, set, which) in &rows {
        damage(&world, table, set, which).await;
    }
    damage(
        &world,
        "audit_events",
        "kind = 'of_a_newer_version'",
        "kind = 'service_account_created'",
    )
    .await;
    let listed = providers(&world, &customer).await;
    assert_eq!(listed, [0, 3, 4].map(|n: usize| people[n].provider()));
    let listed = pages(async |page_token| {
        let request =
            admin.asks(ListUsersRequest { page_size: 1, page_token, ..Default::default() });
        let page = world.auth().list_users(request).await.unwrap().into_inner();
        (page.users, page.next_page_token)
    })
    .await;
    assert_eq!(listed.len(), 5);
    let listed = pages(async |page_token| {
        let request =
            ListAppointmentTypesRequest { page_size: 1, page_token, ..Default::default() };
        let page = world.catalogue().list_appointment_types(customer.asks(request)).await;
        let page = page.unwrap().into_inner();
        (page.appointment_types, page.next_page_token)
    })
    .await;
    assert_eq!(listed, [0, 3, 4].map(|n: usize| types[n].clone()));
    let listed = pages(async |page_token| {
        let request = ListAppointmentsRequest {
            customer: customer.user.name.clone(),
            page_size: 1,
            page_token,
            ..Default::default()
        };
        let page = world.booking().list_appointments(customer.asks(request)).await.unwrap();
        let page = page.into_inner();
        (page.appointments, page.next_page_token)
    })
    .await;
    assert_eq!(listed, [0, 3, 4].map(|n: usize| booked[n].clone()));
    let listed = pages(async |page_token| {
        let request = admin.asks(ListServiceAccountsRequest { page_size: 1, page_token });
        let page = world.services().list_service_accounts(request).await.unwrap().into_inner();
        (page.service_accounts, page.next_page_token)
    })
    .await;
    assert_eq!(listed.len(), 3);
    let listed = pages(async |page_token| {
        let parent = accounts[0].name.clone();
        let request = admin.asks(ListApiKeysRequest { parent, page_size: 1, page_token });
        let page = world.services().list_api_keys(request).await.unwrap().into_inner();
        (page.api_keys, page.next_page_token)
    })
    .await;
    assert_eq!(listed.len(), 2);
    let listed = pages(async |page_token| {
        let request = ListAuditEventsRequest { page_size: 1, page_token, ..Default::default() };
        let page = world.auth().list_audit_events(admin.asks(request)).await.unwrap().into_inner();
        (page.audit_events, page.next_page_token)
    })
    .await;
    assert_eq!(i64::try_from(listed.len()).unwrap(), before - 5);
    // A session, and an event.
    damage(
        &world,
        "sessions",
        "token_hash = substr(token_hash, 1, 5)",
        &format!(
            "session_id = (SELECT max(session_id::text) FROM sessions s WHERE {})::uuid",
            row(&world, "s.user_id", &customer.user.name)
        )
        .replace("::text", if world.engine == Engine::Sqlite { "" } else { "::text" })
        .replace("::uuid", if world.engine == Engine::Sqlite { "" } else { "::uuid" }),
    )
    .await;
    let request = ListSessionsRequest::default();
    let listed = world.auth().list_sessions(customer.asks(request)).await.unwrap().into_inner();
    assert_eq!(listed.sessions.len(), 4);
    world.cancel(&customer, &booked[0].name).await.unwrap();
    let first = format!(
        "kind = 'appointment_booked' AND {}",
        row(&world, "appointment_id", &booked[0].name)
    );
    damage(&world, "events", "kind = 'of_a_newer_version'", &first).await;
    let listed = pages(async |page_token| {
        let parent = booked[0].name.clone();
        let request =
            customer.asks(ListAppointmentEventsRequest { parent, page_size: 1, page_token });
        let page = world.booking().list_appointment_events(request).await.unwrap().into_inner();
        (page.events, page.next_page_token)
    })
    .await;
    assert_eq!(listed.len(), 1);
    // By name it is an error, which is told with its key in the log, and never that there is none.
    refused(world.get(&customer, &booked[1].name).await, "INTERNAL");
    let request = GetScheduleRequest { name: people[1].schedule() };
    refused(world.schedule().get_schedule(customer.asks(request)).await, "INTERNAL");
    let request = GetAppointmentTypeRequest { name: types[1].name.clone(), ..Default::default() };
    refused(world.catalogue().get_appointment_type(customer.asks(request)).await, "INTERNAL");
    let request = GetUserRequest { name: people[3].user.name.clone() };
    refused(world.auth().get_user(admin.asks(request)).await, "INTERNAL");
}

async fn an_unreadable_provider_keeps_nobody_from_being_booked(world: World) {
    let (one, two, admin) = (world.provider().await, world.provider().await, world.admin().await);
    let customer = world.customer().await;
    let shared = world.shared_type(&admin, kind(&[30]), &[&one, &two]).await;
    let limited = AppointmentType {
        limits: Some(daybook::grpc::proto::booking::BookingLimits {
            per_provider_day: 5,
            ..Default::default()
        }),
        ..kind(&[30])
    };
    let limited = world.shared_type(&admin, limited, &[&one, &two]).await;
    // A zone that this process does not know, hours that nobody reads, and what cannot be a zone.
    for set in ["time_zone = 'Nowhere/Bad'", "weekly_hours = '\"x\"'", "time_zone = 'no zone'"] {
        let set = format!("{set}, schedule_stamp = schedule_stamp + 1, stamp = stamp + 1");
        damage(&world, "providers", &set, &row(&world, "provider_id", &one.user.name)).await;
        for kind in [&shared, &limited] {
            for names in [vec![], vec![one.provider(), two.provider()]] {
                let request = ListSlotsRequest { providers: names, ..on_day(kind, "2026-11-23") };
                let slots = world.list_slots(&customer, request).await;
                assert_eq!(slots.len(), 16, "{set}");
                assert!(slots.iter().all(|slot| slot.providers == [two.provider()]));
            }
            let named =
                ListSlotsRequest { providers: vec![one.provider()], ..on_day(kind, "2026-11-23") };
            refused(world.slots().list_slots(customer.asks(named)).await, "INTERNAL");
        }
    }
    let booked = world.send(&customer, anybodys(&shared, "2026-11-23 09:00")).await.unwrap();
    assert_eq!(booked.provider, two.provider());
    let booked =
        world.book(&customer, &one, berlin("2026-11-23 10:00"), berlin("2026-11-23 10:30"));
    assert_eq!(reason_of(&booked.await.unwrap_err()), "INTERNAL");
    assert_eq!(providers(&world, &customer).await, [two.provider()]);
}

async fn an_unreadable_appointment_claims_and_is_in_nobodys_way(world: World) {
    let (provider, one, two) =
        (world.provider().await, world.customer().await, world.customer().await);
    let asked =
        AppointmentType { requires_approval: true, request_expiry: minutes(30), ..kind(&[30]) };
    let asked = world.own_type(&provider, asked).await;
    let plain = world.own_type(&provider, kind(&[30])).await;
    let booked = world.book_type(&one, &provider, &plain, "2026-11-23 09:00").await.unwrap();
    world.book_type(&one, &provider, &asked, "2026-11-23 10:00").await.unwrap();
    world.hold(&one, holding(&provider, &plain, "2026-11-23 11:00")).await.unwrap();
    let nowhere = "time_zone = 'Nowhere/Bad', terms = '{\"newer\": 1}'";
    damage(&world, "appointments", nowhere, "true").await;
    for _ in 0..2 {
        let starts = world.starts_of(&two, &plain, "2026-11-23").await;
        assert!(
            !starts.iter().any(|at| ["09:00", "10:00", "11:00"].contains(&&**at)),
            "{starts:?}"
        );
    }
    for at in ["09:00", "10:00", "11:00"] {
        let at = format!("2026-11-23 {at}");
        refused(world.book_type(&two, &provider, &plain, &at).await, "SLOT_TAKEN");
    }
    // When they have expired, the request and the hold end although nobody can read them.
    world.forward(chrono::TimeDelta::minutes(40));
    let starts = world.starts_of(&two, &plain, "2026-11-23").await;
    assert!(starts.contains(&"10:00".to_owned()) && starts.contains(&"11:00".to_owned()));
    world.book_type(&two, &provider, &plain, "2026-11-23 10:00").await.unwrap();
    world.book_type(&one, &provider, &plain, "2026-11-23 11:00").await.unwrap();
    refused(world.get(&one, &booked.name).await, "INTERNAL");
    let list = world.list(&one, &[]).await;
    assert_eq!(
        list.iter().map(|each| local(each.start_time)).collect::<Vec<_>>(),
        ["2026-11-23 11:00"]
    );
    books::check(&world.sql().await).await;
}

async fn unreadable_keys_and_accounts_shut_nobody_out(world: World) {
    let (admin, customer) = (world.admin().await, world.customer().await);
    let one = world.backend(&admin, Role::Customer, any_customer(), &[BOOKING]).await;
    let two = world.backend(&admin, Role::Customer, any_customer(), &[BOOKING]).await;
    let three = world.backend(&admin, Role::Customer, any_customer(), &[BOOKING]).await;
    damage(
        &world,
        "api_keys",
        "key_hash = substr(key_hash, 1, 5)",
        &row(&world, "api_key_id", &one.key_name),
    )
    .await;
    damage(
        &world,
        "service_accounts",
        "act_for = '5'",
        &row(&world, "service_account_id", &two.account.name),
    )
    .await;
    // The key that is to sign next, and somebody whose tokens were ended.
    damage(&world, "signing_keys", "public_key = substr(public_key, 1, 5)", "activated_at IS NULL")
        .await;
    let lost = world.customer().await;
    let session = if world.engine == Engine::Sqlite { "x'01'" } else { "NULL" };
    damage(
        &world,
        "users",
        &format!(
            "token_generation = 9000000000000000000, kept_session = {session},
         tokens_ended_at = '2026-11-22T12:00:00+00:00'"
        ),
        &row(&world, "user_id", &lost.user.name),
    )
    .await;
    let list =
        ListAppointmentsRequest { customer: customer.user.name.clone(), ..Default::default() };
    let calls = async |backend: &crate::support::services::Backend| {
        let asked = backend.asks_for(list.clone(), &customer.user.name);
        world.booking().list_appointments(asked).await.is_ok()
    };
    let me =
        async |person: &Person| world.auth().get_me(person.asks(GetMeRequest {})).await.is_ok();
    // What cannot be read is refused, which takes as long as it takes to be noticed.
    until("an unreadable key is refused", async || !calls(&one).await).await;
    until("an unreadable account is refused", async || !calls(&two).await).await;
    until("who was ended is refused", async || !me(&lost).await).await;
    assert!(calls(&three).await && me(&customer).await && me(&admin).await);
    let again = world.log_in(&customer.user.email).await;
    assert!(me(&again).await);
    // A process that starts now.
    let other = world.beside().await;
    assert!(other.auth().get_me(again.asks(GetMeRequest {})).await.is_ok());
}

async fn an_erasure_that_fails_gives_way_to_the_next(world: World) {
    let (provider, other) = (world.provider().await, world.provider().await);
    let (one, two) = (world.customer().await, world.customer().await);
    let mut names = Vec::new();
    for (hour, customer) in [(9, &one), (10, &one), (11, &two)] {
        for with in [&provider, &other] {
            let minute = if with.user.name == other.user.name { 30 } else { 0 };
            let start = berlin(&format!("2026-11-23 {hour:02}:{minute:02}"));
            let end = prost_types::Timestamp { seconds: start.seconds + 1800, nanos: 0 };
            names.push(world.book(customer, with, start, end).await.unwrap().name);
        }
    }
    // One of six cannot be read; and of one of the providers nothing but the version.
    damage(
        &world,
        "appointments",
        "time_zone = 'no zone'",
        &row(&world, "appointment_id", &names[0]),
    )
    .await;
    damage(
        &world,
        "providers",
        "plan = '{\"named\": 5}'",
        &row(&world, "provider_id", &other.user.name),
    )
    .await;
    for customer in [&one, &two] {
        let request =
            DeleteMyAccountRequest { current_password: PASSWORD.to_owned(), ..Default::default() };
        let mut personal = PersonalDataServiceClient::new(world.channel.clone());
        personal.delete_my_account(customer.asks(request)).await.unwrap();
        world.forward(chrono::TimeDelta::seconds(1));
    }
    // As if the second one had been left behind by a process that ended.
    let all = row(&world, "customer_id", &two.user.name);
    damage(&world, "appointments", "customer_display_name = 'Two'", &all).await;
    let insert = "INSERT INTO erasures SELECT user_id, user_id, updated_at FROM users WHERE erased_at IS NOT NULL
        AND user_id NOT IN (SELECT user_id FROM erasures)";
    world.sql().await.execute_unprepared(insert).await.unwrap();
    assert_eq!(world.count("SELECT count(*) FROM erasures").await, 2);
    until("the second one is ended", async || {
        world.count("SELECT count(*) FROM erasures").await == 1
    })
    .await;
    // Of the first one what can be read is anonymous, at both providers.
    let named = "SELECT count(*) FROM appointments WHERE customer_display_name <> ''";
    assert_eq!(world.count(named).await, 1);
    // When somebody has mended it, that is ended as well.
    damage(&world, "appointments", "time_zone = 'Europe/Berlin'", "true").await;
    world.forward(chrono::TimeDelta::minutes(30));
    until("the first one is ended", async || {
        world.count("SELECT count(*) FROM erasures").await == 0
    })
    .await;
    assert_eq!(world.count(named).await, 0);
}

async fn an_unreadable_closure_closes(world: World) {
    let (provider, customer) = (world.provider().await, world.customer().await);
    let kind = world.own_type(&provider, kind(&[30])).await;
    world
        .execute(
            "INSERT INTO closures VALUES (x'00000000000000000000000000000001',
                '2026-11-24T11:00:00+00:00', 'when we feel like it', '', '2026-11-22T12:00:00+00:00')",
            "INSERT INTO closures VALUES ('00000000-0000-0000-0000-000000000001',
                '2026-11-24T11:00:00+00:00', 'infinity', '', '2026-11-22T12:00:00+00:00')",
        )
        .await;
    let before = world.starts_of(&customer, &kind, "2026-11-24").await;
    assert_eq!(before, ["09:00", "09:30", "10:00", "10:30", "11:00", "11:30"]);
    assert!(world.starts_of(&customer, &kind, "2026-11-25").await.is_empty());
    assert_eq!(world.availability(&customer, &provider, (2026, 11, 24)).await.slots.len(), 6);
    assert_eq!(world.availability(&customer, &provider, (2026, 11, 25)).await.slots, []);
    world.book_type(&customer, &provider, &kind, "2026-11-24 09:00").await.unwrap();
    let refused_at = world.book_type(&customer, &provider, &kind, "2026-11-25 09:00").await;
    refused(refused_at, "PRACTICE_CLOSED");
    // It is left out of the list, and reads nobody else's.
    let list = daybook::grpc::proto::booking::ListClosuresRequest::default();
    let listed = world.schedule().list_closures(customer.asks(list)).await.unwrap().into_inner();
    assert_eq!(listed.closures, []);
}

async fn the_account_of_an_unreadable_provider_can_be_managed(world: World) {
    let (mut one, admin) = (world.provider().await, world.admin().await);
    for set in ["weekly_hours = '\"x\"'", "time_zone = 'no zone'", "plan = '{\"named\": 5}'"] {
        damage(&world, "providers", set, &row(&world, "provider_id", &one.user.name)).await;
    }
    let name = one.user.name.clone();
    let request = UpdateMeRequest {
        user: Some(User { display_name: "Renamed".to_owned(), ..Default::default() }),
        update_mask: Some(FieldMask { paths: vec!["display_name".to_owned()] }),
        ..Default::default()
    };
    world.auth().update_me(one.asks(request)).await.unwrap();
    let request = DisableUserRequest { name: name.clone(), ..Default::default() };
    world.auth().disable_user(admin.asks(request)).await.unwrap();
    let request = EnableUserRequest { name, ..Default::default() };
    world.auth().enable_user(admin.asks(request)).await.unwrap();
    world.promote(&admin, &one, Role::Customer).await;
    one = world.promote(&admin, &one, Role::Provider).await;
    let heads = "SELECT count(*) FROM providers WHERE display_name = 'Renamed' AND enabled";
    assert_eq!(world.count(heads).await, 1);
    // Erased it can be read again, and is closed.
    let request =
        DeleteMyAccountRequest { current_password: PASSWORD.to_owned(), ..Default::default() };
    let mut personal = PersonalDataServiceClient::new(world.channel.clone());
    personal.delete_my_account(one.asks(request)).await.unwrap();
    let closed = "SELECT count(*) FROM providers WHERE time_zone = 'UTC' AND NOT enabled";
    assert_eq!(world.count(closed).await, 1);
}
