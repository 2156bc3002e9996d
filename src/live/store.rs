//! The order of events as rows.

use sea_orm::{ConnectionTrait as _, FromQueryResult, QueryResult, Statement, Value};
use uuid::Uuid;

use super::{Bounds, Cursor, Found, Scope};
use crate::{
    events::{self, store::EventRow},
    kernel::{
        fault::Fault,
        id::{TypeId, UserId},
        time::Instant,
    },
    storage::{Engine, Executor, Query, Reader, Tx, engine, readable},
};

fn statement(at: &impl Executor, sql: &str, values: impl IntoIterator<Item = Value>) -> Statement {
    Statement::from_sql_and_values(at.db().get_database_backend(), sql, values)
}

/// Waits for others who give or remove positions, and keeps them waiting until the transaction ends. The last position.
pub async fn lock(tx: &Tx) -> Result<i64, Fault> {
    // On SQLite the transaction is the only writer anyway.
    let sql = match tx.engine() {
        Engine::Postgres => "SELECT last_position FROM event_order WHERE one = 1 FOR UPDATE",
        Engine::Sqlite => "SELECT last_position FROM event_order WHERE one = 1",
    };
    let row = tx.query_one(statement(tx, sql, [])).await.map_err(|e| engine::fault(&e))?;
    let row = row.ok_or_else(|| Fault::internal("event_order has no row"))?;
    row.try_get("", "last_position").map_err(|e| engine::fault(&e))
}

const GIVE: &str = "
INSERT INTO event_positions (position, provider_id, first_version, last_version, stamp, created_at)
SELECT $1 + row_number() OVER (ORDER BY provider_id), provider_id, first_version,
    CASE WHEN version - first_version < $5 THEN version ELSE first_version + $5 - 1 END, $2, $3
FROM (SELECT p.provider_id, coalesce(h.last_version, 0) + 1 AS first_version, p.version
    FROM providers p LEFT JOIN event_heads h ON h.provider_id = p.provider_id
    WHERE p.version > coalesce(h.last_version, 0) ORDER BY p.provider_id LIMIT $4) AS missing";

/// Gives positions after this one to versions that have none, of so many providers and so many versions of each at most;
/// how many positions those were.
pub async fn give(
    tx: &Tx,
    last: i64,
    now: Instant,
    (providers, versions): (i64, i64),
) -> Result<u64, Fault> {
    let values = [last.into(), tx.stamp().0.into(), now.into(), providers.into(), versions.into()];
    let done = tx.execute(statement(tx, GIVE, values)).await.map_err(|e| engine::fault(&e))?;
    Ok(done.rows_affected())
}

/// Whether a position that was given after this one has as many versions as one can have, so that more may follow.
pub async fn is_cut(tx: &Tx, last: i64, versions: i64) -> Result<bool, Fault> {
    let sql = "SELECT 1 AS cut FROM event_positions
        WHERE position > $1 AND last_version - first_version + 1 >= $2 LIMIT 1";
    let row = tx.query_one(statement(tx, sql, [last.into(), versions.into()])).await;
    Ok(row.map_err(|e| engine::fault(&e))?.is_some())
}

const HEADS: &str = "
INSERT INTO event_heads (provider_id, last_version)
SELECT provider_id, last_version FROM event_positions WHERE position > $1
ON CONFLICT (provider_id) DO UPDATE SET last_version = excluded.last_version";

const LAST: &str = "
UPDATE event_order SET last_position = (SELECT max(position) FROM event_positions) WHERE one = 1";

/// Notes what has positions now, after some were given after this one.
pub async fn take_over(tx: &Tx, last: i64) -> Result<(), Fault> {
    tx.execute(statement(tx, HEADS, [last.into()])).await.map_err(|e| engine::fault(&e))?;
    tx.execute(statement(tx, LAST, [])).await.map_err(|e| engine::fault(&e))?;
    Ok(())
}

