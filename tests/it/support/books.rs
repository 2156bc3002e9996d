//! The books: what must hold in a database whatever happened to it.

use std::collections::BTreeMap;

use daybook::storage::entity::appointments;
use sea_orm::{ConnectionTrait, DatabaseConnection, EntityTrait, Statement};

use super::recorded;

/// Each counts what must not be there.
const WRONGS: &[(&str, &str)] = &[
    (
        "claims of one provider that overlap",
        "SELECT count(*) FROM (
            SELECT claim_starts_at, lag(claim_ends_at)
                OVER (PARTITION BY provider_id ORDER BY claim_starts_at) AS earlier
            FROM appointments WHERE state IN ('held', 'pending', 'booked', 'completed', 'no_show')) each
         WHERE earlier > claim_starts_at",
    ),
    (
        "live appointments of one customer that overlap",
        "SELECT count(*) FROM (
            SELECT starts_at, lag(ends_at) OVER (PARTITION BY customer_id ORDER BY starts_at)
                AS earlier
            FROM appointments WHERE state IN ('pending', 'booked', 'completed', 'no_show')) each
         WHERE earlier > starts_at",
    ),
    (
        "people who treat somebody and are treated at the same time",
        "SELECT count(*) FROM appointments a JOIN appointments b ON b.customer_id = a.provider_id
            AND b.starts_at < a.ends_at AND a.starts_at < b.ends_at
         WHERE a.state IN ('booked', 'completed', 'no_show')
            AND b.state IN ('booked', 'completed', 'no_show')",
    ),
    (
        "appointments of customers who are providers that do not claim their own time, and the reverse",
        "SELECT count(*) FROM (
            SELECT a.appointment_id FROM appointments a
            JOIN providers p ON p.provider_id = a.customer_id
            LEFT JOIN appointments c ON c.provider_id = a.customer_id
                AND c.claim_of = a.appointment_id AND c.appointment_id = a.appointment_id
                AND c.starts_at = a.starts_at AND c.ends_at = a.ends_at
            WHERE a.claim_of IS NULL AND c.appointment_id IS NULL
                AND a.state IN ('booked', 'completed', 'no_show')
            UNION ALL
            SELECT c.appointment_id FROM appointments c
            LEFT JOIN appointments a ON a.appointment_id = c.claim_of AND a.claim_of IS NULL
                AND (a.state IN ('booked', 'completed', 'no_show') OR a.state = 'pending'
                    OR a.updated_at >= c.expires_at)
                AND a.starts_at = c.starts_at AND a.ends_at = c.ends_at
            WHERE c.claim_of = c.appointment_id AND a.appointment_id IS NULL) each",
    ),
    (
        "moves that are asked for and do not claim their time, and the reverse",
        "SELECT count(*) FROM (
            SELECT a.appointment_id FROM appointments a
            LEFT JOIN appointments c ON c.provider_id = a.provider_id AND c.claim_of = a.appointment_id
            WHERE a.claim_of IS NULL AND c.appointment_id IS NULL
                AND a.terms ->> 'asked_move' IS NOT NULL
            UNION ALL
            SELECT c.appointment_id FROM appointments c
            LEFT JOIN appointments a ON a.appointment_id = c.claim_of AND a.state = 'booked'
                AND a.terms ->> 'asked_move' IS NOT NULL AND a.provider_id = c.provider_id
            WHERE c.claim_of <> c.appointment_id AND c.customer_id <> c.provider_id
                AND a.appointment_id IS NULL) each",
    ),
    (
        "providers whose events have gaps or do not end at their version",
        "SELECT count(*) FROM providers p LEFT JOIN (
            SELECT provider_id, count(*) AS n, min(version) AS first, max(version) AS last
            FROM events GROUP BY provider_id) e ON e.provider_id = p.provider_id
         WHERE e.n IS NULL OR e.first <> 1 OR e.last <> e.n OR e.last <> p.version",
    ),
    (
        "appointments whose last event is not their version's",
        "SELECT count(*) FROM appointments a LEFT JOIN (
            SELECT provider_id, appointment_id, max(version) AS last
            FROM events GROUP BY provider_id, appointment_id) e
            ON e.provider_id = a.provider_id AND e.appointment_id = a.appointment_id
         WHERE a.claim_of IS NULL AND (e.last IS NULL OR e.last <> a.version)",
    ),
    (
        "appointments whose first event is no beginning, or is not the only one",
        "SELECT count(*) FROM (
            SELECT kind, row_number() OVER (
                PARTITION BY provider_id, appointment_id ORDER BY version) AS place
            FROM events WHERE appointment_id IS NOT NULL) each
         WHERE (place = 1 AND kind NOT IN
                ('hold_placed', 'appointment_requested', 'appointment_booked'))
            OR (place > 1 AND kind = 'hold_placed')",
    ),
    (
        "appointments whose last change of state is another state's",
        "SELECT count(*) FROM appointments a LEFT JOIN (
            SELECT provider_id, appointment_id, kind, detail, row_number() OVER (
                PARTITION BY provider_id, appointment_id ORDER BY version DESC) AS place
            FROM events WHERE kind NOT IN
                ('appointment_rescheduled', 'appointment_updated', 'appointment_noted',
                 'appointment_move_requested', 'appointment_move_declined', 'appointment_move_expired',
                 'appointment_move_withdrawn',
                 'appointment_customer_merged', 'hold_customer_merged', 'hold_extended')) e
            ON e.provider_id = a.provider_id AND e.appointment_id = a.appointment_id
            AND e.place = 1
         WHERE a.claim_of IS NULL AND (e.kind IS NULL OR a.state <> CASE e.kind
            WHEN 'hold_placed' THEN 'held'
            WHEN 'appointment_requested' THEN 'pending'
            WHEN 'appointment_booked' THEN 'booked'
            WHEN 'appointment_approved' THEN 'booked'
            WHEN 'appointment_completed' THEN 'completed'
            WHEN 'appointment_no_show' THEN 'no_show'
            WHEN 'appointment_cancelled' THEN 'cancelled'
            WHEN 'appointment_reassigned' THEN 'cancelled'
            WHEN 'appointment_declined' THEN 'declined'
            WHEN 'appointment_expired' THEN 'declined'
            WHEN 'appointment_corrected' THEN e.detail ->> 'state'
            ELSE 'nothing' END)",
    ),
    (
        "events of appointments that are not there, holds apart",
        "SELECT count(*) FROM events e LEFT JOIN appointments a
            ON a.provider_id = e.provider_id AND a.appointment_id = e.appointment_id
         WHERE e.appointment_id IS NOT NULL AND a.appointment_id IS NULL
            AND e.kind NOT IN ('hold_placed', 'hold_extended', 'hold_customer_merged', 'hold_released', 'hold_expired')",
    ),
    (
        "changes that two requests claim",
        "SELECT count(*) FROM (
            SELECT owner_id FROM requests GROUP BY owner_id, version HAVING count(*) > 1) each",
    ),
    (
        "requests of a provider's time without their change",
        "SELECT count(*) FROM requests r JOIN providers p ON p.provider_id = r.owner_id
         LEFT JOIN events e ON e.provider_id = r.owner_id AND e.version = r.version
         WHERE e.version IS NULL",
    ),
];

/// Asserts that nothing is wrong, and returns the state of every appointment by its resource name.
pub async fn check(db: &DatabaseConnection) -> BTreeMap<String, String> {
    for (what, sql) in WRONGS {
        assert_eq!(number(db, sql).await, 0, "{what}");
    }
    recorded::all_are_read(db).await;
    let rows = appointments::Entity::find().all(db).await.unwrap();
    rows.into_iter()
        .filter(|row| row.claim_of.is_none())
        .map(|row| {
            let name = format!("providers/{}/appointments/{}", row.provider_id, row.appointment_id);
            (name, row.state)
        })
        .collect()
}

/// One number.
pub async fn number(db: &DatabaseConnection, sql: &str) -> i64 {
    let statement = Statement::from_string(db.get_database_backend(), sql);
    let row = db.query_one_raw(statement).await.unwrap_or_else(|e| panic!("{sql}: {e}"));
    row.unwrap().try_get_by_index(0).unwrap()
}
