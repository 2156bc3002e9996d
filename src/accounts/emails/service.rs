//! What callers can do with addresses.

use std::{sync::Arc, time::Duration};

use secrecy::SecretString;

use super::{
    PendingSignUp, StoredCode,
    commands::{BeginChange, Change, Post, Reset, Verify, refused},
    store,
};
use crate::{
    accounts::{
        User,
        audit::{AuditData, AuditEntry},
        emails::code::{Code, Purpose},
        second_factor::challenge::Challenge,
        service::{Accounts, ByEmail, ById, NewUser},
        store::Account,
        throttling::{service::ReservedAttempt, store::ThrottleKeySet},
    },
    identity::{Caller, Origin, email::Email},
    kernel::{
        fault::{Fault, Reason, Violations},
        id::UserId,
        time::Instant,
    },
    mail::{self, EmailTemplate, NOTICE, OutboxEmail, told},
    storage::{
        Deadline, Query, Reader,
        idempotency::{EarlierResponse, IdempotencyKey},
    },
};

/// For emails that no caller waits for.
const BACKGROUND: Duration = Duration::from_secs(5);

impl Accounts {
    /// Public, where addresses are verified: a stranger signs up, and the account is made when the code
    /// comes back. Whether there is an account with the address makes no difference that anybody but its
    /// owner could see.
    pub(in crate::accounts) async fn apply(
        &self,
        deadline: Deadline,
        new: NewUser,
        idempotency_key: IdempotencyKey,
    ) -> Result<(), Fault> {
        let password_hash = self.hasher.hash(new.password).await?;
        let account = self.store.read(deadline, ByEmail(new.email.clone())).await?;
        let applicant = PendingSignUp {
            display_name: new.display_name,
            password_hash,
            role: new.role,
            time_zone: new.time_zone.name().to_owned(),
        };
        let (now, code) = (self.ambient.now(), Code::new(self.ambient.bytes()));
        let text = code.text();
        let (stored, text) = match account {
            None => {
                let stored = stored(&code, Purpose::SignUp, None, &new.email, now);
                let stored = StoredCode { applicant: Some(applicant), ..stored };
                (stored, EmailTemplate::ConfirmSignUp { code: text })
            }
            Some(Account { user, .. }) if user.disabled => {
                (stored(&code, Purpose::Nothing, None, &new.email, now), EmailTemplate::Nothing)
            }
            Some(Account { user, .. }) if !user.has_password => {
                let stored = stored(&code, Purpose::Invite, Some(user.id), &new.email, now);
                (stored, EmailTemplate::Invitation { code: text })
            }
            Some(Account { user, .. }) => {
                let stored = stored(&code, Purpose::Reset, Some(user.id), &new.email, now);
                (stored, EmailTemplate::AccountExists { name: known(&user), code: text })
            }
        };
        self.post(deadline, (stored, text), None, idempotency_key).await
    }

    /// Writes to the owner of an address with which somebody wanted to sign up, where staff made the account: the
    /// code in the email takes it over. In a task of its own, so that the refusal takes no longer for it.
    pub(in crate::accounts) fn lead_to_take_over(&self, email: Email) {
        let accounts = self.clone();
        tokio::spawn(async move {
            if let Err(fault) = accounts.tell_of_account(email).await {
                tracing::warn!(%fault, "telling the owner of an address of the account");
            }
        });
    }

    async fn tell_of_account(&self, email: Email) -> Result<(), Fault> {
        let deadline = Deadline::after(BACKGROUND);
        let account = self.store.read(deadline, ByEmail(email.clone())).await?;
        let waits = |account: &Account| !account.user.has_password && !account.user.disabled;
        let Some(Account { user, .. }) = account.filter(waits) else { return Ok(()) };
        self.post(deadline, self.invitation(&user), None, IdempotencyKey::NEVER).await
    }

    /// A code by which the owner of an account that somebody else made takes it over, and what its email says.
    pub(in crate::accounts) fn invitation(&self, user: &User) -> (StoredCode, EmailTemplate) {
        let (now, code) = (self.ambient.now(), Code::new(self.ambient.bytes()));
        let stored = stored(&code, Purpose::Invite, Some(user.id), &user.email, now);
        (stored, EmailTemplate::Invitation { code: code.text() })
    }

