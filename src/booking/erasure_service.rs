//! Carrying erasures through: batch by batch, until nothing is left to do.

use std::time::Duration;

use crate::{
    accounts::{
        erasure::{Erasure, commands::Finish},
        service::Accounts,
    },
    booking::{commands::erase::Anonymise, store},
    kernel::{fault::Fault, id::ProviderId, id::UserId, time::Instant},
    storage::{Deadline, Query, Snapshot},
};

/// For a batch that no caller waits for.
const BACKGROUND: Duration = Duration::from_secs(5);
/// How many erasures are looked at together.
const TOGETHER: u64 = 20;

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

    /// Carries through what others began and could not end. Says how many erasures were ended.
    pub async fn carry_erasures_through(&self) -> Result<usize, Fault> {
        let open = self.erasures(TOGETHER).await?;
        let mut ended = 0;
        for erasure in open {
            self.carry_through(erasure, || Deadline::after(BACKGROUND)).await?;
            ended += 1;
        }
        Ok(ended)
    }

    async fn carry_through(
        &self,
        erasure: Erasure,
        deadline: impl Fn() -> Deadline + Send,
    ) -> Result<(), Fault> {
        let user = erasure.user;
        loop {
            let now = self.ambient.now();
            let Some(provider) = self.store.read(deadline(), Next { user, now }).await? else {
                return self.store.run(deadline(), Finish { user }).await;
            };
            self.store.run(deadline(), Anonymise { erasure, provider, now }).await?;
        }
    }
}

struct Next {
    user: UserId,
    now: Instant,
}

impl Query for Next {
    type Output = Option<ProviderId>;

    async fn run(&self, at: &Snapshot) -> Result<Self::Output, Fault> {
        store::erased::next(at, self.user, self.now).await
    }
}
