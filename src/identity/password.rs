//! Passwords: argon2id in PHC strings, on a bounded pool.

use std::{fmt, sync::Arc, time::Duration};

use argon2::{
    Algorithm, Argon2, KeyId, Params, ParamsBuilder, Version,
    password_hash::phc::{self, Output, ParamsString, Salt},
};
use secrecy::{ExposeSecret, SecretString};
use tokio::sync::{Semaphore, oneshot};

use super::{
    pepper::Pepper,
    workers::{Job, Memory, Workers},
};
use crate::kernel::{demand::Demand, fault::Fault};

/// The longest password, in characters.
pub const LONGEST: usize = 256;
/// The longest password, in bytes: told before anything is hashed.
pub const LONGEST_BYTES: usize = 1024;

/// How hashes are computed.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Memory in KiB, at least 19456 (OWASP Password Storage Cheat Sheet).
    pub memory_kib: u32,
    /// Passes over the memory, at least 2.
    pub iterations: u32,
    /// Lanes, at least 1.
    pub parallelism: u32,
    /// How many hashes are computed at a time; about one a core. While others call it is half of that, and
    /// one at least.
    pub workers: usize,
    /// How many more may wait.
    pub queue: usize,
    /// The peppers: the first is used for new hashes, the others only to verify older ones.
    pub peppers: Vec<Pepper>,
    /// The calls that hashing gives way to.
    pub demand: Demand,
}

/// Checks a new password: `shortest..=256` characters of any kind, at most 1024 bytes.
pub fn check(password: &SecretString, shortest: usize) -> Result<(), String> {
    let text = password.expose_secret();
    if text.len() > LONGEST_BYTES {
        return Err(format!("must have at most {LONGEST_BYTES} bytes"));
    }
    let length = text.chars().count();
    if length < shortest || length > LONGEST {
        return Err(format!("must have {shortest} to {LONGEST} characters"));
    }
    Ok(())
}

/// What is against a new password that is easily guessed; nothing if it is good enough.
///
/// Strength is the estimate of zxcvbn (Wheeler, USENIX Security 2016), from 0 to 4, which knows lists of
/// common and breached passwords, names, words, dates and keyboard walks; `own` are words that somebody
/// would try first for this person. They make no password strong by being many: what is left without them
/// has to be worth one step less at least.
pub fn weakness(password: &str, own: &[&str], least: u8) -> Option<String> {
    let found = zxcvbn::zxcvbn(password, own);
    if u8::from(found.score()) >= least {
        let rest = without(password, own)?;
        let rest = zxcvbn::zxcvbn(&rest, own);
        if u8::from(rest.score()) >= least.saturating_sub(1) {
            return None;
        }
        return Some("must be harder to guess: use more than names and addresses".to_owned());
    }
    let why = found.feedback().and_then(zxcvbn::feedback::Feedback::warning);
    let why = why.map(|warning| warning.to_string());
    Some(match why {
        Some(why) => format!("must be harder to guess: {}", why.trim_end_matches('.')),
        None => "must be harder to guess: use more words, or less common ones".to_owned(),
    })
}

/// What is left of a password without these words, also from behind, in small letters; nothing where there is
/// none of them in it.
fn without(password: &str, own: &[&str]) -> Option<String> {
    let whole = password.to_lowercase();
    let behind = |word: &&str| word.to_lowercase().chars().rev().collect();
    let ahead = own.iter().map(|word| word.to_lowercase());
    let mut words: Vec<String> = ahead.chain(own.iter().map(behind)).collect();
    // The longest first: a shorter one may be a part of it.
    words.retain(|word| !word.is_empty());
    words.sort_by_key(|word| std::cmp::Reverse(word.len()));
    let rest = words.iter().fold(whole.clone(), |rest, word| rest.replace(word, ""));
    (rest != whole).then_some(rest)
}

/// What somebody who knows a person would try first: the name and the address, whole, in parts and in words,
/// with what stands between the words and without, and what this is. Of each at least three characters.
pub fn own_words(name: &str, email: &str) -> Vec<String> {
    let parts: Vec<&str> = [name, email].into_iter().chain(email.split('@')).collect();
    let mut own: Vec<String> = vec!["daybook".to_owned()];
    for part in parts {
        let words = || part.split(|c: char| !c.is_alphanumeric());
        own.extend([part.to_owned(), words().collect()]);
        own.extend(words().chain(part.split(['@', '.'])).map(str::to_owned));
    }
    own.retain(|word| word.chars().count() > 2);
    own.sort();
    own.dedup();
    own
}

