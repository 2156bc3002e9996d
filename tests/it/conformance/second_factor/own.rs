//! One's own second factor: enrolling, replacing, taking off; and what admins do about it.

use std::collections::BTreeSet;

use chrono::TimeDelta;
use daybook::{
    accounts::second_factor::store::{NeverOn, Unconfirmed},
    grpc::proto::auth::{
        DisableTotpRequest, EnrolTotpRequest, GetUserRequest, RegenerateRecoveryCodesRequest,
        ResetSecondFactorRequest, TotpSecret, audit_event::Kind, second_factor::State,
    },
    storage::{Deadline, cleanup::DeleteExpired},
};
use tonic::Status;

use super::{refreshes, trail, works};
use crate::{
    conformance::behaviours,
    support::{
        World,
        dump::{digits, dump},
        people::{PASSWORD, Person, uuid},
        refusal::{invalid, refused},
        totp::App,
    },
};

behaviours!(
    an_enrolment_changes_nothing_until_it_is_confirmed,
    an_enrolment_waits_for_thirty_minutes,
    enrolments_that_were_not_confirmed_are_forgotten,
    another_app_takes_the_place_of_the_first_one,
    recovery_codes_are_made_anew_with_password_and_code,
    a_second_factor_is_taken_off_with_password_and_code,
    an_admin_resets_it_for_somebody_else,
    fields_are_told_and_states_are_kept,
    nothing_that_is_stored_is_a_secret,
);

const WRONG: &str = "not the password";

async fn enrol(
    world: &World,
    person: &Person,
    password: &str,
    code: &str,
) -> Result<TotpSecret, Status> {
    let (current_password, code) = (password.to_owned(), code.to_owned());
    let request = person.asks(EnrolTotpRequest { current_password, code });
    Ok(world.second_factor().enrol_totp(request).await?.into_inner().totp.unwrap())
}

async fn regenerate(
    world: &World,
    person: &Person,
    password: &str,
    code: &str,
) -> Result<Vec<String>, Status> {
    let (current_password, code) = (password.to_owned(), code.to_owned());
    let request = person.asks(RegenerateRecoveryCodesRequest { current_password, code });
    let answer = world.second_factor().regenerate_recovery_codes(request).await?;
    Ok(answer.into_inner().recovery_codes)
}

async fn disable(
    world: &World,
    person: &Person,
    (password, code): (&str, &str),
    request_id: &str,
) -> Result<(), Status> {
    let request = DisableTotpRequest {
        current_password: password.to_owned(),
        code: code.to_owned(),
        request_id: request_id.to_owned(),
    };
    world.second_factor().disable_totp(person.asks(request)).await.map(drop)
}

async fn an_enrolment_changes_nothing_until_it_is_confirmed(world: World) {
    let admin = world.admin().await;
    let person = world.customer().await;
    let email = person.user.email.as_str();
    let elsewhere = world.first_step(email, "").await;
    let none = world.has(&person).await;
    assert_eq!((none.state(), none.enable_time, none.required), (State::None, None, false));
    refused(world.confirm(&person, "123456").await, "WRONG_STATE");
    refused(enrol(&world, &person, WRONG, "").await, "CURRENT_PASSWORD_WRONG");

    let first = enrol(&world, &person, PASSWORD, "").await.unwrap();
    assert_eq!(first.secret.len(), 32);
    let uri = format!("otpauth://totp/Daybook:{}?", email.replace('@', "%40"));
    assert!(first.uri.starts_with(&uri), "{}", first.uri);
    assert!(first.uri.contains(&format!("secret={}", first.secret)), "{}", first.uri);
    assert!(first.uri.contains("issuer=Daybook"), "{}", first.uri);
    assert_eq!(world.has(&person).await.state(), State::Pending);
    assert!(world.first_step(email, "").await.second_step.is_none());
    // A later one takes its place.
    let first = App::of(&first);
    let app = world.enrol(&person).await;
    assert_ne!(first.secret(), app.secret());
    refused(world.confirm(&person, &world.code(&first)).await, "CODE_WRONG");
    let codes = world.confirm(&person, &world.code(&app)).await.unwrap();
    assert_eq!(codes.iter().collect::<BTreeSet<_>>().len(), 10);
    for code in &codes {
        let groups: Vec<_> = code.split('-').collect();
        assert!(groups.len() == 3 && groups.iter().all(|group| group.len() == 4), "{code}");
        assert!(!code.contains(['I', 'L', 'O', 'U']), "{code}");
    }
    let on = world.has(&person).await;
    assert_eq!((on.state(), on.recovery_codes_left), (State::On, 10));
    assert_eq!(on.enable_time.unwrap().seconds, world.clock.now().timestamp());
    // It was done from here, and everybody else has to log in again.
    assert!(works(&world, &person.token).await);
    assert!(!works(&world, &elsewhere.access_token).await);
    assert!(!refreshes(&world, &elsewhere.refresh_token).await);
    refused(world.confirm(&person, &world.code(&app)).await, "WRONG_STATE");
    let found = trail(&world, &admin, &person.user.name, Kind::SecondFactorEnabled).await;
    assert_eq!((found.len(), &found[0].actor), (1, &person.user.name));
    let events = "SELECT count(*) FROM user_events WHERE kind = 'second_factor_enabled'";
    assert_eq!(world.count(events).await, 1);
}

