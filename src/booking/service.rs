//! What callers can do with appointments.

use std::sync::Arc;

use super::{
    Appointment,
    commands::{Book, Decide, slot_taken},
    policy::Change,
    store::{self, Cursor, Filter, folded::Folded, found::ById},
};
use crate::{
    identity::{Caller, permit},
    kernel::{
        ambient::Ambient,
        fault::{Again, Fault, Kind, Reason},
        id::{AppointmentId, ProviderId},
        time::{Instant, Interval},
    },
    schedule::store::claims::Remembered,
    storage::{Deadline, Engine, Query, Snapshot, Store, batch::Batch, request::Once},
};

/// Appointments.
#[derive(Debug, Clone)]
pub struct Bookings {
    store: Store,
    ambient: Ambient,
    /// The schedules that bookings met last. A hint only: the statement that books with it goes through
    /// only if the stored schedule still has the same version.
    remembered: Remembered,
    /// Single appointments, asked for together.
    found: Batch<ById>,
}

/// An appointment that somebody asks for.
#[derive(Debug, Clone)]
pub struct Request {
    /// Whose time.
    pub provider: ProviderId,
    /// Which time.
    pub interval: Interval,
    /// What the customer wrote.
    pub note: String,
}

/// A change of an appointment that somebody asks for.
#[derive(Debug, Clone)]
pub struct Decision {
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
}

/// What became of a booking in one statement.
enum Folding {
    /// It was made.
    Booked(Box<Appointment>),
    /// Nothing was changed.
    Nothing,
    /// The connection broke before the answer came: the same request tells, when it is put again.
    Unknown,
}

impl Bookings {
    /// Bookings on this database.
    pub fn new(store: Store, ambient: Ambient, remembered: Remembered) -> Self {
        let found = Batch::new(&store, ById);
        Self { store, ambient, remembered, found }
    }

    /// Books an interval for the holder of the permit.
    pub async fn book(
        &self,
        deadline: Deadline,
        permit: permit::Book,
        request: Request,
        once: Once,
    ) -> Result<Appointment, Fault> {
        let now = self.ambient.now();
        let unit = Book {
            permit,
            id: AppointmentId(self.ambient.id(now)),
            interval: request.interval,
            note: request.note,
            once,
            now,
        };
        let folded = match self.book_folded(deadline, &unit).await? {
            Folding::Booked(appointment) => return Ok(*appointment),
            other => other,
        };
        match self.store.run(deadline, unit).await {
            Ok((appointment, provider)) => {
                self.remembered.keep(Arc::new(provider));
                Ok(appointment)
            }
            Err(fault) if matches!(folded, Folding::Unknown) && !is_definite(&fault) => {
                Err(outcome_unknown(&fault))
            }
            Err(fault) => Err(fault),
        }
    }

    /// Tries the whole booking in one statement.
    async fn book_folded(&self, deadline: Deadline, unit: &Book) -> Result<Folding, Fault> {
        // A longer deadline has to be told to the database, which takes a transaction.
        let long = deadline.left() > self.store.statement_timeout().mul_f32(1.1);
        if self.store.engine() != Engine::Postgres || long {
            return Ok(Folding::Nothing);
        }
        let Some(provider) = self.remembered.get(unit.permit.provider) else {
            return Ok(Folding::Nothing);
        };
        // A reason against it may be a thing of the past; the unit of work looks again.
        let Ok(appointment) = unit.draft(&provider) else { return Ok(Folding::Nothing) };
        let folded = Folded {
            appointment,
            schedule_version: provider.schedule_version,
            once: unit.once.clone(),
            patience: deadline.left(),
        };
        match self.store.run_single(deadline, folded.clone()).await {
            Ok(Some(appointment)) => Ok(Folding::Booked(Box::new(appointment))),
            Ok(None) if self.store.read(deadline, folded.taken()).await? => Err(slot_taken()),
            Ok(None) => Ok(Folding::Nothing),
            Err(fault) => match fault.may_run_again() {
                Again::No => Err(fault),
                Again::Contention => Ok(Folding::Nothing),
                // It may have been committed; only a request id can settle that.
                Again::Connection if unit.once.id.is_some() => Ok(Folding::Unknown),
                Again::Connection => Err(outcome_unknown(&fault)),
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
        let found = found.ok_or_else(|| Fault::not_found(id.name(provider)))?;
        permit::see_appointment(caller, provider, id, found.customer)?;
        Ok(found)
    }

    /// A page of appointments within the bounds of a permit, which the filter holds.
    pub async fn list(
        &self,
        deadline: Deadline,
        filter: Filter,
        after: Option<Cursor>,
        limit: u64,
    ) -> Result<Vec<Appointment>, Fault> {
        self.store.read(deadline, List { filter, after, limit }).await
    }

    /// Cancels or completes an appointment, if the caller may.
    pub async fn decide(
        &self,
        deadline: Deadline,
        caller: Caller,
        decision: Decision,
        once: Once,
    ) -> Result<Appointment, Fault> {
        let Decision { provider, id, change, reason, expected } = decision;
        let now: Instant = self.ambient.now();
        let unit = Decide { caller, provider, id, change, reason, expected, once, now };
        self.store.run(deadline, unit).await
    }
}

/// Whether a refusal would be the same had the statement before it been committed or not: it was told
/// by the rules, not by the circumstances.
fn is_definite(fault: &Fault) -> bool {
    !matches!(
        fault.reason().kind(),
        Kind::Unavailable | Kind::ResourceExhausted | Kind::DeadlineExceeded | Kind::Internal
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
    after: Option<Cursor>,
    limit: u64,
}

impl Query for List {
    type Output = Vec<Appointment>;

    async fn run(&self, at: &Snapshot) -> Result<Self::Output, Fault> {
        store::list(at, &self.filter, self.after, self.limit).await
    }
}
