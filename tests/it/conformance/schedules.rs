//! Schedules: what a provider begins with, how it changes, and what bookings see of that.

use daybook::grpc::proto::{
    booking::{
        GetAppointmentRequest, GetScheduleRequest, Schedule, UpdateScheduleRequest, WeeklyWindow,
    },
    google::r#type::{DayOfWeek, TimeOfDay},
};
use prost_types::{Duration, FieldMask};
use tonic::Status;

use super::behaviours;
use crate::support::{
    World, at, berlin,
    people::Person,
    raw::seen,
    refusal::{invalid, reason_of, refused},
    version,
};

behaviours!(
    a_new_provider_is_open_in_office_hours,
    settings_change_what_a_new_provider_begins_with,
    a_day_has_several_windows_that_may_touch,
    a_day_ends_at_midnight_and_goes_on_in_the_next,
    only_what_the_mask_names_changes,
    a_schedule_is_changed_only_as_it_was_seen,
    providers_change_their_own_schedule_and_admins_anybodys,
    appointments_outside_the_new_hours_stay,
    a_booking_meets_the_hours_of_its_moment,
    a_booking_meets_the_longest_of_its_moment,
    a_second_server_sees_the_change_at_once,
    an_unchanged_schedule_is_a_change_all_the_same,
);

const MONDAY: (i32, i32, i32) = (2026, 11, 23);

pub(super) fn window(day: DayOfWeek, from: (i32, i32), until: (i32, i32)) -> WeeklyWindow {
    let time = |(hours, minutes)| TimeOfDay { hours, minutes, seconds: 0, nanos: 0 };
    WeeklyWindow { day: day.into(), start_time: Some(time(from)), end_time: Some(time(until)) }
}

pub(super) fn minutes(minutes: i64) -> Option<Duration> {
    Some(Duration { seconds: minutes * 60, nanos: 0 })
}

pub(super) async fn schedule_of(world: &World, provider: &Person) -> Schedule {
    let request = GetScheduleRequest { name: provider.schedule() };
    let answer = world.schedule().get_schedule(provider.asks(request)).await.unwrap();
    answer.into_inner().schedule.unwrap()
}

pub(super) async fn update(
    world: &World,
    caller: &Person,
    schedule: Schedule,
    mask: &[&str],
) -> Result<Schedule, Status> {
    let paths: Vec<String> = mask.iter().map(|path| (*path).to_owned()).collect();
    let request = UpdateScheduleRequest {
        schedule: Some(schedule),
        update_mask: (!paths.is_empty()).then_some(FieldMask { paths }),
        ..Default::default()
    };
    let answer = world.schedule().update_schedule(caller.asks(request)).await?;
    Ok(answer.into_inner().schedule.unwrap())
}

/// Sets the windows and nothing else.
async fn open(world: &World, provider: &Person, windows: Vec<WeeklyWindow>) -> Schedule {
    let schedule =
        Schedule { name: provider.schedule(), weekly_windows: windows, ..Default::default() };
    update(world, provider, schedule, &["weekly_windows"]).await.unwrap()
}

pub(super) async fn starts(world: &World, provider: &Person, day: (i32, i32, i32)) -> Vec<i64> {
    let free = world.availability(provider, provider, day).await;
    free.slots.iter().map(|slot| slot.start_time.unwrap().seconds).collect()
}

async fn a_new_provider_is_open_in_office_hours(world: World) {
    let provider = world.provider().await;
    let schedule = schedule_of(&world, &provider).await;
    let days = [
        DayOfWeek::Monday,
        DayOfWeek::Tuesday,
        DayOfWeek::Wednesday,
        DayOfWeek::Thursday,
        DayOfWeek::Friday,
    ];
    assert_eq!(schedule.weekly_windows, days.map(|day| window(day, (9, 0), (17, 0))));
    assert_eq!(schedule.name, provider.schedule());
    assert_eq!(schedule.time_zone, "Europe/Berlin");
    assert_eq!(schedule.slot_duration, minutes(30));
    assert_eq!(schedule.longest_booking, minutes(480));
    assert_eq!(schedule.update_time.unwrap().seconds, world.clock.now().timestamp());
    assert_eq!(version(&schedule.etag), 1);
}

