//! Named schedules: added, changed, listed and deleted.

use daybook::grpc::proto::{
    auth::DisableUserRequest,
    booking::{
        Appointment, AppointmentType, BookAppointmentRequest, CreateAppointmentTypeRequest,
        CreateScheduleRequest, CreateScheduleResponse, DeleteScheduleRequest,
        DeleteScheduleResponse, GetScheduleRequest, ListSchedulesRequest,
        OfferAppointmentTypeRequest, RescheduleAppointmentRequest, Schedule,
        catalogue_service_client::CatalogueServiceClient,
    },
    google::r#type::DayOfWeek,
};
use tonic::{Response, Status};

use super::{
    behaviours,
    overrides::{last_event, own, stay},
    schedules::{minutes, schedule_of, starts, update, window},
};
use crate::support::{
    World, at, books,
    people::{Person, uuid},
    raw::seen,
    refusal::{fields_of, invalid, reason_of, refused},
    version,
};

behaviours!(
    a_named_schedule_has_hours_of_its_own,
    a_named_schedule_is_changed_by_its_own_fields,
    schedules_are_listed_by_name_after_the_default_one,
    a_deleted_schedule_is_gone,
    a_schedule_that_is_offered_by_is_not_deleted,
    a_name_is_taken_once_and_there_are_twenty,
    providers_have_their_own_and_admins_anybodys,
    bad_new_schedules_are_told_by_field,
    names_of_schedules_are_exact,
    writes_of_named_schedules_can_be_retried,
    a_second_server_sees_named_schedules_at_once,
    local_time_is_promised_in_the_zone_of_the_schedule,
);

const MONDAY: (i32, i32, i32) = (2026, 11, 23);

fn night() -> Schedule {
    Schedule {
        time_zone: "Asia/Tokyo".to_owned(),
        weekly_windows: vec![window(DayOfWeek::Sunday, (20, 0), (24, 0))],
        ..Default::default()
    }
}

fn new(provider: &Person, id: &str, schedule: Schedule) -> CreateScheduleRequest {
    CreateScheduleRequest {
        parent: provider.provider(),
        schedule_id: id.to_owned(),
        schedule: Some(schedule),
        request_id: String::new(),
    }
}

async fn send(
    world: &World,
    caller: &Person,
    request: CreateScheduleRequest,
) -> Result<Response<CreateScheduleResponse>, Status> {
    world.schedule().create_schedule(caller.asks(request)).await
}

async fn create(world: &World, provider: &Person, id: &str) -> Result<Schedule, Status> {
    let answer = send(world, provider, new(provider, id, night())).await?;
    Ok(answer.into_inner().schedule.unwrap())
}

async fn get(world: &World, caller: &Person, name: &str) -> Result<Schedule, Status> {
    let request = GetScheduleRequest { name: name.to_owned() };
    let answer = world.schedule().get_schedule(caller.asks(request)).await?;
    Ok(answer.into_inner().schedule.unwrap())
}

async fn list(world: &World, caller: &Person, of: &Person) -> Result<Vec<Schedule>, Status> {
    let request = ListSchedulesRequest { parent: of.provider() };
    let answer = world.schedule().list_schedules(caller.asks(request)).await?;
    Ok(answer.into_inner().schedules)
}

async fn delete(
    world: &World,
    caller: &Person,
    name: &str,
    etag: &str,
) -> Result<Response<DeleteScheduleResponse>, Status> {
    let (name, etag) = (name.to_owned(), etag.to_owned());
    let request = DeleteScheduleRequest { name, etag, request_id: String::new() };
    world.schedule().delete_schedule(caller.asks(request)).await
}

