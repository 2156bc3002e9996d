//! A valid request of each method that names something.

use daybook::grpc::proto::booking::{
    Closure, CreateClosureRequest, CreateScheduleRequest, CreateTimeOffRequest,
    DeleteClosureRequest, DeleteScheduleRequest, DeleteTimeOffRequest, ListSchedulesRequest,
    ListTimeOffRequest, Schedule, TimeOff, WeeklyWindow,
};
use daybook::grpc::proto::{
    auth::{self, Role},
    booking,
    google::r#type::{Date, DayOfWeek, TimeOfDay},
};
use prost::Message;
use prost_types::FieldMask;

use super::{World, berlin, people::Person};

/// The request of a method for the resource or the parent with this name, in wire form.
pub fn of_schedules(method: &str, name: &str) -> Option<Vec<u8>> {
    let name = name.to_owned();
    let (start_time, end_time) =
        (Some(berlin("2026-12-24 00:00")), Some(berlin("2026-12-27 00:00")));
    Some(match method {
        "CreateSchedule" => CreateScheduleRequest {
            parent: name,
            schedule_id: "another".to_owned(),
            schedule: Some(Schedule { time_zone: "UTC".to_owned(), ..Default::default() }),
            ..Default::default()
        }
        .encode_to_vec(),
        "DeleteSchedule" => DeleteScheduleRequest { name, ..Default::default() }.encode_to_vec(),
        "ListSchedules" => ListSchedulesRequest { parent: name }.encode_to_vec(),
        "CreateTimeOff" => {
            let time_off = Some(TimeOff { start_time, end_time, ..Default::default() });
            CreateTimeOffRequest { parent: name, time_off, ..Default::default() }.encode_to_vec()
        }
        "DeleteTimeOff" => DeleteTimeOffRequest { name, ..Default::default() }.encode_to_vec(),
        "ListTimeOff" => ListTimeOffRequest { parent: name, ..Default::default() }.encode_to_vec(),
        "CreateClosure" => {
            let closure = Some(Closure { start_time, end_time, ..Default::default() });
            CreateClosureRequest { closure, ..Default::default() }.encode_to_vec()
        }
        "DeleteClosure" => DeleteClosureRequest { name, ..Default::default() }.encode_to_vec(),
        _ => return None,
    })
}

impl World {
    /// Gives the provider a named schedule, open on Mondays; its name.
    pub async fn schedule_for(&self, provider: &Person, id: &str) -> String {
        let request = CreateScheduleRequest {
            parent: provider.provider(),
            schedule_id: id.to_owned(),
            schedule: Some(Schedule {
                time_zone: "UTC".to_owned(),
                weekly_windows: vec![WeeklyWindow {
                    day: DayOfWeek::Monday.into(),
                    start_time: Some(TimeOfDay { hours: 9, ..Default::default() }),
                    end_time: Some(TimeOfDay { hours: 17, ..Default::default() }),
                }],
                ..Default::default()
            }),
            ..Default::default()
        };
        let answer = self.schedule().create_schedule(provider.asks(request)).await.unwrap();
        answer.into_inner().schedule.unwrap().name
    }

    /// Takes time off for the provider; its name.
    pub async fn time_off(&self, provider: &Person, from: &str, until: &str) -> String {
        let (start_time, end_time) = (Some(berlin(from)), Some(berlin(until)));
        let time_off = Some(TimeOff { start_time, end_time, ..Default::default() });
        let parent = provider.provider();
        let request = CreateTimeOffRequest { parent, time_off, ..Default::default() };
        let answer = self.schedule().create_time_off(provider.asks(request)).await.unwrap();
        answer.into_inner().time_off.unwrap().name
    }

    /// Closes the practice; the closure's name.
    pub async fn closure(&self, admin: &Person, from: &str, until: &str) -> String {
        let (start_time, end_time) = (Some(berlin(from)), Some(berlin(until)));
        let closure = Some(Closure { start_time, end_time, ..Default::default() });
        let request = CreateClosureRequest { closure, ..Default::default() };
        let answer = self.schedule().create_closure(admin.asks(request)).await.unwrap();
        answer.into_inner().closure.unwrap().name
    }
}

