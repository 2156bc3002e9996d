//! SQLite: one writer, many readers, durable at every commit.

use std::{
    sync::{Arc, OnceLock},
    time::Duration,
};

use sea_orm::{
    ConnectOptions, ConnectionTrait, Database, DbBackend, DbErr, RuntimeErr, Statement,
    sqlx::{
        self, Connection as _,
        sqlite::{SqliteConnectOptions, SqliteJournalMode, SqliteSynchronous},
    },
};

use super::{Class, Engine, Pools, Settings};
use crate::{
    kernel::ambient::cores,
    storage::{
        connection::{Anchor, Pool},
        files::Files,
        sessions::Sessions,
    },
};

/// How long a writer waits for another process's write.
const BUSY: Duration = Duration::from_secs(5);

pub(super) async fn connect(settings: &Settings, url: &str) -> Result<Pools, DbErr> {
    let in_memory = super::is_in_memory(url);
    if !in_memory && !url.contains("mode=") {
        make_private(url);
    }
    // A database in memory belongs to one connection, which then serves reads too. It must not rest.
    let known = Known::default();
    let writer = open(settings, url, 1, &known).await?;
    if in_memory {
        return Ok(Pools {
            engine: Engine::Sqlite,
            reader: writer.clone(),
            control: writer.clone(),
            probe: writer.clone(),
            writer,
            writers: 1,
            readers: None,
            files: None,
            anchor: None,
            sessions: Sessions::default(),
        });
    }
    let path = url.parse::<SqliteConnectOptions>().map_err(unopened)?.get_filename().to_owned();
    // Reading is what makes the log.
    writer.execute_unprepared("SELECT count(*) FROM sqlite_schema").await?;
    let files = Arc::new(Files::opened(&path).map_err(|error| unopened(sqlx::Error::Io(error)))?);
    let files = Arc::clone(known.get_or_init(|| files));
    // As long as it is open SQLite does not remove the log, whatever other connections are closed.
    let anchor = Anchor::take(open(settings, url, 1, &known).await?).await?;
    Ok(Pools {
        anchor: Some(anchor),
        sessions: Sessions::default(),
        engine: Engine::Sqlite,
        reader: open(settings, url, readers(settings), &known).await?,
        readers: Some(usize::try_from(readers(settings)).unwrap_or(1)),
        control: open(settings, url, 1, &known).await?,
        // There is one writer at a time, also among processes; so the probe waits for its turn at that.
        probe: writer.clone(),
        writer,
        writers: 1,
        files: Some(files),
    })
}

/// Whether there is no such file, so that connecting would make it.
pub(super) fn is_missing(url: &str) -> bool {
    let options = url.parse::<SqliteConnectOptions>();
    options.is_ok_and(|options| !options.get_filename().exists())
}

/// How long the one who writes waits for readers before the log begins anew: others wait behind it.
const LOG_PATIENCE: Duration = Duration::from_millis(100);

/// Writes the log into the database file and cuts it to nothing, if no reader needs it any more. Whether it did.
pub(in crate::storage) async fn begin_log_anew(held: &impl ConnectionTrait) -> Result<bool, DbErr> {
    let checkpoint = async |mode: &str| {
        let sql = format!("PRAGMA wal_checkpoint({mode})");
        let row = held.query_one_raw(Statement::from_string(DbBackend::Sqlite, sql)).await?;
        let Some(row) = row else { return Ok((0, 0, 0)) };
        // Whether somebody was in the way, how long the log is, and how much of it is in the file.
        let number = |place| row.try_get_by_index::<i32>(place);
        Ok::<_, DbErr>((number(0)?, number(1)?, number(2)?))
    };
    // This one waits for nobody, and does nearly all of the work.
    let (busy, length, done) = checkpoint("PASSIVE").await?;
    if busy != 0 || length != done {
        return Ok(false);
    }
    let patience = async |time: Duration| {
        let sql = format!("PRAGMA busy_timeout = {}", time.as_millis());
        held.execute_unprepared(&sql).await
    };
    patience(LOG_PATIENCE).await?;
    let cut = checkpoint("TRUNCATE").await;
    patience(BUSY).await?;
    Ok(cut?.0 == 0)
}

/// How many connections read at the same time. Each has a thread of its own that works all the while: more than
/// there are cores take their time from the thread that writes.
fn readers(settings: &Settings) -> u32 {
    settings.max_connections.min(u32::try_from(cores()).unwrap_or(u32::MAX).max(2))
}

/// The files that connections may be made to, once they are known.
type Known = Arc<OnceLock<Arc<Files>>>;

async fn open(
    settings: &Settings,
    url: &str,
    connections: u32,
    known: &Known,
) -> Result<Pool, DbErr> {
    let db = Database::connect(options(settings, url, connections, known)).await?;
    let pool = db.get_sqlite_connection_pool().clone();
    // A file that is gone later was taken away, and an empty one must not take its place.
    pool.set_connect_options((*pool.connect_options()).clone().create_if_missing(false));
    Ok(Pool::Sqlite(pool))
}

fn unopened(error: sqlx::Error) -> DbErr {
    DbErr::Conn(RuntimeErr::SqlxError(error.into()))
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

fn options(settings: &Settings, url: &str, connections: u32, known: &Known) -> ConnectOptions {
    let known = Arc::clone(known);
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
                // What is erased is written over, and not only let go of.
                .pragma("secure_delete", "ON")
                .foreign_keys(true)
                .statement_cache_capacity(256)
        })
        .map_sqlx_sqlite_pool_opts(move |pool| {
            let known = Arc::clone(&known);
            pool.before_acquire(|connection, _| {
                // Migrations open their transactions by SeaORM, which counts them.
                Box::pin(async move { Ok(!connection.is_in_transaction()) })
            })
            .after_connect(move |_, _| {
                let trouble = known.get().and_then(|files| files.check().err());
                Box::pin(async move {
                    match trouble {
                        Some(trouble) => Err(sqlx::Error::Protocol(trouble.text().to_owned())),
                        None => Ok(()),
                    }
                })
            })
        });
    options
}

/// Whether an error with this result code may have rolled back the transaction it came in, or says that the
/// connection is not what it should be. All but: ERROR 1, BUSY 5 and LOCKED 6 outside a transaction, SCHEMA 17,
/// TOOBIG 18, CONSTRAINT 19, MISMATCH 20, RANGE 25.
pub(super) fn leaves_doubt(code: i32, in_transaction: bool) -> bool {
    match code & 0xff {
        1 | 17..=20 | 25 => false,
        5 | 6 => in_transaction,
        _ => true,
    }
}

/// Whether somebody else has the lock.
pub(super) fn is_busy(code: i32) -> bool {
    [5, 6].contains(&(code & 0xff))
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
