//! Daybook's schema: one change a file, up and down, for PostgreSQL 15+ and SQLite.
//!
//! The tables that belong to a provider begin their keys with `provider_id`, because the provider is
//! the unit of distribution. Engine differences are spelled out side by side in each file: the two
//! engines make the same promises by different means (an exclusion constraint in PostgreSQL, triggers
//! in SQLite), and sea-query has no builder for either.

use sea_orm_migration::prelude::*;
pub use sea_orm_migration::prelude::{Iden, MigratorTrait};
use sea_orm_migration::sea_orm::DatabaseBackend;

mod m0001_users;
mod m0002_providers;
mod m0003_appointments;
mod m0004_events;
mod m0005_requests;
mod m0006_practice;
mod m0007_sessions;
mod m0008_attempts;
mod m0009_signing_keys;
mod m0010_second_factor;
mod m0011_mail;
mod m0012_service_accounts;
mod m0013_erasures;
mod m0014_recovery_keys;
mod m0015_audit_calls;
mod m0016_health_probes;
mod m0017_zone_data;
mod m0018_stamps;
mod m0019_forgetting;
mod m0020_requests_by_age;
mod m0023_refresh_retries;
mod m0024_one_place;
mod m0025_front_desk;
mod m0026_known_customers;
mod m0027_event_positions;

/// All changes of the schema, oldest first.
#[derive(Debug)]
pub struct Migrator;

#[async_trait::async_trait]
impl MigratorTrait for Migrator {
    fn migrations() -> Vec<Box<dyn MigrationTrait>> {
        vec![
            Box::new(m0001_users::Migration),
            Box::new(m0002_providers::Migration),
            Box::new(m0003_appointments::Migration),
            Box::new(m0004_events::Migration),
            Box::new(m0005_requests::Migration),
            Box::new(m0006_practice::Migration),
            Box::new(m0007_sessions::Migration),
            Box::new(m0008_attempts::Migration),
            Box::new(m0009_signing_keys::Migration),
            Box::new(m0010_second_factor::Migration),
            Box::new(m0011_mail::Migration),
            Box::new(m0012_service_accounts::Migration),
            Box::new(m0013_erasures::Migration),
            Box::new(m0014_recovery_keys::Migration),
            Box::new(m0015_audit_calls::Migration),
            Box::new(m0016_health_probes::Migration),
            Box::new(m0017_zone_data::Migration),
            Box::new(m0018_stamps::Migration),
            Box::new(m0019_forgetting::Migration),
            Box::new(m0020_requests_by_age::Migration),
            Box::new(m0023_refresh_retries::Migration),
            Box::new(m0024_one_place::Migration),
            Box::new(m0025_front_desk::Migration),
            Box::new(m0026_known_customers::Migration),
            Box::new(m0027_event_positions::Migration),
        ]
    }
}

/// Runs the statements that belong to the engine in use.
async fn run(manager: &SchemaManager<'_>, postgres: &[&str], sqlite: &[&str]) -> Result<(), DbErr> {
    let statements = match manager.get_database_backend() {
        DatabaseBackend::Postgres => postgres,
        DatabaseBackend::Sqlite => sqlite,
        other => return Err(DbErr::Custom(format!("{other:?} is not supported"))),
    };
    for statement in statements {
        manager.get_connection().execute_unprepared(statement).await?;
    }
    Ok(())
}
