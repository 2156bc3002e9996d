//! Ids, and the resource names that carry them.
//!
//! Ids are UUIDv7 made by the application. Names follow AIP-122: `users/{user}`,
//! `providers/{provider}`, `providers/{provider}/appointments/{appointment}`. A UUID in a name is
//! accepted only in its canonical form, lower case with hyphens, so that one resource has one name.

use std::fmt;

use serde::{Deserialize, Serialize};
use uuid::{Builder, Uuid};

use crate::kernel::time::Instant;

macro_rules! id {
    ($name:ident, $doc:literal) => {
        #[doc = $doc]
        #[derive(
            Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize,
        )]
        #[serde(transparent)]
        pub struct $name(pub Uuid);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }
    };
}

id!(UserId, "The id of a user.");
id!(ProviderId, "The id of a provider, which is the id of the provider's user.");
id!(AppointmentId, "The id of an appointment, unique among those of its provider.");
id!(TypeId, "The id of an appointment type.");
id!(HoldId, "The id of a hold, unique among those of its provider; its appointment's too.");
id!(TimeOffId, "The id of a stretch of time off, unique among those of its provider.");
id!(ClosureId, "The id of a closure.");
id!(ServiceAccountId, "The id of a service account.");
id!(ApiKeyId, "The id of an API key.");
id!(RequestId, "The id that a caller gave a request, so that it can be retried.");

impl UserId {
    /// The provider that this user is, or would be.
    pub const fn as_provider(self) -> ProviderId {
        ProviderId(self.0)
    }

    /// The resource name, `users/{user}`.
    pub fn name(self) -> String {
        format!("users/{self}")
    }

    /// Parses the resource name `users/{user}`. `None` if the text has another form.
    pub fn parse(name: &str) -> Option<Self> {
        canonical(name.strip_prefix("users/")?).map(Self)
    }
}

impl ProviderId {
    /// The user that this provider is.
    pub const fn as_user(self) -> UserId {
        UserId(self.0)
    }

    /// The resource name, `providers/{provider}`.
    pub fn name(self) -> String {
        // Lists of slots are full of these; the formatting machinery is five times slower.
        let mut buffer = Uuid::encode_buffer();
        ["providers/", self.0.hyphenated().encode_lower(&mut buffer)].concat()
    }

    /// The resource name of the schedule, `providers/{provider}/schedule`.
    pub fn schedule_name(self) -> String {
        format!("providers/{self}/schedule")
    }

    /// Parses the resource name `providers/{provider}`. `None` if the text has another form.
    pub fn parse(name: &str) -> Option<Self> {
        canonical(name.strip_prefix("providers/")?).map(Self)
    }

    /// Parses the resource name `providers/{provider}/schedule`. `None` if the text has another form.
    pub fn parse_schedule(name: &str) -> Option<Self> {
        Self::parse(name.strip_suffix("/schedule")?)
    }
}

impl AppointmentId {
    /// The resource name, `providers/{provider}/appointments/{appointment}`.
    pub fn name(self, provider: ProviderId) -> String {
        format!("providers/{provider}/appointments/{self}")
    }

    /// Parses the resource name `providers/{provider}/appointments/{appointment}`. `None` if the text
    /// has another form.
    pub fn parse(name: &str) -> Option<(ProviderId, Self)> {
        let (provider, appointment) = name.split_once("/appointments/")?;
        Some((ProviderId::parse(provider)?, Self(canonical(appointment)?)))
    }
}

impl HoldId {
    /// The resource name, `providers/{provider}/holds/{hold}`.
    pub fn name(self, provider: ProviderId) -> String {
        format!("providers/{provider}/holds/{self}")
    }

    /// Parses the resource name `providers/{provider}/holds/{hold}`. `None` if the text has another
    /// form.
    pub fn parse(name: &str) -> Option<(ProviderId, Self)> {
        let (provider, hold) = name.split_once("/holds/")?;
        Some((ProviderId::parse(provider)?, Self(canonical(hold)?)))
    }

    /// The appointment that is made of the hold.
    pub const fn as_appointment(self) -> AppointmentId {
        AppointmentId(self.0)
    }
}

impl TimeOffId {
    /// The resource name, `providers/{provider}/timeOff/{time_off}`.
    pub fn name(self, provider: ProviderId) -> String {
        format!("providers/{provider}/timeOff/{self}")
    }

