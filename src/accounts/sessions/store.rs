//! Sessions as rows.

use chrono::{DateTime, TimeDelta};
use sea_orm::{
    ActiveValue::Set,
    ColumnTrait, Condition, EntityTrait, QueryFilter, QueryOrder, QuerySelect, Select,
    sea_query::{Expr, LockType},
};
use uuid::Uuid;

use super::{End, Lifetimes, MOST, Session};
use crate::{
    accounts::{
        User,
        second_factor::rules::SecondFactorProof,
        sessions::refresh::{Hash, Used},
    },
    kernel::{fault::Fault, id::UserId, time::Instant},
    storage::{
        Engine, Executor as _, Tx, cleanup, engine,
        entity::sessions::{ActiveModel, Column, Entity, Model},
        readable,
    },
};

/// Adds a session: only where the second factor was passed.
pub async fn insert(tx: &Tx, session: &Session, _passed: &SecondFactorProof) -> Result<(), Fault> {
    let done = Entity::insert(active(session)).exec_without_returning(tx.db()).await;
    done.map_err(|e| engine::fault(&e))?;
    Ok(())
}

/// Finds a session and locks it until the transaction ends. Whoever changes one has locked the account
/// before, so this waits for nobody who waits for the account.
pub async fn lock(tx: &Tx, user: UserId, id: Uuid) -> Result<Option<Session>, Fault> {
    let mut query = Entity::find_by_id((user.0, id));
    if tx.engine() == Engine::Postgres {
        query = query.lock(LockType::NoKeyUpdate);
    }
    let row = query.one(tx.db()).await;
    row.map_err(|e| engine::fault(&e))?.map(session).transpose()
}

/// Writes back a session that was locked before.
pub async fn update(tx: &Tx, session: &Session) -> Result<(), Fault> {
    let done = Entity::update_many()
        .set(active(session))
        .filter(Column::UserId.eq(session.user.0))
        .filter(Column::SessionId.eq(session.id))
        .exec(tx.db())
        .await;
    done.map_err(|e| engine::fault(&e))?;
    Ok(())
}

/// The live sessions of an account, the one that was used last first.
pub async fn list(
    at: &impl crate::storage::Executor,
    user: UserId,
    lifetimes: Lifetimes,
    now: Instant,
) -> Result<Vec<Session>, Fault> {
    readable::all(at, live(user, lifetimes, now), session).await
}

/// All sessions of an account after this one, also those that are over, in the order of their ids.
pub async fn of_account(
    at: &impl crate::storage::Executor,
    user: UserId,
    after: Option<Uuid>,
    limit: u64,
) -> Result<Vec<Session>, Fault> {
    let query = Entity::find().filter(Column::UserId.eq(user.0));
    readable::page_by_id(at, query, Column::SessionId, (after, limit), session).await
}

/// Whether there was surely no log-in to this account before: there is no session, and the account is too
/// young for one to be forgotten.
pub async fn is_first(tx: &Tx, user: &User, now: Instant) -> Result<bool, Fault> {
    if user.created_at < now - KEPT {
        return Ok(false);
    }
    let found: Option<Uuid> = Entity::find()
        .select_only()
        .column(Column::SessionId)
        .filter(Column::UserId.eq(user.id.0))
        .limit(1)
        .into_tuple()
        .one(tx.db())
        .await
        .map_err(|e| engine::fault(&e))?;
    Ok(found.is_none())
}

/// The live sessions of an account that are one too many when another one begins: those that were used
/// least recently.
pub async fn surplus(
    tx: &Tx,
    user: UserId,
    lifetimes: Lifetimes,
    now: Instant,
) -> Result<Vec<Session>, Fault> {
    let query = live(user, lifetimes, now)
        .offset(u64::try_from(MOST - 1).unwrap_or_default())
        // SQLite takes no offset without a limit.
        .limit(u64::try_from(MOST).unwrap_or_default());
    readable::all(tx, query, session).await
}

/// Ends the live sessions of a locked account, but for one, and says which they were.
pub async fn end_others(
    tx: &Tx,
    user: UserId,
    kept: Option<Uuid>,
    end: End,
    now: Instant,
) -> Result<(), Fault> {
    let mut of = Condition::all().add(Column::UserId.eq(user.0)).add(Column::EndedAt.is_null());
    if let Some(kept) = kept {
        of = of.add(Column::SessionId.ne(kept));
    }
    let done = Entity::update_many()
        .col_expr(Column::EndedAt, Expr::value(now))
        .col_expr(Column::EndedBy, Expr::value(end.word()))
        .filter(of)
        .exec(tx.db())
        .await;
    done.map_err(|e| engine::fault(&e))?;
    Ok(())
}

