//! Removal of old rows, whatever table they are in: a batch in each transaction.
//!
//! One statement for all of them held the only writer of SQLite for seconds, and was given up when it took
//! longer than its deadline, so that the same rows were there the next time. A batch is small enough that nobody notices it, and what it
//! removed stays removed.

use std::{marker::PhantomData, sync::Mutex, time::Duration};

use sea_orm::{
    Condition, ConnectionTrait as _, EntityTrait, FromQueryResult, QueryFilter,
    sea_query::{Alias, Expr, LockBehavior, LockType, Order, Query as Select, SelectStatement},
};
use tokio::time::Instant as Moment;

use super::{Deadline, Engine, Executor as _, Query, Reader, Store, Tx, UnitOfWork, engine};
use crate::kernel::{fault::Fault, time::Instant};

/// How many rows the first batch has.
const BATCH: u64 = 1000;
/// The fewest rows of a batch.
const SMALLEST: u64 = 250;
/// The most rows of a batch.
const LARGEST: u64 = 5000;
/// A batch that takes longer is followed by smaller ones, and one that takes less than a quarter of it by
/// larger ones. In SQLite nobody else writes meanwhile.
const LONG_SQLITE: Duration = Duration::from_millis(40);
/// In PostgreSQL nobody waits for it.
const LONG_POSTGRES: Duration = Duration::from_millis(400);
/// The shortest pause between two batches. It is as long as the batch was, so that others have half of the
/// time at least.
const PAUSE: Duration = Duration::from_millis(5);
/// How long a batch may take.
const IN_TIME: Duration = Duration::from_secs(5);
/// How often in a row a kind may fail before it has to wait for the next time.
const FAILURES: u32 = 5;
/// How many old rows are counted at most.
const COUNTED: u64 = 1_000_000;
/// How often it is told how far it has come.
const TOLD: Duration = Duration::from_secs(30);

/// A kind of rows that are removed when they are old. The table has row numbers in SQLite.
pub trait ExpiredRows: Send + Sync + 'static {
    /// Table that the rows are in.
    type Entity: EntityTrait;
    /// What they are called in the log.
    const WHAT: &'static str;
    /// The condition by which a row is expired.
    fn is_old(now: Instant) -> Condition;
    /// The column with their age, where it has an index and there may be millions of them: the oldest go first,
    /// so that no batch looks again at what the batches before removed.
    fn age() -> Option<<Self::Entity as EntityTrait>::Column> {
        None
    }
    /// The columns that are emptied, where the row itself stays; none where it goes.
    fn emptied() -> Vec<<Self::Entity as EntityTrait>::Column> {
        Vec::new()
    }
}

/// Removes one batch of old rows. The output is how many there were.
#[derive(Debug)]
pub struct DeleteExpired<K> {
    now: Instant,
    limit: u64,
    kind: PhantomData<fn() -> K>,
}

impl<K: ExpiredRows> DeleteExpired<K> {
    /// A batch of what is old at this time.
    pub fn at(now: Instant) -> Self {
        Self::some(now, BATCH)
    }

    fn some(now: Instant, limit: u64) -> Self {
        Self { now, limit, kind: PhantomData }
    }
}

impl<K: ExpiredRows> UnitOfWork for DeleteExpired<K> {
    type Output = u64;
    const AUTHORITY: crate::storage::Authority = crate::storage::Authority::Nobody;

    async fn run(&self, tx: &Tx) -> Result<u64, Fault> {
        use sea_orm::sea_query::ExprTrait as _;

        let number = row_number(tx.engine());
        let mut some = old::<K>(self.now, number);
        some.limit(self.limit);
        if let Some(age) = K::age() {
            some.order_by(age, Order::Asc);
        }
        if tx.engine() == Engine::Postgres {
            // Rows that somebody is changing are left alone: nobody waits for anybody.
            some.lock_with_behavior(LockType::Update, LockBehavior::SkipLocked);
        }
        // Looked at once more: a row that was changed in between may not be old any more.
        let which = K::is_old(self.now).add(Expr::cust(number).in_subquery(some));
        let emptied = K::emptied();
        let done = if emptied.is_empty() {
            K::Entity::delete_many().filter(which).exec(tx.db()).await.map(|it| it.rows_affected)
        } else {
            let update = emptied.into_iter().fold(K::Entity::update_many(), |update, column| {
                update.col_expr(column, Expr::cust("NULL"))
            });
            update.filter(which).exec(tx.db()).await.map(|it| it.rows_affected)
        };
        done.map_err(|e| engine::fault(&e))
    }
}

/// What a table calls the place of a row.
fn row_number(engine: Engine) -> &'static str {
    match engine {
        Engine::Postgres => "ctid",
        Engine::Sqlite => "rowid",
    }
}

fn old<K: ExpiredRows>(now: Instant, what: &'static str) -> SelectStatement {
    let mut select = Select::select();
    select.expr(Expr::cust(what)).from(K::Entity::default()).cond_where(K::is_old(now));
    select
}

/// How many old rows there are.
struct Left<K> {
    now: Instant,
    kind: PhantomData<fn() -> K>,
}

#[derive(FromQueryResult)]
struct Counted {
    number: i64,
}

impl<K: ExpiredRows> Query for Left<K> {
    type Output = u64;

