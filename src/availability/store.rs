//! The time of all providers who offer a type, in one statement.

use std::collections::HashMap;

use sea_orm::{DatabaseBackend, FromQueryResult, Statement, Value, sea_query::ArrayType};
use serde_json::Value as Json;
use uuid::Uuid;

use super::{Time, service::time_off};
use crate::{
    kernel::{
        fault::Fault,
        id::{ProviderId, TypeId},
        time::{Instant, Interval},
    },
    schedule::{
        provider::Provider,
        store::{
            self,
            claims::{Remembered, earliest, intervals, latest},
        },
    },
    storage::{Engine, Query, Session, Snapshot, engine, entity::providers},
};

/// Asks for the time of providers who can be booked.
#[derive(Debug, Clone)]
pub struct Offering {
    /// The type that they offer.
    pub type_id: TypeId,
    /// Only these providers; none means everybody.
    pub providers: Option<Vec<ProviderId>>,
    /// Also of those who do not offer the type; for explanations.
    pub also_others: bool,
    /// Which time.
    pub range: Interval,
    /// Whether claims that touch may be told as one, which is quicker where there are many.
    pub joined: bool,
    /// In which range to count appointments, of the type and in all, if they shall be counted.
    pub counted: Option<Interval>,
    /// The present, in whole seconds, as expiries are.
    pub now: Instant,
    /// What is known of schedules.
    pub remembered: Remembered,
}

/// One provider's time.
#[derive(Debug, Clone)]
pub struct Offered {
    /// Who.
    pub provider: ProviderId,
    /// Whether the type is offered. If not, the hours are the default ones.
    pub is_offered: bool,
    /// The time, with the hours by which the type is offered.
    pub time: Time,
    /// How long the provider is booked in all, in minutes, in each week of the counted range, by the
    /// starts of the appointments.
    pub booked: Vec<Interval>,
    /// When the provider was last given an appointment that was for whoever is free.
    pub last_assigned_at: Option<Instant>,
}

// As in `schedule::store::claims`: a text of pairs for each provider. `counted` has those of the type,
// `booked` what is no hold. The plan and the hours are left out where they are known.
const POSTGRES: &str = "SELECT p.provider_id, p.display_name, p.enabled, p.time_zone,
        CASE WHEN known.version IS DISTINCT FROM p.schedule_version THEN p.weekly_hours END
            AS weekly_hours,
        CASE WHEN known.version IS DISTINCT FROM p.schedule_version THEN p.plan END AS plan,
        p.slot_minutes, p.longest_minutes, p.version, p.schedule_version, p.schedule_updated_at,
        p.last_assigned_at, o.type_id IS NOT NULL AS is_offered, o.schedule_id,
        c.claims, k.counted, k.booked, (
            SELECT string_agg(extract(epoch FROM starts_at)::bigint || ','
                || extract(epoch FROM ends_at)::bigint, ',')
            FROM closures WHERE ends_at > $5 AND starts_at < $6) AS closures
    FROM providers p
    LEFT JOIN offerings o ON o.provider_id = p.provider_id AND o.type_id = $1
    LEFT JOIN unnest($11::uuid[], $12::bigint[]) AS known (provider_id, version)
        ON known.provider_id = p.provider_id
    CROSS JOIN LATERAL (
        SELECT string_agg(extract(epoch FROM lower(claim))::bigint || ','
            || extract(epoch FROM upper(claim))::bigint, ',') AS claims
        FROM {claims}) c
    LEFT JOIN LATERAL (
        SELECT string_agg(extract(epoch FROM a.starts_at)::bigint || ','
                || extract(epoch FROM a.ends_at)::bigint, ',')
                FILTER (WHERE a.type_id = $1) AS counted,
            string_agg(extract(epoch FROM a.starts_at)::bigint || ','
                || extract(epoch FROM a.ends_at)::bigint, ',')
                FILTER (WHERE a.state <> 'held') AS booked
        FROM appointments a
        WHERE a.provider_id = p.provider_id AND a.starts_at >= $9 AND a.starts_at < $10
          AND a.state IN ('held', 'pending', 'booked', 'completed', 'no_show')
          AND (a.expires_at IS NULL OR a.expires_at > $8)) k ON $9 IS NOT NULL
    WHERE p.enabled AND (o.type_id IS NOT NULL OR $3)
      AND ($2::uuid[] IS NULL OR p.provider_id = ANY ($2::uuid[]))
    ORDER BY p.provider_id";

