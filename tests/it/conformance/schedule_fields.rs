//! Every field of the requests of ScheduleService, wrong: told by path, all at once, nothing written.

use daybook::grpc::proto::{
    booking::{
        GetProviderRequest, ListProvidersRequest, Schedule, UpdateScheduleRequest, WeeklyWindow,
    },
    google::r#type::{DayOfWeek, TimeOfDay},
};
use prost_types::{Duration, FieldMask};
use tonic::{Response, Status};

use super::{
    behaviours,
    schedules::{minutes, schedule_of, window},
};
use crate::support::{
    World,
    people::Person,
    refusal::{invalid, refused},
};

behaviours!(
    bad_fields_of_a_schedule_are_told,
    bad_windows_are_told_by_index,
    bad_durations_are_told,
    all_violations_of_a_schedule_are_told_at_once,
    bad_masks_of_a_schedule_are_told,
    bad_questions_for_providers_are_told,
);

type Answer = Result<Response<daybook::grpc::proto::booking::UpdateScheduleResponse>, Status>;

async fn change(
    world: &World,
    provider: &Person,
    good: &Schedule,
    change: impl Fn(&mut Schedule),
) -> Answer {
    let mut schedule = good.clone();
    change(&mut schedule);
    let request = UpdateScheduleRequest { schedule: Some(schedule), ..Default::default() };
    world.schedule().update_schedule(provider.asks(request)).await
}

async fn bad_fields_of_a_schedule_are_told(world: World) {
    let provider = world.provider().await;
    let good = schedule_of(&world, &provider).await;
    let before = world.state().await;
    let id = provider.provider();
    let try_to = async |f: &dyn Fn(&mut Schedule)| change(&world, &provider, &good, f).await;
    for bad in [
        String::new(),
        id.clone(),
        format!("{id}/schedule/"),
        format!("{id}/schedules"),
        format!("{id}//schedule"),
        format!("{id}/schedule\0"),
        good.name.to_uppercase(),
        good.name.replace("providers/", "users/"),
        "providers/x/schedule".to_owned(),
        "x".repeat(60 * 1024),
    ] {
        invalid(try_to(&|s| s.name.clone_from(&bad)).await, &["schedule.name"]);
    }
    let long = "x".repeat(60 * 1024);
    for bad in ["Berlin", "europe/berlin", "Europe/Berlin\0", "+01:00", "\u{202e}", &long] {
        invalid(try_to(&|s| bad.clone_into(&mut s.time_zone)).await, &["schedule.time_zone"]);
    }
    for bad in ["1", "\"\"", "\"x\"", "\"-1\"", "\"99999999999999999999\"", "\0", &long] {
        invalid(try_to(&|s| bad.clone_into(&mut s.etag)).await, &["schedule.etag"]);
    }
    for bad in ["x", "\0", "{01980000-0000-7000-8000-000000000000}", &long] {
        let request = UpdateScheduleRequest {
            schedule: Some(good.clone()),
            request_id: bad.to_owned(),
            ..Default::default()
        };
        invalid(world.schedule().update_schedule(provider.asks(request)).await, &["request_id"]);
    }
    let request = UpdateScheduleRequest::default();
    invalid(world.schedule().update_schedule(provider.asks(request)).await, &["schedule"]);
    let status = try_to(&|s| s.time_zone = "x".repeat(1 << 20)).await;
    refused(status, "MESSAGE_TOO_LARGE");
    assert_eq!(world.state().await, before);
}

