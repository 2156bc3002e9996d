//! Holds as rows.

use sea_orm::{ColumnTrait, EntityTrait, QueryFilter, QueryOrder};

use super::{AppointmentCursor, appointment, page};
use crate::{
    booking::{Appointment, State},
    claims::margins::LONGEST,
    identity::permit::ListAppointments,
    kernel::{
        fault::Fault,
        id::{ProviderId, UserId},
        time::Instant,
    },
    storage::{
        Executor, Reader, Tx, engine,
        entity::appointments::{self, Column},
    },
};

/// What a customer holds with a provider who was locked before, the first start first.
pub async fn with(
    tx: &Tx,
    provider: ProviderId,
    customer: UserId,
    now: Instant,
) -> Result<Vec<Appointment>, Fault> {
    let rows = appointments::Entity::find()
        .filter(Column::ProviderId.eq(provider.0))
        .filter(Column::ClaimOf.is_null())
        .filter(Column::ExpiresAt.gt(now))
        .filter(Column::State.eq(State::Held.word()))
        .filter(Column::CustomerId.eq(customer.0))
        .order_by_asc(Column::StartsAt)
        .all(tx.db())
        .await
        .map_err(|e| engine::fault(&e))?;
    rows.into_iter().map(appointment).collect()
}

/// Which holds to list.
#[derive(Debug, Clone, Copy)]
pub struct Filter {
    /// Whose; from the permit. One of both is set.
    pub bounds: ListAppointments,
    /// The present: what has ended is none.
    pub now: Instant,
    /// Not those that end at or before this.
    pub from: Option<Instant>,
    /// Not those that start at or after this.
    pub until: Option<Instant>,
}

/// A page of holds, by start and then by id.
pub async fn list(
    at: &Reader,
    filter: &Filter,
    after: Option<AppointmentCursor>,
    limit: u64,
) -> Result<Vec<Appointment>, Fault> {
    let mut query = appointments::Entity::find()
        .filter(Column::State.eq(State::Held.word()))
        .filter(Column::ClaimOf.is_null())
        .filter(Column::ExpiresAt.gt(filter.now));
    if let Some(provider) = filter.bounds.provider {
        query = query.filter(Column::ProviderId.eq(provider.0));
    }
    if let Some(customer) = filter.bounds.customer {
        // The second is implied, since holds are placed ahead and none lasts so long; it gives the index something to
        // begin at.
        query = query
            .filter(Column::CustomerId.eq(customer.0))
            .filter(Column::StartsAt.gt(filter.now - LONGEST));
    }
    if let Some(from) = filter.from {
        query = query.filter(Column::EndsAt.gt(from));
    }
    if let Some(until) = filter.until {
        query = query.filter(Column::StartsAt.lt(until));
    }
    page(at, query, after, limit).await
}