async fn settings_change_what_a_new_provider_begins_with(world: World) {
    let settings = [
        ("schedule.default_hours", "sun 00:00-24:00, mon 08:00-12:00, mon 12:00-12:30"),
        ("schedule.default_slot_minutes", "20"),
        ("schedule.default_longest_minutes", "60"),
    ];
    let other = World::with(world.engine, &settings).await;
    let provider = other.provider().await;
    let schedule = schedule_of(&other, &provider).await;
    assert_eq!(
        schedule.weekly_windows,
        [
            window(DayOfWeek::Monday, (8, 0), (12, 0)),
            window(DayOfWeek::Monday, (12, 0), (12, 30)),
            window(DayOfWeek::Sunday, (0, 0), (24, 0)),
        ]
    );
    assert_eq!((schedule.slot_duration, schedule.longest_booking), (minutes(20), minutes(60)));
    assert_eq!(schedule.time_zone, "Europe/Berlin");
    // Also for those to whom an admin gives the role.
    let (admin, customer) = (other.admin().await, other.customer().await);
    let second = other.promote(&admin, &customer, daybook::grpc::proto::auth::Role::Provider).await;
    let same = schedule_of(&other, &second).await;
    assert_eq!(same.weekly_windows, schedule.weekly_windows);
    assert_eq!(same.time_zone, "Europe/Berlin");
}

async fn a_day_has_several_windows_that_may_touch(world: World) {
    let (provider, customer) = (world.provider().await, world.customer().await);
    let lunch = window(DayOfWeek::Monday, (13, 0), (15, 0));
    let early = window(DayOfWeek::Monday, (9, 0), (11, 0));
    let touching = window(DayOfWeek::Monday, (11, 0), (12, 0));
    let changed = open(&world, &provider, vec![lunch, touching, early]).await;
    assert_eq!(changed.weekly_windows, [early, touching, lunch]);
    assert_eq!(schedule_of(&world, &provider).await, changed);
    let free = world.availability(&customer, &provider, MONDAY).await;
    assert_eq!(free.free_intervals.len(), 2, "touching windows are one stretch");
    assert_eq!(free.slots.len(), 6 + 4);
    let book = async |from: &str, until: &str| {
        let (from, until) = (format!("2026-11-23 {from}"), format!("2026-11-23 {until}"));
        world.book(&customer, &provider, berlin(&from), berlin(&until)).await
    };
    book("10:30", "11:30").await.unwrap();
    refused(book("11:30", "12:01").await, "OUTSIDE_HOURS");
    refused(book("11:30", "13:30").await, "OUTSIDE_HOURS");
    refused(book("12:00", "13:00").await, "OUTSIDE_HOURS");
    book("13:00", "15:00").await.unwrap();
}

async fn a_day_ends_at_midnight_and_goes_on_in_the_next(world: World) {
    let (provider, customer) = (world.provider().await, world.customer().await);
    let windows = vec![
        window(DayOfWeek::Monday, (22, 0), (24, 0)),
        window(DayOfWeek::Tuesday, (0, 0), (2, 0)),
    ];
    assert_eq!(open(&world, &provider, windows.clone()).await.weekly_windows, windows);
    let (start, end) = (berlin("2026-11-23 23:30"), berlin("2026-11-24 00:30"));
    world.book(&customer, &provider, start, end).await.unwrap();
    let late = world.book(&customer, &provider, end, berlin("2026-11-24 02:01")).await;
    refused(late, "OUTSIDE_HOURS");
    assert_eq!(starts(&world, &provider, MONDAY).await.len(), 3);
    // Around the clock, and never.
    let days = 1..=7;
    let always = days.map(|day| window(DayOfWeek::try_from(day).unwrap(), (0, 0), (24, 0)));
    open(&world, &provider, always.collect()).await;
    assert_eq!(starts(&world, &provider, (2026, 11, 28)).await.len(), 48);
    let closed = open(&world, &provider, Vec::new()).await;
    assert_eq!(closed.weekly_windows, []);
    assert_eq!(starts(&world, &provider, (2026, 11, 28)).await, Vec::<i64>::new());
}

