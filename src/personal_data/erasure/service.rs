//! Erasing accounts, and carrying erasures through: batch by batch, until nothing is left to do.

use std::{sync::Arc, time::Duration};

use super::{
    Erasure,
    commands::{Blank, Delete, Erase, Finish, anonymise::Anonymise},
    store,
};
use crate::{
    accounts::{
        User,
        audit::AuditContext,
        second_factor::{
            commands::is_right,
            service::{ReauthenticationInput, SecondFactors},
        },
        service_accounts::service::ServiceAccounts,
        signing::token::Tokens,
        store::existing,
        throttling::service::Throttle,
    },
    identity::{Caller, Origin, permit::ChangeUser},
    kernel::{
        ambient::Ambient,
        backoff::Backoff,
        fault::{Fault, Reason},
        id::{ProviderId, UserId},
        stamp::Revision,
        time::Instant,
    },
    mail::service::Mail,
    schedule::Schedule,
    storage::{Deadline, Query, Reader, Store, idempotency::IdempotencyKey},
};

/// For a batch that no caller waits for.
const BACKGROUND: Duration = Duration::from_secs(5);
/// How many erasures are looked at together.
const TOGETHER: u64 = 20;
/// How many that failed are left out of a look at most.
const MOST_WAITING: usize = 1_000;

/// Service layer for erasures.
#[derive(Debug, Clone)]
pub struct Erasures {
    store: Store,
    ambient: Ambient,
    throttle: Throttle,
    second_factors: Arc<SecondFactors>,
    mail: Mail,
    tokens: Tokens,
    service_accounts: ServiceAccounts,
    /// What closed providers are left with.
    default_schedule: Arc<Schedule>,
}

impl Erasures {
    /// With what re-authenticates callers, and the schedule that closed providers are left with.
    pub fn new(
        (store, ambient): (Store, Ambient),
        (throttle, second_factors): (Throttle, Arc<SecondFactors>),
        mail: Mail,
        (tokens, service_accounts): (Tokens, ServiceAccounts),
        default_schedule: Arc<Schedule>,
    ) -> Self {
        Self {
            store,
            ambient,
            throttle,
            second_factors,
            mail,
            tokens,
            service_accounts,
            default_schedule,
        }
    }

    /// Erases the caller's own account, and ends its tokens.
    pub async fn delete_own(
        &self,
        deadline: Deadline,
        caller: Caller,
        shows: ReauthenticationInput,
        origin: Origin,
    ) -> Result<(), Fault> {
        let account = existing(&self.store, deadline, caller.user).await?;
        let (blank, role) = (self.blank(&account.user), account.user.role);
        let own = self.second_factors.reauthenticate(deadline, caller, account, shows, origin);
        let (own, attempt, _) = own.await?;
        let unit = Delete { own, role, blank };
        let ended = self.throttle.attempted(deadline, attempt, unit, is_right).await??;
        self.tokens.end(caller.user, ended, self.ambient.now());
        self.service_accounts.know(caller.user).await;
        Ok(())
    }

    /// Erases another account.
    pub async fn erase(
        &self,
        deadline: Deadline,
        permit: ChangeUser,
        expected: Option<Revision>,
        idempotency_key: IdempotencyKey,
        origin: Origin,
    ) -> Result<(), Fault> {
        let subject = permit.subject;
        let account = existing(&self.store, deadline, subject).await?;
        let blank = self.blank(&account.user);
        let audit_context =
            AuditContext::new(&self.ambient, Some(permit.admin), origin, self.ambient.now());
        let unit = Erase { permit, expected, blank, idempotency_key, audit_context };
        if let Some(ended) = self.store.run(deadline, unit).await? {
            self.tokens.end(subject, ended, self.ambient.now());
            self.service_accounts.know(subject).await;
        }
        Ok(())
    }

    /// Looks after the appointments of somebody who was just erased. Whether all of it could be done within
    /// the deadline is not the caller's concern: the account is gone, and the server goes on by itself.
    pub async fn look_after_appointments(&self, deadline: Deadline, user: UserId) {
        let done = async {
            match self.store.read(deadline, Find(user)).await? {
                Some(erasure) => self.carry_through(erasure, || deadline).await,
                None => Ok(()),
            }
        };
        if let Err(fault) = done.await {
            tracing::info!(%fault, "an erasure goes on in the background");
        }
    }

    /// Carries through what others began and could not end. One that fails gives way to the next, and waits
    /// for longer each time. Says how many erasures were ended.
    pub async fn carry_through_all(&self, failed: &mut Backoff<UserId>) -> Result<usize, Fault> {
        let waiting = failed.waiting(self.ambient.now()).copied().take(MOST_WAITING).collect();
        let open = self.store.look(List { waiting, limit: TOGETHER }).await?;
        let mut ended = 0;
        for erasure in open {
            let user = erasure.user;
            match self.carry_through(erasure, || Deadline::after(BACKGROUND)).await {
                Ok(()) => {
                    failed.done(&user);
                    ended += 1;
                }
                Err(fault) => {
                    if failed.failed(user, self.ambient.now()) {
                        let user = user.name();
                        tracing::warn!(user, %fault, "an erasure cannot be ended: it is tried again");
                    }
                }
            }
        }
        Ok(ended)
    }

    async fn carry_through(
        &self,
        erasure: Erasure,
        deadline: impl Fn() -> Deadline + Send,
    ) -> Result<(), Fault> {
        let user = erasure.user;
        // Those that could not be ended there, of whom the first is told.
        let (mut after, mut left) = (None, None);
        loop {
            let now = self.ambient.now();
            let Some(provider) = self.store.read(deadline(), Next { user, after, now }).await?
            else {
                return match left {
                    None => {
                        self.store.begin_log_anew(deadline()).await?;
                        self.store.run(deadline(), Finish { user }).await
                    }
                    Some(fault) => Err(fault),
                };
            };
            match self.store.run(deadline(), Anonymise { erasure, provider, now }).await {
                Ok(0) => {
                    after = Some(provider);
                    left.get_or_insert_with(|| unreadable(provider));
                }
                Ok(_) => {}
                // It is the database's, and not this provider's.
                Err(fault) if fault.reason() != Reason::Internal => return Err(fault),
                Err(fault) => {
                    after = Some(provider);
                    left.get_or_insert(fault);
                }
            }
        }
    }

    fn blank(&self, user: &User) -> Blank {
        let letters = (user.email.clone(), self.mail.recipients(&user.email));
        let email_draft = self.mail.email_draft(self.ambient.now());
        Blank { letters, schedule: Arc::clone(&self.default_schedule), email_draft }
    }
}

struct Find(UserId);

impl Query for Find {
    type Output = Option<Erasure>;

    async fn run(&self, at: &Reader) -> Result<Self::Output, Fault> {
        store::find(at, self.0).await
    }
}

struct List {
    waiting: Vec<UserId>,
    limit: u64,
}

impl Query for List {
    type Output = Vec<Erasure>;

    async fn run(&self, at: &Reader) -> Result<Self::Output, Fault> {
        store::list(at, &self.waiting, self.limit).await
    }
}

fn unreadable(provider: ProviderId) -> Fault {
    Fault::internal(format!("appointments with {} cannot be read", provider.name()))
}

struct Next {
    user: UserId,
    after: Option<ProviderId>,
    now: Instant,
}

impl Query for Next {
    type Output = Option<ProviderId>;

    async fn run(&self, at: &Reader) -> Result<Self::Output, Fault> {
        store::appointments::next(at, self.user, self.after, self.now).await
    }
}
