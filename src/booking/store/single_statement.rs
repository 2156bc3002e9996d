//! A booking as one statement: the common case on PostgreSQL, in one round trip.
//!
//! The rules were checked against a schedule of a known version and stamp; the statement goes through only
//! if the provider still has those and is enabled, the request is new, the customer may book and
//! nothing overlaps. Then, and in the same transaction, the claim is made, the version taken, the
//! event appended and the answer kept. Where any of that fails it changes nothing and returns no
//! row, and the caller runs [`crate::booking::commands::book::Book`], which finds out why.

use std::time::Duration;

use sea_orm::{DatabaseBackend, FromQueryResult, Value};
use uuid::Uuid;

use crate::{
    booking::Appointment,
    claims::store::{insert, named::NamedStatement, sql::claims_at},
    events::{EventData, appointment::Claimed},
    identity::Caller,
    kernel::{fault::Fault, stamp::Revision},
    storage::{Query, Reader, engine, entity::appointments::Column, idempotency::IdempotencyKey},
};

// Waiting is what can take long, and a lock timeout counts from the moment it is set, also within a
// statement; it ends with the statement's transaction. The provider's row is locked before anything is
// written, and `version` is read under that lock: in READ COMMITTED a row that was waited for is read
// again. ON CONFLICT DO NOTHING instead of an
// error: see `claims::store::insert`. The customer's row is locked against being erased only; whether the caller still may is
// judged by it as in `identity::authority`, which knows the other callers. A customer who is a provider too
// claims their own time, in steps. The answer is completed here with what only the database knows.
const SQL: &str = "
WITH bounds AS MATERIALIZED (
    SELECT set_config('lock_timeout', {patience}, true) AS lock_timeout
), provider AS (
    SELECT version + 1 AS version FROM providers, bounds
    WHERE bounds.lock_timeout IS NOT NULL
      AND provider_id = {provider} AND enabled AND schedule_version = {schedule_version} AND schedule_stamp = {schedule_stamp}
      AND NOT EXISTS (SELECT 1 FROM requests WHERE caller_id = {caller} AND request_id = {request})
      AND NOT EXISTS (SELECT 1 FROM closures WHERE ends_at > {start} AND starts_at < {end})
    FOR NO KEY UPDATE OF providers
), booked AS (
    {insert}
    FROM provider, users u WHERE u.user_id = {customer} AND NOT u.disabled AND u.erased_at IS NULL
      AND u.role = {role} AND (u.token_generation <= {generation} OR u.kept_session = {session})
      AND NOT EXISTS (SELECT 1 FROM providers WHERE provider_id = {customer})
      AND NOT EXISTS (SELECT 1 FROM sessions
          WHERE user_id = {customer} AND session_id = {session} AND ended_at IS NOT NULL)
    FOR KEY SHARE OF u
    {on_conflict}
    RETURNING version, customer_display_name
), bumped AS (
    UPDATE providers SET version = booked.version, stamp = {stamp} FROM booked WHERE provider_id = {provider}
), recorded AS (
    INSERT INTO events (provider_id, version, kind, appointment_id, actor_id, occurred_at, detail)
    SELECT {provider}, version, {kind}, {appointment}, {customer}, {now}, {detail} FROM booked
), kept AS (
    INSERT INTO requests (owner_id, caller_id, request_id, fingerprint, version, response, created_at)
    SELECT {provider}, {caller}, {request}, {fingerprint}, version, ({answer}::jsonb || jsonb_build_object(
        'version', version, 'customer_display_name', customer_display_name))::text, {now}
    FROM booked WHERE {request} IS NOT NULL
)
SELECT version, customer_display_name FROM booked";

/// The columns of the new row, each with what stands in it.
const ROW: &[(Column, &str)] = &[
    (Column::ProviderId, "{provider}"),
    (Column::AppointmentId, "{appointment}"),
    (Column::CustomerId, "u.user_id"),
    (Column::CustomerDisplayName, "u.display_name"),
    (Column::StartsAt, "{start}"),
    (Column::EndsAt, "{end}"),
    (Column::State, "'booked'"),
    (Column::Note, "{note}"),
    (Column::TimeZone, "{time_zone}"),
    (Column::LocalStart, "{local_start}"),
    (Column::CancelReason, "''"),
    (Column::Version, "provider.version"),
    (Column::CreatedAt, "{now}"),
    (Column::UpdatedAt, "{now}"),
    (Column::ClaimStartsAt, "{start}"),
    (Column::ClaimEndsAt, "{end}"),
    (Column::Stamp, "{stamp}"),
];

static BOOK: NamedStatement = NamedStatement::new(|| {
    SQL.replace("{insert}", &insert::select(ROW)).replace("{on_conflict}", insert::ON_CONFLICT)
});