async fn only_what_the_mask_names_changes(world: World) {
    let provider = world.provider().await;
    let mut expected = schedule_of(&world, &provider).await;
    let new = Schedule {
        name: provider.schedule(),
        time_zone: "Asia/Tokyo".to_owned(),
        weekly_windows: vec![window(DayOfWeek::Sunday, (10, 0), (12, 0))],
        slot_duration: minutes(15),
        longest_booking: minutes(45),
        ..Default::default()
    };
    let mut number = 1;
    for path in ["time_zone", "weekly_windows", "slot_duration", "longest_booking"] {
        let changed = update(&world, &provider, new.clone(), &[path]).await.unwrap();
        match path {
            "time_zone" => expected.time_zone.clone_from(&new.time_zone),
            "weekly_windows" => expected.weekly_windows.clone_from(&new.weekly_windows),
            "slot_duration" => expected.slot_duration = new.slot_duration,
            _ => expected.longest_booking = new.longest_booking,
        }
        number += 1;
        assert_eq!(version(&changed.etag), number);
        expected.etag.clone_from(&changed.etag);
        assert_eq!(changed, expected, "{path}");
        assert_eq!(schedule_of(&world, &provider).await, expected);
    }
    // What is not named is not looked at.
    let odd =
        Schedule { name: provider.schedule(), time_zone: "UTC".to_owned(), ..Default::default() };
    let changed = update(&world, &provider, odd.clone(), &["time_zone"]).await.unwrap();
    assert_eq!(changed.time_zone, "UTC");
    // With a star everything, and without a mask what is set.
    let refusal = update(&world, &provider, odd, &["*"]).await.unwrap_err();
    assert_eq!(
        crate::support::refusal::fields_of(&refusal),
        ["schedule.longest_booking", "schedule.slot_duration"]
    );
    let changed = update(&world, &provider, new.clone(), &[]).await.unwrap();
    assert_eq!(changed.time_zone, "Asia/Tokyo");
    assert_eq!(starts(&world, &provider, (2026, 11, 29)).await.len(), 8);
    // The hours are meant in the new zone.
    let first = at("2026-11-29 10:00", "Asia/Tokyo").seconds;
    assert_eq!(starts(&world, &provider, (2026, 11, 29)).await[0], first);
}

async fn a_schedule_is_changed_only_as_it_was_seen(world: World) {
    let (provider, customer) = (world.provider().await, world.customer().await);
    let seen = schedule_of(&world, &provider).await;
    let change = async |etag: &str, slot: i64| {
        let schedule =
            Schedule { etag: etag.to_owned(), slot_duration: minutes(slot), ..seen.clone() };
        update(&world, &provider, schedule, &[]).await
    };
    let changed = change(&seen.etag, 20).await.unwrap();
    assert_ne!(changed.etag, seen.etag);
    let before = world.state().await;
    refused(change(&seen.etag, 25).await, "ETAG_STALE");
    refused(change("\"999\"", 25).await, "ETAG_STALE");
    assert_eq!(world.state().await, before);
    // A booking is no change of the schedule.
    let (start, end) = (berlin("2026-11-23 10:00"), berlin("2026-11-23 10:30"));
    world.book(&customer, &provider, start, end).await.unwrap();
    assert_eq!(schedule_of(&world, &provider).await, changed);
    change(&changed.etag, 25).await.unwrap();
    // Without an etag the last one wins.
    change("", 30).await.unwrap();
}

