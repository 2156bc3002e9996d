//! Old rows are removed in batches, and nobody waits for it.

use std::{sync::Arc, time::Duration};

use chrono::{DateTime, Days, Utc};
use daybook::{
    app::retention::forget_all,
    storage::{
        Store,
        cleanup::{Backlog, Figures},
    },
};
use sea_orm::ConnectionTrait;
use tokio::{task::JoinHandle, time::Instant};
use tokio_util::sync::CancellationToken;

use super::behaviours;
use crate::support::{
    Engine, World,
    process::{minutes, until, within},
    rounds,
};

behaviours!(
    old_rows_go_in_batches_while_others_book,
    a_kind_that_fails_keeps_nobody_else_from_being_forgotten,
    it_stops_between_two_batches,
);

const COUNT: &str =
    "SELECT count(*) FROM requests WHERE fingerprint IS NOT NULL AND response = 'old'";

/// So many requests of forty days ago.
async fn old_requests(world: &World, count: usize) {
    let postgres = format!(
        "INSERT INTO requests SELECT gen_random_uuid(), gen_random_uuid(), gen_random_uuid(),
            '\\x00', 1, 'old', timestamptz '2026-10-13T12:00:00Z' + n * interval '1 microsecond'
         FROM generate_series(1, {count}) AS n"
    );
    let sqlite = format!(
        "WITH RECURSIVE n(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM n WHERE n < {count})
         INSERT INTO requests SELECT randomblob(16), randomblob(16), randomblob(16), x'00', 1, 'old',
            '2026-10-13T12:00:00.' || printf('%09d', n) || '+00:00' FROM n"
    );
    world.execute(&sqlite, &postgres).await;
}

fn forgetting(
    store: &Store,
    now: DateTime<Utc>,
    backlog: &Arc<Backlog>,
) -> (JoinHandle<()>, CancellationToken) {
    let (store, backlog, stop) = (store.clone(), Arc::clone(backlog), CancellationToken::new());
    let stopped = stop.clone();
    let task = tokio::spawn(async move { forget_all(&store, now, &backlog, &stopped).await });
    (task, stop)
}

fn of(backlog: &Backlog, what: &str) -> Figures {
    let figures = backlog.figures().into_iter().find(|(known, _)| *known == what);
    figures.map(|(_, figures)| figures).unwrap_or_default()
}

async fn old_rows_go_in_batches_while_others_book(world: World) {
    let count = rounds(20_000, 1_000_000);
    old_requests(&world, count).await;
    let (provider, customer) = (world.provider().await, world.customer().await);
    let (store, backlog) = (world.store().await, Arc::new(Backlog::default()));
    let young = world.count("SELECT count(*) FROM requests WHERE response <> 'old'").await;
    let monday =
        world.clock.now().date_naive().and_hms_opt(0, 0, 0).unwrap().and_utc() + Days::new(1);
    let book = async |number: usize| {
        let (day, minute) = (number / 400, i64::try_from(number % 400).unwrap());
        let day = monday + Days::new(u64::try_from(day / 5 * 7 + day % 5).unwrap());
        let request = minutes(&provider, day, (9 * 60 + minute, 9 * 60 + minute + 1));
        let began = Instant::now();
        let mut booking = world.booking();
        let answer = booking.book_appointment(customer.asks(request));
        within(20, "a booking", answer).await.unwrap();
        began.elapsed()
    };
    let mut alone = Vec::new();
    for number in 0..200 {
        alone.push(book(number).await);
    }
    let began = Instant::now();
    let (task, _stop) = forgetting(&store, world.clock.now(), &backlog);
    let (mut beside, mut left) = (Vec::new(), Vec::new());
    while !task.is_finished() {
        if beside.len() < 4000 {
            beside.push(book(200 + beside.len()).await);
        } else {
            tokio::task::yield_now().await;
        }
        left.push(of(&backlog, "requests").left);
    }
    task.await.unwrap();
    let took = began.elapsed();
    let figures = of(&backlog, "requests");
    let removed = u64::try_from(count).unwrap();
    assert_eq!((figures.left, figures.failed), (Some(0), 0));
    // The full count takes minutes, in which the server forgets too.
    assert!((1..=removed).contains(&figures.removed), "{figures:?}");
    assert_eq!(world.count(COUNT).await, 0);
    let bookings = i64::try_from(200 + beside.len()).unwrap();
    let kept = world.count("SELECT count(*) FROM requests WHERE response <> 'old'").await;
    assert_eq!(kept, young + bookings);
    // What is left is told on the way, and it is not one step.
    left.dedup();
    assert!(
        left.iter().any(|left| left.is_some_and(|left| (1..removed).contains(&left))),
        "{left:?}"
    );
    let p99 = |times: &mut Vec<Duration>| {
        times.sort_unstable();
        times[times.len() * 99 / 100]
    };
    println!(
        "{count} forgotten in {took:?}; p99 of {} bookings beside it {:?}, of {} alone {:?}",
        beside.len(),
        p99(&mut beside),
        alone.len(),
        p99(&mut alone)
    );
}

