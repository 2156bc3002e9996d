//! Rows that cannot be read, one by one: what is damaged, or written by a newer version, leaves out itself
//! alone, and is told in the log with its table and key.

use std::panic::{AssertUnwindSafe, catch_unwind};

use sea_orm::{
    ColumnTrait, Condition, ConnectionTrait, DbErr, EntityTrait, FromQueryResult, IdenStatic as _,
    Iterable as _, PrimaryKeyToColumn as _, QueryFilter, QueryOrder, QueryResult, QuerySelect,
    QueryTrait, Select,
};
use uuid::Uuid;

use super::{Executor, engine, throttled_log};
use crate::kernel::{fault::Fault, text::hex};

/// How many rows are read at least once more, where some of a page could not be read.
const CHUNK: u64 = 100;
/// How often that is done for one page: some ten thousand rows in a row that cannot be read.
const ROUNDS: u32 = 100;
/// After how many rows of a page other tasks get a turn at the thread.
const YIELD_EVERY: usize = 16;

/// The rows of a query, not decoded yet.
pub async fn rows<E: EntityTrait>(
    at: &impl Executor,
    query: Select<E>,
) -> Result<Vec<QueryResult>, Fault> {
    let statement = query.build(at.db().get_database_backend());
    at.db().query_all_raw(statement).await.map_err(|e| engine::fault(&e))
}

/// What a row says. The decoder of an instant far beyond the calendar panics (sqlx 0.9), as PostgreSQL's
/// `infinity` makes it do; that is an error of this row too.
pub fn decoded<T: FromQueryResult>(row: &QueryResult) -> Result<T, Fault> {
    decoded_with(row, "")
}

/// The same of columns whose names begin with a prefix.
pub fn decoded_with<T: FromQueryResult>(row: &QueryResult, prefix: &str) -> Result<T, Fault> {
    match catch_unwind(AssertUnwindSafe(|| T::from_query_result(row, prefix))) {
        Ok(decoded) => decoded.map_err(|e| Fault::internal(e.to_string())),
        Err(_) => Err(Fault::internal("a value that cannot be decoded")),
    }
}

/// What a row is. One that cannot be read is told in the log, once an hour.
pub fn one<E: EntityTrait, T>(
    row: &QueryResult,
    read: impl Fn(E::Model) -> Result<T, Fault>,
) -> Option<T> {
    match decoded::<E::Model>(row).and_then(read) {
        Ok(found) => Some(found),
        Err(fault) => {
            left_out(E::default().table_name(), &key::<E>(row), &fault);
            None
        }
    }
}

/// What all rows of a query are that can be read.
pub async fn all<E: EntityTrait, T>(
    at: &impl Executor,
    query: Select<E>,
    read: impl Fn(E::Model) -> Result<T, Fault>,
) -> Result<Vec<T>, Fault> {
    let rows = rows(at, query).await?;
    Ok(rows.iter().filter_map(|row| one::<E, T>(row, &read)).collect())
}

/// Tells of a row that is left out.
pub fn left_out(table: &str, key: &str, fault: &Fault) {
    if throttled_log::is_news(&(table, key)) {
        tracing::warn!(table, key, cause = %fault, "a row that cannot be read is left out");
    }
}

/// Tells of a row that is given without its detail, which cannot be read.
pub fn detail_left_out(table: &str, key: &str, cause: &dyn std::fmt::Display) {
    if throttled_log::is_news(&("detail", table, key)) {
        tracing::warn!(table, key, %cause, "the detail of a row cannot be read and is left out");
    }
}

/// Where a page begins, and what comes after a row of it.
pub struct PagePosition<C, L, P> {
    /// After which row, if not at the beginning.
    pub after: Option<C>,
    /// The rows after one.
    pub later: L,
    /// Where a row stands.
    pub of: P,
}

/// So many rows of an ordered query that can be read, or all that there are. Those that cannot be read are
/// stepped over, so that neither a page nor the list ends at one.
pub async fn page<E, T, C, L, P, R>(
    at: &impl Executor,
    query: Select<E>,
    place: PagePosition<C, L, P>,
    limit: u64,
    read: R,
) -> Result<Vec<T>, Fault>
where
    E: EntityTrait,
    L: Fn(&C) -> Condition,
    P: Fn(&QueryResult) -> Result<C, DbErr>,
    R: Fn(E::Model) -> Result<T, Fault>,
{
    let PagePosition { mut after, later, of } = place;
    let size = usize::try_from(limit).unwrap_or(usize::MAX);
    let mut found = Vec::new();
    let mut many = limit;
    for _ in 0..ROUNDS {
        let mut next = query.clone();
        if let Some(after) = &after {
            next = next.filter(later(after));
        }
        let rows = rows(at, next.limit(many)).await?;
        let is_last = u64::try_from(rows.len()).is_ok_and(|count| count < many);
        // Of what is beyond a row whose key cannot be read the rest of the chunk is read again.
        let last = rows.iter().rev().find_map(|row| of(row).ok());
        for (place, row) in (1..).zip(rows) {
            if found.len() < size {
                found.extend(one::<E, T>(&row, &read));
            }
            // A row may hold a hundred kilobytes; others get a turn at the thread.
            if place % YIELD_EVERY == 0 {
                tokio::task::yield_now().await;
            }
        }
        if found.len() >= size || is_last {
            return Ok(found);
        }
        let Some(last) = last else { break };
        after = Some(last);
        many = limit.max(CHUNK);
    }
    let table = E::default().table_name().to_owned();
    Err(Fault::internal(format!("too many rows of {table} in a row cannot be read")))
}

/// The same where rows are in the order of one id.
pub async fn page_by_id<E: EntityTrait, T>(
    at: &impl Executor,
    query: Select<E>,
    id: E::Column,
    (after, limit): (Option<Uuid>, u64),
    read: impl Fn(E::Model) -> Result<T, Fault>,
) -> Result<Vec<T>, Fault> {
    let place = PagePosition {
        after,
        later: |after: &Uuid| Condition::all().add(id.gt(*after)),
        of: |row: &QueryResult| row.try_get("", id.as_str()),
    };
    page(at, query.order_by_asc(id), place, limit, read).await
}

/// The key of a row as text, as far as it can be read.
fn key<E: EntityTrait>(row: &QueryResult) -> String {
    let text = |column: E::PrimaryKey| {
        let column = column.into_column();
        let name = column.as_str();
        let uuid = row.try_get::<Uuid>("", name).map(|id| id.to_string());
        let number = || row.try_get::<i64>("", name).map(|number| number.to_string());
        let bytes = || row.try_get::<Vec<u8>>("", name).map(|bytes| hex(&bytes));
        uuid.or_else(|_| number())
            .or_else(|_| row.try_get::<String>("", name))
            .or_else(|_| bytes())
            .unwrap_or_else(|_: DbErr| "?".to_owned())
    };
    E::PrimaryKey::iter().map(text).collect::<Vec<_>>().join("/")
}
