//! The storage porch: where SeaORM is spoken.
//!
//! A write is a [`UnitOfWork`]: a value that holds all inputs, the time and the new ids, with a `run`
//! that does the work in a transaction. [`Store::run`] opens the transaction, runs the unit, commits,
//! and runs the same unit again when somebody else was in the way. It does so in a task of its own:
//! tonic drops a handler's future when the client hangs up, and work dropped in the middle costs its
//! connection. Reads go the same way through [`Store::read`]. A connection goes back to its pool only when
//! it is known to be outside a transaction and sound (`connection.rs`).

mod authority;
pub mod batch;
pub mod cleanup;
mod commit_probe;
mod connection;
mod connection_set;
pub mod engine;
pub mod entity;
mod files;
pub mod idempotency;
pub mod readable;
mod salvage;
mod schema;
mod sessions;
mod silence;
mod single_flight;
pub mod throttled_log;

use std::{
    future::Future,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use arc_swap::ArcSwap;
use sea_orm::{ConnectionTrait, DbErr, ExecResult, QueryResult, Statement};
use tokio::{sync::Notify, time::Instant as Moment};

pub use authority::Authority;
pub use engine::Engine;
pub use schema::{
    MigrationState, is_behind, migrate_down, migrate_up, migration_status, migrations,
};

use crate::kernel::{
    fault::{Fault, Reason, Retryable},
    stamp::Stamp,
};
use connection::{Held, Pool};
use connection_set::{ConnectionSet, Turns};
use sessions::Sessions;
use silence::TooLong;

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
    /// How long a statement may run at most; shorter where the deadline of its call is.
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
    settings: Settings,
    engine: Engine,
    /// The connections. Others take their place when the database falls silent.
    link: ArcSwap<ConnectionSet>,
    /// Whether the database answered when it was last looked at.
    reachable: AtomicBool,
    /// Whether it acknowledged commits then.
    commits: AtomicBool,
    /// Woken when this process has committed an event.
    events: Arc<Notify>,
}

/// A transaction, as units of work see it.
#[derive(Debug)]
pub struct Tx {
    inner: Held,
    engine: Engine,
    /// What marks the rows that it writes.
    stamp: Stamp,
    /// Whether the authority that the unit needs was looked at.
    judged: AtomicBool,
    /// Whether it appended an event.
    has_event: AtomicBool,
}

/// A connection outside any transaction, for single-statement reads.
#[derive(Debug)]
pub struct Reader {
    inner: Pool,
    engine: Engine,
}

/// What a query can be put to: a [`Tx`] or a [`Reader`].
pub trait Executor: Sync {
    /// The kind of database behind it.
    fn engine(&self) -> Engine;
    /// SeaORM's connection, for the queries in `store.rs` files.
    fn db(&self) -> &impl ConnectionTrait;
}

impl Executor for Tx {
    fn engine(&self) -> Engine {
        self.engine
    }
    fn db(&self) -> &impl ConnectionTrait {
        &self.inner
    }
}

impl Executor for Reader {
    fn engine(&self) -> Engine {
        self.engine
    }
    fn db(&self) -> &impl ConnectionTrait {
        &self.inner
    }
}

impl Tx {
    /// What marks the rows that this transaction writes, so that whoever remembers one can tell it from any
    /// other state of the row, also from one with the same version.
    pub const fn stamp(&self) -> Stamp {
        self.stamp
    }

    /// Notes that it appended an event: who waits for events is woken once it is committed.
    pub fn note_event(&self) {
        self.has_event.store(true, Ordering::Relaxed);
    }

    /// Runs a raw statement that changes rows.
    pub async fn execute(&self, statement: Statement) -> Result<ExecResult, DbErr> {
        self.inner.execute_raw(statement).await
    }

    /// Runs a raw statement that returns at most one row.
    pub async fn query_one(&self, statement: Statement) -> Result<Option<QueryResult>, DbErr> {
        self.inner.query_one_raw(statement).await
    }
}

impl Reader {
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

    /// Whose authority it needs.
    const AUTHORITY: Authority;

    /// What logs call it: the name of its type.
    fn name() -> &'static str {
        let path = std::any::type_name::<Self>();
        let path = path.split('<').next().unwrap_or(path);
        path.rsplit("::").next().unwrap_or(path)
    }

    /// Does the work in the transaction. An error rolls it back.
    fn run(&self, tx: &Tx) -> impl Future<Output = Result<Self::Output, Fault>> + Send;
}

/// A question to the stored state, as a value.
pub trait Query: Send + Sync + 'static {
    /// The result.
    type Output: Send + 'static;

    /// Asks. Every query is one statement, so that it sees one state of the database.
    fn run(&self, at: &Reader) -> impl Future<Output = Result<Self::Output, Fault>> + Send;
}

