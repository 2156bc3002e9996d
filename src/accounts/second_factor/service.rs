//! What callers can do with second factors.

use std::sync::Arc;

use secrecy::SecretString;

use super::{
    FactorSettings, Seen, Typed,
    challenge::{Challenge, GOOD},
    challenge_refused, code_unreadable, code_wrong,
    commands::{
        Confirm, Disable, Enrol, EnrolAtLogIn, NotDone, Reauthentication, Regenerate, Reset,
        SecondFactorCheck, is_right,
    },
    required,
    rules::{PresentedFactor, RecoveryCode, TotpSecret},
    store, wrong_state,
};
use crate::{
    accounts::{
        User,
        audit::AuditContext,
        passwords::service::Passwords,
        signing::token::Tokens,
        store::{Account, ById, existing},
        throttling::{
            policy::Device,
            service::{ReservedAttempt, Throttle},
        },
    },
    identity::{Caller, Origin, Role, TokenCutoff, permit::ChangeUser},
    kernel::{ambient::Ambient, fault::Fault, id::UserId, stamp::Revision, time::Instant},
    mail::service::Mail,
    storage::{
        Deadline, Query, Reader, Store,
        idempotency::{EarlierResponse, IdempotencyKey},
    },
};

/// What an authenticator app has to know. Does not print itself.
#[derive(Clone)]
pub struct Enrolled {
    /// To be typed.
    pub base32: String,
    /// To be scanned.
    pub uri: String,
}

impl std::fmt::Debug for Enrolled {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Enrolled(…)")
    }
}

/// Password, code and idempotency key of a request that needs re-authentication.
#[derive(Debug)]
pub struct ReauthenticationInput {
    /// The password in clear text; never logged.
    pub password: SecretString,
    /// The code, if one was sent.
    pub code: Option<Typed>,
    /// The request, for retries.
    pub idempotency_key: IdempotencyKey,
}

/// Service layer for second factors.
#[derive(Debug, Clone)]
pub struct SecondFactors {
    store: Store,
    ambient: Ambient,
    settings: FactorSettings,
    throttle: Throttle,
    passwords: Arc<Passwords>,
    mail: Mail,
    tokens: Tokens,
}

impl SecondFactors {
    /// With what second factors are made, kept and asked for with.
    pub fn new(
        (store, ambient): (Store, Ambient),
        settings: FactorSettings,
        throttle: Throttle,
        passwords: Arc<Passwords>,
        mail: Mail,
        tokens: Tokens,
    ) -> Self {
        Self { store, ambient, settings, throttle, passwords, mail, tokens }
    }

    /// Whether accounts of this role must have one.
    pub fn required(&self, role: Role) -> bool {
        self.settings.required(role)
    }

    /// What second factors are made, kept and asked for with.
    pub(in crate::accounts) fn settings(&self) -> &FactorSettings {
        &self.settings
    }

    /// What the caller's account has, and whether it must have it.
    pub async fn seen(&self, deadline: Deadline, caller: Caller) -> Result<(Seen, bool), Fault> {
        let seen = SeenOf(caller.user, self.ambient.now());
        let seen = self.store.read(deadline, seen).await?;
        Ok((seen, self.settings.required(caller.role)))
    }

    /// Makes a secret for the caller's app, to be confirmed.
    pub async fn enrol_totp(
        &self,
        deadline: Deadline,
        caller: Caller,
        shows: ReauthenticationInput,
        origin: Origin,
    ) -> Result<Enrolled, Fault> {
        let account = existing(&self.store, deadline, caller.user).await?;
        let (sealed, enrolled) = self.new_secret(&account.user)?;
        let (own, attempt, _) =
            self.reauthenticate(deadline, caller, account, shows, origin).await?;
        self.throttle.attempted(deadline, attempt, Enrol { own, sealed }, is_right).await??;
        Ok(enrolled)
    }

