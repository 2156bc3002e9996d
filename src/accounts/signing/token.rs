//! Access tokens: JWT in the profile of RFC 9068, signed with EdDSA.
//!
//! All claims are required, one algorithm is allowed, and the key is looked up by `kid` among our own, which
//! change while the process runs (`key_lifecycle`).
//! A refused token says no more than that it is refused.

use std::{
    collections::HashMap,
    fmt,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use arc_swap::ArcSwap;
use aws_lc_rs::digest;
use chrono::{DateTime, TimeDelta};
use jsonwebtoken::{Algorithm, Header, Validation};
use quick_cache::sync::Cache;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::{
    accounts::signing::{
        key_lifecycle::{LEEWAY, LONGEST_LIFE},
        key_ring::KeyRing,
        signing_key::Kid,
    },
    identity::{Caller, Credential, Grant, Role, TokenCutoff, not_authenticated},
    kernel::{
        fault::{Fault, Reason},
        id::UserId,
        time::Instant,
    },
};

/// The `typ` of an access token (RFC 9068, 2.1).
const TYPE: &str = "at+jwt";
/// No token of ours is longer, in bytes.
const LONGEST: usize = 4096;
/// How many verified tokens are remembered.
const REMEMBERED: usize = 20_000;

/// What tokens say, and for how long.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Issuer: the `iss` claim of every access token. A token with another issuer is rejected.
    pub issuer: String,
    /// Audience: the `aud` claim of every access token. A token for another audience is rejected.
    pub audience: String,
    /// From `iat` to `exp`.
    pub time_to_live: TimeDelta,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
struct Claims {
    iss: String,
    aud: String,
    sub: String,
    sid: String,
    jti: String,
    iat: i64,
    exp: i64,
    role: String,
    /// The token generation of the user; see [`Tokens::end`].
    generation: i64,
}

#[derive(Debug, Clone, Copy)]
struct Known {
    kid: Kid,
    grant: Grant,
    from: Instant,
    until: Instant,
}

/// What is still accepted of a user's tokens, as this process noted it.
#[derive(Debug, Clone, Copy)]
struct Noted {
    accepted: TokenCutoff,
    at: Instant,
    /// Its number. The database knows of what has a smaller one than it was asked with.
    mark: u64,
    /// Since when the database knows nothing of it, if it should: tokens made from then on are accepted.
    lost: Option<Instant>,
}

impl Noted {
    /// Whether a token of this generation, session and time is refused.
    fn refuses(&self, grant: &Grant, from: Instant) -> bool {
        grant.generation < self.accepted.least
            && self.accepted.kept != Some(grant.caller.session)
            && self.lost.is_none_or(|lost| from < lost - LEEWAY)
    }
}

/// Makes and checks access tokens.
#[derive(Clone)]
pub struct Tokens(Arc<Inner>);

struct Inner {
    settings: Settings,
    validation: Validation,
    /// The keys, as the database was seen last.
    keys: ArcSwap<KeyRing>,
    /// Tokens that were verified before, by SHA-256. The key, expiry and revocation are checked each time.
    known: Cache<[u8; 32], Known>,
    /// What is still accepted, for users whose tokens were ended lately.
    ended: ArcSwap<HashMap<UserId, Noted>>,
    /// How often something was noted here; see [`Tokens::mark`].
    marks: AtomicU64,
    /// The sessions that were ended lately, and when this was noted.
    ended_sessions: ArcSwap<HashMap<Uuid, Instant>>,
    /// Whether what is known of ended tokens is fresh enough to accept any.
    trusted: AtomicBool,
}

impl fmt::Debug for Tokens {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Tokens")
    }
}

/// A fresh access token.
#[derive(Clone)]
pub struct AccessToken {
    /// What goes into `authorization: Bearer …`.
    pub text: String,
    /// When it stops being accepted.
    pub expires_at: Instant,
}

impl fmt::Debug for AccessToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AccessToken").field("expires_at", &self.expires_at).finish_non_exhaustive()
    }
}

