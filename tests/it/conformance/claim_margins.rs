//! The longest appointments with the longest buffers: a claim is seen from its first minute to its last one, wherever one
//! asks, and not beyond.

use daybook::grpc::proto::booking::{
    AppointmentType, BookAppointmentRequest, Exclusion, HoldSlotRequest, ListSlotsRequest,
    exclusion::Rule,
};
use prost_types::Timestamp;

use super::{
    behaviours,
    calendar::{ask, pairs},
};
use crate::support::{
    World, at, books,
    people::Person,
    practice::open_every_day,
    refusal::refused,
    types::{holding, kind, minutes, typed},
};

behaviours!(
    the_longest_claim_is_in_the_way_to_its_last_minute,
    the_longest_claim_keeps_a_customer_who_treats_busy_to_its_last_minute,
);

/// A day, with four hours before and after it: it claims from 16:05 until five past midnight of the day after the next.
const LONG: &str = "2026-11-24 20:05";
/// Of five minutes each: the last before the claim, its first and its last, the first after it.
const BEFORE: &str = "2026-11-24 16:00";
const FIRST: &str = "2026-11-24 16:05";
const LAST: &str = "2026-11-26 00:00";
const AFTER: &str = "2026-11-26 00:05";

fn utc(text: &str) -> Timestamp {
    at(text, "UTC")
}

fn later(from: Timestamp, minutes: i64) -> Timestamp {
    Timestamp { seconds: from.seconds + minutes * 60, ..from }
}

fn short(provider: &Person, of: &AppointmentType, start: &str) -> BookAppointmentRequest {
    BookAppointmentRequest { start_time: Some(utc(start)), ..typed(provider, of, LONG) }
}

/// A provider who is open at all times, and their type of five minutes.
async fn provider(world: &World) -> (Person, AppointmentType) {
    let provider = world.provider().await;
    open_every_day(&world.channel, &provider, (0, 24), 24).await;
    let of = AppointmentType { slot_step: minutes(5), ..kind(&[5]) };
    let of = world.own_type(&provider, of).await;
    (provider, of)
}

/// The longest appointment with a provider.
async fn book_long(world: &World, provider: &Person, customer: &Person) {
    let (buffer, step) = (minutes(4 * 60), minutes(5));
    let long = AppointmentType {
        buffer_before: buffer,
        buffer_after: buffer,
        slot_step: step,
        ..kind(&[24 * 60])
    };
    let long = world.own_type(provider, long).await;
    world.send(customer, short(provider, &long, LONG)).await.unwrap();
}

/// Whether a type's slot at this start is offered; a question for these five minutes and no more.
async fn offers(world: &World, caller: &Person, of: &AppointmentType, start: &str) -> bool {
    let request = ListSlotsRequest {
        appointment_type: of.name.clone(),
        start_time: Some(utc(start)),
        end_time: Some(later(utc(start), 5)),
        ..Default::default()
    };
    world.list_slots(caller, request).await.iter().any(|slot| slot.start_time == Some(utc(start)))
}

async fn the_longest_claim_is_in_the_way_to_its_last_minute(world: World) {
    let (customer, other) = (world.customer().await, world.customer().await);
    let (ada, of) = provider(&world).await;
    book_long(&world, &ada, &customer).await;
    // A second server has nothing in its cache.
    let beside = world.beside().await;
    for (start, is_free) in [(BEFORE, true), (FIRST, false), (LAST, false), (AFTER, true)] {
        for world in [&world, &beside] {
            assert_eq!(offers(world, &other, &of, start).await, is_free, "{start}");
            let against = world.explain(&other, &ada, &of, utc(start)).await;
            assert_eq!(against.is_empty(), is_free, "{start}: {against:?}");
        }
        let (from, until) = (utc(start), later(utc(start), 5));
        let told = ask(&world, &ada, &ada, (from, until)).await.unwrap();
        let free = pairs(&told.schedules[0].free_intervals);
        let expected = if is_free { vec![(from.seconds, until.seconds)] } else { vec![] };
        assert_eq!(free, expected, "{start}");
        let booked = world.send(&other, short(&ada, &of, start)).await;
        if is_free {
            booked.unwrap();
        } else {
            refused(booked, "SLOT_TAKEN");
        }
    }
    books::check(&world.sql().await).await;
}

async fn the_longest_claim_keeps_a_customer_who_treats_busy_to_its_last_minute(world: World) {
    let customer = world.customer().await;
    let ((ada, of), (ben, _)) = (provider(&world).await, provider(&world).await);
    book_long(&world, &ben, &customer).await;
    for (start, is_free) in [(BEFORE, true), (FIRST, false), (LAST, false), (AFTER, true)] {
        assert_eq!(offers(&world, &ben, &of, start).await, is_free, "{start}");
        let against = world.explain(&ben, &ada, &of, utc(start)).await;
        let rules: Vec<_> = against.iter().map(Exclusion::rule).collect();
        let expected = if is_free { vec![] } else { vec![Rule::CustomerBusy] };
        assert_eq!(rules, expected, "{start}");
        let hold = HoldSlotRequest { start_time: Some(utc(start)), ..holding(&ada, &of, LONG) };
        let held = world.hold(&ben, hold).await;
        if is_free {
            held.unwrap();
        } else {
            refused(held, "CUSTOMER_BUSY");
        }
    }
    books::check(&world.sql().await).await;
}