async fn a_named_schedule_has_hours_of_its_own(world: World) {
    let (provider, customer) = (world.provider().await, world.customer().await);
    let default = schedule_of(&world, &provider).await;
    let before = starts(&world, &provider, MONDAY).await;
    let given = Schedule {
        weekly_windows: vec![
            window(DayOfWeek::Sunday, (22, 0), (24, 0)),
            window(DayOfWeek::Sunday, (20, 0), (22, 0)),
        ],
        date_overrides: vec![own(MONDAY, &[((1, 0), (2, 0))])],
        stays: vec![stay((2026, 12, 1), (2026, 12, 2), "UTC")],
        // What only the server says is not looked at.
        etag: "x".to_owned(),
        ..night()
    };
    world.clock.set("2026-11-22T13:00:00Z".parse().unwrap());
    let made = send(&world, &provider, new(&provider, "night-2", given.clone())).await;
    let made = made.unwrap().into_inner().schedule.unwrap();
    let expected = Schedule {
        name: provider.schedule_named("night-2"),
        weekly_windows: vec![given.weekly_windows[1], given.weekly_windows[0]],
        update_time: Some(prost_types::Timestamp {
            seconds: world.clock.now().timestamp(),
            nanos: 0,
        }),
        etag: made.etag.clone(),
        ..given
    };
    assert_eq!((&made, version(&made.etag)), (&expected, 2));
    assert_eq!(get(&world, &customer, &made.name).await.unwrap(), made);
    // The default one has its version and is otherwise the same, as is what it offers.
    let now = schedule_of(&world, &provider).await;
    let (etag, update_time) = (made.etag, made.update_time);
    assert_eq!(now, Schedule { etag, update_time, ..default });
    assert_eq!(starts(&world, &provider, MONDAY).await, before);
    let event = last_event(&world, &provider).await.replace(' ', "");
    assert!(event.starts_with("schedule_changed{"), "{event}");
    assert!(event.contains("\"schedule\":\"night-2\"") && event.contains("\"what\":\"created\""));
    books::check(&world.sql().await).await;
}

async fn a_named_schedule_is_changed_by_its_own_fields(world: World) {
    let provider = world.provider().await;
    let mut expected = create(&world, &provider, "night").await.unwrap();
    let default = schedule_of(&world, &provider).await;
    let new = Schedule {
        name: expected.name.clone(),
        time_zone: "UTC".to_owned(),
        weekly_windows: vec![window(DayOfWeek::Monday, (1, 0), (2, 0))],
        date_overrides: vec![own(MONDAY, &[])],
        stays: vec![stay(MONDAY, MONDAY, "UTC")],
        ..Default::default()
    };
    for (path, number) in
        ["time_zone", "weekly_windows", "date_overrides", "stays"].into_iter().zip(3..)
    {
        let changed = update(&world, &provider, new.clone(), &[path]).await.unwrap();
        match path {
            "time_zone" => expected.time_zone.clone_from(&new.time_zone),
            "weekly_windows" => expected.weekly_windows.clone_from(&new.weekly_windows),
            "date_overrides" => expected.date_overrides.clone_from(&new.date_overrides),
            _ => expected.stays.clone_from(&new.stays),
        }
        assert_eq!(version(&changed.etag), number);
        expected.etag.clone_from(&changed.etag);
        assert_eq!(changed, expected, "{path}");
    }
    // Without a mask: zone and week, and what holds something.
    let short = Schedule { name: new.name.clone(), time_zone: "UTC".to_owned(), ..night() };
    let changed = update(&world, &provider, short, &[]).await.unwrap();
    expected.weekly_windows = night().weekly_windows;
    "UTC".clone_into(&mut expected.time_zone);
    assert_eq!(version(&changed.etag), 7);
    expected.etag.clone_from(&changed.etag);
    assert_eq!(changed, expected);
    assert_eq!(get(&world, &provider, &new.name).await.unwrap(), expected);
    // What belongs to the default one is refused where it would be looked at.
    let before = world.state().await;
    let odd = Schedule {
        slot_duration: minutes(30),
        longest_booking: minutes(60),
        accepts_intervals: Some(true),
        ..new.clone()
    };
    let status = update(&world, &provider, odd.clone(), &[]).await.unwrap_err();
    assert_eq!(
        fields_of(&status),
        ["schedule.accepts_intervals", "schedule.longest_booking", "schedule.slot_duration"]
    );
    for path in ["slot_duration", "longest_booking", "accepts_intervals", "name", "etag"] {
        let status = update(&world, &provider, odd.clone(), &[path]).await.unwrap_err();
        assert_eq!(fields_of(&status), ["update_mask"], "{path}");
    }
    let bad = Schedule { time_zone: "x".to_owned(), ..new.clone() };
    let status = update(&world, &provider, bad, &[]).await.unwrap_err();
    assert_eq!(fields_of(&status), ["schedule.time_zone"]);
    let past = Schedule { date_overrides: vec![own((2026, 11, 20), &[])], ..new.clone() };
    let status = update(&world, &provider, past, &[]).await.unwrap_err();
    assert_eq!(fields_of(&status), ["schedule.date_overrides[0].date"]);
    let stale = Schedule { etag: default.etag.clone(), ..new.clone() };
    refused(update(&world, &provider, stale, &[]).await, "ETAG_STALE");
    let absent = Schedule { name: provider.schedule_named("day"), ..new.clone() };
    refused(update(&world, &provider, absent, &[]).await, "NOT_FOUND");
    assert_eq!(world.state().await, before);
    // All schedules have one version.
    let seen = Schedule { etag: schedule_of(&world, &provider).await.etag, ..new };
    update(&world, &provider, seen, &[]).await.unwrap();
    let now = schedule_of(&world, &provider).await;
    assert_eq!(version(&now.etag), 8);
    assert_eq!(now, Schedule { etag: now.etag.clone(), ..default });
    books::check(&world.sql().await).await;
}

