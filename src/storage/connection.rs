//! Connections of a pool, each used by one at a time. One goes back to its pool only when it is known to be
//! outside a transaction and sound; otherwise it is closed and never used again.
//!
//! Transactions are opened and ended here by their SQL text and not by SeaORM or sqlx: sqlx counts how deep a
//! connection is in transactions, and after a commit that SQLite rolled back by itself (a full disk, an I/O error)
//! its count stays one too high. The next unit then becomes a savepoint of a transaction that nobody commits.

use std::mem;

use sea_orm::{
    ConnAcquireErr, ConnectionTrait, DatabaseConnection, DbBackend, DbErr, ExecResult, QueryResult,
    RuntimeErr, SqlxPostgresConnector, SqlxSqliteConnector, Statement, Values,
    prelude::async_trait,
    sqlx::{
        self, AssertSqlSafe, ConnectOptions as _, Connection as _, Executor, PgPool, Postgres,
        Sqlite, SqlitePool, pool::PoolConnection,
    },
};
use sea_query_sqlx::SqlxValues;
use tokio::sync::{Mutex, MutexGuard};

use super::engine;

/// A pool of connections. As a [`ConnectionTrait`] it runs each statement on any of them, outside a transaction.
#[derive(Debug, Clone)]
pub(super) enum Pool {
    Postgres(PgPool),
    Sqlite(SqlitePool),
}

/// A connection that was taken from its pool.
#[derive(Debug)]
pub(super) struct Held {
    state: Mutex<State>,
    backend: DbBackend,
}

#[derive(Debug)]
struct State {
    raw: Raw,
    standing: Standing,
}

#[derive(Debug)]
enum Raw {
    Postgres(PoolConnection<Postgres>),
    Sqlite(PoolConnection<Sqlite>),
}

/// A connection that stays open, and the pool of one that it is of.
#[derive(Debug)]
pub(super) struct Anchor {
    pub(super) held: Held,
    pool: Pool,
}

/// What is known of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Standing {
    /// Outside a transaction. Only with this it goes back to the pool.
    Clean,
    /// In a transaction that can be committed.
    Open,
    /// In a transaction of which a statement failed. PostgreSQL answers a COMMIT of it without an error, and
    /// rolls it back.
    Failed,
    /// Nobody knows: something is under way, was given up in the middle, or failed in a way that says nothing
    /// about what became of the transaction.
    Doubtful,
}

impl Pool {
    /// The same pool for SeaORM, as migrations need it. Not for units of work.
    pub(super) fn unguarded(&self) -> DatabaseConnection {
        match self {
            Self::Postgres(pool) => SqlxPostgresConnector::from_sqlx_postgres_pool(pool.clone()),
            Self::Sqlite(pool) => SqlxSqliteConnector::from_sqlx_sqlite_pool(pool.clone()),
        }
    }

    /// Takes a connection, or opens one. Waits as long as the pool is set to.
    pub(super) async fn acquire(&self) -> Result<Held, DbErr> {
        let raw = match self {
            Self::Postgres(pool) => Raw::Postgres(pool.acquire().await.map_err(acquire_error)?),
            Self::Sqlite(pool) => Raw::Sqlite(pool.acquire().await.map_err(acquire_error)?),
        };
        let state = Mutex::new(State { raw, standing: Standing::Clean });
        Ok(Held { state, backend: self.get_database_backend() })
    }

    /// Looks through the whole of a SQLite database by a connection that was just opened, and so has nothing of it
    /// in its memory. An error when it is not whole.
    pub(super) async fn check_whole(&self) -> Result<(), DbErr> {
        let Self::Sqlite(pool) = self else { return Ok(()) };
        let mut fresh = pool.connect_options().connect().await.map_err(query_error)?;
        let found = sqlx::query_scalar("PRAGMA quick_check(1)").fetch_one(&mut fresh).await;
        let found: String = found.map_err(query_error)?;
        fresh.close().await.map_err(query_error)?;
        if found == "ok" { Ok(()) } else { Err(DbErr::Custom(found)) }
    }

