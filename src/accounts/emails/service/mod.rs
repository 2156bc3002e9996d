//! What callers can do with addresses.

pub mod composer;

use std::{sync::Arc, time::Duration};

use secrecy::SecretString;

use self::composer::{EmailComposer, known, stored};
use super::{
    PendingSignUp, StoredCode,
    code::{Code, Hash, Purpose},
    commands::{BeginChange, Change, Post, Reset, Verify, refused},
    store,
};
use crate::{
    accounts::{
        NewUser, User,
        audit::{AuditContext, AuditData, AuditEntry},
        passwords::service::Passwords,
        signing::token::Tokens,
        store::{Account, ByEmail, ById, existing},
        throttling::service::{ReservedAttempt, Throttle},
    },
    identity::{Caller, Origin, email::Email},
    kernel::{
        ambient::Ambient,
        fault::{Fault, Reason},
        id::UserId,
        time::Instant,
    },
    mail::EmailTemplate,
    schedule::Schedule,
    storage::{
        Deadline, Query, Reader, Store,
        idempotency::{EarlierResponse, IdempotencyKey},
    },
};

/// For emails that no caller waits for.
const BACKGROUND: Duration = Duration::from_secs(5);

/// Service layer for email addresses and the codes that are sent to them.
#[derive(Debug, Clone)]
pub struct Emails {
    store: Store,
    ambient: Ambient,
    throttle: Throttle,
    passwords: Arc<Passwords>,
    composer: EmailComposer,
    tokens: Tokens,
    /// What new providers begin with, apart from the zone.
    default_schedule: Arc<Schedule>,
}

impl Emails {
    /// With the schedule that new providers begin with, apart from the zone.
    pub fn new(
        (store, ambient): (Store, Ambient),
        throttle: Throttle,
        passwords: Arc<Passwords>,
        composer: EmailComposer,
        tokens: Tokens,
        default_schedule: Arc<Schedule>,
    ) -> Self {
        Self { store, ambient, throttle, passwords, composer, tokens, default_schedule }
    }

    /// Public, where addresses are verified: a stranger signs up, and the account is made when the code
    /// comes back. Whether there is an account with the address makes no difference that anybody but its
    /// owner could see.
    pub(in crate::accounts) async fn apply(
        &self,
        deadline: Deadline,
        new: NewUser,
        idempotency_key: IdempotencyKey,
    ) -> Result<(), Fault> {
        let password_hash = self.passwords.hash(new.password).await?;
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
        let emails = self.clone();
        tokio::spawn(async move {
            if let Err(fault) = emails.tell_of_account(email).await {
                tracing::warn!(%fault, "telling the owner of an address of the account");
            }
        });
    }

    async fn tell_of_account(&self, email: Email) -> Result<(), Fault> {
        let deadline = Deadline::after(BACKGROUND);
        let account = self.store.read(deadline, ByEmail(email.clone())).await?;
        let waits = |account: &Account| !account.user.has_password && !account.user.disabled;
        let Some(Account { user, .. }) = account.filter(waits) else { return Ok(()) };
        self.post(deadline, self.composer.invitation(&user), None, IdempotencyKey::NEVER).await
    }

