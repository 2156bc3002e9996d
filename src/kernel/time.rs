//! Instants, intervals and sets of intervals: half-open, in UTC, without a clock.

use std::fmt;

use chrono::{DateTime, SecondsFormat, TimeDelta, Utc};

/// A moment in UTC.
///
/// What enters from outside is checked with [`is_accepted_start`] or [`is_accepted_end`]; what is
/// computed from accepted instants may leave their range by a buffer or a time zone's offset.
pub type Instant = DateTime<Utc>;

/// The first instant accepted: 1970-01-01T00:00:00Z, inclusive.
pub const EARLIEST: Instant = DateTime::UNIX_EPOCH;

/// The bound of the instants accepted: 2200-01-01T00:00:00Z. No start reaches it, an end may.
pub const LATEST: Instant = match DateTime::from_timestamp(7_258_118_400, 0) {
    Some(instant) => instant,
    None => DateTime::<Utc>::MAX_UTC,
};

/// Says whether something may start at this instant.
///
/// True in [`EARLIEST`] (inclusive) to [`LATEST`] (exclusive), in whole seconds.
pub fn is_accepted_start(instant: Instant) -> bool {
    is_whole_second(instant) && (EARLIEST..LATEST).contains(&instant)
}

/// Says whether something may end at this instant.
///
/// True after [`EARLIEST`], up to and including [`LATEST`], in whole seconds.
pub fn is_accepted_end(instant: Instant) -> bool {
    is_whole_second(instant) && EARLIEST < instant && instant <= LATEST
}

/// Rounds an instant up to the whole second.
///
/// A whole second is returned as it is; so is the last second that chrono can express.
pub fn ceil_to_second(instant: Instant) -> Instant {
    if is_whole_second(instant) {
        return instant;
    }
    DateTime::from_timestamp(instant.timestamp().saturating_add(1), 0).unwrap_or(instant)
}

fn is_whole_second(instant: Instant) -> bool {
    instant.timestamp_subsec_nanos() == 0
}

/// A stretch of time `[start, end)`, never empty.
///
/// Ordered by start, then by end. Printed as ISO 8601: `start/end`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Interval {
    // The derived order depends on the order of these fields.
    start: Instant,
    end: Instant,
}

impl Interval {
    /// Makes the interval `[start, end)`; `None` if that would be empty, that is `end <= start`.
    pub fn new(start: Instant, end: Instant) -> Option<Self> {
        (start < end).then_some(Self { start, end })
    }

    /// The first instant inside.
    pub fn start(&self) -> Instant {
        self.start
    }

    /// The first instant after the interval.
    pub fn end(&self) -> Instant {
        self.end
    }

    /// The elapsed time from start to end; always positive.
    pub fn duration(&self) -> TimeDelta {
        self.end.signed_duration_since(self.start)
    }

    /// Says whether the two share an instant; touching intervals do not.
    pub fn overlaps(&self, other: &Self) -> bool {
        self.start < other.end && other.start < self.end
    }

    /// Says whether every instant of `other` is in this interval.
    pub fn contains(&self, other: &Self) -> bool {
        self.start <= other.start && other.end <= self.end
    }

    /// Says whether the instant is in this interval; the end is not.
    pub fn contains_instant(&self, instant: Instant) -> bool {
        self.start <= instant && instant < self.end
    }

    /// What the two have in common; `None` if they do not overlap.
    pub fn intersect(&self, other: &Self) -> Option<Self> {
        Self::new(self.start.max(other.start), self.end.min(other.end))
    }
}

impl fmt::Display for Interval {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let iso = |instant: Instant| instant.to_rfc3339_opts(SecondsFormat::AutoSi, true);
        write!(f, "{}/{}", iso(self.start), iso(self.end))
    }
}

impl fmt::Debug for Interval {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// A set of instants, as the fewest intervals that cover it.
///
/// The intervals are sorted, disjoint and never touch: two that touch are one. Values do not
/// change; every operation returns a new set and, past sorting, takes linear time.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct IntervalSet {
    intervals: Vec<Interval>,
}

impl IntervalSet {
    /// The instants in either set.
    #[must_use]
    pub fn union(&self, other: &Self) -> Self {
        // The sort finds the two sorted runs and merges them in linear time.
        self.iter().chain(other).copied().collect()
    }

