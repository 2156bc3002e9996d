//! Availability knows who asks: what is offered to a customer, that customer can have.

use daybook::grpc::proto::{
    auth::Role,
    booking::{
        AppointmentType, BookingLimits, Exclusion, ExplainSlotRequest, FindFirstSlotRequest,
        GetAvailabilityRequest, HoldSlotRequest, ListSlotsRequest, RescheduleAppointmentRequest,
        exclusion::Rule,
    },
};
use tonic::Status;

use super::behaviours;
use crate::support::{
    World, berlin, books,
    people::{Person, date},
    refusal::{invalid, refused},
    services::any_customer,
    types::{holding, kind, local, minutes, on_day, typed},
};

behaviours!(
    a_customer_who_is_busy_elsewhere_is_not_offered_the_time,
    a_customer_at_the_limit_is_offered_nothing,
    what_a_customer_holds_is_offered_to_the_customer,
    anybody_is_whom_the_customer_holds,
    providers_are_not_offered_their_own_time,
    those_who_act_for_a_customer_see_what_the_customer_can_have,
    whoever_moves_an_appointment_is_answered_as_if_it_were_absent,
    what_can_be_moved_is_asked_about_by_those_who_may_move_it,
    a_slot_is_held_for_what_shall_be_moved,
    free_time_is_the_callers,
);

const DAY: &str = "2026-11-23";

/// What is against a start, for a caller.
async fn rules(
    world: &World,
    caller: &Person,
    request: ExplainSlotRequest,
) -> Result<Vec<Rule>, Status> {
    let answer = world.slots().explain_slot(caller.asks(request)).await?.into_inner();
    assert_eq!(answer.is_free, answer.exclusions.is_empty());
    Ok(answer.exclusions.iter().map(Exclusion::rule).collect())
}

fn explaining(provider: &Person, of: &AppointmentType, start: &str) -> ExplainSlotRequest {
    ExplainSlotRequest {
        appointment_type: of.name.clone(),
        provider: provider.provider(),
        start_time: Some(berlin(start)),
        ..Default::default()
    }
}

async fn starts(world: &World, caller: &Person, request: ListSlotsRequest) -> Vec<String> {
    let slots = world.list_slots(caller, request).await;
    slots.iter().map(|slot| local(slot.start_time)[11..].to_owned()).collect()
}

