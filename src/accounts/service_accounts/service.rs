//! What admins can do with service accounts, and what the server does with their keys.

use std::{collections::HashSet, sync::Arc, time::Duration};

use tokio::sync::Mutex;
use uuid::Uuid;

use super::{
    ServiceAccount, StoredApiKey,
    commands::{Change, ChangeService, Create, CreateKey, NoteUse, RevokeKey},
    store,
};
use crate::{
    accounts::{
        audit::AuditContext,
        service_accounts::api_key::{ApiKey, ApiKeys, Known, KnownAccount, KnownKey},
    },
    identity::{Origin, Role, authority::ActFor, permit::ManageUsers},
    kernel::{
        ambient::Ambient,
        fault::Fault,
        id::{ApiKeyId, ServiceAccountId, UserId},
        stamp::{Revision, Stamp},
        time::Instant,
    },
    storage::{Deadline, Query, Reader, Store, idempotency::IdempotencyKey},
};

/// Service layer for service accounts and their API keys.
#[derive(Debug, Clone)]
pub struct ServiceAccounts {
    store: Store,
    ambient: Ambient,
    /// What the interceptor knows of their keys.
    keys: ApiKeys,
    /// Held from a look at the database until what it saw is known, so that no look that began earlier
    /// takes the place of a later one.
    looking: Arc<Mutex<()>>,
}

/// A fresh key, with what is stored of it.
#[derive(Debug)]
pub struct Fresh {
    /// The key itself, to be told once.
    pub key: ApiKey,
    /// What is stored of it.
    pub stored: StoredApiKey,
}

impl ServiceAccounts {
    /// On this database; no key is known before the first [`Self::follow`].
    pub fn new((store, ambient): (Store, Ambient)) -> Self {
        Self { store, ambient, keys: ApiKeys::default(), looking: Arc::default() }
    }

    /// What the interceptor knows of the keys.
    pub fn keys(&self) -> &ApiKeys {
        &self.keys
    }

    /// Makes a service account.
    pub async fn create(
        &self,
        deadline: Deadline,
        permit: ManageUsers,
        (display_name, role, act_for): (String, Role, ActFor),
        idempotency_key: IdempotencyKey,
        origin: Origin,
    ) -> Result<ServiceAccount, Fault> {
        let audit_context = self.audit_context(permit, origin);
        let now = audit_context.now;
        let account = ServiceAccount {
            id: ServiceAccountId(self.ambient.id(now)),
            display_name,
            role,
            act_for,
            disabled: false,
            version: 1,
            stamp: Stamp::default(),
            created_at: now,
            updated_at: now,
        };
        let made = self
            .store
            .run(deadline, Create { permit, account, idempotency_key, audit_context })
            .await?;
        self.look_again().await;
        Ok(made)
    }

    /// A service account.
    pub async fn get(
        &self,
        deadline: Deadline,
        _permit: ManageUsers,
        id: ServiceAccountId,
    ) -> Result<ServiceAccount, Fault> {
        let found = self.store.read(deadline, ById(id)).await?;
        found.ok_or_else(|| Fault::not_found(id.name()))
    }

    /// The service accounts after this one, in the order of their making.
    pub async fn list(
        &self,
        deadline: Deadline,
        _permit: ManageUsers,
        after: Option<Uuid>,
        limit: u64,
    ) -> Result<Vec<ServiceAccount>, Fault> {
        self.store.read(deadline, List { after, limit }).await
    }

    /// Changes a service account.
    pub async fn change(
        &self,
        deadline: Deadline,
        permit: ManageUsers,
        (id, change, expected): (ServiceAccountId, Change, Option<Revision>),
        idempotency_key: IdempotencyKey,
        origin: Origin,
    ) -> Result<ServiceAccount, Fault> {
        let audit_context = self.audit_context(permit, origin);
        let unit = ChangeService { permit, id, change, expected, idempotency_key, audit_context };
        let changed = self.store.run(deadline, unit).await?;
        self.look_again().await;
        Ok(changed)
    }

    /// Makes a key.
    pub async fn create_key(
        &self,
        deadline: Deadline,
        permit: ManageUsers,
        account: ServiceAccountId,
        (scopes, expires_at): (Vec<String>, Instant),
        origin: Origin,
    ) -> Result<Fresh, Fault> {
        let audit_context = self.audit_context(permit, origin);
        let now = audit_context.now;
        let key = ApiKey::new(ApiKeyId(self.ambient.id(now)), self.ambient.bytes());
        let stored = StoredApiKey {
            id: key.id,
            account,
            hash: key.hash(),
            scopes,
            created_at: now,
            expires_at,
            revoked_at: None,
            last_used_at: None,
            last_address: String::new(),
        };
        let unit = CreateKey { permit, key: stored.clone(), audit_context };
        self.store.run(deadline, unit).await?;
        self.look_again().await;
        Ok(Fresh { key, stored })
    }

    /// The keys of a service account after this one, in the order of their making.
    pub async fn keys_of(
        &self,
        deadline: Deadline,
        _permit: ManageUsers,
        account: ServiceAccountId,
        after: Option<Uuid>,
        limit: u64,
    ) -> Result<Vec<StoredApiKey>, Fault> {
        let found = self.store.read(deadline, ListKeys { account, after, limit }).await?;
        found.ok_or_else(|| Fault::not_found(account.name()))
    }

