//! The life of signing keys, step by step and at random.

use proptest::prelude::*;

use super::*;

fn policy() -> RotationPolicy {
    RotationPolicy::new(Some(TimeDelta::hours(1)), TimeDelta::minutes(10), TimeDelta::minutes(5))
}

fn at(seconds: i64) -> Instant {
    chrono::DateTime::from_timestamp(1_800_000_000 + seconds, 0).unwrap()
}

fn turn(lives: &mut [Life], now: Instant) -> Result<(), Cannot> {
    rotate(&mut lives.iter_mut().collect::<Vec<_>>(), policy(), now)
}

#[test]
fn a_key_is_shown_signs_is_known_and_is_gone() {
    let mut lives = [Life::active(at(0)), Life::next(at(0))];
    let states = |lives: &[Life], now| lives.iter().map(|l| l.state(now)).collect::<Vec<_>>();
    assert_eq!(states(&lives, at(0)), [KeyState::Active, KeyState::Next]);
    assert_eq!(turn(&mut lives, at(599)), Err(Cannot::TooSoon(TimeDelta::seconds(1))));
    assert_eq!(states(&lives, at(599)), [KeyState::Active, KeyState::Next]);
    turn(&mut lives, at(600)).unwrap();
    assert_eq!(states(&lives, at(600)), [KeyState::Retiring, KeyState::Active]);
    assert!(!lives[0].has_private_key() && lives[1].has_private_key());
    assert_eq!(turn(&mut lives, at(600)), Err(Cannot::Missing));
    // A token of the last moment, the leeway, and whoever is behind.
    let gone = at(600) + TimeDelta::seconds(300 + 30 + 150);
    assert!(lives[0].verifies(gone - TimeDelta::microseconds(1)) && !lives[0].verifies(gone));
    assert_eq!(states(&lives, gone), [KeyState::Gone, KeyState::Active]);
}

#[test]
fn a_key_is_due_by_age_when_the_next_one_was_shown() {
    let lives = [Life::active(at(0)), Life::next(at(3500))];
    assert!(!is_due(&lives, policy(), at(3600)));
    assert!(is_due(&lives, policy(), at(4100)));
    assert!(!is_due(&lives, RotationPolicy { rotation: None, ..policy() }, at(1_000_000)));
    let lives = [Life::active(at(0)), Life::next(at(0))];
    assert!(!is_due(&lives, policy(), at(3599)) && is_due(&lives, policy(), at(3600)));
    assert!(!is_due(&[], policy(), at(3600)));
}

#[test]
fn longer_tokens_are_known_for_longer() {
    let day = RotationPolicy::new(None, TimeDelta::minutes(10), TimeDelta::days(1));
    assert_eq!(day.kept, TimeDelta::days(1) + TimeDelta::seconds(180));
    let short = RotationPolicy::new(None, TimeDelta::minutes(10), TimeDelta::minutes(1));
    assert_eq!(short.kept, policy().kept);
}

#[derive(Debug, Clone)]
enum Step {
    Wait(i64),
    Rotate,
    Replace,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        4 => (0_i64..2000).prop_map(Step::Wait),
        4 => Just(Step::Rotate),
        1 => Just(Step::Replace),
    ];
    prop::collection::vec(step, 1..60)
}

proptest! {
    /// One signs and one is shown at any time, none goes back, none signs that was not shown, and each is
    /// known for as long as what it signed.
    #[test]
    fn the_machine_holds(steps in steps()) {
        let (policy, mut now) = (policy(), at(0));
        let mut lives = vec![Life::active(now), Life::next(now)];
        for step in steps {
            let before: Vec<KeyState> = lives.iter().map(|life| life.state(now)).collect();
            match step {
                Step::Wait(seconds) => now += TimeDelta::seconds(seconds),
                Step::Rotate => match turn(&mut lives, now) {
                    Ok(()) => lives.push(Life::next(now)),
                    Err(Cannot::TooSoon(left)) => prop_assert!(left <= policy.lead),
                    Err(Cannot::Missing) => prop_assert!(false, "one was missing"),
                },
                Step::Replace => {
                    for life in &mut lives {
                        life.end(now);
                    }
                    prop_assert!(lives.iter().all(|life| !life.verifies(now)));
                    lives.extend([Life::active(now), Life::next(now)]);
                }
            }
            let count = |state| lives.iter().filter(|life| life.state(now) == state).count();
            prop_assert_eq!((count(KeyState::Active), count(KeyState::Next)), (1, 1));
            for (life, before) in lives.iter().zip(before) {
                prop_assert!(life.state(now) >= before, "{:?} went back to {:?}", before, life);
            }
            for life in &lives {
                let shown = life.activated_at.map(|since| since - life.created_at);
                prop_assert!(shown.is_none_or(|shown| shown.is_zero() || shown >= policy.lead));
                if let (Some(_), Some(retired)) = (life.activated_at, life.retired) {
                    let ended = retired.gone_at <= now;
                    prop_assert!(ended || retired.gone_at == retired.at + policy.kept);
                }
                let signs = matches!(life.state(now), KeyState::Next | KeyState::Active);
                prop_assert_eq!(life.has_private_key(), signs);
            }
        }
    }
}
