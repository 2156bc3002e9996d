//! Killed servers and killed databases: what was acknowledged is there, once, and the rest settles.

use std::{
    collections::BTreeSet,
    fs,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use daybook::{
    grpc::proto::booking::{
        BookAppointmentRequest, BookAppointmentResponse,
        booking_service_client::BookingServiceClient,
    },
    storage::entity::requests,
};
use futures_util::future::join_all;
use rustix::process::{Pid, Signal, kill_process};
use sea_orm::{ConnectionTrait, DatabaseBackend, EntityTrait, Statement};
use tokio::{
    sync::{Mutex, watch},
    task::JoinHandle,
    time::Instant,
};
use tonic::{Response, Status, transport::Channel};
use tonic_health::pb::{
    HealthCheckRequest, health_check_response::ServingStatus, health_client::HealthClient,
};
use tonic_types::StatusExt;

use crate::support::{
    Engine, books,
    people::Person,
    postgres::{Cluster, log_file},
    process::{Process, day, minutes, random, until, within},
    rounds,
};

const CALLERS: usize = 16;
/// How many quarters of an hour callers choose from.
const PLACES: usize = 20_000;

/// What callers were told.
#[derive(Default)]
struct Ledger {
    /// The appointments that were acknowledged.
    booked: Vec<String>,
    /// How many were refused by a rule.
    refused: usize,
    /// Those that were told that nothing was changed, with the words.
    unchanged: Vec<(BookAppointmentRequest, String)>,
    /// Whatever became of them.
    unknown: Vec<(Person, BookAppointmentRequest)>,
}

/// What an answer means for its caller.
pub enum Meaning {
    Booked(String),
    Refused,
    Unchanged(String),
    Unknown,
}

pub fn meaning(answer: Result<Response<BookAppointmentResponse>, Status>) -> Meaning {
    let status = match answer {
        Ok(answer) => return Meaning::Booked(answer.into_inner().appointment.unwrap().name),
        Err(status) => status,
    };
    let details = status.get_error_details();
    // Without details it is not Daybook that speaks, but the transport.
    let Some(info) = details.error_info() else { return Meaning::Unknown };
    match info.reason.as_str() {
        "SLOT_TAKEN" | "CUSTOMER_BUSY" => Meaning::Refused,
        "DATABASE_UNAVAILABLE" | "OVERLOADED" | "SHUTTING_DOWN" => {
            Meaning::Unchanged(format!("{}: {}", info.reason, status.message()))
        }
        "OUTCOME_UNKNOWN" | "DEADLINE_EXCEEDED" => Meaning::Unknown,
        _ => panic!("an unexpected answer under load: {status:?}"),
    }
}

/// Callers that book and write down what they are told.
struct Load {
    ledger: Arc<Mutex<Ledger>>,
    /// How many bookings were acknowledged.
    acknowledged: watch::Receiver<usize>,
    stop: Arc<AtomicBool>,
    callers: Vec<JoinHandle<()>>,
}

impl Load {
    /// Callers go on until they are stopped; those that are not `stubborn` also when they hear nothing.
    fn start(
        channel: &Channel,
        people: (&[Person], &[Person]),
        ledger: &Arc<Mutex<Ledger>>,
        stubborn: bool,
    ) -> Self {
        let (providers, customers) = people;
        let stop = Arc::new(AtomicBool::new(false));
        let (count, acknowledged) = watch::channel(0);
        let callers = customers.iter().map(|customer| {
            let mut client = BookingServiceClient::new(channel.clone());
            let (providers, customer) = (providers.to_vec(), customer.clone());
            let (ledger, stop, count) = (Arc::clone(ledger), Arc::clone(&stop), count.clone());
            tokio::spawn(async move {
                while !stop.load(Ordering::SeqCst) {
                    let place = i64::try_from(random(PLACES)).unwrap() * 15;
                    let provider = &providers[random(providers.len())];
                    let request = minutes(provider, day(), (place, place + 15));
                    let answer = client.book_appointment(customer.asks(request.clone())).await;
                    let told = meaning(answer);
                    let mut ledger = ledger.lock().await;
                    match told {
                        Meaning::Booked(name) => {
                            ledger.booked.push(name);
                            count.send_modify(|count| *count += 1);
                        }
                        Meaning::Refused => ledger.refused += 1,
                        Meaning::Unchanged(words) => {
                            ledger.unchanged.push((request, words));
                            drop(ledger);
                            // As clients do that were told to retry later.
                            tokio::time::sleep(Duration::from_millis(20)).await;
                        }
                        Meaning::Unknown => {
                            ledger.unknown.push((customer.clone(), request));
                            if !stubborn {
                                return;
                            }
                        }
                    }
                }
            })
        });
        let callers = callers.collect();
        Self { ledger: Arc::clone(ledger), acknowledged, stop, callers }
    }

    /// Waits for so many more bookings.
    async fn more(&mut self, count: usize) {
        let enough = *self.acknowledged.borrow() + count;
        let reached = self.acknowledged.wait_for(|count| *count >= enough);
        within(60, "the bookings before the kill", reached).await.unwrap();
    }

    async fn end(self) {
        self.stop.store(true, Ordering::SeqCst);
        for caller in within(60, "the end of the callers", join_all(self.callers)).await {
            caller.unwrap();
        }
    }
}

/// Repeats every request whose outcome is unknown until it is known. Returns how many there were.
async fn settle(process: &Process, ledger: &Arc<Mutex<Ledger>>) -> usize {
    let unknown = std::mem::take(&mut ledger.lock().await.unknown);
    let count = unknown.len();
    let settled = unknown.into_iter().map(|(customer, request)| {
        let mut client = process.booking();
        async move {
            loop {
                match meaning(client.book_appointment(customer.asks(request.clone())).await) {
                    Meaning::Booked(name) => return Some(name),
                    Meaning::Refused => return None,
                    Meaning::Unchanged(_) | Meaning::Unknown => {
                        tokio::time::sleep(Duration::from_millis(20)).await;
                    }
                }
            }
        }
    });
    let settled = within(60, "that every unknown request is settled", join_all(settled)).await;
    let mut ledger = ledger.lock().await;
    for name in settled {
        match name {
            Some(name) => ledger.booked.push(name),
            None => ledger.refused += 1,
        }
    }
    count
}

/// The database holds what callers were told, each once, and nothing else: nothing is lost, nothing
/// doubled, and what was said not to have happened did not.
async fn as_told(process: &Process, ledger: &Ledger) {
    let db = process.sql().await;
    let stored = books::check(&db).await;
    let requests = requests::Entity::find().all(&db).await.unwrap();
    let done: BTreeSet<String> = requests.iter().map(|row| row.request_id.to_string()).collect();
    for (request, words) in &ledger.unchanged {
        assert!(!done.contains(&request.request_id), "it was booked, and its caller told {words}");
    }
    let told: BTreeSet<&String> = ledger.booked.iter().collect();
    assert_eq!(told.len(), ledger.booked.len(), "two requests were told one appointment");
    let lost: Vec<_> = told.iter().filter(|name| !stored.contains_key(**name)).collect();
    assert!(lost.is_empty(), "acknowledged and lost: {lost:?}");
    let extra: Vec<_> = stored.keys().filter(|name| !told.contains(name)).collect();
    assert!(extra.is_empty(), "there, and nobody was told: {extra:?}");
    assert!(stored.values().all(|state| state == "booked"));
}

async fn people(process: &Process) -> (Vec<Person>, Vec<Person>) {
    let providers = vec![process.provider().await, process.provider().await];
    (providers, process.customers(CALLERS).await)
}

/// `kill -9` of the server under load, again and again.
async fn the_server_is_killed(engine: Engine) {
    let mut process = Process::start(engine, &[]).await;
    let (providers, customers) = people(&process).await;
    let ledger = Arc::default();
    let (cycles, mut unknown) = (rounds(3, 20), 0);
    for _ in 0..cycles {
        let mut load = Load::start(&process.channel, (&providers, &customers), &ledger, false);
        load.more(20 + random(60)).await;
        process.kill().await;
        load.end().await;
        process.restart().await;
        unknown += settle(&process, &ledger).await;
        as_told(&process, &*ledger.lock().await).await;
    }
    if engine == Engine::Sqlite {
        let check = Statement::from_string(DatabaseBackend::Sqlite, "PRAGMA integrity_check");
        let row = process.sql().await.query_one_raw(check).await.unwrap().unwrap();
        assert_eq!(row.try_get_by_index::<String>(0).unwrap(), "ok");
    }
    let ledger = ledger.lock().await;
    println!(
        "{engine:?}: {cycles} kills, {} booked, {} refused, {unknown} unknown and settled",
        ledger.booked.len(),
        ledger.refused
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_server_is_killed_on_sqlite() {
    the_server_is_killed(Engine::Sqlite).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_server_is_killed_on_postgres() {
    the_server_is_killed(Engine::Postgres).await;
}

/// A cluster of the test's own, which ends with the test.
pub struct Mortal(pub Arc<Cluster>);

impl Mortal {
    pub async fn start() -> Self {
        Self(Arc::new(tokio::task::spawn_blocking(Cluster::start).await.unwrap()))
    }

    /// Kills the server and all its children, as when the machine dies.
    pub fn kill(&self) -> Vec<i32> {
        let postmaster = self.0.pid();
        // Stopped, so that it neither starts more children nor says goodbye.
        signal(postmaster, Signal::STOP);
        let mut all = children(postmaster);
        all.push(postmaster);
        for pid in &all {
            signal(*pid, Signal::KILL);
        }
        all
    }

    /// Starts it again, and returns when it takes connections.
    pub async fn revive(&self, killed: &[i32]) {
        let gone = |pid: &i32| !fs::exists(format!("/proc/{pid}")).unwrap();
        until(30, "the processes are gone", async || killed.iter().all(gone)).await;
        // It may name the id of another process by now.
        fs::remove_file(self.0.data.join("postmaster.pid")).unwrap();
        let cluster = Arc::clone(&self.0);
        tokio::task::spawn_blocking(move || cluster.run()).await.unwrap();
    }
}

impl Drop for Mortal {
    fn drop(&mut self) {
        if fs::exists(self.0.data.join("postmaster.pid")).unwrap_or(false) {
            self.kill();
        }
        let _ = fs::remove_file(log_file(&self.0.data));
    }
}

fn signal(pid: i32, signal: Signal) {
    // It may have ended in the meantime.
    let _ = kill_process(Pid::from_raw(pid).unwrap(), signal);
}

fn children(parent: i32) -> Vec<i32> {
    let processes = fs::read_dir("/proc").unwrap();
    let pids = processes.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
    let is_child = |pid: &i32| {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        // `pid (name) state parent …`; the name may hold anything.
        let rest = stat.rsplit_once(')').map(|(_, rest)| rest).unwrap_or_default();
        rest.split_whitespace().nth(1) == Some(&parent.to_string())
    };
    pids.filter(is_child).collect()
}

/// Follows what the server says of its health.
async fn health(process: &Process) -> watch::Receiver<ServingStatus> {
    let mut client = HealthClient::new(process.connect().await);
    let request = HealthCheckRequest { service: String::new() };
    let mut states = client.watch(request).await.unwrap().into_inner();
    let (send, receive) = watch::channel(ServingStatus::Unknown);
    tokio::spawn(async move {
        while let Ok(Some(state)) = states.message().await {
            send.send_replace(state.status());
        }
    });
    receive
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_database_is_killed() {
    let mortal = Mortal::start().await;
    let url = mortal.0.database().await;
    let process = Process::on(Engine::Postgres, url.clone(), &url, &[]).await;
    let (providers, customers) = people(&process).await;
    let mut health = health(&process).await;
    let ledger = Arc::default();
    let mut load = Load::start(&process.channel, (&providers, &customers), &ledger, true);
    let (cycles, mut slowest) = (rounds(2, 10), Duration::ZERO);
    for _ in 0..cycles {
        load.more(20 + random(60)).await;
        within(10, "SERVING", health.wait_for(|s| *s == ServingStatus::Serving)).await.unwrap();
        let killed = mortal.kill();
        let told = health.wait_for(|s| *s == ServingStatus::NotServing);
        within(10, "NOT_SERVING", told).await.unwrap();

        let request = minutes(&providers[0], day(), (-60, -45));
        let began = Instant::now();
        let answer = process.booking().book_appointment(customers[0].asks(request)).await;
        let took = began.elapsed();
        assert!(matches!(meaning(answer), Meaning::Unchanged(_)), "the database is away");

        mortal.revive(&killed).await;
        let began = Instant::now();
        load.more(1).await;
        let recovered = began.elapsed();
        slowest = slowest.max(recovered);
        within(10, "SERVING", health.wait_for(|s| *s == ServingStatus::Serving)).await.unwrap();
        println!(
            "PostgreSQL is back: booked after {recovered:?}, healthy after {:?}; \
             a call without it took {took:?}",
            began.elapsed()
        );
    }
    load.more(20).await;
    let held = Arc::clone(&load.ledger);
    load.end().await;
    let unknown = settle(&process, &held).await;
    let ledger = held.lock().await;
    as_told(&process, &ledger).await;
    println!(
        "PostgreSQL: {cycles} kills, {} booked, {} refused, {} unchanged, {unknown} unknown and \
         settled, slowest recovery {slowest:?}",
        ledger.booked.len(),
        ledger.refused,
        ledger.unchanged.len()
    );
    if std::env::var_os("TEST_FULL").is_some() {
        assert!(slowest <= Duration::from_secs(5), "recovered after {slowest:?}");
    }
    let log = process.log();
    assert!(!log.contains("a defect"), "{log}");
}
