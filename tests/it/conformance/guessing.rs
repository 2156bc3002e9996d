//! Guessing passwords: how often, from where, and whom it delays.

use chrono::TimeDelta;
use daybook::grpc::proto::auth::{
    ChangePasswordRequest, LogInRequest, LogInResponse, Role, SignUpRequest,
};
use futures_util::future::join_all;
use tonic::{Code, Status};
use tonic_types::StatusExt as _;

use super::behaviours;
use crate::support::{
    World,
    people::{PASSWORD, Person, sign_up},
    process::until,
    refusal::{reason_of, refused},
    rounds,
};

behaviours!(
    after_ten_wrong_passwords_delays_grow,
    unknown_accounts_are_delayed_alike,
    parallel_guesses_over_three_servers_overrun_nothing,
    a_device_that_is_known_is_not_delayed_by_others,
    a_known_device_gets_in_through_ten_minutes_of_guesses,
    many_known_devices_are_no_more_guesses,
    who_makes_many_accounts_is_delayed,
    right_passwords_are_never_counted,
    ones_own_password_is_guessed_by_the_same_rule,
    who_leaves_in_the_middle_loses_no_attempt,
);

const WRONG: &str = "not the password";
/// Each failed log-in that was hashed leaves one.
const HASHED: &str = "SELECT count(*) FROM audit_events WHERE kind = 'log_in_failed'";

async fn log_in(
    world: &World,
    email: &str,
    password: &str,
    device: &str,
) -> Result<LogInResponse, Status> {
    let request = LogInRequest {
        email: email.to_owned(),
        password: password.to_owned(),
        device_token: device.to_owned(),
    };
    Ok(world.auth().log_in(request).await?.into_inner())
}

/// The seconds to wait that a refusal tells.
fn wait(status: &Status) -> f64 {
    assert_eq!(status.code(), Code::ResourceExhausted);
    assert_eq!(reason_of(status), "TOO_MANY_ATTEMPTS");
    let delay = status.get_error_details().retry_info().and_then(|info| info.retry_delay);
    delay.unwrap().as_secs_f64()
}

async fn fail_ten_times(world: &World, email: &str) {
    for _ in 0..10 {
        refused(log_in(world, email, WRONG, "").await, "LOG_IN_FAILED");
    }
}

async fn after_ten_wrong_passwords_delays_grow(world: World) {
    let person = world.customer().await;
    let email = &person.user.email;
    fail_ten_times(&world, email).await;
    // The right one has to wait as well, or the answer would tell which it is.
    for password in [WRONG, PASSWORD] {
        let status = log_in(&world, email, password, "").await.unwrap_err();
        assert!((wait(&status) - 1.0).abs() < 1e-6);
    }
    world.forward(TimeDelta::seconds(1));
    refused(log_in(&world, email, WRONG, "").await, "LOG_IN_FAILED");
    assert!((wait(&log_in(&world, email, WRONG, "").await.unwrap_err()) - 2.0).abs() < 1e-6);
    world.forward(TimeDelta::seconds(2));
    log_in(&world, email, PASSWORD, "").await.unwrap();
}

async fn unknown_accounts_are_delayed_alike(world: World) {
    let person = world.customer().await;
    let unknown = "nobody@example.org";
    let mut answers = Vec::new();
    for email in [person.user.email.as_str(), unknown] {
        let mut seen = Vec::new();
        for _ in 0..12 {
            let status = log_in(&world, email, WRONG, "").await.unwrap_err();
            seen.push((status.code(), status.message().to_owned(), status.details().to_vec()));
        }
        answers.push(seen);
    }
    assert_eq!(answers[0], answers[1]);
    assert_eq!(answers[0].iter().filter(|seen| seen.0 == Code::Unauthenticated).count(), 10);
}

async fn parallel_guesses_over_three_servers_overrun_nothing(world: World) {
    let person = world.customer().await;
    let (second, third) = (world.beside().await, world.beside().await);
    let servers = [&world, &second, &third];
    let guesses = rounds(120, 1000);
    let answers = join_all((0..guesses).map(|number| {
        let server = servers[number % 3];
        log_in(server, &person.user.email, WRONG, "")
    }))
    .await;
    let reasons = answers.iter().map(|answer| reason_of(answer.as_ref().unwrap_err()));
    let mut failed = 0;
    for reason in reasons {
        match reason.as_str() {
            "LOG_IN_FAILED" => failed += 1,
            // More at once than a server takes.
            "TOO_MANY_ATTEMPTS" | "OVERLOADED" => {}
            other => panic!("{other}"),
        }
    }
    assert_eq!(failed, 10);
    assert_eq!(world.count(HASHED).await, 10);
}

async fn a_device_that_is_known_is_not_delayed_by_others(world: World) {
    let person = world.customer().await;
    let email = &person.user.email;
    let device = log_in(&world, email, PASSWORD, "").await.unwrap().device_token;
    let stranger = world.customer().await;
    let other = log_in(&world, &stranger.user.email, PASSWORD, "").await.unwrap().device_token;
    fail_ten_times(&world, email).await;
    wait(&log_in(&world, email, PASSWORD, "").await.unwrap_err());
    // Somebody else's device is none of this account's.
    wait(&log_in(&world, email, PASSWORD, &other).await.unwrap_err());
    wait(&log_in(&world, email, PASSWORD, "made up").await.unwrap_err());
    let again = log_in(&world, email, PASSWORD, &device).await.unwrap();
    assert_eq!(again.device_token, device);
    // A device that was stolen has as many guesses as a stranger, and no more.
    for _ in 0..10 {
        refused(log_in(&world, email, WRONG, &device).await, "LOG_IN_FAILED");
    }
    wait(&log_in(&world, email, PASSWORD, &device).await.unwrap_err());
}

