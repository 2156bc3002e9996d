//! What happens as calls to a server.

use daybook::grpc::proto::booking::{
    Appointment, ApproveAppointmentRequest, BookAppointmentRequest, CancelAppointmentRequest,
    Closure, CompleteAppointmentRequest, CorrectAppointmentRequest, CreateClosureRequest,
    CreateTimeOffRequest, DeclineAppointmentRequest, DeleteClosureRequest, DeleteTimeOffRequest,
    ExtendHoldRequest, Hold, HoldSlotRequest, MarkNoShowRequest, ReassignAppointmentRequest,
    ReleaseHoldRequest, RescheduleAppointmentRequest, TimeOff, UpdateAppointmentRequest,
    appointment::State as WireState,
};
use prost_types::{Duration, Timestamp};
use tonic::Status;

use super::{
    plain::{By, Change, Op, State, What, Wish},
    practice::{Practice, wire},
};
use crate::support::people::Person;

/// What a server answered.
#[derive(Debug, Clone, PartialEq)]
pub enum Reply {
    Appointment(Box<Appointment>),
    Hold(Hold),
    /// The name, and the appointments in it.
    TimeOff(String, Vec<String>),
    /// The same.
    Closure(String, Vec<String>),
    Nothing,
}

fn booked(appointment: Option<Appointment>) -> Reply {
    Reply::Appointment(Box::new(appointment.unwrap()))
}

fn held(hold: Option<Hold>) -> Reply {
    Reply::Hold(hold.unwrap())
}

/// Who sees the answer to a call.
pub fn seen_by(op: &Op) -> By {
    match *op {
        // A provider who gives an appointment away is not of the new one's staff.
        Op::Reassign { by: By::Provider, .. } => By::Customer,
        Op::Book { by, .. }
        | Op::Decide { by, .. }
        | Op::Correct { by, .. }
        | Op::Reschedule { by, .. }
        | Op::Reassign { by, .. }
        | Op::Write { by, .. } => by,
        _ => By::Customer,
    }
}

pub fn wire_state(state: State) -> WireState {
    match state {
        State::Pending => WireState::Pending,
        State::Booked => WireState::Booked,
        State::Completed => WireState::Completed,
        State::NoShow => WireState::NoShow,
        State::Cancelled => WireState::Cancelled,
        State::Declined => WireState::Declined,
        State::Held | State::Released => WireState::Unspecified,
    }
}

/// The word of a state in the database; what was released is not there.
pub fn in_the_books(state: State) -> Option<&'static str> {
    match state {
        State::Held => Some("held"),
        State::Pending => Some("pending"),
        State::Booked => Some("booked"),
        State::Completed => Some("completed"),
        State::NoShow => Some("no_show"),
        State::Cancelled => Some("cancelled"),
        State::Declined => Some("declined"),
        State::Released => None,
    }
}

/// Why, where somebody acts against the rules.
fn reason(overriding: bool) -> String {
    if overriding { "must be".to_owned() } else { String::new() }
}

impl Practice {
    /// Who asks, for something of this claim.
    fn caller(&self, claim: usize, by: By) -> &Person {
        let found = &self.model.claims[claim];
        match by {
            By::Customer => &self.customers[found.customer],
            By::Provider => &self.providers[found.provider],
            By::Admin => &self.admin,
        }
    }

    fn hold_name(&self, claim: usize) -> String {
        self.names[claim].0.replace("/appointments/", "/holds/")
    }

    /// The provider, the type and the end of a wish, as a request has them.
    fn parts(&self, wish: &Wish) -> (String, String, Option<Timestamp>) {
        let provider = wish.provider.map(|p| self.providers[p].provider()).unwrap_or_default();
        match wish.what {
            What::Interval(length) => (provider, String::new(), wire(wish.start + length)),
            What::Type(of) => (provider, self.types[of].clone(), None),
        }
    }

