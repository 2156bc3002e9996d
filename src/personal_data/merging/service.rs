//! Merging accounts of one person.

use super::commands::{Merge, account::Blank};
use crate::{
    accounts::{
        User,
        service::{Accounts, ById},
    },
    identity::{Origin, desk_permit::MergeCustomers, email::Email},
    kernel::{fault::Fault, id::UserId, stamp::Revision},
    storage::{Deadline, idempotency::IdempotencyKey},
};

impl Accounts {
    /// Lets an account go into another one of the same person, with all that was booked with it.
    pub async fn merge(
        &self,
        deadline: Deadline,
        permit: MergeCustomers,
        expected: Option<Revision>,
        idempotency_key: IdempotencyKey,
        origin: Origin,
    ) -> Result<User, Fault> {
        let (duplicate, now) = (permit.duplicate, self.ambient.now());
        let blank = self.blank_of(deadline, duplicate).await?;
        let audit_context = self.audit_context(Some(permit.caller.user), origin, now);
        let also = self.ambient.id(now);
        let unit = Merge { permit, blank, expected, also, idempotency_key, audit_context };
        let (user, ended) = self.store.run(deadline, unit).await?;
        if let Some(ended) = ended {
            self.tokens.end(duplicate, ended, self.ambient.now());
            self.services.know(duplicate).await;
        }
        Ok(user)
    }
    /// What closing an account that is merged into another one needs to know of it.
    async fn blank_of(&self, deadline: Deadline, id: UserId) -> Result<Blank, Fault> {
        let gone = self.store.read(deadline, ById(id)).await?.map(|account| account.user);
        // Of one that is closed already there is no address. The unit of work looks whether it was merged.
        let email = gone.map_or_else(|| Email::none(id), |user| user.email);
        let recipients = self.mail.recipients(&email);
        Ok(Blank {
            letters: (email, recipients),
            email_draft: self.mail.email_draft(self.ambient.now()),
        })
    }
}
