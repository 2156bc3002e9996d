//! Holding a slot to which an appointment shall be moved.

use chrono::TimeDelta;

use super::{
    EventDraft, RuleContext,
    book::{MOST_HOLDS, too_many_holds},
    bookable,
    decide::{after_expiry, find_locked},
    finish,
    own_holds::OwnHolds,
    refused,
    relocate::{Reschedule, Way},
};
use crate::{
    accounts,
    booking::{
        AgreedTerms, Appointment, State,
        attendance::beyond_own,
        policy::{self, RuleSet},
        promised, store,
    },
    claims::{self, Overlap, store::busy::is_busy},
    events::{
        EventData,
        appointment::{HeldToMove, HoldPlaced},
    },
    identity::permit,
    kernel::{
        fault::{Fault, Violations},
        id::{AppointmentId, TypeId},
        time::ceil_to_second,
    },
    storage::{Authority, Tx, UnitOfWork},
};

/// Holds a slot for an appointment that shall be moved to it: by the rules of the move, as if the appointment were
/// absent. Its own time is claimed until it is moved, so that of a slot that overlaps it only what lies beyond is.
#[derive(Debug, Clone)]
pub struct HoldToMove {
    /// The move that the slot is held for.
    pub to: Reschedule,
    /// The id of the new hold.
    pub hold: AppointmentId,
    /// Of which type the appointment is, if told.
    pub type_id: Option<TypeId>,
    /// For how long.
    pub length: TimeDelta,
}

impl UnitOfWork for HoldToMove {
    type Output = Appointment;
    const AUTHORITY: Authority = Authority::Caller;

    async fn run(&self, tx: &Tx) -> Result<Appointment, Fault> {
        let Reschedule { caller, provider, id, now, .. } = self.to;
        let (mut provider, found, _) = find_locked(tx, provider, id).await?;
        permit::cancel_appointment(caller, provider.id, id, found.customer)?;
        if let Some((earlier, _)) = self.to.idempotency_key.earlier(tx).await? {
            return Ok(earlier);
        }
        let found = after_expiry(tx, &mut provider, found, now).await?;
        if self.type_id.is_some() && self.type_id != found.type_id {
            let mut violations = Violations::new();
            violations.add("appointment_type", "must be the appointment's, or absent");
            return Err(violations.into_fault());
        }
        policy::may_move(&found)?;
        bookable(&provider)?;
        if !permit::is_staff(caller, provider.id) {
            policy::in_time(&found, found.terms.reschedule_cutoff, now)?;
        }
        let interval = self.to.interval(&found)?;
        let way = Way::of(tx, &provider, &found).await?;
        let wanted = Appointment { start: interval.start(), end: interval.end(), ..found.clone() };
        let whose = (provider.id, found.customer);
        let own = OwnHolds::overlapping(tx, whose, wanted.claim(), now).await?;
        if let Some(held) = own.exactly(found.type_id, interval, Some(id)) {
            return Ok(held.clone());
        }
        let moment = RuleContext { now, zones: &self.to.zones, practice: &self.to.practice };
        way.check(tx, &provider, &found, interval, (moment, &own, RuleSet::Whole)).await?;
        let zone = way.hours.zone_at(&self.to.zones, interval.start())?;
        // Before any row of theirs is written.
        let account = accounts::store::lock(tx, found.customer).await?;
        own.give_up(tx, &mut provider, (caller, self.hold), now).await?;
        let terms = &found.terms;
        let mut held = Appointment {
            id: self.hold,
            state: State::Held,
            note: String::new(),
            time_zone: zone.zone(),
            local_start: promised(interval, &zone),
            version: provider.version + 1,
            stamp: tx.stamp(),
            created_at: now,
            updated_at: now,
            expires_at: Some(ceil_to_second(now + self.length)),
            terms: AgreedTerms {
                type_display_name: terms.type_display_name.clone(),
                buffer_before: terms.buffer_before,
                buffer_after: terms.buffer_after,
                cancel_cutoff: terms.cancel_cutoff,
                reschedule_cutoff: terms.reschedule_cutoff,
                price: terms.price.clone(),
                place: terms.place.clone(),
                ..AgreedTerms::default()
            },
            ..wanted
        };
        held.terms.beyond = beyond_own(&found, &held);
        if let Some(account) = account {
            held.customer_display_name = account.user.display_name;
        }
        if claims::store::counted::held_by(tx, held.customer, now).await? >= MOST_HOLDS {
            return Err(too_many_holds());
        }
        if let Some(overlap) = store::claim(tx, &held).await? {
            return Err(refused(overlap));
        }
        if is_busy(tx, held.customer, (held.start, held.end), Some(id), now).await? {
            return Err(refused(Overlap::Customer));
        }
        let data = EventData::HoldPlaced(HoldPlaced::ToMove(HeldToMove {
            start: held.start,
            end: held.end,
            customer: held.customer,
            type_id: held.type_id,
            expires: held.expires_at,
            rescheduling: id,
        }));
        let act = EventDraft { data, actor: caller.user, via: caller.service };
        finish(tx, &held, act, &self.to.idempotency_key, now).await?;
        Ok(held)
    }
}
