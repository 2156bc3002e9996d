//! Appointments as rows.

pub mod attended;
pub mod by_key;
pub mod calendar;
pub mod drifts;
pub mod holds;
pub mod limits;
pub mod load;
mod names;
pub mod order;
pub mod single_statement;
pub mod states;

use chrono::TimeDelta;
use sea_orm::{
    ColumnTrait, Condition, DatabaseBackend, DbErr, EntityTrait, IdenStatic as _, QueryFilter,
    QueryOrder, QueryResult, QuerySelect, Select, Statement, sea_query::Expr,
};
use uuid::Uuid;

pub use attended::Expiring;

pub use self::order::AppointmentCursor;
use self::{order::Order, states::in_states};
use super::{AgreedTerms, Appointment, EXPIRED, State};
use crate::{
    identity::permit::ListAppointments,
    kernel::{
        fault::Fault,
        id::{AppointmentId, ProviderId, TypeId, UserId},
        stamp::Stamp,
        time::{Instant, Interval},
        zone::Zone,
    },
    storage::{
        Engine, Executor, Reader, Tx,
        engine::{self, Constraint},
        entity::appointments::{self, Column},
        readable::{self, PagePosition},
    },
};

/// The states in which something claims time.
const CLAIMING: [State; 5] =
    [State::Held, State::Pending, State::Booked, State::Completed, State::NoShow];
/// The longest buffer.
const LONGEST_BUFFER: TimeDelta = TimeDelta::hours(4);
/// How much earlier than it ends a claim's appointment may start: a day, and the longest buffer.
const LONGEST_CLAIM: TimeDelta = TimeDelta::hours(28);

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

/// Which of two claims stands in the way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Overlap {
    /// The provider's time is taken.
    Provider,
    /// The customer has another appointment then.
    Customer,
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
        Ok(_) => Ok(Some(in_the_way(tx, (a.provider, a.id), a.row().1).await?)),
        Err(e) => refused(tx, a, &e).await.map(Some),
    }
}

/// What stood in the way, where a statement was refused for an overlap.
async fn refused(tx: &Tx, a: &Appointment, error: &DbErr) -> Result<Overlap, Fault> {
    match overlap(error) {
        // SQLite fires the triggers in an order of its own, and its transaction goes on.
        Some(Overlap::Customer) if tx.engine() == Engine::Sqlite => {
            in_the_way(tx, (a.provider, a.id), a.claim()).await
        }
        Some(overlap) => Ok(overlap),
        None => Err(engine::fault(error)),
    }
}

/// Which overlap a constraint refused, if that is what happened.
pub(crate) fn overlap(error: &DbErr) -> Option<Overlap> {
    match engine::violated(error) {
        Some(Constraint::ProviderOverlap) => Some(Overlap::Provider),
        Some(Constraint::CustomerOverlap) => Some(Overlap::Customer),
        _ => None,
    }
}

/// Nothing was written, so one of the two constraints holds against it. The provider's is told
/// first: it is what another slot would cure.
async fn in_the_way(
    tx: &Tx,
    (provider, id): (ProviderId, AppointmentId),
    (start, end): (Instant, Instant),
) -> Result<Overlap, Fault> {
    let taken: Option<Uuid> = appointments::Entity::find()
        .select_only()
        .column(Column::AppointmentId)
        .filter(Column::ProviderId.eq(provider.0))
        .filter(Column::AppointmentId.ne(id.0))
        .filter(Column::State.is_in(CLAIMING.map(State::word)))
        .filter(Column::ClaimStartsAt.lt(end))
        .filter(Column::ClaimEndsAt.gt(start))
        .filter(Column::StartsAt.gt(start - LONGEST_CLAIM))
        .filter(Column::StartsAt.lt(end + LONGEST_BUFFER))
        .limit(1)
        .into_tuple()
        .one(tx.db())
        .await
        .map_err(|e| engine::fault(&e))?;
    Ok(if taken.is_some() { Overlap::Provider } else { Overlap::Customer })
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
        Err(e) => refused(tx, a, &e).await.map(Some),
    }
}

/// Takes away a hold whose provider was locked before; its events stay.
pub async fn remove_hold(tx: &Tx, provider: ProviderId, id: AppointmentId) -> Result<(), Fault> {
    let done = appointments::Entity::delete_many()
        .filter(Column::ProviderId.eq(provider.0))
        .filter(Column::AppointmentId.eq(id.0))
        .filter(Column::State.eq(State::Held.word()))
        .exec(tx.db())
        .await
        .map_err(|e| engine::fault(&e))?;
    one(done.rows_affected, id)
}

/// What is held or pending at a locked provider and has expired, the first to expire first: which, when, and
/// what it was. No more than that is read, so that what cannot be read ends as well.
pub async fn expired(
    tx: &Tx,
    provider: ProviderId,
    now: Instant,
) -> Result<Vec<(AppointmentId, Instant, Expiring)>, Fault> {
    let rows: Vec<(Uuid, Uuid, Instant, String, Option<Uuid>)> = appointments::Entity::find()
        .select_only()
        .columns([Column::AppointmentId, Column::CustomerId])
        .columns([Column::ExpiresAt, Column::State, Column::ClaimOf])
        .filter(Column::ProviderId.eq(provider.0))
        .filter(Column::ExpiresAt.lte(now))
        .order_by_asc(Column::ExpiresAt)
        .order_by_asc(Column::AppointmentId)
        .into_tuple()
        .all(tx.db())
        .await
        .map_err(|e| engine::fault(&e))?;
    let expired = |(id, customer, at, state, claim_of): (Uuid, Uuid, Instant, String, _)| {
        let what = match claim_of {
            // Of what somebody attends with another provider.
            Some(_) if customer == provider.0 => Expiring::Attended,
            Some(of) => Expiring::Move(AppointmentId(of)),
            None if state == State::Held.word() => Expiring::Hold,
            None => Expiring::Request,
        };
        (AppointmentId(id), at, what)
    };
    Ok(rows.into_iter().map(expired).collect())
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

fn one(rows: u64, id: AppointmentId) -> Result<(), Fault> {
    match rows {
        1 => Ok(()),
        rows => Err(Fault::internal(format!("{rows} rows changed for {id}"))),
    }
}

/// The providers with an expired request of this customer that overlaps an interval. It no longer counts,
/// and is still in the way of the customer's constraint until its expiry is written down.
pub async fn expired_elsewhere(
    at: &Reader,
    customer: UserId,
    interval: Interval,
    now: Instant,
) -> Result<Vec<ProviderId>, Fault> {
    let rows: Vec<Uuid> = appointments::Entity::find()
        .select_only()
        .column(Column::ProviderId)
        .filter(Column::CustomerId.eq(customer.0))
        .filter(Column::State.eq(State::Pending.word()))
        .filter(Column::ExpiresAt.lte(now))
        .filter(Column::StartsAt.lt(interval.end()))
        .filter(Column::EndsAt.gt(interval.start()))
        .order_by_asc(Column::ProviderId)
        .into_tuple()
        .all(at.db())
        .await
        .map_err(|e| engine::fault(&e))?;
    let mut providers: Vec<_> = rows.into_iter().map(ProviderId).collect();
    providers.dedup();
    Ok(providers)
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
            // Implied, since none is longer than a day; it gives the index something to begin at.
            .filter(Column::StartsAt.gt(from - TimeDelta::days(1)));
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

fn backend(engine: Engine) -> DatabaseBackend {
    match engine {
        Engine::Postgres => DatabaseBackend::Postgres,
        Engine::Sqlite => DatabaseBackend::Sqlite,
    }
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
