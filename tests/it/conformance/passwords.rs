//! Passwords: which are taken, and how they are kept.

use std::fs;

use daybook::grpc::proto::auth::{ChangePasswordRequest, LogInRequest, Role, SignUpRequest};
use tonic::Status;

use super::behaviours;
use crate::support::{
    World,
    people::{PASSWORD, sign_up},
    refusal::{fields_of, invalid, refused},
};

behaviours!(
    what_is_easily_guessed_is_refused,
    a_hash_is_renewed_with_the_pepper_of_the_day,
    every_hash_costs_what_it_should,
);

const HASH: &str = "SELECT password_hash FROM users ORDER BY created_at LIMIT 1";

async fn what_is_easily_guessed_is_refused(world: World) {
    let person = world.customer().await;
    let before = world.state().await;
    let own = SignUpRequest {
        display_name: "Marguerite Fontaine".to_owned(),
        email: "m.fontaine@cabinet-fontaine.example".to_owned(),
        ..sign_up(Role::Customer)
    };
    for weak in [
        "password1",
        "iloveyou2",
        "qwertzuiop",
        "aaaaaaaaaaaaaaaa",
        "daybookdaybook",
        "margueritefontaine",
        "Fontaine2026",
        "cabinet-fontaine",
        "m.fontaine@cabinet-fontaine.example",
    ] {
        let request = SignUpRequest { password: weak.to_owned(), ..own.clone() };
        invalid(world.auth().sign_up(request).await, &["password"]);
    }
    // Told together with what else is wrong.
    let request = SignUpRequest {
        password: "password1".to_owned(),
        time_zone: "Europe/Nowhere".to_owned(),
        ..own
    };
    invalid(world.auth().sign_up(request).await, &["password", "time_zone"]);
    let request = ChangePasswordRequest {
        current_password: PASSWORD.to_owned(),
        new_password: person.user.email.clone(),
        ..Default::default()
    };
    let status = world.auth().change_password(person.asks(request)).await.unwrap_err();
    assert_eq!(fields_of(&status), ["new_password"]);
    assert_eq!(world.state().await, before);
}

async fn a_hash_is_renewed_with_the_pepper_of_the_day(world: World) {
    let person = world.customer().await;
    let plain = world.text(HASH).await;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("peppers");
    fs::write(&path, "2026a AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=\n").unwrap();
    let settings = [("auth.password_peppers_file", path.to_str().unwrap())];
    let peppered = world.beside_with(&settings).await;
    let log_in = async |world: &World, password: &str| -> Result<(), Status> {
        let request = LogInRequest {
            email: person.user.email.clone(),
            password: password.to_owned(),
            ..LogInRequest::default()
        };
        world.auth().log_in(request).await.map(drop)
    };
    refused(log_in(&peppered, "not the password").await, "LOG_IN_FAILED");
    assert_eq!(world.text(HASH).await, plain);
    log_in(&peppered, PASSWORD).await.unwrap();
    let renewed = world.text(HASH).await;
    assert!(renewed.contains("keyid=") && !plain.contains("keyid="), "{renewed}");
    log_in(&peppered, PASSWORD).await.unwrap();
    refused(log_in(&peppered, "not the password").await, "LOG_IN_FAILED");
    assert_eq!(world.text(HASH).await, renewed, "one write");
    // A server that lacks the pepper cannot tell, and says so to the log and not to the caller.
    refused(log_in(&world, PASSWORD).await, "INTERNAL");
}

async fn every_hash_costs_what_it_should(world: World) {
    for _ in 0..3 {
        world.customer().await;
    }
    let all = world.count("SELECT count(*) FROM users").await;
    let strong =
        "SELECT count(*) FROM users WHERE password_hash LIKE '$argon2id$v=19$m=19456,t=2,p=1$%'";
    assert_eq!((all, world.count(strong).await), (3, 3));
}
