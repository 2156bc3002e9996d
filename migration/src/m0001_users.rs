//! Accounts and their history.

use sea_orm_migration::prelude::*;

#[derive(DeriveMigrationName)]
pub(crate) struct Migration;

const POSTGRES: &[&str] = &[
    "CREATE TABLE users (
        user_id uuid PRIMARY KEY,
        email text NOT NULL,
        display_name text NOT NULL,
        password_hash text NOT NULL,
        role text NOT NULL CHECK (role IN ('customer', 'provider', 'admin')),
        time_zone text NOT NULL,
        disabled boolean NOT NULL,
        token_generation bigint NOT NULL,
        tokens_ended_at timestamptz,
        kept_session uuid,
        version bigint NOT NULL,
        created_at timestamptz NOT NULL,
        updated_at timestamptz NOT NULL
    )",
    "CREATE UNIQUE INDEX users_email ON users (email)",
    // Each process asks every second whose tokens were ended lately.
    "CREATE INDEX users_tokens_ended ON users (tokens_ended_at) WHERE tokens_ended_at IS NOT NULL",
    "CREATE TABLE user_events (
        user_id uuid NOT NULL REFERENCES users (user_id),
        version bigint NOT NULL,
        kind text NOT NULL,
        actor_id uuid,
        occurred_at timestamptz NOT NULL,
        detail jsonb NOT NULL,
        PRIMARY KEY (user_id, version)
    )",
];

const SQLITE: &[&str] = &[
    "CREATE TABLE users (
        user_id BLOB NOT NULL PRIMARY KEY,
        email TEXT NOT NULL,
        display_name TEXT NOT NULL,
        password_hash TEXT NOT NULL,
        role TEXT NOT NULL CHECK (role IN ('customer', 'provider', 'admin')),
        time_zone TEXT NOT NULL,
        disabled INTEGER NOT NULL,
        token_generation INTEGER NOT NULL,
        tokens_ended_at TEXT,
        kept_session BLOB,
        version INTEGER NOT NULL,
        created_at TEXT NOT NULL,
        updated_at TEXT NOT NULL
    ) STRICT",
    "CREATE UNIQUE INDEX users_email ON users (email)",
    "CREATE INDEX users_tokens_ended ON users (tokens_ended_at) WHERE tokens_ended_at IS NOT NULL",
    "CREATE TABLE user_events (
        user_id BLOB NOT NULL REFERENCES users (user_id),
        version INTEGER NOT NULL,
        kind TEXT NOT NULL,
        actor_id BLOB,
        occurred_at TEXT NOT NULL,
        detail TEXT NOT NULL,
        PRIMARY KEY (user_id, version)
    ) STRICT, WITHOUT ROWID",
];

const DOWN: &[&str] = &["DROP TABLE user_events", "DROP TABLE users"];

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        crate::run(manager, POSTGRES, SQLITE).await
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        crate::run(manager, DOWN, DOWN).await
    }
}
