//! Tests of the words: times of day, weekly hours, schedules, zone names.

use chrono::Weekday::{Fri, Mon, Sun, Tue};
use proptest::prelude::*;

use super::*;
use crate::kernel::time::tests::cases;

fn time(text: &str) -> TimeOfDay {
    TimeOfDay::parse(text).unwrap()
}

fn window(day: Weekday, start: &str, end: &str) -> Window {
    Window { day, start: time(start), end: time(end) }
}

#[test]
fn a_time_of_day_ends_at_24_00() {
    assert_eq!(TimeOfDay::new(1440).unwrap().to_string(), "24:00");
    assert_eq!(TimeOfDay::new(1441), None);
    assert_eq!(TimeOfDay::new(u16::MAX), None);
    let time = time("09:05");
    assert_eq!((time.hour(), time.minute(), time.minutes()), (9, 5, 545));
    for bad in ["", "9:05", "09:60", "24:01", "25:00", "09.05", "+9:05", "09:5 ", "09:05:00", "٠٩"]
    {
        assert_eq!(TimeOfDay::parse(bad), None, "{bad}");
    }
}

#[test]
fn midnight_at_the_end_is_the_next_date() {
    let date = NaiveDate::from_ymd_opt(2026, 12, 31).unwrap();
    assert_eq!(time("24:00").on(date).unwrap().to_string(), "2027-01-01 00:00:00");
    assert_eq!(time("00:00").on(date).unwrap().to_string(), "2026-12-31 00:00:00");
    assert_eq!(time("24:00").on(NaiveDate::MAX), None);
}

#[test]
fn hours_are_sorted_from_monday() {
    let given = vec![
        window(Sun, "10:00", "12:00"),
        window(Mon, "13:00", "17:00"),
        window(Mon, "09:00", "13:00"),
    ];
    let hours = WeeklyHours::new(given.clone()).unwrap();
    assert_eq!(hours.windows(), [given[2], given[1], given[0]]);
    assert_eq!(hours.on(Mon), [given[2], given[1]]);
    assert_eq!(hours.on(Sun), [given[0]]);
    assert!(hours.on(Tue).is_empty());
}

#[test]
fn every_violation_is_reported_with_its_index() {
    use HoursViolation::{Empty, Overlap, TooMany};
    let violations = WeeklyHours::new(vec![
        window(Fri, "12:00", "12:00"),
        window(Mon, "16:00", "18:00"),
        window(Tue, "09:00", "10:00"),
        window(Mon, "08:00", "17:00"),
        window(Mon, "09:00", "10:00"),
        window(Sun, "24:00", "00:00"),
        window(Tue, "09:00", "10:00"),
    ]);
    assert_eq!(
        violations.unwrap_err(),
        [
            Empty { index: 0 },
            Overlap { index: 1, with: 3 },
            Overlap { index: 4, with: 3 },
            Empty { index: 5 },
            Overlap { index: 6, with: 2 },
        ]
    );
    let touching = |count: u16| {
        let time = |minutes| TimeOfDay::new(minutes).unwrap();
        (0..count).map(|n| Window { day: Mon, start: time(n), end: time(n + 1) }).collect()
    };
    assert!(WeeklyHours::new(touching(100)).is_ok());
    assert_eq!(WeeklyHours::new(touching(101)).unwrap_err(), [TooMany { count: 101 }]);
    assert!(WeeklyHours::new(vec![]).is_ok());
}

#[test]
fn office_hours_are_valid() {
    let hours = WeeklyHours::office_hours();
    assert_eq!(WeeklyHours::new(hours.windows().to_vec()).unwrap(), hours);
    assert_eq!(hours.on(Fri), [window(Fri, "09:00", "17:00")]);
    assert!(hours.on(Sun).is_empty());
}

#[test]
fn hours_are_stored_as_a_plain_list() {
    let text = concat!(
        r#"[{"day":"mon","start":"09:00","end":"12:00"},"#,
        r#"{"day":"sun","start":"20:00","end":"24:00"}]"#
    );
    let hours: WeeklyHours = serde_json::from_str(text).unwrap();
    assert_eq!(hours.windows(), [window(Mon, "09:00", "12:00"), window(Sun, "20:00", "24:00")]);
    assert_eq!(serde_json::to_string(&hours).unwrap(), text);
}

