//! What of a customer's own decides what can be booked by that customer. It is kept apart from the providers'
//! time, which all callers share.

use std::sync::Arc;

use super::{ProviderTime, explain::Exclusion, slots_service::RequestedType};
use crate::{
    claims::HeldSlot,
    kernel::{
        fault::Reason,
        id::{ProviderId, TypeId, UserId},
        time::Interval,
    },
};

/// The customer for whom slots are asked, and the appointment to move, if any.
#[derive(Clone, Debug)]
pub struct CustomerContext {
    /// Who would come.
    pub customer: UserId,
    /// What shall be moved, if that is why.
    pub moving: Option<Arc<AppointmentToMove>>,
    /// The only provider whom the caller may ask about for them, if not all.
    pub only: Option<ProviderId>,
    /// Whether the caller may see when the customer's other appointments are.
    pub sees_appointments: bool,
}

/// An appointment that shall be moved.
#[derive(Clone, Debug)]
pub struct AppointmentToMove {
    /// With whom it is.
    pub provider: ProviderId,
    /// From when until when it is now.
    pub interval: Interval,
    /// The same with its buffers.
    pub claim: Interval,
    /// The time to which its customer has asked to move it already, without and with its buffers.
    pub asked: Option<(Interval, Interval)>,
    /// Its type with what was agreed, unless it is a bare interval.
    pub kind: Option<RequestedType>,
    /// Why the caller may not move it any more, if so.
    pub too_late: Option<String>,
}

/// A customer's own part, as of one moment and for one range.
#[derive(Clone, Debug, Default)]
pub struct CustomerTime {
    /// For whom; nobody in particular where nobody is known.
    pub customer_context: Option<CustomerContext>,
    /// When the customer has appointments, or has asked to have them, sorted; without the one that shall be moved. No
    /// two overlap.
    pub busy: Vec<Interval>,
    /// What claims the customer's own time, where they are or were a provider, buffers included, sorted. No two
    /// overlap.
    pub treats: Vec<Interval>,
    /// What the customer holds.
    pub holds: Vec<HeldSlot>,
    /// The most open appointments of the type, where the customer has as many.
    pub full: Option<u32>,
}

/// The part of nobody in particular.
pub static NOBODY: CustomerTime = CustomerTime {
    customer_context: None,
    busy: Vec::new(),
    treats: Vec::new(),
    holds: Vec::new(),
    full: None,
};

impl AppointmentToMove {
    /// Whether it is at this time, or is asked to be moved there.
    fn is_at(&self, interval: Interval) -> bool {
        self.interval == interval || self.asked.is_some_and(|(asked, _)| asked == interval)
    }

    /// Whether it is what keeps its customer busy then. What is asked for is stored without what it has already, in up
    /// to two pieces, and nothing else overlaps it.
    pub fn keeps_busy(&self, busy: Interval) -> bool {
        self.interval == busy || self.asked.is_some_and(|(asked, _)| asked.overlaps(&busy))
    }

    /// Whether this claim on the provider's time belongs to the appointment that is moved.
    fn claims(&self, claim: Interval) -> bool {
        self.claim == claim || self.asked.is_some_and(|(_, asked)| asked.overlaps(&claim))
    }
}

impl CustomerContext {
    /// Somebody who would come, and no more.
    pub fn customer(customer: UserId) -> Self {
        Self { customer, moving: None, only: None, sees_appointments: false }
    }
}

impl CustomerTime {
    fn moving(&self) -> Option<&AppointmentToMove> {
        self.customer_context.as_ref()?.moving.as_deref()
    }

    /// Takes what is the customer's own out of a provider's time: their holds and what shall be moved claim
    /// nothing, and what shall be moved does not count for limits.
    pub fn clear(&self, provider: ProviderId, time: &mut ProviderTime) {
        let moving = self.moving().filter(|moving| moving.provider == provider);
        let holds = || self.holds.iter().filter(|held| held.provider == provider);
        if moving.is_none() && holds().next().is_none() {
            return;
        }
        time.claims.retain(|claim| {
            holds().all(|held| held.claim != *claim)
                && moving.is_none_or(|moving| !moving.claims(*claim))
        });
        if let Some(moving) = moving {
            remove_one(&mut time.counted, moving.interval);
            // Where it is far enough to be stored whole it counts, too.
            if let Some((asked, _)) = moving.asked {
                remove_one(&mut time.counted, asked);
            }
        }
    }

