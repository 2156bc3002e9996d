//! Units of work on addresses. Each locks the account first, then uses the code up.

use std::sync::Arc;

use chrono::TimeDelta;
use uuid::Uuid;

use super::{PendingSignUp, StoredCode, store};
use crate::{
    accounts::{
        User,
        audit::{self, AuditContext, AuditData, AuditEntry},
        commands::{AccountEventDraft, finish, open},
        emails::code::{Hash, Purpose},
        passwords::commands::wrong_password,
        store::{self as accounts, Account},
        throttling::store::{Reserved, ThrottleKeySet},
    },
    events::users::UserEvent,
    identity::TokenCutoff,
    kernel::{
        fault::{Fault, Reason},
        id::UserId,
    },
    mail::{self, EmailTemplate, OutboxEmail, service::EmailDraft},
    schedule::Schedule,
    storage::{Authority, Tx, UnitOfWork, idempotency::IdempotencyKey},
};

/// What a notice says beside what happened.
#[derive(Debug)]
pub struct Said {
    /// How the email calls its reader.
    pub name: String,
    /// When, in the reader's zone.
    pub at: String,
    /// The IP address that it came from, as text.
    pub address: String,
}

/// Writes to the owner of a locked account what happened: to an address alone that is known to be theirs.
pub async fn tell(
    tx: &Tx,
    email_draft: &EmailDraft,
    user: &User,
    audit_context: &AuditContext,
    text: impl FnOnce(Said) -> EmailTemplate + Send,
) -> Result<(), Fault> {
    if user.email_verified_at.is_none() {
        return Ok(());
    }
    let text = text(Said {
        name: user.display_name.clone(),
        at: email_draft.told(audit_context.now, user.time_zone),
        address: audit_context.origin.address_text(),
    });
    let lifetime = text.lifetime();
    let letter = email_draft.letter(&user.email, text, audit_context.now, lifetime)?;
    mail::store::insert(tx, &letter).await
}

/// Posts a code: the code itself and the email that it is in.
#[derive(Debug, Clone)]
pub struct Post {
    /// The code.
    pub code: StoredCode,
    /// The emails that are sent: the one with the code, and others if any.
    pub letters: Vec<OutboxEmail>,
    /// What mail to this address is counted by. When there was too much of it nothing is posted, and
    /// nobody is told.
    pub counted: ThrottleKeySet,
    /// What the trail tells of it, where it tells of it: the same whether there is an account or not, and
    /// nothing where nothing is posted, so that nobody fills the trail faster than mailboxes.
    pub entry: Option<AuditEntry<AuditData>>,
    /// The request, for retries.
    pub idempotency_key: IdempotencyKey,
}

impl UnitOfWork for Post {
    type Output = ();
    const AUTHORITY: Authority = Authority::Caller;

    async fn run(&self, tx: &Tx) -> Result<(), Fault> {
        if self.idempotency_key.earlier::<Option<User>>(tx).await?.is_some() {
            return Ok(());
        }
        if post(tx, &self.code, &self.letters, &self.counted).await?
            && let Some(entry) = &self.entry
        {
            audit::store::record(tx, entry.clone()).await?;
        }
        let owner = self.code.user.map_or(Uuid::nil(), |user| user.0);
        self.idempotency_key.keep(tx, owner, 0, &None::<User>, self.code.created_at).await
    }
}

/// Whether it was posted.
pub(in crate::accounts) async fn post(
    tx: &Tx,
    code: &StoredCode,
    letters: &[OutboxEmail],
    counted: &ThrottleKeySet,
) -> Result<bool, Fault> {
    if let Reserved::Wait(wait) = counted.reserve(tx, code.created_at).await? {
        held_back(code, wait);
        return Ok(false);
    }
    put(tx, code, letters).await?;
    Ok(true)
}

/// Tells the log of an email that is not written, because there were too many to its address. No address: that stands
/// nowhere in the log.
pub(in crate::accounts) fn held_back(code: &StoredCode, wait: TimeDelta) {
    let (purpose, wait_seconds) = (code.purpose.word(), wait.num_seconds());
    tracing::warn!(
        purpose,
        wait_seconds,
        "an email was held back: there were too many to one address lately; the next one may be asked for after this \
         time, with another request_id"
    );
}

