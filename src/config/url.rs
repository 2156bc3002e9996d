//! The database URL: which engine it names, and how to show it without its password.

use std::fmt;

use secrecy::{ExposeSecret as _, SecretString};

/// What a database URL may look like, as told to the operator.
pub(super) const VALID: &str = "give sqlite:PATH, sqlite::memory:, \
     postgres://USER:PASSWORD@HOST:PORT/NAME or postgresql://…, with / ? # and @ in a password \
     percent-encoded";

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

/// The text is no database URL that Daybook understands. Does not hold the text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("is not a database URL")]
pub struct NotADatabaseUrl;

impl DatabaseUrl {
    /// Accepts `sqlite:PATH`, `sqlite::memory:`, `sqlite://PATH`, `postgres://…` and
    /// `postgresql://…`.
    pub fn parse(url: SecretString) -> Result<Self, NotADatabaseUrl> {
        let text = url.expose_secret();
        let (engine, masked) = if let Some(path) = text.strip_prefix("sqlite:") {
            let path = path.strip_prefix("//").unwrap_or(path);
            if path.is_empty() || path.starts_with('?') {
                return Err(NotADatabaseUrl);
            }
            (Engine::Sqlite, text.to_owned())
        } else {
            let (scheme, rest) = text.split_once("://").ok_or(NotADatabaseUrl)?;
            if !matches!(scheme, "postgres" | "postgresql") {
                return Err(NotADatabaseUrl);
            }
            (Engine::Postgres, format!("{scheme}://{}", mask_postgres(rest)?))
        };
        if text.contains(char::is_control) {
            return Err(NotADatabaseUrl);
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

/// Everything after `://`, without its secrets.
///
/// A password with a bare `/`, `?`, `#` or `@` moves the borders of the parts, and the mask would
/// then cover the wrong piece. So such a URL is refused instead of shown.
fn mask_postgres(rest: &str) -> Result<String, NotADatabaseUrl> {
    let (authority, tail) = rest.split_at(rest.find(['/', '?', '#']).unwrap_or(rest.len()));
    if tail.contains(['@', '#']) {
        return Err(NotADatabaseUrl);
    }
    let (user_info, host) = match authority.split_once('@') {
        Some((_, host)) if host.contains('@') => return Err(NotADatabaseUrl),
        Some((user_info, host)) => (Some(user_info), host),
        None => (None, authority),
    };
    // After the brackets of an IPv6 address, if it is one.
    let (_, after_name) = host.rsplit_once(']').unwrap_or(("", host));
    if let Some((_, port)) = after_name.split_once(':')
        && (port.is_empty() || port.parse::<u16>().is_err())
    {
        return Err(NotADatabaseUrl);
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
                "postgres:///d?host=/run/pg&password=hush&sslmode=require&hush",
                Engine::Postgres,
                "postgres:///d?host=/run/pg&password=***&sslmode=require&***",
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
}
