//! Time off: taken, given back and listed.

use daybook::grpc::proto::booking::{
    Appointment, CancelAppointmentRequest, CreateTimeOffRequest, CreateTimeOffResponse,
    DeleteTimeOffRequest, DeleteTimeOffResponse, GetAppointmentRequest, ListTimeOffRequest,
    ListTimeOffResponse, TimeOff,
};
use prost_types::Timestamp;
use tonic::{Response, Status};

use super::{behaviours, overrides::last_event, schedules::schedule_of};
use crate::support::{
    World, berlin, books,
    people::{Person, uuid},
    raw::seen,
    refusal::{invalid, reason_of, refused},
    version,
};

behaviours!(
    time_off_is_taken_and_given_back,
    appointments_in_it_stay_and_are_told,
    requests_in_it_are_told_until_they_end,
    what_has_not_ended_is_listed_by_start,
    time_off_is_listed_in_pages,
    only_the_provider_and_admins_see_it,
    bad_time_off_is_told_by_field,
    what_is_over_is_not_taken,
    there_are_five_hundred,
    reasons_of_what_is_over_take_no_room,
    writes_of_time_off_can_be_retried,
);

fn off(from: &str, until: &str) -> TimeOff {
    TimeOff { start_time: Some(berlin(from)), end_time: Some(berlin(until)), ..Default::default() }
}

async fn send(
    world: &World,
    caller: &Person,
    request: CreateTimeOffRequest,
) -> Result<Response<CreateTimeOffResponse>, Status> {
    world.schedule().create_time_off(caller.asks(request)).await
}

fn new(provider: &Person, time_off: TimeOff) -> CreateTimeOffRequest {
    let parent = provider.provider();
    CreateTimeOffRequest { parent, time_off: Some(time_off), request_id: String::new() }
}

async fn take(world: &World, provider: &Person, from: &str, until: &str) -> CreateTimeOffResponse {
    send(world, provider, new(provider, off(from, until))).await.unwrap().into_inner()
}

async fn give(
    world: &World,
    caller: &Person,
    name: &str,
) -> Result<Response<DeleteTimeOffResponse>, Status> {
    let request = DeleteTimeOffRequest { name: name.to_owned(), request_id: String::new() };
    world.schedule().delete_time_off(caller.asks(request)).await
}

async fn list(
    world: &World,
    caller: &Person,
    of: &Person,
    (page_size, page_token): (i32, &str),
) -> Result<Response<ListTimeOffResponse>, Status> {
    let (parent, page_token) = (of.provider(), page_token.to_owned());
    let request = ListTimeOffRequest { parent, page_size, page_token };
    world.schedule().list_time_off(caller.asks(request)).await
}

async fn all(world: &World, provider: &Person) -> Vec<TimeOff> {
    list(world, provider, provider, (0, "")).await.unwrap().into_inner().time_off
}

async fn book(
    world: &World,
    customer: &Person,
    provider: &Person,
    from: &str,
    until: &str,
) -> String {
    world.book(customer, provider, berlin(from), berlin(until)).await.unwrap().name
}

async fn time_off_is_taken_and_given_back(world: World) {
    let (provider, other) = (world.provider().await, world.provider().await);
    let given = TimeOff {
        reason: "a day\nin the mountains".to_owned(),
        ..off("2026-11-24 00:00", "2026-11-26 12:30")
    };
    let answer = send(&world, &provider, new(&provider, given.clone())).await.unwrap().into_inner();
    assert_eq!((answer.touched_appointments.len(), answer.touched_count), (0, 0));
    let taken = answer.time_off.unwrap();
    assert!(taken.name.starts_with(&format!("{}/timeOff/", provider.provider())), "{taken:?}");
    assert_eq!(taken, TimeOff { name: taken.name.clone(), ..given });
    assert_eq!(all(&world, &provider).await, std::slice::from_ref(&taken));
    assert_eq!(all(&world, &other).await, []);
    // It is a version of the provider's schedules, and an event that does not say why.
    assert_eq!(version(&schedule_of(&world, &provider).await.etag), 2);
    let id = taken.name.rsplit('/').next().unwrap();
    let event = last_event(&world, &provider).await;
    assert!(event.starts_with("time_off_created ") && event.contains(id), "{event}");
    assert!(event.contains("2026-11-23T23:00:00Z") && !event.contains("mountains"), "{event}");
    give(&world, &provider, &taken.name).await.unwrap();
    assert_eq!(all(&world, &provider).await, []);
    assert_eq!(version(&schedule_of(&world, &provider).await.etag), 3);
    let event = last_event(&world, &provider).await;
    assert!(event.starts_with("time_off_deleted ") && event.contains(id), "{event}");
    refused(give(&world, &provider, &taken.name).await, "NOT_FOUND");
    books::check(&world.sql().await).await;
}

