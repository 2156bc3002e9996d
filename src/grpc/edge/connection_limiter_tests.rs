//! Who gives way to whom.

use super::*;

/// Everybody comes at the same moment, and had the time for a first call long ago.
fn take(places: &ConnectionLimiter, address: &str) -> Option<Place> {
    let place = places.take_at(address.parse().unwrap(), Moment::now())?;
    place.seat.has_called.store(true, Ordering::Release);
    Some(place)
}

fn several(places: &ConnectionLimiter, address: &str, count: usize) -> Vec<Place> {
    (0..count).map(|_| take(places, address).unwrap()).collect()
}

fn calls(places: &[Place]) -> Vec<Call> {
    places.iter().map(Place::call).collect()
}

/// Which of these were asked to leave.
fn gone(places: &[Place]) -> Vec<usize> {
    let all = places.iter().enumerate();
    all.filter(|(_, place)| place.leave().is_cancelled()).map(|(number, _)| number).collect()
}

#[test]
fn places_end_for_each_address_and_come_back() {
    let places = ConnectionLimiter::new(3, 2, &[]);
    let first = take(&places, "192.0.2.1").unwrap();
    let _second = take(&places, "192.0.2.1").unwrap();
    assert!(take(&places, "192.0.2.1").is_none());
    drop(first);
    let again = take(&places, "192.0.2.1").unwrap();
    drop(again);
    // Who has no place is not remembered.
    let open = places.0.lock();
    assert_eq!((open.held.len(), open.seated.len(), open.leaving.len()), (1, 1, 0));
}

#[test]
fn what_one_customer_has_counts_as_one_address() {
    for (one, same, other) in [
        ("2001:db8:1:2::1", "2001:db8:1:2:3:4:5:6", "2001:db8:1:3::1"),
        ("192.0.2.1", "::ffff:192.0.2.1", "::ffff:192.0.2.2"),
        ("::ffff:192.0.2.1", "192.0.2.1", "192.0.2.2"),
    ] {
        let places = ConnectionLimiter::new(9, 1, &[]);
        let _place = take(&places, one).unwrap();
        assert!(take(&places, same).is_none(), "{same} has a place of its own beside {one}");
        assert!(take(&places, other).is_some(), "{other} counts as {one}");
    }
}

#[test]
fn the_oldest_idle_connection_gives_way() {
    let places = ConnectionLimiter::new(4, 4, &[]);
    let all: Vec<_> =
        (1..5).map(|host| take(&places, &format!("192.0.2.{host}")).unwrap()).collect();
    // The first is busy, and the second was until a moment ago.
    let _busy = all[0].call();
    drop(all[1].call());
    let _new = take(&places, "192.0.2.9").unwrap();
    assert_eq!(gone(&all), [2]);
    let _new = take(&places, "192.0.2.10").unwrap();
    assert_eq!(gone(&all), [2, 3]);
    let _new = take(&places, "192.0.2.11").unwrap();
    assert_eq!(gone(&all), [1, 2, 3]);
}

#[test]
fn over_a_quarter_somebody_gives_way_even_if_it_is_busy() {
    let places = ConnectionLimiter::new(8, 8, &[]);
    let greedy = several(&places, "192.0.2.1", 7);
    let _calls = calls(&greedy[..6]);
    let other = take(&places, "192.0.2.2").unwrap();
    let mut kept = Vec::new();
    for host in 3..8 {
        kept.push(take(&places, &format!("192.0.2.{host}")).unwrap());
    }
    // First the idle one, and then the oldest calls, until two are left.
    assert_eq!(gone(&greedy), [0, 1, 2, 3, 6]);
    assert!(!other.leave().is_cancelled());
    // Now the others' idle ones give way, and who has a quarter takes nobody's but its own.
    assert!(take(&places, "192.0.2.1").is_none());
    let _new = take(&places, "192.0.2.8").unwrap();
    assert!(other.leave().is_cancelled());
}

#[test]
fn where_all_are_busy_whoever_has_most_gives_way() {
    let places = ConnectionLimiter::new(16, 16, &[]);
    let mut all = Vec::new();
    for host in 1..5 {
        all.push(several(&places, &format!("192.0.2.{host}"), 4));
    }
    let _calls: Vec<_> = all.iter().map(|places| calls(places)).collect();
    let mut new = vec![take(&places, "192.0.2.9").unwrap()];
    let _call = new[0].call();
    // The oldest call of those who have most, whoever it is.
    assert_eq!(gone(&all[0]), [0]);
    new.push(take(&places, "192.0.2.9").unwrap());
    assert_eq!(gone(&all[1]), [0]);
    let _call = new[1].call();
    // Four, four, three, three and two: no more than one less than the others.
    new.push(take(&places, "192.0.2.9").unwrap());
    let _call = new[2].call();
    assert_eq!(gone(&all[2]), [0]);
    assert!(take(&places, "192.0.2.9").is_none());
}

