//! What operators are told: where it listens and how to begin, a wrong master key, what a command waits for, and letters
//! that are held back.

use std::{
    io::{BufRead, BufReader, Read, Write},
    os::unix::fs::PermissionsExt,
    path::Path,
    process::{Child, Command, Output, Stdio},
};

use daybook::grpc::proto::auth::{
    RequestPasswordResetRequest, Role, SignUpRequest, auth_service_client::AuthServiceClient,
    email_service_client::EmailServiceClient,
};

use crate::support::{
    Engine, connect, database,
    process::{Process, until},
    serving,
};

/// A key that somebody brought, and another one.
const KEYS: [&str; 2] = [
    "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=",
    "IB8eHRwbGhkYFxYVFBMSERAPDg0MCwoJCAcGBQQDAgE=",
];
const WRONG: &str = "the master key is the wrong one";

fn daybook(folder: &Path, args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_daybook"));
    command.current_dir(folder).stdin(Stdio::null()).args(args);
    command.env("DAYBOOK_TIME_ZONES_SYSTEM_FOLDER", "");
    command
}

fn run(folder: &Path, args: &[&str]) -> Output {
    daybook(folder, args).output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn write_key(path: &Path, key: &str) {
    std::fs::write(path, format!("{key}\n")).unwrap();
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600)).unwrap();
}

/// A server that ends with the test, and the lines it says.
struct Serving(Child, BufReader<std::process::ChildStdout>);

impl Serving {
    fn start(folder: &Path, args: &[&str]) -> Self {
        let mut command = daybook(folder, args);
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
        let out = BufReader::new(child.stdout.take().unwrap());
        Self(child, out)
    }

    fn line(&mut self) -> String {
        let mut line = String::new();
        self.1.read_line(&mut line).unwrap();
        line.trim_end().to_owned()
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }
}

/// In production the server tells nobody its methods; the first call that it prints reads them from the repository.
#[tokio::test]
async fn the_first_call_works_in_production() {
    let folder = tempfile::tempdir().unwrap();
    write_key(&folder.path().join("own-key"), KEYS[0]);
    for (closed, role) in [("true", "ROLE_PROVIDER"), ("false", "ROLE_CUSTOMER")] {
        let sign_up = format!("auth.provider_sign_up={closed}");
        let mut args = vec!["--profile", "production", "--listen", "0.0.0.0:0", "--set"];
        args.extend(["auth.master_key_file=own-key", "--set", "mail.transport=none"]);
        args.extend(["--set", &sign_up]);
        let mut server = Serving::start(folder.path(), &args);
        let (greeting, _, what, call) =
            (server.line(), server.line(), server.line(), server.line());
        let port = greeting.split_once(',').unwrap().0.rsplit(':').next().unwrap();
        let address = format!("127.0.0.1:{port}");
        assert!(what.contains("in a checkout of Daybook, whose folder proto"), "{what}");
        let flags =
            "  grpcurl -plaintext -import-path proto -proto daybook/auth/v1/auth.proto -d '";
        let rest = call.strip_prefix(flags).unwrap_or_else(|| panic!("{call}"));
        let (body, rest) = rest.split_once("' ").unwrap();
        assert_eq!(rest, format!("{address} daybook.auth.v1.AuthService/SignUp"));
        let proto = Path::new(env!("CARGO_MANIFEST_DIR")).join("proto/daybook/auth/v1/auth.proto");
        assert!(std::fs::read_to_string(proto).unwrap().contains("rpc SignUp("));
        let body: serde_json::Value = serde_json::from_str(body).unwrap();
        let of = |field: &str| body[field].as_str().unwrap().to_owned();
        assert_eq!(of("role"), role);
        let request = SignUpRequest {
            display_name: of("display_name"),
            email: format!("{closed}-{}", of("email")),
            password: of("password"),
            role: Role::from_str_name(&of("role")).unwrap().into(),
            time_zone: of("time_zone"),
            ..Default::default()
        };
        assert_eq!(body.as_object().unwrap().len(), 5, "{body}");
        // The greeting comes when it serves: nobody has to wait.
        let mut auth = AuthServiceClient::new(connect(&address).await);
        auth.sign_up(request).await.unwrap();
    }
}

