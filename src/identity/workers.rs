//! Threads that hash. They give way to short calls, and keep the memory of a hash only while there are more.

use std::{
    collections::VecDeque,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    thread,
    time::Duration,
};

use argon2::Block;

use crate::kernel::fault::Fault;

/// A tenth of the share of a thread of normal niceness, `sched(7)`: enough that log-ins go on in a flood of
/// other calls.
#[cfg(target_os = "linux")]
const HASHING_NICENESS: i32 = 10;

/// So long nobody else must have called before the workers that stand back go on: ten hashes or so. Short
/// enough that nobody notices who waits for it, and longer than the pauses between calls of any real load.
const LULL: Duration = Duration::from_millis(250);

/// The memory that one hash needs after another: 19 MiB that are not asked of the system for each, which
/// would take it a fifth of the time of the hash itself to give and clear.
#[derive(Debug, Default)]
pub(super) struct Memory(Vec<Block>);

impl Memory {
    /// So many blocks, with anything in them.
    pub(super) fn blocks(&mut self, count: usize) -> &mut [Block] {
        if self.0.len() < count {
            // Not kept beside the new ones while those are made.
            self.0 = Vec::new();
            self.0.resize(count, Block::default());
        }
        self.0.get_mut(..count).unwrap_or_default()
    }
}

/// What a worker does.
pub(super) type Job = Box<dyn FnOnce(&mut Memory) + Send>;

/// The threads. They end when this is dropped, after the jobs that were given to them.
pub(super) struct Workers(Arc<Shared>);

struct Shared {
    queue: Mutex<Queue>,
    changed: Condvar,
    /// How many other calls there were.
    calls: Box<dyn Fn() -> u64 + Send + Sync>,
}

#[derive(Default)]
struct Queue {
    jobs: VecDeque<Job>,
    closed: bool,
    /// How often a worker stood back from a job.
    stood_back: u64,
}

impl Workers {
    /// So many threads. Half of them stand back while others call: `calls` counts those.
    ///
    /// A lower priority is not enough for that: the scheduler weighs it within a group of processes only,
    /// and a database on the same machine is in another one; and a hash that was let onto a processor stays
    /// there for a tick of the clock, which short calls then wait for at each step they take.
    pub(super) fn start(
        count: usize,
        calls: impl Fn() -> u64 + Send + Sync + 'static,
    ) -> Result<Self, Fault> {
        let shared = Arc::new(Shared {
            queue: Mutex::default(),
            changed: Condvar::new(),
            calls: Box::new(calls),
        });
        let workers = Self(Arc::clone(&shared));
        for number in 0..count {
            let (shared, stands_back) = (Arc::clone(&shared), number < count / 2);
            thread::Builder::new()
                .name("password".to_owned())
                .spawn(move || shared.work_off(stands_back))
                .map_err(|e| Fault::internal(format!("a thread for hashing: {e}")))?;
        }
        Ok(workers)
    }

    /// Adds a job.
    pub(super) fn give(&self, job: Job) {
        self.0.lock().jobs.push_back(job);
        // All of them: one alone might be one that stands back.
        self.0.changed.notify_all();
    }
}

impl Drop for Workers {
    fn drop(&mut self) {
        self.0.lock().closed = true;
        self.0.changed.notify_all();
    }
}

impl Shared {
    /// Nothing panics while it holds the queue.
    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A worker's life.
    fn work_off(&self, stands_back: bool) {
        yield_to_others();
        let mut memory = Memory::default();
        let mut before = (self.calls)();
        while let Some(job) = self.next(stands_back, before, &mut memory) {
            before = (self.calls)();
            // A panic is the job's own; its asker learns that nothing came.
            if catch_unwind(AssertUnwindSafe(|| job(&mut memory))).is_err() {
                tracing::error!("a hashing job panicked");
            }
        }
    }

