//! Giving positions to events, and removing old ones.

use super::store;
use crate::{
    kernel::{fault::Fault, time::Instant},
    storage::{Authority, Tx, UnitOfWork},
};

/// How many providers get a position in one transaction at most.
const MOST_PROVIDERS: i64 = 1000;
/// How many versions a position has at most: who reads sorts those of one.
const MOST_VERSIONS: i64 = 5000;

/// Gives positions to what is committed and has none yet. The output is whether all of it has one now.
#[derive(Debug, Clone)]
pub struct GivePositions {
    /// The present.
    pub now: Instant,
}

impl UnitOfWork for GivePositions {
    type Output = bool;
    const AUTHORITY: Authority = Authority::Nobody;

    async fn run(&self, tx: &Tx) -> Result<bool, Fault> {
        // Before anything is looked at: whoever had the lock before has given positions, and is seen now.
        let last = store::lock(tx).await?;
        let given = store::give(tx, last, self.now, (MOST_PROVIDERS, MOST_VERSIONS)).await?;
        if given > 0 {
            store::take_over(tx, last).await?;
        }
        let is_all = i64::try_from(given).is_ok_and(|given| given < MOST_PROVIDERS);
        Ok(is_all && !store::is_cut(tx, last, MOST_VERSIONS).await?)
    }
}

/// Removes positions whose next ones were given before an instant. The output is how many there were.
#[derive(Debug, Clone)]
pub struct RemovePositions {
    /// The instant.
    pub before: Instant,
    /// How many go at most.
    pub limit: i64,
}

impl UnitOfWork for RemovePositions {
    type Output = u64;
    const AUTHORITY: Authority = Authority::Nobody;

    async fn run(&self, tx: &Tx) -> Result<u64, Fault> {
        store::lock(tx).await?;
        store::remove(tx, self.before, self.limit).await
    }
}
