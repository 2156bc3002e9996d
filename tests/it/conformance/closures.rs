//! Closures: the whole practice closed, and open again.

use std::collections::BTreeSet;

use daybook::grpc::proto::{
    auth::{DisableUserRequest, Role},
    booking::{
        Closure, CreateClosureRequest, CreateClosureResponse, DeleteClosureRequest,
        DeleteClosureResponse, ListClosuresRequest, ListClosuresResponse,
    },
};
use futures_util::future::join_all;
use prost_types::Timestamp;
use tonic::{Response, Status};

use super::{
    behaviours,
    overrides::last_event,
    schedules::{schedule_of, starts},
};
use crate::support::{
    World, berlin, books,
    people::{Person, uuid},
    refusal::{invalid, refused},
    version,
};

behaviours!(
    a_closure_is_a_version_of_every_provider,
    appointments_of_all_providers_are_told,
    only_the_first_hundred_are_named,
    what_has_not_ended_is_listed_by_start,
    closures_are_listed_in_pages,
    admins_close_and_everybody_sees,
    bad_closures_are_told_by_field,
    writes_of_closures_can_be_retried,
    closures_and_bookings_at_a_time_leave_no_gap,
    twins_close_once,
);

fn closure(from: &str, until: &str) -> Closure {
    let (start_time, end_time) = (Some(berlin(from)), Some(berlin(until)));
    Closure { start_time, end_time, reason: "stocktaking".to_owned(), ..Default::default() }
}

async fn send(
    world: &World,
    caller: &Person,
    request: CreateClosureRequest,
) -> Result<Response<CreateClosureResponse>, Status> {
    world.schedule().create_closure(caller.asks(request)).await
}

fn new(closure: Closure) -> CreateClosureRequest {
    CreateClosureRequest { closure: Some(closure), request_id: String::new() }
}

async fn close(world: &World, admin: &Person, from: &str, until: &str) -> CreateClosureResponse {
    send(world, admin, new(closure(from, until))).await.unwrap().into_inner()
}

async fn reopen(
    world: &World,
    caller: &Person,
    name: &str,
) -> Result<Response<DeleteClosureResponse>, Status> {
    let request = DeleteClosureRequest { name: name.to_owned(), request_id: String::new() };
    world.schedule().delete_closure(caller.asks(request)).await
}

async fn list(
    world: &World,
    caller: &Person,
    (page_size, page_token): (i32, &str),
) -> Result<Response<ListClosuresResponse>, Status> {
    let request = ListClosuresRequest { page_size, page_token: page_token.to_owned() };
    world.schedule().list_closures(caller.asks(request)).await
}

async fn all(world: &World, caller: &Person) -> Vec<Closure> {
    list(world, caller, (0, "")).await.unwrap().into_inner().closures
}

async fn a_closure_is_a_version_of_every_provider(world: World) {
    let (one, two) = (world.provider().await, world.provider().await);
    let (admin, shut) = (world.admin().await, world.provider().await);
    let disable = DisableUserRequest { name: shut.user.name.clone(), ..Default::default() };
    world.auth().disable_user(admin.asks(disable)).await.unwrap();
    let given = closure("2026-12-24 00:00", "2026-12-27 00:00");
    let answer = send(&world, &admin, new(given.clone())).await.unwrap().into_inner();
    assert_eq!((answer.touched_appointments.len(), answer.touched_count), (0, 0));
    let made = answer.closure.unwrap();
    assert!(made.name.starts_with("closures/"), "{made:?}");
    assert_eq!(made, Closure { name: made.name.clone(), ..given });
    assert_eq!(all(&world, &admin).await, std::slice::from_ref(&made));
    let id = made.name.replace("closures/", "");
    for (person, number) in [(&one, 2), (&two, 2), (&shut, 3)] {
        let event = last_event(&world, person).await;
        assert!(event.starts_with("closure_created ") && event.contains(&id), "{event}");
        assert!(event.contains("2026-12-23T23:00:00Z"), "{event}");
        if person.user.name != shut.user.name {
            assert_eq!(version(&schedule_of(&world, person).await.etag), number);
        }
    }
    let events =
        "SELECT count(*) FROM events WHERE kind = 'closure_created' AND actor_id IS NOT NULL";
    assert_eq!(world.count(events).await, 3);
    // A provider who comes later has no event of it.
    let late = world.provider().await;
    assert_eq!(version(&schedule_of(&world, &late).await.etag), 1);
    reopen(&world, &admin, &made.name).await.unwrap();
    assert_eq!(all(&world, &admin).await, []);
    for (person, number) in [(&one, 3), (&late, 2)] {
        assert_eq!(version(&schedule_of(&world, person).await.etag), number);
        let event = last_event(&world, person).await;
        assert!(event.starts_with("closure_deleted ") && event.contains(&id), "{event}");
    }
    refused(reopen(&world, &admin, &made.name).await, "NOT_FOUND");
    books::check(&world.sql().await).await;
}

