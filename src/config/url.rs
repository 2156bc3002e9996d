//! The database URL: which engine it names, and how to show it without its password.

use std::fmt;

use secrecy::{ExposeSecret as _, SecretString};

/// What a database URL may look like, as told to the operator.
pub(super) const VALID: &str = "give sqlite:PATH, sqlite::memory:, \
     postgres://USER:PASSWORD@HOST:PORT/NAME or postgresql://…, with / ? # and @ in a password \
     percent-encoded";

/// The query parameters that the drivers know, with the values of those that have only some. What else stands in a
/// `PostgreSQL` URL the driver would pass over with a line in the log.
const PARAMETERS_OF_POSTGRES: [(&str, &[&str]); 18] = [
    ("sslmode", SSL_MODES),
    ("ssl-mode", SSL_MODES),
    ("sslrootcert", &[]),
    ("ssl-root-cert", &[]),
    ("ssl-ca", &[]),
    ("sslcert", &[]),
    ("ssl-cert", &[]),
    ("sslkey", &[]),
    ("ssl-key", &[]),
    ("statement-cache-capacity", &[]),
    ("host", &[]),
    ("hostaddr", &[]),
    ("port", &[]),
    ("dbname", &[]),
    ("user", &[]),
    ("password", &[]),
    ("application_name", &[]),
    ("options", &[]),
];
const SSL_MODES: &[&str] = &["disable", "allow", "prefer", "require", "verify-ca", "verify-full"];
const PARAMETERS_OF_SQLITE: [(&str, &[&str]); 4] = [
    ("mode", &["ro", "rw", "rwc", "memory"]),
    ("cache", &["private", "shared"]),
    ("immutable", &["true", "1", "false", "0"]),
    ("vfs", &[]),
];

/// Query parameters of a `PostgreSQL` URL whose values tell nothing secret.
const SHOWN_PARAMETERS: [&str; 5] = ["sslmode", "host", "port", "dbname", "application_name"];

/// A database engine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Engine {
    /// The embedded engine: a file, or memory.
    Sqlite,
    /// `PostgreSQL`, over the network or a Unix socket.
    Postgres,
}

/// A database URL whose engine is known. `Debug` and `Display` show everything but the secrets:
/// `postgres://daybook:***@db:5432/daybook`.
#[derive(Clone)]
pub struct DatabaseUrl {
    engine: Engine,
    url: SecretString,
    masked: String,
}

/// The text is no database URL that Daybook understands. Holds nothing of the text but a parameter's name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NotADatabaseUrl {
    /// It is another kind of text, or a password in it is not percent-encoded.
    #[error("is not a database URL")]
    Text,
    /// A parameter that no driver knows: it would be ignored, and with it what somebody meant.
    #[error("has a parameter that is not known{}", .0.as_deref().map(|it| format!(": {it}")).unwrap_or_default())]
    Parameter(Option<String>),
    /// A parameter that is known with a value that is not.
    #[error("has the parameter {0} with a value that is not valid; there are {1}")]
    Value(String, String),
}

impl DatabaseUrl {
    /// Accepts `sqlite:PATH`, `sqlite::memory:`, `sqlite://PATH`, `postgres://…` and
    /// `postgresql://…`.
    pub fn parse(url: SecretString) -> Result<Self, NotADatabaseUrl> {
        let text = url.expose_secret();
        let (engine, masked) = if let Some(path) = text.strip_prefix("sqlite:") {
            let path = path.strip_prefix("//").unwrap_or(path);
            if path.is_empty() || path.starts_with('?') {
                return Err(NotADatabaseUrl::Text);
            }
            (Engine::Sqlite, text.to_owned())
        } else {
            let (scheme, rest) = text.split_once("://").ok_or(NotADatabaseUrl::Text)?;
            if !matches!(scheme, "postgres" | "postgresql") {
                return Err(NotADatabaseUrl::Text);
            }
            (Engine::Postgres, format!("{scheme}://{}", mask_postgres(rest)?))
        };
        if text.contains(char::is_control) {
            return Err(NotADatabaseUrl::Text);
        }
        if let Some((_, query)) = text.split_once('?') {
            check_parameters(engine, query)?;
        }
        Ok(Self { engine, url, masked })
    }

    /// Which engine the URL names.
    pub fn engine(&self) -> Engine {
        self.engine
    }

    /// The whole URL with its password, for the database driver and nothing else.
    pub fn expose(&self) -> &str {
        self.url.expose_secret()
    }
}

fn check_parameters(engine: Engine, query: &str) -> Result<(), NotADatabaseUrl> {
    let known: &[(&str, &[&str])] = match engine {
        Engine::Sqlite => &PARAMETERS_OF_SQLITE,
        Engine::Postgres => &PARAMETERS_OF_POSTGRES,
    };
    for part in query.split('&').filter(|part| !part.is_empty()) {
        let (name, value) = part.split_once('=').map_or((part, None), |(n, v)| (n, Some(v)));
        if engine == Engine::Postgres && name.starts_with("options[") {
            continue;
        }
        let Some((_, values)) = known.iter().find(|(it, _)| *it == name) else {
            // Without a = it may be part of a password.
            let is_name = name.bytes().all(|it| it.is_ascii_alphabetic() || b"-_".contains(&it));
            return Err(NotADatabaseUrl::Parameter(
                value.filter(|_| is_name).map(|_| name.to_owned()),
            ));
        };
        if !values.is_empty() && !value.is_some_and(|value| values.contains(&value)) {
            return Err(NotADatabaseUrl::Value(name.to_owned(), values.join(", ")));
        }
    }
    Ok(())
}

