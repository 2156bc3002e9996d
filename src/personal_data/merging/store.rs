//! What a customer whose account goes into another one has with providers: appointments, requests and holds.

use std::collections::BTreeSet;

use sea_orm::{ColumnTrait, EntityTrait, QueryFilter, QueryOrder, QuerySelect};
use uuid::Uuid;

use crate::{
    booking::State,
    claims::{Overlap, state::TO_COME, store::overlap},
    kernel::{
        fault::Fault,
        id::{AppointmentId, ProviderId, UserId},
        time::Instant,
    },
    storage::{
        Executor, Tx, engine,
        entity::{
            appointments::{Column, Entity},
            events,
        },
    },
};

/// A row of a customer's with a provider.
#[derive(Debug, Clone, Copy)]
pub struct Row {
    /// Unique id.
    pub id: AppointmentId,
    /// Whether it is a hold.
    pub is_held: bool,
    /// Whether it is still to come, or held, and so carries the name that its customer has now.
    pub is_open: bool,
    /// Whether it is further time of another row, and no appointment and no hold.
    pub is_further: bool,
}

/// The providers with whom a customer has or had something.
pub async fn providers(
    at: &impl Executor,
    customer: UserId,
) -> Result<BTreeSet<ProviderId>, Fault> {
    let rows: Vec<Uuid> = Entity::find()
        .select_only()
        .column(Column::ProviderId)
        .distinct()
        .filter(Column::CustomerId.eq(customer.0))
        .into_tuple()
        .all(at.db())
        .await
        .map_err(|e| engine::fault(&e))?;
    Ok(rows.into_iter().map(ProviderId).collect())
}

/// What a customer has with a locked provider, the first to start first; so many at most. No more than what is needed
/// is read, so that what cannot be read moves as well.
pub async fn rows(
    tx: &Tx,
    provider: ProviderId,
    customer: UserId,
    limit: u64,
) -> Result<Vec<Row>, Fault> {
    let rows: Vec<(Uuid, String, Option<Uuid>)> = Entity::find()
        .select_only()
        .columns([Column::AppointmentId, Column::State, Column::ClaimOf])
        .filter(Column::ProviderId.eq(provider.0))
        .filter(Column::CustomerId.eq(customer.0))
        .order_by_asc(Column::StartsAt)
        .order_by_asc(Column::AppointmentId)
        .limit(limit)
        .into_tuple()
        .all(tx.db())
        .await
        .map_err(|e| engine::fault(&e))?;
    let open = TO_COME.map(State::word);
    let row = |(id, state, of): (Uuid, String, Option<Uuid>)| Row {
        id: AppointmentId(id),
        is_held: state == State::Held.word(),
        is_open: open.contains(&&*state),
        is_further: of.is_some(),
    };
    Ok(rows.into_iter().map(row).collect())
}

/// Gives a row of a locked provider to another customer, as a version of the provider, or tells that it overlaps
/// something that this customer has.
///
/// On PostgreSQL the transaction is of no more use then.
pub async fn give(
    tx: &Tx,
    provider: ProviderId,
    row: Row,
    (customer, name): (UserId, &str),
    (version, now): (i64, Instant),
) -> Result<Option<Overlap>, Fault> {
    let mut update = Entity::update_many()
        .col_expr(Column::CustomerId, customer.0.into())
        .col_expr(Column::Version, version.into())
        .col_expr(Column::Stamp, tx.stamp().0.into())
        .filter(Column::ProviderId.eq(provider.0))
        .filter(Column::AppointmentId.eq(row.id.0));
    if !row.is_further {
        update = update
            .col_expr(Column::UpdatedAt, now.into())
            .col_expr(Column::CustomerUpdatedAt, None::<Instant>.into());
        if row.is_open {
            update = update.col_expr(Column::CustomerDisplayName, name.into());
        }
    }
    match update.exec(tx.db()).await {
        Ok(_) => Ok(None),
        Err(e) => overlap(&e).map(Some).ok_or_else(|| engine::fault(&e)),
    }
}

/// Says in the history of rows of a locked provider that the other customer did what the one before did: it is one
/// person.
pub async fn give_history(
    tx: &Tx,
    provider: ProviderId,
    rows: &[Row],
    (from, to): (UserId, UserId),
) -> Result<(), Fault> {
    for some in rows.chunks(500) {
        events::Entity::update_many()
            .col_expr(events::Column::ActorId, to.0.into())
            .filter(events::Column::ProviderId.eq(provider.0))
            .filter(events::Column::AppointmentId.is_in(some.iter().map(|row| row.id.0)))
            .filter(events::Column::ActorId.eq(from.0))
            .exec(tx.db())
            .await
            .map_err(|e| engine::fault(&e))?;
    }
    Ok(())
}
