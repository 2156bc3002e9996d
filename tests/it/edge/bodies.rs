//! Requests whose bodies are withheld, or come slowly.

use std::{convert::Infallible, future::poll_fn, net::SocketAddr, time::Duration};

use bytes::Bytes;
use daybook::grpc::proto::auth::{GetMeRequest, auth_service_client::AuthServiceClient};
use http_body::Frame;
use http_body_util::StreamBody;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::Instant,
};
use tokio_stream::StreamExt;
use tonic::{
    Code, Status,
    body::Body,
    codegen::Service,
    transport::{Channel, Endpoint},
};
use tonic_types::StatusExt;

use crate::support::{
    Engine,
    frames::{self, DATA, END_HEADERS, END_STREAM, HEADERS, call, frame, message},
    process::{Process, until, within},
    refusal::reason_of,
};

const GET_ME: &str = "/daybook.auth.v1.AuthService/GetMe";
const GET_JWKS: &str = "/daybook.auth.v1.AuthService/GetJwks";
/// The deadline of a body.
const IN_TIME: Duration = Duration::from_secs(5);

/// Sends these bytes, which are not all, and nothing more. Returns how the call ended.
async fn withhold(
    mut channel: Channel,
    path: &'static str,
    token: String,
    some: Vec<u8>,
) -> Status {
    let some = tokio_stream::once(Ok::<_, Infallible>(Frame::data(Bytes::from(some))));
    let body = Body::new(StreamBody::new(some.chain(tokio_stream::pending())));
    let request = http::Request::builder()
        .method("POST")
        .uri(path)
        .header("content-type", "application/grpc")
        .header("te", "trailers")
        // Longer than the body's.
        .header("grpc-timeout", "25S")
        .header("authorization", format!("Bearer {token}"));
    poll_fn(|context| channel.poll_ready(context)).await.unwrap();
    let answer = channel.call(request.body(body).unwrap()).await.unwrap();
    Status::from_header_map(answer.headers()).expect("a refusal")
}

/// A connection from another address of this machine.
async fn elsewhere(server: SocketAddr) -> Channel {
    let endpoint = Endpoint::from_shared(format!("http://{server}")).unwrap();
    let local = "127.0.0.2".parse().unwrap();
    endpoint.local_address(Some(local)).connect().await.unwrap()
}

/// Whether this call was answered with a message: a refusal is trailers only.
async fn is_answered(stream: &mut TcpStream, id: u32) -> bool {
    let answer = async {
        loop {
            let frame = frames::next(stream).await.unwrap().expect("an answer");
            if frame.kind == HEADERS && frame.stream == id {
                return frame.flags & END_STREAM == 0;
            }
        }
    };
    within(10, "an answer", answer).await
}

