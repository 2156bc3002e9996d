//! How often a secret may be guessed: a few attempts at once, then with growing delays.
//!
//! An attempt is reserved before anything is hashed and given back if the secret was right, so that
//! parallel guesses cannot overrun a limit. Delays grow instead of a lock, and whoever guesses somebody's
//! password from elsewhere does not delay the devices that this account has logged in from.

use std::net::IpAddr;

use aws_lc_rs::{constant_time, hmac};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use chrono::TimeDelta;
use uuid::Uuid;

use crate::{
    identity::email::Email,
    kernel::{id::UserId, time::Instant},
};

/// Key of an attempt counter: HMAC-SHA-256 over what is counted (account, device, IP address …), so that
/// the table holds no addresses.
pub type ThrottleKey = [u8; 32];

/// From how many devices that it knows an account may be guessed at in full.
const DEVICES: u32 = 5;

/// Delays that follow each other sooner are told of once.
const QUIET: TimeDelta = TimeDelta::minutes(10);

/// Throttling policy of one kind of key. The counter decays: one attempt is forgotten after each
/// `forget`. From `free` attempts on, each further one is delayed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ThrottlePolicy {
    /// How many before the first delay.
    pub free: u32,
    /// After how long one is forgotten.
    pub forget: TimeDelta,
    /// The first delay; each further attempt doubles it.
    pub first: TimeDelta,
    /// The longest delay.
    pub longest: TimeDelta,
    /// Whether somebody has to be told when there are delays.
    pub alarm: bool,
}

/// The throttling policies, one for each kind of key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Policies {
    /// At one account, and from each device that it knows.
    pub account: ThrottlePolicy,
    /// At one account from all devices that it knows, passwords and codes each: whoever had the password once
    /// may have had many devices made known.
    pub known: ThrottlePolicy,
    /// From one address.
    pub address: ThrottlePolicy,
    /// At all accounts, from devices that these do not know.
    pub in_all: ThrottlePolicy,
    /// At the second factor of one account, and from each device that it knows. The delay grows to an
    /// hour: a code has six digits, and whoever guesses at it has the password.
    pub code: ThrottlePolicy,
    /// Not of secrets: emails to one address.
    pub mail: ThrottlePolicy,
}

impl Policies {
    /// Policies from the settings `auth.attempts_per_account`, `…_per_address` and `…_in_all`.
    /// Account: one attempt decays per hour, delays from 1 s up to 15 min (fewer than 100 guesses a
    /// day). Address: all decay in 15 min, delays up to 1 min. All accounts together: decay in 1 min,
    /// delays up to 5 s. Delays for addresses are short because many people may share one.
    pub fn new(account: u32, address: u32, in_all: u32) -> Self {
        let each = |time: TimeDelta, many: u32| {
            TimeDelta::milliseconds(time.num_milliseconds() / i64::from(many.max(1)))
        };
        let first = TimeDelta::seconds(1);
        let hour = TimeDelta::hours(1);
        let account = ThrottlePolicy {
            free: account,
            forget: hour,
            first,
            longest: TimeDelta::minutes(15),
            alarm: false,
        };
        let known =
            ThrottlePolicy { free: account.free * DEVICES, forget: each(hour, DEVICES), ..account };
        Self {
            account,
            known,
            code: ThrottlePolicy { longest: hour, ..account },
            address: ThrottlePolicy {
                free: address,
                forget: each(TimeDelta::minutes(15), address),
                first,
                longest: TimeDelta::minutes(1),
                alarm: false,
            },
            in_all: ThrottlePolicy {
                free: in_all,
                forget: each(TimeDelta::minutes(1), in_all),
                first,
                longest: TimeDelta::seconds(5),
                alarm: true,
            },
            // Whoever asks for mail to somebody else's address fills no mailbox.
            mail: ThrottlePolicy {
                free: 5,
                forget: TimeDelta::minutes(30),
                first: TimeDelta::minutes(5),
                longest: TimeDelta::hours(2),
                alarm: false,
            },
        }
    }
}

