//! Puts the parts together: names every concrete part, and gives each its settings.

use std::{io::Read as _, path::Path, sync::Arc, time::Duration};

use chrono::TimeDelta;

use super::{Error, mail::mail};
use crate::{
    accounts::{
        audit::service::AuditTrail,
        customers::service::Customers,
        emails::service::{Emails, composer::EmailComposer},
        master_keys::service::MasterKeys,
        passwords::service::Passwords,
        second_factor::{FactorSettings, service::SecondFactors},
        service::{SignUpSettings, Users},
        service_accounts::service::ServiceAccounts,
        services::AccountServices,
        sessions::{Lifetimes, log_in_service::LogIns, refresh::RefreshTokens, service::Sessions},
        signing::{
            key_lifecycle::RotationPolicy,
            key_ring::KeyRing,
            service::SigningKeys,
            token::{self, Tokens},
        },
        throttling::{
            policy::{Policies, ThrottleKeys},
            service::Throttle,
        },
    },
    availability::{
        customer_time_service::CustomerTimes,
        practice::{Intervals, Practice},
        service::Availabilities,
        slots_service::{OfferCountCache, Slots},
    },
    booking::service::Bookings,
    bulkhead::Bulkhead,
    catalogue::service::Types,
    claims::store::customer_time::CustomerTimeBatch,
    config::{Config, MasterKeySource, Profile, Unusable, key::open_to_others},
    grpc::{edge::tls::Tls, services::Services},
    identity::{
        master_key::MasterKey,
        password::{self, Hasher},
        pepper::{self, Pepper},
    },
    kernel::{
        ambient::{Ambient, cores},
        call_counter::CallCounter,
        zone::Zone,
    },
    live::{service::Feed, watch_service::Watches},
    mail::service::Mail,
    personal_data::{
        erasure::service::Erasures, export::service::Exports, merging::service::Merging,
    },
    schedule::{
        Schedule, TimeOfDay, WeeklyHours, Window,
        cache::ScheduleCache,
        offering::service::Offerings,
        service::{Closing, LongSchedules, Schedules},
        store::provider_time::ProviderTimeBatch,
        zones::service::Processes,
    },
    storage::{self, Store, batch::Batcher},
    zone_sources::{self, Found, Sources, watch::Watch},
};

/// How many providers' schedules are remembered.
const REMEMBERED: usize = 20_000;

/// The services of what is booked: they need no master key.
pub(super) struct Scheduling {
    pub(super) schedules: Schedules,
    pub(super) types: Types,
    pub(super) offerings: Offerings,
    pub(super) availabilities: Availabilities,
    pub(super) slots: Slots,
    pub(super) bookings: Bookings,
}

/// The rooms' services, as the settings say.
pub(super) fn services(
    config: &Config,
    store: &Store,
    ambient: &Ambient,
    key: &MasterKey,
) -> Result<Services, Error> {
    let demand = CallCounter::default();
    let hasher = hasher(config, &demand, cores())?;
    let tokens = tokens(config);
    let default_schedule = Arc::new(default_schedule(config)?);
    let mail = mail(config, store, ambient, key)?;
    let accounts =
        accounts(config, (store, ambient), key, (hasher, &tokens, &mail), &default_schedule);
    let base = || (store.clone(), ambient.clone());
    // What is told of tokens that a change ends.
    let ending = || (tokens.clone(), accounts.service_accounts.clone());
    let guards = (accounts.throttle.clone(), accounts.second_factors.clone());
    let Scheduling { schedules, types, offerings, availabilities, slots, bookings } =
        scheduling(config, store, ambient)?;
    let kept = TimeDelta::days(config.events.feed_days.into());
    let feed = Feed::new(store.clone(), ambient.clone(), kept);
    Ok(Services {
        watches: Watches::new(
            feed.clone(),
            ambient.clone(),
            config.server.max_watches_per_caller,
            // So that the last one has time to end too.
            Duration::from_millis(config.server.drain_timeout_ms) / 2,
        ),
        feed,
        exports: Exports::new(base(), accounts.passwords.clone()),
        erasures: Erasures::new(base(), guards, mail.clone(), ending(), default_schedule),
        merging: Merging::new(base(), mail.clone(), ending()),
        accounts,
        mail,
        store: store.clone(),
        schedules,
        types,
        offerings,
        availabilities,
        slots,
        bookings,
        ambient: ambient.clone(),
        demand,
        request_keys: key.all_derived("request fingerprints"),
        page_keys: key.all_derived("page tokens"),
    })
}

