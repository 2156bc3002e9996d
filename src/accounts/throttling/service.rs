//! The gate of everything secret that callers give us.

use std::time::Duration;

use secrecy::SecretString;

use super::{
    commands::{Attempted, Refund, Reserve},
    store::ThrottleKeySet,
};
use crate::{
    accounts::{
        audit::AuditData,
        commands::{Failed, wrong_password},
        service::Accounts,
    },
    identity::{Caller, Origin, email::Email},
    kernel::{
        fault::{Fault, FaultKind, Reason},
        id::UserId,
    },
    storage::{Deadline, UnitOfWork},
};

/// For work that no caller waits for.
const BACKGROUND: Duration = Duration::from_secs(5);

/// Whether an error certainly came from the server and not from a wrong secret, so that the attempt is
/// refunded. `OUTCOME_UNKNOWN` is not: the work may have been done.
fn nothing_was_wrong(fault: &Fault) -> bool {
    let kind = fault.reason().kind();
    let is_ours =
        matches!(kind, FaultKind::Unavailable | FaultKind::DeadlineExceeded | FaultKind::Internal);
    (is_ours || fault.reason() == Reason::Overloaded) && fault.reason() != Reason::OutcomeUnknown
}

impl Accounts {
    /// The counters of a log-in: by device (if the account knows it) or by account, and by IP
    /// address. Known devices have counters of their own, so that guesses from elsewhere cannot delay
    /// them.
    pub(crate) fn counted(
        &self,
        email: &Email,
        device: Option<(&str, UserId)>,
        origin: &Origin,
    ) -> ThrottleKeySet {
        let (keys, policies) = (&self.keys, &self.policies);
        let mut by = match device {
            Some((device, user)) => {
                vec![(keys.device(device), policies.account), (keys.devices(user), policies.known)]
            }
            None => vec![(keys.account(email), policies.account), (keys.in_all(), policies.in_all)],
        };
        by.extend(origin.address.map(|address| (keys.address(address), policies.address)));
        ThrottleKeySet::by(by)
    }

    /// The counters of a password check by a user who is logged in: by user and by IP address.
    pub(crate) fn own_attempt(&self, user: UserId, origin: &Origin) -> ThrottleKeySet {
        let address = origin.address.map(|from| (self.keys.address(from), self.policies.address));
        let own = (self.keys.own(user), self.policies.account);
        ThrottleKeySet::by(address.into_iter().chain([own]).collect())
    }

    /// Verifies a password under throttling. Reserves an attempt before the hash is computed. Returns
    /// `None` if the password is wrong (the attempt stays counted), otherwise the attempt, which the
    /// caller refunds after its work. `TOO_MANY_ATTEMPTS` with a delay.
    pub(crate) async fn guess(
        &self,
        deadline: Deadline,
        counted: ThrottleKeySet,
        (password, stored): (SecretString, Option<String>),
        origin: &Origin,
    ) -> Result<Option<ReservedAttempt>, Fault> {
        let (accounts, origin) = (self.clone(), origin.clone());
        // In a task of its own: whoever leaves while it is hashed was not wrong by that.
        let task = tokio::spawn(async move {
            let attempt = accounts.reserve(deadline, counted, &origin).await?;
            match accounts.hasher.verify(password, stored).await {
                Ok(true) => Ok(Some(attempt)),
                Ok(false) => {
                    attempt.settle();
                    Ok(None)
                }
                Err(fault) => {
                    // Nothing was looked at.
                    attempt.give_back().await;
                    Err(fault)
                }
            }
        });
        task.await.unwrap_or_else(|error| Err(Fault::internal(format!("a guess: {error}"))))
    }

    /// Verifies the password of a user who is logged in. A wrong one is written to the audit trail
    /// with the session id, in its own transaction, and gives `CURRENT_PASSWORD_WRONG`.
    pub(crate) async fn own_guess(
        &self,
        deadline: Deadline,
        caller: Caller,
        counted: ThrottleKeySet,
        (password, stored): (SecretString, String),
        origin: &Origin,
    ) -> Result<ReservedAttempt, Fault> {
        let password = (password, Some(stored));
        if let Some(attempt) = self.guess(deadline, counted, password, origin).await? {
            return Ok(attempt);
        }
        let (user, session) = (Some(caller.user), Some(caller.session));
        let audit_context = self.audit_context(user, origin.clone(), self.ambient.now());
        let what = AuditData::CurrentPasswordWrong;
        self.store.run(deadline, Failed { what, user, session, audit_context }).await?;
        Err(wrong_password())
    }

