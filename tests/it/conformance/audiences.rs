//! What is for the provider's side alone: customers cannot tell that it happened.

use daybook::grpc::proto::{
    auth::{
        ExportMyDataRequest, personal_data_service_client::PersonalDataServiceClient,
        personal_record::Record,
    },
    booking::{
        Appointment, AppointmentEvent, AppointmentType, BookAppointmentRequest,
        CancelAppointmentRequest, ListAppointmentEventsRequest, ListAppointmentsRequest,
        RescheduleAppointmentRequest, UpdateAppointmentRequest, appointment::State,
        appointment_event::Kind,
    },
};
use prost_types::FieldMask;

use super::behaviours;
use crate::support::{
    World, berlin, books,
    people::{PASSWORD, Person},
    refusal::refused,
    types::{kind, local, minutes, typed},
};

behaviours!(
    a_private_note_leaves_no_trace_for_the_customer,
    a_private_note_keeps_the_customers_etag_good,
    what_ends_by_itself_is_told_in_spite_of_a_note,
    why_staff_overrode_is_theirs,
);

async fn write(world: &World, by: &Person, name: &str, path: &str, text: &str) -> Appointment {
    let appointment = Appointment {
        name: name.to_owned(),
        private_note: text.to_owned(),
        customer_message: text.to_owned(),
        ..Default::default()
    };
    let request = UpdateAppointmentRequest {
        appointment: Some(appointment),
        update_mask: Some(FieldMask { paths: vec![path.to_owned()] }),
        ..Default::default()
    };
    let answer = world.booking().update_appointment(by.asks(request)).await.unwrap();
    answer.into_inner().appointment.unwrap()
}

/// What the customer takes away: the appointment and its events.
async fn exported(world: &World, who: &Person) -> (Appointment, Vec<AppointmentEvent>) {
    let mut personal = PersonalDataServiceClient::new(world.channel.clone());
    let (mut found, mut page_token) = (Vec::new(), String::new());
    loop {
        let request = ExportMyDataRequest {
            current_password: PASSWORD.to_owned(),
            page_size: 500,
            page_token,
        };
        let page = personal.export_my_data(who.asks(request)).await.unwrap().into_inner();
        found.extend(page.records.into_iter().filter_map(|each| match each.record {
            Some(Record::Appointment(own)) => Some((own.appointment.unwrap(), own.events)),
            _ => None,
        }));
        page_token = page.next_page_token;
        if page_token.is_empty() {
            break;
        }
    }
    assert_eq!(found.len(), 1);
    found.remove(0)
}

