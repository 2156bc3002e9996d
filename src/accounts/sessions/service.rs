//! What callers can do with log-ins.

use std::sync::Arc;

use uuid::Uuid;

use super::{
    End, LONGEST_USER_AGENT, Lifetimes, Session,
    commands::{Begin, Begun, Going, Refresh, Refreshed, Revoke, RevokeAll},
    refresh::{RefreshToken, RefreshTokens},
    store,
};
use crate::{
    accounts::{
        User,
        audit::AuditContext,
        emails::service::composer::EmailComposer,
        second_factor::{
            challenge::Challenge,
            rules::{Need, PresentedFactor, RecoveryCode, SecondFactorProof},
            service::SecondFactors,
        },
        signing::token::{AccessToken, Tokens},
        store::{self as accounts, ById},
        throttling::service::{ReservedAttempt, Throttle},
    },
    identity::{Caller, Credential, Grant, Origin, TokenCutoff, permit::RunSessions},
    kernel::{
        ambient::Ambient,
        fault::{Fault, Reason},
        id::UserId,
        time::Instant,
    },
    mail::OutboxEmail,
    storage::{Deadline, Query, Reader, Store},
};

/// What a client gets that is logged in.
#[derive(Debug, Clone)]
pub struct LoggedIn {
    /// The account.
    pub user: User,
    /// What calls are made with.
    pub access: AccessToken,
    /// What comes next.
    pub refresh: RefreshText,
    /// Id of the session.
    pub session: Uuid,
    /// The word by which this device is known again; empty after a refresh.
    pub device: String,
    /// The recovery codes, where this log-in turned the second factor on.
    pub recovery: Vec<RecoveryCode>,
}

/// Result of one step of a log-in.
#[derive(Debug)]
pub(in crate::accounts) enum Log {
    /// The session has begun.
    In(Box<LoggedIn>),
    /// The password was right, and this is needed.
    Needs(Need),
    /// The code was wrong.
    Wrong,
    /// Nobody can tell whether the code was right.
    Unreadable,
    /// The account has changed in the meantime so that it may no longer log in, or the session began
    /// before.
    Refused,
}

/// A refresh token as text. Does not print it.
#[derive(Clone)]
pub struct RefreshText {
    /// The token as the client receives it.
    pub text: String,
    /// When it stops being good if it is not used.
    pub expires_at: Instant,
}

impl std::fmt::Debug for RefreshText {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RefreshText").field("expires_at", &self.expires_at).finish_non_exhaustive()
    }
}

/// Service layer for sessions.
#[derive(Debug, Clone)]
pub struct Sessions {
    store: Store,
    ambient: Ambient,
    /// Issues and verifies refresh tokens.
    refresh: RefreshTokens,
    /// How long log-ins last.
    lifetimes: Lifetimes,
    throttle: Throttle,
    second_factors: Arc<SecondFactors>,
    composer: EmailComposer,
    tokens: Tokens,
}

impl Sessions {
    /// With what makes refresh tokens, and how long log-ins last.
    pub fn new(
        (store, ambient): (Store, Ambient),
        (refresh, lifetimes): (RefreshTokens, Lifetimes),
        throttle: Throttle,
        second_factors: Arc<SecondFactors>,
        composer: EmailComposer,
        tokens: Tokens,
    ) -> Self {
        Self { store, ambient, refresh, lifetimes, throttle, second_factors, composer, tokens }
    }

    /// When a session ends if it is not used before.
    pub fn due(&self, session: &Session) -> Instant {
        session.due(self.lifetimes)
    }

