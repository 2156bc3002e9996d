//! Following the order of events: once for all watchers of a process.
//!
//! One task gives positions and reads what is new, when this process has committed an event, and otherwise each tenth
//! of a second; nothing is asked while nobody watches. What it reads goes into a [`Window`] that all watchers share.
//! Whoever reads slowly falls out of the window and goes on from the database; nothing is kept for anybody.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use tokio::{
    sync::{Notify, watch},
    time::{Instant as Moment, sleep, timeout},
};
use tokio_util::sync::CancellationToken;

use super::{
    Cursor, Filter, Page, Scope, Told,
    service::{Feed, FindNames, PIECE, is_for, scope, told, wanted},
    store::FindEvents,
    window::{Batch, News, Window},
};
use crate::{
    identity::{Caller, feed_permit::ReadEvents},
    kernel::{
        ambient::Ambient,
        fault::{Fault, Reason},
        id::{ServiceAccountId, UserId},
    },
    storage::Deadline,
};

/// How long to wait for a commit of this process before events of others are looked for: with [`PAUSE`] a tenth of a
/// second.
const LOOK: Duration = Duration::from_millis(90);
/// The least time from one look to the next: a look that finds something writes, and SQLite has one writer.
const PAUSE: Duration = Duration::from_millis(10);
/// How long the database may take.
const PATIENCE: Duration = Duration::from_secs(5);
/// Watchers are up to date as long as the last look is not older.
const FRESH: Duration = Duration::from_secs(2);
/// After so much silence a watcher is told where it stands.
const HEARTBEAT: Duration = Duration::from_secs(15);
/// How often it is looked whether a watcher still may watch.
const STANDING: Duration = Duration::from_secs(1);
/// How long a stream lasts: at least this long, and at most twice as long.
const LIFE: Duration = Duration::from_mins(28);
/// When to come back for a place.
const LATER: Duration = Duration::from_secs(1);
/// How many events a message has at most.
const MOST: usize = 500;

/// What the watchers of one process share.
#[derive(Debug, Clone)]
pub struct Watches(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    feed: Feed,
    ambient: Ambient,
    window: watch::Sender<Window>,
    /// How many watch, by who called.
    watchers: Mutex<HashMap<UserId, usize>>,
    /// How many of one caller may.
    of_one: usize,
    /// Wakes the follower when somebody begins to watch.
    begun: Notify,
    /// When it was last known that the window has everything.
    looked: Mutex<Option<Moment>>,
    /// Cancelled when the streams are to end,
    draining: CancellationToken,
    /// spread over this time.
    drain: Duration,
}

/// Where somebody begins to watch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Begins {
    /// After a place; at the oldest event that is kept where there is none.
    After(Option<Cursor>),
    /// After everything that there is.
    Now,
}

/// Whether somebody still may watch, as the interceptor says it.
pub type Standing = Arc<dyn Fn() -> Result<(), Fault> + Send + Sync>;

impl Watches {
    /// Of this feed, with so many streams of one caller at most. When the process stops, the streams end within `drain`.
    pub fn new(feed: Feed, ambient: Ambient, of_one: usize, drain: Duration) -> Self {
        Self(Arc::new(Inner {
            feed,
            ambient,
            window: watch::Sender::new(Window::default()),
            watchers: Mutex::default(),
            of_one,
            begun: Notify::new(),
            looked: Mutex::new(None),
            draining: CancellationToken::new(),
            drain,
        }))
    }

    /// Lets the streams end, one after another.
    pub fn drain(&self) {
        self.0.draining.cancel();
    }

    /// Begins to watch.
    pub async fn open(
        &self,
        deadline: Deadline,
        (caller, permit): (Caller, ReadEvents),
        filter: Filter,
        begins: Begins,
        standing: Standing,
    ) -> Result<Watcher, Fault> {
        let share = Share::of(self, caller)?;
        let at = match begins {
            Begins::After(place) => place,
            Begins::Now => self.0.feed.end(deadline).await?,
        };
        // Whether it may go on there is said before the stream begins.
        self.0.feed.bounds(deadline, at).await?;
        let window = self.0.window.subscribe();
        let history = window.borrow().history;
        let [random] = self.0.ambient.bytes::<1>();
        let part = f64::from(random) / 256.0;
        Ok(Watcher {
            share,
            window,
            permit,
            filter,
            standing,
            judged: Moment::now(),
            at,
            history,
            is_behind: true,
            is_told: false,
            ends: Moment::now() + LIFE + LIFE.mul_f64(part),
            part,
            is_draining: false,
        })
    }

