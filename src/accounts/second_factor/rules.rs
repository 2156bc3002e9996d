//! The second factor: codes of an authenticator app (RFC 6238), and recovery codes for when it is lost.
//!
//! A session begins, and goes on, only with a [`SecondFactorProof`], and only the functions here make one, from what
//! is stored of the account. So nobody can forget to ask.

use std::fmt;

use aws_lc_rs::{constant_time, hmac};
use chrono::TimeDelta;
use totp_rs::{Algorithm, Builder, Totp};

use crate::{
    identity::{email::Email, master_key::OpenError},
    kernel::{fault::Fault, id::UserId, time::Instant},
};

/// How many recovery codes there are at a time.
pub const RECOVERY_CODES: usize = 10;
/// Random bytes for them.
pub const RECOVERY_RANDOM: usize = RECOVERY_CODES * RANDOM_OF_ONE;
/// How long an enrolment waits for the app's first code.
pub const ENROLMENT: TimeDelta = TimeDelta::minutes(30);
/// Bytes of a secret: 160 bits, as RFC 4226 recommends.
pub const SECRET: usize = 20;

const DIGITS: u8 = 6;
const STEP_SECONDS: u64 = 30;
const SKEW: u16 = 1;
const RANDOM_OF_ONE: usize = 8;
/// Characters of a recovery code, of five bits each: 60 bits.
const LENGTH: usize = 12;
const GROUP: usize = 4;
/// Crockford's base32: without I, L, O and U.
const ALPHABET: &[u8; 32] = b"0123456789ABCDEFGHJKMNPQRSTVWXYZ";

/// What an authenticator app and the server share. Does not print itself.
#[derive(Clone)]
pub struct TotpSecret(Totp);

impl fmt::Debug for TotpSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

impl TotpSecret {
    /// A secret of these random bytes, for this account. The issuer and the address stand in the app.
    pub fn new(bytes: [u8; SECRET], issuer: &str, email: &Email) -> Result<Self, Fault> {
        let built = Builder::new()
            .with_algorithm(Algorithm::SHA1)
            .with_digits(DIGITS)
            .with_step_duration(STEP_SECONDS)
            .with_skew(SKEW)
            .with_secret(bytes)
            .with_issuer(Some(issuer))
            .with_account_name(email.as_str())
            .build();
        // The error could show what it is about.
        built.map(Self).map_err(|_| Fault::internal("an authenticator's secret cannot be built"))
    }

    /// The bytes, to be sealed.
    pub fn bytes(&self) -> &[u8] {
        self.0.secret().as_bytes()
    }

    /// What is typed into an app.
    pub fn base32(&self) -> String {
        self.0.secret().to_base32()
    }

    /// What an app reads from a QR code.
    pub fn uri(&self) -> Result<String, Fault> {
        self.0.to_url().map_err(|_| Fault::internal("an authenticator's URI cannot be written"))
    }

    /// The step that a code belongs to, if it is that of the present step or of one beside it.
    pub fn step_of(&self, code: &str, now: Instant) -> Option<i64> {
        let seconds = u64::try_from(now.timestamp()).ok()?;
        i64::try_from(self.0.check(code, seconds)?).ok()
    }
}

/// The hash that is stored of a recovery code.
pub type RecoveryHash = [u8; 32];

/// Hashes recovery codes. Keyed, so that the table alone cannot be guessed at.
#[derive(Debug, Clone)]
pub struct RecoveryHashes(Vec<hmac::Key>);

impl RecoveryHashes {
    /// With keys of this installation, the present one first.
    pub fn new(keys: &[[u8; 32]]) -> Self {
        Self(keys.iter().map(|key| hmac::Key::new(hmac::HMAC_SHA256, key)).collect())
    }

    /// The hashes that this account's code may be stored as, the one for new codes first.
    pub fn of(&self, user: UserId, code: &RecoveryCode) -> Vec<RecoveryHash> {
        let text = [user.0.as_bytes().as_slice(), code.0.as_bytes()].concat();
        let hash = |key| {
            let mut hash = [0; 32];
            let tag = hmac::sign(key, &text);
            hash.iter_mut().zip(tag.as_ref()).for_each(|(to, from)| *to = *from);
            hash
        };
        self.0.iter().map(hash).collect()
    }
}

/// A code that stands in for the app once. Does not print itself.
#[derive(Clone, PartialEq, Eq)]
pub struct RecoveryCode(String);

impl fmt::Debug for RecoveryCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("RecoveryCode(…)")
    }
}

impl RecoveryCode {
    /// As many as there are at a time, of fresh randomness.
    pub fn all(random: &[u8; RECOVERY_RANDOM]) -> Vec<Self> {
        let (ones, _) = random.as_chunks::<RANDOM_OF_ONE>();
        ones.iter().map(|one| Self::of(u64::from_be_bytes(*one))).collect()
    }

    fn of(random: u64) -> Self {
        let letters = (0..LENGTH).map(|place| {
            let five = usize::try_from((random >> (5 * place)) & 31).unwrap_or_default();
            char::from(ALPHABET.get(five).copied().unwrap_or_default())
        });
        Self(letters.collect())
    }

