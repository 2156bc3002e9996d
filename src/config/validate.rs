//! From untyped settings to [`Config`], collecting everything that is not valid.

use std::{net::SocketAddr, path::PathBuf, time::Duration};

use chrono::Weekday;
use ipnet::IpNet;
use secrecy::SecretString;
use tracing_subscriber::EnvFilter;

use super::layers::Settings;
use super::reader::{SettingsReader, shown};
use super::{
    AuthConfig, Config, DatabaseConfig, DatabaseUrl, EventsConfig, LogConfig, LogFormat,
    MasterKeySource, OpenHours, Origins, Problem, Profile, Rate, ScheduleConfig, ServerConfig,
    ZonesConfig, hours, mail, url,
};
use crate::identity::Role;

/// How often zone folders are looked at.
const LOOK_AT_ZONES: Duration = Duration::from_mins(1);

/// Reads every setting. There is no configuration only if there is a problem, but there can be
/// problems with one: then it holds placeholders and must not be used.
pub(super) fn read(settings: &Settings) -> (Option<Config>, Origins, Vec<Problem>) {
    let mut reader = SettingsReader::new(settings);
    let profiles = [Profile::Development, Profile::Production];
    let profile = reader.choice("profile", Profile::Development, &profiles, Profile::name);
    let server = server(&mut reader, profile);
    let database = database(&mut reader);
    let auth = auth(&mut reader);
    let mail = mail::read(&mut reader, auth.verify_email);
    let schedule = schedule(&mut reader);
    let events = EventsConfig { feed_days: reader.number("events.feed_days", 1..=3650) };
    let time_zones = time_zones(&mut reader);
    let log = log(&mut reader);
    let config = database.map(|database| Config {
        profile,
        server,
        database,
        auth,
        mail,
        schedule,
        events,
        time_zones,
        log,
    });
    let (origins, problems) = reader.finish();
    (config, origins, problems)
}

fn server(reader: &mut SettingsReader<'_>, profile: Profile) -> ServerConfig {
    const CERTIFICATE: &str = "server.tls_certificate_file";
    const KEY: &str = "server.tls_key_file";
    const CLIENT_CA: &str = "server.tls_client_ca_file";
    let config = ServerConfig {
        listen: reader.socket_address("server.listen"),
        health_listen: reader.optional_socket_address("server.health_listen"),
        tls_certificate_file: reader.optional_path(CERTIFICATE),
        tls_key_file: reader.optional_path(KEY),
        tls_client_ca_file: reader.optional_path(CLIENT_CA),
        trusted_proxies: networks(reader),
        max_connections: reader.number("server.max_connections", 1..=1_000_000),
        max_connections_per_address: reader
            .number("server.max_connections_per_address", 1..=1_000_000),
        max_streams_per_connection: reader.number("server.max_streams_per_connection", 1..=10_000),
        max_in_flight: reader.number("server.max_in_flight", 1..=100_000),
        max_log_ins_in_flight: reader.number("server.max_log_ins_in_flight", 1..=100_000),
        max_writes_in_flight: reader.number("server.max_writes_in_flight", 1..=100_000),
        max_reads_in_flight: reader.number("server.max_reads_in_flight", 1..=100_000),
        max_streams: reader.number("server.max_streams", 1..=100_000),
        max_watches: reader.number("server.max_watches", 1..=100_000),
        max_watches_per_caller: reader.number("server.max_watches_per_caller", 1..=100_000),
        caller_reads: Rate {
            per_second: reader.number("server.caller_reads_per_second", 0..=1_000_000),
            burst: reader.number("server.caller_reads_burst", 1..=1_000_000),
        },
        caller_writes: Rate {
            per_second: reader.number("server.caller_writes_per_second", 0..=1_000_000),
            burst: reader.number("server.caller_writes_burst", 1..=1_000_000),
        },
        address_calls: Rate {
            per_second: reader.number("server.address_calls_per_second", 0..=1_000_000),
            burst: reader.number("server.address_calls_burst", 1..=1_000_000),
        },
        address_connections: Rate {
            per_second: reader.number("server.address_connections_per_second", 0..=1_000_000),
            burst: reader.number("server.address_connections_burst", 1..=1_000_000),
        },
        max_message_bytes: reader.number("server.max_message_bytes", 1024..=16_777_216),
        default_deadline_ms: reader.number("server.default_deadline_ms", 100..=600_000),
        max_deadline_ms: reader.number("server.max_deadline_ms", 100..=600_000),
        first_bytes_timeout_ms: reader.number("server.first_bytes_timeout_ms", 100..=60_000),
        drain_delay_ms: reader.number("server.drain_delay_ms", 0..=300_000),
        drain_timeout_ms: reader.number("server.drain_timeout_ms", 0..=600_000),
        cors_origins: cors_origins(reader),
        cors_headers: cors_headers(reader),
        reflection: reader.switch_off_in_production("server.reflection", profile),
        public_booking_pages: reader.switch("server.public_booking_pages"),
    };
    reader.not_above("server.default_deadline_ms", "server.max_deadline_ms");
    let is_taken = |health: SocketAddr| {
        let listen = config.listen;
        let meet = health.ip() == listen.ip()
            || health.ip().is_unspecified()
            || listen.ip().is_unspecified();
        listen.port() != 0 && health.port() == listen.port() && meet
    };
    if config.health_listen.is_some_and(is_taken) {
        let remedy = "give another port, or \"\" to serve health with everything else";
        reader.problem("server.health_listen", "is the same as server.listen", remedy);
    }
    // Half of TLS would be plaintext where somebody thinks otherwise.
    let has = |path: &Option<PathBuf>| path.is_some();
    let certificate = has(&config.tls_certificate_file);
    for (key, given, other, other_given) in [
        (CERTIFICATE, certificate, KEY, has(&config.tls_key_file)),
        (KEY, has(&config.tls_key_file), CERTIFICATE, certificate),
        (CLIENT_CA, has(&config.tls_client_ca_file), CERTIFICATE, certificate),
    ] {
        if given && !other_given {
            reader.problem(key, format!("is given without {other}"), "give both or neither");
        }
    }
    config
}

