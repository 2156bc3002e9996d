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
        id::{ProviderId, TypeId, UserId},
        stamp::Revision,
        time::Instant,
    },
    storage::{Deadline, Query, Reader, Store, idempotency::IdempotencyKey},
};

/// Service layer for appointment types.
#[derive(Debug, Clone)]
pub struct Types {
    /// Database handle.
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
    /// Whether the link code is replaced by another one.
    pub new_link_code: bool,
}

impl Types {
    /// Adds a shared type.
    pub async fn create(
        &self,
        deadline: Deadline,
        permit: CreateType,
        terms: Terms,
        idempotency_key: IdempotencyKey,
    ) -> Result<AppointmentType, Fault> {
        let now = self.ambient.now();
        let (id, random) = (TypeId(self.ambient.id(now)), self.ambient.bytes());
        let new = AppointmentType::new(id, permit.owner, terms, &random, now);
        self.store.run(deadline, Create { new, editor: permit.editor, idempotency_key }).await
    }

    /// Whether the caller has an appointment of a type that is requested or booked and not over: what was agreed
    /// can be moved, whatever became of the type.
    async fn is_agreed(
        &self,
        deadline: Deadline,
        caller: Option<Caller>,
        id: TypeId,
    ) -> Result<bool, Fault> {
        let Some(caller) = caller else { return Ok(false) };
        let now = self.ambient.now();
        self.store.read(deadline, IsAgreed { customer: caller.user, id, now }).await
    }

    /// A type, for those who may see it: where it is private also those who have an appointment of it.
    pub async fn get(
        &self,
        deadline: Deadline,
        caller: Option<Caller>,
        id: TypeId,
        link_code: &str,
    ) -> Result<AppointmentType, Fault> {
        let found = self.store.read(deadline, Find(id)).await?;
        let found = found.ok_or_else(|| Fault::not_found(id.name()))?;
        let subject = found.subject();
        if subject.link_code.is_some()
            && permit::see_type(caller, subject, link_code, false).is_err()
            && self.is_agreed(deadline, caller, id).await?
        {
            return Ok(found);
        }
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
        idempotency_key: IdempotencyKey,
    ) -> Result<AppointmentType, Fault> {
        let now = self.ambient.now();
        let Change { id, draft, owner, expected, new_link_code } = change;
        let random = new_link_code.then(|| self.ambient.bytes());
        let unit = Update { caller, id, draft, owner, random, expected, idempotency_key, now };
        self.store.run(deadline, unit).await
    }

    /// Ends the booking of a type, or begins it again, if the caller may.
    pub async fn archive(
        &self,
        deadline: Deadline,
        caller: Caller,
        id: TypeId,
        archived: bool,
        expected: Option<Revision>,
        idempotency_key: IdempotencyKey,
    ) -> Result<AppointmentType, Fault> {
        let now = self.ambient.now();
        self.store
            .run(deadline, Archive { caller, id, archived, expected, idempotency_key, now })
            .await
    }
}

struct Find(TypeId);

impl Query for Find {
    type Output = Option<AppointmentType>;

    async fn run(&self, at: &Reader) -> Result<Self::Output, Fault> {
        store::find(at, self.0).await
    }
}

struct IsAgreed {
    customer: UserId,
    id: TypeId,
    now: Instant,
}

impl Query for IsAgreed {
    type Output = bool;

    async fn run(&self, at: &Reader) -> Result<bool, Fault> {
        store::is_agreed(at, self.customer, self.id, self.now).await
    }
}

struct Offers {
    provider: ProviderId,
    id: TypeId,
}

impl Query for Offers {
    type Output = bool;

    async fn run(&self, at: &Reader) -> Result<bool, Fault> {
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

    async fn run(&self, at: &Reader) -> Result<Self::Output, Fault> {
        store::list(at, &self.filter, self.after, self.limit).await
    }
}
