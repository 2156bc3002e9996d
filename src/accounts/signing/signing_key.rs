//! The keys that sign access tokens: Ed25519 (RFC 8032), each known by the hash of its public key.

use std::fmt;

use aws_lc_rs::{
    digest,
    signature::{Ed25519KeyPair, KeyPair},
};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use jsonwebtoken::{DecodingKey, EncodingKey};

/// The bytes of a private key, and of a public one.
pub const KEY: usize = 32;
const KID: usize = 12;

/// The id of a key: the start of the SHA-256 of its public key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Kid([u8; KID]);

impl Kid {
    /// The id of this public key.
    pub fn of(public: &[u8; KEY]) -> Self {
        let mut kid = [0; KID];
        let hash = digest::digest(&digest::SHA256, public);
        kid.iter_mut().zip(hash.as_ref()).for_each(|(to, from)| *to = *from);
        Self(kid)
    }

    /// Reads the one form of an id: base64url without padding.
    pub fn parse(text: &str) -> Option<Self> {
        if text.len() != KID * 4 / 3 {
            return None;
        }
        let bytes = URL_SAFE_NO_PAD.decode(text).ok()?;
        Some(Self(bytes.try_into().ok()?))
    }
}

impl fmt::Display for Kid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&URL_SAFE_NO_PAD.encode(self.0))
    }
}

/// A public key, which verifies.
#[derive(Clone)]
pub struct PublicKey {
    /// Key id: the `kid` of the tokens that it signs.
    pub kid: Kid,
    /// Raw public key (Ed25519, 32 bytes).
    pub bytes: [u8; KEY],
    /// The same in the form in which tokens are verified.
    pub decoding: DecodingKey,
}

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PublicKey").field("kid", &self.kid).finish_non_exhaustive()
    }
}

impl PublicKey {
    /// The key of these bytes.
    pub fn new(bytes: [u8; KEY]) -> Self {
        Self { kid: Kid::of(&bytes), bytes, decoding: DecodingKey::from_ed_der(&bytes) }
    }

    /// Its bytes as a JWK has them.
    pub fn x(&self) -> String {
        URL_SAFE_NO_PAD.encode(self.bytes)
    }
}

/// A private key, which signs. Does not print itself.
#[derive(Clone)]
pub struct SigningKey {
    /// The key in the form in which tokens are signed.
    pub encoding: EncodingKey,
    /// What verifies its signatures.
    pub public: PublicKey,
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SigningKey").field("kid", &self.public.kid).finish_non_exhaustive()
    }
}

impl SigningKey {
    /// The key that follows from 32 random bytes; nothing if they are not as many.
    pub fn from_seed(seed: &[u8]) -> Option<Self> {
        let pair = Ed25519KeyPair::from_seed_unchecked(seed).ok()?;
        let public = PublicKey::new(pair.public_key().as_ref().try_into().ok()?);
        let document = pair.to_pkcs8v1().ok()?;
        Some(Self { encoding: EncodingKey::from_ed_der(document.as_ref()), public })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_follows_from_its_seed() {
        // The first test of RFC 8032, 7.1.
        let seed = "nWGxne/9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A=";
        let seed = base64::engine::general_purpose::STANDARD.decode(seed).unwrap();
        let key = SigningKey::from_seed(&seed).unwrap();
        assert_eq!(key.public.x(), "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo");
        // What signs and what verifies belong together.
        let text =
            jsonwebtoken::crypto::sign(b"said", &key.encoding, jsonwebtoken::Algorithm::EdDSA);
        let verify = |said: &[u8]| {
            let alg = jsonwebtoken::Algorithm::EdDSA;
            jsonwebtoken::crypto::verify(text.as_ref().unwrap(), said, &key.public.decoding, alg)
        };
        assert_eq!((verify(b"said"), verify(b"else")), (Ok(true), Ok(false)));
        assert!(SigningKey::from_seed(&seed[1..]).is_none());
    }

    #[test]
    fn an_id_has_one_form() {
        let kid = Kid::of(&[7; KEY]);
        assert_eq!(Kid::parse(&kid.to_string()), Some(kid));
        for bad in ["", "unknown", "../../dev/null", &format!("{kid}A"), &format!("{kid}=")] {
            assert_eq!(Kid::parse(bad), None, "{bad}");
        }
        assert_ne!(Kid::of(&[8; KEY]), kid);
    }
}
