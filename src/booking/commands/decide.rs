//! Cancelling, marking the outcome, answering requests, and writing notes.

use serde::{Deserialize, Serialize};

use super::{
    CustomerAsProvider, EventDraft, bookable, check_version, expire_claims, finish, is_present,
    lock_customer, record, refused, write_live,
};
use crate::{
    availability::{
        ProviderTime,
        explain::{self, Exclusion},
    },
    booking::{
        Appointment, Freed, Shown, State,
        actors::EndedBy,
        policy::{self, StateChange},
        store,
    },
    claims::Overlap,
    events::{
        EventData,
        appointment::{Correction, Decision, Outcome},
        table::written,
    },
    identity::{Caller, permit},
    kernel::{
        fault::{Fault, Reason},
        id::{AppointmentId, ProviderId},
        stamp::Revision,
        time::{Instant, Interval},
    },
    schedule::{self, provider::Provider},
    storage::{Authority, Tx, UnitOfWork, idempotency::IdempotencyKey},
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
    pub change: StateChange,
    /// Why; of cancelled and declined ones.
    pub reason: String,
    /// Whether the rest of what is completed or missed is free from now on.
    pub free_rest: bool,
    /// Whether no more is cancelled than the move that is asked for.
    pub only_move: bool,
    /// The state that was seen, if told.
    pub expected: Option<Revision>,
    /// The request, for retries.
    pub idempotency_key: IdempotencyKey,
    /// The time of the change.
    pub now: Instant,
}

/// An appointment after a change, and what whoever made it should know.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Decided {
    /// The appointment after the change.
    #[serde(flatten)]
    pub appointment: Appointment,
    /// What did not keep it from being made.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<Warning>,
}

/// A rule against an appointment that was approved nevertheless.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Warning {
    /// The name of its reason, such as `TIME_OFF`.
    pub reason: String,
    /// A sentence that says how things stand.
    pub message: String,
    /// The first instant of what is in the way, and the first one after it.
    pub between: Option<(Instant, Instant)>,
}

/// Locks the provider, and the customer's own time where they are a provider too, and finds an appointment of
/// the provider's, as it is stored.
pub(super) async fn find_locked(
    tx: &Tx,
    provider: ProviderId,
    id: AppointmentId,
) -> Result<(Provider, Appointment, Option<CustomerAsProvider>), Fault> {
    let elsewhere = CustomerAsProvider::of_appointment(tx, &[provider], (provider, id)).await?;
    let (locked, found) = find(tx, provider, id).await?;
    Ok((locked, found, elsewhere))
}

/// Locks the provider alone, and finds an appointment of its.
pub(super) async fn find(
    tx: &Tx,
    provider: ProviderId,
    id: AppointmentId,
) -> Result<(Provider, Appointment), Fault> {
    let absent = || Fault::not_found(id.name(provider));
    let locked = schedule::store::lock(tx, provider).await?.ok_or_else(absent)?;
    let found = store::find(tx, provider, id).await?.filter(|found| found.state != State::Held);
    Ok((locked, found.ok_or_else(absent)?))
}

/// Writes down what has expired at the provider, and gives the appointment as it is then. After the look for
/// an earlier answer, so that a retry writes nothing.
pub(super) async fn after_expiry(
    tx: &Tx,
    provider: &mut Provider,
    found: Appointment,
    now: Instant,
) -> Result<Appointment, Fault> {
    expire_claims(tx, provider, now).await?;
    let moved = found.terms.asked_move.as_ref().map(|asked| asked.expires_at);
    if [found.expires_at, moved].into_iter().flatten().all(|at| at > now) {
        return Ok(found);
    }
    let again = store::find(tx, found.provider, found.id).await?;
    again.ok_or_else(|| Fault::internal("an appointment is gone after claims were expired"))
}

/// The time off and the closures in which an appointment lies. They do not keep a request from being
/// approved: whoever does it may have meant to work then.
async fn warnings(tx: &Tx, provider: &Provider, a: &Appointment) -> Result<Vec<Warning>, Fault> {
    let interval = Interval::new(a.start, a.end).ok_or_else(Fault::unchecked)?;
    let time = ProviderTime {
        time_off: provider.time_off().iter().map(|off| off.interval).collect(),
        closures: schedule::store::closures::closures(tx, interval).await?,
        ..ProviderTime::default()
    };
    let warning = |each: Exclusion| Warning {
        reason: each.reason.name().to_owned(),
        message: each.message,
        between: each.interval.map(|interval| (interval.start(), interval.end())),
    };
    Ok(explain::away(&time, interval).into_iter().map(warning).collect())
}

