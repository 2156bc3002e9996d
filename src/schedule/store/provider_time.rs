//! Providers with their claims, for many questions at once: of those whose time is remembered only the
//! version is read.

use std::sync::Arc;

use sea_orm::{DatabaseBackend, FromQueryResult, Statement, Value, sea_query::ArrayType};
use serde_json::Value as Json;
use uuid::Uuid;

use crate::{
    claims::{
        margins::starts,
        overlap::apart,
        store::{pairs::intervals, sql::claims_of},
    },
    kernel::{
        fault::Fault,
        id::{ProviderId, TypeId},
        stamp::{Revision, Stamp},
        time::{Instant, Interval},
    },
    schedule::{
        cache::{Breadth, CachedProviderTime, ScheduleCache},
        provider::Provider,
    },
    storage::{
        Engine, Executor, Query, Reader, batch::BatchQuery, engine, entity::providers, readable,
        throttled_log,
    },
};

/// A question for a provider and the claims that overlap a range.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct ProviderTimeQuery {
    /// The id of the provider.
    pub provider: ProviderId,
    /// Whether the provider offers this type is asked for too.
    pub type_id: Option<TypeId>,
    /// From when until when claims are looked for; the end is excluded.
    pub range: Interval,
    /// The present, in whole seconds, as expiries are: what expires until then claims nothing.
    pub now: Instant,
}

impl ProviderTimeQuery {
    /// The type, or the id that none has: there are no arrays with gaps.
    fn type_or_none(&self) -> Uuid {
        self.type_id.map_or(Uuid::nil(), |id| id.0)
    }
}

/// A provider's time, of one moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// The provider, and at least the claims of the range.
    pub known: Arc<CachedProviderTime>,
    /// When the practice is closed, sorted.
    pub closures: Vec<Interval>,
    /// How the type is offered that was asked for; nothing if it is not.
    pub offer: Option<Offer>,
    /// The state of that type, if there is one.
    pub type_revision: Option<Revision>,
}

/// How a type is offered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Offer {
    /// By which named schedule; none is the default one.
    pub schedule: Option<String>,
}

/// The answer to a question.
///
/// A fault in one answer, such as a row that makes no sense, is not the others'.
pub type Answer = Result<Option<Found>, Fault>;

/// After how many providers' claims others get a turn at the thread.
const YIELD_EVERY: usize = 4;

/// The sort of question that [`ProviderTimeQuery`] is.
#[derive(Debug, Clone)]
pub struct ProviderTimeBatch {
    /// What is known of schedules.
    pub schedule_cache: ScheduleCache,
}

impl BatchQuery for ProviderTimeBatch {
    type Question = ProviderTimeQuery;
    type Answer = Answer;
    type Statement = Find;

    fn statement(&self, questions: Arc<[ProviderTimeQuery]>) -> Find {
        Find { schedule_cache: self.schedule_cache.clone(), questions }
    }
}

/// The SQL statement that answers a batch.
#[derive(Debug)]
pub struct Find {
    schedule_cache: ScheduleCache,
    questions: Arc<[ProviderTimeQuery]>,
}

// What cannot be read claims, or closes, as well: as far as was asked, or for good. So does `infinity`.
// Of those whose time is remembered, all that may have changed without a new version: a closure gives one
// only to those who were there when it was made.
const POSTGRES_VERSIONS: &str = "SELECT q.place, p.version, p.stamp, o.type_id IS NOT NULL AS is_offered,
        o.schedule_id, t.version AS type_version, t.stamp AS type_stamp, (
            SELECT string_agg(extract(epoch FROM greatest(starts_at, '1970-01-01+00'))::bigint || ','
                || extract(epoch FROM least(ends_at, '2300-01-01+00'))::bigint, ',')
            FROM closures WHERE ends_at > q.starts_at AND closures.starts_at < q.ends_at) AS closures
    FROM unnest($1::uuid[], $2::timestamptz[], $3::timestamptz[], $4::uuid[])
        WITH ORDINALITY AS q (provider_id, starts_at, ends_at, type_id, place)
    JOIN providers p ON p.provider_id = q.provider_id
    LEFT JOIN offerings o ON o.provider_id = q.provider_id AND o.type_id = q.type_id
    LEFT JOIN appointment_types t ON t.type_id = q.type_id";

