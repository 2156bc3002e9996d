//! Whether the files of a SQLite database are still the ones that were opened.
//!
//! A process goes on reading and writing a file that was removed or replaced; nobody else sees what it writes, and
//! all of it is gone with the process. So the files are looked at before each unit of work and again before its
//! commit is acknowledged. The database file itself is only looked up by its name: opening and closing it would
//! drop the locks that SQLite holds on it (POSIX locks belong to the process).

use std::{
    collections::BTreeMap,
    fs::{self, File, Metadata},
    io,
    os::unix::fs::{FileExt, MetadataExt},
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
};

use super::engine;
use crate::kernel::fault::Fault;

/// The first bytes of every write-ahead log; the last bit says in which order its checksums are.
const MAGIC: [u8; 4] = [0x37, 0x7f, 0x06, 0x82];

/// The files of one database: the database itself, its write-ahead log, and the index of that.
#[derive(Debug)]
pub(super) struct Files {
    database: Watched,
    /// Where the database is without symbolic links. SQLite finds the log beside it.
    real: PathBuf,
    /// None where SQLite cannot keep one.
    log: Option<(Watched, File)>,
    index: Option<(Watched, Arc<File>)>,
    /// Whether the log ever began as one. SQLite writes over one that does not.
    has_log_begun: AtomicBool,
    /// The size of the database, in bytes. SQLite makes it smaller in a `VACUUM` only.
    size: AtomicU64,
}

#[derive(Debug)]
struct Watched {
    path: PathBuf,
    device: u64,
    inode: u64,
}

/// What is wrong with the files.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Trouble {
    /// The database is not where it was opened. It can come back.
    Away,
    /// The log or its index is not where it was opened. What is in them can be saved while they are open.
    LogAway,
    /// The log was overwritten or cut short.
    LogDamaged,
    /// The database became smaller. It has so many bytes now.
    Shrunk(u64),
}

impl Files {
    /// The files that were just opened under this name.
    pub(super) fn opened(path: &Path) -> io::Result<Self> {
        // As SQLite does, so that moving the working directory away is noticed.
        let (database, metadata) = Watched::now(std::path::absolute(path)?)?;
        // SQLite names the other files after what a symbolic link points to.
        let real = fs::canonicalize(path)?;
        let beside = |suffix: &str| {
            let mut name = real.clone().into_os_string();
            name.push(suffix);
            match Watched::now(name.into()) {
                Ok((watched, _)) => Ok(Some(watched)),
                Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
                Err(error) => Err(error),
            }
        };
        let log = match beside("-wal")? {
            // Nothing is locked on this one.
            Some(watched) => Some(File::open(&watched.path).map(|file| (watched, file))?),
            None => None,
        };
        let size = AtomicU64::new(metadata.len());
        let has_log_begun = AtomicBool::new(false);
        let index = match beside("-shm")? {
            Some(watched) => Some(opened_for_good(&watched).map(|file| (watched, file))?),
            None => None,
        };
        Ok(Self { database, real, log, index, has_log_begun, size })
    }

    /// Looks. Takes a few microseconds.
    pub(super) fn check(&self) -> Result<(), Trouble> {
        // Before the look: others raise it when they see the database grow.
        let known = self.size.load(Ordering::SeqCst);
        let database = self.database.look().ok_or(Trouble::Away)?;
        // A link to where it was moved leads to the same file, but to the place of another log.
        let is_there = fs::symlink_metadata(&self.real)
            .is_ok_and(|real| (real.dev(), real.ino()) == (database.dev(), database.ino()));
        if !is_there {
            return Err(Trouble::Away);
        }
        let index = self.index.as_ref().and_then(|(_, file)| header_of(file));
        if let Some((log, file)) = &self.log {
            let metadata = log.look().ok_or(Trouble::LogAway)?;
            if metadata.len() > 0 {
                if begins_as_a_log(file) {
                    self.has_log_begun.store(true, Ordering::SeqCst);
                } else if self.has_log_begun.load(Ordering::SeqCst) {
                    return Err(Trouble::LogDamaged);
                }
            }
            // SQLite makes the log shorter in a checkpoint only, and says so in the index before.
            let is_short = index.is_some_and(|header| bytes_in_use(&header) > metadata.len());
            if is_short && self.index.as_ref().and_then(|(_, file)| header_of(file)) == index {
                return Err(Trouble::LogDamaged);
            }
        }
        if let Some((index, _)) = &self.index {
            index.look().ok_or(Trouble::LogAway)?;
        }
        let size = database.len();
        if size < known {
            return Err(Trouble::Shrunk(size));
        }
        self.size.fetch_max(size, Ordering::SeqCst);
        Ok(())
    }

