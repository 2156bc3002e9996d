//! Merging accounts of one person.

use super::commands::merge::Merge;
use crate::{
    accounts::{User, service::Accounts},
    identity::{Origin, desk_permit::MergeCustomers},
    kernel::{fault::Fault, stamp::Revision},
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
}
