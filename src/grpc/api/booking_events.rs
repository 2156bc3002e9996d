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
        actors::{Actor, EventWithActor, Party},
        service::Bookings,
    },
    events::{Event, ProviderEventKind, appointment::Outcome},
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
    let override_reason = if is_staff { change.override_reason } else { "" };
    let actor = actor_of(event, told.actor.as_ref(), is_staff);
    Some(pb::AppointmentEvent {
        version: event.version,
        kind: kind.into(),
        actor: actor.user,
        occur_time: Some(timestamp(event.at)),
        reason: change.reason.to_owned(),
        start_time: change.start.map(timestamp),
        end_time: change.end.map(timestamp),
        previous_start_time: change.previous_start.map(timestamp),
        previous_end_time: change.previous_end.map(timestamp),
        override_reason: override_reason.to_owned(),
        service_account: actor.service_account,
        state: outcome(change.state).into(),
        late_cancellation: is_staff && change.late,
        actor_party: wire_party(actor.party).into(),
        actor_display_name: actor.display_name,
    })
}

/// The state after a correction.
pub(super) const fn outcome(state: Option<Outcome>) -> WireState {
    match state {
        None => WireState::Unspecified,
        Some(Outcome::Booked) => WireState::Booked,
        Some(Outcome::Completed) => WireState::Completed,
        Some(Outcome::NoShow) => WireState::NoShow,
    }
}

/// Who acted, as it is told.
pub(super) struct WireActor {
    /// The name of the user, or empty.
    pub(super) user: String,
    /// The name of the service account, or empty.
    pub(super) service_account: String,
    /// Who they are to the appointment.
    pub(super) party: Option<Party>,
    /// What they are called now.
    pub(super) display_name: String,
}

/// Who acted, for the provider's side or for the customer. A service account that acted as itself is no user. Who of the
/// practice acted is told to the provider's side by id, and to the customer as a party alone.
pub(super) fn actor_of(event: &Event, actor: Option<&Actor>, is_staff: bool) -> WireActor {
    let itself = event.via.map(ServiceAccountId::as_user);
    let party = actor.map(|actor| actor.party);
    let is_told = is_staff || party != Some(Party::Practice);
    let user = event.actor.filter(|user| is_told && Some(*user) != itself);
    let service = event.via.filter(|_| is_told);
    WireActor {
        user: user.map(UserId::name).unwrap_or_default(),
        service_account: service.map(ServiceAccountId::name).unwrap_or_default(),
        party,
        display_name: actor.map(|actor| actor.display_name.clone()).unwrap_or_default(),
    }
}
