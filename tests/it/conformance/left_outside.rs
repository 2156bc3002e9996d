//! What a change of the schedules leaves outside the hours, or takes the time of, is told: as a warning, by name and time.

use daybook::grpc::proto::{
    booking::{
        Appointment, AppointmentType, ApproveAppointmentRequest, Closure, CreateClosureRequest,
        CreateTimeOffRequest, Hold, OfferAppointmentTypeRequest, Schedule, TimeOff, TouchedTime,
        UpdateScheduleRequest, UpdateScheduleResponse, touched_time::Kind,
    },
    google::r#type::DayOfWeek,
};
use prost_types::FieldMask;

use super::{
    behaviours,
    calendar_bounds::book_many,
    overrides::{own, stay},
    schedules::window,
};
use crate::support::{
    World, berlin, books,
    people::{Person, uuid},
    types::{holding, kind, local, minutes},
};

behaviours!(
    what_lies_outside_the_new_hours_is_told,
    each_schedule_tells_what_goes_by_it,
    overrides_stays_and_zones_leave_things_outside,
    the_first_hundred_outside_are_told_and_all_counted,
    time_off_and_closures_tell_requests_moves_and_holds,
    an_offering_by_another_schedule_tells_what_it_leaves_outside,
);

async fn change(
    world: &World,
    caller: &Person,
    schedule: Schedule,
    fields: &[&str],
    request_id: &str,
) -> UpdateScheduleResponse {
    let paths = fields.iter().map(|field| (*field).to_owned()).collect();
    let request = UpdateScheduleRequest {
        schedule: Some(schedule),
        update_mask: Some(FieldMask { paths }),
        request_id: request_id.to_owned(),
    };
    world.schedule().update_schedule(caller.asks(request)).await.unwrap().into_inner()
}

/// Open on weekdays between two hours, by the schedule with this name.
fn hours(name: &str, from: i32, until: i32) -> Schedule {
    use DayOfWeek::{Friday, Monday, Thursday, Tuesday, Wednesday};
    let days = [Monday, Tuesday, Wednesday, Thursday, Friday];
    Schedule {
        name: name.to_owned(),
        weekly_windows: days.map(|day| window(day, (from, 0), (until, 0))).to_vec(),
        ..Default::default()
    }
}

/// Kind, name and start.
fn told(times: &[TouchedTime]) -> Vec<(Kind, &str, String)> {
    let mut told = Vec::new();
    for each in times {
        let name = if each.kind() == Kind::Hold { &each.hold } else { &each.appointment };
        told.push((each.kind(), name.as_str(), local(each.start_time)));
    }
    told
}

async fn book(world: &World, customer: &Person, provider: &Person, start: &str) -> Appointment {
    let start = berlin(start);
    let end = prost_types::Timestamp { seconds: start.seconds + 1800, nanos: 0 };
    world.book(customer, provider, start, end).await.unwrap()
}

/// A request, an approved one that its customer asks to move, and a hold, of a type of the provider's.
async fn asked_for(
    world: &World,
    ada: &Person,
    customer: &Person,
    (request, agreed, moved, held): (&str, &str, &str, &str),
) -> (String, String, Hold) {
    let asked =
        AppointmentType { requires_approval: true, request_expiry: minutes(600), ..kind(&[30]) };
    let asked = world.own_type(ada, asked).await;
    let pending = world.book_type(customer, ada, &asked, request).await.unwrap().name;
    let name = world.book_type(customer, ada, &asked, agreed).await.unwrap().name;
    let approve = ApproveAppointmentRequest { name: name.clone(), ..Default::default() };
    world.booking().approve_appointment(ada.asks(approve)).await.unwrap();
    world.reschedule(customer, &name, moved).await.unwrap();
    let hold = world.hold(customer, holding(ada, &asked, held)).await.unwrap();
    (pending, name, hold)
}

