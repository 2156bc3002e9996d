//! What ListSlots offers, what FindFirstSlot finds, and what ExplainSlot says.

use daybook::grpc::proto::booking::{
    AppointmentType, BookingLimits, DateRange, ExplainSlotRequest, FindFirstSlotRequest,
    ListSlotsRequest, Schedule, Slot,
    appointment_type::{Horizon, Visibility},
    exclusion::Rule,
};
use prost_types::Timestamp;

use super::{
    behaviours,
    overrides::{own, stay},
    schedules::update,
};
use crate::support::{
    World, berlin,
    people::{Person, date},
    refusal::{invalid, refused},
    types::{holding, kind, local, minutes, on_day},
};

behaviours!(
    slots_are_joined_by_start_with_those_who_could_take_them,
    slots_come_in_pages,
    a_question_reaches_sixty_two_days,
    slots_respect_everything_that_is_in_the_way,
    the_length_that_is_asked_for_is_free,
    the_first_slot_is_the_first_of_the_list,
    an_explanation_names_every_rule_and_every_claim,
    an_explanation_says_nothing_of_people,
    a_private_types_slots_take_its_link_code,
    bad_questions_for_slots_are_told_by_field,
);

const DAY: &str = "2026-11-23";

fn names(people: &[&Person]) -> Vec<String> {
    let mut names: Vec<_> = people.iter().map(|each| each.provider()).collect();
    names.sort();
    names
}

async fn slots_are_joined_by_start_with_those_who_could_take_them(world: World) {
    let (one, two, three, customer) = (
        world.provider().await,
        world.provider().await,
        world.provider().await,
        world.customer().await,
    );
    let admin = world.admin().await;
    let shared = world.shared_type(&admin, kind(&[60]), &[&one, &two]).await;
    let plain = world.list_slots(&customer, on_day(&shared, DAY)).await;
    assert_eq!(plain.len(), 8);
    assert!(plain.iter().all(|slot| slot.providers == names(&[&one, &two])));
    assert!(plain.is_sorted_by_key(|slot| slot.start_time.unwrap().seconds));
    assert_eq!(local(plain[7].end_time), "2026-11-23 17:00");
    let busy = world.customer().await;
    world.book_type(&busy, &one, &shared, "2026-11-23 10:00").await.unwrap();
    world.book_type(&three, &two, &shared, "2026-11-23 11:00").await.unwrap();
    world.time_off(&one, "2026-11-23 12:00", "2026-11-23 13:00").await;
    world.time_off(&two, "2026-11-23 12:00", "2026-11-23 13:00").await;
    let slots = world.list_slots(&customer, on_day(&shared, DAY)).await;
    let found: Vec<_> =
        slots.iter().map(|slot| (local(slot.start_time), slot.providers.clone())).collect();
    assert_eq!(found.len(), 7);
    assert_eq!(found[1], ("2026-11-23 10:00".to_owned(), names(&[&two])));
    assert_eq!(found[2], ("2026-11-23 11:00".to_owned(), names(&[&one])));
    assert_eq!(found[3].0, "2026-11-23 13:00");
    // Only those who are named, and of them only those who offer it.
    let of = async |people: &[&Person]| {
        let providers = people.iter().map(|each| each.provider()).collect();
        let request = ListSlotsRequest { providers, ..on_day(&shared, DAY) };
        world.list_slots(&customer, request).await
    };
    let ones = of(&[&one]).await;
    assert_eq!(ones.len(), 6);
    assert!(ones.iter().all(|slot| slot.providers == names(&[&one])));
    assert_eq!(of(&[&two, &one]).await, slots);
    assert_eq!(of(&[&one, &three]).await, ones);
    assert_eq!(of(&[&three]).await, []);
    world.offer(&admin, &shared, &three, "").await;
    // Who is a customer at 11:00 treats nobody then.
    assert_eq!(of(&[&three]).await.len(), 7);
}

