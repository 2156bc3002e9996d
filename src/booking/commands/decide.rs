//! Cancelling, marking the outcome, answering requests, and writing notes.

use serde_json::json;

use super::{Act, check_version, finish, settle, write_live};
use crate::{
    booking::{
        Appointment, State,
        policy::{self, Change},
        store,
    },
    events::Kind,
    identity::{Caller, permit},
    kernel::{
        fault::Fault,
        id::{AppointmentId, ProviderId},
        stamp::Revision,
        time::Instant,
    },
    schedule::{self, provider::Provider},
    storage::{Authority, Tx, UnitOfWork, request::Once},
};

/// Changes the state of an appointment.
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
    /// Why; of cancelled and declined ones.
    pub reason: String,
    /// The state that was seen, if told.
    pub expected: Option<Revision>,
    /// The request, for retries.
    pub once: Once,
    /// The time of the change.
    pub now: Instant,
}

/// Locks the provider and finds an appointment of its, as it is stored.
pub(super) async fn find_locked(
    tx: &Tx,
    provider: ProviderId,
    id: AppointmentId,
) -> Result<(Provider, Appointment), Fault> {
    let absent = || Fault::not_found(id.name(provider));
    let locked = schedule::store::lock(tx, provider).await?.ok_or_else(absent)?;
    let found = store::find(tx, provider, id).await?.filter(|found| found.state != State::Held);
    Ok((locked, found.ok_or_else(absent)?))
}

/// Settles what has expired at the provider, and gives the appointment as it is then. After the look for
/// an earlier answer, so that a retry writes nothing.
pub(super) async fn settled(
    tx: &Tx,
    provider: &mut Provider,
    found: Appointment,
    now: Instant,
) -> Result<Appointment, Fault> {
    settle(tx, provider, now).await?;
    if found.expires_at.is_none_or(|at| at > now) {
        return Ok(found);
    }
    let again = store::find(tx, found.provider, found.id).await?;
    again.ok_or_else(|| Fault::internal("a settled appointment is not there"))
}

impl UnitOfWork for Decide {
    type Output = Appointment;
    const AUTHORITY: Authority = Authority::Caller;

    async fn run(&self, tx: &Tx) -> Result<Appointment, Fault> {
        let Self { caller, provider: id, .. } = *self;
        let (mut provider, found) = find_locked(tx, id, self.id).await?;
        match self.change {
            Change::Cancel => {
                permit::cancel_appointment(caller, id, self.id, found.customer)?;
            }
            Change::Complete | Change::NoShow | Change::Approve | Change::Decline => {
                permit::run_appointment(caller, id, self.id, found.customer)?;
            }
        }
        if let Some((earlier, _)) = self.once.earlier(tx).await? {
            return Ok(earlier);
        }
        let before = found.revision();
        let found = settled(tx, &mut provider, found, self.now).await?;
        check_version(self.expected, &found, before)?;
        let state = policy::next(&found, self.change, self.now)?;
        if self.change == Change::Cancel && !permit::is_staff(caller, id) {
            policy::in_time(&found, found.terms.cancel_cutoff, self.now)?;
        }
        let appointment = Appointment {
            state,
            cancel_reason: self.reason.clone(),
            version: provider.version + 1,
            stamp: tx.stamp(),
            updated_at: self.now,
            expires_at: None,
            ..found
        };
        // What ends a claim or keeps it is never in the way of anything.
        if let Some(overlap) = write_live(tx, &appointment).await? {
            return Err(Fault::internal(format!("{overlap:?} overlap of what was claimed before")));
        }
        let kind = match self.change {
            Change::Cancel => Kind::AppointmentCancelled,
            Change::Complete => Kind::AppointmentCompleted,
            Change::NoShow => Kind::AppointmentNoShow,
            Change::Approve => Kind::AppointmentApproved,
            Change::Decline => Kind::AppointmentDeclined,
        };
        let detail =
            if self.reason.is_empty() { json!({}) } else { json!({ "reason": self.reason }) };
        let act = Act { kind, actor: caller.user, via: caller.service, detail };
        finish(tx, &appointment, act, &self.once, self.now).await?;
        Ok(appointment)
    }
}

/// Changes what the provider's side wrote; what is absent stays.
#[derive(Debug, Clone)]
pub struct Annotate {
    /// Who asks.
    pub caller: Caller,
    /// Whose time it is.
    pub provider: ProviderId,
    /// Which appointment.
    pub id: AppointmentId,
    /// For the customer to read.
    pub customer_message: Option<String>,
    /// For the provider and admins.
    pub private_note: Option<String>,
    /// The state that was seen, if told.
    pub expected: Option<Revision>,
    /// The request, for retries.
    pub once: Once,
    /// The time of the change.
    pub now: Instant,
}

impl UnitOfWork for Annotate {
    type Output = Appointment;
    const AUTHORITY: Authority = Authority::Caller;

    async fn run(&self, tx: &Tx) -> Result<Appointment, Fault> {
        let (mut provider, found) = find_locked(tx, self.provider, self.id).await?;
        permit::run_appointment(self.caller, self.provider, self.id, found.customer)?;
        if let Some((earlier, _)) = self.once.earlier(tx).await? {
            return Ok(earlier);
        }
        let before = found.revision();
        let mut found = settled(tx, &mut provider, found, self.now).await?;
        check_version(self.expected, &found, before)?;
        if self.customer_message.is_none() && self.private_note.is_none() {
            self.once.keep(tx, self.provider.0, found.version, &found, self.now).await?;
            return Ok(found);
        }
        if let Some(message) = &self.customer_message {
            found.terms.customer_message.clone_from(message);
        }
        if let Some(note) = &self.private_note {
            found.terms.private_note.clone_from(note);
        }
        found.version = provider.version + 1;
        found.stamp = tx.stamp();
        found.updated_at = self.now;
        write_live(tx, &found).await?;
        // Not what was written: the customer may read the events, and not the private note.
        let act = Act {
            kind: Kind::AppointmentUpdated,
            actor: self.caller.user,
            via: self.caller.service,
            detail: json!({}),
        };
        finish(tx, &found, act, &self.once, self.now).await?;
        Ok(found)
    }
}
