//! The authority of a write is judged in its transaction, by what is stored, whatever a process believes.

use std::time::Duration;

use chrono::TimeDelta;
use daybook::{
    grpc::proto::{
        auth::{
            CreateApiKeyRequest, DeleteMyAccountRequest, DisableUserRequest, EnrolTotpRequest,
            EraseUserRequest, ExportMyDataRequest, GetMeRequest, LogOutRequest,
            RevokeAllSessionsRequest, Role, SetUserRoleRequest,
            personal_data_service_client::PersonalDataServiceClient,
            second_factor_service_client::SecondFactorServiceClient,
        },
        booking::{
            BookAppointmentRequest, CancelAppointmentRequest, GetAppointmentRequest,
            ListAppointmentsRequest,
        },
    },
    kernel::fault::{Fault, Reason},
    storage::{Authority, Deadline, Executor as _, Tx, UnitOfWork},
};
use sea_orm::ConnectionTrait as _;
use tonic::{Request, Status};

use super::{
    behaviours,
    writes::{cases, cast},
};
use crate::support::{
    World, berlin,
    people::{PASSWORD, Person, booking},
    process::until,
    refusal::{reason_of, refused},
    rounds,
    services::{BOOKING, Backend, any_customer},
    types::{kind, typed},
};

behaviours!(
    what_nobody_judged_is_not_committed,
    no_write_is_done_for_whose_tokens_have_ended,
    a_write_is_judged_by_account_role_and_session,
    a_write_is_judged_by_key_scope_and_grant,
    nobody_acts_for_whom_they_may_not_as_soon_as_that_is_answered,
    a_write_for_somebody_is_refused_at_every_server_at_once,
    what_was_revoked_stays_so_at_a_server_whose_own_tokens_are_short,
);

/// Changes an account by the authority of a caller whom it forgets to judge.
struct Unjudged;

impl UnitOfWork for Unjudged {
    type Output = ();
    const AUTHORITY: Authority = Authority::Caller;

    async fn run(&self, tx: &Tx) -> Result<(), Fault> {
        let sql = "UPDATE users SET display_name = 'Unjudged'";
        tx.db().execute_unprepared(sql).await.map_err(|e| Fault::internal(e.to_string()))?;
        Ok(())
    }
}

async fn what_nobody_judged_is_not_committed(world: World) {
    world.customer().await;
    let store = world.store().await;
    let done = store.run(Deadline::after(Duration::from_secs(10)), Unjudged).await;
    assert_eq!(done.unwrap_err().reason(), Reason::Internal);
    let changed = "SELECT count(*) FROM users WHERE display_name = 'Unjudged'";
    assert_eq!(world.count(changed).await, 0);
}

/// Every write, after the tokens of all were ended past the servers, so that none of them knows.
async fn no_write_is_done_for_whose_tokens_have_ended(world: World) {
    let (world, _) = world.mailing(&[]).await;
    let cast = cast(&world).await;
    let cases = cases(&world, &cast).await;
    let account = world.service_account(&cast.admin, Role::Customer, None).await;
    let ended = "UPDATE users SET token_generation = token_generation + 1, kept_session = NULL";
    world.execute(ended, ended).await;
    let before = world.state().await;
    let mut tried = 0;
    for case in cases.iter().filter(|case| case.is_of_a_caller()) {
        let answer = case.answer(&world).await;
        let status = answer.expect_err(case.path);
        assert_eq!(reason_of(&status), "NOT_AUTHENTICATED", "{}", case.path);
        tried += 1;
    }
    assert!(tried > 30, "{tried}");
    // Those without a request id.
    let (admin, customer) = (&cast.admin, &cast.customer);
    let key = CreateApiKeyRequest {
        parent: account.name,
        scopes: vec![BOOKING.to_owned()],
        expire_time: Some(world.in_days(1)),
    };
    refused(world.services().create_api_key(admin.asks(key)).await, "NOT_AUTHENTICATED");
    let all = RevokeAllSessionsRequest::default();
    refused(world.auth().revoke_all_sessions(customer.asks(all)).await, "NOT_AUTHENTICATED");
    let current_password = PASSWORD.to_owned();
    let mut personal = PersonalDataServiceClient::new(world.channel.clone());
    let export =
        ExportMyDataRequest { current_password: current_password.clone(), ..Default::default() };
    refused(personal.export_my_data(customer.asks(export)).await, "NOT_AUTHENTICATED");
    let delete =
        DeleteMyAccountRequest { current_password: current_password.clone(), ..Default::default() };
    refused(personal.delete_my_account(customer.asks(delete)).await, "NOT_AUTHENTICATED");
    let mut factors = SecondFactorServiceClient::new(world.channel.clone());
    let enrol = EnrolTotpRequest { current_password, ..Default::default() };
    refused(factors.enrol_totp(customer.asks(enrol)).await, "NOT_AUTHENTICATED");
    assert_eq!(world.state().await, before);
    // Logging out harms nobody.
    world.auth().log_out(customer.asks(LogOutRequest {})).await.unwrap();
}

