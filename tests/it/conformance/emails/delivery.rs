//! How letters leave.

use std::{fs, time::Duration};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use chrono::TimeDelta;
use daybook::{
    accounts::sessions::store::ExpiredSessions,
    grpc::proto::auth::{
        ListAuditEventsRequest, LogInRequest, LogOutRequest, Role, audit_event::Kind,
    },
    storage::{Deadline, cleanup::DeleteExpired},
};
use mailin_embedded::{
    Response,
    response::{INTERNAL_ERROR, NO_MAILBOX, OK},
};

use super::{NEW_PASSWORD, forgotten, log_in, reset, vouched};
use crate::{
    conformance::behaviours,
    support::{
        Engine, World,
        dump::from_digits,
        mail_server::MailServer,
        people::{PASSWORD, Person, sign_up},
        process::{until, within},
        proxy::Proxy,
        refusal::refused,
        restore::Dump,
        tls::Authority,
    },
};

behaviours!(
    a_server_that_falls_silent_holds_up_no_other_letter,
    while_a_server_is_silent_other_letters_leave,
    a_server_that_says_no_word_is_tried_again,
    an_answer_that_comes_too_late_is_about_no_other_letter,
    while_the_server_is_away_nothing_is_lost,
    a_server_that_refuses_later_is_tried_again_and_one_that_refuses_for_good_is_not,
    a_letter_that_waits_in_what_is_restored_is_sent_again,
    a_stop_waits_for_what_is_under_way,
    a_stop_does_not_wait_for_ever,
    two_servers_send_a_letter_once,
    what_waits_is_sealed,
    a_letter_that_is_too_late_is_given_up,
    new_devices_are_told_of,
    new_devices_are_told_of_after_a_long_time_too,
    letters_go_into_a_folder,
    a_mail_server_is_spoken_to_with_tls_and_a_password,
    own_templates_and_pages_are_used,
);

/// Lets the next attempts come due, until the letters have left.
pub(super) async fn later(world: &World) {
    let state = "SELECT count(*) * 1000 + CAST(coalesce(sum(attempts), 0) AS bigint) FROM letters";
    let wait = async {
        let mut before = world.count(state).await;
        while before > 0 {
            world.forward(TimeDelta::minutes(1));
            while world.count(state).await == before {
                tokio::task::yield_now().await;
            }
            before = world.count(state).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), wait).await.expect("the letters leave");
}

/// Waits until each letter was tried and put back, which is for a few seconds; the clock has not moved yet.
pub(super) async fn tried(world: &World) {
    let waiting = match world.engine {
        Engine::Sqlite => {
            "SELECT count(*) FROM letters WHERE attempts = 0 OR due_at NOT LIKE '%12:00:%'"
        }
        Engine::Postgres => {
            "SELECT count(*) FROM letters
                WHERE attempts = 0 OR to_char(due_at AT TIME ZONE 'UTC', 'HH24:MI') <> '12:00'"
        }
    };
    let wait = async {
        while world.count(waiting).await > 0
            || world.count("SELECT count(*) FROM letters").await == 0
        {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), wait).await.expect("the letters are tried");
}

async fn a_server_that_falls_silent_holds_up_no_other_letter(world: World) {
    let (one, other) = (world.customer().await, world.customer().await);
    let mail = MailServer::start();
    let world = world.impatient(&mail.url()).await;
    mail.hush(Some(&one.user.email));
    forgotten(&world, &one.user.email).await.unwrap();
    mail.hushed(1).await;
    forgotten(&world, &other.user.email).await.unwrap();
    mail.letter(&other.user.email).await;
    tried_alone(&world).await;
    assert_eq!(mail.all().len(), 1);
    mail.hush(None);
    later(&world).await;
    let code = mail.letter(&one.user.email).await.code();
    reset(&world, &code, NEW_PASSWORD).await.unwrap();
    world.nothing_waits().await;
    // The third one says that the password is another one.
    each_once(&mail, 3);
}

async fn while_a_server_is_silent_other_letters_leave(world: World) {
    let one = world.customer().await;
    let others = [world.customer().await, world.customer().await];
    // It waits for a minute, which is longer than this test waits for a letter.
    let (world, mail) = world.mailing(&[]).await;
    mail.hush(Some(&one.user.email));
    forgotten(&world, &one.user.email).await.unwrap();
    mail.hushed(1).await;
    for other in &others {
        forgotten(&world, &other.user.email).await.unwrap();
        mail.letter(&other.user.email).await;
    }
    assert_eq!(mail.all().len(), 2);
}

