//! Mail: emails to people, which wait in the database until they are sent.
//!
//! An email is written in the transaction of what it tells, so that neither is there without the other, and
//! sent by whichever process finds it due. It may arrive twice when a process ends between sending and
//! noting it, with the same message id. It is sealed while it waits: the code in it opens an account.

pub mod commands;
pub mod render;
pub mod service;
pub mod store;

use aws_lc_rs::hmac;
use chrono::TimeDelta;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::{
    identity::{Origin, email::Email},
    kernel::{
        time::Instant,
        zone::{Zone, ZoneData},
    },
};

/// What an email says: the name of a template and what goes into it.
///
/// What strangers chose (a name at a sign-up) is in no email to an address that is not known to be
/// theirs: it would make the server send their words to anybody.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
#[expect(missing_docs, reason = "the fields are the words of the templates")]
pub enum EmailTemplate {
    /// A sign-up waits for this code.
    ConfirmSignUp { code: String },
    /// The account's address can be verified with this code.
    VerifyEmail { name: String, code: String },
    /// Somebody signed up with an address that has an account; the code resets its password.
    AccountExists { name: String, code: String },
    /// The code sets a new password.
    ResetPassword { name: String, code: String },
    /// The code makes this the address of an account.
    ConfirmEmailChange { code: String },
    /// Another account wanted to have this address.
    AddressInUse { name: String },
    /// Told to the present address: another one is to take its place.
    EmailChangeRequested { name: String, new_email: String },
    /// Told to the former address.
    EmailChanged { name: String, new_email: String },
    /// The password was changed or reset.
    PasswordChanged { name: String, at: String, address: String },
    /// A log-in with a device that was not known.
    NewLogIn { name: String, at: String, address: String, device: String },
    /// A second factor is asked for from now on.
    SecondFactorOn { name: String, at: String, address: String },
    /// Another app took the place of the one before.
    SecondFactorReplaced { name: String, at: String, address: String },
    /// The account's owner took the second factor off it.
    SecondFactorOff { name: String, at: String, address: String },
    /// An admin did. From where is nobody else's to know.
    SecondFactorReset { name: String, at: String },
    /// New recovery codes took the place of those before.
    RecoveryCodesMade { name: String, at: String, address: String },
    /// A recovery code was used; so many are left.
    RecoveryCodeUsed { name: String, at: String, address: String, left: String },
    /// The account was deleted by its owner.
    AccountDeleted { name: String, at: String, address: String },
    /// The account was deleted by an admin.
    AccountErased { name: String, at: String },
    /// Told to a provider: so many appointments are no longer at the time of day that was promised.
    AppointmentsDrifted { name: String, count: String, list: String, zone_data: String },
    /// Staff made an account for whoever reads this; the code sets its first password. Without the name, which
    /// staff typed, since nobody knows yet whose address it is.
    Invitation { code: String },
    /// Told to the address of an account that went into another one of the same person.
    AccountMerged { name: String, at: String },
    /// Nothing, to nobody: where there is no such account, so that as much is done as where there is one.
    Nothing,
}

impl EmailTemplate {
    /// The name of the template.
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::ConfirmSignUp { .. } => "confirm_sign_up",
            Self::VerifyEmail { .. } => "verify_email",
            Self::AccountExists { .. } => "account_exists",
            Self::ResetPassword { .. } => "reset_password",
            Self::ConfirmEmailChange { .. } => "confirm_email_change",
            Self::AddressInUse { .. } => "address_in_use",
            Self::EmailChangeRequested { .. } => "email_change_requested",
            Self::EmailChanged { .. } => "email_changed",
            Self::PasswordChanged { .. } => "password_changed",
            Self::NewLogIn { .. } => "new_log_in",
            Self::SecondFactorOn { .. } => "second_factor_on",
            Self::SecondFactorReplaced { .. } => "second_factor_replaced",
            Self::SecondFactorOff { .. } => "second_factor_off",
            Self::SecondFactorReset { .. } => "second_factor_reset",
            Self::RecoveryCodesMade { .. } => "recovery_codes_made",
            Self::RecoveryCodeUsed { .. } => "recovery_code_used",
            Self::AccountDeleted { .. } => "account_deleted",
            Self::AccountErased { .. } => "account_erased",
            Self::AppointmentsDrifted { .. } => "appointments_drifted",
            Self::Invitation { .. } => "invitation",
            Self::AccountMerged { .. } => "account_merged",
            Self::Nothing => "nothing",
        }
    }

    /// How long a notification is worth sending.
    pub const fn lifetime(&self) -> TimeDelta {
        match self {
            Self::AccountDeleted { .. }
            | Self::AccountErased { .. }
            | Self::AccountMerged { .. } => FAREWELL,
            _ => NOTICE,
        }
    }

    /// The code in it, and the page that takes such codes.
    pub fn code(&self) -> Option<(&str, &'static str)> {
        match self {
            Self::ConfirmSignUp { code } | Self::VerifyEmail { code, .. } => {
                Some((code, "verify-email"))
            }
            Self::AccountExists { code, .. }
            | Self::ResetPassword { code, .. }
            | Self::Invitation { code } => Some((code, "reset-password")),
            Self::ConfirmEmailChange { code } => Some((code, "change-email")),
            _ => None,
        }
    }
}

