//! The time of customers, for many questions at once.

use std::sync::Arc;

use sea_orm::{DatabaseBackend, FromQueryResult, Statement, Value, sea_query::ArrayType};
use uuid::Uuid;

use crate::{
    claims::{
        HeldSlot,
        margins::{longest_buffer_hours, longest_claim_hours, longest_hours},
        store::{
            pairs::intervals,
            sql::{busy, claims_of, lasts, not_attended, open},
        },
    },
    kernel::{
        fault::Fault,
        id::{ProviderId, TypeId, UserId},
        time::{Instant, Interval},
    },
    storage::{Engine, Executor, Query, Reader, batch::BatchQuery, engine, readable},
};

/// A question for a customer's appointments and holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct CustomerTimeQuery {
    /// The id of the customer whose time is asked for.
    pub customer: UserId,
    /// Of which type open appointments are counted.
    pub type_id: Option<TypeId>,
    /// Which appointments: those that overlap it.
    pub range: Interval,
    /// The present, in whole seconds, as expiries are.
    pub now: Instant,
}

/// A customer's time, of one moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// The appointments that overlap the range, with any provider, sorted.
    pub busy: Vec<Interval>,
    /// What is claimed of the customer's own time that overlaps the range, where they are or were a provider, buffers
    /// included, sorted. What they attend is in `busy`.
    pub treats: Vec<Interval>,
    /// All holds of the customer.
    pub holds: Vec<HeldSlot>,
    /// How many appointments of the type are requested or booked and not yet begun.
    pub open: u64,
}

/// The sort of question that [`CustomerTimeQuery`] is.
#[derive(Debug, Clone, Copy)]
pub struct CustomerTimeBatch;

impl BatchQuery for CustomerTimeBatch {
    type Question = CustomerTimeQuery;
    /// None where there is no such account, or one that may not book.
    type Answer = Result<Option<Found>, Fault>;
    type Statement = Find;

    fn statement(&self, questions: Arc<[CustomerTimeQuery]>) -> Find {
        Find(questions)
    }
}

/// The SQL statement that answers a batch of queries.
#[derive(Debug)]
pub struct Find(Arc<[CustomerTimeQuery]>);

