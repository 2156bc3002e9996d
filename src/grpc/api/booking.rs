//! `daybook.booking.v1.BookingService`.

use tonic::{Request, Response, Status};

use super::{
    Api,
    booking_answers::{corrected, wire_warning},
    booking_events,
    booking_list::{Narrowed, appointment_names, narrowed},
    booking_wire::{
        Booking, CUSTOMER_NAME, appointment_name, ordered, override_reason, question, read_booking,
        states, typed_fields, wire, wire_hold, wire_interval,
    },
    calendar,
    convert::{end, mask, moment, moment_before, name, optional, read_etag, start},
    holds,
    idempotency::IdempotentRequest,
    open::{Opened, OpenedWrite, open, open_as},
    page::fill,
    schedule::PROVIDER_NAME,
};
use crate::grpc::proto::booking::{self as pb, booking_service_server::BookingService};
use crate::{
    availability::service::{Answer, FreeTimeQuery},
    booking::{
        LONGEST_NOTE, LONGEST_REASON,
        commands::{
            decide::{Annotate, Correct},
            hold::HoldAction,
            relocate::{Reassign, Reschedule},
        },
        policy::StateChange,
        service::Decision,
        store::{AppointmentCursor, Filter},
    },
    identity::{Caller, permit},
    kernel::{
        id::{ProviderId, UserId},
        page::page_size,
        text,
        time::Interval,
    },
};

/// What can be written on an appointment.
const NOTES: [&str; 2] = ["customer_message", "private_note"];

impl Api {
    /// What calls have in common that change the state of an appointment. `said` is the name, the reason
    /// and the etag of a message, `ticked` what it has beside: `free_rest` and `only_move`.
    async fn decide<M: IdempotentRequest>(
        &self,
        request: Request<M>,
        change: StateChange,
        said: impl Fn(&M) -> (&str, &str, &str),
        ticked: impl Fn(&M) -> [bool; 2],
    ) -> Result<(Option<pb::Appointment>, Vec<pb::Warning>), Status> {
        let OpenedWrite { deadline, caller, message, mut violations, idempotency_key } =
            self.requests.open(request)?;
        let ((name, reason, etag), [free_rest, only_move]) = (said(&message), ticked(&message));
        let reason = violations.keep("reason", text::lines(reason, LONGEST_REASON));
        let parsed = violations.keep("name", appointment_name(name));
        let expected = violations.keep("etag", read_etag(etag)).flatten();
        let ((provider, id), reason) = violations.finish_with((parsed, reason))?;
        let decision = Decision { provider, id, change, reason, free_rest, only_move, expected };
        let decide =
            |idempotency_key| self.bookings.decide(deadline, caller, decision, idempotency_key);
        let changed = idempotency_key.carry_out(deadline, decide).await?;
        let warnings = changed.warnings.iter().map(wire_warning).collect();
        Ok((Some(wire(&changed.appointment, caller)), warnings))
    }
}

#[tonic::async_trait]
impl BookingService for Api {
    async fn book_appointment(
        &self,
        request: Request<pb::BookAppointmentRequest>,
    ) -> Result<Response<pb::BookAppointmentResponse>, Status> {
        let OpenedWrite { deadline, caller, message, mut violations, idempotency_key } =
            self.requests.open(request)?;
        let what = read_booking(&message, caller, &mut violations);
        if !violations.is_empty() {
            let fields = typed_fields(&message, caller);
            self.bookings.also_wrong(deadline, caller, fields, &mut violations).await?;
        }
        let what = violations.finish_with(what)?;
        let book = async |idempotency_key| match what {
            Booking::Hold { hold, type_id, note, replies, override_reason } => {
                let what = HoldAction::Book { type_id, note, replies, override_reason };
                self.bookings.use_hold(deadline, caller, hold, what, idempotency_key).await
            }
            Booking::New(request) => {
                Box::pin(self.bookings.book(deadline, request, idempotency_key)).await
            }
        };
        let booked = idempotency_key.carry_out(deadline, book).await?;
        let appointment = Some(wire(&booked, caller));
        Ok(Response::new(pb::BookAppointmentResponse { appointment }))
    }

    async fn get_appointment(
        &self,
        request: Request<pb::GetAppointmentRequest>,
    ) -> Result<Response<pb::GetAppointmentResponse>, Status> {
        let Opened { deadline, caller, message, mut violations } = open(request)?;
        let parsed = appointment_name(&message.name);
        let parsed = violations.keep("name", parsed);
        let (provider, id) = violations.finish_with(parsed)?;
        let found = self.bookings.get(deadline, caller, provider, id).await?;
        let appointment = Some(wire(&found, caller));
        Ok(Response::new(pb::GetAppointmentResponse { appointment }))
    }

