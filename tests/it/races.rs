//! Many callers at once: exactly the bookings that fit, and nothing else goes wrong.

use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use daybook::{
    grpc::proto::{
        auth::Role,
        booking::{
            CancelAppointmentRequest, CompleteAppointmentRequest, GetAppointmentRequest,
            booking_service_client::BookingServiceClient,
        },
    },
    storage::entity::appointments::{self, Column},
};
use futures_util::future::join_all;
use prost::Message;
use prost_types::Timestamp;
use sea_orm::{
    ColumnTrait, ConnectionTrait, DatabaseConnection, DbErr, EntityTrait, IntoActiveModel,
    QueryFilter,
};
use tokio::{
    sync::{Barrier, Mutex},
    time::Instant,
};
use tonic::{Status, transport::Channel};

use crate::support::{
    Engine, World, berlin,
    books::{self, number},
    instant,
    people::{Person, booking, uuid},
    postgres,
    process::{Process, day, minutes, random, until},
    refusal::{reason_of, refused},
    rounds,
};

/// How many call at once.
const CALLERS: usize = 64;
const HOUR: i64 = 60;

/// A wish, in minutes, and what became of it.
struct Outcome {
    wish: (i64, i64),
    answer: Result<String, Status>,
    took: Duration,
}

/// All callers book what `wish` says for them and the round, round after round, each round at once.
async fn race(
    channels: &[Channel],
    provider: &Person,
    customers: &[Person],
    rounds: usize,
    wish: impl Fn(i64, i64) -> (i64, i64) + Copy + Send + 'static,
) -> Vec<Outcome> {
    let together = Arc::new(Barrier::new(customers.len()));
    let day = day();
    let callers = customers.iter().enumerate().map(|(number, customer)| {
        let together = Arc::clone(&together);
        let mut client = BookingServiceClient::new(channels[number % channels.len()].clone());
        let (customer, provider) = (customer.clone(), provider.clone());
        tokio::spawn(async move {
            let mut outcomes = Vec::new();
            for round in 0..rounds {
                let wish = wish(i64::try_from(number).unwrap(), i64::try_from(round).unwrap());
                let request = customer.asks(minutes(&provider, day, wish));
                together.wait().await;
                let began = Instant::now();
                let answer = client.book_appointment(request).await;
                let answer = answer.map(|answer| answer.into_inner().appointment.unwrap().name);
                outcomes.push(Outcome { wish, answer, took: began.elapsed() });
            }
            outcomes
        })
    });
    join_all(callers).await.into_iter().flat_map(Result::unwrap).collect()
}

/// The winners are disjoint, every loser is in the way of a winner and was told `SLOT_TAKEN`, and the
/// database holds the winners and nothing else. Returns how many won.
async fn exactly_what_fits(what: &str, outcomes: &[Outcome], db: &DatabaseConnection) -> usize {
    let overlap = |a: (i64, i64), b: (i64, i64)| a.0 < b.1 && b.0 < a.1;
    let (won, lost): (Vec<_>, Vec<_>) = outcomes.iter().partition(|o| o.answer.is_ok());
    for (place, one) in won.iter().enumerate() {
        for other in &won[..place] {
            assert!(!overlap(one.wish, other.wish), "{:?} and {:?}", one.wish, other.wish);
        }
    }
    for loser in &lost {
        let status = loser.answer.as_ref().unwrap_err();
        assert_eq!(reason_of(status), "SLOT_TAKEN", "{status:?}");
        assert!(won.iter().any(|won| overlap(won.wish, loser.wish)), "{:?} fits", loser.wish);
    }
    let stored = books::check(db).await;
    for winner in &won {
        let name = winner.answer.as_ref().unwrap();
        assert_eq!(stored.get(name).map(String::as_str), Some("booked"), "{name}");
    }
    let slowest = outcomes.iter().map(|o| o.took).max().unwrap();
    println!("{what}: {} calls, {} won, slowest call {slowest:?}", outcomes.len(), won.len());
    if std::env::var_os("TEST_FULL").is_some() {
        assert!(slowest < Duration::from_secs(1), "{what}: a call took {slowest:?}");
    }
    won.len()
}

