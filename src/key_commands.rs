//! The commands for operators that need the master key: what becomes of it and of the keys that it seals.

use std::{io, time::Duration};

use secrecy::ExposeSecret as _;

use crate::{
    accounts::{
        master_keys::{KeyUse, Resealed},
        signing::{StoredKey, commands::Rotated, key_lifecycle::KeyState},
    },
    app::{Error, operator_text},
    assembly::{present_master_key, services, storage_settings},
    config::Config,
    identity::master_key::{KeyError, MasterKey},
    kernel::{ambient::Ambient, fault::Fault},
    storage::{self, Deadline, Store},
};

/// For operators, who wait as long as it takes.
const OPERATOR: Duration = Duration::from_mins(1);

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
    let store = Store::connect(&storage_settings(config)).await?;
    store.ready().await?;
    let services = services(config, &store, &ambient, &master)?;
    let keys = services.accounts.signing.list(Deadline::after(OPERATOR)).await;
    store.close().await;
    let older = |(key, state): (StoredKey, KeyState)| {
        let older = state != KeyState::Gone && key.is_outdated(&master);
        (key, state, older)
    };
    Ok(keys?.into_iter().map(older).collect())
}

/// The master keys of the settings and those that are missing, each with what still needs it.
pub async fn master_keys(config: &Config, ambient: Ambient) -> Result<Vec<KeyUse>, Error> {
    let master = present_master_key(config)?;
    let store = Store::connect(&storage_settings(config)).await?;
    store.ready().await?;
    let accounts = services(config, &store, &ambient, &master)?.accounts;
    let uses = accounts.master_keys.uses(Deadline::after(OPERATOR)).await;
    store.close().await;
    Ok(uses?)
}

/// Seals with the present master key what older ones sealed and is to stay.
pub async fn reseal(config: &Config, ambient: Ambient) -> Result<Resealed, Error> {
    let master = present_master_key(config)?;
    let store = Store::connect(&storage_settings(config)).await?;
    store.ready().await?;
    let accounts = services(config, &store, &ambient, &master)?.accounts;
    let resealed = accounts.master_keys.reseal(|| Deadline::after(OPERATOR)).await;
    store.close().await;
    Ok(resealed?)
}

/// Replaces the signing key.
pub async fn rotate_signing_key(
    config: &Config,
    ambient: Ambient,
    rotation: Rotation,
) -> Result<Rotated, Error> {
    let master = present_master_key(config)?;
    let store = Store::connect(&storage_settings(config)).await?;
    store.ready().await?;
    let signing = services(config, &store, &ambient, &master)?.accounts.signing;
    let deadline = Deadline::after(OPERATOR);
    let rotated = match rotation {
        Rotation::Usual => signing.rotate(deadline).await,
        Rotation::AtOnce { master_key_lost } => {
            signing.replace(deadline, master_key_lost).await.map(Rotated::Done)
        }
    };
    store.close().await;
    Ok(rotated?)
}