async fn a_customer_who_is_busy_elsewhere_is_not_offered_the_time(world: World) {
    let (one, two, customer, other) = (
        world.provider().await,
        world.provider().await,
        world.customer().await,
        world.customer().await,
    );
    let of = AppointmentType { slot_step: minutes(15), ..kind(&[30]) };
    let (ones, twos) = (world.own_type(&one, of.clone()).await, world.own_type(&two, of).await);
    let booked = world.book_type(&customer, &one, &ones, "2026-11-23 10:00").await.unwrap();
    let whole = world.starts_of(&other, &twos, DAY).await;
    let free = world.starts_of(&customer, &twos, DAY).await;
    let overlapping = ["09:45", "10:00", "10:15"];
    let expected: Vec<_> =
        whole.iter().filter(|start| !overlapping.contains(&start.as_str())).cloned().collect();
    assert_eq!(free, expected);
    let before = world.state().await;
    for start in overlapping.map(|start| format!("2026-11-23 {start}")) {
        let told = world.explain(&customer, &two, &twos, berlin(&start)).await;
        assert_eq!(told.iter().map(Exclusion::rule).collect::<Vec<_>>(), [Rule::CustomerBusy]);
        assert_eq!((told[0].start_time, told[0].end_time), (booked.start_time, booked.end_time));
        assert_eq!(world.explain(&other, &two, &twos, berlin(&start)).await, []);
        // No hold keeps others from what the customer cannot have.
        refused(world.hold(&customer, holding(&two, &twos, &start)).await, "CUSTOMER_BUSY");
        refused(world.book_type(&customer, &two, &twos, &start).await, "CUSTOMER_BUSY");
    }
    assert_eq!(world.state().await, before);
    // The first one, after what is busy.
    let request = FindFirstSlotRequest {
        appointment_type: twos.name.clone(),
        start_time: Some(berlin("2026-11-23 09:40")),
        ..Default::default()
    };
    let first = world.slots().find_first_slot(customer.asks(request)).await.unwrap().into_inner();
    assert_eq!(local(first.slot.unwrap().start_time), "2026-11-23 10:30");
    // A second server says the same, and what is cancelled is in the way no more.
    let beside = world.beside().await;
    assert_eq!(beside.starts_of(&customer, &twos, DAY).await, expected);
    world.cancel(&customer, &booked.name).await.unwrap();
    assert_eq!(beside.starts_of(&customer, &twos, DAY).await, whole);
    assert_eq!(world.starts_of(&customer, &twos, DAY).await, whole);
    // A request that nobody answered keeps nobody busy.
    let asked =
        AppointmentType { requires_approval: true, request_expiry: minutes(60), ..kind(&[30]) };
    let asked = world.own_type(&one, asked).await;
    world.book_type(&customer, &one, &asked, "2026-11-23 10:00").await.unwrap();
    assert_eq!(world.starts_of(&customer, &twos, DAY).await, expected);
    world.forward(chrono::TimeDelta::minutes(60));
    assert_eq!(world.starts_of(&customer, &twos, DAY).await, whole);
    world.hold(&customer, holding(&two, &twos, "2026-11-23 10:00")).await.unwrap();
    // Nobody in particular is told what all share.
    let open = world.beside_with(&[("server.public_booking_pages", "true")]).await;
    let anonymous = open.slots().list_slots(on_day(&ones, DAY)).await.unwrap().into_inner();
    assert_eq!(anonymous.slots.len(), whole.len());
    books::check(&world.sql().await).await;
}

async fn a_customer_at_the_limit_is_offered_nothing(world: World) {
    let (provider, customer, other) =
        (world.provider().await, world.customer().await, world.customer().await);
    let limits = Some(BookingLimits { open_per_customer: 1, ..Default::default() });
    let of = world.own_type(&provider, AppointmentType { limits, ..kind(&[60]) }).await;
    let booked = world.book_type(&customer, &provider, &of, "2026-11-23 09:00").await.unwrap();
    assert_eq!(world.starts_of(&customer, &of, DAY).await, Vec::<String>::new());
    assert_eq!(world.starts_of(&other, &of, DAY).await.len(), 7);
    let told = rules(&world, &customer, explaining(&provider, &of, "2026-11-24 09:00")).await;
    assert_eq!(told.unwrap(), [Rule::CustomerLimit]);
    let before = world.state().await;
    let start = "2026-11-24 09:00";
    refused(world.hold(&customer, holding(&provider, &of, start)).await, "CUSTOMER_LIMIT");
    refused(world.book_type(&customer, &provider, &of, start).await, "CUSTOMER_LIMIT");
    assert_eq!(world.state().await, before);
    // Whoever moves the one that there is, is not at the limit.
    let moving = ListSlotsRequest { rescheduling: booked.name.clone(), ..on_day(&of, DAY) };
    assert_eq!(starts(&world, &customer, moving).await.len(), 7);
    world.cancel(&customer, &booked.name).await.unwrap();
    assert_eq!(world.starts_of(&customer, &of, DAY).await.len(), 8);
}

