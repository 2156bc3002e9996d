//! Those who want each other's place, or one place, at the same moment. None leaves a hold behind.

use daybook::grpc::proto::booking::{
    Appointment, AppointmentType, ApproveAppointmentRequest, BookAppointmentRequest,
    HoldSlotRequest, ReleaseHoldRequest, UpdateAppointmentRequest, appointment::State,
};
use futures_util::future::join_all;

use super::{Storm, at, interval, length};
use crate::support::{practice::offered_by, rounds};

/// How large the rings are.
fn rings() -> Vec<usize> {
    if rounds(0, 1) == 0 { vec![2, 3, 8, 16] } else { (2..=16).collect() }
}

/// Appointments of which each goes to the next one's time at the same moment. All stand in each other's
/// way, unless the last one has somewhere to go: then those behind it may follow.
pub async fn rings_of_one_provider(storm: &Storm) -> usize {
    let provider = &storm.providers(1).await[0];
    let customers = storm.processes[0].customers(16).await;
    let mut from = 0;
    for round in 0..rounds(2, 10) {
        for size in rings() {
            let all = join_all((0..size).map(async |place| {
                let request = interval(provider, from + minute(place));
                storm.book(place, &customers[place], request, &[]).await.unwrap()
            }));
            let all = all.await;
            let open = round % 2 == 1;
            let moved = join_all((0..size).map(async |place| {
                let next = if open { place + 1 } else { (place + 1) % size };
                let (name, next) = (&all[place].name, from + minute(next));
                storm.move_to(place, &customers[place], name, next, &["SLOT_TAKEN"]).await.is_some()
            }));
            follows(&moved.await, open);
            from += minute(size + 1);
        }
    }
    0
}

/// The same over several providers, where the one customer is in the way.
pub async fn rings_of_one_customer(storm: &Storm) -> usize {
    let providers = storm.providers(16).await;
    let mut from = 0;
    let customers = storm.processes[0].customers(2).await;
    for round in 0..rounds(4, 20) {
        let customer = &customers[round / 2 % 2];
        for size in rings() {
            let all = join_all((0..size).map(async |place| {
                let request = interval(&providers[place], from + minute(place));
                storm.book(place, customer, request, &[]).await.unwrap()
            }));
            let all = all.await;
            let open = round % 2 == 1;
            let moved = join_all((0..size).map(async |place| {
                let next = if open { place + 1 } else { (place + 1) % size };
                let (name, next) = (&all[place].name, from + minute(next));
                storm.move_to(place, customer, name, next, &["CUSTOMER_BUSY"]).await.is_some()
            }));
            follows(&moved.await, open);
            from += minute(size + 1);
        }
    }
    0
}

fn minute(place: usize) -> i64 {
    20 * i64::try_from(place).unwrap()
}

/// Nobody moved, or the last one did and those right behind it.
#[track_caller]
fn follows(moved: &[bool], open: bool) {
    assert_eq!(moved.last(), Some(&open), "{moved:?}");
    assert!(moved.is_sorted(), "{moved:?}");
}

/// A customer holds one time at several providers and books all holds at once: one of them it can be.
pub async fn holds_of_one_customer(storm: &Storm) -> usize {
    let providers = storm.providers(4).await;
    let customers = storm.processes[0].customers(8).await;
    let mut left = 0;
    for round in 0..i64::try_from(rounds(6, 60)).unwrap() {
        let who = &customers[usize::try_from(round).unwrap() % customers.len()];
        let mut holds = Vec::new();
        for provider in &providers {
            let request = HoldSlotRequest {
                provider: provider.provider(),
                start_time: at(30 * round),
                end_time: at(30 * round + 20),
                ..Default::default()
            };
            let mut client = storm.client(0);
            let answer = storm.hear(&[], client.hold_slot(who.asks(request))).await.unwrap();
            holds.push(answer.hold.unwrap().name);
        }
        let booked = join_all(holds.iter().enumerate().map(async |(place, hold)| {
            let request = BookAppointmentRequest { hold: hold.clone(), ..Default::default() };
            storm.book(place, who, request, &["CUSTOMER_BUSY"]).await.is_some()
        }));
        let booked = booked.await;
        assert_eq!(booked.iter().filter(|booked| **booked).count(), 1, "{booked:?}");
        for (hold, _) in holds.into_iter().zip(booked).filter(|(_, booked)| !booked) {
            let request = ReleaseHoldRequest { name: hold, ..Default::default() };
            let mut client = storm.client(left);
            storm.hear(&[], client.release_hold(who.asks(request))).await.unwrap();
            left += 1;
        }
    }
    0
}