async fn a_kind_that_fails_keeps_nobody_else_from_being_forgotten(world: World) {
    old_requests(&world, 10).await;
    let customer = world.customer().await;
    let old = "UPDATE sessions SET expires_at = '2026-01-01T00:00:00+00:00'";
    world.execute(old, old).await;
    let away = "ALTER TABLE requests RENAME TO requests_away";
    let back = "ALTER TABLE requests_away RENAME TO requests";
    world.execute(away, away).await;
    let (store, backlog) = (world.store().await, Arc::new(Backlog::default()));
    let now = world.clock.now();
    within(60, "the end", forgetting(&store, now, &backlog).0).await.unwrap();
    let figures = of(&backlog, "requests");
    assert!(figures.failed > 0 && figures.removed == 0, "{figures:?}");
    let figures = of(&backlog, "sessions");
    assert!(figures.failed == 0 && figures.removed > 0 && figures.left == Some(0), "{figures:?}");
    assert_eq!(world.count("SELECT count(*) FROM sessions").await, 0);
    drop(customer);
    world.execute(back, back).await;
    within(60, "the end", forgetting(&store, now, &backlog).0).await.unwrap();
    let figures = of(&backlog, "requests");
    assert_eq!((figures.removed, figures.left), (10, Some(0)));
}

/// Only here: SQLite has one writer, so nobody changes anything meanwhile.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_somebody_is_changing_is_left_alone() {
    let world = World::new(Engine::Postgres).await;
    old_requests(&world, 10).await;
    let (store, backlog) = (world.store().await, Arc::new(Backlog::default()));
    let holder = world.sql().await;
    holder
        .execute_unprepared(
            "BEGIN; UPDATE requests SET created_at = now() WHERE request_id IN
                (SELECT request_id FROM requests WHERE response = 'old' LIMIT 1)",
        )
        .await
        .unwrap();
    let now = world.clock.now();
    // It does not wait.
    within(20, "the end", forgetting(&store, now, &backlog).0).await.unwrap();
    assert_eq!(of(&backlog, "requests"), Figures { removed: 9, left: Some(1), failed: 0 });
    holder.execute_unprepared("COMMIT").await.unwrap();
    within(20, "the end", forgetting(&store, now, &backlog).0).await.unwrap();
    assert_eq!(of(&backlog, "requests"), Figures { removed: 9, left: Some(0), failed: 0 });
    assert_eq!(world.count(COUNT).await, 1);
}

async fn it_stops_between_two_batches(world: World) {
    old_requests(&world, 20_000).await;
    let (store, backlog) = (world.store().await, Arc::new(Backlog::default()));
    let (task, stop) = forgetting(&store, world.clock.now(), &backlog);
    until(30, "some are gone", async || of(&backlog, "requests").removed > 0).await;
    stop.cancel();
    within(20, "the end", task).await.unwrap();
    // What a batch removed stays removed, and what is left is there.
    let figures = of(&backlog, "requests");
    let there = u64::try_from(world.count(COUNT).await).unwrap();
    assert!((1..20_000).contains(&figures.removed), "{figures:?}");
    // One batch may have been under way.
    assert!(there <= 20_000 - figures.removed && there > 0, "{there} {figures:?}");
}