async fn schedules_are_listed_by_name_after_the_default_one(world: World) {
    let (provider, customer) = (world.provider().await, world.customer().await);
    let default = schedule_of(&world, &provider).await;
    assert_eq!(list(&world, &customer, &provider).await.unwrap(), [default]);
    for id in ["night", "b", "a-2", "a"] {
        create(&world, &provider, id).await.unwrap();
    }
    let found = list(&world, &customer, &provider).await.unwrap();
    let mut expected = vec![schedule_of(&world, &provider).await];
    for id in ["a", "a-2", "b", "night"] {
        expected.push(get(&world, &customer, &provider.schedule_named(id)).await.unwrap());
    }
    assert_eq!(found, expected);
}

async fn a_deleted_schedule_is_gone(world: World) {
    let provider = world.provider().await;
    let made = create(&world, &provider, "night").await.unwrap();
    let last = create(&world, &provider, "day").await.unwrap();
    refused(delete(&world, &provider, &made.name, &made.etag).await, "ETAG_STALE");
    assert_eq!(version(&last.etag), 3);
    delete(&world, &provider, &made.name, &last.etag).await.unwrap();
    refused(get(&world, &provider, &made.name).await, "NOT_FOUND");
    refused(delete(&world, &provider, &made.name, "").await, "NOT_FOUND");
    let event = last_event(&world, &provider).await.replace(' ', "");
    assert!(event.contains("\"schedule\":\"night\"") && event.contains("\"what\":\"deleted\""));
    let left = list(&world, &provider, &provider).await.unwrap();
    assert_eq!(left.len(), 2);
    assert_eq!(left[1].name, provider.schedule_named("day"));
    assert_eq!(version(&left[0].etag), 4);
    // Its name is free again.
    create(&world, &provider, "night").await.unwrap();
    books::check(&world.sql().await).await;
}

