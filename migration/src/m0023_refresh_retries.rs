//! Refresh tokens that were used up shortly before the last one.

use sea_orm_migration::prelude::*;

#[derive(DeriveMigrationName)]
pub(crate) struct Migration;

// One after the other, oldest first: the hash of a token, the salt of its successor and when it was first
// used. Absent where there is none, and where an older version of the server wrote the row.
const POSTGRES: &[&str] = &["ALTER TABLE sessions ADD COLUMN former bytea"];

const SQLITE: &[&str] = &["ALTER TABLE sessions ADD COLUMN former BLOB"];

const DOWN: &[&str] = &["ALTER TABLE sessions DROP COLUMN former"];

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        crate::run(manager, POSTGRES, SQLITE).await
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        crate::run(manager, DOWN, DOWN).await
    }
}
