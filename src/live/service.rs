//! Reading the order of events.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use chrono::TimeDelta;
use tokio::sync::Mutex;

use super::{
    Bounds, Cursor, Filter, Found, Page, Scope, Told,
    commands::{GivePositions, RemovePositions},
    store::{FindBounds, FindEvents, IsBehind},
};
use crate::{
    booking::{
        actors::{EventWithActor, Names, Wanted},
        service::history::names,
    },
    events::ProviderEventKind,
    identity::feed_permit::ReadEvents,
    kernel::{
        ambient::Ambient,
        fault::{Fault, FaultKind},
    },
    storage::{Deadline, Query, Reader, Store},
};

/// How many events are looked at in one statement at most.
pub(super) const PIECE: i64 = 500;
/// The same of a customer.
const PIECE_OF_CUSTOMER: i64 = 4000;
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
    pub(super) store: Store,
    ambient: Ambient,
    /// For how long positions are kept.
    kept: TimeDelta,
    /// How often this process began to give positions,
    begun: Arc<AtomicU64>,
    /// and the last time that all had one then.
    complete: Arc<Mutex<u64>>,
}

impl Feed {
    /// On this database. Positions are kept for this long.
    pub fn new(store: Store, ambient: Ambient, kept: TimeDelta) -> Self {
        Self { store, ambient, kept, begun: Arc::default(), complete: Arc::default() }
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
        // Where nothing can be written, what has positions can be read.
        let has_all = match self.give_positions(deadline).await {
            Err(fault) if fault.reason().kind() == FaultKind::Unavailable => false,
            given => given?,
        };
        let page = self.page(deadline, permit, filter, after, limit).await?;
        Ok(Page { is_up_to_date: page.is_up_to_date && has_all, ..page })
    }

    /// The same of what has a position.
    async fn page(
        &self,
        deadline: Deadline,
        permit: ReadEvents,
        filter: &Filter,
        after: Option<Cursor>,
        limit: usize,
    ) -> Result<Page, Fault> {
        let scope = scope(permit);
        let bounds = self.bounds(deadline, after).await?;
        let Some(last) = bounds.last else {
            return Ok(Page { events: Vec::new(), next: None, is_up_to_date: true });
        };
        let (mut at, mut found, mut is_at_end) = (after, Vec::new(), false);
        let mut first = after;
        let of_customer = matches!(scope, Scope::Customer(_));
        // A customer's events are all looked up for each piece.
        let (most, pieces) = if of_customer { (PIECE_OF_CUSTOMER, 1) } else { (PIECE, PIECES) };
        for _ in 0..pieces {
            if found.len() >= limit || is_at_end {
                break;
            }
            let place = at.map_or((0, 0), |at| (at.position, at.version));
            // A piece is no longer than the page: what does not fit would be read again.
            let left = i64::try_from(limit - found.len()).unwrap_or(PIECE);
            let is_whole = *filter == Filter::default() && !of_customer;
            let piece = if is_whole { left.min(most) } else { most };
            let question = FindEvents { scope, after: place, until: last.position, limit: piece };
            let rows = self.store.read(deadline, question).await?;
            is_at_end = i64::try_from(rows.len()).is_ok_and(|count| count < piece);
            first = first.or(rows.first().map(|(place, _)| *place));
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
        // What was removed meanwhile was not read: nothing was where the first place is still there.
        self.bounds(deadline, first).await?;
        let next = if is_at_end { Some(last) } else { at };
        let is_staff = permit.is_staff();
        let names = self.store.read(deadline, FindNames(wanted(&found, is_staff))).await?;
        let events = found.into_iter().map(|it| told(&names, it, is_staff)).collect();
        Ok(Page { events, next, is_up_to_date: is_at_end })
    }

    /// After the last event that there is now.
    pub async fn end(&self, deadline: Deadline) -> Result<Option<Cursor>, Fault> {
        // Until the deadline, at the most.
        while !self.give_positions(deadline).await? {}
        Ok(self.bounds(deadline, None).await?.last)
    }

    pub(super) async fn bounds(
        &self,
        deadline: Deadline,
        after: Option<Cursor>,
    ) -> Result<Bounds, Fault> {
        let position = after.map_or(0, |after| after.position);
        let bounds = self.store.read(deadline, FindBounds { position }).await?;
        after.map_or(Ok(()), |after| bounds.check(after))?;
        Ok(bounds)
    }

    /// Gives positions to what was committed before and has none yet; whether all of it has one then. It has not where much
    /// had none, as at the first time after a long history: the next call goes on.
    pub(super) async fn give_positions(&self, deadline: Deadline) -> Result<bool, Fault> {
        for _ in 0..ROUNDS {
            if self.give_some(deadline).await? {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// One transaction of it at most. Of the callers of a process one does it, and those that came before it began
    /// have what it gave.
    async fn give_some(&self, deadline: Deadline) -> Result<bool, Fault> {
        let came = self.begun.load(Ordering::SeqCst);
        if !self.store.read(deadline, IsBehind).await? {
            return Ok(true);
        }
        let mut complete = self.complete.lock().await;
        if *complete > came {
            return Ok(true);
        }
        let begun = self.begun.fetch_add(1, Ordering::SeqCst) + 1;
        let unit = GivePositions { now: self.ambient.now() };
        let is_all = self.store.run_contended(deadline, unit).await?;
        if is_all {
            *complete = begun;
        }
        Ok(is_all)
    }

    /// Removes the positions that are older than they are kept. The events stay.
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

pub(super) fn scope(permit: ReadEvents) -> Scope {
    match (permit.provider, permit.customer) {
        (Some(provider), _) => Scope::Provider(provider),
        (None, Some(customer)) => Scope::Customer(customer),
        (None, None) => Scope::Practice,
    }
}

/// Whether who reads this scope is told of an event. Customers are not told of private notes; and not of holds, because
/// what becomes of a hold is not known to be theirs once it is gone.
pub(super) fn is_for(scope: Scope, found: &Found) -> bool {
    use ProviderEventKind as Kind;

    let is_private = matches!(
        found.event.data.kind(),
        Kind::AppointmentNoted
            | Kind::HoldPlaced
            | Kind::HoldExtended
            | Kind::HoldReleased
            | Kind::HoldExpired
            | Kind::HoldCustomerMerged
    );
    !matches!(scope, Scope::Customer(_)) || !is_private
}

/// Asks for the names of those who acted.
pub(super) struct FindNames(pub(super) Wanted);

impl Query for FindNames {
    type Output = Names;

    async fn run(&self, at: &Reader) -> Result<Names, Fault> {
        names(at, &self.0).await
    }
}

/// Those of the events' actors whom a reader may know by name.
pub(super) fn wanted(found: &[Found], is_staff: bool) -> Wanted {
    let mut wanted = Wanted::default();
    for Found { event, customer, .. } in found {
        if let Some(customer) = customer {
            wanted.add(event, *customer, is_staff);
        }
    }
    wanted
}

/// An event with who acted, where it happened to somebody's appointment or hold.
pub(super) fn told(names: &Names, found: Found, is_staff: bool) -> Told {
    let Some(customer) = found.customer else { return Told { found, actor: None } };
    let EventWithActor { event, actor } = names.tell(found.event, customer, is_staff);
    Told { found: Found { event, ..found }, actor }
}
