//! Places for connections: who has one, and which connection gives its place to another.
//!
//! There are so many in all and so many for one address. When all are taken, a newcomer gets the place of
//! somebody else, in this order: of an address that has more than a quarter; of a connection that is idle,
//! the oldest first, of an address that has more than its share or more than the newcomer's; and, when all are
//! busy, of the address that has most, if the newcomer's has clearly fewer. Idle is a connection without a call in progress,
//! whatever pings it answers. One that has just come is not idle: its first call is on the way, and where a
//! crowd keeps all other connections busy it would be the only one to give way.

use std::{
    collections::{HashMap, VecDeque},
    net::IpAddr,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering},
    },
    time::{Duration, Instant as Moment},
};

use ipnet::IpNet;
use tokio_util::sync::CancellationToken;

use super::rates::network;

/// One address has this part of the places at most while others want one.
const PART: usize = 4;
/// As many connections as this part of the places may be on their way out,
const LEAVING_PART: usize = 8;
/// and not fewer than these. They have no place any more and take their time to end.
const LEAVING: usize = 64;
/// How long a connection has for its first call before it counts as idle.
const FIRST_CALL: Duration = Duration::from_secs(2);

/// The places there are. Clones share them.
#[derive(Debug, Clone)]
pub(super) struct ConnectionLimiter(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    in_all: usize,
    of_one: usize,
    /// Proxies, through which many come: the quarter is not theirs, and what they do is not cut off.
    trusted: Vec<IpNet>,
    /// Whether the oldest connection gives way even if it is busy and nobody has more than others.
    is_fleeting: bool,
    /// Counts the changes between idle and busy, so that they have an order.
    changes: AtomicU64,
    open: Mutex<Open>,
}

#[derive(Debug, Default)]
struct Open {
    last: u64,
    seated: HashMap<u64, Arc<Seat>>,
    /// How many of them an address has; nobody is here without one.
    held: HashMap<IpAddr, Held>,
    /// Those that gave their place away and have not ended yet, the oldest first.
    leaving: VecDeque<Arc<Seat>>,
}

#[derive(Debug, Default)]
struct Held {
    count: usize,
    is_trusted: bool,
}

/// What is known of one connection.
#[derive(Debug)]
struct Seat {
    id: u64,
    address: IpAddr,
    is_trusted: bool,
    came: Moment,
    /// Whether it ever had a call.
    has_called: AtomicBool,
    /// Calls in progress.
    calls: AtomicUsize,
    /// The change since which it is idle or busy.
    since: AtomicU64,
    leave: CancellationToken,
    cut: CancellationToken,
}

impl Seat {
    fn is_idle(&self) -> bool {
        self.calls.load(Ordering::Acquire) == 0
    }

    /// Whether it had its first call, or the time for it.
    fn is_settled(&self, now: Moment) -> bool {
        self.has_called.load(Ordering::Acquire) || now.duration_since(self.came) >= FIRST_CALL
    }
}

impl ConnectionLimiter {
    /// So many places in all, and so many for one address.
    pub(super) fn new(in_all: usize, of_one: usize, trusted: &[IpNet]) -> Self {
        Self::with(in_all, of_one, trusted, false)
    }

    /// Places that nobody keeps: the oldest connection always gives way.
    pub(super) fn fleeting(in_all: usize) -> Self {
        Self::with(in_all, in_all, &[], true)
    }

    fn with(in_all: usize, of_one: usize, trusted: &[IpNet], is_fleeting: bool) -> Self {
        let trusted = trusted.to_vec();
        let (changes, open) = (AtomicU64::new(0), Mutex::default());
        Self(Arc::new(Shared { in_all, of_one, trusted, is_fleeting, changes, open }))
    }

    /// Gives a new connection a place, if there is one for its address or somebody gives way. Addresses of
    /// one network of 64 bits of IPv6 count together: whoever has one of them has them all.
    pub(super) fn take(&self, address: IpAddr) -> Option<Place> {
        self.take_at(address, Moment::now())
    }

