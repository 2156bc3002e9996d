//! What becomes of a hold.

use chrono::TimeDelta;

use super::{
    EventDraft, Offered, RuleContext,
    book::{self, Asker},
    bookable,
    customer_as_provider::{CustomerAsProvider, lock_customer},
    expire_claims, finish, intervals_not_accepted, not_offered, offered, refused, time, write_live,
};
use crate::{
    availability::practice::Practice,
    booking::{Appointment, State, policy, store},
    catalogue::{self, questions::Reply},
    claims,
    events::{
        self, EventData,
        appointment::{Claimed, HoldExtension, HoldRelease},
    },
    identity::{Caller, permit},
    kernel::{
        fault::{Fault, Reason, Violations},
        id::{HoldId, ProviderId, TypeId, UserId},
        time::{Instant, Interval, ceil_to_second},
        zone::ZoneData,
    },
    schedule::{self, provider::Provider},
    storage::{Authority, Tx, UnitOfWork, idempotency::IdempotencyKey},
};

/// What to do with a hold.
#[derive(Debug, Clone)]
pub enum HoldAction {
    /// Turns the hold into an appointment.
    Book {
        /// Of which type it is, if told.
        type_id: Option<TypeId>,
        /// What the customer wrote.
        note: String,
        /// What the customer answered.
        replies: Vec<Reply>,
        /// Why staff book against the rules, if they do.
        override_reason: String,
    },
    /// Let it end so long from now, if that is later.
    Extend(TimeDelta),
    /// Give it up.
    Release,
}

/// Books, extends or gives up the caller's own hold, or one that the provider's side placed for a customer.
#[derive(Debug, Clone)]
pub struct UseHold {
    /// The authenticated caller.
    pub caller: Caller,
    /// Whose time it is.
    pub provider: ProviderId,
    /// Id of the hold.
    pub id: HoldId,
    /// What to do.
    pub what: HoldAction,
    /// The request, for retries.
    pub idempotency_key: IdempotencyKey,
    /// The time of the change.
    pub now: Instant,
    /// The zone data of that time.
    pub zones: ZoneData,
    /// The settings of the practice.
    pub practice: Practice,
}

impl UnitOfWork for UseHold {
    type Output = Appointment;
    const AUTHORITY: Authority = Authority::Caller;

    async fn run(&self, tx: &Tx) -> Result<Appointment, Fault> {
        let absent = || Fault::not_found(self.id.name(self.provider));
        let id = self.id.as_appointment();
        let mut elsewhere = match &self.what {
            HoldAction::Book { .. } => {
                let customer = self.customer(tx).await?;
                CustomerAsProvider::of_customer(tx, self.provider, customer).await?
            }
            HoldAction::Extend(_) | HoldAction::Release => None,
        };
        let mut provider = schedule::store::lock(tx, self.provider).await?.ok_or_else(absent)?;
        if let Some((earlier, _)) = self.idempotency_key.earlier(tx).await? {
            return Ok(earlier);
        }
        let found = match store::find(tx, self.provider, id).await? {
            Some(found) if self.may_use(tx, &found).await? => Some(found),
            _ => None,
        };
        let Some(found) = found else {
            // Whoever had it is told that it has ended; to others it was never there.
            return match events::store::first_actor(tx, self.provider, id).await? {
                Some(holder) if holder == self.caller.user => Err(ended()),
                _ => Err(absent()),
            };
        };
        if found.state != State::Held || found.expires_at.is_none_or(|at| at <= self.now) {
            return Err(ended());
        }
        if let HoldAction::Book { override_reason, .. } = &self.what {
            permit::override_rules(self.caller, self.provider, override_reason)?;
        }
        expire_claims(tx, &mut provider, self.now).await?;
        match &self.what {
            HoldAction::Book { type_id, .. } => {
                if type_id.is_some_and(|told| Some(told) != found.type_id) {
                    let mut violations = Violations::new();
                    violations.add("appointment_type", "must be the hold's, or absent");
                    return Err(violations.into_fault());
                }
                self.book(tx, &provider, found, &mut elsewhere).await
            }
            HoldAction::Extend(length) => self.extend(tx, &provider, found, *length).await,
            HoldAction::Release => {
                let released = Appointment { version: provider.version + 1, ..found };
                claims::store::remove_hold(tx, self.provider, released.id).await?;
                let act = self.act(EventData::HoldReleased(HoldRelease::default()));
                finish(tx, &released, act, &self.idempotency_key, self.now).await?;
                Ok(released)
            }
        }
    }
}

impl UseHold {
    /// For whom the hold is: read without a lock, to know whom to lock. Only for the provider's side is it
    /// somebody else's.
    async fn customer(&self, tx: &Tx) -> Result<UserId, Fault> {
        if !permit::is_staff(self.caller, self.provider) {
            return Ok(self.caller.user);
        }
        let held = store::find(tx, self.provider, self.id.as_appointment()).await?;
        Ok(held.map_or(self.caller.user, |held| held.customer))
    }

