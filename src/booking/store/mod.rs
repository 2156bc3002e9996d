//! Appointments as rows.

pub mod folded;
pub mod found;

use chrono::TimeDelta;
use sea_orm::{
    ColumnTrait, Condition, DatabaseBackend, EntityTrait, QueryFilter, QueryOrder, QuerySelect,
    Statement,
};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::{Appointment, State};
use crate::{
    identity::permit::ListAppointments,
    kernel::{
        fault::Fault,
        id::{AppointmentId, ProviderId, UserId},
        time::{Instant, Interval},
    },
    schedule::parse_zone,
    storage::{
        Engine, Session, Snapshot, Tx,
        engine::{self, Constraint},
        entity::appointments,
    },
};

/// Finds an appointment.
pub async fn find(
    at: &impl Session,
    provider: ProviderId,
    id: AppointmentId,
) -> Result<Option<Appointment>, Fault> {
    let row = appointments::Entity::find_by_id((provider.0, id.0)).one(at.db()).await;
    row.map_err(|e| engine::fault(&e))?.map(appointment).transpose()
}

/// Which of two claims stands in the way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Overlap {
    /// The provider's time is taken.
    Provider,
    /// The customer has another appointment then.
    Customer,
}

const INSERT: &str = "INSERT INTO appointments (provider_id, appointment_id, customer_id, \
    customer_display_name, starts_at, ends_at, state, note, time_zone, local_start, cancel_reason, \
    version, created_at, updated_at, claim_starts_at, claim_ends_at) \
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $5, $6) ON CONFLICT DO NOTHING";

/// Claims the time of a new appointment, or tells what stands in the way.
///
/// Never a plain insert: on PostgreSQL two of those on overlapping intervals wait for each other until
/// the deadlock detector picks a victim, and `ON CONFLICT DO NOTHING` does not. On SQLite a trigger
/// refuses.
pub async fn claim(tx: &Tx, a: &Appointment) -> Result<Option<Overlap>, Fault> {
    let values = [
        a.provider.0.into(),
        a.id.0.into(),
        a.customer.0.into(),
        a.customer_display_name.clone().into(),
        a.start.into(),
        a.end.into(),
        a.state.word().into(),
        a.note.clone().into(),
        a.time_zone.name().into(),
        a.local_start.clone().into(),
        a.cancel_reason.clone().into(),
        a.version.into(),
        a.created_at.into(),
        a.updated_at.into(),
    ];
    match tx.execute(Statement::from_sql_and_values(backend(tx.engine()), INSERT, values)).await {
        Ok(done) if done.rows_affected() == 1 => Ok(None),
        Ok(_) => Ok(Some(in_the_way(tx, a).await?)),
        Err(e) => match engine::violated(&e) {
            Some(Constraint::ProviderOverlap) => Ok(Some(Overlap::Provider)),
            Some(Constraint::CustomerOverlap) => Ok(Some(Overlap::Customer)),
            _ => Err(engine::fault(&e)),
        },
    }
}

/// Nothing was inserted, so one of the two constraints holds against it. The provider's is told
/// first: it is what another slot would cure.
async fn in_the_way(tx: &Tx, a: &Appointment) -> Result<Overlap, Fault> {
    let taken = appointments::Entity::find()
        .filter(appointments::Column::ProviderId.eq(a.provider.0))
        .filter(appointments::Column::State.is_in([State::Booked.word(), State::Completed.word()]))
        .filter(overlapping(Interval::new(a.start, a.end)))
        .limit(1)
        .one(tx.db())
        .await
        .map_err(|e| engine::fault(&e))?;
    Ok(if taken.is_some() { Overlap::Provider } else { Overlap::Customer })
}

