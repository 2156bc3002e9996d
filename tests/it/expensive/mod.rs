//! Every method at its limits, beside bookings: nobody is refused for it, nobody waits long, and the memory that
//! it took is given back.
//!
//! With `TEST_FULL=1 cargo test --release --test it expensive -- --nocapture` the practice is large, bookings come
//! 200 a second, and a table is printed. `TEST_METHODS` names the methods to try, where not all.

mod limits;
mod resources;

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use daybook::grpc::{
    policy::{self, Class},
    proto::booking::{BookAppointmentRequest, ListSlotsRequest, ListSlotsResponse},
};
use futures_util::{StreamExt as _, future::join_all, stream};
use prost::Message as _;
use tonic::{Code, Status, transport::Channel};
use tonic_types::StatusExt as _;

use crate::support::{
    Engine,
    people::{Person, uuid},
    process::{Process, day, until},
    raw::{authorized, unary},
    rounds,
};
use limits::Practice;

/// How many call at once.
const CALLERS: usize = 16;
const BOOKERS: usize = 8;
/// No caller asks again sooner: some 500 calls a second at most.
const EACH_TAKES: Duration = Duration::from_millis(32);
/// By how much bookings may take longer at p99 beside any method, in the large table.
const HELD_UP: Duration = Duration::from_millis(50);
/// Everybody signs up and logs in from one address.
const SETTINGS: [(&str, &str); 2] =
    [("auth.attempts_per_address", "1000000"), ("auth.attempts_in_all", "1000000")];
const LIST_SLOTS: &str = "/daybook.booking.v1.AvailabilityService/ListSlots";

/// Somebody who books one half-hour after the other.
struct Bookers {
    is_over: Arc<AtomicBool>,
    tasks: Vec<tokio::task::JoinHandle<Vec<Duration>>>,
}

impl Bookers {
    /// So many a second in all, or as fast as they are answered where that is nothing. `next` counts the
    /// half-hours that were asked for.
    fn start(practice: &Practice, per_second: u32, next: &Arc<AtomicUsize>) -> Self {
        let is_over = Arc::new(AtomicBool::new(false));
        let book = |(number, customer): (usize, &Person)| {
            // The first one has appointments of its own.
            let booked = &practice.booked[1..];
            let (customer, provider) = (customer.clone(), booked[number % booked.len()].clone());
            let (channel, is_over) = (practice.channels[number % 2].clone(), Arc::clone(&is_over));
            let next = Arc::clone(next);
            tokio::spawn(async move {
                let mut took = Vec::new();
                let step =
                    (per_second > 0).then(|| Duration::from_secs(1) * BOOKERS as u32 / per_second);
                let mut ticks = tokio::time::interval(step.unwrap_or(Duration::from_millis(1)));
                ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
                while !is_over.load(Ordering::Relaxed) {
                    ticks.tick().await;
                    let place = next.fetch_add(1, Ordering::Relaxed);
                    let request = half_hour(&provider, place);
                    let began = Instant::now();
                    let answer = bookings(&channel).book_appointment(customer.asks(request)).await;
                    took.push(began.elapsed());
                    answer.unwrap_or_else(|status| panic!("a booking was answered {status:?}"));
                }
                took
            })
        };
        let tasks = practice.customers.iter().take(BOOKERS).enumerate().map(book).collect();
        Self { is_over, tasks }
    }

    /// How long each booking took.
    async fn end(self) -> Vec<Duration> {
        self.is_over.store(true, Ordering::Relaxed);
        let mut all = Vec::new();
        for each in self.tasks {
            all.extend(each.await.unwrap());
        }
        all.sort_unstable();
        all
    }
}

fn bookings(
    channel: &Channel,
) -> daybook::grpc::proto::booking::booking_service_client::BookingServiceClient<Channel> {
    daybook::grpc::proto::booking::booking_service_client::BookingServiceClient::new(
        channel.clone(),
    )
}

