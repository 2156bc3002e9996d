//! The rules of booking, as pure functions of what is stored and of the time.

use chrono::TimeDelta;

use super::{Appointment, State};
use crate::{
    availability::{
        Asked, Time,
        explain::{self, Exclusion},
        practice::Intervals,
    },
    catalogue::minutes,
    kernel::{
        fault::{Fault, Reason},
        time::{Instant, Interval},
    },
    schedule::LONGEST_RANGE,
};

/// Whether a bare interval may be booked: in the future and not too far ahead, neither too long nor too short,
/// in open time and on the grid. `longest` is the provider's longest booking; `agreed` is what it replaces,
/// whose length and start are not asked about again. Every reason against it is in the fault, the first as its
/// reason.
pub fn may_book_interval(
    time: &Time,
    (intervals, longest): (&Intervals, TimeDelta),
    interval: Interval,
    agreed: Option<Interval>,
    now: Instant,
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
    refuse(against)
}

/// Whether an appointment of a type may be booked, apart from what claims the time: the slot would be on
/// offer. Every reason against it is in the fault, the first as its reason.
pub fn may_book_type(
    time: &Time,
    asked: &Asked,
    interval: Interval,
    now: Instant,
) -> Result<(), Fault> {
    let against = explain::against(time, asked, interval, now);
    refuse(against.into_iter().filter(|each| each.reason != Reason::SlotTaken))
}

/// Whether what is held may be booked, by what may have come after it was held: time off and closures.
/// Notice, limits and the grid were settled by the hold.
pub fn may_book_held(time: &Time, interval: Interval) -> Result<(), Fault> {
    refuse(explain::away(time, interval))
}

/// Whether staff may book it knowing the rules: only what is over stays refused.
pub fn may_override(interval: Interval, now: Instant) -> Result<(), Fault> {
    if interval.start() <= now {
        return Err(Fault::new(Reason::InThePast, "the interval must start in the future"));
    }
    if interval.duration() > *LONGEST_RANGE.end() {
        return Err(Fault::new(Reason::TooLong, "no appointment is longer than 24 hours"));
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
pub enum Change {
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
pub fn next(appointment: &Appointment, change: Change, now: Instant) -> Result<State, Fault> {
    let (from, to): (&[State], State) = match change {
        Change::Cancel => (&[State::Pending, State::Booked], State::Cancelled),
        Change::Complete => (&[State::Booked], State::Completed),
        Change::NoShow => (&[State::Booked], State::NoShow),
        Change::Approve => (&[State::Pending], State::Booked),
        Change::Decline => (&[State::Pending], State::Declined),
    };
    if !from.contains(&appointment.state) {
        return Err(wrong_state(appointment.state));
    }
    if matches!(change, Change::Complete | Change::NoShow) && now < appointment.start {
        return Err(Fault::new(
            Reason::NotStarted,
            "the outcome of an appointment cannot be marked before its start",
        ));
    }
    Ok(to)
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

/// The refusal of a change that the state forbids.
pub fn wrong_state(state: State) -> Fault {
    let state = state.word();
    Fault::new(Reason::WrongState, format!("the appointment is {state}, which forbids this"))
        .with("state", state)
}

#[cfg(test)]
#[path = "policy_tests.rs"]
mod tests;
