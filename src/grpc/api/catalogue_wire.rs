//! Appointment types as messages, and what messages wish types to be.

use chrono::TimeDelta;
use prost_types::{Duration, FieldMask};

use super::convert::{Mask, date, duration, etag, mask, timestamp};
use crate::grpc::proto::{
    booking::{
        self as pb,
        appointment_type::{Horizon as WireHorizon, Visibility},
        intake_question::Kind as WireKind,
    },
    google::r#type::Date,
};
use crate::{
    catalogue::{
        AppointmentType, Horizon, Limits, Question, QuestionKind,
        check::{AnswerFormat, Draft, Given, LimitsDraft, QuestionDraft, REQUEST_EXPIRY},
        minutes,
    },
    identity::{Caller, permit},
    kernel::{fault::Violations, id::ProviderId},
    schedule::offering::Offering,
};

/// What can be changed in a type.
const FIELDS: [&str; 18] = [
    "display_name",
    "description",
    "durations",
    "buffer_before",
    "buffer_after",
    "slot_step",
    "grid_offset",
    "minimum_notice",
    "horizon",
    "limits",
    "cancel_cutoff",
    "reschedule_cutoff",
    "requires_approval",
    "request_expiry",
    "price",
    "place",
    "questions",
    "visibility",
];

/// The paths of a mask, each one of a field that can be changed.
pub(super) fn named(given: Option<&FieldMask>) -> Result<Mask<'_>, String> {
    mask(given, &FIELDS)
}

/// What a message wishes a type to be, in the fields that the mask wants. Everything that is wrong with them
/// is noted.
pub(super) fn draft(
    wire: &pb::AppointmentType,
    mask: &Mask<'_>,
    violations: &mut Violations,
) -> Draft {
    let wants = |field: &str, is_set: bool| mask.wants(field, is_set);
    let length = |field: &str, given: Option<&Duration>| {
        let given = given.map_or(TimeDelta::zero(), exact);
        wants(field, !given.is_zero()).then_some(given)
    };
    let text = |field: &str, given: &String| wants(field, !given.is_empty()).then(|| given.clone());
    let horizon = wants("horizon", wire.horizon.is_some())
        .then(|| horizon(wire.horizon.as_ref(), violations))
        .flatten();
    let private = wants("visibility", wire.visibility != 0)
        .then(|| private(wire.visibility, violations))
        .flatten();
    let limited =
        wire.limits.as_ref().is_some_and(|limits| *limits != pb::BookingLimits::default());
    let draft = Draft {
        display_name: text("display_name", &wire.display_name),
        description: text("description", &wire.description),
        durations: wants("durations", !wire.durations.is_empty())
            .then(|| wire.durations.iter().map(exact).collect()),
        buffer_before: length("buffer_before", wire.buffer_before.as_ref()),
        buffer_after: length("buffer_after", wire.buffer_after.as_ref()),
        slot_step: wants("slot_step", wire.slot_step.is_some())
            .then(|| Given(wire.slot_step.as_ref().map(exact))),
        grid_offset: length("grid_offset", wire.grid_offset.as_ref()),
        minimum_notice: length("minimum_notice", wire.minimum_notice.as_ref()),
        horizon,
        limits: wants("limits", limited).then(|| limits(wire.limits.as_ref())),
        keeps_limits: *mask == Mask::Set,
        cancel_cutoff: length("cancel_cutoff", wire.cancel_cutoff.as_ref()),
        reschedule_cutoff: length("reschedule_cutoff", wire.reschedule_cutoff.as_ref()),
        requires_approval: wants("requires_approval", wire.requires_approval)
            .then_some(wire.requires_approval),
        request_expiry: wants("request_expiry", wire.request_expiry.is_some())
            .then(|| wire.request_expiry.as_ref().map_or(minutes(REQUEST_EXPIRY), exact)),
        price: text("price", &wire.price),
        place: text("place", &wire.place),
        questions: wants("questions", !wire.questions.is_empty())
            .then(|| wire.questions.iter().map(question).collect()),
        private,
    };
    draft.check(violations);
    draft
}