/// Writes back the state of an appointment whose provider was locked before.
pub async fn update(tx: &Tx, a: &Appointment) -> Result<(), Fault> {
    let done = appointments::Entity::update_many()
        .col_expr(appointments::Column::State, a.state.word().into())
        .col_expr(appointments::Column::CancelReason, a.cancel_reason.clone().into())
        .col_expr(appointments::Column::Version, a.version.into())
        .col_expr(appointments::Column::UpdatedAt, a.updated_at.into())
        .filter(appointments::Column::ProviderId.eq(a.provider.0))
        .filter(appointments::Column::AppointmentId.eq(a.id.0))
        .exec(tx.db())
        .await
        .map_err(|e| engine::fault(&e))?;
    if done.rows_affected != 1 {
        return Err(Fault::internal(format!("{} rows updated for {}", done.rows_affected, a.id)));
    }
    Ok(())
}

/// Which appointments to list.
#[derive(Debug, Clone)]
pub struct Filter {
    /// Whose; from the permit.
    pub bounds: ListAppointments,
    /// In which states; none means all.
    pub states: Vec<State>,
    /// Not those that end at or before this.
    pub from: Option<Instant>,
    /// Not those that start at or after this.
    pub until: Option<Instant>,
}

/// Where a page ended: the keys of its last appointment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cursor {
    /// Its start.
    pub start: Instant,
    /// Its id.
    pub id: Uuid,
}

/// A page of appointments, by start and then by id.
pub async fn list(
    at: &Snapshot,
    filter: &Filter,
    after: Option<Cursor>,
    limit: u64,
) -> Result<Vec<Appointment>, Fault> {
    use appointments::Column;
    let mut query = appointments::Entity::find();
    if let Some(provider) = filter.bounds.provider {
        query = query.filter(Column::ProviderId.eq(provider.0));
    }
    if let Some(customer) = filter.bounds.customer {
        query = query.filter(Column::CustomerId.eq(customer.0));
    }
    if !filter.states.is_empty() {
        query = query.filter(Column::State.is_in(filter.states.iter().map(|s| s.word())));
    }
    if let Some(from) = filter.from {
        query = query
            .filter(Column::EndsAt.gt(from))
            // Implied, since none is longer than a day; it gives the index something to begin at.
            .filter(Column::StartsAt.gt(from - TimeDelta::days(1)));
    }
    if let Some(until) = filter.until {
        query = query.filter(Column::StartsAt.lt(until));
    }
    if let Some(after) = after {
        query = query.filter(
            Condition::any().add(Column::StartsAt.gt(after.start)).add(
                Condition::all()
                    .add(Column::StartsAt.eq(after.start))
                    .add(Column::AppointmentId.gt(after.id)),
            ),
        );
        query = query.filter(Column::StartsAt.gte(after.start));
    }
    let rows = query
        .order_by_asc(Column::StartsAt)
        .order_by_asc(Column::AppointmentId)
        .limit(limit)
        .all(at.db())
        .await
        .map_err(|e| engine::fault(&e))?;
    rows.into_iter().map(appointment).collect()
}

fn overlapping(interval: Option<Interval>) -> Condition {
    use appointments::Column;
    let Some(interval) = interval else { return Condition::any() };
    Condition::all()
        .add(Column::StartsAt.lt(interval.end()))
        .add(Column::EndsAt.gt(interval.start()))
        .add(Column::StartsAt.gt(interval.start() - TimeDelta::days(1)))
}

fn backend(engine: Engine) -> DatabaseBackend {
    match engine {
        Engine::Postgres => DatabaseBackend::Postgres,
        Engine::Sqlite => DatabaseBackend::Sqlite,
    }
}

fn appointment(row: appointments::Model) -> Result<Appointment, Fault> {
    let id = row.appointment_id;
    let senseless = |what: &str| Fault::internal(format!("appointments row {id}: {what}"));
    Ok(Appointment {
        provider: ProviderId(row.provider_id),
        id: AppointmentId(id),
        customer: UserId(row.customer_id),
        customer_display_name: row.customer_display_name,
        start: row.starts_at,
        end: row.ends_at,
        state: State::parse(&row.state).ok_or_else(|| senseless("unknown state"))?,
        note: row.note,
        time_zone: parse_zone(&row.time_zone).ok_or_else(|| senseless("unknown zone"))?,
        local_start: row.local_start,
        cancel_reason: row.cancel_reason,
        version: row.version,
        created_at: row.created_at,
        updated_at: row.updated_at,
    })
}
