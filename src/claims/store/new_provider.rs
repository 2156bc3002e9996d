//! What somebody who becomes a provider attends as a customer already.

use sea_orm::{DatabaseBackend, Statement};

use super::sql::busy;
use crate::{
    kernel::{fault::Fault, id::ProviderId},
    storage::{Engine, Executor as _, Tx, engine},
};

// As `super::extra` writes it, in the first version of the provider.
const SQL: &str = concat!(
    "INSERT INTO appointments (provider_id, appointment_id, customer_id,
        customer_display_name, starts_at, ends_at, state, note, time_zone, local_start, cancel_reason, version,
        created_at, updated_at, claim_starts_at, claim_ends_at, expires_at, stamp, claim_of)
    SELECT customer_id, appointment_id, customer_id, '', starts_at, ends_at, 'held', '', time_zone, local_start,
        '', 1, created_at, updated_at, starts_at, ends_at, coalesce(expires_at, {never}), $2, appointment_id
    FROM appointments
    WHERE customer_id = $1 AND claim_of IS NULL AND state IN ",
    busy!()
);

/// Claims the time of somebody who becomes a provider for what they attend as a customer.
pub async fn claim(tx: &Tx, id: ProviderId) -> Result<(), Fault> {
    let (backend, never) = match tx.engine() {
        Engine::Postgres => (DatabaseBackend::Postgres, "timestamptz '2300-01-01 00:00:00+00'"),
        Engine::Sqlite => (DatabaseBackend::Sqlite, "'2300-01-01T00:00:00+00:00'"),
    };
    let sql = SQL.replace("{never}", never);
    let values = [id.0.into(), tx.stamp().0.into()];
    let statement = Statement::from_sql_and_values(backend, sql, values);
    tx.execute(statement).await.map_err(|e| engine::fault(&e))?;
    Ok(())
}
