//! The gate of everything secret that callers give us.

use std::{sync::Arc, time::Duration};

use super::{
    commands::{Attempted, Refund, Reserve},
    policy::{Device, Policies, ThrottleKey, ThrottleKeys, ThrottlePolicy},
    store::ThrottleKeySet,
};
use crate::{
    accounts::audit::AuditContext,
    identity::{Origin, email::Email},
    kernel::{
        ambient::Ambient,
        fault::{Fault, FaultKind, Reason},
        id::UserId,
    },
    storage::{Deadline, Store, UnitOfWork},
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

/// Counts attempts at secrets across all processes, and delays them where there were too many.
#[derive(Debug, Clone)]
pub struct Throttle {
    store: Store,
    ambient: Ambient,
    /// By what attempts are counted.
    keys: Arc<ThrottleKeys>,
    /// How many of them there may be.
    policies: Arc<Policies>,
}

impl Throttle {
    /// With the keys of this installation and the policies of the settings.
    pub fn new((store, ambient): (Store, Ambient), keys: ThrottleKeys, policies: Policies) -> Self {
        Self { store, ambient, keys: Arc::new(keys), policies: Arc::new(policies) }
    }

    /// The device that a device token of this user names; `None` for any other text.
    pub(in crate::accounts) fn known_device(&self, token: &str, user: UserId) -> Option<Device> {
        self.keys.knows(token, user)
    }

    /// The device token of a device, which the next log-in from it shows.
    pub(in crate::accounts) fn device_token(&self, user: UserId, device: Device) -> String {
        self.keys.word(user, device.random)
    }

    /// The counters of a log-in: by device (if the account knows it) or by account, and by IP
    /// address. Known devices have counters of their own, so that guesses from elsewhere cannot delay
    /// them.
    pub(in crate::accounts) fn log_in(
        &self,
        email: &Email,
        device: Option<(&str, UserId)>,
        origin: &Origin,
    ) -> ThrottleKeySet {
        let (keys, policies) = (&self.keys, &self.policies);
        let by = match device {
            Some((device, user)) => {
                vec![(keys.device(device), policies.account), (keys.devices(user), policies.known)]
            }
            None => vec![(keys.account(email), policies.account), (keys.in_all(), policies.in_all)],
        };
        self.with_address(by, origin)
    }

    /// The counters of the second step of a log-in.
    pub(in crate::accounts) fn second_step(
        &self,
        user: UserId,
        device: Device,
        origin: &Origin,
    ) -> ThrottleKeySet {
        let (keys, policies) = (&self.keys, &self.policies);
        let all = if device.known {
            (keys.devices_code(user), policies.known)
        } else {
            (keys.in_all(), policies.in_all)
        };
        self.with_address(vec![(keys.code(user, device), policies.code), all], origin)
    }

    /// The counters of a password check by a user who is logged in, and of a second-factor code where one was sent:
    /// by user and by IP address.
    pub(in crate::accounts) fn own_password(
        &self,
        user: UserId,
        with_code: bool,
        origin: &Origin,
    ) -> ThrottleKeySet {
        let mut by = vec![(self.keys.own(user), self.policies.account)];
        if with_code {
            by.push((self.keys.own_code(user), self.policies.code));
        }
        self.with_address(by, origin)
    }

    /// The counters of a second-factor code by a user who is logged in.
    pub(in crate::accounts) fn own_code(&self, user: UserId, origin: &Origin) -> ThrottleKeySet {
        self.with_address(vec![(self.keys.own_code(user), self.policies.code)], origin)
    }

    /// The counter of codes that were sent by email: by IP address alone.
    pub(in crate::accounts) fn email_code(&self, origin: &Origin) -> ThrottleKeySet {
        self.with_address(Vec::new(), origin)
    }

    /// The counter of the password of a sign-up whose code was right.
    pub(in crate::accounts) fn sign_up(&self, email: &Email) -> ThrottleKeySet {
        ThrottleKeySet::by(vec![(self.keys.account(email), self.policies.account)])
    }

    /// The counter of emails to an address.
    pub(in crate::accounts) fn mail_to(&self, email: &Email) -> ThrottleKeySet {
        ThrottleKeySet::by(vec![(self.keys.mail(email), self.policies.mail)])
    }

    /// Counts a request that may send an email to a stranger, by the IP address that it comes from.
    /// `TOO_MANY_ATTEMPTS` with a delay.
    pub(in crate::accounts) async fn count_mail_request(
        &self,
        deadline: Deadline,
        origin: &Origin,
    ) -> Result<(), Fault> {
        let Some(from) = origin.address else { return Ok(()) };
        let counted = ThrottleKeySet::by(vec![(self.keys.mailer(from), self.policies.address)]);
        self.reserve(deadline, counted, origin).await?.settle();
        Ok(())
    }

    fn with_address(
        &self,
        mut by: Vec<(ThrottleKey, ThrottlePolicy)>,
        origin: &Origin,
    ) -> ThrottleKeySet {
        by.extend(origin.address.map(|from| (self.keys.address(from), self.policies.address)));
        ThrottleKeySet::by(by)
    }

    /// Reserves an attempt with these counters. Runs in its own task, so that the attempt is refunded
    /// even if the caller leaves before the commit. `TOO_MANY_ATTEMPTS` with a delay.
    pub(in crate::accounts) async fn reserve(
        &self,
        deadline: Deadline,
        counted: ThrottleKeySet,
        origin: &Origin,
    ) -> Result<ReservedAttempt, Fault> {
        // Of the many calls that delays begin with the last one is told, as no more than that.
        let origin = Origin { call_id: origin.call_id.clone(), ..Origin::default() };
        let audit_context = AuditContext::new(&self.ambient, None, origin, self.ambient.now());
        let throttle = self.clone();
        let task = tokio::spawn(async move {
            let reserve = Reserve { counted: counted.clone(), audit_context };
            if throttle.store.run_contended(deadline, reserve).await? {
                tracing::error!(
                    "secrets of many accounts are being guessed: attempts reached auth.attempts_in_all, \
                     and log-ins from devices that are not known are delayed"
                );
            }
            Ok(ReservedAttempt { throttle, counted, is_open: true })
        });
        task.await.unwrap_or_else(|error| Err(Fault::internal(format!("an attempt: {error}"))))
    }

    /// An attempt that has no counter, for secrets that were checked before.
    pub(in crate::accounts) fn uncounted(&self) -> ReservedAttempt {
        ReservedAttempt {
            throttle: self.clone(),
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
    throttle: Throttle,
    /// What it is counted by.
    counted: ThrottleKeySet,
    /// Whether it still has to be given back.
    is_open: bool,
}

impl ReservedAttempt {
    /// Keeps the attempt counted: the secret was wrong, or the refund is already committed.
    pub(in crate::accounts) fn settle(mut self) {
        self.is_open = false;
    }

    /// Keeps the attempt counted if `result` is an error that means a wrong secret. Errors of the
    /// server leave it refundable.
    pub(in crate::accounts) fn judge<T>(&mut self, result: Result<T, Fault>) -> Result<T, Fault> {
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
        let (throttle, counted) = (self.throttle.clone(), self.counted.clone());
        Some(async move {
            let refund = Refund { counted, now: throttle.ambient.now() };
            if let Err(fault) =
                throttle.store.run_contended(Deadline::after(BACKGROUND), refund).await
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
