//! Providers: a schedule, and the versions that number its changes.

use std::sync::Arc;

use chrono::TimeDelta;
use chrono_tz::Tz;
use serde::{Deserialize, Serialize};

use super::{Schedule, WeeklyHours};
use crate::kernel::{id::ProviderId, time::Instant};

/// A user whose time can be booked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Plain", into = "Plain")]
pub struct Provider {
    /// The id, which is the user's.
    pub id: ProviderId,
    /// What customers see.
    pub display_name: String,
    /// Whether it can be booked.
    pub enabled: bool,
    /// When it is open.
    pub schedule: Arc<Schedule>,
    /// The number of the last event.
    pub version: i64,
    /// The number of the event that last changed the schedule.
    pub schedule_version: i64,
    /// When the schedule was last changed.
    pub schedule_updated_at: Instant,
}

/// A provider as data.
#[derive(Serialize, Deserialize)]
struct Plain {
    id: ProviderId,
    display_name: String,
    enabled: bool,
    time_zone: Tz,
    hours: WeeklyHours,
    slot_minutes: i64,
    longest_minutes: i64,
    version: i64,
    schedule_version: i64,
    schedule_updated_at: Instant,
}

impl From<Provider> for Plain {
    fn from(provider: Provider) -> Self {
        let schedule = &provider.schedule;
        Self {
            id: provider.id,
            enabled: provider.enabled,
            time_zone: schedule.zone(),
            hours: schedule.hours().clone(),
            slot_minutes: schedule.slot().num_minutes(),
            longest_minutes: schedule.longest().num_minutes(),
            version: provider.version,
            schedule_version: provider.schedule_version,
            schedule_updated_at: provider.schedule_updated_at,
            display_name: provider.display_name,
        }
    }
}

impl TryFrom<Plain> for Provider {
    type Error = String;

    fn try_from(plain: Plain) -> Result<Self, String> {
        let schedule = Schedule::new(
            plain.time_zone,
            plain.hours,
            TimeDelta::minutes(plain.slot_minutes),
            TimeDelta::minutes(plain.longest_minutes),
        )
        .map_err(|violations| format!("{violations:?}"))?;
        Ok(Self {
            id: plain.id,
            display_name: plain.display_name,
            enabled: plain.enabled,
            schedule: Arc::new(schedule),
            version: plain.version,
            schedule_version: plain.schedule_version,
            schedule_updated_at: plain.schedule_updated_at,
        })
    }
}