#[test]
fn a_crowd_takes_no_place_of_those_who_have_few() {
    let places = ConnectionLimiter::new(64, 64, &[]);
    let honest = take(&places, "192.0.2.200").unwrap();
    let mut crowd = Vec::new();
    for round in 0..100 {
        let host = round % 9 + 1;
        crowd.extend(take(&places, &format!("192.0.2.{host}")));
    }
    assert!(!honest.leave().is_cancelled());
    // And it was the oldest all the while.
    assert!(honest.is_idle() && !gone(&crowd).is_empty());
}

#[test]
fn proxies_have_more_than_a_quarter_and_are_not_cut_off() {
    let trusted = ["10.0.0.0/8".parse().unwrap()];
    let places = ConnectionLimiter::new(8, 8, &trusted);
    let proxy = several(&places, "10.0.0.1", 8);
    let _calls = calls(&proxy[..7]);
    let new = take(&places, "192.0.2.1").unwrap();
    assert_eq!(gone(&proxy), [7], "an idle one may go");
    let _call = new.call();
    assert!(take(&places, "192.0.2.2").is_none());
    assert_eq!(gone(&proxy), [7]);
}

#[test]
fn those_on_their_way_out_are_cut_off_when_they_become_many() {
    let places = ConnectionLimiter::new(4, 4, &[]);
    let mut all = Vec::new();
    for host in 0..LEAVING + 5 {
        all.push(take(&places, &format!("192.0.2.{host}")).unwrap());
    }
    assert_eq!(gone(&all).len(), LEAVING + 1);
    let cut: Vec<_> = all.iter().filter(|place| place.cut().is_cancelled()).collect();
    assert_eq!(cut.len(), 1);
    drop(all);
    let open = places.0.lock();
    assert_eq!((open.held.len(), open.seated.len(), open.leaving.len()), (0, 0, 0));
}

#[test]
fn a_fleeting_place_goes_from_hand_to_hand() {
    let places = ConnectionLimiter::fleeting(4);
    let mut all = Vec::new();
    let mut busy = Vec::new();
    for host in 0..6 {
        let place = take(&places, &format!("192.0.2.{host}")).unwrap();
        busy.push(place.call());
        all.push(place);
    }
    assert_eq!(gone(&all), [0, 1]);
    // One's own goes first where one has a quarter.
    all.push(take(&places, "192.0.2.5").unwrap());
    assert_eq!(gone(&all), [0, 1, 5]);
}

#[test]
fn without_file_descriptors_one_is_cut_off_at_once() {
    let places = ConnectionLimiter::new(8, 8, &[]);
    assert!(!places.shed());
    let all = several(&places, "192.0.2.1", 2);
    assert!(places.shed());
    assert!(all[0].cut().is_cancelled() && !all[1].cut().is_cancelled());
}

#[test]
fn a_connection_has_time_for_its_first_call() {
    let (places, now) = (ConnectionLimiter::new(8, 8, &[]), Moment::now());
    let come = |address: &str, after: Duration| {
        places.take_at(address.parse().unwrap(), now + after).unwrap()
    };
    let crowd: Vec<_> =
        (0..6).map(|number| come(&format!("192.0.2.{}", number / 2), Duration::ZERO)).collect();
    let _calls = calls(&crowd);
    let honest = come("192.0.2.8", Duration::ZERO);
    let _last = come("192.0.2.9", Duration::ZERO);
    // All others are busy, and those who came last are not the ones to go.
    let _new = come("192.0.2.10", FIRST_CALL / 2);
    assert_eq!((gone(&crowd), honest.leave().is_cancelled()), (vec![0], false));
    // Without a call in that time it is idle.
    let _new = come("192.0.2.11", FIRST_CALL);
    assert_eq!((gone(&crowd), honest.leave().is_cancelled()), (vec![0], true));
}

#[test]
fn where_everybody_has_just_come_the_first_gives_way() {
    let (places, now) = (ConnectionLimiter::new(2, 2, &[]), Moment::now());
    let come = |address: &str| places.take_at(address.parse().unwrap(), now).unwrap();
    let all = vec![come("192.0.2.1"), come("192.0.2.2"), come("192.0.2.3")];
    assert_eq!(gone(&all), [0]);
}

#[test]
fn an_idle_connection_does_not_go_for_an_address_that_has_as_many() {
    let places = ConnectionLimiter::new(16, 16, &[]);
    let honest = take(&places, "192.0.2.1").unwrap();
    let crowd: Vec<_> =
        (2..5).map(|host| several(&places, &format!("192.0.2.{host}"), 4)).collect();
    let others = several(&places, "192.0.2.5", 2);
    let last = take(&places, "192.0.2.6").unwrap();
    let _calls: Vec<_> = crowd.iter().map(|places| calls(places)).collect();
    let (_more, _one) = (calls(&others), last.call());
    let _new = take(&places, "192.0.2.6").unwrap();
    assert!(!honest.leave().is_cancelled());
    assert_eq!(gone(&crowd[0]), [0]);
    // An address that has none takes it.
    let _new = take(&places, "192.0.2.7").unwrap();
    assert!(honest.leave().is_cancelled());
}
