//! All that is stored about one person, across the rooms: given out, erased, or joined with what another account of
//! the same person has.
//!
//! To the right of `booking`, because it reads and changes accounts, providers and appointments.

pub mod erasure;
pub mod export;
pub mod merging;
