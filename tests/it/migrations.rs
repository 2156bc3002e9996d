//! A database that is filled, set back to an older schema and brought up again: what is in it stays.

use daybook::grpc::proto::{
    auth::{GetMeRequest, auth_service_client::AuthServiceClient},
    booking::{
        Appointment, AppointmentType, GetScheduleRequest, ListAppointmentEventsRequest,
        ListAppointmentsRequest, ListSlotsRequest, Schedule,
        availability_service_client::AvailabilityServiceClient,
        schedule_service_client::ScheduleServiceClient,
    },
};
use rustix::process::Signal;

use crate::support::{
    Engine, books,
    people::Person,
    practice::offered_by,
    process::{Process, day, minutes, within},
    types::kind,
};

/// How many migrations are taken back: those that came after the schema of accounts, mail and audit was done.
const BACK: &str = "5";

/// What a customer sees: appointments, each with its number of events, a schedule, and slots.
async fn seen(
    process: &Process,
    (provider, customer): (&Person, &Person),
    offered: &str,
) -> (Vec<Appointment>, Vec<usize>, Schedule, usize) {
    let mut booking = process.booking();
    let list = booking.list_appointments(customer.asks(ListAppointmentsRequest::default())).await;
    let mut appointments = list.unwrap().into_inner().appointments;
    let mut events = Vec::new();
    for each in &mut appointments {
        let parent = each.name.clone();
        let request = ListAppointmentEventsRequest { parent, ..Default::default() };
        let list = booking.list_appointment_events(customer.asks(request)).await.unwrap();
        events.push(list.into_inner().events.len());
        // The random part of it was not stored before.
        each.etag.clear();
    }
    let mut schedules = ScheduleServiceClient::new(process.channel.clone());
    let request = GetScheduleRequest { name: provider.schedule() };
    let schedule = schedules.get_schedule(customer.asks(request)).await.unwrap().into_inner();
    let mut schedule = schedule.schedule.unwrap();
    schedule.etag.clear();
    let mut slots = AvailabilityServiceClient::new(process.channel.clone());
    let request = ListSlotsRequest {
        appointment_type: offered.to_owned(),
        start_time: Some(at(0)),
        end_time: Some(at(1440)),
        ..Default::default()
    };
    let found = slots.list_slots(customer.asks(request)).await.unwrap().into_inner();
    (appointments, events, schedule, found.slots.len())
}

fn at(minutes: i64) -> prost_types::Timestamp {
    prost_types::Timestamp { seconds: day().timestamp() + minutes * 60, nanos: 0 }
}

async fn what_was_stored_before_is_there_after(engine: Engine) {
    let mut process = Process::start(engine, &[]).await;
    let (provider, customers) = (process.provider().await, process.customers(2).await);
    let of = AppointmentType { owner: provider.provider(), ..kind(&[30]) };
    let offered = offered_by(&process.channel, &provider, of, &[]).await;
    let book = async |process: &Process, number: i64| {
        let request = minutes(&provider, day(), (number * 60, number * 60 + 30));
        process.booking().book_appointment(customers[0].asks(request)).await
    };
    for number in 0..8 {
        book(&process, number).await.unwrap();
    }
    let before = seen(&process, (&provider, &customers[0]), &offered).await;
    assert_eq!(before.0.len(), 8);
    process.signal(Signal::TERM);
    within(25, "the end", process.ended()).await;
    for args in [&["migrate", "down", "--yes", "--steps", BACK][..], &["migrate", "up"]] {
        let done = process.run(args).await;
        assert!(done.status.success(), "{args:?}: {}", String::from_utf8_lossy(&done.stderr));
    }
    process.restart().await;
    assert_eq!(seen(&process, (&provider, &customers[0]), &offered).await, before);
    // Tokens are good, taken time is taken, and free time is not.
    let mut auth = AuthServiceClient::new(process.channel.clone());
    auth.get_me(customers[1].asks(GetMeRequest {})).await.unwrap();
    let taken = book(&process, 3).await.unwrap_err();
    crate::support::refusal::refused(Err::<(), _>(taken), "SLOT_TAKEN");
    book(&process, 9).await.unwrap();
    books::check(&process.sql().await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_stored_before_is_there_after_on_sqlite() {
    what_was_stored_before_is_there_after(Engine::Sqlite).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_stored_before_is_there_after_on_postgres() {
    what_was_stored_before_is_there_after(Engine::Postgres).await;
}
