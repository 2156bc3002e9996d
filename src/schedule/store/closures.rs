//! Closures as rows. Each change of them is a version of every provider's schedules.

use std::panic::{AssertUnwindSafe, catch_unwind};

use sea_orm::{
    ActiveValue::Set, ColumnTrait, Condition, ConnectionTrait, DatabaseBackend, EntityTrait,
    IdenStatic as _, QueryFilter, QueryOrder, QueryResult, Statement, Value, sea_query::ArrayType,
};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::{
    events::EventData,
    kernel::{
        fault::Fault,
        id::{ClosureId, UserId},
        time::{Instant, Interval},
    },
    schedule::commands::Closure,
    storage::{
        Engine, Executor, Tx, engine,
        entity::closures,
        readable::{self, PagePosition},
    },
};

/// The stretches of time that overlap the range and in which the practice is closed, by start.
pub async fn closures(at: &impl Executor, range: Interval) -> Result<Vec<Interval>, Fault> {
    let query = closures::Entity::find()
        .filter(closures::Column::EndsAt.gt(range.start()))
        .filter(closures::Column::StartsAt.lt(range.end()))
        .order_by_asc(closures::Column::StartsAt);
    let rows = readable::rows(at, query).await?;
    let closed = |row: &QueryResult| match readable::one::<closures::Entity, _>(row, closure) {
        Some(closure) => closure.interval,
        // What cannot be read closes as well, as far as was asked where it is not known how far.
        None => unreadable(row, range),
    };
    Ok(rows.iter().map(closed).collect())
}

/// The part of a range in which a closure that cannot be read may be meant.
fn unreadable(row: &QueryResult, range: Interval) -> Interval {
    let at = |column: closures::Column| {
        catch_unwind(AssertUnwindSafe(|| row.try_get::<Instant>("", column.as_str()).ok()))
            .unwrap_or_default()
    };
    let start = at(closures::Column::StartsAt).unwrap_or(range.start());
    let end = at(closures::Column::EndsAt).unwrap_or(range.end());
    Interval::new(start, end).unwrap_or(range)
}

/// Where a page of closures ended: the keys of the last one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cursor {
    /// Start of the last closure on the page, UTC.
    pub start: Instant,
    /// Id of the last closure on the page.
    pub id: Uuid,
}

/// A page of the closures that have not ended, by start and then by id.
pub async fn list(
    at: &impl Executor,
    now: Instant,
    after: Option<Cursor>,
    limit: u64,
) -> Result<Vec<Closure>, Fault> {
    use closures::Column;
    let query = closures::Entity::find()
        .filter(Column::EndsAt.gt(now))
        .order_by_asc(Column::StartsAt)
        .order_by_asc(Column::ClosureId);
    let later = |after: &Cursor| {
        Condition::any().add(Column::StartsAt.gt(after.start)).add(
            Condition::all()
                .add(Column::StartsAt.eq(after.start))
                .add(Column::ClosureId.gt(after.id)),
        )
    };
    let of = |row: &QueryResult| {
        let start = row.try_get("", Column::StartsAt.as_str())?;
        Ok(Cursor { start, id: row.try_get("", Column::ClosureId.as_str())? })
    };
    readable::page(at, query, PagePosition { after, later, of }, limit, closure).await
}

/// Finds a closure.
pub async fn find(at: &impl Executor, id: ClosureId) -> Result<Option<Closure>, Fault> {
    let row = closures::Entity::find_by_id(id.0).one(at.db()).await;
    row.map_err(|e| engine::fault(&e))?.map(closure).transpose()
}

/// Adds a closure.
pub async fn insert(tx: &Tx, new: &Closure, now: Instant) -> Result<(), Fault> {
    let row = closures::ActiveModel {
        closure_id: Set(new.id.0),
        starts_at: Set(new.interval.start()),
        ends_at: Set(new.interval.end()),
        reason: Set(new.reason.clone()),
        created_at: Set(now),
    };
    closures::Entity::insert(row)
        .exec_without_returning(tx.db())
        .await
        .map_err(|e| engine::fault(&e))?;
    Ok(())
}

/// Deletes a closure; whether it was there.
pub async fn delete(tx: &Tx, id: ClosureId) -> Result<bool, Fault> {
    let done = closures::Entity::delete_by_id(id.0).exec(tx.db()).await;
    Ok(done.map_err(|e| engine::fault(&e))?.rows_affected == 1)
}

