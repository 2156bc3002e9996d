//! The unit of work that writes down an export.

use crate::{
    accounts::audit::{self, AuditContext, AuditData},
    identity::Caller,
    kernel::fault::Fault,
    storage::{Authority, Tx, UnitOfWork},
};

/// Writes down that somebody asks for what is stored about them.
#[derive(Debug, Clone)]
pub struct NoteExport {
    /// Who asks.
    pub caller: Caller,
    /// Who does it.
    pub audit_context: AuditContext,
}

impl UnitOfWork for NoteExport {
    type Output = ();
    const AUTHORITY: Authority = Authority::Caller;

    async fn run(&self, tx: &Tx) -> Result<(), Fault> {
        tx.judge(self.caller).await?;
        let user = Some(self.caller.user);
        let entry = self.audit_context.of(AuditData::DataExported, user, None);
        audit::store::record(tx, entry).await
    }
}
