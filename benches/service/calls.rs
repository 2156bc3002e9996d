//! The calls that the load is made of.

use std::{
    future::Future,
    sync::Arc,
    time::{Duration, Instant},
};

use chrono::{Datelike as _, NaiveDate};
use daybook::grpc::proto::{
    auth::{LogInRequest, Role, SignUpRequest, auth_service_client::AuthServiceClient},
    booking::{
        BookAppointmentRequest, GetAppointmentRequest, GetAvailabilityRequest,
        booking_service_client::BookingServiceClient,
    },
    google::r#type::Date,
};
use prost_types::Timestamp;
use tonic::{
    Request, Status,
    metadata::{Ascii, MetadataValue},
    transport::Channel,
};
use tonic_health::pb::{HealthCheckRequest, health_client::HealthClient};

use crate::{
    Outcome,
    load::{Random, Tally, closed, paced},
    seed::{ASKED, Calendar, IN_WEEK, Kind, PASSWORD, PROVIDERS, SLOTS},
};

/// An interval of one provider that a caller asks for.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Wish {
    pub(crate) provider: u32,
    pub(crate) start: i64,
    pub(crate) minutes: i64,
}

/// Callers with connections and tokens.
#[derive(Debug)]
pub(crate) struct Callers {
    clients: Vec<BookingServiceClient<Channel>>,
    tokens: Arc<Vec<MetadataValue<Ascii>>>,
    calendar: Calendar,
    count: usize,
}

impl Callers {
    pub(crate) fn new(
        channels: Vec<Channel>,
        tokens: Arc<Vec<MetadataValue<Ascii>>>,
        calendar: Calendar,
        count: usize,
    ) -> Self {
        let clients = channels.into_iter().map(BookingServiceClient::new).collect();
        Self { clients, tokens, calendar, count }
    }

    fn client(&self, caller: usize) -> BookingServiceClient<Channel> {
        let chosen = caller % self.clients.len();
        self.clients[chosen].clone()
    }

    fn request<T>(&self, caller: usize, message: T) -> Request<T> {
        let mut request = Request::new(message);
        let token = self.tokens[caller % self.tokens.len()].clone();
        request.metadata_mut().insert("authorization", token);
        request
    }

    /// A booking.
    pub(crate) fn book(
        &self,
        caller: usize,
        wish: Wish,
        random: &mut Random,
    ) -> impl Future<Output = Result<(), Status>> + use<> {
        let request = self.booking_of(caller, wish, random);
        let mut client = self.client(caller);
        async move { client.book_appointment(request).await.map(drop) }
    }

    fn booking_of(
        &self,
        caller: usize,
        wish: Wish,
        random: &mut Random,
    ) -> Request<BookAppointmentRequest> {
        let at = |seconds| Some(Timestamp { seconds, nanos: 0 });
        self.request(
            caller,
            BookAppointmentRequest {
                provider: format!("providers/{}", Kind::Provider.id(wish.provider)),
                start_time: at(wish.start),
                end_time: at(wish.start + wish.minutes * 60),
                request_id: random.uuid().to_string(),
                ..BookAppointmentRequest::default()
            },
        )
    }

    /// A booking of any half-hour of any provider who is open round the clock.
    pub(crate) fn book_any(
        &self,
        caller: usize,
        random: &mut Random,
    ) -> impl Future<Output = Result<(), Status>> + use<> {
        let wish = self.any_wish(random);
        self.book(caller, wish, random)
    }

    /// The same with this deadline.
    pub(crate) fn book_within(
        &self,
        caller: usize,
        deadline: Duration,
        random: &mut Random,
    ) -> impl Future<Output = Result<(), Status>> + use<> {
        let wish = self.any_wish(random);
        let mut request = self.booking_of(caller, wish, random);
        request.set_timeout(deadline);
        let mut client = self.client(caller);
        async move { client.book_appointment(request).await.map(drop) }
    }

    fn any_wish(&self, random: &mut Random) -> Wish {
        let provider = ASKED + random.below(PROVIDERS - ASKED);
        let start = self.calendar.first_slot() + i64::from(random.below(SLOTS)) * 1800;
        Wish { provider, start, minutes: 30 }
    }

    /// One booking with each provider.
    pub(crate) async fn book_with_everybody(&self) -> Outcome {
        let lanes = (0..self.count).map(|caller| async move {
            let mut random = Random::new(caller as u64);
            for provider in (ASKED..PROVIDERS).skip(caller).step_by(self.count) {
                let start = self.calendar.first_slot() + i64::from(random.below(SLOTS)) * 1800;
                let wish = Wish { provider, start, minutes: 30 };
                let _ = self.book(caller, wish, &mut random).await;
            }
        });
        futures_util::future::join_all(lanes).await;
        Ok(())
    }

