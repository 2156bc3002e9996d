//! `daybook.booking.v1.BookingService`.

use chrono::TimeDelta;
use tonic::{Request, Response, Status};

use super::{
    caller::{caller, deadline},
    convert::{Requests, date, end, etag, etag_version, minutes, name, start, timestamp, zone},
    page::cut,
    proto::booking::{
        self as pb, appointment::State as WireState, booking_service_server::BookingService,
    },
    schedule::PROVIDER_NAME,
};
use crate::{
    availability::service::{Availabilities, LONGEST_SPAN, Question},
    booking::{
        Appointment, LONGEST_NOTE, LONGEST_REASON, State,
        policy::Change,
        service::{self, Bookings, Decision},
        store::{Cursor, Filter},
    },
    identity::permit,
    kernel::{
        fault::{Fault, Violations},
        id::{AppointmentId, ProviderId, UserId},
        page::{PageTokens, page_size},
        text,
        time::{Instant, Interval},
    },
};

const APPOINTMENT_NAME: &str =
    "must be providers/{provider}/appointments/{appointment} with UUIDs in lower case";
const CUSTOMER_NAME: &str = "must be users/{user} with a UUID in lower case";

#[derive(Debug)]
pub(super) struct BookingApi {
    pub(super) bookings: Bookings,
    pub(super) availabilities: Availabilities,
    pub(super) requests: Requests,
    pub(super) pages: PageTokens,
}

#[tonic::async_trait]
impl BookingService for BookingApi {
    async fn book_appointment(
        &self,
        request: Request<pb::BookAppointmentRequest>,
    ) -> Result<Response<pb::BookAppointmentResponse>, Status> {
        let (deadline, caller) = (deadline(&request)?, caller(&request)?);
        let mut message = request.into_inner();
        message.request_id.make_ascii_lowercase();
        let mut violations = Violations::new();
        let who = Some(caller.user);
        let id = &message.request_id;
        let once = self.requests.once(who, "BookAppointment", id, &message, &mut violations);
        let provider = name(&message.provider, ProviderId::parse, PROVIDER_NAME);
        let provider = violations.keep("provider", provider);
        let from = violations.keep("start_time", start(message.start_time.as_ref()));
        let until = violations.keep("end_time", end(message.end_time.as_ref()));
        let interval = ordered(from, until, &mut violations);
        let note = violations.keep("note", text::lines(&message.note, LONGEST_NOTE));
        violations.finish()?;
        let (Some(provider), Some(interval), Some(note)) = (provider, interval, note) else {
            return Err(Fault::unchecked().into());
        };
        let permit = permit::book(caller, provider)?;
        let request = service::Request { provider, interval, note };
        let booked = self.bookings.book(deadline, permit, request, once).await?;
        let appointment = Some(wire(&booked));
        Ok(Response::new(pb::BookAppointmentResponse { appointment }))
    }

    async fn get_appointment(
        &self,
        request: Request<pb::GetAppointmentRequest>,
    ) -> Result<Response<pb::GetAppointmentResponse>, Status> {
        let (deadline, caller) = (deadline(&request)?, caller(&request)?);
        let mut violations = Violations::new();
        let parsed = name(&request.get_ref().name, AppointmentId::parse, APPOINTMENT_NAME);
        let parsed = violations.keep("name", parsed);
        let (provider, id) = parsed.ok_or_else(|| violations.into_fault())?;
        let found = self.bookings.get(deadline, caller, provider, id).await?;
        let appointment = Some(wire(&found));
        Ok(Response::new(pb::GetAppointmentResponse { appointment }))
    }

