//! Everything that can happen to an hour of one provider, at once.

use std::sync::Mutex;

use daybook::grpc::proto::booking::{
    AppointmentType, ApproveAppointmentRequest, BookAppointmentRequest, CancelAppointmentRequest,
    DeclineAppointmentRequest, HoldSlotRequest, ListHoldsRequest, ReleaseHoldRequest,
};
use futures_util::future::join_all;

use super::{CALLERS, Storm, at, interval, length};
use crate::support::{practice::offered_by, process::random, rounds};

/// Everything that can happen to an hour of one provider.
///
/// Returns how many holds are left.
pub async fn one_hour(storm: &Storm) -> usize {
    let provider = &storm.providers(1).await[0];
    let customers = storm.processes[0].customers(CALLERS).await;
    let kind = |requires_approval| AppointmentType {
        owner: provider.provider(),
        display_name: "A type".to_owned(),
        durations: length(20).into_iter().collect(),
        buffer_before: length(5),
        buffer_after: length(10),
        slot_step: length(5),
        requires_approval,
        ..AppointmentType::default()
    };
    let channel = &storm.channels[0];
    let types = [
        offered_by(channel, provider, kind(false), &[]).await,
        offered_by(channel, provider, kind(true), &[]).await,
    ];
    // Every appointment with its customer.
    let known: Mutex<Vec<(String, usize)>> = Mutex::default();
    let act = async |caller: usize| {
        let (mut holds, customer) = (Vec::<String>::new(), &customers[caller]);
        let mut client = storm.client(caller);
        for round in 0..rounds(10, 150) {
            // The hour itself, and a little around it; on with the rounds, so that some find room.
            let hour = 60 * i64::try_from(round / 2).unwrap();
            let start = hour + 5 * i64::try_from(random(12)).unwrap();
            let some = {
                let known = known.lock().unwrap();
                let few = known.len().min(8);
                (few > 0).then(|| known[known.len() - 1 - random(few)].clone())
            };
            let (name, whose) = some.clone().unwrap_or_default();
            let by = if random(2) == 0 { &customers[whose] } else { provider };
            let booked = match random(10) {
                0 | 1 => {
                    let request = HoldSlotRequest {
                        provider: provider.provider(),
                        appointment_type: types[random(2)].clone(),
                        start_time: at(start),
                        hold_duration: length(15),
                        ..Default::default()
                    };
                    let call = client.hold_slot(customer.asks(request));
                    let held = storm.hear(&["SLOT_TAKEN", "TOO_MANY_HOLDS"], call).await;
                    holds.extend(held.map(|held| held.hold.unwrap().name));
                    None
                }
                2 if !holds.is_empty() => {
                    let hold = holds.swap_remove(0);
                    if random(3) == 0 {
                        // It gave way to what the same customer held or booked over it since.
                        let request = ReleaseHoldRequest { name: hold, ..Default::default() };
                        let call = client.release_hold(customer.asks(request));
                        storm.hear(&["HOLD_ENDED"], call).await;
                        None
                    } else {
                        let request =
                            BookAppointmentRequest { hold: hold.clone(), ..Default::default() };
                        let allowed = ["CUSTOMER_BUSY", "HOLD_ENDED"];
                        let booked = storm.book(caller, customer, request, &allowed).await;
                        holds.extend(booked.is_none().then_some(hold));
                        booked
                    }
                }
                3 => {
                    let request = interval(provider, start);
                    storm.book(caller, customer, request, &["SLOT_TAKEN", "CUSTOMER_BUSY"]).await
                }
                4 | 5 => {
                    let request = BookAppointmentRequest {
                        provider: provider.provider(),
                        appointment_type: types[random(2)].clone(),
                        start_time: at(start),
                        ..Default::default()
                    };
                    storm.book(caller, customer, request, &["SLOT_TAKEN", "CUSTOMER_BUSY"]).await
                }
                6 if some.is_some() => {
                    let allowed = ["SLOT_TAKEN", "CUSTOMER_BUSY", "WRONG_STATE", "INVALID_FIELDS"];
                    storm.move_to(caller, by, &name, start, &allowed).await;
                    None
                }
                7 if some.is_some() => {
                    let request = ApproveAppointmentRequest { name, ..Default::default() };
                    let call = client.approve_appointment(provider.asks(request));
                    let answer = storm.hear(&["WRONG_STATE"], call).await;
                    answer.map(|answer| storm.told(answer.appointment));
                    None
                }
                8 if some.is_some() => {
                    let request = DeclineAppointmentRequest { name, ..Default::default() };
                    let call = client.decline_appointment(provider.asks(request));
                    let answer = storm.hear(&["WRONG_STATE"], call).await;
                    answer.map(|answer| storm.told(answer.appointment));
                    None
                }
                _ if some.is_some() => {
                    let request = CancelAppointmentRequest { name, ..Default::default() };
                    let call = client.cancel_appointment(by.asks(request));
                    let answer = storm.hear(&["WRONG_STATE"], call).await;
                    answer.map(|answer| storm.told(answer.appointment));
                    None
                }
                _ => None,
            };
            known.lock().unwrap().extend(booked.map(|booked| (booked.name, caller)));
        }
    };
    join_all((0..CALLERS).map(act)).await;
    let mut left = 0;
    for customer in &customers {
        let request = ListHoldsRequest { page_size: 500, ..Default::default() };
        let page = storm.client(0).list_holds(customer.asks(request)).await.unwrap();
        left += page.into_inner().holds.len();
    }
    left
}
