//! The audit trail: what bears on security, written in the transaction of the act itself.

pub mod commands;
pub mod service;
pub mod store;

use serde_json::Value;
use uuid::Uuid;

use crate::{
    identity::Origin,
    kernel::{id::UserId, time::Instant},
};

/// Kind of action in the audit trail.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AuditAction {
    /// Somebody logged in; a session began.
    LoggedIn,
    /// A log-in failed.
    LogInFailed,
    /// Somebody logged out; the session ended.
    LoggedOut,
    /// A session was ended by its owner or by an admin.
    SessionRevoked,
    /// All sessions of an account were ended, or all but one.
    SessionsRevoked,
    /// A refresh token was used that had been used up before: the session ended.
    RefreshTokenReused,
    /// A password changed.
    PasswordChanged,
    /// A password was set by a code.
    PasswordReset,
    /// It was shown that an address is its owner's.
    EmailVerified,
    /// Somebody asked for another address for an account.
    EmailChangeRequested,
    /// An account has another address.
    EmailChanged,
    /// A role changed.
    RoleChanged,
    /// An account was shut out.
    Disabled,
    /// An account was let in again.
    Enabled,
    /// The next signing key took over; the one before is still accepted for a while.
    SigningKeyRotated,
    /// All signing keys were replaced at once.
    SigningKeysReplaced,
    /// A second factor was confirmed.
    SecondFactorEnabled,
    /// An account's owner took the second factor off it.
    SecondFactorDisabled,
    /// An admin took the second factor off an account.
    SecondFactorReset,
    /// A code was wrong or used up.
    SecondFactorFailed,
    /// A recovery code was used up.
    RecoveryCodeUsed,
    /// New recovery codes took the place of the old ones.
    RecoveryCodesRegenerated,
    /// A service account was made.
    ServiceAccountCreated,
    /// Its name changed, or whom it may act for.
    ServiceAccountUpdated,
    /// A service account was shut out.
    ServiceAccountDisabled,
    /// A service account was let in again.
    ServiceAccountEnabled,
    /// An API key was made.
    ApiKeyCreated,
    /// An API key was revoked.
    ApiKeyRevoked,
    /// An API key that exists was refused.
    ApiKeyRefused,
    /// Somebody was given all that is stored about them.
    DataExported,
    /// An account was deleted by its owner.
    AccountDeleted,
    /// An account was deleted by an admin.
    AccountErased,
    /// Secrets of so many accounts were guessed that log-ins from unknown devices are delayed.
    LogInsDelayed,
    /// An account was made.
    AccountCreated,
    /// Somebody who is logged in was asked for the password again, and gave another one.
    CurrentPasswordWrong,
    /// Somebody asked for a code by which a password can be set.
    PasswordResetRequested,
    /// An app was enrolled as a second factor, to be confirmed.
    SecondFactorEnrolled,
    /// An operator's command seals secrets anew.
    SecretsResealed,
    /// An operator's command removed old entries.
    AuditForgotten,
    /// Staff made an account for a customer.
    CustomerEnrolled,
    /// The owner of an account without a password was invited to take it over.
    CustomerInvited,
    /// An admin corrected an account.
    CustomerUpdated,
    /// An account went into another one of the same person.
    CustomersMerged,
}

impl AuditAction {
    /// All variants, in the order of declaration.
    pub const ALL: [Self; 43] = [
        Self::LoggedIn,
        Self::LogInFailed,
        Self::LoggedOut,
        Self::SessionRevoked,
        Self::SessionsRevoked,
        Self::RefreshTokenReused,
        Self::PasswordChanged,
        Self::PasswordReset,
        Self::EmailVerified,
        Self::EmailChangeRequested,
        Self::EmailChanged,
        Self::RoleChanged,
        Self::Disabled,
        Self::Enabled,
        Self::SigningKeyRotated,
        Self::SigningKeysReplaced,
        Self::SecondFactorEnabled,
        Self::SecondFactorDisabled,
        Self::SecondFactorReset,
        Self::SecondFactorFailed,
        Self::RecoveryCodeUsed,
        Self::RecoveryCodesRegenerated,
        Self::ServiceAccountCreated,
        Self::ServiceAccountUpdated,
        Self::ServiceAccountDisabled,
        Self::ServiceAccountEnabled,
        Self::ApiKeyCreated,
        Self::ApiKeyRevoked,
        Self::ApiKeyRefused,
        Self::DataExported,
        Self::AccountDeleted,
        Self::AccountErased,
        Self::LogInsDelayed,
        Self::AccountCreated,
        Self::CurrentPasswordWrong,
        Self::PasswordResetRequested,
        Self::SecondFactorEnrolled,
        Self::SecretsResealed,
        Self::AuditForgotten,
        Self::CustomerEnrolled,
        Self::CustomerInvited,
        Self::CustomerUpdated,
        Self::CustomersMerged,
    ];