async fn a_schedule_that_is_offered_by_is_not_deleted(world: World) {
    let (provider, other) = (world.provider().await, world.provider().await);
    for person in [&provider, &other] {
        create(&world, person, "night").await.unwrap();
        create(&world, person, "day").await.unwrap();
    }
    // An offering by that schedule, past the server.
    let id = provider.provider().replace("providers/", "");
    let of = |id: &str, type_id: &str| {
        [
            format!(
                "INSERT INTO appointment_types SELECT {type_id}, NULL, '{{}}', 'x', false, 1,
                 created_at, updated_at, 0 FROM users WHERE user_id = {id}"
            ),
            format!(
                "INSERT INTO offerings SELECT user_id, {type_id}, 'night', created_at
                 FROM users WHERE user_id = {id}"
            ),
        ]
    };
    let sqlite = of(&format!("x'{}'", id.replace('-', "")), "x'01980000000070008000000000000000'");
    let uuid = format!("'{}'::uuid", uuid());
    let postgres = of(&format!("'{id}'"), &uuid);
    for (sqlite, postgres) in sqlite.iter().zip(&postgres) {
        world.execute(sqlite, postgres).await;
    }
    let before = world.state().await;
    refused(delete(&world, &provider, &provider.schedule_named("night"), "").await, "IN_USE");
    assert_eq!(world.state().await, before);
    delete(&world, &provider, &provider.schedule_named("day"), "").await.unwrap();
    delete(&world, &other, &other.schedule_named("night"), "").await.unwrap();
    world.execute("DELETE FROM offerings", "DELETE FROM offerings").await;
    delete(&world, &provider, &provider.schedule_named("night"), "").await.unwrap();
}

async fn a_name_is_taken_once_and_there_are_twenty(world: World) {
    let (provider, other) = (world.provider().await, world.provider().await);
    for number in 0..20 {
        create(&world, &provider, &format!("s{number}")).await.unwrap();
    }
    let before = world.state().await;
    let status = refused(create(&world, &provider, "s7").await, "NAME_TAKEN");
    assert_eq!(fields_of(&status), ["schedule_id"]);
    refused(create(&world, &provider, "s20").await, "TOO_MANY");
    assert_eq!(world.state().await, before);
    create(&world, &other, "s7").await.unwrap();
    assert_eq!(list(&world, &provider, &provider).await.unwrap().len(), 21);
    delete(&world, &provider, &provider.schedule_named("s7"), "").await.unwrap();
    create(&world, &provider, "s20").await.unwrap();
}

async fn providers_have_their_own_and_admins_anybodys(world: World) {
    let (one, two) = (world.provider().await, world.provider().await);
    let (customer, admin) = (world.customer().await, world.admin().await);
    let name = create(&world, &one, "night").await.unwrap().name;
    let before = world.state().await;
    let request = || new(&one, "day", night());
    refused(send(&world, &customer, request()).await, "ROLE_NOT_ALLOWED");
    refused(delete(&world, &customer, &name, "").await, "ROLE_NOT_ALLOWED");
    refused(send(&world, &two, request()).await, "NOT_FOUND");
    let schedule = Schedule { name: name.clone(), ..night() };
    refused(update(&world, &two, schedule.clone(), &[]).await, "NOT_FOUND");
    // Somebody else's looks like one that is not there.
    let foreign = delete(&world, &two, &name, "").await.unwrap_err();
    let missing = delete(&world, &two, &two.schedule_named("night"), "").await.unwrap_err();
    assert_eq!(reason_of(&foreign), "NOT_FOUND");
    assert_eq!((seen(&foreign).0, seen(&foreign).1), (seen(&missing).0, seen(&missing).1));
    refused(send(&world, &admin, new(&customer, "day", night())).await, "NOT_FOUND");
    refused(list(&world, &admin, &customer).await, "NOT_FOUND");
    assert_eq!(world.state().await, before);
    send(&world, &admin, request()).await.unwrap();
    update(&world, &admin, schedule, &[]).await.unwrap();
    delete(&world, &admin, &name, "").await.unwrap();
    // Of somebody who is shut out only admins see them.
    let disable = DisableUserRequest { name: one.user.name.clone(), ..Default::default() };
    world.auth().disable_user(admin.asks(disable)).await.unwrap();
    let name = one.schedule_named("day");
    for person in [&two, &customer] {
        refused(get(&world, person, &name).await, "NOT_FOUND");
        refused(list(&world, person, &one).await, "NOT_FOUND");
    }
    get(&world, &admin, &name).await.unwrap();
    assert_eq!(list(&world, &admin, &one).await.unwrap().len(), 2);
}

