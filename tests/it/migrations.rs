//! A database that is filled, set back to an older schema and brought up again: what is in it stays.

use daybook::grpc::proto::{
    auth::{
        Customer, EnrolCustomerRequest, GetMeRequest, auth_service_client::AuthServiceClient,
        customer_service_client::CustomerServiceClient,
    },
    booking::{
        Appointment, AppointmentType, GetScheduleRequest, ListAppointmentEventsRequest,
        ListAppointmentsRequest, ListSlotsRequest, Schedule,
        availability_service_client::AvailabilityServiceClient,
        schedule_service_client::ScheduleServiceClient,
    },
};
use migration::{Migrator, MigratorTrait as _};
use rustix::process::Signal;
use sea_orm::{ConnectionTrait as _, Statement};

use crate::support::{
    Engine, World, books,
    people::Person,
    practice::offered_by,
    process::{Process, day, minutes, within},
    types::kind,
};

/// How many migrations are taken back: those that came after the schema of accounts, mail and audit was done.
const BACK: &str = "7";

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

/// The words that the migration writes for accounts that are there are those that the server writes.
async fn who_was_there_before_is_found(engine: Engine) {
    let world = World::new(engine).await;
    let admin = world.admin().await;
    for (number, name) in [
        "\u{d6}zlem Stra\u{df}er-Kaya",
        "\u{130}brahim O\u{2019}Brien",
        "\u{738b}\u{5c0f}\u{660e}",
        "\u{ae40}\u{bbfc}\u{c900} (Jr.)",
        "Dr.  \u{141}ukasz \u{de}\u{f3}r \u{c6}sir",
        &"a b ".repeat(24),
    ]
    .into_iter()
    .enumerate()
    {
        let customer = Customer {
            display_name: name.to_owned(),
            email: format!("kunde{number}@example.org"),
            ..Default::default()
        };
        let request = EnrolCustomerRequest { customer: Some(customer), ..Default::default() };
        let mut desk = CustomerServiceClient::new(world.channel.clone());
        desk.enrol_customer(admin.asks(request)).await.unwrap();
    }
    let db = world.sql().await;
    let words = async || {
        let sql = "SELECT word FROM user_words ORDER BY word, user_id";
        let statement = Statement::from_string(db.get_database_backend(), sql);
        let rows = db.query_all_raw(statement).await.unwrap();
        rows.iter().map(|row| row.try_get_by_index(0).unwrap()).collect::<Vec<String>>()
    };
    let before = words().await;
    assert!(before.len() > 40, "{before:?}");
    let all = Migrator::migrations();
    let back = all.iter().rev().position(|each| each.name().starts_with("m0025")).unwrap() + 1;
    Migrator::down(&db, Some(back.try_into().unwrap())).await.unwrap();
    Migrator::up(&db, None).await.unwrap();
    assert_eq!(words().await, before);
}

#[tokio::test(flavor = "multi_thread")]
async fn who_was_there_before_is_found_on_sqlite() {
    who_was_there_before_is_found(Engine::Sqlite).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_was_there_before_is_found_on_postgres() {
    who_was_there_before_is_found(Engine::Postgres).await;
}
