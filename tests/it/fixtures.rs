//! What an earlier version stored is served: databases with every kind of row, made by that version and kept in
//! `tests/fixtures`, and what it answered about them.

use std::{collections::BTreeSet, fs, path::PathBuf, sync::Arc};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use chrono::{DateTime, TimeDelta, Utc};
use daybook::{
    accounts::audit::AuditAction,
    events::{ProviderEventKind, types::TypeEventKind, users::UserEventKind},
    grpc::proto::{
        auth::{
            CompleteLogInRequest, ConfirmEmailChangeRequest, LogInRequest, RefreshTokensRequest,
            VerifyEmailRequest,
        },
        booking::{BookAppointmentRequest, ListHoldsRequest},
    },
};
use prost::Message as _;
use prost_reflect::{DynamicMessage, MessageDescriptor};
use sea_orm::{ConnectionTrait as _, DatabaseConnection, Statement};
use serde_json::Value;
use tonic::Request;

use crate::{
    support::{
        Engine, World, books,
        people::{uuid, with_token},
        postgres,
        process::session,
        raw,
        refusal::refused,
    },
    surface::api,
};

/// The last migration of the version that made them.
const FROM: &str = "0025";

/// Tables without a row in the fixture, and why.
const EMPTY: &[(&str, &str)] = &[
    ("erasures", "a row lasts only until the appointments of an erased account are anonymous"),
    ("event_heads", "came later; whoever reads the order of events makes its rows"),
    ("event_positions", "came later; whoever reads the order of events makes its rows"),
];

/// Kinds that are not among the stored events, and why.
const MISSING: &[(&str, &str)] = &[(
    "audit_forgotten",
    "only days that are over are forgotten, and the fixture is made in minutes",
)];

/// A fixture as it was brought up to this version, and what is known of it.
struct Fixture {
    world: World,
    facts: Value,
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_else(|| panic!("no text: {value}"))
}

fn bytes(value: &Value) -> Vec<u8> {
    STANDARD.decode(text(value)).unwrap()
}

fn kept(name: &str) -> PathBuf {
    [env!("CARGO_MANIFEST_DIR"), "tests/fixtures", FROM, name].iter().collect()
}

impl Fixture {
    /// Restores it, and lets the program under test migrate it; a server serves it, at the moment when it was made.
    async fn of(engine: Engine) -> Self {
        let folder = tempfile::tempdir().unwrap();
        fs::copy(kept("master-key"), folder.path().join("master-key")).unwrap();
        let (url, facts) = match engine {
            Engine::Sqlite => {
                let path = folder.path().join("daybook.db");
                fs::copy(kept("daybook.db"), &path).unwrap();
                (format!("sqlite:{}", path.display()), "sqlite.json")
            }
            Engine::Postgres => {
                let url = postgres::database().await;
                let db = session(&url).await;
                let dump = fs::read_to_string(kept("daybook.sql")).unwrap();
                db.execute_unprepared(&dump).await.unwrap();
                db.close().await.unwrap();
                (url, "postgres.json")
            }
        };
        let migrated = tokio::process::Command::new(env!("CARGO_BIN_EXE_daybook"))
            .args(["--database-url", &url, "migrate", "up"])
            .current_dir(folder.path())
            .output()
            .await
            .unwrap();
        assert!(migrated.status.success(), "{}", String::from_utf8_lossy(&migrated.stderr));
        let facts: Value = serde_json::from_slice(&fs::read(kept(facts)).unwrap()).unwrap();
        let made = DateTime::<Utc>::from_timestamp(facts["made"].as_i64().unwrap(), 0).unwrap();
        let world = World::on_at(engine, url, Arc::new(folder), made).await;
        Self { world, facts }
    }

    /// A call as it was recorded, with the token of before; the answer as bytes.
    async fn again(&self, call: &Value) -> Vec<u8> {
        let token =
            call["by"].as_str().map(|by| format!("Bearer {}", text(&self.facts["tokens"][by])));
        let mut request = raw::authorized(bytes(&call["request"]), token.as_deref());
        if let Some(user) = call["acts_for"].as_str() {
            request.metadata_mut().insert("x-daybook-act-for", user.parse().unwrap());
        }
        let path = format!("/{}", text(&call["method"]));
        let answer = raw::unary(&self.world.channel, &path, request).await;
        answer.unwrap_or_else(|refusal| panic!("{path}: {refusal}")).into_inner()
    }

