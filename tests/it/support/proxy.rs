//! A TCP proxy that makes a link slow, holds it up, or breaks it.

use std::{
    io,
    net::SocketAddr,
    sync::{
        Arc, Mutex, Weak,
        atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering},
    },
    time::Duration,
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{
        TcpListener, TcpStream,
        tcp::{OwnedReadHalf, OwnedWriteHalf},
    },
    sync::{mpsc, watch},
    time::Instant,
};

/// Between a client and a server, until it is dropped.
pub struct Proxy {
    pub address: SocketAddr,
    state: Arc<State>,
}

struct State {
    upstream: SocketAddr,
    delay: Duration,
    /// Counts the cuts.
    cut: watch::Sender<u64>,
    refusing: AtomicBool,
    holding: watch::Sender<bool>,
    /// Counts the times that connections fell silent.
    silenced: watch::Sender<u64>,
    /// Whether the connections there were then are held up.
    stalled: watch::Sender<bool>,
    /// Which words of a client make its connection fall silent, and how many have.
    mute: Mutex<Option<&'static [u8]>>,
    muted: AtomicU64,
    /// How many more bytes go through before all connections are reset.
    left: Arc<AtomicI64>,
}

impl Proxy {
    /// In front of `upstream`, and as long as `delay` away from it.
    pub async fn before(upstream: SocketAddr, delay: Duration) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let state = Arc::new(State {
            upstream,
            delay,
            cut: watch::Sender::new(0),
            refusing: AtomicBool::new(false),
            holding: watch::Sender::new(false),
            silenced: watch::Sender::new(0),
            stalled: watch::Sender::new(false),
            mute: Mutex::default(),
            muted: AtomicU64::new(0),
            left: Arc::new(AtomicI64::new(i64::MAX)),
        });
        let weak = Arc::downgrade(&state);
        let mut ended = state.cut.subscribe();
        tokio::spawn(async move {
            loop {
                tokio::select! {
                    accepted = listener.accept() => {
                        let (Ok((client, _)), Some(state)) = (accepted, weak.upgrade()) else {
                            return;
                        };
                        if !state.refusing.load(Ordering::SeqCst) {
                            tokio::spawn(join(client, state));
                        }
                    }
                    // The sender is gone with the proxy and its connections.
                    cut = ended.changed() => if cut.is_err() { return },
                }
            }
        });
        Self { address, state }
    }

    /// Resets every connection.
    pub fn cut(&self) {
        self.state.cut.send_modify(|cuts| *cuts += 1);
    }

    /// Resets every connection in the middle of what is said, after so many bytes either way.
    pub fn cut_after(&self, bytes: i64) {
        self.state.left.store(bytes, Ordering::SeqCst);
    }

    /// Whether that has happened.
    pub fn was_cut(&self) -> bool {
        self.state.left.load(Ordering::SeqCst) > i64::MAX / 2
    }

    /// Lets nothing more through on the connections there are, as when the machine behind them is gone.
    /// They are not closed. New ones are as before.
    pub fn silence(&self) {
        self.state.silenced.send_modify(|times| *times += 1);
    }

    /// Holds up the connections there are, either way, until they are let go on. New ones are as before.
    pub fn stall(&self, stalled: bool) {
        self.state.stalled.send_replace(stalled);
    }

    /// From now on a connection falls silent when its client says these words, which do not arrive.
    pub fn mute_after(&self, words: Option<&'static [u8]>) {
        *self.state.mute.lock().unwrap() = words;
    }

    /// How many connections have fallen silent so.
    pub fn muted(&self) -> u64 {
        self.state.muted.load(Ordering::SeqCst)
    }

    /// Closes new connections as soon as they come, or no longer.
    pub fn refuse(&self, refusing: bool) {
        self.state.refusing.store(refusing, Ordering::SeqCst);
    }

    /// Keeps back what the server says, or lets it go on.
    pub fn hold_answers(&self, holding: bool) {
        self.state.holding.send_replace(holding);
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.cut();
    }
}

