//! The appointments, requests and holds in a stretch of time that was taken away, or outside new hours.

use sea_orm::{ConnectionTrait, DatabaseBackend, FromQueryResult, Statement, Value};
use uuid::Uuid;

use super::sql::{lasts, not_attended, open, to_come};
use crate::{
    claims::{
        affected::{AffectedAppointments, Claim, ClaimedTime, Times},
        kind::{Kind, KindColumns},
        margins::LONGEST,
    },
    kernel::{
        fault::Fault,
        id::{AppointmentId, ProviderId, TypeId},
        time::{Instant, Interval},
    },
    storage::{Engine, Executor, Tx, engine, readable},
};

/// How many of them are told.
const TOLD: i64 = 100;
/// How much of what a provider has to come is looked at when the hours change.
const LOOKED_AT: i64 = 10_000;

// Requested and booked appointments by the time that is agreed, and all that claims time: requests to move and holds
// as well; not what the provider attends with others. Both are counted before the limit cuts, and the first of each
// are told. The bound of the starts gives the index something to begin at. A request that nobody
// answered in time has ended, though nobody may have noted it yet.
const SQL: &str = concat!(
    "WITH touched AS (
        SELECT provider_id, appointment_id, customer_id, claim_of, state, starts_at, ends_at, expires_at,
            CASE WHEN claim_of IS NULL AND state IN ",
    open!(),
    " THEN 1 END AS agreed
        FROM appointments a
        WHERE WHOSE starts_at > $2 AND starts_at < $4 AND ends_at > $3 AND state IN ",
    to_come!(),
    " AND ",
    not_attended!("a"),
    " AND ",
    lasts!("a", "$5"),
    "
    ), placed AS (
        SELECT touched.*, count(*) OVER () AS total, count(agreed) OVER () AS appointments,
            count(*) OVER in_order AS place, count(agreed) OVER in_order AS agreed_place
        FROM touched WINDOW in_order AS (ORDER BY starts_at, provider_id, appointment_id ROWS UNBOUNDED PRECEDING)
    )
    SELECT provider_id, appointment_id, customer_id, claim_of, state, starts_at, ends_at, expires_at, total, appointments
    FROM placed WHERE place <= $6 OR (agreed = 1 AND agreed_place <= $6)
    ORDER BY starts_at, provider_id, appointment_id"
);

// What a provider has to come by one schedule: that of the offering, and else the default one. A move that is asked
// for goes by the type of its appointment.
const BY_SCHEDULE: &str = concat!(
    "SELECT a.provider_id, a.appointment_id, a.customer_id, a.claim_of, a.state, a.starts_at, a.ends_at,
        a.expires_at, CAST(0 AS bigint) AS total, CAST(0 AS bigint) AS appointments
    FROM appointments a
    LEFT JOIN appointments m ON m.provider_id = a.provider_id AND m.appointment_id = a.claim_of
    LEFT JOIN offerings o ON o.provider_id = a.provider_id AND o.type_id = coalesce(a.type_id, m.type_id)
    WHERE a.provider_id = $1 AND a.starts_at > $2 AND a.ends_at > $3 AND a.state IN ",
    to_come!(),
    " AND ",
    not_attended!("a"),
    " AND ",
    lasts!("a", "$3"),
    " AND coalesce(o.schedule_id, '') = $4
      OF_TYPE
    ORDER BY a.starts_at, a.appointment_id LIMIT $5"
);

#[derive(FromQueryResult)]
struct TimeRow {
    provider_id: Uuid,
    appointment_id: Uuid,
    customer_id: Uuid,
    claim_of: Option<Uuid>,
    state: String,
    starts_at: Instant,
    ends_at: Instant,
    expires_at: Option<Instant>,
    total: i64,
    appointments: i64,
}

impl TimeRow {
    /// What the row claims for somebody else; nothing is attended here.
    fn time(self) -> Option<ClaimedTime> {
        let kind = Kind::of(KindColumns {
            subject: self.provider_id,
            customer: self.customer_id,
            claim_of: self.claim_of,
            state: &self.state,
        });
        Some(ClaimedTime {
            claim: Claim::of(kind)?,
            provider: ProviderId(self.provider_id),
            id: AppointmentId(self.claim_of.unwrap_or(self.appointment_id)),
            start: self.starts_at,
            end: self.ends_at,
            expires_at: self.expires_at,
        })
    }
}

/// What overlaps the interval: the requested and booked appointments, and all that claims time; one provider's, or
/// everybody's.
pub async fn find(
    tx: &Tx,
    provider: Option<ProviderId>,
    interval: Interval,
    now: Instant,
) -> Result<AffectedAppointments, Fault> {
    let whose = if provider.is_some() { "provider_id = $1 AND" } else { "$1 IS NULL AND" };
    let values: [Value; 6] = [
        provider.map(|id| id.0).into(),
        (interval.start() - LONGEST).into(),
        interval.start().into(),
        interval.end().into(),
        now.into(),
        TOLD.into(),
    ];
    let mut touched = AffectedAppointments::default();
    let most = usize::try_from(TOLD).unwrap_or(usize::MAX);
    for row in rows::<TimeRow>(tx, &SQL.replace("WHOSE", whose), values).await? {
        (touched.count, touched.times.count) = (row.appointments, row.total);
        let Some(time) = row.time() else { continue };
        if matches!(time.claim, Claim::Appointment | Claim::Request) && touched.first.len() < most {
            touched.first.push((time.provider, time.id));
        }
        if touched.times.first.len() < most {
            touched.times.first.push(time);
        }
    }
    Ok(touched)
}

/// What a locked provider has to come by a named schedule, or by the default one, that `is_open` says no to: of
/// all that goes by it, or of one type.
pub async fn outside(
    tx: &Tx,
    provider: ProviderId,
    (schedule, only): (Option<&str>, Option<TypeId>),
    now: Instant,
    is_open: impl Fn(Interval) -> Result<bool, Fault>,
) -> Result<Times, Fault> {
    let values: [Value; 5] = [
        provider.0.into(),
        (now - LONGEST).into(),
        now.into(),
        schedule.unwrap_or_default().into(),
        LOOKED_AT.into(),
    ];
    let only = only.map(|id| Value::from(id.0));
    let of = if only.is_some() { "AND coalesce(a.type_id, m.type_id) = $6" } else { "" };
    let sql = BY_SCHEDULE.replace("OF_TYPE", of);
    let mut outside = Times::default();
    for row in rows::<TimeRow>(tx, &sql, values.into_iter().chain(only)).await? {
        let Some(interval) = Interval::new(row.starts_at, row.ends_at) else { continue };
        if is_open(interval)? {
            continue;
        }
        if outside.count < TOLD {
            outside.first.extend(row.time());
        }
        outside.count += 1;
    }
    Ok(outside)
}

async fn rows<T: FromQueryResult>(
    tx: &Tx,
    sql: &str,
    values: impl IntoIterator<Item = Value>,
) -> Result<Vec<T>, Fault> {
    let backend = match tx.engine() {
        Engine::Postgres => DatabaseBackend::Postgres,
        Engine::Sqlite => DatabaseBackend::Sqlite,
    };
    let statement = Statement::from_sql_and_values(backend, sql, values);
    let rows = tx.db().query_all_raw(statement).await.map_err(|e| engine::fault(&e))?;
    // One that cannot be read is left out, and keeps nobody from closing time.
    let read = |row| match readable::decoded::<T>(row) {
        Ok(found) => Some(found),
        Err(fault) => {
            readable::left_out("appointments", "of a stretch of time", &fault);
            None
        }
    };
    Ok(rows.iter().filter_map(read).collect())
}
