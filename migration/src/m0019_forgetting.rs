//! Indexes for what is forgotten: old rows are found without reading the table.

use sea_orm_migration::prelude::*;

#[derive(DeriveMigrationName)]
pub(crate) struct Migration;

const UP: &[&str] = &[
    "CREATE INDEX letters_by_expiry ON letters (expires_at)",
    "CREATE INDEX second_factors_by_enrolment ON second_factors (pending_at)
        WHERE pending_at IS NOT NULL",
];

const DOWN: &[&str] = &["DROP INDEX second_factors_by_enrolment", "DROP INDEX letters_by_expiry"];

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        crate::run(manager, UP, UP).await
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        crate::run(manager, DOWN, DOWN).await
    }
}
