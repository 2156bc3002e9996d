//! Whose time is claimed when: the claims on people's time, and every SQL text that reads or writes them.
//!
//! A claim is one stretch of a subject's time that nothing else may overlap: a live appointment with its buffers, a
//! pending request, a hold. All claims are rows of one table, `appointments`.

pub mod affected;
pub mod expiry;
pub mod extra;
pub mod kind;
pub mod margins;
pub mod overlap;
pub mod state;
pub mod store;
pub mod subject;

pub use self::{overlap::Overlap, state::State, subject::Subject};

use crate::kernel::{
    id::{ProviderId, TypeId},
    time::Interval,
};

/// A slot that the customer holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HeldSlot {
    /// Id of the provider.
    pub provider: ProviderId,
    /// Of which type, if any.
    pub type_id: Option<TypeId>,
    /// From when until when.
    pub interval: Interval,
    /// The same with its buffers.
    pub claim: Interval,
}