async fn appointments_in_it_stay_and_are_told(world: World) {
    let (provider, other) = (world.provider().await, world.provider().await);
    let (one, two) = (world.customer().await, world.customer().await);
    let day = |time: &str| format!("2026-11-24 {time}");
    let at = async |customer: &Person, from: &str, until: &str| {
        book(&world, customer, &provider, &day(from), &day(until)).await
    };
    let ends_at_its_start = at(&one, "09:00", "10:00").await;
    let last = at(&two, "12:30", "13:00").await;
    let reaches_in = at(&one, "10:00", "11:01").await;
    let cancelled = at(&two, "11:30", "12:00").await;
    let starts_at_its_end = at(&one, "13:00", "13:30").await;
    assert_ne!(ends_at_its_start, starts_at_its_end);
    let cancel = CancelAppointmentRequest { name: cancelled, ..Default::default() };
    world.booking().cancel_appointment(two.asks(cancel)).await.unwrap();
    book(&world, &two, &other, &day("11:30"), &day("12:00")).await;
    let answer = take(&world, &provider, &day("11:00"), &day("13:00")).await;
    assert_eq!(answer.touched_appointments, [reaches_in.clone(), last]);
    assert_eq!(answer.touched_count, 2);
    let get = GetAppointmentRequest { name: reaches_in };
    let found = world.booking().get_appointment(one.asks(get)).await.unwrap().into_inner();
    let found: Appointment = found.appointment.unwrap();
    assert_eq!(found.state(), daybook::grpc::proto::booking::appointment::State::Booked);
    books::check(&world.sql().await).await;
}

async fn requests_in_it_are_told_until_they_end(world: World) {
    let (provider, customer) = (world.provider().await, world.customer().await);
    let mut names = Vec::new();
    for hour in ["09", "10", "11", "12", "13"] {
        let (from, until) = (format!("2026-11-24 {hour}:00"), format!("2026-11-24 {hour}:30"));
        names.push(book(&world, &customer, &provider, &from, &until).await);
    }
    // A request, one that has just ended unanswered, a hold, and one that took place; past the server.
    let states = [
        ("pending", "'2026-11-22T12:00:01+00:00'"),
        ("pending", "'2026-11-22T12:00:00+00:00'"),
        ("held", "'2026-11-22T12:10:00+00:00'"),
        ("no_show", "NULL"),
    ];
    for (name, (state, expires)) in names.iter().zip(states) {
        let id = name.rsplit('/').next().unwrap();
        let update = |id: &str| {
            format!(
                "UPDATE appointments SET state = '{state}', expires_at = {expires}
                 WHERE appointment_id = {id}"
            )
        };
        let sqlite = update(&format!("x'{}'", id.replace('-', "")));
        world.execute(&sqlite, &update(&format!("'{id}'"))).await;
    }
    let answer = take(&world, &provider, "2026-11-24 00:00", "2026-11-25 00:00").await;
    assert_eq!(answer.touched_appointments, [names[0].clone(), names[4].clone()]);
    assert_eq!(answer.touched_count, 2);
}

async fn what_has_not_ended_is_listed_by_start(world: World) {
    let provider = world.provider().await;
    let later = take(&world, &provider, "2026-12-24 00:00", "2026-12-27 00:00").await;
    let running = take(&world, &provider, "2026-11-20 00:00", "2026-11-22 18:00").await;
    let inside = take(&world, &provider, "2026-12-25 00:00", "2026-12-26 00:00").await;
    let [later, running, inside] = [later, running, inside].map(|a| a.time_off.unwrap());
    let expected = [running.clone(), later.clone(), inside.clone()];
    assert_eq!(all(&world, &provider).await, expected);
    world.move_to("2026-11-22 17:59:59", "Europe/Berlin");
    assert_eq!(all(&world, &provider).await, expected);
    world.move_to("2026-11-22 18:00", "Europe/Berlin");
    assert_eq!(all(&world, &provider).await, [later, inside]);
    // What is over can still be given back.
    give(&world, &provider, &running.name).await.unwrap();
}