    /// Sends the caller a code by which the address is verified.
    pub async fn request_verification(
        &self,
        deadline: Deadline,
        caller: Caller,
        idempotency_key: IdempotencyKey,
    ) -> Result<(), Fault> {
        self.mail_is_on()?;
        let user = self.me(deadline, caller).await?;
        if user.email_verified_at.is_some() {
            return Ok(());
        }
        self.post(deadline, self.verification(&user), None, idempotency_key).await
    }

    /// A code by which an account's address is verified, and what its email says.
    pub(in crate::accounts) fn verification(&self, user: &User) -> (StoredCode, EmailTemplate) {
        let (now, code) = (self.ambient.now(), Code::new(self.ambient.bytes()));
        let stored = stored(&code, Purpose::Verify, Some(user.id), &user.email, now);
        (stored, EmailTemplate::VerifyEmail { name: known(user), code: code.text() })
    }

    /// Public: shows that an address is its owner's.
    pub async fn verify_email(
        &self,
        deadline: Deadline,
        (code, password): (&str, SecretString),
        idempotency_key: IdempotencyKey,
        origin: Origin,
    ) -> Result<User, Fault> {
        let earlier = EarlierResponse::<User>::new(idempotency_key.clone());
        if let Some(earlier) = self.store.read(deadline, earlier).await? {
            return Ok(earlier);
        }
        let mut attempt = self.code_attempt(deadline, &origin).await?;
        let code = attempt.judge(Code::parse(code).ok_or_else(refused))?;
        let now = self.ambient.now();
        let found = self.store.read(deadline, ByCode { hash: code.hash(), now }).await?;
        let found = attempt.judge(found.ok_or_else(refused))?;
        if let Some(applicant) = found.applicant {
            // Whoever reads the mail of an address must not make the account of somebody else's sign-up.
            let account = vec![(self.keys.account(&found.email), self.policies.account)];
            let guesses = ThrottleKeySet::by(account);
            let stored = Some(applicant.password_hash);
            let guess = self.guess(deadline, guesses, (password, stored), &origin).await;
            let guess = guess.and_then(|guess| guess.ok_or_else(wrong_sign_up));
            attempt.judge(guess)?.give_back().await;
        }
        let unit = Verify {
            code: code.hash(),
            id: UserId(self.ambient.id(now)),
            also: self.ambient.id(now),
            schedule: Arc::clone(&self.default_schedule),
            idempotency_key,
            audit_context: self.audit_context(None, origin, now),
        };
        self.attempted(deadline, attempt, unit, |_| true).await
    }

    /// Public: sends a code for a new password to an address that has an account. Answers the same, after
    /// the same work, for every address.
    pub async fn request_reset(
        &self,
        deadline: Deadline,
        email: Email,
        idempotency_key: IdempotencyKey,
        origin: Origin,
    ) -> Result<(), Fault> {
        self.mail_is_on()?;
        self.letter_attempt(deadline, &origin).await?;
        let account = self.store.read(deadline, ByEmail(email.clone())).await?;
        let (now, code) = (self.ambient.now(), Code::new(self.ambient.bytes()));
        // A line for every address, as of log-ins that fail, so that its being written tells nobody anything.
        let user = account.as_ref().map(|account| account.user.id);
        let audit_context = self.audit_context(None, origin, now);
        let entry = audit_context.of(AuditData::PasswordResetRequested, user, None);
        let (stored, text) = match account.filter(|account| !account.user.disabled) {
            Some(Account { user, .. }) => {
                let stored = stored(&code, Purpose::Reset, Some(user.id), &email, now);
                (stored, EmailTemplate::ResetPassword { name: known(&user), code: code.text() })
            }
            None => (stored(&code, Purpose::Nothing, None, &email, now), EmailTemplate::Nothing),
        };
        self.post(deadline, (stored, text), Some(entry), idempotency_key).await
    }

    /// Public: sets a new password by a code, and ends all log-ins of the account.
    pub async fn reset_password(
        &self,
        deadline: Deadline,
        (code, new): (&str, SecretString),
        idempotency_key: IdempotencyKey,
        origin: Origin,
    ) -> Result<(), Fault> {
        if self
            .store
            .read(deadline, EarlierResponse::<User>::new(idempotency_key.clone()))
            .await?
            .is_some()
        {
            return Ok(());
        }
        let mut attempt = self.code_attempt(deadline, &origin).await?;
        // Before anything is hashed: a guess costs a look.
        let (code, account) = attempt.judge(self.behind(deadline, code).await)?;
        let user = &account.user;
        let (name, email) = (&user.display_name, user.email.as_str());
        if let Some(weak) = self.weakness(new.clone(), name, email).await? {
            attempt.give_back().await;
            let mut violations = Violations::new();
            violations.add("new_password", weak);
            return Err(violations.into_fault());
        }
        let now = self.ambient.now();
        // Whoever has the code reads what goes to the address.
        let reader = User { email_verified_at: Some(now), ..user.clone() };
        let unit = Reset {
            code: code.hash(),
            user: user.id,
            new_hash: self.hasher.hash(new).await?,
            letter: self.password_notice(&reader, now, &origin)?,
            idempotency_key,
            audit_context: self.audit_context(Some(user.id), origin, now),
        };
        let (user, ended) = self.attempted(deadline, attempt, unit, |_| true).await?;
        self.tokens.end(user.id, ended, self.ambient.now());
        Ok(())
    }