// A position goes when the next one is old: whoever stands at the end of it has known of nothing new for as long.
const OLDEST: &str = "
SELECT max(position) AS position FROM (SELECT p.position, n.created_at
    FROM event_positions p JOIN event_positions n ON n.position = p.position + 1
    ORDER BY p.position LIMIT $2) AS oldest
WHERE created_at < $1";

/// Removes the oldest positions whose next ones are from before an instant, so many at most; how many those were.
pub async fn remove(tx: &Tx, before: Instant, limit: i64) -> Result<u64, Fault> {
    let values = [before.into(), limit.into()];
    let row = tx.query_one(statement(tx, OLDEST, values)).await.map_err(|e| engine::fault(&e))?;
    let until = row.map(|row| row.try_get::<Option<i64>>("", "position")).transpose();
    let Some(until) = until.map_err(|e| engine::fault(&e))?.flatten() else { return Ok(0) };
    let removed = "DELETE FROM event_positions WHERE position <= $1";
    let removed = tx.execute(statement(tx, removed, [until.into()])).await;
    let note = "UPDATE event_order SET removed_position = $1 WHERE one = 1";
    let noted = tx.execute(statement(tx, note, [until.into()])).await;
    noted.map_err(|e| engine::fault(&e))?;
    Ok(removed.map_err(|e| engine::fault(&e))?.rows_affected())
}

/// Asks whether an event has no position yet.
#[derive(Debug, Clone)]
pub struct IsBehind;

impl Query for IsBehind {
    type Output = bool;

    async fn run(&self, at: &Reader) -> Result<bool, Fault> {
        let sql = "SELECT 1 AS missing FROM providers p
            LEFT JOIN event_heads h ON h.provider_id = p.provider_id
            WHERE p.version > coalesce(h.last_version, 0) LIMIT 1";
        let row = at.query_one(statement(at, sql, [])).await.map_err(|e| engine::fault(&e))?;
        Ok(row.is_some())
    }
}

/// Asks what there is of the order, and for the mark of a position.
#[derive(Debug, Clone)]
pub struct FindBounds {
    /// The position.
    pub position: i64,
}

#[derive(FromQueryResult)]
struct BoundsRow {
    removed_position: i64,
    last_position: Option<i64>,
    last_version: Option<i64>,
    last_stamp: Option<i64>,
    stamp: Option<i64>,
}

impl Query for FindBounds {
    type Output = Bounds;

    async fn run(&self, at: &Reader) -> Result<Bounds, Fault> {
        let sql = "SELECT o.removed_position, l.position AS last_position, l.last_version,
                l.stamp AS last_stamp, a.stamp
            FROM event_order o
            LEFT JOIN event_positions l ON l.position = o.last_position
            LEFT JOIN event_positions a ON a.position = $1
            WHERE o.one = 1";
        let row = at.query_one(statement(at, sql, [self.position.into()])).await;
        let row = row.map_err(|e| engine::fault(&e))?;
        let row = row.ok_or_else(|| Fault::internal("event_order has no row"))?;
        let row = BoundsRow::from_query_result(&row, "").map_err(|e| engine::fault(&e))?;
        let last = row.last_position.zip(row.last_version).zip(row.last_stamp);
        let last = last.map(|((position, version), stamp)| Cursor { position, version, stamp });
        Ok(Bounds { last, removed: row.removed_position, stamp: row.stamp })
    }
}

/// Reads events after a place and up to a position, in the order.
#[derive(Debug, Clone)]
pub struct FindEvents {
    /// Whose events: of one provider, of one customer, or of the practice.
    pub scope: Scope,
    /// After which place: a position and a version in it; 0 and 0 is the beginning.
    pub after: (i64, i64),
    /// The last position that is read.
    pub until: i64,
    /// How many at most.
    pub limit: i64,
}

const COLUMNS: &str =
    "e.provider_id, e.version, e.kind, e.appointment_id, e.actor_id, e.via_id, e.occurred_at,
    e.detail, a.customer_id, a.type_id";

