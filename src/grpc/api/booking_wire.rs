//! Appointments and holds as messages.

use chrono::TimeDelta;
use prost_types::Timestamp;

use super::{
    convert::{
        TYPE_NAME, date, duration, end, etag, minutes, name, optional, start, timestamp, zone,
    },
    customer_context::Named,
    schedule::PROVIDER_NAME,
};
use crate::grpc::proto::booking::{
    self as pb, answer::Value as WireValue, appointment::State as WireState,
};
use crate::{
    availability::service::{FreeTimeQuery, LONGEST_SPAN},
    booking::{
        Appointment, LONGEST_NOTE, LONGEST_REASON, State,
        actors::Party,
        commands::book::{Asker, BookingTarget, TypeTarget},
        service::{self, TypedFields},
    },
    catalogue::{Answer, AnswerValue, check::MOST_QUESTIONS, questions::Reply},
    identity::{Caller, Role, permit},
    kernel::{
        fault::{Fault, Violations},
        id::{AppointmentId, HoldId, ProviderId, TypeId, UserId},
        text,
        time::{Instant, Interval, is_accepted_end},
        zone::ZoneData,
    },
};

const APPOINTMENT_NAME: &str =
    "must be providers/{provider}/appointments/{appointment} with UUIDs in lower case";
pub(super) const CUSTOMER_NAME: &str = "must be users/{user} with a UUID in lower case";
pub(super) const HOLD_NAME: &str =
    "must be providers/{provider}/holds/{hold} with UUIDs in lower case";
/// The longest link code that is looked at, in characters.
pub(super) const LONGEST_CODE: usize = 100;

pub(super) fn question(
    message: &pb::GetAvailabilityRequest,
    zones: &ZoneData,
) -> Result<(FreeTimeQuery, Named), Fault> {
    let mut violations = Violations::new();
    let provider = name(&message.provider, ProviderId::parse, PROVIDER_NAME);
    let provider = violations.keep("provider", provider);
    let first = violations.keep("start_date", date(message.start_date.as_ref()));
    let last = match &message.end_date {
        None => first,
        given => violations.keep("end_date", date(given.as_ref())),
    };
    if let Some((first, last)) = first.zip(last) {
        if last < first {
            violations.add("end_date", "must not be before start_date");
        } else if last - first >= TimeDelta::days(LONGEST_SPAN) {
            violations.add(
                "end_date",
                format!("must be at most {} days after start_date", LONGEST_SPAN - 1),
            );
        }
    }
    let zone = optional(&message.time_zone, |text| violations.keep("time_zone", zone(zones, text)));
    let duration = message.duration.as_ref();
    let duration = duration.and_then(|d| violations.keep("duration", minutes(Some(d))));
    let named = Named::read(&message.customer, &message.rescheduling, &mut violations);
    let (provider, first, last) = violations.finish_with((provider, first, last))?;
    Ok((FreeTimeQuery { customer_context: None, provider, first, last, zone, duration }, named))
}

/// The interval between two instants that are in order. What was refused before is not told twice.
pub(super) fn ordered(
    from: Option<Instant>,
    until: Option<Instant>,
    violations: &mut Violations,
) -> Option<Interval> {
    let interval = Interval::new(from?, until?);
    if interval.is_none() {
        violations.add("end_time", "must be after start_time");
    }
    interval
}

pub(super) fn states(wire: &[i32], violations: &mut Violations) -> Vec<State> {
    let mut states = Vec::new();
    for (index, value) in wire.iter().enumerate().take(16) {
        let state = match WireState::try_from(*value) {
            Ok(WireState::Booked) => State::Booked,
            Ok(WireState::Completed) => State::Completed,
            Ok(WireState::Cancelled) => State::Cancelled,
            Ok(WireState::Pending) => State::Pending,
            Ok(WireState::NoShow) => State::NoShow,
            Ok(WireState::Declined) => State::Declined,
            Ok(WireState::Unspecified) | Err(_) => {
                let text = "must be one of the states of an appointment, such as STATE_BOOKED";
                violations.add(format!("states[{index}]"), text);
                continue;
            }
        };
        if !states.contains(&state) {
            states.push(state);
        }
    }
    if wire.len() > 16 {
        violations.add("states", "must have at most 16 entries");
    }
    states
}

pub(super) fn wire_interval(interval: Interval) -> pb::Interval {
    pb::Interval {
        start_time: Some(timestamp(interval.start())),
        end_time: Some(timestamp(interval.end())),
    }
}