    /// Whether the caller may do something with a hold: it is theirs, or the provider's side placed it for its
    /// customer. What a customer holds is nobody else's to use.
    async fn may_use(&self, tx: &Tx, held: &Appointment) -> Result<bool, Fault> {
        if held.customer == self.caller.user {
            return Ok(true);
        }
        if held.state != State::Held || !permit::is_staff(self.caller, self.provider) {
            return Ok(false);
        }
        let placed_by = events::store::first_actor(tx, self.provider, held.id).await?;
        Ok(placed_by.is_some_and(|actor| actor != held.customer))
    }

    /// The slot was checked when it was held, and is kept since. What is new is asked now, and what may
    /// have come since: an archived type, an offering withdrawn, time off, a closure.
    pub(super) async fn book(
        &self,
        tx: &Tx,
        provider: &Provider,
        held: Appointment,
        elsewhere: &mut Option<CustomerAsProvider>,
    ) -> Result<Appointment, Fault> {
        let HoldAction::Book { note, replies, override_reason, .. } = &self.what else {
            return Err(Fault::unchecked());
        };
        bookable(provider)?;
        if held.start <= self.now {
            return Err(Fault::new(Reason::InThePast, "the held interval has begun"));
        }
        let mut booked = Appointment {
            state: State::Booked,
            note: note.clone(),
            version: provider.version + 1,
            stamp: tx.stamp(),
            created_at: self.now,
            updated_at: self.now,
            expires_at: None,
            ..held
        };
        booked.terms.beyond = None;
        booked.terms.override_reason.clone_from(override_reason);
        let overriding = !override_reason.is_empty();
        let mut violations = Violations::new();
        let of_type = match booked.type_id {
            None => {
                catalogue::questions::answers(&[], replies, &mut violations);
                violations.finish()?;
                if !provider.accepts_intervals() && !overriding {
                    return Err(intervals_not_accepted());
                }
                None
            }
            Some(id) => {
                let Offered { kind, hours } = offered(tx, provider, id).await?;
                let asker = Asker::of(permit::is_staff(self.caller, self.provider));
                let replies = (Some(&replies[..]), asker);
                booked.terms.answers =
                    book::told_by_type(&kind.terms, None, replies, &mut violations);
                violations.finish()?;
                if kind.archived && !overriding {
                    return Err(book::archived());
                }
                if hours.is_none() && !overriding {
                    return Err(not_offered());
                }
                Some(kind)
            }
        };
        if !overriding {
            let interval = Interval::new(booked.start, booked.end).ok_or_else(Fault::unchecked)?;
            let hours = provider.schedule.hours();
            let (zones, practice) = (&self.zones, &self.practice);
            let moment = RuleContext { now: self.now, zones, practice };
            let time = time(tx, moment, provider, hours, interval, None, &[]).await?;
            policy::may_book_held(&time, interval)?;
        }
        if let Some(kind) = of_type {
            let most = kind.terms.limits.open_per_customer.filter(|_| !overriding);
            if let Some(most) = most {
                let (customer, bounds) = (booked.customer, (kind.id, most));
                lock_customer(tx, customer, elsewhere.as_ref()).await?;
                book::check_customer_limit(tx, customer, bounds, self.now).await?;
            }
            if kind.terms.requires_approval && !permit::is_staff(self.caller, self.provider) {
                let expiry = catalogue::minutes(kind.terms.request_expiry);
                booked.state = State::Pending;
                booked.terms.answer_by = Some(ceil_to_second(self.now + expiry));
                booked.expires_at = booked.terms.answer_by.min(Some(booked.start));
            }
        }
        if let Some(overlap) = write_live(tx, &booked, elsewhere, self.now).await? {
            return Err(refused(overlap));
        }
        let claimed = Claimed {
            hold: Some(self.id),
            override_reason: Some(override_reason.clone()),
            ..Claimed::new(booked.start, booked.end, booked.customer)
        };
        let data = match booked.state {
            State::Pending => EventData::AppointmentRequested(claimed),
            _ => EventData::AppointmentBooked(claimed),
        };
        finish(tx, &booked, self.act(data), &self.idempotency_key, self.now).await?;
        Ok(booked)
    }

    async fn extend(
        &self,
        tx: &Tx,
        provider: &Provider,
        mut held: Appointment,
        length: TimeDelta,
    ) -> Result<Appointment, Fault> {
        if held.terms.extended {
            return Err(Fault::new(Reason::HoldExtended, "a hold can be extended once"));
        }
        held.terms.extended = true;
        held.expires_at = held.expires_at.max(Some(ceil_to_second(self.now + length)));
        held.version = provider.version + 1;
        held.stamp = tx.stamp();
        held.updated_at = self.now;
        store::update(tx, &held).await?;
        let extension = HoldExtension { expires: held.expires_at };
        let act = self.act(EventData::HoldExtended(extension));
        finish(tx, &held, act, &self.idempotency_key, self.now).await?;
        Ok(held)
    }

    fn act(&self, data: EventData) -> EventDraft {
        EventDraft { data, actor: self.caller.user, via: self.caller.service }
    }
}

fn ended() -> Fault {
    Fault::new(Reason::HoldEnded, "the hold has ended; ask for slots again")
}
