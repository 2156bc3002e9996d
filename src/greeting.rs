//! What a server says of itself when it starts, to the operator.

use crate::{
    app::Running,
    config::{Config, MailTransport, Profile, ServerConfig},
};

/// Says on standard output where the server listens, and how to begin. What cannot be printed is no
/// reason not to serve.
pub(crate) fn greet(running: &Running, flags: &str, database: &str) {
    use std::io::Write;
    let Running { address, health_address, zone_data, .. } = running;
    let health = health_address.map(|at| format!("Health alone, in plaintext: {at}\n"));
    let health = health.unwrap_or_default();
    let text = format!(
        "Daybook listens on {address}, database {database}\n{health}Time zone data: {zone_data}\n\
         First call:\n  grpcurl{flags} -d \
         '{{\"display_name\":\"Dr. Ada\",\"email\":\"ada@example.org\",\"password\":\"correct horse\",\
         \"role\":\"ROLE_PROVIDER\",\"time_zone\":\"Europe/Berlin\"}}' {address} \
         daybook.auth.v1.AuthService/SignUp\n"
    );
    drop(std::io::stdout().write_all(text.as_bytes()));
}

/// What `grpcurl` needs for the first call: a server without reflection does not tell it the methods, so it reads
/// them from this repository.
pub(crate) const fn flags(server: &ServerConfig) -> &'static str {
    match (server.tls_certificate_file.is_some(), server.reflection) {
        (true, true) => "",
        (false, true) => " -plaintext",
        (true, false) => " -import-path proto -proto daybook/auth/v1/auth.proto",
        (false, false) => " -plaintext -import-path proto -proto daybook/auth/v1/auth.proto",
    }
}

/// Tells the log what is allowed, and yet may not be meant.
pub(crate) fn warn(config: &Config) {
    for text in warnings(config) {
        tracing::warn!("{text}");
    }
}

/// What is allowed, and yet may not be meant.
fn warnings(config: &Config) -> Vec<&'static str> {
    let server = &config.server;
    let is_production = config.profile == Profile::Production;
    let mut told = Vec::new();
    if server.tls_certificate_file.is_some() && server.health_listen.is_none() {
        told.push(
            "health is served with TLS only, which the gRPC probes of Kubernetes do not speak; \
             server.health_listen gives them a port of their own",
        );
    }
    let has_tls = server.tls_certificate_file.is_some();
    if is_production && !has_tls && !server.listen.ip().is_loopback() {
        told.push(
            "no TLS: passwords and tokens can be read on the way, unless a proxy or a mesh on this \
             machine ends it; otherwise set server.tls_certificate_file and server.tls_key_file",
        );
    }
    if is_production && config.mail.transport == MailTransport::Smtp && !config.mail.has_tls() {
        told.push(
            "mail may go to its server without TLS, with the codes in it and the server's password: give \
             smtps://, or ?tls=required, unless the server is on this machine",
        );
    }
    if is_production && config.mail.transport == MailTransport::Folder {
        told.push(
            "mail goes into a folder, where nobody gets it: set mail.transport to smtp, or to none",
        );
    }
    told
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Flag, Sources};

    const MAIL: &str = "mail may go to its server without TLS";

    fn told(settings: &[(&str, &str)]) -> Vec<&'static str> {
        let flags = settings.iter().map(|(key, value)| Flag {
            name: format!("--set {key}"),
            key: (*key).to_owned(),
            value: (*value).to_owned(),
        });
        let sources = Sources { flags: flags.collect(), ..Sources::default() };
        let (mut config, _) = Config::load(sources).unwrap_or_else(|e| panic!("{e}"));
        // Not a setting here: production wants a master key that somebody brought.
        config.profile = Profile::Production;
        warnings(&config)
    }

    #[test]
    fn mail_that_may_go_without_tls_is_told_of() {
        for (url, is_told) in [
            ("smtp://mail.example.org", true),
            ("smtp://us:hush@localhost:587", true),
            ("smtp://mail.example.org?tls=opportunistic", true),
            ("smtp://us:tls=required@localhost", true),
            ("SMTP://mail.example.org", true),
            ("smtp://mail.example.org?tls=required", false),
            ("smtps://us:hush@mail.example.org", false),
        ] {
            let told = told(&[("mail.transport", "smtp"), ("mail.smtp_url", url)]);
            assert_eq!(told.iter().any(|text| text.starts_with(MAIL)), is_told, "{url}: {told:?}");
            assert!(told.iter().all(|text| !text.contains("hush")));
        }
        let known = [
            ("mail.transport", "smtp"),
            ("mail.smtp_url", "smtp://mail.example.org"),
            ("mail.smtp_ca_file", "ca.pem"),
        ];
        assert!(told(&known).is_empty());
        let off = [("mail.transport", "none"), ("mail.smtp_url", "smtp://mail.example.org")];
        assert!(told(&off).is_empty());
    }

    #[test]
    fn what_may_not_be_meant_is_told_of() {
        let about = |settings: &[(&str, &str)], words: &str| {
            told(settings).iter().filter(|text| text.contains(words)).count()
        };
        let (none, far) = (("mail.transport", "none"), ("server.listen", "0.0.0.0:50051"));
        assert!(told(&[none]).is_empty());
        assert_eq!(about(&[none, far], "no TLS: passwords"), 1);
        assert_eq!(about(&[("mail.transport", "folder")], "into a folder"), 1);
    }
}
