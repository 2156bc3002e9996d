//! Units of work and queries that panic in the middle of a transaction: nothing of it is kept, no connection stays in
//! it, and no lock is left that others would wait for.

use daybook::{
    kernel::fault::{Fault, Reason},
    storage::{Authority, Executor, Query, Reader, Tx, UnitOfWork},
};
use sea_orm::{ConnectionTrait, Statement};

use super::units::soon;
use crate::support::{Engine, World, berlin, books, process::until};

const INSIDE: &str = "the table users has no row";

/// Locks every provider, changes them, and panics.
struct Panics;

impl UnitOfWork for Panics {
    type Output = ();
    const AUTHORITY: Authority = Authority::Nobody;

    async fn run(&self, tx: &Tx) -> Result<(), Fault> {
        let backend = tx.db().get_database_backend();
        let sql = "UPDATE providers SET version = version + 1000";
        let done = tx.execute(Statement::from_string(backend, sql)).await.unwrap();
        assert_eq!(done.rows_affected(), 1);
        panic!("{INSIDE}")
    }
}

/// Leaves the connection it reads by in the middle of a transaction, and panics.
struct PanicsReading;

impl Query for PanicsReading {
    type Output = ();

    async fn run(&self, at: &Reader) -> Result<(), Fault> {
        at.db().execute_unprepared("BEGIN").await.unwrap();
        at.db().execute_unprepared("SELECT count(*) FROM providers").await.unwrap();
        panic!("{INSIDE}")
    }
}

async fn what_panics_in_a_transaction_leaves_nothing_behind(engine: Engine) {
    let world = World::new(engine).await;
    let (provider, customer) = (world.provider().await, world.customer().await);
    let (store, before) = (world.store().await, world.state().await);
    // More often than there are connections and turns.
    for _ in 0..20 {
        for answer in [store.run(soon(), Panics).await, store.run_contended(soon(), Panics).await] {
            let fault = answer.unwrap_err();
            assert_eq!(fault.reason(), Reason::Internal, "{fault}");
            // For the log alone.
            assert!(!fault.message().contains("users"), "{fault}");
            assert!(fault.log_text().unwrap().contains("panicked"), "{fault}");
        }
        let fault = store.read(soon(), PanicsReading).await.unwrap_err();
        assert_eq!(fault.reason(), Reason::Internal, "{fault}");
        assert!(!fault.message().contains("users"), "{fault}");
    }
    assert_eq!(world.state().await, before, "nothing of it is kept");
    // Nobody waits for a lock of it: not the server, and not the store itself.
    world
        .book(&customer, &provider, berlin("2026-11-23 10:00"), berlin("2026-11-23 10:30"))
        .await
        .unwrap();
    store.run(soon(), super::units::One).await.unwrap();
    let db = world.sql().await;
    assert_eq!(books::check(&db).await.len(), 1);
    if engine == Engine::Postgres {
        let open = "SELECT count(*) FROM pg_stat_activity
            WHERE datname = current_database() AND state LIKE 'idle in transaction%'";
        until(10, "the sessions are closed", async || books::number(&db, open).await == 0).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_panics_in_a_transaction_leaves_nothing_behind_on_sqlite() {
    what_panics_in_a_transaction_leaves_nothing_behind(Engine::Sqlite).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_panics_in_a_transaction_leaves_nothing_behind_on_postgres() {
    what_panics_in_a_transaction_leaves_nothing_behind(Engine::Postgres).await;
}
