//! Signing up where the address has to be verified.

use chrono::TimeDelta;
use daybook::grpc::proto::{
    auth::{
        DisableUserRequest, GetMeRequest, RequestEmailVerificationRequest, Role, SignUpRequest,
        VerifyEmailRequest,
    },
    booking::ListProvidersRequest,
};
use futures_util::future::{join, join_all};

use super::{
    NEW_PASSWORD, RESET, VERIFIED, confirm_change, forgotten, log_in, reset, verify, verify_with,
    vouched,
};
use crate::{
    conformance::behaviours,
    support::{
        World,
        people::{PASSWORD, sign_up, uuid, with_token},
        refusal::{reason_of, refused},
        rounds,
    },
};

behaviours!(
    the_code_makes_the_account,
    a_sign_up_does_not_tell_who_has_an_account,
    nobody_keeps_an_address_from_its_owner,
    of_many_uses_of_a_code_one_counts,
    a_code_ends_after_a_day,
    an_account_is_verified_later_where_nobody_must,
    accounts_from_before_are_verified_by_a_new_password,
);

async fn the_code_makes_the_account(world: World) {
    let (world, mail) = world.mailing(VERIFIED).await;
    let request = sign_up(Role::Provider);
    let answer = world.auth().sign_up(request.clone()).await.unwrap().into_inner();
    assert!(answer.verification_sent && answer.user.is_none());
    refused(log_in(&world, &request.email, PASSWORD).await, "LOG_IN_FAILED");
    assert_eq!(world.count("SELECT count(*) FROM providers").await, 0, "nobody can book yet");

    let letter = mail.letter(&request.email).await;
    assert_eq!(letter.subject, "Confirm your address for Daybook");
    assert!(!letter.raw.contains(&request.display_name), "strangers' words go to nobody");
    for wrong in ["", "nonsense", &letter.code()[1..], &letter.code().to_lowercase()] {
        let status = verify(&world, wrong).await.unwrap_err();
        assert!(
            ["CODE_REFUSED", "INVALID_FIELDS"].contains(&&*reason_of(&status)),
            "{wrong}: {status:?}"
        );
    }
    // Good for this alone.
    refused(reset(&world, &letter.code(), "a brand new staple").await, "CODE_REFUSED");
    refused(confirm_change(&world, &letter.code()).await, "CODE_REFUSED");
    let user = verify(&world, &letter.code()).await.unwrap();
    assert!(user.email_verified && user.email == request.email && user.role() == Role::Provider);
    assert_eq!(user.time_zone, "Europe/Berlin");
    refused(verify(&world, &letter.code()).await, "CODE_REFUSED");

    let begun = log_in(&world, &request.email, PASSWORD).await.unwrap();
    let ask = with_token(ListProvidersRequest::default(), &begun.access_token);
    let found = world.schedule().list_providers(ask).await.unwrap().into_inner().providers;
    assert_eq!(found.len(), 1);
}

