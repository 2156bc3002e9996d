//! Units of work on attempts.

use chrono::TimeDelta;

use super::store::{Reserved, ThrottleKeySet};
use crate::{
    accounts::audit::{self, AuditContext, AuditData},
    kernel::{
        fault::{Fault, Reason},
        time::Instant,
    },
    storage::{Authority, Tx, UnitOfWork},
};

/// Reserves an attempt.
#[derive(Debug, Clone)]
pub struct Reserve {
    /// What it is counted by.
    pub counted: ThrottleKeySet,
    /// Nobody in particular.
    pub audit_context: AuditContext,
}

impl UnitOfWork for Reserve {
    /// Whether delays for everybody began with it.
    type Output = bool;
    const AUTHORITY: Authority = Authority::Nobody;

    /// `TOO_MANY_ATTEMPTS` with the time to wait; then it is counted nowhere.
    async fn run(&self, tx: &Tx) -> Result<bool, Fault> {
        match self.counted.reserve(tx, self.audit_context.now).await? {
            Reserved::Wait(wait) => Err(too_many(wait)),
            Reserved::Yes { alarm } => {
                if alarm {
                    let entry = self.audit_context.of(AuditData::LogInsDelayed, None, None);
                    audit::store::record(tx, entry).await?;
                }
                Ok(alarm)
            }
        }
    }
}

/// Gives an attempt back whose secret was not looked at.
#[derive(Debug, Clone)]
pub struct Refund {
    /// What it was counted by.
    pub counted: ThrottleKeySet,
    /// The present.
    pub now: Instant,
}

impl UnitOfWork for Refund {
    type Output = ();
    const AUTHORITY: Authority = Authority::Nobody;

    async fn run(&self, tx: &Tx) -> Result<(), Fault> {
        self.counted.refund(tx, self.now).await
    }
}

/// A unit of work that something secret was shown for, and gives its attempt back where that was right.
#[derive(Debug, Clone)]
pub struct Attempted<U: UnitOfWork> {
    /// The unit of work to run.
    pub unit: U,
    /// What the attempt was counted by.
    pub counted: ThrottleKeySet,
    /// Whether nothing was wrong.
    pub is_right: fn(&U::Output) -> bool,
    /// The present.
    pub now: Instant,
}

impl<U: UnitOfWork> UnitOfWork for Attempted<U> {
    type Output = U::Output;
    const AUTHORITY: Authority = U::AUTHORITY;

    async fn run(&self, tx: &Tx) -> Result<U::Output, Fault> {
        let output = self.unit.run(tx).await?;
        if (self.is_right)(&output) {
            // Last of all: many wait for these rows, and whoever has them waits for no others.
            self.counted.refund(tx, self.now).await?;
        }
        Ok(output)
    }
}

fn too_many(wait: TimeDelta) -> Fault {
    Fault::new(
        Reason::TooManyAttempts,
        "too many attempts were wrong; wait for the given delay before the next one",
    )
    .retry_after(wait.to_std().unwrap_or_default())
}
