//! Why a start is not on offer: every rule and every claim against it.

use chrono::TimeDelta;

use super::{
    BookableRange, ProviderTime, SlotRules,
    compute::{Ledger, is_on_grid},
};
use crate::kernel::{
    fault::Reason,
    time::{Instant, Interval, IntervalSet},
};

/// One reason against a start.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Exclusion {
    /// Which rule it is; a claim is [`Reason::SlotTaken`].
    pub reason: Reason,
    /// A sentence that says what to do, or how things stand.
    pub message: String,
    /// Where what is in the way lies, if it has a place.
    pub interval: Option<Interval>,
}

impl Exclusion {
    /// A reason without a place.
    pub fn new(reason: Reason, message: impl Into<String>) -> Self {
        Self { reason, message: message.into(), interval: None }
    }
}

/// Everything against an appointment over this interval, the claims last. Nothing means that it can be
/// booked, and, where the interval is as long as was asked, that [`super::compute::slots`] offers it.
///
/// `time` must reach as far as the interval with its buffers.
pub fn against(
    time: &ProviderTime,
    asked: &SlotRules,
    interval: Interval,
    now: Instant,
) -> Vec<Exclusion> {
    let mut against = rules(time, asked, interval, now);
    against.extend(off_grid(time, asked, interval.start()));
    against.extend(limits(time, asked, interval));
    let claim = asked.claim(interval);
    against.extend(time.claims.iter().filter(|other| other.overlaps(&claim)).map(|other| {
        Exclusion {
            interval: Some(*other),
            ..Exclusion::new(Reason::SlotTaken, "this time, or a buffer of it, is claimed")
        }
    }));
    against
}

/// The rules that hold for bare intervals too: past, notice, horizon, hours, time off, closures.
pub fn rules(
    time: &ProviderTime,
    asked: &SlotRules,
    interval: Interval,
    now: Instant,
) -> Vec<Exclusion> {
    let mut against = Vec::new();
    let start = interval.start();
    if start <= now {
        against.push(Exclusion::new(Reason::InThePast, "the interval must start in the future"));
    }
    if asked.notice > TimeDelta::zero()
        && now.checked_add_signed(asked.notice).is_none_or(|noticed| start < noticed)
    {
        let minutes = asked.notice.num_minutes();
        against.push(Exclusion::new(
            Reason::NoticeTooShort,
            format!("it must be booked at least {minutes} minutes before its start"),
        ));
    }
    let horizon = asked.reach(&time.days, now);
    if !horizon.allows(&time.days, start) {
        let bounds = match horizon {
            BookableRange::Within { span, .. } => Some(span),
            BookableRange::Endless | BookableRange::Nothing => None,
        };
        against.push(Exclusion {
            interval: bounds,
            ..Exclusion::new(Reason::BeyondHorizon, "it cannot be booked for this date at present")
        });
    }
    let windows: IntervalSet =
        time.windows.iter().filter(|window| window.overlaps(&interval)).copied().collect();
    if !windows.contains(&interval) {
        against.push(Exclusion::new(
            Reason::OutsideHours,
            "the interval must lie inside the provider's windows",
        ));
    }
    against.extend(away(time, interval));
    against
}

/// Time off and closures in an interval.
pub fn away(time: &ProviderTime, interval: Interval) -> Vec<Exclusion> {
    let in_the_way = |all: &[Interval], reason, message: &'static str| {
        let found = all.iter().filter(|other| other.overlaps(&interval));
        let told = found
            .map(|other| Exclusion { interval: Some(*other), ..Exclusion::new(reason, message) });
        told.collect::<Vec<_>>()
    };
    let mut against = in_the_way(&time.time_off, Reason::TimeOff, "the provider has time off then");
    against.extend(in_the_way(
        &time.closures,
        Reason::PracticeClosed,
        "the practice is closed then",
    ));
    against
}

/// The limits of the provider's day and week.
pub fn limits(time: &ProviderTime, asked: &SlotRules, interval: Interval) -> Vec<Exclusion> {
    let (day, week) = Ledger::new(time, asked).room(interval);
    let mut against = Vec::new();
    if !day {
        against.push(Exclusion::new(
            Reason::DayLimit,
            "the provider's limit for that day is reached; choose another day",
        ));
    }
    if !week {
        against.push(Exclusion::new(
            Reason::WeekLimit,
            "the provider's limit for that week is reached; choose another week",
        ));
    }
    against
}

/// What is said against a start that lies in windows, but on no grid of theirs.
pub fn off_grid(time: &ProviderTime, asked: &SlotRules, start: Instant) -> Option<Exclusion> {
    let mut inside = time.windows.iter().filter(|window| window.contains_instant(start)).peekable();
    inside.peek()?;
    let minutes = asked.step.num_minutes();
    let text = || format!("starts are every {minutes} minutes from each window's start");
    let on_grid = inside.any(|window| is_on_grid(window, asked, start));
    (!on_grid).then(|| Exclusion::new(Reason::OffGrid, text()))
}
