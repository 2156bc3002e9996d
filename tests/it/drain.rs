//! Stopping, and the limits of connections and calls.

use std::{net::SocketAddr, time::Duration};

use daybook::grpc::proto::auth::{GetMeRequest, Role, auth_service_client::AuthServiceClient};
use futures_util::future::join_all;
use rustix::process::Signal;
use sea_orm::{ConnectionTrait, DatabaseConnection};
use tokio::{
    io::AsyncWriteExt,
    net::{TcpSocket, TcpStream},
    task::JoinHandle,
    time::Instant,
};
use tonic::{Code, Status, Streaming, transport::Channel};
use tonic_health::pb::{
    HealthCheckRequest, HealthCheckResponse, health_check_response::ServingStatus,
    health_client::HealthClient,
};
use tonic_types::StatusExt;

use crate::support::{
    Engine, books,
    books::number,
    people::Person,
    process::{Process, closed, day, minutes, until, within},
    refusal::{reason_of, refused},
};

/// Calls that wait for a lock in PostgreSQL.
pub const WAITING: &str = "SELECT count(*) FROM pg_stat_activity
    WHERE datname = current_database() AND application_name = 'daybook'
      AND wait_event_type = 'Lock'";

/// Bookings that cannot go on, because somebody else holds the providers' rows.
pub struct Held {
    pub calls: Vec<JoinHandle<Result<String, Status>>>,
    pub holder: DatabaseConnection,
    pub db: DatabaseConnection,
}

impl Held {
    pub async fn calls(process: &Process, people: (&Person, &Person), count: i64) -> Self {
        let (provider, customer) = people;
        let (holder, db) = (process.sql().await, process.sql().await);
        holder.execute_unprepared("BEGIN").await.unwrap();
        holder.execute_unprepared("SELECT * FROM providers FOR UPDATE").await.unwrap();
        let calls = (0..count).map(|hour| {
            let request = minutes(provider, day(), (hour * 60, hour * 60 + 60));
            let (request, mut client) = (customer.asks(request), process.booking());
            tokio::spawn(async move {
                let answer = client.book_appointment(request).await?;
                Ok(answer.into_inner().appointment.unwrap().name)
            })
        });
        let calls = calls.collect();
        until(10, "the calls wait", async || number(&db, WAITING).await == count).await;
        Self { calls, holder, db }
    }

    pub async fn go_on(&self) {
        self.holder.execute_unprepared("ROLLBACK").await.unwrap();
    }

    pub async fn answers(self) -> Vec<Result<String, Status>> {
        let answers = within(20, "the answers", join_all(self.calls)).await;
        answers.into_iter().map(Result::unwrap).collect()
    }
}

/// A health stream that has said SERVING.
async fn watch(channel: Channel) -> Streaming<HealthCheckResponse> {
    let request = HealthCheckRequest { service: String::new() };
    let mut states = HealthClient::new(channel).watch(request).await.unwrap().into_inner();
    assert_eq!(next(&mut states, ServingStatus::Unknown).await, Ok(ServingStatus::Serving));
    states
}

/// The next state that is another one, or how the stream ends.
async fn next(
    states: &mut Streaming<HealthCheckResponse>,
    last: ServingStatus,
) -> Result<ServingStatus, Code> {
    loop {
        match within(10, "the next state", states.message()).await {
            Ok(Some(state)) if state.status() == last => {}
            Ok(state) => return Ok(state.expect("a status at the end").status()),
            Err(status) => {
                assert_eq!(reason_of(&status), "SHUTTING_DOWN");
                return Err(status.code());
            }
        }
    }
}

async fn silent(address: SocketAddr) -> TcpStream {
    TcpStream::connect(address).await.unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn calls_under_way_are_finished() {
    let settings = [("server.drain_timeout_ms", "10000")];
    let mut process = Process::start(Engine::Postgres, &settings).await;
    let (provider, customers) = (process.provider().await, process.customers(1).await);
    let mut states = watch(process.connect().await).await;
    let mut quiet = silent(process.address).await;
    let held = Held::calls(&process, (&provider, &customers[0]), 5).await;

    process.signal(Signal::TERM);
    assert_eq!(next(&mut states, ServingStatus::Serving).await, Ok(ServingStatus::NotServing));
    assert_eq!(next(&mut states, ServingStatus::NotServing).await, Err(Code::Unavailable));
    assert!(held.calls.iter().all(|call| !call.is_finished()));
    // Nobody new is let in.
    let late = async || match TcpStream::connect(process.address).await {
        Ok(mut stream) => closed(&mut stream).await,
        Err(_) => true,
    };
    until(2, "new connections are refused", late).await;

    held.go_on().await;
    let names: Vec<String> = held.answers().await.into_iter().map(Result::unwrap).collect();
    let began = Instant::now();
    assert!(process.ended().await.success());
    println!("the process ended {:?} after the last answer", began.elapsed());
    assert!(closed(&mut quiet).await);
    let db = process.sql().await;
    let stored = books::check(&db).await;
    assert!(names.len() == 5 && names.iter().all(|name| stored.contains_key(name)));
}

/// A call that does not come to an end is cut off, and everything else too.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_hard_stop_is_hard() {
    let settings = [("server.drain_timeout_ms", "300")];
    let mut process = Process::start(Engine::Postgres, &settings).await;
    let (provider, customers) = (process.provider().await, process.customers(1).await);
    let held = Held::calls(&process, (&provider, &customers[0]), 2).await;
    process.signal(Signal::TERM);
    let began = Instant::now();
    assert!(process.ended().await.success());
    let took = began.elapsed();
    println!("the hard stop came after {took:?}");
    assert!(took < Duration::from_secs(3), "{took:?}");
    let db = held.db.clone();
    let answers = held.answers().await;
    assert!(answers.iter().all(Result::is_err), "{answers:?}");
    // The sessions notice that their client is gone when they next speak: after the statement.
    until(15, "no session waits", async || number(&db, WAITING).await == 0).await;
}

