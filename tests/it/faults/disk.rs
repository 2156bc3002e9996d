//! SQLite on a disk that is full or broken.

use std::fs;

use rustix::process::{Resource, Rlimit, prlimit};
use tonic_health::pb::health_check_response::ServingStatus;

use super::{Bookings, health, readiness};
use crate::support::{
    faults::{ERRORS, Faults, SmallDisk},
    process::{Process, session, until_or},
    rounds,
};

/// Fills the disk until two commits failed, frees it, and books forty.
async fn filled(mut process: Process, fill: impl AsyncFn(&Process), free: impl AsyncFn(&Process)) {
    let mut bookings = Bookings::new(&process).await;
    for _ in 0..5 {
        bookings.book(&process).await.unwrap();
    }
    fill(&process).await;
    let (mut failed, mut reasons) = (0, Vec::new());
    for _ in 0..10_000 {
        if failed == 2 {
            break;
        }
        if let Err(reason) = bookings.book(&process).await {
            failed += 1;
            reasons.push(reason);
        }
    }
    assert_eq!(failed, 2, "the disk does not become full");
    println!("while it was full: {reasons:?}");
    let closed = || process.log().matches("a connection is closed and not used again").count();
    // What the process says comes by another way than its answers.
    let are_closed = until_or(10, async || closed() >= 2).await.is_some();
    assert!(are_closed, "{} connections were closed after two failed commits", closed());
    free(&process).await;
    readiness(&process, ServingStatus::Serving).await;
    for _ in 0..40 {
        bookings.book_at_last(&process).await;
    }
    bookings.are_there(&process.url).await;
    bookings.settle(&process).await;
    bookings.are_there(&process.url).await;
    process.kill().await;
    bookings.are_there(&process.url).await;
    process.restart().await;
    bookings.are_there(&process.url).await;
}

/// Says which connections are closed.
fn debug() -> Vec<(String, String)> {
    vec![("DAYBOOK_LOG_LEVEL".to_owned(), "debug".to_owned())]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_booked_after_a_full_disk_is_there() {
    match SmallDisk::mount(4) {
        Some(disk) => {
            let process = Process::on_file(&disk.path().join("daybook.db"), debug()).await;
            filled(process, async |_| disk.fill(16), async |_| disk.free()).await;
        }
        None => {
            println!("mounting is not permitted: the writes are made to fail instead");
            let (folder, faults) = (tempfile::tempdir().unwrap(), Faults::new());
            let path = folder.path().join("daybook.db");
            let environment = [faults.environment("daybook.db"), debug()].concat();
            let process = Process::on_file(&path, environment).await;
            filled(process, async |_| faults.fail_from(3, 28), async |_| faults.mend()).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_booked_after_files_reached_their_limit_is_there() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("daybook.db");
    let process = Process::on_file(&path, debug()).await;
    let limit = |process: &Process, current| {
        prlimit(Some(process.pid()), Resource::Fsize, Rlimit { current, maximum: None }).unwrap();
    };
    let wal = path.with_extension("db-wal");
    let fill = async |process: &Process| {
        limit(process, Some(fs::metadata(&wal).unwrap().len() + 6000));
    };
    filled(process, fill, async |process| limit(process, None)).await;
}

/// Every write, sync and commit of a booking fails once, in each way; the retry settles what became of it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_write_and_sync_may_fail() {
    let (folder, faults) = (tempfile::tempdir().unwrap(), Faults::new());
    let path = folder.path().join("daybook.db");
    let mut process = Process::on_file(&path, faults.environment("daybook.db")).await;
    let mut bookings = Bookings::new(&process).await;
    bookings.book(&process).await.unwrap();
    let before = faults.calls();
    bookings.book(&process).await.unwrap();
    // The probe writes as well, now and then.
    let calls = faults.calls() - before + 2;
    assert!(calls > 3, "a booking makes {calls} calls");
    let mut told = Vec::new();
    let ways = ERRORS.iter().flat_map(|error| [(*error, false), (*error, true)]);
    let ways: Vec<_> = ways.take(rounds(3, 8)).collect();
    for (error, partial) in ways.iter().copied() {
        for nth in 1..=calls {
            faults.fail(nth, error, partial);
            if let Err(reason) = bookings.book(&process).await {
                told.push(reason);
            }
            faults.mend();
            bookings.settle(&process).await;
            bookings.book_at_last(&process).await;
            bookings.settle(&process).await;
        }
        bookings.are_there(&process.url).await;
    }
    println!("{} faults, {} bookings told of one", faults.failures(), told.len());
    assert!(faults.failures() >= ways.len() as i64 * (calls - 2), "{} faults", faults.failures());
    assert!(told.iter().any(|reason| reason == "OUTCOME_UNKNOWN"), "{told:?}");
    // No reader holds an old state: the whole log can be written back.
    readiness(&process, ServingStatus::Serving).await;
    let db = session(&process.url).await;
    let busy = crate::support::books::number(&db, "PRAGMA wal_checkpoint(TRUNCATE)").await;
    assert_eq!(busy, 0, "somebody still reads an old state");
    db.close().await.unwrap();
    process.kill().await;
    bookings.are_there(&process.url).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_disk_that_became_read_only_ends_readiness() {
    let (folder, faults) = (tempfile::tempdir().unwrap(), Faults::new());
    let path = folder.path().join("daybook.db");
    let process = Process::on_file(&path, faults.environment("daybook.db")).await;
    let mut bookings = Bookings::new(&process).await;
    bookings.book(&process).await.unwrap();
    faults.fail_from(1, 30);
    let fell = readiness(&process, ServingStatus::NotServing).await;
    assert!(fell < std::time::Duration::from_secs(10), "{fell:?}");
    assert_eq!(health(&process, "liveness").await, ServingStatus::Serving);
    assert_eq!(bookings.book(&process).await.unwrap_err(), "DATABASE_UNAVAILABLE");
    faults.mend();
    readiness(&process, ServingStatus::Serving).await;
    bookings.book(&process).await.unwrap();
    bookings.are_there(&process.url).await;
}
