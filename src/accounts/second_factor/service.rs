//! What callers can do with second factors.

use secrecy::SecretString;

use super::{
    Seen, Typed, challenge_refused, code_unreadable, code_wrong,
    commands::{
        Confirm, Disable, Enrol, EnrolAtLogIn, NotDone, Reauthentication, Regenerate, Reset,
        SecondFactorCheck, is_right,
    },
    required, store, wrong_state,
};
use crate::{
    accounts::{
        User,
        second_factor::{
            challenge::{Challenge, GOOD},
            rules::{Need, PresentedFactor, RecoveryCode, TotpSecret},
        },
        service::{Accounts, ById},
        sessions::service::{Log, LoggedIn},
        store::Account,
        throttling::{policy::Device, service::ReservedAttempt, store::ThrottleKeySet},
    },
    identity::{Caller, Origin, permit::ChangeUser},
    kernel::{fault::Fault, id::UserId, stamp::Revision, time::Instant},
    storage::{
        Deadline, Query, Reader,
        idempotency::{EarlierResponse, IdempotencyKey},
    },
};

/// What came of a password that was right.
#[derive(Debug)]
pub enum LogIn {
    /// The session has begun.
    In(Box<LoggedIn>),
    /// There is a second step.
    SecondStep(SecondStep),
}

/// The second step of a log-in. Does not print its challenge.
#[derive(Clone)]
pub struct SecondStep {
    /// What stands for the log-in.
    pub challenge: String,
    /// When it stops being good.
    pub expires_at: Instant,
    /// What is needed.
    pub need: Need,
}

impl std::fmt::Debug for SecondStep {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SecondStep").field("need", &self.need).finish_non_exhaustive()
    }
}

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

impl Accounts {
    /// What the caller's account has, and whether it must have it.
    pub async fn second_factor(
        &self,
        deadline: Deadline,
        caller: Caller,
    ) -> Result<(Seen, bool), Fault> {
        let seen = SeenOf(caller.user, self.ambient.now());
        let seen = self.store.read(deadline, seen).await?;
        Ok((seen, self.second_factors.required(caller.role)))
    }

    /// Makes a secret for the caller's app, to be confirmed.
    pub async fn enrol_totp(
        &self,
        deadline: Deadline,
        caller: Caller,
        shows: ReauthenticationInput,
        origin: Origin,
    ) -> Result<Enrolled, Fault> {
        let account = self.own_account(deadline, caller.user).await?;
        let (sealed, enrolled) = self.new_secret(&account.user)?;
        let (own, attempt, _) = self.own(deadline, caller, account, shows, origin).await?;
        self.attempted(deadline, attempt, Enrol { own, sealed }, is_right).await??;
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
        let factors = self.second_factors.clone();
        let audit_context = self.audit_context(Some(challenge.user), origin, self.ambient.now());
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
        let by = vec![(self.keys.own_code(user), self.policies.code)];
        let counted = self.counted_by(by, &origin);
        let attempt = self.reserve(deadline, counted, &origin).await?;
        let (second, codes) = self.second(user, PresentedFactor::Nothing);
        let audit_context = self.audit_context(Some(user), origin, self.ambient.now());
        let unit = Confirm { caller, code, second, audit_context };
        let ended = self.attempted(deadline, attempt, unit, is_right).await??;
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
        let account = self.own_account(deadline, caller.user).await?;
        let (own, attempt, codes) = self.own(deadline, caller, account, shows, origin).await?;
        self.attempted(deadline, attempt, Regenerate { own }, is_right).await??;
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
        if self.second_factors.required(caller.role) {
            return Err(required());
        }
        let account = self.own_account(deadline, caller.user).await?;
        let (own, attempt, _) = self.own(deadline, caller, account, shows, origin).await?;
        let unit = Disable { own, session: caller.session };
        if let Some(ended) = self.attempted(deadline, attempt, unit, is_right).await?? {
            self.tokens.end(caller.user, ended, self.ambient.now());
        }
        Ok(())
    }

    /// Takes the second factor off another account, and ends its sessions.
    pub async fn reset_second_factor(
        &self,
        deadline: Deadline,
        permit: ChangeUser,
        expected: Option<Revision>,
        idempotency_key: IdempotencyKey,
        origin: Origin,
    ) -> Result<User, Fault> {
        let audit_context = self.audit_context(Some(permit.admin), origin, self.ambient.now());
        let email_draft = self.mail.email_draft(audit_context.now);
        let unit = Reset { permit, expected, idempotency_key, email_draft, audit_context };
        let (user, ended) = self.store.run(deadline, unit).await?;
        self.tokens.end(user.id, ended, self.ambient.now());
        Ok(user)
    }

