//! Customers who are providers too: what they attend claims their own time, so that nobody is in two places.
//!
//! Their provider's row is locked together with that of the appointment, in the order of the ids, whoever books
//! whom: two colleagues who book each other at the same moment wait for one another, and not in a circle.

use std::collections::{BTreeMap, BTreeSet};

use super::expire_claims_at;
use crate::{
    accounts::{self, User},
    booking::{Appointment, attendance},
    claims::{Subject, store::extra},
    events::{self, Event, EventData, schedule::Attendance},
    identity::Role,
    kernel::{
        fault::{Fault, Retryable},
        id::{AppointmentId, ProviderId, UserId},
        time::Instant,
    },
    schedule,
    storage::Tx,
};

/// A customer's own time, locked, where they are or were a provider.
#[derive(Debug)]
pub(crate) struct CustomerAsProvider {
    provider: ProviderId,
    version: i64,
}

impl CustomerAsProvider {
    /// Locks the provider and, with it, that of the customer who is to come.
    pub(super) async fn of_customer(
        tx: &Tx,
        provider: ProviderId,
        customer: UserId,
    ) -> Result<Option<Self>, Fault> {
        let own = customer.as_provider();
        let is_one = own != provider && schedule::store::exists(tx, own).await?;
        Self::lock(tx, &[provider], is_one.then_some(own)).await
    }

    /// The same for the customer of an appointment that is there, and for more than one provider.
    pub(super) async fn of_appointment(
        tx: &Tx,
        providers: &[ProviderId],
        (provider, id): (ProviderId, AppointmentId),
    ) -> Result<Option<Self>, Fault> {
        let own = extra::attends(tx, provider, id).await?;
        Self::lock(tx, providers, own.filter(|own| !providers.contains(own))).await
    }

    /// The same for several customers of a provider, who is locked with them.
    pub(crate) async fn all(
        tx: &Tx,
        provider: ProviderId,
        mut own: BTreeSet<ProviderId>,
    ) -> Result<BTreeMap<ProviderId, Self>, Fault> {
        if own.is_empty() {
            return Ok(BTreeMap::new());
        }
        own.insert(provider);
        let mut locked = BTreeMap::new();
        for each in own {
            let version = schedule::store::lock_version(tx, each).await?;
            if let Some(version) = version.filter(|_| each != provider) {
                locked.insert(each, Self { provider: each, version });
            }
        }
        Ok(locked)
    }

    /// Locks all of them in the order of their ids. Where there is no customer's, and one provider, the caller
    /// locks that one anyway.
    async fn lock(
        tx: &Tx,
        providers: &[ProviderId],
        own: Option<ProviderId>,
    ) -> Result<Option<Self>, Fault> {
        if own.is_none() && providers.len() < 2 {
            return Ok(None);
        }
        let mut all: Vec<_> = providers.iter().copied().chain(own).collect();
        all.sort_unstable();
        let mut locked = None;
        for each in all {
            let version = schedule::store::lock_version(tx, each).await?;
            if Some(each) == own {
                locked = version.map(|version| Self { provider: each, version });
            }
        }
        Ok(locked)
    }

    /// Makes this customer's own time agree with an appointment of theirs. Whether it is free.
    pub(crate) async fn follow(
        &mut self,
        tx: &Tx,
        a: &Appointment,
        now: Instant,
    ) -> Result<bool, Fault> {
        let own = Subject::Customer(UserId(self.provider.0));
        let wanted = attendance::attended(a);
        if extra::is(tx, own, a.id, &wanted).await? {
            return Ok(true);
        }
        // What has expired there is in nobody's way.
        expire_claims_at(tx, self.provider, &mut self.version, now).await?;
        extra::release(tx, own, a.id).await?;
        self.version += 1;
        for further in &wanted {
            if extra::claim(tx, further, &attendance::owner(a, self.version)).await?.is_some() {
                return Ok(false);
            }
        }
        schedule::store::set_version(tx, self.provider, self.version).await?;
        let event = Event {
            provider: self.provider,
            version: self.version,
            appointment: None,
            actor: None,
            via: None,
            at: now,
            data: EventData::AttendanceChanged(Attendance::default()),
        };
        events::store::insert(tx, event).await?;
        Ok(true)
    }
}

/// Puts the changes of one customer's claims into one order: by the lock of their provider, where they are one,
/// and else of their account. Who became a provider since that was looked at is looked at again.
pub(super) async fn lock_customer(
    tx: &Tx,
    customer: UserId,
    elsewhere: Option<&CustomerAsProvider>,
) -> Result<(), Fault> {
    if elsewhere.is_some() {
        return Ok(());
    }
    match accounts::store::lock(tx, customer).await? {
        Some(account) => not_since(tx, &account.user).await,
        None => Ok(()),
    }
}

/// Runs the unit again where a customer became a provider since it began.
pub(super) async fn not_since(tx: &Tx, customer: &User) -> Result<(), Fault> {
    let is_one = customer.role == Role::Provider
        && schedule::store::exists(tx, customer.id.as_provider()).await?;
    if !is_one {
        return Ok(());
    }
    let text = "the customer became a provider meanwhile";
    Err(Fault::internal(text).again(Retryable::Contention))
}