    /// Reserves an attempt with these counters. Runs in its own task, so that the attempt is refunded
    /// even if the caller leaves before the commit. `TOO_MANY_ATTEMPTS` with a delay.
    pub(crate) async fn reserve(
        &self,
        deadline: Deadline,
        counted: ThrottleKeySet,
        origin: &Origin,
    ) -> Result<ReservedAttempt, Fault> {
        // Of the many calls that delays begin with the last one is told, as no more than that.
        let origin = Origin { call_id: origin.call_id.clone(), ..Origin::default() };
        let audit_context = self.audit_context(None, origin, self.ambient.now());
        let accounts = self.clone();
        let task = tokio::spawn(async move {
            let reserve = Reserve { counted: counted.clone(), audit_context };
            if accounts.store.run_contended(deadline, reserve).await? {
                tracing::error!(
                    "secrets of many accounts are being guessed: attempts reached auth.attempts_in_all, \
                     and log-ins from devices that are not known are delayed"
                );
            }
            Ok(ReservedAttempt { accounts, counted, is_open: true })
        });
        task.await.unwrap_or_else(|error| Err(Fault::internal(format!("an attempt: {error}"))))
    }

    /// An attempt that has no counter, for secrets that were checked before.
    pub(crate) fn uncounted(&self) -> ReservedAttempt {
        ReservedAttempt {
            accounts: self.clone(),
            counted: ThrottleKeySet::by(Vec::new()),
            is_open: false,
        }
    }

    /// Runs `unit` and, if `is_right(output)`, refunds the attempt in the same transaction. Also
    /// refunds it after errors of the server.
    pub(crate) async fn attempted<U: UnitOfWork>(
        &self,
        deadline: Deadline,
        attempt: ReservedAttempt,
        unit: U,
        is_right: fn(&U::Output) -> bool,
    ) -> Result<U::Output, Fault> {
        let now = self.ambient.now();
        let unit = Attempted { unit, counted: attempt.counted.clone(), is_right, now };
        let store = self.store.clone();
        // In a task of its own: a call whose deadline has passed is left in the middle.
        let task = tokio::spawn(async move {
            let done = store.run_contended(deadline, unit).await;
            if done.as_ref().is_err_and(nothing_was_wrong) {
                attempt.give_back().await;
            } else {
                attempt.settle();
            }
            done
        });
        task.await.unwrap_or_else(|error| Err(Fault::internal(format!("an attempt: {error}"))))
    }
}

/// An attempt at something secret that was reserved. When it is dropped it is given back, whoever left and wherever:
/// only what was looked at and found wrong counts, and has to be said by [`ReservedAttempt::settle`].
#[derive(Debug)]
#[must_use = "it is given back at once"]
pub(crate) struct ReservedAttempt {
    accounts: Accounts,
    /// What it is counted by.
    counted: ThrottleKeySet,
    /// Whether it still has to be given back.
    is_open: bool,
}

impl ReservedAttempt {
    /// Keeps the attempt counted: the secret was wrong, or the refund is already committed.
    pub(crate) fn settle(mut self) {
        self.is_open = false;
    }

    /// Keeps the attempt counted if `result` is an error that means a wrong secret. Errors of the
    /// server leave it refundable.
    pub(crate) fn judge<T>(&mut self, result: Result<T, Fault>) -> Result<T, Fault> {
        if result.as_ref().is_err_and(|fault| !nothing_was_wrong(fault)) {
            self.is_open = false;
        }
        result
    }

    /// Refunds the attempt and waits for the commit. The refund goes on if the caller is cancelled.
    pub(crate) async fn give_back(mut self) {
        if let Some(giving) = self.giving_back()
            && let Err(error) = tokio::spawn(giving).await
        {
            tracing::error!(%error, "giving an attempt back");
        }
    }

    /// The future that refunds the attempt; `None` if it is settled or refunded.
    fn giving_back(&mut self) -> Option<impl Future<Output = ()> + Send + 'static> {
        if !std::mem::take(&mut self.is_open) {
            return None;
        }
        let (accounts, counted) = (self.accounts.clone(), self.counted.clone());
        Some(async move {
            let refund = Refund { counted, now: accounts.ambient.now() };
            if let Err(fault) =
                accounts.store.run_contended(Deadline::after(BACKGROUND), refund).await
            {
                tracing::warn!(%fault, "giving an attempt back");
            }
        })
    }
}

impl Drop for ReservedAttempt {
    fn drop(&mut self) {
        if let Some(giving) = self.giving_back()
            && let Ok(runtime) = tokio::runtime::Handle::try_current()
        {
            runtime.spawn(giving);
        }
    }
}
