//! Appointments as rows.

pub mod by_key;
pub mod calendar;
pub mod drifts;
pub mod holds;
mod names;
pub mod order;
pub mod single_statement;
pub mod states;

use sea_orm::{
    ColumnTrait, Condition, EntityTrait, IdenStatic as _, QueryFilter, QueryOrder, QueryResult,
    QuerySelect as _, Select, Value, sea_query::Expr,
};

pub use self::order::AppointmentCursor;
use self::{order::Order, states::in_states};
use super::{AgreedTerms, Appointment, EXPIRED, State};
use crate::{
    claims::{
        Overlap, Subject,
        margins::LONGEST,
        store::{
            insert::{ClaimColumns, NewRow, insert},
            refused,
        },
    },
    identity::permit::ListAppointments,
    kernel::{
        fault::Fault,
        id::{AppointmentId, ProviderId, TypeId, UserId},
        stamp::Stamp,
        time::Instant,
        zone::Zone,
    },
    storage::{
        Executor, Reader, Tx, engine,
        entity::appointments::{self, Column},
        readable::{self, PagePosition},
    },
};

/// Finds an appointment.
pub async fn find(
    at: &impl Executor,
    provider: ProviderId,
    id: AppointmentId,
) -> Result<Option<Appointment>, Fault> {
    let query =
        appointments::Entity::find_by_id((provider.0, id.0)).filter(Column::ClaimOf.is_null());
    let rows = readable::rows(at, query.column_as(names::of_provider(), names::COLUMN)).await?;
    rows.first().map(names::appointment).transpose()
}

/// What an appointment's row claims.
fn claimed(a: &Appointment) -> ClaimColumns {
    let (interval, claim) = a.row();
    ClaimColumns { interval, claim, state: a.state, expires_at: a.expires_at }
}

/// The columns of an appointment's row that can change, besides those of what it claims. A new one is a line here.
fn details(a: &Appointment) -> Result<[(Column, Value); 10], Fault> {
    Ok([
        (Column::Note, a.note.clone().into()),
        (Column::TimeZone, a.time_zone.name().into()),
        (Column::LocalStart, a.local_start.clone().into()),
        (Column::CancelReason, a.cancel_reason.clone().into()),
        (Column::Terms, terms(a)?.into()),
        (Column::Version, a.version.into()),
        // A hold that is booked begins anew.
        (Column::CreatedAt, a.created_at.into()),
        (Column::UpdatedAt, a.updated_at.into()),
        (Column::CustomerUpdatedAt, order::customer_updated_at(a).into()),
        (Column::MoveExpiresAt, order::move_expires_at(a).into()),
    ])
}

/// Claims the time of a new appointment or hold, or tells what stands in the way.
pub async fn claim(tx: &Tx, a: &Appointment) -> Result<Option<Overlap>, Fault> {
    let subject = Subject::Provider(a.provider);
    let row = NewRow { subject, id: a.id, customer: a.customer, claimed: claimed(a) };
    let fixed = [
        (Column::CustomerDisplayName, a.customer_display_name.clone().into()),
        (Column::TypeId, a.type_id.map(|id| id.0).into()),
    ];
    insert(tx, &row, fixed.into_iter().chain(details(a)?)).await
}

/// Writes back everything that can change of an appointment whose provider was locked before, or tells what stands
/// in the way: on PostgreSQL the transaction is of no more use then. The customer's name is the account's to change,
/// and only taken away here.
pub async fn update(tx: &Tx, a: &Appointment) -> Result<Option<Overlap>, Fault> {
    let name = Expr::col(Column::CustomerDisplayName);
    let name = if a.customer_display_name.is_empty() { Expr::val("") } else { name };
    let update = appointments::Entity::update_many()
        .col_expr(Column::CustomerDisplayName, name)
        .col_expr(Column::Stamp, tx.stamp().0.into());
    let columns = claimed(a).columns().into_iter().chain(details(a)?);
    let done = columns
        .fold(update, |update, (column, value)| update.col_expr(column, value.into()))
        .filter(Column::ProviderId.eq(a.provider.0))
        .filter(Column::AppointmentId.eq(a.id.0))
        .exec(tx.db())
        .await;
    match done {
        Ok(done) if done.rows_affected == 1 => Ok(None),
        Ok(done) => {
            Err(Fault::internal(format!("{} rows updated for {}", done.rows_affected, a.id)))
        }
        Err(e) => refused(tx, (Subject::Provider(a.provider), a.id), a.row().1, &e).await.map(Some),
    }
}