async fn an_enrolment_waits_for_thirty_minutes(world: World) {
    let (new, has) = (world.customer().await, world.customer().await);
    let micro = TimeDelta::microseconds(1);
    let (old, codes) = world.turn_on(&has).await;
    let first = world.enrol(&new).await;
    let other = App::of(&enrol(&world, &has, PASSWORD, &codes[0]).await.unwrap());
    let log_in = async |person: &Person, code: &str| {
        let begun = world.first_step(&person.user.email, "").await;
        match begun.second_step {
            None => Person { token: begun.access_token, ..person.clone() },
            Some(step) => {
                let begun = world.recover(&step.challenge, code).await.unwrap();
                Person { token: begun.access_token, ..person.clone() }
            }
        }
    };
    world.forward(TimeDelta::minutes(30) - micro);
    let (new, has) = (log_in(&new, "").await, log_in(&has, &codes[1]).await);
    assert_eq!(world.has(&new).await.state(), State::Pending);
    assert!(world.has(&has).await.replacement_pending);
    world.forward(micro);
    assert_eq!(world.has(&new).await.state(), State::None);
    assert!(!world.has(&has).await.replacement_pending);
    for (person, app) in [(&new, &first), (&has, &other)] {
        refused(world.confirm(person, &world.code(app)).await, "WRONG_STATE");
    }
    // One that is begun anew waits from then on, up to the last microsecond.
    let app = world.enrol(&new).await;
    world.forward(TimeDelta::minutes(30) - micro);
    let new = log_in(&new, "").await;
    world.confirm(&new, &world.code(&app)).await.unwrap();
    // What was on stays on.
    world.log_in_with(&has.user.email, &world.code(&old)).await.unwrap();
}

async fn enrolments_that_were_not_confirmed_are_forgotten(world: World) {
    let (never, on) = (world.customer().await, world.customer().await);
    let (app, codes) = world.turn_on(&on).await;
    world.enrol(&never).await;
    enrol(&world, &on, PASSWORD, &codes[0]).await.unwrap();
    let begun = world.clock.now();
    let store = world.store().await;
    let forget = async |now| {
        let deadline = Deadline::after(std::time::Duration::from_secs(30));
        store.run(deadline, DeleteExpired::<NeverOn>::at(now)).await.unwrap()
            + store.run(deadline, DeleteExpired::<Unconfirmed>::at(now)).await.unwrap()
    };
    // Ten minutes more, for calls that are under way.
    let end = begun + TimeDelta::minutes(40);
    assert_eq!(forget(end - TimeDelta::microseconds(1)).await, 0);
    let rows = "SELECT count(*) FROM second_factors";
    let pending = "SELECT count(*) FROM second_factors WHERE pending_secret IS NOT NULL";
    assert_eq!((world.count(rows).await, world.count(pending).await), (2, 2));
    assert_eq!(forget(end).await, 2);
    assert_eq!((world.count(rows).await, world.count(pending).await), (1, 0));
    assert_eq!(forget(end).await, 0);
    world.log_in_with(&on.user.email, &world.code(&app)).await.unwrap();
}

async fn another_app_takes_the_place_of_the_first_one(world: World) {
    let person = world.customer().await;
    let email = person.user.email.as_str();
    let (old, codes) = world.turn_on(&person).await;
    // The password alone is not enough for it.
    refused(enrol(&world, &person, PASSWORD, "").await, "CODE_WRONG");
    let wrong = old.wrong(world.clock.now()).next().unwrap();
    refused(enrol(&world, &person, PASSWORD, &wrong).await, "CODE_WRONG");
    assert!(!world.has(&person).await.replacement_pending);
    let new = App::of(&enrol(&world, &person, PASSWORD, &codes[0]).await.unwrap());
    let has = world.has(&person).await;
    assert!(has.replacement_pending && has.state() == State::On);
    assert_eq!(has.recovery_codes_left, 9);
    // Until it is confirmed, the old one is in force and the new one is not.
    refused(world.log_in_with(email, &world.code(&new)).await, "CODE_WRONG");
    world.log_in_with(email, &world.code(&old)).await.unwrap();
    world.confirm(&person, &world.code(&new)).await.unwrap();
    world.forward(TimeDelta::seconds(30));
    refused(world.log_in_with(email, &world.code(&old)).await, "CODE_WRONG");
    world.log_in_with(email, &world.code(&new)).await.unwrap();
    let challenge = world.challenge(email).await;
    refused(world.recover(&challenge, &codes[1]).await, "CODE_WRONG");
}

