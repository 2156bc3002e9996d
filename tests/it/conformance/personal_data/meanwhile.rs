//! What happens at the moment of a deletion.

use daybook::grpc::proto::auth::{LogInRequest, RefreshTokensRequest, UpdateMeRequest, User};
use futures_util::{
    FutureExt as _,
    future::{join_all, join3},
};

use crate::{
    conformance::behaviours,
    support::{
        World, berlin,
        people::{PASSWORD, Person},
        refusal::{reason_of, refused},
        rounds,
    },
};

behaviours!(
    nobody_books_past_a_deletion,
    nobody_logs_in_or_is_renamed_past_a_deletion,
    of_two_deletions_one_is_done,
    of_the_last_two_admins_one_stays,
);

pub(super) async fn settled(world: &World) {
    let wait = async {
        while world.count("SELECT count(*) FROM erasures").await > 0 {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(std::time::Duration::from_secs(60), wait).await.expect("it ends");
}

async fn nobody_books_past_a_deletion(world: World) {
    let providers = [world.provider().await, world.provider().await];
    for provider in &providers {
        crate::support::practice::open_every_day(&world.channel, provider, (0, 24), 1).await;
    }
    let other = world.beside().await;
    let mut kept = 0;
    for round in 0..rounds(8, 100) {
        let customer = world.customer().await;
        let day = 23 + i64::try_from(round % 7).unwrap();
        let bookings = (0..12).map(|hour| {
            let provider = &providers[usize::try_from(hour).unwrap() % 2];
            let at = |hour: i64| berlin(&format!("2026-11-{day} {hour:02}:00"));
            let world = if hour % 3 == 0 { &other } else { &world };
            let customer = &customer;
            async move { world.book(customer, provider, at(hour + 8), at(hour + 9)).await }
        });
        let leaving = async {
            for _ in 0..round % 5 {
                tokio::task::yield_now().await;
            }
            world.leaves(&customer).await
        };
        let (booked, left) = futures_util::future::join(join_all(bookings), leaving).await;
        left.unwrap();
        kept += booked.iter().filter(|answer| answer.is_ok()).count();
        for answer in booked.iter().filter_map(|answer| answer.as_ref().err()) {
            assert!(
                ["NOT_AUTHENTICATED", "SLOT_TAKEN"].contains(&&*reason_of(answer)),
                "{answer:?}"
            );
        }
        settled(&world).await;
        let open = "SELECT count(*) FROM appointments
            WHERE state <> 'cancelled' OR customer_display_name <> ''";
        assert_eq!(world.count(open).await, 0);
    }
    println!("{kept} bookings were made and cancelled on {:?}", world.engine);
    world.nothing_is_amiss().await;
}

async fn nobody_logs_in_or_is_renamed_past_a_deletion(world: World) {
    for _ in 0..rounds(5, 50) {
        let customer = world.customer().await;
        let log_in = LogInRequest {
            email: customer.user.email.clone(),
            password: PASSWORD.to_owned(),
            ..Default::default()
        };
        let log_ins = join_all((0..4).map(|_| {
            let (mut auth, log_in) = (world.auth(), log_in.clone());
            async move { auth.log_in(log_in).await }
        }));
        let user = Some(User { display_name: "Xylocopa".to_owned(), ..Default::default() });
        let rename = UpdateMeRequest { user, ..Default::default() };
        let rename = join_all((0..4).map(|_| {
            let (mut auth, rename) = (world.auth(), customer.asks(rename.clone()));
            async move { auth.update_me(rename).await }
        }));
        let (logged_in, _, left) = join3(log_ins, rename, world.leaves(&customer)).await;
        left.unwrap();
        for answer in logged_in.into_iter().flatten().map(tonic::Response::into_inner) {
            let person = Person { user: answer.user.unwrap(), token: answer.access_token };
            assert!(!world.is_logged_in(&person).await);
            let refresh = RefreshTokensRequest { refresh_token: answer.refresh_token };
            refused(world.auth().refresh_tokens(refresh).await, "REFRESH_REFUSED");
        }
    }
    let named = "SELECT count(*) FROM users WHERE display_name <> ''";
    assert_eq!(world.count(named).await, 0);
    assert_eq!(world.count("SELECT count(*) FROM sessions").await, 0);
}

async fn of_two_deletions_one_is_done(world: World) {
    let admin = world.admin().await;
    for round in 0..rounds(5, 50) {
        let customer = world.customer().await;
        let name = customer.user.name.clone();
        let all = [
            async { world.leaves(&customer).await }.boxed_local(),
            async { world.leaves(&customer).await }.boxed_local(),
            async { world.erase(&admin, &name).await }.boxed_local(),
        ];
        let done = join_all(all).await;
        assert_eq!(done.iter().filter(|answer| answer.is_ok()).count(), 1, "{done:?}");
        for refusal in done.into_iter().filter_map(Result::err) {
            let told = reason_of(&refusal);
            assert!(["NOT_AUTHENTICATED", "NOT_FOUND"].contains(&&*told), "{told}");
        }
        let erased = "SELECT count(*) FROM user_events WHERE kind = 'erased'";
        assert_eq!(world.count(erased).await, i64::try_from(round).unwrap() + 1);
    }
}

async fn of_the_last_two_admins_one_stays(world: World) {
    let mut present = world.admin().await;
    for _ in 0..rounds(5, 50) {
        let next = world.admin().await;
        let (one, other) =
            futures_util::future::join(world.leaves(&present), world.leaves(&next)).await;
        assert_ne!(one.is_ok(), other.is_ok());
        let refusal = one.as_ref().err().or(other.as_ref().err()).unwrap();
        assert_eq!(reason_of(refusal), "OWN_ACCOUNT");
        if one.is_ok() {
            present = next;
        }
        assert!(world.is_logged_in(&present).await);
    }
}