    /// Ends a key.
    pub async fn revoke_key(
        &self,
        deadline: Deadline,
        permit: ManageUsers,
        (account, id): (ServiceAccountId, ApiKeyId),
        origin: Origin,
    ) -> Result<(), Fault> {
        let audit_context = self.audit_context(permit, origin);
        self.store.run(deadline, RevokeKey { permit, account, id, audit_context }).await?;
        self.look_again().await;
        Ok(())
    }

    /// Learns what there is. Called every second, and after each change that was made here.
    pub async fn follow(&self) -> Result<(), Fault> {
        let _looking = self.looking.lock().await;
        let known = self.store.look(Everything(self.ambient.now())).await?;
        self.keys.set(known);
        Ok(())
    }

    /// Writes down which keys were used and refused, each at most once a minute, and within so much time. One
    /// that fails does not keep the others from it, and is tried again at the next time; the first that did is told.
    pub async fn note_uses(&self, patience: Duration) -> Result<(), Fault> {
        let now = self.ambient.now();
        let mut failed = Ok(());
        for (id, account, what) in self.keys.take_uses(now) {
            let origin = what.refused.as_ref().map(|refused| Origin {
                address: refused.address,
                call_id: refused.call_id.clone(),
                ..Origin::default()
            });
            let origin = origin.unwrap_or_default();
            let audit_context = AuditContext::new(&self.ambient, None, origin, now);
            let unit = NoteUse { account, id, what: what.clone(), audit_context };
            let noted = self.store.run(Deadline::after(patience), unit).await;
            if noted.is_err() {
                self.keys.put_back(id, what);
            }
            failed = failed.and(noted);
        }
        failed
    }

    /// Learns what there is after a change of a user that was made here, so that from the answer on nobody acts
    /// for them who may not any more. Where it cannot be seen now nobody acts for them until it is.
    pub async fn know(&self, user: UserId) {
        let _looking = self.looking.lock().await;
        match self.store.look(Everything(self.ambient.now())).await {
            Ok(known) => self.keys.set(known),
            Err(fault) => {
                tracing::warn!(%fault, "looking at the API keys after a change of a user");
                self.keys.shut_out(user);
            }
        }
    }

    /// After a change that was made: where it cannot be seen now, it is seen within a second.
    async fn look_again(&self) {
        if let Err(fault) = self.follow().await {
            tracing::warn!(%fault, "looking at the API keys after a change");
        }
    }

    fn audit_context(&self, permit: ManageUsers, origin: Origin) -> AuditContext {
        AuditContext::new(&self.ambient, Some(permit.admin), origin, self.ambient.now())
    }
}

struct ById(ServiceAccountId);

impl Query for ById {
    type Output = Option<ServiceAccount>;

    async fn run(&self, at: &Reader) -> Result<Self::Output, Fault> {
        store::find(at, self.0).await
    }
}

struct List {
    after: Option<Uuid>,
    limit: u64,
}

impl Query for List {
    type Output = Vec<ServiceAccount>;

    async fn run(&self, at: &Reader) -> Result<Self::Output, Fault> {
        store::list(at, self.after, Some(self.limit)).await
    }
}

struct ListKeys {
    account: ServiceAccountId,
    after: Option<Uuid>,
    limit: u64,
}

impl Query for ListKeys {
    /// Nothing if there is no such service account.
    type Output = Option<Vec<StoredApiKey>>;

    async fn run(&self, at: &Reader) -> Result<Self::Output, Fault> {
        if store::find(at, self.account).await?.is_none() {
            return Ok(None);
        }
        store::list_keys(at, self.account, self.after, self.limit).await.map(Some)
    }
}

/// All that the interceptor has to know.
struct Everything(Instant);

impl Query for Everything {
    type Output = Known;

    async fn run(&self, at: &Reader) -> Result<Known, Fault> {
        // Keys before accounts: a key that is seen has an account that is seen.
        let keys = store::known_keys(at, self.0).await?;
        if keys.is_empty() {
            return Ok(Known::default());
        }
        let accounts = store::list(at, None, None).await?;
        let acts = |of: &ServiceAccount| {
            !of.disabled && (of.act_for.any_customer || !of.act_for.customers.is_empty())
        };
        let not_to_act_for = if accounts.iter().any(acts) {
            store::not_to_act_for(at).await?
        } else {
            HashSet::new()
        };
        let known_key = |key: StoredApiKey| {
            let known = KnownKey {
                account: key.account,
                hash: key.hash,
                scopes: key.scopes,
                expires_at: key.expires_at,
                revoked: key.revoked_at.is_some(),
                last_used_at: key.last_used_at,
            };
            (key.id, known)
        };
        let known_account = |account: ServiceAccount| {
            let ServiceAccount { id, role, act_for, disabled, .. } = account;
            (id, KnownAccount { role, act_for, disabled })
        };
        Ok(Known {
            keys: keys.into_iter().map(known_key).collect(),
            accounts: accounts.into_iter().map(known_account).collect(),
            not_to_act_for,
        })
    }
}
