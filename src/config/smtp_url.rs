//! The URL of a mail server: which ones are valid, and what is wrong with others.

use url::{Host, Url};

/// What such a URL may look like, as told to the operator.
pub(super) const VALID: &str = "give smtps://USER:PASSWORD@HOST, or \
     smtp://USER:PASSWORD@HOST:587?tls=required, with / ? # and @ in a password percent-encoded";

/// What is wrong with the URL of a mail server; nothing if it can be used. Holds nothing of the URL but the name
/// of a parameter. `has_authorities` says that authorities are named, with which TLS is always required.
pub(super) fn fault(text: &str, has_authorities: bool) -> Option<String> {
    let Ok(url) = Url::parse(text) else { return Some("is not a URL".to_owned()) };
    if !matches!(url.scheme(), "smtp" | "smtps") {
        return Some(
            "is not a URL of a mail server: its scheme is neither smtp nor smtps".to_owned(),
        );
    }
    if url.host_str().is_none_or(str::is_empty) {
        return Some("names no host".to_owned());
    }
    if url.fragment().is_some() {
        return Some("has a #".to_owned());
    }
    if url.password().is_some() == url.username().is_empty() {
        return Some("has a user or a password without the other".to_owned());
    }
    let tls = match tls(&url) {
        Ok(tls) => tls,
        Err(fault) => return Some(fault),
    };
    let is_private = tls == Tls::Always || has_authorities || is_here(&url);
    (url.password().is_some() && !is_private)
        .then(|| "would send the password without TLS".to_owned())
}

/// Whether emails go to the server of a valid URL with TLS or not at all.
pub(super) fn has_tls(text: &str, has_authorities: bool) -> bool {
    has_authorities || Url::parse(text).is_ok_and(|url| tls(&url) == Ok(Tls::Always))
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Tls {
    Always,
    Perhaps,
}

fn tls(url: &Url) -> Result<Tls, String> {
    let mut found = None;
    for (name, value) in url.query_pairs() {
        if name != "tls" {
            // A bare ? in a password begins a query: such a name is not shown.
            let is_name = name.bytes().all(|it| it.is_ascii_alphabetic() || b"-_".contains(&it));
            let is_shown =
                is_name && !name.is_empty() && url.query().is_some_and(|it| !it.contains('@'));
            let name = if is_shown { format!(": {name}") } else { String::new() };
            return Err(format!("has a parameter that is not known{name}"));
        }
        if found.is_some() {
            return Err("has the parameter tls twice".to_owned());
        }
        found = match &*value {
            "required" => Some(Tls::Always),
            "opportunistic" => Some(Tls::Perhaps),
            _ => {
                return Err(
                    "has a parameter tls that is neither required nor opportunistic".to_owned()
                );
            }
        };
    }
    match (url.scheme(), found) {
        ("smtps", None) => Ok(Tls::Always),
        ("smtps", Some(_)) => {
            Err("has the parameter tls, which goes with smtp and not with smtps".to_owned())
        }
        (_, found) => Ok(found.unwrap_or(Tls::Perhaps)),
    }
}

/// Whether the server is on this machine, so that nobody listens on the way.
fn is_here(url: &Url) -> bool {
    match url.host() {
        // `url` knows addresses only in schemes that it knows.
        Some(Host::Domain(name)) => {
            name == "localhost"
                || name.parse::<std::net::Ipv4Addr>().is_ok_and(|it| it.is_loopback())
        }
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_are_valid_or_told() {
        for url in [
            "smtps://us:hush@mail.example.org",
            "smtps://us:hush@mail.example.org:4650/us.example",
            "smtp://us:hush@mail.example.org:587?tls=required",
            "smtp://mail.example.org",
            "smtp://mail.example.org?tls=opportunistic",
            "smtp://us:hush@localhost:1025",
            "smtp://us:hush@127.0.0.1:1025?tls=opportunistic",
            "smtp://us:hush@[::1]:1025",
        ] {
            assert_eq!(fault(url, false), None, "{url}");
        }
        assert_eq!(fault("smtp://us:hush@mail.example.org", true), None);
        for (url, told) in [
            ("", "is not a URL"),
            ("mail.example.org", "is not a URL"),
            ("http://mail.example.org", "neither smtp nor smtps"),
            ("smtp://", "names no host"),
            ("smtps://us@mail.example.org", "without the other"),
            ("smtps://:hush@mail.example.org", "without the other"),
            ("smtps://us:hush@mail.example.org#x", "has a #"),
            ("smtp://us:hush@mail.example.org?TLS=required", "not known: TLS"),
            ("smtp://us:hush@mail.example.org?tls=required&tls=required", "twice"),
            ("smtp://us:hush@mail.example.org?tls=Required", "neither required nor"),
            ("smtp://us:hush@mail.example.org?tls", "neither required nor"),
            ("smtps://us:hush@mail.example.org?tls=required", "not with smtps"),
            ("smtp://us:hush@mail.example.org", "without TLS"),
            ("smtp://us:hush@mail.example.org?tls=opportunistic", "without TLS"),
            ("smtp://us:1?hush@mail.example.org", "a parameter that is not known"),
        ] {
            let found = fault(url, false).unwrap_or_default();
            assert!(found.contains(told) && !found.contains("hush"), "{url}: {found}");
        }
    }
}
