//! Events as they come: the stream tells what the list tells, goes on after any cut, and ends when it has to.

use daybook::grpc::proto::{
    auth::{DisableUserRequest, LogOutRequest, Role, SetUserRoleRequest},
    booking::{
        Event, EventFilter, ListEventsRequest, WatchEventsRequest, WatchEventsResponse, event::Kind,
    },
};
use tonic::{Code, Status, Streaming};
use tonic_types::StatusExt as _;

use super::{
    behaviours,
    event_feed::{all, book, versions, without_gaps},
};
use crate::support::{
    World,
    people::Person,
    process::{until, within},
    refusal::{invalid, reason_of, refused},
};

behaviours!(
    what_happens_is_told_as_it_comes,
    a_stream_goes_on_where_another_ended,
    everybody_is_told_their_own,
    what_another_process_does_is_told_too,
    streams_and_lists_tell_the_same_while_much_happens,
    a_stream_ends_with_its_session,
    a_stream_ends_with_a_role_that_is_lost,
    a_stop_ends_streams_and_says_where_they_stood,
    a_caller_has_so_many_streams,
    bad_questions_are_told_by_field,
);

type Stream = Streaming<WatchEventsResponse>;

async fn watch(
    world: &World,
    caller: &Person,
    request: WatchEventsRequest,
) -> Result<Stream, Status> {
    world.watch().watch_events(caller.asks(request)).await.map(tonic::Response::into_inner)
}

fn of(parent: &str) -> WatchEventsRequest {
    WatchEventsRequest { parent: parent.to_owned(), ..Default::default() }
}

fn from_now(parent: &str) -> WatchEventsRequest {
    WatchEventsRequest { from_now: true, ..of(parent) }
}

async fn next(stream: &mut Stream) -> WatchEventsResponse {
    within(20, "a message of the stream", stream.message()).await.unwrap().unwrap()
}

/// So many events, and the cursor after them.
async fn told(stream: &mut Stream, count: usize) -> (Vec<Event>, String) {
    let (mut events, mut cursor) = (Vec::new(), String::new());
    while events.len() < count {
        let message = next(stream).await;
        events.extend(message.events);
        cursor = message.next_cursor;
    }
    assert_eq!(events.len(), count, "{events:?}");
    (events, cursor)
}

/// How a stream ends that has nothing more to tell.
async fn end(stream: &mut Stream) -> Status {
    within(20, "the end of the stream", async {
        loop {
            match stream.message().await {
                Ok(Some(message)) => assert_eq!(message.events, []),
                Ok(None) => panic!("it ended without saying why"),
                Err(status) => return status,
            }
        }
    })
    .await
}

fn kinds(events: &[Event]) -> Vec<Kind> {
    events.iter().map(Event::kind).collect()
}

async fn what_happens_is_told_as_it_comes(world: World) {
    let (admin, customer) = (world.admin().await, world.customer().await);
    let provider = world.provider().await;
    let mut stream = watch(&world, &admin, from_now("")).await.unwrap();
    let first = next(&mut stream).await;
    assert_eq!((first.events.len(), first.up_to_date), (0, true));
    let name = book(&world, &customer, &provider, 9).await;
    let (events, cursor) = told(&mut stream, 1).await;
    assert_eq!(kinds(&events), [Kind::AppointmentBooked]);
    assert_eq!((&events[0].appointment, &events[0].cursor), (&name, &cursor));
    assert_eq!(events[0].actor_display_name, customer.user.display_name);
    world.cancel(&customer, &name).await.unwrap();
    let (more, _) = told(&mut stream, 1).await;
    assert_eq!(kinds(&more), [Kind::AppointmentCancelled]);
    world.closure(&admin, "2026-12-24 00:00", "2026-12-25 00:00").await;
    let (closed, end) = told(&mut stream, 1).await;
    assert_eq!(kinds(&closed), [Kind::ClosureCreated]);
    // A list goes on where the stream began, and tells the same.
    let request = ListEventsRequest { cursor: first.next_cursor, ..Default::default() };
    let (listed, last) = all(&world, &admin, request).await;
    assert_eq!(listed, [events, more, closed].concat());
    assert_eq!(last, end);
}

async fn a_stream_goes_on_where_another_ended(world: World) {
    let (admin, customer) = (world.admin().await, world.customer().await);
    let provider = world.provider().await;
    for hour in 9..12 {
        book(&world, &customer, &provider, hour).await;
    }
    let (listed, _) = all(&world, &admin, ListEventsRequest::default()).await;
    let mut stream = watch(&world, &admin, of("")).await.unwrap();
    let (events, _) = told(&mut stream, listed.len()).await;
    assert_eq!(events, listed);
    drop(stream);
    // After each event the rest follows, also what comes while nobody watches, and what comes then.
    for hour in [12, 14] {
        book(&world, &customer, &provider, hour).await;
    }
    let mut streams = Vec::new();
    for (place, event) in events.iter().enumerate() {
        let request = WatchEventsRequest { cursor: event.cursor.clone(), ..of("") };
        let mut stream = watch(&world, &admin, request).await.unwrap();
        let (rest, _) = told(&mut stream, events.len() - place - 1 + 2).await;
        assert_eq!(rest[..events.len() - place - 1], events[place + 1..]);
        streams.push(stream);
    }
    book(&world, &customer, &provider, 15).await;
    for stream in &mut streams {
        assert_eq!(kinds(&told(stream, 1).await.0), [Kind::AppointmentBooked]);
    }
}

