//! No class of calls takes every place.

use daybook::grpc::proto::{
    auth::{GetMeRequest, LogInRequest, auth_service_client::AuthServiceClient},
    booking::{GetScheduleRequest, schedule_service_client::ScheduleServiceClient},
};
use futures_util::future::join_all;
use rustix::process::Signal;
use sea_orm::ConnectionTrait;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Code, Status, Streaming, transport::Channel};
use tonic_health::pb::{HealthCheckRequest, health_client::HealthClient};
use tonic_reflection::pb::v1::{
    ServerReflectionRequest, ServerReflectionResponse,
    server_reflection_client::ServerReflectionClient, server_reflection_request::MessageRequest,
};
use tonic_types::StatusExt;

use crate::{
    drain::{Held, WAITING},
    support::{
        Engine, World,
        books::number,
        people::PASSWORD,
        process::{Process, day, minutes, until, within},
        refusal::{reason_of, refused},
    },
};

fn is_overload(status: Status) {
    let status = refused(Err::<(), _>(status), "OVERLOADED");
    assert_eq!(status.code(), Code::ResourceExhausted);
    let delay = status.get_error_details().retry_info().unwrap().retry_delay.unwrap();
    assert!(!delay.is_zero());
}

async fn is_healthy(channel: Channel) {
    HealthClient::new(channel).check(HealthCheckRequest::default()).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn writes_leave_places_for_reads() {
    let process = Process::start(Engine::Postgres, &[("server.max_writes_in_flight", "2")]).await;
    let (provider, customers) = (process.provider().await, process.customers(1).await);
    let held = Held::calls(&process, (&provider, &customers[0]), 2).await;
    let request = customers[0].asks(minutes(&provider, day(), (600, 660)));
    is_overload(process.booking().book_appointment(request).await.unwrap_err());
    let mut auth = AuthServiceClient::new(process.channel.clone());
    auth.get_me(customers[0].asks(GetMeRequest {})).await.unwrap();
    is_healthy(process.channel.clone()).await;
    held.go_on().await;
    assert!(held.answers().await.iter().all(Result::is_ok));
    // The places are free again.
    let request = customers[0].asks(minutes(&provider, day(), (600, 660)));
    process.booking().book_appointment(request).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn reads_leave_places_for_writes() {
    let process = Process::start(Engine::Postgres, &[("server.max_reads_in_flight", "2")]).await;
    let provider = process.provider().await;
    let (holder, db) = (process.sql().await, process.sql().await);
    holder.execute_unprepared("BEGIN; LOCK TABLE providers").await.unwrap();
    let read = || {
        let mut client = ScheduleServiceClient::new(process.channel.clone());
        let request = provider.asks(GetScheduleRequest { name: provider.schedule() });
        tokio::spawn(async move { client.get_schedule(request).await })
    };
    let held = [read(), read()];
    let waiting = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()
        AND application_name = 'daybook' AND wait_event_type = 'Lock'";
    until(10, "the reads wait", async || number(&db, waiting).await == 2).await;
    is_overload(read().await.unwrap().unwrap_err());
    // A write that needs no provider.
    process.customers(1).await;
    is_healthy(process.channel.clone()).await;
    holder.execute_unprepared("ROLLBACK").await.unwrap();
    for call in held {
        call.await.unwrap().unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn log_ins_leave_places_for_everybody_else() {
    let world = World::with(Engine::Sqlite, &[("server.max_log_ins_in_flight", "2")]).await;
    let person = world.customer().await;
    let log_ins = (0..64).map(|_| {
        let (email, mut auth) = (person.user.email.clone(), world.auth());
        tokio::spawn(async move {
            auth.log_in(LogInRequest {
                email,
                password: PASSWORD.to_owned(),
                ..LogInRequest::default()
            })
            .await
            .map(drop)
        })
    });
    let log_ins: Vec<_> = log_ins.collect();
    for _ in 0..64 {
        world.auth().get_me(person.asks(GetMeRequest {})).await.unwrap();
    }
    let answers: Vec<_> = join_all(log_ins).await.into_iter().map(Result::unwrap).collect();
    // At least the first ones were let in, and with so many at once not all.
    let (let_in, shed): (Vec<_>, Vec<_>) = answers.into_iter().partition(Result::is_ok);
    assert!(!let_in.is_empty() && !shed.is_empty());
    shed.into_iter().for_each(|answer| is_overload(answer.unwrap_err()));
    world.log_in(&person.user.email).await;
}

/// Log-ins wait for one another's attempts, with a connection to the database each. Of a storm of them the others
/// notice nothing.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn log_ins_that_wait_for_each_other_leave_connections_to_everybody_else() {
    let settings = [("database.max_connections", "4"), ("server.default_deadline_ms", "20000")];
    let process = Process::start(Engine::Postgres, &settings).await;
    let (provider, customers) = (process.provider().await, process.customers(9).await);
    let (holder, db) = (process.sql().await, process.sql().await);
    holder.execute_unprepared("BEGIN; LOCK TABLE attempts").await.unwrap();
    let log_ins = customers[1..].iter().map(|person| {
        let (email, password) = (person.user.email.clone(), PASSWORD.to_owned());
        let mut auth = AuthServiceClient::new(process.channel.clone());
        let request = LogInRequest { email, password, ..LogInRequest::default() };
        tokio::spawn(async move { auth.log_in(request).await.map(drop) })
    });
    let log_ins: Vec<_> = log_ins.collect();
    until(10, "a log-in waits", async || number(&db, WAITING).await == 1).await;
    // As they come they see what else goes on, one after the other on the connections that are left.
    for hour in 0..8 {
        let request = customers[0].asks(minutes(&provider, day(), (hour * 60, hour * 60 + 60)));
        let mut booking = process.booking();
        within(10, "a booking", booking.book_appointment(request)).await.unwrap();
    }
    assert_eq!(number(&db, WAITING).await, 1, "one of four connections waits");
    holder.execute_unprepared("ROLLBACK").await.unwrap();
    for answer in join_all(log_ins).await {
        answer.unwrap().unwrap();
    }
}

/// Of a log-in whose password was right something else could not be done: that is no guess.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_the_server_could_not_do_costs_no_attempt() {
    const ATTEMPTS: &str = "SELECT coalesce(sum(count), 0) FROM attempts";
    let settings = [("server.default_deadline_ms", "2000")];
    let process = Process::start(Engine::Postgres, &settings).await;
    let person = &process.customers(1).await[0];
    let (holder, db) = (process.sql().await, process.sql().await);
    let before = number(&db, ATTEMPTS).await;
    holder.execute_unprepared("BEGIN; SELECT FROM users FOR UPDATE").await.unwrap();
    let (email, password) = (person.user.email.clone(), PASSWORD.to_owned());
    let request = LogInRequest { email, password, ..LogInRequest::default() };
    let mut auth = AuthServiceClient::new(process.channel.clone());
    let call = tokio::spawn(async move { auth.log_in(request).await });
    until(10, "it waits", async || number(&db, WAITING).await == 1).await;
    assert!(number(&db, ATTEMPTS).await > before, "an attempt was taken");
    refused(call.await.unwrap(), "DEADLINE_EXCEEDED");
    let given_back = async || number(&db, ATTEMPTS).await == before;
    until(10, "it is given back", given_back).await;
}

/// The first plan of a statement is made while the tables are nearly empty, and is the last: it must not read
/// all of a table that is small then.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_plan_reads_whole_tables() {
    const TABLES: [&str; 6] =
        ["requests", "appointments", "events", "attempts", "sessions", "users"];
    let mut first = Process::start(Engine::Postgres, &[]).await;
    let (provider, customers) = (first.provider().await, first.customers(1).await);
    let mut process = first.twin().await;
    let db = process.sql().await;
    let scans = async |table: &str| {
        let scans = format!("SELECT seq_scan FROM pg_stat_user_tables WHERE relname = '{table}'");
        number(&db, &scans).await
    };
    // Connections tell what they did when they end. Making the tables reads them.
    first.signal(Signal::TERM);
    assert!(first.ended().await.success());
    // PostgreSQL's own maintenance comes by now and then; then it knows how small they are.
    db.execute_unprepared("VACUUM ANALYZE").await.unwrap();
    let mut before = Vec::new();
    for table in TABLES {
        before.push(scans(table).await);
    }
    for half in 0..40 {
        let request = minutes(&provider, day(), (half * 30, half * 30 + 30));
        process.booking().book_appointment(customers[0].asks(request)).await.unwrap();
    }
    let mut auth = AuthServiceClient::new(process.channel.clone());
    for _ in 0..20 {
        let (email, password) = (customers[0].user.email.clone(), PASSWORD.to_owned());
        auth.log_in(LogInRequest { email, password, ..LogInRequest::default() }).await.unwrap();
    }
    process.signal(Signal::TERM);
    assert!(process.ended().await.success());
    for (table, before) in TABLES.into_iter().zip(before) {
        let after = scans(table).await;
        assert!(after - before < 10, "{table} was read whole {} times", after - before);
    }
}

/// A stream that stays open as long as what is returned.
async fn stream(
    channel: &Channel,
) -> Result<(mpsc::Sender<ServerReflectionRequest>, Streaming<ServerReflectionResponse>), Status> {
    let (send, receive) = mpsc::channel(1);
    let question = Some(MessageRequest::ListServices(String::new()));
    let request = ServerReflectionRequest { host: String::new(), message_request: question };
    send.send(request).await.unwrap();
    let mut client = ServerReflectionClient::new(channel.clone());
    let mut answers =
        client.server_reflection_info(ReceiverStream::new(receive)).await?.into_inner();
    answers.message().await?.unwrap();
    Ok((send, answers))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn streams_take_no_place_of_calls_and_calls_none_of_streams() {
    let settings = [("server.max_streams", "3"), ("server.max_in_flight", "1")];
    let world = World::with(Engine::Sqlite, &settings).await;
    let person = world.customer().await;
    let mut open = Vec::new();
    for _ in 0..3 {
        open.push(stream(&world.channel).await.unwrap());
    }
    is_overload(stream(&world.channel).await.unwrap_err());
    world.auth().get_me(person.asks(GetMeRequest {})).await.unwrap();
    is_healthy(world.channel.clone()).await;
    // A stream that ends gives its place back.
    open.pop();
    let again = async || match stream(&world.channel).await {
        Ok(_) => true,
        Err(status) => {
            assert_eq!(reason_of(&status), "OVERLOADED");
            false
        }
    };
    until(10, "a place is free", again).await;
}