/// Declines a request of a locked provider that expired at this time, as a version of the provider.
pub async fn decline_expired(
    tx: &Tx,
    (provider, id): (ProviderId, AppointmentId),
    at: Instant,
    version: i64,
) -> Result<(), Fault> {
    let done = appointments::Entity::update_many()
        .col_expr(Column::State, State::Declined.word().into())
        .col_expr(Column::CancelReason, EXPIRED.into())
        .col_expr(Column::ExpiresAt, Expr::value(Option::<Instant>::None))
        .col_expr(Column::Version, version.into())
        .col_expr(Column::Stamp, tx.stamp().0.into())
        .col_expr(Column::UpdatedAt, at.into())
        .col_expr(Column::CustomerUpdatedAt, None::<Instant>.into())
        .filter(Column::ProviderId.eq(provider.0))
        .filter(Column::AppointmentId.eq(id.0))
        .exec(tx.db())
        .await
        .map_err(|e| engine::fault(&e))?;
    one(done.rows_affected, id)
}

/// Ends the move that is asked for of an appointment of a locked provider at this time, as a version of the
/// provider. One that cannot be read stays as it is: its move has ended for readers too.
pub async fn end_move(
    tx: &Tx,
    (provider, id): (ProviderId, AppointmentId),
    at: Instant,
    version: i64,
) -> Result<(), Fault> {
    let Ok(Some(mut found)) = find(tx, provider, id).await else { return Ok(()) };
    found.terms.asked_move = None;
    appointments::Entity::update_many()
        .col_expr(Column::Terms, terms(&found)?.into())
        .col_expr(Column::Version, version.into())
        .col_expr(Column::Stamp, tx.stamp().0.into())
        .col_expr(Column::UpdatedAt, at.into())
        .col_expr(Column::CustomerUpdatedAt, None::<Instant>.into())
        .col_expr(Column::MoveExpiresAt, None::<Instant>.into())
        .filter(Column::ProviderId.eq(provider.0))
        .filter(Column::AppointmentId.eq(id.0))
        .exec(tx.db())
        .await
        .map_err(|e| engine::fault(&e))?;
    Ok(())
}

fn one(rows: u64, id: AppointmentId) -> Result<(), Fault> {
    match rows {
        1 => Ok(()),
        rows => Err(Fault::internal(format!("{rows} rows changed for {id}"))),
    }
}

/// Which appointments to list.
#[derive(Debug, Clone)]
pub struct Filter {
    /// Whose; from the permit.
    pub bounds: ListAppointments,
    /// In which states, as of now; none means all.
    pub states: Vec<State>,
    /// Current time.
    pub now: Instant,
    /// Not those that end at or before this.
    pub from: Option<Instant>,
    /// Not those that start at or after this.
    pub until: Option<Instant>,
    /// Only of this type, if set.
    pub type_id: Option<TypeId>,
    /// Not those that were last changed before this.
    pub changed_from: Option<Instant>,
    /// Not those that were last changed at or after this.
    pub changed_until: Option<Instant>,
    /// In which order.
    pub order: Order,
}

