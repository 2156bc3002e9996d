//! Offerings: which providers can be booked for which appointment types, and by which hours.
//!
//! In the schedule room, because what is offered is part of when somebody can be booked: a change of it
//! is a version of the provider's schedule.

pub mod commands;
pub mod service;

use serde::{Deserialize, Serialize};

use super::name::ScheduleName;
use crate::kernel::id::{ProviderId, TypeId};

/// Says that a provider can be booked for a type.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Offering {
    /// Who is booked.
    pub provider: ProviderId,
    /// Id of the appointment type.
    pub type_id: TypeId,
    /// By which named schedule; none is the default one.
    pub schedule: Option<String>,
}

impl Offering {
    /// Which schedule of the provider.
    pub fn schedule_name(&self) -> ScheduleName {
        ScheduleName { provider: self.provider, id: self.schedule.clone() }
    }
}
