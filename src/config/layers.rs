//! From four layers to one value for each setting, with its origin.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::fmt;
use std::io::ErrorKind;
use std::path::Path;

use toml::{Table, Value};

use super::{DEFAULTS, Problem, Problems};

/// Settings that can also be given as the path of a file, under the name with `_file`.
pub(super) const SECRETS: [&str; 3] = ["database.url", "auth.master_key", "mail.smtp_url"];

/// Settings that there were once, and what takes their place.
const REMOVED: [(&str, &str); 2] =
    [("auth.signing_key", OWN_KEYS), ("auth.signing_key_file", OWN_KEYS)];
const OWN_KEYS: &str = "Daybook makes its signing keys itself and keeps them in the database, sealed \
     with the master key: remove this, and give auth.master_key_file (openssl rand -base64 32); log-ins \
     go on with their refresh tokens";

const PREFIX: &str = "DAYBOOK_";
/// The file that is read when none is named and it exists.
const USUAL_FILE: &str = "daybook.toml";

/// What is laid over the defaults, from the lowest layer to the highest. The default has nothing.
#[derive(Debug, Default)]
pub struct Sources {
    /// The settings file.
    pub file: Option<SettingsFile>,
    /// Environment variables; those without the prefix `DAYBOOK_` are passed over.
    pub environment: Vec<(OsString, OsString)>,
    /// Settings from the command line.
    pub flags: Vec<Flag>,
}

/// A settings file that was read.
pub struct SettingsFile {
    /// The path as the operator wrote it.
    pub name: String,
    /// The text, TOML.
    pub text: String,
}

/// A setting from the command line.
#[derive(Clone)]
pub struct Flag {
    /// The flag as typed, for messages: `--listen`, `--set server.listen`.
    pub name: String,
    /// The setting: `server.listen`.
    pub key: String,
    /// The value as typed.
    pub value: String,
}

// Both can hold a secret in their text, so `Debug` tells their names only.
impl fmt::Debug for SettingsFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SettingsFile").field("name", &self.name).finish_non_exhaustive()
    }
}

impl fmt::Debug for Flag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Flag").field("name", &self.name).finish_non_exhaustive()
    }
}

impl SettingsFile {
    /// Reads the file named, or `daybook.toml` in the working directory if it exists.
    pub fn find(named: Option<&Path>) -> Result<Option<Self>, Problems> {
        let path = named.unwrap_or(Path::new(USUAL_FILE));
        let name = path.display().to_string();
        match std::fs::read_to_string(path) {
            Ok(text) => Ok(Some(Self { name, text })),
            Err(error) if named.is_none() && error.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) => {
                let (origin, fault) = ("settings file", format!("cannot be read: {error}"));
                Err(Problem::new(name, origin, fault, "name a readable file with --config").into())
            }
        }
    }
}

/// Where a value comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// The embedded defaults.
    Default,
    /// What takes the place of an embedded default in production.
    Production,
    /// The settings file of this name.
    File(String),
    /// The environment variable of this name.
    Environment(String),
    /// The flag of this name.
    Flag(String),
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::Production => f.write_str("default of production"),
            Self::File(name) => write!(f, "file {name}"),
            Self::Environment(name) => write!(f, "environment {name}"),
            Self::Flag(name) => write!(f, "flag {name}"),
        }
    }
}

/// Where each value comes from, by the setting's name. A secret given in its `_file` form stands
/// under the name that gave it: `database.url_file`.
#[derive(Debug, Clone, Default)]
pub struct Origins(pub(super) BTreeMap<String, Origin>);

impl Origins {
    /// The origin of a setting; `None` for a name that gave no value.
    pub fn get(&self, key: &str) -> Option<&Origin> {
        self.0.get(key)
    }
}

/// A value before its type is known, with its origin.
#[derive(Clone)]
pub(super) struct Setting {
    pub(super) value: Value,
    pub(super) origin: Origin,
}

impl Setting {
    /// Whether the value was typed as bare text, so that numbers and lists are still to be read
    /// out of it.
    pub(super) fn is_text(&self) -> bool {
        matches!(self.origin, Origin::Environment(_) | Origin::Flag(_))
    }
}

/// All settings by name.
pub(super) type Settings = BTreeMap<String, Setting>;

/// One layer: what was found, by setting, as often as it was given.
type Layer = Vec<(String, Setting)>;

/// The environment variable of a setting: `server.listen` → `DAYBOOK_SERVER_LISTEN`.
pub(super) fn environment_name(key: &str) -> String {
    format!("{PREFIX}{}", key.replace('.', "_").to_ascii_uppercase())
}

