//! Peppers: secrets that go into every password hash beside the salt, so that a stolen table alone cannot
//! be guessed at.

use std::fmt;

use base64::{Engine, engine::general_purpose::STANDARD};
use secrecy::SecretSlice;

/// The fewest bytes of a pepper.
const SHORTEST: usize = 16;
/// The longest id, which argon2 stores with each hash.
const LONGEST_ID: usize = 8;

/// One pepper. Hashes carry its id; those without an id were made without a pepper.
#[derive(Clone)]
pub struct Pepper {
    /// The id, 1 to 8 ASCII letters and digits.
    pub id: String,
    /// The secret, at least 16 bytes.
    pub secret: SecretSlice<u8>,
}

impl fmt::Debug for Pepper {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pepper").field("id", &self.id).finish_non_exhaustive()
    }
}

/// Reads peppers from a text with one on each line, `ID BASE64`; empty lines and those that begin with `#`
/// are left out. The first is the one for new hashes. What is wrong is told without the secret.
pub fn read(text: &str) -> Result<Vec<Pepper>, String> {
    let mut peppers: Vec<Pepper> = Vec::new();
    for (number, line) in (1..).zip(text.lines()) {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let (id, secret) = line
            .split_once(' ')
            .ok_or_else(|| format!("line {number} is not an id, a space and a secret"))?;
        let fits = !id.is_empty()
            && id.len() <= LONGEST_ID
            && id.bytes().all(|byte| byte.is_ascii_alphanumeric());
        if !fits {
            return Err(format!(
                "the id in line {number} is not 1 to {LONGEST_ID} letters and digits"
            ));
        }
        if peppers.iter().any(|pepper| pepper.id == id) {
            return Err(format!("the id in line {number} is there twice"));
        }
        let secret = STANDARD.decode(secret.trim()).unwrap_or_default();
        if secret.len() < SHORTEST {
            return Err(format!("the secret in line {number} is not {SHORTEST} bytes in base64"));
        }
        peppers.push(Pepper { id: id.to_owned(), secret: secret.into() });
    }
    Ok(peppers)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn peppers_are_read_line_by_line() {
        let read_ids = |text: &str| {
            let ids = |peppers: Vec<Pepper>| peppers.into_iter().map(|p| p.id).collect::<Vec<_>>();
            read(text).map(ids)
        };
        let secret = "AAECAwQFBgcICQoLDA0ODw==";
        let text = format!("# newest first\n\nb {secret}\na  {secret} \n");
        assert_eq!(read_ids(&text).unwrap(), ["b", "a"]);
        assert_eq!(read_ids("").unwrap(), Vec::<String>::new());
        let bad = ["b", "b AAAA", &format!("b! {secret}"), &format!("longer-id {secret}")];
        for bad in bad.into_iter().chain([&*format!("b {secret}\nb {secret}")]) {
            let told = read(bad).unwrap_err();
            assert!(!told.contains("AAECAw"), "{told}");
        }
    }
}
