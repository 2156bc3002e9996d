//! A person is in one place: what somebody attends as a customer claims their time as a provider as well. And when
//! an appointment changed last, as its customer may know it, in columns that lists can be ordered by.

use sea_orm_migration::prelude::*;

#[derive(DeriveMigrationName)]
pub(crate) struct Migration;

// A row with `claim_of` is no appointment and no hold but further time that the appointment with this id claims. Of
// those that are there already, the time of customers who are providers themselves; where they treat somebody then,
// that stays as it is. 2300 is after everything: a held row needs an expiry.
const POSTGRES: &[&str] = &[
    "ALTER TABLE appointments ADD COLUMN claim_of uuid",
    "ALTER TABLE appointments ADD COLUMN customer_updated_at timestamptz",
    "ALTER TABLE appointments ADD COLUMN move_expires_at timestamptz",
    "INSERT INTO appointments (provider_id, appointment_id, customer_id, customer_display_name, starts_at,
        ends_at, state, note, time_zone, local_start, cancel_reason, version, created_at, updated_at,
        claim_starts_at, claim_ends_at, expires_at, stamp, claim_of)
    SELECT a.customer_id, a.appointment_id, a.customer_id, '', a.starts_at, a.ends_at, 'held', '', a.time_zone,
        a.local_start, '', p.version, a.created_at, a.updated_at, a.starts_at, a.ends_at,
        coalesce(a.expires_at, '2300-01-01+00'), p.stamp, a.appointment_id
    FROM appointments a JOIN providers p ON p.provider_id = a.customer_id
    WHERE a.state IN ('pending', 'booked', 'completed', 'no_show')
    ON CONFLICT DO NOTHING",
];

const SQLITE: &[&str] = &[
    "ALTER TABLE appointments ADD COLUMN claim_of BLOB",
    "ALTER TABLE appointments ADD COLUMN customer_updated_at TEXT",
    "ALTER TABLE appointments ADD COLUMN move_expires_at TEXT",
    "INSERT INTO appointments (provider_id, appointment_id, customer_id, customer_display_name, starts_at,
        ends_at, state, note, time_zone, local_start, cancel_reason, version, created_at, updated_at,
        claim_starts_at, claim_ends_at, expires_at, stamp, claim_of)
    SELECT a.customer_id, a.appointment_id, a.customer_id, '', a.starts_at, a.ends_at, 'held', '', a.time_zone,
        a.local_start, '', p.version, a.created_at, a.updated_at, a.starts_at, a.ends_at,
        coalesce(a.expires_at, '2300-01-01T00:00:00+00:00'), p.stamp, a.appointment_id
    FROM appointments a JOIN providers p ON p.provider_id = a.customer_id
    WHERE a.state IN ('pending', 'booked', 'completed', 'no_show') AND NOT EXISTS (
        SELECT 1 FROM appointments b
        WHERE b.provider_id = a.customer_id
          AND b.claim_starts_at < a.ends_at AND b.claim_ends_at > a.starts_at
          AND b.state IN ('held', 'pending', 'booked', 'completed', 'no_show'))",
];

// What only this version reads of what was agreed: the one before refuses rows with it.
const POSTGRES_DOWN: &[&str] = &[
    "UPDATE appointments SET terms = terms - '{asked_move,moved_late,late_cancellation,ended,shown,outcome_at,freed}'::text[]
    WHERE jsonb_typeof(terms) = 'object'",
];
const SQLITE_DOWN: &[&str] = &[
    "UPDATE appointments SET terms = json_remove(terms, '$.asked_move', '$.moved_late', '$.late_cancellation',
        '$.ended', '$.shown', '$.outcome_at', '$.freed') WHERE json_valid(terms)",
];

const DOWN: &[&str] = &[
    "DELETE FROM appointments WHERE claim_of IS NOT NULL",
    "ALTER TABLE appointments DROP COLUMN claim_of",
    "ALTER TABLE appointments DROP COLUMN customer_updated_at",
    "ALTER TABLE appointments DROP COLUMN move_expires_at",
];

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        crate::run(manager, POSTGRES, SQLITE).await
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        crate::run(manager, POSTGRES_DOWN, SQLITE_DOWN).await?;
        crate::run(manager, DOWN, DOWN).await
    }
}
