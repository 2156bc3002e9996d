//! What is stored before a measurement, and the ids by which it is known.

use chrono::{DateTime, Days, NaiveDate, TimeDelta, Utc, Weekday};
use uuid::Uuid;

use crate::{Outcome, postgres::Cluster};

/// Providers in all.
pub(crate) const PROVIDERS: u32 = 1000;
/// The first so many keep office hours and have appointments in the week that is asked about; the
/// others are open round the clock and are booked.
pub(crate) const ASKED: u32 = 50;
/// Appointments of each of those in that week.
pub(crate) const IN_WEEK: u32 = 20;
/// Accounts that can log in.
pub(crate) const CUSTOMERS: u32 = 200;
/// Half-hours that bookings are spread over: ten years, so that few meet.
pub(crate) const SLOTS: u32 = 10 * 365 * 48;
/// What everybody logs in with.
pub(crate) const PASSWORD: &str = "correct horse battery staple";

/// The type that the asked providers offer.
pub(crate) const OFFERED: u32 = 1;
/// The type that those offer whose weeks are nearly full.
pub(crate) const FULL: u32 = 2;
/// How many those are; their numbers follow those of the others.
pub(crate) const FULL_PROVIDERS: u32 = 1000;

/// The resources, by number.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Kind {
    Customer,
    Provider,
    Appointment,
    Type,
}

impl Kind {
    /// The first group of the ids of this kind.
    pub(crate) const fn prefix(self) -> u32 {
        match self {
            Self::Customer => 0x0190_0000,
            Self::Provider => 0x0191_0000,
            Self::Appointment => 0x0192_0000,
            Self::Type => 0x0193_0000,
        }
    }

    /// The id of the resource with this number.
    pub(crate) fn id(self, number: u32) -> Uuid {
        let fixed = 0x7000_8000_u128 << 48;
        Uuid::from_u128(u128::from(self.prefix()) << 96 | fixed | u128::from(number))
    }

    /// The same in SQL, where `number` is an expression.
    pub(crate) fn sql(self, number: &str) -> String {
        let prefix = self.prefix();
        format!(
            "('{prefix:08x}-0000-7000-8000-' || lpad(to_hex(({number})::bigint), 12, '0'))::uuid"
        )
    }
}

/// The days of the run.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Calendar {
    /// The Monday of the week that is asked about.
    pub(crate) monday: NaiveDate,
}

impl Calendar {
    /// Days that lie well ahead of this moment.
    pub(crate) fn after(now: DateTime<Utc>) -> Self {
        let week = (now + TimeDelta::days(14)).date_naive().week(Weekday::Mon);
        Self { monday: week.first_day() }
    }

    /// The Sunday of the week that is asked about.
    pub(crate) fn sunday(&self) -> NaiveDate {
        self.monday + Days::new(6)
    }

    /// The first instant of the week, in seconds since 1970.
    pub(crate) fn week(&self) -> i64 {
        self.monday.and_time(chrono::NaiveTime::MIN).and_utc().timestamp()
    }

    /// The first half-hour that is booked.
    pub(crate) fn first_slot(&self) -> i64 {
        self.week() + TimeDelta::weeks(2).num_seconds()
    }

    /// Where the crowd meets: after everything else.
    pub(crate) fn crowd(&self) -> i64 {
        self.first_slot() + TimeDelta::days(365 * 12).num_seconds()
    }
}

/// Accounts and providers; every account has the password of the one that signed up.
pub(crate) async fn people(cluster: &Cluster, database: &str, hash: &str) -> Outcome {
    let (customer, provider) = (Kind::Customer.sql("n"), Kind::Provider.sql("n"));
    let user = |id: &str, word: &str, count: u32| {
        format!(
            "INSERT INTO users SELECT {id}, '{word}-' || n || '@example.com', '{word} ' || n,
                '{hash}', '{word}', 'UTC', false, 0, NULL, NULL, 1, now(), now()
            FROM generate_series(0, {count} - 1) n;"
        )
    };
    cluster
        .sql(
            database,
            &format!(
                "{customers} {providers}
            INSERT INTO providers SELECT {provider}, 'provider ' || n, true, 'UTC',
                (SELECT jsonb_agg(jsonb_build_object('day', day,
                    'start', CASE WHEN n < {ASKED} THEN '09:00' ELSE '00:00' END,
                    'end', CASE WHEN n < {ASKED} THEN '17:00' ELSE '24:00' END))
                 FROM unnest(CASE WHEN n < {ASKED}
                     THEN ARRAY['mon', 'tue', 'wed', 'thu', 'fri']
                     ELSE ARRAY['mon', 'tue', 'wed', 'thu', 'fri', 'sat', 'sun'] END) day),
                30, 480, 1, 1, now()
            FROM generate_series(0, {PROVIDERS} - 1) n;
            VACUUM ANALYZE;",
                customers = user(&customer, "customer", CUSTOMERS),
                providers = user(&provider, "provider", PROVIDERS),
            ),
        )
        .await?;
    Ok(())
}

const COLUMNS: &str = "INSERT INTO appointments (provider_id, appointment_id, customer_id,
    customer_display_name, starts_at, ends_at, state, note, time_zone, local_start, cancel_reason,
    version, created_at, updated_at, claim_starts_at, claim_ends_at)";

