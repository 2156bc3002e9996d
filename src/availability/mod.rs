//! What can be booked: a pure function of a provider's time, of what is asked of it, and of now.
//!
//! This file holds the words; [`compute`] finds slots, [`merge`] joins those of many providers, [`explain`]
//! says why there is none, [`customer_time`] holds what differs from customer to customer. What one offers the other has nothing against, which a property test holds
//! together.

pub mod compute;
pub mod customer_time;
pub mod customer_time_service;
pub mod explain;
pub mod merge;
pub mod practice;
pub mod service;
pub mod slot_query;
pub mod slots_service;
pub mod store;

#[cfg(test)]
mod days_tests;
#[cfg(test)]
mod zone_days_tests;
#[cfg(test)]
mod zone_pairs_tests;

use chrono::{Days as CalendarDays, NaiveDate, TimeDelta};

use crate::{
    catalogue::{Horizon, Limits, Terms, minutes},
    kernel::time::{Instant, Interval},
    schedule::days::Days,
};

/// One provider's time, as of one moment and for one range. All lists are sorted by start.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ProviderTime {
    /// To which day and week an instant belongs.
    pub days: Days,
    /// The open windows that overlap the range, whole: the grid of slots is anchored at their start.
    pub windows: Vec<Interval>,
    /// The provider's time off.
    pub time_off: Vec<Interval>,
    /// When the practice is closed.
    pub closures: Vec<Interval>,
    /// What is claimed, buffers included. No two overlap.
    pub claims: Vec<Interval>,
    /// The appointments that count for the limits, without their buffers: those of the same type in
    /// every week that the range touches.
    pub counted: Vec<Interval>,
}

/// The rules by which slots are found for one kind of appointment: length, buffers, grid, notice,
/// horizon, limits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SlotRules {
    /// How long it takes.
    pub duration: TimeDelta,
    /// What is kept free before it.
    pub buffer_before: TimeDelta,
    /// What is kept free after it.
    pub buffer_after: TimeDelta,
    /// The distance of the starts on offer; positive.
    pub step: TimeDelta,
    /// How far the first start is from its window's; at least zero.
    pub offset: TimeDelta,
    /// How long before its start it must be booked.
    pub notice: TimeDelta,
    /// How far ahead can be booked.
    pub horizon: Option<Horizon>,
    /// How much of it can be booked.
    pub limits: Limits,
}

impl SlotRules {
    /// A bare interval, with starts on offer every so often.
    pub fn interval(duration: TimeDelta, step: TimeDelta) -> Self {
        let none = TimeDelta::zero();
        Self {
            duration,
            buffer_before: none,
            buffer_after: none,
            step,
            offset: none,
            notice: none,
            horizon: None,
            limits: Limits::default(),
        }
    }

    /// An appointment of a type, so long.
    pub fn of(terms: &Terms, duration: TimeDelta) -> Self {
        Self {
            duration,
            buffer_before: minutes(terms.buffer_before),
            buffer_after: minutes(terms.buffer_after),
            step: terms.step(),
            offset: minutes(terms.grid_offset),
            notice: minutes(terms.minimum_notice),
            horizon: terms.horizon,
            limits: terms.limits,
        }
    }

    /// The claim of an appointment over this interval.
    pub fn claim(&self, interval: Interval) -> Interval {
        let start = interval.start().checked_sub_signed(self.buffer_before);
        let end = interval.end().checked_add_signed(self.buffer_after);
        start.zip(end).and_then(|(start, end)| Interval::new(start, end)).unwrap_or(interval)
    }

    /// The first and the last date on which it may start by the horizon, if that sets bounds.
    fn dates(&self, days: &Days, now: Instant) -> Option<(NaiveDate, NaiveDate)> {
        match self.horizon? {
            Horizon::RollingDays(count) => {
                let today = days.date(now)?;
                Some((today, today.checked_add_days(CalendarDays::new(count.into()))?))
            }
            Horizon::Fixed { first, last } => Some((first, last)),
        }
    }

    /// The horizon at this moment.
    pub fn reach(&self, days: &Days, now: Instant) -> BookableRange {
        let Some(_) = self.horizon else { return BookableRange::Endless };
        let Some((first, last)) = self.dates(days, now) else { return BookableRange::Nothing };
        match days.span(first, last) {
            None => BookableRange::Nothing,
            // Nothing outside the span has one of the dates; inside it all have, unless days overlap.
            Some(span) => {
                BookableRange::Within { span, dates: (!days.is_plain()).then_some((first, last)) }
            }
        }
    }
}

/// When something may start by its horizon.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BookableRange {
    /// At any time.
    Endless,
    /// At no time: nothing can be booked.
    Nothing,
    /// In these instants, and on these dates if they are told.
    Within {
        /// Range of start times, in UTC.
        span: Interval,
        /// The first date and the last one.
        dates: Option<(NaiveDate, NaiveDate)>,
    },
}

impl BookableRange {
    /// Whether a start lies in it.
    pub fn allows(&self, days: &Days, start: Instant) -> bool {
        match self {
            Self::Endless => true,
            Self::Nothing => false,
            Self::Within { span, dates: None } => span.contains_instant(start),
            Self::Within { span, dates: Some((first, last)) } => {
                let date = days.date(start);
                span.contains_instant(start)
                    && date.is_some_and(|date| (*first..=*last).contains(&date))
            }
        }
    }
}

/// What is booked on one local day, or in one local week.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Load {
    /// Number of appointments.
    pub count: u32,
    /// How long in all, in minutes, begun ones counted whole.
    pub minutes: u32,
}

impl Load {
    /// With one more of this length.
    #[must_use]
    pub fn and(self, duration: TimeDelta) -> Self {
        let minutes = (duration + TimeDelta::seconds(59)).num_minutes();
        Self {
            count: self.count.saturating_add(1),
            minutes: self.minutes.saturating_add(u32::try_from(minutes).unwrap_or(u32::MAX)),
        }
    }

    /// With one fewer of this length.
    #[must_use]
    pub fn less(self, duration: TimeDelta) -> Self {
        let one = Self::default().and(duration);
        Self {
            count: self.count.saturating_sub(one.count),
            minutes: self.minutes.saturating_sub(one.minutes),
        }
    }

    /// Whether this is no more than the limits.
    pub fn is_within(self, count: Option<u32>, minutes: Option<u32>) -> bool {
        count.is_none_or(|most| self.count <= most)
            && minutes.is_none_or(|most| self.minutes <= most)
    }
}

/// What can be booked, and when.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Availability {
    /// Open, unclaimed time of the range from now on: sorted, disjoint, joined where it touches.
    pub free: Vec<Interval>,
    /// The appointments that could start now, each as long as was asked: sorted by start, no two the
    /// same. They may overlap each other.
    pub slots: Vec<Interval>,
}
