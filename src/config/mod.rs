//! The settings: embedded defaults → file → environment → flags → checks.
//!
//! `default.toml` is the reference of all settings and the source of their names; [`Config::load`]
//! lays the other layers over it and reports everything that is wrong at once. Nothing here looks
//! at the process's environment or arguments: they are given in as [`Sources`].

mod hours;
pub mod key;
mod layers;
mod mail;
mod print;
mod problem;
mod reader;
#[cfg(test)]
mod secrets_tests;
mod smtp_url;
#[cfg(test)]
mod tests;
mod url;
mod validate;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use chrono::Weekday;
use ipnet::IpNet;
use secrecy::SecretString;

use crate::identity::Role;

pub use hours::OpenHours;
pub use layers::{Flag, Origin, Origins, SettingsFile, Sources};
pub use problem::{Problem, Problems, Unusable};
pub use url::{DatabaseUrl, Engine, NotADatabaseUrl};

/// The embedded defaults, with a comment for every setting.
pub const DEFAULTS: &str = include_str!("default.toml");

/// All settings, checked. Fields have the names they have in `default.toml`.
#[derive(Debug, Clone)]
pub struct Config {
    /// What kind of installation this is.
    pub profile: Profile,
    /// The network side.
    pub server: ServerConfig,
    /// Where the data is.
    pub database: DatabaseConfig,
    /// Passwords and access tokens.
    pub auth: AuthConfig,
    /// Emails to people.
    pub mail: MailConfig,
    /// What new providers start with, and what bookings without a type must be like.
    pub schedule: ScheduleConfig,
    /// What is kept of the order of the events.
    pub events: EventsConfig,
    /// Where the rules of time zones come from.
    pub time_zones: ZonesConfig,
    /// What is logged, and how.
    pub log: LogConfig,
}

/// What kind of installation this is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Profile {
    /// On somebody's own machine: a missing master key is made.
    Development,
    /// For others: see [`key`]. Reflection is off unless somebody asks for it.
    Production,
}

/// The section `server`.
#[derive(Debug, Clone)]
pub struct ServerConfig {
    /// Address and port to listen on; port 0 takes any free one.
    pub listen: SocketAddr,
    /// Address and port that serve health alone, in plaintext.
    pub health_listen: Option<SocketAddr>,
    /// The certificate chain, PEM; given together with the key.
    pub tls_certificate_file: Option<PathBuf>,
    /// The private key, PEM.
    pub tls_key_file: Option<PathBuf>,
    /// Authorities of client certificates, PEM; only with a certificate of the server's own.
    pub tls_client_ca_file: Option<PathBuf>,
    /// Proxies whose `x-forwarded-for` is believed.
    pub trusted_proxies: Vec<IpNet>,
    /// Open connections, 1 to 1,000,000.
    pub max_connections: usize,
    /// Open connections from one address or /64 of IPv6, 1 to 1,000,000. May exceed `max_connections`.
    pub max_connections_per_address: usize,
    /// Open calls on one connection, 1 to 10,000.
    pub max_streams_per_connection: u32,
    /// Calls worked on at the same time, 1 to 100,000.
    pub max_in_flight: usize,
    /// Of these, calls that hash a password, 1 to 100,000.
    pub max_log_ins_in_flight: usize,
    /// Of these, other calls that change something, 1 to 100,000.
    pub max_writes_in_flight: usize,
    /// Of these, calls that change nothing, 1 to 100,000.
    pub max_reads_in_flight: usize,
    /// Open streams that are no watches, 1 to 100,000.
    pub max_streams: usize,
    /// Open watches, 1 to 100,000.
    pub max_watches: usize,
    /// Open watches of one caller, 1 to 100,000.
    pub max_watches_per_caller: usize,
    /// Reads of one user.
    pub caller_reads: Rate,
    /// Writes of one user.
    pub caller_writes: Rate,
    /// Calls from one address of callers who are not known.
    pub address_calls: Rate,
    /// New connections from one address.
    pub address_connections: Rate,
    /// Largest request in bytes, 1,024 to 16,777,216.
    pub max_message_bytes: usize,
    /// Deadline of a call that brings none, in milliseconds, 100 to `max_deadline_ms`.
    pub default_deadline_ms: u64,
    /// Longest deadline in milliseconds, 100 to 600,000.
    pub max_deadline_ms: u64,
    /// Silence allowed to a new connection, in milliseconds, 100 to 60,000.
    pub first_bytes_timeout_ms: u64,
    /// Between `NOT_SERVING` and refusing new calls, in milliseconds, 0 to 300,000.
    pub drain_delay_ms: u64,
    /// For calls in progress at a stop, in milliseconds, 0 to 600,000.
    pub drain_timeout_ms: u64,
    /// Exact origins, `scheme://host[:port]` in lower case and without a default port, as
    /// browsers send them; no wildcard.
    pub cors_origins: Vec<String>,
    /// Names of headers, in lower case, that pages may send beside the usual ones.
    pub cors_headers: Vec<String>,
    /// Whether server reflection is offered.
    pub reflection: bool,
    /// Whether `ListProviders`, `GetProvider` and `GetAvailability` need no token.
    pub public_booking_pages: bool,
}

