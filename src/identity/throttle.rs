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

use super::email::Email;
use crate::kernel::{id::UserId, time::Instant};

/// What attempts are counted by: a hash, so that the table tells nobody's address.
pub type ThrottleKey = [u8; 32];

/// From how many devices that it knows an account may be guessed at in full.
const DEVICES: u32 = 5;

/// Delays that follow each other sooner are told of once.
const QUIET: TimeDelta = TimeDelta::minutes(10);

/// How many attempts there may be.
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

/// How many attempts there may be by each kind of key.
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
    /// Not of secrets: letters to one address.
    pub mail: ThrottlePolicy,
}

impl Policies {
    /// So many at once: at an account one is forgotten in an hour and the delay grows to a quarter of an
    /// hour, which is fewer than a hundred guesses a day; from an address, and in all, the same number
    /// is forgotten in a quarter of an hour and in a minute, and the delay stays short, since many
    /// people may share an address.
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

/// What is known of the attempts by one key.
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
    /// Nothing yet.
    pub fn empty(now: Instant) -> Self {
        Self { count: 0, since: now, blocked_until: None }
    }

    /// One more attempt, or how long to wait before it.
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

    /// One attempt less: the secret was right, or was not looked at.
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

    /// Whether delays begin with an attempt, of which `self` is the tally and `before` the one before it: none
    /// ended in the ten minutes before.
    pub fn begins_delays(self, before: Self, now: Instant) -> bool {
        let lately = |until| until > now - QUIET;
        self.blocked_until.is_some_and(|until| until > now)
            && !before.blocked_until.is_some_and(lately)
    }

    /// Without those that are forgotten by now. The part of a period that has passed is kept, so that they are
    /// forgotten one by one also where there are always new ones. Callers who wait for each other may come in
    /// another order than they began in.
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

/// A device that logs in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Device {
    /// What makes its word its own.
    pub random: [u8; NONCE],
    /// Whether the account knows it already.
    pub known: bool,
}

/// Makes the keys that attempts are counted by, and the words by which devices are known again.
///
/// When the master key changes, attempts count from the beginning once, and devices are still known.
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

    /// For an account, whether or not there is one.
    pub fn account(&self, email: &Email) -> ThrottleKey {
        self.key(b"account", email.as_str().as_bytes())
    }

    /// For letters to an address.
    pub fn mail(&self, email: &Email) -> ThrottleKey {
        self.key(b"mail", email.as_str().as_bytes())
    }

    /// For letters that somebody at an address asks for.
    pub fn mailer(&self, address: IpAddr) -> ThrottleKey {
        let of = self.address(address);
        self.key(b"mailer", &of)
    }

    /// For somebody who is logged in already, and is asked for the password again.
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

    /// For the second step of a log-in: by account, or by the device where it is known.
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

    /// For an address: of IPv6 the first 64 bits, which is what one customer of a network gets.
    pub fn address(&self, address: IpAddr) -> ThrottleKey {
        match address.to_canonical() {
            IpAddr::V4(address) => self.key(b"address", &address.octets()),
            IpAddr::V6(address) => {
                self.key(b"address", address.octets().get(..8).unwrap_or_default())
            }
        }
    }

    /// For all attempts together.
    pub fn in_all(&self) -> ThrottleKey {
        self.key(b"in all", &[])
    }

    /// A word by which a device of this account is known again; `random` makes it its own.
    pub fn word(&self, user: UserId, random: [u8; NONCE]) -> String {
        let said = [user.0.as_bytes().as_slice(), &random].concat();
        let tag = self.key(b"device word", &said);
        URL_SAFE_NO_PAD.encode([said.as_slice(), &tag].concat())
    }

    /// The device of this account that a word was given to, if it was given to one.
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
#[path = "throttle_tests.rs"]
mod tests;
