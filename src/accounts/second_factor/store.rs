//! Second factors and recovery codes as rows. Whoever changes them has locked the account before.

use chrono::TimeDelta;
use sea_orm::{
    ActiveValue::Set,
    ColumnTrait, Condition, EntityTrait, QueryFilter, QuerySelect,
    sea_query::{Expr, OnConflict},
};

use super::{On, Pending, Row, Seen, is_pending};
use crate::{
    accounts::second_factor::rules::{ENROLMENT, RecoveryHash},
    identity::master_key::KeyId,
    kernel::{fault::Fault, id::UserId, time::Instant},
    storage::{
        Executor, Tx, cleanup, engine,
        entity::{recovery_codes, second_factors},
        readable,
    },
};

use second_factors::{ActiveModel, Column, Entity};

/// How long an enrolment that can be confirmed no more is still there: longer than any call is under way that
/// began when it could be.
const LATE: TimeDelta = TimeDelta::minutes(10);

/// What is stored of an account; nothing is like an empty row.
pub async fn find(at: &impl Executor, user: UserId) -> Result<Row, Fault> {
    let found = Entity::find_by_id(user.0).one(at.db()).await.map_err(|e| engine::fault(&e))?;
    let Some(found) = found else { return Ok(Row::default()) };
    let last_step = found.last_step;
    let on = found.secret.zip(found.confirmed_at);
    let on = on.map(|(sealed, since)| On { sealed, last_step, since });
    let pending = found.pending_secret.zip(found.pending_at);
    let pending = pending.map(|(sealed, since)| Pending { sealed, since });
    Ok(Row { on, pending })
}

/// Whether it is on.
pub async fn is_on(at: &impl Executor, user: UserId) -> Result<bool, Fault> {
    Ok(find(at, user).await?.on.is_some())
}

/// What the owner may know.
pub async fn seen(at: &impl Executor, user: UserId, now: Instant) -> Result<Seen, Fault> {
    /// When it was confirmed, when another one was enrolled, and one of its recovery codes.
    type Joined = (Option<Instant>, Option<Instant>, Option<Vec<u8>>);
    let rows: Vec<Joined> = Entity::find()
        .select_only()
        .columns([Column::ConfirmedAt, Column::PendingAt])
        .column(recovery_codes::Column::CodeHash)
        .join(sea_orm::JoinType::LeftJoin, codes_of_factor())
        .filter(Column::UserId.eq(user.0))
        .into_tuple()
        .all(at.db())
        .await
        .map_err(|e| engine::fault(&e))?;
    let (since, pending) = rows.first().map_or((None, None), |(on, pending, _)| (*on, *pending));
    let pending = pending.filter(|since| is_pending(*since, now));
    let left = rows.iter().filter(|(_, _, hash)| hash.is_some()).count();
    Ok(Seen { since, pending, left: i64::try_from(left).unwrap_or_default() })
}

fn codes_of_factor() -> sea_orm::RelationDef {
    Entity::belongs_to(recovery_codes::Entity)
        .from(Column::UserId)
        .to(recovery_codes::Column::UserId)
        .into()
}

/// Keeps an enrolment, in the place of one that was not confirmed.
pub async fn put_pending(tx: &Tx, user: UserId, sealed: &[u8], now: Instant) -> Result<(), Fault> {
    let row = ActiveModel {
        user_id: Set(user.0),
        secret: Set(None),
        last_step: Set(0),
        confirmed_at: Set(None),
        pending_secret: Set(Some(sealed.to_vec())),
        pending_at: Set(Some(now)),
    };
    let changed = [Column::PendingSecret, Column::PendingAt];
    let conflict = OnConflict::column(Column::UserId).update_columns(changed).to_owned();
    let done = Entity::insert(row).on_conflict(conflict).exec_without_returning(tx.db()).await;
    done.map_err(|e| engine::fault(&e))?;
    Ok(())
}

/// Turns on what was pending, by the code of this step.
pub async fn turn_on(tx: &Tx, user: UserId, step: i64, now: Instant) -> Result<(), Fault> {
    let done = Entity::update_many()
        .col_expr(Column::Secret, Expr::col(Column::PendingSecret))
        .col_expr(Column::LastStep, Expr::value(step))
        .col_expr(Column::ConfirmedAt, Expr::value(now))
        .col_expr(Column::PendingSecret, Expr::value(Option::<Vec<u8>>::None))
        .col_expr(Column::PendingAt, Expr::value(Option::<Instant>::None))
        .filter(Column::UserId.eq(user.0))
        .filter(Column::PendingSecret.is_not_null())
        .exec(tx.db())
        .await;
    one(done.map_err(|e| engine::fault(&e))?.rows_affected, "a second factor")
}
/// Enrolments that were not confirmed in time, of those who had no second factor. No account is locked for it:
/// nobody uses them any more, and one that takes the place of such an enrolment has a later time.
#[derive(Debug)]
pub struct NeverOn;

