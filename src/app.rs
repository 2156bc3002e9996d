//! The composition root: names every concrete part, starts it, and stops it.

use std::{
    io,
    path::Path,
    sync::{Arc, LazyLock},
    time::Duration,
};

use chrono::TimeDelta;
use secrecy::{ExposeSecret as _, SecretString};
use tokio::{
    net::TcpListener,
    signal::unix::{Signal, SignalKind, signal},
    time::Instant as Moment,
};
use tokio_util::sync::CancellationToken;
use tonic::transport::Endpoint;
use tonic_health::pb::{
    HealthCheckRequest, health_check_response::ServingStatus, health_client::HealthClient,
};

use crate::{
    accounts::{
        service::{Accounts, NewUser},
        sessions::Lifetimes,
    },
    availability::{service::Availabilities, slots_service::Slots},
    booking::{drift_service::Drifted, service::Bookings},
    catalogue::service::Types,
    config::{Config, SigningKeySource},
    grpc::{
        health::Health,
        server::{self, ServeError, Services},
    },
    identity::{
        Role,
        attempts::{Keys, Policies},
        email::Email,
        password::{self, Hasher},
        pepper::{self, Pepper},
        refresh::RefreshTokens,
        signing_key::{KeyError, SigningKey},
        token::{self, Tokens},
    },
    kernel::{ambient::Ambient, fault::Fault, text},
    schedule::{
        Schedule, TimeOfDay, WeeklyHours, Window,
        offering::service::Offerings,
        service::Schedules,
        store::{claims::WithClaims, remembered::Remembered},
    },
    storage::{self, Deadline, Store, batch::Batch},
    upkeep,
};

/// The version of the IANA time zone data that is compiled in, such as `2025b`.
pub const ZONE_DATA: &str = chrono_tz::IANA_TZDB_VERSION;

/// How long to wait for the last statements after the drain.
const CLOSE: Duration = Duration::from_secs(1);
/// Signals that follow each other faster are one: some supervisors, such as the command `timeout`, tell
/// the process and then its group.
const SAME_WISH: Duration = Duration::from_millis(100);
/// How many providers' schedules are remembered.
const REMEMBERED: usize = 20_000;
/// For operators, who wait as long as it takes.
const OPERATOR: Duration = Duration::from_mins(1);

/// Why a command failed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The address cannot be listened on.
    #[error("cannot listen on {address}")]
    Listen {
        /// The address.
        address: String,
        /// What the system said.
        source: io::Error,
    },
    /// The signing key cannot be used.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// The peppers cannot be used.
    #[error("the peppers in {path}: {cause}")]
    Peppers {
        /// The file.
        path: String,
        /// What is wrong with it.
        cause: String,
    },
    /// The database or a rule refused.
    #[error("{}", operator_text(.0))]
    Fault(Fault),
    /// Serving failed.
    #[error(transparent)]
    Serve(#[from] ServeError),
    /// The default schedule of the settings is none.
    #[error("the default schedule: {0}")]
    DefaultSchedule(String),
    /// The health check could not be made.
    #[error("cannot ask {address}: {cause}")]
    Healthcheck {
        /// The address.
        address: String,
        /// What went wrong.
        cause: String,
    },
    /// A signal cannot be waited for.
    #[error("waiting for signals")]
    Signals(#[source] io::Error),
    /// A second signal came before the drain was over.
    #[error("ended by a second signal before the drain was over")]
    CutShort,
}

// Not `#[from]`: that would make the fault its own cause, and tell it twice.
impl From<Fault> for Error {
    fn from(fault: Fault) -> Self {
        Self::Fault(fault)
    }
}

/// Operators may read what callers may not.
pub(crate) fn operator_text(fault: &Fault) -> String {
    let mut text = fault.log_text().map_or_else(|| fault.message().to_owned(), ToOwned::to_owned);
    for violation in fault.fields() {
        text.extend(["; ", &violation.field, " ", &violation.description]);
    }
    if let Some(hint) = storage::engine::hint(&text) {
        text.extend(["; ", hint]);
    }
    text
}

/// This version, and that of the time zone data: what decides which instant a wall-clock time is.
pub fn version() -> &'static str {
    static TEXT: LazyLock<String> = LazyLock::new(|| {
        format!("{}\ntime zone data: IANA {ZONE_DATA}", env!("CARGO_PKG_VERSION"))
    });
    &TEXT
}

/// A server that is running, for those who started it in their own process.
#[derive(Debug)]
pub struct Running {
    /// Where it listens.
    pub address: std::net::SocketAddr,
    stop: CancellationToken,
    ended: tokio::task::JoinHandle<Result<(), Error>>,
}

impl Running {
    /// Begins the drain, as a signal would.
    pub fn stop(&self) {
        self.stop.cancel();
    }

