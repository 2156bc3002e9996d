//! Calls that their callers give up, and what is left of them: nothing that anybody else notices.

use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use daybook::grpc::proto::{
    auth::{LogInRequest, auth_service_client::AuthServiceClient},
    booking::{
        Appointment, BookAppointmentRequest, CancelAppointmentRequest,
        booking_service_client::BookingServiceClient,
    },
};
use futures_util::future::join_all;
use prost::Message;
use sea_orm::{ConnectionTrait, DatabaseConnection};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    sync::Mutex,
    time::timeout,
};
use tonic::{Request, Status, transport::Channel};
use tonic_types::StatusExt;

use crate::support::{
    Engine, books,
    books::number,
    connect,
    people::{PASSWORD, Person},
    postgres,
    process::{Process, day, minutes, random, session, until, within},
    proxy::Proxy,
    refusal::{reason_of, refused},
    rounds,
};

/// How far away PostgreSQL is, each way.
const AWAY: Duration = Duration::from_millis(15);
/// How many quarters of an hour callers choose from.
const PLACES: usize = 30_000;

/// Sessions of Daybook on this database.
const SESSIONS: &str = "SELECT count(*) FROM pg_stat_activity
    WHERE datname = current_database() AND application_name = 'daybook'";

/// A process whose PostgreSQL is behind a proxy.
pub async fn far_away(delay: Duration, connections: &str) -> (Process, Proxy) {
    let url = postgres::database().await;
    let (before, rest) = url.split_once("127.0.0.1:").unwrap();
    let (port, name) = rest.split_once('/').unwrap();
    let proxy = Proxy::before(format!("127.0.0.1:{port}").parse().unwrap(), delay).await;
    let through = format!("{before}{}/{name}", proxy.address);
    // Patience, for slow machines: waiting for a session is not what is tested.
    let settings =
        [("database.max_connections", connections), ("database.acquire_timeout_ms", "20000")];
    (Process::on(Engine::Postgres, url.clone(), &through, &settings).await, proxy)
}

/// How a caller gives up.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Manner {
    /// Not at all.
    Honest,
    /// Hangs up: the stream is reset.
    Drops,
    /// Gives the call next to no time.
    Hurries,
    /// Its connection breaks now and then, with all that is under way on it.
    Breaks,
}

/// What callers know: the state in which an appointment must be, if it is known.
type Known = Mutex<HashMap<String, Option<&'static str>>>;

/// What a caller may be refused for; it is then sure that nothing happened.
const REFUSALS: [&str; 3] = ["SLOT_TAKEN", "CUSTOMER_BUSY", "WRONG_STATE"];

/// Makes a call in this manner. Nothing is returned when the caller does not know what became of it.
async fn call<M, T>(
    manner: Manner,
    mut request: Request<M>,
    send: impl AsyncFnOnce(Request<M>) -> Result<T, Status>,
) -> Option<Result<T, Status>> {
    let instant = Duration::from_micros(random(120_000) as u64);
    if manner == Manner::Hurries {
        request.set_timeout(instant.max(Duration::from_millis(1)));
    }
    let answer = match manner {
        Manner::Drops => timeout(instant, send(request)).await.ok()?,
        Manner::Honest | Manner::Hurries | Manner::Breaks => send(request).await,
    };
    let Err(status) = answer else { return Some(answer) };
    let details = status.get_error_details();
    if details.error_info().is_some_and(|info| REFUSALS.contains(&info.reason.as_str())) {
        return Some(Err(status));
    }
    assert!(manner != Manner::Honest, "an honest caller got {status:?}");
    None
}