// A customer who is a provider too has their own claims in the way, as the constraint has it: with buffers, and also what
// others hold of their time. What they attend claims it as well (`claim_of`), and is among their appointments.
// Lists are texts, as in [`super::pairs`]: of pairs of seconds, and of holds with blanks between their
// parts. Bounds of the starts give the index something to begin at; see [`crate::claims::margins`]. A hold is placed
// ahead and lasts for minutes.
const POSTGRES: &str = concat!(
    "SELECT q.place, b.busy, t.treats, h.holds, o.open
    FROM unnest($1::uuid[], $2::uuid[], $3::timestamptz[], $4::timestamptz[], $5::timestamptz[])
        WITH ORDINALITY AS q (customer_id, type_id, starts_at, ends_at, now, place)
    JOIN users u ON u.user_id = q.customer_id AND NOT u.disabled AND u.erased_at IS NULL
    CROSS JOIN LATERAL (
        SELECT string_agg(extract(epoch FROM a.starts_at)::bigint || ','
            || extract(epoch FROM a.ends_at)::bigint, ',') AS busy
        FROM appointments a
        WHERE a.customer_id = q.customer_id
          AND a.starts_at > q.starts_at - interval '",
    longest_hours!(),
    " hours' AND a.starts_at < q.ends_at AND a.ends_at > q.starts_at
          AND a.state IN ",
    busy!(),
    " AND ",
    lasts!("a", "q.now"),
    ") b
    CROSS JOIN LATERAL (
        SELECT string_agg(extract(epoch FROM a.claim_starts_at)::bigint || ','
            || extract(epoch FROM a.claim_ends_at)::bigint, ',') AS treats
        FROM appointments a
        WHERE ",
    claims_of!(
        "a",
        "q.customer_id",
        [
            concat!("q.starts_at - interval '", longest_claim_hours!(), " hours'"),
            "q.starts_at",
            "q.ends_at",
            concat!("q.ends_at + interval '", longest_buffer_hours!(), " hours'")
        ],
        "q.now"
    ),
    " AND ",
    not_attended!("a"),
    ") t
    CROSS JOIN LATERAL (
        SELECT string_agg(a.provider_id || ' ' || coalesce(a.type_id::text, '-')
            || ' ' || extract(epoch FROM a.starts_at)::bigint
            || ' ' || extract(epoch FROM a.ends_at)::bigint
            || ' ' || extract(epoch FROM a.claim_starts_at)::bigint
            || ' ' || extract(epoch FROM a.claim_ends_at)::bigint, ',') AS holds
        FROM appointments a
        WHERE a.customer_id = q.customer_id AND a.starts_at > q.now - interval '",
    longest_hours!(),
    " hours'
          AND a.state = 'held' AND a.claim_of IS NULL AND a.expires_at > q.now) h
    CROSS JOIN LATERAL (
        SELECT count(*) AS open FROM appointments a
        WHERE a.customer_id = q.customer_id AND a.type_id = q.type_id AND a.starts_at > q.now
          AND a.claim_of IS NULL AND a.state IN ",
    open!(),
    " AND ",
    lasts!("a", "q.now"),
    ") o"
);

const SQLITE: &str = concat!(
    "SELECT $6 AS place, (
        SELECT group_concat(unixepoch(a.starts_at) || ',' || unixepoch(a.ends_at), ',')
        FROM appointments a
        WHERE a.customer_id = $1
          AND a.starts_at > strftime('%Y-%m-%dT%H:%M:%S+00:00', $3, '-",
    longest_hours!(),
    " hours') AND a.starts_at < $4 AND a.ends_at > $3
          AND a.state IN ",
    busy!(),
    " AND ",
    lasts!("a", "$5"),
    ") AS busy, (
        SELECT group_concat(unixepoch(a.claim_starts_at) || ',' || unixepoch(a.claim_ends_at), ',')
        FROM appointments a
        WHERE ",
    claims_of!(
        "a",
        "$1",
        [
            concat!(
                "strftime('%Y-%m-%dT%H:%M:%S+00:00', $3, '-",
                longest_claim_hours!(),
                " hours')"
            ),
            "$3",
            "$4",
            concat!(
                "strftime('%Y-%m-%dT%H:%M:%S+00:00', $4, '+",
                longest_buffer_hours!(),
                " hours')"
            )
        ],
        "$5"
    ),
    " AND ",
    not_attended!("a"),
    ") AS treats, (
        SELECT group_concat(lower(hex(a.provider_id)) || ' ' || CASE WHEN a.type_id IS NULL THEN '-' ELSE lower(hex(a.type_id)) END
            || ' ' || unixepoch(a.starts_at) || ' ' || unixepoch(a.ends_at)
            || ' ' || unixepoch(a.claim_starts_at) || ' ' || unixepoch(a.claim_ends_at), ',')
        FROM appointments a
        WHERE a.customer_id = $1
          AND a.starts_at > strftime('%Y-%m-%dT%H:%M:%S+00:00', $5, '-",
    longest_hours!(),
    " hours')
          AND a.state = 'held' AND a.claim_of IS NULL AND a.expires_at > $5) AS holds, (
        SELECT count(*) FROM appointments a
        WHERE a.customer_id = $1 AND a.type_id = $2 AND a.starts_at > $5
          AND a.claim_of IS NULL AND a.state IN ",
    open!(),
    " AND ",
    lasts!("a", "$5"),
    ") AS open
    FROM users u WHERE u.user_id = $1 AND NOT u.disabled AND u.erased_at IS NULL"
);

#[derive(FromQueryResult)]
struct Row {
    busy: Option<String>,
    treats: Option<String>,
    holds: Option<String>,
    open: i64,
}

impl Query for Find {
    type Output = Vec<Result<Option<Found>, Fault>>;

    async fn run(&self, at: &Reader) -> Result<Self::Output, Fault> {
        let mut answers: Vec<Result<Option<Found>, Fault>> = vec![Ok(None); self.0.len()];
        for statement in self.statements(at.engine()) {
            for row in at.query_all(statement).await.map_err(|e| engine::fault(&e))? {
                let place: i64 = row.try_get("", "place").map_err(|e| engine::fault(&e))?;
                let place = usize::try_from(place - 1).unwrap_or(usize::MAX);
                if let Some((answer, asked)) = answers.get_mut(place).zip(self.0.get(place)) {
                    *answer =
                        readable::decoded::<Row>(&row).and_then(|row| found(asked, &row)).map(Some);
                }
            }
        }
        Ok(answers)
    }
}

impl Find {
    /// One statement for all on PostgreSQL, one for each on SQLite, which has no arrays and no round trips.
    fn statements(&self, engine: Engine) -> Vec<Statement> {
        let values = |each: &CustomerTimeQuery| -> [Value; 5] {
            [
                each.customer.0.into(),
                // There are no arrays with gaps; no type has this id.
                each.type_id.map_or(Uuid::nil(), |id| id.0).into(),
                each.range.start().into(),
                each.range.end().into(),
                each.now.into(),
            ]
        };
        if engine == Engine::Sqlite {
            let each = |(place, asked): (i64, &CustomerTimeQuery)| {
                let values = values(asked).into_iter().chain([place.into()]);
                Statement::from_sql_and_values(DatabaseBackend::Sqlite, SQLITE, values)
            };
            return (1..).zip(self.0.iter()).map(each).collect();
        }
        let mut columns: [Vec<Value>; 5] =
            std::array::from_fn(|_| Vec::with_capacity(self.0.len()));
        for asked in self.0.iter() {
            for (column, value) in columns.iter_mut().zip(values(asked)) {
                column.push(value);
            }
        }
        let (id, time) = (ArrayType::Uuid, ArrayType::ChronoDateTimeUtc);
        let kinds = [id.clone(), id, time.clone(), time.clone(), time];
        let values = kinds
            .into_iter()
            .zip(columns)
            .map(|(kind, column)| Value::Array(kind, Some(Box::new(column))));
        vec![Statement::from_sql_and_values(DatabaseBackend::Postgres, POSTGRES, values)]
    }
}

fn found(asked: &CustomerTimeQuery, row: &Row) -> Result<Found, Fault> {
    let senseless = || Fault::internal(format!("time of {} does not read", asked.customer));
    let busy = intervals(row.busy.as_deref()).ok_or_else(senseless)?;
    let treats = intervals(row.treats.as_deref()).ok_or_else(senseless)?;
    let holds = row.holds.as_deref().unwrap_or_default().split(',').filter(|text| !text.is_empty());
    let holds: Option<Vec<HeldSlot>> = holds.map(held).collect();
    let open = u64::try_from(row.open).unwrap_or_default();
    Ok(Found { busy, treats, holds: holds.ok_or_else(senseless)?, open })
}

/// Reads a hold: provider, type, start, end, and the same with buffers.
fn held(text: &str) -> Option<HeldSlot> {
    let mut parts = text.split(' ');
    let provider = ProviderId(parts.next()?.parse().ok()?);
    let type_id = match parts.next()? {
        "-" => None,
        id => Some(TypeId(id.parse().ok()?)),
    };
    let mut seconds = || Instant::from_timestamp(parts.next()?.parse().ok()?, 0);
    let interval = Interval::new(seconds()?, seconds()?)?;
    let claim = Interval::new(seconds()?, seconds()?)?;
    Some(HeldSlot { provider, type_id, interval, claim })
}
