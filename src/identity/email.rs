//! Email addresses in one normal form.
//!
//! Two spellings of one mailbox must not make two accounts, and two mailboxes must not look like one.
//! So: compatible characters are unified (NFKC), the local part is lower-cased and must then be plain
//! ASCII (RFC 5321 `Dot-string`), and the domain goes through IDNA (UTS 46) to its ASCII form. Blanks
//! around it, which keyboards and pasted lines bring, are not part of it. Quoted local parts, address literals
//! and mailboxes outside ASCII are refused.

use std::fmt;

use serde::{Deserialize, Serialize};
use unicode_normalization::UnicodeNormalization;

use crate::kernel::id::UserId;

/// The longest address, in bytes of the normal form (RFC 5321, 4.5.3.1.3).
const LONGEST: usize = 254;
/// The longest local part (RFC 5321, 4.5.3.1.1).
const LONGEST_LOCAL: usize = 64;

/// An email address in its normal form. Does not print itself in debug output, so that logs have no
/// addresses by accident.
#[derive(Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Email(String);

impl Email {
    /// Reads an address.
    pub fn parse(text: &str) -> Result<Self, &'static str> {
        const FORM: &str = "must be an address such as ada@example.org";
        if text.is_empty() {
            return Err("must not be empty");
        }
        // Before normalising: one character can become eighteen.
        if text.len() > 4 * LONGEST {
            return Err("must have at most 254 characters");
        }
        let text: String = text.trim().nfkc().collect();
        let (local, domain) = text.rsplit_once('@').ok_or(FORM)?;
        let local = local.to_ascii_lowercase();
        if local.is_empty() || local.len() > LONGEST_LOCAL || !is_dot_string(&local) {
            return Err(
                "must have a local part of letters, digits and !#$%&'*+-/=?^_`{|}~ with single \
                        dots between, at most 64 characters",
            );
        }
        let domain = idna::domain_to_ascii_strict(domain).map_err(|_| FORM)?;
        if !domain.contains('.') || domain.ends_with('.') || domain.len() > 253 {
            return Err("must have a full domain name after the @");
        }
        let last = domain.rsplit('.').next().unwrap_or_default();
        if last.bytes().all(|b| b.is_ascii_digit()) {
            return Err("must have a domain name after the @, not an address");
        }
        let address = format!("{local}@{domain}");
        if address.len() > LONGEST {
            return Err("must have at most 254 characters");
        }
        Ok(Self(address))
    }

    /// The normal form.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The address; empty for an account that has none.
    pub fn address(&self) -> &str {
        if self.is_address() { &self.0 } else { "" }
    }

    /// Whether it is an address, and not what stands in the place of one.
    pub fn is_address(&self) -> bool {
        self.0.contains('@')
    }

    /// What stands in the place of an address for an account that has none: nobody can give it, and no two
    /// accounts have the same.
    pub fn none(account: UserId) -> Self {
        Self(format!("none {}", account.0))
    }

    /// An address that was stored in its normal form.
    pub fn stored(address: String) -> Self {
        Self(address)
    }
}

impl fmt::Debug for Email {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Email(…)")
    }
}

fn is_dot_string(local: &str) -> bool {
    local.split('.').all(|atom| {
        !atom.is_empty()
            && atom
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || b"!#$%&'*+-/=?^_`{|}~".contains(&b))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spellings_of_one_mailbox_are_one() {
        for (spelling, normal) in [
            ("Ada@Example.ORG", "ada@example.org"),
            ("ada+lab@example.org", "ada+lab@example.org"),
            ("ada@BÜCHER.example", "ada@xn--bcher-kva.example"),
            ("ada@bu\u{308}cher.example", "ada@xn--bcher-kva.example"),
            ("ａｄａ@example.org", "ada@example.org"),
            ("ada@example\u{3002}org", "ada@example.org"),
            (" ada@example.org", "ada@example.org"),
            ("\u{a0}\tada@example.org \r\n\u{3000}", "ada@example.org"),
        ] {
            assert_eq!(Email::parse(spelling).unwrap().as_str(), normal, "{spelling}");
        }
    }

    #[test]
    fn odd_ones_are_refused() {
        for odd in [
            "",
            "ada",
            "@example.org",
            "ada@",
            "ada@example",
            "ada@localhost",
            "ada@127.0.0.1",
            "ada@[127.0.0.1]",
            "ada@example.org.",
            "a..b@example.org",
            ".a@example.org",
            "a.@example.org",
            "\"a b\"@example.org",
            "a b@example.org",
            " ",
            "ada @example.org",
            "ada@ example.org",
            "\u{200b}ada@example.org",
            "ada@example.org\0",
            "ada@exam ple.org",
            "аda@example.org",
            "ada\u{202E}@example.org",
            "ada\u{200B}@example.org",
            "ada@-example.org",
        ] {
            assert!(Email::parse(odd).is_err(), "{odd:?}");
        }
        assert!(Email::parse(&format!("{}@example.org", "a".repeat(65))).is_err());
        assert!(Email::parse(&format!("{}@example.org", "a".repeat(64))).is_ok());
        assert!(Email::parse(&format!("a@{}.org", "b.".repeat(130))).is_err());
        assert!(Email::parse(&"\u{FDFA}".repeat(1 << 20)).is_err());
    }
}