async fn recovery_codes_are_made_anew_with_password_and_code(world: World) {
    let admin = world.admin().await;
    let person = world.customer().await;
    let email = person.user.email.as_str();
    refused(regenerate(&world, &person, PASSWORD, "123456").await, "WRONG_STATE");
    let (app, old) = world.turn_on(&person).await;
    let code = world.code(&app);
    refused(regenerate(&world, &person, WRONG, &code).await, "CURRENT_PASSWORD_WRONG");
    let wrong = app.wrong(world.clock.now()).next().unwrap();
    refused(regenerate(&world, &person, PASSWORD, &wrong).await, "CODE_WRONG");
    let challenge = world.challenge(email).await;
    let new = regenerate(&world, &person, PASSWORD, &code).await.unwrap();
    refused(regenerate(&world, &person, PASSWORD, &code).await, "CODE_WRONG");
    assert!(new.len() == 10 && new.iter().all(|code| !old.contains(code)));
    // The factor is the same, so log-ins under way go on; but not with an old code.
    refused(world.recover(&challenge, &old[0]).await, "CODE_WRONG");
    world.recover(&challenge, &new[0]).await.unwrap();
    assert!(works(&world, &person.token).await);
    let found = trail(&world, &admin, &person.user.name, Kind::RecoveryCodesRegenerated).await;
    assert_eq!(found.len(), 1);
}

async fn a_second_factor_is_taken_off_with_password_and_code(world: World) {
    let admin = world.admin().await;
    let person = world.customer().await;
    let email = person.user.email.as_str();
    refused(disable(&world, &person, (PASSWORD, "123456"), "").await, "WRONG_STATE");
    let (app, _) = world.turn_on(&person).await;
    let challenge = world.challenge(email).await;
    let elsewhere = world.complete(&challenge, &world.code(&app)).await.unwrap();
    world.forward(TimeDelta::seconds(30));
    let code = world.code(&app);
    refused(disable(&world, &person, (WRONG, &code), "").await, "CURRENT_PASSWORD_WRONG");
    let wrong = app.wrong(world.clock.now()).next().unwrap();
    refused(disable(&world, &person, (PASSWORD, &wrong), "").await, "CODE_WRONG");
    assert_eq!(world.has(&person).await.state(), State::On);
    assert!(works(&world, &elsewhere.access_token).await);
    // A wrong password did not use up the code.
    let id = uuid();
    disable(&world, &person, (PASSWORD, &code), &id).await.unwrap();
    disable(&world, &person, (PASSWORD, &code), &id).await.unwrap();
    refused(disable(&world, &person, (PASSWORD, &wrong), &id).await, "REQUEST_ID_REUSED");
    let has = world.has(&person).await;
    assert_eq!((has.state(), has.recovery_codes_left), (State::None, 0));
    assert!(works(&world, &person.token).await);
    assert!(!works(&world, &elsewhere.access_token).await);
    assert!(!refreshes(&world, &elsewhere.refresh_token).await);
    assert!(world.first_step(email, "").await.second_step.is_none());
    for table in ["second_factors", "recovery_codes"] {
        assert_eq!(world.count(&format!("SELECT count(*) FROM {table}")).await, 0);
    }
    let found = trail(&world, &admin, &person.user.name, Kind::SecondFactorDisabled).await;
    assert_eq!((found.len(), &found[0].actor), (1, &person.user.name));
}