/// How fast somebody may call: `…_per_second` and `…_burst`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rate {
    /// In the long run, 0 to 1,000,000; 0 is no limit.
    pub per_second: u32,
    /// At once after a pause, 1 to 1,000,000.
    pub burst: u32,
}

/// The section `database`.
#[derive(Debug, Clone)]
pub struct DatabaseConfig {
    /// Where the data is.
    pub url: DatabaseUrl,
    /// Connections held, 1 to 1,000.
    pub max_connections: u32,
    /// Wait for a free connection, in milliseconds, 100 to 60,000.
    pub acquire_timeout_ms: u64,
    /// Whether the server brings the tables up to date before it serves.
    pub migrate_on_start: bool,
}

/// The section `auth`.
#[derive(Debug, Clone)]
pub struct AuthConfig {
    /// `iss` of access tokens, 1 to 200 characters.
    pub issuer: String,
    /// `aud` of access tokens, 1 to 200 characters.
    pub audience: String,
    /// Life of an access token in seconds, 60 to 300.
    pub access_token_ttl_seconds: u32,
    /// How long a log-in lasts without being refreshed, in hours, 1 to 8,760.
    pub session_idle_hours: u32,
    /// How long a log-in lasts in all, in hours, 1 to 8,760.
    pub session_lifetime_hours: u32,
    /// Wrong passwords at one account before delays begin, 3 to 100.
    pub attempts_per_account: u32,
    /// Wrong passwords from one address before delays begin, 3 to 1,000,000.
    pub attempts_per_address: u32,
    /// Wrong passwords in all before delays begin, 3 to 1,000,000.
    pub attempts_in_all: u32,
    /// The roles that must have a second factor.
    pub second_factor_required_for: Vec<Role>,
    /// What authenticator apps show as the issuer, 1 to 64 characters without a colon.
    pub second_factor_issuer: String,
    /// Where the master key is.
    pub master_key: MasterKeySource,
    /// Age in hours at which a signing key is replaced, 0 to 8,760; 0 is never.
    pub signing_key_rotation_hours: u32,
    /// Seconds that a signing key is shown before it signs, 10 to 86,400.
    pub signing_key_lead_seconds: u32,
    /// Whether strangers may sign up as providers.
    pub provider_sign_up: bool,
    /// Whether an account is made only when its address was verified; only with mail.
    pub verify_email: bool,
    /// Shortest accepted password in characters, 8 to 64.
    pub password_min_length: usize,
    /// Least strength of a new password by zxcvbn, 0 to 4.
    pub password_min_strength: u8,
    /// Where the peppers are, if there are any.
    pub password_peppers_file: Option<PathBuf>,
    /// Argon2id memory in KiB, 19,456 to 1,048,576.
    pub hash_memory_kib: u32,
    /// Argon2id passes, 2 to 20.
    pub hash_iterations: u32,
    /// Argon2id lanes, 1 to 8.
    pub hash_parallelism: u32,
    /// Hashes at the same time, 0 to 256; 0 means one for each core.
    pub hash_workers: usize,
    /// Hashes that may wait, 0 to 10,000.
    pub hash_queue: usize,
}

/// Where the master key is. Loading the settings does not read it; see [`key::settle`].
#[derive(Debug, Clone)]
pub enum MasterKeySource {
    /// The text itself, not empty.
    Text(SecretString),
    /// A file with the text, which need not exist.
    File(PathBuf),
}

