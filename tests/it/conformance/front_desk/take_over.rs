//! Taking over an account that staff made: by an invitation, or by asking for a new password.

use chrono::TimeDelta;
use daybook::grpc::proto::{
    auth::{
        CreateUserRequest, DisableUserRequest, EnrolCustomerRequest, ListAuditEventsRequest,
        RequestPasswordResetRequest, Role, audit_event::Kind,
    },
    booking::{BookAppointmentRequest, ListAppointmentsRequest},
};
use futures_util::future::join_all;

use super::{
    INVITATION, NEW_PASSWORD, PHONE, caller, desk, enrol, enrolment, get, invite, log_in, reset,
    taken_over,
};
use crate::{
    conformance::behaviours,
    support::{
        World, berlin,
        people::{PASSWORD, Person, uuid},
        refusal::{reason_of, refused},
    },
};

behaviours!(
    nobody_logs_in_without_a_password,
    an_invitation_takes_the_account_over_with_all_that_was_booked,
    who_asks_for_a_new_password_takes_the_account_over,
    only_the_newest_invitation_is_good_and_for_a_week,
    an_invitation_ends_with_the_take_over,
    who_cannot_be_invited_is_told_why,
    an_enrolment_invites_where_that_is_asked_for,
    nobodys_mailbox_is_filled_with_invitations,
);

async fn forgotten(world: &World, email: &str) {
    let request = RequestPasswordResetRequest { email: email.to_owned(), request_id: uuid() };
    world.email().request_password_reset(request).await.unwrap();
}

async fn nobody_logs_in_without_a_password(world: World) {
    let admin = world.admin().await;
    enrol(&world, &admin, caller("Kim", "kim@example.org", PHONE)).await.unwrap();
    let unknown = log_in(&world, "nobody@example.org", PASSWORD).await.unwrap_err();
    for password in [PASSWORD, " ", "kim@example.org", PHONE] {
        let status = refused(log_in(&world, "kim@example.org", password).await, "LOG_IN_FAILED");
        assert_eq!(status.message(), unknown.message());
    }
    // What stands in the place of an address logs nobody in.
    let kim = enrol(&world, &admin, caller("Kim", "", PHONE)).await.unwrap();
    let id = kim.name.trim_start_matches("users/");
    for email in [&format!("none {id}"), id, PHONE] {
        refused(log_in(&world, email, PASSWORD).await, "INVALID_FIELDS");
    }
}

async fn an_invitation_takes_the_account_over_with_all_that_was_booked(world: World) {
    let (admin, provider) = (world.admin().await, world.provider().await);
    let (world, mail) = world.mailing(&[]).await;
    let kim = enrol(&world, &provider, caller("Kim", "kim@example.org", PHONE)).await.unwrap();
    let request = BookAppointmentRequest {
        provider: provider.provider(),
        customer: kim.name.clone(),
        start_time: Some(berlin("2026-11-23 09:00")),
        end_time: Some(berlin("2026-11-23 09:30")),
        ..Default::default()
    };
    let booked = world.send(&provider, request).await.unwrap();
    invite(&world, &provider, &kim.name).await.unwrap();
    let letter = mail.letter("kim@example.org").await;
    assert!(letter.subject.starts_with(INVITATION), "{}", letter.subject);
    assert!(!letter.raw.contains("Kim"), "what staff typed goes to nobody who is not known");
    let kind = Kind::CustomerInvited.into();
    let request = ListAuditEventsRequest { kind, ..Default::default() };
    let trail = world.auth().list_audit_events(admin.asks(request)).await.unwrap().into_inner();
    assert_eq!(
        (&trail.audit_events[0].user, &trail.audit_events[0].actor),
        (&kim.name, &provider.user.name)
    );

    reset(&world, &letter.code()).await.unwrap();
    let owner = taken_over(&world, "kim@example.org").await;
    assert_eq!((&owner.user.name, &*owner.user.phone), (&kim.name, PHONE));
    assert!(owner.user.email_verified, "who has the code reads what goes to the address");
    let list = owner.asks(ListAppointmentsRequest::default());
    let list = world.booking().list_appointments(list).await.unwrap().into_inner().appointments;
    assert_eq!(list.iter().map(|each| &each.name).collect::<Vec<_>>(), [&booked.name]);
    assert!(get(&world, &admin, &kim.name).await.unwrap().password_set);
    world.cancel(&owner, &booked.name).await.unwrap();
}

async fn who_asks_for_a_new_password_takes_the_account_over(world: World) {
    let admin = world.admin().await;
    let (world, mail) = world.mailing(&[("auth.verify_email", "true")]).await;
    let kim = enrol(&world, &admin, caller("Kim", "kim@example.org", "")).await.unwrap();
    forgotten(&world, "kim@example.org").await;
    let letter = mail.letter("kim@example.org").await;
    assert!(!letter.raw.contains("Kim"));
    reset(&world, &letter.code()).await.unwrap();
    assert_eq!(taken_over(&world, "kim@example.org").await.user.name, kim.name);
}

