//! Units of work on emails.

use uuid::Uuid;

use super::{LEASE, LeasedEmail, store};
use crate::{
    kernel::{fault::Fault, time::Instant},
    storage::{Authority, Tx, UnitOfWork},
};

/// How many emails are taken at a time.
const AT_ONCE: u64 = 10;

/// Takes what is due, for sending.
#[derive(Debug, Clone, Copy)]
pub struct Take {
    /// Current time.
    pub now: Instant,
}

impl UnitOfWork for Take {
    type Output = Vec<LeasedEmail>;
    const AUTHORITY: Authority = Authority::Nobody;

    async fn run(&self, tx: &Tx) -> Result<Self::Output, Fault> {
        store::take(tx, self.now, self.now + LEASE, AT_ONCE).await
    }
}

/// What became of an email.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// It was sent, or never will be.
    Over,
    /// It is to be tried again then.
    Later(Instant),
}

/// Notes what became of an email.
#[derive(Debug, Clone, Copy)]
pub struct Settle {
    /// The id of the email.
    pub letter: Uuid,
    /// What became of it.
    pub outcome: Outcome,
}

impl UnitOfWork for Settle {
    type Output = ();
    const AUTHORITY: Authority = Authority::Nobody;

    async fn run(&self, tx: &Tx) -> Result<(), Fault> {
        match self.outcome {
            Outcome::Over => store::remove(tx, self.letter).await,
            Outcome::Later(due) => store::put_back(tx, self.letter, due).await,
        }
    }
}