async fn bad_windows_are_told_by_index(world: World) {
    let provider = world.provider().await;
    let good = schedule_of(&world, &provider).await;
    let before = world.state().await;
    let with = async |windows: Vec<WeeklyWindow>| {
        change(&world, &provider, &good, |s| s.weekly_windows.clone_from(&windows)).await
    };
    let monday = |from, until| window(DayOfWeek::Monday, from, until);
    let fine = || window(DayOfWeek::Sunday, (9, 0), (10, 0));
    for day in [0, 8, 99, -1, i32::MAX, i32::MIN] {
        let bad = WeeklyWindow { day, ..fine() };
        invalid(with(vec![fine(), bad]).await, &["schedule.weekly_windows[1].day"]);
    }
    let time = |hours, minutes, seconds, nanos| TimeOfDay { hours, minutes, seconds, nanos };
    for bad in [
        time(25, 0, 0, 0),
        time(24, 1, 0, 0),
        time(-1, 0, 0, 0),
        time(9, 60, 0, 0),
        time(9, -1, 0, 0),
        time(9, 0, 1, 0),
        time(9, 0, 0, 1),
        time(9, 0, -1, 0),
        time(i32::MAX, 0, 0, 0),
        time(i32::MIN, i32::MIN, i32::MIN, i32::MIN),
    ] {
        let start = WeeklyWindow { start_time: Some(bad), ..fine() };
        invalid(with(vec![start]).await, &["schedule.weekly_windows[0].start_time"]);
        let end = WeeklyWindow { end_time: Some(bad), ..fine() };
        invalid(with(vec![fine(), end]).await, &["schedule.weekly_windows[1].end_time"]);
    }
    invalid(
        with(vec![fine(), WeeklyWindow::default()]).await,
        &[
            "schedule.weekly_windows[1].day",
            "schedule.weekly_windows[1].start_time",
            "schedule.weekly_windows[1].end_time",
        ],
    );
    // Empty, and the wrong way round.
    invalid(with(vec![monday((9, 0), (9, 0))]).await, &["schedule.weekly_windows[0]"]);
    invalid(with(vec![monday((24, 0), (24, 0))]).await, &["schedule.weekly_windows[0]"]);
    invalid(with(vec![fine(), monday((17, 0), (9, 0))]).await, &["schedule.weekly_windows[1]"]);
    // Overlapping: the later one of each pair, wherever it stands in the list.
    invalid(
        with(vec![monday((10, 0), (12, 0)), fine(), monday((9, 0), (10, 1))]).await,
        &["schedule.weekly_windows[0]"],
    );
    invalid(
        with(vec![
            monday((9, 0), (17, 0)),
            monday((9, 0), (17, 0)),
            monday((10, 0), (11, 0)),
            monday((17, 0), (18, 0)),
        ])
        .await,
        &["schedule.weekly_windows[1]", "schedule.weekly_windows[2]"],
    );
    let many = |count: i32| {
        let start = |n: i32| (n % 20, n / 20 * 5);
        let end = |n: i32| (n % 20, n / 20 * 5 + 5);
        (0..count).map(|n| monday(start(n), end(n))).collect::<Vec<_>>()
    };
    invalid(with(many(101)).await, &["schedule.weekly_windows"]);
    invalid(with(vec![fine(); 500]).await, &["schedule.weekly_windows"]);
    assert_eq!(world.state().await, before);
    let taken = with(many(100)).await.unwrap().into_inner().schedule.unwrap();
    assert_eq!(taken.weekly_windows.len(), 100);
}

async fn bad_durations_are_told(world: World) {
    let provider = world.provider().await;
    let good = schedule_of(&world, &provider).await;
    let before = world.state().await;
    let try_to = async |f: &dyn Fn(&mut Schedule)| change(&world, &provider, &good, f).await;
    let duration = |seconds, nanos| Some(Duration { seconds, nanos });
    for bad in [
        duration(0, 0),
        duration(-1800, 0),
        duration(4 * 60, 0),
        duration(1801, 0),
        duration(1800, 1),
        duration(1800, -1),
        duration(24 * 3600 + 60, 0),
        duration(25 * 3600, 0),
        duration(i64::MAX, i32::MAX),
        duration(i64::MIN, i32::MIN),
    ] {
        invalid(try_to(&|s| s.slot_duration = bad).await, &["schedule.slot_duration"]);
        invalid(try_to(&|s| s.longest_booking = bad).await, &["schedule.longest_booking"]);
    }
    // A slot is not longer than the longest booking, whichever of the two changes.
    let longer = |s: &mut Schedule| {
        s.slot_duration = minutes(60);
        s.longest_booking = minutes(59);
    };
    invalid(try_to(&longer).await, &["schedule.slot_duration"]);
    for path in ["slot_duration", "longest_booking"] {
        let mut schedule = good.clone();
        schedule.slot_duration = minutes(485);
        schedule.longest_booking = minutes(25);
        let request = UpdateScheduleRequest {
            schedule: Some(schedule),
            update_mask: Some(FieldMask { paths: vec![path.to_owned()] }),
            ..Default::default()
        };
        let answer = world.schedule().update_schedule(provider.asks(request)).await;
        refused(answer, "INVALID_FIELDS");
    }
    assert_eq!(world.state().await, before);
    // The ends of the ranges are valid.
    for (slot, longest) in [(5, 5), (5, 24 * 60), (24 * 60, 24 * 60)] {
        let edge = |s: &mut Schedule| {
            s.etag.clear();
            s.slot_duration = minutes(slot);
            s.longest_booking = minutes(longest);
        };
        try_to(&edge).await.unwrap();
    }
}

