//! Which write a row is from.

use serde::{Deserialize, Serialize};

/// A random number of the transaction that wrote a row last.
///
/// A version says how often something changed, and not what it is now: after a failover that lost commits, or
/// after a restore, the same version is another content. A stamp comes again with a chance of 2^-64. Zero is
/// what a process of an older version wrote, which knew none.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Stamp(pub i64);

impl Stamp {
    /// From fresh randomness.
    pub const fn new(random: [u8; 8]) -> Self {
        Self(i64::from_be_bytes(random))
    }
}

/// One state of a row: how often it had changed, and which write that was.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Revision {
    /// Version of the row.
    pub version: i64,
    /// The stamp of the write that made it.
    pub stamp: Stamp,
}

impl Revision {
    /// A version with its stamp.
    pub const fn new(version: i64, stamp: Stamp) -> Self {
        Self { version, stamp }
    }
}
