//! Moving an appointment: to another time, or to another provider.

use serde_json::json;

use super::{
    Act, Offered, asked_by, check_version,
    decide::{find_locked, settled},
    finish, not_offered, offered, record, refused, settle, time, write_live,
};
use crate::{
    accounts,
    booking::{Agreed, Appointment, State, policy, promised, store},
    events::Kind,
    identity::{Caller, permit},
    kernel::{
        fault::{Fault, Violations},
        id::{AppointmentId, ProviderId},
        time::{Instant, Interval},
    },
    schedule::{self, hours::Hours, provider::Provider},
    storage::{Tx, UnitOfWork, request::Once},
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
    /// Why.
    pub reason: String,
    /// Why staff act against the rules, if they do.
    pub override_reason: String,
    /// The version that was seen, if told.
    pub expected: Option<i64>,
    /// The request, for retries.
    pub once: Once,
    /// The time of the change.
    pub now: Instant,
}

impl UnitOfWork for Reschedule {
    type Output = Appointment;

    async fn run(&self, tx: &Tx) -> Result<Appointment, Fault> {
        let (mut provider, found) = find_locked(tx, self.provider, self.id).await?;
        let (caller, customer) = (self.caller, found.customer);
        permit::cancel_appointment(caller, self.provider, self.id, customer)?;
        permit::override_rules(caller, self.provider, &self.override_reason)?;
        if let Some((earlier, _)) = self.once.earlier(tx).await? {
            return Ok(earlier);
        }
        let before = found.version;
        let found = settled(tx, &mut provider, found, self.now).await?;
        check_version(self.expected, &found, before)?;
        policy::may_move(&found)?;
        if !permit::is_staff(caller, self.provider) {
            policy::in_time(&found, found.terms.reschedule_cutoff, self.now)?;
        }
        let interval = self.interval(&found)?;
        if self.override_reason.is_empty() {
            check(tx, &provider, &found, interval, self.now).await?;
        } else {
            policy::may_override(interval, self.now)?;
        }
        let zone = hours(tx, &provider, &found).await?.zone_at(interval.start());
        let mut moved = Appointment {
            start: interval.start(),
            end: interval.end(),
            time_zone: zone,
            local_start: promised(interval, zone),
            expires_at: found.expires_at.map(|at| at.min(interval.start())),
            version: provider.version + 1,
            updated_at: self.now,
            ..found.clone()
        };
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
        let act = Act { kind: Kind::AppointmentRescheduled, actor: caller.user, detail };
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

/// The hours by which a provider takes an appointment's type, in whose zone its local time is promised; the
/// default ones where there is none, or none any more.
async fn hours<'p>(tx: &Tx, provider: &'p Provider, a: &Appointment) -> Result<&'p Hours, Fault> {
    let offering = match a.type_id {
        Some(type_id) => schedule::store::offerings::find(tx, provider.id, type_id).await?,
        None => None,
    };
    let named = offering.and_then(|offering| provider.hours(offering.schedule.as_deref()));
    Ok(named.unwrap_or_else(|| provider.schedule.hours()))
}

/// Whether a provider's rules allow an appointment over an interval; itself does not count.
async fn check(
    tx: &Tx,
    provider: &Provider,
    a: &Appointment,
    interval: Interval,
    now: Instant,
) -> Result<(), Fault> {
    let except = Some(a.id);
    let Some(type_id) = a.type_id else {
        let schedule = &provider.schedule;
        let time = time(tx, provider, schedule.hours(), interval, None, except).await?;
        return policy::may_book_interval(&time, schedule.longest(), interval, now);
    };
    let Offered { kind, hours } = offered(tx, provider, type_id).await?;
    // What was agreed stays movable when the provider has stopped offering it.
    let hours = hours.unwrap_or_else(|| provider.schedule.hours());
    let time = time(tx, provider, hours, interval, Some(&kind), except).await?;
    policy::may_book_type(&time, &asked_by(a, &kind, interval.duration()), interval, now)
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
    /// Why.
    pub reason: String,
    /// Why staff act against the rules, if they do.
    pub override_reason: String,
    /// The version that was seen, if told.
    pub expected: Option<i64>,
    /// The request, for retries.
    pub once: Once,
    /// The time of the change.
    pub now: Instant,
}

impl UnitOfWork for Reassign {
    type Output = Appointment;

    async fn run(&self, tx: &Tx) -> Result<Appointment, Fault> {
        // Both providers' rows in the order of their ids, so that two reassignments never wait for each
        // other.
        if self.to < self.provider {
            schedule::store::lock(tx, self.to).await?;
        }
        let (mut from, found) = find_locked(tx, self.provider, self.id).await?;
        let customer = found.customer;
        permit::run_appointment(self.caller, self.provider, self.id, customer)?;
        if let Some((earlier, _)) = self.once.earlier(tx).await? {
            return Ok(earlier);
        }
        let before = found.version;
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
            updated_at: self.now,
            terms: Agreed { successor: Some((self.to, self.new_id)), ..found.terms.clone() },
            ..found.clone()
        };
        store::update(tx, &left).await?;
        let detail = json!({
            "to": self.to, "successor": self.new_id, "reason": self.reason, "override": self.override_reason,
        });
        let act = Act { kind: Kind::AppointmentReassigned, actor: self.caller.user, detail };
        record(tx, &left, act, self.now).await?;

        let mut taken = Appointment {
            provider: self.to,
            id: self.new_id,
            version: to.version + 1,
            updated_at: self.now,
            ..found
        };
        taken.terms.predecessor = Some((self.provider, self.id));
        taken.terms.successor = None;
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
        let act = Act { kind, actor: self.caller.user, detail };
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
        if let Some(type_id) = found.type_id
            && schedule::store::offerings::find(tx, to.id, type_id).await?.is_none()
        {
            return Err(not_offered());
        }
        check(tx, to, found, interval, self.now).await
    }
}