async fn all_violations_of_a_schedule_are_told_at_once(world: World) {
    let provider = world.provider().await;
    let good = schedule_of(&world, &provider).await;
    let before = world.state().await;
    let bad = Schedule {
        name: "x".to_owned(),
        time_zone: "Atlantis".to_owned(),
        weekly_windows: vec![
            WeeklyWindow { day: 8, ..window(DayOfWeek::Monday, (9, 0), (10, 0)) },
            window(DayOfWeek::Monday, (9, 0), (25, 0)),
        ],
        slot_duration: minutes(4),
        longest_booking: minutes(25 * 60),
        etag: "1".to_owned(),
        ..good.clone()
    };
    let request = UpdateScheduleRequest {
        schedule: Some(bad),
        request_id: "1".to_owned(),
        ..Default::default()
    };
    invalid(
        world.schedule().update_schedule(provider.asks(request)).await,
        &[
            "request_id",
            "schedule.name",
            "schedule.time_zone",
            "schedule.weekly_windows[0].day",
            "schedule.weekly_windows[1].end_time",
            "schedule.slot_duration",
            "schedule.longest_booking",
            "schedule.etag",
        ],
    );
    // Windows that are well-formed one by one, beside other fields that are not.
    let mixed = |s: &mut Schedule| {
        s.weekly_windows = vec![
            window(DayOfWeek::Monday, (9, 0), (9, 0)),
            window(DayOfWeek::Tuesday, (9, 0), (11, 0)),
            window(DayOfWeek::Tuesday, (10, 0), (12, 0)),
        ];
        s.slot_duration = minutes(4);
        s.time_zone = "Atlantis".to_owned();
    };
    invalid(
        change(&world, &provider, &good, mixed).await,
        &[
            "schedule.time_zone",
            "schedule.weekly_windows[0]",
            "schedule.weekly_windows[2]",
            "schedule.slot_duration",
        ],
    );
    assert_eq!(world.state().await, before);
}

async fn bad_masks_of_a_schedule_are_told(world: World) {
    let provider = world.provider().await;
    let good = schedule_of(&world, &provider).await;
    let before = world.state().await;
    for paths in [
        &[][..],
        &[""],
        &["*", "time_zone"],
        &["name"],
        &["etag"],
        &["update_time"],
        &["schedule.time_zone"],
        &["timeZone"],
        &["weekly_windows.day"],
        &["time_zone", "\0"],
    ] {
        let paths = paths.iter().map(|path| (*path).to_owned()).collect();
        let request = UpdateScheduleRequest {
            schedule: Some(good.clone()),
            update_mask: Some(FieldMask { paths }),
            ..Default::default()
        };
        invalid(world.schedule().update_schedule(provider.asks(request)).await, &["update_mask"]);
    }
    let request = UpdateScheduleRequest {
        schedule: None,
        update_mask: Some(FieldMask { paths: vec!["name".to_owned()] }),
        request_id: "1".to_owned(),
    };
    invalid(
        world.schedule().update_schedule(provider.asks(request)).await,
        &["schedule", "update_mask", "request_id"],
    );
    assert_eq!(world.state().await, before);
}

async fn bad_questions_for_providers_are_told(world: World) {
    let provider = world.provider().await;
    let long = "x".repeat(60 * 1024);
    let name = provider.provider();
    for bad in ["", "providers/", "providers/x", &name.to_uppercase(), &provider.schedule(), &long]
    {
        let request = GetProviderRequest { name: bad.to_owned() };
        invalid(world.schedule().get_provider(provider.asks(request)).await, &["name"]);
    }
    let ask = async |page_size: i32, page_token: &str| {
        let request = ListProvidersRequest { page_size, page_token: page_token.to_owned() };
        world.schedule().list_providers(provider.asks(request)).await
    };
    for bad in [-1, i32::MIN] {
        invalid(ask(bad, "").await, &["page_size"]);
    }
    for bad in ["x", "AAAA", "\0", &long] {
        invalid(ask(0, bad).await, &["page_token"]);
    }
    invalid(ask(-1, "x").await, &["page_size", "page_token"]);
    let much = "x".repeat(1 << 20);
    refused(ask(0, &much).await, "MESSAGE_TOO_LARGE");
}
