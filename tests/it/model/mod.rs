//! Any sequence of calls: the servers answer as a small obvious model does, and remember the same.

mod acts;
mod calendar;
mod calls;
mod chance;
mod hours;
mod plain;
mod practice;
mod rules;
mod slots;

use chance::Chance;
use practice::Practice;

use crate::support::{Engine, World, rounds};

/// Some sequences on these servers, which share a database; calls are put to them in turn.
async fn follows_the_model(engine: Engine, servers: usize) {
    let given = std::env::var("TEST_SEED").ok().and_then(|seed| seed.parse().ok());
    let seeds = given.map_or(1..1 + rounds(2, 12) as u64, |seed| seed..seed + 1);
    let mut heard = std::collections::BTreeMap::<String, usize>::new();
    for seed in seeds {
        let mut worlds = vec![World::new(engine).await];
        for _ in 1..servers {
            worlds.push(worlds[0].beside().await);
        }
        let mut practice = Practice::open(worlds, seed).await;
        let mut chance = Chance(seed);
        for _ in 0..rounds(250, 600) {
            practice.step(&mut chance).await;
        }
        practice.ends_like_the_model().await;
        for (answer, times) in practice.heard {
            *heard.entry(answer).or_default() += times;
        }
    }
    println!("{engine:?}, {servers} servers: {heard:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sqlite_follows_the_model() {
    follows_the_model(Engine::Sqlite, 1).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn postgres_follows_the_model() {
    follows_the_model(Engine::Postgres, 1).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_servers_on_postgres_follow_the_model() {
    follows_the_model(Engine::Postgres, 2).await;
}
