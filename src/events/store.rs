//! Events as rows.

use sea_orm::{ActiveValue::Set, ColumnTrait, EntityTrait, QueryFilter, QueryOrder, QuerySelect};

use super::{Event, Kind};
use crate::{
    kernel::{
        fault::Fault,
        id::{AppointmentId, ProviderId, ServiceAccountId, UserId},
    },
    storage::{
        Session, Tx, engine,
        entity::events::{self, Column},
    },
};

/// Appends an event in the transaction of its change.
pub async fn insert(tx: &Tx, event: Event) -> Result<(), Fault> {
    let row = events::ActiveModel {
        provider_id: Set(event.provider.0),
        version: Set(event.version),
        kind: Set(event.kind.word().to_owned()),
        appointment_id: Set(event.appointment.map(|id| id.0)),
        actor_id: Set(event.actor.map(|id| id.0)),
        via_id: Set(event.via.map(|id| id.0)),
        occurred_at: Set(event.at),
        detail: Set(event.detail),
    };
    events::Entity::insert(row)
        .exec_without_returning(tx.db())
        .await
        .map_err(|e| engine::fault(&e))?;
    Ok(())
}

/// Who did what an appointment's or hold's first event records.
pub async fn first_actor(
    at: &impl Session,
    provider: ProviderId,
    appointment: AppointmentId,
) -> Result<Option<UserId>, Fault> {
    let first = of_appointment(at, provider, appointment, None, 1).await?.into_iter().next();
    Ok(first.and_then(|event| event.actor))
}

/// What happened to an appointment after a version, oldest first.
pub async fn of_appointment(
    at: &impl Session,
    provider: ProviderId,
    appointment: AppointmentId,
    after: Option<i64>,
    limit: u64,
) -> Result<Vec<Event>, Fault> {
    let mut query = events::Entity::find()
        .filter(Column::ProviderId.eq(provider.0))
        .filter(Column::AppointmentId.eq(appointment.0));
    if let Some(after) = after {
        query = query.filter(Column::Version.gt(after));
    }
    let rows = query
        .order_by_asc(Column::Version)
        .limit(limit)
        .all(at.db())
        .await
        .map_err(|e| engine::fault(&e))?;
    rows.into_iter().map(event).collect()
}

fn event(row: events::Model) -> Result<Event, Fault> {
    let kind = Kind::parse(&row.kind).ok_or_else(|| {
        Fault::internal(format!("event {} of {}: unknown kind", row.version, row.provider_id))
    })?;
    Ok(Event {
        provider: ProviderId(row.provider_id),
        version: row.version,
        kind,
        appointment: row.appointment_id.map(AppointmentId),
        actor: row.actor_id.map(UserId),
        via: row.via_id.map(ServiceAccountId),
        at: row.occurred_at,
        detail: row.detail,
    })
}
