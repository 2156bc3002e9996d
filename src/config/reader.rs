//! Takes single values out of the merged settings, remembering what was taken and what was wrong.

use std::collections::BTreeMap;
use std::fmt::{Debug, Display};
use std::io::Read as _;
use std::net::{Ipv4Addr, SocketAddr};
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};

use secrecy::SecretString;
use toml::{Table, Value};

use super::layers::{Setting, Settings, file_form};
use super::{Origin, Origins, Problem, Profile};

/// More than any URL or key; a wrong path should not fill the memory.
const LARGEST_SECRET_BYTES: u64 = 65_536;

/// Reads settings one by one. A value that is not valid becomes a problem and, so that reading
/// goes on, a placeholder.
pub(super) struct SettingsReader<'a> {
    settings: &'a Settings,
    origins: BTreeMap<String, Origin>,
    /// Numbers that were in their range, for comparing them with one another.
    numbers: BTreeMap<&'static str, i64>,
    problems: Vec<Problem>,
}

impl<'a> SettingsReader<'a> {
    pub(super) fn new(settings: &'a Settings) -> Self {
        let (origins, numbers) = (BTreeMap::new(), BTreeMap::new());
        Self { settings, origins, numbers, problems: Vec::new() }
    }

    /// The origin of everything that was read, and everything that was wrong.
    pub(super) fn finish(self) -> (Origins, Vec<Problem>) {
        (Origins(self.origins), self.problems)
    }

    /// Notes a problem with a setting that was read.
    pub(super) fn problem(&mut self, key: &str, fault: impl Into<String>, remedy: &str) {
        let origin = self.origins.get(key).unwrap_or(&Origin::Default);
        self.problems.push(Problem::new(key, origin, fault, remedy));
    }