async fn appointments_of_all_providers_are_told(world: World) {
    let (one, two) = (world.provider().await, world.provider().await);
    let (customer, admin) = (world.customer().await, world.admin().await);
    let book = async |provider: &Person, from: &str, until: &str| {
        let (from, until) = (format!("2026-11-24 {from}"), format!("2026-11-24 {until}"));
        world.book(&customer, provider, berlin(&from), berlin(&until)).await.unwrap().name
    };
    let later = book(&one, "12:00", "13:00").await;
    let first = book(&two, "10:30", "11:30").await;
    book(&one, "09:00", "10:30").await;
    book(&two, "13:00", "14:00").await;
    let answer = close(&world, &admin, "2026-11-24 11:00", "2026-11-24 13:00").await;
    assert_eq!(answer.touched_appointments, [first, later]);
    assert_eq!(answer.touched_count, 2);
}

async fn only_the_first_hundred_are_named(world: World) {
    let (provider, customer, admin) =
        (world.provider().await, world.customer().await, world.admin().await);
    let (from, until) = (berlin("2026-11-24 09:00"), berlin("2026-11-24 09:05"));
    world.book(&customer, &provider, from, until).await.unwrap();
    // 101 more past the server, a minute each, between the others' minutes; of all the first is theirs.
    let columns =
        "provider_id, appointment_id, customer_id, customer_display_name, starts_at, ends_at,
        state, note, time_zone, local_start, cancel_reason, version, created_at, updated_at,
        claim_starts_at, claim_ends_at";
    let numbers = "WITH RECURSIVE numbers (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM numbers
        WHERE n < 101)";
    let rows = |id: &str, start: &str, end: &str| {
        format!(
            "INSERT INTO appointments ({columns}) {numbers} SELECT provider_id, {id}, customer_id,
             customer_display_name, {start}, {end}, state, note, time_zone, local_start,
             cancel_reason, version, created_at, updated_at, {start}, {end}
             FROM appointments, numbers"
        )
    };
    let sqlite = |minutes: &str| {
        format!("strftime('%Y-%m-%dT%H:%M:%S+00:00', starts_at, (n + {minutes}) || ' minutes')")
    };
    world
        .execute(
            &rows("randomblob(16)", &sqlite("10"), &sqlite("11")),
            &rows(
                "gen_random_uuid()",
                "starts_at + (n + 10) * interval '1 minute'",
                "starts_at + (n + 11) * interval '1 minute'",
            ),
        )
        .await;
    let answer = close(&world, &admin, "2026-11-24 00:00", "2026-11-25 00:00").await;
    assert_eq!((answer.touched_appointments.len(), answer.touched_count), (100, 102));
    // All but the first.
    let answer = close(&world, &admin, "2026-11-24 09:05", "2026-11-25 00:00").await;
    assert_eq!((answer.touched_appointments.len(), answer.touched_count), (100, 101));
}

