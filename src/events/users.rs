//! Events of accounts, and their data. The names of the fields are the keys of the stored JSON: they are read in rows
//! of all versions, and never change.

use serde::{Deserialize, Serialize};

use super::table::event_table;
use crate::{
    identity::Role,
    kernel::{id::UserId, zone::Zone},
};

event_table! {
    /// What happened to an account.
    kind UserEventKind;
    /// A change of an account, as its history tells it.
    data UserEvent;
    plain {
        /// Its password changed.
        PasswordChanged = "password_changed",
        /// Its password was set by a code.
        PasswordReset = "password_reset",
        /// It was shown that its address is its owner's.
        EmailVerified = "email_verified",
        /// It has another address.
        EmailChanged = "email_changed",
        /// It was shut out.
        Disabled = "disabled",
        /// It was let in again.
        Enabled = "enabled",
        /// Its second factor was confirmed.
        SecondFactorEnabled = "second_factor_enabled",
        /// Its owner took the second factor off.
        SecondFactorDisabled = "second_factor_disabled",
        /// An admin took the second factor off.
        SecondFactorReset = "second_factor_reset",
    }
    with {
        /// It was made, by its owner or at the command line.
        SignedUp(RoleGiven) = "signed_up",
        /// It was made by somebody else.
        Enrolled(RoleGiven) = "enrolled",
        /// Its name, address, phone number or zone was corrected by an admin.
        Corrected(FieldsCorrected) = "corrected",
        /// Another account of the same person went into it.
        Merged(DuplicateMerged) = "merged",
        /// Its name, zone or phone number changed.
        ProfileChanged(Profile) = "profile_changed",
        /// Its role changed.
        RoleChanged(RoleGiven) = "role_changed",
        /// It was deleted, by its owner or by an admin.
        Erased(AccountErasure) = "erased",
    }
}

/// The role that an account has from now on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct RoleGiven {
    /// The role.
    pub role: Role,
}

/// Which fields were corrected. Not what stands in them: events outlive accounts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FieldsCorrected {
    /// The fields that differ now.
    pub fields: Vec<UserField>,
}

/// A field of an account.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum UserField {
    /// The name.
    DisplayName,
    /// The email address.
    Email,
    /// The phone number.
    Phone,
    /// The time zone.
    TimeZone,
}

/// Another account that went into this one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct DuplicateMerged {
    /// The id of the other account.
    pub duplicate: UserId,
}

/// What people change about themselves, after the change.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Profile {
    /// The name.
    pub display_name: String,
    /// The time zone.
    pub time_zone: Zone,
    /// Whether the phone number was set or taken away; rows of old versions lack it. The number itself is not told.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub phone_changed: Option<bool>,
}

/// An account that was closed for good.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct AccountErasure {
    /// The account of the same person that it went into, if it did.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub merged_into: Option<UserId>,
}
