//! Units of work on service accounts. Each locks the admin first, who must be one still, then the service
//! account.

use super::{MOST, MOST_KEYS, ServiceAccount, StoredApiKey, store};
use crate::{
    accounts::{
        audit::{self, AuditContext, AuditData},
        service_accounts::api_key::{Refused, Use},
        store as accounts,
    },
    events::audit::{
        KeyCreated, KeyNamed, KeyRefused, ServiceCreated, ServiceNamed, ServiceUpdated,
    },
    identity::{authority::ActFor, not_authenticated, permit::ManageUsers},
    kernel::{
        fault::{Fault, Reason},
        id::{ApiKeyId, ServiceAccountId},
        stamp::Revision,
    },
    storage::{Authority, Tx, UnitOfWork, idempotency::IdempotencyKey},
};

/// Makes a service account.
#[derive(Debug, Clone)]
pub struct Create {
    /// The right to.
    pub permit: ManageUsers,
    /// What to make.
    pub account: ServiceAccount,
    /// The request, for retries.
    pub idempotency_key: IdempotencyKey,
    /// Who does it.
    pub audit_context: AuditContext,
}

impl UnitOfWork for Create {
    type Output = ServiceAccount;
    const AUTHORITY: Authority = Authority::Caller;

    async fn run(&self, tx: &Tx) -> Result<ServiceAccount, Fault> {
        still_admin(tx, self.permit).await?;
        if let Some((earlier, _)) = self.idempotency_key.earlier(tx).await? {
            return Ok(earlier);
        }
        there_is_room(tx).await?;
        let account = ServiceAccount { stamp: tx.stamp(), ..self.account.clone() };
        store::insert(tx, &account).await?;
        let (role, act_for) = (account.role, account.act_for.clone());
        let created = ServiceCreated { service_account: account.id.name(), role, act_for };
        record(tx, &self.audit_context, AuditData::ServiceAccountCreated(created)).await?;
        self.idempotency_key
            .keep(tx, account.id.0, account.version, &account, self.audit_context.now)
            .await?;
        Ok(account)
    }
}

/// What changes about a service account.
#[derive(Debug, Clone)]
pub enum Change {
    /// Its name, or whom it may act for; what is absent stays.
    Fields {
        /// The new name.
        display_name: Option<String>,
        /// The new grant.
        act_for: Option<ActFor>,
    },
    /// Whether it is shut out.
    Disabled(bool),
}

/// Changes a service account.
#[derive(Debug, Clone)]
pub struct ChangeService {
    /// The right to.
    pub permit: ManageUsers,
    /// Id of the service account to change.
    pub id: ServiceAccountId,
    /// The requested change.
    pub change: Change,
    /// The state that was seen, if told.
    pub expected: Option<Revision>,
    /// The request, for retries.
    pub idempotency_key: IdempotencyKey,
    /// Who does it.
    pub audit_context: AuditContext,
}

impl UnitOfWork for ChangeService {
    type Output = ServiceAccount;
    const AUTHORITY: Authority = Authority::Caller;

    async fn run(&self, tx: &Tx) -> Result<ServiceAccount, Fault> {
        still_admin(tx, self.permit).await?;
        let found = store::lock(tx, self.id).await?;
        let found = found.ok_or_else(|| Fault::not_found(self.id.name()))?;
        if let Some((earlier, _)) = self.idempotency_key.earlier(tx).await? {
            return Ok(earlier);
        }
        if self.expected.is_some_and(|seen| seen != found.revision()) {
            return Err(Fault::stale());
        }
        if found.disabled && matches!(self.change, Change::Disabled(false)) {
            there_is_room(tx).await?;
        }
        let now = self.audit_context.now;
        let mut account = found.clone();
        let service_account = self.id.name();
        let what = match &self.change {
            Change::Fields { display_name, act_for } => {
                if let Some(name) = display_name {
                    account.display_name.clone_from(name);
                }
                if let Some(act_for) = act_for {
                    account.act_for.clone_from(act_for);
                }
                let act_for = account.act_for.clone();
                AuditData::ServiceAccountUpdated(ServiceUpdated { service_account, act_for })
            }
            Change::Disabled(disabled) => {
                account.disabled = *disabled;
                let named = ServiceNamed { service_account };
                if *disabled {
                    AuditData::ServiceAccountDisabled(named)
                } else {
                    AuditData::ServiceAccountEnabled(named)
                }
            }
        };
        if account != found {
            account.version += 1;
            account.stamp = tx.stamp();
            account.updated_at = now;
            store::update(tx, &account).await?;
            record(tx, &self.audit_context, what).await?;
        }
        self.idempotency_key.keep(tx, account.id.0, account.version, &account, now).await?;
        Ok(account)
    }
}

