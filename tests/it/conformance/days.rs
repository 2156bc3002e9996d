//! On which day a slot is: of those who ask, and of the provider who works.

use daybook::grpc::proto::booking::{
    Appointment, AppointmentType, BookAppointmentRequest, BookingLimits, DateRange, Exclusion,
    GetAvailabilityRequest, ListSlotsRequest, Schedule, WeeklyWindow, appointment_type::Horizon,
    exclusion::Rule,
};
use prost_types::Timestamp;
use tonic::Status;

use super::{
    behaviours,
    overrides::{stay, time},
    schedules::update,
};
use crate::support::{
    World, at, books,
    people::{Person, date},
    refusal::refused,
    types::{kind, minutes, typed},
};

behaviours!(
    a_slot_over_the_end_of_a_day_is_of_the_day_on_which_it_starts,
    the_last_slot_of_a_night_runs_over_midnight,
    limits_of_a_day_are_those_of_the_day_that_is_worked,
    a_window_of_dates_holds_the_days_that_are_worked,
    a_week_begins_on_the_day_of_the_settings,
);

/// From when until when, in hours and minutes.
type Hours = ((i32, i32), (i32, i32));

/// The same windows on every day of the week, in a zone.
async fn every_day(world: &World, provider: &Person, zone: &str, windows: &[Hours]) {
    let of = |day: i32, (from, until): Hours| WeeklyWindow {
        day,
        start_time: time(from),
        end_time: time(until),
    };
    let weekly = (1..=7).flat_map(|day| windows.iter().map(move |window| of(day, *window)));
    let schedule = Schedule {
        name: provider.schedule(),
        time_zone: zone.to_owned(),
        weekly_windows: weekly.collect(),
        ..Default::default()
    };
    update(world, provider, schedule, &["time_zone", "weekly_windows"]).await.unwrap();
}

/// The starts that ListSlots and GetAvailability offer, which are the same, from a date to a date of a zone.
async fn starts(
    world: &World,
    (customer, provider): (&Person, &Person),
    of: &AppointmentType,
    (first, last, zone): (i32, i32, &str),
) -> Vec<i64> {
    let midnight = |day: i32| Some(at(&format!("2026-11-{day:02} 00:00"), zone));
    let seconds = |at: Option<Timestamp>| at.unwrap().seconds;
    let request = ListSlotsRequest {
        appointment_type: of.name.clone(),
        providers: vec![provider.provider()],
        start_time: midnight(first),
        end_time: midnight(last + 1),
        ..Default::default()
    };
    let slots = world.list_slots(customer, request).await;
    let slots: Vec<_> = slots.iter().map(|slot| seconds(slot.start_time)).collect();
    let request = GetAvailabilityRequest {
        provider: provider.provider(),
        start_date: Some(date((2026, 11, first))),
        end_date: Some(date((2026, 11, last))),
        time_zone: zone.to_owned(),
        duration: of.durations.first().copied(),
        ..Default::default()
    };
    let answer = world.booking().get_availability(customer.asks(request)).await.unwrap();
    let bare: Vec<_> =
        answer.into_inner().slots.iter().map(|slot| seconds(slot.start_time)).collect();
    assert_eq!(slots, bare);
    slots
}

async fn a_slot_over_the_end_of_a_day_is_of_the_day_on_which_it_starts(world: World) {
    let (provider, customer) = (world.provider().await, world.customer().await);
    // 09:00 to 17:00 in Los Angeles is 18:00 to 02:00 in Berlin.
    every_day(&world, &provider, "America/Los_Angeles", &[((9, 0), (17, 0))]).await;
    let of = AppointmentType { slot_step: minutes(30), ..kind(&[60]) };
    let of = world.own_type(&provider, of).await;
    let both = (&customer, &provider);
    for zone in ["Europe/Berlin", "America/Los_Angeles", "Pacific/Kiritimati", "Asia/Kathmandu"] {
        let whole = starts(&world, both, &of, (24, 27, zone)).await;
        assert!(whole.len() >= 45, "{zone}: {}", whole.len());
        let mut days = Vec::new();
        for day in 24..=27 {
            days.extend(starts(&world, both, &of, (day, day, zone)).await);
        }
        assert_eq!(days, whole, "{zone}");
    }
    // From 23:30 to 00:30 in Berlin.
    let late = at("2026-11-24 23:30", "Europe/Berlin");
    let day = starts(&world, both, &of, (24, 24, "Europe/Berlin")).await;
    assert_eq!(day.last(), Some(&late.seconds));
    let booked = world.book_type(&customer, &provider, &of, "2026-11-24 23:30").await.unwrap();
    assert_eq!(booked.start_time, Some(late));
}

