//! Signing up with the address of an account that staff made: nothing is told, and the owner is led by mail.

use daybook::grpc::proto::auth::{Role, SignUpRequest, VerifyEmailRequest};

use super::{INVITATION, caller, enrol, get, log_in, reset, taken_over};
use crate::{
    conformance::behaviours,
    support::{
        World,
        people::{PASSWORD, sign_up},
        refusal::refused,
    },
};

behaviours!(
    a_sign_up_does_not_tell_and_leads_to_the_take_over,
    a_sign_up_that_is_refused_leads_there_too,
    a_sign_up_that_waited_takes_the_account_over,
    a_sign_up_that_waited_changes_no_account_with_a_password,
);

const VERIFIED: &[(&str, &str)] = &[("auth.verify_email", "true")];

fn signing_up(email: &str) -> SignUpRequest {
    SignUpRequest { email: email.to_owned(), ..sign_up(Role::Customer) }
}

async fn verify(world: &World, code: &str) -> Result<String, tonic::Status> {
    let request = VerifyEmailRequest {
        code: code.to_owned(),
        password: PASSWORD.to_owned(),
        ..Default::default()
    };
    Ok(world.email().verify_email(request).await?.into_inner().user.unwrap().name)
}

async fn a_sign_up_does_not_tell_and_leads_to_the_take_over(world: World) {
    let admin = world.admin().await;
    let (world, mail) = world.mailing(VERIFIED).await;
    let kim = enrol(&world, &admin, caller("Kim", "kim@example.org", "")).await.unwrap();
    let unknown = world.auth().sign_up(signing_up("nobody@example.org")).await.unwrap();
    let codes = world.count("SELECT count(*) FROM email_codes").await;
    let known = world.auth().sign_up(signing_up("kim@example.org")).await.unwrap();
    assert_eq!(known.into_inner(), unknown.into_inner());
    assert_eq!(world.count("SELECT count(*) FROM email_codes").await, codes + 1);
    let letter = mail.letter("kim@example.org").await;
    assert!(letter.subject.starts_with(INVITATION), "{}", letter.subject);
    // The password of the sign-up is nobody's: whoever signed up may have been anybody.
    refused(verify(&world, &letter.code()).await, "CODE_REFUSED");
    refused(log_in(&world, "kim@example.org", PASSWORD).await, "LOG_IN_FAILED");
    reset(&world, &letter.code()).await.unwrap();
    assert_eq!(taken_over(&world, "kim@example.org").await.user.name, kim.name);
}

async fn a_sign_up_that_is_refused_leads_there_too(world: World) {
    let admin = world.admin().await;
    let (world, mail) = world.mailing(&[]).await;
    let kim = enrol(&world, &admin, caller("Kim", "kim@example.org", "")).await.unwrap();
    // Refused as any address that is taken.
    let taken = world.auth().sign_up(signing_up(&admin.user.email)).await;
    let taken = refused(taken, "EMAIL_TAKEN");
    let status = refused(world.auth().sign_up(signing_up("kim@example.org")).await, "EMAIL_TAKEN");
    assert_eq!((status.message(), status.details()), (taken.message(), taken.details()));
    let letter = mail.about("kim@example.org", INVITATION).await;
    reset(&world, &letter.code()).await.unwrap();
    assert_eq!(taken_over(&world, "kim@example.org").await.user.name, kim.name);
    world.nothing_waits().await;
    assert!(mail.all().iter().all(|letter| letter.to != admin.user.email));
}

async fn a_sign_up_that_waited_takes_the_account_over(world: World) {
    let admin = world.admin().await;
    let (world, mail) = world.mailing(VERIFIED).await;
    world.auth().sign_up(signing_up("kim@example.org")).await.unwrap();
    let code = mail.letter("kim@example.org").await.code();
    let kim = enrol(&world, &admin, caller("Kim", "kim@example.org", "")).await.unwrap();
    assert_eq!(verify(&world, &code).await.unwrap(), kim.name);
    let owner = log_in(&world, "kim@example.org", PASSWORD).await.unwrap().user.unwrap();
    assert_eq!((&owner.name, &*owner.display_name), (&kim.name, "Kim"));
    assert!(owner.email_verified && owner.role() == Role::Customer);
    refused(verify(&world, &code).await, "CODE_REFUSED");
    assert!(get(&world, &admin, &kim.name).await.unwrap().password_set);
}

async fn a_sign_up_that_waited_changes_no_account_with_a_password(world: World) {
    let admin = world.admin().await;
    let (world, mail) = world.mailing(VERIFIED).await;
    world.auth().sign_up(signing_up("kim@example.org")).await.unwrap();
    let code = mail.letter("kim@example.org").await.code();
    let kim = enrol(&world, &admin, caller("Kim", "kim@example.org", "")).await.unwrap();
    super::invite(&world, &admin, &kim.name).await.unwrap();
    reset(&world, &mail.about("kim@example.org", INVITATION).await.code()).await.unwrap();
    refused(verify(&world, &code).await, "CODE_REFUSED");
    refused(log_in(&world, "kim@example.org", PASSWORD).await, "LOG_IN_FAILED");
    taken_over(&world, "kim@example.org").await;
}
