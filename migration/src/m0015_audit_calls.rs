//! Which call did what the audit trail tells.

use sea_orm_migration::prelude::*;

#[derive(DeriveMigrationName)]
pub(crate) struct Migration;

// The id that the call's answer carried in `x-request-id`. Empty for acts from before, and for those that no
// call did.
const UP: &[&str] = &["ALTER TABLE audit_events ADD COLUMN call_id text NOT NULL DEFAULT ''"];

const DOWN: &[&str] = &["ALTER TABLE audit_events DROP COLUMN call_id"];

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        crate::run(manager, UP, UP).await
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        crate::run(manager, DOWN, DOWN).await
    }
}
