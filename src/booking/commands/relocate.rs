//! Moving an appointment: to another time, or to another provider.

use serde_json::json;

use super::{
    Act, Offered, asked_by, check_version,
    decide::{find_locked, settled},
    finish, intervals_not_accepted, not_offered, offered, record, refused, settle, time,
    write_live,
};
use crate::{
    accounts,
    booking::{Agreed, Appointment, State, policy, promised, store},
    catalogue::{self, AppointmentType},
    events::Kind,
    identity::{Caller, permit},
    kernel::{
        fault::{Fault, Violations},
        id::{AppointmentId, ProviderId},
        stamp::Revision,
        time::{Instant, Interval, ceil_to_second},
        zone::ZoneData,
    },
    schedule::{self, hours::Hours, provider::Provider},
    storage::{Authority, Tx, UnitOfWork, request::Once},
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
    pub once: Once,
    /// The time of the change.
    pub now: Instant,
    /// The zone data of that time.
    pub zones: ZoneData,
}

impl UnitOfWork for Reschedule {
    type Output = Appointment;
    const AUTHORITY: Authority = Authority::Caller;

    async fn run(&self, tx: &Tx) -> Result<Appointment, Fault> {
        let (mut provider, found) = find_locked(tx, self.provider, self.id).await?;
        let (caller, customer) = (self.caller, found.customer);
        permit::cancel_appointment(caller, self.provider, self.id, customer)?;
        permit::override_rules(caller, self.provider, &self.override_reason)?;
        if let Some((earlier, _)) = self.once.earlier(tx).await? {
            return Ok(earlier);
        }
        let before = found.revision();
        let found = settled(tx, &mut provider, found, self.now).await?;
        check_version(self.expected, &found, before)?;
        policy::may_move(&found)?;
        let is_staff = permit::is_staff(caller, self.provider);
        if !is_staff {
            policy::in_time(&found, found.terms.reschedule_cutoff, self.now)?;
        }
        let interval = self.interval(&found)?;
        let way = Way::of(tx, &provider, &found).await?;
        if self.override_reason.is_empty() {
            way.check(tx, &provider, &found, interval, (self.now, &self.zones)).await?;
        } else {
            policy::may_override(interval, self.now)?;
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
        let mut kind = Kind::AppointmentRescheduled;
        if let Some(answer_by) = asks_again {
            kind = Kind::AppointmentMoveRequested;
            moved.state = State::Pending;
            moved.terms.answer_by = Some(answer_by);
            moved.expires_at = Some(answer_by.min(moved.start));
        }
        if !self.override_reason.is_empty() {
            moved.terms.override_reason.clone_from(&self.override_reason);
        }
        if let Some(overlap) = write_live(tx, &moved).await? {
            return Err(refused(overlap));
        }
        let detail = json!({
            "start": moved.start, "end": moved.end,
            "previous_start": found.start, "previous_end": found.end,
            "reason": self.reason, "override": self.override_reason,
        });
        let act = Act { kind, actor: caller.user, via: caller.service, detail };
        finish(tx, &moved, act, &self.once, self.now).await?;
        Ok(moved)
    }
}

impl Reschedule {
    fn interval(&self, found: &Appointment) -> Result<Interval, Fault> {
        let mut violations = Violations::new();
        if self.end.is_some() && found.type_id.is_some() {
            violations.add("end_time", "must be absent: the length of a type's appointment stays");
        }
        let end = self.end.or_else(|| self.start.checked_add_signed(found.end - found.start));
        if (Some(self.start), end) == (Some(found.start), Some(found.end)) {
            violations.add("start_time", "must not be where the appointment is already");
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
struct Way<'p> {
    /// Its type, if it has one.
    kind: Option<AppointmentType>,
    /// Whether the provider offers that.
    is_offered: bool,
    /// By which hours, in whose zone the local time is promised; the default ones of what has no type or is
    /// not offered, or not any more.
    hours: &'p Hours,
}

impl<'p> Way<'p> {
    async fn of(tx: &Tx, provider: &'p Provider, a: &Appointment) -> Result<Self, Fault> {
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
    async fn check(
        &self,
        tx: &Tx,
        provider: &Provider,
        a: &Appointment,
        interval: Interval,
        (now, zones): (Instant, &ZoneData),
    ) -> Result<(), Fault> {
        let kind = self.kind.as_ref();
        if kind.is_none() && !provider.accepts_intervals() {
            let agreed = provider.id == a.provider && interval.duration() <= a.end - a.start;
            if !agreed {
                return Err(intervals_not_accepted());
            }
        }
        let time = time(tx, zones, provider, self.hours, interval, kind, Some(a.id)).await?;
        match kind {
            None => policy::may_book_interval(&time, provider.schedule.longest(), interval, now),
            Some(kind) => {
                let asked = asked_by(a, kind, interval.duration());
                policy::may_book_type(&time, &asked, interval, now)
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
    pub once: Once,
    /// The time of the change.
    pub now: Instant,
    /// The zone data of that time.
    pub zones: ZoneData,
}

impl UnitOfWork for Reassign {
    type Output = Appointment;
    const AUTHORITY: Authority = Authority::Caller;

    async fn run(&self, tx: &Tx) -> Result<Appointment, Fault> {
        // Both providers' rows in the order of their ids, so that two reassignments never wait for each
        // other.
        if self.to < self.provider {
            schedule::store::lock(tx, self.to).await?;
        }
        let (mut from, found) = find_locked(tx, self.provider, self.id).await?;
        let customer = found.customer;
        permit::run_appointment(self.caller, self.provider, self.id, customer)?;
        // It is the other provider's rules that are lifted.
        permit::override_rules(self.caller, self.to, &self.override_reason)?;
        if let Some((earlier, _)) = self.once.earlier(tx).await? {
            return Ok(earlier);
        }
        let before = found.revision();
        let found = settled(tx, &mut from, found, self.now).await?;
        check_version(self.expected, &found, before)?;
        policy::may_move(&found)?;
        if self.to == self.provider {
            let mut violations = Violations::new();
            violations.add("provider", "must be another provider");
            return Err(violations.into_fault());
        }
        permit::not_own_time(customer, self.to)?;
        let to = schedule::store::lock(tx, self.to).await?.filter(|to| to.enabled);
        let mut to = to.ok_or_else(|| Fault::not_found(self.to.name()))?;
        settle(tx, &mut to, self.now).await?;
        self.check(tx, &to, &found).await?;
        accounts::store::lock(tx, customer).await?;

        let left = Appointment {
            state: State::Cancelled,
            cancel_reason: self.reason.clone(),
            expires_at: None,
            version: from.version + 1,
            stamp: tx.stamp(),
            updated_at: self.now,
            terms: Agreed { successor: Some((self.to, self.new_id)), ..found.terms.clone() },
            ..found.clone()
        };
        store::update(tx, &left).await?;
        let detail = json!({
            "to": self.to, "successor": self.new_id, "reason": self.reason, "override": self.override_reason,
        });
        let act = Act {
            kind: Kind::AppointmentReassigned,
            actor: self.caller.user,
            via: self.caller.service,
            detail,
        };
        record(tx, &left, act, self.now).await?;

        let mut taken = Appointment {
            provider: self.to,
            id: self.new_id,
            version: to.version + 1,
            stamp: tx.stamp(),
            updated_at: self.now,
            ..found
        };
        taken.terms.predecessor = Some((self.provider, self.id));
        taken.terms.successor = None;
        // It was for whoever had the appointment, and stays with it.
        taken.terms.private_note.clear();
        if !self.override_reason.is_empty() {
            taken.terms.override_reason.clone_from(&self.override_reason);
        }
        if let Some(overlap) = store::claim(tx, &taken).await? {
            return Err(refused(overlap));
        }
        let kind = match taken.state {
            State::Pending => Kind::AppointmentRequested,
            _ => Kind::AppointmentBooked,
        };
        let detail = json!({
            "start": taken.start, "end": taken.end, "customer": customer, "from": self.provider,
            "predecessor": self.id,
            "reason": self.reason, "override": self.override_reason,
        });
        let act = Act { kind, actor: self.caller.user, via: self.caller.service, detail };
        finish(tx, &taken, act, &self.once, self.now).await?;
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
        way.check(tx, to, found, interval, (self.now, &self.zones)).await
    }
}
