//! A PostgreSQL that says nothing: for a second time, with an error, or only for as long as it takes others to act.

use std::time::Duration;

use daybook::grpc::proto::booking::CancelAppointmentRequest;
use sea_orm::{ConnectionTrait, DatabaseConnection};
use tonic_health::pb::health_check_response::ServingStatus::{NotServing, Serving};

use super::{Bookings, readiness};
use crate::{
    cancelled::far_away,
    support::{
        Engine, books,
        process::{Process, day, minutes, session, until, within},
        refusal::{reason_of, refused},
    },
};

/// What the look at the schema asks for.
const LOOK: &[u8] = b"FROM seaql_migrations";
const FELL: &str = "the database fell silent";

/// The processes of Daybook's sessions, as a list for SQL.
async fn sessions(db: &DatabaseConnection) -> String {
    let sql = "SELECT coalesce(string_agg(pid::text, ','), '0') AS pids FROM pg_stat_activity
        WHERE datname = current_database() AND application_name = 'daybook'";
    let statement = sea_orm::Statement::from_string(db.get_database_backend(), sql);
    db.query_one_raw(statement).await.unwrap().unwrap().try_get_by_index(0).unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_second_silence_before_anything_was_answered_is_noticed() {
    let (process, proxy) = far_away(Duration::ZERO, "4").await;
    let mut bookings = Bookings::new(&process).await;
    bookings.book(&process).await.unwrap();
    // The connections that there are say nothing, and the next ones fall silent at their first question.
    proxy.mute_after(Some(LOOK));
    proxy.silence();
    until(30, "they are given up", async || process.log().contains(FELL)).await;
    until(30, "the next ones fall silent", async || proxy.muted() > 0).await;
    proxy.mute_after(None);
    readiness(&process, Serving).await;
    bookings.book_at_last(&process).await;
    bookings.settle(&process).await;
    bookings.are_there(&process.url).await;
    // Told once: on the next ones nothing had ever been said.
    assert_eq!(process.log().matches(FELL).count(), 1, "{}", process.log());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_error_that_the_database_answers_is_no_silence() {
    let process = Process::start(Engine::Postgres, &[]).await;
    let mut bookings = Bookings::new(&process).await;
    bookings.book(&process).await.unwrap();
    let db = session(&process.url).await;
    let before = sessions(&db).await;
    db.execute_unprepared("ALTER TABLE seaql_migrations RENAME version TO name").await.unwrap();
    readiness(&process, NotServing).await;
    // Longer than a silence may be.
    let ages = "SELECT (extract(epoch FROM clock_timestamp() - now()))::bigint";
    db.execute_unprepared("BEGIN").await.unwrap();
    until(20, "the errors last", async || books::number(&db, ages).await >= 7).await;
    db.execute_unprepared("COMMIT").await.unwrap();
    let alive = format!("SELECT count(*) FROM pg_stat_activity WHERE pid IN ({before})");
    let there = books::number(&db, &alive).await;
    assert_eq!(there, i64::try_from(before.split(',').count()).unwrap());
    db.execute_unprepared("ALTER TABLE seaql_migrations RENAME name TO version").await.unwrap();
    readiness(&process, Serving).await;
    bookings.book_at_last(&process).await;
    assert!(!process.log().contains(FELL), "{}", process.log());
}

/// A booking waits on a connection that is given up. Its caller is told that the time is taken, which is then free
/// again, and only now what was sent arrives.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_sent_on_connections_that_were_given_up_is_never_done() {
    let (process, proxy) = far_away(Duration::ZERO, "4").await;
    let (provider, customers) = (process.provider().await, process.customers(2).await);
    let request = |hour: i64| minutes(&provider, day(), (hour * 60, hour * 60 + 60));
    // Until every session has the statement prepared and books in one round trip.
    for hour in 0..16 {
        process.booking().book_appointment(customers[0].asks(request(hour))).await.unwrap();
    }
    let db = session(&process.url).await;
    let former = sessions(&db).await;
    proxy.stall(true);
    let last = request(16);
    let book = |person: usize| {
        let (mut client, mut asked) = (process.booking(), customers[person].asks(last.clone()));
        // They are given up after five to eight seconds, and more where the machine is busy.
        asked.set_timeout(Duration::from_secs(30));
        async move { client.book_appointment(asked).await }
    };
    let call = tokio::spawn(book(0));
    until(30, "they are given up", async || process.log().contains(FELL)).await;
    let told = reason_of(&within(30, "the answer", call).await.unwrap().unwrap_err());
    assert_eq!(told, "OUTCOME_UNKNOWN");
    readiness(&process, Serving).await;
    let theirs = book(1).await.unwrap().into_inner().appointment.unwrap();
    refused(book(0).await, "SLOT_TAKEN");
    let name = theirs.name.clone();
    let cancel = CancelAppointmentRequest { name, ..Default::default() };
    process.booking().cancel_appointment(customers[1].asks(cancel)).await.unwrap();
    proxy.stall(false);
    let alive = format!("SELECT count(*) FROM pg_stat_activity WHERE pid IN ({former})");
    until(10, "their sessions are gone", async || books::number(&db, &alive).await == 0).await;
    let all = books::check(&db).await;
    assert_eq!(all.len(), 17, "sixteen, and the one that was cancelled");
    assert_eq!(all[&theirs.name], "cancelled");
}
