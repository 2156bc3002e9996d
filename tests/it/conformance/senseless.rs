//! Types that could never be booked are refused when they are made, changed or offered.

use daybook::grpc::proto::{
    booking::{
        AppointmentType, CreateAppointmentTypeRequest, DateOverride, DateRange,
        OfferAppointmentTypeRequest, Schedule, TimeWindow, appointment_type::Horizon,
    },
    google::r#type::{DayOfWeek, TimeOfDay},
};
use prost_types::Duration;

use super::{
    behaviours,
    catalogue::{create, own, plain, update as change},
    offerings::offering,
    schedules::{update, window},
};
use crate::support::{
    World,
    people::{Person, date, uuid},
    refusal::{fields_of, refused},
    types::minutes,
};

behaviours!(
    a_window_that_is_over_is_refused,
    a_notice_ends_before_the_horizon,
    a_window_that_has_passed_is_no_reason_against_other_changes,
    a_retry_outlives_its_window,
    an_own_type_fits_into_its_owners_hours,
    a_type_is_offered_by_hours_that_it_fits_into,
);

type Day = (i32, i32, i32);

fn fixed(first: Day, last: Day) -> AppointmentType {
    let window = DateRange { start_date: Some(date(first)), end_date: Some(date(last)) };
    AppointmentType { horizon: Some(Horizon::FixedWindow(window)), ..plain() }
}

fn hours(hours: &[i64]) -> Vec<Duration> {
    hours.iter().filter_map(|hours| minutes(hours * 60)).collect()
}

async fn wrong(world: &World, caller: &Person, of: AppointmentType) -> Vec<String> {
    let status = refused(create(world, caller, of).await, "INVALID_FIELDS");
    let fields = fields_of(&status).into_iter();
    fields.map(|field| field.replace("appointment_type.", "")).collect()
}

async fn a_window_that_is_over_is_refused(world: World) {
    let (provider, admin) = (world.provider().await, world.admin().await);
    let before = world.state().await;
    let over = fixed((2026, 11, 1), (2026, 11, 20));
    let owned = AppointmentType { owner: provider.provider(), ..over.clone() };
    assert_eq!(wrong(&world, &admin, over.clone()).await, ["fixed_window.end_date"]);
    assert_eq!(wrong(&world, &provider, owned.clone()).await, ["fixed_window.end_date"]);
    // With whatever else is wrong.
    let nameless = AppointmentType { display_name: String::new(), ..over.clone() };
    assert_eq!(wrong(&world, &admin, nameless).await, ["display_name", "fixed_window.end_date"]);
    let long = AppointmentType { durations: hours(&[9]), ..owned };
    assert_eq!(wrong(&world, &provider, long).await, ["durations", "fixed_window.end_date"]);
    let reversed = fixed((2026, 11, 20), (2026, 11, 1));
    assert_eq!(wrong(&world, &admin, reversed).await, ["fixed_window.end_date"]);
    assert_eq!(world.state().await, before);
    // What ends today has not ended, and neither has yesterday everywhere.
    create(&world, &admin, fixed((2026, 11, 1), (2026, 11, 22))).await.unwrap();
    world.move_to("2026-11-23 12:59:59", "Europe/Berlin");
    create(&world, &admin, fixed((2026, 11, 1), (2026, 11, 22))).await.unwrap();
    world.move_to("2026-11-23 13:00", "Europe/Berlin");
    let over = fixed((2026, 11, 1), (2026, 11, 22));
    assert_eq!(wrong(&world, &admin, over).await, ["fixed_window.end_date"]);
}

async fn a_notice_ends_before_the_horizon(world: World) {
    let admin = world.admin().await;
    let rolling = |days: i32, hours: i64| AppointmentType {
        horizon: Some(Horizon::RollingDays(days)),
        minimum_notice: minutes(hours * 60),
        ..plain()
    };
    let within = |notice: i64| AppointmentType {
        minimum_notice: minutes(notice),
        ..fixed((2026, 11, 22), (2026, 11, 30))
    };
    let before = world.state().await;
    for of in [rolling(0, 24), rolling(0, 25), rolling(1, 48), rolling(6, 7 * 24)] {
        assert_eq!(wrong(&world, &admin, of).await, ["minimum_notice"]);
    }
    // From the 22nd at 12:00 in UTC to the 1st at 12:00, when the 30th has ended everywhere.
    for notice in [9 * 24 * 60, 100 * 24 * 60] {
        assert_eq!(wrong(&world, &admin, within(notice)).await, ["minimum_notice"]);
    }
    assert_eq!(world.state().await, before);
    for of in [rolling(0, 23), rolling(1, 47), within(9 * 24 * 60 - 1)] {
        create(&world, &admin, of).await.unwrap();
    }
    let made = create(&world, &admin, within(0)).await.unwrap();
    let longer = AppointmentType { minimum_notice: minutes(9 * 24 * 60), ..made };
    let status =
        refused(change(&world, &admin, longer, &["minimum_notice"]).await, "INVALID_FIELDS");
    assert_eq!(fields_of(&status), ["appointment_type.minimum_notice"]);
}