    fn take_at(&self, address: IpAddr, now: Moment) -> Option<Place> {
        let is_trusted = self.trusts(address);
        let address = network(address);
        let mut open = self.0.lock();
        let mine = open.count(address);
        if mine >= self.0.of_one {
            return None;
        }
        if open.seated.len() >= self.0.in_all {
            let newcomer =
                Newcomer { address, mine: if is_trusted { 0 } else { mine }, is_trusted, now };
            let victim = open.who_gives_way(&self.0, newcomer)?;
            open.dismiss(&self.0, victim);
        }
        open.last += 1;
        let seat = Arc::new(Seat {
            id: open.last,
            address,
            is_trusted,
            came: now,
            has_called: AtomicBool::new(false),
            calls: AtomicUsize::new(0),
            since: AtomicU64::new(self.0.change()),
            leave: CancellationToken::new(),
            cut: CancellationToken::new(),
        });
        open.seated.insert(seat.id, Arc::clone(&seat));
        let held = open.held.entry(address).or_default();
        held.count += 1;
        held.is_trusted = is_trusted;
        Some(Place { places: self.clone(), seat })
    }

    /// Ends one connection at once, whoever's turn it is, when the process has no more file descriptors.
    /// Whether there was one.
    pub(super) fn shed(&self) -> bool {
        let mut open = self.0.lock();
        if let Some(leaving) = open.leaving.pop_front() {
            leaving.cut.cancel();
            return true;
        }
        let (address, now) = (IpAddr::from([0; 16]), Moment::now());
        let newcomer = Newcomer { address, mine: 0, is_trusted: false, now };
        let Some(victim) = open.who_gives_way(&self.0, newcomer) else { return false };
        open.remove(&victim);
        victim.cut.cancel();
        true
    }

    /// Whether everybody comes through this address.
    pub(super) fn trusts(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        self.0.trusted.iter().any(|network| network.contains(&address))
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Open> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn change(&self) -> u64 {
        self.changes.fetch_add(1, Ordering::Relaxed)
    }
}

/// Who wants a place, and how many its address has.
#[derive(Debug, Clone, Copy)]
struct Newcomer {
    address: IpAddr,
    mine: usize,
    is_trusted: bool,
    now: Moment,
}

/// The oldest connections of those that were seen.
#[derive(Debug, Default)]
struct Oldest<'a> {
    idle: Option<&'a Arc<Seat>>,
    /// Of those that had no call yet, and no time for one.
    new: Option<&'a Arc<Seat>>,
    any: Option<&'a Arc<Seat>>,
}

impl<'a> Oldest<'a> {
    fn see(&mut self, seat: &'a Arc<Seat>, now: Moment) {
        let since = |seat: &Arc<Seat>| seat.since.load(Ordering::Acquire);
        let is_older = |than: Option<&Arc<Seat>>| than.is_none_or(|than| since(seat) < since(than));
        if is_older(self.any) {
            self.any = Some(seat);
        }
        let idle = if seat.is_settled(now) { &mut self.idle } else { &mut self.new };
        if is_older(*idle) && seat.is_idle() {
            *idle = Some(seat);
        }
    }
}

impl Open {
    fn count(&self, address: IpAddr) -> usize {
        self.held.get(&address).map_or(0, |held| held.count)
    }