    /// Sends a code to the address that the caller's account is to have.
    pub async fn request_email_change(
        &self,
        deadline: Deadline,
        caller: Caller,
        (new, password): (Email, SecretString),
        idempotency_key: IdempotencyKey,
        origin: Origin,
    ) -> Result<(), Fault> {
        self.mail_is_on()?;
        let earlier = EarlierResponse::<Option<User>>::new(idempotency_key.clone());
        if self.store.read(deadline, earlier).await?.is_some() {
            return Ok(());
        }
        self.letter_attempt(deadline, &origin).await?;
        let account = self.store.read(deadline, ById(caller.user)).await?;
        let account = account.ok_or_else(|| Fault::not_found(caller.user.name()))?;
        let counted = self.own_attempt(caller.user, &origin);
        let verified = account.password_hash;
        let shown = (password, verified.clone());
        let attempt = self.own_guess(deadline, caller, counted, shown, &origin).await?;
        let user = account.user;
        let taken = self.store.read(deadline, ByEmail(new.clone())).await?;
        let (now, code) = (self.ambient.now(), Code::new(self.ambient.bytes()));
        let (stored, to_new) = match taken {
            None => {
                let stored = stored(&code, Purpose::Change, Some(user.id), &new, now);
                (stored, EmailTemplate::ConfirmEmailChange { code: code.text() })
            }
            Some(Account { user: owner, .. }) => {
                let text = if owner.id == user.id || owner.disabled {
                    EmailTemplate::Nothing
                } else {
                    EmailTemplate::AddressInUse { name: known(&owner) }
                };
                (stored(&code, Purpose::Nothing, None, &new, now), text)
            }
        };
        let new_email = new.as_str().to_owned();
        let to_old = EmailTemplate::EmailChangeRequested { name: known(&user), new_email };
        let lifetime = Purpose::Change.lifetime();
        let letters =
            [self.mail.letter(&new, to_new, now, lifetime)?, self.notice(&user, to_old, now)?];
        let unit = BeginChange {
            user: user.id,
            verified,
            code: stored,
            letters: letters.into_iter().flatten().collect(),
            mail: self.mail_to(&new),
            idempotency_key,
            audit_context: self.audit_context(Some(user.id), origin, now),
        };
        self.attempted(deadline, attempt, unit, |()| true).await?;
        Ok(())
    }

    /// Public: gives an account the address that a code was sent to.
    pub async fn confirm_email_change(
        &self,
        deadline: Deadline,
        code: &str,
        idempotency_key: IdempotencyKey,
        origin: Origin,
    ) -> Result<User, Fault> {
        let earlier = EarlierResponse::<User>::new(idempotency_key.clone());
        if let Some(earlier) = self.store.read(deadline, earlier).await? {
            return Ok(earlier);
        }
        let mut attempt = self.code_attempt(deadline, &origin).await?;
        let now = self.ambient.now();
        let hash = attempt.judge(Code::parse(code).ok_or_else(refused))?.hash();
        let found = self.store.read(deadline, ByCode { hash, now }).await?;
        let found = found.filter(|found| found.purpose == Purpose::Change);
        let found = attempt.judge(found.ok_or_else(refused))?;
        let id = attempt.judge(found.user.ok_or_else(refused))?;
        let account = self.store.read(deadline, ById(id)).await?;
        let account = attempt.judge(account.ok_or_else(refused))?;
        let new_email = found.email.as_str().to_owned();
        let text = EmailTemplate::EmailChanged { name: known(&account.user), new_email };
        let unit = Change {
            code: hash,
            user: id,
            letter: self.notice(&account.user, text, now)?,
            idempotency_key,
            audit_context: self.audit_context(Some(id), origin, now),
        };
        self.attempted(deadline, attempt, unit, |_| true).await
    }

