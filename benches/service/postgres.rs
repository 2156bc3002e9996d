//! A PostgreSQL cluster for one run.

use std::{
    io::Write as _,
    net::TcpListener,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use rustix::process::{Pid, Signal, geteuid, kill_process};
use tempfile::TempDir;
use tokio::io::AsyncWriteExt as _;

use crate::Outcome;

const DEBIAN: &str = "/usr/lib/postgresql";
/// PostgreSQL refuses to run as root.
const ACCOUNT: &str = "postgres";
/// As safe as PostgreSQL is by default, and said so: every commit waits for the disk.
const CONFIGURATION: &str = "
fsync = on
synchronous_commit = on
full_page_writes = on
shared_buffers = 256MB
max_connections = 200
max_wal_size = 4GB
listen_addresses = '127.0.0.1'
";

/// A running cluster; gone with this value.
#[derive(Debug)]
pub(crate) struct Cluster {
    folder: TempDir,
    programs: PathBuf,
    port: u16,
    server: Child,
}

impl Cluster {
    /// Makes a cluster in a temporary folder and starts it on a free port.
    pub(crate) fn start() -> Outcome<Self> {
        let programs = programs()?;
        let folder = tempfile::Builder::new().prefix("daybook-bench-").tempdir()?;
        let path = folder.path();
        if geteuid().is_root() {
            let owner = format!("{ACCOUNT}:");
            ran(Command::new("chown").arg(owner).arg(path))?;
        }
        let data = path.join("data");
        ran(account(&programs.join("initdb"))
            .args(["--auth=trust", "--username=postgres", "--encoding=UTF8", "--locale=C", "-D"])
            .arg(&data))?;
        let settings = format!("{CONFIGURATION}unix_socket_directories = '{}'\n", path.display());
        let mut file =
            std::fs::OpenOptions::new().append(true).open(data.join("postgresql.conf"))?;
        file.write_all(settings.as_bytes())?;
        let port = free_port()?;
        let log = std::fs::File::create(path.join("log"))?;
        let server = account(&programs.join("postgres"))
            .arg("-D")
            .arg(&data)
            .args(["-p", &port.to_string()])
            .stdout(log.try_clone()?)
            .stderr(log)
            .spawn()?;
        let cluster = Self { folder, programs, port, server };
        cluster.wait()?;
        Ok(cluster)
    }

    fn wait(&self) -> Outcome {
        let began = Instant::now();
        loop {
            let asked = self.command("pg_isready").args(["-q"]).status()?;
            if asked.success() {
                return Ok(());
            }
            if began.elapsed() > Duration::from_secs(30) {
                let log = std::fs::read_to_string(self.folder.path().join("log"))?;
                return Err(format!("PostgreSQL does not start:\n{log}").into());
            }
            pause(Duration::from_millis(50));
        }
    }

    /// The process that all of its processes come from.
    pub(crate) fn id(&self) -> u32 {
        self.server.id()
    }

    /// Where files of the run can be put.
    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// What the service is given to find a database.
    pub(crate) fn url(&self, database: &str) -> String {
        format!("postgres://postgres@127.0.0.1:{}/{database}", self.port)
    }

    /// Where it listens, on this machine.
    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// The version, as the server tells it.
    pub(crate) async fn version(&self) -> Outcome<String> {
        Ok(self.sql("postgres", "SHOW server_version").await?.trim().to_owned())
    }

    /// One of PostgreSQL's programs, told where the cluster is.
    pub(crate) fn command(&self, program: &str) -> Command {
        let mut command = Command::new(self.programs.join(program));
        command.args(["-h", "127.0.0.1", "-U", "postgres", "-p", &self.port.to_string()]);
        command
    }

    /// Runs statements, and returns the rows as unaligned text. Not blocking, because connections to
    /// the servers have to be kept alive meanwhile.
    pub(crate) async fn sql(&self, database: &str, statements: &str) -> Outcome<String> {
        let mut psql = self.command("psql");
        psql.args(["-XqAt", "-v", "ON_ERROR_STOP=1", "-d", database, "-f", "-"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let mut psql = tokio::process::Command::from(psql).spawn()?;
        if let Some(mut input) = psql.stdin.take() {
            input.write_all(statements.as_bytes()).await?;
        }
        let output = psql.wait_with_output().await?;
        if !output.status.success() {
            let text = String::from_utf8_lossy(&output.stderr);
            return Err(format!("psql: {text}\nin: {statements}").into());
        }
        Ok(String::from_utf8(output.stdout)?)
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        // Interrupt is PostgreSQL's fast shutdown.
        let pid = i32::try_from(self.server.id()).ok().and_then(Pid::from_raw);
        if let Some(pid) = pid {
            let _ = kill_process(pid, Signal::INT);
        }
        let _ = self.server.wait();
    }
}

/// The folder with the programs of the newest PostgreSQL here.
fn programs() -> Outcome<PathBuf> {
    let complete = |bin: &Path| {
        ["initdb", "postgres", "psql", "pgbench"].iter().all(|name| bin.join(name).exists())
    };
    let debian = std::fs::read_dir(DEBIAN).into_iter().flatten().filter_map(|entry| {
        let path = entry.ok()?.path();
        let version: u32 = path.file_name()?.to_str()?.parse().ok()?;
        Some((version, path.join("bin")))
    });
    let newest = debian.filter(|(_, bin)| complete(bin)).max();
    if let Some((_, bin)) = newest {
        return Ok(bin);
    }
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).find(|bin| complete(bin)).ok_or_else(|| {
        "PostgreSQL is not installed: initdb, postgres, psql and pgbench are needed, in \
         /usr/lib/postgresql/*/bin or on the PATH (Debian: apt-get install postgresql)"
            .into()
    })
}

/// A program that may not run as root, as the account made for it. It ends with this process, however
/// that ends.
fn account(program: &Path) -> Command {
    if !geteuid().is_root() {
        return Command::new(program);
    }
    let mut command = Command::new("setpriv");
    command
        .args([&format!("--reuid={ACCOUNT}"), &format!("--regid={ACCOUNT}")])
        .args(["--init-groups", "--pdeathsig=INT"])
        .arg(program)
        .current_dir("/");
    command
}

fn ran(command: &mut Command) -> Outcome {
    let output = command.output()?;
    if output.status.success() {
        return Ok(());
    }
    let text = String::from_utf8_lossy(&output.stderr);
    Err(format!("{command:?}: {text}").into())
}

/// A port that nobody listens on, a moment ago.
pub(crate) fn free_port() -> Outcome<u16> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?.port())
}

/// Waits a little between two looks at another process.
pub(crate) fn pause(time: Duration) {
    #[expect(clippy::disallowed_methods, reason = "another process gives no other sign")]
    std::thread::sleep(time);
}
