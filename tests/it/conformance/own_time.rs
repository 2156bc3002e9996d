//! Who is a provider too has their own customers in the way: what they are offered as a customer, they can have.

use daybook::grpc::proto::booking::{
    Appointment, AppointmentType, ApproveAppointmentRequest, BookingLimits, Exclusion,
    ExplainSlotRequest, FindFirstSlotRequest, GetAvailabilityRequest, GetAvailabilityResponse,
    ListSlotsRequest, exclusion::Rule,
};
use prost_types::Timestamp;
use tonic::Status;

use super::behaviours;
use crate::support::{
    World, berlin, books,
    people::{Person, date},
    refusal::refused,
    types::{holding, kind, local, minutes, on_day, typed},
};

behaviours!(
    who_treats_somebody_is_not_offered_that_time,
    who_attends_something_offers_no_time_then,
    what_others_ask_for_and_hold_is_in_the_way_until_it_ends,
    who_moves_what_they_attend_has_their_own_customers_in_the_way,
    a_provider_holds_what_a_customer_may_have_once,
);

const DAY: &str = "2026-11-23";

fn at(time: &str) -> Timestamp {
    berlin(&format!("{DAY} {time}"))
}

fn half_hour(time: &str) -> (Timestamp, Timestamp) {
    let from = at(time);
    (from, Timestamp { seconds: from.seconds + 1800, nanos: 0 })
}

async fn book(
    world: &World,
    customer: &Person,
    provider: &Person,
    time: &str,
) -> Result<Appointment, Status> {
    let (from, until) = half_hour(time);
    world.book(customer, provider, from, until).await
}

async fn slots(world: &World, caller: &Person, request: ListSlotsRequest) -> Vec<String> {
    let slots = world.list_slots(caller, request).await;
    slots.iter().map(|slot| local(slot.start_time)[11..].to_owned()).collect()
}

/// What a provider is told of a colleague's time without a type.
async fn free(
    world: &World,
    caller: &Person,
    provider: &Person,
    customer: &str,
) -> GetAvailabilityResponse {
    let request = GetAvailabilityRequest {
        provider: provider.provider(),
        start_date: Some(date((2026, 11, 23))),
        customer: customer.to_owned(),
        ..Default::default()
    };
    world.booking().get_availability(caller.asks(request)).await.unwrap().into_inner()
}

fn starts(answer: &GetAvailabilityResponse) -> Vec<String> {
    answer.slots.iter().map(|slot| local(slot.start_time)[11..].to_owned()).collect()
}

/// What is against a start with a provider, for somebody for whom a caller asks.
async fn against(
    world: &World,
    caller: &Person,
    (provider, of): (&Person, &AppointmentType),
    time: &str,
    customer: &str,
) -> Vec<Exclusion> {
    let request = ExplainSlotRequest {
        appointment_type: of.name.clone(),
        provider: provider.provider(),
        start_time: Some(at(time)),
        customer: customer.to_owned(),
        ..Default::default()
    };
    world.slots().explain_slot(caller.asks(request)).await.unwrap().into_inner().exclusions
}

