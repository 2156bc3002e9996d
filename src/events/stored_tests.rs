//! What is stored of events of each kind: it is read, and written again as it was. The texts are as SQLite stores them.

use serde_json::{Value, json};

use super::{
    EventData, ProviderEventKind,
    audit::{AuditAction, AuditData},
    schedule::ScheduleChanged,
    types::{TypeEvent, TypeEventKind},
    users::{UserEvent, UserEventKind},
};
use crate::schedule::WeeklyHours;

const ID: &str = "0199c1de-7a4e-7c3a-9f5e-2b8f6d1c0a01";
const CUSTOMER: &str = "0199c1de-7a4e-7c3a-9f5e-2b8f6d1c0a02";
const OTHER: &str = "0199c1de-7a4e-7c3a-9f5e-2b8f6d1c0a03";
const EXPIRED: &str = "nobody answered in time";
const NINE: &str = "2026-11-23T09:00:00Z";
const TEN: &str = "2026-11-23T10:00:00Z";
const LATE: &str = "2026-11-23T10:00:00.123456Z";
const WEEK: &str = r#"[{"day":"mon","end":"17:00","start":"09:00"}]"#;
const TERMS: &str =
    r#"{"buffer_after":5,"buffer_before":0,"display_name":"Check-up","durations":[30,60]}"#;

