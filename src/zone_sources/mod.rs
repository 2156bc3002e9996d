//! Where the rules of time zones come from: a folder of the settings, the operating system's zone files, and
//! the copy that is compiled in. The one with the newest stated IANA version serves; of the same version, the
//! one that comes first in that list.
//!
//! A folder that states no version serves when it is the one of the settings, and then before all others. A
//! folder that cannot be used, also because it is half copied, changes nothing: what was read from it before
//! stays, and the next look tries again.

mod folder;
#[cfg(test)]
mod tests;
pub(crate) mod watch;

use std::{path::PathBuf, sync::LazyLock};

use crate::{
    config::{Config, ZonesConfig},
    kernel::{
        ambient::Ambient,
        time::Instant,
        zone::{ZoneData, ZoneDataInfo, ZoneDataVersion},
    },
};
use folder::{Mark, Stated};

/// From which age on operators are warned, in days: nine months.
pub const OLD: i64 = 274;

/// All sources, and what was read from them.
#[derive(Debug)]
pub struct Sources {
    folders: Vec<Source>,
    looked: bool,
}

/// One folder of zone files.
#[derive(Debug)]
struct Source {
    path: PathBuf,
    is_named: bool,
    /// As the folder was when it was last read, also in vain.
    read: Option<Mark>,
    /// As it was at the last look, where it had changed: it is read when it is still so at the next one.
    changing: Option<Mark>,
    /// The last rules that could be used.
    good: Option<ZoneData>,
    /// What it stated when it was last looked at, where it was too old to be read.
    passed_over: Option<ZoneDataInfo>,
    /// Why it cannot be used as it is.
    problem: Option<String>,
}

/// What the sources have.
#[derive(Debug, Clone)]
pub struct Found {
    /// The rules that serve.
    pub serving: ZoneData,
    /// What is known of every source that has rules, the serving one first.
    pub all: Vec<ZoneDataInfo>,
    /// What an operator has to mend: folders that cannot be used. Of the system's folder only when it was used
    /// before.
    pub problems: Vec<String>,
}

impl Sources {
    /// The sources that the settings name. Nothing is read yet.
    pub fn new(config: &ZonesConfig) -> Self {
        let named = config.folder.iter().map(|path| (path, true));
        let system = config.system_folder.iter().map(|path| (path, false));
        let source = |(path, is_named): (&PathBuf, bool)| Source {
            path: path.clone(),
            is_named,
            read: None,
            changing: None,
            good: None,
            passed_over: None,
            problem: None,
        };
        Self { folders: named.chain(system).map(source).collect(), looked: false }
    }

    /// Looks at the sources, and reads those that have changed. Reads files, so it belongs on a thread that may
    /// wait. The first time a folder is taken as it is; later only when it is the same at two looks, so that
    /// nobody meets one that is being copied.
    pub fn look(&mut self) -> Found {
        let settled_only = std::mem::replace(&mut self.looked, true);
        let bundled = ZoneData::bundled();
        for source in &mut self.folders {
            source.look(settled_only, bundled.about().version.as_ref());
        }
        self.found(bundled)
    }

    fn found(&self, bundled: ZoneData) -> Found {
        let of = |is_named| {
            let folders = self.folders.iter().filter(move |each| each.is_named == is_named);
            folders.filter_map(move |source| source.good.clone().map(|data| (is_named, data)))
        };
        // Of the same version a named folder comes before the compiled-in copy, and that before the system's.
        let usable = of(true).chain([(false, bundled.clone())]).chain(of(false));
        let mut ranked: Vec<_> =
            usable.map(|(named, data)| (Rank::of(&data, named), data)).collect();
        ranked.sort_by(|(one, _), (other, _)| other.cmp(one));
        let mut all: Vec<_> = ranked.iter().map(|(_, data)| data.about().clone()).collect();
        all.extend(self.folders.iter().filter_map(|source| source.passed_over.clone()));
        let serving = ranked.into_iter().next().map_or(bundled, |(_, data)| data);
        let problems = self.folders.iter().filter_map(Source::told).collect();
        Found { serving, all, problems }
    }
}

