//! What callers can do with appointments.

use std::{sync::Arc, time::Duration};

use super::{
    Appointment,
    commands::{Book, Decide},
    policy::Change,
    store::{self, Cursor, Filter, folded::Folded, found::ById},
};
use crate::{
    identity::{Caller, permit},
    kernel::{
        ambient::Ambient,
        fault::{Again, Fault, Reason},
        id::{AppointmentId, ProviderId},
        time::{Instant, Interval},
    },
    schedule::store::claims::Remembered,
    storage::{Deadline, Engine, Query, Snapshot, Store, batch::Batch, request::Once},
};

/// With less time left than this, a booking takes the way of several statements, where the database
/// is told the deadline.
const ENOUGH: Duration = Duration::from_secs(1);

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
        if let Some(appointment) = self.book_folded(deadline, &unit).await? {
            return Ok(appointment);
        }
        let (appointment, provider) = self.store.run(deadline, unit).await?;
        self.remembered.keep(Arc::new(provider));
        Ok(appointment)
    }

    /// Tries the whole booking in one statement. Nothing means that nothing was changed, or that a
    /// retry of the same request will tell.
    async fn book_folded(
        &self,
        deadline: Deadline,
        unit: &Book,
    ) -> Result<Option<Appointment>, Fault> {
        if self.store.engine() != Engine::Postgres || deadline.left() < ENOUGH {
            return Ok(None);
        }
        let Some(provider) = self.remembered.get(unit.permit.provider) else { return Ok(None) };
        // A reason against it may be a thing of the past; the unit of work looks again.
        let Ok(appointment) = unit.draft(&provider) else { return Ok(None) };
        let folded = Folded {
            appointment,
            schedule_version: provider.schedule_version,
            once: unit.once.clone(),
        };
        match self.store.run_single(folded).await {
            Err(fault) => match fault.may_run_again() {
                Again::No => Err(fault),
                Again::Contention => Ok(None),
                // It may have been committed; only a request id can settle that.
                Again::Connection if unit.once.id.is_some() => Ok(None),
                Again::Connection => Err(Fault::new(
                    Reason::OutcomeUnknown,
                    "the database connection broke while booking; look whether the appointment \
                     exists before trying again, or send a request_id next time",
                )
                .log(fault.to_string())),
            },
            done => done,
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
        let found = self.found.ask(deadline, (provider, id)).await?;
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
