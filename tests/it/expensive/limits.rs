//! A practice in which everything is as much as it may be, and the request of each method that asks for all of it.

use chrono::{Datelike as _, Days};
use daybook::grpc::proto::{
    auth::{
        self, ListApiKeysRequest, ListAuditEventsRequest, ListServiceAccountsRequest,
        ListUsersRequest, LogInRequest, Role, auth_service_client::AuthServiceClient,
    },
    booking::{
        self, Answer, AppointmentType, BookAppointmentRequest, CreateAppointmentTypeRequest,
        CreateScheduleRequest, DateOverride, ExplainSlotRequest, FindFirstSlotRequest,
        GetAvailabilityRequest, HoldSlotRequest, IntakeQuestion, ListAppointmentEventsRequest,
        ListAppointmentTypesRequest, ListAppointmentsRequest, ListClosuresRequest,
        ListOfferingsRequest, ListProvidersRequest, ListSchedulesRequest, ListSlotsRequest,
        ListTimeOffRequest, Schedule, UpdateScheduleRequest, answer::Value, intake_question::Kind,
    },
    google::r#type::{Date, TimeOfDay},
};
use prost::Message as _;
use prost_types::{FieldMask, Timestamp};
use sea_orm::ConnectionTrait as _;
use tonic::transport::Channel;

use super::resources::{api_key, note_of, service_account};
use crate::support::{
    Engine,
    people::{PASSWORD, Person},
    practice::offered_by,
    process::{Process, day},
    types::{kind, minutes},
};

/// Who there is.
pub struct Practice {
    pub admin: Person,
    /// They all offer the type.
    pub providers: Vec<Person>,
    /// They do not, and are booked.
    pub booked: Vec<Person>,
    /// The first of them book; each has large appointments.
    pub customers: Vec<Person>,
    /// The type that everybody offers, at any five minutes.
    pub offered: String,
    /// A type with as many questions as a message has room for.
    pub asking: String,
    /// An appointment of the last customer: long answers, and a long history.
    pub appointment: String,
    /// A service account with many keys.
    pub service_account: String,
    /// The bookers have the first two.
    pub channels: Vec<Channel>,
}

/// How many of the providers call.
const CALLING: usize = 6;
/// How many appointments with long answers the last customer has in CI and in full.
const LARGE: (usize, usize) = (20, 150);

impl Practice {
    /// With so many providers, open round the clock.
    pub async fn open(process: &Process, count: usize) -> Self {
        let mut customers = process.customers(10).await;
        let admin = customers.pop().unwrap();
        let (mut providers, mut booked) = (Vec::new(), Vec::new());
        for number in 0..count + super::BOOKERS {
            let provider = process.provider().await;
            if number < count { providers.push(provider) } else { booked.push(provider) }
        }
        let email = admin.user.email.clone();
        let sql = process.sql().await;
        sql.execute_unprepared(&format!("UPDATE users SET role = 'admin' WHERE email = '{email}'"))
            .await
            .unwrap();
        let admin = log_in(process, &email).await;
        let of = AppointmentType { slot_step: minutes(5), ..kind(&[5]) };
        let all: Vec<&Person> = providers.iter().collect();
        let offered = offered_by(&process.channel, &admin, of, &all).await;
        let questions = (0..20).map(|number| question(number, String::new()));
        let of = AppointmentType { questions: questions.collect(), ..kind(&[5]) };
        let asking = offered_by(&process.channel, &admin, of, &[&booked[0]]).await;
        let mut channels = Vec::new();
        for _ in 0..6 {
            channels.push(process.connect().await);
        }
        let (appointment, service_account) = (String::new(), String::new());
        Self {
            admin,
            providers,
            booked,
            customers,
            offered,
            asking,
            appointment,
            service_account,
            channels,
        }
    }