    /// Closes the connections, after the work under way on them.
    pub(super) async fn close(&self) {
        match self {
            Self::Postgres(pool) => pool.close().await,
            Self::Sqlite(pool) => pool.close().await,
        }
    }
}

impl Anchor {
    pub(super) async fn take(pool: Pool) -> Result<Self, DbErr> {
        Ok(Self { held: pool.acquire().await?, pool })
    }

    /// Returns when it is closed.
    pub(super) async fn close(self) {
        drop(self.held);
        self.pool.close().await;
    }
}

impl Held {
    /// Opens a transaction. An error that is not contention leaves the connection in doubt: it may be in a
    /// transaction already.
    pub(super) async fn begin(&self) -> Result<(), DbErr> {
        let mut using = self.using().await?;
        let sql = engine::begin(self.backend);
        match using.run(sql).await {
            Ok(()) => using.is_now(Standing::Open),
            Err(error) if engine::is_contention(&error) => {
                using.is_now(Standing::Clean);
                return Err(query_error(error));
            }
            Err(error) => return Err(query_error(error)),
        }
        Ok(())
    }

    /// Whether the transaction can be committed: every statement in it is known to have done its work, or, with
    /// SQLite, to have done nothing.
    pub(super) async fn is_open(&self) -> bool {
        self.state.lock().await.standing == Standing::Open
    }

    /// Commits. Whether it happened is not known after an error.
    pub(super) async fn commit(&self) -> Result<(), DbErr> {
        self.end("COMMIT").await
    }

    /// Rolls back, unless the connection is in doubt, which closing it rolls back.
    pub(super) async fn rollback(&self) -> Result<(), DbErr> {
        self.end("ROLLBACK").await
    }

    async fn end(&self, sql: &'static str) -> Result<(), DbErr> {
        let mut using = self.using().await?;
        using.run(sql).await.map_err(query_error)?;
        using.is_now(Standing::Clean);
        Ok(())
    }

    /// The connection for one statement. In doubt until it is said how that went.
    async fn using(&self) -> Result<Using<'_>, DbErr> {
        let mut state = self.state.lock().await;
        match mem::replace(&mut state.standing, Standing::Doubtful) {
            Standing::Doubtful => Err(query_error(sqlx::Error::Protocol(
                "the connection is in doubt after an earlier error".to_owned(),
            ))),
            before => Ok(Using { state, before }),
        }
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        let state = self.state.get_mut();
        if state.standing != Standing::Clean {
            tracing::debug!(standing = ?state.standing, "a connection is closed and not used again");
            match &mut state.raw {
                Raw::Postgres(raw) => raw.close_on_drop(),
                Raw::Sqlite(raw) => raw.close_on_drop(),
            }
        }
    }
}

/// A connection while a statement runs on it.
struct Using<'a> {
    state: MutexGuard<'a, State>,
    before: Standing,
}

impl Using<'_> {
    /// Runs a statement without values.
    async fn run(&mut self, sql: &'static str) -> Result<(), sqlx::Error> {
        match &mut self.state.raw {
            Raw::Postgres(raw) => (&mut **raw).execute(sql).await.map(drop),
            Raw::Sqlite(raw) => (&mut **raw).execute(sql).await.map(drop),
        }
    }

    fn is_now(&mut self, standing: Standing) {
        self.state.standing = standing;
    }

    /// What is known after a statement.
    fn ran<T>(mut self, result: &Result<T, sqlx::Error>) {
        let in_transaction = self.before != Standing::Clean;
        let now = match result {
            Ok(_) => self.before,
            Err(error) if engine::leaves_doubt(error, in_transaction) => Standing::Doubtful,
            Err(_) => match (&self.state.raw, self.before) {
                (Raw::Postgres(_), Standing::Open) => Standing::Failed,
                (_, before) => before,
            },
        };
        self.is_now(now);
    }
}

#[async_trait::async_trait]
impl ConnectionTrait for Held {
    fn get_database_backend(&self) -> DbBackend {
        self.backend
    }