async fn slots_come_in_pages(world: World) {
    let (one, two, customer) =
        (world.provider().await, world.provider().await, world.customer().await);
    let shared = AppointmentType { slot_step: minutes(15), ..kind(&[30]) };
    let shared = world.shared_type(&world.admin().await, shared, &[&one, &two]).await;
    let all = world.list_slots(&customer, on_day(&shared, DAY)).await;
    assert_eq!(all.len(), 31);
    for page_size in [1, 4, 30, 31, 32, 5000, 6000] {
        let mut request = ListSlotsRequest { page_size, ..on_day(&shared, DAY) };
        let mut found = Vec::new();
        loop {
            let answer = world.slots().list_slots(customer.asks(request.clone())).await;
            let answer = answer.unwrap().into_inner();
            assert!(answer.slots.len() <= usize::try_from(page_size).unwrap());
            found.extend(answer.slots);
            if answer.next_page_token.is_empty() {
                break;
            }
            request.page_token = answer.next_page_token;
        }
        assert_eq!(found, all, "{page_size}");
    }
    let request = ListSlotsRequest { page_size: 4, ..on_day(&shared, DAY) };
    let token = world.slots().list_slots(customer.asks(request.clone())).await.unwrap();
    let page_token = token.into_inner().next_page_token;
    let other = ListSlotsRequest { page_token, providers: names(&[&one]), ..request };
    invalid(world.slots().list_slots(customer.asks(other)).await, &["page_token"]);
}

async fn a_question_reaches_sixty_two_days(world: World) {
    let (provider, customer) = (world.provider().await, world.customer().await);
    let plain = world.own_type(&provider, kind(&[240])).await;
    let appointment_type = plain.name.clone();
    let ask = async |start_time: Option<Timestamp>, end_time: Option<Timestamp>| {
        let appointment_type = appointment_type.clone();
        let request =
            ListSlotsRequest { appointment_type, start_time, end_time, ..Default::default() };
        world.slots().list_slots(customer.asks(request)).await
    };
    let now = berlin("2026-11-22 13:00");
    let after = |from: Timestamp, seconds| Timestamp { seconds: from.seconds + seconds, nanos: 0 };
    let most = 62 * 86_400;
    // 62 days from a Sunday at 13:00 are 45 days of work, until a Saturday.
    let all = ask(None, None).await.unwrap().into_inner().slots;
    assert_eq!(all.len(), 90);
    assert_eq!(ask(None, Some(after(now, most))).await.unwrap().into_inner().slots, all);
    assert_eq!(ask(Some(now), None).await.unwrap().into_inner().slots, all);
    invalid(ask(None, Some(after(now, most + 1))).await, &["end_time"]);
    let later = berlin("2027-06-07 09:00");
    assert_eq!(ask(Some(later), None).await.unwrap().into_inner().slots.len(), 90);
    invalid(ask(Some(later), Some(after(later, most + 1))).await, &["end_time"]);
    invalid(ask(Some(later), Some(later)).await, &["end_time"]);
    invalid(ask(Some(later), Some(after(later, -1))).await, &["end_time"]);
    // A slot belongs to the range in which it starts.
    let (from, until) = (berlin("2026-11-23 09:00"), berlin("2026-11-23 13:00"));
    for until in [until, after(from, 1)] {
        assert_eq!(ask(Some(from), Some(until)).await.unwrap().into_inner().slots.len(), 1);
    }
    let next = ask(Some(after(from, 1)), Some(after(until, 1))).await.unwrap().into_inner().slots;
    assert_eq!(next[0].start_time, Some(until));
    assert_eq!(next.len(), 1);
    assert_eq!(ask(Some(after(from, 1)), Some(until)).await.unwrap().into_inner().slots, []);
    // What is over is not offered.
    let past = (berlin("2026-11-16 00:00"), berlin("2026-11-17 00:00"));
    assert_eq!(ask(Some(past.0), Some(past.1)).await.unwrap().into_inner().slots, []);
    world.move_to("2026-11-23 09:00", "Europe/Berlin");
    let left = ask(Some(from), Some(berlin("2026-11-23 23:00"))).await.unwrap().into_inner().slots;
    assert_eq!(
        left.iter().map(|slot| local(slot.start_time)).collect::<Vec<_>>(),
        ["2026-11-23 13:00"]
    );
}