async fn what_a_customer_holds_is_offered_to_the_customer(world: World) {
    let (provider, customer, other) =
        (world.provider().await, world.customer().await, world.customer().await);
    let limits = Some(BookingLimits { per_provider_day: 1, ..Default::default() });
    let of = AppointmentType { limits, slot_step: minutes(15), ..kind(&[30]) };
    let of = world.own_type(&provider, of).await;
    world.hold(&customer, holding(&provider, &of, "2026-11-23 10:00")).await.unwrap();
    assert_eq!(world.starts_of(&other, &of, DAY).await, Vec::<String>::new());
    // The hold fills the day, but for what takes its place.
    assert_eq!(world.starts_of(&customer, &of, DAY).await, ["09:45", "10:00", "10:15"]);
    for (start, told) in [
        ("2026-11-23 09:30", vec![Rule::DayLimit]),
        ("2026-11-23 09:45", vec![]),
        ("2026-11-23 10:00", vec![]),
        ("2026-11-23 10:15", vec![]),
        ("2026-11-23 10:30", vec![Rule::DayLimit]),
    ] {
        let asked = explaining(&provider, &of, start);
        assert_eq!(rules(&world, &customer, asked.clone()).await.unwrap(), told, "{start}");
        assert!(rules(&world, &other, asked).await.unwrap().contains(&Rule::DayLimit));
    }
    refused(world.book_type(&customer, &provider, &of, "2026-11-23 10:30").await, "DAY_LIMIT");
    world.book_type(&customer, &provider, &of, "2026-11-23 10:15").await.unwrap();
    books::check(&world.sql().await).await;
}

async fn anybody_is_whom_the_customer_holds(world: World) {
    let (one, two, customer) =
        (world.provider().await, world.provider().await, world.customer().await);
    let of = world.shared_type(&world.admin().await, kind(&[30]), &[&one, &two]).await;
    for (hour, holder) in [(9, &two), (10, &one), (11, &two)] {
        let start = format!("2026-11-23 {hour:02}:00");
        let hold = world.hold(&customer, holding(holder, &of, &start)).await.unwrap();
        let request = crate::support::types::anybodys(&of, &start);
        let booked = world.send(&customer, request).await.unwrap();
        assert_eq!(booked.name, hold.name.replace("/holds/", "/appointments/"));
    }
    books::check(&world.sql().await).await;
}

async fn providers_are_not_offered_their_own_time(world: World) {
    let (one, two, admin) = (world.provider().await, world.provider().await, world.admin().await);
    let of = world.shared_type(&admin, kind(&[60]), &[&one, &two]).await;
    let slots = world.list_slots(&one, on_day(&of, DAY)).await;
    assert_eq!(slots.len(), 8);
    assert!(slots.iter().all(|slot| slot.providers == [two.provider()]));
    let told = rules(&world, &one, explaining(&one, &of, "2026-11-23 09:00")).await.unwrap();
    assert_eq!(told, [Rule::OwnTime]);
    // For a customer it is all of it.
    let customer = world.customer().await.user.name;
    let own = ListSlotsRequest { customer, ..on_day(&of, DAY) };
    let slots = world.list_slots(&one, own).await;
    assert!(slots.iter().all(|slot| slot.providers == [one.provider()]) && slots.len() == 8);
}