/// The claims one by one, or those that touch as one: fewer to write out and to read.
const EACH: &str = "(
            SELECT tstzrange(a.claim_starts_at, a.claim_ends_at) AS claim FROM {rows}) each";
const JOINED: &str = "unnest((
            SELECT range_agg(tstzrange(a.claim_starts_at, a.claim_ends_at)) FROM {rows})) claim";
const CLAIMS: &str = "appointments a
        WHERE a.provider_id = p.provider_id AND a.starts_at >= $4 AND a.starts_at < $7
          AND a.claim_starts_at < $6 AND a.claim_ends_at > $5
          AND a.state IN ('held', 'pending', 'booked', 'completed', 'no_show')
          AND (a.expires_at IS NULL OR a.expires_at > $8)";

const SQLITE: &str = "SELECT p.provider_id, p.display_name, p.enabled, p.time_zone,
        p.weekly_hours, p.plan,
        p.slot_minutes, p.longest_minutes, p.version, p.schedule_version, p.schedule_updated_at,
        p.last_assigned_at, o.type_id IS NOT NULL AS is_offered, o.schedule_id, (
            SELECT group_concat(unixepoch(a.claim_starts_at) || ',' || unixepoch(a.claim_ends_at), ',')
            FROM appointments a
            WHERE a.provider_id = p.provider_id AND a.starts_at >= $4 AND a.starts_at < $7
              AND a.claim_starts_at < $6 AND a.claim_ends_at > $5
              AND a.state IN ('held', 'pending', 'booked', 'completed', 'no_show')
              AND (a.expires_at IS NULL OR a.expires_at > $8)) AS claims, (
            SELECT group_concat(unixepoch(a.starts_at) || ',' || unixepoch(a.ends_at), ',')
            FROM appointments a
            WHERE $9 IS NOT NULL AND a.type_id = $1
              AND a.provider_id = p.provider_id AND a.starts_at >= $9 AND a.starts_at < $10
              AND a.state IN ('held', 'pending', 'booked', 'completed', 'no_show')
              AND (a.expires_at IS NULL OR a.expires_at > $8)) AS counted, (
            SELECT group_concat(unixepoch(a.starts_at) || ',' || unixepoch(a.ends_at), ',')
            FROM appointments a
            WHERE $9 IS NOT NULL AND a.state <> 'held'
              AND a.provider_id = p.provider_id AND a.starts_at >= $9 AND a.starts_at < $10
              AND a.state IN ('pending', 'booked', 'completed', 'no_show')
              AND (a.expires_at IS NULL OR a.expires_at > $8)) AS booked, (
            SELECT group_concat(unixepoch(starts_at) || ',' || unixepoch(ends_at), ',')
            FROM closures WHERE ends_at > $5 AND starts_at < $6) AS closures
    FROM providers p
    LEFT JOIN offerings o ON o.provider_id = p.provider_id AND o.type_id = $1
    WHERE p.enabled AND (o.type_id IS NOT NULL OR $3)
      AND ($2 IS NULL OR hex(p.provider_id) IN (SELECT value FROM json_each($2)))
    ORDER BY p.provider_id";

#[derive(FromQueryResult)]
struct Row {
    provider_id: Uuid,
    display_name: String,
    enabled: bool,
    time_zone: String,
    weekly_hours: Option<Json>,
    plan: Option<Json>,
    slot_minutes: i32,
    longest_minutes: i32,
    version: i64,
    schedule_version: i64,
    schedule_updated_at: Instant,
    last_assigned_at: Option<Instant>,
    is_offered: bool,
    schedule_id: Option<String>,
    claims: Option<String>,
    counted: Option<String>,
    booked: Option<String>,
    closures: Option<String>,
}

impl Query for Offering {
    type Output = Vec<Offered>;

    async fn run(&self, at: &Snapshot) -> Result<Vec<Offered>, Fault> {
        let known = self.known(at.engine());
        let statement = match at.engine() {
            Engine::Postgres => self.postgres(&known),
            Engine::Sqlite => Statement::from_sql_and_values(
                DatabaseBackend::Sqlite,
                SQLITE,
                self.values(self.sqlite_providers()),
            ),
        };
        let rows = at.query_all(statement).await.map_err(|e| engine::fault(&e))?;
        let mut all = Vec::with_capacity(rows.len());
        for row in rows {
            let row = Row::from_query_result(&row, "").map_err(|e| engine::fault(&e))?;
            // A row that makes no sense is a defect to log, and no reason to show nobody.
            match self.offered(row, &known) {
                Ok(offered) => all.push(offered),
                Err(fault) => tracing::error!(%fault, "left out of the slots"),
            }
        }
        self.remembered.keep_list(self.type_id, all.iter().map(|each| each.provider).collect());
        Ok(all)
    }
}

