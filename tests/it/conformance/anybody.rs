//! Booking with whoever is free.

use std::collections::BTreeMap;

use daybook::grpc::proto::booking::{
    Appointment, AppointmentType, BookAppointmentRequest, BookingLimits, HoldSlotRequest,
    ListAppointmentsRequest, Schedule, appointment_type::Visibility,
};
use futures_util::future::join_all;

use super::{behaviours, overrides::own, schedules::update};
use crate::support::{
    World, berlin, books,
    people::{Person, uuid},
    refusal::{invalid, reasons_of, refused},
    rounds,
    types::{anybodys, kind, minutes},
};

behaviours!(
    whoever_has_the_least_that_week_gets_it,
    among_equals_it_goes_round,
    whoever_is_not_free_is_passed_over,
    if_nobody_is_free_it_is_said_why,
    a_retry_gives_the_same_provider,
    anybody_is_held_as_well,
    nobody_gets_their_own_booking,
    a_crowd_gets_each_provider_once,
    what_closes_a_type_closes_it_with_everybody,
    only_a_type_is_booked_with_anybody,
    twelve_at_once_are_spread,
    twelve_at_once_are_spread_over_two_servers,
    holds_and_requests_count_when_they_are_made,
);

/// Three providers who offer a type.
async fn three(world: &World, kind: AppointmentType) -> ([Person; 3], AppointmentType) {
    let mut all = [world.provider().await, world.provider().await, world.provider().await];
    all.sort_by_key(Person::provider);
    let by: Vec<_> = all.iter().collect();
    let shared = world.shared_type(&world.admin().await, kind, &by).await;
    (all, shared)
}

async fn anybody(world: &World, kind: &AppointmentType, start: &str) -> Appointment {
    world.send(&world.customer().await, anybodys(kind, start)).await.unwrap()
}

async fn whoever_has_the_least_that_week_gets_it(world: World) {
    let ([one, two, three], shared) = three(&world, kind(&[30, 60])).await;
    let customer = world.customer().await;
    let busy = async |provider: &Person, from: &str, until: &str| {
        world.book(&customer, provider, berlin(from), berlin(until)).await.unwrap()
    };
    // Two hours, half an hour, an hour; next week is not counted, nor what was cancelled.
    busy(&one, "2026-11-23 09:00", "2026-11-23 11:00").await;
    busy(&two, "2026-11-24 09:00", "2026-11-24 09:30").await;
    busy(&two, "2026-11-30 09:00", "2026-11-30 17:00").await;
    busy(&three, "2026-11-25 09:00", "2026-11-25 10:00").await;
    let off = busy(&two, "2026-11-26 09:00", "2026-11-26 17:00").await;
    world.cancel(&customer, &off.name).await.unwrap();
    assert_eq!(anybody(&world, &shared, "2026-11-27 10:00").await.provider, two.provider());
    // An hour each now: nobody but the second was assigned yet, and the third is alone with the least
    // recent one.
    assert_eq!(anybody(&world, &shared, "2026-11-27 11:00").await.provider, three.provider());
    assert_eq!(anybody(&world, &shared, "2026-11-27 12:00").await.provider, two.provider());
    // In the week after, the second one has eight hours and the others nothing.
    let after = anybody(&world, &shared, "2026-12-01 10:00").await;
    assert_eq!(after.provider, one.provider());
    books::check(&world.sql().await).await;
}

async fn among_equals_it_goes_round(world: World) {
    let (all, shared) = three(&world, kind(&[30])).await;
    let mut given = Vec::new();
    for (place, hour) in (9..15).enumerate() {
        // Each in a week of its own, so that all have nothing then.
        world.move_to(&format!("2026-11-22 13:{place:02}"), "Europe/Berlin");
        let week =
            ["2026-11-23", "2026-11-30", "2026-12-07", "2026-12-14", "2026-12-21", "2027-01-04"]
                [place];
        given.push(anybody(&world, &shared, &format!("{week} {hour:02}:00")).await.provider);
    }
    let names: Vec<_> = all.iter().map(Person::provider).collect();
    assert_eq!(given, [names.clone(), names].concat());
    // Who was asked for by name was not assigned, and still comes first.
    let customer = world.customer().await;
    world.move_to("2026-11-22 14:00", "Europe/Berlin");
    world.book_type(&customer, &all[0], &shared, "2027-01-11 09:00").await.unwrap();
    assert_eq!(anybody(&world, &shared, "2027-01-18 09:00").await.provider, all[0].provider());
}

