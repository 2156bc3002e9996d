//! A change of the master key, carried through: secrets are sealed anew, and what still needs the old one is
//! told.

use chrono::TimeDelta;
use daybook::{
    accounts::master_keys::{KeyUse, Needed, Place, Resealed},
    grpc::proto::auth::{
        DisableTotpRequest, EnrolTotpRequest, RegenerateRecoveryCodesRequest,
        ResetSecondFactorRequest, second_factor::State,
    },
    identity::master_key::MasterKey,
};
use futures_util::future::{join, join_all};
use tonic::Code;

use crate::{
    conformance::behaviours,
    support::{
        World,
        people::{PASSWORD, Person},
        refusal::refused,
        rounds,
        totp::App,
    },
};

behaviours!(
    every_secret_is_sealed_anew_and_then_the_old_master_key_can_go,
    whoever_logs_in_or_changes_the_app_meanwhile_loses_nothing,
    what_no_master_key_opens_is_told_and_stays,
    a_code_that_cannot_be_checked_says_so_and_a_recovery_code_is_good,
);

const UNREADABLE: &str = "SECOND_FACTOR_UNREADABLE";

/// The places of the master keys, with secrets and recovery codes that need them.
fn told(uses: &[KeyUse]) -> Vec<(Place, u64, u64)> {
    let one = |one: &KeyUse| (one.place, one.needed.secrets, one.needed.recovery_codes);
    uses.iter().map(one).collect()
}

/// Another app for somebody who has one; it is not confirmed yet.
async fn enrol_another(world: &World, person: &Person, app: &App) -> App {
    let (current_password, code) = (PASSWORD.to_owned(), world.code(app));
    let request = EnrolTotpRequest { current_password, code };
    let answer = world.second_factor().enrol_totp(person.asks(request)).await.unwrap();
    App::of(&answer.into_inner().totp.unwrap())
}

async fn regenerate(world: &World, person: &Person, code: String) -> Vec<String> {
    let current_password = PASSWORD.to_owned();
    let request = RegenerateRecoveryCodesRequest { current_password, code };
    let answer = world.second_factor().regenerate_recovery_codes(person.asks(request)).await;
    answer.unwrap().into_inner().recovery_codes
}

async fn every_secret_is_sealed_anew_and_then_the_old_master_key_can_go(world: World) {
    let (one, other) = (world.customer().await, world.customer().await);
    let pending = world.customer().await;
    let (app, codes) = world.turn_on(&one).await;
    let (others, _) = world.turn_on(&other).await;
    let enrolled = world.enrol(&pending).await;
    let moved = enrol_another(&world, &other, &others).await;
    let (_folder, file) = world.with_new_master_key();
    let settings = file.settings();
    let both = world.beside_with(&settings).await;
    let used = world.code(&app);
    let uses = world.key_uses(&settings).await;
    assert_eq!(told(&uses), [(Place::Present, 0, 0), (Place::Older, 4, 20)]);
    assert_eq!((uses[0].needed.signing_keys, uses[1].needed.signing_keys), (2, 0));

    let steps = "SELECT max(last_step) + min(last_step) FROM second_factors";
    let before = world.count(steps).await;
    let resealed = world.reseal(&settings).await.unwrap();
    assert_eq!(resealed, Resealed { sealed: 4, lost: 0 });
    assert_eq!(world.count(steps).await, before, "what was used up stays used up");
    assert_eq!(world.reseal(&settings).await.unwrap(), Resealed::default());
    let uses = world.key_uses(&settings).await;
    assert_eq!(told(&uses), [(Place::Present, 4, 0), (Place::Older, 0, 20)]);

    // Whoever has new recovery codes needs the old key no more; a used one is not missed.
    both.log_in_with(&one.user.email, &used).await.unwrap();
    let challenge = both.challenge(&one.user.email).await;
    refused(both.complete(&challenge, &used).await, "CODE_WRONG");
    both.recover(&challenge, &codes[0]).await.unwrap();
    both.forward(TimeDelta::seconds(30));
    let fresh = regenerate(&both, &one, both.code(&app)).await;
    let uses = world.key_uses(&settings).await;
    assert_eq!(told(&uses), [(Place::Present, 4, 10), (Place::Older, 0, 10)]);
    let codes = both.confirm(&other, &both.code(&moved)).await.unwrap();
    let uses = world.key_uses(&settings).await;
    assert_eq!(told(&uses), [(Place::Present, 3, 20), (Place::Older, 0, 0)]);
    assert!(uses[1].needed.is_nothing());

    // The old line goes, and nobody notices.
    file.drop_old();
    let last = both.beside_with(&settings).await;
    assert_eq!(world.key_uses(&settings).await.len(), 1);
    last.forward(TimeDelta::seconds(30));
    last.log_in_with(&one.user.email, &last.code(&app)).await.unwrap();
    last.log_in_with(&other.user.email, &last.code(&moved)).await.unwrap();
    for (person, code) in [(&one, &fresh[0]), (&other, &codes[0])] {
        let challenge = last.challenge(&person.user.email).await;
        last.recover(&challenge, code).await.unwrap();
    }
    last.confirm(&pending, &last.code(&enrolled)).await.unwrap();
}

