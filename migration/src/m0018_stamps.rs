//! Stamps: which write a row is from, so that a version of another history of the database is not taken for
//! the same one.

use sea_orm_migration::prelude::*;

#[derive(DeriveMigrationName)]
pub(crate) struct Migration;

// The application makes them, one for each transaction: a volatile function in an UPDATE does not go on a
// distributed PostgreSQL. Rows that are there already get the time of this change, which is evaluated once and
// kept beside the table, so that no row is written; the default for later ones is 0, which only a process of
// an older version writes.
const POSTGRES: &[&str] = &[
    "ALTER TABLE providers
        ADD COLUMN stamp bigint NOT NULL DEFAULT (extract(epoch FROM now()) * 1000000)::bigint,
        ADD COLUMN schedule_stamp bigint NOT NULL
            DEFAULT (extract(epoch FROM now()) * 1000000)::bigint",
    "ALTER TABLE providers ALTER COLUMN stamp SET DEFAULT 0, ALTER COLUMN schedule_stamp SET DEFAULT 0",
    "ALTER TABLE appointments
        ADD COLUMN stamp bigint NOT NULL DEFAULT (extract(epoch FROM now()) * 1000000)::bigint",
    "ALTER TABLE appointments ALTER COLUMN stamp SET DEFAULT 0",
    "ALTER TABLE appointment_types
        ADD COLUMN stamp bigint NOT NULL DEFAULT (extract(epoch FROM now()) * 1000000)::bigint",
    "ALTER TABLE appointment_types ALTER COLUMN stamp SET DEFAULT 0",
    "ALTER TABLE users
        ADD COLUMN stamp bigint NOT NULL DEFAULT (extract(epoch FROM now()) * 1000000)::bigint",
    "ALTER TABLE users ALTER COLUMN stamp SET DEFAULT 0",
    "ALTER TABLE service_accounts
        ADD COLUMN stamp bigint NOT NULL DEFAULT (extract(epoch FROM now()) * 1000000)::bigint",
    "ALTER TABLE service_accounts ALTER COLUMN stamp SET DEFAULT 0",
];

// A default has to be a constant here, and there is one writer: the rows are written.
const SQLITE: &[&str] = &[
    "ALTER TABLE providers ADD COLUMN stamp INTEGER NOT NULL DEFAULT 0",
    "ALTER TABLE providers ADD COLUMN schedule_stamp INTEGER NOT NULL DEFAULT 0",
    "UPDATE providers SET stamp = random(), schedule_stamp = random()",
    "ALTER TABLE appointments ADD COLUMN stamp INTEGER NOT NULL DEFAULT 0",
    "UPDATE appointments SET stamp = random()",
    "ALTER TABLE appointment_types ADD COLUMN stamp INTEGER NOT NULL DEFAULT 0",
    "UPDATE appointment_types SET stamp = random()",
    "ALTER TABLE users ADD COLUMN stamp INTEGER NOT NULL DEFAULT 0",
    "UPDATE users SET stamp = random()",
    "ALTER TABLE service_accounts ADD COLUMN stamp INTEGER NOT NULL DEFAULT 0",
    "UPDATE service_accounts SET stamp = random()",
];

const DOWN: &[&str] = &[
    "ALTER TABLE service_accounts DROP COLUMN stamp",
    "ALTER TABLE users DROP COLUMN stamp",
    "ALTER TABLE appointment_types DROP COLUMN stamp",
    "ALTER TABLE appointments DROP COLUMN stamp",
    "ALTER TABLE providers DROP COLUMN schedule_stamp",
    "ALTER TABLE providers DROP COLUMN stamp",
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
