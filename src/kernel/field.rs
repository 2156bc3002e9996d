//! Reasons of single fields: why a field is refused, for programs. People read the description.

/// Why a field is refused: the values of `daybook.auth.v1.FieldReason`, without the enum's name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum FieldReason {
    /// It is not set and must be.
    Required,
    /// It is set and must not be, here or together with another field.
    NotAllowed,
    /// It is not of the form that it must have.
    Malformed,
    /// It is none of the values that there are.
    UnknownValue,
    /// It is too small, too large, too early or too late.
    OutOfRange,
    /// It has too few or too many characters or bytes.
    WrongLength,
    /// It has characters that are not allowed.
    InvalidCharacters,
    /// It has too few or too many entries.
    WrongCount,
    /// The same is there already.
    Duplicate,
    /// It overlaps another entry.
    Overlapping,
    /// It is easily guessed.
    TooWeak,
    /// Another rule is against it.
    Invalid,
}

impl FieldReason {
    /// All of them.
    pub const ALL: [Self; 12] = [
        Self::Required,
        Self::NotAllowed,
        Self::Malformed,
        Self::UnknownValue,
        Self::OutOfRange,
        Self::WrongLength,
        Self::InvalidCharacters,
        Self::WrongCount,
        Self::Duplicate,
        Self::Overlapping,
        Self::TooWeak,
        Self::Invalid,
    ];

    /// The name on the wire.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Required => "REQUIRED",
            Self::NotAllowed => "NOT_ALLOWED",
            Self::Malformed => "MALFORMED",
            Self::UnknownValue => "UNKNOWN_VALUE",
            Self::OutOfRange => "OUT_OF_RANGE",
            Self::WrongLength => "WRONG_LENGTH",
            Self::InvalidCharacters => "INVALID_CHARACTERS",
            Self::WrongCount => "WRONG_COUNT",
            Self::Duplicate => "DUPLICATE",
            Self::Overlapping => "OVERLAPPING",
            Self::TooWeak => "TOO_WEAK",
            Self::Invalid => "INVALID",
        }
    }

    /// The reason that a description tells. Descriptions say what would be valid, and begin with one of the
    /// phrases of this table, of which the first that fits counts.
    pub fn of(description: &str) -> Self {
        let fits = |(phrase, _): &&(&str, Self)| match phrase.strip_prefix("… ") {
            Some(within) => description.contains(within),
            None => description.starts_with(phrase),
        };
        PHRASES.iter().find(fits).map_or(Self::Invalid, |(_, reason)| *reason)
    }
}

