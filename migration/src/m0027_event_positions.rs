//! One order of the events of all providers, given after they are committed.
//!
//! A row is a stretch of versions of one provider. Nothing that books writes here: whoever reads the order gives the
//! positions that are missing.

use sea_orm_migration::prelude::*;

#[derive(DeriveMigrationName)]
pub(crate) struct Migration;

const POSTGRES: &[&str] = &[
    "CREATE TABLE event_positions (
        position bigint PRIMARY KEY,
        provider_id uuid NOT NULL REFERENCES providers (provider_id),
        first_version bigint NOT NULL,
        last_version bigint NOT NULL CHECK (last_version >= first_version),
        stamp bigint NOT NULL,
        created_at timestamptz NOT NULL,
        UNIQUE (provider_id, last_version)
    )",
    "CREATE INDEX event_positions_by_provider ON event_positions (provider_id, position)",
    "CREATE TABLE event_heads (
        provider_id uuid PRIMARY KEY REFERENCES providers (provider_id),
        last_version bigint NOT NULL
    )",
    // One row, which is the lock of whoever gives positions.
    "CREATE TABLE event_order (
        one smallint PRIMARY KEY CHECK (one = 1),
        last_position bigint NOT NULL,
        removed_position bigint NOT NULL
    )",
    "INSERT INTO event_order VALUES (1, 0, 0)",
];

const SQLITE: &[&str] = &[
    "CREATE TABLE event_positions (
        position INTEGER PRIMARY KEY,
        provider_id BLOB NOT NULL REFERENCES providers (provider_id),
        first_version INTEGER NOT NULL,
        last_version INTEGER NOT NULL CHECK (last_version >= first_version),
        stamp INTEGER NOT NULL,
        created_at TEXT NOT NULL,
        UNIQUE (provider_id, last_version)
    ) STRICT",
    "CREATE INDEX event_positions_by_provider ON event_positions (provider_id, position)",
    "CREATE TABLE event_heads (
        provider_id BLOB PRIMARY KEY REFERENCES providers (provider_id),
        last_version INTEGER NOT NULL
    ) STRICT, WITHOUT ROWID",
    "CREATE TABLE event_order (
        one INTEGER PRIMARY KEY CHECK (one = 1),
        last_position INTEGER NOT NULL,
        removed_position INTEGER NOT NULL
    ) STRICT",
    "INSERT INTO event_order VALUES (1, 0, 0)",
];

const DOWN: &[&str] =
    &["DROP TABLE event_order", "DROP TABLE event_heads", "DROP TABLE event_positions"];

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        crate::run(manager, POSTGRES, SQLITE).await
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        crate::run(manager, DOWN, DOWN).await
    }
}