    async fn list_appointments(
        &self,
        request: Request<pb::ListAppointmentsRequest>,
    ) -> Result<Response<pb::ListAppointmentsResponse>, Status> {
        let (deadline, caller) = (deadline(&request)?, caller(&request)?);
        let message = request.into_inner();
        let mut violations = Violations::new();
        let provider = optional(&message.provider, |text| {
            violations.keep("provider", name(text, ProviderId::parse, PROVIDER_NAME))
        });
        let customer = optional(&message.customer, |text| {
            violations.keep("customer", name(text, UserId::parse, CUSTOMER_NAME))
        });
        let states = states(&message.states, &mut violations);
        let from = message.start_time.as_ref();
        let from = from.and_then(|at| violations.keep("start_time", start(Some(at))));
        let until = message.end_time.as_ref();
        let until = until.and_then(|at| violations.keep("end_time", end(Some(at))));
        if from.is_some() {
            ordered(from, until, &mut violations);
        }
        let size = violations.keep("page_size", page_size(message.page_size)).unwrap_or_default();
        let query = format!(
            "appointments {} {:?} {:?} {:?} {:?} {:?}",
            caller.user, message.provider, message.customer, states, from, until
        );
        let after = self.pages.read::<Cursor>(&query, &message.page_token);
        let after = violations.keep("page_token", after).flatten();
        violations.finish()?;
        let bounds = permit::list_appointments(caller, provider, customer)?;
        let filter = Filter { bounds, states, from, until };
        let found = self.bookings.list(deadline, filter, after, u64::from(size) + 1).await?;
        let (found, next_page_token) = cut(found, size, &self.pages, &query, |last| Cursor {
            start: last.start,
            id: last.id.0,
        });
        let appointments = found.iter().map(wire).collect();
        Ok(Response::new(pb::ListAppointmentsResponse { appointments, next_page_token }))
    }

    async fn cancel_appointment(
        &self,
        request: Request<pb::CancelAppointmentRequest>,
    ) -> Result<Response<pb::CancelAppointmentResponse>, Status> {
        let (deadline, caller) = (deadline(&request)?, caller(&request)?);
        let mut message = request.into_inner();
        message.request_id.make_ascii_lowercase();
        let mut violations = Violations::new();
        let who = Some(caller.user);
        let id = &message.request_id;
        let once = self.requests.once(who, "CancelAppointment", id, &message, &mut violations);
        let reason = violations.keep("reason", text::lines(&message.reason, LONGEST_REASON));
        let parsed = name(&message.name, AppointmentId::parse, APPOINTMENT_NAME);
        let parsed = violations.keep("name", parsed);
        let expected = violations.keep("etag", etag_version(&message.etag)).flatten();
        violations.finish()?;
        let ((provider, id), reason) = parsed.zip(reason).ok_or_else(Fault::unchecked)?;
        let decision = Decision { provider, id, change: Change::Cancel, reason, expected };
        let cancelled = self.bookings.decide(deadline, caller, decision, once).await?;
        let appointment = Some(wire(&cancelled));
        Ok(Response::new(pb::CancelAppointmentResponse { appointment }))
    }

    async fn complete_appointment(
        &self,
        request: Request<pb::CompleteAppointmentRequest>,
    ) -> Result<Response<pb::CompleteAppointmentResponse>, Status> {
        let (deadline, caller) = (deadline(&request)?, caller(&request)?);
        let mut message = request.into_inner();
        message.request_id.make_ascii_lowercase();
        let mut violations = Violations::new();
        let who = Some(caller.user);
        let id = &message.request_id;
        let once = self.requests.once(who, "CompleteAppointment", id, &message, &mut violations);
        let parsed = name(&message.name, AppointmentId::parse, APPOINTMENT_NAME);
        let parsed = violations.keep("name", parsed);
        let expected = violations.keep("etag", etag_version(&message.etag)).flatten();
        violations.finish()?;
        let (provider, id) = parsed.ok_or_else(Fault::unchecked)?;
        let (change, reason) = (Change::Complete, String::new());
        let decision = Decision { provider, id, change, reason, expected };
        let completed = self.bookings.decide(deadline, caller, decision, once).await?;
        let appointment = Some(wire(&completed));
        Ok(Response::new(pb::CompleteAppointmentResponse { appointment }))
    }

    async fn get_availability(
        &self,
        request: Request<pb::GetAvailabilityRequest>,
    ) -> Result<Response<pb::GetAvailabilityResponse>, Status> {
        let deadline = deadline(&request)?;
        let question = question(request.get_ref())?;
        let answer = self.availabilities.ask(deadline, question).await?;
        let intervals = |all: Vec<Interval>| all.into_iter().map(wire_interval).collect();
        Ok(Response::new(pb::GetAvailabilityResponse {
            free_intervals: intervals(answer.availability.free),
            slots: intervals(answer.availability.slots),
            time_zone: answer.zone.name().to_owned(),
        }))
    }

    async fn approve_appointment(
        &self,
        _: Request<pb::ApproveAppointmentRequest>,
    ) -> Result<Response<pb::ApproveAppointmentResponse>, Status> {
        Err(Fault::internal("not built yet").into())
    }

    async fn decline_appointment(
        &self,
        _: Request<pb::DeclineAppointmentRequest>,
    ) -> Result<Response<pb::DeclineAppointmentResponse>, Status> {
        Err(Fault::internal("not built yet").into())
    }

