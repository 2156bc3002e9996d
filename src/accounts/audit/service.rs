//! The context of the entries of an operation, and what admins and operators can do with the audit trail.

use uuid::Uuid;

use super::{AuditContext, AuditEntry, Filter, commands::DeleteOldEntries, store};
use crate::{
    identity::{Origin, permit::ManageUsers},
    kernel::{
        ambient::Ambient,
        fault::{Fault, Violations},
        id::UserId,
        time::Instant,
    },
    storage::{Deadline, Query, Reader, Store},
};

/// How many entries go in one transaction: few enough that nobody waits for it.
const BATCH: u64 = 1000;

impl AuditContext {
    /// The context of an operation at this time, with a new id.
    pub(crate) fn new(
        ambient: &Ambient,
        actor: Option<UserId>,
        origin: Origin,
        now: Instant,
    ) -> Self {
        Self { id: ambient.id(now), actor, origin, now }
    }
}

/// Service layer for the audit trail.
#[derive(Debug, Clone)]
pub struct AuditTrail {
    store: Store,
    ambient: Ambient,
}

impl AuditTrail {
    /// On this database.
    pub fn new((store, ambient): (Store, Ambient)) -> Self {
        Self { store, ambient }
    }

    /// A page of the audit trail, latest first.
    pub async fn list(
        &self,
        deadline: Deadline,
        _permit: ManageUsers,
        filter: Filter,
        before: Option<Uuid>,
        limit: u64,
    ) -> Result<Vec<AuditEntry>, Fault> {
        self.store.read(deadline, List { filter, before, limit }).await
    }

    /// For the command line: removes the entries from before an instant, which must not lie ahead. Returns how
    /// many those were; where there are any, one entry tells of it. Needs the right to remove
    /// them, which the role that serves need not have.
    pub async fn remove_before(
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
        let audit_context = AuditContext::new(&self.ambient, None, Origin::default(), now);
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

struct List {
    filter: Filter,
    before: Option<Uuid>,
    limit: u64,
}

impl Query for List {
    type Output = Vec<AuditEntry>;

    async fn run(&self, at: &Reader) -> Result<Self::Output, Fault> {
        store::list(at, &self.filter, self.before, self.limit).await
    }
}
