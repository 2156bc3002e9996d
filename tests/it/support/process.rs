//! A `daybook` process, as operators run it: the built program, the real clock, and signals.

use std::{
    future::Future,
    io::ErrorKind,
    net::SocketAddr,
    path::Path,
    process::{ExitStatus, Output, Stdio},
    sync::{Arc, Mutex},
    time::Duration,
};

use chrono::{DateTime, DurationRound, TimeDelta, Utc};
use daybook::{
    grpc::proto::{
        auth::{LogInRequest, Role, auth_service_client::AuthServiceClient},
        booking::{
            BookAppointmentRequest, Schedule, UpdateScheduleRequest, WeeklyWindow,
            booking_service_client::BookingServiceClient,
            schedule_service_client::ScheduleServiceClient,
        },
        google::r#type::{DayOfWeek, TimeOfDay},
    },
    kernel::ambient::Ambient,
};
use futures_util::{StreamExt, stream};
use prost_types::Timestamp;
use rustix::process::{Pid, Resource, Rlimit, Signal, kill_process, prlimit};
use sea_orm::{Database, DatabaseConnection};
use tempfile::TempDir;
use tokio::{
    io::{AsyncBufReadExt, AsyncRead, AsyncReadExt, BufReader},
    net::TcpStream,
    process::{Child, Command},
    time::Instant,
};
use tonic::transport::Channel;

use super::{
    Engine, connect,
    people::{PASSWORD, Person, booking, sign_up},
    serving,
};

/// A running `daybook`. It is killed when this is dropped, and when the test's process ends.
pub struct Process {
    pub engine: Engine,
    /// The URL of the database, past whatever stands between.
    pub url: String,
    pub address: SocketAddr,
    pub channel: Channel,
    /// What the process was told; for a restart.
    told: Vec<String>,
    environment: Vec<(String, String)>,
    folder: Arc<TempDir>,
    child: Child,
    log: Arc<Mutex<String>>,
}

impl Process {
    /// A process on a database of its own, serving.
    pub async fn start(engine: Engine, settings: &[(&str, &str)]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let url = super::database(engine, folder.path()).await;
        Self::on(engine, url.clone(), &url, settings).await
    }

    /// A process that reaches its database `url` by way of `through`, serving.
    pub async fn on(engine: Engine, url: String, through: &str, settings: &[(&str, &str)]) -> Self {
        let folder = Arc::new(tempfile::tempdir().unwrap());
        let url = match engine {
            // In the folder of the process, so that it goes with it.
            Engine::Sqlite => format!("sqlite:{}", folder.path().join("daybook.db").display()),
            Engine::Postgres => url,
        };
        let through = if engine == Engine::Sqlite { &url } else { through };
        let mut told = vec!["--database-url".to_owned(), through.to_owned()];
        for (key, value) in settings {
            told.extend(["--set".to_owned(), format!("{key}={value}")]);
        }
        Self::spawn(engine, url, told, Vec::new(), folder).await
    }

    /// A process on the SQLite file of this path, with this environment, serving.
    pub async fn on_file(path: &Path, environment: Vec<(String, String)>) -> Self {
        let url = format!("sqlite:{}", path.display());
        let told = vec!["--database-url".to_owned(), url.clone()];
        let folder = Arc::new(tempfile::tempdir().unwrap());
        Self::spawn(Engine::Sqlite, url, told, environment, folder).await
    }

    /// One more process with the same settings, database and key.
    pub async fn twin(&self) -> Self {
        let (url, told) = (self.url.clone(), self.told.clone());
        let environment = self.environment.clone();
        Self::spawn(self.engine, url, told, environment, Arc::clone(&self.folder)).await
    }

    /// Starts again after it ended, on a new port.
    pub async fn restart(&mut self) {
        *self = self.twin().await;
    }

