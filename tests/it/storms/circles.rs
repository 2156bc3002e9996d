//! Two acts on one customer's time at two providers, made to meet: the first one is stopped after it wrote
//! what the second one looks for. Chance alone rarely finds that instant.

use std::future::Future;

use chrono::TimeDelta;
use daybook::{
    grpc::proto::booking::{Appointment, BookAppointmentRequest, HoldSlotRequest},
    storage::entity::appointments,
};
use sea_orm::{ConnectionTrait, DatabaseConnection, EntityTrait, IntoActiveModel};

use super::{Storm, at, interval};
use crate::support::{
    books::number,
    people::{Person, uuid},
    process::{day, minutes, until},
};

/// What is done to the time of a customer who is being moved onto it.
#[derive(Debug, Clone, Copy)]
enum Act {
    Move,
    BookHold,
}

/// Sessions of the servers that wait for a lock.
const WAITING: &str = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'
    AND datname = current_database() AND application_name = 'daybook'";

async fn waiting(db: &DatabaseConnection, count: i64) {
    until(10, "the calls wait", async || number(db, WAITING).await == count).await;
}

/// In a transaction that stays open, a row of this customer in the minutes `from..from + 20`.
async fn stand_in_the_way(db: &DatabaseConnection, like: &Appointment, at: &Person, from: i64) {
    let id = like.name.rsplit('/').next().unwrap().parse::<uuid::Uuid>().unwrap();
    let rows = appointments::Entity::find().all(db).await.unwrap();
    let mut row = rows.into_iter().find(|row| row.appointment_id == id).unwrap();
    row.provider_id = at.provider().rsplit('/').next().unwrap().parse().unwrap();
    row.appointment_id = uuid().parse().unwrap();
    (row.starts_at, row.ends_at) =
        (day() + TimeDelta::minutes(from), day() + TimeDelta::minutes(from + 20));
    (row.claim_starts_at, row.claim_ends_at) = (row.starts_at, row.ends_at);
    db.execute_unprepared("BEGIN").await.unwrap();
    let row = row.into_active_model();
    appointments::Entity::insert(row).exec_without_returning(db).await.unwrap();
}

/// Does both, the second when the first one waits, and goes on when both wait.
async fn meet<A, B>(
    watch: &DatabaseConnection,
    block: &DatabaseConnection,
    first: impl Future<Output = A>,
    second: impl Future<Output = B>,
) -> (A, B) {
    let second = async {
        waiting(watch, 1).await;
        second.await
    };
    let release = async {
        waiting(watch, 2).await;
        block.execute_unprepared("ROLLBACK").await.unwrap();
    };
    let (first, second, ()) = tokio::join!(first, second, release);
    (first, second)
}

/// Every act, each on a day of its own.
pub async fn acts_that_meet(storm: &Storm) {
    let providers = storm.providers(3).await;
    let customer = &storm.processes[0].customers(1).await[0];
    let (watch, block) = (storm.processes[0].sql().await, storm.processes[0].sql().await);
    let acts = [Act::Move, Act::BookHold];
    for (number, act) in acts.into_iter().enumerate() {
        // An hour shall move to 10:00. From 10:00 to 10:20 it meets the act, at 10:40 what stops it.
        let midnight = 24 * 60 * i64::try_from(number).unwrap();
        let ten = midnight + 600;
        let long = minutes(&providers[0], day(), (midnight, midnight + 60));
        let long = storm.book(0, customer, long, &[]).await.unwrap();
        let short = |from| interval(&providers[1], from);
        let busy: &[&str] = &["CUSTOMER_BUSY"];
        let stopped = stand_in_the_way(&block, &long, &providers[2], ten + 40);
        let moving = storm.move_to(0, customer, &long.name, ten, busy);
        let mut client = storm.client(1);
        let (moved, done) = match act {
            Act::Move => {
                let name = storm.book(1, customer, short(ten - 60), &[]).await.unwrap().name;
                stopped.await;
                let second = storm.move_to(1, customer, &name, ten, busy);
                let (moved, done) = meet(&watch, &block, moving, second).await;
                (moved, done)
            }
            Act::BookHold => {
                let request = HoldSlotRequest {
                    provider: providers[1].provider(),
                    start_time: at(ten),
                    end_time: at(ten + 20),
                    ..Default::default()
                };
                let call = client.hold_slot(customer.asks(request));
                let hold = storm.hear(&[], call).await.unwrap().hold.unwrap().name;
                stopped.await;
                let request = BookAppointmentRequest { hold, ..Default::default() };
                let second = storm.book(1, customer, request, busy);
                let (moved, done) = meet(&watch, &block, moving, second).await;
                (moved, done)
            }
        };
        // Whoever was first has the time.
        assert!(moved.is_some() && done.is_none(), "{act:?}");
    }
    watch.close().await.unwrap();
    block.close().await.unwrap();
}
