//! The storage porch: where SeaORM is spoken.
//!
//! A write is a [`UnitOfWork`]: a value that holds all inputs, the time and the new ids, with a `run`
//! that does the work in a transaction. [`Store::run`] opens the transaction, runs the unit, commits,
//! and runs the same unit again when somebody else was in the way. It does so in a task of its own:
//! tonic drops a handler's future when the client hangs up, and a future dropped while `BEGIN` is
//! under way would leave a pooled PostgreSQL session inside a transaction, so that the next write on
//! it would be acknowledged and never committed (sqlx 0.9). Reads go the same way through
//! [`Store::read`].

pub mod batch;
pub mod engine;
pub mod entity;
pub mod request;
mod schema;

use std::{
    future::Future,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use sea_orm::{
    ConnectionTrait, DatabaseConnection, DatabaseTransaction, DbErr, ExecResult, QueryResult,
    Statement, TransactionTrait,
};
use tokio::{sync::Semaphore, time::Instant as Moment};

pub use engine::Engine;
pub use schema::{MigrationState, migrate_down, migrate_up, migration_status};

use crate::kernel::fault::{Again, Fault, Reason};

/// How often the same unit of work is run before its caller is told that the server is busy.
const ATTEMPTS: u32 = 8;
/// The part of the connections that is kept for units which many wait with: one in so many.
const ASIDE: usize = 4;
/// How long the database may take to answer when it is looked at.
const LOOK: Duration = Duration::from_secs(2);
/// The least time that is worth starting work for.
const TOO_LATE: Duration = Duration::from_millis(1);

/// Where to find the database, and how much of it to use.
#[derive(Debug, Clone)]
pub struct Settings {
    /// A `sqlite:` or `postgres:` URL.
    pub url: secrecy::SecretString,
    /// How many connections to keep at most.
    pub max_connections: u32,
    /// How long to wait for a connection.
    pub acquire_timeout: Duration,
    /// How long a statement may run when the call sets no shorter deadline.
    pub statement_timeout: Duration,
    /// How many units of work may be under way or waiting; more are refused at once.
    pub max_in_flight: usize,
}

/// When a call's time is up.
#[derive(Debug, Clone, Copy)]
pub struct Deadline(pub Moment);

impl Deadline {
    /// This long from now.
    pub fn after(time: Duration) -> Self {
        Self(Moment::now() + time)
    }

    /// The time that is left.
    pub fn left(self) -> Duration {
        self.0.saturating_duration_since(Moment::now())
    }
}

/// The database, PostgreSQL or SQLite.
#[derive(Debug, Clone)]
pub struct Store(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    engine: Engine,
    /// Where units of work run. SQLite has one writer at a time, so this pool has one connection.
    writer: DatabaseConnection,
    /// Where reads run.
    reader: DatabaseConnection,
    /// Where the server looks after itself, however busy the others are.
    control: DatabaseConnection,
    statement_timeout: Duration,
    /// How much may be under way or waiting.
    room: Arc<Semaphore>,
    /// One for each connection. Callers wait here and not for the pool, so that a pool that keeps
    /// somebody waiting means that the database is away, and so that who leaves stops waiting.
    write_turns: Arc<Semaphore>,
    aside_turns: Arc<Semaphore>,
    read_turns: Arc<Semaphore>,
    /// Whether the database answered when it was last looked at.
    reachable: AtomicBool,
}

/// A transaction, as units of work see it.
#[derive(Debug)]
pub struct Tx {
    inner: DatabaseTransaction,
    engine: Engine,
}

/// A connection outside any transaction, for reads of one statement.
#[derive(Debug)]
pub struct Snapshot {
    inner: DatabaseConnection,
    engine: Engine,
}

/// What a query can be put to: a [`Tx`] or a [`Snapshot`].
pub trait Session: Sync {
    /// The kind of database behind it.
    fn engine(&self) -> Engine;
    /// SeaORM's connection, for the queries in `store.rs` files.
    fn db(&self) -> &impl ConnectionTrait;
}

impl Session for Tx {
    fn engine(&self) -> Engine {
        self.engine
    }
    fn db(&self) -> &impl ConnectionTrait {
        &self.inner
    }
}

impl Session for Snapshot {
    fn engine(&self) -> Engine {
        self.engine
    }
    fn db(&self) -> &impl ConnectionTrait {
        &self.inner
    }
}

impl Tx {
    /// Runs a raw statement that changes rows.
    pub async fn execute(&self, statement: Statement) -> Result<ExecResult, DbErr> {
        self.inner.execute_raw(statement).await
    }
}

impl Snapshot {
    /// Runs a raw statement that returns rows.
    pub async fn query_all(&self, statement: Statement) -> Result<Vec<QueryResult>, DbErr> {
        self.inner.query_all_raw(statement).await
    }

    /// Runs a raw statement that returns at most one row.
    pub async fn query_one(&self, statement: Statement) -> Result<Option<QueryResult>, DbErr> {
        self.inner.query_one_raw(statement).await
    }
}

/// A change of the stored state, as a value.
///
/// `run` may be called several times: everything that must stay the same (inputs, the time, new ids)
/// is a field, and nothing outside the transaction is touched.
pub trait UnitOfWork: Send + Sync + 'static {
    /// What the caller gets when the change is committed.
    type Output: Send + 'static;

    /// Does the work in the transaction. An error rolls it back.
    fn run(&self, tx: &Tx) -> impl Future<Output = Result<Self::Output, Fault>> + Send;
}

