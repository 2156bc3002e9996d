//! Booking by appointment type: lengths, buffers, the grid, how far ahead, and what is agreed.

use daybook::grpc::proto::booking::{
    AppointmentType, BookAppointmentRequest, DateRange, GetAppointmentTypeRequest, Schedule,
    WithdrawAppointmentTypeRequest,
    appointment::State,
    appointment_type::{Horizon, Visibility},
};
use daybook::grpc::proto::google::r#type::DayOfWeek;

use super::{
    behaviours,
    schedules::{update, window},
};
use crate::support::{
    World, berlin, books,
    people::date,
    refusal::{invalid, reasons_of, refused},
    types::{holding, kind, local, minutes, typed},
};

behaviours!(
    the_length_is_one_of_the_types,
    buffers_are_part_of_the_claim,
    each_neighbour_keeps_its_own_buffers,
    starts_lie_on_the_grid,
    notice_is_kept,
    the_horizon_rolls_or_is_fixed,
    archived_types_are_not_booked,
    only_those_who_offer_a_type_are_booked_for_it,
    a_private_type_takes_its_link_code,
    intervals_are_refused_where_types_are_asked_for,
    what_was_agreed_stays_when_the_type_changes,
    an_offering_goes_by_its_schedule,
    absent_types_and_providers_are_not_found,
);

async fn the_length_is_one_of_the_types(world: World) {
    let (provider, customer) = (world.provider().await, world.customer().await);
    let both = AppointmentType {
        price: "80 EUR".to_owned(),
        place: "Room 3".to_owned(),
        ..kind(&[30, 60])
    };
    let both = world.own_type(&provider, both).await;
    let first = world.book_type(&customer, &provider, &both, "2026-11-23 09:00").await.unwrap();
    assert_eq!(first.state(), State::Booked);
    assert_eq!(first.end_time, Some(berlin("2026-11-23 09:30")));
    assert_eq!(first.appointment_type, both.name);
    assert_eq!(first.appointment_type_display_name, "First visit");
    assert_eq!((first.price.as_str(), first.place.as_str()), ("80 EUR", "Room 3"));
    assert_eq!((first.buffer_before, first.buffer_after, first.expire_time), (None, None, None));
    assert_eq!(first.local_start_time, "2026-11-23T09:00:00");

    let long = BookAppointmentRequest {
        duration: minutes(60),
        ..typed(&provider, &both, "2026-11-23 10:00")
    };
    let second = world.send(&customer, long.clone()).await.unwrap();
    assert_eq!(second.end_time, Some(berlin("2026-11-23 11:00")));
    let before = world.state().await;
    for other in [45, 90, 1, 1440] {
        let request = BookAppointmentRequest {
            duration: minutes(other),
            ..typed(&provider, &both, "2026-11-23 13:00")
        };
        invalid(world.booking().book_appointment(customer.asks(request)).await, &["duration"]);
    }
    // The end follows from the type, and the last slot ends with the window.
    let request = BookAppointmentRequest {
        end_time: Some(berlin("2026-11-23 13:30")),
        ..typed(&provider, &both, "2026-11-23 13:00")
    };
    invalid(world.booking().book_appointment(customer.asks(request)).await, &["end_time"]);
    let late = BookAppointmentRequest { start_time: Some(berlin("2026-11-23 16:30")), ..long };
    refused(world.send(&customer, late).await, "OUTSIDE_HOURS");
    assert_eq!(world.state().await, before);
    world.book_type(&customer, &provider, &both, "2026-11-23 16:30").await.unwrap();
    assert_eq!(books::check(&world.sql().await).await.len(), 3);
}

async fn buffers_are_part_of_the_claim(world: World) {
    let (provider, customer) = (world.provider().await, world.customer().await);
    let buffered = AppointmentType {
        buffer_before: minutes(10),
        buffer_after: minutes(15),
        slot_step: minutes(5),
        ..kind(&[30])
    };
    let buffered = world.own_type(&provider, buffered).await;
    let book = async |start: &str| {
        world.book_type(&customer, &provider, &buffered, &format!("2026-11-23 {start}")).await
    };
    let booked = book("11:00").await.unwrap();
    assert_eq!((booked.buffer_before, booked.buffer_after), (minutes(10), minutes(15)));
    // What the customer sees is without the buffers.
    assert_eq!(local(booked.start_time), "2026-11-23 11:00");
    assert_eq!(local(booked.end_time), "2026-11-23 11:30");
    for taken in ["11:50", "10:10", "10:30", "11:45"] {
        refused(book(taken).await, "SLOT_TAKEN");
    }
    book("11:55").await.unwrap();
    book("10:05").await.unwrap();
    // They may reach out of the windows.
    book("09:00").await.unwrap();
    book("16:30").await.unwrap();
    // A bare interval has none of its own, and may touch.
    let other = world.customer().await;
    let interval = async |from: &str, until: &str| {
        let (from, until) = (format!("2026-11-23 {from}"), format!("2026-11-23 {until}"));
        world.book(&other, &provider, berlin(&from), berlin(&until)).await
    };
    refused(interval("12:39", "12:50").await, "SLOT_TAKEN");
    interval("12:40", "12:50").await.unwrap();
    refused(interval("16:00", "16:21").await, "SLOT_TAKEN");
    interval("16:00", "16:20").await.unwrap();
    // A cancelled one gives its buffers back.
    world.cancel(&customer, &booked.name).await.unwrap();
    interval("10:50", "11:45").await.unwrap();
    assert_eq!(books::check(&world.sql().await).await.len(), 8);
}