/// Puts a code in the place of the one before, with the emails that it is in.
pub(in crate::accounts) async fn put(
    tx: &Tx,
    code: &StoredCode,
    letters: &[OutboxEmail],
) -> Result<(), Fault> {
    // Only the newest is good. Sign-ups and changes of several people to one address wait side by side; then
    // nothing goes, in the same time, and nobody waits for another's rows in a circle.
    let former = match code.purpose {
        Purpose::SignUp | Purpose::Change => Purpose::Nothing,
        purpose => purpose,
    };
    store::remove_to(tx, &code.email, former).await?;
    store::insert(tx, code).await?;
    mail::store::insert(tx, letters).await
}

/// Shows that an address is its owner's: makes the account of a sign-up, or notes it in the account.
#[derive(Debug, Clone)]
pub struct Verify {
    /// The hash of the code.
    pub code: Hash,
    /// The id of the account to make.
    pub id: UserId,
    /// The id of the line in the trail that tells of it.
    pub also: Uuid,
    /// What a new provider begins with, apart from the zone.
    pub schedule: Arc<Schedule>,
    /// The request, for retries.
    pub idempotency_key: IdempotencyKey,
    /// Who does it.
    pub audit_context: AuditContext,
}

impl UnitOfWork for Verify {
    type Output = User;
    const AUTHORITY: Authority = Authority::Caller;

    async fn run(&self, tx: &Tx) -> Result<User, Fault> {
        let now = self.audit_context.now;
        if let Some((earlier, _)) = self.idempotency_key.earlier(tx).await? {
            return Ok(earlier);
        }
        let Some(found) = store::find(tx, &self.code, now).await? else {
            return self.earlier(tx).await;
        };
        match (found.purpose, &found.applicant, found.user) {
            (Purpose::SignUp, Some(applicant), None) => {
                if let Some(account) = enrolled(tx, &found).await? {
                    return self.take_over(tx, account, (&found, applicant)).await;
                }
                let purpose = Purpose::SignUp;
                if !store::remove_to(tx, &found.email, purpose).await?.contains(&self.code) {
                    return self.earlier(tx).await;
                }
                let user = User {
                    id: self.id,
                    display_name: applicant.display_name.clone(),
                    email: found.email.clone(),
                    email_verified_at: Some(now),
                    phone: None,
                    role: applicant.role,
                    time_zone: applicant.zone(),
                    disabled: false,
                    has_password: true,
                    version: 1,
                    stamp: tx.stamp(),
                    created_at: now,
                    updated_at: now,
                };
                let password_hash = applicant.password_hash.clone();
                let account =
                    Account { user, password_hash, token_generation: 0, enrolled_by: None };
                let zoned = Arc::new(self.schedule.in_zone(account.user.time_zone));
                let made = AuditContext { id: self.also, ..self.audit_context.clone() };
                let made = open(tx, account, &zoned, &made).await;
                let user = made.map_err(|fault| match fault.reason() {
                    // Somebody has got the address in the meantime.
                    Reason::EmailTaken => refused(),
                    _ => fault,
                })?;
                self.record(tx, self.id).await?;
                self.idempotency_key.keep(tx, self.id.0, 1, &user, now).await?;
                Ok(user)
            }
            (Purpose::Verify, None, Some(id)) => {
                let mut account = locked(tx, id, &found).await?;
                if !store::remove(tx, &self.code).await? {
                    return self.earlier(tx).await;
                }
                account.user.email_verified_at = Some(now);
                let act = AccountEventDraft {
                    event: UserEvent::EmailVerified,
                    actor: id,
                    ended: None,
                    audited: Some((AuditData::EmailVerified, &self.audit_context)),
                };
                finish(tx, account, act, &self.idempotency_key, now).await
            }
            _ => Err(refused()),
        }
    }
}

impl Verify {
    /// What this same request has done meanwhile, or the refusal.
    async fn earlier(&self, tx: &Tx) -> Result<User, Fault> {
        let earlier = self.idempotency_key.earlier(tx).await?;
        earlier.map(|(user, _)| user).ok_or_else(refused)
    }

