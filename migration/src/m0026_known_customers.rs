//! Whom a provider knows, by an index: a provider's search for customers read all of the provider's appointments.

use sea_orm_migration::prelude::*;

#[derive(DeriveMigrationName)]
pub(crate) struct Migration;

// With what tells whether a hold has expired, so that no row is read.
const UP_POSTGRES: &[&str] = &["CREATE INDEX appointments_by_known_customer
    ON appointments (provider_id, customer_id) INCLUDE (state, expires_at) WHERE claim_of IS NULL"];
const UP_SQLITE: &[&str] = &["CREATE INDEX appointments_by_known_customer
    ON appointments (provider_id, customer_id, state, expires_at) WHERE claim_of IS NULL"];

const DOWN: &[&str] = &["DROP INDEX appointments_by_known_customer"];

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        crate::run(manager, UP_POSTGRES, UP_SQLITE).await
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        crate::run(manager, DOWN, DOWN).await
    }
}
