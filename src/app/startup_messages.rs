//! What a server says of itself to the operator: when it starts, and when it serves.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};

use crate::config::{Config, MailTransport, Profile};

/// What the settings say about the first call that somebody makes.
#[derive(Debug)]
pub(super) struct FirstCall {
    database: String,
    has_tls: bool,
    has_reflection: bool,
    /// As whom strangers may sign up.
    role: &'static str,
}

impl FirstCall {
    /// By these settings.
    pub(super) fn of(config: &Config) -> Self {
        Self {
            database: format!("{:?}", config.database.url),
            has_tls: config.server.tls_certificate_file.is_some(),
            has_reflection: config.server.reflection,
            role: if config.auth.provider_sign_up { "ROLE_PROVIDER" } else { "ROLE_CUSTOMER" },
        }
    }

    /// What `grpcurl` needs: a server without reflection does not tell it the methods, so it reads them from this
    /// repository.
    const fn flags(&self) -> &'static str {
        match (self.has_tls, self.has_reflection) {
            (true, true) => "",
            (false, true) => " -plaintext",
            (true, false) => " -import-path proto -proto daybook/auth/v1/auth.proto",
            (false, false) => " -plaintext -import-path proto -proto daybook/auth/v1/auth.proto",
        }
    }
}

/// Where a server that serves listens, and how to begin.
pub(super) fn text(
    (address, health_address): (SocketAddr, Option<SocketAddr>),
    zone_data: &str,
    first: &FirstCall,
) -> String {
    let health = health_address.map(|at| format!("Health alone, in plaintext: {at}\n"));
    let health = health.unwrap_or_default();
    let (flags, role, database) = (first.flags(), first.role, &first.database);
    let to = reachable(address);
    let place = if first.has_reflection {
        ""
    } else {
        " (in a checkout of Daybook, whose folder proto has the methods)"
    };
    format!(
        "Daybook listens on {address}, database {database}\n{health}Time zone data: {zone_data}\n\
         First call{place}:\n  grpcurl{flags} -d \
         '{{\"display_name\":\"Dr. Ada\",\"email\":\"ada@example.org\",\"password\":\"correct horse\",\
         \"role\":\"{role}\",\"time_zone\":\"Europe/Berlin\"}}' {to} \
         daybook.auth.v1.AuthService/SignUp\n"
    )
}

/// Says it on standard output. What cannot be printed is no reason not to serve.
pub(super) fn say(text: &str) {
    use std::io::Write;
    let mut out = std::io::stdout();
    drop(out.write_all(text.as_bytes()).and_then(|()| out.flush()));
}

/// "Every address" is one to listen on, not to call.
pub fn reachable(mut listen: SocketAddr) -> SocketAddr {
    match listen {
        SocketAddr::V4(v4) if v4.ip().is_unspecified() => listen.set_ip(Ipv4Addr::LOCALHOST.into()),
        SocketAddr::V6(v6) if v6.ip().is_unspecified() => listen.set_ip(Ipv6Addr::LOCALHOST.into()),
        _ => {}
    }
    listen
}

/// Tells the log what is allowed, and yet may not be meant.
pub(super) fn warn(config: &Config) {
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
