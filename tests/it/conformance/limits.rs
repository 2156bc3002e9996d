//! How much of a type is booked: by local day, by local week, and by customer.

use daybook::grpc::proto::{
    auth::Role,
    booking::{
        AppointmentType, BookAppointmentRequest, BookingLimits, CompleteAppointmentRequest,
        MarkNoShowRequest, Schedule,
    },
};
use futures_util::future::join;

use super::{behaviours, overrides::own, schedules::update};
use crate::support::{
    World, at, berlin, books,
    people::{Person, sign_up},
    refusal::{reasons_of, refused},
    types::{holding, kind, minutes, typed},
};

behaviours!(
    a_day_has_room_for_so_many,
    a_day_is_the_providers,
    a_week_begins_on_monday,
    minutes_are_counted_as_well,
    what_is_over_counts_and_what_was_cancelled_does_not,
    each_type_has_its_own_limits,
    holds_and_requests_take_room,
    a_customer_has_so_many_open_ones,
    two_bookings_at_once_do_not_pass_the_limit_together,
    moving_counts_an_appointment_once,
);

fn limited(limits: BookingLimits, lengths: &[i64]) -> AppointmentType {
    AppointmentType { limits: Some(limits), slot_step: minutes(30), ..kind(lengths) }
}

fn per_day(most: i32) -> BookingLimits {
    BookingLimits { per_provider_day: most, ..Default::default() }
}

async fn a_day_has_room_for_so_many(world: World) {
    let (provider, customer) = (world.provider().await, world.customer().await);
    let two = world.own_type(&provider, limited(per_day(2), &[30])).await;
    let book = async |start| world.book_type(&customer, &provider, &two, start).await;
    book("2026-11-23 09:00").await.unwrap();
    let second = book("2026-11-23 16:30").await.unwrap();
    let before = world.state().await;
    let status = refused(book("2026-11-23 12:00").await, "DAY_LIMIT");
    assert_eq!(reasons_of(&status), ["DAY_LIMIT"]);
    // Rules are told before that the time is taken.
    refused(book("2026-11-23 09:00").await, "DAY_LIMIT");
    assert_eq!(world.state().await, before);
    assert_eq!(world.starts_of(&customer, &two, "2026-11-23").await.len(), 0);
    assert_eq!(world.starts_of(&customer, &two, "2026-11-24").await.len(), 16);
    book("2026-11-24 09:00").await.unwrap();
    world.cancel(&customer, &second.name).await.unwrap();
    assert_eq!(world.starts_of(&customer, &two, "2026-11-23").await.len(), 15);
    book("2026-11-23 12:00").await.unwrap();
    refused(book("2026-11-23 12:30").await, "DAY_LIMIT");
    books::check(&world.sql().await).await;
}

async fn a_day_is_the_providers(world: World) {
    const ZONE: &str = "America/Los_Angeles";
    let request = daybook::grpc::proto::auth::SignUpRequest {
        time_zone: ZONE.to_owned(),
        ..sign_up(Role::Provider)
    };
    let email = request.email.clone();
    world.auth().sign_up(request).await.unwrap();
    let (provider, customer) = (world.log_in(&email).await, world.customer().await);
    let two = world.own_type(&provider, limited(per_day(2), &[30])).await;
    let book = async |start: &str| {
        let start_time = Some(at(start, ZONE));
        let request = typed(&provider, &two, "2026-11-23 09:00");
        world.send(&customer, BookAppointmentRequest { start_time, ..request }).await
    };
    // The last hour of that day is of the next day in UTC.
    book("2026-11-23 09:00").await.unwrap();
    book("2026-11-23 16:30").await.unwrap();
    refused(book("2026-11-23 16:00").await, "DAY_LIMIT");
    refused(book("2026-11-23 12:00").await, "DAY_LIMIT");
    book("2026-11-24 09:00").await.unwrap();
    book("2026-11-24 12:00").await.unwrap();
    refused(book("2026-11-24 16:30").await, "DAY_LIMIT");
}

async fn a_week_begins_on_monday(world: World) {
    let (provider, customer) = (world.provider().await, world.customer().await);
    let days = [(2026, 11, 29), (2026, 12, 6)].map(|day| own(day, &[((0, 0), (24, 0))]));
    let name = provider.schedule();
    let schedule = Schedule { name, date_overrides: days.to_vec(), ..Default::default() };
    update(&world, &provider, schedule, &["date_overrides"]).await.unwrap();
    let limits = BookingLimits { per_provider_week: 2, ..Default::default() };
    let two = world.own_type(&provider, limited(limits, &[30])).await;
    let book = async |start| world.book_type(&customer, &provider, &two, start).await;
    book("2026-11-23 09:00").await.unwrap();
    book("2026-11-29 23:30").await.unwrap();
    for full in ["2026-11-23 12:00", "2026-11-27 12:00", "2026-11-29 00:00", "2026-11-29 23:00"] {
        let status = refused(book(full).await, "WEEK_LIMIT");
        assert_eq!(reasons_of(&status), ["WEEK_LIMIT"]);
    }
    book("2026-11-30 09:00").await.unwrap();
    book("2026-12-06 00:00").await.unwrap();
    refused(book("2026-12-04 09:00").await, "WEEK_LIMIT");
    books::check(&world.sql().await).await;
}