const SQLITE_VERSIONS: &str =
    "SELECT $5 AS place, p.version, p.stamp, o.type_id IS NOT NULL AS is_offered,
        o.schedule_id, t.version AS type_version, t.stamp AS type_stamp, (
            SELECT group_concat(coalesce(unixepoch(starts_at), 0) || ','
                || coalesce(unixepoch(ends_at), 10413792000), ',')
            FROM closures WHERE ends_at > $2 AND starts_at < $3) AS closures
    FROM providers p
    LEFT JOIN offerings o ON o.provider_id = p.provider_id AND o.type_id = $4
    LEFT JOIN appointment_types t ON t.type_id = $4
    WHERE p.provider_id = $1";

// The claims of a provider come as one text of `start,end` pairs in seconds since 1970: a row for each
// would cost several times as much to send and to read. The weekly hours and the plan are left out where
// the version and the stamp that are known already are the stored ones.
const POSTGRES: &str = concat!(
    "SELECT q.place, p.provider_id, p.display_name, p.enabled, p.time_zone,
        CASE WHEN p.schedule_version <> q.known OR p.schedule_stamp <> q.known_stamp
            THEN p.weekly_hours END AS weekly_hours,
        CASE WHEN p.schedule_version <> q.known OR p.schedule_stamp <> q.known_stamp
            THEN p.plan END AS plan, p.last_assigned_at,
        p.slot_minutes, p.longest_minutes, p.version, p.stamp, p.schedule_version, p.schedule_stamp,
        p.schedule_updated_at, o.type_id IS NOT NULL AS is_offered, o.schedule_id,
        t.version AS type_version, t.stamp AS type_stamp,
        c.claims, c.changes_at, (
            SELECT string_agg(extract(epoch FROM greatest(starts_at, '1970-01-01+00'))::bigint || ','
                || extract(epoch FROM least(ends_at, '2300-01-01+00'))::bigint, ',')
            FROM closures WHERE ends_at > q.starts_at AND closures.starts_at < q.ends_at) AS closures
    FROM unnest($1::uuid[], $2::timestamptz[], $3::timestamptz[], $4::timestamptz[], $5::timestamptz[],
            $6::timestamptz[], $7::bigint[], $8::bigint[], $9::uuid[])
        WITH ORDINALITY AS q (provider_id, earliest, starts_at, ends_at, latest, now, known,
            known_stamp, type_id, place)
    JOIN providers p ON p.provider_id = q.provider_id
    LEFT JOIN offerings o ON o.provider_id = q.provider_id AND o.type_id = q.type_id
    LEFT JOIN appointment_types t ON t.type_id = q.type_id
    CROSS JOIN LATERAL (
        SELECT string_agg(extract(epoch FROM a.claim_starts_at)::bigint || ','
            || extract(epoch FROM a.claim_ends_at)::bigint, ',') AS claims,
            min(a.expires_at) AS changes_at
        FROM appointments a
        WHERE ",
    claims_of!(
        "a",
        "q.provider_id",
        ["q.earliest", "q.starts_at", "q.ends_at", "q.latest"],
        "q.now"
    ),
    ") c"
);

const SQLITE: &str = concat!(
    "WITH claimed AS (
        SELECT a.claim_starts_at, a.claim_ends_at, a.expires_at FROM appointments a
        WHERE ",
    claims_of!("a", "$1", ["$2", "$3", "$4", "$5"], "$6"),
    ")
    SELECT $10 AS place, p.provider_id, p.display_name, p.enabled, p.time_zone,
        CASE WHEN p.schedule_version <> $7 OR p.schedule_stamp <> $8
            THEN p.weekly_hours END AS weekly_hours,
        CASE WHEN p.schedule_version <> $7 OR p.schedule_stamp <> $8
            THEN p.plan END AS plan, p.last_assigned_at,
        p.slot_minutes, p.longest_minutes, p.version, p.stamp, p.schedule_version, p.schedule_stamp,
        p.schedule_updated_at, o.type_id IS NOT NULL AS is_offered, o.schedule_id,
        t.version AS type_version, t.stamp AS type_stamp,
        (SELECT group_concat(coalesce(unixepoch(claim_starts_at), unixepoch($3)) || ','
            || coalesce(unixepoch(claim_ends_at), unixepoch($4)), ',') FROM claimed) AS claims,
        (SELECT min(expires_at) FROM claimed) AS changes_at, (
            SELECT group_concat(coalesce(unixepoch(starts_at), 0) || ','
                || coalesce(unixepoch(ends_at), 10413792000), ',')
            FROM closures WHERE ends_at > $3 AND starts_at < $4) AS closures
    FROM providers p
    LEFT JOIN offerings o ON o.provider_id = p.provider_id AND o.type_id = $9
    LEFT JOIN appointment_types t ON t.type_id = $9
    WHERE p.provider_id = $1"
);

#[derive(FromQueryResult)]
struct VersionRow {
    version: i64,
    stamp: i64,
    is_offered: bool,
    schedule_id: Option<String>,
    type_version: Option<i64>,
    type_stamp: Option<i64>,
    closures: Option<String>,
}

#[derive(FromQueryResult)]
struct Row {
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
    stamp: i64,
    schedule_version: i64,
    schedule_stamp: i64,
    schedule_updated_at: Instant,
    is_offered: bool,
    schedule_id: Option<String>,
    type_version: Option<i64>,
    type_stamp: Option<i64>,
    claims: Option<String>,
    changes_at: Option<Instant>,
    closures: Option<String>,
}

impl Query for Find {
    type Output = Vec<Answer>;

    async fn run(&self, at: &Reader) -> Result<Vec<Answer>, Fault> {
        let mut answers: Vec<Option<Answer>> = vec![None; self.questions.len()];
        let known = self.questions.iter().enumerate().filter_map(|(place, asked)| {
            let known = self.schedule_cache.time(asked.provider, asked.range, asked.now)?;
            Some((place, CachedAnswer { known, asked: *asked }))
        });
        let (places, known): (Vec<_>, Vec<_>) = known.unzip();
        for (place, found) in places.into_iter().zip(still(at, known).await?) {
            if let Some((answer, found)) = answers.get_mut(place).zip(found) {
                *answer = Some(found.map(Some));
            }
        }
        let open = answers.iter_mut().zip(&*self.questions).filter(|(answer, _)| answer.is_none());
        let (open, questions): (Vec<_>, Vec<_>) = open.map(|(a, q)| (a, *q)).unzip();
        for (answer, read) in open
            .into_iter()
            .zip(read(at, &self.schedule_cache, &questions, Breadth::AsBefore).await?)
        {
            *answer = Some(read);
        }
        Ok(answers.into_iter().map(|answer| answer.unwrap_or(Ok(None))).collect())
    }
}

/// What the cache holds for one query.
struct CachedAnswer {
    known: Arc<CachedProviderTime>,
    asked: ProviderTimeQuery,
}

/// Of what is remembered, in the same order, what the database still says; with the closures.
async fn still(
    at: &Reader,
    known: Vec<CachedAnswer>,
) -> Result<Vec<Option<Result<Found, Fault>>>, Fault> {
    let mut all = Vec::new();
    all.resize_with(known.len(), || None);
    for (place, row) in rows::<VersionRow>(at, versions(at.engine(), &known)).await? {
        // What cannot be read is read again, and told there.
        let Ok(row) = row else { continue };
        if let Some((found, CachedAnswer { known, .. })) = all.get_mut(place).zip(known.get(place))
        {
            let stored = Revision::new(row.version, Stamp(row.stamp));
            if known.provider.revision() != stored {
                if known.provider.version >= row.version {
                    throttled_log::went_back("a provider");
                }
                continue;
            }
            let closures = told(row.closures.as_deref(), "closures", known.provider.id);
            *found = Some(closures.map(|closures| Found {
                known: Arc::clone(known),
                closures,
                offer: row.is_offered.then_some(Offer { schedule: row.schedule_id }),
                type_revision: revision(row.type_version, row.type_stamp),
            }));
        }
    }
    Ok(all)
}

/// Reads the time of providers, in the order of the questions, and remembers it.
pub async fn read(
    at: &Reader,
    schedule_cache: &ScheduleCache,
    questions: &[ProviderTimeQuery],
    breadth: Breadth,
) -> Result<Vec<Answer>, Fault> {
    let wide = |asked: &ProviderTimeQuery| Wide {
        known: schedule_cache.get(asked.provider),
        covered: schedule_cache.stretch(asked.provider, asked.range, breadth),
        asked: *asked,
    };
    let questions: Vec<Wide> = questions.iter().map(wide).collect();
    let mut answers: Vec<Answer> = vec![Ok(None); questions.len()];
    for (place, row) in rows::<Row>(at, times(at.engine(), &questions)).await? {
        if let Some((answer, asked)) = answers.get_mut(place).zip(questions.get(place)) {
            let senseless = |fault: Fault| {
                Fault::internal(format!("providers row {}: {fault}", asked.asked.provider.0))
            };
            *answer = row.map_err(senseless).and_then(|row| asked.answer(row)).map(Some);
            if let Ok(Some(found)) = answer {
                schedule_cache.keep_time(Arc::clone(&found.known));
            }
            // A row may hold thousands of claims; others get a turn at the thread.
            if place % YIELD_EVERY == 0 {
                tokio::task::yield_now().await;
            }
        }
    }
    Ok(answers)
}

/// A question, and the stretch of time that is read for it.
struct Wide {
    asked: ProviderTimeQuery,
    covered: Interval,
    known: Option<Arc<Provider>>,
}

impl Wide {
    /// The state of the schedule that need not be sent. Versions begin at one.
    fn known_schedule(&self) -> Revision {
        let none = Revision::new(0, Stamp::default());
        self.known.as_ref().map_or(none, |provider| provider.schedule_revision())
    }

    fn answer(&self, row: Row) -> Result<Found, Fault> {
        let id = ProviderId(row.provider_id);
        let claims = apart(told(row.claims.as_deref(), "claims", id)?);
        let closures = told(row.closures.as_deref(), "closures", id)?;
        let provider = match (row.weekly_hours.zip(row.plan), &self.known) {
            (None, Some(known)) => Provider {
                display_name: row.display_name,
                enabled: row.enabled,
                version: row.version,
                stamp: Stamp(row.stamp),
                last_assigned_at: row.last_assigned_at,
                ..Provider::clone(known)
            },
            (None, None) => {
                return Err(Fault::internal("a schedule was left out and is not known"));
            }
            (Some((weekly_hours, plan)), _) => super::provider(providers::Model {
                provider_id: row.provider_id,
                display_name: row.display_name,
                enabled: row.enabled,
                time_zone: row.time_zone,
                weekly_hours,
                slot_minutes: row.slot_minutes,
                longest_minutes: row.longest_minutes,
                version: row.version,
                stamp: row.stamp,
                schedule_version: row.schedule_version,
                schedule_stamp: row.schedule_stamp,
                schedule_updated_at: row.schedule_updated_at,
                plan,
                last_assigned_at: row.last_assigned_at,
            })?,
        };
        let known = CachedProviderTime {
            provider: Arc::new(provider),
            covered: self.covered,
            claims,
            since: self.asked.now,
            until: row.changes_at,
        };
        Ok(Found {
            known: Arc::new(known),
            closures,
            offer: row.is_offered.then_some(Offer { schedule: row.schedule_id }),
            type_revision: revision(row.type_version, row.type_stamp),
        })
    }
}

/// The state of a type, of what the statement says of it.
pub fn revision(version: Option<i64>, stamp: Option<i64>) -> Option<Revision> {
    version.zip(stamp).map(|(version, stamp)| Revision::new(version, Stamp(stamp)))
}

/// The type of a parameter and its value for each.
type Column<T> = (ArrayType, fn(&T) -> Value);

fn versions(engine: Engine, known: &[CachedAnswer]) -> Vec<Statement> {
    let columns: [Column<CachedAnswer>; 4] = [
        (ArrayType::Uuid, |one| one.asked.provider.0.into()),
        (ArrayType::ChronoDateTimeUtc, |one| one.asked.range.start().into()),
        (ArrayType::ChronoDateTimeUtc, |one| one.asked.range.end().into()),
        (ArrayType::Uuid, |one| one.asked.type_or_none().into()),
    ];
    statements(engine, [POSTGRES_VERSIONS, SQLITE_VERSIONS], known, &columns)
}

fn times(engine: Engine, questions: &[Wide]) -> Vec<Statement> {
    let columns: [Column<Wide>; 9] = [
        (ArrayType::Uuid, |wide| wide.asked.provider.0.into()),
        (ArrayType::ChronoDateTimeUtc, |wide| starts(wide.covered).0.into()),
        (ArrayType::ChronoDateTimeUtc, |wide| wide.covered.start().into()),
        (ArrayType::ChronoDateTimeUtc, |wide| wide.covered.end().into()),
        (ArrayType::ChronoDateTimeUtc, |wide| starts(wide.covered).1.into()),
        (ArrayType::ChronoDateTimeUtc, |wide| wide.asked.now.into()),
        (ArrayType::BigInt, |wide| wide.known_schedule().version.into()),
        (ArrayType::BigInt, |wide| wide.known_schedule().stamp.0.into()),
        (ArrayType::Uuid, |wide| wide.asked.type_or_none().into()),
    ];
    statements(engine, [POSTGRES, SQLITE], questions, &columns)
}

/// One statement for all on PostgreSQL, with a column of values for each parameter; one for each on
/// SQLite, which has no arrays and no round trips. A row says whose it is by `place`, from one.
fn statements<T>(
    engine: Engine,
    [postgres, sqlite]: [&str; 2],
    all: &[T],
    columns: &[Column<T>],
) -> Vec<Statement> {
    match engine {
        _ if all.is_empty() => Vec::new(),
        Engine::Postgres => {
            let values = columns.iter().map(|(kind, value)| {
                Value::Array(kind.clone(), Some(Box::new(all.iter().map(value).collect())))
            });
            vec![Statement::from_sql_and_values(DatabaseBackend::Postgres, postgres, values)]
        }
        Engine::Sqlite => {
            let each = |(place, one): (i64, &T)| {
                let values = columns.iter().map(|(_, value)| value(one)).chain([place.into()]);
                Statement::from_sql_and_values(DatabaseBackend::Sqlite, sqlite, values)
            };
            (1..).zip(all).map(each).collect()
        }
    }
}

/// What the statements say, each with the place of its question. One that cannot be read is that one's fault.
async fn rows<T: FromQueryResult>(
    at: &Reader,
    statements: Vec<Statement>,
) -> Result<Vec<(usize, Result<T, Fault>)>, Fault> {
    let mut all = Vec::new();
    for statement in statements {
        for row in at.query_all(statement).await.map_err(|e| engine::fault(&e))? {
            let place: i64 = row.try_get("", "place").map_err(|e| engine::fault(&e))?;
            let place = usize::try_from(place - 1).unwrap_or(usize::MAX);
            all.push((place, readable::decoded(&row)));
        }
    }
    Ok(all)
}

fn told(text: Option<&str>, what: &str, of: ProviderId) -> Result<Vec<Interval>, Fault> {
    intervals(text).ok_or_else(|| Fault::internal(format!("{what} of {of:?} do not read")))
}