    /// Reads what somebody typed: in either case, with or without hyphens and blanks, and with the
    /// letters that look like digits.
    pub fn parse(text: &str) -> Option<Self> {
        let typed = text.chars().filter(|c| !matches!(c, '-' | ' '));
        let letters: String = typed
            .map(|c| match c.to_ascii_uppercase() {
                'O' => '0',
                'I' | 'L' => '1',
                other => other,
            })
            .collect();
        let known = |byte: u8| ALPHABET.contains(&byte);
        (letters.len() == LENGTH && letters.bytes().all(known)).then_some(Self(letters))
    }

    /// As it is shown, in groups.
    pub fn text(&self) -> String {
        let groups = self.0.as_bytes().chunks(GROUP).map(String::from_utf8_lossy);
        groups.collect::<Vec<_>>().join("-")
    }
}

/// What somebody shows beside the password. Does not print itself.
#[derive(Clone)]
pub enum PresentedFactor {
    /// Nothing is shown beside the password.
    Nothing,
    /// A code of the app.
    Code(String),
    /// The hashes that a recovery code may be stored as.
    Recovery(Vec<RecoveryHash>),
}

impl fmt::Debug for PresentedFactor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Nothing => "Nothing",
            Self::Code(_) => "Code(…)",
            Self::Recovery(_) => "Recovery(…)",
        })
    }
}

/// Whether a text has the form of an app's code.
pub fn is_code(text: &str) -> bool {
    text.len() == usize::from(DIGITS) && text.bytes().all(|byte| byte.is_ascii_digit())
}

/// A second factor that is on.
#[derive(Debug, Clone)]
pub struct Factor {
    /// What the app knows, or why it cannot be opened.
    pub secret: Result<TotpSecret, OpenError>,
    /// The step of the last code that was accepted: codes of it and of earlier ones are used up.
    pub last_step: i64,
    /// When it was turned on.
    pub since: Instant,
}

/// What is stored of an account.
#[derive(Debug, Clone, Default)]
pub struct FactorState {
    /// The second factor, if it is on.
    pub on: Option<Factor>,
    /// What was enrolled and not yet confirmed.
    pub pending: Option<TotpSecret>,
    /// The hashes of the recovery codes that are left.
    pub recovery: Vec<RecoveryHash>,
}

/// Proof that the second factor of an account was asked for, and shown where one is needed. Sessions
/// begin and tokens are made only with one.
#[derive(Debug)]
pub struct SecondFactorProof(());

/// What was used up by passing, and has to be written down in the same transaction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Used {
    /// Nothing: there is no second factor, and none is needed.
    Nothing,
    /// The code of this step.
    Step(i64),
    /// This recovery code.
    Recovery(RecoveryHash),
    /// The first code of the app that was enrolled, of this step: the second factor is on from now on.
    First(i64),
}

/// What is missing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Need {
    /// A code of the second factor that is on.
    Code,
    /// A second factor.
    Enrolment,
}

/// What follows from what was shown.
#[derive(Debug)]
pub enum Verdict {
    /// It is enough.
    Passed(SecondFactorProof, Used),
    /// Nothing was shown, and this is needed.
    Needs(Need),
    /// What was shown is wrong, or used up.
    Wrong,
    /// Nobody can tell: the secret cannot be opened. A recovery code is judged all the same.
    Unreadable(OpenError),
}

/// Judges a log-in, or another use of a code. `required` is whether the account's role must have a second
/// factor.
pub fn judge(
    standing: &FactorState,
    required: bool,
    shown: &PresentedFactor,
    now: Instant,
) -> Verdict {
    let passed = |used: Option<Used>| match used {
        Some(used) => Verdict::Passed(SecondFactorProof(()), used),
        None => Verdict::Wrong,
    };
    match (&standing.on, shown) {
        (Some(_), PresentedFactor::Nothing) => Verdict::Needs(Need::Code),
        (Some(factor), PresentedFactor::Code(code)) => {
            let secret = match &factor.secret {
                Ok(secret) => secret,
                Err(error) => return Verdict::Unreadable(*error),
            };
            let step = secret.step_of(code, now);
            passed(step.filter(|step| *step > factor.last_step).map(Used::Step))
        }
        (Some(_), PresentedFactor::Recovery(hashes)) => {
            let is = |left: &&RecoveryHash| {
                let same = |hash: &RecoveryHash| {
                    constant_time::verify_slices_are_equal(left.as_slice(), hash).is_ok()
                };
                hashes.iter().any(same)
            };
            passed(standing.recovery.iter().find(is).copied().map(Used::Recovery))
        }
        (None, PresentedFactor::Nothing) if required => Verdict::Needs(Need::Enrolment),
        (None, PresentedFactor::Nothing) => passed(Some(Used::Nothing)),
        // Only where one is needed: otherwise an enrolment is confirmed by who is logged in.
        (None, PresentedFactor::Code(code)) if required => match first(standing, code, now) {
            Some(step) => passed(Some(Used::First(step))),
            None => Verdict::Wrong,
        },
        (None, PresentedFactor::Code(_) | PresentedFactor::Recovery(_)) => Verdict::Wrong,
    }
}

/// The step of the first code of the app that was enrolled, if it is one.
pub fn first(standing: &FactorState, code: &str, now: Instant) -> Option<i64> {
    standing.pending.as_ref().and_then(|secret| secret.step_of(code, now))
}

/// Whether a session may go on: not where a second factor is needed and none is on, as after the setting
/// was changed.
pub fn go_on(is_on: bool, required: bool) -> Option<SecondFactorProof> {
    (is_on || !required).then_some(SecondFactorProof(()))
}

#[cfg(test)]
#[path = "rules_tests.rs"]
mod tests;
