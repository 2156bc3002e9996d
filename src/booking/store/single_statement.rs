//! A booking as one statement: the common case on PostgreSQL, in one round trip.
//!
//! The rules were checked against a schedule of a known version and stamp; the statement goes through only
//! if the provider still has those and is enabled, the request is new, the customer may book and
//! nothing overlaps. Then, and in the same transaction, the claim is made, the version taken, the
//! event appended and the answer kept. Where any of that fails it changes nothing and returns no
//! row, and the caller runs [`crate::booking::commands::book::Book`], which finds out why.

use std::time::Duration;

use sea_orm::{DatabaseBackend, FromQueryResult, Statement, Value};
use uuid::Uuid;

use crate::{
    booking::Appointment,
    claims::store::sql::claims_at,
    events::{EventData, appointment::Claimed},
    identity::Caller,
    kernel::{fault::Fault, stamp::Revision},
    storage::{Query, Reader, engine, idempotency::IdempotencyKey},
};

// Waiting is what can take long, and a lock timeout counts from the moment it is set, also within a
// statement; it ends with the statement's transaction. The provider's row is locked before anything is
// written, and `version` is read under that lock: in READ COMMITTED a row that was waited for is read
// again. ON CONFLICT DO NOTHING instead of an
// error: see `store::claim`. The customer's row is locked against being erased only; whether the caller still may is
// judged by it as in `identity::authority`, which knows the other callers. A customer who is a provider too
// claims their own time, in steps. The answer is completed here with what only the database knows.
const SQL: &str = "
WITH bounds AS MATERIALIZED (
    SELECT set_config('lock_timeout', $17, true) AS lock_timeout
), provider AS (
    SELECT version + 1 AS version FROM providers, bounds
    WHERE bounds.lock_timeout IS NOT NULL
      AND provider_id = $1 AND enabled AND schedule_version = $2 AND schedule_stamp = $18
      AND NOT EXISTS (SELECT 1 FROM requests WHERE caller_id = $13 AND request_id = $14)
      AND NOT EXISTS (SELECT 1 FROM closures WHERE ends_at > $5 AND starts_at < $6)
    FOR NO KEY UPDATE OF providers
), booked AS (
    INSERT INTO appointments (provider_id, appointment_id, customer_id, customer_display_name,
        starts_at, ends_at, state, note, time_zone, local_start, cancel_reason, version,
        created_at, updated_at, claim_starts_at, claim_ends_at, stamp)
    SELECT $1, $3, u.user_id, u.display_name, $5, $6, 'booked', $7, $8, $9, '', provider.version,
        $10, $10, $5, $6, $19
    FROM provider, users u WHERE u.user_id = $4 AND NOT u.disabled AND u.erased_at IS NULL
      AND u.role = $20 AND (u.token_generation <= $21 OR u.kept_session = $22)
      AND NOT EXISTS (SELECT 1 FROM providers WHERE provider_id = $4)
      AND NOT EXISTS (SELECT 1 FROM sessions
          WHERE user_id = $4 AND session_id = $22 AND ended_at IS NOT NULL)
    FOR KEY SHARE OF u
    ON CONFLICT DO NOTHING
    RETURNING version, customer_display_name
), bumped AS (
    UPDATE providers SET version = booked.version, stamp = $19 FROM booked WHERE provider_id = $1
), recorded AS (
    INSERT INTO events (provider_id, version, kind, appointment_id, actor_id, occurred_at, detail)
    SELECT $1, version, $11, $3, $4, $10, $12 FROM booked
), kept AS (
    INSERT INTO requests (owner_id, caller_id, request_id, fingerprint, version, response, created_at)
    SELECT $1, $13, $14, $15, version, ($16::jsonb || jsonb_build_object(
        'version', version, 'customer_display_name', customer_display_name))::text, $10
    FROM booked WHERE $14 IS NOT NULL
)
SELECT version, customer_display_name FROM booked";

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
        let statement =
            Statement::from_sql_and_values(DatabaseBackend::Postgres, SQL, self.values()?);
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
WHERE p.provider_id = $1 AND p.enabled AND p.schedule_version = $2
  AND p.schedule_stamp = $9
  AND u.user_id = $3 AND NOT u.disabled
  AND NOT EXISTS (SELECT 1 FROM requests WHERE caller_id = $4 AND request_id = $5)
  AND NOT EXISTS (SELECT 1 FROM closures WHERE ends_at > $6 AND starts_at < $7)
  AND EXISTS (SELECT 1 FROM appointments a
      WHERE provider_id = $1 AND tstzrange(claim_starts_at, claim_ends_at) && tstzrange($6, $7)
        AND NOT (state = 'held' AND customer_id = $3) AND ",
    claims_at!("a", "$8"),
    ")"
);

/// The question that [`TAKEN`] puts, about the booking that changed nothing.
#[derive(Debug, Clone)]
pub struct IsSlotTaken(SingleStatementBooking);

impl Query for IsSlotTaken {
    type Output = bool;

    async fn run(&self, at: &Reader) -> Result<bool, Fault> {
        let SingleStatementBooking { appointment: a, schedule, idempotency_key, .. } = &self.0;
        let values: [Value; 9] = [
            a.provider.0.into(),
            schedule.version.into(),
            a.customer.0.into(),
            idempotency_key.caller_id().into(),
            idempotency_key.id.map(|id| id.0).into(),
            a.start.into(),
            a.end.into(),
            a.created_at.into(),
            schedule.stamp.0.into(),
        ];
        let statement = Statement::from_sql_and_values(DatabaseBackend::Postgres, TAKEN, values);
        Ok(at.query_one(statement).await.map_err(|e| engine::fault(&e))?.is_some())
    }
}

impl SingleStatementBooking {
    /// Whether it changed nothing because the time is taken, and for no other reason.
    pub fn taken(self) -> IsSlotTaken {
        IsSlotTaken(self)
    }

    fn values(&self) -> Result<[Value; 22], Fault> {
        let a = &self.appointment;
        let request: Option<Uuid> = self.idempotency_key.id.map(|id| id.0);
        let booked = EventData::AppointmentBooked(Claimed::new(a.start, a.end, a.customer));
        Ok([
            a.provider.0.into(),
            self.schedule.version.into(),
            a.id.0.into(),
            a.customer.0.into(),
            a.start.into(),
            a.end.into(),
            a.note.clone().into(),
            a.time_zone.name().into(),
            a.local_start.clone().into(),
            a.created_at.into(),
            booked.kind().word().into(),
            booked.encode()?.into(),
            self.idempotency_key.caller_id().into(),
            request.into(),
            self.idempotency_key.fingerprint.to_vec().into(),
            IdempotencyKey::encode(a)?.into(),
            format!("{}ms", self.patience.as_millis().max(1)).into(),
            self.schedule.stamp.0.into(),
            a.stamp.0.into(),
            self.caller.role.word().into(),
            self.generation.into(),
            self.caller.session.into(),
        ])
    }
}