async fn a_private_note_leaves_no_trace_for_the_customer(world: World) {
    let (provider, admin) = (world.provider().await, world.admin().await);
    // A provider elsewhere, who is a customer here.
    let customer = world.provider().await;
    let (start, end) = (berlin("2026-11-23 10:00"), berlin("2026-11-23 10:30"));
    let name = world.book(&customer, &provider, start, end).await.unwrap().name;
    let message = write(&world, &provider, &name, "customer_message", "bring your papers").await;
    let seen = world.get(&customer, &name).await.unwrap();
    let (events, taken) =
        (world.events_of(&customer, &name).await.unwrap(), exported(&world, &customer).await);
    let mut last = message;
    for (minute, by, text) in [("01", &provider, "one"), ("02", &admin, "two"), ("03", &admin, "")]
    {
        world.move_to(&format!("2026-11-22 13:{minute}"), "Europe/Berlin");
        let noted = write(&world, by, &name, "private_note", text).await;
        assert_ne!(noted.etag, last.etag);
        assert_eq!(local(noted.update_time), format!("2026-11-22 13:{minute}"));
        assert_eq!(noted.private_note, text);
        // Both fields, of which the customer's stays as it is.
        let both = Appointment { private_note: format!("{text}!"), ..noted };
        let request =
            UpdateAppointmentRequest { appointment: Some(both.clone()), ..Default::default() };
        let answer = world.booking().update_appointment(by.asks(request)).await.unwrap();
        last = answer.into_inner().appointment.unwrap();
        assert_eq!(world.get(&provider, &name).await.unwrap(), last);
        assert_eq!(world.get(&customer, &name).await.unwrap(), seen);
        assert_eq!(world.list(&customer, &[]).await, std::slice::from_ref(&seen));
        assert_eq!(world.events_of(&customer, &name).await.unwrap(), events);
        assert_eq!(exported(&world, &customer).await, taken);
    }
    for caller in [&provider, &admin] {
        let all = world.events_of(caller, &name).await.unwrap();
        let kinds: Vec<_> = all.iter().map(|event| event.kind()).collect();
        assert_eq!(kinds, [&[Kind::Booked, Kind::Updated][..], &[Kind::Noted; 6]].concat());
    }
    // Pages have what they are asked for.
    let request =
        ListAppointmentEventsRequest { parent: name.clone(), page_size: 1, ..Default::default() };
    let page = world.booking().list_appointment_events(customer.asks(request.clone())).await;
    let page = page.unwrap().into_inner();
    assert_eq!(page.events, events[..1]);
    let next = ListAppointmentEventsRequest { page_token: page.next_page_token, ..request };
    let page = world.booking().list_appointment_events(customer.asks(next)).await.unwrap();
    let page = page.into_inner();
    assert_eq!((page.events, page.next_page_token.as_str()), (events[1..].to_vec(), ""));
    // Nor does the time of the last change: neither a filter nor an order tells of it.
    let changed = async |caller: &Person| {
        let (customer, order_by) = (customer.user.name.clone(), "update_time desc".to_owned());
        let request = ListAppointmentsRequest {
            customer,
            order_by,
            update_start_time: Some(berlin("2026-11-22 13:01")),
            ..Default::default()
        };
        let page = world.booking().list_appointments(caller.asks(request)).await.unwrap();
        page.into_inner().appointments.len()
    };
    assert_eq!((changed(&customer).await, changed(&admin).await), (0, 1));
    // What is for the customer too shows itself, as of its own time.
    world.move_to("2026-11-22 13:05", "Europe/Berlin");
    write(&world, &provider, &name, "customer_message", "and your card").await;
    let told = world.get(&customer, &name).await.unwrap();
    assert_ne!(told.etag, seen.etag);
    assert_eq!(local(told.update_time), "2026-11-22 13:05");
    assert_eq!(changed(&customer).await, 1);
    assert_eq!(world.events_of(&customer, &name).await.unwrap().len(), 3);
    books::check(&world.sql().await).await;
}

async fn a_private_note_keeps_the_customers_etag_good(world: World) {
    let (provider, customer) = (world.provider().await, world.customer().await);
    let (start, end) = (berlin("2026-11-23 10:00"), berlin("2026-11-23 10:30"));
    let booked = world.book(&customer, &provider, start, end).await.unwrap();
    let name = booked.name.clone();
    let noted = write(&world, &provider, &name, "private_note", "one").await;
    let cancel = async |caller: &Person, etag: &str| {
        let (name, etag) = (name.clone(), etag.to_owned());
        let request = CancelAppointmentRequest { name, etag, ..Default::default() };
        world.booking().cancel_appointment(caller.asks(request)).await
    };
    let before = world.state().await;
    // Each side has its own: the provider read it before the colleague's note.
    refused(cancel(&provider, &booked.etag).await, "ETAG_STALE");
    refused(cancel(&customer, &noted.etag).await, "ETAG_STALE");
    assert_eq!(world.state().await, before);
    let request = RescheduleAppointmentRequest {
        name: name.clone(),
        start_time: Some(berlin("2026-11-23 12:00")),
        etag: booked.etag.clone(),
        ..Default::default()
    };
    let moved = world.booking().reschedule_appointment(customer.asks(request)).await.unwrap();
    let moved = moved.into_inner().appointment.unwrap();
    write(&world, &provider, &name, "private_note", "two").await;
    refused(cancel(&customer, &booked.etag).await, "ETAG_STALE");
    cancel(&customer, &moved.etag).await.unwrap();
    // A note on what is over changes nothing for the customer either.
    let gone = world.get(&customer, &name).await.unwrap();
    write(&world, &provider, &name, "private_note", "three").await;
    assert_eq!(world.get(&customer, &name).await.unwrap(), gone);
    books::check(&world.sql().await).await;
}

