//! The unit of work that forgets old entries.

use super::{AuditContext, AuditData, store};
use crate::{
    events::audit::Forgotten,
    kernel::{fault::Fault, time::Instant},
    storage::{Authority, Tx, UnitOfWork},
};

/// Removes the oldest of the entries from before an instant, as many as one transaction is to hold, and tells of it
/// in the same transaction. Each batch of a command tells it in the same entry, so what that says is true
/// also of a command that was interrupted.
#[derive(Debug, Clone)]
pub struct DeleteOldEntries {
    /// Entries from before then.
    pub before: Instant,
    /// How many at most.
    pub limit: u64,
    /// How many the batches before removed.
    pub removed: u64,
    /// When, with the id of the entry; nobody in person.
    pub audit_context: AuditContext,
}

impl UnitOfWork for DeleteOldEntries {
    /// How many it removed.
    type Output = u64;
    const AUTHORITY: Authority = Authority::Nobody;

    async fn run(&self, tx: &Tx) -> Result<u64, Fault> {
        let removed = store::forget(tx, self.before, self.limit).await?;
        if removed == 0 {
            return Ok(0);
        }
        let removed_in_all = self.removed + removed;
        let detail =
            AuditData::AuditForgotten(Forgotten { before: self.before, removed: removed_in_all });
        if self.removed == 0 {
            let entry = self.audit_context.of(detail, None, None);
            store::record(tx, entry).await?;
        } else {
            store::tell_more(tx, self.audit_context.id, &detail).await?;
        }
        Ok(removed)
    }
}