/// Takes back all appointments and stores the few that are asked about: four a day, Monday to
/// Friday, for each of the asked providers.
pub(crate) async fn few(cluster: &Cluster, database: &str, days: Calendar) -> Outcome {
    let provider = Kind::Provider.sql("p");
    let customer = Kind::Customer.sql("p");
    let appointment = Kind::Appointment.sql(&format!("p * {IN_WEEK} + k"));
    let week = days.week();
    cluster
        .sql(
            database,
            &format!(
                "TRUNCATE events, requests, appointments;
            UPDATE providers SET version = schedule_version WHERE version <> schedule_version;
            {COLUMNS} SELECT {provider}, {appointment}, {customer}, 'customer ' || p, s,
                s + interval '30 minutes', 'booked', '', 'UTC',
                to_char(s AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS'), '', k + 2, now(), now(), s,
                s + interval '30 minutes'
            FROM generate_series(0, {ASKED} - 1) p, generate_series(0, {IN_WEEK} - 1) k,
                LATERAL (SELECT to_timestamp({week} + (k / 4) * 86400 + (9 + 2 * (k % 4)) * 3600) s)
                    at;
            VACUUM ANALYZE appointments, events, requests, providers;"
            ),
        )
        .await?;
    Ok(())
}

/// Adds appointments of all providers before and after the week, with their events and requests, so
/// that there are `total` in all. The answers of the week stay the same.
pub(crate) async fn many(cluster: &Cluster, database: &str, days: Calendar, total: u32) -> Outcome {
    let each = total / PROVIDERS - 1;
    let half = each / 2;
    let provider = Kind::Provider.sql("p");
    // Ten customers of its own for each provider: none has two appointments at one time.
    let customer = Kind::Customer.sql("100000 + p * 10 + k % 10");
    let appointment = Kind::Appointment.sql(&format!("100000 + p * {each} + k"));
    // Two years before, and two after the week. The step of each is more than the day that the
    // starts of different providers are apart.
    let step = 2 * 365 * 86_400 / half.max(1);
    let week = days.week();
    cluster
        .sql(
            database,
            &format!(
                "BEGIN;
            {COLUMNS} SELECT {provider}, {appointment}, {customer}, 'customer', s,
                s + interval '30 minutes', CASE WHEN k < {half} THEN 'completed' ELSE 'booked' END,
                '', 'UTC', to_char(s AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS'), '',
                100 + k, now(), now(), s, s + interval '30 minutes'
            FROM generate_series(0, {each} - 1) k, generate_series(0, {PROVIDERS} - 1) p,
                LATERAL (SELECT to_timestamp({week}::bigint + (p % 48) * 1800 +
                    CASE WHEN k < {half} THEN (k - {half} - 2)::bigint * {step}
                         ELSE 14 * 86400 + (k - {half})::bigint * {step} END) s) at;
            INSERT INTO events SELECT provider_id, version, 'appointment_booked', appointment_id,
                customer_id, created_at, '{{}}' FROM appointments;
            INSERT INTO requests SELECT provider_id, customer_id, appointment_id, '\\x00', version,
                '{{}}', created_at FROM appointments;
            UPDATE providers SET version = 100 + {each};
            COMMIT;
            VACUUM ANALYZE;
            CHECKPOINT;"
            ),
        )
        .await?;
    Ok(())
}

/// Adds two types of half an hour: one that the asked providers offer, and one that further providers
/// offer, whose week, which is asked about, has one half-hour left, its last.
pub(crate) async fn types(cluster: &Cluster, database: &str, days: Calendar) -> Outcome {
    let provider = Kind::Provider.sql("p");
    let customer = Kind::Customer.sql("200000 + p");
    let appointment = Kind::Appointment.sql("50000000 + p * 100 + k");
    let of = |number: u32| Kind::Type.sql(&number.to_string());
    let (offered, full, week) = (of(OFFERED), of(FULL), days.week());
    let last = PROVIDERS + FULL_PROVIDERS - 1;
    cluster
        .sql(
            database,
            &format!(
                "BEGIN;
            INSERT INTO appointment_types SELECT t, NULL, jsonb_build_object(
                'display_name', 'half an hour', 'description', '', 'durations', '[30]'::jsonb,
                'buffer_before', 0, 'buffer_after', 0, 'slot_step', NULL, 'grid_offset', 0,
                'minimum_notice', 0, 'horizon', NULL, 'limits', '{{}}'::jsonb, 'cancel_cutoff', 0,
                'reschedule_cutoff', 0, 'requires_approval', false, 'request_expiry', 2880,
                'price', '', 'place', '', 'questions', '[]'::jsonb, 'private', false),
                '', false, 1, now(), now()
            FROM unnest(ARRAY[{offered}, {full}]) t;
            INSERT INTO providers SELECT {provider}, 'provider ' || p, true, 'UTC', weekly_hours, 30, 480,
                1, 1, now()
            FROM generate_series({PROVIDERS}, {last}) p,
                (SELECT weekly_hours FROM providers ORDER BY provider_id LIMIT 1) office;
            INSERT INTO offerings SELECT {provider}, {offered}, NULL, now()
            FROM generate_series(0, {ASKED} - 1) p;
            INSERT INTO offerings SELECT {provider}, {full}, NULL, now()
            FROM generate_series({PROVIDERS}, {last}) p;
            {COLUMNS} SELECT {provider}, {appointment}, {customer}, 'customer', s,
                s + interval '30 minutes', 'booked', '', 'UTC',
                to_char(s AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS'), '', k + 2, now(), now(), s,
                s + interval '30 minutes'
            FROM generate_series({PROVIDERS}, {last}) p, generate_series(0, 78) k,
                LATERAL (SELECT to_timestamp({week} + (k / 16) * 86400 + 9 * 3600 + (k % 16) * 1800) s)
                    at;
            COMMIT;
            VACUUM ANALYZE;
            CHECKPOINT;"
            ),
        )
        .await?;
    Ok(())
}