async fn each_neighbour_keeps_its_own_buffers(world: World) {
    let (provider, customer) = (world.provider().await, world.customer().await);
    let step = minutes(5);
    let with = |before: i64, after: i64| AppointmentType {
        buffer_before: minutes(before),
        buffer_after: minutes(after),
        slot_step: step,
        ..kind(&[20])
    };
    let one = world.own_type(&provider, with(5, 25)).await;
    let two = world.own_type(&provider, with(40, 10)).await;
    world.book_type(&customer, &provider, &one, "2026-11-23 12:00").await.unwrap();
    // After it: 25 of the first and 40 of the second.
    let after = async |start| world.book_type(&customer, &provider, &two, start).await;
    refused(after("2026-11-23 13:20").await, "SLOT_TAKEN");
    after("2026-11-23 13:25").await.unwrap();
    // Before it: 10 of the first and 5 of the second.
    refused(after("2026-11-23 11:30").await, "SLOT_TAKEN");
    after("2026-11-23 11:25").await.unwrap();
    books::check(&world.sql().await).await;
}

async fn starts_lie_on_the_grid(world: World) {
    let (provider, customer) = (world.provider().await, world.customer().await);
    let windows = vec![
        window(DayOfWeek::Monday, (9, 0), (11, 0)),
        window(DayOfWeek::Monday, (13, 20), (15, 0)),
    ];
    let name = provider.schedule();
    let schedule = Schedule { name, weekly_windows: windows, ..Default::default() };
    update(&world, &provider, schedule, &["weekly_windows"]).await.unwrap();
    let gridded =
        AppointmentType { slot_step: minutes(45), grid_offset: minutes(10), ..kind(&[30]) };
    let gridded = world.own_type(&provider, gridded).await;
    let starts = world.starts_of(&customer, &gridded, "2026-11-23").await;
    assert_eq!(starts, ["09:10", "09:55", "13:30", "14:15"]);
    let before = world.state().await;
    let book = async |start: &str| {
        world.book_type(&customer, &provider, &gridded, &format!("2026-11-23 {start}")).await
    };
    for off in ["09:00", "09:11", "09:40", "13:20", "13:55"] {
        let status = refused(book(off).await, "OFF_GRID");
        assert_eq!(reasons_of(&status), ["OFF_GRID"]);
    }
    // On the grid, and too long for the window; off it, and too long; in no window.
    assert_eq!(reasons_of(&refused(book("10:40").await, "OUTSIDE_HOURS")), ["OUTSIDE_HOURS"]);
    let both = refused(book("10:45").await, "OUTSIDE_HOURS");
    assert_eq!(reasons_of(&both), ["OUTSIDE_HOURS", "OFF_GRID"]);
    assert_eq!(reasons_of(&refused(book("12:00").await, "OUTSIDE_HOURS")), ["OUTSIDE_HOURS"]);
    assert_eq!(world.state().await, before);
    // A booking never shifts the grid.
    book("09:10").await.unwrap();
    world
        .book(&customer, &provider, berlin("2026-11-23 13:20"), berlin("2026-11-23 13:31"))
        .await
        .unwrap();
    assert_eq!(world.starts_of(&customer, &gridded, "2026-11-23").await, ["09:55", "14:15"]);
    book("14:15").await.unwrap();
    books::check(&world.sql().await).await;
}

