//! Entries of the audit trail, and their data. The names of the fields are the keys of the stored JSON, which admins
//! and programs read: they never change.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::{
    table::event_table,
    users::{AccountErasure, DuplicateMerged, FieldsCorrected, RoleGiven},
};
use crate::{
    identity::{Role, authority::ActFor},
    kernel::time::Instant,
};

event_table! {
    /// What happened.
    kind AuditAction;
    /// What an entry of the audit trail tells beside who, when and from where: never a secret.
    data AuditData;
    plain {
        /// Somebody logged in; a session began.
        LoggedIn = "logged_in",
        /// A log-in failed.
        LogInFailed = "log_in_failed",
        /// Somebody logged out; the session ended.
        LoggedOut = "logged_out",
        /// A session was ended by its owner or by an admin.
        SessionRevoked = "session_revoked",
        /// A password changed.
        PasswordChanged = "password_changed",
        /// A password was set by a code.
        PasswordReset = "password_reset",
        /// It was shown that an address is its owner's.
        EmailVerified = "email_verified",
        /// Somebody asked for another address for an account.
        EmailChangeRequested = "email_change_requested",
        /// An account has another address.
        EmailChanged = "email_changed",
        /// An account was shut out.
        Disabled = "disabled",
        /// An account was let in again.
        Enabled = "enabled",
        /// A second factor was confirmed.
        SecondFactorEnabled = "second_factor_enabled",
        /// An account's owner took the second factor off it.
        SecondFactorDisabled = "second_factor_disabled",
        /// An admin took the second factor off an account.
        SecondFactorReset = "second_factor_reset",
        /// New recovery codes took the place of the old ones.
        RecoveryCodesRegenerated = "recovery_codes_regenerated",
        /// Somebody was given all that is stored about them.
        DataExported = "data_exported",
        /// An account was deleted by its owner.
        AccountDeleted = "account_deleted",
        /// Secrets of so many accounts were guessed that log-ins from unknown devices are delayed.
        LogInsDelayed = "log_ins_delayed",
        /// Somebody who is logged in was asked for the password again, and gave another one.
        CurrentPasswordWrong = "current_password_wrong",
        /// Somebody asked for a code by which a password can be set.
        PasswordResetRequested = "password_reset_requested",
        /// An app was enrolled as a second factor, to be confirmed.
        SecondFactorEnrolled = "second_factor_enrolled",
        /// The owner of an account without a password was invited to take it over.
        CustomerInvited = "customer_invited",
    }
    with {
        /// All sessions of an account were ended, or all but one.
        SessionsRevoked(SessionsEnded) = "sessions_revoked",
        /// A refresh token was used that had been used up before: the session ended.
        RefreshTokenReused(TokenReused) = "refresh_token_reused",
        /// A role changed.
        RoleChanged(RoleGiven) = "role_changed",
        /// The next signing key took over; the one before is still accepted for a while.
        SigningKeyRotated(KeyRotation) = "signing_key_rotated",
        /// All signing keys were replaced at once.
        SigningKeysReplaced(KeysReplaced) = "signing_keys_replaced",
        /// A code was wrong or used up.
        SecondFactorFailed(CodeFailed) = "second_factor_failed",
        /// A recovery code was used up.
        RecoveryCodeUsed(CodesLeft) = "recovery_code_used",
        /// A service account was made.
        ServiceAccountCreated(ServiceCreated) = "service_account_created",
        /// Its name changed, or whom it may act for.
        ServiceAccountUpdated(ServiceUpdated) = "service_account_updated",
        /// A service account was shut out.
        ServiceAccountDisabled(ServiceNamed) = "service_account_disabled",
        /// A service account was let in again.
        ServiceAccountEnabled(ServiceNamed) = "service_account_enabled",
        /// An API key was made.
        ApiKeyCreated(KeyCreated) = "api_key_created",
        /// An API key was revoked.
        ApiKeyRevoked(KeyNamed) = "api_key_revoked",
        /// An API key that exists was refused.
        ApiKeyRefused(KeyRefused) = "api_key_refused",
        /// An account was deleted by an admin.
        AccountErased(AccountErasure) = "account_erased",
        /// An account was made.
        AccountCreated(RoleGiven) = "account_created",
        /// An operator's command seals secrets anew.
        SecretsResealed(Resealing) = "secrets_resealed",
        /// An operator's command removed old entries.
        AuditForgotten(Forgotten) = "audit_forgotten",
        /// Staff made an account for a customer.
        CustomerEnrolled(RoleGiven) = "customer_enrolled",
        /// An admin corrected an account.
        CustomerUpdated(FieldsCorrected) = "customer_updated",
        /// An account went into another one of the same person.
        CustomersMerged(DuplicateMerged) = "customers_merged",
    }
}

