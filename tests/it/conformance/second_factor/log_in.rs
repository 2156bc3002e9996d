//! Log-ins in two steps: codes, recovery codes, challenges.

use std::{collections::BTreeSet, fs};

use chrono::{DateTime, TimeDelta};
use daybook::grpc::proto::auth::{
    ChangePasswordRequest, CompleteLogInRequest, DisableTotpRequest, DisableUserRequest,
    EnableUserRequest, LogInRequest, LogInResponse, Role, audit_event::Kind, second_step,
};
use futures_util::future::join_all;
use tonic::{Code, Request};

use super::{refreshes, trail, works};
use crate::{
    conformance::behaviours,
    support::{
        Engine, World,
        people::{PASSWORD, with_token},
        refusal::{invalid, reason_of, refused},
        rounds,
    },
};

behaviours!(
    with_a_second_factor_a_log_in_has_two_steps,
    a_code_is_good_in_its_step_and_in_those_beside_it,
    a_code_is_good_once,
    of_sixty_four_uses_of_one_code_one_begins_a_session,
    known_devices_elsewhere_meet_at_the_account,
    a_recovery_code_is_good_once_also_in_parallel,
    a_challenge_is_good_for_five_minutes_and_for_one_session,
    a_challenge_ends_with_what_it_was_made_from,
    whoever_lacks_the_password_learns_nothing_of_the_second_factor,
    the_second_step_tells_what_is_wrong_with_its_fields,
    a_second_factor_outlives_the_master_key_that_sealed_it,
);

async fn with_a_second_factor_a_log_in_has_two_steps(world: World) {
    let person = world.customer().await;
    let email = person.user.email.as_str();
    assert!(world.first_step(email, "").await.second_step.is_none());
    let (app, _) = world.turn_on(&person).await;
    let first = world.first_step(email, "").await;
    let step = first.second_step.clone().unwrap();
    // Nothing else: no token, no name, no word for the device.
    assert_eq!(first, LogInResponse { second_step: Some(step.clone()), ..Default::default() });
    assert_eq!(
        step.kinds,
        [second_step::Kind::Totp as i32, second_step::Kind::RecoveryCode as i32]
    );
    let expires = step.expire_time.unwrap();
    assert_eq!(expires.seconds, (world.clock.now() + TimeDelta::minutes(5)).timestamp());
    assert!(!works(&world, &step.challenge).await && !refreshes(&world, &step.challenge).await);

    let begun = world.complete(&step.challenge, &world.code(&app)).await.unwrap();
    assert!(works(&world, &begun.access_token).await);
    assert!(refreshes(&world, &begun.refresh_token).await);
    assert!(begun.session.starts_with(&person.user.name) && begun.recovery_codes.is_empty());
    assert_eq!(begun.user.unwrap().name, person.user.name);
    // A device that is known is told the same word again, and shows a code all the same.
    world.forward(TimeDelta::seconds(30));
    let first = world.first_step(email, &begun.device_token).await;
    let challenge = first.second_step.unwrap().challenge;
    // In groups, as apps show them.
    let code = world.code(&app);
    let grouped = format!(" {} {}", &code[..3], &code[3..]);
    let again = world.complete(&challenge, &grouped).await.unwrap();
    assert_eq!(again.device_token, begun.device_token);
    // Others are as before.
    let other = world.customer().await;
    assert!(world.first_step(&other.user.email, "").await.second_step.is_none());
}

async fn a_code_is_good_in_its_step_and_in_those_beside_it(world: World) {
    let person = world.customer().await;
    let (app, _) = world.turn_on(&person).await;
    let micro = TimeDelta::microseconds(1);
    let seconds = TimeDelta::seconds;
    // From the beginning of its step.
    for (offset, good) in [
        (-seconds(30) - micro, false),
        (-seconds(30), true),
        (seconds(0), true),
        (seconds(30), true),
        (seconds(60) - micro, true),
        (seconds(60), false),
        (seconds(61), false),
    ] {
        let later = (world.clock.now() + TimeDelta::hours(2)).timestamp();
        let step = DateTime::from_timestamp(later - later % 30, 0).unwrap();
        world.clock.set(step + offset);
        let answer = world.log_in_with(&person.user.email, &app.code(step)).await;
        if good {
            answer.unwrap();
        } else {
            refused(answer, "CODE_WRONG");
        }
    }
}

