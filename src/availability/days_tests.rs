//! Days drawn as text, to be checked by eye: what is open, what is in the way, and what is on offer.
//!
//! All times are the provider's wall-clock times with their offset from UTC.

use std::fmt::Write as _;

use chrono::{DateTime, FixedOffset, NaiveDate, TimeDelta, Weekday};

use super::{
    ProviderTime, SlotRules,
    compute::{reach, slots},
};
use crate::{
    catalogue::{Horizon, Limits},
    kernel::{
        time::{
            Instant, Interval,
            tests::{at, span},
        },
        zone::{ZoneData, ZoneRules},
    },
    schedule::{
        TimeOfDay,
        dates::{DateOverride, DateOverrides, Stay, Stays, TimeWindow},
        days::Days,
        expand::{
            local_date, local_day,
            tests::{daily, date, named as zone, rules},
        },
        hours::Hours,
    },
};

/// One provider's hours, and all that decides what is on offer.
pub(super) struct Page {
    pub(super) hours: Hours,
    pub(super) asked: SlotRules,
    pub(super) now: Instant,
    /// Appointments of the type that is asked for, without their buffers.
    pub(super) booked: Vec<Interval>,
    pub(super) time_off: Vec<Interval>,
    pub(super) closures: Vec<Interval>,
}

/// The same windows on every day, and appointments of so many minutes, back to back. Nothing is in the way.
pub(super) fn page(name: &str, windows: &[(&str, &str)], length: i64) -> Page {
    let length = TimeDelta::minutes(length);
    Page {
        hours: Hours::weekly_only(zone(name), daily(windows)),
        asked: SlotRules::interval(length, length),
        now: at("2000-01-01T00:00Z"),
        booked: Vec::new(),
        time_off: Vec::new(),
        closures: Vec::new(),
    }
}

impl Page {
    /// The same with windows of their own on some dates, and dates spent elsewhere.
    pub(super) fn with(mut self, overrides: Vec<DateOverride>, stays: Vec<Stay>) -> Self {
        self.hours = Hours::new(
            self.hours.zone(),
            self.hours.weekly().clone(),
            DateOverrides::new(overrides).unwrap(),
            Stays::new(stays).unwrap(),
        );
        self
    }

    /// Draws one date.
    pub(super) fn draw(&self, day: &str) -> String {
        let (day, zone) = (date(day), rules(self.hours.zone()));
        let mut text = format!("{} {}\n", day.format("%A %Y-%m-%d"), zone.zone());
        let Some(range) = local_day(&zone, day) else { return text + "this date was left out" };
        let _ = writeln!(text, "day      {}", between(&zone, day, range));
        let in_range = |all: &[Interval]| -> Vec<Interval> {
            all.iter().filter(|each| each.overlaps(&range)).copied().collect()
        };
        let margin = TimeDelta::days(10);
        let around = (self.now.min(range.start()) - margin, range.end() + margin);
        let time = ProviderTime {
            days: Days::of(&self.hours, &ZoneData::bundled(), Weekday::Mon, around).unwrap(),
            windows: self
                .hours
                .windows(&ZoneData::bundled(), reach(range, self.asked.duration))
                .unwrap(),
            time_off: in_range(&self.time_off),
            closures: in_range(&self.closures),
            claims: self.booked.iter().map(|each| self.asked.claim(*each)).collect(),
            counted: self.booked.clone(),
        };
        for (label, all) in [
            ("open", &in_range(&time.windows)),
            ("time off", &time.time_off),
            ("closure", &time.closures),
            ("claim", &in_range(&time.claims)),
        ] {
            for each in all {
                let _ = writeln!(text, "{label:8} {}", between(&zone, day, *each));
            }
        }
        let found = slots(&time, &self.asked, range, self.now).collect::<Vec<_>>();
        let starts: Vec<_> = found.iter().map(|slot| clock(&zone, slot.start())).collect();
        // One line for each offset, so that a change of clocks is seen.
        for same in
            starts.chunk_by(|a, b| a.format("%:z").to_string() == b.format("%:z").to_string())
        {
            let offset = same.first().map(|start| start.format("%:z").to_string());
            let walls: Vec<_> = same.iter().map(|s| s.format("%H:%M").to_string()).collect();
            let _ = writeln!(text, "slots    {} {}", walls.join(" "), offset.unwrap_or_default());
        }
        if starts.is_empty() {
            text.push_str("no slots\n");
        }
        text.trim_end().to_owned()
    }

