//! The rules of booking, as pure functions of what is stored and of the time.

use chrono::TimeDelta;

use super::{Appointment, State};
use crate::{
    availability::{
        ProviderTime, SlotRules,
        explain::{self, Exclusion},
        practice::Intervals,
    },
    catalogue::minutes,
    kernel::{
        fault::{Fault, Reason},
        time::{Instant, Interval, ceil_to_second},
    },
    schedule::LONGEST_RANGE,
};

/// For how long after its outcome was marked an appointment can be corrected.
pub const CORRECTABLE: TimeDelta = TimeDelta::days(7);

/// Which booking rules apply.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RuleSet {
    /// By all of them.
    Whole,
    /// Who works for the provider records also what has begun, up to the length of it ago, at any time.
    Recording,
    /// Who gives what was agreed to another provider keeps the time: neither the notice nor the horizon of
    /// customers is asked, and it may have begun.
    Keeping,
}

impl RuleSet {
    /// Whether a rule against an interval holds.
    fn by(self, rule: Reason, interval: Interval, now: Instant) -> bool {
        match (self, rule) {
            (Self::Recording | Self::Keeping, Reason::InThePast) => {
                is_recorded_no_more(interval, now)
            }
            (Self::Keeping, Reason::NoticeTooShort | Reason::BeyondHorizon) => false,
            // Who has walked in gave no notice, and came at no round time.
            (Self::Recording, Reason::NoticeTooShort | Reason::OffGrid) => interval.start() > now,
            _ => true,
        }
    }
}

/// Whether the interval began longer ago than it lasts.
fn is_recorded_no_more(interval: Interval, now: Instant) -> bool {
    interval.end() < now
}

/// Whether a bare interval may be booked: in the future and not too far ahead, neither too long nor too short,
/// in open time and on the grid. `longest` is the provider's longest booking; `agreed` is what it replaces,
/// whose length and start are not asked about again. Every reason against it is in the fault, the first as its
/// reason.
pub fn may_book_interval(
    time: &ProviderTime,
    (intervals, longest): (&Intervals, TimeDelta),
    interval: Interval,
    agreed: Option<Interval>,
    (now, bound): (Instant, RuleSet),
) -> Result<(), Fault> {
    let asked = intervals.asked(interval.duration());
    let mut against = explain::rules(time, &asked, interval, now);
    let stays = agreed.is_some_and(|agreed| agreed.start() == interval.start());
    if stays || interval.start() <= now {
        against.retain(|each| each.reason != Reason::BeyondHorizon);
    }
    // After the past, before the hours.
    let place = against.partition_point(|each| each.reason == Reason::InThePast);
    if !intervals.is_long_enough(interval, agreed) {
        let minutes = intervals.least.num_minutes();
        let text = format!("the practice takes bookings of at least {minutes} minutes");
        against.insert(place, Exclusion::new(Reason::TooShort, text));
    }
    if interval.duration() > longest {
        let text =
            format!("the provider takes bookings of at most {} minutes", longest.num_minutes());
        against.insert(place, Exclusion::new(Reason::TooLong, text));
    }
    if !stays {
        against.extend(explain::off_grid(time, &asked, interval.start()));
    }
    refuse(against.into_iter().filter(|each| bound.by(each.reason, interval, now)))
}

/// Whether an appointment of a type may be booked, apart from what claims the time: the slot would be on
/// offer. Every reason against it is in the fault, the first as its reason.
pub fn may_book_type(
    time: &ProviderTime,
    asked: &SlotRules,
    interval: Interval,
    now: Instant,
    bound: RuleSet,
) -> Result<(), Fault> {
    let against = explain::against(time, asked, interval, now);
    let against = against.into_iter().filter(|each| each.reason != Reason::SlotTaken);
    refuse(against.filter(|each| bound.by(each.reason, interval, now)))
}

/// Whether what is held may be booked, by what may have come after it was held: time off and closures.
/// Notice, limits and the grid were settled by the hold.
pub fn may_book_held(time: &ProviderTime, interval: Interval) -> Result<(), Fault> {
    refuse(explain::away(time, interval))
}

/// Whether staff may book it knowing the rules: only what is over stays refused. It may have begun, up to its
/// length ago.
pub fn may_override(interval: Interval, now: Instant) -> Result<(), Fault> {
    if is_recorded_no_more(interval, now) {
        return Err(Fault::new(Reason::InThePast, "the interval must not be over"));
    }
    if interval.duration() > *LONGEST_RANGE.end() {
        return Err(Fault::new(Reason::TooLong, "no appointment is longer than 24 hours"));
    }
    Ok(())
}

/// Refuses to move a request to where it would have ended unanswered: at its start.
pub fn may_still_be_answered(a: &Appointment, to: Interval, now: Instant) -> Result<(), Fault> {
    if a.state == State::Pending && to.start() <= now {
        let text = "a request is moved to the future; approve it first";
        return Err(Fault::new(Reason::InThePast, text));
    }
    Ok(())
}

