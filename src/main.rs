//! The command line of Daybook, and nothing else.

use std::error::Error;
use std::io::{ErrorKind, Write as _};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use chrono::{NaiveDate, NaiveTime};
use clap::{Args, Parser, Subcommand};
use daybook::config::{Config, Flag, Origins, Problems, ServerConfig, SettingsFile, Sources, key};
use daybook::{
    app::{self, reachable},
    kernel::ambient::Ambient,
    telemetry, zone_sources,
};

/// Cheaper than the C library's for many small and short-lived pieces; `docs/benchmarks.md` has by how much.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

/// Exit code of an unspecified failure.
const FAILURE: u8 = 1;
/// The command line or the configuration is wrong; the same number that clap uses.
const USAGE: u8 = 2;

/// An appointment-booking backend that speaks gRPC and gRPC-Web.
///
/// Settings come from the built-in defaults, ./daybook.toml or the file named by --config, the
/// environment (`DAYBOOK_SECTION_KEY`) and these flags, the last one winning. `daybook config print`
/// shows all of them.
#[derive(Debug, Parser)]
#[command(name = "daybook", version, long_version = zone_sources::version(), max_term_width = 100)]
#[command(after_help = "Exit status: 0 success, 1 failure, 2 wrong usage or configuration.")]
struct Cli {
    #[command(flatten)]
    settings: SettingsArgs,
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Args)]
#[command(next_help_heading = "Settings")]
struct SettingsArgs {
    /// Settings file [default: daybook.toml, if it exists]
    #[arg(long, global = true, value_name = "PATH")]
    config: Option<PathBuf>,
    /// What kind of installation this is: development or production
    #[arg(long, global = true, value_name = "PROFILE")]
    profile: Option<String>,
    /// Where the data is. Visible to every user of the machine: give a URL with a password in
    /// `DAYBOOK_DATABASE_URL` or `DAYBOOK_DATABASE_URL_FILE` instead
    #[arg(long, global = true, value_name = "URL")]
    database_url: Option<String>,
    /// Address and port to listen on
    #[arg(long, global = true, value_name = "ADDRESS")]
    listen: Option<String>,
    /// What is logged: off, error, warn, info, debug, trace, or a filter
    #[arg(long, global = true, value_name = "LEVEL")]
    log_level: Option<String>,
    /// How log lines look: auto, text or json
    #[arg(long, global = true, value_name = "FORMAT")]
    log_format: Option<String>,
    /// Any other setting, such as --set server.reflection=false; can be repeated
    #[arg(long, global = true, value_name = "SECTION.KEY=VALUE", value_parser = assignment)]
    set: Vec<(String, String)>,
}

// Values can be secrets.
impl std::fmt::Debug for SettingsArgs {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SettingsArgs").field("config", &self.config).finish_non_exhaustive()
    }
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the server (this is also what happens without a command)
    Serve,
    /// Bring the tables of the database up to date, or back
    #[command(subcommand)]
    Migrate(Migrate),
    /// Manage administrators
    #[command(subcommand)]
    Admin(Admin),
    /// Look after appointments
    #[command(subcommand)]
    Appointments(Appointments),
    /// Manage the keys that sign access tokens
    #[command(subcommand)]
    Keys(Keys),
    /// Look after the audit trail
    #[command(subcommand)]
    Audit(Audit),
    /// Ask a server whether it serves; exit status 0 if it does, 1 otherwise
    Healthcheck {
        /// The server [default: server.listen of the settings, on this machine]
        #[arg(long, value_name = "URL")]
        address: Option<String>,
        /// The gRPC service; the empty name means the whole server
        #[arg(long, value_name = "NAME", default_value = "", hide_default_value = true)]
        service: String,
        /// How long to wait for the answer, in milliseconds
        #[arg(long, value_name = "N", default_value_t = 2000)]
        #[arg(value_parser = clap::value_parser!(u64).range(1..=600_000))]
        timeout_ms: u64,
    },
    /// Show or check the settings
    #[command(subcommand)]
    Config(Settings),
}