impl UnitOfWork for Decide {
    type Output = Decided;
    const AUTHORITY: Authority = Authority::Caller;

    async fn run(&self, tx: &Tx) -> Result<Decided, Fault> {
        let Self { caller, provider: id, .. } = *self;
        let (mut provider, found, mut elsewhere) = find_locked(tx, id, self.id).await?;
        match self.change {
            StateChange::Cancel => {
                permit::cancel_appointment(caller, id, self.id, found.customer)?;
            }
            StateChange::Complete
            | StateChange::NoShow
            | StateChange::Approve
            | StateChange::Decline => {
                permit::run_appointment(caller, id, self.id, found.customer)?;
            }
        }
        if let Some((earlier, _)) = self.idempotency_key.earlier(tx).await? {
            return Ok(earlier);
        }
        let is_staff = permit::is_staff(caller, id);
        let (before, _) = found.seen(is_staff);
        let found = after_expiry(tx, &mut provider, found, self.now).await?;
        check_version(self.expected, &found, before, is_staff)?;
        if found.terms.asked_move.is_some() {
            match self.change {
                StateChange::Approve | StateChange::Decline => {
                    return self.answer_move(tx, &provider, found, &mut elsewhere).await;
                }
                StateChange::Cancel if self.only_move => {
                    return self.answer_move(tx, &provider, found, &mut elsewhere).await;
                }
                StateChange::Cancel | StateChange::Complete | StateChange::NoShow => {}
            }
        }
        if self.only_move {
            let text = "no move of this appointment is asked for and unanswered";
            return Err(policy::wrong_state(found.state).log(text));
        }
        let state = self.state(&found)?;
        if self.change == StateChange::Cancel && !is_staff {
            policy::may_cancel(&found, self.now)?;
        }
        if self.change == StateChange::Approve {
            bookable(&provider)?;
            is_present(tx, found.customer).await?;
        }
        let mut appointment = Appointment {
            state,
            cancel_reason: self.reason.clone(),
            version: provider.version + 1,
            stamp: tx.stamp(),
            updated_at: self.now,
            expires_at: None,
            ..found.clone()
        };
        appointment.terms.asked_move = None;
        if matches!(state, State::Cancelled | State::Declined) {
            appointment.terms.ended = Some(EndedBy::by(caller, &found, self.now));
        }
        let mut decision = Decision { reason: written(&self.reason), ..Decision::default() };
        if matches!(state, State::Completed | State::NoShow) {
            appointment.terms.outcome_at = found.terms.outcome_at.or(Some(self.now));
        }
        if self.change == StateChange::Cancel && !is_staff && found.terms.moved_late {
            appointment.terms.late_cancellation = true;
            decision.late = true;
        }
        if self.free_rest {
            self.free(&mut appointment, &found, &mut decision)?;
        }
        match write_live(tx, &appointment, &mut elsewhere, self.now).await? {
            // What ends a claim or keeps it is never in the way of anything. The time of a customer who is a
            // provider may be given away: they were in two places before that was refused, and stay so.
            None | Some(Overlap::Customer) => {}
            Some(Overlap::Provider) => {
                return Err(Fault::internal("an overlap of what was claimed before"));
            }
        }
        let data = match self.change {
            StateChange::Cancel => EventData::AppointmentCancelled(decision),
            StateChange::Complete => EventData::AppointmentCompleted(decision),
            StateChange::NoShow => EventData::AppointmentNoShow(decision),
            StateChange::Approve => EventData::AppointmentApproved(decision),
            StateChange::Decline => EventData::AppointmentDeclined(decision),
        };
        let warnings = match self.change {
            StateChange::Approve => warnings(tx, &provider, &appointment).await?,
            _ => Vec::new(),
        };
        let act = EventDraft { data, actor: caller.user, via: caller.service };
        self.keep(tx, appointment, act, warnings).await
    }
}

