//! `daybook.auth.v1.EmailService`.

use secrecy::SecretString;
use tonic::{Request, Response, Status};

use super::{Api, auth_wire as wire, open::OpenedWrite};
use crate::grpc::proto::auth::{self as pb, email_service_server::EmailService};
use crate::identity::{email::Email, password};

#[tonic::async_trait]
impl EmailService for Api {
    async fn verify_email(
        &self,
        request: Request<pb::VerifyEmailRequest>,
    ) -> Result<Response<pb::VerifyEmailResponse>, Status> {
        let OpenedWrite { deadline, caller: origin, mut message, mut violations, idempotency_key } =
            self.requests.open_as(request)?;
        violations.keep("code", set(&message.code));
        let password = SecretString::from(std::mem::take(&mut message.password));
        violations.keep("password", password::check_given(&password, 0));
        violations.finish()?;
        let shown = (&*message.code, password);
        let verify = |idempotency_key| {
            self.accounts.emails.verify_email(deadline, shown, idempotency_key, origin)
        };
        let user = idempotency_key.carry_out(deadline, verify).await?;
        Ok(Response::new(pb::VerifyEmailResponse { user: Some(wire::user(&user)) }))
    }

    async fn request_email_verification(
        &self,
        request: Request<pb::RequestEmailVerificationRequest>,
    ) -> Result<Response<pb::RequestEmailVerificationResponse>, Status> {
        let OpenedWrite { deadline, caller, violations, idempotency_key, .. } =
            self.requests.open(request)?;
        violations.finish()?;
        let ask = |idempotency_key| {
            self.accounts.emails.request_verification(deadline, caller, idempotency_key)
        };
        idempotency_key.carry_out(deadline, ask).await?;
        Ok(Response::new(pb::RequestEmailVerificationResponse {}))
    }

    async fn request_password_reset(
        &self,
        request: Request<pb::RequestPasswordResetRequest>,
    ) -> Result<Response<pb::RequestPasswordResetResponse>, Status> {
        let OpenedWrite { deadline, caller: origin, message, mut violations, idempotency_key } =
            self.requests.open_as(request)?;
        let email = violations.keep("email", Email::parse(&message.email));
        let email = violations.finish_with(email)?;
        let ask = |idempotency_key| {
            self.accounts.emails.request_reset(deadline, email, idempotency_key, origin)
        };
        idempotency_key.carry_out(deadline, ask).await?;
        Ok(Response::new(pb::RequestPasswordResetResponse {}))
    }

    async fn reset_password(
        &self,
        request: Request<pb::ResetPasswordRequest>,
    ) -> Result<Response<pb::ResetPasswordResponse>, Status> {
        let OpenedWrite { deadline, caller: origin, message, mut violations, idempotency_key } =
            self.requests.open_as(request)?;
        violations.keep("code", set(&message.code));
        let new = SecretString::from(message.new_password);
        violations.keep("new_password", password::check(&new, self.shortest_password));
        violations.finish()?;
        let shown = (&*message.code, new);
        let reset = |idempotency_key| {
            self.accounts.emails.reset_password(deadline, shown, idempotency_key, origin)
        };
        idempotency_key.carry_out_untold(deadline, reset).await?;
        Ok(Response::new(pb::ResetPasswordResponse {}))
    }

    async fn request_email_change(
        &self,
        request: Request<pb::RequestEmailChangeRequest>,
    ) -> Result<Response<pb::RequestEmailChangeResponse>, Status> {
        let OpenedWrite {
            deadline,
            caller: (caller, origin),
            message,
            mut violations,
            idempotency_key,
        } = self.requests.open_as(request)?;
        let new = violations.keep("new_email", Email::parse(&message.new_email));
        let current = SecretString::from(message.current_password);
        violations.keep("current_password", password::check_given(&current, 1));
        let new = violations.finish_with(new)?;
        let asked = (new, current);
        let ask = |idempotency_key| {
            self.accounts.emails.request_email_change(
                deadline,
                caller,
                asked,
                idempotency_key,
                origin,
            )
        };
        idempotency_key.carry_out(deadline, ask).await?;
        Ok(Response::new(pb::RequestEmailChangeResponse {}))
    }

    async fn confirm_email_change(
        &self,
        request: Request<pb::ConfirmEmailChangeRequest>,
    ) -> Result<Response<pb::ConfirmEmailChangeResponse>, Status> {
        let OpenedWrite { deadline, caller: origin, message, mut violations, idempotency_key } =
            self.requests.open_as(request)?;
        violations.keep("code", set(&message.code));
        violations.finish()?;
        let code = &message.code;
        let confirm = |idempotency_key| {
            self.accounts.emails.confirm_email_change(deadline, code, idempotency_key, origin)
        };
        let user = idempotency_key.carry_out(deadline, confirm).await?;
        Ok(Response::new(pb::ConfirmEmailChangeResponse { user: Some(wire::user(&user)) }))
    }
}

fn set(text: &str) -> Result<(), &'static str> {
    if text.is_empty() { Err("must be set") } else { Ok(()) }
}