    /// Logs everybody in again who calls: a token lasts five minutes, and the large table takes longer.
    pub async fn renew(&mut self, process: &Process) {
        self.admin = log_in(process, &self.admin.user.email).await;
        let providers =
            self.providers.iter_mut().take(CALLING).chain(self.booked.iter_mut().take(1));
        for person in self.customers.iter_mut().chain(providers) {
            *person = log_in(process, &person.user.email).await;
        }
    }

    /// Fills it: long appointments, types with many questions, and a schedule with a thousand dates.
    pub async fn fill(&mut self, process: &Process) {
        let customer = self.customers.last().unwrap().clone();
        let answers: Vec<Answer> = (0..20)
            .map(|number| Answer {
                question: format!("q{number}"),
                value: Some(Value::TextValue("é".repeat(1500))),
                ..Default::default()
            })
            .collect();
        let far = day().timestamp() + 300 * 86_400;
        for number in 0..crate::support::rounds(LARGE.0, LARGE.1) {
            let at = far + i64::try_from(number).unwrap() * 300;
            let request = BookAppointmentRequest {
                provider: self.booked[0].provider(),
                appointment_type: self.asking.clone(),
                start_time: Some(Timestamp { seconds: at, nanos: 0 }),
                answers: answers.clone(),
                ..Default::default()
            };
            let mut bookings = super::bookings(&process.channel);
            let answer = bookings.book_appointment(customer.asks(request)).await;
            self.appointment = answer.unwrap().into_inner().appointment.unwrap().name;
        }
        for number in 0..crate::support::rounds(5, 600) {
            let request = note_of(&self.appointment, number);
            let mut bookings = super::bookings(&process.channel);
            bookings.update_appointment(self.booked[0].asks(request)).await.unwrap();
        }
        self.service_account = service_account(process, &self.admin).await;
        for _ in 0..crate::support::rounds(8, 60) {
            offered_by(&process.channel, &self.admin, many_questions(), &[]).await;
        }
        let mut schedules =
            booking::schedule_service_client::ScheduleServiceClient::new(process.channel.clone());
        let request = UpdateScheduleRequest {
            schedule: Some(Schedule { date_overrides: dates(), ..of_provider(&self.providers[0]) }),
            update_mask: Some(FieldMask { paths: vec!["date_overrides".to_owned()] }),
            ..Default::default()
        };
        schedules.update_schedule(self.providers[0].asks(request)).await.unwrap();
        if crate::support::rounds(0, 1) == 1 {
            self.claim_much(process).await;
        }
    }

    /// Twenty claims a day of each provider for two months, past the server; a day in each transaction, so that
    /// the server is not kept from writing.
    async fn claim_much(&self, process: &Process) {
        let columns =
            "provider_id, appointment_id, customer_id, customer_display_name, starts_at, ends_at,
            state, note, time_zone, local_start, cancel_reason, version, created_at, updated_at,
            claim_starts_at, claim_ends_at";
        let sql = process.sql().await;
        for number in 0..62 {
            let first = day().timestamp() + number * 86_400;
            let statement = match process.engine {
                Engine::Postgres => format!(
                    "INSERT INTO appointments ({columns}) SELECT p.provider_id, gen_random_uuid(), p.provider_id,
                        'x', s, s + interval '10 minutes', 'booked', '', 'UTC', '2026-01-01T00:00:00', '', 1,
                        now(), now(), s, s + interval '10 minutes'
                     FROM (SELECT DISTINCT provider_id FROM offerings) p, generate_series(0, 19) k,
                        LATERAL (SELECT to_timestamp({first} + k * 4320) s) at"
                ),
                Engine::Sqlite => {
                    let at = |more: i64| {
                        format!(
                            "strftime('%Y-%m-%dT%H:%M:%S+00:00', {first} + k * 4320 + {more}, 'unixepoch')"
                        )
                    };
                    let (start, end) = (at(0), at(600));
                    format!(
                        "WITH RECURSIVE n(k) AS (SELECT 0 UNION ALL SELECT k + 1 FROM n WHERE k < 19)
                         INSERT INTO appointments ({columns}) SELECT p.provider_id, randomblob(16),
                            p.provider_id, 'x', {start}, {end}, 'booked', '', 'UTC', '2026-01-01T00:00:00',
                            '', 1, {start}, {start}, {start}, {end}
                         FROM (SELECT DISTINCT provider_id FROM offerings) p, n"
                    )
                }
            };
            sql.execute_unprepared(&statement).await.unwrap();
        }
    }
}