async fn a_sign_up_does_not_tell_who_has_an_account(world: World) {
    let (admin, known, disabled) =
        (world.admin().await, world.customer().await, world.customer().await);
    let request =
        DisableUserRequest { name: disabled.user.name.clone(), ..DisableUserRequest::default() };
    world.auth().disable_user(admin.asks(request)).await.unwrap();
    vouched(&world, &known).await;
    let (world, mail) = world.mailing(VERIFIED).await;
    let (users, state) = ("SELECT count(*) || '/' || sum(version) FROM users", world.state().await);
    let mut answers = Vec::new();
    let mut waiting = Vec::new();
    for (email, purpose, owner) in [
        ("nobody@example.org", "sign_up", None),
        (&*known.user.email, "reset", Some(&known)),
        (&disabled.user.email, "nothing", None),
    ] {
        let before = (world.text(users).await, world.count(CODES).await);
        let request = SignUpRequest { email: email.to_owned(), ..sign_up(Role::Customer) };
        let answer = world.auth().sign_up(request.clone()).await.unwrap();
        answers.push(format!("{:?}", answer.get_ref()));
        // One code each, for that address and of its own purpose, and nothing of an account.
        let after = (world.text(users).await, world.count(CODES).await);
        assert_eq!(after, (before.0, before.1 + 1), "{email}");
        assert_eq!(left_behind(&world, email).await, (purpose.to_owned(), owner.is_some()));
        let detail = world.text(&of(email, "CAST(detail AS TEXT)")).await;
        // What was signed up with waits with the code, and nowhere else; the password as its hash.
        if purpose == "sign_up" {
            let kept: serde_json::Value = serde_json::from_str(&detail).unwrap();
            assert_eq!(kept["display_name"], *request.display_name);
            assert_eq!(
                (&kept["role"], &kept["time_zone"]),
                (&"customer".into(), &"Europe/Berlin".into())
            );
            assert!(kept["password_hash"].as_str().unwrap().starts_with("$argon2id$"), "{kept}");
        }
        assert_eq!(detail.contains(&request.display_name), purpose == "sign_up", "{detail}");
        assert!(!detail.contains(PASSWORD), "{detail}");
        waiting.push(request);
    }
    assert_eq!(answers[0], answers[1]);
    assert_eq!(answers[0], answers[2]);
    let told = mail.letter("nobody@example.org").await;
    assert_eq!(told.subject, "Confirm your address for Daybook");
    assert!(!told.raw.contains(&waiting[0].display_name) && !told.raw.contains(PASSWORD));
    let told = mail.letter(&known.user.email).await;
    assert_eq!(told.subject, "You have an account at Daybook already");
    assert!(!told.raw.contains(&waiting[1].display_name) && !told.raw.contains(PASSWORD));
    world.nothing_waits().await;
    assert_eq!(mail.all().len(), 2, "who is shut out gets none");
    // Retries are kept, and nothing else of what counts.
    let others = |state: &str| state.split("requests ").next().unwrap().to_owned();
    assert_eq!(others(&world.state().await), others(&state));
    // It lets the owner in, and changes nothing else.
    log_in(&world, &known.user.email, PASSWORD).await.unwrap();
    refused(verify(&world, &told.code()).await, "CODE_REFUSED");
    reset(&world, &told.code(), "a brand new staple").await.unwrap();
    log_in(&world, &known.user.email, "a brand new staple").await.unwrap();
}

const CODES: &str = "SELECT count(*) FROM email_codes";

/// Of the codes that went to an address, which is one.
fn of(email: &str, what: &str) -> String {
    format!(
        "SELECT {what} FROM email_codes c LEFT JOIN users u ON u.user_id = c.user_id WHERE c.email = '{email}'"
    )
}

/// The purpose of that code, and whether it is for the account with that address.
async fn left_behind(world: &World, email: &str) -> (String, bool) {
    assert_eq!(world.count(&of(email, "count(*)")).await, 1, "{email}");
    let owner = world.text(&of(email, "coalesce(u.email, 'nobody')")).await;
    assert!([email, "nobody"].contains(&&*owner), "{owner}");
    (world.text(&of(email, "purpose")).await, owner == email)
}

async fn nobody_keeps_an_address_from_its_owner(world: World) {
    let (world, mail) = world.mailing(VERIFIED).await;
    let squatter = SignUpRequest { role: Role::Provider.into(), ..sign_up(Role::Customer) };
    world.auth().sign_up(squatter.clone()).await.unwrap();
    let foreign = mail.letter(&squatter.email).await;
    let owner = SignUpRequest {
        password: "something of the owner".to_owned(),
        role: Role::Customer.into(),
        ..squatter.clone()
    };
    world.auth().sign_up(owner.clone()).await.unwrap();
    let own = mail.nth(2, &owner.email).await;
    // The letters look alike. With the wrong one the owner makes no account, and uses nothing up.
    for (letter, password) in [(&foreign, &owner.password), (&own, &squatter.password)] {
        let answer = verify_with(&world, &letter.code(), password).await;
        refused(answer, "CURRENT_PASSWORD_WRONG");
        refused(verify_with(&world, &letter.code(), "").await, "CURRENT_PASSWORD_WRONG");
    }
    assert_eq!(world.count("SELECT count(*) FROM users").await, 0);
    let user = verify_with(&world, &own.code(), &owner.password).await.unwrap();
    assert_eq!(user.role(), Role::Customer);
    refused(verify_with(&world, &foreign.code(), &squatter.password).await, "CODE_REFUSED");
    log_in(&world, &owner.email, &owner.password).await.unwrap();
    refused(log_in(&world, &owner.email, &squatter.password).await, "LOG_IN_FAILED");
}

