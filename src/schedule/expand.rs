//! From wall-clock time to instants: the only file that knows daylight saving.
//!
//! In a gap the clock skips wall times; in a fold it shows them twice. What a start or an end
//! means there is decided in [`resolve_start`] and [`resolve_end`], and nowhere else.
//!
//! Each zone's present rules go on for as long as instants are accepted.

use chrono::{NaiveDate, NaiveDateTime, NaiveTime};

use super::hours::Hours;
use crate::kernel::{
    time::{Instant, Interval},
    zone::{LocalTimeMapping, UnknownZone, ZoneData, ZoneRules},
};

/// The instant at which something starts that starts at this wall-clock time.
///
/// In a gap the first instant after the gap, in a fold the earlier of the two. A later wall time
/// never starts earlier. `None` only outside the years -9999 to 9999.
pub fn resolve_start(zone: &ZoneRules, wall: NaiveDateTime) -> Option<Instant> {
    Some(match zone.reading(wall)? {
        LocalTimeMapping::Once(instant)
        | LocalTimeMapping::Twice(instant, _)
        | LocalTimeMapping::Skipped(instant) => instant,
    })
}

/// The instant at which something ends that ends at this wall-clock time.
///
/// In a gap the first instant after the gap, in a fold the later of the two. A later wall time
/// never ends earlier. `None` only outside the years -9999 to 9999.
pub fn resolve_end(zone: &ZoneRules, wall: NaiveDateTime) -> Option<Instant> {
    Some(match zone.reading(wall)? {
        LocalTimeMapping::Once(instant)
        | LocalTimeMapping::Twice(_, instant)
        | LocalTimeMapping::Skipped(instant) => instant,
    })
}

/// The instants of one local date; `None` if the zone skipped the date.
///
/// The day runs from the first instant with that date to the first instant with a later date, so
/// days never overlap, leave nothing out, and have 23, 24, 25 or other hours. A fold that goes
/// back over midnight gives the repeated stretch to the later date.
pub fn local_day(zone: &ZoneRules, date: NaiveDate) -> Option<Interval> {
    local_days(zone, date, date)
}

/// The instants of the local dates `first` to `last`, both included: their [`local_day`]s joined.
///
/// `None` if `last` is before `first` or the zone skipped them all.
pub fn local_days(zone: &ZoneRules, first: NaiveDate, last: NaiveDate) -> Option<Interval> {
    // A skipped date starts where the next one does, so it comes out empty.
    Interval::new(midnight(zone, first)?, midnight(zone, last.succ_opt()?)?)
}

/// The first instant with this local date, or with a later one if the zone skipped it.
fn midnight(zone: &ZoneRules, date: NaiveDate) -> Option<Instant> {
    resolve_start(zone, date.and_time(NaiveTime::MIN))
}

/// Every occurrence of a window that overlaps the range, sorted by start, no two the same; or that the zone
/// data do not have a zone of the hours that matters there.
///
/// Occurrences are whole, not clipped: the grid of slots is anchored at their start. One that
/// vanishes in a gap is left out. Within one zone starts are distinct and ascend, ends never descend,
/// and two overlap only where one ends in a fold and the next starts in it. Where a stay begins or ends
/// any two may overlap: each date's windows are resolved in that date's zone alone.
pub fn windows(
    zones: &ZoneData,
    hours: &Hours,
    range: Interval,
) -> Result<Vec<Interval>, UnknownZone> {
    let mut found = Vec::new();
    // No zone ever was further than 16 hours from UTC, so a date lies within those 16 hours of the same
    // date in UTC, and one date more on either side leaves nothing out.
    let (first, last) = (range.start().date_naive(), range.end().date_naive());
    let first = first.pred_opt().unwrap_or(first);
    let last = last.succ_opt().unwrap_or(last);
    let mut rules = zones.rules(hours.zone_on(first))?;
    for date in first.iter_days().take_while(|date| *date <= last) {
        let zone = hours.zone_on(date);
        if zone != rules.zone() {
            rules = zones.rules(zone)?;
        }
        found.extend(on(&rules, hours, date).filter(|interval| interval.overlaps(&range)));
    }
    if !hours.stays().is_empty() {
        found.sort_unstable();
        found.dedup();
    }
    Ok(found)
}

/// The occurrences of the windows of one date, in the zone of that date.
pub fn windows_of(
    zones: &ZoneData,
    hours: &Hours,
    date: NaiveDate,
) -> Result<Vec<Interval>, UnknownZone> {
    let rules = zones.rules(hours.zone_on(date))?;
    Ok(on(&rules, hours, date).collect())
}

fn on(rules: &ZoneRules, hours: &Hours, date: NaiveDate) -> impl Iterator<Item = Interval> {
    hours.on(date).filter_map(move |(start, end)| {
        let start = resolve_start(rules, start.on(date)?)?;
        Interval::new(start, resolve_end(rules, end.on(date)?)?)
    })
}

/// The date on the wall at this instant; `None` at the ends of chrono's calendar.
pub fn local_date(zone: &ZoneRules, instant: Instant) -> Option<NaiveDate> {
    zone.wall(instant).map(|wall| wall.date())
}

#[cfg(test)]
#[path = "expand_tests.rs"]
pub(crate) mod tests;
