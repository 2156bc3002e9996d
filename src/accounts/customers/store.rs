//! The words by which people are found as rows, and whom a provider knows.

use std::collections::BTreeSet;

use sea_orm::{
    ActiveValue::Set, ColumnTrait, ConnectionTrait as _, EntityTrait, QueryFilter, QuerySelect,
    Statement, Value,
};
use uuid::Uuid;

use super::{
    Cursor,
    search_terms::{self, SearchTerm},
};
use crate::{
    accounts::{User, store::account},
    identity::desk_permit::{ContactScope, FindCustomers},
    kernel::{
        fault::Fault,
        id::{ProviderId, UserId},
        time::Instant,
    },
    storage::{
        Executor, Reader, Tx, engine,
        entity::{
            user_words::{ActiveModel, Column, Entity},
            users,
        },
        readable,
    },
};

/// Writes the words of an account that was just written. One that was erased has none.
pub async fn index(tx: &Tx, user: &User) -> Result<(), Fault> {
    let wanted = search_terms::words(user);
    let of = || Entity::find().filter(Column::UserId.eq(user.id.0));
    let stored: Vec<String> = of()
        .select_only()
        .column(Column::Word)
        .into_tuple()
        .all(tx.db())
        .await
        .map_err(|e| engine::fault(&e))?;
    let stored: BTreeSet<String> = stored.into_iter().collect();
    if stored == wanted {
        return Ok(());
    }
    forget(tx, user.id).await?;
    if wanted.is_empty() {
        return Ok(());
    }
    let row = |word| ActiveModel { word: Set(word), user_id: Set(user.id.0) };
    let done = Entity::insert_many(wanted.into_iter().map(row)).exec_without_returning(tx.db());
    done.await.map_err(|e| engine::fault(&e))?;
    Ok(())
}

/// Takes away the words of an account.
pub async fn forget(tx: &Tx, user: UserId) -> Result<(), Fault> {
    let of = Column::UserId.eq(user.0);
    let done = Entity::delete_many().filter(of).exec(tx.db()).await;
    done.map_err(|e| engine::fault(&e))?;
    Ok(())
}

/// The condition that a provider knows the account `u`: who has or had an appointment, or a request for one, with the
/// provider, whose hold lasts, and whom the provider enrolled. The arguments are the places of the provider and of the
/// present among the statement's values.
fn known(provider: &str, now: &str) -> String {
    format!(
        "(u.enrolled_by = {provider} OR EXISTS (SELECT 1 FROM appointments a
            WHERE a.provider_id = {provider} AND a.customer_id = u.user_id AND a.claim_of IS NULL
              AND (a.state <> 'held' OR a.expires_at > {now})))"
    )
}

/// The people who are found, within a permit and after a place, by the words by which they are found.
///
/// Reads the words that begin so by their index, as many as a page has.
pub async fn search(
    at: &Reader,
    permit: FindCustomers,
    needle: &SearchTerm,
    mut after: Option<Cursor>,
    (limit, now): (u64, Instant),
) -> Result<Vec<(User, Cursor)>, Fault> {
    let (least, end) = needle.bounds();
    let size = usize::try_from(limit).unwrap_or(usize::MAX);
    let mut found = Vec::new();
    loop {
        let from = after.take().unwrap_or(Cursor { word: String::new(), id: Uuid::nil() });
        let mut values: Vec<Value> =
            vec![least.clone().into(), end.clone().into(), from.word.into(), from.id.into()];
        let known = match permit.reach {
            ContactScope::Everybody => String::new(),
            ContactScope::KnownTo(provider) => {
                values.extend([provider.0.into(), now.into()]);
                format!("AND {}", known("$5", "$6"))
            }
        };
        let sql = format!(
            "SELECT u.*, w.word FROM user_words w JOIN users u ON u.user_id = w.user_id
             WHERE w.word >= $1 AND w.word < $2 AND (w.word, w.user_id) > ($3, $4)
               AND u.erased_at IS NULL {known}
             ORDER BY w.word, w.user_id LIMIT {limit}"
        );
        let backend = at.db().get_database_backend();
        let statement = Statement::from_sql_and_values(backend, sql, values);
        let rows = at.query_all(statement).await.map_err(|e| engine::fault(&e))?;
        for row in &rows {
            let word: String = row.try_get("", "word").map_err(|e| engine::fault(&e))?;
            let id: Uuid = row.try_get("", "user_id").map_err(|e| engine::fault(&e))?;
            let cursor = Cursor { word, id };
            let user = readable::one::<users::Entity, _>(row, |row| Ok(account(row)?.user));
            // Somebody with several words that begin so comes once, and what is longer than a stored word is
            // compared whole.
            if let Some(user) = user
                && found.len() < size
                && needle.found(&user).as_ref() == Some(&cursor.word)
            {
                found.push((user, cursor.clone()));
            }
            after = Some(cursor);
        }
        let is_last = u64::try_from(rows.len()).is_ok_and(|count| count < limit);
        if is_last || found.len() >= size {
            return Ok(found);
        }
    }
}

/// The account into which an erased one went, if it did.
pub async fn merged_into(at: &impl Executor, gone: UserId) -> Result<Option<UserId>, Fault> {
    let found: Option<Option<Uuid>> = users::Entity::find()
        .select_only()
        .column(users::Column::MergedInto)
        .filter(users::Column::UserId.eq(gone.0))
        .into_tuple()
        .one(at.db())
        .await
        .map_err(|e| engine::fault(&e))?;
    Ok(found.flatten().map(UserId))
}

/// Notes in a locked account into which one it went.
pub async fn set_merged_into(tx: &Tx, gone: UserId, kept: UserId) -> Result<(), Fault> {
    users::Entity::update_many()
        .col_expr(users::Column::MergedInto, kept.0.into())
        .filter(users::Column::UserId.eq(gone.0))
        .exec(tx.db())
        .await
        .map_err(|e| engine::fault(&e))?;
    Ok(())
}

/// Whether a provider knows somebody.
pub async fn knows(
    at: &impl Executor,
    provider: ProviderId,
    user: UserId,
    now: Instant,
) -> Result<bool, Fault> {
    let sql =
        format!("SELECT 1 AS known FROM users u WHERE u.user_id = $1 AND {}", known("$2", "$3"));
    let values = [user.0.into(), provider.0.into(), now.into()];
    let backend = at.db().get_database_backend();
    let statement = Statement::from_sql_and_values(backend, sql, values);
    let row = at.db().query_one_raw(statement).await.map_err(|e| engine::fault(&e))?;
    Ok(row.is_some())
}