/// State of one attempt counter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AttemptCount {
    /// How many count, as of `since`.
    pub count: u32,
    /// When that was.
    pub since: Instant,
    /// Until when there may be none, if one was followed by a delay; this may be long over.
    pub blocked_until: Option<Instant>,
}

impl AttemptCount {
    /// A counter of zero.
    pub fn empty(now: Instant) -> Self {
        Self { count: 0, since: now, blocked_until: None }
    }

    /// Counts one more attempt. The error is how long to wait before the next one is allowed.
    pub fn reserve(self, policy: ThrottlePolicy, now: Instant) -> Result<Self, TimeDelta> {
        if let Some(until) = self.blocked_until.filter(|until| now < *until) {
            return Err(until - now);
        }
        let settled = self.settled(policy, now);
        let count = settled.count.saturating_add(1);
        // What is over is kept: delays that follow each other are told of once.
        let blocked_until = policy.delay(count).map(|delay| now + delay).or(self.blocked_until);
        Ok(Self { count, blocked_until, ..settled })
    }

    /// Takes one attempt back, because the secret was right or was not checked. Never lengthens a
    /// delay.
    #[must_use]
    pub fn refund(self, policy: ThrottlePolicy, now: Instant) -> Self {
        let settled = self.settled(policy, now);
        let count = settled.count.saturating_sub(1);
        let delayed = policy.delay(count).map(|delay| now + delay);
        // Not longer than it was.
        let blocked_until =
            self.blocked_until.map(|until| until.min(delayed.unwrap_or(settled.since.min(now))));
        Self { count, blocked_until, ..settled }
    }

    /// Whether this attempt begins a delay (`self` is the counter after it, `before` the one before
    /// it). False if another delay ended less than 10 minutes ago, so that one series is logged once.
    pub fn begins_delays(self, before: Self, now: Instant) -> bool {
        let lately = |until| until > now - QUIET;
        self.blocked_until.is_some_and(|until| until > now)
            && !before.blocked_until.is_some_and(lately)
    }

    /// The counter at `now`, after decay. The fraction of a period that has passed is kept, so that
    /// attempts decay one by one even while new ones arrive. `now` may lie before `since`, because
    /// concurrent callers read the clock before they lock.
    fn settled(self, policy: ThrottlePolicy, now: Instant) -> Self {
        let period = policy.forget.num_milliseconds().max(1);
        let forgotten = (now - self.since).num_milliseconds().max(0) / period;
        let count = self.count.saturating_sub(u32::try_from(forgotten).unwrap_or(u32::MAX));
        let since = if count == 0 {
            self.since.max(now)
        } else {
            self.since + TimeDelta::milliseconds(forgotten * period)
        };
        Self { count, since, ..self }
    }
}

impl ThrottlePolicy {
    fn delay(self, count: u32) -> Option<TimeDelta> {
        if count < self.free {
            return None;
        }
        let doubled = (count - self.free).min(30);
        let delay = i32::try_from(1_u32 << doubled).ok().and_then(|by| self.first.checked_mul(by));
        Some(delay.map_or(self.longest, |delay| delay.min(self.longest)))
    }
}

/// A device that logs in, known by a token that the server gave it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Device {
    /// What makes its word its own.
    pub random: [u8; NONCE],
    /// Whether the account knows it already.
    pub known: bool,
}

/// Makes counter keys and device tokens from the installation's HMAC keys. After a change of the master
/// key counters start from zero once; older device tokens still verify.
#[derive(Debug, Clone)]
pub struct ThrottleKeys {
    present: hmac::Key,
    /// Those that words of devices may still have been made with.
    older: Vec<hmac::Key>,
}

/// Random bytes in a device's word.
const NONCE: usize = 16;
const ID: usize = 16;

impl ThrottleKeys {
    /// With a key of this installation, and older ones.
    pub fn new(present: &[u8; 32], older: &[[u8; 32]]) -> Self {
        let key = |key: &[u8; 32]| hmac::Key::new(hmac::HMAC_SHA256, key);
        Self { present: key(present), older: older.iter().map(key).collect() }
    }

