//! A PostgreSQL cluster that the tests start themselves, once a run, and a database for each test.

use std::{
    fs,
    net::TcpListener,
    os::unix::process::CommandExt,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::{
        OnceLock,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use daybook::app;
use sea_orm::{ConnectionTrait, Database};
use tokio::sync::OnceCell;

use super::config;

/// A cluster of its own.
pub struct Cluster {
    pub port: u16,
    pub data: PathBuf,
    /// More arguments for the server process.
    settings: &'static [&'static str],
    /// Kept, because the socket and the data live in it.
    _folder: tempfile::TempDir,
}

static SHARED: OnceLock<Cluster> = OnceLock::new();
static DATABASES: AtomicUsize = AtomicUsize::new(0);

/// The URL of a fresh database on the cluster that all tests share.
pub async fn database() -> String {
    let cluster =
        tokio::task::spawn_blocking(|| SHARED.get_or_init(Cluster::shared)).await.unwrap();
    cluster.database().await
}

static TEMPLATE: OnceCell<()> = OnceCell::const_new();

/// A fresh database with the schema, as its owner reaches it, and as the role reaches it that serves and may
/// do no more than that.
pub async fn with_roles() -> (String, String) {
    let cluster =
        tokio::task::spawn_blocking(|| SHARED.get_or_init(Cluster::shared)).await.unwrap();
    TEMPLATE
        .get_or_init(async || {
            let url = cluster.make("template_daybook", "").await;
            app::commands::migrate_up(&config(&url, Path::new(""), &[])).await.unwrap();
            let db = Database::connect(super::options(&url)).await.unwrap();
            db.execute_unprepared(ROLES).await.unwrap();
            db.close().await.unwrap();
        })
        .await;
    let owner = cluster.fresh("TEMPLATE template_daybook").await;
    let app = as_app(&owner);
    (owner, app)
}

/// The same database as the role reaches it that serves.
pub fn as_app(url: &str) -> String {
    url.replace("postgres@", "daybook_app@")
}

/// What makes that role.
pub const ROLES: &str = include_str!("../../../docs/postgresql-roles.sql");

impl Cluster {
    /// The one for all tests that need no more than a database: hundreds of them. Nobody cuts its power, and
    /// maintenance of each of them in turn would take a third of the processor.
    fn shared() -> Self {
        Self::with(&["-c", "fsync=off", "-c", "autovacuum=off"])
    }

    /// Makes a cluster and starts it. It ends with this process.
    pub fn start() -> Self {
        Self::with(&[])
    }

    fn with(settings: &'static [&'static str]) -> Self {
        remove_left_overs();
        let folder = tempfile::Builder::new().prefix("daybook-pg").tempdir().unwrap();
        if is_root() {
            // PostgreSQL does not run as root, and must get into the folder.
            let owner = Command::new("chown").arg("postgres").arg(folder.path()).status().unwrap();
            assert!(
                owner.success(),
                "there is no user `postgres`: run tests/run, which installs it"
            );
        }
        let data = folder.path().join("data");
        let made = as_postgres(&binary("initdb"))
            .args(["--auth=trust", "--encoding=UTF8", "--locale=C.UTF-8", "-U", "postgres", "-D"])
            .arg(&data)
            .stdout(Stdio::null())
            .status()
            .unwrap();
        assert!(made.success(), "initdb failed");
        let port = free_port();
        let cluster = Self { port, data, settings, _folder: folder };
        cluster.run();
        cluster
    }

    /// Starts the server process, and waits until it answers. Returns when it does; the process is
    /// killed when this process ends, however it ends.
    pub fn run(&self) {
        let (data, port, settings) = (self.data.clone(), self.port, self.settings);
        let socket = self.data.parent().unwrap().to_owned();
        // The death signal follows the thread that started the process, so it must stay.
        std::thread::spawn(move || {
            let mut child = server(&data, &socket, port, settings);
            let _ = child.wait();
        });
        let deadline = Instant::now() + Duration::from_secs(60);
        let ready = || {
            as_postgres(&binary("pg_isready"))
                .args(["-q", "-h", "127.0.0.1", "-p", &port.to_string()])
                .status()
                .is_ok_and(|status| status.success())
        };
        while !ready() {
            assert!(Instant::now() < deadline, "PostgreSQL did not start within 60 s");
        }
    }

    /// The process id of the server, from its lock file.
    pub fn pid(&self) -> i32 {
        let text = fs::read_to_string(self.data.join("postmaster.pid")).unwrap();
        text.lines().next().unwrap().parse().unwrap()
    }

    /// The URL of a database on this cluster.
    pub fn url(&self, database: &str) -> String {
        format!("postgres://postgres@127.0.0.1:{}/{database}", self.port)
    }

    /// The URL of a fresh database.
    pub async fn database(&self) -> String {
        self.fresh("").await
    }

    async fn fresh(&self, how: &str) -> String {
        self.make(&format!("test_{}", DATABASES.fetch_add(1, Ordering::SeqCst)), how).await
    }

    async fn make(&self, name: &str, how: &str) -> String {
        let db = Database::connect(super::options(&self.url("postgres"))).await.unwrap();
        db.execute_unprepared(&format!("CREATE DATABASE {name} {how}")).await.unwrap();
        db.close().await.unwrap();
        self.url(name)
    }
}

