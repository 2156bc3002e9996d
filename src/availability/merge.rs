//! The slots of many providers in time order, joined by their starts: a page costs about what is on it,
//! and not what lies in its range.

use std::{cmp::Reverse, collections::BinaryHeap};

use chrono::TimeDelta;

use super::compute::{Upcoming, reach};
use crate::kernel::{
    id::ProviderId,
    time::{Instant, Interval},
};

/// A provider's name in an answer takes at least this, in bytes.
const NAME: usize = 46;
/// How many provider-days are read and computed at once.
const AT_ONCE: i64 = 2000;

/// A start at which the type could be booked now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Slot {
    /// From when until when.
    pub interval: Interval,
    /// Who could take it, in the order of their ids.
    pub providers: Vec<ProviderId>,
}

/// The slots of many providers. Pulls no slot of a provider before the one ahead of it is passed on.
pub struct Merged<'a> {
    sources: Vec<(ProviderId, Upcoming<'a>)>,
    /// The next slot of each provider that has one, and where it stands in `sources`.
    heads: BinaryHeap<Reverse<(Interval, usize)>>,
    pulled: usize,
}

impl<'a> Merged<'a> {
    /// The slots of these providers, each named once.
    pub fn new(mut sources: Vec<(ProviderId, Upcoming<'a>)>) -> Self {
        sources.sort_by_key(|(provider, _)| *provider);
        let mut merged =
            Self { heads: BinaryHeap::with_capacity(sources.len()), sources, pulled: 0 };
        for place in 0..merged.sources.len() {
            merged.pull(place);
        }
        merged
    }

    /// How many slots of single providers were found so far: at most one more for each provider than were
    /// passed on.
    pub fn pulled(&self) -> usize {
        self.pulled
    }

    fn pull(&mut self, place: usize) {
        let found = self.sources.get_mut(place).and_then(|(_, source)| source.next());
        if let Some(interval) = found {
            self.pulled += 1;
            self.heads.push(Reverse((interval, place)));
        }
    }
}

impl Iterator for Merged<'_> {
    type Item = Slot;

    fn next(&mut self) -> Option<Slot> {
        let Reverse((interval, _)) = *self.heads.peek()?;
        let mut providers = Vec::new();
        while let Some(Reverse((head, place))) = self.heads.peek().copied()
            && head == interval
        {
            self.heads.pop();
            providers.extend(self.sources.get(place).map(|(provider, _)| *provider));
            self.pull(place);
        }
        Some(Slot { interval, providers })
    }
}

/// A page that is being filled: one slot more than asked for, or one more than its bytes allow, tells
/// that others follow.
#[derive(Debug, Clone)]
pub struct Page {
    slots: Vec<Slot>,
    most: usize,
    bytes_left: usize,
    is_full: bool,
}

impl Page {
    /// At most so many slots, and no more of them than begin within so many bytes.
    pub fn new(most: usize, bytes: usize) -> Self {
        Self { slots: Vec::new(), most, bytes_left: bytes, is_full: most == 0 }
    }

    /// How many slots it has room for at most.
    pub fn room(&self) -> usize {
        self.most.saturating_sub(self.slots.len())
    }

    /// Whether nothing more goes onto it.
    pub fn is_full(&self) -> bool {
        self.is_full
    }

    /// Adds the next slot.
    pub fn push(&mut self, slot: Slot) {
        let left = self.bytes_left.checked_sub(slot.providers.len() * NAME);
        self.bytes_left = left.unwrap_or_default();
        self.slots.push(slot);
        self.is_full = left.is_none() || self.slots.len() >= self.most;
    }

    /// What is on it.
    pub fn into_slots(self) -> Vec<Slot> {
        self.slots
    }
}

/// The part of a range that is read and computed at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stretch {
    /// When slots start in it.
    pub starts: Interval,
    /// Where they lie: they may end after the last start, and after the range.
    pub range: Interval,
    /// Whether nothing of the range is left after it.
    pub is_last: bool,
}

impl Stretch {
    /// So many days of a range from an instant on, for slots of this length. Nothing when none is left.
    pub fn of(whole: Interval, from: Instant, days: i64, duration: TimeDelta) -> Option<Self> {
        let rest = Interval::new(whole.start().max(from), whole.end())?;
        let end = TimeDelta::try_days(days).and_then(|days| rest.start().checked_add_signed(days));
        let end = end.unwrap_or(rest.end()).min(rest.end());
        let starts = Interval::new(rest.start(), end)?;
        Some(Self { starts, range: reach(starts, duration), is_last: end == rest.end() })
    }
}

/// How many days of so many providers are read and computed at once; at least one.
pub fn days_at_once(providers: usize) -> i64 {
    let providers = i64::try_from(providers).unwrap_or(i64::MAX);
    AT_ONCE.checked_div(providers).unwrap_or(AT_ONCE).max(1)
}

#[cfg(test)]
#[path = "merge_tests.rs"]
mod tests;