async fn what_lies_outside_the_new_hours_is_told(world: World) {
    let (ada, carl, admin) = (world.provider().await, world.customer().await, world.admin().await);
    book(&world, &carl, &ada, "2026-11-23 09:00").await;
    let inside = book(&world, &carl, &ada, "2026-11-24 15:30").await;
    let reaches_out = book(&world, &carl, &ada, "2026-11-24 16:00").await;
    let cancelled = book(&world, &carl, &ada, "2026-11-24 16:30").await.name;
    world.cancel(&carl, &cancelled).await.unwrap();
    let times = ("2026-11-25 16:30", "2026-11-26 10:00", "2026-11-26 16:30", "2026-11-27 16:30");
    let (pending, moved, hold) = asked_for(&world, &ada, &carl, times).await;
    let first = uuid();
    let schedule = || hours(&ada.schedule(), 9, 16);
    let answer = change(&world, &ada, schedule(), &["weekly_windows"], &first).await;
    let expected = [
        (Kind::Appointment, &*reaches_out.name, "2026-11-24 16:00".to_owned()),
        (Kind::Request, &*pending, "2026-11-25 16:30".to_owned()),
        (Kind::Move, &*moved, "2026-11-26 16:30".to_owned()),
        (Kind::Hold, &*hold.name, "2026-11-27 16:30".to_owned()),
    ];
    assert_eq!(told(&answer.outside_times), expected);
    assert_eq!(answer.outside_count, 4);
    assert_eq!(answer.outside_times[0].end_time, reaches_out.end_time);
    assert_eq!(answer.outside_times[0].expire_time, None);
    assert_eq!(answer.outside_times[3].expire_time, hold.expire_time);
    assert!(answer.outside_times[1].expire_time.is_some());
    // Nothing is changed of them, and a retry is answered the same.
    assert_eq!(world.get(&carl, &inside.name).await.unwrap(), inside);
    assert_eq!(world.get(&carl, &reaches_out.name).await.unwrap(), reaches_out);
    assert_eq!(change(&world, &ada, schedule(), &["weekly_windows"], &first).await, answer);
    // Of other fields nothing is told.
    let slots = Schedule { slot_duration: minutes(15), ..schedule() };
    let answer = change(&world, &ada, slots, &["slot_duration"], "").await;
    assert_eq!((answer.outside_times.len(), answer.outside_count), (0, 0));
    // What has ended is not told: the hold by its expiry, others by the clock.
    world.move_to("2026-11-24 16:15", "Europe/Berlin");
    let admin = world.log_in(&admin.user.email).await;
    let answer = change(&world, &admin, schedule(), &["weekly_windows"], "").await;
    assert_eq!(told(&answer.outside_times), expected[..1]);
    world.move_to("2026-11-24 16:30", "Europe/Berlin");
    let answer = change(&world, &admin, schedule(), &["weekly_windows"], "").await;
    assert_eq!(answer.outside_count, 0);
    books::check(&world.sql().await).await;
}

async fn each_schedule_tells_what_goes_by_it(world: World) {
    let (ada, carl) = (world.provider().await, world.customer().await);
    let mondays = world.schedule_for(&ada, "mondays").await;
    let by_default = world.own_type(&ada, kind(&[30])).await;
    let by_mondays = world.own_type(&ada, kind(&[30])).await;
    world.offer(&ada, &by_mondays, &ada, &mondays).await;
    let bare = book(&world, &carl, &ada, "2026-11-23 13:00").await.name;
    let one = world.book_type(&carl, &ada, &by_default, "2026-11-23 14:00").await.unwrap().name;
    let two = world.book_type(&carl, &ada, &by_mondays, "2026-11-23 15:00").await.unwrap().name;
    let answer = change(&world, &ada, hours(&ada.schedule(), 9, 12), &["weekly_windows"], "").await;
    let names = |answer: &UpdateScheduleResponse| -> Vec<String> {
        answer.outside_times.iter().map(|each| each.appointment.clone()).collect()
    };
    assert_eq!(names(&answer), [bare.clone(), one.clone()]);
    let answer = change(&world, &ada, hours(&mondays, 9, 12), &["weekly_windows"], "").await;
    assert_eq!(names(&answer), std::slice::from_ref(&two));
    // What is offered no more goes by the default hours.
    super::offerings::withdraw(&world, &ada, &by_mondays, &ada).await.unwrap();
    let answer = change(&world, &ada, hours(&ada.schedule(), 9, 12), &["weekly_windows"], "").await;
    assert_eq!(names(&answer), [bare, one, two]);
}

