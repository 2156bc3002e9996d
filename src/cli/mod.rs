//! The command line: reads it and the settings, runs the command, and says what came of it.

mod args;
mod input;
mod keys;

use std::{
    error::Error,
    io::{ErrorKind, Write as _},
    process::ExitCode,
    time::Duration,
};

use chrono::{NaiveDate, NaiveTime};
use clap::Parser as _;

use self::args::{Admin, Appointments, Audit, Cli, Command, Migrate, Settings, SettingsArgs};
use crate::{
    app::{self, commands, key_commands, startup_messages::reachable},
    config::{Config, Origins, Problems, ServerConfig, SettingsFile, Sources, key},
    kernel::ambient::Ambient,
    telemetry, zone_sources,
};

/// Exit code of an unspecified failure.
const FAILURE: u8 = 1;
/// The command line or the configuration is wrong; the same number that clap uses.
const USAGE: u8 = 2;

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

/// Runs the program with the arguments and the environment of the process.
pub fn main() -> ExitCode {
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
        Command::Keys(command) => keys::run(settings, &command),
        Command::Audit(Audit::Forget { before }) => forget_audit(settings, before),
        Command::Healthcheck { address, service, timeout_ms } => {
            let address = match address {
                Some(address) => address,
                None => local_url(&load(settings)?.0.server),
            };
            let timeout = Duration::from_millis(timeout_ms);
            let serving = runtime()?.block_on(commands::healthcheck(address, service, timeout))?;
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
            let unusable = commands::unusable(&config);
            let problems: Vec<_> = unusable.iter().map(|it| it.problem(&origins)).collect();
            Problems::into_result(problems)?;
            let untried = runtime()?.block_on(key_commands::try_master_key(&config))?;
            let (zones, now) = (zone_sources::look(&config), Ambient::system().now());
            if let Some(problem) = zones.problems.first() {
                return Err(Failure::Other(problem.clone().into()));
            }
            let warnings = zones.warnings(now).into_iter().map(|text| format!("Warning: {text}\n"));
            let mut warnings: Vec<_> = warnings.collect();
            warnings.extend(untried.map(|text| format!("Warning: {text}\n")));
            if let Some((until, warning)) = commands::certificate(&config, now) {
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
        Migrate::Up => Ok(runtime.block_on(commands::migrate_up(&config))?),
        Migrate::Down { steps, yes } => {
            if !yes {
                input::confirm(&format!(
                    "This takes back {steps} of the changes, with the data they hold."
                ))?;
            }
            Ok(runtime.block_on(commands::migrate_down(&config, *steps))?)
        }
        Migrate::Status => {
            let changes = runtime.block_on(commands::migrate_status(&config))?;
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
    let user = runtime()?.block_on(commands::create_admin(&config, name, email, password))?;
    print(&format!("{user}\n"))
}

fn list_drifted(settings: SettingsArgs) -> Result<(), Failure> {
    let (config, _) = load(settings)?;
    telemetry::init(&config.log)?;
    let drifted = runtime()?.block_on(commands::drifted(&config))?;
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
    let removed =
        runtime()?.block_on(commands::forget_audit(&config, Ambient::system(), before))?;
    print(&format!("{removed} audit {} removed\n", if removed == 1 { "event" } else { "events" }))
}

/// The settings from all layers. This is where the process's environment comes in.
fn load(settings: SettingsArgs) -> Result<(Config, Origins), Problems> {
    let file = SettingsFile::find(settings.config.as_deref())?;
    let environment = std::env::vars_os().collect();
    Config::load(Sources { file, environment, flags: settings.into_flags() })
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

#[cfg(test)]
mod tests;
