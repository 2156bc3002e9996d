//! Second factors of accounts. The rules stand in `rules`.

pub mod challenge;
pub mod commands;
pub mod rules;
pub mod service;
pub mod store;

use std::sync::Arc;

use secrecy::ExposeSecret;

use super::User;
use crate::{
    accounts::second_factor::{
        challenge::Challenges,
        rules::{
            ENROLMENT, Factor, FactorState, PresentedFactor, RecoveryCode, RecoveryHash,
            RecoveryHashes, TotpSecret, is_code,
        },
    },
    identity::{
        Role,
        master_key::{KeyId, MasterKey, NONCE, OpenError},
    },
    kernel::{
        fault::{Fault, Reason},
        id::UserId,
        time::Instant,
    },
};

/// What sealed secrets are sealed for.
const PURPOSE: &str = "authenticator secrets";

/// What second factors are made, kept and asked for with.
#[derive(Debug, Clone)]
pub struct FactorSettings {
    /// What authenticator apps show beside the account.
    pub issuer: Arc<str>,
    /// The roles that must have one.
    pub required_for: Arc<[Role]>,
    /// What seals the secrets.
    pub master: MasterKey,
    /// What hashes recovery codes.
    pub hashes: RecoveryHashes,
    /// What stands for log-ins between their steps.
    pub challenges: Challenges,
}

impl FactorSettings {
    /// With the master key, from which the others follow.
    pub fn new(master: &MasterKey, issuer: &str, required_for: &[Role]) -> Self {
        Self {
            issuer: issuer.into(),
            required_for: required_for.into(),
            master: master.clone(),
            hashes: RecoveryHashes::new(&master.all_derived("recovery codes")),
            challenges: Challenges::new(&master.all_derived("log-in challenges")),
        }
    }

    /// Whether accounts of this role must have one.
    pub fn required(&self, role: Role) -> bool {
        self.required_for.contains(&role)
    }

    /// Seals a secret of this account.
    pub fn seal(
        &self,
        user: UserId,
        secret: &TotpSecret,
        nonce: [u8; NONCE],
    ) -> Result<Vec<u8>, Fault> {
        self.master.seal(PURPOSE, user.0.as_bytes(), secret.bytes(), nonce)
    }

    /// The same secret under the present master key, from one that opens.
    pub fn anew(
        &self,
        user: UserId,
        sealed: &[u8],
        nonce: [u8; NONCE],
    ) -> Result<Result<Vec<u8>, OpenError>, Fault> {
        match self.master.open(PURPOSE, user.0.as_bytes(), sealed) {
            Ok(opened) => {
                let bytes = opened.expose_secret();
                self.master.seal(PURPOSE, user.0.as_bytes(), bytes, nonce).map(Ok)
            }
            Err(error) => Ok(Err(error)),
        }
    }

    /// A secret of this account, or why it cannot be opened.
    fn open(&self, user: &User, sealed: &[u8]) -> Result<Result<TotpSecret, OpenError>, Fault> {
        let opened = match self.master.open(PURPOSE, user.id.0.as_bytes(), sealed) {
            Ok(opened) => opened,
            Err(error) => return Ok(Err(error)),
        };
        let bytes = opened.expose_secret().try_into();
        let bytes = bytes.map_err(|_| Fault::internal("a second factor of another length"))?;
        TotpSecret::new(bytes, &self.issuer, &user.email).map(Ok)
    }

    /// What a stored row means.
    fn standing(
        &self,
        user: &User,
        row: &Row,
        recovery: Vec<RecoveryHash>,
        now: Instant,
    ) -> Result<FactorState, Fault> {
        let on: Option<Result<_, Fault>> = row.on.as_ref().map(|on| {
            let secret = self.open(user, &on.sealed)?;
            Ok(Factor { secret, last_step: on.last_step, since: on.since })
        });
        // One that opens no more, because its master key is gone, is as if it had not been enrolled.
        let pending = row.pending_at(now).map(|pending| self.open(user, &pending.sealed));
        let pending = pending.transpose()?.and_then(Result::ok);
        Ok(FactorState { on: on.transpose()?, pending, recovery })
    }
}

/// What is stored of an account's second factor.
#[derive(Debug, Clone, Default)]
pub struct Row {
    /// What is on.
    pub on: Option<On>,
    /// An enrolment that is to be confirmed, or was.
    pub pending: Option<Pending>,
}

impl Row {
    /// The enrolment that can be confirmed at this time.
    pub fn pending_at(&self, now: Instant) -> Option<&Pending> {
        self.pending.as_ref().filter(|pending| is_pending(pending.since, now))
    }
}

/// Whether an enrolment of that time can still be confirmed.
pub fn is_pending(since: Instant, now: Instant) -> bool {
    now < since + ENROLMENT
}

/// An enrolment, as it is stored.
#[derive(Debug, Clone)]
pub struct Pending {
    /// The sealed secret.
    pub sealed: Vec<u8>,
    /// Since when it waits.
    pub since: Instant,
}

