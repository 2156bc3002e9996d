//! What counts for the limits of types and of holds, and for the load of providers.

use sea_orm::{
    ColumnTrait as _, EntityTrait as _, PaginatorTrait as _, QueryFilter as _, QueryOrder as _,
    QuerySelect as _,
};
use uuid::Uuid;

use super::{claiming, lasts};
use crate::{
    claims::{State, state::OPEN},
    kernel::{
        fault::Fault,
        id::{AppointmentId, ProviderId, TypeId, UserId},
        time::{Instant, Interval},
    },
    storage::{
        Executor as _, Tx, engine,
        entity::appointments::{self, Column},
    },
};

/// The appointments and holds of a type with a provider that start in a range and count for its limits,
/// except some.
pub async fn counted(
    tx: &Tx,
    provider: ProviderId,
    type_id: TypeId,
    range: Interval,
    except: &[AppointmentId],
) -> Result<Vec<Interval>, Fault> {
    let rows: Vec<(Uuid, Option<Uuid>, Instant, Instant)> = appointments::Entity::find()
        .select_only()
        .columns([Column::AppointmentId, Column::ClaimOf, Column::StartsAt, Column::EndsAt])
        .filter(Column::ProviderId.eq(provider.0))
        .filter(Column::TypeId.eq(type_id.0))
        .filter(claiming())
        .filter(Column::StartsAt.gte(range.start()))
        .filter(Column::StartsAt.lt(range.end()))
        .order_by_asc(Column::StartsAt)
        .into_tuple()
        .all(tx.db())
        .await
        .map_err(|e| engine::fault(&e))?;
    let others =
        rows.into_iter().filter(|(id, of, ..)| !except.contains(&AppointmentId(of.unwrap_or(*id))));
    Ok(others.filter_map(|(_, _, start, end)| Interval::new(start, end)).collect())
}

/// How many appointments of a type a customer has requested or booked and not yet begun. Exact while the
/// customer's row is locked.
pub async fn open_of_customer(
    tx: &Tx,
    customer: UserId,
    type_id: TypeId,
    now: Instant,
) -> Result<u64, Fault> {
    appointments::Entity::find()
        .filter(Column::CustomerId.eq(customer.0))
        .filter(Column::TypeId.eq(type_id.0))
        .filter(Column::ClaimOf.is_null())
        .filter(Column::StartsAt.gt(now))
        .filter(Column::State.is_in(OPEN.map(State::word)))
        .filter(lasts(now))
        .count(tx.db())
        .await
        .map_err(|e| engine::fault(&e))
}

/// How many slots a customer holds. Exact while the customer's row is locked.
pub async fn held_by(tx: &Tx, customer: UserId, now: Instant) -> Result<u64, Fault> {
    appointments::Entity::find()
        .filter(Column::CustomerId.eq(customer.0))
        .filter(Column::ClaimOf.is_null())
        .filter(Column::State.eq(State::Held.word()))
        .filter(Column::ExpiresAt.gt(now))
        .count(tx.db())
        .await
        .map_err(|e| engine::fault(&e))
}

/// All appointments and holds with a locked provider that start in a range.
pub async fn booked(
    tx: &Tx,
    provider: ProviderId,
    range: Interval,
) -> Result<Vec<Interval>, Fault> {
    let rows: Vec<(Instant, Instant)> = appointments::Entity::find()
        .select_only()
        .columns([Column::StartsAt, Column::EndsAt])
        .filter(Column::ProviderId.eq(provider.0))
        .filter(Column::ClaimOf.is_null())
        .filter(claiming())
        .filter(Column::StartsAt.gte(range.start()))
        .filter(Column::StartsAt.lt(range.end()))
        .into_tuple()
        .all(tx.db())
        .await
        .map_err(|e| engine::fault(&e))?;
    Ok(rows.into_iter().filter_map(|(start, end)| Interval::new(start, end)).collect())
}
