//! Access tokens, as the service signs them.

use std::{path::Path, time::Duration};

use chrono::TimeDelta;
use daybook::{
    accounts::signing::{
        key_lifecycle::{KeyState, RotationPolicy},
        key_ring::KeyRing,
        service::SigningKeys,
        token::{Settings, Tokens},
    },
    identity::{Caller, Credential, Grant, Role, master_key::MasterKey},
    kernel::{ambient::Ambient, id::UserId},
    storage::{self, Deadline, Store},
};
use tonic::metadata::{Ascii, MetadataValue};

use crate::{Outcome, seed::Kind};

/// How long the database may take.
const PATIENCE: Duration = Duration::from_secs(10);

/// Tokens of customers, signed with the key of the service on this database. A log-in's would not last to
/// the end.
pub(crate) async fn of_customers(
    folder: &Path,
    database_url: &str,
    count: u32,
) -> Outcome<Vec<MetadataValue<Ascii>>> {
    let ambient = Ambient::system();
    let now = ambient.now();
    let master = MasterKey::read(&folder.join("daybook-master-key"))?;
    // The tables may be those of another version: no command of this one would read them.
    let store = Store::connect(&storage::Settings {
        url: database_url.to_owned().into(),
        max_connections: 4,
        acquire_timeout: PATIENCE,
        statement_timeout: PATIENCE,
        max_in_flight: 4,
    })
    .await?;
    let tokens = Tokens::new(settings(TimeDelta::days(1)), KeyRing::default());
    let policy = RotationPolicy::new(None, TimeDelta::zero(), TimeDelta::zero());
    let base = (store.clone(), ambient.clone());
    let keys = SigningKeys::new(base, master.clone(), policy, tokens);
    let keys = keys.list(Deadline::after(PATIENCE)).await?;
    store.close().await;
    let active = keys.into_iter().find(|(_, state)| *state == KeyState::Active);
    let (active, _) = active.ok_or("no key signs")?;
    let key = active.open(&master)?;
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
