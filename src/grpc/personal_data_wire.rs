//! What is stored about somebody as messages, which are those of the other services.

use super::{
    auth_wire, booking_events, booking_wire, catalogue_wire,
    convert::timestamp,
    proto::auth::{self as pb, personal_record::Record as Wire},
    schedule::wire as schedule_wire,
    second_factor_wire,
};
use crate::{
    accounts::{audit::AuditEntry, services::AccountServices, store::Happened},
    identity::Caller,
    kernel::{fault::Fault, id::UserId},
    personal_data::export::Record,
    schedule::provider::Provider,
};

/// The messages of a record; several of a provider.
pub(super) fn records(
    record: Record,
    accounts: &AccountServices,
    caller: Caller,
) -> Result<Vec<pb::PersonalRecord>, Fault> {
    let one = match record {
        Record::User(user) => Wire::User(auth_wire::user(&user)),
        Record::SecondFactor(seen) => {
            let required = accounts.second_factors.required(caller.role);
            Wire::SecondFactor(second_factor_wire::second_factor((seen, required)))
        }
        Record::Session(session) => {
            let due = session.ended.map(|(at, _)| at);
            let due = due.unwrap_or_else(|| accounts.sessions.due(&session));
            Wire::Session(auth_wire::session(&session, due, caller))
        }
        Record::Happened(happened) => Wire::AccountEvent(account_event(happened)),
        Record::Audited(entry) => Wire::AuditEvent(audit_event(&entry, caller)),
        Record::Offering(offering) => {
            Wire::Offering(catalogue_wire::wire_offering(&offering, None))
        }
        Record::Type(found) => Wire::AppointmentType(catalogue_wire::wire(&found, Some(caller))),
        Record::Appointment(appointment, events) => {
            let appointment = Some(booking_wire::wire(&appointment, caller));
            let events = events.iter().filter_map(|told| booking_events::wire_event(told, false));
            let events = events.collect();
            Wire::Appointment(pb::OwnAppointment { appointment, events })
        }
        Record::Provider(found) => return provider(&found),
    };
    Ok(vec![pb::PersonalRecord { record: Some(one) }])
}

/// A line of the trail for the person it is about. From where others acted is theirs, such as an admin who
/// gave them another role, and so is what they called their calls.
fn audit_event(entry: &AuditEntry, caller: Caller) -> pb::AuditEvent {
    let told = auth_wire::audit_event(entry);
    if entry.actor.is_none_or(|actor| actor == caller.user) {
        return told;
    }
    pb::AuditEvent { address: String::new(), call_id: String::new(), ..told }
}

fn account_event(happened: Happened) -> pb::AccountEvent {
    pb::AccountEvent {
        version: happened.version,
        kind: happened.kind,
        actor: happened.actor.map(UserId::name).unwrap_or_default(),
        occur_time: Some(timestamp(happened.at)),
        detail: happened.detail.to_string(),
    }
}

fn provider(found: &Provider) -> Result<Vec<pb::PersonalRecord>, Fault> {
    let mut all = vec![Wire::Provider(schedule_wire::provider(found))];
    all.extend(schedule_wire::schedules(found)?.into_iter().map(Wire::Schedule));
    let off = found.time_off().iter().cloned();
    all.extend(off.map(|off| Wire::TimeOff(schedule_wire::time_off(found.id, off))));
    Ok(all.into_iter().map(|record| pb::PersonalRecord { record: Some(record) }).collect())
}
