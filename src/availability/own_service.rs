//! Customers' own parts, read together.

use chrono::SubsecRound;

use super::{
    own::{Own, Whom},
    store::own::{OfCustomers, Question},
};
use crate::{
    kernel::{
        fault::Fault,
        id::TypeId,
        time::{Instant, Interval},
    },
    storage::{Deadline, batch::Batch},
};

/// Customers' own parts.
#[derive(Debug, Clone)]
pub struct Owns(pub Batch<OfCustomers>);

impl Owns {
    /// The part of whom somebody asks for, in a range. With a type, also whether the customer has as many open
    /// appointments as the type allows, if it does not allow any number.
    pub async fn of(
        &self,
        deadline: Deadline,
        whom: Option<&Whom>,
        (type_id, most): (Option<TypeId>, Option<u32>),
        range: Interval,
        now: Instant,
    ) -> Result<Own, Fault> {
        let Some(whom) = whom else { return Ok(Own::default()) };
        let now = now.trunc_subsecs(0);
        let question = Question { customer: whom.customer, type_id, range, now };
        let found = self.0.ask(deadline, question).await??;
        let mut found = found.ok_or_else(|| Fault::not_found(whom.customer.name()))?;
        let most = match &whom.moving {
            // It has its place among the open ones already.
            Some(moving) => {
                found.busy.retain(|busy| !moving.keeps_busy(*busy));
                None
            }
            None => most.filter(|most| found.open >= u64::from(*most)),
        };
        Ok(Own {
            whom: Some(whom.clone()),
            busy: found.busy,
            treats: found.treats,
            holds: found.holds,
            full: most,
        })
    }
}
