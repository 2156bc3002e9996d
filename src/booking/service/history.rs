//! What happened to an appointment.

use super::Bookings;
use crate::{
    accounts,
    booking::{
        Appointment, State,
        actors::{EventWithActor, Names, Wanted},
        store,
    },
    events::{self, Event},
    identity::{Caller, permit},
    kernel::{
        fault::Fault,
        id::{AppointmentId, ProviderId, UserId},
        time::Instant,
    },
    schedule,
    storage::{Deadline, Query, Reader},
};

/// How many reassignments are followed to who has an appointment now.
const MOST_SUCCESSORS: usize = 50;

impl Bookings {
    /// What happened to an appointment after a version, oldest first, for those who may see it, and for
    /// who has it now where it was reassigned; and whether the caller is of the provider's side, who are told
    /// more. An expiry counts from its moment on, written down or not.
    pub async fn events(
        &self,
        deadline: Deadline,
        caller: Caller,
        (provider, id): (ProviderId, AppointmentId),
        after: Option<i64>,
        limit: u64,
    ) -> Result<(Vec<EventWithActor>, bool), Fault> {
        let absent = || Fault::not_found(id.name(provider));
        let found = self.found.ask(deadline, (provider, id)).await??;
        let found = found.filter(|found| found.state != State::Held).ok_or_else(absent)?;
        let present = self.present_provider(deadline, &found).await?;
        permit::see_events(caller, (provider, present), id, found.customer)?;
        let now = self.ambient.now();
        let is_staff = permit::is_staff(caller, provider) || permit::is_staff(caller, present);
        let customer = found.customer;
        let history = History { provider, id, customer, after, limit, is_staff, now };
        Ok((self.store.read(deadline, history).await?, is_staff))
    }

    /// Who has an appointment now, after all reassignments.
    async fn present_provider(
        &self,
        deadline: Deadline,
        a: &Appointment,
    ) -> Result<ProviderId, Fault> {
        let mut last = a.provider;
        let mut successor = a.terms.successor;
        for _ in 0..MOST_SUCCESSORS {
            let Some(next) = successor else { break };
            last = next.0;
            let found = self.found.ask(deadline, next).await??;
            successor = found.and_then(|found| found.terms.successor);
        }
        Ok(last)
    }
}

struct History {
    provider: ProviderId,
    id: AppointmentId,
    customer: UserId,
    after: Option<i64>,
    limit: u64,
    is_staff: bool,
    now: Instant,
}

impl Query for History {
    type Output = Vec<EventWithActor>;

    async fn run(&self, at: &Reader) -> Result<Self::Output, Fault> {
        let Self { provider, id, customer, after, limit, is_staff, now } = *self;
        let bounds = (limit, is_staff);
        let mut events = events::store::of_appointment(at, provider, id, after, bounds).await?;
        if u64::try_from(events.len()).is_ok_and(|count| count < limit)
            // Read after its events: an expiry that it still lacks is not among them.
            && let Some(found) = store::find(at, provider, id).await?
        {
            events.extend(found.expiry(now));
        }
        told(at, events, customer, is_staff).await
    }
}

/// Events of one customer's appointments with who acted, for the provider's side or for the customer.
pub(crate) async fn told(
    at: &Reader,
    events: Vec<Event>,
    customer: UserId,
    is_staff: bool,
) -> Result<Vec<EventWithActor>, Fault> {
    let names = names(at, &Wanted::by(&events, customer, is_staff)).await?;
    Ok(events.into_iter().map(|event| names.tell(event, customer, is_staff)).collect())
}

/// The present names of those who are wanted.
pub(crate) async fn names(at: &Reader, wanted: &Wanted) -> Result<Names, Fault> {
    Ok(Names {
        users: accounts::store::names(at, &wanted.users).await?,
        providers: schedule::store::names(at, &wanted.providers).await?,
        services: accounts::service_accounts::store::names(at, &wanted.services).await?,
    })
}
