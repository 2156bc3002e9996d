//! Faults at random points under load: nothing acknowledged is lost, nothing is done twice, and no retry is told
//! anything else than the first call was.

use std::{
    collections::BTreeMap,
    fs,
    net::SocketAddr,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use daybook::grpc::proto::{
    auth::{LogInRequest, auth_service_client::AuthServiceClient},
    booking::BookAppointmentRequest,
};
use futures_util::{StreamExt, future::join_all, stream};
use rustix::process::{Resource, Rlimit, prlimit};
use sea_orm::ConnectionTrait;
use tokio::task::JoinHandle;

use crate::{
    crashes::{Meaning, Mortal, meaning},
    support::{
        Engine, books,
        faults::{ERRORS, Faults},
        people::{PASSWORD, Person},
        process::{Process, day, minutes, random, session, until, within},
        proxy::Proxy,
        rounds,
    },
};

const CALLERS: usize = 8;
/// How many quarters of an hour callers choose from.
const PLACES: usize = 20_000;

/// What the first answer to a request was that says what became of it: the name of an appointment, or nothing.
type Ledger = BTreeMap<String, (Person, BookAppointmentRequest, Option<String>)>;

/// Callers that book, and write down what they are told.
struct Load {
    ledger: Arc<Mutex<Ledger>>,
    /// Whatever became of them, with their callers.
    unknown: Arc<Mutex<Vec<(Person, BookAppointmentRequest)>>>,
    booked: Arc<AtomicUsize>,
    people: (Vec<Person>, Vec<Person>),
    running: Option<(Arc<AtomicBool>, Vec<JoinHandle<()>>)>,
}

impl Load {
    async fn new(process: &Process) -> Self {
        let providers = vec![process.provider().await, process.provider().await];
        let people = (providers, process.customers(CALLERS).await);
        let (ledger, unknown) = Default::default();
        Self { ledger, unknown, booked: Arc::default(), people, running: None }
    }

    /// The full count takes longer than a token lives.
    async fn log_in_again(&mut self, process: &Process) {
        for person in &mut self.people.1 {
            let mut auth = AuthServiceClient::new(process.channel.clone());
            let (email, password) = (person.user.email.clone(), PASSWORD.to_owned());
            let request = LogInRequest { email, password, ..LogInRequest::default() };
            // The last fault may not be over.
            let logging_in = async {
                loop {
                    match auth.log_in(request.clone()).await {
                        Ok(answer) => return answer.into_inner().access_token,
                        Err(_) => tokio::time::sleep(Duration::from_millis(20)).await,
                    }
                }
            };
            person.token = within(30, "a log-in", logging_in).await;
        }
    }

    /// A customer with a token that is valid.
    fn with_token(&self, customer: &Person) -> Person {
        let is_same = |person: &&Person| person.user.name == customer.user.name;
        self.people.1.iter().find(is_same).unwrap().clone()
    }

    fn start(&mut self, process: &Process) {
        let stop = Arc::new(AtomicBool::new(false));
        let callers = self.people.1.iter().map(|customer| {
            let (mut client, customer) = (process.booking(), customer.clone());
            let (ledger, unknown) = (Arc::clone(&self.ledger), Arc::clone(&self.unknown));
            let (stop, booked) = (Arc::clone(&stop), Arc::clone(&self.booked));
            let providers = self.people.0.clone();
            tokio::spawn(async move {
                while !stop.load(Ordering::SeqCst) {
                    let place = i64::try_from(random(PLACES)).unwrap() * 15;
                    let provider = &providers[random(providers.len())];
                    let request = minutes(provider, day(), (place, place + 15));
                    let answer = client.book_appointment(customer.asks(request.clone())).await;
                    let told = match meaning(answer) {
                        Meaning::Booked(name) => {
                            booked.fetch_add(1, Ordering::SeqCst);
                            Some(name)
                        }
                        Meaning::Refused => None,
                        Meaning::Unchanged(_) => {
                            // As clients do that were told to retry later.
                            tokio::time::sleep(Duration::from_millis(5)).await;
                            continue;
                        }
                        Meaning::Unknown => {
                            unknown.lock().unwrap().push((customer.clone(), request));
                            continue;
                        }
                    };
                    let id = request.request_id.clone();
                    ledger.lock().unwrap().insert(id, (customer.clone(), request, told));
                }
            })
        });
        self.running = Some((Arc::clone(&stop), callers.collect()));
    }

    async fn stop(&mut self) {
        let Some((stop, callers)) = self.running.take() else { return };
        stop.store(true, Ordering::SeqCst);
        for caller in within(60, "the end of the callers", join_all(callers)).await {
            caller.unwrap();
        }
    }

    /// Waits for so many more bookings.
    async fn more(&self, count: usize, process: &Process) {
        let enough = self.booked.load(Ordering::SeqCst) + count;
        let what = format!("{count} more bookings");
        let done = async || self.booked.load(Ordering::SeqCst) >= enough;
        if tokio::time::timeout(Duration::from_secs(40), until(60, &what, done)).await.is_err() {
            let log = process.log();
            panic!("no bookings any more: …{}", &log[log.len().saturating_sub(5000)..]);
        }
    }

    /// Puts again what is unknown, until it is known, and some of the others, or all, to see that they are told the
    /// same. Then looks from outside.
    async fn settle(&mut self, process: &Process, most: usize) -> usize {
        let unknown = std::mem::take(&mut *self.unknown.lock().unwrap());
        let count = unknown.len();
        self.log_in_again(process).await;
        for (customer, request) in unknown {
            let customer = self.with_token(&customer);
            let told = once_more(process, &customer, &request).await;
            let id = request.request_id.clone();
            self.ledger.lock().unwrap().insert(id, (customer, request, told));
        }
        // The order is that of random ids.
        let first: Vec<_> = self.ledger.lock().unwrap().values().take(most).cloned().collect();
        let retries = first.iter().map(async |(customer, request, told)| {
            let again = once_more(process, &self.with_token(customer), request).await;
            assert_eq!(&again, told, "a retry of {} is told otherwise", request.request_id);
        });
        stream::iter(retries).buffer_unordered(CALLERS).collect::<Vec<()>>().await;
        self.is_as_told(&process.url).await;
        count
    }

    /// The database holds what callers were told, each once, and nothing else.
    async fn is_as_told(&self, url: &str) {
        let db = session(url).await;
        let stored = books::check(&db).await;
        db.close().await.unwrap();
        let ledger = self.ledger.lock().unwrap();
        let told: Vec<_> = ledger.values().filter_map(|(_, _, told)| told.as_ref()).collect();
        let lost: Vec<_> = told.iter().filter(|name| !stored.contains_key(**name)).collect();
        assert!(lost.is_empty(), "{} acknowledged and lost: {lost:?}", lost.len());
        let each: std::collections::BTreeSet<_> = told.iter().collect();
        assert_eq!(each.len(), told.len(), "two requests were told one appointment");
        assert_eq!(stored.len(), told.len(), "there is more than was told");
    }
}

/// The answer to a request that is put until it is known.
async fn once_more(
    process: &Process,
    customer: &Person,
    request: &BookAppointmentRequest,
) -> Option<String> {
    let mut client = process.booking();
    let asking = async {
        loop {
            match meaning(client.book_appointment(customer.asks(request.clone())).await) {
                Meaning::Booked(name) => return Some(name),
                Meaning::Refused => return None,
                Meaning::Unchanged(_) | Meaning::Unknown => {
                    tokio::time::sleep(Duration::from_millis(20)).await;
                }
            }
        }
    };
    within(60, "a request that is settled", asking).await
}

/// How many faults, and after how many of them everything is put again and looked at.
fn points() -> (usize, usize) {
    (rounds(30, 1000), rounds(15, 50))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn random_faults_of_the_disk_lose_nothing() {
    let (folder, faults) = (tempfile::tempdir().unwrap(), Faults::new());
    let path = folder.path().join("daybook.db");
    let mut process = Process::on_file(&path, faults.environment("daybook.db")).await;
    let mut load = Load::new(&process).await;
    let (count, batch) = points();
    let (mut unknown, mut kinds) = (0, BTreeMap::<&str, usize>::new());
    load.start(&process);
    for point in 1..=count {
        load.more(1, &process).await;
        let (error, nth) = (ERRORS[random(ERRORS.len())], random(60) as i64 + 1);
        let before = faults.failures();
        let failed = async |more: i64| {
            until(20, "a fault", async || faults.failures() >= before + more).await;
        };
        let kind = match random(20) {
            0..12 => {
                faults.fail(nth, error, random(2) == 0);
                failed(1).await;
                "one write or sync"
            }
            12..16 => {
                faults.fail_from(nth, error);
                failed(1 + random(8) as i64).await;
                faults.mend();
                "several writes and syncs"
            }
            16..18 => {
                let log = path.with_extension("db-wal");
                let limit = fs::metadata(&log).map_or(0, |log| log.len()) + random(20_000) as u64;
                let set = |current| {
                    let limit = Rlimit { current, maximum: None };
                    prlimit(Some(process.pid()), Resource::Fsize, limit).unwrap();
                };
                let unknown = load.unknown.lock().unwrap().len();
                set(Some(limit));
                // The limit is met when a commit fails; or readiness falls first.
                let met = async || load.unknown.lock().unwrap().len() > unknown;
                let _ =
                    tokio::time::timeout(Duration::from_secs(1), until(9, "it is met", met)).await;
                set(None);
                "the size of files"
            }
            18 => {
                let aside = path.with_extension("aside");
                fs::rename(&path, &aside).unwrap();
                tokio::time::sleep(Duration::from_millis(random(30) as u64)).await;
                fs::rename(&aside, &path).unwrap();
                "the file moved away and back"
            }
            _ => {
                faults.fail(nth, error, true);
                process.kill().await;
                faults.mend();
                load.stop().await;
                process.restart().await;
                load.start(&process);
                "the server killed"
            }
        };
        *kinds.entry(kind).or_default() += 1;
        if point % batch == 0 {
            load.more(1, &process).await;
            load.stop().await;
            unknown += load.settle(&process, 100).await;
            load.start(&process);
        }
    }
    load.stop().await;
    unknown += load.settle(&process, usize::MAX).await;
    process.kill().await;
    load.is_as_told(&process.url).await;
    println!(
        "SQLite: {count} faults {kinds:?}, {} calls failed, {} booked, {unknown} unknown and settled",
        faults.failures(),
        load.booked.load(Ordering::SeqCst)
    );
    assert!(!process.log().contains("a defect"), "{}", process.log());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn random_faults_of_postgres_lose_nothing() {
    let mortal = Mortal::start().await;
    let url = mortal.0.database().await;
    let upstream: SocketAddr = format!("127.0.0.1:{}", mortal.0.port).parse().unwrap();
    let proxy = Proxy::before(upstream, Duration::ZERO).await;
    let through = url.replace(&upstream.to_string(), &proxy.address.to_string());
    let mut process = Process::on(Engine::Postgres, url.clone(), &through, &[]).await;
    let mut load = Load::new(&process).await;
    let (count, batch) = points();
    let (mut unknown, mut kinds) = (0, BTreeMap::<&str, usize>::new());
    let sessions = "FROM pg_stat_activity WHERE application_name = 'daybook'";
    let mut db = session(&url).await;
    load.start(&process);
    for point in 1..=count {
        load.more(1, &process).await;
        let kind = match random(40) {
            0..24 => {
                proxy.cut_after(random(6000) as i64 + 1);
                until(20, "the cut", async || proxy.was_cut()).await;
                "all connections cut in the middle"
            }
            24..32 => {
                let sql = format!(
                    "SELECT pg_terminate_backend(pid) {sessions} ORDER BY random() LIMIT 2"
                );
                db.execute_unprepared(&sql).await.unwrap();
                "sessions ended"
            }
            32..38 => {
                let sql = format!("SELECT pg_cancel_backend(pid) {sessions}");
                db.execute_unprepared(&sql).await.unwrap();
                "statements cancelled"
            }
            38 => {
                process.kill().await;
                load.stop().await;
                process.restart().await;
                load.start(&process);
                "the server killed"
            }
            _ => {
                let killed = mortal.kill();
                mortal.revive(&killed).await;
                db = session(&url).await;
                "PostgreSQL killed"
            }
        };
        *kinds.entry(kind).or_default() += 1;
        if point % batch == 0 {
            load.more(1, &process).await;
            load.stop().await;
            unknown += load.settle(&process, 100).await;
            load.start(&process);
        }
    }
    load.stop().await;
    unknown += load.settle(&process, usize::MAX).await;
    let idle = format!("SELECT count(*) {sessions} AND state LIKE 'idle in transaction%'");
    assert_eq!(books::number(&db, &idle).await, 0, "a session was left in a transaction");
    println!(
        "PostgreSQL: {count} faults {kinds:?}, {} booked, {unknown} unknown and settled",
        load.booked.load(Ordering::SeqCst)
    );
    assert!(!process.log().contains("a defect"), "{}", process.log());
}
