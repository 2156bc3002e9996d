//! What differs between the engines: how to connect, and what their errors mean.

mod postgres;
mod sqlite;

use std::sync::Arc;

use sea_orm::{
    ConnAcquireErr, DbBackend, DbErr, RuntimeErr,
    sqlx::{self, error::DatabaseError},
};
use secrecy::ExposeSecret;

use super::{
    Settings,
    connection::{Anchor, Pool},
    files::Files,
    sessions::Sessions,
};
use crate::kernel::fault::{Fault, Reason, Retryable};

/// The kind of database.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Engine {
    /// PostgreSQL 15 or newer.
    Postgres,
    /// The embedded SQLite.
    Sqlite,
}

impl Engine {
    /// The engine that a URL asks for.
    pub fn of(url: &str) -> Option<Self> {
        match url.split_once(':')?.0 {
            "postgres" | "postgresql" => Some(Self::Postgres),
            "sqlite" => Some(Self::Sqlite),
            _ => None,
        }
    }
}

/// The constraints that carry a meaning for callers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Constraint {
    /// Two users with one email.
    Email,
    /// The same request id twice.
    Request,
    /// Two live appointments of one provider overlap.
    ProviderOverlap,
    /// Two live appointments of one customer overlap.
    CustomerOverlap,
}

const CONSTRAINTS: &[(&str, Constraint)] = &[
    ("appointments_provider_overlap", Constraint::ProviderOverlap),
    ("appointments_customer_overlap", Constraint::CustomerOverlap),
    ("users_email", Constraint::Email),
    ("users.email", Constraint::Email),
    ("requests_once", Constraint::Request),
    ("requests_pkey", Constraint::Request),
    ("requests.caller_id", Constraint::Request),
];

/// Whether a URL names a database that is gone when its connection is closed.
pub fn is_in_memory(url: &str) -> bool {
    let rest = url.strip_prefix("sqlite:").unwrap_or_default();
    let (path, query) = rest.split_once('?').unwrap_or((rest, ""));
    path.trim_start_matches("//") == ":memory:" || query.contains("mode=memory")
}

/// Whether a URL names a file that is not there, so that connecting would make it.
pub fn is_missing(url: &str) -> bool {
    Engine::of(url) == Some(Engine::Sqlite) && !is_in_memory(url) && sqlite::is_missing(url)
}

pub(super) use sqlite::begin_log_anew;

/// The pools of a store.
pub(super) struct Pools {
    pub(super) engine: Engine,
    /// For units of work.
    pub(super) writer: Pool,
    /// How many of those at a time.
    pub(super) writers: usize,
    /// Pool for reads.
    pub(super) reader: Pool,
    /// How many of those at a time, where they are counted apart from the writers.
    pub(super) readers: Option<usize>,
    /// For the server itself.
    pub(super) control: Pool,
    /// For the write that shows that commits are acknowledged.
    pub(super) probe: Pool,
    /// The files of a SQLite database, unless it is in memory.
    pub(super) files: Option<Arc<Files>>,
    /// A connection to them that is used for nothing else.
    pub(super) anchor: Option<Anchor>,
    /// The sessions of PostgreSQL that they have.
    pub(super) sessions: Sessions,
}

pub(super) async fn connect(settings: &Settings) -> Result<Pools, Fault> {
    let url = settings.url.expose_secret();
    let engine = Engine::of(url).ok_or_else(|| {
        Fault::internal("the database URL begins with neither sqlite: nor postgres:")
    })?;
    match engine {
        Engine::Postgres => postgres::connect(settings, url).await,
        Engine::Sqlite => sqlite::connect(settings, url).await,
    }
    .map_err(|e| fault(&e))
}

/// How a unit of work begins. SQLite takes the write lock at once, because a read that later wants to write is
/// refused as busy, whatever the timeout. `NOT DEFERRABLE` changes nothing but that PostgreSQL refuses it inside a
/// transaction that has begun to work, which `BEGIN` alone would join.
pub(super) fn begin(backend: DbBackend) -> &'static str {
    if backend == DbBackend::Sqlite { "BEGIN IMMEDIATE" } else { "BEGIN NOT DEFERRABLE" }
}

/// Whether an error is that somebody else holds the lock: nothing happened.
pub(super) fn is_contention(error: &sqlx::Error) -> bool {
    sqlite_code(error).is_some_and(sqlite::is_busy)
}

/// Whether an error is that nothing was answered in time. Any other one was told by somebody: by the database, or
/// by a machine that says that there is none.
pub(super) fn is_silence(error: &DbErr) -> bool {
    let is_late = |e: &std::io::Error| e.kind() == std::io::ErrorKind::TimedOut;
    match error {
        DbErr::ConnectionAcquire(ConnAcquireErr::Timeout) => true,
        _ => match sqlx_error(error) {
            Some(sqlx::Error::PoolTimedOut) => true,
            Some(sqlx::Error::Io(e)) => is_late(e),
            _ => false,
        },
    }
}

/// Whether it is not known after an error what became of the transaction, or whether the connection works.
pub(super) fn leaves_doubt(error: &sqlx::Error, in_transaction: bool) -> bool {
    match error {
        sqlx::Error::RowNotFound => false,
        sqlx::Error::Database(database) => match sqlite_code(error) {
            Some(code) => sqlite::leaves_doubt(code, in_transaction),
            None => database.code().is_none_or(|code| postgres::leaves_doubt(&code)),
        },
        _ => true,
    }
}

/// SQLite's extended result code. A SQLSTATE has five characters.
fn sqlite_code(error: &sqlx::Error) -> Option<i32> {
    let code = error.as_database_error()?.code()?;
    if code.len() == 5 { None } else { code.parse().ok() }
}

