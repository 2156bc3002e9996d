//! One's own hold is not in one's way, and those whom it concerns see it.

use daybook::grpc::proto::booking::{
    AppointmentType, BookAppointmentRequest, BookingLimits, Hold, HoldSlotRequest,
    ListHoldsRequest, ReleaseHoldRequest, appointment::State,
};
use tonic::Status;

use super::behaviours;
use crate::support::{
    World, berlin, books,
    people::{Person, booking, uuid},
    refusal::{invalid, reason_of, refused},
    types::{holding, kind, local, minutes, typed},
};

behaviours!(
    what_is_held_is_booked_without_its_name,
    what_a_hold_settled_is_not_asked_again,
    a_bare_interval_that_is_held_is_booked_without_its_name,
    holding_again_is_the_same_hold,
    a_hold_gives_way_to_what_overlaps_it,
    a_move_takes_the_place_of_a_hold,
    staff_book_what_the_customer_holds,
    holds_are_listed_for_those_whom_they_concern,
    bad_questions_for_holds_are_told_by_field,
    a_slot_over_an_appointments_own_time_is_held_to_move_it,
);

async fn release(world: &World, caller: &Person, hold: &Hold) -> Result<(), Status> {
    let request = ReleaseHoldRequest { name: hold.name.clone(), ..Default::default() };
    world.booking().release_hold(caller.asks(request)).await.map(|_| ())
}

async fn listed(world: &World, caller: &Person, request: ListHoldsRequest) -> Vec<Hold> {
    world.booking().list_holds(caller.asks(request)).await.unwrap().into_inner().holds
}

async fn what_is_held_is_booked_without_its_name(world: World) {
    let (provider, customer, other) =
        (world.provider().await, world.customer().await, world.customer().await);
    let buffered = AppointmentType { buffer_after: minutes(15), ..kind(&[30, 60]) };
    let buffered = world.own_type(&provider, buffered).await;
    let start = "2026-11-23 10:00";
    let hold = world.hold(&customer, holding(&provider, &buffered, start)).await.unwrap();
    refused(world.book_type(&other, &provider, &buffered, start).await, "SLOT_TAKEN");
    let request_id = uuid();
    let request = BookAppointmentRequest {
        note: "as held".to_owned(),
        request_id,
        ..typed(&provider, &buffered, start)
    };
    let booked = world.send(&customer, request.clone()).await.unwrap();
    assert_eq!(booked.name, hold.name.replace("/holds/", "/appointments/"));
    assert_eq!((booked.state(), booked.note.as_str()), (State::Booked, "as held"));
    assert_eq!(world.send(&customer, request).await.unwrap(), booked);
    refused(release(&world, &customer, &hold).await, "HOLD_ENDED");
    // A type with approval: it becomes a request.
    let asked = AppointmentType { requires_approval: true, ..kind(&[30]) };
    let asked = world.own_type(&provider, asked).await;
    let start = "2026-11-23 12:00";
    let hold = world.hold(&customer, holding(&provider, &asked, start)).await.unwrap();
    let pending = world.book_type(&customer, &provider, &asked, start).await.unwrap();
    assert_eq!(pending.name, hold.name.replace("/holds/", "/appointments/"));
    assert_eq!(pending.state(), State::Pending);
    books::check(&world.sql().await).await;
}

async fn what_a_hold_settled_is_not_asked_again(world: World) {
    let (provider, customer, other) =
        (world.provider().await, world.customer().await, world.customer().await);
    let limits = Some(BookingLimits { per_provider_day: 1, ..Default::default() });
    // It is Sunday at 13:00: nine o'clock is at the last moment for it.
    let strict = AppointmentType { limits, minimum_notice: minutes(20 * 60), ..kind(&[30]) };
    let strict = world.own_type(&provider, strict).await;
    let start = "2026-11-23 09:00";
    let hold = world.hold(&customer, holding(&provider, &strict, start)).await.unwrap();
    world.move_to("2026-11-22 13:04", "Europe/Berlin");
    // Now the notice is too short, and for others the day is full.
    refused(world.book_type(&other, &provider, &strict, start).await, "NOTICE_TOO_SHORT");
    refused(world.book_type(&other, &provider, &strict, "2026-11-23 10:00").await, "DAY_LIMIT");
    // Nor is there room on the day for another one of the same customer beside the hold.
    refused(world.book_type(&customer, &provider, &strict, "2026-11-23 10:00").await, "DAY_LIMIT");
    let booked = world.book_type(&customer, &provider, &strict, start).await.unwrap();
    assert_eq!(booked.name, hold.name.replace("/holds/", "/appointments/"));
    books::check(&world.sql().await).await;
}

