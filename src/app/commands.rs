//! What operators do from the command line, but for the keys.

use std::time::Duration;

use secrecy::{ExposeSecret as _, SecretString};

use super::{
    Error,
    assembly::{self, default_schedule, hasher, scheduling, storage_settings, tls},
    mail,
    opened::{OPERATOR, Schema, opened},
};
use crate::{
    accounts::{self, LONGEST_NAME, NewUser, audit::service::AuditTrail},
    booking::drift_service::Drifted,
    config::{Config, Unusable},
    grpc::healthcheck,
    identity::{Role, email::Email, password},
    kernel::{
        ambient::{Ambient, cores},
        call_counter::CallCounter,
        fault::{Fault, Violations},
        id::UserId,
        text,
        time::Instant,
        zone::Zone,
    },
    storage::{self, Deadline},
};

/// The settings whose files or texts cannot be used, as far as that can be told without calling anybody.
pub fn unusable(config: &Config) -> Vec<Unusable> {
    let all = [tls(config).err(), assembly::peppers(config).err(), mail::carrier(config).err()];
    all.into_iter().flatten().collect()
}

/// What an operator should know of the certificate, where there is one: until when it is valid, and a warning.
pub fn certificate(config: &Config, now: Instant) -> Option<(Instant, Option<String>)> {
    let tls = tls(config).ok().flatten()?;
    Some((tls.valid_until(), tls.warning(now)))
}

/// Brings the schema up.
pub async fn migrate_up(config: &Config) -> Result<(), Error> {
    opened(config, Schema::Any, async |store| Ok(storage::migrate_up(store).await?)).await
}

/// Takes back the last changes of the schema.
pub async fn migrate_down(config: &Config, steps: u32) -> Result<(), Error> {
    opened(config, Schema::Any, async |store| Ok(storage::migrate_down(store, steps).await?)).await
}

/// The changes of the schema, and whether this database has them.
pub async fn migrate_status(config: &Config) -> Result<Vec<(String, bool)>, Error> {
    let states = if storage::engine::is_missing(storage_settings(config).url.expose_secret()) {
        storage::migrations()
    } else {
        let asked = async |store: &_| Ok(storage::migration_status(store).await?);
        opened(config, Schema::Any, asked).await?
    };
    Ok(states.into_iter().map(|state| (state.name, state.applied)).collect())
}

/// Makes an admin, and brings the schema up before when it is to be. Returns the resource name.
pub async fn create_admin(
    config: &Config,
    name: String,
    email: String,
    password: SecretString,
) -> Result<String, Error> {
    let mut violations = Violations::new();
    let display_name = violations.keep("name", text::line(&name, LONGEST_NAME));
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
    let (display_name, email) = violations.finish_with((display_name, email))?;
    if storage::engine::is_in_memory(config.database.url.expose()) {
        return Err(Fault::internal("a database in memory is gone when this command ends").into());
    }
    let ambient = Ambient::system();
    let schema = if config.database.migrate_on_start { Schema::BroughtUp } else { Schema::Any };
    let made = opened(config, schema, async |store| {
        let hasher = hasher(config, &CallCounter::default(), cores())?;
        let (id, role) = (UserId(ambient.id(ambient.now())), Role::Admin);
        let new = NewUser { id, display_name, email, password, role, time_zone: Zone::UTC };
        let settings = (&hasher, &default_schedule(config)?);
        let deadline = Deadline::after(OPERATOR);
        Ok(accounts::service::make_verified((store, &ambient), settings, deadline, new).await?)
    });
    Ok(made.await?.id.name())
}

/// Looks for upcoming appointments that are no longer at the wall-clock time that was promised.
pub async fn drifted(config: &Config) -> Result<Drifted, Error> {
    let ambient = assembly::ambient(config);
    let look = async |store: &_| {
        let bookings = scheduling(config, store, &ambient)?.bookings;
        Ok(bookings.drifted(|| Deadline::after(OPERATOR)).await?)
    };
    opened(config, Schema::Current, look).await
}

/// Removes the audit events from before an instant. Returns how many.
pub async fn forget_audit(
    config: &Config,
    ambient: Ambient,
    before: Instant,
) -> Result<u64, Error> {
    let remove = async |store: &storage::Store| {
        let audit_trail = AuditTrail::new((store.clone(), ambient.clone()));
        Ok(audit_trail.remove_before(before, || Deadline::after(OPERATOR)).await?)
    };
    opened(config, Schema::Current, remove).await
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