async fn those_who_act_for_a_customer_see_what_the_customer_can_have(world: World) {
    let (one, two, customer, other, admin) = (
        world.provider().await,
        world.provider().await,
        world.customer().await,
        world.customer().await,
        world.admin().await,
    );
    let of = world.shared_type(&admin, kind(&[60]), &[&one, &two]).await;
    world.book_type(&customer, &two, &of, "2026-11-23 10:00").await.unwrap();
    let whole = on_day(&of, DAY);
    let name = customer.user.name.clone();
    let for_customer = || ListSlotsRequest { customer: name.clone(), ..whole.clone() };
    // An admin asks about everybody, a provider about their own time.
    for (caller, providers) in [(&admin, 2), (&one, 1)] {
        let slots = world.list_slots(caller, for_customer()).await;
        assert_eq!(slots.len(), 7);
        assert!(slots.iter().all(|slot| local(slot.start_time) != "2026-11-23 10:00"));
        assert!(slots.iter().all(|slot| slot.providers.len() == providers));
    }
    let asked =
        ExplainSlotRequest { customer: name.clone(), ..explaining(&one, &of, "2026-11-23 10:00") };
    for (caller, is_told) in [(&admin, true), (&one, false)] {
        let answer = world.slots().explain_slot(caller.asks(asked.clone())).await.unwrap();
        let told = answer.into_inner().exclusions;
        assert_eq!(told.iter().map(Exclusion::rule).collect::<Vec<_>>(), [Rule::CustomerBusy]);
        // Providers are not told when a customer is elsewhere.
        assert_eq!(told[0].start_time.is_some(), is_told);
    }
    refused(rules(&world, &two, asked.clone()).await, "ROLE_NOT_ALLOWED");
    refused(rules(&world, &other, asked.clone()).await, "ROLE_NOT_ALLOWED");
    let others = ListSlotsRequest { providers: vec![two.provider()], ..for_customer() };
    refused(world.slots().list_slots(one.asks(others)).await, "ROLE_NOT_ALLOWED");
    refused(world.slots().list_slots(other.asks(for_customer())).await, "ROLE_NOT_ALLOWED");
    let nobody = "users/01980000-0000-7000-8000-000000000000".to_owned();
    let absent = ListSlotsRequest { customer: nobody, ..whole.clone() };
    refused(world.slots().list_slots(admin.asks(absent)).await, "NOT_FOUND");
    let bad = ListSlotsRequest {
        customer: "x".to_owned(),
        rescheduling: "y".to_owned(),
        ..whole.clone()
    };
    invalid(world.slots().list_slots(admin.asks(bad)).await, &["customer", "rescheduling"]);
    // A key acts for a customer, and as itself for nobody in particular.
    let scopes = ["daybook.booking.v1.AvailabilityService"];
    let backend = world.backend(&admin, Role::Customer, any_customer(), &scopes).await;
    let ask =
        async |request| world.slots().list_slots(request).await.unwrap().into_inner().slots.len();
    let ones = ListSlotsRequest { providers: vec![one.provider()], ..whole };
    assert_eq!(ask(backend.asks_for(ones.clone(), &name)).await, 7);
    assert_eq!(ask(backend.asks_for(ones, &other.user.name)).await, 8);
    // Staff hold for a customer, and book with the hold.
    let hold = HoldSlotRequest { customer: name.clone(), ..holding(&one, &of, "2026-11-23 10:00") };
    refused(world.hold(&one, hold).await, "CUSTOMER_BUSY");
    let hold = HoldSlotRequest { customer: name.clone(), ..holding(&one, &of, "2026-11-23 11:00") };
    refused(world.hold(&two, hold.clone()).await, "ROLE_NOT_ALLOWED");
    refused(world.hold(&other, hold.clone()).await, "ROLE_NOT_ALLOWED");
    let held = world.hold(&one, hold).await.unwrap();
    assert_eq!(held.customer, name);
    let book = daybook::grpc::proto::booking::BookAppointmentRequest {
        customer: name.clone(),
        ..typed(&one, &of, "2026-11-23 11:00")
    };
    let booked = world.send(&one, book).await.unwrap();
    assert_eq!(booked.name, held.name.replace("/holds/", "/appointments/"));
    books::check(&world.sql().await).await;
}