    async fn batch_get_appointments(
        &self,
        request: Request<pb::BatchGetAppointmentsRequest>,
    ) -> Result<Response<pb::BatchGetAppointmentsResponse>, Status> {
        let Opened { deadline, caller, message, .. } = open(request)?;
        let names = appointment_names(&message.names)?;
        let found = self.bookings.get_all(deadline, caller, names).await?;
        let appointments = found.iter().map(|found| wire(found, caller)).collect();
        Ok(Response::new(pb::BatchGetAppointmentsResponse { appointments }))
    }

    async fn list_appointments(
        &self,
        request: Request<pb::ListAppointmentsRequest>,
    ) -> Result<Response<pb::ListAppointmentsResponse>, Status> {
        let Opened { deadline, caller, message, mut violations } = open(request)?;
        let provider = optional(&message.provider, |text| {
            violations.keep("provider", name(text, ProviderId::parse, PROVIDER_NAME))
        });
        let customer = optional(&message.customer, |text| {
            violations.keep("customer", name(text, UserId::parse, CUSTOMER_NAME))
        });
        let states = states(&message.states, &mut violations);
        let from = message.start_time.as_ref();
        let from = from.and_then(|at| violations.keep("start_time", moment_before(at)));
        let until = message.end_time.as_ref();
        let until = until.and_then(|at| violations.keep("end_time", moment(at)));
        if from.is_some() {
            ordered(from, until, &mut violations);
        }
        let narrow = narrowed(&message, &mut violations);
        let size = violations.keep("page_size", page_size(message.page_size)).unwrap_or_default();
        let query = format!(
            "appointments {} {:?} {:?} {:?} {:?} {:?} {narrow:?}",
            caller.user, message.provider, message.customer, states, from, until
        );
        let after = self.pages.read::<AppointmentCursor>(&query, &message.page_token);
        let after = violations.keep("page_token", after).flatten();
        violations.finish()?;
        let bounds = permit::list_appointments(caller, provider, customer)?;
        let now = self.bookings.now();
        let Narrowed { type_id, changed_from, changed_until, order } = narrow;
        let filter = Filter {
            bounds,
            states,
            now,
            from,
            until,
            type_id,
            changed_from,
            changed_until,
            order,
        };
        let page = fill(
            (&self.availabilities.bulkhead, deadline),
            None,
            (size, after),
            |after, limit| self.bookings.list(deadline, filter.clone(), after, limit),
            |each| wire(each, caller),
            |last| AppointmentCursor { start: order.of(last, bounds.is_staff), id: last.id.0 },
        );
        let page = page.await?;
        let next_page_token = page.next.map(|next| self.pages.make(&query, &next));
        let answer = pb::ListAppointmentsResponse {
            appointments: page.messages,
            next_page_token: next_page_token.unwrap_or_default(),
        };
        Ok(Response::new(answer))
    }

    async fn cancel_appointment(
        &self,
        request: Request<pb::CancelAppointmentRequest>,
    ) -> Result<Response<pb::CancelAppointmentResponse>, Status> {
        let (appointment, _) = self
            .decide(
                request,
                StateChange::Cancel,
                |m| (&*m.name, &*m.reason, &*m.etag),
                |m| [false, m.only_move],
            )
            .await?;
        Ok(Response::new(pb::CancelAppointmentResponse { appointment }))
    }

    async fn complete_appointment(
        &self,
        request: Request<pb::CompleteAppointmentRequest>,
    ) -> Result<Response<pb::CompleteAppointmentResponse>, Status> {
        let (appointment, _) = self
            .decide(
                request,
                StateChange::Complete,
                |m| (&*m.name, "", &*m.etag),
                |m| [m.free_rest, false],
            )
            .await?;
        Ok(Response::new(pb::CompleteAppointmentResponse { appointment }))
    }

    async fn get_availability(
        &self,
        request: Request<pb::GetAvailabilityRequest>,
    ) -> Result<Response<pb::GetAvailabilityResponse>, Status> {
        let Opened { deadline, caller, message, .. } = open_as::<_, Option<Caller>>(request)?;
        let zones = self.availabilities.ambient.zones();
        let (question, named) = question(&message, &zones)?;
        let customer_context = named.customer_context(&self.bookings, deadline, caller).await?;
        let question = FreeTimeQuery { customer_context, ..question }.checked()?;
        let finish = |answer: Answer| {
            let intervals = |all: Vec<Interval>| all.into_iter().map(wire_interval).collect();
            pb::GetAvailabilityResponse {
                free_intervals: intervals(answer.availability.free),
                slots: intervals(answer.availability.slots),
                time_zone: answer.zone.name().to_owned(),
            }
        };
        Ok(Response::new(self.availabilities.ask(deadline, question, finish).await?))
    }

