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

/// Whether two stretches share an instant; touching ones do not.
pub fn overlaps(one: (Instant, Instant), other: (Instant, Instant)) -> bool {
    one.0 < other.1 && other.0 < one.1
}

/// What a stretch has beyond those that are claimed already. Nothing where not just one stretch is left.
pub fn beyond(
    claimed: impl IntoIterator<Item = (Instant, Instant)>,
    new: (Instant, Instant),
) -> Option<(Instant, Instant)> {
    let mut rest = vec![new];
    for (from, until) in claimed {
        let pieces = rest
            .into_iter()
            .flat_map(|(start, end)| [(start, end.min(from)), (start.max(until), end)]);
        rest = pieces.filter(|(start, end)| start < end).collect();
    }
    match rest.as_slice() {
        &[one] => Some(one),
        _ => None,
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

#[cfg(test)]
mod tests {
    use super::*;

    fn span(start: i64, end: i64) -> (Instant, Instant) {
        let at = |hour| Instant::from_timestamp(hour * 3600, 0).unwrap();
        (at(start), at(end))
    }

    #[test]
    fn touching_stretches_do_not_overlap() {
        assert!(overlaps(span(1, 3), span(2, 4)) && overlaps(span(1, 4), span(2, 3)));
        assert!(!overlaps(span(1, 2), span(2, 3)) && !overlaps(span(2, 3), span(1, 2)));
    }

    #[test]
    fn what_lies_beyond_is_one_stretch_or_nothing() {
        let of = |claimed: &[(i64, i64)], new: (i64, i64)| {
            let claimed = claimed.iter().map(|(start, end)| span(*start, *end));
            beyond(claimed, span(new.0, new.1))
        };
        // An equally long one: apart, touching, later, sooner, the same.
        assert_eq!(of(&[(1, 3)], (4, 6)), Some(span(4, 6)));
        assert_eq!(of(&[(1, 3)], (3, 5)), Some(span(3, 5)));
        assert_eq!(of(&[(1, 3)], (2, 4)), Some(span(3, 4)));
        assert_eq!(of(&[(2, 4)], (1, 3)), Some(span(1, 2)));
        assert_eq!(of(&[(1, 3)], (1, 3)), None);
        // Of two: between them, all of it, one piece of either.
        assert_eq!(of(&[(1, 3), (5, 7)], (2, 6)), Some(span(3, 5)));
        assert_eq!(of(&[(1, 3), (3, 5)], (2, 4)), None);
        assert_eq!(of(&[(2, 3)], (1, 4)), None);
        assert_eq!(of(&[], (1, 2)), Some(span(1, 2)));
    }
}
