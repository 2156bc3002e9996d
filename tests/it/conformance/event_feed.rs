//! The events of all providers in one order: who reads which, page by page, and where a cursor goes on.

use std::collections::BTreeMap;

use chrono::TimeDelta;
use daybook::{
    grpc::proto::booking::{
        Event, EventFilter, ListEventsRequest, ListEventsResponse, UpdateAppointmentRequest,
        event::Kind,
    },
    kernel::ambient::Ambient,
};
use prost_types::FieldMask;
use tonic::{Response, Status};

use super::behaviours;
use crate::support::{
    World, berlin, instant,
    people::Person,
    refusal::{invalid, refused},
    restore::Dump,
    types::{holding, kind},
};

behaviours!(
    all_events_stand_in_one_order_without_gaps,
    a_cursor_goes_on_where_it_stands,
    a_filter_narrows_what_is_returned_and_moves_on,
    everybody_reads_their_own_and_admins_all,
    customers_are_not_told_what_is_private,
    bad_questions_are_told_by_field,
    a_cursor_is_for_its_caller_and_its_parent,
    what_is_not_kept_any_more_is_told,
    a_cursor_outlives_a_restore_or_is_told,
    a_long_history_is_told_whole,
    readers_of_two_processes_are_told_the_same,
    a_customer_of_much_is_answered_at_once,
);

pub(super) async fn ask(
    world: &World,
    caller: &Person,
    request: ListEventsRequest,
) -> Result<ListEventsResponse, Status> {
    world.watch().list_events(caller.asks(request)).await.map(Response::into_inner)
}

/// All events after a cursor, page by page, and the cursor after them.
pub(super) async fn all(
    world: &World,
    caller: &Person,
    request: ListEventsRequest,
) -> (Vec<Event>, String) {
    let (mut found, mut request) = (Vec::new(), request);
    loop {
        let page = ask(world, caller, request.clone()).await.unwrap();
        if request.page_size > 0 {
            assert!(page.events.len() <= usize::try_from(request.page_size).unwrap());
        }
        found.extend(page.events);
        if page.up_to_date {
            return (found, page.next_cursor);
        }
        assert_ne!(page.next_cursor, request.cursor, "it would never end");
        request.cursor = page.next_cursor;
    }
}

fn of(person: &str, page_size: i32) -> ListEventsRequest {
    ListEventsRequest { parent: person.to_owned(), page_size, ..Default::default() }
}

/// The versions of each provider, in the order in which they were told.
pub(super) fn versions(events: &[Event]) -> BTreeMap<String, Vec<i64>> {
    let mut all: BTreeMap<String, Vec<i64>> = BTreeMap::new();
    for event in events {
        all.entry(event.provider.clone()).or_default().push(event.version);
    }
    all
}

pub(super) fn without_gaps(events: &[Event]) {
    for (provider, versions) in versions(events) {
        let expected: Vec<i64> = (1..).take(versions.len()).collect();
        assert_eq!(versions, expected, "{provider}");
    }
}

pub(super) async fn book(world: &World, customer: &Person, provider: &Person, hour: u32) -> String {
    let (start, end) = (format!("2026-11-23 {hour}:00"), format!("2026-11-23 {hour}:30"));
    world.book(customer, provider, berlin(&start), berlin(&end)).await.unwrap().name
}