    async fn mark_no_show(
        &self,
        _: Request<pb::MarkNoShowRequest>,
    ) -> Result<Response<pb::MarkNoShowResponse>, Status> {
        Err(Fault::internal("not built yet").into())
    }

    async fn reschedule_appointment(
        &self,
        _: Request<pb::RescheduleAppointmentRequest>,
    ) -> Result<Response<pb::RescheduleAppointmentResponse>, Status> {
        Err(Fault::internal("not built yet").into())
    }

    async fn reassign_appointment(
        &self,
        _: Request<pb::ReassignAppointmentRequest>,
    ) -> Result<Response<pb::ReassignAppointmentResponse>, Status> {
        Err(Fault::internal("not built yet").into())
    }

    async fn update_appointment(
        &self,
        _: Request<pb::UpdateAppointmentRequest>,
    ) -> Result<Response<pb::UpdateAppointmentResponse>, Status> {
        Err(Fault::internal("not built yet").into())
    }

    async fn list_appointment_events(
        &self,
        _: Request<pb::ListAppointmentEventsRequest>,
    ) -> Result<Response<pb::ListAppointmentEventsResponse>, Status> {
        Err(Fault::internal("not built yet").into())
    }

    async fn hold_slot(
        &self,
        _: Request<pb::HoldSlotRequest>,
    ) -> Result<Response<pb::HoldSlotResponse>, Status> {
        Err(Fault::internal("not built yet").into())
    }

    async fn extend_hold(
        &self,
        _: Request<pb::ExtendHoldRequest>,
    ) -> Result<Response<pb::ExtendHoldResponse>, Status> {
        Err(Fault::internal("not built yet").into())
    }

    async fn release_hold(
        &self,
        _: Request<pb::ReleaseHoldRequest>,
    ) -> Result<Response<pb::ReleaseHoldResponse>, Status> {
        Err(Fault::internal("not built yet").into())
    }
}

fn question(message: &pb::GetAvailabilityRequest) -> Result<Question, Fault> {
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
    let zone = optional(&message.time_zone, |text| violations.keep("time_zone", zone(text)));
    let duration = message.duration.as_ref();
    let duration = duration.and_then(|d| violations.keep("duration", minutes(Some(d))));
    violations.finish()?;
    let (Some(provider), Some(first), Some(last)) = (provider, first, last) else {
        return Err(Fault::unchecked());
    };
    Ok(Question { provider, first, last, zone, duration })
}

/// The interval between two instants that are in order. What was refused before is not told twice.
fn ordered(
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

fn optional<T>(text: &str, read: impl FnOnce(&str) -> Option<T>) -> Option<T> {
    if text.is_empty() { None } else { read(text) }
}

fn states(wire: &[i32], violations: &mut Violations) -> Vec<State> {
    let mut states = Vec::new();
    for (index, value) in wire.iter().enumerate().take(16) {
        let state = match WireState::try_from(*value) {
            Ok(WireState::Booked) => State::Booked,
            Ok(WireState::Completed) => State::Completed,
            Ok(WireState::Cancelled) => State::Cancelled,
            Ok(_) | Err(_) => {
                violations.add(
                    format!("states[{index}]"),
                    "must be STATE_BOOKED, STATE_COMPLETED or STATE_CANCELLED",
                );
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

fn wire_interval(interval: Interval) -> pb::Interval {
    pb::Interval {
        start_time: Some(timestamp(interval.start())),
        end_time: Some(timestamp(interval.end())),
    }
}

fn wire(a: &Appointment) -> pb::Appointment {
    let state = match a.state {
        State::Booked => WireState::Booked,
        State::Completed => WireState::Completed,
        State::Cancelled => WireState::Cancelled,
    };
    pb::Appointment {
        name: a.id.name(a.provider),
        provider: a.provider.name(),
        customer: a.customer.name(),
        customer_display_name: a.customer_display_name.clone(),
        start_time: Some(timestamp(a.start)),
        end_time: Some(timestamp(a.end)),
        state: state.into(),
        note: a.note.clone(),
        time_zone: a.time_zone.name().to_owned(),
        local_start_time: a.local_start.clone(),
        cancel_reason: a.cancel_reason.clone(),
        create_time: Some(timestamp(a.created_at)),
        update_time: Some(timestamp(a.updated_at)),
        etag: etag(a.version),
        ..pb::Appointment::default()
    }
}
