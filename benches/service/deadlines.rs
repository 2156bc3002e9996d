//! Bookings with a short and with a long deadline, far from the database.

use std::time::Duration;

use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    sync::mpsc,
    task::JoinSet,
    time::{Instant, sleep_until},
};

use crate::{
    Outcome,
    bed::Bed,
    load::closed,
    process::Process,
    report::{Report, Row, Spread, met, middle},
    tell,
};

const CALLERS: usize = 16;
/// From the server to the database and back.
const ROUND_TRIP: Duration = Duration::from_millis(30);
/// In seconds. The usual deadline of a call is ten.
const DEADLINES: [u64; 2] = [8, 20];
const PAIRS: usize = 20;
const GOAL: f64 = 0.9;

/// Measures both in turn, in pairs of which every other begins with the long one.
pub(crate) async fn measure(bed: &Bed, report: &mut Report) -> Outcome {
    let url = bed.cluster.url(bed.small.database);
    let (relay, port) = Relay::before(bed.cluster.port()).await?;
    let far = url.replace(&format!(":{}/", bed.cluster.port()), &format!(":{port}/"));
    let service = Process::daybook(&bed.folder, &far).await?;
    let callers = bed.callers_of(&service, &bed.small, CALLERS).await?;
    bed.reset().await?;
    callers.book_with_everybody().await?;
    let pairs = if bed.settings.is_quick { 2 } else { PAIRS };
    let time = Duration::from_secs(2);
    let (mut rates, mut ratios) = ([vec![], vec![]], vec![]);
    for pair in 0..pairs {
        tell(&format!("deadlines, pair {} of {pairs}", pair + 1));
        let mut both = [0.0; 2];
        for turn in 0..2 {
            let which = (pair + turn) % 2;
            let deadline = Duration::from_secs(DEADLINES[which]);
            let book =
                |caller: usize, random: &mut _| callers.book_within(caller, deadline, random);
            let tally = closed(CALLERS, time, book).await;
            both[which] = tally.only(&["OK", "SLOT_TAKEN", "CUSTOMER_BUSY"])?.rate();
        }
        rates[0].push(both[0]);
        rates[1].push(both[1]);
        ratios.push(both[1] / both[0]);
    }
    drop(relay);
    let (median, between) = middle(ratios);
    let [short, long] = rates.map(|rates| Spread::of(rates).text(0, "/s"));
    report.row(Row {
        figure: format!(
            "bookings with a deadline of {} s against {} s, {} ms to PostgreSQL, {CALLERS} callers, {pairs} pairs",
            DEADLINES[1],
            DEADLINES[0],
            ROUND_TRIP.as_millis()
        ),
        goal: format!("≥ {GOAL}"),
        limit: short,
        measured: long,
        ratio: format!("{median:.2} (95 %: {:.2}–{:.2})", between[0], between[1]),
        met: met(median >= GOAL),
    });
    Ok(())
}

/// A way to the database on which every byte takes half a round trip. Gone with this value.
struct Relay {
    _connections: JoinSet<()>,
}

impl Relay {
    /// Before the database on this port of this machine. Returns the port to connect to.
    async fn before(database: u16) -> Outcome<(Self, u16)> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let port = listener.local_addr()?.port();
        let mut connections = JoinSet::new();
        connections.spawn(async move {
            let mut ways = JoinSet::new();
            while let Ok((near, _)) = listener.accept().await {
                let Ok(far) = TcpStream::connect(("127.0.0.1", database)).await else { continue };
                let _ = (near.set_nodelay(true), far.set_nodelay(true));
                let ((near_from, near_to), (far_from, far_to)) =
                    (near.into_split(), far.into_split());
                ways.spawn(carry(near_from, far_to));
                ways.spawn(carry(far_from, near_to));
            }
        });
        Ok((Self { _connections: connections }, port))
    }
}

/// Carries what comes, each piece after half a round trip, as many as there are on the way.
async fn carry(mut from: impl AsyncRead + Unpin + Send, mut to: impl AsyncWrite + Unpin + Send) {
    let (send, mut on_the_way) = mpsc::unbounded_channel::<(Instant, Vec<u8>)>();
    let take = async move {
        let mut buffer = vec![0; 64 * 1024];
        while let Ok(length @ 1..) = from.read(&mut buffer).await {
            let due = Instant::now() + ROUND_TRIP / 2;
            if send.send((due, buffer[..length].to_vec())).is_err() {
                return;
            }
        }
    };
    let give = async move {
        while let Some((due, bytes)) = on_the_way.recv().await {
            sleep_until(due).await;
            if to.write_all(&bytes).await.is_err() {
                return;
            }
        }
    };
    tokio::join!(take, give);
}
