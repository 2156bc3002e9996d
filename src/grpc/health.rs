//! Health: `grpc.health.v1`, following readiness both ways.

use std::time::Duration;

use tonic_health::{ServingStatus, server::HealthReporter};

/// The names that are told: everything, each service, and two for probes that tell them apart.
const NAMES: &[&str] = &[
    "",
    "daybook.auth.v1.AuthService",
    "daybook.booking.v1.AvailabilityService",
    "daybook.booking.v1.BookingService",
    "daybook.booking.v1.CatalogueService",
    "daybook.booking.v1.ScheduleService",
    "readiness",
];
/// Serving as long as the process answers at all; never depends on the database.
const LIVENESS: &str = "liveness";
/// How often readiness is looked at.
pub const INTERVAL: Duration = Duration::from_millis(500);

/// Tells probes whether calls would be answered.
#[derive(Debug, Clone)]
pub struct Health(HealthReporter);

impl Health {
    /// Not serving, until told otherwise: tonic-health says SERVING from the start.
    pub async fn starting(reporter: HealthReporter) -> Self {
        let health = Self(reporter);
        health.set(false).await;
        health.0.set_service_status(LIVENESS, ServingStatus::Serving).await;
        health
    }

    /// Tells whether calls would be answered.
    pub async fn set(&self, ready: bool) {
        let status = if ready { ServingStatus::Serving } else { ServingStatus::NotServing };
        for name in NAMES {
            self.0.set_service_status(name, status).await;
        }
    }
}
