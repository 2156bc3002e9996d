//! What can be done by the server itself about the files of a SQLite database that were changed under it.

use std::{
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use sea_orm::{ConnectionTrait, DbBackend, Statement};

use super::{
    LOOK, Store, connection_set::ConnectionSet, engine, files::Trouble, sessions::Sessions,
};
use crate::kernel::fault::Fault;

/// How long the work under way may take before its connections are closed.
const CLOSE: Duration = Duration::from_secs(5);
/// Moves what is in the log into the database and removes the log; refused while anybody else has it open.
const WITHOUT_LOG: &str = "PRAGMA journal_mode = DELETE";

impl Store {
    /// Whether the files are still those that were opened; does what can be done about it.
    pub(super) async fn check_files(&self, link: &Arc<ConnectionSet>) -> Result<(), Fault> {
        let Some(files) = &link.files else { return Ok(()) };
        let trouble = match files.check() {
            Ok(()) if !link.is_closed.load(Ordering::SeqCst) => return Ok(()),
            // They came back after the connections were closed to save the log.
            Ok(()) => Trouble::LogAway,
            Err(trouble @ (Trouble::Away | Trouble::LogDamaged)) => return Err(trouble.fault()),
            Err(trouble) => trouble,
        };
        self.0.reachable.store(false, Ordering::SeqCst);
        let (store, on) = (self.clone(), Arc::clone(link));
        let mending = link.mending.within(LOOK, async move { store.mend(&on, trouble).await });
        mending.await.unwrap_or_else(|| Err(trouble.fault()))
    }

    async fn mend(&self, link: &ConnectionSet, trouble: Trouble) -> Result<(), Fault> {
        let Some(files) = &link.files else { return Ok(()) };
        match trouble {
            Trouble::Shrunk(size) => {
                link.reader
                    .check_whole()
                    .await
                    .map_err(|error| trouble.fault().log(format!("{}: {error}", trouble.text())))?;
                files.is_whole_with(size);
            }
            Trouble::LogAway => {
                if files.check().is_err() {
                    tracing::warn!("{}; it is saved and made anew", trouble.text());
                    link.save_log().await?;
                }
                let anew = ConnectionSet::connect(&self.0.settings, Sessions::default()).await?;
                if !anew.files.as_ref().is_some_and(|now| now.is_same_database(files)) {
                    return Err(Trouble::Away.fault());
                }
                self.0.link.store(Arc::new(anew));
                link.give_up();
            }
            Trouble::Away | Trouble::LogDamaged => return Err(trouble.fault()),
        }
        Ok(())
    }
}

impl ConnectionSet {
    /// Writes the log, which only these connections may still find, into the database, and closes them.
    async fn save_log(&self) -> Result<(), Fault> {
        if self.is_saved.load(Ordering::SeqCst) {
            return Ok(());
        }
        self.is_closed.store(true, Ordering::SeqCst);
        for pool in [&self.writer, &self.reader, &self.control] {
            if tokio::time::timeout(CLOSE, pool.close()).await.is_err() {
                return Err(Trouble::LogAway
                    .fault()
                    .log("work is still under way on the database"));
            }
        }
        let statement = Statement::from_string(DbBackend::Sqlite, WITHOUT_LOG);
        let mut anchor = self.anchor.lock().await;
        let Some(kept) = &*anchor else { return Err(engine::away()) };
        let saved = kept.held.query_one_raw(statement).await.map_err(|error| {
            Trouble::LogAway.fault().log(format!(
                "{}; it cannot be saved ({error}): close every other program that has the database open",
                Trouble::LogAway.text()
            ))
        })?;
        let mode = saved.map(|row| row.try_get_by_index::<String>(0)).transpose();
        match mode.map_err(|e| engine::fault(&e))?.as_deref() {
            Some("delete") => {
                self.is_saved.store(true, Ordering::SeqCst);
                if let Some(anchor) = anchor.take() {
                    anchor.close().await;
                }
                Ok(())
            }
            mode => Err(Trouble::LogAway.fault().log(format!("the log cannot be saved: {mode:?}"))),
        }
    }
}