async fn whoever_is_not_free_is_passed_over(world: World) {
    let ([one, two, three], shared) = three(&world, kind(&[30])).await;
    let customer = world.customer().await;
    let (start, end) = (berlin("2026-11-24 10:10"), berlin("2026-11-24 10:15"));
    world.book(&customer, &one, start, end).await.unwrap();
    world.time_off(&two, "2026-11-24 10:00", "2026-11-24 11:00").await;
    for hour in 9..13 {
        let from = berlin(&format!("2026-11-25 {hour:02}:00"));
        let until = berlin(&format!("2026-11-25 {hour:02}:45"));
        world.book(&customer, &three, from, until).await.unwrap();
    }
    assert_eq!(anybody(&world, &shared, "2026-11-24 10:00").await.provider, three.provider());
    let status = world.send(&world.customer().await, anybodys(&shared, "2026-11-24 10:00")).await;
    refused(status, "SLOT_TAKEN");
    books::check(&world.sql().await).await;
}

async fn if_nobody_is_free_it_is_said_why(world: World) {
    let limits = Some(BookingLimits { per_provider_day: 1, ..Default::default() });
    let ([one, two, three], shared) =
        three(&world, AppointmentType { limits, ..kind(&[30]) }).await;
    let customer = world.customer().await;
    let ask = async |start| world.send(&customer, anybodys(&shared, start)).await;
    let before = world.state().await;
    refused(ask("2026-11-23 18:00").await, "OUTSIDE_HOURS");
    refused(ask("2026-11-23 09:10").await, "OFF_GRID");
    let status = refused(ask("2026-11-20 09:00").await, "IN_THE_PAST");
    assert_eq!(reasons_of(&status), ["IN_THE_PAST"]);
    assert_eq!(world.state().await, before);
    // Two have no time at all, the third has one rule against it: that is what is told.
    for provider in [&one, &two] {
        let name = provider.schedule();
        let date_overrides = vec![own((2026, 11, 23), &[])];
        let schedule = Schedule { name, date_overrides, ..Default::default() };
        update(&world, provider, schedule, &["date_overrides"]).await.unwrap();
        world.time_off(provider, "2026-11-23 00:00", "2026-11-24 00:00").await;
    }
    world.book_type(&customer, &three, &shared, "2026-11-23 12:00").await.unwrap();
    let status = refused(ask("2026-11-23 10:00").await, "DAY_LIMIT");
    assert_eq!(reasons_of(&status), ["DAY_LIMIT"]);
    // With everybody's time taken, that is told.
    let other = world.customer().await;
    for provider in [&one, &two, &three] {
        let (start, end) = (berlin("2026-11-24 10:00"), berlin("2026-11-24 10:30"));
        let who = world.customer().await;
        world.book(&who, provider, start, end).await.unwrap();
    }
    refused(world.send(&other, anybodys(&shared, "2026-11-24 10:00")).await, "SLOT_TAKEN");
    let lonely = world.shared_type(&world.admin().await, kind(&[30]), &[]).await;
    refused(world.send(&other, anybodys(&lonely, "2026-11-24 10:00")).await, "NOT_OFFERED");
    // The customer is the same with everybody.
    world.book_type(&other, &one, &shared, "2026-11-25 10:00").await.unwrap();
    refused(world.send(&other, anybodys(&shared, "2026-11-25 10:00")).await, "CUSTOMER_BUSY");
}

async fn a_retry_gives_the_same_provider(world: World) {
    let (_, shared) = three(&world, kind(&[30])).await;
    let customer = world.customer().await;
    let request =
        BookAppointmentRequest { request_id: uuid(), ..anybodys(&shared, "2026-11-23 10:00") };
    let first = world.send(&customer, request.clone()).await.unwrap();
    let before = world.state().await;
    let answers = (0..8).map(|_| world.send(&customer, request.clone()));
    for again in join_all(answers).await {
        assert_eq!(again.unwrap(), first);
    }
    world.cancel(&customer, &first.name).await.unwrap();
    assert_eq!(world.send(&customer, request.clone()).await.unwrap(), first);
    assert_ne!(world.state().await, before);
    let changed = BookAppointmentRequest { note: "other".to_owned(), ..request };
    refused(world.send(&customer, changed).await, "REQUEST_ID_REUSED");
    // Twins at once book once, and with one provider.
    for hour in 11..14 {
        let request = BookAppointmentRequest {
            request_id: uuid(),
            ..anybodys(&shared, &format!("2026-11-23 {hour}:00"))
        };
        let twins = join_all((0..8).map(|_| world.send(&customer, request.clone()))).await;
        let twins: Vec<_> = twins.into_iter().map(Result::unwrap).collect();
        assert!(twins.iter().all(|twin| *twin == twins[0]), "{twins:?}");
    }
    assert_eq!(books::check(&world.sql().await).await.len(), 4);
}