/// A question to the stored state, as a value.
pub trait Query: Send + Sync + 'static {
    /// The answer.
    type Output: Send + 'static;

    /// Asks. Every query is one statement, so that it sees one state of the database.
    fn run(&self, at: &Snapshot) -> impl Future<Output = Result<Self::Output, Fault>> + Send;
}

impl Store {
    /// Connects. For SQLite the file is made when it does not exist. The schema is left as it is.
    pub async fn connect(settings: &Settings) -> Result<Self, Fault> {
        let pools = engine::connect(settings).await?;
        let aside = pools.writers / ASIDE;
        let write_turns = Arc::new(Semaphore::new(pools.writers - aside));
        let aside_turns =
            if aside == 0 { Arc::clone(&write_turns) } else { Arc::new(Semaphore::new(aside)) };
        let read_turns = match pools.readers {
            Some(readers) => Arc::new(Semaphore::new(readers)),
            None => Arc::clone(&write_turns),
        };
        Ok(Self(Arc::new(Inner {
            engine: pools.engine,
            writer: pools.writer,
            reader: pools.reader,
            control: pools.control,
            statement_timeout: settings.statement_timeout,
            room: Arc::new(Semaphore::new(settings.max_in_flight)),
            aside_turns,
            write_turns,
            read_turns,
            reachable: AtomicBool::new(true),
        })))
    }

    /// The kind of database behind it.
    pub fn engine(&self) -> Engine {
        self.0.engine
    }

    /// Runs a unit of work in one transaction, in a task that the caller's departure does not cancel.
    ///
    /// Returns when the change is durable. Faults: those of the unit; `OVERLOADED` when too much is
    /// under way; `DEADLINE_EXCEEDED`; `DATABASE_UNAVAILABLE` when nothing was changed;
    /// `OUTCOME_UNKNOWN` when the connection broke during the commit.
    pub async fn run<U: UnitOfWork>(
        &self,
        deadline: Deadline,
        unit: U,
    ) -> Result<U::Output, Fault> {
        self.run_in(deadline, &self.0.write_turns, unit).await
    }

    /// The same for units of a kind of which many wait for the same rows. A quarter of the connections is
    /// theirs, where there are four, so that neither they nor the others keep everybody waiting.
    pub async fn run_aside<U: UnitOfWork>(
        &self,
        deadline: Deadline,
        unit: U,
    ) -> Result<U::Output, Fault> {
        self.run_in(deadline, &self.0.aside_turns, unit).await
    }