    /// The free time of one provider in the week.
    pub(crate) fn ask(
        &self,
        caller: usize,
        random: &mut Random,
    ) -> impl Future<Output = Result<(), Status>> + use<> {
        let request = self.request(
            caller,
            GetAvailabilityRequest {
                provider: format!("providers/{}", Kind::Provider.id(random.below(ASKED))),
                start_date: Some(date(self.calendar.monday)),
                end_date: Some(date(self.calendar.sunday())),
                ..GetAvailabilityRequest::default()
            },
        );
        let mut client = self.client(caller);
        async move { client.get_availability(request).await.map(drop) }
    }

    /// One of the caller's own appointments in the week.
    pub(crate) fn get(
        &self,
        caller: usize,
        random: &mut Random,
    ) -> impl Future<Output = Result<(), Status>> + use<> {
        let asked = ASKED as usize;
        let caller = caller % asked;
        // The customer and the provider of these have the same number.
        let number = u32::try_from(caller).unwrap_or_default();
        let name = format!(
            "providers/{}/appointments/{}",
            Kind::Provider.id(number),
            Kind::Appointment.id(number * IN_WEEK + random.below(IN_WEEK)),
        );
        let request = self.request(caller, GetAppointmentRequest { name });
        let mut client = self.client(caller);
        async move { client.get_appointment(request).await.map(drop) }
    }

    /// Bookings as fast as they go.
    pub(crate) async fn booking(&self, time: Duration) -> Outcome<Tally> {
        let tally = closed(self.count, time, |caller, random| self.book_any(caller, random)).await;
        tally.only(&["OK", "SLOT_TAKEN", "CUSTOMER_BUSY"])
    }

    /// Questions for availability as fast as they go.
    pub(crate) async fn asking(&self, time: Duration) -> Outcome<Tally> {
        let tally = closed(self.count, time, |caller, random| self.ask(caller, random)).await;
        tally.only(&["OK"])
    }

    /// Reads of one appointment as fast as they go.
    pub(crate) async fn getting(&self, time: Duration) -> Outcome<Tally> {
        let tally = closed(self.count, time, |caller, random| self.get(caller, random)).await;
        tally.only(&["OK"])
    }

    /// All callers at once, each with the wish that it is given.
    pub(crate) async fn crowd(&self, wish: impl Fn(usize) -> Wish) -> Tally {
        let began = Instant::now();
        let parts = (0..self.count).map(|caller| {
            let call = self.book(caller, wish(caller), &mut Random::new(caller as u64));
            async move {
                let mut tally = Tally::default();
                tally.note(began, call.await);
                tally
            }
        });
        let parts = futures_util::future::join_all(parts).await;
        Tally::sum(parts, began.elapsed())
    }
}

/// Calls of the server that does nothing, as fast as they go.
pub(crate) async fn echoing(
    channels: &[Channel],
    callers: usize,
    time: Duration,
) -> Outcome<Tally> {
    let clients: Vec<_> = channels.iter().cloned().map(HealthClient::new).collect();
    let tally = closed(callers, time, |caller, _| {
        let mut client = clients[caller % clients.len()].clone();
        async move { client.check(HealthCheckRequest::default()).await.map(drop) }
    })
    .await;
    tally.only(&["OK"])
}

/// Makes one account by the service.
pub(crate) async fn sign_up(channel: Channel) -> Outcome {
    let request = SignUpRequest {
        display_name: "First".to_owned(),
        email: "first@example.com".to_owned(),
        password: PASSWORD.to_owned(),
        role: Role::Customer.into(),
        time_zone: "UTC".to_owned(),
        request_id: String::new(),
        log_in: false,
    };
    AuthServiceClient::new(channel).sign_up(request).await?;
    Ok(())
}

/// What a customer logs in with.
pub(crate) fn credentials(number: u32) -> LogInRequest {
    LogInRequest {
        email: format!("customer-{number}@example.com"),
        password: PASSWORD.to_owned(),
        ..LogInRequest::default()
    }
}

/// Log-ins as fast as they go.
pub(crate) async fn logging_in(channels: &[Channel], callers: usize, time: Duration) -> Tally {
    let clients: Vec<_> = channels.iter().cloned().map(AuthServiceClient::new).collect();
    closed(callers, time, |caller, random| {
        let mut client = clients[caller % clients.len()].clone();
        let request = credentials(random.below(crate::seed::CUSTOMERS));
        async move { client.log_in(request).await.map(drop) }
    })
    .await
}

/// So many log-ins at once, each second again.
pub(crate) async fn storming(channels: &[Channel], callers: u32, time: Duration) -> Tally {
    let clients: Vec<_> = channels.iter().cloned().map(AuthServiceClient::new).collect();
    paced(callers, callers, time, |caller, random| {
        let mut client = clients[caller % clients.len()].clone();
        let request = credentials(random.below(crate::seed::CUSTOMERS));
        async move { client.log_in(request).await.map(drop) }
    })
    .await
}

fn date(day: NaiveDate) -> Date {
    let part = |value: u32| i32::try_from(value).unwrap_or_default();
    Date { year: day.year(), month: part(day.month()), day: part(day.day()) }
}
