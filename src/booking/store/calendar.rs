//! A provider's calendar: schedules, claims and closures in one statement, and so as of one moment.

use chrono::DateTime;
use sea_orm::{DatabaseBackend, FromQueryResult, IdenStatic as _, QueryResult, Statement, Value};
use serde::Deserialize;
use uuid::Uuid;

use super::names;
use crate::{
    booking::{
        Appointment, State,
        calendar::{Claimed, Found},
    },
    claims::{
        margins::starts,
        store::{pairs::intervals, sql::claims_of},
    },
    kernel::{
        fault::Fault,
        id::{ClosureId, ProviderId},
        time::{Instant, Interval},
    },
    schedule::{self, commands::Closure},
    storage::{
        Engine, Executor as _, Query, Reader, engine,
        entity::{appointments::Column, providers},
        readable,
    },
};

/// How many claims are told at once at most.
const MOST: i64 = 500;
/// How long their texts are in all at most, in bytes: a quarter of what clients read unless told otherwise. Closures
/// and the hours of many schedules take as much each.
const MOST_BYTES: i64 = 1024 * 1024;
/// How many closures are told at once at most, apart from those in which the range begins.
const MOST_CLOSURES: i64 = 500;

/// Asks for the calendar of a provider.
#[derive(Debug, Clone, Copy)]
pub struct Ask {
    /// The id of the provider whose calendar it is.
    pub provider: ProviderId,
    /// The first instant that is told, and the first one after it: at most 62 days.
    pub range: Interval,
    /// The present: what has expired claims nothing.
    pub now: Instant,
}

// A row for each claim, with the appointment that it is of; one row without any where there is none. The provider's
// schedules and the closures are in the first row alone. A claim that is not told any more, by number or size, comes
// without its texts: where it begins is where the answer ends. An appointment that is asked to move has a second
// claim, whose appointment is the one that it is of. Closures come twice: as intervals, whether or not they can be
// read, and as they are told. See `schedule::store::provider_time` about what cannot be read, and about the bounds.
const SQL: &str = concat!(
    "WITH claimed AS (
        SELECT a.appointment_id, a.claim_of, a.customer_id, a.starts_at, a.ends_at,
            {claim_starts} AS claim_start, {claim_ends} AS claim_end,
            row_number() OVER (ORDER BY a.starts_at, a.appointment_id) AS place
        FROM appointments a
        WHERE ",
    claims_of!("a", "$1", ["$2", "$4", "$5", "$3"], "$6"),
    "
        ORDER BY a.starts_at, a.appointment_id LIMIT $7
    ), sized AS (
        SELECT c.place, c.claim_start, c.claim_end,
            CASE WHEN c.claim_of IS NULL THEN 0 WHEN c.customer_id = $1 THEN 1 ELSE 2 END AS kind,
            c.starts_at AS own_start, c.ends_at AS own_end, a.*,
            sum({size}) OVER (ORDER BY c.place) - {size} AS ahead
        FROM claimed c JOIN appointments a ON a.provider_id = $1 AND a.appointment_id =
            CASE WHEN c.claim_of IS NULL OR c.customer_id = $1 THEN c.appointment_id ELSE c.claim_of END
    )
    SELECT p.provider_id AS p_provider_id, p.display_name AS p_display_name, p.enabled AS p_enabled,
        p.time_zone AS p_time_zone, p.slot_minutes AS p_slot_minutes, p.longest_minutes AS p_longest_minutes,
        p.version AS p_version, p.stamp AS p_stamp, p.schedule_version AS p_schedule_version,
        p.schedule_stamp AS p_schedule_stamp, p.schedule_updated_at AS p_schedule_updated_at,
        p.last_assigned_at AS p_last_assigned_at, p.display_name AS provider_display_name,
        CASE WHEN {first} THEN p.weekly_hours END AS p_weekly_hours,
        CASE WHEN {first} THEN p.plan END AS p_plan,
        CASE WHEN {first} THEN {closed} END AS closed,
        CASE WHEN {first} THEN {closures} END AS closures,
        s.place, s.claim_start, s.claim_end, s.kind, s.own_start, s.own_end, {told} AS told,
        s.provider_id, s.appointment_id, s.customer_id, s.customer_display_name, s.starts_at, s.ends_at,
        s.state, CASE WHEN {told} THEN s.note END AS note, s.time_zone, s.local_start, s.cancel_reason,
        s.version, s.created_at, s.updated_at, s.type_id, s.claim_starts_at, s.claim_ends_at, s.expires_at,
        CASE WHEN {told} THEN s.terms END AS terms, s.stamp, s.claim_of,
        s.customer_updated_at, s.move_expires_at
    FROM providers p LEFT JOIN sized s ON true
    WHERE p.provider_id = $1 ORDER BY s.place"
);

