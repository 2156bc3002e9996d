//! The settings that decide what can be booked in the whole practice.

use chrono::{TimeDelta, Weekday};

use super::SlotRules;
use crate::{
    catalogue::Horizon,
    kernel::{
        time::{Instant, Interval},
        zone::{UnknownZone, ZoneData},
    },
    schedule::{days::Days, hours::Hours},
};

/// How far from an instant its week reaches at most, in whatever zones its days are.
pub const WEEK: TimeDelta = TimeDelta::days(9);

/// What the practice has decided for all providers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Practice {
    /// The first day of the weeks in which limits count and work is shared out.
    pub first_day_of_week: Weekday,
    /// What bookings without an appointment type must be like.
    pub intervals: Intervals,
}

/// The bounds of bookings without an appointment type, "bare intervals". What was agreed under other bounds
/// may be moved with the length that it has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Intervals {
    /// The least length; positive.
    pub least: TimeDelta,
    /// The distance of the possible starts from each window's start on; positive, in whole minutes.
    pub grid: TimeDelta,
    /// How far ahead a start may be: from today to so many local days later.
    pub horizon_days: u32,
}

impl Default for Practice {
    fn default() -> Self {
        Self { first_day_of_week: Weekday::Mon, intervals: Intervals::default() }
    }
}

impl Default for Intervals {
    fn default() -> Self {
        let minute = TimeDelta::minutes(1);
        Self { least: minute, grid: minute, horizon_days: 3650 }
    }
}

impl Practice {
    /// The days of some hours, for what starts in a range, and for what counts in its weeks.
    pub fn days(
        &self,
        hours: &Hours,
        zones: &ZoneData,
        range: Interval,
        now: Instant,
    ) -> Result<Days, UnknownZone> {
        let from = range.start().min(now).checked_sub_signed(WEEK).unwrap_or(now);
        let until = range.end().checked_add_signed(WEEK).unwrap_or(range.end());
        Days::of(hours, zones, self.first_day_of_week, (from, until))
    }
}

impl Intervals {
    /// What a bare interval of this length asks of a provider's time.
    pub fn asked(&self, duration: TimeDelta) -> SlotRules {
        let horizon = Some(Horizon::RollingDays(self.horizon_days));
        SlotRules { horizon, ..SlotRules::interval(duration, self.grid) }
    }

    /// The same with starts on offer every so often, as far as they are possible.
    pub fn offered(&self, duration: TimeDelta, slot: TimeDelta) -> SlotRules {
        SlotRules { step: least_common_multiple(slot, self.grid), ..self.asked(duration) }
    }

    /// Whether an interval has at least the least length, or that of the one that it replaces.
    pub fn is_long_enough(&self, interval: Interval, agreed: Option<Interval>) -> bool {
        let same = agreed.is_some_and(|agreed| agreed.duration() == interval.duration());
        same || interval.duration() >= self.least
    }
}

/// The least length that is a multiple of both, which are positive and in whole minutes.
fn least_common_multiple(one: TimeDelta, other: TimeDelta) -> TimeDelta {
    let (mut a, mut b) = (one.num_minutes(), other.num_minutes());
    while let Some(rest) = a.checked_rem(b) {
        (a, b) = (b, rest);
    }
    let many = other.num_minutes().checked_div(a).unwrap_or(1);
    one.checked_mul(i32::try_from(many).unwrap_or(i32::MAX)).unwrap_or(one)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn starts_on_offer_lie_on_both_grids() {
        let minutes = TimeDelta::minutes;
        for (slot, grid, step) in
            [(30, 1, 30), (30, 30, 30), (30, 20, 60), (5, 60, 60), (7, 5, 35), (1440, 1440, 1440)]
        {
            let grid = minutes(grid);
            let intervals = Intervals { grid, ..Intervals::default() };
            assert_eq!(intervals.offered(minutes(5), minutes(slot)).step, minutes(step));
        }
    }
}
