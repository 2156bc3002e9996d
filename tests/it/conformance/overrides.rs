//! Dates with windows of their own, and dates spent in another zone.

use daybook::grpc::proto::{
    booking::{
        DateOverride, Schedule, Stay, TimeWindow, UpdateScheduleRequest, UpdateScheduleResponse,
    },
    google::r#type::{Date, DayOfWeek, TimeOfDay},
};
use prost_types::FieldMask;
use tonic::{Response, Status};

use super::{
    behaviours,
    schedules::{minutes, schedule_of, starts, update, window},
};
use crate::support::{
    World, at, berlin, books,
    people::{Person, date, uuid},
    refusal::{fields_of, invalid, refused},
    version,
};

behaviours!(
    a_date_has_windows_of_its_own,
    what_is_not_named_stays_as_it_is,
    a_stay_moves_the_hours_to_another_zone,
    a_date_on_which_the_clock_changes_has_windows_of_its_own,
    intervals_can_be_refused,
    a_past_date_is_kept_or_left_out_but_not_added,
    bad_overrides_are_told_by_path,
    bad_stays_are_told_by_path,
    violations_of_all_parts_are_told_at_once,
    there_are_limits,
    what_is_over_does_not_count,
    exceptions_are_changed_once_and_as_they_were_seen,
);

type Day = (i32, i32, i32);
type Time = (i32, i32);

const MONDAY: Day = (2026, 11, 23);
const TUESDAY: Day = (2026, 11, 24);
const SATURDAY: Day = (2026, 11, 28);

pub(super) fn time((hours, minutes): Time) -> Option<TimeOfDay> {
    Some(TimeOfDay { hours, minutes, seconds: 0, nanos: 0 })
}

pub(super) fn own(day: Day, windows: &[(Time, Time)]) -> DateOverride {
    let windows = windows.iter();
    let windows =
        windows.map(|(from, until)| TimeWindow { start_time: time(*from), end_time: time(*until) });
    DateOverride { date: Some(date(day)), windows: windows.collect() }
}

pub(super) fn stay(first: Day, last: Day, zone: &str) -> Stay {
    let (start_date, end_date) = (Some(date(first)), Some(date(last)));
    Stay { start_date, end_date, time_zone: zone.to_owned() }
}

/// Sets the overrides and nothing else.
async fn set(world: &World, provider: &Person, all: Vec<DateOverride>) -> Result<Schedule, Status> {
    let name = provider.schedule();
    let schedule = Schedule { name, date_overrides: all, ..Default::default() };
    update(world, provider, schedule, &["date_overrides"]).await
}

/// The event of the provider's present version, as text.
pub(super) async fn last_event(world: &World, provider: &Person) -> String {
    let id = provider.provider().replace("providers/", "");
    let of = |column: &str, id: &str| {
        format!(
            "SELECT e.kind || ' ' || {column} FROM events e JOIN providers p
             ON p.provider_id = e.provider_id AND p.version = e.version WHERE p.provider_id = {id}"
        )
    };
    match world.engine {
        crate::support::Engine::Sqlite => {
            world.text(&of("e.detail", &format!("x'{}'", id.replace('-', "")))).await
        }
        crate::support::Engine::Postgres => {
            world.text(&of("e.detail::text", &format!("'{id}'"))).await
        }
    }
}