async fn a_code_is_good_once(world: World) {
    let person = world.customer().await;
    let email = person.user.email.as_str();
    let app = world.enrol(&person).await;
    let first = world.code(&app);
    world.confirm(&person, &first).await.unwrap();
    // What confirmed the enrolment is used up too.
    refused(world.log_in_with(email, &first).await, "CODE_WRONG");
    let ahead = app.code(world.clock.now() + TimeDelta::seconds(30));
    world.log_in_with(email, &ahead).await.unwrap();
    for used in [&first, &ahead] {
        refused(world.log_in_with(email, used).await, "CODE_WRONG");
    }
    world.forward(TimeDelta::seconds(30));
    refused(world.log_in_with(email, &ahead).await, "CODE_WRONG");
    world.forward(TimeDelta::seconds(30));
    world.log_in_with(email, &world.code(&app)).await.unwrap();
}

async fn of_sixty_four_uses_of_one_code_one_begins_a_session(world: World) {
    // So that the gate lets all of them through to the comparison.
    let settings = [("auth.attempts_per_account", "100")];
    let (one, other) = (world.beside_with(&settings).await, world.beside_with(&settings).await);
    let person = one.customer().await;
    let (app, _) = one.turn_on(&person).await;
    other.clock.set(one.clock.now());
    let before = world.count("SELECT count(*) FROM sessions").await;
    // Half of them with one challenge, the others with one of their own.
    let shared = one.challenge(&person.user.email).await;
    let mut challenges = vec![shared; 32];
    for _ in 0..32 {
        challenges.push(one.challenge(&person.user.email).await);
    }
    let code = one.code(&app);
    let uses = challenges.iter().enumerate().map(|(number, challenge)| {
        let server = if number % 2 == 0 { &one } else { &other };
        server.complete(challenge, &code)
    });
    let answers = join_all(uses).await;
    let (begun, refusals): (Vec<_>, Vec<_>) = answers.into_iter().partition(Result::is_ok);
    assert_eq!(begun.len(), 1);
    let reasons: BTreeSet<_> =
        refusals.iter().map(|refusal| reason_of(refusal.as_ref().unwrap_err())).collect();
    let expected = ["CHALLENGE_REFUSED", "CODE_WRONG", "OVERLOADED"].map(str::to_owned);
    assert!(reasons.is_subset(&expected.into()), "{reasons:?}");
    assert!(reasons.contains("CODE_WRONG"));
    assert_eq!(world.count("SELECT count(*) FROM sessions").await, before + 1);
    assert!(works(&other, &begun[0].as_ref().unwrap().access_token).await);
}

/// They share no key of attempts, so only the account's lock orders them.
async fn known_devices_elsewhere_meet_at_the_account(world: World) {
    let settings = [("server.trusted_proxies", "127.0.0.0/8")];
    let (one, other) = (world.beside_with(&settings).await, world.beside_with(&settings).await);
    let person = one.customer().await;
    let email = person.user.email.as_str();
    let (app, _) = one.turn_on(&person).await;
    let mut devices = Vec::new();
    for _ in 0..8 {
        let challenge = one.challenge(email).await;
        let begun = one.complete(&challenge, &one.code(&app)).await.unwrap();
        devices.push(begun.device_token);
        one.forward(TimeDelta::seconds(30));
    }
    other.clock.set(one.clock.now());
    for _ in 0..rounds(5, 50) {
        let mut requests = Vec::new();
        for (number, device) in devices.iter().enumerate() {
            let challenge = one.first_step(email, device).await.second_step.unwrap().challenge;
            let code = one.code(&app);
            let request = CompleteLogInRequest { challenge, code, ..Default::default() };
            let mut request = Request::new(request);
            let from = format!("192.0.2.{number}").parse().unwrap();
            request.metadata_mut().insert("x-forwarded-for", from);
            requests.push(request);
        }
        let uses = requests.into_iter().enumerate().map(|(number, request)| {
            let mut auth = if number % 2 == 0 { one.auth() } else { other.auth() };
            async move { auth.complete_log_in(request).await }
        });
        let (begun, refusals): (Vec<_>, Vec<_>) =
            join_all(uses).await.into_iter().partition(Result::is_ok);
        assert_eq!(begun.len(), 1);
        for refusal in refusals {
            refused(refusal, "CODE_WRONG");
        }
        // Wrong ones from a device are forgotten before they delay it.
        for server in [&one, &other] {
            server.forward(TimeDelta::hours(1));
        }
    }
}