/// A length as it is, whatever it is: the rules say what it may be.
fn exact(length: &Duration) -> TimeDelta {
    // What is no length at all is out of every range.
    let valid = u32::try_from(length.nanos).ok();
    valid.and_then(|nanos| TimeDelta::new(length.seconds, nanos)).unwrap_or(TimeDelta::MAX)
}

fn horizon(wire: Option<&WireHorizon>, violations: &mut Violations) -> Option<Given<Horizon>> {
    match wire {
        None => Some(Given(None)),
        Some(WireHorizon::RollingDays(days)) => {
            // A number below zero is out of range, as one that is too high.
            let days = u32::try_from(*days).unwrap_or(u32::MAX);
            Some(Given(Some(Horizon::RollingDays(days))))
        }
        Some(WireHorizon::FixedWindow(range)) => {
            let mut read = |field: &str, given: &Option<Date>| {
                let path = format!("appointment_type.fixed_window.{field}");
                violations.keep(&path, date(given.as_ref()))
            };
            let first = read("start_date", &range.start_date);
            let last = read("end_date", &range.end_date);
            Some(Given(Some(Horizon::Fixed { first: first?, last: last? })))
        }
    }
}

fn private(visibility: i32, violations: &mut Violations) -> Option<bool> {
    match Visibility::try_from(visibility) {
        Ok(Visibility::Unspecified | Visibility::Public) => Some(false),
        Ok(Visibility::PrivateLink) => Some(true),
        Err(_) => {
            violations.add(
                "appointment_type.visibility",
                "must be VISIBILITY_PUBLIC or VISIBILITY_PRIVATE_LINK",
            );
            None
        }
    }
}

fn limits(wire: Option<&pb::BookingLimits>) -> LimitsDraft {
    let Some(wire) = wire else { return LimitsDraft::default() };
    let time = |given: &Option<Duration>| given.as_ref().map_or(TimeDelta::zero(), exact);
    LimitsDraft {
        per_day: wire.per_provider_day,
        per_week: wire.per_provider_week,
        time_per_day: time(&wire.time_per_provider_day),
        time_per_week: time(&wire.time_per_provider_week),
        open_per_customer: wire.open_per_customer,
    }
}

fn question(wire: &pb::IntakeQuestion) -> QuestionDraft {
    let kind = match WireKind::try_from(wire.kind) {
        Ok(WireKind::Text) => Some(AnswerFormat::Text),
        Ok(WireKind::Number) => Some(AnswerFormat::Number),
        Ok(WireKind::Choice) => Some(AnswerFormat::Choice),
        Ok(WireKind::YesNo) => Some(AnswerFormat::YesNo),
        Ok(WireKind::Unspecified) | Err(_) => None,
    };
    QuestionDraft {
        id: wire.id.clone(),
        text: wire.text.clone(),
        kind,
        required: wire.required,
        choices: wire.choices.clone(),
    }
}

/// A type as this caller sees it: with the link code only where it opens something, and only for those
/// who manage the type.
pub(super) fn wire(found: &AppointmentType, caller: Option<Caller>) -> pb::AppointmentType {
    let terms = &found.terms;
    let shows_code = terms.private && permit::manages_types(caller, found.owner);
    let visibility = if terms.private { Visibility::PrivateLink } else { Visibility::Public };
    pb::AppointmentType {
        name: found.id.name(),
        owner: found.owner.map(ProviderId::name).unwrap_or_default(),
        display_name: terms.display_name.clone(),
        description: terms.description.clone(),
        durations: terms.durations.iter().map(|length| duration(minutes(*length))).collect(),
        buffer_before: present(terms.buffer_before),
        buffer_after: present(terms.buffer_after),
        slot_step: terms.slot_step.and_then(present),
        grid_offset: present(terms.grid_offset),
        minimum_notice: present(terms.minimum_notice),
        horizon: terms.horizon.map(wire_horizon),
        limits: wire_limits(&terms.limits),
        cancel_cutoff: present(terms.cancel_cutoff),
        reschedule_cutoff: present(terms.reschedule_cutoff),
        requires_approval: terms.requires_approval,
        request_expiry: present(terms.request_expiry),
        price: terms.price.clone(),
        place: terms.place.clone(),
        questions: terms.questions.iter().map(wire_question).collect(),
        visibility: visibility.into(),
        link_code: if shows_code { found.link_code.clone() } else { String::new() },
        archived: found.archived,
        create_time: Some(timestamp(found.created_at)),
        update_time: Some(timestamp(found.updated_at)),
        etag: etag(found.revision()),
    }
}

