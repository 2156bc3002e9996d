//! A provider's calendar in one call: what is over, who sees it, and its bounds.

use daybook::grpc::proto::{
    auth::{DisableUserRequest, Role},
    booking::{
        CompleteAppointmentRequest, GetCalendarRequest, GetCalendarResponse, HoldSlotRequest,
        Schedule, appointment::State,
    },
    google::r#type::DayOfWeek,
};
use prost_types::Timestamp;
use tonic::{Response, Status};

use super::{
    behaviours,
    calendar::{ask, pairs, seconds},
    schedules::{update, window},
};
use crate::support::{
    World, berlin,
    people::Person,
    refusal::{invalid, refused},
    services::{BOOKING, any_customer},
};

behaviours!(
    a_week_that_is_over_is_told,
    providers_and_admins_see_it,
    what_is_much_is_told_in_parts,
    bad_questions_are_told_by_field,
    every_closure_is_told_however_many_there_are,
);

async fn a_week_that_is_over_is_told(world: World) {
    let (ada, admin) = (world.provider().await, world.admin().await);
    let customer = world.customer().await;
    let book = async |from: &str, until: &str| {
        let booked = world.book(&customer, &ada, berlin(from), berlin(until)).await.unwrap();
        booked.name
    };
    let done = book("2026-11-23 10:00", "2026-11-23 10:30").await;
    let left = book("2026-11-24 10:00", "2026-11-24 10:30").await;
    world.time_off(&ada, "2026-11-25 00:00", "2026-11-26 00:00").await;
    world.closure(&admin, "2026-11-26 00:00", "2026-11-27 00:00").await;
    let hold = HoldSlotRequest {
        provider: ada.provider(),
        start_time: Some(berlin("2026-11-27 10:00")),
        end_time: Some(berlin("2026-11-27 10:30")),
        ..Default::default()
    };
    world.hold(&customer, hold).await.unwrap();
    world.move_to("2026-11-23 11:00", "Europe/Berlin");
    let ada = world.log_in(&ada.user.email).await;
    let request = CompleteAppointmentRequest { name: done.clone(), ..Default::default() };
    world.booking().complete_appointment(ada.asks(request)).await.unwrap();
    world.move_to("2026-12-14 11:00", "Europe/Berlin");
    let ada = world.log_in(&ada.user.email).await;
    let week = (berlin("2026-11-23 00:00"), berlin("2026-11-30 00:00"));
    let told = ask(&world, &ada, &ada, week).await.unwrap();
    let appointments: Vec<_> =
        told.appointments.iter().map(|each| (&each.name, each.state())).collect();
    assert_eq!(appointments, [(&done, State::Completed), (&left, State::Booked)]);
    assert_eq!((told.time_off.len(), told.closures.len(), told.holds.len()), (1, 1, 0));
    assert_eq!((told.schedules[0].days.len(), told.schedules[0].free_intervals.len()), (5, 0));
    // From now on, in a range that began before.
    let both = (berlin("2026-12-14 00:00"), berlin("2026-12-15 00:00"));
    let told = ask(&world, &ada, &ada, both).await.unwrap();
    let free = (berlin("2026-12-14 11:00").seconds, berlin("2026-12-14 17:00").seconds);
    assert_eq!(pairs(&told.schedules[0].free_intervals), [free]);
}

async fn providers_and_admins_see_it(world: World) {
    let (ada, ben, admin) = (world.provider().await, world.provider().await, world.admin().await);
    let customer = world.customer().await;
    world
        .book(&customer, &ada, berlin("2026-11-23 10:00"), berlin("2026-11-23 10:30"))
        .await
        .unwrap();
    let week = (berlin("2026-11-23 00:00"), berlin("2026-11-30 00:00"));
    let own = ask(&world, &ada, &ada, week).await.unwrap();
    assert_eq!(own.appointments.len(), 1);
    assert_eq!(ask(&world, &admin, &ada, week).await.unwrap(), own);
    refused(ask(&world, &customer, &ada, week).await, "ROLE_NOT_ALLOWED");
    refused(ask(&world, &ben, &ada, week).await, "NOT_FOUND");
    refused(ask(&world, &admin, &customer, week).await, "NOT_FOUND");
    let request = || GetCalendarRequest {
        provider: ada.provider(),
        start_time: Some(week.0),
        end_time: Some(week.1),
    };
    let shop = world.backend(&admin, Role::Admin, any_customer(), &[BOOKING]).await;
    let seen = world.booking().get_calendar(shop.asks(request())).await.unwrap().into_inner();
    assert_eq!(seen, own);
    let acting = shop.asks_for(request(), &customer.user.name);
    refused(world.booking().get_calendar(acting).await, "ROLE_NOT_ALLOWED");
    let scope = "daybook.booking.v1.BookingService/ListAppointments";
    let narrow = world.backend(&admin, Role::Admin, any_customer(), &[scope]).await;
    refused(world.booking().get_calendar(narrow.asks(request())).await, "SCOPE_MISSING");
    // Of a provider who cannot be booked any more, too.
    let request = DisableUserRequest { name: ada.user.name.clone(), ..Default::default() };
    world.auth().disable_user(admin.asks(request)).await.unwrap();
    assert_eq!(ask(&world, &admin, &ada, week).await.unwrap().appointments.len(), 1);
}