async fn all_events_stand_in_one_order_without_gaps(world: World) {
    let (admin, customer) = (world.admin().await, world.customer().await);
    let (one, two) = (world.provider().await, world.provider().await);
    let mut told = Vec::new();
    let mut cursor = String::new();
    for hour in 9..13 {
        let name = book(&world, &customer, &one, hour).await;
        book(&world, &customer, &two, hour + 4).await;
        if hour % 2 == 0 {
            world.cancel(&customer, &name).await.unwrap();
        }
        // Somebody reads in between, so that the order is given piece by piece.
        if hour != 10 {
            let request = ListEventsRequest { cursor: cursor.clone(), ..of("", 2) };
            let (events, next) = all(&world, &admin, request).await;
            told.extend(events);
            cursor = next;
        }
    }
    world.time_off(&one, "2026-12-01 00:00", "2026-12-02 00:00").await;
    world.closure(&admin, "2026-12-24 00:00", "2026-12-25 00:00").await;
    let (events, _) = all(&world, &admin, ListEventsRequest { cursor, ..of("", 3) }).await;
    told.extend(events);

    without_gaps(&told);
    for person in [&one, &two] {
        let stored = world
            .count(&format!(
                "SELECT count(*) FROM events e JOIN providers p ON p.provider_id = e.provider_id
                 WHERE p.display_name = '{}'",
                person.user.display_name
            ))
            .await;
        let seen = versions(&told).remove(&person.provider()).unwrap();
        assert!(i64::try_from(seen.len()).unwrap() <= stored);
    }
    let stored = world.count("SELECT count(*) FROM events").await;
    assert_eq!(i64::try_from(told.len()).unwrap(), stored);
    // The same in one go.
    let (again, _) = all(&world, &admin, of("", 500)).await;
    assert_eq!(again, told);
    let closed: Vec<_> = told.iter().filter(|e| e.kind() == Kind::ClosureCreated).collect();
    assert_eq!(closed.len(), 2);
    assert_eq!(closed[0].closure, closed[1].closure);
    assert_eq!(closed[0].start_time, Some(berlin("2026-12-24 00:00")));
    let free = told.iter().find(|e| e.kind() == Kind::TimeOffCreated).unwrap();
    assert!(free.time_off.starts_with(&one.provider()), "{}", free.time_off);
    // Each provider's own, in the same order.
    let (own, _) = all(&world, &one, of(&one.provider(), 2)).await;
    let expected: Vec<_> = told.iter().filter(|e| e.provider == one.provider()).collect();
    let key = |e: &Event| (e.version, e.kind, e.appointment.clone());
    assert_eq!(
        own.iter().map(key).collect::<Vec<_>>(),
        expected.into_iter().map(key).collect::<Vec<_>>()
    );
}

async fn a_cursor_goes_on_where_it_stands(world: World) {
    let (admin, customer) = (world.admin().await, world.customer().await);
    let provider = world.provider().await;
    let first = book(&world, &customer, &provider, 9).await;
    let (events, end) = all(&world, &admin, of("", 1)).await;
    assert_eq!(events.last().unwrap().appointment, first);
    assert_eq!(events.last().unwrap().cursor, end);
    // After each event the rest follows.
    for (place, event) in events.iter().enumerate() {
        let request = ListEventsRequest { cursor: event.cursor.clone(), ..of("", 500) };
        let (rest, last) = all(&world, &admin, request).await;
        assert_eq!(rest, events[place + 1..]);
        assert_eq!(last, end);
    }
    let now = ListEventsRequest { from_now: true, ..of("", 0) };
    let page = ask(&world, &admin, now.clone()).await.unwrap();
    assert_eq!((page.events.len(), page.next_cursor, page.up_to_date), (0, end.clone(), true));
    let second = book(&world, &customer, &provider, 10).await;
    let request = ListEventsRequest { cursor: end, ..of("", 0) };
    let (events, _) = all(&world, &admin, request.clone()).await;
    assert_eq!(events.len(), 1);
    assert_eq!((events[0].kind(), &events[0].appointment), (Kind::AppointmentBooked, &second));
    assert_eq!(events[0].customer, customer.user.name);
    assert_eq!(events[0].actor, customer.user.name);
    assert_eq!(events[0].start_time, Some(berlin("2026-11-23 10:00")));
    // Another process and a restart change nothing.
    let beside = world.beside().await;
    assert_eq!(all(&beside, &admin, request).await.0, events);
}

async fn a_filter_narrows_what_is_returned_and_moves_on(world: World) {
    let (admin, customer) = (world.admin().await, world.customer().await);
    let (one, two) = (world.provider().await, world.provider().await);
    let typed = world.own_type(&two, kind(&[30])).await;
    for hour in 9..12 {
        let name = book(&world, &customer, &one, hour).await;
        world.cancel(&customer, &name).await.unwrap();
    }
    let hold = world.hold(&customer, holding(&two, &typed, "2026-11-23 13:00")).await.unwrap();
    let narrowed = async |filter: EventFilter| {
        let request = ListEventsRequest { filter: Some(filter), ..of("", 2) };
        let (events, cursor) = all(&world, &admin, request.clone()).await;
        // What was passed over is behind the cursor.
        let rest = ask(&world, &admin, ListEventsRequest { cursor, ..of("", 0) }).await.unwrap();
        assert_eq!(rest.events, []);
        events
    };
    let kinds = vec![Kind::AppointmentCancelled.into()];
    let cancelled = narrowed(EventFilter { kinds, ..Default::default() }).await;
    assert_eq!(cancelled.len(), 3);
    assert!(cancelled.iter().all(|e| e.kind() == Kind::AppointmentCancelled));
    let providers = vec![two.provider()];
    let of_two = narrowed(EventFilter { providers, ..Default::default() }).await;
    assert!(of_two.iter().all(|e| e.provider == two.provider()) && !of_two.is_empty());
    let appointment_types = vec![typed.name.clone()];
    let held = narrowed(EventFilter { appointment_types, ..Default::default() }).await;
    assert_eq!(held.len(), 1);
    assert_eq!((held[0].kind(), &held[0].hold), (Kind::HoldPlaced, &hold.name));
    assert_eq!(held[0].expire_time, hold.expire_time);
    assert_eq!(held[0].appointment_type, typed.name);
}