async fn a_bare_interval_that_is_held_is_booked_without_its_name(world: World) {
    let (provider, customer, other) =
        (world.provider().await, world.customer().await, world.customer().await);
    let held = async |from: &str, until: &str| {
        world.hold_interval(&customer, &provider, from, until).await
    };
    let book = async |who: &Person, from: &str, until: &str| {
        world.send(who, booking(&provider, berlin(from), berlin(until))).await
    };
    // Twice: a schedule that was met before goes a way of its own on one engine.
    for hour in [9, 10] {
        let (from, until) =
            (format!("2026-11-23 {hour:02}:00"), format!("2026-11-23 {hour:02}:30"));
        let hold = held(&from, &until).await;
        refused(book(&other, &from, &until).await, "SLOT_TAKEN");
        let booked = book(&customer, &from, &until).await.unwrap();
        assert_eq!(booked.name, hold.replace("/holds/", "/appointments/"));
    }
    // Longer than what is held: the hold ends, and the appointment is another one.
    let hold = held("2026-11-23 14:00", "2026-11-23 14:30").await;
    let booked = book(&customer, "2026-11-23 13:30", "2026-11-23 14:30").await.unwrap();
    assert_ne!(booked.name, hold.replace("/holds/", "/appointments/"));
    assert_eq!(listed(&world, &customer, ListHoldsRequest::default()).await, []);
    // What others hold stays in the way.
    let hold = world.hold_interval(&other, &provider, "2026-11-23 16:00", "2026-11-23 16:30").await;
    held("2026-11-23 15:30", "2026-11-23 16:00").await;
    refused(book(&customer, "2026-11-23 15:45", "2026-11-23 16:15").await, "SLOT_TAKEN");
    let left: Vec<_> = listed(&world, &other, ListHoldsRequest::default()).await;
    assert_eq!(left.iter().map(|each| each.name.as_str()).collect::<Vec<_>>(), [hold]);
    // The refused one gave nothing up.
    assert_eq!(listed(&world, &customer, ListHoldsRequest::default()).await.len(), 1);
    books::check(&world.sql().await).await;
}

async fn holding_again_is_the_same_hold(world: World) {
    let (provider, customer) = (world.provider().await, world.customer().await);
    let plain = world.own_type(&provider, kind(&[30])).await;
    let mut all = Vec::new();
    for hour in 10..15 {
        let request = holding(&provider, &plain, &format!("2026-11-23 {hour}:00"));
        all.push(world.hold(&customer, request).await.unwrap());
    }
    world.move_to("2026-11-22 13:02", "Europe/Berlin");
    let before = world.state().await;
    for (hold, hour) in all.iter().zip(10..) {
        let request = HoldSlotRequest {
            hold_duration: minutes(15),
            request_id: uuid(),
            ..holding(&provider, &plain, &format!("2026-11-23 {hour}:00"))
        };
        // It does not last longer either: ExtendHold does that, once.
        assert_eq!(&world.hold(&customer, request.clone()).await.unwrap(), hold);
        assert_eq!(&world.hold(&customer, request).await.unwrap(), hold);
    }
    assert_eq!(world.state().await, before);
    books::check(&world.sql().await).await;
}

