//! SQLite: one writer, many readers, durable at every commit.

use std::time::Duration;

use sea_orm::{
    ConnectOptions, Database, DbErr, SqliteTransactionMode, TransactionOptions,
    sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqliteSynchronous},
};

use super::{Class, Engine, Pools, Settings};

/// How long a writer waits for another process's write.
const BUSY: Duration = Duration::from_secs(5);

pub(super) async fn connect(settings: &Settings, url: &str) -> Result<Pools, DbErr> {
    let in_memory = super::is_in_memory(url);
    if !in_memory && !url.contains("mode=") {
        make_private(url);
    }
    // A database in memory belongs to one connection, which then serves reads too. It must not rest.
    let writer = Database::connect(options(settings, url, 1)).await?;
    if in_memory {
        return Ok(Pools {
            engine: Engine::Sqlite,
            reader: writer.clone(),
            control: writer.clone(),
            writer,
            writers: 1,
            readers: None,
        });
    }
    Ok(Pools {
        engine: Engine::Sqlite,
        writer,
        writers: 1,
        reader: Database::connect(options(settings, url, settings.max_connections)).await?,
        readers: Some(usize::try_from(settings.max_connections).unwrap_or(1)),
        control: Database::connect(options(settings, url, 1)).await?,
    })
}

/// Makes a missing file readable by its owner only, before SQLite makes it readable by everybody: it
/// holds password hashes. What goes wrong here is told when the file is opened.
fn make_private(url: &str) {
    use std::os::unix::fs::OpenOptionsExt;
    let Ok(options) = url.parse::<SqliteConnectOptions>() else { return };
    let path = options.get_filename();
    let made = std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(path);
    if let Err(error) = made {
        tracing::debug!(%error, path = %path.display(), "the database file is not new");
    }
}

fn options(settings: &Settings, url: &str, connections: u32) -> ConnectOptions {
    let mut options = ConnectOptions::new(url);
    options
        .max_connections(connections)
        // No least number, as for PostgreSQL.
        .acquire_timeout(settings.acquire_timeout)
        .idle_timeout(None)
        .max_lifetime(None)
        .test_before_acquire(false)
        .sqlx_logging(false)
        .record_stmt_in_spans(false)
        .map_sqlx_sqlite_opts(|sqlite| {
            sqlite
                .create_if_missing(true)
                .journal_mode(SqliteJournalMode::Wal)
                // NORMAL may lose the last acknowledged commits when the power fails.
                .synchronous(SqliteSynchronous::Full)
                .busy_timeout(BUSY)
                .foreign_keys(true)
                .statement_cache_capacity(256)
        });
    options
}

/// Taking the write lock at once: a read that later wants to write is refused as busy, whatever the
/// timeout.
pub(super) fn write_mode() -> TransactionOptions {
    TransactionOptions {
        sqlite_transaction_mode: Some(SqliteTransactionMode::Immediate),
        ..TransactionOptions::default()
    }
}

/// What an extended result code means.
pub(super) fn class(code: &str) -> Option<Class> {
    let code: i32 = code.parse().ok()?;
    // The primary code is the low byte: SQLITE_BUSY 5, LOCKED 6, READONLY 8, INTERRUPT 9, IOERR 10,
    // CORRUPT 11, FULL 13, CANTOPEN 14.
    Some(match code & 0xff {
        5 | 6 => Class::Contention,
        9 => Class::TimedOut,
        8 | 10 | 11 | 13 | 14 => Class::Unavailable,
        _ => Class::Other,
    })
}