impl Store {
    /// Connects. For SQLite the file is made when it does not exist. The schema is left as it is.
    pub async fn connect(settings: &Settings) -> Result<Self, Fault> {
        let link = ConnectionSet::connect(settings, Sessions::default()).await?;
        Ok(Self(Arc::new(Inner {
            settings: settings.clone(),
            engine: link.engine,
            link: ArcSwap::from_pointee(link),
            reachable: AtomicBool::new(true),
            commits: AtomicBool::new(true),
            events: Arc::new(Notify::new()),
        })))
    }

    /// Woken when this process has committed an event. One waiter at a time; a wake-up that nobody waited for is kept.
    pub fn events(&self) -> Arc<Notify> {
        Arc::clone(&self.0.events)
    }

    /// The kind of database behind it.
    pub fn engine(&self) -> Engine {
        self.0.engine
    }

    /// Runs a unit of work in one transaction, in a task that the caller's departure does not cancel.
    ///
    /// Returns when the change is durable. Faults: those of the unit; `OVERLOADED` when too much is
    /// under way; `DEADLINE_EXCEEDED`; `DATABASE_UNAVAILABLE` when nothing was changed;
    /// `OUTCOME_UNKNOWN` when the connection broke during the commit, or when the database fell silent.
    pub async fn run<U: UnitOfWork>(
        &self,
        deadline: Deadline,
        unit: U,
    ) -> Result<U::Output, Fault> {
        self.run_in(deadline, Turns::Write, unit, |_| {}).await
    }

    /// Like [`Self::run`], and does something once the change is committed: in the same task, so also when the
    /// caller has left by then. `then` is quick and does not block.
    pub async fn run_then<U: UnitOfWork>(
        &self,
        deadline: Deadline,
        unit: U,
        then: impl FnOnce(&U::Output) + Send + 'static,
    ) -> Result<U::Output, Fault> {
        self.run_in(deadline, Turns::Write, unit, then).await
    }

    /// Like [`Self::run`], for units that contend for the same rows. They have a quarter of the
    /// connections (if there are at least four), so that they cannot block other writes.
    pub async fn run_contended<U: UnitOfWork>(
        &self,
        deadline: Deadline,
        unit: U,
    ) -> Result<U::Output, Fault> {
        self.run_in(deadline, Turns::Aside, unit, |_| {}).await
    }

    async fn run_in<U: UnitOfWork>(
        &self,
        deadline: Deadline,
        turns: Turns,
        unit: U,
        then: impl FnOnce(&U::Output) + Send + 'static,
    ) -> Result<U::Output, Fault> {
        self.commits()?;
        let link = self.link();
        let (on, events) = (Arc::clone(&link), self.events());
        // Boxed, because a unit of many steps is a large future, and this one is moved.
        let work = Box::pin(async move {
            let (output, has_event) = on.attempts(deadline, &unit).await?;
            then(&output);
            if has_event {
                events.notify_one();
            }
            Ok(output)
        });
        link.task(deadline, turns, work).await.unwrap_or_else(|_| Err(engine::unknown()))
    }

    /// Puts a query, in a task that the caller's departure does not cancel.
    pub async fn read<Q: Query>(&self, deadline: Deadline, query: Q) -> Result<Q::Output, Fault> {
        self.reachable()?;
        let link = self.link();
        let on = Arc::clone(&link);
        let work = async move { on.query(&on.reader, query).await };
        link.task(deadline, Turns::Read, work).await.unwrap_or_else(|_| Err(engine::away()))
    }

    /// Puts a query for callers who ask together; see [`batch`]. In a task that nobody cancels, so that
    /// neither a panic nor a database that hangs ends whoever asks for them.
    async fn read_batched<Q: Query>(&self, query: Q) -> Result<Q::Output, Fault> {
        self.reachable()?;
        let link = self.link();
        let on = Arc::clone(&link);
        let patience = self.statement_timeout();
        let work = async move {
            // Not for ever: whoever asked waits no longer, and the next such task would wait behind this one.
            let turn = tokio::time::timeout(patience, on.turn(Turns::Read)).await;
            let _turn = turn.map_err(|_| engine::away().log("no connection became free"))??;
            on.query(&on.reader, query).await
        };
        link.unless_lost(work).await.unwrap_or_else(|_| Err(engine::away()))
    }

    /// Puts a query for the server itself, however busy it is.
    pub async fn look<Q: Query>(&self, query: Q) -> Result<Q::Output, Fault> {
        let link = self.link();
        let on = Arc::clone(&link);
        let work = async move { on.query(&on.control, query).await };
        link.unless_lost(work).await.unwrap_or_else(|_| Err(engine::away()))
    }

