//! The states of appointments as of a moment, as conditions.

use sea_orm::{
    ColumnTrait, Condition,
    sea_query::{Alias, Expr, ExprTrait as _, Query},
};

use crate::{
    booking::State,
    kernel::time::Instant,
    storage::entity::appointments::{self, Column},
};

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
