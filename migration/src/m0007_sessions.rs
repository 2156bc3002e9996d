//! Log-ins that go on: sessions with their refresh tokens, and the audit trail.

use sea_orm_migration::prelude::*;

#[derive(DeriveMigrationName)]
pub(crate) struct Migration;

const POSTGRES: &[&str] = &[
    // Of refresh tokens only SHA-256 is kept: of the present one, and of the one before it with the salt
    // from which the present one was derived, so that a retry whose answer was lost gets the same one.
    "CREATE TABLE sessions (
        user_id uuid NOT NULL REFERENCES users,
        session_id uuid NOT NULL,
        token_hash bytea NOT NULL,
        previous_hash bytea,
        salt bytea,
        created_at timestamptz NOT NULL,
        used_at timestamptz NOT NULL,
        expires_at timestamptz NOT NULL,
        ended_at timestamptz,
        ended_by text,
        address text NOT NULL,
        user_agent text NOT NULL,
        PRIMARY KEY (user_id, session_id),
        CHECK ((ended_at IS NULL) = (ended_by IS NULL)),
        CHECK ((previous_hash IS NULL) = (salt IS NULL))
    )",
    // What other processes ended lately is asked for every second.
    "CREATE INDEX sessions_by_end ON sessions (ended_at) WHERE ended_at IS NOT NULL",
    "CREATE INDEX sessions_by_expiry ON sessions (expires_at)",
    "CREATE TABLE audit_events (
        event_id uuid PRIMARY KEY,
        occurred_at timestamptz NOT NULL,
        kind text NOT NULL,
        user_id uuid,
        actor_id uuid,
        session_id uuid,
        address text NOT NULL,
        detail jsonb NOT NULL
    )",
    "CREATE INDEX audit_events_by_user ON audit_events (user_id, event_id)",
    "CREATE INDEX audit_events_by_kind ON audit_events (kind, event_id)",
];

const SQLITE: &[&str] = &[
    "CREATE TABLE sessions (
        user_id BLOB NOT NULL REFERENCES users (user_id),
        session_id BLOB NOT NULL,
        token_hash BLOB NOT NULL,
        previous_hash BLOB,
        salt BLOB,
        created_at TEXT NOT NULL,
        used_at TEXT NOT NULL,
        expires_at TEXT NOT NULL,
        ended_at TEXT,
        ended_by TEXT,
        address TEXT NOT NULL,
        user_agent TEXT NOT NULL,
        PRIMARY KEY (user_id, session_id),
        CHECK ((ended_at IS NULL) = (ended_by IS NULL)),
        CHECK ((previous_hash IS NULL) = (salt IS NULL))
    ) STRICT",
    "CREATE INDEX sessions_by_end ON sessions (ended_at) WHERE ended_at IS NOT NULL",
    "CREATE INDEX sessions_by_expiry ON sessions (expires_at)",
    "CREATE TABLE audit_events (
        event_id BLOB PRIMARY KEY NOT NULL,
        occurred_at TEXT NOT NULL,
        kind TEXT NOT NULL,
        user_id BLOB,
        actor_id BLOB,
        session_id BLOB,
        address TEXT NOT NULL,
        detail TEXT NOT NULL
    ) STRICT",
    "CREATE INDEX audit_events_by_user ON audit_events (user_id, event_id)",
    "CREATE INDEX audit_events_by_kind ON audit_events (kind, event_id)",
];

const DOWN: &[&str] = &["DROP TABLE audit_events", "DROP TABLE sessions"];

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        crate::run(manager, POSTGRES, SQLITE).await
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        crate::run(manager, DOWN, DOWN).await
    }
}
