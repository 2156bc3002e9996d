//! The schema: bringing it up or down, and asking where it stands.

use std::collections::HashSet;

use migration::{Migrator, MigratorTrait};
use sea_orm::{
    ConnectionTrait, DbErr, SqliteTransactionMode, Statement, TransactionOptions, TransactionTrait,
};

use super::{Engine, Store, connection::Pool, engine};
use crate::kernel::fault::{Fault, Reason};

/// Any number that no other user of the database takes as an advisory lock ("daybook" in ASCII).
const LOCK: i64 = 0x0064_6179_626f_6f6b;

const BEHIND: &str = "the schema is not up to date";

/// One change of the schema.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MigrationState {
    /// Name of the migration.
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
    let applied = applied(&store.writer()).await.map_err(|e| engine::fault(&e))?;
    let of =
        |state: MigrationState| MigrationState { applied: applied.contains(&state.name), ..state };
    Ok(migrations().into_iter().map(of).collect())
}

/// All changes that this binary knows, oldest first, as a database has them that there is not yet.
pub fn migrations() -> Vec<MigrationState> {
    let all = Migrator::migrations();
    all.iter().map(|m| MigrationState { name: m.name().to_owned(), applied: false }).collect()
}

/// The names of the changes that this database has, also of those that only newer binaries know: an
/// older process goes on serving beside a newer one.
async fn applied(db: &impl ConnectionTrait) -> Result<HashSet<String>, DbErr> {
    let table = Migrator::migration_table_name().to_string();
    let sql = format!("SELECT version FROM {table}");
    let statement = Statement::from_string(db.get_database_backend(), sql);
    let rows = match db.query_all_raw(statement).await {
        Ok(rows) => rows,
        Err(e) if engine::is_missing_table(&e) => return Ok(HashSet::new()),
        Err(e) => return Err(e),
    };
    rows.iter().map(|row| row.try_get("", "version")).collect()
}

/// How many changes this database lacks. An error when it does not answer.
pub(super) async fn pending(db: &Pool) -> Result<usize, DbErr> {
    let applied = applied(db).await?;
    Ok(Migrator::migrations().iter().filter(|m| !applied.contains(m.name())).count())
}

/// The schema lacks so many changes.
pub(super) fn behind(pending: usize) -> Fault {
    Fault::new(Reason::DatabaseUnavailable, BEHIND)
        .log(format!("{pending} migrations are pending; run `daybook migrate up`"))
}

/// Whether a fault is that the schema lacks changes, and not that the database is away.
pub fn is_behind(fault: &Fault) -> bool {
    fault.message() == BEHIND
}

/// The write lock of SQLite at once.
fn write_mode() -> TransactionOptions {
    TransactionOptions {
        sqlite_transaction_mode: Some(SqliteTransactionMode::Immediate),
        ..TransactionOptions::default()
    }
}

async fn in_turn(store: &Store, down: Option<u32>) -> Result<(), Fault> {
    if down.is_none() {
        let pending = pending(&store.writer()).await.map_err(|e| engine::fault(&e))?;
        if pending == 0 {
            return Ok(());
        }
    }
    let work = async {
        #[expect(clippy::disallowed_methods, reason = "migrations are not units of work")]
        let tx = store.writer().unguarded().begin_with_options(write_mode()).await?;
        if store.engine() == Engine::Postgres {
            // A change of a large table takes its time, and so may waiting for a turn.
            tx.execute_unprepared("SET LOCAL statement_timeout = 0").await?;
            tx.execute_unprepared(&format!("SELECT pg_advisory_xact_lock({LOCK})")).await?;
        }
        match down {
            None => Migrator::up(&tx, None).await?,
            Some(steps) => Migrator::down(&tx, Some(steps)).await?,
        }
        tx.commit().await
    };
    work.await.map_err(|e: DbErr| engine::fault(&e))
}
