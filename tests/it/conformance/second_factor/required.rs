//! Roles that must have a second factor.

use chrono::TimeDelta;
use daybook::grpc::proto::auth::{
    CompleteLogInResponse, DisableTotpRequest, EnrolTotpAtLogInRequest, RefreshTokensRequest,
    ResetSecondFactorRequest, Role, SetUserRoleRequest, audit_event::Kind, second_factor::State,
    second_step,
};
use tonic::Status;

use super::{refreshes, trail, works};
use crate::{
    conformance::behaviours,
    support::{
        World,
        people::{PASSWORD, Person},
        refusal::{invalid, refused},
        totp::App,
    },
};

behaviours!(
    who_must_have_a_second_factor_enrols_in_the_middle_of_the_log_in,
    a_session_without_one_is_not_refreshed_once_it_is_needed,
    it_cannot_be_taken_off_but_replaced,
    a_new_role_asks_for_what_it_needs,
    enrolment_in_a_log_in_is_for_those_who_need_it,
);

const STRICT: [(&str, &str); 1] = [("auth.second_factor_required_for", "admin,provider")];

/// The second step of a log-in that asks for enrolment.
async fn must_enrol(world: &World, email: &str) -> String {
    let answer = world.first_step(email, "").await;
    assert_eq!((answer.access_token.as_str(), answer.refresh_token.as_str()), ("", ""));
    assert_eq!((answer.user, answer.device_token.as_str()), (None, ""));
    let step = answer.second_step.unwrap();
    assert_eq!(step.kinds, [second_step::Kind::TotpEnrolment as i32]);
    step.challenge
}

async fn enrol(world: &World, challenge: &str) -> Result<App, Status> {
    let request = EnrolTotpAtLogInRequest { challenge: challenge.to_owned() };
    let answer = world.second_factor().enrol_totp_at_log_in(request).await?.into_inner();
    Ok(App::of(&answer.totp.unwrap()))
}

/// Logs in, and enrols for it.
async fn begin(world: &World, email: &str) -> (App, CompleteLogInResponse) {
    let challenge = must_enrol(world, email).await;
    let app = enrol(world, &challenge).await.unwrap();
    let begun = world.complete(&challenge, &world.code(&app)).await.unwrap();
    world.forward(TimeDelta::seconds(30));
    (app, begun)
}

async fn who_must_have_a_second_factor_enrols_in_the_middle_of_the_log_in(world: World) {
    let admin = world.admin().await;
    let email = admin.user.email.as_str();
    let strict = world.beside_with(&STRICT).await;
    let customer = world.customer().await;
    assert!(strict.first_step(&customer.user.email, "").await.second_step.is_none());

    let challenge = must_enrol(&strict, email).await;
    refused(strict.complete(&challenge, "123456").await, "CODE_WRONG");
    refused(strict.recover(&challenge, "0000-0000-0000").await, "CODE_WRONG");
    let first = enrol(&strict, &challenge).await.unwrap();
    let app = enrol(&strict, &challenge).await.unwrap();
    refused(strict.complete(&challenge, &strict.code(&first)).await, "CODE_WRONG");
    // Enrolled is not confirmed: another log-in begins at the same place.
    must_enrol(&strict, email).await;
    let begun = strict.complete(&challenge, &strict.code(&app)).await.unwrap();
    assert_eq!(begun.recovery_codes.len(), 10);
    assert!(works(&strict, &begun.access_token).await);
    // Log-ins from before have ended.
    assert!(!works(&strict, &admin.token).await);
    refused(strict.complete(&challenge, &strict.code(&app)).await, "CHALLENGE_REFUSED");
    refused(enrol(&strict, &challenge).await, "CHALLENGE_REFUSED");
    let user = begun.user.clone().unwrap();
    let admin = Person { user, token: begun.access_token.clone() };
    let has = strict.has(&admin).await;
    assert!(has.required && has.state() == State::On && has.recovery_codes_left == 10);
    let found = trail(&strict, &admin, &admin.user.name, Kind::SecondFactorEnabled).await;
    assert_eq!((found.len(), &found[0].actor), (1, &admin.user.name));
    assert!(refreshes(&strict, &begun.refresh_token).await);
    // From then on it is a log-in like others, and the code that confirmed is used up.
    refused(strict.log_in_with(email, &strict.code(&app)).await, "CODE_WRONG");
    strict.forward(TimeDelta::seconds(30));
    strict.log_in_with(email, &strict.code(&app)).await.unwrap();
    let challenge = strict.challenge(email).await;
    let last = strict.recover(&challenge, &begun.recovery_codes[9]).await.unwrap();
    assert!(last.recovery_codes.is_empty());
}

