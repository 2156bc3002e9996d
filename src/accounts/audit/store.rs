//! The audit trail as rows.

use sea_orm::{
    ActiveValue::Set,
    ColumnTrait, Condition, EntityTrait, IdenStatic as _, Order, QueryFilter, QueryOrder,
    QueryResult,
    sea_query::{Expr, Query},
};
use uuid::Uuid;

use super::{AuditAction, AuditData, AuditEntry, Filter};
use crate::{
    kernel::{fault::Fault, id::UserId, time::Instant},
    storage::{
        Executor, Tx, engine,
        entity::audit_events,
        readable::{self, PagePosition},
    },
};

/// Appends an entry.
pub async fn record(tx: &Tx, entry: AuditEntry<AuditData>) -> Result<(), Fault> {
    let row = audit_events::ActiveModel {
        event_id: Set(entry.id),
        occurred_at: Set(entry.at),
        kind: Set(entry.act.word().to_owned()),
        user_id: Set(entry.user.map(|id| id.0)),
        actor_id: Set(entry.actor.map(|id| id.0)),
        session_id: Set(entry.session),
        address: Set(entry.address),
        detail: Set(entry.detail.encode()?),
        call_id: Set(entry.call_id),
    };
    audit_events::Entity::insert(row)
        .exec_without_returning(tx.db())
        .await
        .map_err(|e| engine::fault(&e))?;
    Ok(())
}

/// Removes the oldest entries from before an instant, so many at most, and returns how many.
pub async fn forget(tx: &Tx, before: Instant, limit: u64) -> Result<u64, Fault> {
    use audit_events::Column;
    // In the order of the key, which is that of time: what is old is found at its beginning.
    let old = Query::select()
        .column(Column::EventId)
        .from(audit_events::Entity)
        .and_where(Column::OccurredAt.lt(before))
        .order_by(Column::EventId, Order::Asc)
        .limit(limit)
        .to_owned();
    let done = audit_events::Entity::delete_many()
        .filter(Column::EventId.in_subquery(old))
        .exec(tx.db())
        .await;
    Ok(done.map_err(|e| engine::fault(&e))?.rows_affected)
}

/// Tells more in an entry, for a command that is not over when it is written.
pub async fn tell_more(tx: &Tx, id: Uuid, detail: &AuditData) -> Result<(), Fault> {
    audit_events::Entity::update_many()
        .col_expr(audit_events::Column::Detail, Expr::value(detail.encode()?))
        .filter(audit_events::Column::EventId.eq(id))
        .exec(tx.db())
        .await
        .map_err(|e| engine::fault(&e))?;
    Ok(())
}

/// The entries before this one, latest first.
pub async fn list(
    at: &impl Executor,
    filter: &Filter,
    before: Option<Uuid>,
    limit: u64,
) -> Result<Vec<AuditEntry>, Fault> {
    use audit_events::Column;
    let mut query = audit_events::Entity::find();
    if let Some(user) = filter.user {
        query = query.filter(Column::UserId.eq(user.0));
    }
    if let Some(act) = filter.act {
        query = query.filter(Column::Kind.eq(act.word()));
    }
    if let Some(from) = filter.from {
        query = query.filter(Column::OccurredAt.gte(from));
    }
    if let Some(until) = filter.until {
        query = query.filter(Column::OccurredAt.lt(until));
    }
    let place = PagePosition {
        after: before,
        later: |before: &Uuid| Condition::all().add(Column::EventId.lt(*before)),
        of: |row: &QueryResult| row.try_get("", Column::EventId.as_str()),
    };
    readable::page(at, query.order_by_desc(Column::EventId), place, limit, entry).await
}

/// What happened to somebody's account or was done by them, after this one, oldest first.
pub async fn of_person(
    at: &impl Executor,
    user: UserId,
    after: Option<Uuid>,
    limit: u64,
) -> Result<Vec<AuditEntry>, Fault> {
    use audit_events::Column;
    let of = Condition::any().add(Column::UserId.eq(user.0)).add(Column::ActorId.eq(user.0));
    let query = audit_events::Entity::find().filter(of);
    readable::page_by_id(at, query, Column::EventId, (after, limit), entry).await
}

fn entry(row: audit_events::Model) -> Result<AuditEntry, Fault> {
    let id = row.event_id;
    let act = AuditAction::parse(&row.kind)
        .ok_or_else(|| Fault::internal(format!("audit_events row {id}: unknown kind")))?;
    Ok(AuditEntry {
        id,
        at: row.occurred_at,
        act,
        user: row.user_id.map(UserId),
        actor: row.actor_id.map(UserId),
        session: row.session_id,
        address: row.address,
        detail: row.detail,
        call_id: row.call_id,
    })
}
