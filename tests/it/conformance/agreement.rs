//! Slots, explanations and bookings agree about every start of a provider who has a bit of everything.

use std::collections::BTreeSet;

use daybook::grpc::proto::booking::{
    AppointmentType, BookAppointmentRequest, BookingLimits, HoldSlotRequest, ListSlotsRequest,
    ReleaseHoldRequest, Schedule, appointment_type::Horizon, exclusion::Rule,
};
use futures_util::{StreamExt, stream};
use prost_types::Timestamp;

use super::{
    behaviours,
    overrides::{own, stay},
    schedules::update,
};
use crate::support::{
    World, berlin, books,
    people::Person,
    refusal::{reasons_of, refused},
    types::{holding, kind, minutes, typed},
};

behaviours!(what_is_offered_is_explained_as_free_and_accepted);

/// The reason with which a booking is refused under a rule.
pub(super) fn reason(rule: Rule) -> &'static str {
    match rule {
        Rule::InThePast => "IN_THE_PAST",
        Rule::Notice => "NOTICE_TOO_SHORT",
        Rule::Horizon => "BEYOND_HORIZON",
        Rule::OutsideHours => "OUTSIDE_HOURS",
        Rule::OffGrid => "OFF_GRID",
        Rule::TimeOff => "TIME_OFF",
        Rule::Closure => "PRACTICE_CLOSED",
        Rule::Claimed => "SLOT_TAKEN",
        Rule::DayLimit => "DAY_LIMIT",
        Rule::WeekLimit => "WEEK_LIMIT",
        Rule::CustomerBusy => "CUSTOMER_BUSY",
        Rule::CustomerLimit => "CUSTOMER_LIMIT",
        Rule::OwnTime => "OWN_TIME",
        Rule::NotOffered => "NOT_OFFERED",
        Rule::TooLate => "TOO_LATE",
        Rule::Archived | Rule::Unchanged | Rule::Unspecified => panic!("{rule:?}"),
    }
}

/// A provider with overrides, a stay, time off, a closure, limits, buffers, appointments, a hold, a
/// request and a hold that has ended; and two types of theirs.
async fn messy(world: &World, provider: &Person) -> [AppointmentType; 2] {
    let (one, two, admin) = (world.customer().await, world.customer().await, world.admin().await);
    let schedule = Schedule {
        name: provider.schedule(),
        date_overrides: vec![
            own((2026, 11, 24), &[((8, 10), (11, 50)), ((11, 50), (13, 0)), ((22, 0), (24, 0))]),
            own((2026, 11, 25), &[((0, 0), (2, 20)), ((15, 5), (18, 0))]),
        ],
        stays: vec![stay((2026, 11, 26), (2026, 11, 26), "America/New_York")],
        ..Default::default()
    };
    update(world, provider, schedule, &["date_overrides", "stays"]).await.unwrap();
    let strict = AppointmentType {
        buffer_before: minutes(10),
        buffer_after: minutes(20),
        slot_step: minutes(25),
        grid_offset: minutes(5),
        minimum_notice: minutes(21 * 60),
        horizon: Some(Horizon::RollingDays(4)),
        limits: Some(BookingLimits {
            per_provider_day: 2,
            time_per_provider_week: minutes(300),
            ..Default::default()
        }),
        ..kind(&[40])
    };
    let strict = world.own_type(provider, strict).await;
    let asked = AppointmentType {
        requires_approval: true,
        request_expiry: minutes(30),
        buffer_after: minutes(5),
        slot_step: minutes(20),
        ..kind(&[30])
    };
    let asked = world.own_type(provider, asked).await;
    // These have ended when the questions are asked.
    world.hold(&one, holding(provider, &asked, "2026-11-23 15:00")).await.unwrap();
    world.book_type(&one, provider, &asked, "2026-11-23 16:00").await.unwrap();
    world.move_to("2026-11-22 13:30", "Europe/Berlin");
    world.book_type(&one, provider, &strict, "2026-11-23 11:35").await.unwrap();
    world.book_type(&two, provider, &strict, "2026-11-24 08:15").await.unwrap();
    world.book_type(&two, provider, &strict, "2026-11-24 10:20").await.unwrap();
    let (start, end) = (berlin("2026-11-25 15:30"), berlin("2026-11-25 15:45"));
    world.book(&one, provider, start, end).await.unwrap();
    world.book_type(&one, provider, &asked, "2026-11-23 13:00").await.unwrap();
    let hold = HoldSlotRequest {
        hold_duration: minutes(15),
        ..holding(provider, &asked, "2026-11-25 16:05")
    };
    world.hold(&two, hold).await.unwrap();
    world.time_off(provider, "2026-11-23 14:00", "2026-11-23 14:35").await;
    world.time_off(provider, "2026-11-24 22:30", "2026-11-25 00:40").await;
    world.closure(&admin, "2026-11-26 16:00", "2026-11-26 17:30").await;
    world.move_to("2026-11-22 13:32", "Europe/Berlin");
    [strict, asked]
}

