//! For whom callers ask what can be booked.

use std::sync::Arc;

use super::{Bookings, fields::FindType};
use crate::{
    availability::{
        customer_time::{AppointmentToMove, CustomerContext},
        slots_service::RequestedType,
    },
    booking::{Appointment, commands::asked_by, policy},
    identity::{Caller, Role, not_authenticated, permit},
    kernel::{
        fault::{Fault, Violations},
        id::{AppointmentId, ProviderId, UserId},
        time::Interval,
    },
    storage::Deadline,
};

impl Bookings {
    /// For whom a question is: the customer who is named, the one whose appointment shall be moved, or the caller.
    /// Nobody in particular where the caller is not known, or is a service account.
    pub async fn customer_context(
        &self,
        deadline: Deadline,
        caller: Option<Caller>,
        customer: Option<UserId>,
        moving: Option<(ProviderId, AppointmentId)>,
    ) -> Result<Option<CustomerContext>, Fault> {
        let Some(caller) = caller else {
            let names = customer.is_some() || moving.is_some();
            return if names { Err(not_authenticated()) } else { Ok(None) };
        };
        if let Some(of) = moving {
            return self.who_moves(deadline, caller, customer, of).await.map(Some);
        }
        let only = match customer {
            Some(customer) => permit::book_anybody(caller, Some(customer))?,
            None => None,
        };
        let customer = customer.unwrap_or(caller.user);
        let is_nobody = caller.is_service() && customer == caller.user;
        Ok((!is_nobody).then(|| CustomerContext {
            customer,
            moving: None,
            only,
            sees_appointments: sees(caller, customer),
        }))
    }

    async fn who_moves(
        &self,
        deadline: Deadline,
        caller: Caller,
        customer: Option<UserId>,
        (provider, id): (ProviderId, AppointmentId),
    ) -> Result<CustomerContext, Fault> {
        let found = self.get(deadline, caller, provider, id).await?;
        if customer.is_some_and(|customer| customer != found.customer) {
            let mut violations = Violations::new();
            violations.add("customer", "must be the appointment's, or absent");
            return Err(violations.into_fault());
        }
        policy::may_move(&found)?;
        let kind = match found.type_id {
            Some(type_id) => {
                let kind = self.store.read(deadline, FindType(type_id)).await?;
                let kind = kind.ok_or_else(|| Fault::not_found(type_id.name()))?;
                let asked = asked_by(&found, &kind, found.end - found.start);
                Some(RequestedType { appointment_type: Arc::new(kind), asked })
            }
            None => None,
        };
        let is_staff = permit::is_staff(caller, provider);
        let in_time = policy::in_time(&found, found.terms.reschedule_cutoff, self.ambient.now());
        let too_late = in_time.err().filter(|_| !is_staff).map(|fault| fault.message().to_owned());
        let (interval, claim) = intervals(&found).ok_or_else(Fault::unchecked)?;
        let asked =
            found.after_asked_move().map(|after| intervals(&after).ok_or_else(Fault::unchecked));
        let moving = AppointmentToMove {
            provider,
            interval,
            claim,
            asked: asked.transpose()?,
            kind,
            too_late,
        };
        Ok(CustomerContext {
            customer: found.customer,
            moving: Some(Arc::new(moving)),
            only: Some(provider),
            sees_appointments: sees(caller, found.customer),
        })
    }
}

/// An appointment's interval, without and with its buffers.
fn intervals(a: &Appointment) -> Option<(Interval, Interval)> {
    let (start, end) = a.claim();
    Interval::new(a.start, a.end).zip(Interval::new(start, end))
}

/// Whether the caller may see when the customer's appointments are: providers see their own alone.
fn sees(caller: Caller, customer: UserId) -> bool {
    caller.user == customer || caller.role == Role::Admin
}