    /// Parses the resource name `providers/{provider}/timeOff/{time_off}`. `None` if the text has
    /// another form.
    pub fn parse(name: &str) -> Option<(ProviderId, Self)> {
        let (provider, time_off) = name.split_once("/timeOff/")?;
        Some((ProviderId::parse(provider)?, Self(canonical(time_off)?)))
    }
}

impl TypeId {
    /// The resource name, `appointmentTypes/{type}`.
    pub fn name(self) -> String {
        format!("appointmentTypes/{self}")
    }

    /// Parses the resource name `appointmentTypes/{type}`. `None` if the text has another form.
    pub fn parse(name: &str) -> Option<Self> {
        canonical(name.strip_prefix("appointmentTypes/")?).map(Self)
    }
}

impl ClosureId {
    /// The resource name, `closures/{closure}`.
    pub fn name(self) -> String {
        format!("closures/{self}")
    }

    /// Parses the resource name `closures/{closure}`. `None` if the text has another form.
    pub fn parse(name: &str) -> Option<Self> {
        canonical(name.strip_prefix("closures/")?).map(Self)
    }
}

impl ServiceAccountId {
    /// As the id of who acts, where a service account acts as itself: no user has it.
    pub const fn as_user(self) -> UserId {
        UserId(self.0)
    }

    /// The resource name, `serviceAccounts/{service_account}`.
    pub fn name(self) -> String {
        format!("serviceAccounts/{self}")
    }

    /// Parses the resource name `serviceAccounts/{service_account}`. `None` if the text has another
    /// form.
    pub fn parse(name: &str) -> Option<Self> {
        canonical(name.strip_prefix("serviceAccounts/")?).map(Self)
    }
}

impl ApiKeyId {
    /// The resource name, `serviceAccounts/{service_account}/apiKeys/{api_key}`.
    pub fn name(self, account: ServiceAccountId) -> String {
        format!("serviceAccounts/{account}/apiKeys/{self}")
    }

    /// Parses the resource name `serviceAccounts/{service_account}/apiKeys/{api_key}`. `None` if the
    /// text has another form.
    pub fn parse(name: &str) -> Option<(ServiceAccountId, Self)> {
        let (account, key) = name.split_once("/apiKeys/")?;
        Some((ServiceAccountId::parse(account)?, Self(canonical(key)?)))
    }
}

impl RequestId {
    /// Reads a UUID in its canonical form, in lower case.
    pub fn parse(text: &str) -> Option<Self> {
        canonical(text).map(Self)
    }
}

/// A UUIDv7 for this time (milliseconds count) and these random bits.
pub fn uuid_v7(now: Instant, random: &[u8; 10]) -> Uuid {
    let millis = u64::try_from(now.timestamp_millis()).unwrap_or_default();
    Builder::from_unix_timestamp_millis(millis, random).into_uuid()
}

fn canonical(text: &str) -> Option<Uuid> {
    // The parser also takes braces, URNs and bare digits.
    let uuid = Uuid::try_parse(text).ok()?;
    (text.len() == 36 && uuid.hyphenated().to_string() == text).then_some(uuid)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_read_back() {
        let provider = ProviderId(Uuid::from_u128(7));
        let appointment = AppointmentId(Uuid::from_u128(9));
        assert_eq!(ProviderId::parse(&provider.name()), Some(provider));
        assert_eq!(ProviderId::parse_schedule(&provider.schedule_name()), Some(provider));
        assert_eq!(
            AppointmentId::parse(&appointment.name(provider)),
            Some((provider, appointment))
        );
        assert_eq!(UserId::parse(&provider.as_user().name()), Some(provider.as_user()));
    }

    #[test]
    fn other_spellings_are_refused() {
        let id = Uuid::from_u128(0x00ab_cdef);
        for bad in [
            format!("providers/{{{id}}}"),
            format!("providers/{}", id.simple()),
            format!("providers/{}", id.to_string().to_uppercase()),
            format!("providers/{id}/"),
            format!("Providers/{id}"),
            format!("users/{id}"),
            format!("providers/{id}\0"),
            "providers/".to_owned(),
            String::new(),
        ] {
            assert_eq!(ProviderId::parse(&bad), None, "{bad:?}");
        }
    }
}
