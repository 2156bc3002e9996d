//! Whether a customer has something else to do, as rows.

use sea_orm::{ColumnTrait, Condition, EntityTrait, QueryFilter, QuerySelect};
use uuid::Uuid;

use super::{claims_of, lasts};
use crate::{
    claims::{State, Subject, margins::LONGEST, state::BUSY},
    kernel::{
        fault::Fault,
        id::{AppointmentId, UserId},
        time::Instant,
    },
    storage::{
        Executor as _, Tx, engine,
        entity::appointments::{self, Column},
    },
};

/// Whether the customer of a hold is busy at this time: has an appointment that overlaps it, with whatever provider,
/// except one, with the time to which it is asked to be moved; or is a provider, and something claims their own time.
pub async fn is_busy(
    tx: &Tx,
    customer: UserId,
    (start, end): (Instant, Instant),
    except: Option<AppointmentId>,
    now: Instant,
) -> Result<bool, Fault> {
    let attends = Condition::all()
        .add(Column::CustomerId.eq(customer.0))
        .add(Column::AppointmentId.ne(except.map_or(Uuid::nil(), |id| id.0)))
        .add(
            Condition::any()
                .add(Column::ClaimOf.is_null())
                .add(Column::ClaimOf.ne(except.map_or(Uuid::nil(), |id| id.0))),
        )
        // Implied; it gives the index something to begin at.
        .add(Column::StartsAt.gt(start - LONGEST))
        .add(Column::StartsAt.lt(end))
        .add(Column::EndsAt.gt(start))
        .add(Column::State.is_in(BUSY.map(State::word)));
    // What they attend claims their own time too, and is looked at above.
    let is_theirs =
        Condition::any().add(Column::ClaimOf.is_null()).add(Column::CustomerId.ne(customer.0));
    let treats = claims_of(Subject::Customer(customer), (start, end)).add(is_theirs);
    let found: Option<Uuid> = appointments::Entity::find()
        .select_only()
        .column(Column::AppointmentId)
        .filter(Condition::any().add(attends).add(treats))
        .filter(lasts(now))
        .limit(1)
        .into_tuple()
        .one(tx.db())
        .await
        .map_err(|e| engine::fault(&e))?;
    Ok(found.is_some())
}