/// Every command that needs the master key calls a wrong one that, once, and a server that cannot start says nothing
/// of where it listens.
async fn a_wrong_master_key_is_called_that(engine: Engine) {
    let folder = tempfile::tempdir().unwrap();
    let url = database(engine, folder.path()).await;
    let files = ["right", "wrong"].map(|name| folder.path().join(name));
    files.iter().zip(KEYS).for_each(|(path, key)| write_key(path, key));
    let with = |key: &'static str, rest: &[&'static str]| {
        let mut args = vec!["--listen", "127.0.0.1:0", "--database-url", &url, "--set"];
        args.push(match key {
            "right" => "auth.master_key_file=right",
            "wrong" => "auth.master_key_file=wrong",
            _ => "auth.master_key_file=none",
        });
        args.extend(rest);
        args.into_iter().map(ToOwned::to_owned).collect::<Vec<_>>()
    };
    let told = |key: &'static str, rest: &[&'static str]| {
        let args = with(key, rest);
        let output = run(folder.path(), &args.iter().map(String::as_str).collect::<Vec<_>>());
        (output.status.code(), text(&output.stdout), text(&output.stderr))
    };
    // Before there is anything to try it on.
    let (code, _, error) = told("wrong", &["config", "check"]);
    assert_eq!((code, error.as_str()), (Some(0), ""));
    let args = with("right", &["serve"]);
    let args: Vec<_> = args.iter().map(String::as_str).collect();
    let mut server = Serving::start(folder.path(), &args);
    let address = server.line();
    let address = address.strip_prefix("Daybook listens on ").unwrap().split_once(',').unwrap().0;
    serving(&connect(address).await).await;
    for command in [
        &["serve"][..],
        &["config", "check"],
        &["keys", "rotate"],
        &["keys", "rotate", "--at-once"],
        &["keys", "reseal"],
    ] {
        let (code, out, error) = told("wrong", command);
        assert_eq!(code, Some(1), "{command:?}: {error}");
        assert_eq!(out, "", "{command:?}");
        assert_eq!(error.matches(WRONG).count(), 1, "{command:?}: {error}");
        let defects = error.matches("signing key").count();
        assert_eq!(defects, 2, "{command:?} tells it once, and what to do: {error}");
    }
    let (code, out, error) = told("wrong", &["keys", "list"]);
    assert_eq!((code, error.as_str()), (Some(0), ""));
    assert_eq!(out.matches(WRONG).count(), 1, "{out}");
    let (_, out, _) = told("right", &["keys", "list"]);
    assert!(!out.contains(WRONG), "{out}");
    // A development start would make one, which is another one.
    let (code, _, error) = told("none", &["config", "check"]);
    assert_eq!(code, Some(1), "{error}");
    assert!(error.contains(WRONG) && !folder.path().join("none").exists(), "{error}");
    let (code, out, error) = told("right", &["config", "check"]);
    assert_eq!((code, error.as_str()), (Some(0), ""));
    assert!(!out.contains("Warning"), "{out}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_master_key_is_called_that_on_sqlite() {
    a_wrong_master_key_is_called_that(Engine::Sqlite).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_master_key_is_called_that_on_postgres() {
    a_wrong_master_key_is_called_that(Engine::Postgres).await;
}

#[test]
fn a_check_without_the_database_says_what_was_not_found_out() {
    let folder = tempfile::tempdir().unwrap();
    write_key(&folder.path().join("daybook-master-key"), KEYS[0]);
    // Nobody listens there.
    let url = "postgres://me:hunter2@127.0.0.1:1/daybook";
    let args = ["--database-url", url, "--set", "database.acquire_timeout_ms=500"];
    let output = run(folder.path(), &[&args[..], &["config", "check"]].concat());
    let (out, error) = (text(&output.stdout), text(&output.stderr));
    assert!(output.status.success(), "{error}");
    let told = "Warning: whether the master key is the right one was not found out: ";
    assert!(out.contains(told) && !out.contains("hunter2"), "{out}");
    assert!(out.contains("The configuration is valid"), "{out}");
}

/// No command waits for a terminal that is not there, and each that is refused says why in one sentence.
#[test]
fn without_a_terminal_no_command_hangs_and_errors_are_sentences() {
    let folder = tempfile::tempdir().unwrap();
    let who = ["admin", "create", "--name", "Ada", "--email", "ada@example.org"];
    let down = ["migrate", "down"];
    let drifted = ["appointments", "drifted"];
    let forget = ["audit", "forget", "--before", "2020-01-01"];
    let nobody = ["healthcheck", "--address", "http://127.0.0.1:1"];
    for (args, code) in [
        (&who[..], 1),
        (&down, 2),
        (&drifted, 1),
        (&forget, 1),
        (&["keys", "list"], 1),
        (&["keys", "rotate"], 1),
        (&["keys", "reseal"], 1),
        (&nobody, 1),
        (&["--config", "none.toml", "serve"], 2),
    ] {
        // Of no terminal at all: a session of its own has none.
        let output = Command::new("setsid")
            .args(["--wait", env!("CARGO_BIN_EXE_daybook")])
            .args(args)
            .current_dir(folder.path())
            .env("DAYBOOK_TIME_ZONES_SYSTEM_FOLDER", "")
            .stdin(Stdio::null())
            .output()
            .unwrap();
        let error = text(&output.stderr);
        assert_eq!(output.status.code(), Some(code), "{args:?}: {error}");
        let said: Vec<_> = error.lines().filter(|line| line.starts_with("daybook: ")).collect();
        assert_eq!(said.len(), 1, "{args:?}: {error}");
        let sentence = said[0].trim_start_matches("daybook: ");
        assert!(sentence.split(' ').count() > 3 && !sentence.contains("Error"), "{error}");
        for debug in ["Some(", "Os {", "kind:", "panicked", "RUST_BACKTRACE"] {
            assert!(!error.contains(debug), "{args:?}: {error}");
        }
    }
    let no_text = daybook(folder.path(), &who).stdin(Stdio::piped()).stderr(Stdio::piped()).spawn();
    let mut no_text = no_text.unwrap();
    no_text.stdin.take().unwrap().write_all(b"\xff\xfe\n").unwrap();
    let output = no_text.wait_with_output().unwrap();
    let told = "daybook: the password cannot be read from standard input: ";
    assert!(text(&output.stderr).contains(told), "{}", text(&output.stderr));
}

/// Who pipes nothing in is told what is waited for.
#[test]
fn a_command_says_that_it_waits_for_the_password() {
    let folder = tempfile::tempdir().unwrap();
    let who = ["admin", "create", "--name", "Ada", "--email", "ada@example.org"];
    let mut child = daybook(folder.path(), &who)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stderr.take().unwrap());
    let mut said = String::new();
    lines.read_line(&mut said).unwrap();
    assert_eq!(said, "daybook: waiting for the password, as one line on standard input\n");
    child.stdin.take().unwrap().write_all(b"correct horse battery\n").unwrap();
    assert!(child.wait().unwrap().success());
    let mut rest = String::new();
    lines.read_to_string(&mut rest).unwrap();
    assert!(!rest.contains("waiting"), "{rest}");
}

