//! On which day a slot is: of those who ask, and of the provider who works.

use daybook::grpc::proto::booking::{
    AppointmentType, GetAvailabilityRequest, ListSlotsRequest, Schedule, WeeklyWindow,
};
use prost_types::Timestamp;

use super::{behaviours, overrides::time, schedules::update};
use crate::support::{
    World, at,
    people::{Person, date},
    types::{kind, minutes},
};

behaviours!(
    a_slot_over_the_end_of_a_day_is_of_the_day_on_which_it_starts,
    the_last_slot_of_a_night_runs_over_midnight,
);

/// The same windows on every day of the week, in a zone.
async fn every_day(
    world: &World,
    provider: &Person,
    zone: &str,
    windows: &[((i32, i32), (i32, i32))],
) {
    let of = |day: i32, (from, until): ((i32, i32), (i32, i32))| WeeklyWindow {
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