    /// Counter of log-ins by email address. Exists also for addresses without an account.
    pub fn account(&self, email: &Email) -> ThrottleKey {
        self.key(b"account", email.as_str().as_bytes())
    }

    /// For emails to an address.
    pub fn mail(&self, email: &Email) -> ThrottleKey {
        self.key(b"mail", email.as_str().as_bytes())
    }

    /// Counter of emails requested from one IP address.
    pub fn mailer(&self, address: IpAddr) -> ThrottleKey {
        let of = self.address(address);
        self.key(b"mailer", &of)
    }

    /// Counter of password checks of a user who is logged in.
    pub fn own(&self, user: UserId) -> ThrottleKey {
        self.key(b"own", user.0.as_bytes())
    }

    /// For a device that is known.
    pub fn device(&self, word: &str) -> ThrottleKey {
        self.key(b"device", word.as_bytes())
    }

    /// For all devices that an account knows.
    pub fn devices(&self, user: UserId) -> ThrottleKey {
        self.key(b"devices", user.0.as_bytes())
    }

    /// For the second step of log-ins from all of them.
    pub fn devices_code(&self, user: UserId) -> ThrottleKey {
        self.key(b"devices code", user.0.as_bytes())
    }

    /// Counter of second-factor codes at log-in: per device if the account knows it, otherwise per
    /// account.
    pub fn code(&self, user: UserId, device: Device) -> ThrottleKey {
        if device.known {
            return self.key(b"device code", self.word(user, device.random).as_bytes());
        }
        self.key(b"code", user.0.as_bytes())
    }

    /// For somebody who is logged in already, and is asked for a code.
    pub fn own_code(&self, user: UserId) -> ThrottleKey {
        self.key(b"own code", user.0.as_bytes())
    }

    /// Counter by IP address; for IPv6 by the first 64 bits, which is what one customer of a network
    /// usually has.
    pub fn address(&self, address: IpAddr) -> ThrottleKey {
        match address.to_canonical() {
            IpAddr::V4(address) => self.key(b"address", &address.octets()),
            IpAddr::V6(address) => {
                self.key(b"address", address.octets().get(..8).unwrap_or_default())
            }
        }
    }

    /// Counter of all attempts on this installation by devices that the account does not know.
    pub fn in_all(&self) -> ThrottleKey {
        self.key(b"in all", &[])
    }

    /// A device token for this user: user id, `random` and their HMAC, in URL-safe base64 without
    /// padding.
    pub fn word(&self, user: UserId, random: [u8; NONCE]) -> String {
        let said = [user.0.as_bytes().as_slice(), &random].concat();
        let tag = self.key(b"device word", &said);
        URL_SAFE_NO_PAD.encode([said.as_slice(), &tag].concat())
    }

    /// Verifies a device token. `None` if it is malformed, has a wrong HMAC, or belongs to another
    /// user.
    pub fn knows(&self, word: &str, user: UserId) -> Option<Device> {
        let bytes = URL_SAFE_NO_PAD.decode(word).ok()?;
        let (said, tag) = bytes.split_at_checked(ID + NONCE)?;
        let made = |key| {
            let made = tag_of(key, b"device word", said);
            constant_time::verify_slices_are_equal(&made, tag).is_ok()
        };
        std::iter::once(&self.present).chain(&self.older).any(made).then_some(())?;
        let (id, random) = said.split_first_chunk::<ID>()?;
        let device = Device { random: random.try_into().ok()?, known: true };
        (Uuid::from_bytes(*id) == user.0).then_some(device)
    }

    fn key(&self, kind: &[u8], what: &[u8]) -> ThrottleKey {
        tag_of(&self.present, kind, what)
    }
}

fn tag_of(key: &hmac::Key, kind: &[u8], what: &[u8]) -> ThrottleKey {
    let text = [kind, &[0], what].concat();
    let tag = hmac::sign(key, &text);
    let mut key = [0; 32];
    key.iter_mut().zip(tag.as_ref()).for_each(|(to, from)| *to = *from);
    key
}

#[cfg(test)]
#[path = "policy_tests.rs"]
mod tests;
