//! What owners are told of: their second factor, their recovery codes, and that their account is no more.

use chrono::TimeDelta;
use daybook::{
    grpc::proto::auth::{
        DisableTotpRequest, EnrolTotpAtLogInRequest, EnrolTotpRequest,
        RegenerateRecoveryCodesRequest, ResetSecondFactorRequest,
    },
    mail::store::ExpiredEmails,
    storage::{Deadline, cleanup::DeleteExpired},
};
use mailin_embedded::response::{INTERNAL_ERROR, OK};

use super::{delivery::later, forgotten, vouched};
use crate::{
    conformance::behaviours,
    support::{
        World,
        dump::{digits, dump},
        mail_server::{MailServer, Received},
        people::{PASSWORD, Person},
        refusal::refused,
        totp::App,
    },
};

behaviours!(
    whatever_becomes_of_a_second_factor_is_told,
    an_app_that_a_log_in_asks_for_is_told_of,
    an_admin_resets_and_the_owner_is_told,
    nobody_is_told_who_may_be_a_stranger,
    the_last_letter_tells_of_the_deletion_and_ends_within_a_day,
    an_admin_deletes_and_the_owner_is_told,
);

/// What came for somebody that had not come before, but for new devices.
async fn told(world: &World, mail: &MailServer, to: &Person, seen: &mut usize) -> Vec<Received> {
    world.nothing_waits().await;
    let mine =
        |letter: &Received| letter.to == to.user.email && !letter.subject.starts_with("New log-in");
    let new: Vec<_> = mail.all().into_iter().filter(mine).skip(*seen).collect();
    *seen += new.len();
    new
}

/// The subjects, in the order of letters.
fn subjects(letters: &[Received]) -> Vec<&str> {
    let mut subjects: Vec<_> = letters.iter().map(|letter| letter.subject.as_str()).collect();
    subjects.sort_unstable();
    subjects
}

async fn whatever_becomes_of_a_second_factor_is_told(world: World) {
    let person = world.customer().await;
    vouched(&world, &person).await;
    let (world, mail) = world.mailing(&[]).await;
    let mut seen = 0;
    let current_password = PASSWORD.to_owned();

    let (app, codes) = world.turn_on(&person).await;
    let letters = told(&world, &mail, &person, &mut seen).await;
    assert_eq!(subjects(&letters), ["Log-ins to your account at Daybook need a code now"]);
    let hello = format!("Hello {},", person.user.display_name);
    for part in [&*hello, "22 November 2026 at 13:00 (Europe/Berlin)", "address 127.0.0.1"] {
        assert!(letters[0].body.contains(part), "{}", letters[0].body);
    }
    for code in &codes {
        assert!(!letters[0].raw.contains(code), "a recovery code in a letter");
    }

    let regenerate = |code: String| RegenerateRecoveryCodesRequest {
        current_password: current_password.clone(),
        code,
    };
    let wrong = app.wrong(world.clock.now()).next().unwrap();
    let request = person.asks(regenerate(wrong));
    refused(world.second_factor().regenerate_recovery_codes(request).await, "CODE_WRONG");
    assert!(told(&world, &mail, &person, &mut seen).await.is_empty());
    let request = person.asks(regenerate(world.code(&app)));
    let answer = world.second_factor().regenerate_recovery_codes(request).await.unwrap();
    let codes = answer.into_inner().recovery_codes;
    let letters = told(&world, &mail, &person, &mut seen).await;
    assert_eq!(subjects(&letters), ["New recovery codes for your account at Daybook"]);

    let challenge = world.challenge(&person.user.email).await;
    world.recover(&challenge, &codes[0]).await.unwrap();
    let letters = told(&world, &mail, &person, &mut seen).await;
    assert_eq!(subjects(&letters), ["A recovery code of your account at Daybook was used"]);
    assert!(letters[0].body.contains("you have 9 left"), "{}", letters[0].body);

    let code = codes[1].clone();
    let request = EnrolTotpRequest { current_password: current_password.clone(), code };
    let answer = world.second_factor().enrol_totp(person.asks(request)).await.unwrap();
    let letters = told(&world, &mail, &person, &mut seen).await;
    assert_eq!(subjects(&letters), ["A recovery code of your account at Daybook was used"]);
    let app = App::of(&answer.into_inner().totp.unwrap());
    let codes = world.confirm(&person, &world.code(&app)).await.unwrap();
    let letters = told(&world, &mail, &person, &mut seen).await;
    assert_eq!(subjects(&letters), ["Another authenticator app for your account at Daybook"]);

    let code = codes[0].clone();
    let request = DisableTotpRequest { current_password, code, ..Default::default() };
    world.second_factor().disable_totp(person.asks(request)).await.unwrap();
    let letters = told(&world, &mail, &person, &mut seen).await;
    let expected = [
        "A recovery code of your account at Daybook was used",
        "Log-ins to your account at Daybook need no code any more",
    ];
    assert_eq!(subjects(&letters), expected);
}

