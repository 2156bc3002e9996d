//! Whether commits are acknowledged: one small write every few seconds shows it. Units of work do not: many change
//! nothing, and a commit of nothing is acknowledged also while no other is.

use std::{
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::{sync::Notify, time::Instant as Moment};

use super::engine;
use crate::kernel::fault::Fault;

/// How often the small write is made.
const EVERY: Duration = Duration::from_secs(2);
/// How long it may take, with the wait for its turn on SQLite. With [`EVERY`] and the interval of the readiness
/// probe it is within nine seconds that readiness falls.
const LIMIT: Duration = Duration::from_secs(6);
/// How long the very first one is waited for.
const FIRST: Duration = Duration::from_secs(1);

/// The small write: one row, so that no number of processes leaves more behind. One statement outside a
/// transaction, so that its lock is not held while this process is stopped.
pub(super) const WRITE: &str = "INSERT INTO health_probes (id, writes) VALUES (1, 1)
    ON CONFLICT (id) DO UPDATE SET writes = health_probes.writes + 1";

/// Probe of whether commits are acknowledged on a set of connections.
#[derive(Debug, Default)]
pub(super) struct CommitProbe {
    state: Mutex<State>,
    ended: Notify,
}

#[derive(Debug, Default)]
struct State {
    /// One was acknowledged.
    is_known: bool,
    /// When the last small write began.
    began: Option<Moment>,
    is_under_way: bool,
    /// It waits behind units of work, of which the last one was committed then.
    waits: bool,
    committed: Option<Moment>,
    /// Why the last one failed.
    fault: Option<Fault>,
}

impl CommitProbe {
    /// Whether the small write is to be made now; then it counts as begun. Only one is under way at a time.
    pub(super) fn begin_if_due(&self) -> bool {
        let now = Moment::now();
        let mut state = self.state();
        let is_due = state.fault.is_some()
            || state.began.is_none_or(|began| now.duration_since(began) >= EVERY);
        if state.is_under_way || !is_due {
            return false;
        }
        (state.began, state.is_under_way) = (Some(now), true);
        true
    }

    /// The small write waits for the only writer.
    pub(super) fn waits_for_its_turn(&self) {
        self.state().waits = true;
    }

    /// It waits no longer. How long it takes counts from now on.
    pub(super) fn has_its_turn(&self) {
        let mut state = self.state();
        (state.waits, state.began) = (false, Some(Moment::now()));
    }

    /// A unit of work was committed. While the small write waits for the only writer that shows that those before
    /// it are not stuck.
    pub(super) fn committed(&self) {
        self.state().committed = Some(Moment::now());
    }

    /// The small write ended.
    pub(super) fn ended(&self, result: Result<(), Fault>) {
        {
            let mut state = self.state();
            state.is_under_way = false;
            state.is_known |= result.is_ok();
            state.fault = result.err();
        }
        self.ended.notify_one();
    }

    /// Whether commits are acknowledged, as far as it is known now.
    pub(super) async fn are_acknowledged(&self) -> Result<(), Fault> {
        if !self.state().is_known {
            // At the start, and on new connections: waited for, so that the first look tells.
            let _ = tokio::time::timeout(FIRST, self.ended.notified()).await;
        }
        let now = Moment::now();
        let state = self.state();
        if let Some(fault) = &state.fault {
            return Err(fault.clone());
        }
        if !state.is_known {
            return Err(engine::away().log("no commit was acknowledged yet"));
        }
        let is_long_ago = |moment: Moment| now.duration_since(moment) >= LIMIT;
        let is_stuck = !state.waits || state.committed.is_none_or(is_long_ago);
        let for_long = state.began.is_some_and(is_long_ago) && is_stuck;
        if state.is_under_way && for_long {
            return Err(engine::away().log("the database does not acknowledge commits"));
        }
        Ok(())
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
