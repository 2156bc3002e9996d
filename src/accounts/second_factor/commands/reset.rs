//! An admin takes the second factor off another account.

use super::super::store;
use crate::{
    accounts::{
        User,
        audit::{AuditContext, AuditData},
        commands::{self, finish, resume},
        emails::commands::{Said, tell},
        store as accounts,
    },
    events::users::UserEvent,
    identity::{TokenCutoff, not_authenticated, permit::ChangeUser},
    kernel::{fault::Fault, stamp::Revision},
    mail::{EmailTemplate, service::EmailDraft},
    storage::{Authority, Tx, UnitOfWork, idempotency::IdempotencyKey},
};

/// Takes the second factor off another account.
#[derive(Debug, Clone)]
pub struct Reset {
    /// The right to.
    pub permit: ChangeUser,
    /// The state that was seen, if told.
    pub expected: Option<Revision>,
    /// The request, for retries.
    pub idempotency_key: IdempotencyKey,
    /// For telling the owner.
    pub email_draft: EmailDraft,
    /// Who does it.
    pub audit_context: AuditContext,
}

impl UnitOfWork for Reset {
    type Output = (User, TokenCutoff);
    const AUTHORITY: Authority = Authority::Caller;

    async fn run(&self, tx: &Tx) -> Result<Self::Output, Fault> {
        let ChangeUser { admin, subject } = self.permit;
        let now = self.audit_context.now;
        // As with other changes of accounts: the one who acts is an admin now.
        let (actor, account) = accounts::lock_both(tx, admin, subject).await?;
        if !actor.is_some_and(|actor| actor.user.administers()) {
            return Err(not_authenticated());
        }
        let (account, earlier) =
            resume(tx, account, subject, &self.idempotency_key, self.expected).await?;
        let present = TokenCutoff { least: account.token_generation, kept: None };
        if let Some(earlier) = earlier {
            return Ok((earlier, present));
        }
        let row = store::find(tx, subject).await?;
        if row.on.is_none() && row.pending_at(now).is_none() {
            let user = account.user;
            self.idempotency_key.keep(tx, subject.0, user.version, &user, now).await?;
            return Ok((user, present));
        }
        store::take_off(tx, subject).await?;
        if row.on.is_some() {
            let text = |Said { name, at, .. }| EmailTemplate::SecondFactorReset { name, at };
            tell(tx, &self.email_draft, &account.user, &self.audit_context, text).await?;
        }
        let ended = TokenCutoff { least: account.next_generation(now), kept: None };
        let act = commands::AccountEventDraft {
            event: UserEvent::SecondFactorReset,
            actor: admin,
            ended: Some(ended),
            audited: Some((AuditData::SecondFactorReset, &self.audit_context)),
        };
        let user = finish(tx, account, act, &self.idempotency_key, now).await?;
        Ok((user, ended))
    }
}
