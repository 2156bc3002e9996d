//! A whole Daybook in a test: the real server on a real port, on SQLite or PostgreSQL, with a clock
//! that the test moves.

pub mod books;
pub mod dump;
pub mod faults;
pub mod frames;
pub mod keys;
pub mod mail_server;
pub mod people;
pub mod postgres;
pub mod practice;
pub mod process;
pub mod proxy;
pub mod raw;
pub mod recorded;
pub mod refusal;
pub mod requests;
pub mod restore;
pub mod services;
pub mod tls;
pub mod totp;
pub mod types;
pub mod zones;

use std::{sync::Arc, time::Duration};

use chrono::{DateTime, NaiveDateTime, Utc};
use daybook::storage::{self, Store};
use daybook::{
    app::{self, Running},
    config::{Config, Flag, Sources},
    grpc::proto::{
        auth::auth_service_client::AuthServiceClient,
        booking::{
            booking_service_client::BookingServiceClient,
            catalogue_service_client::CatalogueServiceClient,
            schedule_service_client::ScheduleServiceClient,
            watch_service_client::WatchServiceClient,
        },
    },
    kernel::{
        ambient::{Ambient, ManualClock},
        zone::LocalTimeMapping,
    },
};
use prost_types::Timestamp;
use sea_orm::{
    ConnectOptions, ConnectionTrait, Database, DatabaseBackend, DatabaseConnection, Statement,
};
use tonic::transport::{Channel, Endpoint};
use tonic_health::pb::{
    HealthCheckRequest, health_check_response::ServingStatus, health_client::HealthClient,
};

/// The engines that every behaviour is tested on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Engine {
    Sqlite,
    Postgres,
}

/// When tests begin: a Sunday, so that the coming week lies ahead.
pub const NOW: &str = "2026-11-22T12:00:00Z";

/// A running server with its database and its clock.
pub struct World {
    pub engine: Engine,
    pub clock: ManualClock,
    /// The database, as its owner reaches it.
    pub url: String,
    /// The same, as the server does.
    served: String,
    pub channel: Channel,
    /// Where its letters go.
    pub mail: Option<mail_server::MailServer>,
    _running: Running,
    _folder: Arc<tempfile::TempDir>,
}

/// A database of its own for one test.
pub async fn database(engine: Engine, folder: &std::path::Path) -> String {
    match engine {
        Engine::Sqlite => format!("sqlite:{}", folder.join("daybook.db").display()),
        Engine::Postgres => postgres::database().await,
    }
}

/// The settings of a test's server.
pub fn config(url: &str, folder: &std::path::Path, settings: &[(&str, &str)]) -> Config {
    let key = folder.join("master-key");
    let mut all = vec![
        ("server.listen".to_owned(), "127.0.0.1:0".to_owned()),
        ("database.url".to_owned(), url.to_owned()),
        ("database.max_connections".to_owned(), "8".to_owned()),
        ("auth.master_key_file".to_owned(), key.display().to_string()),
        ("mail.transport".to_owned(), "none".to_owned()),
        // What the machine has of zones is none of the tests' business.
        ("time_zones.system_folder".to_owned(), String::new()),
        // Few people make many calls here. What the rates do is tested by itself.
        ("server.caller_reads_per_second".to_owned(), "0".to_owned()),
        ("server.caller_writes_per_second".to_owned(), "0".to_owned()),
        ("server.address_calls_per_second".to_owned(), "0".to_owned()),
        ("server.address_connections_per_second".to_owned(), "0".to_owned()),
    ];
    for (key, value) in settings {
        all.retain(|(known, _)| known != key);
        all.push(((*key).to_owned(), (*value).to_owned()));
    }
    let flags = all
        .into_iter()
        .map(|(key, value)| Flag { name: format!("--set {key}"), key, value })
        .collect();
    match Config::load(Sources { flags, ..Sources::default() }) {
        Ok((mut config, _)) => {
            // Tests move the clock over a day, which no token outlives; what an expired token gets is
            // tested by itself.
            config.mail.look = Duration::from_millis(50);
            if settings.iter().all(|(key, _)| *key != "auth.access_token_ttl_seconds") {
                config.auth.access_token_ttl_seconds = 86_400;
            }
            // Nobody guesses these passwords; with the real cost the tests would do little but hash.
            if settings.iter().all(|(key, _)| !key.starts_with("auth.hash_")) {
                config.auth.hash_memory_kib = 256;
                config.auth.hash_iterations = 1;
            }
            config
        }
        Err(problems) => panic!("{problems}"),
    }
}