async fn notice_is_kept(world: World) {
    let (provider, customer) = (world.provider().await, world.customer().await);
    let noticed = AppointmentType { minimum_notice: minutes(24 * 60), ..kind(&[30]) };
    let noticed = world.own_type(&provider, noticed).await;
    let book = async |start: &str| world.book_type(&customer, &provider, &noticed, start).await;
    let before = world.state().await;
    let status = refused(book("2026-11-23 12:30").await, "NOTICE_TOO_SHORT");
    assert_eq!(reasons_of(&status), ["NOTICE_TOO_SHORT"]);
    let status = refused(book("2026-11-20 12:30").await, "IN_THE_PAST");
    assert_eq!(reasons_of(&status), ["IN_THE_PAST", "NOTICE_TOO_SHORT"]);
    assert_eq!(world.state().await, before);
    // Exactly so long before is soon enough.
    assert_eq!(world.starts_of(&customer, &noticed, "2026-11-23").await[0], "13:00");
    book("2026-11-23 13:00").await.unwrap();
    world.move_to("2026-11-22 13:30:01", "Europe/Berlin");
    refused(book("2026-11-23 13:30").await, "NOTICE_TOO_SHORT");
    assert_eq!(world.starts_of(&customer, &noticed, "2026-11-23").await[0], "14:00");
    // It is about booking: what was booked in time stays bookable by hold.
    world.move_to("2026-11-22 14:00", "Europe/Berlin");
    let hold = world.hold(&customer, holding(&provider, &noticed, "2026-11-23 14:00")).await;
    world.move_to("2026-11-22 14:03", "Europe/Berlin");
    world.book_hold(&customer, &hold.unwrap()).await.unwrap();
    books::check(&world.sql().await).await;
}

async fn the_horizon_rolls_or_is_fixed(world: World) {
    let (provider, customer) = (world.provider().await, world.customer().await);
    let rolling = AppointmentType { horizon: Some(Horizon::RollingDays(1)), ..kind(&[30]) };
    let rolling = world.own_type(&provider, rolling).await;
    let book = async |of: &AppointmentType, start: &str| {
        world.book_type(&customer, &provider, of, start).await
    };
    let status = refused(book(&rolling, "2026-11-24 09:00").await, "BEYOND_HORIZON");
    assert_eq!(reasons_of(&status), ["BEYOND_HORIZON"]);
    assert_eq!(world.starts_of(&customer, &rolling, "2026-11-23").await.len(), 16);
    assert_eq!(world.starts_of(&customer, &rolling, "2026-11-24").await.len(), 0);
    book(&rolling, "2026-11-23 16:30").await.unwrap();
    // Midnight in the provider's zone is what moves it.
    world.move_to("2026-11-22 23:59:59", "Europe/Berlin");
    refused(book(&rolling, "2026-11-24 09:00").await, "BEYOND_HORIZON");
    world.move_to("2026-11-23 00:00", "Europe/Berlin");
    book(&rolling, "2026-11-24 16:30").await.unwrap();
    refused(book(&rolling, "2026-11-25 09:00").await, "BEYOND_HORIZON");

    let range =
        DateRange { start_date: Some(date((2026, 11, 25))), end_date: Some(date((2026, 11, 26))) };
    let fixed = AppointmentType { horizon: Some(Horizon::FixedWindow(range)), ..kind(&[30]) };
    let fixed = world.own_type(&provider, fixed).await;
    for outside in ["2026-11-24 09:00", "2026-11-27 09:00", "2026-12-02 09:00"] {
        refused(book(&fixed, outside).await, "BEYOND_HORIZON");
    }
    book(&fixed, "2026-11-25 09:00").await.unwrap();
    book(&fixed, "2026-11-26 16:30").await.unwrap();
    let status = refused(book(&fixed, "2026-11-28 09:00").await, "BEYOND_HORIZON");
    assert_eq!(reasons_of(&status), ["BEYOND_HORIZON", "OUTSIDE_HOURS"]);
    books::check(&world.sql().await).await;
}

async fn archived_types_are_not_booked(world: World) {
    let (provider, customer) = (world.provider().await, world.customer().await);
    let old = world.own_type(&provider, kind(&[30])).await;
    let kept = world.book_type(&customer, &provider, &old, "2026-11-23 09:00").await.unwrap();
    world.archive(&provider, &old, true).await;
    let before = world.state().await;
    for start in ["2026-11-23 10:00", "2026-11-23 09:00", "2026-11-23 03:00"] {
        refused(world.book_type(&customer, &provider, &old, start).await, "TYPE_ARCHIVED");
        let hold = holding(&provider, &old, start);
        refused(world.hold(&customer, hold).await, "TYPE_ARCHIVED");
    }
    assert_eq!(world.state().await, before);
    assert_eq!(world.starts_of(&customer, &old, "2026-11-23").await.len(), 0);
    assert_eq!(world.get(&customer, &kept.name).await.unwrap(), kept);
    world.archive(&provider, &old, false).await;
    world.book_type(&customer, &provider, &old, "2026-11-23 10:00").await.unwrap();
}

