//! Changing the master key: what each master key is still needed for, and sealing anew with the present one.
//!
//! Signing keys are sealed anew at the start of a process. Secrets of second factors are at their owners'
//! next log-in, or all at once here. Recovery codes cannot be: they are hashes, and only their owners know the
//! codes. Emails need their key until they are sent, which is three days at most.

pub mod commands;
pub mod service;
pub mod store;

use std::collections::BTreeMap;

use crate::identity::master_key::{KeyId, MasterKey};

/// How much of each sort needs a master key.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Needed {
    /// Signing keys that are not gone.
    pub signing_keys: u64,
    /// Secrets of second factors, on or to be confirmed.
    pub secrets: u64,
    /// Recovery codes that are left.
    pub recovery_codes: u64,
    /// Emails that wait.
    pub letters: u64,
}

impl Needed {
    /// Whether nothing needs it.
    pub fn is_nothing(&self) -> bool {
        *self == Self::default()
    }
}

/// Where a master key stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// It seals and derives.
    Present,
    /// It only opens and checks.
    Older,
    /// It is not in the settings: what needs it cannot be used.
    Missing,
    /// It was not written down which one it is.
    Unknown,
}

/// A master key and what needs it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KeyUse {
    /// Its id, where that is known.
    pub key: Option<KeyId>,
    /// Where it stands.
    pub place: Place,
    /// What needs it.
    pub needed: Needed,
}

/// What is needed by key, in the order of the settings; then what is needed and not there. Keys of the
/// settings are told also where nothing needs them.
pub fn told(master: &MasterKey, mut needed: BTreeMap<Option<KeyId>, Needed>) -> Vec<KeyUse> {
    let mut uses = Vec::new();
    for key in master.ids() {
        let place = if key == master.id() { Place::Present } else { Place::Older };
        let needed = needed.remove(&Some(key)).unwrap_or_default();
        uses.push(KeyUse { key: Some(key), place, needed });
    }
    let unknown = needed.remove(&None);
    let missing = |(key, needed)| KeyUse { key, place: Place::Missing, needed };
    uses.extend(needed.into_iter().map(missing));
    uses.extend(unknown.map(|needed| KeyUse { key: None, place: Place::Unknown, needed }));
    uses
}

/// What came of sealing anew.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Resealed {
    /// Secrets that the present master key seals now.
    pub sealed: u64,
    /// Secrets that no master key of the settings opens; they stay as they are.
    pub lost: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_told_in_the_order_of_the_settings_and_then_what_is_missing() {
        let text = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=\n\
                    ICEiIyQlJicoKSorLC0uLzAxMjM0NTY3ODk6Ozw9Pj8=";
        let master = MasterKey::parse(&text.into()).unwrap();
        let older = master.ids().nth(1).unwrap();
        let gone = MasterKey::of(&[7; 32]).id();
        let secrets = |secrets| Needed { secrets, ..Needed::default() };
        let needed = [(None, secrets(1)), (Some(gone), secrets(2)), (Some(older), secrets(3))];
        let uses = told(&master, needed.into());
        let seen: Vec<_> = uses.iter().map(|u| (u.key, u.place, u.needed.secrets)).collect();
        let expected = [
            (Some(master.id()), Place::Present, 0),
            (Some(older), Place::Older, 3),
            (Some(gone), Place::Missing, 2),
            (None, Place::Unknown, 1),
        ];
        assert_eq!(seen, expected);
        assert!(uses[0].needed.is_nothing() && !uses[1].needed.is_nothing());
    }
}
