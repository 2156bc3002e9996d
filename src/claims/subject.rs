//! Subjects: whose time is claimed.

use crate::kernel::id::{ProviderId, UserId};

/// Whose time a claim takes. No two claims of one subject overlap, of whatever kind they are.
///
/// A subject is told by its id: the column `provider_id` of the claim's row, by which the overlap constraint of the table,
/// the locks and the queries on claims go. So a subject of another kind needs no rules of its own; what it
/// touches is told in `ARCHITECTURE.md`, "Twelve changes, and what each touches".
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Subject {
    /// A provider, who treats somebody then.
    Provider(ProviderId),
    /// A customer who is a provider too, and is treated then: a person is in one place.
    Customer(UserId),
}

impl Subject {
    /// The id by which the subject's claims are found.
    pub fn id(self) -> ProviderId {
        match self {
            Self::Provider(id) => id,
            Self::Customer(id) => id.as_provider(),
        }
    }
}
