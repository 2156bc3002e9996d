//! What a server says of itself when it starts, to the operator.

use secrecy::ExposeSecret as _;

use crate::{
    app::{Running, ZONE_DATA},
    config::{Config, MailTransport, Profile},
};

/// Says on standard output where the server listens, and how to begin. What cannot be printed is no
/// reason not to serve.
pub(crate) fn greet(running: &Running, has_tls: bool, database: &str) {
    use std::io::Write;
    let Running { address, health_address, .. } = running;
    let health = health_address.map(|at| format!("Health alone, in plaintext: {at}\n"));
    let (health, plain) = (health.unwrap_or_default(), if has_tls { "" } else { " -plaintext" });
    let text = format!(
        "Daybook listens on {address}, database {database}\n{health}Time zone data: IANA {ZONE_DATA}\n\
         First call:\n  grpcurl{plain} -d \
         '{{\"display_name\":\"Dr. Ada\",\"email\":\"ada@example.org\",\"password\":\"correct horse\",\
         \"role\":\"ROLE_PROVIDER\",\"time_zone\":\"Europe/Berlin\"}}' {address} \
         daybook.auth.v1.AuthService/SignUp\n"
    );
    drop(std::io::stdout().write_all(text.as_bytes()));
}

/// What is allowed, and yet may not be meant.
pub(crate) fn warn(config: &Config) {
    let server = &config.server;
    match (&server.tls_certificate_file, server.health_listen) {
        (Some(_), None) => tracing::warn!(
            "health is served with TLS only, which the gRPC probes of Kubernetes do not speak; \
             server.health_listen gives them a port of their own"
        ),
        (None, _) if config.profile == Profile::Production && !server.listen.ip().is_loopback() => {
            tracing::warn!(
                "no TLS: passwords and tokens can be read on the way, unless a proxy or a mesh on this \
                 machine ends it; otherwise set server.tls_certificate_file and server.tls_key_file"
            );
        }
        _ => {}
    }
    let smtp = config.mail.smtp_url.expose_secret();
    if config.profile == Profile::Production
        && config.mail.transport == MailTransport::Smtp
        && smtp.starts_with("smtp://")
        && !smtp.contains("tls=required")
    {
        tracing::warn!(
            "mail may go to its server without TLS, with the codes in it and the server's password: give \
             smtps://, or ?tls=required, unless the server is on this machine"
        );
    }
    if config.profile == Profile::Production && config.mail.transport == MailTransport::Folder {
        tracing::warn!(
            "mail goes into a folder, where nobody gets it: set mail.transport to smtp, or to none"
        );
    }
}