async fn a_date_has_windows_of_its_own(world: World) {
    let (provider, customer) = (world.provider().await, world.customer().await);
    let late = own(MONDAY, &[((22, 0), (24, 0)), ((20, 0), (22, 0))]);
    let given = vec![own(SATURDAY, &[((10, 0), (12, 0))]), late, own(TUESDAY, &[])];
    let changed = set(&world, &provider, given.clone()).await.unwrap();
    let sorted = own(MONDAY, &[((20, 0), (22, 0)), ((22, 0), (24, 0))]);
    assert_eq!(changed.date_overrides, [sorted, given[2].clone(), given[0].clone()]);
    assert_eq!(version(&changed.etag), 2);
    assert_eq!(schedule_of(&world, &provider).await, changed);
    let event = last_event(&world, &provider).await;
    assert!(event.starts_with("schedule_changed ") && event.contains("2026-11-28"), "{event}");

    assert_eq!(starts(&world, &provider, MONDAY).await.len(), 8);
    assert_eq!(starts(&world, &provider, MONDAY).await[0], berlin("2026-11-23 20:00").seconds);
    assert_eq!(starts(&world, &provider, TUESDAY).await, Vec::<i64>::new());
    assert_eq!(starts(&world, &provider, SATURDAY).await.len(), 4);
    assert_eq!(starts(&world, &provider, (2026, 11, 25)).await.len(), 16, "the week's");
    let book = async |from: &str, until: &str| {
        world.book(&customer, &provider, berlin(from), berlin(until)).await
    };
    refused(book("2026-11-23 10:00", "2026-11-23 10:30").await, "OUTSIDE_HOURS");
    book("2026-11-23 21:30", "2026-11-23 22:30").await.unwrap();
    refused(book("2026-11-24 10:00", "2026-11-24 10:30").await, "OUTSIDE_HOURS");
    book("2026-11-28 10:00", "2026-11-28 10:30").await.unwrap();
    // Without them the week's windows are back, and what was booked stays.
    assert_eq!(set(&world, &provider, vec![]).await.unwrap().date_overrides, []);
    book("2026-11-24 10:00", "2026-11-24 10:30").await.unwrap();
    refused(book("2026-11-28 10:30", "2026-11-28 11:00").await, "OUTSIDE_HOURS");
    assert_eq!(books::check(&world.sql().await).await.len(), 3);
}

async fn what_is_not_named_stays_as_it_is(world: World) {
    let provider = world.provider().await;
    let mut new = schedule_of(&world, &provider).await;
    assert_eq!((new.date_overrides.len(), new.stays.len()), (0, 0));
    assert_eq!(new.accepts_intervals, Some(true));
    new.etag.clear();
    new.date_overrides = vec![own(TUESDAY, &[])];
    new.stays = vec![stay(SATURDAY, SATURDAY, "UTC")];
    new.accepts_intervals = Some(false);
    // Without a mask, what holds something.
    let mut expected = update(&world, &provider, new.clone(), &[]).await.unwrap();
    assert_eq!(expected.date_overrides, new.date_overrides);
    assert_eq!(expected.stays, new.stays);
    assert_eq!(expected.accepts_intervals, Some(false));
    // Without a mask, what holds nothing stays: an older client knows nothing of it.
    let older = Schedule {
        date_overrides: vec![],
        stays: vec![],
        accepts_intervals: None,
        slot_duration: minutes(20),
        ..new.clone()
    };
    let changed = update(&world, &provider, older.clone(), &[]).await.unwrap();
    expected.slot_duration = minutes(20);
    assert_eq!(version(&changed.etag), 3);
    expected.etag.clone_from(&changed.etag);
    assert_eq!(changed, expected);
    // Named, one by one.
    let mut number = 3;
    for path in ["date_overrides", "stays"] {
        let changed = update(&world, &provider, older.clone(), &[path]).await.unwrap();
        match path {
            "date_overrides" => expected.date_overrides.clear(),
            _ => expected.stays.clear(),
        }
        number += 1;
        assert_eq!(version(&changed.etag), number);
        expected.etag.clone_from(&changed.etag);
        assert_eq!(changed, expected, "{path}");
    }
    let status = update(&world, &provider, older.clone(), &["accepts_intervals"]).await;
    assert_eq!(fields_of(&status.unwrap_err()), ["schedule.accepts_intervals"]);
    assert_eq!(schedule_of(&world, &provider).await, expected);
}

