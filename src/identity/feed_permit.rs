//! Who may read events.

use super::{
    Caller, Role,
    permit::{is_staff, role_not_allowed},
};
use crate::kernel::{
    fault::Fault,
    id::{ProviderId, UserId},
};

/// May read events within these bounds: those of one provider, of one customer, or all.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ReadEvents {
    /// Only this provider's, if set.
    pub provider: Option<ProviderId>,
    /// Only those of this customer's appointments and holds, if set.
    pub customer: Option<UserId>,
}

impl ReadEvents {
    /// Whether events are told as to the provider's side, and not as to their customer.
    pub const fn is_staff(self) -> bool {
        self.provider.is_some() || self.customer.is_none()
    }
}

/// Providers read the events of their own time, everybody those of their own appointments, admins all.
pub fn read_events(
    caller: Caller,
    provider: Option<ProviderId>,
    customer: Option<UserId>,
) -> Result<ReadEvents, Fault> {
    let is_admin = caller.role == Role::Admin;
    match (provider, customer) {
        (None, None) if !is_admin => return Err(role_not_allowed()),
        (Some(provider), _) if !is_staff(caller, provider) => {
            return Err(Fault::not_found(provider.name()));
        }
        (None, Some(customer)) if !is_admin && caller.user != customer => {
            return Err(Fault::not_found(customer.name()));
        }
        _ => {}
    }
    Ok(ReadEvents { provider, customer })
}
