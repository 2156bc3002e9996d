//! What certificates say of themselves: when they are valid, and whether they are a chain (RFC 5280).

use chrono::{DateTime, TimeDelta};
use tokio_rustls::rustls::pki_types::CertificateDer;
use x509_parser::{certificate::X509Certificate, prelude::FromDer as _};

use crate::kernel::time::Instant;

/// How long before the end of a certificate operators are warned.
const SOON: TimeDelta = TimeDelta::days(21);

/// When a chain of certificates is valid, both instants included: when all of its certificates are.
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

/// When a chain is valid, or what keeps it from being one: the server's certificate comes first, and each other
/// one is that of the issuer of the one before.
pub(super) fn validity(chain: &[CertificateDer<'_>]) -> Result<Validity, String> {
    let parse = |der| X509Certificate::from_der(der).map(|(_, found)| found);
    let all: Result<Vec<_>, _> = chain.iter().map(|der| parse(der.as_ref())).collect();
    let all = all.map_err(|_| "holds a certificate that cannot be read".to_owned())?;
    for (number, pair) in (2..).zip(all.windows(2)) {
        if let [one, issuer] = pair
            && one.issuer() != issuer.subject()
        {
            return Err(format!(
                "is no chain: certificate {number} is not that of the issuer of the one before; the \
                 server's comes first, then its issuer's, and so on"
            ));
        }
    }
    let instant = |seconds| DateTime::from_timestamp(seconds, 0).unwrap_or_default();
    let from = all.iter().map(|it| it.validity().not_before.timestamp()).max();
    let until = all.iter().map(|it| it.validity().not_after.timestamp()).min();
    let (from, until) = from.zip(until).ok_or_else(|| "holds no certificate".to_owned())?;
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