/// Which sessions were ended since then.
pub async fn ended_since(
    at: &impl crate::storage::Executor,
    since: Instant,
) -> Result<Vec<Uuid>, Fault> {
    let rows: Vec<Uuid> = Entity::find()
        .select_only()
        .column(Column::SessionId)
        .filter(Column::EndedAt.gte(since))
        .into_tuple()
        .all(at.db())
        .await
        .map_err(|e| engine::fault(&e))?;
    Ok(rows)
}

/// How long sessions that are over are kept, so that a stolen token is recognised as one.
const KEPT: TimeDelta = TimeDelta::days(30);
/// Sessions that were over long ago.
#[derive(Debug)]
pub struct ExpiredSessions;

impl cleanup::ExpiredRows for ExpiredSessions {
    type Entity = Entity;
    const WHAT: &'static str = "sessions";

    fn is_old(now: Instant) -> Condition {
        let over = now - KEPT;
        Condition::any().add(Column::ExpiresAt.lt(over)).add(Column::EndedAt.lt(over))
    }
}

/// The live sessions of an account, the one that was used last first.
fn live(user: UserId, lifetimes: Lifetimes, now: Instant) -> Select<Entity> {
    Entity::find()
        .filter(Column::UserId.eq(user.0))
        .filter(Column::EndedAt.is_null())
        .filter(Column::ExpiresAt.gt(now))
        .filter(Column::UsedAt.gt(now - lifetimes.idle))
        .order_by_desc(Column::UsedAt)
        .order_by_desc(Column::SessionId)
}

fn active(session: &Session) -> ActiveModel {
    // The last one was used when the session was, and stands in columns that older versions know.
    let (last, former) = match session.used.split_last() {
        Some((last, former)) => (Some(last), former),
        None => (None, [].as_slice()),
    };
    ActiveModel {
        user_id: Set(session.user.0),
        session_id: Set(session.id),
        token_hash: Set(session.token_hash.to_vec()),
        previous_hash: Set(last.map(|last| last.hash.to_vec())),
        salt: Set(last.map(|last| last.salt.to_vec())),
        created_at: Set(session.created_at),
        used_at: Set(session.used_at),
        expires_at: Set(session.expires_at),
        ended_at: Set(session.ended.map(|(at, _)| at)),
        ended_by: Set(session.ended.map(|(_, end)| end.word().to_owned())),
        address: Set(session.address.clone()),
        user_agent: Set(session.user_agent.clone()),
        former: Set((!former.is_empty()).then(|| former.iter().flat_map(written).collect())),
    }
}

/// How long a used token is in the form in which it is stored, in bytes.
const USED: usize = 72;

/// The stored form of a used token: hash, salt, and the microseconds of its first use, big-endian.
fn written(used: &Used) -> Vec<u8> {
    let at = used.at.timestamp_micros().to_be_bytes();
    [used.hash.as_slice(), used.salt.as_slice(), &at].concat()
}

fn read(stored: &[u8]) -> Option<Used> {
    let (hash, rest) = stored.split_first_chunk()?;
    let (salt, at) = rest.split_first_chunk()?;
    let at = DateTime::from_timestamp_micros(i64::from_be_bytes(at.try_into().ok()?))?;
    Some(Used { hash: *hash, salt: *salt, at })
}

fn session(row: Model) -> Result<Session, Fault> {
    let id = row.session_id;
    let senseless = |what: &str| Fault::internal(format!("sessions row {id}: {what}"));
    let hash = |bytes: Vec<u8>| Hash::try_from(bytes).map_err(|_| senseless("a hash"));
    let former = row.former.unwrap_or_default();
    let mut used = former
        .chunks(USED)
        .map(|stored| read(stored).ok_or_else(|| senseless("a used token")))
        .collect::<Result<Vec<_>, _>>()?;
    if let Some((previous, salt)) = row.previous_hash.zip(row.salt) {
        let salt = salt.try_into().map_err(|_| senseless("a salt"))?;
        used.push(Used { hash: hash(previous)?, salt, at: row.used_at });
    }
    let ended = match (row.ended_at, row.ended_by) {
        (Some(at), Some(word)) => {
            Some((at, End::parse(&word).ok_or_else(|| senseless("unknown end"))?))
        }
        _ => None,
    };
    Ok(Session {
        user: UserId(row.user_id),
        id,
        token_hash: hash(row.token_hash)?,
        used,
        created_at: row.created_at,
        used_at: row.used_at,
        expires_at: row.expires_at,
        ended,
        address: row.address,
        user_agent: row.user_agent,
    })
}
