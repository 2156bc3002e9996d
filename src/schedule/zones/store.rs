//! Processes and their zone data as rows; and who looks appointments through.

use sea_orm::{
    ActiveValue::Set,
    ColumnTrait, Condition, EntityTrait, QueryFilter,
    sea_query::{Expr, OnConflict},
};

use super::{LEASE, LIVE, LOOK_AGAIN, Process};
use crate::{
    kernel::{fault::Fault, time::Instant, zone::ZoneDataVersion},
    storage::{
        Executor as _, Query, Reader, Tx, UnitOfWork, engine,
        entity::{zone_data_looks as looks, zone_data_processes as processes},
    },
};

/// Asks which other processes serve this database now.
#[derive(Debug, Clone)]
pub struct Others {
    /// Beside which process.
    pub process: Process,
}

impl Query for Others {
    type Output = Vec<Process>;

    async fn run(&self, at: &Reader) -> Result<Self::Output, Fault> {
        others(at, &self.process).await
    }
}

async fn others(at: &impl crate::storage::Executor, own: &Process) -> Result<Vec<Process>, Fault> {
    let rows = processes::Entity::find()
        .filter(processes::Column::ProcessId.ne(own.id))
        .filter(processes::Column::SeenAt.gt(own.seen_at - LIVE))
        .all(at.db())
        .await
        .map_err(|e| engine::fault(&e))?;
    let process = |row: processes::Model| Process {
        id: row.process_id,
        version: ZoneDataVersion::parse(&row.version),
        digest: row.digest,
        seen_at: row.seen_at,
    };
    Ok(rows.into_iter().map(process).collect())
}

/// Notes that a process serves, and with which zone data; forgets those that do not serve any more.
#[derive(Debug, Clone)]
pub struct Note {
    /// The process, as of now.
    pub process: Process,
}

impl UnitOfWork for Note {
    type Output = ();
    const AUTHORITY: crate::storage::Authority = crate::storage::Authority::Nobody;

    async fn run(&self, tx: &Tx) -> Result<(), Fault> {
        let Process { id, version, digest, seen_at } = &self.process;
        let row = processes::ActiveModel {
            process_id: Set(*id),
            version: Set(version.as_ref().map(ToString::to_string).unwrap_or_default()),
            digest: Set(digest.clone()),
            seen_at: Set(*seen_at),
        };
        let columns =
            [processes::Column::Version, processes::Column::Digest, processes::Column::SeenAt];
        processes::Entity::insert(row)
            .on_conflict(
                OnConflict::column(processes::Column::ProcessId).update_columns(columns).to_owned(),
            )
            .exec_without_returning(tx.db())
            .await
            .map_err(|e| engine::fault(&e))?;
        processes::Entity::delete_many()
            .filter(processes::Column::SeenAt.lte(*seen_at - LIVE))
            .exec(tx.db())
            .await
            .map_err(|e| engine::fault(&e))?;
        Ok(())
    }
}

/// Takes it on to look all appointments through by a process's zone data, if that is due and no process with
/// newer data serves. Who takes it on has [`LEASE`].
#[derive(Debug, Clone)]
pub struct TakeLook {
    /// The process, as of now.
    pub process: Process,
}

impl UnitOfWork for TakeLook {
    type Output = bool;
    const AUTHORITY: crate::storage::Authority = crate::storage::Authority::Nobody;

    async fn run(&self, tx: &Tx) -> Result<bool, Fault> {
        let Process { version, digest, seen_at: now, .. } = &self.process;
        let others = others(tx, &self.process).await?;
        if others.iter().any(|other| other.is_newer_than(version.as_ref())) {
            return Ok(false);
        }
        // The row is made first, so that there is one to lock.
        let row = looks::ActiveModel {
            digest: Set(digest.clone()),
            taken_until: Set(Instant::UNIX_EPOCH),
            looked_at: Set(None),
        };
        looks::Entity::insert(row)
            .on_conflict(OnConflict::column(looks::Column::Digest).do_nothing().to_owned())
            .exec_without_returning(tx.db())
            .await
            .map_err(|e| engine::fault(&e))?;
        let done = looks::Entity::update_many()
            .col_expr(looks::Column::TakenUntil, Expr::value(*now + LEASE))
            .filter(looks::Column::Digest.eq(digest.as_str()))
            .filter(looks::Column::TakenUntil.lte(*now))
            .filter(
                Condition::any()
                    .add(looks::Column::LookedAt.is_null())
                    .add(looks::Column::LookedAt.lte(*now - LOOK_AGAIN)),
            )
            .exec(tx.db())
            .await
            .map_err(|e| engine::fault(&e))?;
        Ok(done.rows_affected == 1)
    }
}

/// Notes that all appointments were looked through.
#[derive(Debug, Clone)]
pub struct FinishLook {
    /// By which zone data.
    pub digest: String,
    /// When that began.
    pub now: Instant,
}

impl UnitOfWork for FinishLook {
    type Output = ();
    const AUTHORITY: crate::storage::Authority = crate::storage::Authority::Nobody;

    async fn run(&self, tx: &Tx) -> Result<(), Fault> {
        looks::Entity::update_many()
            .col_expr(looks::Column::LookedAt, Expr::value(self.now))
            .col_expr(looks::Column::TakenUntil, Expr::value(self.now))
            .filter(looks::Column::Digest.eq(self.digest.as_str()))
            .exec(tx.db())
            .await
            .map_err(|e| engine::fault(&e))?;
        // Of zone data that nobody has had for long nothing needs to be known.
        looks::Entity::delete_many()
            .filter(looks::Column::LookedAt.lte(self.now - LOOK_AGAIN * 30))
            .exec(tx.db())
            .await
            .map_err(|e| engine::fault(&e))?;
        Ok(())
    }
}
