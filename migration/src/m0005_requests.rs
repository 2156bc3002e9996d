//! Requests that were carried out, so that a retry gives the same answer.

use sea_orm_migration::prelude::*;

#[derive(DeriveMigrationName)]
pub(crate) struct Migration;

const POSTGRES: &[&str] = &[
    // `owner_id` is the provider (or the account) that the request changed, so that the row lives
    // with what it changed. The second key is what makes an id single-use for a caller whatever it
    // was used on; it holds on one database only.
    "CREATE TABLE requests (
        owner_id uuid NOT NULL,
        caller_id uuid NOT NULL,
        request_id uuid NOT NULL,
        fingerprint bytea NOT NULL,
        version bigint NOT NULL,
        response text NOT NULL,
        created_at timestamptz NOT NULL,
        PRIMARY KEY (owner_id, caller_id, request_id),
        CONSTRAINT requests_once UNIQUE (caller_id, request_id)
    )",
    // Old requests are forgotten; rows come in the order of their age, so this index costs nothing.
    "CREATE INDEX requests_by_age ON requests USING brin (created_at)",
];

const SQLITE: &[&str] = &[
    "CREATE TABLE requests (
        owner_id BLOB NOT NULL,
        caller_id BLOB NOT NULL,
        request_id BLOB NOT NULL,
        fingerprint BLOB NOT NULL,
        version INTEGER NOT NULL,
        response TEXT NOT NULL,
        created_at TEXT NOT NULL,
        PRIMARY KEY (caller_id, request_id)
    ) STRICT",
    "CREATE INDEX requests_by_age ON requests (created_at)",
];

const DOWN: &[&str] = &["DROP TABLE requests"];

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        crate::run(manager, POSTGRES, SQLITE).await
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        crate::run(manager, DOWN, DOWN).await
    }
}
