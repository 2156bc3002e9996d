//! A new password by mail.

use chrono::TimeDelta;
use daybook::grpc::proto::auth::{
    AuditEvent, ChangePasswordRequest, DisableUserRequest, GetMeRequest, ListAuditEventsRequest,
    RefreshTokensRequest, RequestPasswordResetRequest, audit_event::Kind,
};
use futures_util::future::join_all;

use super::{NEW_PASSWORD, RESET, confirm_change, forgotten, log_in, reset, rows, verify};
use crate::{
    conformance::behaviours,
    support::{
        World,
        mail_server::Received,
        people::{PASSWORD, uuid, with_token},
        refusal::{fields_of, refused},
    },
};

behaviours!(
    a_new_password_ends_every_log_in,
    asking_does_not_tell_who_has_an_account,
    a_code_is_good_once_and_for_this_alone,
    a_code_ends_after_half_an_hour,
    a_code_ends_with_what_it_was_for,
    a_weak_password_leaves_the_code_good,
    nobodys_mailbox_is_filled,
    without_mail_it_says_so,
);

async fn a_new_password_ends_every_log_in(world: World) {
    let (world, mail) = world.mailing(&[]).await;
    let person = world.customer().await;
    let email = &person.user.email;
    let begun = log_in(&world, email, PASSWORD).await.unwrap();
    forgotten(&world, email).await.unwrap();
    let letter = mail.about(email, RESET).await;
    assert!(letter.raw.contains("Auto-Submitted: auto-generated"));
    reset(&world, &letter.code(), NEW_PASSWORD).await.unwrap();
    for token in [&person.token, &begun.access_token] {
        let answer = world.auth().get_me(with_token(GetMeRequest {}, token)).await;
        refused(answer, "NOT_AUTHENTICATED");
    }
    let refresh = RefreshTokensRequest { refresh_token: begun.refresh_token };
    refused(world.auth().refresh_tokens(refresh).await, "REFRESH_REFUSED");
    refused(log_in(&world, email, PASSWORD).await, "LOG_IN_FAILED");
    let user = log_in(&world, email, NEW_PASSWORD).await.unwrap().user.unwrap();
    assert!(user.email_verified, "who has the code reads what goes to the address");
    world.nothing_waits().await;
    let subjects: Vec<_> = mail.all().into_iter().map(|letter| letter.subject).collect();
    assert!(subjects.contains(&"Your password at Daybook was changed".to_owned()), "{subjects:?}");
}

async fn asking_does_not_tell_who_has_an_account(world: World) {
    let (admin, known, disabled) =
        (world.admin().await, world.customer().await, world.customer().await);
    let request =
        DisableUserRequest { name: disabled.user.name.clone(), ..DisableUserRequest::default() };
    world.auth().disable_user(admin.asks(request)).await.unwrap();
    let (world, mail) = world.mailing(&[]).await;
    let mut answers = Vec::new();
    for email in ["nobody@example.org", &disabled.user.email, &known.user.email] {
        let codes = world.count("SELECT count(*) FROM email_codes").await;
        let lines = world.count("SELECT count(*) FROM audit_events").await;
        world.forward(TimeDelta::seconds(1));
        let request = RequestPasswordResetRequest { email: email.to_owned(), request_id: uuid() };
        let answer = world.email().request_password_reset(request).await.unwrap();
        let names: Vec<String> = answer.metadata().keys().map(|name| format!("{name:?}")).collect();
        answers.push((format!("{:?}", answer.get_ref()), names));
        assert_eq!(world.count("SELECT count(*) FROM email_codes").await, codes + 1, "{email}");
        assert_eq!(world.count("SELECT count(*) FROM audit_events").await, lines + 1, "{email}");
    }
    assert!(answers.iter().all(|answer| *answer == answers[0]), "{answers:?}");
    let kind = Kind::PasswordResetRequested.into();
    let request = admin.asks(ListAuditEventsRequest { kind, ..Default::default() });
    let told = world.auth().list_audit_events(request).await.unwrap().into_inner().audit_events;
    let of: Vec<_> = told.iter().rev().map(|event| event.user.as_str()).collect();
    assert_eq!(of, ["", &disabled.user.name, &known.user.name]);
    let is_whole = |event: &AuditEvent| event.address == "127.0.0.1" && !event.call_id.is_empty();
    assert!(told.iter().all(|event| event.actor.is_empty() && is_whole(event)), "{told:#?}");
    mail.letter(&known.user.email).await;
    world.nothing_waits().await;
    assert_eq!(mail.all().len(), 1);
}

