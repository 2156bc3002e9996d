//! Closures of the practice, one after the other. Each locks all providers, so that bookings wait for it; after each
//! they have as much time for themselves as it took.

use std::sync::Arc;

use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::Instant as Moment,
};

use crate::{
    kernel::fault::{Fault, Reason},
    storage::Deadline,
};

/// Lets one closure at a time change the practice. Clones share it. Other processes have their own.
#[derive(Debug, Clone)]
pub struct Closing(Arc<Semaphore>);

impl Default for Closing {
    fn default() -> Self {
        Self(Arc::new(Semaphore::new(1)))
    }
}

/// The right to change the practice. When it is dropped, the next one waits as long as this one took.
#[derive(Debug)]
pub struct Change {
    permit: Option<OwnedSemaphorePermit>,
    began: Moment,
}

impl Closing {
    /// Waits until no other closure is under way. Faults: `DEADLINE_EXCEEDED`.
    pub async fn wait(&self, deadline: Deadline) -> Result<Change, Fault> {
        match tokio::time::timeout_at(deadline.0, Arc::clone(&self.0).acquire_owned()).await {
            Ok(permit) => Ok(Change { permit: permit.ok(), began: Moment::now() }),
            Err(_) => Err(Fault::new(
                Reason::DeadlineExceeded,
                "the call's deadline passed while other closures were made",
            )),
        }
    }
}

impl Drop for Change {
    fn drop(&mut self) {
        let (permit, took) = (self.permit.take(), self.began.elapsed());
        let Ok(runtime) = tokio::runtime::Handle::try_current() else { return };
        runtime.spawn(async move {
            tokio::time::sleep(took).await;
            drop(permit);
        });
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn others_have_as_much_time_as_a_closure_took() {
        let (closing, later) = (Closing::default(), Deadline::after(Duration::from_mins(1)));
        let change = closing.wait(later).await.unwrap();
        tokio::time::sleep(Duration::from_millis(20)).await;
        let fault = closing.wait(Deadline::after(Duration::from_millis(5))).await.unwrap_err();
        assert_eq!(fault.reason(), Reason::DeadlineExceeded);
        let ended = Moment::now();
        drop(change);
        drop(closing.wait(later).await.unwrap());
        assert!(ended.elapsed() >= Duration::from_millis(25), "{:?}", ended.elapsed());
    }
}