    async fn spawn(
        engine: Engine,
        url: String,
        told: Vec<String>,
        environment: Vec<(String, String)>,
        folder: Arc<TempDir>,
    ) -> Self {
        let mut child = Command::new("setpriv")
            .args(["--pdeathsig", "KILL", "--", env!("CARGO_BIN_EXE_daybook")])
            .args(["--listen", "127.0.0.1:0"])
            .env("DAYBOOK_LOG_LEVEL", "info")
            .env("DAYBOOK_TIME_ZONES_SYSTEM_FOLDER", "")
            .args(&told)
            // Few people make many calls here.
            .env("DAYBOOK_SERVER_CALLER_READS_PER_SECOND", "0")
            .env("DAYBOOK_SERVER_CALLER_WRITES_PER_SECOND", "0")
            .env("DAYBOOK_SERVER_ADDRESS_CALLS_PER_SECOND", "0")
            .env("DAYBOOK_SERVER_ADDRESS_CONNECTIONS_PER_SECOND", "0")
            // The master key is made here, and no daybook.toml is found.
            .envs(environment.iter().cloned())
            .current_dir(folder.path())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .expect("starting daybook");
        let log = Arc::new(Mutex::new(String::new()));
        tokio::spawn(keep(child.stderr.take().unwrap(), Arc::clone(&log)));
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let greeting = within(30, "the greeting", lines.next_line()).await.unwrap();
        let Some(greeting) = greeting else {
            let _ = child.wait().await;
            panic!("daybook ended: {}", log.lock().unwrap());
        };
        let address = greeting
            .strip_prefix("Daybook listens on ")
            .and_then(|rest| rest.split_once(", database ")?.0.parse().ok())
            .unwrap_or_else(|| panic!("an unknown greeting: {greeting}"));
        tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
        let channel = connect(&format!("{address}")).await;
        serving(&channel).await;
        Self { engine, url, address, channel, told, environment, folder, child, log }
    }

    /// Runs another command with the same settings, database and key, to its end.
    pub async fn run(&self, args: &[&str]) -> Output {
        Command::new(env!("CARGO_BIN_EXE_daybook"))
            .args(&self.told)
            .args(args)
            .current_dir(self.folder.path())
            .stdin(Stdio::null())
            .kill_on_drop(true)
            .output()
            .await
            .expect("running daybook")
    }

    /// The text of the master key, without its comment.
    pub fn master_key(&self) -> String {
        let text = std::fs::read_to_string(self.folder.path().join("daybook-master-key")).unwrap();
        text.lines().last().unwrap().to_owned()
    }

    pub fn booking(&self) -> BookingServiceClient<Channel> {
        BookingServiceClient::new(self.channel.clone())
    }

    /// One more connection to it.
    pub async fn connect(&self) -> Channel {
        connect(&self.address.to_string()).await
    }

    pub fn signal(&self, signal: Signal) {
        kill_process(self.pid(), signal).unwrap();
    }

    /// Its process id.
    pub fn pid(&self) -> Pid {
        let id = self.child.id().and_then(|id| i32::try_from(id).ok());
        id.and_then(Pid::from_raw).expect("a running process")
    }

    /// Kills it as the kernel would, without a word.
    pub async fn kill(&mut self) {
        self.signal(Signal::KILL);
        self.ended().await;
    }

    /// Waits for its end.
    pub async fn ended(&mut self) -> ExitStatus {
        within(60, "the end of the process", self.child.wait()).await.unwrap()
    }

    /// The resident memory, in KiB.
    pub fn resident_kib(&self) -> u64 {
        let status = self.proc("status");
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
        line.trim().trim_end_matches(" kB").parse().unwrap()
    }

    /// Lets it have so many file descriptors at most, from now on.
    pub fn limit_files(&self, most: u64) {
        let limit = Rlimit { current: Some(most), maximum: Some(most) };
        let id = self.child.id().and_then(|id| i32::try_from(id).ok());
        let id = id.and_then(Pid::from_raw).expect("a running process");
        prlimit(Some(id), Resource::Nofile, limit).unwrap();
    }

    /// The processor time used so far.
    pub fn cpu_seconds(&self) -> f64 {
        let stat = self.proc("stat");
        // The name, in brackets, may hold spaces; times are the 14th and 15th field.
        let (_, rest) = stat.rsplit_once(')').unwrap();
        let ticks = rest.split_whitespace().skip(11).take(2);
        ticks.map(|ticks| ticks.parse::<f64>().unwrap()).sum::<f64>() / 100.0
    }

    fn proc(&self, file: &str) -> String {
        std::fs::read_to_string(format!("/proc/{}/{file}", self.child.id().unwrap())).unwrap()
    }

    /// What it logged so far.
    pub fn log(&self) -> String {
        self.log.lock().unwrap().clone()
    }

    /// A fresh connection of the test's own, past the server; one session.
    pub async fn sql(&self) -> DatabaseConnection {
        session(&self.url).await
    }

    /// Signs somebody up and logs in.
    pub async fn person(&self, role: Role) -> Person {
        let mut auth = AuthServiceClient::new(self.channel.clone());
        let request = sign_up(role);
        let email = request.email.clone();
        auth.sign_up(request).await.unwrap();
        let request =
            LogInRequest { email, password: PASSWORD.to_owned(), ..LogInRequest::default() };
        let answer = auth.log_in(request).await.unwrap().into_inner();
        Person { user: answer.user.unwrap(), token: answer.access_token }
    }

