//! The signing keys that a process knows: one that signs, and all that verify.

use crate::{
    accounts::signing::{
        key_lifecycle::{KeyState, Life},
        signing_key::{Kid, PublicKey, SigningKey},
    },
    kernel::time::Instant,
};

/// The keys, oldest first. The default has none.
#[derive(Debug, Clone, Default)]
pub struct KeyRing {
    /// Those that are known, each with its life.
    pub keys: Vec<(PublicKey, Life)>,
    /// The one that signs, if it is here and could be opened.
    pub signing: Option<SigningKey>,
}

impl KeyRing {
    /// Of one key that signs from now on: for whoever needs no others.
    pub fn of(key: SigningKey, now: Instant) -> Self {
        Self { keys: vec![(key.public.clone(), Life::active(now))], signing: Some(key) }
    }

    /// The key with this id, while what it signed is accepted.
    pub fn find(&self, kid: Kid, now: Instant) -> Option<&PublicKey> {
        let found = self.keys.iter().find(|(key, life)| key.kid == kid && life.verifies(now));
        found.map(|(key, _)| key)
    }

    /// Those that others may meet in tokens, now or soon.
    pub fn shown(&self, now: Instant) -> impl Iterator<Item = &PublicKey> {
        self.keys.iter().filter(move |(_, life)| life.verifies(now)).map(|(key, _)| key)
    }

    /// Lifecycle of each key, oldest first.
    pub fn lives(&self) -> impl Iterator<Item = &Life> {
        self.keys.iter().map(|(_, life)| life)
    }

    /// The id of the one that should sign.
    pub fn active(&self, now: Instant) -> Option<Kid> {
        let active = self.keys.iter().find(|(_, life)| life.state(now) == KeyState::Active);
        active.map(|(key, _)| key.kid)
    }
}
