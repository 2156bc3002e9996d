//! The states of a row of `appointments`, and in which of them it claims time.

use serde::{Deserialize, Serialize};

/// Where an appointment stands in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// Not an appointment yet: the slot is kept for a customer until it expires.
    Held,
    /// Asked for, and not answered until it expires.
    Pending,
    /// Agreed, and still to come or not yet marked as done.
    Booked,
    /// It took place.
    Completed,
    /// The customer did not come.
    NoShow,
    /// It was called off; its time is free again.
    Cancelled,
    /// It was asked for and refused; its time is free again.
    Declined,
}

impl State {
    /// All variants, in the order of declaration.
    pub const ALL: [Self; 7] = [
        Self::Held,
        Self::Pending,
        Self::Booked,
        Self::Completed,
        Self::NoShow,
        Self::Cancelled,
        Self::Declined,
    ];

    /// The word used in the table.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Held => "held",
            Self::Pending => "pending",
            Self::Booked => "booked",
            Self::Completed => "completed",
            Self::NoShow => "no_show",
            Self::Cancelled => "cancelled",
            Self::Declined => "declined",
        }
    }

    /// Reads the word.
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.word() == word)
    }

    /// Whether it can still be moved, cancelled or answered.
    pub const fn is_open(self) -> bool {
        matches!(self, Self::Pending | Self::Booked)
    }

    /// Whether its customer is busy then: in all states that claim time but one, since holds of one customer may
    /// overlap.
    pub const fn keeps_busy(self) -> bool {
        matches!(self, Self::Pending | Self::Booked | Self::Completed | Self::NoShow)
    }
}

/// The states in which a row claims time. The constraints of the table name the same ones, and so does
/// `claiming!` in the SQL texts.
pub const CLAIMING: [State; 5] =
    [State::Held, State::Pending, State::Booked, State::Completed, State::NoShow];
/// The states of which [`State::keeps_busy`] is true.
pub const BUSY: [State; 4] = [State::Pending, State::Booked, State::Completed, State::NoShow];
/// The states of which [`State::is_open`] is true.
pub const OPEN: [State; 2] = [State::Pending, State::Booked];
/// The states of what claims time that is still to come: [`CLAIMING`] without outcomes.
pub const TO_COME: [State; 3] = [State::Held, State::Pending, State::Booked];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lists_say_what_the_functions_say() {
        let all = |is: fn(State) -> bool| State::ALL.into_iter().filter(move |state| is(*state));
        assert!(all(State::is_open).eq(OPEN));
        assert!(all(State::keeps_busy).eq(BUSY));
        let keeps = |state: &State| *state == State::Held || state.keeps_busy();
        assert!(State::ALL.into_iter().filter(keeps).eq(CLAIMING));
    }
}