    /// Waits for the next job; nothing at the end. `before` is what was counted when this worker looked last.
    fn next(&self, stands_back: bool, mut before: u64, memory: &mut Memory) -> Option<Job> {
        let mut queue = self.lock();
        loop {
            let now = (self.calls)();
            let pressing = stands_back && now != before && !queue.closed;
            if !pressing && let Some(job) = queue.jobs.pop_front() {
                return Some(job);
            }
            if queue.closed {
                return None;
            }
            *memory = Memory::default();
            if queue.jobs.is_empty() {
                queue = self.changed.wait(queue).unwrap_or_else(PoisonError::into_inner);
                continue;
            }
            before = now;
            queue.stood_back += 1;
            // Whole, whatever else is given to the workers meanwhile.
            let wait = self.changed.wait_timeout_while(queue, LULL, |queue| !queue.closed);
            queue = wait.unwrap_or_else(PoisonError::into_inner).0;
        }
    }
}

/// Lowers this thread's priority, so that a hash, which takes a core for milliseconds, gives it up to
/// whoever has a short call to answer. Hashes still take every core that nobody else wants.
fn yield_to_others() {
    // On Linux a thread has a niceness of its own; POSIX gives one to the process.
    #[cfg(target_os = "linux")]
    if let Err(error) =
        rustix::process::setpriority_process(Some(rustix::thread::gettid()), HASHING_NICENESS)
    {
        tracing::warn!(%error, "hashing threads keep the priority of the others");
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{
        atomic::{AtomicBool, AtomicU64, Ordering},
        mpsc,
    };

    use super::*;

    const PATIENCE: Duration = Duration::from_mins(1);

    /// Gives a job that says when it began and goes on when it is let.
    fn give(workers: &Workers) -> (mpsc::Receiver<()>, mpsc::Sender<()>) {
        let (began, has_begun) = mpsc::channel();
        let (go_on, may_go_on) = mpsc::channel();
        workers.give(Box::new(move |_| {
            began.send(()).unwrap();
            let _ = may_go_on.recv();
        }));
        (has_begun, go_on)
    }

    #[test]
    fn while_others_call_half_of_the_workers_stand_back() {
        let (called, calling) = (AtomicU64::new(0), Arc::new(AtomicBool::new(true)));
        let still = Arc::clone(&calling);
        // Each look finds another call, as long as there are any.
        let workers = Workers::start(2, move || {
            called.fetch_add(still.load(Ordering::SeqCst).into(), Ordering::SeqCst)
        })
        .unwrap();
        let (first, end_first) = give(&workers);
        first.recv_timeout(PATIENCE).unwrap();
        let (second, _end_second) = give(&workers);
        // A whole lull has passed when it stands back for the second time.
        while workers.0.lock().stood_back < 2 {
            thread::yield_now();
        }
        assert!(second.try_recv().is_err(), "one of two workers hashes");
        calling.store(false, Ordering::SeqCst);
        second.recv_timeout(PATIENCE).expect("both hash when nobody else calls");
        drop(end_first);
    }

    #[test]
    fn one_worker_never_stands_back() {
        let called = AtomicU64::new(0);
        let workers = Workers::start(1, move || called.fetch_add(1, Ordering::SeqCst)).unwrap();
        let (first, _end) = give(&workers);
        first.recv_timeout(PATIENCE).unwrap();
    }

    #[test]
    fn all_work_while_nobody_calls() {
        let workers = Workers::start(3, || 7).unwrap();
        let jobs: Vec<_> = (0..3).map(|_| give(&workers)).collect();
        for (began, _) in &jobs {
            began.recv_timeout(PATIENCE).unwrap();
        }
    }

    #[test]
    fn what_was_given_is_done_before_the_end() {
        let workers = Workers::start(2, || 7).unwrap();
        let (send, receive) = mpsc::channel();
        for number in 0..8 {
            let send = send.clone();
            workers.give(Box::new(move |_| send.send(number).unwrap()));
        }
        drop((workers, send));
        let mut done: Vec<_> = receive.iter().collect();
        done.sort_unstable();
        assert_eq!(done, (0..8).collect::<Vec<_>>());
    }
}
