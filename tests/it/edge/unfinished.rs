//! Requests that are begun and not finished, over HTTP/1.1 and HTTP/2: how long they may take, how long
//! their headers may be, and what is left of them in memory.

use std::{io, time::Duration};

use daybook::grpc::proto::auth::{GetMeRequest, auth_service_client::AuthServiceClient};
use futures_util::future::join_all;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    task::JoinHandle,
    time::Instant,
};

use crate::support::{
    Engine,
    frames::{self, CONTINUATION, DATA, END_HEADERS, HEADERS, SETTINGS, call, frame},
    process::{Process, until, within},
    rounds,
};

const GET_JWKS: &str = "/daybook.auth.v1.AuthService/GetJwks";
/// What headers may be, in bytes.
const LONGEST: usize = 16 * 1024;
/// In which headers, frames and the next request of a connection must come, in seconds.
const IN_TIME: u64 = 10;

/// The beginning of a request, up to where more headers may follow.
fn begun() -> String {
    format!(
        "POST {GET_JWKS} HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/grpc-web+proto\r\n"
    )
}

/// A whole request without a message.
fn whole() -> String {
    begun() + "content-length: 5\r\n\r\n\0\0\0\0\0"
}

/// Sends this again and again, so many bytes, as far as the server takes them.
async fn pour(stream: &mut TcpStream, first: &[u8], more: &[u8], bytes: usize) -> io::Result<()> {
    stream.write_all(first).await?;
    for _ in 0..bytes / more.len() {
        stream.write_all(more).await?;
    }
    Ok(())
}

