//! Whose contact data a provider sees: of those whom they know, and of nobody else.

use daybook::grpc::proto::{
    auth::Role,
    booking::{BookAppointmentRequest, HoldSlotRequest},
};

use super::{PHONE, caller, desk, enrol, found, get, invite, searching};
use crate::{
    conformance::behaviours,
    support::{
        World, berlin,
        people::Person,
        raw::seen,
        refusal::refused,
        types::{holding, kind},
    },
};

behaviours!(
    a_provider_sees_those_whom_they_know_and_nobody_else,
    a_hold_that_ended_gives_no_right,
    who_is_a_provider_no_more_sees_nobody,
);

/// Whether somebody sees a person, by reading and by finding alike.
async fn sees(world: &World, by: &Person, name: &str, prefix: &str) -> bool {
    let is_found = found(world, by, prefix, 1).await.contains(&name.to_owned());
    let read = get(world, by, name).await;
    assert_eq!(read.is_ok(), is_found, "{read:?}");
    if let Err(status) = read {
        // As if there were nobody of that name.
        let absent = "users/01980000-0000-7000-8000-000000000000";
        let missing = get(world, by, absent).await.unwrap_err();
        assert_eq!((seen(&status).0, seen(&status).1), (seen(&missing).0, seen(&missing).1));
        refused(invite(world, by, name).await, "NOT_FOUND");
    }
    is_found
}

async fn a_provider_sees_those_whom_they_know_and_nobody_else(world: World) {
    let (one, two, admin) = (world.provider().await, world.provider().await, world.admin().await);
    let mut all = Vec::new();
    for number in 0..5 {
        let new = caller(&format!("Kunde {number}"), "", PHONE);
        all.push(enrol(&world, &admin, new).await.unwrap().name);
    }
    let [booked, cancelled, twos, held, nobodys] = &all[..] else { panic!("not five") };
    let own = enrol(&world, &one, caller("Kunde 5", "own@example.org", "")).await.unwrap().name;
    let book = async |provider: &Person, customer: &str, hour: u32| {
        let at = |minute| Some(berlin(&format!("2026-11-23 {hour}:{minute:02}")));
        let request = BookAppointmentRequest {
            provider: provider.provider(),
            customer: customer.to_owned(),
            start_time: at(0),
            end_time: at(30),
            ..Default::default()
        };
        world.send(&admin, request).await.unwrap().name
    };
    for name in &all {
        assert!(!sees(&world, &one, name, "kunde").await, "nobody was there yet");
        assert!(sees(&world, &admin, name, "kunde").await);
    }
    book(&one, booked, 9).await;
    let gone = book(&one, cancelled, 10).await;
    world.cancel(&admin, &gone).await.unwrap();
    book(&two, twos, 11).await;
    let plain = world.own_type(&one, kind(&[30])).await;
    let hold =
        HoldSlotRequest { customer: held.clone(), ..holding(&one, &plain, "2026-11-23 13:00") };
    world.hold(&one, hold).await.unwrap();
    for (by, expected) in [
        (&one, vec![booked, cancelled, held, &own]),
        (&two, vec![twos]),
        (&admin, vec![booked, cancelled, twos, held, nobodys, &own]),
    ] {
        for name in all.iter().chain([&own]) {
            assert_eq!(sees(&world, by, name, "kunde").await, expected.contains(&name), "{name}");
        }
        for prefix in ["Kunde", PHONE, "own@"] {
            let known = found(&world, by, prefix, 2).await;
            assert!(known.iter().all(|name| expected.contains(&name)), "{prefix}: {known:?}");
        }
    }
    assert_eq!(get(&world, &one, booked).await.unwrap().phone, PHONE);
    // A colleague whom they treat is a customer of theirs.
    assert!(get(&world, &one, &two.user.name).await.is_err());
    book(&one, &two.user.name, 15).await;
    assert_eq!(get(&world, &one, &two.user.name).await.unwrap().email, two.user.email);
}

async fn a_hold_that_ended_gives_no_right(world: World) {
    let (provider, admin) = (world.provider().await, world.admin().await);
    let plain = world.own_type(&provider, kind(&[30])).await;
    let held = enrol(&world, &admin, caller("Kunde", "", PHONE)).await.unwrap().name;
    let hold = HoldSlotRequest {
        customer: held.clone(),
        ..holding(&provider, &plain, "2026-11-23 13:00")
    };
    world.hold(&admin, hold).await.unwrap();
    assert!(sees(&world, &provider, &held, "kun").await);
    world.move_to("2026-11-22 13:05", "Europe/Berlin");
    // Nobody wrote down that it ended.
    assert!(!sees(&world, &provider, &held, "kun").await);
}

async fn who_is_a_provider_no_more_sees_nobody(world: World) {
    let (provider, admin) = (world.provider().await, world.admin().await);
    let own = enrol(&world, &provider, caller("Kunde", "", PHONE)).await.unwrap().name;
    assert!(sees(&world, &provider, &own, "kun").await);
    let former = world.promote(&admin, &provider, Role::Customer).await;
    refused(get(&world, &former, &own).await, "ROLE_NOT_ALLOWED");
    let request = searching("kun", 0, String::new());
    refused(desk(&world).search_customers(former.asks(request)).await, "ROLE_NOT_ALLOWED");
    refused(enrol(&world, &former, caller("Kunde", "", PHONE)).await, "ROLE_NOT_ALLOWED");
    refused(invite(&world, &former, &own).await, "ROLE_NOT_ALLOWED");
}