async fn letters_that_are_held_back_are_in_the_log(engine: Engine) {
    let settings = [("mail.transport", "folder"), ("auth.attempts_per_address", "1000")];
    let process = Process::start(engine, &settings).await;
    let customer = process.customers(1).await.remove(0);
    let mut client = EmailServiceClient::new(process.channel.clone());
    let email = customer.user.email.clone();
    let held = "an email was held back: there were too many to one address lately";
    for count in 1..=7 {
        let request = RequestPasswordResetRequest { email: email.clone(), ..Default::default() };
        client.request_password_reset(request).await.unwrap();
        let told = count.max(5) - 5;
        let is_told = async || process.log().matches(held).count() == told;
        until(10, &format!("{told} are told of"), is_told).await;
    }
    let log = process.log();
    let line = log.lines().find(|line| line.contains(held)).unwrap();
    // The fifth one began the delays.
    let line: serde_json::Value = serde_json::from_str(line).unwrap();
    let wait = line["wait_seconds"].as_i64().unwrap();
    assert!((240..=300).contains(&wait) && line["purpose"] == "reset", "{line}");
    assert!(!log.contains(&email), "{log}");
}

#[tokio::test(flavor = "multi_thread")]
async fn letters_that_are_held_back_are_in_the_log_on_sqlite() {
    letters_that_are_held_back_are_in_the_log(Engine::Sqlite).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn letters_that_are_held_back_are_in_the_log_on_postgres() {
    letters_that_are_held_back_are_in_the_log(Engine::Postgres).await;
}