pub(super) fn wire_state(state: State) -> WireState {
    match state {
        State::Pending => WireState::Pending,
        State::Booked => WireState::Booked,
        State::Completed => WireState::Completed,
        State::NoShow => WireState::NoShow,
        State::Cancelled => WireState::Cancelled,
        State::Declined => WireState::Declined,
        State::Held => WireState::Unspecified,
    }
}

/// An appointment as this caller may see it.
pub(super) fn wire(a: &Appointment, caller: Caller) -> pb::Appointment {
    let terms = &a.terms;
    let elsewhere = |other: Option<(ProviderId, AppointmentId)>| {
        other.map(|(provider, id)| id.name(provider)).unwrap_or_default()
    };
    let is_staff = permit::is_staff(caller, a.provider);
    let private = |text: &String| if is_staff { text.clone() } else { String::new() };
    let (revision, updated_at) = a.seen(is_staff);
    pb::Appointment {
        name: a.id.name(a.provider),
        provider: a.provider.name(),
        customer: a.customer.name(),
        customer_display_name: a.customer_display_name.clone(),
        provider_display_name: a.provider_display_name.clone(),
        start_time: Some(timestamp(a.start)),
        end_time: Some(timestamp(a.end)),
        state: wire_state(a.state).into(),
        note: a.note.clone(),
        time_zone: a.time_zone.name().to_owned(),
        local_start_time: a.local_start.clone(),
        cancel_reason: a.cancel_reason.clone(),
        create_time: Some(timestamp(a.created_at)),
        update_time: Some(timestamp(updated_at)),
        etag: etag(revision),
        appointment_type: a.type_id.map(TypeId::name).unwrap_or_default(),
        appointment_type_display_name: terms.type_display_name.clone(),
        buffer_before: buffer(terms.buffer_before),
        buffer_after: buffer(terms.buffer_after),
        price: terms.price.clone(),
        place: terms.place.clone(),
        answers: terms.answers.iter().map(wire_answer).collect(),
        expire_time: a.expires_at.map(timestamp),
        override_reason: private(&terms.override_reason),
        customer_message: terms.customer_message.clone(),
        private_note: private(&terms.private_note),
        successor: elsewhere(terms.successor),
        predecessor: elsewhere(terms.predecessor),
        late_cancellation: is_staff && terms.late_cancellation,
        move_start_time: terms.asked_move.as_ref().map(|asked| timestamp(asked.start)),
        move_end_time: terms.asked_move.as_ref().map(|asked| timestamp(asked.end)),
        move_expire_time: terms.asked_move.as_ref().map(|asked| timestamp(asked.expires_at)),
        agreed_end_time: terms.freed.map(|freed| timestamp(freed.end)),
        cancel_time: a.ended_at().map(timestamp),
        cancelled_by: wire_party(terms.ended.map(|ended| ended.by)).into(),
        cancel_cutoff: buffer(terms.cancel_cutoff),
        reschedule_cutoff: buffer(terms.reschedule_cutoff),
    }
}

pub(super) fn wire_party(party: Option<Party>) -> pb::Party {
    match party {
        None => pb::Party::Unspecified,
        Some(Party::Customer) => pb::Party::Customer,
        Some(Party::Provider) => pb::Party::Provider,
        Some(Party::Practice) => pb::Party::Practice,
    }
}

fn buffer(length: u32) -> Option<prost_types::Duration> {
    (length > 0).then(|| duration(crate::catalogue::minutes(length)))
}

fn wire_answer(answer: &Answer) -> pb::Answer {
    let value = match &answer.value {
        AnswerValue::Text(text) => WireValue::TextValue(text.clone()),
        AnswerValue::Number(number) => WireValue::NumberValue(*number),
        AnswerValue::Choice(choice) => WireValue::ChoiceValue(choice.clone()),
        AnswerValue::YesNo(yes) => WireValue::YesNoValue(*yes),
    };
    pb::Answer { question: answer.question.clone(), text: answer.text.clone(), value: Some(value) }
}

pub(super) fn wire_hold(held: &Appointment) -> pb::Hold {
    pb::Hold {
        name: HoldId(held.id.0).name(held.provider),
        provider: held.provider.name(),
        appointment_type: held.type_id.map(TypeId::name).unwrap_or_default(),
        start_time: Some(timestamp(held.start)),
        end_time: Some(timestamp(held.end)),
        expire_time: held.expires_at.map(timestamp),
        extended: held.terms.extended,
        customer: held.customer.name(),
        customer_display_name: held.customer_display_name.clone(),
        create_time: Some(timestamp(held.created_at)),
    }
}