const FIRST: &str = "coalesce(s.place, 1) = 1";
const TOLD: &str = "(s.place < $7 AND s.ahead < $8)";

const POSTGRES_PARTS: [(&str, &str); 7] = [
    ("{claim_starts}", "extract(epoch FROM a.claim_starts_at)::bigint"),
    ("{claim_ends}", "extract(epoch FROM a.claim_ends_at)::bigint"),
    ("{size}", "(octet_length(a.terms::text) + octet_length(a.note))::bigint"),
    (
        "{closed}",
        "(SELECT string_agg(extract(epoch FROM greatest(starts_at, '1970-01-01+00'))::bigint || ','
            || extract(epoch FROM least(ends_at, '2300-01-01+00'))::bigint, ',')
            FROM closures WHERE ends_at > $4 AND starts_at < $5)",
    ),
    (
        "{closures}",
        "(SELECT json_agg(json_build_object('id', c.closure_id, 'start', extract(epoch FROM c.starts_at)::bigint,
                'end', extract(epoch FROM c.ends_at)::bigint, 'reason', c.reason)
                ORDER BY c.starts_at, c.closure_id)::text
            FROM (SELECT *, row_number() OVER (PARTITION BY starts_at > $4 ORDER BY starts_at, closure_id) AS place
                FROM closures WHERE ends_at > $4 AND starts_at < $5 AND isfinite(starts_at) AND isfinite(ends_at)) c
            WHERE c.place <= $9 OR c.starts_at <= $4)",
    ),
    ("{first}", FIRST),
    ("{told}", TOLD),
];

const SQLITE_PARTS: [(&str, &str); 7] = [
    ("{claim_starts}", "coalesce(unixepoch(a.claim_starts_at), unixepoch($4))"),
    ("{claim_ends}", "coalesce(unixepoch(a.claim_ends_at), unixepoch($5))"),
    ("{size}", "(length(CAST(a.terms AS BLOB)) + length(CAST(a.note AS BLOB)))"),
    (
        "{closed}",
        "(SELECT group_concat(coalesce(unixepoch(starts_at), 0) || ','
            || coalesce(unixepoch(ends_at), 10413792000), ',')
            FROM closures WHERE ends_at > $4 AND starts_at < $5)",
    ),
    (
        "{closures}",
        "(SELECT json_group_array(json_object('id', lower(hex(closure_id)), 'start', unixepoch(starts_at),
                'end', unixepoch(ends_at), 'reason', CAST(reason AS TEXT)))
            FROM (SELECT *, row_number() OVER (PARTITION BY starts_at > $4 ORDER BY starts_at, closure_id) AS place
                FROM closures WHERE ends_at > $4 AND starts_at < $5
                AND unixepoch(starts_at) IS NOT NULL AND unixepoch(ends_at) IS NOT NULL
                ORDER BY starts_at, closure_id)
            WHERE place <= $9 OR starts_at <= $4)",
    ),
    ("{first}", FIRST),
    ("{told}", TOLD),
];

/// What a row says of its claim.
#[derive(FromQueryResult)]
struct Row {
    claim_start: i64,
    claim_end: i64,
    kind: i32,
    told: bool,
}

/// A closure as it is told.
#[derive(Deserialize)]
struct Plain {
    id: Uuid,
    start: i64,
    end: i64,
    reason: String,
}

impl Query for Ask {
    type Output = Option<Found>;

    async fn run(&self, at: &Reader) -> Result<Self::Output, Fault> {
        let rows = at.query_all(self.statement(at.engine())).await;
        let rows = rows.map_err(|e| engine::fault(&e))?;
        let Some(first) = rows.first() else { return Ok(None) };
        let mut found = self.beginning(first)?;
        for row in &rows {
            let place: Option<i64> = row.try_get("", "place").map_err(|e| engine::fault(&e))?;
            if place.is_none() {
                break;
            }
            let claim = readable::decoded::<Row>(row)?;
            let claimed = interval(claim.claim_start, claim.claim_end).ok_or_else(|| {
                Fault::internal(format!("a claim of {} does not read", self.provider))
            })?;
            if !claim.told {
                let last = found.claims.last().map_or(claimed.start(), Interval::end);
                found.until = claimed.start().max(last).min(found.until);
                break;
            }
            found.claims.push(claimed);
            found.claimed.extend(of_claim(row, claim.kind)?);
        }
        Ok(Some(found))
    }
}

