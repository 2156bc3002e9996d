//! Erasures: accounts that were deleted, and what is still to be done of it.

use sea_orm_migration::prelude::*;

#[derive(DeriveMigrationName)]
pub(crate) struct Migration;

const POSTGRES: &[&str] = &[
    // The row stays, without anything about the person, because appointments point to its id.
    "ALTER TABLE users ADD COLUMN erased_at timestamptz",
    // Whose appointments are still to be cancelled and made anonymous; empty nearly always.
    "CREATE TABLE erasures (
        user_id uuid PRIMARY KEY REFERENCES users,
        actor_id uuid NOT NULL,
        created_at timestamptz NOT NULL
    )",
    // A keyed hash of the address, by which letters that wait are found when their reader is erased.
    "ALTER TABLE letters ADD COLUMN recipient bytea",
    "CREATE INDEX letters_by_recipient ON letters (recipient)",
];

const SQLITE: &[&str] = &[
    "ALTER TABLE users ADD COLUMN erased_at TEXT",
    "CREATE TABLE erasures (
        user_id BLOB PRIMARY KEY NOT NULL REFERENCES users (user_id),
        actor_id BLOB NOT NULL,
        created_at TEXT NOT NULL
    ) STRICT",
    "ALTER TABLE letters ADD COLUMN recipient BLOB",
    "CREATE INDEX letters_by_recipient ON letters (recipient)",
];

const DOWN: &[&str] = &[
    "DROP INDEX letters_by_recipient",
    "ALTER TABLE letters DROP COLUMN recipient",
    "DROP TABLE erasures",
    "ALTER TABLE users DROP COLUMN erased_at",
];

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        crate::run(manager, POSTGRES, SQLITE).await
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        crate::run(manager, DOWN, DOWN).await
    }
}
