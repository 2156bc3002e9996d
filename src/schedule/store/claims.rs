//! Providers with their claims, for many questions in one statement.

use std::sync::Arc;

use chrono::{DateTime, TimeDelta};
use quick_cache::sync::Cache;
use sea_orm::{
    DatabaseBackend, DbErr, FromQueryResult, QueryResult, Statement, Value, sea_query::ArrayType,
};
use serde_json::Value as Json;
use uuid::Uuid;

use crate::{
    kernel::{
        fault::Fault,
        id::{ProviderId, TypeId},
        time::{Instant, Interval},
    },
    schedule::provider::Provider,
    storage::{Engine, Query, Session, Snapshot, batch::Together, engine, entity::providers},
};

/// The providers that were met last, with their schedules read and checked. A hint: who uses one makes
/// sure that the stored schedule still has the same version.
#[derive(Debug, Clone)]
pub struct Remembered {
    providers: Arc<Cache<ProviderId, Arc<Provider>>>,
    /// Who offered a type when it was last asked for: whose schedules the next answer may leave out.
    lists: Arc<Cache<TypeId, Arc<[ProviderId]>>>,
}

/// How many types' providers are remembered.
const LISTS: usize = 1_000;

impl Remembered {
    /// Remembers up to this many providers.
    pub fn new(capacity: usize) -> Self {
        Self { providers: Arc::new(Cache::new(capacity)), lists: Arc::new(Cache::new(LISTS)) }
    }

    /// The provider as it was met last.
    pub fn get(&self, id: ProviderId) -> Option<Arc<Provider>> {
        self.providers.get(&id)
    }

    /// Remembers a provider as it was just read.
    pub fn keep(&self, provider: Arc<Provider>) {
        self.providers.insert(provider.id, provider);
    }

    /// Who offered a type when it was last asked for.
    pub fn list(&self, id: TypeId) -> Vec<ProviderId> {
        self.lists.get(&id).map(|list| list.to_vec()).unwrap_or_default()
    }

    /// Remembers who offers a type.
    pub fn keep_list(&self, id: TypeId, providers: Vec<ProviderId>) {
        self.lists.insert(id, providers.into());
    }
}

/// A question for a provider and the claims that overlap a range.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Question {
    /// Whose.
    pub provider: ProviderId,
    /// Which.
    pub range: Interval,
    /// The present, in whole seconds, as expiries are: what expires until then claims nothing.
    pub now: Instant,
}

/// A provider's time, of one moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// The provider.
    pub provider: Arc<Provider>,
    /// What is claimed, buffers included, sorted.
    pub claims: Vec<Interval>,
    /// When the practice is closed, sorted.
    pub closures: Vec<Interval>,
}

/// The answer to a question.
///
/// A fault in one answer, such as a row that makes no sense, is not the others'.
pub type Answer = Result<Option<Arc<Found>>, Fault>;

/// The sort of question that [`Question`] is.
#[derive(Debug, Clone)]
pub struct WithClaims {
    /// What is known of schedules.
    pub remembered: Remembered,
}

impl Together for WithClaims {
    type Question = Question;
    type Answer = Answer;
    type Statement = Find;

    fn statement(&self, questions: Arc<[Question]>) -> Find {
        Find { remembered: self.remembered.clone(), questions }
    }
}

/// The statement.
#[derive(Debug)]
pub struct Find {
    remembered: Remembered,
    questions: Arc<[Question]>,
}

