//! Places that are bounded in all and for each address, so that nobody alone takes them all.

use std::{
    collections::HashMap,
    net::IpAddr,
    sync::{Arc, Mutex, PoisonError},
};

use super::rates::network;

/// The places there are. Clones share them.
#[derive(Debug, Clone)]
pub(super) struct AddressLimiter {
    in_all: usize,
    of_one: usize,
    taken: Arc<Mutex<Taken>>,
}

#[derive(Debug, Default)]
struct Taken {
    in_all: usize,
    /// By what one customer has; nobody is here without a place.
    by: HashMap<IpAddr, usize>,
}

impl AddressLimiter {
    /// So many places in all, and so many for one address.
    pub(super) fn new(in_all: usize, of_one: usize) -> Self {
        Self { in_all, of_one, taken: Arc::default() }
    }

    /// Takes a place, if there is one left for this address. Addresses of one network of 64 bits of IPv6
    /// count together: whoever has one of them has them all.
    pub(super) fn take(&self, address: IpAddr) -> Option<Share> {
        let address = network(address);
        let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        let before = taken.by.get(&address).copied().unwrap_or_default();
        if taken.in_all >= self.in_all || before >= self.of_one {
            return None;
        }
        taken.in_all += 1;
        taken.by.insert(address, before + 1);
        Some(Share { taken: Arc::clone(&self.taken), address })
    }
}

/// One place; given back when this is dropped.
#[derive(Debug)]
pub(super) struct Share {
    taken: Arc<Mutex<Taken>>,
    address: IpAddr,
}

impl Drop for Share {
    fn drop(&mut self) {
        let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        taken.in_all = taken.in_all.saturating_sub(1);
        let Some(left) = taken.by.get_mut(&self.address) else { return };
        *left = left.saturating_sub(1);
        if *left == 0 {
            taken.by.remove(&self.address);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn take(shares: &AddressLimiter, address: &str) -> Option<Share> {
        shares.take(address.parse().unwrap())
    }

    #[test]
    fn places_end_in_all_and_for_each_address_and_come_back() {
        let shares = AddressLimiter::new(3, 2);
        let first = take(&shares, "192.0.2.1").unwrap();
        let _second = take(&shares, "192.0.2.1").unwrap();
        assert!(take(&shares, "192.0.2.1").is_none());
        let other = take(&shares, "192.0.2.2").unwrap();
        assert!(take(&shares, "192.0.2.3").is_none());
        drop(first);
        let again = take(&shares, "192.0.2.1").unwrap();
        assert!(take(&shares, "192.0.2.2").is_none());
        drop((other, again));
        // Who has no place is not remembered.
        assert_eq!(shares.taken.lock().unwrap().by.len(), 1);
        assert_eq!(shares.taken.lock().unwrap().in_all, 1);
    }

    #[test]
    fn what_one_customer_has_counts_as_one_address() {
        for (one, same, other) in [
            ("2001:db8:1:2::1", "2001:db8:1:2:3:4:5:6", "2001:db8:1:3::1"),
            ("192.0.2.1", "::ffff:192.0.2.1", "::ffff:192.0.2.2"),
            ("::ffff:192.0.2.1", "192.0.2.1", "192.0.2.2"),
        ] {
            let shares = AddressLimiter::new(9, 1);
            let _place = take(&shares, one).unwrap();
            assert!(take(&shares, same).is_none(), "{same} has a place of its own beside {one}");
            assert!(take(&shares, other).is_some(), "{other} counts as {one}");
        }
    }
}
