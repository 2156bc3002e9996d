//! Accounts, sessions and the audit trail as messages.

use chrono::TimeDelta;
use serde_json::json;
use uuid::Uuid;

use super::convert::{duration, etag, timestamp};
use crate::grpc::proto::auth::{self as pb, audit_event};
use crate::{
    accounts::{
        Prefix, User,
        audit::{AuditAction, AuditEntry},
        sessions::{Session, service::session_name},
        signing::signing_key::PublicKey,
        store::Filter,
    },
    identity::{Caller, Role},
    kernel::{
        fault::Violations,
        id::{ProviderId, UserId},
        text,
        time::Instant,
    },
};

pub(super) fn role(wire: i32) -> Option<Role> {
    match pb::Role::try_from(wire) {
        Ok(pb::Role::Customer) => Some(Role::Customer),
        Ok(pb::Role::Provider) => Some(Role::Provider),
        Ok(pb::Role::Admin) => Some(Role::Admin),
        Ok(pb::Role::Unspecified) | Err(_) => None,
    }
}

pub(super) fn user(account: &User) -> pb::User {
    let role = match account.role {
        Role::Customer => pb::Role::Customer,
        Role::Provider => pb::Role::Provider,
        Role::Admin => pb::Role::Admin,
    };
    pb::User {
        name: account.id.name(),
        display_name: account.display_name.clone(),
        email: account.email.address().to_owned(),
        role: role.into(),
        time_zone: account.time_zone.name().to_owned(),
        disabled: account.disabled,
        provider: account.provider().map(ProviderId::name).unwrap_or_default(),
        create_time: Some(timestamp(account.created_at)),
        update_time: Some(timestamp(account.updated_at)),
        etag: etag(account.revision()),
        email_verified: account.email_verified_at.is_some(),
        phone: phone(account),
    }
}

/// Somebody's phone number; empty where it is not known.
pub(super) fn phone(account: &User) -> String {
    account.phone.as_ref().map(|phone| phone.as_str().to_owned()).unwrap_or_default()
}

/// The longest prefix that is looked for, in characters: that of an address.
const LONGEST_PREFIX: usize = 254;

/// Which accounts to list.
pub(super) fn user_filter(message: &pb::ListUsersRequest, violations: &mut Violations) -> Filter {
    use pb::list_users_request::State;
    let prefix = violations.keep("prefix", text::lines(&message.prefix, LONGEST_PREFIX));
    let prefix = prefix.filter(|prefix| !prefix.trim().is_empty());
    let role = (message.role != 0)
        .then(|| {
            let role = role(message.role);
            let role = role.ok_or("must be ROLE_CUSTOMER, ROLE_PROVIDER or ROLE_ADMIN");
            violations.keep("role", role)
        })
        .flatten();
    let disabled = match State::try_from(message.state) {
        Ok(State::Unspecified) => None,
        Ok(State::Enabled) => Some(false),
        Ok(State::Disabled) => Some(true),
        Err(_) => {
            violations.add("state", "must be one of STATE_ENABLED and STATE_DISABLED, or absent");
            None
        }
    };
    Filter { prefix: prefix.map(|prefix| Prefix::new(&prefix)), role, disabled }
}

pub(super) fn session(session: &Session, due: Instant, caller: Caller) -> pb::Session {
    pb::Session {
        name: session_name(session.user, session.id),
        create_time: Some(timestamp(session.created_at)),
        last_use_time: Some(timestamp(session.used_at)),
        expire_time: Some(timestamp(due)),
        address: session.address.clone(),
        user_agent: session.user_agent.clone(),
        current: session.id == caller.session,
    }
}

/// Parses the resource name `users/{user}/sessions/{session}`. `None` if the text has another form.
pub(super) fn parse_session(name: &str) -> Option<(UserId, Uuid)> {
    let (user, session) = name.split_once("/sessions/")?;
    let (user, id) = (UserId::parse(user)?, Uuid::try_parse(session).ok()?);
    (id.to_string() == session).then_some((user, id))
}

pub(super) fn audit_event(entry: &AuditEntry) -> pb::AuditEvent {
    let name = |id: Option<UserId>| id.map(UserId::name).unwrap_or_default();
    let session = entry.user.zip(entry.session).map(|(user, session)| session_name(user, session));
    pb::AuditEvent {
        event_id: entry.id.to_string(),
        occur_time: Some(timestamp(entry.at)),
        kind: kind(entry.act).into(),
        user: name(entry.user),
        actor: name(entry.actor),
        session: session.unwrap_or_default(),
        address: entry.address.clone(),
        detail: entry.detail.to_string(),
        call_id: entry.call_id.clone(),
    }
}