async fn everybody_is_told_their_own(world: World) {
    let (ada, bob) = (world.customer().await, world.customer().await);
    let (one, two) = (world.provider().await, world.provider().await);
    let mut of_ada = watch(&world, &ada, from_now(&ada.user.name)).await.unwrap();
    let mut of_one = watch(&world, &one, from_now(&one.provider())).await.unwrap();
    let admin = world.admin().await;
    let kinds_wanted = vec![Kind::AppointmentCancelled.into()];
    let filter = EventFilter { kinds: kinds_wanted, ..Default::default() };
    let narrowed = WatchEventsRequest { filter: Some(filter), ..from_now("") };
    let mut cancelled = watch(&world, &admin, narrowed).await.unwrap();
    for stream in [&mut of_ada, &mut of_one, &mut cancelled] {
        assert_eq!(next(stream).await.events, []);
    }
    let hers = book(&world, &ada, &one, 9).await;
    let others = book(&world, &bob, &two, 10).await;
    world.cancel(&bob, &others).await.unwrap();
    let his = book(&world, &bob, &one, 11).await;
    world.cancel(&ada, &hers).await.unwrap();
    let names = |events: &[Event]| -> Vec<String> {
        events.iter().map(|event| event.appointment.clone()).collect()
    };
    assert_eq!(names(&told(&mut of_ada, 2).await.0), [hers.clone(), hers.clone()]);
    assert_eq!(names(&told(&mut of_one, 3).await.0), [hers.clone(), his, hers.clone()]);
    let (events, _) = told(&mut cancelled, 2).await;
    assert_eq!(kinds(&events), [Kind::AppointmentCancelled; 2]);
    for (caller, parent) in
        [(&ada, &bob.user.name), (&ada, &one.provider()), (&one, &two.provider())]
    {
        refused(watch(&world, caller, of(parent)).await, "NOT_FOUND");
    }
}

async fn what_another_process_does_is_told_too(world: World) {
    let (admin, customer) = (world.admin().await, world.customer().await);
    let provider = world.provider().await;
    let beside = world.beside().await;
    let mut here = watch(&world, &admin, from_now("")).await.unwrap();
    let mut there = watch(&beside, &admin, from_now("")).await.unwrap();
    for stream in [&mut here, &mut there] {
        assert_eq!(next(stream).await.events, []);
    }
    let name = book(&world, &customer, &provider, 9).await;
    beside.cancel(&customer, &name).await.unwrap();
    let (one, _) = told(&mut here, 2).await;
    let (other, _) = told(&mut there, 2).await;
    assert_eq!(kinds(&one), [Kind::AppointmentBooked, Kind::AppointmentCancelled]);
    assert_eq!(one, other);
}

async fn streams_and_lists_tell_the_same_while_much_happens(world: World) {
    const HOURS: std::ops::Range<u32> = 9..17;
    let (admin, customer) = (world.admin().await, world.customer().await);
    let beside = world.beside().await;
    let mut providers = Vec::new();
    for _ in 0..3 {
        providers.push(world.provider().await);
    }
    let changing = async {
        for hour in HOURS {
            let provider = &providers[usize::try_from(hour % 3).unwrap()];
            let at = if hour % 2 == 0 { &world } else { &beside };
            let name = book(at, &customer, provider, hour).await;
            at.cancel(&customer, &name).await.unwrap();
        }
    };
    let expected = {
        let own = async { all(&world, &admin, ListEventsRequest::default()).await.0.len() };
        own.await + 2 * HOURS.len()
    };
    // Cut off after every third message or so, and gone on with, at the one process and at the other.
    let watching = async {
        let (mut events, mut cursor, mut turn) = (Vec::new(), String::new(), 0);
        while events.len() < expected {
            let at = if turn % 2 == 0 { &world } else { &beside };
            let request = WatchEventsRequest { cursor: cursor.clone(), ..of("") };
            let mut stream = watch(at, &admin, request).await.unwrap();
            for _ in 0..3 {
                if events.len() < expected {
                    let message = next(&mut stream).await;
                    events.extend(message.events);
                    cursor = message.next_cursor;
                }
            }
            turn += 1;
        }
        events
    };
    let (events, ()) = tokio::join!(watching, changing);
    without_gaps(&events);
    let (listed, _) = all(&world, &admin, ListEventsRequest::default()).await;
    assert_eq!(versions(&events), versions(&listed));
    assert_eq!(events, listed);
}

