//! The rule by which free time and slots follow from a provider's time.

use std::collections::HashMap;

use chrono::{NaiveDate, TimeDelta};

use super::{
    BookableRange, Load, ProviderTime, SlotRules,
    customer_time::{CustomerTime, NOBODY},
};
use crate::{
    claims::HeldSlot,
    kernel::{
        id::{ProviderId, TypeId},
        time::{Instant, Interval, IntervalSet, LATEST, ceil_to_second},
    },
};

/// What is open of a range from now on, and neither claimed nor taken away.
pub fn free(time: &ProviderTime, range: Interval, now: Instant) -> IntervalSet {
    let from = range.start().max(ceil_to_second(now));
    let Some(range) = Interval::new(from, range.end()) else { return IntervalSet::default() };
    let claims: IntervalSet = time.claims.iter().copied().collect();
    open(time, range).subtract(&claims)
}

/// What is open of a range, claimed or not: windows less time off and closures.
pub fn open(time: &ProviderTime, range: Interval) -> IntervalSet {
    let windows: IntervalSet = time.windows.iter().filter_map(|w| w.intersect(&range)).collect();
    if time.time_off.is_empty() && time.closures.is_empty() {
        return windows;
    }
    let away: IntervalSet = time.time_off.iter().chain(&time.closures).copied().collect();
    windows.subtract(&away)
}

/// Where slots of this length lie that start in a range: from its start on, and past its end. None ends after
/// the last instant that is accepted.
pub fn reach(starts: Interval, duration: TimeDelta) -> Interval {
    let end = starts.end().checked_add_signed(duration).unwrap_or(LATEST).min(LATEST);
    Interval::new(starts.start(), end.max(starts.end())).unwrap_or(starts)
}

/// The slots that start in the future and in the range, in time order, each found when it is asked for. Where
/// they end is no matter of the range, so that ranges side by side have each slot once. `time` must be that of
/// the [`reach`] of the range.
///
/// Starts are on each window's grid, `window.start + offset + k × step` in elapsed time, before the
/// window's end: claims, time off and closures hide slots and never shift the grid. A slot lies in open
/// time, and may run on into a window that touches its own; its buffers may reach out of the windows,
/// but into no claim. Notice and horizon bound its start, limits what is booked on its day and week.
pub fn slots<'a>(
    time: &'a ProviderTime,
    asked: &'a SlotRules,
    range: Interval,
    now: Instant,
) -> Upcoming<'a> {
    let horizon = asked.reach(&time.days, now);
    let starts = starts(&horizon, asked, range, now);
    Upcoming {
        time,
        asked,
        open: starts.map(|_| open(time, reach(range, asked.duration))).unwrap_or_default(),
        windows: if starts.is_some() { &time.windows } else { &[] },
        starts,
        horizon,
        own: (&NOBODY, None),
        limits: Ledger::new(time, asked),
        begun: Vec::new(),
        last: None,
    }
}