/// A second factor that is on, as it is stored.
#[derive(Debug, Clone)]
pub struct On {
    /// The sealed secret.
    pub sealed: Vec<u8>,
    /// The step of the last code that was accepted.
    pub last_step: i64,
    /// Since when it is on.
    pub since: Instant,
}

/// What an account's owner may know of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Seen {
    /// Since when it is on, if it is.
    pub since: Option<Instant>,
    /// Since when an enrolment is to be confirmed, if one is.
    pub pending: Option<Instant>,
    /// How many recovery codes are left.
    pub left: i64,
}

/// A code as it was typed: of the app, or a recovery code.
#[derive(Debug, Clone)]
pub enum Typed {
    /// Of the app.
    Code(String),
    /// For when the app is lost.
    Recovery(RecoveryCode),
}

impl Typed {
    /// Reads either. Apps show their codes in groups, so blanks do not count.
    pub fn parse(text: &str) -> Result<Self, &'static str> {
        let digits: String = text.chars().filter(|letter| !letter.is_whitespace()).collect();
        if is_code(&digits) {
            return Ok(Self::Code(digits));
        }
        let recovery = RecoveryCode::parse(text).map(Self::Recovery);
        recovery.ok_or("must be the six digits of an app, or a recovery code")
    }

    pub(in crate::accounts) fn shown(
        &self,
        factors: &FactorSettings,
        user: UserId,
    ) -> PresentedFactor {
        match self {
            Self::Code(code) => PresentedFactor::Code(code.clone()),
            Self::Recovery(code) => PresentedFactor::Recovery(factors.hashes.of(user, code)),
        }
    }
}

/// The one answer to every code that is not good.
pub(in crate::accounts) fn code_wrong(field: &str) -> Fault {
    Fault::new(Reason::CodeWrong, "the code is not a good one, or it was used; wait for the next")
        .field(field, "must be a code that is good now and was not used")
}

/// The answer to codes that cannot be checked.
pub(in crate::accounts) fn code_unreadable() -> Fault {
    Fault::new(
        Reason::SecondFactorUnreadable,
        "codes of this account's app cannot be checked any more; use a recovery code and enrol the \
         app anew, or ask an admin to reset the second factor",
    )
}

/// Tells operators which master key is missing.
fn tell_unreadable(user: UserId, sealed: &[u8], error: OpenError) {
    let (user, key) = (user.name(), KeyId::of(sealed).map(|key| key.to_string()));
    let key = key.unwrap_or_default();
    tracing::error!(user, key, %error, "a second factor does not open: give the master key with \
        this id as a further line, or reset the second factor");
}

/// The one answer to every challenge that is not good.
pub(in crate::accounts) fn challenge_refused() -> Fault {
    Fault::new(
        Reason::ChallengeRefused,
        "the challenge of this log-in is not good, or no longer: log in again",
    )
}

/// The second factor is not as far as this needs.
fn wrong_state(state: &'static str) -> Fault {
    Fault::new(Reason::WrongState, format!("the second factor is {state}; enrol an app first"))
        .with("state", state)
}

/// This role must have a second factor.
fn required() -> Fault {
    Fault::new(
        Reason::SecondFactorRequired,
        "accounts of this role must have a second factor; enrol another app in its place",
    )
}

#[cfg(test)]
mod tests {
    use std::{
        io::Write,
        sync::{Mutex, PoisonError},
    };

    use tracing::Level;

    use super::*;

    /// What was logged.
    #[derive(Clone, Default)]
    struct Lines(Arc<Mutex<Vec<u8>>>);

    impl Write for Lines {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().unwrap_or_else(PoisonError::into_inner).write(bytes)
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn operators_are_told_which_master_key_is_missing_and_callers_are_not() {
        let (present, gone) = (MasterKey::of(&[1; 32]), MasterKey::of(&[2; 32]));
        let user = UserId(uuid::Uuid::from_u128(7));
        let sealed = gone.seal(PURPOSE, user.0.as_bytes(), &[3; 20], [4; NONCE]).unwrap();
        let factors = FactorSettings::new(&present, "Daybook", &[]);
        let error = factors.master.open(PURPOSE, user.0.as_bytes(), &sealed).unwrap_err();
        let lines = Lines::default();
        let to = lines.clone();
        let log = tracing_subscriber::fmt().with_max_level(Level::ERROR);
        let log = log.with_ansi(false).with_writer(move || to.clone()).finish();
        tracing::subscriber::with_default(log, || tell_unreadable(user, &sealed, error));
        let told = lines.0.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let told = String::from_utf8(told).unwrap();
        let (id, name) = (gone.id().to_string(), user.name());
        for part in ["ERROR", &id, &name, "sealed with another master key"] {
            assert!(told.contains(part), "{told}");
        }
        let fault = code_unreadable();
        assert_eq!(fault.reason(), Reason::SecondFactorUnreadable);
        assert!(fault.log_text().is_none() && !fault.message().contains(&id), "{fault}");
    }
}
