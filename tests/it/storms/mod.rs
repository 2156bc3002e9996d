//! Holds, requests, moves and answers of many callers at once: nothing overlaps, nothing is lost, nobody
//! waits in a circle.

mod circles;
mod hour;
mod rings;

use std::{
    collections::{BTreeMap, HashMap},
    future::Future,
    sync::Mutex,
    time::Duration,
};

use daybook::grpc::proto::booking::{
    Appointment, BookAppointmentRequest, ReassignAppointmentRequest, RescheduleAppointmentRequest,
    appointment::State, booking_service_client::BookingServiceClient,
};
use prost_types::{Duration as Length, Timestamp};
use tokio::time::Instant;
use tonic::{Response, Status, transport::Channel};

use crate::{
    races::no_deadlock,
    support::{
        Engine, books,
        people::Person,
        process::{Process, day, minutes},
        refusal::reason_of,
    },
};

/// How many call at once.
const CALLERS: usize = 64;

/// What was answered, over all callers.
#[derive(Default)]
struct Heard {
    /// How often what.
    answers: BTreeMap<String, usize>,
    slowest: Duration,
    /// Of each appointment, the newest version that somebody was told, and how it was then.
    newest: HashMap<String, (i64, State, i64)>,
}

/// Processes on one database, and what callers heard of them.
struct Storm {
    processes: Vec<Process>,
    channels: Vec<Channel>,
    heard: Mutex<Heard>,
}

impl Storm {
    async fn on(engine: Engine, servers: usize) -> Self {
        let mut processes = vec![Process::start(engine, &[]).await];
        for _ in 1..servers {
            processes.push(processes[0].twin().await);
        }
        let mut channels = Vec::new();
        for _ in 0..2 {
            for process in &processes {
                channels.push(process.connect().await);
            }
        }
        Self { processes, channels, heard: Mutex::default() }
    }

    /// Neighbours are on different servers.
    fn client(&self, caller: usize) -> BookingServiceClient<Channel> {
        BookingServiceClient::new(self.channels[caller % self.channels.len()].clone())
    }

    async fn providers(&self, count: usize) -> Vec<Person> {
        let mut providers = Vec::new();
        for _ in 0..count {
            providers.push(self.processes[0].provider().await);
        }
        providers
    }

    /// Hears the answer to a call, which is none or one of these refusals.
    async fn hear<T>(
        &self,
        allowed: &[&str],
        call: impl Future<Output = Result<Response<T>, Status>>,
    ) -> Option<T> {
        let began = Instant::now();
        let answer = call.await;
        let mut heard = self.heard.lock().unwrap();
        heard.slowest = heard.slowest.max(began.elapsed());
        let word = answer.as_ref().err().map_or_else(|| "OK".to_owned(), reason_of);
        if let Err(status) = &answer {
            assert!(allowed.contains(&word.as_str()), "{status:?}");
        }
        *heard.answers.entry(word).or_default() += 1;
        answer.ok().map(Response::into_inner)
    }

    /// Remembers how an appointment was when somebody was told.
    fn told(&self, appointment: Option<Appointment>) -> Appointment {
        let appointment = appointment.unwrap();
        let version = crate::support::version(&appointment.etag);
        let seen = (version, appointment.state(), appointment.start_time.unwrap().seconds);
        let mut heard = self.heard.lock().unwrap();
        let newest = heard.newest.entry(appointment.name.clone()).or_insert(seen);
        if newest.0 <= version {
            *newest = seen;
        }
        appointment
    }

    async fn book(
        &self,
        caller: usize,
        by: &Person,
        request: BookAppointmentRequest,
        allowed: &[&str],
    ) -> Option<Appointment> {
        let mut client = self.client(caller);
        let answer = self.hear(allowed, client.book_appointment(by.asks(request))).await?;
        Some(self.told(answer.appointment))
    }

