//! What health says while commits hang, and of which services.

use daybook::grpc::proto::DESCRIPTORS;
use prost::Message;
use sea_orm::ConnectionTrait;
use tonic_health::pb::health_check_response::ServingStatus::{NotServing, Serving};

use super::{Bookings, health, readiness};
use crate::{
    crashes::Mortal,
    support::{
        Engine, World, books,
        process::{Process, session, until},
    },
};

/// `SHOW` of every service that is served, from the descriptors.
fn services() -> Vec<String> {
    let set = prost_types::FileDescriptorSet::decode(DESCRIPTORS).unwrap();
    let own = set.file.iter().filter(|file| file.package().starts_with("daybook."));
    own.flat_map(|file| file.service.iter().map(|s| format!("{}.{}", file.package(), s.name())))
        .collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn health_knows_every_service() {
    let world = World::new(Engine::Sqlite).await;
    let mut client = tonic_health::pb::health_client::HealthClient::new(world.channel.clone());
    let services = services();
    assert!(services.len() >= 9, "{services:?}");
    for service in services.iter().map(String::as_str).chain(["", "readiness", "liveness"]) {
        let request = tonic_health::pb::HealthCheckRequest { service: service.to_owned() };
        let answer = client.check(request).await;
        let status = answer.unwrap_or_else(|status| panic!("{service}: {status:?}"));
        assert_eq!(status.into_inner().status(), Serving, "{service}");
    }
}

/// A synchronous standby that is not there makes every COMMIT wait.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn commits_that_hang_end_readiness_of_all_processes() {
    let mortal = Mortal::start().await;
    let url = mortal.0.database().await;
    let process = Process::on(Engine::Postgres, url.clone(), &url, &[]).await;
    let twin = process.twin().await;
    let mut bookings = Bookings::new(&process).await;
    bookings.book(&process).await.unwrap();
    let db = session(&mortal.0.url("postgres")).await;
    db.execute_unprepared("ALTER SYSTEM SET synchronous_standby_names = 'nobody'").await.unwrap();
    db.execute_unprepared("SELECT pg_reload_conf()").await.unwrap();

    // PostgreSQL takes a setting over when it has time for that.
    let waiting = "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'SyncRep'";
    until(60, "a commit that hangs", async || books::number(&db, waiting).await > 0).await;
    let fell = readiness(&process, NotServing).await;
    readiness(&twin, NotServing).await;
    println!("NOT_SERVING after {fell:?}");
    assert!(fell < std::time::Duration::from_secs(10), "{fell:?}");
    for service in services().iter().map(String::as_str).chain(["readiness"]) {
        assert_eq!(health(&process, service).await, NotServing, "{service}");
    }
    assert_eq!(health(&process, "liveness").await, Serving);
    for _ in 0..20 {
        assert_eq!(bookings.book(&process).await.unwrap_err(), "DATABASE_UNAVAILABLE");
    }
    // The probe of each process, and what else they do for themselves.
    let hanging = books::number(&db, waiting).await;
    assert!((1..=6).contains(&hanging), "{hanging} commits wait");

    db.execute_unprepared("ALTER SYSTEM RESET synchronous_standby_names").await.unwrap();
    db.execute_unprepared("SELECT pg_reload_conf()").await.unwrap();
    readiness(&process, Serving).await;
    readiness(&twin, Serving).await;
    bookings.book(&twin).await.unwrap();
    bookings.settle(&process).await;
    bookings.are_there(&url).await;
    let probes = session(&url).await;
    assert_eq!(books::number(&probes, "SELECT count(*) FROM health_probes").await, 1);
}
