//! What browsers may do, and what is no gRPC at all.

use std::{future::poll_fn, process::Stdio};

use bytes::Bytes;
use daybook::grpc::proto::auth::{Role, SignUpRequest, auth_service_client::AuthServiceClient};
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
async fn large_messages_are_refused_without_being_read() {
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
    }
    let growth = process.resident_kib().saturating_sub(before);
    println!("20 messages of 5 MiB: {growth} KiB more");
    assert!(growth < 8 * 1024, "{growth} KiB");
}

/// What gzip makes of these bytes.
async fn gzipped(plain: Vec<u8>) -> Vec<u8> {
    let mut gzip = tokio::process::Command::new("gzip");
    let gzip = gzip.args(["-9", "-n", "-c"]).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut gzip = gzip.kill_on_drop(true).spawn().expect("gzip");
    let mut into = gzip.stdin.take().unwrap();
    let written = async move { into.write_all(&plain).await.unwrap() };
    let (done, ()) =
        within(60, "gzip", async { tokio::join!(gzip.wait_with_output(), written) }).await;
    let done = done.unwrap();
    assert!(done.status.success() && done.stdout.starts_with(&[0x1f, 0x8b]));
    done.stdout
}

/// A message with this flag before it.
fn flagged(flag: u8, body: &[u8]) -> Vec<u8> {
    let length = u32::try_from(body.len()).unwrap().to_be_bytes();
    [&[flag][..], &length, body].concat()
}

/// One sign-up, really compressed, and a bomb: 60 MiB of zeros, which are less than a message may have. Nothing
/// is inflated, whatever the headers say of it, over gRPC and gRPC-Web.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn compressed_messages_are_refused_and_not_inflated() {
    let process = Process::start(Engine::Sqlite, &[]).await;
    let request = sign_up(Role::Customer);
    let plain = request.encode_to_vec();
    let (small, bomb) = (gzipped(plain.clone()).await, gzipped(vec![0; 60 * 1024 * 1024]).await);
    assert!(bomb.len() < 65_536, "{}", bomb.len());
    let send = async |kind: &str, header: Option<(&str, &str)>, body: Vec<u8>| {
        let call = Request::builder().method("POST").uri(SIGN_UP).header("content-type", kind);
        let call = header.into_iter().fold(call, |call, (name, value)| call.header(name, value));
        let call = call.body(Body::new(Full::new(Bytes::from(body)))).unwrap();
        let mut channel = process.channel.clone();
        poll_fn(|context| channel.poll_ready(context)).await.unwrap();
        let answer = within(10, "an answer", channel.call(call)).await.unwrap();
        assert!(!answer.headers().contains_key("grpc-encoding"), "{:?}", answer.headers());
        // Trailers only: there is no message.
        Err::<(), _>(Status::from_header_map(answer.headers()).expect("a refusal"))
    };
    let refused_for = async |kind: &str, header, body: Vec<u8>, reason: &str| {
        let status = refused(send(kind, header, body).await, reason);
        assert!(!status.message().contains("gzip"), "{status:?}");
    };
    // Once, so that what a first call needs is there.
    refused_for("application/grpc", None, flagged(1, &small), "MALFORMED_REQUEST").await;
    let before = process.resident_kib();
    for kind in ["application/grpc", "application/grpc-web+proto"] {
        for encoding in [
            "gzip",
            "GZIP",
            "x-gzip",
            "deflate",
            "zstd",
            "br",
            "snappy",
            "gzip, identity",
            "nonsense",
        ] {
            let header = Some(("grpc-encoding", encoding));
            for body in
                [flagged(1, &small), flagged(1, &bomb), flagged(0, &plain), flagged(0, &small)]
            {
                refused_for(kind, header, body, "METHOD_UNKNOWN").await;
            }
        }
        // Said to be compressed, of a call that does not say how, or that says it is not.
        for header in
            [None, Some(("grpc-encoding", "identity")), Some(("content-encoding", "gzip"))]
        {
            for body in [flagged(1, &small), flagged(1, &bomb), flagged(1, &plain)] {
                refused_for(kind, header, body, "MALFORMED_REQUEST").await;
            }
            // Flags that there are not, and what is compressed without saying so.
            for body in
                [flagged(2, &plain), flagged(0x7f, &plain), flagged(0, &small), flagged(0, &bomb)]
            {
                refused_for(kind, header, body, "MALFORMED_REQUEST").await;
            }
        }
    }
    let growth = process.resident_kib().saturating_sub(before);
    println!("30 bombs of 60 MiB: {growth} KiB more");
    assert!(growth < 16 * 1024, "{growth} KiB");
    // Nobody was signed up by any of them.
    let mut auth = AuthServiceClient::new(process.channel.clone());
    auth.sign_up(request).await.unwrap();
}