/// Hashes and verifies passwords on `workers` threads of its own. When `workers + queue` are under way, the
/// next is refused as overload, so that log-ins never take all memory or all cores.
#[derive(Clone)]
pub struct Hasher(Arc<Inner>);

struct Inner {
    params: Params,
    peppers: Vec<Pepper>,
    workers: Workers,
    places: Arc<Semaphore>,
    /// Verified against when there is no account, so that it costs the same.
    decoy: String,
}

impl fmt::Debug for Hasher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Hasher")
    }
}

impl Hasher {
    /// A pool with these settings.
    pub fn new(settings: Settings) -> Result<Self, Fault> {
        let mut params = ParamsBuilder::new();
        params.m_cost(settings.memory_kib).t_cost(settings.iterations).p_cost(settings.parallelism);
        let unfit = |e| Fault::internal(format!("argon2 parameters: {e}"));
        if let Some(pepper) = settings.peppers.first() {
            params.keyid(KeyId::new(pepper.id.as_bytes()).map_err(unfit)?);
        }
        let params = params.build().map_err(unfit)?;
        // Of no password at all. Put together and not computed, which would cost a start its time and
        // its memory.
        let decoy = format!(
            "$argon2id$v=19$m={},t={},p={}${}${}",
            settings.memory_kib,
            settings.iterations,
            settings.parallelism,
            "A".repeat(22),
            "A".repeat(43)
        );
        phc::PasswordHash::new(&decoy)
            .map_err(|e| Fault::internal(format!("the decoy is no PHC string: {e}")))?;
        let demand = settings.demand;
        let workers = Workers::start(settings.workers, move || demand.count())?;
        Ok(Self(Arc::new(Inner {
            params,
            peppers: settings.peppers,
            workers,
            places: Arc::new(Semaphore::new(settings.workers + settings.queue)),
            decoy,
        })))
    }

    /// The PHC string of a password, with a fresh salt.
    pub async fn hash(&self, password: SecretString) -> Result<String, Fault> {
        let inner = Arc::clone(&self.0);
        self.work(move |memory| {
            let salt = Salt::generate();
            let output = inner.compute(&inner.params, password.expose_secret(), &salt, memory)?;
            phc(&inner.params, salt, output)
        })
        .await
    }

    /// Whether the password is the one behind `stored`. With no `stored` the same work is done and the
    /// answer is no.
    pub async fn verify(
        &self,
        password: SecretString,
        stored: Option<String>,
    ) -> Result<bool, Fault> {
        let inner = Arc::clone(&self.0);
        self.work(move |memory| {
            let unfit =
                |e: &dyn fmt::Display| Fault::internal(format!("a stored password hash: {e}"));
            let phc = stored.as_deref().unwrap_or(&inner.decoy);
            let parsed = phc::PasswordHash::new(phc).map_err(|e| unfit(&e))?;
            if parsed.algorithm.as_str() != "argon2id" || parsed.version != Some(0x13) {
                return Err(unfit(&"not argon2id of version 19"));
            }
            let params = Params::try_from(&parsed).map_err(|e| unfit(&e))?;
            let (Some(salt), Some(expected)) = (parsed.salt, parsed.hash) else {
                return Err(unfit(&"without salt or hash"));
            };
            let output = inner.compute(&params, password.expose_secret(), &salt, memory)?;
            // In a time that does not depend on what is compared (`phc::Output`).
            Ok(output == expected && stored.is_some())
        })
        .await
    }

    /// What is against a new password; see [`weakness`]. On a worker, because long ones take a while.
    pub async fn weakness(
        &self,
        password: SecretString,
        own: Vec<String>,
        least: u8,
    ) -> Result<Option<String>, Fault> {
        self.work(move |_| {
            let own: Vec<&str> = own.iter().map(String::as_str).collect();
            Ok(weakness(password.expose_secret(), &own, least))
        })
        .await
    }

    /// Whether `stored` was made with other parameters, or another pepper, than are set now.
    pub fn is_outdated(&self, stored: &str) -> bool {
        let Ok(parsed) = phc::PasswordHash::new(stored) else { return true };
        Params::try_from(&parsed).is_ok_and(|params| {
            let told = |params: &Params| {
                (params.m_cost(), params.t_cost(), params.p_cost(), params.keyid().to_vec())
            };
            told(&params) != told(&self.0.params)
        })
    }

