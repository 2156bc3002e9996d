//! Mail: what is sent, and what the codes in it are good for.

mod change;
mod delivery;
mod notices;
mod probes;
mod reset;
mod sealed;
mod sign_up;
pub(super) mod writes;

use daybook::grpc::proto::auth::{
    ConfirmEmailChangeRequest, LogInRequest, LogInResponse, RequestPasswordResetRequest,
    ResetPasswordRequest, User, VerifyEmailRequest,
};
use tonic::Status;

use crate::support::{
    World,
    people::{PASSWORD, Person, uuid},
};

/// Both as they are where addresses are verified.
const VERIFIED: &[(&str, &str)] = &[("auth.verify_email", "true")];
/// How the subject of a letter with a code for a new password begins.
const RESET: &str = "Set a new password for";
const NEW_PASSWORD: &str = "a brand new staple";

async fn verify(world: &World, code: &str) -> Result<User, Status> {
    verify_with(world, code, PASSWORD).await
}

async fn verify_with(world: &World, code: &str, password: &str) -> Result<User, Status> {
    let request = VerifyEmailRequest {
        code: code.to_owned(),
        password: password.to_owned(),
        ..Default::default()
    };
    Ok(world.email().verify_email(request).await?.into_inner().user.unwrap())
}

async fn forgotten(world: &World, email: &str) -> Result<(), Status> {
    let request = RequestPasswordResetRequest { email: email.to_owned(), request_id: uuid() };
    world.email().request_password_reset(request).await.map(drop)
}

async fn reset(world: &World, code: &str, password: &str) -> Result<(), Status> {
    let request = ResetPasswordRequest {
        code: code.to_owned(),
        new_password: password.to_owned(),
        ..Default::default()
    };
    world.email().reset_password(request).await.map(drop)
}

async fn confirm_change(world: &World, code: &str) -> Result<User, Status> {
    let request = ConfirmEmailChangeRequest { code: code.to_owned(), ..Default::default() };
    Ok(world.email().confirm_email_change(request).await?.into_inner().user.unwrap())
}

async fn log_in(world: &World, email: &str, password: &str) -> Result<LogInResponse, Status> {
    let request = LogInRequest {
        email: email.to_owned(),
        password: password.to_owned(),
        ..LogInRequest::default()
    };
    Ok(world.auth().log_in(request).await?.into_inner())
}

/// Says that somebody's address is known to be theirs.
async fn vouched(world: &World, person: &Person) {
    let sql = format!(
        "UPDATE users SET email_verified_at = created_at WHERE email = '{}'",
        person.user.email
    );
    world.execute(&sql, &sql).await;
}

/// What stands in the tables that a code or a letter is in.
async fn rows(world: &World) -> String {
    let counts = "SELECT (SELECT count(*) FROM users) || ' ' || (SELECT count(*) FROM email_codes)
        || ' ' || (SELECT coalesce(sum(version), 0) FROM users)";
    world.text(counts).await
}
