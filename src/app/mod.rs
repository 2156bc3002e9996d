//! The composition root: starts the parts that [`assembly`] puts together, and stops them.

mod assembly;
mod chores;
pub mod commands;
mod error;
pub mod key_commands;
mod mail;
mod opened;
pub mod retention;
mod signals;
pub mod startup_messages;

use std::{net::SocketAddr, time::Duration};

use tokio::net::{TcpListener, TcpSocket};
use tokio_util::sync::CancellationToken;

pub use self::error::Error;
use self::{
    assembly::{master_key, services, storage_settings, tls},
    signals::Signals,
};
use crate::{
    config::Config,
    grpc::{
        edge::descriptors,
        health::Health,
        server::{self, Door},
        services::Services,
    },
    kernel::{ambient::Ambient, fault::Fault},
    storage::Store,
    zone_sources::{Sources, described, watch::Watch},
};

/// How long to wait for the last statements after the drain.
const CLOSE: Duration = Duration::from_secs(1);
/// How many connections may wait to be accepted; the system may have a lower limit. When there are more, the kernel drops
/// the first packets of others, and they try again after one second, then two, then four.
const BACKLOG: u32 = 4096;

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
    let at = (running.address, running.health_address);
    let greeting = startup_messages::text(at, &running.zone_data, &first_call);
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
    services.watches.drain();
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
