//! Providers and claims as rows.

use std::sync::Arc;

use chrono::{DateTime, TimeDelta};
use sea_orm::{
    ActiveValue::Set, ColumnTrait, EntityTrait, QueryFilter, QueryOrder, QuerySelect, Statement,
    sea_query::LockType,
};
use uuid::Uuid;

use super::{Schedule, WeeklyHours, parse_zone, provider::Provider};
use crate::{
    kernel::{
        fault::Fault,
        id::ProviderId,
        time::{Interval, IntervalSet},
    },
    storage::{Engine, Session, Snapshot, Tx, engine, entity::providers},
};

/// Finds a provider.
pub async fn find(at: &impl Session, id: ProviderId) -> Result<Option<Provider>, Fault> {
    let row = providers::Entity::find_by_id(id.0).one(at.db()).await;
    row.map_err(|e| engine::fault(&e))?.map(provider).transpose()
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

/// The providers that can be booked, after this one in the order of their ids.
pub async fn list(
    at: &impl Session,
    after: Option<Uuid>,
    limit: u64,
) -> Result<Vec<Provider>, Fault> {
    let mut query = providers::Entity::find().filter(providers::Column::Enabled.eq(true));
    if let Some(after) = after {
        query = query.filter(providers::Column::ProviderId.gt(after));
    }
    let rows = query
        .order_by_asc(providers::Column::ProviderId)
        .limit(limit)
        .all(at.db())
        .await
        .map_err(|e| engine::fault(&e))?;
    rows.into_iter().map(provider).collect()
}

/// Adds a provider.
pub async fn insert(tx: &Tx, provider: &Provider) -> Result<(), Fault> {
    let row = providers::ActiveModel { provider_id: Set(provider.id.0), ..active(provider)? };
    providers::Entity::insert(row)
        .exec_without_returning(tx.db())
        .await
        .map_err(|e| engine::fault(&e))?;
    Ok(())
}

/// Writes back a provider that was locked before.
pub async fn update(tx: &Tx, provider: &Provider) -> Result<(), Fault> {
    providers::Entity::update_many()
        .set(active(provider)?)
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
        .filter(providers::Column::ProviderId.eq(id.0))
        .exec(tx.db())
        .await
        .map_err(|e| engine::fault(&e))?;
    Ok(())
}

/// A provider and the claims that overlap `range`, in one statement, so of one moment.
///
/// The claims come as one text of `start,end` pairs in seconds since 1970: a row for each would cost
/// several times as much to send and to read.
pub async fn find_with_claims(
    at: &Snapshot,
    id: ProviderId,
    range: Interval,
) -> Result<Option<(Provider, IntervalSet)>, Fault> {
    // No appointment is longer than a day, so none that starts earlier can reach into the range.
    let earliest = range.start() - TimeDelta::days(1);
    let values = [id.0.into(), earliest.into(), range.end().into(), range.start().into()];
    let (backend, sql) = match at.engine() {
        Engine::Postgres => (sea_orm::DatabaseBackend::Postgres, CLAIMS_POSTGRES),
        Engine::Sqlite => (sea_orm::DatabaseBackend::Sqlite, CLAIMS_SQLITE),
    };
    let row = at
        .query_one(Statement::from_sql_and_values(backend, sql, values))
        .await
        .map_err(|e| engine::fault(&e))?;
    let Some(row) = row else { return Ok(None) };
    let model = <providers::Model as sea_orm::FromQueryResult>::from_query_result(&row, "")
        .map_err(|e| engine::fault(&e))?;
    let claims: Option<String> = row.try_get("", "claims").map_err(|e| engine::fault(&e))?;
    let claims = intervals(claims.as_deref().unwrap_or_default())
        .ok_or_else(|| Fault::internal(format!("the claims of provider {id} do not read")))?;
    Ok(Some((provider(model)?, claims)))
}

const CLAIMS_POSTGRES: &str = "SELECT p.*, (
        SELECT string_agg(
            extract(epoch FROM a.starts_at)::bigint || ',' || extract(epoch FROM a.ends_at)::bigint,
            ',')
        FROM appointments a
        WHERE a.provider_id = $1 AND a.starts_at >= $2 AND a.starts_at < $3 AND a.ends_at > $4
          AND a.state IN ('booked', 'completed')) AS claims
    FROM providers p WHERE p.provider_id = $1";

const CLAIMS_SQLITE: &str = "SELECT p.*, (
        SELECT group_concat(unixepoch(a.starts_at) || ',' || unixepoch(a.ends_at), ',')
        FROM appointments a
        WHERE a.provider_id = $1 AND a.starts_at >= $2 AND a.starts_at < $3 AND a.ends_at > $4
          AND a.state IN ('booked', 'completed')) AS claims
    FROM providers p WHERE p.provider_id = $1";

fn intervals(text: &str) -> Option<IntervalSet> {
    if text.is_empty() {
        return Some(IntervalSet::default());
    }
    let mut seconds = text
        .split(',')
        .map(|number| number.parse().ok().and_then(|seconds| DateTime::from_timestamp(seconds, 0)));
    let mut all = Vec::new();
    while let Some(start) = seconds.next() {
        all.push(Interval::new(start?, seconds.next()??)?);
    }
    Some(all.into_iter().collect())
}

fn active(provider: &Provider) -> Result<providers::ActiveModel, Fault> {
    let schedule = &provider.schedule;
    let minutes = |length: TimeDelta| {
        i32::try_from(length.num_minutes())
            .map_err(|_| Fault::internal("a length of a schedule is out of range"))
    };
    Ok(providers::ActiveModel {
        display_name: Set(provider.display_name.clone()),
        enabled: Set(provider.enabled),
        time_zone: Set(schedule.zone().name().to_owned()),
        weekly_hours: Set(serde_json::to_value(schedule.hours())
            .map_err(|e| Fault::internal(format!("weekly hours do not encode: {e}")))?),
        slot_minutes: Set(minutes(schedule.slot())?),
        longest_minutes: Set(minutes(schedule.longest())?),
        version: Set(provider.version),
        schedule_version: Set(provider.schedule_version),
        schedule_updated_at: Set(provider.schedule_updated_at),
        ..Default::default()
    })
}

fn provider(row: providers::Model) -> Result<Provider, Fault> {
    let id = row.provider_id;
    let senseless = |what: &str| Fault::internal(format!("providers row {id}: {what}"));
    let zone = parse_zone(&row.time_zone).ok_or_else(|| senseless("unknown zone"))?;
    let hours: WeeklyHours =
        serde_json::from_value(row.weekly_hours).map_err(|e| senseless(&e.to_string()))?;
    let schedule = Schedule::new(
        zone,
        hours,
        TimeDelta::minutes(row.slot_minutes.into()),
        TimeDelta::minutes(row.longest_minutes.into()),
    )
    .map_err(|violations| senseless(&format!("{violations:?}")))?;
    Ok(Provider {
        id: ProviderId(id),
        display_name: row.display_name,
        enabled: row.enabled,
        schedule: Arc::new(schedule),
        version: row.version,
        schedule_version: row.schedule_version,
        schedule_updated_at: row.schedule_updated_at,
    })
}
