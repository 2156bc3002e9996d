//! A provider's calendar in one call: what it tells agrees with what the separate calls tell.

use std::collections::BTreeMap;

use daybook::grpc::proto::{
    booking::{
        Appointment, AppointmentType, ApproveAppointmentRequest, CalendarSchedule,
        GetAvailabilityRequest, GetCalendarRequest, GetCalendarResponse, Interval,
        ListAppointmentsRequest, ListClosuresRequest, ListHoldsRequest, ListSchedulesRequest,
        ListSlotsRequest, ListTimeOffRequest, Schedule, appointment::State,
    },
    google::r#type::DayOfWeek,
};
use prost_types::Timestamp;
use tonic::Status;

use super::{
    behaviours,
    overrides::{own, stay},
    own_property::Chance,
    schedules::{update, window},
};
use crate::support::{
    World, berlin, books,
    people::{Person, date},
    rounds,
    types::{holding, kind, local, minutes, typed},
};

behaviours!(
    a_week_with_everything_in_it,
    random_practices_are_told_alike,
    clocks_go_forward_in_a_week,
);

const LIVE: [State; 4] = [State::Pending, State::Booked, State::Completed, State::NoShow];

pub(super) async fn ask(
    world: &World,
    caller: &Person,
    provider: &Person,
    (from, until): (Timestamp, Timestamp),
) -> Result<GetCalendarResponse, Status> {
    let request = GetCalendarRequest {
        provider: provider.provider(),
        start_time: Some(from),
        end_time: Some(until),
    };
    Ok(world.booking().get_calendar(caller.asks(request)).await?.into_inner())
}

pub(super) fn seconds(at: Option<Timestamp>) -> i64 {
    at.unwrap().seconds
}

pub(super) fn pairs(all: &[Interval]) -> Vec<(i64, i64)> {
    all.iter().map(|each| (seconds(each.start_time), seconds(each.end_time))).collect()
}

fn overlap(
    (from, until): (Timestamp, Timestamp),
    start: Option<Timestamp>,
    end: Option<Timestamp>,
) -> bool {
    start.is_some() && seconds(start) < until.seconds && from.seconds < seconds(end)
}

/// What the separate calls tell of a provider's time to come is what the calendar tells.
async fn agrees(
    world: &World,
    (provider, staff): (&Person, &Person),
    of: &BTreeMap<String, AppointmentType>,
    range: (Timestamp, Timestamp),
) -> GetCalendarResponse {
    let told = ask(world, staff, provider, range).await.unwrap();
    let (from, until) = range;
    let (start_time, end_time) = (Some(from), Some(until));
    assert_eq!(told.end_time, end_time);
    assert_eq!(told.provider_display_name, provider.user.display_name);
    let inside = |start, end| overlap(range, start, end);
    let request = ListAppointmentsRequest {
        provider: provider.provider(),
        states: LIVE.iter().map(|state| (*state).into()).collect(),
        start_time,
        end_time,
        page_size: 500,
        ..Default::default()
    };
    let listed = world.booking().list_appointments(staff.asks(request)).await.unwrap();
    let (agreed, asked): (Vec<Appointment>, Vec<Appointment>) =
        told.appointments.iter().cloned().partition(|each| inside(each.start_time, each.end_time));
    assert_eq!(agreed, listed.into_inner().appointments);
    // Those to be moved hither are found by what is to be answered.
    let request = ListAppointmentsRequest {
        provider: provider.provider(),
        states: vec![State::Pending.into()],
        page_size: 500,
        ..Default::default()
    };
    let listed = world.booking().list_appointments(staff.asks(request)).await.unwrap();
    let mut hither = listed.into_inner().appointments;
    hither.retain(|each| {
        inside(each.move_start_time, each.move_end_time) && !inside(each.start_time, each.end_time)
    });
    assert_eq!(asked, hither);
    let request = ListHoldsRequest {
        provider: provider.provider(),
        start_time,
        end_time,
        page_size: 500,
        ..Default::default()
    };
    let holds = world.booking().list_holds(staff.asks(request)).await.unwrap().into_inner().holds;
    assert_eq!(told.holds, holds);
    let request =
        ListTimeOffRequest { parent: provider.provider(), page_size: 500, ..Default::default() };
    let off = world.schedule().list_time_off(staff.asks(request)).await.unwrap().into_inner();
    let mut off = off.time_off;
    off.retain(|each| inside(each.start_time, each.end_time));
    assert_eq!(told.time_off, off);
    let request = ListClosuresRequest { page_size: 500, ..Default::default() };
    let closures = world.schedule().list_closures(staff.asks(request)).await.unwrap().into_inner();
    let mut closures = closures.closures;
    closures.retain(|each| inside(each.start_time, each.end_time));
    assert_eq!(told.closures, closures);
    let request = ListSchedulesRequest { parent: provider.provider() };
    let schedules = world.schedule().list_schedules(staff.asks(request)).await.unwrap();
    let schedules = schedules.into_inner().schedules;
    let named = |all: Vec<(&String, &String)>| -> Vec<(String, String)> {
        all.into_iter().map(|(name, zone)| (name.clone(), zone.clone())).collect()
    };
    assert_eq!(
        named(told.schedules.iter().map(|each| (&each.name, &each.time_zone)).collect()),
        named(schedules.iter().map(|each| (&each.name, &each.time_zone)).collect())
    );
    for schedule in &told.schedules {
        free_is_what_is_offered(world, schedule, &of[&schedule.name], range).await;
    }
    told
}