/// The slots of one provider, found one after the other.
pub struct Upcoming<'a> {
    time: &'a ProviderTime,
    asked: &'a SlotRules,
    open: IntervalSet,
    /// When a slot may start, if ever.
    starts: Option<Interval>,
    horizon: BookableRange,
    /// For whom they are, and with whom.
    own: (&'a CustomerTime, Option<ProviderId>),
    limits: Ledger<'a>,
    /// The windows that were not looked into yet.
    windows: &'a [Interval],
    /// Those that were, each with its next slot: more than one only where windows overlap.
    begun: Vec<(Interval, &'a Interval)>,
    /// The start of the slot that was found last.
    last: Option<Instant>,
}

impl<'a> Upcoming<'a> {
    /// The same for a customer: none where something of the customer's own is in the way, and whatever the
    /// customer holds, which was [taken out](CustomerTime::clear) of the provider's time before.
    #[must_use]
    pub fn of(
        mut self,
        own: &'a CustomerTime,
        provider: ProviderId,
        type_id: Option<TypeId>,
    ) -> Self {
        if !own.against_all(provider).is_empty() {
            self.starts = None;
        }
        self.limits.own = own.counted(provider, type_id).copied().collect();
        self.own = (own, Some(provider));
        self
    }

    /// From when on something of the customer's own is in the way of a slot no more, if it is.
    fn busy_until(&self, slot: Interval) -> Option<Instant> {
        let (own, provider) = self.own;
        if provider.is_some_and(|provider| own.stays(provider, slot)) {
            return slot.start().checked_add_signed(self.asked.step);
        }
        own.first_busy(&slot).map(|busy| busy.end())
    }

    /// Looks into the windows in which the next slot may be.
    fn begin_windows(&mut self, starts: Interval) {
        while let Some((window, later)) = self.windows.split_first()
            && window.start() < starts.end()
            && self.begun.iter().all(|(slot, _)| window.start() <= slot.start())
        {
            self.windows = later;
            let slot = self.first(window, starts, starts.start());
            self.begun.extend(slot.map(|slot| (slot, window)));
        }
    }

    /// The first slot on a window's grid that starts from this instant on.
    fn first(&self, window: &Interval, starts: Interval, from: Instant) -> Option<Interval> {
        let asked = self.asked;
        let from = from.max(window.start());
        let pieces = self.open.ending_after(from).iter();
        for piece in pieces.take_while(|piece| piece.start() < window.end()) {
            let mut next = self.on_grid(window, piece.start().max(from));
            while let Some(start) = next
                && start < window.end()
                && start < starts.end()
                && let Some(end) = start.checked_add_signed(asked.duration)
                && end <= piece.end()
                // None is empty, so a duration of zero or less gives no slots.
                && let Some(slot) = Interval::new(start, end)
            {
                let later = if let Some(claim) = self.claimed(&asked.claim(slot)) {
                    claim.end().checked_add_signed(asked.buffer_before)
                } else if let Some(end) = self.busy_until(slot) {
                    Some(end)
                } else if let Some(end) = self.limits.full_until(slot) {
                    Some(end)
                } else if !self.horizon.allows(&self.time.days, start) {
                    Some(self.limits.day_ends(start))
                } else {
                    return Some(slot);
                };
                next = later.and_then(|from| self.on_grid(window, from));
            }
        }
        None
    }

    /// The first claim in the way.
    fn claimed(&self, wanted: &Interval) -> Option<Interval> {
        let claims = &self.time.claims;
        // They do not overlap, so their ends ascend as their starts do.
        let at = claims.partition_point(|claim| claim.end() <= wanted.start());
        claims.get(at).filter(|claim| claim.start() < wanted.end()).copied()
    }

    /// The first instant of a window's grid from this one on; it may lie past the window's end.
    fn on_grid(&self, window: &Interval, from: Instant) -> Option<Instant> {
        let first = window.start().checked_add_signed(self.asked.offset)?;
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

impl Iterator for Upcoming<'_> {
    type Item = Interval;

    fn next(&mut self) -> Option<Interval> {
        let starts = self.starts?;
        loop {
            self.begin_windows(starts);
            let first = self.begun.iter().enumerate().min_by_key(|(_, (slot, _))| slot.start());
            let place = first?.0;
            let (slot, window) = self.begun.swap_remove(place);
            let later = slot.start().checked_add_signed(self.asked.step);
            let next = later.and_then(|from| self.first(window, starts, from));
            self.begun.extend(next.map(|next| (next, window)));
            // The grids of windows that overlap may meet.
            if self.last.replace(slot.start()) != Some(slot.start()) {
                return Some(slot);
            }
        }
    }
}

/// The instants at which a slot may start, if any.
fn starts(
    horizon: &BookableRange,
    asked: &SlotRules,
    range: Interval,
    now: Instant,
) -> Option<Interval> {
    let after_now = ceil_to_second(now.checked_add_signed(TimeDelta::nanoseconds(1))?);
    let noticed = ceil_to_second(now.checked_add_signed(asked.notice)?);
    let from = range.start().max(after_now).max(noticed);
    let starts = Interval::new(from, range.end())?;
    match horizon {
        BookableRange::Endless => Some(starts),
        BookableRange::Nothing => None,
        BookableRange::Within { span, .. } => starts.intersect(span),
    }
}

/// Whether an instant lies on the grid of a window.
pub(super) fn is_on_grid(window: &Interval, asked: &SlotRules, start: Instant) -> bool {
    let Some(first) = window.start().checked_add_signed(asked.offset) else { return false };
    let behind = start.signed_duration_since(first);
    behind >= TimeDelta::zero()
        && behind.subsec_nanos() == 0
        && behind.num_seconds().checked_rem(asked.step.num_seconds()) == Some(0)
}

/// What counts for the limits, by local day and by week.
pub(super) struct Ledger<'a> {
    time: &'a ProviderTime,
    asked: &'a SlotRules,
    days: HashMap<NaiveDate, Load>,
    weeks: HashMap<NaiveDate, Load>,
    /// Holds of the customer's own that count, but not for what takes their place.
    own: Vec<HeldSlot>,
}

impl<'a> Ledger<'a> {
    pub(super) fn new(time: &'a ProviderTime, asked: &'a SlotRules) -> Self {
        let (days, weeks) = (HashMap::new(), HashMap::new());
        let mut ledger = Self { time, asked, days, weeks, own: Vec::new() };
        if asked.limits.limit_providers() {
            for counted in &time.counted {
                if let Some(date) = time.days.date(counted.start()) {
                    let week = time.days.week(date);
                    for (key, loads) in [(date, &mut ledger.days), (week, &mut ledger.weeks)] {
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
        let Some(date) = self.time.days.date(slot.start()) else { return (false, false) };
        let (mut day, mut week) = (
            self.days.get(&date).copied().unwrap_or_default(),
            self.weeks.get(&self.time.days.week(date)).copied().unwrap_or_default(),
        );
        let claim = self.asked.claim(slot);
        for held in self.own.iter().filter(|held| held.claim.overlaps(&claim)) {
            let of = self.time.days.date(held.interval.start());
            if of == Some(date) {
                day = day.less(held.interval.duration());
            }
            if of.is_some_and(|of| self.time.days.week(of) == self.time.days.week(date)) {
                week = week.less(held.interval.duration());
            }
        }
        let (day, week) = (day.and(slot.duration()), week.and(slot.duration()));
        (
            day.is_within(limits.per_day, limits.minutes_per_day),
            week.is_within(limits.per_week, limits.minutes_per_week),
        )
    }

    /// Where there is no room for this one, until when there is none for any that starts later.
    fn full_until(&self, slot: Interval) -> Option<Instant> {
        if self.room(slot) == (true, true) {
            return None;
        }
        if !self.own.is_empty() {
            // A later one may take the place of a hold that counts.
            let next = slot.start().checked_add_signed(self.asked.step);
            return next.or(Some(Instant::MAX_UTC));
        }
        // All that start on the same date have the same day and week.
        Some(self.day_ends(slot.start()))
    }

    /// Until when all that start from this instant on have the same date, or at least the next start.
    fn day_ends(&self, start: Instant) -> Instant {
        // Where clocks go back over midnight a date comes a second time.
        let end = self.time.days.same_date_until(start);
        end.or_else(|| start.checked_add_signed(self.asked.step)).unwrap_or(Instant::MAX_UTC)
    }
}

#[cfg(test)]
#[path = "compute_tests.rs"]
pub(super) mod tests;