impl Tokens {
    /// Tokens signed with these keys, until others take their place.
    pub fn new(settings: Settings, keys: KeyRing) -> Self {
        let mut validation = Validation::new(Algorithm::EdDSA);
        validation.set_audience(&[&settings.audience]);
        validation.set_issuer(&[&settings.issuer]);
        validation.set_required_spec_claims(&["iss", "aud", "sub", "exp"]);
        // Against our own clock, in `check`; the types of the claims are checked by reading them.
        validation.validate_exp = false;
        Self(Arc::new(Inner {
            settings,
            validation,
            keys: ArcSwap::from_pointee(keys),
            known: Cache::new(REMEMBERED),
            ended: ArcSwap::default(),
            marks: AtomicU64::default(),
            ended_sessions: ArcSwap::default(),
            trusted: AtomicBool::new(true),
        }))
    }

    /// How long a token lives at most that any process made: this one, or another one on the same database.
    pub fn longest_life(&self) -> TimeDelta {
        self.0.settings.time_to_live.max(LONGEST_LIFE)
    }

    /// The keys that are known.
    pub fn keys(&self) -> Arc<KeyRing> {
        self.0.keys.load_full()
    }

    /// From now on these are the keys. Tokens of others are refused, also those that were seen before.
    pub fn set_keys(&self, keys: KeyRing) {
        self.0.keys.store(Arc::new(keys));
    }

    /// A token for this user, from `now` on and never longer than the log-in lasts; `jti` names the token.
    /// `DATABASE_UNAVAILABLE` while it is not known well enough which key signs.
    pub fn make(
        &self,
        grant: Grant,
        jti: Uuid,
        now: Instant,
        until: Instant,
    ) -> Result<AccessToken, Fault> {
        let (settings, keys) = (&self.0.settings, self.0.keys.load());
        let key = keys.signing.as_ref().filter(|_| self.is_trusted()).ok_or_else(unknown)?;
        let iat = now.timestamp();
        let exp = (iat + settings.time_to_live.num_seconds()).min(until.timestamp());
        let claims = Claims {
            iss: settings.issuer.clone(),
            aud: settings.audience.clone(),
            sub: grant.caller.user.to_string(),
            sid: grant.caller.session.to_string(),
            jti: jti.to_string(),
            iat,
            exp,
            role: grant.caller.role.word().to_owned(),
            generation: grant.generation,
        };
        let mut header = Header::new(Algorithm::EdDSA);
        header.typ = Some(TYPE.to_owned());
        header.kid = Some(key.public.kid.to_string());
        let text = jsonwebtoken::encode(&header, &claims, &key.encoding)
            .map_err(|e| Fault::internal(format!("signing a token: {e}")))?;
        Ok(AccessToken { text, expires_at: DateTime::from_timestamp(exp, 0).unwrap_or(now) })
    }

    /// Says whether this process knows well enough which tokens were ended. While it does not, no token
    /// is accepted: a token that was ended elsewhere must not work because the database is away.
    pub fn set_trusted(&self, trusted: bool) {
        self.0.trusted.store(trusted, Ordering::SeqCst);
    }

    /// Whether tokens are accepted at present.
    pub fn is_trusted(&self) -> bool {
        self.0.trusted.load(Ordering::SeqCst)
    }

    /// Who this token speaks for. Every refused token gets the same `NOT_AUTHENTICATED`;
    /// `DATABASE_UNAVAILABLE` while nobody can tell which tokens were ended.
    pub fn check(&self, token: &str, now: Instant) -> Result<Caller, Fault> {
        if token.len() > LONGEST {
            return Err(not_authenticated());
        }
        if !self.is_trusted() {
            return Err(unknown());
        }
        let hash = digest::digest(&digest::SHA256, token.as_bytes());
        let hash: [u8; 32] = hash.as_ref().try_into().map_err(|_| not_authenticated())?;
        let known = if let Some(known) = self.0.known.get(&hash) {
            known
        } else {
            let known = self.verify(token, now).ok_or_else(not_authenticated)?;
            self.0.known.insert(hash, known);
            known
        };
        if self.0.keys.load().find(known.kid, now).is_none() {
            return Err(not_authenticated());
        }
        if now >= known.until + LEEWAY || now < known.from - LEEWAY {
            return Err(not_authenticated());
        }
        let ended = self.0.ended.load();
        let caller = known.grant.caller;
        if ended.get(&caller.user).is_some_and(|noted| noted.refuses(&known.grant, known.from)) {
            return Err(not_authenticated());
        }
        if self.0.ended_sessions.load().contains_key(&caller.session) {
            return Err(not_authenticated());
        }
        Ok(caller)
    }