async fn a_stay_moves_the_hours_to_another_zone(world: World) {
    let (provider, customer) = (world.provider().await, world.customer().await);
    let stays = vec![
        stay((2026, 11, 26), (2026, 11, 26), "America/New_York"),
        stay(TUESDAY, (2026, 11, 25), "Asia/Tokyo"),
    ];
    let name = provider.schedule();
    let schedule = Schedule { name, stays: stays.clone(), ..Default::default() };
    let changed = update(&world, &provider, schedule, &["stays"]).await.unwrap();
    assert_eq!(changed.stays, [stays[1].clone(), stays[0].clone()]);
    assert_eq!(changed.time_zone, "Europe/Berlin");
    let tokyo = at("2026-11-24 09:00", "Asia/Tokyo");
    assert_eq!(starts(&world, &provider, TUESDAY).await[0], tokyo.seconds);
    assert_eq!(starts(&world, &provider, TUESDAY).await.len(), 16);
    // The 26th in New York reaches into the evening in Berlin.
    let new_york = starts(&world, &provider, (2026, 11, 26)).await;
    assert_eq!(new_york[0], at("2026-11-26 09:00", "America/New_York").seconds);
    let book = async |zone: &str, from: &str, until: &str| {
        world.book(&customer, &provider, at(from, zone), at(until, zone)).await
    };
    let berlin = "Europe/Berlin";
    book(berlin, "2026-11-23 16:30", "2026-11-23 17:00").await.unwrap();
    refused(book(berlin, "2026-11-24 09:30", "2026-11-24 10:00").await, "OUTSIDE_HOURS");
    book("Asia/Tokyo", "2026-11-24 09:00", "2026-11-24 10:00").await.unwrap();
    book("America/New_York", "2026-11-26 16:30", "2026-11-26 17:00").await.unwrap();
    refused(book(berlin, "2026-11-26 09:00", "2026-11-26 10:00").await, "OUTSIDE_HOURS");
    book(berlin, "2026-11-27 09:00", "2026-11-27 10:00").await.unwrap();
    // An override of a date in a stay is meant in the zone of the stay.
    set(&world, &provider, vec![own((2026, 11, 25), &[((20, 0), (21, 0))])]).await.unwrap();
    let evening = at("2026-11-25 20:00", "Asia/Tokyo").seconds;
    assert_eq!(starts(&world, &provider, (2026, 11, 25)).await[0], evening);
}

async fn a_date_on_which_the_clock_changes_has_windows_of_its_own(world: World) {
    let provider = world.provider().await;
    // 02:00 to 03:00 is skipped in March and comes twice in October.
    let (spring, autumn) = ((2027, 3, 28), (2027, 10, 31));
    let night = [((1, 0), (4, 0))];
    let changed = set(&world, &provider, vec![own(spring, &night), own(autumn, &night)]).await;
    assert_eq!(changed.unwrap().date_overrides.len(), 2);
    assert_eq!(starts(&world, &provider, spring).await.len(), 4);
    assert_eq!(starts(&world, &provider, autumn).await.len(), 8);
    // A window that the clock skips vanishes.
    set(&world, &provider, vec![own(spring, &[((2, 0), (3, 0))])]).await.unwrap();
    assert_eq!(starts(&world, &provider, spring).await, Vec::<i64>::new());
}

async fn intervals_can_be_refused(world: World) {
    let provider = world.provider().await;
    for accepts in [false, true, true] {
        let schedule = Schedule {
            name: provider.schedule(),
            accepts_intervals: Some(accepts),
            ..Default::default()
        };
        let changed = update(&world, &provider, schedule, &["accepts_intervals"]).await.unwrap();
        assert_eq!(changed.accepts_intervals, Some(accepts));
        assert_eq!(schedule_of(&world, &provider).await, changed);
        let event = last_event(&world, &provider).await.replace(' ', "");
        assert!(event.contains(&format!("\"accepts_intervals\":{accepts}")), "{event}");
    }
}