async fn bad_new_schedules_are_told_by_field(world: World) {
    let provider = world.provider().await;
    let before = world.state().await;
    let good = new(&provider, "night", night());
    let with =
        |schedule: Schedule| CreateScheduleRequest { schedule: Some(schedule), ..good.clone() };
    for bad in ["", "providers/x", &provider.schedule(), &provider.user.name, "\0"] {
        let bad = CreateScheduleRequest { parent: bad.to_owned(), ..good.clone() };
        invalid(send(&world, &provider, bad).await, &["parent"]);
    }
    let long = "a".repeat(41);
    for bad in ["", "Night", "2nd", "-a", "a_b", "a b", "ä", "a/b", "a\0", &long] {
        let bad = CreateScheduleRequest { schedule_id: bad.to_owned(), ..good.clone() };
        invalid(send(&world, &provider, bad).await, &["schedule_id"]);
    }
    let bad = CreateScheduleRequest { schedule: None, ..good.clone() };
    invalid(send(&world, &provider, bad).await, &["schedule"]);
    let bad = CreateScheduleRequest { request_id: "1".to_owned(), ..good.clone() };
    invalid(send(&world, &provider, bad).await, &["request_id"]);
    let name = provider.schedule_named("night");
    let bad = with(Schedule {
        name,
        time_zone: String::new(),
        weekly_windows: vec![window(DayOfWeek::Monday, (9, 0), (9, 0))],
        slot_duration: minutes(30),
        longest_booking: minutes(60),
        accepts_intervals: Some(false),
        date_overrides: vec![own(MONDAY, &[((9, 0), (25, 0))])],
        stays: vec![stay(MONDAY, (2026, 11, 22), "UTC")],
        ..Default::default()
    });
    invalid(
        send(&world, &provider, bad).await,
        &[
            "schedule.name",
            "schedule.time_zone",
            "schedule.weekly_windows[0]",
            "schedule.slot_duration",
            "schedule.longest_booking",
            "schedule.accepts_intervals",
            "schedule.date_overrides[0].windows[0].end_time",
            "schedule.stays[0].end_date",
        ],
    );
    // In Tokyo it is the 22nd already when it is the 21st elsewhere; at noon UTC it is the 22nd.
    let past = with(Schedule { date_overrides: vec![own((2026, 11, 21), &[])], ..night() });
    invalid(send(&world, &provider, past).await, &["schedule.date_overrides[0].date"]);
    assert_eq!(world.state().await, before);
    // No windows at all are fine, and a name of 40 characters.
    let never = Schedule { time_zone: "UTC".to_owned(), ..Default::default() };
    let longest = CreateScheduleRequest { schedule_id: "a".repeat(40), ..with(never) };
    send(&world, &provider, longest).await.unwrap();
}

async fn names_of_schedules_are_exact(world: World) {
    let provider = world.provider().await;
    let name = create(&world, &provider, "night").await.unwrap().name;
    for bad in [
        format!("{name}/"),
        format!("{name}\0"),
        name.to_uppercase(),
        provider.schedule_named(""),
        provider.schedule_named("Night"),
        format!("{}s", provider.schedule()),
        name.replace("schedules", "schedule"),
    ] {
        let request = GetScheduleRequest { name: bad.clone() };
        invalid(world.schedule().get_schedule(provider.asks(request)).await, &["name"]);
        invalid(delete(&world, &provider, &bad, "").await, &["name"]);
    }
    // The default one is not deleted.
    invalid(delete(&world, &provider, &provider.schedule(), "").await, &["name"]);
    for bad in ["1", "\"x\"", "\0"] {
        invalid(delete(&world, &provider, &name, bad).await, &["etag"]);
    }
    for bad in ["", "providers/x", &name] {
        let request = ListSchedulesRequest { parent: bad.to_owned() };
        invalid(world.schedule().list_schedules(provider.asks(request)).await, &["parent"]);
    }
    get(&world, &provider, &name).await.unwrap();
}

