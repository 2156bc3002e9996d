//! What callers can do with accounts.

use std::{collections::HashMap, sync::Arc};

use chrono::TimeDelta;
use secrecy::SecretString;
use uuid::Uuid;

use super::{
    User,
    audit::AuditData,
    commands::{
        AccountChange, ChangeAccount, ChangePassword, Failed, Rehash, SignUp, UpdateProfile,
    },
    second_factor::{
        SecondFactors,
        service::{LogIn, SecondStep},
    },
    service_accounts::service::ServiceAccounts,
    sessions::{self, Lifetimes, service::Log},
    signing::{self, StoredKey, service::SigningKeys},
    store::{self, Account, Filter},
    throttling::service::ReservedAttempt,
};
use crate::{
    accounts::{
        second_factor::rules::PresentedFactor,
        sessions::refresh::RefreshTokens,
        signing::token::{LEEWAY, Tokens},
        throttling::policy::{Device, Policies, ThrottleKeys},
    },
    identity::{
        Caller, Origin, Role, TokenCutoff,
        email::Email,
        password::{Hasher, own_words},
        permit::{ChangeUser, ManageUsers},
        phone::Phone,
    },
    kernel::{
        ambient::Ambient,
        fault::{Fault, Reason, Violations},
        id::UserId,
        stamp::{Revision, Stamp},
        time::Instant,
        zone::Zone,
    },
    mail::service::Mail,
    schedule::Schedule,
    storage::{
        Deadline, Query, Reader, Store,
        idempotency::{EarlierResponse, IdempotencyKey},
        throttled_log,
    },
};

/// How far apart the clocks of several processes may be, when they tell each other of ended tokens.
const SKEW: TimeDelta = TimeDelta::seconds(120);

/// What callers can ask about accounts, log-ins and the audit trail.
#[derive(Debug, Clone)]
pub struct Accounts {
    /// Database handle.
    pub store: Store,
    /// Clock, ids and randomness.
    pub ambient: Ambient,
    /// The hashing pool.
    pub hasher: Hasher,
    /// Issues and verifies access tokens.
    pub tokens: Tokens,
    /// The keys that sign them.
    pub signing: SigningKeys,
    /// Issues and verifies refresh tokens.
    pub refresh: RefreshTokens,
    /// How long log-ins last.
    pub lifetimes: Lifetimes,
    /// What attempts at passwords are counted by.
    pub keys: ThrottleKeys,
    /// How many of them there may be.
    pub policies: Policies,
    /// What new providers begin with, apart from the zone.
    pub default_schedule: Arc<Schedule>,
    /// Whether strangers may become providers.
    pub provider_sign_up: bool,
    /// Sends emails, or none where mail is off.
    pub mail: Mail,
    /// Whether whoever signs up must show that the address is theirs.
    pub verify_email: bool,
    /// How hard a new password must be to guess, 0 to 4.
    pub least_strength: u8,
    /// What is asked for beside the password.
    pub second_factors: SecondFactors,
    /// Service accounts and their API keys.
    pub services: ServiceAccounts,
}

/// Who signs up.
#[derive(Debug, Clone)]
pub struct NewUser {
    /// The id that the account gets, if it is made.
    pub id: UserId,
    /// What others will see.
    pub display_name: String,
    /// What will log in.
    pub email: Email,
    /// The password in clear text; never logged.
    pub password: SecretString,
    /// Role of the account.
    pub role: Role,
    /// Time zone.
    pub time_zone: Zone,
}

/// What somebody changes of their own account: what is set here.
#[derive(Debug, Clone, Default)]
pub struct ProfileUpdate {
    /// New display name; `None` keeps the present one.
    pub display_name: Option<String>,
    /// Time zone.
    pub time_zone: Option<Zone>,
    /// The phone number, or that there is none.
    pub phone: Option<Option<Phone>>,
}

impl Accounts {
    /// An id for a new account.
    pub fn new_id(&self) -> UserId {
        UserId(self.ambient.id(self.ambient.now()))
    }

