//! The bulkhead: expensive calls wait for one another, and not everybody for them.
//!
//! A call that reads or computes much takes a turn first. There are as many turns as cores, so that neither
//! the connections to the database nor the memory that such calls need grow with their number. What takes
//! long is computed on threads of the bulkhead's own, which give way to those that serve.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
        mpsc,
    },
    thread,
    time::Duration,
};

use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore, oneshot},
    time::Instant as Moment,
};

use crate::{
    kernel::fault::{Fault, Reason},
    storage::Deadline,
};

/// How many may wait for a turn; the next one is refused.
pub const QUEUE: usize = 64;
/// An expensive call takes some tens of milliseconds, and others wait before this one.
const LATER: Duration = Duration::from_secs(1);
/// As the threads that hash: a tenth of the share of a thread of normal niceness, `sched(7)`.
#[cfg(target_os = "linux")]
const NICENESS: i32 = 10;

/// What a thread does.
type Job = Box<dyn FnOnce() + Send>;

/// How many are at work at once, and how many wait. Clones share them.
#[derive(Debug, Clone)]
pub struct Turns {
    at_once: Arc<Semaphore>,
    /// Those who have a turn and those who wait.
    queue: Arc<Semaphore>,
}

impl Turns {
    /// So many at once, and one at least.
    pub fn new(at_once: usize) -> Self {
        let at_once = at_once.max(1);
        let queue = Arc::new(Semaphore::new(at_once + QUEUE));
        Self { at_once: Arc::new(Semaphore::new(at_once)), queue }
    }

    /// Waits for a turn. Faults: `OVERLOADED` when too many wait.
    pub async fn turn(&self) -> Result<Turn, Fault> {
        let queued = Arc::clone(&self.queue).try_acquire_owned();
        let queued = queued.map_err(|_| Fault::overloaded(LATER))?;
        let turn = Arc::clone(&self.at_once).acquire_owned().await;
        let turn = turn.map_err(|_| Fault::internal("nobody has a turn any more"))?;
        Ok(Turn(Arc::new((turn, queued))))
    }
}

/// Turns for expensive calls, and threads to compute on. Clones share them.
#[derive(Debug, Clone)]
pub struct Bulkhead(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    turns: Turns,
    jobs: mpsc::Sender<Job>,
}

/// The right to be one of the few expensive calls under way. Given back when the last clone is dropped.
#[derive(Debug, Clone)]
pub struct Turn(
    #[expect(dead_code, reason = "held, not read")]
    Arc<(OwnedSemaphorePermit, OwnedSemaphorePermit)>,
);

/// Whether a computation is still wanted.
#[derive(Debug)]
pub struct Stop {
    left: Arc<AtomicBool>,
    deadline: Deadline,
}

impl Stop {
    /// A computation that is wanted for ever.
    pub fn never() -> Self {
        let far = Duration::from_hours(24);
        Self { left: Arc::default(), deadline: Deadline::after(far) }
    }

    /// Whether the caller has left or its deadline has passed.
    pub fn is_now(&self) -> bool {
        self.left.load(Ordering::Relaxed) || Moment::now() >= self.deadline.0
    }
}

/// Tells the computation when whoever waits for it is dropped.
struct Leaving(Arc<AtomicBool>);

impl Drop for Leaving {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

impl Bulkhead {
    /// So many turns, and as many threads. The threads end when the last clone is dropped.
    pub fn start(count: usize) -> Result<Self, Fault> {
        let count = count.max(1);
        let (jobs, next) = mpsc::channel::<Job>();
        let next = Arc::new(Mutex::new(next));
        for _ in 0..count {
            let next = Arc::clone(&next);
            thread::Builder::new()
                .name("computing".to_owned())
                .spawn(move || work_off(&next))
                .map_err(|e| Fault::internal(format!("a thread for computing: {e}")))?;
        }
        Ok(Self(Arc::new(Inner { turns: Turns::new(count), jobs })))
    }

    /// Waits for a turn. Faults: `OVERLOADED` when too many wait; `DEADLINE_EXCEEDED`.
    pub async fn turn(&self, deadline: Deadline) -> Result<Turn, Fault> {
        tokio::time::timeout_at(deadline.0, self.0.turns.turn())
            .await
            .unwrap_or_else(|_| Err(late()))
    }

    /// Computes on a thread of its own, for a call that has a turn; the turn lasts at least as long.
    ///
    /// `job` looks at [`Stop`] now and then and gives up with `None`. Faults: `DEADLINE_EXCEEDED`.
    pub async fn compute<T: Send + 'static>(
        &self,
        deadline: Deadline,
        turn: &Turn,
        job: impl FnOnce(&Stop) -> Option<T> + Send + 'static,
    ) -> Result<T, Fault> {
        let left = Arc::new(AtomicBool::new(false));
        let stop = Stop { left: Arc::clone(&left), deadline };
        let _leaving = Leaving(left);
        let (send, receive) = oneshot::channel();
        let turn = turn.clone();
        let job = move || {
            let done = if stop.is_now() { None } else { job(&stop) };
            // Before the answer, so that who has it finds the next turn free.
            drop(turn);
            // Whoever left in the meantime does not mind.
            drop(send.send(done));
        };
        if self.0.jobs.send(Box::new(job)).is_err() {
            return Err(Fault::internal("the threads for computing have ended"));
        }
        match tokio::time::timeout_at(deadline.0, receive).await {
            Ok(Ok(Some(done))) => Ok(done),
            Ok(Ok(None)) | Err(_) => Err(late()),
            Ok(Err(_)) => Err(Fault::internal("a computation panicked")),
        }
    }
}