/// The request of a method for a resource with this name.
pub fn of(method: &str, name: &str) -> Vec<u8> {
    if let Some(request) = of_types(method, name) {
        return request;
    }
    let name = name.to_owned();
    let day = Some(Date { year: 2026, month: 11, day: 23 });
    match method {
        "ListSessions" => auth::ListSessionsRequest { parent: name }.encode_to_vec(),
        "RevokeSession" => auth::RevokeSessionRequest { name }.encode_to_vec(),
        "RevokeAllSessions" => {
            auth::RevokeAllSessionsRequest { parent: name, keep_current: false }.encode_to_vec()
        }
        "GetUser" => auth::GetUserRequest { name }.encode_to_vec(),
        "SetUserRole" => {
            let role = Role::Admin.into();
            auth::SetUserRoleRequest { name, role, ..Default::default() }.encode_to_vec()
        }
        "DisableUser" => auth::DisableUserRequest { name, ..Default::default() }.encode_to_vec(),
        "EnableUser" => auth::EnableUserRequest { name, ..Default::default() }.encode_to_vec(),
        "ResetSecondFactor" => {
            auth::ResetSecondFactorRequest { name, ..Default::default() }.encode_to_vec()
        }
        "EraseUser" => auth::EraseUserRequest { name, ..Default::default() }.encode_to_vec(),
        "GetProvider" => booking::GetProviderRequest { name }.encode_to_vec(),
        "GetSchedule" => booking::GetScheduleRequest { name }.encode_to_vec(),
        "UpdateSchedule" => {
            let time_zone = "UTC".to_owned();
            let schedule = booking::Schedule { name, time_zone, ..Default::default() };
            booking::UpdateScheduleRequest {
                schedule: Some(schedule),
                update_mask: Some(FieldMask { paths: vec!["time_zone".to_owned()] }),
                ..Default::default()
            }
            .encode_to_vec()
        }
        "BookAppointment" => booking::BookAppointmentRequest {
            provider: name,
            start_time: Some(berlin("2026-11-23 16:00")),
            end_time: Some(berlin("2026-11-23 16:30")),
            ..Default::default()
        }
        .encode_to_vec(),
        "GetAvailability" => booking::GetAvailabilityRequest {
            provider: name,
            start_date: day,
            ..Default::default()
        }
        .encode_to_vec(),
        "GetAppointment" => booking::GetAppointmentRequest { name }.encode_to_vec(),
        "BatchGetAppointments" => {
            booking::BatchGetAppointmentsRequest { names: vec![name] }.encode_to_vec()
        }
        "CancelAppointment" => {
            booking::CancelAppointmentRequest { name, ..Default::default() }.encode_to_vec()
        }
        "CompleteAppointment" => {
            booking::CompleteAppointmentRequest { name, ..Default::default() }.encode_to_vec()
        }
        "ListAppointments" if name.starts_with("users/") => {
            booking::ListAppointmentsRequest { customer: name, ..Default::default() }
                .encode_to_vec()
        }
        "ListAppointments" => {
            booking::ListAppointmentsRequest { provider: name, ..Default::default() }
                .encode_to_vec()
        }
        other => {
            let request = of_schedules(other, &name)
                .or_else(|| of_bookings(other, &name))
                .or_else(|| of_services(other, &name))
                .or_else(|| of_customers(other, &name));
            request.unwrap_or_else(|| panic!("no request for {other}"))
        }
    }
}