/// The slots of five minutes of a type that goes by a schedule fill what the calendar calls free.
async fn free_is_what_is_offered(
    world: &World,
    schedule: &CalendarSchedule,
    of: &AppointmentType,
    (from, until): (Timestamp, Timestamp),
) {
    // Somebody who is busy nowhere.
    let other = world.customer().await;
    let request = ListSlotsRequest {
        appointment_type: of.name.clone(),
        start_time: Some(from),
        end_time: Some(until),
        page_size: 5000,
        ..Default::default()
    };
    let mut joined: Vec<(i64, i64)> = Vec::new();
    for slot in world.list_slots(&other, request).await {
        let (start, end) = (seconds(slot.start_time), seconds(slot.end_time));
        match joined.last_mut() {
            Some(last) if last.1 == start => last.1 = end,
            _ => joined.push((start, end)),
        }
    }
    assert_eq!(pairs(&schedule.free_intervals), joined, "{}", schedule.name);
}

/// A type of five minutes by each schedule of a provider.
async fn types_by_schedule(
    world: &World,
    provider: &Person,
    schedules: &[&str],
) -> BTreeMap<String, AppointmentType> {
    let mut of = BTreeMap::new();
    for schedule in schedules {
        let made =
            world.own_type(provider, AppointmentType { slot_step: minutes(5), ..kind(&[5]) }).await;
        let by = if *schedule == provider.schedule() { "" } else { schedule };
        world.offer(provider, &made, provider, by).await;
        of.insert((*schedule).to_owned(), made);
    }
    of
}

/// A type with approval, whose customers ask for moves.
async fn with_approval(world: &World, provider: &Person) -> AppointmentType {
    let asked = AppointmentType {
        requires_approval: true,
        request_expiry: minutes(600),
        buffer_before: minutes(5),
        buffer_after: minutes(10),
        slot_step: minutes(30),
        ..kind(&[30])
    };
    world.own_type(provider, asked).await
}

async fn approve(world: &World, by: &Person, name: &str) {
    let request = ApproveAppointmentRequest { name: name.to_owned(), ..Default::default() };
    world.booking().approve_appointment(by.asks(request)).await.unwrap();
}

