//! Providers as rows.

pub mod closures;
pub mod offerings;
pub mod provider_time;

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use chrono::TimeDelta;
use sea_orm::{
    ActiveValue::Set,
    ColumnTrait, ConnectionTrait as _, DatabaseBackend, EntityTrait, FromQueryResult, Iterable,
    QueryFilter, QuerySelect, Select,
    sea_query::{Expr, LockType},
};
use serde_json::json;
use uuid::Uuid;

use super::{
    Schedule, WeeklyHours,
    hours::Hours,
    plan::{Plan, StoredPlan},
    provider::Provider,
};
use crate::{
    claims::State,
    kernel::{
        fault::Fault,
        id::{ProviderId, UserId},
        stamp::Stamp,
        time::Instant,
        zone::Zone,
    },
    storage::{
        Engine, Executor, Tx, engine,
        entity::{appointments, offerings as rows, providers},
        readable,
    },
};

/// Finds a provider.
pub async fn find(at: &impl Executor, id: ProviderId) -> Result<Option<Provider>, Fault> {
    let row = providers::Entity::find_by_id(id.0).one(at.db()).await;
    row.map_err(|e| engine::fault(&e))?.map(provider).transpose()
}

/// Whether there is such a provider, disabled or not.
pub async fn exists(at: &impl Executor, id: ProviderId) -> Result<bool, Fault> {
    let mut query =
        providers::Entity::find_by_id(id.0).select_only().column(providers::Column::Version);
    query = query.limit(1);
    let found: Option<i64> =
        query.into_tuple().one(at.db()).await.map_err(|e| engine::fault(&e))?;
    Ok(found.is_some())
}

/// The same, and nothing where the row cannot be read, which is told in the log.
pub async fn find_readable(at: &impl Executor, id: ProviderId) -> Result<Option<Provider>, Fault> {
    let found = readable::all(at, providers::Entity::find_by_id(id.0), provider).await?;
    Ok(found.into_iter().next())
}

/// The version of a provider, which is locked until the transaction ends: for what is no matter of its
/// schedule, and must go on also where that cannot be read.
pub async fn lock_version(tx: &Tx, id: ProviderId) -> Result<Option<i64>, Fault> {
    let mut query =
        providers::Entity::find_by_id(id.0).select_only().column(providers::Column::Version);
    if tx.engine() == Engine::Postgres {
        query = query.lock(LockType::NoKeyUpdate);
    }
    query.into_tuple().one(tx.db()).await.map_err(|e| engine::fault(&e))
}

/// A provider's row without its schedules.
#[derive(Debug, FromQueryResult)]
pub struct Head {
    /// What customers see.
    pub display_name: String,
    /// Whether it can be booked.
    pub enabled: bool,
    /// The number of the last event.
    pub version: i64,
}

/// What a provider is beside its schedules; it is locked until the transaction ends. For what must go on also
/// where its schedules cannot be read.
pub async fn lock_head(tx: &Tx, id: ProviderId) -> Result<Option<Head>, Fault> {
    use providers::Column;
    let mut query = providers::Entity::find_by_id(id.0).select_only().columns([
        Column::DisplayName,
        Column::Enabled,
        Column::Version,
    ]);
    if tx.engine() == Engine::Postgres {
        query = query.lock(LockType::NoKeyUpdate);
    }
    query.into_model().one(tx.db()).await.map_err(|e| engine::fault(&e))
}

/// Writes back what was locked with [`lock_head`]. It is a version of the schedules too, so that whoever
/// remembers these with the name reads both again.
pub async fn set_head(tx: &Tx, id: ProviderId, head: &Head) -> Result<(), Fault> {
    providers::Entity::update_many()
        .col_expr(providers::Column::DisplayName, head.display_name.as_str().into())
        .col_expr(providers::Column::Enabled, head.enabled.into())
        .col_expr(providers::Column::Version, head.version.into())
        .col_expr(providers::Column::Stamp, tx.stamp().0.into())
        .col_expr(providers::Column::ScheduleVersion, head.version.into())
        .col_expr(providers::Column::ScheduleStamp, tx.stamp().0.into())
        .filter(providers::Column::ProviderId.eq(id.0))
        .exec(tx.db())
        .await
        .map_err(|e| engine::fault(&e))?;
    Ok(())
}