/// One caller of a storm, until there were `enough` calls that were given up.
async fn caller(
    manner: Manner,
    channel: Channel,
    provider: Person,
    customer: Person,
    known: Arc<Known>,
    given_up: Arc<AtomicUsize>,
    enough: usize,
) -> usize {
    let mut client = BookingServiceClient::new(channel);
    let mut mine = Vec::new();
    let mut acknowledged = 0;
    let mut patience = false;
    while given_up.load(Ordering::SeqCst) < enough {
        // Every other call is an honest one, so that the work that nobody waits for does not pile up.
        patience = !patience;
        let manner = match manner {
            Manner::Breaks => manner,
            _ if patience => Manner::Honest,
            _ => manner,
        };
        let answer = if random(3) == 0 && !mine.is_empty() {
            let name: String = mine.swap_remove(random(mine.len()));
            let message = CancelAppointmentRequest { name: name.clone(), ..Default::default() };
            // From here until the answer anything may be true.
            known.lock().await.insert(name.clone(), None);
            let send = async |request| client.cancel_appointment(request).await;
            let answer = call(manner, customer.asks(message), send).await;
            if let Some(Ok(_)) = answer {
                known.lock().await.insert(name, Some("cancelled"));
            }
            answer.map(|answer| answer.map(|_| ()))
        } else {
            let place = i64::try_from(random(PLACES)).unwrap() * 15;
            let message = minutes(&provider, day(), (place, place + 15));
            let message = match random(2) {
                0 => BookAppointmentRequest { request_id: String::new(), ..message },
                _ => message,
            };
            let send = async |request| client.book_appointment(request).await;
            let answer = call(manner, customer.asks(message), send).await;
            if let Some(Ok(answer)) = &answer {
                let name = answer.get_ref().appointment.clone().unwrap().name;
                known.lock().await.insert(name.clone(), Some("booked"));
                mine.push(name);
            }
            answer.map(|answer| answer.map(|_| ()))
        };
        match answer {
            Some(Ok(())) => acknowledged += 1,
            Some(Err(_)) => {}
            None => {
                given_up.fetch_add(1, Ordering::SeqCst);
            }
        }
    }
    acknowledged
}

