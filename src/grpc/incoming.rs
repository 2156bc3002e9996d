//! Connections: accepted up to a limit in all and from one address, and closed when nothing arrives.
//!
//! A socket that never finishes the HTTP/2 preface would otherwise be kept for ever, and would keep
//! the process from stopping. A TLS handshake has no more time: it and the first bytes after it share one
//! deadline.

use std::{
    future::Future,
    io,
    net::{IpAddr, SocketAddr},
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use governor::clock::MonotonicClock;
use ipnet::IpNet;
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::{TcpListener, TcpStream},
    sync::mpsc::Sender,
    time::{Instant as Moment, Sleep, sleep_until, timeout_at},
};
use tokio_rustls::server::TlsStream;
use tokio_stream::{Stream, wrappers::ReceiverStream};
use tonic::transport::server::{Connected, TcpConnectInfo};

use super::{
    frames::Frames,
    rates::{Buckets, network},
    shares::{Share, Shares},
    tls::Tls,
};
use crate::config::ServerConfig;

/// The length of the HTTP/2 preface (RFC 9113, 3.4). No HTTP/1.1 request is shorter.
const PREFACE: usize = 24;
const KEEPALIVE: Duration = Duration::from_mins(1);
/// How long to wait when the process has no more file descriptors.
const OUT_OF_FILES: Duration = Duration::from_millis(50);

/// What connections are held to.
#[derive(Debug)]
pub(super) struct Limits {
    open: Shares,
    /// How fast they may come from one address. Whoever is cut off for a flood comes again otherwise, as
    /// fast as that goes.
    rate: Option<Buckets<IpAddr>>,
    /// Those that it does not count: everybody comes through them.
    trusted: Vec<IpNet>,
    first_bytes: Duration,
}

impl Limits {
    pub(super) fn new(server: &ServerConfig) -> Self {
        Self {
            open: Shares::new(server.max_connections, server.max_connections_per_address),
            rate: Buckets::new(server.address_connections, MonotonicClock),
            trusted: server.trusted_proxies.clone(),
            first_bytes: Duration::from_millis(server.first_bytes_timeout_ms),
        }
    }

    /// Counts a connection from this address, and gives it a place if it may come now.
    fn admit(&self, address: IpAddr) -> Option<Share> {
        let address = address.to_canonical();
        let is_trusted = || self.trusted.iter().any(|network| network.contains(&address));
        if let Some(rate) = &self.rate
            && !is_trusted()
        {
            rate.take(&network(address)).ok()?;
        }
        self.open.take(address)
    }
}

/// Connections as they are accepted, until what is returned is dropped; with TLS where there is any.
pub(super) fn incoming(
    listener: TcpListener,
    limits: Limits,
    tls: Option<Tls>,
) -> impl Stream<Item = io::Result<Connection>> {
    let (send, receive) = tokio::sync::mpsc::channel(16);
    tokio::spawn(async move {
        loop {
            let (stream, peer) = tokio::select! {
                accepted = listener.accept() => match accepted {
                    Ok(accepted) => accepted,
                    Err(error) => {
                        tracing::warn!(%error, "accepting a connection");
                        tokio::time::sleep(OUT_OF_FILES).await;
                        continue;
                    }
                },
                () = send.closed() => return,
            };
            // Closed at once when there are too many: waiting would hold up everybody.
            let Some(place) = limits.admit(peer.ip()) else {
                tracing::debug!(%peer, "too many connections");
                continue;
            };
            prepare(&stream);
            let until = Moment::now() + limits.first_bytes;
            let Some(tls) = &tls else {
                let connection = Connection::new(Socket::Plain(stream), until, place);
                if send.send(Ok(connection)).await.is_err() {
                    return;
                }
                continue;
            };
            // Not more of these than connections: each has its place already.
            let shaking = tls.acceptor().accept(stream);
            tokio::spawn(greet(shaking, until, place, send.clone()));
        }
    });
    ReceiverStream::new(receive)
}

/// Finishes the TLS handshake in time, or lets the connection go.
async fn greet(
    shaking: tokio_rustls::Accept<TcpStream>,
    until: Moment,
    place: Share,
    send: Sender<io::Result<Connection>>,
) {
    let shaken = tokio::select! {
        shaken = timeout_at(until, shaking) => shaken,
        () = send.closed() => return,
    };
    match shaken {
        Ok(Ok(stream)) => {
            let socket = Socket::Tls(Box::new(stream));
            // Nobody is left to take it where the server is stopping.
            drop(send.send(Ok(Connection::new(socket, until, place))).await);
        }
        Ok(Err(error)) => tracing::debug!(%error, "a TLS handshake failed"),
        Err(_) => tracing::debug!("a TLS handshake took too long"),
    }
}

/// tonic sets these only on sockets that it bound itself.
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

impl Socket {
    fn tcp(&self) -> &TcpStream {
        match self {
            Self::Plain(stream) => stream,
            Self::Tls(stream) => stream.get_ref().0,
        }
    }
}

/// A connection that must send its first bytes in time.
#[derive(Debug)]
pub(super) struct Connection {
    socket: Socket,
    /// How many of the first bytes are still missing.
    missing: usize,
    /// How long to wait for them; gone when they have come.
    patience: Option<Pin<Box<Sleep>>>,
    frames: Frames,
    _place: Share,
}

impl Connection {
    fn new(socket: Socket, until: Moment, place: Share) -> Self {
        let (patience, frames) = (Some(Box::pin(sleep_until(until))), Frames::new(Moment::now()));
        Self { socket, missing: PREFACE, patience, frames, _place: place }
    }
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
        let new = buf.filled().get(before..).unwrap_or_default();
        if !new.is_empty() && !self.frames.admits(new, Moment::now()) {
            tracing::debug!("closed a connection for too many PING or SETTINGS frames");
            return Poll::Ready(Err(io::ErrorKind::ConnectionAborted.into()));
        }
        let Some(patience) = &mut self.patience else { return read };
        if read.is_pending() && patience.as_mut().poll(cx).is_ready() {
            return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
        }
        self.missing = self.missing.saturating_sub(buf.filled().len() - before);
        if self.missing == 0 {
            self.patience = None;
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
        match &mut self.socket {
            Socket::Plain(stream) => Pin::new(stream).poll_write(cx, buf),
            Socket::Tls(stream) => Pin::new(stream).poll_write(cx, buf),
        }
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match &mut self.socket {
            Socket::Plain(stream) => Pin::new(stream).poll_write_vectored(cx, bufs),
            Socket::Tls(stream) => Pin::new(stream).poll_write_vectored(cx, bufs),
        }
    }

    fn is_write_vectored(&self) -> bool {
        match &self.socket {
            Socket::Plain(stream) => stream.is_write_vectored(),
            Socket::Tls(stream) => stream.is_write_vectored(),
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.socket {
            Socket::Plain(stream) => Pin::new(stream).poll_flush(cx),
            Socket::Tls(stream) => Pin::new(stream).poll_flush(cx),
        }
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.socket {
            Socket::Plain(stream) => Pin::new(stream).poll_shutdown(cx),
            Socket::Tls(stream) => Pin::new(stream).poll_shutdown(cx),
        }
    }
}

impl Connected for Connection {
    type ConnectInfo = TcpConnectInfo;

    fn connect_info(&self) -> TcpConnectInfo {
        let address = |found: io::Result<SocketAddr>| found.ok();
        TcpConnectInfo {
            local_addr: address(self.socket.tcp().local_addr()),
            remote_addr: address(self.socket.tcp().peer_addr()),
        }
    }
}