async fn a_recovery_code_is_good_once_also_in_parallel(world: World) {
    let settings = [("auth.attempts_per_account", "100")];
    let (one, other) = (world.beside_with(&settings).await, world.beside_with(&settings).await);
    let admin = one.admin().await;
    let person = one.customer().await;
    let email = person.user.email.as_str();
    let (_, codes) = one.turn_on(&person).await;
    other.clock.set(one.clock.now());
    let mut challenges = Vec::new();
    for _ in 0..32 {
        challenges.push(one.challenge(email).await);
    }
    let uses = challenges.iter().enumerate().map(|(number, challenge)| {
        let server = if number % 2 == 0 { &one } else { &other };
        server.recover(challenge, &codes[0])
    });
    let answers = join_all(uses).await;
    assert_eq!(answers.iter().filter(|answer| answer.is_ok()).count(), 1);
    for refusal in answers.into_iter().filter(Result::is_err) {
        refused(refusal, "CODE_WRONG");
    }
    assert_eq!(one.has(&person).await.recovery_codes_left, 9);
    // However it is typed, and never again.
    one.forward(TimeDelta::seconds(1));
    let challenge = one.challenge(email).await;
    let typed = codes[1].to_lowercase().replace('-', " ");
    one.recover(&challenge, &typed).await.unwrap();
    for used in &codes[..2] {
        let challenge = one.challenge(email).await;
        refused(one.recover(&challenge, used).await, "CODE_WRONG");
    }
    let found = trail(&one, &admin, &person.user.name, Kind::RecoveryCodeUsed).await;
    let left: Vec<_> = found.iter().map(|event| event.detail.as_str()).collect();
    assert_eq!(left, ["{\"left\":8}", "{\"left\":9}"]);
    // Somebody else's is none of this account's.
    let stranger = one.customer().await;
    let (_, others) = one.turn_on(&stranger).await;
    let challenge = one.challenge(email).await;
    refused(one.recover(&challenge, &others[0]).await, "CODE_WRONG");
    assert_eq!(one.has(&stranger).await.recovery_codes_left, 10);
}

async fn a_challenge_is_good_for_five_minutes_and_for_one_session(world: World) {
    let person = world.customer().await;
    let email = person.user.email.as_str();
    let (app, codes) = world.turn_on(&person).await;
    let (last, late) = (world.challenge(email).await, world.challenge(email).await);
    let micro = TimeDelta::microseconds(1);
    world.forward(TimeDelta::minutes(5) - micro);
    world.complete(&last, &world.code(&app)).await.unwrap();
    world.forward(micro);
    refused(world.recover(&late, &codes[0]).await, "CHALLENGE_REFUSED");
    // Used already: a code that would be good is not looked at, and not used up.
    let challenge = world.challenge(email).await;
    world.forward(TimeDelta::seconds(30));
    world.complete(&challenge, &world.code(&app)).await.unwrap();
    refused(world.recover(&challenge, &codes[0]).await, "CHALLENGE_REFUSED");
    assert_eq!(world.has(&person).await.recovery_codes_left, 10);
    // A wrong code does not use it up.
    let challenge = world.challenge(email).await;
    let wrong = app.wrong(world.clock.now()).next().unwrap();
    refused(world.complete(&challenge, &wrong).await, "CODE_WRONG");
    world.recover(&challenge, &codes[0]).await.unwrap();
    // What was never given out, or stands for somebody else.
    let stranger = world.customer().await;
    let (others, _) = world.turn_on(&stranger).await;
    let challenge = world.challenge(email).await;
    refused(world.complete(&challenge, &world.code(&others)).await, "CODE_WRONG");
    let mut changed = challenge.clone().into_bytes();
    changed[0] = if changed[0] == b'A' { b'B' } else { b'A' };
    let changed = String::from_utf8(changed).unwrap();
    let token = stranger.token.clone();
    for bad in [changed, token, "x".to_owned(), "\u{0}".to_owned(), "A".repeat(60_000)] {
        let status = refused(world.complete(&bad, &world.code(&app)).await, "CHALLENGE_REFUSED");
        assert_eq!(status.code(), Code::Unauthenticated);
    }
}