    /// Begins the session of a log-in whose password was verified, if its second factor is passed by what
    /// is shown. The only way to a session.
    pub(in crate::accounts) async fn start(
        &self,
        deadline: Deadline,
        challenge: Challenge,
        shown: PresentedFactor,
        attempt: ReservedAttempt,
        origin: Origin,
    ) -> Result<Log, Fault> {
        let now = self.ambient.now();
        let user = challenge.user;
        let token = RefreshToken::first(user, challenge.session, self.ambient.bytes());
        let session = Session {
            user,
            id: token.session,
            token_hash: token.hash(),
            used: Vec::new(),
            created_at: now,
            used_at: now,
            expires_at: now + self.lifetimes.absolute,
            ended: None,
            address: origin.address_text(),
            user_agent: origin.user_agent.chars().take(LONGEST_USER_AGENT).collect(),
        };
        let (second, codes) = self.second_factors.check(user, shown);
        let device = self.throttle.device_token(user, challenge.device);
        let notice = self.new_device(deadline, &challenge, &origin).await?;
        let audit_context = AuditContext::new(&self.ambient, Some(user), origin, now);
        let lifetimes = self.lifetimes;
        let session_of = session.clone();
        let unit =
            Begin { session: session_of, challenge, second, notice, lifetimes, audit_context };
        // Where it is refused nobody looked at what was shown, or the password was right.
        let is_right = |begun: &Begun| !matches!(begun, Begun::Wrong);
        let begun = self.throttle.attempted(deadline, attempt, unit, is_right).await?;
        let started = match begun {
            Begun::Begun(started) => *started,
            Begun::Needs(need) => return Ok(Log::Needs(need)),
            Begun::Wrong => return Ok(Log::Wrong),
            Begun::Unreadable => return Ok(Log::Unreadable),
            Begun::Refused => return Ok(Log::Refused),
        };
        for surplus in started.surplus {
            self.tokens.end_session(surplus, now);
        }
        let recovery = match started.ended {
            Some(ended) => {
                self.tokens.end(user, ended, now);
                codes
            }
            None => Vec::new(),
        };
        let (user, generation) = (started.user, started.generation);
        let logged_in = self.logged_in(user, generation, &session, &token, &started.passed)?;
        Ok(Log::In(Box::new(LoggedIn { device, recovery, ..logged_in })))
    }

    /// Public: exchanges a refresh token for the next one and an access token. Each is good once; a
    /// retry within 30 seconds of its first use gets the session's present one, a later one ends the session.
    pub async fn refresh(
        &self,
        deadline: Deadline,
        text: &str,
        origin: Origin,
    ) -> Result<LoggedIn, Fault> {
        let (token, given_out) = self.refresh.read(text).ok_or_else(refused)?;
        let now = self.ambient.now();
        let audit_context = AuditContext::new(&self.ambient, None, origin, now);
        let (salt, lifetimes) = (self.ambient.bytes(), self.lifetimes);
        let session = token.session;
        let factors = self.second_factors.settings().clone();
        let unit = Refresh { token, given_out, salt, lifetimes, factors, audit_context };
        match self.store.run(deadline, unit).await? {
            Refreshed::Next(going) => {
                let Going { user, generation, session, token, passed } = *going;
                self.logged_in(user, generation, &session, &token, &passed)
            }
            Refreshed::Ended => {
                self.tokens.end_session(session, now);
                Err(refused())
            }
            Refreshed::Refused => Err(refused()),
        }
    }

    /// The caller's own log-in ends.
    pub async fn log_out(
        &self,
        deadline: Deadline,
        caller: Caller,
        origin: Origin,
    ) -> Result<(), Fault> {
        let (user, session) = (caller.user, caller.session);
        self.end_session(deadline, caller, user, session, (End::LoggedOut, origin)).await.map(drop)
    }

    /// The live log-ins of an account.
    pub async fn list(
        &self,
        deadline: Deadline,
        permit: RunSessions,
    ) -> Result<Vec<(Session, Instant)>, Fault> {
        let (user, now, lifetimes) = (permit.user, self.ambient.now(), self.lifetimes);
        let found = self.store.read(deadline, List { user, now, lifetimes }).await?;
        let found = found.ok_or_else(|| Fault::not_found(user.name()))?;
        let due = |session: Session| {
            let due = self.due(&session);
            (session, due)
        };
        Ok(found.into_iter().map(due).collect())
    }