    async fn approve_appointment(
        &self,
        request: Request<pb::ApproveAppointmentRequest>,
    ) -> Result<Response<pb::ApproveAppointmentResponse>, Status> {
        let (appointment, warnings) = self
            .decide(request, StateChange::Approve, |m| (&*m.name, "", &*m.etag), |_| [false; 2])
            .await?;
        Ok(Response::new(pb::ApproveAppointmentResponse { appointment, warnings }))
    }

    async fn decline_appointment(
        &self,
        request: Request<pb::DeclineAppointmentRequest>,
    ) -> Result<Response<pb::DeclineAppointmentResponse>, Status> {
        let (appointment, _) = self
            .decide(
                request,
                StateChange::Decline,
                |m| (&*m.name, &*m.reason, &*m.etag),
                |_| [false; 2],
            )
            .await?;
        Ok(Response::new(pb::DeclineAppointmentResponse { appointment }))
    }

    async fn mark_no_show(
        &self,
        request: Request<pb::MarkNoShowRequest>,
    ) -> Result<Response<pb::MarkNoShowResponse>, Status> {
        let (appointment, _) = self
            .decide(
                request,
                StateChange::NoShow,
                |m| (&*m.name, "", &*m.etag),
                |m| [m.free_rest, false],
            )
            .await?;
        Ok(Response::new(pb::MarkNoShowResponse { appointment }))
    }

    async fn reschedule_appointment(
        &self,
        request: Request<pb::RescheduleAppointmentRequest>,
    ) -> Result<Response<pb::RescheduleAppointmentResponse>, Status> {
        let OpenedWrite { deadline, caller, message, mut violations, idempotency_key } =
            self.requests.open(request)?;
        let parsed = violations.keep("name", appointment_name(&message.name));
        let from = violations.keep("start_time", start(message.start_time.as_ref()));
        let until = message.end_time.as_ref();
        let until = until.and_then(|at| violations.keep("end_time", end(Some(at))));
        if until.is_some() {
            ordered(from, until, &mut violations);
        }
        let reason = violations.keep("reason", text::lines(&message.reason, LONGEST_REASON));
        let override_reason = override_reason(&message.override_reason, &mut violations);
        let expected = violations.keep("etag", read_etag(&message.etag)).flatten();
        let ((provider, id), start, reason, override_reason) =
            violations.finish_with((parsed, from, reason, override_reason))?;
        let (end, now) = (until, self.bookings.now());
        let move_it = |idempotency_key| {
            let unit = Reschedule {
                caller,
                provider,
                id,
                start,
                end,
                reason,
                override_reason,
                expected,
                idempotency_key,
                now,
                zones: self.bookings.zones(),
                practice: self.bookings.practice(),
            };
            self.bookings.reschedule(deadline, unit)
        };
        let moved = idempotency_key.carry_out(deadline, move_it).await?;
        let appointment = Some(wire(&moved, caller));
        Ok(Response::new(pb::RescheduleAppointmentResponse { appointment }))
    }

    async fn reassign_appointment(
        &self,
        request: Request<pb::ReassignAppointmentRequest>,
    ) -> Result<Response<pb::ReassignAppointmentResponse>, Status> {
        let OpenedWrite { deadline, caller, message, mut violations, idempotency_key } =
            self.requests.open(request)?;
        let parsed = violations.keep("name", appointment_name(&message.name));
        let to = name(&message.provider, ProviderId::parse, PROVIDER_NAME);
        let to = violations.keep("provider", to);
        let reason = violations.keep("reason", text::lines(&message.reason, LONGEST_REASON));
        let override_reason = override_reason(&message.override_reason, &mut violations);
        let expected = violations.keep("etag", read_etag(&message.etag)).flatten();
        let ((provider, id), to, reason, override_reason) =
            violations.finish_with((parsed, to, reason, override_reason))?;
        let (now, new_id) = self.bookings.now_and_id();
        let reassign = |idempotency_key| {
            let unit = Reassign {
                caller,
                provider,
                id,
                to,
                new_id,
                reason,
                override_reason,
                expected,
                idempotency_key,
                now,
                zones: self.bookings.zones(),
                practice: self.bookings.practice(),
            };
            self.bookings.reassign(deadline, unit)
        };
        let taken = idempotency_key.carry_out(deadline, reassign).await?;
        let appointment = Some(wire(&taken, caller));
        Ok(Response::new(pb::ReassignAppointmentResponse { appointment }))
    }