async fn a_week_with_everything_in_it(world: World) {
    let (ada, ben, admin) = (world.provider().await, world.provider().await, world.admin().await);
    let (carl, dora) = (world.customer().await, world.customer().await);
    let evenings = world.schedule_for(&ada, "evenings").await;
    let schedule = Schedule {
        name: ada.schedule(),
        date_overrides: vec![own((2026, 11, 25), &[]), own((2026, 11, 28), &[((10, 0), (12, 0))])],
        stays: vec![stay((2026, 11, 27), (2026, 11, 27), "America/New_York")],
        ..Default::default()
    };
    update(&world, &ada, schedule, &["date_overrides", "stays"]).await.unwrap();
    let of = types_by_schedule(&world, &ada, &[&ada.schedule(), &evenings]).await;
    let asked = with_approval(&world, &ada).await;
    let booked = world.book_type(&carl, &ada, &asked, "2026-11-23 10:00").await.unwrap().name;
    approve(&world, &ada, &booked).await;
    let pending = world.book_type(&dora, &ada, &asked, "2026-11-23 11:00").await.unwrap().name;
    // One is to be moved hither from the week after, and one from here to there.
    let next = world.book_type(&carl, &ada, &asked, "2026-12-01 10:00").await.unwrap().name;
    approve(&world, &ada, &next).await;
    world.reschedule(&carl, &next, "2026-11-26 10:00").await.unwrap();
    world.reschedule(&carl, &booked, "2026-12-02 10:00").await.unwrap();
    let hold = world.hold(&dora, holding(&ada, &of[&ada.schedule()], "2026-11-24 09:00")).await;
    let hold = hold.unwrap();
    let cancelled = world.book_type(&carl, &ada, &asked, "2026-11-24 15:00").await.unwrap().name;
    world.cancel(&carl, &cancelled).await.unwrap();
    world.time_off(&ada, "2026-11-24 12:00", "2026-11-24 14:00").await;
    world.closure(&admin, "2026-11-26 15:00", "2026-11-27 16:00").await;
    world.book(&ada, &ben, berlin("2026-11-24 16:00"), berlin("2026-11-24 16:30")).await.unwrap();

    let week = (berlin("2026-11-23 00:00"), berlin("2026-11-30 00:00"));
    let told = agrees(&world, (&ada, &ada), &of, week).await;
    let names: Vec<_> = told.appointments.iter().map(|each| &each.name).collect();
    assert_eq!(names, [&booked, &pending, &next]);
    let both = &told.appointments[2];
    assert_eq!(local(both.start_time), "2026-12-01 10:00");
    assert_eq!(local(both.move_start_time), "2026-11-26 10:00");
    assert!(told.appointments[1].expire_time.is_some() && both.move_expire_time.is_some());
    assert_eq!((&told.holds[0].name, told.holds[0].expire_time), (&hold.name, hold.expire_time));
    assert_eq!(told.holds[0].customer_display_name, dora.user.display_name);
    let attended = (berlin("2026-11-24 16:00").seconds, berlin("2026-11-24 16:30").seconds);
    assert_eq!(pairs(&told.attended_intervals), [attended]);
    assert_eq!((told.time_off.len(), told.closures.len()), (1, 1));
    // The days, with their zones and what differs from the week.
    let days: Vec<_> = told.schedules[0]
        .days
        .iter()
        .map(|day| (day.date.unwrap().day, &*day.time_zone, day.overridden, day.windows.len()))
        .collect();
    let berlin_day = |day| (day, "Europe/Berlin", false, 1);
    assert_eq!(
        days,
        [
            berlin_day(23),
            berlin_day(24),
            (25, "Europe/Berlin", true, 0),
            berlin_day(26),
            (27, "America/New_York", false, 1),
            (28, "Europe/Berlin", true, 1)
        ]
    );
    assert_eq!((&*told.schedules[1].name, told.schedules[1].days.len()), (&*evenings, 1));
    // An admin sees the same, and so does another server; a day has what reaches into it.
    assert_eq!(agrees(&world, (&ada, &admin), &of, week).await, told);
    let beside = world.beside().await;
    assert_eq!(ask(&beside, &ada, &ada, week).await.unwrap(), told);
    let noon = (berlin("2026-11-23 10:15"), berlin("2026-11-23 11:00"));
    let part = agrees(&world, (&ada, &ada), &of, noon).await;
    assert_eq!(part.appointments.iter().map(|each| &each.name).collect::<Vec<_>>(), [&booked]);
    // Free time is what GetAvailability tells, day by day.
    let request = GetAvailabilityRequest {
        provider: ada.provider(),
        start_date: Some(date((2026, 11, 23))),
        end_date: Some(date((2026, 11, 29))),
        ..Default::default()
    };
    let free = world.booking().get_availability(ada.asks(request)).await.unwrap().into_inner();
    assert_eq!(told.schedules[0].free_intervals, free.free_intervals);
    // What has ended claims nothing, written down or not.
    world.forward(chrono::TimeDelta::minutes(601));
    let ada = world.log_in(&ada.user.email).await;
    let later = agrees(&world, (&ada, &ada), &of, week).await;
    let names: Vec<_> = later.appointments.iter().map(|each| &each.name).collect();
    assert_eq!((names, later.holds.len()), (vec![&booked], 0));
    assert_eq!(later.appointments[0].move_start_time, None);
    books::check(&world.sql().await).await;
}