    /// Runs one statement that is a whole unit of work by itself: PostgreSQL makes it a transaction
    /// of its own, which may append an event. Only for statements that may be given up without harm, because the
    /// caller falls back to [`Store::run`].
    pub(crate) async fn run_single<Q: Query>(
        &self,
        deadline: Deadline,
        query: Q,
    ) -> Result<Q::Output, Fault> {
        self.commits()?;
        let link = self.link();
        let on = Arc::clone(&link);
        let at = Reader { inner: link.writer.clone(), engine: link.engine };
        let events = self.events();
        let work = async move {
            let output = query.run(&at).await?;
            on.acknowledge()?;
            events.notify_one();
            Ok(output)
        };
        let done = link.task(deadline, Turns::Write, work).await;
        done.unwrap_or_else(|_| Err(engine::away().again(Retryable::Connection)))
    }

    /// Takes what rows held before out of the files: SQLite's log keeps it until that is begun anew. An error while
    /// a reader needs the log; to be tried again. On PostgreSQL nothing is done: its own log is the operator's.
    pub async fn begin_log_anew(&self, deadline: Deadline) -> Result<(), Fault> {
        if self.engine() != Engine::Sqlite {
            return Ok(());
        }
        let link = self.link();
        let on = Arc::clone(&link);
        let work = async move {
            let held = on.writer.acquire().await.map_err(|e| engine::fault(&e))?;
            engine::begin_log_anew(&held)
                .await
                .map_err(|e| engine::fault(&e))?
                .then_some(())
                .ok_or_else(|| Fault::internal("a reader needs the log that is to begin anew"))
        };
        let done = link.task(deadline, Turns::Write, work).await;
        done.unwrap_or_else(|_| Err(engine::away()))
    }

    /// How long a statement may run when nobody says otherwise.
    pub(crate) fn statement_timeout(&self) -> Duration {
        self.0.settings.statement_timeout
    }

    /// Whether the database answers and its schema is the one that this binary knows.
    pub async fn ready(&self) -> Result<(), Fault> {
        let link = self.link();
        let (is_answered, pending) = match self.check_files(&link).await {
            Ok(()) => match link.pending(LOOK).await {
                Some(Ok(answer)) => (true, answer),
                Some(Err(fault)) => (false, Err(fault)),
                None => (false, Err(engine::away().log("the database does not answer"))),
            },
            Err(fault) => (true, Err(fault)),
        };
        self.0.reachable.store(pending.is_ok(), Ordering::SeqCst);
        if let Some(silence) = link.silence_after(is_answered, Moment::now()) {
            self.link_anew(&link, silence).await?;
        }
        match pending? {
            0 => Ok(()),
            pending => Err(schema::behind(pending)),
        }
    }

    /// Whether calls would be answered: as [`Store::ready`], and the database acknowledges commits. While it
    /// does not, changes are refused at once. Called again and again by the readiness probe.
    pub(crate) async fn probe(&self) -> Result<(), Fault> {
        self.ready().await?;
        let committing = self.link().commits().await;
        self.0.commits.store(committing.is_ok(), Ordering::SeqCst);
        committing
    }

    /// Other connections instead of these, which are left to end by themselves. Their sessions are ended by the
    /// first look on the others; calls are refused until then.
    async fn link_anew(&self, lost: &ConnectionSet, silence: TooLong) -> Result<(), Fault> {
        if silence.has_answered {
            tracing::warn!("the database fell silent: its connections are given up");
        } else {
            tracing::debug!("the database still says nothing: its connections are given up");
        }
        let link = ConnectionSet::connect(&self.0.settings, lost.all_sessions()).await?;
        self.0.link.store(Arc::new(link));
        lost.give_up();
        Ok(())
    }

    /// The connections of the present.
    fn link(&self) -> Arc<ConnectionSet> {
        self.0.link.load_full()
    }

    /// While the database is away, calls are told so at once instead of waiting for a connection.
    fn reachable(&self) -> Result<(), Fault> {
        if self.0.reachable.load(Ordering::SeqCst) { Ok(()) } else { Err(engine::away()) }
    }

    /// The same for changes, while no commit is acknowledged.
    fn commits(&self) -> Result<(), Fault> {
        self.reachable()?;
        if self.0.commits.load(Ordering::SeqCst) { Ok(()) } else { Err(engine::away()) }
    }

    /// Closes the connections, after the work under way on them.
    pub async fn close(&self) {
        self.link().close().await;
    }

    /// For the schema functions, which need the connection itself.
    fn writer(&self) -> Pool {
        self.link().writer.clone()
    }
}

fn late() -> Fault {
    Fault::new(Reason::DeadlineExceeded, "the call's deadline passed before its turn came")
}