    /// Puts the call to the server whose turn it is.
    pub async fn call(&self, op: &Op, request_id: &str) -> Result<Reply, Status> {
        let world = &self.worlds[self.steps % self.worlds.len()];
        let (mut client, request_id) = (world.booking(), request_id.to_owned());
        let seconds = |seconds: i64| Some(Duration { seconds, nanos: 0 });
        match *op {
            Op::Book { by, wish, overriding } => {
                let customer = &self.customers[wish.customer];
                let (caller, named) = match by {
                    By::Customer => (customer, String::new()),
                    By::Provider => {
                        (&self.providers[wish.provider.unwrap()], customer.user.name.clone())
                    }
                    By::Admin => (&self.admin, customer.user.name.clone()),
                };
                let (provider, appointment_type, end_time) = self.parts(&wish);
                let request = BookAppointmentRequest {
                    provider,
                    appointment_type,
                    start_time: wire(wish.start),
                    end_time,
                    customer: named,
                    override_reason: reason(overriding),
                    request_id,
                    ..Default::default()
                };
                let answer = client.book_appointment(caller.asks(request)).await?;
                Ok(booked(answer.into_inner().appointment))
            }
            Op::Hold { wish, length } => {
                let (provider, appointment_type, end_time) = self.parts(&wish);
                let request = HoldSlotRequest {
                    provider,
                    appointment_type,
                    start_time: wire(wish.start),
                    end_time,
                    hold_duration: seconds(length),
                    request_id,
                    ..Default::default()
                };
                let caller = &self.customers[wish.customer];
                let answer = client.hold_slot(caller.asks(request)).await?;
                Ok(held(answer.into_inner().hold))
            }
            Op::BookHold { claim, by } => {
                let hold = self.hold_name(claim);
                let request = BookAppointmentRequest { hold, request_id, ..Default::default() };
                let answer = client.book_appointment(self.customers[by].asks(request)).await?;
                Ok(booked(answer.into_inner().appointment))
            }
            Op::Extend { claim, by, length } => {
                let (name, hold_duration) = (self.hold_name(claim), seconds(length));
                let request = ExtendHoldRequest { name, hold_duration, request_id };
                let answer = client.extend_hold(self.customers[by].asks(request)).await?;
                Ok(held(answer.into_inner().hold))
            }
            Op::Release { claim, by } => {
                let request = ReleaseHoldRequest { name: self.hold_name(claim), request_id };
                client.release_hold(self.customers[by].asks(request)).await?;
                Ok(Reply::Nothing)
            }
            Op::Decide { claim, by, change, stale, free } => {
                let etag = if stale { self.names[claim].1.clone() } else { String::new() };
                self.decide(claim, by, (change, free), etag, request_id).await
            }
            Op::Correct { claim, by, to } => {
                let request = CorrectAppointmentRequest {
                    name: self.names[claim].0.clone(),
                    state: wire_state(to).into(),
                    reason: "so it is".to_owned(),
                    request_id,
                    ..Default::default()
                };
                let asked = self.caller(claim, by).asks(request);
                let answer = client.correct_appointment(asked).await?;
                Ok(booked(answer.into_inner().appointment))
            }
            Op::Reschedule { claim, by, start, overriding } => {
                let request = RescheduleAppointmentRequest {
                    name: self.names[claim].0.clone(),
                    start_time: wire(start),
                    override_reason: reason(overriding),
                    request_id,
                    ..Default::default()
                };
                let asked = self.caller(claim, by).asks(request);
                let answer = client.reschedule_appointment(asked).await?;
                Ok(booked(answer.into_inner().appointment))
            }
            Op::Reassign { claim, by, to, overriding } => {
                let request = ReassignAppointmentRequest {
                    name: self.names[claim].0.clone(),
                    provider: self.providers[to].provider(),
                    reason: "so it is".to_owned(),
                    override_reason: reason(overriding),
                    request_id,
                    ..Default::default()
                };
                let asked = self.caller(claim, by).asks(request);
                let answer = client.reassign_appointment(asked).await?;
                Ok(booked(answer.into_inner().appointment))
            }
            Op::Write { claim, by, text } => {
                let appointment = Appointment {
                    name: self.names[claim].0.clone(),
                    customer_message: format!("message {text}"),
                    private_note: format!("private {text}"),
                    ..Default::default()
                };
                let appointment = Some(appointment);
                let request =
                    UpdateAppointmentRequest { appointment, request_id, ..Default::default() };
                let asked = self.caller(claim, by).asks(request);
                let answer = client.update_appointment(asked).await?;
                Ok(booked(answer.into_inner().appointment))
            }
            Op::TimeOff { provider, start, end } => {
                let (start_time, end_time) = (wire(start), wire(end));
                let time_off = Some(TimeOff { start_time, end_time, ..Default::default() });
                let provider = &self.providers[provider];
                let parent = provider.provider();
                let request = CreateTimeOffRequest { parent, time_off, request_id };
                let answer = world.schedule().create_time_off(provider.asks(request)).await?;
                let answer = answer.into_inner();
                let name = answer.time_off.unwrap().name;
                Ok(Reply::TimeOff(name, answer.touched_appointments))
            }
            Op::GiveBack { provider, id } => {
                let name = self.time_off[id].clone();
                let request = DeleteTimeOffRequest { name, request_id };
                let asked = self.providers[provider].asks(request);
                world.schedule().delete_time_off(asked).await?;
                Ok(Reply::Nothing)
            }
            Op::Close { start, end } => {
                let (start_time, end_time) = (wire(start), wire(end));
                let closure = Some(Closure { start_time, end_time, ..Default::default() });
                let request = CreateClosureRequest { closure, request_id };
                let answer = world.schedule().create_closure(self.admin.asks(request)).await?;
                let answer = answer.into_inner();
                let name = answer.closure.unwrap().name;
                Ok(Reply::Closure(name, answer.touched_appointments))
            }
            Op::Reopen { id } => {
                let request = DeleteClosureRequest { name: self.closures[id].clone(), request_id };
                world.schedule().delete_closure(self.admin.asks(request)).await?;
                Ok(Reply::Nothing)
            }
            Op::Clock { .. } => Ok(Reply::Nothing),
        }
    }