async fn what_has_not_ended_is_listed_by_start(world: World) {
    let admin = world.admin().await;
    let later = close(&world, &admin, "2026-12-24 00:00", "2026-12-27 00:00").await;
    let running = close(&world, &admin, "2026-11-20 00:00", "2026-11-22 18:00").await;
    let inside = close(&world, &admin, "2026-12-25 00:00", "2026-12-26 00:00").await;
    let [later, running, inside] = [later, running, inside].map(|a| a.closure.unwrap());
    let expected = [running.clone(), later.clone(), inside.clone()];
    assert_eq!(all(&world, &admin).await, expected);
    world.move_to("2026-11-22 17:59:59", "Europe/Berlin");
    assert_eq!(all(&world, &admin).await, expected);
    world.move_to("2026-11-22 18:00", "Europe/Berlin");
    assert_eq!(all(&world, &admin).await, [later, inside]);
    reopen(&world, &admin, &running.name).await.unwrap();
}

async fn closures_are_listed_in_pages(world: World) {
    let (admin, customer) = (world.admin().await, world.customer().await);
    for day in 10..17 {
        let (from, until) = (format!("2026-12-{day} 09:00"), format!("2026-12-{day} 10:00"));
        close(&world, &admin, &from, &until).await;
        close(&world, &admin, &from, &until).await;
    }
    let expected = all(&world, &customer).await;
    assert_eq!(expected.len(), 14);
    for size in [1, 3, 13, 14, 500, i32::MAX] {
        let (mut found, mut token) = (Vec::new(), String::new());
        loop {
            let page = list(&world, &customer, (size, &token)).await.unwrap().into_inner();
            assert!(page.closures.len() <= usize::try_from(size).unwrap());
            found.extend(page.closures);
            token = page.next_page_token;
            if token.is_empty() {
                break;
            }
        }
        assert_eq!(found, expected, "{size}");
    }
    invalid(list(&world, &customer, (-1, "x")).await, &["page_size", "page_token"]);
    invalid(list(&world, &customer, (0, "AAAA")).await, &["page_token"]);
}

async fn admins_close_and_everybody_sees(world: World) {
    let (provider, customer, admin) =
        (world.provider().await, world.customer().await, world.admin().await);
    let made = close(&world, &admin, "2026-12-24 00:00", "2026-12-27 00:00").await.closure.unwrap();
    let before = world.state().await;
    for person in [&provider, &customer] {
        let request = new(closure("2026-12-24 00:00", "2026-12-27 00:00"));
        refused(send(&world, person, request).await, "ROLE_NOT_ALLOWED");
        refused(reopen(&world, person, &made.name).await, "ROLE_NOT_ALLOWED");
        assert_eq!(all(&world, person).await, std::slice::from_ref(&made));
    }
    refused(reopen(&world, &admin, &format!("closures/{}", uuid())).await, "NOT_FOUND");
    assert_eq!(world.state().await, before);
    // Whoever becomes an admin may, too.
    let second = world.promote(&admin, &customer, Role::Admin).await;
    reopen(&world, &second, &made.name).await.unwrap();
}

async fn bad_closures_are_told_by_field(world: World) {
    let admin = world.admin().await;
    let before = world.state().await;
    let good = closure("2026-11-24 09:00", "2026-11-24 10:00");
    let with = async |closure: Closure| send(&world, &admin, new(closure)).await;
    let at = |seconds, nanos| Some(Timestamp { seconds, nanos });
    for bad in [None, at(-1, 0), at(7_258_118_400, 0), at(1, 1)] {
        let bad = Closure { start_time: bad, ..good.clone() };
        invalid(with(bad).await, &["closure.start_time"]);
    }
    for bad in [None, at(0, 0), at(7_258_118_401, 0), at(1, 1)] {
        let bad = Closure { end_time: bad, ..good.clone() };
        invalid(with(bad).await, &["closure.end_time"]);
    }
    for (from, until) in [
        ("2026-11-24 09:00", "2026-11-24 09:00"),
        ("2026-11-24 09:00", "2028-11-24 09:00:01"),
        // It is 13:00 in Berlin: over already.
        ("2026-11-20 09:00", "2026-11-22 13:00"),
    ] {
        invalid(with(closure(from, until)).await, &["closure.end_time"]);
    }
    let bad = Closure { reason: "x".repeat(501), name: "x".to_owned(), ..good.clone() };
    invalid(with(bad).await, &["closure.name", "closure.reason"]);
    invalid(send(&world, &admin, CreateClosureRequest::default()).await, &["closure"]);
    let bad = CreateClosureRequest { request_id: "1".to_owned(), ..new(Closure::default()) };
    invalid(
        send(&world, &admin, bad).await,
        &["request_id", "closure.start_time", "closure.end_time"],
    );
    let id = uuid();
    for bad in ["", &id, "closures/", "closures/x", &format!("closure/{id}")] {
        invalid(reopen(&world, &admin, bad).await, &["name"]);
    }
    assert_eq!(world.state().await, before);
    with(closure("2026-11-20 09:00", "2026-11-22 13:00:01")).await.unwrap();
    with(Closure { reason: String::new(), ..good }).await.unwrap();
}