    /// Draws dates below each other.
    pub(super) fn draw_all(&self, days: &[&str]) -> String {
        days.iter().map(|day| self.draw(day)).collect::<Vec<_>>().join("\n\n")
    }
}

/// What the clock on the wall shows, with its offset.
pub(super) fn clock(zone: &ZoneRules, instant: Instant) -> DateTime<FixedOffset> {
    let offset = i32::try_from(zone.offset(instant).num_seconds()).unwrap();
    instant.with_timezone(&FixedOffset::east_opt(offset).unwrap())
}

/// From when to when, and how long that takes. The weekday is told where it is not the page's.
fn between(zone: &ZoneRules, day: NaiveDate, interval: Interval) -> String {
    let wall = |instant: Instant| {
        let other = local_date(zone, instant) != Some(day);
        let form = if other { "%H:%M %:z (%a)" } else { "%H:%M %:z" };
        clock(zone, instant).format(form).to_string()
    };
    let minutes = interval.duration().num_minutes();
    let length = match (minutes / 60, minutes % 60) {
        (0, minutes) => format!("{minutes} min"),
        (hours, 0) => format!("{hours} h"),
        (hours, minutes) => format!("{hours} h {minutes} min"),
    };
    format!("{} to {}, {length}", wall(interval.start()), wall(interval.end()))
}

/// The windows of one date instead of the week's.
pub(super) fn override_of(day: &str, windows: &[(&str, &str)]) -> DateOverride {
    let time = |text| TimeOfDay::parse(text).unwrap();
    let windows =
        windows.iter().map(|(start, end)| TimeWindow { start: time(start), end: time(end) });
    DateOverride { date: date(day), windows: windows.collect() }
}

