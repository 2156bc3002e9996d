//! The composition root: starts the parts that `assembly` puts together, and stops them; and the commands
//! for operators.

use std::{io, net::SocketAddr, time::Duration};

use secrecy::{ExposeSecret as _, SecretString};
use tokio::net::{TcpListener, TcpSocket};
use tokio_util::sync::CancellationToken;

use crate::{
    accounts::NewUser,
    assembly::{self, master_key, services, storage_settings},
    booking::drift_service::Drifted,
    chores,
    config::{Config, Unusable},
    grpc::{
        descriptors,
        health::Health,
        healthcheck,
        server::{self, Door, ServeError, Services},
        tls::Tls,
    },
    identity::{
        Origin, Role,
        email::Email,
        master_key::{KeyError, MasterKey},
        password,
    },
    kernel::{ambient::Ambient, fault::Fault, text, time::Instant, zone::Zone},
    signals::Signals,
    startup_messages,
    storage::{self, Deadline, Store},
    zone_sources::{Sources, described, watch::Watch},
};

pub use crate::key_commands::{
    Rotation, master_keys, reseal, rotate_signing_key, signing_keys, try_master_key,
};
pub use startup_messages::reachable;

/// How long to wait for the last statements after the drain.
const CLOSE: Duration = Duration::from_secs(1);
/// How many connections may wait to be accepted; the system may have a lower limit. When there are more, the kernel drops
/// the first packets of others, and they try again after one second, then two, then four.
const BACKLOG: u32 = 4096;
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
    /// The master key cannot be used.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// What a setting names cannot be used.
    #[error(transparent)]
    Setting(#[from] Unusable),
    /// The database or a rule refused.
    #[error("{}", operator_text(.0))]
    Fault(Fault),
    /// The server stopped with an error.
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

/// A server that is running, for those who started it in their own process.
#[derive(Debug)]
pub struct Running {
    /// Where it listens.
    pub address: SocketAddr,
    /// Where it serves health alone, in plaintext.
    pub health_address: Option<SocketAddr>,
    /// Which zone data it began with, and how old they were.
    pub zone_data: String,
    /// Cancelled when it serves for the first time.
    started: CancellationToken,
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
    let first_call = startup_messages::FirstCall::of(&config);
    startup_messages::warn(&config);
    let mut signals = Signals::new().map_err(Error::Signals)?;
    let running = start(config, Ambient::system()).await?;
    let greeting = startup_messages::text(&running, &first_call);
    let (stop, started) = (running.stop.clone(), running.started.clone());
    let mut ended = std::pin::pin!(running.ended());
    tokio::select! {
        ended = &mut ended => return ended,
        () = signals.next() => stop.cancel(),
        () = started.cancelled() => {
            startup_messages::say(&greeting);
            tokio::select! {
                ended = &mut ended => return ended,
                () = signals.next() => stop.cancel(),
            }
        }
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
    let mut sources = Sources::new(&config.time_zones);
    let found = sources.look();
    let ambient = ambient.with_zones(found.serving.clone());
    let zone_data = described(found.serving.about(), ambient.now());
    tracing::info!(version = env!("CARGO_PKG_VERSION"), zone_data, "starting");
    let key = master_key(&config)?;
    let tls = tls(&config)?;
    descriptors::raise(&config);
    let (listener, address) = listen(config.server.listen)?;
    tracing::info!(%address, "listening");
    let (health_listener, health_address) = match config.server.health_listen {
        Some(address) => listen(address).map(|(at, address)| (Some(at), Some(address)))?,
        None => (None, None),
    };
    let store = Store::connect(&storage_settings(&config)).await?;
    let services = services(&config, &store, &ambient, &key)?;
    services.accounts.tokens.set_trusted(false);
    let (stop, started) = (CancellationToken::new(), CancellationToken::new());
    let doors = (Door { listener, tls }, health_listener);
    let watch = assembly::watch(&config, &store, &ambient, &services, (sources, found));
    let until = (started.clone(), stop.clone());
    let ended = tokio::spawn(run(config, doors, store, services, watch, until));
    Ok(Running { address, health_address, zone_data, started, stop, ended })
}

fn listen(address: SocketAddr) -> Result<(TcpListener, SocketAddr), Error> {
    let bound = || {
        let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
        // Otherwise a restart would wait until the kernel forgets the connections of before.
        socket.set_reuseaddr(true)?;
        socket.bind(address)?;
        let listener = socket.listen(BACKLOG)?;
        let address = listener.local_addr()?;
        Ok((listener, address))
    };
    bound().map_err(|source| Error::Listen { address: address.to_string(), source })
}

async fn run(
    config: Config,
    (door, health_listener): (Door, Option<TcpListener>),
    store: Store,
    services: Services,
    watch: Watch,
    (started, stop): (CancellationToken, CancellationToken),
) -> Result<(), Error> {
    let (reporter, health_service) = tonic_health::server::health_reporter();
    let health = Health::starting(reporter).await;
    let (draining, stopping) = (CancellationToken::new(), CancellationToken::new());

    let server = server::serve(
        door,
        services.clone(),
        health_service.clone(),
        &config,
        stopping.clone(),
        draining.clone().cancelled_owned(),
    );
    let mut server = std::pin::pin!(server);
    // Answers until the process ends: also that it is no longer serving.
    let probes = async {
        match health_listener {
            Some(listener) => {
                let (ambient, stopping) = (services.ambient.clone(), stopping.clone());
                server::serve_health(listener, health_service, &config, ambient, stopping).await
            }
            None => std::future::pending().await,
        }
    };
    let mut probes = std::pin::pin!(probes);

    let following = tokio::spawn(chores::follow(
        services.clone(),
        health.clone(),
        watch,
        config.database.migrate_on_start,
        (started, stop.clone()),
    ));
    let mut following = std::pin::pin!(following);

    let failed = tokio::select! {
        served = &mut server => Some(served.map_err(Error::from)),
        served = &mut probes => Some(served.map_err(Error::from)),
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
        served = &mut probes => return served.map_err(Error::from),
        () = tokio::time::sleep(delay) => {}
    }
    draining.cancel();
    stopping.cancel();
    let patience = Duration::from_millis(config.server.drain_timeout_ms);
    let hard_stop = tokio::time::Instant::now() + patience;
    tokio::select! {
        served = server => served?,
        served = probes => served?,
        () = tokio::time::sleep_until(hard_stop) => {
            tracing::warn!("connections were still open at the hard stop");
        }
    }
    // Nobody takes emails any more; those that are on their way would leave a second time.
    if tokio::time::timeout_at(hard_stop, services.mail.settled()).await.is_err() {
        tracing::warn!("emails were still on their way at the hard stop: they go again later");
    }
    // What is still under way then has had its time.
    if tokio::time::timeout(CLOSE, store.close()).await.is_err() {
        tracing::warn!("statements were still running at the hard stop");
    }
    tracing::info!("stopped");
    Ok(())
}

/// The certificate that the settings name.
fn tls(config: &Config) -> Result<Option<Tls>, Unusable> {
    Tls::read(config).map_err(|error| error.setting(&config.server))
}

/// The settings whose files or texts cannot be used, as far as that can be told without calling anybody.
pub fn unusable(config: &Config) -> Vec<Unusable> {
    let all = [tls(config).err(), assembly::peppers(config).err(), assembly::carrier(config).err()];
    all.into_iter().flatten().collect()
}

/// What an operator should know of the certificate, where there is one: until when it is valid, and a warning.
pub fn certificate(config: &Config, now: Instant) -> Option<(Instant, Option<String>)> {
    let tls = tls(config).ok().flatten()?;
    Some((tls.valid_until(), tls.warning(now)))
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
    let settings = storage_settings(config);
    if storage::engine::is_missing(settings.url.expose_secret()) {
        let all = storage::migrations().into_iter();
        return Ok(all.map(|state| (state.name, state.applied)).collect());
    }
    let store = Store::connect(&settings).await?;
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
    let (name, address) =
        (display_name.as_deref().unwrap_or_default(), email.as_ref().map_or("", Email::as_str));
    let own = password::own_words(name, address);
    let own: Vec<_> = own.iter().map(String::as_str).collect();
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
    let services = services(config, &store, &ambient, &MasterKey::of(&ambient.bytes()))?;
    let (id, role) = (services.accounts.users.new_id(), Role::Admin);
    let new = NewUser { id, display_name, email, password, role, time_zone: Zone::UTC };
    let idempotency_key = storage::idempotency::IdempotencyKey {
        caller: None,
        id: None,
        fingerprint: [0; 32],
        older_fingerprints: Vec::new(),
    };
    // Whoever runs the server vouches for the address.
    let (deadline, now) = (Deadline::after(OPERATOR), ambient.now());
    let user = services
        .accounts
        .users
        .make(deadline, new, Some(now), idempotency_key, Origin::default())
        .await?;
    store.close().await;
    Ok(user.id.name())
}

/// Looks for upcoming appointments that are no longer at the wall-clock time that was promised.
pub async fn drifted(config: &Config) -> Result<Drifted, Error> {
    let store = Store::connect(&storage_settings(config)).await?;
    store.ready().await?;
    // Nobody logs in here either.
    let ambient = assembly::ambient(config);
    let services = services(config, &store, &ambient, &MasterKey::of(&ambient.bytes()))?;
    let drifted = services.bookings.drifted(|| Deadline::after(OPERATOR)).await;
    store.close().await;
    Ok(drifted?)
}

/// Removes the audit events from before an instant. Returns how many.
pub async fn forget_audit(
    config: &Config,
    ambient: Ambient,
    before: Instant,
) -> Result<u64, Error> {
    let store = Store::connect(&storage_settings(config)).await?;
    store.ready().await?;
    // Nobody logs in here either.
    let accounts = services(config, &store, &ambient, &MasterKey::of(&ambient.bytes()))?.accounts;
    let removed = accounts.audit_trail.remove_before(before, || Deadline::after(OPERATOR)).await;
    store.close().await;
    Ok(removed?)
}

/// Asks a server's health; `true` is SERVING.
pub async fn healthcheck(
    address: String,
    service: String,
    timeout: Duration,
) -> Result<bool, Error> {
    let failed = |cause: String| Error::Healthcheck { address: address.clone(), cause };
    match tokio::time::timeout(timeout, healthcheck::ask(&address, service)).await {
        Ok(answer) => answer.map_err(failed),
        Err(_) => Err(failed(format!("no answer within {} ms", timeout.as_millis()))),
    }
}