async fn a_past_date_is_kept_or_left_out_but_not_added(world: World) {
    let provider = world.provider().await;
    let today = own((2026, 11, 22), &[((9, 0), (10, 0))]);
    let later = own((2026, 12, 24), &[]);
    let told = async |all: Vec<DateOverride>| {
        let before = world.state().await;
        let status = refused(set(&world, &provider, all).await, "INVALID_FIELDS");
        assert_eq!(world.state().await, before);
        fields_of(&status)
    };
    let yesterday = own((2026, 11, 21), &[]);
    assert_eq!(
        told(vec![later.clone(), yesterday.clone()]).await,
        ["schedule.date_overrides[1].date"]
    );
    // Just before midnight in Berlin, which is an hour before it in UTC.
    world.move_to("2026-11-22 23:59", "Europe/Berlin");
    set(&world, &provider, vec![today.clone()]).await.unwrap();
    world.move_to("2026-11-23 00:00", "Europe/Berlin");
    set(&world, &provider, vec![later.clone(), today.clone()]).await.unwrap();
    let other = own((2026, 11, 22), &[((9, 0), (11, 0))]);
    assert_eq!(told(vec![other]).await, ["schedule.date_overrides[0].date"]);
    // Left out once, it is gone.
    set(&world, &provider, vec![later.clone()]).await.unwrap();
    assert_eq!(told(vec![today, later]).await, ["schedule.date_overrides[0].date"]);
}

async fn change(
    world: &World,
    provider: &Person,
    change: impl Fn(&mut Schedule),
) -> Result<Response<UpdateScheduleResponse>, Status> {
    let mut schedule = schedule_of(world, provider).await;
    change(&mut schedule);
    let request = UpdateScheduleRequest { schedule: Some(schedule), ..Default::default() };
    world.schedule().update_schedule(provider.asks(request)).await
}

async fn bad_overrides_are_told_by_path(world: World) {
    let provider = world.provider().await;
    let before = world.state().await;
    let good = || own(SATURDAY, &[((9, 0), (10, 0))]);
    let with = async |all: Vec<DateOverride>| {
        change(&world, &provider, |s| s.date_overrides.clone_from(&all)).await
    };
    let day = |year, month, day| Some(Date { year, month, day });
    for bad in [
        None,
        day(2026, 2, 29),
        day(2026, 13, 1),
        day(2026, 0, 1),
        day(2026, 1, 0),
        day(0, 12, 24),
        day(1969, 12, 31),
        day(2200, 1, 1),
        day(i32::MAX, i32::MAX, i32::MAX),
        day(-1, -1, -1),
    ] {
        let bad = DateOverride { date: bad, ..good() };
        invalid(with(vec![good(), bad]).await, &["schedule.date_overrides[1].date"]);
    }
    let windows = |windows: Vec<TimeWindow>| DateOverride { windows, ..good() };
    for bad in [time((24, 1)), time((-1, 0)), time((9, 60)), None] {
        let start = TimeWindow { start_time: bad, end_time: time((10, 0)) };
        let end = TimeWindow { start_time: time((9, 0)), end_time: bad };
        invalid(
            with(vec![
                windows(vec![start]),
                own(MONDAY, &[]),
                windows(vec![good().windows[0], end]),
            ])
            .await,
            &[
                "schedule.date_overrides[0].windows[0].start_time",
                "schedule.date_overrides[2].windows[1].end_time",
            ],
        );
    }
    let seconds = Some(TimeOfDay { seconds: 1, ..time((9, 0)).unwrap() });
    let odd = TimeWindow { start_time: seconds, end_time: time((10, 0)) };
    invalid(
        with(vec![windows(vec![odd])]).await,
        &["schedule.date_overrides[0].windows[0].start_time"],
    );
    // Empty, overlapping, and the same date twice.
    let bad = vec![
        own(MONDAY, &[((9, 0), (9, 0)), ((10, 0), (12, 0)), ((11, 0), (13, 0))]),
        own(TUESDAY, &[((12, 0), (9, 0))]),
        own(MONDAY, &[]),
    ];
    invalid(
        with(bad).await,
        &[
            "schedule.date_overrides[0].windows[0]",
            "schedule.date_overrides[0].windows[2]",
            "schedule.date_overrides[1].windows[0]",
            "schedule.date_overrides[2].date",
        ],
    );
    assert_eq!(world.state().await, before);
}