    /// What is answered otherwise than by the version before, each with both answers.
    async fn differences(&self) -> Vec<String> {
        let mut found = Vec::new();
        let calls = self.facts["answers"].as_array().unwrap();
        assert!(calls.len() > 60, "{}", calls.len());
        for call in calls {
            let kind = answer_of(text(&call["method"]));
            let read = |bytes: &[u8]| DynamicMessage::decode(kind.clone(), bytes).unwrap();
            let (before, now) = (read(&bytes(&call["answer"])), read(&self.again(call).await));
            if before != now {
                found.push(format!("{}:\n{before}\n{now}", call["method"]));
            }
        }
        found
    }

    async fn db(&self) -> DatabaseConnection {
        self.world.sql().await
    }

    fn by<T>(&self, who: &str, message: T) -> Request<T> {
        with_token(message, text(&self.facts["tokens"][who]))
    }
}

/// The type of a method's answer.
fn answer_of(method: &str) -> MessageDescriptor {
    let (service, name) = method.split_once('/').unwrap();
    let service = api().get_service_by_name(service).unwrap();
    service.methods().find(|method| method.name() == name).unwrap().output()
}

/// All that is asked is answered as before; tokens, keys, codes, passwords and answers of before are good.
async fn what_an_earlier_version_stored_is_served(engine: Engine) {
    let fixture = Fixture::of(engine).await;
    let (world, facts) = (&fixture.world, &fixture.facts);
    let differ = fixture.differences().await;
    assert!(differ.is_empty(), "{}", differ.join("\n\n"));

    // The answer of a request that is repeated is the one of before; with another body it is refused.
    let once = &facts["booked_once"];
    assert_eq!(fixture.again(once).await, bytes(&once["answer"]));
    let mut other = BookAppointmentRequest::decode(&*bytes(&once["request"])).unwrap();
    other.note.push_str(", changed");
    let repeated = world.booking().book_appointment(fixture.by("cleo", other.clone())).await;
    refused(repeated, "REQUEST_ID_REUSED");
    // Taken time is taken, free time is not.
    other.request_id = uuid();
    let taken = world.booking().book_appointment(fixture.by("otto", other.clone())).await;
    refused(taken, "SLOT_TAKEN");
    for at in [&mut other.start_time, &mut other.end_time] {
        at.as_mut().unwrap().seconds += 28 * 86_400;
    }
    other.request_id = uuid();
    world.booking().book_appointment(fixture.by("otto", other)).await.unwrap();
    // A hold becomes an appointment.
    let hold = text(&facts["hold"]).to_owned();
    let request = BookAppointmentRequest { hold: hold.clone(), ..Default::default() };
    let booked = world.booking().book_appointment(fixture.by("vera", request)).await.unwrap();
    let booked = booked.into_inner().appointment.unwrap();
    assert_eq!(booked.name, hold.replace("/holds/", "/appointments/"));
    let left = world.booking().list_holds(fixture.by("vera", ListHoldsRequest::default())).await;
    assert!(left.unwrap().into_inner().holds.is_empty());

    // Log-ins: by password, by refresh token, by an authenticator app, by a recovery code.
    let log_in = async |email: &str| {
        let (email, password) = (email.to_owned(), text(&facts["password"]).to_owned());
        let request = LogInRequest { email, password, ..Default::default() };
        world.auth().log_in(request).await.unwrap().into_inner()
    };
    for who in ["root", "ada", "cleo", "ulla"] {
        assert!(!log_in(&format!("{who}@example.org")).await.access_token.is_empty(), "{who}");
    }
    let refresh_token = text(&facts["refresh_token"]).to_owned();
    world.auth().refresh_tokens(RefreshTokensRequest { refresh_token }).await.unwrap();
    let app = crate::support::totp::App::of(&daybook::grpc::proto::auth::TotpSecret {
        secret: text(&facts["totp_secret"]).to_owned(),
        ..Default::default()
    });
    world.forward(TimeDelta::seconds(60));
    let by_code = CompleteLogInRequest { code: world.code(&app), ..Default::default() };
    let recovery_code = text(&facts["recovery_code"]).to_owned();
    for request in [by_code, CompleteLogInRequest { recovery_code, ..Default::default() }] {
        let challenge = log_in("tom@example.org").await.second_step.unwrap().challenge;
        let request = CompleteLogInRequest { challenge, ..request };
        world.auth().complete_log_in(request).await.unwrap();
    }
    // Codes that were sent, and emails that were not.
    let code = text(&facts["verification_code"]).to_owned();
    world.email().verify_email(VerifyEmailRequest { code, ..Default::default() }).await.unwrap();
    let code = text(&facts["email_change_code"]).to_owned();
    let request = ConfirmEmailChangeRequest { code, ..Default::default() };
    world.email().confirm_email_change(request).await.unwrap();
    world.forward(TimeDelta::hours(1));
    let (sending, mail) = world.mailing(&[]).await;
    assert!(mail.letter("cleo@example.org").await.body.contains("password"));
    sending.nothing_waits().await;
    books::check(&fixture.db().await).await;
}