/// Honest callers among those who give up. Afterwards everything that was acknowledged is there, and
/// every session of the pool works.
async fn storm(process: &Process, enough: usize) -> DatabaseConnection {
    let customers = process.customers(24).await;
    let mut providers = Vec::new();
    for _ in 0..8 {
        providers.push(process.provider().await);
    }
    let front = Proxy::before(process.address, Duration::ZERO).await;
    let known: Arc<Known> = Arc::default();
    let given_up = Arc::new(AtomicUsize::new(0));
    let mut callers = Vec::new();
    for (place, customer) in customers.iter().enumerate() {
        let manner = [Manner::Honest, Manner::Drops, Manner::Hurries, Manner::Breaks][place % 4];
        let channel = match manner {
            Manner::Breaks => connect(&front.address.to_string()).await,
            _ => process.channel.clone(),
        };
        callers.push(tokio::spawn(caller(
            manner,
            channel,
            providers[random(8)].clone(),
            customer.clone(),
            Arc::clone(&known),
            Arc::clone(&given_up),
            enough,
        )));
    }
    let breaking = async {
        loop {
            tokio::time::sleep(Duration::from_millis(200 + random(400) as u64)).await;
            front.cut();
        }
    };
    let acknowledged: usize = tokio::select! {
        done = within(300, "the storm", join_all(callers)) => done.into_iter().map(Result::unwrap).sum(),
        () = breaking => unreachable!(),
    };
    let given_up = given_up.load(Ordering::SeqCst);
    println!("{:?}: {given_up} calls given up, {acknowledged} acknowledged", process.engine);
    assert!(acknowledged > enough / 4, "only {acknowledged} calls were acknowledged");

    // Each session of the pool in turn: what it acknowledges is seen by others.
    let after: Vec<Appointment> = join_all((0..24).map(|place| {
        let at = i64::try_from(PLACES + place).unwrap() * 15;
        let request = customers[place].asks(minutes(&providers[place % 8], day(), (at, at + 15)));
        let mut client = process.booking();
        async move { client.book_appointment(request).await.unwrap().into_inner() }
    }))
    .await
    .into_iter()
    .map(|answer| answer.appointment.unwrap())
    .collect();
    let db = process.sql().await;
    let stored = books::check(&db).await;
    for appointment in after {
        assert_eq!(stored.get(&appointment.name).map(String::as_str), Some("booked"));
    }
    for (name, state) in known.lock().await.iter() {
        let found = stored.get(name).map(String::as_str);
        assert!(found.is_some(), "{name} was acknowledged and is lost");
        assert!(state.is_none() || found == *state, "{name} is {found:?} and not {state:?}");
    }
    db
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn calls_given_up_leave_nothing_behind_on_postgres() {
    let (mut process, _proxy) = far_away(AWAY, "16").await;
    let db = storm(&process, rounds(500, 6000)).await;
    let busy = format!("{SESSIONS} AND state <> 'idle'");
    until(15, "no session is in a transaction", async || number(&db, &busy).await == 0).await;
    // The pool, and two with which the server looks after itself: one reads, one writes.
    assert!(number(&db, SESSIONS).await <= 18);
    process.signal(rustix::process::Signal::TERM);
    assert!(process.ended().await.success());
    until(10, "no session is left behind", async || number(&db, SESSIONS).await == 0).await;
    let log = process.log();
    assert!(!log.contains("a defect"), "{log}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn calls_given_up_leave_nothing_behind_on_sqlite() {
    let mut process = Process::start(Engine::Sqlite, &[]).await;
    storm(&process, rounds(200, 3000)).await;
    process.signal(rustix::process::Signal::TERM);
    assert!(process.ended().await.success());
    let log = process.log();
    assert!(!log.contains("a defect"), "{log}");
}

/// Makes a call with a deadline that only the server looks at, as gRPC-Web over HTTP/1.1. Returns the
/// gRPC code of the answer.
async fn patient(
    process: &Process,
    who: &Person,
    message: &impl Message,
    deadline: &str,
) -> String {
    let body = message.encode_to_vec();
    let head = format!(
        "POST /daybook.booking.v1.BookingService/BookAppointment HTTP/1.1\r\nhost: daybook\r\n\
         content-type: application/grpc-web+proto\r\ngrpc-timeout: {deadline}\r\n\
         authorization: Bearer {}\r\ncontent-length: {}\r\nconnection: close\r\n\r\n",
        who.token,
        body.len() + 5
    );
    let mut stream = TcpStream::connect(process.address).await.unwrap();
    let length = u32::try_from(body.len()).unwrap().to_be_bytes();
    let request = [head.as_bytes(), &[0], &length, &body].concat();
    stream.write_all(&request).await.unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await.unwrap();
    let answer = String::from_utf8_lossy(&answer);
    let status = answer.split_once("grpc-status:").map(|(_, rest)| rest.trim_start());
    let code = status.and_then(|rest| rest.split("\r\n").next());
    code.unwrap_or_default().trim().to_owned()
}

/// Somebody else holds the provider's row: the call ends at its deadline, in the database too.
async fn a_deadline_ends_the_wait(deadline: &str, slack: u64) {
    let process = Process::start(Engine::Postgres, &[]).await;
    let (provider, customers) = (process.provider().await, process.customers(1).await);
    let request = |hour: i64| minutes(&provider, day(), (hour * 60, hour * 60 + 60));
    // The server knows the schedule from now on.
    process.booking().book_appointment(customers[0].asks(request(0))).await.unwrap();
    let (holder, db) = (process.sql().await, process.sql().await);
    holder.execute_unprepared("BEGIN").await.unwrap();
    holder.execute_unprepared("SELECT * FROM providers FOR UPDATE").await.unwrap();
    let late = request(1);
    let code = within(10, "the answer", patient(&process, &customers[0], &late, deadline)).await;
    assert_eq!(code, "4");
    let waiting = format!("{SESSIONS} AND wait_event_type = 'Lock'");
    let left = until(slack, "no session waits", async || number(&db, &waiting).await == 0).await;
    println!("deadline {deadline}: the session had stopped waiting {left:?} after the answer");
    holder.execute_unprepared("ROLLBACK").await.unwrap();
    let busy = format!("{SESSIONS} AND state <> 'idle'");
    until(5, "all is done", async || number(&db, &busy).await == 0).await;
    assert_eq!(books::check(&db).await.len(), 1);
    process.booking().book_appointment(customers[0].asks(request(1))).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_short_deadline_ends_the_wait_for_a_lock() {
    a_deadline_ends_the_wait("50m", 2).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_longer_deadline_ends_the_wait_for_a_lock() {
    a_deadline_ends_the_wait("1500m", 2).await;
}

/// The same where the database cannot be told: a call whose turn comes too late books nothing.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_deadline_that_passed_in_the_queue_books_nothing() {
    let process = Process::start(Engine::Sqlite, &[]).await;
    let (provider, customers) = (process.provider().await, process.customers(1).await);
    let request = |hour: i64| minutes(&provider, day(), (hour * 60, hour * 60 + 60));
    let holder = session(&process.url).await;
    holder.execute_unprepared("BEGIN IMMEDIATE").await.unwrap();
    let calls = (0..4).map(|hour| {
        let (process, customer, request) = (&process, &customers[0], request(hour));
        async move { patient(process, customer, &request, "50m").await }
    });
    let codes = within(10, "the answers", join_all(calls)).await;
    assert_eq!(codes, ["4"; 4]);
    holder.execute_unprepared("ROLLBACK").await.unwrap();
    // Behind all of them in the queue.
    process.booking().book_appointment(customers[0].asks(request(9))).await.unwrap();
    let db = process.sql().await;
    assert_eq!(books::check(&db).await.len(), 1);
}

/// The database commits a booking, and the connection breaks before it can say so.
async fn a_broken_connection(with_request_id: bool) {
    let (process, proxy) = far_away(Duration::ZERO, "4").await;
    let (provider, customers) = (process.provider().await, process.customers(1).await);
    let customer = &customers[0];
    let request = |hour: i64| minutes(&provider, day(), (hour * 60, hour * 60 + 60));
    // Until every session has the statement prepared and books in one round trip: as many at a time as there are sessions,
    // so that none is left out.
    for first in (0..16).step_by(4) {
        let some = (first..first + 4).map(|hour| {
            let (mut client, asked) = (process.booking(), customer.asks(request(hour)));
            async move { client.book_appointment(asked).await }
        });
        for booked in join_all(some).await {
            booked.unwrap();
        }
    }
    let db = process.sql().await;
    let mut last = request(16);
    if !with_request_id {
        last.request_id.clear();
    }
    proxy.hold_answers(true);
    let (mut client, asked) = (process.booking(), customer.asks(last.clone()));
    let call = tokio::spawn(async move { client.book_appointment(asked).await });
    let count = "SELECT count(*) FROM appointments";
    until(10, "the booking is committed", async || number(&db, count).await == 17).await;
    proxy.refuse(true);
    proxy.cut();
    let answer = within(15, "the answer", call).await.unwrap();
    proxy.hold_answers(false);
    proxy.refuse(false);
    // Anything else would say that nothing was changed.
    refused(answer, "OUTCOME_UNKNOWN");
    let again = async || {
        let answer = process.booking().book_appointment(customer.asks(last.clone())).await;
        answer.map_err(|status| reason_of(&status))
    };
    if with_request_id {
        until(10, "the same request settles it", async || again().await.is_ok()).await;
    } else {
        let taken = async || again().await.is_err_and(|reason| reason == "SLOT_TAKEN");
        until(10, "it is found to be taken", taken).await;
    }
    assert_eq!(books::check(&db).await.len(), 17);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_connection_that_breaks_at_the_commit_is_not_told_as_no_change() {
    a_broken_connection(true).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_same_without_a_request_id() {
    a_broken_connection(false).await;
}

/// PostgreSQL's machine goes away without a word, and another one answers in its place, as in a failover. TCP
/// would take a quarter of an hour to notice.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_database_that_falls_silent_is_asked_on_other_connections() {
    let (mut process, proxy) = far_away(Duration::ZERO, "8").await;
    let (provider, customers) = (process.provider().await, process.customers(8).await);
    let book = async |hour: usize| {
        let start = i64::try_from(hour).unwrap() * 60;
        let message = minutes(&provider, day(), (start, start + 60));
        process.booking().book_appointment(customers[hour % 8].asks(message)).await.map(drop)
    };
    let log_in = async |customer: &Person| {
        let email = customer.user.email.clone();
        let request = LogInRequest { email, password: PASSWORD.to_owned(), ..Default::default() };
        AuthServiceClient::new(process.channel.clone()).log_in(request).await.map(drop)
    };
    let all = async |hours: std::ops::Range<usize>| {
        let (booked, logged_in) =
            futures_util::join!(join_all(hours.map(book)), join_all(customers.iter().map(log_in)),);
        [booked, logged_in].concat()
    };
    all(0..16).await.into_iter().for_each(|answer| answer.unwrap());
    let db = process.sql().await;
    proxy.silence();
    // Nothing of that machine holds a lock any more.
    let end = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity
        WHERE datname = current_database() AND application_name = 'daybook'";
    db.execute_unprepared(end).await.unwrap();
    for answer in within(30, "the answers", all(16..32)).await {
        let reason = reason_of(&answer.unwrap_err());
        let known = ["DEADLINE_EXCEEDED", "DATABASE_UNAVAILABLE", "OUTCOME_UNKNOWN"];
        assert!(known.contains(&reason.as_str()), "{reason}");
    }
    until(60, "it serves again", async || book(32).await.is_ok()).await;
    all(33..49).await.into_iter().for_each(|answer| answer.unwrap());
    assert_eq!(books::check(&db).await.len(), 33);
    process.signal(rustix::process::Signal::TERM);
    assert!(process.ended().await.success());
    let log = process.log();
    assert_eq!(log.matches("fell silent").count(), 1, "{log}");
}
