//! Merging accounts of one person.

use super::commands::{Merge, account::Blank};
use crate::{
    accounts::{
        User, audit::AuditContext, service_accounts::service::ServiceAccounts,
        signing::token::Tokens, store::ById,
    },
    identity::{Origin, desk_permit::MergeCustomers, email::Email},
    kernel::{ambient::Ambient, fault::Fault, id::UserId, stamp::Revision},
    mail::service::Mail,
    storage::{Deadline, Store, idempotency::IdempotencyKey},
};

/// Service layer for the merging of accounts.
#[derive(Debug, Clone)]
pub struct Merging {
    store: Store,
    ambient: Ambient,
    mail: Mail,
    tokens: Tokens,
    service_accounts: ServiceAccounts,
}

impl Merging {
    /// On this database.
    pub fn new(
        (store, ambient): (Store, Ambient),
        mail: Mail,
        (tokens, service_accounts): (Tokens, ServiceAccounts),
    ) -> Self {
        Self { store, ambient, mail, tokens, service_accounts }
    }

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
        let audit_context = AuditContext::new(&self.ambient, Some(permit.caller.user), origin, now);
        let also = self.ambient.id(now);
        let unit = Merge { permit, blank, expected, also, idempotency_key, audit_context };
        let (user, ended) = self.store.run(deadline, unit).await?;
        if let Some(ended) = ended {
            self.tokens.end(duplicate, ended, self.ambient.now());
            self.service_accounts.know(duplicate).await;
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
