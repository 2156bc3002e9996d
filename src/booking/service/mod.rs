//! What callers can do with appointments.

mod any_provider;
mod calendar;
mod customer_context;
mod fields;
pub(crate) mod history;
mod holds;

use std::sync::Arc;

use chrono::TimeDelta;

pub use fields::TypedFields;

use super::{
    Appointment, State,
    commands::{
        ExpireClaims,
        book::{Assigned, Book, Booked, BookingTarget},
        decide::{Annotate, Correct, Decide, Decided},
        hold::{HoldAction, UseHold},
        relocate::{Reassign, Reschedule},
        slot_taken,
    },
    fairness::ProviderLoad,
    policy::StateChange,
    store::{
        self, AppointmentCursor, Filter, by_key::AppointmentBatch,
        single_statement::SingleStatementBooking,
    },
};
use crate::{
    availability::{practice::Practice, slots_service::Slots},
    catalogue::questions::Reply,
    claims,
    identity::{Caller, Credential, permit},
    kernel::{
        ambient::Ambient,
        fault::{Fault, FaultKind, Reason, Retryable},
        id::{AppointmentId, HoldId, ProviderId, UserId},
        stamp::{Revision, Stamp},
        time::{Instant, Interval},
        zone::ZoneData,
    },
    schedule::cache::ScheduleCache,
    storage::{
        Deadline, Engine, Query, Reader, Store,
        batch::{BatchQuery as _, Batcher},
        idempotency::IdempotencyKey,
    },
};

/// What callers can ask about appointments, requests and holds.
#[derive(Debug, Clone)]
pub struct Bookings {
    pub(super) store: Store,
    ambient: Ambient,
    /// The schedules that bookings met last. A hint only: the statement that books with it goes through
    /// only if the stored schedule still has the same version and stamp.
    schedule_cache: ScheduleCache,
    /// Single appointments, asked for together.
    found: Batcher<AppointmentBatch>,
    /// Who is free.
    slots: Slots,
    /// The settings of the practice.
    practice: Practice,
}

/// An appointment or a hold that somebody asks for.
#[derive(Debug, Clone)]
pub struct BookingRequest {
    /// The authenticated caller.
    pub caller: Caller,
    /// For whom, if not for the caller.
    pub customer: Option<UserId>,
    /// Whose time; none for whoever is free.
    pub provider: Option<ProviderId>,
    /// What is to be booked: a bare interval, or an appointment of a type.
    pub target: BookingTarget,
    /// What the customer wrote.
    pub note: String,
    /// What the customer answered.
    pub replies: Vec<Reply>,
    /// Why staff book against the rules, if they do.
    pub override_reason: String,
    /// For how long to hold it, where it is not to be booked yet.
    pub hold: Option<TimeDelta>,
}

/// A change of an appointment that somebody asks for.
#[derive(Debug, Clone)]
pub struct Decision {
    /// Whose time it is.
    pub provider: ProviderId,
    /// Id of the appointment.
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
}

/// What became of a booking.
enum Outcome {
    /// It was made.
    Made(Box<Appointment>),
    /// The provider has so much to do by now.
    Passed(ProviderLoad),
}

/// What became of a booking in one statement.
enum SingleStatementOutcome {
    /// It was made.
    Booked(Box<Appointment>),
    /// Nothing was changed.
    Nothing,
    /// The connection broke before the answer came: the same request tells, when it is put again.
    Unknown,
}

impl Bookings {
    /// Bookings on this database.
    pub fn new(
        store: Store,
        ambient: Ambient,
        schedule_cache: ScheduleCache,
        slots: Slots,
        practice: Practice,
    ) -> Self {
        let found = Batcher::new(&store, AppointmentBatch);
        Self { store, ambient, schedule_cache, found, slots, practice }
    }

