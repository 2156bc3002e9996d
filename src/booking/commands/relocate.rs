//! Moving an appointment: to another time, or to another provider.

use chrono::TimeDelta;

use super::{
    EventDraft, Offered, RuleContext, asked_by, bookable, check_version,
    customer_as_provider::{CustomerAsProvider, lock_customer},
    decide::{after_expiry, find, find_locked},
    expire_claims, finish, follow, intervals_not_accepted, not_offered, offered,
    own_holds::OwnHolds,
    record, refused, time, write_live,
};
use crate::{
    accounts,
    availability::practice::Practice,
    booking::{
        AgreedTerms, Appointment, AskedMove, State,
        actors::EndedBy,
        policy::{self, RuleSet},
        promised, store,
    },
    catalogue::{self, AppointmentType},
    claims::{self, Subject},
    events::{
        EventData,
        appointment::{Claimed, Moved, Reassignment},
    },
    identity::{Caller, permit},
    kernel::{
        fault::{Fault, Violations},
        id::{AppointmentId, ProviderId},
        stamp::Revision,
        time::{Instant, Interval, ceil_to_second},
        zone::ZoneData,
    },
    schedule::{self, hours::Hours, provider::Provider},
    storage::{Authority, Tx, UnitOfWork, idempotency::IdempotencyKey},
};

/// Moves an appointment to another time of its provider, in one act.
#[derive(Debug, Clone)]
pub struct Reschedule {
    /// Who asks.
    pub caller: Caller,
    /// Whose time it is.
    pub provider: ProviderId,
    /// Which appointment.
    pub id: AppointmentId,
    /// The new start.
    pub start: Instant,
    /// The new end of a bare interval; none keeps the length.
    pub end: Option<Instant>,
    /// The reason, for the other party to read, at most 500 characters; may be empty.
    pub reason: String,
    /// Why staff act against the rules, if they do.
    pub override_reason: String,
    /// The state that was seen, if told.
    pub expected: Option<Revision>,
    /// The request, for retries.
    pub idempotency_key: IdempotencyKey,
    /// The time of the change.
    pub now: Instant,
    /// The zone data of that time.
    pub zones: ZoneData,
    /// The settings of the practice.
    pub practice: Practice,
}

impl UnitOfWork for Reschedule {
    type Output = Appointment;
    const AUTHORITY: Authority = Authority::Caller;

