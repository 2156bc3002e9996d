//! The words by which people are found: their names, addresses and phone numbers, without cases and accents.
//!
//! Stored beside the account whenever it is written, in a table that both engines search by an index. Folded
//! here, because SQLite knows only the cases of ASCII.

use std::collections::BTreeSet;

use unicode_normalization::UnicodeNormalization as _;

use crate::accounts::User;

/// How much of a word is stored, in characters. The rest is compared here.
const LONGEST: usize = 64;
/// After every text that begins with another one, by the order of code points.
const LAST: char = '\u{10FFFF}';

/// What somebody types who looks for a person: the beginning of an address, of a phone number, or of a word
/// of the name.
#[derive(Clone, PartialEq, Eq)]
pub struct SearchTerm(String);

// It may be an address or a number.
impl std::fmt::Debug for SearchTerm {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Needle")
    }
}

impl SearchTerm {
    /// From a text as it was typed; nothing where it holds nothing to look for.
    pub fn new(text: &str) -> Option<Self> {
        let folded = folded(text);
        let needle = dialled(&folded).unwrap_or(folded);
        (!needle.is_empty()).then_some(Self(needle))
    }

    /// The least stored word that can begin so, and the first one after all that do.
    pub fn bounds(&self) -> (String, String) {
        let least = stored(&self.0);
        let after = format!("{least}{LAST}");
        (least, after)
    }

    /// The first of the words of a person that begins so, as it is stored. A person with several is found by
    /// this one alone.
    pub fn found(&self, user: &User) -> Option<String> {
        let all = keys(user);
        let mut begins: Vec<_> = all.iter().filter(|key| key.starts_with(&self.0)).collect();
        begins.sort_unstable();
        begins.first().map(|key| stored(key))
    }
}

/// The words of an account as they are stored.
pub fn words(user: &User) -> BTreeSet<String> {
    keys(user).iter().map(|key| stored(key)).collect()
}

/// The name from each of its words on, the address, and the phone number as it is dialled from abroad, with and
/// without the plus, and within the country.
fn keys(user: &User) -> BTreeSet<String> {
    let name = folded(&user.display_name);
    let is_start = |place: usize| {
        let before = name.get(..place).and_then(|before| before.chars().next_back());
        before.is_none_or(|before| !before.is_alphanumeric())
    };
    let starts = name
        .char_indices()
        .filter(|(place, c)| (c.is_alphanumeric() || *place == 0) && is_start(*place));
    let mut keys: BTreeSet<String> =
        starts.filter_map(|(place, _)| name.get(place..)).map(str::to_owned).collect();
    keys.insert(user.email.address().to_owned());
    if let Some(phone) = &user.phone {
        keys.insert(phone.as_str().to_owned());
        keys.insert(phone.as_str().trim_start_matches('+').to_owned());
        keys.insert(phone.national_digits());
    }
    keys.remove("");
    keys
}

fn stored(key: &str) -> String {
    key.chars().take(LONGEST).collect()
}

/// Digits as they are dialled, without what people write between them; nothing for other texts. `00` is the
/// plus of most countries.
fn dialled(text: &str) -> Option<String> {
    let is_plus = text.starts_with('+');
    let rest = text.strip_prefix('+').unwrap_or(text);
    let fits = |c: char| c.is_ascii_digit() || " -./()".contains(c);
    let digits: String = rest.chars().filter(char::is_ascii_digit).collect();
    if !rest.chars().all(fits) || (digits.is_empty() && !is_plus) {
        return None;
    }
    Some(match digits.strip_prefix("00") {
        Some(rest) if !is_plus => format!("+{rest}"),
        _ if is_plus => format!("+{digits}"),
        _ => digits,
    })
}

/// A text without cases, accents and ligatures, with single blanks, and with one sort of hyphen and apostrophe.
pub fn folded(text: &str) -> String {
    let lower: String = text.nfkd().flat_map(char::to_lowercase).collect();
    let mut folded = String::with_capacity(lower.len());
    for c in lower.nfkd().filter(|c| !is_accent(*c)) {
        match c {
            'ß' => folded.push_str("ss"),
            'æ' => folded.push_str("ae"),
            'œ' => folded.push_str("oe"),
            'þ' => folded.push_str("th"),
            'ø' => folded.push('o'),
            'đ' | 'ð' => folded.push('d'),
            'ħ' => folded.push('h'),
            'ł' => folded.push('l'),
            'ı' => folded.push('i'),
            '\u{2010}'..='\u{2015}' | '\u{2212}' => folded.push('-'),
            '\u{2018}' | '\u{2019}' | '\u{02BC}' | '\u{00B4}' | '`' => folded.push('\''),
            c if c.is_whitespace() => {
                if !folded.ends_with(' ') {
                    folded.push(' ');
                }
            }
            c => folded.push(c),
        }
    }
    folded.trim().to_owned()
}

/// A mark over or under a letter of the scripts that have cases. Those of other scripts are vowels.
fn is_accent(c: char) -> bool {
    matches!(c, '\u{0300}'..='\u{036F}' | '\u{1AB0}'..='\u{1AFF}' | '\u{1DC0}'..='\u{1DFF}')
}

#[cfg(test)]
#[path = "search_terms_tests.rs"]
mod tests;
