//! Which sessions of PostgreSQL belong to some connections, so that those of connections that were given up are
//! ended before anything is done on others. Otherwise what was sent on them could still arrive, be it minutes later,
//! and commit what its caller was told is not so.

use std::{
    collections::VecDeque,
    mem,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use chrono::{DateTime, Utc};
use sea_orm::{
    DbErr, RuntimeErr,
    sqlx::{self, PgConnection},
};

use super::connection::Pool;

/// How many are known at most. Connections live for half an hour, so the oldest of so many are long gone.
const MOST: usize = 4_096;
/// How long one session may take to end, in milliseconds.
const PATIENCE: i64 = 1_000;

const OWN: &str = "SELECT pid, backend_start FROM pg_stat_get_activity(pg_backend_pid())";

// A process id may belong to another session by now; the two together do not.
const END: &str = "SELECT count(*) FILTER (WHERE NOT pg_terminate_backend(pid, $3))
    FROM unnest($1::int4[], $2::timestamptz[]) AS former (pid, backend_start)
    JOIN pg_stat_activity USING (pid, backend_start)";

/// A session: its process, and when that began.
type Session = (i32, DateTime<Utc>);

/// Sessions of PostgreSQL; none of SQLite.
#[derive(Debug, Clone, Default)]
pub(super) struct Sessions(Arc<Mutex<VecDeque<Session>>>);

impl Sessions {
    /// Adds the session of a connection that was just opened.
    pub(super) async fn add(&self, connection: &mut PgConnection) -> Result<(), sqlx::Error> {
        let session: Session = sqlx::query_as(OWN).fetch_one(connection).await?;
        let mut known = self.known();
        known.push_back(session);
        if known.len() > MOST {
            known.pop_front();
        }
        Ok(())
    }

    /// Adds all of others.
    pub(super) fn add_all(&self, others: &Self) {
        let others: Vec<_> = others.known().iter().copied().collect();
        self.known().extend(others);
    }

    /// Ends those that there still are, by a connection that is none of them, and forgets them. An error when one
    /// does not end in time.
    pub(super) async fn end(&self, pool: &Pool) -> Result<(), DbErr> {
        let (Pool::Postgres(pool), known) = (pool, self.known().clone()) else { return Ok(()) };
        if known.is_empty() {
            return Ok(());
        }
        let (pids, began): (Vec<_>, Vec<_>) = known.into_iter().unzip();
        let failed = |e: sqlx::Error| DbErr::Query(RuntimeErr::SqlxError(e.into()));
        let going = sqlx::query_scalar(END).bind(pids).bind(began).bind(PATIENCE).fetch_one(pool);
        let left: i64 = going.await.map_err(failed)?;
        if left > 0 {
            let text = format!("{left} sessions of connections that were given up do not end");
            return Err(DbErr::Custom(text));
        }
        drop(mem::take(&mut *self.known()));
        Ok(())
    }

    fn known(&self) -> MutexGuard<'_, VecDeque<Session>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
