//! Floods: frames that cost the sender little. What they do to others, and to the memory.

use daybook::grpc::proto::auth::{GetMeRequest, auth_service_client::AuthServiceClient};
use prost::Message;
use tokio::{io::AsyncWriteExt, time::Instant};

use crate::support::{
    Engine, books,
    books::number,
    frames::{
        self, CALM, CANCEL, CONTINUATION, DATA, END_HEADERS, END_STREAM, HEADERS, PING, RST_STREAM,
        SETTINGS, Seen, call, flood, frame, literals, message,
    },
    people::Person,
    process::{Process, day, minutes, until, within},
    rounds,
};

const BOOK: &str = "/daybook.booking.v1.BookingService/BookAppointment";
const GET_ME: &str = "/daybook.auth.v1.AuthService/GetMe";
/// What a flood may add to the memory.
const GROWTH_KIB: u64 = 16 * 1024;

/// Others are answered, also in between.
async fn others_are_served(process: &Process, person: &Person) {
    let mut client = AuthServiceClient::new(process.connect().await);
    client.get_me(person.asks(GetMeRequest {})).await.unwrap();
}

/// Floods a server, and tells what that cost it.
async fn tell(
    what: &str,
    process: &Process,
    person: &Person,
    parts: impl Iterator<Item = Vec<u8>>,
) -> Seen {
    others_are_served(process, person).await;
    let (began, cpu, memory) = (Instant::now(), process.cpu_seconds(), process.resident_kib());
    let seen = flood(process.address, parts).await;
    let (took, cpu) = (began.elapsed(), process.cpu_seconds() - cpu);
    let growth = process.resident_kib().saturating_sub(memory);
    println!("{what}: {seen:?}, {took:?}, {cpu:.2} s of processor time, {growth} KiB more");
    assert!(growth < GROWTH_KIB, "{what}: {growth} KiB more");
    others_are_served(process, person).await;
    seen
}

/// A stream's number: clients have the odd ones.
fn stream(number: usize) -> u32 {
    u32::try_from(2 * number + 1).unwrap()
}

fn booking(provider: &Person, number: usize) -> Vec<u8> {
    let minute = i64::try_from(number % 1440).unwrap();
    message(&minutes(provider, day(), (minute, minute + 1)).encode_to_vec())
}

/// A valid booking that is taken back at once.
fn rapid(provider: &Person, customer: &Person, number: usize) -> Vec<u8> {
    let id = stream(number);
    [
        frame(HEADERS, END_HEADERS, id, &call(BOOK, Some(&customer.token))),
        frame(DATA, END_STREAM, id, &booking(provider, number)),
        frame(RST_STREAM, 0, id, &CANCEL.to_be_bytes()),
    ]
    .concat()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rapid_resets_of_valid_calls_end_the_connection_and_nothing_else() {
    let process = Process::start(Engine::Postgres, &[]).await;
    let (provider, customers) = (process.provider().await, process.customers(2).await);
    let count = rounds(2000, 100_000);
    let pairs = (0..count).map(|number| rapid(&provider, &customers[0], number));
    let seen = tell("rapid resets", &process, &customers[1], pairs).await;
    assert!(seen.goaway == Some(CALM) || seen.sent < count, "{seen:?}");

    // Slow enough for each to be accepted: then they are calls that were cancelled, and count as such.
    let mut slow = frames::connect(process.address, &[]).await;
    for number in 0..rounds(300, 5000) {
        slow.write_all(&rapid(&provider, &customers[0], number)).await.unwrap();
        slow.write_all(&frame(PING, 0, 0, b"are you?")).await.unwrap();
        let answered = async {
            loop {
                let answer = frames::next(&mut slow).await.unwrap().expect("still open");
                if answer.kind == PING {
                    return;
                }
            }
        };
        within(20, "the answer to a ping", answered).await;
    }
    // Whatever was under way comes to its end, one way or the other, and gives back what it held.
    let db = process.sql().await;
    let open = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()
        AND application_name = 'daybook' AND state <> 'idle'";
    until(20, "no transaction is open", async || number(&db, open).await == 0).await;
    books::check(&db).await;
    others_are_served(&process, &customers[0]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flood_of_malformed_streams_ends_the_connection() {
    let process = Process::start(Engine::Sqlite, &[]).await;
    let person = &process.customers(1).await[0];
    let count = rounds(20_000, 100_000);
    // Without a method it is no request; each of these streams is the server's to reset.
    let headers = literals(&[(":scheme", "http"), (":path", GET_ME)]);
    let parts =
        (0..count).map(|number| frame(HEADERS, END_HEADERS | END_STREAM, stream(number), &headers));
    let seen = tell("malformed streams", &process, person, parts).await;
    assert!(!seen.alive && (1..=1024).contains(&seen.resets), "{seen:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_header_without_end_ends_the_connection() {
    let process = Process::start(Engine::Sqlite, &[]).await;
    let person = &process.customers(1).await[0];
    let count = rounds(5000, 100_000);
    let more = literals(&[("x-more", &"x".repeat(1000))]);
    for (what, part) in [("continuations", &more[..]), ("empty continuations", &[])] {
        let first = frame(HEADERS, END_STREAM, 1, &call(GET_ME, None));
        let rest = (0..count).map(|_| frame(CONTINUATION, 0, 1, part));
        let seen = tell(what, &process, person, std::iter::once(first).chain(rest)).await;
        assert!(!seen.alive, "{what}: {seen:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn empty_messages_without_end_take_no_memory() {
    let process = Process::start(Engine::Sqlite, &[]).await;
    let person = &process.customers(1).await[0];
    let count = rounds(20_000, 200_000);
    let first = frame(HEADERS, END_HEADERS, 1, &call(GET_ME, Some(&person.token)));
    let rest = (0..count).map(|_| frame(DATA, 0, 1, &[]));
    let seen = tell("empty DATA", &process, person, std::iter::once(first).chain(rest)).await;
    assert!(!seen.alive, "{seen:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pings_and_settings_without_end_end_the_connection() {
    let process = Process::start(Engine::Sqlite, &[]).await;
    let person = &process.customers(1).await[0];
    let count = rounds(20_000, 200_000);
    let ping = frame(PING, 0, 0, b"are you?");
    let settings = frame(SETTINGS, 0, 0, &[]);
    for (what, part) in [("PING", ping), ("SETTINGS", settings)] {
        let parts = (0..count / 10).map(|_| part.repeat(10));
        let seen = tell(what, &process, person, parts).await;
        assert!(!seen.alive, "{what}: {seen:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn streams_beyond_the_limit_are_refused_and_others_are_served() {
    let process =
        Process::start(Engine::Sqlite, &[("server.max_streams_per_connection", "100")]).await;
    let person = &process.customers(1).await[0];
    let count = rounds(2000, 10_000);
    // Calls whose message never comes.
    let headers = call(GET_ME, Some(&person.token));
    let parts = (0..count).map(|number| frame(HEADERS, END_HEADERS, stream(number), &headers));
    let seen = tell("open streams", &process, person, parts).await;
    // Each that was read and had no place was reset, up to the limit of such resets. Of the hundred that have one 64 wait
    // for their message, and the others are told that there is no place to wait: how many are depends on the time there
    // is, because each leaves its place to the next. At no time are more than a hundred open.
    assert!(seen.resets > 0, "{seen:?}");
    assert!(!seen.alive || (64..=100).contains(&(count - seen.closed.len())), "{seen:?}");
}
