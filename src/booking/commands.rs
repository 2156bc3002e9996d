//! Units of work on appointments. Each locks the provider's row first, which puts the changes of one
//! provider's time into one order.

use serde_json::{Value, json};

use super::{
    Appointment, State,
    policy::{self, Change},
    promised,
    store::{self, Overlap},
};
use crate::{
    accounts,
    events::{self, Event, Kind},
    identity::{
        Caller,
        permit::{self, Book as BookPermit},
        token::not_authenticated,
    },
    kernel::{
        fault::{Fault, Reason},
        id::{AppointmentId, ProviderId, UserId},
        time::{Instant, Interval},
    },
    schedule::{self, commands::stale, provider::Provider},
    storage::{Tx, UnitOfWork, request::Once},
};

/// Books an interval.
#[derive(Debug, Clone)]
pub struct Book {
    /// The right to: who comes, and whose time it is.
    pub permit: BookPermit,
    /// The id of the new appointment.
    pub id: AppointmentId,
    /// The interval.
    pub interval: Interval,
    /// What the customer wrote.
    pub note: String,
    /// The request, for retries.
    pub once: Once,
    /// The time of the booking.
    pub now: Instant,
}

impl Book {
    /// The appointment that this would make, or every reason against it that the schedule has.
    pub fn draft(&self, provider: &Provider) -> Result<Appointment, Fault> {
        policy::may_book(&provider.schedule, self.interval, self.now)?;
        let zone = provider.schedule.zone();
        Ok(Appointment {
            provider: provider.id,
            id: self.id,
            customer: self.permit.customer,
            customer_display_name: String::new(),
            start: self.interval.start(),
            end: self.interval.end(),
            state: State::Booked,
            note: self.note.clone(),
            time_zone: zone,
            local_start: promised(self.interval, zone),
            cancel_reason: String::new(),
            version: provider.version + 1,
            created_at: self.now,
            updated_at: self.now,
        })
    }
}

impl UnitOfWork for Book {
    type Output = (Appointment, Provider);

    async fn run(&self, tx: &Tx) -> Result<Self::Output, Fault> {
        let BookPermit { customer, provider: id } = self.permit;
        let Some(mut provider) = schedule::store::lock(tx, id).await? else {
            return Err(Fault::not_found(id.name()));
        };
        if let Some((earlier, _)) = self.once.earlier(tx).await? {
            return Ok((earlier, provider));
        }
        if !provider.enabled {
            return Err(Fault::not_found(id.name()));
        }
        let mut appointment = self.draft(&provider)?;
        let account = accounts::store::find(tx, customer).await?;
        let Some(account) = account.filter(|account| !account.user.disabled) else {
            // Shut out since the token was checked.
            return Err(not_authenticated());
        };
        appointment.customer_display_name = account.user.display_name;
        match store::claim(tx, &appointment).await? {
            None => {}
            Some(Overlap::Provider) => return Err(slot_taken()),
            Some(Overlap::Customer) => {
                return Err(Fault::new(
                    Reason::CustomerBusy,
                    "the customer has another appointment that overlaps this time",
                ));
            }
        }
        provider.version = appointment.version;
        let detail = json!({
            "start": appointment.start, "end": appointment.end, "customer": customer,
        });
        let act = Act { kind: Kind::AppointmentBooked, actor: customer, detail };
        finish(tx, &appointment, act, &self.once, self.now).await?;
        Ok((appointment, provider))
    }
}

/// The refusal of a time that somebody has; not by whom.
pub fn slot_taken() -> Fault {
    Fault::new(Reason::SlotTaken, "this time is no longer free; ask for availability again")
}

/// Cancels or completes an appointment.
#[derive(Debug, Clone)]
pub struct Decide {
    /// Who asks; whether they may depends on the appointment, which is read in the transaction.
    pub caller: Caller,
    /// Whose time it is.
    pub provider: ProviderId,
    /// Which appointment.
    pub id: AppointmentId,
    /// What to do.
    pub change: Change,
    /// Why; for cancellations.
    pub reason: String,
    /// The version that was seen, if told.
    pub expected: Option<i64>,
    /// The request, for retries.
    pub once: Once,
    /// The time of the change.
    pub now: Instant,
}

impl UnitOfWork for Decide {
    type Output = Appointment;

    async fn run(&self, tx: &Tx) -> Result<Appointment, Fault> {
        let absent = || Fault::not_found(self.id.name(self.provider));
        let provider = schedule::store::lock(tx, self.provider).await?.ok_or_else(absent)?;
        let found = store::find(tx, self.provider, self.id).await?.ok_or_else(absent)?;
        let customer = found.customer;
        match self.change {
            Change::Cancel => {
                permit::cancel_appointment(self.caller, self.provider, self.id, customer)?;
            }
            Change::Complete => {
                permit::complete_appointment(self.caller, self.provider, self.id, customer)?;
            }
        }
        if let Some((earlier, _)) = self.once.earlier(tx).await? {
            return Ok(earlier);
        }
        if self.expected.is_some_and(|version| version != found.version) {
            return Err(stale());
        }
        let appointment = Appointment {
            state: policy::next(&found, self.change, self.now)?,
            cancel_reason: self.reason.clone(),
            version: provider.version + 1,
            updated_at: self.now,
            ..found
        };
        store::update(tx, &appointment).await?;
        let (kind, detail) = match self.change {
            Change::Cancel => (Kind::AppointmentCancelled, json!({ "reason": self.reason })),
            Change::Complete => (Kind::AppointmentCompleted, json!({})),
        };
        let act = Act { kind, actor: self.caller.user, detail };
        finish(tx, &appointment, act, &self.once, self.now).await?;
        Ok(appointment)
    }
}

struct Act {
    kind: Kind,
    actor: UserId,
    detail: Value,
}

/// Takes the provider's next version, appends the event with it, and keeps the answer.
async fn finish(
    tx: &Tx,
    appointment: &Appointment,
    act: Act,
    once: &Once,
    now: Instant,
) -> Result<(), Fault> {
    let provider = appointment.provider;
    schedule::store::set_version(tx, provider, appointment.version).await?;
    let event = Event {
        provider,
        version: appointment.version,
        kind: act.kind,
        appointment: Some(appointment.id),
        actor: Some(act.actor),
        at: now,
        detail: act.detail,
    };
    events::store::insert(tx, event).await?;
    once.keep(tx, provider.0, appointment.version, appointment, now).await
}
