//! Whose time is claimed when: the rules of claims, and the SQL that says which rows claim what.
//!
//! A claim is one stretch of a subject's time that nothing else may overlap: a live appointment with its buffers, a
//! pending request, a hold. All claims are rows of one table, `appointments`, and two constraints refuse overlaps: of the
//! claims of one [`Subject`], and of the appointments of one customer.
//!
//! [`state`] says in which states a row claims time, [`expiry`] until when, [`overlap`] what overlaps, [`margins`] how far
//! around a range one must look, [`kind`] what a row is, [`extra`] what an appointment claims beside its own row.
//! [`store::sql`] has the same as parts of SQL texts. Other rooms read claims together with what is theirs, in one statement
//! and so of one moment: schedules (`schedule/store/provider_time.rs`), offerings (`availability/store.rs`), the
//! appointments themselves (`booking/store/`). They take the conditions from here.
//!
//! What a new kind of subject or a new state touches is told in `ARCHITECTURE.md`, "Twelve changes, and what each touches".

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
