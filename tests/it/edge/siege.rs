//! Everything that holds a connection and gives nothing, at once, and then the stop.

use std::sync::{
    Arc,
    atomic::{AtomicBool, AtomicUsize, Ordering},
};

use daybook::grpc::proto::auth::{GetMeRequest, auth_service_client::AuthServiceClient};
use rustix::process::Signal;
use tokio::{io::AsyncWriteExt, net::TcpStream, time::Instant};

use crate::support::{
    Engine,
    frames::{self, DATA, END_HEADERS, END_STREAM, HEADERS, PREFACE, call, frame, message},
    process::{Process, within},
    refusal::reason_of,
    rounds,
};

const WATCH: &str = "/grpc.health.v1.Health/Watch";
const STREAMS_EACH: u32 = 100;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn silent_sockets_and_unread_streams_hold_up_neither_calls_nor_the_stop() {
    let drain = rounds(2000, 20_000).to_string();
    let settings = [
        ("server.max_connections", "20000"),
        ("server.max_connections_per_address", "20000"),
        ("server.first_bytes_timeout_ms", "60000"),
        ("server.drain_timeout_ms", drain.as_str()),
    ];
    let mut process = Process::start(Engine::Postgres, &settings).await;
    let person = process.customers(1).await.remove(0);
    let (stopping, answered) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
    let honest = tokio::spawn({
        let mut client = AuthServiceClient::new(process.channel.clone());
        let (stopping, answered) = (Arc::clone(&stopping), Arc::clone(&answered));
        async move {
            loop {
                match client.get_me(person.asks(GetMeRequest {})).await {
                    Ok(_) => answered.fetch_add(1, Ordering::SeqCst),
                    // Only once it was told to stop.
                    Err(_) if stopping.load(Ordering::SeqCst) => return,
                    Err(status) => panic!("{}", reason_of(&status)),
                };
                tokio::task::yield_now().await;
            }
        }
    });

    let mut silent = Vec::new();
    for number in 0..rounds(300, 5000) {
        let mut socket = TcpStream::connect(process.address).await.unwrap();
        // Nothing, a part of the preface, and a part of a TLS hello.
        let bytes = [&b""[..], &PREFACE[..9], &[0x16, 3, 1, 0, 200, 1]][number % 3];
        socket.write_all(bytes).await.unwrap();
        silent.push(socket);
    }
    let mut unread = Vec::new();
    for _ in 0..rounds(1, 10) {
        // INITIAL_WINDOW_SIZE 0: not even the first state may be sent.
        let mut stream = frames::connect(process.address, &[(4, 0)]).await;
        for number in 0..STREAMS_EACH {
            let id = 2 * number + 1;
            let headers = frame(HEADERS, END_HEADERS, id, &call(WATCH, None));
            let body = frame(DATA, END_STREAM, id, &message(&[]));
            stream.write_all(&[headers, body].concat()).await.unwrap();
        }
        unread.push(stream);
    }
    let before = answered.load(Ordering::SeqCst);
    while answered.load(Ordering::SeqCst) < before + 100 {
        assert!(!honest.is_finished());
        tokio::task::yield_now().await;
    }
    stopping.store(true, Ordering::SeqCst);
    process.signal(Signal::TERM);
    let began = Instant::now();
    let status = within(25, "the end", process.ended()).await;
    println!(
        "{} silent sockets, {} unread streams, {} honest calls: ended {:?} after the signal",
        silent.len(),
        unread.len() * STREAMS_EACH as usize,
        answered.load(Ordering::SeqCst),
        began.elapsed()
    );
    assert!(status.success(), "{status}");
    honest.await.unwrap();
}