    /// The database is whole with this size.
    pub(super) fn is_whole_with(&self, size: u64) {
        self.size.store(size, Ordering::SeqCst);
    }

    /// Whether these are the files of the same database.
    pub(super) fn is_same_database(&self, other: &Self) -> bool {
        (self.database.device, self.database.inode) == (other.database.device, other.database.inode)
    }
}

impl Watched {
    fn now(path: PathBuf) -> io::Result<(Self, Metadata)> {
        let metadata = fs::metadata(&path)?;
        Ok((Self { path, device: metadata.dev(), inode: metadata.ino() }, metadata))
    }

    /// What the file is like; nothing when another one, or none, has its name.
    fn look(&self) -> Option<Metadata> {
        let metadata = fs::metadata(&self.path).ok()?;
        let is_same = (metadata.dev(), metadata.ino()) == (self.device, self.inode);
        is_same.then_some(metadata)
    }
}

fn begins_as_a_log(file: &File) -> bool {
    let mut bytes = [0; 4];
    file.read_exact_at(&mut bytes, 0).is_ok() && {
        bytes[3] &= !1;
        bytes == MAGIC
    }
}

/// Opens the index, to read it beside SQLite. Each is opened once and never closed: closing any descriptor of it would
/// drop the locks that SQLite holds on it (POSIX locks belong to the process).
fn opened_for_good(index: &Watched) -> io::Result<Arc<File>> {
    static OPEN: Mutex<BTreeMap<(u64, u64), Arc<File>>> = Mutex::new(BTreeMap::new());
    let mut open = OPEN.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(file) = open.get(&(index.device, index.inode)) {
        return Ok(Arc::clone(file));
    }
    let file = Arc::new(File::open(&index.path)?);
    let metadata = file.metadata()?;
    open.insert((metadata.dev(), metadata.ino()), Arc::clone(&file));
    Ok(file)
}

/// The header of the index: everything that SQLite says of the log at one time.
type Header = [u8; 48];

/// Reads it; none while it is written. The index begins with two copies of it
/// (<https://www.sqlite.org/walformat.html>, section 2.1).
fn header_of(index: &File) -> Option<Header> {
    let mut both = [[0; 48]; 2];
    index.read_exact_at(both.as_flattened_mut(), 0).ok()?;
    let [first, second] = both;
    (first == second).then_some(first)
}

/// How many bytes of the log are in use. The page size is at byte 14, the number of frames at byte 16, in the byte
/// order of the machine.
fn bytes_in_use(header: &Header) -> u64 {
    /// The header of the log, and that of each frame.
    const LOG_HEADER: u64 = 32;
    const FRAME_HEADER: u64 = 24;
    let (_, rest) = header.split_at(14);
    let (page, rest) = rest.split_at(2);
    // As in the header of the database, 1 stands for 65,536.
    let page = match page.first_chunk().map_or(0, |bytes| u16::from_ne_bytes(*bytes)) {
        1 => 65_536,
        size => u64::from(size),
    };
    match rest.first_chunk().map_or(0, |bytes| u32::from_ne_bytes(*bytes)) {
        0 => 0,
        frames => LOG_HEADER + u64::from(frames) * (FRAME_HEADER + page),
    }
}

impl Trouble {
    /// What a call is told that changed nothing.
    pub(super) fn fault(self) -> Fault {
        engine::away().log(self.text())
    }

    /// What an operator is told.
    pub(super) fn text(self) -> &'static str {
        match self {
            Self::Away => {
                "the database file was removed or replaced while the server has it open; put the same file back, \
                 or restart the server with the file that it is to serve (without the -wal and -shm files of \
                 another one)"
            }
            Self::LogAway => {
                "the -wal or -shm file of the database was removed or replaced while the server has it open"
            }
            Self::LogDamaged => {
                "the -wal file of the database was overwritten or cut short while the server has it open; stop the \
                 server and restore the database from a backup"
            }
            Self::Shrunk(_) => {
                "the database file became smaller while the server has it open; unless that was a VACUUM, stop \
                 the server and restore the database from a backup"
            }
        }
    }
}
