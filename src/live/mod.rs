//! Who hears of changes: the events of all providers in one order.
//!
//! The version numbers the events of one provider. The order of all of them is given afterwards, to what is committed
//! (decision 45): a *position* is a stretch of versions of one provider, and a reader goes on after a position and a
//! version in it. Versions are without gaps and in the order of the commits, so nothing is skipped, however late a
//! transaction commits, and nothing that books waits for the order.

pub mod commands;
pub mod service;
pub mod store;
pub mod watch_service;
pub mod window;

use serde::{Deserialize, Serialize};

use crate::{
    booking::actors::Actor,
    events::{Event, ProviderEventKind},
    kernel::{
        fault::{Fault, Reason},
        id::{ProviderId, TypeId, UserId},
    },
};

/// A place in the order: after this version of the stretch of this position. It outlives restarts, and dump and restore.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cursor {
    /// The position.
    #[serde(rename = "p")]
    pub position: i64,
    /// A version of that position's provider.
    #[serde(rename = "v")]
    pub version: i64,
    /// What the position was marked with when it was given: another history of the database has other marks.
    #[serde(rename = "s")]
    pub stamp: i64,
}

/// What there is of the order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bounds {
    /// After the last event that has a position; nothing where none has.
    pub last: Option<Cursor>,
    /// The last position that was removed, or 0.
    pub removed: i64,
    /// The mark of the position that was asked for, if there is such a position.
    pub stamp: Option<i64>,
}

impl Bounds {
    /// Checks where somebody wants to go on.
    ///
    /// # Errors
    ///
    /// `CURSOR_EXPIRED` where events after it were removed; `CURSOR_UNKNOWN` where this history of the database has no
    /// such place.
    pub fn check(&self, after: Cursor) -> Result<(), Fault> {
        if self.stamp == Some(after.stamp) {
            return Ok(());
        }
        if self.stamp.is_none() && after.position <= self.removed {
            return Err(Fault::new(
                Reason::CursorExpired,
                "events after the cursor were removed; begin without one, and read what there is now",
            ));
        }
        Err(Fault::new(
            Reason::CursorUnknown,
            "the database was restored to a time before the cursor; begin without one, and read what there is now",
        ))
    }
}

/// Whose events are read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    /// Everybody's.
    Practice,
    /// Those of one provider.
    Provider(ProviderId),
    /// Those of a customer's appointments and holds, without what is for the provider's side alone.
    Customer(UserId),
}

impl Scope {
    fn has(self, found: &Found) -> bool {
        match self {
            Self::Practice => true,
            Self::Provider(provider) => found.event.provider == provider,
            Self::Customer(customer) => found.customer == Some(customer),
        }
    }
}

/// What events are narrowed to; an empty list narrows to nothing.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Filter {
    /// Of these kinds.
    pub kinds: Vec<ProviderEventKind>,
    /// Of these providers.
    pub providers: Vec<ProviderId>,
    /// Of appointments and holds of these types.
    pub types: Vec<TypeId>,
}

impl Filter {
    fn lets_through(&self, found: &Found) -> bool {
        let Found { event, type_id, .. } = found;
        (self.kinds.is_empty() || self.kinds.contains(&event.data.kind()))
            && (self.providers.is_empty() || self.providers.contains(&event.provider))
            && (self.types.is_empty() || type_id.is_some_and(|id| self.types.contains(&id)))
    }
}

/// An event as it is stored, with its place.
#[derive(Debug, Clone)]
pub struct Found {
    /// Its place.
    pub at: Cursor,
    /// The event.
    pub event: Event,
    /// Whose appointment or hold it happened to, as it is now; nobody where it is gone.
    pub customer: Option<UserId>,
    /// The type of that appointment or hold, if it has one.
    pub type_id: Option<TypeId>,
}

/// An event as it is told.
#[derive(Debug, Clone)]
pub struct Told {
    /// The event and its place.
    pub found: Found,
    /// Who acted; nobody where it happened by itself, or to no appointment.
    pub actor: Option<Actor>,
}

/// Some events, and where the next ones begin.
#[derive(Debug, Clone)]
pub struct Page {
    /// In the order.
    pub events: Vec<Told>,
    /// After everything that was looked at; nothing where there is no event yet.
    pub next: Option<Cursor>,
    /// Whether that was everything there was.
    pub is_up_to_date: bool,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_is_of_one_history_and_goes_with_what_it_stands_before() {
        let cursor = |position, stamp| Cursor { position, version: 3, stamp };
        let reason = |bounds: Bounds, after| bounds.check(after).err().map(|fault| fault.reason());
        let bounds = |stamp| Bounds { last: Some(cursor(9, 1)), removed: 4, stamp };
        assert_eq!(reason(bounds(Some(7)), cursor(5, 7)), None);
        assert_eq!(reason(bounds(Some(8)), cursor(5, 7)), Some(Reason::CursorUnknown));
        assert_eq!(reason(bounds(None), cursor(4, 7)), Some(Reason::CursorExpired));
        assert_eq!(reason(bounds(None), cursor(10, 7)), Some(Reason::CursorUnknown));
    }
}
