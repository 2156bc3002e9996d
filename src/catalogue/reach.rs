//! Whether a type can be booked at all from now on, by its horizon and its notice.

use chrono::{NaiveTime, TimeDelta};

use super::{Horizon, Terms, minutes};
use crate::kernel::{
    fault::{Fault, Violations},
    time::Instant,
};

/// How long after midnight in UTC a date has ended everywhere.
const LAST_ZONE: TimeDelta = TimeDelta::hours(12);

/// Notes a fixed window that is over, wherever the provider is, or over before the notice is.
pub fn check(
    horizon: Option<Horizon>,
    notice: TimeDelta,
    now: Instant,
    violations: &mut Violations,
) {
    // One that is reversed is told as such.
    let Some(Horizon::Fixed { first, last }) = horizon else { return };
    if last < first {
        return;
    }
    let midnight = last.succ_opt().map(|next| next.and_time(NaiveTime::MIN).and_utc());
    let Some(end) = midnight.and_then(|midnight| midnight.checked_add_signed(LAST_ZONE)) else {
        return;
    };
    if end <= now {
        violations.add("appointment_type.fixed_window.end_date", "must not be over already");
    } else if now.checked_add_signed(notice).is_none_or(|noticed| end <= noticed) {
        violations
            .add("appointment_type.minimum_notice", "must be shorter than fixed_window reaches");
    }
}

/// The same of whole terms. What stays as it was `before` is left alone: time goes on, and is no reason
/// against another change.
pub fn check_terms(terms: &Terms, before: Option<&Terms>, now: Instant) -> Result<(), Fault> {
    let of = |terms: &Terms| (terms.horizon, terms.minimum_notice);
    if before.map(of) == Some(of(terms)) {
        return Ok(());
    }
    let mut violations = Violations::new();
    check(terms.horizon, minutes(terms.minimum_notice), now, &mut violations);
    violations.finish()
}

#[cfg(test)]
#[path = "reach_tests.rs"]
mod tests;