    /// What tells the owner of an account that its password is another one now.
    pub(in crate::accounts) fn password_notice(
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
    pub(in crate::accounts) async fn new_device(
        &self,
        deadline: Deadline,
        challenge: &Challenge,
        origin: &Origin,
    ) -> Result<Option<OutboxEmail>, Fault> {
        if challenge.device.known || !self.mail.is_on() {
            return Ok(None);
        }
        let found = self.store.read(deadline, ById(challenge.user)).await?;
        let Some(Account { user, .. }) = found else { return Ok(None) };
        let now = self.ambient.now();
        let text = EmailTemplate::NewLogIn {
            name: known(&user),
            at: told(&self.ambient.zones(), now, user.time_zone),
            address: origin.address_text(),
            device: mail::device(origin),
        };
        self.notice(&user, text, now)
    }

    async fn post(
        &self,
        deadline: Deadline,
        (code, text): (StoredCode, EmailTemplate),
        entry: Option<AuditEntry<AuditData>>,
        idempotency_key: IdempotencyKey,
    ) -> Result<(), Fault> {
        let lifetime = code.purpose.lifetime();
        let letter = self.mail.letter(&code.email, text, code.created_at, lifetime)?;
        let counted = self.mail_to(&code.email);
        let letters = letter.into_iter().collect();
        self.store
            .run_contended(deadline, Post { code, letters, counted, entry, idempotency_key })
            .await?;
        Ok(())
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

    pub(in crate::accounts) fn mail_to(&self, email: &Email) -> ThrottleKeySet {
        ThrottleKeySet::by(vec![(self.keys.mail(email), self.policies.mail)])
    }

    pub(in crate::accounts) fn mail_is_on(&self) -> Result<(), Fault> {
        if self.mail.is_on() {
            return Ok(());
        }
        Err(Fault::new(Reason::MailOff, "this server sends no mail; ask an admin"))
    }

    /// Sign-ups, and emails to strangers, are counted by who asks for them too, so that nobody makes many
    /// accounts or has many people written to.
    pub async fn letter_attempt(&self, deadline: Deadline, origin: &Origin) -> Result<(), Fault> {
        let Some(from) = origin.address else { return Ok(()) };
        let counted = ThrottleKeySet::by(vec![(self.keys.mailer(from), self.policies.address)]);
        self.reserve(deadline, counted, origin).await?.settle();
        Ok(())
    }

    /// The gate of every code: an attempt is reserved before it is looked at, and given back to whoever
    /// was right.
    async fn code_attempt(
        &self,
        deadline: Deadline,
        origin: &Origin,
    ) -> Result<ReservedAttempt, Fault> {
        let address = origin.address.map(|from| (self.keys.address(from), self.policies.address));
        let counted = ThrottleKeySet::by(address.into_iter().collect());
        self.reserve(deadline, counted, origin).await
    }

    /// The account behind a code that sets a password.
    async fn behind(&self, deadline: Deadline, text: &str) -> Result<(Code, Account), Fault> {
        let code = Code::parse(text).ok_or_else(refused)?;
        let (hash, now) = (code.hash(), self.ambient.now());
        let found = self.store.read(deadline, ByCode { hash, now }).await?;
        let sets = |found: &StoredCode| matches!(found.purpose, Purpose::Reset | Purpose::Invite);
        let found = found.filter(sets).ok_or_else(refused)?;
        let user = found.user.ok_or_else(refused)?;
        let account = self.store.read(deadline, ById(user)).await?.ok_or_else(refused)?;
        Ok((code, account))
    }
}

/// How an email calls somebody: by nothing while it is not known whose address it is.
fn known(user: &User) -> String {
    let name = user.email_verified_at.map(|_| user.display_name.clone());
    name.unwrap_or_default()
}

/// The password is not that of the sign-up that the code is for.
fn wrong_sign_up() -> Fault {
    Fault::new(
        Reason::CurrentPasswordWrong,
        "the password is not the one that this sign-up was made with; if it was not yours, sign up again",
    )
    .field("password", "must be the password of the sign-up that the code belongs to")
}

fn stored(
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

struct ByCode {
    hash: crate::accounts::emails::code::Hash,
    now: Instant,
}

impl Query for ByCode {
    type Output = Option<StoredCode>;

    async fn run(&self, at: &Reader) -> Result<Self::Output, Fault> {
        store::find(at, &self.hash, self.now).await
    }
}