/// Lays all layers over one another, and tells what is wrong with the names.
pub(super) fn merge(sources: Sources) -> (Settings, Vec<Problem>) {
    let mut problems = Vec::new();
    let defaults = from_toml(DEFAULTS, &Origin::Default, &mut problems);
    let names = Names::of(&defaults);
    let file = sources.file.map_or_else(Layer::new, |file| {
        names.known_in_file(
            from_toml(&file.text, &Origin::File(file.name), &mut problems),
            &mut problems,
        )
    });
    let environment = names.read_environment(sources.environment, &mut problems);
    let flags = names.read_flags(sources.flags, &mut problems);

    let mut settings = Settings::new();
    for layer in [defaults, file, environment, flags] {
        lay_over(&mut settings, layer, &mut problems);
    }
    (settings, problems)
}

/// Puts one layer over those before it. Both forms of a secret count as the same setting.
fn lay_over(settings: &mut Settings, layer: Layer, problems: &mut Vec<Problem>) {
    let mut given: BTreeMap<String, (String, Origin)> = BTreeMap::new();
    for (key, setting) in layer {
        let base = base_of(&key).to_owned();
        if let Some((before, origin)) = given.get(&base) {
            let fault = if *before == key {
                format!("is given twice, also by {origin}")
            } else {
                format!("is given together with {before} ({origin})")
            };
            problems.push(Problem::new(key, &setting.origin, fault, "give one of the two"));
            continue;
        }
        given.insert(base.clone(), (key.clone(), setting.origin.clone()));
        settings.remove(&file_form(&base));
        settings.remove(&base);
        settings.insert(key, setting);
    }
}

/// The setting that a name stands for: a secret's `_file` form stands for the secret.
fn base_of(key: &str) -> &str {
    key.strip_suffix("_file").filter(|base| SECRETS.contains(base)).unwrap_or(key)
}

/// The name under which a secret is given as a path.
pub(super) fn file_form(secret: &str) -> String {
    format!("{secret}_file")
}

/// The names there are.
struct Names {
    keys: BTreeSet<String>,
}

impl Names {
    fn of(defaults: &Layer) -> Self {
        let secrets = SECRETS.iter().flat_map(|&name| [name.to_owned(), file_form(name)]);
        Self { keys: defaults.iter().map(|(key, _)| key.clone()).chain(secrets).collect() }
    }

    fn known_in_file(&self, layer: Layer, problems: &mut Vec<Problem>) -> Layer {
        let mut known = Layer::new();
        for (key, setting) in layer {
            if self.keys.contains(&key) {
                known.push((key, setting));
            } else if self.is_section(&key) {
                // An empty section says nothing; anything else in its place is a mistake.
                if setting.value.as_table().is_none() {
                    let (fault, remedy) = ("is a section, not a setting", format!("write [{key}]"));
                    problems.push(Problem::new(key, &setting.origin, fault, remedy));
                }
            } else if setting.value.is_table() {
                let sections: BTreeSet<_> =
                    self.keys.iter().filter_map(|key| Some(key.split_once('.')?.0)).collect();
                let nearest = sections.iter().filter_map(|it| Some((near(&key, it)?, *it))).min();
                let remedy = if let Some((_, section)) = nearest {
                    format!("the nearest one is [{section}]")
                } else {
                    let all: Vec<_> = sections.iter().map(|it| format!("[{it}]")).collect();
                    format!("there are {}", all.join(", "))
                };
                problems.push(Problem::new(key, &setting.origin, "is not a section", remedy));
            } else {
                problems.push(self.unknown(&key, &setting.origin));
            }
        }
        known
    }

    fn is_section(&self, name: &str) -> bool {
        self.keys.iter().any(|key| key.split_once('.').is_some_and(|(section, _)| section == name))
    }

    fn read_environment(
        &self,
        variables: Vec<(OsString, OsString)>,
        problems: &mut Vec<Problem>,
    ) -> Layer {
        let keys: BTreeMap<_, _> =
            self.keys.iter().map(|key| (environment_name(key), key)).collect();
        let mut layer = Layer::new();
        for (name, value) in variables {
            let name = name.to_string_lossy().into_owned();
            if !name.starts_with(PREFIX) || is_service_link(&name, &value.to_string_lossy()) {
                continue;
            }
            let Some(&key) = keys.get(&name) else {
                if let Some(problem) = removed(&name, environment_name, "environment") {
                    problems.push(problem);
                    continue;
                }
                let wanted = name.trim_start_matches(PREFIX).to_ascii_lowercase();
                let remedy = self.nearest(&wanted, environment_name);
                problems.push(Problem::new(name, "environment", "is not a setting", remedy));
                continue;
            };
            let origin = Origin::Environment(name);
            match value.into_string() {
                Ok(text) => {
                    layer.push((key.clone(), Setting { value: Value::String(text), origin }));
                }
                Err(_) => problems.push(Problem::new(
                    key,
                    origin,
                    "is not valid Unicode",
                    "give the value in UTF-8",
                )),
            }
        }
        layer
    }

