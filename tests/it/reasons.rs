//! Reasons that need a server in trouble, and what they tell. That each reason is provoked is in `provoked`.

use std::time::Duration;

use daybook::grpc::{
    policy::TABLE,
    proto::{
        auth::{GetMeRequest, UpdateMeRequest, User},
        booking::{
            BookAppointmentRequest, GetAppointmentRequest, GetScheduleRequest,
            ListAppointmentsRequest,
        },
    },
};
use futures_util::future::join_all;
use sea_orm::{ConnectionTrait, Database, DatabaseConnection};
use tonic::{Request, Status};
use tonic_types::StatusExt;

use crate::{
    conformance::behaviours,
    support::{
        Engine, World, berlin, options,
        people::{Person, booking, uuid},
        raw::{authorized, unary},
        refusal::{reason_of, refused},
    },
};

behaviours!(
    what_is_no_message_is_malformed,
    a_call_that_takes_too_long_is_told_and_can_be_retried,
    a_full_server_says_when_to_come_back,
    a_defect_says_nothing_of_the_inside,
);

/// How long to wait for what comes by itself.
const PATIENCE: Duration = Duration::from_secs(30);

async fn what_is_no_message_is_malformed(world: World) {
    let admin = world.admin().await;
    let bearer = format!("Bearer {}", admin.token);
    let before = world.state().await;
    for (path, ..) in TABLE.iter().filter(|(path, ..)| path.starts_with("/daybook.")) {
        for body in [
            // A tag without end, field 0, a group that does not end, a length beyond the message.
            &b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff"[..],
            b"\x00\x00",
            b"\x0b",
            b"\x0a\x7fx",
            b"{\"name\":\"users/x\"}",
        ] {
            let request = authorized(body.to_vec(), Some(&bearer));
            refused(unary(&world.channel, path, request).await, "MALFORMED_REQUEST");
        }
    }
    // Text that is not UTF-8, and a number where text should be.
    for body in [&b"\x0a\x02\xc3\x28"[..], b"\x08\x01"] {
        let request = authorized(body.to_vec(), Some(&bearer));
        let answer = unary(&world.channel, "/daybook.auth.v1.AuthService/GetUser", request).await;
        refused(answer, "MALFORMED_REQUEST");
    }
    // A deadline that cannot be read.
    for bad in ["banana", "1", "S", "-1S", "123456789S", "1 S"] {
        let mut request = admin.asks(GetMeRequest {});
        request.metadata_mut().insert("grpc-timeout", bad.parse().unwrap());
        refused(world.auth().get_me(request).await, "MALFORMED_REQUEST");
    }
    assert_eq!(world.state().await, before);
}

/// Keeps every writer of this database waiting until it is rolled back.
pub(crate) async fn hold(world: &World) -> DatabaseConnection {
    let mut options = options(&world.url);
    options.max_connections(1).min_connections(1);
    let db = Database::connect(options).await.unwrap();
    let sql = match world.engine {
        Engine::Sqlite => "BEGIN IMMEDIATE",
        Engine::Postgres => "BEGIN; SELECT 1 FROM providers FOR UPDATE",
    };
    db.execute_unprepared(sql).await.unwrap();
    db
}

async fn a_call_that_takes_too_long_is_told_and_can_be_retried(world: World) {
    // A second server on the same database is in more of a hurry.
    let hasty = world.beside_with(&[("server.default_deadline_ms", "300")]).await;
    let (provider, customer) = (world.provider().await, world.customer().await);
    for (from, until) in [("10:00", "10:30"), ("10:30", "11:00")] {
        let (from, until) = (format!("2026-11-23 {from}"), format!("2026-11-23 {until}"));
        let request = BookAppointmentRequest {
            request_id: uuid(),
            ..booking(&provider, berlin(&from), berlin(&until))
        };
        let held = hold(&world).await;
        let answer = hasty.booking().book_appointment(customer.asks(request.clone())).await;
        refused(answer, "DEADLINE_EXCEEDED");
        held.execute_unprepared("ROLLBACK").await.unwrap();
        // What was waiting may happen now, or it may not; the same request settles it.
        let again = world.booking().book_appointment(customer.asks(request)).await.unwrap();
        let booked = again.into_inner().appointment.unwrap();
        assert_eq!(booked.start_time, Some(berlin(&from)));
    }
    assert_eq!(world.count("SELECT count(*) FROM appointments").await, 2);
    assert_eq!(world.count("SELECT max(version) - count(*) FROM events").await, 0);
}