/// Makes an API key.
#[derive(Debug, Clone)]
pub struct CreateKey {
    /// The right to.
    pub permit: ManageUsers,
    /// The API key, as it is stored.
    pub key: StoredApiKey,
    /// Who does it.
    pub audit_context: AuditContext,
}

impl UnitOfWork for CreateKey {
    type Output = ();
    const AUTHORITY: Authority = Authority::Caller;

    async fn run(&self, tx: &Tx) -> Result<(), Fault> {
        tx.judge(self.permit.caller).await?;
        still_admin(tx, self.permit).await?;
        let account = self.key.account;
        if store::lock(tx, account).await?.is_none() {
            return Err(Fault::not_found(account.name()));
        }
        if store::good_keys(tx, account, self.audit_context.now).await? >= MOST_KEYS {
            return Err(Fault::new(
                Reason::TooMany,
                format!("a service account has at most {MOST_KEYS} good keys; revoke one first"),
            ));
        }
        store::insert_key(tx, &self.key).await?;
        let created = KeyCreated {
            service_account: account.name(),
            api_key: self.key.id.name(account),
            scopes: self.key.scopes.clone(),
            expires: self.key.expires_at,
        };
        record(tx, &self.audit_context, AuditData::ApiKeyCreated(created)).await
    }
}

/// Ends an API key.
#[derive(Debug, Clone)]
pub struct RevokeKey {
    /// The right to.
    pub permit: ManageUsers,
    /// The id of the service account that has the key.
    pub account: ServiceAccountId,
    /// Which one.
    pub id: ApiKeyId,
    /// Who does it.
    pub audit_context: AuditContext,
}

impl UnitOfWork for RevokeKey {
    type Output = ();
    const AUTHORITY: Authority = Authority::Caller;

    async fn run(&self, tx: &Tx) -> Result<(), Fault> {
        tx.judge(self.permit.caller).await?;
        still_admin(tx, self.permit).await?;
        let absent = || Fault::not_found(self.id.name(self.account));
        store::lock(tx, self.account).await?.ok_or_else(absent)?;
        let key = store::find_key(tx, self.account, self.id).await?.ok_or_else(absent)?;
        if key.revoked_at.is_some() {
            return Ok(());
        }
        store::revoke_key(tx, self.id, self.audit_context.now).await?;
        let (service_account, api_key) = (self.account.name(), self.id.name(self.account));
        let revoked = KeyNamed { service_account, api_key };
        record(tx, &self.audit_context, AuditData::ApiKeyRevoked(revoked)).await
    }
}

/// Writes down what was done with a key.
#[derive(Debug, Clone)]
pub struct NoteUse {
    /// The id of the service account that has the key.
    pub account: ServiceAccountId,
    /// Which one.
    pub id: ApiKeyId,
    /// What was done with the key since that was last written down.
    pub what: Use,
    /// When; nobody in person.
    pub audit_context: AuditContext,
}

impl UnitOfWork for NoteUse {
    type Output = ();
    const AUTHORITY: Authority = Authority::Nobody;

    async fn run(&self, tx: &Tx) -> Result<(), Fault> {
        if let Some((at, address)) = self.what.used {
            let address = address.map(|address| address.to_canonical().to_string());
            store::note_use(tx, self.id, at, &address.unwrap_or_default()).await?;
        }
        let Some(Refused { at, why, count, .. }) = &self.what.refused else { return Ok(()) };
        let audit_context = AuditContext { now: *at, ..self.audit_context.clone() };
        let refused = KeyRefused {
            service_account: self.account.name(),
            api_key: self.id.name(self.account),
            why: *why,
            count: *count,
        };
        record(tx, &audit_context, AuditData::ApiKeyRefused(refused)).await
    }
}

/// Refuses one more enabled service account where there are as many as are allowed.
async fn there_is_room(tx: &Tx) -> Result<(), Fault> {
    if store::lock_all(tx).await? < MOST {
        return Ok(());
    }
    let text = format!("there are {MOST} enabled service accounts, which is the most; disable one");
    Err(Fault::new(Reason::TooMany, text))
}

/// The permit was given by a token, before this transaction: who was an admin then must be one now, or a key
/// would outlast the right to make it.
async fn still_admin(tx: &Tx, permit: ManageUsers) -> Result<(), Fault> {
    let admin = accounts::lock(tx, permit.admin).await?;
    if admin.is_some_and(|admin| admin.user.administers()) {
        return Ok(());
    }
    Err(not_authenticated())
}

async fn record(tx: &Tx, audit_context: &AuditContext, what: AuditData) -> Result<(), Fault> {
    audit::store::record(tx, audit_context.of(what, None, None)).await
}