    /// The instants in this set that are not in `other`.
    #[must_use]
    pub fn subtract(&self, other: &Self) -> Self {
        let Some(first) = self.intervals.first() else {
            return Self::default();
        };
        // A long history of claims before this set costs a binary search, not a walk.
        let mut taken = other.ending_after(first.start);
        let mut intervals = Vec::with_capacity(self.intervals.len() + taken.len().min(64));
        for interval in &self.intervals {
            let mut start = interval.start;
            while let Some((cut, rest)) = taken.split_first() {
                if cut.start >= interval.end {
                    break;
                }
                intervals.extend(Interval::new(start, cut.start));
                start = start.max(cut.end);
                if cut.end > interval.end {
                    // The cut may reach into the next interval as well.
                    break;
                }
                taken = rest;
            }
            intervals.extend(Interval::new(start, interval.end));
        }
        Self { intervals }
    }

    /// The instants of this set inside `bounds`.
    #[must_use]
    pub fn clip(&self, bounds: Interval) -> Self {
        let intervals = self
            .ending_after(bounds.start)
            .iter()
            .map_while(|interval| interval.intersect(&bounds))
            .collect();
        Self { intervals }
    }

    /// Says whether every instant of `interval` is in this set.
    pub fn contains(&self, interval: &Interval) -> bool {
        self.ending_after(interval.start).first().is_some_and(|first| first.contains(interval))
    }

    /// The intervals in time order.
    pub fn iter(&self) -> std::slice::Iter<'_, Interval> {
        self.intervals.iter()
    }

    /// Says whether the set has no instant.
    pub fn is_empty(&self) -> bool {
        self.intervals.is_empty()
    }

    /// The intervals in time order, as a slice.
    pub fn as_slice(&self) -> &[Interval] {
        &self.intervals
    }

    /// The intervals that end after `instant`: because they are disjoint, a suffix.
    pub fn ending_after(&self, instant: Instant) -> &[Interval] {
        let from = self.intervals.partition_point(|interval| interval.end <= instant);
        self.intervals.get(from..).unwrap_or_default()
    }
}

impl From<Vec<Interval>> for IntervalSet {
    /// Sorts and coalesces the intervals, whatever their order and overlaps.
    fn from(mut intervals: Vec<Interval>) -> Self {
        intervals.sort();
        intervals.dedup_by(|next, kept| {
            let joined = next.start <= kept.end;
            if joined {
                kept.end = kept.end.max(next.end);
            }
            joined
        });
        Self { intervals }
    }
}

impl From<Interval> for IntervalSet {
    fn from(interval: Interval) -> Self {
        Self { intervals: vec![interval] }
    }
}

impl FromIterator<Interval> for IntervalSet {
    fn from_iter<I: IntoIterator<Item = Interval>>(intervals: I) -> Self {
        intervals.into_iter().collect::<Vec<_>>().into()
    }
}

impl From<IntervalSet> for Vec<Interval> {
    fn from(set: IntervalSet) -> Self {
        set.intervals
    }
}

impl<'a> IntoIterator for &'a IntervalSet {
    type Item = &'a Interval;
    type IntoIter = std::slice::Iter<'a, Interval>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use proptest::prelude::*;

    use super::*;

    /// 64 cases, so that the whole suite stays quick, unless `PROPTEST_CASES` asks for more.
    pub(crate) fn cases() -> ProptestConfig {
        match std::env::var_os("PROPTEST_CASES") {
            Some(_) => ProptestConfig::default(),
            None => ProptestConfig::with_cases(64),
        }
    }

    /// An instant as RFC 3339 text that may leave out the seconds: `2026-03-29T02:00+01:00`.
    pub(crate) fn at(text: &str) -> Instant {
        let (minute, rest) = text.split_at(16);
        let seconds = if rest.starts_with(':') { "" } else { ":00" };
        DateTime::parse_from_rfc3339(&format!("{minute}{seconds}{rest}")).unwrap().to_utc()
    }

    pub(crate) fn span(start: &str, end: &str) -> Interval {
        Interval::new(at(start), at(end)).unwrap()
    }

    const TICKS: i64 = 40;

    fn tick(n: i64) -> Instant {
        DateTime::from_timestamp(n, 0).unwrap()
    }

    fn interval() -> impl Strategy<Value = Interval> {
        (0..TICKS - 1).prop_flat_map(|start| {
            (start + 1..TICKS.min(start + 12))
                .prop_map(move |end| Interval::new(tick(start), tick(end)).unwrap())
        })
    }

    fn intervals() -> impl Strategy<Value = Vec<Interval>> {
        prop::collection::vec(interval(), 0..7)
    }