/// Any number that no other user of the database takes as an advisory lock ("daycover" in ASCII).
const CLOSING: i64 = 0x6461_7963_6f76_6572;

// In the order of the ids, as everybody does who locks more than one, so that nobody waits for each other
// in a circle.
const LOCK: &str = "SELECT provider_id FROM providers ORDER BY provider_id FOR NO KEY UPDATE";

/// Locks every provider until the transaction ends, so that the bookings under way are ordered before
/// or after it; who they are. Nobody becomes one until then. On SQLite the transaction is the only writer anyway,
/// and means all.
pub async fn lock_all_providers(tx: &Tx) -> Result<Vec<Uuid>, Fault> {
    if tx.engine() != Engine::Postgres {
        return Ok(Vec::new());
    }
    advisory(tx, "pg_advisory_xact_lock").await?;
    let statement = Statement::from_string(DatabaseBackend::Postgres, LOCK);
    let rows = tx.db().query_all_raw(statement).await.map_err(|e| engine::fault(&e))?;
    rows.iter().map(|row| row.try_get_by_index(0).map_err(|e| engine::fault(&e))).collect()
}

// Of those who are locked, who are all. One statement, so that nobody is given an event without a version.
const POSTGRES: &str = "WITH bumped AS (
        UPDATE providers SET version = version + 1, schedule_version = version + 1,
            schedule_updated_at = $1, stamp = $6, schedule_stamp = $6
        WHERE provider_id = ANY ($5)
        RETURNING provider_id, version)
    INSERT INTO events (provider_id, version, kind, actor_id, occurred_at, detail)
    SELECT provider_id, version, $2, $3, $1, $4 FROM bumped";

const SQLITE_BUMP: &str = "UPDATE providers SET version = version + 1,
    schedule_version = version + 1, schedule_updated_at = $1, stamp = $2, schedule_stamp = $2";

const SQLITE_EVENTS: &str = "INSERT INTO events
        (provider_id, version, kind, actor_id, occurred_at, detail)
    SELECT provider_id, version, $2, $3, $1, $4 FROM providers";

/// Waits for closures that are under way, and keeps others from beginning until the transaction ends: for who
/// becomes a provider, whom a closure that is under way would miss. Before anything is locked that a booking may
/// wait for, because the closure waits for bookings.
pub async fn wait_for_closures(tx: &Tx) -> Result<(), Fault> {
    if tx.engine() != Engine::Postgres {
        return Ok(());
    }
    advisory(tx, "pg_advisory_xact_lock_shared").await
}

async fn advisory(tx: &Tx, lock: &str) -> Result<(), Fault> {
    let sql = format!("SELECT {lock}({CLOSING})");
    let statement = Statement::from_string(DatabaseBackend::Postgres, sql);
    tx.execute(statement).await.map_err(|e| engine::fault(&e))?;
    Ok(())
}

/// Takes a version of the schedules of those who were locked, and records this event of each.
pub async fn bump(
    tx: &Tx,
    locked: Vec<Uuid>,
    actor: UserId,
    now: Instant,
    data: &EventData,
) -> Result<(), Fault> {
    let values: [Value; 4] =
        [now.into(), data.kind().word().into(), actor.0.into(), data.encode()?.into()];
    let stamp = Value::from(tx.stamp().0);
    let statements = match tx.engine() {
        Engine::Postgres => {
            let locked = locked.into_iter().map(Value::from).collect();
            let locked = Value::Array(ArrayType::Uuid, Some(Box::new(locked)));
            let values = values.into_iter().chain([locked, stamp]);
            vec![Statement::from_sql_and_values(DatabaseBackend::Postgres, POSTGRES, values)]
        }
        Engine::Sqlite => {
            let sqlite = DatabaseBackend::Sqlite;
            let [now, ..] = &values;
            let bump = Statement::from_sql_and_values(sqlite, SQLITE_BUMP, [now.clone(), stamp]);
            vec![bump, Statement::from_sql_and_values(sqlite, SQLITE_EVENTS, values)]
        }
    };
    for statement in statements {
        tx.execute(statement).await.map_err(|e| engine::fault(&e))?;
    }
    Ok(())
}

fn closure(row: closures::Model) -> Result<Closure, Fault> {
    let id = row.closure_id;
    let interval = Interval::new(row.starts_at, row.ends_at)
        .ok_or_else(|| Fault::internal(format!("closures row {id}: ends before it starts")))?;
    Ok(Closure { id: ClosureId(id), interval, reason: row.reason })
}