#[derive(Debug, Subcommand)]
enum Migrate {
    /// Apply every change that is missing
    Up,
    /// Take back the latest changes, with the data they hold
    Down {
        /// Number of migrations
        #[arg(long, value_name = "N", default_value_t = 1)]
        #[arg(value_parser = clap::value_parser!(u32).range(1..))]
        steps: u32,
        /// Do not ask
        #[arg(long)]
        yes: bool,
    },
    /// List the changes and whether they are applied. Changes nothing, and makes no database
    Status,
}

#[derive(Debug, Subcommand)]
enum Admin {
    /// Make an administrator. The password is asked for, or read as one line from standard input
    Create {
        /// The name shown to others
        #[arg(long)]
        name: String,
        /// The email address to log in with
        #[arg(long)]
        email: String,
    },
}

#[derive(Debug, Subcommand)]
enum Appointments {
    /// List upcoming ones that are no longer at the local time that was promised, because the rules of
    /// their time zone have changed. Changes nothing
    Drifted,
}

#[derive(Debug, Subcommand)]
enum Keys {
    /// List them, with what each is now: next, active, retiring or gone; and the master keys, with what
    /// still needs each of them
    List,
    /// Let the next one sign from now on. What the present one signed is accepted until it expires
    Rotate {
        /// A key has leaked: replace all of them now. All access tokens end; log-ins go on with their
        /// refresh tokens
        #[arg(long)]
        at_once: bool,
        /// The master key is lost as well, so that it does not open the present keys
        #[arg(long, requires = "at_once")]
        master_key_lost: bool,
    },
    /// After a change of the master key: seal the secrets of second factors anew with the present one, so
    /// that the old one can go. Log-ins go on meanwhile
    Reseal,
}

#[derive(Debug, Subcommand)]
enum Audit {
    /// Remove the events of the days before one, for good; one event tells of it. Needs a role that may change
    /// the table `audit_events`, such as its owner. The server goes on meanwhile
    Forget {
        /// The first day that is kept, in UTC, such as 2026-01-01
        #[arg(long, value_name = "DATE")]
        before: NaiveDate,
    },
}

#[derive(Debug, Subcommand)]
enum Settings {
    /// Print the settings in force as TOML, with the origin of each; secrets are masked
    Print,
    /// Only say whether the settings are valid
    Check,
}

