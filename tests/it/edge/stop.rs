//! Stopping, starting and being too busy, with more of everything than `drain.rs` has.

use std::time::Duration;

use daybook::{
    app,
    grpc::proto::auth::{GetMeRequest, Role, auth_service_client::AuthServiceClient},
    kernel::ambient::Ambient,
};
use futures_util::future::join_all;
use rustix::process::Signal;
use sea_orm::ConnectionTrait;
use tokio::{io::AsyncWriteExt, net::TcpStream, time::Instant};
use tonic::{Code, Streaming};
use tonic_health::pb::{
    HealthCheckRequest, HealthCheckResponse, health_check_response::ServingStatus,
    health_client::HealthClient,
};
use tonic_types::StatusExt;

use crate::{
    drain::{Held, WAITING},
    support::{
        Engine, books,
        books::number,
        config, connect, database,
        frames::{self, PREFACE},
        people::sign_up,
        process::{Process, closed, day, minutes, until, within},
        refusal::{reason_of, refused},
        rounds,
    },
};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_streams_and_silent_sockets_do_not_hold_up_the_stop() {
    let settings =
        [("server.drain_timeout_ms", "20000"), ("server.first_bytes_timeout_ms", "60000")];
    let mut process = Process::start(Engine::Postgres, &settings).await;
    let (provider, customers) = (process.provider().await, process.customers(1).await);
    let mut streams: Vec<Streaming<HealthCheckResponse>> = Vec::new();
    for _ in 0..rounds(1, 10) {
        let mut health = HealthClient::new(process.connect().await);
        for _ in 0..100 {
            let request = HealthCheckRequest { service: String::new() };
            let mut states = health.watch(request).await.unwrap().into_inner();
            states.message().await.unwrap().unwrap();
            streams.push(states);
        }
    }
    let mut silent = Vec::new();
    for number in 0..rounds(30, 300) {
        let mut socket = TcpStream::connect(process.address).await.unwrap();
        socket.write_all(&PREFACE[..[0, 9, PREFACE.len() - 1][number % 3]]).await.unwrap();
        silent.push(socket);
    }
    let held = Held::calls(&process, (&provider, &customers[0]), 5).await;
    let count = streams.len();

    process.signal(Signal::TERM);
    let began = Instant::now();
    let ends = streams.into_iter().map(async |mut states| {
        loop {
            match states.message().await {
                Ok(Some(_)) => {}
                Ok(None) => panic!("an end without a status"),
                Err(status) => {
                    assert_eq!(reason_of(&status), "SHUTTING_DOWN");
                    return status.code();
                }
            }
        }
    });
    let ends = within(20, "the ends of the streams", join_all(ends)).await;
    assert!(ends.iter().all(|code| *code == Code::Unavailable));
    assert!(held.calls.iter().all(|call| !call.is_finished()));
    held.go_on().await;
    let names: Vec<String> = held.answers().await.into_iter().map(Result::unwrap).collect();
    assert!(process.ended().await.success());
    println!(
        "{count} streams, {} silent sockets: ended {:?} after the signal",
        silent.len(),
        began.elapsed()
    );
    assert!(!process.log().contains("hard stop"), "{}", process.log());
    for mut socket in silent {
        assert!(closed(&mut socket).await);
    }
    let stored = books::check(&process.sql().await).await;
    assert!(names.len() == 5 && names.iter().all(|name| stored.contains_key(name)));
}

/// It was served before, has nothing in progress, and answers nothing any more, not even to GOAWAY.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_idle_connection_that_fell_silent_does_not_hold_up_the_stop() {
    let settings = [("server.drain_timeout_ms", "120000")];
    let mut process = Process::start(Engine::Sqlite, &settings).await;
    let mut silent = Vec::new();
    for _ in 0..10 {
        silent.push(frames::connect(process.address, &[]).await);
    }
    process.connect().await;
    process.signal(Signal::TERM);
    assert!(within(30, "the end", process.ended()).await.success());
    assert!(!process.log().contains("hard stop"), "{}", process.log());
}