    /// Public: makes an account for a stranger; none where the address has to be verified first.
    pub async fn sign_up(
        &self,
        deadline: Deadline,
        new: NewUser,
        idempotency_key: IdempotencyKey,
        origin: Origin,
    ) -> Result<Option<User>, Fault> {
        if new.role == Role::Provider && !self.provider_sign_up {
            return Err(Fault::new(
                Reason::ProviderSignUpClosed,
                "this server does not let strangers sign up as providers; ask an admin for the role",
            ));
        }
        if self.verify_email {
            self.apply(deadline, new, idempotency_key).await?;
            return Ok(None);
        }
        let email = new.email.clone();
        let made = self.make(deadline, new, None, idempotency_key, origin).await;
        if self.mail.is_on()
            && made.as_ref().is_err_and(|fault| fault.reason() == Reason::EmailTaken)
        {
            self.lead_to_take_over(email);
        }
        made.map(Some)
    }

    /// What is against a new password of somebody with this name and address, if anything is.
    pub async fn weakness(
        &self,
        password: SecretString,
        name: &str,
        email: &str,
    ) -> Result<Option<String>, Fault> {
        let own = own_words(name, email);
        self.hasher.weakness(password, own, self.least_strength).await
    }

    /// For the command line: makes an account with any role. `verified` is when it was shown that the
    /// address is its owner's, if it was; if not, an email asks.
    pub async fn make(
        &self,
        deadline: Deadline,
        new: NewUser,
        verified: Option<Instant>,
        idempotency_key: IdempotencyKey,
        origin: Origin,
    ) -> Result<User, Fault> {
        let password_hash = self.hasher.hash(new.password).await?;
        let now = self.ambient.now();
        let user = User {
            id: new.id,
            display_name: new.display_name,
            email: new.email,
            email_verified_at: verified,
            phone: None,
            role: new.role,
            time_zone: new.time_zone,
            disabled: false,
            has_password: true,
            version: 1,
            stamp: Stamp::default(),
            created_at: now,
            updated_at: now,
        };
        let schedule = Arc::new(self.default_schedule.in_zone(user.time_zone));
        let verification = if verified.is_none() {
            let (code, text) = self.verification(&user);
            let letter = self.mail.letter(&user.email, text, now, code.purpose.lifetime())?;
            letter.map(|letter| (code, letter))
        } else {
            None
        };
        let account = Account { user, password_hash, token_generation: 0, enrolled_by: None };
        let audit_context = self.audit_context(None, origin, now);
        self.store
            .run(
                deadline,
                SignUp { account, schedule, verification, idempotency_key, audit_context },
            )
            .await
    }

    /// Public: exchanges email and password for a log-in, or for its second step. Unknown, wrong, disabled
    /// and, where addresses are verified, unverified answer the same after the same work. `device` is what a device was given at an earlier
    /// log-in, or empty.
    pub async fn log_in(
        &self,
        deadline: Deadline,
        email: Email,
        password: SecretString,
        device: &str,
        origin: Origin,
    ) -> Result<LogIn, Fault> {
        let account = self.store.read(deadline, ByEmail(email.clone())).await?;
        let known = account.as_ref().and_then(|a| self.keys.knows(device, a.user.id));
        let by_device = account.as_ref().filter(|_| known.is_some()).map(|a| (device, a.user.id));
        let counted = self.counted(&email, by_device, &origin);
        let stored = account.as_ref().map(|account| account.password_hash.clone());
        let attempt = self.guess(deadline, counted, (password.clone(), stored), &origin).await?;
        let user = account.as_ref().map(|account| account.user.id);
        let may = |user: &User| {
            !user.disabled && (user.email_verified_at.is_some() || !self.verify_email)
        };
        let account = account.filter(|account| may(&account.user));
        let Some((account, attempt)) = both(account, attempt) else {
            let audit_context = self.audit_context(None, origin, self.ambient.now());
            let (what, session) = (AuditData::LogInFailed, None);
            self.store.run(deadline, Failed { what, user, session, audit_context }).await?;
            return Err(log_in_failed());
        };
        if self.hasher.is_outdated(&account.password_hash) {
            self.rehash(deadline, &account, password).await;
        }
        let stranger = || Device { random: self.ambient.bytes(), known: false };
        let device = known.unwrap_or_else(stranger);
        self.begin_log_in(deadline, &account, device, attempt, origin).await
    }

