//! What is wrong with the fields of a booking, as far as only its type can tell.

use chrono::TimeDelta;

use super::Bookings;
use crate::{
    booking::commands::book::{Asker, told_by_type},
    catalogue::{self, AppointmentType, questions::Reply},
    identity::Caller,
    kernel::{
        fault::{Fault, Reason, Violations},
        id::{HoldId, ProviderId, TypeId},
    },
    storage::{Deadline, Query, Reader},
};

/// What of a booking only its type can tell to be wrong.
#[derive(Debug, Clone)]
pub struct TypedFields {
    /// Which type, if told.
    pub type_id: Option<TypeId>,
    /// Of which hold, if one shall be booked.
    pub hold: Option<(ProviderId, HoldId)>,
    /// What opens a private type.
    pub link_code: String,
    /// How long, if told and not lifted.
    pub duration: Option<TimeDelta>,
    /// What the customer answered, where there is to be an answer.
    pub replies: Option<Vec<Reply>>,
    /// Whose answers they are.
    pub asker: Asker,
}

impl Bookings {
    /// Notes what else is wrong with the fields of a booking that is refused already, so that all of it is
    /// told at once. What its type says about one that is not is decided in the transaction.
    pub async fn also_wrong(
        &self,
        deadline: Deadline,
        caller: Caller,
        fields: TypedFields,
        violations: &mut Violations,
    ) -> Result<(), Fault> {
        let TypedFields { type_id, hold, link_code, duration, replies, asker } = fields;
        let found = match (hold, type_id) {
            (Some(hold), _) => self.type_of_hold(deadline, caller, hold).await?,
            (None, Some(id)) => {
                // Of a type that the caller may not see there is nothing to tell.
                match self.slots.types.get(deadline, Some(caller), id, &link_code).await {
                    Err(fault) if fault.reason() == Reason::NotFound => None,
                    found => Some(found?),
                }
            }
            (None, None) => None,
        };
        if let Some(found) = found {
            told_by_type(&found.terms, duration, (replies.as_deref(), asker), violations);
        }
        Ok(())
    }

    /// The type of the caller's own hold, which took its link code already.
    async fn type_of_hold(
        &self,
        deadline: Deadline,
        caller: Caller,
        (provider, id): (ProviderId, HoldId),
    ) -> Result<Option<AppointmentType>, Fault> {
        let held = self.found.ask(deadline, (provider, id.as_appointment())).await??;
        let held = held.filter(|held| held.customer == caller.user);
        match held.and_then(|held| held.type_id) {
            Some(id) => self.store.read(deadline, FindType(id)).await,
            None => Ok(None),
        }
    }
}

pub(super) struct FindType(pub(super) TypeId);

impl Query for FindType {
    type Output = Option<AppointmentType>;

    async fn run(&self, at: &Reader) -> Result<Self::Output, Fault> {
        catalogue::store::find(at, self.0).await
    }
}
