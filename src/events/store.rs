//! Events as rows.

use sea_orm::{ActiveValue::Set, EntityTrait};

use super::Event;
use crate::{
    kernel::fault::Fault,
    storage::{Session, Tx, engine, entity::events},
};

/// Appends an event in the transaction of its change.
pub async fn insert(tx: &Tx, event: Event) -> Result<(), Fault> {
    let row = events::ActiveModel {
        provider_id: Set(event.provider.0),
        version: Set(event.version),
        kind: Set(event.kind.word().to_owned()),
        appointment_id: Set(event.appointment.map(|id| id.0)),
        actor_id: Set(event.actor.map(|id| id.0)),
        occurred_at: Set(event.at),
        detail: Set(event.detail),
    };
    events::Entity::insert(row)
        .exec_without_returning(tx.db())
        .await
        .map_err(|e| engine::fault(&e))?;
    Ok(())
}
