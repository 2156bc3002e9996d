//! Units of work that erase accounts.

pub mod anonymise;

use std::sync::Arc;

use super::{Erasure, last_admin, store};
use crate::{
    accounts::{
        User,
        audit::{self, AuditContext, AuditData},
        emails::commands::{Said, tell},
        passwords::commands::wrong_password,
        second_factor::commands::{Checked, Done, Reauthentication},
        store::{self as accounts, Account},
    },
    catalogue,
    events::{
        types::TypeEvent,
        users::{AccountErasure, UserEvent},
    },
    identity::{Role, TokenCutoff, email::Email, not_authenticated, permit::ChangeUser},
    kernel::{fault::Fault, id::UserId, stamp::Revision, time::Instant, zone::Zone},
    mail::{self, EmailTemplate, Recipient, service::EmailDraft},
    schedule::{self, Schedule},
    storage::{Authority, Tx, UnitOfWork, idempotency::IdempotencyKey},
};

/// What takes the place of everything about a person.
#[derive(Debug, Clone)]
pub struct Blank {
    /// The address that the account had when the caller was asked, and what emails to it are found by.
    pub letters: (Email, Vec<Recipient>),
    /// The schedule of the provider that it may be.
    pub schedule: Arc<Schedule>,
    /// For the last email.
    pub email_draft: EmailDraft,
}

/// Deletes the caller's own account.
#[derive(Clone)]
pub struct Delete {
    /// The right to: password and code.
    pub own: Reauthentication,
    /// The role that the account had when the password was verified.
    pub role: Role,
    /// What is left.
    pub blank: Blank,
}

impl UnitOfWork for Delete {
    type Output = Done<TokenCutoff>;
    const AUTHORITY: Authority = Authority::Caller;

    async fn run(&self, tx: &Tx) -> Result<Self::Output, Fault> {
        let Reauthentication { user, audit_context, .. } = &self.own;
        let user = *user;
        // All admins in the order of their ids, so that of the last two only one can go.
        if self.role == Role::Admin && !store::lock_admins(tx).await?.iter().any(|id| *id != user) {
            return Err(last_admin());
        }
        // Gone since the token was checked.
        let account = accounts::lock_to_erase(tx, user).await?.ok_or_else(not_authenticated)?;
        if account.user.role != self.role {
            return Err(wrong_password());
        }
        if let Some(((), _)) = self.own.idempotency_key.earlier(tx).await? {
            return Err(Fault::unchecked());
        }
        let account = match self.own.check_locked(tx, account).await? {
            Ok(Checked::Right(account) | Checked::Off(account)) => *account,
            Err(not) => return Ok(Err(not)),
        };
        // A code that was used up has its own line with its own id.
        wipe(tx, account, &self.blank, user, (AuditData::AccountDeleted, audit_context))
            .await
            .map(Ok)
    }
}

/// Erases another account.
#[derive(Debug, Clone)]
pub struct Erase {
    /// The right to.
    pub permit: ChangeUser,
    /// The state that was seen, if told.
    pub expected: Option<Revision>,
    /// What is left.
    pub blank: Blank,
    /// The request, for retries.
    pub idempotency_key: IdempotencyKey,
    /// Who does it.
    pub audit_context: AuditContext,
}

impl UnitOfWork for Erase {
    /// What is accepted of its tokens; nothing where it was done by the same request before.
    type Output = Option<TokenCutoff>;
    const AUTHORITY: Authority = Authority::Caller;

    async fn run(&self, tx: &Tx) -> Result<Self::Output, Fault> {
        let ChangeUser { admin, subject } = self.permit;
        // As with other changes of accounts: the one who acts is an admin now, and stays one.
        let actor = accounts::lock_both_to_erase(tx, admin, subject).await?;
        if !actor.is_some_and(|actor| actor.user.administers()) {
            return Err(not_authenticated());
        }
        if self.idempotency_key.earlier::<()>(tx).await?.is_some() {
            return Ok(None);
        }
        let account = accounts::lock_to_erase(tx, subject).await?;
        let account = account.ok_or_else(|| Fault::not_found(subject.name()))?;
        if self.expected.is_some_and(|seen| seen != account.user.revision()) {
            return Err(Fault::stale());
        }
        let version = account.user.version + 1;
        let erasure = AccountErasure::default();
        let audited = (AuditData::AccountErased(erasure), &self.audit_context);
        let ended = wipe(tx, account, &self.blank, admin, audited).await?;
        // After the wipe, which takes all that was kept about the account.
        self.idempotency_key.keep(tx, subject.0, version, &(), self.audit_context.now).await?;
        Ok(Some(ended))
    }
}

