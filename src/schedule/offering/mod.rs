//! Offerings: which providers can be booked for which appointment types, and by which hours.
//!
//! In the schedule room, because what is offered is part of when somebody can be booked: a change of it
//! is a version of the provider's schedule.

pub mod commands;
pub mod service;

#[cfg(test)]
mod tests;

use serde::{Deserialize, Serialize};

use super::provider::Provider;
use crate::kernel::id::{ProviderId, TypeId};

/// The longest id of a named schedule.
const LONGEST_ID: usize = 40;

/// Says that a provider can be booked for a type.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Offering {
    /// Who is booked.
    pub provider: ProviderId,
    /// For what.
    pub type_id: TypeId,
    /// By which named schedule; none is the default one.
    pub schedule: Option<String>,
}

impl Offering {
    /// The resource name of the schedule.
    pub fn schedule_name(&self) -> String {
        match &self.schedule {
            None => self.provider.schedule_name(),
            Some(id) => format!("{}/schedules/{id}", self.provider.name()),
        }
    }
}

/// Reads the resource name of a schedule of this provider: the id of a named one, nothing for the default
/// one, which an empty name means too.
pub fn read_schedule(provider: ProviderId, name: &str) -> Result<Option<String>, &'static str> {
    const FORM: &str = "must be the provider's schedule, providers/{provider}/schedule or \
                        providers/{provider}/schedules/{schedule}";
    if name.is_empty() || name == provider.schedule_name() {
        return Ok(None);
    }
    let rest = name.strip_prefix(&provider.name()).and_then(|r| r.strip_prefix("/schedules/"));
    let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
    rest.filter(|id| id.len() <= LONGEST_ID && id.bytes().all(plain))
        .filter(|id| id.bytes().next().is_some_and(|first| first.is_ascii_lowercase()))
        .map(|id| Some(id.to_owned()))
        .ok_or(FORM)
}

/// Whether a provider has a named schedule with this id.
pub fn has_schedule(provider: &Provider, id: &str) -> bool {
    provider.plan.named.contains_key(id)
}
