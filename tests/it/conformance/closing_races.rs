//! Nothing is booked into what was closed, whatever happens at the same moment in two processes of which one
//! remembers how it was before.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use daybook::grpc::proto::{
    auth::DisableUserRequest,
    booking::{
        AppointmentType, Closure, CreateClosureRequest, CreateTimeOffRequest, Schedule, TimeOff,
        WithdrawAppointmentTypeRequest,
    },
};
use futures_util::future::join_all;
use tonic::Status;

use super::{behaviours, schedules::update};
use crate::support::{
    World, berlin, books,
    people::Person,
    refusal::{reason_of, refused},
    rounds,
    types::kind,
};

behaviours!(
    time_off_tells_of_a_booking_or_keeps_it_out,
    a_closure_tells_of_a_booking_or_keeps_it_out,
    closed_hours_keep_bookings_out,
    who_is_disabled_is_not_booked,
    an_archived_type_is_not_booked_any_more,
    a_withdrawn_type_is_not_booked_any_more,
);

/// The half-hours of a week, from Monday at nine.
fn half_hours() -> impl Iterator<Item = (String, String)> {
    (0..5 * 16).map(|number| {
        let at = |half: usize| {
            format!("2026-11-{} {:02}:{:02}", 23 + number / 16, 9 + half / 2, half % 2 * 30)
        };
        (at(number % 16), at(number % 16 + 1))
    })
}

/// Closes each half-hour by the second server while it is booked by the first one, which knows it as free. Whichever
/// comes first, one of both answers tells of it.
async fn meets(
    world: &World,
    reason: &str,
    close: impl AsyncFn(&World, &Person, &str, &str) -> Vec<String>,
) {
    let beside = world.beside().await;
    let (provider, customer) = (world.provider().await, world.customer().await);
    let mut before = 0;
    let rounds = rounds(12, 80);
    for (from, until) in half_hours().take(rounds) {
        let booking = world.book(&customer, &provider, berlin(&from), berlin(&until));
        let (booked, told) = tokio::join!(booking, close(&beside, &provider, &from, &until));
        match booked {
            Ok(booked) => {
                assert_eq!(told, [booked.name], "{from}");
                before += 1;
            }
            Err(status) => {
                refused(Err::<(), _>(status), reason);
                assert_eq!(told, [""; 0], "{from}");
            }
        }
    }
    println!("{before} of {rounds} bookings came first");
    books::check(&world.sql().await).await;
}

async fn time_off_tells_of_a_booking_or_keeps_it_out(world: World) {
    meets(&world, "TIME_OFF", async |beside, provider, from, until| {
        let (start_time, end_time) = (Some(berlin(from)), Some(berlin(until)));
        let time_off = Some(TimeOff { start_time, end_time, ..Default::default() });
        let parent = provider.provider();
        let request = CreateTimeOffRequest { parent, time_off, ..Default::default() };
        let answer = beside.schedule().create_time_off(provider.asks(request)).await.unwrap();
        answer.into_inner().touched_appointments
    })
    .await;
}

async fn a_closure_tells_of_a_booking_or_keeps_it_out(world: World) {
    let admin = world.admin().await;
    meets(&world, "PRACTICE_CLOSED", async |beside, _, from, until| {
        let (start_time, end_time) = (Some(berlin(from)), Some(berlin(until)));
        let closure = Some(Closure { start_time, end_time, ..Default::default() });
        let request = CreateClosureRequest { closure, ..Default::default() };
        let answer = beside.schedule().create_closure(admin.asks(request)).await.unwrap();
        answer.into_inner().touched_appointments
    })
    .await;
}

/// Who is booked in a race, for what, and by whom it is ended.
struct Cast {
    admin: Person,
    provider: Person,
    shared: AppointmentType,
}

/// Four customers book by the first server, one half-hour after the other, until the second one has answered that it
/// is closed. Whoever asks after that is refused for this reason.
async fn is_obeyed(
    world: &World,
    reason: &str,
    close: impl AsyncFn(&World, &Cast) -> Result<(), Status>,
) {
    let beside = world.beside().await;
    let (admin, provider) = (world.admin().await, world.provider().await);
    let shared = world.shared_type(&admin, kind(&[30]), &[&provider]).await;
    let cast = Cast { admin, provider, shared };
    let customers = join_all((0..4).map(|_| world.customer())).await;
    let (is_closed, booked) = (AtomicBool::new(false), AtomicUsize::new(0));
    let all: Vec<_> = half_hours().map(|(from, _)| from).collect();
    let booking = async |number: usize| {
        let mut kept_out = 0;
        for from in all.iter().skip(number).step_by(customers.len()) {
            // Some are left for after.
            while booked.load(Ordering::SeqCst) >= 40 && !is_closed.load(Ordering::SeqCst) {
                tokio::task::yield_now().await;
            }
            let after = is_closed.load(Ordering::SeqCst);
            let answer =
                world.book_type(&customers[number], &cast.provider, &cast.shared, from).await;
            match answer {
                Ok(_) => {
                    assert!(!after, "{from} was booked");
                    booked.fetch_add(1, Ordering::SeqCst);
                }
                Err(status) => {
                    assert_eq!(reason_of(&status), reason, "{status:?}");
                    kept_out += usize::from(after);
                }
            }
        }
        kept_out
    };
    let closing = async {
        while booked.load(Ordering::SeqCst) < 6 {
            tokio::task::yield_now().await;
        }
        close(&beside, &cast).await.unwrap();
        is_closed.store(true, Ordering::SeqCst);
    };
    let (kept_out, ()) = tokio::join!(join_all((0..4).map(booking)), closing);
    assert!(kept_out.iter().sum::<usize>() > 0);
    books::check(&world.sql().await).await;
}

async fn closed_hours_keep_bookings_out(world: World) {
    is_obeyed(&world, "OUTSIDE_HOURS", async |beside, cast| {
        let schedule = Schedule { name: cast.provider.schedule(), ..Default::default() };
        update(beside, &cast.provider, schedule, &["weekly_windows"]).await.map(drop)
    })
    .await;
}

async fn who_is_disabled_is_not_booked(world: World) {
    is_obeyed(&world, "NOT_FOUND", async |beside, cast| {
        let name = cast.provider.user.name.clone();
        let request = DisableUserRequest { name, ..Default::default() };
        beside.auth().disable_user(cast.admin.asks(request)).await.map(drop)
    })
    .await;
}

async fn an_archived_type_is_not_booked_any_more(world: World) {
    is_obeyed(&world, "TYPE_ARCHIVED", async |beside, cast| {
        beside.archive(&cast.admin, &cast.shared, true).await;
        Ok(())
    })
    .await;
}

async fn a_withdrawn_type_is_not_booked_any_more(world: World) {
    is_obeyed(&world, "NOT_OFFERED", async |beside, cast| {
        let request = WithdrawAppointmentTypeRequest {
            appointment_type: cast.shared.name.clone(),
            provider: cast.provider.provider(),
            ..Default::default()
        };
        let answer = beside.catalogue().withdraw_appointment_type(cast.admin.asks(request)).await;
        answer.map(drop)
    })
    .await;
}