    fn take(&mut self, key: &str) -> Option<&'a Setting> {
        let setting = self.settings.get(key)?;
        self.origins.insert(key.to_owned(), setting.origin.clone());
        Some(setting)
    }

    /// Takes a value out with `convert`, or notes what would be valid.
    fn convert<T>(
        &mut self,
        key: &str,
        remedy: &str,
        convert: impl FnOnce(&Setting) -> Option<T>,
    ) -> Option<T> {
        let Some(setting) = self.take(key) else {
            // Only a key that default.toml lacks, or whose only value was refused before.
            self.problem(key, "has no value", remedy);
            return None;
        };
        let value = convert(setting);
        if value.is_none() {
            let shown = match &setting.value {
                Value::String(text) => shown(text),
                value => shortened(&value.to_string()),
            };
            self.problem(key, format!("{shown} is not valid"), remedy);
        }
        value
    }

    /// A whole number in a range.
    pub(super) fn number<T>(&mut self, key: &'static str, range: RangeInclusive<T>) -> T
    where
        T: TryFrom<i64> + PartialOrd + Display + Copy,
    {
        let remedy = format!("give a whole number from {} to {}", range.start(), range.end());
        let number = self.convert(key, &remedy, |setting| {
            let number = match &setting.value {
                Value::Integer(number) => *number,
                Value::String(text) if setting.is_text() => text.trim().parse().ok()?,
                _ => return None,
            };
            let typed = T::try_from(number).ok().filter(|typed| range.contains(typed))?;
            Some((number, typed))
        });
        match number {
            Some((number, typed)) => {
                self.numbers.insert(key, number);
                typed
            }
            None => *range.start(),
        }
    }

    /// Notes a problem when the first of two numbers is above the second.
    pub(super) fn not_above(&mut self, low: &'static str, high: &'static str) {
        if let (Some(&lower), Some(&higher)) = (self.numbers.get(low), self.numbers.get(high))
            && lower > higher
        {
            let origin = self.origins.get(high).unwrap_or(&Origin::Default);
            let fault = format!("{lower} is above {high}, which is {higher} ({origin})");
            self.problem(low, fault, &format!("lower {low} or raise {high}"));
        }
    }

    /// Yes or no.
    pub(super) fn switch(&mut self, key: &str) -> bool {
        let value = self.convert(key, "give true or false", |setting| match &setting.value {
            Value::Boolean(value) => Some(*value),
            Value::String(text) if setting.is_text() => text.trim().parse().ok(),
            _ => None,
        });
        value.unwrap_or_default()
    }

    /// Yes or no; where nobody gives it, no in production whatever the embedded default is.
    pub(super) fn switch_off_in_production(&mut self, key: &str, profile: Profile) -> bool {
        let value = self.switch(key);
        if profile == Profile::Production && self.origins.get(key) == Some(&Origin::Default) {
            self.origins.insert(key.to_owned(), Origin::Production);
            return false;
        }
        value
    }

    /// One of a few names.
    pub(super) fn choice<T: Copy>(
        &mut self,
        key: &str,
        placeholder: T,
        all: &[T],
        name: impl Fn(T) -> &'static str,
    ) -> T {
        let names: Vec<_> = all.iter().map(|&it| format!("{:?}", name(it))).collect();
        let value = self.convert(key, &format!("give {}", names.join(" or ")), |setting| {
            let text = setting.value.as_str()?;
            all.iter().copied().find(|&it| name(it) == text)
        });
        value.unwrap_or(placeholder)
    }

    /// A text that is not blank and has no control characters.
    pub(super) fn name(&mut self, key: &str, longest: usize) -> String {
        let remedy = format!("give a text of 1 to {longest} characters on one line");
        let value = self.convert(key, &remedy, |setting| {
            let text = setting.value.as_str()?.trim();
            let length = text.chars().count();
            let fits = (1..=longest).contains(&length) && !text.contains(char::is_control);
            fits.then(|| text.to_owned())
        });
        value.unwrap_or_default()
    }

    /// An address with a port.
    pub(super) fn socket_address(&mut self, key: &str) -> SocketAddr {
        let remedy = "give an IP address and a port, such as \"127.0.0.1:50051\" or \"[::]:50051\"";
        let value =
            self.convert(key, remedy, |setting| setting.value.as_str()?.trim().parse().ok());
        value.unwrap_or(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)))
    }

    /// An address with a port, or nothing where the text is empty.
    pub(super) fn optional_socket_address(&mut self, key: &str) -> Option<SocketAddr> {
        let remedy = "give an IP address and a port, such as \"0.0.0.0:50052\", or nothing";
        let value = self.convert(key, remedy, |setting| match setting.value.as_str()?.trim() {
            "" => Some(None),
            text => Some(Some(text.parse().ok()?)),
        });
        value.flatten()
    }

    /// A path, or nothing where the text is empty.
    pub(super) fn optional_path(&mut self, key: &str) -> Option<PathBuf> {
        let value = self.convert(key, "give the path of a file, or nothing", |setting| {
            let text = setting.value.as_str()?;
            Some((!text.is_empty()).then(|| PathBuf::from(text)))
        });
        value.flatten()
    }

    /// A text on one line, or nothing where it is empty.
    pub(super) fn optional_text(&mut self, key: &str, longest: usize) -> Option<String> {
        let remedy = format!("give a text of at most {longest} characters on one line, or nothing");
        let value = self.convert(key, &remedy, |setting| {
            let text = setting.value.as_str()?.trim();
            let fits = text.chars().count() <= longest && !text.contains(char::is_control);
            fits.then(|| (!text.is_empty()).then(|| text.to_owned()))
        });
        value.flatten()
    }

    /// A list of texts: a TOML array, or in bare text the parts between commas.
    pub(super) fn list(&mut self, key: &str) -> Vec<String> {
        let value = self.convert(key, "give a list of texts", |setting| match &setting.value {
            Value::Array(items) => texts(items),
            Value::String(text) if setting.is_text() && text.trim_start().starts_with('[') => {
                let table: Table = toml::from_str(&format!("list = {}", text.trim())).ok()?;
                texts(table.get("list")?.as_array()?)
            }
            Value::String(text) if setting.is_text() => {
                let parts = text.split(',').map(str::trim).filter(|part| !part.is_empty());
                Some(parts.map(str::to_owned).collect())
            }
            _ => None,
        });
        value.unwrap_or_default()
    }

    /// Whether a secret was given as a path.
    pub(super) fn is_path_form(&self, secret: &str) -> bool {
        self.settings.contains_key(&file_form(secret))
    }

    /// The path of a secret that was given as a path.
    pub(super) fn path(&mut self, secret: &str) -> Option<PathBuf> {
        self.convert(&file_form(secret), "give the path of a file", |setting| {
            setting.value.as_str().filter(|text| !text.is_empty()).map(PathBuf::from)
        })
    }

    /// A secret in either form, or the empty text where there is none.
    pub(super) fn optional_secret(&mut self, key: &str) -> SecretString {
        if !self.is_path_form(key) {
            match self.take(key).map(|setting| setting.value.as_str()) {
                Some(Some(text)) => return SecretString::from(text),
                _ => self.problem(key, "is not a text", "give a text, or nothing"),
            }
            return SecretString::from("");
        }
        let found = self.secret(key, "give a text, or nothing");
        found.map_or_else(|| SecretString::from(""), |(_, secret)| secret)
    }

    /// A secret in either form, not empty, with the name it was given under. Problems do not show
    /// its value.
    pub(super) fn secret(&mut self, key: &str, remedy: &str) -> Option<(String, SecretString)> {
        if self.is_path_form(key) {
            let path = self.path(key)?;
            let key = file_form(key);
            return match secret_file(&path) {
                Ok(secret) => Some((key, SecretString::from(secret))),
                Err(fault) => {
                    let remedy = "name a readable file that holds the secret and nothing else";
                    self.problem(&key, format!("{} {fault}", path.display()), remedy);
                    None
                }
            };
        }
        // Not through `convert`, which shows the value.
        let text = self.take(key).and_then(|setting| setting.value.as_str());
        match text {
            Some(text) if !text.is_empty() => Some((key.to_owned(), SecretString::from(text))),
            Some(_) => {
                self.problem(key, "is empty", remedy);
                None
            }
            None => {
                self.problem(key, "is not a text", remedy);
                None
            }
        }
    }
}