async fn a_hold_gives_way_to_what_overlaps_it(world: World) {
    let (provider, customer, other) =
        (world.provider().await, world.customer().await, world.customer().await);
    let limits = Some(BookingLimits { per_provider_day: 2, ..Default::default() });
    let limited = AppointmentType { limits, slot_step: minutes(15), ..kind(&[30, 60]) };
    let limited = world.own_type(&provider, limited).await;
    let other_type = world.own_type(&provider, kind(&[30])).await;
    let of = |start: &str| holding(&provider, &limited, start);
    let first = world.hold(&customer, of("2026-11-23 10:00")).await.unwrap();
    let second = world.hold(&customer, of("2026-11-23 10:15")).await.unwrap();
    assert_ne!(first.name, second.name);
    assert_eq!(
        listed(&world, &customer, ListHoldsRequest::default()).await,
        std::slice::from_ref(&second)
    );
    refused(release(&world, &customer, &first).await, "HOLD_ENDED");
    // The day has room for two of this type; a hold that gives way does not count.
    let third = world.hold(&customer, of("2026-11-23 11:00")).await.unwrap();
    refused(world.hold(&customer, of("2026-11-23 14:00")).await, "DAY_LIMIT");
    let long = HoldSlotRequest { duration: minutes(60), ..of("2026-11-23 10:15") };
    let long = world.hold(&customer, long).await.unwrap();
    // It overlaps both.
    assert_eq!(
        listed(&world, &customer, ListHoldsRequest::default()).await,
        std::slice::from_ref(&long)
    );
    refused(release(&world, &customer, &third).await, "HOLD_ENDED");
    // Of another type as well.
    let booked = world.book_type(&customer, &provider, &other_type, "2026-11-23 10:30").await;
    booked.unwrap();
    assert_eq!(listed(&world, &customer, ListHoldsRequest::default()).await, []);
    world.book_type(&other, &provider, &limited, "2026-11-23 11:00").await.unwrap();
    books::check(&world.sql().await).await;
}

async fn a_move_takes_the_place_of_a_hold(world: World) {
    let (provider, customer, other) =
        (world.provider().await, world.customer().await, world.customer().await);
    let limits = Some(BookingLimits { per_provider_day: 2, ..Default::default() });
    let limited = AppointmentType { limits, ..kind(&[30]) };
    let limited = world.own_type(&provider, limited).await;
    let booked = world.book_type(&customer, &provider, &limited, "2026-11-23 09:00").await.unwrap();
    let held = holding(&provider, &limited, "2026-11-24 10:00");
    world.hold(&customer, held).await.unwrap();
    let foreign = holding(&provider, &limited, "2026-11-24 11:00");
    world.hold(&other, foreign).await.unwrap();
    // The day is full, by a hold that is in nobody else's place.
    refused(world.reschedule(&customer, &booked.name, "2026-11-24 12:00").await, "DAY_LIMIT");
    let before = world.state().await;
    refused(world.reschedule(&customer, &booked.name, "2026-11-24 11:00").await, "DAY_LIMIT");
    assert_eq!(world.state().await, before);
    let moved = world.reschedule(&customer, &booked.name, "2026-11-24 10:00").await.unwrap();
    assert_eq!((moved.name, local(moved.start_time)), (booked.name, "2026-11-24 10:00".to_owned()));
    assert_eq!(listed(&world, &customer, ListHoldsRequest::default()).await, []);
    assert_eq!(listed(&world, &other, ListHoldsRequest::default()).await.len(), 1);
    books::check(&world.sql().await).await;
}

async fn staff_book_what_the_customer_holds(world: World) {
    let (provider, customer, other) =
        (world.provider().await, world.customer().await, world.customer().await);
    let plain = world.own_type(&provider, kind(&[30])).await;
    let start = "2026-11-23 10:00";
    let hold = world.hold(&customer, holding(&provider, &plain, start)).await.unwrap();
    let for_whom = |person: &Person| BookAppointmentRequest {
        customer: person.user.name.clone(),
        ..typed(&provider, &plain, start)
    };
    refused(world.send(&provider, for_whom(&other)).await, "SLOT_TAKEN");
    let booked = world.send(&provider, for_whom(&customer)).await.unwrap();
    assert_eq!(booked.name, hold.name.replace("/holds/", "/appointments/"));
    assert_eq!(booked.customer, customer.user.name);
    books::check(&world.sql().await).await;
}