async fn a_known_device_gets_in_through_ten_minutes_of_guesses(world: World) {
    let person = world.customer().await;
    let email = &person.user.email;
    let device = log_in(&world, email, PASSWORD, "").await.unwrap().device_token;
    let (times, mut delayed) = (rounds(40, 600), 0);
    for _ in 0..times {
        for _ in 0..5 {
            let guess = log_in(&world, email, WRONG, "").await.unwrap_err();
            delayed += usize::from(reason_of(&guess) == "TOO_MANY_ATTEMPTS");
        }
        // Each time, and from nowhere else than the guesses come from.
        log_in(&world, email, PASSWORD, &device).await.unwrap();
        world.forward(TimeDelta::milliseconds(600_000 / i64::try_from(times).unwrap()));
    }
    assert!(delayed > times * 4, "{delayed} guesses were not looked at");
}

/// Whoever had the password once may have had any number of devices made known.
async fn many_known_devices_are_no_more_guesses(world: World) {
    let person = world.customer().await;
    let email = &person.user.email;
    let mut devices = Vec::new();
    for _ in 0..8 {
        devices.push(log_in(&world, email, PASSWORD, "").await.unwrap().device_token);
    }
    let mut failed = 0;
    for device in devices.iter().flat_map(|device| [device; 10]) {
        match reason_of(&log_in(&world, email, WRONG, device).await.unwrap_err()).as_str() {
            "LOG_IN_FAILED" => failed += 1,
            "TOO_MANY_ATTEMPTS" => {}
            other => panic!("{other}"),
        }
    }
    assert_eq!((failed, world.count(HASHED).await), (50, 50));
    // What is not known counts by itself.
    log_in(&world, email, PASSWORD, "").await.unwrap();
}

async fn who_makes_many_accounts_is_delayed(world: World) {
    let person = world.customer().await;
    let world = world.beside_with(&[("auth.attempts_per_address", "4")]).await;
    // One more was made before.
    for _ in 0..3 {
        world.auth().sign_up(sign_up(Role::Customer)).await.unwrap();
    }
    let weak = SignUpRequest { password: "password1".to_owned(), ..sign_up(Role::Customer) };
    for request in [sign_up(Role::Provider), weak.clone()] {
        let status = world.auth().sign_up(request).await.unwrap_err();
        assert!((wait(&status) - 1.0).abs() < 1e-6, "nothing is hashed, and no password looked at");
    }
    // Those who have an account notice nothing.
    log_in(&world, &person.user.email, PASSWORD, "").await.unwrap();
    world.forward(TimeDelta::seconds(1));
    refused(world.auth().sign_up(weak).await, "INVALID_FIELDS");
    wait(&world.auth().sign_up(sign_up(Role::Customer)).await.unwrap_err());
}

async fn right_passwords_are_never_counted(world: World) {
    let person = world.customer().await;
    let counted = async || world.count("SELECT coalesce(sum(count), 0) FROM attempts").await;
    let before = counted().await;
    for _ in 0..12 {
        log_in(&world, &person.user.email, PASSWORD, "").await.unwrap();
    }
    assert_eq!(counted().await, before);
}

async fn ones_own_password_is_guessed_by_the_same_rule(world: World) {
    let person = world.customer().await;
    let change = async |person: &Person, current: &str| {
        let request = ChangePasswordRequest {
            current_password: current.to_owned(),
            new_password: PASSWORD.to_owned(),
            ..Default::default()
        };
        world.auth().change_password(person.asks(request)).await
    };
    for _ in 0..10 {
        refused(change(&person, WRONG).await, "CURRENT_PASSWORD_WRONG");
    }
    wait(&change(&person, PASSWORD).await.unwrap_err());
    // Who has stolen a token delays nobody's log-in with it.
    log_in(&world, &person.user.email, PASSWORD, "").await.unwrap();
    world.forward(TimeDelta::seconds(1));
    change(&person, PASSWORD).await.unwrap();
}

async fn who_leaves_in_the_middle_loses_no_attempt(world: World) {
    // There the hash of a log-in is renewed, which takes much longer than to verify the one that is stored.
    let costly = [("auth.hash_memory_kib", "65536"), ("auth.hash_iterations", "4")];
    let server = world.beside_with(&costly).await;
    let (first, customer) = (world.customer().await, world.customer().await);
    let began = std::time::Instant::now();
    log_in(&server, &first.user.email, PASSWORD, "").await.unwrap();
    let whole = began.elapsed();
    let open = "SELECT count(*) FROM attempts WHERE count > 0";
    let before = world.count(open).await;
    // Each leaves a little later than the one before.
    let mut left = 0;
    for part in 0..24 {
        let leaving = log_in(&server, &customer.user.email, PASSWORD, "");
        match tokio::time::timeout(whole * part / 24, leaving).await {
            Err(_) => left += 1,
            // Hashes that were given up are still under way.
            Ok(Err(status)) => assert_eq!(reason_of(&status), "OVERLOADED"),
            Ok(Ok(_)) => {}
        }
    }
    assert!(left > 0, "nobody left");
    let given_back = async || world.count(open).await == before;
    until(10, "every attempt is given back", given_back).await;
    log_in(&server, &customer.user.email, PASSWORD, "").await.unwrap();
}
