//! A customer's corrected name reaches appointments to come.

use daybook::grpc::proto::{
    auth::{UpdateMeRequest, User},
    booking::{
        Appointment, CancelAppointmentRequest, GetCalendarRequest, ListAppointmentsRequest,
        ListHoldsRequest, ReassignAppointmentRequest, UpdateAppointmentRequest, appointment::State,
    },
};
use futures_util::future::join_all;
use sea_orm::{ConnectionTrait as _, TransactionTrait as _};

use super::behaviours;
use crate::support::{
    Engine, World, berlin, books,
    people::{Person, uuid},
    process::until,
    refusal::refused,
    rounds,
    types::{holding, kind, typed},
    version,
};

behaviours!(
    a_corrected_name_reaches_what_has_not_ended,
    a_corrected_name_is_another_etag,
    names_are_corrected_while_others_book,
    a_correction_is_made_once,
);

async fn rename(world: &World, person: &Person, name: &str) {
    let user = Some(User { display_name: name.to_owned(), ..Default::default() });
    let request = UpdateMeRequest { user, ..Default::default() };
    world.auth().update_me(person.asks(request)).await.unwrap();
}

async fn book(world: &World, customer: &Person, provider: &Person, start: &str) -> Appointment {
    let start = berlin(start);
    let end = prost_types::Timestamp { seconds: start.seconds + 1800, nanos: 0 };
    world.book(customer, provider, start, end).await.unwrap()
}

async fn name_in(world: &World, caller: &Person, name: &str) -> String {
    world.get(caller, name).await.unwrap().customer_display_name
}

async fn a_corrected_name_reaches_what_has_not_ended(world: World) {
    let (ada, carl, dora) =
        (world.provider().await, world.customer().await, world.customer().await);
    let asked =
        daybook::grpc::proto::booking::AppointmentType { requires_approval: true, ..kind(&[30]) };
    let asked = world.own_type(&ada, asked).await;
    let past = book(&world, &carl, &ada, "2026-11-23 09:00").await.name;
    let under_way = book(&world, &carl, &ada, "2026-11-23 10:00").await.name;
    let to_come = book(&world, &carl, &ada, "2026-11-24 10:00").await.name;
    let cancelled = book(&world, &carl, &ada, "2026-11-24 11:00").await.name;
    world.cancel(&carl, &cancelled).await.unwrap();
    let others = book(&world, &dora, &ada, "2026-11-24 12:00").await.name;
    world.move_to("2026-11-23 10:15", "Europe/Berlin");
    let (ada, carl) = (world.log_in(&ada.user.email).await, world.log_in(&carl.user.email).await);
    let dora = world.log_in(&dora.user.email).await;
    let pending = world.book_type(&carl, &ada, &asked, "2026-11-25 10:00").await.unwrap().name;
    world.hold(&carl, holding(&ada, &asked, "2026-11-25 11:00")).await.unwrap();
    let before = &carl.user.display_name;
    rename(&world, &carl, "Carla Corrected").await;
    for (name, expected) in [
        (&past, &**before),
        (&under_way, "Carla Corrected"),
        (&to_come, "Carla Corrected"),
        (&cancelled, before),
        (&pending, "Carla Corrected"),
        (&others, &dora.user.display_name),
    ] {
        assert_eq!(name_in(&world, &ada, name).await, expected);
    }
    let request = ListHoldsRequest { provider: ada.provider(), ..Default::default() };
    let held = world.booking().list_holds(ada.asks(request)).await.unwrap().into_inner().holds;
    assert_eq!(held[0].customer_display_name, "Carla Corrected");
    let request = GetCalendarRequest {
        provider: ada.provider(),
        start_time: Some(berlin("2026-11-23 00:00")),
        end_time: Some(berlin("2026-11-26 00:00")),
    };
    let told = world.booking().get_calendar(ada.asks(request)).await.unwrap().into_inner();
    let names: Vec<_> = told.appointments.iter().map(|each| &*each.customer_display_name).collect();
    let (corrected, other) = ("Carla Corrected", &*dora.user.display_name);
    assert_eq!(names, [before, corrected, corrected, other, corrected]);
    // What has ended since keeps it, and so does what is changed.
    world.move_to("2026-11-24 10:30", "Europe/Berlin");
    let carl = world.log_in(&carl.user.email).await;
    rename(&world, &carl, "Carla Again").await;
    assert_eq!(name_in(&world, &carl, &to_come).await, "Carla Corrected");
    assert_eq!(name_in(&world, &carl, &pending).await, "Carla Again");
    let moved = world.reschedule(&carl, &pending, "2026-11-25 12:00").await.unwrap();
    assert_eq!(moved.customer_display_name, "Carla Again");
    books::check(&world.sql().await).await;
}