    fn who_gives_way(&self, shared: &Shared, newcomer: Newcomer) -> Option<Arc<Seat>> {
        let quarter = (shared.in_all / PART).max(1);
        let Newcomer { address, mine, is_trusted, now } = newcomer;
        if mine >= quarter && !is_trusted {
            let own = self.seated.values().filter(|seat| seat.address == address);
            let mut oldest = Oldest::default();
            own.for_each(|seat| oldest.see(seat, now));
            let idle = oldest.idle.or(oldest.new);
            return idle.or(oldest.any.filter(|_| shared.is_fleeting)).cloned();
        }
        let addresses = self.held.len() + usize::from(!self.held.contains_key(&address));
        let share = (shared.in_all / addresses.max(1)).max(1);
        let most = self.held.values().filter(|held| !held.is_trusted);
        let most = most.map(|held| held.count).max().unwrap_or_default();
        let mut of_most = Oldest::default();
        let (mut of_many, mut of_more) = (Oldest::default(), Oldest::default());
        let mut of_all = Oldest::default();
        for seat in self.seated.values() {
            let held = self.held.get(&seat.address).map_or(0, |held| held.count);
            of_all.see(seat, now);
            if held > share {
                of_many.see(seat, now);
            }
            if held > mine && mine < share {
                of_more.see(seat, now);
            }
            if held == most && !seat.is_trusted {
                of_most.see(seat, now);
            }
        }
        let greedy = of_most.idle.or(of_most.any).filter(|_| most > quarter);
        greedy
            .or(of_many.idle)
            .or(of_more.idle)
            // One more than the newcomer's would have then, or the two would take turns for ever.
            .or(of_most.any.filter(|_| most >= mine + 2))
            .or(of_more.new)
            .or(of_all.any.filter(|_| shared.is_fleeting))
            .cloned()
    }

    /// Takes a connection's place away and asks it to end. Of those that take too long about it the oldest
    /// is cut off when there are too many.
    fn dismiss(&mut self, shared: &Shared, seat: Arc<Seat>) {
        self.remove(&seat);
        seat.leave.cancel();
        self.leaving.push_back(seat);
        if self.leaving.len() > (shared.in_all / LEAVING_PART).max(LEAVING)
            && let Some(first) = self.leaving.pop_front()
        {
            first.cut.cancel();
        }
    }

    /// Forgets a connection, with a place or on its way out.
    fn remove(&mut self, seat: &Seat) {
        if self.seated.remove(&seat.id).is_none() {
            self.leaving.retain(|leaving| leaving.id != seat.id);
            return;
        }
        let Some(held) = self.held.get_mut(&seat.address) else { return };
        held.count = held.count.saturating_sub(1);
        if held.count == 0 {
            self.held.remove(&seat.address);
        }
    }
}

/// One connection's place; given back when this is dropped, if it was not given to somebody else before.
#[derive(Debug)]
pub(super) struct Place {
    places: ConnectionLimiter,
    seat: Arc<Seat>,
}

impl Place {
    /// Counts a call until what is returned is dropped.
    pub(super) fn call(&self) -> Call {
        let shared = Arc::clone(&self.places.0);
        self.seat.has_called.store(true, Ordering::Release);
        if self.seat.calls.fetch_add(1, Ordering::AcqRel) == 0 {
            self.seat.since.store(shared.change(), Ordering::Release);
        }
        Call { shared, seat: Arc::clone(&self.seat) }
    }

    /// Whether it is a trusted proxy's, through which many come.
    pub(super) fn is_trusted(&self) -> bool {
        self.seat.is_trusted
    }

    /// Whether no call is in progress.
    pub(super) fn is_idle(&self) -> bool {
        self.seat.is_idle()
    }

    /// Cancelled when the connection is to end: no more calls, and streams end.
    pub(super) fn leave(&self) -> &CancellationToken {
        &self.seat.leave
    }

    /// Cancelled when it is to end now, whatever is in progress.
    pub(super) fn cut(&self) -> &CancellationToken {
        &self.seat.cut
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.places.0.lock().remove(&self.seat);
    }
}

/// A call in progress.
#[derive(Debug)]
pub(super) struct Call {
    shared: Arc<Shared>,
    seat: Arc<Seat>,
}

impl Drop for Call {
    fn drop(&mut self) {
        if self.seat.calls.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.seat.since.store(self.shared.change(), Ordering::Release);
        }
    }
}

#[cfg(test)]
#[path = "connection_limiter_tests.rs"]
mod tests;
