//! Second factors of accounts, and recovery codes.

use sea_orm_migration::prelude::*;

#[derive(DeriveMigrationName)]
pub(crate) struct Migration;

const POSTGRES: &[&str] = &[
    // The secrets are sealed with the master key. A pending one takes the place of the other when it is
    // confirmed. `last_step` is the 30 seconds of the last code that was accepted, counted from 1970.
    "CREATE TABLE second_factors (
        user_id uuid PRIMARY KEY REFERENCES users,
        secret bytea,
        last_step bigint NOT NULL,
        confirmed_at timestamptz,
        pending_secret bytea,
        pending_at timestamptz,
        CHECK ((secret IS NULL) = (confirmed_at IS NULL)),
        CHECK ((pending_secret IS NULL) = (pending_at IS NULL))
    )",
    // Only those that are left, each as a keyed hash.
    "CREATE TABLE recovery_codes (
        user_id uuid NOT NULL REFERENCES users,
        code_hash bytea NOT NULL,
        created_at timestamptz NOT NULL,
        PRIMARY KEY (user_id, code_hash)
    )",
];

const SQLITE: &[&str] = &[
    "CREATE TABLE second_factors (
        user_id BLOB PRIMARY KEY NOT NULL REFERENCES users (user_id),
        secret BLOB,
        last_step INTEGER NOT NULL,
        confirmed_at TEXT,
        pending_secret BLOB,
        pending_at TEXT,
        CHECK ((secret IS NULL) = (confirmed_at IS NULL)),
        CHECK ((pending_secret IS NULL) = (pending_at IS NULL))
    ) STRICT",
    "CREATE TABLE recovery_codes (
        user_id BLOB NOT NULL REFERENCES users (user_id),
        code_hash BLOB NOT NULL,
        created_at TEXT NOT NULL,
        PRIMARY KEY (user_id, code_hash)
    ) STRICT",
];

const DOWN: &[&str] = &["DROP TABLE recovery_codes", "DROP TABLE second_factors"];

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        crate::run(manager, POSTGRES, SQLITE).await
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        crate::run(manager, DOWN, DOWN).await
    }
}
