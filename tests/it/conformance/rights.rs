//! Who may do what with whose time: what a role, a link code or an appointment of one's own does not give.

use daybook::grpc::proto::{
    auth::Role,
    booking::{
        Appointment, AppointmentType, BookAppointmentRequest, CancelAppointmentRequest,
        HoldSlotRequest, ListAppointmentsRequest, OfferAppointmentTypeRequest,
        ReassignAppointmentRequest, Schedule, UpdateAppointmentRequest, appointment::State,
        appointment_event::Kind, appointment_type::Visibility,
    },
    google::r#type::DayOfWeek,
};
use tonic::Status;

use super::{
    behaviours,
    catalogue::{NOBODYS, create, own, plain, private},
    offerings::{of_type, offering, withdraw},
    schedules::{update, window},
};
use crate::support::{
    World, berlin, books,
    people::Person,
    raw::seen,
    refusal::refused,
    types::{anybodys, holding, kind, typed},
};

behaviours!(
    nobody_lifts_another_providers_rules,
    a_private_type_is_nobodys_without_its_code,
    who_is_a_provider_no_more_keeps_no_rights,
    what_the_practice_offers_is_for_admins_to_say,
    a_reassigned_appointment_takes_its_history_along_and_no_private_note,
    a_provider_who_names_nobody_books_their_own_time,
    what_has_begun_is_not_the_customers_to_move_or_cancel,
);

async fn give(
    world: &World,
    caller: &Person,
    name: &str,
    to: &Person,
    override_reason: &str,
) -> Result<Appointment, Status> {
    let request = ReassignAppointmentRequest {
        name: name.to_owned(),
        provider: to.provider(),
        override_reason: override_reason.to_owned(),
        ..Default::default()
    };
    let answer = world.booking().reassign_appointment(caller.asks(request)).await?;
    Ok(answer.into_inner().appointment.unwrap())
}

async fn nobody_lifts_another_providers_rules(world: World) {
    let (one, two, customer) =
        (world.provider().await, world.provider().await, world.customer().await);
    let (start, end) = (berlin("2026-11-23 10:00"), berlin("2026-11-23 10:30"));
    let bare = world.book(&customer, &one, start, end).await.unwrap().name;
    let ones = world.own_type(&one, kind(&[30])).await;
    let typed = world.book_type(&customer, &one, &ones, "2026-11-23 11:00").await.unwrap().name;
    world.time_off(&two, "2026-11-23 00:00", "2026-11-24 00:00").await;
    let before = world.state().await;
    for name in [&bare, &typed] {
        refused(give(&world, &one, name, &two, "because I say so").await, "ROLE_NOT_ALLOWED");
    }
    refused(give(&world, &one, &bare, &two, "").await, "TIME_OFF");
    refused(give(&world, &one, &typed, &two, "").await, "NOT_OFFERED");
    assert_eq!(world.state().await, before);
    let admin = world.admin().await;
    for name in [&bare, &typed] {
        give(&world, &admin, name, &two, "agreed with both").await.unwrap();
    }
    books::check(&world.sql().await).await;
}

async fn a_private_type_is_nobodys_without_its_code(world: World) {
    let (owner, stranger, customer) =
        (world.provider().await, world.provider().await, world.customer().await);
    let admin = world.admin().await;
    let hidden = world
        .own_type(
            &owner,
            AppointmentType { visibility: Visibility::PrivateLink.into(), ..kind(&[30]) },
        )
        .await;
    let absent = AppointmentType {
        name: format!("appointmentTypes/{NOBODYS}"),
        ..AppointmentType::default()
    };
    let start = "2026-11-23 10:00";
    let before = world.state().await;
    for override_reason in ["", "a whim"] {
        let ask = async |of: &AppointmentType| {
            let request = BookAppointmentRequest {
                customer: customer.user.name.clone(),
                override_reason: override_reason.to_owned(),
                ..typed(&stranger, of, start)
            };
            refused(world.send(&stranger, request).await, "NOT_FOUND")
        };
        // A type that is not to be known is told from none by nothing.
        let (hidden, absent) = (ask(&hidden).await, ask(&absent).await);
        assert_eq!((seen(&hidden).0, seen(&hidden).1), (seen(&absent).0, seen(&absent).1));
    }
    let held = world.hold(&stranger, holding(&owner, &hidden, start)).await;
    refused(held, "NOT_FOUND");
    assert_eq!(world.state().await, before);
    // Its code opens it, and so does offering it.
    let opened =
        HoldSlotRequest { link_code: hidden.link_code.clone(), ..holding(&owner, &hidden, start) };
    world.hold(&stranger, opened).await.unwrap();
    let shared = create(&world, &admin, private(plain())).await.unwrap();
    world.offer(&admin, &shared, &stranger, "").await;
    let request = BookAppointmentRequest {
        customer: customer.user.name.clone(),
        ..typed(&stranger, &shared, start)
    };
    world.send(&stranger, request).await.unwrap();
    // Withdrawn, it is hidden again.
    withdraw(&world, &admin, &shared, &stranger).await.unwrap();
    let request = BookAppointmentRequest {
        customer: customer.user.name.clone(),
        override_reason: "a whim".to_owned(),
        ..typed(&stranger, &shared, "2026-11-23 11:00")
    };
    refused(world.send(&stranger, request).await, "NOT_FOUND");
}

