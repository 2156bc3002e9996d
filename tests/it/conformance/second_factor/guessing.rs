//! Guessing codes: how often, and whom it delays.

use chrono::TimeDelta;
use daybook::grpc::proto::auth::{DisableTotpRequest, LogInRequest, audit_event::Kind};
use futures_util::future::join_all;
use tonic::{Code, Status};
use tonic_types::StatusExt as _;

use super::trail;
use crate::{
    conformance::behaviours,
    support::{
        World,
        people::{PASSWORD, Person},
        refusal::{reason_of, refused},
        rounds,
        totp::App,
    },
};

behaviours!(
    parallel_guesses_at_codes_over_three_servers_overrun_nothing,
    right_passwords_give_no_guesses_at_codes_back,
    delays_at_codes_grow_to_an_hour,
    a_known_device_is_not_delayed_by_guesses_at_codes,
    many_known_devices_are_no_more_guesses_at_codes,
    right_codes_are_never_counted,
    codes_of_who_is_logged_in_are_counted_too,
);

/// Each code that was looked at and wrong leaves one.
const LOOKED_AT: &str = "SELECT count(*) FROM audit_events WHERE kind = 'second_factor_failed'";

/// The seconds to wait that a refusal tells.
fn wait(status: &Status) -> f64 {
    assert_eq!(status.code(), Code::ResourceExhausted);
    assert_eq!(reason_of(status), "TOO_MANY_ATTEMPTS");
    let delay = status.get_error_details().retry_info().and_then(|info| info.retry_delay);
    delay.unwrap().as_secs_f64()
}

async fn fail_ten_times(world: &World, email: &str, app: &App) {
    let challenge = world.challenge(email).await;
    for wrong in app.wrong(world.clock.now()).take(10) {
        refused(world.complete(&challenge, &wrong).await, "CODE_WRONG");
    }
}

async fn parallel_guesses_at_codes_over_three_servers_overrun_nothing(world: World) {
    let admin = world.admin().await;
    let person = world.customer().await;
    let (app, _) = world.turn_on(&person).await;
    let (second, third) = (world.beside().await, world.beside().await);
    let servers = [&world, &second, &third];
    let mut challenges = Vec::new();
    for _ in 0..4 {
        challenges.push(world.challenge(&person.user.email).await);
    }
    let guesses: Vec<_> = app.wrong(world.clock.now()).take(rounds(120, 10_000)).collect();
    let mut failed = 0;
    for some in guesses.chunks(500) {
        let answers =
            join_all(some.iter().enumerate().map(|(number, guess)| {
                servers[number % 3].complete(&challenges[number % 4], guess)
            }));
        for answer in answers.await {
            match reason_of(&answer.unwrap_err()).as_str() {
                "CODE_WRONG" => failed += 1,
                // More at once than a server takes.
                "TOO_MANY_ATTEMPTS" | "OVERLOADED" => {}
                other => panic!("{other}"),
            }
        }
    }
    assert_eq!((failed, world.count(LOOKED_AT).await), (10, 10));
    let found = trail(&world, &admin, &person.user.name, Kind::SecondFactorFailed).await;
    assert_eq!((found.len(), found[0].address.as_str()), (10, "127.0.0.1"));
}

async fn right_passwords_give_no_guesses_at_codes_back(world: World) {
    let person = world.customer().await;
    let email = person.user.email.as_str();
    let (app, codes) = world.turn_on(&person).await;
    fail_ten_times(&world, email, &app).await;
    for _ in 0..12 {
        world.challenge(email).await;
    }
    let challenge = world.challenge(email).await;
    let right = world.code(&app);
    assert!((wait(&world.complete(&challenge, &right).await.unwrap_err()) - 1.0).abs() < 1e-6);
    // Neither is there another way in.
    wait(&world.recover(&challenge, &codes[0]).await.unwrap_err());
    assert_eq!(world.count(LOOKED_AT).await, 10);
    world.forward(TimeDelta::seconds(1));
    world.complete(&challenge, &right).await.unwrap();
    // One that was right gives one back, and no more.
    let challenge = world.challenge(email).await;
    world.forward(TimeDelta::seconds(30));
    let wrong = app.wrong(world.clock.now()).next().unwrap();
    refused(world.complete(&challenge, &wrong).await, "CODE_WRONG");
    wait(&world.complete(&challenge, &wrong).await.unwrap_err());
}

