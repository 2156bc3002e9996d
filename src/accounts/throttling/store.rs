//! Attempts as rows, so that processes count together.

use chrono::TimeDelta;
use sea_orm::{
    ActiveValue::Set,
    ColumnTrait, Condition, EntityTrait, QueryFilter, QueryOrder, QuerySelect,
    sea_query::{Expr, OnConflict, Query, SimpleExpr},
};

use crate::{
    accounts::throttling::policy::{AttemptCount, ThrottleKey, ThrottlePolicy},
    kernel::{fault::Fault, time::Instant},
    storage::{
        Executor as _, Tx, cleanup, engine,
        entity::attempts::{ActiveModel, Column, Entity, Model},
    },
};

/// Result of reserving an attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reserved {
    /// It is counted.
    Yes {
        /// Whether delays begin with it that somebody has to be told of.
        alarm: bool,
    },
    /// The longest of the waits before it.
    Wait(TimeDelta),
}

/// How long attempts that count no more are kept.
const KEPT: TimeDelta = TimeDelta::days(7);

/// The counters of one attempt with their policies, sorted by key. The order prevents deadlocks between
/// callers that lock several.
#[derive(Debug, Clone)]
pub struct ThrottleKeySet(Vec<(ThrottleKey, ThrottlePolicy)>);

impl ThrottleKeySet {
    /// By these keys.
    pub fn by(mut keys: Vec<(ThrottleKey, ThrottlePolicy)>) -> Self {
        keys.sort_unstable_by_key(|(key, _)| *key);
        keys.dedup_by_key(|(key, _)| *key);
        Self(keys)
    }

    /// Locks the rows until the transaction ends, and makes those that are not there yet; what they say,
    /// with the policy of each.
    async fn lock(
        &self,
        tx: &Tx,
        now: Instant,
    ) -> Result<Vec<(AttemptCount, ThrottlePolicy)>, Fault> {
        if self.0.is_empty() {
            return Ok(Vec::new());
        }
        let mut found = self.find(tx).await?;
        if found.len() < self.0.len() {
            let rows = self.0.iter().map(|(key, _)| active(key, AttemptCount::empty(now)));
            found = Entity::insert_many(rows)
                .on_conflict(OnConflict::column(Column::Key).update_column(Column::Key).to_owned())
                .exec_with_returning(tx.db())
                .await
                .map_err(|e| engine::fault(&e))?;
        }
        let of = |key: &ThrottleKey| {
            let row = found.iter().find(|row| row.key == key);
            row.map_or(AttemptCount::empty(now), |row| AttemptCount {
                count: u32::try_from(row.count).unwrap_or_default(),
                since: row.since,
                blocked_until: row.blocked_until,
            })
        };
        Ok(self.0.iter().map(|(key, policy)| (of(key), *policy)).collect())
    }

    /// Locks the rows if all of them are there; otherwise none is locked (unless one is being forgotten just
    /// then), so that those that are made are locked in the same order as the others. Unlike an update that changes nothing, this leaves no row
    /// behind that everybody has to step over who looks for it.
    async fn find(&self, tx: &Tx) -> Result<Vec<Model>, Fault> {
        use sea_orm::sea_query::ExprTrait as _;
        let ours = || Column::Key.is_in(self.0.iter().map(|(key, _)| key.to_vec()));
        let many = i64::try_from(self.0.len()).unwrap_or(i64::MAX);
        let there = Query::select()
            .expr(Expr::col(Column::Key).count())
            .from(Entity)
            .cond_where(ours())
            .to_owned();
        Entity::find()
            .filter(ours())
            .filter(Expr::expr(SimpleExpr::SubQuery(None, Box::new(there.into()))).eq(many))
            .order_by_asc(Column::Key)
            .lock_exclusive()
            .all(tx.db())
            .await
            .map_err(|e| engine::fault(&e))
    }

    /// Writes back, in the same order, what was locked before.
    async fn write(&self, tx: &Tx, tallies: &[AttemptCount]) -> Result<(), Fault> {
        if self.0.is_empty() {
            return Ok(());
        }
        let rows = self.0.iter().zip(tallies).map(|((key, _), tally)| active(key, *tally));
        let changed = [Column::Count, Column::Since, Column::BlockedUntil];
        Entity::insert_many(rows)
            .on_conflict(OnConflict::column(Column::Key).update_columns(changed).to_owned())
            .exec_without_returning(tx.db())
            .await
            .map_err(|e| engine::fault(&e))?;
        Ok(())
    }

    /// Reserves an attempt. When there were too many it is counted nowhere.
    pub async fn reserve(&self, tx: &Tx, now: Instant) -> Result<Reserved, Fault> {
        let (mut reserved, mut wait, mut alarm) = (Vec::new(), None, false);
        for (tally, policy) in self.lock(tx, now).await? {
            match tally.reserve(policy, now) {
                Ok(next) => {
                    alarm |= policy.alarm && next.begins_delays(tally, now);
                    reserved.push(next);
                }
                Err(more) => wait = wait.max(Some(more)),
            }
        }
        if let Some(wait) = wait {
            return Ok(Reserved::Wait(wait));
        }
        self.write(tx, &reserved).await?;
        Ok(Reserved::Yes { alarm })
    }

    /// Gives the attempt back.
    pub async fn refund(&self, tx: &Tx, now: Instant) -> Result<(), Fault> {
        let tallies = self.lock(tx, now).await?.into_iter();
        let tallies: Vec<_> = tallies.map(|(tally, policy)| tally.refund(policy, now)).collect();
        self.write(tx, &tallies).await
    }
}
/// Attempts that count no more.
#[derive(Debug)]
pub struct ExpiredAttempts;

impl cleanup::ExpiredRows for ExpiredAttempts {
    type Entity = Entity;
    const WHAT: &'static str = "attempts";

    fn is_old(now: Instant) -> Condition {
        Condition::all().add(Column::Since.lt(now - KEPT))
    }
}

fn active(key: &ThrottleKey, tally: AttemptCount) -> ActiveModel {
    ActiveModel {
        key: Set(key.to_vec()),
        count: Set(i32::try_from(tally.count).unwrap_or(i32::MAX)),
        since: Set(tally.since),
        blocked_until: Set(tally.blocked_until),
    }
}
