//! The connections to a database, and the turns at them. When the database falls silent all of them are
//! given up together.

use std::{
    future::Future,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use sea_orm::ConnectionTrait;
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::Instant as Moment,
};
use tokio_util::sync::CancellationToken;
use tracing::Instrument as _;

use super::{
    Authority, Deadline, Engine, Query, Reader, Settings, TOO_LATE, Tx, UnitOfWork,
    commit_probe::{self, CommitProbe},
    connection::{Anchor, Pool},
    engine,
    files::Files,
    late, schema,
    sessions::Sessions,
    silence::{Silence, TooLong},
    single_flight::SingleFlight,
};
use crate::kernel::{
    ambient::Ambient,
    fault::{Fault, Reason, Retryable},
    stamp::Stamp,
};

/// How often the same unit of work is run before its caller is told that the server is busy.
const ATTEMPTS: u32 = 8;
/// The part of the connections that is kept for units which many wait with: one in so many.
const ASIDE: usize = 4;

/// Which queue a call waits in for a connection.
#[derive(Debug, Clone, Copy)]
pub(super) enum Turns {
    /// A write.
    Write,
    /// A write of a kind of which many wait for the same rows.
    Aside,
    /// A read.
    Read,
}

/// What the database answered to a look: how many changes the schema lacks, or an error of its own.
pub(super) type Answer = Result<usize, Fault>;

/// The call was given up with its connections. Whether its work was committed is unknown.
#[derive(Debug)]
pub(super) struct Lost;

/// The connection pools of one database and the semaphores in front of them. Replaced as a whole when the
/// database stops answering.
#[derive(Debug)]
pub(super) struct ConnectionSet {
    pub(super) engine: Engine,
    /// Where units of work run. SQLite has one writer at a time, so this pool has one connection.
    pub(super) writer: Pool,
    /// Where reads run.
    pub(super) reader: Pool,
    /// Where the server looks after itself, however busy the others are.
    pub(super) control: Pool,
    /// Where it writes to see that commits are acknowledged.
    probe: Pool,
    /// The files of a SQLite database, unless it is in memory.
    pub(super) files: Option<Arc<Files>>,
    /// A connection to these files that is used for nothing else, so that it is never closed before the others.
    pub(super) anchor: tokio::sync::Mutex<Option<Anchor>>,
    pub(super) commits: CommitProbe,
    look: SingleFlight<Answer>,
    pub(super) mending: SingleFlight<()>,
    /// What was in the log of a SQLite database was saved, and the connections closed.
    pub(super) is_saved: AtomicBool,
    /// The connections are closed, so that the log can be saved.
    pub(super) is_closed: AtomicBool,
    statement_timeout: Duration,
    /// How much may be under way or waiting.
    room: Arc<Semaphore>,
    /// One for each connection. Callers wait here and not for the pool, so that a pool that keeps
    /// somebody waiting means that the database is away, and so that who leaves stops waiting.
    write_turns: Arc<Semaphore>,
    aside_turns: Arc<Semaphore>,
    read_turns: Arc<Semaphore>,
    silence: Silence,
    /// The sessions of these connections.
    sessions: Sessions,
    /// Those of connections that were given up before, until they are ended.
    former: Sessions,
    lost: CancellationToken,
}

impl ConnectionSet {
    /// Opens none yet. Before anything is done on them the sessions of `former` ones are ended.
    pub(super) async fn connect(settings: &Settings, former: Sessions) -> Result<Self, Fault> {
        let pools = engine::connect(settings).await?;
        let aside = pools.writers / ASIDE;
        let write_turns = Arc::new(Semaphore::new(pools.writers - aside));
        let aside_turns =
            if aside == 0 { Arc::clone(&write_turns) } else { Arc::new(Semaphore::new(aside)) };
        let read_turns = match pools.readers {
            Some(readers) => Arc::new(Semaphore::new(readers)),
            None => Arc::clone(&write_turns),
        };
        Ok(Self {
            engine: pools.engine,
            writer: pools.writer,
            reader: pools.reader,
            control: pools.control,
            probe: pools.probe,
            files: pools.files,
            anchor: tokio::sync::Mutex::new(pools.anchor),
            commits: CommitProbe::default(),
            look: SingleFlight::default(),
            mending: SingleFlight::default(),
            is_saved: AtomicBool::new(false),
            is_closed: AtomicBool::new(false),
            statement_timeout: settings.statement_timeout,
            room: Arc::new(Semaphore::new(settings.max_in_flight)),
            write_turns,
            aside_turns,
            read_turns,
            silence: Silence::default(),
            sessions: pools.sessions,
            former,
            lost: CancellationToken::new(),
        })
    }

    /// Notes whether the database answered, and tells when it is time to give these connections up. A file does
    /// not fall silent, and one in memory has no other connection.
    pub(super) fn silence_after(&self, is_answered: bool, now: Moment) -> Option<TooLong> {
        let silence = self.silence.after(is_answered, now);
        silence.filter(|_| self.engine == Engine::Postgres)
    }