/// Something that happens to a provider's time, accepted or not.
async fn act(
    world: &World,
    (ada, ben, admin): (&Person, &Person, &Person),
    customers: &[Person],
    asked: &AppointmentType,
    chance: &mut Chance,
) {
    let customer = chance.of(customers);
    let five = i64::try_from(chance.below(7 * 288)).unwrap() * 300;
    let from = Timestamp { seconds: berlin("2026-11-23 00:00").seconds + five, nanos: 0 };
    let until = Timestamp { seconds: from.seconds + 1800, nanos: 0 };
    match chance.below(8) {
        0 => drop(world.time_off(ada, &local(Some(from)), &local(Some(until))).await),
        1 => drop(world.closure(admin, &local(Some(from)), &local(Some(until))).await),
        2 => drop(world.hold(customer, holding(ada, asked, &local(Some(from)))).await),
        3 => drop(world.book(ada, ben, from, until).await),
        4 => drop(world.book(customer, ada, from, until).await),
        5 => {
            let Ok(made) = world.book_type(customer, ada, asked, &local(Some(from))).await else {
                return;
            };
            approve(world, ada, &made.name).await;
            let later = Timestamp {
                seconds: from.seconds + 86_400 * i64::try_from(chance.below(9)).unwrap(),
                nanos: 0,
            };
            drop(world.reschedule(customer, &made.name, &local(Some(later))).await);
        }
        6 => {
            let request = daybook::grpc::proto::booking::BookAppointmentRequest {
                customer: customer.user.name.clone(),
                override_reason: "an emergency".to_owned(),
                ..typed(ada, asked, &local(Some(from)))
            };
            drop(world.send(ada, request).await);
        }
        _ => drop(world.book_type(customer, ada, asked, &local(Some(from))).await),
    }
}

async fn random_practices_are_told_alike(world: World) {
    let seed = std::env::var("TEST_SEED").ok().and_then(|seed| seed.parse().ok());
    let (ben, admin) = (world.provider().await, world.admin().await);
    let customers = [world.customer().await, world.customer().await, world.customer().await];
    for round in 0..rounds(2, 30) {
        let seed = seed.unwrap_or(7 + u64::try_from(round).unwrap());
        println!("TEST_SEED={seed}");
        let mut chance = Chance(seed);
        let ada = world.provider().await;
        let mut schedules = vec![ada.schedule(), world.schedule_for(&ada, "other").await];
        for name in &schedules {
            let days =
                [DayOfWeek::Monday, DayOfWeek::Tuesday, DayOfWeek::Thursday, DayOfWeek::Sunday];
            let five =
                |chance: &mut Chance, hour| (hour, i32::try_from(chance.below(12) * 5).unwrap());
            let mut windows = Vec::new();
            for day in days {
                windows.push(window(day, five(&mut chance, 0), five(&mut chance, 3)));
                windows.push(window(day, five(&mut chance, 9), five(&mut chance, 17)));
            }
            let zone = *chance.of(&["Europe/Berlin", "Asia/Kathmandu", "Pacific/Auckland"]);
            let away = *chance.of(&["Europe/London", "America/New_York", "Pacific/Auckland"]);
            let schedule = Schedule {
                name: name.clone(),
                time_zone: zone.to_owned(),
                weekly_windows: windows,
                stays: vec![stay((2026, 11, 24), (2026, 11, 25), away)],
                date_overrides: vec![own((2026, 11, 26), &[((20, 0), (24, 0))])],
                ..Default::default()
            };
            let fields = ["time_zone", "weekly_windows", "stays", "date_overrides"];
            update(&world, &ada, schedule, &fields).await.unwrap();
        }
        schedules.sort();
        let names: Vec<&str> = schedules.iter().map(String::as_str).collect();
        let of = types_by_schedule(&world, &ada, &names).await;
        let asked = with_approval(&world, &ada).await;
        for _ in 0..40 {
            act(&world, (&ada, &ben, &admin), &customers, &asked, &mut chance).await;
        }
        let start = i64::try_from(chance.below(5 * 288)).unwrap() * 300;
        let from = Timestamp { seconds: berlin("2026-11-23 00:00").seconds + start, nanos: 0 };
        for days in [1, 7, 14] {
            let until = Timestamp { seconds: from.seconds + days * 86_400, nanos: 0 };
            agrees(&world, (&ada, &ada), &of, (from, until)).await;
        }
    }
}

async fn clocks_go_forward_in_a_week(world: World) {
    let ada = world.provider().await;
    let weekly_windows = vec![window(DayOfWeek::Sunday, (1, 0), (5, 0))];
    let schedule = Schedule { name: ada.schedule(), weekly_windows, ..Default::default() };
    update(&world, &ada, schedule, &["weekly_windows"]).await.unwrap();
    let of = types_by_schedule(&world, &ada, &[&ada.schedule()]).await;
    let fortnight = (berlin("2027-03-15 00:00"), berlin("2027-03-29 00:00"));
    let told = agrees(&world, (&ada, &ada), &of, fortnight).await;
    let lengths: Vec<i64> = told.schedules[0]
        .days
        .iter()
        .flat_map(|day| pairs(&day.windows))
        .map(|(from, until)| (until - from) / 3600)
        .collect();
    assert_eq!(lengths, [4, 3]);
    assert_eq!(fortnight.1.seconds - fortnight.0.seconds, 14 * 86_400 - 3600);
}
