//! API keys: what other backends show in the place of a token.
//!
//! A key is `daybook_sk_`, its id in 32 hexadecimal digits, `_`, and 48 characters of base64url: a secret of
//! 256 random bits and a check of four bytes, so that secret scanners find keys and can tell them from
//! what looks like one. The check is of the key alone and proves nothing. Only SHA-256 of the secret is
//! stored. Attempts are not counted: the secret is random, so 2^64 guesses find it with a chance of 2^-192.
//!
//! The interceptor cannot ask the database, so what there is stands in a snapshot that is followed every
//! second, as ended tokens are.

use std::{
    collections::{HashMap, HashSet},
    fmt,
    net::IpAddr,
    sync::{Arc, Mutex, PoisonError},
};

use arc_swap::ArcSwap;
use aws_lc_rs::{constant_time, digest};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use chrono::TimeDelta;
use uuid::Uuid;

use crate::{
    events::audit::Refusal,
    identity::{
        Caller, Credential, Role,
        authority::{ActFor, act_for_refused, covers, scope_missing},
        not_authenticated,
    },
    kernel::{
        fault::Fault,
        id::{ApiKeyId, ServiceAccountId, UserId},
        time::Instant,
    },
};

/// How every key begins.
pub const PREFIX: &str = "daybook_sk_";
/// How often the use of a key is written down at most, and its refusals.
pub const NOTE_EVERY: TimeDelta = TimeDelta::minutes(1);

const SECRET: usize = 32;
const CHECK: usize = 4;

/// The hash that is stored of a key.
pub type Hash = [u8; 32];

/// A key. Does not print its secret.
#[derive(Clone, PartialEq, Eq)]
pub struct ApiKey {
    /// Unique id.
    pub id: ApiKeyId,
    secret: [u8; SECRET],
}

impl fmt::Debug for ApiKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ApiKey").field("id", &self.id).finish_non_exhaustive()
    }
}

impl ApiKey {
    /// From fresh randomness.
    pub fn new(id: ApiKeyId, secret: [u8; SECRET]) -> Self {
        Self { id, secret }
    }

    /// Reads a key in its one form; nothing if it cannot be one.
    pub fn parse(text: &str) -> Option<Self> {
        let (id, rest) = text.strip_prefix(PREFIX)?.split_once('_')?;
        let id = ApiKeyId(Uuid::try_parse(id).ok()?);
        let bytes = URL_SAFE_NO_PAD.decode(rest).ok()?;
        let secret = bytes.get(..SECRET)?.try_into().ok()?;
        let key = Self { id, secret };
        constant_time::verify_slices_are_equal(key.text().as_bytes(), text.as_bytes()).ok()?;
        Some(key)
    }

    /// The key as it is shown.
    pub fn text(&self) -> String {
        let check = sha256(&[PREFIX.as_bytes(), self.id.0.as_bytes(), &self.secret]);
        let check = check.get(..CHECK).unwrap_or_default();
        let rest = URL_SAFE_NO_PAD.encode([self.secret.as_slice(), check].concat());
        format!("{}_{rest}", prefix(self.id))
    }

    /// What is stored of it. One pass of SHA-256 is enough for what nobody can guess.
    pub fn hash(&self) -> Hash {
        sha256(&[&self.secret])
    }
}

/// How the key with this id begins, which is no secret.
pub fn prefix(id: ApiKeyId) -> String {
    format!("{PREFIX}{}", id.0.simple())
}

fn sha256(parts: &[&[u8]]) -> Hash {
    let mut context = digest::Context::new(&digest::SHA256);
    for part in parts {
        context.update(part);
    }
    let mut bytes = [0; 32];
    bytes.iter_mut().zip(context.finish().as_ref()).for_each(|(to, from)| *to = *from);
    bytes
}

/// A key as the interceptor knows it.
#[derive(Debug, Clone)]
pub struct KnownKey {
    /// The id of the service account that has the key.
    pub account: ServiceAccountId,
    /// The hash of its secret.
    pub hash: Hash,
    /// The services and methods that it is good for.
    pub scopes: Vec<String>,
    /// When it ends.
    pub expires_at: Instant,
    /// Whether it was revoked.
    pub revoked: bool,
    /// When its use was last written down.
    pub last_used_at: Option<Instant>,
}

