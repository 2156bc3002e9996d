//! Time that appointments claim beside their own rows, as rows.

use sea_orm::{
    ColumnTrait, ConnectionTrait as _, EntityTrait, QueryFilter, QueryOrder, QuerySelect, Statement,
};
use uuid::Uuid;

use super::backend;
use crate::{
    booking::{Appointment, State, attendance::Further},
    kernel::{
        fault::Fault,
        id::{AppointmentId, ProviderId},
        time::Instant,
    },
    storage::{
        Session, Tx,
        engine::{self, Constraint},
        entity::appointments::{Column, Entity},
    },
};

/// What expires.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Expiring {
    /// A hold.
    Hold,
    /// A request.
    Request,
    /// Time that a request with somebody else claims.
    Attended,
}

/// The customer of an appointment as a provider, if they are or were one: read without a lock, to know whom to
/// lock.
pub async fn attends(
    tx: &Tx,
    provider: ProviderId,
    id: AppointmentId,
) -> Result<Option<ProviderId>, Fault> {
    const SQL: &str = "SELECT p.provider_id FROM appointments a
        JOIN providers p ON p.provider_id = a.customer_id
        WHERE a.provider_id = $1 AND a.appointment_id = $2";
    let values = [provider.0.into(), id.0.into()];
    let statement = Statement::from_sql_and_values(backend(tx.engine()), SQL, values);
    let row = tx.db().query_one_raw(statement).await.map_err(|e| engine::fault(&e))?;
    let id = row.map(|row| row.try_get::<Uuid>("", "provider_id")).transpose();
    Ok(id.map_err(|e| engine::fault(&e))?.map(ProviderId))
}

/// What an appointment claims of a locked provider's time beside its own row, by start.
pub async fn of(
    tx: &Tx,
    provider: ProviderId,
    appointment: AppointmentId,
) -> Result<Vec<Further>, Fault> {
    // One of the customer's has the same id, so that it is found by its key.
    let rows: Vec<(Uuid, Instant, Instant, Option<Instant>)> = Entity::find()
        .select_only()
        .columns([Column::AppointmentId, Column::StartsAt, Column::EndsAt, Column::ExpiresAt])
        .filter(Column::ProviderId.eq(provider.0))
        .filter(Column::AppointmentId.eq(appointment.0))
        .filter(Column::ClaimOf.eq(appointment.0))
        .order_by_asc(Column::StartsAt)
        .into_tuple()
        .all(tx.db())
        .await
        .map_err(|e| engine::fault(&e))?;
    let further =
        |(id, start, end, expires_at): (Uuid, Instant, Instant, Option<Instant>)| Further {
            provider,
            id: AppointmentId(id),
            start,
            end,
            expires_at: expires_at.filter(|at| *at < never()),
        };
    Ok(rows.into_iter().map(further).collect())
}

/// After everything: a held row needs an expiry.
fn never() -> Instant {
    Instant::from_timestamp(10_413_792_000, 0).unwrap_or(Instant::UNIX_EPOCH)
}

/// Takes away time of a locked provider that an appointment claims beside its own row.
pub async fn release(
    tx: &Tx,
    provider: ProviderId,
    appointment: AppointmentId,
) -> Result<(), Fault> {
    Entity::delete_many()
        .filter(Column::ProviderId.eq(provider.0))
        .filter(Column::AppointmentId.eq(appointment.0))
        .filter(Column::ClaimOf.eq(appointment.0))
        .exec(tx.db())
        .await
        .map_err(|e| engine::fault(&e))?;
    Ok(())
}

const INSERT: &str = "INSERT INTO appointments (provider_id, appointment_id, customer_id, \
    customer_display_name, starts_at, ends_at, state, note, time_zone, local_start, cancel_reason, \
    version, created_at, updated_at, claim_starts_at, claim_ends_at, expires_at, stamp, claim_of) \
    VALUES ($1, $2, $3, '', $4, $5, $6, '', $7, $8, '', $9, $10, $10, $4, $5, $11, $12, $13) \
    ON CONFLICT DO NOTHING";

/// Claims time of a locked provider for an appointment of another one's; whether it was free.
pub async fn claim(
    tx: &Tx,
    further: &Further,
    of: &Appointment,
    version: i64,
) -> Result<bool, Fault> {
    let values = [
        further.provider.0.into(),
        further.id.0.into(),
        of.customer.0.into(),
        further.start.into(),
        further.end.into(),
        State::Held.word().into(),
        of.time_zone.name().into(),
        of.local_start.clone().into(),
        version.into(),
        of.updated_at.into(),
        further.expires_at.unwrap_or(never()).into(),
        tx.stamp().0.into(),
        of.id.0.into(),
    ];
    match tx.execute(Statement::from_sql_and_values(backend(tx.engine()), INSERT, values)).await {
        Ok(done) => Ok(done.rows_affected() == 1),
        Err(e) if engine::violated(&e) == Some(Constraint::ProviderOverlap) => Ok(false),
        Err(e) => Err(engine::fault(&e)),
    }
}
