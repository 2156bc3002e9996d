//! What callers can do with accounts.

use std::sync::Arc;

use uuid::Uuid;

use super::{
    NewUser, User,
    audit::AuditContext,
    commands::{AccountChange, ChangeAccount, SignUp, UpdateProfile},
    emails::service::{Emails, composer::EmailComposer},
    passwords::service::Passwords,
    service_accounts::service::ServiceAccounts,
    signing::token::Tokens,
    store::{self, Account, Filter, existing},
};
use crate::{
    identity::{
        Caller, Origin, Role, TokenCutoff,
        password::Hasher,
        permit::{ChangeUser, ManageUsers},
        phone::Phone,
    },
    kernel::{
        ambient::Ambient,
        fault::{Fault, Reason},
        id::UserId,
        stamp::{Revision, Stamp},
        time::Instant,
        zone::Zone,
    },
    schedule::Schedule,
    storage::{Deadline, Query, Reader, Store, idempotency::IdempotencyKey},
};

/// How new accounts are made.
#[derive(Debug, Clone)]
pub struct SignUpSettings {
    /// What new providers begin with, apart from the zone.
    pub default_schedule: Arc<Schedule>,
    /// Whether strangers may become providers.
    pub provider_sign_up: bool,
    /// Whether whoever signs up must show that the address is theirs.
    pub verify_email: bool,
}

/// Service layer for the accounts themselves: signing up, profiles, and what admins change.
#[derive(Debug, Clone)]
pub struct Users {
    store: Store,
    ambient: Ambient,
    settings: SignUpSettings,
    passwords: Arc<Passwords>,
    emails: Arc<Emails>,
    composer: EmailComposer,
    tokens: Tokens,
    service_accounts: ServiceAccounts,
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

impl Users {
    /// With the settings of sign-ups.
    pub fn new(
        (store, ambient): (Store, Ambient),
        settings: SignUpSettings,
        passwords: Arc<Passwords>,
        (emails, composer): (Arc<Emails>, EmailComposer),
        (tokens, service_accounts): (Tokens, ServiceAccounts),
    ) -> Self {
        Self { store, ambient, settings, passwords, emails, composer, tokens, service_accounts }
    }

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
        if new.role == Role::Provider && !self.settings.provider_sign_up {
            return Err(Fault::new(
                Reason::ProviderSignUpClosed,
                "this server does not let strangers sign up as providers; ask an admin for the role",
            ));
        }
        if self.settings.verify_email {
            self.emails.apply(deadline, new, idempotency_key).await?;
            return Ok(None);
        }
        let email = new.email.clone();
        let made = self.make(deadline, new, idempotency_key, origin).await;
        if self.composer.mail().is_on()
            && made.as_ref().is_err_and(|fault| fault.reason() == Reason::EmailTaken)
        {
            self.emails.lead_to_take_over(email);
        }
        made.map(Some)
    }

    async fn make(
        &self,
        deadline: Deadline,
        new: NewUser,
        idempotency_key: IdempotencyKey,
        origin: Origin,
    ) -> Result<User, Fault> {
        let password_hash = self.passwords.hash(new.password.clone()).await?;
        let now = self.ambient.now();
        let account = account(new, password_hash, None, now);
        let (code, text) = self.composer.verification(&account.user);
        let verification = self.composer.letter(&code, text)?.map(|letter| (code, letter));
        let schedule = Arc::new(self.settings.default_schedule.in_zone(account.user.time_zone));
        let audit_context = AuditContext::new(&self.ambient, None, origin, now);
        let unit = SignUp { account, schedule, verification, idempotency_key, audit_context };
        self.store.run(deadline, unit).await
    }

    /// The caller's own account.
    pub async fn me(&self, deadline: Deadline, caller: Caller) -> Result<User, Fault> {
        existing(&self.store, deadline, caller.user).await.map(|account| account.user)
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

    /// Returns one account. `NOT_FOUND` if there is none.
    pub async fn get(
        &self,
        deadline: Deadline,
        _permit: ManageUsers,
        id: UserId,
    ) -> Result<User, Fault> {
        existing(&self.store, deadline, id).await.map(|account| account.user)
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
        let audit_context =
            AuditContext::new(&self.ambient, Some(permit.admin), origin, self.ambient.now());
        let schedule = Arc::clone(&self.settings.default_schedule);
        let unit =
            ChangeAccount { permit, change, schedule, expected, idempotency_key, audit_context };
        let (tokens, ambient) = (self.tokens.clone(), self.ambient.clone());
        let then =
            move |(user, ended): &(User, TokenCutoff)| tokens.end(user.id, *ended, ambient.now());
        let (user, _) = self.store.run_then(deadline, unit, then).await?;
        self.service_accounts.know(user.id).await;
        Ok(user)
    }
}

/// For the command line: makes an account with any role. Whoever runs the server vouches for the address.
pub(crate) async fn make_verified(
    (store, ambient): (&Store, &Ambient),
    (hasher, default_schedule): (&Hasher, &Schedule),
    deadline: Deadline,
    new: NewUser,
) -> Result<User, Fault> {
    let password_hash = hasher.hash(new.password.clone()).await?;
    let now = ambient.now();
    let account = account(new, password_hash, Some(now), now);
    let unit = SignUp {
        schedule: Arc::new(default_schedule.in_zone(account.user.time_zone)),
        account,
        verification: None,
        idempotency_key: IdempotencyKey::NEVER,
        audit_context: AuditContext::new(ambient, None, Origin::default(), now),
    };
    store.run(deadline, unit).await
}

/// A new account, whose address was `verified` then, if it was.
fn account(
    new: NewUser,
    password_hash: String,
    verified: Option<Instant>,
    now: Instant,
) -> Account {
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
    Account { user, password_hash, token_generation: 0, enrolled_by: None }
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