async fn log_in(process: &Process, email: &str) -> Person {
    let (email, password) = (email.to_owned(), PASSWORD.to_owned());
    let request = LogInRequest { email, password, ..LogInRequest::default() };
    let answer = AuthServiceClient::new(process.channel.clone()).log_in(request).await;
    let answer = answer.unwrap().into_inner();
    Person { user: answer.user.unwrap(), token: answer.access_token }
}

fn question(number: usize, text: String) -> IntakeQuestion {
    IntakeQuestion {
        id: format!("q{number}"),
        text: format!("What about it? {text}"),
        kind: Kind::Text.into(),
        ..Default::default()
    }
}

/// About as long as a message may be.
fn many_questions() -> AppointmentType {
    let questions = (0..50).map(|number| question(number, "é".repeat(480)));
    let description = "é".repeat(1900);
    AppointmentType { questions: questions.collect(), description, ..kind(&[5]) }
}

fn of_provider(provider: &Person) -> Schedule {
    Schedule { name: provider.schedule(), ..Default::default() }
}

/// A thousand dates with two windows each.
fn dates() -> Vec<DateOverride> {
    let time = |hours| Some(TimeOfDay { hours, ..Default::default() });
    let window = |from, to| booking::TimeWindow { start_time: time(from), end_time: time(to) };
    let each = |date: chrono::NaiveDate| DateOverride {
        date: Some(Date {
            year: date.year(),
            month: date.month().try_into().unwrap(),
            day: date.day().try_into().unwrap(),
        }),
        windows: vec![window(8, 12), window(13, 17)],
    };
    (0..1000).map(|days| each(day().date_naive() + Days::new(days))).collect()
}

/// All that a question for slots can ask for.
pub fn list_slots(appointment_type: &str) -> Vec<u8> {
    let appointment_type = appointment_type.to_owned();
    ListSlotsRequest { appointment_type, page_size: 5000, ..Default::default() }.encode_to_vec()
}

