//! Providers who are forgotten.

use daybook::grpc::proto::{
    auth::{Role, SignUpRequest},
    booking::{
        AppointmentType, CreateScheduleRequest, CreateTimeOffRequest, GetProviderRequest, Schedule,
        TimeOff, appointment::State,
    },
};

use crate::{
    conformance::behaviours,
    support::{
        World, berlin,
        dump::{digits, dump},
        people::{sign_up, uuid},
        refusal::refused,
        types::kind,
    },
};

behaviours!(a_deleted_provider_leaves_no_words_and_nobody_waiting);

const CANARY: &str = "Andrena";

async fn a_deleted_provider_leaves_no_words_and_nobody_waiting(world: World) {
    let (customer, next) = (world.customer().await, world.customer().await);
    let request = sign_up(Role::Provider);
    let email = format!("andrena.{}", request.email);
    let request = SignUpRequest { display_name: CANARY.to_owned(), email, ..request };
    let email = request.email.clone();
    world.auth().sign_up(request).await.unwrap();
    let provider = world.log_in(&email).await;
    let of = AppointmentType {
        display_name: format!("{CANARY}'s visit"),
        description: CANARY.to_owned(),
        place: CANARY.to_owned(),
        ..kind(&[30])
    };
    let of = world.own_type(&provider, of).await;
    world.change_type(&provider, of.clone(), &["description"]).await;
    let (start_time, end_time) =
        (Some(berlin("2026-12-01 00:00")), Some(berlin("2026-12-02 00:00")));
    let time_off =
        Some(TimeOff { start_time, end_time, reason: CANARY.to_owned(), ..Default::default() });
    let parent = provider.provider();
    let off = CreateTimeOffRequest { parent: parent.clone(), time_off, request_id: uuid() };
    world.schedule().create_time_off(provider.asks(off)).await.unwrap();
    let schedule = Some(Schedule { time_zone: "UTC".to_owned(), ..Default::default() });
    let (schedule_id, request_id) = ("andrena".to_owned(), uuid());
    let named = CreateScheduleRequest { parent, schedule_id, schedule, request_id };
    world.schedule().create_schedule(provider.asks(named)).await.unwrap();
    // One that took place, of no type; what was agreed of a type with its name stays with the customer.
    let (start, end) = (berlin("2026-11-23 09:00"), berlin("2026-11-23 09:30"));
    let past = world.book(&customer, &provider, start, end).await.unwrap();
    let (start, end) = (berlin("2026-11-24 09:00"), berlin("2026-11-24 09:30"));
    let to_come = world.book(&customer, &provider, start, end).await.unwrap();
    world.hold_interval(&next, &provider, "2026-11-24 11:00", "2026-11-24 11:30").await;
    world.move_to("2026-11-23 09:10", "Europe/Berlin");
    // The provider is somebody's customer as well.
    let other = world.provider().await;
    let (start, end) = (berlin("2026-11-25 09:00"), berlin("2026-11-25 09:30"));
    let own = world.book(&provider, &other, start, end).await.unwrap();
    assert!(dump(&world).await.contains(&digits(CANARY.as_bytes())));

    world.leaves(&provider).await.unwrap();
    let stored = dump(&world).await;
    for word in [CANARY, "andrena"] {
        assert!(!stored.contains(&digits(word.as_bytes())), "{word}");
    }
    let seen = world.get(&customer, &past.name).await.unwrap();
    assert_eq!((seen.state(), seen.etag), (State::Booked, past.etag));
    assert_eq!(seen.customer_display_name, customer.user.display_name);
    let seen = world.get(&customer, &to_come.name).await.unwrap();
    assert_eq!(seen.state(), State::Cancelled);
    assert_eq!(seen.cancel_reason, "the provider's account was deleted");
    assert_eq!(seen.customer_display_name, customer.user.display_name);
    assert_eq!(world.get(&other, &own.name).await.unwrap().state(), State::Cancelled);
    assert_eq!(world.count("SELECT count(*) FROM appointments WHERE state = 'held'").await, 0);
    assert_eq!(world.count("SELECT count(*) FROM offerings").await, 0);
    let get = GetProviderRequest { name: provider.provider() };
    refused(world.schedule().get_provider(customer.asks(get)).await, "NOT_FOUND");
    let (start, end) = (berlin("2026-11-24 14:00"), berlin("2026-11-24 14:30"));
    refused(world.book(&next, &provider, start, end).await, "NOT_FOUND");
    let booked = world.book_type(&next, &provider, &of, "2026-11-24 14:00").await;
    refused(booked, "NOT_FOUND");
    world.nothing_is_amiss().await;
}
