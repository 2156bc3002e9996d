//! Events name who acted, as the reader may know them; an appointment says who cancelled it and when.

use daybook::grpc::proto::{
    auth::Role,
    booking::{
        Appointment, AppointmentEvent, AppointmentType, CancelAppointmentRequest,
        DeclineAppointmentRequest, Party, ReassignAppointmentRequest, appointment::State,
    },
};

use super::behaviours;
use crate::support::{
    World, berlin, books,
    people::Person,
    services::{BOOKING, any_customer},
    types::{kind, minutes},
};

behaviours!(
    events_name_who_acted,
    service_accounts_are_named_to_staff,
    a_former_provider_is_the_practice,
    an_appointment_says_who_cancelled_it_and_when,
    an_appointment_tells_the_cut_offs_that_were_agreed,
);

async fn book(world: &World, customer: &Person, provider: &Person, hour: u32) -> Appointment {
    let at = |minute: u32| berlin(&format!("2026-11-23 {hour}:{minute:02}"));
    world.book(customer, provider, at(0), at(30)).await.unwrap()
}

/// Who acted, by party and name.
fn actors(events: &[AppointmentEvent]) -> Vec<(Party, &str)> {
    events.iter().map(|event| (event.actor_party(), &*event.actor_display_name)).collect()
}

async fn told(world: &World, caller: &Person, name: &str) -> Vec<AppointmentEvent> {
    world.events_of(caller, name).await.unwrap()
}

async fn events_name_who_acted(world: World) {
    let (ada, admin, carl) = (world.provider().await, world.admin().await, world.customer().await);
    let name = book(&world, &carl, &ada, 10).await.name;
    world.reschedule(&ada, &name, "2026-11-23 11:00").await.unwrap();
    world.reschedule(&admin, &name, "2026-11-23 12:00").await.unwrap();
    let (carls, adas) = (&*carl.user.display_name, &*ada.user.display_name);
    let both = [(Party::Customer, carls), (Party::Provider, adas)];
    for staff in [&ada, &admin] {
        let told = told(&world, staff, &name).await;
        assert_eq!(actors(&told)[..2], both);
        assert_eq!(actors(&told)[2], (Party::Practice, &*admin.user.display_name));
    }
    // The customer knows the provider, and nobody else of the practice.
    let told = told(&world, &carl, &name).await;
    assert_eq!(actors(&told)[..2], both);
    assert_eq!(actors(&told)[2], (Party::Practice, "the practice"));
}

async fn service_accounts_are_named_to_staff(world: World) {
    let (ada, admin, carl) = (world.provider().await, world.admin().await, world.customer().await);
    let shop = world.backend(&admin, Role::Admin, any_customer(), &[BOOKING]).await;
    let at = |minute: u32| berlin(&format!("2026-11-23 10:{minute:02}"));
    let request = crate::support::people::booking(&ada, at(0), at(30));
    let acting = shop.asks_for(request, &carl.user.name);
    let booked = world.booking().book_appointment(acting).await.unwrap().into_inner();
    let name = booked.appointment.unwrap().name;
    let request = CancelAppointmentRequest { name: name.clone(), ..Default::default() };
    let cancelled = world.booking().cancel_appointment(shop.asks(request)).await.unwrap();
    let cancelled = cancelled.into_inner().appointment.unwrap();
    assert_eq!(cancelled.cancelled_by(), Party::Practice);
    let customer = (Party::Customer, &*carl.user.display_name);
    for staff in [&ada, &admin] {
        let told = told(&world, staff, &name).await;
        assert_eq!(actors(&told), [customer, (Party::Practice, "Web shop")]);
        assert_eq!(told[0].service_account, shop.account.name);
    }
    let told = told(&world, &carl, &name).await;
    assert_eq!(actors(&told), [customer, (Party::Practice, "the practice")]);
    // What happens by itself is nobody's act.
    let asked =
        AppointmentType { requires_approval: true, request_expiry: minutes(60), ..kind(&[30]) };
    let asked = world.own_type(&ada, asked).await;
    let pending = world.book_type(&carl, &ada, &asked, "2026-11-23 14:00").await.unwrap().name;
    world.forward(chrono::TimeDelta::minutes(60));
    let events = world.events_of(&carl, &pending).await.unwrap();
    assert_eq!(actors(&events), [customer, (Party::Unspecified, "")]);
}

