//! The events of a provider: one row a change, numbered without gaps.

use sea_orm_migration::prelude::*;

#[derive(DeriveMigrationName)]
pub(crate) struct Migration;

const POSTGRES: &[&str] = &["CREATE TABLE events (
        provider_id uuid NOT NULL REFERENCES providers (provider_id),
        version bigint NOT NULL,
        kind text NOT NULL,
        appointment_id uuid,
        actor_id uuid,
        occurred_at timestamptz NOT NULL,
        detail jsonb NOT NULL,
        PRIMARY KEY (provider_id, version)
    )"];

const SQLITE: &[&str] = &["CREATE TABLE events (
        provider_id BLOB NOT NULL REFERENCES providers (provider_id),
        version INTEGER NOT NULL,
        kind TEXT NOT NULL,
        appointment_id BLOB,
        actor_id BLOB,
        occurred_at TEXT NOT NULL,
        detail TEXT NOT NULL,
        PRIMARY KEY (provider_id, version)
    ) STRICT, WITHOUT ROWID"];

const DOWN: &[&str] = &["DROP TABLE events"];

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        crate::run(manager, POSTGRES, SQLITE).await
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        crate::run(manager, DOWN, DOWN).await
    }
}
