//! Rules for text that people type: names, notes, reasons.

/// Checks one line of text: `1..=longest` characters, no control or invisible characters, at least
/// one letter or digit.
/// Returned without blanks at its ends.
pub fn line(text: &str, longest: usize) -> Result<String, String> {
    let text = text.trim();
    if text.is_empty() {
        return Err("must not be empty".to_owned());
    }
    if text.chars().any(|c| c.is_control() || is_unseen(c)) {
        return Err("must not contain control or invisible characters".to_owned());
    }
    if !text.chars().any(char::is_alphanumeric) {
        return Err("must have a letter or a digit".to_owned());
    }
    if text.chars().count() > longest {
        return Err(format!("must have at most {longest} characters"));
    }
    Ok(text.to_owned())
}

/// Checks text that may be empty and have several lines: at most `longest` characters, no control
/// characters but line ends and tabs. Kept as it was typed.
pub fn lines(text: &str, longest: usize) -> Result<String, String> {
    if text.chars().any(|c| c.is_control() && !matches!(c, '\n' | '\r' | '\t')) {
        return Err("must not contain control characters other than line ends and tabs".to_owned());
    }
    if text.chars().count() > longest {
        return Err(format!("must have at most {longest} characters"));
    }
    Ok(text.to_owned())
}

/// Checks text that says something: like [`lines`], and not blank.
pub fn filled(text: &str, longest: usize) -> Result<String, String> {
    if text.chars().all(|c| c.is_whitespace() || is_unseen(c)) {
        return Err("must not be empty".to_owned());
    }
    lines(text, longest)
}

/// Characters that change how neighbouring text is shown, or take no room: with them one name can
/// be made to look like another.
pub fn is_unseen(c: char) -> bool {
    matches!(c,
        '\u{00AD}' | '\u{061C}' | '\u{180E}' | '\u{200B}' | '\u{200E}'..='\u{200F}'
        | '\u{115F}'..='\u{1160}' | '\u{2028}'..='\u{202E}' | '\u{2060}'..='\u{206F}' | '\u{2800}'
        | '\u{3164}' | '\u{FFA0}' | '\u{E0000}'..='\u{E007F}' | '\u{FEFF}' | '\u{FFF9}'..='\u{FFFB}')
}

/// Bytes as hexadecimal digits, in lower case, two a byte.
pub fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    bytes.iter().fold(String::new(), |mut text, byte| {
        // A text takes whatever is written to it.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_and_line_keep_their_rules() {
        assert_eq!(line("  Dr. Ada  ", 100).unwrap(), "Dr. Ada");
        assert!(line(" ", 100).is_err());
        assert!(line("a\nb", 100).is_err());
        assert!(line("a\u{202E}b", 100).is_err());
        assert!(line(&"é".repeat(101), 100).is_err());
        assert!(line(&"é".repeat(100), 100).is_ok());
        assert!(lines("", 10).is_ok());
        assert!(lines("a\nb\tc", 10).is_ok());
        assert!(lines("a\0b", 10).is_err());
        assert!(lines("12345678901", 10).is_err());
        assert_eq!(filled(" a\n", 10).unwrap(), " a\n");
        for blank in ["", " \t\n", "\u{200B}\u{3164}"] {
            assert!(filled(blank, 10).is_err(), "{blank:?}");
        }
    }
}
