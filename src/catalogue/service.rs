//! What callers can ask about appointment types.

use uuid::Uuid;

use super::{
    AppointmentType, Terms,
    check::Draft,
    commands::{Archive, Create, Update},
    store::{self, Filter},
};
use crate::{
    bulkhead::Bulkhead,
    identity::{
        Caller, Role,
        permit::{self, CreateType},
    },
    kernel::{
        ambient::Ambient,
        fault::Fault,
        id::{ProviderId, TypeId},
        stamp::Revision,
    },
    storage::{Deadline, Query, Snapshot, Store, request::Once},
};

/// Appointment types.
#[derive(Debug, Clone)]
pub struct Types {
    /// The database.
    pub store: Store,
    /// Clock, ids and randomness.
    pub ambient: Ambient,
    /// Where long pages wait for one another.
    pub bulkhead: Bulkhead,
}

/// A change of a type that somebody asks for.
#[derive(Debug, Clone)]
pub struct Change {
    /// The id of the type that is to be changed.
    pub id: TypeId,
    /// What to change; what is absent stays.
    pub draft: Draft,
    /// Whose own it is, if told.
    pub owner: Option<ProviderId>,
    /// The state that was seen, if told.
    pub expected: Option<Revision>,
}

impl Types {
    /// Adds a shared type.
    pub async fn create(
        &self,
        deadline: Deadline,
        permit: CreateType,
        terms: Terms,
        once: Once,
    ) -> Result<AppointmentType, Fault> {
        let now = self.ambient.now();
        let (id, random) = (TypeId(self.ambient.id(now)), self.ambient.bytes());
        let new = AppointmentType::new(id, permit.owner, terms, &random, now);
        self.store.run(deadline, Create { new, editor: permit.editor, once }).await
    }

    /// A type, for those who may see it.
    pub async fn get(
        &self,
        deadline: Deadline,
        caller: Option<Caller>,
        id: TypeId,
        link_code: &str,
    ) -> Result<AppointmentType, Fault> {
        let found = self.store.read(deadline, Find(id)).await?;
        let found = found.ok_or_else(|| Fault::not_found(id.name()))?;
        let offers = match caller {
            Some(caller) if found.terms.private && caller.role == Role::Provider => {
                let question = Offers { provider: caller.user.as_provider(), id };
                self.store.read(deadline, question).await?
            }
            _ => false,
        };
        permit::see_type(caller, found.subject(), link_code, offers)?;
        Ok(found)
    }

    /// A page of types within the bounds of a permit, which the filter holds.
    pub async fn list(
        &self,
        deadline: Deadline,
        filter: Filter,
        after: Option<Uuid>,
        limit: u64,
    ) -> Result<Vec<AppointmentType>, Fault> {
        self.store.read(deadline, List { filter, after, limit }).await
    }

    /// Changes a type, if the caller may.
    pub async fn update(
        &self,
        deadline: Deadline,
        caller: Caller,
        change: Change,
        once: Once,
    ) -> Result<AppointmentType, Fault> {
        let now = self.ambient.now();
        let Change { id, draft, owner, expected } = change;
        self.store.run(deadline, Update { caller, id, draft, owner, expected, once, now }).await
    }

    /// Ends the booking of a type, or begins it again, if the caller may.
    pub async fn archive(
        &self,
        deadline: Deadline,
        caller: Caller,
        id: TypeId,
        archived: bool,
        expected: Option<Revision>,
        once: Once,
    ) -> Result<AppointmentType, Fault> {
        let now = self.ambient.now();
        self.store.run(deadline, Archive { caller, id, archived, expected, once, now }).await
    }
}

struct Find(TypeId);

impl Query for Find {
    type Output = Option<AppointmentType>;

    async fn run(&self, at: &Snapshot) -> Result<Self::Output, Fault> {
        store::find(at, self.0).await
    }
}

struct Offers {
    provider: ProviderId,
    id: TypeId,
}

impl Query for Offers {
    type Output = bool;

    async fn run(&self, at: &Snapshot) -> Result<bool, Fault> {
        store::offers(at, self.provider, self.id).await
    }
}

struct List {
    filter: Filter,
    after: Option<Uuid>,
    limit: u64,
}

impl Query for List {
    type Output = Vec<AppointmentType>;

    async fn run(&self, at: &Snapshot) -> Result<Self::Output, Fault> {
        store::list(at, &self.filter, self.after, self.limit).await
    }
}
