//! Whether commits are acknowledged: those of the calls, and one small write every few seconds.

use std::{
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::{sync::Notify, time::Instant as Moment};

use super::engine;
use crate::kernel::fault::Fault;

/// How often the small write is made.
const EVERY: Duration = Duration::from_secs(2);
/// How long it may take while nothing else is acknowledged. With [`EVERY`] and the interval of the readiness probe
/// it is within seven seconds that readiness falls.
const LIMIT: Duration = Duration::from_secs(4);
/// How long the very first one is waited for.
const FIRST: Duration = Duration::from_secs(1);

/// The small write: one row, so that no number of processes leaves more behind. One statement outside a
/// transaction, so that its lock is not held while this process is stopped.
pub(super) const WRITE: &str = "INSERT INTO health_probes (id, writes) VALUES (1, 1)
    ON CONFLICT (id) DO UPDATE SET writes = health_probes.writes + 1";

/// What is known of the commits on some connections.
#[derive(Debug, Default)]
pub(super) struct Commits {
    state: Mutex<State>,
    ended: Notify,
}

#[derive(Debug, Default)]
struct State {
    /// When the last commit was acknowledged.
    acknowledged: Option<Moment>,
    /// When the last small write began.
    began: Option<Moment>,
    is_under_way: bool,
    /// Why the last one failed, if nothing was acknowledged since.
    fault: Option<Fault>,
}

impl Commits {
    /// A commit was acknowledged.
    pub(super) fn acknowledged(&self) {
        let mut state = self.state();
        state.acknowledged = Some(Moment::now());
        state.fault = None;
    }

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

    /// The small write ended.
    pub(super) fn ended(&self, result: Result<(), Fault>) {
        match result {
            Ok(()) => self.acknowledged(),
            Err(fault) => self.state().fault = Some(fault),
        }
        self.state().is_under_way = false;
        self.ended.notify_one();
    }

    /// Whether commits are acknowledged, as far as it is known now.
    pub(super) async fn are_acknowledged(&self) -> Result<(), Fault> {
        if self.state().acknowledged.is_none() {
            // At the start, and on new connections: waited for, so that the first look tells.
            let _ = tokio::time::timeout(FIRST, self.ended.notified()).await;
        }
        let now = Moment::now();
        let state = self.state();
        if let Some(fault) = &state.fault {
            return Err(fault.clone());
        }
        let for_long =
            |since: Option<Moment>| since.is_none_or(|at| now.duration_since(at) >= LIMIT);
        if state.acknowledged.is_none() {
            return Err(engine::away().log("no commit was acknowledged yet"));
        }
        if state.is_under_way && for_long(state.began) && for_long(state.acknowledged) {
            return Err(engine::away().log("the database does not acknowledge commits"));
        }
        Ok(())
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
