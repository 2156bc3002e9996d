//! The states of appointments as of a moment, as conditions; and the locks of those who write down that one has changed
//! by itself.

use sea_orm::{
    ColumnTrait, Condition, DatabaseBackend, Statement, Value,
    sea_query::{Alias, ArrayType, Expr, ExprTrait as _, Query},
};

use crate::{
    booking::State,
    kernel::{
        fault::Fault,
        id::{AppointmentId, ProviderId},
        time::Instant,
    },
    storage::{
        Engine, Executor as _, Tx, engine,
        entity::appointments::{self, Column},
    },
};

// In the order of the ids, so that two who do it wait for each other in no circle. No more than what keeps an account
// from being renamed, merged or erased: those write what its customer has booked.
const LOCK_CUSTOMERS: &str = "SELECT 1 FROM users
    WHERE user_id IN (SELECT customer_id FROM appointments WHERE provider_id = $1 AND appointment_id = ANY ($2))
    ORDER BY user_id FOR KEY SHARE";

/// Locks the customers of these appointments and holds of a locked provider until the transaction ends. On SQLite the
/// transaction is the only writer.
pub async fn lock_customers(
    tx: &Tx,
    provider: ProviderId,
    ids: &[AppointmentId],
) -> Result<(), Fault> {
    if ids.is_empty() || tx.engine() != Engine::Postgres {
        return Ok(());
    }
    let ids = ids.iter().map(|id| Value::from(id.0)).collect();
    let values = [provider.0.into(), Value::Array(ArrayType::Uuid, Some(Box::new(ids)))];
    let backend = DatabaseBackend::Postgres;
    let statement = Statement::from_sql_and_values(backend, LOCK_CUSTOMERS, values);
    tx.execute(statement).await.map_err(|e| engine::fault(&e))?;
    Ok(())
}

/// Of which a move is asked for as of now: there is further time of it that has not expired.
fn asked_to_move(now: Instant) -> Condition {
    let further = Alias::new("further");
    let of = |column: Column| Expr::col((further.clone(), column));
    let appointment = |column: Column| (appointments::Entity, column);
    let rows = Query::select()
        .expr(Expr::val(1))
        .from_as(appointments::Entity, further.clone())
        .and_where(of(Column::ProviderId).equals(appointment(Column::ProviderId)))
        .and_where(of(Column::ClaimOf).equals(appointment(Column::AppointmentId)))
        .and_where(of(Column::ExpiresAt).gt(now))
        .to_owned();
    let asked = Column::State.eq(State::Booked.word());
    Condition::all().add(asked).add(Expr::exists(rows))
}

/// In one of these states as of now: an expired request is declined, whatever the row still says.
pub(super) fn in_states(states: &[State], now: Instant) -> Condition {
    let expired = || {
        Condition::all()
            .add(Column::State.eq(State::Pending.word()))
            .add(Column::ExpiresAt.lte(now))
    };
    let named = Condition::all()
        .add(Column::State.is_in(states.iter().map(|state| state.word())))
        .add(expired().not());
    let all = Condition::any().add(named);
    let all = if states.contains(&State::Declined) { all.add(expired()) } else { all };
    // Who looks for what is to be answered finds the moves that are asked for, too.
    if states.contains(&State::Pending) { all.add(asked_to_move(now)) } else { all }
}
