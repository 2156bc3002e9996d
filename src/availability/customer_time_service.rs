//! Customers' own parts, read together.

use chrono::SubsecRound;

use super::customer_time::{CustomerContext, CustomerTime};
use crate::{
    claims::store::customer_time::{CustomerTimeBatch, CustomerTimeQuery},
    kernel::{
        fault::Fault,
        id::TypeId,
        time::{Instant, Interval},
    },
    storage::{Deadline, batch::Batcher},
};

/// Customers' own parts.
#[derive(Debug, Clone)]
pub struct CustomerTimes(pub Batcher<CustomerTimeBatch>);

impl CustomerTimes {
    /// The part of whom somebody asks for, in a range. With a type, also whether the customer has as many open
    /// appointments as the type allows, if it does not allow any number.
    pub async fn of(
        &self,
        deadline: Deadline,
        customer_context: Option<&CustomerContext>,
        (type_id, most): (Option<TypeId>, Option<u32>),
        range: Interval,
        now: Instant,
    ) -> Result<CustomerTime, Fault> {
        let Some(customer_context) = customer_context else { return Ok(CustomerTime::default()) };
        let now = now.trunc_subsecs(0);
        let question =
            CustomerTimeQuery { customer: customer_context.customer, type_id, range, now };
        let found = self.0.ask(deadline, question).await??;
        let mut found = found.ok_or_else(|| Fault::not_found(customer_context.customer.name()))?;
        let most = match &customer_context.moving {
            // It has its place among the open ones already.
            Some(moving) => {
                found.busy.retain(|busy| !moving.keeps_busy(*busy));
                None
            }
            None => most.filter(|most| found.open >= u64::from(*most)),
        };
        Ok(CustomerTime {
            customer_context: Some(customer_context.clone()),
            busy: found.busy,
            treats: found.treats,
            holds: found.holds,
            full: most,
        })
    }
}
