//! Connections: accepted up to a limit in all and from one address, and closed when nothing arrives.
//!
//! A socket that never finishes the HTTP/2 preface would otherwise be kept for ever, and would keep
//! the process from stopping. A TLS handshake has no more time: it and the first bytes after it share one
//! deadline. Afterwards each frame and each block of headers of HTTP/2 has a time limit; HTTP/1.1 has
//! those of the HTTP library.

use std::{
    io,
    net::IpAddr,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use axum::Router;
use governor::clock::MonotonicClock;
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::{TcpListener, TcpStream},
    time::{Instant as Moment, Sleep, sleep_until, timeout_at},
};
use tokio_rustls::{TlsAcceptor, server::TlsStream};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tonic::transport::server::TcpConnectInfo;

use super::{
    connection_limiter::{ConnectionLimiter, Place},
    connection_service::{Protocol, Served, serve},
    frame_counter::FrameCounter,
    rates::{Buckets, network},
    tls::Tls,
};
use crate::config::ServerConfig;

/// The length of the HTTP/2 preface (RFC 9113, 3.4). No HTTP/1.1 request is shorter.
const PREFACE: usize = 24;
const KEEPALIVE: Duration = Duration::from_mins(1);
/// How long to wait when the process has no more file descriptors,
const OUT_OF_FILES: Duration = Duration::from_millis(50);
/// and until a connection that is to end for it has ended.
const SHED: Duration = Duration::from_millis(1);
/// In which a frame and a block of headers of HTTP/2 must be there whole, and the headers of HTTP/1.1.
pub(in crate::grpc) const HEADERS_IN_TIME: Duration = Duration::from_secs(10);
/// How long the other side may take nothing of what is written before it counts as gone.
const WRITES_IN_TIME: Duration = Duration::from_secs(30);
/// Places for health probes, for connections that find no other.
const FOR_PROBES: usize = 64;
/// In which those must send their first bytes.
const PROBES_IN_TIME: Duration = Duration::from_secs(2);

/// What connections are held to.
#[derive(Debug)]
pub(in crate::grpc) struct Limits {
    open: ConnectionLimiter,
    /// For whoever finds no place there: only health is answered.
    for_probes: Option<ConnectionLimiter>,
    /// How fast they may come from one address. Whoever is cut off for a flood comes again otherwise, as
    /// fast as that goes. It does not count trusted proxies: everybody comes through them.
    rate: Option<Buckets<IpAddr>>,
    first_bytes: Duration,
}

impl Limits {
    pub(in crate::grpc) fn new(server: &ServerConfig) -> Self {
        let (in_all, of_one) = (server.max_connections, server.max_connections_per_address);
        Self {
            open: ConnectionLimiter::new(in_all, of_one, &server.trusted_proxies),
            for_probes: Some(ConnectionLimiter::fleeting(FOR_PROBES)),
            rate: Buckets::new(server.address_connections, MonotonicClock),
            first_bytes: Duration::from_millis(server.first_bytes_timeout_ms),
        }
    }

    /// Counts a connection from this address, and gives it a place if it may come now.
    fn admit(&self, address: IpAddr) -> Option<Admitted> {
        let address = address.to_canonical();
        if let Some(rate) = &self.rate
            && !self.open.trusts(address)
        {
            rate.take(&network(address)).ok()?;
        }
        if let Some(place) = self.open.take(address) {
            return Some(Admitted { place, is_for_probes: false, in_time: self.first_bytes });
        }
        let place = self.for_probes.as_ref()?.take(address)?;
        let in_time = self.first_bytes.min(PROBES_IN_TIME);
        Some(Admitted { place, is_for_probes: true, in_time })
    }
}

/// A connection that may stay.
struct Admitted {
    place: Place,
    is_for_probes: bool,
    in_time: Duration,
}

