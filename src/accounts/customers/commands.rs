//! Units of work of the front desk. Each locks the account first.

use std::{sync::Arc, time::Duration};

use super::{Correction, store};
use crate::{
    accounts::{
        User,
        audit::{self, AuditContext, AuditData},
        commands::{AccountEventDraft, Recorded, finish, open_as, resume},
        emails,
        store::{self as accounts, Account},
        throttling::store::{Reserved, ThrottleKeySet},
    },
    events::users::{FieldsCorrected, RoleGiven, UserEvent, UserField},
    identity::{
        Role,
        desk_permit::{ContactScope, CorrectCustomer, EnrolCustomers},
        email::Email,
    },
    kernel::{
        fault::{Fault, Reason, Violations},
        id::UserId,
        stamp::Revision,
    },
    mail::{self, OutboxEmail},
    schedule::{self, Schedule},
    storage::{Authority, Tx, UnitOfWork, idempotency::IdempotencyKey},
};

/// A code that invites somebody to take an account over, with the email that it is in.
#[derive(Debug, Clone)]
pub struct Invitation {
    /// The emailed code, as it is stored.
    pub code: emails::StoredCode,
    /// The emails that are sent: the one with the code, and others if any.
    pub letters: Vec<OutboxEmail>,
    /// What mail to this address is counted by.
    pub counted: ThrottleKeySet,
}

/// Makes an account for somebody else. It has no password.
#[derive(Debug, Clone)]
pub struct Enrol {
    /// The account to make.
    pub account: Account,
    /// The schedule to begin with, when it is a provider.
    pub schedule: Arc<Schedule>,
    /// What invites its owner, where that is asked for. When there was too much mail to the address it is not
    /// sent, and the account is made all the same.
    pub invitation: Option<Invitation>,
    /// What the trail calls it.
    pub audit: fn(RoleGiven) -> AuditData,
    /// The request, for retries.
    pub idempotency_key: IdempotencyKey,
    /// Who does it.
    pub audit_context: AuditContext,
}

impl UnitOfWork for Enrol {
    type Output = User;
    const AUTHORITY: Authority = Authority::Caller;

    async fn run(&self, tx: &Tx) -> Result<User, Fault> {
        if let Some((earlier, _)) = self.idempotency_key.earlier(tx).await? {
            return Ok(earlier);
        }
        let recorded = Recorded { audit: self.audit, event: UserEvent::Enrolled };
        let account = self.account.clone();
        let user = open_as(tx, account, &self.schedule, &self.audit_context, recorded).await?;
        if let Some(Invitation { code, letters, counted }) = &self.invitation {
            emails::commands::post(tx, code, letters, counted).await?;
        }
        self.idempotency_key
            .keep(tx, user.id.0, user.version, &user, self.audit_context.now)
            .await?;
        Ok(user)
    }
}

/// Invites the owner of an account without a password to take it over.
#[derive(Debug, Clone)]
pub struct Invite {
    /// The right to.
    pub permit: EnrolCustomers,
    /// Whose account it is.
    pub user: UserId,
    /// The code, for the address that the account had when the caller was asked.
    pub invitation: Invitation,
    /// The request, for retries.
    pub idempotency_key: IdempotencyKey,
    /// Who does it.
    pub audit_context: AuditContext,
}

impl UnitOfWork for Invite {
    type Output = ();
    const AUTHORITY: Authority = Authority::Caller;

    async fn run(&self, tx: &Tx) -> Result<(), Fault> {
        let now = self.audit_context.now;
        let absent = || Fault::not_found(self.user.name());
        let account = accounts::lock(tx, self.user).await?.ok_or_else(absent)?;
        if self.idempotency_key.earlier::<()>(tx).await?.is_some() {
            return Ok(());
        }
        if let ContactScope::KnownTo(provider) = self.permit.reach
            && !store::knows(tx, provider, self.user, now).await?
        {
            return Err(absent());
        }
        let user = &account.user;
        may_be_invited(user)?;
        let Invitation { code, letters, counted } = &self.invitation;
        if code.email != user.email {
            // It changed meanwhile.
            return Err(Fault::stale());
        }
        if let Reserved::Wait(wait) = counted.reserve(tx, now).await? {
            emails::commands::held_back(code, wait);
            let text = "there was too much mail to this address; wait before inviting once more";
            let wait = wait.to_std().unwrap_or(Duration::from_secs(1));
            return Err(Fault::new(Reason::TooManyAttempts, text).retry_after(wait));
        }
        emails::commands::put(tx, code, letters).await?;
        let entry = self.audit_context.of(AuditData::CustomerInvited, Some(self.user), None);
        audit::store::record(tx, entry).await?;
        // It is no version of the account, and the answer says nothing about anybody.
        self.idempotency_key.keep(tx, self.audit_context.id, 0, &(), now).await
    }
}

