//! What callers can ask about offerings.

use super::{
    Offering,
    commands::{CreateOwn, Offer, Offered, Withdraw},
};
use crate::{
    catalogue::{AppointmentType, Terms},
    identity::permit::{self, CreateType, ListTypes},
    kernel::{
        ambient::Ambient,
        fault::Fault,
        id::{ProviderId, TypeId},
        time::Instant,
    },
    schedule::store::{
        self,
        offerings::{self, Filter, OfferingCursor},
    },
    storage::{Deadline, Query, Reader, Store, idempotency::IdempotencyKey},
};

/// Offerings, and the types that come with one.
#[derive(Debug, Clone)]
pub struct Offerings {
    /// Database handle.
    pub store: Store,
    /// Clock, ids and randomness.
    pub ambient: Ambient,
}

impl Offerings {
    /// Adds a provider's own type, which the provider offers from then on.
    pub async fn create_own(
        &self,
        deadline: Deadline,
        permit: CreateType,
        owner: ProviderId,
        terms: Terms,
        idempotency_key: IdempotencyKey,
    ) -> Result<AppointmentType, Fault> {
        let now = self.ambient.now();
        let (id, random) = (TypeId(self.ambient.id(now)), self.ambient.bytes());
        let new = AppointmentType::new(id, Some(owner), terms, &random, now);
        let zones = self.ambient.zones();
        let unit = CreateOwn { new, owner, editor: permit.editor, idempotency_key, zones };
        self.store.run(deadline, unit).await
    }

    /// Lets a provider be booked for a type, or changes by which schedule.
    pub async fn offer(
        &self,
        deadline: Deadline,
        permit: permit::Offer,
        type_id: TypeId,
        schedule: Option<String>,
        idempotency_key: IdempotencyKey,
    ) -> Result<Offered, Fault> {
        let (now, zones) = (self.ambient.now(), self.ambient.zones());
        let unit = Offer { permit, type_id, schedule, idempotency_key, now, zones };
        self.store.run(deadline, unit).await
    }

    /// Ends that a provider can be booked for a type.
    pub async fn withdraw(
        &self,
        deadline: Deadline,
        permit: permit::Offer,
        type_id: TypeId,
        idempotency_key: IdempotencyKey,
    ) -> Result<(), Fault> {
        let now = self.ambient.now();
        self.store.run(deadline, Withdraw { permit, type_id, idempotency_key, now }).await
    }

    /// Refuses a provider who cannot be booked, of whom only those know who see everything.
    pub async fn known(
        &self,
        deadline: Deadline,
        bounds: ListTypes,
        id: ProviderId,
    ) -> Result<(), Fault> {
        let enabled = self.store.read(deadline, Enabled(id)).await?;
        match enabled {
            Some(enabled) if enabled || bounds.everything => Ok(()),
            _ => Err(Fault::not_found(id.name())),
        }
    }

    /// A page of offerings, each with the time when it began, within the bounds that the filter holds.
    pub async fn list(
        &self,
        deadline: Deadline,
        filter: Filter,
        after: Option<OfferingCursor>,
        limit: u64,
    ) -> Result<Vec<(Offering, Instant)>, Fault> {
        self.store.read(deadline, List { filter, after, limit }).await
    }
}

struct Enabled(ProviderId);

impl Query for Enabled {
    type Output = Option<bool>;

    async fn run(&self, at: &Reader) -> Result<Self::Output, Fault> {
        Ok(store::find(at, self.0).await?.map(|provider| provider.enabled))
    }
}

struct List {
    filter: Filter,
    after: Option<OfferingCursor>,
    limit: u64,
}

impl Query for List {
    type Output = Vec<(Offering, Instant)>;

    async fn run(&self, at: &Reader) -> Result<Self::Output, Fault> {
        offerings::list(at, &self.filter, self.after, self.limit).await
    }
}
