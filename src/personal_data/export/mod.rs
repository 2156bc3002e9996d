//! All that is stored about somebody, for them to take away.

pub mod commands;
pub mod service;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::{
    accounts::{User, audit::AuditEntry, second_factor::Seen, sessions::Session, store::Happened},
    booking::{Appointment, actors::EventWithActor, store::AppointmentCursor},
    catalogue::AppointmentType,
    kernel::id::ProviderId,
    schedule::{offering::Offering, provider::Provider, store::offerings::OfferingCursor},
};

/// One thing that is stored about somebody.
#[derive(Debug)]
pub enum Record {
    /// The account.
    User(User),
    /// Whether there is a second factor.
    SecondFactor(Seen),
    /// A session: one log-in of one user on one device.
    Session(Session),
    /// Something that happened to the account.
    Happened(Happened),
    /// Something that bears on security.
    Audited(AuditEntry),
    /// The provider that the account is, with schedules and time off.
    Provider(Box<Provider>),
    /// Something that the provider offers.
    Offering(Offering),
    /// A type of the provider's own.
    Type(Box<AppointmentType>),
    /// An appointment as a customer, with what happened to it, or with the next part of that.
    Appointment(Box<Appointment>, Vec<EventWithActor>),
}

/// Where to go on: in a part, after what was told of it.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[expect(
    missing_docs,
    reason = "each is a part of what is told, in this order; Events is within Appointments"
)]
pub enum ExportPosition {
    Account,
    Sessions(Option<Uuid>),
    History(i64),
    Trail(Option<Uuid>),
    Offerings(Option<OfferingCursor>),
    Types(Option<Uuid>),
    Appointments(Option<AppointmentCursor>),
    Events { of: AppointmentCursor, provider: ProviderId, after: i64 },
    End,
}

/// A page: records, each with the place after it, and the place after all of them.
#[derive(Debug)]
pub struct Page {
    /// The records, all of one part.
    pub records: Vec<(Record, ExportPosition)>,
    /// Where to go on.
    pub next: ExportPosition,
}