    async fn run(&self, tx: &Tx) -> Result<Appointment, Fault> {
        let (mut provider, found, mut elsewhere) = find_locked(tx, self.provider, self.id).await?;
        let (caller, customer) = (self.caller, found.customer);
        permit::cancel_appointment(caller, self.provider, self.id, customer)?;
        permit::override_rules(caller, self.provider, &self.override_reason)?;
        if let Some((earlier, _)) = self.idempotency_key.earlier(tx).await? {
            return Ok(earlier);
        }
        let is_staff = permit::is_staff(caller, self.provider);
        let (before, _) = found.seen(is_staff);
        let found = after_expiry(tx, &mut provider, found, self.now).await?;
        check_version(self.expected, &found, before, is_staff)?;
        policy::may_move(&found)?;
        bookable(&provider)?;
        if !is_staff {
            policy::in_time(&found, found.terms.reschedule_cutoff, self.now)?;
        }
        let interval = self.interval(&found)?;
        let way = Way::of(tx, &provider, &found).await?;
        let wanted = Appointment { start: interval.start(), end: interval.end(), ..found.clone() };
        let whose = (provider.id, customer);
        let claim = wanted.claim();
        let own = OwnHolds::for_move(tx, whose, claim, Some(self.id), self.now).await?;
        if self.override_reason.is_empty() {
            let (zones, practice) = (&self.zones, &self.practice);
            let moment = RuleContext { now: self.now, zones, practice };
            way.check(tx, &provider, &found, interval, (moment, &own, RuleSet::Whole)).await?;
        } else {
            policy::may_override(interval, self.now)?;
            policy::may_still_be_answered(&found, interval, self.now)?;
        }
        let zone = way.hours.zone_at(&self.zones, interval.start())?;
        let asks_again = match &way.kind {
            Some(kind) if kind.terms.requires_approval && found.state == State::Booked => {
                // What the provider's side agreed to was another time.
                let expiry = catalogue::minutes(kind.terms.request_expiry);
                (!is_staff).then(|| ceil_to_second(self.now + expiry))
            }
            _ => None,
        };
        lock_customer(tx, customer, elsewhere.as_ref()).await?;
        own.give_up(tx, &mut provider, (caller, self.id), self.now).await?;
        let mut moved = Appointment {
            start: interval.start(),
            end: interval.end(),
            time_zone: zone.zone(),
            local_start: promised(interval, &zone),
            // What was asked for before there were deadlines has the expiry alone.
            expires_at: found
                .expires_at
                .map(|at| found.terms.answer_by.unwrap_or(at).min(interval.start())),
            version: provider.version + 1,
            stamp: tx.stamp(),
            updated_at: self.now,
            ..found.clone()
        };
        moved.terms.moved_late |= !is_staff && policy::is_late(&found, self.now);
        moved.terms.asked_move = None;
        if let Some(answer_by) = asks_again {
            moved = asking(&found, moved, answer_by);
        }
        if !self.override_reason.is_empty() {
            moved.terms.override_reason.clone_from(&self.override_reason);
        }
        if let Some(overlap) = write_live(tx, &moved, &mut elsewhere, self.now).await? {
            return Err(refused(overlap));
        }
        let change = Moved {
            start: interval.start(),
            end: interval.end(),
            previous_start: found.start,
            previous_end: found.end,
            reason: Some(self.reason.clone()),
            override_reason: Some(self.override_reason.clone()),
        };
        let data = match asks_again {
            Some(_) => EventData::AppointmentMoveRequested(change),
            None => EventData::AppointmentRescheduled(change),
        };
        let act = EventDraft { data, actor: caller.user, via: caller.service };
        finish(tx, &moved, act, &self.idempotency_key, self.now).await?;
        Ok(moved)
    }
}

/// An appointment that stays where it is, with the move to the place of `moved` asked for.
fn asking(found: &Appointment, moved: Appointment, answer_by: Instant) -> Appointment {
    // Whoever asks for yet another time waits no longer for it.
    let answer_by = found.terms.asked_move.as_ref().map_or(answer_by, |asked| asked.answer_by);
    let asked = AskedMove {
        start: moved.start,
        end: moved.end,
        time_zone: moved.time_zone,
        local_start: moved.local_start,
        answer_by,
        expires_at: answer_by.min(moved.start).min(found.start),
        late: moved.terms.moved_late,
    };
    let terms =
        AgreedTerms { asked_move: Some(asked), moved_late: found.terms.moved_late, ..moved.terms };
    Appointment {
        start: found.start,
        end: found.end,
        time_zone: found.time_zone,
        local_start: found.local_start.clone(),
        terms,
        ..moved
    }
}

impl Reschedule {
    pub(super) fn interval(&self, found: &Appointment) -> Result<Interval, Fault> {
        let mut violations = Violations::new();
        if self.end.is_some() && found.type_id.is_some() {
            violations.add("end_time", "must be absent: the length of a type's appointment stays");
        }
        let end = self.end.or_else(|| self.start.checked_add_signed(found.end - found.start));
        if (Some(self.start), end) == (Some(found.start), Some(found.end)) {
            violations.add("start_time", "must not be where the appointment is already");
        }
        let asked = found.terms.asked_move.as_ref().map(|asked| (asked.start, Some(asked.end)));
        if Some((self.start, end)) == asked {
            violations
                .add("start_time", "must not be where the appointment is asked to be already");
        }
        let end = end.filter(|end| crate::kernel::time::is_accepted_end(*end));
        let interval = end.and_then(|end| Interval::new(self.start, end));
        if interval.is_none() {
            violations.add("start_time", "must leave the end in the years 1970 to 2199");
        }
        violations.finish()?;
        interval.ok_or_else(Fault::unchecked)
    }
}

/// How a provider takes an appointment.
pub(super) struct Way<'p> {
    /// Its type, if it has one.
    kind: Option<AppointmentType>,
    /// Whether the provider offers that.
    is_offered: bool,
    /// By which hours, in whose zone the local time is promised; the default ones of what has no type or is
    /// not offered, or not any more.
    pub(super) hours: &'p Hours,
}

