//! The audit trail: what bears on security, written in the transaction of the act itself.

pub mod commands;
pub mod service;
pub mod store;

use serde_json::Value;
use uuid::Uuid;

pub use crate::events::audit::{AuditAction, AuditData};
use crate::{
    identity::Origin,
    kernel::{id::UserId, time::Instant},
};

/// One line of the trail: with its data where it is written; as it is read, with the JSON object that is stored, which
/// is told as it stands.
#[derive(Debug, Clone, PartialEq)]
pub struct AuditEntry<D = Value> {
    /// The id; ids ascend with time.
    pub id: Uuid,
    /// The time of the act, UTC.
    pub at: Instant,
    /// What was done, or refused.
    pub act: AuditAction,
    /// To whose account.
    pub user: Option<UserId>,
    /// Who did it, if that is known.
    pub actor: Option<UserId>,
    /// To which session.
    pub session: Option<Uuid>,
    /// From which address, if that is known.
    pub address: String,
    /// More about it: never a secret.
    pub detail: D,
    /// The id of the call that did it; empty if no call did.
    pub call_id: String,
}

/// Which entries to list.
#[derive(Debug, Clone, Default)]
pub struct Filter {
    /// Only of this account.
    pub user: Option<UserId>,
    /// Only entries with this action.
    pub act: Option<AuditAction>,
    /// Only from then on.
    pub from: Option<Instant>,
    /// Only before then.
    pub until: Option<Instant>,
}

/// Who acts, from where, under which id: what entries have in common.
#[derive(Debug, Clone)]
pub struct AuditContext {
    /// The id of the entry.
    pub id: Uuid,
    /// Who, if that is known.
    pub actor: Option<UserId>,
    /// Where the call comes from: IP address and client.
    pub origin: Origin,
    /// The time of the act, UTC.
    pub now: Instant,
}

impl AuditContext {
    /// An entry about an account.
    pub fn of(
        &self,
        detail: AuditData,
        user: Option<UserId>,
        session: Option<Uuid>,
    ) -> AuditEntry<AuditData> {
        AuditEntry {
            id: self.id,
            at: self.now,
            act: detail.kind(),
            user,
            actor: self.actor,
            session,
            address: self.origin.address_text(),
            detail,
            call_id: self.origin.call_id.clone(),
        }
    }
}
