//! Practices of a test: hours and appointment types, by whatever channel.

use daybook::grpc::proto::{
    booking::{
        AppointmentType, CreateAppointmentTypeRequest, OfferAppointmentTypeRequest, Schedule,
        UpdateScheduleRequest, WeeklyWindow, catalogue_service_client::CatalogueServiceClient,
        schedule_service_client::ScheduleServiceClient,
    },
    google::r#type::{DayOfWeek, TimeOfDay},
};
use prost_types::Duration;
use tonic::transport::Channel;

use super::people::Person;

/// Opens a provider every day between two full hours, for intervals of at most so many hours.
pub async fn open_every_day(
    channel: &Channel,
    provider: &Person,
    (opens, closes): (i64, i64),
    longest: i64,
) {
    let time = |hours: i64| {
        Some(TimeOfDay { hours: i32::try_from(hours).unwrap(), ..TimeOfDay::default() })
    };
    let hours = |hours: i64| Some(Duration { seconds: hours * 3600, nanos: 0 });
    let days = (1..=7).map(|day| WeeklyWindow {
        day: DayOfWeek::try_from(day).unwrap().into(),
        start_time: time(opens),
        end_time: time(closes),
    });
    let schedule = Schedule {
        name: provider.schedule(),
        time_zone: "UTC".to_owned(),
        weekly_windows: days.collect(),
        slot_duration: hours(1),
        longest_booking: hours(longest),
        ..Schedule::default()
    };
    let request =
        UpdateScheduleRequest { schedule: Some(schedule), ..UpdateScheduleRequest::default() };
    let mut schedules = ScheduleServiceClient::new(channel.clone());
    schedules.update_schedule(provider.asks(request)).await.unwrap();
}

/// Adds a type that these providers offer; its name. Its owner's own, or shared where `by` is an admin.
pub async fn offered_by(
    channel: &Channel,
    by: &Person,
    kind: AppointmentType,
    providers: &[&Person],
) -> String {
    let mut catalogue = CatalogueServiceClient::new(channel.clone());
    let request =
        CreateAppointmentTypeRequest { appointment_type: Some(kind), ..Default::default() };
    let answer = catalogue.create_appointment_type(by.asks(request)).await.unwrap();
    let name = answer.into_inner().appointment_type.unwrap().name;
    for provider in providers {
        let request = OfferAppointmentTypeRequest {
            appointment_type: name.clone(),
            provider: provider.provider(),
            ..Default::default()
        };
        catalogue.offer_appointment_type(by.asks(request)).await.unwrap();
    }
    name
}
