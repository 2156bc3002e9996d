//! From the messages of schedules to the room's words. Everything that is wrong is told by field.

use std::fmt::Display;

use chrono::Months;
use prost_types::Timestamp;

use crate::{
    grpc::{
        api::convert::{Mask, date, end, minutes, start, time_of_day, weekday, zone},
        proto::booking as pb,
    },
    kernel::{
        fault::Violations,
        text,
        time::{Instant, Interval},
        zone::ZoneData,
    },
    schedule::{
        MAX_WINDOWS, Window,
        changes::Changes,
        commands::{OVER, is_over},
        dates::{DateOverride, MAX_DATE_WINDOWS, MOST_GIVEN, Stay, TimeWindow},
    },
};

/// The longest reason of time off and of closures, in characters.
const LONGEST_REASON: usize = 500;
/// The longest time off and closure.
const LONGEST_OFF: Months = Months::new(24);

/// What can be changed in the default schedule.
const FIELDS: [&str; 7] = [
    "time_zone",
    "weekly_windows",
    "slot_duration",
    "longest_booking",
    "date_overrides",
    "stays",
    "accepts_intervals",
];
/// What can be changed in a named one.
const NAMED_FIELDS: [&str; 4] = ["time_zone", "weekly_windows", "date_overrides", "stays"];

/// Which fields of a schedule a message is about.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Default,
    Named,
}

/// The fields that an update mask can name.
pub(super) fn known_fields(kind: Kind) -> &'static [&'static str] {
    match kind {
        Kind::Default => &FIELDS,
        Kind::Named => &NAMED_FIELDS,
    }
}

/// What a message changes in a schedule: what its mask wants.
pub(super) fn changes(
    schedule: &pb::Schedule,
    kind: Kind,
    mask: &Mask<'_>,
    zones: &ZoneData,
    violations: &mut Violations,
) -> Changes {
    let is_default = kind == Kind::Default;
    let wants = |field: &str, is_set: bool| {
        known_fields(kind).contains(&field) && mask.wants(field, is_set)
    };
    let mut changes = Changes::default();
    if wants("time_zone", !schedule.time_zone.is_empty()) {
        changes.zone = violations.keep("schedule.time_zone", zone(zones, &schedule.time_zone));
    }
    if wants("slot_duration", schedule.slot_duration.is_some()) {
        let length = minutes(schedule.slot_duration.as_ref());
        changes.slot = violations.keep("schedule.slot_duration", length);
    }
    if wants("longest_booking", schedule.longest_booking.is_some()) {
        let length = minutes(schedule.longest_booking.as_ref());
        changes.longest = violations.keep("schedule.longest_booking", length);
    }
    if wants("accepts_intervals", schedule.accepts_intervals.is_some()) {
        // What is true of a new provider.
        let otherwise = (*mask == Mask::All).then_some(true);
        let accepts = schedule.accepts_intervals.or(otherwise).ok_or("must be set");
        changes.accepts_intervals = violations.keep("schedule.accepts_intervals", accepts);
    }
    if wants("weekly_windows", !schedule.weekly_windows.is_empty()) {
        changes.windows = windows(&schedule.weekly_windows, violations);
    }
    if wants("date_overrides", !schedule.date_overrides.is_empty()) {
        changes.overrides = overrides(&schedule.date_overrides, violations);
    }
    if wants("stays", !schedule.stays.is_empty()) {
        changes.stays = stays(&schedule.stays, zones, violations);
    }
    if !is_default && !matches!(mask, Mask::Paths(_)) {
        only_in_the_default(schedule, violations);
    }
    changes.check(violations);
    changes
}

fn only_in_the_default(schedule: &pb::Schedule, violations: &mut Violations) {
    const TEXT: &str = "must be absent; it belongs to the default schedule";
    for (field, is_there) in [
        ("schedule.slot_duration", schedule.slot_duration.is_some()),
        ("schedule.longest_booking", schedule.longest_booking.is_some()),
        ("schedule.accepts_intervals", schedule.accepts_intervals.is_some()),
    ] {
        if is_there {
            violations.add(field, TEXT);
        }
    }
}

/// Whether a list is short enough to be looked at.
fn is_short<T>(list: &[T], most: usize, field: &str, violations: &mut Violations) -> bool {
    let short = list.len() <= most;
    if !short {
        violations.add(field, format!("must have at most {most}"));
    }
    short
}