async fn join(client: TcpStream, state: Arc<State>) -> io::Result<()> {
    let (mut cut, mut silenced) = (state.cut.subscribe(), state.silenced.subscribe());
    let mut stalled = state.stalled.subscribe();
    let server = TcpStream::connect(state.upstream).await?;
    for stream in [&client, &server] {
        stream.set_nodelay(true)?;
        // Closed with a reset, as when a machine or a middlebox dies.
        stream.set_zero_linger()?;
    }
    let (from_client, to_client) = client.into_split();
    let (from_server, to_server) = server.into_split();
    let free = watch::Sender::new(false);
    let limit = |is_client: bool| Limit {
        left: Arc::clone(&state.left),
        cut: state.cut.clone(),
        client_of: is_client.then(|| Arc::downgrade(&state)),
    };
    let there = pump(from_client, to_server, state.delay, free.subscribe(), limit(true));
    let back = pump(from_server, to_client, state.delay, state.holding.subscribe(), limit(false));
    drop(state);
    // Not dropped with the loser of the race, which would close the connection.
    tokio::pin!(there, back);
    loop {
        tokio::select! {
            done = &mut there => return done,
            done = &mut back => return done,
            _ = cut.changed() => return Ok(()),
            is_there = silenced.changed() => {
                if is_there.is_ok() {
                    let _ = cut.changed().await;
                }
                return Ok(());
            }
            // Neither way is looked at meanwhile.
            is_there = stalled.changed() => {
                if is_there.is_err() || stalled.wait_for(|stalled| !stalled).await.is_err() {
                    return Ok(());
                }
            }
        }
    }
}

async fn pump(
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    delay: Duration,
    mut holding: watch::Receiver<bool>,
    limit: Limit,
) -> io::Result<()> {
    let (send, mut receive) = mpsc::channel::<(Instant, Vec<u8>)>(1024);
    let reading = async move {
        let mut buffer = vec![0; 16 * 1024];
        loop {
            let length = from.read(&mut buffer).await?;
            if length == 0 || send.send((Instant::now(), buffer[..length].to_vec())).await.is_err()
            {
                return Ok(());
            }
        }
    };
    let writing = async move {
        while let Some((came, bytes)) = receive.recv().await {
            tokio::time::sleep_until(came + delay).await;
            let _ = holding.wait_for(|holding| !holding).await;
            if limit.falls_silent(&bytes) {
                std::future::pending::<()>().await;
            }
            to.write_all(limit.take(&bytes)).await?;
            limit.cut_if_over();
        }
        Ok(())
    };
    // What was read is still written when the reader is done.
    tokio::try_join!(reading, writing).map(|_: ((), ())| ())
}

/// Where all connections are reset.
struct Limit {
    left: Arc<AtomicI64>,
    cut: watch::Sender<u64>,
    /// Of what a client says: where it stands which words are its last.
    client_of: Option<Weak<State>>,
}

impl Limit {
    /// What of this goes through.
    fn take<'a>(&self, bytes: &'a [u8]) -> &'a [u8] {
        let length = i64::try_from(bytes.len()).unwrap();
        let left = self.left.fetch_sub(length, Ordering::SeqCst);
        &bytes[..usize::try_from(left.clamp(0, length)).unwrap()]
    }

    /// Whether these are the words after which nothing more goes through.
    fn falls_silent(&self, bytes: &[u8]) -> bool {
        let Some(state) = self.client_of.as_ref().and_then(Weak::upgrade) else { return false };
        let words = *state.mute.lock().unwrap();
        let is_silent = words.is_some_and(|words| bytes.windows(words.len()).any(|at| at == words));
        state.muted.fetch_add(is_silent.into(), Ordering::SeqCst);
        is_silent
    }

    fn cut_if_over(&self) {
        if self.left.load(Ordering::SeqCst) <= 0 {
            self.left.store(i64::MAX, Ordering::SeqCst);
            self.cut.send_modify(|cuts| *cuts += 1);
        }
    }
}
