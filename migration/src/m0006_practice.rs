//! What practices need beyond bare intervals: appointment types, claims with buffers and expiry, plans
//! of providers, closures, and the way from an appointment to its history.

use sea_orm_migration::prelude::*;

#[derive(DeriveMigrationName)]
pub(crate) struct Migration;

const POSTGRES: &[&str] = &[
    // What can be booked. No owner means the practice. Small, and the same for every provider: where one
    // PostgreSQL is not enough it is a reference table.
    "CREATE TABLE appointment_types (
        type_id uuid PRIMARY KEY,
        owner_id uuid,
        terms jsonb NOT NULL,
        link_code text NOT NULL,
        archived boolean NOT NULL,
        version bigint NOT NULL,
        created_at timestamptz NOT NULL,
        updated_at timestamptz NOT NULL
    )",
    "CREATE TABLE type_events (
        type_id uuid NOT NULL REFERENCES appointment_types (type_id),
        version bigint NOT NULL,
        kind text NOT NULL,
        actor_id uuid,
        occurred_at timestamptz NOT NULL,
        detail jsonb NOT NULL,
        PRIMARY KEY (type_id, version)
    )",
    // Changed under the lock of the provider's row, as a version of its schedule. No schedule means the
    // default one.
    "CREATE TABLE offerings (
        provider_id uuid NOT NULL REFERENCES providers (provider_id),
        type_id uuid NOT NULL REFERENCES appointment_types (type_id),
        schedule_id text,
        created_at timestamptz NOT NULL,
        PRIMARY KEY (provider_id, type_id)
    )",
    "CREATE INDEX offerings_by_type ON offerings (type_id, provider_id)",
    // A change of these is a version of every provider's schedule.
    "CREATE TABLE closures (
        closure_id uuid PRIMARY KEY,
        starts_at timestamptz NOT NULL,
        ends_at timestamptz NOT NULL CHECK (ends_at > starts_at),
        reason text NOT NULL,
        created_at timestamptz NOT NULL
    )",
    "CREATE INDEX closures_by_end ON closures (ends_at)",
    // Date overrides, stays, named schedules and time off; read and written as one, under one version.
    "ALTER TABLE providers ADD COLUMN plan jsonb NOT NULL DEFAULT '{}',
        ADD COLUMN last_assigned_at timestamptz",
    // A claim is the interval with its buffers. What has an expiry claims until then.
    "ALTER TABLE appointments
        ADD COLUMN type_id uuid,
        ADD COLUMN claim_starts_at timestamptz,
        ADD COLUMN claim_ends_at timestamptz,
        ADD COLUMN expires_at timestamptz,
        ADD COLUMN terms jsonb NOT NULL DEFAULT '{}'",
    "UPDATE appointments SET claim_starts_at = starts_at, claim_ends_at = ends_at",
    "ALTER TABLE appointments
        ALTER COLUMN claim_starts_at SET NOT NULL,
        ALTER COLUMN claim_ends_at SET NOT NULL,
        DROP CONSTRAINT appointments_state_check,
        DROP CONSTRAINT appointments_provider_overlap,
        DROP CONSTRAINT appointments_customer_overlap",
    "DROP INDEX appointments_by_provider",
    "ALTER TABLE appointments
        ADD CONSTRAINT appointments_state_check CHECK (state IN
            ('held', 'pending', 'booked', 'completed', 'no_show', 'cancelled', 'declined')),
        ADD CONSTRAINT appointments_claim CHECK (
            claim_starts_at BETWEEN starts_at - interval '4 hours' AND starts_at
            AND claim_ends_at BETWEEN ends_at AND ends_at + interval '4 hours'),
        ADD CONSTRAINT appointments_expiry
            CHECK ((expires_at IS NOT NULL) = (state IN ('held', 'pending'))),
        ADD CONSTRAINT appointments_provider_overlap EXCLUDE USING gist
            (provider_id WITH =, tstzrange(claim_starts_at, claim_ends_at) WITH &&)
            WHERE (state IN ('held', 'pending', 'booked', 'completed', 'no_show')),
        ADD CONSTRAINT appointments_customer_overlap EXCLUDE USING gist
            (customer_id WITH =, tstzrange(starts_at, ends_at) WITH &&)
            WHERE (state IN ('pending', 'booked', 'completed', 'no_show'))",
    "CREATE INDEX appointments_by_provider ON appointments (provider_id, starts_at, appointment_id)
        INCLUDE (ends_at, claim_starts_at, claim_ends_at, expires_at, type_id, state)",
    "CREATE INDEX appointments_by_expiry ON appointments (provider_id, expires_at)
        WHERE expires_at IS NOT NULL",
    "CREATE INDEX events_by_appointment ON events (provider_id, appointment_id, version)
        WHERE appointment_id IS NOT NULL",
];

