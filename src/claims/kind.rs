//! What a row of `appointments` is as a claim.

use uuid::Uuid;

use super::State;
use crate::kernel::id::AppointmentId;

/// What claims the time of a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// An appointment that was agreed, whatever came of it.
    Appointment,
    /// A pending appointment.
    Request,
    /// A hold.
    Hold,
    /// The move that is asked for of this appointment.
    Move(AppointmentId),
    /// The subject is the customer of an appointment with somebody else then.
    Attended,
}

/// The columns of a row that tell its kind.
#[derive(Debug, Clone, Copy)]
pub struct KindColumns<'a> {
    /// The subject: `provider_id`.
    pub subject: Uuid,
    /// The customer of the appointment: `customer_id`.
    pub customer: Uuid,
    /// Of which appointment it is an extra claim, if it is one: `claim_of`.
    pub claim_of: Option<Uuid>,
    /// The state.
    pub state: &'a str,
}

impl Kind {
    /// The kind of a row.
    pub fn of(row: KindColumns<'_>) -> Self {
        match row.claim_of {
            // Nobody books themselves.
            Some(_) if row.customer == row.subject => Self::Attended,
            Some(of) => Self::Move(AppointmentId(of)),
            None if row.state == State::Held.word() => Self::Hold,
            None if row.state == State::Pending.word() => Self::Request,
            None => Self::Appointment,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_says_what_it_is() {
        let [ada, bob, of] = [1, 2, 3].map(Uuid::from_u128);
        let kind = |customer, claim_of, state: State| {
            Kind::of(KindColumns { subject: ada, customer, claim_of, state: state.word() })
        };
        assert_eq!(kind(bob, None, State::Held), Kind::Hold);
        assert_eq!(kind(bob, None, State::Pending), Kind::Request);
        for agreed in [State::Booked, State::Completed, State::NoShow] {
            assert_eq!(kind(bob, None, agreed), Kind::Appointment);
        }
        // Extra claims are stored as held or pending, whatever they are.
        for state in [State::Held, State::Pending] {
            assert_eq!(kind(bob, Some(of), state), Kind::Move(AppointmentId(of)));
            assert_eq!(kind(ada, Some(of), state), Kind::Attended);
        }
    }
}
