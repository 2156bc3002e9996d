//! Codes as rows.

use sea_orm::{ActiveValue::Set, ColumnTrait, Condition, EntityTrait, QueryFilter};

use super::{PendingSignUp, StoredCode};
use crate::{
    accounts::emails::code::{Hash, Purpose},
    identity::email::Email,
    kernel::{fault::Fault, id::UserId, time::Instant},
    storage::{
        Executor, Tx, cleanup, engine,
        entity::email_codes::{ActiveModel, Column, Entity, Model},
    },
};

/// Adds a code.
pub async fn insert(tx: &Tx, code: &StoredCode) -> Result<(), Fault> {
    let done = Entity::insert(active(code)?).exec_without_returning(tx.db()).await;
    done.map_err(|e| engine::fault(&e))?;
    Ok(())
}

/// Finds a code that is still good.
pub async fn find(
    at: &impl Executor,
    hash: &Hash,
    now: Instant,
) -> Result<Option<StoredCode>, Fault> {
    let row = Entity::find_by_id(hash.to_vec()).filter(Column::ExpiresAt.gt(now)).one(at.db());
    row.await.map_err(|e| engine::fault(&e))?.map(stored).transpose()
}

/// Uses a code up. Of two who try, one is told `true`.
pub async fn remove(tx: &Tx, hash: &Hash) -> Result<bool, Fault> {
    let done = Entity::delete_by_id(hash.to_vec()).exec(tx.db()).await;
    Ok(done.map_err(|e| engine::fault(&e))?.rows_affected == 1)
}

/// Ends the codes of an account: those for one purpose, or all.
pub async fn remove_of(tx: &Tx, user: UserId, purpose: Option<Purpose>) -> Result<(), Fault> {
    let mut of = Condition::all().add(Column::UserId.eq(user.0));
    if let Some(purpose) = purpose {
        of = of.add(Column::Purpose.eq(purpose.word()));
    }
    let done = Entity::delete_many().filter(of).exec(tx.db()).await;
    done.map_err(|e| engine::fault(&e))?;
    Ok(())
}

/// Ends the codes for one purpose that went to an address, and says which. All in one statement, so that two
/// of these codes that are used at once do not wait for each other.
pub async fn remove_to(tx: &Tx, email: &Email, purpose: Purpose) -> Result<Vec<Hash>, Fault> {
    let removed = Entity::delete_many()
        .filter(Column::Email.eq(email.as_str()))
        .filter(Column::Purpose.eq(purpose.word()))
        .exec_with_returning(tx.db())
        .await
        .map_err(|e| engine::fault(&e))?;
    // One that cannot be read is gone too, and is nobody's.
    Ok(removed.into_iter().filter_map(|row| hash(row.code_hash).ok()).collect())
}
/// Codes that are not good any more.
#[derive(Debug)]
pub struct ExpiredCodes;

impl cleanup::ExpiredRows for ExpiredCodes {
    type Entity = Entity;
    const WHAT: &'static str = "codes";

    fn is_old(now: Instant) -> Condition {
        Condition::all().add(Column::ExpiresAt.lte(now))
    }
}

fn active(code: &StoredCode) -> Result<ActiveModel, Fault> {
    let detail = serde_json::to_value(&code.applicant)
        .map_err(|e| Fault::internal(format!("an applicant does not encode: {e}")))?;
    Ok(ActiveModel {
        code_hash: Set(code.hash.to_vec()),
        purpose: Set(code.purpose.word().to_owned()),
        user_id: Set(code.user.map(|user| user.0)),
        email: Set(code.email.as_str().to_owned()),
        detail: Set(detail),
        created_at: Set(code.created_at),
        expires_at: Set(code.expires_at),
    })
}

fn senseless(what: &str) -> Fault {
    Fault::internal(format!("an email_codes row: {what}"))
}

fn hash(stored: Vec<u8>) -> Result<Hash, Fault> {
    Hash::try_from(stored).map_err(|_| senseless("a hash"))
}

fn stored(row: Model) -> Result<StoredCode, Fault> {
    let applicant: Option<PendingSignUp> =
        serde_json::from_value(row.detail).map_err(|_| senseless("an applicant"))?;
    Ok(StoredCode {
        hash: hash(row.code_hash)?,
        purpose: Purpose::parse(&row.purpose).ok_or_else(|| senseless("unknown purpose"))?,
        user: row.user_id.map(UserId),
        email: Email::stored(row.email),
        applicant,
        created_at: row.created_at,
        expires_at: row.expires_at,
    })
}