fn at(provider: &Person, minute: usize) -> BookAppointmentRequest {
    let from = format!("2026-11-23 {:02}:{:02}", 9 + minute / 60, minute % 60);
    let until = format!("2026-11-23 {:02}:{:02}", 9 + (minute + 5) / 60, (minute + 5) % 60);
    booking(provider, berlin(&from), berlin(&until))
}

/// In one statement where there is such a way, and in steps.
async fn a_write_is_judged_by_account_role_and_session(world: World) {
    let (admin, provider, first) =
        (world.admin().await, world.provider().await, world.customer().await);
    let shared = world.shared_type(&admin, kind(&[30]), &[&provider]).await;
    // From then on the schedule is known.
    world.send(&first, at(&provider, 0)).await.unwrap();
    let ways = [
        ("UPDATE users SET disabled = 1", "UPDATE users SET disabled = true"),
        ("UPDATE users SET role = 'provider'", "UPDATE users SET role = 'provider'"),
        (
            "UPDATE users SET token_generation = token_generation + 1",
            "UPDATE users SET token_generation = token_generation + 1",
        ),
        (
            "UPDATE sessions SET ended_at = '2020-01-01T00:00:00+00:00', ended_by = 'revoked'",
            "UPDATE sessions SET ended_at = '2020-01-01T00:00:00Z', ended_by = 'revoked'",
        ),
    ];
    for (sqlite, postgres) in ways {
        let customer = world.customer().await;
        let id = customer.user.name.trim_start_matches("users/").replace('-', "");
        let sqlite = format!("{sqlite} WHERE user_id = x'{id}'");
        let postgres = format!("{postgres} WHERE user_id = '{id}'");
        world.execute(&sqlite, &postgres).await;
        let before = world.state().await;
        for request in [at(&provider, 60), typed(&provider, &shared, "2026-11-25 10:00")] {
            refused(world.send(&customer, request).await, "NOT_AUTHENTICATED");
        }
        assert_eq!(world.state().await, before, "{postgres}");
    }
}

async fn a_write_is_judged_by_key_scope_and_grant(world: World) {
    let (admin, provider) = (world.admin().await, world.provider().await);
    let ways = [
        (
            "UPDATE api_keys SET revoked_at = '2020-01-01T00:00:00+00:00'",
            "UPDATE api_keys SET revoked_at = '2020-01-01T00:00:00Z'",
            "NOT_AUTHENTICATED",
        ),
        (
            "UPDATE service_accounts SET disabled = 1",
            "UPDATE service_accounts SET disabled = true",
            "NOT_AUTHENTICATED",
        ),
        (
            "UPDATE api_keys SET scopes = '[\"daybook.booking.v1.ScheduleService\"]'",
            "UPDATE api_keys SET scopes = '[\"daybook.booking.v1.ScheduleService\"]'",
            "SCOPE_MISSING",
        ),
        (
            "UPDATE service_accounts SET act_for = '{\"any_customer\":false,\"customers\":[]}'",
            "UPDATE service_accounts SET act_for = '{\"any_customer\":false,\"customers\":[]}'",
            "ACT_FOR_REFUSED",
        ),
        (
            "UPDATE users SET role = 'provider' WHERE role = 'customer'",
            "UPDATE users SET role = 'provider' WHERE role = 'customer'",
            "ACT_FOR_REFUSED",
        ),
    ];
    for (sqlite, postgres, reason) in ways {
        let customer = world.customer().await;
        let backend = world.backend(&admin, Role::Customer, any_customer(), &[BOOKING]).await;
        world.execute(sqlite, postgres).await;
        let before = world.state().await;
        let request = backend.asks_for(at(&provider, 0), &customer.user.name);
        refused(world.booking().book_appointment(request).await, reason);
        assert_eq!(world.state().await, before, "{postgres}");
        let open =
            "UPDATE service_accounts SET act_for = '{\"any_customer\":true,\"customers\":[]}'";
        world.execute(open, open).await;
    }
}