fn database(reader: &mut SettingsReader<'_>) -> Option<DatabaseConfig> {
    const URL: &str = "database.url";
    // All are read before any is missed, so that no problem hides another.
    let url = reader.secret(URL, url::VALID).and_then(|(key, text)| {
        let url = DatabaseUrl::parse(text);
        url.map_err(|error| reader.problem(&key, error.to_string(), url::VALID)).ok()
    });
    let max_connections = reader.number("database.max_connections", 1..=1000);
    let acquire_timeout_ms = reader.number("database.acquire_timeout_ms", 100..=60_000);
    let migrate_on_start = reader.switch("database.migrate_on_start");
    let url = url?;
    Some(DatabaseConfig { url, max_connections, acquire_timeout_ms, migrate_on_start })
}

fn auth(reader: &mut SettingsReader<'_>) -> AuthConfig {
    AuthConfig {
        issuer: reader.name("auth.issuer", 200),
        audience: reader.name("auth.audience", 200),
        access_token_ttl_seconds: reader.number("auth.access_token_ttl_seconds", 60..=300),
        session_idle_hours: reader.number("auth.session_idle_hours", 1..=8_760),
        session_lifetime_hours: reader.number("auth.session_lifetime_hours", 1..=8_760),
        attempts_per_account: reader.number("auth.attempts_per_account", 3..=100),
        attempts_per_address: reader.number("auth.attempts_per_address", 3..=1_000_000),
        attempts_in_all: reader.number("auth.attempts_in_all", 3..=1_000_000),
        second_factor_required_for: second_factor_required_for(reader),
        second_factor_issuer: second_factor_issuer(reader),
        master_key: master_key(reader),
        signing_key_rotation_hours: reader.number("auth.signing_key_rotation_hours", 0..=8_760),
        signing_key_lead_seconds: reader.number("auth.signing_key_lead_seconds", 10..=86_400),
        verify_email: reader.switch("auth.verify_email"),
        provider_sign_up: reader.switch("auth.provider_sign_up"),
        password_min_length: reader.number("auth.password_min_length", 8..=64),
        password_min_strength: reader.number("auth.password_min_strength", 0..=4),
        password_peppers_file: reader.optional_path("auth.password_peppers_file"),
        hash_memory_kib: reader.number("auth.hash_memory_kib", 19_456..=1_048_576),
        hash_iterations: reader.number("auth.hash_iterations", 2..=20),
        hash_parallelism: reader.number("auth.hash_parallelism", 1..=8),
        hash_workers: reader.number("auth.hash_workers", 0..=256),
        hash_queue: reader.number("auth.hash_queue", 0..=10_000),
    }
}

fn second_factor_required_for(reader: &mut SettingsReader<'_>) -> Vec<Role> {
    const KEY: &str = "auth.second_factor_required_for";
    let mut roles = Vec::new();
    for text in reader.list(KEY) {
        match Role::parse(&text) {
            Some(role) if !roles.contains(&role) => roles.push(role),
            Some(_) => {
                reader.problem(KEY, format!("{} is there twice", shown(&text)), "give it once");
            }
            None => {
                let remedy = "give roles: \"admin\", \"provider\", \"customer\"";
                reader.problem(KEY, format!("{} is not valid", shown(&text)), remedy);
            }
        }
    }
    roles
}