async fn a_challenge_ends_with_what_it_was_made_from(world: World) {
    let admin = world.admin().await;
    let person = world.customer().await;
    let email = person.user.email.as_str();
    let (app, codes) = world.turn_on(&person).await;
    let me = world.log_in_with(email, &world.code(&app)).await.unwrap();
    let mut next = codes.iter();
    let name = person.user.name.clone();

    let challenge = world.challenge(email).await;
    let request = ChangePasswordRequest {
        current_password: PASSWORD.to_owned(),
        new_password: PASSWORD.to_owned(),
        ..Default::default()
    };
    world.auth().change_password(me.asks(request)).await.unwrap();
    refused(world.recover(&challenge, &codes[0]).await, "CHALLENGE_REFUSED");

    let challenge = world.challenge(email).await;
    let request = DisableUserRequest { name: name.clone(), ..Default::default() };
    world.auth().disable_user(admin.asks(request)).await.unwrap();
    refused(world.recover(&challenge, &codes[0]).await, "CHALLENGE_REFUSED");
    let request = EnableUserRequest { name, ..Default::default() };
    world.auth().enable_user(admin.asks(request)).await.unwrap();
    refused(world.recover(&challenge, &codes[0]).await, "CHALLENGE_REFUSED");

    let challenge = world.challenge(email).await;
    let role = daybook::grpc::proto::auth::SetUserRoleRequest {
        name: person.user.name.clone(),
        role: Role::Provider.into(),
        ..Default::default()
    };
    world.auth().set_user_role(admin.asks(role)).await.unwrap();
    refused(world.recover(&challenge, &codes[0]).await, "CHALLENGE_REFUSED");

    // Without the second factor the log-in begins anew, and not by the challenge.
    let challenge = world.challenge(email).await;
    let begun = world.recover(&challenge, next.next().unwrap()).await.unwrap();
    let challenge = world.challenge(email).await;
    let request = DisableTotpRequest {
        current_password: PASSWORD.to_owned(),
        code: next.next().unwrap().clone(),
        ..Default::default()
    };
    let request = with_token(request, &begun.access_token);
    world.second_factor().disable_totp(request).await.unwrap();
    refused(world.recover(&challenge, next.next().unwrap()).await, "CHALLENGE_REFUSED");
    refused(world.complete(&challenge, &world.code(&app)).await, "CHALLENGE_REFUSED");
    assert!(world.first_step(email, "").await.second_step.is_none());
}

async fn whoever_lacks_the_password_learns_nothing_of_the_second_factor(world: World) {
    let (with, without) = (world.customer().await, world.customer().await);
    world.turn_on(&with).await;
    let mut answers = Vec::new();
    for email in [&*with.user.email, &*without.user.email, "nobody@example.org"] {
        let request = LogInRequest {
            email: email.to_owned(),
            password: "not the password".to_owned(),
            ..Default::default()
        };
        let status = refused(world.auth().log_in(request).await, "LOG_IN_FAILED");
        answers.push((status.code(), status.message().to_owned(), status.details().to_vec()));
    }
    assert!(answers.windows(2).all(|pair| pair[0] == pair[1]), "{answers:?}");
}

async fn the_second_step_tells_what_is_wrong_with_its_fields(world: World) {
    let complete = async |challenge: &str, code: &str, recovery: &str| {
        let request = CompleteLogInRequest {
            challenge: challenge.to_owned(),
            code: code.to_owned(),
            recovery_code: recovery.to_owned(),
        };
        world.auth().complete_log_in(request).await
    };
    invalid(complete("", "", "").await, &["challenge", "code"]);
    invalid(complete("x", "", "").await, &["code"]);
    invalid(complete("x", "123456", "0000-0000-0000").await, &["code"]);
    for bad in ["12345", "1234567", "12345x", " 12345", "0000-0000-0000"] {
        invalid(complete("x", bad, "").await, &["code"]);
    }
    for bad in ["123456", "0000-0000-000", "UUUU-UUUU-UUUU", "\u{0}"] {
        invalid(complete("x", "", bad).await, &["recovery_code"]);
    }
}

async fn a_second_factor_outlives_the_master_key_that_sealed_it(world: World) {
    let person = world.customer().await;
    let email = person.user.email.as_str();
    let (app, codes) = world.turn_on(&person).await;
    let old = fs::read_to_string(world.master_key_file()).unwrap();
    let old = old.lines().last().unwrap();
    let new = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("master-key");
    fs::write(&path, format!("{new}\n{old}\n")).unwrap();
    let settings = [("auth.master_key_file", path.to_str().unwrap())];
    let both = world.beside_with(&settings).await;
    // The id of the line that sealed the secret.
    let sealed_by = async || match world.engine {
        Engine::Sqlite => world.text("SELECT substr(hex(secret), 3, 16) FROM second_factors").await,
        Engine::Postgres => {
            let sql = "SELECT upper(substr(encode(secret, 'hex'), 3, 16)) FROM second_factors";
            world.text(sql).await
        }
    };
    let before = sealed_by().await;
    // A log-in that began before goes on, and a recovery code from before is known.
    let challenge = world.challenge(email).await;
    both.recover(&challenge, &codes[0]).await.unwrap();
    assert_eq!(sealed_by().await, before);
    // A right code seals the secret anew, and the app goes on.
    both.log_in_with(email, &both.code(&app)).await.unwrap();
    assert_ne!(sealed_by().await, before);
    both.forward(TimeDelta::seconds(30));
    both.log_in_with(email, &both.code(&app)).await.unwrap();
}
