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
}

/// The states in which something claims time.
pub const CLAIMING: [State; 5] =
    [State::Held, State::Pending, State::Booked, State::Completed, State::NoShow];
