//! The keys of a test's server: the master key, those that sign, and changing them.

use std::{fs, path::PathBuf};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use daybook::{
    accounts::{
        master_keys::{KeyUse, Resealed},
        signing::{StoredKey, commands::Rotated, key_lifecycle::KeyState, signing_key::SigningKey},
    },
    app::{
        self,
        key_commands::{self, Rotation},
    },
    grpc::proto::auth::{GetJwksRequest, GetJwksResponse},
    identity::master_key::MasterKey,
    kernel::ambient::Ambient,
};
use tempfile::TempDir;

use super::{World, config, process::until};

/// The id of the key that signed a token.
pub fn kid_of(token: &str) -> String {
    let header = URL_SAFE_NO_PAD.decode(token.split('.').next().unwrap()).unwrap();
    let header: serde_json::Value = serde_json::from_slice(&header).unwrap();
    header["kid"].as_str().unwrap().to_owned()
}

const NEW: &str = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";

/// A file with a new master key, and the old one after it.
#[derive(Debug)]
pub struct MasterKeyFile(String);

impl MasterKeyFile {
    /// What a server is started with to use it.
    pub fn settings(&self) -> [(&'static str, &str); 1] {
        [("auth.master_key_file", &self.0)]
    }

    /// Takes the old line away.
    pub fn drop_old(&self) {
        fs::write(&self.0, format!("{NEW}\n")).unwrap();
    }
}

impl World {
    /// The master key of the server.
    pub fn master_key_file(&self) -> PathBuf {
        self._folder.path().join("master-key")
    }

    /// The same as it is used.
    pub fn master_key(&self) -> MasterKey {
        MasterKey::read(&self.master_key_file()).unwrap()
    }

    /// All keys that there are and were, oldest first.
    pub async fn signing_keys(&self) -> Vec<(StoredKey, KeyState)> {
        let config = config(&self.url, self._folder.path(), &[]);
        let (ambient, _) = Ambient::manual(self.clock.now());
        let keys = key_commands::signing_keys(&config, ambient).await.unwrap();
        keys.into_iter().map(|(key, state, _)| (key, state)).collect()
    }

    /// The one in this state.
    pub async fn key_in(&self, state: KeyState) -> StoredKey {
        let mut keys = self.signing_keys().await;
        keys.retain(|(_, found)| *found == state);
        assert_eq!(keys.len(), 1, "{state:?}: {keys:?}");
        keys.remove(0).0
    }

    /// The private key that the server signs tokens with.
    pub async fn signing_key(&self) -> SigningKey {
        self.key_in(KeyState::Active).await.open(&self.master_key()).unwrap()
    }

    /// Replaces the signing key, as at the command line.
    pub async fn rotate(
        &self,
        rotation: Rotation,
        settings: &[(&str, &str)],
    ) -> Result<Rotated, app::Error> {
        let config = config(&self.url, self._folder.path(), settings);
        let (ambient, _) = Ambient::manual(self.clock.now());
        key_commands::rotate_signing_key(&config, ambient, rotation).await
    }

    /// Seals anew what older master keys sealed, as at the command line.
    pub async fn reseal(&self, settings: &[(&str, &str)]) -> Result<Resealed, app::Error> {
        let config = config(&self.url, self._folder.path(), settings);
        let (ambient, _) = Ambient::manual(self.clock.now());
        key_commands::reseal(&config, ambient).await
    }

    /// What needs which master key, as at the command line.
    pub async fn key_uses(&self, settings: &[(&str, &str)]) -> Vec<KeyUse> {
        let config = config(&self.url, self._folder.path(), settings);
        let (ambient, _) = Ambient::manual(self.clock.now());
        key_commands::master_keys(&config, ambient).await.unwrap()
    }

    /// Another master key, to stand before the present one.
    pub fn with_new_master_key(&self) -> (TempDir, MasterKeyFile) {
        self.with_another_master_key(|old| format!("{NEW}\n{old}\n"))
    }

    /// The same, after the present one.
    pub fn with_next_master_key(&self) -> (TempDir, MasterKeyFile) {
        self.with_another_master_key(|old| format!("{old}\n{NEW}\n"))
    }

    fn with_another_master_key(&self, lines: fn(&str) -> String) -> (TempDir, MasterKeyFile) {
        let old = fs::read_to_string(self.master_key_file()).unwrap();
        let old = old.lines().last().unwrap().to_owned();
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("lines");
        fs::write(&path, lines(&old)).unwrap();
        (folder, MasterKeyFile(path.to_str().unwrap().to_owned()))
    }

    /// What others see of the keys.
    pub async fn jwks(&self) -> GetJwksResponse {
        self.auth().get_jwks(GetJwksRequest {}).await.unwrap().into_inner()
    }

    /// Waits until the server has seen this key. It looks every second.
    pub async fn knows(&self, kid: &str) {
        let seen = async || self.jwks().await.keys.iter().any(|key| key.kid == kid);
        until(30, "the server sees the key", seen).await;
    }
}
