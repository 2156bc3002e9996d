//! Concurrency limits: how many calls of each class are worked on at the same time.
//!
//! One in all, and a smaller one for each class, so that no class can take everything: while every place
//! for log-ins waits for the hashing threads, there are places for bookings left. Nobody waits for a place;
//! who finds none is told at once when to come back.

use std::{net::Ipv6Addr, sync::Arc, time::Duration};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::{
    address::ClientAddress,
    address_limiter::{AddressLimiter, Share},
};
use crate::grpc::policy::Class;
use crate::{config::ServerConfig, kernel::fault::Fault};

/// Calls are short: there is likely to be a place a moment later.
const SOON: Duration = Duration::from_millis(100);
/// Log-ins queue for the hashing threads, and streams last.
const LATER: Duration = Duration::from_secs(1);
/// How many may listen to health at the same time,
const WATCHES: usize = 4096;
/// and how many of one address.
const WATCHES_OF_ONE: usize = 1024;

/// The places there are.
#[derive(Debug, Clone)]
pub(in crate::grpc) struct ConcurrencyLimiter {
    in_all: Arc<Semaphore>,
    log_ins: Arc<Semaphore>,
    writes: Arc<Semaphore>,
    reads: Arc<Semaphore>,
    streams: Arc<Semaphore>,
    watches: Arc<Semaphore>,
    probes: AddressLimiter,
}

/// A call's places, given back when this is dropped.
#[derive(Debug)]
pub(in crate::grpc) struct Place {
    _of_class: Option<OwnedSemaphorePermit>,
    _in_all: Option<OwnedSemaphorePermit>,
    _watch: Option<Share>,
}

impl ConcurrencyLimiter {
    pub(in crate::grpc) fn new(server: &ServerConfig) -> Self {
        let places = |count| Arc::new(Semaphore::new(count));
        Self {
            in_all: places(server.max_in_flight),
            log_ins: places(server.max_log_ins_in_flight),
            writes: places(server.max_writes_in_flight),
            reads: places(server.max_reads_in_flight),
            streams: places(server.max_streams),
            watches: places(server.max_watches),
            probes: AddressLimiter::new(WATCHES, WATCHES_OF_ONE),
        }
    }

    /// Takes the places of one call. Probes need none, and always get in.
    ///
    /// A stream has no place among all: it is idle most of its time, which may be an hour.
    pub(in crate::grpc) fn enter(&self, class: Class) -> Result<Option<Place>, Fault> {
        let (budget, delay) = match class {
            Class::Probe => return Ok(None),
            Class::LogIn => (&self.log_ins, LATER),
            Class::Write => (&self.writes, SOON),
            Class::Read => (&self.reads, SOON),
            Class::Stream => (&self.streams, LATER),
            Class::Watch => (&self.watches, LATER),
        };
        let take = |budget: &Arc<Semaphore>, delay| {
            Arc::clone(budget).try_acquire_owned().map_err(|_| Fault::overloaded(delay))
        };
        let of_class = take(budget, delay)?;
        let is_short = !matches!(class, Class::Stream | Class::Watch);
        let in_all = is_short.then(|| take(&self.in_all, SOON)).transpose()?;
        Ok(Some(Place { _of_class: Some(of_class), _in_all: in_all, _watch: None }))
    }

    /// Takes a place among those who listen to health. They have nothing else in common with others, and
    /// cost nothing but memory.
    pub(in crate::grpc) fn watch(&self, address: Option<&ClientAddress>) -> Result<Place, Fault> {
        // A socket without an address is gone before it reads the answer.
        let address = address.map_or(Ipv6Addr::UNSPECIFIED.into(), |address| address.0);
        let watch = self.probes.take(address).ok_or_else(|| Fault::overloaded(LATER))?;
        Ok(Place { _of_class: None, _in_all: None, _watch: Some(watch) })
    }
}
