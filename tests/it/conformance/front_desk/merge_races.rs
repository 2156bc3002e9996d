//! Merges beside bookings, merges and corrections of the same people, over two processes.

use futures_util::future::{join, join_all};

use super::{
    PHONE, caller, enrol, get,
    merge::{book_for, merge, of},
};
use crate::{
    conformance::behaviours,
    support::{World, books, people::Person, refusal::reason_of, rounds, types::kind},
};

behaviours!(
    a_booking_beside_a_merge_moves_along_or_is_refused,
    of_merges_in_a_circle_one_counts,
    the_same_merge_at_once_is_done_once,
);

async fn a_booking_beside_a_merge_moves_along_or_is_refused(world: World) {
    let (admin, one, two) = (world.admin().await, world.provider().await, world.provider().await);
    let plain = world.shared_type(&admin, kind(&[30]), &[&one, &two]).await;
    let beside = world.beside().await;
    let mut outcomes = [0; 2];
    for round in 0..rounds(6, 60) {
        let kept = enrol(&world, &admin, caller("Kim", "", PHONE)).await.unwrap().name;
        let gone = enrol(&world, &admin, caller("Kim", "", PHONE)).await.unwrap().name;
        let at = |hour: usize| {
            let (day, half) = (23 + round / 6 % 5, round % 6);
            format!("2026-11-{day} {:02}:{:02}", hour + half / 2, half % 2 * 30)
        };
        // With one provider something is there already, with the other one it comes just then.
        book_for(&world, &admin, (&one, &plain), &gone, &at(9)).await.ok();
        let merging = async { merge(&world, &admin, &kept, &gone).await };
        let booking = |by: &Person, provider: &Person, hour: usize| {
            let (by, provider, start) = (by.clone(), provider.clone(), at(hour));
            let (beside, plain, gone) = (&beside, &plain, &gone);
            async move { book_for(beside, &by, (&provider, plain), gone, &start).await }
        };
        let bookings = join_all([booking(&two, &two, 12), booking(&admin, &one, 14)]);
        let (merged, booked) = join(merging, bookings).await;
        merged.unwrap();
        let all = of(&world, &admin, &kept).await;
        for booked in booked {
            match booked {
                Ok(made) => {
                    outcomes[0] += 1;
                    assert!(all.iter().any(|each| each.name == made.name), "{made:?} is lost");
                }
                Err(status) => {
                    outcomes[1] += 1;
                    let reason = reason_of(&status);
                    assert!(["NOT_FOUND", "SLOT_TAKEN"].contains(&&*reason), "{status:?}");
                }
            }
        }
        assert!(of(&world, &admin, &gone).await.is_empty(), "nothing is left behind");
    }
    println!("{:?}: {} moved along, {} refused", world.engine, outcomes[0], outcomes[1]);
    books::check(&world.sql().await).await;
}

async fn of_merges_in_a_circle_one_counts(world: World) {
    let admin = world.admin().await;
    let beside = world.beside().await;
    for _ in 0..rounds(4, 40) {
        let one = enrol(&world, &admin, caller("Kim", "", PHONE)).await.unwrap().name;
        let two = enrol(&world, &admin, caller("Kim", "", PHONE)).await.unwrap().name;
        let there = merge(&world, &admin, &one, &two);
        let (there, back) = join(there, merge(&beside, &admin, &two, &one)).await;
        assert_ne!(there.is_ok(), back.is_ok());
        let (kept, refusal) = match (there, back) {
            (Ok(kept), Err(refusal)) | (Err(refusal), Ok(kept)) => (kept, refusal),
            other => panic!("{other:?}"),
        };
        assert_eq!(reason_of(&refusal), "NOT_FOUND");
        get(&world, &admin, &kept.name).await.unwrap();
    }
}

async fn the_same_merge_at_once_is_done_once(world: World) {
    let admin = world.admin().await;
    let beside = world.beside().await;
    let one = enrol(&world, &admin, caller("Kim", "", PHONE)).await.unwrap().name;
    let two = enrol(&world, &admin, caller("Kim", "kim@example.org", "")).await.unwrap().name;
    let merges = (0..8).map(|number| {
        let world = if number % 2 == 0 { &world } else { &beside };
        merge(world, &admin, &one, &two)
    });
    for done in join_all(merges).await {
        let now = done.unwrap();
        assert_eq!((&now.name, &*now.email), (&one, "kim@example.org"));
    }
    let merged = "SELECT count(*) FROM audit_events WHERE kind = 'customers_merged'";
    assert_eq!(world.count(merged).await, 1);
}