async fn slots_respect_everything_that_is_in_the_way(world: World) {
    let (provider, customer, admin) =
        (world.provider().await, world.customer().await, world.admin().await);
    let plain = world.own_type(&provider, kind(&[60])).await;
    let asked = AppointmentType { requires_approval: true, ..kind(&[60]) };
    let asked = world.own_type(&provider, asked).await;
    let schedule = Schedule {
        name: provider.schedule(),
        date_overrides: vec![
            own((2026, 11, 24), &[]),
            own((2026, 11, 28), &[((10, 0), (12, 0)), ((13, 30), (15, 0))]),
        ],
        stays: vec![stay((2026, 11, 26), (2026, 11, 26), "Europe/London")],
        ..Default::default()
    };
    let fields = ["date_overrides", "stays"];
    update(&world, &provider, schedule, &fields).await.unwrap();
    let starts = async |day: &str| world.starts_of(&customer, &plain, day).await;
    assert_eq!(starts("2026-11-24").await.len(), 0);
    assert_eq!(starts("2026-11-28").await, ["10:00", "11:00", "13:30"]);
    assert_eq!(starts("2026-11-26").await[0], "10:00");
    assert_eq!(starts("2026-11-26").await.len(), 8);
    world.time_off(&provider, "2026-11-23 11:30", "2026-11-23 12:00").await;
    world.closure(&admin, "2026-11-23 16:59", "2026-11-23 18:00").await;
    let all = ["09:00", "10:00", "12:00", "13:00", "14:00", "15:00"];
    assert_eq!(starts(DAY).await, all);
    let busy = world.customer().await;
    world
        .book(&busy, &provider, berlin("2026-11-23 09:10"), berlin("2026-11-23 09:11"))
        .await
        .unwrap();
    world.book_type(&busy, &provider, &plain, "2026-11-23 10:00").await.unwrap();
    world.book_type(&busy, &provider, &asked, "2026-11-23 12:00").await.unwrap();
    world.hold(&busy, holding(&provider, &plain, "2026-11-23 13:00")).await.unwrap();
    assert_eq!(starts(DAY).await, ["14:00", "15:00"]);
    // The hold ends after 5 minutes, the request after 48 hours.
    world.move_to("2026-11-22 13:05", "Europe/Berlin");
    assert_eq!(starts(DAY).await, ["13:00", "14:00", "15:00"]);
}

async fn the_length_that_is_asked_for_is_free(world: World) {
    let (provider, customer) = (world.provider().await, world.customer().await);
    let both = AppointmentType { slot_step: minutes(60), ..kind(&[30, 90]) };
    let both = world.own_type(&provider, both).await;
    world.book_type(&customer, &provider, &both, "2026-11-23 12:00").await.unwrap();
    assert_eq!(world.starts_of(&customer, &both, DAY).await.len(), 7);
    let long = ListSlotsRequest { duration: minutes(90), ..on_day(&both, DAY) };
    let slots = world.list_slots(&customer, long.clone()).await;
    let starts: Vec<_> = slots.iter().map(|slot| local(slot.start_time)[11..].to_owned()).collect();
    assert_eq!(starts, ["09:00", "10:00", "13:00", "14:00", "15:00"]);
    assert_eq!(local(slots[0].end_time), "2026-11-23 10:30");
    let other = ListSlotsRequest { duration: minutes(60), ..long };
    invalid(world.slots().list_slots(customer.asks(other)).await, &["duration"]);
}

/// The first slot, and the first of the list.
async fn firsts(
    world: &World,
    caller: &Person,
    request: ListSlotsRequest,
) -> (Option<Slot>, Option<Slot>) {
    let asked = FindFirstSlotRequest {
        appointment_type: request.appointment_type.clone(),
        providers: request.providers.clone(),
        start_time: request.start_time,
        end_time: request.end_time,
        duration: request.duration,
        link_code: request.link_code.clone(),
        ..Default::default()
    };
    let first = world.slots().find_first_slot(caller.asks(asked)).await.unwrap().into_inner().slot;
    (first, world.list_slots(caller, request).await.into_iter().next())
}

async fn the_first_slot_is_the_first_of_the_list(world: World) {
    let (one, two, customer) =
        (world.provider().await, world.provider().await, world.customer().await);
    let admin = world.admin().await;
    let shared = world.shared_type(&admin, kind(&[60, 30]), &[&one, &two]).await;
    let general = ListSlotsRequest { appointment_type: shared.name.clone(), ..Default::default() };
    let same = async |request: ListSlotsRequest| {
        let (first, listed) = firsts(&world, &customer, request).await;
        assert_eq!(first, listed);
        first.map(|slot| (local(slot.start_time), slot.providers))
    };
    let (start, both) = same(general.clone()).await.unwrap();
    assert_eq!((start.as_str(), both), ("2026-11-23 09:00", names(&[&one, &two])));
    let ones = ListSlotsRequest { providers: names(&[&one]), ..general.clone() };
    same(ones.clone()).await.unwrap();
    same(ListSlotsRequest { duration: minutes(30), ..general.clone() }).await.unwrap();
    // Weeks away, and on the edge of where it looks first.
    world.time_off(&one, "2026-11-20 00:00", "2026-11-29 13:30").await;
    assert_eq!(same(ones.clone()).await.unwrap().0, "2026-11-30 09:00");
    world.time_off(&one, "2026-11-29 00:00", "2027-01-10 00:00").await;
    assert_eq!(same(ones.clone()).await.unwrap().0, "2027-01-11 09:00");
    assert_eq!(same(general.clone()).await.unwrap().1, names(&[&two]));
    world.time_off(&one, "2027-01-10 00:00", "2028-01-10 00:00").await;
    assert_eq!(same(ones).await, None);
    let from = Some(berlin("2026-11-27 16:30"));
    let later = ListSlotsRequest { start_time: from, ..general.clone() };
    assert_eq!(same(later.clone()).await.unwrap().0, "2026-11-30 09:00");
    let end_time = Some(berlin("2026-11-30 09:01"));
    let near = ListSlotsRequest { end_time, ..later.clone() };
    assert_eq!(same(near).await.unwrap().0, "2026-11-30 09:00");
    let end_time = Some(berlin("2026-11-30 09:00"));
    assert_eq!(same(ListSlotsRequest { end_time, ..later }).await, None);
    let slow = AppointmentType { minimum_notice: minutes(20 * 24 * 60), ..kind(&[60]) };
    let slow = world.own_type(&two, slow).await;
    let slow = ListSlotsRequest { appointment_type: slow.name, ..Default::default() };
    assert_eq!(same(slow).await.unwrap().0, "2026-12-14 09:00");
    world.archive(&admin, &shared, true).await;
    assert_eq!(same(general).await, None);
}

