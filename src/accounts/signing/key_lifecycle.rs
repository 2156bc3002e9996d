//! The life of a signing key: next, active, retiring, gone.
//!
//! A key is shown to everybody before it signs, and is known for as long as a token that it signed may
//! still be shown. What a key is follows from the instants that are stored and from the present, so nothing
//! has to be done for a retiring key to be gone.

use chrono::TimeDelta;

use crate::kernel::time::Instant;

/// How far apart clocks may be.
pub const LEEWAY: TimeDelta = TimeDelta::seconds(30);
/// The longest life that settings allow. Every process may have given tokens of so long, whatever its own
/// setting is, so what was revoked is remembered for that.
pub const LONGEST_LIFE: TimeDelta = TimeDelta::minutes(5);
/// How far a process may be behind: for so long it may not know yet that another key signs. Two and a
/// half minutes are the half minute after which it accepts nothing, and clocks that differ.
const BEHIND: TimeDelta = TimeDelta::seconds(150);

/// What a key is at some time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum KeyState {
    /// It is known everywhere and signs nothing yet.
    Next,
    /// The key that signs new tokens.
    Active,
    /// It signs no more, and what it signed is still accepted.
    Retiring,
    /// Nothing that it signed is accepted.
    Gone,
}

impl KeyState {
    /// The word shown to operators.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Next => "next",
            Self::Active => "active",
            Self::Retiring => "retiring",
            Self::Gone => "gone",
        }
    }
}

/// The instants of a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Life {
    /// When it was made.
    pub created_at: Instant,
    /// Since when it signs, if it does or did.
    pub activated_at: Option<Instant>,
    /// Since when it signs no more, and when it is gone.
    pub retired: Option<Retired>,
}

/// How a life ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Retired {
    /// Since when it signs no more.
    pub at: Instant,
    /// When nothing that it signed is accepted any more.
    pub gone_at: Instant,
}

impl Life {
    /// Of a key that is shown from now on.
    pub fn next(now: Instant) -> Self {
        Self { created_at: now, activated_at: None, retired: None }
    }

    /// Of a key that signs from now on: only where there is none that was shown before.
    pub fn active(now: Instant) -> Self {
        Self { activated_at: Some(now), ..Self::next(now) }
    }

    /// What it is at this time.
    pub fn state(&self, now: Instant) -> KeyState {
        match (self.retired, self.activated_at) {
            (Some(retired), _) if now >= retired.gone_at => KeyState::Gone,
            (Some(_), _) => KeyState::Retiring,
            (None, Some(_)) => KeyState::Active,
            (None, None) => KeyState::Next,
        }
    }

    /// Whether what it signed is accepted at this time.
    pub fn verifies(&self, now: Instant) -> bool {
        self.state(now) != KeyState::Gone
    }

    /// Whether the private key is kept: it is erased as soon as it signs no more.
    pub fn has_private_key(&self) -> bool {
        self.retired.is_none()
    }

    /// It is gone from now on.
    pub fn end(&mut self, now: Instant) {
        let at = self.retired.map_or(now, |retired| retired.at);
        let gone_at = self.retired.map_or(now, |retired| retired.gone_at.min(now));
        self.retired = Some(Retired { at, gone_at });
    }
}

/// When keys change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RotationPolicy {
    /// At which age the active one is replaced; nothing is never.
    pub rotation: Option<TimeDelta>,
    /// How long one is shown before it signs.
    pub lead: TimeDelta,
    /// How long one is known after it signed last.
    pub kept: TimeDelta,
}

impl RotationPolicy {
    /// With tokens that live for so long. Other processes may let theirs live as long as settings allow.
    pub fn new(rotation: Option<TimeDelta>, lead: TimeDelta, token: TimeDelta) -> Self {
        Self { rotation, lead, kept: token.max(LONGEST_LIFE) + LEEWAY + BEHIND }
    }

    /// How long others may remember which keys there are: so much less than the lead that they know a key
    /// well before it signs.
    pub fn remembered(&self) -> TimeDelta {
        self.lead / 3
    }
}

/// Why the next key cannot take over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cannot {
    /// It was not shown for long enough; so much is left.
    TooSoon(TimeDelta),
    /// There is none, or none that is active.
    Missing,
}

/// The next key takes over from the active one, which retires.
pub fn rotate(lives: &mut [&mut Life], policy: RotationPolicy, now: Instant) -> Result<(), Cannot> {
    let place = |lives: &[&mut Life], state| {
        lives.iter().position(|life| life.state(now) == state).ok_or(Cannot::Missing)
    };
    let (active, next) = (place(lives, KeyState::Active)?, place(lives, KeyState::Next)?);
    if let Some(next) = lives.get_mut(next) {
        let left = next.created_at + policy.lead - now;
        if left > TimeDelta::zero() {
            return Err(Cannot::TooSoon(left));
        }
        next.activated_at = Some(now);
    }
    if let Some(active) = lives.get_mut(active) {
        active.retired = Some(Retired { at: now, gone_at: now + policy.kept });
    }
    Ok(())
}

/// Whether the active key is so old that the next one should take over, and the next one may.
pub fn is_due<'a>(
    lives: impl IntoIterator<Item = &'a Life>,
    policy: RotationPolicy,
    now: Instant,
) -> bool {
    let (mut old, mut shown) = (false, false);
    for life in lives {
        match (life.state(now), life.activated_at, policy.rotation) {
            (KeyState::Active, Some(since), Some(rotation)) => old |= now >= since + rotation,
            (KeyState::Next, ..) => shown |= now >= life.created_at + policy.lead,
            _ => {}
        }
    }
    old && shown
}

#[cfg(test)]
#[path = "key_lifecycle_tests.rs"]
mod tests;