fn second_factor_issuer(reader: &mut SettingsReader<'_>) -> String {
    const KEY: &str = "auth.second_factor_issuer";
    let issuer = reader.name(KEY, 64);
    if issuer.contains(':') {
        // In an app's URI a colon stands between the issuer and the account.
        reader.problem(KEY, format!("{} has a colon", shown(&issuer)), "leave the colon out");
    }
    issuer
}

/// The key's path is handed on unread: in development the file may still have to be made.
fn master_key(reader: &mut SettingsReader<'_>) -> MasterKeySource {
    const KEY: &str = "auth.master_key";
    const VALID: &str =
        "give 32 random bytes in base64, or the path of a file with them as master_key_file";
    if reader.is_path_form(KEY) {
        return MasterKeySource::File(reader.path(KEY).unwrap_or_default());
    }
    let text = reader.secret(KEY, VALID).map(|(_, text)| text);
    MasterKeySource::Text(text.unwrap_or_else(|| SecretString::from("")))
}

fn schedule(reader: &mut SettingsReader<'_>) -> ScheduleConfig {
    let config = ScheduleConfig {
        default_hours: default_hours(reader),
        default_slot_minutes: reader.number("schedule.default_slot_minutes", 5..=1440),
        default_longest_minutes: reader.number("schedule.default_longest_minutes", 5..=1440),
        first_day_of_week: reader.choice(
            "schedule.first_day_of_week",
            Weekday::Mon,
            &hours::DAYS,
            hours::day_name,
        ),
        interval_least_minutes: reader.number("schedule.interval_least_minutes", 1..=1440),
        interval_grid_minutes: reader.number("schedule.interval_grid_minutes", 1..=1440),
        interval_horizon_days: reader.number("schedule.interval_horizon_days", 1..=62_000),
    };
    reader.not_above("schedule.default_slot_minutes", "schedule.default_longest_minutes");
    config
}

/// Whether the folders can be used is seen at the start, and at each look.
fn time_zones(reader: &mut SettingsReader<'_>) -> ZonesConfig {
    ZonesConfig {
        folder: reader.optional_path("time_zones.folder"),
        system_folder: reader.optional_path("time_zones.system_folder"),
        look: LOOK_AT_ZONES,
    }
}

fn log(reader: &mut SettingsReader<'_>) -> LogConfig {
    LogConfig { level: log_level(reader), format: log_format(reader) }
}

fn log_format(reader: &mut SettingsReader<'_>) -> LogFormat {
    let formats = [LogFormat::Auto, LogFormat::Text, LogFormat::Json];
    reader.choice("log.format", LogFormat::Auto, &formats, LogFormat::name)
}

fn log_level(reader: &mut SettingsReader<'_>) -> String {
    const KEY: &str = "log.level";
    let level = reader.name(KEY, 1000);
    if !level.is_empty() && !is_log_level(&level) {
        let remedy = "give off, error, warn, info, debug or trace, also for single parts: \
             \"info,daybook::booking=debug\"";
        reader.problem(KEY, format!("{} is not valid", shown(&level)), remedy);
    }
    level
}

/// A filter takes a lone word that is no level for the name of a part: `inof` would silence
/// everything without a word. So such a word is refused here.
fn is_log_level(text: &str) -> bool {
    let levels = ["off", "error", "warn", "info", "debug", "trace"];
    let lone_words_are_levels = text.contains('[')
        || text.split(',').map(str::trim).all(|directive| {
            directive.contains('=') || levels.iter().any(|it| directive.eq_ignore_ascii_case(it))
        });
    lone_words_are_levels && EnvFilter::builder().parse(text).is_ok()
}

fn default_hours(reader: &mut SettingsReader<'_>) -> Vec<OpenHours> {
    const KEY: &str = "schedule.default_hours";
    let mut all: Vec<OpenHours> = Vec::new();
    for text in reader.list(KEY) {
        let Some(hours) = OpenHours::parse(&text) else {
            let remedy = "give a day and its hours, such as \"mon 09:00-17:00\"";
            reader.problem(KEY, format!("{} is not valid", shown(&text)), remedy);
            continue;
        };
        if let Some(other) = all.iter().find(|other| other.overlaps(&hours)) {
            let fault = format!("{} overlaps {}", shown(&text), shown(&other.text));
            reader.problem(KEY, fault, "join the two or move one");
        }
        all.push(hours);
    }
    all
}