/// What claims the time of a row. An appointment that cannot be read is left out; its claim is not.
fn of_claim(row: &QueryResult, kind: i32) -> Result<Option<Claimed>, Fault> {
    if kind == 1 {
        let at = |column: &str| row.try_get("", column).map_err(|e| engine::fault(&e));
        return Ok(Interval::new(at("own_start")?, at("own_end")?).map(Claimed::Attended));
    }
    let appointment = match names::appointment(row) {
        Ok(appointment) => appointment,
        Err(fault) => {
            let id: Result<Uuid, _> = row.try_get("", Column::AppointmentId.as_str());
            let key = id.map(|id| id.to_string()).unwrap_or_default();
            readable::left_out("appointments", &key, &fault);
            return Ok(None);
        }
    };
    Ok(Some(of_appointment(appointment)))
}

fn of_appointment(appointment: Appointment) -> Claimed {
    if appointment.state == State::Held {
        Claimed::Hold(Box::new(appointment))
    } else {
        Claimed::Appointment(Box::new(appointment))
    }
}

impl Ask {
    /// The provider and the closures, of the first row.
    fn beginning(&self, row: &QueryResult) -> Result<Found, Fault> {
        let model = readable::decoded_with::<providers::Model>(row, "p_")?;
        let text = |column: &str| -> Result<Option<String>, Fault> {
            row.try_get("", column).map_err(|e| engine::fault(&e))
        };
        let senseless = || Fault::internal("closures do not read");
        let closed = intervals(text("closed")?.as_deref()).ok_or_else(senseless)?;
        let plain: Vec<Plain> = match text("closures")? {
            Some(text) => serde_json::from_str(&text)
                .map_err(|e| Fault::internal(format!("closures do not read: {e}")))?,
            None => Vec::new(),
        };
        let closure = |Plain { id, start, end, reason }: Plain| {
            Some(Closure { id: ClosureId(id), interval: interval(start, end)?, reason })
        };
        let closures: Vec<_> = plain.into_iter().filter_map(closure).collect();
        let until = self.until_closure(&closures);
        Ok(Found {
            provider: schedule::store::provider(model)?,
            closures,
            closed,
            claims: Vec::new(),
            claimed: Vec::new(),
            until,
        })
    }

    /// Until when closures are told: until the first one starts that is too many, and after the beginning, so that
    /// whoever goes on from there gets on.
    fn until_closure(&self, closures: &[Closure]) -> Instant {
        let most = usize::try_from(MOST_CLOSURES).unwrap_or(usize::MAX);
        let starts = closures.iter().map(|each| each.interval.start());
        starts.filter(|start| *start > self.range.start()).nth(most).unwrap_or(self.range.end())
    }

    fn statement(&self, engine: Engine) -> Statement {
        let (backend, parts) = match engine {
            Engine::Postgres => (DatabaseBackend::Postgres, POSTGRES_PARTS),
            Engine::Sqlite => (DatabaseBackend::Sqlite, SQLITE_PARTS),
        };
        let sql = parts.iter().fold(SQL.to_owned(), |sql, (part, text)| sql.replace(part, text));
        let (start, end) = (self.range.start(), self.range.end());
        let (earliest, latest) = starts(self.range);
        let values: [Value; 9] = [
            self.provider.0.into(),
            earliest.into(),
            latest.into(),
            start.into(),
            end.into(),
            self.now.into(),
            (MOST + 1).into(),
            MOST_BYTES.into(),
            (MOST_CLOSURES + 1).into(),
        ];
        Statement::from_sql_and_values(backend, sql, values)
    }
}

fn interval(start: i64, end: i64) -> Option<Interval> {
    Interval::new(DateTime::from_timestamp(start, 0)?, DateTime::from_timestamp(end, 0)?)
}

#[cfg(test)]
mod tests {
    use sea_orm::Iterable as _;

    use super::*;

    #[test]
    fn every_column_of_an_appointment_and_a_provider_is_read() {
        for column in Column::iter().map(|column| column.as_str()) {
            let read = [format!("s.{column},"), format!("s.{column}\n"), format!("AS {column},")];
            assert!(read.iter().any(|read| SQL.contains(read)), "{column}");
        }
        for column in providers::Column::iter().map(|column| column.as_str()) {
            assert!(SQL.contains(&format!("AS p_{column},")), "{column}");
        }
    }
}