/// What a call to book asks for.
#[derive(Debug)]
pub(super) enum Booking {
    /// The caller's hold shall be an appointment.
    Hold {
        /// The provider and the id of the hold.
        hold: (ProviderId, HoldId),
        /// Of which type it is, if told.
        type_id: Option<TypeId>,
        /// What the customer wrote.
        note: String,
        /// What the customer answered.
        replies: Vec<Reply>,
        /// Why staff book against the rules, if they do.
        override_reason: String,
    },
    /// Something that was not held.
    New(service::BookingRequest),
}

pub(super) fn read_booking(
    message: &pb::BookAppointmentRequest,
    caller: Caller,
    violations: &mut Violations,
) -> Option<Booking> {
    let note = violations.keep("note", text::lines(&message.note, LONGEST_NOTE));
    let override_reason = override_reason(&message.override_reason, violations);
    let customer = optional(&message.customer, |text| {
        violations.keep("customer", name(text, UserId::parse, CUSTOMER_NAME))
    });
    let replies = replies(&message.answers, violations);
    if !message.hold.is_empty() {
        let hold = violations.keep("hold", name(&message.hold, HoldId::parse, HOLD_NAME));
        let given = [
            ("provider", !message.provider.is_empty()),
            ("start_time", message.start_time.is_some()),
            ("end_time", message.end_time.is_some()),
            ("duration", message.duration.is_some()),
            ("customer", !message.customer.is_empty()),
        ];
        for (field, _) in given.into_iter().filter(|(_, is_given)| *is_given) {
            violations.add(field, "must be absent with a hold");
        }
        let type_id = optional(&message.appointment_type, |text| type_name(text, violations));
        let (hold, note, replies) = (hold?, note?, replies?);
        let override_reason = override_reason?;
        return Some(Booking::Hold { hold, type_id, note, replies, override_reason });
    }
    let parts = Parts {
        provider: &message.provider,
        start: message.start_time.as_ref(),
        end: message.end_time.as_ref(),
        appointment_type: &message.appointment_type,
        duration: message.duration.as_ref(),
        link_code: &message.link_code,
    };
    if message.appointment_type.is_empty() && !message.answers.is_empty() {
        violations.add("answers", "must be absent without an appointment type");
    }
    let anybody = message.provider.is_empty() && !message.appointment_type.is_empty();
    if anybody && !message.override_reason.is_empty() {
        violations.add("override_reason", "must be absent without a provider");
    }
    let (provider, target) = target(&parts, violations)?;
    Some(Booking::New(service::BookingRequest {
        caller,
        customer,
        provider,
        target,
        note: note?,
        replies: replies?,
        override_reason: override_reason?,
        hold: None,
    }))
}

pub(super) fn read_hold(
    message: &pb::HoldSlotRequest,
    caller: Caller,
    violations: &mut Violations,
) -> Option<service::BookingRequest> {
    let hold = violations.keep("hold_duration", hold_duration(message.hold_duration.as_ref()));
    let customer = optional(&message.customer, |text| {
        violations.keep("customer", name(text, UserId::parse, CUSTOMER_NAME))
    });
    let parts = Parts {
        provider: &message.provider,
        start: message.start_time.as_ref(),
        end: message.end_time.as_ref(),
        appointment_type: &message.appointment_type,
        duration: message.duration.as_ref(),
        link_code: &message.link_code,
    };
    let (provider, target) = target(&parts, violations)?;
    Some(service::BookingRequest {
        caller,
        customer,
        provider,
        target,
        note: String::new(),
        replies: Vec::new(),
        override_reason: String::new(),
        hold: Some(hold?),
    })
}

/// The fields that only the type can judge, of a request in which others are wrong already.
pub(super) fn typed_fields(message: &pb::BookAppointmentRequest, caller: Caller) -> TypedFields {
    let hold = HoldId::parse(&message.hold);
    let provider = hold.map(|(provider, _)| provider).or(ProviderId::parse(&message.provider));
    let customer = UserId::parse(&message.customer);
    let is_staff = provider.map_or_else(
        || permit::book_anybody(caller, customer).is_ok_and(|only| only.is_some()),
        |provider| permit::is_staff(caller, provider),
    );
    let duration = message.duration.as_ref().and_then(|length| minutes(Some(length)).ok());
    TypedFields {
        type_id: TypeId::parse(&message.appointment_type),
        hold,
        link_code: message.link_code.chars().take(LONGEST_CODE).collect(),
        duration: duration.filter(|_| hold.is_none() && message.override_reason.is_empty()),
        // That there are too many is told already.
        replies: replies(&message.answers, &mut Violations::new()),
        asker: Asker::of(is_staff || caller.role == Role::Admin),
    }
}