/// A service account as the interceptor knows it.
#[derive(Debug, Clone)]
pub struct KnownAccount {
    /// What it may do as itself.
    pub role: Role,
    /// Whom it may act for.
    pub act_for: ActFor,
    /// Whether it is shut out.
    pub disabled: bool,
}

/// Everything that is known of keys at a time.
#[derive(Debug, Clone, Default)]
pub struct Known {
    /// The keys that are or lately were good.
    pub keys: HashMap<ApiKeyId, KnownKey>,
    /// The service accounts.
    pub accounts: HashMap<ServiceAccountId, KnownAccount>,
    /// Whom nobody may act for: who is no customer, or disabled.
    pub not_to_act_for: HashSet<UserId>,
}

/// What was done with a key since it was last written down.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Use {
    /// When and from where it was last used, if it was.
    pub used: Option<(Instant, Option<IpAddr>)>,
    /// How it was refused, if it was.
    pub refused: Option<Refused>,
}

/// How a key was refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refused {
    /// When it was last.
    pub at: Instant,
    /// From where, then.
    pub address: Option<IpAddr>,
    /// By which call, then.
    pub call_id: String,
    /// Reason of the last refusal.
    pub why: Refusal,
    /// How often in all.
    pub count: u64,
}

/// The keys of the server, for the interceptor.
#[derive(Clone, Default)]
pub struct ApiKeys(Arc<Inner>);

#[derive(Default)]
struct Inner {
    known: ArcSwap<Known>,
    /// Of known keys only, so there are not more of them than of those.
    uses: Mutex<HashMap<ApiKeyId, Use>>,
    /// When a key's use and its refusals were last handed on to be written down.
    noted: Mutex<HashMap<ApiKeyId, Noted>>,
}

#[derive(Debug, Clone, Copy)]
struct Noted {
    used: Option<Instant>,
    refused: Option<Instant>,
}

impl fmt::Debug for ApiKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ApiKeys")
    }
}

/// What a call with a key asks for.
#[derive(Debug, Clone, Copy)]
pub struct KeyUseRequest<'a> {
    /// The method, such as `daybook.booking.v1.BookingService/BookAppointment`.
    pub method: &'static str,
    /// Whether any key may be for it at all.
    pub in_scopes: bool,
    /// Whom to act for.
    pub act_for: Option<UserId>,
    /// By which call, and from where.
    pub by: Call<'a>,
}

/// A call that shows a key.
#[derive(Debug, Clone, Copy)]
pub struct Call<'a> {
    /// Where it comes from.
    pub address: Option<IpAddr>,
    /// Id of the call, as in `x-request-id`.
    pub id: &'a str,
}

impl ApiKeys {
    /// From now on this is what there is.
    pub fn set(&self, known: Known) {
        self.0.known.store(Arc::new(known));
    }

    /// From now on nobody acts for this user, until the next [`Self::set`].
    pub fn shut_out(&self, user: UserId) {
        self.0.known.rcu(|known| {
            let mut known = Known::clone(known);
            known.not_to_act_for.insert(user);
            known
        });
    }

    /// Whose key this is. Every refused key gets the same `NOT_AUTHENTICATED`.
    pub fn check(
        &self,
        text: &str,
        by: Call<'_>,
        now: Instant,
    ) -> Result<(ApiKeyId, ServiceAccountId), Fault> {
        let shown = ApiKey::parse(text).ok_or_else(not_authenticated)?;
        let known = self.0.known.load();
        let key = known.keys.get(&shown.id).ok_or_else(not_authenticated)?;
        let account = known.accounts.get(&key.account).ok_or_else(not_authenticated)?;
        let right = constant_time::verify_slices_are_equal(&shown.hash(), &key.hash).is_ok();
        let refusal = if !right {
            Refusal::WrongSecret
        } else if key.revoked {
            Refusal::Revoked
        } else if now >= key.expires_at {
            Refusal::Expired
        } else if account.disabled {
            Refusal::Disabled
        } else {
            self.note(shown.id, |noted| noted.used = Some((now, by.address)));
            return Ok((shown.id, key.account));
        };
        self.refuse(shown.id, refusal, by, now);
        Err(not_authenticated())
    }

