//! A handler that panics: an answer that tells nothing of the inside, a line in the log with the id of the call, and
//! nothing else. The handlers are the test's own; what is around them is the server's, on a real socket.

use std::{
    io::{self, Write},
    panic::panic_any,
    sync::{Arc, Mutex},
};

use daybook::{grpc::server::serve_health, kernel::ambient::Ambient};
use tokio::{net::TcpListener, sync::Semaphore};
use tokio_stream::Pending;
use tokio_util::sync::CancellationToken;
use tonic::{Request, Response, Status};
use tonic_health::pb::{
    HealthCheckRequest, HealthCheckResponse,
    health_check_response::ServingStatus,
    health_client::HealthClient,
    health_server::{Health, HealthServer},
};

use crate::{
    reasons::tells_nothing,
    support::{config, connect, process::within},
};

const INSIDE: &str = "the table users has no row";

/// A service that panics where it is asked to.
struct Panicking {
    /// What calls to `slow` wait for.
    gate: Arc<Semaphore>,
}

#[tonic::async_trait]
impl Health for Panicking {
    async fn check(
        &self,
        request: Request<HealthCheckRequest>,
    ) -> Result<Response<HealthCheckResponse>, Status> {
        match &*request.into_inner().service {
            "text" => panic!("the table users has no row"),
            "formatted" => panic!("{INSIDE}, and {}", 7),
            "value" => panic_any(7),
            "later" => {
                tokio::task::yield_now().await;
                panic!("{INSIDE}");
            }
            "index" => drop(vec![0][INSIDE.len()..].to_vec()),
            "slow" => drop(self.gate.acquire().await.unwrap()),
            _ => {}
        }
        let status = ServingStatus::Serving.into();
        Ok(Response::new(HealthCheckResponse { status }))
    }

    type WatchStream = Pending<Result<HealthCheckResponse, Status>>;

    async fn watch(
        &self,
        _: Request<HealthCheckRequest>,
    ) -> Result<Response<Self::WatchStream>, Status> {
        panic!("{INSIDE}")
    }
}

/// What was logged.
#[derive(Clone, Default)]
struct Lines(Arc<Mutex<Vec<u8>>>);

impl Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn asks(service: &str) -> Request<HealthCheckRequest> {
    let mut request = Request::new(HealthCheckRequest { service: service.to_owned() });
    request.metadata_mut().insert("x-request-id", "trace-7".parse().unwrap());
    request
}

/// On one thread, to which the log belongs.
#[tokio::test]
async fn a_handler_that_panics_tells_nothing_and_disturbs_nobody() {
    let lines = Lines::default();
    let to = lines.clone();
    let log = tracing_subscriber::fmt().with_ansi(false).with_writer(move || to.clone()).finish();
    let _guard = tracing::subscriber::set_default(log);
    let logged = || {
        let told = std::mem::take(&mut *lines.0.lock().unwrap());
        String::from_utf8(told).unwrap()
    };

    let folder = tempfile::tempdir().unwrap();
    let config = config("sqlite::memory:", folder.path(), &[]);
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let gate = Arc::new(Semaphore::new(0));
    let service = HealthServer::new(Panicking { gate: Arc::clone(&gate) });
    let stopping = CancellationToken::new();
    let serving = tokio::spawn(async move {
        serve_health(listener, service, &config, Ambient::system(), stopping).await
    });

    let channel = connect(&address).await;
    let mut health = HealthClient::new(channel.clone());
    // A call on the same connection that is under way all the while.
    let mut other = HealthClient::new(channel.clone());
    let slow = tokio::spawn(async move { other.check(asks("slow")).await });
    logged();
    for (service, cause) in [
        ("text", INSIDE),
        ("formatted", "the table users has no row, and 7"),
        ("value", "a handler panicked: "),
        ("later", INSIDE),
        ("index", "range start index"),
    ] {
        tells_nothing(&health.check(asks(service)).await.unwrap_err());
        let logged = logged();
        let line = logged.lines().find(|line| line.contains("a handler panicked")).unwrap();
        assert!(line.contains("ERROR") && line.contains("trace-7"), "{line}");
        assert!(line.contains(cause), "{service}: {line}");
    }
    // One address may have 1,024 of these at a time: each place was given back.
    for _ in 0..1_100 {
        tells_nothing(&health.watch(asks("")).await.unwrap_err());
    }
    // The others go on, on this connection and on a new one.
    health.check(asks("")).await.unwrap();
    gate.add_permits(1);
    within(10, "the slow call", slow).await.unwrap().unwrap();
    HealthClient::new(connect(&address).await).check(asks("")).await.unwrap();
    serving.abort();
}
