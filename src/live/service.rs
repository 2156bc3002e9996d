//! Reading the order of events.

use std::time::Duration;

use chrono::TimeDelta;

use super::{
    Bounds, Cursor, Filter, Found, Page, Scope, Told,
    commands::{GivePositions, RemovePositions},
    store::{FindBounds, FindEvents, IsBehind},
};
use crate::{
    booking::{actors::Wanted, service::history::names},
    events::ProviderEventKind,
    identity::feed_permit::ReadEvents,
    kernel::{ambient::Ambient, fault::Fault},
    storage::{Deadline, Query, Reader, Store},
};

/// How many events are looked at in one statement at most.
const PIECE: i64 = 500;
/// How many statements look for events of one page that a filter lets through.
const PIECES: usize = 8;
/// How many transactions of one call give positions at most.
const ROUNDS: usize = 20;
/// How many positions are removed in one transaction.
const BATCH: i64 = 1000;
/// How long that may take.
const BACKGROUND: Duration = Duration::from_secs(5);

/// Service layer for the events of all providers in one order.
#[derive(Debug, Clone)]
pub struct Feed {
    store: Store,
    ambient: Ambient,
    /// For how long positions are kept.
    kept: TimeDelta,
}

impl Feed {
    /// On this database. Positions are kept for this long.
    pub fn new(store: Store, ambient: Ambient, kept: TimeDelta) -> Self {
        Self { store, ambient, kept }
    }

    /// Events after a place, or from the oldest one that is kept, as many as this at most. A page may be shorter, also
    /// empty, while more follow: a filter bounds what is returned, and what is looked at is bounded too.
    ///
    /// # Errors
    ///
    /// Those of [`Bounds::check`].
    pub async fn list(
        &self,
        deadline: Deadline,
        permit: ReadEvents,
        filter: &Filter,
        after: Option<Cursor>,
        limit: usize,
    ) -> Result<Page, Fault> {
        let scope = scope(permit);
        let has_all = self.give_positions(deadline).await?;
        let bounds = self.bounds(deadline, after).await?;
        let Some(last) = bounds.last else {
            return Ok(Page { events: Vec::new(), next: None, is_up_to_date: true });
        };
        let (mut at, mut found, mut is_at_end) = (after, Vec::new(), false);
        for _ in 0..PIECES {
            if found.len() >= limit || is_at_end {
                break;
            }
            let place = at.map_or((0, 0), |at| (at.position, at.version));
            // A piece is no longer than the page: what does not fit would be read again.
            let left = i64::try_from(limit - found.len()).unwrap_or(PIECE);
            let piece = if *filter == Filter::default() { left.min(PIECE) } else { PIECE };
            let question = FindEvents { scope, after: place, until: last.position, limit: piece };
            let rows = self.store.read(deadline, question).await?;
            is_at_end = i64::try_from(rows.len()).is_ok_and(|count| count < piece);
            for (place, event) in rows {
                if found.len() >= limit {
                    is_at_end = false;
                    break;
                }
                at = Some(place);
                let shown = event.filter(|it| is_for(scope, it) && filter.lets_through(it));
                found.extend(shown);
            }
        }
        // What was removed meanwhile was not read.
        self.bounds(deadline, after).await?;
        let next = if is_at_end { Some(last) } else { at };
        let events = self.store.read(deadline, Tell { scope, found }).await?;
        Ok(Page { events, next, is_up_to_date: is_at_end && has_all })
    }

    /// After the last event that there is now.
    pub async fn end(&self, deadline: Deadline) -> Result<Option<Cursor>, Fault> {
        // Until the deadline, at the most.
        while !self.give_positions(deadline).await? {}
        Ok(self.bounds(deadline, None).await?.last)
    }

    async fn bounds(&self, deadline: Deadline, after: Option<Cursor>) -> Result<Bounds, Fault> {
        let position = after.map_or(0, |after| after.position);
        let bounds = self.store.read(deadline, FindBounds { position }).await?;
        after.map_or(Ok(()), |after| bounds.check(after))?;
        Ok(bounds)
    }

    /// Gives positions to what has none yet; whether that was done. It is not where much has none, as at the first time after
    /// a long history: the next call goes on.
    async fn give_positions(&self, deadline: Deadline) -> Result<bool, Fault> {
        for _ in 0..ROUNDS {
            if !self.store.read(deadline, IsBehind).await? {
                return Ok(true);
            }
            self.store.run(deadline, GivePositions { now: self.ambient.now() }).await?;
        }
        Ok(false)
    }

    /// Removes the positions that were given longer ago than they are kept. The events stay.
    pub async fn remove_old(&self) -> Result<(), Fault> {
        let before = self.ambient.now() - self.kept;
        loop {
            let unit = RemovePositions { before, limit: BATCH };
            let removed = self.store.run(Deadline::after(BACKGROUND), unit).await?;
            if i64::try_from(removed).is_ok_and(|removed| removed < BATCH) {
                return Ok(());
            }
        }
    }
}

fn scope(permit: ReadEvents) -> Scope {
    match (permit.provider, permit.customer) {
        (Some(provider), _) => Scope::Provider(provider),
        (None, Some(customer)) => Scope::Customer(customer),
        (None, None) => Scope::Practice,
    }
}

/// Whether who reads this scope may know of an event.
fn is_for(scope: Scope, found: &Found) -> bool {
    !matches!(scope, Scope::Customer(_))
        || found.event.data.kind() != ProviderEventKind::AppointmentNoted
}

/// Asks for the names of those who acted.
struct Tell {
    scope: Scope,
    found: Vec<Found>,
}

impl Query for Tell {
    type Output = Vec<Told>;

    async fn run(&self, at: &Reader) -> Result<Vec<Told>, Fault> {
        let is_staff = !matches!(self.scope, Scope::Customer(_));
        let mut wanted = Wanted::default();
        for Found { event, customer, .. } in &self.found {
            if let Some(customer) = customer {
                wanted.add(event, *customer, is_staff);
            }
        }
        let names = names(at, &wanted).await?;
        let told = self.found.iter().cloned().map(|found| {
            let told = found.customer.map(|of| names.tell(found.event.clone(), of, is_staff));
            Told { actor: told.and_then(|told| told.actor), found }
        });
        Ok(told.collect())
    }
}