async fn anybody_is_held_as_well(world: World) {
    let ([one, two, _], shared) = three(&world, kind(&[30])).await;
    let hold = async |start: &str| {
        let request = HoldSlotRequest {
            appointment_type: shared.name.clone(),
            start_time: Some(berlin(start)),
            ..Default::default()
        };
        let customer = world.customer().await;
        let hold = world.hold(&customer, request).await.unwrap();
        (customer, hold)
    };
    let (customer, first) = hold("2026-11-23 10:00").await;
    assert_eq!(first.provider, one.provider());
    let (_, second) = hold("2026-11-23 10:00").await;
    assert_eq!(second.provider, two.provider());
    let booked = world.book_hold(&customer, &first).await.unwrap();
    assert_eq!(booked.provider, one.provider());
    books::check(&world.sql().await).await;
}

async fn nobody_gets_their_own_booking(world: World) {
    let ([one, two, three], shared) = three(&world, kind(&[30])).await;
    for (customer, expected) in [(&one, &two), (&two, &one), (&three, &one)] {
        let start = "2026-11-23 10:00";
        let booked = world.send(customer, anybodys(&shared, start)).await.unwrap();
        assert_eq!(booked.provider, expected.provider());
        world.cancel(customer, &booked.name).await.unwrap();
        // Both were free and equal; the one who was assigned has to wait for the others.
        world
            .execute(
                "UPDATE providers SET last_assigned_at = NULL",
                "UPDATE providers SET last_assigned_at = NULL",
            )
            .await;
    }
    // Alone, there is nobody else.
    let own = world.own_type(&one, kind(&[30])).await;
    refused(world.send(&one, anybodys(&own, "2026-11-23 10:00")).await, "NOT_OFFERED");
}

async fn a_crowd_gets_each_provider_once(world: World) {
    let (all, shared) = three(&world, kind(&[30])).await;
    let mut crowd = Vec::new();
    for _ in 0..12 {
        crowd.push(world.customer().await);
    }
    let request = anybodys(&shared, "2026-11-23 10:00");
    let answers = crowd.iter().map(|customer| world.send(customer, request.clone()));
    let mut given = BTreeMap::<String, usize>::new();
    for answer in join_all(answers).await {
        match answer {
            Ok(booked) => *given.entry(booked.provider).or_default() += 1,
            refusal => drop(refused(refusal, "SLOT_TAKEN")),
        }
    }
    let expected: BTreeMap<_, _> = all.iter().map(|each| (each.provider(), 1)).collect();
    assert_eq!(given, expected);
    books::check(&world.sql().await).await;
}

async fn what_closes_a_type_closes_it_with_everybody(world: World) {
    let secret = AppointmentType { visibility: Visibility::PrivateLink.into(), ..kind(&[30]) };
    let (_, secret) = three(&world, secret).await;
    let (customer, admin) = (world.customer().await, world.admin().await);
    let request = anybodys(&secret, "2026-11-23 10:00");
    refused(world.send(&customer, request.clone()).await, "NOT_FOUND");
    let open = BookAppointmentRequest { link_code: secret.link_code.clone(), ..request };
    let bad = BookAppointmentRequest { duration: minutes(31), ..open.clone() };
    invalid(world.booking().book_appointment(customer.asks(bad)).await, &["duration"]);
    world.send(&customer, open.clone()).await.unwrap();
    world.archive(&admin, &secret, true).await;
    let later = BookAppointmentRequest { start_time: Some(berlin("2026-11-23 11:00")), ..open };
    refused(world.send(&customer, later).await, "TYPE_ARCHIVED");
}