/// Refuses to invite somebody who cannot take their account over by mail.
pub fn may_be_invited(user: &User) -> Result<(), Fault> {
    let text = if user.has_password {
        "the account has a password: its owner logs in, or asks for a new one"
    } else if user.disabled {
        "the account is disabled; enable it first"
    } else if !user.email.is_address() {
        "the account has no email address; add one first"
    } else {
        return Ok(());
    };
    Err(Fault::new(Reason::WrongState, text))
}

/// Corrects another account.
#[derive(Debug, Clone)]
pub struct Correct {
    /// The right to.
    pub permit: CorrectCustomer,
    /// The corrected fields; absent ones stay.
    pub correction: Correction,
    /// The address that the account had when the caller was asked.
    pub seen: Email,
    /// By which the owner of an account with a password shows that a new address is theirs.
    pub verification: Option<(emails::StoredCode, OutboxEmail)>,
    /// What tells the former address.
    pub letter: Option<OutboxEmail>,
    /// The state that was seen, if told.
    pub expected: Option<Revision>,
    /// The request, for retries.
    pub idempotency_key: IdempotencyKey,
    /// Who does it.
    pub audit_context: AuditContext,
}

impl UnitOfWork for Correct {
    type Output = User;
    const AUTHORITY: Authority = Authority::Caller;

    async fn run(&self, tx: &Tx) -> Result<User, Fault> {
        let (id, now) = (self.permit.subject, self.audit_context.now);
        let account = match self.correction.display_name {
            Some(_) => {
                // In the order of those who change appointments: providers, then customers.
                schedule::store::lock_version(tx, id.as_provider()).await?;
                accounts::lock_to_rename(tx, id).await?
            }
            None => accounts::lock(tx, id).await?,
        };
        let (mut account, earlier) =
            resume(tx, account, id, &self.idempotency_key, self.expected).await?;
        if let Some(earlier) = earlier {
            return Ok(earlier);
        }
        let before = account.user.clone();
        let changed = self.apply(&mut account.user)?;
        if changed.is_empty() {
            self.idempotency_key.keep(tx, id.0, before.version, &before, now).await?;
            return Ok(before);
        }
        if before.email != account.user.email {
            if before.email != self.seen {
                // The emails were written to another one.
                return Err(Fault::stale());
            }
            // Codes that went to the former address are not good for the new one.
            emails::store::remove_of(tx, id, None).await?;
            if let Some((code, letter)) = &self.verification {
                emails::store::insert(tx, code).await?;
                mail::store::insert(tx, [letter]).await?;
            }
            mail::store::insert(tx, &self.letter).await?;
        }
        // Which fields, and not what stands in them: the trail outlives the account.
        let corrected = FieldsCorrected { fields: changed };
        let act = AccountEventDraft {
            event: UserEvent::Corrected(corrected.clone()),
            actor: self.permit.caller.user,
            ended: None,
            audited: Some((AuditData::CustomerUpdated(corrected), &self.audit_context)),
        };
        let user = finish(tx, account, act, &self.idempotency_key, now).await?;
        if user.display_name != before.display_name {
            accounts::rename_appointments(tx, &user, now).await?;
        }
        Ok(user)
    }
}

impl Correct {
    /// Changes the account; the names of the fields that differ now.
    fn apply(&self, user: &mut User) -> Result<Vec<UserField>, Fault> {
        let Correction { display_name, email, phone, time_zone } = &self.correction;
        let mut changed = Vec::new();
        if let Some(name) = display_name.as_ref().filter(|name| **name != user.display_name) {
            user.display_name.clone_from(name);
            changed.push(UserField::DisplayName);
        }
        if let Some(email) = email {
            let email = email.clone().unwrap_or_else(|| Email::none(user.id));
            if email != user.email {
                if user.role != Role::Customer {
                    let text = "the address of a provider or an admin is changed by its owner";
                    return Err(Fault::new(Reason::WrongState, text));
                }
                user.email = email;
                user.email_verified_at = None;
                changed.push(UserField::Email);
            }
        }
        if let Some(phone) = phone.as_ref().filter(|phone| **phone != user.phone) {
            user.phone.clone_from(phone);
            changed.push(UserField::Phone);
        }
        if let Some(zone) = time_zone.filter(|zone| *zone != user.time_zone) {
            user.time_zone = zone;
            changed.push(UserField::TimeZone);
        }
        let mut violations = Violations::new();
        if user.has_password && !user.email.is_address() {
            violations.add("customer.email", "must be set: its owner logs in with it");
        } else if !user.email.is_address() && user.phone.is_none() {
            violations.add("customer.phone", "must be set where there is no email");
        }
        violations.finish()?;
        Ok(changed)
    }
}