async fn a_server_that_says_no_word_is_tried_again(world: World) {
    let (one, other) = (world.customer().await, world.customer().await);
    let mail = MailServer::start();
    let link = Proxy::before(mail.address, Duration::ZERO).await;
    link.hold_answers(true);
    let world = world.impatient(&format!("smtp://{}", link.address)).await;
    forgotten(&world, &one.user.email).await.unwrap();
    tried(&world).await;
    link.hold_answers(false);
    forgotten(&world, &other.user.email).await.unwrap();
    mail.letter(&other.user.email).await;
    later(&world).await;
    mail.letter(&one.user.email).await;
    each_once(&mail, 2);
}

async fn an_answer_that_comes_too_late_is_about_no_other_letter(world: World) {
    let (one, other) = (world.customer().await, world.customer().await);
    let mail = MailServer::start();
    let world = world.impatient(&mail.url()).await;
    mail.hush(Some(&one.user.email));
    forgotten(&world, &one.user.email).await.unwrap();
    mail.hushed(1).await;
    tried_alone(&world).await;
    // Only now it answers, to nobody. The next letter it refuses with its very last word.
    mail.hush(None);
    mail.full(true);
    forgotten(&world, &other.user.email).await.unwrap();
    mail.refusals(1).await;
    tried(&world).await;
    assert_eq!(world.count("SELECT count(*) FROM letters").await, 2);
    mail.full(false);
    later(&world).await;
    mail.letter(&one.user.email).await;
    mail.letter(&other.user.email).await;
    each_once(&mail, 2);
}

/// Says that so many letters came, and none of them twice.
fn each_once(mail: &MailServer, count: usize) {
    let mut ids: Vec<_> = mail.all().into_iter().map(|letter| letter.message_id).collect();
    ids.sort();
    ids.dedup();
    assert_eq!((ids.len(), mail.all().len()), (count, count));
}

/// Waits until one letter alone waits, and was tried and put back.
async fn tried_alone(world: &World) {
    tried(world).await;
    let wait = async {
        while world.count("SELECT count(*) FROM letters").await != 1 {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), wait).await.expect("one letter waits");
    tried(world).await;
}

async fn while_the_server_is_away_nothing_is_lost(world: World) {
    let person = world.customer().await;
    let mail = MailServer::start();
    let link = Proxy::before(mail.address, Duration::ZERO).await;
    link.refuse(true);
    let url = format!("smtp://{}", link.address);
    let settings = [("mail.transport", "smtp"), ("mail.smtp_url", url.as_str())];
    let world = world.beside_with(&settings).await;
    forgotten(&world, &person.user.email).await.unwrap();
    tried(&world).await;
    assert!(mail.all().is_empty());
    // Also not by a restart.
    let world = world.beside_with(&settings).await;
    link.refuse(false);
    later(&world).await;
    let code = mail.letter(&person.user.email).await.code();
    reset(&world, &code, NEW_PASSWORD).await.unwrap();
    assert_eq!(mail.all().iter().filter(|letter| letter.subject.starts_with("Set")).count(), 1);
}

async fn a_server_that_refuses_later_is_tried_again_and_one_that_refuses_for_good_is_not(
    world: World,
) {
    let (one, other) = (world.customer().await, world.customer().await);
    let (world, mail) = world.mailing(&[]).await;
    mail.answer(INTERNAL_ERROR);
    forgotten(&world, &one.user.email).await.unwrap();
    tried(&world).await;
    mail.answer(OK);
    later(&world).await;
    mail.letter(&one.user.email).await;
    // A refusal may be about us; only one about the recipient is final.
    mail.answer(NO_MAILBOX);
    forgotten(&world, &other.user.email).await.unwrap();
    mail.refusals(2).await;
    assert_eq!(world.count("SELECT count(*) FROM letters").await, 1);
    world.execute("DELETE FROM letters", "DELETE FROM letters").await;
    mail.answer(Response::custom(550, "5.1.1 no such mailbox".to_owned()));
    forgotten(&world, &other.user.email).await.unwrap();
    world.nothing_waits().await;
    mail.answer(OK);
    assert_eq!(mail.all().len(), 1);
}

