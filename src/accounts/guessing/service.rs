//! The gate of everything secret that callers give us.

use std::time::Duration;

use secrecy::SecretString;
use tokio::sync::oneshot;

use super::{
    commands::{Attempted, Refund, Reserve},
    store::Counted,
};
use crate::{
    accounts::{
        audit::Act,
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
    /// hashed. Whoever was right gives it back.
    pub(in crate::accounts) async fn guess(
        &self,
        deadline: Deadline,
        counted: &Counted,
        (password, stored): (SecretString, Option<String>),
        origin: &Origin,
    ) -> Result<bool, Fault> {
        let (accounts, counted, origin) = (self.clone(), counted.clone(), origin.clone());
        let (tell, told) = oneshot::channel();
        // In a task of its own: whoever leaves while it is hashed was not wrong by that.
        tokio::spawn(async move {
            let verified = match accounts.reserve(deadline, &counted, &origin).await {
                Ok(()) => accounts.hasher.verify(password, stored).await,
                refused => return drop(tell.send(refused.map(|()| false))),
            };
            if verified.is_err() {
                // Nothing was looked at.
                accounts.give_back_anyway(&counted).await;
            }
            if let Err(Ok(true)) = tell.send(verified) {
                accounts.give_back_anyway(&counted).await;
            }
        });
        told.await.unwrap_or_else(|_| Err(Fault::internal("a guess was dropped")))
    }

    /// Gives an attempt back, whether or not anybody waits for it.
    async fn give_back_anyway(&self, counted: &Counted) {
        if let Err(fault) = self.give_back(Deadline::after(BACKGROUND), counted).await {
            tracing::warn!(%fault, "giving an attempt back");
        }
    }

    /// The same for somebody who is logged in and is asked for the password again: `CURRENT_PASSWORD_WRONG`
    /// where it is another one than the one that is stored, with a line in the trail that names the session,
    /// because its token may be in other hands. In a transaction of its own, as the attempt is.
    pub(in crate::accounts) async fn own_guess(
        &self,
        deadline: Deadline,
        caller: Caller,
        counted: &Counted,
        (password, stored): (SecretString, String),
        origin: &Origin,
    ) -> Result<(), Fault> {
        if self.guess(deadline, counted, (password, Some(stored)), origin).await? {
            return Ok(());
        }
        let (user, session) = (Some(caller.user), Some(caller.session));
        let witness = self.witness(user, origin.clone(), self.ambient.now());
        let act = Act::CurrentPasswordWrong;
        self.store.run(deadline, Failed { act, user, session, witness }).await?;
        Err(wrong_password())
    }

    /// Reserves an attempt at something that is secret, or needs as few callers.
    pub(in crate::accounts) async fn reserve(
        &self,
        deadline: Deadline,
        counted: &Counted,
        origin: &Origin,
    ) -> Result<(), Fault> {
        // Of the many calls that delays begin with the last one is told, as no more than that.
        let origin = Origin { call_id: origin.call_id.clone(), ..Origin::default() };
        let witness = self.witness(None, origin, self.ambient.now());
        let reserve = Reserve { counted: counted.clone(), witness };
        if self.store.run_aside(deadline, reserve).await? {
            tracing::error!(
                "secrets of many accounts are being guessed: attempts reached auth.attempts_in_all, \
                 and log-ins from devices that are not known are delayed"
            );
        }
        Ok(())
    }

    /// Does what an attempt was taken for, and gives the attempt back in the same transaction if nothing
    /// was wrong. What the server itself could not do costs no attempt either.
    pub(in crate::accounts) async fn attempted<U: UnitOfWork>(
        &self,
        deadline: Deadline,
        counted: Counted,
        unit: U,
        is_right: fn(&U::Output) -> bool,
    ) -> Result<U::Output, Fault> {
        let now = self.ambient.now();
        let unit = Attempted { unit, counted: counted.clone(), is_right, now };
        let accounts = self.clone();
        // In a task of its own: a call whose deadline has passed is left in the middle.
        let task = tokio::spawn(async move {
            let done = accounts.store.run_aside(deadline, unit).await;
            if done.as_ref().is_err_and(nothing_was_wrong) {
                accounts.give_back_anyway(&counted).await;
            }
            done
        });
        task.await.unwrap_or_else(|error| Err(Fault::internal(format!("an attempt: {error}"))))
    }

    /// Hashes a new password after an attempt that was right.
    pub(in crate::accounts) async fn hash_after(
        &self,
        deadline: Deadline,
        counted: &Counted,
        new: SecretString,
    ) -> Result<String, Fault> {
        let hashed = self.hasher.hash(new).await;
        if hashed.is_err() {
            self.give_back(deadline, counted).await?;
        }
        hashed
    }

    /// Gives back an attempt at which nothing was wrong.
    pub(in crate::accounts) async fn give_back(
        &self,
        deadline: Deadline,
        counted: &Counted,
    ) -> Result<(), Fault> {
        let refund = Refund { counted: counted.clone(), now: self.ambient.now() };
        self.store.run_aside(deadline, refund).await
    }
}
