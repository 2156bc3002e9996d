//! What can be booked: a pure function of the schedule, the claims and a query.
//!
//! This file holds the words; [`compute`] the rule.

pub mod compute;
pub mod service;

use chrono::TimeDelta;

use crate::kernel::time::{Instant, Interval};

pub use compute::availability;

/// What a caller wants to know.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Query {
    /// Where to look. The answer grows with it: the caller bounds its length.
    pub range: Interval,
    /// How long the appointment takes. With zero or less there are no slots; whether the schedule
    /// allows so long a duration is the caller's to check.
    pub duration: TimeDelta,
    /// The present, rounded up to the whole second: nothing before it is offered.
    pub now: Instant,
}

/// What can be booked, and when.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Availability {
    /// Open, unclaimed time of the range from now on: sorted, disjoint, joined where it touches.
    pub free: Vec<Interval>,
    /// The appointments that could start now, each of the query's duration: sorted by start, no
    /// two the same. They lie wholly inside `free` and may overlap each other.
    pub slots: Vec<Interval>,
}