/// A server with a letter on its way to a mail server that does not answer; and what it says in between.
async fn with_a_letter_under_way(
    world: &World,
    person: &Person,
    settings: &[(&str, &str)],
) -> (World, MailServer, Proxy) {
    let mail = MailServer::start();
    let link = Proxy::before(mail.address, Duration::ZERO).await;
    link.hold_answers(true);
    let url = format!("smtp://{}", link.address);
    let mut all = vec![("mail.transport", "smtp"), ("mail.smtp_url", url.as_str())];
    all.extend_from_slice(settings);
    let sending = world.beside_with(&all).await;
    forgotten(&sending, &person.user.email).await.unwrap();
    let taken = "SELECT count(*) FROM letters WHERE attempts = 1";
    until(30, "the letter is taken", async || world.count(taken).await == 1).await;
    (sending, mail, link)
}

async fn a_letter_that_waits_in_what_is_restored_is_sent_again(world: World) {
    let customer = world.customer().await;
    let (world, mail) = world.mailing(&[]).await;
    mail.answer(INTERNAL_ERROR);
    forgotten(&world, &customer.user.email).await.unwrap();
    tried(&world).await;
    let dump = Dump::of(&world).await;
    mail.answer(OK);
    later(&world).await;
    dump.restore(&world).await;
    later(&world).await;
    let ids: Vec<_> = mail.all().into_iter().map(|letter| letter.message_id).collect();
    assert!(ids.len() == 2 && ids[0] == ids[1], "{ids:?}");
}

async fn a_stop_waits_for_what_is_under_way(world: World) {
    let person = world.customer().await;
    let (sending, mail, link) = with_a_letter_under_way(&world, &person, &[]).await;
    sending.stop();
    until(30, "it takes no connections", async || sending.is_closed().await).await;
    assert!(mail.all().is_empty());
    link.hold_answers(false);
    within(60, "the stop", sending.stopped()).await;
    // It left, and that is noted: nobody sends it again.
    mail.letter(&person.user.email).await;
    assert_eq!(world.count("SELECT count(*) FROM letters").await, 0);
}

async fn a_stop_does_not_wait_for_ever(world: World) {
    let person = world.customer().await;
    let short = [("server.drain_timeout_ms", "300")];
    let (sending, mail, link) = with_a_letter_under_way(&world, &person, &short).await;
    sending.stop();
    within(60, "the stop", sending.stopped()).await;
    // It is somebody else's to send, later.
    assert!(mail.all().is_empty());
    assert_eq!(world.count("SELECT count(*) FROM letters").await, 1);
    drop(link);
}

async fn two_servers_send_a_letter_once(world: World) {
    let mut people = Vec::new();
    for _ in 0..12 {
        people.push(world.customer().await);
    }
    let mail = MailServer::start();
    mail.answer(INTERNAL_ERROR);
    let url = mail.url();
    let settings = [("mail.transport", "smtp"), ("mail.smtp_url", url.as_str())];
    let one = world.beside_with(&settings).await;
    let other = world.beside_with(&settings).await;
    for person in &people {
        forgotten(&one, &person.user.email).await.unwrap();
    }
    tried(&one).await;
    mail.answer(OK);
    // Both see all of them come due.
    for world in [&one, &other] {
        world.forward(TimeDelta::minutes(1));
    }
    one.nothing_waits().await;
    let mut ids: Vec<_> = mail.all().into_iter().map(|letter| letter.message_id).collect();
    assert_eq!(ids.len(), 12);
    ids.sort();
    ids.dedup();
    assert_eq!(ids.len(), 12);
}

