//! What is known about erased people in appointments, in their events, and in the answers about them.

use std::collections::BTreeSet;

use sea_orm::{ColumnTrait, Condition, EntityTrait, QueryFilter, QueryOrder, QuerySelect};
use serde_json::Value;
use uuid::Uuid;

use crate::{
    booking::{Appointment, EXPIRED, State},
    events::erase,
    kernel::{
        fault::Fault,
        id::{ProviderId, UserId},
        time::Instant,
    },
    storage::{
        Engine, Executor, Tx, engine,
        entity::{
            appointments::{Column, Entity},
            events, providers, requests, users,
        },
    },
};

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
    // What an appointment claims of its customer's own time goes with it.
    Condition::all()
        .add(Column::ClaimOf.is_null())
        .add(Condition::any().add(as_customer).add(as_provider))
}

/// The customers, who are providers too, of what is still to come with an erased provider or customer.
pub async fn attending(
    at: &impl Executor,
    provider: ProviderId,
    user: UserId,
    now: Instant,
) -> Result<BTreeSet<ProviderId>, Fault> {
    let rows: Vec<Uuid> = Entity::find()
        .select_only()
        .column(Column::CustomerId)
        .filter(Column::ProviderId.eq(provider.0))
        .filter(left(user, now))
        .filter(
            Column::CustomerId.in_subquery(
                sea_orm::sea_query::Query::select()
                    .column(providers::Column::ProviderId)
                    .from(providers::Entity)
                    .to_owned(),
            ),
        )
        .into_tuple()
        .all(at.db())
        .await
        .map_err(|e| engine::fault(&e))?;
    Ok(rows.into_iter().map(ProviderId).collect())
}

/// The first provider after this one with an appointment or hold that an erasure has still to look after.
pub async fn next(
    at: &impl Executor,
    user: UserId,
    after: Option<ProviderId>,
    now: Instant,
) -> Result<Option<ProviderId>, Fault> {
    let mut query = Entity::find()
        .select_only()
        .column(Column::ProviderId)
        .filter(left(user, now))
        .order_by_asc(Column::ProviderId)
        .limit(1);
    if let Some(after) = after {
        query = query.filter(Column::ProviderId.gt(after.0));
    }
    let found: Option<Uuid> =
        query.into_tuple().one(at.db()).await.map_err(|e| engine::fault(&e))?;
    Ok(found.map(ProviderId))
}

/// Those of a locked provider that can be read, the first to start first.
pub async fn at_provider(
    tx: &Tx,
    provider: ProviderId,
    user: UserId,
    now: Instant,
    limit: u64,
) -> Result<Vec<Appointment>, Fault> {
    let query = Entity::find().filter(Column::ProviderId.eq(provider.0)).filter(left(user, now));
    crate::booking::store::page(tx, query, None, limit).await
}

/// Locks customers, erased or not, in the order of their ids: whoever writes to a customer's claims does.
pub async fn lock_customers(tx: &Tx, customers: BTreeSet<UserId>) -> Result<(), Fault> {
    if tx.engine() != Engine::Postgres {
        return Ok(());
    }
    let locked: Result<Vec<Uuid>, _> = users::Entity::find()
        .select_only()
        .column(users::Column::UserId)
        .filter(users::Column::UserId.is_in(customers.into_iter().map(|id| id.0)))
        .order_by_asc(users::Column::UserId)
        .lock(sea_orm::sea_query::LockType::NoKeyUpdate)
        .into_tuple()
        .all(tx.db())
        .await;
    locked.map_err(|e| engine::fault(&e))?;
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
        let Some(detail) = erase::without_words(row.detail, EXPIRED) else { continue };
        events::Entity::update_many()
            .col_expr(events::Column::Detail, sea_orm::sea_query::Expr::value(detail))
            .filter(events::Column::ProviderId.eq(row.provider_id))
            .filter(events::Column::Version.eq(row.version))
            .exec(tx.db())
            .await
            .map_err(|e| engine::fault(&e))?;
    }
    Ok(())
}

/// An answer about a customer's appointment that cannot be read as one, such as with a zone that is not known
/// here, without what people wrote; nothing for other answers.
fn without_words(response: &str, customer: UserId) -> Option<String> {
    let mut answer: Value = serde_json::from_str(response).ok()?;
    let fields = answer.as_object_mut()?;
    if fields.get("customer")?.as_str()? != customer.0.to_string() {
        return None;
    }
    for word in ["customer_display_name", "note", "cancel_reason"] {
        fields.insert(word.to_owned(), Value::from(""));
    }
    fields.insert("terms".to_owned(), Value::Object(serde_json::Map::new()));
    Some(answer.to_string())
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
        let response = match serde_json::from_str::<Appointment>(&row.response) {
            Ok(answer) if answer.customer != customer => continue,
            Ok(answer) if answer.customer_display_name.is_empty() => continue,
            Ok(answer) => crate::storage::idempotency::IdempotencyKey::encode(&anonymous(answer))?,
            Err(_) => match without_words(&row.response, customer) {
                Some(response) => response,
                None => continue,
            },
        };
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