async fn holds_are_listed_for_those_whom_they_concern(world: World) {
    let (one, two, customer, other, admin) = (
        world.provider().await,
        world.provider().await,
        world.customer().await,
        world.customer().await,
        world.admin().await,
    );
    let plain = world.shared_type(&admin, kind(&[30]), &[&one, &two]).await;
    let hold = async |who: &Person, with: &Person, start: &str| {
        world.hold(who, holding(with, &plain, start)).await.unwrap()
    };
    let third = hold(&customer, &two, "2026-11-24 09:00").await;
    let first = hold(&customer, &one, "2026-11-23 10:00").await;
    let second = hold(&other, &one, "2026-11-23 11:00").await;
    assert_eq!(first.customer, customer.user.name);
    assert_eq!(first.customer_display_name, customer.user.display_name);
    assert_eq!(local(first.create_time), "2026-11-22 13:00");
    let of_provider =
        |who: &Person| ListHoldsRequest { provider: who.provider(), ..Default::default() };
    let of_customer =
        |who: &Person| ListHoldsRequest { customer: who.user.name.clone(), ..Default::default() };
    // The customer's, the provider's, and anybody's for admins.
    let own = [first.clone(), third.clone()];
    assert_eq!(listed(&world, &customer, ListHoldsRequest::default()).await, own);
    assert_eq!(listed(&world, &customer, of_customer(&customer)).await, own);
    assert_eq!(listed(&world, &admin, of_customer(&customer)).await, own);
    let ones = [first.clone(), second.clone()];
    assert_eq!(listed(&world, &one, of_provider(&one)).await, ones);
    assert_eq!(listed(&world, &admin, of_provider(&one)).await, ones);
    assert_eq!(listed(&world, &admin, ListHoldsRequest::default()).await, []);
    // Of a day of the provider's.
    let day = ListHoldsRequest {
        start_time: Some(berlin("2026-11-23 10:30")),
        end_time: Some(berlin("2026-11-24 00:00")),
        ..of_provider(&one)
    };
    assert_eq!(listed(&world, &one, day).await, std::slice::from_ref(&second));
    // Those of others are as if they were not there.
    for (caller, request) in [
        (&other, of_customer(&customer)),
        (&customer, of_provider(&one)),
        (&two, of_provider(&one)),
        (&one, of_customer(&customer)),
    ] {
        refused(world.booking().list_holds(caller.asks(request)).await, "NOT_FOUND");
    }
    // In pages.
    let mut request = ListHoldsRequest { page_size: 1, ..of_provider(&one) };
    let page = world.booking().list_holds(one.asks(request.clone())).await.unwrap().into_inner();
    assert_eq!(page.holds, [first]);
    request.page_token = page.next_page_token;
    let page = world.booking().list_holds(one.asks(request)).await.unwrap().into_inner();
    assert_eq!((page.holds, page.next_page_token.as_str()), (vec![second], ""));
    // What has ended is none, written down or not.
    world.move_to("2026-11-22 13:05", "Europe/Berlin");
    assert_eq!(listed(&world, &one, of_provider(&one)).await, []);
    assert_eq!(listed(&world, &customer, ListHoldsRequest::default()).await, []);
}

async fn bad_questions_for_holds_are_told_by_field(world: World) {
    let customer = world.customer().await;
    let request = ListHoldsRequest {
        provider: "providers/x".to_owned(),
        customer: "x".to_owned(),
        start_time: Some(berlin("2026-11-23 10:00")),
        end_time: Some(berlin("2026-11-23 10:00")),
        page_size: -1,
        page_token: "x".to_owned(),
    };
    let fields = ["provider", "customer", "end_time", "page_size", "page_token"];
    invalid(world.booking().list_holds(customer.asks(request)).await, &fields);
}

