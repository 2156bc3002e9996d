//! What operators can do with the audit trail.

use super::commands::DeleteOldEntries;
use crate::{
    accounts::service::Accounts,
    identity::Origin,
    kernel::{
        fault::{Fault, Violations},
        time::Instant,
    },
    storage::Deadline,
};

/// How many entries go in one transaction: few enough that nobody waits for it.
const BATCH: u64 = 1000;

impl Accounts {
    /// For the command line: removes the entries from before an instant, which must not lie ahead. Returns how
    /// many those were; where there are any, one entry tells of it. Needs the right to remove
    /// them, which the role that serves need not have.
    pub async fn forget_audit(
        &self,
        before: Instant,
        deadline: impl Fn() -> Deadline,
    ) -> Result<u64, Fault> {
        let now = self.ambient.now();
        if before > now {
            let mut violations = Violations::new();
            violations.add("before", "must not lie ahead");
            return Err(violations.into_fault());
        }
        let audit_context = self.audit_context(None, Origin::default(), now);
        let mut removed = 0;
        loop {
            let unit = DeleteOldEntries {
                before,
                limit: BATCH,
                removed,
                audit_context: audit_context.clone(),
            };
            let more = self.store.run(deadline(), unit).await?;
            removed += more;
            // Not to look through all that is kept for what is not there.
            if more < BATCH {
                return Ok(removed);
            }
        }
    }
}
