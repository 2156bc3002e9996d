//! Nobody gets an appointment who is disabled, or with somebody who is a provider no more: by a move, an
//! approval or a reassignment as little as by a booking.

use daybook::grpc::proto::{
    auth::{DisableUserRequest, EnableUserRequest, Role, SetUserRoleRequest},
    booking::{
        Appointment, AppointmentType, ApproveAppointmentRequest, BookAppointmentRequest,
        DeclineAppointmentRequest, ReassignAppointmentRequest, RescheduleAppointmentRequest,
        appointment::State,
    },
};
use tonic::Status;
use tonic_types::StatusExt as _;

use super::behaviours;
use crate::support::{
    World, berlin, books,
    people::Person,
    refusal::refused,
    types::{holding, kind},
};

behaviours!(
    with_a_disabled_provider_nothing_is_agreed,
    with_a_provider_no_more_nothing_is_agreed,
    a_disabled_customer_gets_no_approval,
);

/// How somebody is shut out.
#[derive(Debug, Clone, Copy)]
enum Out {
    Disabled,
    OtherRole,
}

async fn shut_out(world: &World, admin: &Person, who: &Person, how: Out) {
    let name = who.user.name.clone();
    match how {
        Out::Disabled => {
            let request = DisableUserRequest { name, ..Default::default() };
            world.auth().disable_user(admin.asks(request)).await.unwrap();
        }
        Out::OtherRole => {
            let role = Role::Customer.into();
            let request = SetUserRoleRequest { name, role, ..Default::default() };
            world.auth().set_user_role(admin.asks(request)).await.unwrap();
        }
    }
}

async fn let_in(world: &World, admin: &Person, who: &Person, how: Out) {
    let name = who.user.name.clone();
    match how {
        Out::Disabled => {
            let request = EnableUserRequest { name, ..Default::default() };
            world.auth().enable_user(admin.asks(request)).await.unwrap();
        }
        Out::OtherRole => {
            let role = Role::Provider.into();
            let request = SetUserRoleRequest { name, role, ..Default::default() };
            world.auth().set_user_role(admin.asks(request)).await.unwrap();
        }
    }
}

async fn approve(world: &World, caller: &Person, name: &str) -> Result<Appointment, Status> {
    let request = ApproveAppointmentRequest { name: name.to_owned(), ..Default::default() };
    let answer = world.booking().approve_appointment(caller.asks(request)).await?;
    Ok(answer.into_inner().appointment.unwrap())
}

/// The resource that a refusal says is not there.
#[track_caller]
fn absent<T: std::fmt::Debug>(answer: Result<T, Status>) -> String {
    refused(answer, "NOT_FOUND").get_error_details().resource_info().unwrap().resource_name.clone()
}

async fn nothing_is_agreed(world: World, how: Out) {
    let (one, two, customer, admin) = (
        world.provider().await,
        world.provider().await,
        world.customer().await,
        world.admin().await,
    );
    let plain = world.shared_type(&admin, kind(&[30]), &[&one, &two]).await;
    let asked = AppointmentType { requires_approval: true, ..kind(&[30]) };
    let asked = world.shared_type(&admin, asked, &[&one, &two]).await;
    let bare = (berlin("2026-11-23 09:00"), berlin("2026-11-23 09:30"));
    let bare = world.book(&customer, &one, bare.0, bare.1).await.unwrap().name;
    let typed = world.book_type(&customer, &one, &plain, "2026-11-23 10:00").await.unwrap().name;
    let pending = world.book_type(&customer, &one, &asked, "2026-11-23 11:00").await.unwrap().name;
    let declined = world.book_type(&customer, &one, &asked, "2026-11-23 14:00").await.unwrap().name;
    let twos = world.book_type(&customer, &two, &plain, "2026-11-23 12:00").await.unwrap().name;
    let held = world.hold(&customer, holding(&one, &plain, "2026-11-23 13:00")).await.unwrap();
    shut_out(&world, &admin, &one, how).await;

    let before = world.state().await;
    for name in [&bare, &typed, &pending] {
        for caller in [&customer, &admin] {
            let moved = world.reschedule(caller, name, "2026-11-24 10:00").await;
            assert_eq!(absent(moved), one.provider());
        }
        let request = RescheduleAppointmentRequest {
            name: name.clone(),
            start_time: Some(berlin("2026-11-24 10:00")),
            override_reason: "an emergency".to_owned(),
            ..Default::default()
        };
        let forced = world.booking().reschedule_appointment(admin.asks(request)).await;
        assert_eq!(absent(forced), one.provider());
    }
    assert_eq!(absent(approve(&world, &admin, &pending).await), one.provider());
    assert_eq!(absent(world.book_hold(&customer, &held).await), one.provider());
    for (caller, override_reason) in [(&two, ""), (&admin, ""), (&admin, "an emergency")] {
        let (name, provider) = (twos.clone(), one.provider());
        let override_reason = override_reason.to_owned();
        let request =
            ReassignAppointmentRequest { name, provider, override_reason, ..Default::default() };
        let given = world.booking().reassign_appointment(caller.asks(request)).await;
        // A provider who gives it away lifts nobody else's rules.
        assert_eq!(absent(given), one.provider());
    }
    let request = BookAppointmentRequest {
        customer: customer.user.name.clone(),
        override_reason: "an emergency".to_owned(),
        ..crate::support::types::typed(&one, &plain, "2026-11-24 12:00")
    };
    assert_eq!(absent(world.send(&admin, request).await), one.provider());
    assert_eq!(world.state().await, before);

    // What ends or leaves them goes on.
    let request = DeclineAppointmentRequest { name: declined, ..Default::default() };
    world.booking().decline_appointment(admin.asks(request)).await.unwrap();
    world.cancel(&customer, &bare).await.unwrap();
    let (name, provider) = (typed.clone(), two.provider());
    let request = ReassignAppointmentRequest { name, provider, ..Default::default() };
    world.booking().reassign_appointment(admin.asks(request)).await.unwrap();
    // Once they are back, so is the rest.
    let_in(&world, &admin, &one, how).await;
    assert_eq!(approve(&world, &admin, &pending).await.unwrap().state(), State::Booked);
    world.reschedule(&admin, &pending, "2026-11-24 10:00").await.unwrap();
    books::check(&world.sql().await).await;
}

async fn with_a_disabled_provider_nothing_is_agreed(world: World) {
    nothing_is_agreed(world, Out::Disabled).await;
}

async fn with_a_provider_no_more_nothing_is_agreed(world: World) {
    nothing_is_agreed(world, Out::OtherRole).await;
}

async fn a_disabled_customer_gets_no_approval(world: World) {
    let (provider, customer, admin) =
        (world.provider().await, world.customer().await, world.admin().await);
    let asked = AppointmentType { requires_approval: true, ..kind(&[30]) };
    let asked = world.own_type(&provider, asked).await;
    let pending = world.book_type(&customer, &provider, &asked, "2026-11-23 10:00").await.unwrap();
    shut_out(&world, &admin, &customer, Out::Disabled).await;
    let before = world.state().await;
    for caller in [&provider, &admin] {
        assert_eq!(absent(approve(&world, caller, &pending.name).await), customer.user.name);
    }
    assert_eq!(world.state().await, before);
    let_in(&world, &admin, &customer, Out::Disabled).await;
    approve(&world, &provider, &pending.name).await.unwrap();
    books::check(&world.sql().await).await;
}
