//! Letting one account go into another one of the same person, with all that was booked with it.
//!
//! The providers with whom the duplicate has something are locked first, in the order of their ids, then both accounts
//! in the order of theirs. A booking for the duplicate at the same moment holds its account: either it was made
//! before, and moves along, or it finds the account closed. Where it was made with a provider that is not locked,
//! the whole is begun anew.

pub mod account;

use std::collections::{BTreeMap, BTreeSet};

use uuid::Uuid;

use self::account::{Blank, close, may_be_merged, take_in};
use crate::{
    accounts::{self, User, audit::AuditContext, store::Account},
    booking::{Appointment, commands::expire_claims_at},
    events::{self, Event, EventData, appointment::CustomerMerge},
    identity::{TokenCutoff, desk_permit::MergeCustomers},
    kernel::{
        fault::{Fault, Reason, Retryable},
        id::ProviderId,
        stamp::Revision,
    },
    personal_data::{erasure::store::appointments, merging::store},
    schedule,
    storage::{Authority, Tx, UnitOfWork, idempotency::IdempotencyKey},
};

/// How many appointments, requests and holds a duplicate has at most.
const MOST: usize = 2_000;

/// Lets an account go into another one.
#[derive(Debug, Clone)]
pub struct Merge {
    /// The right to.
    pub permit: MergeCustomers,
    /// What is left of the duplicate.
    pub blank: Blank,
    /// The state of the account that stays that was seen, if told.
    pub expected: Option<Revision>,
    /// The id of the line in the trail about the duplicate.
    pub also: Uuid,
    /// The request, for retries.
    pub idempotency_key: IdempotencyKey,
    /// Who does it.
    pub audit_context: AuditContext,
}

impl UnitOfWork for Merge {
    /// The account that stays; and which tokens of the other one are still accepted, where this closed it.
    type Output = (User, Option<TokenCutoff>);
    const AUTHORITY: Authority = Authority::Caller;

    async fn run(&self, tx: &Tx) -> Result<Self::Output, Fault> {
        let MergeCustomers { survivor, duplicate, caller } = self.permit;
        let providers = store::providers(tx, duplicate).await?;
        let mut versions = lock(tx, &providers).await?;
        let (kept, gone) = accounts::store::lock_both_to_merge(tx, survivor, duplicate).await?;
        if let Some((earlier, _)) = self.idempotency_key.earlier(tx).await? {
            return Ok((earlier, None));
        }
        let kept = kept.ok_or_else(|| Fault::not_found(survivor.name()))?;
        let Some(gone) = gone else {
            // The same was asked for before.
            if accounts::customers::store::merged_into(tx, duplicate).await? != Some(survivor) {
                return Err(Fault::not_found(duplicate.name()));
            }
            self.idempotency_key
                .keep(tx, survivor.0, kept.user.version, &kept.user, self.audit_context.now)
                .await?;
            return Ok((kept.user, None));
        };
        if self.expected.is_some_and(|seen| seen != kept.user.revision()) {
            return Err(Fault::stale());
        }
        self.check(tx, &kept, &gone).await?;
        if !store::providers(tx, duplicate).await?.is_subset(&providers) {
            let text = "something was booked for a duplicate meanwhile";
            return Err(Fault::internal(text).again(Retryable::Contention));
        }
        self.give_all(tx, &mut versions, &kept.user).await?;
        let ended = close(
            tx,
            &gone,
            (&self.blank, &kept.user),
            (caller.user, self.also),
            &self.audit_context,
        )
        .await?;
        let user = take_in(tx, kept, &gone, &self.idempotency_key, &self.audit_context).await?;
        Ok((user, Some(ended)))
    }
}

/// Locks providers in the order of their ids; their versions.
async fn lock(
    tx: &Tx,
    providers: &BTreeSet<ProviderId>,
) -> Result<BTreeMap<ProviderId, i64>, Fault> {
    let mut versions = BTreeMap::new();
    for provider in providers {
        if let Some(version) = schedule::store::lock_version(tx, *provider).await? {
            versions.insert(*provider, version);
        }
    }
    Ok(versions)
}

impl Merge {
    /// Refuses what is no duplicate of a customer.
    async fn check(&self, tx: &Tx, kept: &Account, gone: &Account) -> Result<(), Fault> {
        for account in [kept, gone] {
            let user = &account.user;
            let was_provider = schedule::store::exists(tx, user.id.as_provider()).await?;
            may_be_merged(user, was_provider)?;
        }
        let factor = accounts::second_factor::store::seen(tx, gone.user.id, self.audit_context.now);
        if factor.await?.since.is_some() {
            let text =
                "the duplicate has a second factor: its owner takes it off first, or an admin does";
            return Err(Fault::new(Reason::WrongState, text));
        }
        Ok(())
    }

    /// Gives everything of the duplicate to the account that stays, each with a version of its provider.
    async fn give_all(
        &self,
        tx: &Tx,
        versions: &mut BTreeMap<ProviderId, i64>,
        to: &User,
    ) -> Result<(), Fault> {
        let (from, now) = (self.permit.duplicate, self.audit_context.now);
        let mut left = MOST;
        for (provider, version) in versions {
            // What has expired is in nobody's way.
            expire_claims_at(tx, *provider, version, now).await?;
            let most = u64::try_from(left).unwrap_or(u64::MAX).saturating_add(1);
            let rows = store::rows(tx, *provider, from, most).await?;
            left = left.checked_sub(rows.len()).ok_or_else(too_many)?;
            for row in &rows {
                if !row.is_further {
                    *version += 1;
                }
                let whose = (to.id, &*to.display_name);
                let given = store::give(tx, *provider, *row, whose, (*version, now)).await?;
                if given.is_some() {
                    return Err(busy());
                }
                if !row.is_further {
                    self.record(tx, *provider, *version, row).await?;
                }
            }
            schedule::store::set_version(tx, *provider, *version).await?;
            store::give_history(tx, *provider, &rows, (from, to.id)).await?;
            // Who asks for an answer once more gets it of the account that stays, and so does its erasure.
            let given = |a: Appointment| Appointment { customer: to.id, ..a };
            appointments::anonymise_answers(tx, *provider, from, given).await?;
        }
        Ok(())
    }

    async fn record(
        &self,
        tx: &Tx,
        provider: ProviderId,
        version: i64,
        row: &store::Row,
    ) -> Result<(), Fault> {
        let MergeCustomers { survivor, duplicate, caller } = self.permit;
        let merge = CustomerMerge { customer: survivor, duplicate: Some(duplicate) };
        let data = if row.is_held {
            EventData::HoldCustomerMerged(merge)
        } else {
            EventData::AppointmentCustomerMerged(merge)
        };
        let event = Event {
            provider,
            version,
            appointment: Some(row.id),
            actor: Some(caller.user),
            via: caller.service,
            at: self.audit_context.now,
            data,
        };
        events::store::insert(tx, event).await
    }
}

fn too_many() -> Fault {
    let text =
        format!("the duplicate has more than {MOST} appointments and holds: keep that account");
    Fault::new(Reason::TooMany, text)
}

fn busy() -> Fault {
    Fault::new(
        Reason::CustomerBusy,
        "the two have appointments at the same time, and a person is in one place; cancel one of them first",
    )
}
