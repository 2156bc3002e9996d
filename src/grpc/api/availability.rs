//! `daybook.booking.v1.AvailabilityService`.

use std::collections::{BTreeSet, HashMap};

use tonic::{Request, Response, Status};

use super::{
    Api,
    booking_wire::{LONGEST_CODE, type_name},
    convert::{listed, minutes, moment, name, start, timestamp},
    customer_context::Named,
    open::{Opened, open_as},
    page::{LONGEST_PAGE, cut_to_fit},
    schedule::PROVIDER_NAME,
};
use crate::grpc::proto::booking::{
    self as pb, availability_service_server::AvailabilityService, exclusion::Rule,
};
use crate::{
    availability::{
        explain::Exclusion,
        slots_service::{Bounds, Slot, SlotQuery},
    },
    identity::Caller,
    kernel::{
        fault::{Fault, Reason, Violations},
        id::ProviderId,
        text,
        time::{Instant, ceil_to_second},
    },
    storage::Deadline,
};

/// The most providers that a question may name.
const MOST_PROVIDERS: usize = 100;

#[tonic::async_trait]
impl AvailabilityService for Api {
    async fn list_slots(
        &self,
        request: Request<pb::ListSlotsRequest>,
    ) -> Result<Response<pb::ListSlotsResponse>, Status> {
        let Opened { deadline, caller, message, mut violations } =
            open_as::<_, Option<Caller>>(request)?;
        let parts = Parts {
            appointment_type: &message.appointment_type,
            providers: &message.providers,
            start: message.start_time.as_ref(),
            end: message.end_time.as_ref(),
            duration: message.duration.as_ref(),
            link_code: &message.link_code,
            customer_context: (&message.customer, &message.rescheduling),
        };
        let question = question(&parts, caller, &mut violations);
        let size = match message.page_size {
            0 => Some(500),
            size => violations.keep(
                "page_size",
                u32::try_from(size).map(|size| size.min(5000)).map_err(|_| "must not be negative"),
            ),
        };
        let query = format!(
            "slots {:?} {:?} {:?} {:?} {:?} {:?} {:?} {:?}",
            caller.map(|caller| caller.user),
            message.customer,
            message.rescheduling,
            message.appointment_type,
            message.providers,
            message.start_time,
            message.end_time,
            message.duration,
        );
        let after = self.pages.read::<Instant>(&query, &message.page_token);
        let after = violations.keep("page_token", after).flatten();
        let (question, size) = violations.finish_with((question, size))?;
        let question = self.asked(deadline, question, None).await?;
        let most = usize::try_from(size).unwrap_or(usize::MAX).saturating_add(1);
        let bounds = Bounds { slots: most, bytes: LONGEST_PAGE };
        let pages = self.pages.clone();
        let finish = move |found| {
            let (slots, next_page_token) =
                cut_to_fit(found, size, (&pages, &query), wire_slot, |last| last.interval.start());
            let by = providers_of(&slots);
            (pb::ListSlotsResponse { slots, next_page_token, ..Default::default() }, by)
        };
        let found = self.slots.list(deadline, &question, (after, bounds), finish).await?;
        let (mut answer, by) = found;
        answer.provider_display_names = self.named(deadline, by).await?;
        Ok(Response::new(answer))
    }

    async fn find_first_slot(
        &self,
        request: Request<pb::FindFirstSlotRequest>,
    ) -> Result<Response<pb::FindFirstSlotResponse>, Status> {
        let Opened { deadline, caller, message, mut violations } =
            open_as::<_, Option<Caller>>(request)?;
        let parts = Parts {
            appointment_type: &message.appointment_type,
            providers: &message.providers,
            start: message.start_time.as_ref(),
            end: message.end_time.as_ref(),
            duration: message.duration.as_ref(),
            link_code: &message.link_code,
            customer_context: (&message.customer, &message.rescheduling),
        };
        let question = question(&parts, caller, &mut violations);
        let question = violations.finish_with(question)?;
        let question = self.asked(deadline, question, None).await?;
        let found = self.slots.first(deadline, &question).await?;
        let slot = found.as_ref().map(wire_slot);
        let by = found.into_iter().flat_map(|slot| slot.providers).collect();
        let provider_display_names = self.named(deadline, by).await?;
        Ok(Response::new(pb::FindFirstSlotResponse { slot, provider_display_names }))
    }

    async fn explain_slot(
        &self,
        request: Request<pb::ExplainSlotRequest>,
    ) -> Result<Response<pb::ExplainSlotResponse>, Status> {
        let Opened { deadline, caller, message, mut violations } =
            open_as::<_, Option<Caller>>(request)?;
        let parts = Parts {
            appointment_type: &message.appointment_type,
            providers: &[],
            start: None,
            end: None,
            duration: message.duration.as_ref(),
            link_code: &message.link_code,
            customer_context: (&message.customer, &message.rescheduling),
        };
        let question = question(&parts, caller, &mut violations);
        let provider = name(&message.provider, ProviderId::parse, PROVIDER_NAME);
        let provider = violations.keep("provider", provider);
        let at = violations.keep("start_time", start(message.start_time.as_ref()));
        let (question, provider, at) = violations.finish_with((question, provider, at))?;
        let question = self.asked(deadline, question, Some(provider)).await?;
        let against = self.slots.explain(deadline, &question, provider, at).await?;
        Ok(Response::new(pb::ExplainSlotResponse {
            is_free: against.is_empty(),
            exclusions: against.iter().map(wire_exclusion).collect(),
        }))
    }
}

