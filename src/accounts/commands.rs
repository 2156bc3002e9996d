//! Units of work on accounts. Each locks the account first, or two in the order of their ids, and the
//! provider after it.

use std::sync::Arc;

use super::{
    User,
    audit::{self, AuditContext, AuditData},
    emails, sessions,
    store::{self, Account},
};
use crate::{
    events::users::{Profile, RoleGiven, UserEvent},
    identity::{Role, TokenCutoff, not_authenticated, permit::ChangeUser, phone::Phone},
    kernel::{fault::Fault, id::UserId, stamp::Revision, time::Instant, zone::Zone},
    mail::{self, OutboxEmail},
    schedule::{self, Schedule},
    storage::{Authority, Tx, UnitOfWork, idempotency::IdempotencyKey},
};

/// Makes an account.
#[derive(Debug, Clone)]
pub struct SignUp {
    /// The account to make.
    pub account: Account,
    /// The schedule to begin with, when it is a provider.
    pub schedule: Arc<Schedule>,
    /// The code by which its address can be verified, and the email that it is in.
    pub verification: Option<(emails::StoredCode, OutboxEmail)>,
    /// The request, for retries.
    pub idempotency_key: IdempotencyKey,
    /// Who does it.
    pub audit_context: AuditContext,
}

impl UnitOfWork for SignUp {
    type Output = User;
    const AUTHORITY: Authority = Authority::Caller;

    async fn run(&self, tx: &Tx) -> Result<User, Fault> {
        if let Some((earlier, _)) = self.idempotency_key.earlier(tx).await? {
            return Ok(earlier);
        }
        let now = self.account.user.created_at;
        let user = open(tx, self.account.clone(), &self.schedule, &self.audit_context).await?;
        if let Some((code, letter)) = &self.verification {
            emails::store::insert(tx, code).await?;
            mail::store::insert(tx, [letter]).await?;
        }
        self.idempotency_key.keep(tx, user.id.0, user.version, &user, now).await?;
        Ok(user)
    }
}

/// Makes an account, with the schedule of the provider that it may be. `EMAIL_TAKEN` when there is one with
/// its address. Gives it as it is stored.
pub(in crate::accounts) async fn open(
    tx: &Tx,
    account: Account,
    schedule: &Arc<Schedule>,
    audit_context: &AuditContext,
) -> Result<User, Fault> {
    let recorded = Recorded { audit: AuditData::AccountCreated, event: UserEvent::SignedUp };
    open_as(tx, account, schedule, audit_context, recorded).await
}

/// What records the making of an account, with its role.
#[derive(Debug, Clone, Copy)]
pub(in crate::accounts) struct Recorded {
    /// In the audit trail.
    pub audit: fn(RoleGiven) -> AuditData,
    /// In the history of the account.
    pub event: fn(RoleGiven) -> UserEvent,
}

/// The same, recorded as one of several things.
pub(in crate::accounts) async fn open_as(
    tx: &Tx,
    mut account: Account,
    schedule: &Arc<Schedule>,
    audit_context: &AuditContext,
    recorded: Recorded,
) -> Result<User, Fault> {
    let now = account.user.created_at;
    account.user.stamp = tx.stamp();
    store::insert(tx, &account).await?;
    let user = account.user;
    // Nobody else can hold the new account: the address is what two sign-ups meet at.
    let role = RoleGiven { role: user.role };
    let entry = audit_context.of((recorded.audit)(role), Some(user.id), None);
    audit::store::record(tx, entry).await?;
    store::record(tx, &user, audit_context.actor, now, &(recorded.event)(role)).await?;
    if let Some(provider) = user.provider() {
        let (name, actor) = (&user.display_name, audit_context.actor.unwrap_or(user.id));
        schedule::commands::open(tx, provider, name, schedule, Some(actor), now).await?;
    }
    Ok(user)
}

