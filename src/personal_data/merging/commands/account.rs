//! Closing the account of a duplicate, and what the account that stays takes from it.

use uuid::Uuid;

use crate::{
    accounts::{
        User,
        audit::{self, AuditContext, AuditData},
        commands::{AccountEventDraft, finish},
        customers::store,
        emails::commands::{Said, tell},
        store::{self as accounts, Account},
    },
    events::users::{AccountErasure, DuplicateMerged, UserEvent},
    identity::{Role, TokenCutoff, email::Email},
    kernel::{
        fault::{Fault, Reason},
        id::UserId,
    },
    mail::{self, EmailTemplate, Recipient, service::EmailDraft},
    personal_data::erasure::{self, Erasure},
    storage::{Tx, idempotency::IdempotencyKey},
};

/// What a closed account's owner is told, and what emails to it are found by.
#[derive(Debug, Clone)]
pub struct Blank {
    /// The address that the account had when the caller was asked, and what emails to it are found by.
    pub letters: (Email, Vec<Recipient>),
    /// For the last email.
    pub email_draft: EmailDraft,
}

/// Refuses to merge who is no customer, or was a provider: whose time is booked is not taken for somebody else.
pub fn may_be_merged(user: &User, was_provider: bool) -> Result<(), Fault> {
    if user.role == Role::Customer && !was_provider {
        return Ok(());
    }
    let text = "only accounts of customers who never were providers are merged";
    Err(Fault::new(Reason::WrongState, text).with("user", user.id.name()))
}

/// Whether the account that stays takes the address of the duplicate, having none.
fn takes_address(kept: &User, gone: &User) -> bool {
    !kept.email.is_address() && gone.email.is_address()
}

/// Closes the locked account of a duplicate for good, as an erasure does: nobody logs in with it, and its name finds
/// nobody. Gives which of its tokens are still accepted.
pub async fn close(
    tx: &Tx,
    gone: &Account,
    (blank, kept): (&Blank, &User),
    (actor, also): (UserId, Uuid),
    audit_context: &AuditContext,
) -> Result<TokenCutoff, Fault> {
    let (id, now) = (gone.user.id, audit_context.now);
    let (address, recipients) = &blank.letters;
    if gone.user.email != *address {
        // The address changed meanwhile: the emails to it were looked for in vain.
        return Err(Fault::stale());
    }
    mail::store::remove_to(tx, recipients).await?;
    if !takes_address(kept, &gone.user) {
        let text = |Said { name, at, .. }| EmailTemplate::AccountMerged { name, at };
        tell(tx, &blank.email_draft, &gone.user, audit_context, text).await?;
    }
    let ended = TokenCutoff { least: gone.next_generation(now), kept: None };
    let version = gone.user.version + 1;
    let (stamp, closed) = (tx.stamp(), gone.user.closed());
    let user = User { version, stamp, updated_at: now, ..closed };
    let closed = Account { user, password_hash: String::new(), ..gone.clone() };
    accounts::update(tx, &closed, Some((ended, now))).await?;
    erasure::store::erase(tx, &gone.user, now).await?;
    store::set_merged_into(tx, id, kept.id).await?;
    let erasure = AccountErasure { merged_into: Some(kept.id) };
    let told = AuditContext { id: also, ..audit_context.clone() };
    let entry = told.of(AuditData::AccountErased(erasure), Some(id), None);
    audit::store::record(tx, entry).await?;
    let event = UserEvent::Erased(erasure);
    accounts::record(tx, &closed.user, Some(actor), now, &event).await?;
    // What calls under way write meanwhile is taken as after any other erasure.
    erasure::store::insert(tx, Erasure { user: id, actor, at: now }).await?;
    Ok(ended)
}

/// Notes in the locked account that stays what went into it. It takes the address and the phone number where it has
/// none; and with the address the password that is used with it, where it has none.
pub async fn take_in(
    tx: &Tx,
    mut kept: Account,
    gone: &Account,
    idempotency_key: &IdempotencyKey,
    audit_context: &AuditContext,
) -> Result<User, Fault> {
    if takes_address(&kept.user, &gone.user) {
        kept.user.email.clone_from(&gone.user.email);
        kept.user.email_verified_at = gone.user.email_verified_at;
        if kept.password_hash.is_empty() {
            kept.password_hash.clone_from(&gone.password_hash);
        }
    }
    if kept.user.phone.is_none() {
        kept.user.phone.clone_from(&gone.user.phone);
    }
    let actor = audit_context.actor.unwrap_or(kept.user.id);
    let merged = DuplicateMerged { duplicate: gone.user.id };
    let act = AccountEventDraft {
        event: UserEvent::Merged(merged),
        actor,
        ended: None,
        audited: Some((AuditData::CustomersMerged(merged), audit_context)),
    };
    finish(tx, kept, act, idempotency_key, audit_context.now).await
}