    async fn run(&self, at: &Reader) -> Result<u64, Fault> {
        let mut some = old::<K>(self.now, "1 AS one");
        some.limit(COUNTED);
        let mut count = Select::select();
        count.expr_as(Expr::cust("COUNT(*)"), "number").from_subquery(some, Alias::new("old"));
        let statement = at.db().get_database_backend().build(&count);
        let row = at.query_one(statement).await.map_err(|e| engine::fault(&e))?;
        let row = row.ok_or_else(|| Fault::internal("a count without a row"))?;
        let counted = Counted::from_query_result(&row, "").map_err(|e| engine::fault(&e))?;
        Ok(u64::try_from(counted.number).unwrap_or_default())
    }
}

/// What became of the old rows of a kind, as far as it is known.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Figures {
    /// Rows that were removed since the process started.
    pub removed: u64,
    /// Old rows that are still there, up to a million; unknown where counting them failed.
    pub left: Option<u64>,
    /// Batches that failed since the process started.
    pub failed: u64,
}

/// The figures of all kinds. They grow and shrink while rows are removed.
#[derive(Debug, Default)]
pub struct Backlog(Mutex<Vec<(&'static str, Figures)>>);

impl Backlog {
    /// The figures of each kind that was looked at.
    pub fn figures(&self) -> Vec<(&'static str, Figures)> {
        self.0.lock().map(|all| all.clone()).unwrap_or_default()
    }

    fn change(&self, what: &'static str, change: impl FnOnce(&mut Figures)) -> Figures {
        let mut all = self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let place = all.iter().position(|(known, _)| *known == what).unwrap_or_else(|| {
            all.push((what, Figures::default()));
            all.len() - 1
        });
        let Some((_, figures)) = all.get_mut(place) else { return Figures::default() };
        change(figures);
        *figures
    }
}

/// Removes all old rows of a kind, batch by batch, with pauses. Gives up for this time when it fails again and
/// again; that is told in the log, and what was removed before stays removed.
pub async fn forget<K: ExpiredRows>(store: &Store, now: Instant, backlog: &Backlog) {
    let (mut batch, mut failed, mut said) = (BATCH, 0, Moment::now());
    let long = match store.engine() {
        Engine::Postgres => LONG_POSTGRES,
        Engine::Sqlite => LONG_SQLITE,
    };
    let before = backlog.change(K::WHAT, |_| {}).removed;
    if count::<K>(store, now, backlog).await == Some(0) {
        return;
    }
    loop {
        let began = Moment::now();
        let unit = DeleteExpired::<K>::some(now, batch);
        let done = store.run_contended(Deadline::after(IN_TIME), unit).await;
        let took = began.elapsed();
        match done {
            Ok(removed) => {
                let figures = backlog.change(K::WHAT, |figures| {
                    figures.removed += removed;
                    figures.left = figures.left.map(|left| left.saturating_sub(removed));
                });
                if removed < batch {
                    break;
                }
                failed = 0;
                batch = next_batch(batch, took, long);
                if said.elapsed() > TOLD {
                    said = Moment::now();
                    let Figures { removed, left, .. } = figures;
                    tracing::info!(
                        what = K::WHAT,
                        removed,
                        left = told(left),
                        "forgetting what is old"
                    );
                }
            }
            Err(fault) => {
                failed += 1;
                batch = (batch / 2).max(SMALLEST);
                let figures = backlog.change(K::WHAT, |figures| figures.failed += 1);
                if failed == FAILURES {
                    let left = told(figures.left);
                    tracing::warn!(what = K::WHAT, left, %fault, "forgetting what is old");
                    return;
                }
            }
        }
        tokio::time::sleep(took.max(PAUSE)).await;
    }
    // Those that somebody was changing, and those that became known since.
    let left = told(count::<K>(store, now, backlog).await);
    let forgotten = backlog.change(K::WHAT, |_| {}).removed - before;
    tracing::info!(what = K::WHAT, forgotten, left, "forgot what is old");
}

/// Counts what is left; nothing where that fails.
async fn count<K: ExpiredRows>(store: &Store, now: Instant, backlog: &Backlog) -> Option<u64> {
    let query = Left::<K> { now, kind: PhantomData };
    let left = store.read(Deadline::after(IN_TIME), query).await;
    let left =
        left.inspect_err(|fault| tracing::warn!(what = K::WHAT, %fault, "counting what is old"));
    let left = left.ok();
    backlog.change(K::WHAT, |figures| figures.left = left);
    left
}

/// A number for the log.
fn told(left: Option<u64>) -> String {
    left.map_or_else(|| "unknown".to_owned(), |left| left.to_string())
}

/// How large the next batch is after one that took so long, where `long` is too long.
fn next_batch(batch: u64, took: Duration, long: Duration) -> u64 {
    if took > long {
        (batch / 2).max(SMALLEST)
    } else if took < long / 4 {
        (batch * 2).min(LARGEST)
    } else {
        batch
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn batches_become_as_large_as_nobody_notices() {
        let millis = Duration::from_millis;
        let after = |batch, took| next_batch(batch, millis(took), millis(40));
        assert_eq!((after(1000, 20), after(1000, 41), after(1000, 9)), (1000, 500, 2000));
        assert_eq!((after(60, 5000), after(4000, 0)), (SMALLEST, LARGEST));
    }
}
