//! What the provider's side writes, books and overrides, and what is told of it afterwards.

use daybook::grpc::proto::booking::{
    Appointment, AppointmentEvent, AppointmentType, BookAppointmentRequest, BookingLimits,
    ListAppointmentEventsRequest, ListAppointmentsRequest, Party, UpdateAppointmentRequest,
    appointment::State, appointment_event::Kind, appointment_type::Horizon,
};
use prost_types::FieldMask;
use sea_orm::ConnectionTrait as _;
use tonic::Status;

use super::behaviours;
use crate::support::{
    World, berlin, books,
    people::{Person, booking, uuid},
    refusal::{invalid, refused},
    types::{holding, kind, minutes, typed},
};

behaviours!(
    a_private_note_is_hidden_from_the_customer,
    notes_are_written_as_the_mask_says,
    only_the_providers_side_writes_notes,
    staff_book_for_a_customer,
    nobody_else_books_for_a_customer,
    an_override_lifts_the_rules_and_never_the_overlap,
    an_override_is_kept_for_a_bare_interval_as_well,
    both_parties_read_what_happened,
    what_happened_comes_in_pages,
    a_hold_is_not_part_of_the_story,
    an_event_whose_details_cannot_be_read_is_told_without_them,
);

async fn write(
    world: &World,
    caller: &Person,
    appointment: Appointment,
    fields: &[&str],
) -> Result<Appointment, Status> {
    let paths: Vec<_> = fields.iter().map(|field| (*field).to_owned()).collect();
    let request = UpdateAppointmentRequest {
        appointment: Some(appointment),
        update_mask: (!paths.is_empty()).then_some(FieldMask { paths }),
        ..Default::default()
    };
    let answer = world.booking().update_appointment(caller.asks(request)).await?;
    Ok(answer.into_inner().appointment.unwrap())
}

fn notes(name: &str, message: &str, note: &str) -> Appointment {
    Appointment {
        name: name.to_owned(),
        customer_message: message.to_owned(),
        private_note: note.to_owned(),
        ..Default::default()
    }
}

async fn a_booking(world: &World, customer: &Person, provider: &Person, hour: u32) -> Appointment {
    let (start, end) = (format!("2026-11-23 {hour:02}:00"), format!("2026-11-23 {hour:02}:30"));
    world.book(customer, provider, berlin(&start), berlin(&end)).await.unwrap()
}

async fn a_private_note_is_hidden_from_the_customer(world: World) {
    let (provider, admin) = (world.provider().await, world.admin().await);
    // A provider elsewhere, who is a customer here.
    let customer = world.provider().await;
    let name = a_booking(&world, &customer, &provider, 10).await.name;
    let new = notes(&name, "bring\nyour papers", "complains\ta lot");
    let written = write(&world, &provider, new, &[]).await.unwrap();
    assert_eq!(written.customer_message, "bring\nyour papers");
    assert_eq!(written.private_note, "complains\ta lot");
    let hidden = Appointment { private_note: String::new(), ..written.clone() };
    assert_eq!(world.get(&customer, &name).await.unwrap(), hidden);
    assert_eq!(world.list(&customer, &[]).await, std::slice::from_ref(&hidden));
    assert_eq!(world.get(&provider, &name).await.unwrap(), written);
    assert_eq!(world.get(&admin, &name).await.unwrap(), written);
    let request = ListAppointmentsRequest { provider: provider.provider(), ..Default::default() };
    for (caller, expected) in [(&provider, &written), (&admin, &written)] {
        let listed = world.booking().list_appointments(caller.asks(request.clone())).await.unwrap();
        assert_eq!(&listed.into_inner().appointments, std::slice::from_ref(expected));
    }
    // Nor in what the customer's own changes answer, nor in the story.
    let moved = world.reschedule(&customer, &name, "2026-11-23 12:00").await.unwrap();
    assert_eq!((moved.private_note.as_str(), &*moved.customer_message), ("", "bring\nyour papers"));
    let told = format!("{:?}", world.events_of(&customer, &name).await.unwrap());
    assert!(!told.contains("complains") && !told.contains("papers"), "{told}");
    let gone = world.cancel(&customer, &name).await.unwrap();
    assert_eq!(gone.private_note, "");
    assert_eq!(world.get(&provider, &name).await.unwrap().private_note, "complains\ta lot");
    books::check(&world.sql().await).await;
}