    async fn move_to(
        &self,
        caller: usize,
        by: &Person,
        name: &str,
        minute: i64,
        allowed: &[&str],
    ) -> Option<Appointment> {
        let (name, start_time) = (name.to_owned(), at(minute));
        let request = RescheduleAppointmentRequest { name, start_time, ..Default::default() };
        let mut client = self.client(caller);
        let answer = self.hear(allowed, client.reschedule_appointment(by.asks(request))).await?;
        Some(self.told(answer.appointment))
    }

    async fn give_to(
        &self,
        caller: usize,
        by: &Person,
        name: &str,
        to: &Person,
        allowed: &[&str],
    ) -> Option<Appointment> {
        let (name, provider) = (name.to_owned(), to.provider());
        let request = ReassignAppointmentRequest { name, provider, ..Default::default() };
        let mut client = self.client(caller);
        let answer = self.hear(allowed, client.reassign_appointment(by.asks(request))).await?;
        Some(self.told(answer.appointment))
    }

    /// The books are right, and every appointment is as it was told last. Then figures, and the end.
    async fn passes(mut self, what: &str, holds: usize) {
        let db = self.processes[0].sql().await;
        let stored = books::check(&db).await;
        let heard = std::mem::take(&mut *self.heard.lock().unwrap());
        for (name, (_, state, _)) in &heard.newest {
            let word = state.as_str_name().trim_start_matches("STATE_").to_lowercase();
            assert_eq!(stored.get(name), Some(&word), "{name}");
        }
        let held = stored.values().filter(|state| *state == "held").count();
        assert_eq!((held, stored.len()), (holds, heard.newest.len() + holds));
        db.close().await.unwrap();
        println!("{what}: {:?}, slowest call {:?}", heard.answers, heard.slowest);
        if std::env::var_os("TEST_FULL").is_some() {
            assert!(heard.slowest < Duration::from_secs(1), "{what}: {:?}", heard.slowest);
        }
        for process in &mut self.processes {
            process.signal(rustix::process::Signal::TERM);
            assert!(process.ended().await.success());
            let log = process.log();
            assert!(!log.contains("a defect") && !log.contains("giving up"), "{log}");
        }
        if self.processes[0].engine == Engine::Postgres {
            no_deadlock(&self.processes[0].url).await;
        }
    }
}

fn at(minute: i64) -> Option<Timestamp> {
    Some(Timestamp { seconds: day().timestamp() + minute * 60, nanos: 0 })
}

fn length(minutes: i64) -> Option<Length> {
    Some(Length { seconds: minutes * 60, nanos: 0 })
}

fn interval(provider: &Person, minute: i64) -> BookAppointmentRequest {
    minutes(provider, day(), (minute, minute + 20))
}

/// Each on SQLite, on PostgreSQL, and on two processes that share a database.
macro_rules! storms {
    ($($name:ident: $storm:path,)*) => {$(
        mod $name {
            use super::{Engine, Storm};

            async fn comes(what: &str, servers: usize, engine: Engine) {
                let storm = Storm::on(engine, servers).await;
                let holds = $storm(&storm).await;
                storm.passes(&format!("{what}, {}", stringify!($name)), holds).await;
            }

            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn sqlite() {
                comes("SQLite", 1, Engine::Sqlite).await;
            }

            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn postgres() {
                comes("PostgreSQL", 1, Engine::Postgres).await;
            }

            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn two_processes() {
                comes("two processes", 2, Engine::Postgres).await;
            }
        }
    )*};
}

storms!(
    one_hour: super::hour::one_hour,
    rings_at_one_provider: super::rings::rings_of_one_provider,
    rings_of_a_customer: super::rings::rings_of_one_customer,
    holds_of_a_customer: super::rings::holds_of_one_customer,
    answers_while_others_move: super::rings::answers_against_moves,
    appointments_change_sides: super::rings::sides_are_changed,
);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn acts_that_meet_do_not_wait_in_a_circle_on_postgres() {
    for servers in [1, 2] {
        let storm = Storm::on(Engine::Postgres, servers).await;
        circles::acts_that_meet(&storm).await;
        storm.passes(&format!("PostgreSQL, {servers} servers, acts that meet"), 1).await;
    }
}