/// The section `mail`.
#[derive(Debug, Clone)]
pub struct MailConfig {
    /// How emails leave.
    pub transport: MailTransport,
    /// Where `folder` writes them.
    pub folder: PathBuf,
    /// The mail server; not empty where the transport is `smtp`.
    pub smtp_url: SecretString,
    /// Authorities that are believed beside those of the system, PEM.
    pub smtp_ca_file: Option<PathBuf>,
    /// The sender, `Name <address>`, 1 to 200 characters.
    pub from: String,
    /// Where the web pages are that take codes, without a slash at the end.
    pub pages_url: Option<String>,
    /// The operator's own templates.
    pub templates_folder: Option<PathBuf>,
    /// How long an email may take to leave. No setting: nobody but tests wants another one.
    pub patience: Duration,
    /// How often to look for emails that wait, on average. No setting either.
    pub look: Duration,
}

/// How emails leave.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MailTransport {
    /// Not at all.
    None,
    /// Into a folder, for development.
    Folder,
    /// To a mail server.
    Smtp,
}

impl MailTransport {
    /// The name in the settings.
    pub fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Folder => "folder",
            Self::Smtp => "smtp",
        }
    }
}

/// The section `schedule`.
#[derive(Debug, Clone)]
pub struct ScheduleConfig {
    /// Weekly hours of a new provider, in the order given, without overlaps; may be empty.
    pub default_hours: Vec<OpenHours>,
    /// Length of a slot in minutes, 5 to 1,440.
    pub default_slot_minutes: u32,
    /// Longest appointment in minutes, `default_slot_minutes` to 1,440.
    pub default_longest_minutes: u32,
    /// The first day of the weeks in which limits count.
    pub first_day_of_week: Weekday,
    /// Shortest booking without a type in minutes, 1 to 1,440.
    pub interval_least_minutes: u32,
    /// Distance of the possible starts of bookings without a type in minutes, 1 to 1,440.
    pub interval_grid_minutes: u32,
    /// How far ahead bookings without a type may start, in days, 1 to 62,000.
    pub interval_horizon_days: u32,
}

/// The section `events`.
#[derive(Debug, Clone)]
pub struct EventsConfig {
    /// For how many days the order of the events is kept, 1 to 3,650.
    pub feed_days: u32,
}

/// The section `time_zones`.
#[derive(Debug, Clone)]
pub struct ZonesConfig {
    /// A folder of compiled zone files, which need not exist.
    pub folder: Option<PathBuf>,
    /// The operating system's.
    pub system_folder: Option<PathBuf>,
    /// How often they are looked at. No setting: nobody but tests wants another one.
    pub look: Duration,
}

/// The section `log`.
#[derive(Debug, Clone)]
pub struct LogConfig {
    /// A valid `tracing_subscriber::EnvFilter` directive.
    pub level: String,
    /// How log lines look.
    pub format: LogFormat,
}

/// How log lines look.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    /// Text on a terminal, JSON otherwise.
    Auto,
    /// Text for people.
    Text,
    /// One JSON object a line.
    Json,
}

impl Config {
    /// Lays the sources over the defaults and checks the result. Reads the files that `_file`
    /// forms of `database.url` name, and no other file.
    ///
    /// The error holds everything that is wrong, not only the first.
    pub fn load(sources: Sources) -> Result<(Self, Origins), Problems> {
        let (settings, mut problems) = layers::merge(sources);
        let (config, origins, found) = validate::read(&settings);
        problems.extend(found);
        match (config, Problems::into_result(problems)) {
            (_, Err(problems)) => Err(problems),
            (Some(config), Ok(())) => Ok((config, origins)),
            // `read` gives no configuration only together with a problem.
            (None, Ok(())) => Err(Problem::new(
                "the configuration",
                Origin::Default,
                "could not be read",
                "report this as a bug",
            )
            .into()),
        }
    }
}

impl Profile {
    /// The name in the settings.
    pub fn name(self) -> &'static str {
        match self {
            Self::Development => "development",
            Self::Production => "production",
        }
    }
}

impl LogFormat {
    /// The name in the settings.
    pub fn name(self) -> &'static str {
        match self {
            Self::Auto => "auto",
            Self::Text => "text",
            Self::Json => "json",
        }
    }
}
