//! Which master key a recovery code was hashed with.

use sea_orm_migration::prelude::*;

#[derive(DeriveMigrationName)]
pub(crate) struct Migration;

// The id of the master key, as in what it sealed. Nothing for codes from before: the hash does not tell.
const POSTGRES: &[&str] = &["ALTER TABLE recovery_codes ADD COLUMN key_id bytea"];

const SQLITE: &[&str] = &["ALTER TABLE recovery_codes ADD COLUMN key_id BLOB"];

const DOWN: &[&str] = &["ALTER TABLE recovery_codes DROP COLUMN key_id"];

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        crate::run(manager, POSTGRES, SQLITE).await
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        crate::run(manager, DOWN, DOWN).await
    }
}