    async fn correct_appointment(
        &self,
        request: Request<pb::CorrectAppointmentRequest>,
    ) -> Result<Response<pb::CorrectAppointmentResponse>, Status> {
        let OpenedWrite { deadline, caller, message, mut violations, idempotency_key } =
            self.requests.open(request)?;
        let parsed = violations.keep("name", appointment_name(&message.name));
        let to = violations.keep("state", corrected(message.state));
        let reason = violations.keep("reason", text::filled(&message.reason, LONGEST_REASON));
        let expected = violations.keep("etag", read_etag(&message.etag)).flatten();
        let ((provider, id), to, reason) = violations.finish_with((parsed, to, reason))?;
        let now = self.bookings.now();
        let correct = |idempotency_key| {
            let unit = Correct { caller, provider, id, to, reason, expected, idempotency_key, now };
            self.bookings.correct(deadline, unit)
        };
        let changed = idempotency_key.carry_out(deadline, correct).await?;
        let appointment = Some(wire(&changed, caller));
        Ok(Response::new(pb::CorrectAppointmentResponse { appointment }))
    }

    async fn update_appointment(
        &self,
        request: Request<pb::UpdateAppointmentRequest>,
    ) -> Result<Response<pb::UpdateAppointmentResponse>, Status> {
        let OpenedWrite { deadline, caller, message, mut violations, idempotency_key } =
            self.requests.open(request)?;
        let named = violations.keep("update_mask", mask(message.update_mask.as_ref(), &NOTES));
        let Some(new) = &message.appointment else {
            violations.add("appointment", "must be set");
            return Err(violations.into_fault().into());
        };
        let parsed = violations.keep("appointment.name", appointment_name(&new.name));
        let expected = violations.keep("appointment.etag", read_etag(&new.etag)).flatten();
        let mut note = |field: &str, value: &str| {
            let wanted = named.as_ref()?.wants(field, !value.is_empty());
            let path = format!("appointment.{field}");
            if wanted { violations.keep(&path, text::lines(value, LONGEST_NOTE)) } else { None }
        };
        let customer_message = note("customer_message", &new.customer_message);
        let private_note = note("private_note", &new.private_note);
        let (provider, id) = violations.finish_with(parsed)?;
        let now = self.bookings.now();
        let annotate = |idempotency_key| {
            let unit = Annotate {
                caller,
                provider,
                id,
                customer_message,
                private_note,
                expected,
                idempotency_key,
                now,
            };
            self.bookings.annotate(deadline, unit)
        };
        let changed = idempotency_key.carry_out(deadline, annotate).await?;
        let appointment = Some(wire(&changed, caller));
        Ok(Response::new(pb::UpdateAppointmentResponse { appointment }))
    }

    async fn list_appointment_events(
        &self,
        request: Request<pb::ListAppointmentEventsRequest>,
    ) -> Result<Response<pb::ListAppointmentEventsResponse>, Status> {
        let answer = booking_events::list((&self.bookings, &self.pages), open(request)?).await?;
        Ok(Response::new(answer))
    }

    async fn get_calendar(
        &self,
        request: Request<pb::GetCalendarRequest>,
    ) -> Result<Response<pb::GetCalendarResponse>, Status> {
        Ok(Response::new(calendar::get(&self.bookings, open(request)?).await?))
    }

    async fn list_holds(
        &self,
        request: Request<pb::ListHoldsRequest>,
    ) -> Result<Response<pb::ListHoldsResponse>, Status> {
        let answer = holds::list((&self.bookings, &self.pages), open(request)?).await?;
        Ok(Response::new(answer))
    }

    async fn hold_slot(
        &self,
        request: Request<pb::HoldSlotRequest>,
    ) -> Result<Response<pb::HoldSlotResponse>, Status> {
        let held = holds::hold(&self.bookings, self.requests.open(request)?).await?;
        Ok(Response::new(pb::HoldSlotResponse { hold: Some(held) }))
    }

    async fn extend_hold(
        &self,
        request: Request<pb::ExtendHoldRequest>,
    ) -> Result<Response<pb::ExtendHoldResponse>, Status> {
        let held = holds::extend(&self.bookings, self.requests.open(request)?).await?;
        Ok(Response::new(pb::ExtendHoldResponse { hold: Some(wire_hold(&held)) }))
    }

    async fn release_hold(
        &self,
        request: Request<pb::ReleaseHoldRequest>,
    ) -> Result<Response<pb::ReleaseHoldResponse>, Status> {
        holds::release(&self.bookings, self.requests.open(request)?).await?;
        Ok(Response::new(pb::ReleaseHoldResponse {}))
    }
}
