//! Events as rows.

use sea_orm::{
    ActiveValue::Set, ColumnTrait, Condition, EntityTrait, IdenStatic as _, QueryFilter,
    QueryOrder, QueryResult, QuerySelect,
};

use uuid::Uuid;

use super::{Event, EventData, ProviderEventKind};
use crate::{
    kernel::{
        fault::Fault,
        id::{AppointmentId, ProviderId, ServiceAccountId, UserId},
    },
    storage::{
        Executor, Tx, engine,
        entity::events::{self, Column},
        readable::{self, PagePosition},
    },
};

/// Appends an event in the transaction of its change.
pub async fn insert(tx: &Tx, event: Event) -> Result<(), Fault> {
    let row = events::ActiveModel {
        provider_id: Set(event.provider.0),
        version: Set(event.version),
        kind: Set(event.data.kind().word().to_owned()),
        appointment_id: Set(event.appointment.map(|id| id.0)),
        actor_id: Set(event.actor.map(|id| id.0)),
        via_id: Set(event.via.map(|id| id.0)),
        occurred_at: Set(event.at),
        detail: Set(event.data.encode()?),
    };
    events::Entity::insert(row)
        .exec_without_returning(tx.db())
        .await
        .map_err(|e| engine::fault(&e))?;
    tx.note_event();
    Ok(())
}

/// Who did what an appointment's or hold's first event records.
pub async fn first_actor(
    at: &impl Executor,
    provider: ProviderId,
    appointment: AppointmentId,
) -> Result<Option<UserId>, Fault> {
    let first: Option<Option<Uuid>> = events::Entity::find()
        .select_only()
        .column(Column::ActorId)
        .filter(Column::ProviderId.eq(provider.0))
        .filter(Column::AppointmentId.eq(appointment.0))
        .order_by_asc(Column::Version)
        .limit(1)
        .into_tuple()
        .one(at.db())
        .await
        .map_err(|e| engine::fault(&e))?;
    Ok(first.flatten().map(UserId))
}

/// What happened to an appointment after a version, oldest first: all of it, or what is for its customer too.
pub async fn of_appointment(
    at: &impl Executor,
    provider: ProviderId,
    appointment: AppointmentId,
    after: Option<i64>,
    (limit, is_staff): (u64, bool),
) -> Result<Vec<Event>, Fault> {
    let mut query = events::Entity::find()
        .filter(Column::ProviderId.eq(provider.0))
        .filter(Column::AppointmentId.eq(appointment.0))
        .order_by_asc(Column::Version);
    if !is_staff {
        query = query.filter(Column::Kind.ne(ProviderEventKind::AppointmentNoted.word()));
    }
    let place = PagePosition {
        after,
        later: |after: &i64| Condition::all().add(Column::Version.gt(*after)),
        of: |row: &QueryResult| row.try_get("", Column::Version.as_str()),
    };
    readable::page(at, query, place, limit, event).await
}

/// A row of the table.
pub type EventRow = events::Model;

/// What a row is. Data that cannot be read leave out themselves alone, which is told in the log.
pub fn event(row: EventRow) -> Result<Event, Fault> {
    let kind = ProviderEventKind::parse(&row.kind).ok_or_else(|| {
        Fault::internal(format!("event {} of {}: unknown kind", row.version, row.provider_id))
    })?;
    let data = EventData::decode(kind, row.detail).unwrap_or_else(|error| {
        let key = format!("{}/{}", row.provider_id, row.version);
        readable::detail_left_out("events", &key, &error);
        EventData::KindOnly(kind)
    });
    Ok(Event {
        provider: ProviderId(row.provider_id),
        version: row.version,
        appointment: row.appointment_id.map(AppointmentId),
        actor: row.actor_id.map(UserId),
        via: row.via_id.map(ServiceAccountId),
        at: row.occurred_at,
        data,
    })
}