/// Finds a provider and locks it until the transaction ends. Every change of a provider's time begins
/// with this, which is what makes versions gap-free and in commit order.
pub async fn lock(tx: &Tx, id: ProviderId) -> Result<Option<Provider>, Fault> {
    let mut query = providers::Entity::find_by_id(id.0);
    if tx.engine() == Engine::Postgres {
        // NO KEY, so that foreign-key checks of other transactions do not wait.
        query = query.lock(LockType::NoKeyUpdate);
    }
    let row = query.one(tx.db()).await;
    row.map_err(|e| engine::fault(&e))?.map(provider).transpose()
}

/// Whether a provider's schedules are long as they are stored: some tens of kilobytes of text. Nobody's are not.
pub async fn is_long(at: &impl Executor, id: ProviderId) -> Result<bool, Fault> {
    let db = at.db();
    // What PostgreSQL has compressed need not be unpacked for this.
    let long = match db.get_database_backend() {
        DatabaseBackend::Postgres => "pg_column_size(plan) + pg_column_size(weekly_hours) > 4096",
        _ => "length(plan) + length(weekly_hours) > 16384",
    };
    let query = providers::Entity::find_by_id(id.0).select_only().expr_as(Expr::cust(long), "long");
    let found: Option<bool> = query.into_tuple().one(db).await.map_err(|e| engine::fault(&e))?;
    Ok(found.unwrap_or_default())
}

/// Finds a provider without its hours and plan, which may be long: only for what is told of it beside them.
pub async fn find_short(at: &impl Executor, id: ProviderId) -> Result<Option<Provider>, Fault> {
    let row = short(providers::Entity::find_by_id(id.0)).one(at.db()).await;
    row.map_err(|e| engine::fault(&e))?.map(provider).transpose()
}

/// With the hours and the plan of somebody who has none.
fn short(query: Select<providers::Entity>) -> Select<providers::Entity> {
    use providers::Column;
    let long = |column: &Column| matches!(column, Column::WeeklyHours | Column::Plan);
    query
        .select_only()
        .columns(Column::iter().filter(|column| !long(column)))
        .expr_as(Expr::val(json!([])), "weekly_hours")
        .expr_as(Expr::val(json!({})), "plan")
}

/// The providers that can be booked, after this one in the order of their ids; without their hours and plans,
/// as [`find_short`] has them.
pub async fn list(
    at: &impl Executor,
    after: Option<Uuid>,
    limit: u64,
) -> Result<Vec<Provider>, Fault> {
    let query = providers::Entity::find().filter(providers::Column::Enabled.eq(true));
    let id = providers::Column::ProviderId;
    readable::page_by_id(at, short(query), id, (after, limit), provider).await
}

/// How many names one statement reads at most.
const NAMES_AT_ONCE: usize = 500;

/// What customers see of these providers, as far as they are there.
pub async fn names(
    at: &impl Executor,
    ids: &BTreeSet<ProviderId>,
) -> Result<BTreeMap<ProviderId, String>, Fault> {
    let (ids, mut names) = (ids.iter().map(|id| id.0).collect::<Vec<_>>(), BTreeMap::new());
    for some in ids.chunks(NAMES_AT_ONCE) {
        let found: Vec<(Uuid, String)> = providers::Entity::find()
            .select_only()
            .columns([providers::Column::ProviderId, providers::Column::DisplayName])
            .filter(providers::Column::ProviderId.is_in(some.iter().copied()))
            .into_tuple()
            .all(at.db())
            .await
            .map_err(|e| engine::fault(&e))?;
        names.extend(found.into_iter().map(|(id, name)| (ProviderId(id), name)));
    }
    Ok(names)
}

/// Whether somebody has or had an appointment with a provider, a request included.
pub async fn is_customer(
    at: &impl Executor,
    provider: ProviderId,
    customer: UserId,
) -> Result<bool, Fault> {
    use appointments::Column;
    let found: Option<Uuid> = appointments::Entity::find()
        .select_only()
        .column(Column::AppointmentId)
        .filter(Column::CustomerId.eq(customer.0))
        .filter(Column::ProviderId.eq(provider.0))
        .filter(Column::State.ne(State::Held.word()))
        .limit(1)
        .into_tuple()
        .one(at.db())
        .await
        .map_err(|e| engine::fault(&e))?;
    Ok(found.is_some())
}

/// Whether an appointment type is offered by this named schedule.
pub async fn is_offered_by(tx: &Tx, id: ProviderId, schedule: &str) -> Result<bool, Fault> {
    let found = rows::Entity::find()
        .filter(rows::Column::ProviderId.eq(id.0))
        .filter(rows::Column::ScheduleId.eq(schedule))
        .limit(1)
        .one(tx.db())
        .await
        .map_err(|e| engine::fault(&e))?;
    Ok(found.is_some())
}