/// Whoever asks twice does not want to wait for the drain.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_second_signal_ends_it_at_once() {
    for second in [Signal::TERM, Signal::INT] {
        let settings = [("server.drain_delay_ms", "60000"), ("server.drain_timeout_ms", "60000")];
        let mut process = Process::start(Engine::Postgres, &settings).await;
        let (provider, customers) = (process.provider().await, process.customers(1).await);
        let held = Held::calls(&process, (&provider, &customers[0]), 1).await;
        // Told twice at once is one wish.
        process.signal(Signal::TERM);
        process.signal(Signal::INT);
        let draining = async || process.log().contains("stopping");
        until(10, "the drain begins", draining).await;
        assert!(held.calls.iter().all(|call| !call.is_finished()));
        // Longer than signals count as one.
        tokio::time::sleep(Duration::from_millis(150)).await;
        assert!(!process.log().contains("a second signal"), "{}", process.log());
        process.signal(second);
        let began = Instant::now();
        assert_eq!(process.ended().await.code(), Some(1));
        let took = began.elapsed();
        println!("the process ended {took:?} after the second signal");
        assert!(took < Duration::from_secs(3), "{took:?}");
        let log = process.log();
        assert!(log.contains("WARN") && log.contains("a second signal"), "{log}");
        assert!(!log.contains("stopped"), "{log}");
        held.go_on().await;
        assert!(held.answers().await.iter().all(Result::is_err));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_interrupt_stops_a_server_with_idle_and_silent_connections() {
    for drain_delay in ["0", "500"] {
        let settings = [
            ("server.drain_timeout_ms", "2000"),
            ("server.drain_delay_ms", drain_delay),
            ("server.first_bytes_timeout_ms", "60000"),
        ];
        let mut process = Process::start(Engine::Sqlite, &settings).await;
        let mut states = watch(process.connect().await).await;
        let customer = process.person(Role::Customer).await;
        let mut quiet = silent(process.address).await;
        let mut started = silent(process.address).await;
        started.write_all(b"PRI * HTT").await.unwrap();
        process.signal(Signal::INT);
        assert_eq!(next(&mut states, ServingStatus::Serving).await, Ok(ServingStatus::NotServing));
        if drain_delay != "0" {
            // Load balancers have not taken notice yet; calls are still answered.
            let mut client = AuthServiceClient::new(process.connect().await);
            client.get_me(customer.asks(GetMeRequest {})).await.unwrap();
        }
        let began = Instant::now();
        assert_eq!(next(&mut states, ServingStatus::NotServing).await, Err(Code::Unavailable));
        assert!(process.ended().await.success());
        println!("drain_delay_ms = {drain_delay}: ended {:?} after the signal", began.elapsed());
        assert!(began.elapsed() < Duration::from_secs(5));
        assert!(closed(&mut quiet).await && closed(&mut started).await);
        assert!(process.log().contains("stopped"), "{}", process.log());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn connections_that_say_nothing_are_closed() {
    let settings = [("server.first_bytes_timeout_ms", "300")];
    let process = Process::start(Engine::Sqlite, &settings).await;
    for bytes in ["", "PRI * HTT", "POST /dayb", "PRI * HTTP/2.0\r\n\r\nSM\r\n"] {
        let mut stream = silent(process.address).await;
        stream.write_all(bytes.as_bytes()).await.unwrap();
        let began = Instant::now();
        within(5, "the close", async { while !closed(&mut stream).await {} }).await;
        let took = began.elapsed();
        assert!(took > Duration::from_millis(250), "{bytes:?} was closed after {took:?}");
    }
    // One that is made and says something stays, however quiet it is afterwards.
    let customer = process.person(Role::Customer).await;
    let mut client = AuthServiceClient::new(process.channel.clone());
    client.get_me(customer.asks(GetMeRequest {})).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn surplus_connections_are_closed_and_the_others_work() {
    let settings =
        [("server.max_connections_per_address", "4"), ("server.first_bytes_timeout_ms", "60000")];
    let process = Process::start(Engine::Sqlite, &settings).await;
    let customer = process.person(Role::Customer).await;
    // The process's own channel is the first.
    let mut kept = Vec::new();
    for _ in 0..3 {
        kept.push(silent(process.address).await);
    }
    // Those might be probes, for two seconds.
    let surplus = (0..20).map(async |_| {
        let mut surplus = silent(process.address).await;
        within(5, "the close", async { while !closed(&mut surplus).await {} }).await;
    });
    join_all(surplus).await;
    for stream in &mut kept {
        assert!(!closed(stream).await);
    }
    let me = async |channel: Channel| {
        AuthServiceClient::new(channel).get_me(customer.asks(GetMeRequest {})).await
    };
    me(process.channel.clone()).await.unwrap();
    // A place that is given back is there for the next one.
    kept.pop();
    let endpoint = tonic::transport::Endpoint::from_shared(format!("http://{}", process.address));
    let endpoint = endpoint.unwrap();
    let works = async || match endpoint.connect().await {
        Ok(channel) => me(channel).await.is_ok(),
        Err(_) => false,
    };
    until(5, "a new connection works", works).await;
}

/// A connection from this address of the machine.
async fn from_address(address: &str, to: SocketAddr) -> TcpStream {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind(format!("{address}:0").parse().unwrap()).unwrap();
    let mut stream = socket.connect(to).await.unwrap();
    // Closed already, perhaps.
    let _ = stream.write_all(b"PRI").await;
    stream
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn connections_that_come_too_fast_are_closed_and_those_of_others_are_not() {
    let settings = [
        ("server.address_connections_per_second", "1"),
        ("server.address_connections_burst", "10"),
        ("server.first_bytes_timeout_ms", "60000"),
        ("server.trusted_proxies", "127.0.0.4/32"),
    ];
    let process = Process::start(Engine::Sqlite, &settings).await;
    let connections = async |address, count: usize| {
        join_all((0..count).map(|_| from_address(address, process.address))).await
    };
    let open = async |streams: Vec<TcpStream>| {
        let each = streams.into_iter().map(async |mut stream| !closed(&mut stream).await);
        join_all(each).await.into_iter().filter(|open| *open).count()
    };
    let began = Instant::now();
    let mut fast = connections("127.0.0.2", 60).await;
    let most = 10 + usize::try_from(began.elapsed().as_secs()).unwrap() + 1;
    let surplus_is_closed = async {
        while fast.len() > most {
            let mut left = Vec::new();
            for mut stream in fast.drain(..) {
                if !closed(&mut stream).await {
                    left.push(stream);
                }
            }
            fast = left;
        }
    };
    within(20, "the close of the surplus", surplus_is_closed).await;
    assert!(fast.len() >= 10, "a burst is let in: {}", fast.len());
    // Others are not counted with them, and whoever stands for many is not counted.
    assert_eq!(open(connections("127.0.0.3", 1).await).await, 1);
    assert_eq!(open(connections("127.0.0.4", 50).await).await, 50);
    let one_more = async || open(connections("127.0.0.2", 1).await).await == 1;
    until(20, "a later one is let in", one_more).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn too_many_calls_are_told_so_and_health_still_answers() {
    let settings = [("server.max_in_flight", "3"), ("server.drain_timeout_ms", "1000")];
    let process = Process::start(Engine::Postgres, &settings).await;
    let (provider, customers) = (process.provider().await, process.customers(1).await);
    let mut states = watch(process.connect().await).await;
    let held = Held::calls(&process, (&provider, &customers[0]), 3).await;
    let mut auth = AuthServiceClient::new(process.channel.clone());
    let mut health = HealthClient::new(process.channel.clone());
    let began = Instant::now();
    // Long enough for readiness to be looked at several times.
    while began.elapsed() < Duration::from_millis(2500) {
        let status = refused(auth.get_me(customers[0].asks(GetMeRequest {})).await, "OVERLOADED");
        assert_eq!(status.code(), Code::ResourceExhausted);
        let delay = status.get_error_details().retry_info().unwrap().retry_delay.unwrap();
        assert!(!delay.is_zero());
        let state = health.check(HealthCheckRequest::default()).await.unwrap().into_inner();
        assert_eq!(state.status(), ServingStatus::Serving, "busy is not broken");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    held.go_on().await;
    assert!(held.answers().await.iter().all(Result::is_ok));
    auth.get_me(customers[0].asks(GetMeRequest {})).await.unwrap();
    // A stream speaks when something changed, and nothing did.
    let silence = tokio::time::timeout(Duration::from_millis(1), states.message()).await;
    assert!(silence.is_err(), "{silence:?}");
}
