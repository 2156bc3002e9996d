//! Events: the record of every change of a provider's time; and what is stored of it, of the changes of appointment
//! types and accounts, and of the audit trail.
//!
//! An event is written in the transaction of the change that it records, and carries the provider's
//! version after it. Versions are taken under the lock of the provider's row, so they are without gaps
//! and in the order of the commits.
//!
//! The data of events are types. They are encoded and decoded here alone ([`table`]); the rooms to the right say what
//! happened, and read it, by these types.

pub mod appointment;
pub mod audit;
pub mod change;
pub mod erase;
pub mod schedule;
pub mod store;
pub mod table;
pub mod types;
pub mod users;

use self::{
    appointment::{
        Claimed, Correction, CustomerMerge, Decision, Expiry, HoldExtension, HoldPlaced,
        HoldRelease, Moved, Reassignment,
    },
    schedule::{
        Attendance, Closure, Offered, ProviderChanged, ProviderOpened, ScheduleChanged, TimeOff,
        Withdrawn,
    },
    table::event_table,
};
use crate::kernel::{
    id::{AppointmentId, ProviderId, ServiceAccountId, UserId},
    time::Instant,
};

event_table! {
    /// What happened.
    kind ProviderEventKind;
    /// What happened, with what a listener needs to follow the change.
    data EventData;
    plain {
        /// What the provider's side wrote on an appointment changed.
        AppointmentUpdated = "appointment_updated",
        /// The private note of an appointment changed: nothing for its customer.
        AppointmentNoted = "appointment_noted",
    }
    with {
        /// A provider came into being, with a schedule.
        ProviderOpened(ProviderOpened) = "provider_opened",
        /// The name, or whether the provider can be booked, changed.
        ProviderChanged(ProviderChanged) = "provider_changed",
        /// A schedule changed, came or went.
        ScheduleChanged(ScheduleChanged) = "schedule_changed",
        /// Time off was taken.
        TimeOffCreated(TimeOff) = "time_off_created",
        /// Time off was given back.
        TimeOffDeleted(TimeOff) = "time_off_deleted",
        /// The practice is closed for a time; each provider has this event.
        ClosureCreated(Closure) = "closure_created",
        /// The practice is open again; each provider has this event.
        ClosureDeleted(Closure) = "closure_deleted",
        /// A provider offers a type, or by another schedule than before.
        OfferingChanged(Offered) = "offering_changed",
        /// A provider offers a type no more.
        OfferingWithdrawn(Withdrawn) = "offering_withdrawn",
        /// What the provider attends as somebody's customer changed, and so their own time.
        AttendanceChanged(Attendance) = "attendance_changed",
        /// An appointment was booked.
        AppointmentBooked(Claimed) = "appointment_booked",
        /// An appointment was cancelled.
        AppointmentCancelled(Decision) = "appointment_cancelled",
        /// An appointment was completed.
        AppointmentCompleted(Decision) = "appointment_completed",
        /// An appointment was asked for.
        AppointmentRequested(Claimed) = "appointment_requested",
        /// A request became an appointment.
        AppointmentApproved(Decision) = "appointment_approved",
        /// A request was refused.
        AppointmentDeclined(Decision) = "appointment_declined",
        /// A request ended unanswered.
        AppointmentExpired(Expiry) = "appointment_expired",
        /// An appointment was moved.
        AppointmentRescheduled(Moved) = "appointment_rescheduled",
        /// Another time was asked for. Before moves waited for their answer beside what was agreed, the
        /// appointment was moved and a request again.
        AppointmentMoveRequested(Moved) = "appointment_move_requested",
        /// The move that was asked for was refused: what was agreed stays.
        AppointmentMoveDeclined(Decision) = "appointment_move_declined",
        /// The move that was asked for was not answered in time.
        AppointmentMoveExpired(Expiry) = "appointment_move_expired",
        /// The move that was asked for was taken back.
        AppointmentMoveWithdrawn(Decision) = "appointment_move_withdrawn",
        /// An appointment was given to another provider; its time is free here.
        AppointmentReassigned(Reassignment) = "appointment_reassigned",
        /// An appointment was missed by its customer.
        AppointmentNoShow(Decision) = "appointment_no_show",
        /// An outcome that was marked by mistake was corrected.
        AppointmentCorrected(Correction) = "appointment_corrected",
        /// An appointment is another account's of the same customer.
        AppointmentCustomerMerged(CustomerMerge) = "appointment_customer_merged",
        /// A slot is held.
        HoldPlaced(HoldPlaced) = "hold_placed",
        /// A hold ends later.
        HoldExtended(HoldExtension) = "hold_extended",
        /// A hold is another account's of the same customer.
        HoldCustomerMerged(CustomerMerge) = "hold_customer_merged",
        /// A hold was given up.
        HoldReleased(HoldRelease) = "hold_released",
        /// A hold ended by itself.
        HoldExpired(Expiry) = "hold_expired",
    }
}

/// One change of a provider's time.
#[derive(Debug, Clone)]
pub struct Event {
    /// The id of the provider whose time changed.
    pub provider: ProviderId,
    /// The provider's version after the change.
    pub version: i64,
    /// Which appointment it happened to, if one.
    pub appointment: Option<AppointmentId>,
    /// Who did it; nobody for acts at the command line.
    pub actor: Option<UserId>,
    /// Through which service account. Where it acted as itself, the actor has its id.
    pub via: Option<ServiceAccountId>,
    /// The time of the change, UTC.
    pub at: Instant,
    /// What happened.
    pub data: EventData,
}

#[cfg(test)]
#[path = "stored_tests.rs"]
mod tests;
