//! The emails of accounts: those with a code, and those that only tell something.

use crate::{
    accounts::{
        User,
        emails::{
            StoredCode,
            code::{Code, Purpose},
        },
    },
    identity::{Origin, email::Email},
    kernel::{
        ambient::Ambient,
        fault::{Fault, Reason},
        id::UserId,
        time::Instant,
    },
    mail::{self, EmailTemplate, NOTICE, OutboxEmail, service::Mail, told},
};

/// Composes the emails of accounts.
#[derive(Debug, Clone)]
pub struct EmailComposer {
    ambient: Ambient,
    mail: Mail,
}

impl EmailComposer {
    /// With what seals emails for the outbox, or nothing where mail is off.
    pub fn new(ambient: Ambient, mail: Mail) -> Self {
        Self { ambient, mail }
    }

    /// What seals emails for the outbox.
    pub(in crate::accounts) fn mail(&self) -> &Mail {
        &self.mail
    }

    /// `MAIL_OFF` where this server sends no mail.
    pub(in crate::accounts) fn require_mail(&self) -> Result<(), Fault> {
        if self.mail.is_on() {
            return Ok(());
        }
        Err(Fault::new(Reason::MailOff, "this server sends no mail; ask an admin"))
    }

    /// A code by which the owner of an account that somebody else made takes it over, and what its email says.
    pub(in crate::accounts) fn invitation(&self, user: &User) -> (StoredCode, EmailTemplate) {
        let (now, code) = (self.ambient.now(), Code::new(self.ambient.bytes()));
        let stored = stored(&code, Purpose::Invite, Some(user.id), &user.email, now);
        (stored, EmailTemplate::Invitation { code: code.text() })
    }

    /// A code by which an account's address is verified, and what its email says.
    pub(in crate::accounts) fn verification(&self, user: &User) -> (StoredCode, EmailTemplate) {
        let (now, code) = (self.ambient.now(), Code::new(self.ambient.bytes()));
        let stored = stored(&code, Purpose::Verify, Some(user.id), &user.email, now);
        (stored, EmailTemplate::VerifyEmail { name: known(user), code: code.text() })
    }

    /// The email that a code is sent in, which is worth sending for as long as the code is good.
    pub(in crate::accounts) fn letter(
        &self,
        code: &StoredCode,
        text: EmailTemplate,
    ) -> Result<Option<OutboxEmail>, Fault> {
        self.mail.letter(&code.email, text, code.created_at, code.purpose.lifetime())
    }

    /// An email that only tells something: to addresses alone that are known to be their owners', or anybody
    /// could have emails sent to anybody.
    pub(in crate::accounts) fn notice(
        &self,
        user: &User,
        text: EmailTemplate,
        now: Instant,
    ) -> Result<Option<OutboxEmail>, Fault> {
        if user.email_verified_at.is_none() {
            return Ok(None);
        }
        self.mail.letter(&user.email, text, now, NOTICE)
    }

    /// What tells the owner of an account that its password is another one now.
    pub(in crate::accounts) fn password_changed(
        &self,
        user: &User,
        now: Instant,
        origin: &Origin,
    ) -> Result<Option<OutboxEmail>, Fault> {
        let text = EmailTemplate::PasswordChanged {
            name: known(user),
            at: told(&self.ambient.zones(), now, user.time_zone),
            address: origin.address_text(),
        };
        self.notice(user, text, now)
    }

    /// What tells the owner of an account of a log-in with a device that was not known.
    pub(in crate::accounts) fn new_log_in(
        &self,
        user: &User,
        origin: &Origin,
    ) -> Result<Option<OutboxEmail>, Fault> {
        let now = self.ambient.now();
        let text = EmailTemplate::NewLogIn {
            name: known(user),
            at: told(&self.ambient.zones(), now, user.time_zone),
            address: origin.address_text(),
            device: mail::device(origin),
        };
        self.notice(user, text, now)
    }
}

/// How an email calls somebody: by nothing while it is not known whose address it is.
pub(super) fn known(user: &User) -> String {
    let name = user.email_verified_at.map(|_| user.display_name.clone());
    name.unwrap_or_default()
}

/// What is stored of a new code.
pub(super) fn stored(
    code: &Code,
    purpose: Purpose,
    user: Option<UserId>,
    email: &Email,
    now: Instant,
) -> StoredCode {
    StoredCode {
        hash: code.hash(),
        purpose,
        user,
        email: email.clone(),
        applicant: None,
        created_at: now,
        expires_at: now + purpose.lifetime(),
    }
}
