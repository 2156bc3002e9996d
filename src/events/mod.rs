//! Events: the record of every change of a provider's time.
//!
//! An event is written in the transaction of the change that it records, and carries the provider's
//! version after it. Versions are taken under the lock of the provider's row, so they are without gaps
//! and in the order of the commits.

pub mod store;

use serde_json::Value;

use crate::kernel::{
    id::{AppointmentId, ProviderId, ServiceAccountId, UserId},
    time::Instant,
};

/// Kind of event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ProviderEventKind {
    /// A provider came into being, with a schedule.
    ProviderOpened,
    /// The name, or whether the provider can be booked, changed.
    ProviderChanged,
    /// A schedule changed, came or went.
    ScheduleChanged,
    /// Time off was taken.
    TimeOffCreated,
    /// Time off was given back.
    TimeOffDeleted,
    /// The practice is closed for a time; each provider has this event.
    ClosureCreated,
    /// The practice is open again; each provider has this event.
    ClosureDeleted,
    /// A provider offers a type, or by another schedule than before.
    OfferingChanged,
    /// A provider offers a type no more.
    OfferingWithdrawn,
    /// What the provider attends as somebody's customer changed, and so their own time.
    AttendanceChanged,
    /// An appointment was booked.
    AppointmentBooked,
    /// An appointment was cancelled.
    AppointmentCancelled,
    /// An appointment was completed.
    AppointmentCompleted,
    /// An appointment was asked for.
    AppointmentRequested,
    /// A request became an appointment.
    AppointmentApproved,
    /// A request was refused.
    AppointmentDeclined,
    /// A request ended unanswered.
    AppointmentExpired,
    /// An appointment was moved.
    AppointmentRescheduled,
    /// Another time was asked for. Before moves waited for their answer beside what was agreed, the
    /// appointment was moved and a request again.
    AppointmentMoveRequested,
    /// The move that was asked for was refused: what was agreed stays.
    AppointmentMoveDeclined,
    /// The move that was asked for was not answered in time.
    AppointmentMoveExpired,
    /// The move that was asked for was taken back.
    AppointmentMoveWithdrawn,
    /// An appointment was given to another provider; its time is free here.
    AppointmentReassigned,
    /// An appointment was missed by its customer.
    AppointmentNoShow,
    /// An outcome that was marked by mistake was corrected.
    AppointmentCorrected,
    /// What the provider's side wrote on an appointment changed.
    AppointmentUpdated,
    /// The private note of an appointment changed: nothing for its customer.
    AppointmentNoted,
    /// An appointment is another account's of the same customer.
    AppointmentCustomerMerged,
    /// A slot is held.
    HoldPlaced,
    /// A hold ends later.
    HoldExtended,
    /// A hold is another account's of the same customer.
    HoldCustomerMerged,
    /// A hold was given up.
    HoldReleased,
    /// A hold ended by itself.
    HoldExpired,
}

impl ProviderEventKind {
    /// All variants, in the order of declaration.
    pub const ALL: &'static [Self] = &[
        Self::ProviderOpened,
        Self::ProviderChanged,
        Self::ScheduleChanged,
        Self::TimeOffCreated,
        Self::TimeOffDeleted,
        Self::ClosureCreated,
        Self::ClosureDeleted,
        Self::OfferingChanged,
        Self::OfferingWithdrawn,
        Self::AttendanceChanged,
        Self::AppointmentBooked,
        Self::AppointmentCancelled,
        Self::AppointmentCompleted,
        Self::AppointmentRequested,
        Self::AppointmentApproved,
        Self::AppointmentDeclined,
        Self::AppointmentExpired,
        Self::AppointmentRescheduled,
        Self::AppointmentMoveRequested,
        Self::AppointmentMoveDeclined,
        Self::AppointmentMoveExpired,
        Self::AppointmentMoveWithdrawn,
        Self::AppointmentReassigned,
        Self::AppointmentNoShow,
        Self::AppointmentCorrected,
        Self::AppointmentUpdated,
        Self::AppointmentNoted,
        Self::AppointmentCustomerMerged,
        Self::HoldPlaced,
        Self::HoldExtended,
        Self::HoldCustomerMerged,
        Self::HoldReleased,
        Self::HoldExpired,
    ];

    /// Reads the word.
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|kind| kind.word() == word)
    }

    /// The word used in the table.
    pub const fn word(self) -> &'static str {
        match self {
            Self::ProviderOpened => "provider_opened",
            Self::ProviderChanged => "provider_changed",
            Self::ScheduleChanged => "schedule_changed",
            Self::TimeOffCreated => "time_off_created",
            Self::TimeOffDeleted => "time_off_deleted",
            Self::ClosureCreated => "closure_created",
            Self::ClosureDeleted => "closure_deleted",
            Self::OfferingChanged => "offering_changed",
            Self::OfferingWithdrawn => "offering_withdrawn",
            Self::AttendanceChanged => "attendance_changed",
            Self::AppointmentBooked => "appointment_booked",
            Self::AppointmentCancelled => "appointment_cancelled",
            Self::AppointmentCompleted => "appointment_completed",
            Self::AppointmentRequested => "appointment_requested",
            Self::AppointmentApproved => "appointment_approved",
            Self::AppointmentDeclined => "appointment_declined",
            Self::AppointmentExpired => "appointment_expired",
            Self::AppointmentRescheduled => "appointment_rescheduled",
            Self::AppointmentMoveRequested => "appointment_move_requested",
            Self::AppointmentMoveDeclined => "appointment_move_declined",
            Self::AppointmentMoveExpired => "appointment_move_expired",
            Self::AppointmentMoveWithdrawn => "appointment_move_withdrawn",
            Self::AppointmentReassigned => "appointment_reassigned",
            Self::AppointmentNoShow => "appointment_no_show",
            Self::AppointmentCorrected => "appointment_corrected",
            Self::AppointmentUpdated => "appointment_updated",
            Self::AppointmentNoted => "appointment_noted",
            Self::AppointmentCustomerMerged => "appointment_customer_merged",
            Self::HoldPlaced => "hold_placed",
            Self::HoldExtended => "hold_extended",
            Self::HoldCustomerMerged => "hold_customer_merged",
            Self::HoldReleased => "hold_released",
            Self::HoldExpired => "hold_expired",
        }
    }
}

/// One change of a provider's time.
#[derive(Debug, Clone)]
pub struct Event {
    /// The id of the provider whose time changed.
    pub provider: ProviderId,
    /// The provider's version after the change.
    pub version: i64,
    /// Kind of event.
    pub kind: ProviderEventKind,
    /// Which appointment it happened to, if one.
    pub appointment: Option<AppointmentId>,
    /// Who did it; nobody for acts at the command line.
    pub actor: Option<UserId>,
    /// Through which service account. Where it acted as itself, the actor has its id.
    pub via: Option<ServiceAccountId>,
    /// The time of the change, UTC.
    pub at: Instant,
    /// What a listener needs to follow the change.
    pub detail: Value,
}
