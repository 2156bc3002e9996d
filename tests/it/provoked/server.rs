//! Reasons of the server and its database.

use std::fs;

use daybook::grpc::proto::{
    auth::{GetMeRequest, Role},
    booking::{BookAppointmentRequest, ListEventsRequest},
};
use sea_orm::{ConnectionTrait, Database};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Status};
use tonic_health::pb::{HealthCheckRequest, health_client::HealthClient};
use tonic_reflection::pb::v1::{
    ServerReflectionRequest, server_reflection_client::ServerReflectionClient,
};

use super::{Stage, refusal};
use crate::{
    reasons::hold,
    support::{
        Engine, World, berlin, options,
        people::{booking, sign_up, uuid},
        process::within,
        raw::{authorized, unary},
        refusal::reason_of,
    },
};

const SIGN_UP: &str = "/daybook.auth.v1.AuthService/SignUp";

pub(super) async fn malformed_request(stage: &Stage) -> Status {
    let request = authorized(b"\x0b".to_vec(), None);
    refusal(unary(&stage.world.channel, SIGN_UP, request).await)
}

pub(super) async fn message_too_large(stage: &Stage) -> Status {
    let request = authorized(vec![0; 70_000], None);
    refusal(unary(&stage.world.channel, SIGN_UP, request).await)
}

pub(super) async fn method_unknown(stage: &Stage) -> Status {
    let nothing = "/daybook.auth.v1.AuthService/Nothing";
    refusal(unary(&stage.world.channel, nothing, authorized(Vec::new(), None)).await)
}

/// There is one place for streams, and somebody has it.
pub(super) async fn overloaded(stage: &Stage) -> Status {
    let full = stage.world.beside_with(&[("server.max_streams", "1")]).await;
    let ask = async || {
        let (questions, asked) = mpsc::channel::<ServerReflectionRequest>(1);
        let mut client = ServerReflectionClient::new(full.channel.clone());
        let answers = client.server_reflection_info(ReceiverStream::new(asked)).await;
        answers.map(|answers| (questions, answers.into_inner()))
    };
    let _first = within(10, "the first stream", ask()).await.unwrap();
    refusal(within(10, "the second stream", ask()).await.map(drop))
}

/// Somebody else has the rows that a booking needs.
pub(super) async fn deadline_exceeded(stage: &Stage) -> Status {
    let hasty = stage.world.beside_with(&[("server.default_deadline_ms", "300")]).await;
    let held = hold(&stage.world).await;
    let request = booking(&stage.provider, berlin("2026-11-25 09:00"), berlin("2026-11-25 09:30"));
    let answer = hasty.booking().book_appointment(stage.customer.asks(request)).await;
    held.execute_unprepared("ROLLBACK").await.unwrap();
    refusal(answer)
}

/// The file is moved away, or the database lets nobody in.
pub(super) async fn database_unavailable(stage: &Stage) -> Status {
    let world = World::new(stage.world.engine).await;
    match world.engine {
        Engine::Sqlite => {
            let path = world.url.trim_start_matches("sqlite:");
            fs::rename(path, format!("{path}.away")).unwrap();
        }
        Engine::Postgres => {
            let (server, name) = world.url.rsplit_once('/').unwrap();
            let mut options = options(&format!("{server}/postgres"));
            options.max_connections(1);
            let control = Database::connect(options).await.unwrap();
            let shut = format!(
                "ALTER DATABASE {name} ALLOW_CONNECTIONS false;
                 SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{name}'"
            );
            control.execute_unprepared(&shut).await.unwrap();
        }
    }
    refusal(world.auth().sign_up(sign_up(Role::Customer)).await)
}

/// The database session of a booking ends at its commit, which only PostgreSQL can be told to do.
pub(super) async fn outcome_unknown(_: &Stage) -> Status {
    let world = World::new(Engine::Postgres).await;
    let (provider, customer) = (world.provider().await, world.customer().await);
    let dies = "CREATE FUNCTION die() RETURNS trigger LANGUAGE plpgsql AS
            $$ BEGIN PERFORM pg_terminate_backend(pg_backend_pid()); RETURN NULL; END $$;
        CREATE CONSTRAINT TRIGGER die AFTER INSERT ON events DEFERRABLE INITIALLY DEFERRED
            FOR EACH ROW EXECUTE FUNCTION die()";
    world.sql().await.execute_unprepared(dies).await.unwrap();
    let (from, until) = (berlin("2026-11-25 09:00"), berlin("2026-11-25 09:30"));
    let request = BookAppointmentRequest { request_id: uuid(), ..booking(&provider, from, until) };
    refusal(world.booking().book_appointment(customer.asks(request)).await)
}

/// Whoever listens to health is told when the server stops.
pub(super) async fn shutting_down(stage: &Stage) -> Status {
    let stopping = stage.world.beside().await;
    let mut health = HealthClient::new(stopping.channel.clone());
    let states = health.watch(HealthCheckRequest::default()).await;
    let mut states = states.unwrap().into_inner();
    stopping.stop();
    let end = async {
        loop {
            match states.message().await {
                Ok(Some(_)) => {}
                Ok(None) => panic!("an end without a status"),
                Err(status) => return status,
            }
        }
    };
    within(30, "the end", end).await
}

/// A row that nobody can read.
pub(super) async fn internal(stage: &Stage) -> Status {
    let person = stage.world.customer().await;
    let id: uuid::Uuid = person.user.name.trim_start_matches("users/").parse().unwrap();
    let set = "UPDATE users SET time_zone = 'Atlantis!' WHERE user_id =";
    let sqlite = format!("{set} x'{}'", id.simple());
    stage.world.execute(&sqlite, &format!("{set} '{id}'")).await;
    refusal(stage.world.auth().get_me(person.asks(GetMeRequest {})).await)
}

pub(super) async fn rate_limited(stage: &Stage) -> Status {
    let settings = [("server.address_calls_per_second", "1"), ("server.address_calls_burst", "1")];
    let slow = stage.world.beside_with(&settings).await;
    let call = async || slow.auth().get_me(Request::new(GetMeRequest {})).await;
    // Without a token; the clock of the rates goes on a little between the calls.
    for _ in 0..1_000 {
        let status = refusal(within(10, "an answer", call()).await);
        if reason_of(&status) != "NOT_AUTHENTICATED" {
            return status;
        }
    }
    panic!("a thousand calls at a rate of one each second");
}

/// The refusal of a cursor, after this was done to the positions.
async fn cursor(stage: &Stage, change: &str) -> Status {
    let world = World::new(stage.world.engine).await;
    let (admin, _provider) = (world.admin().await, world.provider().await);
    let read = async |cursor: String| {
        let request = ListEventsRequest { cursor, ..Default::default() };
        world.watch().list_events(admin.asks(request)).await
    };
    let first = read(String::new()).await.unwrap().into_inner().next_cursor;
    world.provider().await;
    read(first.clone()).await.unwrap();
    world.execute(change, change).await;
    refusal(read(first).await)
}

pub(super) async fn cursor_expired(stage: &Stage) -> Status {
    let change = "DELETE FROM event_positions WHERE position = 1; UPDATE event_order SET removed_position = 1";
    cursor(stage, change).await
}

pub(super) async fn cursor_unknown(stage: &Stage) -> Status {
    cursor(stage, "UPDATE event_positions SET stamp = stamp + 1").await
}
