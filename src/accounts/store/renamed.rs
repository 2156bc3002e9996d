//! A corrected name in the customer's appointments and holds that have not ended.

use chrono::TimeDelta;
use sea_orm::{DatabaseBackend, Statement, Value};

use crate::{
    accounts::User,
    kernel::{fault::Fault, time::Instant},
    storage::{Engine, Session as _, Tx, engine},
};

// Only what claims time: what was cancelled is over. Another stamp is another etag, for the customer too: what was
// hidden from them before is no reason to show them an older state. No appointment is longer than a day; the bound
// gives the index something to begin at.
const SQL: &str = "UPDATE appointments
    SET customer_display_name = $1, stamp = $2, updated_at = $3, terms = {terms}
    WHERE customer_id = $4 AND claim_of IS NULL AND starts_at > $5 AND ends_at > $3
      AND state IN ('held', 'pending', 'booked', 'completed', 'no_show') AND customer_display_name <> $1";

/// Writes the name of an account, which is locked with [`super::lock_to_rename`], into what it has booked, asked for or
/// holds and has not ended. What is over keeps the name of that time.
pub async fn appointments(tx: &Tx, user: &User, now: Instant) -> Result<(), Fault> {
    let (backend, terms) = match tx.engine() {
        Engine::Postgres => (DatabaseBackend::Postgres, "terms - 'shown'"),
        Engine::Sqlite => (DatabaseBackend::Sqlite, "json_remove(terms, '$.shown')"),
    };
    let values: [Value; 5] = [
        user.display_name.clone().into(),
        tx.stamp().0.into(),
        now.into(),
        user.id.0.into(),
        (now - TimeDelta::days(1)).into(),
    ];
    let sql = SQL.replace("{terms}", terms);
    let statement = Statement::from_sql_and_values(backend, sql, values);
    tx.execute(statement).await.map_err(|e| engine::fault(&e))?;
    Ok(())
}
