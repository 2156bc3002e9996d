//! Signing keys as rows.

use sea_orm::{
    ActiveValue::Set, ColumnTrait, Condition, ConnectionTrait, EntityTrait, QueryFilter, Select,
};

use super::StoredKey;
use crate::{
    accounts::signing::{
        key_lifecycle::{Life, Retired},
        signing_key::Kid,
    },
    kernel::{fault::Fault, time::Instant},
    storage::{
        Engine, Executor, Tx, engine,
        entity::signing_keys::{ActiveModel, Column, Entity, Model},
        readable,
    },
};

/// The keys that are not gone, held until the transaction ends: also where there are none yet, nobody else
/// makes any meanwhile. Those who only read wait for nobody.
pub async fn lock(tx: &Tx, now: Instant) -> Result<Vec<StoredKey>, Fault> {
    if tx.engine() == Engine::Postgres {
        let locked = "LOCK TABLE signing_keys IN SHARE ROW EXCLUSIVE MODE";
        tx.db().execute_unprepared(locked).await.map_err(|e| engine::fault(&e))?;
    }
    // Strictly: what cannot be read may be the key that signs, and nobody makes another one beside it.
    let rows = of(Some(now)).all(tx.db()).await.map_err(|e| engine::fault(&e))?;
    Ok(sorted(rows.into_iter().map(key).collect::<Result<_, _>>()?))
}

/// The keys, oldest first: all, or those that are not gone at this time. One that cannot be read neither
/// signs nor verifies, and keeps no other from it.
pub async fn list(at: &impl Executor, not_gone: Option<Instant>) -> Result<Vec<StoredKey>, Fault> {
    Ok(sorted(readable::all(at, of(not_gone), key).await?))
}

fn of(not_gone: Option<Instant>) -> Select<Entity> {
    let mut query = Entity::find();
    if let Some(now) = not_gone {
        let here = Condition::any().add(Column::GoneAt.is_null()).add(Column::GoneAt.gt(now));
        query = query.filter(here);
    }
    query
}

fn sorted(mut keys: Vec<StoredKey>) -> Vec<StoredKey> {
    // Of two that were made at once the one that signs comes first.
    keys.sort_by_key(|key| (key.life.created_at, key.life.activated_at.is_none(), key.kid));
    keys
}

/// Adds a key.
pub async fn insert(tx: &Tx, key: &StoredKey) -> Result<(), Fault> {
    let done = Entity::insert(active(key)).exec_without_returning(tx.db()).await;
    done.map_err(|e| engine::fault(&e))?;
    Ok(())
}

/// Writes back a key that was locked before.
pub async fn update(tx: &Tx, key: &StoredKey) -> Result<(), Fault> {
    let done = Entity::update_many()
        .set(active(key))
        .filter(Column::Kid.eq(key.kid.to_string()))
        .exec(tx.db())
        .await
        .map_err(|e| engine::fault(&e))?;
    if done.rows_affected == 1 {
        Ok(())
    } else {
        Err(Fault::internal(format!("the signing key {} is not there", key.kid)))
    }
}

fn active(key: &StoredKey) -> ActiveModel {
    ActiveModel {
        kid: Set(key.kid.to_string()),
        public_key: Set(key.public.to_vec()),
        sealed_key: Set(key.sealed.clone()),
        tag: Set(key.tag.clone()),
        created_at: Set(key.life.created_at),
        activated_at: Set(key.life.activated_at),
        retired_at: Set(key.life.retired.map(|retired| retired.at)),
        gone_at: Set(key.life.retired.map(|retired| retired.gone_at)),
    }
}

fn key(row: Model) -> Result<StoredKey, Fault> {
    let senseless = |what: &str| Fault::internal(format!("signing_keys row {}: {what}", row.kid));
    let retired = match (row.retired_at, row.gone_at) {
        (Some(at), Some(gone_at)) => Some(Retired { at, gone_at }),
        (None, None) => None,
        _ => return Err(senseless("half an end")),
    };
    Ok(StoredKey {
        kid: Kid::parse(&row.kid).ok_or_else(|| senseless("no id"))?,
        public: row.public_key.as_slice().try_into().map_err(|_| senseless("no public key"))?,
        sealed: row.sealed_key,
        tag: row.tag,
        life: Life { created_at: row.created_at, activated_at: row.activated_at, retired },
    })
}