const SQLITE: &[&str] = &[
    "CREATE TABLE appointment_types (
        type_id BLOB NOT NULL PRIMARY KEY,
        owner_id BLOB,
        terms TEXT NOT NULL,
        link_code TEXT NOT NULL,
        archived INTEGER NOT NULL,
        version INTEGER NOT NULL,
        created_at TEXT NOT NULL,
        updated_at TEXT NOT NULL
    ) STRICT",
    "CREATE TABLE type_events (
        type_id BLOB NOT NULL REFERENCES appointment_types (type_id),
        version INTEGER NOT NULL,
        kind TEXT NOT NULL,
        actor_id BLOB,
        occurred_at TEXT NOT NULL,
        detail TEXT NOT NULL,
        PRIMARY KEY (type_id, version)
    ) STRICT, WITHOUT ROWID",
    "CREATE TABLE offerings (
        provider_id BLOB NOT NULL REFERENCES providers (provider_id),
        type_id BLOB NOT NULL REFERENCES appointment_types (type_id),
        schedule_id TEXT,
        created_at TEXT NOT NULL,
        PRIMARY KEY (provider_id, type_id)
    ) STRICT",
    "CREATE INDEX offerings_by_type ON offerings (type_id, provider_id)",
    "CREATE TABLE closures (
        closure_id BLOB NOT NULL PRIMARY KEY,
        starts_at TEXT NOT NULL,
        ends_at TEXT NOT NULL,
        reason TEXT NOT NULL,
        created_at TEXT NOT NULL,
        CHECK (ends_at > starts_at)
    ) STRICT",
    "CREATE INDEX closures_by_end ON closures (ends_at)",
    "ALTER TABLE providers ADD COLUMN plan TEXT NOT NULL DEFAULT '{}'",
    "ALTER TABLE providers ADD COLUMN last_assigned_at TEXT",
    // SQLite cannot change the checks of a table, so there is a new one. Its triggers and indexes go with
    // the old one.
    "CREATE TABLE appointments_new (
        provider_id BLOB NOT NULL REFERENCES providers (provider_id),
        appointment_id BLOB NOT NULL,
        customer_id BLOB NOT NULL,
        customer_display_name TEXT NOT NULL,
        starts_at TEXT NOT NULL,
        ends_at TEXT NOT NULL,
        state TEXT NOT NULL CHECK (state IN
            ('held', 'pending', 'booked', 'completed', 'no_show', 'cancelled', 'declined')),
        note TEXT NOT NULL,
        time_zone TEXT NOT NULL,
        local_start TEXT NOT NULL,
        cancel_reason TEXT NOT NULL,
        version INTEGER NOT NULL,
        created_at TEXT NOT NULL,
        updated_at TEXT NOT NULL,
        type_id BLOB,
        claim_starts_at TEXT NOT NULL,
        claim_ends_at TEXT NOT NULL,
        expires_at TEXT,
        terms TEXT NOT NULL DEFAULT '{}',
        PRIMARY KEY (provider_id, appointment_id),
        CONSTRAINT appointments_length
            CHECK (unixepoch(ends_at) - unixepoch(starts_at) BETWEEN 1 AND 86400),
        CONSTRAINT appointments_claim CHECK (
            unixepoch(starts_at) - unixepoch(claim_starts_at) BETWEEN 0 AND 14400
            AND unixepoch(claim_ends_at) - unixepoch(ends_at) BETWEEN 0 AND 14400),
        CONSTRAINT appointments_expiry
            CHECK ((expires_at IS NOT NULL) = (state IN ('held', 'pending'))),
        CONSTRAINT appointments_form CHECK (
            starts_at GLOB '[0-9][0-9][0-9][0-9]-[0-9][0-9]-[0-9][0-9]T[0-9][0-9]:[0-9][0-9]:[0-9][0-9]+00:00'
            AND ends_at GLOB '[0-9][0-9][0-9][0-9]-[0-9][0-9]-[0-9][0-9]T[0-9][0-9]:[0-9][0-9]:[0-9][0-9]+00:00'
            AND claim_starts_at GLOB '[0-9][0-9][0-9][0-9]-[0-9][0-9]-[0-9][0-9]T[0-9][0-9]:[0-9][0-9]:[0-9][0-9]+00:00'
            AND claim_ends_at GLOB '[0-9][0-9][0-9][0-9]-[0-9][0-9]-[0-9][0-9]T[0-9][0-9]:[0-9][0-9]:[0-9][0-9]+00:00')
    ) STRICT",
    "INSERT INTO appointments_new SELECT provider_id, appointment_id, customer_id,
        customer_display_name, starts_at, ends_at, state, note, time_zone, local_start, cancel_reason,
        version, created_at, updated_at, NULL, starts_at, ends_at, NULL, '{}' FROM appointments",
    "DROP TABLE appointments",
    "ALTER TABLE appointments_new RENAME TO appointments",
    "CREATE INDEX appointments_by_provider ON appointments (provider_id, starts_at, appointment_id,
        ends_at, claim_starts_at, claim_ends_at, expires_at, type_id, state)",
    "CREATE INDEX appointments_by_customer
        ON appointments (customer_id, starts_at, appointment_id, ends_at, state)",
    "CREATE INDEX appointments_by_start ON appointments (starts_at, appointment_id)",
    "CREATE INDEX appointments_by_expiry ON appointments (provider_id, expires_at)
        WHERE expires_at IS NOT NULL",
    "CREATE INDEX events_by_appointment ON events (provider_id, appointment_id, version)
        WHERE appointment_id IS NOT NULL",
    // One writer at a time makes these checks exact. Instants are text of one form (checked) and in UTC,
    // so that their order as text is their order in time. No appointment is longer than a day and no
    // buffer longer than four hours, which bounds how far back an overlapping one can start.
    // One trigger for both, because the provider's claim is to be told first and SQLite does not say in
    // which order it runs several.
    "CREATE TRIGGER appointments_overlap_insert BEFORE INSERT ON appointments
        WHEN NEW.state IN ('held', 'pending', 'booked', 'completed', 'no_show')
        BEGIN
            SELECT RAISE(ABORT, 'appointments_provider_overlap')
            WHERE NEW.state IN ('held', 'pending', 'booked', 'completed', 'no_show') AND EXISTS (
                SELECT 1 FROM appointments a
                WHERE a.provider_id = NEW.provider_id
                  AND a.claim_starts_at < NEW.claim_ends_at AND a.claim_ends_at > NEW.claim_starts_at
                  AND a.starts_at >= strftime('%Y-%m-%dT%H:%M:%S+00:00', NEW.claim_starts_at, '-28 hours')
                  AND a.starts_at < strftime('%Y-%m-%dT%H:%M:%S+00:00', NEW.claim_ends_at, '+4 hours')
                  AND a.state IN ('held', 'pending', 'booked', 'completed', 'no_show'));
            SELECT RAISE(ABORT, 'appointments_customer_overlap')
            WHERE NEW.state IN ('pending', 'booked', 'completed', 'no_show') AND EXISTS (
                SELECT 1 FROM appointments a
                WHERE a.customer_id = NEW.customer_id
                  AND a.starts_at < NEW.ends_at AND a.ends_at > NEW.starts_at
                  AND a.starts_at >= strftime('%Y-%m-%dT%H:%M:%S+00:00', NEW.starts_at, '-1 day')
                  AND a.state IN ('pending', 'booked', 'completed', 'no_show'));
        END",
    "CREATE TRIGGER appointments_overlap_update
        BEFORE UPDATE OF state, starts_at, ends_at, claim_starts_at, claim_ends_at, provider_id, customer_id
        ON appointments
        WHEN NEW.state IN ('held', 'pending', 'booked', 'completed', 'no_show')
        BEGIN
            SELECT RAISE(ABORT, 'appointments_provider_overlap')
            WHERE NEW.state IN ('held', 'pending', 'booked', 'completed', 'no_show') AND EXISTS (
                SELECT 1 FROM appointments a
                WHERE a.provider_id = NEW.provider_id
                  AND a.appointment_id <> OLD.appointment_id
                  AND a.claim_starts_at < NEW.claim_ends_at AND a.claim_ends_at > NEW.claim_starts_at
                  AND a.starts_at >= strftime('%Y-%m-%dT%H:%M:%S+00:00', NEW.claim_starts_at, '-28 hours')
                  AND a.starts_at < strftime('%Y-%m-%dT%H:%M:%S+00:00', NEW.claim_ends_at, '+4 hours')
                  AND a.state IN ('held', 'pending', 'booked', 'completed', 'no_show'));
            SELECT RAISE(ABORT, 'appointments_customer_overlap')
            WHERE NEW.state IN ('pending', 'booked', 'completed', 'no_show') AND EXISTS (
                SELECT 1 FROM appointments a
                WHERE a.customer_id = NEW.customer_id
                  AND (a.provider_id <> OLD.provider_id OR a.appointment_id <> OLD.appointment_id)
                  AND a.starts_at < NEW.ends_at AND a.ends_at > NEW.starts_at
                  AND a.starts_at >= strftime('%Y-%m-%dT%H:%M:%S+00:00', NEW.starts_at, '-1 day')
                  AND a.state IN ('pending', 'booked', 'completed', 'no_show'));
        END",
];