    /// Follows the events until it is dropped.
    pub async fn follow(&self) {
        let inner = &self.0;
        let mut window: Option<Window> = None;
        loop {
            if !self.is_watched() {
                // What was known is old when somebody comes.
                window = None;
                inner.begun.notified().await;
                continue;
            }
            match self.look(&mut window).await {
                Ok(()) => {
                    *inner.looked.lock().unwrap_or_else(PoisonError::into_inner) =
                        Some(Moment::now());
                    sleep(PAUSE).await;
                    let events = inner.feed.store.events();
                    // Woken, or it is time.
                    let _ = timeout(LOOK, events.notified()).await;
                }
                Err(fault) => {
                    tracing::debug!(%fault, "looking for events");
                    sleep(LOOK).await;
                }
            }
        }
    }

    /// Takes into the window what is new.
    async fn look(&self, window: &mut Option<Window>) -> Result<(), Fault> {
        let (inner, deadline) = (&self.0, Deadline::after(PATIENCE));
        let feed = &inner.feed;
        feed.give_positions(deadline).await?;
        let Some(known) = window else {
            let head = feed.bounds(deadline, None).await?.last;
            let history = inner.window.borrow().history;
            let now = window.insert(Window::at(head, history));
            inner.window.send_replace(now.clone());
            return Ok(());
        };
        let last = match feed.bounds(deadline, known.head).await {
            Ok(bounds) => bounds.last,
            Err(fault)
                if [Reason::CursorUnknown, Reason::CursorExpired].contains(&fault.reason()) =>
            {
                let head = feed.bounds(deadline, None).await?.last;
                *known = Window::at(head, known.history + 1);
                inner.window.send_replace(known.clone());
                return Ok(());
            }
            Err(fault) => return Err(fault),
        };
        while let Some(last) = last
            && Window::order(Some(last)) > Window::order(known.head)
        {
            let (after, place) = (known.head, Window::order(known.head));
            let question = FindEvents {
                scope: Scope::Practice,
                after: place,
                until: last.position,
                limit: PIECE,
            };
            let rows = feed.store.read(deadline, question).await?;
            let is_end = i64::try_from(rows.len()).is_ok_and(|count| count < PIECE);
            let end = rows.last().map(|(place, _)| *place);
            let until = if is_end { last } else { end.unwrap_or(last) };
            let events: Vec<_> = rows.into_iter().filter_map(|(_, event)| event).collect();
            let names = feed.store.read(deadline, FindNames(wanted(&events, true))).await?;
            known.add(Batch { after, until, events, names });
            inner.window.send_replace(known.clone());
        }
        Ok(())
    }
}

/// That somebody watches, for as long as it is not dropped.
#[derive(Debug)]
struct Share {
    watches: Watches,
    by: UserId,
}

impl Share {
    /// Of whoever has the credential: a service account has its own, whomever it acts for.
    fn of(watches: &Watches, caller: Caller) -> Result<Self, Fault> {
        let by = caller.service.map_or(caller.user, ServiceAccountId::as_user);
        let mut watchers = watches.0.watchers.lock().unwrap_or_else(PoisonError::into_inner);
        let count = watchers.entry(by).or_default();
        if *count >= watches.0.of_one {
            return Err(Fault::overloaded(LATER));
        }
        *count += 1;
        drop(watchers);
        watches.0.begun.notify_one();
        Ok(Self { watches: watches.clone(), by })
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        let watchers = &self.watches.0.watchers;
        let mut watchers = watchers.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(count) = watchers.get_mut(&self.by) else { return };
        *count -= 1;
        if *count == 0 {
            watchers.remove(&self.by);
        }
    }
}

/// One stream of events.
pub struct Watcher {
    share: Share,
    window: watch::Receiver<Window>,
    permit: ReadEvents,
    filter: Filter,
    standing: Standing,
    /// When that is looked at next.
    judged: Moment,
    at: Option<Cursor>,
    /// Of the window, when this began.
    history: u64,
    /// Whether it reads from the database.
    is_behind: bool,
    /// Whether it was told anything yet.
    is_told: bool,
    /// When the stream ends,
    ends: Moment,
    /// and which part of a longer time is its own.
    part: f64,
    is_draining: bool,
}

impl std::fmt::Debug for Watcher {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Watcher").field("at", &self.at).finish_non_exhaustive()
    }
}

impl Watcher {
    /// The place that was told last.
    pub const fn at(&self) -> Option<Cursor> {
        self.at
    }

    /// Whether events are told as to the provider's side.
    pub const fn is_staff(&self) -> bool {
        self.permit.is_staff()
    }