const BY_POSITION: &str = "
SELECT p.position, p.stamp, {columns}
FROM event_positions p
JOIN events e ON e.provider_id = p.provider_id AND e.version BETWEEN p.first_version AND p.last_version
LEFT JOIN appointments a ON a.provider_id = e.provider_id AND a.appointment_id = e.appointment_id
WHERE p.position BETWEEN $1 AND $3 AND (p.position > $1 OR e.version > $2) {provider}
ORDER BY p.position, e.version LIMIT $4";

// A customer's events lie scattered in the order: each is looked up with its position. Both engines are told the way,
// because with the numbers of rows that they guess they look at each position of a provider for each event.
const OF_CUSTOMER: &str = "
SELECT p.position, p.stamp, {columns}
FROM appointments a {events_and_positions}
WHERE a.customer_id = $5 AND p.first_version <= e.version
  AND p.position BETWEEN $1 AND $3 AND (p.position > $1 OR e.version > $2)
ORDER BY p.position, e.version LIMIT $4";

const BY_POSTGRES: &str = "
JOIN events e ON e.provider_id = a.provider_id AND e.appointment_id = a.appointment_id
CROSS JOIN LATERAL (SELECT x.position, x.stamp, x.first_version FROM event_positions x
    WHERE x.provider_id = e.provider_id AND x.last_version >= e.version
    ORDER BY x.last_version LIMIT 1) AS p";

const BY_SQLITE: &str = "
CROSS JOIN events e INDEXED BY events_by_appointment
    ON e.provider_id = a.provider_id AND e.appointment_id = a.appointment_id
CROSS JOIN event_positions p ON p.provider_id = e.provider_id AND p.last_version = (
    SELECT x.last_version FROM event_positions x
    WHERE x.provider_id = e.provider_id AND x.last_version >= e.version ORDER BY x.last_version LIMIT 1)";

impl Query for FindEvents {
    /// Each place that was looked at, with the event where it can be read.
    type Output = Vec<(Cursor, Option<Found>)>;

    async fn run(&self, at: &Reader) -> Result<Self::Output, Fault> {
        let (position, version) = self.after;
        let values = [position.into(), version.into(), self.until.into(), self.limit.into()];
        let (text, own): (_, Option<Value>) = match self.scope {
            Scope::Practice => (BY_POSITION.replace("{provider}", ""), None),
            Scope::Provider(id) => {
                (BY_POSITION.replace("{provider}", "AND p.provider_id = $5"), Some(id.0.into()))
            }
            Scope::Customer(id) => {
                let way = match at.engine() {
                    Engine::Postgres => BY_POSTGRES,
                    Engine::Sqlite => BY_SQLITE,
                };
                (OF_CUSTOMER.replace("{events_and_positions}", way), Some(id.0.into()))
            }
        };
        let sql = text.replace("{columns}", COLUMNS);
        let statement = statement(at, &sql, values.into_iter().chain(own));
        let rows = at.query_all(statement).await.map_err(|e| engine::fault(&e))?;
        rows.iter().map(read).collect()
    }
}

/// Where an event stands, and what it is; not the latter where that cannot be read.
fn read(row: &QueryResult) -> Result<(Cursor, Option<Found>), Fault> {
    let place = || -> Result<Cursor, sea_orm::DbErr> {
        Ok(Cursor {
            position: row.try_get("", "position")?,
            version: row.try_get("", "version")?,
            stamp: row.try_get("", "stamp")?,
        })
    };
    let at = place().map_err(|e| engine::fault(&e))?;
    let more = || -> Result<(Option<Uuid>, Option<Uuid>), sea_orm::DbErr> {
        Ok((row.try_get("", "customer_id")?, row.try_get("", "type_id")?))
    };
    let found =
        readable::decoded::<EventRow>(row).and_then(events::store::event).and_then(|event| {
            let (customer, type_id) = more().map_err(|e| engine::fault(&e))?;
            let (customer, type_id) = (customer.map(UserId), type_id.map(TypeId));
            Ok(Found { at, event, customer, type_id })
        });
    let found = found.map_err(|fault| {
        readable::left_out("events", &format!("{}/{}", at.position, at.version), &fault);
    });
    Ok((at, found.ok()))
}