    /// The same for one interval that is asked about: holds that it would take the place of do not count for
    /// limits either.
    pub fn clear_for(
        &self,
        (provider, type_id): (ProviderId, TypeId),
        claim: Interval,
        time: &mut ProviderTime,
    ) {
        self.clear(provider, time);
        for held in self.counted(provider, Some(type_id)).filter(|held| held.claim.overlaps(&claim))
        {
            remove_one(&mut time.counted, held.interval);
        }
    }

    /// The holds that count for the limits of a type with a provider.
    pub fn counted(
        &self,
        provider: ProviderId,
        type_id: Option<TypeId>,
    ) -> impl Iterator<Item = &HeldSlot> {
        let of_type = move |held: &&HeldSlot| held.type_id.is_some() && held.type_id == type_id;
        self.holds.iter().filter(move |held| held.provider == provider).filter(of_type)
    }

    /// Whether the customer holds exactly this.
    pub fn has_hold(
        &self,
        provider: ProviderId,
        type_id: Option<TypeId>,
        interval: Interval,
    ) -> bool {
        let mut holds = self.holds.iter();
        holds.any(|held| {
            (held.provider, held.type_id, held.interval) == (provider, type_id, interval)
        })
    }

    /// What is against every start with a provider.
    pub fn against_all(&self, provider: ProviderId) -> Vec<Exclusion> {
        let mut against = Vec::new();
        let Some(customer_context) = &self.customer_context else { return against };
        if customer_context.customer.as_provider() == provider {
            against.push(Exclusion::new(Reason::OwnTime, "providers cannot book themselves"));
        }
        if let Some(most) = self.full {
            against.push(Exclusion::new(
                Reason::CustomerLimit,
                format!("a customer may have {most} open appointments of this type"),
            ));
        }
        if let Some(text) = self.moving().and_then(|moving| moving.too_late.clone()) {
            against.push(Exclusion::new(Reason::TooLate, text));
        }
        against
    }

    /// What of the customer's own is against an interval with a provider.
    pub fn against(&self, provider: ProviderId, interval: Interval) -> Vec<Exclusion> {
        let mut against = self.against_all(provider);
        let sees = self
            .customer_context
            .as_ref()
            .is_some_and(|customer_context| customer_context.sees_appointments);
        let attends = "the customer has another appointment that overlaps this time";
        let treats = "the customer is a provider, and somebody has this time or a buffer of it";
        for (all, text) in [(&self.busy, attends), (&self.treats, treats)] {
            let busy = all.iter().filter(|busy| busy.overlaps(&interval));
            against.extend(busy.map(|busy| Exclusion {
                interval: sees.then_some(*busy),
                ..Exclusion::new(Reason::CustomerBusy, text)
            }));
        }
        if self.stays(provider, interval) {
            let text = "the appointment is there already, or is asked to be moved there";
            against.push(Exclusion::new(Reason::InvalidFields, text));
        }
        against
    }

    /// Whether the interval is the present or the requested time of the appointment that is moved.
    pub fn stays(&self, provider: ProviderId, interval: Interval) -> bool {
        let moving = self.moving();
        moving.is_some_and(|moving| moving.provider == provider && moving.is_at(interval))
    }

    /// What keeps the customer busy: with others, and with their own customers.
    pub fn busy_times(&self) -> impl Iterator<Item = Interval> {
        self.busy.iter().chain(&self.treats).copied()
    }

    /// Of what keeps the customer busy and is in the way, what lasts longest.
    pub fn first_busy(&self, interval: &Interval) -> Option<Interval> {
        let first = |all: &[Interval]| {
            // They do not overlap, so their ends ascend as their starts do.
            let at = all.partition_point(|busy| busy.end() <= interval.start());
            all.get(at).filter(|busy| busy.start() < interval.end()).copied()
        };
        first(&self.busy).into_iter().chain(first(&self.treats)).max_by_key(Interval::end)
    }
}

fn remove_one(all: &mut Vec<Interval>, one: Interval) {
    if let Some(place) = all.iter().position(|each| *each == one) {
        all.remove(place);
    }
}
