//! How fast one caller may call, and who is one caller.

use std::{
    sync::atomic::{AtomicUsize, Ordering},
    time::Duration,
};

use daybook::grpc::proto::{
    auth::{GetMeRequest, Role, UpdateMeRequest, User},
    booking::ListAppointmentsRequest,
};
use prost_types::FieldMask;
use tonic::{Code, Request, Status};
use tonic_health::pb::{HealthCheckRequest, health_client::HealthClient};
use tonic_types::StatusExt;

use crate::support::{
    Engine, World,
    people::{Person, uuid, with_token},
    refusal::{reason_of, refused},
    services::{BOOKING, any_customer},
};

/// A rate of one call a second: five calls in a row are let in, and not many more.
const BURST: usize = 5;

/// Calls until it is refused for calling too often, and returns how many calls went before.
async fn calls(call: impl AsyncFn() -> Result<(), Status>) -> usize {
    for number in 0..1000 {
        let Err(status) = call().await else { continue };
        if reason_of(&status) != "RATE_LIMITED" {
            continue;
        }
        assert_eq!(status.code(), Code::ResourceExhausted);
        let delay = status.get_error_details().retry_info().unwrap().retry_delay.unwrap();
        assert!(!delay.is_zero() && delay <= Duration::from_secs(1), "{delay:?}");
        return number;
    }
    panic!("never refused")
}

/// A server that counts only what these settings say.
async fn world(kind: &str) -> World {
    let (rate, burst) = (format!("server.{kind}_per_second"), format!("server.{kind}_burst"));
    World::with(Engine::Sqlite, &[(&rate, "1"), (&burst, &BURST.to_string())]).await
}

async fn read(world: &World, person: &Person) -> Result<(), Status> {
    world.auth().get_me(person.asks(GetMeRequest {})).await.map(drop)
}

async fn write(world: &World, person: &Person) -> Result<(), Status> {
    let request = UpdateMeRequest {
        user: Some(User { display_name: "Ada".to_owned(), ..User::default() }),
        update_mask: Some(FieldMask { paths: vec!["display_name".to_owned()] }),
        request_id: uuid(),
    };
    world.auth().update_me(person.asks(request)).await.map(drop)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_user_who_reads_too_fast_is_held_up_and_nobody_else_is() {
    let world = world("caller_reads").await;
    let (ada, bob) = (world.customer().await, world.customer().await);
    assert!(calls(async || read(&world, &ada).await).await >= BURST);
    // On another connection and with another token it is the same user.
    let again = world.log_in(&ada.user.email).await;
    let mut other = world.auth();
    let mut refusals = 0;
    for _ in 0..BURST {
        refusals += usize::from(other.get_me(again.asks(GetMeRequest {})).await.is_err());
    }
    assert!(refusals > 0);
    // Others, and writes, are counted apart.
    for _ in 0..BURST {
        read(&world, &bob).await.unwrap();
        write(&world, &ada).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_user_who_writes_too_fast_is_held_up() {
    let world = world("caller_writes").await;
    let (ada, bob) = (world.customer().await, world.customer().await);
    assert!(calls(async || write(&world, &ada).await).await >= BURST);
    for _ in 0..BURST {
        read(&world, &ada).await.unwrap();
        write(&world, &bob).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn strangers_are_counted_by_address_and_probes_are_not() {
    let world = world("address_calls").await;
    let person = world.customer().await;
    let stranger = async |request| world.auth().get_me(request).await.map(drop);
    // Two calls made the account; whoever guesses tokens is counted like those who have none.
    let before = calls(async || stranger(with_token(GetMeRequest {}, "guessed")).await).await;
    assert!(before >= BURST - 2, "{before}");
    assert!(calls(async || stranger(Request::new(GetMeRequest {})).await).await < BURST);
    for _ in 0..100 {
        read(&world, &person).await.unwrap();
        let mut health = HealthClient::new(world.channel.clone());
        health.check(HealthCheckRequest::default()).await.unwrap();
    }
}

/// Calls of strangers that a proxy forwards for this address.
async fn forwarded(world: &World, addresses: &str) -> usize {
    calls(async || {
        let mut request = Request::new(GetMeRequest {});
        request.metadata_mut().insert("x-forwarded-for", addresses.parse().unwrap());
        world.auth().get_me(request).await.map(drop)
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_address_is_the_one_that_a_trusted_proxy_saw() {
    let (rate, burst) = ("server.address_calls_per_second", "server.address_calls_burst");
    let trusted = ("server.trusted_proxies", "127.0.0.0/8, 10.0.0.0/8");
    let world = World::with(Engine::Sqlite, &[(rate, "1"), (burst, "5"), trusted]).await;
    assert!(forwarded(&world, "192.0.2.1").await >= BURST);
    assert!(forwarded(&world, "192.0.2.2").await >= BURST);
    // What the caller wrote himself, before the proxy's word, changes nothing.
    assert!(forwarded(&world, "198.51.100.1, 192.0.2.2, 10.0.0.1").await < BURST);
    // 64 bits of IPv6 are one customer; the next 64 are another.
    assert!(forwarded(&world, "2001:db8:0:1::1").await >= BURST);
    assert!(forwarded(&world, "2001:db8:0:1:2:3:4:5").await < BURST);
    assert!(forwarded(&world, "2001:db8:0:2::1").await >= BURST);

    // Nobody is believed where nobody is trusted.
    let world = self::world("address_calls").await;
    assert!(forwarded(&world, "192.0.2.1").await >= BURST);
    assert!(forwarded(&world, "192.0.2.2").await < BURST);
    // The reason has its test here.
    let last = world.auth().get_me(Request::new(GetMeRequest {})).await;
    refused(last, "RATE_LIMITED");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_backend_is_counted_by_itself_whomever_it_acts_for() {
    let world = world("caller_reads").await;
    let (admin, ada) = (world.admin().await, world.customer().await);
    let backend = world.backend(&admin, Role::Customer, any_customer(), &[BOOKING]).await;
    let others = [world.customer().await, world.customer().await, ada.clone()];
    let turn = AtomicUsize::new(0);
    let read_for = async || {
        let whom = &others[turn.fetch_add(1, Ordering::SeqCst) % others.len()];
        let request = backend.asks_for(ListAppointmentsRequest::default(), &whom.user.name);
        world.booking().list_appointments(request).await.map(drop)
    };
    let before = calls(read_for).await;
    assert!((BURST..3 * BURST).contains(&before), "{before}");
    // The customers have their own.
    assert!(calls(async || read(&world, &ada).await).await >= BURST);
}
