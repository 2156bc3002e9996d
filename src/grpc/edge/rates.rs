//! Rates: how fast one caller may call.
//!
//! Known callers are counted by user, wherever they call from; everybody else, and whoever shows a token
//! that is no good, by address. It is a bucket that is filled at an even rate, so that bursts are fine as
//! long as they are not the rule. Each process counts for itself.

use std::{
    hash::Hash,
    net::{IpAddr, Ipv6Addr},
    num::NonZeroU32,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
};

use governor::{
    Quota, RateLimiter,
    clock::{Clock, MonotonicClock},
    middleware::NoOpMiddleware,
    state::keyed::DashMapStateStore,
};

use super::address::ClientAddress;
use crate::grpc::policy::Class;
use crate::{
    config::{Rate, ServerConfig},
    kernel::{
        fault::{Fault, Reason},
        id::UserId,
    },
};

/// After so many calls, callers whose bucket is full again are forgotten: they are as if they had never
/// called. So there are not more of them than have called lately, and these.
const SWEEP: u32 = 10_000;

/// The rates of one process.
#[derive(Debug, Clone)]
pub(in crate::grpc) struct Rates(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    reads: Option<Buckets<UserId>>,
    writes: Option<Buckets<UserId>>,
    addresses: Option<Buckets<IpAddr>>,
}

impl Rates {
    pub(in crate::grpc) fn new(server: &ServerConfig) -> Self {
        Self(Arc::new(Inner {
            reads: Buckets::new(server.caller_reads, MonotonicClock),
            writes: Buckets::new(server.caller_writes, MonotonicClock),
            addresses: Buckets::new(server.address_calls, MonotonicClock),
        }))
    }

    /// Without limits.
    pub(in crate::grpc) fn none() -> Self {
        Self(Arc::new(Inner { reads: None, writes: None, addresses: None }))
    }

    /// Counts a call of somebody who is known.
    pub(in crate::grpc) fn of_user(&self, user: UserId, class: Class) -> Result<(), Fault> {
        let buckets = match class {
            Class::Probe => return Ok(()),
            Class::Read | Class::Stream | Class::Watch => &self.0.reads,
            Class::Write | Class::LogIn => &self.0.writes,
        };
        buckets.as_ref().map_or(Ok(()), |buckets| buckets.take(&user))
    }

    /// Counts a call of somebody who is not.
    pub(in crate::grpc) fn of_address(
        &self,
        address: Option<ClientAddress>,
        class: Class,
    ) -> Result<(), Fault> {
        // A socket without an address is gone before it reads the answer.
        let address = address.map_or(Ipv6Addr::UNSPECIFIED.into(), |address| address.0);
        match &self.0.addresses {
            Some(buckets) if class != Class::Probe => buckets.take(&network(address)),
            _ => Ok(()),
        }
    }
}

/// What one customer of an internet provider has: an IPv4 address, however it is written, or 64 bits of
/// IPv6.
pub(in crate::grpc) fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V4(v4) => v4.into(),
        IpAddr::V6(v6) => Ipv6Addr::from_bits(v6.to_bits() >> 64 << 64).into(),
    }
}

/// A bucket for each caller.
pub(in crate::grpc) struct Buckets<K: Hash + Eq + Clone, C: Clock = MonotonicClock> {
    limiter: RateLimiter<K, DashMapStateStore<K>, C, NoOpMiddleware<C::Instant>>,
    clock: C,
    calls: AtomicU32,
}

impl<K: Hash + Eq + Clone, C: Clock> std::fmt::Debug for Buckets<K, C> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Buckets").finish_non_exhaustive()
    }
}

impl<K: Hash + Eq + Clone, C: Clock + Clone> Buckets<K, C> {
    /// None where the rate is 0: no limit.
    pub(in crate::grpc) fn new(rate: Rate, clock: C) -> Option<Self> {
        let burst = NonZeroU32::new(rate.burst)?;
        let quota = Quota::per_second(NonZeroU32::new(rate.per_second)?).allow_burst(burst);
        let limiter = RateLimiter::dashmap_with_clock(quota, clock.clone());
        Some(Self { limiter, clock, calls: AtomicU32::new(0) })
    }

