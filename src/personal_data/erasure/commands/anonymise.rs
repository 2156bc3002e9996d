//! What an erasure does to appointments: those to come are cancelled, and all of them say no more who came
//! and what was written. In batches, one provider at a time, each under the provider's lock.

use std::collections::BTreeSet;

use crate::{
    booking::{
        Appointment, State,
        actors::{EndedBy, Party},
        commands::{
            EventDraft, customer_as_provider::CustomerAsProvider, expire_claims_at, record,
        },
        policy, store,
    },
    claims::{self, Subject},
    events::{
        EventData,
        appointment::{Decision, HoldRelease},
    },
    kernel::{
        fault::Fault,
        id::{ProviderId, UserId},
        time::Instant,
    },
    personal_data::erasure::{Erasure, store::appointments},
    schedule,
    storage::{Authority, Tx, UnitOfWork},
};

/// How many appointments a batch has: few enough for a transaction of well under a second.
pub const BATCH: u64 = 50;
/// What a cancelled appointment of an erased customer says as its reason.
pub const CUSTOMER_ERASED: &str = "the customer's account was deleted";
/// The same of an erased provider.
pub const PROVIDER_ERASED: &str = "the provider's account was deleted";

/// Looks after one batch of an erased person's appointments with one provider, who may be that person.
#[derive(Debug, Clone, Copy)]
pub struct Anonymise {
    /// Who was erased, and by whom.
    pub erasure: Erasure,
    /// At which provider.
    pub provider: ProviderId,
    /// Current time.
    pub now: Instant,
}

/// An appointment that says no more who came and what was written: by the customer, and about them. That
/// there was one stays, with its time, its type, its place, its price and its state.
#[must_use]
pub fn anonymous(a: Appointment) -> Appointment {
    let mut terms = a.terms;
    terms.answers = Vec::new();
    terms.override_reason = String::new();
    terms.customer_message = String::new();
    terms.private_note = String::new();
    let reasons = [CUSTOMER_ERASED, PROVIDER_ERASED, crate::booking::EXPIRED];
    let cancel_reason =
        if reasons.contains(&&*a.cancel_reason) { a.cancel_reason } else { String::new() };
    Appointment {
        customer_display_name: String::new(),
        note: String::new(),
        cancel_reason,
        terms,
        ..a
    }
}

impl UnitOfWork for Anonymise {
    /// How many it looked after.
    type Output = usize;
    const AUTHORITY: Authority = Authority::Nobody;

    async fn run(&self, tx: &Tx) -> Result<usize, Fault> {
        let Erasure { user, actor, .. } = self.erasure;
        let attending = appointments::attending(tx, self.provider, user, self.now).await?;
        let mut attending = CustomerAsProvider::all(tx, self.provider, attending).await?;
        // Of a provider whose schedule cannot be read, too.
        let Some(mut version) = schedule::store::lock_version(tx, self.provider).await? else {
            return Ok(0);
        };
        expire_claims_at(tx, self.provider, &mut version, self.now).await?;
        let found = appointments::at_provider(tx, self.provider, user, self.now, BATCH).await?;
        let customers: BTreeSet<UserId> = found.iter().map(|a| a.customer).collect();
        appointments::lock_customers(tx, customers).await?;
        let (theirs, _): (Vec<_>, Vec<_>) = found.iter().cloned().partition(|a| a.customer == user);
        appointments::forget_words(tx, &theirs).await?;
        let many = found.len();
        for a in found {
            version += 1;
            let own = attending.get_mut(&a.customer.as_provider());
            self.look_after(tx, a, (version, actor), own).await?;
        }
        appointments::anonymise_answers(tx, self.provider, user, anonymous).await?;
        Ok(many)
    }
}

impl Anonymise {
    async fn look_after(
        &self,
        tx: &Tx,
        a: Appointment,
        (version, actor): (i64, UserId),
        own: Option<&mut CustomerAsProvider>,
    ) -> Result<(), Fault> {
        let (user, now) = (self.erasure.user, self.now);
        if a.state == State::Held {
            let released = Appointment { version, ..a };
            claims::store::remove_hold(tx, released.provider, released.id).await?;
            let data = EventData::HoldReleased(HoldRelease::default());
            let act = EventDraft { data, actor, via: None };
            return record(tx, &released, act, now).await;
        }
        let is_customer = a.customer == user;
        let cancelled = a.state == State::Pending || (a.state == State::Booked && a.start > now);
        let mut changed = if is_customer { anonymous(a) } else { a };
        changed.version = version;
        changed.updated_at = now;
        let mut data = EventData::AppointmentUpdated;
        if cancelled {
            let reason = if is_customer { CUSTOMER_ERASED } else { PROVIDER_ERASED };
            // What is called off this way is no way around the cut-off.
            let late = changed.terms.moved_late || policy::is_late(&changed, now);
            changed.terms.late_cancellation |= is_customer && late;
            changed.state = State::Cancelled;
            let by = Party::of(actor, changed.provider, changed.customer);
            changed.terms.ended = Some(EndedBy { by, at: now });
            reason.clone_into(&mut changed.cancel_reason);
            changed.expires_at = None;
            changed.terms.asked_move = None;
            claims::store::extra::release(tx, Subject::Provider(changed.provider), changed.id)
                .await?;
            let reason = Some(reason.to_owned());
            data = EventData::AppointmentCancelled(Decision { reason, ..Decision::default() });
        }
        // What ends a claim or keeps it is never in the way of anything.
        if let Some(overlap) = store::update(tx, &changed).await? {
            return Err(Fault::internal(format!("{overlap:?} overlap of what was claimed before")));
        }
        if let Some(own) = own {
            own.follow(tx, &changed, now).await?;
        }
        record(tx, &changed, EventDraft { data, actor, via: None }, now).await
    }
}
