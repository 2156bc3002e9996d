//! Appointment types of a test, and what callers do with them.

use chrono::DateTime;
use daybook::grpc::proto::booking::{
    Appointment, AppointmentEvent, AppointmentType, ArchiveAppointmentTypeRequest,
    BookAppointmentRequest, CancelAppointmentRequest, CreateAppointmentTypeRequest, Exclusion,
    ExplainSlotRequest, GetAppointmentRequest, Hold, HoldSlotRequest, ListAppointmentEventsRequest,
    ListAppointmentsRequest, ListSlotsRequest, OfferAppointmentTypeRequest,
    RescheduleAppointmentRequest, Slot, UpdateAppointmentTypeRequest, appointment::State,
    availability_service_client::AvailabilityServiceClient,
};
use prost_types::{Duration, FieldMask, Timestamp};
use tonic::{Status, transport::Channel};

use super::{World, berlin, people::Person};

/// So many minutes.
pub fn minutes(minutes: i64) -> Option<Duration> {
    Some(Duration { seconds: minutes * 60, nanos: 0 })
}

/// A type with these lengths in minutes and no other rules.
pub fn kind(lengths: &[i64]) -> AppointmentType {
    AppointmentType {
        display_name: "First visit".to_owned(),
        durations: lengths.iter().filter_map(|length| minutes(*length)).collect(),
        ..Default::default()
    }
}

/// Wall-clock text in Berlin, such as `2026-11-23 09:00`.
pub fn local(at: Option<Timestamp>) -> String {
    let at = DateTime::from_timestamp(at.unwrap().seconds, 0).unwrap();
    super::zones::rules("Europe/Berlin").wall(at).unwrap().format("%Y-%m-%d %H:%M").to_string()
}

/// A booking of a type without a request id, with its first length.
pub fn typed(provider: &Person, kind: &AppointmentType, start: &str) -> BookAppointmentRequest {
    BookAppointmentRequest { provider: provider.provider(), ..anybodys(kind, start) }
}

/// The same with whoever is free.
pub fn anybodys(kind: &AppointmentType, start: &str) -> BookAppointmentRequest {
    BookAppointmentRequest {
        appointment_type: kind.name.clone(),
        start_time: Some(berlin(start)),
        ..Default::default()
    }
}

/// A hold of a type, with its first length and for the usual time.
pub fn holding(provider: &Person, kind: &AppointmentType, start: &str) -> HoldSlotRequest {
    HoldSlotRequest {
        provider: provider.provider(),
        appointment_type: kind.name.clone(),
        start_time: Some(berlin(start)),
        ..Default::default()
    }
}

impl World {
    pub fn slots(&self) -> AvailabilityServiceClient<Channel> {
        AvailabilityServiceClient::new(self.channel.clone())
    }

    /// A type of the provider's own, which is offered from the start.
    pub async fn own_type(&self, provider: &Person, kind: AppointmentType) -> AppointmentType {
        let kind = AppointmentType { owner: provider.provider(), ..kind };
        self.create_type(provider, kind).await
    }

    /// A type of the practice that these providers offer.
    pub async fn shared_type(
        &self,
        admin: &Person,
        kind: AppointmentType,
        by: &[&Person],
    ) -> AppointmentType {
        let kind = self.create_type(admin, kind).await;
        for provider in by {
            self.offer(admin, &kind, provider, "").await;
        }
        kind
    }

    async fn create_type(&self, caller: &Person, kind: AppointmentType) -> AppointmentType {
        let request =
            CreateAppointmentTypeRequest { appointment_type: Some(kind), ..Default::default() };
        let answer = self.catalogue().create_appointment_type(caller.asks(request)).await.unwrap();
        answer.into_inner().appointment_type.unwrap()
    }

    /// Offers a type with a provider by a schedule, or by the default one.
    pub async fn offer(
        &self,
        caller: &Person,
        kind: &AppointmentType,
        provider: &Person,
        schedule: &str,
    ) {
        let request = OfferAppointmentTypeRequest {
            appointment_type: kind.name.clone(),
            provider: provider.provider(),
            schedule: schedule.to_owned(),
            ..Default::default()
        };
        self.catalogue().offer_appointment_type(caller.asks(request)).await.unwrap();
    }

    /// Sets these fields of a type.
    pub async fn change_type(
        &self,
        caller: &Person,
        kind: AppointmentType,
        fields: &[&str],
    ) -> AppointmentType {
        let paths = fields.iter().map(|field| (*field).to_owned()).collect();
        let request = UpdateAppointmentTypeRequest {
            appointment_type: Some(AppointmentType { etag: String::new(), ..kind }),
            update_mask: Some(FieldMask { paths }),
            ..Default::default()
        };
        let answer = self.catalogue().update_appointment_type(caller.asks(request)).await.unwrap();
        answer.into_inner().appointment_type.unwrap()
    }