async fn a_corrected_name_is_another_etag(world: World) {
    let (ada, carl) = (world.provider().await, world.customer().await);
    let booked = book(&world, &carl, &ada, "2026-11-24 10:00").await;
    // The last change was hidden from the customer.
    world.forward(chrono::TimeDelta::minutes(1));
    let note = Appointment {
        name: booked.name.clone(),
        private_note: "pays late".to_owned(),
        ..Default::default()
    };
    let request = UpdateAppointmentRequest { appointment: Some(note), ..Default::default() };
    world.booking().update_appointment(ada.asks(request)).await.unwrap();
    world.forward(chrono::TimeDelta::minutes(1));
    let before = [
        world.get(&ada, &booked.name).await.unwrap(),
        world.get(&carl, &booked.name).await.unwrap(),
    ];
    rename(&world, &carl, "Carla").await;
    for (reader, before) in [&ada, &carl].into_iter().zip(before) {
        let after = world.get(reader, &booked.name).await.unwrap();
        assert_ne!(after.etag, before.etag);
        assert!(version(&after.etag) >= version(&before.etag));
        assert!(after.update_time.unwrap().seconds > before.update_time.unwrap().seconds);
        let cancel = |etag: String| CancelAppointmentRequest {
            name: booked.name.clone(),
            etag,
            ..Default::default()
        };
        let answer = world.booking().cancel_appointment(reader.asks(cancel(before.etag))).await;
        refused(answer, "ETAG_STALE");
        // Whoever follows changes finds it.
        let request = ListAppointmentsRequest {
            provider: if reader.user.name == ada.user.name {
                ada.provider()
            } else {
                String::new()
            },
            update_start_time: after.update_time,
            ..Default::default()
        };
        let found = world.booking().list_appointments(reader.asks(request)).await.unwrap();
        assert_eq!(found.into_inner().appointments, std::slice::from_ref(&after));
    }
    // The same name again changes nothing.
    let before = world.get(&carl, &booked.name).await.unwrap();
    world.forward(chrono::TimeDelta::minutes(1));
    rename(&world, &carl, "Carla").await;
    assert_eq!(world.get(&carl, &booked.name).await.unwrap(), before);
    let etag = before.etag;
    let request = CancelAppointmentRequest { name: booked.name, etag, ..Default::default() };
    world.booking().cancel_appointment(carl.asks(request)).await.unwrap();
}