async fn providers_change_their_own_schedule_and_admins_anybodys(world: World) {
    let (one, two) = (world.provider().await, world.provider().await);
    let (customer, admin) = (world.customer().await, world.admin().await);
    let schedule = schedule_of(&world, &one).await;
    let before = world.state().await;
    let foreign = update(&world, &two, schedule.clone(), &[]).await.unwrap_err();
    assert_eq!(reason_of(&foreign), "NOT_FOUND");
    let absent = "providers/01980000-0000-7000-8000-000000000000/schedule";
    let missing = Schedule { name: absent.to_owned(), ..schedule.clone() };
    let missing = update(&world, &two, missing, &[]).await.unwrap_err();
    assert_eq!(seen(&foreign).0, seen(&missing).0);
    assert_eq!(seen(&foreign).1, seen(&missing).1);
    refused(update(&world, &customer, schedule.clone(), &[]).await, "ROLE_NOT_ALLOWED");
    let nobody = Schedule { name: customer.schedule(), ..schedule.clone() };
    refused(update(&world, &admin, nobody, &[]).await, "NOT_FOUND");
    assert_eq!(world.state().await, before);
    let new = Schedule { slot_duration: minutes(60), ..schedule };
    let changed = update(&world, &admin, new, &[]).await.unwrap();
    assert_eq!(changed.slot_duration, minutes(60));
    // Everybody who is logged in sees it.
    for person in [&one, &two, &customer, &admin] {
        let request = GetScheduleRequest { name: one.schedule() };
        let found = world.schedule().get_schedule(person.asks(request)).await.unwrap();
        assert_eq!(found.into_inner().schedule.as_ref(), Some(&changed));
    }
    for bad in ["", "providers/x/schedule", &one.provider(), &one.user.name] {
        let request = GetScheduleRequest { name: bad.to_owned() };
        invalid(world.schedule().get_schedule(customer.asks(request)).await, &["name"]);
    }
}

async fn appointments_outside_the_new_hours_stay(world: World) {
    let (provider, customer) = (world.provider().await, world.customer().await);
    let (start, end) = (berlin("2026-11-23 10:00"), berlin("2026-11-23 10:30"));
    let booked = world.book(&customer, &provider, start, end).await.unwrap();
    open(&world, &provider, vec![window(DayOfWeek::Tuesday, (9, 0), (10, 0))]).await;
    let get = GetAppointmentRequest { name: booked.name.clone() };
    let found = world.booking().get_appointment(customer.asks(get)).await.unwrap().into_inner();
    assert_eq!(found.appointment, Some(booked));
    // Open again: its time is still taken.
    open(&world, &provider, vec![window(DayOfWeek::Monday, (9, 0), (11, 0))]).await;
    assert_eq!(starts(&world, &provider, MONDAY).await.len(), 3);
    refused(world.book(&world.customer().await, &provider, start, end).await, "SLOT_TAKEN");
}

async fn a_booking_meets_the_hours_of_its_moment(world: World) {
    let (provider, customer) = (world.provider().await, world.customer().await);
    let book = async |from: &str, until: &str| {
        let (from, until) = (format!("2026-11-23 {from}"), format!("2026-11-23 {until}"));
        world.book(&customer, &provider, berlin(&from), berlin(&until)).await
    };
    // The second booking of a provider takes the fast way, which remembers the schedule.
    book("09:00", "09:30").await.unwrap();
    book("09:30", "10:00").await.unwrap();
    open(&world, &provider, vec![window(DayOfWeek::Monday, (9, 0), (11, 0))]).await;
    refused(book("11:00", "11:30").await, "OUTSIDE_HOURS");
    assert_eq!(starts(&world, &provider, MONDAY).await.len(), 2);
    book("10:00", "10:30").await.unwrap();
    // Wider again: what was remembered must not refuse either.
    open(&world, &provider, vec![window(DayOfWeek::Monday, (9, 0), (18, 0))]).await;
    book("17:30", "18:00").await.unwrap();
    book("11:00", "11:30").await.unwrap();
    // Another zone: the same wall-clock time is another instant, and is promised as such.
    let tokyo = Schedule {
        name: provider.schedule(),
        time_zone: "Asia/Tokyo".to_owned(),
        ..Default::default()
    };
    update(&world, &provider, tokyo, &["time_zone"]).await.unwrap();
    refused(book("12:00", "12:30").await, "OUTSIDE_HOURS");
    let (start, end) = (at("2026-11-30 09:00", "Asia/Tokyo"), at("2026-11-30 09:30", "Asia/Tokyo"));
    let booked = world.book(&customer, &provider, start, end).await.unwrap();
    assert_eq!(booked.local_start_time, "2026-11-30T09:00:00");
    assert_eq!(booked.time_zone, "Asia/Tokyo");
}

