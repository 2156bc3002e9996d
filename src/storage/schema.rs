//! The schema: bringing it up or down, and asking where it stands.

use migration::{MigrationStatus, Migrator, MigratorTrait};
use sea_orm::{ConnectionTrait, DatabaseConnection, DbErr, TransactionTrait};

use super::{Engine, Store, engine};
use crate::kernel::fault::{Fault, Reason};

/// Any number that no other user of the database takes as an advisory lock ("daybook" in ASCII).
const LOCK: i64 = 0x0064_6179_626f_6f6b;

/// One change of the schema.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MigrationState {
    /// Its name.
    pub name: String,
    /// Whether this database has it.
    pub applied: bool,
}

/// Applies what is missing. Safe to call from several processes at once: they take turns.
pub async fn migrate_up(store: &Store) -> Result<(), Fault> {
    in_turn(store, None).await
}

/// Takes back the last `steps` changes. Data in the dropped tables is lost.
pub async fn migrate_down(store: &Store, steps: u32) -> Result<(), Fault> {
    in_turn(store, Some(steps)).await
}

/// All changes that this binary knows, oldest first. Changes nothing.
pub async fn migration_status(store: &Store) -> Result<Vec<MigrationState>, Fault> {
    let all = Migrator::get_migration_with_status_read_only(store.writer()).await;
    Ok(all
        .map_err(|e| engine::fault(&e))?
        .iter()
        .map(|m| MigrationState {
            name: m.name().to_owned(),
            applied: m.status() == MigrationStatus::Applied,
        })
        .collect())
}

/// How many changes this database lacks. An error when it does not answer.
pub(super) async fn pending(db: &DatabaseConnection) -> Result<usize, Fault> {
    let pending = Migrator::get_pending_migrations_read_only(db).await;
    Ok(pending.map_err(|e| engine::fault(&e))?.len())
}

/// The schema lacks so many changes.
pub(super) fn behind(pending: usize) -> Fault {
    Fault::new(Reason::DatabaseUnavailable, "the schema is not up to date")
        .log(format!("{pending} migrations are pending; run `daybook migrate up`"))
}

async fn in_turn(store: &Store, down: Option<u32>) -> Result<(), Fault> {
    let work = async {
        #[expect(clippy::disallowed_methods, reason = "migrations are not units of work")]
        let tx = store.writer().begin_with_options(store.engine().write_mode()).await?;
        if store.engine() == Engine::Postgres {
            tx.execute_unprepared(&format!("SELECT pg_advisory_xact_lock({LOCK})")).await?;
            // A change of a large table takes its time, and so may waiting for a turn.
            tx.execute_unprepared("SET LOCAL statement_timeout = 0").await?;
        }
        match down {
            None => Migrator::up(&tx, None).await?,
            Some(steps) => Migrator::down(&tx, Some(steps)).await?,
        }
        tx.commit().await
    };
    work.await.map_err(|e: DbErr| engine::fault(&e))
}
