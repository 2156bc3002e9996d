//! What the server does with its signing keys, and what operators can.

use std::collections::HashMap;

use chrono::TimeDelta;
use uuid::Uuid;

use super::{
    Random, StoredKey,
    commands::{Cause, Establish, Replace, Rotate, Rotated},
    in_state,
    key_lifecycle::{self, KeyState, LEEWAY, RotationPolicy},
    key_ring::KeyRing,
    not_opened,
    signing_key::PublicKey,
    store,
    token::Tokens,
};
use crate::{
    accounts::{audit::AuditContext, sessions, store as accounts},
    identity::{Origin, TokenCutoff, master_key::MasterKey},
    kernel::{
        ambient::Ambient,
        fault::{Fault, Reason},
        id::UserId,
        time::Instant,
    },
    storage::{Deadline, Query, Reader, Store, throttled_log},
};

/// How far apart the clocks of several processes may be, when they tell each other of ended tokens.
const SKEW: TimeDelta = TimeDelta::seconds(120);
/// How many keys are sealed anew in one go: more than there are, unless somebody rotates all the time.
const SEALED_ANEW: usize = 64;

/// The signing keys.
#[derive(Debug, Clone)]
pub struct SigningKeys {
    store: Store,
    ambient: Ambient,
    /// What they are sealed with.
    master: MasterKey,
    /// When they change.
    policy: RotationPolicy,
    /// What they sign.
    tokens: Tokens,
}

impl SigningKeys {
    /// With what seals them, when they change, and the tokens that they sign.
    pub fn new(
        (store, ambient): (Store, Ambient),
        master: MasterKey,
        policy: RotationPolicy,
        tokens: Tokens,
    ) -> Self {
        Self { store, ambient, master, policy, tokens }
    }

    /// How long a key is shown before it signs.
    pub fn lead(&self) -> TimeDelta {
        self.policy.lead
    }

    /// Learns which tokens other processes ended, and which keys there are. Called every second.
    pub async fn follow(&self) -> Result<(), Fault> {
        let now = self.ambient.now();
        let since = now - self.tokens.longest_life() - LEEWAY - SKEW;
        let mark = self.tokens.mark();
        let (ended, sessions, keys) = self.store.look(EndedSince(since, now)).await?;
        if self.tokens.refresh_ended(&ended, &sessions, (since, now), mark) {
            throttled_log::went_back("ended tokens");
        }
        self.take_over(&keys, now);
        Ok(())
    }

    /// Sees to it that there are keys and that this process can use them: makes the first ones, seals anew
    /// what an older master key sealed. An error, with nothing changed, where the master key is another
    /// one.
    pub async fn establish(&self, deadline: Deadline) -> Result<(), Fault> {
        let now = self.ambient.now();
        let keys = self.store.look(NotGone(now)).await?;
        self.opens(&keys, now)?;
        let (active, next) =
            (in_state(&keys, KeyState::Active, now), in_state(&keys, KeyState::Next, now));
        let is_outdated =
            |key: &StoredKey| key.is_ours(&self.master) && key.is_outdated(&self.master);
        if active.is_some() && next.is_some() && !keys.iter().any(is_outdated) {
            self.take_over(&keys, now);
            return Ok(());
        }
        let unit = Establish {
            master: self.master.clone(),
            random: [self.random(), self.random()],
            nonces: (0..SEALED_ANEW).map(|_| self.ambient.bytes()).collect(),
            now,
        };
        match self.store.run(deadline, unit).await {
            Ok(keys) => self.take_over(&keys, now),
            // A key that cannot be read keeps others from being made beside it, and not the one that signs
            // from signing.
            Err(fault) if active.is_some() && fault.reason() == Reason::Internal => {
                tracing::warn!(%fault, "no signing keys can be made");
                self.take_over(&keys, now);
            }
            Err(fault) => return Err(fault),
        }
        Ok(())
    }

    /// Tries the master key on the keys that there are. The inner error where it is the wrong one; the outer one where
    /// they cannot be read.
    pub async fn try_master_key(&self) -> Result<Result<(), Fault>, Fault> {
        let now = self.ambient.now();
        let keys = self.store.look(NotGone(now)).await?;
        Ok(self.opens(&keys, now))
    }

    /// An error where the master key does not open the keys that sign, now and next.
    fn opens(&self, keys: &[StoredKey], now: Instant) -> Result<(), Fault> {
        let (active, next) =
            (in_state(keys, KeyState::Active, now), in_state(keys, KeyState::Next, now));
        for key in active.into_iter().chain(next) {
            key.open(&self.master).map_err(|error| not_opened(key.kid, error))?;
        }
        Ok(())
    }

