//! What is wrong with the settings, said so that it can be put right.

use std::fmt;

use super::{Origin, Origins};

/// One thing that is wrong with one setting.
///
/// Holds no secret: values of secret settings are never put into it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// The setting as the operator wrote it: `server.listen`, or `DAYBOOK_SERVR_LISTEN`.
    pub name: String,
    /// Where it was given: `file daybook.toml`, `environment DAYBOOK_SERVER_LISTEN`.
    pub origin: String,
    /// What is wrong, as the rest of a sentence: `"x" is not valid`.
    pub fault: String,
    /// What to do instead: `give a whole number from 1 to 64`.
    pub remedy: String,
}

impl Problem {
    pub(super) fn new(
        name: impl Into<String>,
        origin: impl fmt::Display,
        fault: impl Into<String>,
        remedy: impl Into<String>,
    ) -> Self {
        Self {
            name: name.into(),
            origin: origin.to_string(),
            fault: fault.into(),
            remedy: remedy.into(),
        }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { name, origin, fault, remedy } = self;
        write!(f, "{name} ({origin}): {fault}; {remedy}")
    }
}

/// A setting that is valid by itself, but what it names cannot be used: a file, a mail server. Holds no secret.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{key}: {fault}; {remedy}")]
pub struct Unusable {
    /// The setting: `mail.smtp_ca_file`.
    pub key: &'static str,
    /// What is wrong, as the rest of a sentence.
    pub fault: String,
    /// What to do instead.
    pub remedy: String,
}

impl Unusable {
    /// With these words.
    pub fn new(key: &'static str, fault: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self { key, fault: fault.into(), remedy: remedy.into() }
    }

    /// The same with where the setting was given.
    pub fn problem(&self, origins: &Origins) -> Problem {
        let origin = origins.get(self.key).unwrap_or(&Origin::Default);
        Problem::new(self.key, origin, &self.fault, &self.remedy)
    }
}

/// Everything that is wrong with the settings, never empty. `Display` has one line for each.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problems(Vec<Problem>);

impl Problems {
    /// `Ok` when there is no problem.
    pub fn into_result(problems: Vec<Problem>) -> Result<(), Self> {
        if problems.is_empty() { Ok(()) } else { Err(Self(problems)) }
    }

    /// The problems, in the order of the layers and settings.
    pub fn iter(&self) -> impl Iterator<Item = &Problem> {
        self.0.iter()
    }
}

impl From<Problem> for Problems {
    fn from(problem: Problem) -> Self {
        Self(vec![problem])
    }
}

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.as_slice() {
            [only] => write!(f, "the configuration is not valid: {only}"),
            all => {
                write!(f, "the configuration has {} problems:", all.len())?;
                all.iter().try_for_each(|problem| write!(f, "\n  {problem}"))
            }
        }
    }
}

impl std::error::Error for Problems {}
