//! The keys that sign access tokens: made here, kept in the database, sealed with the master key, and
//! followed by all processes. Their life stands in `key_lifecycle`.

pub mod commands;
pub mod key_lifecycle;
pub mod key_ring;
pub mod service;
pub mod signing_key;
pub mod store;
pub mod token;

use crate::{
    accounts::signing::{
        key_lifecycle::{KeyState, Life},
        signing_key::{KEY, Kid, PublicKey, SigningKey},
    },
    identity::master_key::{KeyId, MasterKey, NONCE, OpenError},
    kernel::{fault::Fault, time::Instant},
};

/// What the master key seals and tags.
const PURPOSE: &str = "signing key";

/// A key as it is stored.
#[derive(Clone, PartialEq, Eq)]
pub struct StoredKey {
    /// Key id: the `kid` of the tokens that it signs.
    pub kid: Kid,
    /// The public key.
    pub public: [u8; KEY],
    /// The private key, sealed; nothing once it signs no more.
    pub sealed: Option<Vec<u8>>,
    /// Proves that this installation made it.
    pub tag: Vec<u8>,
    /// Creation, activation, retirement and deletion times.
    pub life: Life,
}

impl std::fmt::Debug for StoredKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("StoredKey")
            .field("kid", &self.kid)
            .field("life", &self.life)
            .finish_non_exhaustive()
    }
}

/// What a new key is made of.
pub type Random = ([u8; 32], [u8; NONCE]);

impl StoredKey {
    /// A new key from fresh randomness, not stored yet.
    pub fn make(master: &MasterKey, (seed, nonce): Random, life: Life) -> Result<Self, Fault> {
        let made = SigningKey::from_seed(&seed);
        let public = made.ok_or_else(|| Fault::internal("making a signing key"))?.public;
        Ok(Self {
            kid: public.kid,
            public: public.bytes,
            sealed: Some(master.seal(PURPOSE, &public.bytes, &seed, nonce)?),
            tag: master.tag(PURPOSE, &public.bytes).to_vec(),
            life,
        })
    }

    /// Whether this installation made it: what anybody else wrote into the table verifies nothing.
    pub fn is_ours(&self, master: &MasterKey) -> bool {
        Kid::of(&self.public) == self.kid && master.made(PURPOSE, &self.public, &self.tag)
    }

    /// Whether a part of it was made with an older master key, or with none that is here.
    pub fn is_outdated(&self, master: &MasterKey) -> bool {
        self.tag != master.tag(PURPOSE, &self.public)
            || self.sealed.as_ref().is_some_and(|sealed| master.is_outdated(sealed))
    }

    /// The master key that it needs, if that one is here or can be told.
    pub fn needs(&self, master: &MasterKey) -> Option<KeyId> {
        match &self.sealed {
            Some(sealed) => KeyId::of(sealed),
            None => master.maker(PURPOSE, &self.public, &self.tag),
        }
    }

    /// The public key.
    pub fn public_key(&self) -> PublicKey {
        PublicKey::new(self.public)
    }

    /// The private key.
    pub fn open(&self, master: &MasterKey) -> Result<SigningKey, OpenError> {
        use secrecy::ExposeSecret as _;
        let sealed = self.sealed.as_deref().ok_or(OpenError::Damaged)?;
        let seed = master.open(PURPOSE, &self.public, sealed)?;
        let key = SigningKey::from_seed(seed.expose_secret()).ok_or(OpenError::Damaged)?;
        if key.public.bytes == self.public { Ok(key) } else { Err(OpenError::Damaged) }
    }

    /// The same, sealed and tagged with the present master key.
    pub fn anew(&self, master: &MasterKey, nonce: [u8; NONCE]) -> Result<Self, Fault> {
        use secrecy::ExposeSecret as _;
        let sealed = match &self.sealed {
            Some(sealed) => {
                let seed = master.open(PURPOSE, &self.public, sealed);
                let seed = seed.map_err(|error| not_opened(self.kid, error))?;
                Some(master.seal(PURPOSE, &self.public, seed.expose_secret(), nonce)?)
            }
            None => None,
        };
        let tag = master.tag(PURPOSE, &self.public).to_vec();
        Ok(Self { sealed, tag, ..self.clone() })
    }

    /// Nothing is kept of the private key of one that signs no more.
    fn erased(mut self) -> Self {
        if !self.life.has_private_key() {
            self.sealed = None;
        }
        self
    }
}

/// The key in this state.
pub fn in_state(keys: &[StoredKey], state: KeyState, now: Instant) -> Option<&StoredKey> {
    keys.iter().find(|key| key.life.state(now) == state)
}

/// What operators are told when a key does not open.
pub fn not_opened(kid: Kid, error: OpenError) -> Fault {
    let remedy = match error {
        OpenError::OtherKey => {
            "give the master key that this database was used with (auth.master_key_file or auth.master_key), as a \
             further line if it was replaced; if it is lost, `daybook keys rotate --at-once --master-key-lost` \
             makes new signing keys. Nothing was changed"
        }
        OpenError::Damaged => {
            "the row was changed by somebody else: put it back from a backup, or make new keys with \
             `daybook keys rotate --at-once --master-key-lost`. Nothing was changed"
        }
    };
    let is = match error {
        OpenError::OtherKey => "the master key is the wrong one: ",
        OpenError::Damaged => "",
    };
    Fault::internal(format!(
        "{is}the signing key {kid} in the database does not open: {error}; {remedy}"
    ))
}