async fn what_is_offered_is_explained_as_free_and_accepted(world: World) {
    let (provider, customer) = (world.provider().await, world.customer().await);
    let types = messy(&world, &provider).await;
    let (from, until) = (berlin("2026-11-23 07:00").seconds, berlin("2026-11-27 18:00").seconds);
    let mut seen = BTreeSet::new();
    for kind in &types {
        let request = ListSlotsRequest {
            appointment_type: kind.name.clone(),
            providers: vec![provider.provider()],
            start_time: Some(Timestamp { seconds: from, nanos: 0 }),
            end_time: Some(Timestamp { seconds: until, nanos: 0 }),
            ..Default::default()
        };
        let slots = world.list_slots(&customer, request).await;
        let offered: BTreeSet<_> =
            slots.iter().map(|slot| slot.start_time.unwrap().seconds).collect();
        assert!(offered.len() > 5, "{offered:?}");
        let length = kind.durations[0].seconds;
        let starts: Vec<i64> = (from..=until - length).step_by(300).collect();
        let before = world.state().await;
        let explained = stream::iter(starts.iter().copied()).map(|seconds| {
            let (world, customer, provider) = (&world, &customer, &provider);
            async move {
                let at = Timestamp { seconds, nanos: 0 };
                (seconds, world.explain(customer, provider, kind, at).await)
            }
        });
        let explained: Vec<_> = explained.buffered(16).collect().await;
        assert_eq!(world.state().await, before);
        for (place, (seconds, told)) in explained.iter().enumerate() {
            assert_eq!(offered.contains(seconds), told.is_empty(), "{seconds}: {told:?}");
            let rules: BTreeSet<_> = told.iter().map(|each| reason(each.rule())).collect();
            // Each set of rules once, and every seventh start.
            let is_new = seen.insert((kind.name.clone(), rules.clone()));
            if is_new || place % 7 == 0 || told.is_empty() && place % 3 == 0 {
                accepted(&world, &customer, (&provider, kind), *seconds, &rules).await;
            }
        }
    }
    let all: BTreeSet<_> = seen.iter().flat_map(|(_, rules)| rules.iter().copied()).collect();
    let expected = [
        "BEYOND_HORIZON",
        "DAY_LIMIT",
        "NOTICE_TOO_SHORT",
        "OFF_GRID",
        "OUTSIDE_HOURS",
        "PRACTICE_CLOSED",
        "SLOT_TAKEN",
        "TIME_OFF",
    ];
    assert!(expected.iter().all(|rule| all.contains(rule)), "{all:?}");
    books::check(&world.sql().await).await;
}

/// A hold and a booking are accepted where nothing is against it, and refused for these rules else.
async fn accepted(
    world: &World,
    customer: &Person,
    (provider, kind): (&Person, &AppointmentType),
    seconds: i64,
    against: &BTreeSet<&str>,
) {
    let start_time = Some(Timestamp { seconds, nanos: 0 });
    let anywhen = "2026-11-23 09:00";
    let hold = HoldSlotRequest { start_time, ..holding(provider, kind, anywhen) };
    let book = BookAppointmentRequest { start_time, ..typed(provider, kind, anywhen) };
    let (held, booked) = if against.is_empty() {
        let held = world.hold(customer, hold).await.unwrap();
        let request = ReleaseHoldRequest { name: held.name, ..Default::default() };
        world.booking().release_hold(customer.asks(request)).await.unwrap();
        let booked = world.send(customer, book).await.unwrap();
        world.cancel(customer, &booked.name).await.unwrap();
        return;
    } else {
        (world.hold(customer, hold).await, world.send(customer, book).await.map(|_| ()))
    };
    // That the time is taken is told where no rule is against it.
    let rules: BTreeSet<_> = against.iter().copied().filter(|each| *each != "SLOT_TAKEN").collect();
    for status in [held.unwrap_err(), booked.unwrap_err()] {
        if rules.is_empty() {
            refused::<()>(Err(status), "SLOT_TAKEN");
        } else {
            let told = reasons_of(&status);
            assert_eq!(
                told.iter().map(String::as_str).collect::<BTreeSet<_>>(),
                rules,
                "{seconds}"
            );
            assert_eq!(told.len(), rules.len());
        }
    }
}