async fn time_off_is_listed_in_pages(world: World) {
    let (provider, admin, other) =
        (world.provider().await, world.admin().await, world.provider().await);
    for day in 10..17 {
        // Two of each start: the id decides.
        let (from, until) = (format!("2026-12-{day} 09:00"), format!("2026-12-{day} 10:00"));
        take(&world, &provider, &from, &until).await;
        take(&world, &provider, &from, &until).await;
    }
    let expected = all(&world, &provider).await;
    assert_eq!(expected.len(), 14);
    for size in [1, 3, 13, 14, 500, i32::MAX] {
        let (mut found, mut token) = (Vec::new(), String::new());
        loop {
            let page = list(&world, &provider, &provider, (size, &token)).await.unwrap();
            let page = page.into_inner();
            assert!(page.time_off.len() <= usize::try_from(size).unwrap());
            found.extend(page.time_off);
            token = page.next_page_token;
            if token.is_empty() {
                break;
            }
        }
        assert_eq!(found, expected, "{size}");
    }
    let token = list(&world, &provider, &provider, (1, "")).await.unwrap().into_inner();
    let token = token.next_page_token;
    // A token is the caller's and the list's.
    invalid(list(&world, &admin, &provider, (1, &token)).await, &["page_token"]);
    let mine = list(&world, &admin, &provider, (1, "")).await.unwrap().into_inner();
    invalid(list(&world, &admin, &other, (1, &mine.next_page_token)).await, &["page_token"]);
    invalid(list(&world, &provider, &provider, (-1, "x")).await, &["page_size", "page_token"]);
    for bad in ["", "providers/x", &provider.schedule()] {
        let request = ListTimeOffRequest { parent: bad.to_owned(), ..Default::default() };
        invalid(world.schedule().list_time_off(provider.asks(request)).await, &["parent"]);
    }
}

async fn only_the_provider_and_admins_see_it(world: World) {
    let (one, two) = (world.provider().await, world.provider().await);
    let (customer, admin) = (world.customer().await, world.admin().await);
    let (from, until) = ("2026-11-24 09:00", "2026-11-24 10:00");
    let name = take(&world, &one, from, until).await.time_off.unwrap().name;
    let before = world.state().await;
    let request = || new(&one, off(from, until));
    refused(send(&world, &customer, request()).await, "ROLE_NOT_ALLOWED");
    refused(give(&world, &customer, &name).await, "ROLE_NOT_ALLOWED");
    refused(list(&world, &customer, &one, (0, "")).await, "ROLE_NOT_ALLOWED");
    refused(send(&world, &two, request()).await, "NOT_FOUND");
    let foreign = list(&world, &two, &one, (0, "")).await.unwrap_err();
    let missing = list(&world, &two, &customer, (0, "")).await.unwrap_err();
    assert_eq!(reason_of(&foreign), "NOT_FOUND");
    assert_eq!((seen(&foreign).0, seen(&foreign).1), (seen(&missing).0, seen(&missing).1));
    let foreign = give(&world, &two, &name).await.unwrap_err();
    // The same time off as if it were the caller's own.
    let own = name.replace(&one.provider(), &two.provider());
    let missing = give(&world, &two, &own).await.unwrap_err();
    assert_eq!(reason_of(&foreign), "NOT_FOUND");
    assert_eq!((seen(&foreign).0, seen(&foreign).1), (seen(&missing).0, seen(&missing).1));
    refused(send(&world, &admin, new(&customer, off(from, until))).await, "NOT_FOUND");
    refused(list(&world, &admin, &customer, (0, "")).await, "NOT_FOUND");
    assert_eq!(world.state().await, before);
    let page = list(&world, &admin, &one, (0, "")).await.unwrap().into_inner();
    assert_eq!(page.time_off[0].name, name);
    send(&world, &admin, request()).await.unwrap();
    give(&world, &admin, &name).await.unwrap();
    assert_eq!(all(&world, &one).await.len(), 1);
}

