//! A folder of compiled zone files, such as `/usr/share/zoneinfo`: what it states, and what is in it.

use std::{
    collections::BTreeMap,
    fs,
    io::Read as _,
    path::{Path, PathBuf},
    time::SystemTime,
};

use aws_lc_rs::digest;
use chrono::{DateTime, NaiveDate, Utc};
use jiff::{Timestamp, tz::TimeZone};

use crate::kernel::{
    text::hex,
    zone::{Zone, ZoneData, ZoneDataInfo, ZoneDataVersion},
};

/// The file that states the version in its first line, and lists the zones.
const TEXT: &str = "tzdata.zi";
/// The file that states nothing but the version.
const VERSION: &str = "+VERSION";
/// What a compiled zone file begins with.
const MAGIC: &[u8] = b"TZif";
/// Folders that hold the same zones once more, of which some count leap seconds; and links to one zone.
const NO_ZONES: [&str; 4] = ["posix", "right", "posixrules", "localtime"];
/// How deep zone files lie: `America/Argentina/Salta` is the deepest.
const DEEPEST: usize = 4;
/// The most files that are looked at; the IANA data has some 600.
const MOST_FILES: usize = 5000;
/// The largest file that is read, in bytes: `tzdata.zi` has some 110 KB.
const LARGEST: u64 = 1024 * 1024;
/// No zone is further from UTC, in seconds; `schedule::expand` counts on it.
const FURTHEST: i32 = 16 * 3600;
/// Half a year, in seconds.
const HALF_A_YEAR: i64 = 15_778_476;
/// 2200-01-01, in seconds since 1970.
const END: i64 = 7_258_118_400;

/// Tells whether the files of a folder were changed: names, sizes and times.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Mark(Vec<(String, u64, Option<SystemTime>)>);

impl Mark {
    /// The mark of a folder as it is now; or why there is none.
    pub(super) fn of(folder: &Path) -> Result<Self, String> {
        let files = files(folder)?;
        let marks = files.into_iter().map(|(name, path)| {
            let metadata = fs::metadata(&path).map_err(|e| unreadable(&path, &e))?;
            Ok((name, metadata.len(), metadata.modified().ok()))
        });
        marks.collect::<Result<_, String>>().map(Self)
    }
}

/// What a folder states of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Stated {
    /// The version, if it states one.
    pub(super) version: Option<ZoneDataVersion>,
    /// The zones that must be in it, where it lists them.
    zones: Vec<String>,
    /// The date of the file that states the version.
    dated: Option<NaiveDate>,
}

impl Stated {
    /// Reads it; an error where a file is there and cannot be read.
    pub(super) fn of(folder: &Path) -> Result<Self, String> {
        for name in [TEXT, VERSION] {
            let path = folder.join(name);
            if !path.exists() {
                continue;
            }
            let text = String::from_utf8(read_file(&path)?);
            let text = text.map_err(|_| format!("{} is no text", path.display()))?;
            let first = text.lines().next().unwrap_or_default();
            let version = first.strip_prefix("# version").unwrap_or(first);
            let Some(version) = ZoneDataVersion::parse(version) else { continue };
            let zones = text.lines().filter_map(|line| line.strip_prefix("Z ")?.split(' ').next());
            let zones = zones.map(str::to_owned).collect();
            return Ok(Self { version: Some(version), zones, dated: date(&path) });
        }
        Ok(Self { version: None, zones: Vec::new(), dated: None })
    }

    /// What is known of the folder's data; the date of its newest zone file where it states no version.
    pub(super) fn about(&self, origin: String, newest: Option<NaiveDate>) -> ZoneDataInfo {
        let version = self.version.clone();
        let mut since = self.dated.or(newest).unwrap_or_default();
        // A copy may be younger than what it is a copy of.
        let bundled = ZoneData::bundled();
        if version.is_some() && version == bundled.about().version {
            since = since.min(bundled.about().since);
        }
        if let Some(last) = version.as_ref().and_then(ZoneDataVersion::latest_day) {
            since = since.min(last);
        }
        ZoneDataInfo { version, since, origin }
    }
}

