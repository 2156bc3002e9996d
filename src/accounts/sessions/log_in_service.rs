//! Logging in: the password, then the second step where there is one.

use std::sync::Arc;

use secrecy::SecretString;

use super::service::{Log, LoggedIn, Sessions};
use crate::{
    accounts::{
        User,
        audit::{AuditContext, AuditData},
        passwords::{commands::Failed, service::Passwords},
        second_factor::{
            Typed, challenge_refused, code_unreadable, code_wrong,
            rules::{Need, PresentedFactor},
            service::SecondFactors,
        },
        store::{Account, ByEmail, ById},
        throttling::{
            policy::Device,
            service::{ReservedAttempt, Throttle},
        },
    },
    identity::{Origin, email::Email},
    kernel::{
        ambient::Ambient,
        fault::{Fault, Reason},
        time::Instant,
    },
    storage::{Deadline, Store},
};

/// What came of a password that was right.
#[derive(Debug)]
pub enum LogIn {
    /// The session has begun.
    In(Box<LoggedIn>),
    /// There is a second step.
    SecondStep(SecondStep),
}

/// The second step of a log-in. Does not print its challenge.
#[derive(Clone)]
pub struct SecondStep {
    /// What stands for the log-in.
    pub challenge: String,
    /// When it stops being good.
    pub expires_at: Instant,
    /// What is needed.
    pub need: Need,
}

impl std::fmt::Debug for SecondStep {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SecondStep").field("need", &self.need).finish_non_exhaustive()
    }
}

/// Service layer for log-ins.
#[derive(Debug, Clone)]
pub struct LogIns {
    store: Store,
    ambient: Ambient,
    throttle: Throttle,
    passwords: Arc<Passwords>,
    second_factors: Arc<SecondFactors>,
    sessions: Arc<Sessions>,
    /// Whether only those log in who have shown that their address is theirs.
    verify_email: bool,
}

impl LogIns {
    /// `verify_email` is whether only those log in who have shown that their address is theirs.
    pub fn new(
        (store, ambient): (Store, Ambient),
        throttle: Throttle,
        passwords: Arc<Passwords>,
        second_factors: Arc<SecondFactors>,
        sessions: Arc<Sessions>,
        verify_email: bool,
    ) -> Self {
        Self { store, ambient, throttle, passwords, second_factors, sessions, verify_email }
    }

    /// Public: exchanges email and password for a log-in, or for its second step. Unknown, wrong, disabled
    /// and, where addresses are verified, unverified answer the same after the same work. `device` is what a device was given at an earlier
    /// log-in, or empty.
    pub async fn log_in(
        &self,
        deadline: Deadline,
        email: Email,
        password: SecretString,
        device: &str,
        origin: Origin,
    ) -> Result<LogIn, Fault> {
        let account = self.store.read(deadline, ByEmail(email.clone())).await?;
        let known = account.as_ref().and_then(|a| self.throttle.known_device(device, a.user.id));
        let by_device = account.as_ref().filter(|_| known.is_some()).map(|a| (device, a.user.id));
        let counted = self.throttle.log_in(&email, by_device, &origin);
        let stored = account.as_ref().map(|account| account.password_hash.clone());
        let attempt =
            self.passwords.verify(deadline, counted, (password.clone(), stored), &origin).await?;
        let user = account.as_ref().map(|account| account.user.id);
        let may = |user: &User| {
            !user.disabled && (user.email_verified_at.is_some() || !self.verify_email)
        };
        let account = account.filter(|account| may(&account.user));
        let Some((account, attempt)) = both(account, attempt) else {
            let audit_context = AuditContext::new(&self.ambient, None, origin, self.ambient.now());
            let (what, session) = (AuditData::LogInFailed, None);
            self.store.run(deadline, Failed { what, user, session, audit_context }).await?;
            return Err(log_in_failed());
        };
        self.passwords.rehash_outdated(deadline, &account, password).await;
        let stranger = || Device { random: self.ambient.bytes(), known: false };
        let device = known.unwrap_or_else(stranger);
        self.begin_log_in(deadline, &account, device, attempt, origin).await
    }

    /// Begins the log-in of an account whose password is known to be right.
    async fn begin_log_in(
        &self,
        deadline: Deadline,
        account: &Account,
        device: Device,
        attempt: ReservedAttempt,
        origin: Origin,
    ) -> Result<LogIn, Fault> {
        let challenge = self.second_factors.challenge(account, device);
        let (expires_at, written) = (challenge.expires_at, self.second_factors.written(&challenge));
        let begun =
            self.sessions.start(deadline, challenge, PresentedFactor::Nothing, attempt, origin);
        // Boxed, because it is a large future that others hold.
        match Box::pin(begun).await? {
            Log::In(logged_in) => Ok(LogIn::In(logged_in)),
            Log::Needs(need) => {
                Ok(LogIn::SecondStep(SecondStep { challenge: written, expires_at, need }))
            }
            Log::Wrong | Log::Unreadable | Log::Refused => Err(log_in_failed()),
        }
    }

    /// Logs in who has just signed up: with the password that was stored, which is not verified once more. Of a
    /// retry, whose account was made before, the password is verified as at any log-in.
    pub async fn log_in_signed_up(
        &self,
        deadline: Deadline,
        (user, is_new): (&User, bool),
        password: SecretString,
        origin: Origin,
    ) -> Result<LogIn, Fault> {
        if !is_new {
            return self.log_in(deadline, user.email.clone(), password, "", origin).await;
        }
        let account = self.store.read(deadline, ById(user.id)).await?.ok_or_else(log_in_failed)?;
        let device = Device { random: self.ambient.bytes(), known: false };
        self.begin_log_in(deadline, &account, device, self.throttle.uncounted(), origin).await
    }

    /// Public: completes a log-in whose password was right.
    pub async fn complete(
        &self,
        deadline: Deadline,
        challenge: &str,
        typed: Typed,
        origin: Origin,
    ) -> Result<LoggedIn, Fault> {
        let challenge = self.second_factors.read_challenge(challenge)?;
        let (user, device) = (challenge.user, challenge.device);
        let counted = self.throttle.second_step(user, device, &origin);
        let attempt = self.throttle.reserve(deadline, counted, &origin).await?;
        let shown = typed.shown(self.second_factors.settings(), user);
        let begun = self.sessions.start(deadline, challenge, shown, attempt, origin);
        // Boxed, because it is a large future that others hold.
        match Box::pin(begun).await? {
            Log::In(logged_in) => Ok(*logged_in),
            Log::Wrong => Err(code_wrong(match typed {
                Typed::Code(_) => "code",
                Typed::Recovery(_) => "recovery_code",
            })),
            Log::Unreadable => Err(code_unreadable()),
            Log::Needs(_) | Log::Refused => Err(challenge_refused()),
        }
    }
}

/// The account with the attempt that was right. Where the account may not log in the attempt counts, or somebody would
/// learn by it that the password was right.
fn both(
    account: Option<Account>,
    attempt: Option<ReservedAttempt>,
) -> Option<(Account, ReservedAttempt)> {
    match (account, attempt) {
        (Some(account), Some(attempt)) => Some((account, attempt)),
        (_, attempt) => {
            if let Some(attempt) = attempt {
                attempt.settle();
            }
            None
        }
    }
}

/// The one answer to every failed log-in.
fn log_in_failed() -> Fault {
    Fault::new(
        Reason::LogInFailed,
        "email and password do not belong to an account that may log in",
    )
}