    async fn work<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Memory) -> Result<T, Fault> + Send + 'static,
    ) -> Result<T, Fault> {
        let Ok(place) = Arc::clone(&self.0.places).try_acquire_owned() else {
            return Err(Fault::overloaded(Duration::from_secs(1)));
        };
        let (send, receive) = oneshot::channel();
        let job: Job = Box::new(move |memory| {
            let done = work(memory);
            // Before the answer: whoever has it may ask again at once.
            drop(place);
            // Whoever asked may have left; the work was done all the same.
            drop(send.send(done));
        });
        self.0.workers.give(job);
        receive.await.unwrap_or_else(|_| Err(Fault::internal("a hash was given up")))
    }
}

impl Inner {
    /// The hash itself, of as many bytes as the parameters say.
    fn compute(
        &self,
        params: &Params,
        password: &str,
        salt: &Salt,
        memory: &mut Memory,
    ) -> Result<Output, Fault> {
        let failed = |e: &dyn fmt::Display| Fault::internal(format!("hashing a password: {e}"));
        let length = params.output_len().unwrap_or(Params::DEFAULT_OUTPUT_LEN);
        let mut buffer = [0; Output::MAX_LENGTH];
        let out = buffer.get_mut(..length).ok_or_else(|| failed(&"too long an output"))?;
        let blocks = memory.blocks(params.block_count());
        self.argon2(params)?
            .hash_password_into_with_memory(password.as_bytes(), salt, out, blocks)
            .map_err(|e| failed(&e))?;
        Output::new(out).map_err(|e| failed(&e))
    }

    /// Argon2 with the pepper that the parameters name.
    fn argon2(&self, params: &Params) -> Result<Argon2<'_>, Fault> {
        let (algorithm, version) = (Algorithm::Argon2id, Version::V0x13);
        if params.keyid().is_empty() {
            return Ok(Argon2::new(algorithm, version, params.clone()));
        }
        let named = self.peppers.iter().find(|pepper| pepper.id.as_bytes() == params.keyid());
        let pepper = named.ok_or_else(|| {
            Fault::internal("a password was hashed with a pepper that the settings no longer have")
        })?;
        Argon2::new_with_secret(pepper.secret.expose_secret(), algorithm, version, params.clone())
            .map_err(|e| Fault::internal(format!("a pepper: {e}")))
    }
}

/// The PHC string of a hash.
fn phc(params: &Params, salt: Salt, output: Output) -> Result<String, Fault> {
    let algorithm = Algorithm::Argon2id.ident();
    let params = ParamsString::try_from(params)
        .map_err(|e| Fault::internal(format!("argon2 parameters: {e}")))?;
    let version = Some(Version::V0x13.into());
    let hash =
        phc::PasswordHash { algorithm, version, params, salt: Some(salt), hash: Some(output) };
    Ok(hash.to_string())
}

#[cfg(test)]
mod tests {
    use super::{super::pepper, *};

    fn quick() -> Settings {
        Settings {
            memory_kib: 19456,
            iterations: 2,
            parallelism: 1,
            workers: 1,
            queue: 1,
            peppers: Vec::new(),
            demand: Demand::default(),
        }
    }