/// The half-hour with this number, from the day after tomorrow on.
fn half_hour(provider: &Person, place: usize) -> BookAppointmentRequest {
    let start = i64::try_from(place).unwrap() * 30;
    BookAppointmentRequest {
        request_id: uuid(),
        ..crate::support::process::minutes(provider, day(), (start, start + 30))
    }
}

fn p99(sorted: &[Duration]) -> Duration {
    sorted.get((sorted.len() * 99).div_ceil(100).saturating_sub(1)).copied().unwrap_or_default()
}

/// What a method may be answered at its limits: whatever the rules say, but no defect, and no overload without
/// the time to wait.
fn check(path: &str, answer: Result<usize, Status>) {
    let Err(status) = answer else { return };
    let details = status.get_error_details();
    let reason = details.error_info().map(|info| info.reason.clone()).unwrap_or_default();
    let is_fine = match status.code() {
        Code::Internal | Code::Unknown | Code::Unavailable | Code::OutOfRange => false,
        Code::ResourceExhausted => details.retry_info().is_some(),
        _ => true,
    };
    assert!(is_fine, "{path} was answered {reason}: {status:?}");
}

async fn call(practice: &Practice, number: usize, path: &str) -> Result<usize, Status> {
    let (person, body) = limits::request(practice, path, number);
    let token = person.map(|person| format!("Bearer {}", person.token));
    let mut request = authorized(body, token.as_deref());
    request.set_timeout(Duration::from_secs(30));
    let channel = &practice.channels[2 + number % (practice.channels.len() - 2)];
    unary(channel, path, request).await.map(|answer| answer.into_inner().len())
}

/// Whether there is a request for it.
fn is_known(path: &str) -> bool {
    let method = path.rsplit('/').next().unwrap();
    SMALL.contains(&method) || LARGE_ONES.contains(&method)
}

/// Those whose work grows with what is stored or asked for.
const LARGE_ONES: &[&str] = &[
    "ListSlots",
    "FindFirstSlot",
    "ExplainSlot",
    "GetAvailability",
    "GetCalendar",
    "ListAppointments",
    "ListAppointmentEvents",
    "ListEvents",
    "GetAppointment",
    "UpdateAppointment",
    "RescheduleAppointment",
    "CreateApiKey",
    "UpdateAppointmentType",
    "ListAppointmentTypes",
    "GetAppointmentType",
    "ListOfferings",
    "ListProviders",
    "GetProvider",
    "GetSchedule",
    "ListSchedules",
    "UpdateSchedule",
    "CreateSchedule",
    "ListTimeOff",
    "ListClosures",
    "ListUsers",
    "SearchCustomers",
    "ListAuditEvents",
    "ListServiceAccounts",
    "ListApiKeys",
    "ListSessions",
    "CreateAppointmentType",
    "BookAppointment",
    "HoldSlot",
    "ExportMyData",
    "CreateTimeOff",
    "CreateClosure",
    "SignUp",
    "LogIn",
];

