//! Schedules that are long: a provider with a thousand dates of their own costs milliseconds to read. Whoever
//! reads or changes such a one takes a turn first, as for every expensive call.

use std::{sync::Arc, time::Duration};

use quick_cache::sync::Cache;
use tokio::time::Instant as Moment;

use crate::{
    bulkhead::{Bulkhead, Turn},
    kernel::{fault::Fault, id::ProviderId},
    schedule::{changes::Changes, store},
    storage::{Deadline, Query, Reader, Store},
};

/// Of how many providers it is known whether theirs are long.
const KNOWN: usize = 10_000;
/// After which time it is asked again.
const FRESH: Duration = Duration::from_mins(1);
/// With more dates in a request, what it changes is long afterwards.
const MANY_DATES: usize = 100;

/// Which providers have long schedules, as far as that is known. Clones share it.
#[derive(Debug, Clone)]
pub struct LongSchedules {
    store: Store,
    bulkhead: Bulkhead,
    known: Arc<Cache<ProviderId, (bool, Moment)>>,
}

impl LongSchedules {
    /// Knows of nobody yet.
    pub fn new(store: Store, bulkhead: Bulkhead) -> Self {
        Self { store, bulkhead, known: Arc::new(Cache::new(KNOWN)) }
    }

    /// A turn, where the provider's schedules are long. Faults: those of [`Bulkhead::turn`].
    pub async fn turn(&self, deadline: Deadline, id: ProviderId) -> Result<Option<Turn>, Fault> {
        let fresh = self.known.get(&id).filter(|(_, asked)| asked.elapsed() < FRESH);
        let is_long = if let Some((is_long, _)) = fresh {
            is_long
        } else {
            let is_long = self.store.read(deadline, IsLong(id)).await?;
            self.known.insert(id, (is_long, Moment::now()));
            is_long
        };
        if is_long { self.bulkhead.turn(deadline).await.map(Some) } else { Ok(None) }
    }

    /// The same for a change: also where the schedules become long by it.
    pub async fn turn_to_change(
        &self,
        deadline: Deadline,
        id: ProviderId,
        changes: &Changes,
    ) -> Result<Option<Turn>, Fault> {
        let dates = changes.overrides.as_ref().map_or(0, Vec::len)
            + changes.stays.as_ref().map_or(0, Vec::len);
        if dates > MANY_DATES {
            self.known.insert(id, (true, Moment::now()));
        }
        self.turn(deadline, id).await
    }
}

struct IsLong(ProviderId);

impl Query for IsLong {
    type Output = bool;

    async fn run(&self, at: &Reader) -> Result<bool, Fault> {
        store::is_long(at, self.0).await
    }
}
