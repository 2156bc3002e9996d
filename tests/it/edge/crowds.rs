//! Crowds: connections from few addresses that take all places, and others who want one.

use std::{
    net::{IpAddr, Ipv4Addr, SocketAddr},
    time::Duration,
};

use daybook::grpc::proto::auth::{GetMeRequest, auth_service_client::AuthServiceClient};
use tokio::{
    io::AsyncWriteExt,
    net::{TcpSocket, TcpStream},
    sync::mpsc,
    task::{JoinHandle, JoinSet},
    time::Instant,
};
use tonic::{Code, transport::Endpoint};
use tonic_health::pb::{
    HealthCheckRequest, health_check_response::ServingStatus, health_client::HealthClient,
};

use crate::support::{
    Engine,
    frames::{
        self, ACK, DATA, END_HEADERS, END_STREAM, GOAWAY, HEADERS, PING, PREFACE, SETTINGS, call,
        frame, message,
    },
    people::Person,
    process::{Process, closed, until, within},
    refusal::{reason_of, refused},
    rounds,
};

const GET_ME: &str = "/daybook.auth.v1.AuthService/GetMe";
const WATCH: &str = "/grpc.health.v1.Health/Watch";

/// An address of this machine that is not the one that honest callers have.
fn hostile(number: usize) -> IpAddr {
    Ipv4Addr::new(127, 0, 1, u8::try_from(number + 1).unwrap()).into()
}

async fn dial(from: IpAddr, to: SocketAddr) -> std::io::Result<TcpStream> {
    let socket = TcpSocket::new_v4()?;
    socket.bind(SocketAddr::new(from, 0))?;
    let stream = socket.connect(to).await?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

/// What a connection does that holds its place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    /// Answers pings and asks for nothing.
    Idle,
    /// Listens to health, and takes what comes.
    Watching,
    /// Listens to health, and takes nothing.
    Unread,
    /// Has a call whose body does not come.
    Slow,
    /// Has sent a part of its first bytes.
    Silent,
    /// Asks for one thing after the other, now and then.
    Busy,
}

const WAYS: [Way; 6] = [Way::Idle, Way::Watching, Way::Unread, Way::Slow, Way::Silent, Way::Busy];

impl Way {
    /// What is sent at first.
    fn opening(self) -> Vec<u8> {
        let window = if self == Self::Unread { &[0, 4, 0, 0, 0, 0][..] } else { &[] };
        let hello = [PREFACE, &frame(SETTINGS, 0, 0, window), &frame(SETTINGS, ACK, 0, &[])];
        let asks = |path| {
            let headers = frame(HEADERS, END_HEADERS, 1, &call(path, None));
            [headers, frame(DATA, END_STREAM, 1, &message(&[]))].concat()
        };
        let first = match self {
            Self::Idle => Vec::new(),
            Self::Watching | Self::Unread => asks(WATCH),
            Self::Slow => frame(HEADERS, END_HEADERS, 1, &call(GET_ME, None)),
            Self::Busy => asks(GET_ME),
            Self::Silent => return PREFACE[..9].to_vec(),
        };
        [hello.concat(), first].concat()
    }
}

/// Keeps a connection as a client does until the server ends it, and tells by which frames.
async fn keep(mut stream: TcpStream, way: Way) -> Vec<u8> {
    if stream.write_all(&way.opening()).await.is_err() {
        return Vec::new();
    }
    follow(stream, way).await
}

/// The same after the first bytes were sent.
async fn follow(stream: TcpStream, way: Way) -> Vec<u8> {
    let mut kinds = Vec::new();
    let (mut from, mut to) = stream.into_split();
    let mut next = 3;
    while let Ok(Some(got)) = frames::next(&mut from).await {
        kinds.push(got.kind);
        let answer = match got.kind {
            PING if got.flags & ACK == 0 => frame(PING, ACK, 0, &got.payload),
            HEADERS if way == Way::Busy && got.flags & END_STREAM != 0 => {
                // Busy is the connection, not the machine.
                tokio::time::sleep(Duration::from_secs(1)).await;
                let headers = frame(HEADERS, END_HEADERS, next, &call(GET_ME, None));
                let asked = [headers, frame(DATA, END_STREAM, next, &message(&[]))].concat();
                next += 2;
                asked
            }
            _ => continue,
        };
        if to.write_all(&answer).await.is_err() {
            break;
        }
    }
    kinds
}