async fn writes_of_named_schedules_can_be_retried(world: World) {
    let provider = world.provider().await;
    let request = CreateScheduleRequest { request_id: uuid(), ..new(&provider, "night", night()) };
    let first = send(&world, &provider, request.clone()).await.unwrap().into_inner();
    // Changed since, and then deleted: the first answer is given.
    let name = provider.schedule_named("night");
    let other = Schedule { name: name.clone(), time_zone: "UTC".to_owned(), ..night() };
    update(&world, &provider, other, &[]).await.unwrap();
    let again = send(&world, &provider, request.clone()).await.unwrap().into_inner();
    assert_eq!(again, first);
    let gone = DeleteScheduleRequest { name, etag: String::new(), request_id: uuid() };
    world.schedule().delete_schedule(provider.asks(gone.clone())).await.unwrap();
    let before = world.state().await;
    world.schedule().delete_schedule(provider.asks(gone)).await.unwrap();
    assert_eq!(send(&world, &provider, request.clone()).await.unwrap().into_inner(), first);
    let reused = CreateScheduleRequest { schedule_id: "day".to_owned(), ..request };
    refused(send(&world, &provider, reused).await, "REQUEST_ID_REUSED");
    assert_eq!(world.state().await, before);
    books::check(&world.sql().await).await;
}

async fn a_second_server_sees_named_schedules_at_once(world: World) {
    let provider = world.provider().await;
    let other = world.beside().await;
    // It remembers the provider from before.
    starts(&other, &provider, MONDAY).await;
    create(&world, &provider, "night").await.unwrap();
    let name = provider.schedule_named("night");
    get(&other, &provider, &name).await.unwrap();
    delete(&other, &provider, &name, "").await.unwrap();
    refused(get(&world, &provider, &name).await, "NOT_FOUND");
    starts(&world, &provider, MONDAY).await;
}

/// An appointment of a type that goes by hours in Tokyo, with a provider who else works in Berlin.
async fn local_time_is_promised_in_the_zone_of_the_schedule(world: World) {
    let (provider, customer) = (world.provider().await, world.customer().await);
    let schedule = create(&world, &provider, "night").await.unwrap().name;
    let mut catalogue = CatalogueServiceClient::new(world.channel.clone());
    let request = CreateAppointmentTypeRequest {
        appointment_type: Some(AppointmentType {
            owner: provider.provider(),
            display_name: "At night".to_owned(),
            durations: vec![minutes(30).unwrap()],
            ..Default::default()
        }),
        ..Default::default()
    };
    let made = catalogue.create_appointment_type(provider.asks(request)).await.unwrap();
    let appointment_type = made.into_inner().appointment_type.unwrap().name;
    let request = OfferAppointmentTypeRequest {
        appointment_type: appointment_type.clone(),
        provider: provider.provider(),
        schedule,
        ..Default::default()
    };
    catalogue.offer_appointment_type(provider.asks(request)).await.unwrap();
    let request = BookAppointmentRequest {
        provider: provider.provider(),
        appointment_type,
        start_time: Some(at("2026-11-29 20:00", "Asia/Tokyo")),
        ..Default::default()
    };
    let booked = world.booking().book_appointment(customer.asks(request)).await.unwrap();
    let booked = booked.into_inner().appointment.unwrap();
    let promised = |a: &Appointment| (a.time_zone.clone(), a.local_start_time.clone());
    let tokyo = |local: &str| ("Asia/Tokyo".to_owned(), local.to_owned());
    assert_eq!(promised(&booked), tokyo("2026-11-29T20:00:00"));
    let request = RescheduleAppointmentRequest {
        name: booked.name,
        start_time: Some(at("2026-11-29 21:00", "Asia/Tokyo")),
        ..Default::default()
    };
    let moved = world.booking().reschedule_appointment(customer.asks(request)).await.unwrap();
    let moved = moved.into_inner().appointment.unwrap();
    assert_eq!(promised(&moved), tokyo("2026-11-29T21:00:00"));
}