fn server(data: &Path, socket: &Path, port: u16, settings: &[&str]) -> Child {
    let mut command = as_postgres(&binary("postgres"));
    command
        .arg("-D")
        .arg(data)
        .args(["-p", &port.to_string(), "-c", "listen_addresses=127.0.0.1"])
        .arg("-k")
        .arg(socket)
        .args(["-c", "max_connections=600", "-c", "shared_buffers=128MB"])
        .args(settings)
        // With the database, which is the test's own, on each line.
        .args(["-c", "log_line_prefix=%m [%p] %d "])
        .stdout(Stdio::null())
        .stderr(fs::File::create(log_file(data)).unwrap())
        .process_group(0)
        .spawn()
        .expect("starting PostgreSQL")
}

/// A run ends without dropping the cluster that its tests shared; the next one clears away what has
/// no server any more.
fn remove_left_overs() {
    let Ok(entries) = fs::read_dir(std::env::temp_dir()) else { return };
    for path in entries.filter_map(|entry| Some(entry.ok()?.path())) {
        let is_ours =
            path.file_name().is_some_and(|n| n.to_string_lossy().starts_with("daybook-pg"));
        let runs = path.join("data/postmaster.pid").exists();
        // Another run may just be making one.
        let old = path
            .metadata()
            .and_then(|m| m.modified())
            .is_ok_and(|made| made.elapsed().is_ok_and(|age| age > Duration::from_mins(10)));
        if is_ours && old && !runs && fs::remove_dir_all(&path).is_ok() {
            let _ = fs::remove_file(path.with_extension("log"));
        }
    }
}

/// Where the server of this cluster logs.
pub fn log_file(data: &Path) -> PathBuf {
    std::env::temp_dir()
        .join(format!("{}.log", data.parent().unwrap().file_name().unwrap().to_string_lossy()))
}

/// A command that runs as a user PostgreSQL accepts, and ends when its parent does.
fn as_postgres(program: &Path) -> Command {
    let mut command = Command::new("setpriv");
    command.args(["--pdeathsig", "QUIT"]);
    if is_root() {
        command.args(["--reuid", "postgres", "--regid", "postgres", "--clear-groups"]);
    }
    command.arg("--").arg(program);
    command
}

fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

/// The newest installed version of one of PostgreSQL's programs.
pub fn binary(name: &str) -> PathBuf {
    let root = Path::new("/usr/lib/postgresql");
    let mut versions: Vec<u32> = fs::read_dir(root)
        .into_iter()
        .flatten()
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse::<u32>().ok())
        .filter(|version| root.join(version.to_string()).join("bin").join(name).exists())
        .collect();
    versions.sort_unstable();
    match versions.last() {
        Some(version) if *version >= 15 => root.join(version.to_string()).join("bin").join(name),
        _ => panic!("PostgreSQL 15 or newer is not installed: run tests/run, which installs it"),
    }
}

pub fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}