    /// Waits until it has ended.
    pub async fn ended(self) -> Result<(), Error> {
        match self.ended.await {
            Ok(result) => result,
            Err(error) => Err(Fault::internal(format!("the server's task: {error}")).into()),
        }
    }
}

/// Serves until a signal ends it: the command `daybook serve`. A second signal ends the drain.
pub async fn serve(config: Config) -> Result<(), Error> {
    let database = format!("{:?}", config.database.url);
    let running = start(config, Ambient::system()).await?;
    greet(running.address, &database);
    let mut signals = Signals::new().map_err(Error::Signals)?;
    let stop = running.stop.clone();
    let mut ended = std::pin::pin!(running.ended());
    tokio::select! {
        ended = &mut ended => return ended,
        () = signals.next() => stop.cancel(),
    }
    tokio::select! {
        ended = &mut ended => ended,
        () = signals.again() => {
            tracing::warn!("a second signal: ending at once, with calls under way cut off");
            Err(Error::CutShort)
        }
    }
}

/// Starts a server in this process. It listens at once, and tells that it is ready when the schema is
/// current and the database answers.
pub async fn start(config: Config, ambient: Ambient) -> Result<Running, Error> {
    tracing::info!(version = env!("CARGO_PKG_VERSION"), zone_data = ZONE_DATA, "starting");
    let key = signing_key(&config)?;
    let address = config.server.listen;
    let in_listening = |source| Error::Listen { address: address.to_string(), source };
    let listener = TcpListener::bind(address).await.map_err(in_listening)?;
    let address = listener.local_addr().map_err(in_listening)?;
    let store = Store::connect(&storage_settings(&config)).await?;
    let services = services(&config, &store, &ambient, &key)?;
    services.accounts.tokens.set_trusted(false);
    let stop = CancellationToken::new();
    let ended = tokio::spawn(run(config, listener, store, services, stop.clone()));
    Ok(Running { address, stop, ended })
}

async fn run(
    config: Config,
    listener: TcpListener,
    store: Store,
    services: Services,
    stop: CancellationToken,
) -> Result<(), Error> {
    let (reporter, health_service) = tonic_health::server::health_reporter();
    let health = Health::starting(reporter).await;
    let (draining, stopping) = (CancellationToken::new(), CancellationToken::new());

    let server = server::serve(
        listener,
        services.clone(),
        health_service,
        &config,
        stopping.clone(),
        draining.clone().cancelled_owned(),
    );
    let mut server = std::pin::pin!(server);

    let following = tokio::spawn(upkeep::follow(
        store.clone(),
        services.accounts,
        health.clone(),
        config.database.migrate_on_start,
        stop.clone(),
    ));
    let mut following = std::pin::pin!(following);

    let failed = tokio::select! {
        served = &mut server => Some(served.map_err(Error::from)),
        followed = &mut following => match followed {
            Ok(Ok(())) => None,
            Ok(Err(error)) => Some(Err(error)),
            Err(error) => Some(Err(Fault::internal(format!("a background task: {error}")).into())),
        },
    };
    health.set(false).await;
    if let Some(result) = failed {
        stop.cancel();
        return result;
    }

    // Asked to stop: first be taken out of service, then finish what is under way, then go.
    tracing::info!("stopping: draining the calls under way");
    let delay = Duration::from_millis(config.server.drain_delay_ms);
    tokio::select! {
        served = &mut server => return served.map_err(Error::from),
        () = tokio::time::sleep(delay) => {}
    }
    draining.cancel();
    stopping.cancel();
    let patience = Duration::from_millis(config.server.drain_timeout_ms);
    if let Ok(served) = tokio::time::timeout(patience, server).await {
        served?;
    } else {
        tracing::warn!("connections were still open at the hard stop");
    }
    // What is still under way then has had its time.
    if tokio::time::timeout(CLOSE, store.close()).await.is_err() {
        tracing::warn!("statements were still running at the hard stop");
    }
    tracing::info!("stopped");
    Ok(())
}

/// Brings the schema up.
pub async fn migrate_up(config: &Config) -> Result<(), Error> {
    let store = Store::connect(&storage_settings(config)).await?;
    let done = storage::migrate_up(&store).await;
    store.close().await;
    Ok(done?)
}

/// Takes back the last changes of the schema.
pub async fn migrate_down(config: &Config, steps: u32) -> Result<(), Error> {
    let store = Store::connect(&storage_settings(config)).await?;
    let done = storage::migrate_down(&store, steps).await;
    store.close().await;
    Ok(done?)
}

