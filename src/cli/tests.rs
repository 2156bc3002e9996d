//! The command line: its flags, what it reads, and what it says.

use clap::CommandFactory as _;

use std::path::PathBuf;

use super::{args::assignment, input::first_line, *};

#[test]
fn the_command_line_is_well_formed() {
    Cli::command().debug_assert();
}

#[test]
fn flags_name_their_settings() {
    let line = [
        "daybook",
        "--listen",
        "[::1]:1",
        "migrate",
        "down",
        "--steps",
        "3",
        "--set",
        "auth.issuer=a=b",
        "--profile=production",
    ];
    let cli = Cli::try_parse_from(line).unwrap();
    assert!(matches!(cli.command, Some(Command::Migrate(Migrate::Down { steps: 3, yes: false }))));
    let flags = cli.settings.into_flags();
    let flags: Vec<_> = flags
        .iter()
        .map(|flag| (flag.name.as_str(), flag.key.as_str(), flag.value.as_str()))
        .collect();
    assert_eq!(
        flags,
        [
            ("--profile", "profile", "production"),
            ("--listen", "server.listen", "[::1]:1"),
            ("--set auth.issuer", "auth.issuer", "a=b"),
        ]
    );
}

#[test]
fn every_flag_names_a_setting_that_exists() {
    let line = [
        "daybook",
        "--profile=development",
        "--database-url=sqlite::memory:",
        "--listen=127.0.0.1:0",
        "--log-level=off",
        "--log-format=json",
    ];
    let flags = Cli::try_parse_from(line).unwrap().settings.into_flags();
    assert_eq!(flags.len(), 5);
    assert!(Config::load(Sources { flags, ..Sources::default() }).is_ok());
}

#[test]
fn a_password_is_never_an_argument() {
    let line = ["daybook", "admin", "create", "--name=A", "--email=a@b.c", "--password=x"];
    assert!(Cli::try_parse_from(line).is_err());
}

#[test]
fn an_assignment_has_a_name_and_a_value() {
    assert_eq!(assignment("a.b= c"), Ok(("a.b".to_owned(), " c".to_owned())));
    assert!(assignment("a.b").is_err());
    assert!(assignment("=c").is_err());
}

#[test]
fn the_health_check_calls_this_machine() {
    let (config, _) = Config::load(Sources::default()).unwrap();
    let mut server = config.server;
    for (listen, url) in [
        ("0.0.0.0:50051", "http://127.0.0.1:50051"),
        ("[::]:50051", "http://[::1]:50051"),
        ("10.0.0.1:1", "http://10.0.0.1:1"),
    ] {
        server.listen = listen.parse().unwrap();
        assert_eq!(local_url(&server), url);
    }
    server.tls_certificate_file = Some(PathBuf::from("tls.crt"));
    assert_eq!(local_url(&server), "https://10.0.0.1:1");
    server.health_listen = Some("0.0.0.0:2".parse().unwrap());
    assert_eq!(local_url(&server), "http://127.0.0.1:2");
}

#[test]
fn a_password_is_one_line() {
    for (input, password) in
        [("pass word \r\nmore", "pass word "), ("x", "x"), ("", ""), ("\n", "")]
    {
        assert_eq!(first_line(input.as_bytes()).unwrap(), password);
    }
    assert!(first_line("x".repeat(5000).as_bytes()).is_err());
}

#[test]
fn causes_are_told_once() {
    #[derive(Debug, thiserror::Error)]
    #[error("{text}")]
    struct Told {
        text: &'static str,
        source: Option<Box<Told>>,
    }
    let inner = Told { text: "disk full", source: None };
    let middle = Told { text: "cannot write: disk full", source: Some(Box::new(inner)) };
    let outer = Told { text: "no backup", source: Some(Box::new(middle)) };
    assert_eq!(chain(&outer), "no backup: cannot write: disk full");
}
