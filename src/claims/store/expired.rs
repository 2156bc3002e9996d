//! Claims that have expired, as rows.

use sea_orm::{
    ColumnTrait, EntityTrait, QueryFilter, QueryOrder, QuerySelect, Statement, Value,
    sea_query::ArrayType,
};
use uuid::Uuid;

use super::backend;
use crate::{
    claims::{
        State,
        kind::{Kind, KindColumns},
    },
    kernel::{
        fault::Fault,
        id::{AppointmentId, ProviderId, UserId},
        time::{Instant, Interval},
    },
    storage::{
        Engine, Executor as _, Reader, Tx, engine,
        entity::appointments::{self, Column},
    },
};

/// What is held or pending at a locked provider and has expired, the first to expire first: which, when, and
/// what it was. No more than that is read, so that what cannot be read ends as well.
pub async fn expired(
    tx: &Tx,
    provider: ProviderId,
    now: Instant,
) -> Result<Vec<(AppointmentId, Instant, Kind)>, Fault> {
    let rows: Vec<(Uuid, Uuid, Instant, String, Option<Uuid>)> = appointments::Entity::find()
        .select_only()
        .columns([Column::AppointmentId, Column::CustomerId])
        .columns([Column::ExpiresAt, Column::State, Column::ClaimOf])
        .filter(Column::ProviderId.eq(provider.0))
        .filter(Column::ExpiresAt.lte(now))
        .order_by_asc(Column::ExpiresAt)
        .order_by_asc(Column::AppointmentId)
        .into_tuple()
        .all(tx.db())
        .await
        .map_err(|e| engine::fault(&e))?;
    let expired = |(id, customer, at, state, claim_of): (Uuid, Uuid, Instant, String, _)| {
        let row = KindColumns { subject: provider.0, customer, claim_of, state: &state };
        (AppointmentId(id), at, Kind::of(row))
    };
    Ok(rows.into_iter().map(expired).collect())
}

/// The providers with an expired request of this customer that overlaps an interval. It no longer counts,
/// and is still in the way of the customer's constraint until its expiry is written down.
pub async fn expired_elsewhere(
    at: &Reader,
    customer: UserId,
    interval: Interval,
    now: Instant,
) -> Result<Vec<ProviderId>, Fault> {
    let rows: Vec<Uuid> = appointments::Entity::find()
        .select_only()
        .column(Column::ProviderId)
        .filter(Column::CustomerId.eq(customer.0))
        .filter(Column::State.eq(State::Pending.word()))
        .filter(Column::ExpiresAt.lte(now))
        .filter(Column::StartsAt.lt(interval.end()))
        .filter(Column::EndsAt.gt(interval.start()))
        .order_by_asc(Column::ProviderId)
        .into_tuple()
        .all(at.db())
        .await
        .map_err(|e| engine::fault(&e))?;
    let mut providers: Vec<_> = rows.into_iter().map(ProviderId).collect();
    providers.dedup();
    Ok(providers)
}

// In the order of the ids, so that two who do it wait for each other in no circle. No more than what keeps an account
// from being renamed, merged or erased: those write what its customer has booked.
const LOCK_CUSTOMERS: &str = "SELECT 1 FROM users
    WHERE user_id IN (SELECT customer_id FROM appointments WHERE provider_id = $1 AND appointment_id = ANY ($2))
    ORDER BY user_id FOR KEY SHARE";

/// Locks the customers of these appointments and holds of a locked provider until the transaction ends. On SQLite the
/// transaction is the only writer.
pub async fn lock_customers(
    tx: &Tx,
    provider: ProviderId,
    ids: &[AppointmentId],
) -> Result<(), Fault> {
    if ids.is_empty() || tx.engine() != Engine::Postgres {
        return Ok(());
    }
    let ids = ids.iter().map(|id| Value::from(id.0)).collect();
    let values = [provider.0.into(), Value::Array(ArrayType::Uuid, Some(Box::new(ids)))];
    let backend = backend(tx.engine());
    let statement = Statement::from_sql_and_values(backend, LOCK_CUSTOMERS, values);
    tx.execute(statement).await.map_err(|e| engine::fault(&e))?;
    Ok(())
}
