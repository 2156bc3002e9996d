//! What others notice of attacks, and how soon these are answered.

use std::{
    net::{Ipv4Addr, SocketAddr},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use daybook::grpc::proto::{
    auth::{GetMeRequest, LogInRequest, auth_service_client::AuthServiceClient},
    booking::BookAppointmentRequest,
};
use futures_util::{StreamExt as _, future::join_all, stream};
use prost::Message as _;
use prost_types::Timestamp;
use tonic::Request;
use tonic_health::pb::{HealthCheckRequest, health_client::HealthClient};
use tonic_types::StatusExt as _;

use crate::{
    Outcome,
    bed::{Bed, connections},
    frames::{
        CANCEL, DATA, END_HEADERS, END_STREAM, HEADERS, RST_STREAM, call, flood, frame, message,
    },
    load::{Tally, paced},
    process::Process,
    report::{Report, Row, Spread, met},
    seed::{ASKED, Kind, PASSWORD},
    tell,
};

const BOOKERS: u32 = 16;
const BOOKINGS_PER_SECOND: u32 = 200;
const USUAL: [&str; 3] = ["OK", "SLOT_TAKEN", "CUSTOMER_BUSY"];
/// Between connections, so that none is refused for coming too soon.
const ALLOWED: Duration = Duration::from_millis(20);
/// Valid bookings that one connection wants to take back at once.
const PAIRS: usize = 100_000;
/// Calls at once while no connection to the database is free.
const CALLS: usize = 1000;
/// The accounts of leaked passwords, and the addresses that these are tried from.
const LEAKED: usize = 100_000;
const ADDRESSES: usize = 1000;

/// All of them, on servers of their own with the rates that are usual.
pub(crate) async fn measure(bed: &Bed, report: &mut Report) -> Outcome {
    rapid_resets(bed, report).await?;
    exhausted(bed, report).await?;
    stuffing(bed, report).await
}

/// A server with the settings that others turn off for their load.
async fn service(bed: &Bed, settings: &[(&str, &str)]) -> Outcome<Process> {
    let mut all = vec![
        ("DAYBOOK_MAIL_TRANSPORT", "none"),
        ("DAYBOOK_SERVER_CALLER_READS_PER_SECOND", "50"),
        ("DAYBOOK_SERVER_CALLER_WRITES_PER_SECOND", "20"),
        ("DAYBOOK_SERVER_ADDRESS_CALLS_PER_SECOND", "200"),
        ("DAYBOOK_SERVER_ADDRESS_CONNECTIONS_PER_SECOND", "50"),
    ];
    all.extend(settings);
    Process::daybook_with(&bed.folder, &bed.cluster.url(bed.small.database), &all).await
}

/// Bookings beside somebody who takes valid ones back at once, on one connection after the other.
async fn rapid_resets(bed: &Bed, report: &mut Report) -> Outcome {
    bed.reset().await?;
    let service = service(bed, &[]).await?;
    let callers = bed.callers_of(&service, &bed.small, BOOKERS as usize).await?;
    let book = |caller: usize, random: &mut _| callers.book_any(caller, random);
    let time = bed.settings.time() * 2;
    let token = bed.small.tokens.last().ok_or("there are no tokens")?.to_str()?.to_owned();
    let token = token.trim_start_matches("Bearer ").to_owned();
    // The first of each provider's bookings takes the slow way.
    callers.book_with_everybody().await?;
    let (mut idle, mut beside, mut wild) = (vec![], vec![], vec![]);
    let (mut wanted, mut broken) = (vec![], vec![]);
    for round in 1..=bed.settings.rounds {
        tell(&format!("rapid resets, round {round} of {}", bed.settings.rounds));
        let usual = |tally: Tally| Ok::<_, crate::Failure>(tally.only(&USUAL)?.quantile(0.99));
        idle.push(usual(paced(BOOKERS, BOOKINGS_PER_SECOND, time, book).await)?);
        let start = |pause| {
            Attack::start(service.address(), token.clone(), bed.calendar.first_slot(), pause)
        };
        let attack = start(ALLOWED);
        beside.push(usual(paced(BOOKERS, BOOKINGS_PER_SECOND, time, book).await)?);
        let (connections, pairs) = attack.end();
        let attack = start(Duration::ZERO);
        wild.push(usual(paced(BOOKERS, BOOKINGS_PER_SECOND, time, book).await)?);
        attack.end();
        let seconds = time.as_secs_f64();
        broken.push(float(connections) / seconds);
        wanted.push(float(pairs) / seconds);
    }
    let limit = Spread::of(idle.iter().copied()).text(2, " ms");
    for (how, p99, has_goal) in [
        ("on as many connections as an address may open", beside, true),
        ("as fast as one core sends them", wild, false),
    ] {
        let ratio = Spread::of(p99.iter().zip(&idle).map(|(beside, idle)| beside / idle));
        report.row(Row {
            figure: format!(
                "booking p99 beside rapid resets {how}, {BOOKINGS_PER_SECOND} bookings/s"
            ),
            goal: if has_goal { "≤ 2 × idle" } else { "–" }.to_owned(),
            limit: limit.clone(),
            measured: Spread::of(p99).text(2, " ms"),
            ratio: ratio.text(2, ""),
            met: if has_goal { met(ratio.median <= 2.0) } else { "–".to_owned() },
        });
    }
    report.note(format!(
        "The rapid resets on as many connections as an address may open: {} connections ended, {} pairs of \
         a booking and its reset sent.",
        Spread::of(broken).text(0, "/s"),
        Spread::of(wanted).text(0, "/s"),
    ));
    Ok(())
}

/// Somebody with a thread, so that bookings are not measured with the time that this one takes of theirs.
struct Attack {
    is_over: Arc<AtomicBool>,
    sent: Arc<AtomicUsize>,
    thread: std::thread::JoinHandle<usize>,
}

impl Attack {
    /// Waits so long after each connection.
    fn start(address: SocketAddr, token: String, first: i64, pause: Duration) -> Self {
        let (is_over, sent) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
        let (stop, count) = (Arc::clone(&is_over), Arc::clone(&sent));
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            let Ok(runtime) = runtime else { return 0 };
            runtime.block_on(async {
                let mut connections = 0;
                while !stop.load(Ordering::Relaxed) {
                    let pairs = (0..PAIRS).map(|number| pair(&token, first, number));
                    let seen = flood(address, pairs).await;
                    count.fetch_add(seen.sent, Ordering::Relaxed);
                    connections += 1;
                    tokio::time::sleep(pause).await;
                }
                connections
            })
        });
        Self { is_over, sent, thread }
    }

    /// How many connections it had, and how many pairs it sent.
    fn end(self) -> (usize, usize) {
        self.is_over.store(true, Ordering::Relaxed);
        let connections = self.thread.join().unwrap_or_default();
        (connections, self.sent.load(Ordering::Relaxed))
    }
}

