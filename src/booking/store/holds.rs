//! Holds as rows.

use chrono::TimeDelta;
use sea_orm::{ColumnTrait, Condition, EntityTrait, QueryFilter, QueryOrder, QuerySelect};
use uuid::Uuid;

use super::{AppointmentCursor, CLAIMING, LONGEST_BUFFER, LONGEST_CLAIM, appointment, page};
use crate::{
    booking::{Appointment, State},
    identity::permit::ListAppointments,
    kernel::{
        fault::Fault,
        id::{AppointmentId, ProviderId, UserId},
        time::Instant,
    },
    storage::{
        Executor, Reader, Tx, engine,
        entity::appointments::{self, Column},
    },
};

/// How long before the present a hold that has not ended may have started, at most: holds are placed ahead, and
/// none lasts so long.
const LONGEST: TimeDelta = TimeDelta::days(1);

/// What a customer holds with a provider who was locked before, the first start first.
pub async fn with(
    tx: &Tx,
    provider: ProviderId,
    customer: UserId,
    now: Instant,
) -> Result<Vec<Appointment>, Fault> {
    let rows = appointments::Entity::find()
        .filter(Column::ProviderId.eq(provider.0))
        .filter(Column::ClaimOf.is_null())
        .filter(Column::ExpiresAt.gt(now))
        .filter(Column::State.eq(State::Held.word()))
        .filter(Column::CustomerId.eq(customer.0))
        .order_by_asc(Column::StartsAt)
        .all(tx.db())
        .await
        .map_err(|e| engine::fault(&e))?;
    rows.into_iter().map(appointment).collect()
}

/// Whether the customer of a hold is busy when it is: has an appointment that overlaps it, with whatever provider,
/// except one, with the time to which it is asked to be moved; or is a provider, and something claims their own time.
pub async fn is_busy(
    tx: &Tx,
    held: &Appointment,
    except: Option<AppointmentId>,
    now: Instant,
) -> Result<bool, Fault> {
    let live = [State::Pending, State::Booked, State::Completed, State::NoShow];
    let attends = Condition::all()
        .add(Column::CustomerId.eq(held.customer.0))
        .add(Column::AppointmentId.ne(except.map_or(Uuid::nil(), |id| id.0)))
        .add(
            Condition::any()
                .add(Column::ClaimOf.is_null())
                .add(Column::ClaimOf.ne(except.map_or(Uuid::nil(), |id| id.0))),
        )
        // None is longer than a day; it gives the index something to begin at.
        .add(Column::StartsAt.gt(held.start - TimeDelta::days(1)))
        .add(Column::StartsAt.lt(held.end))
        .add(Column::EndsAt.gt(held.start))
        .add(Column::State.is_in(live.map(State::word)));
    // What they attend claims their own time too, and is looked at above.
    let is_theirs =
        Condition::any().add(Column::ClaimOf.is_null()).add(Column::CustomerId.ne(held.customer.0));
    let treats = Condition::all()
        .add(Column::ProviderId.eq(held.customer.0))
        .add(Column::StartsAt.gt(held.start - LONGEST_CLAIM))
        .add(Column::StartsAt.lt(held.end + LONGEST_BUFFER))
        .add(Column::ClaimStartsAt.lt(held.end))
        .add(Column::ClaimEndsAt.gt(held.start))
        .add(Column::State.is_in(CLAIMING.map(State::word)))
        .add(is_theirs);
    let found: Option<Uuid> = appointments::Entity::find()
        .select_only()
        .column(Column::AppointmentId)
        .filter(Condition::any().add(attends).add(treats))
        .filter(Condition::any().add(Column::ExpiresAt.is_null()).add(Column::ExpiresAt.gt(now)))
        .limit(1)
        .into_tuple()
        .one(tx.db())
        .await
        .map_err(|e| engine::fault(&e))?;
    Ok(found.is_some())
}

/// Which holds to list.
#[derive(Debug, Clone, Copy)]
pub struct Filter {
    /// Whose; from the permit. One of both is set.
    pub bounds: ListAppointments,
    /// The present: what has ended is none.
    pub now: Instant,
    /// Not those that end at or before this.
    pub from: Option<Instant>,
    /// Not those that start at or after this.
    pub until: Option<Instant>,
}

/// A page of holds, by start and then by id.
pub async fn list(
    at: &Reader,
    filter: &Filter,
    after: Option<AppointmentCursor>,
    limit: u64,
) -> Result<Vec<Appointment>, Fault> {
    let mut query = appointments::Entity::find()
        .filter(Column::State.eq(State::Held.word()))
        .filter(Column::ClaimOf.is_null())
        .filter(Column::ExpiresAt.gt(filter.now));
    if let Some(provider) = filter.bounds.provider {
        query = query.filter(Column::ProviderId.eq(provider.0));
    }
    if let Some(customer) = filter.bounds.customer {
        // The second is implied; it gives the index something to begin at.
        query = query
            .filter(Column::CustomerId.eq(customer.0))
            .filter(Column::StartsAt.gt(filter.now - LONGEST));
    }
    if let Some(from) = filter.from {
        query = query.filter(Column::EndsAt.gt(from));
    }
    if let Some(until) = filter.until {
        query = query.filter(Column::StartsAt.lt(until));
    }
    page(at, query, after, limit).await
}