    /// Takes over what the database says about the keys. A private key that is known already is not opened
    /// again.
    fn take_over(&self, stored: &[StoredKey], now: Instant) {
        let known = self.tokens.keys();
        let same = known.keys.len() == stored.len()
            && known
                .keys
                .iter()
                .zip(stored)
                .all(|((key, life), stored)| key.kid == stored.kid && *life == stored.life);
        if same {
            return;
        }
        let mut keys = Vec::new();
        let mut signing = None;
        for stored in stored {
            if !stored.is_ours(&self.master) {
                tracing::error!(kid = %stored.kid, "a signing key that this installation did not make");
                continue;
            }
            keys.push((stored.public_key(), stored.life));
            if stored.life.state(now) != KeyState::Active {
                continue;
            }
            let kept = known.signing.as_ref().filter(|key| key.public.kid == stored.kid);
            signing = match kept {
                Some(kept) => Some(kept.clone()),
                None => stored
                    .open(&self.master)
                    .inspect_err(|error| tracing::error!(kid = %stored.kid, %error, "cannot sign"))
                    .ok(),
            };
        }
        if signing.as_ref().map(|key| key.public.kid) != known.active(now) {
            let kid = signing.as_ref().map(|key| key.public.kid.to_string()).unwrap_or_default();
            tracing::info!(%kid, known = keys.len(), "the signing keys changed");
        }
        self.tokens.set_keys(KeyRing { keys, signing });
    }

    /// Lets the next key take over if the active one is old. Whether it did.
    pub async fn rotate_if_due(&self, deadline: Deadline) -> Result<bool, Fault> {
        let now = self.ambient.now();
        if !key_lifecycle::is_due(self.tokens.keys().lives(), self.policy, now) {
            return Ok(false);
        }
        Ok(matches!(self.turn(deadline, Cause::Age).await?, Rotated::Done(_)))
    }

    /// For the command line: lets the next key take over.
    pub async fn rotate(&self, deadline: Deadline) -> Result<Rotated, Fault> {
        self.establish(deadline).await?;
        self.turn(deadline, Cause::Command).await
    }

    /// For the command line: all keys are gone at once. `lost` tells that the master key is another one,
    /// and meant to be.
    pub async fn replace(&self, deadline: Deadline, lost: bool) -> Result<Vec<StoredKey>, Fault> {
        let unit = Replace {
            master: self.master.clone(),
            random: [self.random(), self.random()],
            lost,
            audit_context: self.audit_context(),
        };
        self.store.run(deadline, unit).await
    }

    /// For the command line: all keys that there are and were, with what they are now.
    pub async fn list(&self, deadline: Deadline) -> Result<Vec<(StoredKey, KeyState)>, Fault> {
        let now = self.ambient.now();
        let keys = self.store.read(deadline, All).await?;
        let state = |key: StoredKey| {
            let state = key.life.state(now);
            (key, state)
        };
        Ok(keys.into_iter().map(state).collect())
    }

    /// The public keys that others may meet in tokens, and how long that may be remembered.
    pub fn shown(&self) -> Result<(Vec<PublicKey>, TimeDelta), Fault> {
        let now = self.ambient.now();
        let keys: Vec<_> = self.tokens.keys().shown(now).cloned().collect();
        if keys.is_empty() {
            let text = "it is not known yet which keys there are; retry";
            return Err(Fault::new(Reason::DatabaseUnavailable, text)
                .retry_after(std::time::Duration::from_millis(500)));
        }
        Ok((keys, self.policy.remembered()))
    }

    async fn turn(&self, deadline: Deadline, cause: Cause) -> Result<Rotated, Fault> {
        let unit = Rotate {
            master: self.master.clone(),
            random: self.random(),
            policy: self.policy,
            cause,
            audit_context: self.audit_context(),
        };
        let now = unit.audit_context.now;
        let rotated = self.store.run(deadline, unit).await?;
        if let Rotated::Done(keys) = &rotated {
            self.take_over(keys, now);
        }
        Ok(rotated)
    }

    fn random(&self) -> Random {
        (self.ambient.bytes(), self.ambient.bytes())
    }

    fn audit_context(&self) -> AuditContext {
        AuditContext::new(&self.ambient, None, Origin::default(), self.ambient.now())
    }
}

/// What ended since the first instant, and the keys that are not gone at the second.
struct EndedSince(Instant, Instant);

impl Query for EndedSince {
    type Output = (HashMap<UserId, (TokenCutoff, Instant)>, Vec<Uuid>, Vec<StoredKey>);

    async fn run(&self, at: &Reader) -> Result<Self::Output, Fault> {
        let users = accounts::ended_since(at, self.0).await?;
        let sessions = sessions::store::ended_since(at, self.0).await?;
        Ok((users, sessions, store::list(at, Some(self.1)).await?))
    }
}

/// The keys that are not gone at this time.
struct NotGone(Instant);

impl Query for NotGone {
    type Output = Vec<StoredKey>;

    async fn run(&self, at: &Reader) -> Result<Self::Output, Fault> {
        store::list(at, Some(self.0)).await
    }
}

struct All;

impl Query for All {
    type Output = Vec<StoredKey>;

    async fn run(&self, at: &Reader) -> Result<Self::Output, Fault> {
        store::list(at, None).await
    }
}