// The claims of a provider come as one text of `start,end` pairs in seconds since 1970: a row for each
// would cost several times as much to send and to read. The weekly hours and the plan are left out where
// the version that is known already is the stored one. No appointment is longer than a day and no buffer
// longer than four hours, so no claim of one that starts more than 28 hours before the range reaches into
// it, nor of one that starts more than four hours after it.
const POSTGRES: &str = "SELECT q.place, p.provider_id, p.display_name, p.enabled, p.time_zone,
        CASE WHEN p.schedule_version <> q.known THEN p.weekly_hours END AS weekly_hours,
        CASE WHEN p.schedule_version <> q.known THEN p.plan END AS plan, p.last_assigned_at,
        p.slot_minutes, p.longest_minutes, p.version, p.schedule_version, p.schedule_updated_at,
        c.claims, (
            SELECT string_agg(extract(epoch FROM starts_at)::bigint || ','
                || extract(epoch FROM ends_at)::bigint, ',')
            FROM closures WHERE ends_at > q.starts_at AND closures.starts_at < q.ends_at) AS closures
    FROM unnest($1::uuid[], $2::timestamptz[], $3::timestamptz[], $4::timestamptz[], $5::timestamptz[],
            $6::timestamptz[], $7::bigint[])
        WITH ORDINALITY AS q (provider_id, earliest, starts_at, ends_at, latest, now, known, place)
    JOIN providers p ON p.provider_id = q.provider_id
    CROSS JOIN LATERAL (
        SELECT string_agg(extract(epoch FROM a.claim_starts_at)::bigint || ','
            || extract(epoch FROM a.claim_ends_at)::bigint, ',') AS claims
        FROM appointments a
        WHERE a.provider_id = q.provider_id
          AND a.starts_at >= q.earliest AND a.starts_at < q.latest
          AND a.claim_starts_at < q.ends_at AND a.claim_ends_at > q.starts_at
          AND a.state IN ('held', 'pending', 'booked', 'completed', 'no_show')
          AND (a.expires_at IS NULL OR a.expires_at > q.now)) c";

const SQLITE: &str = "SELECT 1 AS place, p.provider_id, p.display_name, p.enabled, p.time_zone,
        CASE WHEN p.schedule_version <> $7 THEN p.weekly_hours END AS weekly_hours,
        CASE WHEN p.schedule_version <> $7 THEN p.plan END AS plan, p.last_assigned_at,
        p.slot_minutes, p.longest_minutes, p.version, p.schedule_version, p.schedule_updated_at, (
            SELECT group_concat(unixepoch(a.claim_starts_at) || ',' || unixepoch(a.claim_ends_at), ',')
            FROM appointments a
            WHERE a.provider_id = $1 AND a.starts_at >= $2 AND a.starts_at < $5
              AND a.claim_starts_at < $4 AND a.claim_ends_at > $3
              AND a.state IN ('held', 'pending', 'booked', 'completed', 'no_show')
              AND (a.expires_at IS NULL OR a.expires_at > $6)) AS claims, (
            SELECT group_concat(unixepoch(starts_at) || ',' || unixepoch(ends_at), ',')
            FROM closures WHERE ends_at > $3 AND starts_at < $4) AS closures
    FROM providers p WHERE p.provider_id = $1";

#[derive(FromQueryResult)]
struct Row {
    place: i64,
    provider_id: Uuid,
    display_name: String,
    enabled: bool,
    time_zone: String,
    weekly_hours: Option<Json>,
    plan: Option<Json>,
    last_assigned_at: Option<Instant>,
    slot_minutes: i32,
    longest_minutes: i32,
    version: i64,
    schedule_version: i64,
    schedule_updated_at: Instant,
    claims: Option<String>,
    closures: Option<String>,
}

impl Query for Find {
    type Output = Vec<Answer>;

    async fn run(&self, at: &Snapshot) -> Result<Vec<Answer>, Fault> {
        let known: Vec<_> =
            self.questions.iter().map(|asked| self.remembered.get(asked.provider)).collect();
        let mut answers: Vec<Answer> = vec![Ok(None); self.questions.len()];
        match at.engine() {
            Engine::Postgres => {
                let rows =
                    at.query_all(self.postgres(&known)).await.map_err(|e| engine::fault(&e))?;
                for row in rows {
                    let row = read(&row)?;
                    let place = usize::try_from(row.place - 1).unwrap_or(usize::MAX);
                    let known = known.get(place).cloned().flatten();
                    if let Some(answer) = answers.get_mut(place) {
                        *answer = self.answer(row, known).map(Some);
                    }
                }
            }
            // In the same process a statement costs no round trip.
            Engine::Sqlite => {
                for ((asked, known), answer) in
                    self.questions.iter().zip(known).zip(answers.iter_mut())
                {
                    let statement = sqlite(asked, known.as_deref());
                    let row = at.query_one(statement).await.map_err(|e| engine::fault(&e))?;
                    if let Some(row) = row {
                        *answer = read(&row).and_then(|row| self.answer(row, known)).map(Some);
                    }
                }
            }
        }
        Ok(answers)
    }
}

