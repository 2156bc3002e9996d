//! Access tokens, as the service signs them.

use std::path::Path;

use chrono::TimeDelta;
use daybook::{
    accounts::signing::{
        key_lifecycle::KeyState,
        key_ring::KeyRing,
        token::{Settings, Tokens},
    },
    app,
    config::{Config, Flag, Sources},
    identity::{Caller, Credential, Grant, Role, master_key::MasterKey},
    kernel::{ambient::Ambient, id::UserId},
};
use tonic::metadata::{Ascii, MetadataValue};

use crate::{Outcome, seed::Kind};

/// Tokens of customers, signed with the key of the service on this database. A log-in's would not last to
/// the end.
pub(crate) async fn of_customers(
    folder: &Path,
    database_url: &str,
    count: u32,
) -> Outcome<Vec<MetadataValue<Ascii>>> {
    let ambient = Ambient::system();
    let now = ambient.now();
    let path = folder.join("daybook-master-key");
    let flag = |key: &str, value: &str| Flag {
        name: format!("--set {key}"),
        key: key.to_owned(),
        value: value.to_owned(),
    };
    let flags = vec![
        flag("database.url", database_url),
        flag("auth.master_key_file", &path.display().to_string()),
    ];
    let (config, _) = Config::load(Sources { flags, ..Sources::default() })?;
    let keys = app::key_commands::signing_keys(&config, ambient.clone()).await?;
    let active = keys.into_iter().find(|(_, state, _)| *state == KeyState::Active);
    let (active, ..) = active.ok_or("no key signs")?;
    let key = active.open(&MasterKey::read(&path)?)?;
    let tokens = Tokens::new(settings(TimeDelta::days(1)), KeyRing::of(key, now));
    let one = |number| -> Outcome<MetadataValue<Ascii>> {
        let user = UserId(Kind::Customer.id(number));
        let caller = Caller {
            user,
            role: Role::Customer,
            session: ambient.id(now),
            service: None,
            credential: Credential::Token { generation: 0 },
        };
        let grant = Grant { caller, generation: 0 };
        let token = tokens.make(grant, ambient.id(now), now, now + TimeDelta::days(1));
        let token = token.map_err(|fault| fault.to_string())?;
        Ok(format!("Bearer {}", token.text).parse()?)
    };
    (0..count).map(one).collect()
}

/// The settings of the service, but for how long tokens last.
pub(crate) fn settings(time_to_live: TimeDelta) -> Settings {
    Settings { issuer: "daybook".to_owned(), audience: "daybook".to_owned(), time_to_live }
}
