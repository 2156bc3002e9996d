//! What becomes of a hold.

use chrono::TimeDelta;
use serde_json::json;

use super::{Act, book, finish, record, refused, settle, write_live};
use crate::{
    booking::{Appointment, State, store},
    catalogue::{self, questions::Reply},
    events::{self, Kind},
    identity::{Caller, permit},
    kernel::{
        fault::{Fault, Reason, Violations},
        id::{HoldId, ProviderId, TypeId},
        time::{Instant, ceil_to_second},
    },
    schedule::{self, provider::Provider},
    storage::{Tx, UnitOfWork, request::Once},
};

/// What to do with a hold.
#[derive(Debug, Clone)]
pub enum What {
    /// Book it.
    Book {
        /// Of which type it is, if told.
        type_id: Option<TypeId>,
        /// What the customer wrote.
        note: String,
        /// What the customer answered.
        replies: Vec<Reply>,
    },
    /// Let it end so long from now, if that is later.
    Extend(TimeDelta),
    /// Give it up.
    Release,
}

/// Books, extends or gives up the caller's own hold.
#[derive(Debug, Clone)]
pub struct Use {
    /// Who asks.
    pub caller: Caller,
    /// Whose time it is.
    pub provider: ProviderId,
    /// Which hold.
    pub id: HoldId,
    /// What to do.
    pub what: What,
    /// The request, for retries.
    pub once: Once,
    /// The time of the change.
    pub now: Instant,
}

impl UnitOfWork for Use {
    type Output = Appointment;

    async fn run(&self, tx: &Tx) -> Result<Appointment, Fault> {
        let absent = || Fault::not_found(self.id.name(self.provider));
        let id = self.id.as_appointment();
        let mut provider = schedule::store::lock(tx, self.provider).await?.ok_or_else(absent)?;
        if let Some((earlier, _)) = self.once.earlier(tx).await? {
            return Ok(earlier);
        }
        let found = store::find(tx, self.provider, id).await?;
        let found = found.filter(|found| found.customer == self.caller.user);
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
        settle(tx, &mut provider, self.now).await?;
        match &self.what {
            What::Book { type_id, note, replies } => {
                if type_id.is_some_and(|told| Some(told) != found.type_id) {
                    let mut violations = Violations::new();
                    violations.add("appointment_type", "must be the hold's, or absent");
                    return Err(violations.into_fault());
                }
                self.book(tx, &provider, found, note, replies).await
            }
            What::Extend(length) => self.extend(tx, &provider, found, *length).await,
            What::Release => {
                let released = Appointment { version: provider.version + 1, ..found };
                store::remove_hold(tx, &released).await?;
                let act = self.act(Kind::HoldReleased, json!({}));
                finish(tx, &released, act, &self.once, self.now).await?;
                Ok(released)
            }
        }
    }
}

impl Use {
    /// The slot was checked when it was held, and is kept since; what is new is asked now.
    async fn book(
        &self,
        tx: &Tx,
        provider: &Provider,
        held: Appointment,
        note: &str,
        replies: &[Reply],
    ) -> Result<Appointment, Fault> {
        if !provider.enabled {
            return Err(Fault::not_found(provider.id.name()));
        }
        if held.start <= self.now {
            return Err(Fault::new(Reason::InThePast, "the held interval has begun"));
        }
        let mut booked = Appointment {
            state: State::Booked,
            note: note.to_owned(),
            version: provider.version + 1,
            created_at: self.now,
            updated_at: self.now,
            expires_at: None,
            ..held
        };
        match booked.type_id {
            None if replies.is_empty() => {}
            None => {
                catalogue::questions::answers(&[], replies)?;
            }
            Some(id) => {
                let kind = catalogue::store::find(tx, id).await?;
                let kind = kind.ok_or_else(|| Fault::internal("a held type is not there"))?;
                if kind.archived {
                    return Err(book::archived());
                }
                booked.terms.answers = book::answers(&kind.terms, replies)?;
                let most = kind.terms.limits.open_per_customer;
                book::check_customer_limit(tx, self.caller.user, id, most, self.now).await?;
                if kind.terms.requires_approval && !permit::is_staff(self.caller, self.provider) {
                    let expiry = catalogue::minutes(kind.terms.request_expiry);
                    let expires_at = ceil_to_second(self.now + expiry).min(booked.start);
                    booked.state = State::Pending;
                    booked.expires_at = Some(expires_at);
                }
            }
        }
        if let Some(overlap) = write_live(tx, &booked).await? {
            return Err(refused(overlap));
        }
        let kind = match booked.state {
            State::Pending => Kind::AppointmentRequested,
            _ => Kind::AppointmentBooked,
        };
        let detail = json!({
            "start": booked.start, "end": booked.end, "customer": booked.customer, "hold": self.id,
        });
        finish(tx, &booked, self.act(kind, detail), &self.once, self.now).await?;
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
        held.updated_at = self.now;
        store::update(tx, &held).await?;
        let act = self.act(Kind::HoldExtended, json!({ "expires": held.expires_at }));
        record(tx, &held, act, self.now).await?;
        self.once.keep(tx, held.provider.0, held.version, &held, self.now).await?;
        Ok(held)
    }

    fn act(&self, kind: Kind, detail: serde_json::Value) -> Act {
        Act { kind, actor: self.caller.user, detail }
    }
}

fn ended() -> Fault {
    Fault::new(Reason::HoldEnded, "the hold has ended; ask for slots again")
}