fn windows(wire: &[pb::WeeklyWindow], violations: &mut Violations) -> Option<Vec<Window>> {
    const FIELD: &str = "schedule.weekly_windows";
    if !is_short(wire, MAX_WINDOWS, FIELD, violations) {
        return None;
    }
    let read: Vec<Option<Window>> = wire
        .iter()
        .enumerate()
        .map(|(index, wire)| {
            let day = weekday(wire.day);
            let day = violations.keep(&format!("{FIELD}[{index}].day"), day);
            let times = (wire.start_time.as_ref(), wire.end_time.as_ref());
            let window = time_window(times, format_args!("{FIELD}[{index}]"), violations);
            let (day, TimeWindow { start, end }) = day.zip(window)?;
            Some(Window { day, start, end })
        })
        .collect();
    read.into_iter().collect()
}

type WireTime<'a> = Option<&'a crate::grpc::proto::google::r#type::TimeOfDay>;

fn time_window(
    (start, end): (WireTime<'_>, WireTime<'_>),
    path: impl Display,
    violations: &mut Violations,
) -> Option<TimeWindow> {
    let start = violations.keep(&format!("{path}.start_time"), time_of_day(start));
    let end = violations.keep(&format!("{path}.end_time"), time_of_day(end));
    start.zip(end).map(|(start, end)| TimeWindow { start, end })
}

fn overrides(wire: &[pb::DateOverride], violations: &mut Violations) -> Option<Vec<DateOverride>> {
    const FIELD: &str = "schedule.date_overrides";
    if !is_short(wire, MOST_GIVEN, FIELD, violations) {
        return None;
    }
    let read: Vec<Option<DateOverride>> = wire
        .iter()
        .enumerate()
        .map(|(index, wire)| {
            let path = format!("{FIELD}[{index}]");
            let date = violations.keep(&format!("{path}.date"), date(wire.date.as_ref()));
            let windows = format!("{path}.windows");
            if !is_short(&wire.windows, MAX_DATE_WINDOWS, &windows, violations) {
                return None;
            }
            let read: Vec<Option<TimeWindow>> = wire
                .windows
                .iter()
                .enumerate()
                .map(|(place, wire)| {
                    let times = (wire.start_time.as_ref(), wire.end_time.as_ref());
                    time_window(times, format_args!("{windows}[{place}]"), violations)
                })
                .collect();
            let windows: Option<Vec<TimeWindow>> = read.into_iter().collect();
            date.zip(windows).map(|(date, windows)| DateOverride { date, windows })
        })
        .collect();
    read.into_iter().collect()
}

fn stays(wire: &[pb::Stay], zones: &ZoneData, violations: &mut Violations) -> Option<Vec<Stay>> {
    const FIELD: &str = "schedule.stays";
    if !is_short(wire, MOST_GIVEN, FIELD, violations) {
        return None;
    }
    let read: Vec<Option<Stay>> = wire
        .iter()
        .enumerate()
        .map(|(index, wire)| {
            let path = |field: &str| format!("{FIELD}[{index}].{field}");
            let first = violations.keep(&path("start_date"), date(wire.start_date.as_ref()));
            let last = violations.keep(&path("end_date"), date(wire.end_date.as_ref()));
            let zone = violations.keep(&path("time_zone"), zone(zones, &wire.time_zone));
            Some(Stay { first: first?, last: last?, zone: zone? })
        })
        .collect();
    read.into_iter().collect()
}

/// The stretch of time of time off or of a closure, and its reason. `field` is the message's.
///
/// That it is over already is told here beside what else is wrong. Where nothing is, it is decided later:
/// what was asked for in time gets its answer again.
pub(super) fn off(
    (name, from, until, reason): (&str, Option<&Timestamp>, Option<&Timestamp>, &str),
    field: &str,
    now: Instant,
    violations: &mut Violations,
) -> Option<(Interval, String)> {
    let path = |part: &str| format!("{field}.{part}");
    if !name.is_empty() {
        violations.add(path("name"), "must be empty; the answer has the new name");
    }
    let from = violations.keep(&path("start_time"), start(from));
    let until = violations.keep(&path("end_time"), end(until));
    let interval = from
        .zip(until)
        .and_then(|(from, until)| violations.keep(&path("end_time"), ordered(from, until)));
    let reason = violations.keep(&path("reason"), text::lines(reason, LONGEST_REASON));
    if !violations.is_empty() && interval.is_some_and(|interval| is_over(interval, now)) {
        violations.add(path("end_time"), OVER);
    }
    interval.zip(reason)
}

fn ordered(from: Instant, until: Instant) -> Result<Interval, &'static str> {
    let interval = Interval::new(from, until).ok_or("must be after start_time")?;
    let latest = from.checked_add_months(LONGEST_OFF);
    if latest.is_some_and(|latest| until > latest) {
        return Err("must be at most 2 years after start_time");
    }
    Ok(interval)
}
