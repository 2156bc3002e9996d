use uuid::Uuid;

use super::*;

#[test]
fn names_of_schedules_read_back() {
    let provider = ProviderId(Uuid::from_u128(7));
    for schedule in [None, Some("a"), Some("evening-2"), Some(&*"x".repeat(40))] {
        let schedule = schedule.map(str::to_owned);
        let offering = Offering { provider, type_id: TypeId(Uuid::nil()), schedule };
        let name = offering.schedule_name();
        assert_eq!(read_schedule(provider, &name), Ok(offering.schedule), "{name}");
    }
    assert_eq!(read_schedule(provider, ""), Ok(None));
}

#[test]
fn other_names_of_schedules_are_refused() {
    let provider = ProviderId(Uuid::from_u128(7));
    let name = provider.name();
    for bad in [
        name.clone(),
        format!("{name}/schedule/"),
        format!("{name}/schedules"),
        format!("{name}/schedules/"),
        format!("{name}/schedules/A"),
        format!("{name}/schedules/1a"),
        format!("{name}/schedules/-a"),
        format!("{name}/schedules/a_b"),
        format!("{name}/schedules/a/b"),
        format!("{name}/schedules/é"),
        format!("{name}/schedules/{}", "x".repeat(41)),
        ProviderId(Uuid::from_u128(8)).schedule_name(),
        format!("{}/schedules/a", ProviderId(Uuid::from_u128(8)).name()),
        "x".to_owned(),
    ] {
        assert!(read_schedule(provider, &bad).is_err(), "{bad}");
    }
}