#[test]
fn stored_hours_are_validated() {
    let error = |text| serde_json::from_str::<WeeklyHours>(text).unwrap_err().to_string();
    let text =
        r#"[{"day":"mon","start":"09:00","end":"09:00"},{"day":"tue","start":"2","end":""}]"#;
    assert!(error(text).contains("written HH:MM"));
    let text = r#"[{"day":"mon","start":"09:00","end":"09:00"},
        {"day":"tue","start":"09:00","end":"11:00"},{"day":"tue","start":"10:00","end":"11:00"}]"#;
    assert!(error(text).contains("window 0 must end after it starts; window 2 overlaps window 1"));
    assert!(error(r#"[{"day":"Mon","start":"09:00","end":"10:00"}]"#).contains("`mon`"));
    assert!(error(r#"[{"day":"mon","start":"09:00","end":"10:00","x":1}]"#).contains("`x`"));
}

#[test]
fn a_schedule_reports_every_violation() {
    use ScheduleViolation::{Longest, Slot, SlotOverLongest};
    let schedule = |slot, longest| {
        Schedule::new(Zone::UTC, WeeklyHours::office_hours(), slot, longest).map(|_| ())
    };
    let minutes = TimeDelta::minutes;
    for (slot, longest) in [(5, 5), (15, 240), (1440, 1440), (5, 1440)] {
        assert_eq!(schedule(minutes(slot), minutes(longest)), Ok(()));
    }
    assert_eq!(schedule(minutes(4), minutes(1441)), Err(vec![Slot, Longest]));
    assert_eq!(schedule(minutes(1441), minutes(4)), Err(vec![Slot, Longest]));
    assert_eq!(schedule(TimeDelta::seconds(330), minutes(60)), Err(vec![Slot]));
    assert_eq!(schedule(minutes(15), minutes(60) + TimeDelta::nanoseconds(1)), Err(vec![Longest]));
    assert_eq!(schedule(minutes(61), minutes(60)), Err(vec![SlotOverLongest]));
}

#[test]
fn zone_names_are_exact() {
    let parse_zone = |name: &str| ZoneData::bundled().parse(name);
    assert_eq!(parse_zone("Europe/Berlin"), Zone::named("Europe/Berlin"));
    assert_eq!(
        parse_zone("America/Argentina/ComodRivadavia").map(Zone::name).map(str::len),
        Some(32)
    );
    // Old names are links, and go on being understood.
    for link in ["US/Pacific", "Asia/Calcutta", "Europe/Kiev", "GB"] {
        assert_eq!(parse_zone(link).map(Zone::name), Some(link));
    }
    for bad in ["", "europe/berlin", "EUROPE/BERLIN", " Europe/Berlin", "Europe/Berlin\0", "+01:00"]
    {
        assert_eq!(parse_zone(bad), None, "{bad}");
    }
    assert_eq!(parse_zone(&"Europe/Berlin".repeat(100)), None);
}

proptest! {
    #![proptest_config(cases())]

    /// Weekly hours are valid exactly when no minute of the week is covered twice.
    #[test]
    fn hours_agree_with_a_count_of_minutes(
        windows in prop::collection::vec((0..2u8, 0..12u16, 0..=12u16), 0..6),
    ) {
        let windows: Vec<_> = windows.into_iter().map(|(day, start, end)| Window {
            day: Weekday::try_from(day).unwrap(),
            start: TimeOfDay::new(start).unwrap(),
            end: TimeOfDay::new(end).unwrap(),
        }).collect();
        let covers = |w: &Window, day, minute| {
            w.day == day && (w.start.minutes()..w.end.minutes()).contains(&minute)
        };
        let twice = [Mon, Tue].into_iter().any(|day| (0..12).any(|minute| {
            windows.iter().filter(|w| covers(w, day, minute)).count() > 1
        }));
        let empty = windows.iter().any(|w| w.end <= w.start);
        let clash = |a: &Window, b: &Window| {
            (0..12).any(|minute| covers(a, a.day, minute) && covers(b, a.day, minute))
        };
        match WeeklyHours::new(windows.clone()) {
            Ok(hours) => {
                prop_assert!(!twice && !empty);
                let json = serde_json::to_string(&hours).unwrap();
                prop_assert_eq!(serde_json::from_str::<WeeklyHours>(&json).unwrap(), hours);
            }
            Err(violations) => {
                prop_assert!(twice || empty);
                for violation in violations {
                    match violation {
                        HoursViolation::Empty { index } => {
                            prop_assert!(windows[index].end <= windows[index].start);
                        }
                        HoursViolation::Overlap { index, with } => {
                            prop_assert!(clash(&windows[index], &windows[with]));
                        }
                        HoursViolation::TooMany { .. } => prop_assert!(false),
                    }
                }
            }
        }
    }
}