/// Who calls, and with what.
pub fn request<'a>(
    practice: &'a Practice,
    path: &str,
    number: usize,
) -> (Option<&'a Person>, Vec<u8>) {
    const ALL: i32 = 500;
    let method = path.rsplit('/').next().unwrap();
    let (admin, customer) = (Some(&practice.admin), practice.customers.last());
    let provider = &practice.providers[number % CALLING];
    let appointment_type = practice.offered.clone();
    let name = practice.providers[0].provider();
    let at = |minutes: i64| Some(Timestamp { seconds: day().timestamp() + minutes * 60, nanos: 0 });
    let place = 5 * i64::try_from(number % 10_000).unwrap();
    match method {
        "ListSlots" => (customer, list_slots(&appointment_type)),
        "FindFirstSlot" => {
            let start_time = at(place);
            let request =
                FindFirstSlotRequest { appointment_type, start_time, ..Default::default() };
            (customer, request.encode_to_vec())
        }
        "ExplainSlot" => {
            let (provider, start_time) = (provider.provider(), at(place));
            let request =
                ExplainSlotRequest { appointment_type, provider, start_time, ..Default::default() };
            (customer, request.encode_to_vec())
        }
        "GetAvailability" => {
            let date = |days: u64| {
                let date = day().date_naive() + Days::new(days);
                let part = |number: u32| i32::try_from(number).unwrap();
                Some(Date { year: date.year(), month: part(date.month()), day: part(date.day()) })
            };
            let request = GetAvailabilityRequest {
                provider: provider.provider(),
                start_date: date(0),
                end_date: date(61),
                ..Default::default()
            };
            (customer, request.encode_to_vec())
        }
        "GetCalendar" => {
            let (provider, start_time) = (practice.booked[0].provider(), at(299 * 1440));
            let end_time = at((299 + 62) * 1440);
            let request = booking::GetCalendarRequest { provider, start_time, end_time };
            (practice.booked.first(), request.encode_to_vec())
        }
        "ListAppointments" => {
            let request = ListAppointmentsRequest { page_size: ALL, ..Default::default() };
            (customer, request.encode_to_vec())
        }
        "ListAppointmentEvents" => {
            let parent = practice.appointment.clone();
            let request =
                ListAppointmentEventsRequest { parent, page_size: ALL, ..Default::default() };
            (customer, request.encode_to_vec())
        }
        "ListEvents" => {
            let request = booking::ListEventsRequest { page_size: ALL, ..Default::default() };
            (Some(&practice.admin), request.encode_to_vec())
        }
        "GetAppointment" => {
            let name = practice.appointment.clone();
            (customer, booking::GetAppointmentRequest { name }.encode_to_vec())
        }
        "UpdateAppointment" => {
            (practice.booked.first(), note_of(&practice.appointment, number).encode_to_vec())
        }
        "RescheduleAppointment" => {
            let request = booking::RescheduleAppointmentRequest {
                name: practice.appointment.clone(),
                start_time: at(310 * 1440 + place),
                ..Default::default()
            };
            (customer, request.encode_to_vec())
        }
        "ListAppointmentTypes" => {
            let request = ListAppointmentTypesRequest { page_size: ALL, ..Default::default() };
            (customer, request.encode_to_vec())
        }
        "GetAppointmentType" => {
            let name = practice.asking.clone();
            let request = booking::GetAppointmentTypeRequest { name, ..Default::default() };
            (customer, request.encode_to_vec())
        }
        "ListOfferings" => {
            let request = ListOfferingsRequest { page_size: ALL, ..Default::default() };
            (admin, request.encode_to_vec())
        }
        "ListProviders" => {
            let request = ListProvidersRequest { page_size: ALL, ..Default::default() };
            (customer, request.encode_to_vec())
        }
        "GetProvider" => (customer, booking::GetProviderRequest { name }.encode_to_vec()),
        "GetSchedule" => {
            let name = practice.providers[0].schedule();
            (customer, booking::GetScheduleRequest { name }.encode_to_vec())
        }
        "ListSchedules" => (customer, ListSchedulesRequest { parent: name }.encode_to_vec()),
        "UpdateSchedule" => {
            let schedule = Schedule { date_overrides: dates(), ..of_provider(provider) };
            let request = UpdateScheduleRequest {
                schedule: Some(schedule),
                update_mask: Some(FieldMask { paths: vec!["date_overrides".to_owned()] }),
                ..Default::default()
            };
            (Some(provider), request.encode_to_vec())
        }
        "CreateSchedule" => {
            let time_zone = "UTC".to_owned();
            let schedule = Schedule { date_overrides: dates(), time_zone, ..Default::default() };
            let request = CreateScheduleRequest {
                parent: provider.provider(),
                schedule_id: format!("s{number}"),
                schedule: Some(schedule),
                ..Default::default()
            };
            (Some(provider), request.encode_to_vec())
        }
        "CreateTimeOff" => {
            let start = 525_600 + 60 * i64::try_from(number).unwrap();
            let time_off = booking::TimeOff {
                start_time: at(start),
                end_time: at(start + 30),
                reason: "é".repeat(500),
                ..Default::default()
            };
            let request = booking::CreateTimeOffRequest {
                parent: practice.providers[0].provider(),
                time_off: Some(time_off),
                ..Default::default()
            };
            (Some(&practice.providers[0]), request.encode_to_vec())
        }
        "CreateClosure" => {
            // Years ahead, so that nothing else is hidden by it.
            let start = 4 * 525_600 + 60 * i64::try_from(number).unwrap();
            let closure = booking::Closure {
                start_time: at(start),
                end_time: at(start + 30),
                reason: "é".repeat(500),
                ..Default::default()
            };
            let closure = Some(closure);
            let request = booking::CreateClosureRequest { closure, ..Default::default() };
            (admin, request.encode_to_vec())
        }
        "ListTimeOff" => {
            let request = ListTimeOffRequest { parent: name, page_size: ALL, ..Default::default() };
            (practice.providers.first(), request.encode_to_vec())
        }
        "ListClosures" => {
            let request = ListClosuresRequest { page_size: ALL, ..Default::default() };
            (customer, request.encode_to_vec())
        }
        "ListUsers" => {
            let request = ListUsersRequest { page_size: ALL, ..Default::default() };
            (admin, request.encode_to_vec())
        }
        "SearchCustomers" => {
            let prefix = "person".to_owned();
            let request =
                auth::SearchCustomersRequest { prefix, page_size: ALL, ..Default::default() };
            // Those whom a provider knows are more work than all.
            (if number.is_multiple_of(2) { admin } else { Some(provider) }, request.encode_to_vec())
        }
        "ListAuditEvents" => {
            let request = ListAuditEventsRequest { page_size: ALL, ..Default::default() };
            (admin, request.encode_to_vec())
        }
        "ListServiceAccounts" => {
            let request = ListServiceAccountsRequest { page_size: ALL, ..Default::default() };
            (admin, request.encode_to_vec())
        }
        "ListApiKeys" => {
            let parent = practice.service_account.clone();
            let request = ListApiKeysRequest { parent, page_size: ALL, ..Default::default() };
            (admin, request.encode_to_vec())
        }
        "CreateApiKey" => (admin, api_key(&practice.service_account).encode_to_vec()),
        "UpdateAppointmentType" => {
            let (name, number) = (practice.asking.clone(), number % 10);
            let text = format!("{number}{}", "é".repeat(479));
            let questions = (0..50).map(|each| question(each, text.clone())).collect();
            let request = booking::UpdateAppointmentTypeRequest {
                appointment_type: Some(AppointmentType { name, questions, ..Default::default() }),
                update_mask: Some(FieldMask { paths: vec!["questions".to_owned()] }),
                ..Default::default()
            };
            (admin, request.encode_to_vec())
        }
        "ListSessions" => {
            let parent = practice.customers.last().unwrap().user.name.clone();
            (customer, auth::ListSessionsRequest { parent }.encode_to_vec())
        }
        "CreateAppointmentType" => {
            let request = CreateAppointmentTypeRequest {
                appointment_type: Some(many_questions()),
                ..Default::default()
            };
            (admin, request.encode_to_vec())
        }
        "BookAppointment" => {
            let request = BookAppointmentRequest {
                appointment_type,
                start_time: at(200_000 + place),
                ..Default::default()
            };
            (customer, request.encode_to_vec())
        }
        "HoldSlot" => {
            let start_time = at(260_000 + place);
            let request = HoldSlotRequest { appointment_type, start_time, ..Default::default() };
            (customer, request.encode_to_vec())
        }
        "ExportMyData" => {
            let request = auth::ExportMyDataRequest {
                current_password: PASSWORD.to_owned(),
                page_size: ALL,
                ..Default::default()
            };
            (customer, request.encode_to_vec())
        }
        "SignUp" => (None, crate::support::people::sign_up(Role::Customer).encode_to_vec()),
        "LogIn" => {
            let email = practice.customers.last().unwrap().user.email.clone();
            let password = PASSWORD.to_owned();
            (None, LogInRequest { email, password, ..LogInRequest::default() }.encode_to_vec())
        }
        // The one that ends what it is called with has somebody whom nobody else needs.
        "LogOut" => (practice.customers.first().filter(|_| false), Vec::new()),
        small => {
            assert!(super::SMALL.contains(&small), "no limits for {path}");
            (admin, Vec::new())
        }
    }
}
