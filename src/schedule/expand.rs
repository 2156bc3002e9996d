//! From wall-clock time to instants: the only file that knows daylight saving.
//!
//! In a gap the clock skips wall times; in a fold it shows them twice. What a start or an end
//! means there is decided in [`resolve_start`] and [`resolve_end`], and nowhere else.
//!
//! The zone data of chrono-tz lists changes up to the end of 2099. Later dates keep the offset
//! that was in force then.

use chrono::{LocalResult, NaiveDate, NaiveDateTime, NaiveTime, Offset, TimeZone};
use chrono_tz::{GapInfo, Tz};

use super::hours::Hours;
use crate::kernel::time::{Instant, Interval};

/// The instant at which something starts that starts at this wall-clock time.
///
/// In a gap the first instant after the gap, in a fold the earlier of the two. A later wall time
/// never starts earlier. `None` only at the ends of chrono's calendar.
pub fn resolve_start(zone: Tz, wall: NaiveDateTime) -> Option<Instant> {
    match zone.from_local_datetime(&wall) {
        LocalResult::Single(instant) | LocalResult::Ambiguous(instant, _) => Some(instant.to_utc()),
        LocalResult::None => after_gap(zone, wall),
    }
}

/// The instant at which something ends that ends at this wall-clock time.
///
/// In a gap the first instant after the gap, in a fold the later of the two. A later wall time
/// never ends earlier. `None` only at the ends of chrono's calendar.
pub fn resolve_end(zone: Tz, wall: NaiveDateTime) -> Option<Instant> {
    match zone.from_local_datetime(&wall) {
        LocalResult::Single(instant) | LocalResult::Ambiguous(_, instant) => Some(instant.to_utc()),
        LocalResult::None => after_gap(zone, wall),
    }
}

/// The instant of the change that skips this wall-clock time.
fn after_gap(zone: Tz, wall: NaiveDateTime) -> Option<Instant> {
    // `begin` is the wall time at which the gap starts, with the offset before it, so it names the
    // instant of the change. `end` would not do: it is missing if a fold follows at once.
    let (begin, before) = GapInfo::new(&wall, &zone)?.begin?;
    begin.checked_sub_offset(before.fix()).map(|utc| utc.and_utc())
}

/// The instants of one local date; `None` if the zone skipped the date.
///
/// The day runs from the first instant with that date to the first instant with a later date, so
/// days never overlap, leave nothing out, and have 23, 24, 25 or other hours. A fold that goes
/// back over midnight gives the repeated stretch to the later date.
pub fn local_day(zone: Tz, date: NaiveDate) -> Option<Interval> {
    local_days(zone, date, date)
}

/// The instants of the local dates `first` to `last`, both included: their [`local_day`]s joined.
///
/// `None` if `last` is before `first` or the zone skipped them all.
pub fn local_days(zone: Tz, first: NaiveDate, last: NaiveDate) -> Option<Interval> {
    // A skipped date starts where the next one does, so it comes out empty.
    Interval::new(midnight(zone, first)?, midnight(zone, last.succ_opt()?)?)
}

/// The first instant with this local date, or with a later one if the zone skipped it.
fn midnight(zone: Tz, date: NaiveDate) -> Option<Instant> {
    resolve_start(zone, date.and_time(NaiveTime::MIN))
}

/// Every occurrence of a window that overlaps the range, sorted by start, no two the same.
///
/// Occurrences are whole, not clipped: the grid of slots is anchored at their start. One that
/// vanishes in a gap is left out. Within one zone starts are distinct and ascend, ends never descend,
/// and two overlap only where one ends in a fold and the next starts in it. Where a stay begins or ends
/// any two may overlap: each date's windows are resolved in that date's zone alone.
pub fn windows(hours: &Hours, range: Interval) -> Vec<Interval> {
    let mut found = Vec::new();
    // No zone ever was further than 16 hours from UTC, so a date lies within those 16 hours of the same
    // date in UTC, and one date more on either side leaves nothing out.
    let (first, last) = (range.start().date_naive(), range.end().date_naive());
    let first = first.pred_opt().unwrap_or(first);
    let last = last.succ_opt().unwrap_or(last);
    for date in first.iter_days().take_while(|date| *date <= last) {
        let zone = hours.zone_on(date);
        for (start, end) in hours.on(date) {
            let start = start.on(date).and_then(|wall| resolve_start(zone, wall));
            let Some(start) = start.filter(|start| *start < range.end()) else { continue };
            let end = end.on(date).and_then(|wall| resolve_end(zone, wall));
            let occurrence = end.and_then(|end| Interval::new(start, end));
            found.extend(occurrence.filter(|interval| interval.overlaps(&range)));
        }
    }
    if !hours.stays().is_empty() {
        found.sort_unstable();
        found.dedup();
    }
    found
}

/// The date on the wall at this instant; `None` at the ends of chrono's calendar.
pub fn local_date(zone: Tz, instant: Instant) -> Option<NaiveDate> {
    let utc = instant.naive_utc();
    let offset = zone.offset_from_utc_datetime(&utc).fix();
    utc.checked_add_offset(offset).map(|wall| wall.date())
}

#[cfg(test)]
#[path = "expand_tests.rs"]
pub(crate) mod tests;
