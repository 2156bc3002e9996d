//! The age of requests by a B-tree, in PostgreSQL: by the index that it replaces, each batch of what is forgotten
//! read again what the batches before had removed.

use sea_orm_migration::prelude::*;

#[derive(DeriveMigrationName)]
pub(crate) struct Migration;

const UP: &[&str] =
    &["DROP INDEX requests_by_age", "CREATE INDEX requests_by_age ON requests (created_at)"];

const DOWN: &[&str] = &[
    "DROP INDEX requests_by_age",
    "CREATE INDEX requests_by_age ON requests USING brin (created_at)",
];

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        // SQLite has had a B-tree from the first.
        crate::run(manager, UP, &[]).await
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        crate::run(manager, DOWN, &[]).await
    }
}
