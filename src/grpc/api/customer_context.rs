//! For whom somebody asks what can be booked.

use super::{
    booking_wire::{CUSTOMER_NAME, appointment_name},
    convert::{name, optional},
};
use crate::{
    availability::customer_time::CustomerContext,
    booking::service::Bookings,
    identity::Caller,
    kernel::{
        fault::{Fault, Violations},
        id::{AppointmentId, ProviderId, UserId},
    },
    storage::Deadline,
};

/// The fields `customer` and `rescheduling` of a question.
#[derive(Debug, Clone, Copy)]
pub(super) struct Named {
    customer: Option<UserId>,
    moving: Option<(ProviderId, AppointmentId)>,
}

impl Named {
    pub(super) fn read(customer: &str, rescheduling: &str, violations: &mut Violations) -> Self {
        let customer = optional(customer, |text| {
            violations.keep("customer", name(text, UserId::parse, CUSTOMER_NAME))
        });
        let moving =
            optional(rescheduling, |text| violations.keep("rescheduling", appointment_name(text)));
        Self { customer, moving }
    }

    /// For whom it is, where the caller may ask for them.
    pub(super) async fn customer_context(
        self,
        bookings: &Bookings,
        deadline: Deadline,
        caller: Option<Caller>,
    ) -> Result<Option<CustomerContext>, Fault> {
        bookings.customer_context(deadline, caller, self.customer, self.moving).await
    }
}