impl cleanup::ExpiredRows for NeverOn {
    type Entity = Entity;
    const WHAT: &'static str = "enrolments";

    fn is_old(now: Instant) -> Condition {
        unconfirmed(now).add(Column::Secret.is_null())
    }
}

/// The same, beside a second factor, which stays.
#[derive(Debug)]
pub struct Unconfirmed;

impl cleanup::ExpiredRows for Unconfirmed {
    type Entity = Entity;
    const WHAT: &'static str = "enrolments beside a second factor";

    fn is_old(now: Instant) -> Condition {
        unconfirmed(now)
    }

    fn emptied() -> Vec<Column> {
        vec![Column::PendingSecret, Column::PendingAt]
    }
}

fn unconfirmed(now: Instant) -> Condition {
    Condition::all().add(Column::PendingAt.lte(now - ENROLMENT - LATE))
}

/// Notes the step of a code that was accepted, and the secret where it was sealed anew.
pub async fn use_step(
    tx: &Tx,
    user: UserId,
    step: i64,
    sealed: Option<Vec<u8>>,
) -> Result<(), Fault> {
    let mut row = ActiveModel { last_step: Set(step), ..Default::default() };
    if let Some(sealed) = sealed {
        row.secret = Set(Some(sealed));
    }
    // The rule was looked at before; the statement holds it once more.
    let done = Entity::update_many()
        .set(row)
        .filter(Column::UserId.eq(user.0))
        .filter(Column::LastStep.lt(step))
        .exec(tx.db())
        .await;
    one(done.map_err(|e| engine::fault(&e))?.rows_affected, "a second factor")
}

/// The hashes of the recovery codes that are left.
pub async fn recovery(at: &impl Executor, user: UserId) -> Result<Vec<RecoveryHash>, Fault> {
    let rows: Vec<Vec<u8>> = recovery_codes::Entity::find()
        .select_only()
        .column(recovery_codes::Column::CodeHash)
        .filter(recovery_codes::Column::UserId.eq(user.0))
        .into_tuple()
        .all(at.db())
        .await
        .map_err(|e| engine::fault(&e))?;
    let hash = |row: Vec<u8>| {
        RecoveryHash::try_from(row)
            .map_err(|_| Fault::internal("recovery_codes: a hash of another length"))
    };
    // One that cannot be read opens nothing, and the others do.
    let left_out = |fault: &Fault| readable::left_out("recovery_codes", &user.to_string(), fault);
    Ok(rows.into_iter().filter_map(|row| hash(row).inspect_err(left_out).ok()).collect())
}

/// Uses up a recovery code.
pub async fn use_recovery(tx: &Tx, user: UserId, hash: &RecoveryHash) -> Result<(), Fault> {
    let done = recovery_codes::Entity::delete_by_id((user.0, hash.to_vec())).exec(tx.db()).await;
    one(done.map_err(|e| engine::fault(&e))?.rows_affected, "a recovery code")
}

/// Puts new recovery codes, hashed with this master key, in the place of all that there were.
pub async fn replace_recovery(
    tx: &Tx,
    user: UserId,
    (key, hashes): (KeyId, &[RecoveryHash]),
    now: Instant,
) -> Result<(), Fault> {
    forget_recovery(tx, user).await?;
    let rows = hashes.iter().map(|hash| recovery_codes::ActiveModel {
        user_id: Set(user.0),
        code_hash: Set(hash.to_vec()),
        created_at: Set(now),
        key_id: Set(Some(key.bytes().to_vec())),
    });
    let done = recovery_codes::Entity::insert_many(rows).exec_without_returning(tx.db()).await;
    done.map_err(|e| engine::fault(&e))?;
    Ok(())
}

/// Takes the second factor off, with what is pending and with the recovery codes.
pub async fn take_off(tx: &Tx, user: UserId) -> Result<(), Fault> {
    forget_recovery(tx, user).await?;
    Entity::delete_by_id(user.0).exec(tx.db()).await.map_err(|e| engine::fault(&e))?;
    Ok(())
}

async fn forget_recovery(tx: &Tx, user: UserId) -> Result<(), Fault> {
    let of = recovery_codes::Column::UserId.eq(user.0);
    let done = recovery_codes::Entity::delete_many().filter(of).exec(tx.db()).await;
    done.map_err(|e| engine::fault(&e))?;
    Ok(())
}

/// Under the account's lock nobody else can have been faster.
fn one(affected: u64, what: &str) -> Result<(), Fault> {
    match affected {
        1 => Ok(()),
        other => Err(Fault::internal(format!("{other} rows of {what} instead of one"))),
    }
}