async fn a_full_server_says_when_to_come_back(world: World) {
    let world = World::with(world.engine, &[("server.max_in_flight", "1")]).await;
    let (provider, customer) = (world.provider().await, world.customer().await);
    let held = hold(&world).await;
    let (start, end) = (berlin("2026-11-23 10:00"), berlin("2026-11-23 10:30"));
    let full = async {
        let asking = async {
            loop {
                match world.auth().get_me(customer.asks(GetMeRequest {})).await {
                    Ok(_) => tokio::task::yield_now().await,
                    Err(status) => return status,
                }
            }
        };
        let status = tokio::time::timeout(PATIENCE, asking).await.expect("never full");
        held.execute_unprepared("ROLLBACK").await.unwrap();
        status
    };
    // The one place is taken by whoever comes first; the booking asks until it has it, and keeps it.
    let booked = async {
        loop {
            match world.book(&customer, &provider, start, end).await {
                Ok(booked) => return booked,
                Err(status) => assert_eq!(reason_of(&status), "OVERLOADED"),
            }
        }
    };
    let (booked, status) = tokio::join!(booked, full);
    assert_eq!(booked.start_time, Some(start));
    refused(Err::<(), _>(status.clone()), "OVERLOADED");
    let details = status.get_error_details();
    assert!(details.retry_info().unwrap().retry_delay.unwrap() > Duration::ZERO);
    // There is room again.
    world.auth().get_me(customer.asks(GetMeRequest {})).await.unwrap();
}

/// A request of this person with an id of its own for the call.
fn traced<T>(person: &Person, message: T) -> Request<T> {
    let mut request = person.asks(message);
    request.metadata_mut().insert("x-request-id", "trace-7".parse().unwrap());
    request
}

/// A defect is told as one, with the id of the call, and with nothing of the inside.
#[track_caller]
pub(crate) fn tells_nothing(status: &Status) {
    assert_eq!(reason_of(status), "INTERNAL");
    assert_eq!(status.metadata().get("x-request-id").unwrap(), "trace-7");
    let details = status.get_error_details();
    let all = format!("{status:?} {} {details:?}", status.message()).to_lowercase();
    for inside in [
        "sql",
        "select",
        "sqlx",
        "sea_orm",
        "sea-orm",
        "serde",
        "postgres",
        "column",
        " row",
        "::",
        "src/",
        ".rs",
        "atlantis",
        "unknown zone",
        "panicked",
        "argon2",
        "password",
        "users/",
        "expected",
        "line 1",
    ] {
        assert!(!all.contains(inside), "{inside:?} in {all}");
    }
}

async fn a_defect_says_nothing_of_the_inside(world: World) {
    let (provider, customer) = (world.provider().await, world.customer().await);
    let other = world.customer().await;
    let (start, end) = (berlin("2026-11-23 10:00"), berlin("2026-11-23 10:30"));
    let name = world.book(&customer, &provider, start, end).await.unwrap().name;
    let user = Some(User { display_name: "Grace".to_owned(), ..Default::default() });
    let update = UpdateMeRequest { user, request_id: uuid(), ..Default::default() };
    world.auth().update_me(other.asks(update.clone())).await.unwrap();
    let both = async |sql: &str| world.execute(sql, sql).await;

    both("UPDATE requests SET response = '{\"atlantis\": 1'").await;
    tells_nothing(&world.auth().update_me(traced(&other, update)).await.unwrap_err());

    both("UPDATE appointments SET time_zone = 'Atlantis!'").await;
    let get = GetAppointmentRequest { name };
    tells_nothing(&world.booking().get_appointment(traced(&customer, get)).await.unwrap_err());
    // A list goes on without it.
    let list = traced(&customer, ListAppointmentsRequest::default());
    let listed = world.booking().list_appointments(list).await.unwrap().into_inner();
    assert_eq!(listed.appointments, []);

    both("UPDATE providers SET weekly_hours = '[{\"day\": \"atlantis\"}]'").await;
    let get = GetScheduleRequest { name: provider.schedule() };
    tells_nothing(&world.schedule().get_schedule(traced(&customer, get)).await.unwrap_err());
    let (start, end) = (berlin("2026-11-23 11:00"), berlin("2026-11-23 11:30"));
    let book = traced(&other, booking(&provider, start, end));
    let answer = world.booking().book_appointment(book).await;
    match world.engine {
        Engine::Sqlite => tells_nothing(&answer.unwrap_err()),
        // The fast path reads the remembered hours, which are those of this version.
        Engine::Postgres => {
            assert_eq!(answer.unwrap().into_inner().appointment.unwrap().start_time, Some(start))
        }
    }

    let person = world.customer().await;
    both("UPDATE users SET password_hash = 'atlantis'").await;
    let log_in = daybook::grpc::proto::auth::LogInRequest {
        email: person.user.email.clone(),
        password: crate::support::people::PASSWORD.to_owned(),
        ..daybook::grpc::proto::auth::LogInRequest::default()
    };
    let mut request = Request::new(log_in);
    request.metadata_mut().insert("x-request-id", "trace-7".parse().unwrap());
    tells_nothing(&world.auth().log_in(request).await.unwrap_err());
    both("UPDATE users SET time_zone = 'Atlantis!'").await;
    tells_nothing(&world.auth().get_me(traced(&person, GetMeRequest {})).await.unwrap_err());
    // Without an id of the caller's own the call has one all the same.
    let status = world.auth().get_me(person.asks(GetMeRequest {})).await.unwrap_err();
    let id = status.metadata().get("x-request-id").unwrap().to_str().unwrap();
    assert_eq!(id.len(), 36);
}

