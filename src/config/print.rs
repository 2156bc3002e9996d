//! The settings in force, as `daybook config print` shows them.

use std::fmt::Write as _;
use std::path::PathBuf;

use secrecy::{ExposeSecret as _, SecretString};
use toml::Value;

use super::{Config, MasterKeySource, Origins};

/// Stands for a secret.
const MASK: &str = "***";

impl Config {
    /// All settings as TOML, in the order of `default.toml`, each with the origin it has in
    /// `origins` as a comment. Secrets are shown as `***`; of a database URL only its password is
    /// hidden.
    pub fn render(&self, origins: &Origins) -> String {
        let mut text = String::new();
        let mut open_section = "";
        for (key, value) in self.entries() {
            let (section, name) = key.split_once('.').unwrap_or(("", key));
            if section != open_section {
                open_section = section;
                line(&mut text, format_args!("\n[{section}]"));
            }
            line(&mut text, format_args!("{name} = {value}{}", comment(key, origins)));
        }
        text
    }

    /// Every setting with its value, in the order of `default.toml`.
    pub(super) fn entries(&self) -> Vec<(&'static str, Value)> {
        let Self { profile, server, database, auth, mail, schedule, events, time_zones, log } =
            self;
        let origins = server.cors_origins.iter().map(String::as_str);
        let headers = server.cors_headers.iter().map(String::as_str);
        let proxies: Vec<_> = server.trusted_proxies.iter().map(ToString::to_string).collect();
        let hours = schedule.default_hours.iter().map(|hours| hours.text.as_str());
        let required_for = auth.second_factor_required_for.iter().map(|role| role.word());
        let peppers = auth.password_peppers_file.as_ref().map(|path| path.display().to_string());
        let peppers = peppers.unwrap_or_default();
        let (key_name, key) = match &auth.master_key {
            MasterKeySource::Text(_) => ("auth.master_key", text(MASK)),
            MasterKeySource::File(path) => {
                ("auth.master_key_file", text(&path.display().to_string()))
            }
        };
        vec![
            ("profile", text(profile.name())),
            ("server.listen", text(&server.listen.to_string())),
            ("server.health_listen", shown(server.health_listen.as_ref())),
            ("server.tls_certificate_file", path(server.tls_certificate_file.as_ref())),
            ("server.tls_key_file", path(server.tls_key_file.as_ref())),
            ("server.tls_client_ca_file", path(server.tls_client_ca_file.as_ref())),
            ("server.trusted_proxies", list(proxies.iter().map(String::as_str))),
            ("server.max_connections", number(server.max_connections)),
            ("server.max_connections_per_address", number(server.max_connections_per_address)),
            ("server.max_streams_per_connection", number(server.max_streams_per_connection)),
            ("server.max_in_flight", number(server.max_in_flight)),
            ("server.max_log_ins_in_flight", number(server.max_log_ins_in_flight)),
            ("server.max_writes_in_flight", number(server.max_writes_in_flight)),
            ("server.max_reads_in_flight", number(server.max_reads_in_flight)),
            ("server.max_streams", number(server.max_streams)),
            ("server.max_watches", number(server.max_watches)),
            ("server.max_watches_per_caller", number(server.max_watches_per_caller)),
            ("server.caller_reads_per_second", number(server.caller_reads.per_second)),
            ("server.caller_reads_burst", number(server.caller_reads.burst)),
            ("server.caller_writes_per_second", number(server.caller_writes.per_second)),
            ("server.caller_writes_burst", number(server.caller_writes.burst)),
            ("server.address_calls_per_second", number(server.address_calls.per_second)),
            ("server.address_calls_burst", number(server.address_calls.burst)),
            (
                "server.address_connections_per_second",
                number(server.address_connections.per_second),
            ),
            ("server.address_connections_burst", number(server.address_connections.burst)),
            ("server.max_message_bytes", number(server.max_message_bytes)),
            ("server.default_deadline_ms", number(server.default_deadline_ms)),
            ("server.max_deadline_ms", number(server.max_deadline_ms)),
            ("server.first_bytes_timeout_ms", number(server.first_bytes_timeout_ms)),
            ("server.drain_delay_ms", number(server.drain_delay_ms)),
            ("server.drain_timeout_ms", number(server.drain_timeout_ms)),
            ("server.cors_origins", list(origins)),
            ("server.cors_headers", list(headers)),
            ("server.reflection", Value::Boolean(server.reflection)),
            ("server.public_booking_pages", Value::Boolean(server.public_booking_pages)),
            ("database.url", text(&database.url.to_string())),
            ("database.max_connections", number(database.max_connections)),
            ("database.acquire_timeout_ms", number(database.acquire_timeout_ms)),
            ("database.migrate_on_start", Value::Boolean(database.migrate_on_start)),
            ("auth.issuer", text(&auth.issuer)),
            ("auth.audience", text(&auth.audience)),
            ("auth.access_token_ttl_seconds", number(auth.access_token_ttl_seconds)),
            ("auth.session_idle_hours", number(auth.session_idle_hours)),
            ("auth.session_lifetime_hours", number(auth.session_lifetime_hours)),
            ("auth.attempts_per_account", number(auth.attempts_per_account)),
            ("auth.attempts_per_address", number(auth.attempts_per_address)),
            ("auth.attempts_in_all", number(auth.attempts_in_all)),
            ("auth.second_factor_required_for", list(required_for)),
            ("auth.second_factor_issuer", text(&auth.second_factor_issuer)),
            (key_name, key),
            ("auth.signing_key_rotation_hours", number(auth.signing_key_rotation_hours)),
            ("auth.signing_key_lead_seconds", number(auth.signing_key_lead_seconds)),
            ("auth.verify_email", Value::Boolean(auth.verify_email)),
            ("auth.provider_sign_up", Value::Boolean(auth.provider_sign_up)),
            ("auth.password_min_length", number(auth.password_min_length)),
            ("auth.password_min_strength", number(auth.password_min_strength)),
            ("auth.password_peppers_file", text(&peppers)),
            ("auth.hash_memory_kib", number(auth.hash_memory_kib)),
            ("auth.hash_iterations", number(auth.hash_iterations)),
            ("auth.hash_parallelism", number(auth.hash_parallelism)),
            ("auth.hash_workers", number(auth.hash_workers)),
            ("auth.hash_queue", number(auth.hash_queue)),
            ("mail.transport", text(mail.transport.name())),
            ("mail.folder", text(&mail.folder.display().to_string())),
            ("mail.smtp_url", text(secret(&mail.smtp_url))),
            ("mail.smtp_ca_file", path(mail.smtp_ca_file.as_ref())),
            ("mail.from", text(&mail.from)),
            ("mail.pages_url", shown(mail.pages_url.as_ref())),
            ("mail.templates_folder", path(mail.templates_folder.as_ref())),
            ("schedule.default_hours", list(hours)),
            ("schedule.default_slot_minutes", number(schedule.default_slot_minutes)),
            ("schedule.default_longest_minutes", number(schedule.default_longest_minutes)),
            (
                "schedule.first_day_of_week",
                text(super::hours::day_name(schedule.first_day_of_week)),
            ),
            ("schedule.interval_least_minutes", number(schedule.interval_least_minutes)),
            ("schedule.interval_grid_minutes", number(schedule.interval_grid_minutes)),
            ("schedule.interval_horizon_days", number(schedule.interval_horizon_days)),
            ("events.feed_days", number(events.feed_days)),
            ("time_zones.folder", path(time_zones.folder.as_ref())),
            ("time_zones.system_folder", path(time_zones.system_folder.as_ref())),
            ("log.level", text(&log.level)),
            ("log.format", text(log.format.name())),
        ]
    }
}

