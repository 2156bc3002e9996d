//! What callers can ask about providers and schedules.

mod closing;
mod long;

use std::collections::{BTreeMap, BTreeSet};

use uuid::Uuid;

use super::{
    cache::ScheduleCache,
    changes::{Changes, Stored},
    commands::{Close, Closed, Closure, Create, Delete, Give, Reopen, Take, Update, Updated},
    plan::TimeOff,
    provider::Provider,
    store::{self, closures::Cursor},
};
use crate::{
    claims::affected::AffectedAppointments,
    identity::{
        Caller,
        permit::{ClosePractice, EditSchedule, SeeTimeOff},
    },
    kernel::{
        ambient::Ambient,
        fault::{Fault, Violations},
        id::{ClosureId, ProviderId, TimeOffId, UserId},
        stamp::Revision,
        time::{Instant, Interval},
    },
    storage::{Deadline, Query, Reader, Store, idempotency::IdempotencyKey},
};

pub use closing::Closing;
pub use long::LongSchedules;

/// Providers and their schedules.
#[derive(Debug, Clone)]
pub struct Schedules {
    /// Database handle.
    pub store: Store,
    /// Source of time, ids, randomness and zone rules.
    pub ambient: Ambient,
    /// What is known of schedules.
    pub schedule_cache: ScheduleCache,
    /// Whose schedules are long.
    pub long: LongSchedules,
    /// Where closures wait for one another.
    pub closing: Closing,
}

impl Schedules {
    /// Public: the providers that can be booked, after this one in the order of their ids; without schedules.
    pub async fn list(
        &self,
        deadline: Deadline,
        after: Option<Uuid>,
        limit: u64,
    ) -> Result<Vec<Provider>, Fault> {
        self.store.read(deadline, List { after, limit }).await
    }

    /// Public: a provider that can be booked, without its schedules. One that cannot be booked any more is
    /// shown to those who have or had an appointment there.
    pub async fn get(
        &self,
        deadline: Deadline,
        caller: Option<Caller>,
        id: ProviderId,
    ) -> Result<Provider, Fault> {
        let absent = || Fault::not_found(id.name());
        let found = self.store.read(deadline, FindShort(id)).await?.ok_or_else(absent)?;
        if found.enabled {
            return Ok(found);
        }
        // An erased provider has no name, and nobody knows them any more.
        if found.display_name.is_empty() {
            return Err(absent());
        }
        let customer = caller.ok_or_else(absent)?.user;
        let knows = self.store.read(deadline, Knows { provider: id, customer }).await?;
        knows.then_some(found).ok_or_else(absent)
    }

    /// Public: the display names of these providers, as far as they are there.
    pub async fn names(
        &self,
        deadline: Deadline,
        ids: BTreeSet<ProviderId>,
    ) -> Result<BTreeMap<ProviderId, String>, Fault> {
        if ids.is_empty() {
            return Ok(BTreeMap::new());
        }
        self.store.read(deadline, Names(ids)).await
    }

    /// The same of providers whose time the caller has just read, and whose versions with it: they are remembered
    /// as they were met then. Only those that are not are read.
    pub async fn names_of_those_met(
        &self,
        deadline: Deadline,
        ids: BTreeSet<ProviderId>,
    ) -> Result<BTreeMap<ProviderId, String>, Fault> {
        let (mut names, mut unknown) = (BTreeMap::new(), BTreeSet::new());
        for id in ids {
            match self.schedule_cache.get(id) {
                Some(provider) => drop(names.insert(id, provider.display_name.clone())),
                None => drop(unknown.insert(id)),
            }
        }
        if !unknown.is_empty() {
            names.extend(self.store.read(deadline, Names(unknown)).await?);
        }
        Ok(names)
    }

