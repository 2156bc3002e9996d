//! One connection: the limits of its protocol, the calls on it, and how it ends.
//!
//! tonic's own server sets no limits for HTTP/1.1, and ends no single connection. So the HTTP library is
//! used here as tonic uses it, with the same settings for HTTP/2.

use std::{
    convert::Infallible,
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use axum::{Router, body::Body};
use bytes::Bytes;
use http::{Request, Response};
use http_body::{Body as HttpBody, Frame, SizeHint};
use hyper::body::Incoming;
use hyper_util::{
    rt::{TokioExecutor, TokioIo, TokioTimer},
    server::conn::auto::Builder,
};
use tokio::time::{Instant as Moment, sleep, sleep_until};
use tokio_util::sync::CancellationToken;
use tonic::transport::server::TcpConnectInfo;
use tower::ServiceExt;

use super::{
    connection_limiter::{Call, Place},
    connections::{Connection, HEADERS_IN_TIME},
    gate::refuse,
};
use crate::grpc::policy::{self, Class};
use crate::{config::ServerConfig, kernel::fault::Fault};

const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(30);
const KEEPALIVE_TIMEOUT: Duration = Duration::from_secs(10);
/// Spreads clients over new processes after a roll-out.
const CONNECTION_AGE: Duration = Duration::from_mins(30);
/// The headers of a request, in bytes;
const HEADERS: u32 = 16 * 1024;
/// over HTTP/1.1 with its first line. That much is read before it is taken, also of a body.
const HEADERS_1: usize = 16 * 1024;
/// Error resets before a connection is closed (RUSTSEC-2024-0003).
const ERROR_RESETS: usize = 1024;
const WINDOW: u32 = 1024 * 1024;
/// How long a connection that was told to end may do so with nothing in progress: whoever does not answer
/// then is not there any more.
const GOES_IN_TIME: Duration = Duration::from_secs(5);
/// The same where its place was given to somebody else already,
const GIVES_WAY_IN_TIME: Duration = Duration::from_secs(1);
/// and with calls in progress.
const FINISHES_IN_TIME: Duration = Duration::from_secs(5);
/// Nothing lasts longer once a connection was told to end: no stream lasts more than an hour.
const LAST: Duration = Duration::from_mins(65);
/// Where only health is answered, others are told to come back so soon.
const LATER: Duration = Duration::from_secs(1);

/// The protocols that are spoken, with their limits.
#[derive(Debug, Clone)]
pub(in crate::grpc) struct Protocol {
    http: Builder<TokioExecutor>,
    oldest: Duration,
}

impl Protocol {
    /// `jitter` keeps connections that began together from ending together.
    pub(in crate::grpc) fn new(server: &ServerConfig, jitter: Duration) -> Self {
        let mut http = Builder::new(TokioExecutor::new());
        http.http1()
            .timer(TokioTimer::new())
            .header_read_timeout(HEADERS_IN_TIME)
            .max_buf_size(HEADERS_1);
        http.http2()
            .timer(TokioTimer::new())
            .max_concurrent_streams(server.max_streams_per_connection)
            .keep_alive_interval(KEEPALIVE_INTERVAL)
            .keep_alive_timeout(KEEPALIVE_TIMEOUT)
            .max_header_list_size(HEADERS)
            .max_local_error_reset_streams(ERROR_RESETS)
            .initial_stream_window_size(WINDOW)
            .initial_connection_window_size(2 * WINDOW);
        Self { http, oldest: CONNECTION_AGE + jitter }
    }
}

/// How the connection of a call ends, among the extensions of the request.
#[derive(Debug, Clone, Default)]
pub(in crate::grpc) struct Ends {
    /// Cancelled when it is to end.
    pub(in crate::grpc) leave: CancellationToken,
    /// Ends it at once, where nobody but the caller uses it.
    pub(in crate::grpc) cut: Option<CancellationToken>,
}

/// What answers the calls of one connection.
#[derive(Debug)]
pub(in crate::grpc) struct Served {
    pub(in crate::grpc) router: Router,
    pub(in crate::grpc) info: TcpConnectInfo,
    pub(super) place: Arc<Place>,
    /// Whether nothing but health is answered.
    pub(in crate::grpc) is_for_probes: bool,
}

/// Serves a connection until its end: its own, that of its place, that of its time, or that of the process.
pub(in crate::grpc) async fn serve(
    connection: Connection,
    served: Served,
    protocol: &Protocol,
    stopping: &CancellationToken,
) {
    let place = Arc::clone(&served.place);
    let connection = protocol.http.serve_connection(TokioIo::new(connection), served);
    let mut connection = std::pin::pin!(connection);
    tokio::select! {
        ended = &mut connection => return tell(ended),
        () = place.cut().cancelled() => return,
        () = place.leave().cancelled() => {}
        () = stopping.cancelled() => {}
        () = sleep(protocol.oldest) => {}
    }
    // GOAWAY, or the end after the present answer.
    connection.as_mut().graceful_shutdown();
    let began = Moment::now();
    let (mut idle, mut last) = (began + GOES_IN_TIME, began + LAST);
    let mut gives_way = false;
    loop {
        tokio::select! {
            ended = &mut connection => return tell(ended),
            () = place.cut().cancelled() => return,
            () = place.leave().cancelled(), if !gives_way => {
                let now = Moment::now();
                (idle, last) = (now + GIVES_WAY_IN_TIME, now + FINISHES_IN_TIME);
                gives_way = true;
            }
            () = sleep_until(idle) => {
                if place.is_idle() {
                    return tracing::debug!("cut off a connection that did not end");
                }
                idle = Moment::now() + GIVES_WAY_IN_TIME;
            }
            () = sleep_until(last) => {
                return tracing::debug!("cut off a connection with calls in progress");
            }
        }
    }
}

fn tell(ended: Result<(), Box<dyn std::error::Error + Send + Sync>>) {
    if let Err(error) = ended {
        tracing::debug!(%error, "a connection ended");
    }
}

impl hyper::service::Service<Request<Incoming>> for Served {
    type Response = Response<Counted>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Infallible>> + Send>>;

    fn call(&self, request: Request<Incoming>) -> Self::Future {
        let call = self.place.call();
        let mut request = request.map(Body::new);
        let is_probe = || {
            let entry = policy::entry(request.uri().path());
            entry.is_some_and(|entry| entry.class == Class::Probe)
        };
        if self.is_for_probes && !is_probe() {
            // Connected anew there may be a place.
            self.place.leave().cancel();
            let body = refuse(&Fault::overloaded(LATER)).map(|body| Counted { body, _call: call });
            return Box::pin(std::future::ready(Ok(body)));
        }
        let extensions = request.extensions_mut();
        extensions.insert(self.info.clone());
        let cut = (!self.place.is_trusted()).then(|| self.place.cut().clone());
        extensions.insert(Ends { leave: self.place.leave().clone(), cut });
        let answer = self.router.clone().oneshot(request);
        Box::pin(async move { Ok(answer.await?.map(|body| Counted { body, _call: call })) })
    }
}

/// The body of an answer. The call is in progress until it is sent.
#[derive(Debug)]
pub(in crate::grpc) struct Counted {
    body: Body,
    _call: Call,
}

impl HttpBody for Counted {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        Pin::new(&mut self.body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
