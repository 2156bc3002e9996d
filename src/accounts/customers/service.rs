//! What staff can do at the front desk.

use std::sync::Arc;

use super::{
    Correction, Cursor,
    commands::{Correct, Enrol, Invitation, Invite, may_be_invited},
    search_terms::SearchTerm,
    store,
};
use crate::{
    accounts::{
        User,
        audit::{AuditContext, AuditData},
        emails::service::composer::EmailComposer,
        store::{self as accounts, Account, ByEmail, ById, existing},
        throttling::service::Throttle,
    },
    events::users::RoleGiven,
    identity::{
        Caller, Origin, Role,
        desk_permit::{ContactScope, CorrectCustomer, CreateUsers, EnrolCustomers, FindCustomers},
        email::Email,
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
    mail::EmailTemplate,
    schedule::Schedule,
    storage::{Deadline, Query, Reader, Store, idempotency::IdempotencyKey},
};

/// Somebody for whom an account is made.
#[derive(Debug, Clone)]
pub struct Newcomer {
    /// What others will see.
    pub display_name: String,
    /// The address, if it is known.
    pub email: Option<Email>,
    /// The phone number, if it is known.
    pub phone: Option<Phone>,
    /// Role of the account.
    pub role: Role,
    /// The zone; none for that of whoever makes the account.
    pub time_zone: Option<Zone>,
    /// Whether the owner is invited to take the account over.
    pub invite: bool,
}

/// What the trail calls the making of an account, where the fields of the account stand in the request, and whose
/// contact data the caller may see.
type How = (fn(RoleGiven) -> AuditData, &'static str, ContactScope);

/// Service layer for the front desk.
#[derive(Debug, Clone)]
pub struct Customers {
    store: Store,
    ambient: Ambient,
    throttle: Throttle,
    composer: EmailComposer,
    /// What new providers begin with, apart from the zone.
    default_schedule: Arc<Schedule>,
}

impl Customers {
    /// With the schedule that new providers begin with, apart from the zone.
    pub fn new(
        (store, ambient): (Store, Ambient),
        throttle: Throttle,
        composer: EmailComposer,
        default_schedule: Arc<Schedule>,
    ) -> Self {
        Self { store, ambient, throttle, composer, default_schedule }
    }

    /// Makes an account for a customer, without a password.
    pub async fn enrol(
        &self,
        deadline: Deadline,
        permit: EnrolCustomers,
        new: Newcomer,
        idempotency_key: IdempotencyKey,
        origin: Origin,
    ) -> Result<User, Fault> {
        let how: How = (AuditData::CustomerEnrolled, "customer.", permit.reach);
        self.make_for((deadline, permit.caller), new, how, idempotency_key, origin).await
    }

    /// Makes an account of any role, without a password.
    pub async fn create_user(
        &self,
        deadline: Deadline,
        permit: CreateUsers,
        new: Newcomer,
        idempotency_key: IdempotencyKey,
        origin: Origin,
    ) -> Result<User, Fault> {
        let how: How = (AuditData::AccountCreated, "", ContactScope::Everybody);
        self.make_for((deadline, permit.caller), new, how, idempotency_key, origin).await
    }

    async fn make_for(
        &self,
        (deadline, caller): (Deadline, Caller),
        new: Newcomer,
        (audit, field, reach): How,
        idempotency_key: IdempotencyKey,
        origin: Origin,
    ) -> Result<User, Fault> {
        if new.invite {
            self.composer.require_mail()?;
        }
        let time_zone = match new.time_zone {
            Some(zone) => zone,
            None => self.zone_of(deadline, caller.user, field).await?,
        };
        let now = self.ambient.now();
        let id = UserId(self.ambient.id(now));
        let user = User {
            id,
            display_name: new.display_name,
            email: new.email.unwrap_or_else(|| Email::none(id)),
            email_verified_at: None,
            phone: new.phone,
            role: new.role,
            time_zone,
            disabled: false,
            has_password: false,
            version: 1,
            stamp: Stamp::default(),
            created_at: now,
            updated_at: now,
        };
        let email = user.email.clone();
        let invitation = if new.invite { Some(self.invite_to(&user)?) } else { None };
        let schedule = Arc::new(self.default_schedule.in_zone(time_zone));
        let enrolled_by = Some(caller.user);
        let password_hash = String::new();
        let account = Account { user, password_hash, token_generation: 0, enrolled_by };
        let audit_context = AuditContext::new(&self.ambient, Some(caller.user), origin, now);
        let unit = Enrol { account, schedule, invitation, audit, idempotency_key, audit_context };
        match self.store.run(deadline, unit).await {
            Err(fault) if fault.reason() == Reason::EmailTaken => {
                Err(self.taken(deadline, &email, (field, reach)).await?)
            }
            made => made,
        }
    }

    /// The refusal of an address that an account has, which is named where the caller may see it.
    async fn taken(
        &self,
        deadline: Deadline,
        email: &Email,
        (field, reach): (&'static str, ContactScope),
    ) -> Result<Fault, Fault> {
        let fault = Fault::new(Reason::EmailTaken, "an account with this email address exists")
            .field(format!("{field}email"), "must not belong to an account");
        let Some(owner) = self.store.read(deadline, ByEmail(email.clone())).await? else {
            return Ok(fault);
        };
        let sees = Seen { user: owner.user.id, reach, now: self.ambient.now() };
        let seen = self.store.read(deadline, sees).await?;
        Ok(if seen.is_some() { fault.with("user", owner.user.id.name()) } else { fault })
    }

    async fn zone_of(
        &self,
        deadline: Deadline,
        user: UserId,
        field: &'static str,
    ) -> Result<Zone, Fault> {
        let account = self.store.read(deadline, ById(user)).await?;
        account.map(|account| account.user.time_zone).ok_or_else(|| {
            // A service account is nowhere.
            let mut violations = Violations::new();
            violations.add(format!("{field}time_zone"), "must be set");
            violations.into_fault()
        })
    }

    fn invite_to(&self, user: &User) -> Result<Invitation, Fault> {
        let (code, text) = self.composer.invitation(user);
        let letters = self.composer.letter(&code, text)?;
        let counted = self.throttle.mail_to(&user.email);
        Ok(Invitation { code, letters: letters.into_iter().collect(), counted })
    }

    /// Sends the owner of an account without a password a code that takes it over.
    pub async fn invite(
        &self,
        deadline: Deadline,
        permit: EnrolCustomers,
        id: UserId,
        idempotency_key: IdempotencyKey,
        origin: Origin,
    ) -> Result<(), Fault> {
        let user = self.get(deadline, FindCustomers { reach: permit.reach }, id).await?;
        self.composer.require_mail()?;
        may_be_invited(&user)?;
        let invitation = self.invite_to(&user)?;
        let audit_context =
            AuditContext::new(&self.ambient, Some(permit.caller.user), origin, self.ambient.now());
        let unit = Invite { permit, user: id, invitation, idempotency_key, audit_context };
        self.store.run(deadline, unit).await
    }

    /// The people who are found, after a place, each with the place after them.
    pub async fn search(
        &self,
        deadline: Deadline,
        permit: FindCustomers,
        needle: SearchTerm,
        after: Option<Cursor>,
        limit: u64,
    ) -> Result<Vec<(User, Cursor)>, Fault> {
        let now = self.ambient.now();
        self.store.read(deadline, Search { permit, needle, after, limit, now }).await
    }

    /// One account with its contact data, for those who may see it.
    pub async fn get(
        &self,
        deadline: Deadline,
        permit: FindCustomers,
        id: UserId,
    ) -> Result<User, Fault> {
        let seen = Seen { user: id, reach: permit.reach, now: self.ambient.now() };
        self.store.read(deadline, seen).await?.ok_or_else(|| Fault::not_found(id.name()))
    }

    /// Corrects another account.
    pub async fn correct(
        &self,
        deadline: Deadline,
        permit: CorrectCustomer,
        (correction, expected): (Correction, Option<Revision>),
        idempotency_key: IdempotencyKey,
        origin: Origin,
    ) -> Result<User, Fault> {
        let id = permit.subject;
        let user = existing(&self.store, deadline, id).await?.user;
        let now = self.ambient.now();
        let new = correction.email.clone().flatten().filter(|email| *email != user.email);
        let (mut verification, mut letter) = (None, None);
        if let Some(email) = &new {
            if user.has_password {
                // Without a name: nobody knows yet whose address it is.
                let reader = User { email: email.clone(), email_verified_at: None, ..user.clone() };
                let (code, text) = self.composer.verification(&reader);
                verification = self.composer.letter(&code, text)?.map(|letter| (code, letter));
            }
            let new_email = email.as_str().to_owned();
            let text = EmailTemplate::EmailChanged { name: user.display_name.clone(), new_email };
            letter = self.composer.notice(&user, text, now)?;
        }
        let audit_context = AuditContext::new(&self.ambient, Some(permit.caller.user), origin, now);
        let seen = user.email;
        let unit = Correct {
            permit,
            correction,
            seen,
            verification,
            letter,
            expected,
            idempotency_key,
            audit_context,
        };
        match self.store.run(deadline, unit).await {
            Err(fault) if fault.reason() == Reason::EmailTaken => {
                let email = new.ok_or_else(Fault::unchecked)?;
                Err(self.taken(deadline, &email, ("customer.", ContactScope::Everybody)).await?)
            }
            done => done,
        }
    }
}

struct Search {
    permit: FindCustomers,
    needle: SearchTerm,
    after: Option<Cursor>,
    limit: u64,
    now: Instant,
}

impl Query for Search {
    type Output = Vec<(User, Cursor)>;

    async fn run(&self, at: &Reader) -> Result<Self::Output, Fault> {
        let Self { permit, needle, after, limit, now } = self;
        store::search(at, *permit, needle, after.clone(), (*limit, *now)).await
    }
}

/// An account, if somebody may see its contact data.
struct Seen {
    user: UserId,
    reach: ContactScope,
    now: Instant,
}

impl Query for Seen {
    type Output = Option<User>;

    async fn run(&self, at: &Reader) -> Result<Self::Output, Fault> {
        if let ContactScope::KnownTo(provider) = self.reach
            && !store::knows(at, provider, self.user, self.now).await?
        {
            return Ok(None);
        }
        Ok(accounts::find(at, self.user).await?.map(|account| account.user))
    }
}