fn pair(token: &str, first: i64, number: usize) -> Vec<u8> {
    let id = u32::try_from(2 * number + 1).unwrap_or_default();
    let start = first + i64::try_from(number).unwrap_or_default() * 1800;
    let at = |seconds| Some(Timestamp { seconds, nanos: 0 });
    let request = BookAppointmentRequest {
        provider: format!("providers/{}", Kind::Provider.id(ASKED)),
        start_time: at(start),
        end_time: at(start + 1800),
        ..BookAppointmentRequest::default()
    };
    let path = "/daybook.booking.v1.BookingService/BookAppointment";
    [
        frame(HEADERS, END_HEADERS, id, &call(path, Some(token))),
        frame(DATA, END_STREAM, id, &message(&request.encode_to_vec())),
        frame(RST_STREAM, 0, id, &CANCEL.to_be_bytes()),
    ]
    .concat()
}

/// A thousand calls while everything in the database waits.
async fn exhausted(bed: &Bed, report: &mut Report) -> Outcome {
    let service = service(bed, &[("DAYBOOK_DATABASE_MAX_CONNECTIONS", "5")]).await?;
    let channels = service.connect(connections(CALLS)).await?;
    let clients: Vec<_> = channels.into_iter().map(AuthServiceClient::new).collect();
    let call = async |number: usize| {
        let mut client = clients[number % clients.len()].clone();
        let mut request = Request::new(GetMeRequest {});
        let token = bed.small.tokens[number % bed.small.tokens.len()].clone();
        request.metadata_mut().insert("authorization", token);
        let began = Instant::now();
        let answer = client.get_me(request).await;
        (answer.map(drop), began.elapsed())
    };
    let (mut slowest, mut shares) = (vec![], vec![]);
    for round in 1..=bed.settings.rounds.min(3) {
        tell(&format!("no free connection to the database, round {round}"));
        // Everybody's tokens have been seen.
        join_all((0..bed.small.tokens.len()).map(call)).await;
        let lock = bed.cluster.sql(
            bed.small.database,
            "BEGIN; LOCK TABLE users IN ACCESS EXCLUSIVE MODE; SELECT pg_sleep(3); COMMIT",
        );
        let calls = async {
            tokio::time::sleep(Duration::from_secs(1)).await;
            let health = async {
                let mut client = HealthClient::new(service.connect_once().await?);
                client.check(HealthCheckRequest::default()).await?;
                Ok::<_, crate::Failure>(())
            };
            let (answers, health) = tokio::join!(join_all((0..CALLS).map(call)), health);
            health.map(|()| answers)
        };
        let (lock, answers) = tokio::join!(lock, calls);
        lock?;
        let mut shed = vec![];
        for (answer, took) in answers? {
            let Err(status) = answer else { continue };
            let details = status.get_error_details();
            let reason = details.error_info().map(|info| info.reason.clone()).unwrap_or_default();
            if reason != "OVERLOADED" || details.retry_info().is_none() {
                return Err(format!("a call was answered {status:?}").into());
            }
            shed.push(took.as_secs_f64() * 1e3);
        }
        slowest.push(shed.iter().copied().fold(0.0, f64::max));
        shares.push(float(shed.len()));
    }
    let slowest = Spread::of(slowest);
    report.row(Row {
        figure: format!(
            "{CALLS} calls at once without a free database connection: the last to be shed"
        ),
        goal: "≤ 100 ms".to_owned(),
        measured: format!("{}; {} shed", slowest.text(1, " ms"), Spread::of(shares).text(0, "")),
        met: met(slowest.median <= 100.0),
        ..Row::default()
    });
    Ok(())
}

