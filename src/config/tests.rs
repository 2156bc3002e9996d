//! Layers, names, secrets and the reference, from the outside.

use std::ffi::OsString;
use std::fs;

use super::layers::environment_name;
use super::*;

/// A password that must never be seen.
pub(super) const HUSH: &str = "hush-hush";

fn file(text: &str) -> SettingsFile {
    SettingsFile { name: "daybook.toml".to_owned(), text: text.to_owned() }
}

fn environment(pairs: &[(&str, &str)]) -> Vec<(OsString, OsString)> {
    pairs.iter().map(|(name, value)| (name.into(), value.into())).collect()
}

fn flags(pairs: &[(&str, &str)]) -> Vec<Flag> {
    let flag = |&(key, value): &(&str, &str)| Flag {
        name: format!("--set {key}"),
        key: key.to_owned(),
        value: value.to_owned(),
    };
    pairs.iter().map(flag).collect()
}

pub(super) fn load(
    file_text: &str,
    variables: &[(&str, &str)],
    given: &[(&str, &str)],
) -> Result<(Config, Origins), Problems> {
    Config::load(Sources {
        file: Some(file(file_text)),
        environment: environment(variables),
        flags: flags(given),
    })
}

/// The problems, one a line, checked to hold no secret.
pub(super) fn problems(
    file_text: &str,
    variables: &[(&str, &str)],
    given: &[(&str, &str)],
) -> Vec<String> {
    let problems = load(file_text, variables, given).expect_err("must not load");
    assert!(!format!("{problems:?}{problems}").contains(HUSH), "{problems}");
    problems.iter().map(ToString::to_string).collect()
}

#[test]
fn each_layer_wins_over_those_before_it() {
    let in_file = "[auth]\nissuer = \"file\"\n";
    let in_environment = [("DAYBOOK_AUTH_ISSUER", "environment"), ("HOME", "elsewhere")];
    let in_flags = [("auth.issuer", "flag")];
    for (text, variables, given, issuer, origin) in [
        ("", &[][..], &[][..], "daybook", "default"),
        (in_file, &[], &[], "file", "file daybook.toml"),
        (in_file, &in_environment, &[], "environment", "environment DAYBOOK_AUTH_ISSUER"),
        (in_file, &in_environment, &in_flags, "flag", "flag --set auth.issuer"),
        (in_file, &[], &in_flags, "flag", "flag --set auth.issuer"),
        ("", &in_environment, &[], "environment", "environment DAYBOOK_AUTH_ISSUER"),
    ] {
        let (config, origins) = load(text, variables, given).unwrap();
        assert_eq!(config.auth.issuer, issuer);
        assert_eq!(origins.get("auth.issuer").unwrap().to_string(), origin);
        assert_eq!(origins.get("auth.audience"), Some(&Origin::Default));
    }
}

#[test]
fn every_type_can_be_given_in_every_layer() {
    let (config, _) = load(
        "profile = \"production\"\nserver.listen = \"[::]:1\"\nserver.reflection = false\n\
         server.cors_origins = [\"https://a.example\"]\nserver.max_in_flight = 7\n",
        &[],
        &[],
    )
    .unwrap();
    assert_eq!(config.profile, Profile::Production);
    assert_eq!(config.server.listen.to_string(), "[::]:1");
    assert!(!config.server.reflection);
    assert_eq!(config.server.cors_origins, ["https://a.example"]);
    assert_eq!(config.server.max_in_flight, 7);

    for list in ["https://a.example, http://b:1", "[\"https://a.example\", \"http://b:1\"]"] {
        let pairs = [
            ("DAYBOOK_PROFILE", "production"),
            ("DAYBOOK_SERVER_CORS_ORIGINS", list),
            ("DAYBOOK_SERVER_MAX_IN_FLIGHT", "7"),
            ("DAYBOOK_SERVER_REFLECTION", "false"),
        ];
        let (config, _) = load("", &pairs, &[]).unwrap();
        assert_eq!(config.profile, Profile::Production);
        assert_eq!(config.server.cors_origins, ["https://a.example", "http://b:1"]);
        assert_eq!(config.server.max_in_flight, 7);
        assert!(!config.server.reflection);
    }
    let (config, _) = load("", &[("DAYBOOK_SCHEDULE_DEFAULT_HOURS", "")], &[]).unwrap();
    assert!(config.schedule.default_hours.is_empty());
}

