//! Cut-offs are not evaded by moving far ahead and cancelling.

use daybook::grpc::proto::booking::{
    AppointmentType, ApproveAppointmentRequest, ReassignAppointmentRequest, appointment::State,
};

use super::behaviours;
use crate::support::{
    World, books,
    people::Person,
    refusal::refused,
    types::{kind, minutes},
};

behaviours!(
    who_moves_inside_the_cut_off_cancels_late,
    who_moves_in_time_does_not,
    staff_are_late_for_nothing,
);

/// A type that is cancelled a day before, and moved until the start.
async fn firm(world: &World, provider: &Person) -> AppointmentType {
    let firm = AppointmentType { cancel_cutoff: minutes(24 * 60), ..kind(&[30]) };
    world.own_type(provider, firm).await
}

async fn who_moves_inside_the_cut_off_cancels_late(world: World) {
    let (provider, other, customer, admin) = (
        world.provider().await,
        world.provider().await,
        world.customer().await,
        world.admin().await,
    );
    let firm = AppointmentType { cancel_cutoff: minutes(24 * 60), ..kind(&[30]) };
    let firm = world.shared_type(&admin, firm, &[&provider, &other]).await;
    let name = world.book_type(&customer, &provider, &firm, "2026-11-23 12:30").await.unwrap().name;
    // Sunday 13:00: half an hour inside.
    refused(world.cancel(&customer, &name).await, "TOO_LATE");
    let moved = world.reschedule(&customer, &name, "2026-12-08 10:00").await.unwrap();
    assert!(!moved.late_cancellation);
    // However often it is moved, and by whom, and to whom it is given.
    world.reschedule(&customer, &name, "2026-12-09 10:00").await.unwrap();
    world.reschedule(&provider, &name, "2026-12-10 10:00").await.unwrap();
    assert!(!world.get(&provider, &name).await.unwrap().late_cancellation);
    let request =
        ReassignAppointmentRequest { name, provider: other.provider(), ..Default::default() };
    let given = world.booking().reassign_appointment(provider.asks(request)).await.unwrap();
    let name = given.into_inner().appointment.unwrap().name;
    let gone = world.cancel(&customer, &name).await.unwrap();
    // Nothing of it is the customer's to read.
    assert_eq!((gone.state(), gone.late_cancellation), (State::Cancelled, false));
    assert!(!world.get(&customer, &name).await.unwrap().late_cancellation);
    let events = world.events_of(&customer, &name).await.unwrap();
    assert!(events.iter().all(|event| !event.late_cancellation));
    for caller in [&other, &admin] {
        assert!(world.get(caller, &name).await.unwrap().late_cancellation);
        let events = world.events_of(caller, &name).await.unwrap();
        // It counts once.
        let late: Vec<_> = events.iter().filter(|event| event.late_cancellation).collect();
        assert_eq!((late.len(), &late[0].version), (1, &events.last().unwrap().version));
    }
    books::check(&world.sql().await).await;
}

async fn who_moves_in_time_does_not(world: World) {
    let (provider, customer) = (world.provider().await, world.customer().await);
    let firm = firm(&world, &provider).await;
    let book =
        async |start| world.book_type(&customer, &provider, &firm, start).await.unwrap().name;
    // To the second of the cut-off.
    let name = book("2026-11-23 13:00").await;
    world.reschedule(&customer, &name, "2026-11-24 10:00").await.unwrap();
    world.cancel(&customer, &name).await.unwrap();
    assert!(!world.get(&provider, &name).await.unwrap().late_cancellation);
    let name = book("2026-11-23 13:00").await;
    world.forward(chrono::TimeDelta::seconds(1));
    world.reschedule(&customer, &name, "2026-11-24 15:00").await.unwrap();
    world.cancel(&customer, &name).await.unwrap();
    assert!(world.get(&provider, &name).await.unwrap().late_cancellation);
    // What nobody agreed to is bound by nothing.
    let asked =
        AppointmentType { requires_approval: true, cancel_cutoff: minutes(24 * 60), ..kind(&[30]) };
    let asked = world.own_type(&provider, asked).await;
    let name =
        world.book_type(&customer, &provider, &asked, "2026-11-23 10:00").await.unwrap().name;
    world.reschedule(&customer, &name, "2026-11-26 10:00").await.unwrap();
    world.cancel(&customer, &name).await.unwrap();
    assert!(!world.get(&provider, &name).await.unwrap().late_cancellation);
    // What was, and is moved late with approval, is late from then on.
    let approve = async |name: &str| {
        let request = ApproveAppointmentRequest { name: name.to_owned(), ..Default::default() };
        world.booking().approve_appointment(provider.asks(request)).await.unwrap();
    };
    let name =
        world.book_type(&customer, &provider, &asked, "2026-11-23 10:00").await.unwrap().name;
    approve(&name).await;
    world.reschedule(&customer, &name, "2026-11-26 10:00").await.unwrap();
    refused(world.cancel(&customer, &name).await, "TOO_LATE");
    approve(&name).await;
    world.cancel(&customer, &name).await.unwrap();
    assert!(world.get(&provider, &name).await.unwrap().late_cancellation);
    books::check(&world.sql().await).await;
}

async fn staff_are_late_for_nothing(world: World) {
    let (provider, customer) = (world.provider().await, world.customer().await);
    let firm = firm(&world, &provider).await;
    let book =
        async |start| world.book_type(&customer, &provider, &firm, start).await.unwrap().name;
    // Staff moved it, and the customer calls off what staff set.
    let name = book("2026-11-23 10:00").await;
    world.reschedule(&provider, &name, "2026-11-26 10:00").await.unwrap();
    world.cancel(&customer, &name).await.unwrap();
    assert!(!world.get(&provider, &name).await.unwrap().late_cancellation);
    // The customer moved it late, and staff call it off.
    let name = book("2026-11-23 10:00").await;
    world.reschedule(&customer, &name, "2026-11-26 10:00").await.unwrap();
    world.cancel(&provider, &name).await.unwrap();
    assert!(!world.get(&provider, &name).await.unwrap().late_cancellation);
    books::check(&world.sql().await).await;
}