/// A thread's life.
fn work_off(next: &Mutex<mpsc::Receiver<Job>>) {
    yield_to_others();
    loop {
        let job = next.lock().unwrap_or_else(PoisonError::into_inner).recv();
        let Ok(job) = job else { return };
        // A panic is the job's own; its caller learns that nothing came.
        if catch_unwind(AssertUnwindSafe(job)).is_err() {
            tracing::error!("a computation panicked");
        }
    }
}

/// Lowers this thread's priority: whoever serves short calls comes first.
fn yield_to_others() {
    // On Linux a thread has a niceness of its own; POSIX gives one to the process.
    #[cfg(target_os = "linux")]
    if let Err(error) =
        rustix::process::setpriority_process(Some(rustix::thread::gettid()), NICENESS)
    {
        tracing::warn!(%error, "computing threads keep the priority of the others");
    }
}

fn late() -> Fault {
    Fault::new(Reason::DeadlineExceeded, "the call's deadline passed before it was computed")
}

#[cfg(test)]
mod tests {
    use super::*;

    const SOON: Duration = Duration::from_millis(20);

    fn patient() -> Deadline {
        Deadline::after(Duration::from_mins(1))
    }

    #[tokio::test]
    async fn expensive_calls_wait_for_one_another_and_too_many_are_refused() {
        let bulkhead = Bulkhead::start(2).unwrap();
        let first = bulkhead.turn(patient()).await.unwrap();
        let second = bulkhead.turn(patient()).await.unwrap();
        let fault = bulkhead.turn(Deadline::after(SOON)).await.unwrap_err();
        assert_eq!(fault.reason(), Reason::DeadlineExceeded);
        let waiting: Vec<_> = (0..QUEUE)
            .map(|_| {
                let bulkhead = bulkhead.clone();
                tokio::spawn(async move { bulkhead.turn(patient()).await.map(drop) })
            })
            .collect();
        while bulkhead.0.turns.queue.available_permits() > 0 {
            tokio::task::yield_now().await;
        }
        let fault = bulkhead.turn(patient()).await.unwrap_err();
        assert_eq!(fault.reason(), Reason::Overloaded);
        drop((first, second));
        for each in waiting {
            each.await.unwrap().unwrap();
        }
    }

    #[tokio::test]
    async fn a_turn_lasts_as_long_as_its_computation_also_when_the_caller_has_left() {
        let bulkhead = Bulkhead::start(1).unwrap();
        let (began, has_begun) = mpsc::channel();
        let (go_on, may_go_on) = mpsc::channel::<()>();
        let turn = bulkhead.turn(patient()).await.unwrap();
        let call = {
            let bulkhead = bulkhead.clone();
            tokio::spawn(async move {
                let job = move |stop: &Stop| {
                    began.send(()).unwrap();
                    let _ = may_go_on.recv();
                    // What the caller's departure tells it.
                    assert!(stop.is_now());
                    None::<()>
                };
                bulkhead.compute(patient(), &turn, job).await
            })
        };
        tokio::task::spawn_blocking(move || has_begun.recv().unwrap()).await.unwrap();
        call.abort();
        assert!(call.await.unwrap_err().is_cancelled());
        let fault = bulkhead.turn(Deadline::after(SOON)).await.unwrap_err();
        assert_eq!(fault.reason(), Reason::DeadlineExceeded, "it still computes");
        go_on.send(()).unwrap();
        bulkhead.turn(patient()).await.unwrap();
    }

    #[tokio::test]
    async fn a_panic_or_a_deadline_ends_one_computation_alone() {
        let bulkhead = Bulkhead::start(1).unwrap();
        let turn = bulkhead.turn(patient()).await.unwrap();
        let panics = |_: &Stop| -> Option<()> { panic!("on purpose") };
        let fault = bulkhead.compute(patient(), &turn, panics).await.unwrap_err();
        assert_eq!(fault.reason(), Reason::Internal);
        let endless = |stop: &Stop| -> Option<()> {
            while !stop.is_now() {
                thread::yield_now();
            }
            None
        };
        let fault = bulkhead.compute(Deadline::after(SOON), &turn, endless).await.unwrap_err();
        assert_eq!(fault.reason(), Reason::DeadlineExceeded);
        assert_eq!(bulkhead.compute(patient(), &turn, |_| Some(7)).await.unwrap(), 7);
    }
}
