//! Places for connections: who has one, and which connection gives its place to another.
//!
//! There are so many in all and so many for one address. When all are taken, a newcomer gets the place of
//! somebody else, in this order: of an address that has more than a quarter; of a connection that is idle,
//! the oldest first; and, when all are busy, of the address that has most, if the newcomer's has clearly
//! fewer. Idle is a connection without a call in progress, whatever pings it answers.

use std::{
    collections::{HashMap, VecDeque},
    net::IpAddr,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
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

/// The places there are. Clones share them.
#[derive(Debug, Clone)]
pub(super) struct Places(Arc<Shared>);

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
}

impl Places {
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
        let is_trusted = self.trusts(address);
        let address = network(address);
        let mut open = self.0.lock();
        let mine = open.count(address);
        if mine >= self.0.of_one {
            return None;
        }
        if open.seated.len() >= self.0.in_all {
            let newcomer =
                Newcomer { address, mine: if is_trusted { 0 } else { mine }, is_trusted };
            let victim = open.who_gives_way(&self.0, newcomer)?;
            open.dismiss(&self.0, victim);
        }
        open.last += 1;
        let seat = Arc::new(Seat {
            id: open.last,
            address,
            is_trusted,
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
        let newcomer = Newcomer { address: IpAddr::from([0; 16]), mine: 0, is_trusted: false };
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
}

/// The oldest connections of those that were seen.
#[derive(Debug, Default)]
struct Oldest<'a> {
    idle: Option<&'a Arc<Seat>>,
    any: Option<&'a Arc<Seat>>,
}

impl<'a> Oldest<'a> {
    fn see(&mut self, seat: &'a Arc<Seat>) {
        let since = |seat: &Arc<Seat>| seat.since.load(Ordering::Acquire);
        let is_older = |than: Option<&Arc<Seat>>| than.is_none_or(|than| since(seat) < since(than));
        if is_older(self.any) {
            self.any = Some(seat);
        }
        if is_older(self.idle) && seat.is_idle() {
            self.idle = Some(seat);
        }
    }
}

impl Open {
    fn count(&self, address: IpAddr) -> usize {
        self.held.get(&address).map_or(0, |held| held.count)
    }