async fn notes_are_written_as_the_mask_says(world: World) {
    let (provider, customer) = (world.provider().await, world.customer().await);
    let booked = a_booking(&world, &customer, &provider, 10).await;
    let name = booked.name.clone();
    write(&world, &provider, notes(&name, "one", "two"), &["private_note"]).await.unwrap();
    let now = world.get(&provider, &name).await.unwrap();
    assert_eq!((now.customer_message.as_str(), now.private_note.as_str()), ("", "two"));
    write(&world, &provider, notes(&name, "one", "x"), &["customer_message"]).await.unwrap();
    let now = world.get(&provider, &name).await.unwrap();
    assert_eq!((now.customer_message.as_str(), now.private_note.as_str()), ("one", "two"));
    let stale = Appointment { etag: booked.etag, ..notes(&name, "", "") };
    let before = world.state().await;
    refused(write(&world, &provider, stale, &[]).await, "ETAG_STALE");
    let call = async |appointment, paths: &[&str]| {
        let paths = paths.iter().map(|path| (*path).to_owned()).collect();
        let request = UpdateAppointmentRequest {
            appointment,
            update_mask: Some(FieldMask { paths }),
            request_id: "x".to_owned(),
        };
        world.booking().update_appointment(provider.asks(request)).await
    };
    let long = "x".repeat(2001);
    let bad = Appointment { etag: "x".to_owned(), ..notes("x", &long, &long) };
    let fields = [
        "request_id",
        "appointment.name",
        "appointment.etag",
        "appointment.customer_message",
        "appointment.private_note",
    ];
    invalid(call(Some(bad.clone()), &["customer_message", "private_note"]).await, &fields);
    invalid(
        call(Some(bad), &["state"]).await,
        &["request_id", "update_mask", "appointment.name", "appointment.etag"],
    );
    invalid(call(None, &["private_note"]).await, &["request_id", "appointment"]);
    assert_eq!(world.state().await, before);
    // Both are emptied, also when it is over, and by a retry once.
    world.cancel(&customer, &name).await.unwrap();
    let request = UpdateAppointmentRequest {
        appointment: Some(notes(&name, "", "")),
        update_mask: Some(FieldMask { paths: vec!["*".to_owned()] }),
        request_id: uuid(),
    };
    let first = world.booking().update_appointment(provider.asks(request.clone())).await.unwrap();
    let before = world.state().await;
    let again = world.booking().update_appointment(provider.asks(request)).await.unwrap();
    assert_eq!(first.into_inner(), again.into_inner());
    assert_eq!(world.state().await, before);
    let now = world.get(&provider, &name).await.unwrap();
    assert_eq!((now.customer_message.as_str(), now.private_note.as_str()), ("", ""));
    books::check(&world.sql().await).await;
}

async fn only_the_providers_side_writes_notes(world: World) {
    let (provider, customer, stranger) =
        (world.provider().await, world.customer().await, world.provider().await);
    let name = a_booking(&world, &customer, &provider, 10).await.name;
    let theirs = a_booking(&world, &stranger, &provider, 11).await.name;
    let before = world.state().await;
    refused(write(&world, &customer, notes(&name, "x", ""), &[]).await, "ROLE_NOT_ALLOWED");
    refused(write(&world, &stranger, notes(&theirs, "x", ""), &[]).await, "ROLE_NOT_ALLOWED");
    refused(write(&world, &stranger, notes(&name, "x", ""), &[]).await, "NOT_FOUND");
    assert_eq!(world.state().await, before);
    write(&world, &world.admin().await, notes(&name, "x", ""), &[]).await.unwrap();
}