async fn what_ends_by_itself_is_told_in_spite_of_a_note(world: World) {
    let (provider, customer) = (world.provider().await, world.customer().await);
    let asked =
        AppointmentType { requires_approval: true, request_expiry: minutes(60), ..kind(&[30]) };
    let asked = world.own_type(&provider, asked).await;
    let pending = world.book_type(&customer, &provider, &asked, "2026-11-23 10:00").await.unwrap();
    world.move_to("2026-11-22 13:30", "Europe/Berlin");
    write(&world, &provider, &pending.name, "private_note", "one").await;
    assert_eq!(world.get(&customer, &pending.name).await.unwrap(), pending);
    world.move_to("2026-11-22 14:10", "Europe/Berlin");
    let seen = world.get(&customer, &pending.name).await.unwrap();
    assert_eq!(
        (seen.state(), local(seen.update_time)),
        (State::Declined, "2026-11-22 14:00".into())
    );
    // Written down by a note, which is the first write at that provider since.
    write(&world, &provider, &pending.name, "private_note", "two").await;
    let told = world.get(&customer, &pending.name).await.unwrap();
    assert_eq!(Appointment { etag: seen.etag.clone(), ..told }, seen);
    let events = world.events_of(&customer, &pending.name).await.unwrap();
    let kinds: Vec<_> = events.iter().map(|event| event.kind()).collect();
    assert_eq!(kinds, [Kind::Requested, Kind::Expired]);
    books::check(&world.sql().await).await;
}

async fn why_staff_overrode_is_theirs(world: World) {
    let (provider, customer, admin) =
        (world.provider().await, world.customer().await, world.admin().await);
    let plain = world.own_type(&provider, kind(&[30])).await;
    let request = BookAppointmentRequest {
        customer: customer.user.name.clone(),
        override_reason: "shouts when kept waiting".to_owned(),
        ..typed(&provider, &plain, "2026-11-23 20:07")
    };
    let booked = world.send(&provider, request).await.unwrap();
    let request = RescheduleAppointmentRequest {
        name: booked.name.clone(),
        start_time: Some(berlin("2026-11-23 21:07")),
        override_reason: "shouts again".to_owned(),
        ..Default::default()
    };
    let moved = world.booking().reschedule_appointment(admin.asks(request)).await.unwrap();
    let moved = moved.into_inner().appointment.unwrap();
    assert_eq!(
        (&*booked.override_reason, &*moved.override_reason),
        ("shouts when kept waiting", "shouts again")
    );
    assert_eq!(world.get(&provider, &moved.name).await.unwrap(), moved);
    let hidden = Appointment { override_reason: String::new(), ..moved.clone() };
    assert_eq!(world.get(&customer, &moved.name).await.unwrap(), hidden);
    assert_eq!(world.list(&customer, &[]).await, [hidden]);
    let told = world.events_of(&customer, &moved.name).await.unwrap();
    let (own, exported) = exported(&world, &customer).await;
    assert!(!format!("{told:?} {own:?} {exported:?}").contains("shouts"));
    assert_eq!(told, exported);
    for caller in [&provider, &admin] {
        let told = world.events_of(caller, &moved.name).await.unwrap();
        let why: Vec<_> = told.iter().map(|event| &*event.override_reason).collect();
        assert_eq!(why, ["shouts when kept waiting", "shouts again"]);
    }
    // Nor in the answer to what the customer does.
    let gone = world.cancel(&customer, &moved.name).await.unwrap();
    assert_eq!(gone.override_reason, "");
    books::check(&world.sql().await).await;
}