/// What is served first is greatest.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Rank {
    Unknown,
    Stated(ZoneDataVersion),
    /// Of a folder that somebody named, and that states no version.
    Chosen,
}

impl Rank {
    fn of(data: &ZoneData, is_named: bool) -> Self {
        match &data.about().version {
            Some(version) => Self::Stated(version.clone()),
            None if is_named => Self::Chosen,
            None => Self::Unknown,
        }
    }
}

impl Source {
    fn look(&mut self, settled_only: bool, least: Option<&ZoneDataVersion>) {
        let mark = match Mark::of(&self.path) {
            Ok(mark) => mark,
            Err(cause) => {
                // Whoever has no such folder of the system has nothing to mend.
                self.problem = (self.is_named || self.good.is_some()).then_some(cause);
                self.changing = None;
                return;
            }
        };
        if self.read.as_ref() == Some(&mark) {
            self.changing = None;
            return;
        }
        if settled_only && self.changing.as_ref() != Some(&mark) {
            self.changing = Some(mark);
            return;
        }
        self.changing = None;
        self.take(least);
        // As it was before it was read: what changed meanwhile is looked at again, and so is what could not be
        // used, because what was in the way, such as a file mode, need not show in the mark.
        self.read = self.problem.is_none().then_some(mark);
    }

    /// Reads the folder, unless what it states is too old to serve.
    fn take(&mut self, least: Option<&ZoneDataVersion>) {
        let origin = if self.is_named { "folder " } else { "system folder " };
        let origin = format!("{origin}{}", self.path.display());
        let stated = match Stated::of(&self.path) {
            Ok(stated) => stated,
            Err(cause) => {
                self.problem = Some(cause);
                return;
            }
        };
        let is_older = match (&stated.version, least) {
            // An unknown one serves only where somebody chose it.
            (None, _) => !self.is_named,
            (Some(version), Some(least)) if self.is_named => version < least,
            (Some(version), Some(least)) => version <= least,
            (Some(_), None) => false,
        };
        if is_older {
            self.good = None;
            self.problem = None;
            self.passed_over = Some(stated.about(origin, None));
            return;
        }
        match folder::read(&self.path, &stated, origin) {
            Ok(data) => {
                self.good = Some(data);
                self.problem = None;
                self.passed_over = None;
            }
            Err(cause) => self.problem = Some(cause),
        }
    }

    fn told(&self) -> Option<String> {
        let cause = self.problem.as_ref()?;
        let path = self.path.display();
        Some(match &self.good {
            Some(good) => format!(
                "the zone folder {path} cannot be used as it is now ({cause}); what was read from it before, IANA \
                 {}, stays in use",
                good.about().version_text(),
            ),
            None => format!("the zone folder {path} cannot be used: {cause}"),
        })
    }
}

impl Found {
    /// Whether the newest data, and so all, are older than [`OLD`] days.
    pub fn is_old(&self, now: Instant) -> bool {
        self.serving.about().age_in_days(now) > OLD
    }

    /// What an operator should know: folders that cannot be used, and zone data that are all old.
    pub fn warnings(&self, now: Instant) -> Vec<String> {
        let mut told = self.problems.clone();
        if self.is_old(now) {
            told.push(format!(
                "all zone data are older than nine months, and zones may have other rules by now; the newest: {}; \
                 see docs/time-zones.md",
                described(self.serving.about(), now),
            ));
        }
        told
    }
}

/// What the sources have that the settings name.
pub fn look(config: &Config) -> Found {
    Sources::new(&config.time_zones).look()
}

/// This version, and that of the zone data that are compiled in: what decides which instant a wall-clock time
/// is, unless newer data are found at the start.
pub fn version() -> &'static str {
    static TEXT: LazyLock<String> = LazyLock::new(|| {
        let (zones, now) = (ZoneData::bundled(), Ambient::system().now());
        let zones = described(zones.about(), now);
        format!("{}\ntime zone data: {zones}", env!("CARGO_PKG_VERSION"))
    });
    &TEXT
}

/// Which data these are and how old, for operators.
pub fn described(about: &ZoneDataInfo, now: Instant) -> String {
    format!("{about}, {} days old", about.age_in_days(now))
}