/// Booking in one PostgreSQL statement: locks the provider, claims the time, takes the next version,
/// appends the event, stores the response. No row back means that nothing was changed.
#[derive(Debug, Clone)]
pub struct SingleStatementBooking {
    /// The appointment to make, with the stamp of this write; its version and the customer's name are not
    /// known yet.
    pub appointment: Appointment,
    /// The state of the schedule that the rules were checked against.
    pub schedule: Revision,
    /// Who books, for themselves, and the generation of their token.
    pub caller: Caller,
    /// Generation of the caller's access token; the statement compares it with the stored one.
    pub generation: i64,
    /// The request, for retries.
    pub idempotency_key: IdempotencyKey,
    /// How long to wait for others.
    pub patience: Duration,
}

#[derive(FromQueryResult)]
struct Booked {
    version: i64,
    customer_display_name: String,
}

impl Query for SingleStatementBooking {
    type Output = Option<Appointment>;

    async fn run(&self, at: &Reader) -> Result<Self::Output, Fault> {
        let statement = BOOK.with(DatabaseBackend::Postgres, self.values()?);
        let Some(row) = at.query_one(statement).await.map_err(|e| engine::fault(&e))? else {
            return Ok(None);
        };
        let booked = Booked::from_query_result(&row, "").map_err(|e| engine::fault(&e))?;
        let mut appointment = self.appointment.clone();
        appointment.version = booked.version;
        appointment.customer_display_name = booked.customer_display_name;
        Ok(Some(appointment))
    }
}

/// What a [`SingleStatementBooking`] that changed nothing most likely met, asked in one statement and without a lock.
///
/// A crowd around one hour is refused that way in two round trips, and nobody waits for anybody. The
/// answer is as good as the locked one: at the moment of the statement's snapshot every other rule held
/// and the time was taken, and not by a hold of the same customer.
const TAKEN: &str = concat!(
    "
SELECT 1 AS taken FROM providers p, users u
WHERE p.provider_id = {provider} AND p.enabled AND p.schedule_version = {schedule_version}
  AND p.schedule_stamp = {schedule_stamp}
  AND u.user_id = {customer} AND NOT u.disabled
  AND NOT EXISTS (SELECT 1 FROM requests WHERE caller_id = {caller} AND request_id = {request})
  AND NOT EXISTS (SELECT 1 FROM closures WHERE ends_at > {start} AND starts_at < {end})
  AND EXISTS (SELECT 1 FROM appointments a
      WHERE provider_id = {provider} AND tstzrange(claim_starts_at, claim_ends_at) && tstzrange({start}, {end})
        AND NOT (state = 'held' AND customer_id = {customer}) AND ",
    claims_at!("a", "{now}"),
    ")"
);

static IS_TAKEN: NamedStatement = NamedStatement::new(|| TAKEN.to_owned());

/// The question that [`TAKEN`] puts, about the booking that changed nothing.
#[derive(Debug, Clone)]
pub struct IsSlotTaken(SingleStatementBooking);

impl Query for IsSlotTaken {
    type Output = bool;

    async fn run(&self, at: &Reader) -> Result<bool, Fault> {
        let SingleStatementBooking { appointment: a, schedule, idempotency_key, .. } = &self.0;
        let values = [
            ("provider", a.provider.0.into()),
            ("schedule_version", schedule.version.into()),
            ("customer", a.customer.0.into()),
            ("caller", idempotency_key.caller_id().into()),
            ("request", idempotency_key.id.map(|id| id.0).into()),
            ("start", a.start.into()),
            ("end", a.end.into()),
            ("now", a.created_at.into()),
            ("schedule_stamp", schedule.stamp.0.into()),
        ];
        let statement = IS_TAKEN.with(DatabaseBackend::Postgres, values);
        Ok(at.query_one(statement).await.map_err(|e| engine::fault(&e))?.is_some())
    }
}

impl SingleStatementBooking {
    /// Whether it changed nothing because the time is taken, and for no other reason.
    pub fn taken(self) -> IsSlotTaken {
        IsSlotTaken(self)
    }

    fn values(&self) -> Result<[(&'static str, Value); 22], Fault> {
        let a = &self.appointment;
        let request: Option<Uuid> = self.idempotency_key.id.map(|id| id.0);
        let booked = EventData::AppointmentBooked(Claimed::new(a.start, a.end, a.customer));
        Ok([
            ("provider", a.provider.0.into()),
            ("schedule_version", self.schedule.version.into()),
            ("appointment", a.id.0.into()),
            ("customer", a.customer.0.into()),
            ("start", a.start.into()),
            ("end", a.end.into()),
            ("note", a.note.clone().into()),
            ("time_zone", a.time_zone.name().into()),
            ("local_start", a.local_start.clone().into()),
            ("now", a.created_at.into()),
            ("kind", booked.kind().word().into()),
            ("detail", booked.encode()?.into()),
            ("caller", self.idempotency_key.caller_id().into()),
            ("request", request.into()),
            ("fingerprint", self.idempotency_key.fingerprint.to_vec().into()),
            ("answer", IdempotencyKey::encode(a)?.into()),
            ("patience", format!("{}ms", self.patience.as_millis().max(1)).into()),
            ("schedule_stamp", self.schedule.stamp.0.into()),
            ("stamp", a.stamp.0.into()),
            ("role", self.caller.role.word().into()),
            ("generation", self.generation.into()),
            ("session", self.caller.session.into()),
        ])
    }
}