async fn what_waits_is_sealed(world: World) {
    let person = world.customer().await;
    let (world, mail) = world.mailing(&[]).await;
    mail.answer(INTERNAL_ERROR);
    forgotten(&world, &person.user.email).await.unwrap();
    tried(&world).await;
    let bytes = if world.engine == Engine::Postgres {
        "SELECT encode(sealed, 'hex') FROM letters"
    } else {
        "SELECT lower(hex(sealed)) FROM letters"
    };
    let sealed = world.text(bytes).await;
    for word in [person.user.email.as_str(), "code", "reset_password"] {
        let hex: String = word.bytes().map(|byte| format!("{byte:02x}")).collect();
        assert!(!sealed.contains(&hex), "{word}");
    }
    let hash = match world.engine {
        Engine::Postgres => "SELECT encode(code_hash, 'hex') FROM email_codes",
        Engine::Sqlite => "SELECT lower(hex(code_hash)) FROM email_codes",
    };
    let hash = world.text(hash).await;
    mail.answer(OK);
    later(&world).await;
    let code = mail.letter(&person.user.email).await.code();
    assert!(!hash.contains(&code));
    // What is stored opens nothing, also in the form that codes have.
    let stored = URL_SAFE_NO_PAD.encode(from_digits(&hash));
    assert_eq!(stored.len(), code.len());
    refused(reset(&world, &stored, NEW_PASSWORD).await, "CODE_REFUSED");
    reset(&world, &code, NEW_PASSWORD).await.unwrap();
}

async fn a_letter_that_is_too_late_is_given_up(world: World) {
    let person = world.customer().await;
    let (world, mail) = world.mailing(&[]).await;
    mail.answer(INTERNAL_ERROR);
    forgotten(&world, &person.user.email).await.unwrap();
    mail.refusals(1).await;
    mail.answer(OK);
    world.forward(TimeDelta::minutes(30));
    // It may have been put back before or after that.
    let gone = async {
        while world.count("SELECT count(*) FROM letters").await > 0 {
            world.forward(TimeDelta::seconds(10));
        }
    };
    tokio::time::timeout(Duration::from_secs(20), gone).await.expect("it is given up");
    assert!(mail.all().is_empty(), "its code is not good any more");
}

async fn new_devices_are_told_of(world: World) {
    let person = world.customer().await;
    let (world, mail) = world.mailing(&[]).await;
    // Nobody is written to who may be a stranger.
    log_in(&world, &person.user.email, PASSWORD).await.unwrap();
    vouched(&world, &person).await;
    let begun = log_in(&world, &person.user.email, PASSWORD).await.unwrap();
    let letter = mail.letter(&person.user.email).await;
    assert_eq!(letter.subject, "New log-in to your account at Daybook");
    assert!(letter.body.contains("22 November 2026 at 13:00 (Europe/Berlin)"), "{}", letter.body);
    assert!(letter.body.contains("127.0.0.1"));
    // A device that is known is no news, and neither is the first log-in of all.
    let request = LogInRequest {
        email: person.user.email.clone(),
        password: PASSWORD.to_owned(),
        device_token: begun.device_token,
    };
    world.auth().log_in(request).await.unwrap();
    let newcomer = world.customer().await;
    world.nothing_waits().await;
    assert_eq!(mail.all().len(), 2);
    assert_eq!(mail.nth(1, &newcomer.user.email).await.subject, "Confirm your address for Daybook");
}

async fn new_devices_are_told_of_after_a_long_time_too(world: World) {
    let person = world.customer().await;
    vouched(&world, &person).await;
    let (world, mail) = world.mailing(&[]).await;
    world.auth().log_out(person.asks(LogOutRequest {})).await.unwrap();
    world.forward(TimeDelta::days(40));
    // What the server does by the hour.
    let (store, now) = (world.store().await, world.clock.now());
    let deadline = Deadline::after(Duration::from_secs(30));
    assert_eq!(store.run(deadline, DeleteExpired::<ExpiredSessions>::at(now)).await.unwrap(), 1);
    assert_eq!(world.count("SELECT count(*) FROM sessions").await, 0);
    log_in(&world, &person.user.email, PASSWORD).await.unwrap();
    let letter = mail.letter(&person.user.email).await;
    assert_eq!(letter.subject, "New log-in to your account at Daybook");
    // Who never logged in before is told too, but for the first thirty days of the account.
    let (young, old) = (sign_up(Role::Customer), sign_up(Role::Customer));
    for request in [&young, &old] {
        world.auth().sign_up(request.clone()).await.unwrap();
        let verified = "UPDATE users SET email_verified_at = created_at";
        world.execute(verified, verified).await;
    }
    world.nothing_waits().await;
    world.forward(TimeDelta::days(30));
    log_in(&world, &young.email, PASSWORD).await.unwrap();
    world.forward(TimeDelta::microseconds(1));
    log_in(&world, &old.email, PASSWORD).await.unwrap();
    assert_eq!(mail.nth(2, &old.email).await.subject, letter.subject);
    world.nothing_waits().await;
    // Each of the two was asked to confirm the address.
    assert_eq!(mail.all().iter().filter(|one| one.to == young.email).count(), 1);
}

