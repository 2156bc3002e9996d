//! Phone numbers in E.164 form.
//!
//! A number is given in international form, with `+` and the country's code, and with the usual separators
//! between the digits. It is checked by the numbering plans of libphonenumber, and stored as `+` and digits.

use std::fmt;

use phonenumber::Mode;
use serde::{Deserialize, Serialize};
use unicode_normalization::UnicodeNormalization as _;

/// The longest text that is looked at, in bytes.
const LONGEST: usize = 64;
/// The most digits of a number in E.164 form, and two for a national prefix that was left in.
const MOST_DIGITS: usize = 17;
/// What may stand between digits.
const SEPARATORS: [char; 9] = [' ', '-', '.', '/', '(', ')', '\u{2010}', '\u{2011}', '\u{2013}'];

/// A phone number in E.164 form. Does not print itself in debug output, so that logs have no numbers by
/// accident.
#[derive(Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Phone(String);

impl Phone {
    /// Reads a number in international form, of at most 64 bytes.
    pub fn parse(text: &str) -> Result<Self, &'static str> {
        const FORM: &str = "must be a phone number in international form, such as +49 30 901820";
        if text.len() > LONGEST {
            return Err("must have at most 64 bytes");
        }
        let text: String = text.nfkc().collect();
        let rest = text.trim().strip_prefix('+').ok_or(FORM)?;
        let fits = |c: char| c.is_ascii_digit() || SEPARATORS.contains(&c);
        let digits: String = rest.chars().filter(char::is_ascii_digit).collect();
        if !rest.chars().all(fits) || !(4..=MOST_DIGITS).contains(&digits.len()) {
            return Err(FORM);
        }
        let number = phonenumber::parse(None, format!("+{digits}")).map_err(|_| FORM)?;
        if !number.is_valid() {
            return Err("must be a phone number that exists in its country's numbering plan");
        }
        Ok(Self(number.format().mode(Mode::E164).to_string()))
    }

    /// The number in E.164 form: `+` and at most 15 digits.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// A number that was stored in E.164 form.
    pub fn stored(number: String) -> Self {
        Self(number)
    }

    /// The digits by which it is dialled within its country; empty where they are not known.
    pub fn national_digits(&self) -> String {
        let Ok(number) = phonenumber::parse(None, &self.0) else { return String::new() };
        let national = number.format().mode(Mode::National).to_string();
        national.chars().filter(char::is_ascii_digit).collect()
    }
}

impl fmt::Debug for Phone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Phone(…)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spellings_of_one_number_are_one() {
        for (spelling, normal, national) in [
            ("+493012345678", "+493012345678", "03012345678"),
            (" +49 30 1234 56-78 ", "+493012345678", "03012345678"),
            ("+49 (0)30/12345678", "+493012345678", "03012345678"),
            ("＋４９ ３０ １２３４５６７８", "+493012345678", "03012345678"),
            ("+49 30\u{a0}12345678", "+493012345678", "03012345678"),
            ("+1 (201) 555-0123", "+12015550123", "2015550123"),
            ("+44 20 7946 0018", "+442079460018", "02079460018"),
            // In Italy the zero belongs to the number.
            ("+39 06 69812345", "+390669812345", "0669812345"),
            ("+33 1 42 68 53 00", "+33142685300", "0142685300"),
        ] {
            let phone = Phone::parse(spelling).unwrap_or_else(|told| panic!("{spelling}: {told}"));
            assert_eq!(
                (phone.as_str(), &*phone.national_digits()),
                (normal, national),
                "{spelling}"
            );
            assert_eq!(Phone::parse(normal), Ok(phone));
        }
    }

    #[test]
    fn what_is_no_number_is_refused() {
        for odd in [
            "",
            " ",
            "+",
            "+49",
            "030 12345678",
            "0049 30 12345678",
            "+49 30 12345678 ext. 5",
            "+49 30 12345678#5",
            "tel:+493012345678",
            "+49 30 1234567a",
            "++493012345678",
            "+49+3012345678",
            "+49 30 12345678\n+49 30 12345679",
            "+999 123456789",
            "+1 201 555 012",
            "+1 201 555 01234",
            "+1 000 000 0000",
            "+٤٩٣٠١٢٣٤٥٦٧٨",
            "+493012345678;ext=1",
        ] {
            assert!(Phone::parse(odd).is_err(), "{odd:?}");
        }
        assert!(Phone::parse(&format!("+49{}", " ".repeat(100))).is_err());
        assert!(Phone::parse(&format!("+{}", "4".repeat(60))).is_err());
    }

    #[test]
    fn it_does_not_print_itself() {
        let phone = Phone::parse("+493012345678").unwrap();
        assert_eq!(format!("{phone:?}"), "Phone(…)");
    }
}