/// Asked from the first moment on: whenever it says SERVING, a call is answered.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn it_never_says_serving_before_it_serves_and_is_alive_all_the_while() {
    for _ in 0..rounds(3, 30) {
        let folder = tempfile::tempdir().unwrap();
        let url = database(Engine::Sqlite, folder.path()).await;
        let config = config(&url, folder.path(), &[]);
        let running = app::start(config, Ambient::system()).await.unwrap();
        let channel = connect(&running.address.to_string()).await;
        let mut health = HealthClient::new(channel.clone());
        let ask = async |health: &mut HealthClient<_>, service: &str| {
            let request = HealthCheckRequest { service: service.to_owned() };
            health.check(request).await.unwrap().into_inner().status()
        };
        let mut states = Vec::new();
        let serving = async {
            loop {
                assert_eq!(ask(&mut health, "liveness").await, ServingStatus::Serving);
                let state = ask(&mut health, "").await;
                states.push(state);
                if state == ServingStatus::Serving {
                    return;
                }
                tokio::task::yield_now().await;
            }
        };
        within(30, "SERVING", serving).await;
        // One that needs the tables.
        AuthServiceClient::new(channel).sign_up(sign_up(Role::Customer)).await.unwrap();
        println!("NOT_SERVING {} times, and then SERVING", states.len() - 1);
        running.stop();
        running.ended().await.unwrap();
    }
}

/// Every connection to the database waits for a lock. Calls wait for theirs as long as they may, and
/// those for which there is no place are told so at once.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_a_free_database_connection_calls_end_in_time_and_health_answers() {
    let settings = [("database.max_connections", "2"), ("server.max_in_flight", "100")];
    let process = Process::start(Engine::Postgres, &settings).await;
    let (provider, customers) = (process.provider().await, process.customers(1).await);
    let held = Held::calls(&process, (&provider, &customers[0]), 2).await;
    let read = async |timeout| {
        let mut request = customers[0].asks(GetMeRequest {});
        request.set_timeout(timeout);
        let mut auth = AuthServiceClient::new(process.channel.clone());
        let began = Instant::now();
        (auth.get_me(request).await.map(drop), began.elapsed())
    };
    let answers = (0..rounds(200, 1000)).map(|_| read(Duration::from_secs(2)));
    let answers = within(30, "the answers", join_all(answers)).await;
    let (mut shed, mut slowest) = (0, Duration::ZERO);
    for (answer, took) in answers {
        let status = answer.expect_err("no connection is free");
        if status.code() == Code::Cancelled {
            // The client's own clock was faster.
            continue;
        }
        match &*reason_of(&status) {
            "DEADLINE_EXCEEDED" => {}
            "OVERLOADED" => {
                assert!(status.get_error_details().retry_info().is_some(), "{status:?}");
                slowest = slowest.max(took);
                shed += 1;
            }
            _ => panic!("{status:?}"),
        }
    }
    assert!(shed > 0);
    println!("{shed} calls were shed, the slowest after {slowest:?}");
    let mut health = HealthClient::new(process.channel.clone());
    let state = health.check(HealthCheckRequest::default()).await.unwrap().into_inner();
    assert_eq!(state.status(), ServingStatus::Serving, "busy is not broken");
    held.go_on().await;
    assert!(held.answers().await.iter().all(Result::is_ok));
    read(Duration::from_secs(10)).await.0.unwrap();
}

/// What a caller no longer waits for, the database does not either.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_deadline_ends_the_call_and_its_statement() {
    let settings = [("server.default_deadline_ms", "3000")];
    let process = Process::start(Engine::Postgres, &settings).await;
    let (provider, customers) = (process.provider().await, process.customers(1).await);
    let began = Instant::now();
    let held = Held::calls(&process, (&provider, &customers[0]), 5).await;
    let (db, holder) = (held.db.clone(), held.holder.clone());
    for answer in held.answers().await {
        refused(answer, "DEADLINE_EXCEEDED");
    }
    let answered = began.elapsed();
    let gone = until(10, "no statement waits", async || number(&db, WAITING).await == 0).await;
    println!("a deadline of 3 s: answered after {answered:?}, no statement {gone:?} later");
    // The row is still locked by somebody else; nobody who gave up holds anything.
    holder.execute_unprepared("ROLLBACK").await.unwrap();
    let request = customers[0].asks(minutes(&provider, day(), (600, 660)));
    process.booking().book_appointment(request).await.unwrap();
}
