//! Closures: the practice closed, and open again.

use serde::{Deserialize, Serialize};

use super::not_over;
use crate::{
    claims::{self, affected::AffectedAppointments},
    events::{self, EventData},
    identity::permit::ClosePractice,
    kernel::{
        fault::Fault,
        id::ClosureId,
        time::{Instant, Interval},
    },
    schedule::store,
    storage::{Authority, Tx, UnitOfWork, idempotency::IdempotencyKey},
};

/// A stretch of time in which the whole practice is closed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Closure {
    /// Unique id.
    pub id: ClosureId,
    /// From when until when it is closed; the end is excluded.
    pub interval: Interval,
    /// Why; for everybody to read.
    pub reason: String,
}

/// What came of closing the practice, as it is stored for retries.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Closed {
    id: ClosureId,
    start: Instant,
    end: Instant,
    reason: String,
    /// The appointments in it.
    pub touched: AffectedAppointments,
}

impl Closed {
    /// The closure as it was stored.
    pub fn closure(&self) -> Result<Closure, Fault> {
        let interval = Interval::new(self.start, self.end)
            .ok_or_else(|| Fault::internal("a stored closure ends before it starts"))?;
        Ok(Closure { id: self.id, interval, reason: self.reason.clone() })
    }
}

/// What events tell of a closure.
fn told(Closure { id, interval, .. }: &Closure) -> events::schedule::Closure {
    events::schedule::Closure { closure: *id, start: interval.start(), end: interval.end() }
}

/// A closure has two versions: it is made and deleted.
const MADE: i64 = 1;
const DELETED: i64 = 2;

/// Closes the practice.
#[derive(Debug, Clone)]
pub struct Close {
    /// The right to.
    pub permit: ClosePractice,
    /// When, and why.
    pub closure: Closure,
    /// The request, for retries.
    pub idempotency_key: IdempotencyKey,
    /// The time of the change.
    pub now: Instant,
}

impl UnitOfWork for Close {
    type Output = Closed;
    const AUTHORITY: Authority = Authority::Caller;

    async fn run(&self, tx: &Tx) -> Result<Self::Output, Fault> {
        let locked = store::closures::lock_all_providers(tx).await?;
        if let Some((earlier, _)) = self.idempotency_key.earlier(tx).await? {
            return Ok(earlier);
        }
        let Closure { id, interval, reason } = &self.closure;
        not_over(*interval, "closure.end_time", self.now)?;
        store::closures::insert(tx, &self.closure, self.now).await?;
        let data = EventData::ClosureCreated(told(&self.closure));
        store::closures::bump(tx, locked, self.permit.admin, self.now, &data).await?;
        let touched = claims::store::affected::find(tx, None, *interval, self.now).await?;
        let answer = Closed {
            id: *id,
            start: interval.start(),
            end: interval.end(),
            reason: reason.clone(),
            touched,
        };
        self.idempotency_key.keep(tx, id.0, MADE, &answer, self.now).await?;
        Ok(answer)
    }
}

/// Opens the practice again.
#[derive(Debug, Clone)]
pub struct Reopen {
    /// The right to.
    pub permit: ClosePractice,
    /// The closure to delete.
    pub id: ClosureId,
    /// The request, for retries.
    pub idempotency_key: IdempotencyKey,
    /// The time of the change.
    pub now: Instant,
}

impl UnitOfWork for Reopen {
    type Output = ();
    const AUTHORITY: Authority = Authority::Caller;

    async fn run(&self, tx: &Tx) -> Result<(), Fault> {
        let locked = store::closures::lock_all_providers(tx).await?;
        if let Some(((), _)) = self.idempotency_key.earlier(tx).await? {
            return Ok(());
        }
        // Nobody else deletes it meanwhile, unless there is no provider to lock; then the second finds
        // nothing to delete.
        let found = store::closures::find(tx, self.id).await?;
        let absent = || Fault::not_found(self.id.name());
        let found = found.ok_or_else(absent)?;
        if !store::closures::delete(tx, found.id).await? {
            return Err(absent());
        }
        let data = EventData::ClosureDeleted(told(&found));
        store::closures::bump(tx, locked, self.permit.admin, self.now, &data).await?;
        self.idempotency_key.keep(tx, found.id.0, DELETED, &(), self.now).await
    }
}