/// The end of all sessions of an account.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct SessionsEnded {
    /// The one that stays, if one does.
    pub kept: Option<Uuid>,
}

/// A refresh token that was used twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct TokenReused {
    /// When the session's token was last exchanged.
    pub rotated_at: Instant,
}

/// Why signing keys are rotated.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RotatedBy {
    /// The active key is old.
    Age,
    /// An operator's command.
    Command,
}

/// The next signing key took over.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyRotation {
    /// Why the key changed: the age of the active key, or an operator's command.
    pub by: RotatedBy,
    /// The id of the key before.
    pub retiring: Option<String>,
    /// The id of the key that signs.
    pub active: Option<String>,
    /// The id of the key that comes next.
    pub next: String,
}

/// Other signing keys.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeysReplaced {
    /// The ids of the keys that are accepted no more.
    pub gone: Vec<String>,
    /// The id of the key that signs.
    pub active: String,
    /// The id of the key that comes next.
    pub next: String,
}

/// A kind of code of a second factor.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CodeKind {
    /// Of an app.
    Code,
    /// A recovery code.
    RecoveryCode,
}

/// A code that was wrong or used up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct CodeFailed {
    /// Which kind of code.
    pub shown: CodeKind,
}

/// Recovery codes that are left.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct CodesLeft {
    /// How many.
    pub left: usize,
}

/// A new service account.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServiceCreated {
    /// Its resource name.
    pub service_account: String,
    /// What it may do as itself.
    pub role: Role,
    /// Whom it may act for.
    pub act_for: ActFor,
}

/// A changed service account.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServiceUpdated {
    /// Its resource name.
    pub service_account: String,
    /// Whom it may act for.
    pub act_for: ActFor,
}

/// A service account.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServiceNamed {
    /// Its resource name.
    pub service_account: String,
}

/// A new API key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyCreated {
    /// The resource name of its service account.
    pub service_account: String,
    /// Its resource name.
    pub api_key: String,
    /// The services and methods that it is good for.
    pub scopes: Vec<String>,
    /// When it ends.
    pub expires: Instant,
}

/// An API key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyNamed {
    /// The resource name of its service account.
    pub service_account: String,
    /// Its resource name.
    pub api_key: String,
}

/// Why a key that exists was refused; for the audit trail.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Refusal {
    /// The secret is another one.
    WrongSecret,
    /// It was revoked.
    Revoked,
    /// The key is past its expiry.
    Expired,
    /// Its service account is disabled.
    Disabled,
    /// It is not for the method.
    ScopeMissing,
    /// The service account may not act for whom it named.
    ActFor,
}

/// An API key that was refused.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyRefused {
    /// The resource name of its service account.
    pub service_account: String,
    /// Its resource name.
    pub api_key: String,
    /// Why, the last time.
    pub why: Refusal,
    /// How often in all since that was last written down.
    pub count: u64,
}

/// How far a command is that seals secrets anew.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "snake_case")]
pub enum Resealing {
    /// It began.
    Begun {
        /// The id of the master key that seals.
        master_key: String,
    },
    /// It ended.
    Ended {
        /// The id of the master key that seals.
        master_key: String,
        /// How many secrets it seals now.
        sealed: u64,
        /// How many secrets no master key of the settings opens.
        lost: u64,
    },
}

/// Old entries that were removed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Forgotten {
    /// Those before this time.
    pub before: Instant,
    /// How many.
    pub removed: u64,
}
