//! From messages to the words of the rooms, and back. Every check says what would be valid.

use chrono::{DateTime, Datelike, NaiveDate, TimeDelta, Weekday};
use prost_types::{Duration, FieldMask, Timestamp};

use crate::grpc::proto::google::r#type::{Date, DayOfWeek, TimeOfDay as WireTimeOfDay};
use crate::{
    kernel::{
        fault::{Fault, Violations},
        stamp::{Revision, Stamp},
        time::{self, Instant},
        zone::{Zone, ZoneData},
    },
    schedule::TimeOfDay,
};

/// What the name of an appointment type looks like.
pub(super) const TYPE_NAME: &str = "must be appointmentTypes/{type} with a UUID in lower case";
/// The longest text that is looked at as a name or id, in bytes.
const LONGEST_NAME: usize = 200;

pub(super) fn timestamp(instant: Instant) -> Timestamp {
    Timestamp {
        seconds: instant.timestamp(),
        nanos: i32::try_from(instant.timestamp_subsec_nanos()).unwrap_or_default(),
    }
}

/// A start, in whole seconds, in the years 1970 to 2199.
pub(super) fn start(at: Option<&Timestamp>) -> Result<Instant, &'static str> {
    instant(at, time::is_accepted_start)
}

/// An end: like a start, and also the first instant of 2200.
pub(super) fn end(at: Option<&Timestamp>) -> Result<Instant, &'static str> {
    instant(at, time::is_accepted_end)
}

/// A bound of a filter: in the years 1970 to 2199, with fractions of a second. Rounded up to what the database
/// keeps, microseconds: what is at or after the bound stays so, and what is before it too.
pub(super) fn moment(at: &Timestamp) -> Result<Instant, &'static str> {
    rounded(at, |nanos| nanos.div_ceil(1000))
}

/// The same rounded down: what is after the bound stays so.
pub(super) fn moment_before(at: &Timestamp) -> Result<Instant, &'static str> {
    rounded(at, |nanos| nanos / 1000)
}

fn rounded(at: &Timestamp, micros: fn(u32) -> u32) -> Result<Instant, &'static str> {
    const RANGE: &str = "must be in the years 1970 to 2199";
    let nanos = u32::try_from(at.nanos).ok().filter(|nanos| *nanos < 1_000_000_000);
    let nanos = nanos.ok_or("must be a time with 0 to 999999999 nanos")?;
    let whole = DateTime::from_timestamp(at.seconds, 0).ok_or(RANGE)?;
    let moment = whole + TimeDelta::microseconds(micros(nanos).into());
    (time::EARLIEST..=time::LATEST).contains(&moment).then_some(moment).ok_or(RANGE)
}

fn instant(
    at: Option<&Timestamp>,
    accepted: impl Fn(Instant) -> bool,
) -> Result<Instant, &'static str> {
    let at = at.ok_or("must be set")?;
    if at.nanos != 0 {
        return Err("must be in whole seconds");
    }
    DateTime::from_timestamp(at.seconds, 0)
        .filter(|instant| accepted(*instant))
        .ok_or("must be in the years 1970 to 2199")
}

pub(super) fn duration(length: TimeDelta) -> Duration {
    Duration { seconds: length.num_seconds(), nanos: 0 }
}

/// A positive length in whole minutes, at most a day.
pub(super) fn minutes(length: Option<&Duration>) -> Result<TimeDelta, &'static str> {
    let length = length.ok_or("must be set")?;
    let whole = length.nanos == 0 && length.seconds % 60 == 0;
    if !whole || !(60..=86_400).contains(&length.seconds) {
        return Err("must be 1 minute to 24 hours in whole minutes");
    }
    Ok(TimeDelta::seconds(length.seconds))
}

/// A full civil date in the years 1970 to 2199.
pub(super) fn date(date: Option<&Date>) -> Result<NaiveDate, &'static str> {
    let date = date.ok_or("must be set")?;
    let part = |value: i32| u32::try_from(value).ok();
    part(date.month)
        .zip(part(date.day))
        .and_then(|(month, day)| NaiveDate::from_ymd_opt(date.year, month, day))
        .filter(|date| (1970..=2199).contains(&date.year()))
        .ok_or("must be a date with year, month and day, in the years 1970 to 2199")
}

pub(super) fn weekday(day: i32) -> Result<Weekday, &'static str> {
    match DayOfWeek::try_from(day) {
        Ok(DayOfWeek::Monday) => Ok(Weekday::Mon),
        Ok(DayOfWeek::Tuesday) => Ok(Weekday::Tue),
        Ok(DayOfWeek::Wednesday) => Ok(Weekday::Wed),
        Ok(DayOfWeek::Thursday) => Ok(Weekday::Thu),
        Ok(DayOfWeek::Friday) => Ok(Weekday::Fri),
        Ok(DayOfWeek::Saturday) => Ok(Weekday::Sat),
        Ok(DayOfWeek::Sunday) => Ok(Weekday::Sun),
        Ok(DayOfWeek::Unspecified) | Err(_) => Err("must be MONDAY to SUNDAY"),
    }
}

pub(super) fn day_of_week(day: Weekday) -> DayOfWeek {
    match day {
        Weekday::Mon => DayOfWeek::Monday,
        Weekday::Tue => DayOfWeek::Tuesday,
        Weekday::Wed => DayOfWeek::Wednesday,
        Weekday::Thu => DayOfWeek::Thursday,
        Weekday::Fri => DayOfWeek::Friday,
        Weekday::Sat => DayOfWeek::Saturday,
        Weekday::Sun => DayOfWeek::Sunday,
    }
}