    /// Books or holds, with the provider who is named or with whoever is free.
    pub async fn book(
        &self,
        deadline: Deadline,
        request: BookingRequest,
        idempotency_key: IdempotencyKey,
    ) -> Result<Appointment, Fault> {
        let Some(provider) = request.provider else {
            return Box::pin(self.book_with_anybody(deadline, request, idempotency_key)).await;
        };
        let permit = permit::book(request.caller, provider, request.customer)?;
        permit::override_rules(request.caller, provider, &request.override_reason)?;
        match self.book_with(deadline, permit, request, idempotency_key, None).await? {
            Outcome::Made(appointment) => Ok(*appointment),
            Outcome::Passed(_) => Err(Fault::unchecked()),
        }
    }

    async fn book_with(
        &self,
        deadline: Deadline,
        permit: permit::Book,
        request: BookingRequest,
        idempotency_key: IdempotencyKey,
        assigned: Option<Assigned>,
    ) -> Result<Outcome, Fault> {
        let now = self.ambient.now();
        let unit = Book {
            permit,
            id: AppointmentId(self.ambient.id(now)),
            target: request.target,
            note: request.note,
            replies: request.replies,
            override_reason: request.override_reason,
            hold: request.hold,
            assigned,
            idempotency_key,
            now,
            zones: self.ambient.zones(),
            practice: self.practice,
        };
        let single = match self.book_in_one_statement(deadline, &unit).await? {
            SingleStatementOutcome::Booked(appointment) => return Ok(Outcome::Made(appointment)),
            other => other,
        };
        match self.book_in_steps(deadline, unit).await {
            Err(fault)
                if matches!(single, SingleStatementOutcome::Unknown) && !is_definite(&fault) =>
            {
                Err(outcome_unknown(&fault))
            }
            other => other,
        }
    }

    async fn book_in_steps(&self, deadline: Deadline, unit: Book) -> Result<Outcome, Fault> {
        let (customer, now) = (unit.permit.customer, unit.now);
        let around = unit.target.start();
        let busy = match self.store.run(deadline, unit.clone()).await {
            Ok(booked) => return Ok(self.outcome(booked)),
            Err(fault) if fault.reason() == Reason::CustomerBusy => fault,
            Err(fault) => return Err(fault),
        };
        if !self.expire_elsewhere(deadline, customer, around, now).await? {
            return Err(busy);
        }
        let booked = self.store.run(deadline, unit).await?;
        Ok(self.outcome(booked))
    }

    /// Remembers the provider of a booking.
    fn outcome(&self, booked: Booked) -> Outcome {
        match booked {
            Booked::Made(made) => {
                let (appointment, provider) = *made;
                self.schedule_cache.keep(Arc::new(provider));
                Outcome::Made(Box::new(appointment))
            }
            Booked::Passed(load) => Outcome::Passed(load),
        }
    }

    /// Expires this customer's overdue requests around a time; whether there were any.
    async fn expire_elsewhere(
        &self,
        deadline: Deadline,
        customer: UserId,
        around: Instant,
        now: Instant,
    ) -> Result<bool, Fault> {
        let day = TimeDelta::days(1);
        let interval =
            Interval::new(around - day, around + day + day).ok_or_else(Fault::unchecked)?;
        let expired = Expired { customer, interval, now };
        let providers = self.store.read(deadline, expired).await?;
        for provider in &providers {
            self.store.run(deadline, ExpireClaims { provider: *provider, now }).await?;
        }
        Ok(!providers.is_empty())
    }

    /// Books, extends or gives up the caller's own hold, or one that the provider's side placed.
    pub async fn use_hold(
        &self,
        deadline: Deadline,
        caller: Caller,
        (provider, id): (ProviderId, HoldId),
        what: HoldAction,
        idempotency_key: IdempotencyKey,
    ) -> Result<Appointment, Fault> {
        let now = self.ambient.now();
        let zones = self.ambient.zones();
        let practice = self.practice;
        let unit = UseHold { caller, provider, id, what, idempotency_key, now, zones, practice };
        let busy = match self.store.run(deadline, unit.clone()).await {
            Err(fault) if fault.reason() == Reason::CustomerBusy => fault,
            other => return other,
        };
        let Some(held) = self.found.ask(deadline, (provider, id.as_appointment())).await?? else {
            return Err(busy);
        };
        if !self.expire_elsewhere(deadline, held.customer, held.start, now).await? {
            return Err(busy);
        }
        self.store.run(deadline, unit).await
    }

