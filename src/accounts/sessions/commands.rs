//! Units of work on sessions. Each locks the account first, then the session.

use serde_json::json;
use uuid::Uuid;

use super::{End, Lifetimes, Session, store};
use crate::{
    accounts::{
        User,
        audit::{self, Act, Witness},
        guessing::store::Counted,
        store as accounts,
    },
    identity::refresh::{RefreshToken, Verdict, judge},
    kernel::{fault::Fault, id::UserId},
    mail::{self, Letter},
    storage::{Tx, UnitOfWork},
};

/// Begins a session of an account whose password was verified.
#[derive(Debug, Clone)]
pub struct Begin {
    /// The session.
    pub session: Session,
    /// The generation of the account whose password was verified: what changed since then, such as the
    /// password itself, ends the log-in before it begins.
    pub generation: i64,
    /// What the attempt at the password was counted by: it was right.
    pub counted: Counted,
    /// What tells the owner, unless it is the first log-in of all.
    pub notice: Option<Letter>,
    /// How long sessions last.
    pub lifetimes: Lifetimes,
    /// Who does it.
    pub witness: Witness,
}

impl UnitOfWork for Begin {
    /// The sessions that ended to make room; nothing if the account may no longer log in by what was
    /// verified.
    type Output = Option<Vec<Uuid>>;

    async fn run(&self, tx: &Tx) -> Result<Self::Output, Fault> {
        let (user, now) = (self.session.user, self.witness.now);
        self.counted.refund(tx, now).await?;
        let account = accounts::lock(tx, user).await?;
        let same = |account: &accounts::Account| {
            !account.user.disabled && account.token_generation == self.generation
        };
        if !account.as_ref().is_some_and(same) {
            return Ok(None);
        }
        if self.notice.is_some() && store::is_any(tx, user).await? {
            mail::store::insert(tx, &self.notice).await?;
        }
        let mut ended = Vec::new();
        for surplus in store::surplus(tx, user, self.lifetimes, now).await? {
            ended.push(surplus.id);
            store::update(tx, &Session { ended: Some((now, End::TooMany)), ..surplus }).await?;
        }
        store::insert(tx, &self.session).await?;
        let session = Some(self.session.id);
        let entry = self.witness.of(Act::LoggedIn, Some(user), session, json!({}));
        audit::store::record(tx, entry).await?;
        Ok(Some(ended))
    }
}

/// Exchanges a refresh token for its successor.
#[derive(Debug, Clone)]
pub struct Refresh {
    /// The token.
    pub token: RefreshToken,
    /// Whether it was once given out by this server, if it is not the present one.
    pub given_out: bool,
    /// Randomness for the rotation.
    pub salt: [u8; 32],
    /// How long sessions last.
    pub lifetimes: Lifetimes,
    /// Who does it.
    pub witness: Witness,
}

/// What came of a refresh.
#[derive(Debug, Clone)]
pub enum Refreshed {
    /// The session goes on.
    Next(Box<Going>),
    /// Nothing: the session is over, or was never there.
    Refused,
    /// The session ended just now, because two hold its tokens.
    Ended,
}

/// A session that goes on.
#[derive(Debug, Clone)]
pub struct Going {
    /// The account.
    pub user: User,
    /// Its token generation.
    pub generation: i64,
    /// The session.
    pub session: Session,
    /// Its next token.
    pub token: RefreshToken,
}

impl UnitOfWork for Refresh {
    type Output = Refreshed;

    async fn run(&self, tx: &Tx) -> Result<Refreshed, Fault> {
        let now = self.witness.now;
        let RefreshToken { user, session: id, .. } = self.token;
        let Some(account) = accounts::lock(tx, user).await? else { return Ok(Refreshed::Refused) };
        let found = store::lock(tx, user, id).await?;
        let Some(mut session) = found.filter(|found| found.is_live(self.lifetimes, now)) else {
            return Ok(Refreshed::Refused);
        };
        if account.user.disabled {
            return Ok(Refreshed::Refused);
        }
        let token = match judge(&session.standing(), &self.token, self.given_out, now) {
            Verdict::Foreign => return Ok(Refreshed::Refused),
            Verdict::Reused => {
                session.ended = Some((now, End::Reused));
                store::update(tx, &session).await?;
                let detail = json!({ "rotated_at": session.used_at });
                let entry = self.witness.of(Act::RefreshTokenReused, Some(user), Some(id), detail);
                audit::store::record(tx, entry).await?;
                return Ok(Refreshed::Ended);
            }
            Verdict::Again => {
                let salt = session.previous.as_ref().map(|(_, salt)| salt.as_slice());
                self.token.successor(salt.unwrap_or_default())
            }
            Verdict::Rotate => {
                let next = self.token.successor(&self.salt);
                session.previous = Some((session.token_hash, self.salt.to_vec()));
                session.token_hash = next.hash();
                session.used_at = now;
                session.address = self.witness.origin.address_text();
                store::update(tx, &session).await?;
                next
            }
        };
        let generation = account.token_generation;
        Ok(Refreshed::Next(Box::new(Going { user: account.user, generation, session, token })))
    }
}

/// Ends one session.
#[derive(Debug, Clone)]
pub struct Revoke {
    /// Whose.
    pub user: UserId,
    /// Which.
    pub session: Uuid,
    /// Why.
    pub end: End,
    /// How long sessions last.
    pub lifetimes: Lifetimes,
    /// Who does it.
    pub witness: Witness,
}

impl UnitOfWork for Revoke {
    /// Whether there is such a session. One that is over already stays as it is.
    type Output = bool;

    async fn run(&self, tx: &Tx) -> Result<bool, Fault> {
        let now = self.witness.now;
        if accounts::lock(tx, self.user).await?.is_none() {
            return Ok(false);
        }
        let Some(found) = store::lock(tx, self.user, self.session).await? else {
            return Ok(false);
        };
        if found.is_live(self.lifetimes, now) {
            store::update(tx, &Session { ended: Some((now, self.end)), ..found }).await?;
            let act = match self.end {
                End::LoggedOut => Act::LoggedOut,
                _ => Act::SessionRevoked,
            };
            let entry = self.witness.of(act, Some(self.user), Some(self.session), json!({}));
            audit::store::record(tx, entry).await?;
        }
        Ok(true)
    }
}

/// Ends all sessions of an account, or all but one.
#[derive(Debug, Clone)]
pub struct RevokeAll {
    /// Whose.
    pub user: UserId,
    /// The one that stays, if one does.
    pub kept: Option<Uuid>,
    /// Who does it.
    pub witness: Witness,
}

impl UnitOfWork for RevokeAll {
    /// What is still accepted; nothing if there is no such account.
    type Output = Option<crate::identity::Ended>;

    async fn run(&self, tx: &Tx) -> Result<Self::Output, Fault> {
        let Some(mut account) = accounts::lock(tx, self.user).await? else { return Ok(None) };
        let now = self.witness.now;
        account.token_generation += 1;
        let ended = crate::identity::Ended { least: account.token_generation, kept: self.kept };
        accounts::update(tx, &account, Some((ended, now))).await?;
        store::end_others(tx, self.user, self.kept, End::Revoked, now).await?;
        let detail = json!({ "kept": self.kept });
        let entry = self.witness.of(Act::SessionsRevoked, Some(self.user), self.kept, detail);
        audit::store::record(tx, entry).await?;
        Ok(Some(ended))
    }
}