fn kind(act: AuditAction) -> audit_event::Kind {
    match act {
        AuditAction::LoggedIn => audit_event::Kind::LoggedIn,
        AuditAction::LogInFailed => audit_event::Kind::LogInFailed,
        AuditAction::LoggedOut => audit_event::Kind::LoggedOut,
        AuditAction::SessionRevoked => audit_event::Kind::SessionRevoked,
        AuditAction::SessionsRevoked => audit_event::Kind::SessionsRevoked,
        AuditAction::RefreshTokenReused => audit_event::Kind::RefreshTokenReused,
        AuditAction::PasswordChanged => audit_event::Kind::PasswordChanged,
        AuditAction::PasswordReset => audit_event::Kind::PasswordReset,
        AuditAction::EmailVerified => audit_event::Kind::EmailVerified,
        AuditAction::EmailChangeRequested => audit_event::Kind::EmailChangeRequested,
        AuditAction::EmailChanged => audit_event::Kind::EmailChanged,
        AuditAction::RoleChanged => audit_event::Kind::RoleChanged,
        AuditAction::Disabled => audit_event::Kind::Disabled,
        AuditAction::Enabled => audit_event::Kind::Enabled,
        AuditAction::SigningKeyRotated => audit_event::Kind::SigningKeyRotated,
        AuditAction::SigningKeysReplaced => audit_event::Kind::SigningKeysReplaced,
        AuditAction::SecondFactorEnabled => audit_event::Kind::SecondFactorEnabled,
        AuditAction::SecondFactorDisabled => audit_event::Kind::SecondFactorDisabled,
        AuditAction::SecondFactorReset => audit_event::Kind::SecondFactorReset,
        AuditAction::SecondFactorFailed => audit_event::Kind::SecondFactorFailed,
        AuditAction::RecoveryCodeUsed => audit_event::Kind::RecoveryCodeUsed,
        AuditAction::RecoveryCodesRegenerated => audit_event::Kind::RecoveryCodesRegenerated,
        AuditAction::ServiceAccountCreated => audit_event::Kind::ServiceAccountCreated,
        AuditAction::ServiceAccountUpdated => audit_event::Kind::ServiceAccountUpdated,
        AuditAction::ServiceAccountDisabled => audit_event::Kind::ServiceAccountDisabled,
        AuditAction::ServiceAccountEnabled => audit_event::Kind::ServiceAccountEnabled,
        AuditAction::ApiKeyCreated => audit_event::Kind::ApiKeyCreated,
        AuditAction::ApiKeyRevoked => audit_event::Kind::ApiKeyRevoked,
        AuditAction::ApiKeyRefused => audit_event::Kind::ApiKeyRefused,
        AuditAction::DataExported => audit_event::Kind::DataExported,
        AuditAction::AccountDeleted => audit_event::Kind::AccountDeleted,
        AuditAction::AccountErased => audit_event::Kind::AccountErased,
        AuditAction::LogInsDelayed => audit_event::Kind::LogInsDelayed,
        AuditAction::AccountCreated => audit_event::Kind::AccountCreated,
        AuditAction::CurrentPasswordWrong => audit_event::Kind::CurrentPasswordWrong,
        AuditAction::PasswordResetRequested => audit_event::Kind::PasswordResetRequested,
        AuditAction::SecondFactorEnrolled => audit_event::Kind::SecondFactorEnrolled,
        AuditAction::SecretsResealed => audit_event::Kind::SecretsResealed,
        AuditAction::AuditForgotten => audit_event::Kind::AuditForgotten,
        AuditAction::CustomerEnrolled => audit_event::Kind::CustomerEnrolled,
        AuditAction::CustomerInvited => audit_event::Kind::CustomerInvited,
        AuditAction::CustomerUpdated => audit_event::Kind::CustomerUpdated,
        AuditAction::CustomersMerged => audit_event::Kind::CustomersMerged,
    }
}

/// The public keys, as messages and as the text of a JSON Web Key Set.
pub(super) fn jwks(keys: &[PublicKey], max_age: TimeDelta) -> pb::GetJwksResponse {
    let keys: Vec<_> = keys.iter().map(jwk).collect();
    let json = keys.iter().map(|key| {
        let pb::Jwk { kty, crv, x, kid, r#use, alg } = key;
        json!({ "kty": kty, "crv": crv, "x": x, "kid": kid, "use": r#use, "alg": alg })
    });
    let json = json!({ "keys": json.collect::<Vec<_>>() }).to_string();
    pb::GetJwksResponse { keys, json, max_age: Some(duration(max_age)) }
}

fn jwk(key: &PublicKey) -> pb::Jwk {
    pb::Jwk {
        kty: "OKP".to_owned(),
        crv: "Ed25519".to_owned(),
        x: key.x(),
        kid: key.kid.to_string(),
        r#use: "sig".to_owned(),
        alg: "EdDSA".to_owned(),
    }
}

/// The act of a kind; nothing for what no act is.
pub(super) fn act(wire: i32) -> Option<AuditAction> {
    AuditAction::ALL.iter().copied().find(|act| i32::from(kind(*act)) == wire)
}