impl<'p> Way<'p> {
    pub(super) async fn of(
        tx: &Tx,
        provider: &'p Provider,
        a: &Appointment,
    ) -> Result<Self, Fault> {
        let default = provider.schedule.hours();
        let Some(id) = a.type_id else {
            return Ok(Self { kind: None, is_offered: false, hours: default });
        };
        let Offered { kind, hours } = offered(tx, provider, id).await?;
        let is_offered = hours.is_some();
        Ok(Self { kind: Some(kind), is_offered, hours: hours.unwrap_or(default) })
    }

    /// Whether the provider's rules allow an appointment over an interval; itself does not count. What was
    /// agreed stays movable when the provider has stopped offering it, or taking intervals.
    pub(super) async fn check(
        &self,
        tx: &Tx,
        provider: &Provider,
        a: &Appointment,
        interval: Interval,
        (moment, own, bound): (RuleContext<'_>, &OwnHolds, RuleSet),
    ) -> Result<(), Fault> {
        let kind = self.kind.as_ref();
        if kind.is_none() && !provider.accepts_intervals() {
            let agreed = provider.id == a.provider && interval.duration() <= a.end - a.start;
            if !agreed {
                return Err(intervals_not_accepted());
            }
        }
        let RuleContext { now, practice, .. } = moment;
        let except: Vec<_> = own.ids().chain([a.id]).collect();
        let time = time(tx, moment, provider, self.hours, interval, kind, &except).await?;
        match kind {
            None => {
                // What was agreed stays movable when the provider has taken to shorter ones.
                let agreed =
                    if provider.id == a.provider { a.end - a.start } else { TimeDelta::zero() };
                let bounds = (&practice.intervals, provider.schedule.longest().max(agreed));
                let agreed = Interval::new(a.start, a.end);
                policy::may_book_interval(&time, bounds, interval, agreed, (now, bound))
            }
            Some(kind) => {
                let asked = asked_by(a, kind, interval.duration());
                policy::may_book_type(&time, &asked, interval, now, bound)
            }
        }
    }
}

/// Gives an appointment to another provider, at the same time.
#[derive(Debug, Clone)]
pub struct Reassign {
    /// Who asks.
    pub caller: Caller,
    /// With whom it is.
    pub provider: ProviderId,
    /// Which appointment.
    pub id: AppointmentId,
    /// With whom it shall be.
    pub to: ProviderId,
    /// The id that it has there: it may have been there before.
    pub new_id: AppointmentId,
    /// The reason, for the other party to read, at most 500 characters; may be empty.
    pub reason: String,
    /// Why staff act against the rules, if they do.
    pub override_reason: String,
    /// The state that was seen, if told.
    pub expected: Option<Revision>,
    /// The request, for retries.
    pub idempotency_key: IdempotencyKey,
    /// The time of the change.
    pub now: Instant,
    /// The zone data of that time.
    pub zones: ZoneData,
    /// The settings of the practice.
    pub practice: Practice,
}

impl UnitOfWork for Reassign {
    type Output = Appointment;
    const AUTHORITY: Authority = Authority::Caller;