    /// Gives the password of a sign-up to the account that staff made for the address meanwhile.
    async fn take_over(
        &self,
        tx: &Tx,
        mut account: Account,
        (found, applicant): (&StoredCode, &PendingSignUp),
    ) -> Result<User, Fault> {
        let used = store::remove_to(tx, &found.email, Purpose::SignUp).await?;
        if !used.contains(&self.code) {
            return self.earlier(tx).await;
        }
        store::remove_of(tx, account.user.id, None).await?;
        account.password_hash.clone_from(&applicant.password_hash);
        account.user.email_verified_at = Some(self.audit_context.now);
        let act = AccountEventDraft {
            event: UserEvent::EmailVerified,
            actor: account.user.id,
            ended: None,
            audited: Some((AuditData::EmailVerified, &self.audit_context)),
        };
        finish(tx, account, act, &self.idempotency_key, self.audit_context.now).await
    }

    async fn record(&self, tx: &Tx, user: UserId) -> Result<(), Fault> {
        let entry = self.audit_context.of(AuditData::EmailVerified, Some(user), None);
        audit::store::record(tx, entry).await
    }
}

/// Sets a new password by a code, and ends all log-ins.
#[derive(Clone)]
pub struct Reset {
    /// The hash of the code.
    pub code: Hash,
    /// Whose account it is.
    pub user: UserId,
    /// The hash of the new password.
    pub new_hash: String,
    /// What tells the owner.
    pub letter: Option<OutboxEmail>,
    /// The request, for retries.
    pub idempotency_key: IdempotencyKey,
    /// Who does it.
    pub audit_context: AuditContext,
}

impl UnitOfWork for Reset {
    type Output = (User, TokenCutoff);
    const AUTHORITY: Authority = Authority::Caller;

    async fn run(&self, tx: &Tx) -> Result<Self::Output, Fault> {
        let now = self.audit_context.now;
        let account = accounts::lock(tx, self.user).await?.ok_or_else(refused)?;
        let present = TokenCutoff { least: account.token_generation, kept: None };
        if let Some((earlier, _)) = self.idempotency_key.earlier(tx).await? {
            return Ok((earlier, present));
        }
        let found = store::find(tx, &self.code, now).await?.ok_or_else(refused)?;
        let mut account = fitting(account, &found)?;
        let invites = found.purpose == Purpose::Invite && account.password_hash.is_empty();
        if found.purpose != Purpose::Reset && !invites {
            return Err(refused());
        }
        use_up(tx, &self.code).await?;
        // Whatever else was on its way may have been asked for by somebody else.
        store::remove_of(tx, self.user, None).await?;
        account.password_hash.clone_from(&self.new_hash);
        // Whoever has the code reads what goes to this address.
        account.user.email_verified_at.get_or_insert(now);
        let ended = TokenCutoff { least: account.next_generation(now), kept: None };
        mail::store::insert(tx, &self.letter).await?;
        let act = AccountEventDraft {
            event: UserEvent::PasswordReset,
            actor: self.user,
            ended: Some(ended),
            audited: Some((AuditData::PasswordReset, &self.audit_context)),
        };
        Ok((finish(tx, account, act, &self.idempotency_key, now).await?, ended))
    }
}

/// Posts a code to the address that an account is to have. The service has verified the password, and
/// names its hash.
#[derive(Clone)]
pub struct BeginChange {
    /// The id of the account that is to have the address.
    pub user: UserId,
    /// The hash that the present password was verified against.
    pub verified: String,
    /// The code.
    pub code: StoredCode,
    /// To the new address and to the present one.
    pub letters: Vec<OutboxEmail>,
    /// What mail to the new address is counted by.
    pub mail: ThrottleKeySet,
    /// The request, for retries.
    pub idempotency_key: IdempotencyKey,
    /// Who does it.
    pub audit_context: AuditContext,
}

impl UnitOfWork for BeginChange {
    type Output = ();
    const AUTHORITY: Authority = Authority::Caller;