/// What the server says until it closes the connection.
async fn rest(stream: &mut TcpStream) -> String {
    let mut answer = Vec::new();
    // A reset is an end like any other; what came before it counts.
    let mut buffer = [0; 4096];
    while let Ok(length @ 1..) = stream.read(&mut buffer).await {
        answer.extend(&buffer[..length]);
    }
    String::from_utf8_lossy(&answer).into_owned()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn headers_of_http_1_are_bounded_as_those_of_http_2_are() {
    let process = Process::start(Engine::Sqlite, &[]).await;
    let long_value = "x".repeat(1024);
    let chunked = begun() + "transfer-encoding: chunked\r\n\r\n5\r\n\0\0\0\0\0\r\n0\r\n";
    for (what, first, more) in [
        ("one long header", begun() + "x-long: ", long_value.as_str()),
        ("many headers", begun(), "x: y\r\n"),
        (
            "many headers of one name",
            begun(),
            "x-more: 0123456789012345678901234567890123456789\r\n",
        ),
        ("a long request line", "POST /".to_owned(), long_value.as_str()),
        ("a long method", "P".to_owned(), long_value.as_str()),
        ("line ends before the request", "\r\n".to_owned(), "\r\n\r\n\r\n\r\n"),
        ("many trailers", chunked.clone(), "x: y\r\n"),
        ("a long trailer", chunked + "x-long: ", long_value.as_str()),
        (
            "a long chunk extension",
            begun() + "transfer-encoding: chunked\r\n\r\n5;x=",
            long_value.as_str(),
        ),
    ] {
        let mut stream = TcpStream::connect(process.address).await.unwrap();
        let sent = pour(&mut stream, first.as_bytes(), more.as_bytes(), 3 * LONGEST).await;
        // Long before their time is up.
        let answer = within(5, what, rest(&mut stream)).await;
        println!("{what}: {:?}, {:?}", sent.map_err(|e| e.kind()), answer.lines().next());
        let is_refused = ["", "HTTP/1.1 4"].iter().any(|it| answer.starts_with(it));
        // Trailers are read after an answer, or refused before one.
        assert!(is_refused || what.contains("trailer"), "{what}: {answer}");
    }
    // Just below it they are taken: a token or a cookie may be long.
    let mut stream = TcpStream::connect(process.address).await.unwrap();
    let filler = format!("x-long: {}\r\nconnection: close\r\n", "x".repeat(LONGEST - 1024));
    let request = whole().replace("content-length", &format!("{filler}content-length"));
    stream.write_all(request.as_bytes()).await.unwrap();
    let answer = within(10, "the answer", rest(&mut stream)).await;
    assert!(answer.starts_with("HTTP/1.1 200") && answer.contains("grpc-status:0"), "{answer}");
}

/// Sends a byte now and then until the connection is closed. Returns after how long.
fn trickle(mut stream: TcpStream, first: Vec<u8>, byte: u8) -> JoinHandle<Duration> {
    tokio::spawn(async move {
        stream.write_all(&first).await.unwrap();
        let began = Instant::now();
        let (mut from, mut to) = stream.into_split();
        let closed = tokio::spawn(async move {
            let mut buffer = [0; 4096];
            while let Ok(1..) = from.read(&mut buffer).await {}
        });
        while !closed.is_finished() && to.write_all(&[byte]).await.is_ok() {
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
        began.elapsed()
    })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_begun_and_not_finished_is_closed_in_time_over_both_protocols() {
    let process = Process::start(Engine::Sqlite, &[]).await;
    let http = async || TcpStream::connect(process.address).await.unwrap();
    let answered = async || {
        let mut stream = http().await;
        stream.write_all(whole().as_bytes()).await.unwrap();
        let mut buffer = [0; 8192];
        let length = within(10, "an answer", stream.read(&mut buffer)).await.unwrap();
        assert!(buffer[..length].starts_with(b"HTTP/1.1 200"));
        stream
    };
    let head = begun() + "x-slow: ";
    let half = frame(HEADERS, END_HEADERS, 1, &call(GET_JWKS, None));
    let open = frame(HEADERS, 0, 1, &call(GET_JWKS, None));
    let part = [open.clone(), frame(CONTINUATION, 0, 1, b"")].concat();
    let body = begun() + "transfer-encoding: chunked\r\n\r\n";
    let mut waiting = vec![
        ("the first head", trickle(http().await, head.clone().into_bytes(), b'x')),
        ("the second head", trickle(answered().await, head.into_bytes(), b'x')),
        ("a body", trickle(http().await, (body.clone() + "ffff\r\n").into_bytes(), 0)),
        ("a chunk's size", trickle(http().await, body.clone().into_bytes(), b'0')),
        ("a chunk's extension", trickle(http().await, (body + "5;x=").into_bytes(), b'x')),
        ("line ends alone", trickle(http().await, b"\r\n".repeat(20), b'\n')),
    ];
    for (what, bytes) in [
        ("half a frame", &half[..40]),
        ("half a frame's head", &half[..5]),
        ("headers without an end", &open),
        ("continuations without an end", &part),
        ("half an unknown frame", &[0, 64, 0, 99, 0, 0, 0, 0, 0][..]),
        ("half a DATA frame", &frame(DATA, 0, 1, &[0; 1000])[..20]),
        ("half of SETTINGS", &frame(SETTINGS, 0, 0, &[0; 6])[..12]),
    ] {
        let stream = frames::connect(process.address, &[]).await;
        // Nothing follows, so that a frame is not finished by chance.
        waiting.push((what, quiet(stream, bytes.to_vec())));
    }
    waiting.push(("an idle connection", quiet(answered().await, Vec::new())));
    let ends = waiting.into_iter().map(async |(what, task)| {
        let took = within(2 * IN_TIME, what, task).await.unwrap();
        (what, took)
    });
    for (what, took) in join_all(ends).await {
        println!("{what}: closed after {took:?}");
    }
}

/// Sends this and nothing more; ends when the server closes the connection.
fn quiet(mut stream: TcpStream, bytes: Vec<u8>) -> JoinHandle<Duration> {
    tokio::spawn(async move {
        stream.write_all(&bytes).await.unwrap();
        let began = Instant::now();
        rest(&mut stream).await;
        began.elapsed()
    })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn unfinished_requests_leave_no_memory_behind() {
    const MOST_KIB: u64 = 20 * 1024;
    let process =
        Process::start(Engine::Sqlite, &[("server.max_connections_per_address", "1024")]).await;
    let person = &process.customers(1).await[0];
    let count = rounds(150, 500);
    let before = process.resident_kib();
    let mut most = before;
    for protocol in ["HTTP/1.1", "HTTP/2"] {
        let mut kept = Vec::new();
        for _ in 0..count {
            let bytes = if protocol == "HTTP/1.1" {
                begun() + &format!("x-long: {}", "x".repeat(390 * 1024))
            } else {
                String::new()
            };
            let mut stream = if protocol == "HTTP/1.1" {
                TcpStream::connect(process.address).await.unwrap()
            } else {
                frames::connect(process.address, &[]).await
            };
            let rest = frames::literals(&[("x-long", &"x".repeat(15 * 1024))]);
            let more = [
                frame(HEADERS, 0, 1, &call(GET_JWKS, None)),
                frame(CONTINUATION, 0, 1, &rest[..rest.len() - 1]),
            ];
            let bytes = if bytes.is_empty() { more.concat() } else { bytes.into_bytes() };
            // As much as the server takes; the rest is not waited for.
            let sent = tokio::time::timeout(Duration::from_secs(2), stream.write_all(&bytes)).await;
            drop(sent);
            kept.push(stream);
        }
        most = most.max(process.resident_kib());
        let mut client = AuthServiceClient::new(process.connect().await);
        client.get_me(person.asks(GetMeRequest {})).await.unwrap();
        let growth = || process.resident_kib().saturating_sub(before);
        println!("{count} unfinished over {protocol}: {} KiB more at once", growth());
        let is_back = async || growth() < MOST_KIB;
        let took = until(30, "the memory is given back", is_back).await;
        println!("below {MOST_KIB} KiB after {took:?}; now {} KiB more", growth());
    }
    println!("from {before} KiB, at most {most} KiB");
}