async fn only_the_newest_invitation_is_good_and_for_a_week(world: World) {
    let admin = world.admin().await;
    let (world, mail) = world.mailing(&[]).await;
    let beside = world.mailing_to(&mail, &[]).await;
    let kim = enrol(&world, &admin, caller("Kim", "kim@example.org", "")).await.unwrap();
    let mut codes = Vec::new();
    for number in 1..=3 {
        invite(&world, &admin, &kim.name).await.unwrap();
        codes.push(mail.nth(number, "kim@example.org").await.code());
        // One that was just sent would be sent again once the clock has moved on.
        world.nothing_waits().await;
        world.forward(TimeDelta::hours(1));
    }
    for code in &codes[..2] {
        refused(reset(&world, code).await, "CODE_REFUSED");
    }
    world.forward(TimeDelta::days(7) - TimeDelta::hours(1));
    refused(reset(&world, &codes[2]).await, "CODE_REFUSED");
    let admin = world.log_in(&admin.user.email).await;
    invite(&world, &admin, &kim.name).await.unwrap();
    let code = mail.nth(4, "kim@example.org").await.code();
    world.nothing_waits().await;
    beside.clock.set(world.clock.now());
    // Six days and some hours later it is still good, once.
    for world in [&world, &beside] {
        world.forward(TimeDelta::days(7) - TimeDelta::seconds(1));
    }
    let uses = (0..8).map(|number| reset(if number % 2 == 0 { &world } else { &beside }, &code));
    let done = join_all(uses).await;
    assert_eq!(done.iter().filter(|done| done.is_ok()).count(), 1, "{done:?}");
}

async fn an_invitation_ends_with_the_take_over(world: World) {
    let admin = world.admin().await;
    let (world, mail) = world.mailing(&[]).await;
    let kim = enrol(&world, &admin, caller("Kim", "kim@example.org", "")).await.unwrap();
    invite(&world, &admin, &kim.name).await.unwrap();
    let invitation = mail.about("kim@example.org", INVITATION).await.code();
    forgotten(&world, "kim@example.org").await;
    let code = mail.about("kim@example.org", "Set a new password").await.code();
    reset(&world, &code).await.unwrap();
    // Whoever else has a letter changes nothing any more.
    refused(reset(&world, &invitation).await, "CODE_REFUSED");
    refused(invite(&world, &admin, &kim.name).await, "WRONG_STATE");
    log_in(&world, "kim@example.org", NEW_PASSWORD).await.unwrap();
}

async fn who_cannot_be_invited_is_told_why(world: World) {
    let (admin, customer) = (world.admin().await, world.customer().await);
    let kim = enrol(&world, &admin, caller("Kim", "kim@example.org", "")).await.unwrap();
    refused(invite(&world, &admin, &kim.name).await, "MAIL_OFF");
    let (world, mail) = world.mailing(&[]).await;
    let by_phone = enrol(&world, &admin, caller("Kim", "", PHONE)).await.unwrap();
    let request = DisableUserRequest { name: kim.name.clone(), ..Default::default() };
    world.auth().disable_user(admin.asks(request)).await.unwrap();
    let before = world.state().await;
    for (name, word) in
        [(&kim.name, "disabled"), (&by_phone.name, "address"), (&customer.user.name, "password")]
    {
        let status = refused(invite(&world, &admin, name).await, "WRONG_STATE");
        assert!(status.message().contains(word), "{}", status.message());
    }
    let absent = "users/01980000-0000-7000-8000-000000000000";
    refused(invite(&world, &admin, absent).await, "NOT_FOUND");
    refused(invite(&world, &admin, "x").await, "INVALID_FIELDS");
    assert_eq!(world.state().await, before);
    world.nothing_waits().await;
    assert!(mail.all().is_empty());
}

async fn an_enrolment_invites_where_that_is_asked_for(world: World) {
    let admin = world.admin().await;
    let (world, mail) = world.mailing(&[]).await;
    let quiet = enrol(&world, &admin, caller("Kim", "quiet@example.org", "")).await.unwrap();
    let request =
        EnrolCustomerRequest { invite: true, ..enrolment(caller("Kim", "kim@example.org", "")) };
    for _ in 0..2 {
        // The retry invites nobody once more.
        desk(&world).enrol_customer(admin.asks(request.clone())).await.unwrap();
    }
    let request = CreateUserRequest {
        display_name: "Dr. New".to_owned(),
        email: "new@example.org".to_owned(),
        role: Role::Provider.into(),
        invite: true,
        ..Default::default()
    };
    world.auth().create_user(admin.asks(request)).await.unwrap();
    for email in ["kim@example.org", "new@example.org"] {
        reset(&world, &mail.letter(email).await.code()).await.unwrap();
        taken_over(&world, email).await;
    }
    world.nothing_waits().await;
    let invitations = mail.all().into_iter().filter(|l| l.subject.starts_with(INVITATION)).count();
    assert_eq!(invitations, 2);
    assert!(mail.all().iter().all(|letter| letter.to != quiet.email));
}

async fn nobodys_mailbox_is_filled_with_invitations(world: World) {
    let admin = world.admin().await;
    let (world, mail) = world.mailing(&[]).await;
    let kim = enrol(&world, &admin, caller("Kim", "kim@example.org", "")).await.unwrap();
    let invites = async |by: &Person| invite(&world, by, &kim.name).await;
    let mut sent = 0;
    let refusal = loop {
        match invites(&admin).await {
            Ok(()) => sent += 1,
            Err(status) => break status,
        }
        assert!(sent < 50);
    };
    assert_eq!(reason_of(&refusal), "TOO_MANY_ATTEMPTS");
    world.nothing_waits().await;
    assert_eq!(mail.all().len(), sent);
    // The last one is good: what was refused ended none.
    let code = mail.nth(sent, "kim@example.org").await.code();
    let codes = world.count("SELECT count(*) FROM email_codes").await;
    assert_eq!(codes, 1);
    drop(code);
}
