//! Events of appointment types, and their data. The names of the fields are the keys of the stored JSON: they are read
//! in rows of all versions, and never change.

use serde::{Deserialize, Serialize};

use super::table::{Document, event_table, is_false};
use crate::kernel::id::ProviderId;

event_table! {
    /// What happened to an appointment type.
    kind TypeEventKind;
    /// A change of an appointment type, as its history tells it.
    data TypeEvent;
    plain {
        /// It can be booked no more.
        Archived = "archived",
        /// It can be booked again.
        Restored = "restored",
    }
    with {
        /// It was added.
        Created(TypeCreated) = "created",
        /// Its terms changed.
        Changed(TypeChanged) = "changed",
    }
}

/// A new type.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TypeCreated {
    /// Whose own it is; none of a shared one.
    pub owner: Option<ProviderId>,
    /// Its terms, as the catalogue room stores them.
    pub terms: Document,
}

/// A changed type.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TypeChanged {
    /// Its terms after the change, as the catalogue room stores them.
    pub terms: Document,
    /// Whether it has another link code. The code itself is not told.
    #[serde(default, skip_serializing_if = "is_false")]
    pub link_code_replaced: bool,
}
