//! Zone data: which processes have which, and which appointments' providers were told that a change of rules
//! moved them on the wall.

use sea_orm_migration::prelude::*;

#[derive(DeriveMigrationName)]
pub(crate) struct Migration;

const POSTGRES: &[&str] = &[
    // One row for each process that serves. The version is empty where the data state none.
    "CREATE TABLE zone_data_processes (
        process_id uuid PRIMARY KEY,
        version text NOT NULL,
        digest text NOT NULL,
        seen_at timestamptz NOT NULL
    )",
    // When appointments were last looked through by these data, and until when nobody else does.
    "CREATE TABLE zone_data_looks (
        digest text PRIMARY KEY,
        taken_until timestamptz NOT NULL,
        looked_at timestamptz
    )",
    // The wall-clock time at which an appointment was when its provider was told that it is not the promised one.
    "CREATE TABLE appointment_drifts (
        provider_id uuid NOT NULL,
        appointment_id uuid NOT NULL,
        present text NOT NULL,
        starts_at timestamptz NOT NULL,
        told_at timestamptz NOT NULL,
        PRIMARY KEY (provider_id, appointment_id)
    )",
    "CREATE INDEX appointment_drifts_by_start ON appointment_drifts (starts_at)",
];

const SQLITE: &[&str] = &[
    "CREATE TABLE zone_data_processes (
        process_id BLOB PRIMARY KEY NOT NULL,
        version TEXT NOT NULL,
        digest TEXT NOT NULL,
        seen_at TEXT NOT NULL
    ) STRICT",
    "CREATE TABLE zone_data_looks (
        digest TEXT PRIMARY KEY NOT NULL,
        taken_until TEXT NOT NULL,
        looked_at TEXT
    ) STRICT",
    "CREATE TABLE appointment_drifts (
        provider_id BLOB NOT NULL,
        appointment_id BLOB NOT NULL,
        present TEXT NOT NULL,
        starts_at TEXT NOT NULL,
        told_at TEXT NOT NULL,
        PRIMARY KEY (provider_id, appointment_id)
    ) STRICT",
    "CREATE INDEX appointment_drifts_by_start ON appointment_drifts (starts_at)",
];

const DOWN: &[&str] = &[
    "DROP TABLE appointment_drifts",
    "DROP TABLE zone_data_looks",
    "DROP TABLE zone_data_processes",
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