impl Decide {
    /// Approves, declines or takes back the move that is asked for of a booked appointment.
    async fn answer_move(
        &self,
        tx: &Tx,
        provider: &Provider,
        found: Appointment,
        elsewhere: &mut Option<CustomerAsProvider>,
    ) -> Result<Decided, Fault> {
        let answered = |appointment: Appointment| Appointment {
            version: provider.version + 1,
            stamp: tx.stamp(),
            updated_at: self.now,
            ..appointment
        };
        let after = found.after_asked_move().ok_or_else(Fault::unchecked)?;
        let mut appointment = answered(found.clone());
        appointment.terms.asked_move = None;
        let mut decision = Decision { reason: written(&self.reason), ..Decision::default() };
        let mut told = Vec::new();
        let data = match self.change {
            StateChange::Approve => {
                bookable(provider)?;
                is_present(tx, found.customer).await?;
                appointment = answered(after);
                told = warnings(tx, provider, &appointment).await?;
                decision.start = Some(appointment.start);
                decision.end = Some(appointment.end);
                decision.previous_start = Some(found.start);
                decision.previous_end = Some(found.end);
                EventData::AppointmentApproved(decision)
            }
            StateChange::Decline => EventData::AppointmentMoveDeclined(decision),
            StateChange::Cancel | StateChange::Complete | StateChange::NoShow => {
                EventData::AppointmentMoveWithdrawn(decision)
            }
        };
        if let Some(overlap) = write_live(tx, &appointment, elsewhere, self.now).await? {
            return Err(refused(overlap));
        }
        let act = EventDraft { data, actor: self.caller.user, via: self.caller.service };
        self.keep(tx, appointment, act, told).await
    }

    /// Records the change and keeps the answer.
    async fn keep(
        &self,
        tx: &Tx,
        appointment: Appointment,
        act: EventDraft,
        warnings: Vec<Warning>,
    ) -> Result<Decided, Fault> {
        record(tx, &appointment, act, self.now).await?;
        let (owner, version) = (appointment.provider.0, appointment.version);
        let decided = Decided { appointment, warnings };
        self.idempotency_key.keep(tx, owner, version, &decided, self.now).await?;
        Ok(decided)
    }

    /// The state after the change. The rest of what was marked before can be freed later.
    fn state(&self, found: &Appointment) -> Result<State, Fault> {
        let marked = match self.change {
            StateChange::Complete => State::Completed,
            StateChange::NoShow => State::NoShow,
            StateChange::Cancel | StateChange::Approve | StateChange::Decline => {
                return policy::next(found, self.change, self.now);
            }
        };
        if self.free_rest && found.state == marked {
            return Ok(marked);
        }
        policy::next(found, self.change, self.now)
    }

    /// Frees what is left of the time of an appointment.
    fn free(
        &self,
        appointment: &mut Appointment,
        found: &Appointment,
        decision: &mut Decision,
    ) -> Result<(), Fault> {
        let Some((end, buffer_after)) = policy::freed(found, appointment.state, self.now) else {
            if found.state == appointment.state {
                return Err(Fault::new(Reason::TooLate, "nothing is left of its time to free"));
            }
            return Ok(());
        };
        let agreed = Freed { end: found.end, buffer_after: found.terms.buffer_after };
        appointment.terms.freed = found.terms.freed.or(Some(agreed));
        appointment.terms.buffer_after = buffer_after;
        appointment.end = end;
        decision.end = Some(end);
        decision.previous_end = Some(found.end);
        Ok(())
    }
}

/// The outcome that a state is, where it is one that can be corrected.
fn outcome(state: State) -> Result<Outcome, Fault> {
    match state {
        State::Booked => Ok(Outcome::Booked),
        State::Completed => Ok(Outcome::Completed),
        State::NoShow => Ok(Outcome::NoShow),
        State::Held | State::Pending | State::Cancelled | State::Declined => {
            Err(Fault::unchecked())
        }
    }
}

/// Corrects an outcome that was marked by mistake.
#[derive(Debug, Clone)]
pub struct Correct {
    /// Who asks.
    pub caller: Caller,
    /// Whose time it is.
    pub provider: ProviderId,
    /// Which appointment.
    pub id: AppointmentId,
    /// The right state: booked, completed or missed.
    pub to: State,
    /// Why the state was wrong, for the other party to read: at most 500 characters, not blank.
    pub reason: String,
    /// The state that was seen, if told.
    pub expected: Option<Revision>,
    /// The request, for retries.
    pub idempotency_key: IdempotencyKey,
    /// The time of the change.
    pub now: Instant,
}