    /// The sessions of these connections, which are given up, and of those before that are not ended yet.
    pub(super) fn all_sessions(&self) -> Sessions {
        self.former.take_over(&self.sessions);
        self.former.clone()
    }

    /// Nobody waits for these connections any more. What is under way on them is not stopped: each goes when
    /// its work is done, or when TCP says that nobody is there.
    pub(super) fn give_up(&self) {
        self.lost.cancel();
    }

    /// Closes the connections, after the work under way on them.
    pub(super) async fn close(&self) {
        for pool in [&self.writer, &self.reader, &self.probe, &self.control] {
            pool.close().await;
        }
        if let Some(anchor) = self.anchor.lock().await.take() {
            anchor.close().await;
        }
    }

    /// How many changes the schema lacks, after the sessions of former connections were ended. None when the
    /// database did not say so in time, and an error when it said nothing at all.
    pub(super) async fn pending(&self, patience: Duration) -> Option<Result<Answer, Fault>> {
        let (control, former) = (self.control.clone(), self.former.clone());
        let look = async move {
            former.end(&control).await?;
            schema::pending(&control).await
        };
        let answer = async move {
            match look.await {
                Err(error) if engine::is_silence(&error) => Err(engine::fault(&error)),
                answered => Ok(answered.map_err(|e| engine::fault(&e))),
            }
        };
        self.look.within(patience, answer).await
    }

    /// Whether commits are acknowledged. Begins the write that shows it when it is time for that.
    pub(super) async fn commits(self: &Arc<Self>) -> Result<(), Fault> {
        if self.commits.begin_if_due() {
            let on = Arc::clone(self);
            tokio::spawn(async move {
                let written = on.write_probe().await;
                on.commits.ended(written);
            });
        }
        self.commits.are_acknowledged().await
    }

    async fn write_probe(&self) -> Result<(), Fault> {
        let _turn = match self.engine {
            Engine::Sqlite => {
                self.commits.waits_for_its_turn();
                let turn = self.turn(Turns::Write).await;
                self.commits.has_its_turn();
                Some(turn?)
            }
            Engine::Postgres => None,
        };
        let mut attempt = 1;
        loop {
            self.check_files()?;
            match self
                .probe
                .execute_unprepared(commit_probe::WRITE)
                .await
                .map_err(|e| engine::fault(&e))
            {
                Ok(_) => return self.check_files(),
                Err(fault) if fault.may_run_again() != Retryable::No && attempt < ATTEMPTS => {
                    attempt += 1;
                }
                Err(fault) => return Err(fault),
            }
        }
    }

    /// Nothing is begun, and nothing acknowledged, on files that others no longer find.
    fn check_files(&self) -> Result<(), Fault> {
        match self.files.as_ref().map(|files| files.check()) {
            Some(Err(trouble)) => Err(trouble.fault()),
            _ => Ok(()),
        }
    }

    /// A change was committed. An error when nobody else finds it.
    pub(super) fn acknowledge(&self) -> Result<(), Fault> {
        if let Some(Err(trouble)) = self.files.as_ref().map(|files| files.check()) {
            return Err(engine::unknown().log(trouble.text()));
        }
        self.commits.committed();
        Ok(())
    }

    /// Waits for a turn.
    pub(super) async fn turn(&self, turns: Turns) -> Result<OwnedSemaphorePermit, Fault> {
        let turns = match turns {
            Turns::Write => &self.write_turns,
            Turns::Aside => &self.aside_turns,
            Turns::Read => &self.read_turns,
        };
        let turn = Arc::clone(turns).acquire_owned().await;
        turn.map_err(|_| Fault::internal("the store is closed"))
    }