async fn everybody_reads_their_own_and_admins_all(world: World) {
    let (admin, ada, bob) = (world.admin().await, world.customer().await, world.customer().await);
    let (one, two) = (world.provider().await, world.provider().await);
    let first = book(&world, &ada, &one, 9).await;
    book(&world, &bob, &one, 10).await;
    let second = book(&world, &ada, &two, 11).await;
    world.cancel(&ada, &first).await.unwrap();
    let (own, cursor) = all(&world, &ada, of(&ada.user.name, 1)).await;
    // The order among providers is that of reading.
    let of_one = |name: &String| -> Vec<Kind> {
        own.iter().filter(|e| e.appointment == *name).map(Event::kind).collect()
    };
    assert_eq!(of_one(&first), [Kind::AppointmentBooked, Kind::AppointmentCancelled]);
    assert_eq!(of_one(&second), [Kind::AppointmentBooked]);
    assert_eq!(own.len(), 3);
    let (by_admin, _) = all(&world, &admin, of(&ada.user.name, 1)).await;
    assert_eq!(by_admin.len(), 3);
    world.cancel(&ada, &second).await.unwrap();
    let (more, _) = all(&world, &ada, ListEventsRequest { cursor, ..of(&ada.user.name, 0) }).await;
    assert_eq!(more.len(), 1);
    assert_eq!(more[0].appointment, second);
    for (caller, parent) in [
        (&ada, &bob.user.name),
        (&ada, &one.provider()),
        (&one, &two.provider()),
        (&one, &ada.user.name),
    ] {
        refused(ask(&world, caller, of(parent, 0)).await, "NOT_FOUND");
    }
    for caller in [&ada, &one] {
        invalid(world.watch().list_events(caller.asks(of("", 0))).await, &["parent"]);
    }
}

async fn customers_are_not_told_what_is_private(world: World) {
    let (customer, provider) = (world.customer().await, world.provider().await);
    let name = book(&world, &customer, &provider, 9).await;
    let typed = world.own_type(&provider, kind(&[30])).await;
    world.hold(&customer, holding(&provider, &typed, "2026-11-23 13:00")).await.unwrap();
    let mut appointment = world.get(&provider, &name).await.unwrap();
    appointment.private_note = "bring the file".to_owned();
    let mask = FieldMask { paths: vec!["private_note".to_owned()] };
    let request = UpdateAppointmentRequest {
        appointment: Some(appointment),
        update_mask: Some(mask),
        ..Default::default()
    };
    world.booking().update_appointment(provider.asks(request)).await.unwrap();
    world.cancel(&provider, &name).await.unwrap();
    let (seen, _) = all(&world, &provider, of(&provider.provider(), 0)).await;
    for private in [Kind::AppointmentNoted, Kind::HoldPlaced] {
        assert!(seen.iter().any(|e| e.kind() == private), "{private:?}");
    }
    let (seen, cursor) = all(&world, &customer, of(&customer.user.name, 0)).await;
    let kinds: Vec<_> = seen.iter().map(Event::kind).collect();
    assert_eq!(kinds, [Kind::AppointmentBooked, Kind::AppointmentCancelled]);
    assert_eq!(seen[1].actor_display_name, provider.user.display_name);
    let request = ListEventsRequest { cursor, ..of(&customer.user.name, 0) };
    assert_eq!(ask(&world, &customer, request).await.unwrap().events, []);
}

async fn bad_questions_are_told_by_field(world: World) {
    let admin = world.admin().await;
    let call = async |request: ListEventsRequest, fields: &[&str]| {
        invalid(world.watch().list_events(admin.asks(request)).await, fields);
    };
    call(of("practice", 0), &["parent"]).await;
    call(of("", -1), &["page_size"]).await;
    call(ListEventsRequest { cursor: "x".to_owned(), ..of("", 0) }, &["cursor"]).await;
    let provider = |number: usize| format!("providers/01980000-0000-7000-8000-{number:012}");
    for (filter, fields) in [
        (
            EventFilter { kinds: vec![0, 999, 1, 1], ..Default::default() },
            &["filter.kinds[0]", "filter.kinds[1]", "filter.kinds[3]"][..],
        ),
        (EventFilter { kinds: (0..51).collect(), ..Default::default() }, &["filter.kinds"]),
        (
            EventFilter { providers: (0..101).map(provider).collect(), ..Default::default() },
            &["filter.providers"],
        ),
        (
            EventFilter { appointment_types: vec![provider(1)], ..Default::default() },
            &["filter.appointment_types[0]"],
        ),
    ] {
        call(ListEventsRequest { filter: Some(filter), ..of("", 0) }, fields).await;
    }
    world.provider().await;
    let (_, cursor) = all(&world, &admin, of("", 0)).await;
    call(ListEventsRequest { cursor, from_now: true, ..of("", 0) }, &["from_now"]).await;
}

