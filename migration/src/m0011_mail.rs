//! Mail: what waits to be sent, the codes in it, and whose addresses were shown to be theirs.

use sea_orm_migration::prelude::*;

#[derive(DeriveMigrationName)]
pub(crate) struct Migration;

const POSTGRES: &[&str] = &[
    "ALTER TABLE users ADD COLUMN email_verified_at timestamptz",
    // Of codes only SHA-256 is kept. `detail` is what becomes of a sign-up: the account to make. The user is
    // not a reference, and indexed also where there is none: a row for nobody takes as long as others.
    "CREATE TABLE email_codes (
        code_hash bytea PRIMARY KEY,
        purpose text NOT NULL,
        user_id uuid,
        email text NOT NULL,
        detail jsonb NOT NULL,
        created_at timestamptz NOT NULL,
        expires_at timestamptz NOT NULL
    )",
    "CREATE INDEX email_codes_by_user ON email_codes (user_id)",
    "CREATE INDEX email_codes_by_email ON email_codes (email)",
    "CREATE INDEX email_codes_by_expiry ON email_codes (expires_at)",
    // A letter is sealed, because the code in it opens an account.
    "CREATE TABLE letters (
        letter_id uuid PRIMARY KEY,
        kind text NOT NULL,
        sealed bytea NOT NULL,
        attempts integer NOT NULL,
        created_at timestamptz NOT NULL,
        due_at timestamptz NOT NULL,
        expires_at timestamptz NOT NULL
    )",
    "CREATE INDEX letters_by_due ON letters (due_at)",
];

const SQLITE: &[&str] = &[
    "ALTER TABLE users ADD COLUMN email_verified_at TEXT",
    "CREATE TABLE email_codes (
        code_hash BLOB PRIMARY KEY NOT NULL,
        purpose TEXT NOT NULL,
        user_id BLOB,
        email TEXT NOT NULL,
        detail TEXT NOT NULL,
        created_at TEXT NOT NULL,
        expires_at TEXT NOT NULL
    ) STRICT",
    "CREATE INDEX email_codes_by_user ON email_codes (user_id)",
    "CREATE INDEX email_codes_by_email ON email_codes (email)",
    "CREATE INDEX email_codes_by_expiry ON email_codes (expires_at)",
    "CREATE TABLE letters (
        letter_id BLOB PRIMARY KEY NOT NULL,
        kind TEXT NOT NULL,
        sealed BLOB NOT NULL,
        attempts INTEGER NOT NULL,
        created_at TEXT NOT NULL,
        due_at TEXT NOT NULL,
        expires_at TEXT NOT NULL
    ) STRICT",
    "CREATE INDEX letters_by_due ON letters (due_at)",
];

const DOWN: &[&str] = &[
    "DROP TABLE letters",
    "DROP TABLE email_codes",
    "ALTER TABLE users DROP COLUMN email_verified_at",
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