async fn whoever_moves_an_appointment_is_answered_as_if_it_were_absent(world: World) {
    let (one, two, customer, other, admin) = (
        world.provider().await,
        world.provider().await,
        world.customer().await,
        world.customer().await,
        world.admin().await,
    );
    let limits = Some(BookingLimits { per_provider_day: 1, ..Default::default() });
    let of = AppointmentType {
        limits,
        slot_step: minutes(30),
        buffer_after: minutes(15),
        reschedule_cutoff: minutes(120),
        ..kind(&[60, 30])
    };
    let of = world.shared_type(&admin, of, &[&one, &two]).await;
    let booked = world.book_type(&customer, &one, &of, "2026-11-23 10:00").await.unwrap();
    world.book_type(&other, &two, &of, "2026-11-23 09:00").await.unwrap();
    // The day is full for everybody, with both.
    assert_eq!(world.starts_of(&customer, &of, DAY).await, Vec::<String>::new());
    let moving = ListSlotsRequest { rescheduling: booked.name.clone(), ..on_day(&of, DAY) };
    let slots = world.list_slots(&customer, moving.clone()).await;
    assert!(slots.iter().all(|slot| slot.providers == [one.provider()]));
    // All of the day but where it is, as long as it is.
    let found = starts(&world, &customer, moving.clone()).await;
    assert_eq!(found.len(), 14);
    assert!(found.contains(&"09:30".to_owned()) && !found.contains(&"10:00".to_owned()));
    assert_eq!(slots[0].end_time.unwrap().seconds - slots[0].start_time.unwrap().seconds, 3600);
    for caller in [&one, &admin] {
        assert_eq!(starts(&world, caller, moving.clone()).await, found);
    }
    let request = FindFirstSlotRequest {
        appointment_type: of.name.clone(),
        rescheduling: booked.name.clone(),
        start_time: Some(berlin("2026-11-23 09:45")),
        ..Default::default()
    };
    let first = world.slots().find_first_slot(customer.asks(request)).await.unwrap().into_inner();
    assert_eq!(local(first.slot.unwrap().start_time), "2026-11-23 10:30");
    let asked = |start: &str| ExplainSlotRequest {
        rescheduling: booked.name.clone(),
        ..explaining(&one, &of, start)
    };
    for (start, told) in [
        ("2026-11-23 10:00", vec![Rule::Unchanged]),
        ("2026-11-23 10:30", vec![]),
        ("2026-11-23 10:45", vec![Rule::OffGrid]),
        ("2026-11-23 16:30", vec![Rule::OutsideHours]),
    ] {
        assert_eq!(rules(&world, &customer, asked(start)).await.unwrap(), told, "{start}");
    }
    // Archived, and not offered any more: what was agreed stays movable, and so it is told.
    world.archive(&admin, &of, true).await;
    assert_eq!(starts(&world, &customer, moving.clone()).await, found);
    assert_eq!(rules(&world, &customer, asked("2026-11-23 10:30")).await.unwrap(), []);
    world.reschedule(&customer, &booked.name, "2026-11-23 10:30").await.unwrap();
    // After the cut-off it is told why not.
    world.move_to("2026-11-23 08:31", "Europe/Berlin");
    assert_eq!(starts(&world, &customer, moving.clone()).await, Vec::<String>::new());
    let told = rules(&world, &customer, asked("2026-11-23 12:00")).await.unwrap();
    assert_eq!(told, [Rule::TooLate]);
    refused(world.reschedule(&customer, &booked.name, "2026-11-23 12:00").await, "TOO_LATE");
    assert_eq!(rules(&world, &one, asked("2026-11-23 12:00")).await.unwrap(), []);
    world.reschedule(&one, &booked.name, "2026-11-23 12:00").await.unwrap();
    books::check(&world.sql().await).await;
}

async fn what_can_be_moved_is_asked_about_by_those_who_may_move_it(world: World) {
    let (one, two, customer, other, admin) = (
        world.provider().await,
        world.provider().await,
        world.customer().await,
        world.customer().await,
        world.admin().await,
    );
    let of = world.shared_type(&admin, kind(&[60, 30]), &[&one, &two]).await;
    let another = world.own_type(&one, kind(&[60])).await;
    let booked = world.book_type(&customer, &one, &of, "2026-11-23 10:00").await.unwrap();
    let bare = world.book(&customer, &one, berlin("2026-11-23 12:00"), berlin("2026-11-23 12:30"));
    let bare = bare.await.unwrap();
    let ask = async |caller: &Person, request: ListSlotsRequest| {
        world.slots().list_slots(caller.asks(request)).await
    };
    let moving = |of: &AppointmentType, name: &str| ListSlotsRequest {
        rescheduling: name.to_owned(),
        ..on_day(of, DAY)
    };
    for stranger in [&other, &two] {
        refused(ask(stranger, moving(&of, &booked.name)).await, "NOT_FOUND");
    }
    let absent = booked.name.replace("appointments/0", "appointments/1");
    refused(ask(&customer, moving(&of, &absent)).await, "NOT_FOUND");
    invalid(ask(&customer, moving(&another, &booked.name)).await, &["rescheduling"]);
    invalid(ask(&customer, moving(&of, &bare.name)).await, &["rescheduling"]);
    let elsewhere =
        ListSlotsRequest { providers: vec![two.provider()], ..moving(&of, &booked.name) };
    invalid(ask(&customer, elsewhere).await, &["rescheduling"]);
    let shorter = ListSlotsRequest { duration: minutes(30), ..moving(&of, &booked.name) };
    invalid(ask(&customer, shorter).await, &["duration"]);
    let theirs =
        ListSlotsRequest { customer: other.user.name.clone(), ..moving(&of, &booked.name) };
    invalid(ask(&admin, theirs).await, &["customer"]);
    world.cancel(&customer, &booked.name).await.unwrap();
    refused(ask(&customer, moving(&of, &booked.name)).await, "WRONG_STATE");
}