async fn minutes_are_counted_as_well(world: World) {
    let (provider, customer) = (world.provider().await, world.customer().await);
    let limits = BookingLimits {
        time_per_provider_day: minutes(90),
        time_per_provider_week: minutes(150),
        ..Default::default()
    };
    let timed = world.own_type(&provider, limited(limits, &[60, 30])).await;
    let book = async |start, length| {
        let request =
            BookAppointmentRequest { duration: minutes(length), ..typed(&provider, &timed, start) };
        world.send(&customer, request).await
    };
    book("2026-11-23 09:00", 60).await.unwrap();
    refused(book("2026-11-23 11:00", 60).await, "DAY_LIMIT");
    assert_eq!(world.starts_of(&customer, &timed, "2026-11-23").await.len(), 0);
    book("2026-11-23 11:00", 30).await.unwrap();
    refused(book("2026-11-23 14:00", 30).await, "DAY_LIMIT");
    book("2026-11-24 11:00", 30).await.unwrap();
    // The day has room for an hour more, the week has not.
    let status = refused(book("2026-11-24 13:00", 60).await, "WEEK_LIMIT");
    assert_eq!(reasons_of(&status), ["WEEK_LIMIT"]);
    book("2026-11-25 11:00", 30).await.unwrap();
    let status = refused(book("2026-11-23 15:00", 30).await, "DAY_LIMIT");
    assert_eq!(reasons_of(&status), ["DAY_LIMIT", "WEEK_LIMIT"]);
    book("2026-11-30 11:00", 60).await.unwrap();
}

async fn what_is_over_counts_and_what_was_cancelled_does_not(world: World) {
    let (provider, customer) = (world.provider().await, world.customer().await);
    let three = world.own_type(&provider, limited(per_day(3), &[30])).await;
    let book = async |start| world.book_type(&customer, &provider, &three, start).await;
    let first = book("2026-11-23 09:00").await.unwrap().name;
    let second = book("2026-11-23 09:30").await.unwrap().name;
    let third = book("2026-11-23 10:00").await.unwrap().name;
    world.cancel(&customer, &third).await.unwrap();
    world.move_to("2026-11-23 10:30", "Europe/Berlin");
    let request = CompleteAppointmentRequest { name: first, ..Default::default() };
    world.booking().complete_appointment(provider.asks(request)).await.unwrap();
    let request = MarkNoShowRequest { name: second, ..Default::default() };
    world.booking().mark_no_show(provider.asks(request)).await.unwrap();
    book("2026-11-23 11:00").await.unwrap();
    refused(book("2026-11-23 11:30").await, "DAY_LIMIT");
}

async fn each_type_has_its_own_limits(world: World) {
    let (provider, customer) = (world.provider().await, world.customer().await);
    let one = world.own_type(&provider, limited(per_day(1), &[30])).await;
    let two = world.own_type(&provider, limited(per_day(1), &[30])).await;
    let (start, end) = (berlin("2026-11-23 09:00"), berlin("2026-11-23 09:30"));
    world.book(&customer, &provider, start, end).await.unwrap();
    world.book_type(&customer, &provider, &one, "2026-11-23 10:00").await.unwrap();
    world.book_type(&customer, &provider, &two, "2026-11-23 10:30").await.unwrap();
    refused(world.book_type(&customer, &provider, &two, "2026-11-23 11:00").await, "DAY_LIMIT");
}

