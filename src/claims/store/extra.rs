//! Time that appointments claim beside their own rows, as rows.

use sea_orm::{
    ColumnTrait, ConnectionTrait as _, EntityTrait, QueryFilter, QuerySelect, Statement,
};
use uuid::Uuid;

use super::backend;
use crate::{
    claims::{
        Overlap, State, Subject,
        expiry::never,
        extra::{ExtraClaim, Owner, ids},
    },
    kernel::{
        fault::Fault,
        id::{AppointmentId, ProviderId},
        time::Instant,
    },
    storage::{
        Executor, Tx, engine,
        entity::appointments::{Column, Entity},
    },
};

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

/// Whether an appointment claims just this of a locked subject's time beside its own row.
pub async fn is(
    tx: &Tx,
    subject: Subject,
    appointment: AppointmentId,
    wanted: &[ExtraClaim],
) -> Result<bool, Fault> {
    // Their ids follow from the appointment's, so that they are found by their keys.
    let rows: Vec<(Uuid, Instant, Instant, Option<Instant>)> = Entity::find()
        .select_only()
        .columns([Column::AppointmentId, Column::StartsAt, Column::EndsAt, Column::ExpiresAt])
        .filter(Column::ProviderId.eq(subject.id().0))
        .filter(Column::AppointmentId.is_in(ids(appointment).map(|id| id.0)))
        .filter(Column::ClaimOf.eq(appointment.0))
        .into_tuple()
        .all(tx.db())
        .await
        .map_err(|e| engine::fault(&e))?;
    let there = |each: &ExtraClaim| {
        let expires_at = Some(each.expires_at.unwrap_or(never()));
        rows.contains(&(each.id.0, each.interval.0, each.interval.1, expires_at))
    };
    Ok(rows.len() == wanted.len() && wanted.iter().all(there))
}

/// Takes away the time of a locked subject that an appointment claims beside its own row.
pub async fn release(tx: &Tx, subject: Subject, appointment: AppointmentId) -> Result<(), Fault> {
    Entity::delete_many()
        .filter(Column::ProviderId.eq(subject.id().0))
        .filter(Column::AppointmentId.is_in(ids(appointment).map(|id| id.0)))
        .filter(Column::ClaimOf.eq(appointment.0))
        .exec(tx.db())
        .await
        .map_err(|e| engine::fault(&e))?;
    Ok(())
}

/// Takes away one such row.
pub async fn remove(tx: &Tx, provider: ProviderId, id: AppointmentId) -> Result<(), Fault> {
    Entity::delete_many()
        .filter(Column::ProviderId.eq(provider.0))
        .filter(Column::AppointmentId.eq(id.0))
        .filter(Column::ClaimOf.is_not_null())
        .exec(tx.db())
        .await
        .map_err(|e| engine::fault(&e))?;
    Ok(())
}

const INSERT: &str = "INSERT INTO appointments (provider_id, appointment_id, customer_id, \
    customer_display_name, starts_at, ends_at, state, note, time_zone, local_start, cancel_reason, \
    version, created_at, updated_at, claim_starts_at, claim_ends_at, expires_at, stamp, claim_of, type_id) \
    VALUES ($1, $2, $3, '', $4, $5, $6, '', $7, $8, '', $9, $10, $10, $11, $12, $13, $14, $15, $16) \
    ON CONFLICT DO NOTHING";

/// Claims time of a locked subject for an appointment, beside its own row, or tells what stands in the way.
pub async fn claim(
    tx: &Tx,
    further: &ExtraClaim,
    of: &Owner<'_>,
) -> Result<Option<Overlap>, Fault> {
    let state = if further.is_customers { State::Pending } else { State::Held };
    let values = [
        further.subject.id().0.into(),
        further.id.0.into(),
        of.customer.0.into(),
        further.interval.0.into(),
        further.interval.1.into(),
        state.word().into(),
        of.time_zone.name().into(),
        of.local_start.into(),
        of.version.into(),
        of.updated_at.into(),
        further.claim.0.into(),
        further.claim.1.into(),
        further.expires_at.unwrap_or(never()).into(),
        tx.stamp().0.into(),
        of.id.0.into(),
        further.type_id.map(|id| id.0).into(),
    ];
    match tx.execute(Statement::from_sql_and_values(backend(tx.engine()), INSERT, values)).await {
        Ok(done) if done.rows_affected() == 1 => Ok(None),
        Ok(_) => {
            Ok(Some(super::in_the_way(tx, (further.subject, further.id), further.claim).await?))
        }
        Err(e) => match super::overlap(&e) {
            Some(overlap) => Ok(Some(overlap)),
            None => Err(engine::fault(&e)),
        },
    }
}