    pub async fn archive(&self, caller: &Person, kind: &AppointmentType, archived: bool) {
        let name = kind.name.clone();
        let request = ArchiveAppointmentTypeRequest { name, archived, ..Default::default() };
        self.catalogue().archive_appointment_type(caller.asks(request)).await.unwrap();
    }

    pub async fn send(
        &self,
        caller: &Person,
        request: BookAppointmentRequest,
    ) -> Result<Appointment, Status> {
        let answer = self.booking().book_appointment(caller.asks(request)).await?;
        Ok(answer.into_inner().appointment.unwrap())
    }

    /// Books a type with its first length.
    pub async fn book_type(
        &self,
        customer: &Person,
        provider: &Person,
        kind: &AppointmentType,
        start: &str,
    ) -> Result<Appointment, Status> {
        self.send(customer, typed(provider, kind, start)).await
    }

    pub async fn hold(&self, caller: &Person, request: HoldSlotRequest) -> Result<Hold, Status> {
        Ok(self.booking().hold_slot(caller.asks(request)).await?.into_inner().hold.unwrap())
    }

    /// Books the hold without answers.
    pub async fn book_hold(&self, caller: &Person, hold: &Hold) -> Result<Appointment, Status> {
        let request = BookAppointmentRequest { hold: hold.name.clone(), ..Default::default() };
        self.send(caller, request).await
    }

    pub async fn get(&self, caller: &Person, name: &str) -> Result<Appointment, Status> {
        let request = GetAppointmentRequest { name: name.to_owned() };
        let answer = self.booking().get_appointment(caller.asks(request)).await?;
        Ok(answer.into_inner().appointment.unwrap())
    }

    /// The caller's appointments as customer, in these states.
    pub async fn list(&self, caller: &Person, states: &[State]) -> Vec<Appointment> {
        let request = ListAppointmentsRequest {
            customer: caller.user.name.clone(),
            states: states.iter().map(|state| (*state).into()).collect(),
            ..Default::default()
        };
        let answer = self.booking().list_appointments(caller.asks(request)).await.unwrap();
        answer.into_inner().appointments
    }

    pub async fn cancel(&self, caller: &Person, name: &str) -> Result<Appointment, Status> {
        let request = CancelAppointmentRequest { name: name.to_owned(), ..Default::default() };
        let answer = self.booking().cancel_appointment(caller.asks(request)).await?;
        Ok(answer.into_inner().appointment.unwrap())
    }

    /// Moves an appointment to this local time in Berlin.
    pub async fn reschedule(
        &self,
        caller: &Person,
        name: &str,
        start: &str,
    ) -> Result<Appointment, Status> {
        let request = RescheduleAppointmentRequest {
            name: name.to_owned(),
            start_time: Some(berlin(start)),
            ..Default::default()
        };
        let answer = self.booking().reschedule_appointment(caller.asks(request)).await?;
        Ok(answer.into_inner().appointment.unwrap())
    }

    pub async fn events_of(
        &self,
        caller: &Person,
        name: &str,
    ) -> Result<Vec<AppointmentEvent>, Status> {
        let request =
            ListAppointmentEventsRequest { parent: name.to_owned(), ..Default::default() };
        let answer = self.booking().list_appointment_events(caller.asks(request)).await?;
        Ok(answer.into_inner().events)
    }

    pub async fn list_slots(&self, caller: &Person, request: ListSlotsRequest) -> Vec<Slot> {
        self.slots().list_slots(caller.asks(request)).await.unwrap().into_inner().slots
    }

    /// The wall-clock starts of a type's slots on a day in Berlin, with whoever offers it.
    pub async fn starts_of(
        &self,
        caller: &Person,
        kind: &AppointmentType,
        day: &str,
    ) -> Vec<String> {
        let slots = self.list_slots(caller, on_day(kind, day)).await;
        slots.iter().map(|slot| local(slot.start_time)[11..].to_owned()).collect()
    }

    /// Everything against the first length of a type at this start.
    pub async fn explain(
        &self,
        caller: &Person,
        provider: &Person,
        kind: &AppointmentType,
        start: Timestamp,
    ) -> Vec<Exclusion> {
        let request = ExplainSlotRequest {
            appointment_type: kind.name.clone(),
            provider: provider.provider(),
            start_time: Some(start),
            ..Default::default()
        };
        let answer = self.slots().explain_slot(caller.asks(request)).await.unwrap().into_inner();
        assert_eq!(answer.is_free, answer.exclusions.is_empty());
        answer.exclusions
    }
}

/// A question for the slots of a type on a day in Berlin.
pub fn on_day(kind: &AppointmentType, day: &str) -> ListSlotsRequest {
    ListSlotsRequest {
        appointment_type: kind.name.clone(),
        start_time: Some(berlin(&format!("{day} 00:00"))),
        end_time: Some(berlin(&format!("{day} 23:59"))),
        ..Default::default()
    }
}