async fn only_those_who_offer_a_type_are_booked_for_it(world: World) {
    let (one, two, customer, admin) = (
        world.provider().await,
        world.provider().await,
        world.customer().await,
        world.admin().await,
    );
    let shared = world.shared_type(&admin, kind(&[30]), &[&one]).await;
    let before = world.state().await;
    refused(world.book_type(&customer, &two, &shared, "2026-11-23 09:00").await, "NOT_OFFERED");
    let hold = holding(&two, &shared, "2026-11-23 09:00");
    refused(world.hold(&customer, hold).await, "NOT_OFFERED");
    assert_eq!(world.state().await, before);
    let kept = world.book_type(&customer, &one, &shared, "2026-11-23 09:00").await.unwrap();
    world.offer(&admin, &shared, &two, "").await;
    world.book_type(&customer, &two, &shared, "2026-11-23 09:30").await.unwrap();
    let request = WithdrawAppointmentTypeRequest {
        appointment_type: shared.name.clone(),
        provider: one.provider(),
        ..Default::default()
    };
    world.catalogue().withdraw_appointment_type(one.asks(request)).await.unwrap();
    refused(world.book_type(&customer, &one, &shared, "2026-11-23 10:00").await, "NOT_OFFERED");
    assert_eq!(world.get(&customer, &kept.name).await.unwrap(), kept);
    // Nobody is their own customer.
    refused(world.book_type(&two, &two, &shared, "2026-11-23 10:00").await, "OWN_TIME");
    world.book_type(&one, &two, &shared, "2026-11-23 10:00").await.unwrap();
}

async fn a_private_type_takes_its_link_code(world: World) {
    let (provider, customer) = (world.provider().await, world.customer().await);
    let secret = AppointmentType { visibility: Visibility::PrivateLink.into(), ..kind(&[30]) };
    let secret = world.own_type(&provider, secret).await;
    assert!(!secret.link_code.is_empty());
    let with = |code: &str, start: &str| BookAppointmentRequest {
        link_code: code.to_owned(),
        ..typed(&provider, &secret, start)
    };
    let before = world.state().await;
    let longer = format!("{}x", secret.link_code);
    for wrong in ["", "x", &longer, &secret.link_code[1..], &secret.link_code.to_lowercase()] {
        refused(world.send(&customer, with(wrong, "2026-11-23 09:00")).await, "NOT_FOUND");
    }
    let request = GetAppointmentTypeRequest { name: secret.name.clone(), ..Default::default() };
    refused(world.catalogue().get_appointment_type(customer.asks(request)).await, "NOT_FOUND");
    assert_eq!(world.state().await, before);
    world.send(&customer, with(&secret.link_code, "2026-11-23 09:00")).await.unwrap();
    // Those who manage it need none.
    let request = BookAppointmentRequest {
        customer: customer.user.name.clone(),
        ..with("", "2026-11-23 10:00")
    };
    world.send(&provider, request).await.unwrap();
}

async fn intervals_are_refused_where_types_are_asked_for(world: World) {
    let (provider, customer) = (world.provider().await, world.customer().await);
    let (start, end) = (berlin("2026-11-23 10:00"), berlin("2026-11-23 10:30"));
    world.book(&customer, &provider, start, end).await.unwrap();
    let only = world.own_type(&provider, kind(&[30])).await;
    let accepting = async |accepts: bool| {
        let schedule = Schedule {
            name: provider.schedule(),
            accepts_intervals: Some(accepts),
            ..Default::default()
        };
        update(&world, &provider, schedule, &["accepts_intervals"]).await.unwrap();
    };
    accepting(false).await;
    let (start, end) = (berlin("2026-11-23 11:00"), berlin("2026-11-23 11:30"));
    let before = world.state().await;
    refused(world.book(&customer, &provider, start, end).await, "INTERVALS_NOT_ACCEPTED");
    let hold = daybook::grpc::proto::booking::HoldSlotRequest {
        provider: provider.provider(),
        start_time: Some(start),
        end_time: Some(end),
        ..Default::default()
    };
    refused(world.hold(&customer, hold).await, "INTERVALS_NOT_ACCEPTED");
    assert_eq!(world.state().await, before);
    let free = world.availability(&customer, &provider, (2026, 11, 23)).await;
    assert!(free.slots.is_empty());
    world.book_type(&customer, &provider, &only, "2026-11-23 11:00").await.unwrap();
    accepting(true).await;
    let (start, end) = (berlin("2026-11-23 12:00"), berlin("2026-11-23 12:30"));
    world.book(&customer, &provider, start, end).await.unwrap();
    books::check(&world.sql().await).await;
}

