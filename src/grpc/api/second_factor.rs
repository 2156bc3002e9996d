//! `daybook.auth.v1.SecondFactorService`.

use secrecy::SecretString;
use tonic::{Request, Response, Status};

use super::{
    Api,
    auth::{another, present},
    auth_wire,
    open::{Opened, OpenedWrite, open, open_as},
    second_factor_wire as wire,
};
use crate::grpc::proto::auth::{self as pb, second_factor_service_server::SecondFactorService};
use crate::{
    accounts::second_factor::{Typed, service::ReauthenticationInput},
    kernel::fault::{Fault, Violations},
    storage::idempotency::IdempotencyKey,
};

#[tonic::async_trait]
impl SecondFactorService for Api {
    async fn get_second_factor(
        &self,
        request: Request<pb::GetSecondFactorRequest>,
    ) -> Result<Response<pb::GetSecondFactorResponse>, Status> {
        let Opened { deadline, caller, .. } = open(request)?;
        let seen = self.accounts.second_factors.seen(deadline, caller).await?;
        let second_factor = Some(wire::second_factor(seen));
        Ok(Response::new(pb::GetSecondFactorResponse { second_factor }))
    }

    async fn enrol_totp(
        &self,
        request: Request<pb::EnrolTotpRequest>,
    ) -> Result<Response<pb::EnrolTotpResponse>, Status> {
        let Opened { deadline, caller: (caller, origin), message, violations } = open_as(request)?;
        let code = Some(&message.code).filter(|code| !code.is_empty());
        let key = IdempotencyKey::never(caller);
        let shows = shows(message.current_password, code, key, violations)?;
        let enrolled =
            self.accounts.second_factors.enrol_totp(deadline, caller, shows, origin).await?;
        Ok(Response::new(pb::EnrolTotpResponse { totp: Some(wire::totp(enrolled)) }))
    }

    async fn confirm_totp(
        &self,
        request: Request<pb::ConfirmTotpRequest>,
    ) -> Result<Response<pb::ConfirmTotpResponse>, Status> {
        let Opened { deadline, caller: (caller, origin), message, mut violations } =
            open_as(request)?;
        let code = violations.keep("code", wire::app_code(&message.code));
        let code = violations.finish_with(code)?;
        let codes =
            self.accounts.second_factors.confirm_totp(deadline, caller, code, origin).await?;
        let recovery_codes = wire::recovery_codes(&codes);
        Ok(Response::new(pb::ConfirmTotpResponse { recovery_codes }))
    }

    async fn regenerate_recovery_codes(
        &self,
        request: Request<pb::RegenerateRecoveryCodesRequest>,
    ) -> Result<Response<pb::RegenerateRecoveryCodesResponse>, Status> {
        let Opened { deadline, caller: (caller, origin), message, violations } = open_as(request)?;
        let (code, key) = (Some(&message.code), IdempotencyKey::never(caller));
        let shows = shows(message.current_password, code, key, violations)?;
        let codes = self
            .accounts
            .second_factors
            .regenerate_recovery_codes(deadline, caller, shows, origin)
            .await?;
        let recovery_codes = wire::recovery_codes(&codes);
        Ok(Response::new(pb::RegenerateRecoveryCodesResponse { recovery_codes }))
    }

    async fn disable_totp(
        &self,
        request: Request<pb::DisableTotpRequest>,
    ) -> Result<Response<pb::DisableTotpResponse>, Status> {
        let OpenedWrite {
            deadline,
            caller: (caller, origin),
            message,
            violations,
            idempotency_key,
        } = self.requests.open_as(request)?;
        let disable = async |idempotency_key| {
            let shows =
                shows(message.current_password, Some(&message.code), idempotency_key, violations)?;
            self.accounts.second_factors.disable_totp(deadline, caller, shows, origin).await
        };
        idempotency_key.carry_out_untold(deadline, disable).await?;
        Ok(Response::new(pb::DisableTotpResponse {}))
    }

    async fn enrol_totp_at_log_in(
        &self,
        request: Request<pb::EnrolTotpAtLogInRequest>,
    ) -> Result<Response<pb::EnrolTotpAtLogInResponse>, Status> {
        let Opened { deadline, caller: origin, message, mut violations } = open_as(request)?;
        let challenge = message.challenge;
        if challenge.is_empty() {
            violations.add("challenge", "must be set");
            return Err(violations.into_fault().into());
        }
        let enrolled =
            self.accounts.second_factors.enrol_totp_at_log_in(deadline, &challenge, origin).await?;
        Ok(Response::new(pb::EnrolTotpAtLogInResponse { totp: Some(wire::totp(enrolled)) }))
    }

    async fn reset_second_factor(
        &self,
        request: Request<pb::ResetSecondFactorRequest>,
    ) -> Result<Response<pb::ResetSecondFactorResponse>, Status> {
        let OpenedWrite {
            deadline,
            caller: (caller, origin),
            message,
            violations,
            idempotency_key,
        } = self.requests.open_as(request)?;
        let (permit, expected) = another(caller, (&message.name, &message.etag), violations)?;
        let reset = |idempotency_key| {
            self.accounts.second_factors.reset(deadline, permit, expected, idempotency_key, origin)
        };
        let user = idempotency_key.carry_out(deadline, reset).await?;
        Ok(Response::new(pb::ResetSecondFactorResponse { user: Some(auth_wire::user(&user)) }))
    }
}

/// The password of a request, and its code where it must have one.
fn shows(
    password: String,
    code: Option<&String>,
    idempotency_key: IdempotencyKey,
    mut violations: Violations,
) -> Result<ReauthenticationInput, Fault> {
    let password = SecretString::from(password);
    violations.keep("current_password", present(&password));
    let code = code.and_then(|code| violations.keep("code", Typed::parse(code)));
    violations.finish()?;
    Ok(ReauthenticationInput { password, code, idempotency_key })
}
