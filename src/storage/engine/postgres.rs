//! PostgreSQL: the pool, and what its error codes mean.

use std::time::Duration;

use sea_orm::{ConnectOptions, Database, DbErr, sqlx::Connection as _};

use super::{Class, Engine, Pools, Settings};
use crate::storage::{connection::Pool, sessions::Sessions};

/// How old a connection may become. It is closed when it would be used next: sessions collect memory.
const LIFE: Duration = Duration::from_mins(30);

pub(super) async fn connect(settings: &Settings, url: &str) -> Result<Pools, DbErr> {
    let sessions = Sessions::default();
    let open = |connections| open(settings, url, connections, &sessions);
    let pool = open(settings.max_connections).await?;
    Ok(Pools {
        engine: Engine::Postgres,
        writer: pool.clone(),
        writers: usize::try_from(settings.max_connections).unwrap_or(1),
        reader: pool,
        readers: None,
        control: open(1).await?,
        // Of its own, because a commit that hangs keeps its connection.
        probe: open(1).await?,
        files: None,
        anchor: None,
        sessions: sessions.clone(),
    })
}

async fn open(
    settings: &Settings,
    url: &str,
    connections: u32,
    sessions: &Sessions,
) -> Result<Pool, DbErr> {
    let mut options = options(settings, url, connections);
    let sessions = sessions.clone();
    options.map_sqlx_postgres_pool_opts(move |pool| {
        let sessions = sessions.clone();
        pool.after_connect(move |connection, _| {
            let sessions = sessions.clone();
            Box::pin(async move { sessions.add(connection).await })
        })
    });
    let db = Database::connect(options).await?;
    Ok(Pool::Postgres(db.get_postgres_connection_pool().clone()))
}

fn options(settings: &Settings, url: &str, connections: u32) -> ConnectOptions {
    let mut options = ConnectOptions::new(url);
    options
        .max_connections(connections)
        // And no least number: while the pool is closed sqlx 0.9 tries to open those without end or pause.
        // The server starts, and says that it is not ready, also while the database is away.
        .connect_lazy(true)
        .acquire_timeout(settings.acquire_timeout)
        // sqlx 0.9 looks for old connections in a task that may never end: it counts to the number of idle ones,
        // which is below zero for a moment while one is given back, and so becomes the largest number there is.
        .idle_timeout(None)
        .max_lifetime(None)
        .set_application_name("daybook")
        .statement_timeout(settings.statement_timeout)
        // A ping before each use would be one more round trip a call; after a rest it is cheap, and it
        // is what notices a restarted server.
        .test_before_acquire(false)
        .test_before_acquire_if_idle_for(Duration::from_secs(1))
        .sqlx_logging(false)
        .record_stmt_in_spans(false)
        // Nearly all of a statement's cost here would be planning it again for each call's values, none of
        // which is a reason for another plan: everything is found by its key. A plan that was made while a
        // table was empty stays while it fills, so that reading all of it must not look cheap then; nor
        // must a plan look so dear, where there is no other, that it is worth compiling.
        .map_sqlx_postgres_opts(|connect| {
            connect.options([
                ("plan_cache_mode", "force_generic_plan"),
                ("enable_seqscan", "off"),
                ("jit", "off"),
            ])
        })
        .map_sqlx_postgres_before_acquire(|connection, known| {
            // Migrations open their transactions by SeaORM, which counts them.
            Box::pin(async move { Ok(known.age < LIFE && !connection.is_in_transaction()) })
        });
    options
}

/// Whether an error with this SQLSTATE says that the session is gone or not what it should be. Any other one is
/// followed by a state that is known: the statement, or its transaction, did nothing.
pub(super) fn leaves_doubt(code: &str) -> bool {
    matches!(class(code), Some(Class::Connection))
        // insufficient resources, operator intervention but for query_canceled, system errors, internal errors
        || (["53", "57", "58", "XX"].iter().any(|class| code.starts_with(class)) && code != "57014")
}

/// What a SQLSTATE means; nothing for SQLite's codes, which are shorter.
pub(super) fn class(code: &str) -> Option<Class> {
    if code.len() != 5 {
        return None;
    }
    Some(match code {
        // serialization_failure, deadlock_detected, lock_not_available
        "40001" | "40P01" | "55P03" => Class::Contention,
        // query_canceled: the statement timeout that the deadline was handed to
        "57014" => Class::TimedOut,
        // active_sql_transaction: a BEGIN on a session that was left in a transaction, which is closed;
        // admin_shutdown, crash_shutdown, idle timeouts: this session is gone
        "25001" | "57P01" | "57P02" | "57P05" | "25P03" | "25P04" => Class::Connection,
        // cannot_connect_now, too_many_connections, read-only after a failover, disk full
        "57P03" | "53300" | "25006" | "53100" | "53200" => Class::Unavailable,
        _ if code.starts_with("08") => Class::Connection,
        _ => Class::Other,
    })
}