/// The same of the front desk.
fn of_customers(method: &str, name: &str) -> Option<Vec<u8>> {
    let name = name.to_owned();
    let customer = Some(auth::Customer {
        display_name: "Kim".to_owned(),
        phone: "+493012345678".to_owned(),
        ..Default::default()
    });
    Some(match method {
        "GetCustomer" => auth::GetCustomerRequest { name }.encode_to_vec(),
        "InviteCustomer" => {
            auth::InviteCustomerRequest { name, ..Default::default() }.encode_to_vec()
        }
        "MergeCustomers" => {
            let duplicate = name;
            let name = "users/01980000-0000-7000-8000-000000000001".to_owned();
            auth::MergeCustomersRequest { name, duplicate, ..Default::default() }.encode_to_vec()
        }
        "UpdateCustomer" => {
            let customer = customer.map(|customer| auth::Customer { name, ..customer });
            auth::UpdateCustomerRequest { customer, ..Default::default() }.encode_to_vec()
        }
        _ => return None,
    })
}

/// The same of service accounts.
fn of_services(method: &str, name: &str) -> Option<Vec<u8>> {
    let name = name.to_owned();
    Some(match method {
        "GetServiceAccount" => auth::GetServiceAccountRequest { name }.encode_to_vec(),
        "DisableServiceAccount" => {
            auth::DisableServiceAccountRequest { name, ..Default::default() }.encode_to_vec()
        }
        "EnableServiceAccount" => {
            auth::EnableServiceAccountRequest { name, ..Default::default() }.encode_to_vec()
        }
        "CreateApiKey" => auth::CreateApiKeyRequest {
            parent: name,
            scopes: vec![super::services::BOOKING.to_owned()],
            expire_time: Some(berlin("2026-12-24 12:00")),
        }
        .encode_to_vec(),
        "ListApiKeys" => {
            auth::ListApiKeysRequest { parent: name, ..Default::default() }.encode_to_vec()
        }
        "RevokeApiKey" => auth::RevokeApiKeyRequest { name }.encode_to_vec(),
        _ => return None,
    })
}

/// The same of what came to bookings later.
fn of_bookings(method: &str, name: &str) -> Option<Vec<u8>> {
    let (name, start_time) = (name.to_owned(), Some(berlin("2026-11-23 15:00")));
    Some(match method {
        "ListAppointmentEvents" => {
            booking::ListAppointmentEventsRequest { parent: name, ..Default::default() }
                .encode_to_vec()
        }
        "RescheduleAppointment" => {
            booking::RescheduleAppointmentRequest { name, start_time, ..Default::default() }
                .encode_to_vec()
        }
        "ApproveAppointment" => {
            booking::ApproveAppointmentRequest { name, ..Default::default() }.encode_to_vec()
        }
        "DeclineAppointment" => {
            booking::DeclineAppointmentRequest { name, ..Default::default() }.encode_to_vec()
        }
        "MarkNoShow" => booking::MarkNoShowRequest { name, ..Default::default() }.encode_to_vec(),
        "CorrectAppointment" => booking::CorrectAppointmentRequest {
            name,
            state: booking::appointment::State::NoShow.into(),
            reason: "a mistake".to_owned(),
            ..Default::default()
        }
        .encode_to_vec(),
        "ReassignAppointment" => {
            let provider = "providers/01980000-0000-7000-8000-000000000000".to_owned();
            booking::ReassignAppointmentRequest { name, provider, ..Default::default() }
                .encode_to_vec()
        }
        "ListSlots" => booking::ListSlotsRequest {
            appointment_type: "appointmentTypes/01980000-0000-7000-8000-000000000000".to_owned(),
            customer: name,
            ..Default::default()
        }
        .encode_to_vec(),
        "FindFirstSlot" => booking::FindFirstSlotRequest {
            appointment_type: "appointmentTypes/01980000-0000-7000-8000-000000000000".to_owned(),
            customer: name,
            ..Default::default()
        }
        .encode_to_vec(),
        "GetCalendar" => booking::GetCalendarRequest {
            provider: name,
            start_time,
            end_time: Some(berlin("2026-11-30 15:00")),
        }
        .encode_to_vec(),
        "ListEvents" => {
            booking::ListEventsRequest { parent: name, ..Default::default() }.encode_to_vec()
        }
        "WatchEvents" => {
            booking::WatchEventsRequest { parent: name, ..Default::default() }.encode_to_vec()
        }
        "ListHolds" if name.starts_with("users/") => {
            booking::ListHoldsRequest { customer: name, ..Default::default() }.encode_to_vec()
        }
        "ListHolds" => {
            booking::ListHoldsRequest { provider: name, ..Default::default() }.encode_to_vec()
        }
        "HoldSlot" => booking::HoldSlotRequest {
            provider: name,
            start_time,
            end_time: Some(berlin("2026-11-23 15:30")),
            ..Default::default()
        }
        .encode_to_vec(),
        "ExtendHold" => booking::ExtendHoldRequest { name, ..Default::default() }.encode_to_vec(),
        "ReleaseHold" => booking::ReleaseHoldRequest { name, ..Default::default() }.encode_to_vec(),
        "ExplainSlot" => {
            let (provider, of) = name.split_once(' ')?;
            booking::ExplainSlotRequest {
                provider: provider.to_owned(),
                appointment_type: of.to_owned(),
                start_time,
                ..Default::default()
            }
            .encode_to_vec()
        }
        _ => return None,
    })
}