/// Changes one's own name, zone or phone number.
#[derive(Debug, Clone)]
pub struct UpdateProfile {
    /// The id of the account that is changed, which is the caller's.
    pub user: UserId,
    /// The new name, if it changes.
    pub display_name: Option<String>,
    /// The new zone, if it changes.
    pub time_zone: Option<Zone>,
    /// The new phone number, or that there is none, if it changes.
    pub phone: Option<Option<Phone>>,
    /// The state that was seen, if told.
    pub expected: Option<Revision>,
    /// The request, for retries.
    pub idempotency_key: IdempotencyKey,
    /// The time of the change.
    pub now: Instant,
}

impl UnitOfWork for UpdateProfile {
    type Output = User;
    const AUTHORITY: Authority = Authority::Caller;

    async fn run(&self, tx: &Tx) -> Result<User, Fault> {
        let account = match self.display_name {
            Some(_) => {
                // In the order of those who change appointments: providers, then customers.
                schedule::store::lock_version(tx, self.user.as_provider()).await?;
                store::lock_to_rename(tx, self.user).await?
            }
            None => store::lock(tx, self.user).await?,
        };
        let (mut account, earlier) =
            resume(tx, account, self.user, &self.idempotency_key, self.expected).await?;
        if let Some(earlier) = earlier {
            return Ok(earlier);
        }
        let user = &mut account.user;
        if let Some(name) = &self.display_name {
            user.display_name.clone_from(name);
        }
        if let Some(zone) = self.time_zone {
            user.time_zone = zone;
        }
        if let Some(phone) = &self.phone {
            user.phone.clone_from(phone);
        }
        let event = UserEvent::ProfileChanged(Profile {
            display_name: user.display_name.clone(),
            time_zone: user.time_zone,
            phone_changed: Some(self.phone.is_some()),
        });
        let act = AccountEventDraft { event, actor: self.user, ended: None, audited: None };
        let user = finish(tx, account, act, &self.idempotency_key, self.now).await?;
        if self.display_name.is_some() {
            // After the provider that the account may be was locked, as those do who change its appointments.
            store::rename_appointments(tx, &user, self.now).await?;
        }
        Ok(user)
    }
}

/// What an admin changes about another account.
#[derive(Debug, Clone, Copy)]
pub enum AccountChange {
    /// Gives it this role.
    Role(Role),
    /// Shuts it out, or lets it in again.
    Disabled(bool),
}

/// Changes another account.
#[derive(Debug, Clone)]
pub struct ChangeAccount {
    /// The right to.
    pub permit: ChangeUser,
    /// The requested change.
    pub change: AccountChange,
    /// The schedule to begin with, when the account becomes a provider that can be booked for the
    /// first time.
    pub schedule: Arc<Schedule>,
    /// The state that was seen, if told.
    pub expected: Option<Revision>,
    /// The request, for retries.
    pub idempotency_key: IdempotencyKey,
    /// Who does it.
    pub audit_context: AuditContext,
}

impl UnitOfWork for ChangeAccount {
    type Output = (User, TokenCutoff);
    const AUTHORITY: Authority = Authority::Caller;

