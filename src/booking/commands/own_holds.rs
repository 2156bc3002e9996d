//! A customer's own holds, which are not in the customer's way.

use super::{
    book::{Book, BookingTarget, Made},
    customer_as_provider::CustomerAsProvider,
    hold::{HoldAction, UseHold},
    offered,
};
use crate::{
    availability::SlotRules,
    booking::{Appointment, store},
    claims::{self, overlap::overlaps},
    events::{self, Event, EventData, appointment::HoldRelease},
    identity::Caller,
    kernel::{
        fault::{Fault, Reason},
        id::{AppointmentId, HoldId, ProviderId, TypeId, UserId},
        time::{Instant, Interval},
    },
    schedule::{self, provider::Provider},
    storage::Tx,
};

/// Holds of one customer with one provider that a claim of the same customer would take the place of.
#[derive(Debug, Default)]
pub(super) struct OwnHolds(Vec<Appointment>);

impl OwnHolds {
    /// Those that overlap a claim, of a provider who was locked before.
    pub(super) async fn overlapping(
        tx: &Tx,
        whose: (ProviderId, UserId),
        claim: (Instant, Instant),
        now: Instant,
    ) -> Result<Self, Fault> {
        Self::for_move(tx, whose, claim, None, now).await
    }

    /// The same, and what is held beside an appointment that is moved: where that is elsewhere, it would be a part alone.
    pub(super) async fn for_move(
        tx: &Tx,
        (provider, customer): (ProviderId, UserId),
        claim: (Instant, Instant),
        moving: Option<AppointmentId>,
        now: Instant,
    ) -> Result<Self, Fault> {
        let mut all = store::holds::with(tx, provider, customer, now).await?;
        all.retain(|held| {
            let is_beside = held.terms.beyond.is_some_and(|beyond| Some(beyond.of) == moving);
            is_beside || overlaps(held.claim(), claim)
        });
        Ok(Self(all))
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Ids of these holds.
    pub(super) fn ids(&self) -> impl Iterator<Item = AppointmentId> {
        self.0.iter().map(|held| held.id)
    }

    /// The one that holds exactly this, be it for the move of an appointment.
    pub(super) fn exactly(
        &self,
        type_id: Option<TypeId>,
        interval: Interval,
        moving: Option<AppointmentId>,
    ) -> Option<&Appointment> {
        let is_same = |held: &&Appointment| {
            held.type_id == type_id
                && (held.start, held.end) == (interval.start(), interval.end())
                && held.terms.beyond.is_none_or(|beyond| Some(beyond.of) == moving)
        };
        self.0.iter().find(is_same)
    }

    /// Gives them up for what takes their place, each with a version of the provider.
    pub(super) async fn give_up(
        &self,
        tx: &Tx,
        provider: &mut Provider,
        (caller, successor): (Caller, AppointmentId),
        now: Instant,
    ) -> Result<(), Fault> {
        for held in &self.0 {
            claims::store::remove_hold(tx, provider.id, held.id).await?;
            provider.version += 1;
            schedule::store::set_version(tx, provider.id, provider.version).await?;
            let event = Event {
                provider: provider.id,
                version: provider.version,
                appointment: Some(held.id),
                actor: Some(caller.user),
                via: caller.service,
                at: now,
                data: EventData::HoldReleased(HoldRelease { successor: Some(successor) }),
            };
            events::store::insert(tx, event).await?;
        }
        Ok(())
    }
}

impl Book {
    /// Retries a refused booking after the customer's own overlapping holds were given up. A hold of
    /// exactly this time becomes the appointment; where a hold is asked for, it stays as it is.
    pub(super) async fn make_of_own_holds(
        &self,
        tx: &Tx,
        provider: &mut Provider,
        refused: Fault,
        elsewhere: &mut Option<CustomerAsProvider>,
    ) -> Result<Made, Fault> {
        let (type_id, interval, claim) = match &self.target {
            BookingTarget::Interval(interval) => (None, *interval, *interval),
            BookingTarget::Type(target) => {
                let kind = offered(tx, provider, target.id).await?.kind;
                let interval = Self::interval(target, &kind.terms)?;
                let asked = SlotRules::of(&kind.terms, interval.duration());
                (Some(target.id), interval, asked.claim(interval))
            }
        };
        let whose = (provider.id, self.permit.customer);
        let own = OwnHolds::overlapping(tx, whose, (claim.start(), claim.end()), self.now).await?;
        if own.is_empty() {
            return Err(refused);
        }
        let Some(held) = own.exactly(type_id, interval, None) else {
            return self.make(tx, provider, &own, elsewhere).await;
        };
        if self.hold.is_some() {
            return Ok(Made::Booked(Box::new(held.clone())));
        }
        let unit = UseHold {
            caller: self.permit.caller,
            provider: provider.id,
            id: HoldId(held.id.0),
            what: HoldAction::Book {
                type_id,
                note: self.note.clone(),
                replies: self.replies.clone(),
                override_reason: self.override_reason.clone(),
            },
            idempotency_key: self.idempotency_key.clone(),
            now: self.now,
            zones: self.zones.clone(),
            practice: self.practice,
        };
        let booked = unit.book(tx, provider, held.clone(), elsewhere).await?;
        if self.assigned.is_some() {
            schedule::store::set_assigned(tx, provider.id, self.now).await?;
        }
        (provider.version, provider.stamp) = (booked.version, booked.stamp);
        Ok(Made::Booked(Box::new(booked)))
    }
}

/// Whether the fault may be caused by one of the customer's own holds: overlap, a limit, or an expiry
/// that was just written.
pub(super) fn may_be_for_own_hold(fault: &Fault) -> bool {
    matches!(
        fault.reason(),
        Reason::SlotTaken
            | Reason::DayLimit
            | Reason::WeekLimit
            | Reason::NoticeTooShort
            | Reason::BeyondHorizon
            | Reason::OffGrid
            | Reason::OutsideHours
            | Reason::TooShort
            | Reason::TooLong
            | Reason::TooManyHolds
    )
}