    pub(in crate::grpc) fn take(&self, key: &K) -> Result<(), Fault> {
        if self.calls.fetch_add(1, Ordering::Relaxed) % SWEEP == SWEEP - 1 {
            self.limiter.retain_recent();
            self.limiter.shrink_to_fit();
        }
        self.limiter.check_key(key).map_err(|not_until| {
            let text = "this caller calls too often; retry after the given delay";
            Fault::new(Reason::RateLimited, text)
                .retry_after(not_until.wait_time_from(self.clock.now()))
        })
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use governor::clock::FakeRelativeClock;

    use super::*;

    fn buckets<K: Hash + Eq + Clone>(
        per_second: u32,
        burst: u32,
    ) -> (Buckets<K, FakeRelativeClock>, FakeRelativeClock) {
        let clock = FakeRelativeClock::default();
        (Buckets::new(Rate { per_second, burst }, clock.clone()).unwrap(), clock)
    }

    #[test]
    fn a_burst_and_then_the_rate_and_the_wait_is_exact() {
        let (buckets, clock) = buckets(4, 3);
        for _ in 0..3 {
            buckets.take(&"ada").unwrap();
        }
        let wait = || buckets.take(&"ada").unwrap_err().retry_delay().unwrap();
        assert_eq!(wait(), Duration::from_millis(250));
        // Being refused costs nothing.
        assert_eq!(wait(), Duration::from_millis(250));
        clock.advance(Duration::from_millis(100));
        assert_eq!(wait(), Duration::from_millis(150));
        clock.advance(Duration::from_millis(150) - Duration::from_nanos(1));
        assert_eq!(wait(), Duration::from_nanos(1));
        clock.advance(Duration::from_nanos(1));
        buckets.take(&"ada").unwrap();
        assert_eq!(wait(), Duration::from_millis(250));
        // Others have their own.
        buckets.take(&"bob").unwrap();
        assert_eq!(buckets.take(&"ada").unwrap_err().reason(), Reason::RateLimited);
    }

    #[test]
    fn a_rate_of_nothing_is_no_limit() {
        let rate = Rate { per_second: 0, burst: 5 };
        assert!(Buckets::<u8>::new(rate, MonotonicClock).is_none());
    }

    #[test]
    fn who_has_not_called_lately_is_forgotten() {
        let (buckets, clock) = buckets(10, 10);
        for caller in 0..1_000_000_u32 {
            buckets.take(&caller).unwrap();
            clock.advance(Duration::from_millis(1));
        }
        // A call costs a tenth of a second: hundred callers are remembered, and those since the sweep.
        let known = buckets.limiter.len();
        assert!(known <= usize::try_from(SWEEP).unwrap() + 200, "{known}");
    }

    #[test]
    fn who_is_refused_stays_refused_over_a_sweep() {
        let (buckets, clock) = buckets(1, 2);
        buckets.take(&u32::MAX).unwrap();
        buckets.take(&u32::MAX).unwrap();
        for caller in 0..2 * SWEEP {
            buckets.take(&caller).unwrap();
            clock.advance(Duration::from_micros(10));
        }
        buckets.take(&u32::MAX).unwrap_err();
    }

    #[test]
    fn addresses_are_counted_by_what_one_customer_has() {
        let of = |text: &str| network(text.parse().unwrap()).to_string();
        assert_eq!(of("192.0.2.1"), "192.0.2.1");
        assert_eq!(of("2001:db8:1:2:3:4:5:6"), "2001:db8:1:2::");
        assert_eq!(of("2001:db8:1:2:ffff::"), of("2001:db8:1:2::1"));
        assert_ne!(of("2001:db8:1:3::"), of("2001:db8:1:2::"));
        // All of IPv4 is one network of 64 bits where it is written as IPv6.
        assert_eq!(of("::ffff:192.0.2.1"), "192.0.2.1");
    }
}
