//! Bookings and deletions that wait for each other on `PostgreSQL`, each held up at the worst moment.

use std::time::Duration;

use daybook::grpc::proto::booking::BookAppointmentRequest;
use sea_orm::{ConnectionTrait, DatabaseTransaction, TransactionTrait};
use tokio::task::JoinHandle;
use tonic::Status;

use crate::support::{
    Engine, World, berlin,
    people::{Person, booking},
    refusal::refused,
    types::{kind, typed},
};

/// Sessions of this database that wait for a lock of another one.
const WAITING: &str =
    "SELECT count(DISTINCT l.pid) FROM pg_locks l JOIN pg_stat_activity a USING (pid)
    WHERE NOT l.granted AND a.datname = current_database()";

/// Waits until so many sessions wait for locks, or until the call that should be among them has ended
/// without.
async fn waits<T>(world: &World, sessions: i64, call: &JoinHandle<T>) {
    let wait = async {
        while world.count(WAITING).await < sessions {
            assert!(!call.is_finished(), "the call waited for nobody");
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), wait).await.expect("the call waits");
}

/// A transaction of the test's own, past the server.
#[expect(clippy::disallowed_methods, reason = "not the server's, which has one way to open them")]
async fn session(world: &World, statements: &[String]) -> DatabaseTransaction {
    let tx = world.sql().await.begin().await.unwrap();
    for statement in statements {
        tx.execute_unprepared(statement).await.unwrap();
    }
    tx
}

/// Books while the server does something else.
fn send(
    world: &World,
    customer: &Person,
    request: BookAppointmentRequest,
) -> JoinHandle<Result<(), Status>> {
    let (mut calls, request) = (world.booking(), customer.asks(request));
    tokio::spawn(async move { calls.book_appointment(request).await.map(drop) })
}

/// A booking of a bare interval, which is one statement once the provider was met, and one of a type, which
/// is a unit of work.
async fn requests(world: &World, provider: &Person) -> [BookAppointmentRequest; 2] {
    let first = world.customer().await;
    let at = |time: &str| berlin(&format!("2026-11-23 {time}"));
    world.book(&first, provider, at("09:00"), at("09:30")).await.unwrap();
    let asked = world.own_type(provider, kind(&[30])).await;
    [booking(provider, at("10:00"), at("10:30")), typed(provider, &asked, "2026-11-23 11:00")]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_booking_waits_for_a_deletion_that_is_under_way_and_is_refused() {
    let world = World::new(Engine::Postgres).await;
    let provider = world.provider().await;
    for request in requests(&world, &provider).await {
        let customer = world.customer().await;
        let email = &customer.user.email;
        // As a deletion does it, up to its commit.
        let deletion = session(
            &world,
            &[
                format!("SELECT 1 FROM users WHERE email = '{email}' FOR UPDATE"),
                format!(
                    "UPDATE users SET disabled = true, erased_at = now(), display_name = '',
                        email = 'erased {email}' WHERE email = '{email}'"
                ),
            ],
        )
        .await;
        let booked = send(&world, &customer, request);
        waits(&world, 1, &booked).await;
        deletion.commit().await.unwrap();
        refused(booked.await.unwrap(), "NOT_AUTHENTICATED");
    }
    assert_eq!(world.count("SELECT count(*) FROM appointments").await, 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_deletion_waits_for_a_booking_that_is_under_way_and_cancels_it() {
    let world = World::new(Engine::Postgres).await;
    let provider = world.provider().await;
    let [_, request] = requests(&world, &provider).await;
    let customer = world.customer().await;
    // Nobody may add an appointment for now.
    let lock = session(&world, &["LOCK TABLE appointments IN SHARE MODE".to_owned()]).await;
    let booked = send(&world, &customer, request);
    waits(&world, 1, &booked).await;
    let leaver = world.beside().await;
    let left = {
        let customer = Person { user: customer.user.clone(), token: customer.token.clone() };
        tokio::spawn(async move { leaver.leaves(&customer).await })
    };
    waits(&world, 2, &left).await;
    lock.commit().await.unwrap();
    booked.await.unwrap().unwrap();
    left.await.unwrap().unwrap();
    super::meanwhile::settled(&world).await;
    let open = "SELECT count(*) FROM appointments WHERE state = 'booked'";
    assert_eq!(world.count(open).await, 1, "that of the one who stays");
    world.nothing_is_amiss().await;
}
