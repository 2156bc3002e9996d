//! Units of work on signing keys. Each holds all of them, so that of many processes one changes them.

use super::{Random, StoredKey, in_state, not_opened, store};
use crate::{
    accounts::{
        audit::{self, AuditContext, AuditData},
        signing::{
            key_lifecycle::{self, Cannot, KeyState, Life, RotationPolicy},
            signing_key::Kid,
        },
    },
    events::audit::{KeyRotation, KeysReplaced, RotatedBy},
    identity::master_key::{MasterKey, NONCE},
    kernel::{fault::Fault, time::Instant},
    storage::{Authority, Tx, UnitOfWork},
};

/// Makes the first keys, or those that are missing, and seals anew what was sealed with an older master
/// key.
#[derive(Clone)]
pub struct Establish {
    /// The master key.
    pub master: MasterKey,
    /// Randomness for the keys that are made.
    pub random: [Random; 2],
    /// Randomness for those that are sealed anew.
    pub nonces: Vec<[u8; NONCE]>,
    /// Current time.
    pub now: Instant,
}

impl UnitOfWork for Establish {
    /// The keys that there are then.
    type Output = Vec<StoredKey>;
    const AUTHORITY: Authority = Authority::Nobody;

    async fn run(&self, tx: &Tx) -> Result<Vec<StoredKey>, Fault> {
        let (master, now) = (&self.master, self.now);
        let mut keys = store::lock(tx, now).await?;
        opens(&keys, master)?;
        let mut nonces = self.nonces.iter();
        for key in keys.iter_mut().filter(|key| key.is_ours(master) && key.is_outdated(master)) {
            let Some(nonce) = nonces.next() else { break };
            *key = key.anew(master, *nonce)?;
            store::update(tx, key).await?;
        }
        let [first, second] = self.random;
        for (state, random, life) in [
            (KeyState::Active, first, Life::active(now)),
            (KeyState::Next, second, Life::next(now)),
        ] {
            if in_state(&keys, state, now).is_none() {
                let made = StoredKey::make(master, random, life)?;
                store::insert(tx, &made).await?;
                keys.push(made);
            }
        }
        Ok(keys)
    }
}

/// Why keys are rotated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cause {
    /// The active one is old.
    Age,
    /// An operator wants it.
    Command,
}

/// The next key takes over.
#[derive(Clone)]
pub struct Rotate {
    /// The master key.
    pub master: MasterKey,
    /// Randomness for the key that comes next.
    pub random: Random,
    /// When keys change.
    pub policy: RotationPolicy,
    /// Why the next key takes over.
    pub cause: Cause,
    /// Who does it.
    pub audit_context: AuditContext,
}

/// What came of a rotation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Rotated {
    /// Another key signs now; these are all.
    Done(Vec<StoredKey>),
    /// The next one was not shown for long enough; so much is left.
    TooSoon(chrono::TimeDelta),
    /// Another process was faster.
    NotDue,
}

impl UnitOfWork for Rotate {
    type Output = Rotated;
    const AUTHORITY: Authority = Authority::Nobody;

    async fn run(&self, tx: &Tx) -> Result<Rotated, Fault> {
        let (master, policy, now) = (&self.master, self.policy, self.audit_context.now);
        let mut keys = store::lock(tx, now).await?;
        opens(&keys, master)?;
        let lives = keys.iter().map(|key| &key.life);
        if self.cause == Cause::Age && !key_lifecycle::is_due(lives, policy, now) {
            return Ok(Rotated::NotDue);
        }
        let before = kid_in(&keys, KeyState::Active, now);
        let mut lives: Vec<&mut Life> = keys.iter_mut().map(|key| &mut key.life).collect();
        match key_lifecycle::rotate(&mut lives, policy, now) {
            Ok(()) => {}
            Err(Cannot::TooSoon(left)) => return Ok(Rotated::TooSoon(left)),
            Err(Cannot::Missing) => return Err(Fault::internal("a signing key is missing")),
        }
        let mut keys: Vec<_> = keys.into_iter().map(StoredKey::erased).collect();
        // The one that retires first: the database lets one be active.
        for state in [KeyState::Retiring, KeyState::Active] {
            for key in keys.iter().filter(|key| key.life.state(now) == state) {
                store::update(tx, key).await?;
            }
        }
        let made = StoredKey::make(master, self.random, Life::next(now))?;
        store::insert(tx, &made).await?;
        let detail = AuditData::SigningKeyRotated(KeyRotation {
            by: match self.cause {
                Cause::Age => RotatedBy::Age,
                Cause::Command => RotatedBy::Command,
            },
            retiring: before,
            active: kid_in(&keys, KeyState::Active, now),
            next: made.kid.to_string(),
        });
        keys.push(made);
        let entry = self.audit_context.of(detail, None, None);
        audit::store::record(tx, entry).await?;
        Ok(Rotated::Done(keys))
    }
}

/// All keys are gone at once, and others take their place.
#[derive(Clone)]
pub struct Replace {
    /// The master key.
    pub master: MasterKey,
    /// Randomness for the new keys.
    pub random: [Random; 2],
    /// Whether to go on also where the master key does not open the present keys. Other processes with
    /// another master key could then sign no more, so it has to be said.
    pub lost: bool,
    /// Who does it.
    pub audit_context: AuditContext,
}

impl UnitOfWork for Replace {
    /// The keys that there are then.
    type Output = Vec<StoredKey>;
    const AUTHORITY: Authority = Authority::Nobody;

    async fn run(&self, tx: &Tx) -> Result<Vec<StoredKey>, Fault> {
        let (master, now) = (&self.master, self.audit_context.now);
        let keys = store::lock(tx, now).await?;
        if !self.lost {
            opens(&keys, master)?;
        }
        let mut gone = Vec::new();
        for mut key in keys {
            key.life.end(now);
            let key = key.erased();
            store::update(tx, &key).await?;
            gone.push(key.kid.to_string());
        }
        let [first, second] = self.random;
        let active = StoredKey::make(master, first, Life::active(now))?;
        let next = StoredKey::make(master, second, Life::next(now))?;
        store::insert(tx, &active).await?;
        store::insert(tx, &next).await?;
        let (signs, follows) = (active.kid.to_string(), next.kid.to_string());
        let replaced = KeysReplaced { gone, active: signs, next: follows };
        let entry = self.audit_context.of(AuditData::SigningKeysReplaced(replaced), None, None);
        audit::store::record(tx, entry).await?;
        Ok(vec![active, next])
    }
}

/// Whether all private keys open: with another master key nothing may be changed.
fn opens(keys: &[StoredKey], master: &MasterKey) -> Result<(), Fault> {
    let mut kept = keys.iter().filter(|key| key.sealed.is_some());
    kept.try_for_each(|key| key.open(master).map(drop).map_err(|e| not_opened(key.kid, e)))
}

fn kid_in(keys: &[StoredKey], state: KeyState, now: Instant) -> Option<String> {
    in_state(keys, state, now).map(|key| Kid::to_string(&key.kid))
}