/// A crowd of so many addresses, which connect again whenever they are cut off.
struct Crowd {
    _connections: JoinSet<()>,
}

impl Crowd {
    /// Comes, and waits until it has as many connections as the server lets it have.
    async fn new(process: &Process, addresses: usize, of_each: usize, way: Way) -> Self {
        let (mut tasks, to) = (JoinSet::new(), process.address);
        let (send, mut connected) = mpsc::channel(addresses * of_each);
        for number in 0..addresses * of_each {
            let (from, send) = (hostile(number % addresses), send.clone());
            tasks.spawn(async move {
                loop {
                    if let Ok(stream) = dial(from, to).await {
                        let _ = send.try_send(());
                        keep(stream, way).await;
                    }
                    // As fast as ten a second for each place.
                    tokio::time::sleep(Duration::from_millis(100)).await;
                }
            });
        }
        for _ in 0..addresses * of_each {
            within(30, "the crowd", connected.recv()).await.unwrap();
        }
        Self { _connections: tasks }
    }

    /// Comes, and is not waited for.
    fn of(process: &Process, addresses: usize, of_each: usize, way: Way) -> Self {
        let (mut tasks, to) = (JoinSet::new(), process.address);
        for number in 0..addresses * of_each {
            let from = hostile(number % addresses);
            tasks.spawn(async move {
                loop {
                    if let Ok(stream) = dial(from, to).await {
                        keep(stream, way).await;
                    }
                    tokio::time::sleep(Duration::from_millis(100)).await;
                }
            });
        }
        Self { _connections: tasks }
    }
}

/// Somebody new calls, and a probe asks; both once, both with a connection of their own.
async fn honest(process: &Process, person: &Person) -> Result<(), String> {
    let calls = async {
        let endpoint = Endpoint::from_shared(format!("http://{}", process.address)).unwrap();
        let channel = endpoint.connect().await.map_err(|error| format!("connecting: {error}"))?;
        let mut client = AuthServiceClient::new(channel);
        client.get_me(person.asks(GetMeRequest {})).await.map_err(|e| format!("call: {e}"))?;
        let channel = endpoint.connect().await.map_err(|error| format!("connecting: {error}"))?;
        let state = HealthClient::new(channel).check(HealthCheckRequest::default()).await;
        let state = state.map_err(|error| format!("probe: {error}"))?.into_inner();
        if state.status() != ServingStatus::Serving {
            return Err(format!("{state:?}"));
        }
        Ok(())
    };
    // Milliseconds, where nobody else keeps the machine busy.
    let answer = tokio::time::timeout(Duration::from_secs(10), calls).await;
    answer.unwrap_or_else(|_| Err("not within ten seconds".to_owned()))
}

/// Hostile addresses by twos, fours and sixty-fours, in each way of holding a place: whoever comes new gets
/// in, and so does a probe.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_crowd_of_few_addresses_shuts_others_out() {
    let places = rounds(512, 1024);
    let (in_all, half) = (places.to_string(), (places / 2).to_string());
    let settings = [
        ("server.max_connections", in_all.as_str()),
        ("server.max_connections_per_address", half.as_str()),
    ];
    let mut failures = Vec::new();
    for addresses in [2, 4, 64] {
        let process = Process::start(Engine::Sqlite, &settings).await;
        let person = &process.customers(1).await[0];
        let tries = rounds(4, 20);
        for way in WAYS {
            let crowd = Crowd::new(&process, addresses, places / addresses, way).await;
            let (mut served, mut slowest) = (0, Duration::ZERO);
            for _ in 0..tries {
                let began = Instant::now();
                match honest(&process, person).await {
                    Ok(()) => {
                        served += 1;
                        slowest = slowest.max(began.elapsed());
                    }
                    Err(error) => failures.push(format!("{addresses} {way:?}: {error}")),
                }
            }
            println!(
                "{addresses} addresses, {way:?}: {served} of {tries} served, within {slowest:?}"
            );
            drop(crowd);
        }
    }
    assert!(failures.is_empty(), "{failures:#?}");
}

