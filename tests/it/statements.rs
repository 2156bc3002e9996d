//! How many SQL statements a question takes, counted on the wire to PostgreSQL.

use std::{
    collections::HashMap,
    io,
    net::SocketAddr,
    sync::{Arc, Mutex},
    time::Duration,
};

use daybook::grpc::proto::booking::{
    BookAppointmentRequest, FindFirstSlotRequest, GetCalendarRequest, ListSlotsRequest,
};
use sea_orm::{ConnectionTrait as _, Database};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{
        TcpListener, TcpStream,
        tcp::{OwnedReadHalf, OwnedWriteHalf},
    },
};

use crate::support::{
    Engine, World, berlin, options,
    people::{Person, booking},
    postgres,
    types::{kind, minutes, typed},
};

/// The texts of the statements that were executed, in order.
type Executed = Arc<Mutex<Vec<String>>>;

/// Forwards connections to `upstream` and notes what is executed on them.
async fn tap(upstream: SocketAddr) -> (SocketAddr, Executed) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let executed = Executed::default();
    let noted = Arc::clone(&executed);
    tokio::spawn(async move {
        while let Ok((client, _)) = listener.accept().await {
            tokio::spawn(join(client, upstream, Arc::clone(&noted)));
        }
    });
    (address, executed)
}

async fn join(client: TcpStream, upstream: SocketAddr, noted: Executed) -> io::Result<()> {
    let server = TcpStream::connect(upstream).await?;
    client.set_nodelay(true)?;
    server.set_nodelay(true)?;
    let (from_client, mut to_client) = client.into_split();
    let (mut from_server, to_server) = server.into_split();
    tokio::select! {
        done = there(from_client, to_server, noted) => done,
        done = tokio::io::copy(&mut from_server, &mut to_client) => done.map(drop),
    }
}

async fn there(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, noted: Executed) -> io::Result<()> {
    let mut reader = Reader { noted, ..Reader::default() };
    let mut buffer = vec![0; 16 * 1024];
    loop {
        let length = from.read(&mut buffer).await?;
        if length == 0 {
            return Ok(());
        }
        // Noted before it is passed on, so that an answer never comes sooner than the note.
        reader.read(&buffer[..length]);
        to.write_all(&buffer[..length]).await?;
    }
}

/// Reads the messages of one client: PostgreSQL's frontend protocol, version 3.
#[derive(Default)]
struct Reader {
    pending: Vec<u8>,
    started: bool,
    prepared: HashMap<Vec<u8>, String>,
    bound: String,
    noted: Executed,
}

impl Reader {
    fn read(&mut self, bytes: &[u8]) {
        self.pending.extend_from_slice(bytes);
        loop {
            // What comes before the first message with a type has only a length: a wish for TLS, and the
            // start itself.
            let header = usize::from(self.started);
            let Some(length) = self.pending.get(header..header + 4) else { return };
            let length = u32::from_be_bytes(length.try_into().unwrap());
            let end = header + usize::try_from(length).unwrap();
            if self.pending.len() < end {
                return;
            }
            let message: Vec<u8> = self.pending.drain(..end).collect();
            if self.started {
                self.note(message[0], &message[5..]);
            } else {
                const TLS: [u8; 4] = 80_877_103_u32.to_be_bytes();
                self.started = message[4..8] != TLS;
            }
        }
    }

    fn note(&mut self, kind: u8, body: &[u8]) {
        let mut parts = body.split(|byte| *byte == 0);
        let mut part = || parts.next().unwrap_or_default().to_vec();
        match kind {
            b'P' => {
                let (name, sql) = (part(), part());
                self.prepared.insert(name, String::from_utf8(sql).unwrap());
            }
            b'B' => {
                let (_portal, name) = (part(), part());
                self.bound = self.prepared.get(&name).cloned().unwrap_or_default();
            }
            b'E' => self.noted.lock().unwrap().push(self.bound.clone()),
            b'Q' => self.noted.lock().unwrap().push(String::from_utf8(part()).unwrap()),
            _ => {}
        }
    }
}

/// A server whose statements are noted.
async fn tapped() -> (World, Executed) {
    tapped_with(&[]).await
}