/// Appointments of ten minutes, every twenty, past the server.
pub(super) async fn book_many(
    world: &World,
    provider: &Person,
    customer: &Person,
    count: usize,
    note: &str,
) {
    let id = |person: &Person| person.user.name.trim_start_matches("users/").to_owned();
    let (provider, customer) = (id(provider), id(customer));
    let first = berlin("2026-11-24 00:00").seconds;
    let columns =
        "provider_id, appointment_id, customer_id, customer_display_name, starts_at, ends_at,
        state, note, time_zone, local_start, cancel_reason, version, created_at, updated_at,
        claim_starts_at, claim_ends_at";
    let postgres = format!(
        "INSERT INTO appointments ({columns}) SELECT '{provider}', gen_random_uuid(), '{customer}', 'x', s,
            s + interval '10 minutes', 'booked', repeat('{note}', 2000), 'UTC', '2026-01-01T00:00:00', '', 1,
            now(), now(), s, s + interval '10 minutes'
         FROM generate_series(0, {count} - 1) k, LATERAL (SELECT to_timestamp({first} + k * 1200) s) at"
    );
    let at = |more: i64| {
        format!("strftime('%Y-%m-%dT%H:%M:%S+00:00', {first} + k * 1200 + {more}, 'unixepoch')")
    };
    let (start, end) = (at(0), at(600));
    let blob = |id: &str| format!("x'{}'", id.replace('-', ""));
    let sqlite = format!(
        "WITH RECURSIVE n(k) AS (SELECT 0 UNION ALL SELECT k + 1 FROM n WHERE k < {count} - 1)
         INSERT INTO appointments ({columns}) SELECT {}, randomblob(16), {}, 'x', {start}, {end}, 'booked',
            replace(hex(zeroblob(1000)), '0', '{note}'), 'UTC', '2026-01-01T00:00:00', '', 1, {start}, {start},
            {start}, {end} FROM n",
        blob(&provider),
        blob(&customer)
    );
    world.execute(&sqlite, &postgres).await;
}

async fn what_is_much_is_told_in_parts(world: World) {
    let round_the_clock = |provider: &Person| Schedule {
        name: provider.schedule(),
        weekly_windows: (1..=7)
            .map(|day| window(DayOfWeek::try_from(day).unwrap(), (0, 0), (24, 0)))
            .collect(),
        ..Default::default()
    };
    for (note, parts) in [("", vec![500, 20]), ("\u{1d11e}", vec![132, 132, 132, 124])] {
        let (ada, customer) = (world.provider().await, world.customer().await);
        update(&world, &ada, round_the_clock(&ada), &["weekly_windows"]).await.unwrap();
        book_many(&world, &ada, &customer, 520, note).await;
        let (mut from, until) = (berlin("2026-11-23 00:00"), berlin("2026-12-31 00:00"));
        let (mut starts, mut free, mut counts) = (Vec::new(), Vec::new(), Vec::new());
        while from.seconds < until.seconds {
            let told = ask(&world, &ada, &ada, (from, until)).await.unwrap();
            counts.push(told.appointments.len());
            starts.extend(told.appointments.iter().map(|each| seconds(each.start_time)));
            free.extend(pairs(&told.schedules[0].free_intervals));
            assert!(seconds(told.end_time) > from.seconds);
            from = told.end_time.unwrap();
        }
        // By size they are cut a little later than clients could read.
        let close = counts.iter().zip(&parts).all(|(count, part)| count.abs_diff(*part) <= 5);
        assert!(close && counts.len() == parts.len(), "{counts:?}");
        let first = berlin("2026-11-24 00:00").seconds;
        assert_eq!(starts, (0..520).map(|place| first + place * 1200).collect::<Vec<_>>());
        let mut expected = vec![(berlin("2026-11-23 00:00").seconds, first)];
        expected
            .extend((0..519).map(|place| (first + place * 1200 + 600, first + (place + 1) * 1200)));
        expected.push((first + 519 * 1200 + 600, until.seconds));
        assert_eq!(free, expected);
    }
}

