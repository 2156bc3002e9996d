//! What the readiness probe writes to see that commits are acknowledged.

use sea_orm_migration::prelude::*;

#[derive(DeriveMigrationName)]
pub(crate) struct Migration;

// One row, which all processes write: each write is one statement, so that none waits for another process.
const UP: &[&str] =
    &["CREATE TABLE health_probes (id integer NOT NULL PRIMARY KEY, writes bigint NOT NULL)"];

const DOWN: &[&str] = &["DROP TABLE health_probes"];

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        crate::run(manager, UP, UP).await
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        crate::run(manager, DOWN, DOWN).await
    }
}
