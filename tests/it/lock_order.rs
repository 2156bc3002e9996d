//! The order of locks on PostgreSQL: providers, then accounts, then rows. Acts that would wait for each other in a
//! circle are made to meet.

use daybook::grpc::proto::{
    auth::{Role, UpdateMeRequest, User, auth_service_client::AuthServiceClient},
    booking::{HoldSlotRequest, RescheduleAppointmentRequest},
};
use rustix::process::Signal;
use sea_orm::{ConnectionTrait, DatabaseConnection};

use crate::{
    races::no_deadlock,
    support::{
        Engine, World, berlin,
        books::{self, number},
        people::{Person, uuid},
        process::{Process, day, minutes, session, until},
        refusal::refused,
    },
};

/// Waits until so many sessions of the servers wait for a lock.
async fn waiting(db: &DatabaseConnection, count: i64) {
    let sql = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'
        AND datname = current_database() AND application_name = 'daybook'";
    until(15, &format!("{count} calls wait"), async || number(db, sql).await == count).await;
}

/// Who becomes a provider while the practice is being closed: by signing up, and by the role.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_becomes_a_provider_meanwhile_knows_of_the_closure() {
    let world = World::new(Engine::Postgres).await;
    let (admin, customer) = (world.admin().await, world.customer().await);
    let (stranger, to_be) = (world.provider().await, world.customer().await);
    let (watch, block) = (world.sql().await, session(&world.url).await);
    block.execute_unprepared("BEGIN").await.unwrap();
    block.execute_unprepared("SELECT 1 FROM providers FOR UPDATE").await.unwrap();
    let opening = async {
        waiting(&watch, 1).await;
        let promoted = world.promote(&admin, &to_be, Role::Provider);
        tokio::join!(world.provider(), promoted)
    };
    let release = async {
        // The closure waits for the row, and they wait for the closure.
        waiting(&watch, 3).await;
        block.execute_unprepared("ROLLBACK").await.unwrap();
    };
    let closing = world.closure(&admin, "2026-11-24 00:00", "2026-11-25 00:00");
    let (_, (signed_up, promoted), ()) = tokio::join!(closing, opening, release);
    for provider in [&stranger, &signed_up, &promoted] {
        let free = world.availability(&customer, provider, (2026, 11, 24)).await;
        assert!(format!("{free:?}").find("start_time: Some").is_none(), "{free:?}");
        let (start, end) = (berlin("2026-11-24 10:00"), berlin("2026-11-24 10:30"));
        refused(world.book(&customer, provider, start, end).await, "PRACTICE_CLOSED");
        let (start, end) = (berlin("2026-11-25 10:00"), berlin("2026-11-25 10:30"));
        let booked = world.book(&customer, provider, start, end).await.unwrap();
        world.cancel(&customer, &booked.name).await.unwrap();
    }
    books::check(&watch).await;
}

/// What meets the correction of a customer's name.
#[derive(Debug, Clone, Copy)]
enum Act {
    /// A hold for a move, in the place of another one of theirs.
    HoldToMove,
    /// A move, in the place of a hold of theirs.
    Move,
    /// A hold with a provider of whom another one of theirs has expired.
    Settle,
}

/// A name is corrected: the account is locked, then the appointments are written, of which another transaction holds
/// the first one. Then the act begins.
async fn meets_a_new_name(process: &Process, act: Act) {
    let (first, provider) = (process.provider().await, process.provider().await);
    let customer = &process.customers(1).await[0];
    let (watch, block) = (process.sql().await, session(&process.url).await);
    let book = async |who: &Person, from: i64| {
        let request = minutes(who, day(), (from, from + 30));
        let answer = process.booking().book_appointment(customer.asks(request)).await.unwrap();
        answer.into_inner().appointment.unwrap().name
    };
    let held = book(&first, 60).await;
    let moved = book(&provider, 600).await;
    let at = |from: i64| {
        let request = minutes(&provider, day(), (from, from + 30));
        (request.start_time, request.end_time)
    };
    let hold = |from: i64, rescheduling: &str| {
        let (start_time, end_time) = at(from);
        let request = HoldSlotRequest {
            provider: provider.provider(),
            start_time,
            end_time,
            rescheduling: rescheduling.to_owned(),
            ..Default::default()
        };
        let (mut client, asked) = (process.booking(), customer.asks(request));
        async move { client.hold_slot(asked).await.unwrap() }
    };
    hold(900, "").await;
    if matches!(act, Act::Settle) {
        let expire = "UPDATE appointments SET expires_at = now() - interval '1 minute'
            WHERE state = 'held'";
        watch.execute_unprepared(expire).await.unwrap();
    }
    block.execute_unprepared("BEGIN").await.unwrap();
    let id = held.rsplit('/').next().unwrap();
    let lock = format!("SELECT 1 FROM appointments WHERE appointment_id = '{id}' FOR UPDATE");
    block.execute_unprepared(&lock).await.unwrap();
    let rename = async {
        let user = User { display_name: format!("New {}", uuid()), ..Default::default() };
        let request = UpdateMeRequest { user: Some(user), ..Default::default() };
        let mut client = AuthServiceClient::new(process.channel.clone());
        client.update_me(customer.asks(request)).await.unwrap();
    };
    let acting = async {
        waiting(&watch, 1).await;
        match act {
            Act::HoldToMove => drop(hold(910, &moved).await),
            Act::Settle => drop(hold(1000, "").await),
            Act::Move => {
                let (start_time, _) = at(910);
                let name = moved.clone();
                let request =
                    RescheduleAppointmentRequest { name, start_time, ..Default::default() };
                let answer = process.booking().reschedule_appointment(customer.asks(request)).await;
                drop(answer.unwrap());
            }
        }
    };
    let release = async {
        waiting(&watch, 2).await;
        block.execute_unprepared("ROLLBACK").await.unwrap();
    };
    tokio::join!(rename, acting, release);
    books::check(&watch).await;
    watch.close().await.unwrap();
    block.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_customer_has_is_written_after_the_account_is_locked() {
    let mut process = Process::start(Engine::Postgres, &[]).await;
    for act in [Act::HoldToMove, Act::Move, Act::Settle] {
        meets_a_new_name(&process, act).await;
    }
    let url = process.url.clone();
    process.signal(Signal::TERM);
    assert!(process.ended().await.success());
    no_deadlock(&url).await;
}