impl Find {
    fn postgres(&self, known: &[Option<Arc<Provider>>]) -> Statement {
        let array = |kind: ArrayType, value: &dyn Fn(&Question) -> Value| {
            Value::Array(kind, Some(Box::new(self.questions.iter().map(value).collect())))
        };
        let versions = known.iter().map(|known| known_version(known.as_deref()).into()).collect();
        let values = [
            array(ArrayType::Uuid, &|asked| asked.provider.0.into()),
            array(ArrayType::ChronoDateTimeUtc, &|asked| earliest(asked.range).into()),
            array(ArrayType::ChronoDateTimeUtc, &|asked| asked.range.start().into()),
            array(ArrayType::ChronoDateTimeUtc, &|asked| asked.range.end().into()),
            array(ArrayType::ChronoDateTimeUtc, &|asked| latest(asked.range).into()),
            array(ArrayType::ChronoDateTimeUtc, &|asked| asked.now.into()),
            Value::Array(ArrayType::BigInt, Some(Box::new(versions))),
        ];
        Statement::from_sql_and_values(DatabaseBackend::Postgres, POSTGRES, values)
    }

    fn answer(&self, row: Row, known: Option<Arc<Provider>>) -> Result<Arc<Found>, Fault> {
        let id = row.provider_id;
        let read = |text: Option<&str>| {
            intervals(text).ok_or_else(|| Fault::internal(format!("claims of {id} do not read")))
        };
        let claims = read(row.claims.as_deref())?;
        let closures = read(row.closures.as_deref())?;
        let provider = match (row.weekly_hours.zip(row.plan), known) {
            (None, Some(known)) => {
                let same = known.enabled == row.enabled
                    && known.display_name == row.display_name
                    && known.last_assigned_at == row.last_assigned_at;
                if same {
                    known
                } else {
                    Arc::new(Provider {
                        display_name: row.display_name,
                        enabled: row.enabled,
                        version: row.version,
                        last_assigned_at: row.last_assigned_at,
                        ..Provider::clone(&known)
                    })
                }
            }
            (None, None) => {
                return Err(Fault::internal("a schedule was left out and is not known"));
            }
            (Some((weekly_hours, plan)), _) => Arc::new(super::provider(providers::Model {
                provider_id: row.provider_id,
                display_name: row.display_name,
                enabled: row.enabled,
                time_zone: row.time_zone,
                weekly_hours,
                slot_minutes: row.slot_minutes,
                longest_minutes: row.longest_minutes,
                version: row.version,
                schedule_version: row.schedule_version,
                schedule_updated_at: row.schedule_updated_at,
                plan,
                last_assigned_at: row.last_assigned_at,
            })?),
        };
        self.remembered.keep(Arc::clone(&provider));
        Ok(Arc::new(Found { provider, claims, closures }))
    }
}

fn sqlite(asked: &Question, known: Option<&Provider>) -> Statement {
    let values: [Value; 7] = [
        asked.provider.0.into(),
        earliest(asked.range).into(),
        asked.range.start().into(),
        asked.range.end().into(),
        latest(asked.range).into(),
        asked.now.into(),
        known_version(known).into(),
    ];
    Statement::from_sql_and_values(DatabaseBackend::Sqlite, SQLITE, values)
}

fn read(row: &QueryResult) -> Result<Row, Fault> {
    Row::from_query_result(row, "").map_err(|e: DbErr| engine::fault(&e))
}

/// No claim that reaches into the range belongs to an appointment that starts sooner.
pub fn earliest(range: Interval) -> Instant {
    range.start() - TimeDelta::hours(28)
}

/// No claim that reaches into the range belongs to an appointment that starts at or after this.
pub fn latest(range: Interval) -> Instant {
    range.end() + TimeDelta::hours(4)
}

/// Versions begin at one.
fn known_version(known: Option<&Provider>) -> i64 {
    known.map_or(0, |provider| provider.schedule_version)
}

/// Reads `start,end` pairs in seconds since 1970 and sorts them.
pub fn intervals(text: Option<&str>) -> Option<Vec<Interval>> {
    let Some(text) = text else { return Some(Vec::new()) };
    let mut seconds = text
        .split(',')
        .map(|number| number.parse().ok().and_then(|seconds| DateTime::from_timestamp(seconds, 0)));
    let mut all = Vec::new();
    while let Some(start) = seconds.next() {
        all.push(Interval::new(start?, seconds.next()??)?);
    }
    all.sort_unstable();
    Some(all)
}