async fn bad_questions_are_told_by_field(world: World) {
    let ada = world.provider().await;
    let send =
        async |request: GetCalendarRequest| -> Result<Response<GetCalendarResponse>, Status> {
            world.booking().get_calendar(ada.asks(request)).await
        };
    invalid(send(GetCalendarRequest::default()).await, &["end_time", "provider", "start_time"]);
    let from = berlin("2026-11-23 00:00");
    let asked = |until: Timestamp| GetCalendarRequest {
        provider: ada.provider(),
        start_time: Some(from),
        end_time: Some(until),
    };
    let after = |seconds: i64| Timestamp { seconds: from.seconds + seconds, nanos: 0 };
    invalid(send(asked(from)).await, &["end_time"]);
    invalid(send(asked(after(-1))).await, &["end_time"]);
    invalid(send(asked(after(62 * 86_400 + 1))).await, &["end_time"]);
    invalid(send(asked(Timestamp { nanos: -1, ..after(60) })).await, &["end_time"]);
    invalid(send(asked(Timestamp { seconds: 7_258_118_401, nanos: 0 })).await, &["end_time"]);
    send(asked(after(62 * 86_400))).await.unwrap();
    // A browser's now has fractions of a second.
    let now = Timestamp { nanos: 123_456_789, ..from };
    let request = GetCalendarRequest { start_time: Some(now), ..asked(after(60)) };
    assert_eq!(send(request).await.unwrap().into_inner().end_time, Some(after(60)));
}

async fn every_closure_is_told_however_many_there_are(world: World) {
    let ada = world.provider().await;
    // 520 of half an hour each hour, 510 from before the range on, and ten that start with it.
    let many = |id: &str, start: &str, length: &str, now: &str| {
        format!(
            "INSERT INTO closures (closure_id, starts_at, ends_at, reason, created_at)
             SELECT {id}, {start}, {length}, 'n' || n, {now} FROM n"
        )
    };
    let sqlite = |count: i64, from: &str, step: i64, length: i64| {
        let at = |seconds: &str| {
            format!(
                "strftime('%Y-%m-%dT%H:%M:%S+00:00', '{from}', '+' || ({seconds}) || ' seconds')"
            )
        };
        let (start, end) = (at(&format!("n * {step}")), at(&format!("n * {step} + {length}")));
        format!(
            "WITH RECURSIVE n(n) AS (SELECT 0 UNION ALL SELECT n + 1 FROM n WHERE n < {} - 1) {}",
            count,
            many("randomblob(16)", &start, &end, "'2026-11-22T12:00:00+00:00'")
        )
    };
    // As a subquery on SQLite, whose INSERT takes no WITH in the middle.
    let postgres = |count: i64, from: &str, step: i64, length: i64| {
        let at =
            |seconds: &str| format!("'{from}'::timestamptz + ({seconds}) * interval '1 second'");
        let (start, end) = (at(&format!("n * {step}")), at(&format!("n * {step} + {length}")));
        many("gen_random_uuid()", &start, &end, "now()")
            .replace("FROM n", &format!("FROM generate_series(0, {count} - 1) AS n(n)"))
    };
    let hour = 3600;
    let long = 30 * 86_400;
    for (count, from, step, length) in [
        (510, "2026-11-01T00:00:00+00:00", 1, long),
        (10, "2026-11-23T00:00:00+00:00", 0, 600),
        (520, "2026-11-23T00:30:00+00:00", hour, 1800),
    ] {
        world
            .execute(&sqlite(count, from, step, length), &postgres(count, from, step, length))
            .await;
    }
    let start = Timestamp { seconds: 1_795_392_000, nanos: 0 };
    let until = Timestamp { seconds: start.seconds + 60 * 86_400, nanos: 0 };
    let (mut from, mut names, mut parts) = (start, std::collections::BTreeSet::new(), 0);
    while from.seconds < until.seconds {
        let told = ask(&world, &ada, &ada, (from, until)).await.unwrap();
        assert!(seconds(told.end_time) > from.seconds, "it gets on");
        assert!(told.closures.len() <= 1040);
        names.extend(told.closures.into_iter().map(|each| each.name));
        from = told.end_time.unwrap();
        parts += 1;
        assert!(parts <= 5, "in few parts");
    }
    assert_eq!((names.len(), parts > 1), (1040, true));
}
