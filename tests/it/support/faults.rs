//! Faults of the disk under a server: each write and sync of its database's files can be made to fail, and the
//! disk can be small.

use std::{
    fs,
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
    process::Command,
    sync::OnceLock,
};

use tempfile::TempDir;

/// `EIO`, `ENOSPC`, `EFBIG`, `EROFS`: what a disk answers that is broken, full, too small, or read-only.
pub const ERRORS: &[i64] = &[5, 28, 27, 30];

/// Where the fields of the shared file are; see `faults.c`.
const COUNTDOWN: u64 = 0;
const ERROR: u64 = 8;
const STICKY: u64 = 16;
const PARTIAL: u64 = 24;
const CALLS: u64 = 32;
const FAILURES: u64 = 40;

/// The library that makes calls fail, compiled once a run.
fn library() -> &'static Path {
    static LIBRARY: OnceLock<(TempDir, PathBuf)> = OnceLock::new();
    let (_, path) = LIBRARY.get_or_init(|| {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("faults.so");
        let source = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/it/support/faults.c");
        // The compiler that made SQLite.
        let mut compiler = Command::new("cc");
        compiler.args(["-shared", "-fPIC", "-O1", source, "-o"]).arg(&path).arg("-ldl");
        assert!(compiler.status().expect("running cc").success(), "cc failed");
        (folder, path)
    });
    path
}

/// Makes calls of one server fail.
pub struct Faults {
    control: fs::File,
    path: PathBuf,
    _folder: TempDir,
}

impl Faults {
    pub fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("control");
        fs::write(&path, [0; 48]).unwrap();
        let control = fs::OpenOptions::new().read(true).write(true).open(&path).unwrap();
        Self { control, path, _folder: folder }
    }

    /// What to start the server with, whose database's file is named so.
    pub fn environment(&self, file: &str) -> Vec<(String, String)> {
        vec![
            ("LD_PRELOAD".to_owned(), library().display().to_string()),
            ("TEST_FAULTS".to_owned(), self.path.display().to_string()),
            ("TEST_FAULTS_FILE".to_owned(), file.to_owned()),
        ]
    }

    /// The `nth` call from now on fails with this error; a write that fails may have written half.
    pub fn fail(&self, nth: i64, error: i64, partial: bool) {
        self.set(&[(ERROR, error), (STICKY, 0), (PARTIAL, partial.into()), (COUNTDOWN, nth)]);
    }

    /// From the `nth` call on all fail.
    pub fn fail_from(&self, nth: i64, error: i64) {
        self.set(&[(ERROR, error), (STICKY, 1), (PARTIAL, 1), (COUNTDOWN, nth)]);
    }

    /// Nothing fails any more.
    pub fn mend(&self) {
        self.set(&[(COUNTDOWN, 0), (STICKY, 0), (COUNTDOWN, 0)]);
    }

    /// How many calls there were.
    pub fn calls(&self) -> i64 {
        self.get(CALLS)
    }

    /// How many failed.
    pub fn failures(&self) -> i64 {
        self.get(FAILURES)
    }

    fn set(&self, fields: &[(u64, i64)]) {
        for (at, value) in fields {
            self.control.write_all_at(&value.to_ne_bytes(), *at).unwrap();
        }
    }

    fn get(&self, at: u64) -> i64 {
        let mut bytes = [0; 8];
        self.control.read_exact_at(&mut bytes, at).unwrap();
        i64::from_ne_bytes(bytes)
    }
}

/// A file system of a few MiB, which is gone when this is dropped.
pub struct SmallDisk(TempDir);

impl SmallDisk {
    /// None where this process may not mount.
    pub fn mount(mib: u32) -> Option<Self> {
        let folder = tempfile::tempdir().unwrap();
        let mut mount = Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", &format!("size={mib}m"), "tmpfs"]).arg(folder.path());
        let mounted = mount.output().is_ok_and(|output| output.status.success());
        mounted.then(|| Self(folder))
    }

    pub fn path(&self) -> &Path {
        self.0.path()
    }

    /// Takes all the room that is left but so many KiB.
    pub fn fill(&self, left_kib: u64) {
        let path = self.path().join("filler");
        let mut bytes = Vec::new();
        let full = loop {
            bytes.resize(bytes.len() + 4096, 0);
            if let Err(error) = fs::write(&path, &bytes) {
                break error;
            }
        };
        assert_eq!(full.kind(), std::io::ErrorKind::StorageFull, "{full}");
        let filled = fs::metadata(&path).unwrap().len();
        let file = fs::OpenOptions::new().write(true).open(&path).unwrap();
        file.set_len(filled.saturating_sub(left_kib * 1024)).unwrap();
    }

    /// Gives the room back.
    pub fn free(&self) {
        fs::remove_file(self.path().join("filler")).unwrap();
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(self.path()).status();
    }
}