/// Reads all zones of a folder. Refuses a folder in which something is missing or damaged.
pub(super) fn read(folder: &Path, stated: &Stated, origin: String) -> Result<ZoneData, String> {
    let bundled = ZoneData::bundled();
    let mut rules = BTreeMap::new();
    let mut hash = digest::Context::new(&digest::SHA256);
    hash.update(stated.version.as_ref().map(ToString::to_string).unwrap_or_default().as_bytes());
    let mut newest = None;
    for (name, path) in files(folder)? {
        let bytes = read_file(&path)?;
        let is_zone_file = bytes.starts_with(MAGIC);
        let is_known = bundled.parse(&name).is_some() || stated.zones.contains(&name);
        let Some(zone) = Zone::named(&name).filter(|_| is_zone_file || is_known) else { continue };
        let damaged = |cause: &str| format!("{} is damaged: {cause}", path.display());
        let read = TimeZone::tzif(&name, &bytes).map_err(|e| damaged(&e.to_string()))?;
        check(&read).map_err(|cause| damaged(&cause))?;
        hash.update(name.as_bytes());
        hash.update(&(bytes.len() as u64).to_be_bytes());
        hash.update(&bytes);
        newest = newest.max(date(&path));
        rules.insert(zone, read);
    }
    let missing = stated
        .zones
        .iter()
        .find(|name| !Zone::named(name).is_some_and(|zone| rules.contains_key(&zone)));
    if let Some(missing) = missing {
        return Err(format!("it lists {missing} and does not have it; is it being copied?"));
    }
    if rules.is_empty() {
        return Err("it has no zones".to_owned());
    }
    if Stated::of(folder)? != *stated {
        return Err("it changed while it was read".to_owned());
    }
    let digest = hex(hash.finish().as_ref().get(..8).unwrap_or_default());
    Ok(ZoneData::over_bundled(stated.about(origin, newest), digest, rules))
}

/// Whether rules are such as zones have.
fn check(rules: &TimeZone) -> Result<(), String> {
    let mut second = 0;
    while second < END {
        let at = Timestamp::from_second(second).map_err(|e| e.to_string())?;
        let offset = rules.to_offset(at);
        if offset.seconds().abs() > FURTHEST {
            return Err(format!("it is {offset} from UTC"));
        }
        second += HALF_A_YEAR;
    }
    Ok(())
}

/// The files of a folder that may be zones or state something, by their names below it, in order.
fn files(folder: &Path) -> Result<BTreeMap<String, PathBuf>, String> {
    let mut found = BTreeMap::new();
    walk(folder, "", DEEPEST, &mut found)?;
    Ok(found)
}

fn walk(
    folder: &Path,
    above: &str,
    deep: usize,
    found: &mut BTreeMap<String, PathBuf>,
) -> Result<(), String> {
    for entry in fs::read_dir(folder).map_err(|e| unreadable(folder, &e))? {
        let path = entry.map_err(|e| unreadable(folder, &e))?.path();
        // What cannot be written as text is no zone; what begins with a dot belongs to tools.
        let Some(name) = path.file_name().and_then(|name| name.to_str()) else { continue };
        if name.starts_with('.') || (above.is_empty() && NO_ZONES.contains(&name)) {
            continue;
        }
        let full = if above.is_empty() { name.to_owned() } else { format!("{above}/{name}") };
        // Links are followed: many zones are links, and so are files that Kubernetes mounts.
        let metadata = fs::metadata(&path).map_err(|e| unreadable(&path, &e))?;
        if metadata.is_dir() {
            if deep > 1 {
                walk(&path, &full, deep - 1, found)?;
            }
        } else if metadata.is_file() {
            found.insert(full, path);
        }
        if found.len() > MOST_FILES {
            return Err(format!("it has more than {MOST_FILES} files"));
        }
    }
    Ok(())
}

/// A file's bytes, up to [`LARGEST`].
fn read_file(path: &Path) -> Result<Vec<u8>, String> {
    let file = fs::File::open(path).map_err(|e| unreadable(path, &e))?;
    let mut bytes = Vec::new();
    file.take(LARGEST).read_to_end(&mut bytes).map_err(|e| unreadable(path, &e))?;
    Ok(bytes)
}

/// When a file was last changed, in UTC.
fn date(path: &Path) -> Option<NaiveDate> {
    let modified = fs::metadata(path).and_then(|metadata| metadata.modified()).ok()?;
    Some(DateTime::<Utc>::from(modified).date_naive())
}

fn unreadable(path: &Path, error: &std::io::Error) -> String {
    format!("{} cannot be read: {error}", path.display())
}