    async fn run_in<U: UnitOfWork>(
        &self,
        deadline: Deadline,
        turns: &Arc<Semaphore>,
        unit: U,
    ) -> Result<U::Output, Fault> {
        let store = self.clone();
        // Boxed, because a unit of many steps is a large future, and this one is moved.
        let work = Box::pin(async move { store.attempts(deadline, &unit).await });
        self.task(deadline, Arc::clone(turns), work).await
    }

    /// Puts a query, in a task that the caller's departure does not cancel.
    pub async fn read<Q: Query>(&self, deadline: Deadline, query: Q) -> Result<Q::Output, Fault> {
        let store = self.clone();
        self.task(deadline, Arc::clone(&self.0.read_turns), async move {
            store.query(&store.0.reader, query).await
        })
        .await
    }

    /// Puts a query for callers who ask together; see [`batch`]. In a task that nobody cancels.
    async fn read_together<Q: Query>(&self, query: Q) -> Result<Q::Output, Fault> {
        self.reachable()?;
        let turn = Arc::clone(&self.0.read_turns).acquire_owned().await;
        let _turn = turn.map_err(|_| Fault::internal("the store is closed"))?;
        self.query(&self.0.reader, query).await
    }

    /// Puts a query for the server itself, however busy it is.
    pub async fn look<Q: Query>(&self, query: Q) -> Result<Q::Output, Fault> {
        let store = self.clone();
        let task = tokio::spawn(async move { store.query(&store.0.control, query).await });
        task.await.unwrap_or_else(|error| Err(Fault::internal(format!("a storage task: {error}"))))
    }

    async fn query<Q: Query>(
        &self,
        pool: &DatabaseConnection,
        query: Q,
    ) -> Result<Q::Output, Fault> {
        let at = Snapshot { inner: pool.clone(), engine: self.0.engine };
        let mut attempt = 1;
        loop {
            match query.run(&at).await {
                Err(fault) if fault.may_run_again() != Again::No && attempt < ATTEMPTS => {
                    attempt += 1;
                }
                done => return done,
            }
        }
    }

    /// Runs one statement that is a whole unit of work by itself: PostgreSQL makes it a transaction
    /// of its own. Only for statements that may be given up without harm, because the caller falls
    /// back to [`Store::run`].
    pub(crate) async fn run_single<Q: Query>(
        &self,
        deadline: Deadline,
        query: Q,
    ) -> Result<Q::Output, Fault> {
        let store = self.clone();
        self.task(deadline, Arc::clone(&self.0.write_turns), async move {
            let at = Snapshot { inner: store.0.writer.clone(), engine: store.0.engine };
            query.run(&at).await
        })
        .await
    }

    /// How long a statement may run when nobody says otherwise.
    pub(crate) fn statement_timeout(&self) -> Duration {
        self.0.statement_timeout
    }

    /// Whether the database answers and its schema is the one that this binary knows.
    pub async fn ready(&self) -> Result<(), Fault> {
        // In a task of its own, which is left behind when the database has stopped answering.
        let store = self.clone();
        let look = tokio::spawn(async move { schema::pending(&store.0.control).await });
        let pending = match tokio::time::timeout(LOOK, look).await {
            Ok(Ok(pending)) => pending,
            Ok(Err(error)) => Err(Fault::internal(format!("a storage task: {error}"))),
            Err(_) => Err(engine::away().log("the database does not answer")),
        };
        self.0.reachable.store(pending.is_ok(), Ordering::SeqCst);
        match pending? {
            0 => Ok(()),
            pending => Err(schema::behind(pending)),
        }
    }

    /// While the database is away, calls are told so at once instead of waiting for a connection.
    fn reachable(&self) -> Result<(), Fault> {
        if self.0.reachable.load(Ordering::SeqCst) { Ok(()) } else { Err(engine::away()) }
    }

    /// Closes the connections, after the work under way on them.
    pub async fn close(&self) {
        for pool in [&self.0.writer, &self.0.reader, &self.0.control] {
            if let Err(error) = pool.clone().close().await {
                tracing::warn!(%error, "closing the database connections");
            }
        }
    }

    /// For the schema functions, which need the connection itself.
    pub(crate) fn writer(&self) -> &DatabaseConnection {
        &self.0.writer
    }