/// Whether there is a secret, and no more.
fn secret(value: &SecretString) -> &'static str {
    if value.expose_secret().is_empty() { "" } else { MASK }
}

/// Writing to a string cannot fail.
fn line(text: &mut String, line: std::fmt::Arguments<'_>) {
    let _ = writeln!(text, "{line}");
}

/// `  # from file daybook.toml`, on one line whatever the file is called.
fn comment(key: &str, origins: &Origins) -> String {
    let given = origins.get(key).map(ToString::to_string);
    // A URL that was read from a file is shown as `url`, so the comment tells the difference.
    let read =
        || origins.get(&format!("{key}_file")).map(|origin| format!("{origin}, by url_file"));
    let Some(origin) = given.or_else(read) else { return String::new() };
    format!("  # from {}", origin.replace(char::is_control, "?"))
}

fn text(value: &str) -> Value {
    Value::String(value.to_owned())
}

/// Nothing is the empty text.
fn shown(value: Option<&impl ToString>) -> Value {
    Value::String(value.map(ToString::to_string).unwrap_or_default())
}

fn path(value: Option<&PathBuf>) -> Value {
    shown(value.map(|path| path.display()).as_ref())
}

fn list<'a>(items: impl Iterator<Item = &'a str>) -> Value {
    Value::Array(items.map(text).collect())
}

/// All numbers are in ranges far below the largest that TOML can hold.
fn number<T: TryInto<i64>>(value: T) -> Value {
    Value::Integer(value.try_into().unwrap_or(i64::MAX))
}
