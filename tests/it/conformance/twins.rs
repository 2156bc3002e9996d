//! Twins: the same request sent twice, at the same time or some milliseconds apart, to one server or to two
//! on one database. Both are told the same.

use std::time::Duration;

use daybook::grpc::proto::booking::{BookAppointmentRequest, HoldSlotRequest};
use tonic::Status;

use super::{
    behaviours,
    writes::{cases, cast},
};
use crate::support::{
    World, berlin, books,
    people::{Person, uuid},
    rounds,
    types::{anybodys, kind},
};

behaviours!(
    twins_of_a_booking_with_anybody_agree,
    twins_of_a_booking_with_anybody_agree_at_two_servers,
    twins_of_a_hold_with_anybody_agree,
    twins_of_a_hold_with_anybody_agree_at_two_servers,
    twins_of_every_write_agree_at_two_servers,
);

/// How far apart twins are sent at most, in milliseconds.
const APART: u64 = 12;

/// What a call came to: the name of what it made, or why it made nothing.
fn told<T: std::fmt::Debug>(answer: Result<T, Status>) -> String {
    match answer {
        Ok(answer) => format!("{answer:?}"),
        Err(status) => {
            format!("{:?}: {}", status.code(), crate::support::refusal::reason_of(&status))
        }
    }
}

/// Runs the second a while after the first, and tells what both came to.
async fn apart<T: std::fmt::Debug>(
    millis: u64,
    first: impl Future<Output = Result<T, Status>>,
    second: impl Future<Output = Result<T, Status>>,
) -> (String, String) {
    let second = async {
        tokio::time::sleep(Duration::from_millis(millis)).await;
        second.await
    };
    let (first, second) = tokio::join!(first, second);
    (told(first), told(second))
}

/// A start for each round: half an hour each, from Monday to Friday, in the weeks to come.
fn start(round: usize) -> String {
    let (week, slot) = (round / 80, round % 80);
    let day = chrono::NaiveDate::from_ymd_opt(2026, 11, 23).unwrap()
        + chrono::TimeDelta::days(i64::try_from(week * 7 + slot / 16).unwrap());
    let slot = slot % 16;
    format!("{day} {:02}:{:02}", 9 + slot / 2, slot % 2 * 30)
}

/// Types that one and that three providers offer. With one, a twin finds nobody free as soon as the other
/// is through; with three, it finds somebody else.
async fn offered(world: &World) -> [daybook::grpc::proto::booking::AppointmentType; 2] {
    let admin = world.admin().await;
    let alone = world.provider().await;
    let three = [world.provider().await, world.provider().await, world.provider().await];
    let three: Vec<&Person> = three.iter().collect();
    [
        world.shared_type(&admin, kind(&[30]), &[&alone]).await,
        world.shared_type(&admin, kind(&[30]), &three).await,
    ]
}

async fn bookings(one: &World, other: &World) {
    let (types, customers) = (offered(one).await, [one.customer().await, one.customer().await]);
    let mut differ = Vec::new();
    let all = rounds(52, 1000);
    for round in 0..all {
        let (kind, customer) = (&types[round % 2], &customers[round % 2]);
        let request =
            BookAppointmentRequest { request_id: uuid(), ..anybodys(kind, &start(round / 2)) };
        let millis = round as u64 / 2 % (APART + 1);
        let (first, second) =
            (one.send(customer, request.clone()), other.send(customer, request.clone()));
        let (first, second) = apart(millis, first, second).await;
        if first != second || !first.starts_with("Appointment") {
            differ.push(format!("{millis} ms: {first} / {second}"));
        }
    }
    assert!(differ.is_empty(), "{} of {all}: {differ:#?}", differ.len());
    assert_eq!(books::check(&one.sql().await).await.len(), all);
}

async fn holds(one: &World, other: &World) {
    let types = offered(one).await;
    let mut differ = Vec::new();
    let all = rounds(52, 520);
    let mut customer = one.customer().await;
    for round in 0..all {
        if round % 4 == 0 {
            // A customer holds five at a time.
            customer = one.customer().await;
        }
        let kind = &types[round % 2];
        let request = HoldSlotRequest {
            appointment_type: kind.name.clone(),
            start_time: Some(berlin(&start(round / 2))),
            request_id: uuid(),
            ..Default::default()
        };
        let millis = round as u64 / 2 % (APART + 1);
        let (first, second) =
            (one.hold(&customer, request.clone()), other.hold(&customer, request.clone()));
        let (first, second) = apart(millis, first, second).await;
        if first != second || !first.starts_with("Hold") {
            differ.push(format!("{millis} ms: {first} / {second}"));
        }
    }
    assert!(differ.is_empty(), "{} of {all}: {differ:#?}", differ.len());
    assert_eq!(one.count("SELECT count(*) FROM appointments").await, i64::try_from(all).unwrap());
}

async fn twins_of_a_booking_with_anybody_agree(world: World) {
    bookings(&world, &world).await;
}

async fn twins_of_a_booking_with_anybody_agree_at_two_servers(world: World) {
    bookings(&world, &world.beside().await).await;
}

async fn twins_of_a_hold_with_anybody_agree(world: World) {
    holds(&world, &world).await;
}

async fn twins_of_a_hold_with_anybody_agree_at_two_servers(world: World) {
    holds(&world, &world.beside().await).await;
}

async fn twins_of_every_write_agree_at_two_servers(world: World) {
    let mut differ = Vec::new();
    let (world, mail) = world.mailing(&[]).await;
    let other = world.mailing_to(&mail, &[]).await;
    for round in 0..rounds(1, 10) {
        let cast = cast(&world).await;
        other.clock.set(world.clock.now());
        for (place, case) in cases(&world, &cast).await.into_iter().enumerate() {
            let millis = (place + round) as u64 % (APART + 1);
            let (first, second) = (case.answer(&world), case.answer(&other));
            let (first, second) = apart(millis, first, second).await;
            if first != second {
                differ.push(format!("{} {millis} ms: {first} / {second}", case.path));
            }
        }
    }
    assert!(differ.is_empty(), "{}: {differ:#?}", differ.len());
}