/// The changes of the schema, and whether this database has them.
pub async fn migrate_status(config: &Config) -> Result<Vec<(String, bool)>, Error> {
    let store = Store::connect(&storage_settings(config)).await?;
    let states = storage::migration_status(&store).await;
    store.close().await;
    Ok(states?.into_iter().map(|state| (state.name, state.applied)).collect())
}

/// Makes an admin, and brings the schema up before when it is to be. Returns the resource name.
pub async fn create_admin(
    config: &Config,
    name: String,
    email: String,
    password: SecretString,
) -> Result<String, Error> {
    let mut violations = crate::kernel::fault::Violations::new();
    let display_name = violations.keep("name", text::line(&name, crate::accounts::LONGEST_NAME));
    let email = violations.keep("email", Email::parse(&email));
    violations.keep("password", password::check(&password, config.auth.password_min_length));
    let own =
        [display_name.as_deref().unwrap_or_default(), email.as_ref().map_or("", Email::as_str)];
    let least = config.auth.password_min_strength;
    if let Some(weak) = password::weakness(password.expose_secret(), &own, least) {
        violations.add("password", weak);
    }
    violations.finish()?;
    let (Some(display_name), Some(email)) = (display_name, email) else {
        return Err(Fault::unchecked().into());
    };
    let ambient = Ambient::system();
    if storage::engine::is_in_memory(config.database.url.expose()) {
        return Err(Fault::internal("a database in memory is gone when this command ends").into());
    }
    let store = Store::connect(&storage_settings(config)).await?;
    if config.database.migrate_on_start {
        storage::migrate_up(&store).await?;
    }
    // Nobody logs in here; a key of the settings is neither needed nor made.
    let services = services(config, &store, &ambient, &SigningKey::throwaway()?)?;
    let new =
        NewUser { display_name, email, password, role: Role::Admin, time_zone: chrono_tz::Tz::UTC };
    let once = storage::request::Once { caller: None, id: None, fingerprint: [0; 32] };
    let user = services.accounts.make(Deadline::after(OPERATOR), new, once).await?;
    store.close().await;
    Ok(user.id.name())
}

/// Looks for upcoming appointments that are no longer at the wall-clock time that was promised.
pub async fn drifted(config: &Config) -> Result<Drifted, Error> {
    let store = Store::connect(&storage_settings(config)).await?;
    store.ready().await?;
    // Nobody logs in here either.
    let services = services(config, &store, &Ambient::system(), &SigningKey::throwaway()?)?;
    let drifted = services.bookings.drifted(|| Deadline::after(OPERATOR)).await;
    store.close().await;
    Ok(drifted?)
}

/// Asks a server's health; `true` is SERVING.
pub async fn healthcheck(
    address: String,
    service: String,
    timeout: Duration,
) -> Result<bool, Error> {
    let failed = |cause: String| Error::Healthcheck { address: address.clone(), cause };
    let ask = async {
        let endpoint = Endpoint::from_shared(address.clone()).map_err(|e| failed(e.to_string()))?;
        let channel = endpoint.connect().await.map_err(|e| {
            let cause = std::error::Error::source(&e).map(ToString::to_string);
            failed(cause.unwrap_or_else(|| e.to_string()))
        })?;
        let answer = HealthClient::new(channel).check(HealthCheckRequest { service }).await;
        let answer = answer.map_err(|status| failed(status.message().to_owned()))?;
        Ok(answer.into_inner().status() == ServingStatus::Serving)
    };
    match tokio::time::timeout(timeout, ask).await {
        Ok(answer) => answer,
        Err(_) => Err(failed(format!("no answer within {} ms", timeout.as_millis()))),
    }
}

fn services(
    config: &Config,
    store: &Store,
    ambient: &Ambient,
    key: &SigningKey,
) -> Result<Services, Error> {
    let auth = &config.auth;
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let hasher = Hasher::new(password::Settings {
        memory_kib: auth.hash_memory_kib,
        iterations: auth.hash_iterations,
        parallelism: auth.hash_parallelism,
        workers: if auth.hash_workers == 0 { cores } else { auth.hash_workers },
        queue: auth.hash_queue,
        peppers: peppers(config)?,
    })?;
    let tokens = Tokens::new(
        token::Settings {
            issuer: auth.issuer.clone(),
            audience: auth.audience.clone(),
            time_to_live: TimeDelta::seconds(auth.access_token_ttl_seconds.into()),
        },
        key.clone(),
    );
    let remembered = Remembered::new(REMEMBERED);
    let accounts = Accounts {
        store: store.clone(),
        ambient: ambient.clone(),
        hasher,
        tokens,
        refresh: RefreshTokens::new(&key.derived("refresh tokens")),
        lifetimes: Lifetimes {
            idle: TimeDelta::hours(auth.session_idle_hours.into()),
            absolute: TimeDelta::hours(auth.session_lifetime_hours.into()),
        },
        keys: Keys::new(&key.derived("attempts")),
        policies: Policies::new(
            auth.attempts_per_account,
            auth.attempts_per_address,
            auth.attempts_in_all,
        ),
        default_schedule: Arc::new(default_schedule(config)?),
        provider_sign_up: auth.provider_sign_up,
        least_strength: auth.password_min_strength,
    };
    let types = Types { store: store.clone(), ambient: ambient.clone() };
    let claims = Batch::new(store, WithClaims { remembered: remembered.clone() });
    let slots = Slots {
        store: store.clone(),
        types: types.clone(),
        claims: claims.clone(),
        remembered: remembered.clone(),
        ambient: ambient.clone(),
    };
    Ok(Services {
        accounts,
        schedules: Schedules { store: store.clone(), ambient: ambient.clone() },
        types,
        offerings: Offerings { store: store.clone(), ambient: ambient.clone() },
        availabilities: Availabilities { claims, ambient: ambient.clone() },
        slots: slots.clone(),
        bookings: Bookings::new(store.clone(), ambient.clone(), remembered, slots),
        ambient: ambient.clone(),
        request_key: key.derived("request fingerprints"),
        page_key: key.derived("page tokens"),
    })
}