async fn a_cursor_is_for_its_caller_and_its_parent(world: World) {
    let (admin, other, one) = (world.admin().await, world.admin().await, world.provider().await);
    let (_, cursor) = all(&world, &admin, of("", 0)).await;
    for (caller, parent) in [(&other, String::new()), (&admin, one.provider())] {
        let request = ListEventsRequest { cursor: cursor.clone(), ..of(&parent, 0) };
        invalid(world.watch().list_events(caller.asks(request)).await, &["cursor"]);
    }
    let foreign = World::new(world.engine).await;
    let there = foreign.admin().await;
    let request = ListEventsRequest { cursor, ..of("", 0) };
    invalid(foreign.watch().list_events(there.asks(request)).await, &["cursor"]);
}

async fn what_is_not_kept_any_more_is_told(world: World) {
    let (admin, customer) = (world.admin().await, world.customer().await);
    let provider = world.provider().await;
    let mut cursors = Vec::new();
    for hour in 9..12 {
        book(&world, &customer, &provider, hour).await;
        cursors.push(all(&world, &admin, of("", 0)).await.1);
    }
    world.forward(TimeDelta::days(40));
    let admin = world.log_in(&admin.user.email).await;
    let provider = world.log_in(&provider.user.email).await;
    let feed = daybook::live::service::Feed::new(
        world.store().await,
        Ambient::manual(instant("2027-01-02 09:00", "UTC")).0,
        TimeDelta::days(30),
    );
    feed.remove_old().await.unwrap();
    // The last position stays, so that who is up to date misses nothing.
    assert_eq!(world.count("SELECT count(*) FROM event_positions").await, 1);
    assert_eq!(world.count("SELECT removed_position FROM event_order").await, 2);
    let after = |cursor: &String| ListEventsRequest { cursor: cursor.clone(), ..of("", 0) };
    assert_eq!(ask(&world, &admin, after(&cursors[2])).await.unwrap().events, []);
    for old in &cursors[..2] {
        refused(ask(&world, &admin, after(old)).await, "CURSOR_EXPIRED");
    }
    let (left, _) = all(&world, &admin, of("", 0)).await;
    assert_eq!(left.len(), 1);
    // What comes now may be read from there for as long as it is kept itself.
    world.time_off(&provider, "2027-02-01 00:00", "2027-02-02 00:00").await;
    let (new, _) = all(&world, &admin, of("", 0)).await;
    assert_eq!(new.len(), 2);
    feed.remove_old().await.unwrap();
    let (late, _) = all(&world, &admin, after(&cursors[2])).await;
    assert_eq!(late.len(), 1);
}

async fn a_cursor_outlives_a_restore_or_is_told(world: World) {
    let (admin, customer) = (world.admin().await, world.customer().await);
    let provider = world.provider().await;
    book(&world, &customer, &provider, 9).await;
    let (_, kept) = all(&world, &admin, of("", 0)).await;
    let dump = Dump::of(&world).await;
    book(&world, &customer, &provider, 10).await;
    let (_, lost) = all(&world, &admin, of("", 0)).await;
    dump.restore(&world).await;
    let after = |cursor: &String| ListEventsRequest { cursor: cursor.clone(), ..of("", 0) };
    refused(ask(&world, &admin, after(&lost)).await, "CURSOR_UNKNOWN");
    // The same position and version are something else now.
    let again = book(&world, &customer, &provider, 11).await;
    let (events, _) = all(&world, &admin, after(&kept)).await;
    assert_eq!(events.len(), 1);
    assert_eq!(events[0].appointment, again);
    refused(ask(&world, &admin, after(&lost)).await, "CURSOR_UNKNOWN");
}

