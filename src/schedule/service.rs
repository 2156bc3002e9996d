//! What callers can ask about providers and schedules.

use uuid::Uuid;

use super::{
    commands::{Changes, Update},
    provider::Provider,
    store,
};
use crate::{
    identity::permit::EditSchedule,
    kernel::{ambient::Ambient, fault::Fault, id::ProviderId},
    storage::{Deadline, Query, Snapshot, Store, request::Once},
};

/// Providers and their schedules.
#[derive(Debug, Clone)]
pub struct Schedules {
    /// The database.
    pub store: Store,
    /// The clock.
    pub ambient: Ambient,
}

impl Schedules {
    /// Public: the providers that can be booked, after this one in the order of their ids.
    pub async fn list(
        &self,
        deadline: Deadline,
        after: Option<Uuid>,
        limit: u64,
    ) -> Result<Vec<Provider>, Fault> {
        self.store.read(deadline, List { after, limit }).await
    }

    /// Public: a provider that can be booked.
    pub async fn get(&self, deadline: Deadline, id: ProviderId) -> Result<Provider, Fault> {
        let found = self.store.read(deadline, Find(id)).await?;
        found.filter(|p| p.enabled).ok_or_else(|| Fault::not_found(id.name()))
    }

    /// For logged-in callers: a schedule, also of a provider that cannot be booked at present when
    /// `also_disabled` says so.
    pub async fn schedule(
        &self,
        deadline: Deadline,
        id: ProviderId,
        also_disabled: bool,
    ) -> Result<Provider, Fault> {
        let found = self.store.read(deadline, Find(id)).await?;
        found
            .filter(|p| p.enabled || also_disabled)
            .ok_or_else(|| Fault::not_found(id.schedule_name()))
    }

    /// Changes a schedule.
    pub async fn update(
        &self,
        deadline: Deadline,
        permit: EditSchedule,
        changes: Changes,
        expected: Option<i64>,
        once: Once,
    ) -> Result<Provider, Fault> {
        let now = self.ambient.now();
        self.store.run(deadline, Update { permit, changes, expected, once, now }).await
    }
}

struct Find(ProviderId);

impl Query for Find {
    type Output = Option<Provider>;

    async fn run(&self, at: &Snapshot) -> Result<Self::Output, Fault> {
        store::find(at, self.0).await
    }
}

struct List {
    after: Option<Uuid>,
    limit: u64,
}

impl Query for List {
    type Output = Vec<Provider>;

    async fn run(&self, at: &Snapshot) -> Result<Self::Output, Fault> {
        store::list(at, self.after, self.limit).await
    }
}