/// A connection of a client that is told of its end: the frames it got.
fn kept(stream: TcpStream, way: Way) -> JoinHandle<Vec<u8>> {
    tokio::spawn(keep(stream, way))
}

/// A connection that had its first call, and makes no other.
async fn idle(from: IpAddr, to: SocketAddr) -> JoinHandle<Vec<u8>> {
    let mut stream = dial(from, to).await.unwrap();
    stream.write_all(&Way::Busy.opening()).await.unwrap();
    let answered = async {
        while let Some(got) = frames::next(&mut stream).await.unwrap() {
            if got.kind == HEADERS && got.flags & END_STREAM != 0 {
                return;
            }
        }
        panic!("the connection ended before its first answer");
    };
    within(10, "the first answer", answered).await;
    tokio::spawn(follow(stream, Way::Idle))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn idle_connections_give_way_oldest_first_and_are_told_so() {
    let settings = [("server.max_connections", "9"), ("server.max_connections_per_address", "9")];
    let process = Process::start(Engine::Sqlite, &settings).await;
    // The process's own channel is one of nine; its call is over, and it is the oldest.
    let own = HealthClient::new(process.channel.clone());
    let mut all = Vec::new();
    for number in 0..8 {
        all.push(idle(hostile(number), process.address).await);
        own.clone().check(HealthCheckRequest::default()).await.unwrap();
    }
    for (number, task) in all.into_iter().enumerate().take(4) {
        // The own channel is not idle for long: it was used last.
        own.clone().check(HealthCheckRequest::default()).await.unwrap();
        assert!(!task.is_finished(), "{number}");
        let newcomer = idle(hostile(100 + number), process.address);
        let _newcomer = within(10, "a newcomer's answer", newcomer).await;
        let frames = within(5, "the oldest gives way", task).await.unwrap();
        assert!(frames.contains(&GOAWAY), "{frames:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_address_has_a_quarter_at_most_while_others_wait() {
    let settings = [("server.max_connections", "32"), ("server.max_connections_per_address", "32")];
    let process = Process::start(Engine::Sqlite, &settings).await;
    let count = |tasks: &[JoinHandle<Vec<u8>>]| tasks.iter().filter(|it| !it.is_finished()).count();
    let come = async |address: usize, count: usize| {
        let mut tasks = Vec::new();
        for _ in 0..count {
            tasks.push(kept(dial(hostile(address), process.address).await.unwrap(), Way::Watching));
        }
        tasks
    };
    // Nobody else waits: one has them all, but for that of the process's own channel.
    let first = come(0, 31).await;
    HealthClient::new(process.channel.clone()).check(HealthCheckRequest::default()).await.unwrap();
    assert_eq!(count(&first), 31);
    // Three others come, with as many each.
    let mut others = Vec::new();
    for address in 1..4 {
        others.push(come(address, 8).await);
    }
    until(10, "the first has a quarter", async || count(&first) <= 8).await;
    for task in first {
        if task.is_finished() {
            // The connection is ended by GOAWAY; of one that had said nothing yet nobody knows the protocol.
            let frames = task.await.unwrap();
            assert!(frames.is_empty() || frames.contains(&GOAWAY), "{frames:?}");
        }
    }
    let all = others.iter().map(|tasks| count(tasks)).sum::<usize>();
    assert!(all >= 23, "{all} of 24");
}

/// Whoever finds no place is told so, and may ask for health.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_a_place_health_is_answered_and_nothing_else() {
    let settings = [("server.max_connections_per_address", "2")];
    let process = Process::start(Engine::Sqlite, &settings).await;
    let person = &process.customers(1).await[0];
    // With the process's own channel as many as one address may have.
    let mut second = process.connect().await;
    AuthServiceClient::new(second.clone()).get_me(person.asks(GetMeRequest {})).await.unwrap();
    for round in 0..rounds(3, 30) {
        let endpoint = Endpoint::from_shared(format!("http://{}", process.address)).unwrap();
        let mut health = HealthClient::new(endpoint.connect().await.unwrap());
        let state = health.check(HealthCheckRequest::default()).await.unwrap().into_inner();
        assert_eq!(state.status(), ServingStatus::Serving, "{round}");
        let channel = endpoint.connect().await.unwrap();
        let status = AuthServiceClient::new(channel).get_me(person.asks(GetMeRequest {})).await;
        assert_eq!(refused(status, "OVERLOADED").code(), Code::ResourceExhausted);
    }
    // Whoever says nothing is gone after two seconds, and does not keep others out.
    let mut silent = Vec::new();
    for _ in 0..rounds(100, 1000) {
        silent.push(TcpStream::connect(process.address).await.unwrap());
    }
    let endpoint = Endpoint::from_shared(format!("http://{}", process.address)).unwrap();
    let is_answered = async || match endpoint.connect().await {
        Ok(channel) => {
            HealthClient::new(channel).check(HealthCheckRequest::default()).await.is_ok()
        }
        Err(_) => false,
    };
    until(10, "a probe is answered", is_answered).await;
    let all_are_gone = async {
        for stream in &mut silent {
            while !closed(stream).await {}
        }
    };
    within(20, "the close", all_are_gone).await;
    // A place that is given back is there for the next one.
    second = process.channel.clone();
    let again = async || match endpoint.connect().await {
        Ok(channel) => {
            AuthServiceClient::new(channel).get_me(person.asks(GetMeRequest {})).await.is_ok()
        }
        Err(_) => false,
    };
    until(10, "a place is free", again).await;
    drop(second);
}

/// Fewer file descriptors than places: whoever comes gets one that somebody else had.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_file_descriptors_connections_give_way_too() {
    let settings = [("server.max_connections_per_address", "1024")];
    let process = Process::start(Engine::Sqlite, &settings).await;
    let person = &process.customers(1).await[0];
    process.limit_files(120);
    let crowd = Crowd::of(&process, 2, 100, Way::Idle);
    for round in 0..10 {
        until(20, "an answer", async || honest(&process, person).await.is_ok()).await;
        println!("{round}: served");
    }
    drop(crowd);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stream_that_gives_way_is_told_to_come_again() {
    let settings = [("server.max_connections", "4"), ("server.max_connections_per_address", "4")];
    let process = Process::start(Engine::Sqlite, &settings).await;
    let endpoint = Endpoint::from_shared(format!("http://{}", process.address)).unwrap();
    let mut streams = Vec::new();
    for _ in 0..3 {
        let endpoint = endpoint.clone().local_address(Some(hostile(0)));
        let mut health = HealthClient::new(endpoint.connect().await.unwrap());
        let mut stream = health.watch(HealthCheckRequest::default()).await.unwrap().into_inner();
        stream.message().await.unwrap().unwrap();
        streams.push(stream);
    }
    let mut own = HealthClient::new(process.channel.clone());
    let mut own = own.watch(HealthCheckRequest::default()).await.unwrap().into_inner();
    own.message().await.unwrap().unwrap();
    // All four are busy. Whoever has most gives one, the oldest.
    let newcomer = endpoint.clone().local_address(Some(hostile(1))).connect().await.unwrap();
    AuthServiceClient::new(newcomer).get_me(GetMeRequest {}).await.unwrap_err();
    let status = within(5, "the end", streams.remove(0).message()).await.unwrap_err();
    assert_eq!(status.code(), Code::Unavailable, "{status:?}");
    assert_eq!(reason_of(&status), "SHUTTING_DOWN");
    // The others go on.
    for stream in streams.iter_mut().chain([&mut own]) {
        let silence = tokio::time::timeout(Duration::from_millis(1), stream.message()).await;
        assert!(silence.is_err(), "{silence:?}");
    }
}
