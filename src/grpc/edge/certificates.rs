//! What certificates say of themselves: when they are valid, and whether they are a chain (RFC 5280).

use chrono::{DateTime, TimeDelta};
use tokio_rustls::rustls::pki_types::CertificateDer;
use x509_parser::{certificate::X509Certificate, prelude::FromDer as _};

use crate::kernel::time::Instant;

/// How long before the end of a certificate operators are warned.
const SOON: TimeDelta = TimeDelta::days(21);

/// When a certificate is valid, both instants included.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Validity {
    pub(super) from: Instant,
    pub(super) until: Instant,
}

/// How a chain stands at some time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Standing {
    Valid,
    /// Valid for this many days more, at most 21.
    Ending(i64),
    NotYet,
    Expired,
}

impl Validity {
    pub(super) fn at(self, now: Instant) -> Standing {
        if now < self.from {
            return Standing::NotYet;
        }
        if now > self.until {
            return Standing::Expired;
        }
        let left = self.until - now;
        if left <= SOON { Standing::Ending(left.num_days()) } else { Standing::Valid }
    }

    /// What an operator should know at this time, as the rest of a sentence.
    pub(super) fn warning(self, now: Instant) -> Option<String> {
        let Self { from, until } = self;
        match self.at(now) {
            Standing::Valid => None,
            Standing::Ending(days) => Some(format!("expires in {days} days, at {until}")),
            Standing::NotYet => Some(format!("is not valid before {from}")),
            Standing::Expired => Some(format!("expired at {until}")),
        }
    }

    pub(super) fn is_valid(self, now: Instant) -> bool {
        matches!(self.at(now), Standing::Valid | Standing::Ending(_))
    }
}

/// When the first certificate of a chain is valid, or what keeps it from being one: the server's certificate comes
/// first, and then that of its issuer. What follows is not judged, since clients look for a way of their own
/// (RFC 8446, 4.4.2).
pub(super) fn validity(chain: &[CertificateDer<'_>]) -> Result<Validity, String> {
    let parse = |der: &CertificateDer<'_>| match X509Certificate::from_der(der) {
        Ok((_, found)) => Ok((
            found.subject().as_raw().to_vec(),
            found.issuer().as_raw().to_vec(),
            found.validity().clone(),
        )),
        Err(_) => Err("holds a certificate that cannot be read".to_owned()),
    };
    let own = chain.first().ok_or_else(|| "holds no certificate".to_owned())?;
    let (_, issuer, validity) = parse(own)?;
    if let Some(next) = chain.get(1)
        && parse(next)?.0 != issuer
    {
        return Err("is no chain: certificate 2 is not that of the issuer of the first one; the \
                    server's comes first, then its issuer's, and so on"
            .to_owned());
    }
    let instant = |seconds| DateTime::from_timestamp(seconds, 0).unwrap_or_default();
    let (from, until) = (validity.not_before.timestamp(), validity.not_after.timestamp());
    Ok(Validity { from: instant(from), until: instant(until) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_chain_stands_by_its_times() {
        let at = |text: &str| format!("2026-{text}Z").parse::<Instant>().unwrap();
        let validity = Validity { from: at("03-01T00:00:00"), until: at("05-31T23:59:59") };
        for (now, standing) in [
            ("02-28T23:59:59", Standing::NotYet),
            ("03-01T00:00:00", Standing::Valid),
            ("05-10T23:59:58", Standing::Valid),
            ("05-10T23:59:59", Standing::Ending(21)),
            ("05-31T00:00:00", Standing::Ending(0)),
            ("05-31T23:59:59", Standing::Ending(0)),
            ("06-01T00:00:00", Standing::Expired),
        ] {
            assert_eq!(validity.at(at(now)), standing, "{now}");
        }
    }
}