    fn who_gives_way(&self, shared: &Shared, newcomer: Newcomer) -> Option<Arc<Seat>> {
        let quarter = (shared.in_all / PART).max(1);
        let Newcomer { address, mine, is_trusted } = newcomer;
        if mine >= quarter && !is_trusted {
            let own = self.seated.values().filter(|seat| seat.address == address);
            let mut oldest = Oldest::default();
            own.for_each(|seat| oldest.see(seat));
            return oldest.idle.or(oldest.any.filter(|_| shared.is_fleeting)).cloned();
        }
        let addresses = self.held.len() + usize::from(!self.held.contains_key(&address));
        let share = (shared.in_all / addresses.max(1)).max(1);
        let most = self.held.values().filter(|held| !held.is_trusted);
        let most = most.map(|held| held.count).max().unwrap_or_default();
        let (mut of_most, mut of_many, mut of_all) =
            (Oldest::default(), Oldest::default(), Oldest::default());
        for seat in self.seated.values() {
            let held = self.held.get(&seat.address).map_or(0, |held| held.count);
            of_all.see(seat);
            if held > share {
                of_many.see(seat);
            }
            if held == most && !seat.is_trusted {
                of_most.see(seat);
            }
        }
        let greedy = of_most.idle.or(of_most.any).filter(|_| most > quarter);
        greedy
            .or(of_many.idle)
            .or(of_all.idle.filter(|_| mine < share))
            // One more than the newcomer's would have then, or the two would take turns for ever.
            .or(of_most.any.filter(|_| most >= mine + 2))
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
    places: Places,
    seat: Arc<Seat>,
}

impl Place {
    /// Counts a call until what is returned is dropped.
    pub(super) fn call(&self) -> Call {
        let shared = Arc::clone(&self.places.0);
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
mod tests {
    use super::*;

    fn take(places: &Places, address: &str) -> Option<Place> {
        places.take(address.parse().unwrap())
    }

    fn several(places: &Places, address: &str, count: usize) -> Vec<Place> {
        (0..count).map(|_| take(places, address).unwrap()).collect()
    }

    fn calls(places: &[Place]) -> Vec<Call> {
        places.iter().map(Place::call).collect()
    }

    /// Which of these were asked to leave.
    fn gone(places: &[Place]) -> Vec<usize> {
        let all = places.iter().enumerate();
        all.filter(|(_, place)| place.leave().is_cancelled()).map(|(number, _)| number).collect()
    }

    #[test]
    fn places_end_for_each_address_and_come_back() {
        let places = Places::new(3, 2, &[]);
        let first = take(&places, "192.0.2.1").unwrap();
        let _second = take(&places, "192.0.2.1").unwrap();
        assert!(take(&places, "192.0.2.1").is_none());
        drop(first);
        let again = take(&places, "192.0.2.1").unwrap();
        drop(again);
        // Who has no place is not remembered.
        let open = places.0.lock();
        assert_eq!((open.held.len(), open.seated.len(), open.leaving.len()), (1, 1, 0));
    }

    #[test]
    fn what_one_customer_has_counts_as_one_address() {
        for (one, same, other) in [
            ("2001:db8:1:2::1", "2001:db8:1:2:3:4:5:6", "2001:db8:1:3::1"),
            ("192.0.2.1", "::ffff:192.0.2.1", "::ffff:192.0.2.2"),
            ("::ffff:192.0.2.1", "192.0.2.1", "192.0.2.2"),
        ] {
            let places = Places::new(9, 1, &[]);
            let _place = take(&places, one).unwrap();
            assert!(take(&places, same).is_none(), "{same} has a place of its own beside {one}");
            assert!(take(&places, other).is_some(), "{other} counts as {one}");
        }
    }

    #[test]
    fn the_oldest_idle_connection_gives_way() {
        let places = Places::new(4, 4, &[]);
        let all: Vec<_> =
            (1..5).map(|host| take(&places, &format!("192.0.2.{host}")).unwrap()).collect();
        // The first is busy, and the second was until a moment ago.
        let _busy = all[0].call();
        drop(all[1].call());
        let _new = take(&places, "192.0.2.9").unwrap();
        assert_eq!(gone(&all), [2]);
        let _new = take(&places, "192.0.2.10").unwrap();
        assert_eq!(gone(&all), [2, 3]);
        let _new = take(&places, "192.0.2.11").unwrap();
        assert_eq!(gone(&all), [1, 2, 3]);
    }

    #[test]
    fn over_a_quarter_somebody_gives_way_even_if_it_is_busy() {
        let places = Places::new(8, 8, &[]);
        let greedy = several(&places, "192.0.2.1", 7);
        let _calls = calls(&greedy[..6]);
        let other = take(&places, "192.0.2.2").unwrap();
        let mut kept = Vec::new();
        for host in 3..8 {
            kept.push(take(&places, &format!("192.0.2.{host}")).unwrap());
        }
        // First the idle one, and then the oldest calls, until two are left.
        assert_eq!(gone(&greedy), [0, 1, 2, 3, 6]);
        assert!(!other.leave().is_cancelled());
        // Now the others' idle ones give way, and who has a quarter takes nobody's but its own.
        assert!(take(&places, "192.0.2.1").is_none());
        let _new = take(&places, "192.0.2.8").unwrap();
        assert!(other.leave().is_cancelled());
    }

    #[test]
    fn where_all_are_busy_whoever_has_most_gives_way() {
        let places = Places::new(16, 16, &[]);
        let mut all = Vec::new();
        for host in 1..5 {
            all.push(several(&places, &format!("192.0.2.{host}"), 4));
        }
        let _calls: Vec<_> = all.iter().map(|places| calls(places)).collect();
        let mut new = vec![take(&places, "192.0.2.9").unwrap()];
        let _call = new[0].call();
        // The oldest call of those who have most, whoever it is.
        assert_eq!(gone(&all[0]), [0]);
        new.push(take(&places, "192.0.2.9").unwrap());
        assert_eq!(gone(&all[1]), [0]);
        let _call = new[1].call();
        // Four, four, three, three and two: no more than one less than the others.
        new.push(take(&places, "192.0.2.9").unwrap());
        let _call = new[2].call();
        assert_eq!(gone(&all[2]), [0]);
        assert!(take(&places, "192.0.2.9").is_none());
    }

    #[test]
    fn a_crowd_takes_no_place_of_those_who_have_few() {
        let places = Places::new(64, 64, &[]);
        let honest = take(&places, "192.0.2.200").unwrap();
        let mut crowd = Vec::new();
        for round in 0..100 {
            let host = round % 9 + 1;
            crowd.extend(take(&places, &format!("192.0.2.{host}")));
        }
        assert!(!honest.leave().is_cancelled());
        // And it was the oldest all the while.
        assert!(honest.is_idle() && !gone(&crowd).is_empty());
    }

    #[test]
    fn proxies_have_more_than_a_quarter_and_are_not_cut_off() {
        let trusted = ["10.0.0.0/8".parse().unwrap()];
        let places = Places::new(8, 8, &trusted);
        let proxy = several(&places, "10.0.0.1", 8);
        let _calls = calls(&proxy[..7]);
        let new = take(&places, "192.0.2.1").unwrap();
        assert_eq!(gone(&proxy), [7], "an idle one may go");
        let _call = new.call();
        assert!(take(&places, "192.0.2.2").is_none());
        assert_eq!(gone(&proxy), [7]);
    }

    #[test]
    fn those_on_their_way_out_are_cut_off_when_they_become_many() {
        let places = Places::new(4, 4, &[]);
        let mut all = Vec::new();
        for host in 0..LEAVING + 5 {
            all.push(take(&places, &format!("192.0.2.{host}")).unwrap());
        }
        assert_eq!(gone(&all).len(), LEAVING + 1);
        let cut: Vec<_> = all.iter().filter(|place| place.cut().is_cancelled()).collect();
        assert_eq!(cut.len(), 1);
        drop(all);
        let open = places.0.lock();
        assert_eq!((open.held.len(), open.seated.len(), open.leaving.len()), (0, 0, 0));
    }

    #[test]
    fn a_fleeting_place_goes_from_hand_to_hand() {
        let places = Places::fleeting(4);
        let mut all = Vec::new();
        let mut busy = Vec::new();
        for host in 0..6 {
            let place = take(&places, &format!("192.0.2.{host}")).unwrap();
            busy.push(place.call());
            all.push(place);
        }
        assert_eq!(gone(&all), [0, 1]);
        // One's own goes first where one has a quarter.
        all.push(take(&places, "192.0.2.5").unwrap());
        assert_eq!(gone(&all), [0, 1, 5]);
    }

    #[test]
    fn without_file_descriptors_one_is_cut_off_at_once() {
        let places = Places::new(8, 8, &[]);
        assert!(!places.shed());
        let all = several(&places, "192.0.2.1", 2);
        assert!(places.shed());
        assert!(all[0].cut().is_cancelled() && !all[1].cut().is_cancelled());
    }
}
