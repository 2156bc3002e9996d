//! The commands for operators that need the master key: what becomes of it and of the keys that it seals.

use std::io;

use secrecy::ExposeSecret as _;

use super::{
    Error,
    assembly::{present_master_key, services, storage_settings},
    error::operator_text,
    opened::{OPERATOR, Schema, opened},
};
use crate::{
    accounts::{
        master_keys::{KeyUse, Resealed},
        services::AccountServices,
        signing::{StoredKey, commands::Rotated, key_lifecycle::KeyState},
    },
    config::Config,
    identity::master_key::{KeyError, MasterKey},
    kernel::{ambient::Ambient, fault::Fault},
    storage::{self, Deadline, Store},
};

/// Tries the master key on what the database holds, where there is a database. An error where it is the wrong one; what
/// an operator should know where that could not be found out.
pub async fn try_master_key(config: &Config) -> Result<Option<String>, Error> {
    let settings = storage_settings(config);
    let url = settings.url.expose_secret();
    if storage::engine::is_missing(url) || storage::engine::is_in_memory(url) {
        return Ok(None);
    }
    let ambient = Ambient::system();
    // In development one is made where there is none; then it is another one than was used before.
    let master = match present_master_key(config) {
        Err(Error::Key(KeyError::File { source, .. }))
            if source.kind() == io::ErrorKind::NotFound =>
        {
            MasterKey::of(&ambient.bytes())
        }
        master => master?,
    };
    let untried = |fault: &Fault| {
        let cause = operator_text(fault);
        Ok(Some(format!("whether the master key is the right one was not found out: {cause}")))
    };
    let store = match Store::connect(&settings).await {
        Ok(store) => store,
        Err(fault) => return untried(&fault),
    };
    let ready = store.ready().await;
    let tried = match services(config, &store, &ambient, &master) {
        Ok(services) => services.accounts.signing.try_master_key().await,
        Err(error) => return Err(error),
    };
    store.close().await;
    match (tried, ready) {
        (Ok(opened), _) => Ok(opened.map(|()| None)?),
        // There are no keys where there are no tables yet.
        (Err(_), Err(fault)) if storage::is_behind(&fault) => Ok(None),
        (Err(fault), _) => untried(&fault),
    }
}

/// How to replace the signing key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rotation {
    /// The next one takes over, and what the present one signed is accepted for a while.
    Usual,
    /// A key has leaked: all of them are gone at once, and all access tokens with them.
    AtOnce {
        /// The master key is lost as well, and another one took its place.
        master_key_lost: bool,
    },
}

/// The signing keys, each with what it is now and whether an older master key sealed it.
pub async fn signing_keys(
    config: &Config,
    ambient: Ambient,
) -> Result<Vec<(StoredKey, KeyState, bool)>, Error> {
    let master = present_master_key(config)?;
    let keys = with_accounts(config, &ambient, &master, async |accounts| {
        accounts.signing.list(Deadline::after(OPERATOR)).await
    });
    let older = |(key, state): (StoredKey, KeyState)| {
        let older = state != KeyState::Gone && key.is_outdated(&master);
        (key, state, older)
    };
    Ok(keys.await?.into_iter().map(older).collect())
}

/// The master keys of the settings and those that are missing, each with what still needs it.
pub async fn master_keys(config: &Config, ambient: Ambient) -> Result<Vec<KeyUse>, Error> {
    let master = present_master_key(config)?;
    with_accounts(config, &ambient, &master, async |accounts| {
        accounts.master_keys.uses(Deadline::after(OPERATOR)).await
    })
    .await
}

/// Seals with the present master key what older ones sealed and is to stay.
pub async fn reseal(config: &Config, ambient: Ambient) -> Result<Resealed, Error> {
    let master = present_master_key(config)?;
    with_accounts(config, &ambient, &master, async |accounts| {
        accounts.master_keys.reseal(|| Deadline::after(OPERATOR)).await
    })
    .await
}

/// Replaces the signing key.
pub async fn rotate_signing_key(
    config: &Config,
    ambient: Ambient,
    rotation: Rotation,
) -> Result<Rotated, Error> {
    let master = present_master_key(config)?;
    with_accounts(config, &ambient, &master, async |accounts| {
        let deadline = Deadline::after(OPERATOR);
        match rotation {
            Rotation::Usual => accounts.signing.rotate(deadline).await,
            Rotation::AtOnce { master_key_lost } => {
                accounts.signing.replace(deadline, master_key_lost).await.map(Rotated::Done)
            }
        }
    })
    .await
}

/// Does something with the services of accounts, on a database whose tables are those of this version.
async fn with_accounts<T>(
    config: &Config,
    ambient: &Ambient,
    master: &MasterKey,
    work: impl AsyncFnOnce(&AccountServices) -> Result<T, Fault>,
) -> Result<T, Error> {
    opened(config, Schema::Current, async |store| {
        Ok(work(&services(config, store, ambient, master)?.accounts).await?)
    })
    .await
}