/// Bookings, moves and reassignments of every sort beside corrections, at two servers: in the end all that has not
/// ended has the last name.
async fn names_are_corrected_while_others_book(world: World) {
    let beside = world.beside().await;
    let (ada, ben, admin) = (world.provider().await, world.provider().await, world.admin().await);
    let of = world.shared_type(&admin, kind(&[30]), &[&ada, &ben]).await;
    for round in 0..rounds(4, 60) {
        let carl = world.customer().await;
        // Mondays to Fridays.
        let first = chrono::NaiveDate::from_ymd_opt(2027, 1, 4).unwrap();
        let days = u64::try_from(round / 5 * 7 + round % 5).unwrap();
        let day = (first + chrono::Days::new(days)).to_string();
        let first = book(&world, &carl, &ada, &format!("{day} 09:00")).await;
        let second = book(&world, &carl, &ada, &format!("{day} 09:30")).await;
        let third = book(&world, &carl, &ada, &format!("{day} 10:00")).await;
        let at = |time: &str| berlin(&format!("{day} {time}"));
        let name = format!("Carla {round}");
        let (one, other) = (&world, &beside);
        let renames = async { rename(other, &carl, &name).await };
        let bare = join_all([("11:00", "11:30"), ("11:30", "12:00"), ("12:00", "12:30")].map(
            |(from, until)| {
                let (carl, ada, from, until) = (&carl, &ada, at(from), at(until));
                async move { one.book(carl, ada, from, until).await.unwrap() }
            },
        ));
        let start = format!("{day} 13:00");
        let typed = one.send(&carl, typed(&ben, &of, &start));
        let moved = format!("{day} 14:00");
        let moved = other.reschedule(&ada, &second.name, &moved);
        let request = ReassignAppointmentRequest {
            name: first.name.clone(),
            provider: ben.provider(),
            ..Default::default()
        };
        let mut client = one.booking();
        let given = client.reassign_appointment(ada.asks(request));
        let cancelled = other.cancel(&ada, &third.name);
        let start = format!("{day} 15:00");
        let held = one.hold(&carl, holding(&ben, &of, &start));
        let (_, _, typed, moved, given, cancelled, held) =
            tokio::join!(renames, bare, typed, moved, given, cancelled, held);
        typed.unwrap();
        moved.unwrap();
        given.unwrap();
        cancelled.unwrap();
        world.book_hold(&carl, &held.unwrap()).await.unwrap();
        let found = world.list(&carl, &[State::Booked]).await;
        assert_eq!(found.len(), 7);
        for each in found {
            assert_eq!(each.customer_display_name, name, "{each:?}");
        }
    }
    books::check(&world.sql().await).await;
}

/// A change that has read the appointment waits for the account, whose name is corrected meanwhile. Only here: on
/// SQLite one writes after the other.
#[expect(clippy::disallowed_methods, reason = "not the server's, which has one way to open them")]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_change_under_way_does_not_bring_the_old_name_back() {
    let world = World::new(Engine::Postgres).await;
    let (ada, carl) = (world.provider().await, world.customer().await);
    let name = book(&world, &carl, &ada, "2026-11-24 10:00").await.name;
    let sql = world.sql().await;
    let id = carl.user.name.trim_start_matches("users/");
    let correction = sql.begin().await.unwrap();
    let lock = format!("SELECT 1 FROM users WHERE user_id = '{id}' FOR UPDATE");
    correction.execute_unprepared(&lock).await.unwrap();
    let moving = async { world.reschedule(&ada, &name, "2026-11-24 11:00").await.unwrap() };
    let correcting = async {
        until(20, "the move waits for the account", async || {
            world
                .count(
                    "SELECT count(*) FROM pg_stat_activity
                     WHERE wait_event_type = 'Lock' AND datname = current_database()",
                )
                .await
                > 0
        })
        .await;
        let set = format!(
            "UPDATE users SET display_name = 'Carla' WHERE user_id = '{id}';
             UPDATE appointments SET customer_display_name = 'Carla' WHERE customer_id = '{id}'"
        );
        correction.execute_unprepared(&set).await.unwrap();
        correction.commit().await.unwrap();
    };
    tokio::join!(moving, correcting);
    assert_eq!(name_in(&world, &ada, &name).await, "Carla");
}

async fn a_correction_is_made_once(world: World) {
    let (ada, carl) = (world.provider().await, world.customer().await);
    let booked = book(&world, &carl, &ada, "2026-11-24 10:00").await;
    let request = |name: &str, request_id: &str| UpdateMeRequest {
        user: Some(User { display_name: name.to_owned(), ..Default::default() }),
        request_id: request_id.to_owned(),
        ..Default::default()
    };
    let first = uuid();
    for (name, id) in [("One", &*first), ("Two", &*uuid()), ("One", &*first)] {
        world.auth().update_me(carl.asks(request(name, id))).await.unwrap();
    }
    assert_eq!(name_in(&world, &ada, &booked.name).await, "Two");
}
