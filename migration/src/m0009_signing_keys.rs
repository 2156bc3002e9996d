//! The keys that sign access tokens.

use sea_orm_migration::prelude::*;

#[derive(DeriveMigrationName)]
pub(crate) struct Migration;

// A key is next, then active, then retiring, then gone: what it is follows from the instants and the present.
// The private key is sealed with the master key, and is gone as soon as it signs no more. The tag is the
// installation's own, so that a row that somebody else wrote is none. One is active and one is next.
const POSTGRES: &[&str] = &[
    "CREATE TABLE signing_keys (
        kid text PRIMARY KEY,
        public_key bytea NOT NULL,
        sealed_key bytea,
        tag bytea NOT NULL,
        created_at timestamptz NOT NULL,
        activated_at timestamptz,
        retired_at timestamptz,
        gone_at timestamptz,
        CHECK ((retired_at IS NULL) = (gone_at IS NULL)),
        CHECK ((retired_at IS NULL) = (sealed_key IS NOT NULL))
    )",
    "CREATE UNIQUE INDEX signing_keys_one_active ON signing_keys ((retired_at IS NULL))
        WHERE retired_at IS NULL AND activated_at IS NOT NULL",
    "CREATE UNIQUE INDEX signing_keys_one_next ON signing_keys ((retired_at IS NULL))
        WHERE retired_at IS NULL AND activated_at IS NULL",
];

const SQLITE: &[&str] = &[
    "CREATE TABLE signing_keys (
        kid TEXT PRIMARY KEY NOT NULL,
        public_key BLOB NOT NULL,
        sealed_key BLOB,
        tag BLOB NOT NULL,
        created_at TEXT NOT NULL,
        activated_at TEXT,
        retired_at TEXT,
        gone_at TEXT,
        CHECK ((retired_at IS NULL) = (gone_at IS NULL)),
        CHECK ((retired_at IS NULL) = (sealed_key IS NOT NULL))
    ) STRICT",
    "CREATE UNIQUE INDEX signing_keys_one_active ON signing_keys (retired_at IS NULL)
        WHERE retired_at IS NULL AND activated_at IS NOT NULL",
    "CREATE UNIQUE INDEX signing_keys_one_next ON signing_keys (retired_at IS NULL)
        WHERE retired_at IS NULL AND activated_at IS NULL",
];

const DOWN: &[&str] = &["DROP TABLE signing_keys"];

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        crate::run(manager, POSTGRES, SQLITE).await
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        crate::run(manager, DOWN, DOWN).await
    }
}
