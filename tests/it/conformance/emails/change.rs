//! Another address.

use chrono::TimeDelta;
use daybook::grpc::proto::auth::{RequestEmailChangeRequest, Role, SignUpRequest};
use tonic::Status;

use super::{NEW_PASSWORD, confirm_change, forgotten, log_in, reset, rows, verify, vouched};
use crate::{
    conformance::behaviours,
    support::{
        World,
        people::{PASSWORD, Person, sign_up},
        refusal::{reason_of, refused},
    },
};

behaviours!(
    the_new_address_confirms_and_the_old_one_is_told,
    a_token_alone_moves_no_account,
    an_address_of_somebody_else_stays_theirs,
    codes_to_the_former_address_end,
    a_code_to_change_ends_after_an_hour,
);

pub(super) async fn ask(
    world: &World,
    person: &Person,
    to: &str,
    password: &str,
) -> Result<(), Status> {
    let request = RequestEmailChangeRequest {
        new_email: to.to_owned(),
        current_password: password.to_owned(),
        ..Default::default()
    };
    world.email().request_email_change(person.asks(request)).await.map(drop)
}

async fn the_new_address_confirms_and_the_old_one_is_told(world: World) {
    let person = world.provider().await;
    let (world, mail) = world.mailing(&[]).await;
    vouched(&world, &person).await;
    ask(&world, &person, "New.Address@Example.org", PASSWORD).await.unwrap();
    let told = mail.letter(&person.user.email).await;
    assert_eq!(told.subject, "Another address for your account at Daybook?");
    assert!(told.body.contains("new.address@example.org"));
    let letter = mail.letter("new.address@example.org").await;
    assert!(!letter.raw.contains(&person.user.display_name), "strangers' words go to nobody");
    // Until then nothing has changed.
    log_in(&world, &person.user.email, PASSWORD).await.unwrap();
    refused(log_in(&world, "new.address@example.org", PASSWORD).await, "LOG_IN_FAILED");
    refused(verify(&world, &letter.code()).await, "CODE_REFUSED");
    refused(reset(&world, &letter.code(), NEW_PASSWORD).await, "CODE_REFUSED");
    let user = confirm_change(&world, &letter.code()).await.unwrap();
    assert_eq!((user.email.as_str(), user.email_verified), ("new.address@example.org", true));
    refused(confirm_change(&world, &letter.code()).await, "CODE_REFUSED");
    log_in(&world, "new.address@example.org", PASSWORD).await.unwrap();
    refused(log_in(&world, &person.user.email, PASSWORD).await, "LOG_IN_FAILED");
    world.nothing_waits().await;
    let all = mail.all();
    let last = all.iter().find(|letter| letter.subject.ends_with("has another address now"));
    assert_eq!(last.unwrap().to, person.user.email);
    // The old one is free for others.
    let request = SignUpRequest { email: person.user.email.clone(), ..sign_up(Role::Customer) };
    world.auth().sign_up(request).await.unwrap();
}

async fn a_token_alone_moves_no_account(world: World) {
    let person = world.customer().await;
    let (world, mail) = world.mailing(&[]).await;
    let before = rows(&world).await;
    for wrong in ["not the password", "Correct horse battery"] {
        let answer = ask(&world, &person, "thief@example.org", wrong).await;
        refused(answer, "CURRENT_PASSWORD_WRONG");
    }
    let without = ask(&world, &person, "thief@example.org", "").await.unwrap_err();
    assert!(
        ["CURRENT_PASSWORD_WRONG", "INVALID_FIELDS"].contains(&&*reason_of(&without)),
        "{without:?}"
    );
    assert_eq!(rows(&world).await, before);
    // Counted, as every guess is.
    for _ in 0..20 {
        drop(ask(&world, &person, "thief@example.org", "not the password").await);
    }
    refused(ask(&world, &person, "thief@example.org", PASSWORD).await, "TOO_MANY_ATTEMPTS");
    world.nothing_waits().await;
    assert!(mail.all().is_empty());
}

async fn an_address_of_somebody_else_stays_theirs(world: World) {
    let (person, owner) = (world.customer().await, world.customer().await);
    let (world, mail) = world.mailing(&[]).await;
    ask(&world, &person, &owner.user.email, PASSWORD).await.unwrap();
    let told = mail.letter(&owner.user.email).await;
    assert!(told.subject.starts_with("Your address was wanted"));
    // Somebody gets it between the code and its return.
    ask(&world, &person, "wanted@example.org", PASSWORD).await.unwrap();
    let letter = mail.letter("wanted@example.org").await;
    let faster = SignUpRequest { email: "wanted@example.org".into(), ..sign_up(Role::Customer) };
    world.auth().sign_up(faster).await.unwrap();
    refused(confirm_change(&world, &letter.code()).await, "CODE_REFUSED");
    log_in(&world, &person.user.email, PASSWORD).await.unwrap();
}

async fn codes_to_the_former_address_end(world: World) {
    let person = world.customer().await;
    let (world, mail) = world.mailing(&[]).await;
    forgotten(&world, &person.user.email).await.unwrap();
    let code = mail.letter(&person.user.email).await.code();
    ask(&world, &person, "newer@example.org", PASSWORD).await.unwrap();
    let change = mail.letter("newer@example.org").await;
    confirm_change(&world, &change.code()).await.unwrap();
    refused(reset(&world, &code, NEW_PASSWORD).await, "CODE_REFUSED");
    log_in(&world, "newer@example.org", PASSWORD).await.unwrap();
}

async fn a_code_to_change_ends_after_an_hour(world: World) {
    let person = world.customer().await;
    let (world, mail) = world.mailing(&[]).await;
    ask(&world, &person, "later@example.org", PASSWORD).await.unwrap();
    let letter = mail.letter("later@example.org").await;
    world.forward(TimeDelta::hours(1));
    refused(confirm_change(&world, &letter.code()).await, "CODE_REFUSED");
}