async fn the_last_slot_of_a_night_runs_over_midnight(world: World) {
    let (provider, customer) = (world.provider().await, world.customer().await);
    every_day(&world, &provider, "Europe/Berlin", &[((0, 0), (6, 0)), ((20, 0), (24, 0))]).await;
    let of = AppointmentType { slot_step: minutes(30), ..kind(&[60]) };
    let of = world.own_type(&provider, of).await;
    let day = starts(&world, (&customer, &provider), &of, (24, 24, "Europe/Berlin")).await;
    let late = at("2026-11-24 23:30", "Europe/Berlin").seconds;
    // 11 in the morning, the last of them from 05:00 on, and 8 in the evening.
    assert_eq!((day.len(), day.last()), (19, Some(&late)));
    let before = starts(&world, (&customer, &provider), &of, (23, 23, "Europe/Berlin")).await;
    assert_eq!(before.last(), Some(&(late - 86_400)));
    world.book_type(&customer, &provider, &of, "2026-11-24 23:30").await.unwrap();
    // What is taken is neither day's any more: nor is the start at midnight that it runs into.
    let day = starts(&world, (&customer, &provider), &of, (24, 25, "Europe/Berlin")).await;
    for taken in [late - 1800, late, late + 1800] {
        assert!(!day.contains(&taken));
    }
    assert!(day.contains(&(late + 3600)));
}

/// A provider of Berlin who is in Auckland from Wednesday 25 to Thursday 26 November, where it is twelve hours
/// later, and what of a type is on offer: the instants of `2026-11-25 09:00` there.
async fn traveller(world: &World, of: AppointmentType) -> (Person, AppointmentType) {
    let provider = world.provider().await;
    let stays = vec![stay((2026, 11, 25), (2026, 11, 26), AUCKLAND)];
    let schedule = Schedule { name: provider.schedule(), stays, ..Default::default() };
    update(world, &provider, schedule, &["stays"]).await.unwrap();
    let of = world.own_type(&provider, of).await;
    (provider, of)
}

const AUCKLAND: &str = "Pacific/Auckland";
const BERLIN: &str = "Europe/Berlin";

/// All starts on offer from Tuesday to Friday.
async fn offered(world: &World, customer: &Person, of: &AppointmentType) -> Vec<i64> {
    let request = ListSlotsRequest {
        appointment_type: of.name.clone(),
        start_time: Some(at("2026-11-24 00:00", BERLIN)),
        end_time: Some(at("2026-11-28 00:00", BERLIN)),
        ..Default::default()
    };
    let slots = world.list_slots(customer, request).await;
    slots.iter().map(|slot| slot.start_time.unwrap().seconds).collect()
}

/// Books at a local time of a zone.
async fn book_at(
    world: &World,
    (customer, provider): (&Person, &Person),
    of: &AppointmentType,
    (local, zone): (&str, &str),
) -> Result<Appointment, Status> {
    let start_time = Some(at(local, zone));
    let request = BookAppointmentRequest { start_time, ..typed(provider, of, "2026-11-23 09:00") };
    world.send(customer, request).await
}

