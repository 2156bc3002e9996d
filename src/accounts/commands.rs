//! Units of work on accounts. Each locks the account first and the provider after it.

use std::sync::Arc;

use chrono_tz::Tz;
use serde_json::{Value, json};
use uuid::Uuid;

use super::{
    Kind, User,
    store::{self, Account},
};
use crate::{
    identity::{Ended, Role, permit::ChangeUser},
    kernel::{
        fault::{Fault, Reason},
        id::UserId,
        time::Instant,
    },
    schedule::{self, Schedule, commands::stale},
    storage::{Tx, UnitOfWork, request::Once},
};

/// Makes an account.
#[derive(Debug, Clone)]
pub struct SignUp {
    /// The account to make.
    pub account: Account,
    /// The schedule to begin with, when it is a provider.
    pub schedule: Arc<Schedule>,
    /// The request, for retries.
    pub once: Once,
}

impl UnitOfWork for SignUp {
    type Output = User;

    async fn run(&self, tx: &Tx) -> Result<User, Fault> {
        if let Some((earlier, _)) = self.once.earlier(tx).await? {
            return Ok(earlier);
        }
        let user = &self.account.user;
        let now = user.created_at;
        store::insert(tx, &self.account).await?;
        // Nobody else can hold the new account: the address is what two sign-ups meet at.
        let detail = json!({ "role": user.role.word() });
        store::record(tx, user, Kind::SignedUp, self.once.caller, now, detail).await?;
        if let Some(provider) = user.provider() {
            schedule::commands::open(
                tx,
                provider,
                &user.display_name,
                &self.schedule,
                Some(user.id),
                now,
            )
            .await?;
        }
        self.once.keep(tx, user.id.0, user.version, user, now).await?;
        Ok(user.clone())
    }
}

/// Changes one's own name or zone.
#[derive(Debug, Clone)]
pub struct UpdateProfile {
    /// Whose.
    pub user: UserId,
    /// The new name, if it changes.
    pub display_name: Option<String>,
    /// The new zone, if it changes.
    pub time_zone: Option<Tz>,
    /// The version that was seen, if told.
    pub expected: Option<i64>,
    /// The request, for retries.
    pub once: Once,
    /// The time of the change.
    pub now: Instant,
}

impl UnitOfWork for UpdateProfile {
    type Output = User;

    async fn run(&self, tx: &Tx) -> Result<User, Fault> {
        let (mut account, earlier) = begin(tx, self.user, &self.once, self.expected).await?;
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
        let detail =
            json!({ "display_name": user.display_name, "time_zone": user.time_zone.name() });
        let act = Act { kind: Kind::ProfileChanged, actor: self.user, detail, ended: None };
        finish(tx, account, act, &self.once, self.now).await
    }
}

/// Replaces one's own password. The service has verified the present one, and names its hash, so that
/// of two changes at once the later one is refused.
#[derive(Clone)]
pub struct ChangePassword {
    /// Whose.
    pub user: UserId,
    /// The hash that the present password was verified against.
    pub verified: String,
    /// The hash of the new password.
    pub new_hash: String,
    /// The log-in that makes the change, and stays logged in.
    pub session: Uuid,
    /// The request, for retries.
    pub once: Once,
    /// The time of the change.
    pub now: Instant,
}

impl UnitOfWork for ChangePassword {
    type Output = (User, Ended);

    async fn run(&self, tx: &Tx) -> Result<Self::Output, Fault> {
        let (mut account, earlier) = begin(tx, self.user, &self.once, None).await?;
        let ended = Ended { least: account.token_generation + 1, kept: Some(self.session) };
        if let Some(earlier) = earlier {
            return Ok((earlier, Ended { least: account.token_generation, ..ended }));
        }
        if account.password_hash != self.verified {
            return Err(wrong_password());
        }
        account.password_hash.clone_from(&self.new_hash);
        let act = Act {
            kind: Kind::PasswordChanged,
            actor: self.user,
            detail: json!({}),
            ended: Some(ended),
        };
        let user = finish(tx, account, act, &self.once, self.now).await?;
        Ok((user, ended))
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
    /// Whose.
    pub user: UserId,
    /// The hash to replace.
    pub old: String,
    /// The better one, of the same password.
    pub new: String,
}

impl UnitOfWork for Rehash {
    type Output = ();

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

/// Gives another account a role.
#[derive(Debug, Clone)]
pub struct SetRole {
    /// The right to.
    pub permit: ChangeUser,
    /// The new role.
    pub role: Role,
    /// The schedule to begin with, when the account becomes a provider for the first time.
    pub schedule: Arc<Schedule>,
    /// The version that was seen, if told.
    pub expected: Option<i64>,
    /// The request, for retries.
    pub once: Once,
    /// The time of the change.
    pub now: Instant,
}

impl UnitOfWork for SetRole {
    type Output = (User, Ended);

