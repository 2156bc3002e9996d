//! Providers: their schedule and the version that numbers their events.

use sea_orm_migration::prelude::*;

#[derive(DeriveMigrationName)]
pub(crate) struct Migration;

const POSTGRES: &[&str] = &[
    // No foreign key to `users`: the two are distributed by different columns where one PostgreSQL
    // is not enough. They are written in one transaction.
    "CREATE TABLE providers (
        provider_id uuid PRIMARY KEY,
        display_name text NOT NULL,
        enabled boolean NOT NULL,
        time_zone text NOT NULL,
        weekly_hours jsonb NOT NULL,
        slot_minutes integer NOT NULL CHECK (slot_minutes BETWEEN 5 AND 1440),
        longest_minutes integer NOT NULL CHECK (longest_minutes BETWEEN slot_minutes AND 1440),
        version bigint NOT NULL,
        schedule_version bigint NOT NULL,
        schedule_updated_at timestamptz NOT NULL
    ) WITH (fillfactor = 70)",
];

const SQLITE: &[&str] = &["CREATE TABLE providers (
        provider_id BLOB NOT NULL PRIMARY KEY,
        display_name TEXT NOT NULL,
        enabled INTEGER NOT NULL,
        time_zone TEXT NOT NULL,
        weekly_hours TEXT NOT NULL,
        slot_minutes INTEGER NOT NULL CHECK (slot_minutes BETWEEN 5 AND 1440),
        longest_minutes INTEGER NOT NULL CHECK (longest_minutes BETWEEN slot_minutes AND 1440),
        version INTEGER NOT NULL,
        schedule_version INTEGER NOT NULL,
        schedule_updated_at TEXT NOT NULL
    ) STRICT"];

const DOWN: &[&str] = &["DROP TABLE providers"];

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        crate::run(manager, POSTGRES, SQLITE).await
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        crate::run(manager, DOWN, DOWN).await
    }
}