async fn overrides_stays_and_zones_leave_things_outside(world: World) {
    let (ada, carl) = (world.provider().await, world.customer().await);
    let name = book(&world, &carl, &ada, "2026-11-24 09:30").await.name;
    let of = |schedule: Schedule| Schedule { name: ada.schedule(), ..schedule };
    let closed = vec![own((2026, 11, 24), &[])];
    let moved = vec![own((2026, 11, 24), &[((9, 0), (10, 0))])];
    let away = vec![stay((2026, 11, 24), (2026, 11, 24), "America/New_York")];
    let zoned = |zone: &str| Schedule { time_zone: zone.to_owned(), ..Default::default() };
    for (schedule, field, count) in [
        (Schedule { date_overrides: closed, ..Default::default() }, "date_overrides", 1),
        (Schedule { date_overrides: moved, ..Default::default() }, "date_overrides", 0),
        (Schedule { stays: away, ..Default::default() }, "stays", 1),
        (Schedule::default(), "stays", 0),
        (zoned("Asia/Tokyo"), "time_zone", 1),
        (zoned("Europe/Paris"), "time_zone", 0),
        (Schedule::default(), "weekly_windows", 0),
        (Schedule::default(), "date_overrides", 1),
    ] {
        let answer = change(&world, &ada, of(schedule), &[field], "").await;
        assert_eq!(answer.outside_count, count, "{field}");
        assert!(answer.outside_times.iter().all(|each| each.appointment == name));
    }
}

async fn the_first_hundred_outside_are_told_and_all_counted(world: World) {
    let (ada, carl) = (world.provider().await, world.customer().await);
    book_many(&world, &ada, &carl, 130, "").await;
    let closed = Schedule { name: ada.schedule(), ..Default::default() };
    let answer = change(&world, &ada, closed, &["weekly_windows"], "").await;
    assert_eq!((answer.outside_times.len(), answer.outside_count), (100, 130));
    let starts: Vec<_> =
        answer.outside_times.iter().map(|each| each.start_time.unwrap().seconds).collect();
    assert!(starts.is_sorted() && starts[0] == berlin("2026-11-24 00:00").seconds);
}

async fn time_off_and_closures_tell_requests_moves_and_holds(world: World) {
    let (ada, ben, admin) = (world.provider().await, world.provider().await, world.admin().await);
    let carl = world.customer().await;
    let booked = book(&world, &carl, &ada, "2026-11-24 09:00").await.name;
    let times = ("2026-11-24 10:00", "2026-11-25 10:00", "2026-11-24 11:00", "2026-11-24 12:00");
    let (pending, moved, hold) = asked_for(&world, &ada, &carl, times).await;
    // What Ada attends is not hers to look after.
    book(&world, &ada, &ben, "2026-11-24 13:00").await;
    let at = |kind, name, time: &str| (kind, name, format!("2026-11-24 {time}"));
    let expected = [
        at(Kind::Appointment, &*booked, "09:00"),
        at(Kind::Request, &*pending, "10:00"),
        at(Kind::Move, &*moved, "11:00"),
        at(Kind::Hold, &*hold.name, "12:00"),
    ];
    let (start_time, end_time) =
        (Some(berlin("2026-11-24 00:00")), Some(berlin("2026-11-25 00:00")));
    let off = TimeOff { start_time, end_time, ..Default::default() };
    let request = || CreateTimeOffRequest {
        parent: ada.provider(),
        time_off: Some(off.clone()),
        ..Default::default()
    };
    let taken = world.schedule().create_time_off(ada.asks(request())).await.unwrap().into_inner();
    assert_eq!(told(&taken.touched_times), expected);
    assert_eq!(taken.touched_time_count, 4);
    // As before: the appointments by the time that is agreed.
    assert_eq!(taken.touched_appointments, [booked.clone(), pending.clone()]);
    assert_eq!(taken.touched_count, 2);
    assert_eq!(taken.touched_times[3].expire_time, hold.expire_time);
    let closure = Closure { start_time, end_time, ..Default::default() };
    let request = CreateClosureRequest { closure: Some(closure), ..Default::default() };
    let closed = world.schedule().create_closure(admin.asks(request)).await.unwrap().into_inner();
    let of_ada: Vec<_> = told(&closed.touched_times)
        .into_iter()
        .filter(|(_, name, _)| name.starts_with(&ada.provider()))
        .collect();
    assert_eq!(of_ada, expected);
    assert_eq!(closed.touched_time_count, 5);
    // The hold has ended, and nobody wrote it down.
    world.forward(chrono::TimeDelta::minutes(5));
    let taken = {
        let request = CreateTimeOffRequest {
            parent: ada.provider(),
            time_off: Some(off),
            ..Default::default()
        };
        world.schedule().create_time_off(ada.asks(request)).await.unwrap().into_inner()
    };
    assert_eq!(told(&taken.touched_times), expected[..3]);
}