async fn who_treats_somebody_is_not_offered_that_time(world: World) {
    let (ada, ben, carl) = (world.provider().await, world.provider().await, world.customer().await);
    let (admin, dora) = (world.admin().await, world.customer().await);
    let buffered =
        AppointmentType { buffer_before: minutes(30), buffer_after: minutes(15), ..kind(&[30]) };
    let buffered = world.own_type(&ada, buffered).await;
    let plain = AppointmentType { slot_step: minutes(15), ..kind(&[30]) };
    let plain = world.own_type(&ben, plain).await;
    let whole = world.starts_of(&ada, &plain, DAY).await;
    let one = world.book_type(&carl, &ada, &buffered, "2026-11-23 11:00").await.unwrap();
    // From 10:30 to 11:45 Ada prepares, treats and cleans up.
    let overlapping = ["10:15", "10:30", "10:45", "11:00", "11:15", "11:30"];
    let expected: Vec<_> =
        whole.iter().filter(|start| !overlapping.contains(&start.as_str())).cloned().collect();
    assert_eq!(world.starts_of(&ada, &plain, DAY).await, expected);
    // For others it is theirs to have, and those who ask for Ada see what she can have.
    assert_eq!(world.starts_of(&dora, &plain, DAY).await, whole);
    let for_ada = ListSlotsRequest { customer: ada.user.name.clone(), ..on_day(&plain, DAY) };
    assert_eq!(slots(&world, &ben, for_ada.clone()).await, expected);
    assert_eq!(slots(&world, &admin, for_ada).await, expected);
    let first = FindFirstSlotRequest {
        appointment_type: plain.name.clone(),
        start_time: Some(at("10:10")),
        ..Default::default()
    };
    let found = world.slots().find_first_slot(ada.asks(first)).await.unwrap().into_inner();
    assert_eq!(found.slot.unwrap().start_time, Some(at("11:45")));
    let before = world.state().await;
    for time in overlapping {
        for (caller, customer, sees) in
            [(&ada, "", true), (&ben, &*ada.user.name, false), (&admin, &*ada.user.name, true)]
        {
            let told = against(&world, caller, (&ben, &plain), time, customer).await;
            assert_eq!(told.iter().map(Exclusion::rule).collect::<Vec<_>>(), [Rule::CustomerBusy]);
            let seen = (told[0].start_time, told[0].end_time);
            let whole = (Some(at("10:30")), Some(at("11:45")));
            assert_eq!(seen, if sees { whole } else { (None, None) });
        }
        let start = format!("{DAY} {time}");
        refused(world.hold(&ada, holding(&ben, &plain, &start)).await, "CUSTOMER_BUSY");
        refused(world.book_type(&ada, &ben, &plain, &start).await, "CUSTOMER_BUSY");
        refused(book(&world, &ada, &ben, time).await, "CUSTOMER_BUSY");
    }
    assert_eq!(world.state().await, before);
    // Without a type it is the same, and of their own time providers are told what others can book.
    let told = free(&world, &ada, &ben, "").await;
    let expected = ["09:00", "09:30", "10:00", "12:00", "12:30"];
    assert_eq!(starts(&told)[..5], expected);
    assert_eq!(told.free_intervals.len(), 2);
    assert_eq!(told.free_intervals[0].end_time, Some(at("10:30")));
    assert_eq!(told.free_intervals[1].start_time, Some(at("11:45")));
    assert_eq!(free(&world, &ben, &ben, &ada.user.name).await, told);
    assert_eq!(free(&world, &ada, &ada, "").await.free_intervals.len(), 2);
    assert_eq!(starts(&free(&world, &dora, &ben, "").await).len(), 16);
    // What touches is had, at another server too; what is cancelled is in the way no more.
    let beside = world.beside().await;
    assert_eq!(beside.starts_of(&ada, &plain, DAY).await, world.starts_of(&ada, &plain, DAY).await);
    let hold = world.hold(&ada, holding(&ben, &plain, "2026-11-23 10:00")).await.unwrap();
    world.book_hold(&ada, &hold).await.unwrap();
    book(&world, &ada, &ben, "11:45").await.unwrap();
    world.cancel(&carl, &one.name).await.unwrap();
    assert_eq!(against(&world, &ada, (&ben, &plain), "11:00", "").await, []);
    world.book_type(&ada, &ben, &plain, "2026-11-23 11:00").await.unwrap();
    books::check(&world.sql().await).await;
}

async fn who_attends_something_offers_no_time_then(world: World) {
    let (ada, ben, eve) = (world.provider().await, world.provider().await, world.provider().await);
    let carl = world.customer().await;
    let (adas, eves) =
        (world.own_type(&ada, kind(&[30])).await, world.own_type(&eve, kind(&[30])).await);
    book(&world, &ada, &ben, "10:00").await.unwrap();
    // Nobody is offered Ada then, and Ada is offered nobody.
    for (caller, provider, of) in [(&carl, &ada, &adas), (&ada, &eve, &eves)] {
        let offered = world.starts_of(caller, of, DAY).await;
        assert_eq!(offered.len(), 15);
        assert!(!offered.contains(&"10:00".to_owned()));
        let told = against(&world, caller, (provider, of), "10:00", "").await;
        // Once, although Ada's own time is claimed by it as well.
        assert_eq!(told.len(), 1, "{told:?}");
        assert!(!starts(&free(&world, caller, provider, "").await).contains(&"10:00".to_owned()));
    }
    refused(world.hold(&carl, holding(&ada, &adas, "2026-11-23 10:00")).await, "SLOT_TAKEN");
    refused(world.book_type(&carl, &ada, &adas, "2026-11-23 10:00").await, "SLOT_TAKEN");
    refused(world.hold(&ada, holding(&eve, &eves, "2026-11-23 10:00")).await, "CUSTOMER_BUSY");
    refused(world.book_type(&ada, &eve, &eves, "2026-11-23 10:00").await, "CUSTOMER_BUSY");
    world.book_type(&ada, &eve, &eves, "2026-11-23 10:30").await.unwrap();
    books::check(&world.sql().await).await;
}

