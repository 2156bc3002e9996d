//! Appointments, and the database's own refusal of double booking.

use sea_orm_migration::prelude::*;

#[derive(DeriveMigrationName)]
pub(crate) struct Migration;

const POSTGRES: &[&str] = &[
    // GiST over uuid. The extension is trusted: the owner of the database may create it.
    "CREATE EXTENSION IF NOT EXISTS btree_gist",
    // An appointment that is booked or completed is a claim on its provider and on its customer.
    // The customer's constraint holds on one database only; it cannot be distributed by provider.
    "CREATE TABLE appointments (
        provider_id uuid NOT NULL REFERENCES providers (provider_id),
        appointment_id uuid NOT NULL,
        customer_id uuid NOT NULL,
        customer_display_name text NOT NULL,
        starts_at timestamptz NOT NULL,
        ends_at timestamptz NOT NULL,
        state text NOT NULL CHECK (state IN ('booked', 'completed', 'cancelled')),
        note text NOT NULL,
        time_zone text NOT NULL,
        local_start text NOT NULL,
        cancel_reason text NOT NULL,
        version bigint NOT NULL,
        created_at timestamptz NOT NULL,
        updated_at timestamptz NOT NULL,
        PRIMARY KEY (provider_id, appointment_id),
        CONSTRAINT appointments_length
            CHECK (ends_at > starts_at AND ends_at <= starts_at + interval '24 hours'),
        CONSTRAINT appointments_provider_overlap EXCLUDE USING gist
            (provider_id WITH =, tstzrange(starts_at, ends_at) WITH &&)
            WHERE (state IN ('booked', 'completed')),
        CONSTRAINT appointments_customer_overlap EXCLUDE USING gist
            (customer_id WITH =, tstzrange(starts_at, ends_at) WITH &&)
            WHERE (state IN ('booked', 'completed'))
    )",
    "CREATE INDEX appointments_by_provider
        ON appointments (provider_id, starts_at, appointment_id) INCLUDE (ends_at, state)",
    "CREATE INDEX appointments_by_customer ON appointments (customer_id, starts_at, appointment_id)",
    "CREATE INDEX appointments_by_start ON appointments (starts_at, appointment_id)",
];

pub(crate) const SQLITE: &[&str] = &[
    "CREATE TABLE appointments (
        provider_id BLOB NOT NULL REFERENCES providers (provider_id),
        appointment_id BLOB NOT NULL,
        customer_id BLOB NOT NULL,
        customer_display_name TEXT NOT NULL,
        starts_at TEXT NOT NULL,
        ends_at TEXT NOT NULL,
        state TEXT NOT NULL CHECK (state IN ('booked', 'completed', 'cancelled')),
        note TEXT NOT NULL,
        time_zone TEXT NOT NULL,
        local_start TEXT NOT NULL,
        cancel_reason TEXT NOT NULL,
        version INTEGER NOT NULL,
        created_at TEXT NOT NULL,
        updated_at TEXT NOT NULL,
        PRIMARY KEY (provider_id, appointment_id),
        CONSTRAINT appointments_length
            CHECK (unixepoch(ends_at) - unixepoch(starts_at) BETWEEN 1 AND 86400),
        CONSTRAINT appointments_form CHECK (
            starts_at GLOB '[0-9][0-9][0-9][0-9]-[0-9][0-9]-[0-9][0-9]T[0-9][0-9]:[0-9][0-9]:[0-9][0-9]+00:00'
            AND ends_at GLOB '[0-9][0-9][0-9][0-9]-[0-9][0-9]-[0-9][0-9]T[0-9][0-9]:[0-9][0-9]:[0-9][0-9]+00:00')
    ) STRICT",
    "CREATE INDEX appointments_by_provider
        ON appointments (provider_id, starts_at, appointment_id, ends_at, state)",
    "CREATE INDEX appointments_by_customer
        ON appointments (customer_id, starts_at, appointment_id, ends_at, state)",
    "CREATE INDEX appointments_by_start ON appointments (starts_at, appointment_id)",
    // One writer at a time makes these checks exact. Instants are text of one form (checked) and
    // in UTC, so that their order as text is their order in time. No appointment is longer than a
    // day, which bounds how far back an overlapping one can start.
    "CREATE TRIGGER appointments_overlap_insert BEFORE INSERT ON appointments
        WHEN NEW.state IN ('booked', 'completed')
        BEGIN
            SELECT RAISE(ABORT, 'appointments_provider_overlap') WHERE EXISTS (
                SELECT 1 FROM appointments a
                WHERE a.provider_id = NEW.provider_id
                  AND a.starts_at < NEW.ends_at AND a.ends_at > NEW.starts_at
                  AND a.starts_at >= strftime('%Y-%m-%dT%H:%M:%S+00:00', NEW.starts_at, '-1 day')
                  AND a.state IN ('booked', 'completed'));
            SELECT RAISE(ABORT, 'appointments_customer_overlap') WHERE EXISTS (
                SELECT 1 FROM appointments a
                WHERE a.customer_id = NEW.customer_id
                  AND a.starts_at < NEW.ends_at AND a.ends_at > NEW.starts_at
                  AND a.starts_at >= strftime('%Y-%m-%dT%H:%M:%S+00:00', NEW.starts_at, '-1 day')
                  AND a.state IN ('booked', 'completed'));
        END",
    "CREATE TRIGGER appointments_overlap_update
        BEFORE UPDATE OF state, starts_at, ends_at, provider_id, customer_id ON appointments
        WHEN NEW.state IN ('booked', 'completed')
        BEGIN
            SELECT RAISE(ABORT, 'appointments_provider_overlap') WHERE EXISTS (
                SELECT 1 FROM appointments a
                WHERE a.provider_id = NEW.provider_id
                  AND a.appointment_id <> OLD.appointment_id
                  AND a.starts_at < NEW.ends_at AND a.ends_at > NEW.starts_at
                  AND a.starts_at >= strftime('%Y-%m-%dT%H:%M:%S+00:00', NEW.starts_at, '-1 day')
                  AND a.state IN ('booked', 'completed'));
            SELECT RAISE(ABORT, 'appointments_customer_overlap') WHERE EXISTS (
                SELECT 1 FROM appointments a
                WHERE a.customer_id = NEW.customer_id
                  AND a.appointment_id <> OLD.appointment_id
                  AND a.starts_at < NEW.ends_at AND a.ends_at > NEW.starts_at
                  AND a.starts_at >= strftime('%Y-%m-%dT%H:%M:%S+00:00', NEW.starts_at, '-1 day')
                  AND a.state IN ('booked', 'completed'));
        END",
];

const DOWN: &[&str] = &["DROP TABLE appointments"];

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        crate::run(manager, POSTGRES, SQLITE).await
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        crate::run(manager, DOWN, DOWN).await
    }
}
