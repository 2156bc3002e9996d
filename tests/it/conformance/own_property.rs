//! For random practices and callers: what is listed is accepted at once by that caller, and what is refused was
//! explained.

use std::collections::BTreeSet;

use daybook::grpc::proto::booking::{
    AppointmentType, BookAppointmentRequest, BookingLimits, ExplainSlotRequest, HoldSlotRequest,
    ListSlotsRequest, ReleaseHoldRequest,
};
use prost_types::Timestamp;

use super::{agreement::reason, behaviours, overrides::stay, schedules::update};
use crate::support::{
    World, berlin, books,
    people::Person,
    refusal::reasons_of,
    rounds,
    types::{holding, kind, minutes, typed},
};

behaviours!(what_is_listed_is_accepted_at_once_and_what_is_refused_was_explained);

/// Random numbers that come again with the same seed.
pub(super) struct Chance(pub(super) u64);

impl Chance {
    pub(super) fn below(&mut self, most: usize) -> usize {
        self.0 =
            self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(self.0 >> 33).unwrap() % most
    }

    pub(super) fn of<'a, T>(&mut self, all: &'a [T]) -> &'a T {
        &all[self.below(all.len())]
    }
}

struct Practice {
    providers: Vec<Person>,
    callers: Vec<Person>,
    types: Vec<AppointmentType>,
}

/// Three providers, one of whom travels, customers, and types with all sorts of rules.
async fn practice(world: &World, chance: &mut Chance) -> Practice {
    let admin = world.admin().await;
    let mut providers = Vec::new();
    for place in 0..3 {
        let provider = world.provider().await;
        if place == 0 {
            let zone = *chance.of(&["Europe/London", "Pacific/Auckland", "America/New_York"]);
            let schedule = daybook::grpc::proto::booking::Schedule {
                name: provider.schedule(),
                stays: vec![stay((2026, 11, 24), (2026, 11, 24), zone)],
                ..Default::default()
            };
            update(world, &provider, schedule, &["stays"]).await.unwrap();
        }
        providers.push(provider);
    }
    let mut types = Vec::new();
    for _ in 0..3 {
        let limits = BookingLimits {
            per_provider_day: i32::try_from(chance.below(4)).unwrap(),
            open_per_customer: i32::try_from(chance.below(4)).unwrap(),
            ..Default::default()
        };
        let wanted = AppointmentType {
            buffer_before: minutes(i64::try_from(chance.below(3) * 5).unwrap()),
            buffer_after: minutes(i64::try_from(chance.below(3) * 10).unwrap()),
            slot_step: minutes(*chance.of(&[15, 30, 60])),
            requires_approval: chance.below(3) == 0,
            limits: Some(limits),
            ..kind(&[*chance.of(&[30, 45, 60])])
        };
        let offering: Vec<_> = providers.iter().filter(|_| chance.below(4) > 0).collect();
        types.push(world.shared_type(&admin, wanted, &offering).await);
    }
    let mut callers = vec![world.customer().await, world.customer().await, world.customer().await];
    // Providers are customers of their colleagues.
    callers.extend(providers.iter().cloned());
    Practice { providers, callers, types }
}

/// Something that somebody does, accepted or not.
async fn act(world: &World, practice: &Practice, chance: &mut Chance) {
    let (caller, of) = (chance.of(&practice.callers), chance.of(&practice.types));
    let provider = chance.of(&practice.providers);
    let quarter = chance.below(2 * 32);
    let (day, quarter) = (23 + quarter / 32, quarter % 32);
    let start = format!("2026-11-{day} {:02}:{:02}", 9 + quarter / 4, quarter % 4 * 15);
    match chance.below(4) {
        0 => drop(world.hold(caller, holding(provider, of, &start)).await),
        1 => {
            let (from, until) = (berlin(&start), berlin(&start).seconds + 1800);
            let until = Timestamp { seconds: until, nanos: 0 };
            drop(world.book(caller, provider, from, until).await);
        }
        _ => drop(world.book_type(caller, provider, of, &start).await),
    }
}