    /// Tries the whole booking in one statement.
    async fn book_in_one_statement(
        &self,
        deadline: Deadline,
        unit: &Book,
    ) -> Result<SingleStatementOutcome, Fault> {
        if self.store.engine() != Engine::Postgres {
            return Ok(SingleStatementOutcome::Nothing);
        }
        let Some(provider) = self.schedule_cache.get(unit.permit.provider) else {
            return Ok(SingleStatementOutcome::Nothing);
        };
        let BookingTarget::Interval(interval) = unit.target else {
            return Ok(SingleStatementOutcome::Nothing);
        };
        // The statement knows neither expiries nor terms, and takes the customer alone for the actor.
        let caller = unit.permit.caller;
        let Credential::Token { generation } = caller.credential else {
            return Ok(SingleStatementOutcome::Nothing);
        };
        let by_other = unit.permit.customer != caller.user;
        if unit.hold.is_some() || by_other || !unit.override_reason.is_empty() {
            return Ok(SingleStatementOutcome::Nothing);
        }
        // A reason against it may be a thing of the past; the unit of work looks again. The statement
        // itself looks at closures.
        let Ok(mut appointment) = unit.draft_interval(&provider, interval, Vec::new()) else {
            return Ok(SingleStatementOutcome::Nothing);
        };
        appointment.stamp = Stamp::new(self.ambient.bytes());
        let single = SingleStatementBooking {
            appointment,
            schedule: provider.schedule_revision(),
            caller,
            generation,
            idempotency_key: unit.idempotency_key.clone(),
            // The database's limit for one statement is there as well; a longer deadline is waited for in
            // steps, where a statement that ran into it is put again.
            patience: deadline.left().min(self.store.statement_timeout().mul_f32(0.9)),
        };
        match self.store.run_single(deadline, single.clone()).await {
            Ok(Some(appointment)) => Ok(SingleStatementOutcome::Booked(Box::new(appointment))),
            Ok(None) if self.store.read(deadline, single.taken()).await? => Err(slot_taken()),
            Ok(None) => Ok(SingleStatementOutcome::Nothing),
            Err(fault) => match fault.may_run_again() {
                Retryable::No => Err(fault),
                Retryable::Contention => Ok(SingleStatementOutcome::Nothing),
                // It may have been committed; only a request id can settle that.
                Retryable::Connection if unit.idempotency_key.id.is_some() => {
                    Ok(SingleStatementOutcome::Unknown)
                }
                Retryable::Connection => Err(outcome_unknown(&fault)),
            },
        }
    }

    /// An appointment, for those who may see it.
    pub async fn get(
        &self,
        deadline: Deadline,
        caller: Caller,
        provider: ProviderId,
        id: AppointmentId,
    ) -> Result<Appointment, Fault> {
        let found = self.found.ask(deadline, (provider, id)).await??;
        let found = found.filter(|found| found.state != State::Held);
        let found = found.ok_or_else(|| Fault::not_found(id.name(provider)))?;
        permit::see_appointment(caller, provider, id, found.customer)?;
        Ok(found.as_of(self.ambient.now()))
    }

    /// Appointments, for those who may see each of them, in the order of their names and as of one moment.
    pub async fn get_all(
        &self,
        deadline: Deadline,
        caller: Caller,
        names: Vec<(ProviderId, AppointmentId)>,
    ) -> Result<Vec<Appointment>, Fault> {
        let now = self.ambient.now();
        let found =
            self.store.read(deadline, AppointmentBatch.statement(names.clone().into())).await?;
        let seen = names.into_iter().zip(found).map(|((provider, id), found)| {
            let found = found?.filter(|found| found.state != State::Held);
            let found = found.ok_or_else(|| Fault::not_found(id.name(provider)))?;
            permit::see_appointment(caller, provider, id, found.customer)?;
            Ok(found.as_of(now))
        });
        seen.collect()
    }