async fn bad_time_off_is_told_by_field(world: World) {
    let provider = world.provider().await;
    let before = world.state().await;
    let good = off("2026-11-24 09:00", "2026-11-24 10:00");
    let with = async |time_off: TimeOff| send(&world, &provider, new(&provider, time_off)).await;
    let at = |seconds, nanos| Some(Timestamp { seconds, nanos });
    for bad in [None, at(-1, 0), at(7_258_118_400, 0), at(1, 1), at(i64::MAX, 0)] {
        let bad = TimeOff { start_time: bad, ..good.clone() };
        invalid(with(bad).await, &["time_off.start_time"]);
    }
    for bad in [None, at(0, 0), at(7_258_118_401, 0), at(1, 1), at(i64::MIN, 0)] {
        let bad = TimeOff { end_time: bad, ..good.clone() };
        invalid(with(bad).await, &["time_off.end_time"]);
    }
    for (from, until) in [
        ("2026-11-24 09:00", "2026-11-24 09:00"),
        ("2026-11-24 09:00", "2026-11-24 08:00"),
        ("2026-11-24 09:00", "2028-11-24 09:00:01"),
        ("2028-02-29 09:00", "2030-03-01 09:00"),
    ] {
        invalid(with(off(from, until)).await, &["time_off.end_time"]);
    }
    for bad in ["x".repeat(501), "\0".to_owned(), "\u{7}".to_owned()] {
        let bad = TimeOff { reason: bad, ..good.clone() };
        invalid(with(bad).await, &["time_off.reason"]);
    }
    let name = format!("{}/timeOff/{}", provider.provider(), uuid());
    invalid(with(TimeOff { name, ..good.clone() }).await, &["time_off.name"]);
    invalid(
        send(&world, &provider, CreateTimeOffRequest::default()).await,
        &["parent", "time_off"],
    );
    let bad = CreateTimeOffRequest {
        parent: "x".to_owned(),
        time_off: Some(TimeOff {
            name: "x".to_owned(),
            reason: "\0".to_owned(),
            ..TimeOff::default()
        }),
        request_id: "1".to_owned(),
    };
    invalid(
        send(&world, &provider, bad).await,
        &[
            "request_id",
            "parent",
            "time_off.name",
            "time_off.start_time",
            "time_off.end_time",
            "time_off.reason",
        ],
    );
    let id = uuid();
    for bad in ["", "x", &id, &provider.provider(), &format!("timeOff/{id}")] {
        invalid(give(&world, &provider, bad).await, &["name"]);
    }
    assert_eq!(world.state().await, before);
    // The ends of the ranges are valid.
    with(TimeOff { reason: "é".repeat(500), ..off("2026-11-24 09:00", "2028-11-24 09:00") })
        .await
        .unwrap();
    with(off("2028-02-29 09:00", "2030-02-28 09:00")).await.unwrap();
    let last = TimeOff { start_time: at(7_258_118_399, 0), end_time: at(7_258_118_400, 0), ..good };
    with(last).await.unwrap();
}

async fn what_is_over_is_not_taken(world: World) {
    let provider = world.provider().await;
    let before = world.state().await;
    // It is 13:00 in Berlin.
    for until in ["2026-11-22 13:00", "2026-11-22 12:59:59", "2025-11-22 12:00"] {
        let past = new(&provider, off("2025-11-21 09:00", until));
        invalid(send(&world, &provider, past).await, &["time_off.end_time"]);
    }
    assert_eq!(world.state().await, before);
    take(&world, &provider, "2025-11-21 09:00", "2026-11-22 13:00:01").await;
}

