//! How far before and after a range one must look for what reaches into it. Rows are found by the starts of the
//! appointments, which the indexes have, and claims are longer than appointments by their buffers.

use chrono::TimeDelta;

use crate::kernel::time::{Instant, Interval};

/// The longest appointment, in hours. As macros, so that SQL texts have the numbers from here too.
macro_rules! longest_hours {
    () => {
        24
    };
}
/// The longest buffer, in hours.
macro_rules! longest_buffer_hours {
    () => {
        4
    };
}
/// The longest appointment and the longest buffer, in hours.
macro_rules! longest_claim_hours {
    () => {
        28
    };
}
pub(crate) use {longest_buffer_hours, longest_claim_hours, longest_hours};

/// The longest appointment: what overlaps an instant starts less than this before it.
pub const LONGEST: TimeDelta = TimeDelta::hours(longest_hours!());
/// The longest buffer.
pub const LONGEST_BUFFER: TimeDelta = TimeDelta::hours(longest_buffer_hours!());
/// How much earlier than its claim ends an appointment may start: [`LONGEST`] and [`LONGEST_BUFFER`].
pub const LONGEST_CLAIM: TimeDelta = TimeDelta::hours(longest_claim_hours!());

/// Between which starts the appointments are whose claims may reach into a range; both excluded.
pub fn starts(range: Interval) -> (Instant, Instant) {
    starts_around((range.start(), range.end()))
}

/// The same of a stretch given by its ends.
pub fn starts_around((start, end): (Instant, Instant)) -> (Instant, Instant) {
    (start - LONGEST_CLAIM, end + LONGEST_BUFFER)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{kernel::time::tests::span, schedule::LONGEST_RANGE};

    #[test]
    fn a_claim_is_as_long_as_an_appointment_and_a_buffer() {
        assert_eq!(LONGEST_CLAIM, LONGEST + LONGEST_BUFFER);
        assert_eq!(*LONGEST_RANGE.end(), LONGEST);
    }

    /// The longest appointments with the longest buffers that just touch a range, and a second closer.
    #[test]
    fn what_touches_a_range_starts_at_the_bounds_and_what_reaches_into_it_between_them() {
        let range = span("2026-11-23T09:00Z", "2026-11-23T10:00Z");
        let (earliest, latest) = starts(range);
        let second = TimeDelta::seconds(1);
        assert_eq!(earliest + LONGEST + LONGEST_BUFFER, range.start());
        assert_eq!(latest - LONGEST_BUFFER, range.end());
        let claim = |start: Instant| {
            Interval::new(start - LONGEST_BUFFER, start + LONGEST + LONGEST_BUFFER).unwrap()
        };
        for (start, reaches) in
            [(earliest, false), (earliest + second, true), (latest - second, true), (latest, false)]
        {
            assert_eq!(claim(start).overlaps(&range), reaches, "{start}");
        }
    }
}