    /// A page of appointments within the bounds of a permit, which the filter holds.
    pub async fn list(
        &self,
        deadline: Deadline,
        filter: Filter,
        after: Option<AppointmentCursor>,
        limit: u64,
    ) -> Result<Vec<Appointment>, Fault> {
        let now = filter.now;
        let found = self.store.read(deadline, List { filter, after, limit }).await?;
        Ok(found.into_iter().map(|each| each.as_of(now)).collect())
    }

    /// Moves an appointment to another time, if the caller may.
    pub async fn reschedule(
        &self,
        deadline: Deadline,
        unit: Reschedule,
    ) -> Result<Appointment, Fault> {
        let busy = match self.store.run(deadline, unit.clone()).await {
            Err(fault) if fault.reason() == Reason::CustomerBusy => fault,
            other => return other,
        };
        let found = self.get(deadline, unit.caller, unit.provider, unit.id).await?;
        if !self.expire_elsewhere(deadline, found.customer, unit.start, unit.now).await? {
            return Err(busy);
        }
        self.store.run(deadline, unit).await
    }

    /// Gives an appointment to another provider, if the caller may.
    pub async fn reassign(&self, deadline: Deadline, unit: Reassign) -> Result<Appointment, Fault> {
        self.store.run(deadline, unit).await
    }

    /// Writes on an appointment, if the caller may.
    pub async fn annotate(&self, deadline: Deadline, unit: Annotate) -> Result<Appointment, Fault> {
        self.store.run(deadline, unit).await
    }

    /// The present, for units of work that are made outside.
    pub fn now(&self) -> Instant {
        self.ambient.now()
    }

    /// The zone data that serve now, for the same.
    pub fn zones(&self) -> ZoneData {
        self.ambient.zones()
    }

    /// The settings of the practice, for the same.
    pub fn practice(&self) -> Practice {
        self.practice
    }

    /// The present, and the id of an appointment that is made now.
    pub fn now_and_id(&self) -> (Instant, AppointmentId) {
        let now = self.ambient.now();
        (now, AppointmentId(self.ambient.id(now)))
    }

    /// Changes the state of an appointment, if the caller may.
    pub async fn decide(
        &self,
        deadline: Deadline,
        caller: Caller,
        decision: Decision,
        idempotency_key: IdempotencyKey,
    ) -> Result<Decided, Fault> {
        let Decision { provider, id, change, reason, free_rest, only_move, expected } = decision;
        let unit = Decide {
            caller,
            provider,
            id,
            change,
            reason,
            free_rest,
            only_move,
            expected,
            idempotency_key,
            now: self.ambient.now(),
        };
        self.store.run(deadline, unit).await
    }

    /// Corrects an outcome that was marked by mistake, if the caller may.
    pub async fn correct(&self, deadline: Deadline, unit: Correct) -> Result<Appointment, Fault> {
        self.store.run(deadline, unit).await
    }
}

/// Whether a refusal would be the same had the statement before it been committed or not: it was told
/// by the rules, not by the circumstances.
fn is_definite(fault: &Fault) -> bool {
    !matches!(
        fault.reason().kind(),
        FaultKind::Unavailable
            | FaultKind::ResourceExhausted
            | FaultKind::DeadlineExceeded
            | FaultKind::Internal
    )
}

fn outcome_unknown(fault: &Fault) -> Fault {
    Fault::new(
        Reason::OutcomeUnknown,
        "the database connection broke while booking; retry with the same request_id, or look whether \
         the appointment exists",
    )
    .log(fault.to_string())
}

struct List {
    filter: Filter,
    after: Option<AppointmentCursor>,
    limit: u64,
}

impl Query for List {
    type Output = Vec<Appointment>;

    async fn run(&self, at: &Reader) -> Result<Self::Output, Fault> {
        store::list(at, &self.filter, self.after, self.limit).await
    }
}

struct Expired {
    customer: UserId,
    interval: Interval,
    now: Instant,
}

impl Query for Expired {
    type Output = Vec<ProviderId>;

    async fn run(&self, at: &Reader) -> Result<Self::Output, Fault> {
        claims::store::expired::expired_elsewhere(at, self.customer, self.interval, self.now).await
    }
}