/// The same of a hold, which has no answers yet.
pub(super) fn typed_fields_of_hold(message: &pb::HoldSlotRequest) -> TypedFields {
    TypedFields {
        type_id: TypeId::parse(&message.appointment_type),
        hold: None,
        link_code: message.link_code.chars().take(LONGEST_CODE).collect(),
        duration: message.duration.as_ref().and_then(|length| minutes(Some(length)).ok()),
        replies: None,
        asker: Asker::Customer,
    }
}

/// What booking and holding have in common.
struct Parts<'m> {
    provider: &'m str,
    start: Option<&'m Timestamp>,
    end: Option<&'m Timestamp>,
    appointment_type: &'m str,
    duration: Option<&'m prost_types::Duration>,
    link_code: &'m str,
}

fn target(
    parts: &Parts<'_>,
    violations: &mut Violations,
) -> Option<(Option<ProviderId>, BookingTarget)> {
    let is_typed = !parts.appointment_type.is_empty();
    let provider = if is_typed && parts.provider.is_empty() {
        Some(None)
    } else {
        let provider = name(parts.provider, ProviderId::parse, PROVIDER_NAME);
        violations.keep("provider", provider).map(Some)
    };
    let from = violations.keep("start_time", start(parts.start));
    let link_code = violations.keep("link_code", text::lines(parts.link_code, LONGEST_CODE));
    if !is_typed {
        let until = violations.keep("end_time", end(parts.end));
        if parts.duration.is_some() {
            violations.add("duration", "must be absent without an appointment type");
        }
        let interval = ordered(from, until, violations);
        return Some((provider?, BookingTarget::Interval(interval?)));
    }
    if parts.end.is_some() {
        violations.add("end_time", "must be absent with an appointment type");
    }
    let id = type_name(parts.appointment_type, violations);
    let duration = parts.duration.map(|length| violations.keep("duration", minutes(Some(length))));
    let start = from?;
    // The end, which is not known yet, has to lie in the accepted years too.
    let day = TimeDelta::days(1);
    if start.checked_add_signed(day).is_none_or(|end| !is_accepted_end(end)) {
        violations.add("start_time", "must be a day before the year 2200");
    }
    let duration = match duration {
        None => None,
        Some(read) => Some(read?),
    };
    Some((
        provider?,
        BookingTarget::Type(TypeTarget { id: id?, start, duration, link_code: link_code? }),
    ))
}

/// The id of a type.
pub(super) fn type_name(text: &str, violations: &mut Violations) -> Option<TypeId> {
    violations.keep("appointment_type", name(text, TypeId::parse, TYPE_NAME))
}

fn replies(wire: &[pb::Answer], violations: &mut Violations) -> Option<Vec<Reply>> {
    if wire.len() > MOST_QUESTIONS {
        violations.add("answers", format!("must have at most {MOST_QUESTIONS} entries"));
        return None;
    }
    let value = |value: &WireValue| match value {
        WireValue::TextValue(text) => AnswerValue::Text(text.clone()),
        WireValue::NumberValue(number) => AnswerValue::Number(*number),
        WireValue::ChoiceValue(choice) => AnswerValue::Choice(choice.clone()),
        WireValue::YesNoValue(yes) => AnswerValue::YesNo(*yes),
    };
    let reply = |each: &pb::Answer| Reply {
        question: each.question.clone(),
        value: each.value.as_ref().map(value),
    };
    Some(wire.iter().map(reply).collect())
}

/// Why staff act against the rules; empty where they do not.
pub(super) fn override_reason(text: &str, violations: &mut Violations) -> Option<String> {
    if text.is_empty() {
        return Some(String::new());
    }
    violations.keep("override_reason", text::filled(text, LONGEST_REASON))
}

/// How long to hold: whole seconds, 1 to 15 minutes, 5 minutes if absent.
pub(super) fn hold_duration(
    length: Option<&prost_types::Duration>,
) -> Result<TimeDelta, &'static str> {
    let Some(length) = length else { return Ok(TimeDelta::minutes(5)) };
    if length.nanos != 0 || !(60..=900).contains(&length.seconds) {
        return Err("must be 1 to 15 minutes in whole seconds");
    }
    Ok(TimeDelta::seconds(length.seconds))
}

/// The provider and the id in the name of an appointment.
pub(super) fn appointment_name(text: &str) -> Result<(ProviderId, AppointmentId), &'static str> {
    name(text, AppointmentId::parse, APPOINTMENT_NAME)
}
