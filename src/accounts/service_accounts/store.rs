//! Service accounts and API keys as rows.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use sea_orm::{
    ActiveValue::Set,
    ColumnTrait, Condition, ConnectionTrait, EntityTrait, PaginatorTrait, QueryFilter, QueryOrder,
    QuerySelect,
    sea_query::{Expr, LockType},
};
use serde_json::{Value, json};
use uuid::Uuid;

use super::{REMEMBERED, ServiceAccount, StoredApiKey};
use crate::{
    accounts::service_accounts::api_key::Hash,
    identity::Role,
    kernel::{
        fault::Fault,
        id::{ApiKeyId, ServiceAccountId, UserId},
        stamp::Stamp,
        time::Instant,
    },
    storage::{
        Engine, Executor, Tx, engine,
        entity::{api_keys, service_accounts, users},
        readable,
    },
};

/// How many service accounts are enabled: disabled ones cannot be deleted, and count for nothing. Nobody else
/// makes or enables one until the transaction ends.
pub async fn lock_all(tx: &Tx) -> Result<usize, Fault> {
    if tx.engine() == Engine::Postgres {
        let locked = "LOCK TABLE service_accounts IN SHARE ROW EXCLUSIVE MODE";
        tx.db().execute_unprepared(locked).await.map_err(|e| engine::fault(&e))?;
    }
    let enabled = service_accounts::Column::Disabled.eq(false);
    let count = service_accounts::Entity::find().filter(enabled).count(tx.db()).await;
    Ok(usize::try_from(count.map_err(|e| engine::fault(&e))?).unwrap_or(usize::MAX))
}

/// Finds a service account.
pub async fn find(
    at: &impl Executor,
    id: ServiceAccountId,
) -> Result<Option<ServiceAccount>, Fault> {
    let row = service_accounts::Entity::find_by_id(id.0).one(at.db()).await;
    row.map_err(|e| engine::fault(&e))?.map(account).transpose()
}

/// The names of these service accounts, as far as they are there; there are few.
pub async fn names(
    at: &impl Executor,
    ids: &BTreeSet<ServiceAccountId>,
) -> Result<BTreeMap<ServiceAccountId, String>, Fault> {
    if ids.is_empty() {
        return Ok(BTreeMap::new());
    }
    let found: Vec<(Uuid, String)> = service_accounts::Entity::find()
        .select_only()
        .columns([
            service_accounts::Column::ServiceAccountId,
            service_accounts::Column::DisplayName,
        ])
        .filter(service_accounts::Column::ServiceAccountId.is_in(ids.iter().map(|id| id.0)))
        .into_tuple()
        .all(at.db())
        .await
        .map_err(|e| engine::fault(&e))?;
    Ok(found.into_iter().map(|(id, name)| (ServiceAccountId(id), name)).collect())
}

/// Finds a service account and locks it until the transaction ends.
pub async fn lock(tx: &Tx, id: ServiceAccountId) -> Result<Option<ServiceAccount>, Fault> {
    let mut query = service_accounts::Entity::find_by_id(id.0);
    if tx.engine() == Engine::Postgres {
        query = query.lock(LockType::NoKeyUpdate);
    }
    let row = query.one(tx.db()).await;
    row.map_err(|e| engine::fault(&e))?.map(account).transpose()
}

/// The service accounts after this one in the order of their ids, which is the order of their making; all
/// without a limit.
pub async fn list(
    at: &impl Executor,
    after: Option<Uuid>,
    limit: Option<u64>,
) -> Result<Vec<ServiceAccount>, Fault> {
    use service_accounts::Column;
    let query = service_accounts::Entity::find();
    let Some(limit) = limit else {
        return readable::all(at, query.order_by_asc(Column::ServiceAccountId), account).await;
    };
    readable::page_by_id(at, query, Column::ServiceAccountId, (after, limit), account).await
}

/// Adds a service account.
pub async fn insert(tx: &Tx, account: &ServiceAccount) -> Result<(), Fault> {
    let row = active(account);
    let done = service_accounts::Entity::insert(row).exec_without_returning(tx.db()).await;
    done.map_err(|e| engine::fault(&e))?;
    Ok(())
}

/// Writes back a service account that was locked before.
pub async fn update(tx: &Tx, account: &ServiceAccount) -> Result<(), Fault> {
    let done = service_accounts::Entity::update_many()
        .set(active(account))
        .filter(service_accounts::Column::ServiceAccountId.eq(account.id.0))
        .exec(tx.db())
        .await
        .map_err(|e| engine::fault(&e))?;
    affected_one(done.rows_affected)
}

/// Adds a key.
pub async fn insert_key(tx: &Tx, key: &StoredApiKey) -> Result<(), Fault> {
    let row = api_keys::ActiveModel {
        api_key_id: Set(key.id.0),
        service_account_id: Set(key.account.0),
        key_hash: Set(key.hash.to_vec()),
        scopes: Set(json!(key.scopes)),
        created_at: Set(key.created_at),
        expires_at: Set(key.expires_at),
        revoked_at: Set(key.revoked_at),
        last_used_at: Set(key.last_used_at),
        last_address: Set(key.last_address.clone()),
    };
    let done = api_keys::Entity::insert(row).exec_without_returning(tx.db()).await;
    done.map_err(|e| engine::fault(&e))?;
    Ok(())
}

/// Finds a key of a service account.
pub async fn find_key(
    at: &impl Executor,
    account: ServiceAccountId,
    id: ApiKeyId,
) -> Result<Option<StoredApiKey>, Fault> {
    let row = api_keys::Entity::find_by_id(id.0)
        .filter(api_keys::Column::ServiceAccountId.eq(account.0))
        .one(at.db())
        .await;
    row.map_err(|e| engine::fault(&e))?.map(key).transpose()
}

