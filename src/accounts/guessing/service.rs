//! The gate of everything secret that callers give us.

use std::time::Duration;

use secrecy::SecretString;

use super::{
    commands::{Attempted, Refund, Reserve},
    store::Counted,
};
use crate::{
    accounts::{
        audit::AuditData,
        commands::{Failed, wrong_password},
        service::Accounts,
    },
    identity::{Caller, Origin, email::Email},
    kernel::{
        fault::{Fault, Kind, Reason},
        id::UserId,
    },
    storage::{Deadline, UnitOfWork},
};

/// For work that no caller waits for.
const BACKGROUND: Duration = Duration::from_secs(5);

/// Whether a fault is about the server alone, and surely nothing was changed: the attempt was not given back.
fn nothing_was_wrong(fault: &Fault) -> bool {
    let kind = fault.reason().kind();
    let is_ours = matches!(kind, Kind::Unavailable | Kind::DeadlineExceeded | Kind::Internal);
    (is_ours || fault.reason() == Reason::Overloaded) && fault.reason() != Reason::OutcomeUnknown
}

impl Accounts {
    /// What a log-in is counted by. A device that the account knows counts by itself and with the others that
    /// it knows, so that nobody elsewhere can delay it.
    pub(in crate::accounts) fn counted(
        &self,
        email: &Email,
        device: Option<(&str, UserId)>,
        origin: &Origin,
    ) -> Counted {
        let (keys, policies) = (&self.keys, &self.policies);
        let mut by = match device {
            Some((device, user)) => {
                vec![(keys.device(device), policies.account), (keys.devices(user), policies.known)]
            }
            None => vec![(keys.account(email), policies.account), (keys.in_all(), policies.in_all)],
        };
        by.extend(origin.address.map(|address| (keys.address(address), policies.address)));
        Counted::by(by)
    }

    /// What is counted of somebody who is logged in already, and is asked for the password again.
    pub(in crate::accounts) fn own_attempt(&self, user: UserId, origin: &Origin) -> Counted {
        let address = origin.address.map(|from| (self.keys.address(from), self.policies.address));
        let own = (self.keys.own(user), self.policies.account);
        Counted::by(address.into_iter().chain([own]).collect())
    }

    /// The gate of every password that is given to us: an attempt is reserved before anything is
    /// hashed. Nothing where the password is wrong, and the attempt counts; else the attempt, to be given back.
    pub(in crate::accounts) async fn guess(
        &self,
        deadline: Deadline,
        counted: Counted,
        (password, stored): (SecretString, Option<String>),
        origin: &Origin,
    ) -> Result<Option<Attempt>, Fault> {
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

    /// The same for somebody who is logged in and is asked for the password again: `CURRENT_PASSWORD_WRONG`
    /// where it is another one than the one that is stored, with a line in the trail that names the session,
    /// because its token may be in other hands. In a transaction of its own, as the attempt is.
    pub(in crate::accounts) async fn own_guess(
        &self,
        deadline: Deadline,
        caller: Caller,
        counted: Counted,
        (password, stored): (SecretString, String),
        origin: &Origin,
    ) -> Result<Attempt, Fault> {
        let password = (password, Some(stored));
        if let Some(attempt) = self.guess(deadline, counted, password, origin).await? {
            return Ok(attempt);
        }
        let (user, session) = (Some(caller.user), Some(caller.session));
        let witness = self.witness(user, origin.clone(), self.ambient.now());
        let what = AuditData::CurrentPasswordWrong;
        self.store.run(deadline, Failed { what, user, session, witness }).await?;
        Err(wrong_password())
    }

    /// Reserves an attempt at something that is secret, or needs as few callers. In a task of its own, so that it
    /// is given back as well where its caller leaves before it is there.
    pub(in crate::accounts) async fn reserve(
        &self,
        deadline: Deadline,
        counted: Counted,
        origin: &Origin,
    ) -> Result<Attempt, Fault> {
        // Of the many calls that delays begin with the last one is told, as no more than that.
        let origin = Origin { call_id: origin.call_id.clone(), ..Origin::default() };
        let witness = self.witness(None, origin, self.ambient.now());
        let accounts = self.clone();
        let task = tokio::spawn(async move {
            let reserve = Reserve { counted: counted.clone(), witness };
            if accounts.store.run_aside(deadline, reserve).await? {
                tracing::error!(
                    "secrets of many accounts are being guessed: attempts reached auth.attempts_in_all, \
                     and log-ins from devices that are not known are delayed"
                );
            }
            Ok(Attempt { accounts, counted, is_open: true })
        });
        task.await.unwrap_or_else(|error| Err(Fault::internal(format!("an attempt: {error}"))))
    }

    /// An attempt that is counted nowhere: what was shown was looked at already.
    pub(in crate::accounts) fn uncounted(&self) -> Attempt {
        Attempt { accounts: self.clone(), counted: Counted::by(Vec::new()), is_open: false }
    }

    /// Does what an attempt was taken for, and gives the attempt back in the same transaction if nothing
    /// was wrong. What the server itself could not do costs no attempt either.
    pub(in crate::accounts) async fn attempted<U: UnitOfWork>(
        &self,
        deadline: Deadline,
        attempt: Attempt,
        unit: U,
        is_right: fn(&U::Output) -> bool,
    ) -> Result<U::Output, Fault> {
        let now = self.ambient.now();
        let unit = Attempted { unit, counted: attempt.counted.clone(), is_right, now };
        let store = self.store.clone();
        // In a task of its own: a call whose deadline has passed is left in the middle.
        let task = tokio::spawn(async move {
            let done = store.run_aside(deadline, unit).await;
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
/// only what was looked at and found wrong counts, and has to be said by [`Attempt::settle`].
#[derive(Debug)]
#[must_use = "it is given back at once"]
pub(in crate::accounts) struct Attempt {
    accounts: Accounts,
    /// What it is counted by.
    counted: Counted,
    /// Whether it still has to be given back.
    is_open: bool,
}

impl Attempt {
    /// It stays as it is: what was shown was wrong, or it was given back.
    pub(in crate::accounts) fn settle(mut self) {
        self.is_open = false;
    }

    /// Settles it where a result tells that what was shown was wrong. What the server could not do costs nothing.
    pub(in crate::accounts) fn judge<T>(&mut self, result: Result<T, Fault>) -> Result<T, Fault> {
        if result.as_ref().is_err_and(|fault| !nothing_was_wrong(fault)) {
            self.is_open = false;
        }
        result
    }

    /// Gives it back, and returns when that is done, whether or not anybody waits for it.
    pub(in crate::accounts) async fn give_back(mut self) {
        if let Some(giving) = self.giving_back()
            && let Err(error) = tokio::spawn(giving).await
        {
            tracing::error!(%error, "giving an attempt back");
        }
    }

    /// What gives it back, if that is still to be done.
    fn giving_back(&mut self) -> Option<impl Future<Output = ()> + Send + 'static> {
        if !std::mem::take(&mut self.is_open) {
            return None;
        }
        let (accounts, counted) = (self.accounts.clone(), self.counted.clone());
        Some(async move {
            let refund = Refund { counted, now: accounts.ambient.now() };
            if let Err(fault) = accounts.store.run_aside(Deadline::after(BACKGROUND), refund).await
            {
                tracing::warn!(%fault, "giving an attempt back");
            }
        })
    }
}

impl Drop for Attempt {
    fn drop(&mut self) {
        if let Some(giving) = self.giving_back()
            && let Ok(runtime) = tokio::runtime::Handle::try_current()
        {
            runtime.spawn(giving);
        }
    }
}
