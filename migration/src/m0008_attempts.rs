//! Attempts at secrets, counted.

use sea_orm_migration::prelude::*;

#[derive(DeriveMigrationName)]
pub(crate) struct Migration;

// The key is a keyed hash of an account's address, a device, a network address, or of nothing for all.
const POSTGRES: &[&str] = &[
    "CREATE TABLE attempts (
        key bytea PRIMARY KEY,
        count integer NOT NULL,
        since timestamptz NOT NULL,
        blocked_until timestamptz
    )",
    "CREATE INDEX attempts_by_age ON attempts USING brin (since)",
];

const SQLITE: &[&str] = &[
    "CREATE TABLE attempts (
        key BLOB PRIMARY KEY NOT NULL,
        count INTEGER NOT NULL,
        since TEXT NOT NULL,
        blocked_until TEXT
    ) STRICT",
    "CREATE INDEX attempts_by_age ON attempts (since)",
];

const DOWN: &[&str] = &["DROP TABLE attempts"];

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        crate::run(manager, POSTGRES, SQLITE).await
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        crate::run(manager, DOWN, DOWN).await
    }
}