async fn free_time_is_the_callers(world: World) {
    let (one, two, customer, other) = (
        world.provider().await,
        world.provider().await,
        world.customer().await,
        world.customer().await,
    );
    let day = (2026, 11, 23);
    let book = async |with: &Person, from: &str, until: &str| {
        world.book(&customer, with, berlin(from), berlin(until)).await.unwrap()
    };
    book(&two, "2026-11-23 09:15", "2026-11-23 10:00").await;
    let booked = book(&one, "2026-11-23 12:00", "2026-11-23 13:00").await;
    world.hold_interval(&customer, &one, "2026-11-23 14:00", "2026-11-23 14:30").await;
    let at = |slots: &[daybook::grpc::proto::booking::Interval]| -> Vec<String> {
        slots.iter().map(|slot| local(slot.start_time)[11..].to_owned()).collect()
    };
    let shared = world.availability(&other, &one, day).await;
    assert_eq!(shared.slots.len(), 16 - 2 - 1);
    let own = world.availability(&customer, &one, day).await;
    assert_eq!(own.slots.len(), 16 - 2 - 2);
    assert!(at(&own.slots).contains(&"14:00".to_owned()));
    assert!(!at(&own.slots).contains(&"09:00".to_owned()));
    let free: Vec<_> = own
        .free_intervals
        .iter()
        .map(|free| {
            (local(free.start_time)[11..].to_owned(), local(free.end_time)[11..].to_owned())
        })
        .collect();
    let expected = [("09:00", "09:15"), ("10:00", "12:00"), ("13:00", "17:00")];
    let expected = expected.map(|(from, until)| (from.to_owned(), until.to_owned()));
    assert_eq!(free, expected);
    // What shall be moved is absent, and as long as it is.
    let ask = async |caller: &Person, request: GetAvailabilityRequest| {
        let answer = world.booking().get_availability(caller.asks(request)).await?;
        Ok::<_, Status>(at(&answer.into_inner().slots))
    };
    let plain = GetAvailabilityRequest {
        provider: one.provider(),
        start_date: Some(date(day)),
        ..Default::default()
    };
    let moving = GetAvailabilityRequest { rescheduling: booked.name.clone(), ..plain.clone() };
    let slots = ask(&customer, moving.clone()).await.unwrap();
    assert_eq!(
        slots,
        [
            "10:00", "10:30", "11:00", "11:30", "12:30", "13:00", "13:30", "14:00", "14:30",
            "15:00", "15:30", "16:00"
        ]
    );
    assert_eq!(ask(&one, moving.clone()).await.unwrap(), slots);
    refused(ask(&other, moving.clone()).await, "NOT_FOUND");
    let elsewhere = GetAvailabilityRequest { provider: two.provider(), ..moving };
    invalid(world.booking().get_availability(customer.asks(elsewhere)).await, &["rescheduling"]);
    for start in ["2026-11-23 12:30", "2026-11-23 14:00"] {
        let request = RescheduleAppointmentRequest {
            name: booked.name.clone(),
            start_time: Some(berlin(start)),
            ..Default::default()
        };
        world.booking().reschedule_appointment(customer.asks(request)).await.unwrap();
    }
    // Staff ask for a customer, and providers look at what others can book with them.
    let for_customer =
        GetAvailabilityRequest { customer: customer.user.name.clone(), ..plain.clone() };
    let theirs = ask(&one, for_customer.clone()).await.unwrap();
    assert_eq!(theirs, ask(&customer, plain.clone()).await.unwrap());
    refused(ask(&two, for_customer.clone()).await, "ROLE_NOT_ALLOWED");
    refused(ask(&other, for_customer).await, "ROLE_NOT_ALLOWED");
    assert_eq!(ask(&one, plain.clone()).await.unwrap(), ask(&other, plain).await.unwrap());
    books::check(&world.sql().await).await;
}

