//! Everything that a run measures on: the cluster, the databases, the processes and the tokens.

use std::{path::PathBuf, sync::Arc};

use daybook::kernel::ambient::Ambient;
use tonic::metadata::{Ascii, MetadataValue};

use crate::{
    Outcome, Settings,
    calls::{self, Callers},
    postgres::Cluster,
    process::{self, Process},
    seed::{self, Calendar},
    tell, tokens,
};

/// Callers that share one connection.
const CALLERS_PER_CONNECTION: usize = 16;
/// Accounts that log in: as many as there are callers at most.
pub(crate) const LOGGED_IN: u32 = 64;

/// A database and the service on it.
#[derive(Debug)]
pub(crate) struct Side {
    pub(crate) database: &'static str,
    pub(crate) service: Process,
    /// Of customers, signed with the service's key.
    pub(crate) tokens: Arc<Vec<MetadataValue<Ascii>>>,
}

/// The test bed. Processes end before the cluster does.
#[derive(Debug)]
pub(crate) struct Bed {
    pub(crate) settings: Settings,
    pub(crate) calendar: Calendar,
    pub(crate) echo: Process,
    /// With 1,000 appointments, to which it is brought back between measurements.
    pub(crate) small: Side,
    /// With 1,000,000.
    pub(crate) large: Side,
    /// Where the services run; it holds the master key.
    pub(crate) folder: PathBuf,
    pub(crate) cluster: Cluster,
}

impl Bed {
    /// Starts and fills everything.
    pub(crate) async fn make(settings: Settings) -> Outcome<Self> {
        tell("starting PostgreSQL and the services");
        let cluster = Cluster::start()?;
        let folder = cluster.folder().join("service");
        std::fs::create_dir(&folder)?;
        process::take_binary(&folder)?;
        let calendar = Calendar::after(Ambient::system().now());
        let small = side(&cluster, &folder, "small").await?;
        let large = side(&cluster, &folder, "large").await?;
        let echo = Process::echo(&folder).await?;

        tell("storing accounts, providers and appointments");
        let channel = small.service.connect_once().await?;
        calls::sign_up(channel.clone()).await?;
        let hash = cluster.sql("small", "SELECT password_hash FROM users").await?;
        for side in [&small, &large] {
            seed::people(&cluster, side.database, hash.trim()).await?;
            seed::few(&cluster, side.database, calendar).await?;
        }
        seed::many(&cluster, "large", calendar, settings.many).await?;

        let bed = Self { settings, calendar, echo, small, large, folder, cluster };
        for side in [&bed.small, &bed.large] {
            // The first booking of each provider takes the slow way, once in a process's life.
            bed.callers(side, 16).await?.book_with_everybody().await?;
        }
        Ok(bed)
    }

    /// So many callers of a side.
    pub(crate) async fn callers(&self, side: &Side, count: usize) -> Outcome<Callers> {
        self.callers_of(&side.service, side, count).await
    }

    /// The same, of another server on this side's database.
    pub(crate) async fn callers_of(
        &self,
        service: &Process,
        side: &Side,
        count: usize,
    ) -> Outcome<Callers> {
        let channels = service.connect(connections(count)).await?;
        Ok(Callers::new(channels, Arc::clone(&side.tokens), self.calendar, count))
    }

    /// Brings the small database back to where it began.
    pub(crate) async fn reset(&self) -> Outcome {
        seed::few(&self.cluster, self.small.database, self.calendar).await
    }
}

/// One for each sixteen callers, and two at least.
pub(crate) fn connections(callers: usize) -> usize {
    callers.div_ceil(CALLERS_PER_CONNECTION).max(2).min(callers)
}

/// A server of the binary in this folder, on a new database of this name.
pub(crate) async fn side(
    cluster: &Cluster,
    folder: &std::path::Path,
    database: &'static str,
) -> Outcome<Side> {
    cluster.sql("postgres", &format!("CREATE DATABASE {database}")).await?;
    let url = cluster.url(database);
    let service = Process::daybook(folder, &url).await?;
    let tokens = Arc::new(tokens::of_customers(folder, &url, LOGGED_IN).await?);
    Ok(Side { database, service, tokens })
}