async fn a_stream_ends_with_its_session(world: World) {
    let (admin, customer) = (world.admin().await, world.customer().await);
    let beside = world.beside().await;
    let mut streams = Vec::new();
    for world in [&world, &beside] {
        let mut stream = watch(world, &customer, of(&customer.user.name)).await.unwrap();
        assert!(next(&mut stream).await.up_to_date);
        streams.push(stream);
    }
    let mut others = watch(&world, &admin, from_now("")).await.unwrap();
    next(&mut others).await;
    world.auth().log_out(customer.asks(LogOutRequest::default())).await.unwrap();
    for stream in &mut streams {
        assert_eq!(end(stream).await.code(), Code::Unauthenticated);
    }
    // Others watch on.
    let provider = world.provider().await;
    assert_eq!(told(&mut others, 1).await.0[0].provider, provider.provider());
}

async fn a_stream_ends_with_a_role_that_is_lost(world: World) {
    let (admin, second) = (world.admin().await, world.admin().await);
    let disabled = world.customer().await;
    let mut of_second = watch(&world, &second, from_now("")).await.unwrap();
    let mut of_disabled = watch(&world, &disabled, of(&disabled.user.name)).await.unwrap();
    for stream in [&mut of_second, &mut of_disabled] {
        assert!(next(stream).await.up_to_date);
    }
    let request = SetUserRoleRequest {
        name: second.user.name.clone(),
        role: Role::Customer.into(),
        ..Default::default()
    };
    world.auth().set_user_role(admin.asks(request)).await.unwrap();
    let request = DisableUserRequest { name: disabled.user.name.clone(), ..Default::default() };
    world.auth().disable_user(admin.asks(request)).await.unwrap();
    for stream in [&mut of_second, &mut of_disabled] {
        assert_eq!(end(stream).await.code(), Code::Unauthenticated);
    }
}

async fn a_stop_ends_streams_and_says_where_they_stood(world: World) {
    let admin = world.admin().await;
    let beside = world.beside_with(&[("server.drain_timeout_ms", "2000")]).await;
    let mut stream = watch(&beside, &admin, from_now("")).await.unwrap();
    next(&mut stream).await;
    let provider = world.provider().await;
    let (_, cursor) = told(&mut stream, 1).await;
    beside.stop();
    let status = end(&mut stream).await;
    assert_eq!(
        (status.code(), reason_of(&status)),
        (Code::Unavailable, "SHUTTING_DOWN".to_owned())
    );
    let info = status.get_details_error_info().unwrap();
    assert_eq!(info.metadata.get("cursor"), Some(&cursor));
    drop(stream);
    beside.stopped().await;
    // What comes meanwhile is told by another.
    world.time_off(&provider, "2026-12-01 00:00", "2026-12-02 00:00").await;
    let request = WatchEventsRequest { cursor, ..of("") };
    let mut stream = watch(&world, &admin, request).await.unwrap();
    assert_eq!(kinds(&told(&mut stream, 1).await.0), [Kind::TimeOffCreated]);
}

async fn a_caller_has_so_many_streams(world: World) {
    let (admin, customer) = (world.admin().await, world.customer().await);
    let few = world
        .beside_with(&[("server.max_watches_per_caller", "2"), ("server.max_watches", "3")])
        .await;
    let mut open = Vec::new();
    for _ in 0..2 {
        open.push(watch(&few, &admin, from_now("")).await.unwrap());
    }
    refused(watch(&few, &admin, from_now("")).await, "OVERLOADED");
    let own = || from_now(&customer.user.name);
    open.push(watch(&few, &customer, own()).await.unwrap());
    refused(watch(&few, &customer, own()).await, "OVERLOADED");
    // Calls have places of their own.
    all(&few, &admin, ListEventsRequest::default()).await;
    // Places of streams that ended are free.
    open.clear();
    until(20, "places are free", async || {
        let again =
            [watch(&few, &admin, from_now("")).await, watch(&few, &admin, from_now("")).await];
        again.iter().all(Result::is_ok)
    })
    .await;
}

async fn bad_questions_are_told_by_field(world: World) {
    let admin = world.admin().await;
    let call = async |request: WatchEventsRequest, fields: &[&str]| {
        invalid(world.watch().watch_events(admin.asks(request)).await, fields);
    };
    call(of("practice"), &["parent"]).await;
    call(WatchEventsRequest { cursor: "x".to_owned(), ..of("") }, &["cursor"]).await;
    let filter = EventFilter { kinds: vec![0, 999], ..Default::default() };
    let fields = &["filter.kinds[0]", "filter.kinds[1]"];
    call(WatchEventsRequest { filter: Some(filter), ..of("") }, fields).await;
    world.provider().await;
    let (_, cursor) = all(&world, &admin, ListEventsRequest::default()).await;
    call(WatchEventsRequest { cursor: cursor.clone(), ..from_now("") }, &["from_now"]).await;
    let other = world.admin().await;
    let request = WatchEventsRequest { cursor, ..of("") };
    invalid(world.watch().watch_events(other.asks(request)).await, &["cursor"]);
}