    async fn decide(
        &self,
        claim: usize,
        by: By,
        (change, free_rest): (Change, bool),
        etag: String,
        request_id: String,
    ) -> Result<Reply, Status> {
        let mut client = self.worlds[self.steps % self.worlds.len()].booking();
        let (name, caller) = (self.names[claim].0.clone(), self.caller(claim, by));
        let reason = "so it is".to_owned();
        let changed = match change {
            Change::Cancel => {
                let request = CancelAppointmentRequest {
                    name,
                    reason,
                    etag,
                    request_id,
                    ..Default::default()
                };
                let answer = client.cancel_appointment(caller.asks(request)).await?;
                answer.into_inner().appointment
            }
            Change::Complete => {
                let request = CompleteAppointmentRequest { name, etag, request_id, free_rest };
                let answer = client.complete_appointment(caller.asks(request)).await?;
                answer.into_inner().appointment
            }
            Change::NoShow => {
                let request = MarkNoShowRequest { name, etag, request_id, free_rest };
                client.mark_no_show(caller.asks(request)).await?.into_inner().appointment
            }
            Change::Approve => {
                let request = ApproveAppointmentRequest { name, etag, request_id };
                let answer = client.approve_appointment(caller.asks(request)).await?;
                answer.into_inner().appointment
            }
            Change::Decline => {
                let request = DeclineAppointmentRequest { name, reason, etag, request_id };
                let answer = client.decline_appointment(caller.asks(request)).await?;
                answer.into_inner().appointment
            }
        };
        Ok(booked(changed))
    }
}
