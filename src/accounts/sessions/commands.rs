//! Units of work on sessions. Each locks the account first, then the session.

use uuid::Uuid;

use super::{End, Lifetimes, Session, store};
use crate::{
    accounts::{
        User,
        audit::{self, AuditContext, AuditData},
        second_factor::{
            self, FactorSettings,
            challenge::Challenge,
            commands::{CheckOutcome, SecondFactorCheck, goes_on},
            rules::{Need, SecondFactorProof, go_on},
        },
        sessions::refresh::{MOST_USED, RefreshToken, Salt, Used, Verdict, judge},
        store as accounts,
    },
    events::audit::{SessionsEnded, TokenReused},
    identity::{Caller, TokenCutoff},
    kernel::{fault::Fault, id::UserId},
    mail::{self, OutboxEmail},
    storage::{Authority, Tx, UnitOfWork},
};

/// Begins a session of an account whose password was verified, if its second factor was passed.
#[derive(Debug, Clone)]
pub struct Begin {
    /// The session.
    pub session: Session,
    /// The log-in: what changed of the account since its password was verified, such as the password
    /// itself, ends it before it begins.
    pub challenge: Challenge,
    /// What is shown beside the password.
    pub second: SecondFactorCheck,
    /// What tells the owner, unless it is surely the first log-in of all.
    pub notice: Option<OutboxEmail>,
    /// How long sessions last.
    pub lifetimes: Lifetimes,
    /// Who does it.
    pub audit_context: AuditContext,
}

/// What came of a log-in.
#[derive(Debug)]
pub enum Begun {
    /// The session has begun.
    Begun(Box<Started>),
    /// The password was right, and this is needed.
    Needs(Need),
    /// The code was wrong.
    Wrong,
    /// Nobody can tell whether the code was right.
    Unreadable,
    /// The account may no longer log in by what was verified.
    Refused,
}

/// A session that has begun.
#[derive(Debug)]
pub struct Started {
    /// The account.
    pub user: User,
    /// Its token generation.
    pub generation: i64,
    /// The proof that its second factor was passed.
    pub passed: SecondFactorProof,
    /// The sessions that ended to make room.
    pub surplus: Vec<Uuid>,
    /// What ended because this log-in turned the second factor on.
    pub ended: Option<TokenCutoff>,
}

impl UnitOfWork for Begin {
    type Output = Begun;
    const AUTHORITY: Authority = Authority::Nobody;

    async fn run(&self, tx: &Tx) -> Result<Begun, Fault> {
        let (user, now) = (self.session.user, self.audit_context.now);
        let Some(account) = goes_on(tx, &self.challenge).await? else { return Ok(Begun::Refused) };
        let required = self.second.factors.required(account.user.role);
        let judged = self.second.judge(tx, &account, required, None, &self.audit_context).await?;
        let (passed, ended) = match judged {
            CheckOutcome::Passed { passed, ended } => (passed, ended),
            CheckOutcome::Needs(need) => return Ok(Begun::Needs(need)),
            CheckOutcome::Unreadable => return Ok(Begun::Unreadable),
            CheckOutcome::Wrong => return Ok(Begun::Wrong),
        };
        let mut surplus = Vec::new();
        for found in store::surplus(tx, user, self.lifetimes, now).await? {
            surplus.push(found.id);
            store::update(tx, &Session { ended: Some((now, End::TooMany)), ..found }).await?;
        }
        if self.notice.is_some() && !store::is_first(tx, &account.user, now).await? {
            mail::store::insert(tx, &self.notice).await?;
        }
        store::insert(tx, &self.session, &passed).await?;
        let session = Some(self.session.id);
        let entry = self.audit_context.of(AuditData::LoggedIn, Some(user), session);
        audit::store::record(tx, entry).await?;
        let generation = ended.map_or(account.token_generation, |ended| ended.least);
        let user = match ended {
            // It has a new version.
            Some(_) => accounts::find(tx, user).await?.map_or(account.user, |found| found.user),
            None => account.user,
        };
        Ok(Begun::Begun(Box::new(Started { user, generation, passed, surplus, ended })))
    }
}

/// Exchanges a refresh token for its successor.
#[derive(Debug, Clone)]
pub struct Refresh {
    /// The presented refresh token.
    pub token: RefreshToken,
    /// Whether it was once given out by this server, if it is not the present one.
    pub given_out: bool,
    /// Randomness for the rotation.
    pub salt: Salt,
    /// How long sessions last.
    pub lifetimes: Lifetimes,
    /// What says who must have a second factor.
    pub factors: FactorSettings,
    /// Who does it.
    pub audit_context: AuditContext,
}

/// What came of a refresh.
#[derive(Debug)]
pub enum Refreshed {
    /// The session goes on.
    Next(Box<Going>),
    /// Nothing: the session is over, or was never there.
    Refused,
    /// The session ended just now, because two hold its tokens.
    Ended,
}

/// A session that goes on.
#[derive(Debug)]
pub struct Going {
    /// The account.
    pub user: User,
    /// Its token generation.
    pub generation: i64,
    /// The session.
    pub session: Session,
    /// Its next token.
    pub token: RefreshToken,
    /// The proof that the account has what it must have.
    pub passed: SecondFactorProof,
}