async fn who_is_a_provider_no_more_keeps_no_rights(world: World) {
    let (provider, customer, admin) =
        (world.provider().await, world.customer().await, world.admin().await);
    let other = world.provider().await;
    let (start, end) = (berlin("2026-11-23 10:00"), berlin("2026-11-23 10:30"));
    let name = world.book(&customer, &provider, start, end).await.unwrap().name;
    let (start, end) = (berlin("2026-11-23 12:00"), berlin("2026-11-23 12:30"));
    let own = world.book(&provider, &other, start, end).await.unwrap().name;
    let request = UpdateAppointmentRequest {
        appointment: Some(Appointment {
            name: name.clone(),
            private_note: "pays late".to_owned(),
            ..Default::default()
        }),
        ..Default::default()
    };
    world.booking().update_appointment(provider.asks(request)).await.unwrap();

    let former = world.promote(&admin, &provider, Role::Customer).await;
    let before = world.state().await;
    refused(world.get(&former, &name).await, "NOT_FOUND");
    refused(world.events_of(&former, &name).await, "NOT_FOUND");
    refused(world.cancel(&former, &name).await, "NOT_FOUND");
    refused(world.reschedule(&former, &name, "2026-11-23 15:00").await, "NOT_FOUND");
    let list = ListAppointmentsRequest { provider: former.provider(), ..Default::default() };
    refused(world.booking().list_appointments(former.asks(list)).await, "NOT_FOUND");
    assert_eq!(world.state().await, before);
    // What is theirs as a customer stays theirs.
    assert_eq!(world.list(&former, &[]).await.len(), 1);
    world.cancel(&former, &own).await.unwrap();

    let again = world.promote(&admin, &former, Role::Provider).await;
    assert_eq!(world.get(&again, &name).await.unwrap().private_note, "pays late");
    world.cancel(&again, &name).await.unwrap();
}

async fn what_the_practice_offers_is_for_admins_to_say(world: World) {
    let (provider, admin) = (world.provider().await, world.admin().await);
    let shared = create(&world, &admin, plain()).await.unwrap();
    let by = async |caller: &Person, schedule: &str| {
        let request = OfferAppointmentTypeRequest {
            schedule: schedule.to_owned(),
            ..offering(&shared, &provider)
        };
        world.catalogue().offer_appointment_type(caller.asks(request)).await
    };
    let evenings = world.schedule_for(&provider, "evenings").await;
    let weekly_windows = vec![window(DayOfWeek::Monday, (18, 0), (20, 0))];
    let open = Schedule { name: evenings.clone(), weekly_windows, ..Default::default() };
    update(&world, &provider, open, &["weekly_windows"]).await.unwrap();
    let before = world.state().await;
    for schedule in ["", &evenings, &provider.schedule_named("none")] {
        refused(by(&provider, schedule).await, "ROLE_NOT_ALLOWED");
    }
    assert_eq!(world.state().await, before);
    by(&admin, "").await.unwrap();
    // By which hours, and for how long, is the provider's to say; beginning again is not.
    let moved = by(&provider, &evenings).await.unwrap().into_inner().offering.unwrap();
    assert_eq!(moved.schedule, evenings);
    by(&provider, "").await.unwrap();
    withdraw(&world, &provider, &shared, &provider).await.unwrap();
    refused(by(&provider, "").await, "ROLE_NOT_ALLOWED");
    assert!(of_type(&world, &admin, &shared).await.is_empty());
    // Their own types are theirs to offer, as often as they like.
    let owned = create(&world, &provider, own(&provider)).await.unwrap();
    withdraw(&world, &provider, &owned, &provider).await.unwrap();
    world.offer(&provider, &owned, &provider, "").await;
}