    /// Public: makes a secret in the middle of a log-in that needs one.
    pub async fn enrol_totp_at_log_in(
        &self,
        deadline: Deadline,
        challenge: &str,
        origin: Origin,
    ) -> Result<Enrolled, Fault> {
        let challenge = self.read_challenge(challenge)?;
        let found = self.store.read(deadline, ById(challenge.user)).await?;
        let account = found.ok_or_else(challenge_refused)?;
        let (sealed, enrolled) = self.new_secret(&account.user)?;
        let factors = self.settings.clone();
        let audit_context =
            AuditContext::new(&self.ambient, Some(challenge.user), origin, self.ambient.now());
        let unit = EnrolAtLogIn { challenge, sealed, factors, audit_context };
        let kept = self.store.run(deadline, unit).await?;
        if kept { Ok(enrolled) } else { Err(challenge_refused()) }
    }

    /// Turns on what the caller enrolled, by the app's first code.
    pub async fn confirm_totp(
        &self,
        deadline: Deadline,
        caller: Caller,
        code: String,
        origin: Origin,
    ) -> Result<Vec<RecoveryCode>, Fault> {
        let user = caller.user;
        let counted = self.throttle.own_code(user, &origin);
        let attempt = self.throttle.reserve(deadline, counted, &origin).await?;
        let (second, codes) = self.check(user, PresentedFactor::Nothing);
        let audit_context =
            AuditContext::new(&self.ambient, Some(user), origin, self.ambient.now());
        let unit = Confirm { caller, code, second, audit_context };
        let ended = self.throttle.attempted(deadline, attempt, unit, is_right).await??;
        self.tokens.end(user, ended, self.ambient.now());
        Ok(codes)
    }

    /// Makes new recovery codes.
    pub async fn regenerate_recovery_codes(
        &self,
        deadline: Deadline,
        caller: Caller,
        shows: ReauthenticationInput,
        origin: Origin,
    ) -> Result<Vec<RecoveryCode>, Fault> {
        let account = existing(&self.store, deadline, caller.user).await?;
        let (own, attempt, codes) =
            self.reauthenticate(deadline, caller, account, shows, origin).await?;
        self.throttle.attempted(deadline, attempt, Regenerate { own }, is_right).await??;
        Ok(codes)
    }

    /// Takes the caller's second factor off.
    pub async fn disable_totp(
        &self,
        deadline: Deadline,
        caller: Caller,
        shows: ReauthenticationInput,
        origin: Origin,
    ) -> Result<(), Fault> {
        if self
            .store
            .read(deadline, EarlierResponse::<User>::new(shows.idempotency_key.clone()))
            .await?
            .is_some()
        {
            return Ok(());
        }
        if self.settings.required(caller.role) {
            return Err(required());
        }
        let account = existing(&self.store, deadline, caller.user).await?;
        let (own, attempt, _) =
            self.reauthenticate(deadline, caller, account, shows, origin).await?;
        let unit = Disable { own, session: caller.session };
        if let Some(ended) = self.throttle.attempted(deadline, attempt, unit, is_right).await?? {
            self.tokens.end(caller.user, ended, self.ambient.now());
        }
        Ok(())
    }

    /// Takes the second factor off another account, and ends its sessions.
    pub async fn reset(
        &self,
        deadline: Deadline,
        permit: ChangeUser,
        expected: Option<Revision>,
        idempotency_key: IdempotencyKey,
        origin: Origin,
    ) -> Result<User, Fault> {
        let audit_context =
            AuditContext::new(&self.ambient, Some(permit.admin), origin, self.ambient.now());
        let email_draft = self.mail.email_draft(audit_context.now);
        let unit = Reset { permit, expected, idempotency_key, email_draft, audit_context };
        let (tokens, ambient) = (self.tokens.clone(), self.ambient.clone());
        let then =
            move |(user, ended): &(User, TokenCutoff)| tokens.end(user.id, *ended, ambient.now());
        let (user, _) = self.store.run_then(deadline, unit, then).await?;
        Ok(user)
    }

