//! Erasing an account: what is known about the person goes at once and for ever.
//!
//! The first of two parts, in one transaction: the account, its credentials, its history, and the provider
//! that it may be. What it has to do with appointments follows in batches, until
//! nothing is left to do; see `docs/decisions/0021-people-are-erased-in-two-parts.md`.

pub mod commands;
pub mod service;
pub mod store;

use crate::kernel::{
    fault::{Fault, Reason},
    id::UserId,
    time::Instant,
};

/// An erasure whose appointments are still to be looked after.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Erasure {
    /// Who was erased.
    pub user: UserId,
    /// User who requested it.
    pub actor: UserId,
    /// The time of the erasure, UTC.
    pub at: Instant,
}

/// An installation is never left without an admin.
fn last_admin() -> Fault {
    Fault::new(
        Reason::OwnAccount,
        "the last admin cannot delete their account; make somebody else an admin first",
    )
}