fn default_schedule(config: &Config) -> Result<Schedule, Error> {
    let settings = &config.schedule;
    let time = |minutes: u32| u16::try_from(minutes).ok().and_then(TimeOfDay::new);
    let windows: Option<Vec<Window>> = settings
        .default_hours
        .iter()
        .map(|open| {
            let (start, end) = (time(open.start_minutes)?, time(open.end_minutes)?);
            Some(Window { day: open.day, start, end })
        })
        .collect();
    let windows = windows.ok_or_else(|| Error::DefaultSchedule("a time of day".to_owned()))?;
    let hours = WeeklyHours::new(windows).map_err(|v| Error::DefaultSchedule(format!("{v:?}")))?;
    Schedule::new(
        chrono_tz::Tz::UTC,
        hours,
        TimeDelta::minutes(settings.default_slot_minutes.into()),
        TimeDelta::minutes(settings.default_longest_minutes.into()),
    )
    .map_err(|v| Error::DefaultSchedule(format!("{v:?}")))
}

fn peppers(config: &Config) -> Result<Vec<Pepper>, Error> {
    let Some(path) = &config.auth.password_peppers_file else { return Ok(Vec::new()) };
    let refused = |cause: String| Error::Peppers { path: path.display().to_string(), cause };
    let text = std::fs::read_to_string(path).map_err(|e| refused(e.to_string()))?;
    pepper::read(&text).map_err(refused)
}

fn signing_key(config: &Config) -> Result<SigningKey, Error> {
    Ok(match &config.auth.signing_key {
        SigningKeySource::Pem(pem) => SigningKey::from_pem(pem)?,
        SigningKeySource::File(path) => {
            let (key, made) = SigningKey::read_or_make(Path::new(path))?;
            if made {
                tracing::info!(path = %path.display(), "made a signing key for development");
            }
            key
        }
    })
}

fn storage_settings(config: &Config) -> storage::Settings {
    storage::Settings {
        url: config.database.url.expose().to_owned().into(),
        max_connections: config.database.max_connections,
        acquire_timeout: Duration::from_millis(config.database.acquire_timeout_ms),
        statement_timeout: Duration::from_millis(config.server.default_deadline_ms),
        // More than calls are let in: what a caller left behind is still under way for a moment.
        max_in_flight: config.server.max_in_flight * 2,
    }
}

/// SIGTERM and SIGINT.
struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    fn new() -> io::Result<Self> {
        let terminate = signal(SignalKind::terminate())?;
        Ok(Self { terminate, interrupt: signal(SignalKind::interrupt())? })
    }

    /// One of them.
    async fn next(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }

    /// One of them, after another one: not the same wish told twice.
    async fn again(&mut self) {
        let told = Moment::now();
        loop {
            self.next().await;
            if told.elapsed() >= SAME_WISH {
                return;
            }
        }
    }
}

/// What cannot be printed is no reason not to serve.
fn greet(address: std::net::SocketAddr, database: &str) {
    use std::io::Write;
    let text = format!(
        "Daybook listens on {address}, database {database}\nTime zone data: IANA {ZONE_DATA}\nFirst call:\n  grpcurl -plaintext -d \
         '{{\"display_name\":\"Dr. Ada\",\"email\":\"ada@example.org\",\"password\":\"correct horse\",\
         \"role\":\"ROLE_PROVIDER\",\"time_zone\":\"Europe/Berlin\"}}' {address} \
         daybook.auth.v1.AuthService/SignUp\n"
    );
    drop(std::io::stdout().write_all(text.as_bytes()));
}