async fn staff_book_for_a_customer(world: World) {
    let (provider, customer, admin) =
        (world.provider().await, world.customer().await, world.admin().await);
    let plain = world.own_type(&provider, kind(&[30])).await;
    for (caller, hour) in [(&provider, "10"), (&admin, "11"), (&provider, "12")] {
        let start = format!("2026-11-23 {hour}:00");
        let customer_name = customer.user.name.clone();
        let request =
            BookAppointmentRequest { customer: customer_name, ..typed(&provider, &plain, &start) };
        let booked = world.send(caller, request).await.unwrap();
        assert_eq!(booked.customer, customer.user.name);
        assert_eq!(booked.customer_display_name, customer.user.display_name);
        // The provider's side reads who it was by id. The customer knows the provider by id, and an admin as the
        // practice.
        let is_provider = caller.user.name == provider.user.name;
        for (reader, actor) in [(&provider, true), (&admin, true), (&customer, is_provider)] {
            let events = world.events_of(reader, &booked.name).await.unwrap();
            let expected = if actor { caller.user.name.as_str() } else { "" };
            assert_eq!(events[0].actor, expected);
            assert!(actor || !format!("{events:?}").contains(&admin.user.name));
            let party = if is_provider { Party::Provider } else { Party::Practice };
            assert_eq!(events[0].actor_party(), party);
        }
    }
    // Bare intervals as well, the second of which would go a way of its own on one engine.
    for ten in 0..3 {
        let (start, end) = (format!("2026-11-23 14:{ten}0"), format!("2026-11-23 14:{ten}5"));
        let request = BookAppointmentRequest {
            customer: customer.user.name.clone(),
            ..booking(&provider, berlin(&start), berlin(&end))
        };
        let booked = world.send(&provider, request).await.unwrap();
        let events = world.events_of(&customer, &booked.name).await.unwrap();
        assert_eq!(events[0].actor, provider.user.name);
        assert_eq!(world.get(&customer, &booked.name).await.unwrap(), booked);
    }
    assert_eq!(world.list(&customer, &[]).await.len(), 6);
    books::check(&world.sql().await).await;
}

async fn nobody_else_books_for_a_customer(world: World) {
    let (provider, customer, other) =
        (world.provider().await, world.customer().await, world.provider().await);
    let plain = world.own_type(&provider, kind(&[30])).await;
    let for_customer = |name: &str| BookAppointmentRequest {
        customer: name.to_owned(),
        ..typed(&provider, &plain, "2026-11-23 10:00")
    };
    for caller in [&other, &world.customer().await] {
        refused(world.send(caller, for_customer(&customer.user.name)).await, "ROLE_NOT_ALLOWED");
    }
    let before = world.state().await;
    refused(world.send(&provider, for_customer(&provider.user.name)).await, "OWN_TIME");
    refused(world.send(&provider, for_customer("")).await, "OWN_TIME");
    let nobody = "users/01980000-0000-7000-8000-000000000000";
    refused(world.send(&provider, for_customer(nobody)).await, "NOT_FOUND");
    let request =
        BookAppointmentRequest { override_reason: "because".to_owned(), ..for_customer("") };
    refused(world.send(&customer, request).await, "ROLE_NOT_ALLOWED");
    assert_eq!(world.state().await, before);
    // One's own name says nothing new.
    world.send(&customer, for_customer(&customer.user.name)).await.unwrap();
}