impl World {
    /// Holds an interval for a customer; its name.
    pub async fn hold_interval(
        &self,
        customer: &Person,
        provider: &Person,
        from: &str,
        until: &str,
    ) -> String {
        let request = booking::HoldSlotRequest {
            provider: provider.provider(),
            start_time: Some(berlin(from)),
            end_time: Some(berlin(until)),
            ..Default::default()
        };
        let held = self.booking().hold_slot(customer.asks(request)).await.unwrap();
        held.into_inner().hold.unwrap().name
    }
}

/// The request of a method for the resource with this name, in wire form. Offerings are named by their
/// provider and their type, with a blank between.
fn of_types(method: &str, name: &str) -> Option<Vec<u8>> {
    let name = name.to_owned();
    let (provider, appointment_type) = match name.split_once(' ') {
        Some((provider, of)) => (provider.to_owned(), of.to_owned()),
        None => (name.clone(), String::new()),
    };
    Some(match method {
        "GetAppointmentType" => {
            booking::GetAppointmentTypeRequest { name, ..Default::default() }.encode_to_vec()
        }
        "ArchiveAppointmentType" => {
            booking::ArchiveAppointmentTypeRequest { name, archived: true, ..Default::default() }
                .encode_to_vec()
        }
        "ListAppointmentTypes" => {
            booking::ListAppointmentTypesRequest { provider, ..Default::default() }.encode_to_vec()
        }
        "ListOfferings" => {
            booking::ListOfferingsRequest { provider, ..Default::default() }.encode_to_vec()
        }
        "OfferAppointmentType" => booking::OfferAppointmentTypeRequest {
            appointment_type,
            provider,
            ..Default::default()
        }
        .encode_to_vec(),
        "WithdrawAppointmentType" => booking::WithdrawAppointmentTypeRequest {
            appointment_type,
            provider,
            ..Default::default()
        }
        .encode_to_vec(),
        _ => return None,
    })
}

impl World {
    /// Makes a private type of this provider, and a public shared one; their names.
    pub async fn types_of(&self, admin: &Person, provider: &Person) -> (String, String) {
        let make = async |owner: String, visibility: booking::appointment_type::Visibility| {
            let wanted = booking::AppointmentType {
                owner,
                display_name: "Check-up".to_owned(),
                durations: vec![prost_types::Duration { seconds: 1800, nanos: 0 }],
                visibility: visibility.into(),
                ..Default::default()
            };
            let request = booking::CreateAppointmentTypeRequest {
                appointment_type: Some(wanted),
                ..Default::default()
            };
            let answer = self.catalogue().create_appointment_type(admin.asks(request)).await;
            answer.unwrap().into_inner().appointment_type.unwrap().name
        };
        let hidden =
            make(provider.provider(), booking::appointment_type::Visibility::PrivateLink).await;
        (hidden, make(String::new(), booking::appointment_type::Visibility::Public).await)
    }
}
