//! Holds: lists, and what becomes of one.

use super::{
    booking_wire::{
        CUSTOMER_NAME, HOLD_NAME, appointment_name, hold_duration, ordered, read_hold, type_name,
        typed_fields_of_hold, wire_hold,
    },
    convert::{end, name, optional, start},
    open::{Opened, OpenedWrite},
    page::cut,
    schedule::PROVIDER_NAME,
};
use crate::grpc::proto::booking as pb;
use crate::{
    booking::{
        Appointment,
        commands::{hold::HoldAction, hold_to_move::HoldToMove, relocate::Reschedule},
        service::Bookings,
        store::{AppointmentCursor, holds::Filter},
    },
    identity::permit,
    kernel::{
        fault::Fault,
        id::{HoldId, ProviderId, UserId},
        page::{PageTokens, page_size},
    },
};

/// Holds a slot, for something new or for what shall be moved.
pub(super) async fn hold(
    bookings: &Bookings,
    call: OpenedWrite<pb::HoldSlotRequest>,
) -> Result<pb::Hold, Fault> {
    if !call.message.rescheduling.is_empty() {
        return to_move(bookings, call).await;
    }
    let OpenedWrite { deadline, caller, message, mut violations, idempotency_key } = call;
    let request = read_hold(&message, caller, &mut violations);
    if !violations.is_empty() {
        let fields = typed_fields_of_hold(&message);
        bookings.also_wrong(deadline, caller, fields, &mut violations).await?;
    }
    let request = violations.finish_with(request)?;
    let hold = |idempotency_key| bookings.book(deadline, request, idempotency_key);
    Ok(wire_hold(&idempotency_key.carry_out(deadline, hold).await?))
}

/// Holds a slot to which an appointment shall be moved.
async fn to_move(
    bookings: &Bookings,
    call: OpenedWrite<pb::HoldSlotRequest>,
) -> Result<pb::Hold, Fault> {
    let OpenedWrite { deadline, caller, message, mut violations, idempotency_key } = call;
    let parsed = violations.keep("rescheduling", appointment_name(&message.rescheduling));
    let provider = optional(&message.provider, |text| {
        violations.keep("provider", name(text, ProviderId::parse, PROVIDER_NAME))
    });
    let type_id = optional(&message.appointment_type, |text| type_name(text, &mut violations));
    let from = violations.keep("start_time", start(message.start_time.as_ref()));
    let until = message.end_time.as_ref();
    let until = until.and_then(|at| violations.keep("end_time", end(Some(at))));
    if until.is_some() {
        ordered(from, until, &mut violations);
    }
    let length = violations.keep("hold_duration", hold_duration(message.hold_duration.as_ref()));
    // It is as long as it was agreed, and for whom.
    for (field, is_given) in
        [("duration", message.duration.is_some()), ("customer", !message.customer.is_empty())]
    {
        if is_given {
            violations.add(field, "must be absent with rescheduling");
        }
    }
    if provider.is_some_and(|provider| parsed.is_some_and(|(of, _)| of != provider)) {
        violations.add("provider", "must be the appointment's, or absent");
    }
    let ((provider, id), start, length) = violations.finish_with((parsed, from, length))?;
    let (now, hold) = bookings.now_and_id();
    let hold = |idempotency_key| {
        let to = Reschedule {
            caller,
            provider,
            id,
            start,
            end: until,
            reason: String::new(),
            override_reason: String::new(),
            expected: None,
            idempotency_key,
            now,
            zones: bookings.zones(),
            practice: bookings.practice(),
        };
        bookings.hold_to_move(deadline, HoldToMove { to, hold, type_id, length })
    };
    Ok(wire_hold(&idempotency_key.carry_out(deadline, hold).await?))
}

/// A page of holds within what the caller may see.
pub(super) async fn list(
    (bookings, pages): (&Bookings, &PageTokens),
    call: Opened<pb::ListHoldsRequest>,
) -> Result<pb::ListHoldsResponse, Fault> {
    let Opened { deadline, caller, message, mut violations } = call;
    let provider = optional(&message.provider, |text| {
        violations.keep("provider", name(text, ProviderId::parse, PROVIDER_NAME))
    });
    let customer = optional(&message.customer, |text| {
        violations.keep("customer", name(text, UserId::parse, CUSTOMER_NAME))
    });
    let from = message.start_time.as_ref();
    let from = from.and_then(|at| violations.keep("start_time", start(Some(at))));
    let until = message.end_time.as_ref();
    let until = until.and_then(|at| violations.keep("end_time", end(Some(at))));
    if from.is_some() {
        ordered(from, until, &mut violations);
    }
    let size = violations.keep("page_size", page_size(message.page_size)).unwrap_or_default();
    let query = format!(
        "holds {} {:?} {:?} {from:?} {until:?}",
        caller.user, message.provider, message.customer
    );
    let after =
        violations.keep("page_token", pages.read::<AppointmentCursor>(&query, &message.page_token));
    violations.finish()?;
    // Nobody looks through the holds of everybody: with no bounds they are the caller's own.
    let own = (provider.is_none() && customer.is_none()).then_some(caller.user);
    let bounds = permit::list_appointments(caller, provider, customer.or(own))?;
    let filter = Filter { bounds, now: bookings.now(), from, until };
    let limit = u64::from(size) + 1;
    let found = bookings.list_holds(deadline, filter, after.flatten(), limit).await?;
    let (found, next_page_token) = cut(found, size, pages, &query, |last| AppointmentCursor {
        start: last.row().0.0,
        id: last.id.0,
    });
    Ok(pb::ListHoldsResponse { holds: found.iter().map(wire_hold).collect(), next_page_token })
}

/// Lets a hold go on for longer.
pub(super) async fn extend(
    bookings: &Bookings,
    call: OpenedWrite<pb::ExtendHoldRequest>,
) -> Result<Appointment, Fault> {
    let OpenedWrite { deadline, caller, message, mut violations, idempotency_key } = call;
    let parsed = violations.keep("name", name(&message.name, HoldId::parse, HOLD_NAME));
    let length = violations.keep("hold_duration", hold_duration(message.hold_duration.as_ref()));
    let (of, length) = violations.finish_with((parsed, length))?;
    let what = HoldAction::Extend(length);
    idempotency_key
        .carry_out(deadline, |idempotency_key| {
            bookings.use_hold(deadline, caller, of, what, idempotency_key)
        })
        .await
}

/// Gives a hold up.
pub(super) async fn release(
    bookings: &Bookings,
    call: OpenedWrite<pb::ReleaseHoldRequest>,
) -> Result<Appointment, Fault> {
    let OpenedWrite { deadline, caller, message, mut violations, idempotency_key } = call;
    let parsed = violations.keep("name", name(&message.name, HoldId::parse, HOLD_NAME));
    let of = violations.finish_with(parsed)?;
    let release = |idempotency_key| {
        bookings.use_hold(deadline, caller, of, HoldAction::Release, idempotency_key)
    };
    idempotency_key.carry_out(deadline, release).await
}
