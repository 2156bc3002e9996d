use chrono::DateTime;
use proptest::prelude::*;

use super::*;

const POLICY: ThrottlePolicy = ThrottlePolicy {
    free: 10,
    forget: TimeDelta::hours(1),
    first: TimeDelta::seconds(1),
    longest: TimeDelta::minutes(15),
    alarm: false,
};

fn at(seconds: i64) -> Instant {
    DateTime::from_timestamp(1_800_000_000 + seconds, 0).unwrap()
}

fn keys() -> ThrottleKeys {
    ThrottleKeys::new(&[7; 32], &[])
}

#[test]
fn ten_at_once_and_then_with_growing_delays() {
    let mut tally = AttemptCount::empty(at(0));
    for _ in 0..10 {
        tally = tally.reserve(POLICY, at(0)).unwrap();
    }
    assert_eq!(tally.reserve(POLICY, at(0)), Err(TimeDelta::seconds(1)));
    let mut now = 0;
    let mut delays = Vec::new();
    for _ in 0..12 {
        now += (tally.blocked_until.unwrap() - at(now)).num_seconds();
        tally = tally.reserve(POLICY, at(now)).unwrap();
        delays.push((tally.blocked_until.unwrap() - at(now)).num_seconds());
    }
    assert_eq!(delays, [2, 4, 8, 16, 32, 64, 128, 256, 512, 900, 900, 900]);
}

#[test]
fn delays_that_follow_each_other_are_told_of_once() {
    let policy = ThrottlePolicy { forget: TimeDelta::seconds(1), ..POLICY };
    let (mut tally, mut now, mut tries, mut told) = (AttemptCount::empty(at(0)), 0, 0, Vec::new());
    // Whoever goes on as soon as it is possible, for half an hour.
    while now < 1800 {
        match tally.reserve(policy, at(now)) {
            Ok(next) => {
                if next.begins_delays(tally, at(now)) {
                    told.push(now);
                }
                // Some are right, which makes a delay shorter and not forgotten.
                tries += 1;
                let right = tries % 3 == 0;
                tally = if right { next.refund(policy, at(now)) } else { next };
            }
            Err(wait) => now += wait.num_seconds(),
        }
    }
    assert_eq!(told, [0]);
    // After ten minutes without any it is told again, and not before.
    for (pause, again) in [(590, false), (601, true)] {
        let until = (tally.blocked_until.unwrap() - at(0)).num_seconds();
        let (mut tally, now) = (tally, at(until + pause));
        for number in 1..=policy.free {
            let next = tally.reserve(policy, now).unwrap();
            let begins = next.begins_delays(tally, now);
            assert_eq!(begins, again && number == policy.free, "{number}");
            tally = if number < policy.free {
                // Also what is given back says nothing.
                let back = next.refund(policy, now);
                assert!(!back.begins_delays(tally, now));
                next
            } else {
                next
            };
        }
    }
}

#[test]
fn what_was_right_does_not_count() {
    let mut tally = AttemptCount::empty(at(0));
    for _ in 0..1000 {
        tally = tally.reserve(POLICY, at(0)).unwrap().refund(POLICY, at(0));
    }
    assert_eq!(tally, AttemptCount::empty(at(0)));
}

#[test]
fn who_began_earlier_and_comes_later_is_not_delayed() {
    let mut tally = AttemptCount::empty(at(5));
    for now in [4, 3, 2] {
        tally = tally
            .reserve(POLICY, at(now))
            .unwrap()
            .refund(POLICY, at(now))
            .reserve(POLICY, at(now))
            .unwrap();
    }
    assert_eq!((tally.count, tally.since), (3, at(5)));
}

#[test]
fn attempts_are_forgotten_one_by_one() {
    let mut tally = AttemptCount::empty(at(0));
    for _ in 0..10 {
        tally = tally.reserve(POLICY, at(0)).unwrap();
    }
    let later = tally.reserve(POLICY, at(3 * 3600)).unwrap();
    assert_eq!(later.count, 8);
    assert!(later.blocked_until.unwrap() < at(3 * 3600), "long over");
}

#[test]
fn they_are_forgotten_while_right_ones_come_in_between() {
    let mut tally = AttemptCount::empty(at(0));
    for _ in 0..10 {
        tally = tally.reserve(POLICY, at(0)).unwrap();
    }
    for half in 1..=20 {
        let now = at(half * 1800);
        tally = tally.reserve(POLICY, now).unwrap().refund(POLICY, now);
        assert_eq!(i64::from(tally.count), 10 - half / 2);
    }
}

#[test]
fn keys_are_of_accounts_addresses_and_networks() {
    let address = |text: &str| keys().address(text.parse().unwrap());
    assert_eq!(address("192.0.2.1"), address("::ffff:192.0.2.1"));
    assert_ne!(address("192.0.2.1"), address("192.0.2.2"));
    assert_eq!(address("2001:db8:1:2::3"), address("2001:db8:1:2:ffff::"));
    assert_ne!(address("2001:db8:1:2::3"), address("2001:db8:1:3::3"));
    let account = |text: &str| keys().account(&Email::parse(text).unwrap());
    assert_eq!(account("A@Example.org"), account("a@example.org"));
}

#[test]
fn a_device_is_known_for_its_own_account_only() {
    let (one, other) = (UserId(Uuid::from_u128(1)), UserId(Uuid::from_u128(2)));
    let word = keys().word(one, [3; 16]);
    let device = Device { random: [3; 16], known: true };
    assert_eq!(keys().knows(&word, one), Some(device));
    assert_eq!(keys().knows(&word, other), None);
    assert_eq!(ThrottleKeys::new(&[8; 32], &[]).knows(&word, one), None);
    for bad in ["", "x", &word[1..], &format!("{word}AAAA")] {
        assert_eq!(keys().knows(bad, one), None);
    }
    // At codes a known device counts by itself, and strangers together.
    let stranger = |random| Device { random: [random; 16], known: false };
    assert_eq!(keys().code(one, stranger(1)), keys().code(one, stranger(2)));
    assert_ne!(keys().code(one, stranger(1)), keys().code(other, stranger(1)));
    assert_ne!(keys().code(one, device), keys().code(one, stranger(3)));
    assert_ne!(keys().code(one, device), keys().device(&word));
}

proptest! {
    /// Whatever the order of attempts and rests, no more pass than the policy allows in that time.
    #[test]
    fn no_more_pass_than_allowed(rests in proptest::collection::vec(0i64..2000, 1..300)) {
        let (mut tally, mut now, mut passed) = (AttemptCount::empty(at(0)), 0, 0);
        for rest in rests {
            now += rest;
            if let Ok(next) = tally.reserve(POLICY, at(now)) {
                tally = next;
                passed += 1;
            }
        }
        // Ten, one more for each hour that is forgotten, and for the rest a delay each: a second at least.
        prop_assert!(passed <= 10 + now / 3600 + 1 + now.min(12) + now / 900);
    }
}