/// The services of schedules, appointment types, availability and bookings, around one cache of schedules.
pub(super) fn scheduling(
    config: &Config,
    store: &Store,
    ambient: &Ambient,
) -> Result<Scheduling, Error> {
    let schedule_cache = ScheduleCache::new(REMEMBERED);
    let bulkhead = Bulkhead::start(cores())?;
    let types =
        Types { store: store.clone(), ambient: ambient.clone(), bulkhead: bulkhead.clone() };
    let claims = Batcher::new(store, ProviderTimeBatch { schedule_cache: schedule_cache.clone() });
    let practice = practice(config);
    let customer_times = CustomerTimes(Batcher::new(store, CustomerTimeBatch));
    let slots = Slots {
        store: store.clone(),
        types: types.clone(),
        claims: claims.clone(),
        customer_times: customer_times.clone(),
        schedule_cache: schedule_cache.clone(),
        offer_counts: OfferCountCache::default(),
        bulkhead: bulkhead.clone(),
        ambient: ambient.clone(),
        practice,
    };
    Ok(Scheduling {
        schedules: Schedules {
            store: store.clone(),
            ambient: ambient.clone(),
            schedule_cache: schedule_cache.clone(),
            long: LongSchedules::new(store.clone(), bulkhead.clone()),
            closing: Closing::default(),
        },
        types,
        offerings: Offerings { store: store.clone(), ambient: ambient.clone() },
        availabilities: Availabilities {
            claims,
            customer_times,
            bulkhead,
            ambient: ambient.clone(),
            practice,
        },
        slots: slots.clone(),
        bookings: Bookings::new(store.clone(), ambient.clone(), schedule_cache, slots, practice),
    })
}

/// The services of accounts, each with the ones that it needs, around one throttle.
fn accounts(
    config: &Config,
    (store, ambient): (&Store, &Ambient),
    key: &MasterKey,
    (hasher, tokens, mail): (Hasher, &Tokens, &Mail),
    default_schedule: &Arc<Schedule>,
) -> AccountServices {
    let auth = &config.auth;
    let (in_all, required_for) = (auth.attempts_in_all, &auth.second_factor_required_for);
    let policies = Policies::new(auth.attempts_per_account, auth.attempts_per_address, in_all);
    let base = || (store.clone(), ambient.clone());
    let schedule = || Arc::clone(default_schedule);
    let throttle = Throttle::new(base(), attempt_keys(key), policies);
    let composer = EmailComposer::new(ambient.clone(), mail.clone());
    let hashing = (hasher, auth.password_min_strength);
    let passwords = Arc::new(Passwords::new(
        base(),
        hashing,
        throttle.clone(),
        composer.clone(),
        tokens.clone(),
    ));
    let factors = FactorSettings::new(key, &auth.second_factor_issuer, required_for);
    let second_factors = Arc::new(SecondFactors::new(
        base(),
        factors.clone(),
        throttle.clone(),
        passwords.clone(),
        mail.clone(),
        tokens.clone(),
    ));
    let refresh = (RefreshTokens::new(&key.all_derived("refresh tokens")), lifetimes(config));
    let sessions = Arc::new(Sessions::new(
        base(),
        refresh,
        throttle.clone(),
        second_factors.clone(),
        composer.clone(),
        tokens.clone(),
    ));
    let emails = Arc::new(Emails::new(
        base(),
        throttle.clone(),
        passwords.clone(),
        composer.clone(),
        tokens.clone(),
        schedule(),
    ));
    let service_accounts = ServiceAccounts::new(base());
    let signing = SigningKeys::new(base(), key.clone(), signing_policy(config), tokens.clone());
    let sign_up = SignUpSettings {
        default_schedule: schedule(),
        provider_sign_up: auth.provider_sign_up,
        verify_email: auth.verify_email,
    };
    AccountServices {
        users: Arc::new(Users::new(
            base(),
            sign_up,
            passwords.clone(),
            (emails.clone(), composer.clone()),
            (tokens.clone(), service_accounts.clone()),
        )),
        log_ins: Arc::new(LogIns::new(
            base(),
            throttle.clone(),
            passwords.clone(),
            second_factors.clone(),
            sessions.clone(),
            auth.verify_email,
        )),
        customers: Arc::new(Customers::new(base(), throttle.clone(), composer.clone(), schedule())),
        audit_trail: AuditTrail::new(base()),
        master_keys: Arc::new(MasterKeys::new(base(), signing.clone(), factors)),
        tokens: tokens.clone(),
        throttle,
        sessions,
        passwords,
        emails,
        second_factors,
        service_accounts,
        signing,
    }
}

