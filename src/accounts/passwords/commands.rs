//! Units of work on passwords.

use uuid::Uuid;

use crate::{
    accounts::{
        User,
        audit::{self, AuditContext, AuditData},
        commands::{AccountEventDraft, begin, finish},
        emails, store,
    },
    events::users::UserEvent,
    identity::TokenCutoff,
    kernel::{
        fault::{Fault, Reason},
        id::UserId,
    },
    mail::{self, OutboxEmail},
    storage::{Authority, Tx, UnitOfWork, idempotency::IdempotencyKey},
};

/// Replaces one's own password. The service has verified the present one, and names its hash, so that
/// of two changes at once the later one is refused.
#[derive(Clone)]
pub struct ChangePassword {
    /// The id of the account that is changed, which is the caller's.
    pub user: UserId,
    /// The hash that the present password was verified against.
    pub verified: String,
    /// The hash of the new password.
    pub new_hash: String,
    /// The log-in that makes the change, and stays logged in.
    pub session: Uuid,
    /// What tells the owner.
    pub letter: Option<OutboxEmail>,
    /// The request, for retries.
    pub idempotency_key: IdempotencyKey,
    /// Who does it.
    pub audit_context: AuditContext,
}

impl UnitOfWork for ChangePassword {
    type Output = (User, TokenCutoff);
    const AUTHORITY: Authority = Authority::Caller;

    async fn run(&self, tx: &Tx) -> Result<Self::Output, Fault> {
        let (mut account, earlier) = begin(tx, self.user, &self.idempotency_key, None).await?;
        let least = account.next_generation(self.audit_context.now);
        let ended = TokenCutoff { least, kept: Some(self.session) };
        if let Some(earlier) = earlier {
            return Ok((earlier, TokenCutoff { least: account.token_generation, ..ended }));
        }
        if account.password_hash != self.verified {
            return Err(wrong_password());
        }
        account.password_hash.clone_from(&self.new_hash);
        // Codes on their way may have been asked for by whoever the old password is known to.
        emails::store::remove_of(tx, self.user, None).await?;
        mail::store::insert(tx, &self.letter).await?;
        let act = AccountEventDraft {
            event: UserEvent::PasswordChanged,
            actor: self.user,
            ended: Some(ended),
            audited: Some((AuditData::PasswordChanged, &self.audit_context)),
        };
        let user = finish(tx, account, act, &self.idempotency_key, self.audit_context.now).await?;
        Ok((user, ended))
    }
}

/// Writes down that a password was wrong.
#[derive(Debug, Clone)]
pub struct Failed {
    /// What failed by it.
    pub what: AuditData,
    /// At which account, if there is one.
    pub user: Option<UserId>,
    /// In which session, if in one.
    pub session: Option<Uuid>,
    /// Who does it.
    pub audit_context: AuditContext,
}

impl UnitOfWork for Failed {
    type Output = ();
    const AUTHORITY: Authority = Authority::Nobody;

    async fn run(&self, tx: &Tx) -> Result<(), Fault> {
        let entry = self.audit_context.of(self.what.clone(), self.user, self.session);
        audit::store::record(tx, entry).await
    }
}

/// The present password is not the right one.
pub fn wrong_password() -> Fault {
    Fault::new(Reason::CurrentPasswordWrong, "the current password is not the right one")
        .field("current_password", "must be the account's present password")
}

/// Stores a hash with better parameters, made while logging in.
#[derive(Clone)]
pub struct Rehash {
    /// The id of the account whose hash is replaced.
    pub user: UserId,
    /// The hash to replace.
    pub old: String,
    /// The better one, of the same password.
    pub new: String,
}

impl UnitOfWork for Rehash {
    type Output = ();
    const AUTHORITY: Authority = Authority::Nobody;

    async fn run(&self, tx: &Tx) -> Result<(), Fault> {
        match store::lock(tx, self.user).await? {
            Some(mut account) if account.password_hash == self.old => {
                account.password_hash.clone_from(&self.new);
                store::update(tx, &account, None).await
            }
            _ => Ok(()),
        }
    }
}