async fn an_app_that_a_log_in_asks_for_is_told_of(world: World) {
    let person = world.customer().await;
    vouched(&world, &person).await;
    let strict = [("auth.second_factor_required_for", "customer")];
    let (world, mail) = world.mailing(&strict).await;
    let challenge = world.challenge(&person.user.email).await;
    let request = EnrolTotpAtLogInRequest { challenge: challenge.clone() };
    let answer = world.second_factor().enrol_totp_at_log_in(request).await.unwrap();
    let app = App::of(&answer.into_inner().totp.unwrap());
    world.complete(&challenge, &world.code(&app)).await.unwrap();
    let letters = told(&world, &mail, &person, &mut 0).await;
    assert_eq!(subjects(&letters), ["Log-ins to your account at Daybook need a code now"]);
}

async fn an_admin_resets_and_the_owner_is_told(world: World) {
    let (admin, person) = (world.admin().await, world.customer().await);
    world.turn_on(&person).await;
    vouched(&world, &person).await;
    let (world, mail) = world.mailing(&[]).await;
    let name = person.user.name.clone();
    let request = ResetSecondFactorRequest { name, ..Default::default() };
    for _ in 0..2 {
        // The second time there is nothing to reset, and nothing to tell.
        world.second_factor().reset_second_factor(admin.asks(request.clone())).await.unwrap();
    }
    let letters = told(&world, &mail, &person, &mut 0).await;
    assert_eq!(subjects(&letters), ["Your authenticator app at Daybook was reset"]);
    // From where the admin did it is nobody else's to know.
    assert!(!letters[0].body.contains("127.0.0.1"), "{}", letters[0].body);
}

async fn nobody_is_told_who_may_be_a_stranger(world: World) {
    let (admin, person) = (world.admin().await, world.customer().await);
    let other = world.customer().await;
    let (world, mail) = world.mailing(&[]).await;
    let (_, codes) = world.turn_on(&person).await;
    world.recover(&world.challenge(&person.user.email).await, &codes[0]).await.unwrap();
    let name = person.user.name.clone();
    let request = ResetSecondFactorRequest { name, ..Default::default() };
    world.second_factor().reset_second_factor(admin.asks(request)).await.unwrap();
    for person in [&person, &other] {
        world.erase(&admin, &person.user.name).await.unwrap();
    }
    world.nothing_waits().await;
    assert!(mail.all().is_empty(), "{:?}", mail.all());
}

async fn the_last_letter_tells_of_the_deletion_and_ends_within_a_day(world: World) {
    let (person, late) = (world.customer().await, world.customer().await);
    vouched(&world, &person).await;
    vouched(&world, &late).await;
    let (world, mail) = world.mailing(&[]).await;
    let waiting = "SELECT count(*) FROM letters";
    mail.answer(INTERNAL_ERROR);
    forgotten(&world, &person.user.email).await.unwrap();
    world.leaves(&person).await.unwrap();
    // What waited is gone, and the last letter keeps the address sealed.
    assert_eq!(world.count(waiting).await, 1);
    let stored = dump(&world).await;
    assert!(!stored.contains(&digits(person.user.email.as_bytes())), "the address is stored");
    mail.refusals(1).await;
    mail.answer(OK);
    later(&world).await;
    let letters = told(&world, &mail, &person, &mut 0).await;
    assert_eq!(subjects(&letters), ["Your account at Daybook was deleted"]);
    assert!(letters[0].body.contains("as was asked for with its password"));

    // One that cannot leave goes after a day, to the microsecond.
    mail.answer(INTERNAL_ERROR);
    let late = world.log_in(&late.user.email).await;
    world.execute("DELETE FROM letters", "DELETE FROM letters").await;
    let began = world.clock.now();
    world.leaves(&late).await.unwrap();
    let store = world.store().await;
    let forget = async |now| {
        let deadline = Deadline::after(std::time::Duration::from_secs(30));
        store.run(deadline, DeleteExpired::<ExpiredEmails>::at(now)).await.unwrap()
    };
    let end = began + TimeDelta::days(1);
    assert_eq!(forget(end - TimeDelta::microseconds(1)).await, 0);
    assert_eq!(world.count(waiting).await, 1);
    assert_eq!(forget(end).await, 1);
}

async fn an_admin_deletes_and_the_owner_is_told(world: World) {
    let (admin, person) = (world.admin().await, world.customer().await);
    vouched(&world, &person).await;
    let (world, mail) = world.mailing(&[]).await;
    world.erase(&admin, &person.user.name).await.unwrap();
    let letters = told(&world, &mail, &person, &mut 0).await;
    assert_eq!(subjects(&letters), ["Your account at Daybook was deleted"]);
    let body = &letters[0].body;
    assert!(body.contains("Daybook deleted your account on 22 November 2026"), "{body}");
    assert!(!body.contains("127.0.0.1"), "{body}");
}
