//! Service accounts, their API keys, and through which of them something was done.

use sea_orm_migration::prelude::*;

#[derive(DeriveMigrationName)]
pub(crate) struct Migration;

const POSTGRES: &[&str] = &[
    // `act_for` is whom it may act for: any customer, or a list.
    "CREATE TABLE service_accounts (
        service_account_id uuid PRIMARY KEY,
        display_name text NOT NULL,
        role text NOT NULL,
        act_for jsonb NOT NULL,
        disabled boolean NOT NULL,
        version bigint NOT NULL,
        created_at timestamptz NOT NULL,
        updated_at timestamptz NOT NULL
    )",
    // Of a key only SHA-256 of its secret is kept. All keys that are or were good lately are asked for every
    // second; an account has few.
    "CREATE TABLE api_keys (
        api_key_id uuid PRIMARY KEY,
        service_account_id uuid NOT NULL REFERENCES service_accounts,
        key_hash bytea NOT NULL,
        scopes jsonb NOT NULL,
        created_at timestamptz NOT NULL,
        expires_at timestamptz NOT NULL,
        revoked_at timestamptz,
        last_used_at timestamptz,
        last_address text NOT NULL
    )",
    "CREATE INDEX api_keys_by_account ON api_keys (service_account_id, api_key_id)",
    "CREATE INDEX api_keys_by_expiry ON api_keys (expires_at)",
    // The service account through which the actor, or with the actor's own id it itself, did it.
    "ALTER TABLE events ADD COLUMN via_id uuid",
    // Whom nobody may act for is asked for every second.
    "CREATE INDEX users_not_to_act_for ON users (user_id) WHERE role <> 'customer' OR disabled",
];

const SQLITE: &[&str] = &[
    "CREATE TABLE service_accounts (
        service_account_id BLOB PRIMARY KEY NOT NULL,
        display_name TEXT NOT NULL,
        role TEXT NOT NULL,
        act_for TEXT NOT NULL,
        disabled INTEGER NOT NULL,
        version INTEGER NOT NULL,
        created_at TEXT NOT NULL,
        updated_at TEXT NOT NULL
    ) STRICT",
    "CREATE TABLE api_keys (
        api_key_id BLOB PRIMARY KEY NOT NULL,
        service_account_id BLOB NOT NULL REFERENCES service_accounts (service_account_id),
        key_hash BLOB NOT NULL,
        scopes TEXT NOT NULL,
        created_at TEXT NOT NULL,
        expires_at TEXT NOT NULL,
        revoked_at TEXT,
        last_used_at TEXT,
        last_address TEXT NOT NULL
    ) STRICT",
    "CREATE INDEX api_keys_by_account ON api_keys (service_account_id, api_key_id)",
    "CREATE INDEX api_keys_by_expiry ON api_keys (expires_at)",
    "ALTER TABLE events ADD COLUMN via_id BLOB",
    "CREATE INDEX users_not_to_act_for ON users (user_id) WHERE role <> 'customer' OR disabled",
];

const DOWN: &[&str] = &[
    "DROP INDEX users_not_to_act_for",
    "ALTER TABLE events DROP COLUMN via_id",
    "DROP TABLE api_keys",
    "DROP TABLE service_accounts",
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
