//! Erasing accounts, and what leads to it.

use secrecy::SecretString;

use super::{
    Erasure,
    commands::{Blank, Delete, Erase},
    store,
};
use crate::{
    accounts::{
        User,
        audit::{self, AuditContext, AuditData},
        second_factor::{commands::is_right, service::ReauthenticationInput},
        service::{Accounts, ById},
    },
    identity::{Caller, Origin, not_authenticated, permit::ChangeUser},
    kernel::{fault::Fault, id::UserId, stamp::Revision},
    storage::{Authority, Deadline, Query, Reader, Tx, UnitOfWork, idempotency::IdempotencyKey},
};

impl Accounts {
    /// Erases the caller's own account, and ends its tokens.
    pub async fn delete_own(
        &self,
        deadline: Deadline,
        caller: Caller,
        shows: ReauthenticationInput,
        origin: Origin,
    ) -> Result<(), Fault> {
        let account = self.own_account(deadline, caller.user).await?;
        let (blank, role) = (self.blank(&account.user), account.user.role);
        let (own, attempt, _) = self.own(deadline, caller, account, shows, origin).await?;
        let unit = Delete { own, role, blank };
        let ended = self.attempted(deadline, attempt, unit, is_right).await??;
        self.tokens.end(caller.user, ended, self.ambient.now());
        self.services.know(caller.user).await;
        Ok(())
    }

    /// Erases another account.
    pub async fn erase(
        &self,
        deadline: Deadline,
        permit: ChangeUser,
        expected: Option<Revision>,
        idempotency_key: IdempotencyKey,
        origin: Origin,
    ) -> Result<(), Fault> {
        let subject = permit.subject;
        let account = self.store.read(deadline, ById(subject)).await?;
        let account = account.ok_or_else(|| Fault::not_found(subject.name()))?;
        let blank = self.blank(&account.user);
        let audit_context = self.audit_context(Some(permit.admin), origin, self.ambient.now());
        let unit = Erase { permit, expected, blank, idempotency_key, audit_context };
        if let Some(ended) = self.store.run(deadline, unit).await? {
            self.tokens.end(subject, ended, self.ambient.now());
            self.services.know(subject).await;
        }
        Ok(())
    }

    /// An erasure that is not finished, if this account has one.
    pub async fn erasure(
        &self,
        deadline: Deadline,
        user: UserId,
    ) -> Result<Option<Erasure>, Fault> {
        self.store.read(deadline, Find(user)).await
    }

    /// The first of the erasures that are not finished, but for some that wait. For the server itself.
    pub async fn erasures(&self, waiting: Vec<UserId>, limit: u64) -> Result<Vec<Erasure>, Fault> {
        self.store.look(List { waiting, limit }).await
    }

    /// Whether this is the caller's password, through the gate of every guess.
    pub async fn is_own_password(
        &self,
        deadline: Deadline,
        caller: Caller,
        password: SecretString,
        origin: &Origin,
    ) -> Result<(), Fault> {
        let account = self.store.read(deadline, ById(caller.user)).await?;
        let account = account.ok_or_else(not_authenticated)?;
        let counted = self.own_attempt(caller.user, origin);
        let password = (password, account.password_hash);
        self.own_guess(deadline, caller, counted, password, origin).await?.give_back().await;
        Ok(())
    }

    /// Writes down that somebody asks for what is stored about them.
    pub async fn note_export(
        &self,
        deadline: Deadline,
        caller: Caller,
        origin: Origin,
    ) -> Result<(), Fault> {
        let audit_context = self.audit_context(Some(caller.user), origin, self.ambient.now());
        self.store.run(deadline, Exported { caller, audit_context }).await
    }

    fn blank(&self, user: &User) -> Blank {
        let letters = (user.email.clone(), self.mail.recipients(&user.email));
        let email_draft = self.mail.email_draft(self.ambient.now());
        Blank { letters, schedule: std::sync::Arc::clone(&self.default_schedule), email_draft }
    }
}

/// A line in the trail.
struct Exported {
    caller: Caller,
    audit_context: AuditContext,
}

impl UnitOfWork for Exported {
    type Output = ();
    const AUTHORITY: Authority = Authority::Caller;

    async fn run(&self, tx: &Tx) -> Result<(), Fault> {
        tx.judge(self.caller).await?;
        let user = Some(self.caller.user);
        let entry = self.audit_context.of(AuditData::DataExported, user, None);
        audit::store::record(tx, entry).await
    }
}

struct Find(UserId);

impl Query for Find {
    type Output = Option<Erasure>;

    async fn run(&self, at: &Reader) -> Result<Self::Output, Fault> {
        store::find(at, self.0).await
    }
}

struct List {
    waiting: Vec<UserId>,
    limit: u64,
}

impl Query for List {
    type Output = Vec<Erasure>;

    async fn run(&self, at: &Reader) -> Result<Self::Output, Fault> {
        store::list(at, &self.waiting, self.limit).await
    }
}