    /// Begins the log-in of an account whose password is known to be right.
    async fn begin_log_in(
        &self,
        deadline: Deadline,
        account: &Account,
        device: Device,
        attempt: ReservedAttempt,
        origin: Origin,
    ) -> Result<LogIn, Fault> {
        let challenge = self.challenge(account, device);
        let (expires_at, written) = (challenge.expires_at, self.written(&challenge));
        let begun =
            self.begin_session(deadline, challenge, PresentedFactor::Nothing, attempt, origin);
        // Boxed, because it is a large future that others hold.
        match Box::pin(begun).await? {
            Log::In(logged_in) => Ok(LogIn::In(logged_in)),
            Log::Needs(need) => {
                Ok(LogIn::SecondStep(SecondStep { challenge: written, expires_at, need }))
            }
            Log::Wrong | Log::Unreadable | Log::Refused => Err(log_in_failed()),
        }
    }

    /// Logs in who has just signed up: with the password that was stored, which is not verified once more. Of a
    /// retry, whose account was made before, the password is verified as at any log-in.
    pub async fn log_in_signed_up(
        &self,
        deadline: Deadline,
        (user, is_new): (&User, bool),
        password: SecretString,
        origin: Origin,
    ) -> Result<LogIn, Fault> {
        if !is_new {
            return self.log_in(deadline, user.email.clone(), password, "", origin).await;
        }
        let account = self.store.read(deadline, ById(user.id)).await?.ok_or_else(log_in_failed)?;
        let device = Device { random: self.ambient.bytes(), known: false };
        self.begin_log_in(deadline, &account, device, self.uncounted(), origin).await
    }

    /// A failed rehash is not the caller's concern: the old hash still works.
    async fn rehash(&self, deadline: Deadline, account: &Account, password: SecretString) {
        let unit = match self.hasher.hash(password).await {
            Ok(new) => Rehash { user: account.user.id, old: account.password_hash.clone(), new },
            Err(fault) => return tracing::warn!(%fault, "rehashing a password"),
        };
        if let Err(fault) = self.store.run(deadline, unit).await {
            tracing::warn!(%fault, "storing a better hash");
        }
    }

    /// The caller's own account.
    pub async fn me(&self, deadline: Deadline, caller: Caller) -> Result<User, Fault> {
        self.find(deadline, caller.user).await
    }

    /// Changes the caller's own name, zone or phone number.
    pub async fn update_me(
        &self,
        deadline: Deadline,
        caller: Caller,
        own: ProfileUpdate,
        expected: Option<Revision>,
        idempotency_key: IdempotencyKey,
    ) -> Result<User, Fault> {
        let now = self.ambient.now();
        let user = caller.user;
        let ProfileUpdate { display_name, time_zone, phone } = own;
        let unit =
            UpdateProfile { user, display_name, time_zone, phone, expected, idempotency_key, now };
        self.store.run(deadline, unit).await
    }

    /// Replaces the caller's own password, and ends all access tokens but those of this log-in.
    pub async fn change_password(
        &self,
        deadline: Deadline,
        caller: Caller,
        (current, new): (SecretString, SecretString),
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
        let account = self.store.read(deadline, ById(caller.user)).await?;
        let account = account.ok_or_else(|| Fault::not_found(caller.user.name()))?;
        let (name, email) = (&account.user.display_name, account.user.email.as_str());
        if let Some(weak) = self.weakness(new.clone(), name, email).await? {
            let mut violations = Violations::new();
            violations.add("new_password", weak);
            return Err(violations.into_fault());
        }
        let now = self.ambient.now();
        let letter = self.password_notice(&account.user, now, &origin)?;
        let verified = account.password_hash;
        let counted = self.own_attempt(caller.user, &origin);
        let password = (current, verified.clone());
        let attempt = self.own_guess(deadline, caller, counted, password, &origin).await?;
        let unit = ChangePassword {
            user: caller.user,
            verified,
            new_hash: self.hasher.hash(new).await?,
            session: caller.session,
            letter,
            idempotency_key,
            audit_context: self.audit_context(Some(caller.user), origin, now),
        };
        let (user, ended) = self.attempted(deadline, attempt, unit, |_| true).await?;
        self.tokens.end(user.id, ended, self.ambient.now());
        Ok(())
    }