/// The first column of each row.
async fn column(db: &DatabaseConnection, sql: &str) -> BTreeSet<String> {
    let rows = db.query_all_raw(Statement::from_string(db.get_database_backend(), sql)).await;
    rows.unwrap().iter().map(|row| row.try_get_by_index(0).unwrap()).collect()
}

/// So that what is compared above is all that there is.
async fn every_kind_of_row_is_in_the_fixture(engine: Engine) {
    let fixture = Fixture::of(engine).await;
    let db = fixture.db().await;
    let tables = match engine {
        Engine::Sqlite => {
            "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%'"
        }
        Engine::Postgres => {
            "SELECT table_name::text FROM information_schema.tables WHERE table_schema = 'public'"
        }
    };
    let tables = column(&db, tables).await;
    assert!(tables.len() > 20, "{tables:?}");
    let mut empty = BTreeSet::new();
    for table in tables {
        if books::number(&db, &format!("SELECT count(*) FROM {table}")).await == 0 {
            empty.insert(table);
        }
    }
    let excepted = |all: &[(&str, &str)]| all.iter().map(|(name, _)| (*name).to_owned()).collect();
    let expected: BTreeSet<String> = excepted(EMPTY);
    assert_eq!(empty, expected);
    books::check(&db).await;

    let states = column(&db, "SELECT DISTINCT state FROM appointments").await;
    let all = ["booked", "cancelled", "completed", "declined", "held", "no_show", "pending"];
    assert_eq!(states, all.map(str::to_owned).into());
    let kinds: [(&str, Vec<&str>); 4] = [
        ("events", ProviderEventKind::ALL.iter().map(|kind| kind.word()).collect()),
        ("type_events", TypeEventKind::ALL.iter().map(|kind| kind.word()).collect()),
        ("user_events", UserEventKind::ALL.iter().map(|kind| kind.word()).collect()),
        ("audit_events", AuditAction::ALL.iter().map(|kind| kind.word()).collect()),
    ];
    let mut missing = BTreeSet::new();
    for (table, words) in kinds {
        let stored = column(&db, &format!("SELECT DISTINCT kind FROM {table}")).await;
        missing.extend(words.into_iter().filter(|word| !stored.contains(*word)).map(str::to_owned));
    }
    let expected: BTreeSet<String> = excepted(MISSING);
    assert_eq!(missing, expected);
}

/// One changed or lost row is enough for another answer.
async fn a_damaged_row_is_noticed(engine: Engine) {
    for damage in [
        "UPDATE appointments SET note = 'damaged' WHERE note = 'the first'",
        "UPDATE events SET kind = 'appointment_noted' WHERE kind = 'appointment_updated'",
        "DELETE FROM offerings WHERE schedule_id IS NOT NULL",
    ] {
        let fixture = Fixture::of(engine).await;
        let done = fixture.db().await.execute_unprepared(damage).await.unwrap();
        assert_eq!(done.rows_affected(), 1, "{damage}");
        assert!(!fixture.differences().await.is_empty(), "{damage}");
    }
}

macro_rules! on_both_engines {
    ($($test:ident: $sqlite:ident, $postgres:ident;)*) => {
        $(
            #[tokio::test(flavor = "multi_thread")]
            async fn $sqlite() {
                $test(Engine::Sqlite).await;
            }

            #[tokio::test(flavor = "multi_thread")]
            async fn $postgres() {
                $test(Engine::Postgres).await;
            }
        )*
    };
}

on_both_engines! {
    what_an_earlier_version_stored_is_served:
        what_an_earlier_version_stored_is_served_on_sqlite,
        what_an_earlier_version_stored_is_served_on_postgres;
    every_kind_of_row_is_in_the_fixture:
        every_kind_of_row_is_in_the_fixture_on_sqlite,
        every_kind_of_row_is_in_the_fixture_on_postgres;
    a_damaged_row_is_noticed: a_damaged_row_is_noticed_on_sqlite, a_damaged_row_is_noticed_on_postgres;
}
