//! Half-open stretches of time that overlap.

use crate::kernel::time::{Instant, Interval};

/// Which of two claims stands in the way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Overlap {
    /// The provider's time is taken.
    Provider,
    /// The customer has another appointment then.
    Customer,
}

/// The part of a stretch that an equally long one does not have.
pub fn beyond(old: (Instant, Instant), new: (Instant, Instant)) -> (Instant, Instant) {
    if new.0 >= old.1 || new.1 <= old.0 {
        new
    } else if new.0 > old.0 {
        (old.1, new.1)
    } else {
        (new.0, old.0)
    }
}

/// Joins what overlaps, of a sorted list: only what could not be read does.
pub fn apart(sorted: Vec<Interval>) -> Vec<Interval> {
    let mut all: Vec<Interval> = Vec::with_capacity(sorted.len());
    for next in sorted {
        match all.last_mut().filter(|last| next.start() < last.end()) {
            Some(last) => {
                let end = last.end().max(next.end());
                *last = Interval::new(last.start(), end).unwrap_or(next);
            }
            None => all.push(next),
        }
    }
    all
}
