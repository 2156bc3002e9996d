//! What operators can do when the master key changes.

use std::collections::BTreeMap;

use super::{
    KeyUse, Needed, Resealed,
    commands::{Note, SealAnew},
    store, told,
};
use crate::{
    accounts::{
        audit::AuditContext,
        second_factor::FactorSettings,
        signing::{key_lifecycle::KeyState, service::SigningKeys},
    },
    identity::{Origin, master_key::KeyId},
    kernel::{
        ambient::Ambient,
        fault::{Fault, Reason},
        id::UserId,
        time::Instant,
    },
    storage::{Deadline, Query, Reader, Store},
};

/// How many accounts are looked for at a time.
const BATCH: u64 = 100;

/// Service layer for the master key.
#[derive(Debug, Clone)]
pub struct MasterKeys {
    store: Store,
    ambient: Ambient,
    signing: SigningKeys,
    factors: FactorSettings,
}

impl MasterKeys {
    /// With what it seals: signing keys and the secrets of second factors.
    pub fn new(
        (store, ambient): (Store, Ambient),
        signing: SigningKeys,
        factors: FactorSettings,
    ) -> Self {
        Self { store, ambient, signing, factors }
    }

    /// For the command line: seals signing keys and all secrets of second factors with the present master key.
    /// An error, with nothing changed, where it does not open the signing keys. May be interrupted, and
    /// done again; log-ins go on meanwhile.
    pub async fn reseal(&self, deadline: impl Fn() -> Deadline) -> Result<Resealed, Fault> {
        self.signing.establish(deadline()).await?;
        let present = self.factors.master.id();
        self.note_reseal(deadline(), present, None).await?;
        let (mut done, mut after) = (Resealed::default(), None);
        loop {
            let batch = self.store.read(deadline(), Outdated { present, after }).await?;
            let Some(last) = batch.last() else {
                self.note_reseal(deadline(), present, Some(done)).await?;
                return Ok(done);
            };
            after = Some(*last);
            for user in batch {
                let unit = SealAnew {
                    user,
                    factors: self.factors.clone(),
                    nonces: [self.ambient.bytes(), self.ambient.bytes()],
                };
                match self.store.run(deadline(), unit).await {
                    Ok(one) => {
                        done.sealed += one.sealed;
                        done.lost += one.lost;
                    }
                    // An account that cannot be read: the others are sealed all the same.
                    Err(fault) if fault.reason() == Reason::Internal => {
                        let user = user.name();
                        tracing::warn!(user, %fault, "a second factor cannot be sealed anew");
                        done.lost += 1;
                    }
                    Err(fault) => return Err(fault),
                }
            }
        }
    }

    async fn note_reseal(
        &self,
        deadline: Deadline,
        key: KeyId,
        done: Option<Resealed>,
    ) -> Result<(), Fault> {
        let audit_context =
            AuditContext::new(&self.ambient, None, Origin::default(), self.ambient.now());
        self.store.run(deadline, Note { done, key, audit_context }).await
    }

    /// For the command line: each master key, and what still needs it.
    pub async fn uses(&self, deadline: Deadline) -> Result<Vec<KeyUse>, Fault> {
        let (master, now) = (&self.factors.master, self.ambient.now());
        let mut all: BTreeMap<Option<KeyId>, Needed> = BTreeMap::new();
        for (key, state) in self.signing.list(deadline).await? {
            if state != KeyState::Gone {
                all.entry(key.needs(master)).or_default().signing_keys += 1;
            }
        }
        for count in [Count::Secrets, Count::RecoveryCodes, Count::Letters(now)] {
            for (key, many) in self.store.read(deadline, count).await? {
                let needed = all.entry(key).or_default();
                *match count {
                    Count::Secrets => &mut needed.secrets,
                    Count::RecoveryCodes => &mut needed.recovery_codes,
                    Count::Letters(_) => &mut needed.letters,
                } += many;
            }
        }
        Ok(told(master, all))
    }
}

struct Outdated {
    present: KeyId,
    after: Option<UserId>,
}

impl Query for Outdated {
    type Output = Vec<UserId>;

    async fn run(&self, at: &Reader) -> Result<Self::Output, Fault> {
        store::outdated(at, self.present, self.after, BATCH).await
    }
}

#[derive(Clone, Copy)]
enum Count {
    Secrets,
    RecoveryCodes,
    Letters(Instant),
}

impl Query for Count {
    type Output = store::Counts;

    async fn run(&self, at: &Reader) -> Result<Self::Output, Fault> {
        match self {
            Self::Secrets => store::secrets(at).await,
            Self::RecoveryCodes => store::recovery_codes(at).await,
            Self::Letters(now) => store::letters(at, *now).await,
        }
    }
}
