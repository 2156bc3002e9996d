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
        audit::{self, AuditData, Witness},
        second_factor::{commands::is_right, service::Shows},
        service::{Accounts, ById},
    },
    identity::{Caller, Origin, permit::ChangeUser, token::not_authenticated},
    kernel::{fault::Fault, id::UserId, stamp::Revision},
    storage::{Authority, Deadline, Query, Snapshot, Tx, UnitOfWork, request::Once},
};

impl Accounts {
    /// Erases the caller's own account, and ends its tokens.
    pub async fn delete_own(
        &self,
        deadline: Deadline,
        caller: Caller,
        shows: Shows,
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
        once: Once,
        origin: Origin,
    ) -> Result<(), Fault> {
        let subject = permit.subject;
        let account = self.store.read(deadline, ById(subject)).await?;
        let account = account.ok_or_else(|| Fault::not_found(subject.name()))?;
        let blank = self.blank(&account.user);
        let witness = self.witness(Some(permit.admin), origin, self.ambient.now());
        let unit = Erase { permit, expected, blank, once, witness };
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
        let witness = self.witness(Some(caller.user), origin, self.ambient.now());
        self.store.run(deadline, Exported { caller, witness }).await
    }

    fn blank(&self, user: &User) -> Blank {
        let letters = (user.email.clone(), self.mail.recipients(&user.email));
        let sheet = self.mail.sheet(self.ambient.now());
        Blank { letters, schedule: std::sync::Arc::clone(&self.default_schedule), sheet }
    }
}

/// A line in the trail.
struct Exported {
    caller: Caller,
    witness: Witness,
}

impl UnitOfWork for Exported {
    type Output = ();
    const AUTHORITY: Authority = Authority::Caller;

    async fn run(&self, tx: &Tx) -> Result<(), Fault> {
        tx.judge(self.caller).await?;
        let user = Some(self.caller.user);
        let entry = self.witness.of(AuditData::DataExported, user, None);
        audit::store::record(tx, entry).await
    }
}

struct Find(UserId);

impl Query for Find {
    type Output = Option<Erasure>;

    async fn run(&self, at: &Snapshot) -> Result<Self::Output, Fault> {
        store::find(at, self.0).await
    }
}

struct List {
    waiting: Vec<UserId>,
    limit: u64,
}

impl Query for List {
    type Output = Vec<Erasure>;

    async fn run(&self, at: &Snapshot) -> Result<Self::Output, Fault> {
        store::list(at, &self.waiting, self.limit).await
    }
}