async fn letters_go_into_a_folder(world: World) {
    let person = world.customer().await;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("letters");
    let settings = [("mail.transport", "folder"), ("mail.folder", path.to_str().unwrap())];
    let world = world.beside_with(&settings).await;
    forgotten(&world, &person.user.email).await.unwrap();
    world.nothing_waits().await;
    let files: Vec<_> = fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().path()).collect();
    assert_eq!(files.len(), 1);
    let text = fs::read_to_string(&files[0]).unwrap();
    assert!(text.contains("Subject: Set a new password for Daybook"));
    let code =
        text.lines().map(str::trim).find(|line| line.len() == 43 && !line.contains(' ')).unwrap();
    reset(&world, code, NEW_PASSWORD).await.unwrap();
}

async fn a_mail_server_is_spoken_to_with_tls_and_a_password(world: World) {
    let person = world.customer().await;
    let admin = world.admin().await;
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str| folder.path().join(name);
    let (certificate, key, ca) = (file("server.pem"), file("server.key"), file("ca.pem"));
    let authority = Authority::new("Mail");
    authority.server().write(&certificate, &key);
    authority.write(&ca);
    let mail = MailServer::with_tls(&certificate, &key);
    let port = mail.address.port();
    let send = async |url: String, ca: &str| {
        let settings = [
            ("mail.transport", "smtp"),
            ("mail.smtp_url", url.as_str()),
            ("mail.smtp_ca_file", ca),
        ];
        let world = world.beside_with(&settings).await;
        forgotten(&world, &person.user.email).await.unwrap();
        tried(&world).await;
        // Nor does this server take what is written later.
        world.stop();
        world.stopped().await;
    };
    // Somebody between us and the server, and a password that is wrong: nothing leaves.
    send(format!("smtp://us:right@localhost:{port}?tls=required"), "").await;
    assert!(mail.log_ins().is_empty(), "an unknown authority is told no password");
    let ca = ca.to_str().unwrap();
    send(format!("smtp://us:wrong@localhost:{port}?tls=required"), ca).await;
    assert!(mail.all().is_empty());
    let url = format!("smtp://us:right@localhost:{port}?tls=required");
    let settings =
        [("mail.transport", "smtp"), ("mail.smtp_url", url.as_str()), ("mail.smtp_ca_file", ca)];
    let world = world.beside_with(&settings).await;
    forgotten(&world, &person.user.email).await.unwrap();
    let code = mail.letter(&person.user.email).await.code();
    assert_eq!(mail.log_ins().last().unwrap(), &("us".to_owned(), "right".to_owned()));
    reset(&world, &code, NEW_PASSWORD).await.unwrap();
    let request = ListAuditEventsRequest { kind: Kind::PasswordReset.into(), ..Default::default() };
    let events = world.auth().list_audit_events(admin.asks(request)).await.unwrap().into_inner();
    assert_eq!(events.audit_events[0].user, person.user.name);
}

async fn own_templates_and_pages_are_used(world: World) {
    let person = world.customer().await;
    let folder = tempfile::tempdir().unwrap();
    let own = "Subject: Neues Passwort für {{ practice }}\n\n{{ link }}\n{{ code }}\n";
    fs::write(folder.path().join("reset_password.txt"), own).unwrap();
    let (world, mail) = world
        .mailing(&[
            ("mail.templates_folder", folder.path().to_str().unwrap()),
            ("mail.pages_url", "https://app.example.org"),
            ("mail.from", "Praxis Ada <praxis@example.org>"),
        ])
        .await;
    forgotten(&world, &person.user.email).await.unwrap();
    let letter = mail.letter(&person.user.email).await;
    assert!(letter.raw.contains("From: \"Praxis Ada\" <praxis@example.org>"), "{}", letter.raw);
    let link = format!("https://app.example.org/reset-password#code={}", letter.code());
    assert!(letter.body.contains(&link), "{}", letter.body);
    reset(&world, &letter.code(), NEW_PASSWORD).await.unwrap();
}