    /// What stands for a log-in of this account, whose password was right just now.
    pub(in crate::accounts) fn challenge(&self, account: &Account, device: Device) -> Challenge {
        let now = self.ambient.now();
        Challenge {
            user: account.user.id,
            session: self.ambient.id(now),
            generation: account.token_generation,
            expires_at: now + GOOD,
            device,
        }
    }

    /// The challenge as text, for the client.
    pub(in crate::accounts) fn written(&self, challenge: &Challenge) -> String {
        self.settings.challenges.write(challenge)
    }

    /// What is judged, with the recovery codes that follow from it if it is somebody's first code.
    pub(in crate::accounts) fn check(
        &self,
        user: UserId,
        shown: PresentedFactor,
    ) -> (SecondFactorCheck, Vec<RecoveryCode>) {
        let factors = self.settings.clone();
        let fresh = RecoveryCode::all(&self.ambient.bytes());
        let codes = fresh.iter().filter_map(|code| factors.hashes.of(user, code).first().copied());
        let codes = codes.collect();
        let now = self.ambient.now();
        let (also, nonce) = (self.ambient.id(now), self.ambient.bytes());
        let (used, done) = (self.mail.email_draft(now), self.mail.email_draft(now));
        (SecondFactorCheck { shown, factors, codes, also, nonce, used, done }, fresh)
    }

    pub(in crate::accounts) fn read_challenge(&self, text: &str) -> Result<Challenge, Fault> {
        let read = self.settings.challenges.read(text, self.ambient.now());
        read.ok_or_else(challenge_refused)
    }

    fn new_secret(&self, user: &User) -> Result<(Vec<u8>, Enrolled), Fault> {
        let factors = &self.settings;
        let secret = TotpSecret::new(self.ambient.bytes(), &factors.issuer, &user.email)?;
        let sealed = factors.seal(user.id, &secret, self.ambient.bytes())?;
        Ok((sealed, Enrolled { base32: secret.base32(), uri: secret.uri()? }))
    }

    /// Takes an attempt at the caller's password, and at a code where one was sent, and verifies the
    /// password. The attempt comes back, to be given to [`Throttle::attempted`].
    pub(crate) async fn reauthenticate(
        &self,
        deadline: Deadline,
        caller: Caller,
        account: Account,
        shows: ReauthenticationInput,
        origin: Origin,
    ) -> Result<(Reauthentication, ReservedAttempt, Vec<RecoveryCode>), Fault> {
        let (user, verified) = (account.user.id, account.password_hash);
        let password = (shows.password, verified.clone());
        let whose = (caller, shows.code.is_some());
        let attempt = self.passwords.verify_own(deadline, whose, password, &origin).await?;
        let shown = shows.code.map(|code| code.shown(&self.settings, user));
        let (second, codes) = self.check(user, shown.unwrap_or(PresentedFactor::Nothing));
        let audit_context =
            AuditContext::new(&self.ambient, Some(user), origin, self.ambient.now());
        let idempotency_key = shows.idempotency_key;
        Ok((
            Reauthentication { user, verified, second, idempotency_key, audit_context },
            attempt,
            codes,
        ))
    }
}

/// What a caller who is logged in is told.
impl From<NotDone> for Fault {
    fn from(not: NotDone) -> Self {
        match not {
            NotDone::Wrong | NotDone::NeedsCode => code_wrong("code"),
            NotDone::Unreadable => code_unreadable(),
            NotDone::NotThere => wrong_state("not enrolled"),
        }
    }
}

struct SeenOf(UserId, Instant);

impl Query for SeenOf {
    type Output = Seen;

    async fn run(&self, at: &Reader) -> Result<Self::Output, Fault> {
        store::seen(at, self.0, self.1).await
    }
}