async fn an_override_lifts_the_rules_and_never_the_overlap(world: World) {
    let (provider, customer, admin) =
        (world.provider().await, world.customer().await, world.admin().await);
    let strict = AppointmentType {
        minimum_notice: minutes(24 * 60),
        horizon: Some(Horizon::RollingDays(2)),
        requires_approval: true,
        limits: Some(BookingLimits {
            per_provider_day: 1,
            per_provider_week: 1,
            open_per_customer: 1,
            ..Default::default()
        }),
        buffer_after: minutes(10),
        ..kind(&[30])
    };
    let strict = world.own_type(&provider, strict).await;
    world.book_type(&customer, &provider, &strict, "2026-11-24 10:00").await.unwrap();
    let against = |start: &str| BookAppointmentRequest {
        customer: customer.user.name.clone(),
        override_reason: "an emergency".to_owned(),
        ..typed(&provider, &strict, start)
    };
    world.time_off(&provider, "2026-11-25 00:00", "2026-11-26 00:00").await;
    world.closure(&admin, "2026-11-26 00:00", "2026-11-27 00:00").await;
    for (caller, start) in [
        (&provider, "2026-11-22 13:01"),
        (&admin, "2026-11-24 12:07"),
        (&provider, "2026-11-25 10:00"),
        (&provider, "2026-11-26 10:00"),
        (&admin, "2027-05-01 03:33"),
    ] {
        let booked = world.send(caller, against(start)).await.unwrap();
        assert_eq!(
            (booked.state(), booked.override_reason.as_str()),
            (State::Booked, "an emergency")
        );
        assert_eq!(booked.buffer_after, minutes(10));
        let events = world.events_of(caller, &booked.name).await.unwrap();
        assert_eq!(events[0].override_reason, "an emergency");
    }
    let elsewhere = world.provider().await;
    let before = world.state().await;
    for caller in [&provider, &admin] {
        refused(world.send(caller, against("2026-11-24 10:39")).await, "SLOT_TAKEN");
        refused(world.send(caller, against("2026-11-24 09:30")).await, "SLOT_TAKEN");
        refused(world.send(caller, against("2026-11-22 12:29")).await, "IN_THE_PAST");
    }
    let request = BookAppointmentRequest {
        override_reason: "an emergency".to_owned(),
        customer: customer.user.name.clone(),
        ..booking(&elsewhere, berlin("2026-11-24 10:10"), berlin("2026-11-24 10:20"))
    };
    refused(world.send(&admin, request).await, "CUSTOMER_BUSY");
    assert_eq!(world.state().await, before);
    books::check(&world.sql().await).await;
}

async fn an_override_is_kept_for_a_bare_interval_as_well(world: World) {
    let (provider, customer, admin) =
        (world.provider().await, world.customer().await, world.admin().await);
    for (caller, start) in [(&provider, "20:00"), (&admin, "20:10"), (&provider, "20:20")] {
        let start = format!("2026-11-23 {start}");
        let request = BookAppointmentRequest {
            customer: customer.user.name.clone(),
            override_reason: "an emergency".to_owned(),
            ..booking(&provider, berlin(&start), berlin(&format!("{start}:30")))
        };
        let booked = world.send(caller, request).await.unwrap();
        assert_eq!(booked.override_reason, "an emergency");
        assert_eq!(world.get(caller, &booked.name).await.unwrap(), booked);
        let events = world.events_of(caller, &booked.name).await.unwrap();
        assert_eq!(events[0].override_reason, "an emergency");
        assert_eq!(events[0].actor, caller.user.name);
    }
    // An admin's own appointment goes the same way.
    let request = BookAppointmentRequest {
        override_reason: "late".to_owned(),
        ..booking(&provider, berlin("2026-11-23 21:00"), berlin("2026-11-23 21:10"))
    };
    let booked = world.send(&admin, request).await.unwrap();
    assert_eq!(world.get(&admin, &booked.name).await.unwrap(), booked);
    books::check(&world.sql().await).await;
}

async fn both_parties_read_what_happened(world: World) {
    let (provider, customer, admin) =
        (world.provider().await, world.customer().await, world.admin().await);
    let strangers = [world.customer().await, world.provider().await];
    let booked = a_booking(&world, &customer, &provider, 10).await;
    let name = booked.name.clone();
    world.reschedule(&customer, &name, "2026-11-23 12:00").await.unwrap();
    write(&world, &provider, notes(&name, "x", "y"), &[]).await.unwrap();
    world.cancel(&admin, &name).await.unwrap();
    let events = world.events_of(&customer, &name).await.unwrap();
    for caller in [&provider, &admin] {
        let mut told = world.events_of(caller, &name).await.unwrap();
        assert_eq!(told[3].actor_display_name, admin.user.display_name);
        assert_eq!(told[3].actor, admin.user.name);
        told[3].actor_display_name = "the practice".to_owned();
        told[3].actor.clear();
        assert_eq!(told, events);
    }
    let told: Vec<_> = events.iter().map(|event| (event.kind(), event.actor.clone())).collect();
    let by = |person: &Person| person.user.name.clone();
    assert_eq!(
        told,
        [
            (Kind::Booked, by(&customer)),
            (Kind::Rescheduled, by(&customer)),
            (Kind::Updated, by(&provider)),
            (Kind::Cancelled, String::new()),
        ]
    );
    assert!(events.is_sorted_by_key(|event| event.version));
    assert_eq!((events[0].start_time, events[0].end_time), (booked.start_time, booked.end_time));
    let absent = name.replace("appointments/0", "appointments/1");
    for stranger in &strangers {
        refused(world.events_of(stranger, &name).await, "NOT_FOUND");
        refused(world.events_of(stranger, &absent).await, "NOT_FOUND");
    }
    for bad in ["", "x", &provider.provider()] {
        let request = ListAppointmentEventsRequest {
            parent: bad.to_owned(),
            page_size: -1,
            page_token: "x".to_owned(),
        };
        let answer = world.booking().list_appointment_events(customer.asks(request)).await;
        invalid(answer, &["parent", "page_size", "page_token"]);
    }
}