impl World {
    pub async fn new(engine: Engine) -> Self {
        Self::with(engine, &[]).await
    }

    pub async fn with(engine: Engine, settings: &[(&str, &str)]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        match engine {
            Engine::Sqlite => {
                let url = database(engine, folder.path()).await;
                Self::on(engine, url, folder, settings).await
            }
            // With no more rights than serving needs.
            Engine::Postgres => {
                let (owner, app) = postgres::with_roles().await;
                Self::serving(engine, (owner, app), Arc::new(folder), settings).await
            }
        }
    }

    /// A server on a given database.
    pub async fn on(
        engine: Engine,
        url: String,
        folder: tempfile::TempDir,
        settings: &[(&str, &str)],
    ) -> Self {
        Self::in_folder(engine, url, Arc::new(folder), settings).await
    }

    /// A second server on the same database, with the same master key and a clock of its own.
    pub async fn beside(&self) -> Self {
        self.beside_with(&[]).await
    }

    /// The same with other settings.
    pub async fn beside_with(&self, settings: &[(&str, &str)]) -> Self {
        let folder = Arc::clone(&self._folder);
        let urls = (self.url.clone(), self.served.clone());
        let config = config(&self.served, folder.path(), settings);
        // It starts at this time: what it learns at its start depends on that.
        Self::configured(self.engine, urls, folder, config, self.clock.now()).await
    }

    /// A server on a given database, with its clock at this time, and the master key of this folder.
    pub async fn on_at(
        engine: Engine,
        url: String,
        folder: Arc<tempfile::TempDir>,
        now: DateTime<Utc>,
    ) -> Self {
        let config = config(&url, folder.path(), &[]);
        Self::configured(engine, (url.clone(), url), folder, config, now).await
    }

    /// A server on a given database, in a folder that others may share.
    pub async fn in_folder(
        engine: Engine,
        url: String,
        folder: Arc<tempfile::TempDir>,
        settings: &[(&str, &str)],
    ) -> Self {
        Self::serving(engine, (url.clone(), url), folder, settings).await
    }

    /// A server on a database that the test reaches by one URL and the server by another.
    async fn serving(
        engine: Engine,
        (url, served): (String, String),
        folder: Arc<tempfile::TempDir>,
        settings: &[(&str, &str)],
    ) -> Self {
        let config = config(&served, folder.path(), settings);
        Self::configured(engine, (url, served), folder, config, NOW.parse().unwrap()).await
    }

    /// The same with settings that were read already.
    async fn configured(
        engine: Engine,
        (url, served): (String, String),
        folder: Arc<tempfile::TempDir>,
        mut config: Config,
        now: DateTime<Utc>,
    ) -> Self {
        let (ambient, clock) = Ambient::manual(now);
        config.database.migrate_on_start &= url == served;
        let running = app::start(config, ambient).await.unwrap();
        let channel = connect(&running.address.to_string()).await;
        serving(&channel).await;
        Self { engine, clock, url, served, channel, mail: None, _running: running, _folder: folder }
    }

    /// Begins the stop of the server, as a signal would.
    pub fn stop(&self) {
        self._running.stop();
    }

    /// Waits until the server has stopped.
    pub async fn stopped(self) {
        drop(self.channel);
        self._running.ended().await.unwrap();
    }

    /// Whether the server takes no new connections.
    pub async fn is_closed(&self) -> bool {
        tokio::net::TcpStream::connect(self._running.address).await.is_err()
    }

    pub fn auth(&self) -> AuthServiceClient<Channel> {
        AuthServiceClient::new(self.channel.clone())
    }

    pub fn booking(&self) -> BookingServiceClient<Channel> {
        BookingServiceClient::new(self.channel.clone())
    }

    pub fn catalogue(&self) -> CatalogueServiceClient<Channel> {
        CatalogueServiceClient::new(self.channel.clone())
    }

    pub fn watch(&self) -> WatchServiceClient<Channel> {
        WatchServiceClient::new(self.channel.clone())
    }

    pub fn schedule(&self) -> ScheduleServiceClient<Channel> {
        ScheduleServiceClient::new(self.channel.clone())
    }

    /// One more connection to it.
    pub async fn connect(&self) -> Channel {
        connect(&self._running.address.to_string()).await
    }

    /// Moves the clock to this local time.
    /// Lets time pass.
    pub fn forward(&self, by: chrono::TimeDelta) {
        self.clock.set(self.clock.now() + by);
    }