    /// What comes next: events, or after some silence only where the watcher stands. Nothing at the end of the stream's
    /// time.
    ///
    /// # Errors
    ///
    /// `SHUTTING_DOWN` when the process stops; what the interceptor says of a caller who may not watch any more; those
    /// of [`Feed::list`] where the watcher reads too slowly.
    pub async fn next(&mut self) -> Result<Option<Page>, Fault> {
        let silent = Moment::now() + HEARTBEAT;
        loop {
            self.judge()?;
            self.look_for_drain();
            let now = Moment::now();
            if now >= self.ends {
                return if self.is_draining { Err(stopping()) } else { Ok(None) };
            }
            // A filter may let nothing through for long, also while it is behind.
            if now >= silent {
                return Ok(Some(self.stands()));
            }
            if self.is_behind {
                if let Some(page) = self.catch_up().await? {
                    return Ok(Some(page));
                }
                continue;
            }
            if let Some(page) = self.news() {
                return Ok(Some(page));
            }
            if self.is_behind {
                continue;
            }
            let next = silent.min(self.ends).min(self.judged);
            let draining = &self.share.watches.0.draining;
            tokio::select! {
                _ = self.window.changed() => {}
                () = tokio::time::sleep_until(next) => {}
                () = draining.cancelled(), if !self.is_draining => {}
            }
        }
    }

    /// Fails where the caller may not watch any more.
    fn judge(&mut self) -> Result<(), Fault> {
        let now = Moment::now();
        if now >= self.judged {
            (self.standing)()?;
            self.judged = now + STANDING;
        }
        Ok(())
    }

    /// When the process stops, the stream has its own part of the time left.
    fn look_for_drain(&mut self) {
        let shared = &self.share.watches.0;
        if shared.draining.is_cancelled() && !self.is_draining {
            self.is_draining = true;
            self.ends = self.ends.min(Moment::now() + shared.drain.mul_f64(self.part));
        }
    }

    /// A page from the database, if there is something to tell.
    async fn catch_up(&mut self) -> Result<Option<Page>, Fault> {
        // Before it is read: what comes meanwhile is in the window, or makes it another one.
        self.history = self.window.borrow_and_update().history;
        let feed = &self.share.watches.0.feed;
        let deadline = Deadline::after(PATIENCE);
        let page = feed.list(deadline, self.permit, &self.filter, self.at, MOST).await?;
        // Where positions cannot be given there is nothing more to read for now.
        let is_end = page.is_up_to_date || page.next.or(self.at) == self.at;
        self.at = page.next.or(self.at);
        self.is_behind = !is_end;
        let is_news = !page.events.is_empty() || (is_end && !self.is_told);
        self.is_told |= is_news;
        Ok(is_news.then_some(page))
    }

    /// What is new in the window, if that is for this watcher.
    fn news(&mut self) -> Option<Page> {
        let (news, history) = {
            let window = self.window.borrow_and_update();
            (window.after(self.at), window.history)
        };
        let batches = match news {
            _ if history != self.history => {
                self.is_behind = true;
                return None;
            }
            News::Nothing => return None,
            News::Missed => {
                self.is_behind = true;
                return None;
            }
            News::Batches(batches) => batches,
        };
        let (scope, before) = (scope(self.permit), Window::order(self.at));
        let mut events: Vec<Told> = Vec::new();
        for batch in batches {
            if events.len() + batch.events.len() > MOST && !events.is_empty() {
                // The rest is the next message's.
                break;
            }
            let own = batch.events.iter().filter(|found| {
                Window::order(Some(found.at)) > before
                    && scope.has(found)
                    && is_for(scope, found)
                    && self.filter.lets_through(found)
            });
            let is_staff = self.permit.is_staff();
            events.extend(own.map(|found| told(&batch.names, found.clone(), is_staff)));
            self.at = Some(batch.until);
        }
        let is_up_to_date = self.at == self.window.borrow().head && self.share.watches.is_fresh();
        (!events.is_empty()).then_some(Page { events, next: self.at, is_up_to_date })
    }

    fn stands(&self) -> Page {
        let is_up_to_date = !self.is_behind && self.share.watches.is_fresh();
        Page { events: Vec::new(), next: self.at, is_up_to_date }
    }
}

impl Watches {
    fn is_watched(&self) -> bool {
        !self.0.watchers.lock().unwrap_or_else(PoisonError::into_inner).is_empty()
    }

    fn is_fresh(&self) -> bool {
        let looked = *self.0.looked.lock().unwrap_or_else(PoisonError::into_inner);
        looked.is_some_and(|looked| looked.elapsed() < FRESH)
    }
}

fn stopping() -> Fault {
    Fault::new(Reason::ShuttingDown, "the server is stopping; connect again")
}