/// Callers of these processes, which share a database: the same hours, then staggered ones.
async fn callers_race(what: &str, processes: &mut [Process]) {
    let first = &processes[0];
    let customers = first.customers(CALLERS).await;
    let (one, two) = (first.provider().await, first.provider().await);
    let mut channels = Vec::new();
    for process in processes.iter() {
        for _ in 0..2 {
            channels.push(process.connect().await);
        }
    }
    let hours = rounds(8, 200);

    let db = first.sql().await;
    let same = |_, round| (round * HOUR, (round + 1) * HOUR);
    let outcomes = race(&channels, &one, &customers, hours, same).await;
    let won = exactly_what_fits(&format!("{what}, identical"), &outcomes, &db).await;
    assert_eq!(won, hours, "one winner an hour");
    assert_eq!(books::check(&db).await.len(), hours);

    // An hour each, a quarter of an hour apart, over the end of the round before: 64 callers on
    // eight starts. Days after the first race, for a customer has one place at a time.
    let staggered = |caller: i64, round: i64| {
        let from = 14 * 24 * HOUR + round * 2 * HOUR + caller % 8 * 15;
        (from, from + HOUR)
    };
    let outcomes = race(&channels, &two, &customers, hours, staggered).await;
    let more = exactly_what_fits(&format!("{what}, staggered"), &outcomes, &db).await;
    assert!(more >= hours, "{more}");
    assert_eq!(books::check(&db).await.len(), won + more);
    db.close().await.unwrap();

    let url = first.url.clone();
    for process in processes.iter_mut() {
        process.signal(rustix::process::Signal::TERM);
        assert!(process.ended().await.success());
        let log = process.log();
        assert!(!log.contains("a defect") && !log.contains("giving up"), "{log}");
    }
    if processes[0].engine == Engine::Postgres {
        no_deadlock(&url).await;
    }
}