async fn what_was_agreed_stays_when_the_type_changes(world: World) {
    let (provider, customer) = (world.provider().await, world.customer().await);
    let first = AppointmentType {
        price: "80 EUR".to_owned(),
        place: "Room 3".to_owned(),
        buffer_after: minutes(30),
        slot_step: minutes(30),
        ..kind(&[60])
    };
    let first = world.own_type(&provider, first).await;
    let old = world.book_type(&customer, &provider, &first, "2026-11-23 09:00").await.unwrap();
    let changed = AppointmentType {
        display_name: "Second visit".to_owned(),
        price: "90 EUR".to_owned(),
        place: "Room 4".to_owned(),
        durations: kind(&[30]).durations,
        buffer_before: minutes(5),
        buffer_after: None,
        requires_approval: true,
        ..first
    };
    let fields = [
        "display_name",
        "price",
        "place",
        "durations",
        "buffer_before",
        "buffer_after",
        "requires_approval",
    ];
    let changed = world.change_type(&provider, changed, &fields).await;
    for person in [&customer, &provider] {
        assert_eq!(world.get(person, &old.name).await.unwrap(), old);
    }
    // The old one's buffer still counts: until 10:30, and 5 minutes of the new one.
    let book = async |start: &str| world.book_type(&customer, &provider, &changed, start).await;
    refused(book("2026-11-23 10:30").await, "SLOT_TAKEN");
    let new = book("2026-11-23 11:00").await.unwrap();
    assert_eq!(new.state(), State::Pending);
    assert_eq!(new.appointment_type_display_name, "Second visit");
    assert_eq!((new.price.as_str(), new.place.as_str()), ("90 EUR", "Room 4"));
    assert_eq!((new.buffer_before, new.buffer_after), (minutes(5), None));
    books::check(&world.sql().await).await;
}

async fn an_offering_goes_by_its_schedule(world: World) {
    let (provider, customer, admin) =
        (world.provider().await, world.customer().await, world.admin().await);
    let name = world.schedule_for(&provider, "evenings").await;
    let windows = vec![window(DayOfWeek::Monday, (18, 0), (20, 0))];
    let schedule = Schedule { name: name.clone(), weekly_windows: windows, ..Default::default() };
    update(&world, &provider, schedule, &["weekly_windows"]).await.unwrap();
    let late = world.shared_type(&admin, kind(&[60]), &[]).await;
    world.offer(&admin, &late, &provider, &name).await;
    // The named schedule is in UTC: an hour earlier than in Berlin.
    assert_eq!(world.starts_of(&customer, &late, "2026-11-23").await, ["19:00", "20:00"]);
    let book = async |start| world.book_type(&customer, &provider, &late, start).await;
    refused(book("2026-11-23 09:00").await, "OUTSIDE_HOURS");
    refused(book("2026-11-23 18:00").await, "OUTSIDE_HOURS");
    let booked = book("2026-11-23 19:00").await.unwrap();
    assert_eq!(booked.local_start_time, "2026-11-23T18:00:00");
    assert_eq!(booked.time_zone, "UTC");
    // Bare intervals go by the default one.
    let (start, end) = (berlin("2026-11-23 20:00"), berlin("2026-11-23 20:30"));
    refused(world.book(&customer, &provider, start, end).await, "OUTSIDE_HOURS");
    // And offered by the default one, so does the type.
    world.offer(&provider, &late, &provider, "").await;
    refused(book("2026-11-23 20:00").await, "OUTSIDE_HOURS");
    book("2026-11-23 09:00").await.unwrap();
    books::check(&world.sql().await).await;
}

async fn absent_types_and_providers_are_not_found(world: World) {
    let (provider, customer) = (world.provider().await, world.customer().await);
    let there = world.own_type(&provider, kind(&[30])).await;
    let absent = "appointmentTypes/01980000-0000-7000-8000-000000000000".to_owned();
    let absent = AppointmentType { name: absent, ..there.clone() };
    let nobody = world.customer().await;
    let before = world.state().await;
    refused(world.book_type(&customer, &provider, &absent, "2026-11-23 09:00").await, "NOT_FOUND");
    refused(world.book_type(&customer, &customer, &there, "2026-11-23 09:00").await, "OWN_TIME");
    refused(world.book_type(&customer, &nobody, &there, "2026-11-23 09:00").await, "NOT_FOUND");
    assert_eq!(world.state().await, before);
}