async fn writes_of_closures_can_be_retried(world: World) {
    let (provider, customer, admin) =
        (world.provider().await, world.customer().await, world.admin().await);
    let (from, until) = (berlin("2026-11-23 09:00"), berlin("2026-11-23 10:00"));
    let booked = world.book(&customer, &provider, from, until).await.unwrap().name;
    let request = CreateClosureRequest {
        request_id: uuid(),
        ..new(closure("2026-11-23 09:00", "2026-11-23 11:00"))
    };
    let first = send(&world, &admin, request.clone()).await.unwrap().into_inner();
    assert_eq!(first.touched_appointments, [booked]);
    world.move_to("2026-11-23 11:30", "Europe/Berlin");
    let before = world.state().await;
    assert_eq!(send(&world, &admin, request.clone()).await.unwrap().into_inner(), first);
    let reused = CreateClosureRequest { closure: Some(Closure::default()), ..request.clone() };
    invalid(send(&world, &admin, reused).await, &["closure.start_time", "closure.end_time"]);
    let reused = CreateClosureRequest {
        closure: Some(closure("2026-11-24 09:00", "2026-11-24 11:00")),
        ..request.clone()
    };
    refused(send(&world, &admin, reused).await, "REQUEST_ID_REUSED");
    assert_eq!(world.state().await, before);
    let name = first.closure.clone().unwrap().name;
    let gone = DeleteClosureRequest { name, request_id: uuid() };
    world.schedule().delete_closure(admin.asks(gone.clone())).await.unwrap();
    let before = world.state().await;
    world.schedule().delete_closure(admin.asks(gone)).await.unwrap();
    assert_eq!(send(&world, &admin, request).await.unwrap().into_inner(), first);
    assert_eq!(world.state().await, before);
    books::check(&world.sql().await).await;
}

/// What the closures of the day that is booked left in the events: they begin at this instant.
const CLOSED: &str = "SELECT count(*) FROM events WHERE kind = 'closure_created'
    AND CAST(detail AS TEXT) LIKE '%2026-11-22T23:00:00Z%'";

/// Bookings that came after a closure of their day and before it was open again, in the order of their provider's
/// events.
const INTO_CLOSED: &str = "SELECT count(*) FROM events b WHERE b.kind = 'appointment_booked' AND 0 < (
    SELECT coalesce(sum(CASE c.kind WHEN 'closure_created' THEN 1 WHEN 'closure_deleted' THEN -1 ELSE 0 END), 0)
    FROM events c WHERE c.provider_id = b.provider_id AND c.version < b.version
        AND CAST(c.detail AS TEXT) LIKE '%2026-11-22T23:00:00Z%')";