/// How descriptions begin, or after `…` what stands in them.
const PHRASES: &[(&str, FieldReason)] = &[
    ("must be set", FieldReason::Required),
    ("must set ", FieldReason::Required),
    ("must not be empty", FieldReason::Required),
    ("must name at least one", FieldReason::Required),
    ("must have one to the question", FieldReason::Required),
    ("must have one of at most", FieldReason::OutOfRange),
    ("must have a text_value", FieldReason::Required),
    ("must have a number_value", FieldReason::Required),
    ("must have a choice_value", FieldReason::Required),
    ("must have a yes_no_value", FieldReason::Required),
    ("must be empty", FieldReason::NotAllowed),
    ("must be absent", FieldReason::NotAllowed),
    ("must be left out", FieldReason::NotAllowed),
    ("cannot be changed", FieldReason::NotAllowed),
    ("must not be there twice", FieldReason::Duplicate),
    ("must not be answered twice", FieldReason::Duplicate),
    ("must not be the date of", FieldReason::Duplicate),
    ("must not be the id of another", FieldReason::Duplicate),
    ("must not belong to an account", FieldReason::Duplicate),
    ("must not have been used", FieldReason::Duplicate),
    ("must differ from", FieldReason::Duplicate),
    ("must not overlap", FieldReason::Overlapping),
    ("must be harder to guess", FieldReason::TooWeak),
    ("must not contain", FieldReason::InvalidCharacters),
    ("must not have control", FieldReason::InvalidCharacters),
    ("must be one line", FieldReason::InvalidCharacters),
    ("must name only", FieldReason::UnknownValue),
    ("must be one of", FieldReason::UnknownValue),
    ("must be a question of", FieldReason::UnknownValue),
    ("must be ROLE_", FieldReason::UnknownValue),
    ("must be KIND_", FieldReason::UnknownValue),
    ("must be VISIBILITY_", FieldReason::UnknownValue),
    ("must be MONDAY", FieldReason::UnknownValue),
    ("must be an IANA", FieldReason::UnknownValue),
    ("must be a service or a method", FieldReason::UnknownValue),
    ("must have a ", FieldReason::Malformed),
    ("… UUID", FieldReason::Malformed),
    ("… /{", FieldReason::Malformed),
    ("… characters", FieldReason::WrongLength),
    ("… bytes", FieldReason::WrongLength),
    ("must be 1 to 40 of", FieldReason::Malformed),
    ("… of a to z", FieldReason::Malformed),
    ("must have at most", FieldReason::WrongCount),
    ("must be in whole seconds", FieldReason::Malformed),
    ("must be in the years", FieldReason::OutOfRange),
    ("must be a date with", FieldReason::OutOfRange),
    ("must be a time", FieldReason::OutOfRange),
    ("… minutes", FieldReason::OutOfRange),
    ("… seconds", FieldReason::OutOfRange),
    ("must be 1 to", FieldReason::OutOfRange),
    ("must be 0 to", FieldReason::OutOfRange),
    ("must be at most", FieldReason::OutOfRange),
    ("must be less than", FieldReason::OutOfRange),
    ("must be shorter than", FieldReason::OutOfRange),
    ("must be later than", FieldReason::OutOfRange),
    ("must be after", FieldReason::OutOfRange),
    ("must end after", FieldReason::OutOfRange),
    ("must not be before", FieldReason::OutOfRange),
    ("must not end before", FieldReason::OutOfRange),
    ("must not be ", FieldReason::OutOfRange),
    ("must not lie ahead", FieldReason::OutOfRange),
    ("must leave the end", FieldReason::OutOfRange),
    ("must be a", FieldReason::Malformed),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn descriptions_tell_their_reasons() {
        for (description, reason) in [
            ("must be set", FieldReason::Required),
            ("must be empty; the answer has the new name", FieldReason::NotAllowed),
            ("must be absent without an appointment type", FieldReason::NotAllowed),
            ("must have at most 100 characters", FieldReason::WrongLength),
            ("must have 8 to 256 characters", FieldReason::WrongLength),
            ("must have at most 50 entries", FieldReason::WrongCount),
            ("must not contain control or invisible characters", FieldReason::InvalidCharacters),
            ("must be 5 minutes to 24 hours in whole minutes", FieldReason::OutOfRange),
            ("must be 1 to 15 minutes in whole seconds", FieldReason::OutOfRange),
            ("must not be longer than longest_booking", FieldReason::OutOfRange),
            ("must not be negative", FieldReason::OutOfRange),
            ("must be in the years 1970 to 2199", FieldReason::OutOfRange),
            ("must differ from durations[2]", FieldReason::Duplicate),
            ("must not overlap stays[0]", FieldReason::Overlapping),
            ("must be harder to guess: use more words", FieldReason::TooWeak),
            ("must be ROLE_CUSTOMER or ROLE_PROVIDER", FieldReason::UnknownValue),
            ("must be an address such as ada@example.org", FieldReason::Malformed),
            ("must be a UUID", FieldReason::Malformed),
            ("must be users/{user} with a UUID in lower case", FieldReason::Malformed),
            ("must have a local part with at most 64 characters", FieldReason::Malformed),
            ("must be the owner of the appointment type", FieldReason::Invalid),
        ] {
            assert_eq!(FieldReason::of(description), reason, "{description}");
        }
    }
}