/// The texts with their kinds, in which words in capitals stand for the constants of this file.
fn filled(samples: &[(&'static str, &str)]) -> Vec<(&'static str, String)> {
    let words = [
        ("CUSTOMER", CUSTOMER),
        ("OTHER", OTHER),
        ("EXPIRED", EXPIRED),
        ("NINE", NINE),
        ("TEN", TEN),
        ("LATE", LATE),
        ("WEEK", WEEK),
        ("TERMS", TERMS),
        ("ID", ID),
    ];
    let fill = |text: &str| words.iter().fold(text.to_owned(), |text, (w, is)| text.replace(w, is));
    samples.iter().map(|(kind, text)| (*kind, fill(text))).collect()
}

/// Events of providers' time.
const EVENTS: &[(&str, &str)] = &[
    ("provider_opened", r#"{"display_name":"Ada"}"#),
    ("provider_changed", r#"{"display_name":"Ada","enabled":false}"#),
    (
        "schedule_changed",
        r#"{"accepts_intervals":true,"date_overrides":[{"date":"2026-12-24","windows":[]}],"longest_minutes":480,"slot_minutes":30,"stays":[{"first":"2027-01-01","last":"2027-01-02","zone":"UTC"}],"time_zone":"Europe/Berlin","weekly_hours":WEEK}"#,
    ),
    (
        "schedule_changed",
        r#"{"date_overrides":[],"schedule":"night","stays":[],"time_zone":"Asia/Tokyo","weekly_hours":WEEK,"what":"created"}"#,
    ),
    (
        "schedule_changed",
        r#"{"date_overrides":[],"schedule":"night","stays":[],"time_zone":"Asia/Tokyo","weekly_hours":[],"what":"changed"}"#,
    ),
    (
        "schedule_changed",
        r#"{"date_overrides":[],"schedule":"night","stays":[],"time_zone":"Asia/Tokyo","weekly_hours":[],"what":"deleted"}"#,
    ),
    // Of a version before there were overrides, stays and named schedules.
    (
        "schedule_changed",
        r#"{"longest_minutes":480,"slot_minutes":30,"time_zone":"Europe/Berlin","weekly_hours":WEEK}"#,
    ),
    ("time_off_created", r#"{"end":"TEN","start":"NINE","time_off":"ID"}"#),
    ("time_off_deleted", r#"{"end":"TEN","start":"NINE","time_off":"ID"}"#),
    ("closure_created", r#"{"closure":"ID","end":"TEN","start":"NINE"}"#),
    ("closure_deleted", r#"{"closure":"ID","end":"TEN","start":"NINE"}"#),
    ("offering_changed", r#"{"appointment_type":"ID","schedule":null}"#),
    ("offering_changed", r#"{"appointment_type":"ID","schedule":"night"}"#),
    ("offering_withdrawn", r#"{"appointment_type":"ID"}"#),
    ("attendance_changed", "{}"),
    ("attendance_changed", r#"{"reason":"EXPIRED"}"#),
    ("appointment_booked", r#"{"customer":"CUSTOMER","end":"TEN","start":"NINE"}"#),
    (
        "appointment_booked",
        r#"{"customer":"CUSTOMER","end":"TEN","override":"emergency","start":"NINE","type":"ID"}"#,
    ),
    (
        "appointment_booked",
        r#"{"customer":"CUSTOMER","end":"TEN","hold":"ID","override":"","start":"NINE"}"#,
    ),
    (
        "appointment_booked",
        r#"{"customer":"CUSTOMER","end":"TEN","from":"OTHER","override":"","predecessor":"ID","reason":"ill","start":"NINE"}"#,
    ),
    (
        "appointment_requested",
        r#"{"customer":"CUSTOMER","end":"TEN","expires":"LATE","start":"NINE","type":"ID"}"#,
    ),
    ("appointment_cancelled", "{}"),
    ("appointment_cancelled", r#"{"late":true,"reason":"ill"}"#),
    // Of a version that wrote it also where there was none.
    ("appointment_cancelled", r#"{"reason":""}"#),
    ("appointment_completed", r#"{"end":"NINE","previous_end":"TEN"}"#),
    ("appointment_no_show", r#"{"end":"NINE","previous_end":"TEN","reason":"not there"}"#),
    ("appointment_approved", "{}"),
    (
        "appointment_approved",
        r#"{"end":"TEN","previous_end":"TEN","previous_start":"NINE","reason":"fits","start":"NINE"}"#,
    ),
    ("appointment_declined", r#"{"reason":"full"}"#),
    ("appointment_expired", r#"{"reason":"EXPIRED"}"#),
    (
        "appointment_rescheduled",
        r#"{"end":"TEN","override":"","previous_end":"TEN","previous_start":"NINE","reason":"","start":"NINE"}"#,
    ),
    (
        "appointment_move_requested",
        r#"{"end":"TEN","override":"","previous_end":"TEN","previous_start":"NINE","reason":"work","start":"NINE"}"#,
    ),
    ("appointment_move_declined", r#"{"reason":"full"}"#),
    ("appointment_move_expired", r#"{"reason":"EXPIRED"}"#),
    ("appointment_move_withdrawn", "{}"),
    ("appointment_reassigned", r#"{"override":"","reason":"ill","successor":"ID","to":"OTHER"}"#),
    // Of a version before successors.
    ("appointment_reassigned", r#"{"override":"","reason":"ill","to":"OTHER"}"#),
    (
        "appointment_corrected",
        r#"{"end":"TEN","previous_end":"NINE","previous_state":"no_show","reason":"was there","state":"booked"}"#,
    ),
    (
        "appointment_corrected",
        r#"{"previous_state":"no_show","reason":"was there","state":"completed"}"#,
    ),
    ("appointment_updated", "{}"),
    ("appointment_noted", "{}"),
    ("appointment_customer_merged", r#"{"customer":"CUSTOMER","duplicate":"OTHER"}"#),
    (
        "hold_placed",
        r#"{"customer":"CUSTOMER","end":"TEN","expires":"LATE","start":"NINE","type":"ID"}"#,
    ),
    (
        "hold_placed",
        r#"{"customer":"CUSTOMER","end":"TEN","expires":"LATE","rescheduling":"ID","start":"NINE","type":null}"#,
    ),
    ("hold_extended", r#"{"expires":"LATE"}"#),
    ("hold_customer_merged", r#"{"customer":"CUSTOMER","duplicate":"OTHER"}"#),
    ("hold_released", "{}"),
    ("hold_released", r#"{"for":"ID"}"#),
    ("hold_expired", r#"{"reason":"EXPIRED"}"#),
];

const TYPES: &[(&str, &str)] = &[
    ("created", r#"{"owner":null,"terms":TERMS}"#),
    ("created", r#"{"owner":"ID","terms":TERMS}"#),
    ("changed", r#"{"terms":TERMS}"#),
    ("changed", r#"{"link_code_replaced":true,"terms":TERMS}"#),
    ("archived", "{}"),
    ("restored", "{}"),
];

const USERS: &[(&str, &str)] = &[
    ("signed_up", r#"{"role":"customer"}"#),
    ("enrolled", r#"{"role":"provider"}"#),
    ("corrected", r#"{"fields":["display_name","email","phone","time_zone"]}"#),
    ("merged", r#"{"duplicate":"OTHER"}"#),
    (
        "profile_changed",
        r#"{"display_name":"Ada","phone_changed":false,"time_zone":"Europe/Berlin"}"#,
    ),
    // Of a version before there were phone numbers.
    ("profile_changed", r#"{"display_name":"Ada","time_zone":"Europe/Berlin"}"#),
    ("role_changed", r#"{"role":"admin"}"#),
    ("erased", "{}"),
    ("erased", r#"{"merged_into":"ID"}"#),
];

const AUDIT: &[(&str, &str)] = &[
    ("sessions_revoked", r#"{"kept":null}"#),
    ("sessions_revoked", r#"{"kept":"ID"}"#),
    ("refresh_token_reused", r#"{"rotated_at":"LATE"}"#),
    ("role_changed", r#"{"role":"admin"}"#),
    ("signing_key_rotated", r#"{"active":"b","by":"age","next":"c","retiring":"a"}"#),
    ("signing_key_rotated", r#"{"active":null,"by":"command","next":"c","retiring":null}"#),
    ("signing_keys_replaced", r#"{"active":"d","gone":["a","b","c"],"next":"e"}"#),
    ("second_factor_failed", r#"{"shown":"code"}"#),
    ("second_factor_failed", r#"{"shown":"recovery_code"}"#),
    ("recovery_code_used", r#"{"left":9}"#),
    (
        "service_account_created",
        r#"{"act_for":{"any_customer":false,"customers":["CUSTOMER"]},"role":"customer","service_account":"serviceAccounts/ID"}"#,
    ),
    (
        "service_account_updated",
        r#"{"act_for":{"any_customer":true,"customers":[]},"service_account":"serviceAccounts/ID"}"#,
    ),
    ("service_account_disabled", r#"{"service_account":"serviceAccounts/ID"}"#),
    ("service_account_enabled", r#"{"service_account":"serviceAccounts/ID"}"#),
    (
        "api_key_created",
        r#"{"api_key":"serviceAccounts/ID/apiKeys/OTHER","expires":"NINE","scopes":["daybook.booking.v1.BookingService"],"service_account":"serviceAccounts/ID"}"#,
    ),
    (
        "api_key_revoked",
        r#"{"api_key":"serviceAccounts/ID/apiKeys/OTHER","service_account":"serviceAccounts/ID"}"#,
    ),
    (
        "api_key_refused",
        r#"{"api_key":"serviceAccounts/ID/apiKeys/OTHER","count":3,"service_account":"serviceAccounts/ID","why":"scope_missing"}"#,
    ),
    ("account_erased", "{}"),
    ("account_erased", r#"{"merged_into":"ID"}"#),
    ("account_created", r#"{"role":"admin"}"#),
    ("secrets_resealed", r#"{"master_key":"k1","state":"begun"}"#),
    ("secrets_resealed", r#"{"lost":1,"master_key":"k1","sealed":20,"state":"ended"}"#),
    ("audit_forgotten", r#"{"before":"NINE","removed":2500}"#),
    ("customer_enrolled", r#"{"role":"customer"}"#),
    ("customer_updated", r#"{"fields":["phone"]}"#),
    ("customers_merged", r#"{"duplicate":"OTHER"}"#),
];

/// Events of providers' time, as they are stored: the word of the kind, and the data.
pub(super) fn stored() -> impl Iterator<Item = (ProviderEventKind, Value)> {
    let all = filled(EVENTS).into_iter();
    all.map(|(word, text)| (ProviderEventKind::parse(word).unwrap(), json(&text)))
}

fn json(text: &str) -> Value {
    serde_json::from_str(text).unwrap()
}

/// Reads each text of a table and writes it again; each kind that has data has a text, and the others are written
/// without.
macro_rules! reads_and_writes {
    ($samples:expr, $Kind:ident, $Data:ident) => {
        let samples = filled($samples);
        for (word, text) in &samples {
            let kind = $Kind::parse(word).unwrap();
            let data = $Data::decode(kind, json(text)).unwrap();
            assert!(!matches!(data, $Data::KindOnly(_)), "{word} {text}");
            assert_eq!(data.kind(), kind);
            assert_eq!(data.encode().unwrap().to_string(), *text, "{word}");
        }
        for kind in $Kind::ALL {
            assert_eq!($Kind::parse(kind.word()), Some(*kind));
            // As an erasure leaves it, and as kinds without data are stored.
            let bare = $Data::decode(*kind, json!({})).unwrap();
            let mut again = bare.encode().unwrap();
            again.as_object_mut().unwrap().retain(|_, value| !value.is_null());
            assert_eq!((bare.kind(), again), (*kind, json!({})));
            let is_sampled = samples.iter().any(|(word, _)| *word == kind.word());
            let has_data = $Data::decode(*kind, json!(5)).is_err();
            assert!(is_sampled || !has_data, "{} is not among the texts", kind.word());
        }
    };
}

#[test]
fn what_is_stored_of_each_kind_is_read_and_written_as_it_was() {
    reads_and_writes!(EVENTS, ProviderEventKind, EventData);
    reads_and_writes!(TYPES, TypeEventKind, TypeEvent);
    reads_and_writes!(USERS, UserEventKind, UserEvent);
    reads_and_writes!(AUDIT, AuditAction, AuditData);
}

#[test]
fn data_of_a_newer_version_are_read_as_far_as_they_are_known() {
    let newer = format!(r#"{{"customer":"{CUSTOMER}","end":"{TEN}","room":"3","start":"{NINE}"}}"#);
    let known = format!(r#"{{"customer":"{CUSTOMER}","end":"{TEN}","start":"{NINE}"}}"#);
    let data = EventData::decode(ProviderEventKind::AppointmentBooked, json(&newer)).unwrap();
    assert_eq!(
        data,
        EventData::decode(ProviderEventKind::AppointmentBooked, json(&known)).unwrap()
    );
}

#[test]
fn data_that_cannot_be_read_are_an_error() {
    for damaged in [json!(null), json!("x"), json!([]), json!({ "reason": 5 })] {
        assert!(EventData::decode(ProviderEventKind::AppointmentCancelled, damaged).is_err());
    }
    let half = json!({ "start": NINE });
    assert!(EventData::decode(ProviderEventKind::AppointmentBooked, half).is_err());
}

#[test]
fn hours_in_events_are_those_of_the_schedule_room() {
    let (_, text) = &filled(&EVENTS[2..3])[0];
    let data = EventData::decode(ProviderEventKind::ScheduleChanged, json(text)).unwrap();
    let EventData::ScheduleChanged(ScheduleChanged::Default(schedule)) = data else { panic!() };
    let week: WeeklyHours = schedule.hours.weekly_hours.read().unwrap();
    assert_eq!(week, serde_json::from_str(WEEK).unwrap());
}