    /// Sends the caller a code by which the address is verified.
    pub async fn request_verification(
        &self,
        deadline: Deadline,
        caller: Caller,
        idempotency_key: IdempotencyKey,
    ) -> Result<(), Fault> {
        self.composer.require_mail()?;
        let user = existing(&self.store, deadline, caller.user).await?.user;
        if user.email_verified_at.is_some() {
            return Ok(());
        }
        self.post(deadline, self.composer.verification(&user), None, idempotency_key).await
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
            let guesses = self.throttle.sign_up(&found.email);
            let stored = Some(applicant.password_hash);
            let guess = self.passwords.verify(deadline, guesses, (password, stored), &origin).await;
            let guess = guess.and_then(|guess| guess.ok_or_else(wrong_sign_up));
            attempt.judge(guess)?.give_back().await;
        }
        let unit = Verify {
            code: code.hash(),
            id: UserId(self.ambient.id(now)),
            also: self.ambient.id(now),
            schedule: Arc::clone(&self.default_schedule),
            idempotency_key,
            audit_context: AuditContext::new(&self.ambient, None, origin, now),
        };
        self.throttle.attempted(deadline, attempt, unit, |_| true).await
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
        self.composer.require_mail()?;
        self.count_request(deadline, &origin).await?;
        let account = self.store.read(deadline, ByEmail(email.clone())).await?;
        let (now, code) = (self.ambient.now(), Code::new(self.ambient.bytes()));
        // A line for every address, as of log-ins that fail, so that its being written tells nobody anything.
        let user = account.as_ref().map(|account| account.user.id);
        let audit_context = AuditContext::new(&self.ambient, None, origin, now);
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
        if let Err(weak) = self.passwords.check_new(&new, user).await {
            attempt.give_back().await;
            return Err(weak);
        }
        let now = self.ambient.now();
        // Whoever has the code reads what goes to the address.
        let reader = User { email_verified_at: Some(now), ..user.clone() };
        let unit = Reset {
            code: code.hash(),
            user: user.id,
            new_hash: self.passwords.hash(new).await?,
            letter: self.composer.password_changed(&reader, now, &origin)?,
            idempotency_key,
            audit_context: AuditContext::new(&self.ambient, Some(user.id), origin, now),
        };
        let (user, ended) = self.throttle.attempted(deadline, attempt, unit, |_| true).await?;
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
        self.composer.require_mail()?;
        let earlier = EarlierResponse::<Option<User>>::new(idempotency_key.clone());
        if self.store.read(deadline, earlier).await?.is_some() {
            return Ok(());
        }
        self.count_request(deadline, &origin).await?;
        let account = existing(&self.store, deadline, caller.user).await?;
        let verified = account.password_hash;
        let shown = (password, verified.clone());
        let attempt = self.passwords.verify_own(deadline, (caller, false), shown, &origin).await?;
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
        let letters = [
            self.composer.mail().letter(&new, to_new, now, lifetime)?,
            self.composer.notice(&user, to_old, now)?,
        ];
        let unit = BeginChange {
            user: user.id,
            verified,
            code: stored,
            letters: letters.into_iter().flatten().collect(),
            mail: self.throttle.mail_to(&new),
            idempotency_key,
            audit_context: AuditContext::new(&self.ambient, Some(user.id), origin, now),
        };
        self.throttle.attempted(deadline, attempt, unit, |()| true).await?;
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
            letter: self.composer.notice(&account.user, text, now)?,
            idempotency_key,
            audit_context: AuditContext::new(&self.ambient, Some(id), origin, now),
        };
        self.throttle.attempted(deadline, attempt, unit, |_| true).await
    }

    async fn post(
        &self,
        deadline: Deadline,
        (code, text): (StoredCode, EmailTemplate),
        entry: Option<AuditEntry<AuditData>>,
        idempotency_key: IdempotencyKey,
    ) -> Result<(), Fault> {
        let letter = self.composer.letter(&code, text)?;
        let counted = self.throttle.mail_to(&code.email);
        let letters = letter.into_iter().collect();
        self.store
            .run_contended(deadline, Post { code, letters, counted, entry, idempotency_key })
            .await?;
        Ok(())
    }

    /// Sign-ups, and emails to strangers, are counted by who asks for them too, so that nobody makes many
    /// accounts or has many people written to.
    pub async fn count_request(&self, deadline: Deadline, origin: &Origin) -> Result<(), Fault> {
        self.throttle.count_mail_request(deadline, origin).await
    }

    /// The gate of every code: an attempt is reserved before it is looked at, and given back to whoever
    /// was right.
    async fn code_attempt(
        &self,
        deadline: Deadline,
        origin: &Origin,
    ) -> Result<ReservedAttempt, Fault> {
        self.throttle.reserve(deadline, self.throttle.email_code(origin), origin).await
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

/// The password is not that of the sign-up that the code is for.
fn wrong_sign_up() -> Fault {
    Fault::new(
        Reason::CurrentPasswordWrong,
        "the password is not the one that this sign-up was made with; if it was not yours, sign up again",
    )
    .field("password", "must be the password of the sign-up that the code belongs to")
}

struct ByCode {
    hash: Hash,
    now: Instant,
}

impl Query for ByCode {
    type Output = Option<StoredCode>;

    async fn run(&self, at: &Reader) -> Result<Self::Output, Fault> {
        store::find(at, &self.hash, self.now).await
    }
}
