//! The command line as clap reads it.

use std::path::PathBuf;

use chrono::NaiveDate;
use clap::{Args, Parser, Subcommand};

use crate::{config::Flag, zone_sources};

/// An appointment-booking backend that speaks gRPC and gRPC-Web.
///
/// Settings come from the built-in defaults, ./daybook.toml or the file named by --config, the
/// environment (`DAYBOOK_SECTION_KEY`) and these flags, the last one winning. `daybook config print`
/// shows all of them.
#[derive(Debug, Parser)]
#[command(name = "daybook", version, long_version = zone_sources::version(), max_term_width = 100)]
#[command(after_help = "Exit status: 0 success, 1 failure, 2 wrong usage or configuration.")]
pub(super) struct Cli {
    #[command(flatten)]
    pub(super) settings: SettingsArgs,
    #[command(subcommand)]
    pub(super) command: Option<Command>,
}

#[derive(Args)]
#[command(next_help_heading = "Settings")]
pub(super) struct SettingsArgs {
    /// Settings file [default: daybook.toml, if it exists]
    #[arg(long, global = true, value_name = "PATH")]
    pub(super) config: Option<PathBuf>,
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
pub(super) enum Command {
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
pub(super) enum Migrate {
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
pub(super) enum Admin {
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
pub(super) enum Appointments {
    /// List upcoming ones that are no longer at the local time that was promised, because the rules of
    /// their time zone have changed. Changes nothing
    Drifted,
}

#[derive(Debug, Subcommand)]
pub(super) enum Keys {
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
pub(super) enum Audit {
    /// Remove the events of the days before one, for good; one event tells of it. Needs a role that may change
    /// the table `audit_events`, such as its owner. The server goes on meanwhile
    Forget {
        /// The first day that is kept, in UTC, such as 2026-01-01
        #[arg(long, value_name = "DATE")]
        before: NaiveDate,
    },
}

#[derive(Debug, Subcommand)]
pub(super) enum Settings {
    /// Print the settings in force as TOML, with the origin of each; secrets are masked
    Print,
    /// Only say whether the settings are valid
    Check,
}

impl SettingsArgs {
    pub(super) fn into_flags(self) -> Vec<Flag> {
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
pub(super) fn assignment(text: &str) -> Result<(String, String), &'static str> {
    match text.split_once('=') {
        Some((key, value)) if !key.trim().is_empty() => {
            Ok((key.trim().to_owned(), value.to_owned()))
        }
        _ => Err("write section.key=value"),
    }
}