/// One password each for many accounts, from many addresses.
async fn stuffing(bed: &Bed, report: &mut Report) -> Outcome {
    let tries = if bed.settings.is_quick { LEAKED / 20 } else { LEAKED };
    tell(&format!("{tries} leaked passwords"));
    let settings = [
        ("DAYBOOK_SERVER_TRUSTED_PROXIES", "127.0.0.0/8"),
        ("DAYBOOK_AUTH_ATTEMPTS_PER_ADDRESS", "100"),
        ("DAYBOOK_AUTH_ATTEMPTS_IN_ALL", "1000"),
    ];
    let service = service(bed, &settings).await?;
    let channels = service.connect(2).await?;
    let clients: Vec<_> = channels.into_iter().map(AuthServiceClient::new).collect();
    bed.cluster.sql(bed.small.database, "DELETE FROM attempts").await?;
    let began = Instant::now();
    let mut answers = stream::iter(0..tries)
        .map(|number| {
            let mut request = Request::new(LogInRequest {
                email: format!("leaked-{number}@example.com"),
                password: PASSWORD.to_owned(),
                ..LogInRequest::default()
            });
            let last = u32::try_from(number % ADDRESSES).unwrap_or_default();
            let from = Ipv4Addr::from(u32::from(Ipv4Addr::new(198, 18, 0, 0)) + last).to_string();
            let mut client = clients[number % clients.len()].clone();
            async move {
                request.metadata_mut().insert("x-forwarded-for", from.parse()?);
                let answer = client.log_in(request).await;
                let info = answer.err().and_then(|status| status.get_details_error_info());
                Ok::<_, crate::Failure>(info.map(|info| info.reason).unwrap_or_default())
            }
        })
        .buffer_unordered(32);
    let (mut judged, mut delayed) = (0_usize, None);
    while let Some(answer) = answers.next().await {
        match answer?.as_str() {
            "LOG_IN_FAILED" => judged += 1,
            "TOO_MANY_ATTEMPTS" => _ = delayed.get_or_insert_with(|| began.elapsed().as_secs_f64()),
            "OVERLOADED" => {}
            other => return Err(format!("a log-in was answered {other:?}").into()),
        }
    }
    let took = began.elapsed().as_secs_f64();
    bed.cluster.sql(bed.small.database, "DELETE FROM attempts").await?;
    let after = delayed.ok_or("nothing was delayed")?;
    report.row(Row {
        figure: format!("{tries} leaked passwords from {ADDRESSES} addresses: the first delay"),
        goal: "≤ 60 s".to_owned(),
        measured: format!("{after:.1} s; {judged} judged in {took:.0} s"),
        met: met(after <= 60.0),
        ..Row::default()
    });
    Ok(())
}

#[expect(clippy::cast_precision_loss, reason = "far below 2⁵²")]
fn float(count: usize) -> f64 {
    count as f64
}
