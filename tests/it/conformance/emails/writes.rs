//! The writes of `EmailService` as cases.

use daybook::grpc::proto::auth::{
    ConfirmEmailChangeRequest, RequestEmailChangeRequest, RequestEmailVerificationRequest,
    RequestPasswordResetRequest, ResetPasswordRequest, VerifyEmailRequest,
};

use super::RESET;
use crate::{
    conformance::writes::{Case, Cast},
    support::{
        World,
        people::{PASSWORD, uuid},
    },
};

const CHANGED: &str = "another@example.org";

/// One case for every write, on a server that sends mail.
pub(in crate::conformance) async fn cases(world: &World, cast: &Cast) -> Vec<Case> {
    let mail = world.mail.as_ref().expect("a server that sends mail");
    let [verified, asked, reset, moving, moved, ..] = &cast.people[5..] else {
        panic!("too few people")
    };
    let request_id = uuid;
    let other_code = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA".to_owned();

    let code = mail.letter(&verified.user.email).await.code();
    let verify = VerifyEmailRequest { code, request_id: request_id(), ..Default::default() };
    let verifies = vec![
        ("code", VerifyEmailRequest { code: other_code.clone(), ..verify.clone() }),
        ("password", VerifyEmailRequest { password: PASSWORD.to_owned(), ..verify.clone() }),
    ];

    let again = RequestEmailVerificationRequest { request_id: request_id() };

    let email = asked.user.email.clone();
    let forgotten = RequestPasswordResetRequest { email, request_id: request_id() };
    let other_email =
        RequestPasswordResetRequest { email: CHANGED.to_owned(), ..forgotten.clone() };

    let email = reset.user.email.clone();
    let ask = RequestPasswordResetRequest { email, request_id: String::new() };
    world.email().request_password_reset(ask).await.unwrap();
    let code = mail.about(&reset.user.email, RESET).await.code();
    let renew = ResetPasswordRequest {
        code,
        new_password: "a brand new staple".to_owned(),
        request_id: request_id(),
    };
    let new_password = "a staple that is newer".to_owned();
    let renewals = vec![
        ("code", ResetPasswordRequest { code: other_code.clone(), ..renew.clone() }),
        ("new_password", ResetPasswordRequest { new_password, ..renew.clone() }),
    ];

    let change = RequestEmailChangeRequest {
        new_email: format!("new-{}", moving.user.email),
        current_password: PASSWORD.to_owned(),
        request_id: request_id(),
    };
    let current_password = "another password".to_owned();
    let changes = vec![
        ("new_email", RequestEmailChangeRequest { new_email: CHANGED.into(), ..change.clone() }),
        ("current_password", RequestEmailChangeRequest { current_password, ..change.clone() }),
    ];

    let to = format!("new-{}", moved.user.email);
    let ask = RequestEmailChangeRequest {
        new_email: to.clone(),
        current_password: PASSWORD.to_owned(),
        ..Default::default()
    };
    world.email().request_email_change(moved.asks(ask)).await.unwrap();
    let code = mail.letter(&to).await.code();
    let confirm = ConfirmEmailChangeRequest { code, request_id: request_id() };
    let confirms =
        vec![("code", ConfirmEmailChangeRequest { code: other_code, ..confirm.clone() })];

    const SERVICE: &str = "/daybook.auth.v1.EmailService";
    let path = |method: &str| -> &'static str { format!("{SERVICE}/{method}").leak() };
    vec![
        Case::new(path("VerifyEmail"), None, &verify, verifies),
        Case::new(path("RequestEmailVerification"), Some(asked), &again, vec![]),
        Case::new(path("RequestPasswordReset"), None, &forgotten, vec![("email", other_email)]),
        Case::new(path("ResetPassword"), None, &renew, renewals),
        Case::new(path("RequestEmailChange"), Some(moving), &change, changes),
        Case::new(path("ConfirmEmailChange"), None, &confirm, confirms),
    ]
}
