//! The rule by which free time and slots follow from schedule and claims.

use chrono::TimeDelta;

use super::{Availability, Query};
use crate::kernel::time::{Instant, Interval, IntervalSet, ceil_to_second};
use crate::schedule::Schedule;

/// Finds the free time and the slots of one provider.
///
/// Free is what weekly windows cover of the range, from now on, without the claims. Slots start on
/// each window's grid, `window.start + k × schedule.slot` in elapsed time, before the window's end;
/// a claim hides slots and never shifts the grid. A slot may run on into a window that touches its
/// own. `claims` may reach beyond the range.
pub fn availability(schedule: &Schedule, claims: &IntervalSet, query: &Query) -> Availability {
    let now = ceil_to_second(query.now);
    let Some(range) = Interval::new(query.range.start().max(now), query.range.end()) else {
        return Availability::default();
    };
    let windows = schedule.windows(range);
    let open: IntervalSet = windows.iter().filter_map(|w| w.intersect(&range)).collect();
    let free = Vec::from(open.subtract(claims));
    let slots = slots(&windows, &free, schedule.slot(), query.duration);
    Availability { free, slots }
}

/// The slots of all windows. Both lists are sorted; windows may overlap each other, `free` not.
fn slots(
    windows: &[Interval],
    free: &[Interval],
    step: TimeDelta,
    duration: TimeDelta,
) -> Vec<Interval> {
    let mut slots = Vec::new();
    let mut rest = free;
    for window in windows {
        // Starts of windows ascend, so what ends before this one is of no use to the next.
        while let Some((piece, later)) = rest.split_first()
            && piece.end() <= window.start()
        {
            rest = later;
        }
        for piece in rest.iter().take_while(|piece| piece.start() < window.end()) {
            push_slots(&mut slots, window, piece, step, duration);
        }
    }
    // Only windows that overlap in a fold break the order; a sorted list costs one pass.
    slots.sort_unstable();
    slots.dedup();
    slots
}

/// Adds the slots on one window's grid that lie in one piece of free time.
fn push_slots(
    slots: &mut Vec<Interval>,
    window: &Interval,
    piece: &Interval,
    step: TimeDelta,
    duration: TimeDelta,
) {
    let mut next = first_on_grid(window, piece, step);
    while let Some(start) = next.filter(|start| *start < window.end())
        && let Some(end) = start.checked_add_signed(duration).filter(|end| *end <= piece.end())
    {
        // No interval is empty, so a duration of zero or less gives no slots.
        slots.extend(Interval::new(start, end));
        next = start.checked_add_signed(step);
    }
}

/// The first instant of the window's grid in the piece of free time; it may lie past their ends.
fn first_on_grid(window: &Interval, piece: &Interval, step: TimeDelta) -> Option<Instant> {
    let behind = ceil_to_second(piece.start()).signed_duration_since(window.start()).num_seconds();
    if behind <= 0 {
        return Some(window.start());
    }
    let step = step.num_seconds();
    let past = behind.checked_rem(step)?;
    let ahead = if past == 0 { behind } else { behind.checked_add(step - past)? };
    window.start().checked_add_signed(TimeDelta::try_seconds(ahead)?)
}

#[cfg(test)]
#[path = "compute_tests.rs"]
mod tests;
