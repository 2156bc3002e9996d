//! Names of schedules.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::kernel::id::ProviderId;

/// The longest id of a named schedule, in characters.
const LONGEST_ID: usize = 40;

/// The id of a named schedule: 1 to 40 of `a` to `z`, `0` to `9` and `-`, beginning with an email.
pub fn is_schedule_id(text: &str) -> bool {
    let known = |c: u8| c.is_ascii_lowercase() || c.is_ascii_digit() || c == b'-';
    text.len() <= LONGEST_ID
        && text.bytes().all(known)
        && text.bytes().next().is_some_and(|first| first.is_ascii_lowercase())
}

/// Which schedule of which provider.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct ScheduleName {
    /// The id of the provider that has the schedule.
    pub provider: ProviderId,
    /// The id of a named schedule; none means the default one.
    pub id: Option<String>,
}

impl ScheduleName {
    /// The default schedule.
    pub fn default_of(provider: ProviderId) -> Self {
        Self { provider, id: None }
    }

    /// Reads `providers/{provider}/schedule` or `providers/{provider}/schedules/{schedule}`.
    pub fn parse(text: &str) -> Option<Self> {
        if let Some(provider) = ProviderId::parse_schedule(text) {
            return Some(Self::default_of(provider));
        }
        Self::parse_named(text)
    }

    /// Parses the resource name `providers/{provider}/schedules/{schedule}`. `None` if the text has
    /// another form.
    pub fn parse_named(text: &str) -> Option<Self> {
        let (provider, id) = text.split_once("/schedules/")?;
        let provider = ProviderId::parse(provider)?;
        is_schedule_id(id).then(|| Self { provider, id: Some(id.to_owned()) })
    }
}

impl fmt::Display for ScheduleName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.id {
            None => f.write_str(&self.provider.schedule_name()),
            Some(id) => write!(f, "{}/schedules/{id}", self.provider.name()),
        }
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    #[test]
    fn names_read_back() {
        let provider = ProviderId(Uuid::from_u128(7));
        for id in [None, Some("a"), Some("night-shift-2"), Some(&*"a".repeat(40))] {
            let name = ScheduleName { provider, id: id.map(str::to_owned) };
            assert_eq!(ScheduleName::parse(&name.to_string()), Some(name.clone()));
            let named = ScheduleName::parse_named(&name.to_string());
            assert_eq!(named, id.map(|_| name));
        }
    }

    #[test]
    fn other_ids_are_refused() {
        let longer = "a".repeat(41);
        for bad in ["", "-a", "1a", "A", "a_b", "a b", "a/b", "ä", "a\0", &longer] {
            assert!(!is_schedule_id(bad), "{bad:?}");
            let name = format!("{}/schedules/{bad}", ProviderId(Uuid::from_u128(7)).name());
            assert_eq!(ScheduleName::parse(&name), None, "{bad:?}");
        }
    }
}
