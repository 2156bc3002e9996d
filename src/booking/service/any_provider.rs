//! Appointments and holds for whoever is free.

use std::{collections::VecDeque, sync::Arc};

use super::{BookingRequest, Bookings, Outcome};
use crate::{
    availability::{SlotRules, customer_time::CustomerContext, slots_service as slots},
    booking::{
        Appointment,
        commands::{
            book::{Asker, Assigned, BookingTarget, TypeTarget, archived, told_by_type},
            slot_taken,
        },
        fairness::{self, ProviderLoad},
    },
    identity::{Role, permit},
    kernel::fault::{Fault, Reason, Violations},
    storage::{
        Deadline, Engine,
        idempotency::{EarlierResponse, IdempotencyKey},
    },
};

/// How often the providers who are free are compared again before one is taken whatever came between.
const MOST_COMPARED: usize = 100;

impl Bookings {
    /// Books with whoever of those who offer the type is free: the fewest minutes booked that week, then
    /// the least recently assigned, then the smallest id. Whoever is taken meanwhile is passed over, and who got
    /// more to do meanwhile than the next one had comes after that one. Nobody is locked but the one who is
    /// tried.
    pub(super) async fn book_with_anybody(
        &self,
        deadline: Deadline,
        request: BookingRequest,
        idempotency_key: IdempotencyKey,
    ) -> Result<Appointment, Fault> {
        let BookingTarget::Type(of_type) = &request.target else { return Err(Fault::unchecked()) };
        if let Some(earlier) =
            self.store.read(deadline, EarlierResponse::new(idempotency_key.clone())).await?
        {
            return Ok(earlier);
        }
        let TypeTarget { id, start, duration, link_code } = of_type;
        let (caller, now) = (request.caller, self.ambient.now());
        let only = permit::book_anybody(caller, request.customer)?;
        let found = self.slots.types.get(deadline, Some(caller), *id, link_code).await?;
        let mut violations = Violations::new();
        let replies = request.hold.is_none().then_some(&request.replies[..]);
        let asker = Asker::of(caller.role == Role::Admin || only.is_some());
        told_by_type(&found.terms, *duration, (replies, asker), &mut violations);
        violations.finish()?;
        if found.archived {
            return Err(archived());
        }
        let asked =
            SlotRules::of(&found.terms, duration.unwrap_or_else(|| found.terms.default_duration()));
        let kind = slots::RequestedType { appointment_type: Arc::new(found), asked };
        let turn = match only {
            Some(_) => None,
            None => self.slots.turn_for_all(deadline, *id).await?,
        };
        let (interval, mut all) =
            self.slots.around(deadline, *id, only, &kind, *start, now).await?;
        // On SQLite it is kept until the end: all writes wait for one another, and many of these would be in front
        // of everybody's bookings. On PostgreSQL it would only wait for round trips and locked rows.
        let _turn = turn.filter(|_| self.store.engine() == Engine::Sqlite);
        let customer = request.customer.unwrap_or(caller.user);
        let customer_context = CustomerContext::customer(customer);
        let own = self
            .slots
            .customer_times
            .of(deadline, Some(&customer_context), (None, None), interval, now)
            .await?;
        for each in &mut all {
            own.clear_for((each.provider, *id), kind.asked.claim(interval), &mut each.time);
        }
        let mut free = fairness::order(&all, &kind, interval, customer, now)?;
        // What the customer holds is the customer's before anybody else's.
        let is_held = |load: &ProviderLoad| own.has_hold(load.provider, Some(*id), interval);
        free.sort_by_key(|load| !is_held(load));
        let mut free = VecDeque::from(free);
        let mut refused = slot_taken();
        let mut tried = 0;
        while let Some(first) = free.pop_front() {
            tried += 1;
            let gives_way = tried <= MOST_COMPARED && !is_held(&first);
            let next = free.front().copied().filter(|_| gives_way);
            let permit = permit::book(request.caller, first.provider, request.customer)?;
            let (request, idempotency_key) = (request.clone(), idempotency_key.clone());
            match self
                .book_with(deadline, permit, request, idempotency_key, Some(Assigned { next }))
                .await
            {
                Ok(Outcome::Made(appointment)) => return Ok(*appointment),
                Ok(Outcome::Passed(load)) => {
                    let place = free.partition_point(|each| *each < load);
                    free.insert(place, load);
                }
                // Somebody else was faster, or a rule changed: the next one may still be free.
                Err(fault) if is_providers(&fault) => refused = fault,
                Err(fault) => return Err(fault),
            }
        }
        Err(refused)
    }
}

/// Whether a refusal is about the provider who was tried, and another one may do.
fn is_providers(fault: &Fault) -> bool {
    matches!(
        fault.reason(),
        Reason::SlotTaken
            | Reason::NotFound
            | Reason::NotOffered
            | Reason::OutsideHours
            | Reason::OffGrid
            | Reason::TimeOff
            | Reason::DayLimit
            | Reason::WeekLimit
            | Reason::OwnTime
    )
}
