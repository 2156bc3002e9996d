//! Days on which clocks change, drawn as text.
//!
//! A window is local wall time. In a gap a start and an end move to the first instant after it; in a fold
//! a start is the earlier of the two instants and an end the later one. Grids count elapsed time from
//! their window's start.

use super::days_tests::{override_of, page};
use crate::{
    kernel::time::tests::span,
    schedule::{
        dates::Stay,
        expand::tests::{date, named},
    },
};

/// One window ends in the hour that changes and the next one starts in it.
const AROUND_TWO: &[(&str, &str)] = &[("00:30", "02:30"), ("02:45", "05:00")];

#[test]
fn berlin_goes_forward() {
    // 02:00 +01:00 is 03:00 +02:00. The end 02:30 and the start 02:45 both move to 03:00, so the windows
    // touch, and the first one is 90 minutes long.
    insta::assert_snapshot!(page("Europe/Berlin", AROUND_TWO, 30).draw("2026-03-29"), @"
    Sunday 2026-03-29 Europe/Berlin
    day      00:00 +01:00 to 00:00 +02:00 (Mon), 23 h
    open     00:30 +01:00 to 03:00 +02:00, 1 h 30 min
    open     03:00 +02:00 to 05:00 +02:00, 2 h
    slots    00:30 01:00 01:30 +01:00
    slots    03:00 03:30 04:00 04:30 +02:00
    ");
}

#[test]
fn berlin_goes_back() {
    let mut page = page("Europe/Berlin", AROUND_TWO, 30);
    // 03:00 +02:00 is 02:00 +01:00. The first window ends at the second 02:30, the other one starts at
    // the first 02:45: they overlap, and each offers the starts of its own grid.
    insta::assert_snapshot!(page.draw("2026-10-25"), @"
    Sunday 2026-10-25 Europe/Berlin
    day      00:00 +02:00 to 00:00 +01:00 (Mon), 25 h
    open     00:30 +02:00 to 02:30 +01:00, 3 h
    open     02:45 +02:00 to 05:00 +01:00, 3 h 15 min
    slots    00:30 01:00 01:30 02:00 02:30 02:45 +02:00
    slots    02:00 02:15 02:45 03:15 03:45 04:15 +01:00
    ");
    // The first 02:00 is taken, the second one is not.
    page.booked = vec![span("2026-10-25T02:00+02:00", "2026-10-25T02:30+02:00")];
    insta::assert_snapshot!(page.draw("2026-10-25"), @"
    Sunday 2026-10-25 Europe/Berlin
    day      00:00 +02:00 to 00:00 +01:00 (Mon), 25 h
    open     00:30 +02:00 to 02:30 +01:00, 3 h
    open     02:45 +02:00 to 05:00 +01:00, 3 h 15 min
    claim    02:00 +02:00 to 02:30 +02:00, 30 min
    slots    00:30 01:00 01:30 02:30 02:45 +02:00
    slots    02:00 02:15 02:45 03:15 03:45 04:15 +01:00
    ");
}

#[test]
fn overrides_are_wall_time_as_well() {
    let overrides = vec![
        override_of("2026-03-29", &[("02:10", "02:50"), ("02:50", "04:00")]),
        override_of("2026-10-25", &[("02:10", "02:50")]),
    ];
    let page = page("Europe/Berlin", &[("09:00", "10:00")], 30).with(overrides, Vec::new());
    // In spring all of 02:10 to 02:50 is left out, and the other window starts at 03:00. In autumn it is
    // from the first 02:10 to the second 02:50.
    insta::assert_snapshot!(page.draw_all(&["2026-03-29", "2026-10-25"]), @"
    Sunday 2026-03-29 Europe/Berlin
    day      00:00 +01:00 to 00:00 +02:00 (Mon), 23 h
    open     03:00 +02:00 to 04:00 +02:00, 1 h
    slots    03:00 03:30 +02:00

    Sunday 2026-10-25 Europe/Berlin
    day      00:00 +02:00 to 00:00 +01:00 (Mon), 25 h
    open     02:10 +02:00 to 02:50 +01:00, 1 h 40 min
    slots    02:10 02:40 +02:00
    slots    02:10 +01:00
    ");
}

#[test]
fn a_stay_moves_the_hours_and_not_the_page() {
    let (first, last) = (date("2026-06-04"), date("2026-06-04"));
    let stay = Stay { first, last, zone: named("America/New_York") };
    let page = page("Europe/Berlin", &[("09:00", "10:00")], 30).with(Vec::new(), vec![stay]);
    // 09:00 in New York is 15:00 in Berlin, in whose days the page is drawn.
    insta::assert_snapshot!(page.draw_all(&["2026-06-03", "2026-06-04"]), @"
    Wednesday 2026-06-03 Europe/Berlin
    day      00:00 +02:00 to 00:00 +02:00 (Thu), 24 h
    open     09:00 +02:00 to 10:00 +02:00, 1 h
    slots    09:00 09:30 +02:00

    Thursday 2026-06-04 Europe/Berlin
    day      00:00 +02:00 to 00:00 +02:00 (Fri), 24 h
    open     15:00 +02:00 to 16:00 +02:00, 1 h
    slots    15:00 15:30 +02:00
    ");
}

#[test]
fn new_york_has_days_of_23_and_25_hours() {
    let page = page("America/New_York", &[("00:00", "24:00")], 120);
    // Every two hours of elapsed time: after 00:00 comes 03:00 in spring, and the second 01:00 in autumn.
    // The last of each day ends on the next one, whose window touches.
    insta::assert_snapshot!(page.draw_all(&["2026-03-08", "2026-11-01"]), @"
    Sunday 2026-03-08 America/New_York
    day      00:00 -05:00 to 00:00 -04:00 (Mon), 23 h
    open     00:00 -05:00 to 00:00 -04:00 (Mon), 23 h
    slots    00:00 -05:00
    slots    03:00 05:00 07:00 09:00 11:00 13:00 15:00 17:00 19:00 21:00 23:00 -04:00

    Sunday 2026-11-01 America/New_York
    day      00:00 -04:00 to 00:00 -05:00 (Mon), 25 h
    open     00:00 -04:00 to 00:00 -05:00 (Mon), 25 h
    slots    00:00 -04:00
    slots    01:00 03:00 05:00 07:00 09:00 11:00 13:00 15:00 17:00 19:00 21:00 23:00 -05:00
    ");
}

#[test]
fn lord_howe_goes_forward_and_back_by_half_an_hour() {
    let page = page("Australia/Lord_Howe", &[("01:00", "01:45"), ("02:15", "04:00")], 20);
    // In October 02:00 +10:30 is 02:30 +11:00: the start 02:15 moves to 02:30. In April 02:00 +11:00 is
    // 01:30 +10:30: the end 01:45 is the later one, so the first window is 75 minutes long.
    insta::assert_snapshot!(page.draw_all(&["2026-10-04", "2026-04-05"]), @"
    Sunday 2026-10-04 Australia/Lord_Howe
    day      00:00 +10:30 to 00:00 +11:00 (Mon), 23 h 30 min
    open     01:00 +10:30 to 01:45 +10:30, 45 min
    open     02:30 +11:00 to 04:00 +11:00, 1 h 30 min
    slots    01:00 01:20 +10:30
    slots    02:30 02:50 03:10 03:30 +11:00

    Sunday 2026-04-05 Australia/Lord_Howe
    day      00:00 +11:00 to 00:00 +10:30 (Mon), 24 h 30 min
    open     01:00 +11:00 to 01:45 +10:30, 1 h 15 min
    open     02:15 +10:30 to 04:00 +10:30, 1 h 45 min
    slots    01:00 01:20 01:40 +11:00
    slots    02:15 02:35 02:55 03:15 03:35 +10:30
    ");
}

#[test]
fn kathmandu_is_a_quarter_of_an_hour_off_and_never_changes() {
    let page = page("Asia/Kathmandu", &[("09:00", "11:00")], 30);
    insta::assert_snapshot!(page.draw_all(&["2026-03-29", "2026-10-25"]), @"
    Sunday 2026-03-29 Asia/Kathmandu
    day      00:00 +05:45 to 00:00 +05:45 (Mon), 24 h
    open     09:00 +05:45 to 11:00 +05:45, 2 h
    slots    09:00 09:30 10:00 10:30 +05:45

    Sunday 2026-10-25 Asia/Kathmandu
    day      00:00 +05:45 to 00:00 +05:45 (Mon), 24 h
    open     09:00 +05:45 to 11:00 +05:45, 2 h
    slots    09:00 09:30 10:00 10:30 +05:45
    ");
}

#[test]
fn casablanca_changes_for_ramadan() {
    let page = page("Africa/Casablanca", &[("01:00", "02:30"), ("02:45", "05:00")], 30);
    // In 2026 clocks go back on 15 February at 03:00 and forward on 22 March at 02:00.
    insta::assert_snapshot!(page.draw_all(&["2026-02-15", "2026-03-22"]), @"
    Sunday 2026-02-15 Africa/Casablanca
    day      00:00 +01:00 to 00:00 +00:00 (Mon), 25 h
    open     01:00 +01:00 to 02:30 +00:00, 2 h 30 min
    open     02:45 +01:00 to 05:00 +00:00, 3 h 15 min
    slots    01:00 01:30 02:00 02:30 02:45 +01:00
    slots    02:00 02:15 02:45 03:15 03:45 04:15 +00:00

    Sunday 2026-03-22 Africa/Casablanca
    day      00:00 +00:00 to 00:00 +01:00 (Mon), 23 h
    open     01:00 +00:00 to 03:00 +01:00, 1 h
    open     03:00 +01:00 to 05:00 +01:00, 2 h
    slots    01:00 01:30 +00:00
    slots    03:00 03:30 04:00 04:30 +01:00
    ");
}

#[test]
fn apia_left_out_a_day() {
    let page = page("Pacific/Apia", &[("00:00", "02:00"), ("21:00", "24:00")], 60);
    // Samoa went from Thursday to Saturday. Thursday's 24:00 is Saturday's 00:00, and Friday's windows
    // vanish.
    insta::assert_snapshot!(page.draw_all(&["2011-12-29", "2011-12-30", "2011-12-31"]), @"
    Thursday 2011-12-29 Pacific/Apia
    day      00:00 -10:00 to 00:00 +14:00 (Sat), 24 h
    open     00:00 -10:00 to 02:00 -10:00, 2 h
    open     21:00 -10:00 to 00:00 +14:00 (Sat), 3 h
    slots    00:00 01:00 21:00 22:00 23:00 -10:00

    Friday 2011-12-30 Pacific/Apia
    this date was left out

    Saturday 2011-12-31 Pacific/Apia
    day      00:00 +14:00 to 00:00 +14:00 (Sun), 24 h
    open     00:00 +14:00 to 02:00 +14:00, 2 h
    open     21:00 +14:00 to 00:00 +14:00 (Sun), 3 h
    slots    00:00 01:00 21:00 22:00 23:00 +14:00
    ");
}

#[test]
fn havana_begins_a_day_at_one_o_clock() {
    let page = page("America/Havana", &[("00:00", "03:00")], 60);
    // Clocks change at midnight: on 8 March 2026 from 00:00 to 01:00, on 7 November 2027 from 01:00
    // to 00:00. In 2026 Cuba kept its summer time (IANA 2026f).
    insta::assert_snapshot!(page.draw_all(&["2026-03-08", "2027-11-07"]), @"
    Sunday 2026-03-08 America/Havana
    day      01:00 -04:00 to 00:00 -04:00 (Mon), 23 h
    open     01:00 -04:00 to 03:00 -04:00, 2 h
    slots    01:00 02:00 -04:00

    Sunday 2027-11-07 America/Havana
    day      00:00 -04:00 to 00:00 -05:00 (Mon), 25 h
    open     00:00 -04:00 to 03:00 -05:00, 4 h
    slots    00:00 -04:00
    slots    00:00 01:00 02:00 -05:00
    ");
}