/// The pool of threads that hash passwords, which gives way to the calls that are counted by `demand`.
pub(super) fn hasher(config: &Config, demand: &CallCounter, cores: usize) -> Result<Hasher, Error> {
    let auth = &config.auth;
    Ok(Hasher::new(password::Settings {
        memory_kib: auth.hash_memory_kib,
        iterations: auth.hash_iterations,
        parallelism: auth.hash_parallelism,
        workers: if auth.hash_workers == 0 { cores } else { auth.hash_workers },
        queue: auth.hash_queue,
        peppers: peppers(config)?,
        demand: demand.clone(),
    })?)
}

fn tokens(config: &Config) -> Tokens {
    let auth = &config.auth;
    Tokens::new(
        token::Settings {
            issuer: auth.issuer.clone(),
            audience: auth.audience.clone(),
            time_to_live: TimeDelta::seconds(auth.access_token_ttl_seconds.into()),
        },
        // They come from the database.
        KeyRing::default(),
    )
}

fn lifetimes(config: &Config) -> Lifetimes {
    Lifetimes {
        idle: TimeDelta::hours(config.auth.session_idle_hours.into()),
        absolute: TimeDelta::hours(config.auth.session_lifetime_hours.into()),
    }
}

/// For commands: the machine's clock, and the zone data that would serve.
pub(super) fn ambient(config: &Config) -> Ambient {
    Ambient::system().with_zones(zone_sources::look(config).serving)
}

/// What follows the zone data while the server serves.
pub(super) fn watch(
    config: &Config,
    store: &Store,
    ambient: &Ambient,
    services: &Services,
    (sources, found): (Sources, Found),
) -> Watch {
    let id = ambient.id(ambient.now());
    Watch {
        sources,
        found,
        interval: config.time_zones.look,
        ambient: ambient.clone(),
        processes: Processes { store: store.clone(), ambient: ambient.clone(), id },
        bookings: services.bookings.clone(),
        mail: services.mail.clone(),
    }
}

/// What new providers begin with, apart from the zone.
pub(super) fn default_schedule(config: &Config) -> Result<Schedule, Error> {
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
        Zone::UTC,
        hours,
        TimeDelta::minutes(settings.default_slot_minutes.into()),
        TimeDelta::minutes(settings.default_longest_minutes.into()),
    )
    .map_err(|v| Error::DefaultSchedule(format!("{v:?}")))
}