async fn only_a_type_is_booked_with_anybody(world: World) {
    let ([one, ..], shared) = three(&world, kind(&[30])).await;
    let (customer, admin) = (world.customer().await, world.admin().await);
    let before = world.state().await;
    let request = BookAppointmentRequest {
        start_time: Some(berlin("2026-11-23 10:00")),
        end_time: Some(berlin("2026-11-23 10:30")),
        ..Default::default()
    };
    invalid(world.booking().book_appointment(customer.asks(request)).await, &["provider"]);
    let request = BookAppointmentRequest {
        override_reason: "because".to_owned(),
        ..anybodys(&shared, "2026-11-23 10:00")
    };
    invalid(world.booking().book_appointment(admin.asks(request)).await, &["override_reason"]);
    let others = BookAppointmentRequest {
        customer: customer.user.name.clone(),
        ..anybodys(&shared, "2026-11-23 10:00")
    };
    let stranger = world.customer().await;
    refused(world.send(&stranger, others.clone()).await, "ROLE_NOT_ALLOWED");
    // Admins book anybody's time for a customer.
    let booked = world.send(&admin, others).await.unwrap();
    assert_eq!((booked.customer, booked.provider), (customer.user.name.clone(), one.provider()));
    assert_ne!(world.state().await, before);
    let request = ListAppointmentsRequest { provider: one.provider(), ..Default::default() };
    let listed = world.booking().list_appointments(one.asks(request)).await.unwrap();
    assert_eq!(listed.into_inner().appointments.len(), 1);
}

/// Bookings and holds of one length for whoever is free, at once, each at a time of its own.
async fn are_spread(one: &World, other: &World) {
    for round in 0..rounds(2, 20) {
        let (all, shared) = three(one, kind(&[30])).await;
        let mut customers = Vec::new();
        for _ in 0..12 {
            customers.push(one.customer().await);
        }
        let calls = customers.iter().enumerate().map(|(place, customer)| {
            let world = if place % 2 == 0 { one } else { other };
            let start = format!("2026-11-{} {:02}:00", 23 + place / 8, 9 + place % 8);
            let request = HoldSlotRequest {
                appointment_type: shared.name.clone(),
                start_time: Some(berlin(&start)),
                ..Default::default()
            };
            let booking = anybodys(&shared, &start);
            // Holds among them, or none.
            let is_hold = round % 2 == 1 && place % 3 == 0;
            async move {
                if is_hold {
                    world.hold(customer, request).await.unwrap().provider
                } else {
                    world.send(customer, booking).await.unwrap().provider
                }
            }
        });
        let calls: Vec<_> = calls.collect();
        let mut given = BTreeMap::<String, usize>::new();
        for provider in join_all(calls).await {
            *given.entry(provider).or_default() += 1;
        }
        let each: Vec<_> = all.iter().map(|provider| given.get(&provider.provider())).collect();
        assert_eq!(each, [Some(&4); 3]);
    }
    assert!(!books::check(&one.sql().await).await.is_empty());
}

async fn twelve_at_once_are_spread(world: World) {
    are_spread(&world, &world).await;
}

async fn twelve_at_once_are_spread_over_two_servers(world: World) {
    are_spread(&world, &world.beside().await).await;
}

async fn holds_and_requests_count_when_they_are_made(world: World) {
    let asked = AppointmentType { requires_approval: true, ..kind(&[30]) };
    let ([one, two, three], asked) = three(&world, asked).await;
    let customer = world.customer().await;
    let hold = async |start: &str| {
        let request = HoldSlotRequest {
            appointment_type: asked.name.clone(),
            start_time: Some(berlin(start)),
            ..Default::default()
        };
        world.hold(&customer, request).await.unwrap().provider
    };
    assert_eq!(hold("2026-11-23 09:00").await, one.provider());
    assert_eq!(anybody(&world, &asked, "2026-11-23 10:00").await.provider, two.provider());
    assert_eq!(hold("2026-11-23 11:00").await, three.provider());
    // What a hold becomes counts no more than before, and what has ended counts for nobody.
    world.move_to("2026-11-22 13:05", "Europe/Berlin");
    assert_eq!(anybody(&world, &asked, "2026-11-23 12:00").await.provider, one.provider());
    assert_eq!(anybody(&world, &asked, "2026-11-23 13:00").await.provider, three.provider());
    books::check(&world.sql().await).await;
}