    /// Waits for a turn, and does the work when it comes, in a task of its own. Who leaves while still
    /// waiting waits no longer; what has begun is finished.
    async fn task<T: Send + 'static>(
        &self,
        deadline: Deadline,
        turns: Arc<Semaphore>,
        work: impl Future<Output = Result<T, Fault>> + Send + 'static,
    ) -> Result<T, Fault> {
        self.reachable()?;
        let Ok(place) = Arc::clone(&self.0.room).try_acquire_owned() else {
            return Err(Fault::overloaded(Duration::from_millis(100)));
        };
        let turn = match tokio::time::timeout_at(deadline.0, turns.acquire_owned()).await {
            Ok(Ok(turn)) if deadline.left() >= TOO_LATE => turn,
            Ok(Err(_)) => return Err(Fault::internal("the store is closed")),
            Ok(Ok(_)) | Err(_) => return Err(late()),
        };
        let task = tokio::spawn(async move {
            let guard = engine::Unfinished::new();
            let result = work.await;
            guard.finished();
            drop((turn, place));
            result
        });
        task.await.unwrap_or_else(|error| Err(Fault::internal(format!("a storage task: {error}"))))
    }

    async fn attempts<U: UnitOfWork>(
        &self,
        deadline: Deadline,
        unit: &U,
    ) -> Result<U::Output, Fault> {
        let mut attempt = 1;
        loop {
            let result = self.attempt(deadline, unit).await;
            let Err(fault) = &result else { return result };
            if fault.may_run_again() == Again::No {
                return result;
            }
            if attempt == ATTEMPTS {
                tracing::warn!(%fault, attempt, "giving up a unit of work");
                return match fault.may_run_again() {
                    Again::Contention => Err(Fault::overloaded(Duration::from_millis(200))
                        .log(format!("contention: {fault}"))),
                    Again::No | Again::Connection => result,
                };
            }
            tracing::debug!(%fault, attempt, "running a unit of work again");
            attempt += 1;
        }
    }

    async fn attempt<U: UnitOfWork>(
        &self,
        deadline: Deadline,
        unit: &U,
    ) -> Result<U::Output, Fault> {
        if deadline.left() < TOO_LATE {
            return Err(late());
        }
        #[expect(clippy::disallowed_methods, reason = "the one place that opens transactions")]
        let begun = self.0.writer.begin_with_options(self.0.engine.write_mode()).await;
        let tx = Tx { inner: begun.map_err(|e| engine::fault(&e))?, engine: self.0.engine };
        // Beginning may have taken a while.
        let bound =
            if deadline.left() < TOO_LATE { Err(late()) } else { self.bound(&tx, deadline).await };
        let result = match bound {
            Ok(()) => unit.run(&tx).await,
            Err(fault) => Err(fault),
        };
        match result {
            Ok(output) => {
                tx.inner.commit().await.map_err(|e| engine::commit_fault(&e))?;
                Ok(output)
            }
            Err(fault) => {
                // Said explicitly: the rollback of a dropped transaction happens some time later.
                if let Err(error) = tx.inner.rollback().await {
                    tracing::debug!(%error, "rolling back");
                }
                Err(fault)
            }
        }
    }

    /// Hands the deadline to PostgreSQL where it is not what the connection is set to.
    async fn bound(&self, tx: &Tx, deadline: Deadline) -> Result<(), Fault> {
        let left = deadline.left();
        let usual = self.0.statement_timeout;
        // A round trip is not worth it for a deadline that is about the usual one.
        let about = usual.mul_f32(0.9)..=usual.mul_f32(1.1);
        if self.0.engine != Engine::Postgres || about.contains(&left) {
            return Ok(());
        }
        let millis = left.as_millis().max(1);
        tx.inner
            .execute_unprepared(&format!("SET LOCAL statement_timeout = {millis}"))
            .await
            .map_err(|e| engine::fault(&e))?;
        Ok(())
    }
}

fn late() -> Fault {
    Fault::new(Reason::DeadlineExceeded, "the call's deadline passed before its turn came")
}
