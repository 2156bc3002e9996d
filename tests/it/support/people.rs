//! People of a test: accounts with a token.

use std::sync::atomic::{AtomicUsize, Ordering};

use daybook::grpc::proto::{
    auth::{LogInRequest, Role, SetUserRoleRequest, SignUpRequest, User},
    booking::{
        Appointment, BookAppointmentRequest, GetAvailabilityRequest, GetAvailabilityResponse,
    },
    google::r#type::Date,
};
use prost_types::Timestamp;
use secrecy::SecretString;
use tonic::{Request, Status};

use super::World;

pub const PASSWORD: &str = "correct horse battery";

static PEOPLE: AtomicUsize = AtomicUsize::new(0);

/// An account that is logged in.
#[derive(Debug, Clone)]
pub struct Person {
    pub user: User,
    pub token: String,
}

impl Person {
    /// A request of this person.
    pub fn asks<T>(&self, message: T) -> Request<T> {
        with_token(message, &self.token)
    }

    /// `providers/{provider}` of this person.
    pub fn provider(&self) -> String {
        self.user.name.replace("users/", "providers/")
    }

    /// `providers/{provider}/schedules/{id}` of this person.
    pub fn schedule_named(&self, id: &str) -> String {
        format!("{}/schedules/{id}", self.provider())
    }

    /// `providers/{provider}/schedule` of this person.
    pub fn schedule(&self) -> String {
        format!("{}/schedule", self.provider())
    }
}

pub fn with_token<T>(message: T, token: &str) -> Request<T> {
    let mut request = Request::new(message);
    request.metadata_mut().insert("authorization", format!("Bearer {token}").parse().unwrap());
    request
}

/// A sign-up that is valid, for a person who is new.
pub fn sign_up(role: Role) -> SignUpRequest {
    let number = PEOPLE.fetch_add(1, Ordering::SeqCst);
    SignUpRequest {
        display_name: format!("Person {number}"),
        email: format!("person{number}@example.org"),
        password: PASSWORD.to_owned(),
        role: role.into(),
        time_zone: "Europe/Berlin".to_owned(),
        ..SignUpRequest::default()
    }
}

/// A fresh UUID, for request ids.
pub fn uuid() -> String {
    let mut bytes = [0; 16];
    aws_lc_rs::rand::fill(&mut bytes).unwrap();
    uuid::Builder::from_random_bytes(bytes).into_uuid().to_string()
}

impl World {
    /// Signs somebody up and logs in.
    pub async fn person(&self, role: Role) -> Person {
        let request = sign_up(role);
        let email = request.email.clone();
        self.auth().sign_up(request).await.unwrap();
        self.log_in(&email).await
    }

    pub async fn customer(&self) -> Person {
        self.person(Role::Customer).await
    }

    /// Somebody open Monday to Friday from 09:00 to 17:00 in Berlin, in slots of 30 minutes.
    pub async fn provider(&self) -> Person {
        self.person(Role::Provider).await
    }

    pub async fn log_in(&self, email: &str) -> Person {
        let request = LogInRequest {
            email: email.to_owned(),
            password: PASSWORD.to_owned(),
            ..LogInRequest::default()
        };
        let answer = self.auth().log_in(request).await.unwrap().into_inner();
        Person { user: answer.user.unwrap(), token: answer.access_token }
    }

    /// An admin, made as at the command line.
    pub async fn admin(&self) -> Person {
        let number = PEOPLE.fetch_add(1, Ordering::SeqCst);
        let email = format!("admin{number}@example.org");
        let config = super::config(&self.url, self._folder.path(), &[]);
        let password = SecretString::from(PASSWORD);
        let name = "Admin".to_owned();
        daybook::app::commands::create_admin(&config, name, email.clone(), password).await.unwrap();
        self.log_in(&email).await
    }

    /// Gives somebody a role, and logs in again.
    pub async fn promote(&self, admin: &Person, person: &Person, role: Role) -> Person {
        let request = SetUserRoleRequest {
            name: person.user.name.clone(),
            role: role.into(),
            ..SetUserRoleRequest::default()
        };
        self.auth().set_user_role(admin.asks(request)).await.unwrap();
        self.log_in(&person.user.email).await
    }

    /// Books an interval.
    pub async fn book(
        &self,
        customer: &Person,
        provider: &Person,
        start: Timestamp,
        end: Timestamp,
    ) -> Result<Appointment, Status> {
        let request = booking(provider, start, end);
        let answer = self.booking().book_appointment(customer.asks(request)).await?;
        Ok(answer.into_inner().appointment.unwrap())
    }

    /// What is free on a day.
    pub async fn availability(
        &self,
        caller: &Person,
        provider: &Person,
        day: (i32, i32, i32),
    ) -> GetAvailabilityResponse {
        let request = GetAvailabilityRequest {
            provider: provider.provider(),
            start_date: Some(date(day)),
            ..GetAvailabilityRequest::default()
        };
        self.booking().get_availability(caller.asks(request)).await.unwrap().into_inner()
    }
}

/// A booking without a request id.
pub fn booking(provider: &Person, start: Timestamp, end: Timestamp) -> BookAppointmentRequest {
    BookAppointmentRequest {
        provider: provider.provider(),
        start_time: Some(start),
        end_time: Some(end),
        ..BookAppointmentRequest::default()
    }
}

pub fn date((year, month, day): (i32, i32, i32)) -> Date {
    Date { year, month, day }
}
