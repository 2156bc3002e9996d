//! What browsers may do, and what is no gRPC at all.

use std::future::poll_fn;

use bytes::Bytes;
use daybook::grpc::proto::auth::{Role, SignUpRequest};
use http::{Request, Response, StatusCode};
use http_body_util::Full;
use prost::Message;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};
use tonic::{Status, body::Body, codegen::Service};
use tonic_types::StatusExt;

use crate::support::{
    Engine, World,
    frames::{self, DATA, END_HEADERS, END_STREAM, HEADERS, call, frame, message},
    people::sign_up,
    process::{Process, within},
    raw::{authorized, http as post, unary},
    refusal::refused,
};

const SIGN_UP: &str = "/daybook.auth.v1.AuthService/SignUp";

/// Sends a request as a browser would, over HTTP/2.
async fn send(world: &World, method: &str, headers: &[(&str, &str)]) -> Response<Body> {
    let mut request = Request::builder().method(method).uri(SIGN_UP);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let request = request.body(Body::new(Full::new(Bytes::new()))).unwrap();
    let mut channel = world.channel.clone();
    poll_fn(|context| channel.poll_ready(context)).await.unwrap();
    channel.call(request).await.unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn only_listed_origins_are_let_in() {
    let listed = ["https://app.example.org", "http://localhost:3000"];
    let settings =
        [("server.cors_origins", &*listed.join(",")), ("server.cors_headers", "x-tenant")];
    let world = World::with(Engine::Sqlite, &settings).await;
    let foreign = [
        "null",
        "",
        "*",
        "https://example.org",
        "http://app.example.org",
        "https://app.example.org:8443",
        "https://app.example.org:443",
        "https://app.example.org.evil.example",
        "https://evil-app.example.org",
        "https://sub.app.example.org",
        "https://app.example.org/",
        "https://app.example.org@evil.example",
        "https://APP.example.org",
        "https://app.example.orgx",
        "https://appxexample.org",
        "https://app.example.org, https://evil.example",
        "http://localhost",
        "http://localhost:30000",
        "http://127.0.0.1:3000",
        "file://",
    ];
    for (origin, is_listed) in
        listed.iter().map(|it| (*it, true)).chain(foreign.iter().map(|it| (*it, false)))
    {
        let ask = [
            ("origin", origin),
            ("access-control-request-method", "POST"),
            ("access-control-request-headers", "authorization,traceparent,x-grpc-web,x-tenant"),
        ];
        let call = [("origin", origin), ("content-type", "application/grpc-web+proto")];
        for (method, headers) in [("OPTIONS", &ask[..]), ("POST", &call)] {
            let answer = send(&world, method, headers).await;
            let allowed = answer.headers().get("access-control-allow-origin");
            let expected = is_listed.then_some(origin);
            assert_eq!(allowed.map(|it| it.to_str().unwrap()), expected, "{method} {origin:?}");
            // No page gets what the browser keeps for somebody.
            assert!(!answer.headers().contains_key("access-control-allow-credentials"));
            if is_listed && method == "OPTIONS" {
                let headers = answer.headers()["access-control-allow-headers"].to_str().unwrap();
                let headers: Vec<_> = headers.split(',').map(str::trim).collect();
                let tracing = ["traceparent", "tracestate", "baggage", "x-user-agent"];
                let connect = ["connect-protocol-version", "connect-timeout-ms"];
                for header in tracing.iter().chain(&connect).chain(&["authorization", "x-tenant"]) {
                    assert!(headers.contains(header), "{header} in {headers:?}");
                }
                assert!(!headers.contains(&"x-daybook-act-for"), "{headers:?}");
            }
            if is_listed && method == "POST" {
                let exposed = answer.headers()["access-control-expose-headers"].to_str().unwrap();
                for header in ["grpc-status", "grpc-message", "grpc-status-details-bin"] {
                    assert!(exposed.contains(header), "{exposed}");
                }
            }
        }
    }
    // Without a list nobody is let in.
    let world = World::new(Engine::Sqlite).await;
    let answer = send(&world, "OPTIONS", &[("origin", "https://app.example.org")]).await;
    assert!(!answer.headers().contains_key("access-control-allow-origin"));
}

/// What a page may send across origins without asking, and other types that are none.
const FOREIGN: [&str; 9] = [
    "text/plain",
    "text/plain; application/grpc",
    "application/x-www-form-urlencoded",
    "multipart/form-data",
    "application/json",
    "application/proto",
    "application/grpcx",
    "APPLICATION/GRPC",
    "",
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn foreign_content_types_reach_no_handler() {
    let world = World::new(Engine::Sqlite).await;
    let before = world.state().await;
    let body = sign_up(Role::Customer).encode_to_vec();
    for kind in FOREIGN {
        let answer = post(&world.channel, ("POST", SIGN_UP), kind, &body).await;
        assert_eq!(answer.status(), StatusCode::UNSUPPORTED_MEDIA_TYPE, "{kind:?}");
    }
    assert_eq!(world.state().await, before);
    // The same over HTTP/1.1, which is what forms speak.
    let process = Process::start(Engine::Sqlite, &[]).await;
    for (kind, status) in
        FOREIGN.iter().map(|kind| (*kind, "415")).chain([("application/grpc-web+proto", "200")])
    {
        let mut stream = TcpStream::connect(process.address).await.unwrap();
        let head = format!(
            "POST {SIGN_UP} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\
             content-type: {kind}\r\ncontent-length: 0\r\n\r\n"
        );
        stream.write_all(head.as_bytes()).await.unwrap();
        let mut answer = Vec::new();
        within(10, "the answer", stream.read_to_end(&mut answer)).await.unwrap();
        let answer = String::from_utf8_lossy(&answer);
        assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{kind:?}: {answer}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_call_has_one_message() {
    let world = World::new(Engine::Sqlite).await;
    let framed = |request: SignUpRequest| {
        let bytes = request.encode_to_vec();
        let length = u32::try_from(bytes.len()).unwrap().to_be_bytes();
        [&[0][..], &length, &bytes].concat()
    };
    let send = async |kind: &str, body: Vec<u8>| {
        let request = Request::builder().method("POST").uri(SIGN_UP).header("content-type", kind);
        let request = request.body(Body::new(Full::new(Bytes::from(body)))).unwrap();
        let mut channel = world.channel.clone();
        poll_fn(|context| channel.poll_ready(context)).await.unwrap();
        channel.call(request).await.unwrap()
    };
    let (one, other) = (sign_up(Role::Customer), sign_up(Role::Customer));
    let before = world.state().await;
    for kind in ["application/grpc", "application/grpc-web+proto"] {
        let two = [framed(one.clone()), framed(other.clone())].concat();
        let answer = send(kind, two).await;
        let status = Status::from_header_map(answer.headers()).unwrap();
        refused(Err::<(), _>(status), "MALFORMED_REQUEST");
    }
    assert_eq!(world.state().await, before);
    let answer = send("application/grpc-web+proto", framed(one)).await;
    assert_eq!(answer.status(), StatusCode::OK);
    assert_ne!(world.state().await, before);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn large_and_compressed_messages_are_refused_without_being_read() {
    let process = Process::start(Engine::Sqlite, &[]).await;
    let channel = process.connect().await;
    // Once, so that what a first call needs is there.
    refused(unary(&channel, SIGN_UP, authorized(vec![0; 70_000], None)).await, "MESSAGE_TOO_LARGE");
    let before = process.resident_kib();
    for _ in 0..20 {
        let large = authorized(vec![0; 5 * 1024 * 1024], None);
        // Whether the refusal or the end of the stream comes first depends on who is faster.
        let status = unary(&channel, SIGN_UP, large).await.unwrap_err();
        let details = status.get_error_details();
        if let Some(info) = details.error_info() {
            assert_eq!(info.metadata["max_bytes"], "65536", "{status:?}");
            assert!(status.message().contains("65536 bytes"), "{status:?}");
        }
        // A gigabyte of zeros is a megabyte when it is compressed; nothing is decompressed here.
        let mut bomb = authorized(vec![0; 60_000], None);
        bomb.metadata_mut().insert("grpc-encoding", "gzip".parse().unwrap());
        unary(&channel, SIGN_UP, bomb).await.unwrap_err();
    }
    let growth = process.resident_kib().saturating_sub(before);
    println!("20 messages of 5 MiB and 20 compressed ones: {growth} KiB more");
    assert!(growth < 8 * 1024, "{growth} KiB");
    // A message that says it is compressed, of a call that does not say how.
    let mut stream = frames::connect(process.address, &[]).await;
    let mut bomb = message(&[0; 100]);
    bomb[0] = 1;
    let call = frame(HEADERS, END_HEADERS, 1, &call(SIGN_UP, None));
    stream.write_all(&[call, frame(DATA, END_STREAM, 1, &bomb)].concat()).await.unwrap();
    let answer = async {
        loop {
            let answer = frames::next(&mut stream).await.unwrap().expect("an answer");
            if answer.kind == HEADERS {
                return answer;
            }
        }
    };
    // Trailers only: there is no message.
    assert_ne!(within(10, "an answer", answer).await.flags & END_STREAM, 0);
}