/// Accepts connections and serves them until `stop`; with TLS where there is any. Then lets the calls under
/// way finish, however long that takes.
pub(in crate::grpc) async fn accept(
    listener: TcpListener,
    limits: Limits,
    tls: Option<Tls>,
    (router, protocol): (Router, Protocol),
    stop: impl Future<Output = ()>,
) {
    let (connections, stopping) = (TaskTracker::new(), CancellationToken::new());
    let mut stop = std::pin::pin!(stop);
    let mut told = None;
    loop {
        let (stream, peer) = tokio::select! {
            () = &mut stop => break,
            accepted = listener.accept() => match accepted {
                Ok(accepted) => accepted,
                Err(error) => {
                    if told.is_none_or(|told: Moment| told.elapsed() > KEEPALIVE) {
                        tracing::warn!(%error, "accepting a connection");
                        told = Some(Moment::now());
                    }
                    // The most frequent cause is that there are no more file descriptors.
                    let has_shed = limits.open.shed();
                    tokio::time::sleep(if has_shed { SHED } else { OUT_OF_FILES }).await;
                    continue;
                }
            },
        };
        // Closed at once when there are too many: waiting would hold up everybody.
        let Some(admitted) = limits.admit(peer.ip()) else {
            tracing::debug!(%peer, "too many connections");
            continue;
        };
        prepare(&stream);
        let until = Moment::now() + admitted.in_time;
        let local_addr = stream.local_addr().ok();
        let served = Served {
            router: router.clone(),
            info: TcpConnectInfo { local_addr, remote_addr: Some(peer) },
            place: Arc::new(admitted.place),
            is_for_probes: admitted.is_for_probes,
        };
        // Not more of these than connections: each has its place already.
        let shaking = tls.as_ref().map(Tls::acceptor);
        let (protocol, stopping) = (protocol.clone(), stopping.clone());
        connections.spawn(async move {
            let greeted = greet(stream, shaking, until, &served.place, &stopping).await;
            let Some(socket) = greeted else { return };
            serve(Connection::new(socket, until), served, &protocol, &stopping).await;
        });
    }
    drop(listener);
    stopping.cancel();
    connections.close();
    connections.wait().await;
}

/// Finishes the TLS handshake in time, where there is any, or lets the connection go.
async fn greet(
    stream: TcpStream,
    acceptor: Option<TlsAcceptor>,
    until: Moment,
    place: &Place,
    stopping: &CancellationToken,
) -> Option<Socket> {
    let Some(acceptor) = acceptor else { return Some(Socket::Plain(stream)) };
    let shaken = tokio::select! {
        shaken = timeout_at(until, acceptor.accept(stream)) => shaken,
        () = place.leave().cancelled() => return None,
        () = place.cut().cancelled() => return None,
        () = stopping.cancelled() => return None,
    };
    match shaken {
        Ok(Ok(stream)) => return Some(Socket::Tls(Box::new(stream))),
        Ok(Err(error)) => tracing::debug!(%error, "a TLS handshake failed"),
        Err(_) => tracing::debug!("a TLS handshake took too long"),
    }
    None
}

/// As tonic does with sockets that it bound itself.
fn prepare(stream: &TcpStream) {
    let keepalive = socket2::TcpKeepalive::new().with_time(KEEPALIVE);
    let set = stream
        .set_nodelay(true)
        .and_then(|()| socket2::SockRef::from(stream).set_tcp_keepalive(&keepalive));
    if let Err(error) = set {
        tracing::debug!(%error, "socket options");
    }
}

/// What a connection speaks through.
#[derive(Debug)]
enum Socket {
    Plain(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
}

/// A connection that must send its first bytes in time, must finish what it begins, and must read.
#[derive(Debug)]
pub(in crate::grpc) struct Connection {
    socket: Socket,
    /// How many of the first bytes are still missing.
    missing: usize,
    frames: FrameCounter,
    /// What must have come by when: the first bytes, or the frame that was begun, by its number.
    due: Option<(u64, Moment)>,
    /// Wakes the reader when that is due. Made when it is waited for.
    alarm: Option<Pin<Box<Sleep>>>,
    /// How long to wait until the other side takes something.
    stalled: Option<Pin<Box<Sleep>>>,
}

impl Connection {
    fn new(socket: Socket, until: Moment) -> Self {
        let frames = FrameCounter::new(Moment::now());
        let due = Some((frames.begun().unwrap_or_default(), until));
        Self { socket, missing: PREFACE, frames, due, alarm: None, stalled: None }
    }