impl Offering {
    /// The providers whose schedules need not be sent.
    fn known(&self, engine: Engine) -> HashMap<ProviderId, std::sync::Arc<Provider>> {
        // In the same process there is nothing to save.
        if engine == Engine::Sqlite {
            return HashMap::new();
        }
        let likely = match &self.providers {
            Some(providers) => providers.clone(),
            None => self.remembered.list(self.type_id),
        };
        likely.into_iter().filter_map(|id| Some((id, self.remembered.get(id)?))).collect()
    }

    fn postgres(&self, known: &HashMap<ProviderId, std::sync::Arc<Provider>>) -> Statement {
        let uuids = |ids: Vec<ProviderId>| {
            let ids = ids.into_iter().map(|id| id.0.into()).collect();
            Value::Array(ArrayType::Uuid, Some(Box::new(ids)))
        };
        let providers = self.providers.clone().map_or(Value::Array(ArrayType::Uuid, None), uuids);
        let mut values = self.values(providers);
        let versions = known.values().map(|known| known.schedule_version.into()).collect();
        values.push(uuids(known.keys().copied().collect()));
        values.push(Value::Array(ArrayType::BigInt, Some(Box::new(versions))));
        let claims = if self.joined { JOINED } else { EACH };
        let sql = POSTGRES.replace("{claims}", &claims.replace("{rows}", CLAIMS));
        Statement::from_sql_and_values(DatabaseBackend::Postgres, sql, values)
    }

    fn sqlite_providers(&self) -> Value {
        let hex = |id: &ProviderId| id.0.simple().to_string().to_uppercase();
        let list = self.providers.as_ref().map(|ids| ids.iter().map(hex).collect::<Vec<_>>());
        list.map(|list| Json::from(list).to_string()).into()
    }

    fn values(&self, providers: Value) -> Vec<Value> {
        vec![
            self.type_id.0.into(),
            providers,
            self.also_others.into(),
            earliest(self.range).into(),
            self.range.start().into(),
            self.range.end().into(),
            latest(self.range).into(),
            self.now.into(),
            self.counted.map(|counted| counted.start()).into(),
            self.counted.map(|counted| counted.end()).into(),
        ]
    }

    fn offered(
        &self,
        row: Row,
        known: &HashMap<ProviderId, std::sync::Arc<Provider>>,
    ) -> Result<Offered, Fault> {
        let id = row.provider_id;
        let senseless = |what: &str| Fault::internal(format!("time of {id}: {what}"));
        let read = |text: &Option<String>| {
            intervals(text.as_deref()).ok_or_else(|| senseless("does not read"))
        };
        let (claims, closures) = (read(&row.claims)?, read(&row.closures)?);
        let (counted, booked) = (read(&row.counted)?, read(&row.booked)?);
        let provider = match (row.weekly_hours, row.plan) {
            (Some(weekly_hours), Some(plan)) => {
                let read = store::provider(providers::Model {
                    provider_id: row.provider_id,
                    display_name: row.display_name,
                    enabled: row.enabled,
                    time_zone: row.time_zone,
                    weekly_hours,
                    plan,
                    slot_minutes: row.slot_minutes,
                    longest_minutes: row.longest_minutes,
                    version: row.version,
                    schedule_version: row.schedule_version,
                    schedule_updated_at: row.schedule_updated_at,
                    last_assigned_at: row.last_assigned_at,
                })?;
                let read = std::sync::Arc::new(read);
                self.remembered.keep(std::sync::Arc::clone(&read));
                read
            }
            _ => known
                .get(&ProviderId(id))
                .cloned()
                .ok_or_else(|| senseless("a schedule was left out and is not known"))?,
        };
        let hours = provider
            .hours(row.schedule_id.as_deref())
            .ok_or_else(|| senseless("offers by a schedule that is not there"))?;
        Ok(Offered {
            provider: provider.id,
            is_offered: row.is_offered,
            booked,
            last_assigned_at: row.last_assigned_at,
            time: Time {
                zone: hours.zone(),
                windows: hours.windows(self.range),
                time_off: time_off(&provider, self.range),
                closures,
                claims,
                counted,
            },
        })
    }
}
