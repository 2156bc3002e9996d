//! The services of the rooms that calls are handed to.

use crate::{
    accounts::services::AccountServices,
    availability::{service::Availabilities, slots_service::Slots},
    booking::service::Bookings,
    catalogue::service::Types,
    kernel::{ambient::Ambient, call_counter::CallCounter},
    live::{service::Feed, watch_service::Watches},
    mail::service::Mail,
    personal_data::{
        erasure::service::Erasures, export::service::Exports, merging::service::Merging,
    },
    schedule::{offering::service::Offerings, service::Schedules},
    storage::Store,
};

/// The rooms' services, and the keys that requests and pages are bound to.
#[derive(Debug, Clone)]
pub struct Services {
    /// Log-ins, accounts and what guards them.
    pub accounts: AccountServices,
    /// The export of personal data.
    pub exports: Exports,
    /// The erasure of accounts and of what is stored about their owners.
    pub erasures: Erasures,
    /// Merging accounts of one person.
    pub merging: Merging,
    /// Providers and schedules.
    pub schedules: Schedules,
    /// Service that answers `GetAvailability`.
    pub availabilities: Availabilities,
    /// Slots of appointment types.
    pub slots: Slots,
    /// Service layer for appointment types.
    pub types: Types,
    /// Who offers them.
    pub offerings: Offerings,
    /// Appointments, requests and holds.
    pub bookings: Bookings,
    /// The events of all providers in one order.
    pub feed: Feed,
    /// Those who are told of events as they come.
    pub watches: Watches,
    /// The outbox of emails.
    pub mail: Mail,
    /// Database handle.
    pub store: Store,
    /// Clock and ids.
    pub ambient: Ambient,
    /// The calls that hashing gives way to.
    pub demand: CallCounter,
    /// The keys of request fingerprints.
    pub request_keys: Vec<[u8; 32]>,
    /// The keys of page tokens.
    pub page_keys: Vec<[u8; 32]>,
}