async fn a_window_that_has_passed_is_no_reason_against_other_changes(world: World) {
    let admin = world.admin().await;
    let made = create(&world, &admin, fixed((2026, 11, 22), (2026, 11, 24))).await.unwrap();
    world.move_to("2026-12-01 12:00", "Europe/Berlin");
    let admin = world.log_in(&admin.user.email).await;
    let renamed = AppointmentType { display_name: "Last week".to_owned(), ..made.clone() };
    let renamed = change(&world, &admin, renamed, &["display_name"]).await.unwrap();
    // All of it, as it was.
    let again = AppointmentType { price: "free".to_owned(), ..renamed };
    let again = change(&world, &admin, again, &[]).await.unwrap();
    let moved = AppointmentType { etag: String::new(), ..again.clone() };
    let moved = AppointmentType { horizon: fixed((2026, 11, 22), (2026, 11, 25)).horizon, ..moved };
    let status = refused(change(&world, &admin, moved, &["horizon"]).await, "INVALID_FIELDS");
    assert_eq!(fields_of(&status), ["appointment_type.fixed_window.end_date"]);
    let next = fixed((2026, 12, 1), (2026, 12, 5)).horizon;
    let next = AppointmentType { horizon: next, etag: String::new(), ..again };
    change(&world, &admin, next, &["horizon"]).await.unwrap();
}

async fn a_retry_outlives_its_window(world: World) {
    let (provider, admin) = (world.provider().await, world.admin().await);
    let shared = fixed((2026, 11, 22), (2026, 11, 24));
    let owned = AppointmentType { owner: provider.provider(), ..shared.clone() };
    let mut made = Vec::new();
    for (caller, of) in [(&admin, shared), (&provider, owned)] {
        let request =
            CreateAppointmentTypeRequest { appointment_type: Some(of), request_id: uuid() };
        let answer = world.catalogue().create_appointment_type(caller.asks(request.clone())).await;
        made.push((caller, request, answer.unwrap().into_inner()));
    }
    world.move_to("2026-11-26 12:00", "Europe/Berlin");
    for (person, request, before) in made {
        let caller = world.log_in(&person.user.email).await;
        let answer = world.catalogue().create_appointment_type(caller.asks(request)).await;
        assert_eq!(answer.unwrap().into_inner(), before);
    }
}

async fn an_own_type_fits_into_its_owners_hours(world: World) {
    let (provider, admin) = (world.provider().await, world.admin().await);
    let of = |lengths: &[i64]| AppointmentType { durations: hours(lengths), ..own(&provider) };
    let before = world.state().await;
    for caller in [&provider, &admin] {
        assert_eq!(wrong(&world, caller, of(&[9, 10])).await, ["durations"]);
    }
    assert_eq!(world.state().await, before);
    // From 09:00 to 17:00 is enough for one of them.
    create(&world, &provider, of(&[9, 8])).await.unwrap();
    // A date of its own is enough; one that is over is not.
    let longer = |day: Day| Schedule {
        name: provider.schedule(),
        date_overrides: vec![DateOverride {
            date: Some(date(day)),
            windows: vec![TimeWindow {
                start_time: Some(TimeOfDay { hours: 8, ..Default::default() }),
                end_time: Some(TimeOfDay { hours: 20, ..Default::default() }),
            }],
        }],
        ..Default::default()
    };
    update(&world, &provider, longer((2026, 11, 28)), &["date_overrides"]).await.unwrap();
    create(&world, &provider, of(&[12])).await.unwrap();
    world.move_to("2026-11-29 12:00", "Europe/Berlin");
    let provider = &world.log_in(&provider.user.email).await;
    assert_eq!(wrong(&world, provider, of(&[12])).await, ["durations"]);
}

async fn a_type_is_offered_by_hours_that_it_fits_into(world: World) {
    let (provider, admin) = (world.provider().await, world.admin().await);
    let long = AppointmentType { durations: hours(&[10]), ..plain() };
    let long = create(&world, &admin, long).await.unwrap();
    let by = async |schedule: &str| {
        let request = OfferAppointmentTypeRequest {
            schedule: schedule.to_owned(),
            ..offering(&long, &provider)
        };
        world.catalogue().offer_appointment_type(admin.asks(request)).await
    };
    let nights = world.schedule_for(&provider, "nights").await;
    let before = world.state().await;
    for schedule in ["", &nights] {
        let status = refused(by(schedule).await, "INVALID_FIELDS");
        assert_eq!(fields_of(&status), ["schedule"]);
    }
    assert_eq!(world.state().await, before);
    // Two windows that touch at midnight are one.
    let weekly_windows = vec![
        window(DayOfWeek::Sunday, (18, 0), (24, 0)),
        window(DayOfWeek::Monday, (0, 0), (4, 0)),
    ];
    let open = Schedule { name: nights.clone(), weekly_windows, ..Default::default() };
    update(&world, &provider, open, &["weekly_windows"]).await.unwrap();
    by(&nights).await.unwrap();
    // In UTC from 18:00 on.
    assert_eq!(world.starts_of(&provider, &long, "2026-11-29").await, Vec::<String>::new());
    let weekly_windows = Vec::new();
    let shut = Schedule { name: nights.clone(), weekly_windows, ..Default::default() };
    update(&world, &provider, shut, &["weekly_windows"]).await.unwrap();
    // What is offered already stays as it is.
    by(&nights).await.unwrap();
}