async fn an_offering_by_another_schedule_tells_what_it_leaves_outside(world: World) {
    let (ada, carl) = (world.provider().await, world.customer().await);
    // In UTC, where it is an hour earlier.
    let mondays = world.schedule_for(&ada, "mondays").await;
    change(&world, &ada, hours(&mondays, 11, 15), &["weekly_windows"], "").await;
    let of_type = world.own_type(&ada, kind(&[30])).await;
    let another = world.own_type(&ada, kind(&[30])).await;
    let at = async |kind: &AppointmentType, start: &str| {
        world.book_type(&carl, &ada, kind, start).await.unwrap().name
    };
    let (early, reaches_out) =
        (at(&of_type, "2026-11-24 09:00").await, at(&of_type, "2026-11-24 16:00").await);
    at(&of_type, "2026-11-24 12:00").await;
    at(&of_type, "2026-11-24 15:30").await;
    // Of another type, and of none.
    at(&another, "2026-11-24 10:00").await;
    book(&world, &carl, &ada, "2026-11-24 11:00").await;
    let hold = world.hold(&carl, holding(&ada, &of_type, "2026-11-24 16:30")).await.unwrap();
    let offer = async |schedule: &str, request_id: &str| {
        let request = OfferAppointmentTypeRequest {
            appointment_type: of_type.name.clone(),
            provider: ada.provider(),
            schedule: schedule.to_owned(),
            request_id: request_id.to_owned(),
        };
        world.catalogue().offer_appointment_type(ada.asks(request)).await.unwrap().into_inner()
    };
    let first = uuid();
    let answer = offer(&mondays, &first).await;
    let expected = [
        (Kind::Appointment, &*early, "2026-11-24 09:00".to_owned()),
        (Kind::Appointment, &*reaches_out, "2026-11-24 16:00".to_owned()),
        (Kind::Hold, &*hold.name, "2026-11-24 16:30".to_owned()),
    ];
    assert_eq!(told(&answer.outside_times), expected);
    assert_eq!(answer.outside_count, 3);
    assert_eq!(answer.offering.as_ref().unwrap().schedule, mondays);
    // A retry is answered the same. Nothing is told where nothing changes, nor where all of it lies inside.
    assert_eq!(offer(&mondays, &first).await, answer);
    for schedule in [mondays.as_str(), ""] {
        let answer = offer(schedule, "").await;
        assert_eq!((answer.outside_times.len(), answer.outside_count), (0, 0), "{schedule}");
    }
    // Where it is offered anew it is told as well.
    super::offerings::withdraw(&world, &ada, &of_type, &ada).await.unwrap();
    assert_eq!(told(&offer(&mondays, "").await.outside_times), expected);
    books::check(&world.sql().await).await;
}