async fn an_explanation_names_every_rule_and_every_claim(world: World) {
    let (provider, two, customer, admin) = (
        world.provider().await,
        world.provider().await,
        world.customer().await,
        world.admin().await,
    );
    let range =
        DateRange { start_date: Some(date((2026, 12, 1))), end_date: Some(date((2026, 12, 2))) };
    let strict = AppointmentType {
        buffer_before: minutes(30),
        buffer_after: minutes(30),
        minimum_notice: minutes(60 * 24 * 3),
        horizon: Some(Horizon::FixedWindow(range)),
        limits: Some(BookingLimits {
            per_provider_day: 1,
            per_provider_week: 1,
            ..Default::default()
        }),
        ..kind(&[60])
    };
    let easy = AppointmentType { minimum_notice: None, horizon: None, ..strict.clone() };
    let easy = world.own_type(&provider, easy).await;
    let at = berlin("2026-11-23 10:30");
    assert_eq!(world.explain(&customer, &provider, &easy, berlin("2026-11-23 10:00")).await, []);
    let busy = world.customer().await;
    world.book_type(&busy, &provider, &easy, "2026-11-23 12:00").await.unwrap();
    let short = world.own_type(&provider, kind(&[5])).await;
    world.hold(&busy, holding(&provider, &short, "2026-11-23 10:00")).await.unwrap();
    world.time_off(&provider, "2026-11-23 11:00", "2026-11-23 11:10").await;
    world.time_off(&provider, "2026-11-23 11:20", "2026-11-23 11:25").await;
    world.closure(&admin, "2026-11-23 10:00", "2026-11-23 10:45").await;
    let fields = ["minimum_notice", "horizon"];
    let changed = AppointmentType { name: easy.name.clone(), owner: String::new(), ..strict };
    let changed = world.change_type(&provider, changed, &fields).await;
    world.archive(&provider, &changed, true).await;
    let told = world.explain(&customer, &provider, &changed, at).await;
    let span = |rule: Rule| {
        let found: Vec<_> = told.iter().filter(|each| each.rule() == rule).collect();
        assert!(found.iter().all(|each| !each.message.is_empty()));
        let spans = found.iter().filter(|each| each.start_time.is_some());
        spans
            .map(|each| {
                format!("{}-{}", &local(each.start_time)[11..], &local(each.end_time)[11..])
            })
            .collect::<Vec<_>>()
    };
    let mut rules: Vec<_> = told.iter().map(|each| each.rule()).collect();
    rules.dedup();
    rules.sort();
    assert_eq!(
        rules,
        [
            Rule::Notice,
            Rule::Horizon,
            Rule::OffGrid,
            Rule::TimeOff,
            Rule::Closure,
            Rule::Claimed,
            Rule::DayLimit,
            Rule::WeekLimit,
            Rule::Archived,
        ]
    );
    assert_eq!(span(Rule::TimeOff), ["11:00-11:10", "11:20-11:25"]);
    assert_eq!(span(Rule::Closure), ["10:00-10:45"]);
    // With their buffers, and where this one's buffer reaches.
    assert_eq!(span(Rule::Claimed), ["10:00-10:05", "11:30-13:30"]);
    let told = world.explain(&customer, &two, &changed, berlin("2026-11-20 20:00")).await;
    let rules: Vec<_> = told.iter().map(|each| each.rule()).collect();
    let all = [
        Rule::Archived,
        Rule::NotOffered,
        Rule::InThePast,
        Rule::Notice,
        Rule::Horizon,
        Rule::OutsideHours,
    ];
    assert_eq!(rules, all);
}

