//! What others want: long work that can wait looks here whether short calls are being made.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

/// Counts the calls of known callers to which a short answer is expected: reads and writes, and neither
/// log-ins nor probes. Clones count together.
#[derive(Debug, Clone, Default)]
pub struct CallCounter(Arc<AtomicU64>);

impl CallCounter {
    /// Counts one call.
    pub fn note(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }

    /// How many there were since the start; wraps around at 2⁶⁴.
    pub fn count(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}