fn texts(items: &[Value]) -> Option<Vec<String>> {
    items.iter().map(|item| item.as_str().map(str::to_owned)).collect()
}

/// The text of a secret's file without the line end that editors leave.
fn secret_file(path: &Path) -> Result<String, String> {
    let mut text = String::new();
    let read = std::fs::File::open(path)
        .and_then(|file| file.take(LARGEST_SECRET_BYTES + 1).read_to_string(&mut text));
    match read {
        Err(error) => return Err(format!("cannot be read: {error}")),
        Ok(length) if length as u64 > LARGEST_SECRET_BYTES => {
            return Err(format!("has more than {LARGEST_SECRET_BYTES} bytes"));
        }
        Ok(_) => {}
    }
    let trimmed = text.strip_suffix('\n').unwrap_or(&text);
    let trimmed = trimmed.strip_suffix('\r').unwrap_or(trimmed);
    if trimmed.is_empty() { Err("is empty".to_owned()) } else { Ok(trimmed.to_owned()) }
}

/// A value for a message: in quotes, on one line, not too long.
pub(super) fn shown(text: impl Debug) -> String {
    shortened(&format!("{text:?}"))
}

fn shortened(text: &str) -> String {
    const LONGEST: usize = 60;
    match text.char_indices().nth(LONGEST) {
        Some((end, _)) => format!("{}…", text.get(..end).unwrap_or_default()),
        None => text.to_owned(),
    }
}