    pub fn move_to(&self, local: &str, zone: &str) {
        self.clock.set(instant(local, zone));
    }

    /// A connection of the test's own, past the server.
    pub async fn sql(&self) -> DatabaseConnection {
        Database::connect(options(&self.url)).await.unwrap()
    }

    /// The database as the server uses it, for work that it does by the hour.
    pub async fn store(&self) -> Store {
        let settings = storage::Settings {
            url: self.url.clone().into(),
            max_connections: 2,
            acquire_timeout: Duration::from_secs(30),
            statement_timeout: Duration::from_secs(30),
            max_in_flight: 10,
        };
        Store::connect(&settings).await.unwrap()
    }

    /// One number from the database, past the server.
    pub async fn count(&self, sql: &str) -> i64 {
        self.value(sql).await
    }

    /// One text from the database, past the server.
    pub async fn text(&self, sql: &str) -> String {
        self.value(sql).await
    }

    /// What changes when anything is written: see [`dump::state`].
    pub async fn state(&self) -> String {
        dump::state(self).await
    }

    /// One value from the database, past the server.
    async fn value<T: sea_orm::TryGetable>(&self, sql: &str) -> T {
        let db = self.sql().await;
        let backend = match self.engine {
            Engine::Sqlite => DatabaseBackend::Sqlite,
            Engine::Postgres => DatabaseBackend::Postgres,
        };
        let row = db.query_one_raw(Statement::from_string(backend, sql)).await.unwrap();
        row.unwrap().try_get_by_index(0).unwrap()
    }

    /// Changes the database past the server: one statement for each engine.
    pub async fn execute(&self, sqlite: &str, postgres: &str) {
        let sql = match self.engine {
            Engine::Sqlite => sqlite,
            Engine::Postgres => postgres,
        };
        self.sql().await.execute_unprepared(sql).await.unwrap();
    }
}

/// Connects to a server on this machine.
pub async fn connect(address: &str) -> Channel {
    let endpoint = Endpoint::from_shared(format!("http://{address}")).unwrap();
    // Longer than any deadline of the server's: a call that is never answered fails its test.
    endpoint.timeout(Duration::from_secs(60)).connect().await.unwrap()
}

/// How tests connect to a database past the server. sqlx 0.9 looks for old connections in a task that may never end,
/// and then neither does the test: so none are looked for.
pub fn options(url: &str) -> ConnectOptions {
    let mut options = ConnectOptions::new(url);
    options.sqlx_logging(false).idle_timeout(None).max_lifetime(None);
    options
}

/// Waits until the server says that it is serving.
pub async fn serving(channel: &Channel) {
    let mut health = HealthClient::new(channel.clone());
    let request = HealthCheckRequest { service: String::new() };
    let wait = async {
        let mut states = health.watch(request).await.unwrap().into_inner();
        while let Some(state) = states.message().await.unwrap() {
            if state.status() == ServingStatus::Serving {
                return;
            }
        }
        panic!("the server stopped before it was serving");
    };
    tokio::time::timeout(Duration::from_secs(30), wait).await.expect("serving within 30 s");
}

/// An instant, from wall-clock text such as `2026-11-23 09:00`.
pub fn instant(local: &str, zone: &str) -> DateTime<Utc> {
    let form = if local.len() > 16 { "%Y-%m-%d %H:%M:%S" } else { "%Y-%m-%d %H:%M" };
    let wall = NaiveDateTime::parse_from_str(local, form).unwrap();
    match zones::rules(zone).reading(wall).unwrap() {
        LocalTimeMapping::Once(instant) => instant,
        other => panic!("{local} in {zone} is {other:?}"),
    }
}

/// The same as a message.
pub fn at(local: &str, zone: &str) -> Timestamp {
    Timestamp { seconds: instant(local, zone).timestamp(), nanos: 0 }
}

/// Wall-clock text in Berlin, where the tests' providers work.
pub fn berlin(local: &str) -> Timestamp {
    at(local, "Europe/Berlin")
}

/// The version in an etag. What follows it tells apart what has the same version.
pub fn version(etag: &str) -> i64 {
    let (version, stamp) = etag.trim_matches('"').split_once('-').unwrap();
    assert_eq!(stamp.len(), 16, "{etag}");
    version.parse().unwrap()
}

/// How many rounds a heavy proof runs: few in CI, all with `tests/run --full`.
pub fn rounds(ci: usize, full: usize) -> usize {
    if std::env::var_os("TEST_FULL").is_some() { full } else { ci }
}
