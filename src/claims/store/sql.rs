//! The parts of SQL texts that say which rows claim whose time when: each condition on claims is written here once, in
//! words that both engines understand. Macros, because `concat!` joins them into constants.
//!
//! `$row` is the name of the row of `appointments`; what else they take are SQL expressions.

/// The list of [`crate::claims::state::CLAIMING`].
macro_rules! claiming {
    () => {
        "('held', 'pending', 'booked', 'completed', 'no_show')"
    };
}

/// The list of [`crate::claims::state::BUSY`].
macro_rules! busy {
    () => {
        "('pending', 'booked', 'completed', 'no_show')"
    };
}

/// The list of [`crate::claims::state::OPEN`].
macro_rules! open {
    () => {
        "('pending', 'booked')"
    };
}

/// The list of [`crate::claims::state::TO_COME`].
macro_rules! to_come {
    () => {
        "('held', 'pending', 'booked')"
    };
}

/// What has not ended by itself at an instant: see [`crate::claims::expiry`].
macro_rules! lasts {
    ($row:literal, $now:literal) => {
        concat!("(", $row, ".expires_at IS NULL OR ", $row, ".expires_at > ", $now, ")")
    };
}

/// What claims time at an instant.
macro_rules! claims_at {
    ($row:literal, $now:literal) => {
        concat!(
            $row,
            ".state IN ",
            $crate::claims::store::sql::claiming!(),
            " AND ",
            $crate::claims::store::sql::lasts!($row, $now)
        )
    };
}

/// What claims a subject's time in a range, at an instant. The first and the last bound are those of the starts, see
/// [`crate::claims::margins::starts`]; they are implied, and give the index something to begin and to end at.
macro_rules! claims_of {
    ($row:literal, $subject:literal, [$earliest:expr, $start:literal, $end:literal, $latest:expr], $now:literal) => {
        concat!(
            $row,
            ".provider_id = ",
            $subject,
            " AND ",
            $row,
            ".starts_at > ",
            $earliest,
            " AND ",
            $row,
            ".starts_at < ",
            $latest,
            " AND ",
            $row,
            ".claim_starts_at < ",
            $end,
            " AND ",
            $row,
            ".claim_ends_at > ",
            $start,
            " AND ",
            $crate::claims::store::sql::claims_at!($row, $now)
        )
    };
}

/// What a provider does for others: all but what they attend as a customer, which is claimed beside the appointment
/// with somebody else.
macro_rules! not_attended {
    ($row:literal) => {
        concat!("(", $row, ".claim_of IS NULL OR ", $row, ".customer_id <> ", $row, ".provider_id)")
    };
}

pub(crate) use {busy, claiming, claims_at, claims_of, lasts, not_attended, open, to_come};

#[cfg(test)]
mod tests {
    use crate::claims::state::{BUSY, CLAIMING, OPEN, State, TO_COME};

    #[test]
    fn the_texts_name_the_states_of_the_rules() {
        let list = |states: &[State]| {
            let words: Vec<_> = states.iter().map(|state| format!("'{}'", state.word())).collect();
            format!("({})", words.join(", "))
        };
        assert_eq!(claiming!(), list(&CLAIMING));
        assert_eq!(busy!(), list(&BUSY));
        assert_eq!(open!(), list(&OPEN));
        assert_eq!(to_come!(), list(&TO_COME));
    }
}