async fn what_happened_comes_in_pages(world: World) {
    let (provider, customer) = (world.provider().await, world.customer().await);
    let plain = world.own_type(&provider, kind(&[30])).await;
    let hold = world.hold(&customer, holding(&provider, &plain, "2026-11-23 10:00")).await.unwrap();
    let name = world.book_hold(&customer, &hold).await.unwrap().name;
    for number in 0..6 {
        // What happens to others is not in it.
        a_booking(&world, &customer, &provider, 11 + number).await;
        let note = notes(&name, &number.to_string(), "");
        write(&world, &provider, note, &[]).await.unwrap();
    }
    let all = world.events_of(&customer, &name).await.unwrap();
    assert_eq!(all.len(), 7);
    for page_size in [1, 2, 3, 6, 7, 8, 1000] {
        let mut request = ListAppointmentEventsRequest {
            parent: name.clone(),
            page_size,
            page_token: String::new(),
        };
        let mut found = Vec::new();
        loop {
            let asked = customer.asks(request.clone());
            let answer = world.booking().list_appointment_events(asked).await;
            let answer = answer.unwrap().into_inner();
            assert!(answer.events.len() <= usize::try_from(page_size).unwrap());
            found.extend(answer.events);
            if answer.next_page_token.is_empty() {
                break;
            }
            request.page_token = answer.next_page_token;
        }
        assert_eq!(found, all, "{page_size}");
    }
}

async fn a_hold_is_not_part_of_the_story(world: World) {
    let (provider, customer) = (world.provider().await, world.customer().await);
    let plain = world.own_type(&provider, kind(&[30])).await;
    let hold = world.hold(&customer, holding(&provider, &plain, "2026-11-23 10:00")).await.unwrap();
    let booked = world.book_hold(&customer, &hold).await.unwrap();
    let events = world.events_of(&provider, &booked.name).await.unwrap();
    assert_eq!(events.len(), 1);
    assert_eq!((events[0].kind(), events[0].actor.as_str()), (Kind::Booked, &*customer.user.name));
    assert_eq!((events[0].start_time, events[0].end_time), (booked.start_time, booked.end_time));
}

async fn an_event_whose_details_cannot_be_read_is_told_without_them(world: World) {
    let (provider, customer) = (world.provider().await, world.customer().await);
    let name = a_booking(&world, &customer, &provider, 10).await.name;
    world.reschedule(&customer, &name, "2026-11-23 11:00").await.unwrap();
    world.cancel(&customer, &name).await.unwrap();
    let before = world.events_of(&provider, &name).await.unwrap();
    assert!(before[1].start_time.is_some() && before[1].previous_start_time.is_some());
    let damage = r#"UPDATE events SET detail = '{"start": 5, "late": true, "reason": "ill"}'
        WHERE kind = 'appointment_rescheduled'"#;
    let done = world.sql().await.execute_unprepared(damage).await.unwrap();
    assert_eq!(done.rows_affected(), 1);
    let after = world.events_of(&provider, &name).await.unwrap();
    assert_eq!((&after[0], &after[2]), (&before[0], &before[2]));
    let bare = AppointmentEvent {
        start_time: None,
        end_time: None,
        previous_start_time: None,
        previous_end_time: None,
        ..before[1].clone()
    };
    assert_eq!(after[1], bare);
}
