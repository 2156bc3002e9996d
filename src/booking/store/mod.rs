//! Appointments as rows.

pub mod by_key;
pub mod calendar;
pub mod drifts;
pub mod erased;
pub mod holds;
pub mod merged;
mod names;
pub mod order;
pub mod single_statement;
pub mod states;

use sea_orm::{
    ColumnTrait, Condition, EntityTrait, IdenStatic as _, QueryFilter, QueryOrder, QueryResult,
    QuerySelect as _, Select, Statement, sea_query::Expr,
};

pub use self::order::AppointmentCursor;
use self::{order::Order, states::in_states};
use super::{AgreedTerms, Appointment, EXPIRED, State};
use crate::{
    claims::{
        Overlap, Subject,
        margins::LONGEST,
        store::{backend, in_the_way, refused},
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

const INSERT: &str = "INSERT INTO appointments (provider_id, appointment_id, customer_id, \
    customer_display_name, starts_at, ends_at, state, note, time_zone, local_start, cancel_reason, \
    version, created_at, updated_at, type_id, claim_starts_at, claim_ends_at, expires_at, terms, stamp, \
    customer_updated_at, move_expires_at) \
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20, $21, $22) \
    ON CONFLICT DO NOTHING";

/// Claims the time of a new appointment or hold, or tells what stands in the way.
///
/// Never a plain insert: on PostgreSQL two of those on overlapping intervals wait for each other until
/// the deadlock detector picks a victim, and `ON CONFLICT DO NOTHING` does not. On SQLite a trigger
/// refuses.
pub async fn claim(tx: &Tx, a: &Appointment) -> Result<Option<Overlap>, Fault> {
    let ((start, end), (claim_start, claim_end)) = a.row();
    let values = [
        a.provider.0.into(),
        a.id.0.into(),
        a.customer.0.into(),
        a.customer_display_name.clone().into(),
        start.into(),
        end.into(),
        a.state.word().into(),
        a.note.clone().into(),
        a.time_zone.name().into(),
        a.local_start.clone().into(),
        a.cancel_reason.clone().into(),
        a.version.into(),
        a.created_at.into(),
        a.updated_at.into(),
        a.type_id.map(|id| id.0).into(),
        claim_start.into(),
        claim_end.into(),
        a.expires_at.into(),
        terms(a)?.into(),
        tx.stamp().0.into(),
        order::customer_updated_at(a).into(),
        order::move_expires_at(a).into(),
    ];
    match tx.execute(Statement::from_sql_and_values(backend(tx.engine()), INSERT, values)).await {
        Ok(done) if done.rows_affected() == 1 => Ok(None),
        Ok(_) => Ok(Some(in_the_way(tx, (Subject::Provider(a.provider), a.id), a.row().1).await?)),
        Err(e) => refused(tx, (Subject::Provider(a.provider), a.id), a.row().1, &e).await.map(Some),
    }
}

/// Writes back everything that can change of an appointment whose provider was locked before, or tells what stands
/// in the way: on PostgreSQL the transaction is of no more use then. The customer's name is the account's to change,
/// and only taken away here.
pub async fn update(tx: &Tx, a: &Appointment) -> Result<Option<Overlap>, Fault> {
    let ((start, end), (claim_start, claim_end)) = a.row();
    let name = Expr::col(Column::CustomerDisplayName);
    let name = if a.customer_display_name.is_empty() { Expr::val("") } else { name };
    let done = appointments::Entity::update_many()
        .col_expr(Column::CustomerDisplayName, name)
        .col_expr(Column::StartsAt, start.into())
        .col_expr(Column::EndsAt, end.into())
        .col_expr(Column::ClaimStartsAt, claim_start.into())
        .col_expr(Column::ClaimEndsAt, claim_end.into())
        .col_expr(Column::State, a.state.word().into())
        .col_expr(Column::Note, a.note.clone().into())
        .col_expr(Column::TimeZone, a.time_zone.name().into())
        .col_expr(Column::LocalStart, a.local_start.clone().into())
        .col_expr(Column::CancelReason, a.cancel_reason.clone().into())
        .col_expr(Column::ExpiresAt, a.expires_at.into())
        .col_expr(Column::Terms, terms(a)?.into())
        .col_expr(Column::Version, a.version.into())
        .col_expr(Column::Stamp, tx.stamp().0.into())
        // A hold that is booked begins anew.
        .col_expr(Column::CreatedAt, a.created_at.into())
        .col_expr(Column::UpdatedAt, a.updated_at.into())
        .col_expr(Column::CustomerUpdatedAt, order::customer_updated_at(a).into())
        .col_expr(Column::MoveExpiresAt, order::move_expires_at(a).into())
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

async fn page(
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
