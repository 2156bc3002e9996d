//! The writes of ScheduleService as data: a request with an id, and the same with one field changed.

use daybook::grpc::proto::{
    booking::{
        Closure, CreateClosureRequest, CreateScheduleRequest, CreateTimeOffRequest,
        DeleteClosureRequest, DeleteScheduleRequest, DeleteTimeOffRequest, Schedule, TimeOff,
    },
    google::r#type::DayOfWeek,
};
use prost_types::Timestamp;

use super::{
    behaviours,
    overrides::{own, stay},
    schedules::window,
    writes::{Case, Cast, cast},
};
use crate::support::{
    World, berlin,
    people::uuid,
    refusal::{fields_of, refused},
};

behaviours!(
    every_write_of_schedules_has_one_effect_and_one_answer,
    an_id_of_a_write_of_schedules_is_refused_for_any_other_request,
);

async fn every_write_of_schedules_has_one_effect_and_one_answer(world: World) {
    let cast = cast(&world).await;
    for case in cases(&world, &cast).await {
        let before = world.state().await;
        let first = case.call(&world).await;
        let after = world.state().await;
        assert_ne!(after, before, "{}", case.path);
        assert_eq!(case.call(&world).await, first, "{}", case.path);
        assert_eq!(world.state().await, after, "{}", case.path);
    }
}

async fn an_id_of_a_write_of_schedules_is_refused_for_any_other_request(world: World) {
    let cast = cast(&world).await;
    for case in cases(&world, &cast).await {
        case.call(&world).await;
        let before = world.state().await;
        for (field, request) in &case.changed {
            let answer = case.send(&world, request).await;
            assert!(answer.is_err(), "{} with another {field}", case.path);
            let status = refused(answer, "REQUEST_ID_REUSED");
            assert_eq!(fields_of(&status), ["request_id"]);
        }
        assert_eq!(world.state().await, before, "{}", case.path);
    }
}

/// The cases. They change nothing that the cases of other services see.
pub(super) async fn cases(world: &World, cast: &Cast) -> Vec<Case> {
    let mut all = schedules(world, cast).await;
    all.extend(time_off(world, cast).await);
    all.extend(closures(world, cast).await);
    all
}

async fn schedules(world: &World, cast: &Cast) -> Vec<Case> {
    let (admin, provider) = (Some(&cast.admin), &cast.other_provider);
    let schedule = Schedule {
        time_zone: "Asia/Tokyo".to_owned(),
        weekly_windows: vec![window(DayOfWeek::Monday, (9, 0), (17, 0))],
        date_overrides: vec![own((2026, 12, 24), &[])],
        stays: vec![stay((2026, 12, 1), (2026, 12, 2), "UTC")],
        ..Default::default()
    };
    let create = CreateScheduleRequest {
        parent: provider.provider(),
        schedule_id: "night".to_owned(),
        schedule: Some(schedule.clone()),
        request_id: uuid(),
    };
    let with =
        |schedule: Schedule| CreateScheduleRequest { schedule: Some(schedule), ..create.clone() };
    let creates = vec![
        ("parent", CreateScheduleRequest { parent: cast.provider.provider(), ..create.clone() }),
        ("schedule_id", CreateScheduleRequest { schedule_id: "day".to_owned(), ..create.clone() }),
        ("schedule", with(Schedule { time_zone: "UTC".to_owned(), ..schedule.clone() })),
        ("schedule", with(Schedule { weekly_windows: vec![], ..schedule.clone() })),
        ("schedule", with(Schedule { date_overrides: vec![], ..schedule.clone() })),
        ("schedule", with(Schedule { stays: vec![], ..schedule.clone() })),
        ("schedule", with(Schedule { etag: "x".to_owned(), ..schedule })),
    ];
    let spare = world.schedule_for(provider, "spare").await;
    let name = world.schedule_for(provider, "gone").await;
    let delete = DeleteScheduleRequest { name, etag: String::new(), request_id: uuid() };
    let deletes = vec![
        ("name", DeleteScheduleRequest { name: spare, ..delete.clone() }),
        ("etag", DeleteScheduleRequest { etag: "\"9\"".to_owned(), ..delete.clone() }),
    ];
    let path = "/daybook.booking.v1.ScheduleService/CreateSchedule";
    vec![
        Case::new(path, admin, &create, creates),
        Case::new(
            "/daybook.booking.v1.ScheduleService/DeleteSchedule",
            Some(provider),
            &delete,
            deletes,
        ),
    ]
}

const FROM: &str = "2026-12-01 00:00";
const UNTIL: &str = "2026-12-02 00:00";

fn later() -> Option<Timestamp> {
    Some(berlin("2026-12-01 12:00"))
}

async fn time_off(world: &World, cast: &Cast) -> Vec<Case> {
    let (admin, provider) = (Some(&cast.admin), &cast.other_provider);
    let (start_time, end_time) = (Some(berlin(FROM)), Some(berlin(UNTIL)));
    let off = TimeOff { start_time, end_time, reason: "rest".to_owned(), ..Default::default() };
    let create = CreateTimeOffRequest {
        parent: provider.provider(),
        time_off: Some(off.clone()),
        request_id: uuid(),
    };
    let with = |off: TimeOff| CreateTimeOffRequest { time_off: Some(off), ..create.clone() };
    let creates = vec![
        ("parent", CreateTimeOffRequest { parent: cast.provider.provider(), ..create.clone() }),
        ("time_off", with(TimeOff { start_time: later(), ..off.clone() })),
        ("time_off", with(TimeOff { end_time: later(), ..off.clone() })),
        ("time_off", with(TimeOff { reason: String::new(), ..off })),
    ];
    let spare = world.time_off(provider, FROM, UNTIL).await;
    let name = world.time_off(provider, FROM, UNTIL).await;
    let delete = DeleteTimeOffRequest { name, request_id: uuid() };
    let deletes = vec![("name", DeleteTimeOffRequest { name: spare, ..delete.clone() })];
    vec![
        Case::new("/daybook.booking.v1.ScheduleService/CreateTimeOff", admin, &create, creates),
        Case::new("/daybook.booking.v1.ScheduleService/DeleteTimeOff", admin, &delete, deletes),
    ]
}

async fn closures(world: &World, cast: &Cast) -> Vec<Case> {
    let admin = Some(&cast.admin);
    let (start_time, end_time) = (Some(berlin(FROM)), Some(berlin(UNTIL)));
    let closure =
        Closure { start_time, end_time, reason: "stocktaking".to_owned(), ..Default::default() };
    let create = CreateClosureRequest { closure: Some(closure.clone()), request_id: uuid() };
    let with = |closure: Closure| CreateClosureRequest { closure: Some(closure), ..create.clone() };
    let creates = vec![
        ("closure", with(Closure { start_time: later(), ..closure.clone() })),
        ("closure", with(Closure { end_time: later(), ..closure.clone() })),
        ("closure", with(Closure { reason: String::new(), ..closure })),
    ];
    let spare = world.closure(&cast.admin, FROM, UNTIL).await;
    let name = world.closure(&cast.admin, FROM, UNTIL).await;
    let delete = DeleteClosureRequest { name, request_id: uuid() };
    let deletes = vec![("name", DeleteClosureRequest { name: spare, ..delete.clone() })];
    vec![
        Case::new("/daybook.booking.v1.ScheduleService/CreateClosure", admin, &create, creates),
        Case::new("/daybook.booking.v1.ScheduleService/DeleteClosure", admin, &delete, deletes),
    ]
}