async fn there_are_five_hundred(world: World) {
    let provider = world.provider().await;
    let (from, until) = ("2026-11-24 09:00", "2026-11-24 10:00");
    take(&world, &provider, from, until).await;
    // 499 more, past the server.
    let postgres = "UPDATE providers SET plan = jsonb_build_object('time_off', (
        SELECT jsonb_agg(each.one || jsonb_build_object('id', gen_random_uuid()))
        FROM (SELECT plan -> 'time_off' -> 0 AS one FROM generate_series(1, 500)) each))";
    let sqlite = "UPDATE providers SET plan = json_object('time_off', (
        WITH RECURSIVE numbers (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM numbers WHERE n < 500)
        SELECT json_group_array(json_set(json_extract(plan, '$.time_off[0]'), '$.id',
            printf('01980000-0000-7000-8000-%012d', n))) FROM numbers))";
    world.execute(sqlite, postgres).await;
    let before = world.state().await;
    let refusal = send(&world, &provider, new(&provider, off(from, until))).await;
    refused(refusal, "TOO_MANY");
    assert_eq!(world.state().await, before);
    for (asked, got) in [(0, 50), (499, 499), (500, 500), (501, 500)] {
        let page = list(&world, &provider, &provider, (asked, "")).await.unwrap().into_inner();
        assert_eq!(page.time_off.len(), got, "{asked}");
        assert_eq!(page.next_page_token.is_empty(), got == 500, "{asked}");
    }
    let first = all(&world, &provider).await[0].name.clone();
    give(&world, &provider, &first).await.unwrap();
    take(&world, &provider, from, until).await;
    // Of what is over, which nobody can see, none counts.
    world.move_to("2026-11-24 10:00", "Europe/Berlin");
    let provider = world.log_in(&provider.user.email).await;
    assert_eq!(all(&world, &provider).await, []);
    let new = take(&world, &provider, "2026-11-25 09:00", "2026-11-25 10:00").await;
    assert_eq!(all(&world, &provider).await, [new.time_off.unwrap()]);
}

async fn reasons_of_what_is_over_take_no_room(world: World) {
    let provider = world.provider().await;
    let day = |number: i64| {
        let start = berlin("2026-11-24 09:00").seconds + number * 86_400;
        let at = |seconds| Some(Timestamp { seconds, nanos: 0 });
        let reason = "\u{1d11e}".repeat(500);
        TimeOff { start_time: at(start), end_time: at(start + 3600), reason, ..TimeOff::default() }
    };
    let mut taken = 0;
    let refusal = loop {
        match send(&world, &provider, new(&provider, day(taken))).await {
            Ok(_) => taken += 1,
            Err(status) => break status,
        }
    };
    assert_eq!(reason_of(&refusal), "TOO_MANY");
    // As soon as one is over there is room for one.
    world.move_to("2026-11-24 10:00", "Europe/Berlin");
    let provider = world.log_in(&provider.user.email).await;
    send(&world, &provider, new(&provider, day(taken))).await.unwrap();
    refused(send(&world, &provider, new(&provider, day(taken + 1))).await, "TOO_MANY");
}

async fn writes_of_time_off_can_be_retried(world: World) {
    let (provider, customer) = (world.provider().await, world.customer().await);
    let (from, until) = ("2026-11-23 09:00", "2026-11-23 10:00");
    let booked = book(&world, &customer, &provider, from, until).await;
    let request = CreateTimeOffRequest {
        request_id: uuid(),
        ..new(&provider, off(from, "2026-11-23 11:00"))
    };
    let first = send(&world, &provider, request.clone()).await.unwrap().into_inner();
    assert_eq!(first.touched_appointments, std::slice::from_ref(&booked));
    let cancel = CancelAppointmentRequest { name: booked, ..Default::default() };
    world.booking().cancel_appointment(customer.asks(cancel)).await.unwrap();
    // It is over, and what it touched is gone: the first answer is given.
    world.move_to("2026-11-23 12:00", "Europe/Berlin");
    let before = world.state().await;
    assert_eq!(send(&world, &provider, request.clone()).await.unwrap().into_inner(), first);
    let reused =
        CreateTimeOffRequest { time_off: Some(off(from, "2026-11-24 11:00")), ..request.clone() };
    refused(send(&world, &provider, reused).await, "REQUEST_ID_REUSED");
    assert_eq!(world.state().await, before);
    let name = first.time_off.clone().unwrap().name;
    let gone = DeleteTimeOffRequest { name, request_id: uuid() };
    world.schedule().delete_time_off(provider.asks(gone.clone())).await.unwrap();
    let before = world.state().await;
    world.schedule().delete_time_off(provider.asks(gone)).await.unwrap();
    assert_eq!(send(&world, &provider, request).await.unwrap().into_inner(), first);
    assert_eq!(world.state().await, before);
    books::check(&world.sql().await).await;
}