async fn a_reassigned_appointment_takes_its_history_along_and_no_private_note(world: World) {
    let (one, two, three, customer) = (
        world.provider().await,
        world.provider().await,
        world.provider().await,
        world.customer().await,
    );
    let (start, end) = (berlin("2026-11-23 10:00"), berlin("2026-11-23 10:30"));
    let first = world.book(&customer, &one, start, end).await.unwrap().name;
    let request = UpdateAppointmentRequest {
        appointment: Some(Appointment {
            name: first.clone(),
            private_note: "between us".to_owned(),
            customer_message: "come early".to_owned(),
            ..Default::default()
        }),
        ..Default::default()
    };
    world.booking().update_appointment(one.asks(request)).await.unwrap();
    refused(world.events_of(&two, &first).await, "NOT_FOUND");
    let second = give(&world, &one, &first, &two, "").await.unwrap();
    let kinds = async |caller: &Person, name: &str| {
        let events = world.events_of(caller, name).await?;
        Ok::<_, Status>(events.iter().map(|event| event.kind()).collect::<Vec<_>>())
    };
    let expected = [Kind::Booked, Kind::Updated, Kind::Reassigned];
    for caller in [&one, &two, &customer] {
        assert_eq!(kinds(caller, &first).await.unwrap(), expected);
    }
    refused(kinds(&three, &first).await, "NOT_FOUND");
    refused(kinds(&one, &second.name).await, "NOT_FOUND");
    // The history is told, the appointment of another provider is not.
    refused(world.get(&two, &first).await, "NOT_FOUND");
    let taken = world.get(&two, &second.name).await.unwrap();
    assert_eq!((taken.private_note.as_str(), &*taken.customer_message), ("", "come early"));
    assert_eq!(world.get(&one, &first).await.unwrap().private_note, "between us");
    // Whoever has it last has all of it, and who had it meanwhile no more than before.
    give(&world, &two, &second.name, &three, "").await.unwrap();
    assert_eq!(kinds(&three, &first).await.unwrap(), expected);
    assert_eq!(kinds(&three, &second.name).await.unwrap(), [Kind::Booked, Kind::Reassigned]);
    refused(kinds(&two, &first).await, "NOT_FOUND");
}

async fn a_provider_who_names_nobody_books_their_own_time(world: World) {
    let (one, two, customer) =
        (world.provider().await, world.provider().await, world.customer().await);
    let admin = world.admin().await;
    let shared = world.shared_type(&admin, kind(&[30]), &[&one, &two]).await;
    let others = world.shared_type(&admin, kind(&[30]), &[&two]).await;
    let ask = async |caller: &Person, of: &AppointmentType, start: &str| {
        let request =
            BookAppointmentRequest { customer: customer.user.name.clone(), ..anybodys(of, start) };
        world.send(caller, request).await
    };
    // Whoever would be the fairest, it is the provider who asks.
    for (caller, start) in [
        (&one, "2026-11-23 09:00"),
        (&one, "2026-11-23 10:00"),
        (&two, "2026-11-23 11:00"),
        (&two, "2026-11-23 12:00"),
        (&two, "2026-11-23 13:00"),
    ] {
        let booked = ask(caller, &shared, start).await.unwrap();
        assert_eq!((booked.state(), booked.provider), (State::Booked, caller.provider()));
    }
    refused(ask(&one, &shared, "2026-11-23 09:00").await, "SLOT_TAKEN");
    refused(ask(&one, &others, "2026-11-23 15:00").await, "NOT_OFFERED");
    refused(ask(&world.customer().await, &shared, "2026-11-23 15:00").await, "ROLE_NOT_ALLOWED");
    assert_eq!(ask(&admin, &shared, "2026-11-23 15:00").await.unwrap().provider, one.provider());
}

async fn what_has_begun_is_not_the_customers_to_move_or_cancel(world: World) {
    let (provider, customer) = (world.provider().await, world.customer().await);
    let plain = world.own_type(&provider, kind(&[30])).await;
    let name =
        world.book_type(&customer, &provider, &plain, "2026-11-23 10:00").await.unwrap().name;
    let (start, end) = (berlin("2026-11-23 10:30"), berlin("2026-11-23 11:00"));
    let bare = world.book(&customer, &provider, start, end).await.unwrap().name;
    world.move_to("2026-11-23 09:59:59", "Europe/Berlin");
    world.reschedule(&customer, &name, "2026-11-23 11:00").await.unwrap();
    world.reschedule(&customer, &name, "2026-11-23 10:00").await.unwrap();
    world.move_to("2026-11-23 10:30", "Europe/Berlin");
    let before = world.state().await;
    for name in [&name, &bare] {
        refused(world.cancel(&customer, name).await, "TOO_LATE");
        refused(world.reschedule(&customer, name, "2026-11-23 15:00").await, "TOO_LATE");
    }
    assert_eq!(world.state().await, before);
    world.reschedule(&provider, &name, "2026-11-23 15:00").await.unwrap();
    world.cancel(&provider, &bare).await.unwrap();
    let request = CancelAppointmentRequest { name, ..Default::default() };
    world.booking().cancel_appointment(customer.asks(request)).await.unwrap();
    books::check(&world.sql().await).await;
}
