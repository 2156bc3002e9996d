//! The ambient sources: the clock, ids and random bytes.
//!
//! The only place where they are read. Services take what they need from here and hand it on as
//! plain values, so that rules and units of work are functions of their arguments.

use std::{
    num::NonZero,
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
};

use arc_swap::ArcSwap;
use chrono::{DateTime, SubsecRound, Utc};
use uuid::Uuid;

use crate::kernel::{id::uuid_v7, time::Instant, zone::ZoneData};

/// How many cores this process may use; 1 where the system does not tell.
pub fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, NonZero::get)
}

/// Where time, ids, random bytes and the rules of time zones come from.
#[derive(Debug, Clone, Default)]
pub struct Ambient {
    /// Microseconds since 1970, where a test steers the clock.
    manual: Option<Arc<AtomicI64>>,
    /// The zone data that serve now. Others take their place while the process runs.
    zones: Arc<ArcSwap<ZoneData>>,
}

impl Ambient {
    /// The machine's clock.
    pub fn system() -> Self {
        Self::default()
    }

    /// A clock that only moves when told, for tests.
    pub fn manual(now: Instant) -> (Self, ManualClock) {
        let micros = Arc::new(AtomicI64::new(now.timestamp_micros()));
        let ambient = Self { manual: Some(Arc::clone(&micros)), ..Self::default() };
        (ambient, ManualClock(micros))
    }

    /// The same sources with zone data of its own, which begin with these.
    #[must_use]
    pub fn with_zones(&self, zones: ZoneData) -> Self {
        Self { zones: Arc::new(ArcSwap::from_pointee(zones)), ..self.clone() }
    }

    /// The zone data that serve now. Whoever computes takes them once, and hands them on.
    pub fn zones(&self) -> ZoneData {
        ZoneData::clone(&self.zones.load())
    }

    /// Lets other zone data serve from now on, for everybody who has a clone of this.
    pub fn set_zones(&self, zones: ZoneData) {
        self.zones.store(Arc::new(zones));
    }

    /// The present instant, in whole microseconds, which is what both engines store.
    pub fn now(&self) -> Instant {
        if let Some(micros) = &self.manual {
            return instant(micros);
        }
        #[expect(clippy::disallowed_methods, reason = "the one place that asks the clock")]
        let now = Utc::now();
        now.trunc_subsecs(6)
    }

    /// A new id for this instant.
    pub fn id(&self, now: Instant) -> Uuid {
        uuid_v7(now, &self.bytes())
    }

    /// Random bytes from the cryptographic source.
    ///
    /// # Panics
    ///
    /// When the operating system has no source of randomness; there is no safe way to go on.
    pub fn bytes<const N: usize>(&self) -> [u8; N] {
        let mut bytes = [0; N];
        // The source fails only where the operating system has none; a process without randomness
        // must not go on.
        #[expect(clippy::expect_used, reason = "no safe way to go on without randomness")]
        aws_lc_rs::rand::fill(&mut bytes).expect("the system's random source");
        bytes
    }
}

/// The hand that moves a manual clock.
#[derive(Debug, Clone)]
pub struct ManualClock(Arc<AtomicI64>);

impl ManualClock {
    /// Sets the clock.
    pub fn set(&self, now: Instant) {
        self.0.store(now.timestamp_micros(), Ordering::SeqCst);
    }

    /// The instant that the clock shows.
    pub fn now(&self) -> Instant {
        instant(&self.0)
    }
}

fn instant(micros: &AtomicI64) -> Instant {
    DateTime::from_timestamp_micros(micros.load(Ordering::SeqCst)).unwrap_or_default()
}
