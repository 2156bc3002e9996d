//! Work of which one is under way at a time, so that looks at a database that hangs do not pile up.

use std::{future::Future, time::Duration};

use tokio::{sync::Mutex, task::JoinHandle};

use crate::kernel::fault::Fault;

/// The work that is under way, if any.
#[derive(Debug)]
pub(super) struct SingleFlight<T>(Mutex<Option<JoinHandle<Result<T, Fault>>>>);

impl<T> Default for SingleFlight<T> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

impl<T: Send + 'static> SingleFlight<T> {
    /// Begins the work in a task of its own, unless it is under way already, and waits for it so long. None when
    /// it takes longer; then it goes on, and the next call waits for it.
    pub(super) async fn within(
        &self,
        patience: Duration,
        work: impl Future<Output = Result<T, Fault>> + Send + 'static,
    ) -> Option<Result<T, Fault>> {
        let mut under_way = self.0.lock().await;
        let mut task = under_way.take().unwrap_or_else(|| tokio::spawn(work));
        match tokio::time::timeout(patience, &mut task).await {
            Ok(Ok(done)) => Some(done),
            Ok(Err(error)) => Some(Err(Fault::internal(format!("a storage task: {error}")))),
            Err(_) => {
                *under_way = Some(task);
                None
            }
        }
    }
}