fn practice(config: &Config) -> Practice {
    let settings = &config.schedule;
    let minutes = |count: u32| TimeDelta::minutes(count.into());
    Practice {
        intervals: Intervals {
            least: minutes(settings.interval_least_minutes),
            grid: minutes(settings.interval_grid_minutes),
            horizon_days: settings.interval_horizon_days,
        },
        first_day_of_week: settings.first_day_of_week,
    }
}

/// The peppers, if there are any; in production from a file that its mode keeps from others.
pub(super) fn peppers(config: &Config) -> Result<Vec<Pepper>, Unusable> {
    const KEY: &str = "auth.password_peppers_file";
    const VALID: &str = "give lines of an id, a space and a secret of 16 bytes or more in base64";
    let Some(path) = &config.auth.password_peppers_file else { return Ok(Vec::new()) };
    let name = path.display().to_string();
    let told = |cause: &dyn std::fmt::Display| format!("the peppers in {name}: {cause}");
    let unreadable = |error: std::io::Error| {
        Unusable::new(KEY, told(&error), "give a file that the user Daybook runs as can read")
    };
    // Mode and text come from the same open file, so that nobody can swap it in between.
    let mut file = std::fs::File::open(path).map_err(unreadable)?;
    if config.profile == Profile::Production
        && let Some(mode) = open_to_others(&file.metadata().map_err(unreadable)?)
    {
        let fault = told(&format_args!("the file is open to others (mode {mode:03o})"));
        let remedy = format!("chmod 600 {name} (as a Kubernetes secret: defaultMode 0440)");
        return Err(Unusable::new(KEY, fault, remedy));
    }
    let mut text = String::new();
    file.read_to_string(&mut text).map_err(unreadable)?;
    pepper::read(&text).map_err(|cause| Unusable::new(KEY, told(&cause), VALID))
}

fn signing_policy(config: &Config) -> RotationPolicy {
    let auth = &config.auth;
    let hours = auth.signing_key_rotation_hours;
    RotationPolicy::new(
        (hours > 0).then(|| TimeDelta::hours(hours.into())),
        TimeDelta::seconds(auth.signing_key_lead_seconds.into()),
        TimeDelta::seconds(auth.access_token_ttl_seconds.into()),
    )
}

fn attempt_keys(key: &MasterKey) -> ThrottleKeys {
    let all = key.all_derived("attempts");
    ThrottleKeys::new(&key.derived("attempts"), all.get(1..).unwrap_or_default())
}

/// The master key, which is there already: a command that works with what others sealed makes none.
pub(super) fn present_master_key(config: &Config) -> Result<MasterKey, Error> {
    Ok(match &config.auth.master_key {
        MasterKeySource::Text(text) => MasterKey::parse(text)?,
        MasterKeySource::File(path) => MasterKey::read(path)?,
    })
}

/// The master key; in development it is made when there is none.
pub(super) fn master_key(config: &Config) -> Result<MasterKey, Error> {
    Ok(match &config.auth.master_key {
        MasterKeySource::Text(text) => MasterKey::parse(text)?,
        MasterKeySource::File(path) => {
            let (key, made) = MasterKey::read_or_make(Path::new(path))?;
            if made {
                tracing::info!(path = %path.display(), "made a master key for development");
            }
            key
        }
    })
}

/// The settings of the storage porch.
pub(super) fn storage_settings(config: &Config) -> storage::Settings {
    storage::Settings {
        url: config.database.url.expose().to_owned().into(),
        max_connections: config.database.max_connections,
        acquire_timeout: Duration::from_millis(config.database.acquire_timeout_ms),
        statement_timeout: Duration::from_millis(config.server.default_deadline_ms),
        // More than calls are let in: what a caller left behind is still under way for a moment.
        max_in_flight: config.server.max_in_flight * 2,
    }
}

/// The certificate that the settings name.
pub(super) fn tls(config: &Config) -> Result<Option<Tls>, Unusable> {
    Tls::read(config).map_err(|error| error.setting(&config.server))
}