    /// The naive model: one flag for each second.
    fn flags<'a>(intervals: impl IntoIterator<Item = &'a Interval>) -> Vec<bool> {
        let intervals: Vec<_> = intervals.into_iter().collect();
        (0..TICKS).map(|n| intervals.iter().any(|i| i.contains_instant(tick(n)))).collect()
    }

    fn zip(a: &[bool], b: &[bool], op: impl Fn(bool, bool) -> bool) -> Vec<bool> {
        a.iter().zip(b).map(|(a, b)| op(*a, *b)).collect()
    }

    /// Sorted, disjoint, and no two touch.
    fn is_normal(set: &IntervalSet) -> bool {
        set.as_slice().windows(2).all(|pair| pair[0].end < pair[1].start)
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: cases().cases.max(256), ..cases() })]

        #[test]
        fn sets_agree_with_flags(a in intervals(), b in intervals(), bounds in interval()) {
            let (left, right) = (flags(&a), flags(&b));
            let set: IntervalSet = a.iter().copied().collect();
            let other = IntervalSet::from(b);
            prop_assert_eq!(flags(&set), left.clone());

            let union = set.union(&other);
            prop_assert_eq!(flags(&union), zip(&left, &right, |a, b| a || b));
            let rest = set.subtract(&other);
            prop_assert_eq!(flags(&rest), zip(&left, &right, |a, b| a && !b));
            let clipped = set.clip(bounds);
            prop_assert_eq!(flags(&clipped), zip(&left, &flags([&bounds]), |a, b| a && b));
            for set in [&set, &union, &rest, &clipped] {
                prop_assert!(is_normal(set), "{:?}", set);
                prop_assert_eq!(set.is_empty(), !flags(set).contains(&true));
            }
            let inside = zip(&left, &flags([&bounds]), |a, b| a || !b);
            prop_assert_eq!(set.contains(&bounds), !inside.contains(&false));
        }

        #[test]
        fn intervals_agree_with_flags(a in interval(), b in interval()) {
            let common = zip(&flags([&a]), &flags([&b]), |a, b| a && b);
            prop_assert_eq!(a.overlaps(&b), common.contains(&true));
            prop_assert_eq!(a.contains(&b), common == flags([&b]));
            prop_assert_eq!(flags(a.intersect(&b).as_ref()), common);
        }
    }

    #[test]
    fn what_only_touches_the_bounds_is_clipped() {
        let of = |start, end| Interval::new(tick(start), tick(end)).unwrap();
        let set = IntervalSet::from(vec![of(0, 5), of(6, 9), of(9, 10), of(12, 20)]);
        assert_eq!(set.clip(of(5, 12)).as_slice(), [of(6, 10)]);
        assert!(set.clip(of(10, 12)).is_empty());
    }

    #[test]
    fn an_interval_is_never_empty() {
        assert_eq!(Interval::new(tick(5), tick(5)), None);
        assert_eq!(Interval::new(tick(5), tick(4)), None);
        assert_eq!(Interval::new(tick(5), tick(9)).unwrap().duration(), TimeDelta::seconds(4));
    }

    #[test]
    fn an_interval_prints_as_iso() {
        let interval = span("2026-01-05T09:00Z", "2026-01-05T17:30Z");
        assert_eq!(interval.to_string(), "2026-01-05T09:00:00Z/2026-01-05T17:30:00Z");
        assert_eq!(format!("{interval:?}"), interval.to_string());
    }

    #[test]
    fn intervals_sort_by_start_then_end() {
        let of = |start, end| Interval::new(tick(start), tick(end)).unwrap();
        let mut some = [of(2, 3), of(1, 9), of(1, 4)];
        some.sort();
        assert_eq!(some, [of(1, 4), of(1, 9), of(2, 3)]);
    }

    #[test]
    fn accepted_instants_are_whole_seconds_from_1970_to_2199() {
        let half = TimeDelta::milliseconds(500);
        let second = TimeDelta::seconds(1);
        assert_eq!(LATEST, at("2200-01-01T00:00Z"));
        assert!(is_accepted_start(EARLIEST) && !is_accepted_start(EARLIEST - second));
        assert!(is_accepted_start(LATEST - second) && !is_accepted_start(LATEST));
        assert!(is_accepted_end(LATEST) && !is_accepted_end(LATEST + second));
        assert!(is_accepted_end(EARLIEST + second) && !is_accepted_end(EARLIEST));
        assert!(!is_accepted_start(EARLIEST + half) && !is_accepted_end(EARLIEST + half));
    }

    #[test]
    fn rounding_goes_up_to_the_whole_second() {
        assert_eq!(ceil_to_second(tick(7)), tick(7));
        assert_eq!(ceil_to_second(tick(7) + TimeDelta::nanoseconds(1)), tick(8));
        assert_eq!(ceil_to_second(tick(-7) + TimeDelta::milliseconds(999)), tick(-6));
        assert_eq!(ceil_to_second(DateTime::<Utc>::MAX_UTC), DateTime::<Utc>::MAX_UTC);
    }
}
