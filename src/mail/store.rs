//! Emails as rows.

use sea_orm::{
    ActiveValue::Set,
    ColumnTrait, Condition, EntityTrait, IdenStatic as _, QueryFilter, QueryOrder, QueryResult,
    QuerySelect,
    sea_query::{Expr, ExprTrait as _, LockBehavior, LockType},
};
use uuid::Uuid;

use super::{LeasedEmail, OutboxEmail, Recipient};
use crate::{
    kernel::{fault::Fault, time::Instant},
    storage::{
        Engine, Executor, Tx, cleanup, engine,
        entity::letters::{ActiveModel, Column, Entity, Model},
        readable,
    },
};

/// Adds emails, in the transaction of what they tell.
pub async fn insert(tx: &Tx, letters: impl IntoIterator<Item = &OutboxEmail>) -> Result<(), Fault> {
    let rows: Vec<_> = letters.into_iter().map(active).collect();
    if rows.is_empty() {
        return Ok(());
    }
    let done = Entity::insert_many(rows).exec_without_returning(tx.db()).await;
    done.map_err(|e| engine::fault(&e))?;
    Ok(())
}

/// Takes emails that are due, the longest due first, so that nobody else takes them before `until`.
pub async fn take(
    tx: &Tx,
    now: Instant,
    until: Instant,
    limit: u64,
) -> Result<Vec<LeasedEmail>, Fault> {
    let mut query = Entity::find()
        .filter(Column::DueAt.lte(now))
        .order_by_asc(Column::DueAt)
        .order_by_asc(Column::LetterId)
        .limit(limit);
    if tx.engine() == Engine::Postgres {
        query = query.lock_with_behavior(LockType::Update, LockBehavior::SkipLocked);
    }
    let rows = readable::rows(tx, query).await?;
    // Also those that cannot be read: they are not sent, and give way to others.
    let id = |row: &QueryResult| row.try_get("", Column::LetterId.as_str()).ok();
    let ids: Vec<Uuid> = rows.iter().filter_map(id).collect();
    if ids.is_empty() {
        return Ok(Vec::new());
    }
    let done = Entity::update_many()
        .col_expr(Column::DueAt, Expr::value(until))
        .col_expr(Column::Attempts, Expr::col(Column::Attempts).add(1))
        .filter(Column::LetterId.is_in(ids))
        .exec(tx.db())
        .await;
    done.map_err(|e| engine::fault(&e))?;
    let taken = |row: Model| {
        Ok(LeasedEmail {
            id: row.letter_id,
            kind: row.kind,
            sealed: row.sealed,
            attempts: u32::try_from(row.attempts).unwrap_or_default().saturating_add(1),
            expires_at: row.expires_at,
        })
    };
    Ok(rows.iter().filter_map(|row| readable::one::<Entity, _>(row, taken)).collect())
}

/// Whether there is any email to take.
pub async fn is_any_due(at: &impl Executor, now: Instant) -> Result<bool, Fault> {
    let found: Option<Uuid> = Entity::find()
        .select_only()
        .column(Column::LetterId)
        .filter(Column::DueAt.lte(now))
        .limit(1)
        .into_tuple()
        .one(at.db())
        .await
        .map_err(|e| engine::fault(&e))?;
    Ok(found.is_some())
}

/// Lets an email be taken again from then on.
pub async fn put_back(tx: &Tx, id: Uuid, due: Instant) -> Result<(), Fault> {
    let done = Entity::update_many()
        .col_expr(Column::DueAt, Expr::value(due))
        .filter(Column::LetterId.eq(id))
        .exec(tx.db())
        .await;
    done.map_err(|e| engine::fault(&e))?;
    Ok(())
}
/// Emails whose time is over: where no mail is sent any more nobody else removes them.
#[derive(Debug)]
pub struct ExpiredEmails;

impl cleanup::ExpiredRows for ExpiredEmails {
    type Entity = Entity;
    const WHAT: &'static str = "letters";

    fn is_old(now: Instant) -> Condition {
        Condition::all().add(Column::ExpiresAt.lte(now))
    }
}

/// Removes an email that was sent, or never will be.
pub async fn remove(tx: &Tx, id: Uuid) -> Result<(), Fault> {
    let done = Entity::delete_by_id(id).exec(tx.db()).await;
    done.map_err(|e| engine::fault(&e))?;
    Ok(())
}

/// Removes what waits for these recipients.
pub async fn remove_to(tx: &Tx, recipients: &[Recipient]) -> Result<(), Fault> {
    let of = recipients.iter().map(|recipient| recipient.to_vec());
    let done = Entity::delete_many().filter(Column::Recipient.is_in(of)).exec(tx.db()).await;
    done.map_err(|e| engine::fault(&e))?;
    Ok(())
}

fn active(letter: &OutboxEmail) -> ActiveModel {
    ActiveModel {
        letter_id: Set(letter.id),
        kind: Set(letter.kind.to_owned()),
        sealed: Set(letter.sealed.clone()),
        attempts: Set(0),
        created_at: Set(letter.written_at),
        due_at: Set(letter.written_at),
        expires_at: Set(letter.expires_at),
        recipient: Set(Some(letter.recipient.to_vec())),
    }
}
