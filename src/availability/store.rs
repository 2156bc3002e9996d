//! The time of all providers who offer a type: one statement for who they are, and one for each 64 whose time
//! is not remembered.

use std::sync::Arc;

use sea_orm::{DatabaseBackend, FromQueryResult, Statement, Value, sea_query::ArrayType};
use serde_json::Value as Json;
use uuid::Uuid;

use super::{ProviderTime, practice::Practice, service::time_off};
use crate::{
    claims::store::{pairs::intervals, sql::claims_at},
    kernel::{
        fault::Fault,
        id::{ProviderId, TypeId},
        stamp::{Revision, Stamp},
        time::{Instant, Interval},
        zone::ZoneData,
    },
    schedule::{
        cache::{Breadth, CachedProviderTime, ScheduleCache},
        provider::Provider,
        store::provider_time::{self, Found, Offer},
    },
    storage::{Engine, Executor, Query, Reader, engine, readable},
};

/// Asks for the time of providers who can be booked.
#[derive(Debug, Clone)]
pub struct Offering {
    /// The type that they offer.
    pub type_id: TypeId,
    /// Only these providers; none means everybody.
    pub providers: Option<Vec<ProviderId>>,
    /// Also those of the named providers who do not offer the type; for explanations.
    pub also_others: bool,
    /// Time range to read.
    pub range: Interval,
    /// In which range to count appointments, of the type and in all, if they shall be counted.
    pub counted: Option<Interval>,
    /// The present, in whole seconds, as expiries are.
    pub now: Instant,
    /// What is known of providers.
    pub schedule_cache: ScheduleCache,
    /// The zone data of that time.
    pub zones: ZoneData,
    /// The settings of the practice.
    pub practice: Practice,
}

/// One provider's time.
#[derive(Debug, Clone)]
pub struct Offered {
    /// The id of the provider.
    pub provider: ProviderId,
    /// Whether the type is offered. If not, the hours are the default ones.
    pub is_offered: bool,
    /// The state of the type at that moment.
    pub type_revision: Option<Revision>,
    /// The time, with the hours by which the type is offered.
    pub time: ProviderTime,
    /// How long the provider is booked in all, in minutes, in each week of the counted range, by the
    /// starts of the appointments.
    pub booked: Vec<Interval>,
    /// When the provider was last given an appointment that was for whoever is free.
    pub last_assigned_at: Option<Instant>,
}

/// The claims of how many providers one statement reads at most.
const AT_ONCE: usize = 64;
/// For how many providers more time is read than is asked for, so that the next questions find it.
const FEW: usize = 64;
/// After how many providers others get a turn at the thread.
const YIELD_EVERY: usize = 16;

