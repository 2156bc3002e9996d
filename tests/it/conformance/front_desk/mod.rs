//! The front desk: staff find customers, enrol those who call, and correct what is known of them; the customers
//! take their accounts over.

mod booking;
mod correct;
mod enrol;
mod known;
mod merge;
mod merge_races;
mod phone;
mod search;
mod sign_up;
mod take_over;
pub(super) mod writes;

use daybook::grpc::proto::auth::{
    Customer, EnrolCustomerRequest, GetCustomerRequest, InviteCustomerRequest, LogInRequest,
    LogInResponse, ResetPasswordRequest, SearchCustomersRequest,
    customer_service_client::CustomerServiceClient,
};
use tonic::{Request, Response, Status, transport::Channel};

use crate::support::{
    World,
    people::{Person, uuid},
};

/// A password that is hard to guess.
const NEW_PASSWORD: &str = "a brand new staple";
/// How the subject of an invitation begins.
const INVITATION: &str = "Your account at Daybook";
/// A number in Berlin.
const PHONE: &str = "+493012345678";

fn desk(world: &World) -> CustomerServiceClient<Channel> {
    CustomerServiceClient::new(world.channel.clone())
}

/// Somebody who calls, with a name, an address and a phone number; either of these may be empty.
fn caller(name: &str, email: &str, phone: &str) -> Customer {
    Customer {
        display_name: name.to_owned(),
        email: email.to_owned(),
        phone: phone.to_owned(),
        time_zone: "Europe/Berlin".to_owned(),
        ..Default::default()
    }
}

fn enrolment(customer: Customer) -> EnrolCustomerRequest {
    EnrolCustomerRequest { customer: Some(customer), invite: false, request_id: uuid() }
}

async fn enrol(world: &World, by: &Person, customer: Customer) -> Result<Customer, Status> {
    let answer = desk(world).enrol_customer(by.asks(enrolment(customer))).await?;
    Ok(answer.into_inner().customer.unwrap())
}

fn searching(prefix: &str, page_size: i32, page_token: String) -> SearchCustomersRequest {
    SearchCustomersRequest { prefix: prefix.to_owned(), page_size, page_token }
}

/// The names of those who are found, in their order, in pages of this size.
async fn found(world: &World, by: &Person, prefix: &str, page_size: i32) -> Vec<String> {
    let (mut names, mut token) = (Vec::new(), String::new());
    loop {
        let request = searching(prefix, page_size, token);
        let page = desk(world).search_customers(by.asks(request)).await.unwrap().into_inner();
        assert!(page_size == 0 || page.customers.len() <= usize::try_from(page_size).unwrap());
        names.extend(page.customers.into_iter().map(|customer| customer.name));
        if page.next_page_token.is_empty() {
            return names;
        }
        token = page.next_page_token;
    }
}

async fn get(world: &World, by: &Person, name: &str) -> Result<Customer, Status> {
    let request = GetCustomerRequest { name: name.to_owned() };
    Ok(desk(world).get_customer(by.asks(request)).await?.into_inner().customer.unwrap())
}

async fn invite(world: &World, by: &Person, name: &str) -> Result<(), Status> {
    let request = InviteCustomerRequest { name: name.to_owned(), request_id: uuid() };
    desk(world).invite_customer(by.asks(request)).await.map(drop)
}

async fn reset(world: &World, code: &str) -> Result<(), Status> {
    let request = ResetPasswordRequest {
        code: code.to_owned(),
        new_password: NEW_PASSWORD.to_owned(),
        ..Default::default()
    };
    world.email().reset_password(request).await.map(drop)
}

async fn log_in(world: &World, email: &str, password: &str) -> Result<LogInResponse, Status> {
    let (email, password) = (email.to_owned(), password.to_owned());
    let request = LogInRequest { email, password, ..Default::default() };
    world.auth().log_in(request).await.map(Response::into_inner)
}

/// Somebody who took their account over, logged in.
async fn taken_over(world: &World, email: &str) -> Person {
    let answer = log_in(world, email, NEW_PASSWORD).await.unwrap();
    Person { user: answer.user.unwrap(), token: answer.access_token }
}

/// What an enrolled person would be as one of the test's people, without a token.
fn person(customer: &Customer) -> Person {
    let user = daybook::grpc::proto::auth::User {
        name: customer.name.clone(),
        email: customer.email.clone(),
        ..Default::default()
    };
    Person { user, token: String::new() }
}

/// The same request by an API key.
fn by_key<T>(key: &str, message: T) -> Request<T> {
    crate::support::people::with_token(message, key)
}
