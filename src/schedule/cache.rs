//! What was read lately, for the next who asks. Hints only: who uses one makes sure by its version and its
//! stamp, in the statement of its own call, that the database still says the same.

use std::sync::Arc;

use chrono::{Days, NaiveTime, TimeDelta};
use quick_cache::{Weighter, sync::Cache};

use crate::{
    catalogue::AppointmentType,
    kernel::{
        id::{ProviderId, TypeId},
        time::{Instant, Interval},
    },
    schedule::provider::Provider,
};

/// How many appointment types are remembered.
const TYPES: usize = 1_000;
/// How many claims are remembered in all, those of a provider with at least [`LEAST`]: some 25 MiB.
const CLAIMS: u64 = 1_000_000;
/// What a provider weighs without a claim, in claims.
const LEAST: u64 = 20;
/// No longer time is remembered, so that nobody who asks for one week makes others read a year.
const LONGEST: TimeDelta = TimeDelta::days(93);

/// How much of a provider's time to read into the cache.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Breadth {
    /// The days that are asked for.
    Asked,
    /// Also those that were remembered before, so that all of them still are.
    AsBefore,
}

/// Cache of providers, their claims and appointment types. Entries are hints: users compare version and
/// stamp with the database in the statement of their own call.
#[derive(Debug, Clone)]
pub struct ScheduleCache {
    providers: Arc<Cache<ProviderId, Arc<Provider>>>,
    times: Arc<Cache<ProviderId, Arc<CachedProviderTime>, Weight>>,
    types: Arc<Cache<TypeId, Arc<AppointmentType>>>,
}

/// A provider and the claims on a stretch of time, as of one version of the provider. Whatever changes
/// either gives the provider a new version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CachedProviderTime {
    /// The provider, with the version.
    pub provider: Arc<Provider>,
    /// The stretch of time.
    pub covered: Interval,
    /// What is claimed of it, buffers included, sorted. No two overlap.
    pub claims: Vec<Interval>,
    /// As of when.
    pub since: Instant,
    /// When the first of the claims expires, if one does: from then on there are fewer.
    pub until: Option<Instant>,
}

impl CachedProviderTime {
    /// The claims that overlap a range.
    pub fn claims(&self, range: Interval) -> &[Interval] {
        // They do not overlap, so their ends ascend as their starts do.
        let first = self.claims.partition_point(|claim| claim.end() <= range.start());
        let last = self.claims.partition_point(|claim| claim.start() < range.end());
        self.claims.get(first..last).unwrap_or_default()
    }

    /// Whether this tells what is claimed of a range at this time, if version and stamp are still the same.
    fn tells(&self, range: Interval, now: Instant) -> bool {
        self.covered.contains(&range)
            && self.since <= now
            && self.until.is_none_or(|until| now < until)
    }
}

#[derive(Debug, Clone)]
struct Weight;

impl Weighter<ProviderId, Arc<CachedProviderTime>> for Weight {
    fn weight(&self, _: &ProviderId, known: &Arc<CachedProviderTime>) -> u64 {
        LEAST + u64::try_from(known.claims.len()).unwrap_or(u64::MAX / 2)
    }
}

impl ScheduleCache {
    /// Remembers up to this many providers.
    pub fn new(capacity: usize) -> Self {
        Self {
            providers: Arc::new(Cache::new(capacity)),
            times: Arc::new(Cache::with_weighter(capacity, CLAIMS, Weight)),
            types: Arc::new(Cache::new(TYPES)),
        }
    }

    /// The provider as it was met last.
    pub fn get(&self, id: ProviderId) -> Option<Arc<Provider>> {
        self.providers.get(&id)
    }

    /// Remembers a provider as it was just read.
    pub fn keep(&self, provider: Arc<Provider>) {
        self.providers.insert(provider.id, provider);
    }

    /// What is known of a provider's time, if that tells what is claimed of a range at this time.
    pub fn time(
        &self,
        id: ProviderId,
        range: Interval,
        now: Instant,
    ) -> Option<Arc<CachedProviderTime>> {
        self.times.get(&id).filter(|known| known.tells(range, now))
    }

