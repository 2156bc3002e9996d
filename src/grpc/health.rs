//! Health: `grpc.health.v1`, following readiness both ways.

use std::{sync::Arc, time::Duration};

use prost::Message;
use prost_types::FileDescriptorSet;
use tonic_health::{ServingStatus, server::HealthReporter};

use super::proto;

/// The names that are told beside those of the services: everything, and one for probes that tell readiness from
/// liveness.
const NAMES: &[&str] = &["", "readiness"];
/// Serving as long as the process answers at all; never depends on the database.
const LIVENESS: &str = "liveness";
/// How often readiness is looked at.
pub const INTERVAL: Duration = Duration::from_millis(500);

/// Tells probes whether calls would be answered.
#[derive(Debug, Clone)]
pub struct Health {
    reporter: HealthReporter,
    /// The names that follow readiness.
    names: Arc<[String]>,
}

impl Health {
    /// Not serving, until told otherwise: tonic-health says SERVING from the start.
    pub async fn starting(reporter: HealthReporter) -> Self {
        let names = NAMES.iter().map(|&name| name.to_owned()).chain(services()).collect();
        let health = Self { reporter, names };
        health.set(false).await;
        health.reporter.set_service_status(LIVENESS, ServingStatus::Serving).await;
        health
    }

    /// Tells whether calls would be answered.
    pub async fn set(&self, ready: bool) {
        let status = if ready { ServingStatus::Serving } else { ServingStatus::NotServing };
        for name in self.names.iter() {
            self.reporter.set_service_status(name, status).await;
        }
    }
}

/// The full names of Daybook's own services, as the descriptor set has them.
fn services() -> Vec<String> {
    let set = FileDescriptorSet::decode(proto::DESCRIPTORS).unwrap_or_default();
    let own = set.file.iter().filter(|file| file.package().starts_with("daybook."));
    own.flat_map(|file| {
        file.service.iter().map(|service| format!("{}.{}", file.package(), service.name()))
    })
    .collect()
}