impl UnitOfWork for Refresh {
    type Output = Refreshed;
    const AUTHORITY: Authority = Authority::Nobody;

    async fn run(&self, tx: &Tx) -> Result<Refreshed, Fault> {
        let now = self.audit_context.now;
        let RefreshToken { user, session: id, .. } = self.token;
        let Some(account) = accounts::lock(tx, user).await? else { return Ok(Refreshed::Refused) };
        let found = store::lock(tx, user, id).await?;
        let Some(mut session) = found.filter(|found| found.is_live(self.lifetimes, now)) else {
            return Ok(Refreshed::Refused);
        };
        if account.user.disabled {
            return Ok(Refreshed::Refused);
        }
        // The setting may be younger than the session.
        let required = self.factors.required(account.user.role);
        let is_on = required && second_factor::store::is_on(tx, user).await?;
        let Some(passed) = go_on(is_on, required) else { return Ok(Refreshed::Refused) };
        let token =
            match judge(&session.token_hash, &session.used, &self.token, self.given_out, now) {
                Verdict::Foreign => return Ok(Refreshed::Refused),
                Verdict::Reused => {
                    session.ended = Some((now, End::Reused));
                    store::update(tx, &session).await?;
                    let reused = TokenReused { rotated_at: session.used_at };
                    let reused = AuditData::RefreshTokenReused(reused);
                    let entry = self.audit_context.of(reused, Some(user), Some(id));
                    audit::store::record(tx, entry).await?;
                    return Ok(Refreshed::Ended);
                }
                Verdict::Again(present) => present,
                Verdict::Rotate => {
                    session.used.retain(|used| used.may_be_retried(now));
                    if session.used.len() >= MOST_USED {
                        let (generation, token) = (account.token_generation, self.token.clone());
                        let going =
                            Going { user: account.user, generation, session, token, passed };
                        return Ok(Refreshed::Next(Box::new(going)));
                    }
                    let next = self.token.successor(&self.salt);
                    session.used.push(Used { hash: session.token_hash, salt: self.salt, at: now });
                    session.token_hash = next.hash();
                    session.used_at = now;
                    session.address = self.audit_context.origin.address_text();
                    store::update(tx, &session).await?;
                    next
                }
            };
        let generation = account.token_generation;
        let user = account.user;
        Ok(Refreshed::Next(Box::new(Going { user, generation, session, token, passed })))
    }
}

/// Ends one session.
#[derive(Debug, Clone)]
pub struct Revoke {
    /// Who asks.
    pub caller: Caller,
    /// The id of the account that has the session.
    pub user: UserId,
    /// The id of the session.
    pub session: Uuid,
    /// The reason for the end, as it is stored.
    pub end: End,
    /// How long sessions last.
    pub lifetimes: Lifetimes,
    /// Who does it.
    pub audit_context: AuditContext,
}

impl UnitOfWork for Revoke {
    /// Whether there is such a session. One that is over already stays as it is.
    type Output = bool;
    const AUTHORITY: Authority = Authority::Caller;

    async fn run(&self, tx: &Tx) -> Result<bool, Fault> {
        let now = self.audit_context.now;
        match self.end {
            End::LoggedOut => tx.needs_no_authority(),
            _ => tx.judge(self.caller).await?,
        }
        if accounts::lock(tx, self.user).await?.is_none() {
            return Ok(false);
        }
        let Some(found) = store::lock(tx, self.user, self.session).await? else {
            return Ok(false);
        };
        if found.is_live(self.lifetimes, now) {
            store::update(tx, &Session { ended: Some((now, self.end)), ..found }).await?;
            let what = match self.end {
                End::LoggedOut => AuditData::LoggedOut,
                _ => AuditData::SessionRevoked,
            };
            let entry = self.audit_context.of(what, Some(self.user), Some(self.session));
            audit::store::record(tx, entry).await?;
        }
        Ok(true)
    }
}

/// Ends all sessions of an account, or all but one.
#[derive(Debug, Clone)]
pub struct RevokeAll {
    /// Who asks.
    pub caller: Caller,
    /// The id of the account whose sessions end.
    pub user: UserId,
    /// The one that stays, if one does.
    pub kept: Option<Uuid>,
    /// Who does it.
    pub audit_context: AuditContext,
}

impl UnitOfWork for RevokeAll {
    /// What is still accepted; nothing if there is no such account.
    type Output = Option<crate::identity::TokenCutoff>;
    const AUTHORITY: Authority = Authority::Caller;

    async fn run(&self, tx: &Tx) -> Result<Self::Output, Fault> {
        tx.judge(self.caller).await?;
        let Some(mut account) = accounts::lock(tx, self.user).await? else { return Ok(None) };
        let now = self.audit_context.now;
        account.token_generation = account.next_generation(now);
        let ended =
            crate::identity::TokenCutoff { least: account.token_generation, kept: self.kept };
        accounts::update(tx, &account, Some((ended, now))).await?;
        store::end_others(tx, self.user, self.kept, End::Revoked, now).await?;
        let ended_all = AuditData::SessionsRevoked(SessionsEnded { kept: self.kept });
        let entry = self.audit_context.of(ended_all, Some(self.user), self.kept);
        audit::store::record(tx, entry).await?;
        Ok(Some(ended))
    }
}
