//! The rule by which free time and slots follow from a provider's time.

use std::collections::HashMap;

use chrono::{NaiveDate, TimeDelta};

use super::{Asked, Load, Time, monday};
use crate::{
    kernel::time::{Instant, Interval, IntervalSet, ceil_to_second},
    schedule::expand::local_date,
};

/// What is open of a range from now on, and neither claimed nor taken away.
pub fn free(time: &Time, range: Interval, now: Instant) -> IntervalSet {
    let from = range.start().max(ceil_to_second(now));
    let Some(range) = Interval::new(from, range.end()) else { return IntervalSet::default() };
    let claims: IntervalSet = time.claims.iter().copied().collect();
    open(time, range).subtract(&claims)
}

/// What is open of a range, claimed or not: windows less time off and closures.
pub fn open(time: &Time, range: Interval) -> IntervalSet {
    let windows: IntervalSet = time.windows.iter().filter_map(|w| w.intersect(&range)).collect();
    if time.time_off.is_empty() && time.closures.is_empty() {
        return windows;
    }
    let away: IntervalSet = time.time_off.iter().chain(&time.closures).copied().collect();
    windows.subtract(&away)
}

/// The slots that start in the future and lie in the range, in time order, at most so many.
///
/// Starts are on each window's grid, `window.start + offset + k × step` in elapsed time, before the
/// window's end: claims, time off and closures hide slots and never shift the grid. A slot lies in open
/// time, and may run on into a window that touches its own; its buffers may reach out of the windows,
/// but into no claim. Notice and horizon bound its start, limits what is booked on its day and week.
pub fn slots(
    time: &Time,
    asked: &Asked,
    range: Interval,
    now: Instant,
    most: usize,
) -> Vec<Interval> {
    let Some(starts) = starts(time, asked, range, now) else { return Vec::new() };
    let open = open(time, range);
    let mut limits = Ledger::new(time, asked);
    let mut slots = Vec::new();
    let mut pieces = open.as_slice();
    let mut last = None;
    for window in &time.windows {
        // Where windows overlap, a later one may begin before an earlier one's last slots.
        if slots.len() >= most && last.is_some_and(|last| window.start() > last) {
            break;
        }
        // Starts of windows ascend, so what ends before this one is of no use to the next.
        while let Some((piece, later)) = pieces.split_first()
            && piece.end() <= window.start()
        {
            pieces = later;
        }
        let before = slots.len();
        for piece in pieces.iter().take_while(|piece| piece.start() < window.end()) {
            let walk =
                Walk { time, asked, window, piece, starts, most: before.saturating_add(most) };
            walk.push(&mut slots, &mut limits);
        }
        last = slots.last().map(Interval::start).max(last);
    }
    // Only windows that overlap break the order; a sorted list costs one pass.
    slots.sort_unstable();
    slots.dedup();
    slots.truncate(most);
    slots
}

/// The instants at which a slot may start, if any.
fn starts(time: &Time, asked: &Asked, range: Interval, now: Instant) -> Option<Interval> {
    let after_now = ceil_to_second(now.checked_add_signed(TimeDelta::nanoseconds(1))?);
    let noticed = ceil_to_second(now.checked_add_signed(asked.notice)?);
    let from = range.start().max(after_now).max(noticed);
    let starts = Interval::new(from, range.end())?;
    match asked.bounds(&time.zone, now) {
        None => Some(starts),
        Some(bounds) => starts.intersect(&bounds?),
    }
}

/// The way along one window's grid through one piece of open time.
struct Walk<'a> {
    time: &'a Time,
    asked: &'a Asked,
    window: &'a Interval,
    piece: &'a Interval,
    starts: Interval,
    most: usize,
}

