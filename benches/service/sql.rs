//! The bare SQL, by pgbench: prepared statements, over TCP like the service's.

use std::fmt::Write as _;

use crate::{
    Outcome,
    postgres::Cluster,
    seed::{ASKED, CUSTOMERS, Calendar, IN_WEEK, Kind, PROVIDERS, SLOTS},
};

/// A statement to be put again and again.
#[derive(Debug)]
pub(crate) struct Script {
    name: &'static str,
    text: String,
}

/// What pgbench found.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Found {
    /// Statements a second, without the time for connecting.
    pub(crate) rate: f64,
    /// How many there were.
    pub(crate) done: u64,
}

impl Script {
    /// Books a random half-hour of a random provider for a random customer. The same promises as the
    /// service's own statement in `src/booking/store/single_statement.rs`, on the same tables and with answers
    /// of the same size, and nothing else: no look-up of the customer, no check of the schedule's
    /// version, no value that has to be sent but the numbers.
    pub(crate) fn book(days: Calendar) -> Self {
        let (provider, customer) = (Kind::Provider.sql(":p"), Kind::Customer.sql(":c"));
        let first = days.first_slot();
        let start = format!("to_timestamp({first} + :s::bigint * 1800)");
        let end = format!("to_timestamp({first} + 1800 + :s::bigint * 1800)");
        let mut text = String::new();
        let _ = write!(
            text,
            "\\set p random({ASKED}, {last})\n\\set c random(0, {customers})\n\
             \\set s random(0, {slots})\n",
            last = PROVIDERS - 1,
            customers = CUSTOMERS - 1,
            slots = SLOTS - 1,
        );
        let _ = write!(
            text,
            "WITH provider AS (
    SELECT version + 1 AS version FROM providers WHERE provider_id = {provider} AND enabled
    FOR NO KEY UPDATE
), booked AS (
    INSERT INTO appointments (provider_id, appointment_id, customer_id, customer_display_name,
        starts_at, ends_at, state, note, time_zone, local_start, cancel_reason, version,
        created_at, updated_at, claim_starts_at, claim_ends_at)
    SELECT {provider}, gen_random_uuid(), {customer}, 'customer', {start}, {end}, 'booked', '',
        'UTC', '2030-01-01T00-00-00', '', version, now(), now(), {start}, {end} FROM provider
    ON CONFLICT DO NOTHING
    RETURNING appointment_id, version
), bumped AS (
    UPDATE providers SET version = booked.version FROM booked WHERE provider_id = {provider}
), recorded AS (
    INSERT INTO events (provider_id, version, kind, appointment_id, actor_id, occurred_at, detail)
    SELECT {provider}, version, 'appointment_booked', appointment_id, {customer}, now(),
        '{{\"x\": \"{detail}\"}}'::jsonb FROM booked
), kept AS (
    INSERT INTO requests (owner_id, caller_id, request_id, fingerprint, version, response,
        created_at)
    SELECT {provider}, {customer}, gen_random_uuid(), '\\x{fingerprint}'::bytea, version,
        '{response}', now() FROM booked
)
SELECT version FROM booked;\n",
            detail = "x".repeat(DETAIL),
            fingerprint = "5a".repeat(32),
            response = "x".repeat(RESPONSE),
        );
        Self { name: "book", text }
    }

    /// The claims of one provider in one week, as one text.
    pub(crate) fn week(days: Calendar) -> Self {
        Self::claims("week", days, 7)
    }

    /// The claims of one provider in 31 days, as one text.
    pub(crate) fn month(days: Calendar) -> Self {
        Self::claims("month", days, 31)
    }

    fn claims(name: &'static str, days: Calendar, count: i64) -> Self {
        let provider = Kind::Provider.sql(":p");
        let (from, until) = (days.week(), days.week() + count * 86_400);
        let text = format!(
            "\\set p random(0, {last})
SELECT string_agg(extract(epoch FROM claim_starts_at)::bigint || ',' ||
    extract(epoch FROM claim_ends_at)::bigint, ',')
FROM appointments WHERE provider_id = {provider} AND starts_at >= to_timestamp({day_before})
    AND starts_at < to_timestamp({until}) AND claim_ends_at > to_timestamp({from})
    AND state IN ('held', 'pending', 'booked', 'completed', 'no_show');\n",
            last = ASKED - 1,
            day_before = from - 86_400,
        );
        Self { name, text }
    }

    /// One appointment by its key.
    pub(crate) fn appointment() -> Self {
        let provider = Kind::Provider.sql(":p");
        let appointment = Kind::Appointment.sql(&format!(":p * {IN_WEEK} + :k"));
        let text = format!(
            "\\set p random(0, {last})\n\\set k random(0, {each})
SELECT * FROM appointments WHERE provider_id = {provider} AND appointment_id = {appointment};\n",
            last = ASKED - 1,
            each = IN_WEEK - 1,
        );
        Self { name: "appointment", text }
    }

    /// Runs it with so many clients for so many seconds.
    pub(crate) async fn run(
        &self,
        cluster: &Cluster,
        database: &str,
        clients: usize,
        seconds: u64,
    ) -> Outcome<Found> {
        let file = cluster.folder().join(format!("{}.sql", self.name));
        std::fs::write(&file, &self.text)?;
        let mut pgbench = cluster.command("pgbench");
        pgbench
            .args(["-n", "-M", "prepared", "-j", "2", "-c", &clients.to_string()])
            .args(["-T", &seconds.to_string(), "-f"])
            .arg(&file)
            .arg(database);
        let output = tokio::process::Command::from(pgbench).output().await?;
        let text = String::from_utf8_lossy(&output.stdout);
        let found = (|| {
            let rate = text.lines().find_map(|line| line.strip_prefix("tps = "))?;
            let done = text.lines().find_map(|line| {
                line.strip_prefix("number of transactions actually processed: ")
            })?;
            Some(Found {
                rate: rate.split_whitespace().next()?.parse().ok()?,
                done: done.split('/').next()?.trim().parse().ok()?,
            })
        })();
        match found {
            Some(found) if output.status.success() => Ok(found),
            _ => {
                let errors = String::from_utf8_lossy(&output.stderr);
                Err(format!("pgbench {}: {text}{errors}", self.name).into())
            }
        }
    }
}

/// The length of what the service notes in the event of a booking, in bytes.
const DETAIL: usize = 110;
/// The length of the answer that the service keeps for retries of a booking, in bytes.
const RESPONSE: usize = 460;