async fn a_booking_meets_the_longest_of_its_moment(world: World) {
    let (provider, customer) = (world.provider().await, world.customer().await);
    let limit = async |longest: i64| {
        let schedule = Schedule {
            name: provider.schedule(),
            longest_booking: minutes(longest),
            ..Default::default()
        };
        update(&world, &provider, schedule, &["longest_booking"]).await.unwrap()
    };
    let book = async |from: &str, until: &str| {
        let (from, until) = (format!("2026-11-23 {from}"), format!("2026-11-23 {until}"));
        world.book(&customer, &provider, berlin(&from), berlin(&until)).await
    };
    book("09:00", "10:00").await.unwrap();
    book("10:00", "11:00").await.unwrap();
    limit(45).await;
    refused(book("11:00", "12:00").await, "TOO_LONG");
    book("11:00", "11:45").await.unwrap();
    limit(90).await;
    book("11:45", "13:15").await.unwrap();
    refused(book("13:15", "14:46").await, "TOO_LONG");
}

async fn a_second_server_sees_the_change_at_once(world: World) {
    let other = world.beside().await;
    let (provider, customer) = (world.provider().await, world.customer().await);
    let times = ["09:00", "09:30", "10:00", "10:30", "11:00", "11:30", "12:00", "12:30", "13:00"];
    let book = async |server: &World, place: usize| {
        let (from, until) = (times[place], times[place + 1]);
        let (from, until) = (format!("2026-11-23 {from}"), format!("2026-11-23 {until}"));
        server.book(&customer, &provider, berlin(&from), berlin(&until)).await
    };
    for (server, place) in [(&world, 0), (&other, 1), (&world, 2), (&other, 3)] {
        book(server, place).await.unwrap();
    }
    assert_eq!(starts(&other, &provider, MONDAY).await.len(), 12);
    open(&world, &provider, vec![window(DayOfWeek::Monday, (9, 0), (11, 30))]).await;
    for server in [&other, &world] {
        assert_eq!(starts(server, &provider, MONDAY).await.len(), 1);
        refused(book(server, 5).await, "OUTSIDE_HOURS");
    }
    book(&other, 4).await.unwrap();
    open(&other, &provider, vec![window(DayOfWeek::Monday, (9, 0), (13, 0))]).await;
    for (server, place) in [(&world, 5), (&other, 6)] {
        book(server, place).await.unwrap();
    }
    for server in [&world, &other] {
        assert_eq!(starts(server, &provider, MONDAY).await.len(), 1);
    }
    assert_eq!(world.count("SELECT count(*) FROM appointments").await, 7);
    assert_eq!(world.count("SELECT max(version) FROM events").await, 10);
    assert_eq!(world.count("SELECT count(*) FROM events").await, 10);
}

async fn an_unchanged_schedule_is_a_change_all_the_same(world: World) {
    let provider = world.provider().await;
    let seen = schedule_of(&world, &provider).await;
    world.move_to("2026-11-22 20:00", "Europe/Berlin");
    let changed = update(&world, &provider, seen.clone(), &[]).await.unwrap();
    assert_ne!(changed.etag, seen.etag);
    let now = world.clock.now().timestamp();
    assert_eq!(changed.update_time.unwrap().seconds, now);
    let same = Schedule { etag: seen.etag.clone(), update_time: seen.update_time, ..changed };
    assert_eq!(same, seen);
    let events = "SELECT count(*) FROM events WHERE kind = 'schedule_changed'";
    assert_eq!(world.count(events).await, 1);
}