    async fn run(&self, tx: &Tx) -> Result<(), Fault> {
        let now = self.audit_context.now;
        let account = accounts::lock(tx, self.user).await?;
        let account = account.ok_or_else(|| Fault::not_found(self.user.name()))?;
        if self.idempotency_key.earlier::<Option<User>>(tx).await?.is_some() {
            return Ok(());
        }
        if account.password_hash != self.verified {
            return Err(wrong_password());
        }
        store::remove_of(tx, self.user, Some(Purpose::Change)).await?;
        post(tx, &self.code, &self.letters, &self.mail).await?;
        let entry = self.audit_context.of(AuditData::EmailChangeRequested, Some(self.user), None);
        audit::store::record(tx, entry).await?;
        self.idempotency_key.keep(tx, self.user.0, account.user.version, &None::<User>, now).await
    }
}

/// Gives an account the address that a code was sent to.
#[derive(Debug, Clone)]
pub struct Change {
    /// The hash of the code.
    pub code: Hash,
    /// Whose account it is.
    pub user: UserId,
    /// What tells the former address.
    pub letter: Option<OutboxEmail>,
    /// The request, for retries.
    pub idempotency_key: IdempotencyKey,
    /// Who does it.
    pub audit_context: AuditContext,
}

impl UnitOfWork for Change {
    type Output = User;
    const AUTHORITY: Authority = Authority::Caller;

    async fn run(&self, tx: &Tx) -> Result<User, Fault> {
        let now = self.audit_context.now;
        let account = accounts::lock(tx, self.user).await?;
        let mut account = account.filter(|account| !account.user.disabled).ok_or_else(refused)?;
        if let Some((earlier, _)) = self.idempotency_key.earlier(tx).await? {
            return Ok(earlier);
        }
        let found = store::find(tx, &self.code, now).await?.ok_or_else(refused)?;
        if found.purpose != Purpose::Change || found.user != Some(self.user) {
            return Err(refused());
        }
        use_up(tx, &self.code).await?;
        // Codes that went to the former address are not good for the new one.
        store::remove_of(tx, self.user, None).await?;
        store::remove_to(tx, &found.email, Purpose::SignUp).await?;
        account.user.email = found.email;
        account.user.email_verified_at = Some(now);
        mail::store::insert(tx, &self.letter).await?;
        let act = AccountEventDraft {
            event: UserEvent::EmailChanged,
            actor: self.user,
            ended: None,
            audited: Some((AuditData::EmailChanged, &self.audit_context)),
        };
        let changed = finish(tx, account, act, &self.idempotency_key, now).await;
        changed.map_err(|fault| match fault.reason() {
            Reason::EmailTaken => refused(),
            _ => fault,
        })
    }
}

/// The account that somebody else made for the address of a sign-up, locked, if there is one without a password.
async fn enrolled(tx: &Tx, code: &StoredCode) -> Result<Option<Account>, Fault> {
    let waits = |account: &Account| {
        let user = &account.user;
        user.email == code.email && account.password_hash.is_empty() && !user.disabled
    };
    let found = accounts::find_by_email(tx, &code.email).await?;
    let Some(found) = found.filter(&waits) else { return Ok(None) };
    Ok(accounts::lock(tx, found.user.id).await?.filter(waits))
}

/// The account that a code is for, locked; only while it has the address that the code went to.
async fn locked(tx: &Tx, user: UserId, code: &StoredCode) -> Result<Account, Fault> {
    let account = accounts::lock(tx, user).await?.ok_or_else(refused)?;
    fitting(account, code)
}

fn fitting(account: Account, code: &StoredCode) -> Result<Account, Fault> {
    let user = &account.user;
    let fits = !user.disabled && code.user == Some(user.id) && user.email == code.email;
    if fits { Ok(account) } else { Err(refused()) }
}

async fn use_up(tx: &Tx, code: &Hash) -> Result<(), Fault> {
    if store::remove(tx, code).await? { Ok(()) } else { Err(refused()) }
}

/// The one answer to every code that is not good.
pub fn refused() -> Fault {
    Fault::new(Reason::CodeRefused, "the code is not good, or no longer; ask for a new one")
        .field("code", "must be the code of a mail that was sent lately and not used yet")
}
