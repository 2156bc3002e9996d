//! Who acted on an appointment, as a reader may know them.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::Appointment;
use crate::{
    events::Event,
    identity::Caller,
    kernel::{
        id::{ProviderId, ServiceAccountId, UserId},
        time::Instant,
    },
};

/// How customers are told of somebody of the practice whom they do not know by name.
const THE_PRACTICE: &str = "the practice";

/// Who somebody is to an appointment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Party {
    /// The customer of the appointment.
    Customer,
    /// The provider of the appointment.
    Provider,
    /// Somebody else of the practice.
    Practice,
}

impl Party {
    /// Who somebody is to an appointment of this provider and customer.
    pub fn of(actor: UserId, provider: ProviderId, customer: UserId) -> Self {
        if actor == customer {
            Self::Customer
        } else if actor == provider.as_user() {
            Self::Provider
        } else {
            Self::Practice
        }
    }
}

/// That an appointment was cancelled or declined.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct EndedBy {
    /// The side that ended it.
    pub by: Party,
    /// When that side ended it.
    pub at: Instant,
}

impl EndedBy {
    /// Of an appointment that this caller ends now.
    pub fn by(caller: Caller, a: &Appointment, now: Instant) -> Self {
        Self { by: Party::of(caller.user, a.provider, a.customer), at: now }
    }
}

/// Who did what an event tells.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Actor {
    /// Who they are to the appointment.
    pub party: Party,
    /// Their name, as the reader may know it; empty where there is none.
    pub display_name: String,
}

/// An event, and who acted.
#[derive(Debug, Clone)]
pub struct EventWithActor {
    /// The event.
    pub event: Event,
    /// Who acted; nobody where it happened by itself.
    pub actor: Option<Actor>,
}

/// Whose names are needed to tell who acted.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Wanted {
    /// Ids of users.
    pub users: BTreeSet<UserId>,
    /// Ids of providers.
    pub providers: BTreeSet<ProviderId>,
    /// Of service accounts.
    pub services: BTreeSet<ServiceAccountId>,
}

/// The present names of those who are wanted, as far as they are there.
#[derive(Debug, Clone, Default)]
pub struct Names {
    /// By user id.
    pub users: BTreeMap<UserId, String>,
    /// By provider id.
    pub providers: BTreeMap<ProviderId, String>,
    /// Of service accounts.
    pub services: BTreeMap<ServiceAccountId, String>,
}

impl Wanted {
    /// Those whom a reader may know by name who acted on the appointments of a customer.
    pub fn by(events: &[Event], customer: UserId, is_staff: bool) -> Self {
        let mut wanted = Self::default();
        for event in events {
            wanted.add(event, customer, is_staff);
        }
        wanted
    }

    /// Adds who acted on one event of an appointment of this customer, if a reader may know them by name.
    pub fn add(&mut self, event: &Event, customer: UserId, is_staff: bool) {
        let Some(actor) = event.actor else { return };
        match (Party::of(actor, event.provider, customer), as_itself(event)) {
            (Party::Practice, _) if !is_staff => {}
            (Party::Provider, _) => self.providers.extend([event.provider]),
            (Party::Practice, Some(service)) => self.services.extend([service]),
            (Party::Customer, _) | (Party::Practice, None) => self.users.extend([actor]),
        }
    }
}

impl Names {
    /// An event with who acted, for the provider's side or for the customer.
    pub fn tell(&self, event: Event, customer: UserId, is_staff: bool) -> EventWithActor {
        let actor = event.actor.map(|actor| {
            let party = Party::of(actor, event.provider, customer);
            let name = match (party, as_itself(&event)) {
                (Party::Provider, _) => self.providers.get(&event.provider),
                (Party::Practice, Some(service)) => self.services.get(&service),
                (Party::Customer, _) | (Party::Practice, None) => self.users.get(&actor),
            };
            let display_name = if party == Party::Practice && !is_staff {
                THE_PRACTICE.to_owned()
            } else {
                name.cloned().unwrap_or_default()
            };
            Actor { party, display_name }
        });
        EventWithActor { event, actor }
    }
}

/// The service account that acted as itself, if one did.
fn as_itself(event: &Event) -> Option<ServiceAccountId> {
    event.via.filter(|via| event.actor == Some(via.as_user()))
}
