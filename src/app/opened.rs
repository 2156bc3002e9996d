//! A database that is opened for one command.

use std::time::Duration;

use super::{Error, assembly::storage_settings};
use crate::{
    config::Config,
    storage::{self, Store},
};

/// For operators, who wait as long as it takes.
pub(super) const OPERATOR: Duration = Duration::from_mins(1);

/// What a command needs of the tables.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Schema {
    /// Nothing: it changes them itself, or fails with what the database says.
    Any,
    /// They are those of this version.
    Current,
    /// They become those of this version.
    BroughtUp,
}

/// Connects to the database of the settings, does the work, and disconnects, whatever came of it.
pub(super) async fn opened<T>(
    config: &Config,
    schema: Schema,
    work: impl AsyncFnOnce(&Store) -> Result<T, Error>,
) -> Result<T, Error> {
    let store = Store::connect(&storage_settings(config)).await?;
    let done = async {
        match schema {
            Schema::Any => {}
            Schema::Current => store.ready().await?,
            Schema::BroughtUp => storage::migrate_up(&store).await?,
        }
        work(&store).await
    };
    let done = done.await;
    store.close().await;
    done
}
