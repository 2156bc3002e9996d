//! Preparation of passwords by the `OpaqueString` profile of RFC 8265 (section 4.2).
//!
//! One password is typed as different code points on different keyboards: an accent beside its email on
//! macOS, a wide space with an input method for Japanese. [`prepare`] maps all spaces to U+0020 and applies
//! NFC, so that they are the same bytes. Case and width stay.
//!
//! [`refused`] is what the profile disallows in a new password (`FreeformClass`, RFC 8264 section 4.3), with
//! the general categories of the Unicode version of `unicode-properties`. One difference: the joiners and the
//! selector of emoji presentation are allowed everywhere, because keyboards of phones put them into emoji.

use std::borrow::Cow;

use unicode_normalization::{UnicodeNormalization as _, is_nfc};
use unicode_properties::{GeneralCategory, UnicodeGeneralCategory as _};

/// The password in the form that is hashed. ASCII is unchanged.
pub(super) fn prepare(password: &str) -> Cow<'_, str> {
    if password.is_ascii() {
        return Cow::Borrowed(password);
    }
    let is_other_space =
        |c: char| !c.is_ascii() && c.general_category() == GeneralCategory::SpaceSeparator;
    if !password.contains(is_other_space) && is_nfc(password) {
        return Cow::Borrowed(password);
    }
    let spaced = password.chars().map(|c| if is_other_space(c) { ' ' } else { c });
    Cow::Owned(spaced.nfc().collect())
}

/// The first character of a prepared password that a new one must not have.
pub(super) fn refused(prepared: &str) -> Option<char> {
    prepared.chars().find(|c| !is_allowed(*c))
}

fn is_allowed(c: char) -> bool {
    match c {
        ' '..='~' | '\u{200C}' | '\u{200D}' | '\u{FE0F}' => true,
        // PrecisIgnorableProperties with an allowed category: they cannot be seen.
        '\u{034F}'
        | '\u{115F}'..='\u{1160}'
        | '\u{17B4}'..='\u{17B5}'
        | '\u{180B}'..='\u{180F}'
        | '\u{3164}'
        | '\u{FE00}'..='\u{FE0E}'
        | '\u{FFA0}'
        | '\u{E0100}'..='\u{E01EF}'
        // OldHangulJamo, what NFC has not composed to syllables.
        | '\u{1100}'..='\u{11FF}'
        | '\u{A960}'..='\u{A97C}'
        | '\u{D7B0}'..='\u{D7FB}'
        // Exceptions (RFC 5892, 2.6).
        | '\u{0640}'
        | '\u{07FA}'
        | '\u{302E}'
        | '\u{302F}'
        | '\u{3031}'..='\u{3035}'
        | '\u{303B}' => false,
        _ => has_allowed_category(c),
    }
}

fn has_allowed_category(c: char) -> bool {
    use GeneralCategory as G;
    !matches!(
        c.general_category(),
        G::Control
            | G::Format
            | G::Surrogate
            | G::PrivateUse
            | G::Unassigned
            | G::LineSeparator
            | G::ParagraphSeparator
    )
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The examples of RFC 8265, table 4, and what keyboards make of one password.
    #[test]
    fn what_is_typed_as_the_same_is_the_same() {
        for (typed, prepared) in [
            ("correct horse battery staple", "correct horse battery staple"),
            ("Correct Horse Battery Staple", "Correct Horse Battery Staple"),
            ("πßå", "πßå"),
            ("Jack of ♦s", "Jack of ♦s"),
            ("foo\u{1680}bar", "foo bar"),
            ("foo\u{3000}b\u{a0}a r", "foo b a r"),
            ("cafe\u{301}", "caf\u{e9}"),
            ("\u{1112}\u{1161}\u{11ab}", "\u{d55c}"),
            ("\u{212b}ngstrom", "\u{c5}ngstrom"),
            ("ｗｉｄｅ", "ｗｉｄｅ"),
            ("  both ends  ", "  both ends  "),
            ("", ""),
        ] {
            assert_eq!(prepare(typed), prepared, "{typed:?}");
            assert_eq!(refused(&prepare(typed)), None, "{typed:?}");
        }
    }

    #[test]
    fn what_cannot_be_seen_or_is_not_assigned_is_refused() {
        for bad in [
            '\t',
            '\0',
            '\n',
            '\u{7f}',
            '\u{85}',
            '\u{ad}',
            '\u{200b}',
            '\u{202e}',
            '\u{2028}',
            '\u{feff}',
            '\u{e000}',
            '\u{fdd0}',
            '\u{378}',
            '\u{3164}',
            '\u{1160}',
            '\u{640}',
            '\u{10ffff}',
            '\u{e0020}',
            '\u{fe00}',
        ] {
            assert_eq!(refused(&prepare(&format!("a{bad}b"))), Some(bad), "{bad:?}");
        }
        for good in ["👩‍👩‍👧", "❤️", "🫨", "می‌خواهم", "日本語", "ﬁ", "½", "𝄞"]
        {
            assert_eq!(refused(&prepare(good)), None, "{good:?}");
        }
    }

    proptest! {
        #[test]
        fn what_is_prepared_stays_as_it_is(text in "\\PC{0,40}") {
            let once = prepare(&text).into_owned();
            prop_assert_eq!(&*prepare(&once), once.as_str());
        }

        #[test]
        fn canonically_equivalent_texts_are_one(text in "\\PC{0,40}") {
            let apart: String = text.nfd().collect();
            prop_assert_eq!(prepare(&text), prepare(&apart));
        }
    }
}
