//! Carrying erasures through: batch by batch, until nothing is left to do.

use std::time::Duration;

use super::{
    Erasure,
    commands::{Finish, anonymise::Anonymise},
    store,
};
use crate::{
    accounts::service::Accounts,
    kernel::{
        backoff::Backoff,
        fault::{Fault, Reason},
        id::{ProviderId, UserId},
        time::Instant,
    },
    storage::{Deadline, Query, Reader},
};

/// For a batch that no caller waits for.
const BACKGROUND: Duration = Duration::from_secs(5);
/// How many erasures are looked at together.
const TOGETHER: u64 = 20;
/// How many that failed are left out of a look at most.
const MOST_WAITING: usize = 1_000;

impl Accounts {
    /// Looks after the appointments of somebody who was just erased. Whether all of it could be done within
    /// the deadline is not the caller's concern: the account is gone, and the server goes on by itself.
    pub async fn look_after_appointments(&self, deadline: Deadline, user: UserId) {
        let done = async {
            match self.erasure(deadline, user).await? {
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
    pub async fn carry_erasures_through(
        &self,
        failed: &mut Backoff<UserId>,
    ) -> Result<usize, Fault> {
        let waiting = failed.waiting(self.ambient.now()).copied().take(MOST_WAITING).collect();
        let open = self.erasures(waiting, TOGETHER).await?;
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
