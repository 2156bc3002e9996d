//! What a list of appointments is narrowed to, and its order.

use super::{
    booking_wire::{appointment_name, type_name},
    convert::{listed, moment, optional},
};
use crate::grpc::proto::booking as pb;
use crate::{
    booking::store::order::{Key, Order},
    kernel::{
        fault::{Fault, Violations},
        id::{AppointmentId, ProviderId, TypeId},
        time::Instant,
    },
};

/// How many appointments are returned at once at most.
const MOST_NAMES: usize = 100;

/// The appointments that are asked for by name.
pub(super) fn appointment_names(
    names: &[String],
) -> Result<Vec<(ProviderId, AppointmentId)>, Fault> {
    let mut violations = Violations::new();
    if names.is_empty() {
        violations.add("names", "must be set");
    }
    let name = |text: &String| appointment_name(text);
    let all = listed(("names", MOST_NAMES), names, name, &mut violations);
    violations.finish()?;
    Ok(all)
}

/// What else a list of appointments is narrowed to, and its order.
#[derive(Debug)]
pub(super) struct Narrowed {
    pub(super) type_id: Option<TypeId>,
    pub(super) changed_from: Option<Instant>,
    pub(super) changed_until: Option<Instant>,
    pub(super) order: Order,
}

pub(super) fn narrowed(
    message: &pb::ListAppointmentsRequest,
    violations: &mut Violations,
) -> Narrowed {
    let type_id = optional(&message.appointment_type, |text| type_name(text, violations));
    let from = message.update_start_time.as_ref();
    let from = from.and_then(|at| violations.keep("update_start_time", moment(at)));
    let until = message.update_end_time.as_ref();
    let until = until.and_then(|at| violations.keep("update_end_time", moment(at)));
    if from.zip(until).is_some_and(|(from, until)| until <= from) {
        violations.add("update_end_time", "must be after update_start_time");
    }
    let order = violations.keep("order_by", order(&message.order_by)).unwrap_or_default();
    Narrowed { type_id, changed_from: from, changed_until: until, order }
}

/// Reads an order (AIP-132).
fn order(text: &str) -> Result<Order, &'static str> {
    const FORM: &str =
        "must be one of start_time, create_time and update_time, with desc or without";
    let mut words = text.split_ascii_whitespace();
    let key = match words.next() {
        Some("start_time") | None => Key::Start,
        Some("create_time") => Key::Created,
        Some("update_time") => Key::Changed,
        Some(_) => return Err(FORM),
    };
    let latest_first = match (words.next(), words.next()) {
        (None, _) => false,
        (Some("desc"), None) => true,
        _ => return Err(FORM),
    };
    Ok(Order { key, latest_first })
}
