//! New rows of `appointments`, by the names of their columns.

use sea_orm::{IdenStatic, Statement, Value};

use super::{backend, in_the_way, refused};
use crate::{
    claims::{Overlap, State, Subject},
    kernel::{
        fault::Fault,
        id::{AppointmentId, UserId},
        time::Instant,
    },
    storage::{Executor as _, Tx, entity::appointments::Column},
};

/// What a row claims: the columns by which the constraints go.
#[derive(Debug, Clone, Copy)]
pub struct ClaimColumns {
    /// The first instant of the appointment, and the first one after it.
    pub interval: (Instant, Instant),
    /// The same with buffers.
    pub claim: (Instant, Instant),
    /// Whether it claims time, and its customer's as well.
    pub state: State,
    /// When it ends by itself: of what is held or pending.
    pub expires_at: Option<Instant>,
}

impl ClaimColumns {
    /// Its columns.
    pub fn columns(&self) -> [(Column, Value); 6] {
        [
            (Column::StartsAt, self.interval.0.into()),
            (Column::EndsAt, self.interval.1.into()),
            (Column::ClaimStartsAt, self.claim.0.into()),
            (Column::ClaimEndsAt, self.claim.1.into()),
            (Column::State, self.state.word().into()),
            (Column::ExpiresAt, self.expires_at.into()),
        ]
    }
}

/// A new row, as a claim.
#[derive(Debug, Clone, Copy)]
pub struct NewRow {
    /// Whose time it claims; locked.
    pub subject: Subject,
    /// The id of the row.
    pub id: AppointmentId,
    /// The customer of the appointment.
    pub customer: UserId,
    /// What it claims.
    pub claimed: ClaimColumns,
}

/// What follows an insert of a claim.
///
/// Never a plain insert: on PostgreSQL two of those on overlapping intervals wait for each other until
/// the deadlock detector picks a victim, and `ON CONFLICT DO NOTHING` does not. On SQLite a trigger
/// refuses.
pub const ON_CONFLICT: &str = "ON CONFLICT DO NOTHING";

/// Claims time with a new row, or tells what stands in the way. `others` are the columns that are about its appointment.
pub async fn insert(
    tx: &Tx,
    row: &NewRow,
    others: impl IntoIterator<Item = (Column, Value)>,
) -> Result<Option<Overlap>, Fault> {
    let key = [
        (Column::ProviderId, row.subject.id().0.into()),
        (Column::AppointmentId, row.id.0.into()),
        (Column::CustomerId, row.customer.0.into()),
        (Column::Stamp, tx.stamp().0.into()),
    ];
    let columns = key.into_iter().chain(row.claimed.columns()).chain(others);
    let (columns, values): (Vec<_>, Vec<_>) = columns.unzip();
    let places: Vec<_> = (1..=values.len()).map(|place| format!("${place}")).collect();
    let sql = format!("{} VALUES ({}) {ON_CONFLICT}", into(&columns), places.join(", "));
    let (place, claim) = ((row.subject, row.id), row.claimed.claim);
    match tx.execute(Statement::from_sql_and_values(backend(tx.engine()), sql, values)).await {
        Ok(done) if done.rows_affected() == 1 => Ok(None),
        Ok(_) => in_the_way(tx, place, claim).await.map(Some),
        Err(e) => refused(tx, place, claim, &e).await.map(Some),
    }
}

/// The beginning of an insert of what a query finds: of each column the expression that stands in it. What the query finds it
/// in follows, and [`ON_CONFLICT`].
pub fn select(row: &[(Column, &str)]) -> String {
    let (columns, expressions): (Vec<_>, Vec<_>) = row.iter().copied().unzip();
    format!("{} SELECT {}", into(&columns), expressions.join(", "))
}

fn into(columns: &[Column]) -> String {
    let names: Vec<_> = columns.iter().map(IdenStatic::as_str).collect();
    format!("INSERT INTO appointments ({})", names.join(", "))
}