/// A booking whose database session ends at the commit.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_commit_without_an_answer_is_settled_by_the_same_request() {
    let world = World::new(Engine::Postgres).await;
    let (provider, customer) = (world.provider().await, world.customer().await);
    let db = world.sql().await;
    let request = |from: &str, until: &str, request_id: String| {
        let (from, until) = (format!("2026-11-23 {from}"), format!("2026-11-23 {until}"));
        let plain = booking(&provider, berlin(&from), berlin(&until));
        BookAppointmentRequest { request_id, ..plain }
    };
    let book = async |request: BookAppointmentRequest| {
        world.booking().book_appointment(customer.asks(request)).await
    };
    db.execute_unprepared(
        "CREATE FUNCTION die() RETURNS trigger LANGUAGE plpgsql AS
            $$ BEGIN PERFORM pg_terminate_backend(pg_backend_pid()); RETURN NULL; END $$",
    )
    .await
    .unwrap();
    let on = "CREATE CONSTRAINT TRIGGER die AFTER INSERT ON events DEFERRABLE INITIALLY DEFERRED
        FOR EACH ROW EXECUTE FUNCTION die()";
    let off = "DROP TRIGGER die ON events";
    // The long way, then the fast one with an id and without.
    let long = request("10:00", "10:30", uuid());
    let fast = request("10:30", "11:00", uuid());
    for request in [long, fast] {
        db.execute_unprepared(on).await.unwrap();
        refused(book(request.clone()).await, "OUTCOME_UNKNOWN");
        db.execute_unprepared(off).await.unwrap();
        book(request.clone()).await.unwrap();
        book(request).await.unwrap();
    }
    db.execute_unprepared(on).await.unwrap();
    refused(book(request("11:00", "11:30", String::new())).await, "OUTCOME_UNKNOWN");
    db.execute_unprepared(off).await.unwrap();
    assert_eq!(world.count("SELECT count(*) FROM appointments").await, 2);
    assert_eq!(world.count("SELECT max(version) - count(*) FROM events").await, 0);
}

/// The database is shut to new sessions, and those that there are end.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn while_the_database_is_away_calls_are_told_so_and_then_go_on() {
    let world = World::new(Engine::Postgres).await;
    let people = [world.customer().await, world.provider().await];
    let (server, name) = world.url.rsplit_once('/').unwrap();
    let control = Database::connect(options(&format!("{server}/postgres"))).await.unwrap();
    let shut = format!(
        "ALTER DATABASE {name} ALLOW_CONNECTIONS false;
         SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{name}'"
    );
    control.execute_unprepared(&shut).await.unwrap();
    let ask = async || {
        let asked = people.iter().map(async |person| {
            world.auth().get_me(person.asks(GetMeRequest {})).await.map(|_| ())
        });
        join_all(asked).await
    };
    // Every call is told the same, from the first one on.
    for _ in 0..20 {
        for answer in ask().await {
            let status = refused(answer, "DATABASE_UNAVAILABLE");
            assert!(status.get_error_details().retry_info().is_some());
        }
    }
    let open = format!("ALTER DATABASE {name} ALLOW_CONNECTIONS true");
    control.execute_unprepared(&open).await.unwrap();
    let back = async {
        while ask().await.iter().any(Result::is_err) {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(PATIENCE, back).await.expect("the server does not recover by itself");
}
