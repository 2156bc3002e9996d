//! Pages of appointments in other orders than by their starts.

use sea_orm::{
    ColumnTrait as _, Condition, IdenStatic as _, Order as Direction, QueryFilter as _,
    QueryOrder as _, QueryResult, QuerySelect as _, Select,
    sea_query::{CaseStatement, Expr, ExprTrait as _, Func, SimpleExpr},
};

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::{Filter, appointment, names};
use crate::{
    booking::{Appointment, State},
    kernel::{fault::Fault, time::Instant},
    storage::{
        Executor,
        entity::appointments::{Column, Entity},
        readable::{self, PagePosition},
    },
};

/// Where a page ended: the keys of its last appointment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct AppointmentCursor {
    /// Its start, or by which time else the page is ordered.
    pub start: Instant,
    /// Unique id.
    pub id: Uuid,
}

/// By which time appointments are ordered.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Key {
    /// By start time.
    #[default]
    Start,
    /// When they were booked.
    Created,
    /// When they were last changed.
    Changed,
}

/// The order of a list.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Order {
    /// By which time.
    pub key: Key,
    /// Whether the latest comes first.
    pub latest_first: bool,
}

impl Order {
    /// The time by which this appointment is ordered.
    pub fn of(self, a: &Appointment, is_staff: bool) -> Instant {
        match self.key {
            Key::Start => a.start,
            Key::Created => a.created_at,
            Key::Changed => a.seen(is_staff).1,
        }
    }
}

/// When an appointment was last changed for its customer, where that is not when the row was.
pub(super) fn customer_updated_at(a: &Appointment) -> Option<Instant> {
    let since = a.seen(false).1;
    (since != a.updated_at).then_some(since)
}

/// When the move that its customer asks for ends by itself.
pub(super) fn move_expires_at(a: &Appointment) -> Option<Instant> {
    a.terms.asked_move.as_ref().map(|asked| asked.expires_at)
}

/// When an appointment was last changed, for the provider's side or for its customer, as of now: a request that
/// nobody answered in time was declined when it expired, whatever the row still says.
fn changed_at(is_staff: bool, now: Instant) -> SimpleExpr {
    let column = |column| Expr::col((Entity, column));
    let expired = Condition::all()
        .add(Column::State.eq(State::Pending.word()))
        .add(Column::ExpiresAt.lte(now));
    let written = if is_staff {
        column(Column::UpdatedAt)
    } else {
        let coalesce =
            Func::coalesce([column(Column::CustomerUpdatedAt), column(Column::UpdatedAt)]);
        coalesce.into()
    };
    CaseStatement::new()
        .case(expired, column(Column::ExpiresAt))
        .case(Column::MoveExpiresAt.lte(now), column(Column::MoveExpiresAt))
        .finally(written)
        .into()
}

/// The name of the column that a page is ordered by.
const ORDERED_AT: &str = "ordered_at";

/// A page of those appointments of a query that the filter lets through, in its order.
pub(super) async fn list(
    at: &impl Executor,
    mut query: Select<Entity>,
    filter: &Filter,
    after: Option<AppointmentCursor>,
    limit: u64,
) -> Result<Vec<Appointment>, Fault> {
    let changed = || changed_at(filter.bounds.is_staff, filter.now);
    if let Some(type_id) = filter.type_id {
        query = query.filter(Column::TypeId.eq(type_id.0));
    }
    if let Some(from) = filter.changed_from {
        query = query.filter(changed().gte(from));
    }
    if let Some(until) = filter.changed_until {
        query = query.filter(changed().lt(until));
    }
    let Order { key, latest_first } = filter.order;
    let key = match key {
        // The order of the indexes.
        Key::Start if !latest_first => return super::page(at, query, after, limit).await,
        Key::Start => Expr::col((Entity, Column::StartsAt)),
        Key::Created => Expr::col((Entity, Column::CreatedAt)),
        Key::Changed => changed(),
    };
    let of = |row: &QueryResult| {
        let start = row.try_get("", ORDERED_AT)?;
        let id = row.try_get("", Column::AppointmentId.as_str())?;
        Ok(AppointmentCursor { start, id })
    };
    let direction = if latest_first { Direction::Desc } else { Direction::Asc };
    let query = query
        .column_as(key.clone(), ORDERED_AT)
        .order_by(key.clone(), direction.clone())
        .order_by(Column::AppointmentId, direction);
    let later = |after: &AppointmentCursor| {
        let (beyond, next) = if latest_first {
            (key.clone().lt(after.start), Column::AppointmentId.lt(after.id))
        } else {
            (key.clone().gt(after.start), Column::AppointmentId.gt(after.id))
        };
        let same = Condition::all().add(key.clone().eq(after.start)).add(next);
        Condition::any().add(beyond).add(same)
    };
    let mut page =
        readable::page(at, query, PagePosition { after, later, of }, limit, appointment).await?;
    names::fill(at, &mut page).await?;
    Ok(page)
}