/// A length, where it is one.
fn present(length: u32) -> Option<Duration> {
    (length > 0).then(|| duration(minutes(length)))
}

fn wire_horizon(horizon: Horizon) -> WireHorizon {
    use chrono::Datelike;
    let part = |value: u32| i32::try_from(value).unwrap_or_default();
    let date = |date: chrono::NaiveDate| {
        Some(Date { year: date.year(), month: part(date.month()), day: part(date.day()) })
    };
    match horizon {
        Horizon::RollingDays(days) => WireHorizon::RollingDays(part(days)),
        Horizon::Fixed { first, last } => WireHorizon::FixedWindow(pb::DateRange {
            start_date: date(first),
            end_date: date(last),
        }),
    }
}

/// The limits, where there are any.
fn wire_limits(limits: &Limits) -> Option<pb::BookingLimits> {
    let count = |limit: Option<u32>| i32::try_from(limit.unwrap_or_default()).unwrap_or(i32::MAX);
    (*limits != Limits::default()).then(|| pb::BookingLimits {
        per_provider_day: count(limits.per_day),
        per_provider_week: count(limits.per_week),
        time_per_provider_day: limits.minutes_per_day.and_then(present),
        time_per_provider_week: limits.minutes_per_week.and_then(present),
        open_per_customer: count(limits.open_per_customer),
    })
}

fn wire_question(question: &Question) -> pb::IntakeQuestion {
    let (kind, choices) = match &question.kind {
        QuestionKind::Text => (WireKind::Text, Vec::new()),
        QuestionKind::Number => (WireKind::Number, Vec::new()),
        QuestionKind::Choice(choices) => (WireKind::Choice, choices.clone()),
        QuestionKind::YesNo => (WireKind::YesNo, Vec::new()),
    };
    pb::IntakeQuestion {
        id: question.id.clone(),
        text: question.text.clone(),
        kind: kind.into(),
        required: question.required,
        choices,
    }
}

pub(super) fn wire_offering(offering: &Offering, name: Option<&String>) -> pb::Offering {
    pb::Offering {
        provider_display_name: name.cloned().unwrap_or_default(),
        appointment_type: offering.type_id.name(),
        provider: offering.provider.name(),
        schedule: offering.schedule_name().to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_are_read_exactly_or_are_out_of_range() {
        let read = |seconds, nanos| exact(&Duration { seconds, nanos });
        assert_eq!(read(90, 1), TimeDelta::seconds(90) + TimeDelta::nanoseconds(1));
        assert_eq!(read(-90, 0), TimeDelta::seconds(-90));
        for (seconds, nanos) in [(i64::MAX, 0), (i64::MIN, 0), (60, -1), (60, i32::MAX)] {
            assert_eq!(read(seconds, nanos), TimeDelta::MAX, "{seconds} {nanos}");
        }
    }

    #[test]
    fn every_field_of_a_mask_names_a_field_of_the_draft() {
        let wire = pb::AppointmentType::default();
        for field in FIELDS {
            let one = Mask::Paths(vec![field]);
            let drawn = draft(&wire, &one, &mut Violations::new());
            assert!(!drawn.is_empty(), "{field}");
        }
        assert!(draft(&wire, &Mask::Set, &mut Violations::new()).is_empty());
        let all = draft(&wire, &Mask::All, &mut Violations::new());
        let each = FIELDS.iter().fold(Draft::default(), |sum, field| {
            sum.over(draft(&wire, &Mask::Paths(vec![field]), &mut Violations::new()))
        });
        assert_eq!(each, all);
    }
}
