//! Which sessions of PostgreSQL belong to some connections, so that those of connections that were given up are
//! ended before anything is done on others. Otherwise what was sent on them could still arrive, be it minutes later,
//! and commit what its caller was told is not so.

use std::{
    collections::VecDeque,
    mem,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use chrono::{DateTime, Utc};
use sea_orm::{
    DbErr, RuntimeErr,
    sqlx::{self, PgConnection},
};
use tokio::time::Instant as Moment;

use super::connection::Pool;

/// How many are known at most.
const MOST: usize = 4_096;
/// How long one is known. Connections are used for half an hour.
const LIFE: Duration = Duration::from_hours(1);
/// How long they may take to end, and how often it is looked whether they have.
const PATIENCE: Duration = Duration::from_secs(1);
const EVERY: Duration = Duration::from_millis(10);

const OWN: &str = "SELECT pid, backend_start FROM pg_stat_get_activity(pg_backend_pid())";

/// A statement about the sessions that were given up and have not ended yet. A process id may belong to another session by
/// now; the two together do not.
macro_rules! of_former {
    ($select:literal) => {
        concat!(
            "SELECT ",
            $select,
            "
    FROM unnest($1::int4[], $2::timestamptz[]) AS former (pid, backend_start)
    JOIN pg_stat_activity USING (pid, backend_start)"
        )
    };
}

const END: &str = of_former!("count(pg_terminate_backend(pid))");
const COUNT: &str = of_former!("count(*)");
/// What PostgreSQL answers where the role may not end them: `insufficient_privilege`.
const NOT_ALLOWED: &str = "42501";

/// A session: its process, and when that began.
type Session = (i32, DateTime<Utc>);

/// Sessions of PostgreSQL; none of SQLite.
#[derive(Debug, Clone, Default)]
pub(super) struct Sessions(Arc<Mutex<Known>>);

#[derive(Debug, Default)]
struct Known {
    /// Each with the moment at which it was opened, the oldest first.
    all: VecDeque<(Moment, Session)>,
    /// They were given up: whatever is opened now is not used.
    are_given_up: bool,
}

impl Sessions {
    /// Adds the session of a connection that was just opened.
    pub(super) async fn add(&self, connection: &mut PgConnection) -> Result<(), sqlx::Error> {
        let session: Session = sqlx::query_as(OWN).fetch_one(connection).await?;
        let (now, mut known) = (Moment::now(), self.known());
        if known.are_given_up {
            return Err(sqlx::Error::PoolClosed);
        }
        known.all.push_back((now, session));
        while known.all.len() > MOST
            || known.all.front().is_some_and(|(since, _)| now.duration_since(*since) > LIFE)
        {
            known.all.pop_front();
        }
        Ok(())
    }

    /// Adds all of others, to which none is added from now on.
    pub(super) fn take_over(&self, others: &Self) {
        let others = {
            let mut others = others.known();
            others.are_given_up = true;
            mem::take(&mut others.all)
        };
        self.known().all.extend(others);
    }

    /// Ends those that there still are, by a connection that is none of them, and forgets them. An error when one
    /// does not end in time.
    pub(super) async fn end(&self, pool: &Pool) -> Result<(), DbErr> {
        let Pool::Postgres(pool) = pool else { return Ok(()) };
        let known: Vec<Session> = self.known().all.iter().map(|(_, session)| *session).collect();
        if known.is_empty() {
            return Ok(());
        }
        let (pids, began): (Vec<_>, Vec<_>) = known.into_iter().unzip();
        let ask = async |sql: &'static str| -> Result<i64, sqlx::Error> {
            sqlx::query_scalar(sql).bind(&pids).bind(&began).fetch_one(pool).await
        };
        let failed = |e: sqlx::Error| DbErr::Query(RuntimeErr::SqlxError(e.into()));
        match ask(END).await {
            Ok(_) => {}
            Err(sqlx::Error::Database(error)) if error.code().as_deref() == Some(NOT_ALLOWED) => {
                // They end by themselves, at the latest when TCP notices that nobody is there.
                tracing::warn!(
                    %error,
                    "the role may not end sessions that were given up: what was sent on them may still be done"
                );
                self.known().all.clear();
                return Ok(());
            }
            Err(error) => return Err(failed(error)),
        }
        let began_at = Moment::now();
        loop {
            let left = ask(COUNT).await.map_err(failed)?;
            if left == 0 {
                break;
            }
            if began_at.elapsed() > PATIENCE {
                let text = format!("{left} sessions of connections that were given up do not end");
                return Err(DbErr::Custom(text));
            }
            tokio::time::sleep(EVERY).await;
        }
        self.known().all.clear();
        Ok(())
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