async fn tapped_with(settings: &[(&str, &str)]) -> (World, Executed) {
    let url = postgres::database().await;
    let (before, rest) = url.split_once("127.0.0.1:").unwrap();
    let (port, name) = rest.split_once('/').unwrap();
    let (address, executed) = tap(format!("127.0.0.1:{port}").parse().unwrap()).await;
    let folder = tempfile::tempdir().unwrap();
    let through = format!("{before}{address}/{name}");
    (World::on(Engine::Postgres, through, folder, settings).await, executed)
}

/// The statements about types and slots; the server's own looks at itself are not among them.
fn taken(executed: &Executed) -> usize {
    let all: Vec<String> = executed.lock().unwrap().drain(..).collect();
    let ours = ["appointment_types", "offerings", "appointments", "providers", "closures"];
    all.iter().filter(|sql| ours.iter().any(|table| sql.contains(table))).count()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn slots_take_as_many_statements_for_many_providers_and_days_as_for_one() {
    let (world, executed) = tapped().await;
    let admin = world.admin().await;
    let customer = world.customer().await;
    let few: Vec<Person> = vec![world.provider().await];
    let mut many = Vec::new();
    for _ in 0..20 {
        many.push(world.provider().await);
    }
    let mut counts = Vec::new();
    for (providers, until) in [(&few, "2026-11-24 18:00"), (&many, "2027-01-20 18:00")] {
        // With limits, so that what is booked is counted too.
        let mut wanted = kind(&[30]);
        wanted.limits = Some(daybook::grpc::proto::booking::BookingLimits {
            per_provider_day: 1000,
            time_per_provider_week: minutes(10_000),
            ..Default::default()
        });
        let providers: Vec<&Person> = providers.iter().collect();
        let offered = world.shared_type(&admin, wanted, &providers).await;
        for provider in providers {
            let start = berlin("2026-11-25 10:00");
            let someone = world.customer().await;
            world.book(&someone, provider, start, berlin("2026-11-25 10:30")).await.unwrap();
        }
        let range = (Some(berlin("2026-11-24 08:00")), Some(berlin(until)));
        let list = ListSlotsRequest {
            appointment_type: offered.name.clone(),
            start_time: range.0,
            end_time: range.1,
            ..Default::default()
        };
        let first = FindFirstSlotRequest {
            appointment_type: offered.name.clone(),
            start_time: range.0,
            end_time: range.1,
            ..Default::default()
        };
        taken(&executed);
        let slots = world.slots().list_slots(customer.asks(list.clone())).await.unwrap();
        let slots = slots.into_inner().slots;
        assert!(slots.len() >= 16, "{}", slots.len());
        let listing = taken(&executed);
        let again = world.slots().list_slots(customer.asks(list)).await.unwrap();
        assert_eq!(again.into_inner().slots, slots);
        let listing_again = taken(&executed);
        let found = world.slots().find_first_slot(customer.asks(first)).await.unwrap();
        assert_eq!(found.into_inner().slot.as_ref(), slots.first());
        counts.push((listing, listing_again, taken(&executed)));
    }
    // The type, who offers it, and everybody's time; where nothing changed since, only who it is. A first
    // question about more than a week looks at that week first, because nobody knows yet how many they are. Beside
    // each of them, at the same time, what the customer has of their own.
    assert_eq!(counts, [(4, 2, 2), (7, 2, 2)]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_calendar_takes_one_statement_however_much_is_in_it() {
    let (world, executed) = tapped().await;
    let (admin, provider) = (world.admin().await, world.provider().await);
    let request = GetCalendarRequest {
        provider: provider.provider(),
        start_time: Some(berlin("2026-11-23 00:00")),
        end_time: Some(berlin("2027-01-20 00:00")),
    };
    let mut counts = Vec::new();
    for days in [0, 1, 20] {
        for day in 0..days {
            let customer = world.customer().await;
            let at = |minute: u32| {
                let at = berlin(&format!("2026-11-30 09:{minute:02}"));
                prost_types::Timestamp { seconds: at.seconds + day * 7 * 86_400, nanos: 0 }
            };
            // Some are refused: they lie there already.
            drop(world.book(&customer, &provider, at(0), at(30)).await);
            world.time_off(&provider, "2026-12-24 00:00", "2026-12-25 00:00").await;
            world.closure(&admin, "2026-12-31 00:00", "2027-01-01 00:00").await;
        }
        taken(&executed);
        let answer = world.booking().get_calendar(provider.asks(request.clone())).await.unwrap();
        counts.push((taken(&executed), answer.into_inner().time_off.len()));
    }
    assert_eq!(counts, [(1, 0), (1, 1), (1, 21)]);
}

/// How many statements a booking takes with this deadline, and how many of them hand the deadline on.
async fn books(
    world: &World,
    executed: &Executed,
    (customer, seconds): (&Person, u64),
    message: BookAppointmentRequest,
) -> (usize, usize) {
    executed.lock().unwrap().clear();
    let mut request = customer.asks(message);
    request.set_timeout(Duration::from_secs(seconds));
    world.booking().book_appointment(request).await.unwrap();
    let all = executed.lock().unwrap();
    (own(&all), all.iter().filter(|sql| sql.contains("SET LOCAL statement_timeout")).count())
}

/// The statements of a booking.
fn own(all: &[String]) -> usize {
    let ours = [
        "appointment_types",
        "appointments",
        "providers",
        "closures",
        "INTO requests",
        "requests r",
    ];
    all.iter().filter(|sql| ours.iter().any(|part| sql.contains(part))).count()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_booking_takes_as_many_statements_with_a_long_deadline_as_with_any() {
    let (world, executed) = tapped().await;
    let (admin, provider, customer) =
        (world.admin().await, world.provider().await, world.customer().await);
    let shared = world.shared_type(&admin, kind(&[30]), &[&provider]).await;
    let bare = |hour: usize| {
        let (from, until) =
            (format!("2026-11-23 {hour:02}:00"), format!("2026-11-23 {hour:02}:30"));
        booking(&provider, berlin(&from), berlin(&until))
    };
    // The first one meets the schedule.
    books(&world, &executed, (&customer, 10), bare(9)).await;
    let (mut folded, mut stepwise) = (Vec::new(), Vec::new());
    for (place, seconds) in [1, 8, 10, 20].into_iter().enumerate() {
        let asks = (&customer, seconds);
        folded.push(books(&world, &executed, asks, bare(10 + place)).await);
        let start = format!("2026-11-24 {:02}:00", 10 + place);
        stepwise.push(books(&world, &executed, asks, typed(&provider, &shared, &start)).await);
    }
    assert_eq!(folded, [(1, 0); 4]);
    let (statements, handed_on): (Vec<_>, Vec<_>) = stepwise.into_iter().unzip();
    assert!(statements.iter().all(|count| *count == statements[0]), "{statements:?}");
    // A deadline that is shorter than the limit for each statement, 10 s, has to be told.
    assert_eq!(handed_on, [1, 1, 0, 0]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_long_deadline_is_waited_for_also_beyond_the_limit_of_a_statement() {
    let (world, executed) = tapped_with(&[("server.default_deadline_ms", "1000")]).await;
    let (provider, customer) = (world.provider().await, world.customer().await);
    world
        .book(&customer, &provider, berlin("2026-11-23 09:00"), berlin("2026-11-23 09:30"))
        .await
        .unwrap();
    let mut options = options(&world.url);
    options.max_connections(1).min_connections(1);
    let held = Database::connect(options).await.unwrap();
    held.execute_unprepared("BEGIN; SELECT 1 FROM providers FOR UPDATE").await.unwrap();
    executed.lock().unwrap().clear();
    let mut request =
        customer.asks(booking(&provider, berlin("2026-11-23 10:00"), berlin("2026-11-23 10:30")));
    request.set_timeout(Duration::from_secs(25));
    let mut client = world.booking();
    let call = tokio::spawn(async move { client.book_appointment(request).await });
    // The statement ran into the limit, and was put again, twice.
    crate::support::process::until(20, "the booking is tried again", async || {
        let all = executed.lock().unwrap();
        all.iter().filter(|sql| sql.contains("providers") && sql.contains("UPDATE")).count() >= 3
    })
    .await;
    held.execute_unprepared("ROLLBACK").await.unwrap();
    call.await.unwrap().unwrap();
}