/// Everything after `://`, without its secrets.
///
/// A password with a bare `/`, `?`, `#` or `@` moves the borders of the parts, and the mask would
/// then cover the wrong piece. So such a URL is refused instead of shown.
fn mask_postgres(rest: &str) -> Result<String, NotADatabaseUrl> {
    let (authority, tail) = rest.split_at(rest.find(['/', '?', '#']).unwrap_or(rest.len()));
    if tail.contains(['@', '#']) {
        return Err(NotADatabaseUrl::Text);
    }
    let (user_info, host) = match authority.split_once('@') {
        Some((_, host)) if host.contains('@') => return Err(NotADatabaseUrl::Text),
        Some((user_info, host)) => (Some(user_info), host),
        None => (None, authority),
    };
    // After the brackets of an IPv6 address, if it is one.
    let (_, after_name) = host.rsplit_once(']').unwrap_or(("", host));
    if let Some((_, port)) = after_name.split_once(':')
        && (port.is_empty() || port.parse::<u16>().is_err())
    {
        return Err(NotADatabaseUrl::Text);
    }
    let user_info = user_info.map(|user_info| match user_info.split_once(':') {
        Some((user, _)) => format!("{user}:***@"),
        None => format!("{user_info}@"),
    });
    let (path, query) = match tail.split_once('?') {
        Some((path, query)) => (path, Some(mask_query(query))),
        None => (tail, None),
    };
    let query = query.map(|query| format!("?{query}"));
    Ok(format!("{}{host}{path}{}", user_info.unwrap_or_default(), query.unwrap_or_default()))
}

/// The query with the values hidden that are not known to be harmless.
fn mask_query(query: &str) -> String {
    let parts = query.split('&').map(|part| match part.split_once('=') {
        Some((name, _)) if SHOWN_PARAMETERS.contains(&name) => part.to_owned(),
        Some((name, _)) => format!("{name}=***"),
        None => "***".to_owned(),
    });
    parts.collect::<Vec<_>>().join("&")
}

impl fmt::Display for DatabaseUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.masked)
    }
}

impl fmt::Debug for DatabaseUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.masked)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<DatabaseUrl, NotADatabaseUrl> {
        DatabaseUrl::parse(SecretString::from(text))
    }

    #[test]
    fn accepts_both_engines_and_masks_what_is_secret() {
        for (text, engine, shown) in [
            ("sqlite:daybook.db", Engine::Sqlite, "sqlite:daybook.db"),
            (
                "sqlite://data/daybook.db?mode=rwc",
                Engine::Sqlite,
                "sqlite://data/daybook.db?mode=rwc",
            ),
            ("sqlite::memory:", Engine::Sqlite, "sqlite::memory:"),
            (
                "postgres://daybook:hush@db:5432/daybook",
                Engine::Postgres,
                "postgres://daybook:***@db:5432/daybook",
            ),
            ("postgresql://u:hu%40sh:x@h", Engine::Postgres, "postgresql://u:***@h"),
            ("postgres://u:hush@[::1]:5432/d", Engine::Postgres, "postgres://u:***@[::1]:5432/d"),
            ("postgres://u@db/d", Engine::Postgres, "postgres://u@db/d"),
            (
                "postgres:///d?host=/run/pg&password=hush&sslmode=require&options[x]=hush",
                Engine::Postgres,
                "postgres:///d?host=/run/pg&password=***&sslmode=require&options[x]=***",
            ),
        ] {
            let url = parse(text).unwrap_or_else(|_| panic!("{text} is valid"));
            assert_eq!(url.engine(), engine, "{text}");
            assert_eq!(url.expose(), text);
            assert_eq!(url.to_string(), shown);
            assert_eq!(format!("{url:?}"), shown);
        }
    }

    #[test]
    fn refuses_other_schemes_and_what_it_could_not_mask() {
        for text in [
            "",
            "daybook.db",
            "mysql://u:p@h/d",
            "POSTGRES://h/d",
            "postgres:h",
            "sqlite:",
            "sqlite://",
            "sqlite:?mode=rwc",
            "postgres://u:hu/sh@h/d",
            "postgres://u:hu?sh@h/d",
            "postgres://u:hu#sh@h/d",
            "postgres://u:hu@sh@h/d",
            "postgres://h:port/d",
            "postgres://u:p@h/d\n",
        ] {
            assert!(parse(text).is_err(), "{text:?}");
        }
    }

    #[test]
    fn parameters_that_no_driver_knows_are_told() {
        for (text, told) in [
            ("postgres://h/d?sslmod=require", "has a parameter that is not known: sslmod"),
            ("postgres://h/d?SSLMODE=require", "has a parameter that is not known: SSLMODE"),
            ("postgres://h/d?sslmode=require&hush", "has a parameter that is not known"),
            ("postgres://h/d?hu:sh=x", "has a parameter that is not known"),
            ("sqlite:x.db?sslmode=require", "has a parameter that is not known: sslmode"),
            (
                "sqlite:x.db?mode=rwx",
                "has the parameter mode with a value that is not valid; there are ro, rw, rwc, memory",
            ),
            (
                "postgres://h/d?sslmode=on",
                "has the parameter sslmode with a value that is not valid; there are disable, allow, prefer, require, verify-ca, verify-full",
            ),
        ] {
            assert_eq!(parse(text).unwrap_err().to_string(), told, "{text}");
        }
    }
}
