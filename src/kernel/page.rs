//! Pages: how long they are, and tokens for the next one (AIP-158).

use aws_lc_rs::{constant_time, hmac};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use serde::{Serialize, de::DeserializeOwned};

/// How many items a page has when the request does not say.
pub const DEFAULT_PAGE: u32 = 50;
/// How many items a page has at most.
pub const LONGEST_PAGE: u32 = 500;

const TAG: usize = 16;

/// The page size to use: 0 means the default, too many means the longest, negative is refused.
pub fn page_size(asked: i32) -> Result<u32, &'static str> {
    match u32::try_from(asked) {
        Ok(0) => Ok(DEFAULT_PAGE),
        Ok(size) => Ok(size.min(LONGEST_PAGE)),
        Err(_) => Err("must not be negative"),
    }
}

/// Makes and reads page tokens: opaque, authenticated, bound to the caller and to the query, so that a
/// token of another query, another caller or somebody's invention is refused. A token gives no access;
/// every page is checked anew.
#[derive(Clone)]
pub struct PageTokens(Vec<hmac::Key>);

impl std::fmt::Debug for PageTokens {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("PageTokens")
    }
}

impl PageTokens {
    /// Tokens under these keys, which all processes of an installation share: the first one makes them,
    /// all of them are known.
    pub fn new(keys: &[[u8; 32]]) -> Self {
        Self(keys.iter().map(|key| hmac::Key::new(hmac::HMAC_SHA256, key)).collect())
    }

    /// The token for the page after `cursor`. `query` is everything that must stay the same.
    pub fn make(&self, query: &str, cursor: &impl Serialize) -> String {
        let body = serde_json::to_vec(cursor).unwrap_or_default();
        let mut token = self.tags(query, &body).next().unwrap_or_default();
        token.extend_from_slice(&body);
        URL_SAFE_NO_PAD.encode(token)
    }

    /// The cursor in a token; empty text is the first page.
    pub fn read<T: DeserializeOwned>(
        &self,
        query: &str,
        token: &str,
    ) -> Result<Option<T>, &'static str> {
        const REFUSED: &str = "must be the next_page_token of the same list with the same fields";
        if token.is_empty() {
            return Ok(None);
        }
        let bytes = URL_SAFE_NO_PAD.decode(token).map_err(|_| REFUSED)?;
        let (tag, body) = bytes.split_at_checked(TAG).ok_or(REFUSED)?;
        let is = |made: Vec<u8>| constant_time::verify_slices_are_equal(tag, &made).is_ok();
        if !self.tags(query, body).any(is) {
            return Err(REFUSED);
        }
        serde_json::from_slice(body).map(Some).map_err(|_| REFUSED)
    }

    fn tags<'a>(&'a self, query: &'a str, body: &'a [u8]) -> impl Iterator<Item = Vec<u8>> + 'a {
        self.0.iter().map(move |key| {
            let mut context = hmac::Context::with_key(key);
            context.update(query.as_bytes());
            context.update(&[0]);
            context.update(body);
            context.sign().as_ref().iter().copied().take(TAG).collect()
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_reads_back_only_for_its_query() {
        let tokens = PageTokens::new(&[[7; 32]]);
        let token = tokens.make("users", &42_u64);
        assert_eq!(tokens.read("users", &token), Ok(Some(42_u64)));
        assert!(tokens.read::<u64>("providers", &token).is_err());
        assert!(PageTokens::new(&[[8; 32]]).read::<u64>("users", &token).is_err());
        let later = PageTokens::new(&[[8; 32], [7; 32]]);
        assert_eq!(later.read("users", &token), Ok(Some(42_u64)));
        assert!(tokens.read::<u64>("users", &later.make("users", &42_u64)).is_err());
        assert_eq!(tokens.read::<u64>("users", ""), Ok(None));
    }

    #[test]
    fn every_changed_byte_is_noticed() {
        let tokens = PageTokens::new(&[[7; 32]]);
        let token = tokens.make("users", &42_u64);
        for i in 0..token.len() {
            let mut bytes = token.clone().into_bytes();
            bytes[i] = if bytes[i] == b'A' { b'B' } else { b'A' };
            let changed = String::from_utf8(bytes).unwrap();
            assert!(tokens.read::<u64>("users", &changed).is_err() || changed == token);
        }
        for junk in ["AAAA", "!!", "\0", "=", &"A".repeat(10_000)] {
            assert!(tokens.read::<u64>("users", junk).is_err());
        }
    }
}
