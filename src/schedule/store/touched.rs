//! The appointments in a stretch of time that was taken away.

use chrono::TimeDelta;
use sea_orm::{ConnectionTrait, DatabaseBackend, FromQueryResult, Statement, Value};
use uuid::Uuid;

use crate::{
    kernel::{
        fault::Fault,
        id::{AppointmentId, ProviderId},
        time::{Instant, Interval},
    },
    schedule::commands::Touched,
    storage::{Engine, Session, Tx, engine},
};

/// How many of them are told.
const TOLD: i64 = 100;

// Counted before the limit cuts. No appointment is longer than a day, which gives the index something to
// begin at. A request that nobody answered in time has ended, though nobody may have noted it yet.
const SQL: &str = "SELECT provider_id, appointment_id, count(*) OVER () AS total
    FROM appointments
    WHERE WHOSE starts_at > $2 AND starts_at < $4 AND ends_at > $3
      AND state IN ('pending', 'booked') AND claim_of IS NULL AND (expires_at IS NULL OR expires_at > $5)
    ORDER BY starts_at, provider_id, appointment_id LIMIT $6";

#[derive(FromQueryResult)]
struct Row {
    provider_id: Uuid,
    appointment_id: Uuid,
    total: i64,
}

/// The requested and booked appointments that overlap the interval: one provider's, or everybody's.
pub async fn find(
    tx: &Tx,
    provider: Option<ProviderId>,
    interval: Interval,
    now: Instant,
) -> Result<Touched, Fault> {
    let whose = if provider.is_some() { "provider_id = $1 AND" } else { "$1 IS NULL AND" };
    let values: [Value; 6] = [
        provider.map(|id| id.0).into(),
        (interval.start() - TimeDelta::days(1)).into(),
        interval.start().into(),
        interval.end().into(),
        now.into(),
        TOLD.into(),
    ];
    let backend = match tx.engine() {
        Engine::Postgres => DatabaseBackend::Postgres,
        Engine::Sqlite => DatabaseBackend::Sqlite,
    };
    let statement = Statement::from_sql_and_values(backend, SQL.replace("WHOSE", whose), values);
    let rows = tx.db().query_all_raw(statement).await.map_err(|e| engine::fault(&e))?;
    let mut touched = Touched::default();
    for row in rows {
        let row = Row::from_query_result(&row, "").map_err(|e| engine::fault(&e))?;
        touched.count = row.total;
        touched.first.push((ProviderId(row.provider_id), AppointmentId(row.appointment_id)));
    }
    Ok(touched)
}