    /// The word used in the table.
    pub const fn word(self) -> &'static str {
        match self {
            Self::LoggedIn => "logged_in",
            Self::LogInFailed => "log_in_failed",
            Self::LoggedOut => "logged_out",
            Self::SessionRevoked => "session_revoked",
            Self::SessionsRevoked => "sessions_revoked",
            Self::RefreshTokenReused => "refresh_token_reused",
            Self::PasswordChanged => "password_changed",
            Self::PasswordReset => "password_reset",
            Self::EmailVerified => "email_verified",
            Self::EmailChangeRequested => "email_change_requested",
            Self::EmailChanged => "email_changed",
            Self::RoleChanged => "role_changed",
            Self::Disabled => "disabled",
            Self::Enabled => "enabled",
            Self::SigningKeyRotated => "signing_key_rotated",
            Self::SigningKeysReplaced => "signing_keys_replaced",
            Self::SecondFactorEnabled => "second_factor_enabled",
            Self::SecondFactorDisabled => "second_factor_disabled",
            Self::SecondFactorReset => "second_factor_reset",
            Self::SecondFactorFailed => "second_factor_failed",
            Self::RecoveryCodeUsed => "recovery_code_used",
            Self::RecoveryCodesRegenerated => "recovery_codes_regenerated",
            Self::ServiceAccountCreated => "service_account_created",
            Self::ServiceAccountUpdated => "service_account_updated",
            Self::ServiceAccountDisabled => "service_account_disabled",
            Self::ServiceAccountEnabled => "service_account_enabled",
            Self::ApiKeyCreated => "api_key_created",
            Self::ApiKeyRevoked => "api_key_revoked",
            Self::ApiKeyRefused => "api_key_refused",
            Self::DataExported => "data_exported",
            Self::AccountDeleted => "account_deleted",
            Self::AccountErased => "account_erased",
            Self::LogInsDelayed => "log_ins_delayed",
            Self::AccountCreated => "account_created",
            Self::CurrentPasswordWrong => "current_password_wrong",
            Self::PasswordResetRequested => "password_reset_requested",
            Self::SecondFactorEnrolled => "second_factor_enrolled",
            Self::SecretsResealed => "secrets_resealed",
            Self::AuditForgotten => "audit_forgotten",
            Self::CustomerEnrolled => "customer_enrolled",
            Self::CustomerInvited => "customer_invited",
            Self::CustomerUpdated => "customer_updated",
            Self::CustomersMerged => "customers_merged",
        }
    }

    /// Reads the word.
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|act| act.word() == word)
    }
}

/// One line of the trail.
#[derive(Debug, Clone, PartialEq)]
pub struct AuditEntry {
    /// The id; ids ascend with time.
    pub id: Uuid,
    /// The time of the act, UTC.
    pub at: Instant,
    /// What was done, or refused.
    pub act: AuditAction,
    /// To whose account.
    pub user: Option<UserId>,
    /// Who did it, if that is known.
    pub actor: Option<UserId>,
    /// To which session.
    pub session: Option<Uuid>,
    /// From which address, if that is known.
    pub address: String,
    /// More about it: never a secret.
    pub detail: Value,
    /// The id of the call that did it; empty if no call did.
    pub call_id: String,
}

/// Which entries to list.
#[derive(Debug, Clone, Default)]
pub struct Filter {
    /// Only of this account.
    pub user: Option<UserId>,
    /// Only entries with this action.
    pub act: Option<AuditAction>,
    /// Only from then on.
    pub from: Option<Instant>,
    /// Only before then.
    pub until: Option<Instant>,
}

/// Who acts, from where, under which id: what entries have in common.
#[derive(Debug, Clone)]
pub struct AuditContext {
    /// The id of the entry.
    pub id: Uuid,
    /// Who, if that is known.
    pub actor: Option<UserId>,
    /// Where the call comes from: IP address and client.
    pub origin: Origin,
    /// The time of the act, UTC.
    pub now: Instant,
}

impl AuditContext {
    /// An entry about an account.
    pub fn of(
        &self,
        act: AuditAction,
        user: Option<UserId>,
        session: Option<Uuid>,
        detail: Value,
    ) -> AuditEntry {
        AuditEntry {
            id: self.id,
            at: self.now,
            act,
            user,
            actor: self.actor,
            session,
            address: self.origin.address_text(),
            detail,
            call_id: self.origin.call_id.clone(),
        }
    }
}
