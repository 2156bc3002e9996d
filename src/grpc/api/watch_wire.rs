//! Events in the order of the practice, as messages.

use super::{
    booking_events::{actor_of, outcome},
    booking_wire::wire_party,
    convert::timestamp,
};
use crate::grpc::proto::booking::{self as pb, event::Kind};
use crate::{
    events::{
        EventData, ProviderEventKind,
        appointment::{HoldExtension, HoldPlaced},
        schedule::{Closure, NamedSchedule, Offered, ScheduleChanged, TimeOff, Withdrawn},
    },
    kernel::id::{HoldId, TypeId, UserId},
    live::Told,
};

macro_rules! kinds {
    ($($kind:ident,)*) => {
        /// The kind as it is told.
        fn wire_kind(kind: ProviderEventKind) -> Kind {
            match kind { $(ProviderEventKind::$kind => Kind::$kind,)* }
        }

        /// The kind that is meant, if there is such a kind.
        pub(super) fn kind(wire: Kind) -> Option<ProviderEventKind> {
            match wire {
                Kind::Unspecified => None,
                $(Kind::$kind => Some(ProviderEventKind::$kind),)*
            }
        }
    };
}

kinds! {
    AppointmentBooked,
    AppointmentRequested,
    AppointmentApproved,
    AppointmentDeclined,
    AppointmentExpired,
    AppointmentCancelled,
    AppointmentCompleted,
    AppointmentNoShow,
    AppointmentCorrected,
    AppointmentRescheduled,
    AppointmentMoveRequested,
    AppointmentMoveDeclined,
    AppointmentMoveExpired,
    AppointmentMoveWithdrawn,
    AppointmentReassigned,
    AppointmentCustomerMerged,
    AppointmentUpdated,
    AppointmentNoted,
    HoldPlaced,
    HoldExtended,
    HoldReleased,
    HoldExpired,
    HoldCustomerMerged,
    ProviderOpened,
    ProviderChanged,
    ScheduleChanged,
    TimeOffCreated,
    TimeOffDeleted,
    ClosureCreated,
    ClosureDeleted,
    OfferingChanged,
    OfferingWithdrawn,
    AttendanceChanged,
}

/// An event, for the provider's side or for the customer, with the cursor after it.
pub(super) fn wire_event(told: &Told, is_staff: bool, cursor: String) -> pb::Event {
    let (event, change) = (&told.found.event, told.found.event.data.change());
    let actor = actor_of(event, told.actor.as_ref(), is_staff);
    let kind = wire_kind(event.data.kind());
    let is_hold = kind.as_str_name().starts_with("KIND_HOLD_");
    let id = event.appointment;
    let hold = id.filter(|_| is_hold).map(|id| HoldId(id.0).name(event.provider));
    let appointment = id.filter(|_| !is_hold).map(|id| id.name(event.provider));
    let mut wire = pb::Event {
        provider: event.provider.name(),
        version: event.version,
        kind: kind.into(),
        occur_time: Some(timestamp(event.at)),
        cursor,
        appointment: appointment.unwrap_or_default(),
        hold: hold.unwrap_or_default(),
        customer: told.found.customer.map(UserId::name).unwrap_or_default(),
        appointment_type: told.found.type_id.map(TypeId::name).unwrap_or_default(),
        start_time: change.start.map(timestamp),
        end_time: change.end.map(timestamp),
        previous_start_time: change.previous_start.map(timestamp),
        previous_end_time: change.previous_end.map(timestamp),
        reason: change.reason.to_owned(),
        override_reason: if is_staff { change.override_reason } else { "" }.to_owned(),
        late_cancellation: is_staff && change.late,
        state: outcome(change.state).into(),
        actor: actor.user,
        service_account: actor.service_account,
        actor_party: wire_party(actor.party).into(),
        actor_display_name: actor.display_name,
        ..pb::Event::default()
    };
    fill(&mut wire, told);
    wire
}

/// What only some kinds have.
fn fill(wire: &mut pb::Event, told: &Told) {
    let provider = told.found.event.provider;
    match &told.found.event.data {
        EventData::AppointmentBooked(claimed)
        | EventData::AppointmentRequested(claimed)
        | EventData::HoldPlaced(HoldPlaced::New(claimed)) => {
            wire.expire_time = claimed.expires.map(timestamp);
        }
        EventData::HoldPlaced(HoldPlaced::ToMove(held)) => {
            wire.expire_time = held.expires.map(timestamp);
        }
        EventData::HoldExtended(HoldExtension { expires }) => {
            wire.expire_time = expires.map(timestamp);
        }
        EventData::TimeOffCreated(TimeOff { time_off, start, end })
        | EventData::TimeOffDeleted(TimeOff { time_off, start, end }) => {
            wire.time_off = time_off.name(provider);
            wire.start_time = Some(timestamp(*start));
            wire.end_time = Some(timestamp(*end));
        }
        EventData::ClosureCreated(Closure { closure, start, end })
        | EventData::ClosureDeleted(Closure { closure, start, end }) => {
            wire.closure = closure.name();
            wire.start_time = Some(timestamp(*start));
            wire.end_time = Some(timestamp(*end));
        }
        EventData::ScheduleChanged(ScheduleChanged::Named(NamedSchedule { schedule, .. })) => {
            wire.schedule = format!("{}/schedules/{schedule}", provider.name());
        }
        EventData::OfferingChanged(Offered { appointment_type, .. })
        | EventData::OfferingWithdrawn(Withdrawn { appointment_type }) => {
            wire.appointment_type = appointment_type.name();
        }
        _ => {}
    }
}