    /// For logged-in callers: a provider with its schedules, also one that cannot be booked at present
    /// when `also_disabled` says so. `resource` is what the caller asked for.
    pub async fn schedules(
        &self,
        deadline: Deadline,
        id: ProviderId,
        also_disabled: bool,
        resource: impl FnOnce() -> String,
    ) -> Result<Provider, Fault> {
        let _turn = self.long.turn(deadline, id).await?;
        let found = self.store.read(deadline, Find(id)).await?;
        found.filter(|p| p.enabled || also_disabled).ok_or_else(|| Fault::not_found(resource()))
    }

    /// Changes a schedule: the default one, or the one with this id; tells what lies outside its hours then.
    pub async fn update(
        &self,
        deadline: Deadline,
        permit: EditSchedule,
        id: Option<String>,
        change: (Changes, Option<Revision>),
        idempotency_key: IdempotencyKey,
    ) -> Result<Updated, Fault> {
        let (changes, expected) = change;
        let _turn = self.long.turn_to_change(deadline, permit.provider, &changes).await?;
        let (now, zones) = (self.ambient.now(), self.ambient.zones());
        let unit = Update { permit, id, changes, expected, idempotency_key, now, zones };
        self.store.run(deadline, unit).await
    }

    /// Adds a named schedule.
    pub async fn create(
        &self,
        deadline: Deadline,
        permit: EditSchedule,
        id: String,
        changes: Changes,
        idempotency_key: IdempotencyKey,
    ) -> Result<Provider, Fault> {
        let _turn = self.long.turn_to_change(deadline, permit.provider, &changes).await?;
        let (now, zones) = (self.ambient.now(), self.ambient.zones());
        self.store.run(deadline, Create { permit, id, changes, idempotency_key, now, zones }).await
    }

    /// Notes what else is wrong with changes that are refused already, so that all of it is told at once.
    /// The schedule is the one with this id, or the default one; a new one where `is_new` says so.
    pub async fn also_wrong(
        &self,
        deadline: Deadline,
        permit: EditSchedule,
        (id, is_new): (Option<&str>, bool),
        changes: &Changes,
        violations: &mut Violations,
    ) -> Result<(), Fault> {
        let Some(found) = self.store.read(deadline, Find(permit.provider)).await? else {
            return Ok(());
        };
        let stored = match id {
            None => Stored::Default(&found.schedule),
            Some(_) if is_new => Stored::Named(None),
            Some(id) => Stored::Named(found.hours(Some(id))),
        };
        let at = (self.ambient.now(), &self.ambient.zones());
        changes.check_against(&stored, at, violations);
        Ok(())
    }

    /// Deletes a named schedule.
    pub async fn delete(
        &self,
        deadline: Deadline,
        permit: EditSchedule,
        id: String,
        expected: Option<Revision>,
        idempotency_key: IdempotencyKey,
    ) -> Result<(), Fault> {
        let _turn = self.long.turn(deadline, permit.provider).await?;
        let now = self.ambient.now();
        self.store.run(deadline, Delete { permit, id, expected, idempotency_key, now }).await
    }

    /// Takes time off; tells which appointments are in it.
    pub async fn take_time_off(
        &self,
        deadline: Deadline,
        permit: EditSchedule,
        interval: Interval,
        reason: String,
        idempotency_key: IdempotencyKey,
    ) -> Result<(TimeOff, AffectedAppointments), Fault> {
        let _turn = self.long.turn(deadline, permit.provider).await?;
        let now = self.ambient.now();
        let time_off = TimeOff { id: TimeOffId(self.ambient.id(now)), interval, reason };
        self.store.run(deadline, Take { permit, time_off, idempotency_key, now }).await
    }

    /// Gives time off back.
    pub async fn give_time_off(
        &self,
        deadline: Deadline,
        permit: EditSchedule,
        id: TimeOffId,
        idempotency_key: IdempotencyKey,
    ) -> Result<(), Fault> {
        let _turn = self.long.turn(deadline, permit.provider).await?;
        let now = self.ambient.now();
        self.store.run(deadline, Give { permit, id, idempotency_key, now }).await
    }