    async fn run(&self, tx: &Tx) -> Result<Appointment, Fault> {
        // All providers' rows in the order of their ids, so that two reassignments never wait for each
        // other.
        let (provider, id) = (self.provider, self.id);
        let mut elsewhere = if self.to == provider {
            CustomerAsProvider::of_appointment(tx, &[provider], (provider, id)).await?
        } else {
            CustomerAsProvider::of_appointment(tx, &[provider, self.to], (provider, id)).await?
        };
        let (mut from, found) = find(tx, provider, id).await?;
        let customer = found.customer;
        permit::run_appointment(self.caller, self.provider, self.id, customer)?;
        // It is the other provider's rules that are lifted.
        permit::override_rules(self.caller, self.to, &self.override_reason)?;
        if let Some((earlier, _)) = self.idempotency_key.earlier(tx).await? {
            return Ok(earlier);
        }
        let before = found.revision();
        let found = after_expiry(tx, &mut from, found, self.now).await?;
        check_version(self.expected, &found, before, true)?;
        policy::may_move(&found)?;
        if self.to == self.provider {
            let mut violations = Violations::new();
            violations.add("provider", "must be another provider");
            return Err(violations.into_fault());
        }
        permit::not_own_time(customer, self.to)?;
        let to = schedule::store::lock(tx, self.to).await?;
        let mut to = to.ok_or_else(|| Fault::not_found(self.to.name()))?;
        bookable(&to)?;
        expire_claims(tx, &mut to, self.now).await?;
        self.check(tx, &to, &found).await?;
        lock_customer(tx, customer, elsewhere.as_ref()).await?;
        let account = accounts::store::find_to_book(tx, customer).await?;

        let left = Appointment {
            state: State::Cancelled,
            cancel_reason: self.reason.clone(),
            expires_at: None,
            version: from.version + 1,
            stamp: tx.stamp(),
            updated_at: self.now,
            terms: AgreedTerms {
                successor: Some((self.to, self.new_id)),
                ended: Some(EndedBy::by(self.caller, &found, self.now)),
                asked_move: None,
                ..found.terms.clone()
            },
            ..found.clone()
        };
        claims::store::extra::release(tx, Subject::Provider(self.provider), self.id).await?;
        store::update(tx, &left).await?;
        follow(tx, &left, &mut elsewhere, self.now).await?;
        let (reason, override_reason) = (self.reason.clone(), self.override_reason.clone());
        let data = EventData::AppointmentReassigned(Reassignment {
            to: self.to,
            successor: Some(self.new_id),
            reason: Some(reason),
            override_reason: Some(override_reason),
        });
        let act = EventDraft { data, actor: self.caller.user, via: self.caller.service };
        record(tx, &left, act, self.now).await?;

        let mut taken = Appointment {
            provider: self.to,
            provider_display_name: to.display_name.clone(),
            id: self.new_id,
            version: to.version + 1,
            stamp: tx.stamp(),
            updated_at: self.now,
            ..found
        };
        // As it is now: it may have been corrected since the appointment was read.
        if let Some(account) = account {
            taken.customer_display_name = account.user.display_name;
        }
        taken.terms.predecessor = Some((self.provider, self.id));
        taken.terms.successor = None;
        // It was for who had it to answer.
        taken.terms.asked_move = None;
        // It is about versions of the provider before.
        taken.terms.shown = None;
        // It was for whoever had the appointment, and stays with it.
        taken.terms.private_note.clear();
        if !self.override_reason.is_empty() {
            taken.terms.override_reason.clone_from(&self.override_reason);
        }
        if let Some(overlap) = store::claim(tx, &taken).await? {
            return Err(refused(overlap));
        }
        if let Some(overlap) = follow(tx, &taken, &mut elsewhere, self.now).await? {
            return Err(refused(overlap));
        }
        let claimed = Claimed {
            from: Some(self.provider),
            predecessor: Some(self.id),
            reason: Some(self.reason.clone()),
            override_reason: Some(self.override_reason.clone()),
            ..Claimed::new(taken.start, taken.end, customer)
        };
        let data = match taken.state {
            State::Pending => EventData::AppointmentRequested(claimed),
            _ => EventData::AppointmentBooked(claimed),
        };
        let act = EventDraft { data, actor: self.caller.user, via: self.caller.service };
        finish(tx, &taken, act, &self.idempotency_key, self.now).await?;
        Ok(taken)
    }
}

impl Reassign {
    async fn check(&self, tx: &Tx, to: &Provider, found: &Appointment) -> Result<(), Fault> {
        let interval = Interval::new(found.start, found.end).ok_or_else(Fault::unchecked)?;
        if !self.override_reason.is_empty() {
            return policy::may_override(interval, self.now);
        }
        let way = Way::of(tx, to, found).await?;
        if way.kind.is_some() && !way.is_offered {
            return Err(not_offered());
        }
        let (zones, practice) = (&self.zones, &self.practice);
        let moment = RuleContext { now: self.now, zones, practice };
        let own = OwnHolds::default();
        way.check(tx, to, found, interval, (moment, &own, RuleSet::Keeping)).await
    }
}