impl Walk<'_> {
    fn push(&self, slots: &mut Vec<Interval>, limits: &mut Ledger) {
        let asked = self.asked;
        let mut next = self.on_grid(self.piece.start().max(self.starts.start()));
        while let Some(start) = next
            && start < self.window.end()
            && start < self.starts.end()
            && slots.len() < self.most
            && let Some(end) = start.checked_add_signed(asked.duration)
            && end <= self.piece.end()
            // None is empty, so a duration of zero or less gives no slots.
            && let Some(slot) = Interval::new(start, end)
        {
            if let Some(claim) = self.claimed(&asked.claim(slot)) {
                let behind = claim.end().checked_add_signed(asked.buffer_before);
                next = behind.and_then(|from| self.on_grid(from));
            } else {
                if limits.has_room(slot) {
                    slots.push(slot);
                }
                next = start.checked_add_signed(asked.step);
            }
        }
    }

    /// The first claim in the way.
    fn claimed(&self, wanted: &Interval) -> Option<Interval> {
        let claims = &self.time.claims;
        // They do not overlap, so their ends ascend as their starts do.
        let at = claims.partition_point(|claim| claim.end() <= wanted.start());
        claims.get(at).filter(|claim| claim.start() < wanted.end()).copied()
    }

    /// The first instant of the grid from this one on; it may lie past the window's end.
    fn on_grid(&self, from: Instant) -> Option<Instant> {
        let first = self.window.start().checked_add_signed(self.asked.offset)?;
        let behind = ceil_to_second(from).signed_duration_since(first).num_seconds();
        if behind <= 0 {
            return Some(first);
        }
        let step = self.asked.step.num_seconds();
        let past = behind.checked_rem(step)?;
        let ahead = if past == 0 { behind } else { behind.checked_add(step - past)? };
        first.checked_add_signed(TimeDelta::try_seconds(ahead)?)
    }
}

/// Whether an instant lies on the grid of a window.
pub(super) fn is_on_grid(window: &Interval, asked: &Asked, start: Instant) -> bool {
    let Some(first) = window.start().checked_add_signed(asked.offset) else { return false };
    let behind = start.signed_duration_since(first);
    behind >= TimeDelta::zero()
        && behind.subsec_nanos() == 0
        && behind.num_seconds().checked_rem(asked.step.num_seconds()) == Some(0)
}

/// What counts for the limits, by local day and by week.
pub(super) struct Ledger<'a> {
    time: &'a Time,
    asked: &'a Asked,
    days: HashMap<NaiveDate, Load>,
    weeks: HashMap<NaiveDate, Load>,
}

impl<'a> Ledger<'a> {
    pub(super) fn new(time: &'a Time, asked: &'a Asked) -> Self {
        let mut ledger = Self { time, asked, days: HashMap::new(), weeks: HashMap::new() };
        if asked.limits.limit_providers() {
            for counted in &time.counted {
                if let Some(date) = local_date(&time.zone, counted.start()) {
                    for (key, loads) in
                        [(date, &mut ledger.days), (monday(date), &mut ledger.weeks)]
                    {
                        let load = loads.entry(key).or_default();
                        *load = load.and(counted.duration());
                    }
                }
            }
        }
        ledger
    }

    /// Whether the day has room for one more, and whether the week has.
    pub(super) fn room(&self, slot: Interval) -> (bool, bool) {
        let limits = &self.asked.limits;
        if !limits.limit_providers() {
            return (true, true);
        }
        let Some(date) = local_date(&self.time.zone, slot.start()) else { return (false, false) };
        let with = |load: Option<&Load>| load.copied().unwrap_or_default().and(slot.duration());
        let day = with(self.days.get(&date));
        let week = with(self.weeks.get(&monday(date)));
        (
            day.is_within(limits.per_day, limits.minutes_per_day),
            week.is_within(limits.per_week, limits.minutes_per_week),
        )
    }

    fn has_room(&self, slot: Interval) -> bool {
        self.room(slot) == (true, true)
    }
}

#[cfg(test)]
#[path = "compute_tests.rs"]
mod tests;