/// Neither counted nor logged by PostgreSQL. Sessions hand in their counts when they end.
pub async fn no_deadlock(url: &str) {
    let db = crate::support::process::session(url).await;
    let gone = "SELECT count(*) FROM pg_stat_activity
        WHERE datname = current_database() AND application_name = 'daybook'";
    until(10, "the sessions end", async || number(&db, gone).await == 0).await;
    let deadlocks = "SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()";
    assert_eq!(number(&db, deadlocks).await, 0);
    let row = sea_orm::Statement::from_string(db.get_database_backend(), "SHOW data_directory");
    let row = db.query_one_raw(row).await.unwrap().unwrap();
    let folder: String = row.try_get_by_index(0).unwrap();
    let log = std::fs::read(postgres::log_file(folder.as_ref())).unwrap();
    let name = url.rsplit('/').next().unwrap().split('?').next().unwrap();
    let log = String::from_utf8_lossy(&log);
    let of_this_database = format!("] {name} ERROR:  deadlock detected");
    assert!(!log.contains(&of_this_database), "{of_this_database}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn callers_of_sqlite() {
    callers_race("SQLite", &mut [Process::start(Engine::Sqlite, &[]).await]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn callers_of_postgres() {
    callers_race("PostgreSQL", &mut [Process::start(Engine::Postgres, &[]).await]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn callers_of_two_processes() {
    let one = Process::start(Engine::Postgres, &[]).await;
    let two = one.twin().await;
    callers_race("two processes", &mut [one, two]).await;
}

/// 64 parallel calls with one request id: one effect, and one answer to the byte.
async fn one_request(processes: &[Process]) {
    let (provider, customers) = (processes[0].provider().await, processes[0].customers(1).await);
    let customer = &customers[0];
    let client = |caller: usize| processes[caller % processes.len()].booking();
    let db = processes[0].sql().await;
    for round in 0..i64::try_from(rounds(4, 40)).unwrap() {
        let request = minutes(&provider, day(), (round * HOUR, round * HOUR + HOUR));
        let answers = join_all((0..CALLERS).map(|caller| {
            let (mut client, request) = (client(caller), customer.asks(request.clone()));
            async move { client.book_appointment(request).await.unwrap().into_inner() }
        }));
        let answers = answers.await;
        for answer in &answers {
            assert_eq!(answer.encode_to_vec(), answers[0].encode_to_vec());
        }
        let appointment = answers[0].appointment.clone().unwrap();
        let get = GetAppointmentRequest { name: appointment.name.clone() };
        let stored = client(1).get_appointment(customer.asks(get)).await.unwrap().into_inner();
        assert_eq!(stored.appointment.as_ref(), Some(&appointment));

        // The same for its cancellation.
        let (name, request_id) = (appointment.name, uuid());
        let request = CancelAppointmentRequest { name, request_id, ..Default::default() };
        let answers = join_all((0..CALLERS).map(|caller| {
            let (mut client, request) = (client(caller), customer.asks(request.clone()));
            async move { client.cancel_appointment(request).await.unwrap().into_inner() }
        }));
        let answers = answers.await;
        assert!(answers.iter().all(|a| a.encode_to_vec() == answers[0].encode_to_vec()));
        assert_eq!(books::check(&db).await.len(), usize::try_from(round).unwrap() + 1);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_request_id_on_sqlite() {
    one_request(&[Process::start(Engine::Sqlite, &[]).await]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_request_id_on_two_processes() {
    let one = Process::start(Engine::Postgres, &[]).await;
    let two = one.twin().await;
    one_request(&[one, two]).await;
}

/// Book against cancel against complete, while the clock jumps over the starts and back.
async fn life_and_death(worlds: &[World]) {
    const CLOCKS: [&str; 2] = ["2026-11-22 13:00", "2026-11-23 12:30"];
    // A minute each, the last one before the later clock.
    const SLOTS: usize = 205;
    let provider = worlds[0].provider().await;
    let mut customers = Vec::new();
    for _ in 0..16 {
        customers.push(worlds[0].customer().await);
    }
    let opens = berlin("2026-11-23 09:00").seconds;
    // Every appointment with its customer, and the ends that callers were told.
    let known: Mutex<Vec<(String, usize)>> = Mutex::default();
    let ends: Mutex<HashMap<String, Vec<&str>>> = Mutex::default();
    let refusals: Mutex<HashMap<String, usize>> = Mutex::default();
    // Completed appointments claim their time for ever, so the callers move on along the day.
    let completed = AtomicUsize::new(0);

    let act = async |caller: usize| {
        let mut client = worlds[caller % worlds.len()].booking();
        for _ in 0..rounds(25, 500) {
            if random(16) == 0 {
                let clock = instant(CLOCKS[random(2)], "Europe/Berlin");
                for world in worlds {
                    world.clock.set(clock);
                }
            }
            let some = {
                let known = known.lock().await;
                // Of the last few, so that callers meet.
                let few = known.len().min(6);
                (few > 0).then(|| known[known.len() - 1 - random(few)].clone())
            };
            let (allowed, result): (&[&str], _) = match (random(3), some) {
                (0, _) | (_, None) => {
                    let slot = completed.load(Ordering::SeqCst) + random(6);
                    if slot >= SLOTS {
                        return;
                    }
                    let at = |slot: usize| Timestamp {
                        seconds: opens + 60 * i64::try_from(slot).unwrap(),
                        nanos: 0,
                    };
                    let who = random(customers.len());
                    let request = customers[who].asks(booking(&provider, at(slot), at(slot + 1)));
                    let answer = client.book_appointment(request).await;
                    let answer = answer.map(|answer| answer.into_inner().appointment.unwrap());
                    if let Ok(appointment) = &answer {
                        known.lock().await.push((appointment.name.clone(), who));
                    }
                    (&["SLOT_TAKEN", "IN_THE_PAST"], answer.map(|_| None))
                }
                (1, Some((name, who))) => {
                    let by = if random(2) == 0 { &customers[who] } else { &provider };
                    let request =
                        CancelAppointmentRequest { name: name.clone(), ..Default::default() };
                    let answer = client.cancel_appointment(by.asks(request)).await;
                    let allowed = &["WRONG_STATE", "TOO_LATE"];
                    (allowed, answer.map(|_| Some((name, "cancelled"))))
                }
                (_, Some((name, _))) => {
                    let request =
                        CompleteAppointmentRequest { name: name.clone(), ..Default::default() };
                    let answer = client.complete_appointment(provider.asks(request)).await;
                    let allowed = &["WRONG_STATE", "NOT_STARTED"];
                    (allowed, answer.map(|_| Some((name, "completed"))))
                }
            };
            match result {
                Ok(Some((name, end))) => {
                    ends.lock().await.entry(name).or_default().push(end);
                    if end == "completed" {
                        completed.fetch_add(1, Ordering::SeqCst);
                    }
                }
                Ok(None) => {}
                Err(status) => {
                    let reason = reason_of(&status);
                    assert!(allowed.contains(&reason.as_str()), "{status:?}");
                    *refusals.lock().await.entry(reason).or_default() += 1;
                }
            }
        }
    };
    join_all((0..32).map(act)).await;

    let stored = books::check(&worlds[0].sql().await).await;
    let (known, ends, refusals) = (known.into_inner(), ends.into_inner(), refusals.into_inner());
    assert_eq!(stored.len(), known.len());
    for (name, _) in &known {
        match ends.get(name).map(Vec::as_slice) {
            None => assert_eq!(stored[name], "booked"),
            Some([end]) => assert_eq!(stored[name], *end),
            Some(several) => panic!("{name} ended more than once: {several:?}"),
        }
    }
    println!("{} booked, {} ended, refused: {refusals:?}", known.len(), ends.len());
    assert!(ends.len() > 8 && refusals.contains_key("WRONG_STATE"), "the callers never met");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_state_machine_holds_on_sqlite() {
    life_and_death(&[World::new(Engine::Sqlite).await]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_state_machine_holds_on_two_servers() {
    let folder = tempfile::tempdir().unwrap();
    let key = folder.path().join("shared-key").display().to_string();
    let url = postgres::database().await;
    let mut worlds = Vec::new();
    for _ in 0..2 {
        let settings = [("auth.master_key_file", key.as_str())];
        let own = tempfile::tempdir().unwrap();
        worlds.push(World::on(Engine::Postgres, url.clone(), own, &settings).await);
    }
    life_and_death(&worlds).await;
}

/// The database itself refuses overlaps, whoever writes.
async fn the_database_refuses(engine: Engine) {
    let world = World::new(engine).await;
    let (one, two) = (world.person(Role::Provider).await, world.person(Role::Provider).await);
    let (ann, bob) = (world.customer().await, world.customer().await);
    let at = |time: &str| berlin(&format!("2026-11-23 {time}"));
    world.book(&ann, &one, at("10:00"), at("11:00")).await.unwrap();
    world.book(&bob, &one, at("12:00"), at("13:00")).await.unwrap();
    world.book(&bob, &two, at("14:00"), at("15:00")).await.unwrap();
    let db = world.sql().await;
    let rows = appointments::Entity::find().all(&db).await.unwrap();
    let starting = |time: &str| {
        let start = instant(&format!("2026-11-23 {time}"), "Europe/Berlin");
        rows.iter().find(|row| row.starts_at == start).unwrap().clone()
    };
    let (anns, bobs, elsewhere) = (starting("10:00"), starting("12:00"), starting("14:00"));

    // A new row, at every sort of overlap with 10:00 to 11:00.
    let insert = async |from: &str, until: &str, state: &str, like: &appointments::Model| {
        let mut row = like.clone();
        row.appointment_id = uuid().parse().unwrap();
        row.starts_at = instant(&format!("2026-11-23 {from}"), "Europe/Berlin");
        row.ends_at = instant(&format!("2026-11-23 {until}"), "Europe/Berlin");
        (row.claim_starts_at, row.claim_ends_at) = (row.starts_at, row.ends_at);
        row.state = state.to_owned();
        let id = row.appointment_id;
        let row = row.into_active_model();
        appointments::Entity::insert(row).exec_without_returning(&db).await.map(|_| id)
    };
    let theirs = appointments::Model { customer_id: bobs.customer_id, ..anns.clone() };
    let busy = appointments::Model { provider_id: elsewhere.provider_id, ..anns.clone() };
    for (from, until) in [
        ("10:00", "11:00"),
        ("09:30", "10:00:01"),
        ("10:59:59", "11:30"),
        ("10:20", "10:40"),
        ("09:00", "11:59"),
    ] {
        for state in ["booked", "completed"] {
            breaks(insert(from, until, state, &theirs).await, "appointments_provider_overlap");
            breaks(insert(from, until, state, &busy).await, "appointments_customer_overlap");
        }
    }
    // What does not overlap, or claims nothing, may stand.
    insert("11:00", "12:00", "booked", &theirs).await.unwrap();
    insert("09:00", "10:00", "completed", &theirs).await.unwrap();
    let asleep = insert("10:15", "10:45", "cancelled", &theirs).await.unwrap();
    let away = insert("10:15", "10:45", "cancelled", &busy).await.unwrap();

    // Changes of a row that stands.
    let change = async |id, column: Column, value: sea_orm::sea_query::SimpleExpr| {
        let mut update = appointments::Entity::update_many().col_expr(column, value.clone());
        // The claim goes with the interval.
        if matches!(column, Column::StartsAt) {
            update = update.col_expr(Column::ClaimStartsAt, value);
        } else if matches!(column, Column::EndsAt) {
            update = update.col_expr(Column::ClaimEndsAt, value);
        }
        update.filter(Column::AppointmentId.eq(id)).exec(&db).await
    };
    for state in ["booked", "completed"] {
        let back = change(asleep, Column::State, state.into()).await;
        breaks(back, "appointments_provider_overlap");
        let back = change(away, Column::State, state.into()).await;
        breaks(back, "appointments_customer_overlap");
    }
    let earlier = change(bobs.appointment_id, Column::StartsAt, anns.starts_at.into()).await;
    breaks(earlier, "appointments_provider_overlap");
    let later = change(anns.appointment_id, Column::EndsAt, bobs.ends_at.into()).await;
    breaks(later, "appointments_provider_overlap");
    let to_one = appointments::Entity::update_many()
        .col_expr(Column::ProviderId, bobs.provider_id.into())
        .col_expr(Column::StartsAt, bobs.starts_at.into())
        .col_expr(Column::ClaimStartsAt, bobs.starts_at.into())
        .filter(Column::AppointmentId.eq(elsewhere.appointment_id));
    breaks(to_one.exec(&db).await, "appointments_provider_overlap");
    let to_two = appointments::Entity::update_many()
        .col_expr(Column::StartsAt, bobs.starts_at.into())
        .col_expr(Column::ClaimStartsAt, bobs.starts_at.into())
        .filter(Column::AppointmentId.eq(elsewhere.appointment_id));
    breaks(to_two.exec(&db).await, "appointments_customer_overlap");
    // Empty, backwards and overlong intervals, also of rows that claim nothing.
    let start = instant("2026-11-23 10:15", "Europe/Berlin");
    for ends_at in [start, anns.starts_at, start + chrono::TimeDelta::hours(25)] {
        breaks(change(asleep, Column::EndsAt, ends_at.into()).await, "appointments_length");
    }
    breaks(change(bobs.appointment_id, Column::State, "gone".into()).await, "state");
    let stored = "SELECT count(*) FROM appointments WHERE state <> 'cancelled'";
    assert_eq!(world.count(stored).await, 5);
    refused(world.book(&bob, &one, at("10:30"), at("10:45")).await, "SLOT_TAKEN");
}

#[track_caller]
fn breaks<T>(result: Result<T, DbErr>, rule: &str) {
    match result {
        Ok(_) => panic!("the database let it pass: {rule}"),
        Err(error) => assert!(error.to_string().contains(rule), "{rule}: {error}"),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_database_refuses_overlaps_on_sqlite() {
    the_database_refuses(Engine::Sqlite).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_database_refuses_overlaps_on_postgres() {
    the_database_refuses(Engine::Postgres).await;
}