    async fn run(&self, tx: &Tx) -> Result<Self::Output, Fault> {
        let ChangeUser { admin, subject } = self.permit;
        let now = self.audit_context.now;
        if matches!(
            self.change,
            AccountChange::Role(Role::Provider) | AccountChange::Disabled(false)
        ) {
            // It may make a provider.
            schedule::store::closures::wait_for_closures(tx).await?;
        }
        // The permit was given by a token, before this transaction. With both rows locked the one who
        // acts is an admin now and stays one, so an installation is never left without.
        let (actor, account) = match self.change {
            AccountChange::Role(Role::Provider) => {
                store::lock_both_to_open(tx, admin, subject).await?
            }
            _ => store::lock_both(tx, admin, subject).await?,
        };
        if !actor.is_some_and(|actor| actor.user.administers()) {
            return Err(not_authenticated());
        }
        let (mut account, earlier) =
            resume(tx, account, subject, &self.idempotency_key, self.expected).await?;
        let present = TokenCutoff { least: account.token_generation, kept: None };
        if let Some(earlier) = earlier {
            return Ok((earlier, present));
        }
        let user = &mut account.user;
        let before = (user.role, user.disabled);
        let (event, audited) = match self.change {
            AccountChange::Role(role) => {
                user.role = role;
                let given = RoleGiven { role };
                (UserEvent::RoleChanged(given), AuditData::RoleChanged(given))
            }
            AccountChange::Disabled(disabled) => {
                user.disabled = disabled;
                if disabled {
                    (UserEvent::Disabled, AuditData::Disabled)
                } else {
                    (UserEvent::Enabled, AuditData::Enabled)
                }
            }
        };
        if before == (user.role, user.disabled) {
            self.idempotency_key.keep(tx, subject.0, user.version, user, now).await?;
            return Ok((account.user, present));
        }
        if user.bookable() {
            let zoned = Arc::new(self.schedule.in_zone(user.time_zone));
            let (provider, name) = (subject.as_provider(), &user.display_name);
            schedule::commands::open(tx, provider, name, &zoned, Some(admin), now).await?;
        }
        // Who is let in again has no tokens that could still be good.
        let ended = (event != UserEvent::Enabled)
            .then(|| TokenCutoff { least: account.next_generation(now), kept: None });
        let audited = Some((audited, &self.audit_context));
        let act = AccountEventDraft { event, actor: admin, ended, audited };
        let user = finish(tx, account, act, &self.idempotency_key, now).await?;
        Ok((user, ended.unwrap_or(present)))
    }
}

/// Locks the account, looks for an earlier answer, and checks the version that was seen.
pub(super) async fn begin(
    tx: &Tx,
    user: UserId,
    idempotency_key: &IdempotencyKey,
    expected: Option<Revision>,
) -> Result<(Account, Option<User>), Fault> {
    let account = store::lock(tx, user).await?;
    resume(tx, account, user, idempotency_key, expected).await
}

/// The same for an account that is locked already, if there is one.
pub(super) async fn resume(
    tx: &Tx,
    account: Option<Account>,
    user: UserId,
    idempotency_key: &IdempotencyKey,
    expected: Option<Revision>,
) -> Result<(Account, Option<User>), Fault> {
    let account = account.ok_or_else(|| Fault::not_found(user.name()))?;
    if let Some((earlier, _)) = idempotency_key.earlier(tx).await? {
        return Ok((account, Some(earlier)));
    }
    if expected.is_some_and(|seen| seen != account.user.revision()) {
        return Err(Fault::stale());
    }
    Ok((account, None))
}

/// A change of an account, for the records.
pub(crate) struct AccountEventDraft<'a> {
    pub event: UserEvent,
    pub actor: UserId,
    pub ended: Option<TokenCutoff>,
    pub audited: Option<(AuditData, &'a AuditContext)>,
}

/// Writes the account back with its next version, records the change, lets the provider that it may be
/// follow, and keeps the answer.
pub(crate) async fn finish(
    tx: &Tx,
    mut account: Account,
    act: AccountEventDraft<'_>,
    idempotency_key: &IdempotencyKey,
    now: Instant,
) -> Result<User, Fault> {
    account.user.version += 1;
    account.user.stamp = tx.stamp();
    account.user.updated_at = now;
    account.user.has_password = !account.password_hash.is_empty();
    store::update(tx, &account, act.ended.map(|ended| (ended, now))).await?;
    let user = account.user;
    if let Some(ended) = act.ended {
        let why = sessions::End::AccountChanged;
        sessions::store::end_others(tx, user.id, ended.kept, why, now).await?;
    }
    if let Some((audited, audit_context)) = act.audited {
        audit::store::record(tx, audit_context.of(audited, Some(user.id), None)).await?;
    }
    store::record(tx, &user, Some(act.actor), now, &act.event).await?;
    let (provider, name) = (user.id.as_provider(), &user.display_name);
    schedule::commands::change(tx, provider, name, user.bookable(), Some(act.actor), now).await?;
    idempotency_key.keep(tx, user.id.0, user.version, &user, now).await?;
    Ok(user)
}