async fn a_slot_over_an_appointments_own_time_is_held_to_move_it(world: World) {
    let (provider, customer, other) =
        (world.provider().await, world.customer().await, world.customer().await);
    let of = AppointmentType {
        buffer_after: minutes(15),
        buffer_before: minutes(5),
        slot_step: minutes(5),
        ..kind(&[60])
    };
    let of = world.own_type(&provider, of).await;
    let booked = world.book_type(&customer, &provider, &of, "2026-11-23 12:00").await.unwrap();
    let hold = async |start: &str| {
        let start = format!("2026-11-23 {start}");
        let request = HoldSlotRequest {
            rescheduling: booked.name.clone(),
            ..holding(&provider, &of, &start)
        };
        world.hold(&customer, request).await
    };
    let take = async |start: &str| {
        let start = format!("2026-11-23 {start}");
        world.book_type(&other, &provider, &of, &start).await
    };
    // Later and earlier, by five minutes, by less than the buffers, and by nearly all of it.
    for (start, after, before) in [
        ("12:30", "13:50", "10:40"),
        ("12:05", "13:25", "10:40"),
        ("13:15", "14:35", "10:40"),
        ("11:30", "13:20", "10:10"),
        ("11:55", "13:20", "10:35"),
        ("10:45", "13:20", "09:25"),
    ] {
        let held = hold(start).await.unwrap();
        assert_eq!(local(held.start_time), format!("2026-11-23 {start}"));
        assert_eq!(held.end_time.unwrap().seconds - held.start_time.unwrap().seconds, 3600);
        // What is held already is answered as it is, and listed as a whole.
        assert_eq!(hold(start).await.unwrap(), held);
        let request = ListHoldsRequest { page_size: 1, ..Default::default() };
        assert_eq!(listed(&world, &customer, request).await, std::slice::from_ref(&held));
        // Nobody gets any of it, to the minute.
        let five = |time: &str, by: i64| {
            let at = chrono::NaiveTime::parse_from_str(time, "%H:%M").unwrap();
            (at + chrono::TimeDelta::minutes(by)).format("%H:%M").to_string()
        };
        refused(take(&five(after, -5)).await, "SLOT_TAKEN");
        refused(take(&five(before, 5)).await, "SLOT_TAKEN");
        for free in [after, before] {
            let theirs = take(free).await.unwrap();
            world.cancel(&other, &theirs.name).await.unwrap();
        }
        books::check(&world.sql().await).await;
        let moved = world.reschedule(&customer, &booked.name, &format!("2026-11-23 {start}")).await;
        assert_eq!(moved.unwrap().start_time, held.start_time);
        let request = ListHoldsRequest::default();
        assert_eq!(listed(&world, &customer, request).await, []);
        world.reschedule(&customer, &booked.name, "2026-11-23 12:00").await.unwrap();
        books::check(&world.sql().await).await;
    }
    // It is a hold like others: another one takes its place, and it is given up where the appointment goes elsewhere.
    hold("12:30").await.unwrap();
    let second = hold("11:30").await.unwrap();
    let all = listed(&world, &customer, ListHoldsRequest::default()).await;
    assert_eq!(all, std::slice::from_ref(&second));
    world.reschedule(&customer, &booked.name, "2026-11-23 15:00").await.unwrap();
    assert_eq!(listed(&world, &customer, ListHoldsRequest::default()).await, []);
    refused(release(&world, &customer, &second).await, "HOLD_ENDED");
    world.reschedule(&customer, &booked.name, "2026-11-23 12:00").await.unwrap();
    // Booked by itself it takes all of its time, which the appointment has.
    let held = hold("12:30").await.unwrap();
    let reason = reason_of(&world.book_hold(&customer, &held).await.unwrap_err());
    assert!(["SLOT_TAKEN", "CUSTOMER_BUSY"].contains(&&*reason), "{reason}");
    world.cancel(&customer, &booked.name).await.unwrap();
    world.book_hold(&customer, &held).await.unwrap();
    refused(take("11:30").await, "SLOT_TAKEN");
    books::check(&world.sql().await).await;
    // A shorter interval within it, or a longer one around it, is not held: it is moved at once.
    let (start, end) = (berlin("2026-11-24 12:00"), berlin("2026-11-24 12:30"));
    let bare = world.book(&customer, &provider, start, end).await.unwrap();
    for (start, end, is_held) in [
        ("12:10", "12:20", false),
        ("11:50", "12:40", false),
        ("12:20", "12:50", true),
        ("11:40", "12:10", true),
    ] {
        let at = |time: &str| Some(berlin(&format!("2026-11-24 {time}")));
        let request = HoldSlotRequest {
            provider: provider.provider(),
            start_time: at(start),
            end_time: at(end),
            rescheduling: bare.name.clone(),
            ..Default::default()
        };
        match world.hold(&customer, request).await {
            Ok(held) => {
                assert!(is_held, "{start}");
                release(&world, &customer, &held).await.unwrap();
            }
            refusal => {
                assert!(!is_held, "{start}");
                refused(refusal, "SLOT_TAKEN");
            }
        }
    }
    books::check(&world.sql().await).await;
}