async fn whoever_logs_in_or_changes_the_app_meanwhile_loses_nothing(world: World) {
    // It knows the new line and seals with the old one: only the command seals anew.
    let (_next, file) = world.with_next_master_key();
    let world = world.beside_with(&file.settings()).await;
    for _ in 0..rounds(2, 20) {
        let mut people = Vec::new();
        for _ in 0..8 {
            let person = world.customer().await;
            let (app, _) = world.turn_on(&person).await;
            people.push((person, app));
        }
        let mut next = Vec::new();
        for (person, app) in &people[..4] {
            next.push(enrol_another(&world, person, app).await);
        }
        world.forward(TimeDelta::seconds(30));
        let mut challenges = Vec::new();
        for (person, _) in &people[4..] {
            challenges.push(world.challenge(&person.user.email).await);
        }
        let (_folder, file) = world.with_new_master_key();
        let settings = file.settings();
        let confirms = people.iter().zip(&next).map(async |((person, _), app)| {
            world.confirm(person, &world.code(app)).await.unwrap();
        });
        let log_ins = people[4..].iter().zip(&challenges).map(async |((_, app), challenge)| {
            world.complete(challenge, &world.code(app)).await.unwrap();
        });
        let changes = join(join_all(confirms), join_all(log_ins));
        let (resealed, _) = join(world.reseal(&settings), changes).await;
        assert_eq!(resealed.unwrap().lost, 0);
        // Codes stay used up, and the app that was confirmed is the one.
        let both = world.beside_with(&settings).await;
        both.clock.set(world.clock.now());
        let apps = next.iter().chain(people[4..].iter().map(|(_, app)| app));
        for ((person, _), app) in people.iter().zip(apps) {
            let challenge = both.challenge(&person.user.email).await;
            refused(both.complete(&challenge, &both.code(app)).await, "CODE_WRONG");
        }
        both.forward(TimeDelta::seconds(30));
        let apps = next.iter().chain(people[4..].iter().map(|(_, app)| app));
        for ((person, _), app) in people.iter().zip(apps) {
            both.log_in_with(&person.user.email, &both.code(app)).await.unwrap();
        }
        world.forward(TimeDelta::seconds(30));
    }
}

async fn what_no_master_key_opens_is_told_and_stays(world: World) {
    let (person, other) = (world.customer().await, world.customer().await);
    world.turn_on(&person).await;
    world.turn_on(&other).await;
    let gone = MasterKey::of(&[9; 32]);
    world.seal_with(&gone, &person).await;
    let (_folder, file) = world.with_new_master_key();
    let settings = file.settings();
    let resealed = world.reseal(&settings).await.unwrap();
    assert_eq!(resealed, Resealed { sealed: 1, lost: 1 });
    let uses = world.key_uses(&settings).await;
    let expected = [(Place::Present, 1, 0), (Place::Older, 0, 20), (Place::Missing, 1, 0)];
    assert_eq!(told(&uses), expected);
    assert_eq!(uses[2].key, Some(gone.id()));
    // A code from before its key was written down.
    world
        .execute(
            "UPDATE recovery_codes SET key_id = NULL",
            "UPDATE recovery_codes SET key_id = NULL",
        )
        .await;
    let uses = world.key_uses(&settings).await;
    let unknown = Needed { recovery_codes: 20, ..Needed::default() };
    assert_eq!(uses[3], KeyUse { key: None, place: Place::Unknown, needed: unknown });
}

async fn a_code_that_cannot_be_checked_says_so_and_a_recovery_code_is_good(world: World) {
    let admin = world.admin().await;
    let (person, other) = (world.customer().await, world.customer().await);
    let (app, codes) = world.turn_on(&person).await;
    world.turn_on(&other).await;
    let gone = MasterKey::of(&[9; 32]);
    world.seal_with(&gone, &person).await;
    world.seal_with(&gone, &other).await;
    let (email, code) = (person.user.email.as_str(), world.code(&app));
    // No app shows this secret; the answer does not depend on the code.
    let challenge = world.challenge(email).await;
    // More of them than there are guesses, of which none was judged.
    for code in [code.as_str(), "000000"].repeat(6) {
        let status = refused(world.complete(&challenge, code).await, "SECOND_FACTOR_UNREADABLE");
        assert_eq!(status.code(), Code::FailedPrecondition);
        let said = format!("{status:?}");
        assert!(!said.contains(&gone.id().to_string()) && !said.contains("master"), "{said}");
    }
    let current_password = PASSWORD.to_owned();
    let enrol = EnrolTotpRequest { current_password: current_password.clone(), code: code.clone() };
    let disable = DisableTotpRequest { current_password, code: code.clone(), ..Default::default() };
    for _ in 0..4 {
        let with_code = world.second_factor().enrol_totp(person.asks(enrol.clone())).await;
        refused(with_code, UNREADABLE);
        let with_code = world.second_factor().disable_totp(person.asks(disable.clone())).await;
        refused(with_code, UNREADABLE);
        refused(world.delete(&person, PASSWORD, &code).await, UNREADABLE);
    }
    let has = world.has(&person).await;
    assert_eq!((has.state(), has.recovery_codes_left), (State::On, 10));
    // By a recovery code, and another app in its place.
    let begun = world.recover(&world.challenge(email).await, &codes[0]).await.unwrap();
    let person = Person { user: begun.user.unwrap(), token: begun.access_token };
    let enrol = EnrolTotpRequest { code: codes[1].clone(), ..enrol };
    let answer = world.second_factor().enrol_totp(person.asks(enrol)).await.unwrap();
    let app = App::of(&answer.into_inner().totp.unwrap());
    world.confirm(&person, &world.code(&app)).await.unwrap();
    world.forward(TimeDelta::seconds(30));
    world.log_in_with(email, &world.code(&app)).await.unwrap();
    // By an admin.
    let admin = world.log_in(&admin.user.email).await;
    let name = other.user.name.clone();
    let request = ResetSecondFactorRequest { name, ..Default::default() };
    world.second_factor().reset_second_factor(admin.asks(request)).await.unwrap();
    assert!(world.first_step(&other.user.email, "").await.second_step.is_none());
}
