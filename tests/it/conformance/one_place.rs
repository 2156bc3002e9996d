//! A person is in one place: who treats somebody is not a colleague's customer then, whichever came first.

use daybook::grpc::proto::{
    auth::{Role, SetUserRoleRequest},
    booking::{
        Appointment, AppointmentType, BookAppointmentRequest, CompleteAppointmentRequest,
        DeclineAppointmentRequest, ReassignAppointmentRequest, appointment::State,
    },
};
use futures_util::future::join_all;
use tonic::Status;

use super::behaviours;
use crate::support::{
    World, berlin, books,
    people::Person,
    refusal::{reason_of, refused},
    rounds,
    types::{holding, kind, local, minutes, typed},
};

behaviours!(
    who_treats_somebody_is_nobodys_customer,
    who_is_a_customer_treats_nobody,
    what_is_moved_and_called_off_frees_both,
    a_request_claims_the_customers_own_time_until_it_ends,
    holds_keep_their_promise,
    who_was_in_two_places_before_is_marked,
    who_becomes_a_provider_keeps_what_they_attend,
    colleagues_who_book_each_other_at_once,
    colleagues_who_book_each_other_at_two_servers,
);

async fn book(
    world: &World,
    customer: &Person,
    provider: &Person,
    (from, until): (&str, &str),
) -> Result<Appointment, Status> {
    let at = |time: &str| berlin(&format!("2026-11-23 {time}"));
    world.book(customer, provider, at(from), at(until)).await
}

/// The starts of the provider's slots of half an hour on the day.
async fn starts(world: &World, caller: &Person, provider: &Person) -> Vec<String> {
    let free = world.availability(caller, provider, (2026, 11, 23)).await;
    free.slots.iter().map(|slot| local(slot.start_time)[11..].to_owned()).collect()
}

async fn who_treats_somebody_is_nobodys_customer(world: World) {
    let (ada, ben, carl) = (world.provider().await, world.provider().await, world.customer().await);
    let buffered = AppointmentType {
        buffer_before: minutes(30),
        buffer_after: minutes(30),
        slot_step: minutes(30),
        ..kind(&[30])
    };
    let buffered = world.own_type(&ada, buffered).await;
    let plain = world.own_type(&ben, kind(&[30])).await;
    let one = world.book_type(&carl, &ada, &buffered, "2026-11-23 10:00").await.unwrap();
    let before = world.state().await;
    for (from, until) in [("10:00", "10:30"), ("09:45", "10:01"), ("10:29", "11:00")] {
        refused(book(&world, &ada, &ben, (from, until)).await, "CUSTOMER_BUSY");
    }
    refused(world.book_type(&ada, &ben, &plain, "2026-11-23 10:00").await, "CUSTOMER_BUSY");
    // Nor does staff lift it, nor is a hold booked.
    let request = BookAppointmentRequest {
        customer: ada.user.name.clone(),
        override_reason: "an emergency".to_owned(),
        ..typed(&ben, &plain, "2026-11-23 10:00")
    };
    refused(world.send(&ben, request).await, "CUSTOMER_BUSY");
    // Nor is it held, which would keep others away for nothing.
    refused(world.hold(&ada, holding(&ben, &plain, "2026-11-23 10:00")).await, "CUSTOMER_BUSY");
    assert_eq!(world.state().await, before);
    // What was held before is no promise against whoever comes first.
    let hold = world.hold(&ada, holding(&ben, &plain, "2026-11-23 14:00")).await.unwrap();
    let other = world.book_type(&carl, &ada, &buffered, "2026-11-23 14:00").await.unwrap();
    refused(world.book_hold(&ada, &hold).await, "CUSTOMER_BUSY");
    world.cancel(&carl, &other.name).await.unwrap();
    world.book_hold(&ada, &hold).await.unwrap();
    // What touches is no overlap. The buffers are the provider's own time, in which they prepare.
    refused(book(&world, &ada, &ben, ("10:30", "11:00")).await, "CUSTOMER_BUSY");
    book(&world, &ada, &ben, ("11:00", "11:30")).await.unwrap();
    world.cancel(&carl, &one.name).await.unwrap();
    let hold = world.hold(&ada, holding(&ben, &plain, "2026-11-23 10:00")).await.unwrap();
    world.book_hold(&ada, &hold).await.unwrap();
    books::check(&world.sql().await).await;
}

/// From before a person was in one place, or by a process of that time.
async fn who_was_in_two_places_before_is_marked(world: World) {
    let (ada, ben, carl) = (world.provider().await, world.provider().await, world.customer().await);
    let attended = book(&world, &ada, &ben, ("10:00", "10:30")).await.unwrap();
    let forget = "DELETE FROM appointments WHERE claim_of IS NOT NULL";
    world.execute(forget, forget).await;
    book(&world, &carl, &ada, ("10:00", "10:30")).await.unwrap();
    world.move_to("2026-11-23 10:30", "Europe/Berlin");
    let request = CompleteAppointmentRequest { name: attended.name, ..Default::default() };
    let done = world.booking().complete_appointment(ben.asks(request)).await.unwrap();
    assert_eq!(done.into_inner().appointment.unwrap().state(), State::Completed);
}