/// A page of appointments, in the order of the filter and then by id.
pub async fn list(
    at: &Reader,
    filter: &Filter,
    after: Option<AppointmentCursor>,
    limit: u64,
) -> Result<Vec<Appointment>, Fault> {
    // A hold is no appointment yet, and further time of one is none.
    let mut query = appointments::Entity::find()
        .filter(Column::State.ne(State::Held.word()))
        .filter(Column::ClaimOf.is_null());
    if let Some(provider) = filter.bounds.provider {
        query = query.filter(Column::ProviderId.eq(provider.0));
    }
    if let Some(customer) = filter.bounds.customer {
        query = query.filter(Column::CustomerId.eq(customer.0));
    }
    if !filter.states.is_empty() {
        query = query.filter(in_states(&filter.states, filter.now));
    }
    if let Some(from) = filter.from {
        query = query
            .filter(Column::EndsAt.gt(from))
            // Implied; it gives the index something to begin at.
            .filter(Column::StartsAt.gt(from - LONGEST));
    }
    if let Some(until) = filter.until {
        query = query.filter(Column::StartsAt.lt(until));
    }
    order::list(at, query, filter, after, limit).await
}

/// The appointments of a customer, for that customer to take away, by start and then by id.
pub async fn of_customer(
    at: &Reader,
    customer: UserId,
    after: Option<AppointmentCursor>,
    limit: u64,
) -> Result<Vec<Appointment>, Fault> {
    let query = appointments::Entity::find()
        .filter(Column::CustomerId.eq(customer.0))
        .filter(Column::ClaimOf.is_null())
        .filter(Column::State.ne(State::Held.word()));
    page(at, query, after, limit).await
}

pub(crate) async fn page(
    at: &impl Executor,
    query: Select<appointments::Entity>,
    after: Option<AppointmentCursor>,
    limit: u64,
) -> Result<Vec<Appointment>, Fault> {
    let of = |row: &QueryResult| {
        let start = row.try_get("", Column::StartsAt.as_str())?;
        let id = row.try_get("", Column::AppointmentId.as_str())?;
        Ok(AppointmentCursor { start, id })
    };
    let query = query.order_by_asc(Column::StartsAt).order_by_asc(Column::AppointmentId);
    // The first is implied by the other; it gives the index something to begin at.
    let later = |after: &AppointmentCursor| {
        Condition::all().add(Column::StartsAt.gte(after.start)).add(later(*after))
    };
    let mut page =
        readable::page(at, query, PagePosition { after, later, of }, limit, appointment).await?;
    names::fill(at, &mut page).await?;
    Ok(page)
}

/// After an appointment, by start and then by id.
fn later(after: AppointmentCursor) -> Condition {
    let same_start = Condition::all()
        .add(Column::StartsAt.eq(after.start))
        .add(Column::AppointmentId.gt(after.id));
    Condition::any().add(Column::StartsAt.gt(after.start)).add(same_start)
}

fn terms(a: &Appointment) -> Result<serde_json::Value, Fault> {
    serde_json::to_value(&a.terms).map_err(|e| Fault::internal(format!("terms do not encode: {e}")))
}

fn appointment(row: appointments::Model) -> Result<Appointment, Fault> {
    let id = row.appointment_id;
    let senseless = |what: &str| Fault::internal(format!("appointments row {id}: {what}"));
    let terms: AgreedTerms =
        serde_json::from_value(row.terms).map_err(|e| senseless(&e.to_string()))?;
    let (start, end) = terms.beyond.map_or((row.starts_at, row.ends_at), |beyond| beyond.whole);
    Ok(Appointment {
        provider: ProviderId(row.provider_id),
        id: AppointmentId(id),
        customer: UserId(row.customer_id),
        customer_display_name: row.customer_display_name,
        // Whoever tells it reads it beside the row.
        provider_display_name: String::new(),
        start,
        end,
        state: State::parse(&row.state).ok_or_else(|| senseless("unknown state"))?,
        note: row.note,
        time_zone: Zone::named(&row.time_zone).ok_or_else(|| senseless("unknown zone"))?,
        local_start: row.local_start,
        cancel_reason: row.cancel_reason,
        version: row.version,
        stamp: Stamp(row.stamp),
        created_at: row.created_at,
        updated_at: row.updated_at,
        type_id: row.type_id.map(TypeId),
        expires_at: row.expires_at,
        terms,
    })
}