    /// Waits for a turn, and does the work when it comes, in a task of its own. Who leaves while still
    /// waiting waits no longer; what has begun is finished.
    pub(super) async fn task<T: Send + 'static>(
        &self,
        deadline: Deadline,
        turns: Turns,
        work: impl Future<Output = Result<T, Fault>> + Send + 'static,
    ) -> Result<Result<T, Fault>, Lost> {
        let Ok(place) = Arc::clone(&self.room).try_acquire_owned() else {
            return Ok(Err(Fault::overloaded(Duration::from_millis(100))));
        };
        let turn = tokio::select! {
            biased;
            turn = tokio::time::timeout_at(deadline.0, self.turn(turns)) => match turn {
                Ok(Ok(turn)) if deadline.left() >= TOO_LATE => turn,
                Ok(Err(fault)) => return Ok(Err(fault)),
                Ok(Ok(_)) | Err(_) => return Ok(Err(late())),
            },
            () = self.lost.cancelled() => return Ok(Err(engine::away())),
        };
        if self.lost.is_cancelled() {
            return Ok(Err(engine::away()));
        }
        self.unless_lost(async move {
            let result = work.await;
            drop((turn, place));
            result
        })
        .await
    }

    /// Does the work in a task of its own, within the span of the call, and waits for it unless these connections are
    /// given up.
    pub(super) async fn unless_lost<T: Send + 'static>(
        &self,
        work: impl Future<Output = Result<T, Fault>> + Send + 'static,
    ) -> Result<Result<T, Fault>, Lost> {
        tokio::select! {
            biased;
            done = tokio::spawn(work.in_current_span()) => Ok(done
                .unwrap_or_else(|error| Err(Fault::internal(format!("a storage task: {error}"))))),
            () = self.lost.cancelled() => Err(Lost),
        }
    }

    pub(super) async fn query<Q: Query>(&self, pool: &Pool, query: Q) -> Result<Q::Output, Fault> {
        let at = Reader { inner: pool.clone(), engine: self.engine };
        let mut attempt = 1;
        loop {
            match query.run(&at).await {
                Err(fault) if fault.may_run_again() != Retryable::No && attempt < ATTEMPTS => {
                    attempt += 1;
                }
                done => return done,
            }
        }
    }

    /// What the unit returned, and whether it appended an event.
    pub(super) async fn attempts<U: UnitOfWork>(
        &self,
        deadline: Deadline,
        unit: &U,
    ) -> Result<(U::Output, bool), Fault> {
        let mut attempt = 1;
        loop {
            let result = self.attempt(deadline, unit).await;
            let Err(fault) = &result else { return result };
            // The database's limit for one statement is shorter than a long deadline: what waited for others
            // until then may go on waiting.
            let in_time = fault.reason() == Reason::DeadlineExceeded && deadline.left() >= TOO_LATE;
            if fault.may_run_again() == Retryable::No && !in_time {
                return result;
            }
            if attempt == ATTEMPTS {
                tracing::warn!(unit = U::name(), %fault, attempt, "giving up a unit of work");
                return match fault.may_run_again() {
                    Retryable::Contention => Err(Fault::overloaded(Duration::from_millis(200))
                        .log(format!("contention: {fault}"))),
                    Retryable::No | Retryable::Connection => result,
                };
            }
            tracing::debug!(unit = U::name(), %fault, attempt, "running a unit of work again");
            attempt += 1;
        }
    }

    async fn attempt<U: UnitOfWork>(
        &self,
        deadline: Deadline,
        unit: &U,
    ) -> Result<(U::Output, bool), Fault> {
        if deadline.left() < TOO_LATE {
            return Err(late());
        }
        if self.lost.is_cancelled() {
            // Not once more: its caller has been told that nobody knows, and may have looked since.
            return Err(engine::away());
        }
        self.check_files()?;
        let held = self.writer.acquire().await.map_err(|e| engine::fault(&e))?;
        held.begin().await.map_err(|e| engine::begin_fault(&e))?;
        let stamp = Stamp::new(Ambient::system().bytes());
        let (judged, has_event) = (AtomicBool::new(false), AtomicBool::new(false));
        let tx = Tx { inner: held, engine: self.engine, stamp, judged, has_event };
        // Beginning may have taken a while.
        let bound =
            if deadline.left() < TOO_LATE { Err(late()) } else { self.bound(&tx, deadline).await };
        let result = match bound {
            Ok(()) => unit.run(&tx).await,
            Err(fault) => Err(fault),
        };
        let result = result.and_then(|output| {
            if U::AUTHORITY == Authority::Caller && !tx.judged.load(Ordering::SeqCst) {
                return Err(Fault::internal("nobody judged the caller of a unit of work"));
            }
            Ok(output)
        });
        match result {
            Ok(_) if !tx.inner.is_open().await => {
                Err(Fault::internal("a unit of work went on after a statement of it had failed"))
            }
            // Not after its caller was told that nobody knows. Dropping the connection rolls back.
            Ok(_) if self.lost.is_cancelled() => Err(engine::away()),
            Ok(output) => {
                tx.inner.commit().await.map_err(|e| engine::commit_fault(&e))?;
                self.acknowledge()?;
                Ok((output, tx.has_event.load(Ordering::Relaxed)))
            }
            Err(fault) => {
                // Where this fails the connection is closed, which rolls back as well.
                if let Err(error) = tx.inner.rollback().await {
                    tracing::debug!(%error, "rolling back");
                }
                Err(fault)
            }
        }
    }

    /// Hands the deadline to PostgreSQL where it is shorter than what the connection is set to. A longer one
    /// is not handed on: no statement runs for longer than the connection's limit.
    async fn bound(&self, tx: &Tx, deadline: Deadline) -> Result<(), Fault> {
        let left = deadline.left();
        // A round trip is not worth it for a deadline that is about the usual one.
        let about = self.statement_timeout.mul_f32(0.9);
        if self.engine != Engine::Postgres || left >= about {
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