async fn an_admin_resets_it_for_somebody_else(world: World) {
    let (admin, other) = (world.admin().await, world.customer().await);
    let person = world.customer().await;
    let email = person.user.email.as_str();
    let (app, codes) = world.turn_on(&person).await;
    let challenge = world.challenge(email).await;
    let begun = world.complete(&challenge, &world.code(&app)).await.unwrap();
    let challenge = world.challenge(email).await;
    let reset = async |by: &Person, of: &Person, etag: &str, id: &str| {
        let request = ResetSecondFactorRequest {
            name: of.user.name.clone(),
            etag: etag.to_owned(),
            request_id: id.to_owned(),
        };
        world.second_factor().reset_second_factor(by.asks(request)).await
    };
    refused(reset(&other, &person, "", "").await, "ROLE_NOT_ALLOWED");
    refused(reset(&person, &person, "", "").await, "ROLE_NOT_ALLOWED");
    refused(reset(&admin, &admin, "", "").await, "OWN_ACCOUNT");
    // What was seen before the second factor came is out of date.
    refused(reset(&admin, &person, &person.user.etag, "").await, "ETAG_STALE");
    assert!(works(&world, &begun.access_token).await);

    let request = GetUserRequest { name: person.user.name.clone() };
    let seen = world.auth().get_user(admin.asks(request)).await.unwrap().into_inner().user.unwrap();
    let id = uuid();
    let answer = reset(&admin, &person, &seen.etag, &id).await.unwrap().into_inner().user.unwrap();
    assert_ne!(answer.etag, seen.etag);
    let again = reset(&admin, &person, &seen.etag, &id).await.unwrap().into_inner().user;
    assert_eq!(again, Some(answer));
    for token in [&person.token, &begun.access_token] {
        assert!(!works(&world, token).await);
    }
    assert!(!refreshes(&world, &begun.refresh_token).await);
    refused(world.recover(&challenge, &codes[0]).await, "CHALLENGE_REFUSED");
    let person = world.log_in(email).await;
    assert_eq!(world.has(&person).await.state(), State::None);
    // Where there is none, nothing is done, and nobody's session ends.
    reset(&admin, &person, "", "").await.unwrap();
    assert!(works(&world, &person.token).await);
    let found = trail(&world, &admin, &person.user.name, Kind::SecondFactorReset).await;
    assert_eq!((found.len(), &found[0].actor), (1, &admin.user.name));
}

async fn fields_are_told_and_states_are_kept(world: World) {
    let person = world.customer().await;
    let admin = world.admin().await;
    let mut service = world.second_factor();
    let request = EnrolTotpRequest { code: "12".to_owned(), ..Default::default() };
    invalid(service.enrol_totp(person.asks(request)).await, &["current_password", "code"]);
    let request = DisableTotpRequest { request_id: "x".to_owned(), ..Default::default() };
    let fields = ["current_password", "code", "request_id"];
    invalid(service.disable_totp(person.asks(request)).await, &fields);
    let request = RegenerateRecoveryCodesRequest::default();
    let answer = service.regenerate_recovery_codes(person.asks(request)).await;
    invalid(answer, &["current_password", "code"]);
    let request = ResetSecondFactorRequest {
        name: "users/me".to_owned(),
        etag: "x".to_owned(),
        request_id: "x".to_owned(),
    };
    let answer = service.reset_second_factor(admin.asks(request)).await;
    invalid(answer, &["name", "etag", "request_id"]);
    for bad in ["", "12345", "0000-0000-0000"] {
        let request = daybook::grpc::proto::auth::ConfirmTotpRequest { code: bad.to_owned() };
        invalid(service.confirm_totp(person.asks(request)).await, &["code"]);
    }
    assert_eq!(world.count("SELECT count(*) FROM second_factors").await, 0);
}

async fn nothing_that_is_stored_is_a_secret(world: World) {
    let person = world.customer().await;
    let email = person.user.email.as_str();
    let (app, codes) = world.turn_on(&person).await;
    let pending = App::of(&enrol(&world, &person, PASSWORD, &codes[9]).await.unwrap());
    let challenge = world.challenge(email).await;
    let used = world.code(&app);
    world.complete(&challenge, &used).await.unwrap();
    let stored = dump(&world).await;
    // The control: what is not secret is found.
    assert!(stored.contains(&digits(email.as_bytes())));
    let mut secrets = vec![app.secret().to_vec(), pending.secret().to_vec()];
    secrets.push(challenge.as_bytes().to_vec());
    for code in &codes {
        secrets.push(code.as_bytes().to_vec());
        secrets.push(code.replace('-', "").into_bytes());
    }
    for secret in secrets {
        assert!(!stored.contains(&digits(&secret)), "{}", String::from_utf8_lossy(&secret));
    }
    // Nothing of it opens anything in the place of a code or of a challenge.
    for value in stored.lines().filter(|value| !value.is_empty()).collect::<BTreeSet<_>>() {
        refused(world.complete(value, &world.code(&app)).await, "CHALLENGE_REFUSED");
    }
    let hash = stored.lines().filter(|value| value.trim_start_matches("\\x").len() == 64);
    assert!(hash.count() >= 9);
}