async fn delays_at_codes_grow_to_an_hour(world: World) {
    let person = world.customer().await;
    let email = person.user.email.as_str();
    let (app, _) = world.turn_on(&person).await;
    fail_ten_times(&world, email, &app).await;
    let (mut waited, mut guesses) = (0.0, 10);
    while waited < 86_400.0 && guesses < 100 {
        let challenge = world.challenge(email).await;
        let wrong = app.wrong(world.clock.now()).next().unwrap();
        match world.complete(&challenge, &wrong).await.unwrap_err() {
            refusal if reason_of(&refusal) == "CODE_WRONG" => guesses += 1,
            refusal => {
                let delay = wait(&refusal);
                assert!(delay <= 3600.0, "{delay}");
                waited += delay;
                world.forward(TimeDelta::milliseconds((delay * 1000.0).round() as i64));
            }
        }
    }
    // In a day, by somebody who has the password: three codes in a million are good at a time.
    assert!((40..=50).contains(&guesses), "{guesses}");
}

async fn a_known_device_is_not_delayed_by_guesses_at_codes(world: World) {
    let person = world.customer().await;
    let email = person.user.email.as_str();
    let (app, _) = world.turn_on(&person).await;
    let challenge = world.challenge(email).await;
    let device = world.complete(&challenge, &world.code(&app)).await.unwrap().device_token;
    world.forward(TimeDelta::seconds(30));
    fail_ten_times(&world, email, &app).await;
    let on_device = async || {
        let request = LogInRequest {
            email: email.to_owned(),
            password: PASSWORD.to_owned(),
            device_token: device.clone(),
        };
        let answer = world.auth().log_in(request).await.unwrap().into_inner();
        answer.second_step.unwrap().challenge
    };
    let known = on_device().await;
    world.complete(&known, &world.code(&app)).await.unwrap();
    // A device that was stolen has as many guesses as a stranger, and no more.
    let known = on_device().await;
    for wrong in app.wrong(world.clock.now()).take(10) {
        refused(world.complete(&known, &wrong).await, "CODE_WRONG");
    }
    world.forward(TimeDelta::milliseconds(500));
    wait(&world.complete(&known, &world.code(&app)).await.unwrap_err());
}

async fn many_known_devices_are_no_more_guesses_at_codes(world: World) {
    let person = world.customer().await;
    let email = person.user.email.as_str();
    let mut devices = Vec::new();
    for _ in 0..8 {
        devices.push(world.first_step(email, "").await.device_token);
    }
    let (app, _) = world.turn_on(&person).await;
    let mut failed = 0;
    for device in devices {
        let challenge = world.first_step(email, &device).await.second_step.unwrap().challenge;
        for wrong in app.wrong(world.clock.now()).take(10) {
            match reason_of(&world.complete(&challenge, &wrong).await.unwrap_err()).as_str() {
                "CODE_WRONG" => failed += 1,
                "TOO_MANY_ATTEMPTS" => {}
                other => panic!("{other}"),
            }
        }
    }
    assert_eq!((failed, world.count(LOOKED_AT).await), (50, 50));
    // What is not known counts by itself.
    world.log_in_with(email, &world.code(&app)).await.unwrap();
}

async fn right_codes_are_never_counted(world: World) {
    let person = world.customer().await;
    let counted = async || world.count("SELECT coalesce(sum(count), 0) FROM attempts").await;
    let before = counted().await;
    let (app, _) = world.turn_on(&person).await;
    for _ in 0..12 {
        world.log_in_with(&person.user.email, &world.code(&app)).await.unwrap();
        world.forward(TimeDelta::seconds(30));
    }
    assert_eq!(counted().await, before);
}

async fn codes_of_who_is_logged_in_are_counted_too(world: World) {
    let person = world.customer().await;
    let email = person.user.email.as_str();
    let (app, _) = world.turn_on(&person).await;
    let disable = async |person: &Person, code: String| {
        let current_password = PASSWORD.to_owned();
        let request = DisableTotpRequest { current_password, code, ..Default::default() };
        world.second_factor().disable_totp(person.asks(request)).await
    };
    for wrong in app.wrong(world.clock.now()).take(10) {
        refused(disable(&person, wrong).await, "CODE_WRONG");
    }
    wait(&disable(&person, world.code(&app)).await.unwrap_err());
    assert_eq!(world.count(LOOKED_AT).await, 10);
    // Who has stolen a token delays nobody's log-in with it.
    world.log_in_with(email, &world.code(&app)).await.unwrap();
    world.forward(TimeDelta::seconds(30));
    // An app that was enrolled is guessed at by the same rule.
    let other = world.customer().await;
    let enrolled = world.enrol(&other).await;
    for wrong in enrolled.wrong(world.clock.now()).take(10) {
        refused(world.confirm(&other, &wrong).await, "CODE_WRONG");
    }
    wait(&world.confirm(&other, &world.code(&enrolled)).await.unwrap_err());
    world.forward(TimeDelta::seconds(1));
    disable(&person, world.code(&app)).await.unwrap();
}
