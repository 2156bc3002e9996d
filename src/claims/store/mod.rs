//! Claims as rows.

pub mod affected;
pub mod busy;
pub mod counted;
pub mod customer_time;
pub mod expired;
pub mod extra;
pub mod insert;
pub mod named;
pub mod new_provider;
pub mod pairs;
pub mod sql;

use sea_orm::{
    ColumnTrait, Condition, DatabaseBackend, DbErr, EntityTrait, QueryFilter, QuerySelect,
    sea_query::SimpleExpr,
};
use uuid::Uuid;

use super::{Overlap, State, Subject, margins::starts_around, state::CLAIMING};
use crate::{
    kernel::{
        fault::Fault,
        id::{AppointmentId, ProviderId},
        time::Instant,
    },
    storage::{
        Engine, Executor as _, Tx,
        engine::{self, Constraint},
        entity::appointments::{self, Column},
    },
};

/// What stood in the way, where a statement was refused for an overlap.
pub async fn refused(
    tx: &Tx,
    row: (Subject, AppointmentId),
    claim: (Instant, Instant),
    error: &DbErr,
) -> Result<Overlap, Fault> {
    match overlap(error) {
        // SQLite fires the triggers in an order of its own, and its transaction goes on.
        Some(Overlap::Customer) if tx.engine() == Engine::Sqlite => {
            in_the_way(tx, row, claim).await
        }
        Some(overlap) => Ok(overlap),
        None => Err(engine::fault(error)),
    }
}

/// Which overlap a constraint refused, if that is what happened.
pub fn overlap(error: &DbErr) -> Option<Overlap> {
    match engine::violated(error) {
        Some(Constraint::ProviderOverlap) => Some(Overlap::Provider),
        Some(Constraint::CustomerOverlap) => Some(Overlap::Customer),
        _ => None,
    }
}

/// Nothing was written, so one of the two constraints holds against it. The subject's is told first: it is what another
/// slot would cure.
pub async fn in_the_way(
    tx: &Tx,
    (subject, id): (Subject, AppointmentId),
    claim: (Instant, Instant),
) -> Result<Overlap, Fault> {
    let taken: Option<Uuid> = appointments::Entity::find()
        .select_only()
        .column(Column::AppointmentId)
        .filter(claims_of(subject, claim))
        .filter(Column::AppointmentId.ne(id.0))
        .limit(1)
        .into_tuple()
        .one(tx.db())
        .await
        .map_err(|e| engine::fault(&e))?;
    Ok(if taken.is_some() { Overlap::Provider } else { Overlap::Customer })
}

/// What claims a subject's time in a stretch, whether or not it has ended by itself; the condition of
/// [`sql::claims_of!`] for queries that are built.
fn claims_of(subject: Subject, (start, end): (Instant, Instant)) -> Condition {
    let (earliest, latest) = starts_around((start, end));
    Condition::all()
        .add(Column::ProviderId.eq(subject.id().0))
        .add(claiming())
        .add(Column::ClaimStartsAt.lt(end))
        .add(Column::ClaimEndsAt.gt(start))
        .add(Column::StartsAt.gt(earliest))
        .add(Column::StartsAt.lt(latest))
}

/// What is in a state that claims time.
fn claiming() -> SimpleExpr {
    Column::State.is_in(CLAIMING.map(State::word))
}

/// What has not ended by itself.
fn lasts(now: Instant) -> Condition {
    Condition::any().add(Column::ExpiresAt.is_null()).add(Column::ExpiresAt.gt(now))
}

/// The engine as SeaORM names it.
pub fn backend(engine: Engine) -> DatabaseBackend {
    match engine {
        Engine::Postgres => DatabaseBackend::Postgres,
        Engine::Sqlite => DatabaseBackend::Sqlite,
    }
}

/// Takes away a hold whose provider was locked before; its events stay.
pub async fn remove_hold(tx: &Tx, provider: ProviderId, id: AppointmentId) -> Result<(), Fault> {
    let done = appointments::Entity::delete_many()
        .filter(Column::ProviderId.eq(provider.0))
        .filter(Column::AppointmentId.eq(id.0))
        .filter(Column::State.eq(State::Held.word()))
        .exec(tx.db())
        .await
        .map_err(|e| engine::fault(&e))?;
    match done.rows_affected {
        1 => Ok(()),
        rows => Err(Fault::internal(format!("{rows} rows changed for {id}"))),
    }
}
