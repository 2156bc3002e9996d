//! Which drifts providers were told of, as rows.

use sea_orm::{
    ActiveValue::Set,
    ColumnTrait, EntityTrait, QueryFilter, QuerySelect,
    sea_query::{Expr, ExprTrait as _, OnConflict},
};
use uuid::Uuid;

use crate::{
    booking::commands::drift::Drifted,
    kernel::{fault::Fault, id::ProviderId, time::Instant},
    storage::{
        Executor as _, Tx, UnitOfWork, engine,
        entity::appointment_drifts::{ActiveModel, Column, Entity},
    },
};

/// How many rows are forgotten in one statement.
const BATCH: u64 = 1000;

/// Notes that a provider is told of a drift; whether that is new. One that drifted elsewhere since is new.
pub async fn note(
    tx: &Tx,
    provider: ProviderId,
    drifted: &Drifted,
    now: Instant,
) -> Result<bool, Fault> {
    let row = ActiveModel {
        provider_id: Set(provider.0),
        appointment_id: Set(drifted.id.0),
        present: Set(drifted.present.clone()),
        starts_at: Set(drifted.start),
        told_at: Set(now),
    };
    let is_other = Expr::col((Entity, Column::Present))
        .ne(drifted.present.as_str())
        .or(Expr::col((Entity, Column::StartsAt)).ne(drifted.start));
    let conflict = OnConflict::columns([Column::ProviderId, Column::AppointmentId])
        .update_columns([Column::Present, Column::StartsAt, Column::ToldAt])
        .action_and_where(is_other)
        .to_owned();
    let done = Entity::insert(row).on_conflict(conflict).exec_without_returning(tx.db()).await;
    Ok(done.map_err(|e| engine::fault(&e))? > 0)
}

/// Forgets some drifts of appointments that have begun; how many.
#[derive(Debug, Clone, Copy)]
pub struct ForgetDrifts {
    /// Current time.
    pub now: Instant,
}

impl UnitOfWork for ForgetDrifts {
    type Output = u64;
    const AUTHORITY: crate::storage::Authority = crate::storage::Authority::Nobody;

    async fn run(&self, tx: &Tx) -> Result<u64, Fault> {
        let over: Vec<(Uuid, Uuid)> = Entity::find()
            .select_only()
            .columns([Column::ProviderId, Column::AppointmentId])
            .filter(Column::StartsAt.lte(self.now))
            .limit(BATCH)
            .into_tuple()
            .all(tx.db())
            .await
            .map_err(|e| engine::fault(&e))?;
        if over.is_empty() {
            return Ok(0);
        }
        let ids = over.into_iter().map(|(_, appointment)| appointment);
        let done = Entity::delete_many()
            .filter(Column::StartsAt.lte(self.now))
            .filter(Column::AppointmentId.is_in(ids))
            .exec(tx.db())
            .await;
        Ok(done.map_err(|e| engine::fault(&e))?.rows_affected)
    }
}