    async fn run(&self, tx: &Tx) -> Result<Self::Output, Fault> {
        let ChangeUser { admin, subject } = self.permit;
        let (mut account, earlier) = begin(tx, subject, &self.once, self.expected).await?;
        let present = Ended { least: account.token_generation, kept: None };
        if let Some(earlier) = earlier {
            return Ok((earlier, present));
        }
        if account.user.role == self.role {
            self.once.keep(tx, subject.0, account.user.version, &account.user, self.now).await?;
            return Ok((account.user, present));
        }
        account.user.role = self.role;
        if self.role == Role::Provider && !account.user.disabled {
            let zoned = self.schedule.in_zone(account.user.time_zone);
            let name = &account.user.display_name;
            let provider = subject.as_provider();
            schedule::commands::open(tx, provider, name, &Arc::new(zoned), Some(admin), self.now)
                .await?;
        }
        let ended = Ended { least: account.token_generation + 1, kept: None };
        let act = Act {
            kind: Kind::RoleChanged,
            actor: admin,
            detail: json!({ "role": self.role.word() }),
            ended: Some(ended),
        };
        Ok((finish(tx, account, act, &self.once, self.now).await?, ended))
    }
}

/// Shuts another account out, or lets it in again.
#[derive(Debug, Clone)]
pub struct SetDisabled {
    /// The right to.
    pub permit: ChangeUser,
    /// Whether to shut it out.
    pub disabled: bool,
    /// The schedule to begin with, should an account that became a provider while it was shut out
    /// never have had one.
    pub schedule: Arc<Schedule>,
    /// The version that was seen, if told.
    pub expected: Option<i64>,
    /// The request, for retries.
    pub once: Once,
    /// The time of the change.
    pub now: Instant,
}

impl UnitOfWork for SetDisabled {
    type Output = (User, Ended);

    async fn run(&self, tx: &Tx) -> Result<Self::Output, Fault> {
        let ChangeUser { admin, subject } = self.permit;
        let (mut account, earlier) = begin(tx, subject, &self.once, self.expected).await?;
        let present = Ended { least: account.token_generation, kept: None };
        if let Some(earlier) = earlier {
            return Ok((earlier, present));
        }
        if account.user.disabled == self.disabled {
            self.once.keep(tx, subject.0, account.user.version, &account.user, self.now).await?;
            return Ok((account.user, present));
        }
        account.user.disabled = self.disabled;
        if !self.disabled && account.user.role == Role::Provider {
            let zoned = self.schedule.in_zone(account.user.time_zone);
            let name = &account.user.display_name;
            let provider = subject.as_provider();
            schedule::commands::open(tx, provider, name, &Arc::new(zoned), Some(admin), self.now)
                .await?;
        }
        let ended = self.disabled.then_some(Ended { least: present.least + 1, kept: None });
        let kind = if self.disabled { Kind::Disabled } else { Kind::Enabled };
        let act = Act { kind, actor: admin, detail: json!({}), ended };
        let user = finish(tx, account, act, &self.once, self.now).await?;
        Ok((user, ended.unwrap_or(present)))
    }
}

/// Locks the account, looks for an earlier answer, and checks the version that was seen.
async fn begin(
    tx: &Tx,
    user: UserId,
    once: &Once,
    expected: Option<i64>,
) -> Result<(Account, Option<User>), Fault> {
    let Some(account) = store::lock(tx, user).await? else {
        return Err(Fault::not_found(user.name()));
    };
    if let Some((earlier, _)) = once.earlier(tx).await? {
        return Ok((account, Some(earlier)));
    }
    if expected.is_some_and(|version| version != account.user.version) {
        return Err(stale());
    }
    Ok((account, None))
}

struct Act {
    kind: Kind,
    actor: UserId,
    detail: Value,
    ended: Option<Ended>,
}

/// Writes the account back with its next version, records the change, lets the provider that it may be
/// follow, and keeps the answer.
async fn finish(
    tx: &Tx,
    mut account: Account,
    act: Act,
    once: &Once,
    now: Instant,
) -> Result<User, Fault> {
    account.user.version += 1;
    account.user.updated_at = now;
    store::update(tx, &account, act.ended.map(|ended| (ended, now))).await?;
    let user = account.user;
    store::record(tx, &user, act.kind, Some(act.actor), now, act.detail).await?;
    let bookable = user.role == Role::Provider && !user.disabled;
    let provider = user.id.as_provider();
    schedule::commands::change(tx, provider, &user.display_name, bookable, Some(act.actor), now)
        .await?;
    once.keep(tx, user.id.0, user.version, &user, now).await?;
    Ok(user)
}