async fn holds_and_requests_take_room(world: World) {
    let (provider, customer) = (world.provider().await, world.customer().await);
    let asked = AppointmentType {
        requires_approval: true,
        request_expiry: minutes(10),
        ..limited(per_day(2), &[30])
    };
    let asked = world.own_type(&provider, asked).await;
    let book = async |start| world.book_type(&customer, &provider, &asked, start).await;
    world.hold(&customer, holding(&provider, &asked, "2026-11-23 09:00")).await.unwrap();
    book("2026-11-23 10:00").await.unwrap();
    refused(book("2026-11-23 11:00").await, "DAY_LIMIT");
    let other = world.customer().await;
    assert_eq!(world.starts_of(&other, &asked, "2026-11-23").await.len(), 0);
    // The customer's own hold takes no room from what takes its place.
    assert_eq!(world.starts_of(&customer, &asked, "2026-11-23").await, ["09:00"]);
    // The hold ends by itself, and then the request.
    world.move_to("2026-11-22 13:05", "Europe/Berlin");
    assert_eq!(world.starts_of(&customer, &asked, "2026-11-23").await.len(), 15);
    book("2026-11-23 11:00").await.unwrap();
    refused(book("2026-11-23 12:00").await, "DAY_LIMIT");
    world.move_to("2026-11-22 13:10", "Europe/Berlin");
    book("2026-11-23 12:00").await.unwrap();
    refused(book("2026-11-23 13:00").await, "DAY_LIMIT");
    books::check(&world.sql().await).await;
}

/// A type of which a customer has so many open ones, with both.
async fn scarce(world: &World, most: i32, by: &[&Person]) -> AppointmentType {
    let limits = BookingLimits { open_per_customer: most, ..Default::default() };
    world.shared_type(&world.admin().await, limited(limits, &[30]), by).await
}

async fn a_customer_has_so_many_open_ones(world: World) {
    let (one, two) = (world.provider().await, world.provider().await);
    let (customer, other) = (world.customer().await, world.customer().await);
    let scarce = scarce(&world, 2, &[&one, &two]).await;
    let book = async |provider, start| world.book_type(&customer, provider, &scarce, start).await;
    let first = book(&one, "2026-11-23 09:00").await.unwrap();
    book(&two, "2026-11-23 10:00").await.unwrap();
    let before = world.state().await;
    for provider in [&one, &two] {
        refused(book(provider, "2026-11-23 11:00").await, "CUSTOMER_LIMIT");
    }
    assert_eq!(world.state().await, before);
    world.book_type(&other, &one, &scarce, "2026-11-23 11:00").await.unwrap();
    // Nothing is held that could not be booked.
    let held = holding(&two, &scarce, "2026-11-23 14:00");
    refused(world.hold(&customer, held.clone()).await, "CUSTOMER_LIMIT");
    world.cancel(&customer, &first.name).await.unwrap();
    let hold = world.hold(&customer, held).await.unwrap();
    world.book_hold(&customer, &hold).await.unwrap();
    refused(book(&one, "2026-11-23 12:00").await, "CUSTOMER_LIMIT");
    // What has begun is not open any more.
    world.move_to("2026-11-23 09:59:59", "Europe/Berlin");
    refused(book(&one, "2026-11-23 12:00").await, "CUSTOMER_LIMIT");
    world.move_to("2026-11-23 10:00", "Europe/Berlin");
    book(&one, "2026-11-23 12:00").await.unwrap();
    books::check(&world.sql().await).await;
}

async fn two_bookings_at_once_do_not_pass_the_limit_together(world: World) {
    let (one, two) = (world.provider().await, world.provider().await);
    let scarce = scarce(&world, 1, &[&one, &two]).await;
    for round in 9..14 {
        let customer = world.customer().await;
        let (early, late) =
            (format!("2026-11-23 {round:02}:00"), format!("2026-11-23 {round:02}:30"));
        let (first, second) = join(
            world.book_type(&customer, &one, &scarce, &early),
            world.book_type(&customer, &two, &scarce, &late),
        )
        .await;
        let loser = match (first, second) {
            (Ok(_), loser @ Err(_)) | (loser @ Err(_), Ok(_)) => loser,
            both => panic!("{both:?}"),
        };
        refused(loser, "CUSTOMER_LIMIT");
    }
    assert_eq!(books::check(&world.sql().await).await.len(), 5);
}

async fn moving_counts_an_appointment_once(world: World) {
    let (provider, customer) = (world.provider().await, world.customer().await);
    let limits = BookingLimits { open_per_customer: 1, ..per_day(1) };
    let single = world.own_type(&provider, limited(limits, &[30])).await;
    let one = world.book_type(&customer, &provider, &single, "2026-11-23 09:00").await.unwrap();
    let other = world.customer().await;
    let two = world.book_type(&other, &provider, &single, "2026-11-24 09:00").await.unwrap();
    world.reschedule(&customer, &one.name, "2026-11-23 12:00").await.unwrap();
    let before = world.state().await;
    refused(world.reschedule(&customer, &one.name, "2026-11-24 12:00").await, "DAY_LIMIT");
    assert_eq!(world.state().await, before);
    world.cancel(&other, &two.name).await.unwrap();
    world.reschedule(&customer, &one.name, "2026-11-24 12:00").await.unwrap();
    books::check(&world.sql().await).await;
}
