//! The units of work that seal anew, and tell of it.

use super::{Resealed, store};
use crate::{
    accounts::{
        audit::{self, AuditContext, AuditData},
        second_factor::{FactorSettings, store as factors},
        store as accounts,
    },
    events::audit::Resealing,
    identity::master_key::{KeyId, NONCE},
    kernel::{fault::Fault, id::UserId},
    storage::{Authority, Tx, UnitOfWork},
};

/// Seals the secrets of one account's second factor anew, if an older master key sealed them. Under the
/// account's lock, like a log-in that uses a code; and it changes nothing but the secret, so the step of the
/// last code stays what it is.
#[derive(Debug, Clone)]
pub struct SealAnew {
    /// The id of the account whose secrets are sealed.
    pub user: UserId,
    /// Encrypts the secrets with the present master key.
    pub factors: FactorSettings,
    /// Randomness, for the one that is on and the one to be confirmed.
    pub nonces: [[u8; NONCE]; 2],
}

impl UnitOfWork for SealAnew {
    type Output = Resealed;
    const AUTHORITY: Authority = Authority::Nobody;

    async fn run(&self, tx: &Tx) -> Result<Resealed, Fault> {
        let mut done = Resealed::default();
        // Deleted meanwhile, and the second factor with it.
        if accounts::lock(tx, self.user).await?.is_none() {
            return Ok(done);
        }
        let row = factors::find(tx, self.user).await?;
        let sealed = [
            (store::Secret::On, row.on.map(|on| on.sealed)),
            (store::Secret::Pending, row.pending.map(|pending| pending.sealed)),
        ];
        for ((which, sealed), nonce) in sealed.into_iter().zip(self.nonces) {
            let Some(sealed) = sealed.filter(|sealed| self.factors.master.is_outdated(sealed))
            else {
                continue;
            };
            match self.factors.anew(self.user, &sealed, nonce)? {
                Ok(anew) => {
                    done.sealed += store::replace(tx, self.user, which, &sealed, anew).await?;
                }
                Err(error) => {
                    let user = self.user.name();
                    tracing::warn!(user, %error, "a second factor cannot be sealed anew");
                    done.lost += 1;
                }
            }
        }
        Ok(done)
    }
}

/// Writes down how far the command is. When it begins and when it ends, because it may be interrupted between.
#[derive(Debug, Clone)]
pub struct Note {
    /// What came of it; nothing where it begins.
    pub done: Option<Resealed>,
    /// The master key that seals.
    pub key: KeyId,
    /// When; nobody in person.
    pub audit_context: AuditContext,
}

impl UnitOfWork for Note {
    type Output = ();
    const AUTHORITY: Authority = Authority::Nobody;

    async fn run(&self, tx: &Tx) -> Result<(), Fault> {
        let master_key = self.key.to_string();
        let how_far = match self.done {
            None => Resealing::Begun { master_key },
            Some(Resealed { sealed, lost }) => Resealing::Ended { master_key, sealed, lost },
        };
        let entry = self.audit_context.of(AuditData::SecretsResealed(how_far), None, None);
        audit::store::record(tx, entry).await
    }
}