async fn bad_stays_are_told_by_path(world: World) {
    let provider = world.provider().await;
    let before = world.state().await;
    let with = async |all: Vec<Stay>| change(&world, &provider, |s| s.stays.clone_from(&all)).await;
    let good = || stay(MONDAY, TUESDAY, "Asia/Tokyo");
    invalid(
        with(vec![good(), Stay::default()]).await,
        &[
            "schedule.stays[1].start_date",
            "schedule.stays[1].end_date",
            "schedule.stays[1].time_zone",
        ],
    );
    for bad in ["Tokyo", "asia/tokyo", "+09:00", "\0"] {
        let bad = stay(MONDAY, TUESDAY, bad);
        invalid(with(vec![bad]).await, &["schedule.stays[0].time_zone"]);
    }
    let (reversed, inside) = (stay(TUESDAY, MONDAY, "UTC"), stay(TUESDAY, SATURDAY, "UTC"));
    invalid(
        with(vec![inside, reversed, good()]).await,
        &["schedule.stays[0]", "schedule.stays[1].end_date"],
    );
    assert_eq!(world.state().await, before);
    // A stay may lie in the past: it says where somebody was.
    with(vec![stay((2020, 1, 1), (2020, 1, 1), "UTC"), good()]).await.unwrap();
}

async fn violations_of_all_parts_are_told_at_once(world: World) {
    let provider = world.provider().await;
    let before = world.state().await;
    let bad = |s: &mut Schedule| {
        s.time_zone = "Atlantis".to_owned();
        s.weekly_windows = vec![window(DayOfWeek::Monday, (9, 0), (9, 0))];
        s.slot_duration = minutes(4);
        s.date_overrides = vec![own(MONDAY, &[((9, 0), (9, 0))])];
        s.stays = vec![stay(TUESDAY, MONDAY, "UTC")];
    };
    invalid(
        change(&world, &provider, bad).await,
        &[
            "schedule.time_zone",
            "schedule.weekly_windows[0]",
            "schedule.slot_duration",
            "schedule.date_overrides[0].windows[0]",
            "schedule.stays[0].end_date",
        ],
    );
    assert_eq!(world.state().await, before);
}

async fn there_are_limits(world: World) {
    let provider = world.provider().await;
    let first = chrono::NaiveDate::from_ymd_opt(2027, 1, 1).unwrap();
    let day = |date: chrono::NaiveDate| {
        use chrono::Datelike;
        (date.year(), i32::try_from(date.month()).unwrap(), i32::try_from(date.day()).unwrap())
    };
    let closed = |count| -> Vec<DateOverride> {
        first.iter_days().take(count).map(|date| own(day(date), &[])).collect()
    };
    let overrides = async |all: Vec<DateOverride>| {
        change(&world, &provider, |s| s.date_overrides.clone_from(&all)).await
    };
    let before = world.state().await;
    invalid(overrides(closed(1001)).await, &["schedule.date_overrides"]);
    let hourly = |count: i32| {
        let windows: Vec<_> =
            (0..count).map(|n| ((n / 2, n % 2 * 30), (n / 2, n % 2 * 30 + 20))).collect();
        own(SATURDAY, &windows)
    };
    invalid(
        overrides(vec![own(MONDAY, &[]), hourly(25)]).await,
        &["schedule.date_overrides[1].windows"],
    );
    let stays = |count| -> Vec<Stay> {
        first.iter_days().take(count).map(|d| stay(day(d), day(d), "UTC")).collect()
    };
    let with = async |all: Vec<Stay>| change(&world, &provider, |s| s.stays.clone_from(&all)).await;
    invalid(with(stays(101)).await, &["schedule.stays"]);
    assert_eq!(world.state().await, before);
    let mut most = closed(999);
    most.push(hourly(24));
    overrides(most).await.unwrap();
    with(stays(100)).await.unwrap();
    let all = schedule_of(&world, &provider).await;
    assert_eq!((all.date_overrides.len(), all.stays.len()), (1000, 100));
    assert_eq!(all.date_overrides[0].windows.len(), 24);
}