/// Those that do the same whatever is stored: a row or two, found by a key. They are called empty, and told
/// what is wrong.
const SMALL: &[&str] = &[
    "CompleteLogIn",
    "RefreshTokens",
    "LogOut",
    "RevokeSession",
    "RevokeAllSessions",
    "VerifyEmail",
    "RequestEmailVerification",
    "RequestPasswordReset",
    "ResetPassword",
    "RequestEmailChange",
    "ConfirmEmailChange",
    "GetJwks",
    "GetMe",
    "UpdateMe",
    "ChangePassword",
    "GetUser",
    "CreateUser",
    "GetCustomer",
    "EnrolCustomer",
    "InviteCustomer",
    "UpdateCustomer",
    "MergeCustomers",
    "SetUserRole",
    "DisableUser",
    "EnableUser",
    "GetSecondFactor",
    "EnrolTotp",
    "ConfirmTotp",
    "RegenerateRecoveryCodes",
    "DisableTotp",
    "EnrolTotpAtLogIn",
    "ResetSecondFactor",
    "CreateServiceAccount",
    "GetServiceAccount",
    "UpdateServiceAccount",
    "DisableServiceAccount",
    "EnableServiceAccount",
    "RevokeApiKey",
    "DeleteMyAccount",
    "EraseUser",
    "BatchGetAppointments",
    "CancelAppointment",
    "CompleteAppointment",
    "ArchiveAppointmentType",
    "OfferAppointmentType",
    "WithdrawAppointmentType",
    "DeleteSchedule",
    "DeleteTimeOff",
    "DeleteClosure",
    "ApproveAppointment",
    "DeclineAppointment",
    "MarkNoShow",
    "CorrectAppointment",
    "ReassignAppointment",
    "ListHolds",
    "ExtendHold",
    "ReleaseHold",
];

/// The methods that are tried: all of the policy table but the streams and probes of others.
fn methods() -> Vec<&'static str> {
    let ours = policy::TABLE.iter().filter(|(path, ..)| {
        let class = policy::entry(path).unwrap().class;
        path.starts_with("/daybook.")
            && !matches!(class, Class::Stream | Class::Watch | Class::Probe)
    });
    ours.map(|(path, ..)| *path).collect()
}

/// Those of them that `TEST_METHODS` names, where it is set: names with commas between.
fn wanted() -> Vec<&'static str> {
    let mut all = methods();
    if let Ok(names) = std::env::var("TEST_METHODS") {
        all.retain(|path| names.split(',').any(|name| path.ends_with(&format!("/{name}"))));
    }
    all
}

/// The highest resident memory since the last look, in KiB.
fn peak(process: &Process, seen: u64) -> u64 {
    process.resident_kib().max(seen)
}