    async fn execute_raw(&self, statement: Statement) -> Result<ExecResult, DbErr> {
        let mut using = self.using().await?;
        let (sql, values) = parts(statement);
        let result = match &mut using.state.raw {
            Raw::Postgres(raw) => {
                sqlx::query_with(sql, values).execute(&mut **raw).await.map(ExecResult::from)
            }
            Raw::Sqlite(raw) => {
                sqlx::query_with(sql, values).execute(&mut **raw).await.map(ExecResult::from)
            }
        };
        using.ran(&result);
        result.map_err(exec_error)
    }

    async fn execute_unprepared(&self, sql: &str) -> Result<ExecResult, DbErr> {
        let mut using = self.using().await?;
        let sql = AssertSqlSafe(sql.to_owned());
        let result = match &mut using.state.raw {
            Raw::Postgres(raw) => (&mut **raw).execute(sql).await.map(ExecResult::from),
            Raw::Sqlite(raw) => (&mut **raw).execute(sql).await.map(ExecResult::from),
        };
        using.ran(&result);
        result.map_err(exec_error)
    }

    async fn query_one_raw(&self, statement: Statement) -> Result<Option<QueryResult>, DbErr> {
        let mut using = self.using().await?;
        let (sql, values) = parts(statement);
        let result = match &mut using.state.raw {
            Raw::Postgres(raw) => sqlx::query_with(sql, values)
                .fetch_optional(&mut **raw)
                .await
                .map(|row| row.map(QueryResult::from)),
            Raw::Sqlite(raw) => sqlx::query_with(sql, values)
                .fetch_optional(&mut **raw)
                .await
                .map(|row| row.map(QueryResult::from)),
        };
        using.ran(&result);
        result.map_err(query_error)
    }

    async fn query_all_raw(&self, statement: Statement) -> Result<Vec<QueryResult>, DbErr> {
        let mut using = self.using().await?;
        let (sql, values) = parts(statement);
        let result = match &mut using.state.raw {
            Raw::Postgres(raw) => sqlx::query_with(sql, values)
                .fetch_all(&mut **raw)
                .await
                .map(|rows| rows.into_iter().map(QueryResult::from).collect()),
            Raw::Sqlite(raw) => sqlx::query_with(sql, values)
                .fetch_all(&mut **raw)
                .await
                .map(|rows| rows.into_iter().map(QueryResult::from).collect()),
        };
        using.ran(&result);
        result.map_err(query_error)
    }
}

#[async_trait::async_trait]
impl ConnectionTrait for Pool {
    fn get_database_backend(&self) -> DbBackend {
        match self {
            Self::Postgres(_) => DbBackend::Postgres,
            Self::Sqlite(_) => DbBackend::Sqlite,
        }
    }

    async fn execute_raw(&self, statement: Statement) -> Result<ExecResult, DbErr> {
        self.acquire().await?.execute_raw(statement).await
    }

    async fn execute_unprepared(&self, sql: &str) -> Result<ExecResult, DbErr> {
        self.acquire().await?.execute_unprepared(sql).await
    }

    async fn query_one_raw(&self, statement: Statement) -> Result<Option<QueryResult>, DbErr> {
        self.acquire().await?.query_one_raw(statement).await
    }

    async fn query_all_raw(&self, statement: Statement) -> Result<Vec<QueryResult>, DbErr> {
        self.acquire().await?.query_all_raw(statement).await
    }
}

fn parts(statement: Statement) -> (AssertSqlSafe<String>, SqlxValues) {
    let values = statement.values.unwrap_or(Values(Vec::new()));
    (AssertSqlSafe(statement.sql), SqlxValues(values))
}

fn acquire_error(error: sqlx::Error) -> DbErr {
    match error {
        sqlx::Error::PoolTimedOut => DbErr::ConnectionAcquire(ConnAcquireErr::Timeout),
        sqlx::Error::PoolClosed => DbErr::ConnectionAcquire(ConnAcquireErr::ConnectionClosed),
        error => DbErr::Conn(RuntimeErr::SqlxError(error.into())),
    }
}

fn query_error(error: sqlx::Error) -> DbErr {
    DbErr::Query(RuntimeErr::SqlxError(error.into()))
}

fn exec_error(error: sqlx::Error) -> DbErr {
    DbErr::Exec(RuntimeErr::SqlxError(error.into()))
}
