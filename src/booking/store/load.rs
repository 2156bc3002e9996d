//! What providers have to do.

use sea_orm::{ColumnTrait, EntityTrait, QueryFilter, QuerySelect};

use super::CLAIMING;
use crate::{
    booking::State,
    kernel::{
        fault::Fault,
        id::ProviderId,
        time::{Instant, Interval},
    },
    storage::{
        Executor as _, Tx, engine,
        entity::appointments::{Column, Entity},
    },
};

/// All appointments and holds with a locked provider that start in a range.
pub async fn booked(
    tx: &Tx,
    provider: ProviderId,
    range: Interval,
) -> Result<Vec<Interval>, Fault> {
    let rows: Vec<(Instant, Instant)> = Entity::find()
        .select_only()
        .columns([Column::StartsAt, Column::EndsAt])
        .filter(Column::ProviderId.eq(provider.0))
        .filter(Column::ClaimOf.is_null())
        .filter(Column::State.is_in(CLAIMING.map(State::word)))
        .filter(Column::StartsAt.gte(range.start()))
        .filter(Column::StartsAt.lt(range.end()))
        .into_tuple()
        .all(tx.db())
        .await
        .map_err(|e| engine::fault(&e))?;
    Ok(rows.into_iter().filter_map(|(start, end)| Interval::new(start, end)).collect())
}
