//! What goes on beside calls: newer schemas, broken rows, tokens that somebody else ended.

use std::time::Duration;

use daybook::grpc::proto::{
    auth::GetMeRequest,
    booking::{GetAvailabilityRequest, ListProvidersRequest},
};
use futures_util::future::join_all;
use sea_orm::ConnectionTrait;

use super::behaviours;
use crate::support::{World, people::date, refusal::reason_of};

behaviours!(
    a_newer_schema_does_not_stop_an_older_process,
    one_senseless_row_is_not_everybodys,
    ended_tokens_end_also_while_the_schema_is_behind,
);

async fn a_newer_schema_does_not_stop_an_older_process(world: World) {
    let newer = "INSERT INTO seaql_migrations (version, applied_at) VALUES ('m9999_newer', 0)";
    world.sql().await.execute_unprepared(newer).await.unwrap();
    let customer = world.customer().await;
    // A process that starts now, as after a roll-back, serves too; `beside` waits for it.
    let other = world.beside().await;
    other.log_in(&customer.user.email).await;
}

async fn one_senseless_row_is_not_everybodys(world: World) {
    let (broken, healthy, customer) =
        (world.provider().await, world.provider().await, world.customer().await);
    let id = broken.user.name.trim_start_matches("users/").replace('-', "");
    let hex = match world.engine {
        crate::support::Engine::Sqlite => format!("x'{id}'"),
        crate::support::Engine::Postgres => format!("'{id}'"),
    };
    let spoil = format!(
        "UPDATE providers SET time_zone = 'no zone', schedule_version = schedule_version + 1
         WHERE provider_id = {hex}"
    );
    world.sql().await.execute_unprepared(&spoil).await.unwrap();
    let asked = (0..40).map(|number| {
        let provider = if number % 2 == 0 { &broken } else { &healthy };
        let request = GetAvailabilityRequest {
            provider: provider.provider(),
            start_date: Some(date((2026, 11, 23))),
            ..Default::default()
        };
        let (mut booking, request) = (world.booking(), customer.asks(request));
        async move { booking.get_availability(request).await }
    });
    for (number, answer) in join_all(asked).await.into_iter().enumerate() {
        if number % 2 == 0 {
            assert_eq!(reason_of(&answer.unwrap_err()), "INTERNAL");
        } else {
            assert_eq!(answer.unwrap().into_inner().slots.len(), 16);
        }
    }
    let list = customer.asks(ListProvidersRequest::default());
    let listed = world.schedule().list_providers(list).await.unwrap().into_inner().providers;
    let names: Vec<_> = listed.into_iter().map(|provider| provider.name).collect();
    assert_eq!(names, [healthy.provider()]);
}

async fn ended_tokens_end_also_while_the_schema_is_behind(world: World) {
    let customer = world.customer().await;
    let db = world.sql().await;
    db.execute_unprepared("DELETE FROM seaql_migrations WHERE version LIKE 'm0005%'")
        .await
        .unwrap();
    // As another process would write it; the tests' clock shows this time.
    let ended = "UPDATE users SET disabled = true, token_generation = token_generation + 1,
        tokens_ended_at = '2026-11-22T12:00:00+00:00'";
    db.execute_unprepared(ended).await.unwrap();
    let refused = async {
        loop {
            let asked = world.auth().get_me(customer.asks(GetMeRequest {})).await;
            match asked {
                Err(status) if reason_of(&status) == "NOT_AUTHENTICATED" => return,
                _ => tokio::task::yield_now().await,
            }
        }
    };
    let patience = Duration::from_secs(20);
    tokio::time::timeout(patience, refused).await.expect("the token of another is still accepted");
}
