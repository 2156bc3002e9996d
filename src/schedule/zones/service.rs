//! What a process tells others of its zone data, and learns of theirs.

use uuid::Uuid;

use super::{
    Process,
    store::{FinishLook, Note, Others, TakeLook},
};
use crate::{
    kernel::{ambient::Ambient, fault::Fault, time::Instant, zone::ZoneData},
    storage::{Deadline, Store},
};

/// The zone data of the processes that serve one database.
#[derive(Debug, Clone)]
pub struct Processes {
    /// Database handle.
    pub store: Store,
    /// The clock, and the zone data of this process.
    pub ambient: Ambient,
    /// Id of this server process.
    pub id: Uuid,
}

impl Processes {
    /// This process as of now.
    pub fn own(&self) -> (Process, ZoneData) {
        let zones = self.ambient.zones();
        let process = Process {
            id: self.id,
            version: zones.about().version.clone(),
            digest: zones.digest().to_owned(),
            seen_at: self.ambient.now(),
        };
        (process, zones)
    }

    /// Notes that this process serves, and with which zone data.
    pub async fn note(&self, deadline: Deadline) -> Result<Process, Fault> {
        let (process, _) = self.own();
        self.store.run(deadline, Note { process: process.clone() }).await?;
        Ok(process)
    }

    /// The other processes that serve now.
    pub async fn others(&self) -> Result<Vec<Process>, Fault> {
        let (process, _) = self.own();
        self.store.look(Others { process }).await
    }

    /// Takes it on to look all appointments through by these zone data, if it is due. All processes ask; one
    /// is told so.
    pub async fn take_look(
        &self,
        deadline: Deadline,
    ) -> Result<Option<(ZoneData, Instant)>, Fault> {
        let (process, zones) = self.own();
        let now = process.seen_at;
        let taken = self.store.run(deadline, TakeLook { process }).await?;
        Ok(taken.then_some((zones, now)))
    }

    /// Notes that they were looked through.
    pub async fn finish_look(
        &self,
        deadline: Deadline,
        zones: &ZoneData,
        now: Instant,
    ) -> Result<(), Fault> {
        let digest = zones.digest().to_owned();
        self.store.run(deadline, FinishLook { digest, now }).await
    }
}