    /// Remembers a provider's time as it was just read.
    pub fn keep_time(&self, known: Arc<CachedProviderTime>) {
        self.keep(Arc::clone(&known.provider));
        self.times.insert(known.provider.id, known);
    }

    /// The stretch of time to read for a range, so that the next questions find it remembered: whole
    /// days, and what was remembered before, if that is wanted and not too much.
    pub fn stretch(&self, id: ProviderId, range: Interval, breadth: Breadth) -> Interval {
        let midnight = |at: Instant| at.date_naive().and_time(NaiveTime::MIN).and_utc();
        let end = midnight(range.end()).checked_add_days(Days::new(1)).unwrap_or(range.end());
        let days = Interval::new(midnight(range.start()), end).unwrap_or(range);
        if breadth == Breadth::Asked {
            return days;
        }
        let hull = self.times.get(&id).and_then(|known| {
            let (start, end) = (known.covered.start(), known.covered.end());
            Interval::new(days.start().min(start), days.end().max(end))
        });
        hull.filter(|hull| hull.duration() <= LONGEST).unwrap_or(days)
    }

    /// A type that everybody may see, as it was met last.
    pub fn appointment_type(&self, id: TypeId) -> Option<Arc<AppointmentType>> {
        self.types.get(&id)
    }

    /// Remembers a type as it was just read.
    pub fn keep_type(&self, found: Arc<AppointmentType>) {
        self.types.insert(found.id, found);
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;
    use crate::{
        kernel::{stamp::Stamp, zone::Zone},
        schedule::{Schedule, WeeklyHours, plan::Plan},
    };

    fn at(text: &str) -> Instant {
        format!("2026-11-{text}Z").parse().unwrap()
    }

    fn range(start: &str, end: &str) -> Interval {
        Interval::new(at(start), at(end)).unwrap()
    }

    fn provider() -> Arc<Provider> {
        let hours = WeeklyHours::new(Vec::new()).unwrap();
        let (slot, longest) = (TimeDelta::minutes(30), TimeDelta::hours(2));
        Arc::new(Provider {
            id: ProviderId(Uuid::from_u128(1)),
            display_name: "Ada".to_owned(),
            enabled: true,
            schedule: Arc::new(Schedule::new(Zone::UTC, hours, slot, longest).unwrap()),
            plan: Arc::new(Plan::default()),
            version: 1,
            stamp: Stamp::default(),
            schedule_version: 1,
            schedule_stamp: Stamp::default(),
            schedule_updated_at: at("22T00:00:00"),
            last_assigned_at: None,
        })
    }

    #[test]
    fn what_is_known_tells_of_its_own_stretch_and_time_alone() {
        let (remembered, provider) = (ScheduleCache::new(10), provider());
        let since = at("22T12:00:00");
        let known = CachedProviderTime {
            provider: Arc::clone(&provider),
            covered: range("23T00:00:00", "25T00:00:00"),
            claims: vec![range("23T09:00:00", "23T10:00:00")],
            since,
            until: Some(at("22T12:10:00")),
        };
        remembered.keep_time(Arc::new(known));
        let (whole, id) = (range("23T00:00:00", "25T00:00:00"), provider.id);
        let tells = |range, now: &str| remembered.time(id, range, at(now)).is_some();
        assert!(tells(whole, "22T12:00:00") && tells(whole, "22T12:09:59.999999"));
        // From then on there is one claim less.
        assert!(!tells(whole, "22T12:10:00"));
        // A clock that is behind: what had expired when it was read claims something there.
        assert!(!tells(whole, "22T11:59:59.999999"));
        for other in [
            range("22T23:59:59", "24T00:00:00"),
            range("24T00:00:00", "25T00:00:01"),
            range("26T00:00:00", "27T00:00:00"),
        ] {
            assert!(!tells(other, "22T12:00:00"), "{other:?}");
        }
        assert!(remembered.time(ProviderId(Uuid::from_u128(2)), whole, since).is_none());
    }
}