impl Api {
    /// The display names of these providers, by their names.
    async fn named(
        &self,
        deadline: Deadline,
        by: BTreeSet<ProviderId>,
    ) -> Result<HashMap<String, String>, Fault> {
        let names = self.schedules.names_of_those_met(deadline, by).await?;
        Ok(names.into_iter().map(|(id, name)| (id.name(), name)).collect())
    }

    /// A question with whom it is for, where the caller may ask it.
    async fn asked(
        &self,
        deadline: Deadline,
        (question, named): (SlotQuery, Named),
        provider: Option<ProviderId>,
    ) -> Result<SlotQuery, Fault> {
        let customer_context =
            named.customer_context(&self.bookings, deadline, question.caller).await?;
        SlotQuery { customer_context, ..question }.checked(provider)
    }
}

/// The providers of these slots.
fn providers_of(slots: &[pb::Slot]) -> BTreeSet<ProviderId> {
    let names: BTreeSet<&str> =
        slots.iter().flat_map(|slot| slot.providers.iter().map(String::as_str)).collect();
    names.into_iter().filter_map(ProviderId::parse).collect()
}

/// What the questions have in common.
struct Parts<'m> {
    appointment_type: &'m str,
    providers: &'m [String],
    start: Option<&'m prost_types::Timestamp>,
    end: Option<&'m prost_types::Timestamp>,
    duration: Option<&'m prost_types::Duration>,
    link_code: &'m str,
    /// `customer` and `rescheduling`.
    customer_context: (&'m str, &'m str),
}

fn question(
    parts: &Parts<'_>,
    caller: Option<Caller>,
    violations: &mut Violations,
) -> Option<(SlotQuery, Named)> {
    let named = Named::read(parts.customer_context.0, parts.customer_context.1, violations);
    let type_id = type_name(parts.appointment_type, violations);
    let link_code = violations.keep("link_code", text::lines(parts.link_code, LONGEST_CODE));
    let from = parts.start.and_then(|at| violations.keep("start_time", moment(at)));
    let until = parts.end.and_then(|at| violations.keep("end_time", moment(at)));
    if from.zip(until).is_some_and(|(from, until)| until <= from) {
        violations.add("end_time", "must be after start_time");
    }
    // Slots start at whole seconds.
    let (from, until) = (from.map(ceil_to_second), until.map(ceil_to_second));
    let duration =
        parts.duration.and_then(|length| violations.keep("duration", minutes(Some(length))));
    let provider = |text: &String| name(text, ProviderId::parse, PROVIDER_NAME);
    let providers = listed(("providers", MOST_PROVIDERS), parts.providers, provider, violations);
    let providers = (!providers.is_empty()).then_some(providers);
    let (type_id, link_code) = (type_id?, link_code?);
    let customer_context = None;
    let question = SlotQuery {
        caller,
        customer_context,
        type_id,
        link_code,
        duration,
        providers,
        from,
        until,
    };
    Some((question, named))
}

fn wire_slot(slot: &Slot) -> pb::Slot {
    pb::Slot {
        start_time: Some(timestamp(slot.interval.start())),
        end_time: Some(timestamp(slot.interval.end())),
        providers: slot.providers.iter().map(|provider| provider.name()).collect(),
    }
}

fn wire_exclusion(exclusion: &Exclusion) -> pb::Exclusion {
    let rule = match exclusion.reason {
        Reason::InThePast => Rule::InThePast,
        Reason::NoticeTooShort => Rule::Notice,
        Reason::BeyondHorizon => Rule::Horizon,
        Reason::OutsideHours => Rule::OutsideHours,
        Reason::OffGrid => Rule::OffGrid,
        Reason::TimeOff => Rule::TimeOff,
        Reason::PracticeClosed => Rule::Closure,
        Reason::SlotTaken => Rule::Claimed,
        Reason::DayLimit => Rule::DayLimit,
        Reason::WeekLimit => Rule::WeekLimit,
        Reason::TypeArchived => Rule::Archived,
        Reason::NotOffered => Rule::NotOffered,
        Reason::CustomerBusy => Rule::CustomerBusy,
        Reason::CustomerLimit => Rule::CustomerLimit,
        Reason::OwnTime => Rule::OwnTime,
        Reason::TooLate => Rule::TooLate,
        Reason::InvalidFields => Rule::Unchanged,
        _ => Rule::Unspecified,
    };
    pb::Exclusion {
        rule: rule.into(),
        message: exclusion.message.clone(),
        start_time: exclusion.interval.map(|interval| timestamp(interval.start())),
        end_time: exclusion.interval.map(|interval| timestamp(interval.end())),
    }
}
