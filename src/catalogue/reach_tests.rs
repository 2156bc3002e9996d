use super::*;

fn at(text: &str) -> Instant {
    text.parse().unwrap()
}

fn fixed(first: &str, last: &str) -> Horizon {
    Horizon::Fixed { first: first.parse().unwrap(), last: last.parse().unwrap() }
}

fn told(horizon: impl Into<Option<Horizon>>, notice: TimeDelta, now: &str) -> Vec<String> {
    let mut violations = Violations::new();
    check(horizon.into(), notice, at(now), &mut violations);
    let fault = violations.finish().err();
    fault.map(|f| f.fields().iter().map(|v| v.field.clone()).collect()).unwrap_or_default()
}

const DATE: [&str; 1] = ["appointment_type.fixed_window.end_date"];
const NOTICE: [&str; 1] = ["appointment_type.minimum_notice"];

#[test]
fn a_window_is_over_when_its_last_date_has_ended_everywhere() {
    let week = fixed("2026-11-16", "2026-11-22");
    let none = TimeDelta::zero();
    // In Pago Pago, and wherever else the date ends last.
    assert!(told(week, none, "2026-11-23T11:59:59Z").is_empty());
    assert_eq!(told(week, none, "2026-11-23T12:00:00Z"), DATE);
    assert!(told(None, none, "2026-11-23T12:00:00Z").is_empty());
    assert!(told(Horizon::RollingDays(0), none, "2026-11-23T12:00:00Z").is_empty());
    // One that is reversed is told as such, elsewhere.
    assert!(told(fixed("2026-11-02", "2026-11-01"), none, "2026-11-23T12:00:00Z").is_empty());
}

#[test]
fn a_notice_must_be_over_before_the_window_is() {
    let week = fixed("2026-11-23", "2026-11-29");
    let notice = |hours| told(week, TimeDelta::hours(hours), "2026-11-23T12:00:00Z");
    assert!(notice(167).is_empty());
    assert_eq!(notice(168), NOTICE);
    assert_eq!(told(week, TimeDelta::MAX, "2026-11-23T12:00:00Z"), NOTICE);
}