async fn a_former_provider_is_the_practice(world: World) {
    let (ada, ben, carl) = (world.provider().await, world.provider().await, world.customer().await);
    let name = book(&world, &carl, &ada, 10).await.name;
    let request = ReassignAppointmentRequest {
        name: name.clone(),
        provider: ben.provider(),
        ..Default::default()
    };
    let given = world.booking().reassign_appointment(ada.asks(request)).await.unwrap();
    let given = given.into_inner().appointment.unwrap().name;
    // Who has it now reads what was before, by the provider of that time.
    let before = told(&world, &ben, &name).await;
    let (carls, adas) = (&*carl.user.display_name, &*ada.user.display_name);
    assert_eq!(actors(&before), [(Party::Customer, carls), (Party::Provider, adas)]);
    assert_eq!(actors(&told(&world, &ben, &given).await), [(Party::Practice, adas)]);
    assert_eq!(actors(&told(&world, &carl, &given).await), [(Party::Practice, "the practice")]);
    let left = world.get(&carl, &name).await.unwrap();
    assert_eq!((left.state(), left.cancelled_by()), (State::Cancelled, Party::Provider));
    books::check(&world.sql().await).await;
}

async fn an_appointment_says_who_cancelled_it_and_when(world: World) {
    let (ada, admin, carl) = (world.provider().await, world.admin().await, world.customer().await);
    let asked =
        AppointmentType { requires_approval: true, request_expiry: minutes(120), ..kind(&[30]) };
    let asked = world.own_type(&ada, asked).await;
    for (hour, by, party) in
        [(9, &carl, Party::Customer), (10, &ada, Party::Provider), (11, &admin, Party::Practice)]
    {
        let booked = book(&world, &carl, &ada, hour).await;
        assert_eq!((booked.cancel_time, booked.cancelled_by()), (None, Party::Unspecified));
        world.forward(chrono::TimeDelta::minutes(1));
        let cancelled = world.cancel(by, &booked.name).await.unwrap();
        assert_eq!(cancelled.cancelled_by(), party);
        assert_eq!(cancelled.cancel_time, cancelled.update_time);
        // What is written on it later does not move that.
        world.forward(chrono::TimeDelta::minutes(1));
        let note = Appointment {
            name: booked.name.clone(),
            private_note: "pays late".to_owned(),
            ..Default::default()
        };
        let request = daybook::grpc::proto::booking::UpdateAppointmentRequest {
            appointment: Some(note),
            ..Default::default()
        };
        world.booking().update_appointment(ada.asks(request)).await.unwrap();
        for reader in [&carl, &ada, &admin] {
            let found = world.get(reader, &booked.name).await.unwrap();
            assert_eq!((found.cancel_time, found.cancelled_by()), (cancelled.cancel_time, party));
        }
    }
    let declined = world.book_type(&carl, &ada, &asked, "2026-11-23 14:00").await.unwrap().name;
    let request = DeclineAppointmentRequest { name: declined.clone(), ..Default::default() };
    world.booking().decline_appointment(ada.asks(request)).await.unwrap();
    let found = world.get(&carl, &declined).await.unwrap();
    assert_eq!((found.cancelled_by(), found.cancel_time), (Party::Provider, found.update_time));
    // Nobody answered: from its moment on, and after it was written down.
    let pending = world.book_type(&carl, &ada, &asked, "2026-11-23 15:00").await.unwrap();
    world.forward(chrono::TimeDelta::minutes(121));
    for is_written in [false, true] {
        let found = world.get(&carl, &pending.name).await.unwrap();
        assert_eq!((found.state(), found.cancelled_by()), (State::Declined, Party::Unspecified));
        assert_eq!(found.cancel_time, pending.expire_time);
        let events = told(&world, &carl, &pending.name).await;
        assert_eq!(events.last().unwrap().version > 0, is_written);
        if !is_written {
            let other = world.customer().await;
            world.book_type(&other, &ada, &asked, "2026-11-23 16:00").await.unwrap();
        }
    }
    books::check(&world.sql().await).await;
}

async fn an_appointment_tells_the_cut_offs_that_were_agreed(world: World) {
    let (ada, carl) = (world.provider().await, world.customer().await);
    let of = AppointmentType {
        cancel_cutoff: minutes(120),
        reschedule_cutoff: minutes(60),
        ..kind(&[30])
    };
    let of = world.own_type(&ada, of).await;
    let booked = world.book_type(&carl, &ada, &of, "2026-11-23 10:00").await.unwrap();
    assert_eq!((booked.cancel_cutoff, booked.reschedule_cutoff), (minutes(120), minutes(60)));
    world
        .change_type(&ada, AppointmentType { cancel_cutoff: minutes(30), ..of }, &["cancel_cutoff"])
        .await;
    let found = world.get(&carl, &booked.name).await.unwrap();
    assert_eq!((found.cancel_cutoff, found.reschedule_cutoff), (minutes(120), minutes(60)));
    assert_eq!(book(&world, &carl, &ada, 12).await.cancel_cutoff, None);
}