fn refuse(against: impl IntoIterator<Item = Exclusion>) -> Result<(), Fault> {
    let mut told = Vec::<Exclusion>::new();
    for each in against {
        // Two closures are one reason.
        if told.iter().all(|before| before.reason != each.reason) {
            told.push(each);
        }
    }
    let mut told = told.into_iter();
    let Some(first) = told.next() else { return Ok(()) };
    Err(told.fold(Fault::new(first.reason, first.message), |fault, each| {
        fault.also(each.reason, each.message)
    }))
}

/// What can happen to an appointment that is pending or booked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StateChange {
    /// It is called off.
    Cancel,
    /// It took place.
    Complete,
    /// The customer did not come.
    NoShow,
    /// The request is granted.
    Approve,
    /// The request is refused.
    Decline,
}

/// The state after a change: `pending → booked | declined | cancelled`, `booked → cancelled | completed |
/// no_show`, and nothing else; what marks the outcome not before the start, an answer not after it.
///
/// The appointment is one [as of](Appointment::as_of) now.
pub fn next(appointment: &Appointment, change: StateChange, now: Instant) -> Result<State, Fault> {
    let (from, to): (&[State], State) = match change {
        StateChange::Cancel => (&[State::Pending, State::Booked], State::Cancelled),
        StateChange::Complete => (&[State::Booked], State::Completed),
        StateChange::NoShow => (&[State::Booked], State::NoShow),
        StateChange::Approve => (&[State::Pending], State::Booked),
        StateChange::Decline => (&[State::Pending], State::Declined),
    };
    if !from.contains(&appointment.state) {
        return Err(wrong_state(appointment.state));
    }
    if matches!(change, StateChange::Complete | StateChange::NoShow) && now < appointment.start {
        return Err(Fault::new(
            Reason::NotStarted,
            "the outcome of an appointment cannot be marked before its start",
        ));
    }
    Ok(to)
}

/// Whether a mistaken outcome may be corrected to this state: of what is completed or missed, for a time
/// after it was marked.
pub fn may_correct(appointment: &Appointment, to: State, now: Instant) -> Result<(), Fault> {
    let outcomes = [State::Completed, State::NoShow];
    if !outcomes.contains(&appointment.state) || appointment.state == to {
        return Err(wrong_state(appointment.state));
    }
    // What was marked before this was kept counts from its last change on: nobody is refused for what is not known.
    let marked = appointment.terms.outcome_at.unwrap_or(appointment.updated_at);
    if marked.checked_add_signed(CORRECTABLE).is_some_and(|last| now <= last) {
        return Ok(());
    }
    let days = CORRECTABLE.num_days();
    let text = format!("an outcome can be corrected for {days} days after it was marked");
    Err(Fault::new(Reason::TooLate, text))
}

/// When an appointment ends whose rest is freed, and what is kept free after it, in minutes; nothing where
/// nothing of its time is left. After one that was missed nothing is kept free.
pub fn freed(appointment: &Appointment, outcome: State, now: Instant) -> Option<(Instant, u32)> {
    let least = appointment.start + TimeDelta::seconds(1);
    let end = ceil_to_second(now).max(least).min(appointment.end);
    let after = if outcome == State::NoShow { 0 } else { appointment.terms.buffer_after };
    let (_, claimed) = appointment.claim();
    (now < claimed && end + minutes(after) < claimed).then_some((end, after))
}

/// Whether it can still be moved, by its state.
pub fn may_move(appointment: &Appointment) -> Result<(), Fault> {
    if appointment.state.is_open() { Ok(()) } else { Err(wrong_state(appointment.state)) }
}

/// Whether a customer may still do this: before the start, by so much as was agreed.
pub fn in_time(appointment: &Appointment, cutoff_minutes: u32, now: Instant) -> Result<(), Fault> {
    let last = appointment.start.checked_sub_signed(minutes(cutoff_minutes));
    if now < appointment.start && last.is_some_and(|last| now <= last) {
        return Ok(());
    }
    let until = match cutoff_minutes {
        0 => "before the start".to_owned(),
        minutes => format!("until {minutes} minutes before the start"),
    };
    Err(Fault::new(Reason::TooLate, format!("customers can do this {until}; ask the provider")))
}

/// Whether its customer may still cancel it. The cut-off protects what was agreed: a request that nobody
/// answered is withdrawn until it ends.
pub fn may_cancel(appointment: &Appointment, now: Instant) -> Result<(), Fault> {
    if appointment.state == State::Pending {
        return Ok(());
    }
    in_time(appointment, appointment.terms.cancel_cutoff, now)
}

/// Whether a customer who moves an appointment could not cancel it any more. What was not agreed yet is bound
/// by nothing.
pub fn is_late(appointment: &Appointment, now: Instant) -> bool {
    may_cancel(appointment, now).is_err()
}

/// The refusal of a change that the state forbids.
pub fn wrong_state(state: State) -> Fault {
    let state = state.word();
    Fault::new(Reason::WrongState, format!("the appointment is {state}, which forbids this"))
        .with("state", state)
}

#[cfg(test)]
#[path = "policy_tests.rs"]
mod tests;