/// The keys of a service account after this one, in the order of their making.
pub async fn list_keys(
    at: &impl Executor,
    account: ServiceAccountId,
    after: Option<Uuid>,
    limit: u64,
) -> Result<Vec<StoredApiKey>, Fault> {
    use api_keys::Column;
    let query = api_keys::Entity::find().filter(Column::ServiceAccountId.eq(account.0));
    readable::page_by_id(at, query, Column::ApiKeyId, (after, limit), key).await
}

/// How many keys of a service account are good.
pub async fn good_keys(tx: &Tx, account: ServiceAccountId, now: Instant) -> Result<usize, Fault> {
    let count = api_keys::Entity::find()
        .filter(api_keys::Column::ServiceAccountId.eq(account.0))
        .filter(api_keys::Column::RevokedAt.is_null())
        .filter(api_keys::Column::ExpiresAt.gt(now))
        .count(tx.db())
        .await
        .map_err(|e| engine::fault(&e))?;
    Ok(usize::try_from(count).unwrap_or(usize::MAX))
}

/// The keys that are good, or were lately.
pub async fn known_keys(at: &impl Executor, now: Instant) -> Result<Vec<StoredApiKey>, Fault> {
    use api_keys::Column;
    let lately = now - REMEMBERED;
    let revoked =
        Condition::any().add(Column::RevokedAt.is_null()).add(Column::RevokedAt.gt(lately));
    let query = api_keys::Entity::find().filter(Column::ExpiresAt.gt(lately)).filter(revoked);
    // One that cannot be read is refused, and so are those of an account that cannot.
    readable::all(at, query, key).await
}

/// Writes down that a key was revoked.
pub async fn revoke_key(tx: &Tx, id: ApiKeyId, now: Instant) -> Result<(), Fault> {
    let done = api_keys::Entity::update_many()
        .col_expr(api_keys::Column::RevokedAt, Expr::value(Some(now)))
        .filter(api_keys::Column::ApiKeyId.eq(id.0))
        .exec(tx.db())
        .await
        .map_err(|e| engine::fault(&e))?;
    affected_one(done.rows_affected)
}

/// Writes down a use, unless a later one was written down by another server.
pub async fn note_use(tx: &Tx, id: ApiKeyId, used: Instant, address: &str) -> Result<(), Fault> {
    use api_keys::Column;
    let earlier =
        Condition::any().add(Column::LastUsedAt.is_null()).add(Column::LastUsedAt.lt(used));
    api_keys::Entity::update_many()
        .col_expr(Column::LastUsedAt, Expr::value(Some(used)))
        .col_expr(Column::LastAddress, Expr::value(address))
        .filter(Column::ApiKeyId.eq(id.0))
        .filter(earlier)
        .exec(tx.db())
        .await
        .map_err(|e| engine::fault(&e))?;
    Ok(())
}

/// The users for whom nobody may act: who is no customer, or disabled.
pub async fn not_to_act_for(at: &impl Executor) -> Result<HashSet<UserId>, Fault> {
    use users::Column;
    // As the index on it has it, so that it is used.
    let not = Condition::any().add(Expr::cust("role <> 'customer'")).add(Expr::cust("disabled"));
    let ids: Vec<Uuid> = users::Entity::find()
        .select_only()
        .column(Column::UserId)
        .filter(not)
        .into_tuple()
        .all(at.db())
        .await
        .map_err(|e| engine::fault(&e))?;
    Ok(ids.into_iter().map(UserId).collect())
}

fn affected_one(rows: u64) -> Result<(), Fault> {
    if rows == 1 {
        return Ok(());
    }
    Err(Fault::internal(format!("{rows} rows were changed in the place of one")))
}

fn active(account: &ServiceAccount) -> service_accounts::ActiveModel {
    service_accounts::ActiveModel {
        service_account_id: Set(account.id.0),
        display_name: Set(account.display_name.clone()),
        role: Set(account.role.word().to_owned()),
        act_for: Set(json!(account.act_for)),
        disabled: Set(account.disabled),
        version: Set(account.version),
        stamp: Set(account.stamp.0),
        created_at: Set(account.created_at),
        updated_at: Set(account.updated_at),
    }
}

fn account(row: service_accounts::Model) -> Result<ServiceAccount, Fault> {
    let id = row.service_account_id;
    let senseless = |what: &str| Fault::internal(format!("service_accounts row {id}: {what}"));
    Ok(ServiceAccount {
        id: ServiceAccountId(id),
        display_name: row.display_name,
        role: Role::parse(&row.role).ok_or_else(|| senseless("unknown role"))?,
        act_for: read(row.act_for).ok_or_else(|| senseless("act_for"))?,
        disabled: row.disabled,
        version: row.version,
        stamp: Stamp(row.stamp),
        created_at: row.created_at,
        updated_at: row.updated_at,
    })
}

fn key(row: api_keys::Model) -> Result<StoredApiKey, Fault> {
    let id = row.api_key_id;
    let senseless = |what: &str| Fault::internal(format!("api_keys row {id}: {what}"));
    Ok(StoredApiKey {
        id: ApiKeyId(id),
        account: ServiceAccountId(row.service_account_id),
        hash: Hash::try_from(row.key_hash).map_err(|_| senseless("a hash"))?,
        scopes: read(row.scopes).ok_or_else(|| senseless("scopes"))?,
        created_at: row.created_at,
        expires_at: row.expires_at,
        revoked_at: row.revoked_at,
        last_used_at: row.last_used_at,
        last_address: row.last_address,
    })
}

fn read<T: serde::de::DeserializeOwned>(value: Value) -> Option<T> {
    serde_json::from_value(value).ok()
}