async fn a_code_is_good_once_and_for_this_alone(world: World) {
    let (world, mail) = world.mailing(&[]).await;
    let other = world.mailing_to(&mail, &[]).await;
    let person = world.customer().await;
    forgotten(&world, &person.user.email).await.unwrap();
    forgotten(&world, &person.user.email).await.unwrap();
    // Letters may overtake each other; only the newest code is good, and for this alone.
    mail.nth(3, &person.user.email).await;
    world.nothing_waits().await;
    let letters = mail.all();
    let codes = letters.iter().filter(|letter| letter.subject.contains("new password"));
    let codes: Vec<String> = codes.map(Received::code).collect();
    assert_eq!(codes.len(), 2);
    for code in &codes {
        refused(verify(&world, code).await, "CODE_REFUSED");
        refused(confirm_change(&world, code).await, "CODE_REFUSED");
    }
    // Weak, so that nothing is used up: this tells which of the two is good.
    let mut good = Vec::new();
    for code in &codes {
        let status = reset(&world, code, "password1").await.unwrap_err();
        if fields_of(&status) == ["new_password"] {
            good.push(code.clone());
        }
    }
    assert_eq!(good.len(), 1);
    let uses =
        (0..32).map(|n| reset(if n % 2 == 0 { &world } else { &other }, &good[0], NEW_PASSWORD));
    let done = join_all(uses).await;
    assert_eq!(done.iter().filter(|done| done.is_ok()).count(), 1);
    for code in codes {
        refused(reset(&world, &code, NEW_PASSWORD).await, "CODE_REFUSED");
    }
}

async fn a_code_ends_after_half_an_hour(world: World) {
    let (world, mail) = world.mailing(&[]).await;
    let (one, other) = (world.customer().await, world.customer().await);
    forgotten(&world, &one.user.email).await.unwrap();
    forgotten(&world, &other.user.email).await.unwrap();
    let first = mail.about(&one.user.email, RESET).await;
    let second = mail.about(&other.user.email, RESET).await;
    world.forward(TimeDelta::minutes(30) - TimeDelta::microseconds(1));
    reset(&world, &first.code(), NEW_PASSWORD).await.unwrap();
    world.forward(TimeDelta::microseconds(1));
    let before = rows(&world).await;
    refused(reset(&world, &second.code(), NEW_PASSWORD).await, "CODE_REFUSED");
    assert_eq!(rows(&world).await, before);
}

async fn a_code_ends_with_what_it_was_for(world: World) {
    let admin = world.admin().await;
    let (world, mail) = world.mailing(&[]).await;
    // A password that was changed in the meantime, or an account that was shut out, ends it.
    let (one, other) = (world.customer().await, world.customer().await);
    for person in [&one, &other] {
        forgotten(&world, &person.user.email).await.unwrap();
    }
    let request = ChangePasswordRequest {
        current_password: PASSWORD.to_owned(),
        new_password: "quite another thing".to_owned(),
        ..Default::default()
    };
    let first = mail.about(&one.user.email, RESET).await;
    world.auth().change_password(one.asks(request)).await.unwrap();
    refused(reset(&world, &first.code(), NEW_PASSWORD).await, "CODE_REFUSED");
    let request =
        DisableUserRequest { name: other.user.name.clone(), ..DisableUserRequest::default() };
    world.auth().disable_user(admin.asks(request)).await.unwrap();
    let second = mail.about(&other.user.email, RESET).await;
    refused(reset(&world, &second.code(), NEW_PASSWORD).await, "CODE_REFUSED");
}

async fn a_weak_password_leaves_the_code_good(world: World) {
    let (world, mail) = world.mailing(&[]).await;
    let person = world.customer().await;
    forgotten(&world, &person.user.email).await.unwrap();
    let code = mail.about(&person.user.email, RESET).await.code();
    for weak in ["password1", &person.user.email.clone(), "short"] {
        let status = reset(&world, &code, weak).await.unwrap_err();
        assert_eq!(fields_of(&status), ["new_password"], "{weak}");
    }
    log_in(&world, &person.user.email, PASSWORD).await.unwrap();
    reset(&world, &code, NEW_PASSWORD).await.unwrap();
}

async fn nobodys_mailbox_is_filled(world: World) {
    let person = world.customer().await;
    let (world, mail) = world.mailing(&[]).await;
    for _ in 0..20 {
        forgotten(&world, &person.user.email).await.unwrap();
    }
    world.nothing_waits().await;
    assert_eq!(mail.all().len(), 5);
    // And others get theirs.
    let other = world.customer().await;
    mail.letter(&other.user.email).await;
    // Later there is more.
    world.forward(TimeDelta::hours(3));
    forgotten(&world, &person.user.email).await.unwrap();
    mail.nth(6, &person.user.email).await;
}

async fn without_mail_it_says_so(world: World) {
    let person = world.customer().await;
    refused(forgotten(&world, &person.user.email).await, "MAIL_OFF");
    refused(forgotten(&world, "nobody@example.org").await, "MAIL_OFF");
    assert_eq!(world.count("SELECT count(*) FROM letters").await, 0);
}