/// Makes a call that is sent at once, as clients do.
async fn ask(stream: &mut TcpStream, id: u32, token: &str) -> bool {
    let headers = frame(HEADERS, END_HEADERS, id, &call(GET_ME, Some(token)));
    let parts = [headers, frame(DATA, END_STREAM, id, &message(&[]))];
    stream.write_all(&parts.concat()).await.unwrap();
    is_answered(stream, id).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn withheld_bodies_take_no_place_from_others() {
    let process = Process::start(Engine::Sqlite, &[("server.max_in_flight", "32")]).await;
    let person = &process.customers(1).await[0];
    let other = elsewhere(process.address).await;
    let mut same = frames::connect(process.address, &[]).await;
    let began = Instant::now();
    let withheld = (0..128).map(|number| {
        // Nothing, a part of the head, and a part of a message.
        let some = [&[][..], &[0, 0], &[0, 0, 0, 9, 9, 1]][number % 3].to_vec();
        let (channel, token) = (process.channel.clone(), person.token.clone());
        tokio::spawn(async move { (withhold(channel, GET_ME, token, some).await, began.elapsed()) })
    });
    let withheld: Vec<_> = withheld.collect();
    // One address may have so many on their way.
    let waiting = || withheld.iter().filter(|call| !call.is_finished()).count();
    until(4, "only eight wait", async || waiting() <= 8).await;
    let mut auth = AuthServiceClient::new(other);
    for number in 0..40 {
        auth.get_me(person.asks(GetMeRequest {})).await.unwrap();
        assert!(ask(&mut same, 2 * number + 1, &person.token).await, "{number}");
    }
    // Over HTTP/1.1 the second piece is handed on when the first one was taken.
    let mut old = TcpStream::connect(process.address).await.unwrap();
    let head = format!(
        "POST {GET_JWKS} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\
         content-type: application/grpc-web+proto\r\ntransfer-encoding: chunked\r\n\r\n"
    );
    let pieces = [head.as_bytes(), b"2\r\n\0\0\r\n", b"3\r\n\0\0\0\r\n", b"0\r\n\r\n"];
    old.write_all(&pieces.concat()).await.unwrap();
    let mut answer = Vec::new();
    within(10, "the answer", old.read_to_end(&mut answer)).await.unwrap();
    let answer = String::from_utf8_lossy(&answer);
    assert!(answer.contains("keys") && answer.contains("grpc-status:0"), "{answer}");
    assert_eq!((waiting(), began.elapsed() < IN_TIME), (8, true));
    println!("128 withheld bodies; others were served {:?} after the first", began.elapsed());

    let mut late = 0;
    for call in withheld {
        let (status, after) = within(10, "the end", call).await.unwrap();
        match reason_of(&status).as_str() {
            "OVERLOADED" => {
                assert_eq!(status.code(), Code::ResourceExhausted);
                let details = status.get_error_details();
                assert!(!details.retry_info().unwrap().retry_delay.unwrap().is_zero());
            }
            "DEADLINE_EXCEEDED" => {
                assert!((IN_TIME..2 * IN_TIME).contains(&after), "{after:?}");
                late += 1;
            }
            _ => panic!("{status:?}"),
        }
    }
    assert_eq!(late, 8);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_body_that_comes_slowly_and_in_time_is_answered() {
    let process = Process::start(Engine::Sqlite, &[]).await;
    let person = &process.customers(1).await[0];
    let mut slow = frames::connect(process.address, &[]).await;
    let headers = call(GET_ME, Some(&person.token));
    slow.write_all(&frame(HEADERS, END_HEADERS, 1, &headers)).await.unwrap();
    // A field that nobody knows: number 15, with 40 bytes.
    let whole = message(&[&[15 << 3 | 2, 40][..], &[0; 40]].concat());
    let (last, before) = whole.split_last().unwrap();
    for byte in before {
        slow.write_all(&frame(DATA, 0, 1, &[*byte])).await.unwrap();
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    slow.write_all(&frame(DATA, END_STREAM, 1, &[*last])).await.unwrap();
    assert!(is_answered(&mut slow, 1).await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_too_long_is_told_before_it_has_come() {
    let process = Process::start(Engine::Sqlite, &[("server.max_message_bytes", "1024")]).await;
    let token = process.customers(1).await[0].token.clone();
    let many = message(&[15 << 3, 0]).repeat(150);
    for (some, reason) in [
        // A message that says that it is too long; many; neither of these.
        (vec![0, 0, 0, 4, 1], "MESSAGE_TOO_LARGE"),
        (many, "MESSAGE_TOO_LARGE"),
        (vec![0, 0, 0, 4, 0], "DEADLINE_EXCEEDED"),
    ] {
        let began = Instant::now();
        let end = withhold(process.channel.clone(), GET_ME, token.clone(), some);
        assert_eq!(reason_of(&within(20, "the end", end).await), reason);
        assert_eq!(began.elapsed() < IN_TIME, reason == "MESSAGE_TOO_LARGE");
    }
    // Who is calling comes first.
    let end = withhold(process.channel.clone(), GET_ME, "x".to_owned(), vec![0, 0, 0, 4, 1]);
    assert_eq!(reason_of(&end.await), "NOT_AUTHENTICATED");
}