    fn read_flags(&self, flags: Vec<Flag>, problems: &mut Vec<Problem>) -> Layer {
        let mut layer = Layer::new();
        for Flag { name, key, value } in flags {
            let origin = Origin::Flag(name);
            if self.keys.contains(&key) {
                layer.push((key, Setting { value: Value::String(value), origin }));
            } else {
                problems.push(self.unknown(&key, &origin));
            }
        }
        layer
    }

    fn unknown(&self, key: &str, origin: &Origin) -> Problem {
        if let Some(problem) = removed(key, str::to_owned, origin) {
            return problem;
        }
        Problem::new(key, origin, "is not a setting", self.nearest(key, str::to_owned))
    }

    /// Names the setting with the fewest edits from `wanted`, in the spelling of the layer. A
    /// right name in a wrong section is near too.
    fn nearest(&self, wanted: &str, spelling: impl Fn(&str) -> String) -> String {
        let last = |name: &str| name.rsplit('.').next().unwrap_or_default().to_owned();
        let plain = |name: &str| name.replace('.', "_");
        let distance = |key: &String| {
            let whole = near(&plain(wanted), &plain(key));
            let in_another_section = near(&last(wanted), &last(key)).map(|edits| edits + 1);
            [whole, in_another_section].into_iter().flatten().min()
        };
        let near = self.keys.iter().filter_map(|key| Some((distance(key)?, key)));
        match near.min_by_key(|(edits, _)| *edits) {
            Some((_, key)) => format!("the nearest one is {}", spelling(key)),
            None => "remove it; `daybook config print` shows all settings".to_owned(),
        }
    }
}

/// What to say about a setting that there was once, in the spelling of its layer.
fn removed(
    name: &str,
    spelling: impl Fn(&str) -> String,
    origin: impl fmt::Display,
) -> Option<Problem> {
    let found = REMOVED.iter().find(|(key, _)| spelling(key) == name);
    found.map(|(_, remedy)| Problem::new(name, origin, "is no longer a setting", *remedy))
}

/// Whether Kubernetes (or Docker's links) set the variable for a service whose name begins with
/// "daybook". Every pod beside such a service gets them, so they must not stop the start.
fn is_service_link(name: &str, value: &str) -> bool {
    let is_url = || ["tcp://", "udp://", "sctp://"].iter().any(|scheme| value.starts_with(scheme));
    let is_port = |text: &str| {
        let mut parts = text.split('_');
        parts.next().is_some_and(|port| port.parse::<u16>().is_ok())
            && parts.next().is_some_and(|kind| matches!(kind, "TCP" | "UDP" | "SCTP"))
    };
    name.ends_with("_SERVICE_HOST")
        || name.ends_with("_SERVICE_PORT")
        || name.contains("_SERVICE_PORT_")
        || (name.ends_with("_PORT") && is_url())
        || name
            .match_indices("_PORT_")
            .any(|(at, found)| name.get(at + found.len()..).is_some_and(is_port))
}

/// Flattens a TOML text to `section.key`. A fault in the text is told by line only: the text may
/// hold a secret there.
fn from_toml(text: &str, origin: &Origin, problems: &mut Vec<Problem>) -> Layer {
    let table: Table = match toml::from_str(text) {
        Ok(table) => table,
        Err(error) => {
            let before = error.span().and_then(|span| text.get(..span.start)).unwrap_or_default();
            let line = before.matches('\n').count() + 1;
            let fault = format!("is not valid TOML: {}", error.message());
            problems.push(Problem::new(format!("line {line}"), origin, fault, "correct the line"));
            return Layer::new();
        }
    };
    let mut layer = Layer::new();
    flatten("", table, origin, &mut layer);
    layer
}

fn flatten(prefix: &str, table: Table, origin: &Origin, layer: &mut Layer) {
    for (name, value) in table {
        let key = format!("{prefix}{name}");
        match value {
            Value::Table(inner) if !inner.is_empty() => {
                flatten(&format!("{key}."), inner, origin, layer);
            }
            value => layer.push((key, Setting { value, origin: origin.clone() })),
        }
    }
}

/// By how many edits two names differ, where that is at most a third of the longer one.
fn near(one: &str, other: &str) -> Option<usize> {
    let edits = strsim::levenshtein(one, other);
    let longer = one.chars().count().max(other.chars().count());
    (edits * 3 <= longer).then_some(edits)
}