/// Of two appointments of one customer, each is answered or written on while the other one is to be moved
/// onto it. What stays where it is never waits for what wants its place.
pub async fn answers_against_moves(storm: &Storm) -> usize {
    let providers = storm.providers(2).await;
    let customers = storm.processes[0].customers(16).await;
    let kind = AppointmentType {
        display_name: "A type".to_owned(),
        durations: length(20).into_iter().collect(),
        slot_step: length(5),
        requires_approval: true,
        ..AppointmentType::default()
    };
    let mut types = Vec::new();
    for provider in &providers {
        let kind = AppointmentType { owner: provider.provider(), ..kind.clone() };
        types.push(offered_by(&storm.channels[0], provider, kind, &[]).await);
    }
    for round in 0..rounds(6, 60) {
        let first = 40 * i64::try_from(round).unwrap();
        let pairs = customers.iter().enumerate().map(async |(number, customer)| {
            let day = 2 * 24 * 60 * i64::try_from(number).unwrap();
            let places = [day + first, day + first + 20];
            let mut names = Vec::new();
            for side in 0..2 {
                let request = BookAppointmentRequest {
                    provider: providers[side].provider(),
                    appointment_type: types[side].clone(),
                    start_time: at(places[side]),
                    ..Default::default()
                };
                names.push(storm.book(number, customer, request, &[]).await.unwrap().name);
            }
            let (approved, moved) = (round % 2, 1 - round % 2);
            let mut client = storm.client(number);
            let name = names[approved].clone();
            let note = Appointment { name: name.clone(), ..Appointment::default() };
            let appointment = Some(note);
            let approve = ApproveAppointmentRequest { name, ..Default::default() };
            let write = UpdateAppointmentRequest { appointment, ..Default::default() };
            let staff = &providers[approved];
            let mut other = client.clone();
            let (answer, written, ()) = tokio::join!(
                storm.hear(&[], client.approve_appointment(staff.asks(approve))),
                storm.hear(&[], other.update_appointment(staff.asks(write))),
                async {
                    let (name, to) = (&names[moved], places[approved]);
                    let busy = ["CUSTOMER_BUSY"];
                    assert!(storm.move_to(number + 1, customer, name, to, &busy).await.is_none());
                }
            );
            storm.told(answer.unwrap().appointment);
            storm.told(written.unwrap().appointment);
        });
        join_all(pairs).await;
    }
    0
}

/// Appointments change sides between three providers, all at once: those who have room there, and those
/// who want each other's place.
pub async fn sides_are_changed(storm: &Storm) -> usize {
    let providers = storm.providers(3).await;
    let customers = storm.processes[0].customers(48).await;
    for round in 0..rounds(4, 30) {
        let from = 24 * 60 * i64::try_from(round).unwrap();
        let crowded = round % 2 == 1;
        let all = join_all((0..customers.len()).map(async |number| {
            // Crowded: all three at one time, so that nobody has room with another one.
            let place = if crowded { number / 3 } else { number };
            let request = interval(&providers[number % 3], from + minute(place));
            storm.book(number, &customers[number], request, &[]).await.unwrap()
        }));
        let all = all.await;
        let given = join_all((0..customers.len()).map(async |number| {
            let (name, side) = (&all[number].name, number % 3);
            let to = &providers[(side + 1 + number / 3 % 2) % 3];
            let allowed: &[&str] = if crowded { &["SLOT_TAKEN"] } else { &[] };
            storm.give_to(number, &providers[side], name, to, allowed).await
        }));
        for (number, given) in given.await.into_iter().enumerate() {
            assert_eq!(given.is_none(), crowded);
            if given.is_some() {
                let mut heard = storm.heard.lock().unwrap();
                let left = heard.newest.get_mut(&all[number].name).unwrap();
                left.1 = State::Cancelled;
            }
        }
    }
    0
}
