//! Words that every room uses: time, time zones, ids, faults, pages, stamps, and the ambient sources.

pub mod ambient;
pub mod backoff;
pub mod call_counter;
pub mod fault;
pub mod field;
pub mod id;
pub mod page;
pub mod stamp;
pub mod text;
pub mod time;
pub mod zone;
