//! Second factors, and the two steps of a log-in, as messages.

use super::{
    auth_wire,
    convert::timestamp,
    proto::auth::{self as pb, second_factor::State, second_step::Kind},
};
use crate::{
    accounts::{
        second_factor::{
            Seen, Typed,
            rules::{Need, RecoveryCode},
            service::Enrolled,
        },
        sessions::{
            log_in_service::{LogIn, SecondStep},
            service::{LoggedIn, session_name},
        },
    },
    kernel::fault::{Fault, Violations},
};

pub(super) fn log_in(answer: LogIn) -> pb::LogInResponse {
    match answer {
        LogIn::In(logged_in) => {
            let LoggedIn { user, access, refresh, session, device, .. } = *logged_in;
            pb::LogInResponse {
                session: session_name(user.id, session),
                access_token: access.text,
                expire_time: Some(timestamp(access.expires_at)),
                user: Some(auth_wire::user(&user)),
                refresh_token: refresh.text,
                refresh_expire_time: Some(timestamp(refresh.expires_at)),
                device_token: device,
                second_step: None,
            }
        }
        LogIn::SecondStep(step) => {
            pb::LogInResponse { second_step: Some(second_step(step)), ..Default::default() }
        }
    }
}

fn second_step(step: SecondStep) -> pb::SecondStep {
    let kinds: &[Kind] = match step.need {
        Need::Code => &[Kind::Totp, Kind::RecoveryCode],
        Need::Enrolment => &[Kind::TotpEnrolment],
    };
    pb::SecondStep {
        challenge: step.challenge,
        expire_time: Some(timestamp(step.expires_at)),
        kinds: kinds.iter().map(|kind| i32::from(*kind)).collect(),
    }
}

/// The challenge of a `CompleteLogIn`, and what is shown: one of a code and a recovery code.
pub(super) fn completes(message: &pb::CompleteLogInRequest) -> Result<(String, Typed), Fault> {
    let pb::CompleteLogInRequest { challenge, code, recovery_code } = message;
    let mut violations = Violations::new();
    if challenge.is_empty() {
        violations.add("challenge", "must be set");
    }
    let typed = match (code.as_str(), recovery_code.as_str()) {
        ("", "") => violations.keep("code", Err("must be set, or recovery_code")),
        (code, "") => violations.keep("code", app_code(code).map(Typed::Code)),
        ("", recovery) => {
            let read = RecoveryCode::parse(recovery).map(Typed::Recovery);
            violations.keep("recovery_code", read.ok_or("must be a recovery code as it was shown"))
        }
        _ => violations.keep("code", Err("must be empty where recovery_code is set")),
    };
    violations.finish()?;
    Ok((challenge.clone(), typed.ok_or_else(Fault::unchecked)?))
}

/// A code of an app, and no recovery code.
pub(super) fn app_code(text: &str) -> Result<String, &'static str> {
    match Typed::parse(text) {
        Ok(Typed::Code(code)) => Ok(code),
        Ok(Typed::Recovery(_)) | Err(_) => Err("must be the six digits of an app"),
    }
}

pub(super) fn completed(answer: LoggedIn) -> pb::CompleteLogInResponse {
    let LoggedIn { user, access, refresh, session, device, recovery } = answer;
    pb::CompleteLogInResponse {
        session: session_name(user.id, session),
        access_token: access.text,
        expire_time: Some(timestamp(access.expires_at)),
        user: Some(auth_wire::user(&user)),
        refresh_token: refresh.text,
        refresh_expire_time: Some(timestamp(refresh.expires_at)),
        device_token: device,
        recovery_codes: recovery_codes(&recovery),
    }
}

pub(super) fn recovery_codes(codes: &[RecoveryCode]) -> Vec<String> {
    codes.iter().map(RecoveryCode::text).collect()
}

pub(super) fn totp(enrolled: Enrolled) -> pb::TotpSecret {
    pb::TotpSecret { secret: enrolled.base32, uri: enrolled.uri }
}

pub(super) fn second_factor((seen, required): (Seen, bool)) -> pb::SecondFactor {
    let state = match (seen.since, seen.pending.is_some()) {
        (Some(_), _) => State::On,
        (None, true) => State::Pending,
        (None, false) => State::None,
    };
    pb::SecondFactor {
        state: state.into(),
        enable_time: seen.since.map(timestamp),
        recovery_codes_left: i32::try_from(seen.left).unwrap_or_default(),
        required,
        replacement_pending: seen.since.is_some() && seen.pending.is_some(),
    }
}