async fn a_session_without_one_is_not_refreshed_once_it_is_needed(world: World) {
    let person = world.provider().await;
    let email = person.user.email.as_str();
    let begun = world.first_step(email, "").await;
    let strict = world.beside_with(&STRICT).await;
    let refresh = async |world: &World, token: &str| {
        let request = RefreshTokensRequest { refresh_token: token.to_owned() };
        world.auth().refresh_tokens(request).await
    };
    refused(refresh(&strict, &begun.refresh_token).await, "REFRESH_REFUSED");
    // Nothing was used up: where the setting is taken back, the session goes on.
    let next = refresh(&world, &begun.refresh_token).await.unwrap().into_inner();
    refused(refresh(&strict, &next.refresh_token).await, "REFRESH_REFUSED");
    let (_, begun) = self::begin(&strict, email).await;
    assert!(refreshes(&strict, &begun.refresh_token).await);
    // Those whose role needs none are not asked.
    let customer = world.customer().await;
    let begun = world.first_step(&customer.user.email, "").await;
    assert!(refreshes(&strict, &begun.refresh_token).await);
}

async fn it_cannot_be_taken_off_but_replaced(world: World) {
    let person = world.provider().await;
    let email = person.user.email.as_str();
    let strict = world.beside_with(&STRICT).await;
    let (app, begun) = begin(&strict, email).await;
    let me = Person { user: begun.user.unwrap(), token: begun.access_token };
    let request = DisableTotpRequest {
        current_password: PASSWORD.to_owned(),
        code: strict.code(&app),
        ..Default::default()
    };
    let answer = strict.second_factor().disable_totp(me.asks(request)).await;
    refused(answer, "SECOND_FACTOR_REQUIRED");
    assert_eq!(strict.has(&me).await.state(), State::On);
    // The code was not looked at.
    let request = daybook::grpc::proto::auth::EnrolTotpRequest {
        current_password: PASSWORD.to_owned(),
        code: strict.code(&app),
    };
    let answer = strict.second_factor().enrol_totp(me.asks(request)).await.unwrap().into_inner();
    let new = App::of(&answer.totp.unwrap());
    strict.confirm(&me, &strict.code(&new)).await.unwrap();
    strict.forward(TimeDelta::seconds(30));
    strict.log_in_with(email, &strict.code(&new)).await.unwrap();
    // An admin who resets it opens no way around it.
    world.clock.set(strict.clock.now());
    let admin = world.admin().await;
    let (_, begun) = begin(&strict, &admin.user.email).await;
    let admin = Person { user: begun.user.unwrap(), token: begun.access_token };
    let request = ResetSecondFactorRequest { name: me.user.name.clone(), ..Default::default() };
    strict.second_factor().reset_second_factor(admin.asks(request)).await.unwrap();
    must_enrol(&strict, email).await;
}

async fn a_new_role_asks_for_what_it_needs(world: World) {
    let admin = world.admin().await;
    let strict = world.beside_with(&STRICT).await;
    let (_, begun) = begin(&strict, &admin.user.email).await;
    let admin = Person { user: begun.user.unwrap(), token: begun.access_token };
    let person = strict.customer().await;
    let before = strict.first_step(&person.user.email, "").await;
    let request = SetUserRoleRequest {
        name: person.user.name.clone(),
        role: Role::Provider.into(),
        ..Default::default()
    };
    strict.auth().set_user_role(admin.asks(request)).await.unwrap();
    assert!(!works(&strict, &person.token).await);
    assert!(!refreshes(&strict, &before.refresh_token).await);
    must_enrol(&strict, &person.user.email).await;
}

async fn enrolment_in_a_log_in_is_for_those_who_need_it(world: World) {
    let strict = world.beside_with(&STRICT).await;
    // Who has the password of an account with a second factor gets no other one by it.
    let person = world.provider().await;
    let (app, _) = world.turn_on(&person).await;
    strict.clock.set(world.clock.now());
    let challenge = strict.challenge(&person.user.email).await;
    refused(enrol(&strict, &challenge).await, "CHALLENGE_REFUSED");
    strict.complete(&challenge, &strict.code(&app)).await.unwrap();
    // A challenge to enrol is none where the setting does not ask for it.
    let other = world.provider().await;
    let challenge = must_enrol(&strict, &other.user.email).await;
    refused(enrol(&world, &challenge).await, "CHALLENGE_REFUSED");
    refused(world.complete(&challenge, "123456").await, "CODE_WRONG");
    // What was enrolled by somebody who was logged in is confirmed by a log-in only where it must be.
    let pending = world.enrol(&other).await;
    refused(world.complete(&challenge, &world.code(&pending)).await, "CODE_WRONG");
    let request = EnrolTotpAtLogInRequest::default();
    invalid(strict.second_factor().enrol_totp_at_log_in(request).await, &["challenge"]);
    for bad in ["x", &other.token, &challenge[1..]] {
        refused(enrol(&strict, bad).await, "CHALLENGE_REFUSED");
    }
    strict.forward(TimeDelta::minutes(5));
    refused(enrol(&strict, &challenge).await, "CHALLENGE_REFUSED");
}
