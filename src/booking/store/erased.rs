//! What is known about erased people in appointments, in their events, and in the answers about them.

use std::collections::BTreeSet;

use sea_orm::{ColumnTrait, Condition, EntityTrait, QueryFilter, QueryOrder, QuerySelect};
use serde_json::Value;

use super::appointment;
use crate::{
    booking::{Appointment, EXPIRED, State},
    kernel::{
        fault::Fault,
        id::{ProviderId, UserId},
        time::Instant,
    },
    storage::{
        Engine, Session, Tx, engine,
        entity::{
            appointments::{Column, Entity},
            events, requests, users,
        },
    },
};

/// What of an event's detail says when, which and what, and nothing that people wrote.
const FACTS: [&str; 8] =
    ["start", "end", "previous_start", "previous_end", "customer", "type", "expires", "hold"];

/// What is still to come: it is cancelled, and not only made anonymous.
fn open(now: Instant) -> Condition {
    let waiting = [State::Held.word(), State::Pending.word()];
    let to_come =
        Condition::all().add(Column::State.eq(State::Booked.word())).add(Column::StartsAt.gt(now));
    Condition::any().add(Column::State.is_in(waiting)).add(to_come)
}

/// Whose rows of an erased customer, or of an erased provider, are still to be looked after.
fn left(user: UserId, now: Instant) -> Condition {
    let named = Condition::any().add(Column::CustomerDisplayName.ne("")).add(open(now));
    let as_customer = Condition::all().add(Column::CustomerId.eq(user.0)).add(named);
    let as_provider = Condition::all().add(Column::ProviderId.eq(user.0)).add(open(now));
    Condition::any().add(as_customer).add(as_provider)
}

/// The first provider with an appointment or hold that an erasure has still to look after.
pub async fn next(
    at: &impl Session,
    user: UserId,
    now: Instant,
) -> Result<Option<ProviderId>, Fault> {
    let row = Entity::find()
        .filter(left(user, now))
        .order_by_asc(Column::ProviderId)
        .limit(1)
        .one(at.db())
        .await
        .map_err(|e| engine::fault(&e))?;
    Ok(row.map(|row| ProviderId(row.provider_id)))
}

/// Those of a locked provider, the first to start first.
pub async fn at_provider(
    tx: &Tx,
    provider: ProviderId,
    user: UserId,
    now: Instant,
    limit: u64,
) -> Result<Vec<Appointment>, Fault> {
    let rows = Entity::find()
        .filter(Column::ProviderId.eq(provider.0))
        .filter(left(user, now))
        .order_by_asc(Column::StartsAt)
        .order_by_asc(Column::AppointmentId)
        .limit(limit)
        .all(tx.db())
        .await
        .map_err(|e| engine::fault(&e))?;
    rows.into_iter().map(appointment).collect()
}

/// Locks customers, erased or not, in the order of their ids: whoever writes to a customer's claims does.
pub async fn lock_customers(tx: &Tx, customers: BTreeSet<UserId>) -> Result<(), Fault> {
    if tx.engine() != Engine::Postgres {
        return Ok(());
    }
    users::Entity::find()
        .filter(users::Column::UserId.is_in(customers.into_iter().map(|id| id.0)))
        .order_by_asc(users::Column::UserId)
        .lock(sea_orm::sea_query::LockType::NoKeyUpdate)
        .all(tx.db())
        .await
        .map_err(|e| engine::fault(&e))?;
    Ok(())
}

/// Takes from the events of appointments what people wrote. Kinds, times, ids and versions stay.
pub async fn forget_words(tx: &Tx, of: &[Appointment]) -> Result<(), Fault> {
    let Some(provider) = of.first().map(|a| a.provider) else { return Ok(()) };
    let rows = events::Entity::find()
        .filter(events::Column::ProviderId.eq(provider.0))
        .filter(events::Column::AppointmentId.is_in(of.iter().map(|a| a.id.0)))
        .all(tx.db())
        .await
        .map_err(|e| engine::fault(&e))?;
    for row in rows {
        let Value::Object(mut detail) = row.detail else { continue };
        let before = detail.len();
        detail.retain(|key, value| {
            FACTS.contains(&&**key) || (key == "reason" && value.as_str() == Some(EXPIRED))
        });
        if detail.len() == before {
            continue;
        }
        events::Entity::update_many()
            .col_expr(
                events::Column::Detail,
                sea_orm::sea_query::Expr::value(Value::Object(detail)),
            )
            .filter(events::Column::ProviderId.eq(row.provider_id))
            .filter(events::Column::Version.eq(row.version))
            .exec(tx.db())
            .await
            .map_err(|e| engine::fault(&e))?;
    }
    Ok(())
}

/// Makes the answers about a customer's appointments with a locked provider anonymous, which others may
/// still ask for by their request ids.
pub async fn anonymise_answers(
    tx: &Tx,
    provider: ProviderId,
    customer: UserId,
    anonymous: impl Fn(Appointment) -> Appointment,
) -> Result<(), Fault> {
    let rows = requests::Entity::find()
        .filter(requests::Column::OwnerId.eq(provider.0))
        .filter(requests::Column::Response.contains(customer.0.to_string()))
        .all(tx.db())
        .await
        .map_err(|e| engine::fault(&e))?;
    for row in rows {
        let Ok(answer) = serde_json::from_str::<Appointment>(&row.response) else { continue };
        if answer.customer != customer || answer.customer_display_name.is_empty() {
            continue;
        }
        let response = crate::storage::request::Once::encode(&anonymous(answer))?;
        requests::Entity::update_many()
            .col_expr(requests::Column::Response, response.into())
            .filter(requests::Column::OwnerId.eq(row.owner_id))
            .filter(requests::Column::CallerId.eq(row.caller_id))
            .filter(requests::Column::RequestId.eq(row.request_id))
            .exec(tx.db())
            .await
            .map_err(|e| engine::fault(&e))?;
    }
    Ok(())
}