async fn what_others_ask_for_and_hold_is_in_the_way_until_it_ends(world: World) {
    let (ada, ben, carl) = (world.provider().await, world.provider().await, world.customer().await);
    let asked =
        AppointmentType { requires_approval: true, request_expiry: minutes(60), ..kind(&[30]) };
    let asked = world.own_type(&ada, asked).await;
    let plain = world.own_type(&ben, kind(&[30])).await;
    world.hold(&carl, holding(&ada, &asked, "2026-11-23 09:00")).await.unwrap();
    world.book_type(&carl, &ada, &asked, "2026-11-23 10:00").await.unwrap();
    let agreed = world.book_type(&carl, &ada, &asked, "2026-11-23 11:00").await.unwrap().name;
    let approve = ApproveAppointmentRequest { name: agreed.clone(), ..Default::default() };
    world.booking().approve_appointment(ada.asks(approve)).await.unwrap();
    world.reschedule(&carl, &agreed, "2026-11-23 12:00").await.unwrap();
    let is_offered = async |time: &str| {
        let is_listed = world.starts_of(&ada, &plain, DAY).await.contains(&time.to_owned());
        let against = against(&world, &ada, (&ben, &plain), time, "").await;
        assert_eq!(against.is_empty(), is_listed, "{time} {against:?}");
        is_listed
    };
    for time in ["09:00", "10:00", "11:00", "12:00"] {
        assert!(!is_offered(time).await, "{time}");
        let start = format!("{DAY} {time}");
        refused(world.hold(&ada, holding(&ben, &plain, &start)).await, "CUSTOMER_BUSY");
        refused(world.book_type(&ada, &ben, &plain, &start).await, "CUSTOMER_BUSY");
    }
    assert!(is_offered("13:00").await);
    world.forward(chrono::TimeDelta::minutes(5));
    assert!(is_offered("09:00").await && !is_offered("10:00").await);
    world.book_type(&ada, &ben, &plain, "2026-11-23 09:00").await.unwrap();
    world.forward(chrono::TimeDelta::minutes(55));
    assert!(is_offered("10:00").await && is_offered("12:00").await && !is_offered("11:00").await);
    for time in ["10:00", "12:00"] {
        let start = format!("{DAY} {time}");
        let hold = world.hold(&ada, holding(&ben, &plain, &start)).await.unwrap();
        world.book_hold(&ada, &hold).await.unwrap();
    }
    books::check(&world.sql().await).await;
}

async fn who_moves_what_they_attend_has_their_own_customers_in_the_way(world: World) {
    let (ada, ben, carl) = (world.provider().await, world.provider().await, world.customer().await);
    let plain = AppointmentType { slot_step: minutes(15), ..kind(&[30]) };
    let plain = world.own_type(&ben, plain).await;
    let attended = world.book_type(&ada, &ben, &plain, "2026-11-23 10:00").await.unwrap().name;
    book(&world, &carl, &ada, "11:00").await.unwrap();
    let moving = ListSlotsRequest { rescheduling: attended.clone(), ..on_day(&plain, DAY) };
    let offered = slots(&world, &ada, moving.clone()).await;
    // Its own time is in nobody's way, and where it is already is no move.
    for (time, is_offered) in [
        ("09:45", true),
        ("10:00", false),
        ("10:15", true),
        ("10:30", true),
        ("10:45", false),
        ("11:00", false),
        ("11:15", false),
        ("11:30", true),
    ] {
        assert_eq!(offered.contains(&time.to_owned()), is_offered, "{time}");
    }
    assert_eq!(slots(&world, &ben, moving).await, offered);
    for time in ["10:45", "11:00", "11:15"] {
        let moved = world.reschedule(&ada, &attended, &format!("{DAY} {time}")).await;
        refused(moved, "CUSTOMER_BUSY");
        let hold = daybook::grpc::proto::booking::HoldSlotRequest {
            start_time: Some(at(time)),
            rescheduling: attended.clone(),
            ..Default::default()
        };
        refused(world.hold(&ada, hold).await, "CUSTOMER_BUSY");
    }
    for time in ["10:15", "10:30", "11:30"] {
        world.reschedule(&ada, &attended, &format!("{DAY} {time}")).await.unwrap();
    }
    // Whoever books for Ada with an override does not lift it.
    let request = daybook::grpc::proto::booking::BookAppointmentRequest {
        customer: ada.user.name.clone(),
        override_reason: "an emergency".to_owned(),
        ..typed(&ben, &plain, "2026-11-23 11:00")
    };
    refused(world.send(&ben, request).await, "CUSTOMER_BUSY");
    books::check(&world.sql().await).await;
}

async fn a_provider_holds_what_a_customer_may_have_once(world: World) {
    let (ada, ben) = (world.provider().await, world.provider().await);
    let limits = Some(BookingLimits { open_per_customer: 1, ..Default::default() });
    let once = world.own_type(&ben, AppointmentType { limits, ..kind(&[30]) }).await;
    let hold = world.hold(&ada, holding(&ben, &once, "2026-11-23 10:00")).await.unwrap();
    let booked = world.book_hold(&ada, &hold).await.unwrap();
    let again = holding(&ben, &once, "2026-11-23 11:00");
    refused(world.hold(&ada, again.clone()).await, "CUSTOMER_LIMIT");
    assert_eq!(world.starts_of(&ada, &once, DAY).await, Vec::<String>::new());
    world.cancel(&ada, &booked.name).await.unwrap();
    world.hold(&ada, again).await.unwrap();
    books::check(&world.sql().await).await;
}
