//! Units of work on attempts.

use chrono::TimeDelta;

use super::store::Counted;
use crate::{
    kernel::{
        fault::{Fault, Reason},
        time::Instant,
    },
    storage::{Tx, UnitOfWork},
};

/// Reserves an attempt.
#[derive(Debug, Clone)]
pub struct Reserve {
    /// What it is counted by.
    pub counted: Counted,
    /// The present.
    pub now: Instant,
}

impl UnitOfWork for Reserve {
    type Output = ();

    /// `TOO_MANY_ATTEMPTS` with the time to wait; then it is counted nowhere.
    async fn run(&self, tx: &Tx) -> Result<(), Fault> {
        match self.counted.reserve(tx, self.now).await? {
            Some(wait) => Err(too_many(wait)),
            None => Ok(()),
        }
    }
}

/// Gives an attempt back whose secret was not looked at.
#[derive(Debug, Clone)]
pub struct Refund {
    /// What it was counted by.
    pub counted: Counted,
    /// The present.
    pub now: Instant,
}

impl UnitOfWork for Refund {
    type Output = ();

    async fn run(&self, tx: &Tx) -> Result<(), Fault> {
        self.counted.refund(tx, self.now).await
    }
}

fn too_many(wait: TimeDelta) -> Fault {
    Fault::new(
        Reason::TooManyAttempts,
        "too many attempts were wrong; wait for the given delay before the next one",
    )
    .retry_after(wait.to_std().unwrap_or_default())
}