// Who it is, and what is nowhere remembered: `counted` has what counts for the limits, the appointments of
// the type; `booked` all of the provider's own. Both as in `claims::store::pairs`, a text of pairs.
const POSTGRES: &str = concat!(
    "SELECT p.provider_id, p.version, p.stamp, o.type_id IS NOT NULL AS is_offered,
        o.schedule_id, k.counted, k.booked,
        (SELECT version FROM appointment_types WHERE type_id = $1) AS type_version,
        (SELECT stamp FROM appointment_types WHERE type_id = $1) AS type_stamp, (
            SELECT string_agg(extract(epoch FROM greatest(starts_at, '1970-01-01+00'))::bigint || ','
                || extract(epoch FROM least(ends_at, '2300-01-01+00'))::bigint, ',')
            FROM closures WHERE ends_at > $4 AND starts_at < $5) AS closures
    FROM {who}
    LEFT JOIN LATERAL (
        SELECT string_agg(extract(epoch FROM a.starts_at)::bigint || ','
                || extract(epoch FROM a.ends_at)::bigint, ',')
                FILTER (WHERE a.type_id = $1) AS counted,
            string_agg(extract(epoch FROM a.starts_at)::bigint || ','
                || extract(epoch FROM a.ends_at)::bigint, ',')
                FILTER (WHERE a.claim_of IS NULL) AS booked
        FROM appointments a
        WHERE $7 IS NOT NULL
          AND a.provider_id = p.provider_id AND a.starts_at >= $7 AND a.starts_at < $8
          AND ",
    claims_at!("a", "$6"),
    ") k ON true
    WHERE {which}
    ORDER BY p.provider_id"
);

const SQLITE: &str = concat!(
    "SELECT p.provider_id, p.version, p.stamp, o.type_id IS NOT NULL AS is_offered,
        o.schedule_id, (
            SELECT group_concat(unixepoch(a.starts_at) || ',' || unixepoch(a.ends_at), ',')
            FROM appointments a
            WHERE $7 IS NOT NULL AND a.type_id = $1
              AND a.provider_id = p.provider_id AND a.starts_at >= $7 AND a.starts_at < $8
              AND ",
    claims_at!("a", "$6"),
    ") AS counted, (
            SELECT group_concat(unixepoch(a.starts_at) || ',' || unixepoch(a.ends_at), ',')
            FROM appointments a
            WHERE $7 IS NOT NULL
              AND a.provider_id = p.provider_id AND a.starts_at >= $7 AND a.starts_at < $8
              AND a.claim_of IS NULL
              AND ",
    claims_at!("a", "$6"),
    ") AS booked,
        (SELECT version FROM appointment_types WHERE type_id = $1) AS type_version,
        (SELECT stamp FROM appointment_types WHERE type_id = $1) AS type_stamp, (
            SELECT group_concat(coalesce(unixepoch(starts_at), 0) || ','
                || coalesce(unixepoch(ends_at), 10413792000), ',')
            FROM closures WHERE ends_at > $4 AND starts_at < $5) AS closures
    FROM {who}
    WHERE {which}
    ORDER BY p.provider_id"
);

// One text for both would leave the planner no index for either.
const ANYBODY: &str = "offerings o JOIN providers p ON p.provider_id = o.provider_id";
const NAMED: &str = "providers p
    LEFT JOIN offerings o ON o.provider_id = p.provider_id AND o.type_id = $1";
const ANYBODY_WHO: &str = "o.type_id = $1 AND p.enabled AND {names} IS NULL AND NOT $3";
const NAMED_WHO: &str = "p.enabled AND {named} AND (o.type_id IS NOT NULL OR $3)";

#[derive(FromQueryResult)]
struct Row {
    provider_id: Uuid,
    version: i64,
    stamp: i64,
    is_offered: bool,
    schedule_id: Option<String>,
    counted: Option<String>,
    booked: Option<String>,
    type_version: Option<i64>,
    type_stamp: Option<i64>,
    closures: Option<String>,
}

impl Query for Offering {
    type Output = Vec<Offered>;

    async fn run(&self, at: &Reader) -> Result<Vec<Offered>, Fault> {
        let rows = at.query_all(self.statement(at.engine())).await;
        let rows = rows.map_err(|e| engine::fault(&e))?;
        let rows = rows.iter().filter_map(|row| {
            let key = || row.try_get::<Uuid>("", "provider_id").map(|id| id.to_string());
            let left_out = |fault: &Fault| {
                readable::left_out("providers", &key().unwrap_or_default(), fault);
            };
            readable::decoded::<Row>(row).inspect_err(left_out).ok()
        });
        let rows: Vec<_> = rows.collect();
        let known = rows.iter().map(|row| {
            let known = self.schedule_cache.time(ProviderId(row.provider_id), self.range, self.now);
            let stored = Revision::new(row.version, Stamp(row.stamp));
            known.filter(|known| known.provider.revision() == stored)
        });
        let known: Vec<_> = known.collect();
        let unknown = rows.iter().zip(&known).filter(|(_, known)| known.is_none());
        let questions = unknown.map(|(row, _)| provider_time::ProviderTimeQuery {
            provider: ProviderId(row.provider_id),
            type_id: Some(self.type_id),
            range: self.range,
            now: self.now,
        });
        let questions: Vec<_> = questions.collect();
        // Many providers are nobody's reason to read more than is asked for.
        let breadth = if rows.len() > FEW { Breadth::Asked } else { Breadth::AsBefore };
        let mut read = Vec::with_capacity(questions.len());
        for some in questions.chunks(AT_ONCE) {
            read.extend(provider_time::read(at, &self.schedule_cache, some, breadth).await?);
        }
        let mut read = read.into_iter();
        let mut all = Vec::with_capacity(rows.len());
        for (place, (row, known)) in (1..).zip(rows.into_iter().zip(known)) {
            if place % YIELD_EVERY == 0 {
                tokio::task::yield_now().await;
            }
            let id = row.provider_id;
            let read = if known.is_none() { read.next().transpose() } else { Ok(None) };
            match read.and_then(|read| self.offered(row, known, read.flatten())) {
                Ok(Some(offered)) => all.push(offered),
                Ok(None) => {}
                // Who is asked for alone is no list to be left out of.
                Err(fault) if self.providers.as_ref().is_some_and(|named| named.len() == 1) => {
                    return Err(fault);
                }
                Err(fault) => readable::left_out("providers", &id.to_string(), &fault),
            }
        }
        Ok(all)
    }
}

impl Offered {
    /// What was found of a provider, with nothing counted.
    pub fn of(
        found: Found,
        zones: &ZoneData,
        (practice, now): (&Practice, Instant),
        range: Interval,
    ) -> Result<Self, Fault> {
        let Found { known, closures, offer, type_revision } = found;
        let provider: &Provider = &known.provider;
        let is_offered = offer.is_some();
        let hours = provider.hours(offer.and_then(|offer| offer.schedule).as_deref());
        let hours = hours.ok_or_else(|| {
            let name = provider.id.name();
            Fault::internal(format!("{name} offers by a schedule that is not there"))
        })?;
        Ok(Self {
            provider: provider.id,
            is_offered,
            type_revision,
            booked: Vec::new(),
            last_assigned_at: provider.last_assigned_at,
            time: ProviderTime {
                days: practice.days(hours, zones, range, now)?,
                windows: hours.windows(zones, range)?,
                time_off: time_off(provider, range),
                claims: known.claims(range).to_vec(),
                closures,
                counted: Vec::new(),
            },
        })
    }
}

impl Offering {
    /// One provider's time, of what the statement says and of what is known or was read.
    fn offered(
        &self,
        row: Row,
        known: Option<Arc<CachedProviderTime>>,
        read: Option<Found>,
    ) -> Result<Option<Offered>, Fault> {
        let counted = told(row.provider_id, row.counted.as_deref())?;
        let booked = told(row.provider_id, row.booked.as_deref())?;
        let found = match known {
            Some(known) => Some(Found {
                known,
                closures: told(row.provider_id, row.closures.as_deref())?,
                offer: row.is_offered.then_some(Offer { schedule: row.schedule_id }),
                type_revision: provider_time::revision(row.type_version, row.type_stamp),
            }),
            None => read,
        };
        // Who changed in the meantime may be in another state than was asked for.
        let Some(found) = found.filter(|found| self.wants(found)) else { return Ok(None) };
        let moment = (&self.practice, self.now);
        let offered = Offered::of(found, &self.zones, moment, self.range)?;
        Ok(Some(Offered { time: ProviderTime { counted, ..offered.time }, booked, ..offered }))
    }

    fn wants(&self, found: &Found) -> bool {
        found.known.provider.enabled && (found.offer.is_some() || self.also_others)
    }

    fn statement(&self, engine: Engine) -> Statement {
        let (who, which) = match self.providers {
            Some(_) => (NAMED, NAMED_WHO),
            None => (ANYBODY, ANYBODY_WHO),
        };
        let (text, backend, names, named, providers) = match engine {
            Engine::Postgres => (
                POSTGRES,
                DatabaseBackend::Postgres,
                "$2::uuid[]",
                "p.provider_id = ANY ($2::uuid[])",
                self.array(),
            ),
            Engine::Sqlite => (
                SQLITE,
                DatabaseBackend::Sqlite,
                "$2",
                "p.provider_id IN (SELECT unhex(value) FROM json_each($2))",
                self.json(),
            ),
        };
        let parts = [("{who}", who), ("{which}", which), ("{names}", names), ("{named}", named)];
        let sql = parts.iter().fold(text.to_owned(), |sql, (part, text)| sql.replace(part, text));
        let values: [Value; 8] = [
            self.type_id.0.into(),
            providers,
            self.also_others.into(),
            self.range.start().into(),
            self.range.end().into(),
            self.now.into(),
            self.counted.map(|counted| counted.start()).into(),
            self.counted.map(|counted| counted.end()).into(),
        ];
        Statement::from_sql_and_values(backend, sql, values)
    }

    fn array(&self) -> Value {
        let values = self.providers.as_ref().map(|ids| ids.iter().map(|id| id.0.into()).collect());
        Value::Array(ArrayType::Uuid, values.map(Box::new))
    }

    fn json(&self) -> Value {
        let hex = |id: &ProviderId| id.0.simple().to_string();
        let list = self.providers.as_ref().map(|ids| ids.iter().map(hex).collect::<Vec<_>>());
        list.map(|list| Json::from(list).to_string()).into()
    }
}

fn told(id: Uuid, text: Option<&str>) -> Result<Vec<Interval>, Fault> {
    intervals(text).ok_or_else(|| Fault::internal(format!("time of {id} does not read")))
}