#[test]
fn unknown_names_are_refused_with_the_nearest_one() {
    let found = problems(
        "lissten = 1\nserver.max_conections = 1\nlog = 5\n[servr]\n[server.listen]\nx = 1\n",
        &[("DAYBOOK_SERVR_LISTEN", HUSH), ("DAYBOOK_LISTEN", HUSH)],
        &[("databse.url", HUSH), ("auth.maximum", "1")],
    );
    insta::assert_snapshot!(found.join("\n"), @r#"
    lissten (file daybook.toml): is not a setting; the nearest one is server.listen
    log (file daybook.toml): is a section, not a setting; write [log]
    server.listen.x (file daybook.toml): is not a setting; the nearest one is server.listen
    server.max_conections (file daybook.toml): is not a setting; the nearest one is server.max_connections
    servr (file daybook.toml): is not a section; the nearest one is [server]
    DAYBOOK_SERVR_LISTEN (environment): is not a setting; the nearest one is DAYBOOK_SERVER_LISTEN
    DAYBOOK_LISTEN (environment): is not a setting; the nearest one is DAYBOOK_SERVER_LISTEN
    databse.url (flag --set databse.url): is not a setting; the nearest one is database.url
    auth.maximum (flag --set auth.maximum): is not a setting; remove it; `daybook config print` shows all settings
    "#);
}

#[test]
fn settings_that_there_were_once_are_refused_with_what_took_their_place() {
    let found = problems(
        "[auth]\nsigning_key_file = \"old.pem\"\n",
        &[("DAYBOOK_AUTH_SIGNING_KEY", HUSH), ("DAYBOOK_AUTH_SIGNING_KEY_FILE", HUSH)],
        &[("auth.signing_key", HUSH)],
    );
    let starts = [
        "auth.signing_key_file (file daybook.toml)",
        "DAYBOOK_AUTH_SIGNING_KEY (environment)",
        "DAYBOOK_AUTH_SIGNING_KEY_FILE (environment)",
        "auth.signing_key (flag --set auth.signing_key)",
    ];
    assert_eq!(found.len(), starts.len(), "{found:?}");
    for (found, start) in found.iter().zip(starts) {
        assert!(found.starts_with(&format!("{start}: is no longer a setting; ")), "{found}");
        assert!(found.contains("auth.master_key_file (openssl rand -base64 32)"), "{found}");
    }
}

#[test]
fn all_problems_are_told_at_once() {
    let found = problems(
        "[server]\nmax_connections = 0\nmax_in_flight = \"7\"\nreflection = \"yes\"\n\
         default_deadline_ms = 20_000\n\
         cors_origins = [\"*\", \"https://a.example/\", \"https://b.example\"]\n\
         [schedule]\ndefault_hours = [\"mon 9-17\", \"tue 09:00-12:00\", \"tue 11:00-13:00\"]\n\
         default_slot_minutes = 600\n[log]\nlevel = \"inof\"\n",
        &[
            ("DAYBOOK_SERVER_LISTEN", "localhost"),
            ("DAYBOOK_SERVER_MAX_DEADLINE_MS", "15000"),
            ("DAYBOOK_DATABASE_URL", "mysql://daybook:hush-hush@db/daybook"),
            ("DAYBOOK_AUTH_HASH_ITERATIONS", "two"),
            ("DAYBOOK_AUTH_ISSUER", " "),
            ("DAYBOOK_AUTH_MASTER_KEY", ""),
        ],
        &[("profile", "prod"), ("log.format", "xml"), ("log.format", "json")],
    );
    insta::assert_snapshot!(found.join("\n"), @r#"
    log.format (flag --set log.format): is given twice, also by flag --set log.format; give one of the two
    profile (flag --set profile): "prod" is not valid; give "development" or "production"
    server.listen (environment DAYBOOK_SERVER_LISTEN): "localhost" is not valid; give an IP address and a port, such as "127.0.0.1:50051" or "[::]:50051"
    server.max_connections (file daybook.toml): 0 is not valid; give a whole number from 1 to 1000000
    server.max_in_flight (file daybook.toml): "7" is not valid; give a whole number from 1 to 100000
    server.cors_origins (file daybook.toml): "*" is a wildcard, which would let every web page in; give exact origins as browsers send them: http:// or https://, the host in lower case, and the port unless it is the usual one, such as "https://app.example.com"
    server.cors_origins (file daybook.toml): "https://a.example/" is not valid; give exact origins as browsers send them: http:// or https://, the host in lower case, and the port unless it is the usual one, such as "https://app.example.com"
    server.reflection (file daybook.toml): "yes" is not valid; give true or false
    server.default_deadline_ms (file daybook.toml): 20000 is above server.max_deadline_ms, which is 15000 (environment DAYBOOK_SERVER_MAX_DEADLINE_MS); lower server.default_deadline_ms or raise server.max_deadline_ms
    database.url (environment DAYBOOK_DATABASE_URL): is not a database URL; give sqlite:PATH, sqlite::memory:, postgres://USER:PASSWORD@HOST:PORT/NAME or postgresql://…, with / ? # and @ in a password percent-encoded
    auth.issuer (environment DAYBOOK_AUTH_ISSUER): " " is not valid; give a text of 1 to 200 characters on one line
    auth.master_key (environment DAYBOOK_AUTH_MASTER_KEY): is empty; give 32 random bytes in base64, or the path of a file with them as master_key_file
    auth.hash_iterations (environment DAYBOOK_AUTH_HASH_ITERATIONS): "two" is not valid; give a whole number from 2 to 20
    schedule.default_hours (file daybook.toml): "mon 9-17" is not valid; give a day and its hours, such as "mon 09:00-17:00"
    schedule.default_hours (file daybook.toml): "tue 11:00-13:00" overlaps "tue 09:00-12:00"; join the two or move one
    schedule.default_slot_minutes (file daybook.toml): 600 is above schedule.default_longest_minutes, which is 480 (default); lower schedule.default_slot_minutes or raise schedule.default_longest_minutes
    log.level (file daybook.toml): "inof" is not valid; give off, error, warn, info, debug or trace, also for single parts: "info,daybook::booking=debug"
    log.format (flag --set log.format): "xml" is not valid; give "auto" or "text" or "json"
    "#);
}

#[test]
fn trusted_proxies_are_networks() {
    let given = [("server.trusted_proxies", "10.0.0.0/8, 192.0.2.1/32, fd00::/8")];
    let (config, _) = load("", &[], &given).unwrap();
    let networks: Vec<_> = config.server.trusted_proxies.iter().map(ToString::to_string).collect();
    assert_eq!(networks, ["10.0.0.0/8", "192.0.2.1/32", "fd00::/8"]);
    for bad in ["10.0.0.1", "10.0.0.1/8", "10.0.0.0/33", "proxy.example", "*", "fd00::1/8"] {
        let found = problems("", &[], &[("server.trusted_proxies", bad)]);
        assert!(found.len() == 1 && found[0].contains("CIDR"), "{bad}: {found:?}");
    }
}

#[test]
fn those_who_must_have_a_second_factor_are_roles() {
    let given = [("auth.second_factor_required_for", "admin, provider")];
    let (config, _) = load("", &[], &given).unwrap();
    assert_eq!(config.auth.second_factor_required_for, [Role::Admin, Role::Provider]);
    let found = problems(
        "[auth]\nsecond_factor_required_for = [\"admin\", \"boss\", \"admin\"]\n\
         second_factor_issuer = \"a:b\"\n",
        &[],
        &[],
    );
    insta::assert_snapshot!(found.join("\n"), @r#"
    auth.second_factor_required_for (file daybook.toml): "boss" is not valid; give roles: "admin", "provider", "customer"
    auth.second_factor_required_for (file daybook.toml): "admin" is there twice; give it once
    auth.second_factor_issuer (file daybook.toml): "a:b" has a colon; leave the colon out
    "#);
}

#[test]
fn production_offers_reflection_only_where_it_is_asked_for() {
    const KEY: &str = "server.reflection";
    let by_flag = [(KEY, "true")];
    let by_variable = [("DAYBOOK_SERVER_REFLECTION", "true")];
    let off = "reflection = false  # from default of production\n";
    for (text, variables, flags, profile, line) in [
        ("", &[][..], &[][..], "development", "reflection = true  # from default\n"),
        ("", &[], &[], "production", off),
        ("[server]\nlisten = \"[::]:1\"\n", &[], &[], "production", off),
        ("server.reflection = true", &[], &[], "production", "true  # from file daybook.toml\n"),
        ("server.reflection = false", &[], &[], "production", "false  # from file daybook.toml\n"),
        ("", &by_variable, &[], "production", "true  # from environment DAYBOOK_SERVER_REFLECTION"),
        ("", &[], &by_flag, "production", "true  # from flag --set server.reflection\n"),
        ("server.reflection = false", &[], &[], "development", "= false  # from file"),
    ] {
        let flags: Vec<_> = flags.iter().copied().chain([("profile", profile)]).collect();
        let (config, origins) = load(text, variables, &flags).unwrap();
        let printed = config.render(&origins);
        assert!(printed.contains(line), "{line}: {printed}");
        assert_eq!(config.server.reflection, line.contains("true"), "{text:?} {profile}");
        // A problem with a setting names where it comes from, so there is one origin for each.
        assert!(origins.get(KEY).is_some());
        let (again, _) = load(&printed, &[], &[]).unwrap();
        assert_eq!(again.server.reflection, config.server.reflection);
    }
}

#[test]
fn half_of_tls_is_refused() {
    for (given, fault) in [
        (&[("server.tls_certificate_file", "a")][..], "without server.tls_key_file"),
        (&[("server.tls_key_file", "a")], "without server.tls_certificate_file"),
        (&[("server.tls_client_ca_file", "a")], "without server.tls_certificate_file"),
    ] {
        let found = problems("", &[], given);
        assert!(found.len() == 1 && found[0].contains(fault), "{found:?}");
    }
}

#[test]
fn a_fault_in_the_file_is_told_by_line_without_its_text() {
    let found = problems("[database]\n# ok\nurl = \"postgres://u:hush-hush@h\n", &[], &[]);
    insta::assert_snapshot!(found.join("\n"), @r#"
    line 3 (file daybook.toml): is not valid TOML: invalid basic string, expected `"`; correct the line
    "#);
}

#[test]
fn several_problems_are_one_a_line() {
    let problems = load("a = 1\nb = 2", &[], &[]).unwrap_err().to_string();
    assert_eq!(problems.lines().count(), 3);
    assert!(problems.starts_with("the configuration has 2 problems:\n  a (file daybook.toml): "));
}

#[cfg(unix)]
#[test]
fn a_variable_that_is_no_text_is_a_problem() {
    use std::os::unix::ffi::OsStringExt as _;
    let environment = vec![("DAYBOOK_AUTH_ISSUER".into(), OsString::from_vec(vec![0xff]))];
    let problems = Config::load(Sources { environment, ..Sources::default() }).unwrap_err();
    assert!(problems.to_string().contains("DAYBOOK_AUTH_ISSUER): is not valid Unicode"));
}

#[test]
fn variables_of_kubernetes_services_do_not_stop_the_start() {
    let links = [
        ("DAYBOOK_SERVICE_HOST", "10.0.0.1"),
        ("DAYBOOK_SERVICE_PORT", "50051"),
        ("DAYBOOK_SERVICE_PORT_GRPC", "50051"),
        ("DAYBOOK_PORT", "tcp://10.0.0.1:50051"),
        ("DAYBOOK_PORT_50051_TCP", "tcp://10.0.0.1:50051"),
        ("DAYBOOK_PORT_50051_TCP_PROTO", "tcp"),
        ("DAYBOOK_DB_PORT_5432_TCP_ADDR", "10.0.0.1"),
        ("DAYBOOK_DB_SERVICE_HOST", "10.0.0.2"),
    ];
    load("", &links, &[]).unwrap();
    assert!(load("", &[("DAYBOOK_PORT", "50051")], &[]).is_err());
}

#[test]
fn sources_do_not_show_their_values() {
    let sources = Sources {
        file: Some(file(&format!("database.url = \"postgres://u:{HUSH}@h/d\""))),
        environment: Vec::new(),
        flags: flags(&[("database.url", HUSH)]),
    };
    assert!(!format!("{sources:?}").contains(HUSH));
}

#[test]
fn a_named_file_must_exist() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("daybook.toml");
    assert!(SettingsFile::find(Some(&path)).is_err());
    fs::write(&path, "profile = \"production\"").unwrap();
    let found = SettingsFile::find(Some(&path)).unwrap().unwrap();
    assert_eq!(found.name, path.display().to_string());
    assert_eq!(found.text, "profile = \"production\"");
}

#[test]
fn the_defaults_and_the_typed_configuration_have_the_same_settings_in_the_same_order() {
    let (config, origins) = Config::load(Sources::default()).unwrap();
    let typed: Vec<_> = config.entries().into_iter().map(|(key, _)| key.to_owned()).collect();
    let mut section = String::new();
    let mut documented = Vec::new();
    for line in DEFAULTS.lines() {
        if let Some(name) = line.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
            section = format!("{name}.");
        } else if let Some((key, _)) = line.split_once(" = ").filter(|_| !line.starts_with('#')) {
            documented.push(format!("{section}{key}"));
        }
    }
    assert_eq!(documented, typed);
    // What was read is what there is: nothing in default.toml is ignored.
    let mut sorted = documented;
    sorted.sort();
    assert_eq!(origins.0.into_keys().collect::<Vec<_>>(), sorted);
}

#[test]
fn every_default_has_its_own_comment() {
    let mut before = "";
    for line in DEFAULTS.lines() {
        if line.split_once(" = ").is_some() && !line.starts_with('#') {
            assert!(before.starts_with("# "), "{line}");
        }
        before = line;
    }
}

#[test]
fn every_setting_has_one_environment_name() {
    let (config, _) = Config::load(Sources::default()).unwrap();
    let names: std::collections::BTreeSet<_> =
        config.entries().into_iter().map(|(key, _)| environment_name(key)).collect();
    assert_eq!(names.len(), config.entries().len());
    assert!(names.contains("DAYBOOK_AUTH_ACCESS_TOKEN_TTL_SECONDS"));
}

#[test]
fn what_is_printed_can_be_read_back() {
    let (config, origins) = Config::load(Sources::default()).unwrap();
    let printed = config.render(&origins);
    let (again, _) = load(&printed, &[], &[]).unwrap();
    assert_eq!(again.entries(), config.entries());
    let (defaults_as_file, _) = load(DEFAULTS, &[], &[]).unwrap();
    assert_eq!(defaults_as_file.entries(), config.entries());
}

#[test]
fn the_defaults_are_printed_with_their_origin() {
    let (config, origins) = Config::load(Sources::default()).unwrap();
    insta::assert_snapshot!(config.render(&origins), @r#"
    profile = "development"  # from default

    [server]
    listen = "127.0.0.1:50051"  # from default
    health_listen = ""  # from default
    tls_certificate_file = ""  # from default
    tls_key_file = ""  # from default
    tls_client_ca_file = ""  # from default
    trusted_proxies = []  # from default
    max_connections = 1024  # from default
    max_connections_per_address = 512  # from default
    max_streams_per_connection = 256  # from default
    max_in_flight = 512  # from default
    max_log_ins_in_flight = 128  # from default
    max_writes_in_flight = 384  # from default
    max_reads_in_flight = 384  # from default
    max_streams = 1024  # from default
    max_watches = 1024  # from default
    max_watches_per_caller = 64  # from default
    caller_reads_per_second = 50  # from default
    caller_reads_burst = 200  # from default
    caller_writes_per_second = 20  # from default
    caller_writes_burst = 100  # from default
    address_calls_per_second = 200  # from default
    address_calls_burst = 1000  # from default
    address_connections_per_second = 50  # from default
    address_connections_burst = 500  # from default
    max_message_bytes = 65536  # from default
    default_deadline_ms = 10000  # from default
    max_deadline_ms = 30000  # from default
    first_bytes_timeout_ms = 5000  # from default
    drain_delay_ms = 0  # from default
    drain_timeout_ms = 20000  # from default
    cors_origins = []  # from default
    cors_headers = []  # from default
    reflection = true  # from default
    public_booking_pages = false  # from default

    [database]
    url = "sqlite:daybook.db"  # from default
    max_connections = 16  # from default
    acquire_timeout_ms = 3000  # from default
    migrate_on_start = true  # from default

    [auth]
    issuer = "daybook"  # from default
    audience = "daybook"  # from default
    access_token_ttl_seconds = 300  # from default
    session_idle_hours = 336  # from default
    session_lifetime_hours = 2160  # from default
    attempts_per_account = 10  # from default
    attempts_per_address = 100  # from default
    attempts_in_all = 1000  # from default
    second_factor_required_for = []  # from default
    second_factor_issuer = "Daybook"  # from default
    master_key_file = "daybook-master-key"  # from default
    signing_key_rotation_hours = 720  # from default
    signing_key_lead_seconds = 900  # from default
    verify_email = false  # from default
    provider_sign_up = true  # from default
    password_min_length = 8  # from default
    password_min_strength = 3  # from default
    password_peppers_file = ""  # from default
    hash_memory_kib = 19456  # from default
    hash_iterations = 2  # from default
    hash_parallelism = 1  # from default
    hash_workers = 0  # from default
    hash_queue = 64  # from default

    [mail]
    transport = "folder"  # from default
    folder = "daybook-mail"  # from default
    smtp_url = ""  # from default
    smtp_ca_file = ""  # from default
    from = "Daybook <daybook@localhost>"  # from default
    pages_url = ""  # from default
    templates_folder = ""  # from default

    [schedule]
    default_hours = ["mon 09:00-17:00", "tue 09:00-17:00", "wed 09:00-17:00", "thu 09:00-17:00", "fri 09:00-17:00"]  # from default
    default_slot_minutes = 30  # from default
    default_longest_minutes = 480  # from default
    first_day_of_week = "mon"  # from default
    interval_least_minutes = 1  # from default
    interval_grid_minutes = 1  # from default
    interval_horizon_days = 3650  # from default

    [events]
    feed_days = 30  # from default

    [time_zones]
    folder = ""  # from default
    system_folder = "/usr/share/zoneinfo"  # from default

    [log]
    level = "info,sea_orm_migration=warn,sqlx::postgres::notice=warn"  # from default
    format = "auto"  # from default
    "#);
}
