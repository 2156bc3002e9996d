//! Units of work that end badly, and connections that were left badly.

use std::{
    io::Write,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use daybook::{
    kernel::fault::{Fault, Retryable},
    storage::{self, Authority, Deadline, Executor, Query, Reader, Store, Tx, UnitOfWork},
};
use sea_orm::{ConnectionTrait, Statement};

use crate::support::{
    Engine, World, books,
    process::{session, until},
};

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
    until(10, "the connection is closed", closed).await;
}

/// Somebody is in the way once.
struct Twice(Arc<AtomicUsize>);

impl UnitOfWork for Twice {
    type Output = ();
    const AUTHORITY: Authority = Authority::Nobody;

    async fn run(&self, tx: &Tx) -> Result<(), Fault> {
        if self.0.fetch_add(1, Ordering::SeqCst) == 0 {
            return Err(Fault::internal("somebody is in the way").again(Retryable::Contention));
        }
        One.run(tx).await
    }
}

/// What is logged.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// On one thread, so that what tasks log is seen.
#[tokio::test]
async fn a_unit_that_runs_again_names_itself_and_its_call_in_the_log() {
    let world = World::new(Engine::Sqlite).await;
    let store = world.store().await;
    let (log, runs, commits) = (Log::default(), Arc::default(), Arc::new(AtomicUsize::new(0)));
    let writer = log.clone();
    let builder = tracing_subscriber::fmt().with_max_level(tracing::Level::DEBUG).json();
    let logging = builder.with_span_list(false).with_writer(move || writer.clone()).finish();
    let _logging = tracing::subscriber::set_default(logging);
    let (counted, span) = (Arc::clone(&commits), tracing::info_span!("call", id = "call-17"));
    let then = move |(): &()| {
        counted.fetch_add(1, Ordering::SeqCst);
    };
    let unit = Twice(Arc::clone(&runs));
    let run = tracing::Instrument::instrument(store.run_then(soon(), unit, then), span);
    run.await.unwrap();
    assert_eq!((runs.load(Ordering::SeqCst), commits.load(Ordering::SeqCst)), (2, 1));
    let log = String::from_utf8(log.0.lock().unwrap().clone()).unwrap();
    let line = log.lines().find(|line| line.contains("running a unit of work again")).unwrap();
    for part in ["\"unit\":\"Twice\"", "\"id\":\"call-17\""] {
        assert!(line.contains(part), "{part}: {line}");
    }
}

/// Gives a sign when it has begun, and waits for one before it is done.
#[derive(Clone, Default)]
struct Waiting(Arc<[tokio::sync::Notify; 2]>);

impl UnitOfWork for Waiting {
    type Output = ();
    const AUTHORITY: Authority = Authority::Nobody;

    async fn run(&self, tx: &Tx) -> Result<(), Fault> {
        let [begun, go] = &*self.0;
        begun.notify_one();
        go.notified().await;
        One.run(tx).await
    }
}

async fn what_follows_a_commit_is_done_although_the_caller_has_left(engine: Engine) {
    let world = World::new(engine).await;
    let store = world.store().await;
    let (unit, commits) = (Waiting::default(), Arc::new(AtomicUsize::new(0)));
    let signs = Arc::clone(&unit.0);
    let [begun, go] = &*signs;
    let counted = Arc::clone(&commits);
    let then = move |(): &()| {
        counted.fetch_add(1, Ordering::SeqCst);
    };
    let call = tokio::spawn(async move { store.run_then(soon(), unit, then).await });
    begun.notified().await;
    call.abort();
    drop(call.await);
    go.notify_one();
    until(10, "it is committed", async || world.count(ROWS).await == 1).await;
    until(10, "what follows is done", async || commits.load(Ordering::SeqCst) == 1).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_follows_a_commit_is_done_although_the_caller_has_left_on_sqlite() {
    what_follows_a_commit_is_done_although_the_caller_has_left(Engine::Sqlite).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_follows_a_commit_is_done_although_the_caller_has_left_on_postgres() {
    what_follows_a_commit_is_done_although_the_caller_has_left(Engine::Postgres).await;
}