async fn sixteen_lists_of_slots(engine: Engine) {
    const MIB: u64 = 1024;
    let process = Process::start(engine, &SETTINGS).await;
    let practice = Practice::open(&process, rounds(12, 300)).await;
    let next = Arc::new(AtomicUsize::new(0));
    // Everything has been asked for once, and each provider was booked once.
    call(&practice, 0, LIST_SLOTS).await.unwrap();
    let before = process.resident_kib();
    let bookers = Bookers::start(&practice, 0, &next);
    let mut highest = before;
    for _ in 0..2 {
        let lists = join_all((0..CALLERS).map(|number| {
            let (person, body) = limits::request(&practice, LIST_SLOTS, number);
            let mut request = authorized(body, Some(&format!("Bearer {}", person.unwrap().token)));
            request.set_timeout(Duration::from_secs(30));
            let channel = practice.channels[2 + number % (practice.channels.len() - 2)].clone();
            async move { unary(&channel, LIST_SLOTS, request).await }
        }));
        tokio::pin!(lists);
        let answers = loop {
            tokio::select! {
                answers = &mut lists => break answers,
                () = tokio::time::sleep(Duration::from_millis(5)) => highest = peak(&process, highest),
            }
        };
        for answer in answers {
            let page = ListSlotsResponse::decode(&*answer.unwrap().into_inner()).unwrap();
            // As many as fit into an answer.
            assert!(page.slots.len() * practice.providers.len() > 40_000, "{}", page.slots.len());
            assert!(!page.next_page_token.is_empty());
        }
    }
    // None was refused.
    assert!(!bookers.end().await.is_empty());
    let grew = (highest - before) / MIB;
    println!("{engine:?}: sixteen lists took {grew} MiB more than {} MiB", before / MIB);
    assert!(grew < 192, "{grew} MiB more than before");
    let back = || async { process.resident_kib() < before + 40 * MIB };
    until(60, "the memory is given back", back).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sixteen_of_the_largest_lists_of_slots_refuse_nobody_and_give_their_memory_back_on_sqlite()
{
    sixteen_lists_of_slots(Engine::Sqlite).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sixteen_of_the_largest_lists_of_slots_refuse_nobody_and_give_their_memory_back_on_postgres()
 {
    sixteen_lists_of_slots(Engine::Postgres).await;
}

/// In CI once with each method by a few callers; in full with the table.
async fn every_method(engine: Engine) {
    let is_full = rounds(0, 1) == 1;
    let process = Process::start(engine, &SETTINGS).await;
    let mut practice = Practice::open(&process, rounds(6, 300)).await;
    practice.fill(&process).await;
    let next = Arc::new(AtomicUsize::new(0));
    let mut table = String::new();
    for path in wanted() {
        let name = path.rsplit('/').next().unwrap();
        if !is_full {
            let bookers = Bookers::start(&practice, 0, &next);
            let calls = (0..4).map(|number| call(&practice, number, path));
            for answer in join_all(calls).await {
                check(path, answer);
            }
            assert!(!bookers.end().await.is_empty());
            continue;
        }
        practice.renew(&process).await;
        let seconds = Duration::from_secs(3);
        let quiet = Bookers::start(&practice, 200, &next);
        tokio::time::sleep(seconds).await;
        let idle = p99(&quiet.end().await);
        let before = process.resident_kib();
        let bookers = Bookers::start(&practice, 200, &next);
        let (began, mut highest, mut answered, mut longest) = (Instant::now(), before, 0, 0);
        let calls = stream::iter(0..).map(|number| {
            let call = call(&practice, number, path);
            // A flood of calls that do nothing would show who is quicker, its sender or the server.
            async { tokio::join!(call, tokio::time::sleep(EACH_TAKES)).0 }
        });
        let mut calls = calls.buffer_unordered(CALLERS);
        while began.elapsed() < seconds {
            tokio::select! {
                answer = calls.next() => {
                    let answer = answer.unwrap();
                    longest = longest.max(*answer.as_ref().unwrap_or(&0));
                    check(path, answer);
                    answered += 1;
                }
                () = tokio::time::sleep(Duration::from_millis(20)) => {}
            }
            highest = peak(&process, highest);
        }
        drop(calls);
        let beside = p99(&bookers.end().await);
        tokio::time::sleep(Duration::from_secs(2)).await;
        let after = process.resident_kib();
        let millis = |time: Duration| time.as_secs_f64() * 1e3;
        let late = if beside > idle + HELD_UP { " (held up)" } else { "" };
        let row = format!(
            "| {name} | {answered} | {longest} | {:.1} ms | {:.1} ms{late} | {} | {} | {} |\n",
            millis(idle),
            millis(beside),
            before / 1024,
            highest / 1024,
            after / 1024,
        );
        print!("{row}");
        table += &row;
    }
    if is_full {
        println!(
            "{engine:?}: bookings p99 idle, beside; resident MiB before, highest, 2 s after\n{table}"
        );
        let settled = process.resident_kib();
        tokio::time::sleep(Duration::from_secs(30)).await;
        println!(
            "resident {} MiB, {} MiB after 30 s",
            settled / 1024,
            process.resident_kib() / 1024
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_method_at_its_limits_leaves_bookings_alone_on_sqlite() {
    every_method(Engine::Sqlite).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_method_at_its_limits_leaves_bookings_alone_on_postgres() {
    every_method(Engine::Postgres).await;
}

/// What grows has no entry by chance: the request of each method says in how far it is at its limits.
#[test]
fn every_method_has_limits_at_which_it_is_tried() {
    let missing: Vec<_> = methods().into_iter().filter(|path| !is_known(path)).collect();
    assert!(missing.is_empty(), "no limits in tests/it/expensive/limits.rs: {missing:?}");
    let request = ListSlotsRequest::decode(&*limits::list_slots("appointmentTypes/x")).unwrap();
    assert_eq!(request.page_size, 5000);
}