    /// Ends a log-in of an account.
    pub async fn revoke(
        &self,
        deadline: Deadline,
        caller: Caller,
        permit: RunSessions,
        session: Uuid,
        origin: Origin,
    ) -> Result<(), Fault> {
        let user = permit.user;
        if !self.end_session(deadline, caller, user, session, (End::Revoked, origin)).await? {
            return Err(Fault::not_found(session_name(user, session)));
        }
        Ok(())
    }

    /// Ends all log-ins of an account, or all but the caller's own.
    pub async fn revoke_all(
        &self,
        deadline: Deadline,
        caller: Caller,
        permit: RunSessions,
        keep_own: bool,
        origin: Origin,
    ) -> Result<(), Fault> {
        let now = self.ambient.now();
        let user = permit.user;
        let kept = (keep_own && caller.user == user).then_some(caller.session);
        let audit_context = AuditContext::new(&self.ambient, Some(caller.user), origin, now);
        let tokens = self.tokens.clone();
        let then = move |ended: &Option<TokenCutoff>| {
            if let Some(ended) = *ended {
                tokens.end(user, ended, now);
            }
        };
        let unit = RevokeAll { caller, user, kept, audit_context };
        let ended = self.store.run_then(deadline, unit, then).await?;
        ended.ok_or_else(|| Fault::not_found(user.name()))?;
        Ok(())
    }

    /// What tells the owner of an account of a log-in with a device that was not known.
    async fn new_device(
        &self,
        deadline: Deadline,
        challenge: &Challenge,
        origin: &Origin,
    ) -> Result<Option<OutboxEmail>, Fault> {
        if challenge.device.known || !self.composer.mail().is_on() {
            return Ok(None);
        }
        match self.store.read(deadline, ById(challenge.user)).await? {
            Some(account) => self.composer.new_log_in(&account.user, origin),
            None => Ok(None),
        }
    }

    async fn end_session(
        &self,
        deadline: Deadline,
        caller: Caller,
        user: UserId,
        session: Uuid,
        (end, origin): (End, Origin),
    ) -> Result<bool, Fault> {
        let now = self.ambient.now();
        let audit_context = AuditContext::new(&self.ambient, Some(caller.user), origin, now);
        let lifetimes = self.lifetimes;
        let found = self
            .store
            .run(deadline, Revoke { caller, user, session, end, lifetimes, audit_context })
            .await?;
        if found {
            self.tokens.end_session(session, now);
        }
        Ok(found)
    }

    /// Makes the tokens of a session: only where the second factor was passed.
    fn logged_in(
        &self,
        user: User,
        generation: i64,
        session: &Session,
        token: &RefreshToken,
        _passed: &SecondFactorProof,
    ) -> Result<LoggedIn, Fault> {
        let now = self.ambient.now();
        let caller = Caller {
            user: user.id,
            role: user.role,
            session: session.id,
            service: None,
            credential: Credential::Token { generation },
        };
        let grant = Grant { caller, generation };
        let access = self.tokens.make(grant, self.ambient.id(now), now, session.expires_at)?;
        let text = self.refresh.write(token);
        let refresh = RefreshText { text, expires_at: self.due(session) };
        let (device, recovery) = (String::new(), Vec::new());
        Ok(LoggedIn { user, access, refresh, session: session.id, device, recovery })
    }
}

/// The resource name of a session: `users/{user}/sessions/{session}`.
pub fn session_name(user: UserId, session: Uuid) -> String {
    format!("{}/sessions/{session}", user.name())
}

/// The one answer to every refresh token that is not good.
fn refused() -> Fault {
    Fault::new(Reason::RefreshRefused, "the refresh token is not good, or no longer: log in again")
}

struct List {
    user: UserId,
    now: Instant,
    lifetimes: Lifetimes,
}

impl Query for List {
    /// Nothing if there is no such account.
    type Output = Option<Vec<Session>>;

    async fn run(&self, at: &Reader) -> Result<Self::Output, Fault> {
        if accounts::find(at, self.user).await?.is_none() {
            return Ok(None);
        }
        store::list(at, self.user, self.lifetimes, self.now).await.map(Some)
    }
}