async fn what_is_listed_is_accepted_at_once_and_what_is_refused_was_explained(world: World) {
    let seed = std::env::var("TEST_SEED").ok().and_then(|seed| seed.parse().ok());
    let (mut listed, mut refusals) = (0, BTreeSet::new());
    for round in 0..rounds(2, 40) {
        let seed = seed.unwrap_or(41 + u64::try_from(round).unwrap());
        let mut chance = Chance(seed);
        let practice = practice(&world, &mut chance).await;
        for _ in 0..24 {
            act(&world, &practice, &mut chance).await;
        }
        for caller in &practice.callers {
            let of = chance.of(&practice.types).clone();
            let provider = chance.of(&practice.providers).clone();
            let asked = (caller, &provider, &of);
            listed += check(&world, asked, &mut chance, &mut refusals, seed).await;
        }
        books::check(&world.sql().await).await;
    }
    assert!(listed > 10, "{listed}");
    for reason in ["SLOT_TAKEN", "CUSTOMER_BUSY"] {
        assert!(refusals.contains(reason), "{refusals:?}");
    }
}

/// Of what one caller is told of one provider and type: how much was listed.
async fn check(
    world: &World,
    (caller, provider, of): (&Person, &Person, &AppointmentType),
    chance: &mut Chance,
    refusals: &mut BTreeSet<String>,
    seed: u64,
) -> usize {
    let (from, until) = (berlin("2026-11-23 08:30"), berlin("2026-11-25 00:00"));
    let request = ListSlotsRequest {
        appointment_type: of.name.clone(),
        providers: vec![provider.provider()],
        start_time: Some(from),
        end_time: Some(until),
        ..Default::default()
    };
    let list = async || -> BTreeSet<i64> {
        let slots = world.list_slots(caller, request.clone()).await;
        slots.iter().map(|slot| slot.start_time.unwrap().seconds).collect()
    };
    let mut offered = list().await;
    let listed = offered.len();
    for seconds in (from.seconds..until.seconds).step_by(900) {
        // All that is offered in turn, and some of the others.
        let is_offered = offered.contains(&seconds);
        if chance.below(if is_offered { 3 } else { 5 }) > 0 {
            continue;
        }
        let start_time = Some(Timestamp { seconds, nanos: 0 });
        let explain = ExplainSlotRequest {
            appointment_type: of.name.clone(),
            provider: provider.provider(),
            start_time,
            ..Default::default()
        };
        let told = world.slots().explain_slot(caller.asks(explain)).await.unwrap().into_inner();
        let told: BTreeSet<&str> = told.exclusions.iter().map(|each| reason(each.rule())).collect();
        let place = || format!("TEST_SEED={seed} {} at {seconds}: {told:?}", caller.user.name);
        assert_eq!(told.is_empty(), is_offered, "{}", place());
        let anywhen = "2026-11-23 09:00";
        let book = BookAppointmentRequest { start_time, ..typed(provider, of, anywhen) };
        let hold = HoldSlotRequest { start_time, ..holding(provider, of, anywhen) };
        if is_offered {
            let booked = world.send(caller, book).await;
            let booked = booked.unwrap_or_else(|status| panic!("{}: {status:?}", place()));
            world.cancel(caller, &booked.name).await.unwrap();
            match world.hold(caller, hold).await {
                Ok(held) => {
                    let request = ReleaseHoldRequest { name: held.name, ..Default::default() };
                    world.booking().release_hold(caller.asks(request)).await.unwrap();
                }
                // How many slots somebody may hold at a time is no matter of the slot.
                Err(status) => assert_eq!(reasons_of(&status), ["TOO_MANY_HOLDS"], "{}", place()),
            }
            // A hold of the caller's that gave way is gone.
            offered = list().await;
            continue;
        }
        let booked = world.send(caller, book).await.map(|_| ());
        for refused in [booked, world.hold(caller, hold).await.map(|_| ())] {
            let status = refused.expect_err(&place());
            for reason in reasons_of(&status) {
                assert!(told.contains(reason.as_str()), "{}: {reason}", place());
                refusals.insert(reason);
            }
        }
    }
    listed
}