/// Closures take every provider's lock, from another process, some of the very day that is booked; nobody waits in a
/// circle, no version is lost, also with providers who come meanwhile, and nobody is booked into what is closed.
async fn closures_and_bookings_at_a_time_leave_no_gap(world: World) {
    let (admin, customers) =
        (world.admin().await, join_all((0..4).map(|_| world.customer())).await);
    let providers = join_all((0..4).map(|_| world.provider())).await;
    for provider in &providers {
        starts(&world, provider, (2026, 11, 23)).await;
    }
    let beside = world.beside().await;
    let book = async |(customer, shift): (&Person, usize), hour: usize| {
        let provider = &providers[(hour + shift) % 4];
        let from = berlin(&format!("2026-11-23 {:02}:00", 9 + hour));
        let until = berlin(&format!("2026-11-23 {:02}:30", 9 + hour));
        world.book(customer, provider, from, until).await
    };
    let booked = customers.iter().zip(0..).map(async |each| {
        let (mut names, mut kept_out) = (BTreeSet::new(), Vec::new());
        for hour in 0..8 {
            match book(each, hour).await {
                Ok(made) => drop(names.insert(made.name)),
                Err(status) => {
                    refused(Err::<(), _>(status), "PRACTICE_CLOSED");
                    kept_out.push((each, hour));
                }
            }
        }
        (names, kept_out)
    });
    // One of them closes the day and opens it again; the others close a week later.
    let closed = (0..4).map(async |number| {
        let (from, until) = match number {
            0 => ("2026-11-23 00:00", "2026-11-24 00:00"),
            _ => ("2026-11-30 00:00", "2026-12-01 00:00"),
        };
        let mut told = BTreeSet::new();
        for _ in 0..4 {
            let made = close(&beside, &admin, from, until).await;
            assert_eq!(made.touched_count, i32::try_from(made.touched_appointments.len()).unwrap());
            told.extend(made.touched_appointments);
            reopen(&beside, &admin, &made.closure.unwrap().name).await.unwrap();
        }
        told
    });
    let opened = async {
        for _ in 0..4 {
            world.provider().await;
        }
    };
    let (booked, told, ()) = tokio::join!(join_all(booked), join_all(closed), opened);
    let names: BTreeSet<_> = booked.iter().flat_map(|(names, _)| names.clone()).collect();
    let kept_out: Vec<_> = booked.into_iter().flat_map(|(_, kept_out)| kept_out).collect();
    println!("{} booked, {} kept out", names.len(), kept_out.len());
    assert!(told.iter().flatten().all(|name| names.contains(name)), "{told:?}");
    assert_eq!(names.len() + kept_out.len(), 32);
    assert_eq!(books::check(&world.sql().await).await.into_keys().collect::<BTreeSet<_>>(), names);
    // Four closures for each of the first providers, and each booking: the last count would see them.
    assert!(world.count(CLOSED).await >= 16);
    let events = "SELECT count(*) FROM events WHERE kind = 'appointment_booked'";
    assert_eq!(world.count(events).await, i64::try_from(names.len()).unwrap());
    assert_eq!(world.count(INTO_CLOSED).await, 0);
    // All is open again, for those who were kept out too.
    assert_eq!(all(&world, &admin).await, []);
    for (each, hour) in kept_out {
        book(each, hour).await.unwrap();
    }
    // Closed once more before anything else, the last closure tells of all of them.
    let last = close(&beside, &admin, "2026-11-23 00:00", "2026-11-24 00:00").await;
    assert_eq!(last.touched_count, 32);
    let books = books::check(&world.sql().await).await;
    assert_eq!(books.len(), 32);
}

async fn twins_close_once(world: World) {
    let (admin, provider) = (world.admin().await, world.provider().await);
    let request = CreateClosureRequest {
        request_id: uuid(),
        ..new(closure("2026-12-24 00:00", "2026-12-27 00:00"))
    };
    let twins = join_all((0..16).map(|_| send(&world, &admin, request.clone()))).await;
    let answers: Vec<_> = twins.into_iter().map(|answer| answer.unwrap().into_inner()).collect();
    assert!(answers.iter().all(|answer| *answer == answers[0]));
    let name = answers[0].closure.clone().unwrap().name;
    // Of several who delete it, one does.
    let gone = join_all((0..8).map(|_| reopen(&world, &admin, &name))).await;
    assert_eq!(gone.iter().filter(|answer| answer.is_ok()).count(), 1);
    for answer in gone.into_iter().filter(Result::is_err) {
        refused(answer, "NOT_FOUND");
    }
    assert_eq!(version(&schedule_of(&world, &provider).await.etag), 3);
    books::check(&world.sql().await).await;
}