async fn who_is_a_customer_treats_nobody(world: World) {
    let (ada, ben, carl) = (world.provider().await, world.provider().await, world.customer().await);
    let other = world.provider().await;
    let plain = world.own_type(&ada, kind(&[30])).await;
    book(&world, &ada, &ben, ("10:00", "10:30")).await.unwrap();
    assert_eq!(starts(&world, &carl, &ada).await.len(), 15);
    assert!(!starts(&world, &carl, &ada).await.contains(&"10:00".to_owned()));
    assert!(!world.starts_of(&carl, &plain, "2026-11-23").await.contains(&"10:00".to_owned()));
    let against = world.explain(&carl, &ada, &plain, berlin("2026-11-23 10:00")).await;
    assert_eq!(against.len(), 1);
    let elsewhere = book(&world, &carl, &other, ("13:00", "13:30")).await.unwrap().name;
    let mine = world.book_type(&carl, &ada, &plain, "2026-11-23 12:00").await.unwrap().name;
    let before = world.state().await;
    refused(book(&world, &carl, &ada, ("10:15", "10:45")).await, "SLOT_TAKEN");
    refused(world.book_type(&carl, &ada, &plain, "2026-11-23 10:00").await, "SLOT_TAKEN");
    refused(world.hold(&carl, holding(&ada, &plain, "2026-11-23 10:00")).await, "SLOT_TAKEN");
    refused(world.reschedule(&carl, &mine, "2026-11-23 10:00").await, "SLOT_TAKEN");
    let request = BookAppointmentRequest {
        customer: carl.user.name.clone(),
        override_reason: "an emergency".to_owned(),
        ..typed(&ada, &plain, "2026-11-23 10:00")
    };
    refused(world.send(&ada, request).await, "SLOT_TAKEN");
    assert_eq!(world.state().await, before);
    // Nor is it given to them.
    world.reschedule(&carl, &elsewhere, "2026-11-23 10:00").await.unwrap();
    let before = world.state().await;
    let request = ReassignAppointmentRequest {
        name: elsewhere,
        provider: ada.provider(),
        ..Default::default()
    };
    let given = world.booking().reassign_appointment(other.asks(request)).await;
    refused(given, "SLOT_TAKEN");
    assert_eq!(world.state().await, before);
    // What they see of themselves is unchanged: no hold, no appointment more.
    assert_eq!(world.list(&ada, &[]).await.len(), 1);
    books::check(&world.sql().await).await;
}

async fn what_is_moved_and_called_off_frees_both(world: World) {
    let (ada, ben, eve) = (world.provider().await, world.provider().await, world.provider().await);
    let carl = world.customer().await;
    let name = book(&world, &ada, &ben, ("10:00", "10:30")).await.unwrap().name;
    world.reschedule(&ada, &name, "2026-11-23 10:15").await.unwrap();
    refused(book(&world, &carl, &ada, ("10:30", "10:45")).await, "SLOT_TAKEN");
    let early = book(&world, &carl, &ada, ("10:00", "10:15")).await.unwrap().name;
    refused(world.reschedule(&ada, &name, "2026-11-23 10:00").await, "CUSTOMER_BUSY");
    // With another provider it is the same time.
    let request =
        ReassignAppointmentRequest { name, provider: eve.provider(), ..Default::default() };
    let given = world.booking().reassign_appointment(ben.asks(request)).await.unwrap();
    let given = given.into_inner().appointment.unwrap();
    refused(book(&world, &carl, &ada, ("10:30", "10:45")).await, "SLOT_TAKEN");
    world.cancel(&ada, &given.name).await.unwrap();
    book(&world, &carl, &ada, ("10:30", "10:45")).await.unwrap();
    world.cancel(&ada, &early).await.unwrap();
    assert_eq!(starts(&world, &carl, &ada).await.len(), 15);
    books::check(&world.sql().await).await;
}

async fn a_request_claims_the_customers_own_time_until_it_ends(world: World) {
    let (ada, ben, carl) = (world.provider().await, world.provider().await, world.customer().await);
    let asked =
        AppointmentType { requires_approval: true, request_expiry: minutes(60), ..kind(&[30]) };
    let asked = world.own_type(&ben, asked).await;
    let first = world.book_type(&ada, &ben, &asked, "2026-11-23 10:00").await.unwrap();
    let second = world.book_type(&ada, &ben, &asked, "2026-11-23 11:00").await.unwrap();
    refused(book(&world, &carl, &ada, ("10:00", "10:30")).await, "SLOT_TAKEN");
    let request = DeclineAppointmentRequest { name: second.name, ..Default::default() };
    world.booking().decline_appointment(ben.asks(request)).await.unwrap();
    book(&world, &carl, &ada, ("11:00", "11:30")).await.unwrap();
    world.move_to("2026-11-22 13:59:59", "Europe/Berlin");
    assert_eq!(starts(&world, &carl, &ada).await.len(), 14);
    refused(book(&world, &carl, &ada, ("10:00", "10:30")).await, "SLOT_TAKEN");
    // Nobody answered: both are free, though nobody wrote it down.
    world.move_to("2026-11-22 14:00", "Europe/Berlin");
    assert_eq!(starts(&world, &carl, &ada).await.len(), 15);
    book(&world, &carl, &ada, ("10:00", "10:30")).await.unwrap();
    assert_eq!(
        world.get(&ada, &first.name).await.unwrap().cancel_reason,
        "nobody answered in time"
    );
    books::check(&world.sql().await).await;
}

