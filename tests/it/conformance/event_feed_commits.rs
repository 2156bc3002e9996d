//! Events that are committed late: nothing is skipped, whatever was read meanwhile.

use daybook::grpc::proto::booking::ListEventsRequest;
use sea_orm::{ConnectionTrait, Database};

use super::event_feed::{all, without_gaps};
use crate::support::{Engine, World, berlin, options, people::booking};

/// Transactions that stay open while later ones commit and are read. SQLite has one writer, so there are none.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_committed_late_is_not_skipped() {
    let world = World::new(Engine::Postgres).await;
    let (admin, customer) = (world.admin().await, world.customer().await);
    let (late, quick) = (world.provider().await, world.provider().await);
    let id = late.provider().replace("providers/", "");
    let mut told = Vec::new();
    let mut cursor = String::new();
    for round in 0..3 {
        let mut options = options(&world.url);
        options.max_connections(1).min_connections(1);
        let open = Database::connect(options).await.unwrap();
        open.execute_unprepared("BEGIN").await.unwrap();
        let change = format!(
            "UPDATE providers SET version = version + 1 WHERE provider_id = '{id}';
             INSERT INTO events (provider_id, version, kind, occurred_at, detail)
             SELECT provider_id, version, 'attendance_changed', now(), '{{}}' FROM providers
             WHERE provider_id = '{id}'"
        );
        open.execute_unprepared(&change).await.unwrap();
        for half in 0..3 {
            let (hour, minute) = (9 + round, half * 10);
            let start = berlin(&format!("2026-11-23 {hour}:{minute:02}"));
            let end = berlin(&format!("2026-11-23 {hour}:{:02}", minute + 10));
            let request = booking(&quick, start, end);
            world.booking().book_appointment(customer.asks(request)).await.unwrap();
            let request = ListEventsRequest { cursor: cursor.clone(), ..Default::default() };
            let (events, next) = all(&world, &admin, request).await;
            assert!(events.iter().all(|e| e.version < 4 || e.provider == quick.provider()));
            told.extend(events);
            cursor = next;
        }
        open.execute_unprepared("COMMIT").await.unwrap();
    }
    let request = ListEventsRequest { cursor, ..Default::default() };
    told.extend(all(&world, &admin, request).await.0);
    without_gaps(&told);
    let stored = world.count("SELECT count(*) FROM events").await;
    assert_eq!(i64::try_from(told.len()).unwrap(), stored);
}
