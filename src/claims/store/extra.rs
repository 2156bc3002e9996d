//! Time that appointments claim beside their own rows, as rows.

use sea_orm::{
    ColumnTrait, ConnectionTrait as _, EntityTrait, QueryFilter, QuerySelect, Statement,
};
use uuid::Uuid;

use super::{
    backend,
    insert::{ClaimColumns, NewRow, insert},
};
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

/// Claims time of a locked subject for an appointment, beside its own row, or tells what stands in the way.
pub async fn claim(tx: &Tx, extra: &ExtraClaim, of: &Owner<'_>) -> Result<Option<Overlap>, Fault> {
    let row = NewRow {
        subject: extra.subject,
        id: extra.id,
        customer: of.customer,
        claimed: ClaimColumns {
            interval: extra.interval,
            claim: extra.claim,
            state: if extra.is_customers { State::Pending } else { State::Held },
            expires_at: Some(extra.expires_at.unwrap_or(never())),
        },
    };
    let others = [
        (Column::ClaimOf, of.id.0.into()),
        (Column::TypeId, extra.type_id.map(|id| id.0).into()),
        (Column::TimeZone, of.time_zone.name().into()),
        (Column::LocalStart, of.local_start.into()),
        (Column::Version, of.version.into()),
        (Column::CreatedAt, of.updated_at.into()),
        (Column::UpdatedAt, of.updated_at.into()),
        (Column::CustomerDisplayName, "".into()),
        (Column::Note, "".into()),
        (Column::CancelReason, "".into()),
    ];
    insert(tx, &row, others).await
}