/// Why the program ends without success.
#[derive(Debug)]
enum Failure {
    Settings(Problems),
    /// The command line lacks something.
    Usage(&'static str),
    Other(Box<dyn Error>),
    /// The server answered that it does not serve, which is no error of this program.
    NotServing,
}

impl From<Problems> for Failure {
    fn from(problems: Problems) -> Self {
        Self::Settings(problems)
    }
}

impl From<app::Error> for Failure {
    fn from(error: app::Error) -> Self {
        Self::Other(error.into())
    }
}

/// What a setting names is told with where the setting was given.
fn with_origin(origins: &Origins) -> impl Fn(app::Error) -> Failure {
    |error| match error {
        app::Error::Setting(unusable) => Failure::Settings(unusable.problem(origins).into()),
        other => other.into(),
    }
}

impl From<telemetry::Error> for Failure {
    fn from(error: telemetry::Error) -> Self {
        Self::Other(error.into())
    }
}

impl From<std::io::Error> for Failure {
    fn from(error: std::io::Error) -> Self {
        Self::Other(error.into())
    }
}

fn main() -> ExitCode {
    let Cli { settings, command } = Cli::parse();
    let is_healthcheck = matches!(command, Some(Command::Healthcheck { .. }));
    let (status, message) = match run(settings, command.unwrap_or(Command::Serve)) {
        Ok(()) => return ExitCode::SUCCESS,
        Err(Failure::NotServing) => return ExitCode::from(FAILURE),
        Err(Failure::Settings(problems)) => (USAGE, problems.to_string()),
        Err(Failure::Usage(text)) => (USAGE, text.to_owned()),
        Err(Failure::Other(error)) => (FAILURE, chain(&*error)),
    };
    // Nothing is left to do when even this cannot be written.
    let _ = writeln!(std::io::stderr(), "daybook: {message}");
    // Docker keeps 2 for itself in a health check.
    ExitCode::from(if is_healthcheck { FAILURE } else { status })
}

fn run(settings: SettingsArgs, command: Command) -> Result<(), Failure> {
    match command {
        Command::Serve => {
            let (config, origins) = load(settings)?;
            let config = key::settle(config, &origins)?;
            telemetry::init(&config.log)?;
            let runtime = runtime()?;
            let ended = runtime.block_on(app::serve(config));
            // What has not ended by now had its time; the process does not wait for it.
            runtime.shutdown_background();
            ended.map_err(with_origin(&origins))
        }
        Command::Migrate(command) => migrate(settings, &command),
        Command::Admin(Admin::Create { name, email }) => create_admin(settings, name, email),
        Command::Appointments(Appointments::Drifted) => list_drifted(settings),
        Command::Keys(command) => keys_command::run(settings, &command),
        Command::Audit(Audit::Forget { before }) => forget_audit(settings, before),
        Command::Healthcheck { address, service, timeout_ms } => {
            let address = match address {
                Some(address) => address,
                None => local_url(&load(settings)?.0.server),
            };
            let timeout = Duration::from_millis(timeout_ms);
            let serving = runtime()?.block_on(app::healthcheck(address, service, timeout))?;
            print(if serving { "SERVING\n" } else { "NOT_SERVING\n" })?;
            if serving { Ok(()) } else { Err(Failure::NotServing) }
        }
        Command::Config(Settings::Print) => {
            let (config, origins) = load(settings)?;
            print(&config.render(&origins))
        }
        Command::Config(Settings::Check) => {
            let (config, origins) = load(settings)?;
            let config = key::settle(config, &origins)?;
            let unusable = app::unusable(&config);
            let problems: Vec<_> = unusable.iter().map(|it| it.problem(&origins)).collect();
            Problems::into_result(problems)?;
            let untried = runtime()?.block_on(app::try_master_key(&config))?;
            let (zones, now) = (zone_sources::look(&config), Ambient::system().now());
            if let Some(problem) = zones.problems.first() {
                return Err(Failure::Other(problem.clone().into()));
            }
            let warnings = zones.warnings(now).into_iter().map(|text| format!("Warning: {text}\n"));
            let mut warnings: Vec<_> = warnings.collect();
            warnings.extend(untried.map(|text| format!("Warning: {text}\n")));
            if let Some((until, warning)) = app::certificate(&config, now) {
                print(&format!("TLS certificate: valid until {until}\n"))?;
                warnings.extend(warning.map(|text| format!("Warning: {text}\n")));
            }
            let zones = zone_sources::described(zones.serving.about(), now);
            print(&format!("Time zone data: {zones}\n{}", warnings.concat()))?;
            print(&format!("The configuration is valid (profile {}).\n", config.profile.name()))
        }
    }
}

fn migrate(settings: SettingsArgs, command: &Migrate) -> Result<(), Failure> {
    let (config, _) = load(settings)?;
    telemetry::init(&config.log)?;
    let runtime = runtime()?;
    match command {
        Migrate::Up => Ok(runtime.block_on(app::migrate_up(&config))?),
        Migrate::Down { steps, yes } => {
            if !yes {
                input::confirm(&format!(
                    "This takes back {steps} of the changes, with the data they hold."
                ))?;
            }
            Ok(runtime.block_on(app::migrate_down(&config, *steps))?)
        }
        Migrate::Status => {
            let changes = runtime.block_on(app::migrate_status(&config))?;
            let lines = changes.into_iter().map(|(name, applied)| {
                format!("{}  {name}\n", if applied { "applied" } else { "pending" })
            });
            print(&lines.collect::<String>())
        }
    }
}

fn create_admin(settings: SettingsArgs, name: String, email: String) -> Result<(), Failure> {
    let (config, _) = load(settings)?;
    telemetry::init(&config.log)?;
    let password = input::password()?;
    let user = runtime()?.block_on(app::create_admin(&config, name, email, password))?;
    print(&format!("{user}\n"))
}

fn list_drifted(settings: SettingsArgs) -> Result<(), Failure> {
    let (config, _) = load(settings)?;
    telemetry::init(&config.log)?;
    let drifted = runtime()?.block_on(app::drifted(&config))?;
    let lines = drifted.found.iter().map(|(appointment, drift)| {
        let name = appointment.id.name(appointment.provider);
        let (promised, present) = (&appointment.local_start, &drift.present);
        format!("{name}  promised {promised}  now {present}  {}\n", appointment.time_zone)
    });
    let unknown = drifted.unknown.iter().map(|appointment| {
        let name = appointment.id.name(appointment.provider);
        format!("{name}  in a zone that is not in the zone data  {}\n", appointment.time_zone)
    });
    let (found, checked, zones) = (drifted.found.len(), drifted.checked, &drifted.zone_data);
    let sum = format!("{found} of {checked} upcoming appointments drifted (IANA {zones})\n");
    print(&(lines.chain(unknown).collect::<String>() + &sum))
}

fn forget_audit(settings: SettingsArgs, before: NaiveDate) -> Result<(), Failure> {
    let (config, _) = load(settings)?;
    telemetry::init(&config.log)?;
    let before = before.and_time(NaiveTime::MIN).and_utc();
    let removed = runtime()?.block_on(app::forget_audit(&config, Ambient::system(), before))?;
    print(&format!("{removed} audit {} removed\n", if removed == 1 { "event" } else { "events" }))
}

/// The settings from all layers. This is where the process's environment comes in.
fn load(settings: SettingsArgs) -> Result<(Config, Origins), Problems> {
    let file = SettingsFile::find(settings.config.as_deref())?;
    let environment = std::env::vars_os().collect();
    Config::load(Sources { file, environment, flags: settings.into_flags() })
}

impl SettingsArgs {
    fn into_flags(self) -> Vec<Flag> {
        let named = [
            ("--profile", "profile", self.profile),
            ("--database-url", "database.url", self.database_url),
            ("--listen", "server.listen", self.listen),
            ("--log-level", "log.level", self.log_level),
            ("--log-format", "log.format", self.log_format),
        ];
        let named = named.into_iter().filter_map(|(name, key, value)| {
            value.map(|value| Flag { name: name.to_owned(), key: key.to_owned(), value })
        });
        let set = self.set.into_iter().map(|(key, value)| Flag {
            name: format!("--set {key}"),
            key,
            value,
        });
        named.chain(set).collect()
    }
}

/// Parses a `--set` argument of the form `section.key=value` into name and value. The error says what is
/// wrong with it.
fn assignment(text: &str) -> Result<(String, String), &'static str> {
    match text.split_once('=') {
        Some((key, value)) if !key.trim().is_empty() => {
            Ok((key.trim().to_owned(), value.to_owned()))
        }
        _ => Err("write section.key=value"),
    }
}

fn runtime() -> std::io::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_multi_thread().enable_all().build()
}

/// How to ask, on this machine, for the health of a server with these settings.
fn local_url(server: &ServerConfig) -> String {
    match (server.health_listen, &server.tls_certificate_file) {
        (Some(plain), _) => format!("http://{}", reachable(plain)),
        (None, Some(_)) => format!("https://{}", reachable(server.listen)),
        (None, None) => format!("http://{}", reachable(server.listen)),
    }
}

/// Writes to standard output. A reader who has seen enough (`| head`) is no failure.
fn print(text: &str) -> Result<(), Failure> {
    let mut out = std::io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => Err(error.into()),
        _ => Ok(()),
    }
}

/// The error and its causes in one sentence, leaving out causes that an error already told.
fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        let told = cause.to_string();
        if !text.ends_with(&told) {
            text = format!("{text}: {told}");
        }
        next = cause.source();
    }
    text
}

#[path = "main_keys.rs"]
mod keys_command;

#[path = "main_input.rs"]
mod input;

#[cfg(test)]
#[path = "main_tests.rs"]
mod tests;