    /// Several customers.
    pub async fn customers(&self, count: usize) -> Vec<Person> {
        let each = (0..count).map(|_| self.person(Role::Customer));
        stream::iter(each).buffered(4).collect().await
    }

    /// A provider who is open at any time.
    pub async fn provider(&self) -> Person {
        let provider = self.person(Role::Provider).await;
        let time = |hours| Some(TimeOfDay { hours, ..TimeOfDay::default() });
        let hours = |hours: i64| Some(prost_types::Duration { seconds: hours * 3600, nanos: 0 });
        let days = (1..=7).map(|day| WeeklyWindow {
            day: DayOfWeek::try_from(day).unwrap().into(),
            start_time: time(0),
            end_time: time(24),
        });
        let schedule = Schedule {
            name: provider.schedule(),
            time_zone: "UTC".to_owned(),
            weekly_windows: days.collect(),
            slot_duration: hours(1),
            longest_booking: hours(24),
            ..Schedule::default()
        };
        let request =
            UpdateScheduleRequest { schedule: Some(schedule), ..UpdateScheduleRequest::default() };
        let mut schedules = ScheduleServiceClient::new(self.channel.clone());
        schedules.update_schedule(provider.asks(request)).await.unwrap();
        provider
    }
}

/// Keeps what a process says, until it has nothing more to say.
pub async fn keep(mut from: impl AsyncRead + Unpin, log: Arc<Mutex<String>>) {
    let mut buffer = vec![0; 8192];
    while let Ok(length @ 1..) = from.read(&mut buffer).await {
        log.lock().unwrap().push_str(&String::from_utf8_lossy(&buffer[..length]));
    }
}

/// A connection with one session, so that statements follow each other on it.
pub async fn session(url: &str) -> DatabaseConnection {
    let mut options = super::options(url);
    options.max_connections(1);
    Database::connect(options).await.unwrap()
}

/// The start of the day after tomorrow, from which tests with the real clock book.
pub fn day() -> DateTime<Utc> {
    let today = Ambient::system().now().duration_trunc(TimeDelta::days(1)).unwrap();
    today + TimeDelta::days(2)
}

/// A request for the minutes `from..until` after [`day`], with a request id.
pub fn minutes(
    provider: &Person,
    day: DateTime<Utc>,
    (from, until): (i64, i64),
) -> BookAppointmentRequest {
    let at = |minute: i64| Timestamp { seconds: day.timestamp() + minute * 60, nanos: 0 };
    let request_id = super::people::uuid();
    BookAppointmentRequest { request_id, ..booking(provider, at(from), at(until)) }
}

/// A random number below `end`.
pub fn random(end: usize) -> usize {
    let mut bytes = [0; 8];
    aws_lc_rs::rand::fill(&mut bytes).unwrap();
    usize::try_from(u64::from_le_bytes(bytes) % end as u64).unwrap()
}

/// Waits for something, and fails after so many seconds.
pub async fn within<T>(seconds: u64, what: &str, future: impl Future<Output = T>) -> T {
    let done = tokio::time::timeout(Duration::from_secs(seconds), future).await;
    done.unwrap_or_else(|_| panic!("{what} did not come within {seconds} s"))
}

/// Looks again and again until it is so, and fails after so many seconds. Returns how long it took.
pub async fn until(seconds: u64, what: &str, is_so: impl AsyncFn() -> bool) -> Duration {
    let took = until_or(seconds, is_so).await;
    took.unwrap_or_else(|| panic!("not within {seconds} s: {what}"))
}

/// Looks again and again until it is so. Returns how long it took; none when it took more seconds than these.
pub async fn until_or(seconds: u64, is_so: impl AsyncFn() -> bool) -> Option<Duration> {
    let began = Instant::now();
    while !is_so().await {
        if began.elapsed() >= Duration::from_secs(seconds) {
            return None;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    Some(began.elapsed())
}

/// Whether the other side closed it.
pub async fn closed(stream: &mut TcpStream) -> bool {
    let mut rest = [0; 1024];
    loop {
        match tokio::time::timeout(Duration::from_millis(20), stream.read(&mut rest)).await {
            Ok(Ok(0)) => return true,
            // What the server says of itself before it closes.
            Ok(Ok(_)) => {}
            Ok(Err(error)) => {
                let broken = [ErrorKind::ConnectionReset, ErrorKind::BrokenPipe];
                assert!(broken.contains(&error.kind()), "{error}");
                return true;
            }
            Err(_) => return false,
        }
    }
}