    /// The time off that has not ended, by start and then by id, after this one.
    pub async fn time_off(
        &self,
        deadline: Deadline,
        permit: SeeTimeOff,
        after: Option<Cursor>,
        limit: usize,
    ) -> Result<Vec<TimeOff>, Fault> {
        let id = permit.provider;
        let _turn = self.long.turn(deadline, id).await?;
        let provider = self.store.read(deadline, Find(id)).await?;
        let provider = provider.ok_or_else(|| Fault::not_found(id.name()))?;
        let now = self.ambient.now();
        let after = after.map(|after| (after.start, TimeOffId(after.id)));
        let all = provider.time_off().iter().filter(|each| each.interval.end() > now);
        let page = all
            .filter(|each| after.is_none_or(|after| (each.interval.start(), each.id) > after))
            .take(limit)
            .cloned();
        Ok(page.collect())
    }

    /// Closes the practice; tells which appointments are in it.
    pub async fn close(
        &self,
        deadline: Deadline,
        permit: ClosePractice,
        interval: Interval,
        reason: String,
        idempotency_key: IdempotencyKey,
    ) -> Result<Closed, Fault> {
        let _change = self.closing.wait(deadline).await?;
        let now = self.ambient.now();
        let closure = Closure { id: ClosureId(self.ambient.id(now)), interval, reason };
        self.store.run(deadline, Close { permit, closure, idempotency_key, now }).await
    }

    /// Opens the practice again.
    pub async fn reopen(
        &self,
        deadline: Deadline,
        permit: ClosePractice,
        id: ClosureId,
        idempotency_key: IdempotencyKey,
    ) -> Result<(), Fault> {
        let _change = self.closing.wait(deadline).await?;
        let now = self.ambient.now();
        self.store.run(deadline, Reopen { permit, id, idempotency_key, now }).await
    }

    /// For logged-in callers: the closures that have not ended, by start and then by id, after this one.
    pub async fn closures(
        &self,
        deadline: Deadline,
        after: Option<Cursor>,
        limit: u64,
    ) -> Result<Vec<Closure>, Fault> {
        let now = self.ambient.now();
        self.store.read(deadline, Closures { now, after, limit }).await
    }
}

struct Closures {
    now: Instant,
    after: Option<Cursor>,
    limit: u64,
}

impl Query for Closures {
    type Output = Vec<Closure>;

    async fn run(&self, at: &Reader) -> Result<Self::Output, Fault> {
        store::closures::list(at, self.now, self.after, self.limit).await
    }
}

struct Find(ProviderId);

impl Query for Find {
    type Output = Option<Provider>;

    async fn run(&self, at: &Reader) -> Result<Self::Output, Fault> {
        store::find(at, self.0).await
    }
}

struct Names(BTreeSet<ProviderId>);

impl Query for Names {
    type Output = BTreeMap<ProviderId, String>;

    async fn run(&self, at: &Reader) -> Result<Self::Output, Fault> {
        store::names(at, &self.0).await
    }
}

struct Knows {
    provider: ProviderId,
    customer: UserId,
}

impl Query for Knows {
    type Output = bool;

    async fn run(&self, at: &Reader) -> Result<Self::Output, Fault> {
        store::is_customer(at, self.provider, self.customer).await
    }
}

struct FindShort(ProviderId);

impl Query for FindShort {
    type Output = Option<Provider>;

    async fn run(&self, at: &Reader) -> Result<Self::Output, Fault> {
        store::find_short(at, self.0).await
    }
}

struct List {
    after: Option<Uuid>,
    limit: u64,
}

impl Query for List {
    type Output = Vec<Provider>;

    async fn run(&self, at: &Reader) -> Result<Self::Output, Fault> {
        store::list(at, self.after, self.limit).await
    }
}