impl UnitOfWork for Correct {
    type Output = Appointment;
    const AUTHORITY: Authority = Authority::Caller;

    async fn run(&self, tx: &Tx) -> Result<Appointment, Fault> {
        let (mut provider, found, mut elsewhere) = find_locked(tx, self.provider, self.id).await?;
        permit::run_appointment(self.caller, self.provider, self.id, found.customer)?;
        if let Some((earlier, _)) = self.idempotency_key.earlier(tx).await? {
            return Ok(earlier);
        }
        let before = found.revision();
        let found = after_expiry(tx, &mut provider, found, self.now).await?;
        check_version(self.expected, &found, before, true)?;
        policy::may_correct(&found, self.to, self.now)?;
        let mut corrected = Appointment {
            state: self.to,
            version: provider.version + 1,
            stamp: tx.stamp(),
            updated_at: self.now,
            ..found.clone()
        };
        let mut correction = Correction {
            state: Some(outcome(self.to)?),
            previous_state: Some(outcome(found.state)?),
            reason: Some(self.reason.clone()),
            ..Correction::default()
        };
        if self.to == State::Booked {
            corrected.terms.outcome_at = None;
            // It is to take place as it was agreed, with the time that was freed.
            if let Some(freed) = corrected.terms.freed.take() {
                corrected.end = freed.end;
                corrected.terms.buffer_after = freed.buffer_after;
                correction.end = Some(corrected.end);
                correction.previous_end = Some(found.end);
            }
        }
        if let Some(overlap) = write_live(tx, &corrected, &mut elsewhere, self.now).await? {
            return Err(refused(overlap));
        }
        let (actor, via) = (self.caller.user, self.caller.service);
        let act = EventDraft { data: EventData::AppointmentCorrected(correction), actor, via };
        finish(tx, &corrected, act, &self.idempotency_key, self.now).await?;
        Ok(corrected)
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
    pub idempotency_key: IdempotencyKey,
    /// The time of the change.
    pub now: Instant,
}

impl UnitOfWork for Annotate {
    type Output = Appointment;
    const AUTHORITY: Authority = Authority::Caller;

    async fn run(&self, tx: &Tx) -> Result<Appointment, Fault> {
        let (mut provider, found, mut elsewhere) = find_locked(tx, self.provider, self.id).await?;
        permit::run_appointment(self.caller, self.provider, self.id, found.customer)?;
        if let Some((earlier, _)) = self.idempotency_key.earlier(tx).await? {
            return Ok(earlier);
        }
        // A name that is corrected meanwhile makes another state of it, and is waited for.
        lock_customer(tx, found.customer, elsewhere.as_ref()).await?;
        let found = store::find(tx, self.provider, self.id).await?;
        let found = found.ok_or_else(|| Fault::not_found(self.id.name(self.provider)))?;
        let before = found.revision();
        let mut found = after_expiry(tx, &mut provider, found, self.now).await?;
        check_version(self.expected, &found, before, true)?;
        if self.customer_message.is_none() && self.private_note.is_none() {
            self.idempotency_key.keep(tx, self.provider.0, found.version, &found, self.now).await?;
            return Ok(found);
        }
        let (seen, since) = found.seen(false);
        let message = self.customer_message.as_ref();
        let message = message.filter(|message| **message != found.terms.customer_message);
        let mut data = EventData::AppointmentUpdated;
        if let Some(message) = message {
            found.terms.customer_message.clone_from(message);
        } else {
            // To the customer nothing happened.
            data = EventData::AppointmentNoted;
            let (version, stamp, hides) = (seen.version, seen.stamp, provider.version + 1);
            found.terms.shown = Some(Shown { version, stamp, updated_at: since, hides });
        }
        if let Some(note) = &self.private_note {
            found.terms.private_note.clone_from(note);
        }
        found.version = provider.version + 1;
        found.stamp = tx.stamp();
        found.updated_at = self.now;
        write_live(tx, &found, &mut elsewhere, self.now).await?;
        // Not what was written: the customer may read the events, and not the private note.
        let act = EventDraft { data, actor: self.caller.user, via: self.caller.service };
        finish(tx, &found, act, &self.idempotency_key, self.now).await?;
        Ok(found)
    }
}