// With a code in it, it opens an account.
impl std::fmt::Debug for EmailTemplate {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.kind())
    }
}

/// What is sealed of an email.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Contents {
    /// The address that the email goes to, in its normal form. Only one recipient.
    pub to: Email,
    /// The text of the email.
    pub text: EmailTemplate,
}

/// A keyed hash of an address: by it emails are found, and nobody reads whose they are.
pub type Recipient = [u8; 32];

/// The hash of an address under a key.
pub fn recipient(key: &[u8; 32], to: &Email) -> Recipient {
    let key = hmac::Key::new(hmac::HMAC_SHA256, key);
    let tag = hmac::sign(&key, to.as_str().as_bytes());
    let mut hash = [0; 32];
    hash.iter_mut().zip(tag.as_ref()).for_each(|(to, from)| *to = *from);
    hash
}

/// An email that waits.
#[derive(Debug, Clone)]
pub struct OutboxEmail {
    /// The id, which becomes the message id.
    pub id: Uuid,
    /// The name of its template.
    pub kind: &'static str,
    /// The contents, sealed.
    pub sealed: Vec<u8>,
    /// Keyed hash of the recipient's address.
    pub recipient: Recipient,
    /// When it was written, and is due.
    pub written_at: Instant,
    /// After that it is not sent any more.
    pub expires_at: Instant,
}

/// An email that one process sends now.
#[derive(Debug, Clone)]
pub struct LeasedEmail {
    /// Unique id.
    pub id: Uuid,
    /// The name of its template.
    pub kind: String,
    /// The contents, sealed.
    pub sealed: Vec<u8>,
    /// How often it was tried, with this time.
    pub attempts: u32,
    /// After that it is not sent any more.
    pub expires_at: Instant,
}

/// How long what only tells something is worth sending.
pub const NOTICE: TimeDelta = TimeDelta::days(3);
/// The same of the last email to somebody whose account was deleted: until then an address is kept of which
/// nothing else is.
pub const FAREWELL: TimeDelta = TimeDelta::days(1);
/// How long a process has for sending what it took, before another one may.
pub const LEASE: TimeDelta = TimeDelta::minutes(5);

/// How long to wait after so many attempts: 5 seconds, then twice as long each time, up to ten minutes.
pub fn pause(attempts: u32) -> TimeDelta {
    let doubled = attempts.saturating_sub(1).min(7);
    TimeDelta::seconds((5_i64 << doubled).min(600))
}

/// A time as somebody reads it in their own zone.
pub fn told(zones: &ZoneData, at: Instant, zone: Zone) -> String {
    // What cannot be told in the reader's zone is told in UTC, which the text says.
    let rules = zones.rules(zone).unwrap_or_default();
    let wall = rules.wall(at).unwrap_or(at.naive_utc());
    format!("{} ({})", wall.format("%-d %B %Y at %H:%M"), rules.zone())
}

/// What a client calls itself, without what could be a link: anybody can claim anything there.
pub fn device(origin: &Origin) -> String {
    let plain = |c: &char| c.is_ascii_alphanumeric() || " ._;,()-+".contains(*c);
    origin.user_agent.chars().filter(plain).take(100).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_to_ten_minutes() {
        let pauses: Vec<i64> = (1..=10).map(|n| pause(n).num_seconds()).collect();
        assert_eq!(pauses, [5, 10, 20, 40, 80, 160, 320, 600, 600, 600]);
        assert_eq!(pause(0), pause(1));
        assert_eq!(pause(u32::MAX).num_seconds(), 600);
    }

    #[test]
    fn times_are_told_in_the_zone_of_the_reader() {
        let at: Instant = "2026-07-01T22:30:00Z".parse().unwrap();
        assert_eq!(
            told(&ZoneData::bundled(), at, Zone::named("Europe/Berlin").unwrap()),
            "2 July 2026 at 00:30 (Europe/Berlin)"
        );
    }

    #[test]
    fn a_device_is_no_link() {
        let user_agent = "Evil/1.0 (see https://evil.example/x?y)\r\nBcc: a@b".to_owned();
        let said = device(&Origin { user_agent, ..Origin::default() });
        assert_eq!(said, "Evil1.0 (see httpsevil.examplexy)Bcc ab");
    }

    #[test]
    fn a_text_prints_no_code() {
        let text = EmailTemplate::ConfirmSignUp { code: "secret".to_owned() };
        assert_eq!(format!("{text:?}"), "confirm_sign_up");
        let stored = serde_json::to_value(&text).unwrap();
        assert_eq!(stored["kind"], text.kind());
    }
}