    /// Takes into account what was read. Fails where it is not to be served.
    fn note(&mut self, new: &[u8]) -> io::Result<()> {
        let now = Moment::now();
        if !self.frames.admits(new, now) {
            tracing::debug!("closed a connection for too many PING or SETTINGS frames");
            return Err(io::ErrorKind::ConnectionAborted.into());
        }
        self.missing = self.missing.saturating_sub(new.len());
        if self.missing > 0 {
            return Ok(());
        }
        self.due = match (self.frames.begun(), self.due) {
            (None, _) => None,
            (Some(begun), Some((same, until))) if begun == same => Some((begun, until)),
            (Some(begun), _) => Some((begun, now + HEADERS_IN_TIME)),
        };
        // Also for whoever sends a byte now and then.
        if self.due.is_some_and(|(_, until)| until < now) { Err(late()) } else { Ok(()) }
    }

    /// Fails when nothing came until something was due.
    fn poll_due(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let Some((_, until)) = self.due else { return Poll::Pending };
        let alarm = self.alarm.get_or_insert_with(|| Box::pin(sleep_until(until)));
        if alarm.deadline() != until {
            alarm.as_mut().reset(until);
        }
        alarm.as_mut().poll(cx).map(|()| Err(late()))
    }

    /// Passes on how writing went, and fails when the other side has taken nothing for long.
    fn poll_written<T>(
        &mut self,
        cx: &mut Context<'_>,
        written: Poll<io::Result<T>>,
    ) -> Poll<io::Result<T>> {
        if written.is_ready() {
            self.stalled = None;
            return written;
        }
        let until = || Box::pin(sleep_until(Moment::now() + WRITES_IN_TIME));
        self.stalled.get_or_insert_with(until).as_mut().poll(cx).map(|()| Err(late()))
    }
}

fn late() -> io::Error {
    io::ErrorKind::TimedOut.into()
}

impl AsyncRead for Connection {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        let read = match &mut self.socket {
            Socket::Plain(stream) => Pin::new(stream).poll_read(cx, buf),
            Socket::Tls(stream) => Pin::new(stream).poll_read(cx, buf),
        };
        if read.is_pending() {
            return self.poll_due(cx);
        }
        let new = buf.filled().get(before..).unwrap_or_default();
        if !new.is_empty()
            && let Err(error) = self.note(new)
        {
            return Poll::Ready(Err(error));
        }
        read
    }
}

impl AsyncWrite for Connection {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = match &mut self.socket {
            Socket::Plain(stream) => Pin::new(stream).poll_write(cx, buf),
            Socket::Tls(stream) => Pin::new(stream).poll_write(cx, buf),
        };
        self.poll_written(cx, written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = match &mut self.socket {
            Socket::Plain(stream) => Pin::new(stream).poll_write_vectored(cx, bufs),
            Socket::Tls(stream) => Pin::new(stream).poll_write_vectored(cx, bufs),
        };
        self.poll_written(cx, written)
    }

    fn is_write_vectored(&self) -> bool {
        match &self.socket {
            Socket::Plain(stream) => stream.is_write_vectored(),
            Socket::Tls(stream) => stream.is_write_vectored(),
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let flushed = match &mut self.socket {
            Socket::Plain(stream) => Pin::new(stream).poll_flush(cx),
            Socket::Tls(stream) => Pin::new(stream).poll_flush(cx),
        };
        self.poll_written(cx, flushed)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let shut = match &mut self.socket {
            Socket::Plain(stream) => Pin::new(stream).poll_shutdown(cx),
            Socket::Tls(stream) => Pin::new(stream).poll_shutdown(cx),
        };
        self.poll_written(cx, shut)
    }
}