/// 45 minutes every quarter of an hour, 5 kept free before and 10 after.
#[test]
fn a_salon_with_buffers() {
    let mut salon = page("Europe/Berlin", &[("09:00", "13:00")], 45);
    salon.asked.step = TimeDelta::minutes(15);
    salon.asked.buffer_before = TimeDelta::minutes(5);
    salon.asked.buffer_after = TimeDelta::minutes(10);
    salon.booked = vec![span("2026-06-03T10:00+02:00", "2026-06-03T10:45+02:00")];
    // 09:00 just fits: it and its buffer end at 09:55, where the claim begins. After the claim the pause
    // is 10 + 5 minutes, so 11:00. At both ends of the day the buffers lie outside the window.
    insta::assert_snapshot!(salon.draw("2026-06-03"), @"
    Wednesday 2026-06-03 Europe/Berlin
    day      00:00 +02:00 to 00:00 +02:00 (Thu), 24 h
    open     09:00 +02:00 to 13:00 +02:00, 4 h
    claim    09:55 +02:00 to 10:55 +02:00, 1 h
    slots    09:00 11:00 11:15 11:30 11:45 12:00 12:15 +02:00
    ");
}

#[test]
fn the_grid_of_a_salon_stays_where_it_is() {
    let mut salon = page("Europe/Berlin", &[("09:00", "12:00")], 30);
    salon.asked.offset = TimeDelta::minutes(10);
    salon.booked = vec![span("2026-06-03T09:25+02:00", "2026-06-03T10:05+02:00")];
    // Starts are at 10 and 40 past; a claim that lies across the grid hides two of them and moves none.
    insta::assert_snapshot!(salon.draw("2026-06-03"), @"
    Wednesday 2026-06-03 Europe/Berlin
    day      00:00 +02:00 to 00:00 +02:00 (Thu), 24 h
    open     09:00 +02:00 to 12:00 +02:00, 3 h
    claim    09:25 +02:00 to 10:05 +02:00, 40 min
    slots    10:10 10:40 11:10 +02:00
    ");
}

#[test]
fn a_clinic_with_an_override_time_off_and_a_closure() {
    let overrides = vec![
        override_of("2026-06-10", &[("10:00", "12:00"), ("13:00", "18:00")]),
        override_of("2026-06-11", &[]),
    ];
    let weekly = page("America/New_York", &[("08:00", "10:00")], 20);
    let mut clinic = weekly.with(overrides, Vec::new());
    clinic.time_off = vec![span("2026-06-10T13:30-04:00", "2026-06-10T14:15-04:00")];
    clinic.closures = vec![span("2026-06-10T17:00-04:00", "2026-06-12T08:30-04:00")];
    // The afternoon's grid begins at 13:00, so after the time off it goes on at 14:20. The 11th is closed
    // by its override and the 12th opens late: 08:20 would begin in the closure.
    insta::assert_snapshot!(
        clinic.draw_all(&["2026-06-09", "2026-06-10", "2026-06-11", "2026-06-12"]),
        @"
    Tuesday 2026-06-09 America/New_York
    day      00:00 -04:00 to 00:00 -04:00 (Wed), 24 h
    open     08:00 -04:00 to 10:00 -04:00, 2 h
    slots    08:00 08:20 08:40 09:00 09:20 09:40 -04:00

    Wednesday 2026-06-10 America/New_York
    day      00:00 -04:00 to 00:00 -04:00 (Thu), 24 h
    open     10:00 -04:00 to 12:00 -04:00, 2 h
    open     13:00 -04:00 to 18:00 -04:00, 5 h
    time off 13:30 -04:00 to 14:15 -04:00, 45 min
    closure  17:00 -04:00 to 08:30 -04:00 (Fri), 39 h 30 min
    slots    10:00 10:20 10:40 11:00 11:20 11:40 13:00 14:20 14:40 15:00 15:20 15:40 16:00 16:20 16:40 -04:00

    Thursday 2026-06-11 America/New_York
    day      00:00 -04:00 to 00:00 -04:00 (Fri), 24 h
    closure  17:00 -04:00 (Wed) to 08:30 -04:00 (Fri), 39 h 30 min
    no slots

    Friday 2026-06-12 America/New_York
    day      00:00 -04:00 to 00:00 -04:00 (Sat), 24 h
    open     08:00 -04:00 to 10:00 -04:00, 2 h
    closure  17:00 -04:00 (Wed) to 08:30 -04:00, 39 h 30 min
    slots    08:40 09:00 09:20 09:40 -04:00
    "
    );
}

#[test]
fn a_day_and_a_week_whose_limits_are_reached() {
    let mut physio = page("Europe/Berlin", &[("09:00", "12:00")], 60);
    physio.asked.limits =
        Limits { per_day: Some(2), minutes_per_week: Some(4 * 60), ..Limits::default() };
    physio.booked = vec![
        span("2026-06-01T09:00+02:00", "2026-06-01T10:00+02:00"),
        span("2026-06-02T09:00+02:00", "2026-06-02T10:00+02:00"),
        span("2026-06-02T11:00+02:00", "2026-06-02T12:00+02:00"),
    ];
    // Tuesday has two, which is the most. Wednesday has room for the week's fourth hour.
    insta::assert_snapshot!(physio.draw_all(&["2026-06-02", "2026-06-03"]), @"
    Tuesday 2026-06-02 Europe/Berlin
    day      00:00 +02:00 to 00:00 +02:00 (Wed), 24 h
    open     09:00 +02:00 to 12:00 +02:00, 3 h
    claim    09:00 +02:00 to 10:00 +02:00, 1 h
    claim    11:00 +02:00 to 12:00 +02:00, 1 h
    no slots

    Wednesday 2026-06-03 Europe/Berlin
    day      00:00 +02:00 to 00:00 +02:00 (Thu), 24 h
    open     09:00 +02:00 to 12:00 +02:00, 3 h
    slots    09:00 10:00 11:00 +02:00
    ");
    // With the fourth hour taken the week is full, and the next one is not.
    physio.booked.push(span("2026-06-03T10:00+02:00", "2026-06-03T11:00+02:00"));
    insta::assert_snapshot!(
        physio.draw_all(&["2026-06-03", "2026-06-07", "2026-06-08"]),
        @"
    Wednesday 2026-06-03 Europe/Berlin
    day      00:00 +02:00 to 00:00 +02:00 (Thu), 24 h
    open     09:00 +02:00 to 12:00 +02:00, 3 h
    claim    10:00 +02:00 to 11:00 +02:00, 1 h
    no slots

    Sunday 2026-06-07 Europe/Berlin
    day      00:00 +02:00 to 00:00 +02:00 (Mon), 24 h
    open     09:00 +02:00 to 12:00 +02:00, 3 h
    no slots

    Monday 2026-06-08 Europe/Berlin
    day      00:00 +02:00 to 00:00 +02:00 (Tue), 24 h
    open     09:00 +02:00 to 12:00 +02:00, 3 h
    slots    09:00 10:00 11:00 +02:00
    "
    );
}

#[test]
fn notice_and_horizon() {
    let mut studio = page("Europe/Berlin", &[("09:00", "15:00")], 30);
    studio.now = at("2026-06-03T10:07+02:00");
    studio.asked.notice = TimeDelta::minutes(120);
    studio.asked.horizon = Some(Horizon::RollingDays(1));
    // Two hours from now is 12:07, so the first start is 12:30. Tomorrow is the last day, in full.
    insta::assert_snapshot!(
        studio.draw_all(&["2026-06-03", "2026-06-04", "2026-06-05"]),
        @"
    Wednesday 2026-06-03 Europe/Berlin
    day      00:00 +02:00 to 00:00 +02:00 (Thu), 24 h
    open     09:00 +02:00 to 15:00 +02:00, 6 h
    slots    12:30 13:00 13:30 14:00 14:30 +02:00

    Thursday 2026-06-04 Europe/Berlin
    day      00:00 +02:00 to 00:00 +02:00 (Fri), 24 h
    open     09:00 +02:00 to 15:00 +02:00, 6 h
    slots    09:00 09:30 10:00 10:30 11:00 11:30 12:00 12:30 13:00 13:30 14:00 14:30 +02:00

    Friday 2026-06-05 Europe/Berlin
    day      00:00 +02:00 to 00:00 +02:00 (Sat), 24 h
    open     09:00 +02:00 to 15:00 +02:00, 6 h
    no slots
    "
    );
}

#[test]
fn a_night_over_midnight() {
    let mut night = page("Europe/Berlin", &[("00:00", "02:00"), ("22:00", "24:00")], 60);
    night.booked = vec![span("2026-06-03T23:30+02:00", "2026-06-04T00:30+02:00")];
    // Windows that touch at midnight are one stretch of open time; each keeps its grid. A day's page has
    // the slots that start in the day.
    insta::assert_snapshot!(night.draw_all(&["2026-06-03", "2026-06-04"]), @"
    Wednesday 2026-06-03 Europe/Berlin
    day      00:00 +02:00 to 00:00 +02:00 (Thu), 24 h
    open     00:00 +02:00 to 02:00 +02:00, 2 h
    open     22:00 +02:00 to 00:00 +02:00 (Thu), 2 h
    claim    23:30 +02:00 to 00:30 +02:00 (Thu), 1 h
    slots    00:00 01:00 22:00 +02:00

    Thursday 2026-06-04 Europe/Berlin
    day      00:00 +02:00 to 00:00 +02:00 (Fri), 24 h
    open     00:00 +02:00 to 02:00 +02:00, 2 h
    open     22:00 +02:00 to 00:00 +02:00 (Fri), 2 h
    claim    23:30 +02:00 (Wed) to 00:30 +02:00, 1 h
    slots    01:00 22:00 23:00 +02:00
    ");
}
