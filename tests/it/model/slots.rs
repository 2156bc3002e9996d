//! What each customer is offered beside the model: what the customer could book, or move an appointment to.

use daybook::grpc::proto::booking::{
    ListSlotsRequest, availability_service_client::AvailabilityServiceClient,
};

use super::{
    chance::Chance,
    plain::{MINUTE, Model, State, What},
    practice::{Practice, wire},
};
use crate::support::people::Person;

/// How far ahead is asked, in seconds.
const RANGE: i64 = 30 * 60 * 60;
const GRID: i64 = 5 * MINUTE;

/// Who asks for which type.
#[derive(Debug, Clone, Copy)]
struct Question {
    of: usize,
    customer: usize,
    /// The appointment that the customer moves.
    moving: Option<usize>,
    from: i64,
}

impl Model {
    /// The starts that a customer is offered, each with the providers who could take it.
    fn slots(&self, asked: Question) -> Vec<(i64, Vec<usize>)> {
        let kind = &self.types[asked.of];
        if asked.moving.is_none() && self.has_room(asked.customer, asked.of).is_err() {
            return Vec::new();
        }
        // No grid has starts between these.
        let first = asked.from.div_euclid(GRID) * GRID;
        let starts = (first..asked.from + RANGE)
            .step_by(usize::try_from(GRID).unwrap())
            .filter(|start| *start >= asked.from);
        let offered = starts.filter_map(|start| {
            let interval = (start, start + kind.duration);
            let but = asked.moving.unwrap_or(usize::MAX);
            // Where it is already, or is asked to be, it cannot be moved.
            let moved = asked.moving.map(|id| &self.claims[id]);
            let is_there = moved.is_some_and(|claim| claim.takes().any(|(at, _)| at == start));
            if is_there || self.busy(asked.customer, interval, but) {
                return None;
            }
            let providers = (0..self.providers.len()).filter(|p| {
                let may = match moved {
                    // What was agreed stays with its provider, who need not offer the type any more.
                    Some(claim) => claim.provider == *p,
                    None => kind.offered[*p],
                };
                may && self.offers(*p, asked, interval, but)
            });
            let providers: Vec<usize> = providers.collect();
            (!providers.is_empty()).then_some((start, providers))
        });
        offered.collect()
    }

    fn offers(&self, p: usize, asked: Question, interval: (i64, i64), but: usize) -> bool {
        let step = self.types[asked.of].step;
        if self.providers[p].opened(interval.0).all(|opens| (interval.0 - opens) % step != 0) {
            return false;
        }
        let is_free = |model: &Self| {
            model.rules(p, What::Type(asked.of), interval, but).is_empty()
                && model.taken(p, Some(asked.of), interval, but) == 0
        };
        let own = self.own_holds(asked.customer, p, Some(asked.of), interval);
        if own.is_empty() {
            return is_free(self);
        }
        let mut without = self.clone();
        without.give_up(&own);
        is_free(&without)
    }
}

impl Practice {
    /// Asks for the slots of one type for one customer: as the customer, or as the admin.
    pub async fn compare_slots(&mut self, chance: &mut Chance) {
        let (of, customer) = (chance.below(self.types.len()), chance.below(self.customers.len()));
        let moved = self.model.claims.iter().enumerate().filter(|(_, claim)| {
            let cutoff = self.model.types[of].reschedule_cutoff;
            claim.customer == customer
                && claim.of_type == Some(of)
                && matches!(claim.state, State::Pending | State::Booked)
                && self.model.now + cutoff < claim.start
        });
        let moved: Vec<usize> = moved.map(|(id, _)| id).collect();
        let moving = (!moved.is_empty() && chance.one_in(2)).then(|| chance.of(&moved));
        let asked = Question { of, customer, moving, from: self.model.now };
        let person: &Person = &self.customers[customer];
        let as_admin = chance.one_in(3);
        let (caller, named) = match as_admin {
            true => (&self.admin, person.user.name.clone()),
            false => (person, String::new()),
        };
        let request = ListSlotsRequest {
            appointment_type: self.types[of].clone(),
            start_time: wire(asked.from),
            end_time: wire(asked.from + RANGE),
            page_size: 5000,
            customer: named,
            rescheduling: moving.map(|id| self.names[id].0.clone()).unwrap_or_default(),
            ..Default::default()
        };
        let world = &self.worlds[self.steps % self.worlds.len()];
        let mut client = AvailabilityServiceClient::new(world.channel.clone());
        let told = client.list_slots(caller.asks(request)).await;
        let told = told.unwrap_or_else(|status| panic!("{}: {asked:?}: {status:?}", self.tell()));
        let told = told.into_inner();
        assert!(told.next_page_token.is_empty(), "{}", self.tell());
        let told: Vec<_> =
            told.slots.into_iter().map(|slot| (slot.start_time, slot.providers)).collect();
        let name = |p: usize| self.providers[p].provider();
        let wanted = self.model.slots(asked).into_iter().map(|(start, providers)| {
            (wire(start), providers.into_iter().map(name).collect::<Vec<_>>())
        });
        let wanted: Vec<_> = wanted.collect();
        let missing: Vec<_> = wanted.iter().filter(|slot| !told.contains(slot)).collect();
        let more: Vec<_> = told.iter().filter(|slot| !wanted.contains(slot)).collect();
        let own: Vec<_> =
            self.model.claims.iter().filter(|claim| claim.customer == customer).collect();
        assert!(
            told == wanted,
            "{}: {asked:?} as admin: {as_admin}: not offered {missing:?}, offered beyond {more:?}; {own:?}",
            self.tell()
        );
    }
}