async fn limits_of_a_day_are_those_of_the_day_that_is_worked(world: World) {
    let limits = Some(BookingLimits { per_provider_day: 2, ..Default::default() });
    let (provider, of) = traveller(&world, AppointmentType { limits, ..kind(&[60]) }).await;
    let customer = world.customer().await;
    let both = (&customer, &provider);
    // Two on the 25th, which are on the evening of the 24th in Berlin.
    for local in ["2026-11-25 09:00", "2026-11-25 10:00"] {
        let booked = book_at(&world, both, &of, (local, AUCKLAND)).await.unwrap();
        assert_eq!(booked.time_zone, AUCKLAND);
        assert!(booked.local_start_time.starts_with("2026-11-25"));
    }
    // A third one on that day is refused, also where it is the 25th in Berlin too.
    for local in ["2026-11-25 11:00", "2026-11-25 16:00"] {
        let start = at(local, AUCKLAND);
        refused(book_at(&world, both, &of, (local, AUCKLAND)).await, "DAY_LIMIT");
        let told = world.explain(&customer, &provider, &of, start).await;
        assert_eq!(told.iter().map(Exclusion::rule).collect::<Vec<_>>(), [Rule::DayLimit]);
    }
    let free = offered(&world, &customer, &of).await;
    let of_day = |local: &str, zone: &str| at(local, zone).seconds;
    let hour = 3600;
    let expected: Vec<i64> = [
        of_day("2026-11-24 09:00", BERLIN),
        of_day("2026-11-26 09:00", AUCKLAND),
        of_day("2026-11-27 09:00", BERLIN),
    ]
    .into_iter()
    .flat_map(|first| (0..8).map(move |each| first + each * hour))
    .collect();
    assert_eq!(free, expected);
    // The first two of the 24th and of the 26th are accepted, the third ones are not.
    for (local, zone) in [
        ("2026-11-24 09:00", BERLIN),
        ("2026-11-24 16:00", BERLIN),
        ("2026-11-26 09:00", AUCKLAND),
        ("2026-11-26 16:00", AUCKLAND),
    ] {
        let booked = book_at(&world, both, &of, (local, zone)).await.unwrap();
        assert_eq!(booked.time_zone, zone, "{local}");
    }
    for (local, zone) in [("2026-11-24 10:00", BERLIN), ("2026-11-26 10:00", AUCKLAND)] {
        refused(book_at(&world, both, &of, (local, zone)).await, "DAY_LIMIT");
    }
    books::check(&world.sql().await).await;
}

async fn a_window_of_dates_holds_the_days_that_are_worked(world: World) {
    let day = Some(date((2026, 11, 25)));
    let range = DateRange { start_date: day, end_date: day };
    let horizons = [Horizon::FixedWindow(range), Horizon::RollingDays(3)];
    for (horizon, also_before) in horizons.into_iter().zip([false, true]) {
        let kind = AppointmentType { horizon: Some(horizon), ..kind(&[60]) };
        let (provider, of) = traveller(&world, kind).await;
        let customer = world.customer().await;
        let first = at("2026-11-25 09:00", AUCKLAND).seconds;
        let expected: Vec<i64> = (0..8).map(|each| first + each * 3600).collect();
        let free = offered(&world, &customer, &of).await;
        let free = if also_before { free[8..].to_vec() } else { free };
        assert_eq!(free, expected, "{also_before}");
        let both = (&customer, &provider);
        let next = ("2026-11-26 09:00", AUCKLAND);
        refused(book_at(&world, both, &of, next).await, "BEYOND_HORIZON");
        let told = world.explain(&customer, &provider, &of, at(next.0, next.1)).await;
        assert_eq!(told.iter().map(Exclusion::rule).collect::<Vec<_>>(), [Rule::Horizon]);
        book_at(&world, both, &of, ("2026-11-25 09:00", AUCKLAND)).await.unwrap();
        book_at(&world, both, &of, ("2026-11-25 16:00", AUCKLAND)).await.unwrap();
    }
}

async fn a_week_begins_on_the_day_of_the_settings(world: World) {
    let sundays = world.beside_with(&[("schedule.first_day_of_week", "sun")]).await;
    let limits = Some(BookingLimits { per_provider_week: 1, ..Default::default() });
    for (server, full, free) in [
        (&world, "2026-11-27 10:00", "2026-11-30 10:00"),
        (&sundays, "2026-11-30 10:00", "2026-11-27 10:00"),
    ] {
        let (provider, customer) = (world.provider().await, world.customer().await);
        every_day(&world, &provider, BERLIN, &[((9, 0), (17, 0))]).await;
        let of = world.own_type(&provider, AppointmentType { limits, ..kind(&[60]) }).await;
        // A Sunday.
        server.book_type(&customer, &provider, &of, "2026-11-29 10:00").await.unwrap();
        refused(server.book_type(&customer, &provider, &of, full).await, "WEEK_LIMIT");
        let told = server.explain(&customer, &provider, &of, at(full, BERLIN)).await;
        assert_eq!(told.iter().map(Exclusion::rule).collect::<Vec<_>>(), [Rule::WeekLimit]);
        server.book_type(&customer, &provider, &of, free).await.unwrap();
    }
}