/// Adds a provider.
pub async fn insert(tx: &Tx, provider: &Provider) -> Result<(), Fault> {
    let row = providers::ActiveModel { provider_id: Set(provider.id.0), ..active(tx, provider)? };
    providers::Entity::insert(row)
        .exec_without_returning(tx.db())
        .await
        .map_err(|e| engine::fault(&e))?;
    Ok(())
}

/// Writes back a provider that was locked before.
pub async fn update(tx: &Tx, provider: &Provider) -> Result<(), Fault> {
    providers::Entity::update_many()
        .set(active(tx, provider)?)
        .filter(providers::Column::ProviderId.eq(provider.id.0))
        .exec(tx.db())
        .await
        .map_err(|e| engine::fault(&e))?;
    Ok(())
}

/// Writes back the version of a provider that was locked before.
pub async fn set_version(tx: &Tx, id: ProviderId, version: i64) -> Result<(), Fault> {
    providers::Entity::update_many()
        .col_expr(providers::Column::Version, version.into())
        .col_expr(providers::Column::Stamp, tx.stamp().0.into())
        .filter(providers::Column::ProviderId.eq(id.0))
        .exec(tx.db())
        .await
        .map_err(|e| engine::fault(&e))?;
    Ok(())
}

/// Notes when a locked provider was given an appointment that was for whoever is free.
pub async fn set_assigned(tx: &Tx, id: ProviderId, now: Instant) -> Result<(), Fault> {
    providers::Entity::update_many()
        .col_expr(providers::Column::LastAssignedAt, now.into())
        .filter(providers::Column::ProviderId.eq(id.0))
        .exec(tx.db())
        .await
        .map_err(|e| engine::fault(&e))?;
    Ok(())
}

fn active(tx: &Tx, provider: &Provider) -> Result<providers::ActiveModel, Fault> {
    let schedule = &provider.schedule;
    let minutes = |length: TimeDelta| {
        i32::try_from(length.num_minutes())
            .map_err(|_| Fault::internal("a length of a schedule is out of range"))
    };
    Ok(providers::ActiveModel {
        display_name: Set(provider.display_name.clone()),
        enabled: Set(provider.enabled),
        time_zone: Set(schedule.zone().name().to_owned()),
        weekly_hours: Set(encode(schedule.hours().weekly())?),
        slot_minutes: Set(minutes(schedule.slot())?),
        longest_minutes: Set(minutes(schedule.longest())?),
        version: Set(provider.version),
        stamp: Set(tx.stamp().0),
        schedule_stamp: Set(provider.schedule_stamp.0),
        schedule_version: Set(provider.schedule_version),
        schedule_updated_at: Set(provider.schedule_updated_at),
        plan: Set(encode(&StoredPlan::new(Some(schedule), Plan::clone(&provider.plan)))?),
        ..Default::default()
    })
}

fn encode(value: &impl serde::Serialize) -> Result<serde_json::Value, Fault> {
    serde_json::to_value(value)
        .map_err(|e| Fault::internal(format!("a schedule does not encode: {e}")))
}

/// The provider that a row is.
pub fn provider(row: providers::Model) -> Result<Provider, Fault> {
    let id = row.provider_id;
    let senseless = |what: &str| Fault::internal(format!("providers row {id}: {what}"));
    let zone = Zone::named(&row.time_zone).ok_or_else(|| senseless("unknown zone"))?;
    let weekly: WeeklyHours =
        serde_json::from_value(row.weekly_hours).map_err(|e| senseless(&e.to_string()))?;
    let stored: StoredPlan =
        serde_json::from_value(row.plan).map_err(|e| senseless(&e.to_string()))?;
    let (plan, overrides, stays) = stored.into_parts();
    let schedule = Schedule::of(
        Hours::new(zone, weekly, overrides, stays),
        TimeDelta::minutes(row.slot_minutes.into()),
        TimeDelta::minutes(row.longest_minutes.into()),
    )
    .map_err(|violations| senseless(&format!("{violations:?}")))?;
    Ok(Provider {
        id: ProviderId(id),
        display_name: row.display_name,
        enabled: row.enabled,
        schedule: Arc::new(schedule),
        plan: Arc::new(plan),
        version: row.version,
        stamp: Stamp(row.stamp),
        schedule_stamp: Stamp(row.schedule_stamp),
        schedule_version: row.schedule_version,
        schedule_updated_at: row.schedule_updated_at,
        last_assigned_at: row.last_assigned_at,
    })
}
