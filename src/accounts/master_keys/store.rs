//! What is sealed or hashed, counted by master key, and put back sealed anew.

use sea_orm::{
    ColumnTrait, Condition, EntityTrait, QueryFilter, QueryOrder, QuerySelect,
    sea_query::{Expr, ExprTrait as _, SimpleExpr},
};
use uuid::Uuid;

use crate::{
    identity::master_key::KeyId,
    kernel::{fault::Fault, id::UserId, time::Instant},
    storage::{
        Executor, Tx, engine,
        entity::{letters, recovery_codes, second_factors},
    },
};

/// One of the secrets of an account.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Secret {
    /// The one that is on.
    On,
    /// The one that is to be confirmed.
    Pending,
}

impl Secret {
    const fn column(self) -> second_factors::Column {
        match self {
            Self::On => second_factors::Column::Secret,
            Self::Pending => second_factors::Column::PendingSecret,
        }
    }

    /// What it begins with: the form, and the id of the master key.
    fn head(self) -> SimpleExpr {
        Expr::cust(match self {
            Self::On => "substr(secret, 1, 9)",
            Self::Pending => "substr(pending_secret, 1, 9)",
        })
    }
}

/// Of a sort, how much needs which key; nothing where that cannot be told.
pub type Counts = Vec<(Option<KeyId>, u64)>;

/// Accounts with a secret that another master key sealed, in the order of their ids.
pub async fn outdated(
    at: &impl Executor,
    present: KeyId,
    after: Option<UserId>,
    limit: u64,
) -> Result<Vec<UserId>, Fault> {
    let others = [Secret::On, Secret::Pending]
        .into_iter()
        .fold(Condition::any(), |any, secret| any.add(secret.head().ne(present.head())));
    let mut query = second_factors::Entity::find()
        .select_only()
        .column(second_factors::Column::UserId)
        .filter(others)
        .order_by_asc(second_factors::Column::UserId)
        .limit(limit);
    if let Some(after) = after {
        query = query.filter(second_factors::Column::UserId.gt(after.0));
    }
    let ids: Vec<Uuid> = query.into_tuple().all(at.db()).await.map_err(|e| engine::fault(&e))?;
    Ok(ids.into_iter().map(UserId).collect())
}

/// Puts a secret that was sealed anew in the place of the same one as it was read, and touches nothing else.
/// Returns how many were, which is none where it is another one by now.
pub async fn replace(
    tx: &Tx,
    user: UserId,
    which: Secret,
    before: &[u8],
    anew: Vec<u8>,
) -> Result<u64, Fault> {
    let done = second_factors::Entity::update_many()
        .col_expr(which.column(), Expr::value(anew))
        .filter(second_factors::Column::UserId.eq(user.0))
        .filter(which.column().eq(before.to_vec()))
        .exec(tx.db())
        .await;
    Ok(done.map_err(|e| engine::fault(&e))?.rows_affected)
}

/// Secrets of second factors, by the key that sealed them. A key may be told twice.
pub async fn secrets(at: &impl Executor) -> Result<Counts, Fault> {
    /// What both secrets of an account begin with, and how many accounts have two like these.
    type Heads = (Option<Vec<u8>>, Option<Vec<u8>>, i64);
    let rows: Vec<Heads> = second_factors::Entity::find()
        .select_only()
        .column_as(Secret::On.head(), "head")
        .column_as(Secret::Pending.head(), "pending_head")
        .column_as(Expr::cust("count(*)"), "many")
        .group_by(Secret::On.head())
        .group_by(Secret::Pending.head())
        .into_tuple()
        .all(at.db())
        .await
        .map_err(|e| engine::fault(&e))?;
    let each = rows.into_iter().flat_map(|(on, pending, many)| {
        let heads = [on, pending].into_iter().flatten();
        heads.map(move |head| by_head(Some(head), many))
    });
    Ok(each.collect())
}

/// Recovery codes that are left, by the key that hashed them.
pub async fn recovery_codes(at: &impl Executor) -> Result<Counts, Fault> {
    let rows: Vec<(Option<Vec<u8>>, i64)> = recovery_codes::Entity::find()
        .select_only()
        .column(recovery_codes::Column::KeyId)
        .column_as(Expr::cust("count(*)"), "many")
        .group_by(recovery_codes::Column::KeyId)
        .into_tuple()
        .all(at.db())
        .await
        .map_err(|e| engine::fault(&e))?;
    let one = |(id, many): (Option<Vec<u8>>, i64)| {
        (id.and_then(|id| KeyId::parse(&id)), u64::try_from(many).unwrap_or_default())
    };
    Ok(rows.into_iter().map(one).collect())
}

/// Emails that wait and are not too old to be sent, by the key that sealed them.
pub async fn letters(at: &impl Executor, now: Instant) -> Result<Counts, Fault> {
    let head = || Expr::cust("substr(sealed, 1, 9)");
    let rows: Vec<(Option<Vec<u8>>, i64)> = letters::Entity::find()
        .select_only()
        .column_as(head(), "head")
        .column_as(Expr::cust("count(*)"), "many")
        .filter(letters::Column::ExpiresAt.gt(now))
        .group_by(head())
        .into_tuple()
        .all(at.db())
        .await
        .map_err(|e| engine::fault(&e))?;
    Ok(rows.into_iter().map(|(head, many)| by_head(head, many)).collect())
}

fn by_head(head: Option<Vec<u8>>, many: i64) -> (Option<KeyId>, u64) {
    (head.and_then(|head| KeyId::of(&head)), u64::try_from(many).unwrap_or_default())
}