    #[tokio::test]
    async fn a_password_verifies_exactly() {
        let hasher = Hasher::new(quick()).unwrap();
        let stored = hasher.hash("pass wörd\0".into()).await.unwrap();
        assert!(stored.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{stored}");
        assert!(hasher.verify("pass wörd\0".into(), Some(stored.clone())).await.unwrap());
        for other in ["pass wörd", "Pass wörd\0", "pass wörd\0 ", ""] {
            assert!(!hasher.verify(other.into(), Some(stored.clone())).await.unwrap());
        }
        assert!(!hasher.verify("decoy".into(), None).await.unwrap());
        assert!(!hasher.is_outdated(&hasher.0.decoy), "the decoy costs as much");
        assert!(!hasher.is_outdated(&stored));
        let dearer = Hasher::new(Settings { iterations: 3, ..quick() }).unwrap();
        assert!(dearer.is_outdated(&stored));
    }

    /// The crate's own way, with memory of its own.
    #[tokio::test]
    async fn hashes_are_those_of_the_crate_whatever_the_memory_held() {
        use argon2::password_hash::{PasswordHasher as _, PasswordVerifier as _};
        let hasher = Hasher::new(quick()).unwrap();
        let theirs = |iterations| {
            let params = Params::new(19456, iterations, 1, None).unwrap();
            Argon2::new(Algorithm::Argon2id, Version::V0x13, params)
        };
        for iterations in [2, 3, 2] {
            let argon2 = theirs(iterations);
            let stored = argon2.hash_password(b"secret").unwrap().to_string();
            let (one, other) = tokio::join!(
                hasher.verify("secret".into(), Some(stored.clone())),
                hasher.verify("Secret".into(), Some(stored)),
            );
            assert!(one.unwrap() && !other.unwrap());
            let ours = hasher.hash("secret".into()).await.unwrap();
            theirs(2).verify_password(b"secret", ours.as_str()).unwrap();
        }
        let foreign = Argon2::new(
            Algorithm::Argon2i,
            Version::V0x13,
            Params::new(19456, 2, 1, None).unwrap(),
        );
        let foreign = foreign.hash_password(b"secret").unwrap().to_string();
        assert!(hasher.verify("secret".into(), Some(foreign)).await.is_err());
    }

    #[tokio::test]
    async fn a_pepper_is_needed_to_verify_and_can_be_changed() {
        let peppers = |text: &str| pepper::read(text).unwrap();
        let first = "2026a AAECAwQFBgcICQoLDA0ODw==\n";
        let both = format!("2026b EBESExQVFhcYGRobHB0eHw==\n{first}");
        let with =
            |text: &str| Hasher::new(Settings { peppers: peppers(text), ..quick() }).unwrap();
        let (none, old, new) = (Hasher::new(quick()).unwrap(), with(first), with(&both));
        let plain = none.hash("secret".into()).await.unwrap();
        let stored = old.hash("secret".into()).await.unwrap();
        assert!(stored.contains("keyid="), "{stored}");
        // Hashes from before there was a pepper, and with the one before, still verify.
        for hasher in [&old, &new] {
            assert!(hasher.verify("secret".into(), Some(plain.clone())).await.unwrap());
            assert!(hasher.verify("secret".into(), Some(stored.clone())).await.unwrap());
            assert!(!hasher.verify("other".into(), Some(stored.clone())).await.unwrap());
        }
        assert!(old.is_outdated(&plain) && new.is_outdated(&stored) && !old.is_outdated(&stored));
        // Without the pepper nobody can even try.
        assert!(none.verify("secret".into(), Some(stored.clone())).await.is_err());
        let forged = with("2026a EBESExQVFhcYGRobHB0eHw==");
        assert!(!forged.verify("secret".into(), Some(stored)).await.unwrap());
    }

    #[tokio::test]
    async fn more_than_the_queue_holds_is_refused() {
        let hasher = Hasher::new(quick()).unwrap();
        let all = futures_util::future::join_all((0..8).map(|_| hasher.hash("x".into()))).await;
        let done = all.iter().filter(|r| r.is_ok()).count();
        // One worker and one waiting, and those that come when one of these is done.
        assert!((2..8).contains(&done), "{done}");
    }

    #[test]
    fn what_is_common_or_near_is_weak() {
        let own = ["Ada Lovelace", "ada.lovelace@example.org", "daybook"];
        let weak = [
            "password",
            "12345678",
            "123456789",
            "qwertyuiop",
            "iloveyou",
            "sunshine",
            "princess1",
            "football",
            "baseball1",
            "welcome1",
            "passw0rd",
            "p@ssword",
            "Password1!",
            "letmein123",
            "trustno1!",
            "superman",
            "michael1",
            "starwars",
            "whatever",
            "computer",
            "jennifer",
            "1qaz2wsx",
            "zaq12wsx",
            "asdfghjkl",
            "q1w2e3r4t5",
            "aaaaaaaa",
            "abcabcabc",
            "abcdefgh",
            "11111111",
            "19841984",
            "20261123",
            "dragon123",
            "monkey123",
            "changeme",
            "administrator",
            "adalovelace",
            "lovelace1",
            "ada.lovelace",
            "daybook1",
            "Daybook!",
            "ecnalevol",
            "L0velace",
        ];
        for weak in weak {
            assert!(weakness(weak, &own, 3).is_some(), "{weak}");
        }
        let good = [
            "correct horse battery",
            "vB7#mQ9!xZ2k",
            "wenn der Regen fällt",
            "日本語のパスワード長い",
            "tulip-anvil-moss",
        ];
        for good in good {
            assert_eq!(weakness(good, &own, 3), None, "{good}");
        }
    }

    #[test]
    fn lengths_are_told_before_hashing() {
        assert!(check(&"1234567".into(), 8).is_err());
        assert!(check(&"éééééééé".into(), 8).is_ok());
        assert!(check(&"a".repeat(256).into(), 8).is_ok());
        assert!(check(&"a".repeat(257).into(), 8).is_err());
        assert!(check(&"a".repeat(1 << 20).into(), 8).is_err());
    }
}
