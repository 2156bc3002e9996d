//! The files of a SQLite database that are taken away, replaced or damaged while the server has them open.

use std::{
    fs,
    path::{Path, PathBuf},
};

use sea_orm::ConnectionTrait;
use tempfile::TempDir;
use tonic_health::pb::health_check_response::ServingStatus::{NotServing, Serving};

use super::{Bookings, health, readiness};
use crate::support::process::{Process, session, until_or};

/// A server with some bookings, on a file in a folder of its own.
struct Served {
    process: Process,
    bookings: Bookings,
    folder: TempDir,
}

impl Served {
    async fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let process = Process::on_file(&folder.path().join("daybook.db"), Vec::new()).await;
        let mut bookings = Bookings::new(&process).await;
        for _ in 0..5 {
            bookings.book(&process).await.unwrap();
        }
        Self { process, bookings, folder }
    }

    fn file(&self, suffix: &str) -> PathBuf {
        self.folder.path().join(format!("daybook.db{suffix}"))
    }

    /// The very next booking is not acknowledged, and readiness falls. Liveness does not.
    async fn is_refused(&mut self) {
        for _ in 0..3 {
            let reason = self.bookings.book(&self.process).await.expect_err("it was acknowledged");
            assert!(["DATABASE_UNAVAILABLE", "OUTCOME_UNKNOWN"].contains(&reason.as_str()));
        }
        readiness(&self.process, NotServing).await;
        assert_eq!(self.bookings.book(&self.process).await.unwrap_err(), "DATABASE_UNAVAILABLE");
        assert_eq!(health(&self.process, "liveness").await, Serving);
        assert_eq!(health(&self.process, "daybook.auth.v1.EmailService").await, NotServing);
    }

    /// It serves by itself, and what it acknowledges is there for others, also when it is killed.
    async fn recovers(mut self) {
        readiness(&self.process, Serving).await;
        let url = self.process.url.clone();
        self.bookings.settle(&self.process).await;
        for _ in 0..5 {
            self.bookings.book_at_last(&self.process).await;
        }
        self.bookings.settle(&self.process).await;
        self.bookings.are_there(&url).await;
        self.process.kill().await;
        self.bookings.are_there(&url).await;
    }

    async fn says(&self, text: &str) {
        let waited = until_or(10, async || self.process.log().contains(text)).await;
        assert!(waited.is_some(), "it does not say {text:?}: {}", self.process.log());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_database_file_that_is_moved_away_and_back() {
    let mut served = Served::new().await;
    let aside = served.file(".aside");
    fs::rename(served.file(""), &aside).unwrap();
    served.is_refused().await;
    assert!(!served.file("").exists(), "an empty one was made in its place");
    served.says("put the same file back, or restart the server").await;
    fs::rename(&aside, served.file("")).unwrap();
    served.recovers().await;
}

/// As an operator does who moves it to another disk. The link leads to the same file, but the log would be looked
/// for beside the other one.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_database_file_that_is_moved_away_and_linked_to() {
    let mut served = Served::new().await;
    let aside = served.file(".aside");
    fs::rename(served.file(""), &aside).unwrap();
    std::os::unix::fs::symlink(&aside, served.file("")).unwrap();
    served.is_refused().await;
    fs::remove_file(served.file("")).unwrap();
    fs::rename(&aside, served.file("")).unwrap();
    served.recovers().await;
}

/// Another program has the database open, so that the log cannot be saved before it comes back.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_log_that_is_moved_away_and_back() {
    let mut served = Served::new().await;
    let db = session(&served.process.url).await;
    db.execute_unprepared("SELECT count(*) FROM appointments").await.unwrap();
    let aside = served.file(".aside");
    fs::rename(served.file("-wal"), &aside).unwrap();
    served.is_refused().await;
    served.says("it cannot be saved").await;
    fs::rename(&aside, served.file("-wal")).unwrap();
    db.close().await.unwrap();
    served.recovers().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_database_file_that_is_replaced() {
    let mut served = Served::new().await;
    // Everything that was acknowledged, in one file.
    let db = session(&served.process.url).await;
    db.execute_unprepared(&format!("VACUUM INTO '{}'", served.file(".copy").display()))
        .await
        .unwrap();
    db.close().await.unwrap();
    fs::rename(served.file(".copy"), served.file("")).unwrap();
    served.is_refused().await;
    served.says("restart the server with the file that it is to serve").await;
    served.process.kill().await;
    for suffix in ["-wal", "-shm"] {
        fs::remove_file(served.file(suffix)).unwrap();
    }
    served.process.restart().await;
    served.recovers().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_database_file_that_is_cut_short() {
    let mut served = Served::new().await;
    let db = session(&served.process.url).await;
    db.execute_unprepared("PRAGMA wal_checkpoint(TRUNCATE)").await.unwrap();
    db.close().await.unwrap();
    served.bookings.book(&served.process).await.unwrap();
    let file = fs::OpenOptions::new().write(true).open(served.file("")).unwrap();
    file.set_len(8192).unwrap();
    served.is_refused().await;
    served.says("became smaller").await;
}

/// It becomes smaller, too.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_database_file_that_is_vacuumed_by_another_program() {
    let mut served = Served::new().await;
    let db = session(&served.process.url).await;
    for sql in [
        "CREATE TABLE ballast AS WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n \
         WHERE i < 500) SELECT randomblob(4000) AS filler FROM n",
        "PRAGMA wal_checkpoint(TRUNCATE)",
    ] {
        db.execute_unprepared(sql).await.unwrap();
    }
    served.bookings.book(&served.process).await.unwrap();
    let before = fs::metadata(served.file("")).unwrap().len();
    for sql in ["DROP TABLE ballast", "VACUUM", "PRAGMA wal_checkpoint(TRUNCATE)"] {
        db.execute_unprepared(sql).await.unwrap();
    }
    db.close().await.unwrap();
    assert!(fs::metadata(served.file("")).unwrap().len() < before);
    served.recovers().await;
}

async fn is_taken_away(suffix: &str, take: impl Fn(&Path)) {
    let mut served = Served::new().await;
    take(&served.file(suffix));
    // Refused until it is made anew, and nothing that was acknowledged before is lost by that.
    let answer = served.bookings.book(&served.process).await;
    assert!(answer.is_err(), "it was acknowledged");
    served.says("it is saved and made anew").await;
    served.recovers().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_log_that_is_removed_or_replaced_is_made_anew() {
    is_taken_away("-wal", |path| fs::remove_file(path).unwrap()).await;
    is_taken_away("-wal", |path| {
        let other = path.with_extension("other");
        fs::write(&other, "something else").unwrap();
        fs::rename(&other, path).unwrap();
    })
    .await;
    is_taken_away("-shm", |path| fs::remove_file(path).unwrap()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_log_that_is_emptied_or_overwritten() {
    let mut served = Served::new().await;
    fs::OpenOptions::new().write(true).open(served.file("-wal")).unwrap().set_len(0).unwrap();
    served.is_refused().await;
    served.says("the -wal file of the database was overwritten or cut short").await;
}
