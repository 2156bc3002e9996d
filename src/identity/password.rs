//! Passwords: argon2id in PHC strings, on a bounded pool.
//!
//! A password is hashed as [`prepare`] makes it. Hashes from before there was a preparation are of the text
//! as it was sent. Which one a hash is stands in the length of its salt, see [`SALT`], so that an attempt
//! costs one hash.

use std::{fmt, sync::Arc, time::Duration};

use argon2::{
    Algorithm, Argon2, KeyId, Params, ParamsBuilder, Version,
    password_hash::phc::{self, Output, ParamsString, Salt},
};
use secrecy::{ExposeSecret, SecretString};
use tokio::sync::{Semaphore, oneshot};

use super::{
    opaque::{prepare, refused},
    pepper::Pepper,
    workers::{Job, Memory, Workers},
};
use crate::kernel::{call_counter::CallCounter, fault::Fault};

/// The longest password, in characters.
pub const LONGEST: usize = 256;
/// The longest password, in bytes as it was sent: told before anything is hashed.
pub const LONGEST_BYTES: usize = 1024;
/// The length of the salt of a hash of a prepared password, in bytes: 16 random ones and [`OPAQUE_STRING`].
/// Salts of unprepared ones have 16. In the salt, because that is a part of every PHC string: also older
/// versions of this server read such a hash, and the number cannot be changed without the hash.
const SALT: usize = Salt::RECOMMENDED_LENGTH + 1;
/// The number of the preparation: `OpaqueString` of RFC 8265.
const OPAQUE_STRING: u8 = 1;

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
    pub demand: CallCounter,
}

/// Checks a new password: `shortest..=256` characters once it is prepared, at most 1024 bytes before, none
/// that the profile disallows.
pub fn check(password: &SecretString, shortest: usize) -> Result<(), String> {
    let text = password.expose_secret();
    if text.len() > LONGEST_BYTES {
        return Err(format!("must have at most {LONGEST_BYTES} bytes"));
    }
    let prepared = prepare(text);
    if !(shortest..=LONGEST).contains(&prepared.chars().count()) {
        return Err(format!("must have {shortest} to {LONGEST} characters"));
    }
    if let Some(bad) = refused(&prepared) {
        return Err(format!(
            "must not have control characters, unassigned ones or others that cannot be seen; it has \
             U+{:04X}",
            u32::from(bad)
        ));
    }
    Ok(())
}

/// Checks a password that is to be verified: `shortest..=256` characters as it was sent or prepared, at most
/// 1024 bytes. Characters of any kind: older hashes are of such.
pub fn check_given(password: &SecretString, shortest: usize) -> Result<(), String> {
    let text = password.expose_secret();
    if text.len() > LONGEST_BYTES {
        return Err(format!("must have at most {LONGEST_BYTES} bytes"));
    }
    let fits = |text: &str| (shortest..=LONGEST).contains(&text.chars().count());
    if fits(text) || fits(&prepare(text)) {
        return Ok(());
    }
    Err(format!("must have {shortest} to {LONGEST} characters"))
}

/// What is against a new password that is easily guessed; nothing if it is good enough.
///
/// Strength is the estimate of zxcvbn (Wheeler, USENIX Security 2016), from 0 to 4, which knows lists of
/// common and breached passwords, names, words, dates and keyboard walks; `own` are words that somebody
/// would try first for this person. They make no password strong by being many: what is left without them
/// has to be worth one step less at least.
pub fn weakness(password: &str, own: &[&str], least: u8) -> Option<String> {
    let password = &*prepare(password);
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

/// What is left of a password without these words, also from behind, in small emails; nothing where there is
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
        // Of no password at all, with the salt of a prepared one: sixteen zeros and a one. Put together and
        // not computed, which would cost a start its time and its memory.
        let decoy = format!(
            "$argon2id$v=19$m={},t={},p={}${}E${}",
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

    /// The PHC string of a password, prepared, with a fresh salt.
    pub async fn hash(&self, password: SecretString) -> Result<String, Fault> {
        let inner = Arc::clone(&self.0);
        self.work(move |memory| {
            let salt = salt()?;
            let prepared = SecretString::from(prepare(password.expose_secret()).into_owned());
            let output = inner.compute(&inner.params, prepared.expose_secret(), &salt, memory)?;
            phc(&inner.params, salt, output)
        })
        .await
    }

    /// Whether the password is the one behind `stored`. With no `stored`, or an empty one, which is that of an
    /// account without a password, the same work is done and the answer is no.
    pub async fn verify(
        &self,
        password: SecretString,
        stored: Option<String>,
    ) -> Result<bool, Fault> {
        let inner = Arc::clone(&self.0);
        let stored = stored.filter(|stored| !stored.is_empty());
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
            // Prepared in any case, so that it takes the same time.
            let prepared = SecretString::from(prepare(password.expose_secret()).into_owned());
            let hashed = if is_prepared(&salt) { &prepared } else { &password };
            let output = inner.compute(&params, hashed.expose_secret(), &salt, memory)?;
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

    /// Whether `stored` was made with other parameters, or another pepper, than are set now, or of a
    /// password that was not prepared.
    pub fn is_outdated(&self, stored: &str) -> bool {
        let Ok(parsed) = phc::PasswordHash::new(stored) else { return true };
        if !parsed.salt.as_ref().is_some_and(is_prepared) {
            return true;
        }
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

/// A fresh salt of a hash of a prepared password.
fn salt() -> Result<Salt, Fault> {
    let random = Salt::generate();
    let mut bytes = random.to_vec();
    bytes.push(OPAQUE_STRING);
    Salt::new(&bytes).map_err(|e| Fault::internal(format!("a salt: {e}")))
}

/// Whether a hash with this salt is of a prepared password.
fn is_prepared(salt: &Salt) -> bool {
    salt.len() == SALT && salt.last() == Some(&OPAQUE_STRING)
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
#[path = "password_tests.rs"]
mod tests;