/// A time of day in whole minutes, to 24:00.
pub(super) fn time_of_day(time: Option<&WireTimeOfDay>) -> Result<TimeOfDay, &'static str> {
    const FORM: &str = "must be a time of day from 00:00 to 24:00 in whole minutes";
    let time = time.ok_or("must be set")?;
    let whole = time.seconds == 0 && time.nanos == 0;
    if !whole || !(0..=24).contains(&time.hours) || !(0..60).contains(&time.minutes) {
        return Err(FORM);
    }
    u16::try_from(time.hours * 60 + time.minutes).ok().and_then(TimeOfDay::new).ok_or(FORM)
}

pub(super) fn wire_time_of_day(time: TimeOfDay) -> WireTimeOfDay {
    let part = |value: u32| i32::try_from(value).unwrap_or_default();
    WireTimeOfDay { hours: part(time.hour()), minutes: part(time.minute()), seconds: 0, nanos: 0 }
}

pub(super) fn zone(zones: &ZoneData, name: &str) -> Result<Zone, &'static str> {
    zones.parse(name).ok_or("must be an IANA time zone name such as Europe/Berlin")
}

/// A resource name, read by `parse`; `form` says how it looks.
pub(super) fn name<T>(
    text: &str,
    parse: impl Fn(&str) -> Option<T>,
    form: &'static str,
) -> Result<T, &'static str> {
    (text.len() <= LONGEST_NAME).then(|| parse(text)).flatten().ok_or(form)
}

/// The name in a request of which nothing else can be wrong.
pub(super) fn only_name<T>(
    field: &str,
    text: &str,
    parse: impl Fn(&str) -> Option<T>,
    form: &'static str,
) -> Result<T, Fault> {
    let mut violations = Violations::new();
    let read = violations.keep(field, name(text, parse, form));
    violations.finish_with(read)
}

/// The entries of a list of at most so many, which must differ. Of a longer list nothing is read.
pub(super) fn listed<W, T: PartialEq>(
    (field, most): (&str, usize),
    wire: &[W],
    read: impl Fn(&W) -> Result<T, &'static str>,
    violations: &mut Violations,
) -> Vec<T> {
    if wire.len() > most {
        violations.add(field, format!("must have at most {most} entries"));
        return Vec::new();
    }
    let mut all = Vec::with_capacity(wire.len());
    for (index, entry) in wire.iter().enumerate() {
        let path = format!("{field}[{index}]");
        let Some(entry) = violations.keep(&path, read(entry)) else { continue };
        if all.contains(&entry) {
            violations.add(path, "must not be there twice");
        }
        all.push(entry);
    }
    all
}

/// What a text holds that may be empty.
pub(super) fn optional<T>(text: &str, read: impl FnOnce(&str) -> Option<T>) -> Option<T> {
    if text.is_empty() { None } else { read(text) }
}

/// The state that an etag means; empty is none.
///
/// One that holds a version alone was given out before there were stamps. It is the present one of no row that
/// was written since.
pub(super) fn read_etag(etag: &str) -> Result<Option<Revision>, &'static str> {
    const FORM: &str = "must be an etag as it was returned, with its quotes";
    if etag.is_empty() {
        return Ok(None);
    }
    let text = etag.strip_prefix('"').and_then(|e| e.strip_suffix('"')).ok_or(FORM)?;
    let (digits, stamp) = match text.split_once('-') {
        Some((digits, hex)) => (digits, stamp(hex).ok_or(FORM)?),
        None => (text, Stamp::default()),
    };
    let plain = (1..=19).contains(&digits.len()) && digits.bytes().all(|b| b.is_ascii_digit());
    let version = digits.parse().ok().filter(|_| plain).ok_or(FORM)?;
    Ok(Some(Revision::new(version, stamp)))
}

/// Sixteen hexadecimal digits in lower case.
fn stamp(hex: &str) -> Option<Stamp> {
    let plain = |b: u8| b.is_ascii_digit() || (b'a'..=b'f').contains(&b);
    let is_plain = hex.len() == 16 && hex.bytes().all(plain);
    let bits = u64::from_str_radix(hex, 16).ok().filter(|_| is_plain)?;
    Some(Stamp(bits.cast_signed()))
}

/// The etag of a state: its version, for people, and its stamp.
pub(super) fn etag(of: Revision) -> String {
    format!("\"{}-{:016x}\"", of.version, of.stamp.0)
}

/// Which fields of a message an update changes (AIP-134).
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Mask<'m> {
    /// Those that are set: not false, zero or empty. Without a mask.
    Set,
    /// All that can be changed: what is not set is cleared. `*`, and what makes something new.
    All,
    /// The fields of these paths, which are all known; those that are not set are cleared.
    Paths(Vec<&'m str>),
}

impl Mask<'_> {
    /// Whether a field is changed, which is set in the message or not.
    pub(super) fn wants(&self, field: &str, is_set: bool) -> bool {
        match self {
            Self::Set => is_set,
            Self::All => true,
            Self::Paths(paths) => paths.contains(&field),
        }
    }
}

/// Reads a mask. Each path is one of `known`.
pub(super) fn mask<'m>(mask: Option<&'m FieldMask>, known: &[&str]) -> Result<Mask<'m>, String> {
    let Some(mask) = mask else { return Ok(Mask::Set) };
    let paths: Vec<&str> = mask.paths.iter().map(String::as_str).collect();
    if paths.is_empty() {
        return Err("must name at least one field, or be absent".to_owned());
    }
    if paths == ["*"] {
        return Ok(Mask::All);
    }
    if paths.iter().any(|path| !known.contains(path)) {
        return Err(format!("must name only: {}; or * alone, for all of them", known.join(", ")));
    }
    Ok(Mask::Paths(paths))
}