async fn a_slot_is_held_for_what_shall_be_moved(world: World) {
    let (provider, two, customer, other) = (
        world.provider().await,
        world.provider().await,
        world.customer().await,
        world.customer().await,
    );
    let limits =
        Some(BookingLimits { open_per_customer: 1, per_provider_day: 1, ..Default::default() });
    let of = AppointmentType { limits, buffer_after: minutes(15), ..kind(&[60, 30]) };
    let of = world.own_type(&provider, of).await;
    let booked = world.book_type(&customer, &provider, &of, "2026-11-23 10:00").await.unwrap();
    // Neither the customer's limit nor that of the day counts what shall be moved.
    let plain = holding(&provider, &of, "2026-11-23 14:00");
    refused(world.hold(&customer, plain.clone()).await, "DAY_LIMIT");
    let to_move = |start: &str| HoldSlotRequest {
        rescheduling: booked.name.clone(),
        start_time: Some(berlin(start)),
        ..Default::default()
    };
    let held = world.hold(&customer, to_move("2026-11-23 14:00")).await.unwrap();
    assert_eq!(
        (held.appointment_type.as_str(), held.customer.as_str()),
        (&*of.name, &*customer.user.name)
    );
    assert_eq!(held.end_time.unwrap().seconds - held.start_time.unwrap().seconds, 3600);
    // The same again is the same hold, and what overlaps it takes its place.
    assert_eq!(world.hold(&customer, to_move("2026-11-23 14:00")).await.unwrap(), held);
    let held = world.hold(&customer, to_move("2026-11-23 15:00")).await.unwrap();
    let moved = world.reschedule(&customer, &booked.name, "2026-11-23 15:00").await.unwrap();
    assert_eq!(moved.start_time, held.start_time);
    // By the rules of the move, and by those who may move it.
    refused(world.hold(&customer, to_move("2026-11-23 09:10")).await, "OFF_GRID");
    invalid(
        world.booking().hold_slot(customer.asks(to_move("2026-11-23 15:00"))).await,
        &["start_time"],
    );
    refused(world.hold(&other, to_move("2026-11-23 12:00")).await, "NOT_FOUND");
    refused(world.hold(&two, to_move("2026-11-23 12:00")).await, "NOT_FOUND");
    let bad = HoldSlotRequest {
        provider: two.provider(),
        customer: customer.user.name.clone(),
        duration: minutes(30),
        ..to_move("2026-11-23 12:00")
    };
    let answer = world.booking().hold_slot(customer.asks(bad)).await;
    invalid(answer, &["duration", "customer", "provider"]);
    let (start, end) = (berlin("2026-11-23 11:30"), berlin("2026-11-23 12:30"));
    world.book(&customer, &two, start, end).await.unwrap();
    refused(world.hold(&customer, to_move("2026-11-23 12:00")).await, "CUSTOMER_BUSY");
    world.hold(&provider, to_move("2026-11-23 13:00")).await.unwrap();
    world.cancel(&customer, &booked.name).await.unwrap();
    refused(world.hold(&customer, to_move("2026-11-23 09:00")).await, "WRONG_STATE");
    books::check(&world.sql().await).await;
}