// What the older schema cannot hold is not thrown away: with holds, requests, missed or declined
// appointments in the table the way down is refused by its checks.
const POSTGRES_DOWN: &[&str] = &[
    "DROP INDEX events_by_appointment",
    "DROP INDEX appointments_by_expiry",
    "DROP INDEX appointments_by_provider",
    "ALTER TABLE appointments
        DROP CONSTRAINT appointments_state_check,
        DROP CONSTRAINT appointments_claim,
        DROP CONSTRAINT appointments_expiry,
        DROP CONSTRAINT appointments_provider_overlap,
        DROP CONSTRAINT appointments_customer_overlap",
    "ALTER TABLE appointments
        DROP COLUMN type_id, DROP COLUMN claim_starts_at, DROP COLUMN claim_ends_at,
        DROP COLUMN expires_at, DROP COLUMN terms,
        ADD CONSTRAINT appointments_state_check CHECK (state IN ('booked', 'completed', 'cancelled')),
        ADD CONSTRAINT appointments_provider_overlap EXCLUDE USING gist
            (provider_id WITH =, tstzrange(starts_at, ends_at) WITH &&)
            WHERE (state IN ('booked', 'completed')),
        ADD CONSTRAINT appointments_customer_overlap EXCLUDE USING gist
            (customer_id WITH =, tstzrange(starts_at, ends_at) WITH &&)
            WHERE (state IN ('booked', 'completed'))",
    "CREATE INDEX appointments_by_provider
        ON appointments (provider_id, starts_at, appointment_id) INCLUDE (ends_at, state)",
    "ALTER TABLE providers DROP COLUMN plan, DROP COLUMN last_assigned_at",
    "DROP TABLE closures",
    "DROP TABLE offerings",
    "DROP TABLE type_events",
    "DROP TABLE appointment_types",
];

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        crate::run(manager, POSTGRES, SQLITE).await
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        crate::run(manager, POSTGRES_DOWN, &sqlite_down()).await
    }
}

fn sqlite_down() -> Vec<&'static str> {
    let mut statements = vec![
        "DROP INDEX events_by_appointment",
        // They would keep their names on the renamed table, and the older ones have the same names.
        "DROP TRIGGER appointments_overlap_insert",
        "DROP TRIGGER appointments_overlap_update",
        "ALTER TABLE appointments RENAME TO appointments_old",
        "DROP INDEX appointments_by_provider",
        "DROP INDEX appointments_by_customer",
        "DROP INDEX appointments_by_start",
    ];
    statements.extend(crate::m0003_appointments::SQLITE);
    statements.extend([
        "INSERT INTO appointments SELECT provider_id, appointment_id, customer_id,
            customer_display_name, starts_at, ends_at, state, note, time_zone, local_start,
            cancel_reason, version, created_at, updated_at FROM appointments_old",
        "DROP TABLE appointments_old",
        "ALTER TABLE providers DROP COLUMN plan",
        "ALTER TABLE providers DROP COLUMN last_assigned_at",
        "DROP TABLE closures",
        "DROP TABLE offerings",
        "DROP TABLE type_events",
        "DROP TABLE appointment_types",
    ]);
    statements
}