fn networks(reader: &mut SettingsReader<'_>) -> Vec<IpNet> {
    const KEY: &str = "server.trusted_proxies";
    let mut networks = Vec::new();
    for text in reader.list(KEY) {
        // With a bit set behind the prefix, somebody meant another network than the one that counts.
        match text.parse::<IpNet>() {
            Ok(network) if network.trunc() == network => networks.push(network),
            _ => {
                let remedy = "give networks in CIDR notation, such as \"10.0.0.0/8\" or, for one \
                     address, \"10.1.2.3/32\"";
                reader.problem(KEY, format!("{} is not valid", shown(&text)), remedy);
            }
        }
    }
    networks
}

fn cors_origins(reader: &mut SettingsReader<'_>) -> Vec<String> {
    const KEY: &str = "server.cors_origins";
    let origins = reader.list(KEY);
    for origin in origins.iter().filter(|origin| !is_web_origin(origin)) {
        let fault = if origin.contains('*') {
            format!("{} is a wildcard, which would let every web page in", shown(origin))
        } else {
            format!("{} is not valid", shown(origin))
        };
        let remedy = "give exact origins as browsers send them: http:// or https://, the host in \
             lower case, and the port unless it is the usual one, such as \"https://app.example.com\"";
        reader.problem(KEY, fault, remedy);
    }
    origins
}

fn cors_headers(reader: &mut SettingsReader<'_>) -> Vec<String> {
    const KEY: &str = "server.cors_headers";
    let headers = reader.list(KEY);
    let is_token = |it: u8| it.is_ascii_lowercase() || it.is_ascii_digit() || it == b'-';
    for header in &headers {
        let fault = if header.is_empty() || !header.bytes().all(is_token) {
            format!("{} is not the name of a header", shown(header))
        } else if header.starts_with("x-daybook-") {
            format!("{} goes with API keys, which do not belong into browsers", shown(header))
        } else {
            continue;
        };
        let remedy = "give names in lower case, such as \"x-tenant\"";
        reader.problem(KEY, fault, remedy);
    }
    headers
}

/// Whether a browser could send this `Origin`. One that no browser sends would never match, and
/// nobody would learn why.
fn is_web_origin(origin: &str) -> bool {
    let Some((scheme, rest)) = origin.split_once("://") else { return false };
    let usual_port = match scheme {
        "http" => 80,
        "https" => 443,
        _ => return false,
    };
    // The port's colon is the one after the brackets of an IPv6 address.
    let (host, port) = match rest.rsplit_once(':') {
        Some((host, port)) if !port.ends_with(']') => (host, Some(port)),
        _ => (rest, None),
    };
    let port_is_valid = port.is_none_or(|text| {
        let number = text.parse::<u16>().ok();
        number.is_some_and(|port| port != usual_port && port > 0 && port.to_string() == text)
    });
    let host_is_valid = if let Some(inner) = host.strip_prefix('[') {
        inner.strip_suffix(']').is_some_and(|it| it.parse::<std::net::Ipv6Addr>().is_ok())
    } else {
        let allowed =
            |it: u8| it.is_ascii_lowercase() || it.is_ascii_digit() || b"-._".contains(&it);
        !host.is_empty() && host.bytes().all(allowed)
    };
    host_is_valid && port_is_valid
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn web_origins_are_exact() {
        for origin in [
            "https://app.example.com",
            "http://localhost:3000",
            "http://127.0.0.1:8080",
            "http://[::1]:3000",
            "https://[::1]",
        ] {
            assert!(is_web_origin(origin), "{origin}");
        }
        for origin in [
            "",
            "*",
            "null",
            "app.example.com",
            "https://*.example.com",
            "https://app.example.com/",
            "https://app.example.com/path",
            "https://App.example.com",
            "https://app.example.com:443",
            "http://app.example.com:80",
            "https://app.example.com:0",
            "https://app.example.com:08080",
            "https://app.example.com:",
            "https://user@app.example.com",
            "ftp://app.example.com",
            "https://",
            "https://[::1",
            "https://::1",
        ] {
            assert!(!is_web_origin(origin), "{origin}");
        }
    }

    #[test]
    fn log_levels_are_filters_without_lone_names() {
        for level in ["info", "WARN", "info,daybook::booking=debug", "off", "daybook[span]=trace"] {
            assert!(is_log_level(level), "{level}");
        }
        for level in ["inof", "info,daybook", "daybook=loud", "", "info,,=,"] {
            assert!(!is_log_level(level), "{level}");
        }
    }
}