    /// Public: completes a log-in whose password was right.
    pub async fn complete_log_in(
        &self,
        deadline: Deadline,
        challenge: &str,
        typed: Typed,
        origin: Origin,
    ) -> Result<LoggedIn, Fault> {
        let challenge = self.read_challenge(challenge)?;
        let (user, device) = (challenge.user, challenge.device);
        let mut by = vec![(self.keys.code(user, device), self.policies.code)];
        by.push(if device.known {
            (self.keys.devices_code(user), self.policies.known)
        } else {
            (self.keys.in_all(), self.policies.in_all)
        });
        let counted = self.counted_by(by, &origin);
        let attempt = self.reserve(deadline, counted, &origin).await?;
        let shown = typed.shown(&self.second_factors, user);
        let begun = self.begin_session(deadline, challenge, shown, attempt, origin);
        // Boxed, because it is a large future that others hold.
        match Box::pin(begun).await? {
            Log::In(logged_in) => Ok(*logged_in),
            Log::Wrong => Err(code_wrong(match typed {
                Typed::Code(_) => "code",
                Typed::Recovery(_) => "recovery_code",
            })),
            Log::Unreadable => Err(code_unreadable()),
            Log::Needs(_) | Log::Refused => Err(challenge_refused()),
        }
    }

    /// What stands for a log-in of this account, whose password was right just now.
    pub(crate) fn challenge(&self, account: &Account, device: Device) -> Challenge {
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
    pub(crate) fn written(&self, challenge: &Challenge) -> String {
        self.second_factors.challenges.write(challenge)
    }

    /// What is judged, with the recovery codes that follow from it if it is somebody's first code.
    pub(crate) fn second(
        &self,
        user: UserId,
        shown: PresentedFactor,
    ) -> (SecondFactorCheck, Vec<RecoveryCode>) {
        let factors = self.second_factors.clone();
        let fresh = RecoveryCode::all(&self.ambient.bytes());
        let codes = fresh.iter().filter_map(|code| factors.hashes.of(user, code).first().copied());
        let codes = codes.collect();
        let now = self.ambient.now();
        let (also, nonce) = (self.ambient.id(now), self.ambient.bytes());
        let (used, done) = (self.mail.email_draft(now), self.mail.email_draft(now));
        (SecondFactorCheck { shown, factors, codes, also, nonce, used, done }, fresh)
    }

    fn read_challenge(&self, text: &str) -> Result<Challenge, Fault> {
        let read = self.second_factors.challenges.read(text, self.ambient.now());
        read.ok_or_else(challenge_refused)
    }

    fn new_secret(&self, user: &User) -> Result<(Vec<u8>, Enrolled), Fault> {
        let factors = &self.second_factors;
        let secret = TotpSecret::new(self.ambient.bytes(), &factors.issuer, &user.email)?;
        let sealed = factors.seal(user.id, &secret, self.ambient.bytes())?;
        Ok((sealed, Enrolled { base32: secret.base32(), uri: secret.uri()? }))
    }

    pub(crate) async fn own_account(
        &self,
        deadline: Deadline,
        user: UserId,
    ) -> Result<Account, Fault> {
        let found = self.store.read(deadline, ById(user)).await?;
        found.ok_or_else(|| Fault::not_found(user.name()))
    }

    /// Takes an attempt at the caller's password, and at a code where one was sent, and verifies the
    /// password. The attempt comes back, to be given to [`Self::attempted`].
    pub(crate) async fn own(
        &self,
        deadline: Deadline,
        caller: Caller,
        account: Account,
        shows: ReauthenticationInput,
        origin: Origin,
    ) -> Result<(Reauthentication, ReservedAttempt, Vec<RecoveryCode>), Fault> {
        let (user, verified) = (account.user.id, account.password_hash);
        let mut by = vec![(self.keys.own(user), self.policies.account)];
        by.extend(shows.code.as_ref().map(|_| (self.keys.own_code(user), self.policies.code)));
        let counted = self.counted_by(by, &origin);
        let password = (shows.password, verified.clone());
        let attempt = self.own_guess(deadline, caller, counted, password, &origin).await?;
        let shown = shows.code.map(|code| code.shown(&self.second_factors, user));
        let (second, codes) = self.second(user, shown.unwrap_or(PresentedFactor::Nothing));
        let audit_context = self.audit_context(Some(user), origin, self.ambient.now());
        let idempotency_key = shows.idempotency_key;
        Ok((
            Reauthentication { user, verified, second, idempotency_key, audit_context },
            attempt,
            codes,
        ))
    }

    fn counted_by(
        &self,
        mut by: Vec<(
            crate::accounts::throttling::policy::ThrottleKey,
            crate::accounts::throttling::policy::ThrottlePolicy,
        )>,
        origin: &Origin,
    ) -> ThrottleKeySet {
        let address = origin.address.map(|from| (self.keys.address(from), self.policies.address));
        by.extend(address);
        ThrottleKeySet::by(by)
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
