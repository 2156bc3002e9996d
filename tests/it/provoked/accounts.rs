//! Reasons of accounts.

use daybook::{
    grpc::proto::{
        auth::{
            ChangePasswordRequest, DisableTotpRequest, DisableUserRequest, GetMeRequest,
            ListUsersRequest, LogInRequest, RefreshTokensRequest, RequestPasswordResetRequest,
            Role, SignUpRequest, UpdateMeRequest, User, VerifyEmailRequest,
        },
        booking::{GetAppointmentRequest, ListProvidersRequest},
    },
    identity::master_key::MasterKey,
};
use tonic::{Request, Status};

use super::{Stage, refusal};
use crate::support::{
    World,
    people::{PASSWORD, sign_up, uuid},
    refusal::reason_of,
    services::BOOKING,
};

pub(super) async fn invalid_fields(stage: &Stage) -> Status {
    refusal(stage.world.auth().sign_up(SignUpRequest::default()).await)
}

pub(super) async fn request_id_reused(stage: &Stage) -> Status {
    let request_id = uuid();
    let rename = async |name: &str| {
        let user = Some(User { display_name: name.to_owned(), ..Default::default() });
        let request =
            UpdateMeRequest { user, request_id: request_id.clone(), ..Default::default() };
        stage.world.auth().update_me(stage.customer.asks(request)).await
    };
    rename("One").await.unwrap();
    refusal(rename("Two").await)
}

pub(super) async fn current_password_wrong(stage: &Stage) -> Status {
    let request = ChangePasswordRequest {
        current_password: "not the password".to_owned(),
        new_password: "a brand new staple".to_owned(),
        ..Default::default()
    };
    refusal(stage.world.auth().change_password(stage.customer.asks(request)).await)
}

pub(super) async fn not_authenticated(stage: &Stage) -> Status {
    refusal(stage.world.auth().get_me(Request::new(GetMeRequest {})).await)
}

async fn wrong(world: &World, email: &str) -> Status {
    let (email, password) = (email.to_owned(), "not the password".to_owned());
    refusal(world.auth().log_in(LogInRequest { email, password, ..Default::default() }).await)
}

pub(super) async fn log_in_failed(stage: &Stage) -> Status {
    wrong(&stage.world, &stage.customer.user.email).await
}

pub(super) async fn too_many_attempts(stage: &Stage) -> Status {
    let world = World::with(stage.world.engine, &[("auth.attempts_per_account", "3")]).await;
    let person = world.customer().await;
    for _ in 0..3 {
        assert_eq!(reason_of(&wrong(&world, &person.user.email).await), "LOG_IN_FAILED");
    }
    wrong(&world, &person.user.email).await
}

pub(super) async fn role_not_allowed(stage: &Stage) -> Status {
    let request = stage.customer.asks(ListUsersRequest::default());
    refusal(stage.world.auth().list_users(request).await)
}

pub(super) async fn provider_sign_up_closed(stage: &Stage) -> Status {
    let closed = stage.world.beside_with(&[("auth.provider_sign_up", "false")]).await;
    refusal(closed.auth().sign_up(sign_up(Role::Provider)).await)
}

pub(super) async fn not_found(stage: &Stage) -> Status {
    let name = format!("{}/appointments/{}", stage.provider.provider(), uuid());
    let request = stage.customer.asks(GetAppointmentRequest { name });
    refusal(stage.world.booking().get_appointment(request).await)
}

pub(super) async fn email_taken(stage: &Stage) -> Status {
    let email = stage.customer.user.email.clone();
    let request = SignUpRequest { email, ..sign_up(Role::Customer) };
    refusal(stage.world.auth().sign_up(request).await)
}

pub(super) async fn own_account(stage: &Stage) -> Status {
    let name = stage.admin.user.name.clone();
    let request = stage.admin.asks(DisableUserRequest { name, ..Default::default() });
    refusal(stage.world.auth().disable_user(request).await)
}

pub(super) async fn refresh_refused(stage: &Stage) -> Status {
    let refresh_token = "nobody's".to_owned();
    refusal(stage.world.auth().refresh_tokens(RefreshTokensRequest { refresh_token }).await)
}

pub(super) async fn code_refused(stage: &Stage) -> Status {
    let (world, _mail) = stage.world.mailing(&[("auth.verify_email", "true")]).await;
    let request = VerifyEmailRequest {
        code: "A".repeat(43),
        password: PASSWORD.to_owned(),
        ..Default::default()
    };
    refusal(world.email().verify_email(request).await)
}

pub(super) async fn mail_off(stage: &Stage) -> Status {
    let email = stage.customer.user.email.clone();
    let request = RequestPasswordResetRequest { email, request_id: uuid() };
    refusal(stage.world.email().request_password_reset(request).await)
}

pub(super) async fn code_wrong(stage: &Stage) -> Status {
    let person = stage.world.customer().await;
    let (app, _) = stage.world.turn_on(&person).await;
    let wrong = app.wrong(stage.world.clock.now()).next().unwrap();
    refusal(stage.world.log_in_with(&person.user.email, &wrong).await)
}

pub(super) async fn challenge_refused(stage: &Stage) -> Status {
    refusal(stage.world.complete("no challenge", "123456").await)
}

pub(super) async fn second_factor_required(stage: &Stage) -> Status {
    let person = stage.world.customer().await;
    let (app, _) = stage.world.turn_on(&person).await;
    let person =
        stage.world.log_in_with(&person.user.email, &stage.world.code(&app)).await.unwrap();
    stage.world.forward(chrono::TimeDelta::seconds(30));
    let strict = stage.world.beside_with(&[("auth.second_factor_required_for", "customer")]).await;
    let request = DisableTotpRequest {
        current_password: PASSWORD.to_owned(),
        code: strict.code(&app),
        ..Default::default()
    };
    refusal(strict.second_factor().disable_totp(person.asks(request)).await)
}

pub(super) async fn second_factor_unreadable(stage: &Stage) -> Status {
    let person = stage.world.customer().await;
    let (app, _) = stage.world.turn_on(&person).await;
    stage.world.seal_with(&MasterKey::of(&[9; 32]), &person).await;
    refusal(stage.world.log_in_with(&person.user.email, &stage.world.code(&app)).await)
}

pub(super) async fn scope_missing(stage: &Stage) -> Status {
    let backend = stage.world.backend(&stage.admin, Role::Admin, None, &[BOOKING]).await;
    let request = backend.asks(ListProvidersRequest::default());
    refusal(stage.world.schedule().list_providers(request).await)
}

pub(super) async fn act_for_refused(stage: &Stage) -> Status {
    let mut request = stage.customer.asks(GetMeRequest {});
    let user = stage.other.user.name.parse().unwrap();
    request.metadata_mut().insert("x-daybook-act-for", user);
    refusal(stage.world.auth().get_me(request).await)
}