    /// Returns one account. `NOT_FOUND` if there is none.
    pub async fn get(
        &self,
        deadline: Deadline,
        _permit: ManageUsers,
        id: UserId,
    ) -> Result<User, Fault> {
        self.find(deadline, id).await
    }

    /// The accounts of a filter after this one, in the order of their making.
    pub async fn list(
        &self,
        deadline: Deadline,
        _permit: ManageUsers,
        filter: Filter,
        after: Option<Uuid>,
        limit: u64,
    ) -> Result<Vec<User>, Fault> {
        self.store.read(deadline, List { filter, after, limit }).await
    }

    /// Changes another account. Ends its access tokens, unless it is let in again.
    pub async fn change(
        &self,
        deadline: Deadline,
        permit: ChangeUser,
        change: AccountChange,
        expected: Option<Revision>,
        idempotency_key: IdempotencyKey,
        origin: Origin,
    ) -> Result<User, Fault> {
        let audit_context = self.audit_context(Some(permit.admin), origin, self.ambient.now());
        let schedule = Arc::clone(&self.default_schedule);
        let unit =
            ChangeAccount { permit, change, schedule, expected, idempotency_key, audit_context };
        let (user, ended) = self.store.run(deadline, unit).await?;
        self.tokens.end(user.id, ended, self.ambient.now());
        self.services.know(user.id).await;
        Ok(user)
    }

    /// Learns which tokens other processes ended, and which keys there are, those of tokens and those of
    /// other backends. Called every second.
    pub async fn follow_ended_tokens(&self) -> Result<(), Fault> {
        let now = self.ambient.now();
        let since = now - self.tokens.longest_life() - LEEWAY - SKEW;
        let mark = self.tokens.mark();
        let (ended, sessions, keys) = self.store.look(EndedSince(since, now)).await?;
        if self.tokens.refresh_ended(&ended, &sessions, (since, now), mark) {
            throttled_log::went_back("ended tokens");
        }
        self.signing.take_over(&keys, now);
        self.services.follow().await
    }

    async fn find(&self, deadline: Deadline, id: UserId) -> Result<User, Fault> {
        let found = self.store.read(deadline, ById(id)).await?;
        found.map(|account| account.user).ok_or_else(|| Fault::not_found(id.name()))
    }
}

/// The account with the attempt that was right. Where the account may not log in the attempt counts, or somebody would
/// learn by it that the password was right.
fn both(
    account: Option<Account>,
    attempt: Option<ReservedAttempt>,
) -> Option<(Account, ReservedAttempt)> {
    match (account, attempt) {
        (Some(account), Some(attempt)) => Some((account, attempt)),
        (_, attempt) => {
            if let Some(attempt) = attempt {
                attempt.settle();
            }
            None
        }
    }
}

/// The one answer to every failed log-in.
fn log_in_failed() -> Fault {
    Fault::new(
        Reason::LogInFailed,
        "email and password do not belong to an account that may log in",
    )
}

pub(crate) struct ById(pub UserId);

impl Query for ById {
    type Output = Option<Account>;

    async fn run(&self, at: &Reader) -> Result<Self::Output, Fault> {
        store::find(at, self.0).await
    }
}

pub(in crate::accounts) struct ByEmail(pub Email);

impl Query for ByEmail {
    type Output = Option<Account>;

    async fn run(&self, at: &Reader) -> Result<Self::Output, Fault> {
        store::find_by_email(at, &self.0).await
    }
}

struct List {
    filter: Filter,
    after: Option<Uuid>,
    limit: u64,
}

impl Query for List {
    type Output = Vec<User>;

    async fn run(&self, at: &Reader) -> Result<Self::Output, Fault> {
        store::list(at, &self.filter, self.after, self.limit).await
    }
}

/// What ended since the first instant, and the keys that are not gone at the second.
struct EndedSince(Instant, Instant);

impl Query for EndedSince {
    type Output = (HashMap<UserId, (TokenCutoff, Instant)>, Vec<Uuid>, Vec<StoredKey>);

    async fn run(&self, at: &Reader) -> Result<Self::Output, Fault> {
        let users = store::ended_since(at, self.0).await?;
        let sessions = sessions::store::ended_since(at, self.0).await?;
        Ok((users, sessions, signing::store::list(at, Some(self.1)).await?))
    }
}