    /// Who calls with a key that was checked: the service account, or whom it acts for. `SCOPE_MISSING`
    /// where the key is not for the method, `ACT_FOR_REFUSED` where it may not act for that user.
    pub fn admit(
        &self,
        id: ApiKeyId,
        asked: KeyUseRequest<'_>,
        now: Instant,
    ) -> Result<Caller, Fault> {
        let known = self.0.known.load();
        // It may have gone since it was checked.
        let key = known.keys.get(&id).ok_or_else(not_authenticated)?;
        let account = known.accounts.get(&key.account).ok_or_else(not_authenticated)?;
        if !(asked.in_scopes && covers(&key.scopes, asked.method)) {
            self.refuse(id, Refusal::ScopeMissing, asked.by, now);
            return Err(scope_missing(asked.method));
        }
        let (session, service) = (id.0, Some(key.account));
        let credential = Credential::ApiKey { method: asked.method };
        let Some(user) = asked.act_for else {
            return Ok(Caller {
                user: key.account.as_user(),
                role: account.role,
                session,
                service,
                credential,
            });
        };
        if !account.act_for.grants(user) || known.not_to_act_for.contains(&user) {
            self.refuse(id, Refusal::ActFor, asked.by, now);
            return Err(act_for_refused());
        }
        Ok(Caller { user, role: Role::Customer, session, service, credential })
    }

    /// What has to be written down now: of each key, a use or a refusal at most once in [`NOTE_EVERY`].
    pub fn take_uses(&self, now: Instant) -> Vec<(ApiKeyId, ServiceAccountId, Use)> {
        let known = self.0.known.load();
        let mut uses = self.0.uses.lock().unwrap_or_else(PoisonError::into_inner);
        let mut noted = self.0.noted.lock().unwrap_or_else(PoisonError::into_inner);
        noted.retain(|id, _| known.keys.contains_key(id));
        uses.retain(|id, _| known.keys.contains_key(id));
        let is_due = |last: Option<Instant>| last.is_none_or(|last| now >= last + NOTE_EVERY);
        let mut due = Vec::new();
        for (id, found) in uses.iter_mut() {
            let Some(key) = known.keys.get(id) else { continue };
            let first = Noted { used: key.last_used_at, refused: None };
            let last = noted.entry(*id).or_insert(first);
            let mut taken = Use::default();
            if found.used.is_some() && is_due(last.used) {
                taken.used = found.used.take();
                last.used = Some(now);
            }
            if found.refused.is_some() && is_due(last.refused) {
                taken.refused = found.refused.take();
                last.refused = Some(now);
            }
            if taken != Use::default() {
                due.push((*id, key.account, taken));
            }
        }
        uses.retain(|_, left| *left != Use::default());
        due
    }

    /// Puts back what was taken and could not be written down, so that it is taken again. What was done since
    /// then counts as well.
    pub fn put_back(&self, id: ApiKeyId, what: Use) {
        let mut uses = self.0.uses.lock().unwrap_or_else(PoisonError::into_inner);
        let mut noted = self.0.noted.lock().unwrap_or_else(PoisonError::into_inner);
        let (found, last) = (uses.entry(id).or_default(), noted.get_mut(&id));
        if let Some(last) = last {
            last.used = last.used.filter(|_| what.used.is_none());
            last.refused = last.refused.filter(|_| what.refused.is_none());
        }
        found.used = found.used.max(what.used);
        found.refused = match (found.refused.take(), what.refused) {
            (Some(later), Some(earlier)) => {
                Some(Refused { count: later.count + earlier.count, ..later })
            }
            (later, earlier) => later.or(earlier),
        };
    }

    fn refuse(&self, id: ApiKeyId, why: Refusal, by: Call<'_>, at: Instant) {
        self.note(id, |noted| {
            let count = noted.refused.as_ref().map_or(0, |refused| refused.count) + 1;
            let (address, call_id) = (by.address, by.id.to_owned());
            noted.refused = Some(Refused { at, address, call_id, why, count });
        });
    }

    fn note(&self, id: ApiKeyId, change: impl FnOnce(&mut Use)) {
        let mut uses = self.0.uses.lock().unwrap_or_else(PoisonError::into_inner);
        change(uses.entry(id).or_default());
    }
}

#[cfg(test)]
#[path = "api_key_tests.rs"]
mod tests;
