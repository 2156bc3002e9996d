//! Letters that wait under a master key, and processes that have another one.

use std::{fs, path::Path};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use chrono::TimeDelta;
use daybook::{app, identity::master_key::MasterKey, kernel::ambient::Ambient};
use mailin_embedded::response::{INTERNAL_ERROR, OK};

use super::{
    NEW_PASSWORD,
    delivery::{later, tried},
    forgotten, reset,
};
use crate::{
    conformance::behaviours,
    support::{World, config, mail_server::MailServer, process::until},
};

behaviours!(
    a_letter_outlasts_processes_that_cannot_open_it,
    who_has_another_master_key_touches_no_letter,
);

/// What is told of the letter that waits, but for when it is due and how often it was tried.
const SEALED: &str =
    "SELECT kind || ' ' || length(sealed) || ' ' || CAST(created_at AS text) || ' '
    || CAST(expires_at AS text) FROM letters";
const ATTEMPTS: &str = "SELECT CAST(attempts AS bigint) FROM letters";

/// A server whose letters go there, with the master key in this file.
async fn with_key(world: &World, mail: &MailServer, key: &Path) -> World {
    let url = mail.url();
    let settings = [
        ("mail.transport", "smtp"),
        ("mail.smtp_url", url.as_str()),
        ("auth.master_key_file", key.to_str().unwrap()),
    ];
    world.beside_with(&settings).await
}

async fn a_letter_outlasts_processes_that_cannot_open_it(world: World) {
    let (person, other) = (world.customer().await, world.customer().await);
    let folder = tempfile::tempdir().unwrap();
    let text = fs::read_to_string(world.master_key_file()).unwrap();
    let (old, new) = (text.lines().last().unwrap(), STANDARD.encode([7; 32]));
    let file = |name: &str, lines: &[&str]| {
        let path = folder.path().join(name);
        fs::write(&path, lines.join("\n")).unwrap();
        path
    };
    let mail = MailServer::start();
    mail.answer(INTERNAL_ERROR);
    let first = with_key(&world, &mail, &world.master_key_file()).await;
    forgotten(&first, &person.user.email).await.unwrap();
    tried(&first).await;
    drop(first);
    let waits = world.text(SEALED).await;
    mail.answer(OK);
    // The master key is replaced, and the line of the old one goes too early. What it sealed is due each
    // minute, and nobody can open it.
    drop(with_key(&world, &mail, &file("both", &[&new, old])).await);
    let before = world.count(ATTEMPTS).await;
    let without = with_key(&world, &mail, &file("new", &[&new])).await;
    for tries in 1..=5 {
        without.forward(TimeDelta::minutes(2));
        // And put back: whoever takes it may have it for whole minutes, and its pauses are none.
        let tried = format!(
            "SELECT count(*) FROM letters
                WHERE attempts = {} AND CAST(due_at AS text) NOT LIKE '%:00+%'",
            before + tries
        );
        until(30, "the letter is tried", async || world.count(&tried).await == 1).await;
    }
    assert_eq!(world.text(SEALED).await, waits);
    assert!(mail.all().is_empty());
    // It sends what it can open all the same.
    forgotten(&without, &other.user.email).await.unwrap();
    mail.letter(&other.user.email).await;
    let now = without.clock.now();
    drop(without);
    // The line is back.
    let again = with_key(&world, &mail, &file("again", &[&new, old])).await;
    again.clock.set(now + TimeDelta::minutes(5));
    later(&again).await;
    let code = mail.letter(&person.user.email).await.code();
    assert_eq!(mail.all().len(), 2);
    reset(&again, &code, NEW_PASSWORD).await.unwrap();
}

async fn who_has_another_master_key_touches_no_letter(world: World) {
    let person = world.customer().await;
    let mail = MailServer::start();
    mail.answer(INTERNAL_ERROR);
    let first = with_key(&world, &mail, &world.master_key_file()).await;
    forgotten(&first, &person.user.email).await.unwrap();
    tried(&first).await;
    drop(first);
    mail.answer(OK);
    let (waits, attempts) = (world.text(SEALED).await, world.count(ATTEMPTS).await);
    let folder = tempfile::tempdir().unwrap();
    let other = folder.path().join("other");
    MasterKey::read_or_make(&other).unwrap();
    // One that is wrong, and one that is made because there is none.
    for key in [other, folder.path().join("none")] {
        let (url, key) = (mail.url(), key.to_str().unwrap().to_owned());
        let settings = [
            ("mail.transport", "smtp"),
            ("mail.smtp_url", url.as_str()),
            ("auth.master_key_file", key.as_str()),
        ];
        let (ambient, _) = Ambient::manual(world.clock.now() + TimeDelta::minutes(1));
        let config = config(&world.url, folder.path(), &settings);
        let running = app::start(config, ambient).await.unwrap();
        let told = running.ended().await.unwrap_err().to_string();
        assert!(told.contains("another master key"), "{told}");
        assert_eq!(world.text(SEALED).await, waits);
        assert_eq!(world.count(ATTEMPTS).await, attempts, "it was not even taken");
    }
    let again = with_key(&world, &mail, &world.master_key_file()).await;
    later(&again).await;
    mail.letter(&person.user.email).await;
    assert_eq!(mail.all().len(), 1);
}