/// More versions of one provider than a position has, from before anybody read.
async fn a_long_history_is_told_whole(world: World) {
    const MORE: i64 = 12_001;
    let (admin, provider) = (world.admin().await, world.provider().await);
    let events = |series: &str, nothing: &str| {
        format!(
            "INSERT INTO events (provider_id, version, kind, occurred_at, detail)
             SELECT e.provider_id, e.version + n, 'attendance_changed', e.occurred_at, {nothing}
             FROM events e, {series} WHERE e.version = 1;
             UPDATE providers SET version = version + {MORE}"
        )
    };
    let sqlite = format!(
        "(WITH RECURSIVE count(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM count WHERE n < {MORE})
          SELECT n FROM count)"
    );
    let postgres = format!("generate_series(1, {MORE}) AS series(n)");
    world.execute(&events(&sqlite, "'{}'"), &events(&postgres, "'{}'::jsonb")).await;
    let kinds = vec![Kind::AttendanceChanged.into()];
    let filter = EventFilter { kinds, ..Default::default() };
    let narrowed = ListEventsRequest { filter: Some(filter), ..of("", 500) };
    let (narrowed, _) = all(&world, &admin, narrowed).await;
    assert_eq!(i64::try_from(narrowed.len()).unwrap(), MORE);
    let (told, _) = all(&world, &provider, of(&provider.provider(), 500)).await;
    without_gaps(&told);
    assert_eq!(i64::try_from(told.len()).unwrap(), MORE + 1);
    assert_eq!(world.count("SELECT count(*) FROM event_positions").await, 3);
    // A filter that lets nothing through comes to an end as well.
    let kinds = vec![Kind::HoldExpired.into()];
    let filter = EventFilter { kinds, ..Default::default() };
    let nothing = ListEventsRequest { filter: Some(filter), ..of("", 500) };
    assert_eq!(all(&world, &admin, nothing).await.0, []);
}

/// Two processes give positions while bookings go on.
async fn readers_of_two_processes_are_told_the_same(world: World) {
    let (admin, customer) = (world.admin().await, world.customer().await);
    let beside = world.beside().await;
    let mut providers = Vec::new();
    for _ in 0..3 {
        providers.push(world.provider().await);
    }
    let booking = async {
        for hour in 9..15 {
            for (place, provider) in providers.iter().enumerate() {
                let minute = place * 20;
                let start = berlin(&format!("2026-11-23 {hour:02}:{minute:02}"));
                let end = berlin(&format!("2026-11-23 {hour:02}:{:02}", minute + 15));
                world.book(&customer, provider, start, end).await.unwrap();
            }
        }
    };
    let reading = async |of_which: &World| {
        let (mut told, mut cursor) = (Vec::new(), String::new());
        while told.len() < 2 * providers.len() {
            let request = ListEventsRequest { cursor: cursor.clone(), ..of("", 4) };
            let (events, next) = all(of_which, &admin, request).await;
            told.extend(events);
            cursor = next;
        }
        (told, cursor)
    };
    let ((), one, two, three) =
        tokio::join!(booking, reading(&world), reading(&beside), reading(&beside));
    let (whole, _) = all(&world, &admin, of("", 500)).await;
    without_gaps(&whole);
    for (mut told, cursor) in [one, two, three] {
        let request = ListEventsRequest { cursor, ..of("", 500) };
        told.extend(all(&world, &admin, request).await.0);
        assert_eq!(told, whole);
    }
}

/// So many events and positions that looking each up among all of a provider would take minutes.
async fn a_customer_of_much_is_answered_at_once(world: World) {
    const MORE: i64 = 3000;
    let (customer, provider) = (world.customer().await, world.provider().await);
    let name = book(&world, &customer, &provider, 9).await;
    let id = name.rsplit('/').next().unwrap().replace('-', "");
    let sqlite = format!(
        "WITH RECURSIVE count(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM count WHERE n < {MORE})
         INSERT INTO events (provider_id, version, kind, appointment_id, occurred_at, detail)
         SELECT e.provider_id, e.version + n, 'appointment_updated', e.appointment_id, e.occurred_at, '{{}}'
         FROM events e, count WHERE e.appointment_id = x'{id}';
         INSERT INTO event_positions (position, provider_id, first_version, last_version, stamp, created_at)
         SELECT version, provider_id, version, version, 1, occurred_at FROM events;
         INSERT INTO event_heads SELECT provider_id, max(version) FROM events GROUP BY provider_id;
         UPDATE event_order SET last_position = (SELECT max(position) FROM event_positions);
         UPDATE providers SET version = version + {MORE}"
    );
    let postgres = sqlite.replace(&format!("x'{id}'"), &format!("'{id}'"));
    world.execute(&sqlite, &postgres).await;
    let (told, _) = all(&world, &customer, of(&customer.user.name, 500)).await;
    assert_eq!(i64::try_from(told.len()).unwrap(), MORE + 1);
}