async fn holds_keep_their_promise(world: World) {
    let (ada, ben, carl) = (world.provider().await, world.provider().await, world.customer().await);
    let plain = world.own_type(&ada, kind(&[30])).await;
    // Who holds Ada's time gets it.
    let hold = world.hold(&carl, holding(&ada, &plain, "2026-11-23 10:00")).await.unwrap();
    refused(book(&world, &ada, &ben, ("10:00", "10:30")).await, "CUSTOMER_BUSY");
    world.book_hold(&carl, &hold).await.unwrap();
    // What has ended keeps nobody.
    world.hold(&carl, holding(&ada, &plain, "2026-11-23 11:00")).await.unwrap();
    world.move_to("2026-11-22 13:05", "Europe/Berlin");
    book(&world, &ada, &ben, ("11:00", "11:30")).await.unwrap();
    // What Ada attends is no hold of hers, and counts for none.
    for hour in ["09", "12", "13", "14", "15"] {
        let theirs = world.own_type(&ben, kind(&[30])).await;
        world.hold(&ada, holding(&ben, &theirs, &format!("2026-11-23 {hour}:00"))).await.unwrap();
    }
    books::check(&world.sql().await).await;
}

async fn who_becomes_a_provider_keeps_what_they_attend(world: World) {
    let (ben, dora, admin) = (world.provider().await, world.customer().await, world.admin().await);
    let carl = world.customer().await;
    let over = book(&world, &dora, &ben, ("09:00", "09:30")).await.unwrap();
    world.cancel(&dora, &over.name).await.unwrap();
    book(&world, &dora, &ben, ("10:00", "10:30")).await.unwrap();
    let dora = world.promote(&admin, &dora, Role::Provider).await;
    refused(book(&world, &carl, &dora, ("10:00", "10:30")).await, "SLOT_TAKEN");
    book(&world, &carl, &dora, ("09:00", "09:30")).await.unwrap();
    // Who is one no more still is in one place.
    let request = SetUserRoleRequest {
        name: dora.user.name.clone(),
        role: Role::Customer.into(),
        ..Default::default()
    };
    world.auth().set_user_role(admin.asks(request)).await.unwrap();
    let dora = world.log_in(&dora.user.email).await;
    for _ in 0..2 {
        refused(book(&world, &dora, &ben, ("09:15", "09:45")).await, "CUSTOMER_BUSY");
    }
    book(&world, &dora, &ben, ("09:30", "10:00")).await.unwrap();
    books::check(&world.sql().await).await;
}

/// Everybody books everybody else for the same half hours at once: nobody is in two places, and nobody waits in
/// a circle.
async fn at_once(one: &World, other: &World) {
    let mut all = Vec::new();
    for _ in 0..4 {
        all.push(one.provider().await);
    }
    let carl = one.customer().await;
    for round in 0..rounds(4, 30) {
        let (hour, minute) = (9 + round / 2 % 8, round % 2 * 30);
        let day = 23 + round / 16;
        let (start, end) = (
            format!("2026-11-{day} {hour:02}:{minute:02}"),
            format!("2026-11-{day} {hour:02}:{:02}", minute + 29),
        );
        let pairs = (0..4).flat_map(|a| (0..4).map(move |b| (a, b))).filter(|(a, b)| a != b);
        let calls = pairs.chain((0..4).map(|b| (4, b))).enumerate().map(|(place, (a, b))| {
            let world = if place % 2 == 0 { one } else { other };
            let (customer, provider) = (all.get(a).unwrap_or(&carl), &all[b]);
            let (start, end) = (berlin(&start), berlin(&end));
            async move { world.book(customer, provider, start, end).await }
        });
        let calls: Vec<_> = calls.collect();
        let answers = join_all(calls).await;
        let booked = answers.iter().filter(|answer| answer.is_ok()).count();
        assert!((1..=2).contains(&booked), "five people, two at a time: {booked}");
        for status in answers.iter().filter_map(|answer| answer.as_ref().err()) {
            let reason = reason_of(status);
            assert!(["SLOT_TAKEN", "CUSTOMER_BUSY"].contains(&&*reason), "{status:?}");
        }
    }
    books::check(&one.sql().await).await;
}

async fn colleagues_who_book_each_other_at_once(world: World) {
    at_once(&world, &world).await;
}

async fn colleagues_who_book_each_other_at_two_servers(world: World) {
    at_once(&world, &world.beside().await).await;
}