/// The ways in which somebody stops being a customer for whom others may act.
async fn stop(world: &World, admin: &Person, person: &Person, way: usize) {
    let name = person.user.name.clone();
    let mut personal = PersonalDataServiceClient::new(world.channel.clone());
    match way % 4 {
        0 => {
            let request = DisableUserRequest { name, ..Default::default() };
            world.auth().disable_user(admin.asks(request)).await.unwrap();
        }
        1 => {
            let role = Role::Provider.into();
            let request = SetUserRoleRequest { name, role, ..Default::default() };
            world.auth().set_user_role(admin.asks(request)).await.unwrap();
        }
        2 => {
            let current_password = PASSWORD.to_owned();
            let request = DeleteMyAccountRequest { current_password, ..Default::default() };
            personal.delete_my_account(person.asks(request)).await.unwrap();
        }
        _ => {
            let request = EraseUserRequest { name, ..Default::default() };
            personal.erase_user(admin.asks(request)).await.unwrap();
        }
    }
}

fn list(backend: &Backend, person: &Person) -> Request<ListAppointmentsRequest> {
    backend.asks_for(ListAppointmentsRequest::default(), &person.user.name)
}

async fn nobody_acts_for_whom_they_may_not_as_soon_as_that_is_answered(world: World) {
    let (admin, provider) = (world.admin().await, world.provider().await);
    let backend = world.backend(&admin, Role::Customer, any_customer(), &[BOOKING]).await;
    for round in 0..rounds(8, 80) {
        let customer = world.customer().await;
        let booked = world.send(&customer, at(&provider, round * 5)).await.unwrap();
        world.booking().list_appointments(list(&backend, &customer)).await.unwrap();
        stop(&world, &admin, &customer, round).await;
        refused(
            world.booking().list_appointments(list(&backend, &customer)).await,
            "ACT_FOR_REFUSED",
        );
        let get = GetAppointmentRequest { name: booked.name.clone() };
        let get = backend.asks_for(get, &customer.user.name);
        refused(world.booking().get_appointment(get).await, "ACT_FOR_REFUSED");
        let cancel = CancelAppointmentRequest { name: booked.name, ..Default::default() };
        let cancel = backend.asks_for(cancel, &customer.user.name);
        refused(world.booking().cancel_appointment(cancel).await, "ACT_FOR_REFUSED");
    }
}

async fn a_write_for_somebody_is_refused_at_every_server_at_once(world: World) {
    let (admin, provider, other) =
        (world.admin().await, world.provider().await, world.beside().await);
    let backend = world.backend(&admin, Role::Customer, any_customer(), &[BOOKING]).await;
    let knows = async || {
        let customer = world.customer().await;
        other.booking().list_appointments(list(&backend, &customer)).await.is_ok()
    };
    until(5, "the key works elsewhere", knows).await;
    for round in 0..rounds(8, 80) {
        let customer = world.customer().await;
        stop(&world, &admin, &customer, round).await;
        let before = world.count("SELECT count(*) FROM appointments").await;
        let request = backend.asks_for(at(&provider, round * 5), &customer.user.name);
        refused(other.booking().book_appointment(request).await, "ACT_FOR_REFUSED");
        refused(other.send(&customer, at(&provider, round * 5)).await, "NOT_AUTHENTICATED");
        assert_eq!(world.count("SELECT count(*) FROM appointments").await, before);
    }
}

async fn me(world: &World, person: &Person) -> Result<(), Status> {
    world.auth().get_me(person.asks(GetMeRequest {})).await.map(drop)
}

async fn what_was_revoked_stays_so_at_a_server_whose_own_tokens_are_short(world: World) {
    let ttl = |seconds| [("auth.access_token_ttl_seconds", seconds)];
    let long = world.beside_with(&ttl("300")).await;
    let (out, shut, kept) = (long.customer().await, long.customer().await, long.customer().await);
    let admin = long.admin().await;
    long.auth().log_out(out.asks(LogOutRequest {})).await.unwrap();
    let request = DisableUserRequest { name: shut.user.name.clone(), ..Default::default() };
    long.auth().disable_user(admin.asks(request)).await.unwrap();
    for seconds in [188, 300, 329] {
        long.clock.set(world.clock.now() + TimeDelta::seconds(seconds));
        let short = long.beside_with(&ttl("60")).await;
        for server in [&long, &short] {
            me(server, &kept).await.unwrap();
            refused(me(server, &out).await, "NOT_AUTHENTICATED");
            refused(me(server, &shut).await, "NOT_AUTHENTICATED");
        }
    }
    // Then none is accepted any more.
    long.clock.set(world.clock.now() + TimeDelta::seconds(331));
    refused(me(&long, &kept).await, "NOT_AUTHENTICATED");
}
