//! How far before and after a range one must look for the claims that reach into it.

use chrono::TimeDelta;

use crate::kernel::time::{Instant, Interval};

/// The longest buffer.
pub const LONGEST_BUFFER: TimeDelta = TimeDelta::hours(4);
/// How much earlier than it ends a claim's appointment may start: a day, and the longest buffer.
pub const LONGEST_CLAIM: TimeDelta = TimeDelta::hours(28);

/// No claim that reaches into the range belongs to an appointment that starts sooner.
pub fn earliest(range: Interval) -> Instant {
    range.start() - LONGEST_CLAIM
}

/// No claim that reaches into the range belongs to an appointment that starts at or after this.
pub fn latest(range: Interval) -> Instant {
    range.end() + LONGEST_BUFFER
}
