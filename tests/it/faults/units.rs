//! Units of work that end badly, and connections that were left badly.

use std::time::Duration;

use daybook::{
    kernel::fault::Fault,
    storage::{self, Authority, Deadline, Executor, Query, Reader, Store, Tx, UnitOfWork},
};
use sea_orm::{ConnectionTrait, Statement};

use crate::support::{Engine, World, books, process::session};

const ROWS: &str = "SELECT count(*) FROM health_probes WHERE id >= 7";

fn row(id: i32) -> String {
    format!("INSERT INTO health_probes (id, writes) VALUES ({id}, 0)")
}

/// Goes on although a statement failed.
struct Heedless;

impl UnitOfWork for Heedless {
    type Output = ();
    const AUTHORITY: Authority = Authority::Nobody;

    async fn run(&self, tx: &Tx) -> Result<(), Fault> {
        for sql in [row(7), row(7), row(8)] {
            let backend = tx.db().get_database_backend();
            let _ = tx.execute(Statement::from_string(backend, sql)).await;
        }
        Ok(())
    }
}

pub(super) struct One;

impl UnitOfWork for One {
    type Output = ();
    const AUTHORITY: Authority = Authority::Nobody;

    async fn run(&self, tx: &Tx) -> Result<(), Fault> {
        let statement = Statement::from_string(tx.db().get_database_backend(), row(9));
        tx.execute(statement).await.map(drop).map_err(|e| Fault::internal(e.to_string()))
    }
}

/// Leaves its connection inside a transaction that has changed something.
struct LeftOpen;

impl Query for LeftOpen {
    type Output = ();

    async fn run(&self, at: &Reader) -> Result<(), Fault> {
        for sql in ["BEGIN", &row(10)] {
            let done = at.db().execute_unprepared(sql).await;
            done.map_err(|e| Fault::internal(e.to_string()))?;
        }
        Ok(())
    }
}

pub(super) fn soon() -> Deadline {
    Deadline::after(Duration::from_secs(10))
}

async fn a_unit_that_goes_on_after_an_error(engine: Engine) {
    let world = World::new(engine).await;
    let done = world.store().await.run(soon(), Heedless).await;
    let rows = world.count(ROWS).await;
    // PostgreSQL answers its COMMIT without an error, and rolls back.
    assert_eq!(rows, if done.is_ok() { 2 } else { 0 }, "{done:?}");
    assert_eq!(done.is_ok(), engine == Engine::Sqlite, "{done:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_unit_that_goes_on_after_an_error_on_sqlite() {
    a_unit_that_goes_on_after_an_error(Engine::Sqlite).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_unit_that_goes_on_after_an_error_on_postgres() {
    a_unit_that_goes_on_after_an_error(Engine::Postgres).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_unit_does_not_join_a_transaction_that_was_left_open() {
    let world = World::new(Engine::Postgres).await;
    // One connection, so that it is the same one.
    let settings = storage::Settings {
        url: world.url.clone().into(),
        max_connections: 1,
        acquire_timeout: Duration::from_secs(10),
        statement_timeout: Duration::from_secs(10),
        max_in_flight: 10,
    };
    let store = Store::connect(&settings).await.unwrap();
    store.read(soon(), LeftOpen).await.unwrap();
    store.run(soon(), One).await.unwrap();
    let db = session(&world.url).await;
    assert_eq!(books::number(&db, ROWS).await, 1, "what was left open was committed as well");
    let open = "SELECT count(*) FROM pg_stat_activity
        WHERE datname = current_database() AND state = 'idle in transaction'";
    let closed = async || books::number(&db, open).await == 0;
    crate::support::process::until(10, "the connection is closed", closed).await;
}