async fn of_many_uses_of_a_code_one_counts(world: World) {
    let (world, mail) = world.mailing(VERIFIED).await;
    let other = world.mailing_to(&mail, VERIFIED).await;
    let request = sign_up(Role::Customer);
    world.auth().sign_up(request.clone()).await.unwrap();
    let code = mail.letter(&request.email).await.code();
    let uses = (0..32).map(|n| {
        let world = if n % 2 == 0 { &world } else { &other };
        verify(world, &code)
    });
    let done = join_all(uses).await;
    assert_eq!(done.iter().filter(|done| done.is_ok()).count(), 1);
    for failed in done {
        // Passwords are looked at a few at a time.
        let reason = failed.err().map(|status| reason_of(&status));
        let expected = [None, Some("CODE_REFUSED"), Some("TOO_MANY_ATTEMPTS")];
        assert!(expected.contains(&reason.as_deref()), "{reason:?}");
    }
    assert_eq!(world.count("SELECT count(*) FROM users").await, 1);

    // The same request gets the same answer, also when its twin is under way.
    let request = sign_up(Role::Customer);
    world.auth().sign_up(request.clone()).await.unwrap();
    let code = mail.letter(&request.email).await.code();
    let request_id = uuid();
    let counted = async || world.count("SELECT coalesce(sum(count), 0) FROM attempts").await;
    let before = counted().await;
    let retries = (0..8).map(|_| {
        let request = VerifyEmailRequest {
            code: code.clone(),
            password: PASSWORD.to_owned(),
            request_id: request_id.clone(),
        };
        let mut client = world.email();
        async move { client.verify_email(request).await.unwrap().into_inner().user.unwrap() }
    });
    let answers = join_all(retries).await;
    assert!(answers.iter().all(|answer| *answer == answers[0]));
    assert_eq!(counted().await, before, "each gave its attempts back");

    // Of two codes that went to one address as well.
    for _ in 0..rounds(5, 100) {
        let request = sign_up(Role::Customer);
        world.auth().sign_up(request.clone()).await.unwrap();
        let one = mail.letter(&request.email).await.code();
        world.auth().sign_up(request.clone()).await.unwrap();
        let two = mail.nth(2, &request.email).await.code();
        let done = join(verify(&world, &one), verify(&other, &two)).await;
        let refusal = match done {
            (Ok(_), refusal) | (refusal, Ok(_)) => refusal,
            neither => panic!("{neither:?}"),
        };
        refused(refusal, "CODE_REFUSED");
    }
}

async fn a_code_ends_after_a_day(world: World) {
    let (world, mail) = world.mailing(VERIFIED).await;
    let (one, other) = (sign_up(Role::Customer), sign_up(Role::Customer));
    world.auth().sign_up(one.clone()).await.unwrap();
    world.auth().sign_up(other.clone()).await.unwrap();
    let (first, second) = (mail.letter(&one.email).await, mail.letter(&other.email).await);
    world.forward(TimeDelta::days(1) - TimeDelta::microseconds(1));
    verify(&world, &first.code()).await.unwrap();
    world.forward(TimeDelta::microseconds(1));
    refused(verify(&world, &second.code()).await, "CODE_REFUSED");
}

async fn an_account_is_verified_later_where_nobody_must(world: World) {
    let (world, mail) = world.mailing(&[]).await;
    let person = world.customer().await;
    assert!(!person.user.email_verified);
    let first = mail.letter(&person.user.email).await;
    // Only the newest is good.
    let request = RequestEmailVerificationRequest { request_id: uuid() };
    world.email().request_email_verification(person.asks(request.clone())).await.unwrap();
    world.email().request_email_verification(person.asks(request)).await.unwrap();
    let second = mail.nth(2, &person.user.email).await;
    refused(verify(&world, &first.code()).await, "CODE_REFUSED");
    assert!(verify(&world, &second.code()).await.unwrap().email_verified);
    let me = world.auth().get_me(person.asks(GetMeRequest {})).await.unwrap().into_inner();
    assert!(me.user.unwrap().email_verified);
    // Nothing more to do, and nothing more is sent.
    let request = RequestEmailVerificationRequest::default();
    world.email().request_email_verification(person.asks(request)).await.unwrap();
    world.nothing_waits().await;
    assert_eq!(mail.all().len(), 2);
}

async fn accounts_from_before_are_verified_by_a_new_password(world: World) {
    let (person, admin) = (world.customer().await, world.admin().await);
    let email = &person.user.email;
    let (world, mail) = world.mailing(VERIFIED).await;
    let seen = async |email: &str| {
        let status = log_in(&world, email, PASSWORD).await.unwrap_err();
        (status.code(), status.message().to_owned(), status.details().to_vec())
    };
    assert_eq!(seen(email).await, seen("nobody@example.org").await);
    forgotten(&world, email).await.unwrap();
    let code = mail.about(email, RESET).await.code();
    reset(&world, &code, NEW_PASSWORD).await.unwrap();
    assert!(log_in(&world, email, NEW_PASSWORD).await.unwrap().user.unwrap().email_verified);
    // Whoever runs the server has vouched for the admins.
    log_in(&world, &admin.user.email, PASSWORD).await.unwrap();
}