async fn what_is_over_does_not_count(world: World) {
    let provider = world.provider().await;
    let first = chrono::NaiveDate::from_ymd_opt(2026, 12, 1).unwrap();
    let day = |date: chrono::NaiveDate| {
        use chrono::Datelike;
        (date.year(), i32::try_from(date.month()).unwrap(), i32::try_from(date.day()).unwrap())
    };
    let days = |from: u64, count: usize| {
        let first = first.checked_add_days(chrono::Days::new(from)).unwrap();
        first.iter_days().take(count).map(day)
    };
    let closed = |from, count| days(from, count).map(|date| own(date, &[]));
    let away = |from, count| days(from, count).map(|date| stay(date, date, "UTC"));
    let mut all = closed(0, 1000).collect::<Vec<_>>();
    let mut stays = away(0, 100).collect::<Vec<_>>();
    change(&world, &provider, |s| s.date_overrides.clone_from(&all)).await.unwrap();
    change(&world, &provider, |s| s.stays.clone_from(&stays)).await.unwrap();
    // Ten days are over, so ten more are taken, and one more is not.
    world.move_to("2026-12-11 12:00", "Europe/Berlin");
    let provider = world.log_in(&provider.user.email).await;
    all.extend(closed(1000, 11));
    stays.extend(away(100, 11));
    let before = world.state().await;
    let many = change(&world, &provider, |s| s.date_overrides.clone_from(&all)).await;
    invalid(many, &["schedule.date_overrides"]);
    let many = change(&world, &provider, |s| s.stays.clone_from(&stays)).await;
    invalid(many, &["schedule.stays"]);
    assert_eq!(world.state().await, before);
    all.pop();
    stays.pop();
    change(&world, &provider, |s| s.date_overrides.clone_from(&all)).await.unwrap();
    change(&world, &provider, |s| s.stays.clone_from(&stays)).await.unwrap();
    // What is over and would be too much is forgotten.
    let found = schedule_of(&world, &provider).await;
    assert_eq!((&found.date_overrides[..], &found.stays[..]), (&all[10..], &stays[10..]));
}

async fn exceptions_are_changed_once_and_as_they_were_seen(world: World) {
    let provider = world.provider().await;
    let name = provider.schedule();
    let seen = schedule_of(&world, &provider).await.etag;
    assert_eq!(version(&seen), 1);
    let request = UpdateScheduleRequest {
        schedule: Some(Schedule {
            name: name.clone(),
            etag: seen.clone(),
            date_overrides: vec![own((2026, 11, 22), &[])],
            ..Default::default()
        }),
        update_mask: Some(FieldMask { paths: vec!["date_overrides".to_owned()] }),
        request_id: uuid(),
    };
    let send = async || {
        let answer = world.schedule().update_schedule(provider.asks(request.clone())).await;
        answer.unwrap().into_inner().schedule.unwrap()
    };
    let first = send().await;
    let before = world.state().await;
    // The date is over: the retry is answered all the same.
    world.move_to("2026-11-23 12:00", "Europe/Berlin");
    assert_eq!(send().await, first);
    assert_eq!(world.state().await, before);
    let stale = Schedule { name, etag: seen, ..Default::default() };
    refused(update(&world, &provider, stale, &["date_overrides"]).await, "ETAG_STALE");
}
