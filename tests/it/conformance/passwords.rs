//! Passwords: which are taken, and how they are kept.

use std::fs;

use argon2::{Algorithm, Argon2, Params, Version, password_hash::PasswordHasher as _};
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
    a_hash_is_renewed_with_the_parameters_of_the_day,
    no_password_is_cut,
    every_hash_costs_what_it_should,
    a_password_is_one_however_it_is_typed,
    a_hash_of_what_was_sent_goes_on_and_is_renewed,
    blanks_around_an_address_do_not_matter,
);

const HASH: &str = "SELECT password_hash FROM users ORDER BY created_at LIMIT 1";

async fn log_in(world: &World, email: &str, password: &str) -> Result<(), Status> {
    let (email, password) = (email.to_owned(), password.to_owned());
    let request = LogInRequest { email, password, ..LogInRequest::default() };
    world.auth().log_in(request).await.map(drop)
}

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
        log_in(world, &person.user.email, password).await
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

/// Tests hash cheaply unless they say anything of hashing. This says what is the default.
const REAL_COST: &[(&str, &str)] = &[("auth.hash_workers", "0")];

async fn a_hash_is_renewed_with_the_parameters_of_the_day(world: World) {
    let world = World::with(world.engine, REAL_COST).await;
    let person = world.customer().await;
    let email = &person.user.email;
    let mut stored = world.text(HASH).await;
    assert!(stored.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{stored}");
    for (name, value, shown) in [
        ("auth.hash_iterations", "3", "$argon2id$v=19$m=19456,t=3,p=1$"),
        ("auth.hash_memory_kib", "20480", "$argon2id$v=19$m=20480,t=2,p=1$"),
        ("auth.hash_parallelism", "2", "$argon2id$v=19$m=19456,t=2,p=2$"),
    ] {
        let beside = world.beside_with(&[(name, value)]).await;
        refused(log_in(&beside, email, "not the password").await, "LOG_IN_FAILED");
        assert_eq!(world.text(HASH).await, stored, "{name}");
        log_in(&beside, email, PASSWORD).await.unwrap();
        let renewed = world.text(HASH).await;
        assert!(renewed.starts_with(shown), "{name}: {renewed}");
        log_in(&beside, email, PASSWORD).await.unwrap();
        refused(log_in(&beside, email, "not the password").await, "LOG_IN_FAILED");
        assert_eq!(world.text(HASH).await, renewed, "one write");
        stored = renewed;
    }
}

/// Every character counts, wherever others cut: at 8 bytes (crypt), 72 (bcrypt), 55 and 56 (its own key), at powers
/// of two, and one before the end.
async fn no_password_is_cut(world: World) {
    // Wrong ones are many here.
    let settings = [("auth.attempts_per_account", "100"), ("auth.attempts_per_address", "1000")];
    let world = World::with(world.engine, &settings).await;
    let plain = |number: u32| char::from_u32(u32::from('a') + number * 7 % 26).unwrap();
    let wide = |number: u32| char::from_u32(0x1_f300 + number * 37 % 251).unwrap();
    let places = |cuts: &[usize]| cuts.to_vec();
    for (password, places) in [
        ((0..256).map(plain).collect::<Vec<_>>(), places(&[8, 55, 56, 64, 71, 72, 128, 254, 255])),
        // Four bytes each: what lies behind 72, 128, 255, 256 and 512 bytes, and the last.
        ((0..256).map(wide).collect(), places(&[18, 32, 63, 64, 128, 255])),
    ] {
        let said = password.iter().collect::<String>();
        let request = SignUpRequest { password: said.clone(), ..sign_up(Role::Customer) };
        let email = request.email.clone();
        world.auth().sign_up(request).await.unwrap();
        for place in places {
            let mut other = password.clone();
            other[place] = if other[place] == 'x' { 'y' } else { 'x' };
            let other: String = other.into_iter().collect();
            refused(log_in(&world, &email, &other).await, "LOG_IN_FAILED");
        }
        log_in(&world, &email, &said).await.unwrap();
    }
}

async fn every_hash_costs_what_it_should(world: World) {
    let world = World::with(world.engine, REAL_COST).await;
    for _ in 0..3 {
        world.customer().await;
    }
    let all = world.count("SELECT count(*) FROM users").await;
    let strong =
        "SELECT count(*) FROM users WHERE password_hash LIKE '$argon2id$v=19$m=19456,t=2,p=1$%'";
    assert_eq!((all, world.count(strong).await), (3, 3));
}

/// As it comes from Linux, from macOS (accents apart) and from an input method (wide spaces).
const TYPED: [&str; 3] = [
    "Z\u{fc}rcher Br\u{fc}cke 17",
    "Zu\u{308}rcher Bru\u{308}cke 17",
    "Z\u{fc}rcher\u{3000}Br\u{fc}cke\u{a0}17",
];

async fn a_password_is_one_however_it_is_typed(world: World) {
    for typed in TYPED {
        let request = SignUpRequest { password: typed.to_owned(), ..sign_up(Role::Customer) };
        let email = request.email.clone();
        world.auth().sign_up(request).await.unwrap();
        for again in TYPED {
            log_in(&world, &email, again).await.unwrap();
        }
        // Case, width and other words are others.
        for other in [
            "Z\u{fc}rcher Br\u{fc}cke\u{ff11}7",
            "z\u{fc}rcher Br\u{fc}cke 17",
            "Zurcher Brucke 17",
        ] {
            refused(log_in(&world, &email, other).await, "LOG_IN_FAILED");
        }
    }
    // What asks for the present password, and for a new one, goes by the same.
    let person = world.customer().await;
    let change = |current: &str, new: &str| {
        let (current_password, new_password) = (current.to_owned(), new.to_owned());
        let request =
            ChangePasswordRequest { current_password, new_password, ..Default::default() };
        person.asks(request)
    };
    world.auth().change_password(change(PASSWORD, TYPED[1])).await.unwrap();
    world.auth().change_password(change(TYPED[2], TYPED[0])).await.unwrap();
    log_in(&world, &person.user.email, TYPED[1]).await.unwrap();
}

async fn a_hash_of_what_was_sent_goes_on_and_is_renewed(world: World) {
    let argon2 =
        Argon2::new(Algorithm::Argon2id, Version::V0x13, Params::new(19456, 2, 1, None).unwrap());
    let person = world.customer().await;
    let email = &person.user.email;
    // Also what is no new password any more.
    for (sent, alike) in
        [(TYPED[1], TYPED[0]), ("\0\u{202e}\n\t\u{3000}x\u{301}qab", "\0\u{202e}\n\t x\u{301}qab")]
    {
        let old = argon2.hash_password(sent.as_bytes()).unwrap().to_string();
        let update = format!("UPDATE users SET password_hash = '{old}'");
        world.execute(&update, &update).await;
        // It was never hashed in this form, and a second form would be a second hash.
        refused(log_in(&world, email, alike).await, "LOG_IN_FAILED");
        assert_eq!(world.text(HASH).await, old);
        log_in(&world, email, sent).await.unwrap();
        let renewed = world.text(HASH).await;
        assert_ne!(renewed, old);
        log_in(&world, email, alike).await.unwrap();
        log_in(&world, email, sent).await.unwrap();
        assert_eq!(world.text(HASH).await, renewed, "one write");
    }
}

async fn blanks_around_an_address_do_not_matter(world: World) {
    let plain = sign_up(Role::Customer);
    let request = SignUpRequest { email: format!(" {}\u{3000}", plain.email), ..plain.clone() };
    let user = world.auth().sign_up(request).await.unwrap().into_inner().user.unwrap();
    assert_eq!(user.email, plain.email);
    for spelling in [format!("{}\r\n", plain.email), format!("\u{a0}\t {}", plain.email)] {
        log_in(&world, &spelling, PASSWORD).await.unwrap();
    }
    let again = SignUpRequest { email: format!("{} ", plain.email), ..sign_up(Role::Customer) };
    refused(world.auth().sign_up(again).await, "EMAIL_TAKEN");
}