    /// From now on, in this process, no token of this session is accepted.
    pub fn end_session(&self, session: Uuid, now: Instant) {
        self.0.ended_sessions.rcu(|ended| {
            let mut ended = HashMap::clone(ended);
            ended.insert(session, now);
            ended
        });
    }

    /// From now on, in this process, only these tokens of the user are accepted.
    pub fn end(&self, user: UserId, accepted: TokenCutoff, now: Instant) {
        let mark = self.0.marks.fetch_add(1, Ordering::SeqCst) + 1;
        self.0.ended.rcu(|ended| {
            let mut ended = HashMap::clone(ended);
            keep_latest(&mut ended, user, Noted { accepted, at: now, mark, lost: None });
            ended
        });
    }

    /// What was noted up to now; to be read before the database is asked.
    pub fn mark(&self) -> u64 {
        self.0.marks.load(Ordering::SeqCst)
    }

    /// Takes over what the database says about tokens that were ended since then, which was asked when the
    /// mark was this one. What this process noted itself stays for as long: the database may have been asked a
    /// moment before. What the database should know and does not was lost with commits, or in a restore:
    /// those tokens stay ended, and whoever logs in from now on is accepted. Returns whether there is such.
    pub fn refresh_ended(
        &self,
        stored: &HashMap<UserId, (TokenCutoff, Instant)>,
        sessions: &[Uuid],
        (since, now): (Instant, Instant),
        mark: u64,
    ) -> bool {
        let mut lost = false;
        self.0.ended_sessions.rcu(|ended| {
            let mut fresh = HashMap::clone(ended);
            fresh.retain(|_, noted| *noted >= since);
            fresh.extend(sessions.iter().map(|session| (*session, now)));
            fresh
        });
        self.0.ended.rcu(|ended| {
            let mut fresh = HashMap::clone(ended);
            fresh.retain(|_, noted| noted.at >= since);
            for (user, noted) in &mut fresh {
                let told = stored.get(user);
                let is_told = told.is_some_and(|(told, _)| told.least >= noted.accepted.least);
                // A generation is the time at which it began: what began before the database was asked about
                // need not be told.
                let began = DateTime::from_timestamp_micros(noted.accepted.least);
                let is_due = began.is_some_and(|began| began > since + LEEWAY);
                if !is_told && is_due && noted.mark <= mark && noted.lost.is_none() {
                    noted.lost = Some(now);
                    lost = true;
                }
            }
            for (user, (accepted, at)) in stored {
                let noted = Noted { accepted: *accepted, at: *at, mark, lost: None };
                keep_latest(&mut fresh, *user, noted);
            }
            fresh
        });
        lost
    }

    fn verify(&self, token: &str, now: Instant) -> Option<Known> {
        let header = jsonwebtoken::decode_header(token).ok()?;
        let odd = header.jwk.is_some() || header.crit.is_some();
        if header.typ.as_deref() != Some(TYPE) || odd {
            return None;
        }
        let kid = header.kid.as_deref().and_then(Kid::parse)?;
        let keys = self.0.keys.load();
        let key = keys.find(kid, now)?;
        let claims: Claims =
            jsonwebtoken::decode(token, &key.decoding, &self.0.validation).ok()?.claims;
        // Only what we make ourselves: ids in their one form.
        let user = UserId::parse(&format!("users/{}", claims.sub))?;
        let session = Uuid::try_parse(&claims.sid).ok()?;
        Uuid::try_parse(&claims.jti).ok()?;
        let role = Role::parse(&claims.role)?;
        if claims.exp <= claims.iat {
            return None;
        }
        Some(Known {
            kid,
            grant: Grant {
                caller: Caller {
                    user,
                    role,
                    session,
                    service: None,
                    credential: Credential::Token { generation: claims.generation },
                },
                generation: claims.generation,
            },
            from: DateTime::from_timestamp(claims.iat, 0)?,
            until: DateTime::from_timestamp(claims.exp, 0)?,
        })
    }
}

fn keep_latest(ended: &mut HashMap<UserId, Noted>, user: UserId, news: Noted) {
    let known = ended.entry(user).or_insert(news);
    if known.accepted.least < news.accepted.least {
        *known = news;
    }
}

/// Nobody can tell at present what is accepted.
pub fn unknown() -> Fault {
    Fault::new(
        Reason::DatabaseUnavailable,
        "the database cannot be asked which tokens are accepted; retry",
    )
    .retry_after(Duration::from_millis(500))
}