async fn an_explanation_says_nothing_of_people(world: World) {
    let (provider, customer) = (world.provider().await, world.customer().await);
    let plain = world.own_type(&provider, kind(&[30])).await;
    let booked = world.book_type(&customer, &provider, &plain, "2026-11-23 10:00").await.unwrap();
    let other = world.customer().await;
    let told = world.explain(&other, &provider, &plain, berlin("2026-11-23 10:00")).await;
    assert_eq!(told.len(), 1);
    let told = format!("{told:?}");
    let id = booked.name.rsplit('/').next().unwrap();
    for secret in [id, customer.user.name.trim_start_matches("users/"), &customer.user.display_name]
    {
        assert!(!told.contains(secret), "{told}");
    }
}

async fn a_private_types_slots_take_its_link_code(world: World) {
    let (provider, customer) = (world.provider().await, world.customer().await);
    let secret = AppointmentType { visibility: Visibility::PrivateLink.into(), ..kind(&[30]) };
    let secret = world.own_type(&provider, secret).await;
    for (caller, code, opens) in [
        (&customer, "", false),
        (&customer, "wrong", false),
        (&customer, secret.link_code.as_str(), true),
        (&provider, "", true),
    ] {
        let link_code = code.to_owned();
        let list = ListSlotsRequest { link_code: link_code.clone(), ..on_day(&secret, DAY) };
        let list = world.slots().list_slots(caller.asks(list)).await.map(|_| ());
        let first = FindFirstSlotRequest {
            appointment_type: secret.name.clone(),
            link_code: link_code.clone(),
            ..Default::default()
        };
        let first = world.slots().find_first_slot(caller.asks(first)).await.map(|_| ());
        let explain = ExplainSlotRequest {
            appointment_type: secret.name.clone(),
            provider: provider.provider(),
            start_time: Some(berlin("2026-11-23 09:00")),
            link_code,
            ..Default::default()
        };
        let explain = world.slots().explain_slot(caller.asks(explain)).await.map(|_| ());
        for answer in [list, first, explain] {
            if opens {
                answer.unwrap();
            } else {
                refused(answer, "NOT_FOUND");
            }
        }
    }
}

async fn bad_questions_for_slots_are_told_by_field(world: World) {
    let (provider, customer) = (world.provider().await, world.customer().await);
    let plain = world.own_type(&provider, kind(&[30])).await;
    let ask = async |request| world.slots().list_slots(customer.asks(request)).await;
    let wrong = Some(Timestamp { seconds: -1, nanos: 0 });
    let bad = ListSlotsRequest {
        appointment_type: "x".to_owned(),
        providers: vec![provider.provider(), "x".to_owned(), provider.provider()],
        start_time: wrong,
        end_time: wrong,
        duration: Some(prost_types::Duration { seconds: 61, nanos: 0 }),
        link_code: "\0".to_owned(),
        page_size: -1,
        page_token: "x".to_owned(),
        ..Default::default()
    };
    let fields = [
        "appointment_type",
        "providers[1]",
        "providers[2]",
        "start_time",
        "end_time",
        "duration",
        "link_code",
        "page_size",
        "page_token",
    ];
    invalid(ask(bad).await, &fields);
    let many =
        ListSlotsRequest { providers: vec![provider.provider(); 101], ..on_day(&plain, DAY) };
    invalid(ask(many).await, &["providers"]);
    let answer = world.slots().explain_slot(customer.asks(ExplainSlotRequest::default())).await;
    invalid(answer, &["appointment_type", "provider", "start_time"]);
    let answer =
        world.slots().find_first_slot(customer.asks(FindFirstSlotRequest::default())).await;
    invalid(answer, &["appointment_type"]);
    let absent = "appointmentTypes/01980000-0000-7000-8000-000000000000".to_owned();
    let request = ListSlotsRequest { appointment_type: absent, ..Default::default() };
    refused(ask(request).await, "NOT_FOUND");
    let nobody = ExplainSlotRequest {
        appointment_type: plain.name,
        provider: customer.provider(),
        start_time: Some(berlin("2026-11-23 09:00")),
        ..Default::default()
    };
    refused(world.slots().explain_slot(customer.asks(nobody)).await, "NOT_FOUND");
}
