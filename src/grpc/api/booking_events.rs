//! What happened to an appointment, as messages.

use super::{
    booking_wire::{appointment_name, wire_party},
    convert::timestamp,
    open::Opened,
    page::cut,
};
use crate::grpc::proto::booking::{
    self as pb, appointment::State as WireState, appointment_event::Kind as WireKind,
};
use crate::{
    booking::{
        actors::{EventWithActor, Party},
        service::Bookings,
    },
    events::{ProviderEventKind, appointment::Outcome},
    kernel::{
        fault::Fault,
        id::{ServiceAccountId, UserId},
        page::{PageTokens, page_size},
    },
};

/// A page of what happened to an appointment, for those who may see it.
pub(super) async fn list(
    (bookings, pages): (&Bookings, &PageTokens),
    call: Opened<pb::ListAppointmentEventsRequest>,
) -> Result<pb::ListAppointmentEventsResponse, Fault> {
    let Opened { deadline, caller, message, mut violations } = call;
    let parsed = violations.keep("parent", appointment_name(&message.parent));
    let size = violations.keep("page_size", page_size(message.page_size)).unwrap_or_default();
    let query = format!("events {} {:?}", caller.user, message.parent);
    let after = pages.read::<i64>(&query, &message.page_token);
    let after = violations.keep("page_token", after).flatten();
    let of = violations.finish_with(parsed)?;
    let limit = u64::from(size) + 1;
    let (found, is_staff) = bookings.events(deadline, caller, of, after, limit).await?;
    let (found, next_page_token) = cut(found, size, pages, &query, |last| last.event.version);
    let events = found.iter().filter_map(|told| wire_event(told, is_staff)).collect();
    Ok(pb::ListAppointmentEventsResponse { events, next_page_token })
}

/// An event of an appointment, as the provider's side or the customer may see it; those of the hold before it
/// are not of the appointment.
pub(super) fn wire_event(told: &EventWithActor, is_staff: bool) -> Option<pb::AppointmentEvent> {
    let event = &told.event;
    let kind = match event.data.kind() {
        ProviderEventKind::AppointmentBooked => WireKind::Booked,
        ProviderEventKind::AppointmentCancelled => WireKind::Cancelled,
        ProviderEventKind::AppointmentCompleted => WireKind::Completed,
        ProviderEventKind::AppointmentRequested => WireKind::Requested,
        ProviderEventKind::AppointmentApproved => WireKind::Approved,
        ProviderEventKind::AppointmentDeclined => WireKind::Declined,
        ProviderEventKind::AppointmentExpired => WireKind::Expired,
        ProviderEventKind::AppointmentRescheduled => WireKind::Rescheduled,
        ProviderEventKind::AppointmentMoveRequested => WireKind::MoveRequested,
        ProviderEventKind::AppointmentMoveDeclined => WireKind::MoveDeclined,
        ProviderEventKind::AppointmentMoveExpired => WireKind::MoveExpired,
        ProviderEventKind::AppointmentMoveWithdrawn => WireKind::MoveWithdrawn,
        ProviderEventKind::AppointmentReassigned => WireKind::Reassigned,
        ProviderEventKind::AppointmentCustomerMerged => WireKind::CustomerMerged,
        ProviderEventKind::AppointmentNoShow => WireKind::NoShow,
        ProviderEventKind::AppointmentUpdated => WireKind::Updated,
        ProviderEventKind::AppointmentCorrected => WireKind::Corrected,
        ProviderEventKind::AppointmentNoted if is_staff => WireKind::Noted,
        _ => return None,
    };
    let change = event.data.change();
    let state = match change.state {
        None => WireState::Unspecified,
        Some(Outcome::Booked) => WireState::Booked,
        Some(Outcome::Completed) => WireState::Completed,
        Some(Outcome::NoShow) => WireState::NoShow,
    };
    let override_reason = if is_staff { change.override_reason } else { "" };
    // A service account that acted as itself is no user. Who of the practice acted is told to the provider's side by
    // id, and to the customer as a party alone.
    let itself = event.via.map(ServiceAccountId::as_user);
    let party = told.actor.as_ref().map(|actor| actor.party);
    let is_told = is_staff || party != Some(Party::Practice);
    let actor = event.actor.filter(|actor| is_told && Some(*actor) != itself);
    let service = event.via.filter(|_| is_told);
    Some(pb::AppointmentEvent {
        version: event.version,
        kind: kind.into(),
        actor: actor.map(UserId::name).unwrap_or_default(),
        occur_time: Some(timestamp(event.at)),
        reason: change.reason.to_owned(),
        start_time: change.start.map(timestamp),
        end_time: change.end.map(timestamp),
        previous_start_time: change.previous_start.map(timestamp),
        previous_end_time: change.previous_end.map(timestamp),
        override_reason: override_reason.to_owned(),
        service_account: service.map(ServiceAccountId::name).unwrap_or_default(),
        state: state.into(),
        late_cancellation: is_staff && change.late,
        actor_party: wire_party(party).into(),
        actor_display_name: told.actor.as_ref().map(|a| a.display_name.clone()).unwrap_or_default(),
    })
}