/// Takes everything about a person from a locked account, and from what belongs to it alone.
async fn wipe(
    tx: &Tx,
    account: Account,
    blank: &Blank,
    actor: UserId,
    (audited, audit_context): (AuditData, &AuditContext),
) -> Result<TokenCutoff, Fault> {
    let (id, now) = (account.user.id, audit_context.now);
    let (address, recipients) = &blank.letters;
    if account.user.email != *address {
        // The address changed meanwhile: the emails to it were looked for in vain.
        return Err(Fault::stale());
    }
    mail::store::remove_to(tx, recipients).await?;
    // The one email that is left of the person, sealed: it goes out or ends within a day.
    let text = |Said { name, at, address }| match audited {
        AuditData::AccountDeleted => EmailTemplate::AccountDeleted { name, at, address },
        _ => EmailTemplate::AccountErased { name, at },
    };
    tell(tx, &blank.email_draft, &account.user, audit_context, text).await?;
    let ended = TokenCutoff { least: account.next_generation(now), kept: None };
    let user = User {
        version: account.user.version + 1,
        stamp: tx.stamp(),
        updated_at: now,
        ..account.user.closed()
    };
    let erased = Account { user, password_hash: String::new(), ..account.clone() };
    accounts::update(tx, &erased, Some((ended, now))).await?;
    store::erase(tx, &account.user, now).await?;
    audit::store::record(tx, audit_context.of(audited, Some(id), None)).await?;
    let event = UserEvent::Erased(AccountErasure::default());
    accounts::record(tx, &erased.user, Some(actor), now, &event).await?;
    wipe_provider(tx, &erased.user, blank, actor, now).await?;
    store::insert(tx, Erasure { user: id, actor, at: now }).await?;
    Ok(ended)
}

/// The provider that the account was, if it ever was one: closed, without name, hours, plan, offerings and
/// types of its own.
async fn wipe_provider(
    tx: &Tx,
    user: &User,
    blank: &Blank,
    actor: UserId,
    now: Instant,
) -> Result<(), Fault> {
    let id = user.id.as_provider();
    if schedule::store::lock_head(tx, id).await?.is_none() {
        return Ok(());
    }
    for own in store::own_types(tx, id).await? {
        let Some(mut own) = catalogue::store::lock(tx, own).await? else { continue };
        store::forget_type_details(tx, own.id).await?;
        own.terms.display_name = String::new();
        own.terms.description = String::new();
        own.terms.price = String::new();
        own.terms.place = String::new();
        own.terms.questions = Vec::new();
        own.archived = true;
        own.version += 1;
        own.stamp = tx.stamp();
        own.updated_at = now;
        catalogue::store::update(tx, &own).await?;
        catalogue::store::record(tx, &own, actor, now, &TypeEvent::Archived).await?;
    }
    store::withdraw_all(tx, id).await?;
    store::forget_schedule_details(tx, id).await?;
    // Last, so that the event that says that it cannot be booked is not forgotten.
    let schedule = Arc::new(blank.schedule.in_zone(Zone::UTC));
    schedule::commands::close(tx, id, schedule, actor, now).await
}

/// Notes that nothing is left to do of an erasure.
#[derive(Debug, Clone, Copy)]
pub struct Finish {
    /// The id of the erased account.
    pub user: UserId,
}

impl UnitOfWork for Finish {
    type Output = ();
    const AUTHORITY: Authority = Authority::Nobody;

    async fn run(&self, tx: &Tx) -> Result<(), Fault> {
        store::finish(tx, self.user).await
    }
}