/// The database was away when it was last looked at, a moment ago.
pub(super) fn away() -> Fault {
    Fault::new(
        Reason::DatabaseUnavailable,
        "the database cannot be reached; nothing was changed; retry",
    )
    .retry_after(std::time::Duration::from_millis(500))
}

/// The constraint that a statement violated, if it is one with a meaning.
///
/// By prefix, because a distributed PostgreSQL names the shard's constraint (`…_102018`).
pub fn violated(error: &DbErr) -> Option<Constraint> {
    let database = database_error(error)?;
    let named = database.constraint();
    let text = database.message();
    CONSTRAINTS.iter().find_map(|(name, constraint)| match named {
        Some(found) => found.starts_with(name).then_some(*constraint),
        // SQLite gives a trigger's name, or the columns of the key, as the text.
        None => text.contains(name).then_some(*constraint),
    })
}

/// Whether a statement failed because a table of it does not exist.
pub(super) fn is_missing_table(error: &DbErr) -> bool {
    database_error(error).is_some_and(|e| {
        e.code().is_some_and(|code| code == "42P01") || e.message().contains("no such table")
    })
}

/// Whether waiting will not help: somebody has to change something first.
pub fn needs_an_operator(text: &str) -> bool {
    ["authentication failed", "does not exist", "permission denied", "unable to open"]
        .iter()
        .any(|found| text.contains(found))
}

/// What an operator could do about a fault of the database, beyond what it says.
pub fn hint(text: &str) -> Option<&'static str> {
    let hints = [
        (
            "UnsupportedCertVersion",
            "the server's TLS certificate is too old to be checked: give it \
          a new one, or add ?sslmode=disable to the URL where the network is private",
        ),
        ("password authentication failed", "check user and password in database.url"),
        (
            "permission denied for table audit_events",
            "run this as the owner of the tables, because the role that serves may not change the audit trail",
        ),
        (
            "permission denied",
            "give the role CREATE on the database and its schema public, or run \
          `daybook migrate up` as the owner and set database.migrate_on_start to false",
        ),
        ("does not exist", "create the database and the role that database.url names"),
        (
            "timed out",
            "is the database running, and can it be reached from here at the address in \
          database.url?",
        ),
        (
            "unable to open database file",
            "does the folder of the file in database.url exist, and \
          may this user write to it?",
        ),
    ];
    hints.iter().find(|(found, _)| text.contains(found)).map(|(_, hint)| *hint)
}

/// What an error of the database means to a unit of work.
pub fn fault(error: &DbErr) -> Fault {
    if violated(error) == Some(Constraint::Request) {
        // The twin of this request was faster; run again, it will be found.
        return Fault::internal(error.to_string()).again(Retryable::Contention);
    }
    match class(error) {
        Class::Contention => Fault::internal(error.to_string()).again(Retryable::Contention),
        Class::TimedOut => Fault::new(
            Reason::DeadlineExceeded,
            "the call's deadline passed; retry a write with the same request_id",
        )
        .log(error.to_string()),
        Class::Connection => unavailable(error).again(Retryable::Connection),
        Class::Unavailable => unavailable(error),
        Class::Other => Fault::internal(error.to_string()),
    }
}

/// What an error means when it came from the beginning of a unit: nothing happened yet.
pub(super) fn begin_fault(error: &DbErr) -> Fault {
    match class(error) {
        // The connection was in a transaction already; there are others.
        Class::Other => unavailable(error).again(Retryable::Connection),
        _ => fault(error),
    }
}

/// What an error means when it came from the commit: whether it happened may be unknown.
pub fn commit_fault(error: &DbErr) -> Fault {
    match class(error) {
        Class::Contention => Fault::internal(error.to_string()).again(Retryable::Contention),
        Class::Other if database_error(error).is_some() => Fault::internal(error.to_string()),
        _ => unknown().log(error.to_string()),
    }
}

/// Nobody can tell whether it was committed.
pub(super) fn unknown() -> Fault {
    Fault::new(
        Reason::OutcomeUnknown,
        "the database did not say whether the change was made; retry with the same request_id",
    )
}

fn unavailable(error: &DbErr) -> Fault {
    away().log(error.to_string())
}

enum Class {
    Contention,
    TimedOut,
    Connection,
    Unavailable,
    Other,
}

fn class(error: &DbErr) -> Class {
    if let Some(database) = database_error(error) {
        // Refused while connecting: a changed password, a closed or missing database.
        if matches!(error, DbErr::Conn(_)) {
            return Class::Unavailable;
        }
        let code = database.code().unwrap_or_default();
        if let Some(class) = postgres::class(&code) {
            return class;
        }
        return sqlite::class(&code).unwrap_or(Class::Other);
    }
    match error {
        DbErr::ConnectionAcquire(ConnAcquireErr::Timeout | ConnAcquireErr::ConnectionClosed) => {
            Class::Unavailable
        }
        _ => match sqlx_error(error) {
            Some(sqlx::Error::Io(_) | sqlx::Error::Protocol(_) | sqlx::Error::WorkerCrashed) => {
                Class::Connection
            }
            Some(sqlx::Error::PoolTimedOut | sqlx::Error::PoolClosed | sqlx::Error::Tls(_)) => {
                Class::Unavailable
            }
            _ => Class::Other,
        },
    }
}

fn sqlx_error(error: &DbErr) -> Option<&sqlx::Error> {
    match error {
        DbErr::Conn(RuntimeErr::SqlxError(e))
        | DbErr::Exec(RuntimeErr::SqlxError(e))
        | DbErr::Query(RuntimeErr::SqlxError(e)) => Some(e),
        _ => None,
    }
}

fn database_error(error: &DbErr) -> Option<&dyn DatabaseError> {
    sqlx_error(error)?.as_database_error()
}
